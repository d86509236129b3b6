"""External sort: rows in any order into a new tree, in bounded memory (index builds, reclustering).

Rows are sorted 65,536 at a time; each such run is a private tree of its own, stored early and
evicted like any other. Runs that follow each other are one run, so rows that come in order are
never merged. `finish` merges the runs a stretch at a time: of every run's batch at hand it takes
what is not beyond the lowest last key, and lets one sort put that in order (0.3 us a row).
"""

from __future__ import annotations

import operator
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from helios_storage import cursor
from helios_storage.cursor import EVERYTHING, Batch
from helios_storage.page import EditToken
from helios_storage.reader import reader_of
from helios_storage.root import TreeRoot
from helios_storage.runs import append_leaves, build_leaves
from helios_storage.spec import Key, Row
from helios_storage.tree import Edit, check_key, empty_tree

if TYPE_CHECKING:
    from helios_storage.transaction import Transaction

RUN_ROWS: Final = 65_536
_RUN_BYTES: Final = 8 * 1024 * 1024
_RUN_PAGES_MIN: Final = 64
"""A run is stored when it ends: 77 runs of 5M index entries must not wait for 8 MB each."""
_SLICE_ROWS: Final = 512


class _Run:
    """Rows in key order as a private tree."""

    __slots__ = ("last", "token", "tree")

    def __init__(self, tree: TreeRoot, token: EditToken) -> None:
        self.tree = tree
        self.token = token
        self.last: Any = None


class SortedRuns:
    """Rows of a tree that the transaction has made and put nothing into yet.

    `duplicate`: a key that came more than once, noticed when it was sorted or merged; which of its
    rows stays is open.
    """

    __slots__ = ("_bytes", "_keys", "_rows", "_runs", "_transaction", "_tree_id", "duplicate")

    def __init__(self, transaction: Transaction, tree_id: int) -> None:
        transaction.begin_bulk(tree_id)
        self._transaction = transaction
        self._tree_id = tree_id
        self._keys: list[Any] = []
        self._rows: list[Row] = []
        self._bytes = 0
        self._runs: list[_Run] = []
        self.duplicate: Key | None = None

    def add(self, keys: Sequence[Any], rows: Sequence[Row]) -> None:
        """Take rows in any order. May suspend. Raises `KeyTooLong`."""
        if not keys:
            return
        self._keys += keys
        self._rows += rows
        if type(keys[0]) is bytes:
            check_key(max(keys, key=len))
        row = rows[0]
        size = sum([len(value) for value in row if type(value) is str or type(value) is bytes])
        self._bytes += size * len(keys)
        if len(self._keys) >= RUN_ROWS or self._bytes >= _RUN_BYTES:
            self._end_run()

    def finish(self) -> Key | None:
        """Put everything into the tree, in order; `duplicate`. May suspend."""
        if self._keys:
            self._end_run()
        transaction = self._transaction
        delta = transaction.spill_all(self._tree_id)
        assert delta.last is None, "the tree is not new"
        runs, self._runs = self._runs, []
        if runs:
            run = runs[0] if len(runs) == 1 else self._merged(runs)
            delta.rows, delta.token, delta.last = run.tree, run.token, run.last
        return self.duplicate

    def _new_run(self) -> _Run:
        token = EditToken()
        return _Run(empty_tree(self._transaction.spec(self._tree_id), token), token)

    def _end_run(self) -> None:
        keys, rows = self._keys, self._rows
        self._keys, self._rows, self._bytes = [], [], 0
        if not all(map(operator.lt, keys, keys[1:])):
            keys, rows = self._in_order(keys, rows)
        transaction = self._transaction
        run = self._runs[-1] if self._runs else None
        if run is None or not run.last < keys[0]:
            run = self._new_run()
            self._runs.append(run)
        self._append(run, keys, rows)
        transaction.manager.store_early(transaction.xid, run.token, [run.tree.ref], _RUN_PAGES_MIN)

    def _append(self, run: _Run, keys: list[Any], rows: list[Row]) -> None:
        """Rows behind all of a run, in slices."""
        transaction = self._transaction
        manager = transaction.manager
        edit = Edit(transaction.pages, run.token)
        spec = run.tree.spec
        for start in range(0, len(keys), _SLICE_ROWS):
            part = keys[start : start + _SLICE_ROWS]
            values = rows[start : start + _SLICE_ROWS]
            refs = build_leaves(spec, part, values, transaction.xid, edit)
            run.tree = append_leaves(run.tree, refs, edit)
            run.last = part[-1]
            manager.store_early(transaction.xid, run.token, [run.tree.ref])
            manager.scheduler.check_slice()

    def _in_order(self, keys: list[Any], rows: list[Any]) -> tuple[list[Any], list[Any]]:
        """Sorted by key; of equal keys one stays."""
        row_of = dict(zip(keys, rows, strict=True))
        ordered = sorted(row_of)
        if len(ordered) < len(keys) and self.duplicate is None:
            keys.sort()
            self.duplicate = next(a for a, b in pairwise(keys) if a == b)
        return ordered, [row_of[key] for key in ordered]

    def _merged(self, runs: list[_Run]) -> _Run:
        target = self._new_run()
        streams = [self._batches(run.tree) for run in runs]
        heads: list[tuple[Batch, Iterator[Batch]]] = []
        for stream in streams:
            batch = next(stream, None)
            if batch is not None:
                heads.append((batch, stream))
        while heads:
            bound = min([batch[0][-1] for batch, _ in heads])
            keys: list[Any] = []
            rows: list[Any] = []
            left: list[tuple[Batch, Iterator[Batch]]] = []
            for (part, values), stream in heads:
                at = bisect_right(part, bound)
                keys += part[:at]
                rows += values[:at]
                batch = (part[at:], values[at:]) if at < len(part) else next(stream, None)
                if batch is not None:
                    left.append((batch, stream))
            heads = left
            if not all(map(operator.lt, keys, keys[1:])):
                keys, rows = self._in_order(keys, rows)
            self._append(target, keys, rows)
        return target

    def _batches(self, tree: TreeRoot) -> Iterator[Batch]:
        reader = reader_of(tree.spec.shapes, None)
        return cursor.batches(tree, EVERYTHING, reader, self._transaction.pages)
