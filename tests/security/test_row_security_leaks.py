"""Leaky expressions in 240 query shapes meet only rows that the role may see (S-20, CVE-2017-7484).

Each predicate fails on the hidden rows, so its error would tell of them. A shape is asked of a
table under a policy and of a security barrier view; both must answer as a table that never held
the hidden rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from heliosd.functions.builtin import FUNCTIONS
from heliosd.functions.registry import SqlFunction
from heliosd.types.builtin import TYPES
from tests.security.explained import explain
from tests.server import PASSWORD, Server

Connection = psycopg.Connection[tuple[Any, ...]]

SCHEMA = """
    create table vault (id int primary key, tag text, num int, amount numeric, grp int);
    insert into vault select i, case when i % 3 = 0 then 'hidden-' || i else i::text end,
      case when i % 3 = 0 then 0 else i end, i, case when i % 3 = 0 then 2 else 1 end
      from generate_series(1, 30) i;
    create index on vault (tag);
    create index on vault (amount);
    create index on vault (grp, num);
    create table side (id int primary key, vid int, note text);
    insert into side select i, i * 2, 'note ' || i from generate_series(1, 20) i;
    create table seen as select * from vault where grp = 1;
    alter table seen add primary key (id);
    create view sealed with (security_barrier) as select * from vault where grp = 1;
    alter table vault enable row level security;
    create policy p on vault using (grp = 1);
    create role snoop login password '{password}';
    grant select, insert, update, delete on vault, side, seen, sealed to snoop;
