"""A selector that looks again for a moment before it sleeps.

A thread that sleeps in epoll must be woken: that costs the client's kernel an interrupt to another
core and the server a cold start, together 20 to 50 us on virtual machines, more than the statement
that came. So, where questions follow answers quickly, the loop polls for up to `SPIN_NS` first.
Where they do not, spinning would only burn the core: each moment spent in vain doubles the number
of sleeps that come without one.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable
from time import perf_counter_ns
from typing import Final

SPIN_NS: Final = 60_000
_SLEEPS_MAX: Final = 1_024

Ready = list[tuple[selectors.SelectorKey, int]]


class SpinningSelector(selectors.EpollSelector):
    """For the server's event loop."""

    def __init__(self) -> None:
        super().__init__()
        self._sleeps = 0  # so many come without a spin
        self._sleeps_next = 1
        self.on_idle: Callable[[], bool] | None = None
        """Called when nothing is ready, before the loop waits: last chance for what was put off.

        True: something was done, and may have left callbacks behind, so the loop must not sleep."""

    def select(self, timeout: float | None = None) -> Ready:
        """See `selectors.BaseSelector.select`."""
        poll = super().select
        ready = poll(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self.on_idle is not None and self.on_idle():
            return poll(0)
        if self._sleeps:
            self._sleeps -= 1
            return poll(timeout)
        spin_ns = SPIN_NS if timeout is None else min(SPIN_NS, int(timeout * 1e9))
        end_ns = perf_counter_ns() + spin_ns
        while perf_counter_ns() < end_ns:
            ready = poll(0)
            if ready:
                self._sleeps_next = 1
                return ready
        self._sleeps = self._sleeps_next
        self._sleeps_next = min(2 * self._sleeps_next, _SLEEPS_MAX)
        return poll(timeout)
