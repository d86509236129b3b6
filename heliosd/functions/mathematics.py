"""The chapter "Mathematical Functions": rounding, roots, powers, trigonometry."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final, TypeVar

from heliosd.errors import SqlError
from heliosd.functions.statistics import numeric_root
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms
from heliosd.types.floats import overflow, underflow
from heliosd.types.integer import int4, int8
from heliosd.types.numeric_core import (
    base_weight,
    clamp_scale,
    numeric_div_trunc,
    numeric_mod,
    numeric_mul,
    round_to,
    scale_of,
    truncate_to,
)

forms: Final = Forms()
_ROUND_DIGITS_MAX: Final = 16383
_ROUND_DIGITS_MIN: Final = -131_073  # one more than a numeric has before the point


def _outside(message: str = "input is out of range") -> SqlError:
    return SqlError("22003", message)


# ------------------------------------------------------------ floats


@forms.function("ceil(float8)", "ceiling(float8)")
def float_ceil(value: float) -> float:
    """The next whole number up."""
    return math.copysign(math.ceil(value), value) if math.isfinite(value) else value


@forms.function("floor(float8)")
def float_floor(value: float) -> float:
    """The next whole number down."""
    return math.copysign(math.floor(value), value) if math.isfinite(value) else value


@forms.function("round(float8)", "dround(float8)")
def float_round(value: float) -> float:
    """Half to even, as rint()."""
    return math.copysign(round(value), value) if math.isfinite(value) else value


@forms.function("trunc(float8)", "dtrunc(float8)")
def float_trunc(value: float) -> float:
    """Towards zero."""
    return math.copysign(math.trunc(value), value) if math.isfinite(value) else value


@forms.function("sign(float8)")
def float_sign(value: float) -> float:
    """-1, 0 or 1."""
    return math.copysign(1.0, value) if value > 0 or value < 0 else 0.0


@forms.function("exp(float8)", "dexp(float8)")
def float_exp(value: float) -> float:
    """22003 on overflow and underflow."""
    try:
        result = math.exp(value)
    except OverflowError:
        raise overflow() from None
    if result == 0 and math.isfinite(value):
        raise underflow()
    return result


def _checked_log(value: float) -> None:
    if value == 0:
        raise SqlError("2201E", "cannot take logarithm of zero")
    if value < 0:
        raise SqlError("2201E", "cannot take logarithm of a negative number")


@forms.function("ln(float8)", "dlog1(float8)")
def float_ln(value: float) -> float:
    """2201E for zero and below."""
    _checked_log(value)
    return math.log(value)


@forms.function("log(float8)", "log10(float8)", "dlog10(float8)")
def float_log10(value: float) -> float:
    """2201E for zero and below."""
    _checked_log(value)
    return math.log10(value)


def _trigonometric(
    signatures: tuple[str, ...], function: Callable[[float], float], low: float, high: float
) -> None:
    def compute(value: float) -> float:
        if value != value:
            return value
        if not low <= value <= high:
            raise _outside()
        return function(value)

    forms.function(*signatures)(compute)


_LARGEST: Final = 1.7976931348623157e308
for _name, _function in (("sin", math.sin), ("cos", math.cos), ("tan", math.tan)):
    _trigonometric((f"{_name}(float8)",), _function, -_LARGEST, _LARGEST)
_trigonometric(("cot(float8)",), lambda value: _inverse(math.tan(value)), -_LARGEST, _LARGEST)
_trigonometric(("asin(float8)",), math.asin, -1.0, 1.0)
_trigonometric(("acos(float8)",), math.acos, -1.0, 1.0)
_trigonometric(("atan(float8)",), math.atan, -math.inf, math.inf)
_trigonometric(("tanh(float8)",), math.tanh, -math.inf, math.inf)
_trigonometric(("asinh(float8)",), math.asinh, -math.inf, math.inf)
_trigonometric(("acosh(float8)",), math.acosh, 1.0, math.inf)


def _inverse(value: float) -> float:
    return math.copysign(math.inf, value) if value == 0 else 1.0 / value


@forms.function("sinh(float8)")
def float_sinh(value: float) -> float:
    """Infinite past the range, as PostgreSQL's."""
    try:
        return math.sinh(value)
    except OverflowError:
        return math.copysign(math.inf, value)


