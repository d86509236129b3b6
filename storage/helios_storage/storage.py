"""A store: one data directory, opened by one process. Wires everything in this package together.

Storage.open: lock -> keys -> page store -> recovery -> a new log segment -> ready
close:        checkpoint -> sync -> page store -> lock
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Final

from helios_storage.cache import Cache
from helios_storage.checkpoint import Checkpointer, CheckpointState, Counters
from helios_storage.commit import Commits, PublishedRoots
from helios_storage.directory import DataDirectory, open_directory
from helios_storage.errors import StorageClosed, StorageError
from helios_storage.keyring import KeyKind, Keyring, KeySource, open_keyring
from helios_storage.locks import LockManager, LockOwner
from helios_storage.log import LogWriter
from helios_storage.manager import TransactionManager
from helios_storage.options import StorageOptions
from helios_storage.page import Ref
from helios_storage.page_writer import LIST_BIT, PageWriter
from helios_storage.recovery import Recovered, recover
from helios_storage.root import TreeRoot
from helios_storage.scheduler import Event, Scheduler
from helios_storage.seal import PageOpener, StoreIdentity
from helios_storage.sequences import Sequences
from helios_storage.spec import Lsn, TreeId
from helios_storage.store import PageStore
from helios_storage.store.lmdb import LmdbStore
from helios_storage.transaction import Isolation, Transaction

_SEEN_NOTHING: Final = Lsn(0)
_M_ARENA_MAX: Final = -8  # malloc.h


class Storage:
    """An open store. All methods: the loop's thread only; `open`, `checkpoint`, `close` suspend."""

    def __init__(
        self,
        directory: DataDirectory,
        ring: Keyring,
        store: PageStore,
        opener: PageOpener,
        cache: Cache,
        recovered: Recovered,
        options: StorageOptions,
        scheduler: Scheduler,
    ) -> None:
        """Use `open`. What recovery found becomes the newest root; a new log segment begins."""
        identity = StoreIdentity(ring.store_id, recovered.record.timeline)
        tail = recovered.tail
        self.options = options
        self.cache = cache
        self._directory = directory
        self._ring = ring
        self._store = store
        self._scheduler = scheduler
        self._closed = False
        self.writer = _continue_log(directory, ring, identity, recovered, options)
        self.roots = PublishedRoots(recovered.root)
        self.commits = Commits(self.roots, self.writer, scheduler, options, Lsn(tail.lsn))
        self.manager = TransactionManager(
            self.roots,
            cache,
            self.commits,
            scheduler,
            next_xid=recovered.next_xid,
            next_tree_id=recovered.next_tree_id,
        )
        self.sequences = Sequences(
            self.commits,
            [(number, value, called) for number, (value, called) in recovered.sequences.items()],
        )
        self.checkpointer = Checkpointer(
            store,
            ring,
            identity,
            scheduler,
            options,
            self.roots,
            self.commits,
            cache,
            CheckpointState(recovered.record, recovered.checkpointed),
            self._counters,
        )
        garbage = self.checkpointer.garbage
        garbage.add(_orphans(store, self.checkpointer.pages), recovered.record.lsn)
        self.checkpointer.on_publish(recovered.replaced, recovered.root.dropped, recovered.root.lsn)
        recovered.root.dropped = []
        self.roots.on_publish = self._on_publish
        self.commits.writers = lambda: self.manager.writers
        self.commits.on_abandon = self.checkpointer.on_abandon
        self.commits.on_synced = self.checkpointer.on_synced
        self.commits.is_pressed = self.checkpointer.is_pressed
        self.manager.spill = self.checkpointer.spill
        cache.on_dirty = self.checkpointer.start_if_dirty

    @classmethod
    def open(
        cls,
        directory: Path | str,
        keys: KeySource,
        options: StorageOptions | None = None,
        scheduler: Scheduler | None = None,
    ) -> Storage:
        """Open a data directory, made if it is absent (`options.create`).

        Raises `StorageRefused` (58000: in use, another format, wrong key, a gap in the log) or
        `Corrupted` (XX001); then nothing was changed. Without `scheduler` the caller is alone:
        every commit syncs by itself, nothing runs in the background.
        """
        from helios_storage.scheduler import InlineScheduler

        options = options or StorageOptions()
        scheduler = scheduler or InlineScheduler()
        _share_one_heap()
        home = open_directory(Path(directory), create=options.create)
        store: PageStore | None = None
        try:
            is_new = home.is_new
            ring = open_keyring(home.path, keys, create=is_new and options.create)
            store = LmdbStore(home.pages, map_bytes=options.map_bytes, fsync=options.fsync)
            identity = StoreIdentity(ring.store_id)
            opener = PageOpener(ring, identity)
            cache = Cache(store, opener, scheduler, options)
            recovered = recover(store, opener, ring, identity, home.log, cache)
            opened = cls(home, ring, store, opener, cache, recovered, options, scheduler)
            if is_new:
                home.mark_made()
        except BaseException:
            if store is not None:
                store.close()
            home.close()
            raise
        opened.checkpointer.on_synced()
        return opened

    # ------------------------------------------------------------------ the engine's face

    def begin(
        self,
        isolation: Isolation = Isolation.READ_COMMITTED,
        *,
        read_only: bool = False,
        seen: Lsn = _SEEN_NOTHING,
        owner: LockOwner | None = None,
    ) -> Transaction:
        """A new transaction that reads nothing older than `seen` (ARCHITECTURE, visibility)."""
        if self._closed:
            raise StorageClosed("the storage was closed")
        return self.manager.begin(isolation, read_only=read_only, seen=seen, owner=owner)

    @property
    def durable_lsn(self) -> Lsn:
        """Everything up to this LSN survives any crash."""
        return self.commits.durable_lsn

    def when_durable(self, lsn: Lsn, callback: Callable[[], None]) -> None:
        """Run `callback` on the loop's thread once `durable_lsn >= lsn`; at once if it is."""
        self.commits.when_durable(lsn, callback)

    @property
    def cache_bytes(self) -> int:
        """Pages in memory, Python's overhead included."""
        return self.cache.used_bytes

    @property
    def locks(self) -> LockManager:
        """Row and object locks of all transactions."""
        return self.manager.locks

    def row_count(self, tree_id: int) -> int:
        """Rows of a tree at the newest root, O(1); 0 when there is no such tree."""
        tree = self.roots.newest.find(tree_id)
        return 0 if tree is None else tree.ref.count

    def allocate_tree_id(self) -> TreeId:
        """An id that no tree has had."""
        return self.manager.allocate_tree_id()

    def secret(self, kind: KeyKind) -> bytes:
        """A lasting secret of this store (audit, mask, mock, signing); 32 bytes."""
        return self._ring.secret(kind)

    def checkpoint(self) -> None:
        """Write everything durable now to the page store; suspends. Raises `StorageFull`."""
        if self._closed:
            raise StorageClosed("the storage was closed")
        done = Event()
        failures: list[StorageError] = []

        def on_done(error: StorageError | None) -> None:
            if error is not None:
                failures.append(error)
            done.set()

        self._wait_durable()
        self.checkpointer.start(on_done)
        self._scheduler.wait(done)
        if failures:
            raise failures[0]

    def not_ready_reason(self) -> str:
        """Why no work should be sent here, or an empty text."""
        if self._closed:
            return "the storage is closed"
        if self.manager.failure is not None:
            return "a commit could not be completed"
        return ""

    def close(self) -> None:
        """Checkpoint, sync, let go of the directory. A second call does nothing."""
        if self._closed:
            return
        try:
            if self.manager.failure is None and self.commits.end_lsn > self.checkpointer.lsn:
                self.checkpoint()
        finally:
            self._closed = True
            self.commits.close()
            self.checkpointer.close()
            self._store.close()
            self._directory.close()

    # ------------------------------------------------------------------ inside

    def _on_publish(self, replaced: list[Ref], dropped: list[TreeRoot], lsn: Lsn) -> None:
        self.checkpointer.on_publish(replaced, dropped, lsn)
        self.commits.published()

    @property
    def directory(self) -> Path:
        """The data directory: where temporary files without a name may be made."""
        return self._directory.path

    def _counters(self) -> Counters:
        manager = self.manager
        return (
            manager.next_tree_id,
            manager.next_xid,
            self._ring.generation,
            self.sequences.logged(),
        )

    def _wait_durable(self) -> None:
        done = Event()
        self.commits.start_sync_if_idle()
        self.commits.when_durable(self.commits.end_lsn, done.set)
        self._scheduler.wait(done)


