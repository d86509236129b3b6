"""Our answers against those that PostgreSQL 15 gave (recorded), and those against a live one."""

from __future__ import annotations

import psycopg
import pytest

from tests.server import Server
from tests.sql.differential.compare import FILES, answers, recorded, statements


@pytest.mark.parametrize("name", FILES)
def test_answers_are_postgresqls(server: Server, name: str) -> None:
    """Every row, type, tag, SQLSTATE, message and detail."""
    with psycopg.connect(server.conninfo(), autocommit=True, prepare_threshold=None) as ours:
        found = answers(ours, name)
    different = [
        f"{statement}\n  ours       {mine}\n  postgresql {theirs}"
        for statement, mine, theirs in zip(statements(name), found, recorded(name), strict=True)
        if mine != theirs
    ]
    assert not different, "\n".join(different)


@pytest.mark.parametrize("name", FILES)
def test_recorded_answers_are_current(postgres_dsn: str, name: str) -> None:
    """The recorded answers are those of the PostgreSQL that is installed here."""
    with psycopg.connect(postgres_dsn, autocommit=True, prepare_threshold=None) as theirs:
        assert answers(theirs, name) == recorded(name)
