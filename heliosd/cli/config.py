"""heliosd config: prints the settings in force and where each comes from, secrets hidden."""

from __future__ import annotations

import argparse

from heliosd.cli.options import add_setting_options, read_configuration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The settings' options, so that the answer is the one that `serve` would use."""
    add_setting_options(parser)


def run(options: argparse.Namespace, _arguments: list[str]) -> int:
    """Print one line a setting."""
    for line in read_configuration(options).lines():
        print(line)
    return 0
