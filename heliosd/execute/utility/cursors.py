"""DECLARE, FETCH, MOVE, CLOSE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliosd.errors import SqlError
from heliosd.execute.program import CommandResult, ResultColumn
from heliosd.execute.utility.registry import runs
from heliosd.sql.tree.utility import ClosePortal, DeclareCursor, Fetch, FetchDirection

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices


@runs(DeclareCursor, tag="DECLARE CURSOR")
def declare(statement: DeclareCursor, session: SessionServices) -> None:
    """DECLARE name CURSOR FOR query."""
    if statement.hold and session.is_restricted:
        raise SqlError(
            "42501", "cannot create a cursor WITH HOLD within security-restricted operation"
        )
    session.cursors.declare(
        statement.name,
        statement.query,
        binary=statement.binary,
        scroll=statement.scroll,
        hold=statement.hold,
        insensitive=bool(statement.insensitive),
    )


def _columns(statement: Fetch, session: SessionServices) -> tuple[ResultColumn, ...] | None:
    """A cursor's columns: found by fetching nothing."""
    if statement.move:
        return None
    columns, _rows = session.cursors.fetch(statement.cursor, FetchDirection.RELATIVE.value, 0)
    return columns


@runs(Fetch, tag="FETCH", columns=_columns)
def fetch(statement: Fetch, session: SessionServices) -> CommandResult:
    """FETCH and MOVE; the tag counts the rows."""
    direction = statement.direction.value
    if statement.move:
        count = session.cursors.move(statement.cursor, direction, statement.count)
        return CommandResult(f"MOVE {count}")
    columns, rows = session.cursors.fetch(statement.cursor, direction, statement.count)
    budgets = session.cursors.budgets(statement.cursor)
    return CommandResult(f"FETCH {len(rows)}", columns, iter([rows]), budgets)


@runs(ClosePortal, tag="CLOSE CURSOR")
def close(statement: ClosePortal, session: SessionServices) -> str:
    """CLOSE cursor or ALL."""
    if statement.cursor is None:
        session.cursors.close_all()
        return "CLOSE CURSOR ALL"
    session.cursors.close(statement.cursor)
    return "CLOSE CURSOR"
