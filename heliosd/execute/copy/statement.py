"""The COPY statement: what it names, who may, and which way it goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from helios_storage.locks import TableLockMode
from heliosd.catalog import acl
from heliosd.catalog.objects import (
    Column,
    ColumnedRelation,
    MaterializedView,
    SystemView,
    Table,
    View,
)
from heliosd.catalog.objects import Sequence as SequenceRelation
from heliosd.errors import SqlError, not_supported
from heliosd.execute.copy.load import load
from heliosd.execute.copy.options import CopyOptions, read_options
from heliosd.execute.copy.unload import unload
from heliosd.execute.program import CommandResult
from heliosd.execute.utility.names import current_role_oid, lock_relation, missing_relation
from heliosd.execute.utility.registry import runs
from heliosd.security.policies import require_row_security
from heliosd.sql.tree import (
    ColumnRef,
    Copy,
    QualifiedName,
    Query,
    RangeVar,
    ResultTarget,
    Select,
    Statement,
)

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices


@runs(Copy, tag="COPY")
def copy(statement: Copy, session: SessionServices) -> CommandResult:
    """COPY FROM STDIN, COPY TO STDOUT; the tag has the number of rows."""
    options = read_options(statement, session.settings.get("client_encoding"))
    if statement.filename is not None:
        _refuse_file(statement)
    count = _copy_from(statement, options, session) if statement.from_ else _copy_to(
        statement, options, session
    )  # fmt: skip
    return CommandResult(f"COPY {count}")


def _refuse_file(statement: Copy) -> None:
    """The server reads and writes no files for its clients: \\copy and STDIN do."""
    what = "an external program" if statement.program else "a file"
    way = "from" if statement.from_ else "to"
    raise not_supported(
        f"COPY {way} {what}",
        hint="Anyone can COPY to stdout or from stdin. "
        "psql's \\copy command also works for anyone.",
    )


# -- FROM -----------------------------------------------------------------------------------------


def _copy_from(statement: Copy, options: CopyOptions, session: SessionServices) -> int:
    assert statement.relation is not None
    table = _target_table(session, statement.relation)
    columns = _columns(table, statement.columns)
    _check_insert(session, table, columns)
    _refuse_policies(session, table)
    if session.settings.get("transaction_read_only") == "on":
        raise SqlError("25006", "cannot execute COPY FROM in a read-only transaction")
    return load(session, table, columns, options, statement.where)


def _target_table(session: SessionServices, name: QualifiedName) -> Table:
    found = lock_relation(session, name, TableLockMode.ROW_EXCLUSIVE)
    if found is None:
        raise missing_relation(session, name)
    if isinstance(found, MaterializedView):
        raise SqlError("42809", f'cannot copy to materialized view "{found.name}"')
    if isinstance(found, Table):
        return found
    if isinstance(found, View):
        raise SqlError(
            "42809", f'cannot copy to view "{found.name}"',
            hint="To enable copying to a view, provide an INSTEAD OF INSERT trigger.",
        )  # fmt: skip
    if isinstance(found, SequenceRelation):
        raise SqlError("42809", f'cannot copy to sequence "{found.name}"')
    if isinstance(found, SystemView):
        raise SqlError("42501", f'permission denied: "{found.name}" is a system catalog')
    raise SqlError("42809", f'cannot open relation "{found.name}"')


def _columns(relation: ColumnedRelation, names: tuple[str, ...] | None) -> tuple[Column, ...]:
    """The columns that COPY reads or writes, in order. 42703, 42701, 42P10."""
    if names is None:
        return tuple(column for column in relation.live_columns if not column.generated)
    found: list[Column] = []
    for name in names:
        column = relation.column_by_name.get(name)
        if column is None:
            raise SqlError("42703", f'column "{name}" of relation "{relation.name}" does not exist')
        if column.generated:
            raise SqlError(
                "42P10", f'column "{name}" is a generated column',
                detail="Generated columns cannot be used in COPY.",
            )  # fmt: skip
        if column in found:
            raise SqlError("42701", f'column "{name}" specified more than once')
        found.append(column)
    return tuple(found)


def _check_insert(session: SessionServices, table: Table, columns: Sequence[Column]) -> None:
    role = current_role_oid(session)
    for column in columns:
        if not acl.has_column_privilege(session.catalog, role, table, column, acl.INSERT):
            raise SqlError("42501", f"permission denied for table {table.name}")


def _refuse_policies(session: SessionServices, table: Table) -> None:
    """Rows that come by COPY would pass no policy."""
    role, enabled = current_role_oid(session), session.settings.get("row_security") != "off"
    if require_row_security(session.catalog, role, table, enabled=enabled):
        raise SqlError(
            "0A000", "COPY FROM not supported with row-level security",
            hint="Use INSERT statements instead.",
        )  # fmt: skip


# -- TO -------------------------------------------------------------------------------------------


def _copy_to(statement: Copy, options: CopyOptions, session: SessionServices) -> int:
    if statement.relation is None:
        assert statement.query is not None
        return unload(session, statement.query, options)
    name = statement.relation
    relation = lock_relation(session, name, TableLockMode.ACCESS_SHARE)
    if relation is None:
        raise missing_relation(session, name)
    if isinstance(relation, View):
        raise SqlError(
            "42809", f'cannot copy from view "{relation.name}"',
            hint="Try the COPY (SELECT ...) TO variant.",
        )  # fmt: skip
    if isinstance(relation, SequenceRelation):
        raise SqlError("42809", f'cannot copy from sequence "{relation.name}"')
    if not isinstance(relation, ColumnedRelation):
        raise SqlError("42809", f'cannot open relation "{relation.name}"')
    columns = _columns(relation, statement.columns)
    schema = session.catalog.schema_name(relation.schema)
    query = _select(QualifiedName(0, (schema, relation.name)), columns)
    return unload(session, query, options, relation)


def _select(name: QualifiedName, columns: Sequence[Column]) -> Statement:
    """SELECT columns FROM ONLY name."""
    targets = tuple(ResultTarget(0, ColumnRef(0, (column.name,))) for column in columns)
    query: Query = Select(0, targets, (RangeVar(0, name, inherit=False),))
    return query
