"""record: a row as one value. It knows its fields' names and types, so that it can be shown."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from heliosd.errors import SqlError, not_supported
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, sql_type
from heliosd.types.pseudo import record_text
from heliosd.types.registry import SqlType, TypeField
from heliosd.types.rest import rest_forms

forms: Final = Forms()

_COUNT: Final = struct.Struct(">i")
_FIELD: Final = struct.Struct(">Ii")
_SPACES: Final = " \t\n\v\f\r"


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


# ------------------------------------------------------------ text


def _malformed(text: str, detail: str) -> SqlError:
    return SqlError("22P02", f'malformed record literal: "{text}"', detail=detail)


def read_fields(text: str, count: int) -> list[str | None]:
    """The texts of `(1,"a b",)`: None where nothing stands. 22P02."""
    at = 0
    while at < len(text) and text[at] in _SPACES:
        at += 1
    if text[at : at + 1] != "(":
        raise _malformed(text, "Missing left parenthesis.")
    at += 1
    found: list[str | None] = []
    while len(found) < count:
        if found:
            if text[at : at + 1] != ",":
                raise _malformed(text, "Too few columns.")
            at += 1
        item, at = _field(text, at)
        found.append(item)
    if text[at : at + 1] != ")":
        raise _malformed(
            text, "Unexpected end of input." if at >= len(text) else "Too many columns."
        )
    at += 1
    if text[at:].strip(_SPACES):
        raise _malformed(text, "Junk after right parenthesis.")
    return found


def _field(text: str, at: int) -> tuple[str | None, int]:
    """One field's text from `at` on, and where it ends."""
    if text[at : at + 1] in (",", ")"):
        return None, at
    out: list[str] = []
    quoted = False
    while True:
        char = text[at : at + 1]
        if not char:
            raise _malformed(text, "Unexpected end of input.")
        if not quoted and char in ",)":
            return "".join(out), at
        at += 1
        if char == "\\":
            if at >= len(text):
                raise _malformed(text, "Unexpected end of input.")
            out.append(text[at])
            at += 1
        elif char != '"':
            out.append(char)
        elif not quoted:
            quoted = True
        elif text[at : at + 1] == '"':
            out.append('"')
            at += 1
        else:
            quoted = False


def record_out(value: tuple[Any, ...], ctx: EvalContext) -> str:
    """(1,"a b",)."""
    shape = shape_of(value)
    texts = [
        None if field is None else kind.output(field, ctx)
        for field, kind in zip(value, shape.types, strict=True)
    ]
    return record_text(value, texts)


# ------------------------------------------------------------ binary


def send_fields(value: Sequence[Any], kinds: Sequence[SqlType], ctx: EvalContext) -> bytes:
    """PostgreSQL's binary form: a count, then per field its type, length and bytes. 42883."""
    parts = [_COUNT.pack(len(value))]
    for field, kind in zip(value, kinds, strict=True):
        if field is None:
            parts.append(_FIELD.pack(kind.oid, -1))
            continue
        if kind.send is None:
            raise SqlError("42883", f"no binary output function available for type {kind.display}")
        data = kind.send(field, ctx)
        parts += (_FIELD.pack(kind.oid, len(data)), data)
    return b"".join(parts)


def receive_fields(data: bytes, fields: Sequence[TypeField], ctx: EvalContext) -> list[Any]:
    """The opposite of `send_fields` for known fields. 42804, 22P03, 08P01."""
    (count,) = _COUNT.unpack_from(data)
    if count != len(fields):
        raise SqlError("42804", f"wrong number of columns: {count}, expected {len(fields)}")
    at = 4
    values: list[Any] = []
    for number, field in enumerate(fields, 1):
        oid, size = _FIELD.unpack_from(data, at)
        at += 8
        if oid != field.type.oid:
            raise SqlError(
                "42804",
                f"binary data has type {oid} (???) instead of expected {field.type.oid} "
                f"({field.type.display}) in record column {number}",
            )
        if size == -1:
            checked = field.type.is_domain
            values.append(ctx.check_domain(oid, None) if checked else None)
            continue
        if size < 0 or at + size > len(data):
            raise SqlError("08P01", "insufficient data left in message")
        accept = field.type.receive
        if accept is None:
            raise SqlError(
                "42883", f"no binary input function available for type {field.type.display}"
            )
        values.append(accept(data[at : at + size], field.typmod, ctx))
        at += size
    if at < len(data):
        raise SqlError("22P03", f"improper binary format in record column {len(fields)}")
    return values


