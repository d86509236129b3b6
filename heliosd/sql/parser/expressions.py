"""Operands: columns, constants, calls, rows, queries in parentheses, CASE, ARRAY.

Operators are in `operators`, function calls in `functions`, queries in `query`.
"""

# ruff: noqa: SLF001  # the table below the class names its own methods

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from heliosd.errors import SqlError
from heliosd.sql.keywords import COL_ID, TYPE_FUNC_NAME, UNRESERVED
from heliosd.sql.parser.operators import OperatorParser
from heliosd.sql.parser.types import SQL_TYPE_WORDS
from heliosd.sql.tree import (
    ArrayConstructor,
    BitConstant,
    BooleanConstant,
    CaseExpression,
    CaseWhen,
    ColumnRef,
    Expression,
    FieldStep,
    GroupingCall,
    Indirection,
    IntegerConstant,
    NullConstant,
    NumericConstant,
    ParameterRef,
    Query,
    RowExpression,
    SliceStep,
    Star,
    StarStep,
    Step,
    StringConstant,
    SubLink,
    SubLinkKind,
    SubscriptStep,
    TypeCast,
    TypeName,
)

INT8_MAX: Final = 2**63 - 1
_QUERY_STARTS: Final = frozenset(("select", "values", "table", "with"))
_QUERY_TAILS: Final = frozenset(
    ("union", "intersect", "except", "order", "limit", "offset", "fetch", "for")
)


class ExpressionParser(OperatorParser):
    """a_expr, b_expr, c_expr. Function calls are in `functions`, queries in `query`."""

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

    # -- operands --------------------------------------------------------------------------------

    def c_expr(self) -> Expression:
        """An operand without any operator."""
        handler = self.primaries.get(self.kind)
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
        if self.kind != "SCONST":
            self.fail()
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
        inner = self.parenthesised()
        if isinstance(inner, Query):
            link: Expression = SubLink(position, SubLinkKind.EXPRESSION, inner)
            return self._indirected(link)
        if isinstance(inner, RowExpression) and inner.position == position and not inner.explicit:
            return inner
        return self._indirected(inner)

    def parenthesised(self) -> Query | Expression:
        """What the parentheses at the cursor hold; a row's position is their opening."""
        position = self.position
        self.expect("(")
        self.enter()
        label_depth, self.label_depth = self.label_depth, -1
        inner: Query | Expression
        if self.kind == "(" and self._holds_query():
            inner = self.parenthesised()
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

    def opens_query(self) -> bool:
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
        if not self.opens_query():
            self.advance()
            while self.kind == "(":
                self.advance()
            self.fail()
        inner = self.parenthesised()
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
ExpressionParser.primaries = _primaries()
