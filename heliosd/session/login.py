"""What a login brings: its role and database, and the settings that they and the client ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from helios_protocol.startup import split_options
from heliosd.catalog.objects import Database, Role
from heliosd.errors import INSUFFICIENT_PRIVILEGE, SqlError
from heliosd.session.state import SessionState
from heliosd.settings.registry import SettingContext
from heliosd.settings.session import SessionSettings

# Parameters of the start-up packet that are no settings.
_NOT_SETTINGS: Final = frozenset({"user", "database", "options", "replication"})


@dataclass(frozen=True, slots=True)
class Login:
    """A role whose proof was right, and the database that it asked for."""

    role: Role
    database: Database
    parameters: Mapping[str, str]
    minor: int
    secret_bytes: int
    method: str


def start_settings(session: SessionState, login: Login) -> None:
    """Put the login's settings in force: they are what RESET returns to.

    The weakest first: the database's, the role's, the role's in this database, the client's.
    Raises what a wrong value raises; unknown names of the client are 42704.
    """
    state = session.settings_state
    state.force(SessionSettings.session_authorization, login.role.name)
    state.force(SessionSettings.is_superuser, login.role.superuser)
    role = ""
    for name, value in _defaults(login):
        if name.lower() == "role":
            role = value
        else:
            state.set_base(name, value)
    for name, value in _wishes(login.parameters):
        _check_wish(session, login.role, name)
        if name.lower() == "role":
            role = value
        else:
            state.set_base(name, value)
    session.refresh()
    if role and role != "none":
        # by the way that checks membership: a start-up packet must not become somebody else
        session.set_role(role)


def _check_wish(session: SessionState, role: Role, name: str) -> None:
    """42501 for what only a superuser may set."""
    declared = session.instance.settings.get(name.lower())
    if declared is not None and declared.context is SettingContext.SUPERUSER and not role.superuser:
        raise SqlError(
            INSUFFICIENT_PRIVILEGE, f'permission denied to set parameter "{declared.name}"'
        )


def _defaults(login: Login) -> Iterator[tuple[str, str]]:
    yield from login.database.settings
    yield from login.role.settings
    for database, name, value in login.role.database_settings:
        if database == login.database.oid:
            yield name, value


def _wishes(parameters: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield from split_options(parameters.get("options", ""))
    for name, value in parameters.items():
        if name not in _NOT_SETTINGS:
            yield name, value
