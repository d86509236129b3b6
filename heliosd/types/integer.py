"""int2, int4, int8, oid and the transaction ids: Python ints, range-checked on every result."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any, Final

from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, context_free, six, sql_type
from heliosd.types.failures import (
    division_by_zero,
    invalid_syntax,
    out_of_range,
    text_out_of_range,
    wrong_length,
)
from heliosd.types.registry import KeyKind, SqlType

forms: Final = Forms()

_DIGITS: Final = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)[ \t\n\v\f\r]*", re.ASCII)
# More digits than any int8 has: int() on a long text is quadratic.
_DIGITS_MAX: Final = 4000


@forms.helper
def int2(value: int) -> int:
    """`value` as int2, or 22003."""
    if -32768 <= value <= 32767:
        return value
    raise out_of_range("smallint")


@forms.helper
def int4(value: int) -> int:
    """`value` as int4, or 22003."""
    if -2147483648 <= value <= 2147483647:
        return value
    raise out_of_range("integer")


@forms.helper
def int8(value: int) -> int:
    """`value` as int8, or 22003."""
    if -9223372036854775808 <= value <= 9223372036854775807:
        return value
    raise out_of_range("bigint")


@forms.helper
def int8_to_oid(value: int) -> int:
    """`value` as oid, or 22003."""
    if 0 <= value <= 4294967295:
        return value
    raise out_of_range("OID")


@forms.helper
def int_div(dividend: int, divisor: int) -> int:
    """Division that truncates towards zero; 22012."""
    if divisor == 0:
        raise division_by_zero()
    if (dividend < 0) == (divisor < 0):
        return dividend // divisor
    return -(-dividend // divisor)


@forms.helper
def int_mod(dividend: int, divisor: int) -> int:
    """The remainder with the dividend's sign; 22012."""
    if divisor == 0:
        raise division_by_zero()
    rest = abs(dividend) % abs(divisor)
    return -rest if dividend < 0 else rest


def wrap(value: int, bits: int) -> int:
    """Two's complement of `bits` bits, as C's shifts leave it."""
    half = 1 << (bits - 1)
    return ((value + half) & ((1 << bits) - 1)) - half


# PostgreSQL leaves shift counts to the processor: x86 uses the low five or six bits.
@forms.function("int2shl(int2,int4)")
def int2_shift_left(value: int, count: int) -> int:
    return wrap(value << (count & 31), 16)


@forms.function("int2shr(int2,int4)")
def int2_shift_right(value: int, count: int) -> int:
    return value >> (count & 31)


@forms.function("int4shl(int4,int4)")
def int4_shift_left(value: int, count: int) -> int:
    return wrap(value << (count & 31), 32)


@forms.function("int4shr(int4,int4)")
def int4_shift_right(value: int, count: int) -> int:
    return value >> (count & 31)


@forms.function("int8shl(int8,int4)")
def int8_shift_left(value: int, count: int) -> int:
    return wrap(value << (count & 63), 64)


@forms.function("int8shr(int8,int4)")
def int8_shift_right(value: int, count: int) -> int:
    return value >> (count & 63)


@forms.helper
def oid_to_int4(value: int) -> int:
    """The same 32 bits read as signed."""
    return value - 4294967296 if value > 2147483647 else value


@forms.helper
def int4_to_oid(value: int) -> int:
    """The same 32 bits read as unsigned."""
    return value & 4294967295


def parse_integer(text: str, type_name: str, low: int, high: int) -> int:
    """Text to int as int4in does: spaces around, a sign, decimal digits. 22P02, 22003."""
    match = _DIGITS.fullmatch(text)
    if match is None:
        raise invalid_syntax(type_name, text)
    if len(match[1]) > _DIGITS_MAX:
        raise text_out_of_range(type_name, text)
    value = int(match[1])
    if low <= value <= high:
        return value
    raise text_out_of_range(type_name, text)


def _input(type_name: str, low: int, high: int) -> Callable[[str, int, EvalContext], int]:
    safe_digits = len(str(high)) - 1

    def read(text: str, typmod: int, ctx: EvalContext) -> int:
        if len(text) <= safe_digits and text.isascii() and text.isdigit():
            return int(text)
        return parse_integer(text, type_name, low, high)

    return read


def _unsigned_input(type_name: str, bits: int) -> Callable[[str, int, EvalContext], int]:
    def read(text: str, typmod: int, ctx: EvalContext) -> int:
        # strtoul: a negative number wraps
        value = parse_integer(text, type_name, -(1 << bits), (1 << bits) - 1)
        return value & ((1 << bits) - 1)

    return read


_C_NUMBER: Final = re.compile(r"\s*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9]\d*)", re.ASCII)


def _c_input(bits: int) -> Callable[[str, int, EvalContext], int]:
    """What strtoul(text, NULL, 0) reads: hexadecimal and octal too, 0 of what is no number."""

    def read(text: str, typmod: int, ctx: EvalContext) -> int:
        match = _C_NUMBER.match(text)
        if match is None:
            return 0
        digits = match[2]
        base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" else 10
        value = min(int(digits, base), (1 << 64) - 1)
        return (-value if match[1] == "-" else value) & ((1 << bits) - 1)

    return read


