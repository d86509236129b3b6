"""Golden scripts: a statement per line in `name.sql`, PostgreSQL's answers in `name.out`.

An answer is written for people to read in a diff: the statement, the columns' types, the rows with
`|` between fields, or the error with its SQLSTATE, detail and hint.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

HERE = Path(__file__).parent
FIRST_USER_OID = 16384
SETTINGS = "SET TimeZone = 'UTC'; SET client_min_messages = error; SET extra_float_digits = 1"


def names() -> list[str]:
    """Every script."""
    return sorted(path.stem for path in HERE.glob("*.sql"))


def statements(name: str) -> Iterator[str]:
    """The statements of a script."""
    for line in (HERE / f"{name}.sql").read_text(encoding="utf-8").splitlines():
        text = line.strip().rstrip(";")
        if text and not text.startswith("--"):
            yield text


def connect(dsn: str) -> psycopg.Connection[Any]:
    """A connection whose results depend on nothing of its server's configuration."""
    connection = psycopg.connect(dsn, autocommit=True, prepare_threshold=None)
    for setting in SETTINGS.split(";"):
        connection.execute(setting.encode())
    return connection


def answer(connection: psycopg.Connection[Any], statement: str) -> str:
    """What the server says, as lines."""
    try:
        cursor = connection.execute(statement.encode())
    except psycopg.Error as error:
        return _error(error)
    result = cursor.pgresult
    assert result is not None
    if cursor.description is None:
        return f"done {cursor.statusmessage}"
    types = " ".join(_type(column.type_code) for column in cursor.description)
    lines = [f"types {types}"]
    for row in range(result.ntuples):
        fields = (result.get_value(row, column) for column in range(result.nfields))
        lines.append("|".join("~" if field is None else field.decode() for field in fields))
    return "\n".join(lines)


def _type(oid: int) -> str:
    """A type's oid; those that scripts make have other ones each time."""
    return str(oid) if oid < FIRST_USER_OID else "own"


def _error(error: psycopg.Error) -> str:
    told = error.diag
    lines = [f"error {told.sqlstate} {told.message_primary or error}"]
    for label, text in (("detail", told.message_detail), ("hint", told.message_hint)):
        if text:
            lines.append(f"{label} {text}")
    return "\n".join(lines)


def run(dsn: str, name: str) -> str:
    """A whole script's transcript."""
    with connect(dsn) as connection:
        return "\n".join(
            f"> {statement}\n{answer(connection, statement)}\n" for statement in statements(name)
        )


def recorded(name: str) -> str:
    """What PostgreSQL 15 said, or what we say instead, deliberately (`name.helios.out`)."""
    ours = HERE / f"{name}.helios.out"
    path = ours if ours.exists() else HERE / f"{name}.out"
    return path.read_text(encoding="utf-8")
