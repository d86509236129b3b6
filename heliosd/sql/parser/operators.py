"""Operators: precedence climbing over PostgreSQL's table.

`level` is a binding strength; an operator is taken while its own is at least that. The table of
gram.y, weakest first:

     1 OR              5 < > = <= >= <>                       9 other operators    13 AT TIME ZONE
     2 AND             6 BETWEEN IN LIKE ILIKE SIMILAR       10 + -                14 COLLATE
     3 NOT             (7, 8: words of frames and labels)    11 * / %              15 unary + -
     4 IS                                                    12 ^                  18 ::

4, 5 and 6 are nonassociative: after `a < b` another `<` is an error, which is looked for after
the right side is read. `b_expr` (what may stand before a word that `a_expr` would swallow) is
the same climb over a smaller table.
"""

# ruff: noqa: SLF001  # the tables below the class name its own methods

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from heliosd.errors import SqlError, not_supported
from heliosd.sql.keywords import BARE_COL_LABEL, COL_ID
from heliosd.sql.parser.cursor import DEPTH_MAX
from heliosd.sql.parser.types import TypeParser
from heliosd.sql.tree import (
    And,
    Between,
    BooleanTest,
    CollateClause,
    DistinctFrom,
    Expression,
    FunctionCall,
    InList,
    LikeKind,
    LikeTest,
    Not,
    NullTest,
    OperatorCall,
    Or,
    QuantifiedComparison,
    Query,
    RowExpression,
    SetToDefault,
    StringConstant,
    SubLink,
    SubLinkKind,
    TruthKind,
    TypeCast,
    XmlExpression,
    XmlKind,
)

# Kind of token -> how strongly it binds, and the method that takes it (None: not here after all).
_Table = Mapping[str, tuple[int, Callable[..., Expression | None]]]
_COMPARISONS: Final = frozenset(("<", ">", "=", "<=", ">=", "<>"))
_MATH_OPERATORS: Final = frozenset("+-*/%^") | _COMPARISONS
_NOT_FOLLOWERS: Final = frozenset(("between", "in", "like", "ilike", "similar"))
_MATCHES: Final = frozenset(("between", "in", "like", "ilike", "similar"))
# What may follow a target without AS: an operator's word before it is that target's label.
_AFTER_LABEL: Final = frozenset(
    (",", "EOF", ";", ")", "from", "into", "where", "group", "having", "window", "union",
     "intersect", "except", "order", "limit", "offset", "fetch", "for")
)  # fmt: skip
_TRUTHS: Final = {"true": TruthKind.TRUE, "false": TruthKind.FALSE, "unknown": TruthKind.UNKNOWN}
_NORMAL_FORMS: Final = frozenset(("nfc", "nfd", "nfkc", "nfkd"))
_LIKE_KINDS: Final = {"like": LikeKind.LIKE, "ilike": LikeKind.ILIKE, "similar": LikeKind.SIMILAR}


