"""How storage waits without knowing who waits: events, and the face of a scheduler.

In a session's greenlet `wait` suspends it; on a plain call it raises `Blocked` before any effect,
and the caller runs the statement again where it may wait. `InlineScheduler` is for tests and
commands, which are alone: it waits for nothing but threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from helios_storage.errors import LockNotAvailable

Result = TypeVar("Result")


class Blocked(BaseException):
    """A plain call would have to wait. Nothing has happened yet; run it where waiting is possible.

    A BaseException, so that no `except Exception` on the way takes it for a failure.
    """


class Event:
    """Something that happens once. `set` wakes whoever waits; callbacks run at once, in order."""

    __slots__ = ("_callbacks", "is_set")

    def __init__(self) -> None:
        self.is_set = False
        self._callbacks: list[Callable[[], None]] = []

    def set(self) -> None:
        """Mark it as happened and run the callbacks. A second call does nothing."""
        if self.is_set:
            return
        self.is_set = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def on_set(self, callback: Callable[[], None]) -> None:
        """Run `callback` when the event happens, at once if it has."""
        if self.is_set:
            callback()
        else:
            self._callbacks.append(callback)

    def forget(self, callback: Callable[[], None]) -> None:
        """The waiter was cancelled: `callback` need not run any more."""
        if callback in self._callbacks:
            self._callbacks.remove(callback)


class Scheduler(Protocol):
    """What storage asks of whoever runs it. All calls come from the loop's thread."""

    def wait(self, event: Event, timeout_ms: int = 0) -> bool:
        """Suspend until `event` is set; False when `timeout_ms` (0: none) passed first.

        On a plain call: raises `Blocked`. A cancelled statement's error is thrown out of here.
        """

    def run_in_thread(self, function: Callable[..., Result], *args: Any) -> Result:
        """Run `function`, which must release the GIL, in a thread; suspend until it is done."""

    def start_in_thread(self, function: Callable[..., Result], *args: Any) -> Callable[[], Result]:
        """As `run_in_thread`, but goes on at once; the returned function waits for the result."""

    def check_slice(self) -> None:
        """Give way to others when this slice (0.5 ms) is used up; where a cancel is thrown."""

    def can_wait(self) -> bool:
        """Whether `wait` would suspend (True) or raise `Blocked` (False)."""

    def post(self, function: Callable[[], None]) -> None:
        """Run `function` on the loop's thread soon. The one call allowed from other threads."""


class InlineScheduler:
    """For tests and commands: one caller, so a wait for anybody else would never end."""

    def wait(self, event: Event, timeout_ms: int = 0) -> bool:
        if event.is_set:
            return True
        if timeout_ms:
            return False
        raise LockNotAvailable("a single caller waits for itself")

    def run_in_thread(self, function: Callable[..., Result], *args: Any) -> Result:
        return function(*args)

    def start_in_thread(self, function: Callable[..., Result], *args: Any) -> Callable[[], Result]:
        result = function(*args)
        return lambda: result

    def check_slice(self) -> None:
        return None

    def can_wait(self) -> bool:
        return False

    def post(self, function: Callable[[], None]) -> None:
        """At once: a single caller has no helper threads (durability then syncs in `commit`)."""
        function()
