"""Column programs give what the rows form gives: values, scales, orders, errors, own changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.server import Server
from tests.sql import random_sql

SEED = 6
RANDOM_QUERIES = 150
SCHEMA = (
    (
        "CREATE TABLE c (id int PRIMARY KEY, g int, h int8, n numeric(10,2), m numeric(12,4), "
        "f float8, s text, v varchar(20), p char(6), d date, ts timestamp, b bool)"
    ),
    (
        "INSERT INTO c SELECT i, i % 7, CASE WHEN i % 11 > 0 THEN i * 1000000000::int8 END, "
        "CASE WHEN i % 13 > 0 THEN (i * 37 % 1000) / 7.0 END, i / 3.0, "
        "CASE WHEN i % 17 > 0 THEN (i % 100) / 8.0 END, "
        "CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN 'Zoé' ELSE 'a' || i % 19 END, "
        "'v' || i % 23, chr(97 + i % 6) || ' ' || i % 3, date '2020-01-31' + i % 400, "
        "timestamp '2021-03-04 05:06:07.891' + i % 1000 * interval '1 hour', i % 3 = 0 "
        "FROM generate_series(1, 3000) i"
    ),
    "CREATE TABLE o (id int PRIMARY KEY, c int, w text, q numeric(8,3))",
    (
        "INSERT INTO o SELECT i, nullif(i % 900, 5), 'w' || i % 4, i / 8.0 "
        "FROM generate_series(1, 2000) i"
    ),
)
QUERIES = (
    (
        "SELECT count(*) FROM (SELECT * FROM ((SELECT o.c FROM c LEFT JOIN o ON c.id = o.c EXCEPT "
        "ALL SELECT g FROM c) EXCEPT SELECT DISTINCT g FROM c WHERE id > 9) u(k) WHERE EXISTS "
        "(SELECT 1 FROM c x WHERE k IS DISTINCT FROM x.g)) z"
    ),
    (
        "SELECT count(*), count(n), sum(n), avg(n), min(n), max(n), sum(g), avg(g), sum(h), avg(h) "
        "FROM c"
    ),
    "SELECT g, sum(n * (1 - m)), avg(m), count(DISTINCT s) FROM c GROUP BY g ORDER BY g",
    "SELECT s, v, p, count(*) FROM c GROUP BY s, v, p ORDER BY s, v DESC, p NULLS FIRST",
    "SELECT max(p), min(p), max(s), min(v) FROM c",
    "SELECT id, n FROM c WHERE n IS NOT NULL ORDER BY n DESC, id LIMIT 20 OFFSET 3",
    "SELECT id FROM c ORDER BY s, id LIMIT 50",
    "SELECT id FROM c ORDER BY s DESC NULLS LAST, id DESC LIMIT 50",
    "SELECT sum(CASE WHEN b THEN n ELSE 0 END), sum(CASE WHEN id < 0 THEN n ELSE 0 END) FROM c",
    "SELECT sum(CASE WHEN id < 0 THEN n END), sum(coalesce(n, 0)) FROM c",
    (
        "SELECT extract(year FROM d), date_part('month', d), count(*) FROM c GROUP BY 1, 2 "
        "ORDER BY 1, 2"
    ),
    "SELECT date_trunc('month', ts), count(*) FROM c GROUP BY 1 ORDER BY 1",
    "SELECT substring(s FROM 1 FOR 2), length(s), count(*) FROM c GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT count(*) FROM c WHERE s LIKE 'a1%' OR p LIKE '%2   ' OR v NOT LIKE '%_3'",
    "SELECT count(*) FROM c WHERE p = 'a 0' OR p IN ('b 1', 'c 2   ')",
    "SELECT count(*) FROM c WHERE d BETWEEN date '2020-02-28' AND date '2020-12-01' + 3",
    (
        "SELECT c.g, o.w, count(*), sum(o.q), sum(o.q * c.n) FROM c JOIN o ON o.c = c.id "
        "GROUP BY c.g, o.w ORDER BY 1, 2"
    ),
    (
        "SELECT count(*), count(o.id), sum(coalesce(o.q, 1.5)) FROM c LEFT JOIN o ON o.c = c.id "
        "AND o.w = 'w1'"
    ),
    "SELECT count(*), count(c.id), count(o.id) FROM c FULL JOIN o ON o.c = c.id",
    "SELECT count(*) FROM c WHERE EXISTS (SELECT 1 FROM o WHERE o.c = c.id AND o.q < c.n)",
    "SELECT count(*) FROM c WHERE id NOT IN (SELECT c FROM o WHERE c IS NOT NULL)",
    "SELECT count(*) FROM c WHERE id NOT IN (SELECT c FROM o)",
    "SELECT count(*) FROM c WHERE n > (SELECT avg(n) FROM c)",
    "SELECT count(*) FROM c x WHERE n = (SELECT max(n) FROM c y WHERE y.g = x.g)",
    (
        "SELECT g, id, rank() OVER (PARTITION BY g ORDER BY n DESC NULLS LAST, id), "
        "sum(n) OVER (PARTITION BY g ORDER BY id ROWS BETWEEN 3 PRECEDING AND CURRENT ROW), "
        "lag(id, 2) OVER (PARTITION BY g ORDER BY id) FROM c WHERE id < 400 ORDER BY g, id"
    ),
    "SELECT g FROM c UNION SELECT id % 9 FROM o ORDER BY 1",
    "SELECT g FROM c WHERE b EXCEPT ALL SELECT id % 3 FROM o ORDER BY 1",
    (
        "WITH t AS (SELECT g, sum(n) AS x FROM c GROUP BY g) "
        "SELECT g, x FROM t WHERE x > (SELECT avg(x) FROM t) ORDER BY g"
    ),
    "SELECT DISTINCT g, b FROM c ORDER BY 1, 2",
    "SELECT g / 2, g % 3, -g, abs(g - 4), count(*) FROM c GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
    "SELECT sum(f), avg(f), min(f), max(f * 2 - 1) FROM c",
    "SELECT count(*) FROM c WHERE (g, b) IS DISTINCT FROM (3, true) AND s IS NOT DISTINCT FROM ''",
    (
        "SELECT g, count(*) FILTER (WHERE b), sum(n) FILTER (WHERE id > 2990) FROM c GROUP BY g "
        "ORDER BY g"
    ),
    "SELECT g, count(*) FROM c WHERE id = ANY ('{1,2,3,500,NULL}') GROUP BY g ORDER BY g",
    "SELECT n::numeric(6,1), count(*) FROM c GROUP BY 1 ORDER BY 1 LIMIT 30",
)
FAILURES = (
    ("SELECT sum(g + 2147483645) FROM c", "22003"),
    ("SELECT count(*) FROM c WHERE h * 10000000000 > 0", "22003"),
    ("SELECT count(*) FROM c WHERE 10 / g > 1", "22012"),
    ("SELECT count(*) FROM c WHERE f / (g - 3) > 1", "22012"),
    ("SELECT count(*) FROM c WHERE f * 1e308 * 100 > 1", "22003"),
    ("SELECT n::numeric(3,2) FROM c ORDER BY 1", "22003"),
    ("SELECT count(*) FROM c WHERE g = (SELECT id FROM o WHERE id < 3 AND c.id > 0)", "21000"),
    ("SELECT id FROM c ORDER BY n LIMIT -1", "2201W"),
)


@pytest.fixture(scope="module")
def forms(server: Server) -> Iterator[tuple[Any, Any]]:
    """Two sessions of one schema: by rows, by columns."""
    with (
        psycopg.connect(server.conninfo(), autocommit=True) as rows,
        psycopg.connect(server.conninfo(), autocommit=True) as columns,
    ):
        rows.execute("CREATE SCHEMA columnar")
        for each, setting in ((rows, "off"), (columns, "on")):
            each.execute("SET search_path = columnar")
            each.execute(f"SET helios.column_programs = {setting}")
        for statement in SCHEMA:
            rows.execute(statement)
        yield rows, columns
        rows.execute("DROP SCHEMA columnar CASCADE")


def answer(connection: Any, query: str) -> Any:
    """Rows as text (scales and padding count), or an error's SQLSTATE and message."""
    try:
        return [tuple(map(repr, row)) for row in connection.execute(query).fetchall()]
    except psycopg.Error as error:
        return error.sqlstate, error.diag.message_primary


