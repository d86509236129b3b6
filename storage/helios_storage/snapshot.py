"""A snapshot: one statement's view, a pinned database root under the transaction's own writes.

It costs nothing to take: the root is pinned, the write set ends its command. Readers block nobody.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from helios_storage import cursor
from helios_storage.cursor import Batch, KeyRange
from helios_storage.errors import NoSuchTree
from helios_storage.page import EditToken, Inner, Leaf, PageSource, Ref
from helios_storage.reader import Reader, read_whole, reader_of
from helios_storage.root import BUCKET_BITS, BUCKET_MASK, DatabaseRoot, Roots, TreeRoot
from helios_storage.serializable import ReadSet
from helios_storage.spec import Key, Lsn, Row, TreeSpec
from helios_storage.tree import empty_tree, find_leaf, index_in
from helios_storage.write_set import MISSING, WriteSet


class Reading(Protocol):
    """What a snapshot needs of its transaction."""

    writes: WriteSet
    specs: dict[int, TreeSpec | None]
    reads: ReadSet | None
    pages: PageSource
    roots: Roots
    xid: int

    def check_slice(self) -> None: ...
    def saw_all(self, root: DatabaseRoot) -> None: ...
    def saw_row(self, leaf: Leaf, at: int) -> None: ...


class Snapshot:
    """See `transaction.snapshot`. Release it: a forgotten one keeps pages and old versions."""

    __slots__ = ("_pages", "_reads", "_specs", "_trees", "command", "is_exact", "is_released",
                 "root", "transaction")  # fmt: skip

    def __init__(self, transaction: Reading, root: DatabaseRoot, command: int) -> None:
        self.transaction = transaction
        self.root = root
        self.command = command
        self.is_released = False
        self.is_exact = False
        """Rows that are read by key count by themselves (`Transaction.point_snapshot`)."""
        self._trees = transaction.writes.trees
        self._specs = transaction.specs
        self._pages = transaction.pages
        self._reads = transaction.reads

    @property
    def lsn(self) -> Lsn:
        """The last commit that this snapshot sees."""
        return self.root.lsn

    def release(self) -> None:
        """Let the root go. A second call does nothing."""
        if not self.is_released:
            self.is_released = True
            transaction = self.transaction
            transaction.writes.live.remove(self.command)
            transaction.roots.unpin(self.root)

    def tree(self, tree_id: int) -> TreeRoot:
        """The committed tree below this snapshot, under the spec that the transaction gave it.

        Raises `NoSuchTree`.
        """
        if self.is_exact:
            self.transaction.saw_all(self.root)
        specs = self._specs
        if not specs or tree_id not in specs:
            return self.root.tree(tree_id)
        spec = specs[tree_id]
        if spec is None:
            raise NoSuchTree(f"tree {tree_id} does not exist")
        base = self.root.find(tree_id)
        return empty_tree(spec) if base is None else TreeRoot(spec, base.ref)

    def spec(self, tree_id: int) -> TreeSpec:
        """The tree's spec here. Raises `NoSuchTree`."""
        return self.tree(tree_id).spec

    def reader(self, tree_id: int, columns: tuple[int, ...] | None = None) -> Reader:
        """The compiled reader of a projection: keep it with the program that uses it."""
        return reader_of(self.tree(tree_id).spec.shapes, columns)

    def get(self, tree_id: int, key: Key, reader: Reader | None = None) -> Row | None:
        """The row at `key` (with `reader`: its projection), or None. May suspend.

        A point read of committed pages in memory costs 2 to 4 us.
        """
        writes = self._trees.get(tree_id)
        if writes is not None:
            row = writes.find(key, self.command, self._pages)
            if row is not MISSING:
                if row is None or reader is None:
                    return row  # type: ignore[no-any-return]
                return reader.project(row)
        if self._reads is not None:
            self._reads.add_key(tree_id, key)
        if self._specs:
            tree = self.tree(tree_id)
        else:
            try:
                tree = self.root.buckets[tree_id >> BUCKET_BITS][tree_id & BUCKET_MASK]
            except KeyError:
                raise NoSuchTree(f"tree {tree_id} does not exist") from None
        page: Any = tree.ref.page or self._pages.load(tree.ref, tree.spec)
        while type(page) is Inner:
            ref = page.children[bisect_right(page.keys, key)]
            page = ref.page or self._pages.load(ref, tree.spec)
        keys = page.keys
        at = bisect_left(keys, key)
        if at == len(keys) or keys[at] != key:
            if self.is_exact:
                self.transaction.saw_all(self.root)
            return None
        if self.is_exact and self.transaction.roots.pending:
            self.transaction.saw_row(page, at)
        if reader is None:
            return read_whole(page, at, tree.spec, self._pages)
        if page.rows is None and page.layout is reader.layout:
            return reader.row(page, at, self._pages)
        return reader.read(page, at, tree.spec, self._pages)

    def writer(self, tree_id: int, key: Key) -> int:
        """The id of the transaction that wrote the row (xmin); 0 when there is no such row."""
        writes = self._trees.get(tree_id)
        if writes is not None:
            row = writes.find(key, self.command, self._pages)
            if row is not MISSING:
                return 0 if row is None else self.transaction.xid
        tree = self.tree(tree_id)
        leaf = find_leaf(tree.ref, key, tree.spec, self._pages)
        at = index_in(leaf, key)
        return leaf.writers[at] if at >= 0 else 0

    def batches(
        self,
        tree_id: int,
        low: Key | None = None,
        high: Key | None = None,
        *,
        low_inclusive: bool = True,
        high_inclusive: bool = False,
        reverse: bool = False,
        columns: tuple[int, ...] | None = None,
        with_keys: bool = False,
    ) -> Iterator[tuple[list[Any] | None, list[Row]]]:
        """(keys or None, rows) of a key range in order, about a leaf (50 to 200 rows) at a time.

        `low`, `high` None: without bound. `columns`: the projection, in the order given.
        """
        span = KeyRange(low, high, low_inclusive=low_inclusive, high_inclusive=high_inclusive)
        tree = self.tree(tree_id)
        reader = reader_of(tree.spec.shapes, columns)
        if self._reads is not None:
            self._reads.add_range(tree_id, span)
        pages = self._pages
        own = self._streams(tree_id, span, reader, reverse=reverse)
        if own:
            stream: Iterator[Batch] = cursor.batches(tree, span, reader, pages, reverse=reverse)
            for upper in own:
                stream = cursor.overlay(stream, upper, reverse=reverse)
            return cursor.without_tombstones(stream)
        if with_keys:
            return cursor.batches(tree, span, reader, pages, reverse=reverse)
        return cursor.row_batches(tree, span, reader, pages, reverse=reverse)

    def leaves(self, tree_id: int) -> Iterator[Leaf] | None:
        """All packed leaves in key order, to be read by columns; never change them.

        None where this transaction's own changes would have to be laid over them.
        """
        if tree_id in self._trees:
            return None
        tree = self.tree(tree_id)
        if self._reads is not None:
            self._reads.add_range(tree_id, cursor.EVERYTHING)
        return cursor.leaves(tree.ref, cursor.EVERYTHING, tree.spec, self._pages, reverse=False)

    def page_groups(
        self, tree_id: int, is_known: Callable[[Ref], bool]
    ) -> Iterator[tuple[Ref, KeyRange]]:
        """The inner pages right above leaves (or a lone leaf), each with the keys below it.

        What hangs on these `Ref`s never changes: who keeps one may keep what it made of the rows
        (the root gets a new edit token, so that a commit right after this snapshot copies).
        `is_known` spares loading a page to find out that it is a group. This transaction's own
        changes are not in them: see `changed_keys`.
        """
        assert not self.is_released
        self.root.token = EditToken()
        tree = self.tree(tree_id)
        if self._reads is not None:
            self._reads.add_range(tree_id, cursor.EVERYTHING)
        return cursor.page_groups(tree.ref, KeyRange(), tree.spec, self._pages, is_known)

    def group_leaves(self, tree_id: int, group: Ref) -> Iterator[Leaf]:
        """The leaves of a page group."""
        spec = self.tree(tree_id).spec
        return cursor.leaves(group, cursor.EVERYTHING, spec, self._pages, reverse=False)

    def changed_keys(self, tree_id: int) -> list[Key]:
        """The keys that this transaction has changed, ascending."""
        if tree_id not in self._trees:
            return []
        reader = reader_of("", ())
        streams = self._streams(tree_id, cursor.EVERYTHING, reader, reverse=False)
        return sorted({key for stream in streams for keys, _ in stream for key in keys})

    def _streams(
        self, tree_id: int, span: KeyRange, reader: Reader, *, reverse: bool
    ) -> list[Iterator[Batch]]:
        """The transaction's own changes of a range, projected, the newest last."""
        writes = self._trees.get(tree_id)
        if writes is None:
            return []
        streams = writes.streams(span, self.command, self._pages, reverse=reverse)
        return streams if reader.is_whole else [_projected(stream, reader) for stream in streams]

    def count(self, tree_id: int) -> int:
        """How many rows the tree has: O(1), plus a look-up for each row the transaction changed."""
        if self._reads is not None:
            self._reads.add_range(tree_id, cursor.EVERYTHING)
        return self._count(tree_id, cursor.EVERYTHING)

    def count_range(
        self,
        tree_id: int,
        low: Key | None = None,
        high: Key | None = None,
        *,
        low_inclusive: bool = True,
        high_inclusive: bool = False,
    ) -> int:
        """How many rows are in a key range, without reading them: O(log n). May suspend."""
        span = KeyRange(low, high, low_inclusive=low_inclusive, high_inclusive=high_inclusive)
        if self._reads is not None:
            self._reads.add_range(tree_id, span)
        return self._count(tree_id, span)

    def _count(self, tree_id: int, span: KeyRange) -> int:
        tree = self.tree(tree_id)
        total = cursor.count_range(tree, span, self._pages)
        writes = self._trees.get(tree_id)
        if writes is None:
            return total
        own: Iterator[Batch] = iter(())
        for stream in writes.streams(span, self.command, self._pages, reverse=False):
            own = cursor.overlay(own, stream)
        for keys, rows in own:
            self.transaction.check_slice()
            total += len(rows) - rows.count(None)
            below = KeyRange(keys[0], keys[-1], high_inclusive=True)
            if not cursor.count_range(tree, below, self._pages):
                continue
            for key in keys:
                leaf = find_leaf(tree.ref, key, tree.spec, self._pages)
                total -= index_in(leaf, key) >= 0
        return total

    def nth(
        self, tree_id: int, n: int, columns: tuple[int, ...] | None = None
    ) -> tuple[Key, Row] | None:
        """Key and row number `n` (from 0) in key order: O(log n). May suspend.

        With own writes in the tree it counts through them.
        """
        tree = self.tree(tree_id)
        reader = reader_of(tree.spec.shapes, columns)
        if self._reads is not None:
            self._reads.add_range(tree_id, cursor.EVERYTHING)
        if tree_id not in self._trees:
            return cursor.nth(tree, n, reader, self._pages)
        for keys, rows in self.batches(tree_id, columns=columns, with_keys=True):
            assert keys is not None
            if n < len(keys):
                return keys[n], rows[n]
            n -= len(keys)
            self.transaction.check_slice()
        return None


def _projected(stream: Iterator[Batch], reader: Reader) -> Iterator[Batch]:
    project = reader.project
    for keys, rows in stream:
        yield keys, [None if row is None else project(row) for row in rows]