class OperatorParser(TypeParser):
    """a_expr and b_expr, as far as operators go."""

    # What an operand may begin with, and the method that reads it (filled in `expressions`).
    primaries: ClassVar[Mapping[str, Callable[..., Expression]]] = {}
    # The depth at which an operator's word may turn out to be a target's label.
    label_depth = -1

    # -- what higher families define -------------------------------------------------------------

    def name_or_call(self) -> Expression:
        """A column, a call, or a typed literal, from a word on."""
        raise NotImplementedError

    def explicit_row(self) -> Expression:
        """ROW(...)."""
        raise NotImplementedError

    def parenthesised(self) -> Query | Expression:
        """What the parentheses at the cursor hold; a row's position is their opening."""
        raise NotImplementedError

    def opens_query(self) -> bool:
        """Whether the parenthesis at the cursor, or the innermost that follows, holds a query."""
        raise NotImplementedError

    # -- climbing --------------------------------------------------------------------------------

    def a_expr(self, level: int = 0) -> Expression:
        """Any expression."""
        return self._expression(level, _A_INFIX)

    def b_expr(self, level: int = 0) -> Expression:
        """An expression without AND, OR, NOT, IN, LIKE, IS NULL, ..."""
        return self._expression(level, _B_INFIX)

    def _expression(self, level: int, table: _Table) -> Expression:
        self.depth = depth = self.depth + 1
        if depth > DEPTH_MAX:
            self.fail_depth()
        primary = self.primaries.get(self.kind)
        left = self._prefix(table) if primary is None else primary(self)
        infix = table.get(self.kind)
        if infix is not None and infix[0] >= level:
            left = self._climb(left, level, table)
        self.depth -= 1
        return left

    def _climb(self, left: Expression, level: int, table: _Table) -> Expression:
        while True:
            infix = table.get(self.kind)
            if infix is None or infix[0] < level:
                return left
            result = infix[1](self, left, table)
            if result is None:
                return left
            left = result

    def _prefix(self, table: _Table) -> Expression:
        """A signed or negated operand."""
        kind, position = self.kind, self.position
        if kind in ("-", "+"):
            self.advance()
            return OperatorCall(position, (kind,), None, self._expression(15, table))
        if kind == "OP" or kind == "operator":
            if kind == "operator" and self.peek() != "(":
                return self.name_or_call()
            operator = self._qualified_operator()
            return OperatorCall(position, operator, None, self._expression(10, table))
        if table is _A_INFIX:
            if kind == "not":
                self.advance()
                return Not(position, self._expression(3, table))
            if kind == "default":
                self.advance()
                return SetToDefault(position)
            if kind == "unique":
                raise not_supported("UNIQUE predicate", position=position)
        return self.fail()

    def climb_on(self, left: Expression) -> Expression:
        """Take the weaker operators after an operand that was read at a higher level."""
        return self._climb(left, 0, _A_INFIX)

    # -- infix and postfix -----------------------------------------------------------------------

    def _binary(self, left: Expression, table: _Table) -> Expression:
        position, operator = self.position, self.kind
        level = table[operator][0]
        self.advance()
        if self.kind in ("any", "some", "all") and table is _A_INFIX:
            return self._quantified(left, (operator,), position)
        return OperatorCall(position, (operator,), left, self._expression(level + 1, table))

    def _compare(self, left: Expression, table: _Table) -> Expression:
        start = self.starts[self.index]
        operator = self.kind
        self.index = index = self.index + 1
        kind = self.kind = self.kinds[index]
        if kind in ("any", "some", "all") and table is _A_INFIX:
            return self._quantified(left, (operator,), start + 1)
        right = self._expression(6, table)
        if self.kind in _COMPARISONS:
            self.fail()
        return OperatorCall(start + 1, (operator,), left, right)

    def _other_operator(self, left: Expression, table: _Table) -> Expression | None:
        position = self.position
        if self.kind == "operator" and self._is_label():
            return None
        operator = self._qualified_operator()
        if self.kind in ("any", "some", "all") and table is _A_INFIX:
            return self._quantified(left, operator, position)
        return OperatorCall(position, operator, left, self._expression(10, table))

    def _qualified_operator(self) -> tuple[str, ...]:
        """`||` or OPERATOR(schema.||)."""
        if self.kind == "OP":
            value = str(self.values[self.index])
            self.advance()
            return (value,)
        self.expect("operator")
        self.expect("(")
        operator = self.any_operator()
        self.expect(")")
        return operator

    def any_operator(self) -> tuple[str, ...]:
        """An operator, perhaps behind schemas."""
        parts = []
        while self.kind in COL_ID:
            parts.append(self.col_id())
            self.expect(".")
        parts.append(self.all_operator())
        return tuple(parts)

    def all_operator(self) -> str:
        """Any operator at all."""
        if self.kind != "OP" and self.kind not in _MATH_OPERATORS:
            self.fail()
        value = str(self.values[self.index])
        self.advance()
        return value

    def qualified_any_operator(self) -> tuple[str, ...]:
        """Any operator, or OPERATOR(...)."""
        return self._qualified_operator() if self.kind == "operator" else (self.all_operator(),)

    def _quantified(self, left: Expression, operator: tuple[str, ...], position: int) -> Expression:
        every = self.kind == "all"
        self.advance()
        if self.kind == "(" and self.opens_query():
            inner = self.parenthesised()
        else:
            self.expect("(")
            inner = self.a_expr()
            self.expect(")")
        if isinstance(inner, Query):
            kind = SubLinkKind.ALL if every else SubLinkKind.ANY
            return SubLink(position, kind, inner, left, operator)
        return QuantifiedComparison(position, operator, every, left, inner)

    def _and(self, left: Expression, table: _Table) -> Expression | None:
        position = self.position
        if self._is_label():
            return None
        operands = [left]
        while self.kind == "and" and not self._is_label():
            self.advance()
            operands.append(self._expression(3, table))
        return And(position, tuple(operands))

    def _or(self, left: Expression, table: _Table) -> Expression | None:
        position = self.position
        if self._is_label():
            return None
        operands = [left]
        while self.kind == "or" and not self._is_label():
            self.advance()
            operands.append(self._expression(2, table))
        return Or(position, tuple(operands))

    def _is_label(self) -> bool:
        """Whether the operator's word at the cursor ends the target and names it."""
        return (
            self.depth == self.label_depth
            and self.peek() in _AFTER_LABEL
            and self.kind in BARE_COL_LABEL
        )

    def _cast(self, left: Expression, table: _Table) -> Expression:
        position = self.position
        self.advance()
        return TypeCast(position, left, self.type_name())

    def _collate(self, left: Expression, table: _Table) -> Expression | None:
        if self._is_label():
            return None
        position = self.position
        self.advance()
        return CollateClause(position, left, self.any_name())

    def _at_time_zone(self, left: Expression, table: _Table) -> Expression | None:
        if self._is_label():
            return None
        position = self.position
        self.expect_words("at", "time", "zone")
        zone = self._expression(14, table)
        return FunctionCall(position, ("pg_catalog", "timezone"), (zone, left), sql_syntax=True)

    def _null_word(self, left: Expression, table: _Table) -> Expression:
        position, word = self.position, self.kind
        self.advance()
        return NullTest(position, left, word == "notnull")

    def _is(self, left: Expression, table: _Table) -> Expression | None:
        if self._is_label():
            return None
        position = self.position
        self.advance()
        negated = self.accept("not")
        kind = self.kind
        if table is _A_INFIX:
            if kind == "null":
                self.advance()
                return NullTest(position, left, negated)
            if kind in _TRUTHS:
                self.advance()
                return BooleanTest(position, left, _TRUTHS[kind], negated)
            if kind == "normalized" or kind in _NORMAL_FORMS:
                return self._is_normalized(left, position, negated=negated)
        if kind == "document":
            self.advance()
            test = XmlExpression(position, XmlKind.IS_DOCUMENT, arguments=(left,))
            return Not(position, test) if negated else test
        self.expect_words("distinct", "from")
        right = self._expression(5, table)
        if self.kind == "is" or (table is _A_INFIX and self.kind in ("isnull", "notnull")):
            self.fail()
        return DistinctFrom(position, left, right, negated)

    def _is_normalized(self, left: Expression, position: int, *, negated: bool) -> Expression:
        arguments: tuple[Expression, ...] = (left,)
        if self.kind in _NORMAL_FORMS:
            arguments = (left, StringConstant(self.position, self.kind.upper()))
            self.advance()
        self.expect("normalized")
        test = FunctionCall(position, ("pg_catalog", "is_normalized"), arguments, sql_syntax=True)
        return Not(position, test) if negated else test

    def _match(self, left: Expression, table: _Table) -> Expression | None:
        """[NOT] BETWEEN, IN, LIKE, ILIKE, SIMILAR TO."""
        negated = self.kind == "not"
        if negated:
            if self.peek() not in _NOT_FOLLOWERS:
                return None
        elif self._is_label():
            return None
        position = self.position
        if negated:
            self.advance()
        word = self.kind
        self.advance()
        if word == "in":
            return self._in(left, position, negated=negated)
        if word == "between":
            result: Expression = self._between(left, position, negated=negated)
        else:
            if word != "similar" and self.kind in ("any", "some", "all"):
                operator = ("!" if negated else "") + ("~~" if word == "like" else "~~*")
                return self._quantified(left, (operator,), position)
            result = self._like(left, position, word, negated=negated)
        if self.kind in _MATCHES or (self.kind == "not" and self.peek() in _NOT_FOLLOWERS):
            self.fail()
        return result

    def _between(self, left: Expression, position: int, *, negated: bool) -> Expression:
        symmetric = self.accept("symmetric")
        if not symmetric:
            self.accept("asymmetric")
        low = self.b_expr()
        self.expect("and")
        high = self.a_expr(7)
        return Between(position, left, low, high, negated, symmetric)

    def _like(self, left: Expression, position: int, word: str, *, negated: bool) -> Expression:
        kind = _LIKE_KINDS[word]
        if kind is LikeKind.SIMILAR:
            self.expect("to")
        pattern = self.a_expr(7)
        arguments: tuple[Expression, ...] = (pattern,)
        if self.accept("escape"):
            arguments = (pattern, self.a_expr(7))
        if kind is LikeKind.SIMILAR:
            name = ("pg_catalog", "similar_to_escape")
            pattern = FunctionCall(position, name, arguments)
        elif len(arguments) == 2:
            pattern = FunctionCall(position, ("pg_catalog", "like_escape"), arguments)
        return LikeTest(position, kind, left, pattern, negated)

    def _in(self, left: Expression, position: int, *, negated: bool) -> Expression:
        opening = self.position
        inner = self.parenthesised()
        if isinstance(inner, Query):
            link = SubLink(position, SubLinkKind.ANY, inner, left)
            return Not(position, link) if negated else link
        if isinstance(inner, RowExpression) and inner.position == opening and not inner.explicit:
            items = inner.items
        else:
            items = (inner,)
        return InList(position, left, items, negated)

    def _overlaps(self, left: Expression, table: _Table) -> Expression:
        position = self.position
        if not isinstance(left, RowExpression):
            self.fail()
        self.advance()
        if self.kind not in ("(", "row"):
            self.fail()
        right = self.explicit_row() if self.kind == "row" else self.parenthesised()
        if not isinstance(right, RowExpression):
            self.fail()
        for side, row in (("left", left), ("right", right)):
            if len(row.items) != 2:
                raise SqlError(
                    "42601",
                    f"wrong number of parameters on {side} side of OVERLAPS expression",
                    position=position,
                )
        name = ("pg_catalog", "overlaps")
        return FunctionCall(position, name, (*left.items, *right.items), sql_syntax=True)


def _infix_tables() -> tuple[_Table, _Table]:
    parser = OperatorParser
    arithmetic: dict[str, tuple[int, Callable[..., Expression | None]]] = {
        "OP": (9, parser._other_operator),
        "operator": (9, parser._other_operator),
        "+": (10, parser._binary),
        "-": (10, parser._binary),
        "*": (11, parser._binary),
        "/": (11, parser._binary),
        "%": (11, parser._binary),
        "^": (12, parser._binary),
        "::": (18, parser._cast),
        "is": (4, parser._is),
    }
    for comparison in _COMPARISONS:
        arithmetic[comparison] = (5, parser._compare)
    full = dict(arithmetic)
    full["or"] = (1, parser._or)
    full["and"] = (2, parser._and)
    full["isnull"] = full["notnull"] = (4, parser._null_word)
    for word in (*_MATCHES, "not"):
        full[word] = (6, parser._match)
    full["at"] = (13, parser._at_time_zone)
    full["collate"] = (14, parser._collate)
    full["overlaps"] = (17, parser._overlaps)
    return full, arithmetic


_A_INFIX, _B_INFIX = _infix_tables()
