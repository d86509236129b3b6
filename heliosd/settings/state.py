"""A session's values: defaults, then what the server, SET and SET LOCAL put above them.

Every change makes a new mapping, so a transaction's or savepoint's saved state is a reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from heliosd.errors import SqlError
from heliosd.settings.registry import (
    Setting,
    SettingContext,
    SettingsRegistry,
    SettingValue,
    show_value,
)

Value = TypeVar("Value", bool, int, float, str)


_ABSENT: Final = object()


class _Layers(NamedTuple):
    session: Mapping[str, SettingValue]
    local: Mapping[str, SettingValue]


class SessionSettingsState:
    """Values of one session's settings by lower-case SQL name.

    `version` grows with each change: cached plans that looked at settings compare it.
    Names with a dot that no room declares are the client's own (PostgreSQL's placeholders).
    """

    __slots__ = ("_base", "_current", "_layers", "_on_change", "_registry", "_saved", "version")

    def __init__(
        self,
        registry: SettingsRegistry,
        base: Mapping[str, SettingValue],
        on_change: Callable[[str, str], None] | None = None,
    ) -> None:
        """`base`: the server's values where they differ from the declared defaults.

        `on_change(name, shown)` hears about reported settings (ParameterStatus).
        """
        self._registry = registry
        self._base: dict[str, SettingValue] = {
            name: setting.default for name, setting in registry.items()
        }
        self._base.update(base)
        self._layers = _Layers({}, {})
        self._current: dict[str, SettingValue] = dict(self._base)
        self._saved: list[_Layers] = []
        self._on_change = on_change
        self.version = 0

    def value(self, setting: Setting[Value]) -> Value:
        """The typed value in force of a declared setting."""
        return self._current[setting.key]  # type: ignore[return-value]  # as it was declared

    def get(self, name: str) -> SettingValue:
        """The value in force by name; raises 42704 for an unknown one."""
        try:
            return self._current[name.lower()]
        except KeyError:
            raise SqlError("42704", f'unrecognized configuration parameter "{name}"') from None

    def show(self, name: str) -> str:
        """What SHOW prints; raises 42704."""
        value = self.get(name)
        setting = self._registry.get(name.lower())
        return str(value) if setting is None else show_value(setting, value)

    def set(self, name: str, text: str, *, local: bool = False, superuser: bool = False) -> None:
        """SET [LOCAL] name = text. Raises 22023, 42704, 42501, 55P02, 0A000."""
        self._check_may_change(name, superuser=superuser)
        key = name.lower()
        setting = self._registry.get(key)
        self._put(key, text if setting is None else setting.parse(text), local=local)

    def check(self, name: str, text: str | None, *, superuser: bool) -> None:
        """What `set` would raise, without setting anything."""
        self._check_may_change(name, superuser=superuser)
        setting = self._registry.get(name.lower())
        if setting is not None and text is not None:
            setting.parse(text)

    def force(self, setting: Setting[Value], value: Value, *, local: bool = False) -> None:
        """Set a value that the server itself decides (internal settings too)."""
        self._put(setting.key, value, local=local)

    def reset(self, name: str, *, superuser: bool = False) -> None:
        """RESET name: back to the session's start value."""
        self._check_may_change(name, superuser=superuser)
        key = name.lower()
        session = {k: v for k, v in self._layers.session.items() if k != key}
        local = {k: v for k, v in self._layers.local.items() if k != key}
        self._install(_Layers(session, local))

    def reset_all(self) -> None:
        """RESET ALL, but not what the server itself decides, nor the role."""
        self._install(_Layers(self._kept(self._layers.session), self._kept(self._layers.local)))

    def _kept(self, layer: Mapping[str, SettingValue]) -> dict[str, SettingValue]:
        return {
            key: value
            for key, value in layer.items()
            if key == "role"
            or (key in self._registry and self._registry[key].context is SettingContext.INTERNAL)
        }

    def set_base(self, name: str, text: str) -> None:
        """A start-up value (startup packet, role or database default): RESET returns to it."""
        self._check_may_change(name, superuser=True)
        key = name.lower()
        setting = self._registry.get(key)
        self._base[key] = text if setting is None else setting.parse(text)
        self._install(self._layers)

    def override(
        self, pairs: Iterable[tuple[str, str]], *, superuser: bool = False
    ) -> dict[str, tuple[Any, Any]]:
        """Put values in force until `restore`; answers what was there."""
        before: dict[str, tuple[Any, Any]] = {}
        for name, text in pairs:
            key = name.lower()
            layers = self._layers
            before[key] = (layers.session.get(key, _ABSENT), layers.local.get(key, _ABSENT))
            self.set(name, text, local=True, superuser=superuser)
        return before

    def restore(self, before: dict[str, tuple[Any, Any]]) -> None:
        """Undo an `override`, whatever was set meanwhile under the same names."""
        if not before:
            return
        session, local = dict(self._layers.session), dict(self._layers.local)
        for key, values in before.items():
            for layer, value in zip((session, local), values, strict=True):
                layer.pop(key, None)
                if value is not _ABSENT:
                    layer[key] = value
        self._install(_Layers(session, local))

    def begin(self) -> None:
        """A transaction (or savepoint) starts: remember what to go back to."""
        self._saved.append(self._layers)

    def release(self) -> None:
        """A savepoint is released: its changes belong to the level above."""
        self._saved.pop()

    def rollback_level(self) -> None:
        """Undo everything since the innermost `begin` and forget that level."""
        self._install(self._saved.pop())

    def commit(self) -> None:
        """The transaction ends well: SET stays, SET LOCAL goes."""
        if self._saved:
            self._saved.clear()
        if self._layers.local:
            self._install(_Layers(self._layers.session, {}))

    def rollback(self) -> None:
        """The transaction is undone, and so is every SET in it."""
        if self._saved:
            first = self._saved[0]
            self._saved.clear()
            if first is not self._layers or first.local:
                self._install(_Layers(first.session, {}))

    def items(self) -> list[tuple[str, Setting[Any] | None, SettingValue]]:
        """(name, declaration or None, value) of everything that SHOW ALL lists, by name."""
        return [
            (key if found is None else found.name, found, value)
            for key, value in sorted(self._current.items())
            for found in (self._registry.get(key),)
        ]

    def reported(self) -> list[tuple[str, str]]:
        """(name, shown) of each setting that a client is told about at start-up."""
        return [
            (setting.name, self.show(key))
            for key, setting in self._registry.items()
            if setting.reported
        ]

    def _check_may_change(self, name: str, *, superuser: bool) -> None:
        setting = self._registry.get(name.lower())
        if setting is None:
            if "." in name and not name.lower().startswith("helios."):
                return
            raise SqlError("42704", f'unrecognized configuration parameter "{name}"')
        match setting.context:
            case SettingContext.INTERNAL:
                raise SqlError("55P02", f'parameter "{setting.name}" cannot be changed')
            case SettingContext.START:
                raise SqlError(
                    "55P02",
                    f'parameter "{setting.name}" cannot be changed without restarting the server',
                )
            case SettingContext.RELOAD:
                raise SqlError("55P02", f'parameter "{setting.name}" cannot be changed now')
            case SettingContext.SUPERUSER if not superuser:
                raise SqlError("42501", f'permission denied to set parameter "{setting.name}"')
            case _:
                return

    def _put(self, key: str, value: SettingValue, *, local: bool) -> None:
        layers = self._layers
        if local:
            self._install(_Layers(layers.session, {**layers.local, key: value}))
        else:
            rest = {k: v for k, v in layers.local.items() if k != key}
            self._install(_Layers({**layers.session, key: value}, rest))

    def _install(self, layers: _Layers) -> None:
        before = self._current
        self._layers = layers
        self._current = {**self._base, **layers.session, **layers.local}
        self.version += 1
        if self._on_change is None:
            return
        for key, setting in self._registry.items():
            if setting.reported and before.get(key) != self._current.get(key):
                self._on_change(setting.name, self.show(key))
