"""Multiranges: ordered ranges of one type with gaps between them.

A value is a `Multirange`, a tuple of `Range`s that are not empty, in order, and neither overlap
nor touch. At rest and on the wire: 4 bytes of count, then per range 4 bytes of length and the
range's bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms
from heliosd.types.facts import type_facts
from heliosd.types.failures import TrailingBytesError
from heliosd.types.range import (
    BUILT_IN,
    Range,
    RangeOps,
    RangeType,
    decode_range,
    encode_range,
    range_key,
)
from heliosd.types.registry import KeyKind, SqlType
from heliosd.types.rest import rest_forms

forms: Final = Forms()
types: Final[tuple[SqlType, ...]] = ()

_COUNT: Final = struct.Struct(">i")
_SPACES: Final = " \t\n\v\f\r"


class Multirange(tuple[Range, ...]):
    """See the module; `multirange_of` makes one of any ranges."""

    __slots__ = ()


EMPTY_MULTIRANGE: Final = Multirange()


def multirange_of(ops: RangeOps, ranges: Iterable[Range]) -> Multirange:
    """Any ranges as a multirange."""
    return Multirange(ops.normalized(ranges))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MultirangeType(SqlType):
    """A multirange type; `ops` are its range type's."""

    ops: RangeOps = field(kw_only=True)


# ------------------------------------------------------------ text


def _malformed(text: str, detail: str) -> SqlError:
    return SqlError("22P02", f'malformed multirange literal: "{text}"', detail=detail)


def read_ranges(text: str) -> Iterator[str]:
    """The texts of `{[1,2),[3,4)}`'s ranges, empty ones left out. 22P02."""
    at = len(text) - len(text.lstrip(_SPACES))
    if text[at : at + 1] != "{":
        raise _malformed(text, "Missing left brace.")
    at = _skip(text, at + 1)
    seen = False
    while True:
        char = text[at]
        if char in "[(":
            end = _range_end(text, at)
            yield text[at:end]
        elif char == "}" and not seen:
            break
        elif text[at : at + 5].lower() == "empty":
            end = at + 5
        else:
            raise _malformed(text, "Expected range start.")
        seen = True
        at = _skip(text, end)
        if text[at] == "}":
            break
        if text[at] != ",":
            raise _malformed(text, "Expected comma or end of multirange.")
        at = _skip(text, at + 1)
    if text[at + 1 :].strip(_SPACES):
        raise _malformed(text, "Junk after closing right brace.")


def _skip(text: str, at: int) -> int:
    """The next place that is no space; 22P02 at the end."""
    while at < len(text) and text[at] in _SPACES:
        at += 1
    if at >= len(text):
        raise _malformed(text, "Unexpected end of input.")
    return at


def _range_end(text: str, at: int) -> int:
    """One past the bracket that closes the range beginning at `at`."""
    quoted = False
    at += 1
    while at < len(text):
        char = text[at]
        at += 1
        if char == "\\":
            at += 1
        elif char == '"':
            quoted = not quoted
        elif not quoted and char in "])":
            return at
    raise _malformed(text, "Unexpected end of input.")


# ------------------------------------------------------------ binary


def _encode(value: Multirange, send: Callable[[Range], bytes]) -> bytes:
    parts = [_COUNT.pack(len(value))]
    for each in value:
        data = send(each)
        parts += (_COUNT.pack(len(data)), data)
    return b"".join(parts)


def _decode(data: bytes, receive: Callable[[bytes], Range]) -> list[Range]:
    if len(data) < 4:
        raise SqlError("08P01", "insufficient data left in message")
    (count,) = _COUNT.unpack_from(data)
    at = 4
    found: list[Range] = []
    for _ in range(count):
        if at + 4 > len(data):
            raise SqlError("08P01", "insufficient data left in message")
        (size,) = _COUNT.unpack_from(data, at)
        at += 4
        if size < 0 or at + size > len(data):
            raise SqlError("08P01", "insufficient data left in message")
        found.append(receive(data[at : at + size]))
        at += size
    if at < len(data):
        raise TrailingBytesError(f"{len(data)} bytes instead of {at}")
    return found


# ------------------------------------------------------------ the types


def make_multirange_type(kind: RangeType, **facts: Any) -> MultirangeType:
    """The multirange type over a range type."""
    ops = kind.ops
    to_bytes, from_bytes = rest_forms(ops.subtype)

    def read(text: str, typmod: int, ctx: EvalContext) -> Multirange:
        return multirange_of(ops, [kind.input(each, typmod, ctx) for each in read_ranges(text)])

    def show(value: Multirange, ctx: EvalContext) -> str:
        return "{" + ",".join(kind.output(each, ctx) for each in value) + "}"

    def receive(data: bytes, typmod: int, ctx: EvalContext) -> Multirange:
        accept = kind.receive
        assert accept is not None
        return multirange_of(ops, _decode(data, lambda item: accept(item, typmod, ctx)))

    def send(value: Multirange, ctx: EvalContext) -> bytes:
        give = kind.send
        assert give is not None
        return _encode(value, lambda each: give(each, ctx))

    def pack(value: Multirange) -> bytes:
        return _encode(value, lambda each: encode_range(each, to_bytes))

    def unpack_range(data: bytes) -> Range:
        bounds = decode_range(data, from_bytes)
        assert bounds is not None
        return Range(*bounds)

    def sort_key(value: Multirange) -> tuple[Any, ...]:
        return tuple(map(ops.sort_key, value))

    keyed = kind.key is not None
    key = range_key(ops) if keyed else None

    def key_value(value: Multirange) -> bytes:
        assert key is not None
        return b"".join(map(key, value))

    return MultirangeType(
        input=read,
        output=show,
        receive=receive,
        send=send,
        category="R",
        kind="m",
        pack=pack,
        unpack=lambda data: Multirange(_decode(data, unpack_range)),
        key=KeyKind.BYTES if keyed else None,
        key_value=key_value if keyed else None,
        native=False,
        sort_key=sort_key,
        io_names=("multirange_in", "multirange_out", "multirange_recv", "multirange_send"),
        storage="x",
        base=kind,
        ops=ops,
        **facts,
    )


def multirange_types(ranges: Iterable[RangeType]) -> Iterator[MultirangeType]:
    """PostgreSQL's own multirange types over the range types given."""
    facts = type_facts()
    for kind in ranges:
        fact = facts[BUILT_IN[kind.name][1]]
        yield make_multirange_type(
            kind, name=fact.name, oid=fact.oid, array_oid=fact.array_oid, align=fact.align
        )
