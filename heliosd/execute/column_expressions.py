"""Bound expressions -> DuckDB's SQL, where an exact form is declared (`functions.column_forms`).

What is the same for all rows (parameters, outer columns, subqueries that read nothing of these
rows) is an *argument*: the row program computes it first and it arrives here as a value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from heliosd.execute.column_types import ColumnExpr, assumed, literal
from heliosd.functions import column_forms as forms
from heliosd.plan.column_forms import NotInColumns
from heliosd.plan.columns import ColumnKey, all_nodes
from heliosd.plan.expression_facts import is_volatile
from heliosd.plan.nodes import CteScan, SubPlan
from heliosd.sql.bound import (
    AggregateCall,
    And,
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
    GroupingCall,
    InList,
    MinMax,
    Not,
    NullIf,
    NullTest,
    Or,
    SetReturningCall,
    SortKey,
    SubLinkKind,
    Var,
    WholeRow,
    WindowCall,
)
from heliosd.sql.bound.walk import walk
from heliosd.types.registry import SqlOperator

if TYPE_CHECKING:
    from heliosd.functions.column_forms import ColumnForm

BYTE_ORDER: Final = frozenset({0, 100, 950, 951})
"""Collations that compare bytes: none, the database's, "C" and "POSIX"."""
_BOUND: Final = (WholeRow, AggregateCall, WindowCall, GroupingCall, CaseValue, ElementValue,
                 SetReturningCall)  # fmt: skip


class Arguments:
    """The expressions computed before the query, found by identity: plans are never changed.

    Without `values` it collects them; with values each stands for its own.
    """

    def __init__(self, values: Sequence[Any] | None = None) -> None:
        self.values = values
        self.expressions: list[Expr] = []
        self._places: dict[int, int] = {}

    @classmethod
    def of(cls, expressions: Sequence[Expr], values: Sequence[Any]) -> Arguments:
        """What was collected, with values."""
        made = cls(values)
        for expression in expressions:
            made.place(expression)
        return made

    def place(self, expression: Expr) -> int:
        """Its index, a new one when it is new."""
        place = self._places.get(id(expression))
        if place is None:
            place = self._places[id(expression)] = len(self.expressions)
            self.expressions.append(expression)
        return place

    def value(self, expression: Expr) -> Any:
        """The value; None while collecting."""
        place = self.place(expression)
        if self.values is None:
            return None
        if place >= len(self.values):
            raise NotInColumns
        return self.values[place]


