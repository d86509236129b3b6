"""Time as SQL counts it: microseconds since 2000-01-01 UTC."""

from __future__ import annotations

from time import time_ns
from typing import Final

EPOCH_UNIX_US: Final = 946_684_800_000_000


def now_us() -> int:
    """The wall clock now."""
    return time_ns() // 1000 - EPOCH_UNIX_US
