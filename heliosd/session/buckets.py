"""Token buckets: how much of something a key may have, and how soon again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from time import monotonic
from typing import Final

from heliosd.errors import CONFIGURATION_LIMIT_EXCEEDED, SqlError

# Buckets that are full are as good as absent ones: past this many, the least recent are dropped.
BUCKETS_MAX: Final = 10_000


class KeyExtractor(Enum):
    """Whose bucket a statement draws from."""

    CLIENT_IP = "client_ip"
    ROLE = "role"
    DATABASE = "database"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`max_requests` per `window_duration_s`, of which `burst_capacity` may come at once."""

    max_requests: int
    window_duration_s: float
    burst_capacity: int

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.max_requests / self.window_duration_s


class Bucket:
    """Tokens of one key. The hot path is `tokens -= 1`; time is looked at only when they end.

    Tokens are credited lazily, so a bucket never holds more than `burst_capacity`.
    """

    __slots__ = ("_at", "limit", "tokens")

    def __init__(self, limit: RateLimit, now: float) -> None:
        self.limit = limit
        self.tokens = float(limit.burst_capacity)
        self._at = now

    def refill(self, now: float) -> None:
        """Credit what has come in since the last time."""
        earned = (now - self._at) * self.limit.rate
        self.tokens = min(float(self.limit.burst_capacity), self.tokens + earned)
        self._at = now

    def seconds_until_next(self) -> float:
        """How long until one token is there."""
        return max(0.0, (1.0 - self.tokens) / self.limit.rate)


class Buckets:
    """All buckets of one limit, by key."""

    def __init__(self, limit: RateLimit, clock: Callable[[], float] = monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def bucket(self, key: str) -> Bucket:
        """The key's bucket; sessions keep it, so that taking a token is no lookup."""
        found = self._buckets.get(key)
        if found is None:
            found = Bucket(self.limit, self._clock())
            if len(self._buckets) >= BUCKETS_MAX:
                self._drop_full()
            self._buckets[key] = found
        return found

    def take(self, bucket: Bucket) -> float:
        """Take a token: 0, or the seconds until there is one."""
        if bucket.tokens < 1.0:
            bucket.refill(self._clock())
            if bucket.tokens < 1.0:
                return bucket.seconds_until_next()
        bucket.tokens -= 1.0
        return 0.0

    def _drop_full(self) -> None:
        now = self._clock()
        for key, bucket in list(self._buckets.items()):
            bucket.refill(now)
            if bucket.tokens >= self.limit.burst_capacity:
                del self._buckets[key]
        while len(self._buckets) >= BUCKETS_MAX:
            del self._buckets[next(iter(self._buckets))]


def limit_exceeded(what: str, wait_s: float) -> SqlError:
    """53400 with the time after which to try again."""
    return SqlError(
        CONFIGURATION_LIMIT_EXCEEDED,
        f"rate limit of {what} exceeded",
        hint=f"Retry after {max(1, math.ceil(wait_s * 1000))} ms.",
    )
