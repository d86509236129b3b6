"""What a login brings: its role and database, and the settings that they and the client ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from helios_protocol.startup import split_options
from heliosd.catalog.objects import BOOTSTRAP_ROLE_OID, Database, Role
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

    The weakest first: those of all roles, the database's, the role's, the role's in this database,
    the client's. Of the stored ones a wrong value is left out with a warning, so that it locks
    nobody out; the client's raises (42704 for an unknown name).
    """
    state = session.settings_state
    state.force(SessionSettings.session_authorization, login.role.name)
    state.force(SessionSettings.is_superuser, login.role.superuser)
    stored_role = wished_role = ""
    for name, value in _defaults(session, login):
        if name.lower() == "role":
            stored_role = value
        else:
            _set_stored(session, name, value)
    for name, value in _wishes(login.parameters):
        _check_wish(session, login.role, name)
        if name.lower() == "role":
            wished_role = value
        else:
            state.set_base(name, value)
    session.refresh()
    # by the way that checks membership: a start-up packet must not become somebody else
    if wished_role:
        if wished_role != "none":
            session.start_role = wished_role
            session.set_role(wished_role)
    elif stored_role and stored_role != "none":
        try:
            session.set_role(stored_role)
            session.start_role = stored_role
        except SqlError as error:
            _warn(session, error)


def _set_stored(session: SessionState, name: str, value: str) -> None:
    try:
        session.settings_state.set_base(name, value)
    except SqlError as error:
        _warn(session, error)


def _warn(session: SessionState, error: SqlError) -> None:
    session.notice(
        error.message, severity="WARNING", sqlstate=error.sqlstate, detail=error.detail,
        hint=error.hint,
    )  # fmt: skip


def _check_wish(session: SessionState, role: Role, name: str) -> None:
    """42501 for what only a superuser may set."""
    declared = session.instance.settings.get(name.lower())
    if (
        declared is not None
        and declared.context is SettingContext.SUPERUSER
        and not role.superuser
        and not session.may_set(name)
    ):
        raise SqlError(
            INSUFFICIENT_PRIVILEGE, f'permission denied to set parameter "{declared.name}"'
        )


def _defaults(session: SessionState, login: Login) -> Iterator[tuple[str, str]]:
    holder = session.instance.catalog.state.objects.get(BOOTSTRAP_ROLE_OID)
    if isinstance(holder, Role):
        yield from holder.settings_of_all
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
