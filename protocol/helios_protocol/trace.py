"""Any message as one readable line: `F Query 19 text="select 1"`.

Values (parameters, rows, COPY data) show their sizes only, unless `values` asks for them;
passwords, proofs and cancel keys show their sizes always. Texts are escaped, so a line stays a
line whatever the peer sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields as dataclass_fields
from typing import Final

from helios_protocol import messages as m
from helios_protocol.connection import FrameCutter
from helios_protocol.decode import decode_backend, decode_frontend
from helios_protocol.encode import encode
from helios_protocol.fields import Fields, WireError

_SECRET: Final = frozenset({"password", "secret", "token", "response", "salt"})
_VALUES: Final = frozenset({"data", "parameters", "values", "arguments", "value"})
_SHOWN_MAX: Final = 200


def trace(message: m.Message, *, frontend: bool, values: bool = False) -> str:
    """One line: side (F or B), the message's name, its frame's bytes, its fields."""
    size = 0 if isinstance(message, m.DirectTLS) else len(encode(message))
    parts = ["F" if frontend else "B", type(message).__name__, str(size)]
    for field in dataclass_fields(message):
        value = getattr(message, field.name)
        if isinstance(value, Fields):
            parts.extend(_error_fields(value))
        elif field.name in _SECRET or (field.name in _VALUES and not values):
            parts.append(f"{field.name}={_sizes(value)}")
        else:
            parts.append(f"{field.name}={_show(value)}")
    return " ".join(parts)


def trace_stream(data: bytes, *, frontend: bool, values: bool = False) -> Iterator[str]:
    """The lines of a recorded stream of typed frames; the first bad frame ends it."""
    decode = decode_frontend if frontend else decode_backend
    try:
        for code, body in FrameCutter().cut(data):
            yield trace(decode(code, body), frontend=frontend, values=values)
    except WireError as error:
        yield f"{'F' if frontend else 'B'} ! {error.sqlstate} {_show(error.message)}"


def _error_fields(fields: Fields) -> Iterator[str]:
    for field in dataclass_fields(fields):
        value = getattr(fields, field.name)
        if value:
            yield f"{field.name}={_show(value)}"


def _show(value: object) -> str:
    if isinstance(value, str):
        shown = json.dumps(value[:_SHOWN_MAX])
        return shown if len(value) <= _SHOWN_MAX else f"{shown}...({len(value)})"
    if isinstance(value, bytes):
        shown = json.dumps(value[:_SHOWN_MAX].decode("latin-1"))
        return shown if len(value) <= _SHOWN_MAX else f"{shown}...({len(value)} B)"
    if value is None:
        return "NULL"
    if isinstance(value, m.ColumnDescription):
        return f"{_show(value.name)}:{value.type_oid}/{value.format}"
    if isinstance(value, tuple):
        return "[" + " ".join(map(_show, value)) + "]"
    if hasattr(value, "items"):
        return "{" + " ".join(f"{_show(k)}={_show(v)}" for k, v in value.items()) + "}"
    return str(value)


def _sizes(value: object) -> str:
    """Sizes in place of contents."""
    if value is None:
        return "NULL"
    if isinstance(value, (bytes, str)):
        return f"<{len(value)} B>"
    if isinstance(value, tuple):
        return "[" + " ".join(map(_sizes, value)) + "]"
    return _show(value)
