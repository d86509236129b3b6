"""The same statements on heliosd and on a live PostgreSQL 15, compared answer by answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class Answer:
    """What a client sees of one statement."""

    tag: str | None
    columns: tuple[tuple[str, int], ...] | None
    rows: tuple[tuple[Any, ...], ...] | None
    error: tuple[str | None, ...] | None
    notices: tuple[tuple[str | None, ...], ...]


def fields(diagnostic: Any) -> tuple[str | None, ...]:
    """The fields that must agree: not positions in PostgreSQL's source."""
    return (
        diagnostic.severity,
        diagnostic.sqlstate,
        diagnostic.message_primary,
        diagnostic.message_detail,
        diagnostic.message_hint,
        diagnostic.constraint_name,
    )


def answer(connection: Connection, statement: str, *, oids: bool = False) -> Answer:
    """Run one statement."""
    notices: list[tuple[str | None, ...]] = []

    def note(diagnostic: Any) -> None:
        notices.append(fields(diagnostic))

    connection.add_notice_handler(note)
    try:
        cursor = connection.execute(statement)
        columns = rows = None
        if cursor.description is not None:
            columns = tuple((c.name, c.type_code) for c in cursor.description)
            rows = tuple(cursor.fetchall())
            if not oids:
                rows = tuple(tuple(_without_oids(v) for v in row) for row in rows)
        return Answer(cursor.statusmessage, columns, rows, None, tuple(notices))
    except psycopg.Error as error:
        return Answer(None, None, None, fields(error.diag), tuple(notices))
    finally:
        connection.remove_notice_handler(note)


def _without_oids(value: Any) -> Any:
    return re.sub(r"pg_temp_\d+", "pg_temp_N", value) if isinstance(value, str) else value


def statements(script: str) -> list[str]:
    """A script's statements: one ends where a line ends in `;`."""
    found = re.split(r";\s*(?:\n|$)", script)
    return [text.strip() for text in found if text.strip()]


def check(ours: Connection, theirs: Connection, script: str) -> None:
    """Every statement must be answered alike; the first difference is shown."""
    for statement in statements(script):
        mine, other = answer(ours, statement), answer(theirs, statement)
        assert mine == other, f"\n{statement}\n  heliosd:    {mine}\n  PostgreSQL: {other}"
