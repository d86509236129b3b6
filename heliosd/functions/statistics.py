"""Statistical aggregates: variances, regression, and the ordered-set percentiles.

Floats follow Youngs and Cramer (1971), as PostgreSQL does, so that the last digit agrees; integers
and numerics are exact sums divided once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.functions.declare import aggregate
from heliosd.functions.registry import AggregateForm, SqlAggregate
from heliosd.types.array import Array
from heliosd.types.declare import Forms
from heliosd.types.floats import overflow
from heliosd.types.interval import Interval, interval_add, interval_mul, interval_sub
from heliosd.types.numeric_core import (
    EXACT,
    divide,
    division_scale,
    numeric_add,
    numeric_mul,
    numeric_sub,
    scale_of,
)
from heliosd.types.registry import Value

forms: Final = Forms()
_NAN: Final = Decimal("NaN")

# ------------------------------------------------------------ float variances


def _float_step(state: tuple[float, float, float], value: float) -> tuple[float, float, float]:
    n, total, squares = state
    count = n + 1.0
    added = total + value
    if n > 0.0:
        gap = value * count - added
        squares += gap * gap / (count * n)
        if math.isinf(added) or math.isinf(squares):
            if not math.isinf(total) and not math.isinf(value):
                raise overflow()
            squares = math.nan
    elif not math.isfinite(value):
        squares = math.nan
    return count, added, squares


def _float_variance(*, sample: bool, root: bool) -> AggregateForm:
    least = 1.0 if sample else 0.0

    def final(state: tuple[float, float, float]) -> Value:
        n, _, squares = state
        if n <= least:
            return None
        variance = squares / (n - least)
        return math.sqrt(variance) if root else variance

    return AggregateForm(lambda: (0.0, 0.0, 0.0), _float_step, final)


# ------------------------------------------------------------ exact variances


def _exact_step(state: tuple[int, Decimal, Decimal], value: Any) -> tuple[int, Decimal, Decimal]:
    n, total, squares = state
    number = Decimal(value)
    return n + 1, numeric_add(total, number), numeric_add(squares, numeric_mul(number, number))


def numeric_root(value: Decimal, scale: int) -> Decimal:
    """The square root of a finite, non-negative number, rounded to `scale` digits."""
    # Integers: the root of value * 10^(2 * scale), rounded once.
    shift = max(scale, (scale_of(value) + 1) // 2, 0)
    whole = int(EXACT.scaleb(value, 2 * shift))
    root = math.isqrt(whole)
    cut = 10 ** (shift - scale)
    if cut == 1:
        rounded = root + (whole - root * root > root)
    else:
        # twice the root against the middle between two results decides, exactly
        low = root // cut
        middle = (2 * low + 1) * cut
        rounded = low + (4 * whole >= middle * middle)
    return EXACT.scaleb(Decimal(rounded), -scale)


def _exact_variance(*, sample: bool, root: bool) -> AggregateForm:
    def final(state: tuple[int, Decimal, Decimal]) -> Value:
        n, total, squares = state
        if n == 0 or (sample and n == 1):
            return None
        if not total.is_finite() or not squares.is_finite():
            return _NAN
        count = Decimal(n)
        spread = numeric_sub(numeric_mul(squares, count), numeric_mul(total, total))
        if spread <= 0:
            return Decimal(0)
        divisor = Decimal(n * (n - 1) if sample else n * n)
        scale = division_scale(spread, divisor)
        variance = divide(spread, divisor, scale)
        return numeric_root(variance, scale) if root else variance

    return AggregateForm(lambda: (0, Decimal(0), Decimal(0)), _exact_step, final)


def _variances() -> Iterator[SqlAggregate]:
    for name, sample, root in (
        ("var_pop", False, False),
        ("var_samp", True, False),
        ("variance", True, False),
        ("stddev_pop", False, True),
        ("stddev_samp", True, True),
        ("stddev", True, True),
    ):
        for type_name in ("float4", "float8"):
            yield aggregate(f"{name}({type_name})", _float_variance(sample=sample, root=root))
        for type_name in ("int2", "int4", "int8", "numeric"):
            yield aggregate(f"{name}({type_name})", _exact_variance(sample=sample, root=root))


# ------------------------------------------------------------ regression

# n, sum x, squares x, sum y, squares y, products
_Pairs = tuple[float, float, float, float, float, float]


def _pair_step(state: _Pairs, y: float, x: float) -> _Pairs:
    n, sx, sxx, sy, syy, sxy = state
    count = n + 1.0
    new_sx, new_sy = sx + x, sy + y
    if n > 0.0:
        gap_x, gap_y = x * count - new_sx, y * count - new_sy
        scale = 1.0 / (count * n)
        sxx += gap_x * gap_x * scale
        syy += gap_y * gap_y * scale
        sxy += gap_x * gap_y * scale
        if any(map(math.isinf, (new_sx, sxx, new_sy, syy, sxy))):
            if all(map(math.isfinite, (sx, x, sy, y))):
                raise overflow()
            sxx = math.nan if math.isinf(sxx) else sxx
            syy = math.nan if math.isinf(syy) else syy
            sxy = math.nan if math.isinf(sxy) else sxy
    else:
        if not math.isfinite(x):
            sxx = sxy = math.nan
        if not math.isfinite(y):
            syy = sxy = math.nan
    return count, new_sx, sxx, new_sy, syy, sxy


def _regr_r2(s: _Pairs) -> Value:
    if s[0] < 1 or s[2] == 0:
        return None
    return 1.0 if s[4] == 0 else (s[5] * s[5]) / (s[2] * s[4])


def _corr(s: _Pairs) -> Value:
    if s[0] < 1 or s[2] == 0 or s[4] == 0:
        return None
    return s[5] / math.sqrt(s[2] * s[4])


_REGRESSION: Final[dict[str, Callable[[_Pairs], Value]]] = {
    "regr_count": lambda s: int(s[0]),
    "regr_sxx": lambda s: None if s[0] < 1 else s[2],
    "regr_syy": lambda s: None if s[0] < 1 else s[4],
    "regr_sxy": lambda s: None if s[0] < 1 else s[5],
    "regr_avgx": lambda s: None if s[0] < 1 else s[1] / s[0],
    "regr_avgy": lambda s: None if s[0] < 1 else s[3] / s[0],
    "covar_pop": lambda s: None if s[0] < 1 else s[5] / s[0],
    "covar_samp": lambda s: None if s[0] < 2 else s[5] / (s[0] - 1.0),
    "corr": _corr,
    "regr_r2": _regr_r2,
    "regr_slope": lambda s: None if s[0] < 1 or s[2] == 0 else s[5] / s[2],
    "regr_intercept": lambda s: (
        None if s[0] < 1 or s[2] == 0 else (s[3] - s[1] * s[5] / s[2]) / s[0]
    ),
}


def _regressions() -> Iterator[SqlAggregate]:
    for name, final in _REGRESSION.items():
        form = AggregateForm(lambda: (0.0, 0.0, 0.0, 0.0, 0.0, 0.0), _pair_step, final)
        yield aggregate(f"{name}(float8,float8)", form, empty=0 if name == "regr_count" else None)


# ------------------------------------------------------------ ordered sets


def _collect(state: list[Any], value: Any) -> list[Any]:
    state.append(value)
    return state


def _check_fraction(fraction: float) -> None:
    if not 0 <= fraction <= 1:
        raise SqlError("22003", f"percentile value {fraction:g} is not between 0 and 1")


def percentile_disc(values: list[Any], fraction: float | None) -> Value:
    """The first value whose position is at least `fraction` of the way; 22003."""
    if fraction is None:
        return None
    _check_fraction(fraction)
    return values[max(math.ceil(fraction * len(values)), 1) - 1] if values else None


def percentile_cont(values: list[float], fraction: float | None) -> float | None:
    """The value at `fraction` of the way, between two neighbours where need be; 22003."""
    if fraction is None:
        return None
    _check_fraction(fraction)
    if not values:
        return None
    place = fraction * (len(values) - 1)
    low, high = math.floor(place), math.ceil(place)
    first, second = values[low], values[high]
    return first if low == high else first + (place - low) * (second - first)


def percentile_interval(values: list[Interval], fraction: float | None) -> Interval | None:
    """`percentile_cont` of intervals; 22003."""
    if fraction is None:
        return None
    _check_fraction(fraction)
    if not values:
        return None
    place = fraction * (len(values) - 1)
    low, high = math.floor(place), math.ceil(place)
    first, second = values[low], values[high]
    if low == high:
        return first
    return interval_add(first, interval_mul(interval_sub(second, first), place - low))


def _each_fraction(
    one: Callable[[list[Any], float | None], Value], values: list[Any], fractions: Array | None
) -> Array | None:
    """One percentile for each of an array of fractions, in the array's shape."""
    if fractions is None or not values:
        return None
    found = tuple(one(values, fraction) for fraction in fractions.elements)
    return Array(found, fractions.dimensions, fractions.lower_bounds)


def mode(values: list[Any]) -> Value:
    """The most frequent value, of equals the first; `values` are in order."""
    best: Any = None
    best_count = count = 0
    last: Any = None
    for value in values:
        count = count + 1 if count and value == last else 1
        last = value
        if count > best_count:
            best, best_count = value, count
    return best


def _ordered_sets() -> Iterator[SqlAggregate]:
    yield aggregate(
        "percentile_disc(float8,anyelement)", AggregateForm(list, _collect, percentile_disc)
    )
    yield aggregate(
        "percentile_cont(float8,float8)", AggregateForm(list, _collect, percentile_cont)
    )
    yield aggregate(
        "percentile_cont(float8,interval)", AggregateForm(list, _collect, percentile_interval)
    )
    for signature, one in (
        ("percentile_disc(_float8,anyelement)", percentile_disc),
        ("percentile_cont(_float8,float8)", percentile_cont),
        ("percentile_cont(_float8,interval)", percentile_interval),
    ):
        yield aggregate(signature, AggregateForm(list, _collect, partial(_each_fraction, one)))
    yield aggregate("mode(anyelement)", AggregateForm(list, _collect, mode))


aggregates: Final = (*_variances(), *_regressions(), *_ordered_sets())
