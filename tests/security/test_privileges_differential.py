"""300 random worlds of roles and grants, on heliosd and on PostgreSQL 15: no answer may differ.

Six worlds run in `make test`, all of them in `make soak`. To look at one:
`pytest tests/security/test_privileges_differential.py -k "world[17]" --override-ini addopts=`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.security.privilege_worlds import Step, World, clean_steps, probe_steps, world_steps
from tests.server import Server

Connection = psycopg.Connection[tuple[Any, ...]]

WORLDS_TOTAL = 300
WORLDS_IN_TEST = 6


class Side:
    """One of the two servers, and what it answers."""

    def __init__(self, connection: Connection, database: str) -> None:
        self.connection = connection
        self.database = database
        self.notices: list[tuple[str | None, str | None]] = []
        connection.add_notice_handler(
            lambda d: self.notices.append((d.sqlstate, d.message_primary))
        )

    def run(self, step: Step) -> Any:
        """The answer to a step that stays."""
        sql = step.sql
        if sql.startswith("do_grant_create_on_current_database"):
            role = sql.rpartition(" ")[2]
            sql = f"grant create on database {self.database} to {role}"
        return self._as(step.role, sql)

    def probe(self, step: Step) -> Any:
        """The answer to a step that is undone."""
        self.connection.execute("begin")
        try:
            return self._as(step.role, step.sql, inside=True)
        finally:
            self.connection.execute("rollback")

    def _as(self, role: str | None, sql: str, *, inside: bool = False) -> Any:
        if role is not None:
            try:
                self.connection.execute(f"set session authorization {role}")
            except psycopg.Error as error:
                return ("no such role", error.sqlstate)
        self.notices.clear()
        try:
            cursor = self.connection.execute(sql)
            rows = cursor.fetchall() if cursor.description is not None else None
            return cursor.statusmessage, rows, list(self.notices)
        except psycopg.Error as error:
            return error.sqlstate, error.diag.message_primary, error.diag.message_detail
        finally:
            if role is not None and not inside:
                self.connection.execute("reset session authorization")


@pytest.fixture(scope="module")
def sides(server: Server, postgres_dsn: str) -> Iterator[tuple[Side, Side]]:
    """An empty database here and there."""
    name = "privilege_worlds"
    theirs = psycopg.connect(postgres_dsn, autocommit=True)
    theirs.execute(f"create database {name}")
    with server.connect() as ours:
        ours.execute(f"create database {name}")
    with (
        server.connect(dbname=name) as mine,
        psycopg.connect(f"{postgres_dsn} dbname={name}", autocommit=True) as other,
    ):
        yield Side(mine, name), Side(other, name)
    theirs.execute(f"drop database {name} with (force)")
    theirs.close()


def compare_world(ours: Side, theirs: Side, seed: int) -> list[str]:
    """The differences of one world, as lines."""
    world, steps = world_steps(seed)
    differences = []
    for step in steps:
        mine, other = ours.run(step), theirs.run(step)
        if " on all " in step.sql:
            # PostgreSQL goes through a schema in the order in which pg_class happens to lie.
            mine, other = _without_order(mine), _without_order(other)
        if mine != other:
            differences.append(_line(world, step, mine, other))
    for step in probe_steps(world):
        mine, other = ours.probe(step), theirs.probe(step)
        if mine != other:
            differences.append(_line(world, step, mine, other))
    for step in clean_steps(world):
        # What the cleaning itself says does not count: PostgreSQL's DROP OWNED trips over default
        # privileges that two of the roles share.
        ours.run(step)
        theirs.run(step)
    return differences


def _without_order(answer: Any) -> Any:
    if isinstance(answer[2], list):
        return answer[0], answer[1], sorted(answer[2])
    return answer[0]


def _line(world: World, step: Step, mine: Any, other: Any) -> str:
    mine, other = _without_equal_rows(mine, other)
    return (
        f"world {world.seed}, as {step.role}: {step.sql}\n"
        f"  heliosd:    {mine}\n  PostgreSQL: {other}"
    )


def _without_equal_rows(mine: Any, other: Any) -> tuple[Any, Any]:
    """Long answers: only the rows that differ."""
    if isinstance(mine[1], list) and isinstance(other[1], list) and len(mine[1]) > 3:
        ours = [row for row in mine[1] if row not in other[1]]
        theirs = [row for row in other[1] if row not in mine[1]]
        return (mine[0], ours, mine[2]), (other[0], theirs, other[2])
    return mine, other


@pytest.mark.parametrize("seed", range(WORLDS_IN_TEST))
def test_world(sides: tuple[Side, Side], seed: int) -> None:
    differences = compare_world(*sides, seed)
    assert not differences, "\n".join(differences)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(WORLDS_IN_TEST, WORLDS_TOTAL))
def test_more_worlds(sides: tuple[Side, Side], seed: int) -> None:
    differences = compare_world(*sides, seed)
    assert not differences, "\n".join(differences)
