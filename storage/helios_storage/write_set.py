"""A transaction's own changes: per tree a dict key -> version, past 4,096 rows a private tree.

    rows[key] = (row or None, command, older version or None)

Every snapshot and savepoint ends a *command*: it sees versions of its command and before. That
freezes the write set in O(1) for statements, cursors and savepoints; nothing is copied.

Past 4,096 rows the newest versions move into a `Delta`: a copy-on-write tree of rows and one of
deleted keys, whose pages can be stored early and evicted like any other. What older snapshots or a
savepoint still need stays behind as an older *generation* of the tree's writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from helios_storage import cursor, runs
from helios_storage.cursor import EVERYTHING, Batch, KeyRange
from helios_storage.page import EditToken, Leaf, PageSource
from helios_storage.reader import reader_of
from helios_storage.root import TreeRoot
from helios_storage.spec import Key, Row, TreeSpec
from helios_storage.tree import Edit, apply, empty_tree, find_leaf, index_in

ROWS_MAX: Final = 4096
"""Rows of one tree in a dict; more go to a private tree (about 1 MB of Python objects)."""

TEXT_BYTES_MAX: Final = 4 * 1024 * 1024
_SLICE_ROWS: Final = 512

Version: TypeAlias = "tuple[Row | None, int, Version | None]"
MISSING: Final[Any] = object()
"""Says that the write set knows nothing of a key (None says: deleted)."""


class Delta:
    """Changes of one tree as two private trees: rows, and keys deleted. They share no key."""

    __slots__ = ("dead", "last", "rows", "token")

    def __init__(
        self, rows: TreeRoot, dead: TreeRoot, token: EditToken, last: Key | None = None
    ) -> None:
        self.rows = rows
        self.dead = dead
        self.token = token
        self.last = last
        """No key behind this one is in here: who writes in key order need not look."""

    @classmethod
    def empty(cls, spec: TreeSpec) -> Delta:
        """Changes of a tree with this spec: none yet."""
        token = EditToken()
        dead = TreeSpec(spec.tree_id, spec.key_kind, "", temporary=True)
        return cls(empty_tree(spec, token), empty_tree(dead, token), token)

    def fork(self) -> Delta:
        """The same changes, to be changed further without changing these."""
        token = EditToken()
        token.replaced = [ref for ref in self.token.replaced if ref.page_id]
        return Delta(self.rows, self.dead, token, self.last)

    def add(self, items: Sequence[tuple[Key, Row | None]], xid: int, pages: PageSource) -> None:
        """Put changes in key order in."""
        edit = Edit(pages, self.token)
        last: Any = self.last
        if last is None or items[-1][0] > last:
            self.last = items[-1][0]
        self.rows = runs.put_sorted(self.rows, items, xid, edit)
        deleted = [(key, ()) for key, row in items if row is None]
        if self.dead.ref.count:
            revived: list[tuple[Key, Row | None]] = [
                (key, None) for key, row in items if row is not None
            ]
            self.dead = apply(self.dead, revived, xid, edit)
        if deleted:
            self.dead = apply(self.dead, deleted, xid, edit)

    def find(self, key: Key, pages: PageSource) -> Any:
        """The row, None when deleted, MISSING when not changed. May suspend."""
        last: Any = self.last
        if last is None or key > last:
            return MISSING
        tree = self.rows
        if tree.ref.count:
            leaf = find_leaf(tree.ref, key, tree.spec, pages)
            at = index_in(leaf, key)
            if at >= 0:
                return reader_of(tree.spec.shapes, None).read(leaf, at, tree.spec, pages)
        dead = self.dead
        if dead.ref.count and index_in(find_leaf(dead.ref, key, dead.spec, pages), key) >= 0:
            return None
        return MISSING

    def streams(self, span: KeyRange, pages: PageSource, *, reverse: bool) -> list[Iterator[Batch]]:
        """The changes of a range as sorted streams of batches."""
        streams: list[Iterator[Batch]] = []
        if self.dead.ref.count:
            reader = reader_of("", ())
            dead = cursor.batches(self.dead, span, reader, pages, reverse=reverse)
            streams.append((keys, [None] * len(keys)) for keys, _ in dead)
        if self.rows.ref.count:
            reader = reader_of(self.rows.spec.shapes, None)
            streams.append(cursor.batches(self.rows, span, reader, pages, reverse=reverse))
        return streams


class TreeWrites:
    """One generation of the changes of one tree: what snapshots from `from_command` on see."""

    __slots__ = (
        "delta",
        "from_command",
        "older",
        "order",
        "rows",
        "text_bytes",
        "weighed_rows",
    )

    def __init__(
        self, from_command: int = -1, delta: Delta | None = None, older: TreeWrites | None = None
    ) -> None:
        self.rows: dict[Key, Version] = {}
        self.order: list[Any] | None = None
        self.weighed_rows = 0
        self.text_bytes = 0
        """Estimate of what texts and bytes in `rows` weigh: each 16th row stands for 16."""
        self.delta = delta
        self.from_command = from_command
        self.older = older

    def is_heavy(self, row: Row) -> bool:
        """Called for each 16th row: whether wide values make the dict too large to keep."""
        if self.weighed_rows >= len(self.rows):
            return False  # the same row again
        self.weighed_rows = len(self.rows)
        size = sum([len(value) for value in row if type(value) is str or type(value) is bytes])
        self.text_bytes += 16 * size
        return self.text_bytes > TEXT_BYTES_MAX

    def seen_by(self, command: int) -> TreeWrites | None:
        """The generation that a snapshot of this command reads."""
        writes: TreeWrites | None = self
        while writes is not None and writes.from_command > command:
            writes = writes.older
        return writes

    def find(self, key: Key, command: int, pages: PageSource) -> Any:
        """The row as of `command`, None when deleted, MISSING when not changed. May suspend."""
        writes = self if self.from_command <= command else self.seen_by(command)
        if writes is None:
            return MISSING
        version = writes.rows.get(key)
        while version is not None and version[1] > command:
            version = version[2]
        if version is not None:
            return version[0]
        return MISSING if writes.delta is None else writes.delta.find(key, pages)

    def sorted_keys(self) -> list[Any]:
        """The changed keys in order; kept until another key is changed."""
        if self.order is None or len(self.order) != len(self.rows):
            self.order = sorted(self.rows)
        return self.order

    def streams(
        self, span: KeyRange, command: int, pages: PageSource, *, reverse: bool
    ) -> list[Iterator[Batch]]:
        """Changes of a range as of `command`, as sorted streams, the newest last."""
        writes = self.seen_by(command)
        if writes is None:
            return []
        streams = []
        if writes.delta is not None:
            streams += writes.delta.streams(span, pages, reverse=reverse)
        order = writes.sorted_keys()
        low, high = span.slice_of(order)
        keys, rows = [], []
        for key in order[low:high]:
            version: Version | None = writes.rows[key]
            while version is not None and version[1] > command:
                version = version[2]
            if version is not None:
                keys.append(key)
                rows.append(version[0])
        if keys:
            if reverse:
                keys.reverse()
                rows.reverse()
            streams.append(iter([(keys, rows)]))
        return streams


class WriteSet:
    """All changes of one transaction, its commands and savepoints."""

    __slots__ = ("_undo", "command", "live", "savepoints", "trees")

    def __init__(self) -> None:
        self.trees: dict[int, TreeWrites] = {}
        self.command = 0
        self.live: list[int] = []
        """Commands of the snapshots that are not released yet, ascending; `Snapshot` keeps them."""
        self.savepoints: list[tuple[int, int]] = []
        """(command, length of the undo list) of each open savepoint."""
        self._undo: list[tuple[dict[Key, Version], Key]] = []

    def put(self, tree_id: int, key: Key, row: Row | None) -> TreeWrites:
        """Note a row, or None for a deleted one."""
        writes = self.trees.get(tree_id)
        if writes is None:
            writes = self.trees[tree_id] = TreeWrites()
        rows = writes.rows
        old = rows.get(key)
        command = self.command
        savepoints = self.savepoints
        if old is None:
            rows[key] = (row, command, None)
            if savepoints and writes.from_command <= savepoints[-1][0]:
                self._undo.append((rows, key))
            return writes
        written = old[1]
        live = self.live
        saved = savepoints[-1][0] if savepoints else -1
        if written > saved and (not live or written > live[-1]):
            rows[key] = (row, command, old[2])  # nobody can see the version in between
            return writes
        if old[2] is not None and written <= min(
            live[0] if live else command, savepoints[0][0] if savepoints else command
        ):
            old = (old[0], written, None)  # all who look back see this one at least
        rows[key] = (row, command, old)
        if savepoints and writes.from_command <= saved:
            self._undo.append((rows, key))
        return writes

    def spill(
        self,
        tree_id: int,
        spec: TreeSpec,
        xid: int,
        pages: PageSource,
        check_slice: Callable[[], None],
    ) -> Delta:
        """Move a tree's newest versions into its delta, giving way after each 512 rows."""
        writes = self.delta_of(tree_id, spec)
        delta = writes.delta
        assert delta is not None
        rows = writes.rows
        if rows:
            order = writes.sorted_keys()
            for start in range(0, len(order), _SLICE_ROWS):
                part = [(key, rows[key][0]) for key in order[start : start + _SLICE_ROWS]]
                delta.add(part, xid, pages)
                check_slice()
            writes.rows = {}
            writes.order = None
            writes.text_bytes = writes.weighed_rows = 0
        return delta

    def delta_of(self, tree_id: int, spec: TreeSpec) -> TreeWrites:
        """The tree's writes with a delta that may be changed: a new generation if one is read."""
        writes = self.trees.get(tree_id)
        if writes is None:
            writes = self.trees[tree_id] = TreeWrites()
        needed = max(
            self.live[-1] if self.live else -1, self.savepoints[-1][0] if self.savepoints else -1
        )
        if writes.from_command <= needed:
            rows = writes.rows
            older = writes if rows or writes.delta is not None else None
            delta = Delta.empty(spec) if writes.delta is None else writes.delta.fork()
            writes = TreeWrites(self.command, delta, older)
            if older is not None and rows:
                held: list[tuple[Key, Row | None]] = [
                    (key, rows[key][0]) for key in older.sorted_keys()
                ]
                writes.rows = {key: (row, self.command, None) for key, row in held}
            self.trees[tree_id] = writes
            self._drop_older(writes)
        elif writes.delta is None:
            writes.delta = Delta.empty(spec)
        return writes

    def _drop_older(self, writes: TreeWrites) -> None:
        """Forget generations that no live snapshot or savepoint can read."""
        oldest = min(
            self.live[0] if self.live else self.command,
            self.savepoints[0][0] if self.savepoints else self.command,
        )
        generation: TreeWrites | None = writes
        while generation is not None:
            if generation.from_command <= oldest:
                generation.older = None
            generation = generation.older

    # --- savepoints

    def save(self) -> None:
        """Open a savepoint: what follows can be taken back."""
        self.savepoints.append((self.command, len(self._undo)))
        self.command += 1

    def take_back(self, depth: int) -> None:
        """Undo everything after savepoint `depth` (from 0), which stays open."""
        command, length = self.savepoints[depth]
        undo = self._undo
        while len(undo) > length:
            rows, key = undo.pop()
            older = rows[key][2]
            if older is None:
                del rows[key]
            else:
                rows[key] = older
        for tree_id, writes in list(self.trees.items()):
            kept = writes.seen_by(command)
            if kept is None:
                del self.trees[tree_id]
            else:
                kept.order = None
                self.trees[tree_id] = kept
        del self.savepoints[depth + 1 :]
        self.savepoints[depth] = (command, length)

    def release(self, depth: int) -> None:
        """Forget savepoint `depth` and those inside it; what they did stays."""
        del self.savepoints[depth:]
        if not self.savepoints:
            self._undo.clear()

    def is_empty(self) -> bool:
        """Whether nothing was changed."""
        return not self.trees


def leaves_of(tree: TreeRoot, pages: PageSource) -> Iterator[Leaf]:
    """The leaves of a private tree in order. May suspend."""
    return cursor.leaves(tree.ref, EVERYTHING, tree.spec, pages, reverse=False)
