"""SELECT and VALUES."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliosd.errors import SqlError
from heliosd.sql.bind.coerce import (
    common_type,
    common_typmod,
    location,
    settle,
    to_boolean,
    to_common,
)
from heliosd.sql.bind.from_items import bind_from
from heliosd.sql.bind.grouping import (
    GroupedCheck,
    bind_group_by,
    find_entry,
    resolve_grouping_calls,
)
from heliosd.sql.bind.limits import bind_limits
from heliosd.sql.bind.locking import bind_locks
from heliosd.sql.bind.resolve import UNKNOWN
from heliosd.sql.bind.sorting import check_groupable, sort_order
from heliosd.sql.bind.state import Level
from heliosd.sql.bind.targets import Entry, bind_targets
from heliosd.sql.bind.windows import bind_unused_windows, declare_windows
from heliosd.sql.bind.with_clause import bind_with, finish_with
from heliosd.sql.bound import Expr, OrderKey, Query, RelColumn, Select, Target, Values
from heliosd.sql.tree.expressions import SetToDefault

if TYPE_CHECKING:
    from heliosd.sql.tree import query as tree_query


def bind_select(parent: Level, tree: tree_query.Select, settled: bool) -> Query:  # noqa: FBT001
    """A plain SELECT, in PostgreSQL's order of looking at its clauses."""
    level = Level(parent.state, parent)
    if tree.with_clause is not None:
        bind_with(level, tree.with_clause)
    from_items = bind_from(level, tree.from_items) if tree.from_items else ()
    if tree.windows:
        declare_windows(level, tree.windows)
    level.clause = "SELECT"
    entries = bind_targets(level, tree.targets)
    where: Expr | None = None
    if tree.where is not None:
        level.clause = "WHERE"
        where = to_boolean(level.state, level.expression(tree.where), "WHERE", tree.where)
    having: Expr | None = None
    if tree.having is not None:
        level.clause = "HAVING"
        having = to_boolean(level.state, level.expression(tree.having), "HAVING", tree.having)
    order = _bind_order(level, tree, entries) if tree.order_by else ()
    keys: tuple[Expr, ...] = ()
    sets: tuple[tuple[int, ...], ...] | None = None
    if tree.group_by:
        keys, sets = bind_group_by(level, tree.group_by, entries)
        if sets is not None and tree.group_distinct:
            sets = tuple(dict.fromkeys(tuple(sorted(each)) for each in sets))
    distinct, distinct_on = False, None
    if tree.distinct is not None:
        distinct, distinct_on, order = _bind_distinct(level, tree, entries, order)
    limit = offset = None
    if tree.limit_count is not None or tree.limit_offset is not None:
        limit, offset = bind_limits(level, tree)
    if tree.windows:
        level.clause = "SELECT"
        bind_unused_windows(level)
    if settled:
        _settle(level, entries)
    grouped = bool(tree.group_by) or level.aggregates or having is not None
    if level.grouping_calls:
        for entry in entries:
            entry.expression = resolve_grouping_calls(entry.expression, keys)
        having = None if having is None else resolve_grouping_calls(having, keys)
    if grouped:
        _check_grouped(level, entries, having, keys, sets)
    locks = bind_locks(level, tree, from_items, grouped=grouped) if tree.locking else ((), None)
    return Select(
        tuple([Target(e.expression, e.name, e.junk) for e in entries]),
        locks[1] or from_items,
        where,
        keys,
        sets,
        having,
        grouped,
        tuple(level.windows),
        distinct,
        distinct_on,
        order,
        limit,
        offset,
        tree.with_ties,
        locks[0],
        finish_with(level) if level.ctes else (),
        level.set_returning,
        level.number,
    )


def _settle(level: Level, entries: list[Entry]) -> None:
    for entry in entries:
        if entry.expression.type == UNKNOWN:
            entry.expression = settle(level.state, entry.expression)


def _bind_order(
    level: Level, tree: tree_query.Select, entries: list[Entry]
) -> tuple[OrderKey, ...]:
    keys: list[OrderKey] = []
    seen: set[int] = set()
    for item in tree.order_by:
        index = find_entry(level, item.expression, entries, "ORDER BY")
        entry = entries[index]
        entry.expression = settle(level.state, entry.expression)
        descending, nulls_first, operator = sort_order(level.state, item, entry.expression)
        if index in seen:
            continue
        seen.add(index)
        keys.append(OrderKey(index, descending, nulls_first, operator))
    return tuple(keys)


