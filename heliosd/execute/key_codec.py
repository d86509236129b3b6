"""From SQL values to the keys of tables and indexes, and from predicates to ranges of keys.

Key columns of an index carry a NULL tag whatever the column says today (ALTER TABLE may change
that); those of a primary key never do. After the columns of an index entry comes the locator, the
table's key, except in a unique index whose values are all there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from helios_storage.keys import (
    Encoder,
    KeyColumn,
    after_prefix,
    compile_key_encoder,
    encode_int,
    encoder_of,
)
from heliosd.errors import not_supported

if TYPE_CHECKING:
    from heliosd.catalog.objects import Index, Table
    from heliosd.execute.expressions import Types
    from heliosd.types.array import Array
    from heliosd.types.registry import SqlType

Span: TypeAlias = tuple[bytes | None, bytes | None]
"""Keys from the first (inclusive) to the second (exclusive); None: no bound."""

_NOT_NULL_TAG = b"\x01"


@dataclass(frozen=True, slots=True)
class KeyCodec:
    """How an index (or a table clustered on bytes) spells its keys.

    `encode(values)` gives the key columns' bytes; `encoders` do one column each.
    """

    columns: tuple[KeyColumn, ...]
    encode: Callable[[Sequence[Any]], bytes]
    encoders: tuple[Encoder, ...]


def codec_for(table: Table, index: Index, types: Types, services: Any = None) -> KeyCodec:
    """The codec of one index of a table."""
    columns: list[KeyColumn] = []
    values: list[Callable[[Any], Any] | None] = []
    for key in index.keys:
        oid = key.type_oid if key.expression is not None else table.column(key.attnum).type_oid
        kind = types.type(oid)
        columns.append(
            key_column(
                kind,
                types,
                descending=key.descending,
                nulls_first=key.nulls_first,
                nullable=not index.primary,
            )
        )
        values.append(kind.key_value)
    spelled = tuple(columns)
    encode = compile_key_encoder(spelled)
    encoders = tuple(
        _with_value(encoder_of(column), value)
        for column, value in zip(spelled, values, strict=True)
    )
    if any(values):
        encode = _mapped(encode, tuple(values))
    return KeyCodec(spelled, encode, encoders)


def key_column(
    kind: SqlType, types: Types, *, descending: bool, nulls_first: bool, nullable: bool
) -> KeyColumn:
    """One column's spelling; 0A000 for types without an order."""
    if kind.key is None:
        raise not_supported(f"an index on type {kind.display}")
    element = None
    if kind.key.value == "array":
        inner = types.type(kind.element).key
        element = None if inner is None else inner.value
    return KeyColumn(
        kind.key.value,
        descending,
        nulls_first,
        nullable,
        element,  # type: ignore[arg-type]
    )


def _with_value(encode: Encoder, value: Callable[[Any], Any] | None) -> Encoder:
    if value is None:
        return encode
    return lambda v: encode(None if v is None else value(v))


def _mapped(
    encode: Callable[[Sequence[Any]], bytes], values: tuple[Callable[[Any], Any] | None, ...]
) -> Callable[[Sequence[Any]], bytes]:
    def encode_values(row: Sequence[Any]) -> bytes:
        return encode(
            [v if k is None or v is None else k(v) for k, v in zip(values, row, strict=True)]
        )

    return encode_values


def locator_codec(table: Table) -> Callable[[Any], bytes]:
    """How the table's key stands at the end of an index entry."""
    return same if table.key_kind == "bytes" else encode_int


def same(key: bytes) -> bytes:
    """A bytes key is its own locator."""
    return key


# Ranges ------------------------------------------------------------------------------------------


def spans_function(
    codec: KeyCodec, nulls: tuple[bool, ...], *, reverse: bool, skip_nulls: bool = False
) -> Callable[[Sequence[Iterable[Any]], Any, Any], list[Span]]:
    """`spans(points, low, high)`: the key ranges of an index scan, in scan order.

    `points` has the wanted values of each leading column (`nulls`: the column is wanted NULL);
    `low` and `high` are None or (value, inclusive) of the column after them; `skip_nulls` leaves
    out its NULLs where no bound does.
    """
    count = len(nulls)
    after = codec.columns[count] if count < len(codec.columns) else None

    def spans(points: Sequence[Iterable[Any]], low: Any, high: Any) -> list[Span]:
        if (low is not None and low[0] is None) or (high is not None and high[0] is None):
            return []
        parts: list[list[bytes]] = []
        for number, values in enumerate(points):
            encode = codec.encoders[number]
            wanted = {encode(v) for v in values if v is not None or nulls[number]}
            parts.append(list(wanted))
        found: list[Span] = []
        for combination in itertools.product(*parts):
            prefix = b"".join(combination)
            if after is None or (low is None and high is None and not skip_nulls):
                found.append((prefix, after_prefix(prefix)) if prefix else (None, None))
            else:
                found.append(_range(prefix, after, codec.encoders[count], low, high))
        if len(found) > 1:
            found.sort(key=lambda span: span[0] or b"", reverse=reverse)
        return found

    return spans


def _range(prefix: bytes, column: KeyColumn, encode: Encoder, low: Any, high: Any) -> Span:
    """The keys below `prefix` whose next column is between two values, NULL never."""
    if column.descending:
        low, high = high, low
    base = prefix + _NOT_NULL_TAG if column.nullable else prefix
    if low is None:
        start: bytes | None = base or None
    else:
        start = prefix + encode(low[0])
        if not low[1]:
            start = after_prefix(start)
            if start is None:
                # Nothing sorts after it: an empty range.
                return b"", b""
    if high is None:
        end = after_prefix(base) if base else None
    else:
        end = prefix + encode(high[0])
        if high[1]:
            end = after_prefix(end)
    return start, end


# Integer keys ------------------------------------------------------------------------------------


def ascending_keys(values: Iterable[Any]) -> list[Any]:
    """Each wanted integer key once, in order; NULL is no key."""
    return sorted({v for v in values if v is not None})


def descending_keys(values: Iterable[Any]) -> list[Any]:
    """As `ascending_keys`, from the highest."""
    return sorted({v for v in values if v is not None}, reverse=True)


def array_values(array: Array | None) -> Sequence[Any]:
    """The elements of the array in `= ANY(array)`; none for a NULL array."""
    return () if array is None else array.elements
