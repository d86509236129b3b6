"""asyncpg: binary format everywhere, introspection, prepared statements, COPY, cursors."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import ssl
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from tests.server import PASSWORD, Server


def run(server: Server, scenario: Callable[[Any], Awaitable[None]]) -> None:
    async def main() -> None:
        context = ssl.create_default_context(cafile=str(server.data / "tls" / "root.crt"))
        connection = await asyncpg.connect(
            host="localhost", port=server.port, user="postgres", password=PASSWORD,
            database="postgres", ssl=context, timeout=10,
        )  # fmt: skip
        try:
            await scenario(connection)
        finally:
            await connection.close()

    asyncio.run(main())


def test_values_round_trip(server: Server) -> None:
    async def scenario(connection: Any) -> None:
        for value, type_name in [
            (True, "bool"),
            (2**62, "int8"),
            (decimal.Decimal("123.4500"), "numeric"),
            (0.1, "float8"),
            ("text ü", "text"),
            (b"\x00\x01", "bytea"),
            (datetime.date(2000, 1, 1), "date"),
            (datetime.timedelta(days=1, seconds=2), "interval"),
            (uuid.UUID(int=7), "uuid"),
            ([1, 2, None], "int4[]"),
            (["x", None], "text[]"),
        ]:
            assert await connection.fetchval(f"select $1::{type_name}", value) == value

    run(server, scenario)


def test_tables_transactions_and_cursors(server: Server) -> None:
    async def scenario(connection: Any) -> None:
        await connection.execute("drop table if exists asyncpg_t")
        await connection.execute("create table asyncpg_t (id serial primary key, v text)")
        await connection.executemany(
            "insert into asyncpg_t (v) values ($1)", [(str(n),) for n in range(100)]
        )
        rows = await connection.fetch("select * from asyncpg_t where id = any($1)", [1, 5, 500])
        assert [tuple(row) for row in rows] == [(1, "0"), (5, "4")]
        with pytest.raises(asyncpg.UniqueViolationError):
            async with connection.transaction():
                await connection.execute("insert into asyncpg_t values (1000, 'gone')")
                await connection.execute("insert into asyncpg_t values (1, 'twice')")
        assert await connection.fetchval("select count(*) from asyncpg_t") == 100
        async with connection.transaction():
            seen = [
                row["id"] async for row in connection.cursor("select id from asyncpg_t order by id")
            ]
        assert seen == list(range(1, 101))
        await connection.execute("drop table asyncpg_t")

    run(server, scenario)


def test_copy(server: Server) -> None:
    async def scenario(connection: Any) -> None:
        await connection.execute("create temp table copied (a int, b text)")
        records = [(n, f"v{n}") for n in range(1000)]
        await connection.copy_records_to_table("copied", records=records)
        assert await connection.fetchval("select sum(a) from copied") == 499500
        parts: list[bytes] = []

        async def take(data: bytes) -> None:
            parts.append(data)

        await connection.copy_from_query("select * from copied where a < 2", output=take)
        assert b"".join(parts) == b"0\tv0\n1\tv1\n"

    run(server, scenario)


def test_listen(server: Server) -> None:
    async def scenario(connection: Any) -> None:
        heard: asyncio.Queue[str] = asyncio.Queue()
        await connection.add_listener("topic", lambda *args: heard.put_nowait(args[3]))
        await connection.execute("notify topic, 'said'")
        assert await asyncio.wait_for(heard.get(), 5) == "said"

    run(server, scenario)


def test_prepared_statement_attributes(server: Server) -> None:
    async def scenario(connection: Any) -> None:
        statement = await connection.prepare("select $1::int + 1 as next, 'x'::varchar(5) as v")
        assert [a.name for a in statement.get_attributes()] == ["next", "v"]
        assert await statement.fetchval(41) == 42

    run(server, scenario)
