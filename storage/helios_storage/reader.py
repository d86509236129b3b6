"""Readers: generated code that takes a projection of rows out of packed leaves.

A scan of fixed columns without NULLs is one `struct.iter_unpack`; texts are cut from the heap
decoded once when it is ASCII. A leaf older than its newest columns is read in full and padded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeAlias

from helios_storage.large import read_large
from helios_storage.layout import LARGE, Layout, compile_code, layout_of
from helios_storage.page import Leaf, PageSource
from helios_storage.spec import Row, TreeSpec

_PADS = {"?": 1, "h": 2, "i": 4, "q": 8, "f": 4, "d": 8, "t": 4, "b": 4, "u": 16}


ReadRow: TypeAlias = Callable[[Leaf, int, PageSource], Row]
ReadRows: TypeAlias = Callable[[Leaf, int, int, PageSource], list[Row]]


class Reader:
    """One projection of one layout. `columns` None: all, in order.

    `row(leaf, at, pages)` is one row, `rows(leaf, low, high, pages)` a list of them; the leaf must
    have `layout`. `project` makes the projection out of a whole row.
    """

    __slots__ = ("columns", "is_whole", "layout", "project", "row", "rows")

    row: ReadRow
    rows: ReadRows

    def __init__(self, layout: Layout, columns: tuple[int, ...] | None) -> None:
        self.layout = layout
        every = tuple(range(len(layout.shapes)))
        self.columns = every if columns is None else columns
        self.is_whole = self.columns == every
        self.project = _projector(self.columns)
        self.row, self.rows = _compile_reader(layout, self.columns)

    def read(self, leaf: Leaf, at: int, spec: TreeSpec, pages: PageSource) -> Row:
        """Row `at` of any leaf of the tree, open or packed, of this layout or an older one."""
        rows = leaf.rows
        if rows is not None:
            row = rows[at]
            if leaf.layout is not self.layout:
                row = _padded(row, spec)
            return row if self.is_whole else self.project(row)
        if leaf.layout is self.layout:
            return self.row(leaf, at, pages)
        whole = reader_of(leaf.layout.shapes, None).row(leaf, at, pages)
        return self.project(_padded(whole, spec))

    def read_range(
        self, leaf: Leaf, low: int, high: int, spec: TreeSpec, pages: PageSource
    ) -> list[Row]:
        """Rows low..high of any leaf of the tree."""
        rows = leaf.rows
        if rows is not None:
            rows = rows[low:high]
            if leaf.layout is not self.layout:
                # Opened before the tree was widened.
                rows = [_padded(row, spec) for row in rows]
            return rows if self.is_whole else list(map(self.project, rows))
        if leaf.layout is self.layout:
            return self.rows(leaf, low, high, pages)
        whole = reader_of(leaf.layout.shapes, None).rows(leaf, low, high, pages)
        return [self.project(_padded(row, spec)) for row in whole]


@lru_cache(maxsize=8192)
def reader_of(shapes: str, columns: tuple[int, ...] | None) -> Reader:
    """The reader of these columns of rows of these shapes; compiled once (~200 us)."""
    layout = layout_of(shapes)
    reader = Reader(layout, columns)
    if columns is None:
        layout.whole = reader
    return reader


def read_whole(leaf: Leaf, at: int, spec: TreeSpec, pages: PageSource) -> Row:
    """Row `at` of a leaf with all columns of its tree."""
    layout = leaf.layout
    whole = layout.whole
    if whole is None or leaf.rows is not None or layout.shapes != spec.shapes:
        return reader_of(spec.shapes, None).read(leaf, at, spec, pages)
    return whole.row(leaf, at, pages)  # type: ignore[no-any-return]


def read_rows(leaf: Leaf, spec: TreeSpec, pages: PageSource) -> list[Row]:
    """All rows of a leaf, whole and padded to the tree's columns."""
    reader = reader_of(spec.shapes, None)
    return reader.read_range(leaf, 0, len(leaf.writers), spec, pages)


def _padded(row: Row, spec: TreeSpec) -> Row:
    missing = spec.missing or (None,) * len(spec.shapes)
    return row + missing[len(row) :] if len(row) < len(spec.shapes) else row


def _projector(columns: tuple[int, ...]) -> Callable[[Row], Row]:
    if len(columns) > 1:
        return itemgetter(*columns)
    if columns:
        only = columns[0]
        return lambda row: (row[only],)
    return lambda row: ()


def _unpack_format(layout: Layout, wanted: set[int], *, with_mask: bool) -> tuple[str, list[str]]:
    """struct format that skips what is not wanted, and the names of its fields."""
    words = len(layout.mask_codes)
    parts, names = ["<"], []
    if with_mask:
        parts.append(layout.mask_codes)
        names += [f"m{word}" for word in range(words)]
    else:
        parts.append(f"{layout.mask_size}x")
    for i, shape in enumerate(layout.shapes):
        if i not in wanted:
            parts.append(f"{_PADS[shape]}x")
        elif shape in "tb":
            parts.append("HH")
            names += [f"o{i}", f"n{i}"]
        else:
            parts.append("16s" if shape == "u" else shape)
            names.append(f"c{i}")
    return "".join(parts), names


