"""Access time travel: who could read or write a relation, or one of its columns, at a time.

The catalog of that time is put together from the history's versions, and asked the questions that
today's catalog is asked: privileges come from `catalog.acl`, masks from `masks`, row security from
`rewrite`. So the answer is what `has_table_privilege` or `has_column_privilege` said then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

from heliosd.catalog import acl
from heliosd.catalog.history import objects_at
from heliosd.catalog.lookup import Catalog, SharedCatalog
from heliosd.catalog.objects import (
    PUBLIC_ROLE,
    Column,
    ColumnedRelation,
    Database,
    Role,
    Schema,
    SystemView,
    Table,
)
from heliosd.catalog.row_security import is_restricted
from heliosd.errors import INSUFFICIENT_PRIVILEGE, SqlError
from heliosd.security.masks import hidden_columns
from heliosd.types.array import Array, array_of

if TYPE_CHECKING:
    from helios_storage.transaction import Transaction

_PG_MONITOR: Final = 3373
_ON_COLUMN: Final = ("SELECT", "INSERT", "UPDATE", "REFERENCES")
_ON_TABLE: Final = (
    "SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER",
)  # fmt: skip

_COMMANDS: Final = {"SELECT": "r", "INSERT": "a", "UPDATE": "w", "DELETE": "d"}

Row = tuple[str, str, str, bool, str | None, bool, Any]
"""(role, privilege, by what, USAGE on the schema, mask, whether policies decide, their names)."""


class HistoryReader(Protocol):
    """What is asked of the session."""

    @property
    def catalog(self) -> Catalog: ...
    @property
    def current_role_oid(self) -> int: ...
    @property
    def transaction(self) -> Transaction: ...


def access_at(
    reader: HistoryReader, relation: int, column: str | None, at_us: int
) -> Iterator[Row]:
    """Each privilege that each role held; nothing when the relation was not there yet.

    For superusers, members of pg_monitor and the relation's owner (42501). 42703 for a column that
    the relation did not have.
    """
    _check_reader(reader, relation)
    snapshot = reader.transaction.snapshot()
    try:
        past = catalog_at(reader.catalog, objects_at(snapshot, at_us), relation)
    finally:
        snapshot.release()
    found = None if past is None else past.by_oid(relation)
    if past is None or not isinstance(found, ColumnedRelation):
        return
    one = None
    if column is not None:
        one = found.column_by_name.get(column)
        if one is None:
            raise SqlError(
                "42703", f'column "{column}" of relation "{found.name}" did not exist then'
            )
    for role in sorted(past.shared.roles(), key=lambda role: role.name):
        yield from _of_role(past, role, found, one)


def _check_reader(reader: HistoryReader, relation: int) -> None:
    catalog, role = reader.catalog, reader.current_role_oid
    found = catalog.by_oid(relation)
    if found is not None and acl.is_owner(catalog, role, found):
        return
    if not acl.is_superuser(catalog, role) and _PG_MONITOR not in acl.roles_of(catalog, role):
        raise SqlError(INSUFFICIENT_PRIVILEGE, "permission denied to read the history of access")


def catalog_at(now: Catalog, objects: Iterator[Any], relation: int) -> Catalog | None:
    """The catalog made of these objects and of what was always there (of system relations only
    `relation`); None before there was the database."""
    past = SharedCatalog(now.shared.types)
    for obj in now.shared.state.objects.values():
        # Those that are never stored have no version, and no history.
        if isinstance(obj, Schema | Role) and not obj.version:
            past.state.add(obj)
    asked = now.by_oid(relation)
    if isinstance(asked, SystemView):
        past.state.add(asked)
    for obj in objects:
        past.state.add(obj)
    database = past.state.objects.get(now.database.oid)
    return Catalog(past, database) if isinstance(database, Database) else None


def _of_role(
    past: Catalog, role: Role, relation: ColumnedRelation, column: Column | None
) -> Iterator[Row]:
    schema = past.of_kind(Schema, relation.schema)
    usage = schema is not None and acl.has_privilege(past, role.oid, schema, acl.USAGE)
    restricted = isinstance(relation, Table) and is_restricted(past, role.oid, relation)
    hidden = hidden_columns(past, (role.oid,), relation)
    mask = None if column is None else hidden.get(column.attnum)
    for privilege in _ON_TABLE if column is None else _ON_COLUMN:
        by = _held_by(past, role, relation, column, acl.PRIVILEGE_NAMES[privilege])
        if by:
            shown = str(mask) if mask is not None and privilege == "SELECT" else None
            names = _policies(past, role, relation, privilege) if restricted else None
            yield (role.name, privilege, by, usage, shown, restricted, names)


def _policies(
    past: Catalog, role: Role, relation: ColumnedRelation, privilege: str
) -> Array | None:
    """The names of the policies that decide which rows this privilege reaches."""
    command = _COMMANDS.get(privilege)
    if command is None or not isinstance(relation, Table):
        return None
    roles = {PUBLIC_ROLE, *acl.roles_of(past, role.oid)}
    return array_of(
        sorted(
            policy.name
            for policy in relation.policies
            if policy.command in ("*", command) and roles & set(policy.roles)
        )
    )


def _held_by(
    past: Catalog, role: Role, relation: ColumnedRelation, column: Column | None, letter: str
) -> str:
    """superuser, owner, table or column; "" when it is not held."""
    if acl.has_privilege(past, role.oid, relation, letter):
        if role.superuser:
            return "superuser"
        return "owner" if acl.is_owner(past, role.oid, relation) else "table"
    if column is not None and acl.has_column_privilege(past, role.oid, relation, column, letter):
        return "column"
    return ""
