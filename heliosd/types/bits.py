"""bit(n) and bit varying(n): texts of 0 and 1, so that they compare, cut and join as texts do."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, context_free, six, sql_type
from heliosd.types.failures import bad_length, wrong_length
from heliosd.types.integer import int4, int8, wrap
from heliosd.types.registry import KeyKind, SqlType

forms: Final = Forms()

_LENGTH: Final = struct.Struct(">i")
_LENGTH_MAX: Final = 83_886_080


def _digits(text: str) -> str:
    if text[:1] in ("x", "X"):
        out = []
        for char in text[1:]:
            if char not in "0123456789abcdefABCDEF":
                raise SqlError("22P02", f'"{char}" is not a valid hexadecimal digit')
            out.append(f"{int(char, 16):04b}")
        return "".join(out)
    bits = text[1:] if text[:1] in ("b", "B") else text
    for char in bits:
        if char not in "01":
            raise SqlError("22P02", f'"{char}" is not a valid binary digit')
    return bits


class IntegerBits(str):
    """An integer's bits on the way to bit(n), which keeps the last n and not the first."""

    __slots__ = ()


@forms.helper
def int4_bits(value: int) -> str:
    """All 32 bits."""
    return IntegerBits(f"{value & 0xFFFFFFFF:032b}")


@forms.helper
def int8_bits(value: int) -> str:
    """All 64 bits."""
    return IntegerBits(f"{value & 0xFFFFFFFFFFFFFFFF:064b}")


@forms.helper
def bit_fit(value: str, typmod: int, explicit: bool) -> str:  # noqa: FBT001 - declared so
    """bit(n): exactly n; an explicit cast cuts or fills with zeros. 22026."""
    if isinstance(value, IntegerBits):
        length = max(typmod, 1)
        return str(value[-length:]).rjust(length, value[0])
    if not 1 <= typmod <= _LENGTH_MAX or len(value) == typmod:
        return value
    if not explicit:
        raise SqlError("22026", f"bit string length {len(value)} does not match type bit({typmod})")
    return value[:typmod].ljust(typmod, "0")


@forms.helper
def varbit_fit(value: str, typmod: int, explicit: bool) -> str:  # noqa: FBT001 - declared so
    """bit varying(n): at most n; an explicit cast cuts. 22001."""
    if typmod < 1 or len(value) <= typmod:
        return value
    if not explicit:
        raise SqlError("22001", f"bit string too long for type bit varying({typmod})")
    return value[:typmod]


def _typmod_in(name: str) -> Callable[[tuple[str, ...]], int]:
    def read(modifiers: tuple[str, ...]) -> int:
        if len(modifiers) != 1:
            raise SqlError("22023", "invalid type modifier")
        length = int(modifiers[0])
        if length < 1:
            raise SqlError("22023", f"length for type {name} must be at least 1")
        if length > _LENGTH_MAX:
            raise SqlError("22023", f"length for type {name} cannot exceed {_LENGTH_MAX}")
        return length

    return read


def _typmod_out(typmod: int) -> str:
    return f"({typmod})" if typmod >= 0 else ""