@forms.function("cosh(float8)")
def float_cosh(value: float) -> float:
    """Infinite past the range, as PostgreSQL's."""
    try:
        return math.cosh(value)
    except OverflowError:
        return math.inf


@forms.function("atanh(float8)")
def float_atanh(value: float) -> float:
    """Infinite at -1 and 1; 22003 beyond."""
    if value in (-1.0, 1.0):
        return math.copysign(math.inf, value)
    if not -1.0 < value < 1.0 and value == value:
        raise _outside()
    return math.atanh(value)


@forms.function("degrees(float8)")
def degrees(value: float) -> float:
    """Radians to degrees; 22003."""
    result = value / (math.pi / 180.0)
    if math.isinf(result) and math.isfinite(value):
        raise overflow()
    return result


forms.templates({"radians(float8)": "{0} * RADIANS_PER_DEGREE()", "pi()": "PI()"})
forms.names["PI"] = lambda: math.pi
forms.names["RADIANS_PER_DEGREE"] = lambda: math.pi / 180.0
forms.function("atan2(float8,float8)")(math.atan2)


# ------------------------------------------------------------ numeric


@forms.function("round(numeric,int4)")
def numeric_round(value: Decimal, digits: int) -> Decimal:
    """Half away from zero; negative digits round before the point."""
    if not value.is_finite():
        return value
    lead = -1 - value.adjusted()  # rounding here asks only the first digit
    if digits < 0 and (digits < lead or (digits == lead and value.as_tuple().digits[0] < 5)):
        return Decimal(0)
    digits = max(min(digits, _ROUND_DIGITS_MAX), _ROUND_DIGITS_MIN)
    rounded = round_to(value, digits)
    return rounded if digits >= 0 else round_to(rounded, 0)


@forms.function("round(numeric)")
def numeric_round_whole(value: Decimal) -> Decimal:
    """To a whole number."""
    return numeric_round(value, 0)


@forms.function("trunc(numeric,int4)")
def numeric_trunc(value: Decimal, digits: int) -> Decimal:
    """Towards zero."""
    if not value.is_finite():
        return value
    if digits < min(-value.adjusted(), 0):
        return Decimal(0)
    digits = max(min(digits, _ROUND_DIGITS_MAX), _ROUND_DIGITS_MIN + 1)
    cut = truncate_to(value, digits)
    return cut if digits >= 0 else truncate_to(cut, 0)


@forms.function("trunc(numeric)")
def numeric_trunc_whole(value: Decimal) -> Decimal:
    """To a whole number."""
    return numeric_trunc(value, 0)


def _whole(value: Decimal, rounding: str) -> Decimal:
    whole = value.to_integral_value(rounding=rounding)
    return whole if whole else Decimal(0)


@forms.function("ceil(numeric)", "ceiling(numeric)")
def numeric_ceil(value: Decimal) -> Decimal:
    """The next whole number up."""
    return _whole(value, ROUND_CEILING) if value.is_finite() else value


@forms.function("floor(numeric)")
def numeric_floor(value: Decimal) -> Decimal:
    """The next whole number down."""
    return _whole(value, ROUND_FLOOR) if value.is_finite() else value


@forms.function("sqrt(numeric)", "numeric_sqrt(numeric)")
def numeric_sqrt(value: Decimal) -> Decimal:
    """With at least 16 significant digits; 2201F."""
    if value.is_nan():
        return value
    if value < 0:
        raise SqlError("2201F", "cannot take square root of a negative number")
    if value.is_infinite():
        return value
    weight = base_weight(value)[0]
    # Digits before the point of the root, as PostgreSQL estimates them.
    before = weight * 4 // 2 if weight >= 0 else -((-weight * 4) // 2)
    return numeric_root(value, clamp_scale(16 - 1 - before, scale_of(value)))


@forms.function("scale(numeric)")
def numeric_scale(value: Decimal) -> int | None:
    """Digits after the point."""
    return scale_of(value) if value.is_finite() else None


@forms.function("min_scale(numeric)")
def numeric_min_scale(value: Decimal) -> int | None:
    """Digits after the point that are needed."""
    if not value.is_finite():
        return None
    text = f"{value:f}"
    return len(text.partition(".")[2].rstrip("0"))


@forms.function("trim_scale(numeric)")
def numeric_trim_scale(value: Decimal) -> Decimal:
    """Without zeros at the end."""
    needed = numeric_min_scale(value)
    return value if needed is None else truncate_to(value, needed)


