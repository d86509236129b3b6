"""A transaction: its snapshots, its write set, its locks; what the engine holds in its hands.

READ COMMITTED takes a root per statement, REPEATABLE READ and SERIALIZABLE one for all. Until a
transaction has written it reads the newest durable root (never one older than its session has
seen), so that readers wait for no sync; from then on the newest.
"""

from __future__ import annotations

import enum
import operator
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from helios_storage.errors import (
    LockNotAvailable,
    NoSuchTree,
    ReadOnlyTransaction,
    SerializationConflict,
    TransactionEnded,
)
from helios_storage.layout import layout_of
from helios_storage.locks import (
    LockManager,
    LockOwner,
    LockPolicy,
    LockStrength,
    ObjectId,
    TableLockMode,
)
from helios_storage.page import EditToken, Inner, Leaf, PageSource, Ref
from helios_storage.reader import Reader, read_whole
from helios_storage.root import DatabaseRoot, Roots, TreeRoot
from helios_storage.scheduler import Scheduler
from helios_storage.serializable import ReadSet, Serializable, SerializableManager
from helios_storage.snapshot import Snapshot
from helios_storage.spec import KEY_BYTES_MAX, Key, Lsn, Row, TreeId, TreeSpec
from helios_storage.tree import check_key, find_leaf, index_in
from helios_storage.write_set import MISSING, ROWS_MAX, Delta, WriteSet

__all__ = [
    "Isolation",
    "LockPolicy",
    "LockStrength",
    "Locked",
    "Snapshot",
    "TableLockMode",
    "Transaction",
]


_RUN_MIN: Final = 1024
"""Rows in key order that `put_many` takes past the write set's dict."""


class Isolation(enum.IntEnum):
    """SQL's levels; READ UNCOMMITTED is READ COMMITTED."""

    READ_COMMITTED = 1
    REPEATABLE_READ = 2
    SERIALIZABLE = 3


class Locked(NamedTuple):
    """What is there after a row lock was taken.

    `row` is the newest version (None: gone). `changed`: not the version that the snapshot saw, so
    the statement's recheck must run. `key` differs from the key asked for when the row's primary
    key was changed meanwhile.
    """

    row: Row | None
    changed: bool
    key: Key


class Shared(Protocol):
    """What all transactions of a storage share (`manager.TransactionManager`)."""

    roots: Roots
    pages: PageSource
    scheduler: Scheduler
    locks: LockManager
    serializable: SerializableManager
    moves: dict[tuple[int, Key], tuple[Key, Lsn]]
    failure: BaseException | None
    writers: int

    def new_xid(self) -> int: ...

    def commit(self, transaction: Transaction, on_publish: Callable[[], None] | None) -> Lsn: ...

    def rollback(self, transaction: Transaction) -> None: ...

    def store_early(
        self, xid: int, token: EditToken, refs: list[Ref], pages_min: int = ...
    ) -> None: ...


