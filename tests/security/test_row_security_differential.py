"""Random policies, commands and roles, on heliosd and on PostgreSQL 15: no answer may differ.

A few worlds run in `make test`, all of them in `make soak`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.security.policy_worlds import Step, World
from tests.server import Server

Connection = psycopg.Connection[tuple[Any, ...]]

WORLDS_TOTAL = 200
WORLDS_IN_TEST = 6
PROBES = 50


class Side:
    """One of the two servers, and what it answers."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def run(self, step: Step) -> Any:
        """The answer to a step that stays."""
        return self._answer(step, inside=False)

    def probe(self, step: Step) -> Any:
        """The answer to a step that is undone."""
        self.connection.execute("begin")
        try:
            return self._answer(step, inside=True)
        finally:
            self.connection.execute("rollback")

    def _answer(self, step: Step, *, inside: bool) -> Any:
        if step.role is not None:
            self.connection.execute(f"set session authorization {step.role}")
        if step.row_security != "on":
            self.connection.execute(f"set local row_security = {step.row_security}")
        try:
            cursor = self.connection.execute(step.sql)
            rows = cursor.fetchall() if cursor.description is not None else None
            if rows is not None and "RETURNING" in step.sql:
                rows.sort(key=repr)
            return cursor.statusmessage, rows
        except psycopg.Error as error:
            return error.sqlstate, _without_table(error), error.diag.message_detail
        finally:
            if step.role is not None and not inside:
                self.connection.execute("reset session authorization")


def _without_table(error: psycopg.Error) -> str:
    """Which of several forbidden tables is named first is nobody's promise."""
    message = error.diag.message_primary or ""
    for head in ("query would be affected by", "permission denied for table"):
        if message.startswith(head):
            return head
    return message


@pytest.fixture(scope="module")
def sides(server: Server, postgres_dsn: str) -> Iterator[tuple[Side, Side]]:
    """An empty database here and there."""
    name = "policy_worlds"
    theirs = psycopg.connect(postgres_dsn, autocommit=True)
    theirs.execute(f"create database {name}")
    with server.connect() as ours:
        ours.execute(f"create database {name}")
    with (
        server.connect(dbname=name) as mine,
        psycopg.connect(f"{postgres_dsn} dbname={name}", autocommit=True) as other,
    ):
        for each in (mine, other):
            each.execute("set client_min_messages = error")
        yield Side(mine), Side(other)
    theirs.execute(f"drop database {name} with (force)")
    theirs.close()


def difference(step: Step, ours: Any, theirs: Any) -> str:
    """What a failing test says."""
    return f"{step.role}, row_security {step.row_security}: {step.sql}\n  {ours}\n  {theirs}"


def compare(sides: tuple[Side, Side], seed: int) -> list[str]:
    """The differences in one world."""
    mine, other = sides
    world = World(seed)
    found = []
    for step in world.steps():
        ours, theirs = mine.run(step), other.run(step)
        if ours != theirs:
            found.append(difference(step, ours, theirs))
    for step in world.probes(PROBES):
        ours, theirs = mine.probe(step), other.probe(step)
        if ours != theirs:
            found.append(difference(step, ours, theirs))
    for step in world.clean():
        mine.run(step), other.run(step)
    return found


@pytest.mark.parametrize("seed", range(WORLDS_IN_TEST), ids=lambda seed: f"world[{seed}]")
def test_as_postgres(sides: tuple[Side, Side], seed: int) -> None:
    assert compare(sides, seed) == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(WORLDS_IN_TEST, WORLDS_TOTAL))
def test_as_postgres_long(sides: tuple[Side, Side], seed: int) -> None:
    assert compare(sides, seed) == []
