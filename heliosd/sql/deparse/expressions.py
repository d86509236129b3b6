"""Bound expressions as SQL, with PostgreSQL's own parentheses (ruleutils): `((a + 1) > 5)`.

Casts that the binder added by itself are not written: binding the text again adds them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from heliosd.errors import not_supported
from heliosd.sql.bound import (
    AggregateCall,
    And,
    ArrayConstructor,
    ArrayTest,
    BooleanTest,
    Call,
    Case,
    CaseValue,
    Cast,
    CastForm,
    CastMethod,
    Coalesce,
    Collate,
    Const,
    DistinctTest,
    Expr,
    FieldSelect,
    InList,
    MinMax,
    Not,
    NullIf,
    NullTest,
    Or,
    Param,
    RowCompare,
    RowConstructor,
    SessionValue,
    SetReturningCall,
    Slice,
    SubLink,
    SubLinkKind,
    Subscript,
    Var,
    WholeRow,
    WindowCall,
)
from heliosd.sql.bound.expressions import CallForm, GroupingCall, SortKey
from heliosd.sql.deparse.context import TextContext
from heliosd.types.quoting import quote_identifier
from heliosd.types.registry import SqlOperator

NameOf = Callable[[Any], str]
"""How a Var or WholeRow is written."""

_BOOL, _INT4, _NUMERIC, _UNKNOWN = 16, 23, 1700, 705
_COLLATIONS: Final = {
    950: '"C"', 951: '"POSIX"', 12446: "ucs_basic", 12447: '"C.UTF-8"', 12448: '"C.utf8"',
}  # fmt: skip
_SQL_SYNTAX: Final[Mapping[str, Callable[[Sequence[str]], str]]] = MappingProxyType(
    {
        "extract": lambda a: f"EXTRACT({a[0].split(chr(39))[1]} FROM {a[1]})",
        "timezone": lambda a: f"({a[1]} AT TIME ZONE {a[0]})",
        "position": lambda a: f"POSITION(({a[1]}) IN ({a[0]}))",
        "substring": lambda a: (
            f'"substring"({", ".join(a)})'
            if len(a) < 2
            else f"SUBSTRING({a[0]} FROM {a[1]}" + (f" FOR {a[2]})" if len(a) > 2 else ")")
        ),
        "overlay": lambda a: (
            f"OVERLAY({a[0]} PLACING {a[1]} FROM {a[2]}" + (f" FOR {a[3]})" if len(a) > 3 else ")")
        ),
        "btrim": lambda a: f"TRIM(BOTH {a[1] + ' ' if len(a) > 1 else ''}FROM {a[0]})",
        "ltrim": lambda a: f"TRIM(LEADING {a[1] + ' ' if len(a) > 1 else ''}FROM {a[0]})",
        "rtrim": lambda a: f"TRIM(TRAILING {a[1] + ' ' if len(a) > 1 else ''}FROM {a[0]})",
    }
)
"""Functions that were written in SQL's own words."""


