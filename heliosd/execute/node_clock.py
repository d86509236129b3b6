"""What EXPLAIN ANALYZE measures of one plan node: rows, starts, and its own time.

Row programs push rows: a node's loop runs the code of the nodes above inside it. So the clock of a
node runs from its start to each row and again from when the nodes above are done with the row: what
it shows is the node and everything below, as in PostgreSQL.
"""

from __future__ import annotations

from time import perf_counter_ns


class NodeClock:
    """One node's counters; `is_timed` False: rows and starts only."""

    __slots__ = ("_since_ns", "first_ns", "is_timed", "rows", "starts", "total_ns")

    def __init__(self, *, is_timed: bool) -> None:
        self.is_timed = is_timed
        self.rows = 0
        self.starts = 0
        self.first_ns = -1
        """Until the first row came."""
        self.total_ns = 0
        self._since_ns = 0

    def start(self) -> None:
        """The node begins."""
        self.starts += 1
        if self.is_timed:
            self._since_ns = perf_counter_ns()

    def row(self) -> None:
        """It has a row."""
        self.rows += 1
        if self.is_timed:
            self.total_ns += perf_counter_ns() - self._since_ns
            if self.first_ns < 0:
                self.first_ns = self.total_ns

    def back(self) -> None:
        """The nodes above are done with it."""
        self._since_ns = perf_counter_ns()

    def end(self) -> None:
        """There are no more rows."""
        if self.is_timed:
            self.total_ns += perf_counter_ns() - self._since_ns
