"""Roots and powers: those of floats, and exp, ln, log and power of numeric with their scales."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from heliosd.errors import SqlError
from heliosd.types import floats
from heliosd.types.declare import Forms
from heliosd.types.numeric_core import (
    INFINITY,
    NAN,
    ONE,
    SCALE_MAX,
    SIGNIFICANT_MIN,
    WEIGHT_MAX,
    ZERO,
    clamp_scale,
    divide,
    log_weight,
    numeric_mul,
    overflow,
    round_to,
    scale_of,
)
from heliosd.types.registry import SqlType

forms: Final = Forms()
types: Final[tuple[SqlType, ...]] = ()

_LOG10_E: Final = 0.434294481903252
# Decimal's exp and ln of 1,100 digits take 30 ms, of 6,000 six seconds. Products are quick.
_DIGITS_MAX: Final = 1_500
_PRODUCT_DIGITS_MAX: Final = 150_000
_GUARD: Final = 12


def _context(digits: int, most: int = _DIGITS_MAX) -> Context:
    if digits > most:
        raise SqlError(
            "54000",
            "numeric result has too many digits",
            detail=f"At most {most} digits are computed.",
        )
    return Context(
        prec=max(digits, 20) + _GUARD,
        rounding=ROUND_HALF_EVEN,
        Emax=999_999,
        Emin=-999_999,
    )


def _float(value: Decimal) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


@forms.function("exp(numeric)", "numeric_exp(numeric)")
def numeric_exp(value: Decimal) -> Decimal:
    """e to the value; 22003."""
    if not value.is_finite():
        if value.is_nan():
            return NAN
        return INFINITY if value > 0 else ZERO
    weight = _float(value) * _LOG10_E
    if weight > WEIGHT_MAX:
        raise overflow()
    if weight < -SCALE_MAX * 2:
        return round_to(ZERO, SCALE_MAX)
    scale = clamp_scale(SIGNIFICANT_MIN - int(weight), scale_of(value))
    result = _context(max(int(weight), 0) + scale + 2).exp(value)
    return round_to(result, scale)


def _check_log(value: Decimal) -> None:
    if value.is_nan():
        return
    if value < 0:
        raise SqlError("2201E", "cannot take logarithm of a negative number")
    if not value:
        raise SqlError("2201E", "cannot take logarithm of zero")


def _ln(value: Decimal, scale: int) -> Decimal:
    # near one the result is small: digits are needed from its first one
    return _context(abs(log_weight(value)) + scale + 8).ln(value)


@forms.function("ln(numeric)", "numeric_ln(numeric)")
def numeric_ln(value: Decimal) -> Decimal:
    """2201E for zero and below."""
    _check_log(value)
    if not value.is_finite():
        return value
    scale = clamp_scale(SIGNIFICANT_MIN - log_weight(value), scale_of(value))
    return round_to(_ln(value, scale), scale)


@forms.function("log(numeric,numeric)", "numeric_log(numeric,numeric)")
def numeric_log(base: Decimal, value: Decimal) -> Decimal:
    """The logarithm to a base; 2201E, 22012."""
    if base.is_nan() or value.is_nan():
        return NAN
    _check_log(base)
    _check_log(value)
    if base.is_infinite():
        return NAN if value.is_infinite() else ZERO
    if value.is_infinite():
        return INFINITY
    base_weight, value_weight = log_weight(base), log_weight(value)
    scale = clamp_scale(
        SIGNIFICANT_MIN - (value_weight - base_weight), scale_of(base), scale_of(value)
    )
    precise = scale + abs(base_weight) + abs(value_weight) + 8
    return divide(_ln(value, precise), _ln(base, precise), scale)


@forms.function("log(numeric)", "log10(numeric)")
def numeric_log10(value: Decimal) -> Decimal:
    """The logarithm to base 10; 2201E."""
    return numeric_log(Decimal(10), value)


@forms.function("numeric_power(numeric,numeric)", "power(numeric,numeric)", "pow(numeric,numeric)")
def numeric_power(base: Decimal, exponent: Decimal) -> Decimal:
    """base to the exponent; 2201F, 22003."""
    if not (base.is_finite() and exponent.is_finite()):
        return _special_power(base, exponent)
    if not base and exponent < 0:
        raise SqlError("2201F", "zero raised to a negative power is undefined")
    whole = exponent == exponent.to_integral_value()
    if base < 0 and not whole:
        raise SqlError(
            "2201F", "a negative number raised to a non-integer power yields a complex result"
        )
    if whole and abs(exponent) <= 2_147_483_647:
        return _integer_power(base, int(exponent))
    if not base:
        return round_to(ZERO, SIGNIFICANT_MIN)
    return _real_power(base, exponent)


def _special_power(base: Decimal, exponent: Decimal) -> Decimal:
    if base.is_nan() or exponent.is_nan():
        # 1 to anything and anything to 0 are 1, as pow() of POSIX has it
        return ONE if (base == 1 or exponent == 0) else NAN
    if not base and exponent < 0:
        raise SqlError("2201F", "zero raised to a negative power is undefined")
    if exponent == 0 or base == 1:
        return ONE
    if exponent.is_infinite():
        size = abs(base)
        if size == 1:
            return ONE
        return INFINITY if (size > 1) == (exponent > 0) else ZERO
    if base > 0:
        return INFINITY if exponent > 0 else ZERO
    if exponent != exponent.to_integral_value():
        raise SqlError(
            "2201F", "a negative number raised to a non-integer power yields a complex result"
        )
    if exponent < 0:
        return ZERO
    return -INFINITY if int(exponent) % 2 else INFINITY


def _integer_power(base: Decimal, exponent: int) -> Decimal:
    weight = 0.0
    if base:
        digits = base.adjusted()
        leading = abs(_float(base.scaleb(-digits, _context(40))))
        weight = exponent * (math.log10(leading) + digits)
    if weight > (32_767 + 1) * 4:
        raise overflow()
    scale = clamp_scale(SIGNIFICANT_MIN, scale_of(base))
    if weight + 1 < -scale:
        return round_to(ZERO, scale)
    if exponent == 0:
        return round_to(ONE, scale)
    if exponent == 1:
        return round_to(base, scale)
    if exponent == -1:
        return divide(ONE, base, scale)
    if exponent == 2:
        return round_to(numeric_mul(base, base), scale)
    needed = max(int(weight), 0) + scale + int(math.log10(abs(exponent))) + 8
    context = _context(needed, _PRODUCT_DIGITS_MAX)
    return round_to(context.power(base, exponent), scale)


def _real_power(base: Decimal, exponent: Decimal) -> Decimal:
    sign = -1 if base < 0 and int(exponent) % 2 else 1
    base = abs(base)
    logarithm = _context(24).ln(base) * exponent
    weight = _float(logarithm) * _LOG10_E
    if abs(_float(logarithm)) > 16_000 * 3.01 * 4:
        if logarithm > 0:
            raise overflow()
        return round_to(ZERO, SCALE_MAX)
    scale = clamp_scale(SIGNIFICANT_MIN - int(weight), scale_of(base), scale_of(exponent))
    needed = max(int(weight), 0) + scale + 8
    context = _context(needed + len(str(abs(int(exponent)))) + 4)
    result = context.exp(context.multiply(context.ln(base), exponent))
    return round_to(result * sign if sign < 0 else result, scale)


@forms.function("sqrt(float8)", "dsqrt(float8)")
def float_sqrt(value: float) -> float:
    """2201F for a negative number."""
    if value < 0:
        raise SqlError("2201F", "cannot take square root of a negative number")
    return math.sqrt(value)


@forms.function("cbrt(float8)", "dcbrt(float8)")
def float_cbrt(value: float) -> float:
    """The cube root; exact for cubes of whole numbers."""
    return math.cbrt(value) if math.isfinite(value) else value


@forms.function("power(float8,float8)", "pow(float8,float8)", "dpow(float8,float8)")
def float_power(base: float, exponent: float) -> float:
    """2201F where there is no real result, 22003 on overflow and underflow."""
    if base == 0 and exponent < 0:
        raise SqlError("2201F", "zero raised to a negative power is undefined")
    finite = math.isfinite(base) and math.isfinite(exponent)
    if base < 0 and math.isfinite(exponent) and exponent != math.floor(exponent):
        raise SqlError(
            "2201F", "a negative number raised to a non-integer power yields a complex result"
        )
    try:
        result = math.pow(base, exponent)
    except OverflowError:
        raise floats.overflow() from None
    except ValueError:
        return math.nan
    if finite and result == 0 and base != 0:
        raise floats.underflow()
    return result
