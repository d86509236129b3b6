"""The database root: every tree's root at one moment, and the registry of the roots being read.

The directory is two levels of dicts, tree id -> bucket -> `TreeRoot`: a commit copies the top and
the buckets that it changes, not 20,000 entries; a lookup is two dict reads.

    newest   what commits build on. While nobody pins it, commits change it in place.
    durable  the newest root whose commits are all synced; transactions that have not written read
             it, unless their session has seen something newer.

Pinning is what makes a root immutable: the first commit after a pin works under a new edit token.
So a durable root costs the writers a copy of every page that they change between two syncs. It is
kept while somebody reads it; without readers (TPC-B) there is none, and the first reader who comes
takes the newest root, and waits for the sync under way before he may tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from helios_storage.errors import NoSuchTree
from helios_storage.page import EditToken, Ref
from helios_storage.spec import Lsn, TreeId, TreeSpec

BUCKET_BITS: Final = 7
BUCKET_MASK: Final = (1 << BUCKET_BITS) - 1
_KEPT_SYNCS: Final = 64
"""For so many syncs after its last reader a durable root is still kept."""


class TreeRoot:
    """One tree at one root. Never changed: a new root page or spec is a new `TreeRoot`."""

    __slots__ = ("ref", "spec")

    def __init__(self, spec: TreeSpec, ref: Ref) -> None:
        self.spec = spec
        self.ref = ref


class DatabaseRoot:
    """All trees at one moment. `pins` counts its readers; `lsn` the last commit that is in it."""

    __slots__ = ("_owned", "buckets", "dropped", "lsn", "pins", "token")

    def __init__(self, buckets: dict[int, dict[int, TreeRoot]], lsn: Lsn) -> None:
        self.buckets = buckets
        self.lsn = lsn
        self.pins = 0
        self.token = EditToken()
        self.dropped: list[TreeRoot] = []
        """Trees taken out since durability was last told of it: their pages are to be deleted."""
        self._owned: set[int] = set()

    def tree(self, tree_id: int) -> TreeRoot:
        """The tree's root here. Raises `NoSuchTree`."""
        try:
            return self.buckets[tree_id >> BUCKET_BITS][tree_id & BUCKET_MASK]
        except KeyError:
            raise NoSuchTree(f"tree {tree_id} does not exist") from None

    def find(self, tree_id: int) -> TreeRoot | None:
        """The tree's root here, if it exists."""
        bucket = self.buckets.get(tree_id >> BUCKET_BITS)
        return None if bucket is None else bucket.get(tree_id & BUCKET_MASK)

    def trees(self) -> Iterator[TreeRoot]:
        """Every tree, in order of ids."""
        for number in sorted(self.buckets):
            bucket = self.buckets[number]
            for slot in sorted(bucket):
                yield bucket[slot]

    def successor(self) -> DatabaseRoot:
        """The root that the next commit may change: nothing of this one is changed by it."""
        return DatabaseRoot(self.buckets.copy(), self.lsn)

    def _bucket(self, number: int) -> dict[int, TreeRoot]:
        bucket = self.buckets.get(number)
        if bucket is None:
            bucket = self.buckets[number] = {}
            self._owned.add(number)
        elif number not in self._owned:
            bucket = self.buckets[number] = bucket.copy()
            self._owned.add(number)
        return bucket

    def put(self, tree: TreeRoot) -> None:
        """Put a tree's new root in. Only on a root that nobody has pinned."""
        assert not self.pins
        tree_id = tree.spec.tree_id
        self._bucket(tree_id >> BUCKET_BITS)[tree_id & BUCKET_MASK] = tree

    def drop(self, tree_id: TreeId) -> TreeRoot | None:
        """Take a tree out. Only on a root that nobody has pinned."""
        assert not self.pins
        number = tree_id >> BUCKET_BITS
        if self.find(tree_id) is None:
            return None
        bucket = self._bucket(number)
        tree = bucket.pop(tree_id & BUCKET_MASK)
        self.dropped.append(tree)
        if not bucket:
            del self.buckets[number]
            self._owned.discard(number)
        return tree


class Roots:
    """The newest and the durable root, and every older one that is still read."""

    __slots__ = ("_kept_syncs", "_read", "durable", "newest", "pending", "schema_lsn")

    def __init__(self, root: DatabaseRoot) -> None:
        self.newest = root
        self.durable: DatabaseRoot | None = root
        """None: not kept, since nobody reads it."""
        self.pending: dict[int, Lsn] = {}
        """Commits that are published but not durable: transaction id -> LSN, oldest first."""
        self.schema_lsn = Lsn(0)
        """Of the newest commit that changed more than rows; 0: it is durable."""
        self._kept_syncs = _KEPT_SYNCS
        root.pins += 1
        self._read: dict[DatabaseRoot, None] = {}

    def pin(self, root: DatabaseRoot) -> DatabaseRoot:
        """Keep `root` as it is until `unpin`; O(1)."""
        root.pins += 1
        return root

    def unpin(self, root: DatabaseRoot) -> None:
        """One reader less. The last one lets an older root's pages go."""
        root.pins -= 1
        if not root.pins and root is not self.newest:
            self._read.pop(root, None)

    def readable(self) -> DatabaseRoot:
        """The root for who has not written: the durable one, else the newest.

        What is read of one that is not durable may be told only when it is (invariant 13).
        """
        self._kept_syncs = _KEPT_SYNCS
        return self.durable or self.newest

    def writable(self) -> DatabaseRoot:
        """The root that the next commit works on: the newest itself, or its successor."""
        root = self.newest
        return root.successor() if root.pins else root

    def publish(self, root: DatabaseRoot, lsn: Lsn) -> None:
        """Make `root` the newest. It is durable only once `durable_lsn >= lsn`.

        Writers build on it at once: they queue behind one sync, not behind each other.
        A session that saw it holds its replies until then (README, invariant 13).
        """
        root.lsn = lsn
        before = self.newest
        if root is not before:
            self.newest = root
            if before.pins:
                self._read[before] = None

    def keep_durable(self) -> None:
        """Keep the roots of the next syncs: somebody is about to need one."""
        self._kept_syncs = _KEPT_SYNCS

    def settle(self, lsn: Lsn) -> None:
        """Commits up to `lsn` are durable now."""
        pending = self.pending
        if pending:
            self.pending = {xid: at for xid, at in pending.items() if at > lsn}
        if self.schema_lsn <= lsn:
            self.schema_lsn = Lsn(0)

    def cut(self) -> DatabaseRoot | None:
        """At the start of a sync: the newest root, pinned, which `make_durable` gets when that is
        done; None while nobody reads durable roots."""
        if not self._kept_syncs:
            return None
        self._kept_syncs -= 1
        return self.pin(self.newest)

    def make_durable(self, root: DatabaseRoot | None) -> None:
        """The sync that began at this `cut` is done. Takes over the cut's pin."""
        before = self.durable
        if root is not None and before is not None and root.lsn < before.lsn:
            self.unpin(root)
            return
        self.durable = root
        if before is not None:
            self.unpin(before)

    def oldest_lsn(self) -> Lsn:
        """The LSN of the oldest root that anybody reads: what older commits dropped is free."""
        for root in self._read:
            return root.lsn
        return self.newest.lsn

    def count_read(self) -> int:
        """How many roots older than the newest are still read."""
        return len(self._read)
