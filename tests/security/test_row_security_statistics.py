"""What plans, sizes and statistics tell of rows that policies hide: nothing (S-21).

CVE-2017-7484, 2019-10130, 2024-4317, 2025-8713: two databases with the same visible rows and
different hidden ones must look the same to a role that policies restrict.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.security.explained import explain
from tests.server import PASSWORD, Server

Connection = psycopg.Connection[tuple[Any, ...]]
Pair = tuple[Connection, Connection]

SCHEMA = """
    create table t (id int primary key, k int, s text, f float8, grp int);
    insert into t select i, i, 'v' || i, i, 1 from generate_series(1, 40) i;
    insert into t select i + 100, {hidden}, 2 from generate_series(1, {count}) i;
    create index t_k on t (k);
    create index t_s on t (s);
    create table u (id int primary key, t_id int);
    insert into u select i, i from generate_series(1, 50) i;
    create view barrier with (security_barrier) as select id, k, s, f from t where grp = 1;
    alter table t enable row level security;
    create policy p on t using (grp = 1);
    create table rights (who text, level int);
    insert into rights select 'x', i from generate_series(1, {count}) i;
    create table v (id int primary key, level int);
    insert into v select i, i from generate_series(1, 20) i;
    alter table v enable row level security;
    create policy p on v using (level < 15 or level in (select level from rights where who = 'y'));
    grant select, update, delete on t, u, v, rights, barrier to stat_snoop;
"""

HIDDEN = (
    ("7, 'v7', 0.5", 900),
    ("i % 300 + 500, 'w' || i, i * 3.5", 980),
)

STATEMENTS = (
    "select * from t",
    "select count(*) from t",
    "select min(k), max(k) from t",
    "select * from t where k = 7",
    "select * from t where k > 400",
    "select * from t where k between 3 and 9",
    "select * from t where s = 'v7'",
    "select * from t where s like 'w%'",
    "select * from t where f < 10.5",
    "select * from t where k in (7, 8, 9)",
    "select * from t where k is null",
    "select * from t where id = 5",
    "select k, count(*) from t group by k",
    "select distinct s from t",
    "select * from t order by k limit 5",
    "select * from t order by s",
    "select * from t join u on u.t_id = t.id",
    "select * from t join u on u.t_id = t.k where t.s > 'v3'",
    "select * from u where exists (select 1 from t where t.k = u.id)",
    "select * from u left join t on t.k = u.id and t.f > 3",
    "select * from t a join t b on a.k = b.k",
    "select * from barrier where k = 7",
    "select * from barrier where f < 100",
    "select * from barrier join u on u.t_id = barrier.k",
    "select * from v",
    "update t set f = 1 where k = 7",
    "delete from t where k > 300",
    "select * from t where k = 7 for update",
    "with q as (select * from t where k > 5) select count(*) from q",
    "select sum(f) over (partition by k) from t",
)


@pytest.fixture(scope="module")
def pair(server: Server) -> Iterator[Pair]:
    """The role's connections to both databases."""
    with server.connect() as root:
        root.execute(f"create role stat_snoop login password '{PASSWORD}'")
        for number in (1, 2):
            root.execute(f"create database hidden{number}")
    for number, (hidden, count) in enumerate(HIDDEN, 1):
        with server.connect(dbname=f"hidden{number}") as root:
            for statement in SCHEMA.format(hidden=hidden, count=count).split(";\n"):
                root.execute(statement)
            for table in ("t", "u", "v", "rights"):
                root.execute(f"analyze {table}")
    with (
        server.connect(dbname="hidden1", user="stat_snoop", password=PASSWORD) as one,
        server.connect(dbname="hidden2", user="stat_snoop", password=PASSWORD) as two,
    ):
        yield one, two
    for number in (1, 2):
        with server.connect(dbname=f"hidden{number}") as root:
            root.execute("drop owned by stat_snoop")
    with server.connect() as root:
        root.execute("drop role stat_snoop")


@pytest.mark.parametrize("options", ["", "(format yaml)", "(costs off)"])
def test_plans_are_equal(pair: Pair, options: str) -> None:
    for statement in STATEMENTS:
        one, two = (explain(each, statement, options) for each in pair)
        assert one == two, statement


def test_the_plans_of_who_sees_all_differ(server: Server, pair: Pair) -> None:
    """Else the test above shows nothing."""
    plans = []
    for name in ("hidden1", "hidden2"):
        with server.connect(dbname=name) as root:
            plans.append([explain(root, statement) for statement in STATEMENTS])
    assert sum(a != b for a, b in zip(*plans, strict=True)) > len(STATEMENTS) // 2


@pytest.mark.parametrize(
    "question",
    [
        "select * from pg_stats where tablename = 't'",
        "select relname, reltuples, relpages from pg_class where relname like 't%' order by 1",
        "select n_live_tup from pg_stat_user_tables where relname = 't'",
        "select pg_table_size('t'), pg_relation_size('t_k'), pg_total_relation_size('t')",
    ],
)
def test_statistics_are_equal(pair: Pair, question: str) -> None:
    one, two = (each.execute(question).fetchall() for each in pair)
    assert one == two


def test_statistics_of_other_tables_show(pair: Pair) -> None:
    for each in pair:
        rows = each.execute("select distinct tablename from pg_stats where schemaname = 'public'")
        assert sorted(rows.fetchall()) == [("rights",), ("u",)]


def test_pg_statistic_is_closed(pair: Pair) -> None:
    for each in pair:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            each.execute("select * from pg_statistic")
