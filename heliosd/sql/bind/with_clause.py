"""WITH: common table expressions, recursive and data-modifying ones included."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from heliosd.errors import SqlError
from heliosd.sql.bind.search_cycle import with_search_and_cycle
from heliosd.sql.bind.set_operations import bind_sides, check_plain_recursion
from heliosd.sql.bind.state import CteEntry, Level
from heliosd.sql.bound import Cte, Query, RelColumn
from heliosd.sql.bound.walk import output_columns
from heliosd.sql.tree.base import Node
from heliosd.sql.tree.modify import Merge, Modification
from heliosd.sql.tree.query import (
    CommonTable,
    Materialized,
    RangeVar,
    SetOperation,
    WithClause,
)

if TYPE_CHECKING:
    from heliosd.sql.bound import Delete, Insert, Update

_MATERIALIZED = {
    Materialized.DEFAULT: None,
    Materialized.ALWAYS: True,
    Materialized.NEVER: False,
}


def bind_with(level: Level, clause: WithClause | None) -> None:
    """Put the WITH names of `clause` into view of `level`."""
    if clause is None:
        return
    seen: set[str] = set()
    for table in clause.tables:
        if table.name in seen:
            raise SqlError(
                "42712",
                f'WITH query name "{table.name}" specified more than once',
                position=table.position,
            )
        seen.add(table.name)
    tables = _ordered(clause.tables) if clause.recursive else clause.tables
    for table in tables:
        level.ctes[table.name] = _bind_table(level, table, recursive=clause.recursive)


def _ordered(tables: tuple[CommonTable, ...]) -> tuple[CommonTable, ...]:
    """WITH RECURSIVE lets a query name a later one: each comes after those that it names."""
    if len(tables) == 1:
        return tables
    names = {table.name: table for table in tables}
    needs = {
        table.name: [n for n in relation_names(table.query) if n in names and n != table.name]
        for table in tables
    }
    done: dict[str, CommonTable] = {}
    pending: list[str] = []

    def place(name: str) -> None:
        if name in done:
            return
        if name in pending:
            raise SqlError(
                "0A000",
                "mutual recursion between WITH items is not implemented",
                position=names[name].position,
            )
        pending.append(name)
        for needed in needs[name]:
            place(needed)
        pending.pop()
        done[name] = names[name]

    for table in tables:
        place(table.name)
    return tuple(done.values())


def relation_names(tree: Any) -> set[str]:
    """The bare names in all FROM clauses of a syntax tree."""
    found: set[str] = set()
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, tuple):
            stack.extend(node)
        elif isinstance(node, RangeVar) and node.name.schema is None:
            found.add(node.name.name)
        elif isinstance(node, Node):
            stack.extend(getattr(node, f.name) for f in fields(node))
    return found


def finish_with(level: Level) -> tuple[Cte, ...]:
    """The bound WITH queries, once everything that can refer to them is bound."""
    return tuple(
        Cte(
            entry.number,
            entry.name,
            entry.columns,
            entry.query,
            entry.is_recursive,
            entry.materialized,
            entry.references,
        )
        for entry in level.ctes.values()
        if entry.query is not None
    )


def _bind_table(level: Level, table: CommonTable, *, recursive: bool) -> CteEntry:
    state = level.state
    if table.search is not None or table.cycle is not None:
        table = with_search_and_cycle(table, _recursive_names(level, table, recursive=recursive))
    entry = CteEntry(state.new_cte(), table.name, ())
    entry.materialized = _MATERIALIZED[table.materialized]
    entry.position = table.position
    tree = table.query
    if isinstance(tree, Modification):
        if level.parent is not None and level.parent.parent is not None:
            raise SqlError(
                "0A000",
                "WITH clause containing a data-modifying statement must be at the top level",
                position=table.position,
            )
        if isinstance(tree, Merge):
            raise SqlError("0A000", "MERGE not supported in WITH query", position=tree.position)
        query: Query | Insert | Update | Delete = level.query(tree)
        entry.modifies = True
        outputs = tuple(
            (t.name, t.expression.type, t.expression.typmod, t.expression.collation)
            for t in query.returning  # type: ignore[union-attr]
        )
    elif recursive and isinstance(tree, SetOperation):
        return _bind_recursive(level, table, tree, entry)
    else:
        if recursive:
            # A reference to itself without UNION is an error with a name of its own.
            level.ctes[table.name] = entry
            entry.recursive = True
            entry.columns = ()
            try:
                query = level.query(tree)
            finally:
                entry.recursive = False
                del level.ctes[table.name]
            check_plain_recursion(entry, table.position)
        else:
            query = level.query(tree)
        outputs = output_columns(query)
    entry.query = query
    entry.columns = _columns(table, outputs)
    return entry


def _recursive_names(level: Level, table: CommonTable, *, recursive: bool) -> tuple[str, ...]:
    """What the columns of a query with SEARCH or CYCLE are called."""
    tree = table.query
    if not recursive or not isinstance(tree, SetOperation):
        raise SqlError("42601", "WITH query is not recursive", position=table.position)
    names = tuple(name for name, *_ in output_columns(level.query(tree.left)))
    return (*table.columns, *names[len(table.columns) :])


def _columns(
    table: CommonTable, outputs: tuple[tuple[str, int, int, int], ...]
) -> tuple[RelColumn, ...]:
    given = table.columns
    if len(given) > len(outputs):
        raise SqlError(
            "42P10",
            f'WITH query "{table.name}" has {len(outputs)} columns available but '
            f"{len(given)} columns specified",
            position=table.position,
        )
    return tuple(
        RelColumn(given[i] if i < len(given) else name, oid, typmod, collation)
        for i, (name, oid, typmod, collation) in enumerate(outputs)
    )


def _bind_recursive(
    level: Level, table: CommonTable, tree: SetOperation, entry: CteEntry
) -> CteEntry:
    """UNION [ALL]: the left side first; the right side may then refer to the whole."""

    def visible(outputs: tuple[tuple[str, int, int, int], ...]) -> None:
        entry.columns = _columns(table, outputs)
        entry.non_recursive_term = False
        entry.recursive = True

    entry.non_recursive_term = True
    level.ctes[table.name] = entry
    try:
        query = bind_sides(level, tree, visible, entry)
    finally:
        level.ctes.pop(table.name, None)
        entry.recursive = False
    entry.is_recursive = entry.self_reference
    entry.query = query
    entry.columns = _columns(table, output_columns(query))
    return entry
