"""Accounting: what ran, how long it took, whether it failed: counters read at scrape time."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Final

from heliosd.execute.program import Program, StatementKind
from heliosd.observe.metrics import Metrics

_MODIFY: Final = {"INSERT": "insert", "UPDATE": "update", "DELETE": "delete"}


def kind_of(program: Program) -> str:
    """The metric's label for a program."""
    if program.kind is StatementKind.SELECT:
        return "select"
    if program.kind is StatementKind.MODIFY:
        return _MODIFY.get(program.tag, "update")
    return "copy" if program.tag == "COPY" else "utility"


class Accounting:
    """One session's link."""

    __slots__ = ("_metrics",)

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def leave(self, program: Program, started_ns: int) -> None:
        """A statement ended well."""
        seconds = (perf_counter_ns() - started_ns) / 1e9
        self._metrics.query_execution_time.observe(kind_of(program), seconds)

    def failed(self) -> None:
        """A statement ended in an error."""
        self._metrics.statement_errors.value += 1
