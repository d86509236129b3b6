"""A scheduler with real helper threads and one caller, who pumps what they post."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from helios_storage.scheduler import Event

Result = TypeVar("Result")


class PumpScheduler:
    """`wait` runs posted functions until the event is set; threads are those of storage itself."""

    def __init__(self) -> None:
        self._posted: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def wait(self, event: Event, timeout_ms: int = 0) -> bool:
        until = time.monotonic() + (timeout_ms / 1000 if timeout_ms else 60)
        while not event.is_set:
            left = until - time.monotonic()
            if left <= 0:
                assert timeout_ms, "nothing happened for a minute"
                return False
            self.pump(left)
        return True

    def pump(self, timeout: float) -> None:
        """Run one posted function, or return after `timeout` seconds."""
        try:
            function = self._posted.get(timeout=timeout)
        except Empty:
            return
        function()

    def run_in_thread(self, function: Callable[..., Result], *args: Any) -> Result:
        return function(*args)

    def check_slice(self) -> None:
        return None

    def can_wait(self) -> bool:
        return True

    def post(self, function: Callable[[], None]) -> None:
        self._posted.put(function)
