"""What subcommands share: options that name settings, and the configuration they lead to."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heliosd.settings.server import ServerSettings
from heliosd.settings.sources import ServerConfiguration, load_configuration

if TYPE_CHECKING:
    from helios_storage.keyring import KeySource

_SETTING_OPTIONS: Final = (
    ("data_dir", "DIR", "the data directory"),
    ("listen", "HOST:PORT", "where the wire protocol listens (empty: nowhere)"),
    ("http", "HOST:PORT", "where metrics and health listen (empty: nowhere)"),
    ("log_level", "LEVEL", "debug, info, warning or error"),
)


def add_setting_options(parser: argparse.ArgumentParser) -> None:
    """--config, and the settings that have an option of their own."""
    parser.add_argument("--config", metavar="FILE", help="heliosd.toml (default: none)")
    for attribute, metavar, doc in _SETTING_OPTIONS:
        parser.add_argument(f"--{attribute.replace('_', '-')}", metavar=metavar, help=doc)


def add_data_dir_option(parser: argparse.ArgumentParser) -> None:
    """--data-dir and --config for commands that work on a stopped server's directory."""
    parser.add_argument("--config", metavar="FILE", help="heliosd.toml (default: none)")
    parser.add_argument("--data-dir", metavar="DIR", help="the data directory")


def read_configuration(
    options: argparse.Namespace, environment: Mapping[str, str] = os.environ
) -> ServerConfiguration:
    """Default < heliosd.toml < environment < options. Raises ConfigurationError."""
    given = {
        attribute: value
        for attribute, _, _ in _SETTING_OPTIONS
        if (value := getattr(options, attribute, None)) is not None
    }
    path = options.config or environment.get("HELIOSDB_CONFIG")
    return load_configuration(environment, given, Path(path) if path else None)


def key_source(configuration: ServerConfiguration) -> KeySource:
    """The wrapping key's source: the configured key, else the file beside the data."""
    from helios_storage.keyring import GivenKey, KeyFile, parse_key

    key = configuration.value(ServerSettings.encryption_key)
    return GivenKey(parse_key(key)) if key else KeyFile()