class ColumnExpressions:
    """Writes expressions over the columns in `scopes`, the innermost query's last."""

    def __init__(self, arguments: Arguments) -> None:
        self.arguments = arguments
        self.scopes: list[Mapping[ColumnKey, ColumnExpr]] = []
        self.inner: set[int] = set()
        """Rels whose rows DuckDB makes: everything else is an argument."""
        self.ctes: dict[int, tuple[str, tuple[ColumnExpr, ...]]] = {}
        self.subjects: list[ColumnExpr] = []
        self._invariant: dict[int, bool] = {}

    # What differs by row, and what does not.

    def is_argument(self, expression: Expr) -> bool:
        """Whether it has one value for the whole query."""
        known = self._invariant.get(id(expression))
        if known is None:
            known = self._invariant[id(expression)] = self._is_steady(expression)
        return known

    def _is_steady(self, expression: Expr) -> bool:
        for item in walk(expression):
            if isinstance(item, _BOUND):
                return False
            if isinstance(item, Var) and item.rel in self.inner:
                return False
            if isinstance(item, SubPlan):
                if any(v.rel in self.inner for v in item.parameters):
                    return False
                if any(
                    isinstance(node, CteScan) and node.rel.cte in self.ctes
                    for node in all_nodes(item.plan)
                ):
                    return False
        return not is_volatile(expression)

    def value(self, expression: Expr) -> ColumnExpr:
        """The expression; `NotInColumns` where it has no exact form."""
        if isinstance(expression, Const):
            return literal(expression.value, expression.type)
        if isinstance(expression, Var):
            found = self._column(expression)
            if found is not None:
                return found
        if self.is_argument(expression):
            value = self.arguments.value(expression)
            if self.arguments.values is None:
                return assumed(expression.type)
            return literal(value, expression.type)
        form = _FORMS.get(type(expression))
        if form is None:
            raise NotInColumns
        return form(self, expression)

    def plain(self, expression: Expr) -> ColumnExpr:
        """As `value`, for use inside SQL: nothing that is finished outside of it."""
        found = self.value(expression)
        if found.finish:
            raise NotInColumns
        return found

    def predicate(self, expression: Expr) -> str:
        """A test of which only truth matters."""
        if isinstance(expression, SubPlan) and not self.is_argument(expression):
            if expression.kind is SubLinkKind.ANY:
                return f"EXISTS ({self.subquery_where(expression, '{}')})"
            if expression.kind is SubLinkKind.ALL:
                return f"NOT EXISTS ({self.subquery_where(expression, '({}) IS NOT TRUE')})"
        if isinstance(expression, And):
            return "(" + " AND ".join(self.predicate(e) for e in expression.arguments) + ")"
        return self.plain(expression).sql

    def _column(self, expression: Var) -> ColumnExpr | None:
        key = (expression.rel, expression.column)
        for scope in reversed(self.scopes):
            found = scope.get(key)
            if found is not None:
                return found
        if expression.rel in self.inner:
            raise NotInColumns
        return None

    # What plans answer (column_plan).

    def subquery(self, node: SubPlan) -> tuple[str, ColumnExpr]:
        """(SELECT of its one output, what that is)."""
        raise NotImplementedError

    def subquery_exists(self, node: SubPlan) -> str:
        """SELECT 1 of its rows."""
        raise NotImplementedError

    def subquery_where(self, node: SubPlan, test: str) -> str:
        """SELECT 1 of the rows for which `test`, with the node's test put in, holds."""
        raise NotImplementedError

    # Forms.

    def called(self, form: ColumnForm, arguments: Sequence[Expr], node: Expr) -> ColumnExpr:
        """A template with its arguments."""
        for place, name in form.checks:
            self._check(name, arguments[place])
        values = [self.plain(a) for a in arguments]
        return self.filled(form, values, node.type)

    def filled(self, form: ColumnForm, values: Sequence[ColumnExpr], kind: int) -> ColumnExpr:
        text = form.template
        if "{padded0}" in text:
            if values[0].pad < 0:
                raise NotInColumns
            text = text.replace("{padded0}", f"rpad({values[0].sql}, {values[0].pad}, ' ')")
        sql = _put(text, [v.sql for v in values])
        if kind != forms.NUMERIC:
            return ColumnExpr(sql, kind)
        scales = [v.scale for v in values if v.type == forms.NUMERIC] or [0]
        scale = {"max": max(scales), "sum": sum(scales), "same": scales[0]}.get(form.scale, 0)
        if scale > 37:
            raise NotInColumns
        return ColumnExpr(sql, kind, scale, _combined_scale(form.scale, values))

    def _check(self, name: str, argument: Expr) -> None:
        """A constant that DuckDB takes as PostgreSQL does."""
        if isinstance(argument, Const):
            value = argument.value
        elif self.is_argument(argument):
            value = self.arguments.value(argument)
            if self.arguments.values is None:
                return
        else:
            raise NotInColumns
        if value is None:
            return
        if (name == "positive" and value < 1) or (name == "natural" and value < 0):
            raise NotInColumns


def _put(template: str, values: Sequence[str]) -> str:
    """The template with `{0}`, `{1}` replaced, each in one go (values may hold braces)."""
    parts = template.split("{")
    out = [parts[0]]
    for part in parts[1:]:
        number, _, rest = part.partition("}")
        out.append(values[int(number)] + rest)
    return "".join(out)


