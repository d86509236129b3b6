"""Aggregates and window functions: which query they belong to, where they may stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from heliosd.errors import SqlError, not_supported
from heliosd.functions.registry import SqlAggregate, SqlFunction
from heliosd.sql.bind.coerce import collation_of, input_collation, to_boolean
from heliosd.sql.bind.grouping import without_coercion
from heliosd.sql.bind.sorting import sort_key
from heliosd.sql.bind.state import Level
from heliosd.sql.bind.windows import window_number
from heliosd.sql.bound import AggregateCall, Expr, SetReturningCall, SortKey, WindowCall
from heliosd.sql.bound.walk import has_aggregate, has_window, rels_used, walk

if TYPE_CHECKING:
    from heliosd.functions.registry import AnyFunction
    from heliosd.sql.tree.expressions import FunctionCall

AGGREGATE_CLAUSES: Final = frozenset(
    {"SELECT", "HAVING", "ORDER BY", "DISTINCT ON", "window definitions"}
)
WINDOW_CLAUSES: Final = frozenset({"SELECT", "ORDER BY", "DISTINCT ON"})


def bind_aggregate(
    level: Level,
    tree: FunctionCall,
    function: SqlAggregate,
    arguments: tuple[Expr, ...],
    result: int,
    ordered: list[SortKey],
    *,
    spread: bool,
    shown: str,
) -> Expr:
    """An aggregate of the query that it belongs to."""
    _check_aggregate_syntax(tree, function, shown)
    keys = tuple(ordered or (sort_key(level, each) for each in tree.order_by))
    condition = _filter(level, tree)
    parts = (*arguments, *(key.expression for key in keys), *_some(condition))
    for part in parts:
        _check_inside_aggregate(part, tree)
    owner = _owner(level, parts)
    if owner.clause not in AGGREGATE_CLAUSES:
        raise SqlError(
            "42803",
            f"aggregate functions are not allowed in {owner.clause}",
            position=tree.position,
        )
    if tree.distinct:
        keys = tuple(_sorted_argument(key, arguments) for key in keys)
    if tree.distinct and any(key.expression not in arguments for key in keys):
        raise SqlError(
            "42P10",
            "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list",
            position=tree.order_by[0].position,
        )
    owner.aggregates = True
    direct: tuple[Expr, ...] = ()
    if function.arity != "n":
        direct, arguments = arguments[: function.direct], arguments[function.direct :]
        if any(rels_used(each) & level.own_rels for each in direct):
            raise not_supported("a direct argument over grouped columns", position=tree.position)
    everything = (*direct, *arguments)
    return AggregateCall(
        function,
        arguments,
        result,
        -1,
        collation_of(level.state, everything, result),
        tree.star,
        tree.distinct,
        keys,
        condition,
        direct,
        input_collation(everything),
        spread,
        tree.position,
        0 if owner is level else owner.number,
    )


def _sorted_argument(key: SortKey, arguments: tuple[Expr, ...]) -> SortKey:
    """`agg(DISTINCT x ORDER BY x)`: the argument as it was coerced is what is sorted."""
    for argument in arguments:
        if argument != key.expression and without_coercion(argument) == key.expression:
            return SortKey(argument, key.descending, key.nulls_first, key.operator)
    return key


def _check_aggregate_syntax(tree: FunctionCall, function: SqlAggregate, shown: str) -> None:
    if not function.arguments and not tree.star:
        raise SqlError(
            "42809",
            f"{shown}(*) must be used to call a parameterless aggregate function",
            position=tree.position,
        )
    if function.arity == "n" and tree.within_group:
        raise SqlError(
            "42809",
            f"{shown} is not an ordered-set aggregate, so it cannot have WITHIN GROUP",
            position=tree.position,
        )
    if function.arity != "n" and not tree.within_group:
        raise SqlError(
            "42809",
            f"WITHIN GROUP is required for ordered-set aggregate {shown}",
            position=tree.position,
        )


def _owner(level: Level, parts: Sequence[Expr]) -> Level:
    """The query whose aggregate it is: the innermost one of whose columns it reads any."""
    used = frozenset(rel for part in parts for rel in rels_used(part))
    at: Level | None = level if used else None
    while at is not None:
        if used & at.own_rels:
            return at
        at = at.parent
    return level


def _check_inside_aggregate(part: Expr, tree: FunctionCall) -> None:
    if has_aggregate(part):
        inner = next(n for n in walk(part) if isinstance(n, AggregateCall))
        raise SqlError(
            "42803", "aggregate function calls cannot be nested", position=inner.position
        )
    if has_window(part):
        raise SqlError(
            "42803",
            "aggregate function calls cannot contain window function calls",
            position=tree.position,
        )
    if any(isinstance(n, SetReturningCall) for n in walk(part)):
        raise SqlError(
            "0A000",
            "aggregate function calls cannot contain set-returning function calls",
            hint="You might be able to move the set-returning function into a LATERAL FROM item.",
            position=tree.position,
        )


def _some(expression: Expr | None) -> tuple[Expr, ...]:
    return () if expression is None else (expression,)


def _filter(level: Level, tree: FunctionCall) -> Expr | None:
    if tree.filter is None:
        return None
    kept, level.clause = level.clause, "FILTER"
    try:
        return to_boolean(level.state, level.expression(tree.filter), "FILTER", tree.filter)
    finally:
        level.clause = kept


def bind_window_call(
    level: Level,
    tree: FunctionCall,
    function: AnyFunction,
    arguments: tuple[Expr, ...],
    result: int,
    shown: str,
) -> Expr:
    """`f(...) OVER window`."""
    if isinstance(function, SqlFunction):
        raise SqlError(
            "42809",
            f"OVER specified, but {shown} is not a window function nor an aggregate function",
            position=tree.position,
        )
    if level.clause not in WINDOW_CLAUSES:
        raise SqlError(
            "42P20",
            f"window functions are not allowed in {level.clause}",
            position=tree.position,
        )
    if tree.distinct:
        raise SqlError(
            "0A000",
            "DISTINCT is not implemented for window functions",
            position=tree.position,
        )
    if tree.order_by:
        raise SqlError(
            "0A000",
            "aggregate ORDER BY is not implemented for window functions",
            position=tree.position,
        )
    if isinstance(function, SqlAggregate):
        _check_aggregate_syntax(tree, function, shown)
    elif tree.filter is not None:
        raise SqlError(
            "0A000",
            "FILTER is not implemented for non-aggregate window functions",
            position=tree.position,
        )
    if any(has_window(argument) for argument in arguments):
        raise SqlError("42P20", "window function calls cannot be nested", position=tree.position)
    assert tree.over is not None
    if tree.within_group:
        raise not_supported("OVER for ordered-set aggregates", position=tree.position)
    condition = _filter(level, tree)
    number = window_number(level, tree.over)
    return WindowCall(
        function,
        arguments,
        number,
        result,
        -1,
        collation_of(level.state, arguments, result),
        tree.star,
        condition,
        input_collation(arguments),
        tree.position,
    )
