"""CREATE and REFRESH MATERIALIZED VIEW.

A materialised view is a table that only REFRESH fills. Its query runs with its owner's privileges,
as a view's does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from helios_storage.locks import TableLockMode
from heliosd.catalog.objects import MaterializedView, Role, Table
from heliosd.errors import SqlError
from heliosd.execute.planning import prepare_bound, prepare_rows_insert
from heliosd.execute.utility.names import (
    lock_relation,
    missing_relation,
    require_relation_owner,
)
from heliosd.execute.utility.registry import runs
from heliosd.execute.utility.truncate import empty_table
from heliosd.execute.utility.upkeep import as_owner_of
from heliosd.sql.bind.statement import bind_statement
from heliosd.sql.parser import parse_statements
from heliosd.sql.tree.query import Query, Select
from heliosd.sql.tree.table import RefreshMaterializedView
from heliosd.types.quoting import quote_identifier, quote_qualified

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.execute.program import Program
    from heliosd.execute.utility.stored_text import StoredQuery

Row = tuple[Any, ...]

INSERT_ROWS = 1000
"""Rows that are put at once."""


def materialized(table: Table, stored: StoredQuery) -> MaterializedView:
    """The table as a materialised view of a query, with nothing in it yet."""
    known = {f.name: getattr(table, f.name) for f in fields(table)}
    return MaterializedView(
        **known, query=stored.text, query_references=stored.references, populated=False
    )


def check_query(query: object) -> None:
    """42601 and 0A000 for what no materialised view can be made of."""
    if isinstance(query, Select) and query.into is not None:
        raise SqlError("42601", "materialized views must not contain SELECT INTO")
    if not isinstance(query, Query):
        raise SqlError("42601", "materialized views must not use data-modifying statements in WITH")


@runs(RefreshMaterializedView, tag="REFRESH MATERIALIZED VIEW", writes=True, audit="ddl")
def refresh(statement: RefreshMaterializedView, session: SessionServices) -> None:
    """REFRESH MATERIALIZED VIEW [CONCURRENTLY] name [WITH NO DATA]."""
    mode = TableLockMode.EXCLUSIVE if statement.concurrent else TableLockMode.ACCESS_EXCLUSIVE
    found = lock_relation(session, statement.name, mode)
    if found is None:
        raise missing_relation(session, statement.name)
    require_relation_owner(session, found)
    if not isinstance(found, MaterializedView):
        raise SqlError("0A000", f'"{found.name}" is not a materialized view')
    if statement.concurrent:
        _check_concurrent(session, statement, found)
    # All of it as the owner: its indexes' functions too run while rows go and come (CVE-2024-0985).
    with as_owner_of(session, found):
        if statement.concurrent:
            _refresh_rows(session, found)
            return
        emptied = empty_table(session, found)
        assert isinstance(emptied, MaterializedView)
        if statement.with_data:
            session.new_statement_snapshot()
            fill(session, emptied)
        _mark(session, emptied.oid, populated=statement.with_data)


def _check_concurrent(
    session: SessionServices, statement: RefreshMaterializedView, view: MaterializedView
) -> None:
    if not statement.with_data:
        raise SqlError(
            "42601", "REFRESH options CONCURRENTLY and WITH NO DATA cannot be used together"
        )
    if not view.populated:
        raise SqlError(
            "0A000",
            "CONCURRENTLY cannot be used when the materialized view is not populated",
        )
    if any(
        index.unique and index.predicate is None and all(index.attnums) for index in view.indexes
    ):
        return
    name = quote_qualified(session.catalog.schema_name(view.schema), view.name)
    raise SqlError(
        "55000",
        f'cannot refresh materialized view "{name}" concurrently',
        hint="Create a unique index with no WHERE clause on one or more columns of the "
        "materialized view.",
    )


def _mark(session: SessionServices, oid: int, *, populated: bool) -> None:
    view = session.catalog.by_oid(oid)
    assert isinstance(view, MaterializedView)
    if view.populated != populated:
        session.catalog_edit().replace(view, replace(view, populated=populated))


def fill(session: SessionServices, view: MaterializedView) -> int:
    """Run the query as the owner and put its rows, indexes included; their number."""
    insert = _insert_program(session, view)
    count = 0
    for rows in _query_rows(session, view):
        _run(session, insert, (rows,))
        count += len(rows)
    return count


def _query_rows(session: SessionServices, view: MaterializedView) -> Iterator[list[Row]]:
    owner = session.catalog.of_kind(Role, view.owner)
    with session.acting_as(owner, ()):
        program = session.prepare(parse_statements(view.query)[0])
        assert program.rows is not None
        pending: list[Row] = []
        for batch in program.rows(session.context, ()):
            pending.extend(batch)
            if len(pending) >= INSERT_ROWS:
                yield pending
                pending = []
        if pending:
            yield pending


def _insert_program(session: SessionServices, view: MaterializedView) -> Program:
    scope = replace(session.bind_scope(), maintains=view.oid)
    names = [column.name for column in view.live_columns]
    with scope.catalog.made_types.watching():
        return prepare_rows_insert(view, names, scope, session.storage.row_count)


def _run(session: SessionServices, program: Program, parameters: tuple[Any, ...]) -> None:
    assert program.modify is not None
    program.modify(session.context, parameters)


def _refresh_rows(session: SessionServices, view: MaterializedView) -> None:
    """CONCURRENTLY: only the rows that differ change, so that readers go on reading."""
    wanted: Counter[Row] = Counter()
    for rows in _query_rows(session, view):
        wanted.update(rows)
    duplicate = next((row for row, count in wanted.items() if count > 1), None)
    if duplicate is not None:
        raise SqlError(
            "21000",
            f'new data for materialized view "{view.name}" contains duplicate rows without any '
            "null columns",
        )
    name = quote_qualified(session.catalog.schema_name(view.schema), view.name)
    columns = ", ".join(quote_identifier(column.name) for column in view.live_columns)
    gone: list[Row] = []
    for batch in _select(session, view, f"SELECT ctid, {columns} FROM {name}"):  # noqa: S608  # quoted
        for row in batch:
            if wanted[row[1:]]:
                del wanted[row[1:]]
            else:
                gone.append(row[:1])
    delete = _program(session, view, f"DELETE FROM {name} WHERE ctid = $1", (27,))  # noqa: S608  # quoted
    for (place,) in gone:
        _run(session, delete, (place,))
    session.new_statement_snapshot()
    fresh = list(wanted.elements())
    insert = _insert_program(session, view)
    for start in range(0, len(fresh), INSERT_ROWS):
        _run(session, insert, (fresh[start : start + INSERT_ROWS],))


def _program(
    session: SessionServices, view: MaterializedView, text: str, types: tuple[int, ...]
) -> Program:
    """A statement of ours over the view's own rows, which only REFRESH may change."""
    scope = replace(session.bind_scope(types), maintains=view.oid)
    (tree,) = parse_statements(text)
    with scope.catalog.made_types.watching():
        return prepare_bound(bind_statement(tree, scope), scope, session.storage.row_count)


def _select(session: SessionServices, view: MaterializedView, text: str) -> Iterator[list[Row]]:
    program = _program(session, view, text, ())
    assert program.rows is not None
    yield from program.rows(session.context, ())
