"""SET, SHOW and RESET: settings whose change means more than a value, and those that do not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from heliosd.errors import INVALID_PARAMETER_VALUE, SqlError
from heliosd.session.block import ISOLATIONS, Block
from heliosd.session.search_path import split_search_path
from heliosd.settings.registry import show_value
from heliosd.settings.state import SessionSettingsState

_TRUE: Final = ("on", "true", "yes", "1")
_FALSE: Final = ("off", "false", "no", "0")


class SettingsOwner(Protocol):
    """What these commands need of their session."""

    @property
    def settings_state(self) -> SessionSettingsState: ...
    @property
    def block(self) -> Block: ...
    @property
    def is_superuser(self) -> bool: ...
    def may_set(self, name: str) -> bool: ...
    def reset_role(self) -> None: ...
    def set_role(self, name: str | None, *, local: bool = False) -> None: ...
    def set_session_role(self, name: str | None, *, local: bool = False) -> None: ...


class SettingsCommands:
    """Implements `execute.context.SettingsServices`."""

    __slots__ = ("_owner",)

    def __init__(self, owner: SettingsOwner) -> None:
        self._owner = owner

    def get(self, name: str) -> str:
        """SHOW name: 42704 for an unknown one."""
        return self._owner.settings_state.show(name)

    def check(self, name: str, value: str | None) -> None:
        """What SET would raise, without setting anything."""
        owner = self._owner
        if value is not None and name.lower() == "search_path":
            split_search_path(value)
        owner.settings_state.check(name, value, superuser=owner.may_set(name))

    def set(self, name: str, value: str | None, *, local: bool = False) -> None:
        """SET [LOCAL] name; None is DEFAULT."""
        owner = self._owner
        key = name.lower()
        match key:
            case "role":
                owner.set_role(None if value in (None, "none") else value, local=local)
                return
            case "session_authorization":
                owner.set_session_role(value, local=local)
                return
            case "transaction_isolation" | "transaction_read_only" | "transaction_deferrable":
                if value is not None:
                    self._set_mode(key, value)
                return
            case "search_path" if value is not None:
                split_search_path(value)
        if value is None:
            owner.settings_state.reset(name, superuser=owner.may_set(name))
        else:
            owner.settings_state.set(name, value, local=local, superuser=owner.may_set(name))

    def _set_mode(self, key: str, value: str) -> None:
        block = self._owner.block
        if key == "transaction_isolation":
            if value.lower() not in ISOLATIONS:
                raise SqlError(
                    INVALID_PARAMETER_VALUE,
                    f'invalid value for parameter "transaction_isolation": "{value}"',
                )
            block.set_characteristics(isolation=value.lower())
            return
        chosen = _boolean(key, value)
        if key == "transaction_read_only":
            block.set_characteristics(read_only=chosen)
        else:
            block.set_characteristics(deferrable=chosen)

    def reset(self, name: str) -> None:
        """RESET name."""
        if name.lower() == "role":
            self._owner.reset_role()
        else:
            self.set(name, None)

    def reset_all(self) -> None:
        """RESET ALL: roles stay, as in PostgreSQL."""
        self._owner.settings_state.reset_all()

    def all(self) -> Iterable[tuple[str, str, str]]:
        """(name, shown value, description), by name."""
        for name, declared, value in self._owner.settings_state.items():
            if declared is None:
                yield name, str(value), ""
            else:
                yield name, show_value(declared, value), declared.doc


def _boolean(name: str, text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise SqlError(INVALID_PARAMETER_VALUE, f'parameter "{name}" requires a Boolean value')
