"""Expressions: precedence climbing over PostgreSQL's table of operators.

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
from typing import Final, NoReturn

from heliosd.errors import SqlError, not_supported
from heliosd.sql.keywords import BARE_COL_LABEL, COL_ID, TYPE_FUNC_NAME, UNRESERVED
from heliosd.sql.parser.cursor import DEPTH_MAX
from heliosd.sql.parser.types import SQL_TYPE_WORDS, TypeParser
from heliosd.sql.tree import (
    And,
    ArrayConstructor,
    Between,
    BitConstant,
    BooleanConstant,
    BooleanTest,
    CaseExpression,
    CaseWhen,
    CollateClause,
    ColumnRef,
    DistinctFrom,
    Expression,
    FieldStep,
    FunctionCall,
    GroupingCall,
    Indirection,
    InList,
    IntegerConstant,
    LikeKind,
    LikeTest,
    Not,
    NullConstant,
    NullTest,
    NumericConstant,
    OperatorCall,
    Or,
    ParameterRef,
    QuantifiedComparison,
    Query,
    RowExpression,
    SetToDefault,
    SliceStep,
    Star,
    StarStep,
    Step,
    StringConstant,
    SubLink,
    SubLinkKind,
    SubscriptStep,
    TruthKind,
    TypeCast,
    TypeName,
    XmlExpression,
    XmlKind,
)

INT8_MAX: Final = 2**63 - 1
# Kind of token -> how strongly it binds, and the method that takes it (None: not here after all).
_Table = Mapping[str, tuple[int, Callable[..., Expression | None]]]

_COMPARISONS: Final = frozenset(("<", ">", "=", "<=", ">=", "<>"))
_MATH_OPERATORS: Final = frozenset("+-*/%^") | _COMPARISONS
_NOT_FOLLOWERS: Final = frozenset(("between", "in", "like", "ilike", "similar"))
_MATCHES: Final = frozenset(("between", "in", "like", "ilike", "similar"))
_QUERY_STARTS: Final = frozenset(("select", "values", "table", "with"))
_QUERY_TAILS: Final = frozenset(
    ("union", "intersect", "except", "order", "limit", "offset", "fetch", "for")
)
# What may follow a target without AS: an operator's word before it is that target's label.
_AFTER_LABEL: Final = frozenset(
    (",", "EOF", ";", ")", "from", "into", "where", "group", "having", "window", "union",
     "intersect", "except", "order", "limit", "offset", "fetch", "for")
)  # fmt: skip
_TRUTHS: Final = {"true": TruthKind.TRUE, "false": TruthKind.FALSE, "unknown": TruthKind.UNKNOWN}
_NORMAL_FORMS: Final = frozenset(("nfc", "nfd", "nfkc", "nfkd"))
_LIKE_KINDS: Final = {"like": LikeKind.LIKE, "ilike": LikeKind.ILIKE, "similar": LikeKind.SIMILAR}


class ExpressionParser(TypeParser):
    """a_expr, b_expr, c_expr. Function calls are in `functions`, queries in `query`."""

    # The depth at which an operator's word may turn out to be a target's label.
    label_depth = -1

    # -- what higher families define -------------------------------------------------------------

    def select_no_parens(self) -> Query:
        """A query that starts with a word."""
        raise NotImplementedError

    def query_rest(self, query: Query) -> Query:
        """Set operations and ORDER BY, LIMIT, ... after a query in parentheses."""
        raise NotImplementedError

    def function_call(self, name: tuple[str, ...], position: int) -> Expression:
        """A call, from its opening parenthesis on."""
        raise NotImplementedError

    def special_call(self, word: str) -> Expression | None:
        """A call with its own syntax, the cursor on its name; None if `word` has none."""
        raise NotImplementedError

    def bad_qualified_name(self) -> NoReturn:
        """A star or a subscript in a relation's name: reported behind it, as PostgreSQL does."""
        self.accept("*")
        self.indirection()
        self.fail()

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
        primary = _PRIMARY.get(self.kind)
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
        if self.kind == "(" and self._opens_query():
            inner = self._parenthesised()
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
        inner = self._parenthesised()
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
        right = self.explicit_row() if self.kind == "row" else self._parenthesised()
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

    # -- operands --------------------------------------------------------------------------------

    def c_expr(self) -> Expression:
        """An operand without any operator."""
        handler = _PRIMARY.get(self.kind)
        if handler is None:
            self.fail()
        return handler(self)

    def _integer_constant(self) -> Expression:
        index = self.index
        node = IntegerConstant(self.starts[index] + 1, self.values[index])  # type: ignore[arg-type]
        self.index = index = index + 1
        self.kind = self.kinds[index]
        return node

    def _number(self) -> Expression:
        position, text = self.position, str(self.values[self.index])
        self.advance()
        if text.isdigit() and len(text) < 25 and int(text) <= INT8_MAX:
            return IntegerConstant(position, int(text))
        return NumericConstant(position, text)

    def _string_constant(self) -> Expression:
        index = self.index
        node = StringConstant(self.starts[index] + 1, self.values[index])  # type: ignore[arg-type]
        self.index = index = index + 1
        self.kind = self.kinds[index]
        return node

    def _bit_constant(self) -> Expression:
        node = BitConstant(self.position, str(self.values[self.index]))
        self.advance()
        return node

    def _boolean(self) -> Expression:
        node = BooleanConstant(self.position, self.kind == "true")
        self.advance()
        return node

    def _null(self) -> Expression:
        node = NullConstant(self.position)
        self.advance()
        return node

    def _parameter(self) -> Expression:
        position, text = self.position, str(self.values[self.index])
        number = int(text) if len(text) < 12 else 2**31
        if number > 2**31 - 1 or number < 1:
            raise SqlError("42P02", f"there is no parameter ${text}", position=position)
        self.advance()
        return self._indirected(ParameterRef(position, number))

    def name_or_call(self) -> Expression:
        """A column, a call, or a typed literal, from a word on."""
        index = self.index
        start = self.starts[index]
        name: str = self.values[index]  # type: ignore[assignment]  # words are str
        word = self.kind
        self.index = index = index + 1
        kind = self.kind = self.kinds[index]
        if kind == "(":
            if word in _UNCALLABLE:
                self.fail()
            return self.function_call((name,), start + 1)
        if kind == ".":
            return self._dotted(name, start + 1)
        if kind == "SCONST" and word not in _UNCALLABLE:
            return self._typed_literal(TypeName(start + 1, (name,)))
        if kind == "[":
            return self._indirected(ColumnRef(start + 1, (name,)))
        return ColumnRef(start + 1, (name,))

    def _dotted(self, name: str, position: int) -> Expression:
        names = [name]
        while self.accept("."):
            if self.kind == "*":
                self.advance()
                if self.kind in (".", "["):
                    self.indirection()
                    self.fail_because('improper use of "*"')
                return Star(position, tuple(names))
            names.append(self.col_label())
        if self.kind == "(":
            return self.function_call(tuple(names), position)
        if self.kind == "SCONST":
            return self._typed_literal(TypeName(position, tuple(names)))
        reference = ColumnRef(position, tuple(names))
        return self._indirected(reference) if self.kind == "[" else reference

    def _typed_literal(self, type_name: TypeName) -> Expression:
        literal = self._string_constant()
        return TypeCast(type_name.position, literal, type_name)

    def _indirected(self, operand: Expression) -> Expression:
        """`operand` with the fields and subscripts that follow it."""
        if self.kind not in (".", "["):
            return operand
        return Indirection(operand.position, operand, self.indirection())

    def indirection(self) -> tuple[Step, ...]:
        """Fields and subscripts, perhaps none; nothing may follow a star."""
        steps: list[Step] = []
        while self.kind in (".", "["):
            position = self.position
            dot = self.kind == "."
            self.advance()
            if not dot:
                steps.append(self._subscript(position))
            elif self.accept("*"):
                steps.append(StarStep(position))
            else:
                steps.append(FieldStep(position, self.col_label()))
        if len(steps) > 1 and any(isinstance(step, StarStep) for step in steps[:-1]):
            self.fail_because('improper use of "*"')
        return tuple(steps)

    def _subscript(self, position: int) -> Step:
        low = None if self.kind == ":" else self.a_expr()
        if not self.accept(":"):
            if low is None:
                self.fail()
            self.expect("]")
            return SubscriptStep(position, low)
        high = None if self.kind == "]" else self.a_expr()
        self.expect("]")
        return SliceStep(position, low, high)

    # -- parentheses -----------------------------------------------------------------------------

    def _parentheses(self) -> Expression:
        """An operand in parentheses: an expression, a row or a query."""
        position = self.position
        inner = self._parenthesised()
        if isinstance(inner, Query):
            link: Expression = SubLink(position, SubLinkKind.EXPRESSION, inner)
            return self._indirected(link)
        if isinstance(inner, RowExpression) and inner.position == position and not inner.explicit:
            return inner
        return self._indirected(inner)

    def _parenthesised(self) -> Query | Expression:
        """What the parentheses at the cursor hold; a row's position is their opening."""
        position = self.position
        self.expect("(")
        self.enter()
        label_depth, self.label_depth = self.label_depth, -1
        inner: Query | Expression
        if self.kind == "(" and self._holds_query():
            inner = self._parenthesised()
            if isinstance(inner, Query):
                if self.kind in _QUERY_TAILS:
                    inner = self.query_rest(inner)
                if self.kind != ")":
                    link = SubLink(inner.position, SubLinkKind.EXPRESSION, inner)
                    inner = self._rest_of_row(self._indirected(link), position)
            else:
                inner = self._rest_of_row(self._indirected(inner), position)
        elif self.kind in _QUERY_STARTS and self._starts_query():
            inner = self.select_no_parens()
        else:
            inner = self._row_or_one(self.a_expr(), position)
        self.expect(")")
        self.depth -= 1
        self.label_depth = label_depth
        return inner

    def _starts_query(self) -> bool:
        """Whether the word at the cursor begins a query: VALUES may be a column's name."""
        return self.kind != "values" or self.peek() == "("

    def _holds_query(self) -> bool:
        """Whether the innermost of the parentheses that open here begins with a query."""
        ahead = 1
        while self.peek(ahead) == "(":
            ahead += 1
        word = self.peek(ahead)
        return word in _QUERY_STARTS and (word != "values" or self.peek(ahead + 1) == "(")

    def _opens_query(self) -> bool:
        """Whether the parenthesis at the cursor, or the innermost that follows, holds a query."""
        word = self.peek()
        if word == "(":
            return self._holds_query()
        return word in _QUERY_STARTS and (word != "values" or self.peek(2) == "(")

    def _rest_of_row(self, left: Expression, position: int) -> Expression:
        return self._row_or_one(self.climb_on(left), position)

    def _row_or_one(self, first: Expression, position: int) -> Expression:
        if self.kind != ",":
            return first
        items = [first]
        while self.accept(","):
            items.append(self.a_expr())
        return RowExpression(position, tuple(items), explicit=False)

    def select_with_parens(self) -> Query:
        """A query in parentheses and nothing else."""
        if self.kind != "(":
            self.fail()
        if not self._opens_query():
            self.advance()
            while self.kind == "(":
                self.advance()
            self.fail()
        inner = self._parenthesised()
        if not isinstance(inner, Query):
            self.fail()
        return inner

    # -- operands with a word --------------------------------------------------------------------

    def _reserved_call(self) -> Expression:
        """A word that has its own syntax as a call and is no name otherwise."""
        call = self.special_call(self.kind)
        if call is None:
            self.advance()
            self.fail()
        return call

    def _col_name_word(self) -> Expression:
        """A word that may name a column, unless its own syntax follows."""
        word = self.kind
        if self.peek() == "(":
            if word == "row":
                return self.explicit_row()
            if word == "exists":
                position = self.position
                self.advance()
                return SubLink(position, SubLinkKind.EXISTS, self.select_with_parens())
            if word == "grouping":
                return self._grouping()
            call = self.special_call(word)
            if call is not None:
                return call
        if word in SQL_TYPE_WORDS and self._type_follows(word):
            return self._sql_typed_literal(word)
        return self.name_or_call()

    def _type_follows(self, word: str) -> bool:
        """Whether a type's name starts here and not a column's."""
        following = self.peek()
        return (
            following in ("SCONST", "(")
            or (word in ("bit", "char", "character", "nchar") and following == "varying")
            or (word == "national" and following in ("character", "char"))
            or (word in ("timestamp", "time") and following in ("with", "without")
                and self.peek(2) == "time")
        )  # fmt: skip

    def _double(self) -> Expression:
        if self.peek() == "precision" and self.peek(2) == "SCONST":
            return self._typed_literal(self.sql_type())
        return self.name_or_call()

    def _sql_typed_literal(self, word: str) -> Expression:
        if word != "interval":
            type_name = self.sql_type()
            if self.kind != "SCONST":
                self.fail()
            # char 'abc' keeps its length: only a written one cuts
            if type_name.names[-1] in ("bpchar", "bit") and type_name.modifiers:
                modifier = type_name.modifiers[0]
                if modifier.position == 0:
                    type_name = TypeName(type_name.position, type_name.names)
            return self._typed_literal(type_name)
        position = self.position
        if self.peek() == "(":
            type_name = self.interval_type()
            return self._typed_literal(type_name)
        self.advance()
        literal = self._string_constant()
        fields = self.interval_fields()
        return TypeCast(position, literal, TypeName(position, ("pg_catalog", "interval"), fields))

    def _type_func_name_word(self) -> Expression:
        """A word that may name a function or type but no column."""
        word = self.kind
        call = self.special_call(word)
        if call is not None:
            return call
        following = self.peek()
        if following not in ("(", "SCONST", "."):
            self.advance()
            self.fail()
        if following == ".":  # type_function_name has no qualification
            self.advance()
            self.fail()
        return self.name_or_call()

    def explicit_row(self) -> Expression:
        """ROW(...)."""
        position = self.position
        self.expect("row")
        self.expect("(")
        items = () if self.kind == ")" else self.expression_list()
        self.expect(")")
        return RowExpression(position, items, explicit=True)

    def _grouping(self) -> Expression:
        position = self.position
        self.advance()
        self.expect("(")
        arguments = self.expression_list()
        self.expect(")")
        return GroupingCall(position, arguments)

    def _case(self) -> Expression:
        position = self.position
        self.advance()
        argument = None if self.kind == "when" else self.a_expr()
        whens = []
        if self.kind != "when":
            self.fail()
        while self.kind == "when":
            at = self.position
            self.advance()
            condition = self.a_expr()
            self.expect("then")
            whens.append(CaseWhen(at, condition, self.a_expr()))
        default = self.a_expr() if self.accept("else") else None
        self.expect("end")
        return CaseExpression(position, argument, tuple(whens), default)

    def _array(self) -> Expression:
        position = self.position
        self.advance()
        if self.kind == "(":
            return SubLink(position, SubLinkKind.ARRAY, self.select_with_parens())
        return self._array_elements(position)

    def _array_elements(self, position: int) -> Expression:
        self.expect("[")
        self.enter()
        elements: list[Expression] = []
        if self.kind == "[":
            elements.append(self._array_elements(self.position))
            while self.accept(","):
                elements.append(self._array_elements(self.position))
        elif self.kind != "]":
            elements.extend(self.expression_list())
        self.expect("]")
        self.depth -= 1
        return ArrayConstructor(position, tuple(elements))


