"""record: a row as one value. It knows its fields' names and types, so that it can be shown."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from heliosd.errors import SqlError, not_supported
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, sql_type
from heliosd.types.pseudo import record_text
from heliosd.types.registry import SqlType

forms: Final = Forms()

_COUNT: Final = struct.Struct(">i")
_FIELD: Final = struct.Struct(">Ii")


class Record(tuple[Any, ...]):
    """The fields' values; `shape` says what they are. Equal tuples are equal records."""

    shape: RecordShape


@dataclass(frozen=True, slots=True)
class RecordShape:
    """What the fields of a kind of record are called, and their types."""

    names: tuple[str, ...]
    types: tuple[SqlType, ...]

    def make(self, values: Iterable[Any]) -> Record:
        """A record of this shape."""
        record = Record(values)
        record.shape = self
        return record

    def order_keys(self) -> tuple[Callable[[Any], Any] | None, ...]:
        """One sort key function per field."""
        return tuple(kind.order_key() for kind in self.types)


def shape_of(value: tuple[Any, ...]) -> RecordShape:
    """The shape of a record; 0A000 for a bare tuple, which nobody named."""
    shape = getattr(value, "shape", None)
    if shape is None:
        raise not_supported("a record without declared fields")
    assert isinstance(shape, RecordShape)
    return shape


def record_out(value: tuple[Any, ...], ctx: EvalContext) -> str:
    """(1,"a b",)."""
    shape = shape_of(value)
    texts = [
        None if field is None else kind.output(field, ctx)
        for field, kind in zip(value, shape.types, strict=True)
    ]
    return record_text(value, texts)


def _send(value: tuple[Any, ...], ctx: EvalContext) -> bytes:
    shape = shape_of(value)
    parts = [_COUNT.pack(len(value))]
    for field, kind in zip(value, shape.types, strict=True):
        if field is None:
            parts.append(_FIELD.pack(kind.oid, -1))
            continue
        if kind.send is None:
            raise SqlError("42883", f"no binary output function available for type {kind.display}")
        data = kind.send(field, ctx)
        parts += (_FIELD.pack(kind.oid, len(data)), data)
    return b"".join(parts)


def _input(text: str, typmod: int, ctx: EvalContext) -> Record:
    raise SqlError("0A000", "input of anonymous composite types is not implemented")


def _receive(data: bytes, typmod: int, ctx: EvalContext) -> Record:
    raise SqlError("0A000", "input of anonymous composite types is not implemented")


@forms.helper
def record_key(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """Field by field, NULLs last and equal to each other."""
    shape = getattr(value, "shape", None)
    if shape is None:
        return tuple((field is None, field) for field in value)
    return tuple(
        (True, 0) if field is None else (False, field if key is None else key(field))
        for field, key in zip(value, shape.order_keys(), strict=True)
    )


types: Final = (
    sql_type(
        "record",
        input=_input,
        output=record_out,
        receive=_receive,
        send=_send,
        native=False,
        sort_key=record_key,
    ),
)

forms.comparisons(
    "record",
    "record",
    "record_eq record_ne record_lt record_gt record_le record_ge",
    "record_key({0}) {op} record_key({1})",
)
