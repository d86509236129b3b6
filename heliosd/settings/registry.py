"""What a setting is, how its text is read and shown, and the read-only registry of all of them.

TO ADD A SETTING: add one attribute to `SessionSettings` (settings/session.py) or
`ServerSettings` (settings/server.py). SHOW, SET, pg_settings, heliosd.toml, the environment name,
`heliosd config` and the reference follow from the declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar, cast

from heliosd.errors import SqlError

Value = TypeVar("Value", bool, int, float, str)
SettingValue = bool | int | float | str


class SettingContext(Enum):
    """When a setting may change: PostgreSQL's words (`pg_settings.context`)."""

    INTERNAL = "internal"
    START = "postmaster"
    RELOAD = "sighup"
    BACKEND = "backend"
    SUPERUSER = "superuser"
    USER = "user"


_TIME_UNITS_US: Final = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "min": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_SIZE_UNITS_BYTES: Final = {
    "B": 1,
    "kB": 1 << 10,
    "8kB": 1 << 13,
    "MB": 1 << 20,
    "GB": 1 << 30,
    "TB": 1 << 40,
}
_TRUE: Final = ("true", "yes", "on", "1")
_FALSE: Final = ("false", "no", "off", "0")


@dataclass(frozen=True)
class Setting(Generic[Value]):
    """One setting. Its type is its default's; its name is the attribute that holds it.

    `unit` is what the plain number counts. `only` lists the values that have a meaning here:
    others are PostgreSQL's but not built (0A000). `secret` values are never printed.
    `own` settings carry the prefix `helios.` in SQL.
    """

    default: Value
    doc: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    context: SettingContext = SettingContext.USER
    choices: tuple[str, ...] = ()
    only: tuple[Value, ...] = ()
    secret: bool = False
    own: bool = False
    reported: bool = False
    category: str = ""
    sql_name: str = ""
    check: Callable[[str], str] | None = None
    attribute: list[str] = field(default_factory=list, compare=False, repr=False)

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute.append(name)

    @property
    def name(self) -> str:
        """The name in SQL, as SHOW ALL spells it."""
        if self.sql_name:
            return self.sql_name
        return ("helios." if self.own else "") + self.attribute[0]

    @cached_property
    def key(self) -> str:
        """The name in lower case, by which values are kept."""
        return self.name.lower()

    @property
    def environment(self) -> str:
        """The environment variable that sets it."""
        return "HELIOSDB_" + self.attribute[0].upper()

    @property
    def vartype(self) -> str:
        """PostgreSQL's word for its type (`pg_settings.vartype`)."""
        if self.choices:
            return "enum"
        kinds: dict[type, str] = {bool: "bool", int: "integer", float: "real", str: "string"}
        return kinds[type(self.default)]

    def parse(self, text: str) -> Value:
        """The value that `text` names. Raises 22023 as PostgreSQL does, 0A000 for `only`."""
        value = cast(Value, self._parse(text))
        if self.only and value not in self.only:
            raise SqlError(
                "0A000",
                f'setting parameter "{self.name}" to "{text}" is not supported',
                hint="Supported: " + ", ".join(show_value(self, v) for v in self.only) + ".",
            )
        return value

    def _parse(self, text: str) -> SettingValue:
        if self.choices:
            return _parse_choice(self, text)
        if isinstance(self.default, bool):
            return _parse_bool(self.name, text)
        if isinstance(self.default, str):
            return self.check(text) if self.check is not None else text
        return _parse_number(self, text)


def _parse_choice(setting: Setting[Any], text: str) -> str:
    lowered = text.lower()
    for choice in setting.choices:
        if choice.lower() == lowered:
            return choice
    raise SqlError(
        "22023",
        f'invalid value for parameter "{setting.name}": "{text}"',
        hint="Available values: " + ", ".join(setting.choices) + ".",
    )


def _parse_bool(name: str, text: str) -> bool:
    """PostgreSQL takes unambiguous prefixes of its boolean words (`o` is ambiguous)."""
    lowered = text.lower()
    if lowered and lowered != "o":
        if any(word.startswith(lowered) for word in _TRUE):
            return True
        if any(word.startswith(lowered) for word in _FALSE):
            return False
    raise SqlError("22023", f'parameter "{name}" requires a Boolean value')


def _split_unit(text: str) -> tuple[str, str]:
    stripped = text.strip()
    end = len(stripped)
    while end and not (stripped[end - 1].isdigit() or stripped[end - 1] == "."):
        end -= 1
    return stripped[:end], stripped[end:].strip()


def _unit_factor(setting: Setting[Any], unit: str, text: str) -> float:
    """How many of the setting's own units one `unit` is."""
    if not unit:
        return 1.0
    for table in (_TIME_UNITS_US, _SIZE_UNITS_BYTES):
        if setting.unit in table and unit in table and unit != "8kB":
            return table[unit] / table[setting.unit]
    hint = None
    if setting.unit in _TIME_UNITS_US:
        hint = 'Valid units for this parameter are "us", "ms", "s", "min", "h", and "d".'
    elif setting.unit in _SIZE_UNITS_BYTES:
        hint = 'Valid units for this parameter are "B", "kB", "MB", "GB", and "TB".'
    raise SqlError("22023", f'invalid value for parameter "{setting.name}": "{text}"', hint=hint)


def _parse_number(setting: Setting[Any], text: str) -> int | float:
    digits, unit = _split_unit(text)
    factor = _unit_factor(setting, unit, text)
    try:
        number = float(int(digits, 0)) if digits[:2].lower() == "0x" else float(digits)
    except ValueError:
        raise SqlError("22023", f'invalid value for parameter "{setting.name}": "{text}"') from None
    scaled: int | float = number * factor
    if isinstance(setting.default, int):
        scaled = round(scaled)
    low, high = setting.minimum, setting.maximum
    if (low is not None and scaled < low) or (high is not None and scaled > high):
        unit_text = f" {setting.unit}" if setting.unit else ""
        raise SqlError(
            "22023",
            f"{scaled:g}{unit_text} is outside the valid range for parameter "
            f'"{setting.name}" ({low:g} .. {high if high is not None else 2147483647:g})',
        )
    return scaled


def show_value(setting: Setting[Any], value: SettingValue) -> str:
    """The text that SHOW prints: booleans as on/off, numbers in their largest whole unit."""
    if setting.secret:
        return "********" if value else ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:g}"
    if not setting.unit or value <= 0:
        return str(value)
    for table in (_TIME_UNITS_US, _SIZE_UNITS_BYTES):
        if setting.unit in table:
            base = value * table[setting.unit]
            for name, size in reversed(table.items()):
                if name != "8kB" and base % size == 0:
                    return f"{base // size}{name}"
    return str(value)


class SettingsRegistry(Mapping[str, Setting[Any]]):
    """All settings by lower-case SQL name; read-only, refuses duplicates."""

    def __init__(self, *rooms: type) -> None:
        found: dict[str, Setting[Any]] = {}
        for room in rooms:
            for item in vars(room).values():
                if isinstance(item, Setting):
                    key = item.key
                    assert key not in found, f"setting {key} is declared twice"
                    found[key] = item
        self._by_name = MappingProxyType(found)

    def __getitem__(self, name: str) -> Setting[Any]:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def find(self, name: str) -> Setting[Any]:
        """The setting called `name` in any case; raises 42704."""
        setting = self._by_name.get(name.lower())
        if setting is None:
            raise SqlError("42704", f'unrecognized configuration parameter "{name}"')
        return setting
