"""Runs files of statements and writes down what came back, so that two servers can be compared.

A `.sql` file has a statement per line. Its `.out` file has PostgreSQL 15's answer to each, as JSON
per line: rows with their column names and type oids, a command tag, or an error with SQLSTATE,
message and detail. `python -m tests.sql.differential.compare DSN` records them again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

HERE = Path(__file__).parent
# Files that lean on the tables of an earlier one name it.
FILES = {
    "select": (), "join": ("select",), "dml": (), "constraints": (), "plans": ("select",),
    "deep": ("select",), "orders": (),
}  # fmt: skip


def statements(name: str) -> Iterator[str]:
    """The statements of a file."""
    for line in (HERE / f"{name}.sql").read_text().splitlines():
        text = line.strip()
        if text and not text.startswith("--"):
            yield text.rstrip(";")


def answer(connection: psycopg.Connection[Any], statement: str) -> list[Any]:
    """What a server says to a statement, in plain values."""
    try:
        cursor = connection.execute(statement)
    except psycopg.Error as error:
        diagnostics = error.diag
        return [
            "error", diagnostics.sqlstate, diagnostics.message_primary, diagnostics.message_detail
        ]  # fmt: skip
    if cursor.description is None:
        return ["done", cursor.statusmessage]
    columns = [[c.name, c.type_code if c.type_code < 16384 else 0] for c in cursor.description]
    rows = [[None if v is None else str(v) for v in row] for row in cursor.fetchall()]
    return ["rows", cursor.statusmessage, columns, rows]


def prepare_schema(connection: psycopg.Connection[Any]) -> None:
    """An empty schema, first in the search path."""
    connection.execute("DROP SCHEMA IF EXISTS differential CASCADE")
    connection.execute("CREATE SCHEMA differential")
    connection.execute("SET search_path = differential")


def answers(connection: psycopg.Connection[Any], name: str) -> list[list[Any]]:
    """The answers to a file's statements in an empty schema, after the files it leans on."""
    prepare_schema(connection)
    for earlier in FILES[name]:
        for statement in statements(earlier):
            answer(connection, statement)
    return [answer(connection, statement) for statement in statements(name)]


def recorded(name: str) -> list[list[Any]]:
    """PostgreSQL's answers."""
    lines = (HERE / f"{name}.out").read_text().splitlines()
    return [json.loads(line) for line in lines]


def record(dsn: str) -> None:
    """Write every `.out` file anew from a PostgreSQL 15."""
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
        for name in FILES:
            lines = [json.dumps(each, ensure_ascii=False) for each in answers(connection, name)]
            (HERE / f"{name}.out").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    record(sys.argv[1])
