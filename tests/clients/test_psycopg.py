"""psycopg 3 as an application uses it: text and binary, pipelines, COPY, server cursors."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.server import Server

Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    with server.connect() as opened:
        yield opened


@pytest.fixture
def table(connection: Connection) -> Iterator[str]:
    connection.execute("drop table if exists psycopg_t")
    connection.execute("create table psycopg_t (id int primary key, name text, amount numeric)")
    yield "psycopg_t"
    connection.execute("drop table psycopg_t")


VALUES = [
    (True, "bool"),
    (32000, "int2"),
    (-(2**31), "int4"),
    (2**62, "int8"),
    (decimal.Decimal("-12345.678900"), "numeric"),
    (1.5e300, "float8"),
    ("grüße, 世界", "text"),
    (b"\x00\xff'\\", "bytea"),
    (datetime.date(2024, 2, 29), "date"),
    (datetime.datetime(1999, 12, 31, 23, 59, 59, 999999), "timestamp"),
    (datetime.datetime(2024, 6, 1, 12, 0, tzinfo=datetime.UTC), "timestamptz"),
    (uuid.UUID("12345678-1234-5678-1234-567812345678"), "uuid"),
    ([1, None, 3], "int4[]"),
    (["a", 'b"c', None, ""], "text[]"),
    (None, "int4"),
]


@pytest.mark.parametrize(("value", "type_name"), VALUES)
@pytest.mark.parametrize("binary", [False, True])
def test_values_round_trip(
    connection: Connection, value: object, type_name: str, binary: bool
) -> None:
    placeholder = "%b" if binary else "%t"
    with connection.cursor(binary=binary) as cursor:
        row = cursor.execute(f"select {placeholder}::{type_name}", (value,)).fetchone()  # type: ignore[call-overload]
    assert row == (value,)


def test_json_round_trips(connection: Connection) -> None:
    from psycopg.types.json import Jsonb

    value = {"b": [1, 2.5, None, True], "a": "x"}
    assert connection.execute("select %s", (Jsonb(value),)).fetchone() == (value,)


def test_dml_with_returning_and_row_counts(connection: Connection, table: str) -> None:
    cursor = connection.cursor(row_factory=dict_row)
    inserted = cursor.execute(
        f"insert into {table} values (%s, %s, %s) returning *", (1, "one", decimal.Decimal("1.50"))
    ).fetchone()
    assert inserted == {"id": 1, "name": "one", "amount": decimal.Decimal("1.50")}
    cursor.executemany(f"insert into {table} values (%s, %s)", [(n, str(n)) for n in range(2, 50)])
    assert cursor.rowcount == 48
    assert connection.execute(f"update {table} set amount = id where id > 10").rowcount == 39
    assert connection.execute(f"delete from {table} where id > 40").rowcount == 9
    assert connection.execute(f"select count(*), sum(amount) from {table}").fetchone() == (
        40,
        decimal.Decimal("766.50"),
    )


def test_a_transaction_is_all_or_nothing(connection: Connection, table: str) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation) as caught, connection.transaction():
        connection.execute(f"insert into {table} values (1)")
        connection.execute(f"insert into {table} values (1)")
    assert caught.value.diag.constraint_name == "psycopg_t_pkey"
    assert caught.value.diag.message_detail == "Key (id)=(1) already exists."
    assert connection.execute(f"select count(*) from {table}").fetchone() == (0,)
    with connection.transaction():
        connection.execute(f"insert into {table} values (1)")
        with pytest.raises(psycopg.errors.DivisionByZero), connection.transaction():
            connection.execute(f"insert into {table} values (2)")
            connection.execute("select 1/0")
        connection.execute(f"insert into {table} values (3)")
    assert connection.execute(f"select id from {table} order by id").fetchall() == [(1,), (3,)]


def test_pipeline_mode(connection: Connection, table: str) -> None:
    with connection.pipeline():
        cursors = [
            connection.execute(f"insert into {table} values (%s, %s) returning id", (n, "x"))
            for n in range(20)
        ]
        assert [cursor.fetchone() for cursor in cursors] == [(n,) for n in range(20)]


def test_an_error_in_a_pipeline_skips_to_the_sync(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero), connection.pipeline() as pipeline:
        connection.execute("select 1/0")
        connection.execute("select 2")
        pipeline.sync()
    assert connection.execute("select 3").fetchone() == (3,)


def test_copy_in_and_out(connection: Connection, table: str) -> None:
    rows = [(1, "tab\there", decimal.Decimal("1.1")), (2, None, None), (3, "back\\slash\n", None)]
    with connection.cursor() as cursor:
        with cursor.copy(f"copy {table} from stdin") as copy:
            for row in rows:
                copy.write_row(row)
        with cursor.copy(f"copy {table} to stdout") as copy:
            copy.set_types(["int4", "text", "numeric"])
            assert list(copy.rows()) == rows
        with cursor.copy(f"copy (select * from {table} where id = 2) to stdout (format csv)") as c:
            assert b"".join(bytes(data) for data in c) == b"2,,\n"


def test_binary_copy(connection: Connection, table: str) -> None:
    with connection.cursor() as cursor:
        with cursor.copy(f"copy {table} from stdin (format binary)") as copy:
            copy.set_types(["int4", "text", "numeric"])
            for number in range(100):
                copy.write_row((number, f"n{number}", decimal.Decimal(number)))
        with cursor.copy(f"copy {table} to stdout (format binary)") as copy:
            copy.set_types(["int4", "text", "numeric"])
            assert list(copy.rows()) == [(n, f"n{n}", decimal.Decimal(n)) for n in range(100)]


def test_a_failed_copy_leaves_nothing(connection: Connection, table: str) -> None:
    with (
        pytest.raises(psycopg.errors.InvalidTextRepresentation) as caught,
        connection.cursor() as cursor,
        cursor.copy(f"copy {table} from stdin") as copy,
    ):
        copy.write(b"1\tok\t1\nx\tbad\t2\n")
    assert caught.value.diag.context == 'COPY psycopg_t, line 2, column id: "x"'
    assert connection.execute(f"select count(*) from {table}").fetchone() == (0,)


def test_server_cursors(connection: Connection) -> None:
    with connection.transaction(), connection.cursor("named", scrollable=True) as cursor:
        cursor.execute("select g, g * g from generate_series(1, 1000) g")
        assert cursor.fetchmany(3) == [(1, 1), (2, 4), (3, 9)]
        cursor.scroll(100)
        assert cursor.fetchone() == (104, 10816)
        cursor.scroll(1, mode="absolute")
        assert cursor.fetchone() == (2, 4)


def test_prepared_statements_follow_a_changed_table(connection: Connection, table: str) -> None:
    connection.prepare_threshold = 1
    connection.execute(f"insert into {table} values (1, 'a', 2)")
    for _ in range(3):
        assert connection.execute(f"select name from {table} where id = %s", (1,)).fetchall() == [
            ("a",)
        ]
    connection.execute(f"alter table {table} add column more int default 7")
    assert connection.execute(f"select more from {table} where id = %s", (1,)).fetchone() == (7,)


def test_notices_and_notifications(server: Server, connection: Connection) -> None:
    notices: list[str] = []
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    connection.execute("drop table if exists not_there_at_all")
    assert notices == ['table "not_there_at_all" does not exist, skipping']
    connection.execute("listen news")
    with server.connect() as other:
        other.execute("notify news, 'hello'")
        other.execute("select pg_notify('news', 'again')")
    got = [(n.channel, n.payload) for n in connection.notifies(timeout=5, stop_after=2)]
    assert got == [("news", "hello"), ("news", "again")]


def test_cancel_ends_a_statement(connection: Connection) -> None:
    import threading

    timer = threading.Timer(0.3, connection.cancel)
    timer.start()
    with pytest.raises(psycopg.errors.QueryCanceled):
        connection.execute("select count(*) from generate_series(1, 1000000000)")
    timer.join()
    assert connection.execute("select 1").fetchone() == (1,)


def test_statement_timeout(connection: Connection) -> None:
    connection.execute("set statement_timeout = 100")
    with pytest.raises(psycopg.errors.QueryCanceled, match="statement timeout"):
        connection.execute("select pg_sleep(5)")
    connection.execute("reset statement_timeout")


def test_every_error_leaves_the_connection_usable(connection: Connection) -> None:
    for statement, sqlstate in [
        ("selec 1", "42601"),
        ("select * from no_such_table", "42P01"),
        ("select no_such_column", "42703"),
        ("select no_such_function(1)", "42883"),
        ("select 1/0", "22012"),
        ("select 'x'::int", "22P02"),
        ("select 2147483647 + 1", "22003"),
        ("drop table no_such_table", "42P01"),
        ("fetch all from no_such_cursor", "34000"),
        ("execute no_such_statement", "26000"),
        ("set no_such_setting = 1", "42704"),
    ]:
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(statement)  # type: ignore[call-overload]
        assert caught.value.sqlstate == sqlstate, statement
        assert "Traceback" not in str(caught.value)
    assert connection.execute("select 1").fetchone() == (1,)
