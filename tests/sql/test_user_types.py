"""Types made by users, as their objects, plans, privileges and drivers see them."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Iterator
from typing import Any

import asyncpg
import psycopg
import pytest
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range, RangeInfo, register_range

from tests.server import PASSWORD, Server


@pytest.fixture
def connection(server: Server) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(server.conninfo(), autocommit=True) as opened:
        opened.execute("CREATE SCHEMA user_types")
        opened.execute("SET search_path = user_types, public")
        yield opened
        opened.execute("DROP SCHEMA user_types CASCADE")


def one(connection: psycopg.Connection[Any], query: str, *parameters: Any) -> Any:
    row = connection.execute(query.encode(), parameters or None).fetchone()
    assert row is not None
    return row[0]


def fails(connection: psycopg.Connection[Any], query: str, sqlstate: str) -> str:
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(query.encode())
    assert caught.value.sqlstate == sqlstate
    return str(caught.value)


def test_a_plan_follows_its_type(connection: psycopg.Connection[Any]) -> None:
    connection.execute("CREATE TYPE mood AS ENUM ('sad', 'happy')")
    connection.execute("CREATE TABLE m (id int PRIMARY KEY, v mood)")
    connection.execute("INSERT INTO m VALUES (1, 'sad'), (2, 'happy')")
    query = "SELECT v::text FROM m WHERE v > 'sad' ORDER BY m.v"
    for _ in range(8):  # prepared by then
        assert connection.execute(query).fetchall() == [("happy",)]
    connection.execute("ALTER TYPE mood ADD VALUE 'ok' BEFORE 'happy'")
    connection.execute("INSERT INTO m VALUES (3, 'ok')")
    assert connection.execute(query).fetchall() == [("ok",), ("happy",)]
    connection.execute("ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'")
    assert connection.execute(query).fetchall() == [("fine",), ("happy",)]


def test_another_session_sees_a_type_when_it_is_committed(
    connection: psycopg.Connection[Any], server: Server
) -> None:
    with psycopg.connect(server.conninfo()) as other:
        other.execute("CREATE TYPE user_types.later AS ENUM ('x')")
        assert one(other, "SELECT 'x'::user_types.later::text") == "x"
        fails(connection, "SELECT 'x'::later", "42704")
        other.commit()
    assert one(connection, "SELECT 'x'::later::text") == "x"


def test_a_rolled_back_type_is_gone(connection: psycopg.Connection[Any]) -> None:
    with pytest.raises(ZeroDivisionError), connection.transaction():
        connection.execute("CREATE DOMAIN gone AS int CHECK (value > 0)")
        assert one(connection, "SELECT 5::gone") == 5
        raise ZeroDivisionError
    fails(connection, "SELECT 5::gone", "42704")


def test_a_domain_is_checked_by_its_newest_constraints(
    connection: psycopg.Connection[Any],
) -> None:
    connection.execute("CREATE DOMAIN small AS int CHECK (value < 10)")
    connection.execute("CREATE TABLE d (v small)")
    for value in range(8):
        connection.execute("INSERT INTO d VALUES (%s)", (value,))
    connection.execute("ALTER DOMAIN small ADD CONSTRAINT even CHECK (value % 2 = 0) NOT VALID")
    with pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("INSERT INTO d VALUES (%s)", (9,))
    message = fails(connection, "ALTER DOMAIN small VALIDATE CONSTRAINT even", "23514")
    assert 'column "v" of table "d"' in message
    connection.execute("ALTER DOMAIN small DROP CONSTRAINT even")
    connection.execute("INSERT INTO d VALUES (%s)", (9,))


def test_usage_is_needed_to_build_on_a_type(
    connection: psycopg.Connection[Any], server: Server
) -> None:
    connection.execute("CREATE TYPE secret AS ENUM ('x')")
    connection.execute("REVOKE USAGE ON TYPE secret FROM PUBLIC")
    connection.execute("CREATE ROLE builder LOGIN PASSWORD 'builder-password-1'")
    connection.execute("GRANT CREATE, USAGE ON SCHEMA user_types TO builder")
    connection.execute("SET ROLE builder")
    try:
        fails(connection, "CREATE TABLE t (v secret)", "42501")
        fails(connection, "CREATE DOMAIN t AS secret", "42501")
        fails(connection, "CREATE TYPE t AS (v secret)", "42501")
        fails(connection, "DROP TYPE secret", "42501")
        fails(connection, "ALTER TYPE secret ADD VALUE 'y'", "42501")
        assert one(connection, "SELECT 'x'::secret::text") == "x"
    finally:
        connection.execute("RESET ROLE")
    connection.execute("GRANT USAGE ON TYPE secret TO builder")
    connection.execute("SET ROLE builder")
    connection.execute("CREATE TABLE t (v secret)")
    connection.execute("RESET ROLE")
    connection.execute("DROP TABLE t")
    connection.execute("DROP OWNED BY builder")
    connection.execute("DROP ROLE builder")


def test_psycopg_sends_and_reads_them(connection: psycopg.Connection[Any]) -> None:
    class Colour(enum.Enum):
        RED = "RED"
        BLUE = "BLUE"

    connection.execute("CREATE TYPE colour AS ENUM ('RED', 'BLUE')")
    connection.execute("CREATE TYPE pair AS (n int, c colour)")
    connection.execute("CREATE TYPE span AS RANGE (subtype = float8)")
    colour = EnumInfo.fetch(connection, "colour")
    assert colour is not None
    register_enum(colour, connection, Colour)
    pair = CompositeInfo.fetch(connection, "pair")
    assert pair is not None
    register_composite(pair, connection)
    span = RangeInfo.fetch(connection, "span")
    assert span is not None
    register_range(span, connection)
    for binary in (False, True):
        cursor = connection.cursor(binary=binary)
        assert pair.python_type is not None
        given = (
            Colour.BLUE,
            [Colour.RED, Colour.BLUE],
            pair.python_type(7, Colour.RED),
            Range(1.5, 2.5, "[)"),
            Range(1, 5, "[)"),
            Multirange([Range(1, 2, "[)"), Range(4, 5, "[)")]),
        )
        query = (
            "SELECT %s::colour, %s::colour[], %s::pair, %s::span, %s::int4range, %s::int4multirange"
        )
        assert cursor.execute(query, given).fetchone() == given


def test_asyncpg_sends_and_reads_them(connection: psycopg.Connection[Any], server: Server) -> None:
    connection.execute("CREATE TYPE colour AS ENUM ('RED', 'BLUE')")
    connection.execute("CREATE TYPE pair AS (n int, c colour)")
    connection.execute("CREATE DOMAIN positive AS int CHECK (value > 0)")

    async def run() -> None:
        client = await asyncpg.connect(
            host="127.0.0.1",
            port=server.port,
            user="postgres",
            password=PASSWORD,
            database="postgres",
            ssl="require",
        )
        try:
            await client.execute("SET search_path = user_types")
            row = await client.fetchrow(
                "SELECT $1::colour, $2::pair, $3::int4range, $4::positive, $5::colour[], $6::point",
                "RED", (5, "BLUE"), asyncpg.Range(1, 9), 3, ["BLUE", "RED"], (1.5, 2.5),
            )  # fmt: skip
            assert row is not None
            assert (row[0], tuple(row[1]), row[2]) == ("RED", (5, "BLUE"), asyncpg.Range(1, 9))
            assert (row[3], row[4], row[5]) == (3, ["BLUE", "RED"], asyncpg.Point(1.5, 2.5))
            with pytest.raises(asyncpg.CheckViolationError):
                await client.fetchval("SELECT $1::positive", -1)
        finally:
            await client.close()

    asyncio.run(run())


def test_copy_reads_and_checks_them(connection: psycopg.Connection[Any]) -> None:
    connection.execute("CREATE TYPE colour AS ENUM ('red', 'blue')")
    connection.execute("CREATE DOMAIN known AS text NOT NULL CHECK (value <> '')")
    connection.execute("CREATE TABLE c (v colour, k known, r int4range, p point)")
    with connection.cursor().copy("COPY c FROM STDIN") as copy:
        copy.write("red\tx\t[1,5)\t(1,2)\nblue\ty\tempty\t\\N\n")
    with connection.cursor().copy("COPY c TO STDOUT") as copy:
        shown = b"".join(bytes(each) for each in copy)
    assert shown == b"red\tx\t[1,5)\t(1,2)\nblue\ty\tempty\t\\N\n"
    for line in (b"green\tx\t\\N\t\\N\n", b"red\t\\N\t\\N\t\\N\n", b"red\t\t\\N\t\\N\n"):
        with (
            pytest.raises((psycopg.DataError, psycopg.IntegrityError)),
            connection.cursor().copy("COPY c FROM STDIN") as copy,
        ):
            copy.write(line)
    assert one(connection, "SELECT count(*) FROM c") == 2


def test_they_survive_a_restart(own_server: Server) -> None:
    own_server.start()
    with psycopg.connect(own_server.conninfo(), autocommit=True) as opened:
        opened.execute("CREATE TYPE colour AS ENUM ('red', 'blue')")
        opened.execute("ALTER TYPE colour ADD VALUE 'green' AFTER 'red'")
        opened.execute("CREATE TYPE pair AS (n int, c colour)")
        opened.execute("CREATE DOMAIN positive AS int CHECK (value > 0)")
        opened.execute("CREATE TYPE span AS RANGE (subtype = float8)")
        opened.execute("CREATE TABLE t (c colour PRIMARY KEY, p pair, d positive, r span)")
        opened.execute(
            "INSERT INTO t VALUES ('blue', '(1,red)', 5, '[1,2)'), ('green', '(,)', 1, NULL)"
        )
    own_server.kill()
    own_server.start()
    with psycopg.connect(own_server.conninfo(), autocommit=True) as opened:
        found = opened.execute("SELECT c::text, p::text, d, r::text FROM t ORDER BY t.c").fetchall()
        assert found == [("green", "(,)", 1, None), ("blue", "(1,red)", 5, "[1,2)")]
        fails(opened, "INSERT INTO t VALUES ('red', null, 0)", "23514")
