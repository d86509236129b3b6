"""A database of its own with a masked table, and roles that see it differently."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from tests.server import Server

SECRET = "violet-Harbour-77"

SETUP = """
create table person (
    id int primary key, email text unique, phone varchar(12), salary numeric(10,2), born date,
    note text, boss int references person (id),
    shout text generated always as (upper(email)) stored
);
insert into person (id, email, phone, salary, born, note, boss) values
    (1, 'alice@example.org', '0123456789', 5000.50, '1980-05-06', 'first', null),
    (2, 'bob@example.org', '9876543210', 3000.00, '1990-01-02', 'second', 1),
    (3, 'carol@example.net', null, 4000.00, null, null, 1);
create index on person (phone);
alter table person alter column email add masked with (function = 'email()');
alter table person alter column phone add masked with (function = 'partial(2, "..", 2)');
alter table person alter column born add masked with (function = 'date("year")');
"""
ALICE, BOB, CAROL = "aXXX@XXXX.com", "bXXX@XXXX.com", "cXXX@XXXX.com"


class World:
    """`connect(role)` and `ask(role, sql)`; roles and the database bear `name` as a prefix."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.admin = server.connect()
        self._sessions: dict[str, psycopg.Connection[Any]] = {}
        self.admin.execute(f"create database {name}")
        for role in ("owner", "reader", "lead", "guard"):
            self.admin.execute(f"create role {name}_{role} login password '{SECRET}'")
        self.admin.execute(f"grant create on database {name} to {name}_owner")
        self.admin.execute(f"grant helios_mask_admin to {name}_guard")
        self.ask("postgres", f"grant create on schema public to {name}_owner")
        self.ask("owner", SETUP)
        for role in ("reader", "lead", "guard"):
            self.ask("owner", f"grant select, insert, update, delete on person to {name}_{role}")
        self.ask("owner", f"grant unmask on person to {name}_lead")

    def connect(self, role: str) -> psycopg.Connection[Any]:
        """A session of one of the world's roles, or of the superuser; kept."""
        found = self._sessions.get(role)
        if found is None or found.closed:
            found = self._sessions[role] = self.session(role)
        return found

    def session(self, role: str) -> psycopg.Connection[Any]:
        """A new session."""
        if role == "postgres":
            return self.server.connect(dbname=self.name)
        return self.server.connect(dbname=self.name, user=f"{self.name}_{role}", password=SECRET)

    def ask(self, role: str, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement as a role; [] when it gives none."""
        cursor = self.connect(role).execute(sql, parameters or None)
        return cursor.fetchall() if cursor.description else []

    def value(self, role: str, sql: str, *parameters: Any) -> Any:
        """The one value of a statement."""
        ((found,),) = self.ask(role, sql, *parameters)
        return found

    def refused(self, role: str, sql: str) -> psycopg.errors.Error:
        """The error that a statement ends in."""
        try:
            self.ask(role, sql)
        except psycopg.Error as error:
            return error
        raise AssertionError(f"{role} may: {sql}")

    def copy(self, role: str, sql: str) -> list[str]:
        """The lines that COPY TO STDOUT sends."""
        with self.connect(role).cursor().copy(sql) as copy:
            return b"".join(copy).decode().splitlines()

    @contextmanager
    def undone(self, role: str) -> Iterator[psycopg.Connection[Any]]:
        """A transaction block that is rolled back."""
        with self.session(role) as connection, connection.transaction(force_rollback=True):
            yield connection

    def close(self) -> None:
        """Everything away."""
        for connection in self._sessions.values():
            connection.close()
        self.admin.execute(f"drop database {self.name} with (force)")
        for role in ("owner", "reader", "lead", "guard"):
            self.admin.execute(f"drop role {self.name}_{role}")
        self.admin.close()