def _continue_log(
    directory: DataDirectory,
    ring: Keyring,
    identity: StoreIdentity,
    recovered: Recovered,
    options: StorageOptions,
) -> LogWriter:
    """A new segment behind the log that was found; its last block is carried over and synced.

    That block alone may never have reached the disk (log, invariant 1), and clients will be told
    of what it holds.
    """
    tail = recovered.tail
    last = tail.last
    writer = LogWriter(
        directory.log,
        ring,
        identity,
        number=tail.number + 1,
        lsn=tail.lsn if last is None else last.lsn,
        tag_before=tail.tag if last is None else last.tag_before,
        segment_bytes=options.segment_bytes,
        spare_segments=options.spare_segments,
        fsync=options.fsync,
    )
    writer.adopt(tail.segments)
    if last is not None:
        writer.write([last.records])
    return writer


def _share_one_heap() -> None:
    """Let threads allocate from the main heap (glibc; elsewhere nothing happens).

    Pages are made in one thread and freed in another: with a heap for each, 150 MB of a 128 MB
    cache's traffic stayed behind as holes.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _orphans(store: PageStore, pages: PageWriter) -> list[int]:
    """Pages that a crash left behind: their ids come after all that the root record knows of."""
    first = pages.next_page_id
    found = [number for number in store.page_ids_from(first) if number & ~LIST_BIT >= first]
    if found:
        pages.next_page_id = max(number & ~LIST_BIT for number in found) + 1
    return found
