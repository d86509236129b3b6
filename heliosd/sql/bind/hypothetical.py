"""Hypothetical-set aggregates: where a row would stand among a group's, if it were there.

`rank(x) WITHIN GROUP (ORDER BY k)` counts the rows that sort before `x`; the other three count
likewise. They are bound as the counts that they are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from heliosd.errors import SqlError
from heliosd.sql.tree.base import Expression, TypeName
from heliosd.sql.tree.expressions import (
    And,
    BooleanConstant,
    CaseExpression,
    CaseWhen,
    Coalesce,
    DistinctFrom,
    FunctionCall,
    IntegerConstant,
    NullIf,
    NullTest,
    OperatorCall,
    Or,
    RowExpression,
    TypeCast,
)
from heliosd.sql.tree.window import NullsOrder, SortBy, SortDirection

_NAMES: Final = frozenset({"rank", "dense_rank", "percent_rank", "cume_dist"})


def is_hypothetical(tree: FunctionCall) -> bool:
    """Whether a call is one of the four, over WITHIN GROUP."""
    named = tree.name[-1] in _NAMES and tree.name[:-1] in ((), ("pg_catalog",))
    return named and tree.within_group and tree.over is None


class _Counts:
    """The trees of one call; positions are the call's."""

    def __init__(self, tree: FunctionCall) -> None:
        self.tree = tree
        self.at = tree.position

    def number(self, value: int) -> Expression:
        return IntegerConstant(self.at, value)

    def operator(self, name: str, left: Expression, right: Expression) -> Expression:
        return OperatorCall(self.at, (name,), left, right)

    def double(self, operand: Expression) -> Expression:
        kind = TypeName(self.at, ("pg_catalog", "float8"))
        return TypeCast(self.at, operand, kind)

    def count(self, condition: Expression | None) -> Expression:
        """count(*) FILTER (WHERE condition and the call's own)."""
        given = self.tree.filter
        if condition is not None and given is not None:
            condition = And(self.at, (given, condition))
        return FunctionCall(self.at, ("pg_catalog", "count"), star=True, filter=condition or given)

    def distinct(self, condition: Expression) -> Expression:
        """How many different rows sort before."""
        counted = self.count(condition)
        assert isinstance(counted, FunctionCall)
        keys = tuple(each.expression for each in self.tree.order_by)
        row = RowExpression(self.at, keys, explicit=True)
        return replace(counted, star=False, distinct=True, arguments=(row,))

    def before(self) -> Expression:
        """Whether a row sorts before the hypothetical one: by the first key that differs."""
        choices: list[Expression] = []
        same: list[Expression] = []
        for key, given in zip(self.tree.order_by, self.tree.arguments, strict=True):
            earlier = self._earlier(key, given)
            choices.append(And(self.at, (*same, earlier)) if same else earlier)
            same.append(self._same(key.expression, given))
        return choices[0] if len(choices) == 1 else Or(self.at, tuple(choices))

    def until(self) -> Expression:
        """Whether a row sorts before or is a peer."""
        pairs = zip(self.tree.order_by, self.tree.arguments, strict=True)
        same = tuple(self._same(key.expression, given) for key, given in pairs)
        peer = same[0] if len(same) == 1 else And(self.at, same)
        return Or(self.at, (self.before(), peer))

    def _same(self, key: Expression, given: Expression) -> Expression:
        return DistinctFrom(self.at, key, given, negated=True)

    def _earlier(self, key: SortBy, given: Expression) -> Expression:
        descending = key.direction is SortDirection.DESC
        first = key.nulls is NullsOrder.FIRST or (descending and key.nulls is NullsOrder.DEFAULT)
        name = ">" if descending else "<"
        if key.direction is SortDirection.USING and key.operator is not None:
            name = key.operator[-1]
        key_null = NullTest(self.at, key.expression, negated=False)
        given_null = NullTest(self.at, given, negated=False)
        whens = (
            (And(self.at, (key_null, given_null)), False),
            (key_null, first),
            (given_null, not first),
        )
        return CaseExpression(
            self.at,
            None,
            tuple(
                CaseWhen(self.at, test, BooleanConstant(self.at, answer)) for test, answer in whens
            ),
            self.operator(name, key.expression, given),
        )


def counted(tree: FunctionCall) -> Expression:
    """The call as counts; 42883 where the arguments do not match the order."""
    name, given, keys = tree.name[-1], len(tree.arguments), len(tree.order_by)
    if given != keys:
        raise SqlError(
            "42883",
            f"function {name} does not exist",
            hint=f"To use the hypothetical-set aggregate {name}, the number of hypothetical direct "
            f"arguments (here {given}) must match the number of ordering columns (here {keys}).",
            position=tree.position,
        )
    make = _Counts(tree)
    before = make.before()
    match name:
        case "rank":
            return make.operator("+", make.count(before), make.number(1))
        case "dense_rank":
            return make.operator("+", make.distinct(before), make.number(1))
        case "percent_rank":
            all_rows = NullIf(tree.position, make.count(None), make.number(0))
            share = make.operator("/", make.double(make.count(before)), make.double(all_rows))
            return Coalesce(tree.position, (share, make.double(make.number(0))))
    ahead = make.operator("+", make.double(make.count(make.until())), make.number(1))
    rows = make.operator("+", make.count(None), make.number(1))
    return make.operator("/", ahead, make.double(rows))