class ExpressionWriter:
    """Writes expressions; `query` writes a subquery, `windows` are those of the query around."""

    def __init__(
        self,
        name_of: NameOf,
        context: TextContext,
        *,
        pretty: bool = False,
        query: Callable[[Any], str] | None = None,
        windows: Sequence[Any] = (),
        indent: int | None = None,
    ) -> None:
        self.name_of = name_of
        self.context = context
        self.pretty = pretty
        self.query = query
        self.windows = windows
        self.indent = indent
        """Where a CASE's lines start; None: all in one line."""

    def write(self, expression: Expr, *, implicit: bool = True) -> str:
        """The expression, in parentheses where PostgreSQL puts them.

        `implicit`: casts that the binder added are written too. As in PostgreSQL that is so inside
        calls and operators, where they say which overload is meant, not at the top.
        """
        if not implicit:
            while isinstance(expression, Cast) and expression.form is not CastForm.EXPLICIT:
                expression = expression.argument
        return _WRITERS[type(expression)](self, expression)

    def all(self, expressions: Iterable[Expr]) -> list[str]:
        return [self.write(each) for each in expressions]

    def enclosed(self, text: str) -> str:
        """An operator's or test's text; pretty output leaves parentheses to `operand`."""
        return text if self.pretty else f"({text})"

    def operand(
        self, node: Expr, parent: Expr, *, implicit: bool = True, is_left: bool = False
    ) -> str:
        """A part of `parent`: pretty output encloses it where precedence asks for it."""
        text = self.write(node, implicit=implicit)
        if self.pretty and not is_simple(node, parent, is_left=is_left):
            return f"({text})"
        return text

    # -- constants and casts -----------------------------------------------------------------

    def const(self, node: Const, *, label: bool = True) -> str:
        context = self.context
        name = context.type_name(node.type, node.typmod)
        if node.value is None:
            return f"NULL::{name}" if label and node.type != _UNKNOWN else "NULL"
        if node.type == _BOOL:
            return "true" if node.value else "false"
        text = context.value_text(node.type, node.value)
        if node.type == _INT4 and not text.startswith("-"):
            return text
        if node.type == _NUMERIC and text[0].isdigit() and ("." in text or "e" in text):
            return f"{text}::{name}" if node.typmod >= 0 and label else text
        quoted = "'" + text.replace("'", "''") + "'"
        return f"{quoted}::{name}" if label and node.type != _UNKNOWN else quoted

    def cast(self, node: Cast) -> str:
        """A length cast is part of the conversion inside it."""
        argument = node.argument
        while (
            node.method is CastMethod.LENGTH
            and isinstance(argument, Cast)
            and argument.form is node.form
            and argument.type == node.type
        ):
            argument = argument.argument
        name = self.context.type_name(node.type, node.typmod)
        if isinstance(argument, Const) and argument.type == node.type:
            return f"{self.const(argument, label=False)}::{name}"
        inner = self.operand(argument, node, implicit=False)
        return f"{inner}::{name}" if self.pretty else f"({inner})::{name}"

    # -- calls -------------------------------------------------------------------------------

    def call(self, node: Call) -> str:
        target = node.target
        if isinstance(target, SqlOperator):
            return self.operator(target.name, node)
        arguments = self.all(node.arguments)
        if node.form is CallForm.SQL_SYNTAX:
            syntax = _SQL_SYNTAX.get(target.name)
            if syntax is not None:
                return syntax(arguments)
        if node.variadic and arguments:
            arguments[-1] = "VARIADIC " + arguments[-1]
        return f"{self.context.function_name(target)}({', '.join(arguments)})"

    def operator(self, name: str, node: Call) -> str:
        arguments = node.arguments
        if len(arguments) == 1:
            return self.enclosed(f"{name} {self.operand(arguments[0], node)}")
        left = self.operand(arguments[0], node, is_left=True)
        return self.enclosed(f"{left} {name} {self.operand(arguments[1], node)}")

    def aggregate(self, node: AggregateCall) -> str:
        name = function_name(node.aggregate.name)
        if node.star:
            text = f"{name}(*)"
        else:
            inside = ", ".join(self.all(node.direct_arguments or node.arguments))
            if node.distinct:
                inside = "DISTINCT " + inside
            keys = self.sort_keys(node.order_by)
            if node.direct_arguments or getattr(node.aggregate, "arity", "n") != "n":
                text = f"{name}({inside if node.direct_arguments else ''}) WITHIN GROUP "
                text += f"(ORDER BY {keys or ', '.join(self.all(node.arguments))})"
            else:
                text = f"{name}({inside}{' ORDER BY ' + keys if keys else ''})"
        if node.filter is not None:
            text += f" FILTER (WHERE {self.write(node.filter)})"
        return text

    def window(self, node: WindowCall) -> str:
        inside = "*" if node.star else ", ".join(self.all(node.arguments))
        text = f"{function_name(node.function.name)}({inside})"
        if node.filter is not None:
            text += f" FILTER (WHERE {self.write(node.filter)})"
        found = self.windows[node.window]
        over = quote_identifier(found.name) if found.name else f"({self.window_text(found)})"
        return f"{text} OVER {over}"

    def window_text(self, window: Any) -> str:
        """A window's definition."""
        parts: list[str] = []
        if window.partition_by:
            parts.append("PARTITION BY " + ", ".join(self.all(window.partition_by)))
        if window.order_by:
            parts.append("ORDER BY " + self.sort_keys(window.order_by))
        start, end = window.start, window.end
        usual = (window.mode, start.kind, end.kind, window.exclude) == (
            "range", "unbounded_preceding", "current_row", "none",
        )  # fmt: skip
        if not usual:
            text = f"{window.mode.upper()} BETWEEN {self._bound(start)} AND {self._bound(end)}"
            if window.exclude != "none":
                text += " EXCLUDE " + window.exclude.replace("_", " ").upper()
            parts.append(text)
        return " ".join(parts)

    def _bound(self, bound: Any) -> str:
        words = str(bound.kind).replace("_", " ").upper()
        if bound.offset is None:
            return words
        return f"{self.write(bound.offset, implicit=False)} {words}"

    def sort_keys(self, keys: Iterable[SortKey]) -> str:
        return ", ".join(
            self.write(key.expression) + direction(key.descending, key.nulls_first) for key in keys
        )

    # -- tests -------------------------------------------------------------------------------

    def list_test(self, node: InList) -> str:
        items = ", ".join(self.all(node.items))
        word = "<> ALL" if node.negated else "= ANY"
        return self.enclosed(f"{self.operand(node.argument, node)} {word} (ARRAY[{items}])")

    def boolean_test(self, node: BooleanTest) -> str:
        word = {True: "TRUE", False: "FALSE", None: "UNKNOWN"}[node.value]
        negation = "NOT " if node.negated else ""
        return self.enclosed(f"{self.operand(node.argument, node)} IS {negation}{word}")

    def case(self, node: Case) -> str:
        outside = self.indent
        start, inner = " ", " "
        if outside is not None:
            start = "\n" + " " * outside
            inner = start + "    "
            self.indent = outside + 4
        text = "CASE" if outside is None else f"{start}CASE"
        if node.subject is not None:
            text += " " + self.write(node.subject)
        for condition, result in node.branches:
            tested = condition
            if node.subject is not None:
                tested = _compared_value(condition)
            text += f"{inner}WHEN {self.write(tested, implicit=False)} THEN {self.write(result)}"
        text += f"{inner}ELSE {self.write(node.otherwise)}"
        self.indent = outside
        return f"{text}{start}END"

    def sublink(self, node: SubLink) -> str:
        assert self.query is not None, "a subquery where none can be"
        inner = f"( {self.query(node.query).strip()})"
        match node.kind:
            case SubLinkKind.EXISTS:
                return f"(EXISTS {inner})"
            case SubLinkKind.ARRAY:
                return f"ARRAY{inner}"
            case SubLinkKind.EXPR:
                return inner
        return self.quantified(node, inner)

    def quantified(self, node: SubLink, inner: str) -> str:
        """`x = ANY (q)`; the test's right side is the subquery's column."""
        test = node.test
        every = node.kind is SubLinkKind.ALL
        if isinstance(test, Call) and isinstance(test.target, SqlOperator):
            left, name = self.write(test.arguments[0]), test.target.name
        elif isinstance(test, And):
            calls = [each for each in test.arguments if isinstance(each, Call)]
            left = f"({', '.join(self.write(each.arguments[0]) for each in calls)})"
            name = "="
        elif isinstance(test, RowCompare):
            left, name = f"({', '.join(self.all(test.left))})", test.comparison
        else:
            raise not_supported("showing the text of this comparison with a subquery")
        if name == "=" and not every:
            return f"({left} IN {inner})"
        return f"({left} {name} {'ALL' if every else 'ANY'} {inner})"


