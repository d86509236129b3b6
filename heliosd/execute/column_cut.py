"""Packed leaves -> Arrow columns, a page group (about 16,000 rows) at a time.

Numbers are taken where they lie in the records; texts are pieces of the joined heaps; a numeric,
which rests as its text, is read by Arrow. `Cutting.cut` runs in a thread: it sees bytes only.
Whatever is special (a value out of line, leaves of an older layout, a NaN) raises `NotPlain`: that
group is read by rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from helios_storage.layout import LARGE, Layout
from heliosd.functions import column_forms as forms

if TYPE_CHECKING:
    from helios_storage.page import Leaf
    from heliosd.execute.column_plan import TableColumn

_NUMPY: Final = {"?": "?", "h": "<i2", "i": "<i4", "q": "<i8", "f": "<f4", "d": "<f8", "u": "V16"}
_MASKS: Final = {"B": "u1", "H": "<u2", "I": "<u4", "Q": "<u8"}
DECIMAL64_DIGITS: Final = 18
SAMPLE_ROWS: Final = 1000
WORDS_MAX: Final = 100
"""Different texts in a group that is kept as a dictionary (its indexes are bytes)."""


class NotPlain(Exception):  # not a failure: rows are read instead
    """A group holds something that is not cut by columns."""


@dataclass(frozen=True, slots=True)
class PackedGroup:
    """The bytes of a group's leaves, copied together: they may be compacted meanwhile."""

    layout: Layout
    records: bytes
    heap: bytes
    heap_sizes: Sequence[int]
    counts: Sequence[int]
    has_nulls: bool


def pack_group(leaves: Sequence[Leaf], layout: Layout, *, heap: bool) -> PackedGroup:
    """Leaves as one piece of memory. Raises `NotPlain`."""
    for leaf in leaves:
        if leaf.layout is not layout or (heap and leaf.large):
            raise NotPlain
    return PackedGroup(
        layout,
        b"".join([leaf.records for leaf in leaves]),
        b"".join([leaf.heap for leaf in leaves]) if heap else b"",
        [len(leaf.heap) for leaf in leaves] if heap else (),
        [len(leaf.writers) for leaf in leaves],
        any(leaf.has_nulls for leaf in leaves),
    )


def arrow_type(column: TableColumn) -> Any:
    """How a column's values lie in Arrow."""
    import pyarrow as pa

    kind = column.type
    if kind == forms.NUMERIC:
        if column.precision <= DECIMAL64_DIGITS:
            return pa.decimal64(column.precision, column.scale)
        return pa.decimal128(column.precision, column.scale)
    return {
        "BOOLEAN": pa.bool_(),
        "SMALLINT": pa.int16(),
        "INTEGER": pa.int32(),
        "BIGINT": pa.int64(),
        "DOUBLE": pa.float64(),
        "VARCHAR": pa.string(),
    }[forms.SQL_TYPES[kind]]


def cut(group: PackedGroup, columns: Sequence[TableColumn]) -> list[Any]:
    """The columns of a group as Arrow arrays. Raises `NotPlain`."""
    import numpy as np

    records = np.frombuffer(group.records, dtype=_record_dtype(group.layout))
    base = None
    if group.heap_sizes:
        sizes = np.array(group.heap_sizes, dtype="<i8")
        base = np.repeat(np.cumsum(sizes) - sizes, group.counts)
    return [_column(group, records, base, column) for column in columns]


def _column(group: PackedGroup, records: Any, base: Any, column: TableColumn) -> Any:
    import numpy as np
    import pyarrow as pa

    nulls = None
    if group.has_nulls:
        word = records[f"m{column.slot >> 6}"]
        nulls = (word >> word.dtype.type(column.slot & 63)) & word.dtype.type(1) != 0
        if not nulls.any():
            nulls = None
    if group.layout.shapes[column.slot] in "tb":
        text = _texts(records, column.slot, group.heap, base, nulls)
        return as_words(text) if column.type != forms.NUMERIC else _decimals(text, column)
    values = np.ascontiguousarray(records[f"c{column.slot}"])
    return pa.array(values, mask=nulls)


