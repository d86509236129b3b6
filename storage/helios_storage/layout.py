"""How rows rest in a leaf: fixed records with a NULL mask, variable values in one heap.

A record is, little-endian and without padding:

    NULL mask     one bit per column, words of up to 64 columns; bit set: NULL
    column 0..n   `? h i q f d` as struct has them, `u` 16 bytes,
                  `t` and `b` as <HH: offset and length in the leaf's heap;
                  length 0xFFFF: the value rests out of line, offset = its index in `leaf.large`

The code that encodes and reads one layout is generated once and compiled: a loop over columns at
run time costs ten times as much. The generated text holds column numbers and nothing else.
"""

from __future__ import annotations

import linecache
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Protocol

from helios_storage.errors import RowTooBig
from helios_storage.spec import SHAPES, Row, TreeSpec

LARGE: Final = 0xFFFF
LARGE_REF_BYTES: Final = 32
INLINE_BYTES_MAX: Final = 2000
"""A row's variable values beyond this go out of line, largest first, as PostgreSQL's TOAST does."""
RECORD_BYTES_MAX: Final = 15_000

_CODES: Final = {"t": "HH", "b": "HH", "u": "16s"}
_SIZES: Final = {"?": 1, "h": 2, "i": 4, "q": 8, "f": 4, "d": 8, "t": 4, "b": 4, "u": 16}


class Leaf(Protocol):
    """What an encoder needs of a leaf (`page.Leaf`)."""

    records: bytearray
    heap: bytes
    garbage: int
    has_nulls: bool

    def add_large(self, data: bytes) -> int: ...

    def compact(self) -> None: ...


def _mask_codes(columns: int) -> str:
    """struct codes of the mask's words; never empty, so that a record has a size."""
    words, rest = divmod(columns, 64)
    last = "" if words and not rest else "BHIQ"[(rest > 8) + (rest > 16) + (rest > 32)]
    return "Q" * words + last


_PLACE: Final = struct.Struct("<HH")


def compile_code(source: str, name: str, names: dict[str, Any]) -> dict[str, Any]:
    """Run generated `source`; tracebacks and debuggers show its lines under `<name>`."""
    filename = f"<{name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(compile(source, filename, "exec"), names)  # noqa: S102  (our own text, no user input)
    return names


class Layout:
    """One sequence of column shapes: sizes, and the compiled encoder of its records."""

    __slots__ = (
        "encode",
        "has_heap",
        "heap_places",
        "mask_codes",
        "mask_size",
        "offsets",
        "pack_row",
        "record",
        "shapes",
        "size",
        "unpack_row",
        "variable",
        "whole",
    )

    encode: Callable[[Row, Leaf, int], bytes]
    """(row, leaf, index of the version it replaces or -1) -> record; appends to the leaf's heap."""
    pack_row: Callable[[Row], bytes]
    """The row by itself, for the log: column count, mask, fixed values, lengths, then the heap."""

    def __init__(self, shapes: str) -> None:
        self.shapes = shapes
        self.mask_codes = _mask_codes(len(shapes))
        body = "".join(_CODES.get(shape, shape) for shape in shapes)
        self.record = struct.Struct("<" + self.mask_codes + body)
        self.size = self.record.size
        self.mask_size = struct.calcsize("<" + self.mask_codes)
        at = self.mask_size
        offsets = []
        for shape in shapes:
            offsets.append(at)
            at += _SIZES[shape]
        self.offsets = tuple(offsets)
        self.whole: Any = None
        """The reader of all columns, once there is one (`reader.reader_of`)."""
        self.variable = tuple(i for i, shape in enumerate(shapes) if shape in "tb")
        self.has_heap = bool(self.variable)
        if self.size > RECORD_BYTES_MAX:
            raise RowTooBig(f"row is too big: size {self.size}, maximum size {RECORD_BYTES_MAX}")
        self.heap_places = _places_struct(self)
        self.encode = _compile_encode(self)
        self.pack_row, self.unpack_row = _compile_log_codec(self)

    def __repr__(self) -> str:
        return f"Layout({self.shapes!r})"

    def heap_bytes(self, records: bytearray, at: int) -> int:
        """What row `at` owns of the heap, its references to large values included."""
        lengths = self.heap_places.unpack_from(records, at * self.size)[1::2]
        return sum([LARGE_REF_BYTES if n == LARGE else n for n in lengths])

    def shift_heap(self, records: bytearray, shift: int) -> None:
        """The heap of these records now begins `shift` bytes later in another heap."""
        for start in range(0, len(records), self.size):
            for column in self.variable:
                at = start + self.offsets[column]
                offset, length = _PLACE.unpack_from(records, at)
                if length and length != LARGE:
                    _PLACE.pack_into(records, at, offset + shift, length)


