"""Recovery: the newest root record that opens, then the log since, collapsed per key.

    1. pick   the newest root record that authenticates (its pages are checked as they are read)
    2. read   the log from there, block by block; parts of large commits wait for their commit
    3. fold   keep only the last change of each key: a row updated a thousand times is written once
    4. apply  per tree, in key order

Nothing is written here: a start that is refused leaves every file as it was. `storage.py` then
carries the log's last block, which may never have been synced, into a new synced segment.
"""

from __future__ import annotations

import gc
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final, TypeAlias

from helios_storage.errors import Corrupted, StorageRefused
from helios_storage.layout import unpack_row
from helios_storage.log import LogTail, read_log
from helios_storage.page import (
    PAGE_BYTES,
    Change,
    EditToken,
    Leaf,
    LeafRun,
    PageSource,
    Ref,
    SequenceLogged,
    TreeDropped,
    TreeMade,
    decode_page,
)
from helios_storage.reader import read_rows
from helios_storage.record import Record, RecordKind, decode_changes, split_records
from helios_storage.root import DatabaseRoot, TreeRoot
from helios_storage.root_record import RootRecord, buckets_of, decode_directory, decode_root_record
from helios_storage.runs import append_leaves, build_leaves, last_key_now
from helios_storage.seal import DataKeys, PageOpener, StoreIdentity
from helios_storage.spec import Key, Lsn, Row
from helios_storage.store import PageStore
from helios_storage.tree import Edit, Path, empty_tree, find_path, put_at

_XID_MAX: Final = 0xFFFFFFFF
_FOLDED_CHANGES_MAX: Final = 1_000_000  # then they are applied, so that memory stays bounded


@dataclass(slots=True)
class Recovered:
    """The state of a store after recovery."""

    record: RootRecord
    root: DatabaseRoot
    checkpointed: DatabaseRoot
    tail: LogTail
    next_tree_id: int
    next_xid: int
    sequences: dict[int, tuple[int, bool]]
    replaced: list[Ref] = field(default_factory=list)
    changes: int = 0


def empty_record() -> RootRecord:
    """What a store begins with: root record 0 is never stored."""
    return RootRecord(0, 0, 0, 1, 1, 1, 1, 0, (), (), ())


def pick_root(store: PageStore, opener: PageOpener) -> RootRecord:
    """The newest root record that authenticates, or the empty one of a new store.

    Raises `Corrupted` when there are records and none of them opens.
    """
    found = store.roots()
    failure: Corrupted | None = None
    for number, sealed in found:
        try:
            record = decode_root_record(opener.open(number, None, sealed))
            if record.number != number:
                raise Corrupted(f"root record {number} says that it is {record.number}")
            return record
        except Corrupted as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return empty_record()


def load_directory(record: RootRecord, store: PageStore, opener: PageOpener) -> DatabaseRoot:
    """The trees of a root record. Raises `Corrupted`."""
    trees: list[TreeRoot] = []
    sealed = store.read([page_id for _, page_id, _ in record.buckets])
    for (_, page_id, tag), data in zip(record.buckets, sealed, strict=True):
        if data is None:
            raise Corrupted(f"directory page {page_id} is referred to, but absent")
        trees += decode_directory(opener.open(page_id, tag, data))
    return DatabaseRoot(buckets_of(trees), Lsn(record.lsn))


def recover(
    store: PageStore,
    opener: PageOpener,
    keys: DataKeys,
    identity: StoreIdentity,
    log_directory: FilePath,
    pages: PageSource,
) -> Recovered:
    """The newest root and everything that the log has since.

    Raises `StorageRefused` (a gap in the log, a log older than the pages) or `Corrupted`.
    """
    record = pick_root(store, opener)
    checkpointed = load_directory(record, store, opener)
    if not record.number and store.page_count() and not any(log_directory.glob("*.log")):
        raise StorageRefused("there are pages, but neither a root record nor a log")
    recovered = Recovered(
        record,
        checkpointed,
        checkpointed,
        LogTail(),
        record.next_tree_id,
        record.next_xid,
        {number: (value, called) for number, value, called in record.sequences},
    )
    collects = gc.isenabled()
    gc.disable()  # nothing made here is a cycle, and full collections would take half of the time
    try:
        replay = _Replay(recovered, pages)
        _read(replay, recovered, keys, identity, log_directory)
        replay.finish(Lsn(recovered.tail.lsn))
    finally:
        if collects:
            gc.enable()
    return recovered