def _scale_of(value: ColumnExpr) -> str:
    return value.scale_sql or str(value.scale)


def _combined_scale(rule: str, values: Sequence[ColumnExpr]) -> str:
    """The digits that the result shows, where they differ by row."""
    numerics = [v for v in values if v.type == forms.NUMERIC]
    if not any(v.scale_sql for v in numerics):
        return ""
    if rule == "max" and len(numerics) > 1:
        return f"greatest({', '.join(map(_scale_of, numerics))})"
    if rule == "sum":
        return f"({' + '.join(map(_scale_of, numerics))})"
    if rule in ("same", "max"):
        return _scale_of(numerics[0])
    raise NotInColumns


def _call(c: ColumnExpressions, node: Call) -> ColumnExpr:
    target = node.target
    if node.input_collation not in BYTE_ORDER or node.variadic:
        raise NotInColumns
    if isinstance(target, SqlOperator):
        form = forms.OPERATORS.get((target.name, target.left, target.right))
        arguments = node.arguments
    else:
        name, arguments = target.name, node.arguments
        if name in forms.WHOLE_PARTS:
            name = f"{name} {_word(c, arguments[0])}"
            arguments = arguments[1:]
        form = forms.FUNCTIONS.get((name, tuple(target.arguments[-len(arguments) :])))
    if form is None or not arguments:
        raise NotInColumns
    return c.called(form, arguments, node)


def _word(c: ColumnExpressions, argument: Expr) -> str:
    """The part of a moment that a call asks for: "year"."""
    if isinstance(argument, Const):
        word = argument.value
    elif c.is_argument(argument):
        word = "year" if c.arguments.values is None else c.arguments.value(argument)
        c.arguments.place(argument)
    else:
        raise NotInColumns
    if not isinstance(word, str):
        raise NotInColumns
    return word.lower()


def _cast(c: ColumnExpressions, node: Cast) -> ColumnExpr:
    inner = c.plain(node.argument)
    if node.method is CastMethod.RELABEL:
        if node.type == inner.type or (
            node.type in (forms.TEXT, forms.VARCHAR) and inner.type in (forms.TEXT, forms.VARCHAR)
        ):
            return ColumnExpr(inner.sql, node.type, inner.scale, inner.scale_sql, inner.pad)
        raise NotInColumns
    if node.method is CastMethod.LENGTH and node.type == forms.NUMERIC and node.typmod >= 4:
        precision, scale = numeric_shape(node.typmod)
        return ColumnExpr(f"CAST({inner.sql} AS DECIMAL({precision},{scale}))", node.type, scale)
    if node.method is not CastMethod.FUNCTION or node.cast is None:
        raise NotInColumns
    form = forms.CASTS.get((node.cast.source, node.cast.target))
    if form is None or inner.type != node.cast.source:
        raise NotInColumns
    return c.filled(form, [inner], node.type)


def numeric_shape(typmod: int) -> tuple[int, int]:
    """(digits, scale) of numeric(p, s); `NotInColumns` for what DuckDB's DECIMAL cannot hold."""
    packed = typmod - 4
    precision, scale = (packed >> 16) & 0xFFFF, ((packed & 0x7FF) ^ 1024) - 1024
    if typmod < 4 or not 0 <= scale <= precision <= 38:
        raise NotInColumns
    return precision, scale


def united(values: Sequence[ColumnExpr], kind: int) -> tuple[int, int, bool]:
    """(scale, pad, whether rows show different scales) of what gives one of several values."""
    if kind == forms.NUMERIC:
        scales = {v.scale for v in values}
        mixed = len(scales) > 1 or any(v.scale_sql for v in values)
        return max(scales), -1, mixed
    pads = {v.pad for v in values}
    return 0, pads.pop() if len(pads) == 1 else -1, False


