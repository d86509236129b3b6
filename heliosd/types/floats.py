"""float4 and float8: IEEE doubles (float4 rounded to single), NaN above everything."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, sql_type
from heliosd.types.failures import (
    division_by_zero,
    invalid_syntax,
    out_of_range,
    wrong_length,
)
from heliosd.types.integer import int2, int4, int8
from heliosd.types.numeric import numeric_out
from heliosd.types.numeric_core import INFINITY, NAN, normal
from heliosd.types.registry import KeyKind

forms: Final = Forms()

_FLOAT4: Final = struct.Struct(">f")
_FLOAT8: Final = struct.Struct(">d")
_FLOAT4_MAX: Final = 3.4028235677973366e38  # from here on, a single rounds to infinity
_NUMBER: Final = re.compile(
    r"[ \t\n\v\f\r]*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[ \t\n\v\f\r]*",
    re.ASCII,
)
_HEX: Final = re.compile(
    r"[ \t\n\v\f\r]*([+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?[0-9]+)?)"
    r"[ \t\n\v\f\r]*",
    re.ASCII,
)
_SPECIAL: Final = {
    "nan": math.nan,
    "+nan": math.nan,
    "-nan": math.nan,
    "inf": math.inf,
    "infinity": math.inf,
    "+inf": math.inf,
    "+infinity": math.inf,
    "-inf": -math.inf,
    "-infinity": -math.inf,
}


class _TopFloat(float):
    """NaN as a sort key: equal to itself, above every float."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _TopFloat)

    def __ne__(self, other: object) -> bool:
        return not isinstance(other, _TopFloat)

    def __lt__(self, other: float) -> bool:
        return False

    def __le__(self, other: float) -> bool:
        return isinstance(other, _TopFloat)

    def __gt__(self, other: float) -> bool:
        return not isinstance(other, _TopFloat)

    def __ge__(self, other: float) -> bool:
        return True

    def __hash__(self) -> int:
        return 0x4E614E


_TOP: Final = _TopFloat("nan")


def float_key(value: float) -> float:
    """The sort and hash key of a float."""
    return value if value == value else _TOP


def overflow() -> SqlError:
    """22003."""
    return SqlError("22003", "value out of range: overflow")


def underflow() -> SqlError:
    """22003."""
    return SqlError("22003", "value out of range: underflow")


@forms.helper
def float4(value: float) -> float:
    """A double rounded to single; 22003 when that makes it infinite or zero."""
    if value - value != 0:
        return value  # NaN and the infinities
    if abs(value) >= _FLOAT4_MAX:
        raise overflow()
    result: float = _FLOAT4.unpack(_FLOAT4.pack(value))[0]
    if result == 0 and value != 0:
        raise underflow()
    return result


