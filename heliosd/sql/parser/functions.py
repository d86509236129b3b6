"""Calls: ordinary ones with their clauses, and those that SQL spells in words."""

# ruff: noqa: SLF001  # the table below the class names its own methods

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from heliosd.errors import SqlError
from heliosd.sql.keywords import COL_ID, COL_LABEL, COL_NAME, TYPE_FUNC_NAME, TYPE_FUNCTION_NAME
from heliosd.sql.parser.expressions import ExpressionParser
from heliosd.sql.tree import (
    Coalesce,
    Expression,
    Frame,
    FrameBound,
    FrameBoundKind,
    FrameExclusion,
    FrameMode,
    FunctionCall,
    IntegerConstant,
    MinMax,
    NamedArgument,
    NullIf,
    NullsOrder,
    SortBy,
    SortDirection,
    SqlValueFunction,
    StringConstant,
    TypeCast,
    TypeName,
    ValueFunction,
    WindowDefinition,
    XmlAttribute,
    XmlExpression,
    XmlKind,
)

_EXTRACT_WORDS: Final = frozenset(("IDENT", "year", "month", "day", "hour", "minute", "second"))
_WITH_PRECISION: Final = frozenset(
    ("current_time", "current_timestamp", "localtime", "localtimestamp")
)
_FRAME_WORDS: Final = {"range": FrameMode.RANGE, "rows": FrameMode.ROWS, "groups": FrameMode.GROUPS}
_NOT_WINDOW_NAMES: Final = frozenset(("partition", "range", "rows", "groups"))


