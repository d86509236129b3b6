"""Pages: pieces of a tree, in memory and as bytes. Here both halves of storage meet.

    root Ref -> Inner (~128 children) -> ... -> Leaf (keys, records, heap, writers)

A `Ref` is a parent's reference to a child, shared by every version of the parent: clearing
`ref.page` (eviction) gives the memory back for all of them. A page is immutable once a snapshot can
see it; until then whoever holds its edit token changes it in place.

Bytes of a leaf (little-endian; sizes in bytes):

    0   1  kind: 1 leaf, 2 inner, 3 chunk of a large value
    1   1  flags: 1 one writer for all rows, 2 bytes keys, 4 some value is NULL
    2   2  columns           4   4  rows
    8   4  heap size         12  4  size of all bytes keys
    16  2  large values      18  6  zero
    24     keys: 8 each, or <H lengths then the keys; writers: 4 each, or 4 once;
           records; large values: (page id 8, tag 16, size 8) each; heap

Bytes of an inner page: 24 bytes of head (kind, flags 2 for bytes keys, rows = children), the
separators (children - 1), then per child page id 8, tag 16, rows below 8.

A chunk of a large value: kind 3, flags 1 when it lists chunks, then data or (page id, tag, size)s.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from helios_storage.errors import Corrupted
from helios_storage.layout import LARGE, Layout, layout_of
from helios_storage.seal import SEAL_OVERHEAD_BYTES
from helios_storage.spec import Lsn, PageId, Row, TreeId, TreeSpec

PAGE_BYTES: Final = 8176 - SEAL_OVERHEAD_BYTES
"""Two pages of the store less its head and the seal: one byte more would cost a third page."""
PAGE_BYTES_MAX: Final = 16368 - SEAL_OVERHEAD_BYTES
"""A leaf of few, wide rows may grow to this."""
NO_PAGE: Final = PageId(0)
_HEAD: Final = struct.Struct("<BBHIIIH6x")
_CHILD: Final = struct.Struct("<q16sq")
HEAD_BYTES: Final = _HEAD.size
_LEAF, _INNER, _CHUNK = 1, 2, 3
_ONE_WRITER, _BYTES_KEYS, _HAS_NULLS = 1, 2, 4


class EditToken:
    """Pages that carry it may be changed in place by its holder; `replaced`: Refs it dropped.

    A replaced Ref may belong to older roots still: its page id is free only when no root older than
    the one that dropped it is read (durability's business).
    """

    __slots__ = ("made", "replaced")

    def __init__(self) -> None:
        self.replaced: list[Ref] = []
        self.made = 0
        """Pages made under this token: what the cache is told of changed memory."""


class Ref:
    """A parent's reference to a page: where it rests, its seal tag, rows below, the page if loaded.

    `page_id` 0: it has not been stored in this form. A large value: `count` is its bytes.
    """

    __slots__ = ("count", "page", "page_id", "tag")

    def __init__(
        self, page: Page | None, count: int, page_id: PageId = NO_PAGE, tag: bytes = b""
    ) -> None:
        self.page = page
        self.count = count
        self.page_id = page_id
        self.tag = tag

    def __repr__(self) -> str:
        return f"Ref(page_id={self.page_id}, count={self.count}, page={self.page!r})"


class Leaf:
    """Rows in key order, packed. See `layout` for records; `writers[i]` is row i's transaction id.

    `rows`, when present, are all rows decoded (an *open* leaf).
    """

    __slots__ = (
        "garbage", "has_nulls", "heap", "key_bytes", "keys", "large", "layout", "records", "rows",
        "scans", "token", "writers",
    )  # fmt: skip

    def __init__(
        self,
        layout: Layout,
        keys: array[int] | list[bytes],
        records: bytearray,
        writers: array[int],
        heap: bytes = b"",
        large: list[Ref] | None = None,
        *,
        has_nulls: bool = False,
        token: EditToken | None = None,
    ) -> None:
        self.layout = layout
        self.keys: Any = keys
        self.key_bytes = 0 if type(keys) is array else sum(map(len, keys))  # type: ignore[arg-type]
        self.records = records
        self.writers = writers
        self.heap = heap
        self.large = large
        self.has_nulls = has_nulls
        self.garbage = 0
        self.rows: list[Row] | None = None
        self.scans = 0
        self.token = token

    def __repr__(self) -> str:
        return f"Leaf(rows={len(self.writers)}, size={self.encoded_size()})"

    def encoded_size(self) -> int:
        """Bytes of `encode_page`, an upper bound: garbage and one-writer packing can only save."""
        keys = self.keys
        n = len(keys)
        size = HEAD_BYTES + len(self.records) + len(self.heap) - self.garbage + 4 * n
        size += 8 * n if type(keys) is array else 2 * n + self.key_bytes
        return size + (32 * len(self.large) if self.large else 0)

    def memory_bytes(self) -> int:
        """What the leaf costs in memory, Python's objects included (decoded rows estimated)."""
        keys = self.keys
        n = len(keys)
        size = 500 + len(self.records) + len(self.heap) + 4 * n
        size += 8 * n if type(keys) is array else self.key_bytes + 41 * n
        if self.rows is not None:
            size += n * (48 + 36 * len(self.layout.shapes)) + len(self.heap)
        return size

    def copy(self, token: EditToken) -> Leaf:
        """A leaf of its own for `token`; the heap is shared, being immutable bytes."""
        leaf = Leaf.__new__(Leaf)
        leaf.layout = self.layout
        leaf.keys = self.keys[:]
        leaf.key_bytes = self.key_bytes
        leaf.records = self.records[:]
        leaf.writers = self.writers[:]
        leaf.heap = self.heap
        leaf.large = None if self.large is None else self.large[:]
        leaf.has_nulls = self.has_nulls
        leaf.garbage = self.garbage
        leaf.rows = None
        leaf.scans = 0
        leaf.token = token
        return leaf

    def add_large(self, data: bytes) -> int:
        """Put a value out of line; its index in `large`."""
        if self.large is None:
            self.large = []
        if self.token is not None:
            self.token.made += 1 + len(data) // PAGE_BYTES
        self.large.append(build_large(data, self.token))
        return len(self.large) - 1

    def compact(self) -> None:
        """Rewrite the heap (and `large`) without what no record points to any more."""
        layout = self.layout
        self.garbage = 0
        if not layout.has_heap:
            return
        heap, records, size = self.heap, self.records, layout.size
        parts: list[bytes] = []
        end = 0
        large: list[Ref] = []
        place = struct.Struct("<HH")
        for start in range(0, len(records), size):
            for column in layout.variable:
                at = start + layout.offsets[column]
                offset, length = place.unpack_from(records, at)
                if length == LARGE:
                    assert self.large is not None
                    large.append(self.large[offset])
                    place.pack_into(records, at, len(large) - 1, LARGE)
                elif length:
                    parts.append(heap[offset : offset + length])
                    place.pack_into(records, at, end, length)
                    end += length
                else:
                    place.pack_into(records, at, 0, 0)
        self.heap = b"".join(parts)
        self.large = large or None


class Inner:
    """Children and the separators between them: child i holds keys in [keys[i-1], keys[i])."""

    __slots__ = ("children", "keys", "token")

    def __init__(self, keys: Any, children: list[Ref], token: EditToken | None = None) -> None:
        self.keys: Any = keys
        self.children = children
        self.token = token

    def __repr__(self) -> str:
        return f"Inner(children={len(self.children)})"

    def count(self) -> int:
        """Rows below."""
        return sum([ref.count for ref in self.children])

    def copy(self, token: EditToken) -> Inner:
        return Inner(self.keys[:], self.children[:], token)

    def encoded_size(self) -> int:
        """Bytes of `encode_page`."""
        keys = self.keys
        size = HEAD_BYTES + 32 * len(self.children)
        if keys and type(keys[0]) is bytes:
            return size + 2 * len(keys) + sum(map(len, keys))
        return size + 8 * len(keys)

    def memory_bytes(self) -> int:
        """What the page costs in memory, its Refs included."""
        keys = self.keys
        size = 200 + 150 * len(self.children) + 40 * len(keys)
        return size + (sum(map(len, keys)) if keys and type(keys[0]) is bytes else 0)


class Chunk:
    """A piece of a large value: its bytes, or (`children`) the pieces that it is made of."""

    __slots__ = ("children", "data", "token")

    def __init__(
        self, data: bytes, children: list[Ref] | None = None, token: EditToken | None = None
    ) -> None:
        self.data = data
        self.children = children
        self.token = token

    def __repr__(self) -> str:
        return f"Chunk(data={len(self.data)}, children={self.children and len(self.children)})"

    def encoded_size(self) -> int:
        """Bytes of `encode_page`."""
        return HEAD_BYTES + (32 * len(self.children) if self.children else len(self.data))

    def memory_bytes(self) -> int:
        """What the page costs in memory."""
        return 150 + len(self.data) + (150 * len(self.children) if self.children else 0)


Page: TypeAlias = Leaf | Inner | Chunk

_CHUNK_BYTES: Final = PAGE_BYTES_MAX - HEAD_BYTES
_CHUNK_CHILDREN: Final = _CHUNK_BYTES // 32


def build_large(data: bytes, token: EditToken | None = None) -> Ref:
    """A value out of line: a tree of chunks, each of which fills a page; its root's Ref."""
    refs = [
        Ref(Chunk(data[at : at + _CHUNK_BYTES], None, token), min(_CHUNK_BYTES, len(data) - at))
        for at in range(0, len(data), _CHUNK_BYTES)
    ]
    while len(refs) > 1:
        groups = [refs[at : at + _CHUNK_CHILDREN] for at in range(0, len(refs), _CHUNK_CHILDREN)]
        refs = [Ref(Chunk(b"", group, token), sum(ref.count for ref in group)) for group in groups]
    return refs[0]


class LeafRun(NamedTuple):
    """A change record that carries a whole leaf of new rows, as `encode_page` gives it."""

    tree_id: TreeId
    page: bytes


class TreeMade(NamedTuple):
    """A change record: a tree was made, or replaced its spec (a column was added)."""

    spec: TreeSpec


class TreeDropped(NamedTuple):
    """A change record: a tree is gone."""

    tree_id: TreeId


class SequenceLogged(NamedTuple):
    """A change record outside any transaction: after a crash the sequence goes on past `value`."""

    sequence_id: int
    value: int
    called: bool


RowChange: TypeAlias = tuple[TreeId, int | bytes, bytes | None]
"""(tree, key, the row as `layout.pack_row` gives it; None: the key is gone)."""
Change: TypeAlias = RowChange | LeafRun | TreeMade | TreeDropped | SequenceLogged


class PageSource(Protocol):
    """Where pages come from when they are not in memory (the cache, over the page store)."""

    def load(self, ref: Ref, spec: TreeSpec) -> Page:
        """The page of `ref`, also put into `ref.page`. May suspend, or raise `Blocked`.

        Raises `Corrupted` when it is absent or its tag does not match.
        """

    def load_now(self, ref: Ref, spec: TreeSpec) -> Page:
        """Like `load`, but never suspends: for the rare miss in the middle of a commit."""

    def prefetch(self, refs: list[Ref], spec: TreeSpec) -> list[Page]:
        """The pages of these Refs in one go, for a scan: evicts nobody, may leave Refs empty."""

    def may_open(self, leaf: Leaf) -> bool:
        """Whether `leaf` may keep decoded rows (the budget of open leaves allows it)."""

    def grown(self, size_bytes: int) -> None:
        """New pages of about this size exist in memory; the cache may evict or spill others."""


class SteadyPages:
    """A page source whose loads never suspend nor evict: where a commit is half applied."""

    __slots__ = ("_pages",)

    def __init__(self, pages: PageSource) -> None:
        self._pages = pages

    def load(self, ref: Ref, spec: TreeSpec) -> Page:
        """The page of `ref`. Raises `Corrupted`."""
        return self._pages.load_now(ref, spec)

    load_now = load

    def prefetch(self, refs: list[Ref], spec: TreeSpec) -> list[Page]:
        """The pages of these Refs, one by one."""
        return [ref.page or self._pages.load_now(ref, spec) for ref in refs]

    def may_open(self, leaf: Leaf) -> bool:
        """See `PageSource`."""
        return self._pages.may_open(leaf)

    def grown(self, size_bytes: int) -> None:
        """See `PageSource`."""
        self._pages.grown(size_bytes)


class CommitLog(Protocol):
    """Where commits go. The memory log of `root` serves tests; the durable one lives in `log`."""

    def append(self, xid: int, changes: list[Change]) -> Lsn:
        """Log a commit (or the last part of one); its LSN. Does not wait for the sync."""

    def append_ahead(self, xid: int, changes: list[Change]) -> None:
        """Log a part of a large commit before its commit record. May suspend."""

    def abandon(self, xid: int) -> None:
        """The commit whose parts were logged ahead will not come."""


def encode_page(page: Page) -> bytes:
    """The page as bytes. Every child (and large value) must have its page id and tag by then."""
    if type(page) is Leaf:
        return _encode_leaf(page)
    if type(page) is Inner:
        return _encode_inner(page)
    assert type(page) is Chunk
    if page.children is None:
        return _HEAD.pack(_CHUNK, 0, 0, 0, len(page.data), 0, 0) + page.data
    body = b"".join([_CHILD.pack(ref.page_id, ref.tag, ref.count) for ref in page.children])
    return _HEAD.pack(_CHUNK, 1, 0, len(page.children), 0, 0, 0) + body


def _encode_leaf(leaf: Leaf) -> bytes:
    if leaf.garbage:
        leaf.compact()
    n = len(leaf.writers)
    flags = _HAS_NULLS if leaf.has_nulls else 0
    keys = leaf.keys
    if type(keys) is array:
        key_bytes, key_size = keys.tobytes(), 0
    else:
        flags |= _BYTES_KEYS
        body = b"".join(keys)
        key_bytes, key_size = array("H", map(len, keys)).tobytes() + body, len(body)
    writers = leaf.writers
    if n and writers.count(writers[0]) == n:
        flags |= _ONE_WRITER
        writers = writers[:1]
    large = leaf.large or []
    head = _HEAD.pack(
        _LEAF, flags, len(leaf.layout.shapes), n, len(leaf.heap), key_size, len(large)
    )
    tail = b"".join([_CHILD.pack(ref.page_id, ref.tag, ref.count) for ref in large])
    return b"".join((head, key_bytes, writers.tobytes(), leaf.records, tail, leaf.heap))


def _encode_inner(page: Inner) -> bytes:
    keys = page.keys
    if keys and type(keys[0]) is bytes:
        body = b"".join(keys)
        head = _HEAD.pack(_INNER, _BYTES_KEYS, 0, len(page.children), 0, len(body), 0)
        separators = array("H", map(len, keys)).tobytes() + body
    else:
        head = _HEAD.pack(_INNER, 0, 0, len(page.children), 0, 0, 0)
        separators = array("q", keys).tobytes()
    tail = b"".join([_CHILD.pack(ref.page_id, ref.tag, ref.count) for ref in page.children])
    return head + separators + tail


def decode_page(data: bytes, spec: TreeSpec) -> Page:
    """The page that `encode_page` wrote. Raises `Corrupted` when lengths do not fit its head."""
    try:
        kind, flags, columns, n, heap_size, key_size, larges = _HEAD.unpack_from(data)
        decode = _DECODERS[kind]
    except (struct.error, KeyError):
        raise Corrupted("page has no head") from None
    page = decode(data, spec, flags, columns, n, heap_size, key_size, larges)
    if page is None:
        raise Corrupted(f"page of {len(data)} bytes does not fit its head")
    return page


def _split_keys(data: bytes, at: int, n: int, size: int) -> tuple[list[bytes], int] | None:
    lengths = array("H", data[at : at + 2 * n])
    at += 2 * n
    if len(lengths) != n or sum(lengths) != size:
        return None
    ends = list(accumulate(lengths, initial=at))
    return [data[a:b] for a, b in pairwise(ends)], at + size


def _refs(data: bytes, at: int, n: int) -> list[Ref]:
    return [
        Ref(None, count, PageId(page_id), tag)
        for page_id, tag, count in _CHILD.iter_unpack(data[at : at + 32 * n])
    ]


def _decode_leaf(
    data: bytes, spec: TreeSpec, flags: int, columns: int, n: int, heap: int, size: int, larges: int
) -> Page | None:
    if columns > len(spec.shapes):
        return None
    layout = layout_of(spec.shapes[:columns])
    writer_count = (1 if n else 0) if flags & _ONE_WRITER else n
    keys_size = 2 * n + size if flags & _BYTES_KEYS else 8 * n
    records_at = HEAD_BYTES + keys_size + 4 * writer_count
    large_at = records_at + n * layout.size
    heap_at = large_at + 32 * larges
    if heap_at + heap != len(data) or bool(flags & _BYTES_KEYS) != (spec.key_kind == "bytes"):
        return None
    keys: Any
    if flags & _BYTES_KEYS:
        split = _split_keys(data, HEAD_BYTES, n, size)
        if split is None:
            return None
        keys = split[0]
    else:
        keys = array("q", data[HEAD_BYTES : HEAD_BYTES + 8 * n])
    writers = array("I", data[records_at - 4 * writer_count : records_at])
    if flags & _ONE_WRITER:
        writers = writers * n
    return Leaf(
        layout,
        keys,
        bytearray(data[records_at:large_at]),
        writers,
        data[heap_at:],
        _refs(data, large_at, larges) if larges else None,
        has_nulls=bool(flags & _HAS_NULLS),
    )


def _decode_inner(
    data: bytes, spec: TreeSpec, flags: int, columns: int, n: int, heap: int, size: int, larges: int
) -> Page | None:
    keys: Any
    if flags & _BYTES_KEYS:
        split = _split_keys(data, HEAD_BYTES, n - 1, size)
        if split is None:
            return None
        keys, at = split
    else:
        at = HEAD_BYTES + 8 * (n - 1)
        keys = array("q", data[HEAD_BYTES:at]).tolist()
    if n < 1 or len(data) != at + 32 * n:
        return None
    return Inner(keys, _refs(data, at, n))


def _decode_chunk(
    data: bytes, spec: TreeSpec, flags: int, columns: int, n: int, heap: int, size: int, larges: int
) -> Page | None:
    if flags:
        return Chunk(b"", _refs(data, HEAD_BYTES, n)) if len(data) == HEAD_BYTES + 32 * n else None
    return Chunk(data[HEAD_BYTES:]) if len(data) == HEAD_BYTES + heap else None


_DECODERS: Final[dict[int, Callable[..., Page | None]]] = {
    _LEAF: _decode_leaf,
    _INNER: _decode_inner,
    _CHUNK: _decode_chunk,
}


def children_of(page: Page) -> list[Ref]:
    """Every Ref below this page: an inner page's children, a leaf's and a chunk's large values."""
    if type(page) is Inner:
        return page.children
    if type(page) is Leaf:
        return page.large or []
    assert type(page) is Chunk
    return page.children or []