def sort_terms(c: ColumnExpressions, keys: Sequence[SortKey]) -> list[str]:
    """ORDER BY's terms, NULLs spelled out."""
    terms = []
    for key in keys:
        operator = key.operator
        if operator is not None and operator.name not in ("<", ">"):
            raise NotInColumns
        if key.expression.collation not in BYTE_ORDER:
            raise NotInColumns
        value = c.plain(key.expression)
        sense = "DESC" if key.descending else "ASC"
        nulls = "FIRST" if key.nulls_first else "LAST"
        terms.append(f"{value.sql} {sense} NULLS {nulls}")
    return terms


def _case(c: ColumnExpressions, node: Case) -> ColumnExpr:
    if node.subject is not None:
        c.subjects.append(c.plain(node.subject))
    conditions = [c.plain(condition).sql for condition, _ in node.branches]
    if node.subject is not None:
        c.subjects.pop()
    results = [c.plain(result) for _, result in node.branches]
    otherwise = c.plain(node.otherwise)
    is_null = isinstance(node.otherwise, Const) and node.otherwise.value is None
    several = results if is_null else [*results, otherwise]
    scale, pad, mixed = united(several, node.type)

    def written(values: Sequence[str], last: str) -> str:
        whens = " ".join(
            f"WHEN {condition} THEN {value}"
            for condition, value in zip(conditions, values, strict=True)
        )
        return f"(CASE {whens} ELSE {last} END)"

    scales = written([_scale_of(r) for r in results], _scale_of(otherwise)) if mixed else ""
    sql = written([r.sql for r in results], "NULL" if is_null else otherwise.sql)
    return ColumnExpr(sql, node.type, scale, scales, pad)


def _case_value(c: ColumnExpressions, node: CaseValue) -> ColumnExpr:
    return c.subjects[-1]


def _coalesce(c: ColumnExpressions, node: Coalesce) -> ColumnExpr:
    values = [c.plain(a) for a in node.arguments]
    scale, pad, mixed = united(values, node.type)
    scales = ""
    if mixed:
        whens = " ".join(f"WHEN {v.sql} IS NOT NULL THEN {_scale_of(v)}" for v in values)
        scales = f"(CASE {whens} END)"
    sql = f"coalesce({', '.join(v.sql for v in values)})"
    return ColumnExpr(sql, node.type, scale, scales, pad)


def _min_max(c: ColumnExpressions, node: MinMax) -> ColumnExpr:
    if node.input_collation not in BYTE_ORDER or node.type == forms.FLOAT8:
        raise NotInColumns
    values = [c.plain(a) for a in node.arguments]
    scale, pad, mixed = united(values, node.type)
    if mixed:
        raise NotInColumns
    name = "greatest" if node.greatest else "least"
    return ColumnExpr(f"{name}({', '.join(v.sql for v in values)})", node.type, scale, "", pad)


def _null_if(c: ColumnExpressions, node: NullIf) -> ColumnExpr:
    left = c.plain(node.left)
    compared = c.plain(node.compare_left)
    right = c.plain(node.right)
    operator = node.operator
    form = forms.OPERATORS.get((operator.name, operator.left, operator.right))
    if form is None or node.input_collation not in BYTE_ORDER:
        raise NotInColumns
    test = c.filled(form, [compared, right], 16)
    sql = f"(CASE WHEN {test.sql} THEN NULL ELSE {left.sql} END)"
    return ColumnExpr(sql, node.type, left.scale, left.scale_sql, left.pad)


def _joined(word: str) -> Callable[[ColumnExpressions, Any], ColumnExpr]:
    def form(c: ColumnExpressions, node: Any) -> ColumnExpr:
        parts = [c.plain(a).sql for a in node.arguments]
        return ColumnExpr(f"({f' {word} '.join(parts)})", 16)

    return form


def _not(c: ColumnExpressions, node: Not) -> ColumnExpr:
    return ColumnExpr(f"(NOT {c.plain(node.argument).sql})", 16)


