"""Admission: a token for each statement, ahead of any work.

Refused work gets 53400, and the connection lives.
"""

from __future__ import annotations

from heliosd.observe.metrics import Metrics
from heliosd.session.buckets import Buckets, limit_exceeded


class Admission:
    """One session's link: its bucket, chosen by the key extractor when the session starts."""

    __slots__ = ("_buckets", "_metrics", "bucket")

    def __init__(self, buckets: Buckets, key: str, metrics: Metrics) -> None:
        self._buckets = buckets
        self._metrics = metrics
        self.bucket = buckets.bucket(key)

    def enter(self) -> None:
        """Take a token for one statement, or raise 53400."""
        bucket = self.bucket
        if bucket.tokens >= 1.0:
            bucket.tokens -= 1.0
            return
        wait = self._buckets.take(bucket)
        if wait:
            self._metrics.rate_limited.add("statements")
            raise limit_exceeded("statements", wait)

    def give_back(self) -> None:
        """The statement did not run after all: it will ask again."""
        self.bucket.tokens += 1.0
