"""The type numeric(p, s): text, binary, storage and type modifiers."""

from __future__ import annotations

import re
import struct
from decimal import Decimal, InvalidOperation
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, context_free, sql_type
from heliosd.types.failures import bad_length, invalid_syntax, wrong_length
from heliosd.types.integer import int2, int4, int8
from heliosd.types.numeric_core import (
    EXACT,
    INFINITY,
    INPUT_SCALE_MAX,
    NAN,
    ONE,
    WEIGHT_MAX,
    ZERO,
    base_weight,
    from_int,
    normal,
    numeric_add,
    numeric_div,
    numeric_div_trunc,
    numeric_mod,
    numeric_mul,
    numeric_neg,
    numeric_sub,
    overflow,
    round_to,
    scale_of,
    to_int,
)
from heliosd.types.registry import KeyKind

forms: Final = Forms()
for _helper in (
    numeric_add,
    numeric_sub,
    numeric_mul,
    numeric_div,
    numeric_mod,
    numeric_neg,
    numeric_div_trunc,
):
    forms.helper(_helper)

_NUMBER: Final = re.compile(
    r"[ \t\n\v\f\r]*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:[eE]([+-]?[0-9]+))?[ \t\n\v\f\r]*",
    re.ASCII,
)
_PLAIN: Final = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?", re.ASCII)
_SPECIAL: Final = {
    "nan": NAN,
    "inf": INFINITY,
    "infinity": INFINITY,
    "+inf": INFINITY,
    "+infinity": INFINITY,
    "-inf": -INFINITY,
    "-infinity": -INFINITY,
}
PRECISION_MAX: Final = 1000


def parse_numeric(text: str) -> Decimal:
    """Text to a numeric value; 22P02, 22003."""
    if _PLAIN.fullmatch(text) is not None:
        value = Decimal(text)
        return value if value else value.copy_abs()
    match = _NUMBER.fullmatch(text)
    if match is None:
        special = _SPECIAL.get(text.strip(" \t\n\v\f\r").lower())
        if special is None:
            raise invalid_syntax("numeric", text)
        return special
    mantissa, exponent = match[1], match[2]
    if exponent is not None and (len(exponent) > 9 or abs(int(exponent)) > 1_000_000_000):
        if int(exponent) < 0 and mantissa.strip("+-0."):
            raise invalid_syntax("numeric", text)
        raise overflow()
    try:
        value = EXACT.create_decimal(f"{mantissa}e{exponent}" if exponent else mantissa)
    except (InvalidOperation, OverflowError, ArithmeticError):
        raise overflow() from None
    digits = value.as_tuple().exponent
    if isinstance(digits, int) and digits < -INPUT_SCALE_MAX:
        value = round_to(value, INPUT_SCALE_MAX)
    return normal(value)


def numeric_out(value: Decimal) -> str:
    """All digits, never an exponent."""
    text = str(value)
    return format(value, "f") if "E" in text else text


def unpack_typmod(typmod: int) -> tuple[int, int]:
    """(precision, scale) of a type modifier."""
    packed = typmod - 4
    return (packed >> 16) & 0xFFFF, ((packed & 0x7FF) ^ 1024) - 1024


@forms.helper
def numeric_fit(value: Decimal, typmod: int, explicit: bool = False) -> Decimal:  # noqa: FBT001, FBT002
    """Rounds to numeric(p, s); 22003 when it then has too many digits."""
    if typmod < 4:
        return value
    precision, scale = unpack_typmod(typmod)
    if not value.is_finite():
        if value.is_nan():
            return value
        raise _field_overflow(
            precision,
            scale,
            f"cannot hold an infinite value for precision {precision}, scale {scale}",
        )
    value = round_to(value, scale)
    if value and value.adjusted() >= precision - scale:
        limit = "1" if precision == scale else f"10^{precision - scale}"
        raise _field_overflow(
            precision,
            scale,
            f"A field with precision {precision}, scale {scale} "
            f"must round to an absolute value less than {limit}.",
        )
    return value


def _field_overflow(precision: int, scale: int, detail: str) -> SqlError:
    if detail.startswith("cannot"):
        detail = f"A field with precision {precision}, scale {scale} cannot hold an infinite value."
    return SqlError("22003", "numeric field overflow", detail=detail)