def as_words(texts: Any) -> Any:
    """Texts of few different values as a dictionary: comparing and grouping then cost half."""
    import pyarrow as pa

    if len(texts.slice(0, SAMPLE_ROWS).unique()) > WORDS_MAX // 2:
        return texts
    encoded = texts.dictionary_encode()
    if len(encoded.dictionary) > WORDS_MAX:
        return texts
    return pa.DictionaryArray.from_arrays(encoded.indices.cast(pa.int8()), encoded.dictionary)


def _decimals(texts: Any, column: TableColumn) -> Any:
    import pyarrow as pa

    try:
        wide = texts.cast(pa.decimal128(column.precision, column.scale))
        return wide.cast(arrow_type(column))
    except pa.ArrowInvalid:  # NaN
        raise NotPlain from None


def _texts(records: Any, slot: int, heap: bytes, base: Any, nulls: Any) -> Any:
    """A text column as pieces of the joined heaps."""
    import numpy as np
    import pyarrow as pa

    sizes = records[f"n{slot}"].astype("<i4")
    if (sizes == LARGE).any():
        raise NotPlain
    if nulls is not None:
        sizes[nulls] = 0
    starts = (records[f"o{slot}"] + base).astype("<i4")
    count = len(starts)
    if not count:
        return pa.array([], pa.string())
    ends = starts + sizes
    empty = sizes == 0
    if empty.any():
        # A piece without bytes may lie anywhere: right after the ones before it.
        reached = np.maximum.accumulate(np.where(empty, 0, ends))
        starts = np.where(empty, reached, starts).astype("<i4")
        ends = starts + sizes
    if (starts[1:] < ends[:-1]).any():
        order = np.argsort(starts, kind="stable")
        place = np.empty(count, dtype="<i4")
        place[order] = np.arange(count, dtype="<i4")
        starts, ends = starts[order], ends[order]
        if (starts[1:] < ends[:-1]).any():
            raise NotPlain
    else:
        place = np.arange(count, dtype="<i4")
    # Each text, then the gap up to the next one.
    cuts = np.empty(2 * count, dtype="<i4")
    cuts[0::2], cuts[1::2] = starts, ends
    pieces = pa.StringArray.from_buffers(2 * count - 1, pa.py_buffer(cuts), pa.py_buffer(heap))
    return pieces.take(pa.array(2 * place, mask=nulls))


def from_rows(rows: Sequence[tuple[Any, ...]], columns: Sequence[TableColumn]) -> list[Any]:
    """Rows in storage's shape, one value per column, as Arrow arrays. Raises `NotPlain`."""
    import pyarrow as pa

    parts = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    arrays = []
    for values, column in zip(parts, columns, strict=True):
        if column.type == forms.NUMERIC:
            texts = [None if v is None else str(v, "ascii") for v in values]
            arrays.append(_decimals(pa.array(texts, pa.string()), column))
        else:
            array = pa.array(values, arrow_type(column))
            arrays.append(as_words(array) if pa.types.is_string(array.type) else array)
    return arrays


@lru_cache(maxsize=512)
def _record_dtype(layout: Layout) -> Any:
    """The records of a layout as numpy sees them: masks m0.., values c0.., places o0.. n0.."""
    import numpy as np

    names, formats, offsets = [], [], []
    at = 0
    for word, code in enumerate(layout.mask_codes):
        names.append(f"m{word}")
        formats.append(_MASKS[code])
        offsets.append(at)
        at += np.dtype(_MASKS[code]).itemsize
    for place, (shape, offset) in enumerate(zip(layout.shapes, layout.offsets, strict=True)):
        if shape in "tb":
            names += [f"o{place}", f"n{place}"]
            formats += ["<u2", "<u2"]
            offsets += [offset, offset + 2]
        else:
            names.append(f"c{place}")
            formats.append(_NUMPY[shape])
            offsets.append(offset)
    return np.dtype(
        {"names": names, "formats": formats, "offsets": offsets, "itemsize": layout.size}
    )