def parse_float(text: str, type_name: str) -> float:
    """Text to a double; 22P02, 22003."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        special = _SPECIAL.get(text.strip(" \t\n\v\f\r").lower())
        if special is not None:
            return special
        match = _HEX.fullmatch(text)
        if match is None:
            raise invalid_syntax(type_name, text)
        try:
            return float.fromhex(match[1])
        except OverflowError:
            raise SqlError("22003", f'"{match[1]}" is out of range for type {type_name}') from None
    value = float(match[1])
    if value in (math.inf, -math.inf) or (
        value == 0 and match[1].lower().partition("e")[0].strip("+-0.")
    ):
        raise SqlError("22003", f'"{match[1]}" is out of range for type {type_name}')
    return value


def _float8_in(text: str, typmod: int, ctx: EvalContext) -> float:
    return parse_float(text, "double precision")


def _float4_in(text: str, typmod: int, ctx: EvalContext) -> float:
    value = parse_float(text, "real")
    try:
        return float4(value)
    except SqlError:
        raise SqlError("22003", f'"{text.strip()}" is out of range for type real') from None


def _special_text(value: float) -> str:
    if value != value:
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def float8_shortest(value: float) -> str:
    """The fewest digits that read back as the same double, as PostgreSQL writes them."""
    if value - value != 0:
        return _special_text(value)
    text = repr(value)
    if text.endswith(".0"):
        text = text[:-2]
        if len(text) < 16 or abs(value) < 1e15:
            return text
        text = _exponent_form(text)
    elif (value >= 1e15 or value <= -1e15) and "e" not in text:
        text = _exponent_form(text)
    return _inside(text, value) if "e+" in text else text


def _inside(text: str, value: float) -> str:
    """Another text when `text` lies halfway to a neighbour: PostgreSQL does not trust readers
    to round such a tie to even. Only numbers past 2^53 can meet one."""
    digits = len(text.partition("e")[0].replace(".", "").lstrip("-")) - 1
    while _is_tie(text, value):
        digits = max(digits + 1, 15)
        mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
        text = f"{mantissa.rstrip('0').rstrip('.')}e{exponent}"
    return text


def _is_tie(text: str, value: float) -> bool:
    written = Decimal(text)
    exact = Decimal(value)
    if written == exact:
        return False
    neighbour = math.nextafter(value, math.inf if written > exact else -math.inf)
    return 2 * written == exact + Decimal(neighbour)


def _exponent_form(digits: str) -> str:
    """A number of 1 or more, written plainly, as d.ddde+nn."""
    sign, digits = ("-", digits[1:]) if digits[0] == "-" else ("", digits)
    whole, _, part = digits.partition(".")
    mantissa = (whole + part).rstrip("0")
    tail = f".{mantissa[1:]}" if len(mantissa) > 1 else ""
    return f"{sign}{mantissa[0]}{tail}e+{len(whole) - 1:02d}"


_NORMAL_MIN: Final = 1.1754943508222875e-38


def float4_shortest(value: float) -> str:
    """The fewest digits that read back as the same single."""
    if value - value != 0:
        return _special_text(value)
    # Six digits tell singles' decimals apart, so that trailing zeros are all there is to drop;
    # the smallest ones have fewer bits.
    for precision in range(5 if abs(value) >= _NORMAL_MIN else 0, 9):
        text = f"{value:.{precision}e}"
        if _single(float(text)) == value and not _is_single_tie(text, value):
            break
    mantissa, _, exponent_text = text.partition("e")
    exponent = int(exponent_text)
    if -4 <= exponent < 6:
        return _plain_form(mantissa, exponent)
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _is_single_tie(text: str, value: float) -> bool:
    """Whether a text lies halfway between two singles."""
    written = float(text)
    mirrored = 2 * written - value
    return written != value and _single(mirrored) == mirrored and Decimal(text) == Decimal(written)


def _single(value: float) -> float:
    """The nearest single; infinity past the largest one."""
    if abs(value) >= _FLOAT4_MAX:
        return math.copysign(math.inf, value)
    return _FLOAT4.unpack(_FLOAT4.pack(value))[0]  # type: ignore[no-any-return]


def _plain_form(mantissa: str, exponent: int) -> str:
    text = format(Decimal(f"{mantissa}e{exponent}"), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _digits_form(value: float, digits: int) -> str:
    if value - value != 0:
        return _special_text(value)
    return f"{value:.{max(digits, 1)}g}"


def float8_out(value: float, ctx: EvalContext) -> str:
    extra = ctx.styles.extra_float_digits
    return float8_shortest(value) if extra > 0 else _digits_form(value, 15 + extra)


def _float4_out(value: float, ctx: EvalContext) -> str:
    extra = ctx.styles.extra_float_digits
    return float4_shortest(value) if extra > 0 else _digits_form(value, 6 + extra)


def _receiver(layout: struct.Struct) -> Callable[[bytes, int, EvalContext], float]:
    def receive(data: bytes, typmod: int, ctx: EvalContext) -> float:
        if len(data) != layout.size:
            raise wrong_length(data, layout.size)
        return layout.unpack(data)[0]  # type: ignore[no-any-return]

    return receive


types: Final = (
    sql_type(
        "float4",
        input=_float4_in,
        output=_float4_out,
        receive=_receiver(_FLOAT4),
        plain_send=_FLOAT4.pack,
        shape="f",
        key=KeyKind.FLOAT,
        native=False,
        sort_key=float_key,
    ),
    sql_type(
        "float8",
        input=_float8_in,
        output=float8_out,
        receive=_receiver(_FLOAT8),
        plain_send=_FLOAT8.pack,
        shape="d",
        key=KeyKind.FLOAT,
        native=False,
        sort_key=float_key,
    ),
)


@forms.helper
def float8_add(left: float, right: float) -> float:
    """22003 on overflow."""
    result = left + right
    if result - result != 0 and left - left == 0 and right - right == 0:
        raise overflow()
    return result


@forms.helper
def float8_sub(left: float, right: float) -> float:
    """22003 on overflow."""
    result = left - right
    if result - result != 0 and left - left == 0 and right - right == 0:
        raise overflow()
    return result


@forms.helper
def float8_mul(left: float, right: float) -> float:
    """22003 on overflow and underflow."""
    result = left * right
    if result - result != 0:
        if left - left == 0 and right - right == 0:
            raise overflow()
    elif result == 0 and left != 0 and right != 0:
        raise underflow()
    return result


@forms.helper
def float8_div(left: float, right: float) -> float:
    """22012; 22003 on overflow and underflow."""
    if right == 0:
        if left != left:
            return left
        raise division_by_zero()
    result = left / right
    if result - result != 0:
        if left - left == 0 and right == right:
            raise overflow()
    elif result == 0 and left != 0 and right - right == 0:
        raise underflow()
    return result


def _rounded(value: float, what: str) -> int:
    if value - value != 0:
        raise out_of_range(what)
    return round(value)  # half to even, as rint()


@forms.helper
def float_to_int2(value: float) -> int:
    """Rounded half to even; 22003."""
    return int2(_rounded(value, "smallint"))


@forms.helper
def float_to_int4(value: float) -> int:
    """Rounded half to even; 22003."""
    return int4(_rounded(value, "integer"))


@forms.helper
def float_to_int8(value: float) -> int:
    """Rounded half to even; 22003."""
    return int8(_rounded(value, "bigint"))


def _float_to_numeric(value: float, digits: int) -> Decimal:
    if value - value != 0:
        return NAN if value != value else (INFINITY if value > 0 else -INFINITY)
    return normal(Decimal(f"{value:.{digits}g}"))


@forms.helper
def float8_to_numeric(value: float) -> Decimal:
    """With 15 significant digits."""
    return _float_to_numeric(value, 15)


@forms.helper
def float4_to_numeric(value: float) -> Decimal:
    """With 6 significant digits."""
    return _float_to_numeric(value, 6)


@forms.helper
def numeric_to_float8(value: Decimal) -> float:
    """The nearest double; 22003."""
    if not value.is_finite():
        return math.nan if value.is_nan() else (math.inf if value > 0 else -math.inf)
    result = float(value)
    if result - result != 0 or (result == 0 and value):
        raise SqlError("22003", f'"{numeric_out(value)}" is out of range for type double precision')
    return result


@forms.helper
def numeric_to_float4(value: Decimal) -> float:
    """The nearest single; 22003."""
    try:
        return float4(numeric_to_float8(value))
    except SqlError:
        raise SqlError("22003", f'"{numeric_out(value)}" is out of range for type real') from None


# NaN equals NaN and is above every number; the first test settles nearly all.
_COMPARE: Final = {
    "eq": "({0} == {1} or ({0} != {0} and {1} != {1}))",
    "ne": "({0} != {1} and ({0} == {0} or {1} == {1}))",
    "lt": "({0} < {1} or ({1} != {1} and {0} == {0}))",
    "gt": "({0} > {1} or ({0} != {0} and {1} == {1}))",
    "le": "({0} <= {1} or {1} != {1})",
    "ge": "({0} >= {1} or {0} != {0})",
}


def _declare() -> None:
    for left in "48":
        for right in "48":
            prefix = f"float{left}" if left == right else f"float{left}{right}"
            pair = f"(float{left},float{right})"
            wrap = "float4({})" if left == right == "4" else "{}"
            forms.templates({f"{prefix}{name}{pair}": row for name, row in _COMPARE.items()})
            for name, helper in (("pl", "add"), ("mi", "sub"), ("mul", "mul"), ("div", "div")):
                row = wrap.format(f"float8_{helper}({{0}}, {{1}})")
                forms.templates({f"{prefix}{name}{pair}": row})
    for name in ("float4", "float8"):
        forms.templates(
            {
                f"{name}um({name})": "-{0}",
                f"{name}up({name})": "{0}",
                f"{name}abs({name})": "abs({0})",
                f"abs({name})": "abs({0})",
                f"{name}larger({name},{name})": "({0} if " + _COMPARE["gt"] + " else {1})",
                f"{name}smaller({name},{name})": "({0} if " + _COMPARE["lt"] + " else {1})",
                f"int2({name})": "float_to_int2({0})",
                f"int4({name})": "float_to_int4({0})",
                f"int8({name})": "float_to_int8({0})",
                f"numeric({name})": f"{name}_to_numeric({{0}})",
                f"{name}(numeric)": f"numeric_to_{name}({{0}})",
            }
        )
    for name in ("int2", "int4", "int8"):
        forms.templates({f"float8({name})": "float({0})", f"float4({name})": "float4(float({0}))"})


_declare()
forms.templates({"float8(float4)": "{0}", "float4(float8)": "float4({0})"})