# ------------------------------------------------------------ common divisors


@forms.function("gcd(int4,int4)")
def gcd4(left: int, right: int) -> int:
    """22003 where the result is one too large."""
    return int4(math.gcd(left, right))


@forms.function("gcd(int8,int8)")
def gcd8(left: int, right: int) -> int:
    """22003 where the result is one too large."""
    return int8(math.gcd(left, right))


@forms.function("lcm(int4,int4)")
def lcm4(left: int, right: int) -> int:
    """22003."""
    return int4(math.lcm(left, right))


@forms.function("lcm(int8,int8)")
def lcm8(left: int, right: int) -> int:
    """22003."""
    return int8(math.lcm(left, right))


@forms.function("gcd(numeric,numeric)")
def numeric_gcd(left: Decimal, right: Decimal) -> Decimal:
    """Euclid's, at the larger scale."""
    if not (left.is_finite() and right.is_finite()):
        return Decimal("NaN")
    scale = max(scale_of(left), scale_of(right))
    a, b = left.copy_abs(), right.copy_abs()
    while b:
        a, b = b, numeric_mod(a, b)
    return round_to(a, scale)


@forms.function("lcm(numeric,numeric)")
def numeric_lcm(left: Decimal, right: Decimal) -> Decimal:
    """At the larger scale."""
    if not (left.is_finite() and right.is_finite()):
        return Decimal("NaN")
    scale = max(scale_of(left), scale_of(right))
    if not left or not right:
        return round_to(Decimal(0), scale)
    common = numeric_gcd(left, right)
    return round_to(numeric_mul(numeric_div_trunc(left, common), right).copy_abs(), scale)


@forms.function("factorial(int8)")
def factorial(value: int) -> Decimal:
    """22003 past 32177 and for negative numbers."""
    if value < 0:
        raise SqlError("22003", "factorial of a negative number is undefined")
    if value > 32177:
        raise SqlError("22003", "value overflows numeric format")
    return _product(1, value + 1)


def _product(low: int, high: int) -> Decimal:
    """low * (low + 1) ... (high - 1). Decimal multiplies long numbers quickly, but takes most of
    a second to become one from an int of 130,000 digits."""
    if high - low <= 16:
        return Decimal(math.prod(range(low, high)))
    middle = (low + high) // 2
    return numeric_mul(_product(low, middle), _product(middle, high))


# ------------------------------------------------------------ buckets and random


@forms.function("width_bucket(float8,float8,float8,int4)")
def width_bucket(operand: float, low: float, high: float, count: int) -> int:
    """Which of `count` equal buckets; 0 below, count + 1 above; 2201G."""
    return _bucket(operand, low, high, count)


@forms.function("width_bucket(numeric,numeric,numeric,int4)")
def numeric_width_bucket(operand: Decimal, low: Decimal, high: Decimal, count: int) -> int:
    """Exactly; 2201G."""
    return _bucket(operand, low, high, count)


Number = TypeVar("Number", float, Decimal)


def _bucket(operand: Number, low: Number, high: Number, count: int) -> int:
    if count <= 0:
        raise SqlError("2201G", "count must be greater than zero")
    if any(map(math.isnan, (operand, low, high))):
        raise SqlError("2201G", "operand, lower bound, and upper bound cannot be NaN")
    if not (math.isfinite(low) and math.isfinite(high)):
        raise SqlError("2201G", "lower and upper bounds must be finite")
    if low == high:
        raise SqlError("2201G", "lower bound cannot equal upper bound")
    if low > high:
        if operand > low:
            return 0
        if operand <= high:
            return int4(count + 1)
        return int((low - operand) * count / (low - high)) + 1
    if operand < low:
        return 0
    if operand >= high:
        return int4(count + 1)
    return int((operand - low) * count / (high - low)) + 1


@forms.function("random()", needs_context=True)
def random(ctx: EvalContext) -> float:
    """In [0, 1)."""
    return ctx.random()


@forms.function("setseed(float8)", needs_context=True)
def setseed(ctx: EvalContext, seed: float) -> str:
    """22023 outside [-1, 1]."""
    if not -1 <= seed <= 1:
        raise SqlError("22023", f"setseed parameter {seed:g} is out of allowed range [-1,1]")
    ctx.set_seed(seed)
    return ""
