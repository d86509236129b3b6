"""What all transactions of a storage share, and how one commits.

Commit, in order (README, invariant 12):

1. large write sets become private roots, in slices, logged ahead      may suspend
2. the pages that the rest will change are brought into memory         may suspend
3. rows are packed                                                     from here on
4. SERIALIZABLE validates: 40001 here or never; the log gets the record
5. the changes go onto the newest root, leaf by leaf                   nothing suspends
6. the root is published, `on_publish` runs, locks are released
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any, Final

from helios_storage import cursor
from helios_storage.cursor import EVERYTHING
from helios_storage.errors import StorageError, StorageFailed
from helios_storage.large_commit import LargeCommits, Prepared, base_of
from helios_storage.layout import RECORD_BYTES_MAX, check_fits, layout_of
from helios_storage.locks import LockManager, LockOwner
from helios_storage.page import (
    PAGE_BYTES,
    Change,
    CommitLog,
    EditToken,
    Inner,
    PageSource,
    Ref,
    TreeDropped,
    TreeMade,
)
from helios_storage.root import BUCKET_BITS, BUCKET_MASK, DatabaseRoot, Roots, TreeRoot
from helios_storage.scheduler import Blocked, Event, Scheduler
from helios_storage.serializable import SerializableManager
from helios_storage.spec import Key, Lsn, TreeId
from helios_storage.transaction import Isolation, Transaction
from helios_storage.tree import (
    Edit,
    Path,
    apply,
    empty_tree,
    find_leaf,
    find_resident_path,
    put_at,
)
from helios_storage.write_set import TreeWrites

_STORE_EARLY_PAGES: Final = 1024
"""Changed private pages (8 MB) that are stored before a large transaction goes on."""
_SMALL_ROWS_MAX: Final = 512
"""More changed rows of a tree are put onto its root in slices, before the commit itself."""
_LOAD_ROUNDS: Final = 3
_NOTHING_SEEN: Final = Lsn(0)
_XID_MASK: Final = 0xFFFFFFFF

Done = Callable[[StorageError | None], None]


class TransactionManager:
    """Roots, locks, ids; begins and commits transactions. Loop's thread only."""

    __slots__ = (
        "_next_tree_id",
        "_next_xid",
        "commits",
        "failure",
        "large",
        "locks",
        "log",
        "moves",
        "pages",
        "roots",
        "scheduler",
        "serializable",
        "spill",
        "writers",
    )

    def __init__(
        self,
        roots: Roots,
        pages: PageSource,
        log: CommitLog,
        scheduler: Scheduler,
        *,
        next_xid: int = 1,
        next_tree_id: int = 1,
    ) -> None:
        self.roots = roots
        self.pages = pages
        self.log = log
        self.scheduler = scheduler
        self.locks = LockManager(scheduler)
        self.serializable = SerializableManager()
        self.moves: dict[tuple[int, Key], tuple[Key, Lsn]] = {}
        """(tree, old key) -> (new key, LSN) of primary keys changed while older roots are read."""
        self.spill: Callable[[int, EditToken, list[Ref], Done], None] | None = None
        """Durability's: store the pages below these private roots, then call back."""
        self.failure: BaseException | None = None
        self.commits = 0
        self.writers = 0
        """Transactions that have an id and have not ended."""
        self._next_xid = next_xid
        self._next_tree_id = next_tree_id
        self.large = LargeCommits(self)

    @property
    def next_xid(self) -> int:
        """The id that the next writing transaction gets."""
        return self._next_xid

    @property
    def next_tree_id(self) -> int:
        """The id that the next tree gets."""
        return self._next_tree_id

    def allocate_tree_id(self) -> TreeId:
        """An id that no tree has had. One that is not used after all is lost."""
        number = self._next_tree_id
        self._next_tree_id = number + 1
        return TreeId(number)

    def new_xid(self) -> int:
        """The next transaction id: 32 bits, never 0."""
        xid = self._next_xid
        self.writers += 1
        self._next_xid = (xid + 1) & _XID_MASK or 1
        return xid

    def begin(
        self,
        isolation: Isolation = Isolation.READ_COMMITTED,
        *,
        read_only: bool = False,
        seen: Lsn = _NOTHING_SEEN,
        owner: LockOwner | None = None,
    ) -> Transaction:
        """A new transaction. `owner`: the session, whose locks it takes; else one of its own."""
        if self.failure is not None:
            raise StorageFailed("a commit could not be completed; the server must be restarted")
        return Transaction(self, isolation, owner or LockOwner(), seen, read_only=read_only)

    def rollback(self, transaction: Transaction) -> None:
        """Undo: drop the write set, release everything."""
        if transaction.xid:
            self.log.abandon(transaction.xid)
        if transaction.serializable is not None:
            self.serializable.rollback(transaction.serializable)
        transaction.end()

    # --- commit

    def commit(self, transaction: Transaction, on_publish: Callable[[], None] | None) -> Lsn:
        """See `Transaction.commit`."""
        writes = transaction.writes.trees
        if not writes and not transaction.specs:
            return self._commit_nothing(transaction, on_publish)
        if on_publish is None and not transaction.specs and transaction.serializable is None:
            try:
                done = self._commit_points(transaction)
            except BaseException:
                if self.failure is None:
                    self.rollback(transaction)
                raise
            if done is not None:
                self.commits += 1
                transaction.end()
                return done
        try:
            prepared, small = self._prepare(transaction)
            keys: dict[int, list[Any]] = {}
            if transaction.serializable is not None:
                keys = {tree_id: self._keys_of(changed) for tree_id, changed in writes.items()}
            places = self._load_places(transaction, small)
            changes = self._changes(transaction, small)
            if transaction.serializable is not None:
                self.serializable.commit(transaction.serializable, keys)
                transaction.serializable = None
            # Even without changes (temporary trees): its LSN tells this root from the one before.
            lsn = self.log.append(transaction.xid, changes)
        except Blocked:
            self.large.leave(transaction)
            raise  # nothing has happened: the caller commits again where it may wait
        except BaseException:
            self.large.leave(transaction)
            self.rollback(transaction)
            raise
        try:
            if transaction.specs or on_publish is not None:
                self.roots.schema_lsn = lsn
            self._apply(transaction, prepared, small, places, lsn)
        except BaseException as error:
            self.failure = error  # the log has it, memory only half: only a restart can tell
            raise
        self.commits += 1
        if on_publish is not None:
            on_publish()
        transaction.end()
        return lsn

    def _commit_points(self, transaction: Transaction) -> Lsn | None:
        """The fast way, all or nothing: one changed row in each of a few trees, pages in memory.

        None: not possible, and nothing was done.
        """
        if self.large.turns:
            return None
        newest = self.roots.newest
        buckets = newest.buckets
        changes: list[Change] = []
        points = []
        for tree_id, writes in transaction.writes.trees.items():
            rows = writes.rows
            if len(rows) != 1 or writes.delta is not None:
                return None
            ((key, version),) = rows.items()
            tree = buckets[tree_id >> BUCKET_BITS][tree_id & BUCKET_MASK]
            path: Path = []
            ref = tree.ref
            page: Any = ref.page
            while type(page) is Inner:
                at = bisect_right(page.keys, key)
                path.append((ref, page, at))
                ref = page.children[at]
                page = ref.page
            spec = tree.spec
            if page is None or page.layout.shapes != spec.shapes:
                return None
            row = version[0]
            packed = None
            if row is not None:
                packed = page.layout.pack_row(row)
                if len(packed) > RECORD_BYTES_MAX:
                    return None  # perhaps it does not fit: the other way rolls back
            if not spec.temporary:
                changes.append((tree_id, key, packed))  # type: ignore[arg-type]
            points.append((tree, ref, path, key, row))
        xid = transaction.xid
        lsn = self.log.append(xid, changes)
        root = newest.successor() if newest.pins else newest
        edit = Edit(self.pages, root.token)
        try:
            for tree, ref, path, key, row in points:
                new = put_at(tree, ref, path, key, row, xid, edit)
                if new is not tree:
                    root.put(new)
            self._publish(transaction, root, lsn)
        except BaseException as error:
            self.failure = error
            raise
        return lsn

    def _publish(self, transaction: Transaction, root: DatabaseRoot, lsn: Lsn) -> None:
        if transaction.moves or self.moves:
            self._note_moves(transaction, lsn)
        token = root.token
        if token.made:
            self.pages.grown(token.made * PAGE_BYTES)
            token.made = 0
        self.roots.publish(root, lsn)

    def _commit_nothing(
        self, transaction: Transaction, on_publish: Callable[[], None] | None
    ) -> Lsn:
        if transaction.serializable is not None:
            try:
                self.serializable.commit(transaction.serializable, {})
            except BaseException:
                self.rollback(transaction)
                raise
        if on_publish is not None:
            on_publish()
        transaction.end()
        return transaction.seen

    def _keys_of(self, writes: TreeWrites) -> list[Any]:
        """All keys that a transaction changed in a tree, in order. May suspend."""
        delta = writes.delta
        if delta is None:
            return writes.sorted_keys()
        keys: set[Any] = set(writes.rows)
        for tree in (delta.rows, delta.dead):
            for leaf in cursor.leaves(tree.ref, EVERYTHING, tree.spec, self.pages, reverse=False):
                keys.update(leaf.keys)
        return sorted(keys)

    def _load_places(
        self, transaction: Transaction, small: list[tuple[int, TreeWrites]]
    ) -> dict[int, tuple[Ref, Path]]:
        """Bring the pages into memory that the small write sets change. May suspend.

        Where a tree has one changed key, the way to its leaf is found here and kept.
        """
        for _ in range(_LOAD_ROUNDS):
            places: dict[int, tuple[Ref, Path]] = {}
            is_complete = True
            for tree_id, writes in small:
                tree = base_of(transaction, self.roots.newest, tree_id)
                keys: Any = writes.rows if len(writes.rows) == 1 else writes.sorted_keys()
                bound = None
                for key in keys:
                    if bound is not None and key <= bound:
                        continue
                    place = find_resident_path(tree.ref, key)
                    if place is None:
                        is_complete = False
                        find_leaf(tree.ref, key, tree.spec, self.pages)
                        continue
                    if len(keys) == 1:
                        places[tree_id] = place
                        break
                    leaf: Any = place[0].page
                    bound = leaf.keys[-1] if leaf.keys else None
            if is_complete:
                return places
        return {}

    def _changes(
        self, transaction: Transaction, small: list[tuple[int, TreeWrites]]
    ) -> list[Change]:
        """The commit record's changes. Packing a row also proves that a leaf will take it."""
        changes: list[Change] = []
        add: Any = changes.append
        specs = transaction.specs
        for made in specs.values():
            if made is not None and not made.temporary:
                add(TreeMade(made))
        for tree_id, writes in small:
            spec = base_of(transaction, self.roots.newest, tree_id).spec
            pack = layout_of(spec.shapes).pack_row
            rows = writes.rows
            for key in rows if len(rows) == 1 else writes.sorted_keys():
                row = rows[key][0]
                packed = None
                if row is not None:
                    packed = pack(row)
                    if len(packed) > RECORD_BYTES_MAX:
                        check_fits(spec, row)
                if not spec.temporary:
                    add((tree_id, key, packed))
        for tree_id, made in specs.items():
            if made is None:
                tree = self.roots.newest.find(tree_id)
                if tree is not None and not tree.spec.temporary:
                    add(TreeDropped(TreeId(tree_id)))
        return changes

    def _apply(
        self,
        transaction: Transaction,
        prepared: list[Prepared],
        small: list[tuple[int, TreeWrites]],
        places: dict[int, tuple[Ref, Path]],
        lsn: Lsn,
    ) -> None:
        """Put everything onto the newest root and publish it. Nothing here suspends."""
        root = self.roots.writable()
        token = root.token
        edit = Edit(self.pages, token)
        xid = transaction.xid
        for tree_id, spec in transaction.specs.items():
            tree = root.find(tree_id)
            if spec is None:
                root.drop(TreeId(tree_id))
            elif tree is None:
                root.put(empty_tree(spec, token))
            else:
                root.put(TreeRoot(spec, tree.ref))
        for tree_id, writes in small:
            tree = root.tree(tree_id)
            place = places.get(tree_id)
            if place is not None and (place[1][0][0] if place[1] else place[0]) is tree.ref:
                ((key, version),) = writes.rows.items()
                new = put_at(tree, place[0], place[1], key, version[0], xid, edit)
            else:
                items = [(key, writes.rows[key][0]) for key in writes.sorted_keys()]
                new = apply(tree, items, xid, edit)
            if new is not tree:
                root.put(new)
        for one in prepared:
            root.put(self.large.caught_up(one, root).tree)
            for private in (one.edit.token, one.delta.token):
                token.replaced += private.replaced
                token.made += private.made
        if self.large.turns:
            self.large.tell(transaction)
        self._publish(transaction, root, lsn)

    def _note_moves(self, transaction: Transaction, lsn: Lsn) -> None:
        """Keep old key -> new key while a root is read that may lead to the old one."""
        oldest = self.roots.oldest_lsn()
        if self.moves:
            self.moves = {old: new for old, new in self.moves.items() if new[1] > oldest}
        for (tree_id, old), new_key in transaction.moves.items():
            self.moves[(tree_id, old)] = (new_key, lsn)

    # --- large write sets

    def _prepare(
        self, transaction: Transaction
    ) -> tuple[list[Prepared], list[tuple[int, TreeWrites]]]:
        """Large write sets as private roots, logged ahead; the trees whose write set is small."""
        small = []
        prepared = []
        specs = transaction.specs
        for tree_id, writes in sorted(transaction.writes.trees.items()):
            if specs and specs.get(tree_id, tree_id) is None:
                continue  # dropped: its changes go with it
            if writes.delta is None and len(writes.rows) <= _SMALL_ROWS_MAX:
                if writes.rows:
                    small.append((tree_id, writes))
            else:
                prepared.append(self.large.prepare(transaction, tree_id))
        return prepared, small

    def store_early(
        self, xid: int, token: EditToken, refs: list[Ref], pages_min: int = _STORE_EARLY_PAGES
    ) -> None:
        """Store a private tree's pages once 8 MB of them have changed, so that they can be evicted.

        Suspends; on a plain call it leaves that to a later one. `refs` are the private roots.
        """
        if token.made < pages_min or self.spill is None:
            return
        if not self.scheduler.can_wait():
            return
        self.pages.grown(token.made * PAGE_BYTES)
        token.made = 0
        done = Event()
        failures: list[StorageError] = []

        def on_done(error: StorageError | None) -> None:
            if error is not None:
                failures.append(error)
            done.set()

        self.spill(xid, token, refs, on_done)
        cancelled: BaseException | None = None
        while not done.is_set:
            try:
                self.scheduler.wait(done)
            except BaseException as error:
                cancelled = error  # later: nobody may change a page while it is being stored
        if cancelled is not None:
            raise cancelled
        if failures:
            raise failures[0]
