"""Checkpoints: changed pages go to the page store, then root record n+1, then the log may go.

    loop      pin a durable root; find its changed pages; encode them, children before parents,
              a batch at a time (<= 1 ms); hand each batch to the page thread; put the ids and tags
              that come back into the Refs
    thread    seal, put, commit each 32 MB; at the end directory, root record, deletions: one commit

What holds (README, durability):

- A page id is handed out once. A page is never overwritten, so root n stays whole while n+1 is
  being written; a crash in between leaves orphans, which the next start deletes by their ids.
- Roots n and n-1 are kept, and the log since n-1. An id that commit D stopped using is deleted with
  root n+1 only if D <= LSN of root n and no older root is read by anybody.
- A Ref gets its id before its page is committed, but becomes evictable only after; when the store
  fails, the ids are taken back and the pages are as changed as before.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic, perf_counter
from typing import Any, Final, TypeAlias, TypeVar

from helios_storage.cache import Cache
from helios_storage.commit import Commits, LargeCommit, PublishedRoots
from helios_storage.errors import StorageError
from helios_storage.options import StorageOptions
from helios_storage.page import (
    PAGE_BYTES,
    Chunk,
    EditToken,
    Inner,
    Leaf,
    Page,
    Ref,
    children_of,
    encode_page,
)
from helios_storage.root import DatabaseRoot, TreeRoot
from helios_storage.root_record import RootRecord, encode_directory, encode_root_record
from helios_storage.scheduler import InlineScheduler, Scheduler
from helios_storage.seal import ROOT_LEVEL, DataKeys, PageSealer, StoreIdentity
from helios_storage.spec import Lsn, PageId
from helios_storage.store import PageStore, StoreWrite

LIST_BIT: Final = 1 << 62  # in the id of a page that lists chunks: deleting it deletes them
DIRECTORY_LEVEL: Final = 253
_LEVELS: Final[dict[type[Any], int]] = {Leaf: 0, Inner: 1, Chunk: 255}
_PRESSURE_MAX: Final = 1.5
_IDLE_SECONDS: Final = 5.0
_BATCH_PAGES: Final = 48  # encoding them takes about half a millisecond

Result = TypeVar("Result")
_logger: Final = logging.getLogger("helios_storage")


class PageThread:
    """The one thread that writes the page store (inline: the caller). Jobs run in order.

    `on_idle` runs on the loop's thread every few seconds without a job.
    """

    def __init__(self, scheduler: Scheduler, on_idle: Callable[[], None]) -> None:
        self._scheduler = scheduler
        self._on_idle = on_idle
        self._is_closing = False
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        if not isinstance(scheduler, InlineScheduler):
            self._thread = threading.Thread(target=self._run, name="helios-pages", daemon=True)
            self._thread.start()

    def submit(
        self,
        function: Callable[[], Result],
        done: Callable[[Result | None, StorageError | None], None],
    ) -> None:
        """Run `function` there, then `done(result, error)` on the loop's thread."""

        def job() -> None:
            result: Result | None = None
            failure: StorageError | None = None
            try:
                result = function()
            except StorageError as error:
                failure = error
            self._scheduler.post(partial(done, result, failure))

        if self._thread is None:
            job()
        else:
            self._jobs.put(job)

    def close(self) -> None:
        """Run what is queued, then stop."""
        self._is_closing = True
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_SECONDS)
            except Empty:
                if not self._is_closing:
                    self._scheduler.post(self._on_idle)
                continue
            if job is None:
                return
            job()


class PageBatch:
    """The page store's current transaction: opened when needed, committed each `batch_bytes`.

    Page thread only.
    """

    def __init__(self, store: PageStore, batch_bytes: int) -> None:
        self._store = store
        self._batch_bytes = batch_bytes
        self._write: StoreWrite | None = None
        self._size = 0

    @property
    def write(self) -> StoreWrite:
        """The open transaction."""
        if self._write is None:
            self._write = self._store.begin_write()
        return self._write

    def put(self, sealer: PageSealer, pages: list[tuple[int, int, bytes]]) -> list[bytes]:
        """Seal and put (page id, level, plaintext)s; their tags."""
        write, tags = self.write, []
        seal = sealer.seal
        for page_id, level, plaintext in pages:
            sealed = seal(page_id, level, plaintext)
            write.put(page_id, sealed)
            self._size += len(sealed)
            tags.append(sealed[-16:])
        return tags

    def is_full(self) -> bool:
        """Whether the transaction should be committed before more is put."""
        return self._size >= self._batch_bytes

    def commit(self) -> None:
        """Make what was put durable."""
        if self._write is not None:
            write, self._write, self._size = self._write, None, 0
            write.commit()

    def abort(self) -> None:
        """Give up what was put since the last commit."""
        if self._write is not None:
            write, self._write, self._size = self._write, None, 0
            write.abort()


