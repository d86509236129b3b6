"""Portals: executions that may stop and go on. Bind and DECLARE fill the same table.

A portal draws batches from its program and cuts them at the asked-for row counts. A cursor may
also move backwards, over rows that it kept: all of them when it is SCROLL, the last `KEPT_ROWS`
otherwise (PostgreSQL lets simple cursors scroll back although nobody asked; beyond that it is
55000 here).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from heliosd.errors import INVALID_CURSOR_NAME, SqlError

if TYPE_CHECKING:
    from helios_storage.transaction import Snapshot
    from heliosd.execute.program import ResultColumn, Row
    from heliosd.session.statement_cache import Prepared

KEPT_ROWS: Final = 10_000


@dataclass(slots=True, eq=False)
class Portal:
    """`prepared` None: an empty text. `rows` None: not started yet.

    `formats` are the result formats as Bind gave them.
    `snapshot` outlives the statement and is released by `close`. `done`: the tag was sent.
    """

    name: str
    prepared: Prepared | None
    parameters: tuple[object, ...]
    formats: tuple[int, ...]
    created_us: int
    rows: Iterator[list[Row]] | None = None
    columns: tuple[ResultColumn, ...] | None = None
    tag: str = ""
    snapshot: Snapshot | None = None
    leftover: list[Row] = field(default_factory=list)
    done: bool = False
    count: int = 0
    is_cursor: bool = False

    def take(self, rows_max: int) -> Iterator[list[Row]]:
        """Batches of the next rows, `rows_max` in all (0: the rest)."""
        assert self.rows is not None
        left = rows_max
        while True:
            batch: list[Row] | None = self.leftover or next(iter(self.rows), None)
            if batch is None:
                self.done = True
                return
            self.leftover = []
            if rows_max and len(batch) > left:
                self.leftover = batch[left:]
                batch = batch[:left]
            if batch:
                left -= len(batch)
                yield batch
            if rows_max and left == 0:
                # PostgreSQL does not look ahead either: an exact fit suspends.
                return

    def uses(self, oid: int) -> bool:
        """Whether rows are still to come from a program that leans on this object."""
        if self.rows is None or self.done or self.prepared is None:
            return False
        return any(each == oid for each, _ in self.prepared.program.dependencies)

    def close(self) -> None:
        """Release what it holds."""
        rows, self.rows = self.rows, None
        if rows is not None and hasattr(rows, "close"):
            rows.close()
        snapshot, self.snapshot = self.snapshot, None
        if snapshot is not None:
            snapshot.release()
        self.leftover = []


@dataclass(slots=True, eq=False)
class Cursor(Portal):
    """A DECLAREd portal. `position` is the row it stands on: 0 before the first one."""

    text: str = ""
    scroll: bool | None = None
    hold: bool = False
    binary: bool = False
    position: int = 0
    kept: list[Row] = field(default_factory=list)
    # Rows before `kept[0]` that were let go.
    dropped: int = 0
    ended: bool = False
    # WITH HOLD, and its transaction has committed: it lives on from `kept`.
    held: bool = False
    # Behind its outputs its rows have what finds them again in their tables (bind/current_of.py).
    carried: tuple[tuple[int, int, int], ...] = ()
    places: list[Row] = field(default_factory=list)

    def without_places(self, rows: Iterator[list[Row]], width: int) -> Iterator[list[Row]]:
        """The rows' `width` outputs; what is behind them is kept."""
        for batch in rows:
            self.places.extend(row[width:] for row in batch)
            yield [row[:width] for row in batch]

    def place(self, table: int, table_name: str) -> Row | None:
        """What finds the row of a table on which it stands; 24000."""
        found = [(low, high) for oid, low, high in self.carried if oid == table]
        if self.held:
            raise SqlError("24000", f'cursor "{self.name}" is held from a previous transaction')
        if len(found) != 1:
            raise SqlError(
                "24000",
                f'cursor "{self.name}" is not a simply updatable scan of table "{table_name}"',
            )
        index = self.position - 1 - self.dropped
        if not 0 <= index < len(self.kept):
            raise SqlError("24000", f'cursor "{self.name}" is not positioned on a row')
        low, high = found[0]
        return self.places[index][low:high]

    def known_row(self, number: int) -> Row | None:
        """Row `number` (from 1), read as far as necessary; None past the end."""
        while number > self.dropped + len(self.kept) and not self.ended:
            self._read_on()
        index = number - 1 - self.dropped
        if index < 0:
            raise _forward_only()
        return self.kept[index] if index < len(self.kept) else None

    def _read_on(self) -> None:
        assert self.rows is not None
        batch = next(self.rows, None)
        if batch is None:
            self.ended = True
            return
        self.kept.extend(batch)
        if not self.scroll and len(self.kept) > 2 * KEPT_ROWS:
            extra = min(len(self.kept) - KEPT_ROWS, max(0, self.position - 1 - self.dropped))
            del self.kept[:extra]
            del self.places[:extra]
            self.dropped += extra

    def read_all(self) -> None:
        """Read to the end."""
        while not self.ended:
            self._read_on()

    def persist(self) -> None:
        """WITH HOLD, before its transaction commits: from here on it needs no snapshot."""
        self.read_all()
        self.close()
        self.held = True

    def rows_total(self) -> int:
        """How many rows there are; reads to the end."""
        self.read_all()
        return self.dropped + len(self.kept)

    def step_forward(self, limit: int | None) -> list[Row]:
        """FETCH FORWARD limit (None: all)."""
        rows: list[Row] = []
        while limit is None or len(rows) < limit:
            row = self.known_row(self.position + 1)
            self.position += 1
            if row is None:
                # stand after the last row, however often one asks
                self.position = self.dropped + len(self.kept) + 1
                break
            rows.append(row)
        return rows

    def step_backward(self, limit: int | None) -> list[Row]:
        """FETCH BACKWARD limit (None: all)."""
        if self.scroll is False:
            raise _forward_only()
        rows: list[Row] = []
        while (limit is None or len(rows) < limit) and self.position > 0:
            self.position -= 1
            if self.position == 0:
                break
            row = self.known_row(self.position)
            assert row is not None
            rows.append(row)
        return rows

    def move_to(self, number: int) -> list[Row]:
        """FETCH ABSOLUTE number: negative counts from the end."""
        target = number
        if number < 0:
            target = max(self.rows_total() + 1 + number, 0)
        if target < self.position and self.scroll is False:
            raise _forward_only()
        row = self.known_row(target) if target > 0 else None
        total = self.dropped + len(self.kept)
        self.position = target if row is not None or target <= 0 else total + 1
        return [] if row is None else [row]

    def fetch(self, direction: str, count: int | None) -> list[Row]:
        """FETCH: `direction` forward, backward, absolute, relative; `count` None: all."""
        match direction:
            case "absolute":
                return self.move_to(count or 0)
            case "relative":
                step = count or 0
                if step == 0:
                    return self._current()
                return self.move_to(max(self.position + step, 0))
            case "backward":
                forward = False
            case _:
                forward = True
        if count == 0:
            return self._current()
        if count is not None and count < 0:
            forward, count = not forward, -count
        return self.step_forward(count) if forward else self.step_backward(count)

    def _current(self) -> list[Row]:
        if self.position <= 0:
            return []
        row = self.known_row(self.position)
        return [] if row is None else [row]


