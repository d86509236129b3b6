"""RANGE frames with an offset: `ORDER BY` values and their bounds on one scale.

As PostgreSQL's in_range support functions: NaN is above everything and equal to itself, infinity
minus infinity reaches everywhere, a time of day does not wrap at midnight.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from heliosd.errors import SqlError
from heliosd.types.calendar import US_PER_DAY
from heliosd.types.datetime_operators import (
    interval_plus_timestamp,
    interval_plus_timestamptz,
)
from heliosd.types.numeric_core import numeric_add, numeric_sub

if TYPE_CHECKING:
    from heliosd.types.context import EvalContext

Interval = tuple[int, int, int]
Place: TypeAlias = Callable[[Any], tuple[int, Any]]
Shifted: TypeAlias = Callable[["EvalContext", Any, Any, int], tuple[int, Any]]

LOWEST: Final = (-1, 0)
"""Below every value."""
HIGHEST: Final = (1, 0)
"""Above every value but NaN."""


@dataclass(frozen=True, slots=True)
class RangeScale:
    """`place` puts a value on the scale; `shifted` a value moved by an offset (sign +1 or -1)."""

    place: Place
    shifted: Shifted
    negative: Callable[[Any], bool]


def scale_of(oid: int) -> RangeScale:
    """The scale of an ORDER BY type that RANGE takes offsets for."""
    return _SCALES[oid]


def check_range_offset(offset: Any, scale: RangeScale) -> None:
    """22013 for a negative or NaN offset."""
    if scale.negative(offset):
        raise SqlError("22013", "invalid preceding or following size in window function")


def _number(value: Any) -> tuple[int, Any]:
    return (2, 0) if value != value else (0, value)  # NaN differs from itself


def _numeric(value: Decimal) -> tuple[int, Any]:
    # A numeric NaN is equal to itself.
    return (2, 0) if value.is_nan() else (0, value)


def _add_integer(_ctx: EvalContext, value: int, offset: int, sign: int) -> tuple[int, Any]:
    return 0, value + sign * offset


def _add_float(_ctx: EvalContext, value: float, offset: float, sign: int) -> tuple[int, Any]:
    if math.isinf(value) and math.isinf(offset) and (value > 0) == (sign < 0):
        return LOWEST if sign < 0 else HIGHEST
    return _number(value + sign * offset)


def _add_numeric(_ctx: EvalContext, value: Decimal, offset: Decimal, sign: int) -> tuple[int, Any]:
    if value.is_nan():
        return 2, 0
    if value.is_infinite() and offset.is_infinite() and (value > 0) == (sign < 0):
        return LOWEST if sign < 0 else HIGHEST
    return _numeric(numeric_add(value, offset) if sign > 0 else numeric_sub(value, offset))


def _span(value: Interval) -> int:
    months, days, us = value
    return (months * 30 + days) * US_PER_DAY + us


def _is_negative_number(offset: float) -> bool:
    return bool(offset != offset or offset < 0)  # NaN differs from itself


def _add_span(_ctx: EvalContext, value: Interval, offset: Interval, sign: int) -> tuple[int, Any]:
    return 0, _span(value) + sign * _span(offset)


def _signed(offset: Interval, sign: int) -> Interval:
    months, days, us = offset
    return sign * months, sign * days, sign * us


def _add_timestamp(ctx: EvalContext, value: int, offset: Interval, sign: int) -> tuple[int, Any]:
    return 0, _moved(ctx, value, _signed(offset, sign), zoned=False)


def _add_timestamptz(ctx: EvalContext, value: int, offset: Interval, sign: int) -> tuple[int, Any]:
    return 0, _moved(ctx, value, _signed(offset, sign), zoned=True)


def _add_date(ctx: EvalContext, value: int, offset: Interval, sign: int) -> tuple[int, Any]:
    return 0, _moved(ctx, _date_us(value), _signed(offset, sign), zoned=False)


def _add_time(_ctx: EvalContext, value: int, offset: Interval, sign: int) -> tuple[int, Any]:
    return 0, value + sign * offset[2]


def _add_timetz(
    _ctx: EvalContext, value: tuple[int, int], offset: Interval, sign: int
) -> tuple[int, Any]:
    time, zone = value
    return _timetz((time + sign * offset[2], zone))


def _timetz(value: tuple[int, int]) -> tuple[int, Any]:
    time, zone = value
    return 0, (time + zone * 1_000_000, zone)


_INFINITE_DATES: Final = {2**31 - 1: 2**63 - 1, -(2**31): -(2**63)}


def _date_us(days: int) -> int:
    return _INFINITE_DATES.get(days, days * US_PER_DAY)


def _moved(ctx: EvalContext, value: int, offset: Interval, *, zoned: bool) -> int:
    if value in (2**63 - 1, -(2**63)):
        return value
    if zoned:
        return interval_plus_timestamptz(ctx, offset, value)
    return interval_plus_timestamp(offset, value)


def _plain(value: Any) -> tuple[int, Any]:
    return 0, value


_INTEGER: Final = RangeScale(_plain, _add_integer, lambda o: o < 0)
_FLOAT: Final = RangeScale(_number, _add_float, _is_negative_number)
_SPANS: Final[dict[int, tuple[Place, Shifted]]] = {
    1082: (lambda v: (0, _date_us(v)), _add_date),
    1083: (_plain, _add_time),
    1114: (_plain, _add_timestamp),
    1184: (_plain, _add_timestamptz),
    1186: (lambda v: (0, _span(v)), _add_span),
    1266: (_timetz, _add_timetz),
}
_SCALES: Final[dict[int, RangeScale]] = {
    21: _INTEGER,
    23: _INTEGER,
    20: _INTEGER,
    700: _FLOAT,
    701: _FLOAT,
    1700: RangeScale(_numeric, _add_numeric, lambda o: o.is_nan() or o < 0),
    **{
        oid: RangeScale(place, shifted, lambda o: _span(o) < 0)
        for oid, (place, shifted) in _SPANS.items()
    },
}
