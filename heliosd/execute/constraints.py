"""Constraint checks that wait: DEFERRABLE foreign keys until COMMIT or SET CONSTRAINTS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from heliosd.catalog.objects import Constraint
    from heliosd.execute.context import ExecutionContext


class Waiting(Protocol):
    """A check that can be run later with what was noted now."""

    constraint: Constraint

    def now(self, ctx: ExecutionContext, noted: Any) -> None:
        """Raises 23503 when the constraint does not hold."""
        ...


class DeferredChecks:
    """One transaction's waiting checks, and what SET CONSTRAINTS said. Savepoints cut the queue."""

    __slots__ = ("_all", "_modes", "_queue")

    def __init__(self) -> None:
        self._queue: list[tuple[Waiting, Any]] = []
        self._all: bool | None = None
        self._modes: dict[int, bool] = {}

    def is_deferred(self, constraint: Constraint) -> bool:
        """Whether the constraint waits for COMMIT now."""
        if not constraint.deferrable:
            return False
        mode = self._modes.get(constraint.oid, self._all)
        return constraint.initially_deferred if mode is None else mode

    def add(self, check: Waiting, noted: Any) -> None:
        """Check this later."""
        self._queue.append((check, noted))

    def mark(self) -> int:
        """The queue's length, for a savepoint."""
        return len(self._queue)

    def rollback_to(self, mark: int) -> None:
        """Forget what was noted after the mark."""
        del self._queue[mark:]

    def clear(self) -> None:
        """A transaction's end: nothing waits, and SET CONSTRAINTS is forgotten."""
        self._queue.clear()
        self._modes.clear()
        self._all = None

    def set_mode(
        self, ctx: ExecutionContext, constraints: tuple[int, ...] | None, *, deferred: bool
    ) -> None:
        """SET CONSTRAINTS: None is ALL. Checks that need wait no longer are run at once."""
        if constraints is None:
            self._all = deferred
            self._modes.clear()
        else:
            self._modes.update(dict.fromkeys(constraints, deferred))
        if not deferred:
            self._run(ctx)

    def _run(self, ctx: ExecutionContext) -> None:
        ready = [item for item in self._queue if not self.is_deferred(item[0].constraint)]
        for check, noted in ready:
            check.now(ctx, noted)
            ctx.check_slice()
        self._queue = [item for item in self._queue if self.is_deferred(item[0].constraint)]


def check_deferred(ctx: ExecutionContext) -> None:
    """COMMIT: run every waiting check; 23503 makes the transaction fail."""
    ctx.deferred.set_mode(ctx, None, deferred=False)
