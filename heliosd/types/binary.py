"""bytea and uuid: Python bytes."""

from __future__ import annotations

import binascii
import hashlib
import re
import secrets
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, context_free, six, sql_type
from heliosd.types.failures import invalid_syntax, wrong_length
from heliosd.types.registry import KeyKind

forms: Final = Forms()

_OCTAL: Final = re.compile(rb"\\([0-3][0-7]{2}|\\)")
_NOT_PLAIN: Final = re.compile(rb"[^\x20-\x5b\x5d-\x7e]")
_UUID: Final = re.compile(r"\{?([0-9a-fA-F]{4}(?:-?[0-9a-fA-F]{4}){7})\}?", re.ASCII)


def parse_hex(text: str) -> bytes:
    """Hex digits with spaces between pairs; 22023."""
    digits = "".join(text.split())
    try:
        return binascii.unhexlify(digits)
    except ValueError:
        for char in digits:
            if char not in "0123456789abcdefABCDEF":
                raise SqlError("22023", f'invalid hexadecimal digit: "{char}"') from None
        raise SqlError("22023", "invalid hexadecimal data: odd number of digits") from None


def _bytea_in(text: str, typmod: int, ctx: EvalContext) -> bytes:
    if text.startswith("\\x"):
        return parse_hex(text[2:])
    data = text.encode()
    if b"\\" not in data:
        return data
    return parse_escaped(data)


def parse_escaped(data: bytes) -> bytes:
    r"""\\ and \ooo; 22P02."""
    out = bytearray()
    at = 0
    while at < len(data):
        if data[at] != 0x5C:
            out.append(data[at])
            at += 1
            continue
        match = _OCTAL.match(data, at)
        if match is None:
            raise SqlError("22P02", "invalid input syntax for type bytea")
        out.append(0x5C if match[1] == b"\\" else int(match[1], 8))
        at = match.end()
    return bytes(out)


def escaped(value: bytes) -> str:
    """The escape form: printable ASCII as it is, the rest as octal."""
    return _NOT_PLAIN.sub(
        lambda match: b"\\\\" if match[0] == b"\\" else b"\\%03o" % match[0][0], value
    ).decode("ascii")


def hex_text(value: bytes) -> str:
    """The hex form."""
    return "\\x" + value.hex()


def _bytea_out(value: bytes, ctx: EvalContext) -> str:
    return hex_text(value) if ctx.styles.bytea_hex else escaped(value)


def _bytea_receive(data: bytes, typmod: int, ctx: EvalContext) -> bytes:
    return bytes(data)


def uuid_in(text: str, typmod: int, ctx: EvalContext) -> bytes:
    """32 hex digits, with hyphens after any group of four, perhaps in braces; 22P02."""
    match = _UUID.fullmatch(text)
    if match is None or text.startswith("{") != text.endswith("}"):
        raise invalid_syntax("uuid", text)
    return bytes.fromhex(match[1].replace("-", ""))


def uuid_out(value: bytes) -> str:
    """8-4-4-4-12."""
    digits = value.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _uuid_receive(data: bytes, typmod: int, ctx: EvalContext) -> bytes:
    if len(data) != 16:
        raise wrong_length(data, 16)
    return bytes(data)


types: Final = (
    sql_type(
        "bytea",
        input=_bytea_in,
        output=_bytea_out,
        receive=_bytea_receive,
        plain_send=bytes,
        shape="b",
        key=KeyKind.BYTES,
    ),
    sql_type(
        "uuid",
        input=uuid_in,
        output=context_free(uuid_out),
        plain_output=uuid_out,
        receive=_uuid_receive,
        plain_send=bytes,
        shape="u",
        key=KeyKind.FIXED,
    ),
)

forms.comparisons("bytea", "bytea", six("bytea"))
forms.comparisons("uuid", "uuid", "uuid_eq uuid_ne uuid_lt uuid_gt uuid_le uuid_ge")
forms.templates(
    {
        "byteacat(bytea,bytea)": "{0} + {1}",
        "length(bytea)": "bytes_length({0})",
        "octet_length(bytea)": "bytes_length({0})",
        "bit_length(bytea)": "bytes_length({0}) * 8",
        "position(bytea,bytea)": "{0}.find({1}) + 1",
        "btrim(bytea,bytea)": "{0}.strip({1}) if {1} else {0}",
        "ltrim(bytea,bytea)": "{0}.lstrip({1}) if {1} else {0}",
        "rtrim(bytea,bytea)": "{0}.rstrip({1}) if {1} else {0}",
    }
)


@forms.helper
def bytes_length(value: bytes) -> int:
    """How many bytes."""
    return len(value)


@forms.function("substr(bytea,int4)", "substring(bytea,int4)")
def bytea_from(value: bytes, start: int) -> bytes:
    """From byte `start`, counted from 1."""
    return value[max(start - 1, 0) :]