class Garbage:
    """Page ids that newer roots no longer use: (LSN of the commit that dropped them, ids)."""

    def __init__(self, ids: Iterable[int], lsn: int) -> None:
        self._dropped: list[tuple[int, list[int]]] = [(lsn, list(ids))]
        self._maybe: deque[tuple[int, Ref]] = deque()
        self.is_collecting = False  # a checkpoint is giving ids to pages of an older root

    def replaced(self, refs: list[Ref], lsn: Lsn, durable_lsn: Lsn) -> int:
        """A commit at `lsn` replaced these pages; how many of them were never stored.

        Those may still be stored: by a checkpoint that runs, or one that begins at the durable root
        while this commit is behind it. Until then they are kept in mind.
        """
        ids = [ref.page_id for ref in refs if ref.page_id]
        if ids:
            self._dropped.append((lsn, ids))  # type: ignore[arg-type]
        maybe = self._maybe
        if not self.is_collecting:
            while maybe and maybe[0][0] <= durable_lsn:
                maybe.popleft()
        unstored = len(refs) - len(ids)
        if unstored:
            maybe += [(lsn, ref) for ref in refs if not ref.page_id]
        return unstored

    def add(self, ids: list[int], lsn: int) -> None:
        """Ids that no root after `lsn` uses."""
        if ids:
            self._dropped.append((lsn, ids))

    def settle(self) -> None:
        """The checkpoint is over: what it stored of pages replaced meanwhile is garbage, too."""
        self.is_collecting = False
        unstored: deque[tuple[int, Ref]] = deque()
        for lsn, ref in self._maybe:
            if ref.page_id:
                self._dropped.append((lsn, [ref.page_id]))
            else:
                unstored.append((lsn, ref))
        self._maybe = unstored

    def take(self, lsn: int) -> list[int]:
        """The ids dropped by commits up to `lsn`, removed from here."""
        ids = [number for at, group in self._dropped if at <= lsn for number in group]
        self._dropped = [pair for pair in self._dropped if pair[0] > lsn]
        return ids

    def up_to(self, lsn: int) -> list[int]:
        """The ids dropped by commits up to `lsn`."""
        return [number for at, group in self._dropped if at <= lsn for number in group]

    def count(self) -> int:
        """How many page ids wait to be deleted."""
        return sum(len(group) for _, group in self._dropped)


Done: TypeAlias = Callable[["StorageError | None"], None]


class _Task:
    """Work for the page store that runs in slices: a checkpoint or a spill."""

    __slots__ = ("begin", "done")

    def __init__(self, begin: Callable[[], Iterator[None]], done: Done | None) -> None:
        self.begin = begin
        self.done = done


class CheckpointState:
    """What the last checkpoint wrote, as the next one needs it."""

    def __init__(self, record: RootRecord, root: DatabaseRoot | None) -> None:
        self.record = record
        self.buckets: dict[int, dict[int, TreeRoot]] = {} if root is None else dict(root.buckets)
        self.places = {number: (page_id, tag) for number, page_id, tag in record.buckets}


