"""The hub: one greenlet a running statement, all of them on the event loop's thread.

A statement that must wait (for a lock, a page, a slow reader, its next slice) switches to the hub,
and the hub switches back when what it waits for has happened. Cancelling is throwing: the error is
raised out of the very call in which the statement waits.

Fairness. A long statement runs in slices of 0.5 ms. While short work keeps arriving, the next slice
begins only when as much time has passed for others: long work then gets half of the loop at most.
Short windows are spun through by `call_soon`, because epoll counts in whole milliseconds.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import get_ident
from time import perf_counter_ns
from typing import Any, Final, TypeVar

from greenlet import getcurrent, greenlet

from helios_storage.scheduler import Blocked, Event
from heliosd.errors import OUT_OF_MEMORY, SqlError

Result = TypeVar("Result")

SLICE_NS: Final = 500_000
# Short work counts as "keeps arriving" for this long after the last of it.
ACTIVE_NS: Final = 5_000_000
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Task(greenlet):  # type: ignore[misc]  # greenlet ships no types
    """One running statement (or batch of them) of a session. Made by `Hub.start` only."""

    deadline_ns: int
    pending: BaseException | None
    ticket: int
    cancellable: bool
    hub: Hub
    # Anonymous memory at the task's first slice end; -1 before it.
    memory_base_bytes: int

    def cancel(self, error: BaseException) -> None:
        """Throw `error` out of the call in which this task waits, or at its next check."""
        if self.dead:
            return
        self.pending = error
        if self.cancellable:
            self.hub.wake(self, self.ticket)


class Hub:
    """A `helios_storage` Scheduler on an asyncio loop. All methods: the loop's thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, threads: int = 4) -> None:
        self._loop = loop
        self._main = getcurrent()
        self._thread_id = get_ident()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="helios")
        self._yielded: deque[Task] = deque()
        self._turn_scheduled = False
        self._slice_end_ns = 0
        self._last_activity_ns = 0
        self._seen_activity = 0
        # What one statement may make the process grow by (S-26); 0: no bound.
        self.statement_memory_bytes = 0
        # Memory that grows for everybody: pages in the cache. Set by whoever opens the storage.
        self.shared_bytes: Callable[[], int] = int
        self._statm = os.open("/proc/self/statm", os.O_RDONLY)
        # Connections add one for each readable event: the sign that short work keeps arriving.
        self.activity = 0
        # The connection that was heard last, and how often that changed.
        self.speaker: object = None
        self.turns = 0
        self._turns_seen = 0

    def start(self, function: Callable[[], None]) -> Task:
        """Run `function` in a greenlet of its own until it first waits or ends.

        `function` must handle its own errors: what it lets out ends in the loop's handler.
        """
        task = Task(function, self._main)
        # decimal's and other context variables are those of the caller, not fresh ones.
        task.gr_context = contextvars.copy_context()
        task.hub = self
        task.pending = None
        task.ticket = 0
        task.cancellable = False
        task.deadline_ns = perf_counter_ns() + SLICE_NS
        task.memory_base_bytes = -1
        task.switch()
        return task

    def can_wait(self) -> bool:
        """Whether the caller runs in a task: elsewhere waiting raises `Blocked`."""
        return isinstance(getcurrent(), Task)

    def wait(self, event: Event, timeout_ms: int = 0) -> bool:
        """Suspend until `event` is set; False when `timeout_ms` (0: none) passed first."""
        if event.is_set:
            return True
        task = getcurrent()
        if not isinstance(task, Task):
            raise Blocked
        self._raise_pending(task)
        ticket = self._next_ticket(task)

        def wake() -> None:
            self.wake(task, ticket)

        event.on_set(wake)
        timer = self._loop.call_later(timeout_ms / 1000, wake) if timeout_ms else None
        try:
            self._suspend(task, cancellable=True)
        finally:
            event.forget(wake)
            if timer is not None:
                timer.cancel()
        return event.is_set

    def is_alone(self) -> bool:
        """Whether one connection is all that was heard since the last call, and nothing runs."""
        turns, self._turns_seen = self._turns_seen, self.turns
        return turns == self.turns and not self._yielded

    def sleep(self, seconds: float) -> None:
        """Suspend the task for that long; a cancel ends it early."""
        self.wait(Event(), max(1, round(seconds * 1000)))

    def run_in_thread(self, function: Callable[..., Result], *args: Any) -> Result:
        """Run `function`, which must release the GIL, in the pool; suspend until it is done.

        Not cancelled half-way: a cancel is thrown when the function has returned.
        """
        task = getcurrent()
        if not isinstance(task, Task):
            raise Blocked
        self._raise_pending(task)
        ticket = self._next_ticket(task)
        future: Future[Result] = self._pool.submit(function, *args)

        def done(_: Future[Result]) -> None:
            self._loop.call_soon_threadsafe(self._resume, task, ticket)

        future.add_done_callback(done)
        self._suspend(task, cancellable=False)
        return future.result()

    def start_in_thread(self, function: Callable[..., Result], *args: Any) -> Callable[[], Result]:
        """Start `function` in the pool and go on; the answer waits for its result."""
        future: Future[Result] = self._pool.submit(function, *args)

        def result() -> Result:
            if not future.done():
                ended = Event()
                future.add_done_callback(lambda _: self._loop.call_soon_threadsafe(ended.set))
                self.wait(ended)
            return future.result()

        return result

    def check_slice(self) -> None:
        """Give way when this slice is used up. Outside of a task: nothing to give way to."""
        task = getcurrent()
        if not isinstance(task, Task):
            return
        now = perf_counter_ns()
        if now < task.deadline_ns and task.pending is None:
            return
        self._raise_pending(task)
        if self.statement_memory_bytes:
            self._check_memory(task)
        self._next_ticket(task)
        self._slice_end_ns = now
        self._yielded.append(task)
        if not self._turn_scheduled:
            self._turn_scheduled = True
            self._loop.call_soon(self._turn)
        # Its turn comes within a millisecond or so per waiting task: that is soon enough to cancel.
        self._suspend(task, cancellable=False)

    def _check_memory(self, task: Task) -> None:
        """53200 when this task's run has made the process grow past the bound (2 us a slice).

        An estimate: what other long statements take meanwhile counts too, so the bound is a net
        under the machine, not an account. Nothing finer stops every way of holding rows.
        """
        pages = os.pread(self._statm, 128, 0).split()
        anonymous = (int(pages[1]) - int(pages[2])) * _PAGE_BYTES - self.shared_bytes()
        if task.memory_base_bytes < 0:
            task.memory_base_bytes = anonymous
        elif anonymous - task.memory_base_bytes > self.statement_memory_bytes:
            task.memory_base_bytes = anonymous
            limit = self.statement_memory_bytes >> 20
            raise SqlError(
                OUT_OF_MEMORY,
                "out of memory",
                detail=f"The statement holds more than {limit} MB (helios.statement_memory).",
            )

    def wake(self, task: Task, ticket: int) -> None:
        """Let `task` go on in the loop's next round, unless it has gone on already."""
        self._loop.call_soon(self._resume, task, ticket)

    def post(self, function: Callable[[], None]) -> None:
        """Run `function` on the loop soon. The one method that other threads may call."""
        if get_ident() == self._thread_id:
            self._loop.call_soon(function)  # without the self-pipe's two system calls
        else:
            self._loop.call_soon_threadsafe(function)

    def post_after(self, seconds: float, function: Callable[[], object]) -> None:
        """Run `function` on the loop after that long."""
        self._loop.call_later(seconds, function)

    def close(self) -> None:
        """Stop the thread pool; its running calls end first."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        os.close(self._statm)

    def _turn(self) -> None:
        """Give the next slice, or spin while it is the others' time."""
        now = perf_counter_ns()
        if self.activity != self._seen_activity:
            self._seen_activity = self.activity
            self._last_activity_ns = now
        others_busy = now - self._last_activity_ns < ACTIVE_NS
        if others_busy and now - self._slice_end_ns < SLICE_NS:
            self._loop.call_soon(self._turn)
            return
        self._turn_scheduled = False
        task = self._yielded.popleft()
        self._resume(task, task.ticket)
        if self._yielded and not self._turn_scheduled:
            self._turn_scheduled = True
            self._loop.call_soon(self._turn)

    def _next_ticket(self, task: Task) -> int:
        """Each suspension has its number, so that a late wake-up finds nobody."""
        task.ticket += 1
        return task.ticket

    def _suspend(self, task: Task, *, cancellable: bool) -> None:
        task.cancellable = cancellable
        try:
            self._main.switch()
        finally:
            task.cancellable = False
        self._raise_pending(task)

    def _resume(self, task: Task, ticket: int) -> None:
        if task.dead or task.ticket != ticket:
            return
        task.ticket += 1
        task.deadline_ns = perf_counter_ns() + SLICE_NS
        task.switch()

    @staticmethod
    def _raise_pending(task: Task) -> None:
        if task.pending is not None:
            error, task.pending = task.pending, None
            raise error