def _send(value: tuple[Any, ...], ctx: EvalContext) -> bytes:
    return send_fields(value, shape_of(value).types, ctx)


def _input(text: str, typmod: int, ctx: EvalContext) -> Record:
    raise SqlError("0A000", "input of anonymous composite types is not implemented")


def _receive(data: bytes, typmod: int, ctx: EvalContext) -> Record:
    raise SqlError("0A000", "input of anonymous composite types is not implemented")


# ------------------------------------------------------------ comparing


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


def _alike(left: tuple[Any, ...], right: tuple[Any, ...]) -> None:
    """42804 for records that cannot be compared, 42883 for a field without comparison."""
    one, other = getattr(left, "shape", None), getattr(right, "shape", None)
    if one is None or other is None or one is other:
        return
    for number, (mine, yours) in enumerate(zip(one.types, other.types, strict=False), 1):
        if mine.oid != yours.oid:
            raise SqlError(
                "42804",
                f"cannot compare dissimilar column types {mine.display} and {yours.display} "
                f"at record column {number}",
            )
    if len(one.types) != len(other.types):
        raise SqlError("42804", "cannot compare record types with different numbers of columns")


@forms.helper
def record_compare(left: tuple[Any, ...], right: tuple[Any, ...]) -> int:
    """-1, 0 or 1."""
    _alike(left, right)
    for kind in getattr(left, "shape", _NO_SHAPE).types:
        if not kind.ordered:
            raise SqlError(
                "42883", f"could not identify a comparison function for type {kind.display}"
            )
    mine, yours = record_key(left), record_key(right)
    return (mine > yours) - (mine < yours)


@forms.helper
def record_equal(left: tuple[Any, ...], right: tuple[Any, ...]) -> bool:
    """Whether all fields are equal, NULLs too."""
    _alike(left, right)
    for kind in getattr(left, "shape", _NO_SHAPE).types:
        if not kind.ordered and not kind.hashable:
            raise SqlError(
                "42883", f"could not identify an equality operator for type {kind.display}"
            )
    return record_key(left) == record_key(right)


def _image(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """The fields' bytes, as record_image_* compares them: by value where they are numbers."""
    shape = shape_of(value)
    return tuple(
        (True, b"")
        if field is None
        else (False, field if kind.by_value and kind.kind == "b" else rest_forms(kind)[0](field))
        for field, kind in zip(value, shape.types, strict=True)
    )


@forms.helper
def record_image_compare(left: tuple[Any, ...], right: tuple[Any, ...]) -> int:
    """-1, 0 or 1 by the fields' images."""
    _alike(left, right)
    mine, yours = _image(left), _image(right)
    return (mine > yours) - (mine < yours)


_NO_SHAPE: Final = RecordShape((), ())

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

forms.templates(
    {
        "record_eq(record,record)": "record_equal({0}, {1})",
        "record_ne(record,record)": "not record_equal({0}, {1})",
        "record_lt(record,record)": "record_compare({0}, {1}) < 0",
        "record_gt(record,record)": "record_compare({0}, {1}) > 0",
        "record_le(record,record)": "record_compare({0}, {1}) <= 0",
        "record_ge(record,record)": "record_compare({0}, {1}) >= 0",
        "btrecordcmp(record,record)": "record_compare({0}, {1})",
        "record_image_eq(record,record)": "record_image_compare({0}, {1}) == 0",
        "record_image_ne(record,record)": "record_image_compare({0}, {1}) != 0",
        "record_image_lt(record,record)": "record_image_compare({0}, {1}) < 0",
        "record_image_gt(record,record)": "record_image_compare({0}, {1}) > 0",
        "record_image_le(record,record)": "record_image_compare({0}, {1}) <= 0",
        "record_image_ge(record,record)": "record_image_compare({0}, {1}) >= 0",
    }
)
