"""Connections for tests that compare with PostgreSQL: one database each, made for the module."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import psycopg
import pytest

from tests.server import Server
from tests.sql.agree import Connection

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def both_databases(server: Server, postgres_dsn: str) -> Iterator[tuple[str, str]]:
    """Connection strings of an empty database here and there."""
    name = f"agree{next(_NUMBERS)}"
    theirs = psycopg.connect(postgres_dsn, autocommit=True)
    theirs.execute(f"create database {name}")
    with server.connect() as ours:
        ours.execute(f"create database {name}")
    yield server.conninfo(dbname=name), f"{postgres_dsn} dbname={name}"
    theirs.execute(f"drop database {name} with (force)")
    theirs.close()


@pytest.fixture
def both(both_databases: tuple[str, str]) -> Iterator[tuple[Connection, Connection]]:
    """A connection here and one there, schema public emptied before."""
    with (
        psycopg.connect(both_databases[0], autocommit=True) as ours,
        psycopg.connect(both_databases[1], autocommit=True) as theirs,
    ):
        for each in (ours, theirs):
            each.execute("set client_min_messages = error")
            each.execute("drop schema public cascade")
            each.execute("create schema public")
            each.execute("reset client_min_messages")
        yield ours, theirs
