"""The arithmetic of numeric: Decimals with PostgreSQL's digit limits and result scales.

A numeric value is a Decimal whose exponent is never positive (its scale is `-exponent`), never
minus zero, and whose NaN is always the one object `NAN`, so that Python's own comparisons give
SQL's order: NaN equals itself and is above everything.
"""

from __future__ import annotations

import math
from decimal import (
    ROUND_DOWN,
    ROUND_HALF_UP,
    Context,
    Decimal,
    InvalidOperation,
    Overflow,
)
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.failures import division_by_zero

SCALE_MAX: Final = 1000
"""Computed results show no more digits after the point."""
SIGNIFICANT_MIN: Final = 16
INPUT_SCALE_MAX: Final = 16383
WEIGHT_MAX: Final = 131071


class _NotANumber(Decimal):
    """NaN with SQL's order. Python asks a subclass's comparison first, on either side."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Decimal) and other.is_nan()

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: object) -> bool:
        return False

    def __le__(self, other: object) -> bool:
        return self == other

    def __gt__(self, other: object) -> bool:
        return not self == other

    def __ge__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0x4E614E


NAN: Final[Decimal] = _NotANumber("NaN")
INFINITY: Final = Decimal("Infinity")
ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)

# Exact for sums and products: two numbers of the most digits multiply to 262,144.
EXACT: Final = Context(
    prec=400_000,
    rounding=ROUND_HALF_UP,
    Emax=WEIGHT_MAX,
    Emin=-WEIGHT_MAX,
    traps=[Overflow, InvalidOperation],
)
_add, _subtract, _multiply = EXACT.add, EXACT.subtract, EXACT.multiply
_quantize = EXACT.quantize
_scale = EXACT.scaleb
_UNITS: Final = tuple(Decimal((0, (1,), -scale)) for scale in range(64))


def unit(scale: int) -> Decimal:
    """One in the last place at a scale, the argument of quantize."""
    return _UNITS[scale] if 0 <= scale < 64 else Decimal((0, (1,), -scale))


def overflow() -> SqlError:
    """22003: more than 131,072 digits before the point."""
    return SqlError("22003", "value overflows numeric format")


def scale_of(value: Decimal) -> int:
    """Digits after the point; 0 for NaN and the infinities."""
    exponent = value.as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0


def round_to(value: Decimal, scale: int) -> Decimal:
    """Rounds half away from zero to `scale` digits after the point (may be negative)."""
    try:
        result = _quantize(value, unit(scale))
    except InvalidOperation:
        if value.is_nan() or value.is_infinite():
            return value
        raise overflow() from None
    if scale < 0:
        result = _quantize(result, ONE)
    return result if result else result.copy_abs()


def truncate_to(value: Decimal, scale: int) -> Decimal:
    """Cuts towards zero at `scale` digits after the point (may be negative)."""
    if not value.is_finite():
        return value
    result = value.quantize(unit(scale), rounding=ROUND_DOWN, context=EXACT)
    if scale < 0:
        result = _quantize(result, ONE)
    return result if result else result.copy_abs()


def normal(value: Decimal) -> Decimal:
    """A Decimal from elsewhere as a numeric value: no positive exponent, no -0, the one NaN."""
    if value.is_nan():
        return NAN
    if value.is_infinite():
        return value
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    if exponent > 0:
        try:
            value = _quantize(value, ONE)
        except InvalidOperation:
            raise overflow() from None
    elif value.adjusted() > WEIGHT_MAX:
        raise overflow()
    elif exponent < -INPUT_SCALE_MAX:
        value = round_to(value, INPUT_SCALE_MAX)
    return value if value else value.copy_abs()


def numeric_add(left: Decimal, right: Decimal) -> Decimal:
    """left + right; the scale is the larger one."""
    try:
        result = _add(left, right)
    except Overflow:
        raise overflow() from None
    except InvalidOperation:
        return NAN
    if result:
        return result if result.is_finite() else _special(result)
    return result.copy_abs()


def numeric_sub(left: Decimal, right: Decimal) -> Decimal:
    """left - right; the scale is the larger one."""
    try:
        result = _subtract(left, right)
    except Overflow:
        raise overflow() from None
    except InvalidOperation:
        return NAN
    if result:
        return result if result.is_finite() else _special(result)
    return result.copy_abs()


def numeric_mul(left: Decimal, right: Decimal) -> Decimal:
    """left * right; the scales add up."""
    try:
        result = _multiply(left, right)
    except Overflow:
        raise overflow() from None
    except InvalidOperation:
        return NAN
    if result:
        if not result.is_finite():
            return _special(result)
        if result.adjusted() < -WEIGHT_MAX:
            return round_to(result, INPUT_SCALE_MAX)
        return result
    return result.copy_abs()


def _special(value: Decimal) -> Decimal:
    return NAN if value.is_nan() else value


# Truncating contexts for quotients: enough digits for any usual division, then for any scale.
_QUOTIENT_SMALL: Final = Context(prec=48, rounding=ROUND_DOWN, Emax=400_000, Emin=-400_000)
_QUOTIENT_LARGE: Final = Context(prec=2_200, rounding=ROUND_DOWN, Emax=400_000, Emin=-400_000)


def base_weight(value: Decimal) -> tuple[int, int]:
    """(weight, first digit) in base 10,000, as PostgreSQL stores a number; (0, 0) for zero."""
    if not value:
        return 0, 0
    weight = value.adjusted() >> 2
    return weight, abs(int(_scale(value, -4 * weight)))


def division_scale(left: Decimal, right: Decimal) -> int:
    """How many digits after the point PostgreSQL computes of left / right."""
    left_weight, left_digit = base_weight(left)
    right_weight, right_digit = base_weight(right)
    weight = left_weight - right_weight
    if left_digit <= right_digit:
        weight -= 1
    scale = max(SIGNIFICANT_MIN - weight * 4, scale_of(left), scale_of(right), 0)
    return min(scale, SCALE_MAX)


def divide(left: Decimal, right: Decimal, scale: int) -> Decimal:
    """left / right for finite numbers, rounded half away from zero to `scale`; 22012."""
    if not right:
        raise division_by_zero()
    digits = left.adjusted() - right.adjusted() + scale + 4 if left else 1
    if digits <= 48:
        context = _QUOTIENT_SMALL
    elif digits <= 2_200:
        context = _QUOTIENT_LARGE
    else:
        context = Context(prec=digits, rounding=ROUND_DOWN, Emax=400_000, Emin=-400_000)
    # Truncated past the last place, then rounded there once: never rounded twice.
    return round_to(context.divide(left, right), scale)


def numeric_div(left: Decimal, right: Decimal) -> Decimal:
    """left / right with at least 16 significant digits; 22012."""
    if left.is_finite() and right.is_finite():
        if not right:
            raise division_by_zero()
        return divide(left, right, division_scale(left, right))
    if left.is_nan() or right.is_nan():
        return NAN
    if left.is_infinite():
        if right.is_infinite():
            return NAN
        if not right:
            raise division_by_zero()
        return left if right > 0 else left.copy_negate()
    return ZERO


def numeric_div_trunc(left: Decimal, right: Decimal) -> Decimal:
    """div(left, right): the integer quotient, towards zero."""
    if left.is_finite() and right.is_finite():
        if not right:
            raise division_by_zero()
        digits = max(left.adjusted() - right.adjusted() + 3, 1)
        context = Context(prec=digits + 2, rounding=ROUND_DOWN, Emax=400_000, Emin=-400_000)
        return truncate_to(context.divide(left, right), 0)
    return numeric_div(left, right)


def numeric_mod(left: Decimal, right: Decimal) -> Decimal:
    """The remainder with the dividend's sign; 22012."""
    if left.is_finite() and right.is_finite():
        if not right:
            raise division_by_zero()
        result = EXACT.remainder(left, right)
        scale = max(scale_of(left), scale_of(right))
        return round_to(result, scale)
    if left.is_nan() or right.is_nan() or left.is_infinite():
        if left.is_infinite() and right == 0:
            raise division_by_zero()
        return NAN
    return left


