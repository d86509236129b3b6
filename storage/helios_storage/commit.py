"""Group commit: records queue up, a helper thread makes them durable, one sync in flight.

    append -> publish -> (sync in the thread, with everything that came meanwhile) -> on_synced

A commit is visible to others at `publish`, before it is durable: writers queue behind one sync,
not behind each other. What keeps that honest is `seen`: a session that saw an LSN lets no byte
leave before `durable_lsn` has reached it (`when_durable`).

A sync that fails ends the process at once. The kernel may have thrown the unwritten pages away
and would call the next sync a success: retrying is how acknowledged commits get lost.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final, NoReturn

from helios_storage.errors import StorageClosed
from helios_storage.log import LogWriter
from helios_storage.options import StorageOptions
from helios_storage.page import Change, EditToken, Ref
from helios_storage.record import RecordKind, encode_record
from helios_storage.root import DatabaseRoot, Roots, TreeRoot
from helios_storage.scheduler import Event, InlineScheduler, Scheduler
from helios_storage.spec import Lsn

EXIT_SYNC_FAILED: Final = 74  # EX_IOERR of sysexits.h
_PART_SYNC_BYTES: Final = 256 * 1024  # parts of large commits are worth a sync of their own
_QUEUE_BYTES_MAX: Final = 8 * 1024 * 1024  # beyond this a large commit waits for the disk
_GATHERED_COMMITS: Final = 4

_logger: Final = logging.getLogger("helios_storage")


class PublishedRoots(Roots):
    """`Roots` that tell durability of each publication."""

    __slots__ = ("on_publish",)

    def __init__(self, root: DatabaseRoot) -> None:
        super().__init__(root)
        self.on_publish: Callable[[list[Ref], list[TreeRoot], Lsn], None] | None = None

    def publish(self, root: DatabaseRoot, lsn: Lsn) -> None:
        """Make `root` the newest, hand on what it no longer uses, let the sync begin."""
        super().publish(root, lsn)
        token = root.token
        replaced = token.replaced
        if replaced:
            token.replaced = []
        dropped = root.dropped
        if dropped:
            root.dropped = []
        if self.on_publish is not None:
            self.on_publish(replaced, dropped, lsn)


class _Batch:
    """What one sync makes durable."""

    __slots__ = ("lsn", "records", "root")

    def __init__(self, records: list[bytes], root: DatabaseRoot | None, lsn: Lsn) -> None:
        self.records = records
        self.root = root
        self.lsn = lsn


class LargeCommit:
    """A transaction that reached the disk before its commit: parts in the log, spilled pages."""

    __slots__ = ("first_lsn", "lsn", "page_ids", "pieces", "tokens", "values")

    def __init__(self) -> None:
        self.tokens: set[EditToken] = set()  # of its private pages
        self.first_lsn: Lsn | None = None  # where its first part begins
        self.page_ids: list[int] = []  # leaves and inner pages
        self.pieces: set[int] = set()  # of its large values
        self.values: dict[int, list[int]] = {}  # leaf -> its large values, those in `pieces`
        self.lsn: Lsn | None = None  # of its commit

    def all_ids(self) -> list[int]:
        """Every page of its own that was stored."""
        return [*self.page_ids, *self.pieces]

    def is_in(self, lsn: Lsn) -> bool:
        """Whether a root at `lsn` has it."""
        return self.lsn is not None and self.lsn <= lsn


class Commits:
    """The queue of commits before the log (`CommitLog`). Loop's thread only, but for `_run`."""

    def __init__(
        self,
        roots: PublishedRoots,
        writer: LogWriter,
        scheduler: Scheduler,
        options: StorageOptions,
        lsn: Lsn,
    ) -> None:
        self.roots = roots
        self.writer = writer
        self.durable_lsn = lsn
        self.end_lsn = lsn  # of everything appended
        self._scheduler = scheduler
        self._options = options
        self._records: list[bytes] = []
        self._queued_bytes = 0
        self._in_flight: _Batch | None = None
        self._waiting: list[tuple[Lsn, Callable[[], None]]] = []
        self._room = Event()
        self._closed = False
        self._posted = False
        self._gathers = False  # a sync waits for more commits
        self.defer: Callable[[Callable[[], object]], None] | None = None
        """Calls back after about 0.4 ms; None: syncs do not wait for more commits."""
        self.writers: Callable[[], int] = int  # transactions that have written and will end
        self.is_alone: Callable[[], bool] = bool  # whether one client is all there is
        self.large: dict[int, LargeCommit] = {}
        self.on_abandon: Callable[[LargeCommit], None] | None = None
        self.on_synced: Callable[[], None] | None = None
        self.is_pressed: Callable[[], bool] | None = None
        self._held: list[Callable[[], None]] = []
        self._jobs: SimpleQueue[_Batch | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        if not isinstance(scheduler, InlineScheduler):
            self._thread = threading.Thread(target=self._run, name="helios-log", daemon=True)
            self._thread.start()

    # ------------------------------------------------------------------ CommitLog

    def append(self, xid: int, changes: list[Change]) -> Lsn:
        """Log a commit (or the last part of one); its LSN. Does not wait for the sync.

        The caller publishes the root in the same slice of the loop. `xid` 0: changes outside any
        transaction (sequences), which hold by themselves.
        """
        if self._closed:
            raise StorageClosed("the storage was closed")
        if xid:
            lsn = self._add(encode_record(RecordKind.COMMIT, xid, changes))
            self.roots.pending[xid] = lsn
            if self.large and xid in self.large:
                self.large[xid].lsn = lsn
            return lsn
        lsn = self._add(encode_record(RecordKind.OUTSIDE, 0, changes))
        if self._in_flight is None:
            self.start_sync()
        return lsn

    def append_ahead(self, xid: int, changes: list[Change]) -> None:
        """Log a part of a large commit before its commit record. May suspend when the disk lags."""
        if self._closed:
            raise StorageClosed("the storage was closed")
        large = self.large.setdefault(xid, LargeCommit())
        if large.first_lsn is None:
            large.first_lsn = self.end_lsn
        self._add(encode_record(RecordKind.AHEAD, xid, changes))
        if self._in_flight is None and self._queued_bytes >= _PART_SYNC_BYTES:
            self.start_sync()
        while self._queued_bytes > _QUEUE_BYTES_MAX and self._scheduler.can_wait():
            if self._room.is_set:
                self._room = Event()  # one for all who wait for the same sync
            self._scheduler.wait(self._room)

    def abandon(self, xid: int) -> None:
        """The commit whose parts were logged ahead will not come."""
        large = self.large.pop(xid, None)
        if large is None or self._closed:
            return
        if large.first_lsn is not None:
            self._add(encode_record(RecordKind.ABANDON, xid, []))
        if self.on_abandon is not None:
            self.on_abandon(large)

    def oldest_part_lsn(self, lsn: Lsn) -> Lsn:
        """From where replay must read to find all parts of commits after `lsn`."""
        parts = [large.first_lsn for large in self.large.values() if not large.is_in(lsn)]
        return min([lsn, *(part for part in parts if part is not None)])

    def spilled_ids(self, lsn: Lsn) -> list[int]:
        """Pages in the store that belong to transactions which a root at `lsn` has not."""
        return [
            number
            for large in self.large.values()
            if not large.is_in(lsn)
            for number in large.all_ids()
        ]

    def forget_large(self, lsn: Lsn) -> None:
        """A checkpoint at `lsn` is complete: transactions in it are like any other."""
        self.large = {xid: large for xid, large in self.large.items() if not large.is_in(lsn)}

    def published(self) -> None:
        """A commit was published: a sync begins in the loop's next round unless one is in flight.

        Not at once: what else this round commits then shares it (20,200 commits/s against 12,300
        with 8 clients, and no fewer with one).
        """
        if self._in_flight is None and not self._posted:
            self._posted = True
            self._scheduler.post(self._start_posted)

    def _start_posted(self) -> None:
        self._posted = False
        if self._in_flight is not None:
            return
        if self.defer is None or len(self._records) >= _GATHERED_COMMITS or not self.writers():
            self.start_sync(holds_loop=True)
        elif not self._gathers:
            # Others have written and will commit. A sync costs the loop 70 us, most of it for
            # waking the helper thread and being woken: with 8 TPC-B clients 4 commits a sync took
            # 45 us off each transaction. An idle loop (`hurry`) does not wait for them.
            self._gathers = True
            self.defer(self.hurry)

    def hurry(self) -> bool:
        """Begin the sync that waits for more commits; False when none does."""
        if not self._gathers or self._in_flight is not None:
            return False
        self.start_sync(holds_loop=True)
        return True

    def start_sync_if_idle(self) -> None:
        """Begin a sync for what is queued without a publication (parts, sequences)."""
        if self._in_flight is None:
            self.start_sync()

    def when_durable(self, lsn: Lsn, callback: Callable[[], None]) -> None:
        """Run `callback` once `durable_lsn >= lsn`: at once, or later on the loop's thread."""
        if lsn <= self.durable_lsn:
            callback()
        else:
            self._waiting.append((lsn, callback))

    # ------------------------------------------------------------------ the sync

    def start_sync(self, *, holds_loop: bool = False) -> None:
        """Hand everything queued to the helper thread; without one (inline), sync here.

        `holds_loop`: may sync here, too. Never from inside a commit: what waits for the sync (a
        checkpoint) would begin before the commit's root is published.
        """
        records = self._records
        if not records or self._closed:
            return
        self._records = []
        self._gathers = False
        batch = self._in_flight = _Batch(records, self.roots.cut(), self.end_lsn)
        if self._thread is None or (holds_loop and self.is_alone()):
            # Who is alone waits for nobody's turn: two hand-overs between threads take 60-100 us.
            self._make_durable(batch)
            self._on_synced(batch)
        else:
            self._jobs.put(batch)

    def close(self) -> None:
        """Make everything queued durable and stop the thread. Callbacks of it still run."""
        if self._closed:
            return
        self._closed = True
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
        batch = self._in_flight
        if batch is not None:
            self._on_synced(batch)
        if self._records:
            batch = self._in_flight = _Batch(self._records, self.roots.cut(), self.end_lsn)
            self._records = []
            self._make_durable(batch)
            self._on_synced(batch)
        self.release_held()
        self.writer.close()

    def _add(self, record: bytes) -> Lsn:
        self._records.append(record)
        size = len(record)
        self._queued_bytes += size
        lsn = self.end_lsn = Lsn(self.end_lsn + size)
        return lsn

    def _on_synced(self, batch: _Batch) -> None:
        """The batch is durable: readers may have its root, sessions their replies."""
        if batch is not self._in_flight:
            return  # `close` was faster than the thread's message
        self._in_flight = None
        self.durable_lsn = lsn = batch.lsn
        self._queued_bytes -= sum(map(len, batch.records))
        self.roots.make_durable(batch.root)
        self.roots.settle(lsn)
        if self._records:
            self.published()
        if self.on_synced is not None and not self._closed:
            self.on_synced()
        self._room.set()
        if self._waiting:
            ready = [callback for at, callback in self._waiting if at <= lsn]
            self._waiting = [pair for pair in self._waiting if pair[0] > lsn]
            self._held += ready
            self.release_held()

    def release_held(self) -> None:
        """Answer those whose commits are durable, unless pages change faster than they are stored.

        Holding answers is what bounds the memory of changed pages: a client commits again only
        after the answer. Called again with each batch of pages that a checkpoint has stored.
        """
        if self._held and (self.is_pressed is None or self._closed or not self.is_pressed()):
            held, self._held = self._held, []
            for callback in held:
                callback()

    def _make_durable(self, batch: _Batch) -> None:
        try:
            self.writer.write(batch.records)
        except BaseException as error:
            _end_process(error)

    def _run(self) -> None:
        get, post = self._jobs.get, self._scheduler.post
        while (batch := get()) is not None:
            self._make_durable(batch)
            if not self._closed:
                post(lambda batch=batch: self._on_synced(batch))  # type: ignore[misc]


def _end_process(error: BaseException) -> NoReturn:
    """Say why and go, without a chance for anybody to answer a client."""
    _logger.critical(
        "the log could not be made durable, the process ends: %s: %s", type(error).__name__, error
    )
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(EXIT_SYNC_FAILED)