def _bind_distinct(
    level: Level,
    tree: tree_query.Select,
    entries: list[Entry],
    order: tuple[OrderKey, ...],
) -> tuple[bool, tuple[int, ...] | None, tuple[OrderKey, ...]]:
    """(plain DISTINCT, the targets that must be distinct, ORDER BY)."""
    assert tree.distinct is not None
    _settle(level, entries)
    if not tree.distinct:
        for key in order:
            if entries[key.target].junk:
                raise SqlError(
                    "42P10",
                    "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
                    position=location(entries[key.target].tree),
                )
        for entry in entries:
            if not entry.junk:
                check_groupable(level.state, entry.expression, location(entry.tree))
        visible = tuple(i for i, entry in enumerate(entries) if not entry.junk)
        return True, visible, order
    chosen: list[int] = []
    for item in tree.distinct:
        index = find_entry(level, item, entries, "DISTINCT ON")
        entries[index].expression = settle(level.state, entries[index].expression)
        check_groupable(level.state, entries[index].expression, location(item))
        if index not in chosen:
            chosen.append(index)
    ahead = True
    left = set(chosen)
    for key in order:
        if key.target in left:
            if not ahead:
                raise SqlError(
                    "42P10",
                    "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
                    position=location(entries[key.target].tree),
                )
            left.discard(key.target)
        elif left:
            ahead = False
    if left and not ahead:
        raise SqlError(
            "42P10",
            "SELECT DISTINCT ON expressions must match initial ORDER BY expressions",
            position=location(entries[next(iter(left))].tree),
        )
    return False, tuple(chosen), order


def _check_grouped(
    level: Level,
    entries: list[Entry],
    having: Expr | None,
    keys: tuple[Expr, ...],
    sets: tuple[tuple[int, ...], ...] | None,
) -> None:
    check = GroupedCheck(level, keys, sets)
    for entry in entries:
        check.check(entry.expression)
    if having is not None:
        check.check(having)
    for window in level.windows:
        for each in window.partition_by:
            check.check(each)
        for key in window.order_by:
            check.check(key.expression)


def bind_values(parent: Level, tree: tree_query.Values, settled: bool) -> Query:  # noqa: FBT001
    """VALUES as a query of its own."""
    from heliosd.sql.bind.set_operations import order_by_columns

    state = parent.state
    level = Level(state, parent)
    bind_with(level, tree.with_clause)
    level.clause = "VALUES"
    level.lateral_active = parent.lateral_active
    width = len(tree.rows[0])
    rows: list[list[Expr]] = []
    for row in tree.rows:
        if len(row) != width:
            raise SqlError(
                "42601", "VALUES lists must all be the same length", position=location(row[0])
            )
        for cell in row:
            if isinstance(cell, SetToDefault):
                raise SqlError(
                    "42601", "DEFAULT is not allowed in this context", position=cell.position
                )
        rows.append([level.expression(cell) for cell in row])
    columns: list[RelColumn] = []
    for index in range(width):
        cells = [row[index] for row in rows]
        trees = [row[index] for row in tree.rows]
        if not settled and all(cell.type == UNKNOWN for cell in cells):
            columns.append(RelColumn(f"column{index + 1}", UNKNOWN))
            continue
        oid = common_type(state, cells, "VALUES", trees)
        for cells_of, at in zip(rows, trees, strict=True):
            cells_of[index] = to_common(state, cells_of[index], oid, "VALUES", at)
        typmod = common_typmod([row[index] for row in rows], oid)
        columns.append(RelColumn(f"column{index + 1}", oid, typmod, state.collation_of(oid)))
    order = order_by_columns(level, tree, tuple(columns)) if tree.order_by else ()
    limit, offset = bind_limits(level, tree)
    return Values(
        tuple(tuple(row) for row in rows),
        tuple(columns),
        order,
        limit,
        offset,
        tree.with_ties,
        finish_with(level),
    )