def _typmod_in(modifiers: tuple[str, ...]) -> int:
    try:
        numbers = [int(modifier) for modifier in modifiers]
    except ValueError:
        bad = next(item for item in modifiers if not re.fullmatch(r"-?\d+", item))
        raise invalid_syntax("integer", bad) from None
    if len(numbers) not in (1, 2):
        raise SqlError("22023", "invalid NUMERIC type modifier")
    precision, scale = numbers[0], numbers[1] if len(numbers) == 2 else 0
    if not 1 <= precision <= PRECISION_MAX:
        raise SqlError(
            "22023", f"NUMERIC precision {precision} must be between 1 and {PRECISION_MAX}"
        )
    if not -1000 <= scale <= 1000:
        raise SqlError("22023", f"NUMERIC scale {scale} must be between -1000 and 1000")
    return ((precision << 16) | (scale & 0x7FF)) + 4


def _typmod_out(typmod: int) -> str:
    if typmod < 4:
        return ""
    precision, scale = unpack_typmod(typmod)
    return f"({precision},{scale})"


def _input(text: str, typmod: int, ctx: EvalContext) -> Decimal:
    value = parse_numeric(text)
    return value if typmod < 4 else numeric_fit(value, typmod)


_HEAD: Final = struct.Struct(">HhHH")
_POSITIVE, _NEGATIVE, _NAN, _PINF, _NINF = 0x0000, 0x4000, 0xC000, 0xD000, 0xF000


