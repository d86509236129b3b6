"""COPY TO by columns: packed leaves to lines and CopyData frames, without a row in between.

A group of leaves becomes Arrow columns (numbers where they lie, texts as places in the joined
heaps), those become texts, joined line by line, each behind its frame's head: all of it in C++
that releases the GIL, in a thread, while the last group is on its way to the client. A group that
holds anything special (a character to escape, a value out of line, an older layout) is refused
and goes by rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from helios_storage.layout import LARGE, Layout, layout_of

if TYPE_CHECKING:
    from helios_storage.page import Leaf
    from heliosd.catalog.objects import Column, Table
    from heliosd.execute.context import SessionServices
    from heliosd.execute.copy.options import CopyOptions
    from heliosd.execute.program import Row
    from heliosd.types.registry import SqlType

GROUP_ROWS: Final = 4096
GROUPS_AHEAD: Final = 2
_INTEGERS: Final = frozenset({20, 21, 23, 26})
_TEXTS: Final = frozenset({19, 25, 1042, 1043})
_BOOL, _BPCHAR, _DATE, _TIMESTAMP = 16, 1042, 1082, 1114
_NUMPY: Final = {"?": "?", "h": "<i2", "i": "<i4", "q": "<i8", "f": "<f4", "d": "<f8", "u": "V16"}
_DAYS_TO_2000: Final = 10_957
_US_TO_2000: Final = 946_684_800_000_000
# Dates and times that Arrow writes as PostgreSQL does: years 1 to 9999.
_DAYS: Final = (-730_119, 2_921_939)
_HEAD_BYTES: Final = 5  # CopyData: "d", then the length of itself and the data

Part: TypeAlias = "tuple[int, bytes] | list[Row]"
"""Rows of a group: their number and frames, or the rows themselves."""


@dataclass(frozen=True, slots=True)
class _Field:
    """One column: its place in the record, its type."""

    place: int
    oid: int
    shape: str
    length: int  # of char(n); 0: not padded


class LeafLines:
    """One table's leaves as parts of COPY's output."""

    def __init__(
        self,
        session: SessionServices,
        table: Table,
        columns: Sequence[Column],
        types: Sequence[SqlType],
        options: CopyOptions,
    ) -> None:
        self._session = session
        self._table = table
        self._unpackers = [
            kind.unpacker(column.typmod) for kind, column in zip(types, columns, strict=True)
        ]
        self._places = tuple(column.attnum - 1 for column in columns)
        fields = [
            _Field(
                column.attnum - 1,
                kind.oid,
                kind.shape,
                max(column.typmod - 4, 0) if kind.oid == _BPCHAR else 0,
            )
            for kind, column in zip(types, columns, strict=True)
        ]
        spec = session.context.snapshot.spec(table.tree_id)
        self._spec = spec
        self._format: Callable[[Sequence[Leaf]], bytes | None] = _formatter(
            layout_of(spec.shapes), fields, options
        )

    def parts(self, leaves: Iterator[Leaf]) -> Iterator[Part]:
        """Parts in the order of the leaves; while one is used, threads make the next two."""
        scheduler = self._session.context.transaction.manager.scheduler
        ahead: deque[tuple[list[Leaf], Callable[[], bytes | None]]] = deque()
        for group in _groups(leaves):
            ahead.append((group, scheduler.start_in_thread(self._format, group)))
            if len(ahead) > GROUPS_AHEAD:
                yield self._part(*ahead.popleft())
            self._session.context.check_slice()
        while ahead:
            yield self._part(*ahead.popleft())

    def _part(self, group: list[Leaf], started: Callable[[], bytes | None]) -> Part:
        data = started()
        if data is not None:
            return sum(len(leaf.writers) for leaf in group), data
        return self._rows(group)

    def _rows(self, group: list[Leaf]) -> list[Row]:
        context = self._session.context
        reader = context.snapshot.reader(self._table.tree_id, self._places)
        pages = context.transaction.pages
        rows: list[Row] = []
        for leaf in group:
            rows += reader.read_range(leaf, 0, len(leaf.writers), self._spec, pages)
        if any(self._unpackers):
            unpackers = self._unpackers
            rows = [
                tuple(
                    value if unpack is None or value is None else unpack(value)
                    for value, unpack in zip(row, unpackers, strict=True)
                )
                for row in rows
            ]
        return rows


def leaf_lines(
    session: SessionServices,
    table: Table,
    columns: Sequence[Column],
    types: Sequence[SqlType],
    options: CopyOptions,
) -> LeafLines | None:
    """Lines of a whole table by columns; None where types or options need the row path."""
    if options.binary or options.force_quote or options.encoding != "utf-8" or not columns:
        return None
    if table.row_security:
        return None
    if len(columns) == 1 and options.csv:
        return None  # a lone `\.` needs quotes
    if set(options.delimiter + options.null) & set("0123456789-: tf"):
        return None
    known = _INTEGERS | _TEXTS | {_BOOL}
    if session.settings.get("DateStyle").startswith("ISO"):
        known |= {_DATE, _TIMESTAMP}
    if any(kind.oid not in known for kind in types):
        return None
    return LeafLines(session, table, columns, types, options)


def _groups(leaves: Iterator[Leaf]) -> Iterator[list[Leaf]]:
    group: list[Leaf] = []
    count = 0
    for leaf in leaves:
        rows = len(leaf.writers)
        if not rows:
            continue
        group.append(leaf)
        count += rows
        if count >= GROUP_ROWS:
            yield group
            group, count = [], 0
    if group:
        yield group


class _NotPlain(Exception):
    """Something in the group needs a look at the value."""


def _formatter(
    layout: Layout, fields: Sequence[_Field], options: CopyOptions
) -> Callable[[Sequence[Leaf]], bytes | None]:
    """A function from leaves to framed lines, None when it cannot; it runs in a thread."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    dtype = _record_dtype(layout)
    null, delimiter = pa.scalar(options.null), pa.scalar(options.delimiter)
    specials = options.delimiter + "\n\r"
    specials += options.quote if options.csv else "\\\b\f\t\v"
    special_bytes = [character.encode() for character in set(specials)]
    csv = options.csv

    def one(field: _Field, records: Any, has_nulls: bool, heap: bytes, base: Any) -> Any:  # noqa: FBT001
        nulls = None
        if has_nulls:
            word = records[f"m{field.place >> 6}"]
            nulls = (word >> word.dtype.type(field.place & 63)) & word.dtype.type(1) != 0
            if not nulls.any():
                nulls = None
        if field.oid in _TEXTS:
            text = _texts(records, field, heap, base, nulls, csv=csv)
            if field.length:
                text = pc.utf8_rpad(text, width=field.length)
            if nulls is None:
                return text
            return pc.if_else(pa.array(nulls), null, text)
        values = np.ascontiguousarray(records[f"c{field.place}"])
        return _number_text(values, field.oid, nulls, null)

    def lines(leaves: Sequence[Leaf]) -> bytes | None:
        if any(leaf.layout is not layout or leaf.large for leaf in leaves):
            return None
        records = np.frombuffer(b"".join([leaf.records for leaf in leaves]), dtype=dtype)
        heap = b"".join([leaf.heap for leaf in leaves])
        if any(special in heap for special in special_bytes):
            return None
        sizes = np.array([len(leaf.heap) for leaf in leaves])
        counts = [len(leaf.writers) for leaf in leaves]
        base = np.repeat(np.cumsum(sizes) - sizes, counts)
        has_nulls = any(leaf.has_nulls for leaf in leaves)
        try:
            texts = [one(field, records, has_nulls, heap, base) for field in fields]
        except _NotPlain:
            return None
        joined = texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, delimiter)
        return _framed(joined, len(records))

    return lines