@lru_cache(maxsize=4096)
def layout_of(shapes: str) -> Layout:
    """The layout of these shapes; equal shapes share one, so that `is` compares layouts."""
    assert not shapes.strip(SHAPES), shapes
    return Layout(shapes)


def _targets(shapes: str) -> list[str]:
    return [f"c{i}" for i in range(len(shapes))]


def _mask_words(columns: int) -> int:
    return len(_mask_codes(columns))


def _take_apart(shapes: str, *, nulls: bool) -> list[str]:
    """Lines that put a row's values into c0, c1, ... (texts encoded), its NULLs into m0, m1 ..."""
    lines = []
    if shapes:
        lines.append(f"    {', '.join(_targets(shapes))}, = row")
    if nulls:
        lines.append(
            f"    {' = '.join(f'm{word}' for word in range(_mask_words(len(shapes))))} = 0"
        )
    for i, shape in enumerate(shapes):
        text = f"c{i} = c{i}.encode()"
        if nulls:
            zero = {"t": "b''", "b": "b''", "u": "ZERO16"}.get(shape, "0")
            lines.append(f"    if c{i} is None: m{i >> 6} |= {1 << (i & 63)}; c{i} = {zero}")
            if shape == "t":
                lines.append(f"    else: {text}")
        elif shape == "t":
            lines.append(f"    {text}")
    return lines


def _compile_encode(layout: Layout) -> Callable[[Row, Leaf, int], bytes]:
    """Generate `encode(row, leaf, old)`, for rows without and with NULLs.

    When it replaces version `old` in the same leaf, variable values that did not change keep their
    place in the heap: an update of one number must not turn the row's texts into garbage.
    """
    lines = ["def encode(row, leaf, old):"]
    if layout.shapes:
        lines.append("    if None in row: return encode_nulls(row, leaf, old)")
    lines += _encode_lines(layout, nulls=False)
    lines.append("def encode_nulls(row, leaf, old):")
    lines += _encode_lines(layout, nulls=True)
    names_in: dict[str, Any] = {
        "ZERO16": bytes(16),
        "pack": layout.record.pack,
        "places": layout.heap_places.unpack_from,
        "encode_slow": lambda row, leaf, old: _encode_slow(layout, row, leaf, old),
        "encode_compacted": lambda row, leaf, old: _encode_compacted(layout, row, leaf, old),
    }
    label = f"encode {layout.shapes}"
    compiled = compile_code("\n".join(lines) + "\n", label, names_in)
    encode: Callable[[Row, Leaf, int], bytes] = compiled["encode"]
    return encode


def _encode_lines(layout: Layout, *, nulls: bool) -> list[str]:
    shapes = layout.shapes
    lines = _take_apart(shapes, nulls=nulls)
    add = lines.append
    values = [f"m{word}" if nulls else "0" for word in range(_mask_words(len(shapes)))]
    if layout.has_heap:
        total = " + ".join(f"len(c{i})" for i in layout.variable)
        add(f"    if {total} > {INLINE_BYTES_MAX}: return encode_slow(row, leaf, old)")
        add("    heap = leaf.heap; end = len(heap)")
        add("    if old >= 0:")
        places = ", ".join(f"o{i}, n{i}" for i in layout.variable)
        add(f"        {places}, = places(leaf.records, old * {layout.size})")
        for i in layout.variable:
            add(f"        if n{i} != len(c{i}) or heap[o{i}:o{i} + n{i}] != c{i}:")
            add(f"            leaf.garbage += n{i} if n{i} != {LARGE} else {LARGE_REF_BYTES}")
            add(f"            n{i} = len(c{i}); o{i} = end; end += n{i}; heap += c{i}")
        add("    else:")
        for i in layout.variable:
            add(f"        n{i} = len(c{i}); o{i} = end; end += n{i}")
        add("        heap += " + " + ".join(f"c{i}" for i in layout.variable))
        add(f"    if end > {LARGE - 1}: return encode_compacted(row, leaf, old)")
        add("    leaf.heap = heap")
    if nulls:
        add("    leaf.has_nulls = True")
    values += [f"o{i}, n{i}" if shape in "tb" else f"c{i}" for i, shape in enumerate(shapes)]
    add(f"    return pack({', '.join(values)})")
    return lines