def _compared_value(condition: Expr) -> Expr:
    """What `CASE subject WHEN value` compares with."""
    if isinstance(condition, Call) and len(condition.arguments) == 2:
        for argument in condition.arguments[::-1]:
            inner = argument
            while isinstance(inner, Cast):
                inner = inner.argument
            if not isinstance(inner, CaseValue):
                return argument
    return condition


def is_simple(node: Expr, parent: Expr, *, is_left: bool) -> bool:
    """Needs no parentheses as a part of `parent` (ruleutils' isSimpleNode)."""
    in_junction = isinstance(parent, And | Or | Not)
    match node:
        case Cast():
            return is_simple(node.argument, parent, is_left=is_left)
        case Call() if isinstance(node.target, SqlOperator):
            if isinstance(parent, Call) and isinstance(parent.target, SqlOperator):
                return _binds_tighter(node, parent, is_left=is_left)
            return in_junction
        case NullTest() | BooleanTest() | DistinctTest() | SubLink():
            return in_junction
        case And() | Not():
            return isinstance(parent, And | Or)
        case Or():
            return isinstance(parent, Or)
        case InList() | ArrayTest() | RowCompare():
            return False
    return True


def _binds_tighter(node: Call, parent: Call, *, is_left: bool) -> bool:
    """`a * b + c` and `a - b - c` need no parentheses; of other operators nobody knows."""
    if len(node.arguments) != 2 or len(parent.arguments) != 2:
        return False
    rank = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2}
    mine, other = rank.get(node.target.name, 0), rank.get(parent.target.name, 0)
    if not mine or not other:
        return False
    return mine > other or (mine == other and is_left)


def function_name(name: str) -> str:
    """A function's name: quoted where it would be read as SQL's own word."""
    return quote_identifier(name)


def direction(descending: bool, nulls_first: bool) -> str:  # noqa: FBT001  (two facts)
    """What stands behind a sort key; nothing for the default."""
    if descending:
        return " DESC" if nulls_first else " DESC NULLS LAST"
    return " NULLS FIRST" if nulls_first else ""


