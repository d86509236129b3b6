"""UPDATE and DELETE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heliosd.sql.bind.coerce import to_boolean
from heliosd.sql.bind.from_items import bind_from, check_names
from heliosd.sql.bind.state import Item, Level
from heliosd.sql.bind.table_target import (
    aim_item,
    aim_where,
    bind_returning,
    bind_set_list,
    generated_columns,
    need,
    open_aim,
    option_checks,
    reads_target,
    table_role,
)
from heliosd.sql.bind.with_clause import bind_with, finish_with
from heliosd.sql.bound import Delete, Expr, FromItem, Update

if TYPE_CHECKING:
    from heliosd.sql.tree import modify as tree_modify


def bind_update(parent: Level, tree: tree_modify.Update, settled: bool) -> Any:  # noqa: FBT001
    del settled
    state = parent.state
    level = Level(state, parent)
    bind_with(level, tree.with_clause)
    aim = open_aim(level, tree.relation, "update")
    number = state.new_rel()
    item = aim_item(level, aim, number)
    from_items = _others(level, item, tree.from_items)
    assignments = bind_set_list(level, aim, tree.assignments)
    guard, where = aim_where(level, aim, number, _where(level, tree.where))
    new = state.new_rel()
    level.items[0] = aim_item(level, aim, new)
    returning = bind_returning(level, tree.returning)
    need(level, aim, "UPDATE", [each.column for each in assignments])
    return Update(
        aim.table,
        number,
        new,
        aim.alias,
        assignments,
        from_items,
        where,
        generated_columns(level, aim.table, new),
        returning,
        finish_with(level),
        guard=guard,
        check_as=table_role(aim),
        reads=reads_target(aim),
        checks=option_checks(level, aim, new),
    )


def bind_delete(parent: Level, tree: tree_modify.Delete, settled: bool) -> Any:  # noqa: FBT001
    del settled
    state = parent.state
    level = Level(state, parent)
    bind_with(level, tree.with_clause)
    aim = open_aim(level, tree.relation, "delete from")
    number = state.new_rel()
    item = aim_item(level, aim, number)
    using = _others(level, item, tree.using)
    guard, where = aim_where(level, aim, number, _where(level, tree.where))
    returning = bind_returning(level, tree.returning)
    need(level, aim, "DELETE", None)
    return Delete(
        aim.table,
        number,
        aim.alias,
        using,
        where,
        returning,
        finish_with(level),
        guard=guard,
        check_as=table_role(aim),
        reads=reads_target(aim),
    )


def _others(level: Level, target: Item, items: tuple[Any, ...]) -> tuple[FromItem, ...]:
    """FROM or USING beside the target table, which LATERAL there cannot see."""
    bound: tuple[FromItem, ...] = ()
    if items:
        level.items = [target]
        target.lateral_only, target.lateral_ok = True, False
        bound = bind_from(level, items)
        target.lateral_only, target.lateral_ok = False, True
        if target in level.items:
            level.items.remove(target)
    level.items.insert(0, target)
    return bound


def _where(level: Level, tree: Any) -> Expr | None:
    check_names(level.items[:1], level.items[1:])
    if tree is None:
        return None
    level.clause = "WHERE"
    return to_boolean(level.state, level.expression(tree), "WHERE", tree)
