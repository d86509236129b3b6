"""Objects to bytes and back: how the catalog rests in its tree.

An object is a JSON object of the fields that differ from their defaults, by name, so that a field
added later reads old rows as its default. A value that JSON lacks is `{"$": [tag, text]}`.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any, Final

from heliosd.catalog.objects import (
    BuiltInAcl,
    CatalogObject,
    Database,
    DefaultPrivileges,
    MaterializedView,
    Role,
    Routine,
    Schema,
    Sequence,
    Statistics,
    Table,
    TypeObject,
    View,
)
from heliosd.errors import SqlError

KINDS: Final[Mapping[str, type[CatalogObject]]] = types.MappingProxyType(
    {
        "database": Database,
        "role": Role,
        "schema": Schema,
        "table": Table,
        "materialized_view": MaterializedView,
        "view": View,
        "sequence": Sequence,
        "type": TypeObject,
        "routine": Routine,
        "statistics": Statistics,
        "default_privileges": DefaultPrivileges,
        "built_in_acl": BuiltInAcl,
    }
)
_KIND_OF: Final = {cls: kind for kind, cls in KINDS.items()}
_NOT_STORED: Final = frozenset({"version"})

Decoder = Callable[[Any], Any]


def encode_object(obj: CatalogObject) -> tuple[str, bytes]:
    """(kind, bytes) of an object."""
    text = json.dumps(_encode_fields(obj), separators=(",", ":"), ensure_ascii=False)
    return _KIND_OF[type(obj)], text.encode()


def decode_object(kind: str, data: bytes, version: int) -> CatalogObject:
    """The object again, with a version of this process; XX001 for what is no catalog row."""
    cls = KINDS.get(kind)
    if cls is None:
        raise SqlError("XX001", f'unknown kind of catalog object "{kind}"')
    try:
        fields = _decode_fields(cls, json.loads(data))
        return cls(version=version, **fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SqlError("XX001", f"catalog row of a {kind} cannot be read") from error


def _encode_fields(value: Any) -> dict[str, Any]:
    encoded: dict[str, Any] = {}
    cls: type = type(value)
    for name, default in _fields(cls):
        content = getattr(value, name)
        if content != default or default is dataclasses.MISSING:
            encoded[name] = _encode(content)
    return encoded


@cache
def _fields(cls: type) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (field.name, field.default)
        for field in dataclasses.fields(cls)
        if field.name not in _NOT_STORED
    )


def _encode(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, tuple):
        return [_encode(each) for each in value]
    if isinstance(value, float):
        return {"$": ["f", value.hex()]}
    if isinstance(value, bytes):
        return {"$": ["b", value.hex()]}
    if isinstance(value, Decimal):
        return {"$": ["d", str(value)]}
    if dataclasses.is_dataclass(value):
        return _encode_fields(value)
    raise TypeError(f"a catalog object cannot hold {type(value).__name__}")


def _untag(value: Any) -> Any:
    """A value whose field says nothing about its type (statistics)."""
    if isinstance(value, list):
        return tuple(_untag(each) for each in value)
    if isinstance(value, dict):
        tag, text = value["$"]
        if tag == "f":
            return float.fromhex(text)
        return bytes.fromhex(text) if tag == "b" else Decimal(text)
    return value


@cache
def _decoders(cls: type) -> Mapping[str, Decoder | None]:
    hints = typing.get_type_hints(cls)
    return {name: _decoder(hints[name]) for name, _default in _fields(cls)}


def _decode_fields(cls: type, encoded: Mapping[str, Any]) -> dict[str, Any]:
    decoders = _decoders(cls)
    fields: dict[str, Any] = {}
    for name, value in encoded.items():
        decoder = decoders[name]
        fields[name] = value if decoder is None else decoder(value)
    return fields


def _decoder(hint: Any) -> Decoder | None:
    """How a field of this annotated type is read; None: as JSON has it."""
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _optional(_decoder(next(x for x in arguments if x is not type(None))))
    if origin is tuple:
        return _sequence(_decoder(arguments[0]) if arguments[1:] == (...,) else None)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _nested(hint)
    if hint is Any or hint is float:
        return _untag
    return None


def _optional(inner: Decoder | None) -> Decoder | None:
    if inner is None:
        return None

    def read(value: Any) -> Any:
        return None if value is None else inner(value)

    return read


def _nested(cls: type) -> Decoder:
    def read(value: Any) -> Any:
        return cls(**_decode_fields(cls, value))

    return read


def _sequence(inner: Decoder | None) -> Decoder:
    """Tuples of any length; those of fixed shape hold only what JSON has (strings, numbers)."""

    def read(values: Any) -> Any:
        if inner is None:
            return tuple(tuple(x) if isinstance(x, list) else x for x in values)
        return tuple(inner(value) for value in values)

    return read
