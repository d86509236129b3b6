"""JOIN: conditions, USING and NATURAL with their merged columns."""

from __future__ import annotations

from collections.abc import Callable

from heliosd.errors import SqlError
from heliosd.sql.bind.coerce import common_type, to_boolean, to_common
from heliosd.sql.bind.operators import operate
from heliosd.sql.bind.state import ColumnsItem, Item, Level
from heliosd.sql.bound import And, Coalesce, Expr, FromItem, JoinKind, JoinRel, Var
from heliosd.sql.tree import query as tree_query
from heliosd.sql.tree.base import Expression

BindItem = Callable[[Level, tree_query.FromItem], tuple[FromItem, list[Item]]]
CheckNames = Callable[[list[Item], list[Item]], None]
Pair = tuple[str, Expr]

_KINDS = {
    tree_query.JoinKind.CROSS: JoinKind.INNER,
    tree_query.JoinKind.INNER: JoinKind.INNER,
    tree_query.JoinKind.LEFT: JoinKind.LEFT,
    tree_query.JoinKind.RIGHT: JoinKind.RIGHT,
    tree_query.JoinKind.FULL: JoinKind.FULL,
}


def bind_join(
    level: Level, tree: tree_query.JoinItem, bind_item: BindItem, check_names: CheckNames
) -> tuple[FromItem, list[Item]]:
    """A join, and the names it puts into view: its sides', or its own."""
    kind = _KINDS[tree.kind]
    left, left_names = bind_item(level, tree.left)
    around = level.items
    for name in left_names:
        name.lateral_only = True
        name.lateral_ok = kind in (JoinKind.INNER, JoinKind.LEFT)
    level.items = around + left_names
    right, right_names = bind_item(level, tree.right)
    level.items = around
    check_names(left_names, right_names)
    both = left_names + right_names
    for name in both:
        name.lateral_only = False
        name.lateral_ok = True
    using = _using(tree, left_names, right_names)
    if tree.using_alias is not None and any(n.alias == tree.using_alias for n in both):
        raise SqlError("42712", f'table name "{tree.using_alias}" specified more than once')
    condition: Expr | None = None
    columns: list[Pair] | None = None
    merged: list[Pair] = []
    if using:
        condition, merged, rest = _merge(level, kind, using, left_names, right_names, tree)
        columns = merged + rest
    elif tree.on is not None:
        condition = _on(level, tree.on, both)
    rel = JoinRel(kind, left, right, condition, using, tree.alias.name if tree.alias else "")
    return rel, _names(level, tree, both, columns, merged)


def _names(
    level: Level,
    tree: tree_query.JoinItem,
    both: list[Item],
    columns: list[Pair] | None,
    merged: list[Pair],
) -> list[Item]:
    state = level.state
    if tree.alias is None and columns is None:
        return both
    pairs = _listing(both) if columns is None else columns
    names = list(both)
    for name in both:
        name.unqualified = False
    if tree.using_alias is not None and tree.alias is None:
        alias = ColumnsItem(state, -1, tree.using_alias, merged)
        alias.unqualified = False
        names.append(alias)
    if tree.alias is None:
        join = ColumnsItem(state, -1, "", pairs)
        join.qualified = False
        return [*names, join]
    for name in both:
        name.qualified = False
    given = tree.alias.columns
    if len(given) > len(pairs):
        raise SqlError(
            "42P10",
            f'join expression "{tree.alias.name}" has {len(pairs)} columns available but '
            f"{len(given)} columns specified",
            position=tree.alias.position,
        )
    renamed = [(given[i] if i < len(given) else name, e) for i, (name, e) in enumerate(pairs)]
    return [*names, ColumnsItem(state, -1, tree.alias.name, renamed)]


def _on(level: Level, tree: Expression, both: list[Item]) -> Expr:
    """ON sees the join's two sides only (and what is outside of the query)."""
    kept, kept_clause, active = level.items, level.clause, level.lateral_active
    level.items, level.clause, level.lateral_active = both, "JOIN conditions", False
    try:
        return to_boolean(level.state, level.expression(tree), "JOIN/ON", tree)
    finally:
        level.items, level.clause, level.lateral_active = kept, kept_clause, active


def _listing(names: list[Item]) -> list[Pair]:
    return [pair for name in names if name.unqualified for pair in name.listing()]


def _using(
    tree: tree_query.JoinItem, left_names: list[Item], right_names: list[Item]
) -> tuple[str, ...]:
    if not tree.natural:
        return tree.using or ()
    right = {name for name, _ in _listing(right_names)}
    return tuple(dict.fromkeys(name for name, _ in _listing(left_names) if name in right))


def _merge(
    level: Level,
    kind: JoinKind,
    using: tuple[str, ...],
    left_names: list[Item],
    right_names: list[Item],
    tree: tree_query.JoinItem,
) -> tuple[Expr, list[Pair], list[Pair]]:
    """(condition, merged columns, the other columns of both sides)."""
    state = level.state
    left, right = _listing(left_names), _listing(right_names)
    tests: list[Expr] = []
    merged: list[Pair] = []
    seen: set[str] = set()
    for name in using:
        if name in seen:
            raise SqlError("42701", f'column name "{name}" appears more than once in USING clause')
        seen.add(name)
        a = _side(left, name, "left")
        b = _side(right, name, "right")
        state.read(a)
        state.read(b)
        tests.append(operate(state, ("=",), a, b, tree.position))
        merged.append((name, _merged(level, kind, a, b)))
    rest = [(name, e) for name, e in left + right if name not in seen]
    return (tests[0] if len(tests) == 1 else And(tuple(tests))), merged, rest


def _side(columns: list[Pair], name: str, side: str) -> Expr:
    found = [e for each, e in columns if each == name]
    if not found:
        raise SqlError(
            "42703", f'column "{name}" specified in USING clause does not exist in {side} table',
        )  # fmt: skip
    if len(found) > 1:
        raise SqlError(
            "42702", f'common column name "{name}" appears more than once in {side} table',
        )  # fmt: skip
    return found[0]


def _merged(level: Level, kind: JoinKind, a: Expr, b: Expr) -> Expr:
    state = level.state
    oid = common_type(state, [a, b], "JOIN/USING", [])
    left = to_common(state, a, oid, "JOIN/USING", 0)
    right = to_common(state, b, oid, "JOIN/USING", 0)
    if kind is JoinKind.RIGHT:
        return right
    if kind is JoinKind.FULL:
        typmod = left.typmod if left.typmod == right.typmod else -1
        return Coalesce((left, right), oid, typmod, left.collation)
    if kind is JoinKind.INNER and not isinstance(left, Var) and isinstance(right, Var):
        return right
    return left
