"""PostgreSQL's hash functions: the numbers that hashtext('a') and its kin give.

Bob Jenkins' lookup3, with PostgreSQL's start values. Programs lock and partition by these.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from heliosd.types.declare import Forms
from heliosd.types.interval import Interval, interval_span
from heliosd.types.numeric import numeric_send

forms: Final = Forms()

_MASK: Final = 0xFFFF_FFFF
_START: Final = 0x9E37_79B9 + 3_923_095


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> 32 - bits) & _MASK


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for bits in (4, 6, 8, 16, 19, 4):
        a = (a - c & _MASK) ^ _rotated(c, bits)
        c = c + b & _MASK
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> tuple[int, int]:
    c = (c ^ b) - _rotated(b, 14) & _MASK
    a = (a ^ c) - _rotated(c, 11) & _MASK
    b = (b ^ a) - _rotated(a, 25) & _MASK
    c = (c ^ b) - _rotated(b, 16) & _MASK
    a = (a ^ c) - _rotated(c, 4) & _MASK
    b = (b ^ a) - _rotated(a, 14) & _MASK
    c = (c ^ b) - _rotated(b, 24) & _MASK
    return b, c


def _hash(data: bytes, seed: int) -> tuple[int, int]:
    """(high, low) halves of the 64-bit hash."""
    size = len(data)
    a = b = c = _START + size & _MASK
    if seed:
        a, b, c = _mix(a + (seed >> 32) & _MASK, b + seed & _MASK, c)
    at = 0
    while size - at >= 12:
        x, y, z = struct.unpack_from("<3I", data, at)
        a, b, c = _mix(a + x & _MASK, b + y & _MASK, c + z & _MASK)
        at += 12
    # The last bytes; the lowest one of c stands for the length.
    x, y, z = struct.unpack("<3I", data[at:].ljust(12, b"\0"))
    return _final(a + x & _MASK, b + y & _MASK, c + (z << 8) & _MASK)


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> bits - 1 else value


def hash_bytes(data: bytes) -> int:
    """The 32-bit hash, signed as int4."""
    return _signed(_hash(data, 0)[1], 32)


def hash_bytes_extended(data: bytes, seed: int) -> int:
    """The 64-bit hash under a seed, signed as int8."""
    high, low = _hash(data, seed & 0xFFFF_FFFF_FFFF_FFFF)
    return _signed(high << 32 | low, 64)


# ------------------------------------------------------------ what of a value is hashed


def _int4(value: int) -> bytes:
    return (value & _MASK).to_bytes(4, "little")


def _int8(value: int) -> bytes:
    low, high = value & _MASK, value >> 32 & _MASK
    return _int4(low ^ (high if value >= 0 else ~high))


def _float(value: float) -> bytes | None:
    if value == 0:
        return None
    return struct.pack("<d", math.nan if value != value else value)


def _text(value: str) -> bytes:
    return value.encode()


def _padded(value: str) -> bytes:
    return value.rstrip(" ").encode()


def _char(value: str) -> bytes:
    code = value.encode("latin-1", "replace")[:1] or b"\0"
    return _int4(_signed(code[0], 8))


def _numeric(value: Decimal) -> tuple[bytes, int] | None:
    """(base-10000 digits without zeros around them, weight); None for what is no number."""
    if not value.is_finite():
        return None
    wire = numeric_send(value)
    count, weight = struct.unpack_from(">hh", wire)
    digits = list(struct.unpack_from(f">{count}h", wire, 8))
    while digits and not digits[0]:
        digits.pop(0)
        weight -= 1
    while digits and not digits[-1]:
        digits.pop()
    return struct.pack(f"<{len(digits)}h", *digits), weight


_PLAIN: Final[dict[str, Callable[[Any], bytes | None]]] = {
    "hashint2(int2)": _int4, "hashint4(int4)": _int4, "hashint8(int8)": _int8,
    "hashoid(oid)": _int4, "hashchar(char)": _char, "hashtext(text)": _text,
    "hashname(name)": _text, "hashbpchar(bpchar)": _padded, "hashfloat4(float4)": _float,
    "hashfloat8(float8)": _float, "uuid_hash(uuid)": bytes, "time_hash(time)": _int8,
    "timestamp_hash(timestamp)": _int8, "pg_lsn_hash(pg_lsn)": _int8,
    "interval_hash(interval)": lambda value: _int8(_span(value)),
}  # fmt: skip


def _span(value: Interval) -> int:
    return _signed(interval_span(value) & 0xFFFF_FFFF_FFFF_FFFF, 64)


def _declare(signature: str, part: Callable[[Any], bytes | None]) -> None:
    def plain(value: Any) -> int:
        data = part(value)
        return 0 if data is None else hash_bytes(data)

    def extended(value: Any, seed: int) -> int:
        data = part(value)
        return seed if data is None else hash_bytes_extended(data, seed)

    forms.function(signature)(plain)
    name, _, kind = signature.removesuffix(")").partition("(")
    longer = f"{name}_extended" if "_" in name else f"{name}extended"
    forms.function(f"{longer}({kind},int8)")(extended)


for _signature, _part in _PLAIN.items():
    _declare(_signature, _part)


@forms.function("timetz_hash(timetz)")
def timetz_hash(value: tuple[int, int]) -> int:
    """Of the time and of the zone."""
    return hash_bytes(_int8(value[0])) ^ hash_bytes(_int4(value[1]))


@forms.function("hash_numeric_extended(numeric,int8)")
def hash_numeric_extended(value: Decimal, seed: int) -> int:
    """Equal numbers of any scale hash alike."""
    parts = _numeric(value)
    if parts is None:
        return seed
    digits, weight = parts
    if not digits:
        return _signed((seed - 1) & 0xFFFF_FFFF_FFFF_FFFF, 64)
    return hash_bytes_extended(digits, seed) ^ weight