def _junction(word: str) -> Callable[[ExpressionWriter, Any], str]:
    def write(writer: ExpressionWriter, node: Any) -> str:
        parts = [writer.operand(each, node, implicit=False) for each in node.arguments]
        return writer.enclosed(f" {word} ".join(parts))

    return write


def _subscripts(w: ExpressionWriter, node: Subscript) -> str:
    base = w.write(node.argument)
    if not isinstance(node.argument, Var):
        base = f"({base})"
    return base + "".join(f"[{each}]" for each in w.all(node.subscripts))


def _slice(w: ExpressionWriter, node: Slice) -> str:
    base = w.write(node.argument)
    if not isinstance(node.argument, Var):
        base = f"({base})"
    texts = [
        ("" if low is None else w.write(low), "" if high is None else w.write(high))
        for low, high in node.bounds
    ]
    return base + "".join(f"[{low}:{high}]" for low, high in texts)


def _distinct(w: ExpressionWriter, node: DistinctTest) -> str:
    word = "NOT DISTINCT" if node.negated else "DISTINCT"
    left, right = w.operand(node.left, node), w.operand(node.right, node)
    return w.enclosed(f"{left} IS {word} FROM {right}")


def _row_compare(w: ExpressionWriter, node: RowCompare) -> str:
    left, right = ", ".join(w.all(node.left)), ", ".join(w.all(node.right))
    return w.enclosed(f"ROW({left}) {node.comparison} ROW({right})")


def _array_test(w: ExpressionWriter, node: ArrayTest) -> str:
    word = "ALL" if node.all else "ANY"
    array = w.write(node.array)
    left = w.operand(node.argument, node)
    return w.enclosed(f"{left} {node.operator.name} {word} ({array})")


def _array(w: ExpressionWriter, node: ArrayConstructor) -> str:
    text = f"ARRAY[{', '.join(w.all(node.elements))}]"
    return text if node.elements else f"{text}::{w.context.type_name(node.type, node.typmod)}"


def _session_value(_w: ExpressionWriter, node: SessionValue) -> str:
    text = node.kind.upper()
    return f"{text}({node.typmod})" if node.typmod >= 0 else text


def _set_returning(w: ExpressionWriter, node: SetReturningCall) -> str:
    name = w.context.function_name(node.function)
    return f"{name}({', '.join(w.all(node.arguments))})"


_WRITERS: Final[Mapping[type, Callable[[ExpressionWriter, Any], str]]] = MappingProxyType(
    {
        Const: lambda w, n: w.const(n),
        Param: lambda w, n: f"${n.number}",
        Var: lambda w, n: w.name_of(n),
        WholeRow: lambda w, n: w.name_of(n),
        Call: ExpressionWriter.call,
        Cast: ExpressionWriter.cast,
        Collate: lambda w, n: w.enclosed(
            f"{w.write(n.argument)} COLLATE {_COLLATIONS.get(n.collation, 'default')}"
        ),
        And: _junction("AND"),
        Or: _junction("OR"),
        Not: lambda w, n: w.enclosed(f"NOT {w.operand(n.argument, n, implicit=False)}"),
        NullTest: lambda w, n: w.enclosed(
            f"{w.operand(n.argument, n)} IS {'NOT ' if n.negated else ''}NULL"
        ),
        BooleanTest: ExpressionWriter.boolean_test,
        DistinctTest: _distinct,
        InList: ExpressionWriter.list_test,
        ArrayTest: _array_test,
        RowCompare: _row_compare,
        Case: ExpressionWriter.case,
        Coalesce: lambda w, n: f"COALESCE({', '.join(w.all(n.arguments))})",
        NullIf: lambda w, n: f"NULLIF({w.write(n.left)}, {w.write(n.right)})",
        MinMax: lambda w, n: (
            f"{'GREATEST' if n.greatest else 'LEAST'}({', '.join(w.all(n.arguments))})"
        ),
        ArrayConstructor: _array,
        RowConstructor: lambda w, n: f"ROW({', '.join(w.all(n.fields))})",
        Subscript: _subscripts,
        Slice: _slice,
        FieldSelect: lambda w, n: f"({w.write(n.argument)}).{quote_identifier(n.name)}",
        AggregateCall: ExpressionWriter.aggregate,
        WindowCall: ExpressionWriter.window,
        GroupingCall: lambda w, n: f"GROUPING({', '.join(w.all(n.arguments))})",
        SetReturningCall: _set_returning,
        SessionValue: _session_value,
        SubLink: ExpressionWriter.sublink,
    }
)
