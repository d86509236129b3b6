"""The one writer of the page store: its thread, its transactions, and work that runs in slices.

Work (a checkpoint, a spill) is a generator on the loop: it encodes pages, hands them to the page
thread, is suspended until they are sealed and put, and goes on. One piece of work runs at a time.

A Ref gets its id and tag before its page is committed, but becomes evictable only after; when the
store fails, the ids are taken back and the pages are as changed as before.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from functools import partial
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Any, Final, TypeAlias, TypeVar

from helios_storage.cache import Cache
from helios_storage.errors import StorageError
from helios_storage.options import StorageOptions
from helios_storage.page import PAGE_BYTES, Chunk, Inner, Leaf, Page, Ref, encode_page
from helios_storage.scheduler import InlineScheduler, Scheduler
from helios_storage.seal import PageSealer
from helios_storage.spec import PageId
from helios_storage.store import PageStore, StoreWrite

LIST_BIT: Final = 1 << 62  # in the id of a page that lists chunks: deleting it deletes them
_LEVELS: Final[dict[type[Any], int]] = {Leaf: 0, Inner: 1, Chunk: 255}
_IDLE_SECONDS: Final = 5.0
_BATCH_PAGES: Final = 48  # encoding them takes about half a millisecond

Result = TypeVar("Result")
Steps: TypeAlias = Generator[None, None, None]
Done: TypeAlias = Callable[["StorageError | None"], None]
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


class _Task:
    """Work for the page store that runs in slices: a checkpoint or a spill."""

    __slots__ = ("begin", "done")

    def __init__(self, begin: Callable[[], Steps], done: Done | None) -> None:
        self.begin = begin
        self.done = done


class PageWriter:
    """Runs work for the page store. Loop's thread, but for what `in_thread` is given."""

    def __init__(
        self,
        store: PageStore,
        cache: Cache,
        scheduler: Scheduler,
        options: StorageOptions,
        next_page_id: int,
        on_idle: Callable[[], None],
    ) -> None:
        self._cache = cache
        self._scheduler = scheduler
        self._slice_seconds = options.checkpoint_slice_ms / 1000
        self._thread = PageThread(scheduler, on_idle)
        self._tasks: deque[_Task] = deque()
        self._steps: Iterator[None] | None = None
        self._stored: list[Ref] = []  # have ids, not yet committed
        self.batch = PageBatch(store, options.checkpoint_batch_bytes)
        self.next_page_id = next_page_id
        self.on_progress: Callable[[], None] | None = None
        self.is_closed = False
        self.pages_written = 0
        self.loop_seconds = 0.0

    @property
    def is_running(self) -> bool:
        """Whether any work is under way."""
        return self._steps is not None

    def submit(self, begin: Callable[[], Steps], done: Done | None) -> None:
        """Run `begin()` in slices after the work that was submitted before; then `done(error)`."""
        self._tasks.append(_Task(begin, done))
        if self._steps is None:
            self._begin_next()

    def submit_job(self, function: Callable[[], Result], done: Callable[[], None]) -> None:
        """Run `function` in the page thread between pieces of work; then `done()` on the loop."""

        def on_done(_: Result | None, error: StorageError | None) -> None:
            if error is not None:
                _logger.error("%s", error)
            done()

        self._thread.submit(function, on_done)

    def close(self) -> None:
        """Stop the page thread. Work under way ends where it is: nothing of its batch is kept."""
        self.is_closed = True
        self.submit_job(self.batch.abort, lambda: None)
        self._thread.close()

    # ------------------------------------------------------------------ running

    def _begin_next(self) -> None:
        self._steps = self._tasks[0].begin()
        self._step()

    def _step(self) -> None:
        """Run to the next hand-off, or for one slice of the loop."""
        if self.is_closed:
            return  # a message of the page thread that came too late
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

    def _finish(self, error: StorageError | None) -> None:
        self._steps = None
        done = self._tasks.popleft().done
        if error is not None:
            _logger.error("pages could not be stored, they stay in memory: %s", error)
        if done is not None:
            done(error)
        self._tell_progress()
        if self._tasks and self._steps is None:
            self._begin_next()

    def _tell_progress(self) -> None:
        if self.on_progress is not None:
            self.on_progress()

    def in_thread(self, function: Callable[[], Result]) -> Generator[None, None, Result]:
        """Hand `function` to the page thread, suspend this work until it has run; its result."""
        answers: list[tuple[Result | None, StorageError | None]] = []
        is_suspended = False

        def done(result: Result | None, error: StorageError | None) -> None:
            answers.append((result, error))
            if is_suspended:
                self._step()

        self._thread.submit(function, done)
        if not answers:
            is_suspended = True
            yield
        ((result, error),) = answers
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    def resume(self) -> None:
        """What the work under way waits for (it yielded by itself) has happened."""
        self._step()

    def pause(self) -> Steps:
        """Give the loop its turn; at once again where a single caller runs everything."""
        if not isinstance(self._scheduler, InlineScheduler):
            self._scheduler.post(self._step)
            yield

    # ------------------------------------------------------------------ pages

    def store_pages(self, sealer: PageSealer, refs: list[Ref]) -> Steps:
        """Encode, seal and put pages whose children have their ids."""
        at = 0
        while at < len(refs):
            # Slices grow, up to four times, while pages are changed faster than they are stored.
            pressure = min(max(self._cache.dirty_pressure(), 1.0), 4.0)
            until = perf_counter() + self._slice_seconds / 2 * pressure
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
            tags = yield from self.in_thread(partial(self.batch.put, sealer, pages))
            for (ref, page_id, _, _), tag in zip(batch, tags, strict=True):
                ref.page_id, ref.tag = PageId(page_id), tag
                self._stored.append(ref)
            self.pages_written += len(batch)
            self._cache.shrunk(len(batch) * PAGE_BYTES)
            self._tell_progress()
            if self.batch.is_full():
                yield from self.commit()

    def commit(self) -> Steps:
        """Make durable what was put; from now on it may be evicted."""
        yield from self.in_thread(self.batch.commit)
        self.settle()

    def settle(self) -> None:
        """What was put is committed: the cache may evict it."""
        stored, self._stored = self._stored, []
        self._cache.adopt(stored)

    def or_undo(self, steps: Steps) -> Steps:
        """`steps`; when the store fails, what is not committed takes its ids back."""
        try:
            yield from steps
        except StorageError:
            for ref in self._stored:
                ref.page_id, ref.tag = PageId(0), b""
            self._stored = []
            yield from self.in_thread(self.batch.abort)
            raise

    def new_page_id(self) -> int:
        """An id that no page has had."""
        number = self.next_page_id
        self.next_page_id = number + 1
        return number

    def _id_of(self, page: Page) -> int:
        number = self.new_page_id()
        if type(page) is Chunk and page.children is not None:
            return number | LIST_BIT
        return number