class FunctionParser(ExpressionParser):
    """Function calls, windows, ORDER BY items."""

    # -- ordinary calls --------------------------------------------------------------------------

    def function_call(self, name: tuple[str, ...], position: int) -> Expression:
        """A call with WITHIN GROUP, FILTER and OVER, or a typed literal with modifiers."""
        call = self.function_application(name, position)
        if self.kind == "SCONST" and call.arguments and not (call.distinct or call.variadic):
            return self._literal_of(call)
        kind = self.kind
        if kind == "within":
            call = self._within_group(call)
            kind = self.kind
        filtered = call.filter
        if kind == "filter":
            self.advance()
            self.expect_words("(", "where")
            filtered = self.a_expr()
            self.expect(")")
            kind = self.kind
        over = None
        if kind == "over":
            self.advance()
            over = self._over()
        if filtered is None and over is None:
            return call
        return FunctionCall(
            call.position, call.name, call.arguments, call.star, call.distinct, call.variadic,
            call.order_by, call.within_group, filtered, over,
        )  # fmt: skip

    def function_application(self, name: tuple[str, ...], position: int) -> FunctionCall:
        """`(arguments)` after a name."""
        self.expect("(")
        if self.accept(")"):
            return FunctionCall(position, name)
        if self.accept("*"):
            self.expect(")")
            return FunctionCall(position, name, star=True)
        distinct = variadic = False
        if self.kind == "distinct":
            self.advance()
            distinct = True
        else:
            self.accept("all")
        arguments: list[Expression] = []
        while True:
            if not distinct and self.accept("variadic"):
                variadic = True
            arguments.append(self._argument())
            if variadic or self.kind != ",":
                break
            self.advance()
        order_by = self.optional_order_by()
        self.expect(")")
        return FunctionCall(
            position, name, tuple(arguments), distinct=distinct, variadic=variadic,
            order_by=order_by,
        )  # fmt: skip

    def _argument(self) -> Expression:
        if self.peek() in ("=>", ":=") and self.kind in TYPE_FUNCTION_NAME:
            position = self.position
            name = self.type_function_name()
            self.advance()
            return NamedArgument(position, name, self.a_expr())
        return self.a_expr()

    def _literal_of(self, call: FunctionCall) -> Expression:
        """`name(modifiers) 'literal'`."""
        for argument in call.arguments:
            if isinstance(argument, NamedArgument):
                raise SqlError(
                    "42601", "type modifier cannot have parameter name", position=argument.position
                )
        if call.order_by:
            raise SqlError(
                "42601", "type modifier cannot have ORDER BY", position=call.order_by[0].position
            )
        type_name = TypeName(call.position, call.name, call.arguments)
        literal = StringConstant(self.position, self.string())
        return TypeCast(call.position, literal, type_name)

    def _within_group(self, call: FunctionCall) -> FunctionCall:
        position = self.position
        self.expect_words("within", "group", "(")
        order_by = self.order_by()
        self.expect(")")
        for wrong, clause in (
            (bool(call.order_by), "multiple ORDER BY clauses"),
            (call.distinct, "DISTINCT"),
            (call.variadic, "VARIADIC"),
        ):
            if wrong:
                message = f"cannot use {clause} with WITHIN GROUP"
                raise SqlError("42601", message, position=position)
        return FunctionCall(
            call.position, call.name, call.arguments, call.star, order_by=order_by,
            within_group=True,
        )  # fmt: skip

    def function_in_from(self) -> Expression:
        """func_expr_windowless: a call without FILTER and OVER, or a call spelled in words."""
        special = self.special_call(self.kind)
        if special is not None:
            return special
        position = self.position
        return self.function_application(self.function_name(), position)

    def function_name(self) -> tuple[str, ...]:
        """A function's name, perhaps qualified."""
        if self.kind in TYPE_FUNC_NAME or self.peek() != ".":
            if self.kind in COL_NAME:  # a name, but only of something that a dot follows
                self.advance()
                self.fail()
            return (self.type_function_name(),)
        return self.any_name()

    # -- ORDER BY --------------------------------------------------------------------------------

    def optional_order_by(self) -> tuple[SortBy, ...]:
        """ORDER BY, or nothing."""
        return self.order_by() if self.kind == "order" else ()

    def order_by(self) -> tuple[SortBy, ...]:
        """ORDER BY items."""
        self.expect_words("order", "by")
        items = [self._sort_by()]
        while self.accept(","):
            items.append(self._sort_by())
        return tuple(items)

    def _sort_by(self) -> SortBy:
        position = self.position
        expression = self.a_expr()
        kind = self.kind
        if kind == "using":
            self.advance()
            operator = self.qualified_any_operator()
            return SortBy(position, expression, SortDirection.USING, self.nulls_order(), operator)
        return SortBy(position, expression, self.sort_direction(), self.nulls_order())

    def sort_direction(self) -> SortDirection:
        """ASC or DESC, or nothing."""
        if self.kind == "asc":
            self.advance()
            return SortDirection.ASC
        if self.kind == "desc":
            self.advance()
            return SortDirection.DESC
        return SortDirection.DEFAULT

    def nulls_order(self) -> NullsOrder:
        """NULLS FIRST or LAST, or nothing."""
        if self.kind != "nulls" or self.peek() not in ("first", "last"):
            return NullsOrder.DEFAULT
        self.advance()
        first = self.kind == "first"
        self.advance()
        return NullsOrder.FIRST if first else NullsOrder.LAST

    # -- windows ---------------------------------------------------------------------------------

    def _over(self) -> WindowDefinition:
        position = self.position
        if self.kind != "(":
            return WindowDefinition(position, name=self.col_id())
        return self.window_specification(None)

    def window_specification(self, name: str | None) -> WindowDefinition:
        """`([existing] [PARTITION BY ...] [ORDER BY ...] [frame])`."""
        position = self.position
        self.expect("(")
        reference = None
        if self.kind in COL_ID and self.kind not in _NOT_WINDOW_NAMES:
            reference = self.col_id()
        partition_by: tuple[Expression, ...] = ()
        if self.accept("partition"):
            self.expect("by")
            partition_by = self.expression_list()
        order_by = self.optional_order_by()
        frame = self._frame() if self.kind in _FRAME_WORDS else None
        self.expect(")")
        return WindowDefinition(position, name, reference, partition_by, order_by, frame)

    def _frame(self) -> Frame:
        position = self.position
        mode = _FRAME_WORDS[self.kind]
        self.advance()
        if self.accept("between"):
            start = self._frame_bound()
            self.expect("and")
            end = self._frame_bound()
        else:
            start = self._frame_bound()
            end = FrameBound(start.position, FrameBoundKind.CURRENT_ROW)
        self._check_frame(start, end)
        exclusion = FrameExclusion.NO_OTHERS
        if self.accept("exclude"):
            exclusion = self._frame_exclusion()
        return Frame(position, mode, start, end, exclusion)

    def _check_frame(self, start: FrameBound, end: FrameBound) -> None:
        kinds = FrameBoundKind
        if start.kind is kinds.UNBOUNDED_FOLLOWING:
            message = "frame start cannot be UNBOUNDED FOLLOWING"
        elif end.kind is kinds.UNBOUNDED_PRECEDING:
            message = "frame end cannot be UNBOUNDED PRECEDING"
        elif start.kind is kinds.CURRENT_ROW and end.kind is kinds.PRECEDING:
            message = "frame starting from current row cannot have preceding rows"
        elif start.kind is kinds.FOLLOWING and end.kind in (kinds.PRECEDING, kinds.CURRENT_ROW):
            message = (
                "frame starting from following row cannot have preceding rows"
                if end.kind is kinds.PRECEDING
                else "frame starting from following row cannot end with current row"
            )
        else:
            return
        raise SqlError("42P20", message, position=start.position)

    def _frame_bound(self) -> FrameBound:
        position = self.position
        if self.kind == "unbounded" and self.peek() in ("preceding", "following"):
            self.advance()
            preceding = self.one_of("preceding", "following") == "preceding"
            kinds = FrameBoundKind
            return FrameBound(
                position, kinds.UNBOUNDED_PRECEDING if preceding else kinds.UNBOUNDED_FOLLOWING
            )
        if self.kind == "current" and self.peek() == "row":
            self.advance()
            self.advance()
            return FrameBound(position, FrameBoundKind.CURRENT_ROW)
        offset = self.a_expr()
        preceding = self.one_of("preceding", "following") == "preceding"
        kind = FrameBoundKind.PRECEDING if preceding else FrameBoundKind.FOLLOWING
        return FrameBound(position, kind, offset)

    def _frame_exclusion(self) -> FrameExclusion:
        word = self.one_of("current", "group", "ties", "no")
        if word == "current":
            self.expect("row")
            return FrameExclusion.CURRENT_ROW
        if word == "no":
            self.expect("others")
            return FrameExclusion.NO_OTHERS
        return FrameExclusion.GROUP if word == "group" else FrameExclusion.TIES

    # -- calls spelled in words ------------------------------------------------------------------

    def special_call(self, word: str) -> Expression | None:
        """SQL's own functions; None when `word` is no such call here."""
        if word in _VALUE_FUNCTIONS:
            return self._value_function(word)
        handler = _SPECIAL.get(word)
        if handler is None:
            return None
        if word == "collation":
            if self.peek() != "for":
                return None
        elif self.peek() != "(":
            return None
        return handler(self)

    def _value_function(self, word: str) -> Expression:
        position = self.position
        if word == "current_schema" and self.peek() == "(":
            return self.name_or_call()
        self.advance()
        precision = None
        if word in _WITH_PRECISION and self.accept("("):
            precision = self.integer()
            self.expect(")")
        return SqlValueFunction(position, _VALUE_FUNCTIONS[word], precision)

    def _open(self) -> int:
        """Step over a call's name and its parenthesis; the name's position."""
        position = self.position
        self.advance()
        self.expect("(")
        return position

    def _close(
        self, position: int, function: str, arguments: tuple[Expression, ...]
    ) -> FunctionCall:
        self.expect(")")
        return FunctionCall(position, ("pg_catalog", function), arguments, sql_syntax=True)

    def _cast_call(self) -> Expression:
        position = self._open()
        operand = self.a_expr()
        self.expect("as")
        target = self.type_name()
        self.expect(")")
        return TypeCast(position, operand, target)

    def _treat(self) -> Expression:
        position = self._open()
        operand = self.a_expr()
        self.expect("as")
        target = self.type_name()
        self.expect(")")
        return FunctionCall(position, ("pg_catalog", target.names[-1]), (operand,))

    def _extract(self) -> Expression:
        position = self._open()
        at = self.position
        if self.kind == "SCONST":
            field = self.string()
        else:
            field = self.word_of(_EXTRACT_WORDS)
        self.expect("from")
        return self._close(position, "extract", (StringConstant(at, field), self.a_expr()))

    def _normalize(self) -> Expression:
        position = self._open()
        arguments: tuple[Expression, ...] = (self.a_expr(),)
        if self.accept(","):
            at = self.position
            form = self.one_of("nfc", "nfd", "nfkc", "nfkd")
            arguments = (*arguments, StringConstant(at, form.upper()))
        return self._close(position, "normalize", arguments)

    def _overlay(self) -> Expression:
        position = self.position
        if self.peek(2) == ")" or self._is_named_argument(2):
            return self._plain_call("overlay")
        self._open()
        first = self.a_expr()
        if self.kind != "placing":
            return self._plain_rest("overlay", position, first)
        self.advance()
        second = self.a_expr()
        self.expect("from")
        arguments = [first, second, self.a_expr()]
        if self.accept("for"):
            arguments.append(self.a_expr())
        return self._close(position, "overlay", tuple(arguments))

    def _position(self) -> Expression:
        position = self._open()
        part = self.b_expr()
        self.expect("in")
        whole = self.b_expr()
        return self._close(position, "position", (whole, part))

    def _substring(self) -> Expression:
        position = self.position
        if self.peek(2) == ")" or self._is_named_argument(2):
            return self._plain_call("substring")
        self._open()
        first = self.a_expr(7)
        if self.kind == "similar" and self.peek() != "to":
            self.advance()
            pattern = self.a_expr()
            self.expect("escape")
            return self._close(position, "substring", (first, pattern, self.a_expr()))
        first = self.climb_on(first)
        if self.accept("from"):
            start = self.a_expr()
            if self.accept("for"):
                return self._close(position, "substring", (first, start, self.a_expr()))
            return self._close(position, "substring", (first, start))
        if self.kind == "for":
            self.advance()
            at = self.position
            length = self.a_expr()
            if self.accept("from"):
                return self._close(position, "substring", (first, self.a_expr(), length))
            int4 = TypeName(0, ("pg_catalog", "int4"))
            arguments = (first, IntegerConstant(0, 1), TypeCast(at, length, int4))
            return self._close(position, "substring", arguments)
        return self._plain_rest("substring", position, first)

    def _is_named_argument(self, ahead: int) -> bool:
        return self.peek(ahead + 1) in ("=>", ":=")

    def _plain_call(self, name: str) -> Expression:
        position = self.position
        self.advance()
        return self.function_application((name,), position)

    def _plain_rest(self, name: str, position: int, first: Expression) -> Expression:
        """The rest of an ordinary argument list."""
        arguments = [first]
        while self.accept(","):
            arguments.append(self._argument())
        self.expect(")")
        return FunctionCall(position, (name,), tuple(arguments))

    def _trim(self) -> Expression:
        position = self._open()
        function = {"both": "btrim", "leading": "ltrim", "trailing": "rtrim"}.get(self.kind)
        if function is not None:
            self.advance()
        function = function or "btrim"
        if self.accept("from"):
            return self._close(position, function, self.expression_list())
        arguments = self.expression_list()
        if len(arguments) == 1 and self.accept("from"):
            arguments = (*self.expression_list(), *arguments)
        return self._close(position, function, arguments)

    def _null_if(self) -> Expression:
        position = self._open()
        left = self.a_expr()
        self.expect(",")
        right = self.a_expr()
        self.expect(")")
        return NullIf(position, left, right)

    def _coalesce(self) -> Expression:
        position = self._open()
        arguments = self.expression_list()
        self.expect(")")
        return Coalesce(position, arguments)

    def _min_max(self) -> Expression:
        greatest = self.kind == "greatest"
        position = self._open()
        arguments = self.expression_list()
        self.expect(")")
        return MinMax(position, greatest, arguments)

    def _collation_for(self) -> Expression:
        position = self.position
        self.expect_words("collation", "for", "(")
        return self._close(position, "pg_collation_for", (self.a_expr(),))

    # -- XML -------------------------------------------------------------------------------------

    def _xml_concat(self) -> Expression:
        position = self._open()
        arguments = self.expression_list()
        self.expect(")")
        return XmlExpression(position, XmlKind.CONCAT, arguments=arguments)

    def _xml_element(self) -> Expression:
        position = self._open()
        self.expect("name")
        name = self.col_label()
        attributes: tuple[XmlAttribute, ...] = ()
        arguments: tuple[Expression, ...] = ()
        if self.accept(","):
            if self.kind == "xmlattributes" and self.peek() == "(":
                self.advance()
                self.expect("(")
                attributes = self._xml_attributes()
                self.expect(")")
                if self.accept(","):
                    arguments = self.expression_list()
            else:
                arguments = self.expression_list()
        self.expect(")")
        return XmlExpression(position, XmlKind.ELEMENT, name, arguments, attributes)

    def _xml_attributes(self) -> tuple[XmlAttribute, ...]:
        attributes = []
        while True:
            position = self.position
            value = self.a_expr()
            name = self.col_label() if self.accept("as") else None
            attributes.append(XmlAttribute(position, value, name))
            if not self.accept(","):
                return tuple(attributes)

    def _xml_forest(self) -> Expression:
        position = self._open()
        attributes = self._xml_attributes()
        self.expect(")")
        return XmlExpression(position, XmlKind.FOREST, attributes=attributes)

    def _xml_exists(self) -> Expression:
        position = self._open()
        path = self.c_expr()
        return self._close(position, "xmlexists", (path, self.xml_passing()))

    def xml_passing(self) -> Expression:
        """PASSING [BY REF|VALUE] document [BY REF|VALUE]."""
        self.expect("passing")
        if self.accept("by"):
            self.one_of("ref", "value")
        document = self.c_expr()
        if self.accept("by"):
            self.one_of("ref", "value")
        return document

    def _xml_parse(self) -> Expression:
        position = self._open()
        document = self.one_of("document", "content") == "document"
        argument = self.a_expr()
        preserve = False
        if self.kind in ("preserve", "strip"):
            preserve = self.kind == "preserve"
            self.advance()
            self.expect("whitespace")
        self.expect(")")
        return XmlExpression(
            position, XmlKind.PARSE, arguments=(argument,), document=document,
            preserve_whitespace=preserve,
        )  # fmt: skip

    def _xml_pi(self) -> Expression:
        position = self._open()
        self.expect("name")
        name = self.word_of(COL_LABEL)
        arguments = (self.a_expr(),) if self.accept(",") else ()
        self.expect(")")
        return XmlExpression(position, XmlKind.PI, name, arguments)

    def _xml_root(self) -> Expression:
        position = self._open()
        arguments: list[Expression] = [self.a_expr()]
        self.expect_words(",", "version")
        if self.kind == "no" and self.peek() == "value":
            self.advance()
            self.advance()
        else:
            arguments.append(self.a_expr())
        standalone = None
        if self.accept(","):
            self.expect("standalone")
            standalone = self.one_of("yes", "no")
            if standalone == "no" and self.accept("value"):
                standalone = "no value"
        self.expect(")")
        return XmlExpression(
            position, XmlKind.ROOT, arguments=tuple(arguments), standalone=standalone
        )

    def _xml_serialize(self) -> Expression:
        position = self._open()
        document = self.one_of("document", "content") == "document"
        argument = self.a_expr()
        self.expect("as")
        target = self.simple_type_name()
        self.expect(")")
        return XmlExpression(
            position, XmlKind.SERIALIZE, arguments=(argument,), document=document, type=target
        )


_VALUE_FUNCTIONS: Final = {kind.value: kind for kind in ValueFunction}


def _specials() -> Mapping[str, Callable[[FunctionParser], Expression]]:
    parser = FunctionParser
    return {
        "cast": parser._cast_call,
        "treat": parser._treat,
        "extract": parser._extract,
        "normalize": parser._normalize,
        "overlay": parser._overlay,
        "position": parser._position,
        "substring": parser._substring,
        "trim": parser._trim,
        "nullif": parser._null_if,
        "coalesce": parser._coalesce,
        "greatest": parser._min_max,
        "least": parser._min_max,
        "collation": parser._collation_for,
        "xmlconcat": parser._xml_concat,
        "xmlelement": parser._xml_element,
        "xmlexists": parser._xml_exists,
        "xmlforest": parser._xml_forest,
        "xmlparse": parser._xml_parse,
        "xmlpi": parser._xml_pi,
        "xmlroot": parser._xml_root,
        "xmlserialize": parser._xml_serialize,
    }


_SPECIAL: Final = _specials()
