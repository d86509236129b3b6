"""macaddr8: EUI-64 addresses, eight bytes; a six-byte address gets ff:fe in its middle."""

from __future__ import annotations

import re
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, context_free, six, sql_type
from heliosd.types.failures import invalid_syntax, wrong_length
from heliosd.types.registry import KeyKind

forms: Final = Forms()

_PAIRS: Final = re.compile(r"\s*((?:[0-9a-f]{2}[:.-]?){5,7}[0-9a-f]{2})\s*", re.ASCII | re.I)


def _input(text: str, typmod: int, ctx: EvalContext) -> bytes:
    match = _PAIRS.fullmatch(text)
    if match is None:
        raise invalid_syntax("macaddr8", text)
    separators = set(re.findall(r"[:.-]", match[1]))
    digits = re.sub(r"[:.-]", "", match[1])
    if len(separators) > 1 or len(digits) not in (12, 16):
        raise invalid_syntax("macaddr8", text)
    return widened(bytes.fromhex(digits))


def widened(value: bytes) -> bytes:
    """Six bytes as eight."""
    return value if len(value) == 8 else value[:3] + b"\xff\xfe" + value[3:]


def mac8_out(value: bytes) -> str:
    """08:00:2b:01:02:03:04:05."""
    return value.hex(":")


def _receive(data: bytes, typmod: int, ctx: EvalContext) -> bytes:
    if len(data) not in (6, 8):
        raise wrong_length(data, 8)
    return widened(bytes(data))


types: Final = (
    sql_type(
        "macaddr8",
        input=_input,
        output=context_free(mac8_out),
        plain_output=mac8_out,
        receive=_receive,
        plain_send=bytes,
        shape="b",
        key=KeyKind.BYTES,
    ),
)


def _number(value: bytes) -> int:
    return int.from_bytes(value, "big")


@forms.function("macaddr8_not(macaddr8)", "macaddr_not(macaddr)")
def mac_not(value: bytes) -> bytes:
    """Every bit turned over."""
    return bytes(byte ^ 255 for byte in value)


@forms.function("macaddr8_and(macaddr8,macaddr8)", "macaddr_and(macaddr,macaddr)")
def mac_and(left: bytes, right: bytes) -> bytes:
    """The bits of both."""
    return (_number(left) & _number(right)).to_bytes(len(left), "big")


@forms.function("macaddr8_or(macaddr8,macaddr8)", "macaddr_or(macaddr,macaddr)")
def mac_or(left: bytes, right: bytes) -> bytes:
    """The bits of either."""
    return (_number(left) | _number(right)).to_bytes(len(left), "big")


@forms.function("macaddr8_set7bit(macaddr8)")
def set7bit(value: bytes) -> bytes:
    """The modified EUI-64 form, as IPv6 addresses hold it."""
    return bytes([value[0] | 2]) + value[1:]


@forms.function("trunc(macaddr8)")
def mac8_trunc(value: bytes) -> bytes:
    """The manufacturer's part."""
    return value[:3] + b"\0\0\0\0\0"


@forms.function("macaddr(macaddr8)")
def narrowed(value: bytes) -> bytes:
    """Eight bytes as six; 22003 without ff:fe in the middle."""
    if value[3:5] != b"\xff\xfe":
        raise SqlError(
            "22003",
            "macaddr8 data out of range to convert to macaddr",
            hint="Only addresses that have FF and FE as values in the 4th and 5th bytes from the "
            "left, for example xx:xx:xx:ff:fe:xx:xx:xx, are eligible to be converted from "
            "macaddr8 to macaddr.",
        )
    return value[:3] + value[5:]


forms.function("macaddr8(macaddr)")(widened)
forms.comparisons("macaddr8", "macaddr8", six("macaddr8_"))
