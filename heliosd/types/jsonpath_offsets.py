"""Where PostgreSQL's binary jsonb would put each object and array: keyvalue() shows it as an id.

offset  size
0       4       header: count and kind
4       4 * n   an entry per element (two per member: all keys, then all values)
then            keys' bytes; values: strings as they are, numbers and containers 4-aligned
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from heliosd.types.numeric import numeric_send


def _aligned(at: int) -> int:
    return (at + 3) & ~3


def _number_size(value: Decimal) -> int:
    wire = numeric_send(value)
    digits = int.from_bytes(wire[0:2], "big")
    weight = int.from_bytes(wire[2:4], "big", signed=True)
    scale = int.from_bytes(wire[6:8], "big")
    header = 6 if -64 <= weight <= 63 and scale <= 63 else 8
    return header + 2 * digits


def container_offsets(document: Any) -> dict[int, int]:
    """By `id()` of every object and array within: its place, the document's own being 0."""
    offsets: dict[int, int] = {}

    def place(value: Any, at: int) -> int:
        if isinstance(value, str):
            return at + len(value.encode())
        if isinstance(value, Decimal):
            return _aligned(at) + _number_size(value)
        if not isinstance(value, dict | list):
            return at
        at = _aligned(at)
        offsets[id(value)] = at
        if isinstance(value, list):
            at += 4 + 4 * len(value)
            items: Any = value
        else:
            at += 4 + 8 * len(value)
            keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
            at += sum(len(key.encode()) for key in keys)
            items = [value[key] for key in keys]
        for item in items:
            at = place(item, at)
        return at

    place(document, 0)
    return offsets
