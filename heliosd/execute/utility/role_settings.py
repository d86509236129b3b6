"""ALTER ROLE ... SET and ALTER DATABASE ... SET: values that a login starts with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from heliosd.catalog.objects import BOOTSTRAP_ROLE_OID, Database, Role
from heliosd.errors import SqlError
from heliosd.execute.utility.memberships import locked_role
from heliosd.execute.utility.names import current_role_oid, resolve_role
from heliosd.execute.utility.registry import runs
from heliosd.execute.utility.settings import setting_text
from heliosd.sql.tree.define import AlterRoleSet
from heliosd.sql.tree.utility import SetKind, SetVariable

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

Stored = tuple[tuple[str, str], ...]


@runs(AlterRoleSet, tag="ALTER ROLE", writes=True, audit="role")
def alter_role_set(statement: AlterRoleSet, session: SessionServices) -> None:
    """ALTER ROLE role | ALL [IN DATABASE d] SET name = value | RESET name | RESET ALL."""
    me = session.catalog.of_kind(Role, current_role_oid(session))
    assert me is not None
    database = _database(session, statement.database)
    if statement.role is None:
        if not me.superuser:
            raise SqlError("42501", "must be superuser to alter settings globally")
        _alter_all(session, database, statement.variable)
        return
    role = locked_role(session, resolve_role(session, statement.role))
    if role.superuser and not me.superuser:
        raise SqlError("42501", "must be superuser to alter superusers")
    if not (me.superuser or me.oid == role.oid or me.create_role):
        raise SqlError("42501", "permission denied")
    if database is None:
        changed = replace(
            role, settings=changed_settings(session, role.settings, statement.variable)
        )
    else:
        mine = tuple((n, v) for oid, n, v in role.database_settings if oid == database.oid)
        others = tuple(x for x in role.database_settings if x[0] != database.oid)
        kept = changed_settings(session, mine, statement.variable)
        changed = replace(
            role, database_settings=(*others, *((database.oid, n, v) for n, v in kept))
        )
    session.catalog_edit().replace(role, changed)


def _database(session: SessionServices, name: str | None) -> Database | None:
    if name is None:
        return None
    found = session.catalog.database_named(name)
    if found is None:
        raise SqlError("3D000", f'database "{name}" does not exist')
    return found


def _alter_all(session: SessionServices, database: Database | None, variable: SetVariable) -> None:
    """Of all roles in a database: the database's own. Of all everywhere: they rest with the one
    role that is always there."""
    edit = session.catalog_edit()
    if database is not None:
        kept = changed_settings(session, database.settings, variable)
        edit.replace(database, replace(database, settings=kept))
        return
    holder = session.catalog.of_kind(Role, BOOTSTRAP_ROLE_OID)
    assert holder is not None
    holder = locked_role(session, holder)
    kept = changed_settings(session, holder.settings_of_all, variable)
    edit.replace(holder, replace(holder, settings_of_all=kept))


def changed_settings(session: SessionServices, settings: Stored, variable: SetVariable) -> Stored:
    """A role's or database's settings after ... SET or RESET.

    Names, values and the right to set them are checked as SET does: 42704, 22023, 42501, 55P02.
    """
    kept = dict(settings)
    name = _stored_name(session, kept, variable.name)
    match variable.kind:
        case SetKind.RESET_ALL:
            return ()
        case SetKind.RESET | SetKind.DEFAULT:
            session.settings.check(variable.name, None)
            kept.pop(name, None)
        case SetKind.CURRENT:
            session.settings.check(variable.name, None)
            kept[name] = session.settings.get(variable.name)
        case SetKind.VALUE:
            value = setting_text(variable)
            if name.lower() == "role":
                if value != "none" and session.catalog.role(value) is None:
                    session.notice(f'role "{value}" does not exist', sqlstate="42704")
            else:
                session.settings.check(variable.name, value)
            kept[name] = value
    return tuple(kept.items())


def _stored_name(session: SessionServices, kept: dict[str, str], name: str) -> str:
    """The name as it rests: as it does already, as it was declared, or as it was given."""
    known = (*kept, *(declared for declared, _, _ in session.settings.all()))
    return next((each for each in known if each.lower() == name.lower()), name)