def uses_columns(connection: Any, query: str) -> bool:
    return any("(Columns)" in line for (line,) in connection.execute(f"EXPLAIN {query}"))


@pytest.mark.parametrize("query", QUERIES)
def test_values(forms: tuple[Any, Any], query: str) -> None:
    rows, columns = forms
    assert answer(columns, query) == answer(rows, query)
    assert uses_columns(columns, query)
    assert not uses_columns(rows, query)


@pytest.mark.parametrize(("query", "sqlstate"), FAILURES)
def test_failures_are_those_of_rows(forms: tuple[Any, Any], query: str, sqlstate: str) -> None:
    rows, columns = forms
    expected = answer(rows, query)
    assert expected[0] == sqlstate
    assert answer(columns, query) == expected


def test_parameters(forms: tuple[Any, Any]) -> None:
    """One program, arguments of several scales, NULL and numbers that DuckDB cannot hold."""
    rows, columns = forms
    query = "SELECT count(*), sum(n * %s::numeric) FROM c WHERE n < %s::numeric AND s <> %s"
    for given in (("1.5", "100", "a1"), ("2", "7.125", "x'y"), (None, "3", ""),
                  ("1e-40", "5", "a"), ("NaN", "NaN", "a")):  # fmt: skip
        expected = rows.execute(query, given).fetchall()
        assert repr(columns.execute(query, given).fetchall()) == repr(expected)