def _places_struct(layout: Layout) -> struct.Struct:
    """Only the (offset, length) pairs of a record, everything else skipped."""
    parts = [f"{layout.mask_size}x"]
    parts.extend("HH" if shape in "tb" else f"{_SIZES[shape]}x" for shape in layout.shapes)
    return struct.Struct("<" + "".join(parts))


def _encode_compacted(layout: Layout, row: Row, leaf: Leaf, old: int) -> bytes:
    """The heap grew past what an offset can say: drop its garbage, then encode again."""
    leaf.compact()
    if len(leaf.heap) + 3 * INLINE_BYTES_MAX > LARGE:
        raise RowTooBig("a leaf's heap is full")
    return layout.encode(row, leaf, old)


def _encode_slow(layout: Layout, row: Row, leaf: Leaf, old: int) -> bytes:
    """Rows whose variable values must partly go out of line."""
    shapes = layout.shapes
    masks = [0] * _mask_words(len(shapes))
    blobs: dict[int, bytes] = {}
    total = 0
    for i in layout.variable:
        value = row[i]
        if value is not None:
            blob = value.encode() if shapes[i] == "t" else value
            blobs[i] = blob
            total += len(blob)
    outside: set[int] = set()
    for i in sorted(blobs, key=lambda i: -len(blobs[i])):
        if total <= INLINE_BYTES_MAX or len(blobs[i]) < 32:
            break
        outside.add(i)
        total -= len(blobs[i])
    if total + layout.size > RECORD_BYTES_MAX:
        size = total + layout.size
        raise RowTooBig(f"row is too big: size {size}, maximum size {RECORD_BYTES_MAX}")
    heap = leaf.heap
    if len(heap) + total >= LARGE:
        return _encode_compacted(layout, row, leaf, old)
    places = _old_places(layout, leaf, old)
    values: list[Any] = []
    for i, shape in enumerate(shapes):
        value = row[i]
        if value is None:
            masks[i >> 6] |= 1 << (i & 63)
            values.extend((0, 0) if shape in "tb" else (_ZERO[shape],))
        elif i in outside:
            values += [leaf.add_large(blobs[i]), LARGE]
        elif shape in "tb":
            blob = blobs[i]
            at, size = places.pop(i, (0, LARGE))
            if size != len(blob) or heap[at : at + size] != blob:
                at, size = len(heap), len(blob)
                heap += blob
            else:
                leaf.garbage -= size
            values += [at, size]
        else:
            values.append(value)
    leaf.heap = heap
    if any(masks):
        leaf.has_nulls = True
    return layout.record.pack(*masks, *values)


_ZERO: Final[dict[str, Any]] = {
    "?": False, "h": 0, "i": 0, "q": 0, "f": 0.0, "d": 0.0, "u": bytes(16),
}  # fmt: skip


def _old_places(layout: Layout, leaf: Leaf, old: int) -> dict[int, tuple[int, int]]:
    """Where the replaced version's inline values rest; all counted as garbage until kept."""
    if old < 0 or not layout.has_heap:
        return {}
    fields = layout.heap_places.unpack_from(leaf.records, old * layout.size)
    places = {}
    for n, i in enumerate(layout.variable):
        at, size = fields[2 * n], fields[2 * n + 1]
        if size == LARGE:
            leaf.garbage += LARGE_REF_BYTES
        elif size:
            places[i] = (at, size)
            leaf.garbage += size
    return places