def _send(value: str) -> bytes:
    size = -(-len(value) // 8)
    bits = int(value, 2) << (size * 8 - len(value)) if value else 0
    return _LENGTH.pack(len(value)) + bits.to_bytes(size, "big")


def _receive(data: bytes, typmod: int, ctx: EvalContext) -> str:
    if len(data) < 4:
        raise bad_length()
    (length,) = _LENGTH.unpack_from(data)
    if length < 0:
        raise SqlError("22P03", "invalid length in external bit string")
    if len(data) != 4 + -(-length // 8):
        raise wrong_length(data, 4 + -(-length // 8))
    bits = int.from_bytes(data[4:], "big")
    return f"{bits:0{(len(data) - 4) * 8}b}"[:length] if length else ""


def _itself(value: str) -> str:
    return value


def _bit_type(name: str, fit: Callable[[str, int, bool], str]) -> SqlType:
    def read(text: str, typmod: int, ctx: EvalContext) -> str:
        return fit(_digits(text), typmod, False)

    return sql_type(
        name,
        input=read,
        output=context_free(_itself),
        plain_output=_itself,
        receive=_receive,
        plain_send=_send,
        shape="t",
        key=KeyKind.TEXT,
        typmod_in=_typmod_in(name),
        typmod_out=_typmod_out,
        apply_typmod=fit,
    )


types: Final = (_bit_type("bit", bit_fit), _bit_type("varbit", varbit_fit))


def _paired(left: str, right: str, word: str) -> None:
    if len(left) != len(right):
        raise SqlError("22026", f"cannot {word} bit strings of different sizes")


def _combine(left: str, right: str, word: str, bits: int) -> str:
    _paired(left, right, word)
    return f"{bits:0{len(left)}b}" if left else ""


def _number(value: str) -> int:
    return int(value, 2) if value else 0


@forms.function("bitand(bit,bit)")
def bit_and(left: str, right: str) -> str:
    """The bits of both; 22026 for different lengths."""
    return _combine(left, right, "AND", _number(left) & _number(right))


@forms.function("bitor(bit,bit)")
def bit_or(left: str, right: str) -> str:
    """The bits of either; 22026."""
    return _combine(left, right, "OR", _number(left) | _number(right))


@forms.function("bitxor(bit,bit)")
def bit_xor(left: str, right: str) -> str:
    """The bits of one only; 22026."""
    return _combine(left, right, "XOR", _number(left) ^ _number(right))


@forms.function("bitnot(bit)")
def bit_not(value: str) -> str:
    """Every bit turned over."""
    return value.translate({48: 49, 49: 48})


@forms.function("bitshiftleft(bit,int4)")
def bit_shift_left(value: str, count: int) -> str:
    """The length stays; a negative count shifts right."""
    if count < 0:
        return bit_shift_right(value, -count)
    return value[count:].ljust(len(value), "0")


@forms.function("bitshiftright(bit,int4)")
def bit_shift_right(value: str, count: int) -> str:
    """The length stays; a negative count shifts left."""
    if count < 0:
        return bit_shift_left(value, -count)
    return value[: max(len(value) - count, 0)].rjust(len(value), "0")


@forms.function("substring(bit,int4,int4)")
def bit_substring(value: str, start: int, length: int) -> str:
    """22011 for a negative length."""
    if length < 0:
        raise SqlError("22011", "negative substring length not allowed")
    return value[max(start - 1, 0) : max(start - 1 + length, 0)]


@forms.function("overlay(bit,bit,int4,int4)")
def bit_overlay(value: str, new: str, start: int, length: int) -> str:
    """`new` in the place of `length` bits from `start` on. 22011, 22003."""
    if start <= 0:
        raise SqlError("22011", "negative substring length not allowed")
    if start + length > 2**31 - 1:
        raise SqlError("22003", "integer out of range")
    return value[: start - 1] + new + value[max(start + length - 1, 0) :]


@forms.function("overlay(bit,bit,int4)")
def bit_overlay_all(value: str, new: str, start: int) -> str:
    """As many bits as `new` has."""
    return bit_overlay(value, new, start, len(new))


def _number_to_bits(width: int) -> Callable[[int, int], str]:
    def convert(value: int, length: int) -> str:
        length = length if 0 < length <= _LENGTH_MAX else 1
        bits = f"{value & ((1 << width) - 1):0{width}b}"
        sign = "1" if value < 0 else "0"
        return bits[width - length :] if length <= width else bits.rjust(length, sign)

    return convert


forms.function("bit(int4,int4)")(_number_to_bits(32))
forms.function("bit(int8,int4)")(_number_to_bits(64))


@forms.function("int4(bit)")
def bits_to_int4(value: str) -> int:
    """22003 past 32 bits."""
    if len(value) > 32:
        raise SqlError("22003", "integer out of range")
    return int4(wrap(_number(value), 32))


@forms.function("int8(bit)")
def bits_to_int8(value: str) -> int:
    """22003 past 64 bits."""
    if len(value) > 64:
        raise SqlError("22003", "bigint out of range")
    return int8(wrap(_number(value), 64))


@forms.function("get_bit(bit,int4)")
def bit_get(value: str, index: int) -> int:
    """2202E outside of the string."""
    _check_index(value, index)
    return int(value[index])


@forms.function("set_bit(bit,int4,int4)")
def bit_set(value: str, index: int, bit: int) -> str:
    """2202E outside of the string; 22023 for what is no bit."""
    _check_index(value, index)
    if bit not in (0, 1):
        raise SqlError("22023", "new bit must be 0 or 1")
    return f"{value[:index]}{bit}{value[index + 1 :]}"


def _check_index(value: str, index: int) -> None:
    if not 0 <= index < len(value):
        raise SqlError("2202E", f"bit index {index} out of valid range (0..{len(value) - 1})")


forms.templates(
    {
        "bitcat(varbit,varbit)": "{0} + {1}",
        "length(bit)": "len_of_bits({0})",
        "bit_length(bit)": "len_of_bits({0})",
        "octet_length(bit)": "-(-len_of_bits({0}) // 8)",
        "bit_count(bit)": "{0}.count('1')",
        "substring(bit,int4)": "{0}[max({1} - 1, 0):]",
        "position(bit,bit)": "({0}.find({1}) + 1 if {0} else 0)",
        "bit(bit,int4,bool)": "bit_fit({0}, {1}, {2})",
        "varbit(varbit,int4,bool)": "varbit_fit({0}, {1}, {2})",
    }
)


@forms.helper
def len_of_bits(value: str) -> int:
    """How many bits."""
    return len(value)


forms.comparisons("bit", "bit", six("bit"))
forms.comparisons("varbit", "varbit", six("varbit"))
