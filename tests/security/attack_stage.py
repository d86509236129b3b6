"""A stage for attacks: a database, its superuser, and roles that log in to try."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.server import Server

Connection = psycopg.Connection[tuple[Any, ...]]

PASSWORD = "a password of an attacker"


class Stage:
    """A database with its superuser and roles that may log in."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.owner = server.connect(dbname=name)
        self.open: list[Connection] = [self.owner]

    def role(self, name: str, options: str = "") -> str:
        self.owner.execute(f"create role {name} login password '{PASSWORD}' {options}")
        return name

    def login(self, role: str) -> Connection:
        connection = self.server.connect(dbname=self.name, user=role, password=PASSWORD)
        self.open.append(connection)
        return connection

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.owner.execute(statement)

    def one(self, connection: Connection, query: str) -> Any:
        row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]


@pytest.fixture
def stage(server: Server) -> Iterator[Stage]:
    """Made anew for each test; its roles go with it."""
    with server.connect() as superuser:
        superuser.execute("create database attacks")
        before = {r for (r,) in superuser.execute("select rolname from pg_roles").fetchall()}
        staged = Stage(server, "attacks")
        yield staged
        for connection in staged.open:
            connection.close()
        superuser.execute("drop database attacks with (force)")
        after = {r for (r,) in superuser.execute("select rolname from pg_roles").fetchall()}
        for role in sorted(after - before):
            superuser.execute(f"drop owned by {role}")
        for role in sorted(after - before):
            superuser.execute(f"drop role {role}")


def refused(connection: Connection, statement: str, sqlstate: str = "42501") -> None:
    """The statement must fail with this SQLSTATE."""
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(statement)
    assert caught.value.sqlstate == sqlstate, (statement, str(caught.value))