def _compile_log_codec(
    layout: Layout,
) -> tuple[Callable[[Row], bytes], Callable[[bytes | memoryview], Row]]:
    """A row by itself: <H columns, mask words, fixed values, <I lengths, then the values' bytes."""
    shapes = layout.shapes
    columns = len(shapes)
    words = _mask_words(columns)
    body = "".join({"t": "I", "b": "I", "u": "16s"}.get(shape, shape) for shape in shapes)
    head = struct.Struct("<H" + layout.mask_codes + body)

    def unpack_slow(data: bytes | memoryview) -> Row:
        fields = head.unpack_from(data)
        masks, values = fields[1 : 1 + words], fields[1 + words :]
        at = head.size
        row: list[Any] = []
        for i, shape in enumerate(shapes):
            value = values[i]
            if masks[i >> 6] >> (i & 63) & 1:
                value = None
            elif shape in "tb":
                blob = bytes(data[at : at + value])
                at += value
                value = blob.decode() if shape == "t" else blob
            row.append(value)
        return tuple(row)

    names = _targets(shapes)
    sizes = [f"len(c{i})" if shape in "tb" else f"c{i}" for i, shape in enumerate(shapes)]
    tail = "".join(f" + c{i}" for i in layout.variable)
    lines = ["def pack_row(row):"]
    if shapes:
        lines.append("    if None in row: return pack_nulls(row)")
    lines += _take_apart(shapes, nulls=False)
    lines.append(f"    return pack({', '.join([str(columns)] + ['0'] * words + sizes)}){tail}")
    lines.append("def pack_nulls(row):")
    lines += _take_apart(shapes, nulls=True)
    words_text = [f"m{word}" for word in range(words)]
    lines.append(f"    return pack({', '.join([str(columns), *words_text, *sizes])}){tail}")
    masks = [f"m{word}" for word in range(words)]
    lines.append("def unpack_row(data):")
    lines.append(f"    {', '.join(['_', *masks, *names])}, = unpack_from(data)")
    if masks:
        lines.append(f"    if {' or '.join(masks)}: return unpack_slow(data)")
    if layout.variable:
        lines.append(f"    end = {head.size}")
    for i in layout.variable:
        cut = f"data[end : end + c{i}]"
        value = f"str({cut}, 'utf-8')" if shapes[i] == "t" else f"bytes({cut})"
        lines += [f"    value = {value}", f"    end += c{i}", f"    c{i} = value"]
    lines.append(f"    return ({' '.join(f'{name},' for name in names)})")
    scope = {
        "pack": head.pack,
        "ZERO16": bytes(16),
        "unpack_from": head.unpack_from,
        "unpack_slow": unpack_slow,
    }
    compiled = compile_code("\n".join(lines) + "\n", f"log row {shapes}", scope)
    pack_row: Callable[[Row], bytes] = compiled["pack_row"]
    unpack_row: Callable[[bytes | memoryview], Row] = compiled["unpack_row"]
    return pack_row, unpack_row


def check_fits(spec: TreeSpec, row: Row) -> None:
    """Raise `RowTooBig` when a row does not fit a leaf even with its large values out of line."""
    layout = layout_of(spec.shapes)
    inline = layout.size
    for i in layout.variable:
        value = row[i]
        if value is not None:
            size = len(value.encode() if spec.shapes[i] == "t" else value)
            if size < LARGE_REF_BYTES:
                inline += size
    if inline > RECORD_BYTES_MAX:
        raise RowTooBig(f"row is too big: size {inline}, maximum size {RECORD_BYTES_MAX}")


def pack_row(spec: TreeSpec, row: Row) -> bytes:
    """A row of this tree as bytes by itself, as the log holds it."""
    return layout_of(spec.shapes).pack_row(row)


def unpack_row(spec: TreeSpec, data: bytes | memoryview) -> Row:
    """The reverse of `pack_row`; a row packed before a column was added gets its missing value."""
    columns = int.from_bytes(data[:2], "little")
    if columns == len(spec.shapes):
        return layout_of(spec.shapes).unpack_row(data)
    return layout_of(spec.shapes[:columns]).unpack_row(data) + spec.missing[columns:]