def numeric_send(value: Decimal) -> bytes:
    """PostgreSQL's base 10,000 digits."""
    if not value.is_finite():
        sign = _NAN if value.is_nan() else (_PINF if value > 0 else _NINF)
        # PostgreSQL's infinities carry a scale of 32
        return _HEAD.pack(0, 0, sign, 0 if sign == _NAN else 32)
    scale = scale_of(value)
    sign = _NEGATIVE if value.is_signed() else _POSITIVE
    if not value:
        return _HEAD.pack(0, 0, _POSITIVE, scale)
    whole, _, fraction = numeric_out(value.copy_abs()).partition(".")
    whole = whole.lstrip("0")
    whole = whole.rjust(-(-len(whole) // 4) * 4, "0")
    weight = len(whole) // 4 - 1
    fraction = fraction.rstrip("0")
    text = whole + fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    groups = [int(text[at : at + 4]) for at in range(0, len(text), 4)]
    first = next(index for index, group in enumerate(groups) if group)
    last = len(groups)
    while groups[last - 1] == 0:
        last -= 1
    groups = groups[first:last]
    return _HEAD.pack(len(groups), weight - first, sign, scale) + struct.pack(
        f">{len(groups)}H", *groups
    )


def _receive(data: bytes, typmod: int, ctx: EvalContext) -> Decimal:
    if len(data) < 8:
        raise bad_length()
    count, weight, sign, scale = _HEAD.unpack_from(data)
    if len(data) != 8 + 2 * count:
        raise wrong_length(data, 8 + 2 * count)
    if sign == _NAN:
        return NAN
    if sign in (_PINF, _NINF):
        value = INFINITY if sign == _PINF else -INFINITY
        return numeric_fit(value, typmod)
    if sign not in (_POSITIVE, _NEGATIVE):
        raise SqlError("22P03", 'invalid sign in external "numeric" value')
    if scale > INPUT_SCALE_MAX:
        raise SqlError("22P03", 'invalid scale in external "numeric" value')
    groups = struct.unpack_from(f">{count}H", data, 8)
    if any(group > 9999 for group in groups):
        raise SqlError("22P03", 'invalid digit in external "numeric" value')
    digits = "".join(f"{group:04d}" for group in groups) or "0"
    exponent = (weight - count + 1) * 4 if count else 0
    value = Decimal(f"{digits}e{exponent}")
    if value.adjusted() > WEIGHT_MAX and value:
        raise overflow()
    # Digits past the declared scale are cut, as numeric_recv does.
    value = value.quantize(Decimal((0, (1,), -scale)), rounding="ROUND_DOWN", context=EXACT)
    if sign == _NEGATIVE and value:
        value = value.copy_negate()
    return numeric_fit(value, typmod)


def numeric_pack(value: Decimal) -> bytes:
    """How a value rests: its text, which keeps the scale and reads back in C."""
    return str(value).encode("ascii")


def numeric_unpack(data: bytes) -> Decimal:
    """From `numeric_pack`."""
    return NAN if data == b"NaN" else Decimal(str(data, "ascii"))


types: Final = (
    sql_type(
        "numeric",
        input=_input,
        output=context_free(numeric_out),
        plain_output=numeric_out,
        receive=_receive,
        plain_send=numeric_send,
        shape="b",
        pack=numeric_pack,
        unpack=numeric_unpack,
        key=KeyKind.NUMERIC,
        typmod_in=_typmod_in,
        typmod_out=_typmod_out,
        apply_typmod=numeric_fit,
    ),
)


@forms.helper
def numeric_to_int2(value: Decimal) -> int:
    """Rounded half away from zero; 22003."""
    return int2(to_int(value, "smallint"))


@forms.helper
def numeric_to_int4(value: Decimal) -> int:
    """Rounded half away from zero; 22003."""
    return int4(to_int(value, "integer"))


@forms.helper
def numeric_to_int8(value: Decimal) -> int:
    """Rounded half away from zero; 22003."""
    return int8(to_int(value, "bigint"))


@forms.helper
def int_to_numeric(value: int) -> Decimal:
    """Scale 0."""
    return from_int(value)


@forms.function("numeric_inc(numeric)")
def numeric_inc(value: Decimal) -> Decimal:
    """One more."""
    return numeric_add(value, ONE)


@forms.helper
def numeric_abs(value: Decimal) -> Decimal:
    """|value|."""
    return value if value.is_nan() else value.copy_abs()


@forms.function("sign(numeric)")
def numeric_sign(value: Decimal) -> Decimal:
    """-1, 0, 1 or NaN."""
    if value.is_nan():
        return NAN
    return ONE if value > 0 else (-ONE if value < 0 else ZERO)


@forms.function("hash_numeric(numeric)")
def numeric_hash(value: Decimal) -> int:
    """Any stable 32-bit number that equal values share."""
    weight, digit = base_weight(value) if value.is_finite() else (0, 7)
    return ((weight * 10_007 + digit) & 0x7FFFFFFF) - 0x40000000


forms.comparisons(
    "numeric",
    "numeric",
    "numeric_eq numeric_ne numeric_lt numeric_gt numeric_le numeric_ge",
)
forms.templates(
    {
        "numeric_add(numeric,numeric)": "numeric_add({0}, {1})",
        "numeric_sub(numeric,numeric)": "numeric_sub({0}, {1})",
        "numeric_mul(numeric,numeric)": "numeric_mul({0}, {1})",
        "numeric_div(numeric,numeric)": "numeric_div({0}, {1})",
        "numeric_mod(numeric,numeric)": "numeric_mod({0}, {1})",
        "mod(numeric,numeric)": "numeric_mod({0}, {1})",
        "div(numeric,numeric)": "numeric_div_trunc({0}, {1})",
        "numeric_div_trunc(numeric,numeric)": "numeric_div_trunc({0}, {1})",
        "numeric_uminus(numeric)": "numeric_neg({0})",
        "numeric_uplus(numeric)": "{0}",
        "numeric_abs(numeric)": "numeric_abs({0})",
        "abs(numeric)": "numeric_abs({0})",
        "numeric_larger(numeric,numeric)": "max({0}, {1})",
        "numeric_smaller(numeric,numeric)": "min({0}, {1})",
        "numeric(int2)": "int_to_numeric({0})",
        "numeric(int4)": "int_to_numeric({0})",
        "numeric(int8)": "int_to_numeric({0})",
        "int2(numeric)": "numeric_to_int2({0})",
        "int4(numeric)": "numeric_to_int4({0})",
        "int8(numeric)": "numeric_to_int8({0})",
        "numeric(numeric,int4)": "numeric_fit({0}, {1})",
    }
)
