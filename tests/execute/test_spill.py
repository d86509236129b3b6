"""Sorts beyond work_mem: the same rows in the same order, encrypted files, a bound on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from heliosd.errors import SqlError
from heliosd.execute.temp_files import TempFile, TempSpace
from tests.server import Server

QUERIES = (
    "SELECT id, k, n, s FROM wide ORDER BY k DESC, s, id",
    "SELECT s, id FROM wide ORDER BY s NULLS FIRST, id DESC",
    "SELECT n, id, j FROM wide ORDER BY n DESC NULLS LAST, id",
    (
        "SELECT id, row_number() OVER (ORDER BY k, id) FROM (SELECT * FROM wide ORDER BY s, id) x "
        "ORDER BY id"
    ),
)


@pytest.fixture(scope="module")
def connection(server: Server) -> Iterator[Any]:
    with psycopg.connect(server.conninfo(), autocommit=True) as made:
        made.execute("CREATE SCHEMA spilled")
        made.execute("SET search_path = spilled")
        made.execute("SET helios.column_programs = off")
        made.execute("CREATE TABLE wide (id int PRIMARY KEY, k int, n numeric, s text, j jsonb)")
        made.execute(
            "INSERT INTO wide SELECT i, i * 7919 % 500, nullif(i % 1000, 7) / 8.0, "
            "CASE WHEN i % 9 > 0 THEN repeat(chr(97 + i % 26), i % 40) END, "
            "jsonb_build_object('a', i % 5) FROM generate_series(1, 20000) i"
        )
        yield made
        made.execute("DROP SCHEMA spilled CASCADE")


@pytest.mark.parametrize("query", QUERIES)
def test_order_is_that_of_memory(connection: Any, query: str) -> None:
    connection.execute("SET work_mem = '1GB'")
    expected = connection.execute(query).fetchall()
    connection.execute("SET work_mem = '64kB'")
    assert connection.execute(query).fetchall() == expected
    connection.execute("RESET work_mem")


def test_temp_file_limit(connection: Any) -> None:
    connection.execute("SET work_mem = '64kB'")
    connection.execute("SET temp_file_limit = '100kB'")
    with pytest.raises(psycopg.errors.ConfigurationLimitExceeded) as caught:
        connection.execute(QUERIES[0])
    message = "temporary file size exceeds temp_file_limit (100kB)"
    assert caught.value.diag.message_primary == message
    connection.execute("RESET temp_file_limit")
    connection.execute("RESET work_mem")


def test_files_hold_nothing_readable(tmp_path: Path) -> None:
    """Sealed frames, read back as they were; nothing in the directory; altered ones are refused."""
    space = TempSpace(-1)
    file = TempFile(tmp_path, space)
    rows: list[list[Any]] = [[("secret-value", n, None) for n in range(200)], [("more", 1, 2.5)]]
    for frame in rows:
        file.write(frame)
    assert not list(tmp_path.iterdir())
    assert list(file.frames()) == rows
    assert list(file.frames()) == rows
    descriptor = file._file
    descriptor.seek(0)
    sealed = descriptor.read()
    assert b"secret-value" not in sealed
    assert space.size_bytes == len(sealed)
    file.close()
    assert space.size_bytes == 0


def test_space_is_bounded() -> None:
    space = TempSpace(1000)
    space.take(1000)
    with pytest.raises(SqlError) as caught:
        space.take(1)
    assert caught.value.sqlstate == "53400"
