"""What rules ask about an expression: may it move, is it cheap, does NULL make it NULL."""

from __future__ import annotations

from typing import Final

from heliosd.functions.registry import SqlFunction
from heliosd.plan.nodes import SubPlan
from heliosd.sql.bound import (
    And,
    ArrayConstructor,
    ArrayTest,
    BooleanTest,
    Call,
    Case,
    CaseValue,
    Cast,
    CastMethod,
    Coalesce,
    Collate,
    Const,
    DistinctTest,
    ElementValue,
    Expr,
    InList,
    Not,
    NullTest,
    Or,
    Param,
    RowConstructor,
    SessionValue,
    SetReturningCall,
    Var,
    WholeRow,
)
from heliosd.sql.bound.walk import children, walk
from heliosd.types.facts import function_facts
from heliosd.types.registry import SqlOperator

BYTE_ORDER: Final = frozenset({0, 100, 950, 951})
"""Collations that order by code point: none, the database's, "C" and "POSIX"."""
CHEAP_NODES: Final = 8
"""An expression of at most this many nodes may be computed twice instead of kept."""


def is_volatile(expression: Expr) -> bool:
    """Whether two evaluations can differ or have effects: it must not move or be copied."""
    for node in walk(expression):
        if isinstance(node, SetReturningCall):
            return True
        if isinstance(node, Call) and node.target.volatility == "v":
            return True
        if isinstance(node, Cast) and node.cast is not None and node.cast.volatility == "v":
            return True
    return False


def is_cheap(expression: Expr) -> bool:
    """Whether it may be written in place of the column that holds it."""
    if isinstance(expression, Var | Const | Param):
        return True
    for count, node in enumerate(walk(expression), 1):
        if count > CHEAP_NODES or isinstance(node, SubPlan):
            return False
    return not is_volatile(expression)


def is_leakproof(expression: Expr) -> bool:
    """Whether evaluating it can tell nobody anything about rows that it is not meant to see.

    As in PostgreSQL (contain_leaked_vars): what is not known to be leakproof may be computed from
    constants and parameters, but not from columns.
    """
    if isinstance(expression, SubPlan | SetReturningCall):
        return False
    if _is_sealed(expression):
        return all(is_leakproof(child) for child in children(expression))
    return not any(isinstance(node, _TELLING) for node in walk(expression))


def _is_sealed(node: Expr) -> bool:
    """Whether the node itself, its operands aside, neither fails on some values nor tells them."""
    match node:
        case Call():
            return node.target.leakproof
        case ArrayTest() | InList():
            return node.operator.leakproof
        case Cast():
            if node.method is CastMethod.FUNCTION and node.cast is not None:
                fact = function_facts().get(node.cast.function_oid)
                return fact is not None and fact.leakproof
            return node.method is CastMethod.RELABEL
        case DistinctTest():
            return node.operator.leakproof
        case Case():
            # Its comparisons with a subject are calls of their own.
            return True
    return isinstance(node, _SEALED)


_TELLING: Final = (Var, WholeRow, CaseValue, ElementValue, SubPlan, SetReturningCall)
_SEALED: Final = (
    And, Or, Not, BooleanTest, NullTest, Coalesce, Collate, Const, Param, SessionValue, CaseValue,
    Var, WholeRow, RowConstructor, ArrayConstructor,
)  # fmt: skip


def rejects_null(expression: Expr, rels: frozenset[int]) -> bool:
    """Whether the predicate is false or NULL when every column of `rels` is NULL."""
    match expression:
        case And():
            return any(rejects_null(each, rels) for each in expression.arguments)
        case Or():
            return all(rejects_null(each, rels) for each in expression.arguments)
        case NullTest(negated=True):
            return null_gives_null(expression.argument, rels)
        case BooleanTest(value=True, negated=False) | BooleanTest(value=False, negated=False):
            return null_gives_null(expression.argument, rels)
    return null_gives_null(expression, rels)


def null_gives_null(expression: Expr, rels: frozenset[int]) -> bool:
    """Whether the value is NULL when every column of `rels` is NULL."""
    match expression:
        case Var() | WholeRow():
            return isinstance(expression, Var) and expression.rel in rels
        case Call():
            strict = isinstance(expression.target, SqlOperator | SqlFunction) and (
                expression.target.strict
            )
            return strict and any(null_gives_null(a, rels) for a in expression.arguments)
        case Cast() | Collate():
            return null_gives_null(expression.argument, rels)
        case Not():
            return null_gives_null(expression.argument, rels)
        case InList():
            return null_gives_null(expression.argument, rels)
        case ArrayTest(all=False):
            return null_gives_null(expression.argument, rels)
    return False


def contains(expression: Expr, wanted: type[Expr]) -> bool:
    """Whether a node of this kind stands in the expression."""
    return isinstance(expression, wanted) or any(
        contains(child, wanted) for child in children(expression)
    )


def like_range(pattern: str) -> tuple[str, str]:
    """(least text, first text beyond) of what is LIKE a pattern; "" where there is no bound."""
    prefix = ""
    escaped = False
    for character in pattern:
        if escaped:
            prefix += character
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in "%_":
            break
        else:
            prefix += character
    after = prefix
    while after and ord(after[-1]) >= 0x10FFFF:
        after = after[:-1]
    if after:
        following = ord(after[-1]) + 1
        # The code points between are no characters.
        following = 0xE000 if 0xD800 <= following < 0xE000 else following
        after = after[:-1] + chr(following)
    return prefix, after