def test_own_changes_are_seen(forms: tuple[Any, Any]) -> None:
    """Rows that this transaction made, changed and deleted, and none of them after ROLLBACK."""
    rows, columns = forms
    query = "SELECT count(*), sum(n), max(s), min(id) FROM c"
    before = answer(rows, query)
    assert answer(columns, query) == before
    with columns.transaction(force_rollback=True):
        columns.execute("DELETE FROM c WHERE id % 100 = 1")
        columns.execute("UPDATE c SET n = n + 1, s = 'zzz' WHERE id BETWEEN 1500 AND 1510")
        columns.execute("INSERT INTO c (id, n) VALUES (-5, 10.01), (9999, 2)")
        changed = answer(columns, query)
        columns.execute("SET LOCAL helios.column_programs = off")
        assert answer(columns, query) == changed
        assert changed != before
        assert answer(rows, query) == before
    assert answer(columns, query) == before


def test_committed_changes_are_seen(forms: tuple[Any, Any]) -> None:
    """A change by another session cuts its page group anew."""
    rows, columns = forms
    query = "SELECT count(*), sum(q), max(w) FROM o"
    for change in ("UPDATE o SET q = q + 1 WHERE id = 77", "DELETE FROM o WHERE id = 1999",
                   "INSERT INTO o VALUES (5000, 1, 'ÿ', 0.125)"):  # fmt: skip
        rows.execute(change)
        assert answer(columns, query) == answer(rows, query)


def test_widened_table(forms: tuple[Any, Any]) -> None:
    """Leaves from before ADD COLUMN, and values out of line, are read by rows."""
    rows, columns = forms
    rows.execute("CREATE TABLE wide AS SELECT i AS id, 'x' AS t FROM generate_series(1, 500) i")
    rows.execute("ALTER TABLE wide ADD COLUMN extra int DEFAULT 4")
    rows.execute("UPDATE wide SET t = repeat('long', 5000) WHERE id = 250")
    query = "SELECT sum(extra), max(length(t)), count(DISTINCT t) FROM wide"
    assert answer(columns, query) == answer(rows, query)
    rows.execute("DROP TABLE wide")


