"""Random statements on this server and on a live PostgreSQL 15: the same answers, the same tables.

`HELIOS_TEST_SEED` repeats a failure; it stands in every message.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.server import Server
from tests.sql import random_changes, random_shapes

SEED = int(os.environ.get("HELIOS_TEST_SEED", "20"))
QUERIES = int(os.environ.get("HELIOS_TEST_QUERIES", "500"))
"""20,000 in a soak."""
CHANGES = 400


@pytest.fixture
def both(server: Server, postgres_dsn: str) -> Iterator[tuple[Any, Any]]:
    """Ours and PostgreSQL, each with an empty schema."""
    with (
        psycopg.connect(server.conninfo(), autocommit=True, prepare_threshold=None) as ours,
        psycopg.connect(postgres_dsn, autocommit=True, prepare_threshold=None) as theirs,
    ):
        for each in (ours, theirs):
            each.execute("DROP SCHEMA IF EXISTS randomly CASCADE")
            each.execute("CREATE SCHEMA randomly")
            each.execute("SET search_path = randomly")
        yield ours, theirs


def answer(connection: Any, statement: str) -> Any:
    """Rows as text, a tag, or an error's SQLSTATE and message."""
    try:
        cursor = connection.execute(statement)
    except psycopg.Error as error:
        return error.sqlstate, error.diag.message_primary
    if cursor.description is None:
        return cursor.statusmessage
    return [tuple(map(str, row)) for row in cursor.fetchall()]


def test_queries(both: tuple[Any, Any]) -> None:
    ours, theirs = both
    for statement in random_shapes.SCHEMA:
        assert answer(ours, statement) == answer(theirs, statement)
    queries = random_shapes.Shapes(SEED)
    for _ in range(QUERIES):
        query = queries.any()
        assert answer(ours, query) == answer(theirs, query), f"seed {SEED}: {query}"


def test_changes(both: tuple[Any, Any]) -> None:
    ours, theirs = both
    for statement in random_changes.SCHEMA:
        assert answer(ours, statement) == answer(theirs, statement)
    changes = random_changes.Changes(SEED)
    for number in range(CHANGES):
        statement = changes.statement()
        assert answer(ours, statement) == answer(theirs, statement), f"seed {SEED}: {statement}"
        if number % 10:
            continue
        for state in random_changes.STATES:
            found = answer(ours, state)
            assert found == answer(theirs, state), f"seed {SEED} after {statement}: {state}"
