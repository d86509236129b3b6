"""money: int8 cents, shown as in locale C: $1,234.56."""

from __future__ import annotations

import re
import struct
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, context_free, sql_type
from heliosd.types.failures import (
    division_by_zero,
    invalid_syntax,
    text_out_of_range,
    wrong_length,
)
from heliosd.types.integer import int8
from heliosd.types.registry import KeyKind

forms: Final = Forms()

_TEXT: Final = re.compile(
    r"\s*(?P<open>\()?\s*(?P<sign>[+-])?\s*\$?\s*(?P<sign2>[+-])?(?P<whole>[\d,]*)"
    r"(?:\.(?P<part>\d*))?\s*\$?\s*(?P<close>\))?\s*(?P<after>-)?\s*",
    re.ASCII,
)
_WIRE: Final = struct.Struct(">q")
_MAX: Final = 2**63 - 1


def _input(text: str, typmod: int, ctx: EvalContext) -> int:
    match = _TEXT.fullmatch(text)
    if match is None or not (match["whole"] or match["part"]):
        raise invalid_syntax("money", text)
    digits = match["whole"].replace(",", "") or "0"
    if len(digits) > 30:
        raise text_out_of_range("money", text)
    amount = Decimal(f"{digits}.{match['part'] or '0'}") * 100
    cents = int(amount.to_integral_value(rounding=ROUND_HALF_UP))
    if match["open"] or "-" in (match["sign"], match["sign2"], match["after"]):
        cents = -cents
    if not -_MAX - 1 <= cents <= _MAX:
        raise text_out_of_range("money", text)
    return cents


def money_out(value: int) -> str:
    """-$1,234.56."""
    whole, cents = divmod(abs(value), 100)
    return f"{'-' if value < 0 else ''}${whole:,}.{cents:02d}"


def _receive(data: bytes, typmod: int, ctx: EvalContext) -> int:
    if len(data) != 8:
        raise wrong_length(data, 8)
    return int(_WIRE.unpack(data)[0])


types: Final = (
    sql_type(
        "money",
        input=_input,
        output=context_free(money_out),
        plain_output=money_out,
        receive=_receive,
        plain_send=_WIRE.pack,
        shape="q",
        key=KeyKind.INT,
    ),
)


@forms.helper
def money_fit(value: int) -> int:
    """22003."""
    if -_MAX - 1 <= value <= _MAX:
        return value
    raise SqlError("22003", "money out of range")


@forms.function("cash_mul_flt8(money,float8)", "cash_mul_flt4(money,float4)")
def money_times_float(value: int, factor: float) -> int:
    """Rounded half to even; 22003."""
    result = value * factor
    if result - result != 0:
        raise SqlError("22003", "money out of range")
    return money_fit(round(result))


@forms.function("flt8_mul_cash(float8,money)", "flt4_mul_cash(float4,money)")
def float_times_money(factor: float, value: int) -> int:
    """The same the other way round."""
    return money_times_float(value, factor)


@forms.function("cash_div_flt8(money,float8)", "cash_div_flt4(money,float4)")
def money_by_float(value: int, divisor: float) -> int:
    """Rounded half to even; 22012."""
    if divisor == 0:
        raise division_by_zero()
    result = value / divisor
    if result - result != 0:
        raise SqlError("22003", "money out of range")
    return money_fit(round(result))


@forms.function("cash_div_cash(money,money)")
def money_ratio(left: int, right: int) -> float:
    """How many times one goes into the other; 22012."""
    if right == 0:
        raise division_by_zero()
    return left / right


@forms.function("numeric(money)")
def money_to_numeric(value: int) -> Decimal:
    """With two digits after the point."""
    return Decimal(value).scaleb(-2)


@forms.function("money(numeric)")
def numeric_to_money(value: Decimal) -> int:
    """Rounded to cents; 22003, 0A000."""
    if not value.is_finite():
        raise SqlError(
            "0A000", f"cannot convert {'NaN' if value.is_nan() else 'infinity'} to bigint"
        )
    return int8(int((value * 100).to_integral_value(rounding=ROUND_HALF_UP)))


forms.templates(
    {
        "cash_pl(money,money)": "money_fit({0} + {1})",
        "cash_mi(money,money)": "money_fit({0} - {1})",
        "money(int4)": "money_fit({0} * 100)",
        "money(int8)": "int8({0} * 100)",
        "cashlarger(money,money)": "max({0}, {1})",
        "cashsmaller(money,money)": "min({0}, {1})",
        **{f"cash_mul_{kind}(money,{kind})": "money_fit({0} * {1})" for kind in ("int2", "int4")},
        **{f"{kind}_mul_cash({kind},money)": "money_fit({0} * {1})" for kind in ("int2", "int4")},
        "cash_mul_int8(money,int8)": "money_fit({0} * {1})",
        "int8_mul_cash(int8,money)": "money_fit({0} * {1})",
        **{
            f"cash_div_{kind}(money,{kind})": "int_div({0}, {1})"
            for kind in ("int2", "int4", "int8")
        },
    }
)
forms.comparisons("money", "money", "cash_eq cash_ne cash_lt cash_gt cash_le cash_ge")
