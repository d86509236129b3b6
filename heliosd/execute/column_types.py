"""Values on their way into DuckDB's SQL and out of its batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from heliosd.functions import column_forms as forms
from heliosd.functions.aggregates import aggregate_average, aggregate_float_average
from heliosd.plan.column_forms import NotInColumns

DIGITS_MAX: Final = 38
"""Of DuckDB's DECIMAL."""
_ASSUMED_SCALE: Final = 2


@dataclass(frozen=True, slots=True)
class ColumnExpr:
    """An expression in DuckDB's SQL, with what that SQL does not say.

    `scale`: of a numeric. `scale_sql`: the digits that PostgreSQL shows, where rows differ in them
    ("" where all show `scale`). `pad`: the length of a char(n), -1 where it is not known. `plain`:
    a column as it is. With `finish` there is no SQL: `parts` leave DuckDB and the value is made of
    them here.
    """

    sql: str
    type: int
    scale: int = 0
    scale_sql: str = ""
    pad: int = -1
    plain: bool = False
    finish: str = ""
    parts: tuple[ColumnExpr, ...] = ()


def quoted(text: str) -> str:
    """A string literal: DuckDB knows no escapes in '...' but the doubled quote."""
    if "\x00" in text:
        raise NotInColumns
    return "'" + text.replace("'", "''") + "'"


def literal(value: Any, oid: int) -> ColumnExpr:
    """A value of a type as SQL, its type spelled out."""
    name = forms.SQL_TYPES.get(oid)
    if oid == forms.NUMERIC:
        return _numeric_literal(value)
    if name is None:
        raise NotInColumns
    if value is None:
        return ColumnExpr(f"CAST(NULL AS {name})", oid)
    if name == "VARCHAR":
        if oid == forms.BPCHAR:
            return ColumnExpr(quoted(value.rstrip(" ")), oid, pad=len(value))
        return ColumnExpr(quoted(value), oid)
    if oid == forms.BOOL:
        return ColumnExpr("TRUE" if value else "FALSE", oid)
    if name == "DOUBLE" and not math.isfinite(value):
        raise NotInColumns
    return ColumnExpr(f"CAST('{value!r}' AS {name})", oid)


def _numeric_literal(value: Decimal | None) -> ColumnExpr:
    if value is None:
        return ColumnExpr("CAST(NULL AS DECIMAL(18,0))", forms.NUMERIC)
    if not value.is_finite():
        raise NotInColumns
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    scale = max(0, -exponent)
    width = max(len(digits) + max(exponent, 0), scale + 1)
    if width > DIGITS_MAX:
        raise NotInColumns
    return ColumnExpr(f"CAST('{value:f}' AS DECIMAL({width},{scale}))", forms.NUMERIC, scale)


def assumed(oid: int) -> ColumnExpr:
    """Stands for an argument whose value is not known yet."""
    if oid == forms.NUMERIC:
        return ColumnExpr("CAST(1 AS DECIMAL(6,2))", oid, _ASSUMED_SCALE)
    name = forms.SQL_TYPES.get(oid)
    if name is None:
        raise NotInColumns
    return ColumnExpr(f"CAST(NULL AS {name})", oid, pad=0)


# Out -----------------------------------------------------------------------------------------

Converter = Callable[[Sequence[Any]], list[Any]]
"""Arrow arrays of one batch (an output's parts) -> Python values."""


def converter(expression: ColumnExpr) -> Converter:
    """What makes an output's values of its columns. `NotInColumns` where nothing can."""
    if expression.finish:
        inner = [converter(part) for part in expression.parts]
        finish = _FINISHES[expression.finish]

        def finished(columns: Sequence[Any]) -> list[Any]:
            values = [make([column]) for make, column in zip(inner, columns, strict=True)]
            return list(map(finish, *values))

        return finished
    if expression.type == forms.BPCHAR:
        pad = expression.pad
        if pad < 0:
            raise NotInColumns
        return lambda columns: [
            None if value is None else value.ljust(pad) for value in columns[0].to_pylist()
        ]
    if expression.type in (forms.NUMERIC, forms.BOOL, forms.TEXT, forms.VARCHAR):
        return lambda columns: columns[0].to_pylist()
    return _numbers


def _numbers(columns: Sequence[Any]) -> list[Any]:
    column = columns[0]
    if column.null_count:
        return column.to_pylist()  # type: ignore[no-any-return]
    return column.to_numpy(zero_copy_only=False).tolist()  # type: ignore[no-any-return]


def _rescaled(value: Decimal | None, scale: int) -> Decimal | None:
    if value is None or value.as_tuple().exponent == -scale:
        return value
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    shift = -exponent - scale
    number = int("".join(map(str, digits)))
    number = number // 10**shift if shift > 0 else number * 10**-shift
    return Decimal((sign, tuple(map(int, str(number))), -scale))


def _average(total: Decimal | None, count: int) -> Decimal | None:
    return aggregate_average(total, count)


_FINISHES: Final[dict[str, Callable[..., Any]]] = {
    "average": _average,
    "float average": aggregate_float_average,
    "rescale": _rescaled,
}
