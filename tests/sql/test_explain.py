"""EXPLAIN: the plans that short statements must have, and its formats."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psycopg
import pytest

from tests.server import Server


@pytest.fixture(scope="module")
def connection(server: Server) -> Iterator[psycopg.Connection]:
    """A session with a table of every kind of access path."""
    with psycopg.connect(server.conninfo(), autocommit=True) as made:
        made.execute("DROP SCHEMA IF EXISTS explained CASCADE")
        made.execute("CREATE SCHEMA explained")
        made.execute("SET search_path = explained")
        made.execute("CREATE TABLE t (id int PRIMARY KEY, k int, s text, f float8)")
        made.execute(
            "INSERT INTO t SELECT g, g % 100, 's' || g, g / 2.0 FROM generate_series(1, 3000) g"
        )
        made.execute("CREATE INDEX t_k ON t (k)")
        made.execute("CREATE INDEX t_s ON t (lower(s))")
        made.execute("CREATE INDEX t_part ON t (f) WHERE k > 50")
        made.execute("ALTER TABLE t ADD COLUMN w text")
        made.execute("UPDATE t SET w = 'w' || id")
        made.execute("CREATE INDEX t_w ON t (w)")
        made.execute("CREATE TABLE u (id int PRIMARY KEY, t_id int REFERENCES t)")
        made.execute("INSERT INTO u SELECT g, g FROM generate_series(1, 50) g")
        made.execute("ANALYZE")
        yield made


def plan(connection: psycopg.Connection, statement: str) -> str:
    return "\n".join(row[0] for row in connection.execute(f"EXPLAIN (COSTS OFF) {statement}"))


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT * FROM t WHERE id = 5", "Index Scan using t_pkey on t"),
        ("SELECT * FROM t WHERE id IN (1, 2)", "Index Scan using t_pkey on t"),
        ("SELECT * FROM t WHERE id BETWEEN 5 AND 9", "Index Scan using t_pkey on t"),
        ("SELECT * FROM t WHERE k = 5", "Index Scan using t_k on t"),
        ("SELECT * FROM t WHERE lower(s) = 's7'", "Index Scan using t_s on t"),
        ("SELECT * FROM t WHERE f > 1400 AND k > 60", "Index Scan using t_part on t"),
        ("SELECT * FROM t WHERE f > 10 OR k = 1", "Seq Scan on t"),
        ("SELECT * FROM t WHERE w LIKE 'w12%'", "Index Scan using t_w on t"),
        ("SELECT * FROM t WHERE w LIKE '%w12'", "Seq Scan on t"),
        ("SELECT * FROM t ORDER BY id DESC LIMIT 1", "Seq Scan Backward on t"),
        ("SELECT * FROM t ORDER BY s LIMIT 1", "Sort"),
        ("SELECT u.id FROM u JOIN t ON t.id = u.t_id", "Index Scan using t_pkey on t"),
        ("SELECT count(*) FROM t a JOIN t b ON a.f = b.f", "Hash Join"),
        ("SELECT k, count(*) FROM t GROUP BY k", "HashAggregate"),
        ("SELECT max(k) FROM t", "Index Scan Backward using t_k on t"),
        ("UPDATE t SET f = 0 WHERE id = 3", "Update on t"),
    ],
)
def test_access_paths(connection: psycopg.Connection, statement: str, expected: str) -> None:
    """The node that must be in the plan."""
    assert expected in plan(connection, statement)


def test_analyze_counts_rows(connection: psycopg.Connection) -> None:
    lines = [
        row[0]
        for row in connection.execute(
            "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT * FROM t WHERE k = 5"
        )
    ]
    assert "(actual rows=30 loops=1)" in lines[0]
    assert any(line.startswith("Execution Time:") for line in lines)


def test_analyze_runs_the_statement(connection: psycopg.Connection) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute("EXPLAIN ANALYZE DELETE FROM u")
        assert connection.execute("SELECT count(*) FROM u").fetchone() == (0,)


def test_json(connection: psycopg.Connection) -> None:
    found = connection.execute("EXPLAIN (FORMAT JSON) SELECT * FROM t WHERE id = 1").fetchone()
    assert found is not None
    document = found[0] if not isinstance(found[0], str) else json.loads(found[0])
    node = document[0]["Plan"]
    assert node["Node Type"] == "Index Scan"
    assert node["Index Name"] == "t_pkey"


def test_documents_have_the_words_that_tools_look_for(connection: psycopg.Connection) -> None:
    """Types, strategies and relationships of nodes, times and rows of each."""
    query = "SELECT k, count(*) FROM t JOIN u ON t.f = u.t_id GROUP BY k ORDER BY k"
    found = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}").fetchone()
    assert found is not None
    document = found[0] if not isinstance(found[0], str) else json.loads(found[0])
    sort = document[0]["Plan"]
    assert (sort["Node Type"], sort["Sort Key"]) == ("Sort", ["t.k"])
    (aggregate,) = sort["Plans"]
    assert (aggregate["Node Type"], aggregate["Strategy"]) == ("Aggregate", "Hashed")
    assert aggregate["Parent Relationship"] == "Outer"
    (join,) = aggregate["Plans"]
    assert (join["Node Type"], join["Join Type"]) == ("Hash Join", "Inner")
    assert [p["Parent Relationship"] for p in join["Plans"]] == ["Outer", "Inner"]
    times = [n["Actual Total Time"] for n in (sort, aggregate, join, join["Plans"][0])]
    assert times == sorted(times, reverse=True)
    assert all(n["Actual Loops"] == 1 for n in (sort, aggregate, join))
    assert document[0]["Execution Time"] > 0


def test_settings(connection: psycopg.Connection) -> None:
    """Those that planning looks at and that are not the default."""
    with connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL work_mem = '7MB'")
        lines = [row[0] for row in connection.execute("EXPLAIN (SETTINGS) SELECT 1")]
    assert "work_mem = '7MB'" in lines[-1]


def test_column_programs_show_their_sql(connection: psycopg.Connection) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL helios.column_programs = 'on'")
        query = "SELECT k, count(*) FROM t GROUP BY k"
        lines = [row[0] for row in connection.execute(f"EXPLAIN (ANALYZE, VERBOSE) {query}")]
    assert lines[0].startswith("Custom Scan (Columns)")
    assert "rows=100 loops=1" in lines[0]
    assert any("Column Program: SELECT" in line for line in lines)
    assert any("(never executed)" in line for line in lines)


def test_verbose_shows_the_program_without_text_of_the_user(
    connection: psycopg.Connection,
) -> None:
    """S-23: literals and names sit in slots."""
    statement = "EXPLAIN VERBOSE SELECT s AS \"evil name\" FROM t WHERE s = 'import os'"
    lines = [row[0] for row in connection.execute(statement)]
    source = "\n".join(lines[lines.index("Row Program:") :])
    assert "def p1" in source
    assert "import os" not in source
    assert "evil" not in source


@pytest.mark.parametrize(
    ("statement", "sqlstate"),
    [
        ("EXPLAIN (NONSENSE) SELECT 1", "42601"),
        ("EXPLAIN (FORMAT SMOKE) SELECT 1", "22023"),
        ("EXPLAIN (TIMING) SELECT 1", "22023"),
    ],
)
def test_refused_options(connection: psycopg.Connection, statement: str, sqlstate: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(statement)
    assert caught.value.sqlstate == sqlstate
