"""What the embedding program may choose about a store; sizes in bytes, times in their unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MEGABYTE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StorageOptions:
    """Sizes and times of one store.

    The defaults are those of a server on a small machine: they keep a start after a kill under
    two seconds and anonymous memory at about the cache budget plus 100 MB.
    """

    cache_bytes: int = 128 * MEGABYTE  # budget of pages in memory, Python's overhead included
    open_leaf_share: float = 0.25  # at most this part of the budget holds decoded rows
    segment_bytes: int = 16 * MEGABYTE  # one file of the log, pre-filled
    spare_segments: int = 2  # pre-filled or recycled segments that wait to be used
    large_commit_bytes: int = MEGABYTE  # a commit beyond this is logged in chunks ahead of itself
    checkpoint_log_bytes: int = 32 * MEGABYTE
    checkpoint_seconds: float = 60.0  # 0: only by size or by call
    checkpoint_slice_ms: float = 1.0  # the loop is never held longer by a checkpoint
    checkpoint_batch_bytes: int = 32 * MEGABYTE  # one transaction of the page store at most
    dirty_share: float = 0.4  # changed pages beyond this part of the budget start a checkpoint
    map_bytes: int = 1024 * MEGABYTE  # first size of the page store's map; it doubles when full
    read_ahead_leaves: int = 16  # pages that a scan reads with one hand-off to a thread
    fsync: bool = True  # False only where losing the newest commits is fine (tests, scratch stores)
    create: bool = True  # make an empty store where the directory holds none

    def __post_init__(self) -> None:
        """Refuse sizes that cannot work together (ValueError)."""
        if self.segment_bytes < 64 * 1024 or self.segment_bytes % 4096:
            raise ValueError("segment_bytes must be a multiple of 4096 and at least 64 KB")
        if self.cache_bytes < MEGABYTE:
            raise ValueError("cache_bytes must be at least 1 MB")
        if not 0.0 < self.dirty_share < 1.0:
            raise ValueError("dirty_share must be between 0 and 1")