def numeric_neg(value: Decimal) -> Decimal:
    """-value."""
    if value.is_nan() or not value:
        return value
    return value.copy_negate()


def from_int(value: int) -> Decimal:
    """An int as numeric of scale 0."""
    return Decimal(value)


def to_int(value: Decimal, type_name: str) -> int:
    """Rounded half away from zero; NaN and the infinities are 0A000."""
    if value.is_finite():
        if value.adjusted() > 40:
            raise SqlError("22003", f"{type_name} out of range")
        return int(value.to_integral_value(rounding=ROUND_HALF_UP))
    what = "NaN" if value.is_nan() else "infinity"
    raise SqlError("0A000", f"cannot convert {what} to {type_name}")


def average(total: int | Decimal, count: int) -> Decimal:
    """avg() from a sum and a count."""
    return numeric_div(Decimal(total) if isinstance(total, int) else total, Decimal(count))


def log_weight(value: Decimal) -> int:
    """About how many digits before the point ln(value) has, less one, for a positive value."""
    if Decimal("0.9") <= value <= Decimal("1.1"):
        rest = EXACT.subtract(value, ONE)
        if not rest:
            return 0
        weight, digit = base_weight(rest)
        return weight * 4 + int(math.log10(digit))
    weight, digit = base_weight(value)
    shifted = value.scaleb(-(weight * 4 - 4), context=_QUOTIENT_LARGE)
    logarithm = math.log(max(int(shifted), 1)) + (weight * 4 - 4) * math.log(10)
    return int(math.log10(abs(logarithm))) if logarithm else 0


def clamp_scale(scale: int, *minimums: int) -> int:
    """A computed scale between what the operands show and 1,000."""
    return min(max(scale, 0, *minimums), SCALE_MAX)