def _infix_tables() -> tuple[_Table, _Table]:
    parser = ExpressionParser
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


def _primaries() -> Mapping[str, Callable[[ExpressionParser], Expression]]:
    parser = ExpressionParser
    table: dict[str, Callable[[ExpressionParser], Expression]] = {}
    for word in UNRESERVED:
        table[word] = parser.name_or_call
    for word in COL_ID - UNRESERVED - {"IDENT"}:
        table[word] = parser._col_name_word
    for word in TYPE_FUNC_NAME:
        table[word] = parser._type_func_name_word
    for word in (
        "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp",
        "current_role", "current_user", "session_user", "user", "current_catalog", "cast",
    ):  # fmt: skip
        table[word] = parser._reserved_call
    table |= {
        "IDENT": parser.name_or_call,
        "double": parser._double,
        "ICONST": parser._integer_constant,
        "FCONST": parser._number,
        "SCONST": parser._string_constant,
        "BCONST": parser._bit_constant,
        "PARAM": parser._parameter,
        "true": parser._boolean,
        "false": parser._boolean,
        "null": parser._null,
        "(": parser._parentheses,
        "case": parser._case,
        "array": parser._array,
    }
    del table["operator"]
    return table


# Names of columns that are followed by their own syntax when called: no plain calls of them.
_UNCALLABLE: Final = COL_ID - UNRESERVED - {"IDENT"}
_A_INFIX, _B_INFIX = _infix_tables()
_PRIMARY: Final = _primaries()