def _null_test(c: ColumnExpressions, node: NullTest) -> ColumnExpr:
    if node.row:
        raise NotInColumns
    word = "IS NOT NULL" if node.negated else "IS NULL"
    return ColumnExpr(f"({c.plain(node.argument).sql} {word})", 16)


def _boolean_test(c: ColumnExpressions, node: BooleanTest) -> ColumnExpr:
    word = {True: "TRUE", False: "FALSE", None: "NULL"}[node.value]
    negated = "NOT " if node.negated else ""
    return ColumnExpr(f"({c.plain(node.argument).sql} IS {negated}{word})", 16)


def _comparison(operator: SqlOperator, collation: int) -> ColumnForm:
    form = forms.OPERATORS.get((operator.name, operator.left, operator.right))
    if form is None or collation not in BYTE_ORDER:
        raise NotInColumns
    return form


def _distinct_test(c: ColumnExpressions, node: DistinctTest) -> ColumnExpr:
    _comparison(node.operator, node.input_collation)
    word = "IS NOT DISTINCT FROM" if node.negated else "IS DISTINCT FROM"
    return ColumnExpr(f"({c.plain(node.left).sql} {word} {c.plain(node.right).sql})", 16)


def _in_list(c: ColumnExpressions, node: InList) -> ColumnExpr:
    _comparison(node.operator, node.input_collation)
    items = ", ".join(c.plain(item).sql for item in node.items)
    word = "NOT IN" if node.negated else "IN"
    return ColumnExpr(f"({c.plain(node.argument).sql} {word} ({items}))", 16)


def _array_test(c: ColumnExpressions, node: ArrayTest) -> ColumnExpr:
    """`= ANY (array)` of an array that is an argument."""
    operator = node.operator
    _comparison(operator, node.input_collation)
    if node.all or operator.name != "=":
        raise NotInColumns
    argument = c.plain(node.argument).sql
    if isinstance(node.array, Const):
        array = node.array.value
    elif c.is_argument(node.array):
        array = c.arguments.value(node.array)
        if c.arguments.values is None:
            return ColumnExpr(f"({argument} IN ({argument}))", 16)
    else:
        raise NotInColumns
    if array is None:
        return ColumnExpr("CAST(NULL AS BOOLEAN)", 16)
    elements = tuple(array.elements)
    if not elements:
        return ColumnExpr("FALSE", 16)
    items = ", ".join(literal(value, operator.right).sql for value in elements)
    return ColumnExpr(f"({argument} IN ({items}))", 16)


def _collate(c: ColumnExpressions, node: Collate) -> ColumnExpr:
    return c.plain(node.argument)


def _subplan(c: ColumnExpressions, node: SubPlan) -> ColumnExpr:
    if node.kind is SubLinkKind.EXISTS:
        return ColumnExpr(f"EXISTS ({c.subquery_exists(node)})", 16)
    if node.kind is SubLinkKind.EXPR:
        text, output = c.subquery(node)
        return ColumnExpr(f"({text})", output.type, output.scale, "", output.pad)
    if node.kind is SubLinkKind.ANY:
        found, unknown = c.subquery_where(node, "{}"), c.subquery_where(node, "({}) IS NULL")
        return ColumnExpr(
            f"(CASE WHEN EXISTS ({found}) THEN TRUE WHEN EXISTS ({unknown}) THEN NULL "
            "ELSE FALSE END)",
            16,
        )
    raise NotInColumns


_FORMS: Final[Mapping[type, Callable[[ColumnExpressions, Any], ColumnExpr]]] = {
    Call: _call,
    Cast: _cast,
    Case: _case,
    CaseValue: _case_value,
    Coalesce: _coalesce,
    MinMax: _min_max,
    NullIf: _null_if,
    And: _joined("AND"),
    Or: _joined("OR"),
    Not: _not,
    NullTest: _null_test,
    BooleanTest: _boolean_test,
    DistinctTest: _distinct_test,
    InList: _in_list,
    ArrayTest: _array_test,
    Collate: _collate,
    SubPlan: _subplan,
}
