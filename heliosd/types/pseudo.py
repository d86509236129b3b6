"""Types that hold no user's values, or only the catalog's: pseudo-types, vectors, node trees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.aclitem import read_aclitem
from heliosd.types.array import Array, decode_array, encode_array
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, context_free, sql_type
from heliosd.types.facts import type_facts
from heliosd.types.integer import parse_integer
from heliosd.types.registry import SqlType, Value
from heliosd.types.text import decode_text

forms: Final = Forms()

_VOID_LIKE: Final = ("void",)
_POLYMORPHIC: Final = (
    "any", "anyelement", "anyarray", "anynonarray", "anyenum", "anyrange", "anymultirange",
    "anycompatible", "anycompatiblearray", "anycompatiblenonarray", "anycompatiblerange",
    "anycompatiblemultirange", "trigger", "event_trigger", "internal", "language_handler",
    "fdw_handler", "index_am_handler", "tsm_handler", "table_am_handler", "pg_ddl_command",
)  # fmt: skip
_TEXT_LIKE: Final = (
    "pg_node_tree", "aclitem", "pg_ndistinct", "pg_dependencies", "pg_mcv_list",
)  # fmt: skip


def _refuse_input(name: str) -> Callable[[str, int, EvalContext], Value]:
    def read(text: str, typmod: int, ctx: EvalContext) -> Value:
        raise SqlError("0A000", f"cannot accept a value of type {name}")

    return read


def _refuse_output(name: str) -> Callable[[Value, EvalContext], str]:
    def show(value: Value, ctx: EvalContext) -> str:
        raise SqlError("0A000", f"cannot display a value of type {name}")

    return show


def _pseudo(name: str) -> SqlType:
    return sql_type(
        name,
        input=_refuse_input(name),
        output=_refuse_output(name),
        ordered=False,
        hashable=False,
    )


def _void_in(text: str, typmod: int, ctx: EvalContext) -> str:
    return ""


def _nothing(value: Value) -> str:
    return ""


def _no_bytes(value: Value) -> bytes:
    return b""


def _text_in(text: str, typmod: int, ctx: EvalContext) -> str:
    return text


def _text_receive(data: bytes, typmod: int, ctx: EvalContext) -> str:
    return decode_text(data)


def _itself(value: str) -> str:
    return value


def _aclitem_in(text: str, typmod: int, ctx: EvalContext) -> str:
    def role_exists(name: str) -> bool:
        return ctx.catalog.find_oid("role", (name,)) is not None

    owner = ctx.catalog.find_name("role", 10)
    return read_aclitem(text, role_exists, "" if owner is None else owner[1])


def _text_like(name: str) -> SqlType:
    return sql_type(
        name,
        input=_aclitem_in if name == "aclitem" else _text_in,
        output=context_free(_itself),
        plain_output=_itself,
        receive=_text_receive,
        plain_send=str.encode,
        shape="t",
        ordered=False,
        hashable=False,
    )


# ------------------------------------------------------------ records


def record_text(values: tuple[Any, ...], texts: list[str | None]) -> str:
    """A row in parentheses: NULL as nothing, texts with special characters quoted."""
    return "(" + ",".join("" if text is None else _field(text) for text in texts) + ")"


def _field(text: str) -> str:
    special = not text or any(char in '(),"\\' or char.isspace() for char in text)
    return '"' + text.replace("\\", "\\\\").replace('"', '""') + '"' if special else text


# ------------------------------------------------------------ vectors


def _vector(name: str, element_oid: int, low: int, high: int, size: int) -> SqlType:
    element = "oid" if low == 0 else "smallint"

    def read(text: str, typmod: int, ctx: EvalContext) -> Array:
        values = [parse_integer(part, element, low, high) for part in text.split()]
        return Array(tuple(values), (len(values),), (0,))

    def show(value: Array) -> str:
        return " ".join(map(str, value.elements))

    def send(value: Array) -> bytes:
        items: list[bytes | None] = [
            item.to_bytes(size, "big", signed=low < 0) for item in value.elements
        ]
        return encode_array(value, items, element_oid)

    def unpack(data: bytes) -> Array:
        items, shape, _ = decode_array(data)
        values = tuple(
            None if item is None else int.from_bytes(item, "big", signed=low < 0) for item in items
        )
        return Array(values, shape.dimensions, shape.lower_bounds)

    def receive(data: bytes, typmod: int, ctx: EvalContext) -> Array:
        items, shape, _ = decode_array(data)
        if len(shape.dimensions) > 1 or any(item is None or len(item) != size for item in items):
            raise SqlError("22P03", f"invalid {name} data")
        return unpack(data)

    return sql_type(
        name,
        input=read,
        output=context_free(show),
        plain_output=show,
        receive=receive,
        plain_send=send,
        pack=send,
        unpack=unpack,
        native=False,
        sort_key=lambda value: value.elements,
    )


def _have(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name in type_facts())


types: Final = (
    *map(_pseudo, _have(_POLYMORPHIC)),
    *(
        sql_type(
            name,
            input=_void_in,
            output=context_free(_nothing),
            plain_output=_nothing,
            plain_send=_no_bytes,
            shape="t",
            ordered=False,
            hashable=False,
        )
        for name in _VOID_LIKE
    ),
    *map(_text_like, _have(_TEXT_LIKE)),
    _vector("oidvector", 26, 0, 4294967295, 4),
    _vector("int2vector", 21, -32768, 32767, 2),
)