class Transaction:
    """See `storage.begin`. Loop's thread only. After `commit`, `rollback`: of no more use."""

    __slots__ = (
        "_near",
        "_point",
        "_root",
        "_savepoint_marks",
        "is_active",
        "is_momentary",
        "isolation",
        "manager",
        "mass",
        "moves",
        "owner",
        "pages",
        "read_only",
        "reads",
        "roots",
        "seen",
        "serializable",
        "specs",
        "writes",
        "xid",
    )

    def __init__(
        self,
        manager: Shared,
        isolation: Isolation,
        owner: LockOwner,
        seen: Lsn,
        *,
        read_only: bool,
    ) -> None:
        self.manager = manager
        self.roots = manager.roots
        self.pages = manager.pages
        self.isolation = isolation
        self.read_only = read_only
        self.owner = owner
        self.seen = seen
        """The highest LSN that anything read in this transaction may come from."""
        self.xid = 0
        """Given at the first write; 0: has not written."""
        self.is_active = True
        self.is_momentary = False
        """It ends within the plain call that began it: an object lock that is free is not taken."""
        self.writes = WriteSet()
        self.specs: dict[int, TreeSpec | None] = {}
        """Trees made, widened or (None) dropped here."""
        self.moves: dict[tuple[int, Key], Key] = {}
        self.mass: set[int] = set()
        """Trees whose delta is the lock set (`LockManager.hold_many`)."""
        self.reads: ReadSet | None = None
        self.serializable: Serializable | None = None
        self._root: DatabaseRoot | None = None
        self._point: Snapshot | None = None
        """The snapshot of plain calls, used again by each."""
        self._near: tuple[DatabaseRoot, Lsn, TreeRoot, Leaf] | None = None
        """The leaf that was looked at last: rows are often updated in key order."""
        self._savepoint_marks: list[tuple[dict[int, TreeSpec | None], dict[tuple[int, Key], Key]]]
        self._savepoint_marks = []

    def check_slice(self) -> None:
        """Give way to others when the slice is used up."""
        self.manager.scheduler.check_slice()

    def left_nothing(self) -> bool:
        """Whether it has written nothing and holds no lock: then it need not be ended."""
        owner = self.owner
        return not (self.xid or self.writes.trees or owner.weak or owner.row_log)

    # --- reading

    def snapshot(self, *, newest: bool = False) -> Snapshot:
        """What a statement sees: the committed state at its start and this transaction's changes.

        `newest`: for a statement that will lock what it finds. It reads what is committed but
        perhaps not durable yet, which saves rechecks; the session's replies wait for the sync.
        """
        roots = self.roots
        root = self._root
        if root is None:
            if not self.is_active:
                raise TransactionEnded("the transaction has ended")
            if newest or self.xid or self.specs:
                root = roots.newest
            else:
                root = roots.readable()
                if root.lsn < self.seen:
                    root = roots.newest
            if self.isolation > 1:
                if not self.read_only or self.isolation is Isolation.SERIALIZABLE:
                    root = roots.newest  # SSI counts commits from here: it must see them all
                self._root = roots.pin(root)
                if self.isolation is Isolation.SERIALIZABLE:
                    self.reads = ReadSet()
                    self.serializable = self.manager.serializable.begin(self.reads)
        if root.lsn > self.seen:
            self.seen = root.lsn
        root.pins += 1
        writes = self.writes
        command = writes.command
        writes.command = command + 1
        writes.live.append(command)
        return Snapshot(self, root, command)

    def point_snapshot(self) -> Snapshot:
        """A snapshot of the newest root for one plain call that reads rows by key.

        What it is told of is not the root's LSN but that of the rows it finds, so its answer waits
        only for commits that it depends on (README, invariant 13). Other reads count as usual.
        A plain call never suspends, so nothing is pinned for it: it ends with the call, released
        or not (1.2 us less, and commits change their pages in place).
        """
        roots = self.roots
        if self.isolation > 1 or self.specs or roots.schema_lsn or not self.is_active:
            return self.snapshot(newest=True)
        writes = self.writes
        command = writes.command
        writes.command = command + 1
        snapshot = self._point
        if snapshot is None:
            snapshot = self._point = Snapshot(self, roots.newest, command)
            snapshot.is_exact = snapshot.is_released = True
        else:
            snapshot.root = roots.newest
            snapshot.command = command
        return snapshot

    def saw_all(self, root: DatabaseRoot) -> None:
        """What was read says something about every commit in `root`."""
        if root.lsn > self.seen:
            self.seen = root.lsn

    def saw_row(self, leaf: Leaf, at: int) -> None:
        """A row was read: it tells of the commit that wrote it."""
        lsn = self.roots.pending.get(leaf.writers[at])
        if lsn is not None and lsn > self.seen:
            self.seen = lsn

    def newest(self, tree_id: int, key: Key, reader: Reader | None = None) -> Row | None:
        """The row as of now: own writes, else the newest committed root. May suspend.

        For unique and foreign keys, which must see what every other transaction has committed.
        """
        writes = self.writes.trees.get(tree_id)
        pages = self.pages
        if writes is not None:
            row = writes.find(key, self.writes.command, pages)
            if row is not MISSING:
                return row if row is None or reader is None else reader.project(row)
        found = self._find_newest(tree_id, key)
        if found is None:
            return None
        tree, leaf, at = found
        if reader is None:
            return read_whole(leaf, at, tree.spec, pages)
        return reader.read(leaf, at, tree.spec, pages)

    def _find_newest(self, tree_id: int, key: Key) -> tuple[TreeRoot, Leaf, int] | None:
        """Where the newest committed version of a row is. May suspend."""
        roots = self.roots
        root = roots.newest
        if not self.specs:
            near = self._near
            if near is not None and near[0] is root and near[1] == root.lsn:
                page: Any = near[3]
                keys = page.keys
                if near[2].spec.tree_id == tree_id and keys[0] <= key <= keys[-1]:
                    at = bisect_left(keys, key)
                    if keys[at] != key:
                        self.saw_all(root)
                        return None
                    if roots.pending:
                        self.saw_row(page, at)
                    return (near[2], page, at)
            tree = root.tree(tree_id)
            page = tree.ref.page
            while type(page) is Inner:
                page = page.children[bisect_right(page.keys, key)].page
            if page is not None:
                keys = page.keys
                at = bisect_left(keys, key)
                if at == len(keys):
                    self.saw_all(root)
                    return None
                self._near = (root, root.lsn, tree, page)
                if keys[at] != key:
                    self.saw_all(root)
                    return None
                if roots.pending:
                    self.saw_row(page, at)
                return (tree, page, at)
        return self._load_newest(tree_id, key)

    def _load_newest(self, tree_id: int, key: Key) -> tuple[TreeRoot, Leaf, int] | None:
        roots = self.roots
        while True:
            root = roots.newest
            if self.specs.get(tree_id, self) is None:
                raise NoSuchTree(f"tree {tree_id} does not exist")
            tree = root.find(tree_id)
            if tree is None:
                if tree_id in self.specs:
                    return None
                tree = root.tree(tree_id)
            lsn = root.lsn
            leaf = find_leaf(tree.ref, key, tree.spec, self.pages)
            if root is roots.newest and root.lsn == lsn:  # else it suspended: look again
                break
        if lsn > self.seen:
            self.seen = lsn
        at = index_in(leaf, key)
        return (tree, leaf, at) if at >= 0 else None

    # --- locking

    def lock_row(
        self,
        snapshot: Snapshot | None,
        tree_id: int,
        key: Key,
        strength: LockStrength = LockStrength.UPDATE,
        policy: LockPolicy = LockPolicy.WAIT,
        timeout_ms: int = 0,
    ) -> Locked | None:
        """Lock a row that `snapshot` saw; what is there now. None: SKIP LOCKED skipped it.

        Follows the row to its new place when its primary key was changed meanwhile. Raises
        `SerializationConflict` above READ COMMITTED when the row is not what the snapshot saw,
        `LockNotAvailable`, `DeadlockDetected`; on a plain call `Blocked`.
        """
        if tree_id in self.writes.trees:
            own = self._own_row(snapshot, tree_id, key)
            if own is not None:
                return own
        first_key = key
        while True:
            try:
                self.manager.locks.lock_row(self.owner, tree_id, key, strength, policy, timeout_ms)
            except LockNotAvailable:
                if policy is LockPolicy.SKIP:
                    return None
                raise
            found = self._find_newest(tree_id, key)
            if key == first_key and (
                snapshot is None
                or snapshot.root is self.roots.newest
                or not self._is_changed(snapshot.root, tree_id, key, found)
            ):
                changed = False
            else:
                changed = True
                if self.isolation > 1:
                    gone = "delete" if found is None else "update"
                    raise SerializationConflict(
                        f"could not serialize access due to concurrent {gone}"
                    )
            if found is not None:
                tree, leaf, at = found
                row = read_whole(leaf, at, tree.spec, self.pages)
                return Locked(row, changed, key)
            moved = self.manager.moves.get((tree_id, key)) if changed else None
            if moved is None:
                return Locked(None, changed, key)
            key = moved[0]

    def _own_row(self, snapshot: Snapshot | None, tree_id: int, key: Key) -> Locked | None:
        """What this transaction itself made of the row; no lock is needed for that."""
        writes = self.writes.trees[tree_id]
        pages = self.pages
        row = writes.find(key, self.writes.command, pages)
        if row is MISSING:
            return None
        if snapshot is None:
            return Locked(row, changed=False, key=key)
        before = writes.find(key, snapshot.command, pages)
        return Locked(row, changed=before is not row and before != row, key=key)

    def _is_changed(
        self,
        root: DatabaseRoot,
        tree_id: int,
        key: Key,
        found: tuple[TreeRoot, Leaf, int] | None,
    ) -> bool:
        """Whether the newest version is another one than an older root's: another writer's."""
        tree = root.find(tree_id)
        if tree is None:
            return found is not None
        before = find_leaf(tree.ref, key, tree.spec, self.pages)
        if found is None:
            return index_in(before, key) >= 0
        leaf, at = found[1], found[2]
        if leaf is before:
            return False
        was = index_in(before, key)
        return was < 0 or before.writers[was] != leaf.writers[at]

    def lock_key(
        self,
        tree_id: int,
        key: Key,
        strength: LockStrength = LockStrength.UPDATE,
        policy: LockPolicy = LockPolicy.WAIT,
        timeout_ms: int = 0,
    ) -> bool:
        """Lock a key whether a row is there or not (unique checks): then look with `newest`.

        True: it was free at once. Held to the end, for deleted keys too. Raises as `lock_row`.
        """
        return self.manager.locks.lock_row(self.owner, tree_id, key, strength, policy, timeout_ms)

    def lock_object(
        self,
        object_id: ObjectId,
        mode: TableLockMode,
        policy: LockPolicy = LockPolicy.WAIT,
        timeout_ms: int = 0,
    ) -> bool:
        """Lock a table (or anything else as a whole) until the transaction ends."""
        if self.is_momentary and self.manager.locks.is_free(object_id):
            return True
        return self.manager.locks.lock_object(self.owner, object_id, mode, policy, timeout_ms)

    # --- writing

    def put(self, tree_id: int, key: Key, row: Row) -> None:
        """Make `row` the row at `key`. The caller has locked it, or nobody else can know the key.

        Visible to the transaction's later snapshots, to others when committed. Raises
        `ReadOnlyTransaction`, `RowTooBig`, `KeyTooLong`.
        """
        if not self.xid:
            self._begin_writing(tree_id)
        if type(key) is bytes and len(key) > KEY_BYTES_MAX:
            check_key(key)
        writes = self.writes.put(tree_id, key, row)
        count = len(writes.rows)
        if count > ROWS_MAX or (not count & 15 and writes.is_heavy(row)):
            self._spill(tree_id)

    def delete(self, tree_id: int, key: Key) -> None:
        """Make the row at `key` gone. The caller has locked it."""
        if not self.xid:
            self._begin_writing(tree_id)
        writes = self.writes.put(tree_id, key, None)
        if len(writes.rows) > ROWS_MAX:
            self._spill(tree_id)

    def move(self, tree_id: int, old_key: Key, new_key: Key, row: Row) -> None:
        """Change a row's primary key. Who waits for the old one follows it to the new one."""
        self.delete(tree_id, old_key)
        self.put(tree_id, new_key, row)
        self.moves[(tree_id, old_key)] = new_key

    def put_many(self, tree_id: int, keys: Sequence[Key], rows: Sequence[Row | None]) -> None:
        """Put (row None: delete) many rows, in any order; later ones win. Gives way in between."""
        if not self.xid:
            self._begin_writing(tree_id)
        manager = self.manager
        if len(keys) > _RUN_MIN and all(map(operator.lt, keys, keys[1:])):
            self._put_run(tree_id, keys, rows)
            return
        put = self.writes.put
        for start in range(0, len(keys), 256):
            end = start + 256
            for key, row in zip(keys[start:end], rows[start:end], strict=True):
                if type(key) is bytes and len(key) > KEY_BYTES_MAX:
                    check_key(key)
                put(tree_id, key, row)
            if len(self.writes.trees[tree_id].rows) > ROWS_MAX:
                self._spill(tree_id)
            manager.scheduler.check_slice()

    def _put_run(self, tree_id: int, keys: Sequence[Key], rows: Sequence[Row | None]) -> None:
        """Keys in order, and many: straight to the private tree, a slice at a time."""
        manager = self.manager
        if type(keys[0]) is bytes:
            for key in keys:
                check_key(key)
        for start in range(0, len(keys), _RUN_MIN):
            end = start + _RUN_MIN
            delta = self.spill_all(tree_id)
            items = list(zip(keys[start:end], rows[start:end], strict=True))
            delta.add(items, self.xid, self.pages)
            manager.scheduler.check_slice()

    def begin_bulk(self, tree_id: int) -> None:
        """Before rows come past `put` (`bulk`): the transaction has written."""
        self._begin_writing(tree_id)

    def _begin_writing(self, tree_id: int) -> None:
        """Give the transaction its id; a read-only one may write temporary trees only."""
        if not self.is_active:
            raise TransactionEnded("the transaction has ended")
        if self.read_only and not self.spec(tree_id).temporary:
            raise ReadOnlyTransaction("cannot write in a read-only transaction")
        if not self.xid:
            self.xid = self.manager.new_xid()

    def spec(self, tree_id: int) -> TreeSpec:
        """The tree's spec as this transaction left it. Raises `NoSuchTree`."""
        spec = self.specs.get(tree_id) if self.specs else None
        return self.roots.newest.tree(tree_id).spec if spec is None else spec

    def _spill(self, tree_id: int) -> None:
        """Past 4,096 rows: to a private tree, which is the tree's lock set from now on."""
        manager = self.manager
        moved = self.writes.trees[tree_id].rows
        self.spill_all(tree_id)
        manager.locks.forget_rows(self.owner, tree_id, moved)

    def spill_all(self, tree_id: int) -> Delta:
        """Everything that this transaction changed in a tree as a delta that holds its locks."""
        manager = self.manager
        delta = self.writes.spill(
            tree_id, self.spec(tree_id), self.xid, self.pages, manager.scheduler.check_slice
        )
        self.hold_delta(tree_id)
        manager.store_early(self.xid, delta.token, [delta.rows.ref, delta.dead.ref])
        return delta

    def hold_delta(self, tree_id: int) -> None:
        """The delta of this tree is the tree's lock set from now on."""
        if tree_id not in self.mass:
            self.mass.add(tree_id)
            self.manager.locks.hold_many(self.owner, tree_id, self._strength_of(tree_id))

    def _strength_of(self, tree_id: int) -> Callable[[Key], int]:
        trees = self.writes.trees
        pages = self.pages

        def strength_of(key: Key) -> int:
            writes = trees.get(tree_id)
            if writes is None or writes.delta is None:
                return -1
            found = writes.delta.find(key, pages)
            return -1 if found is MISSING else int(LockStrength.UPDATE)

        return strength_of

    # --- trees

    def create_tree(self, spec: TreeSpec) -> None:
        """Make an empty tree. Its id comes from `storage.allocate_tree_id`. Raises `RowTooBig`."""
        layout_of(spec.shapes)
        self.specs[spec.tree_id] = spec
        self._begin_writing(spec.tree_id)

    def drop_tree(self, tree_id: TreeId) -> None:
        """Make a tree gone. The caller holds its ACCESS EXCLUSIVE lock."""
        self._begin_writing(tree_id)
        self.specs[tree_id] = None

    def widen_tree(self, tree_id: TreeId, shapes: str, missing: Row) -> None:
        """Add columns at the end; rows that exist have the `missing` values. Rewrites nothing.

        The caller holds the tree's ACCESS EXCLUSIVE lock. Raises `RowTooBig`.
        """
        self._begin_writing(tree_id)
        spec = self.spec(tree_id).widened(shapes, missing)
        layout_of(spec.shapes)
        self.specs[tree_id] = spec
        writes = self.writes.trees.get(tree_id)
        if writes is None:
            return
        if writes.delta is not None:
            writes = self.writes.delta_of(tree_id, spec)
            delta = writes.delta
            assert delta is not None
            delta.rows = TreeRoot(spec, delta.rows.ref)
        for key, (row, _, _) in list(writes.rows.items()):
            if row is not None:
                self.writes.put(tree_id, key, row + missing)

    # --- savepoints

    def savepoint(self) -> int:
        """Open a savepoint; its number, from 0, is its depth among the open ones."""
        self.writes.save()
        self.manager.locks.save(self.owner)
        self._savepoint_marks.append((self.specs.copy(), self.moves.copy()))
        return len(self._savepoint_marks) - 1

    def rollback_to(self, savepoint: int) -> None:
        """Undo everything after the savepoint, its locks too; it stays open, inner ones end."""
        specs, moves = self._savepoint_marks[savepoint]
        del self._savepoint_marks[savepoint + 1 :]
        self.specs.clear()
        self.specs.update(specs)
        self.moves = moves.copy()
        self.writes.take_back(savepoint)
        locks = self.manager.locks
        locks.take_back(self.owner, savepoint)
        locks.forget_savepoints(self.owner, savepoint + 1)

    def release(self, savepoint: int) -> None:
        """Forget the savepoint and those inside it; what they did stays."""
        del self._savepoint_marks[savepoint:]
        self.writes.release(savepoint)
        self.manager.locks.forget_savepoints(self.owner, savepoint)

    # --- the end

    def commit(self, on_publish: Callable[[], None] | None = None) -> Lsn:
        """Make the changes visible to everybody; their LSN, durable when `durable_lsn` reaches it.

        `on_publish` runs in the same slice, right after publication. A transaction that wrote
        nothing returns the highest LSN that it has seen. Raises `SerializationConflict`: then the
        transaction is rolled back. May suspend while it is still invisible.
        """
        if not self.is_active:
            raise TransactionEnded("the transaction has ended")
        lsn = self.manager.commit(self, on_publish)
        if lsn > self.seen:
            self.seen = lsn
        return lsn

    def rollback(self) -> None:
        """Undo everything and release all locks. A second call does nothing."""
        if self.is_active:
            self.manager.rollback(self)

    def end(self) -> None:
        """Let roots and locks go; the manager's business."""
        self.is_active = False
        self._point = None  # which leads back here
        manager = self.manager
        root = self._root
        if root is not None:
            self._root = None
            self.roots.unpin(root)
        if self.xid:
            manager.writers -= 1
        locks = manager.locks
        owner = self.owner
        if self.mass:
            for tree_id in self.mass:
                locks.hold_many(owner, tree_id, None)
        if owner.row_log:
            locks.release_rows(owner)
        if owner.weak:
            locks.release_objects(owner)
