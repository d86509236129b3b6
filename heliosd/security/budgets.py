"""Exfiltration budgets: how many rows and bytes of a table a role is sent in a span of time (S-36).

A budget is a pot that a role has, for one table or for all: whoever runs as the role or is a member
of it draws from the pot. What is drawn is what is *sent*: rows of a result, a FETCH, RETURNING or
COPY TO, and their bytes on the wire, for every table that the statement reads, in subqueries and
views too. Rows that are only scanned cost nothing. The first row over the budget is not sent: the
statement fails with 53400, and so does every one that follows until the span is over.

Which budgets a statement draws from is decided when it is prepared; statements of roles without
budgets carry none and never come here. Usage is kept in storage's counters as well, which no
rollback gives back and which survive a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from heliosd.catalog.membership import Walk, role_list
from heliosd.catalog.objects import Budget, Role
from heliosd.errors import CONFIGURATION_LIMIT_EXCEEDED, SqlError

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog


TELLING_CLASSES: Final = frozenset({"21", "22", "23", "P0"})
"""SQLSTATE classes of errors whose text may hold a value: about data, constraints, and raised."""


class Counters(Protocol):
    """Storage's counters: logged, outside of transactions."""

    def set(self, sequence_id: int, value: int, *, called: bool = True) -> None: ...
    def peek(self, sequence_id: int) -> tuple[int, bool] | None: ...


class Usage:
    """What has been drawn from one budget in the span that began at `start_us`."""

    __slots__ = ("is_over", "rows", "size_bytes", "start_us")

    def __init__(self, start_us: int, rows: int, size_bytes: int) -> None:
        self.start_us = start_us
        self.rows = rows
        self.size_bytes = size_bytes
        self.is_over = False
        """Whether somebody was refused in this span: that is told once."""


def budgets_of(catalog: Catalog, roles: Iterable[int]) -> tuple[Budget, ...]:
    """The budgets of these roles and of all that they are members of; () for nearly everybody."""
    found: dict[int, Budget] = {}
    for role in roles:
        for oid in role_list(catalog, role, Walk.MEMBER):
            holder = catalog.of_kind(Role, oid)
            if holder is not None and holder.budgets:
                found.update((budget.oid, budget) for budget in holder.budgets)
    return tuple(found.values())


def budgets_for(budgets: Iterable[Budget], read: frozenset[int] | None) -> tuple[Budget, ...]:
    """Those from which a statement draws that reads these tables (None: it may read any)."""
    if read is None:
        return tuple(budgets)
    return tuple(b for b in budgets if (b.table in read if b.table else read))


class Ledger:
    """All budgets' usage in one server. On the loop's thread."""

    __slots__ = ("_clock", "_counters", "_on_refusal", "_usage")

    def __init__(
        self,
        counters: Counters,
        clock: Callable[[], int],
        on_refusal: Callable[[Budget, Usage, bool], None],
    ) -> None:
        """`clock` gives microseconds since 2000; `on_refusal` is told of each refusal and whether
        it is the span's first."""
        self._counters = counters
        self._clock = clock
        self._on_refusal = on_refusal
        self._usage: dict[int, Usage] = {}

    def usage(self, budget: Budget) -> Usage:
        """What has been drawn in the span that is now. One that has ended is forgotten."""
        now = self._clock()
        found = self._usage.get(budget.oid)
        if found is None:
            start, rows, size = (self._value(number) for number in budget.counters)
            found = self._usage[budget.oid] = Usage(start, rows, size)
        if now >= found.start_us + budget.period_us:
            found = self._usage[budget.oid] = Usage(now, 0, 0)
        return found

    def _value(self, number: int) -> int:
        known = self._counters.peek(number)
        return 0 if known is None else known[0]

    def has_room(self, budgets: Sequence[Budget], rows: int, size_bytes: int) -> bool:
        """Whether so much more may be sent."""
        return all(_fits(budget, self.usage(budget), rows, size_bytes) for budget in budgets)

    def draw(self, budgets: Sequence[Budget], rows: int, size_bytes: int) -> None:
        """Note that so much is about to be sent; 53400, and nothing drawn, when it is too much."""
        for budget in budgets:
            usage = self.usage(budget)
            if not _fits(budget, usage, rows, size_bytes):
                first, usage.is_over = not usage.is_over, True
                self._on_refusal(budget, usage, first)
                raise _exceeded(budget, usage, self._clock())
        for budget in budgets:
            usage = self.usage(budget)
            usage.rows += rows
            usage.size_bytes += size_bytes
            drawn = (usage.start_us, usage.rows, usage.size_bytes)
            for number, value in zip(budget.counters, drawn, strict=True):
                if self._value(number) != value:
                    self._counters.set(number, value)


def _fits(budget: Budget, usage: Usage, rows: int, size_bytes: int) -> bool:
    return (budget.rows is None or usage.rows + rows <= budget.rows) and (
        budget.size_bytes is None or usage.size_bytes + size_bytes <= budget.size_bytes
    )


def _exceeded(budget: Budget, usage: Usage, now_us: int) -> SqlError:
    left = max(0, usage.start_us + budget.period_us - now_us)
    seconds = -(-left // 1_000_000)
    return SqlError(
        CONFIGURATION_LIMIT_EXCEEDED,
        "the role's budget of rows or bytes is used up",
        hint=f"It is renewed in {seconds} s; see helios_budgets.",
    )


def send_within(
    ledger: Ledger,
    budgets: Sequence[Budget],
    rows: Sequence[Any],
    encode: Callable[[Sequence[Any]], bytes],
    send: Callable[[bytes], None],
) -> None:
    """Send rows as far as the budgets go; 53400 at the first one that is too many."""
    data = encode(rows)
    if ledger.has_room(budgets, len(rows), len(data)):
        ledger.draw(budgets, len(rows), len(data))
        send(data)
        return
    for row in rows:
        data = encode([row])
        ledger.draw(budgets, 1, len(data))
        send(data)
