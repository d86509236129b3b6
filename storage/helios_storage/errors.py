"""Storage's own errors. `heliosd.errors.from_storage_error` gives each its SQLSTATE.

The SQLSTATE stands here as data, so that the daemon needs no table of classes.
"""

from __future__ import annotations

from typing import ClassVar


class StorageError(Exception):
    """Anything that storage refuses or cannot do; `sqlstate` is what a client should see."""

    sqlstate: ClassVar[str] = "XX000"


class SerializationConflict(StorageError):
    """The transaction cannot continue as if it ran alone (40001): run it again."""

    sqlstate = "40001"

    def __init__(self, message: str, detail: str | None = None) -> None:
        super().__init__(message)
        self.detail = detail


class DeadlockDetected(StorageError):
    """This wait would close a circle of waits (40P01).

    `waits` is the circle, each link (waiter's pid, what it waits for, holder's pid).
    """

    sqlstate = "40P01"

    def __init__(self, waits: tuple[tuple[int, str, int], ...]) -> None:
        super().__init__("deadlock detected")
        self.waits = waits


class LockNotAvailable(StorageError):
    """NOWAIT found the lock taken, or lock_timeout passed (55P03)."""

    sqlstate = "55P03"

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out


class ReadOnlyTransaction(StorageError):
    """A write in a read-only transaction (25006)."""

    sqlstate = "25006"


class TransactionEnded(StorageError):
    """The transaction was committed, rolled back or aborted before this call (25P01)."""

    sqlstate = "25P01"


class NoSuchTree(StorageError):
    """The tree does not exist at this root: dropped, or never made (42P01)."""

    sqlstate = "42P01"


class RowTooBig(StorageError):
    """The row does not fit a page even with its large values out of line (54000)."""

    sqlstate = "54000"


class KeyTooLong(StorageError):
    """An index or primary key above the limit (54000)."""

    sqlstate = "54000"


class SequenceExhausted(StorageError):
    """nextval reached the end of a sequence that does not cycle (2200H)."""

    sqlstate = "2200H"


class Corrupted(StorageError):
    """A page or record is not what its parent says it is, or is absent (XX001)."""

    sqlstate = "XX001"


class StorageFull(StorageError):
    """The disk or a configured limit is full (53100)."""

    sqlstate = "53100"


class StorageClosed(StorageError):
    """The storage was closed, or is being closed (57P01)."""

    sqlstate = "57P01"


class StorageRefused(StorageError):
    """The store cannot be opened as it is: in use, another format, another key, a log gap (58000).

    Nothing was changed by the attempt.
    """

    sqlstate = "58000"


class StorageFailed(StorageError):
    """A commit was logged but could not be applied; only a restart (replay) helps (58000)."""

    sqlstate = "58000"