def _number_text(values: Any, oid: int, nulls: Any, null: Any) -> Any:
    """Whole numbers, booleans, dates and timestamps as PostgreSQL writes them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if oid == _BOOL:
        text = pc.if_else(pa.array(values, mask=nulls), "t", "f")
    elif oid in (_DATE, _TIMESTAMP):
        scale = 1 if oid == _DATE else 86_400_000_000
        checked = values if nulls is None else values[~nulls]
        if len(checked) and not (
            _DAYS[0] * scale <= checked.min() and checked.max() < _DAYS[1] * scale
        ):
            raise _NotPlain  # infinity, years before 1 or after 9999
        if oid == _DATE:
            text = pc.cast(pa.array(values + _DAYS_TO_2000, pa.date32(), mask=nulls), pa.string())
        else:
            moments = pa.array(values + _US_TO_2000, pa.timestamp("us"), mask=nulls)
            text = pc.replace_substring_regex(pc.cast(moments, pa.string()), r"\.?0+$", "")
    else:
        text = pc.cast(pa.array(values, mask=nulls), pa.string())
    return text if nulls is None else pc.fill_null(text, null)


def _texts(records: Any, field: _Field, heap: bytes, base: Any, nulls: Any, *, csv: bool) -> Any:
    """A text column as an Arrow array over the joined heaps; NULL is an empty text."""
    import numpy as np
    import pyarrow as pa

    sizes = records[f"n{field.place}"].astype("<i4")
    if (sizes == LARGE).any():
        raise _NotPlain
    if nulls is not None:
        sizes[nulls] = 0
    empty = sizes == 0
    if csv and not field.length and (empty if nulls is None else empty & ~nulls).any():
        raise _NotPlain  # an empty text is quoted, to be no NULL
    starts = records[f"o{field.place}"] + base
    count = len(records)
    if not empty.any() and (starts[1:] == starts[:-1] + sizes[:-1]).all():
        ends = np.append(starts, starts[-1] + sizes[-1]).astype("<i4")
        return pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(heap))
    # Cut the heap at all starts and ends; each text is then one piece of it.
    full = ~empty
    begins = starts[full]
    ends = begins + sizes[full]
    if not len(begins):
        return pa.repeat("", count)
    cuts = np.unique(np.concatenate((begins, ends)))
    at = np.searchsorted(cuts, begins)
    if not (cuts[at + 1] == ends).all():
        raise _NotPlain
    pieces = pa.StringArray.from_buffers(
        len(cuts) - 1, pa.py_buffer(cuts.astype("<i4")), pa.py_buffer(heap)
    )
    places = np.zeros(count, dtype="<i4")
    places[full] = at
    taken = pieces.take(pa.array(places, mask=empty))
    return taken.fill_null("")


def _framed(lines: Any, count: int) -> bytes:
    """Each line with its line break as a CopyData frame."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    sizes = pc.binary_length(lines).to_numpy(zero_copy_only=False)
    heads = np.empty((count, _HEAD_BYTES), dtype="u1")
    heads[:, 0] = ord("d")
    heads[:, 1:] = (sizes + 5).astype(">u4").view("u1").reshape(count, 4)
    ends = np.arange(0, _HEAD_BYTES * (count + 1), _HEAD_BYTES, dtype="<i4")
    head = pa.Array.from_buffers(
        pa.binary(), count, [None, pa.py_buffer(ends), pa.py_buffer(heads.tobytes())]
    )
    joined = pc.binary_join_element_wise(
        head, lines.cast(pa.binary()), pa.scalar(b"\n", pa.binary()), pa.scalar(b"", pa.binary())
    )
    _, offsets, data = joined.buffers()
    last = int(np.frombuffer(offsets, dtype="<i4")[count])
    return data.slice(0, last).to_pybytes()  # type: ignore[no-any-return]


def _record_dtype(layout: Layout) -> Any:
    import numpy as np

    names, formats, offsets = [], [], []
    at = 0
    masks = {"B": "u1", "H": "<u2", "I": "<u4", "Q": "<u8"}
    for word, code in enumerate(layout.mask_codes):
        names.append(f"m{word}")
        formats.append(masks[code])
        offsets.append(at)
        at += np.dtype(masks[code]).itemsize
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
