"""DuckDB: one database in memory per server, a cursor for each query that runs, in a thread.

It reads nothing but the Arrow tables that it is handed: external access is off, the configuration
locked. One thread a query: PostgreSQL's order of float sums, and a loop that stays responsive. It
spills nothing, because its temporary files would not be encrypted: past its memory the rows form
runs, which spills for itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from helios_storage.scheduler import Event
from heliosd.execute.column_cache import ColumnCache

if TYPE_CHECKING:
    from helios_storage.scheduler import Scheduler
    from heliosd.execute.context import ExecutionContext

QUERIES_MAX: Final = 2
"""Queries that run at once: the others wait. The pool's other threads are storage's."""
BATCH_ROWS: Final = 8192
TRIMMED_ROWS: Final = 2_000_000
"""Queries over more rows begin by giving unused memory back."""
MEGABYTE: Final = 1024 * 1024


class ColumnEngineError(Exception):
    """DuckDB refused or failed: the rows form answers instead."""


class ColumnEngine:
    """Made once by the service. Everything but what runs in a thread: the loop's thread only."""

    def __init__(
        self, cache_bytes: int = 128 * MEGABYTE, memory_bytes: int = 256 * MEGABYTE
    ) -> None:
        self.cache = ColumnCache(cache_bytes)
        self.memory_bytes = memory_bytes
        self.running = 0
        self.queries = 0
        self.fallbacks = 0
        self._connection: Any = None
        self._idle: list[_Cursor] = []
        self._waiting: list[Event] = []

    @property
    def size_bytes(self) -> int:
        """What the columns hold, and what queries may: from the first one on, because what is
        freed stays with the process (and who compares two moments must see no step)."""
        return self.cache.size_bytes + (self.memory_bytes if self.queries else 0)

    def run(
        self, ctx: ExecutionContext, sql: str, tables: Mapping[str, Any], *, streams: bool
    ) -> Iterator[Any]:
        """Record batches of a query. Suspends; a cancel interrupts it within milliseconds.

        Raises `ColumnEngineError`, and after the first batch only where `streams`.
        """
        scheduler = ctx.transaction.manager.scheduler
        self.queries += 1
        cursor: _Cursor | None = None
        try:
            cursor = self._idle.pop() if self._idle else self._open(scheduler)
            yield from self._step(scheduler, cursor, cursor.execute, sql, tables, streams)
            while streams:
                more = self._step(scheduler, cursor, cursor.next)
                if not more:
                    break
                yield from more
            cursor.forget(self.cache.is_current)
            self._idle.append(cursor)
            cursor = None
        finally:
            if cursor is not None:
                cursor.abandon()

    def _step(
        self,
        scheduler: Scheduler,
        cursor: _Cursor,
        function: Callable[..., list[Any]],
        *arguments: Any,
    ) -> list[Any]:
        """One call in a thread, in its turn. Who reads slowly holds nobody up between calls."""
        while self.running >= QUERIES_MAX:
            turn = Event()
            self._waiting.append(turn)
            try:
                scheduler.wait(turn)
            except BaseException:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                elif self._waiting:
                    self._waiting.pop(0).set()  # it was this one's turn: the next one's, then
                raise
        self.running += 1
        try:
            return _in_thread(scheduler, cursor, function, *arguments)
        finally:
            self.running -= 1
            if self._waiting:
                self._waiting.pop(0).set()

    def _open(self, scheduler: Scheduler) -> _Cursor:
        if self._connection is None:
            connection = scheduler.run_in_thread(_connect, self.memory_bytes)
            if self._connection is None:
                self._connection = connection
        return _Cursor(self._connection.cursor())

    def close(self) -> None:
        """End of the server: nothing runs any more."""
        if self._connection is not None:
            self._connection.close()


def _connect(memory_bytes: int) -> Any:
    """The database (import and start take a third of a second: in a thread)."""
    import duckdb

    warnings.filterwarnings("ignore", message="Arrow output on a DB-API result")
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "memory_limit": f"{max(memory_bytes // MEGABYTE, 16)}MB",
            "temp_directory": "",
            # What a large query freed goes back to the system, not to the next query's peak.
            "allocator_flush_threshold": "16MB",
            "allocator_bulk_deallocation_flush_threshold": "16MB",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        },
    )
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


class _Cursor:
    """A DuckDB cursor and the tables that it knows. `execute` and `next` run in a thread."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._tables: dict[str, Any] = {}
        self._reader: Any = None
        self._lock = threading.Lock()
        self._is_abandoned = False

    def execute(self, sql: str, tables: Mapping[str, Any], streams: bool) -> list[Any]:  # noqa: FBT001
        """Run a query: all its batches, or (`streams`) the first."""
        import duckdb

        with self._lock:
            try:
                if sum(table.num_rows for table in tables.values()) > TRIMMED_ROWS:
                    give_memory_back()
                for name, table in tables.items():
                    if self._tables.get(name) is not table:
                        self._cursor.register(name, table)
                        self._tables[name] = table
                if streams:
                    self._reader = self._cursor.sql(sql).to_arrow_reader(BATCH_ROWS)
                    return self._next()
                found = self._cursor.execute(sql).to_arrow_table()
                return list(found.to_batches(max_chunksize=BATCH_ROWS))
            except duckdb.Error as error:
                raise ColumnEngineError(str(error)) from None
            finally:
                self._end()

    def next(self) -> list[Any]:
        """The next batch of a stream, [] at its end."""
        import duckdb

        with self._lock:
            try:
                return self._next()
            except (duckdb.Error, OSError) as error:
                raise ColumnEngineError(str(error)) from None
            finally:
                self._end()

    def _next(self) -> list[Any]:
        try:
            return [self._reader.read_next_batch()]
        except StopIteration:
            self._reader = None
            return []

    def forget(self, is_current: Callable[[str, Any], bool]) -> None:
        """Let go of tables that the cache has newer ones of, and of uncommitted rows."""
        self._reader = None
        for name, table in list(self._tables.items()):
            if not is_current(name, table):
                self._cursor.unregister(name)
                del self._tables[name]

    def interrupt(self) -> None:
        """Stop what runs; it ends within milliseconds."""
        self._cursor.interrupt()

    def abandon(self) -> None:
        """Close it, now or when the thread that uses it ends."""
        self._is_abandoned = True
        if self._lock.acquire(blocking=False):
            try:
                self._close()
            finally:
                self._lock.release()
        else:
            self.interrupt()

    def _end(self) -> None:
        if self._is_abandoned:
            self._close()

    def _close(self) -> None:
        self._reader = None
        self._tables.clear()
        self._cursor.close()


def give_memory_back() -> None:
    """What Arrow and the C library keep for later, before DuckDB takes more (milliseconds)."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):  # a C library without it
        ctypes.CDLL(None).malloc_trim(0)


def _in_thread(
    scheduler: Scheduler, cursor: _Cursor, function: Callable[..., list[Any]], *arguments: Any
) -> list[Any]:
    """Run one of the cursor's functions in the pool; a cancel meanwhile interrupts it."""
    result = scheduler.start_in_thread(function, *arguments)
    try:
        return result()
    except ColumnEngineError:
        raise
    except BaseException:
        cursor.interrupt()
        raise