@forms.function("substr(bytea,int4,int4)", "substring(bytea,int4,int4)")
def bytea_for(value: bytes, start: int, length: int) -> bytes:
    """`length` bytes from `start`; 22011."""
    if length < 0:
        raise SqlError("22011", "negative substring length not allowed")
    return value[max(start - 1, 0) : max(start - 1 + length, 0)]


@forms.function("overlay(bytea,bytea,int4,int4)")
def bytea_overlay(value: bytes, new: bytes, start: int, length: int) -> bytes:
    """`new` in the place of `length` bytes from `start`; 22011."""
    if start <= 0:
        raise SqlError("22011", "negative substring length not allowed")
    return value[: start - 1] + new + bytea_from(value, start + length)


@forms.function("overlay(bytea,bytea,int4)")
def bytea_overlay_own_length(value: bytes, new: bytes, start: int) -> bytes:
    """As long as `new` is."""
    return bytea_overlay(value, new, start, len(new))


def _check_index(index: int, count: int) -> None:
    if not 0 <= index < count:
        raise SqlError("2202E", f"index {index} out of valid range, 0..{count - 1}")


@forms.function("get_byte(bytea,int4)")
def get_byte(value: bytes, index: int) -> int:
    """2202E."""
    _check_index(index, len(value))
    return value[index]


@forms.function("set_byte(bytea,int4,int4)")
def set_byte(value: bytes, index: int, byte: int) -> bytes:
    """2202E."""
    _check_index(index, len(value))
    return value[:index] + bytes((byte & 255,)) + value[index + 1 :]


@forms.function("get_bit(bytea,int8)")
def get_bit(value: bytes, index: int) -> int:
    """2202E."""
    _check_index(index, len(value) * 8)
    return value[index // 8] >> (index % 8) & 1


@forms.function("set_bit(bytea,int8,int4)")
def set_bit(value: bytes, index: int, bit: int) -> bytes:
    """2202E, 22023."""
    _check_index(index, len(value) * 8)
    if bit not in (0, 1):
        raise SqlError("22023", "new bit must be 0 or 1")
    mask = 1 << (index % 8)
    byte = value[index // 8] & ~mask | (mask if bit else 0)
    return set_byte(value, index // 8, byte)


@forms.function("bit_count(bytea)")
def bit_count(value: bytes) -> int:
    """How many bits are set."""
    return int.from_bytes(value).bit_count()


@forms.function("encode(bytea,text)")
def encode_bytes(value: bytes, form: str) -> str:
    """hex, base64 (lines of 76) or escape; 22023."""
    match form.lower():
        case "hex":
            return value.hex()
        case "escape":
            out = []
            for byte in value:
                out.append("\\\\" if byte == 92 else f"\\{byte:03o}" if byte == 0 or byte > 127
                           else chr(byte))  # fmt: skip
            return "".join(out)
        case "base64":
            text = binascii.b2a_base64(value, newline=False).decode("ascii")
            return "\n".join(text[at : at + 76] for at in range(0, len(text), 76))
    raise _unknown_encoding(form)


_NO_BASE64: Final = re.compile(r"[^A-Za-z0-9+/=]")


@forms.function("decode(text,text)")
def decode_bytes(text: str, form: str) -> bytes:
    """The opposite of encode; 22023, 22P02."""
    match form.lower():
        case "hex":
            return parse_hex(text)
        case "escape":
            return parse_escaped(text.encode())
        case "base64":
            plain = "".join(text.split())
            wrong = _NO_BASE64.search(plain)
            if wrong is not None:
                raise SqlError(
                    "22023", f'invalid symbol "{wrong[0]}" found while decoding base64 sequence'
                )
            try:
                return binascii.a2b_base64(plain, strict_mode=True)
            except ValueError:
                raise SqlError("22023", "invalid base64 end sequence",
                               hint="Input data is missing padding, is truncated, or is "
                               "otherwise corrupted.") from None  # fmt: skip
    raise _unknown_encoding(form)


def _unknown_encoding(form: str) -> SqlError:
    return SqlError("22023", f'unrecognized encoding: "{form}"')


@forms.function("md5(bytea)")
def md5_bytes(value: bytes) -> str:
    """Hexadecimal MD5: a checksum, not a defence."""
    return hashlib.md5(value, usedforsecurity=False).hexdigest()


def _digest(name: str) -> None:
    def compute(value: bytes) -> bytes:
        return hashlib.new(name, value).digest()

    forms.function(f"{name}(bytea)")(compute)


for _name in ("sha224", "sha256", "sha384", "sha512"):
    _digest(_name)


@forms.function("gen_random_uuid()")
def gen_random_uuid() -> bytes:
    """Version 4."""
    value = bytearray(secrets.token_bytes(16))
    value[6] = value[6] & 0x0F | 0x40
    value[8] = value[8] & 0x3F | 0x80
    return bytes(value)
