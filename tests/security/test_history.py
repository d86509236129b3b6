"""Access time travel: `helios_access_history` says what was true at each instant."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psycopg
import pytest

from tests.server import Server

SECRET = "violet-Harbour-77"
CHANGES = 200
SEED = 20_261_125
ROLES = ("alfa", "bravo", "charlie", "delta", "echo")
COLUMNS = ("id", "a", "b")
PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "REFERENCES")
TABLE_PRIVILEGES = (*PRIVILEGES, "DELETE", "TRUNCATE", "TRIGGER")

NOW = """
select r, c, p from unnest(%(roles)s::name[]) r, unnest(%(columns)s::name[]) c,
    unnest(%(privileges)s::text[]) p
where has_column_privilege(r, 'watch.watched', c, p) order by 1, 2, 3
"""
THEN = """
select h.rolename, c, h.privilege
from unnest(%(columns)s::name[]) c, helios_access_history('watch.watched', c, %(at)s) h
where h.rolename = any (%(roles)s) order by 1, 2, 3
"""
PARAMETERS: dict[str, Any] = {
    "roles": list(ROLES), "columns": list(COLUMNS), "privileges": list(PRIVILEGES),
}  # fmt: skip

Rows = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def admin(server: Server) -> Iterator[psycopg.Connection[Any]]:
    with server.connect() as first:
        first.execute("create database travel")
        with server.connect(dbname="travel") as connection:
            for role in ROLES:
                connection.execute(f"create role {role}")
            columns = "(id int primary key, a text, b int, c date)"
            connection.execute(f"create table watched {columns}")
            connection.execute("create schema watch")
            connection.execute(f"create table watch.watched {columns}")
            yield connection
            connection.execute("drop schema watch cascade")
            connection.execute("drop table watched")
        first.execute("drop database travel with (force)")
        for role in ROLES:
            first.execute(f"drop role {role}")


def random_change(draw: random.Random) -> str:
    """One statement that changes who may do what; it may fail."""
    role, other = draw.sample(ROLES, 2)
    grantee = draw.choice((*(role,) * 5, "public"))
    column, privilege, more = draw.choice(COLUMNS), draw.choice(PRIVILEGES), draw.choice(PRIVILEGES)
    word, way, end = draw.choice((("grant", "to", ""), ("revoke", "from", " cascade")))
    option = draw.choice((" with grant option", "")) if word == "grant" else end
    table = "watch.watched"
    (change,) = draw.choices(
        (
            f"{word} {draw.choice(TABLE_PRIVILEGES)} on {table} {way} {grantee}{end}",
            f"{word} {privilege} ({column}) on {table} {way} {grantee}{end}",
            f"{word} {privilege} ({column}), {more} on {table} {way} {grantee}{end}",
            f"{word} {privilege} on {table} {way} {role}{option}",
            f"{word} {role} {way} {other}",
            f"{word} pg_read_all_data {way} {role}",
            f"{word} unmask ({column}) on {table} {way} {role}",
            f"alter role {role} {draw.choice(('inherit', 'noinherit'))}",
            f"alter table {table} owner to {draw.choice((*ROLES, 'postgres'))}",
            f"alter table {table} {draw.choice(('enable', 'disable', 'force'))} row level security",
            f"{word} usage on schema watch {way} {grantee}{end}",
            f"revoke all on {table} from {role} cascade",
            f"alter role {role} superuser",
        ),
        (6, 9, 4, 6, 4, 1, 2, 4, 2, 2, 2, 3, 1),
    )
    return change


def clock(connection: psycopg.Connection[Any]) -> datetime:
    row = connection.execute("select clock_timestamp()").fetchone()
    assert row is not None
    found: datetime = row[0]
    return found


def test_200_random_changes(admin: psycopg.Connection[Any]) -> None:
    draw = random.Random(SEED)
    instants: list[tuple[datetime, str, Rows]] = []
    superuser = ""
    while len(instants) < CHANGES:
        change = f"alter role {superuser} nosuperuser" if superuser else random_change(draw)
        # A superuser may do everything: for one change only, lest nothing else shows.
        superuser = change.split()[2] if change.endswith(" superuser") else ""
        try:
            admin.execute(change)
        except psycopg.Error:
            continue
        instants.append((clock(admin), change, admin.execute(NOW, PARAMETERS).fetchall()))
    assert len({tuple(rows) for _, _, rows in instants}) > CHANGES // 4, "hardly anything changed"
    for number, (at, change, expected) in enumerate(instants):
        found = admin.execute(THEN, {**PARAMETERS, "at": at}).fetchall()
        assert found == expected, f"seed {SEED}, change {number}: {change}"


def test_the_history_survives_a_crash_and_knows_what_is_gone(own_server: Server) -> None:
    own_server.start()
    with own_server.connect() as admin:
        admin.execute("create table kept (id int primary key)")
        admin.execute("create role reader")
        admin.execute("grant select on kept to reader")
        granted = clock(admin)
        admin.execute("revoke select on kept from reader")
        admin.execute("drop role reader")
        dropped = clock(admin)
    own_server.kill()
    own_server.start()
    sql = (
        "select privilege, source from helios_access_history('kept', null, %s) where rolename = %s"
    )
    with own_server.connect() as admin:
        assert admin.execute(sql, (granted, "reader")).fetchall() == [("SELECT", "table")]
        assert admin.execute(sql, (dropped, "reader")).fetchall() == []
        assert len(admin.execute(sql, (dropped, "postgres")).fetchall()) == 7
        admin.execute("grant trigger on kept to public")
        assert admin.execute(sql, (granted, "reader")).fetchall() == [("SELECT", "table")]


def one(connection: psycopg.Connection[Any], sql: str, *parameters: Any) -> tuple[Any, ...]:
    row = connection.execute(sql, parameters).fetchone()
    assert row is not None
    found: tuple[Any, ...] = row
    return found


def test_masks_policies_and_schemas_are_part_of_it(admin: psycopg.Connection[Any]) -> None:
    admin.execute("create schema shut")
    admin.execute("create table shut.paper (id int primary key, secret text, owner name)")
    admin.execute("create role clerk")
    admin.execute("grant select on shut.paper to clerk")
    times = [clock(admin)]
    for sql in (
        "grant usage on schema shut to clerk",
        "alter table shut.paper alter secret add masked with (function = 'full()')",
        "alter table shut.paper enable row level security",
        "create policy own on shut.paper for select to clerk using (owner = current_user)",
        "create policy others on shut.paper for update using (true)",
        "grant unmask on shut.paper (secret) to clerk",
    ):
        admin.execute(sql)
        times.append(clock(admin))
    sql = (
        "select schema_usage, mask, row_security, policies from helios_access_history("
        "'shut.paper', 'secret', %s) where rolename = 'clerk' and privilege = 'SELECT'"
    )
    assert [one(admin, sql, at) for at in times] == [
        (False, None, False, None),
        (True, None, False, None),
        (True, "full()", False, None),
        (True, "full()", True, []),
        (True, "full()", True, ["own"]),
        (True, "full()", True, ["own"]),
        (True, None, True, ["own"]),
    ]
    admin.execute("drop schema shut cascade")
    admin.execute("drop role clerk")


def test_what_is_rolled_back_never_was(admin: psycopg.Connection[Any]) -> None:
    past = "helios_access_history('watched', null, %s)"
    sql = f"select count(*) from {past} where rolename = 'nobody_yet'"
    with admin.transaction(force_rollback=True):
        admin.execute("create role nobody_yet superuser")
    assert one(admin, sql, clock(admin)) == (0,)
    with admin.transaction():
        admin.execute("create role nobody_yet")
        with admin.transaction(force_rollback=True):
            admin.execute("alter role nobody_yet superuser")
        before = clock(admin)
    assert one(admin, sql, clock(admin)) == (0,)
    admin.execute("alter role nobody_yet superuser")
    assert one(admin, sql, clock(admin)) == (7,)
    # The time of a change is its commit's.
    assert one(admin, sql, before) == (0,)
    admin.execute("drop role nobody_yet")


def test_who_may_ask(admin: psycopg.Connection[Any], server: Server) -> None:
    admin.execute(f"create role asker login password '{SECRET}'")
    admin.execute("grant create on schema public to asker")
    ask = "select count(*) > 0 from helios_access_history('{}', null, now())"
    with server.connect(dbname="travel", user="asker", password=SECRET) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(ask.format("watched"))
        connection.execute("create table mine (a int)")
        assert one(connection, ask.format("mine")) == (True,)
        admin.execute("grant pg_monitor to asker")
        assert one(connection, ask.format("watched")) == (True,)
        connection.execute("drop table mine")
    with pytest.raises(psycopg.errors.UndefinedColumn):
        admin.execute("select * from helios_access_history('watched', 'nix', now())")
    past = "select count(*) from helios_access_history('watched', null, '2001-01-01')"
    assert one(admin, past) == (0,)
    admin.execute("revoke create on schema public from asker")
    admin.execute("drop role asker")


def test_no_secret_is_in_the_history() -> None:
    from heliosd.catalog.history import security_form
    from heliosd.catalog.objects import Role

    role = Role(oid=1, name="r", verifier="SCRAM-SHA-256$4096:salt$stored:server")
    kept = security_form(role)
    assert isinstance(kept, Role)
    assert kept.verifier is None
    assert "SCRAM" not in repr(vars(kept))