def _forward_only() -> SqlError:
    return SqlError(
        "55000",
        "cursor can only scan forward",
        hint="Declare it with SCROLL option to enable backward scan.",
    )


def no_such_portal(name: str, kind: str = "portal") -> SqlError:
    """34000."""
    return SqlError(INVALID_CURSOR_NAME, f'{kind} "{name}" does not exist')


class Portals:
    """A session's portals by name, in the order in which they were made."""

    __slots__ = ("_portals",)

    def __init__(self) -> None:
        self._portals: dict[str, Portal] = {}

    def __len__(self) -> int:
        return len(self._portals)

    def __iter__(self) -> Iterator[Portal]:
        return iter(list(self._portals.values()))

    def get(self, name: str) -> Portal | None:
        """The portal, or None."""
        return self._portals.get(name)

    def place(self, name: str, table: int, table_name: str) -> Row | None:
        """WHERE CURRENT OF: 34000, 24000."""
        found = self._portals.get(name)
        if not isinstance(found, Cursor):
            raise no_such_portal(name, "cursor")
        return found.place(table, table_name)

    def add(self, portal: Portal) -> None:
        """Bind replaces the unnamed portal; another name must be free (42P03)."""
        old = self._portals.get(portal.name)
        if old is not None:
            if portal.name:
                raise SqlError("42P03", f'cursor "{portal.name}" already exists')
            self.close(portal.name)
        self._portals[portal.name] = portal

    def close(self, name: str) -> bool:
        """Close one; False when there is none."""
        portal = self._portals.pop(name, None)
        if portal is None:
            return False
        portal.close()
        return True

    def close_after(self, mark: int) -> None:
        """Close all but the first `mark`."""
        for name in list(self._portals)[mark:]:
            self.close(name)

    def end_transaction(self) -> None:
        """All go, except WITH HOLD cursors whose transaction has committed."""
        for name, portal in list(self._portals.items()):
            if not (isinstance(portal, Cursor) and portal.held):
                self.close(name)

    def persist_held(self) -> None:
        """Before a commit: WITH HOLD cursors read on to their end."""
        for portal in list(self._portals.values()):
            if isinstance(portal, Cursor) and portal.hold and not portal.held:
                portal.persist()

    def end_session(self) -> None:
        """All go."""
        self.close_after(0)
