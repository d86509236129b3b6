"""MERGE: a join of the source with the target table, and what happens to each of its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heliosd.catalog.objects import Column, Table, View
from heliosd.errors import SqlError
from heliosd.sql.bind.coerce import location, to_boolean
from heliosd.sql.bind.from_items import bind_from, find_relation
from heliosd.sql.bind.insert import bind_cells, full_row
from heliosd.sql.bind.state import Item, Level
from heliosd.sql.bind.table_target import (
    Aim,
    aim_item,
    bind_set_list,
    generated_columns,
    need,
    open_aim,
    reads_target,
    target_column,
)
from heliosd.sql.bind.with_clause import bind_with, finish_with
from heliosd.sql.bound import FromItem, Merge, MergeWhen
from heliosd.sql.tree import modify as tree_modify

if TYPE_CHECKING:
    from heliosd.sql.bound import Expr


def bind_merge(parent: Level, tree: tree_modify.Merge, settled: bool) -> Any:  # noqa: FBT001
    """MERGE INTO target USING source ON condition WHEN ..."""
    del settled
    state = parent.state
    level = Level(state, parent)
    bind_with(level, tree.with_clause)
    _check_reachable(tree)
    _check_target(level, tree)
    aim = open_aim(level, tree.relation, "merge into")
    number = state.new_rel()
    target = aim_item(level, aim, number)
    source = _source(level, target, tree)
    level.clause = "JOIN/ON"
    condition = to_boolean(state, level.expression(tree.on), "JOIN/ON", tree.on)
    new = state.new_rel()
    whens = tuple(_bind_when(level, aim, target, each, new) for each in tree.whens)
    target.qualified = target.unqualified = True
    return Merge(
        aim.table,
        number,
        new,
        aim.alias,
        source,
        condition,
        whens,
        finish_with(level),
        reads=reads_target(aim),
    )


def _check_reachable(tree: tree_modify.Merge) -> None:
    """42601 for a WHEN behind an unconditional one of its kind."""
    closed: set[bool] = set()
    for when in tree.whens:
        if when.matched in closed:
            raise SqlError(
                "42601", "unreachable WHEN clause specified after unconditional WHEN clause"
            )
        if when.condition is None:
            closed.add(when.matched)


def _check_target(level: Level, tree: tree_modify.Merge) -> None:
    relation = find_relation(level, tree.relation.name)
    if not isinstance(relation, Table):
        what = "views" if isinstance(relation, View) else "this kind of relation"
        raise SqlError(
            "42809",
            f'cannot execute MERGE on relation "{relation.name}"',
            detail=f"This operation is not supported for {what}.",
        )


def _source(level: Level, target: Item, tree: tree_modify.Merge) -> FromItem:
    """The source, which sees nothing of the target; both are in view afterwards."""
    level.items = []
    (source,) = bind_from(level, (tree.source,))
    for item in level.items:
        if item.qualified and item.alias == target.alias:
            raise SqlError(
                "42712",
                f'name "{target.alias}" specified more than once',
                detail="The name is used both as MERGE target table and data source.",
            )
    level.items.insert(0, target)
    return source


def _bind_when(
    level: Level, aim: Aim, target: Item, tree: tree_modify.MergeWhen, new: int
) -> MergeWhen:
    target.qualified = target.unqualified = tree.matched
    level.clause = "MERGE WHEN"
    condition: Expr | None = None
    if tree.condition is not None:
        bound = level.expression(tree.condition)
        condition = to_boolean(level.state, bound, "WHEN", tree.condition)
    match tree.action:
        case tree_modify.MergeAction.UPDATE:
            assignments = bind_set_list(level, aim, tree.assignments)
            need(level, aim, "UPDATE", [each.column for each in assignments])
            generated = generated_columns(level, aim.table, new)
            return MergeWhen(tree.matched, condition, "update", assignments, (), generated)
        case tree_modify.MergeAction.INSERT:
            columns = _columns(level, aim, tree)
            need(level, aim, "INSERT", [c.attnum - 1 for c in columns])
            cells: dict[int, Expr] = {}
            if tree.values is not None:
                level.clause = "VALUES"
                cells = bind_cells(level, aim.table, columns, tree, tree.values)
            row = full_row(level, aim.table, cells)
            generated = generated_columns(level, aim.table, new)
            written = tuple(c.attnum - 1 for c in columns)
            return MergeWhen(tree.matched, condition, "insert", (), row, generated, written)
        case tree_modify.MergeAction.DELETE:
            need(level, aim, "DELETE", None)
            return MergeWhen(tree.matched, condition, "delete")
    # As in PostgreSQL: who does nothing to the table must at least be able to read of it.
    aim.use.select = True
    return MergeWhen(tree.matched, condition, "nothing")


def _columns(level: Level, aim: Aim, tree: tree_modify.MergeWhen) -> list[Column]:
    """The columns that INSERT's values are for; 42601 for a wrong number of values."""
    if tree.values is None:
        return []
    count = len(tree.values)
    if tree.columns is None:
        columns = list(aim.table.live_columns)
    else:
        columns = [target_column(level, aim, c.name, c.position) for c in tree.columns]
        for index, column in enumerate(columns):
            if column in columns[:index]:
                raise SqlError(
                    "42701",
                    f'column "{column.name}" specified more than once',
                    position=tree.columns[index].position,
                )
    if count > len(columns):
        raise SqlError(
            "42601",
            "INSERT has more expressions than target columns",
            position=location(tree.values[len(columns)]),
        )
    if tree.columns is not None and count < len(columns):
        raise SqlError(
            "42601",
            "INSERT has more target columns than expressions",
            position=tree.columns[count].position,
        )
    return columns[:count]
