"""FOREIGN KEY as a `Constraint` object: what it refers to, and by which unique index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from helios_storage.locks import TableLockMode
from heliosd.catalog import acl
from heliosd.catalog.objects import Column, Constraint, Index, Table
from heliosd.catalog.views.opclasses import default_opclass
from heliosd.errors import SqlError, not_supported
from heliosd.execute.utility.choose_names import choose_name, joined_columns
from heliosd.execute.utility.names import (
    current_role_oid,
    lock_relation,
    missing_relation,
)
from heliosd.sql.tree import table as tree
from heliosd.types.registry import CastContext

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

_DATETIME_FAMILY: Final = 434
Action = Literal["a", "r", "c", "n", "d"]
_ACTIONS: Final[dict[tree.ForeignKeyAction, Action]] = {
    tree.ForeignKeyAction.NO_ACTION: "a",
    tree.ForeignKeyAction.RESTRICT: "r",
    tree.ForeignKeyAction.CASCADE: "c",
    tree.ForeignKeyAction.SET_NULL: "n",
    tree.ForeignKeyAction.SET_DEFAULT: "d",
}


def foreign_key(
    session: SessionServices,
    table: Table,
    written: tree.Constraint,
    columns: Sequence[str],
    is_taken: Callable[[str], bool],
) -> Constraint:
    """The constraint over `columns` of `table` (which may refer to itself)."""
    assert written.referenced is not None
    if written.match is tree.ForeignKeyMatch.PARTIAL:
        raise SqlError("0A000", "MATCH PARTIAL not yet implemented", position=written.position)
    target = _referenced_table(session, table, written)
    ours = [_referencing(table, name) for name in columns]
    theirs, index = _referenced_key(target, written)
    _require_references(session, target, theirs)
    if len(ours) != len(theirs):
        raise SqlError(
            "42830", "number of referencing and referenced columns for foreign key disagree"
        )
    name = written.name
    if name is None:
        name = choose_name(table.name, joined_columns(columns), "fkey", is_taken)
    _check_types(session, name, ours, theirs)
    set_columns = tuple(_set_column(table, ours, each) for each in written.set_columns)
    deferred = bool(written.initially_deferred)
    return Constraint(
        oid=session.catalog_edit().new_oid(),
        name=name,
        kind="f",
        columns=tuple(column.attnum for column in ours),
        deferrable=bool(written.deferrable) or deferred,
        initially_deferred=deferred,
        validated=not written.not_valid,
        index=index.oid,
        referenced_table=target.oid,
        referenced_columns=tuple(column.attnum for column in theirs),
        on_update=_ACTIONS[written.on_update],
        on_delete=_ACTIONS[written.on_delete],
        on_delete_columns=set_columns,
        match_type="f" if written.match is tree.ForeignKeyMatch.FULL else "s",
    )


def _referenced_table(session: SessionServices, table: Table, written: tree.Constraint) -> Table:
    assert written.referenced is not None
    name = written.referenced
    if name.name == table.name and name.schema in (
        None,
        session.catalog.schema_name(table.schema),
    ):
        found = session.catalog.relation(name.schema, name.name, session.search_path.schemas)
        if found is None or found.schema == table.schema:
            return table
    locked = lock_relation(session, name, TableLockMode.SHARE_ROW_EXCLUSIVE)
    if locked is None:
        raise missing_relation(session, name)
    if not isinstance(locked, Table):
        raise SqlError("42809", f'referenced relation "{locked.name}" is not a table')
    if table.persistence != locked.persistence and (
        table.persistence == "p" or "t" in (table.persistence, locked.persistence)
    ):
        word = {"p": "permanent", "u": "unlogged", "t": "temporary"}[table.persistence]
        allowed = "permanent or unlogged" if table.persistence == "u" else word
        raise SqlError("42P16", f"constraints on {word} tables may reference only {allowed} tables")
    return locked


def _require_references(session: SessionServices, target: Table, columns: Sequence[Column]) -> None:
    """REFERENCES on the table or on each referenced column; 42501."""
    role = current_role_oid(session)
    if not all(
        acl.has_column_privilege(session.catalog, role, target, column, acl.REFERENCES)
        for column in columns
    ):
        raise SqlError("42501", f"permission denied for table {target.name}")


def _referencing(table: Table, name: str) -> Column:
    column = table.column_by_name.get(name)
    if column is None:
        raise SqlError(
            "42703", f'column "{name}" referenced in foreign key constraint does not exist'
        )
    return column


def _referenced_key(target: Table, written: tree.Constraint) -> tuple[list[Column], Index]:
    """The referenced columns, and the unique index whose columns they are."""
    if not written.referenced_columns:
        primary = next((index for index in target.indexes if index.primary), None)
        if primary is None:
            raise SqlError("42704", f'there is no primary key for referenced table "{target.name}"')
        return [target.column(attnum) for attnum in primary.attnums], primary
    columns: list[Column] = []
    for name in written.referenced_columns:
        column = target.column_by_name.get(name)
        if column is None:
            raise SqlError(
                "42703", f'column "{name}" referenced in foreign key constraint does not exist'
            )
        if column in columns:
            raise SqlError(
                "42830", "foreign key referenced-columns list must not contain duplicates"
            )
        columns.append(column)
    wanted = sorted(column.attnum for column in columns)
    for index in target.indexes:
        if index.unique and index.predicate is None and sorted(index.attnums) == wanted:
            return columns, index
    raise SqlError(
        "42830",
        f'there is no unique constraint matching given keys for referenced table "{target.name}"',
    )


def _check_types(
    session: SessionServices, name: str, ours: Sequence[Column], theirs: Sequence[Column]
) -> None:
    resolver = session.bind_scope().resolver
    types = session.catalog.types
    for mine, other in zip(ours, theirs, strict=True):
        if mine.type_oid == other.type_oid:
            continue
        family = default_opclass(types, mine.type_oid)
        wanted = default_opclass(types, other.type_oid)
        related = family is not None and wanted is not None and family.family == wanted.family
        if related and family is not None and family.family == _DATETIME_FAMILY:
            raise not_supported("a foreign key between different date and time types")
        if not related and not resolver.can_coerce(
            mine.type_oid, other.type_oid, CastContext.IMPLICIT
        ):
            left = types.type(mine.type_oid).display
            right = types.type(other.type_oid).display
            raise SqlError(
                "42804",
                f'foreign key constraint "{name}" cannot be implemented',
                detail=f'Key columns "{mine.name}" and "{other.name}" are of incompatible types: '
                f"{left} and {right}.",
            )


def _set_column(table: Table, ours: Sequence[Column], name: str) -> int:
    column = _referencing(table, name)
    if column not in ours:
        raise SqlError(
            "42P10",
            f'column "{name}" referenced in ON DELETE SET action must be part of foreign key',
        )
    return column.attnum


def note_reference(session: SessionServices, table: Table, constraint: Constraint) -> None:
    """Tell the referenced table that `table` refers to it; its plans check deletes from now on."""
    if constraint.referenced_table == table.oid:
        return
    target = session.catalog.table(constraint.referenced_table)
    if table.oid not in target.referenced_by:
        changed = replace(target, referenced_by=(*target.referenced_by, table.oid))
        session.catalog_edit().replace(target, changed)


def forget_reference(session: SessionServices, table_oid: int, target_oid: int) -> None:
    """The last foreign key from one table to another is gone."""
    target = session.catalog.by_oid(target_oid)
    if isinstance(target, Table) and table_oid in target.referenced_by:
        kept = tuple(oid for oid in target.referenced_by if oid != table_oid)
        session.catalog_edit().replace(target, replace(target, referenced_by=kept))


def check_supported(written: tree.Constraint) -> None:
    """0A000 for constraint kinds that are not built."""
    if written.kind is tree.ConstraintKind.EXCLUSION:
        raise not_supported("EXCLUDE constraints", position=written.position)
