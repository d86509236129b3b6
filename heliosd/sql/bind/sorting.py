"""ORDER BY keys: their direction, their operator, their NULLs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliosd.errors import SqlError
from heliosd.sql.bind.coerce import location, settle
from heliosd.sql.bind.state import BindState, Level
from heliosd.sql.bound import Expr, SortKey
from heliosd.sql.tree.window import NullsOrder, SortBy, SortDirection

if TYPE_CHECKING:
    from heliosd.types.registry import SqlOperator


def sort_key(level: Level, tree: SortBy) -> SortKey:
    """A key of an aggregate's or window's ORDER BY: always an expression."""
    expression = settle(level.state, level.expression(tree.expression))
    descending, nulls_first, operator = sort_order(level.state, tree, expression)
    return SortKey(expression, descending, nulls_first, operator)


def sort_order(
    state: BindState, tree: SortBy, expression: Expr
) -> tuple[bool, bool, SqlOperator | None]:
    """(descending, NULLs first, operator); 42883 when the type has no order."""
    at = location(tree.expression)
    descending = tree.direction is SortDirection.DESC
    operator: SqlOperator | None
    if tree.direction is SortDirection.USING:
        assert tree.operator is not None
        symbol = tree.operator[-1]
        operator = state.resolver.operator(symbol, expression.type, expression.type)
        if operator is None or symbol not in ("<", ">"):
            raise SqlError(
                "42809",
                f"operator {symbol} is not a valid ordering operator",
                hint='Ordering operators must be "<" or ">" members of btree operator families.',
                position=at,
            )
        descending = symbol == ">"
    check_orderable(state, expression, at)
    operator = None
    if tree.nulls is NullsOrder.DEFAULT:
        return descending, descending, operator
    return descending, tree.nulls is NullsOrder.FIRST, operator


def check_orderable(state: BindState, expression: Expr, position: int) -> None:
    """42883 `could not identify an ordering operator for type json`."""
    kind = state.types.by_oid.get(expression.type)
    if kind is not None and (not kind.ordered or _unordered_element(state, kind.element)):
        raise SqlError(
            "42883",
            f"could not identify an ordering operator for type {state.type_name(kind.oid)}",
            hint="Use an explicit ordering operator or modify the query.",
            position=position,
        )


def check_groupable(state: BindState, expression: Expr, position: int) -> None:
    """42883 `could not identify an equality operator for type json`."""
    kind = state.types.by_oid.get(expression.type)
    if kind is not None and not kind.ordered and not kind.hashable:
        raise SqlError(
            "42883",
            f"could not identify an equality operator for type {state.type_name(kind.oid)}",
            position=position,
        )


def _unordered_element(state: BindState, element: int) -> bool:
    kind = state.types.by_oid.get(element) if element else None
    return kind is not None and not kind.ordered
