"""SERIALIZABLE: serializable snapshot isolation (Cahill, Röhm, Fekete 2008; Ports, Grittner 2012).

Every serializable transaction runs on one snapshot and remembers what it read. Between concurrent
ones, R -> W means: R read something of which W wrote the next version (R comes before W in any
serial order). A cycle needs a *pivot* with such an edge in and one out, T1 -> pivot -> T3, with
T3 the first of the three to commit; whoever would complete that fails with 40001.

Differences to PostgreSQL: writes become visible only at commit here, so every edge is found at some
transaction's commit, none at a read or write; what was read are keys and key ranges, not pages;
past 1,000 per tree they become the whole tree.

A read-only T1 is dangerous only if T3 had committed when T1 took its snapshot.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final

from helios_storage.cursor import KeyRange
from helios_storage.errors import SerializationConflict
from helios_storage.spec import Key

READS_MAX: Final = 1000
"""Keys and ranges of one tree that are remembered one by one."""


class TreeReads:
    """What one transaction read of one tree."""

    __slots__ = ("everything", "keys", "ranges")

    def __init__(self) -> None:
        self.keys: set[Key] = set()
        self.ranges: list[KeyRange] = []
        self.everything = False

    def meets(self, written: list[Any]) -> bool:
        """Whether any of these keys, in order, was read."""
        if not written:
            return False
        if self.everything:
            return True
        keys = self.keys
        if len(keys) < len(written):
            if any(_has(written, key) for key in keys):
                return True
        elif any(key in keys for key in written):
            return True
        for span in self.ranges:
            low, high = span.slice_of(written)
            if low < high:
                return True
        return False


def _has(ordered: list[Any], key: Key) -> bool:
    at = bisect_left(ordered, key)
    return at < len(ordered) and bool(ordered[at] == key)


class ReadSet:
    """What a serializable transaction read, per tree."""

    __slots__ = ("trees",)

    def __init__(self) -> None:
        self.trees: dict[int, TreeReads] = {}

    def add_key(self, tree_id: int, key: Key) -> None:
        """A point was read, whether a row was there or not."""
        reads = self.trees.get(tree_id)
        if reads is None:
            reads = self.trees[tree_id] = TreeReads()
        if not reads.everything:
            reads.keys.add(key)
            if len(reads.keys) > READS_MAX:
                self._coarsen(reads)

    def add_range(self, tree_id: int, span: KeyRange) -> None:
        """A range was read, or begun to be read."""
        reads = self.trees.get(tree_id)
        if reads is None:
            reads = self.trees[tree_id] = TreeReads()
        if reads.everything:
            return
        if span.low is None and span.high is None:
            self._coarsen(reads)
            return
        reads.ranges.append(span)
        if len(reads.ranges) > READS_MAX:
            self._coarsen(reads)

    @staticmethod
    def _coarsen(reads: TreeReads) -> None:
        reads.everything = True
        reads.keys.clear()
        reads.ranges.clear()


class Serializable:
    """One serializable transaction as the others see it: edges, what it read and wrote, when.

    `began` and `committed` count commits of serializable transactions: B committed before A began
    exactly if B.committed <= A.began; else they are concurrent.
    """

    __slots__ = ("began", "committed", "first_out", "reads", "writes")

    def __init__(self, began: int, reads: ReadSet) -> None:
        self.began = began
        self.committed = 0
        self.reads = reads
        self.writes: dict[int, list[Any]] = {}
        self.first_out = 0
        """When the first transaction to commit with this one -> it committed; 0: none has."""


class SerializableManager:
    """All serializable transactions that can still be part of a cycle."""

    __slots__ = ("_active", "_clock", "_committed", "aborted")

    def __init__(self) -> None:
        self._active: dict[Serializable, None] = {}
        self._committed: list[Serializable] = []
        self._clock = 0
        self.aborted = 0

    def begin(self, reads: ReadSet) -> Serializable:
        """A transaction takes its snapshot now."""
        one = Serializable(self._clock, reads)
        self._active[one] = None
        return one

    def commit(self, one: Serializable, writes: dict[int, list[Any]]) -> None:
        """Check that `one` may commit, writing these keys per tree, and note that it did.

        Raises `SerializationConflict`; then `one` is to be rolled back and nothing has changed.
        """
        one.writes = writes
        now = self._clock + 1
        outs = [
            other
            for other in self._committed
            if other.committed > one.began and _meets(one.reads, other.writes)
        ]
        first_out = min((other.committed for other in outs), default=0)
        readers = [
            other
            for other in (*self._active, *self._committed)
            if other is not one
            and (not other.committed or other.committed > one.began)
            and _meets(other.reads, writes)
        ]
        self._check(one, outs, first_out, readers)
        one.first_out = first_out
        for other in readers:
            if not other.first_out:
                other.first_out = now
        self._clock = one.committed = now
        del self._active[one]
        self._committed.append(one)
        self._forget()

    def _check(
        self,
        one: Serializable,
        outs: list[Serializable],
        first_out: int,
        readers: list[Serializable],
    ) -> None:
        """Fail if `one` is the pivot, or the T1 before a pivot that has committed."""
        if first_out:
            for reader in readers:
                # reader -> one -> T3: T3 committed before one; before the reader too, unless the
                # reader committed first. A reader that wrote nothing must have begun after T3.
                if reader.committed and reader.committed < first_out:
                    continue
                if reader.committed and not reader.writes and reader.began < first_out:
                    continue
                self._fail("identification as a pivot, during commit attempt")
        for pivot in outs:
            # one -> pivot -> T3, pivot committed: T3 must have committed before the pivot.
            if pivot.first_out and pivot.first_out <= pivot.committed:
                if not one.writes and pivot.first_out > one.began:
                    continue
                self._fail("conflict out to a committed pivot, during commit attempt")

    def _fail(self, reason: str) -> None:
        self.aborted += 1
        raise SerializationConflict(
            "could not serialize access due to read/write dependencies among transactions",
            f"Reason code: Canceled on {reason}.",
        )

    def rollback(self, one: Serializable) -> None:
        """The transaction ended without effect."""
        self._active.pop(one, None)
        self._forget()

    def _forget(self) -> None:
        """Drop committed transactions that no active one is concurrent with."""
        if not self._active:
            self._committed.clear()
            return
        oldest = min(one.began for one in self._active)
        self._committed = [one for one in self._committed if one.committed > oldest]

    def count(self) -> tuple[int, int]:
        """(active, committed but still remembered)."""
        return len(self._active), len(self._committed)


def _meets(reads: ReadSet, writes: dict[int, list[Any]]) -> bool:
    for tree_id, keys in writes.items():
        tree = reads.trees.get(tree_id)
        if tree is not None and tree.meets(keys):
            return True
    return False