def _tuple_text(layout: Layout, columns: Sequence[int], *, nulls: bool, text: str) -> str:
    """The expression of a row tuple; `text` is how a text is made of its place in the heap."""
    parts = []
    for i in columns:
        shape = layout.shapes[i]
        place = f"o{i}:o{i} + n{i}"
        value = {"t": text.format(place), "b": f"heap[{place}]"}.get(shape, f"c{i}")
        if nulls:
            value = f"None if m{i >> 6} & {1 << (i & 63)} else {value}"
        parts.append(f"{value},")
    return f"({' '.join(parts)})"


def _compile_reader(
    layout: Layout, columns: tuple[int, ...]
) -> tuple[
    Callable[[Leaf, int, PageSource], Row], Callable[[Leaf, int, int, PageSource], list[Row]]
]:
    if not columns:
        return (lambda leaf, at, pages: ()), (lambda leaf, low, high, pages: [()] * (high - low))
    wanted = set(columns)
    size = layout.size
    has_text = any(layout.shapes[i] == "t" for i in columns)
    has_heap = any(layout.shapes[i] in "tb" for i in columns)
    masked_format, masked = _unpack_format(layout, wanted, with_mask=True)
    plain_format, plain = _unpack_format(layout, wanted, with_mask=False)
    decode = "heap[{}].decode()"

    def shape_row(*, nulls: bool, text: str) -> str:
        return _tuple_text(layout, columns, nulls=nulls, text=text)

    lines = ["def row(leaf, at, pages):"]
    add = lines.append
    if has_heap:
        add("    if leaf.large is not None: return slow_row(leaf, at, pages)")
        add("    heap = leaf.heap")
    add("    if leaf.has_nulls:")
    add(f"        {', '.join(masked)}, = masked_from(leaf.records, at * {size})")
    add(f"        return {shape_row(nulls=True, text=decode)}")
    if list(columns) == sorted(wanted) and not has_heap:
        add(f"    return plain_from(leaf.records, at * {size})")
    else:
        add(f"    {', '.join(plain)}, = plain_from(leaf.records, at * {size})")
        add(f"    return {shape_row(nulls=False, text=decode)}")
    add("def rows(leaf, low, high, pages):")
    if has_heap:
        add("    if leaf.large is not None: return slow_rows(leaf, low, high, pages)")
        add("    heap = leaf.heap")
    add("    records = leaf.records")
    add(f"    if low or high * {size} != len(records):")
    add(f"        records = records[low * {size}:high * {size}]")
    lines += _rows_lines(
        masked, "masked_all", lambda text: shape_row(nulls=True, text=text), has_text
    )
    if list(columns) == sorted(wanted) and not has_heap:
        add("    return list(plain_all(records))")
    else:
        for line in _rows_lines(
            plain, "plain_all", lambda text: shape_row(nulls=False, text=text), has_text
        )[1:]:
            add(line[4:])
    names = {
        "masked_from": struct.Struct(masked_format).unpack_from,
        "masked_all": struct.Struct(masked_format).iter_unpack,
        "plain_from": struct.Struct(plain_format).unpack_from,
        "plain_all": struct.Struct(plain_format).iter_unpack,
        "slow_row": lambda leaf, at, pages: _slow_rows(layout, columns, leaf, at, at + 1, pages)[0],
        "slow_rows": lambda leaf, low, high, pages: _slow_rows(
            layout, columns, leaf, low, high, pages
        ),
    }
    label = f"read {layout.shapes} {','.join(map(str, columns))}"
    compiled = compile_code("\n".join(lines) + "\n", label, names)
    return compiled["row"], compiled["rows"]


def _rows_lines(
    fields: list[str],
    unpack: str,
    row_text: Callable[[str], str],
    has_text: bool,  # noqa: FBT001
) -> list[str]:
    """The lines that read many rows, under `if leaf.has_nulls:`."""
    lines = ["    if leaf.has_nulls:"]
    loop = f"for {', '.join(fields)}, in {unpack}(records)]"
    if has_text:
        lines.append("        if heap.isascii():")
        lines.append("            text = heap.decode('ascii')")
        lines.append(f"            return [{row_text('text[{}]')} {loop}")
    lines.append(f"        return [{row_text('heap[{}].decode()')} {loop}")
    return lines


def _slow_rows(
    layout: Layout, columns: Sequence[int], leaf: Leaf, low: int, high: int, pages: PageSource
) -> list[Row]:
    """Rows of a leaf with large values: column by column, reading those that are wanted.

    All bytes of the rows are taken before the first page is read: a read may suspend, and the
    leaf may be changed meanwhile by the commit that owns it.
    """
    size = layout.size
    records = [layout.record.unpack_from(leaf.records, at * size) for at in range(low, high)]
    heap, large = leaf.heap, list(leaf.large or ())
    words = len(layout.mask_codes)
    places, at = [], words
    for shape in layout.shapes:
        places.append(at)
        at += 2 if shape in "tb" else 1
    rows = []
    for record in records:
        row: list[Any] = []
        for i in columns:
            shape, place = layout.shapes[i], places[i]
            value = record[place]
            if record[i >> 6] >> (i & 63) & 1:
                value = None
            elif shape in "tb":
                length = record[place + 1]
                if length == LARGE:
                    blob = read_large(large[value], pages)
                else:
                    blob = heap[value : value + length]
                value = blob.decode() if shape == "t" else blob
            row.append(value)
        rows.append(tuple(row))
    return rows