"""

PREDICATES = (
    "v.tag::int > 0",
    "100 / v.num > 0",
    "v.tag::numeric between 1 and 50",
    "ln(v.num) >= 0",
    "v.id * (2147483647 / 30) / v.num > 0",
    "('{' || v.tag || '}')::int[] is not null",
    "v.num % v.num = 0",
    "sqrt(v.num - 1) >= 0 and 1 / v.num >= 0",
)

SHAPES = (
    "select v.id from {v} v where {p} order by 1",
    "select v.id from {v} v where v.id = 3 and {p}",
    "select v.id from {v} v where v.id between 2 and 9 and {p} order by 1",
    "select v.id from {v} v where v.tag = 'hidden-3' and {p}",
    "select v.id from {v} v where v.id in (3, 4, 6) and {p} order by 1",
    "select v.id from {v} v where not ({p}) or v.id < 5 order by 1",
    "select v.id, s.id from {v} v join side s on s.vid = v.id and {p} order by 1, 2",
    "select v.id, s.id from side s left join {v} v on s.vid = v.id and {p} order by 2, 1",
    "select v.id, s.id from {v} v right join side s on s.id = v.id where {p} order by 1, 2",
    "select v.id, s.id from {v} v full join side s on s.id = v.id and {p} order by 1, 2 offset 0",
    (
        "select s.id from side s where exists (select 1 from {v} v where v.id = s.vid and {p})"
        " order by 1"
    ),
    "select s.id from side s where s.vid in (select v.id from {v} v where {p}) order by 1",
    "select s.id from side s where s.vid not in (select v.id from {v} v where {p}) order by 1",
    "select s.id, (select max(v.num) from {v} v where v.id <= s.id and {p}) from side s order by 1",
    (
        "select s.id, q.id from side s, lateral (select * from {v} v where v.id = s.id and {p}) q"
        " order by 1"
    ),
    "with q as (select * from {v}) select v.id from q v where {p} order by 1",
    "with q as materialized (select * from {v} v where {p}) select count(*) from q",
    (
        "with recursive q(id) as (select 1 union all select q.id + 1 from q"
        " join {v} v on v.id = q.id + 1 where {p}) select * from q order by 1"
    ),
    "select count(*) from (select v.id from {v} v where {p} union all select id from side) q",
    "select v.grp, count(*) from {v} v where {p} group by v.grp having count(*) > 0",
    "select ({p}) as test, count(*) from {v} v group by 1 order by 1",
    "select v.id from {v} v order by ({p}), 1 limit 5",
    "select distinct ({p}) from {v} v",
    "select count(*) filter (where {p}), sum(v.num) from {v} v",
    "select v.id, count(*) over (partition by ({p})) from {v} v order by 1",
    "select case when {p} then v.id else 0 end from {v} v order by 1",
    "select v.id from (select * from {v} v where {p} offset 0) v where v.num > 1 order by 1",
    "select a.id, v.id from {v} a join {v} v on a.num = v.num and {p} order by 1",
    "select s.id from side s join {v} v on s.vid = v.tag::int where {p} order by 1",
    "select max(v.amount), min(v.amount) from {v} v where {p}",
)


@pytest.fixture(scope="module")
def snoop(server: Server) -> Iterator[Connection]:
    """A role that may see two rows in three."""
    name = "leaks"
    with server.connect() as root:
        root.execute(f"create database {name}")
    with server.connect(dbname=name) as root:
        for statement in SCHEMA.format(password=PASSWORD).split(";\n"):
            root.execute(statement)
        root.execute("analyze vault")
    with server.connect(dbname=name, user="snoop", password=PASSWORD) as connection:
        yield connection
    with server.connect(dbname=name) as root:
        root.execute("drop owned by snoop")
        root.execute("drop role snoop")


@pytest.mark.parametrize("predicate", PREDICATES)
def test_each_predicate_would_tell(server: Server, snoop: Connection, predicate: str) -> None:
    with server.connect(dbname="leaks") as root, pytest.raises(psycopg.errors.DataError):
        root.execute(f"select id from vault v where {predicate}")


@pytest.mark.parametrize("predicate", PREDICATES)
def test_shapes(snoop: Connection, predicate: str) -> None:
    assert len(SHAPES) * len(PREDICATES) >= 200
    check_shapes(snoop, predicate)


@pytest.mark.parametrize(
    "predicate",
    [
        PREDICATES[1],
        *(pytest.param(p, marks=pytest.mark.soak) for p in PREDICATES if p != PREDICATES[1]),
    ],
)
def test_shapes_over_columns(snoop: Connection, predicate: str) -> None:
    """The same in column programs, wherever these can run them."""
    snoop.execute("set helios.column_programs = on")
    try:
        check_shapes(snoop, predicate)
    finally:
        snoop.execute("reset helios.column_programs")


def check_shapes(snoop: Connection, predicate: str) -> None:
    """Nothing but the rows that may be seen has been asked."""
    for shape in SHAPES:
        expected = snoop.execute(shape.format(v="seen", p=predicate)).fetchall()
        for guarded in ("vault", "sealed"):
            text = shape.format(v=guarded, p=predicate)
            try:
                assert snoop.execute(text).fetchall() == expected, text
            except psycopg.Error as error:
                pytest.fail(f"{text}\n{error}")


CHANGES = (
    "update {v} v set num = v.num where {p} returning v.id",
    "update {v} v set num = v.num + 1 where v.id < 20 and {p} returning v.id, num",
    "delete from {v} v where {p} returning v.id",
    "delete from {v} v using side s where s.id = v.id and {p} returning v.id",
    "update {v} v set num = s.id from side s where s.vid = v.id and {p} returning v.id",
    "select v.id from {v} v where {p} for update",
    "select v.id from {v} v where v.id = 3 and {p} for no key update",
    "insert into side select v.id + 100, v.num, 'x' from {v} v where {p} returning id",
    "with q as (delete from {v} v where {p} returning v.id) select id from q",
)


@pytest.mark.parametrize("predicate", PREDICATES)
def test_changes(snoop: Connection, predicate: str) -> None:
    for shape in CHANGES:
        answers = []
        for table in ("seen", "vault", "sealed"):
            if table == "sealed" and "for " in shape and "update" in shape.split("for ")[-1]:
                continue
            text = shape.format(v=table, p=predicate)
            snoop.execute("begin")
            try:
                answers.append(sorted(snoop.execute(text).fetchall()))
            except psycopg.Error as error:
                pytest.fail(f"{text}\n{error}")
            finally:
                snoop.execute("rollback")
        assert all(each == answers[0] for each in answers), shape


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        ("id = 3", True),
        ("tag = 'hidden-3'", True),
        ("grp = 1 and num = 5", True),
        ("amount = 3", False),
        ("amount > 3 and amount < 9", False),
    ],
)
def test_only_leakproof_operators_choose_the_range(
    snoop: Connection, condition: str, index: bool
) -> None:
    """numeric's operators are not leakproof in PostgreSQL 15, integer's and text's are."""
    plan = explain(snoop, f"select * from vault where {condition}")
    ranges = [line for line in plan.splitlines() if "Index Cond" in line]
    assert any(condition.split()[0] in line for line in ranges) is index, plan


def test_leakproof_is_what_postgres_says(server: Server, postgres_dsn: str) -> None:
    """Functions, and the operators and casts that call them."""
    query = "select oid::int, proleakproof from pg_proc where oid < 8000"
    with server.connect() as ours, psycopg.connect(postgres_dsn) as theirs:
        known: dict[int, bool] = dict(theirs.execute(query).fetchall())
        shown: dict[int, bool] = dict(ours.execute(query).fetchall())
    assert {oid for oid in shown if shown[oid] != known.get(oid)} == set()
    functions = [f for f in FUNCTIONS.by_oid.values() if isinstance(f, SqlFunction)]
    declared = {f.oid: f.leakproof for f in functions if 0 < f.oid < 8000}
    assert {oid for oid, leakproof in declared.items() if leakproof != known[oid]} == set()
    called = {o.function_oid: o.leakproof for o in TYPES.operators_by_oid.values()}
    assert {oid for oid, leakproof in called.items() if leakproof != known.get(oid)} == set()


def test_prepared_parameters(snoop: Connection) -> None:
    for _ in range(8):
        rows = snoop.execute(
            "select id from vault where %s / num >= 0 and id < 10 order by 1", (100,), prepare=True
        ).fetchall()
        assert rows == [(1,), (2,), (4,), (5,), (7,), (8,)]
