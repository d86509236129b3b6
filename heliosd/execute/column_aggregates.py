"""Aggregates and window functions in DuckDB's SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from heliosd.execute.column_expressions import BYTE_ORDER, sort_terms, united
from heliosd.execute.column_types import ColumnExpr
from heliosd.functions import column_forms as forms
from heliosd.functions.registry import SqlAggregate
from heliosd.plan.column_forms import NotInColumns
from heliosd.sql.bound import AggregateCall, Const, Expr, GroupingCall, Window, WindowCall

if TYPE_CHECKING:
    from heliosd.execute.column_expressions import ColumnExpressions
    from heliosd.functions.column_forms import AggregateColumns
    from heliosd.sql.bound.queries import FrameBound

_ANY: Final = 2276


def aggregate_columns(c: ColumnExpressions, call: AggregateCall | GroupingCall) -> ColumnExpr:
    """One aggregate call; `NotInColumns` where it has no exact form."""
    if isinstance(call, GroupingCall) or call.order_by or call.direct_arguments:
        raise NotInColumns
    if call.input_collation not in BYTE_ORDER or call.variadic:
        raise NotInColumns
    form = _form_of(call.aggregate, star=call.star)
    chosen = None if call.filter is None else c.plain(call.filter).sql
    if call.star or not call.arguments:
        if chosen is None:
            return ColumnExpr("count(*)", call.type)
        return ColumnExpr(f"count(CASE WHEN {chosen} THEN 1 END)", call.type)
    (argument,) = (c.plain(a) for a in call.arguments)
    text = argument.sql
    scales = argument.scale_sql
    if chosen is not None:
        text = f"CASE WHEN {chosen} THEN {text} END"
        scales = scales and f"CASE WHEN {chosen} THEN {scales} END"
    if call.distinct:
        text = f"DISTINCT {text}"
    if scales:
        return _of_mixed_scales(call, form, argument, text, scales)
    return _result(form, argument, text, call.type)


def _form_of(function: Any, *, star: bool) -> AggregateColumns:
    if not isinstance(function, SqlAggregate):
        raise NotInColumns
    kinds = () if star else function.arguments
    form = forms.AGGREGATES.get((function.name, tuple(kinds)))
    if form is None:
        raise NotInColumns
    return form


def _result(form: AggregateColumns, argument: ColumnExpr, text: str, kind: int) -> ColumnExpr:
    scale = argument.scale if form.scale == "same" else int(form.scale)
    parts = [part.replace("{0}", text) for part in form.parts]
    if not form.finish:
        return ColumnExpr(parts[0], kind, scale, pad=argument.pad)
    if form.finish == "average":
        total = ColumnExpr(parts[0], forms.NUMERIC, scale)
    else:
        total = ColumnExpr(parts[0], forms.FLOAT8)
    return ColumnExpr("", kind, finish=form.finish, parts=(total, ColumnExpr(parts[1], forms.INT8)))


def _of_mixed_scales(
    call: AggregateCall, form: AggregateColumns, argument: ColumnExpr, text: str, scales: str
) -> ColumnExpr:
    """A sum shows as many digits as the longest of its values."""
    name = call.aggregate.name
    if name == "count":
        return _result(form, argument, text, call.type)
    if name != "sum" or call.distinct:
        raise NotInColumns
    total = ColumnExpr(f"sum({text})", forms.NUMERIC, argument.scale)
    # The scale of a NULL does not count.
    seen = f"max(CASE WHEN ({argument.sql}) IS NOT NULL THEN {scales} END)"
    digits = ColumnExpr(f"CAST({seen} AS INTEGER)", forms.INT4)
    return ColumnExpr("", call.type, argument.scale, finish="rescale", parts=(total, digits))


# Windows -------------------------------------------------------------------------------------

_ENDS: Final = {
    "unbounded_preceding": "UNBOUNDED PRECEDING",
    "current_row": "CURRENT ROW",
    "unbounded_following": "UNBOUNDED FOLLOWING",
}
_PLACES: Final = frozenset({"lag", "lead", "first_value", "last_value"})
_FRAMED: Final = frozenset({"sum", "count", "min", "max", "avg", "bool_and", "bool_or"})


def window_column(c: ColumnExpressions, definition: Window, call: WindowCall) -> ColumnExpr:
    """One window call over its definition."""
    if call.input_collation not in BYTE_ORDER or definition.exclude != "none":
        raise NotInColumns
    inside = []
    if definition.partition_by:
        keys = [c.plain(e) for e in definition.partition_by]
        if any(k.type == forms.FLOAT8 for k in keys):
            raise NotInColumns
        inside.append(f"PARTITION BY {', '.join(k.sql for k in keys)}")
    if definition.order_by:
        inside.append(f"ORDER BY {', '.join(sort_terms(c, definition.order_by))}")
    name = call.function.name
    framed = isinstance(call.function, SqlAggregate) or name in ("first_value", "last_value")
    if framed:
        inside.append(_frame(c, definition))
    over = f" OVER ({' '.join(inside)})"
    if call.filter is not None:
        raise NotInColumns
    if isinstance(call.function, SqlAggregate):
        return _aggregate_over(c, call, over)
    if name in forms.RANKINGS and not call.arguments:
        return ColumnExpr(forms.RANKINGS[name] + over, call.type)
    if name in _PLACES:
        return _placed(c, call, over)
    raise NotInColumns


def _frame(c: ColumnExpressions, definition: Window) -> str:
    ends = []
    for bound in (definition.start, definition.end):
        ends.append(_ENDS.get(bound.kind) or _offset(c, definition, bound))
    return f"{definition.mode.upper()} BETWEEN {ends[0]} AND {ends[1]}"


def _offset(c: ColumnExpressions, definition: Window, bound: FrameBound) -> str:
    if definition.mode != "rows" or bound.offset is None:
        raise NotInColumns
    value = _constant(c, bound.offset, 1)
    if value is None or value < 0:
        raise NotInColumns
    return f"{int(value)} {bound.kind.upper()}"


def _constant(c: ColumnExpressions, expression: Expr, guess: int) -> Any:
    if isinstance(expression, Const):
        return expression.value
    if not c.is_argument(expression):
        raise NotInColumns
    value = c.arguments.value(expression)
    return guess if c.arguments.values is None else value


def _aggregate_over(c: ColumnExpressions, call: WindowCall, over: str) -> ColumnExpr:
    function = call.function
    if function.name not in _FRAMED:
        raise NotInColumns
    form = _form_of(function, star=call.star)
    if call.star:
        return ColumnExpr(f"count(*){over}", call.type)
    (argument,) = (c.plain(a) for a in call.arguments)
    if argument.type == forms.FLOAT8 and function.name in ("sum", "avg"):
        raise NotInColumns  # frames are summed in another order
    if argument.scale_sql and function.name != "count":
        raise NotInColumns
    parts = tuple(_over(part, over) for part in form.parts)
    return _result(replace(form, parts=parts), argument, argument.sql, call.type)


def _over(part: str, over: str) -> str:
    """OVER goes behind the call, which may stand inside a cast."""
    start = part.index("{0})") + len("{0})")
    return part[:start] + over + part[start:]


def _placed(c: ColumnExpressions, call: WindowCall, over: str) -> ColumnExpr:
    arguments: Sequence[Expr] = call.arguments
    value = c.plain(arguments[0])
    if value.scale_sql:
        raise NotInColumns
    texts = [value.sql]
    if len(arguments) > 1:
        offset = _constant(c, arguments[1], 1)
        if offset is None:
            raise NotInColumns
        texts.append(str(int(offset)))
    if len(arguments) > 2:
        default = c.plain(arguments[2])
        scale, pad, mixed = united([value, default], call.type)
        if mixed:
            raise NotInColumns
        texts.append(default.sql)
        value = replace(value, scale=scale, pad=pad)
    return ColumnExpr(
        f"{call.function.name}({', '.join(texts)}){over}", call.type, value.scale, "", value.pad
    )