def _signed(value: int) -> int:
    """64 unsigned bits as storage's signed ones."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _unsigned(value: int) -> int:
    return value & ((1 << 64) - 1)


def _signed_order(value: int) -> int:
    """Signed, in the order of the unsigned value."""
    return value - (1 << 63)


def _receive(layout: str) -> Callable[[bytes, int, EvalContext], int]:
    size, unpack = struct.calcsize(layout), struct.Struct(layout).unpack

    def receive(data: bytes, typmod: int, ctx: EvalContext) -> int:
        try:
            return unpack(data)[0]  # type: ignore[no-any-return]
        except struct.error:
            raise wrong_length(data, size) from None

    return receive


def _integer(
    name: str, layout: str, shape: str, read: Callable[[str, int, EvalContext], int], **extra: Any
) -> SqlType:
    return sql_type(
        name,
        input=read,
        output=context_free(str),
        plain_output=str,
        receive=_receive(layout),
        plain_send=struct.Struct(layout).pack,
        shape=shape,
        key=KeyKind.INT,
        **extra,
    )


def _tid_in(text: str, typmod: int, ctx: EvalContext) -> tuple[int, int]:
    match = re.fullmatch(r"\s*\(\s*(\d{1,10})\s*,\s*(\d{1,5})\s*\)\s*", text, re.ASCII)
    if match is None or int(match[1]) > 4294967295 or int(match[2]) > 65535:
        raise invalid_syntax("tid", text)
    return int(match[1]), int(match[2])


def _tid_out(value: tuple[int, int]) -> str:
    return f"({value[0]},{value[1]})"


_TID: Final = struct.Struct(">IH")


def _tid_receive(data: bytes, typmod: int, ctx: EvalContext) -> tuple[int, int]:
    if len(data) != 6:
        raise wrong_length(data, 6)
    block, item = _TID.unpack(data)
    return block, item


def _tid_send(value: tuple[int, int]) -> bytes:
    return _TID.pack(*value)


def _tid_unpack(data: bytes) -> tuple[int, int]:
    block, item = _TID.unpack(data)
    return block, item


types: Final = (
    _integer("int2", ">h", "h", _input("smallint", -(2**15), 2**15 - 1)),
    _integer("int4", ">i", "i", _input("integer", -(2**31), 2**31 - 1)),
    _integer("int8", ">q", "q", _input("bigint", -(2**63), 2**63 - 1)),
    _integer("oid", ">I", "q", _unsigned_input("oid", 32)),
    _integer("xid", ">I", "q", _c_input(32), ordered=False),
    _integer("cid", ">I", "q", _unsigned_input("cid", 32), ordered=False),
    sql_type(
        "tid",
        input=_tid_in,
        output=context_free(_tid_out),
        plain_output=_tid_out,
        receive=_tid_receive,
        plain_send=_tid_send,
        shape="b",
        pack=_tid_send,
        unpack=_tid_unpack,
        key=KeyKind.BYTES,
        key_value=_tid_send,
    ),
    _integer(
        "xid8", ">Q", "q", _c_input(64), pack=_signed, unpack=_unsigned, key_value=_signed_order
    ),
)


def _declare_arithmetic() -> None:
    names = {"2": "int2", "4": "int4", "8": "int8"}
    for left in "248":
        for right in "248":
            wider = names[max(left, right)]
            prefix = f"int{left}" if left == right else f"int{left}{right}"
            pair = f"({names[left]},{names[right]})"
            forms.comparisons(names[left], names[right], six(prefix))
            forms.templates(
                {
                    f"{prefix}pl{pair}": f"{wider}({{0}} + {{1}})",
                    f"{prefix}mi{pair}": f"{wider}({{0}} - {{1}})",
                    f"{prefix}mul{pair}": f"{wider}({{0}} * {{1}})",
                    f"{prefix}div{pair}": f"{wider}(int_div({{0}}, {{1}}))",
                }
            )
    for name in names.values():
        pair = f"({name},{name})"
        forms.templates(
            {
                f"{name}mod{pair}": "int_mod({0}, {1})",
                f"mod{pair}": "int_mod({0}, {1})",
                f"{name}and{pair}": "{0} & {1}",
                f"{name}or{pair}": "{0} | {1}",
                f"{name}xor{pair}": "{0} ^ {1}",
                f"{name}not({name})": "~{0}",
                f"{name}um({name})": f"{name}(-{{0}})",
                f"{name}up({name})": "{0}",
                f"{name}abs({name})": f"{name}(abs({{0}}))",
                f"abs({name})": f"{name}(abs({{0}}))",
                f"{name}larger{pair}": "max({0}, {1})",
                f"{name}smaller{pair}": "min({0}, {1})",
            }
        )


_declare_arithmetic()

forms.templates(
    {
        "int4(int2)": "{0}",
        "int8(int2)": "{0}",
        "int8(int4)": "{0}",
        "int2(int4)": "int2({0})",
        "int2(int8)": "int2({0})",
        "int4(int8)": "int4({0})",
        "int8(oid)": "{0}",
        "oid(int8)": "int8_to_oid({0})",
        "bool(int4)": "{0} != 0",
        "int4inc(int4)": "int4({0} + 1)",
        "int8inc(int8)": "int8({0} + 1)",
        "xid(xid8)": "{0} & 4294967295",
        "xideq(xid,xid)": "{0} == {1}",
        "xidneq(xid,xid)": "{0} != {1}",
        "xideqint4(xid,int4)": "{0} == int4_to_oid({1})",
        "xidneqint4(xid,int4)": "{0} != int4_to_oid({1})",
        "cideq(cid,cid)": "{0} == {1}",
        "oidlarger(oid,oid)": "max({0}, {1})",
        "oidsmaller(oid,oid)": "min({0}, {1})",
        "tidlarger(tid,tid)": "max({0}, {1})",
        "tidsmaller(tid,tid)": "min({0}, {1})",
    }
)
forms.comparisons("oid", "oid", six("oid"))
forms.comparisons("xid8", "xid8", six("xid8"))
forms.comparisons("tid", "tid", six("tid"))