def test_hidden_rows_stay_hidden(server: Server, forms: tuple[Any, Any]) -> None:
    """Row-level security is in the plan, whichever form runs, and errors of hidden rows are not."""
    rows, _ = forms
    rows.execute("CREATE TABLE secrets (id int PRIMARY KEY, owner text, x int)")
    rows.execute("INSERT INTO secrets SELECT i, 'u' || i % 3, i % 3 FROM generate_series(1,900) i")
    rows.execute("CREATE ROLE col_reader LOGIN PASSWORD 'column reader 1'")
    rows.execute("GRANT USAGE ON SCHEMA columnar TO col_reader")
    rows.execute("GRANT SELECT ON secrets TO col_reader")
    rows.execute("ALTER TABLE secrets ENABLE ROW LEVEL SECURITY")
    rows.execute("CREATE POLICY own ON secrets USING (owner = 'u1')")
    with psycopg.connect(
        server.conninfo(user="col_reader", password="column reader 1"),
        autocommit=True,
    ) as reader:
        reader.execute("SET search_path = columnar")
        for setting in ("on", "off"):
            reader.execute(f"SET helios.column_programs = {setting}")
            assert answer(reader, "SELECT count(*), sum(x), max(owner) FROM secrets") == [
                ("300", "300", "'u1'")
            ]
            assert answer(reader, "SELECT count(*) FROM secrets WHERE 6 / x > 1") == [("300",)]
    rows.execute("DROP TABLE secrets")
    rows.execute("REVOKE USAGE ON SCHEMA columnar FROM col_reader")
    rows.execute("DROP ROLE col_reader")


def test_cancel(forms: tuple[Any, Any]) -> None:
    """A running column program ends when it is cancelled, and the next one runs."""
    _, columns = forms
    query = "SELECT count(*) FROM c x, c y, c z WHERE x.g + y.g + z.g = -1"
    thread = threading.Timer(0.3, columns.cancel)
    thread.start()
    start = time.monotonic()
    with pytest.raises(psycopg.errors.QueryCanceled):
        columns.execute(query)
    thread.join()
    assert time.monotonic() - start < 20
    assert columns.execute("SELECT sum(g) FROM c").fetchone() is not None


def test_open_cursors_hold_nobody_up(server: Server, forms: tuple[Any, Any]) -> None:
    """More half-read results than queries may run at once."""
    _, columns = forms
    columns.execute("CREATE TABLE long AS SELECT i, i % 10 AS k FROM generate_series(1, 60000) i")
    columns.execute("ANALYZE long")
    readers = [psycopg.connect(server.conninfo()) for _ in range(4)]
    try:
        for reader in readers:
            reader.execute("SET search_path = columnar")
            reader.execute("SET helios.column_programs = on")
            reader.execute("DECLARE c CURSOR FOR SELECT i, k FROM long ORDER BY k, i")
            assert reader.execute("FETCH 2 FROM c").fetchall() == [(10, 0), (20, 0)]
        assert columns.execute("SELECT sum(k) FROM long").fetchone() == (270000,)
        for reader in readers:
            assert len(reader.execute("FETCH ALL FROM c").fetchall()) == 59998
    finally:
        for reader in readers:
            reader.close()
    columns.execute("DROP TABLE long")


def test_random_queries(forms: tuple[Any, Any]) -> None:
    """The generator that PostgreSQL is compared with: rows against columns."""
    rows, columns = forms
    rows.execute("CREATE SCHEMA columnar_random")
    for each in forms:
        each.execute("SET search_path = columnar_random")
    for statement in random_sql.SCHEMA:
        rows.execute(statement.replace("n numeric", "n numeric(8,2)"))
    queries = random_sql.Queries(SEED)
    for _ in range(RANDOM_QUERIES):
        query = queries.query()
        assert answer(columns, query) == answer(rows, query), f"seed {SEED}: {query}"
    rows.execute("DROP SCHEMA columnar_random CASCADE")
    for each in forms:
        each.execute("SET search_path = columnar")
