"""Immutable calls of constants are computed now; AND, OR and NOT lose what decides nothing.

    x = 1 + 2 -> x = 3        true AND p -> p        false OR p -> p

A call that raises is left alone: it raises when, and only if, it is reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from types import CodeType
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.functions.builtin import ROW_FUNCTIONS
from heliosd.plan.nodes import Filter, Guard, Join, JoinKind, Plan
from heliosd.plan.walk import map_node, map_subplans
from heliosd.sql.bound import (
    BOOL,
    And,
    Call,
    Cast,
    CastForm,
    CastMethod,
    Coalesce,
    Const,
    Expr,
    Not,
    NullTest,
    Or,
    Var,
)
from heliosd.sql.bound.walk import map_children
from heliosd.types.builtin import TYPES

SIZE_MAX: Final = 10_000
"""A folded text or number is kept in the plan: longer ones are computed when the plan runs."""


def apply(plan: Plan) -> Plan:
    """Fold every expression of the plan and of its subqueries."""
    plan = map_node(plan, apply, fold)
    if isinstance(plan, Filter):
        kept = _conjuncts(plan.predicates)
        return replace(plan, predicates=kept) if kept else plan.input
    if isinstance(plan, Guard):
        return replace(plan, predicates=_conjuncts(plan.predicates))
    if isinstance(plan, Join) and plan.kind is not JoinKind.NULL_AWARE_ANTI:
        return replace(plan, predicates=_conjuncts(plan.predicates))
    return plan


def _conjuncts(predicates: tuple[Expr, ...]) -> tuple[Expr, ...]:
    """Without what is always true, ANDs taken apart; what never holds stands alone."""
    kept: list[Expr] = []
    for predicate in predicates:
        if isinstance(predicate, And):
            kept.extend(_conjuncts(predicate.arguments))
        elif isinstance(predicate, Const) and predicate.value is not True:
            # FALSE and NULL alike let no row through.
            return (Const(False, BOOL),)
        elif not (isinstance(predicate, Const) and predicate.value is True):
            kept.append(predicate)
    return tuple(kept)


def fold(expression: Expr) -> Expr:
    """The expression with its constant parts computed."""
    if isinstance(expression, Const | Var):
        return expression
    expression = map_subplans(expression, apply)
    return _fold(expression)


def _fold(expression: Expr) -> Expr:
    if isinstance(expression, Const | Var):
        return expression
    expression = map_children(expression, _fold)
    match expression:
        case Call():
            return _call(expression)
        case Cast():
            return _cast(expression)
        case And():
            return _junction(expression.arguments, And, decisive=False)
        case Or():
            return _junction(expression.arguments, Or, decisive=True)
        case Not(argument=Const() as constant):
            value = constant.value
            return Const(None if value is None else not value, BOOL)
        case NullTest(argument=Const() as constant, row=False):
            return Const((constant.value is None) is not expression.negated, BOOL)
        case Coalesce():
            return _coalesce(expression)
    return expression


def _junction(arguments: tuple[Expr, ...], kind: type[And | Or], *, decisive: bool) -> Expr:
    kept: list[Expr] = []
    for argument in arguments:
        if isinstance(argument, kind):
            kept.extend(argument.arguments)
        elif isinstance(argument, Const) and argument.value is not None:
            if bool(argument.value) is decisive:
                return Const(decisive, BOOL)
        else:
            kept.append(argument)
    if not kept:
        return Const(not decisive, BOOL)
    if len(kept) == 1:
        return kept[0]
    return kind(tuple(kept)) if len(kept) != len(arguments) else kind(arguments)


def _coalesce(expression: Coalesce) -> Expr:
    kept = [a for a in expression.arguments if not (isinstance(a, Const) and a.value is None)]
    if not kept:
        return Const(None, expression.type, expression.typmod, expression.collation)
    if isinstance(kept[0], Const) or len(kept) == 1:
        return kept[0]
    return expression


def _call(call: Call) -> Expr:
    target = call.target
    row = target.row
    if target.volatility != "i" or target.needs_context or not row or call.variadic:
        return call
    values = _values(call.arguments)
    if values is None:
        return call
    if target.strict and any(value is None for value in values):
        return Const(None, call.type, call.typmod, call.collation)
    return _computed(call, row, values)


def _values(arguments: Sequence[Expr]) -> list[Any] | None:
    values = []
    for argument in arguments:
        if not isinstance(argument, Const):
            return None
        values.append(argument.value)
    return values


def _computed(expression: Expr, row: Any, values: list[Any]) -> Expr:
    try:
        value = evaluate(row, values)
    except (SqlError, ArithmeticError, ValueError, OverflowError):
        return expression
    if isinstance(value, str | bytes) and len(value) > SIZE_MAX:
        return expression
    return Const(value, expression.type, expression.typmod, expression.collation)


def evaluate(row: Any, values: Sequence[Any]) -> Any:
    """Run a row form on values."""
    if not isinstance(row, str):
        return row(*values)
    names = {f"v{i}": value for i, value in enumerate(values)}
    # The template is a declaration of ours; values go in as names, never as text.
    return eval(_compiled(row, len(values)), _NAMES, names)  # noqa: S307


_SAFE: Final = {
    name: getattr(__import__("builtins"), name)
    for name in ("abs", "bool", "float", "int", "len", "max", "min", "ord", "round", "str")
}


_NAMES: Final[dict[str, Any]] = {**ROW_FUNCTIONS, "__builtins__": _SAFE}


@lru_cache(maxsize=1024)
def _compiled(row: str, count: int) -> CodeType:
    return compile(row.format(*(f"v{i}" for i in range(count))), "<constant>", "eval")


def _cast(cast: Cast) -> Expr:
    argument = cast.argument
    if not isinstance(argument, Const):
        return cast
    if cast.method is CastMethod.DOMAIN:
        return cast
    if argument.value is None or cast.method is CastMethod.RELABEL:
        return Const(argument.value, cast.type, cast.typmod, cast.collation)
    if cast.method is CastMethod.FUNCTION and cast.cast is not None:
        declared = cast.cast
        if declared.volatility == "i" and not declared.needs_context and declared.row is not None:
            return _computed(cast, declared.row, [argument.value])
    if cast.method is CastMethod.LENGTH:
        kind = TYPES.by_oid.get(cast.type)
        if kind is not None and kind.apply_typmod is not None:
            explicit = cast.form is CastForm.EXPLICIT
            try:
                value = kind.apply_typmod(argument.value, cast.typmod, explicit)
            except SqlError:
                return cast
            return Const(value, cast.type, cast.typmod, cast.collation)
    return cast