class Checkpointer:
    """Starts, drives and ends checkpoints. Loop's thread, but for the page thread's jobs."""

    def __init__(
        self,
        store: PageStore,
        keys: DataKeys,
        identity: StoreIdentity,
        scheduler: Scheduler,
        options: StorageOptions,
        roots: PublishedRoots,
        commits: Commits,
        cache: Cache,
        state: CheckpointState,
        counters: Callable[[], tuple[int, int, int, tuple[tuple[int, int, bool], ...]]],
    ) -> None:
        """`counters()`: next tree id, next transaction id, key ring generation, sequences."""
        self._store = store
        self._keys = keys
        self._identity = identity
        self._scheduler = scheduler
        self._options = options
        self._roots = roots
        self._commits = commits
        self._cache = cache
        self._state = state
        self._counters = counters
        self._thread = PageThread(scheduler, self.start_if_due)
        self._batch = PageBatch(store, options.checkpoint_batch_bytes)
        self._next_page_id = state.record.next_page_id
        self._started = monotonic()
        self._begun_lsn: int = state.record.lsn  # what was durable when the last one began
        self._is_filling = False
        self._steps: Iterator[None] | None = None
        self._stored: list[Ref] = []  # have ids, not yet committed
        self._answer: Any = None
        self._tasks: deque[_Task] = deque()
        self._closed = False
        self.garbage = Garbage(state.record.garbage, state.record.lsn)
        self.completed = 0
        self.pages_written = 0
        self.loop_seconds = 0.0

    # ------------------------------------------------------------------ when

    @property
    def is_running(self) -> bool:
        """Whether a checkpoint is under way."""
        return self._steps is not None

    def is_due(self) -> bool:
        """Whether enough log, enough changed pages or enough time came together."""
        options = self._options
        logged = self._commits.durable_lsn - self._begun_lsn
        if logged >= options.checkpoint_log_bytes:
            return True
        seconds = options.checkpoint_seconds
        return bool(seconds and logged and monotonic() - self._started >= seconds)

    def is_pressed(self) -> bool:
        """Whether commits should wait: changed pages are far above what they may take."""
        return self._steps is not None and self._cache.dirty_pressure() > _PRESSURE_MAX

    def on_publish(self, replaced: list[Ref], lsn: Lsn) -> None:
        """A commit was published."""
        if replaced:
            unstored = self.garbage.replaced(replaced, lsn, self._roots.durable.lsn)
            if unstored:
                self._cache.shrunk(unstored * PAGE_BYTES)

    def start_if_due(self) -> None:
        """Begin a checkpoint if one is due and none is running."""
        if self._steps is None and not self._closed and self.is_due():
            self.start(None)

    def start_if_dirty(self) -> None:
        """Begin a checkpoint because changed pages take too much of the cache."""
        is_idle = self._steps is None and not self._closed
        if is_idle and self._commits.durable_lsn > self._begun_lsn:
            self.start(None)

    def on_synced(self) -> None:
        """More of the log is durable: a checkpoint may be due, the next segment be wanted."""
        self.start_if_due()
        if not self._is_filling and self._commits.writer.wants_spare() and not self._closed:
            self._is_filling = True
            self._thread.submit(self._commits.writer.prepare_spare, self._on_filled)

    def _on_filled(self, _: bool | None, error: StorageError | None) -> None:  # noqa: FBT001
        self._is_filling = False

    def start(self, done: Done | None) -> None:
        """Begin a checkpoint of everything durable now; `done(error)` when it is complete.

        While one is running, this is one more after it.
        """
        self._submit(_Task(self._checkpoint, done))

    def spill(self, xid: int, token: EditToken, refs: list[Ref], done: Done) -> None:
        """Store the changed pages below `refs`, roots of trees of an uncommitted transaction.

        Afterwards they may be evicted like any clean page. Nobody may change them until `done`.
        Pages under `token` are the transaction's own: they go when it is rolled back. Others below
        `refs` belong to committed roots, too.
        """
        self._submit(_Task(partial(self._spill, xid, token, refs), done))

    def on_abandon(self, large: LargeCommit) -> None:
        """A transaction with stored pages was rolled back: no root ever had them."""
        self.garbage.add(large.page_ids, 0)

    @property
    def lsn(self) -> int:
        """The LSN of the last complete checkpoint."""
        return self._state.record.lsn

    @property
    def next_page_id(self) -> int:
        """The id that the next stored page gets."""
        return self._next_page_id

    def skip_page_ids(self, page_id: int) -> None:
        """Ids below `page_id` are taken."""
        self._next_page_id = max(self._next_page_id, page_id)

    def close(self) -> None:
        """Stop the page thread."""
        self._closed = True
        self._thread.close()

    # ------------------------------------------------------------------ how

    def _step(self) -> None:
        """Run to the next hand-off, or for one slice of the loop."""
        steps = self._steps
        assert steps is not None
        began = perf_counter()
        try:
            next(steps)
        except StopIteration:
            self._finish(None)
        except StorageError as error:
            self._finish(error)
        except BaseException as error:
            self._finish(StorageError(f"{type(error).__name__}: {error}"))
            raise
        finally:
            self.loop_seconds += perf_counter() - began

    def _submit(self, task: _Task) -> None:
        self._tasks.append(task)
        if self._steps is None:
            self._begin_next()

    def _begin_next(self) -> None:
        self._steps = self._tasks[0].begin()
        self._step()

    def _finish(self, error: StorageError | None) -> None:
        self._steps = None
        done = self._tasks.popleft().done
        if error is not None:
            _logger.error("pages could not be stored, they stay in memory: %s", error)
        if done is not None:
            done(error)
        self._commits.release_held()
        if self._tasks and self._steps is None:
            self._begin_next()

    def _in_thread(self, function: Callable[[], Result]) -> Iterator[None]:
        """Hand `function` to the page thread and suspend this checkpoint until it has run."""
        answered = False
        suspended = False
        failure: StorageError | None = None

        def done(result: Result | None, error: StorageError | None) -> None:
            nonlocal answered, failure
            answered, self._answer, failure = True, result, error
            if suspended:
                self._step()

        self._thread.submit(function, done)
        if not answered:
            suspended = True
            yield
        if failure is not None:
            raise failure

    def _pause(self) -> Iterator[None]:
        """Give the loop its turn; at once again where a single caller runs everything."""
        if not isinstance(self._scheduler, InlineScheduler):
            self._scheduler.post(self._step)
            yield

    def _checkpoint(self) -> Iterator[None]:
        self._started = monotonic()
        begun_before, self._begun_lsn = self._begun_lsn, self._commits.durable_lsn
        root = self._roots.pin(self._roots.durable)
        # Pages of this root get ids now: whoever held its edit token must not change them in place.
        root.token = EditToken()
        self.garbage.is_collecting = True
        self._cache.grown_bytes = 0
        try:
            yield from self._or_undo(self._write(root))
        except StorageError:
            self._begun_lsn = begun_before
            raise
        finally:
            self.garbage.settle()
            self._roots.unpin(root)
        self.completed += 1
        self._cache.dirty_bytes = min(self._cache.dirty_bytes, self._cache.grown_bytes)

    def _spill(self, xid: int, token: EditToken, refs: list[Ref]) -> Iterator[None]:
        large = self._commits.large.setdefault(xid, LargeCommit())
        large.tokens.add(token)

        def store() -> Iterator[None]:
            sealer = PageSealer(self._keys, self._identity)
            levels: list[list[Ref]] = []
            for ref in refs:
                for _ in _walk_changed(ref, levels):
                    pass
            for level in levels:
                yield from self._store_pages(sealer, level)
                own = [ref for ref in level if getattr(ref.page, "token", None) in large.tokens]
                large.page_ids += [ref.page_id for ref in own]
            yield from self._in_thread(self._batch.commit)
            self._settle_stored()

        yield from self._or_undo(store())

    def _or_undo(self, steps: Iterator[None]) -> Iterator[None]:
        """`steps`; when the store fails, what is not committed takes its ids back."""
        try:
            yield from steps
        except StorageError:
            for ref in self._stored:
                ref.page_id, ref.tag = PageId(0), b""
            self._stored = []
            yield from self._in_thread(self._batch.abort)
            raise

    def _write(self, root: DatabaseRoot) -> Iterator[None]:
        sealer = PageSealer(self._keys, self._identity)
        last = self._state
        changed = {
            number: bucket
            for number, bucket in root.buckets.items()
            if last.buckets.get(number) is not bucket
        }
        levels = yield from self._collect(changed, last)
        for level in levels:
            yield from self._store_pages(sealer, level)
        places = {n: place for n, place in last.places.items() if n in root.buckets}
        dropped = [last.places[n][0] for n in last.places if n in changed or n not in root.buckets]
        for number, bucket in sorted(changed.items()):
            trees = [bucket[slot] for slot in sorted(bucket) if not bucket[slot].spec.temporary]
            page_id = self._new_page_id()
            page = [(page_id, DIRECTORY_LEVEL, encode_directory(trees))]
            yield from self._in_thread(partial(self._batch.put, sealer, page))
            places[number] = (page_id, self._answer[0])
        yield from self._put_root(sealer, root, places, dropped)

    def _put_root(
        self,
        sealer: PageSealer,
        root: DatabaseRoot,
        places: dict[int, tuple[int, bytes]],
        dropped: list[int],
    ) -> Iterator[None]:
        last = self._state.record
        garbage = self.garbage
        garbage.add(dropped, root.lsn)
        garbage.add((yield from self._dropped_trees(root)), root.lsn)
        garbage.add((yield from self._left_behind(root)), root.lsn)
        deleted = garbage.take(min(last.lsn, self._roots.oldest_lsn()))
        next_tree_id, next_xid, generation, sequences = self._counters()
        record = RootRecord(
            number=last.number + 1,
            lsn=root.lsn,
            replay_lsn=self._commits.oldest_part_lsn(root.lsn),
            next_page_id=self._next_page_id,
            next_tree_id=next_tree_id,
            next_xid=next_xid,
            timeline=self._identity.timeline,
            ring_generation=generation,
            buckets=tuple((number, *place) for number, place in sorted(places.items())),
            sequences=sequences,
            garbage=(*garbage.up_to(root.lsn), *self._commits.spilled_ids(root.lsn)),
        )
        plaintext = encode_root_record(record)

        def put() -> None:
            sealed = sealer.seal(record.number, ROOT_LEVEL, plaintext)
            write = self._batch.write
            write.delete(self._with_lists(deleted))
            write.put_root(record.number, sealed, keep_from=record.number - 1)
            self._batch.commit()
            self._commits.writer.release(last.replay_lsn)

        try:
            yield from self._in_thread(put)
        except StorageError:
            garbage.add(deleted, last.lsn)
            raise
        self._settle_stored()
        self._state = CheckpointState(record, root)
        self._commits.forget_large(root.lsn)

    # ------------------------------------------------------------------ changed pages

    def _collect(
        self, changed: dict[int, dict[int, TreeRoot]], last: CheckpointState
    ) -> Generator[None, None, list[list[Ref]]]:
        """Changed pages of the changed trees, in lists: children before parents."""
        levels: list[list[Ref]] = []
        until = perf_counter() + self._options.checkpoint_slice_ms / 1000
        for number, bucket in changed.items():
            before = last.buckets.get(number, {})
            for slot, tree in bucket.items():
                if tree.spec.temporary or tree.ref.page_id:
                    continue
                assert before.get(slot) is not tree
                for _ in _walk_changed(tree.ref, levels):
                    if perf_counter() > until:
                        yield from self._pause()
                        until = perf_counter() + self._options.checkpoint_slice_ms / 1000
        return levels

    def _store_pages(self, sealer: PageSealer, refs: list[Ref]) -> Iterator[None]:
        """Encode, seal and put pages whose children have their ids."""
        slice_seconds = self._options.checkpoint_slice_ms / 1000
        at = 0
        while at < len(refs):
            # Slices grow, up to four times, while pages are changed faster than they are stored.
            pressure = min(max(self._cache.dirty_pressure(), 1.0), 4.0)
            until = perf_counter() + slice_seconds / 2 * pressure
            pages_max = int(_BATCH_PAGES * pressure)
            batch: list[tuple[Ref, int, int, bytes]] = []
            while at < len(refs) and len(batch) < pages_max and perf_counter() < until:
                ref = refs[at]
                at += 1
                if ref.page_id:
                    continue  # shared by two trees, or reached twice
                page: Any = ref.page
                batch.append((ref, self._id_of(page), _LEVELS[type(page)], encode_page(page)))
            pages = [(page_id, level, data) for _, page_id, level, data in batch]
            yield from self._in_thread(partial(self._batch.put, sealer, pages))
            for (ref, page_id, _, _), tag in zip(batch, self._answer, strict=True):
                ref.page_id, ref.tag = PageId(page_id), tag
                self._stored.append(ref)
            self.pages_written += len(batch)
            self._cache.shrunk(len(batch) * PAGE_BYTES)
            self._commits.release_held()
            if self._batch.is_full():
                yield from self._in_thread(self._batch.commit)
                self._settle_stored()

    def _settle_stored(self) -> None:
        stored, self._stored = self._stored, []
        self._cache.adopt(stored)

    def _id_of(self, page: Page) -> int:
        number = self._new_page_id()
        if type(page) is Chunk and page.children is not None:
            return number | LIST_BIT
        return number

    def _new_page_id(self) -> int:
        number = self._next_page_id
        self._next_page_id = number + 1
        return number

    # ------------------------------------------------------------------ dropped trees

    def _dropped_trees(self, root: DatabaseRoot) -> Generator[None, None, list[int]]:
        """Ids of all pages of trees that the last root had and this one has not."""
        ids: list[int] = []
        for number, bucket in self._state.buckets.items():
            now = root.buckets.get(number, {})
            if now is bucket:
                continue
            for slot, tree in bucket.items():
                if slot not in now and not tree.spec.temporary:
                    yield from self._in_thread(partial(self._tree_ids, tree))
                    ids += self._answer
        return ids

    def _left_behind(self, root: DatabaseRoot) -> Generator[None, None, list[int]]:
        """Pages that large transactions stored early and their commit made no use of."""
        committed = [one for one in self._commits.large.values() if one.is_in(root.lsn)]
        early = {number for one in committed for number in one.page_ids}
        if early:
            for number, bucket in root.buckets.items():
                before = self._state.buckets.get(number, {})
                for slot, tree in bucket.items():
                    if before.get(slot) is not tree:
                        yield from self._in_thread(partial(self._inner_ids, tree))
                        early.difference_update(self._answer)
        return sorted(early)

    def _inner_ids(self, tree: TreeRoot) -> list[int]:
        """The page ids of a tree that inner pages tell; no leaf is read."""
        ids: list[int] = []
        refs = [tree.ref]
        while refs:
            ref = refs.pop()
            ids.append(ref.page_id)
            page = ref.page or self._cache.read_page(ref, tree.spec)
            if type(page) is Inner:
                children = page.children
                first = children[0].page or self._cache.read_page(children[0], tree.spec)
                if type(first) is Inner:
                    refs += children
                else:
                    ids += [child.page_id for child in children]
        return ids

    def _tree_ids(self, tree: TreeRoot) -> list[int]:
        """Every page id of a stored tree. Leaves are read only if they may hold large values."""
        ids: list[int] = []
        refs = [tree.ref]
        spec = tree.spec
        reads_leaves = any(shape in "tb" for shape in spec.shapes)
        while refs:
            ref = refs.pop()
            if not ref.page_id:
                continue
            ids.append(ref.page_id)
            page = ref.page or self._cache.read_page(ref, spec)
            children = children_of(page)
            if type(page) is Inner and not reads_leaves:
                first = children[0].page or self._cache.read_page(children[0], spec)
                if type(first) is not Inner:
                    ids += [child.page_id for child in children if child.page_id]
                    continue
            refs += children
        return ids

    def _with_lists(self, ids: list[int]) -> list[int]:
        """`ids`, and for each that lists chunks of a large value, those (page thread)."""
        found = list(ids)
        for number in found:
            if number & LIST_BIT:
                found += self._cache.listed_ids(number)
        return found


def _walk_changed(ref: Ref, levels: list[list[Ref]]) -> Iterator[None]:
    """Put every changed page below `ref` into `levels[height]`; yields after each inner page.

    Height: 0 for a page without changed children, else one more than its highest.
    """
    if ref.page_id:
        return
    stack: list[list[Any]] = [[ref, iter(_changed_below(ref)), 0]]
    lowest = _at(levels, 0)
    while stack:
        frame = stack[-1]
        for child in frame[1]:
            changed = _changed_below(child)
            if changed:
                stack.append([child, iter(changed), 0])
                break
            lowest.append(child)
            frame[2] = frame[2] or 1
        else:
            stack.pop()
            _at(levels, frame[2]).append(frame[0])
            if stack:
                stack[-1][2] = max(stack[-1][2], frame[2] + 1)
            yield


def _changed_below(ref: Ref) -> list[Ref]:
    page = ref.page
    assert page is not None, "a changed page is in memory"
    return [child for child in children_of(page) if not child.page_id]


def _at(levels: list[list[Ref]], height: int) -> list[Ref]:
    while len(levels) <= height:
        levels.append([])
    return levels[height]
