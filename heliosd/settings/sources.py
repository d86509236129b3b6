"""Where the server's values come from: default < heliosd.toml < environment < command line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from heliosd.errors import SqlError
from heliosd.settings.registry import (
    Setting,
    SettingContext,
    SettingsRegistry,
    SettingValue,
    show_value,
)
from heliosd.settings.server import ServerSettings
from heliosd.settings.session import SessionSettings

Value = TypeVar("Value", bool, int, float, str)


def make_registry() -> SettingsRegistry:
    """All declared settings of sessions and of the server."""
    return SettingsRegistry(SessionSettings, ServerSettings)


class ConfigurationError(Exception):
    """heliosd.toml, an environment variable or an option is wrong; the text says which."""


@dataclass(frozen=True)
class ServerConfiguration:
    """What is in force and from where; names are the settings' lower-case SQL names."""

    registry: SettingsRegistry
    values: Mapping[str, SettingValue]
    sources: Mapping[str, str]

    def value(self, setting: Setting[Value]) -> Value:
        """The typed value in force."""
        return cast(Value, self.values.get(setting.key, setting.default))

    def lines(self) -> list[str]:
        """One line a setting of the server: name = value  (source); secrets hidden."""
        shown = []
        for key, setting in sorted(self.registry.items()):
            if key not in self.values and setting.context not in (
                SettingContext.START,
                SettingContext.RELOAD,
            ):
                continue
            value = self.values.get(key, setting.default)
            source = self.sources.get(key, "default")
            shown.append(f"{setting.attribute[0]} = {show_value(setting, value)}  ({source})")
        return shown


def load_configuration(
    environment: Mapping[str, str],
    options: Mapping[str, str],
    toml_path: Path | None,
) -> ServerConfiguration:
    """Read the three sources. `options` are by attribute name. Raises ConfigurationError."""
    registry = make_registry()
    by_attribute = {setting.attribute[0]: setting for setting in registry.values()}
    values: dict[str, SettingValue] = {}
    sources: dict[str, str] = {}

    def put(setting: Setting[Any], text: str, source: str) -> None:
        try:
            values[setting.key] = setting.parse(text)
        except SqlError as error:
            shown = "its value is refused" if setting.secret else error.message
            raise ConfigurationError(f"{source}: {shown}") from None
        sources[setting.key] = source

    for name, text in _toml_items(toml_path):
        if name not in by_attribute:
            raise ConfigurationError(f"{toml_path}: unknown setting {name}")
        put(by_attribute[name], text, str(toml_path))
    for setting in registry.values():
        found = _environment_value(setting, environment)
        if found is not None:
            put(setting, found, setting.environment)
    for name, text in options.items():
        put(by_attribute[name], text, f"--{name.replace('_', '-')}")
    return ServerConfiguration(registry, values, sources)


def _toml_items(path: Path | None) -> list[tuple[str, str]]:
    if path is None:
        return []
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from None
    items = []
    for name, value in document.items():
        if isinstance(value, dict | list):
            raise ConfigurationError(f"{path}: {name} must be a plain value")
        if isinstance(value, bool):
            items.append((name, "on" if value else "off"))
        else:
            items.append((name, str(value)))
    return items


def _environment_value(setting: Setting[Any], environment: Mapping[str, str]) -> str | None:
    """The variable's text; a secret may come from the file that `..._FILE` names."""
    if setting.secret:
        path = environment.get(setting.environment + "_FILE")
        if path:
            if setting.environment in environment:
                raise ConfigurationError(
                    f"{setting.environment} and {setting.environment}_FILE are both set"
                )
            return _secret_file(setting.environment + "_FILE", Path(path))
    return environment.get(setting.environment)


def _secret_file(variable: str, path: Path) -> str:
    """The secret without its trailing newline; refuses a file that others may read (S-40)."""
    try:
        mode = path.stat().st_mode
        if mode & 0o077:
            raise ConfigurationError(
                f"{variable}: {path} has mode {mode & 0o777:04o}; others may read it (want 0600)"
            )
        return path.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{variable}: {error}") from None