def _read(
    replay: _Replay,
    recovered: Recovered,
    keys: DataKeys,
    identity: StoreIdentity,
    log_directory: FilePath,
) -> None:
    record, tail = recovered.record, recovered.tail
    for block in read_log(log_directory, keys, identity, tail, from_lsn=record.replay_lsn):
        for one in split_records(block.records, block.lsn):
            replay.record(one)
    if tail.lsn < record.lsn:
        raise StorageRefused(f"the log ends at {tail.lsn}, yet the pages are at {record.lsn}")


_Rows: TypeAlias = "dict[Key, tuple[int, bytes | Row | None]]"


class _Fold:
    """Changes of one tree that are not applied yet: whole leaves behind its end, then rows."""

    __slots__ = ("rows", "runs")

    def __init__(self) -> None:
        self.runs: list[Leaf] = []
        self.rows: _Rows = {}


class _Replay:
    """Folds records and applies what they come to."""

    def __init__(self, recovered: Recovered, pages: PageSource) -> None:
        self._recovered = recovered
        self._pages = pages
        self._root = recovered.checkpointed.successor()
        self._edit = Edit(pages, EditToken())
        self._root.token = self._edit.token
        self._folds: dict[int, _Fold] = {}
        self._folded = 0
        self._parts: dict[int, list[bytes]] = {}
        self._lsn = recovered.record.lsn

    def record(self, record: Record) -> None:
        """Take one record of the log."""
        recovered = self._recovered
        is_new = record.lsn_after > self._lsn
        if record.kind is RecordKind.AHEAD:
            self._parts.setdefault(record.xid, []).append(record.changes)
        elif record.kind is RecordKind.ABANDON:
            self._parts.pop(record.xid, None)
        elif record.kind is RecordKind.COMMIT:
            parts = self._parts.pop(record.xid, [])
            if is_new:
                self._commit(record, parts)
        elif is_new:
            self._changes(0, decode_changes(record.changes))
        if record.xid >= recovered.next_xid:
            recovered.next_xid = record.xid + 1 if record.xid < _XID_MAX else 1

    def _commit(self, record: Record, parts: list[bytes]) -> None:
        """A commit: the trees that it made, its parts that were logged ahead, then the rest."""
        changes = decode_changes(record.changes)
        rest = next((n for n, one in enumerate(changes) if type(one) is not TreeMade), len(changes))
        self._changes(record.xid, changes[:rest])
        for part in parts:
            self._changes(record.xid, decode_changes(part))
        self._changes(record.xid, changes[rest:])

    def _changes(self, xid: int, changes: Iterable[Change]) -> None:
        folds = self._folds
        for change in changes:
            if type(change) is tuple:
                row_change: Any = change
                tree_id, key, row = row_change
                fold = folds.get(tree_id)
                if fold is None:
                    fold = folds[tree_id] = _Fold()
                fold.rows[key] = (xid, row)
                self._folded += 1
            else:
                self._other(change)
        if self._folded > _FOLDED_CHANGES_MAX:
            self._apply_all()

    def _other(self, change: Change) -> None:
        recovered = self._recovered
        if type(change) is LeafRun:
            self._leaf_run(change)
        elif type(change) is TreeMade:
            spec = change.spec
            if spec.tree_id in self._folds:
                self._apply(spec.tree_id)  # its rows have the columns of before
            tree = self._root.find(spec.tree_id)
            if tree is None:
                tree = empty_tree(spec, self._edit.token)
            self._root.put(TreeRoot(spec, tree.ref))
            recovered.next_tree_id = max(recovered.next_tree_id, spec.tree_id + 1)
        elif type(change) is TreeDropped:
            self._folds.pop(change.tree_id, None)
            self._root.drop(change.tree_id)
        else:
            assert type(change) is SequenceLogged
            recovered.sequences[change.sequence_id] = (change.value, change.called)

    def _leaf_run(self, change: LeafRun) -> None:
        tree = self._root.tree(change.tree_id)
        leaf: Any = decode_page(change.page, tree.spec)
        if type(leaf) is not Leaf:
            raise Corrupted("a leaf run of the log is no leaf")
        if not leaf.keys:
            return  # all of its rows were deleted again by the transaction that wrote them
        fold = self._folds.setdefault(change.tree_id, _Fold())
        is_behind = self._is_behind(fold, tree, leaf)
        if is_behind and fold.rows:
            self._apply(change.tree_id)
            tree = self._root.tree(change.tree_id)
            is_behind = self._is_behind(fold, tree, leaf)
        if is_behind:
            leaf.token = self._edit.token
            fold.runs.append(leaf)
            self._folded += len(leaf.keys) // 8
        else:
            rows = read_rows(leaf, tree.spec, self._pages)
            for key, writer, row in zip(leaf.keys, leaf.writers, rows, strict=True):
                fold.rows[key] = (writer, row)
            self._folded += len(rows)

    def _is_behind(self, fold: _Fold, tree: TreeRoot, leaf: Leaf) -> bool:
        """Whether a leaf's rows come behind all that the tree has so far."""
        if fold.runs:
            return bool(fold.runs[-1].keys[-1] < leaf.keys[0])
        return not tree.ref.count or bool(last_key_now(tree, self._pages) < leaf.keys[0])

    def _apply_all(self) -> None:
        for tree_id in list(self._folds):
            self._apply(tree_id)
        self._folds = {}
        self._folded = 0

    def _apply(self, tree_id: int) -> None:
        """Apply what was folded for a tree: leaves behind its end, then rows in key order."""
        fold = self._folds[tree_id]
        tree = self._root.tree(tree_id)
        if fold.runs:
            refs = [Ref(leaf, len(leaf.keys)) for leaf in fold.runs]
            tree = append_leaves(tree, refs, self._edit)
            self._edit.token.made += len(refs)
            fold.runs = []
        rows = fold.rows
        self._recovered.changes += len(rows)
        keys: list[Any] = sorted(rows)
        behind = self._first_behind(tree, keys)
        tree = self._put_rows(tree, rows, keys[:behind])
        if behind < len(keys):
            tree = self._append_rows(tree, rows, keys[behind:])
        fold.rows = {}
        self._root.put(tree)

    def _first_behind(self, tree: TreeRoot, keys: list[Any]) -> int:
        """From which key on all come behind the tree's last row."""
        return bisect_right(keys, last_key_now(tree, self._pages)) if tree.ref.count else 0

    def _put_rows(self, tree: TreeRoot, rows: _Rows, keys: list[Any]) -> TreeRoot:
        """Put rows where they belong; a leaf that is changed in place is found once."""
        spec, edit = tree.spec, self._edit
        ref: Any = None
        path: Path = []
        bound: Any = None
        for key in keys:
            xid, row = rows[key]
            if type(row) is bytes:
                row = unpack_row(spec, row)
            if ref is None or (bound is not None and key >= bound):
                ref, path = find_path(tree.ref, key, spec, edit.pages)
                bound = next(
                    (page.keys[at] for _, page, at in reversed(path) if at < len(page.keys)), None
                )
            changed = put_at(tree, ref, path, key, row, xid, edit)  # type: ignore[arg-type]
            is_ours = ref.page.token is edit.token and _is_way(path, ref)
            if changed is not tree or row is None or not is_ours:
                tree, ref = changed, None  # the way to the leaf is another one now
        return tree

    def _append_rows(self, tree: TreeRoot, rows: _Rows, keys: list[Any]) -> TreeRoot:
        """Rows behind all others: leaves built side by side, each row with its writer."""
        spec, edit = tree.spec, self._edit
        kept = [key for key in keys if rows[key][1] is not None]
        values: list[Any] = [rows[key][1] for key in kept]
        unpacked = [unpack_row(spec, row) if type(row) is bytes else row for row in values]
        refs = build_leaves(spec, kept, unpacked, 0, edit)
        at = 0
        for ref in refs:
            leaf: Any = ref.page
            end = at + len(leaf.keys)
            leaf.writers = array("I", [rows[key][0] for key in kept[at:end]])
            at = end
        return append_leaves(tree, refs, edit)

    def finish(self, lsn: Lsn) -> None:
        """Apply the rest. Parts whose commit never came are dropped."""
        self._apply_all()
        token = self._edit.token
        recovered = self._recovered
        if lsn > self._lsn:
            self._root.lsn = lsn
            recovered.root = self._root
            recovered.replaced = token.replaced
            token.replaced = []
            self._pages.grown(token.made * PAGE_BYTES)


def _is_way(path: Path, ref: Ref) -> bool:
    """Whether a path still leads to its leaf after a row was put: the leaf was not split.

    After a deletion nothing is sure: any page of the path may have been joined with another.
    """
    if not path:
        return True
    _, parent, at = path[-1]
    return at < len(parent.children) and parent.children[at] is ref
