"""How a value rests inside another one, and how it becomes part of a memcomparable key.

Elements of arrays, fields of composites and bounds of ranges rest as bytes that depend on no
session's settings.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from helios_storage.keys import KeyColumn, encoder_of
from heliosd.errors import SqlError, not_supported
from heliosd.types.registry import SqlType, Value

ToBytes = Callable[[Value], bytes]
FromBytes = Callable[[bytes], Value]

_QUAD: Final = struct.Struct(">q")


def rest_forms(kind: SqlType) -> tuple[ToBytes, FromBytes]:
    """(value to bytes, bytes to value) of values that are not NULL."""
    if kind.is_domain:
        assert kind.base is not None
        return rest_forms(kind.base)
    if kind.kind == "e":
        return _QUAD.pack, lambda data: _QUAD.unpack(data)[0]
    if kind.plain_send is not None:
        receive = kind.receive
        if receive is not None:
            return kind.plain_send, lambda data: receive(data, -1, None)  # type: ignore[arg-type]
    pack, unpack = kind.pack, kind.unpack
    if pack is None or unpack is None:
        return lambda value: str(value).encode(), lambda data: data.decode()
    return _packed_bytes(pack), _unpacked_bytes(kind, unpack)


def _packed_bytes(pack: Callable[[Any], Any]) -> ToBytes:
    def to_bytes(value: Value) -> bytes:
        packed = pack(value)
        return packed if isinstance(packed, bytes) else str(packed).encode()

    return to_bytes


def _unpacked_bytes(kind: SqlType, unpack: Callable[[Any], Any]) -> FromBytes:
    if kind.shape == "t":
        return lambda data: unpack(data.decode())
    return unpack


def key_form(kind: SqlType) -> Callable[[Value], bytes]:
    """A value's memcomparable bytes: prefix-free, in the type's order. 0A000 without an order."""
    if kind.key is None:
        raise not_supported(f"an index on type {kind.display}")
    inner = None
    if kind.key.value == "array":
        element = kind.element_type
        if element is None or element.key is None:
            raise not_supported(f"an index on type {kind.display}")
        inner = element.key.value
    encode = encoder_of(
        KeyColumn(kind.key.value, nullable=False, element=inner)  # type: ignore[arg-type]
    )
    convert = kind.key_value
    if convert is None:
        return encode
    return lambda value: encode(convert(value))


def cannot_compare(kind: SqlType) -> SqlError:
    """42883 for a type without a comparison function."""
    return SqlError("42883", f"could not identify a comparison function for type {kind.display}")
