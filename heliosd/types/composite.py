"""Composite types: rows with named, typed attributes, as CREATE TYPE and every table make them.

A value is a `Record` of the attributes that are not dropped. At rest it has a slot for every
attribute there ever was (4 bytes of count, then per slot 4 bytes of length, -1 for NULL, and the
value's bytes): a value stored before ADD ATTRIBUTE reads as NULL there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.pseudo import record_text
from heliosd.types.record import Record, RecordShape, read_fields, receive_fields, send_fields
from heliosd.types.registry import KeyKind, SqlType, TypeField, Value
from heliosd.types.rest import key_form, rest_forms

_COUNT: Final = struct.Struct(">i")
_NULL: Final = b"\xff\xff\xff\xff"


def make_composite_type(
    *,
    name: str,
    oid: int,
    array_oid: int,
    attributes: Sequence[TypeField | None],
    sql_name: str,
    uses: tuple[tuple[int, int], ...],
) -> SqlType:
    """The type with these attributes, None where one was dropped."""
    fields = tuple(each for each in attributes if each is not None)
    shape = RecordShape(tuple(f.name for f in fields), tuple(f.type for f in fields))

    def read(text: str, typmod: int, ctx: EvalContext) -> Record:
        texts = read_fields(text, len(fields))
        return shape.make(
            _null(f, ctx) if t is None else _fitted(f, f.type.input(t, f.typmod, ctx))
            for f, t in zip(fields, texts, strict=True)
        )

    def show(value: Sequence[Any], ctx: EvalContext) -> str:
        texts = [
            None if item is None else kind.output(item, ctx)
            for item, kind in zip(value, shape.types, strict=True)
        ]
        return record_text(tuple(value), texts)

    def receive(data: bytes, typmod: int, ctx: EvalContext) -> Record:
        return shape.make(receive_fields(data, fields, ctx))

    def send(value: Sequence[Any], ctx: EvalContext) -> bytes:
        return send_fields(value, shape.types, ctx)

    pack, unpack = _rest(attributes, shape)
    ordered = all(kind.ordered for kind in shape.types)
    keyed = all(kind.key is not None for kind in shape.types)
    return SqlType(
        name=name,
        oid=oid,
        array_oid=array_oid,
        input=read,
        output=show,
        receive=receive,
        send=send,
        category="C",
        size=-1,
        align="d",
        storage="x",
        kind="c",
        shape="b",
        pack=pack,
        unpack=unpack,
        key=KeyKind.BYTES if keyed else None,
        key_value=_key(shape.types) if keyed else None,
        ordered=ordered,
        hashable=ordered,
        native=False,
        sort_key=_sort_key(shape.types),
        io_names=("record_in", "record_out", "record_recv", "record_send"),
        sql_name=sql_name,
        fields=fields,
        uses=uses,
    )


def shape_of_type(kind: SqlType) -> RecordShape:
    """What makes records of a composite type."""
    return RecordShape(tuple(f.name for f in kind.fields), tuple(f.type for f in kind.fields))


def _null(field: TypeField, ctx: EvalContext) -> Value:
    return ctx.check_domain(field.type.oid, None) if field.type.is_domain else None


def _fitted(field: TypeField, value: Value) -> Value:
    fit = field.type.apply_typmod
    return value if fit is None or field.typmod < 0 else fit(value, field.typmod, False)


def _rest(
    attributes: Sequence[TypeField | None], shape: RecordShape
) -> tuple[Callable[[Sequence[Any]], bytes], Callable[[bytes], Record]]:
    slots = [slot for slot, each in enumerate(attributes) if each is not None]
    forms = [None if each is None else rest_forms(each.type) for each in attributes]

    def pack(value: Sequence[Any]) -> bytes:
        parts = [_NULL] * len(attributes)
        for slot, item in zip(slots, value, strict=True):
            form = forms[slot]
            if item is not None and form is not None:
                data = form[0](item)
                parts[slot] = _COUNT.pack(len(data)) + data
        return _COUNT.pack(len(parts)) + b"".join(parts)

    def unpack(data: bytes) -> Record:
        (count,) = _COUNT.unpack_from(data)
        at = 4
        values: list[Any] = [None] * len(attributes)
        for slot in range(count):
            (size,) = _COUNT.unpack_from(data, at)
            at += 4
            if size < 0:
                continue
            form = forms[slot] if slot < len(forms) else None
            if form is not None:
                values[slot] = form[1](data[at : at + size])
            at += size
        return shape.make(values[slot] for slot in slots)

    return pack, unpack


def _key(kinds: Sequence[SqlType]) -> Callable[[Sequence[Any]], bytes]:
    forms = [key_form(kind) for kind in kinds]

    def key(value: Sequence[Any]) -> bytes:
        return b"".join(
            b"\x02" if item is None else b"\x01" + form(item)
            for form, item in zip(forms, value, strict=True)
        )

    return key


def _sort_key(kinds: Sequence[SqlType]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    keys = [kind.order_key() for kind in kinds]

    def sort_key(value: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(
            (True, 0) if item is None else (False, item if key is None else key(item))
            for item, key in zip(value, keys, strict=True)
        )

    return sort_key


def unknown_attribute(name: str, kind: SqlType) -> SqlError:
    """42703."""
    return SqlError("42703", f'column "{name}" not found in data type {kind.display}')
