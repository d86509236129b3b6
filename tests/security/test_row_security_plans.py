"""Plans and policies of the wrong role: what PostgreSQL's CVEs of this kind were about.

CVE-2016-2193, 2023-2455, 2024-10976 and 2026-14666: a plan made for one role was run for another.
CVE-2026-6460 and 2026-16239: a row was read in another shape than it was written in.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.server import PASSWORD, Server

Connection = psycopg.Connection[tuple[Any, ...]]

SCHEMA = """
    create role pl_ann;
    create role pl_bob;
    create role pl_team;
    create role pl_login login password '{password}';
    grant pl_ann, pl_bob to pl_login;
    grant pl_team to pl_bob;
    create table t (id int primary key, owner text, n int);
    insert into t values (1, 'pl_ann', 10), (2, 'pl_bob', 20), (3, 'pl_ann', 30), (4, 'x', 40);
    create table log (who text);
    alter table t enable row level security;
    create policy own on t using (owner = current_user);
    create policy team on t for select to pl_team using (n = 40);
    grant select, insert, update, delete on t to pl_ann, pl_bob, pl_team;
    create view as_owner as select id from t where n > 0;
    create view as_invoker with (security_invoker) as select id from t where n > 0;
    create view as_ann as select id from t;
    alter view as_ann owner to pl_ann;
    grant select on as_owner, as_invoker, as_ann to pl_ann, pl_bob;
    create function seen() returns bigint language sql stable as 'select count(*) from t';
    create function seen_ann() returns bigint language sql stable security definer
      as 'select count(*) from t';
    alter function seen_ann() owner to pl_ann;
    create function rows_of() returns setof int language sql stable as 'select id from t';
"""

# What each role gets of each query.
QUERIES = {
    "select id from t order by id": ([1, 3], [2, 4]),
    "with q as (select id from t) select * from q order by id": ([1, 3], [2, 4]),
    "with q as materialized (select id from t) select * from q order by id": ([1, 3], [2, 4]),
    "select id from (select * from t offset 0) q order by id": ([1, 3], [2, 4]),
    "select (select count(*) from t)": ([2], [2]),
    "select (select max(id) from t)": ([3], [4]),
    "select 1 where exists (select from t where id = 4)": ([], [1]),
    "select g from generate_series(1, 4) g where g in (select id from t)": ([1, 3], [2, 4]),
    "select q.id from generate_series(1, 4) g, lateral (select id from t where id = g) q": (
        [1, 3],
        [2, 4],
    ),
    "select id from t where id = 2 union all select id from t where id = 3": ([3], [2]),
    "select id from as_owner order by id": ([1, 2, 3, 4], [1, 2, 3, 4]),
    "select id from as_invoker order by id": ([1, 3], [2, 4]),
    "select max(id) from t": ([3], [4]),
    "select seen()": ([2], [2]),
    "select seen_ann()": ([2], [2]),
    "select rows_of()": ([1, 3], [2, 4]),
    "select * from rows_of() order by 1": ([1, 3], [2, 4]),
    "with q as (update t set n = n returning id) select * from q order by id": ([1, 3], [2]),
    "select id from t order by id for update": ([1, 3], [2]),
}


@pytest.fixture
def login(server: Server) -> Iterator[Connection]:
    """A session of a role that may become either of two."""
    with server.connect() as root:
        root.execute("create database plans")
    try:
        with server.connect(dbname="plans") as root:
            for statement in SCHEMA.format(password=PASSWORD).split(";\n"):
                root.execute(statement)
        with server.connect(dbname="plans", user="pl_login", password=PASSWORD) as connection:
            yield connection
    finally:
        with server.connect() as root:
            root.execute("drop database plans with (force)")
            root.execute("drop role pl_ann, pl_bob, pl_team, pl_login")


def ids(connection: Connection, query: str, *, prepare: bool = False) -> list[Any]:
    """The first column of a query's rows."""
    return [row[0] for row in connection.execute(query, prepare=prepare).fetchall()]


def test_cve_2016_2193_prepared_as_one_role_run_as_another(login: Connection) -> None:
    for number, (query, (ann, bob)) in enumerate(QUERIES.items()):
        login.execute("set role pl_ann")
        login.execute(f"prepare s{number} as {query}")
        for role, expected in (("pl_ann", ann), ("pl_bob", bob), ("pl_ann", ann)) * 3:
            login.execute(f"set role {role}")
            assert ids(login, f"execute s{number}") == expected, (role, query)
        login.execute("reset role")


def test_cve_2024_10976_protocol_level_prepared_statements(login: Connection) -> None:
    for query, (ann, bob) in QUERIES.items():
        for role, expected in (("pl_bob", bob), ("pl_ann", ann)) * 3:
            login.execute(f"set role {role}")
            assert ids(login, query, prepare=True) == expected, (role, query)


def test_cve_2023_2455_functions_run_as_whom_they_say(login: Connection) -> None:
    for role in ("pl_ann", "pl_bob", "pl_ann"):
        login.execute(f"set role {role}")
        assert ids(login, "select count(*) from t") == [2]
        assert ids(login, "select seen_ann()") == [2]
        assert ids(login, "select sum(id) from t") == [4 if role == "pl_ann" else 6]
        # Below the view it is its owner's policies that hold, `current_user` is who asks.
        assert ids(login, "select count(*) from as_ann") == [2 if role == "pl_ann" else 1]


def test_cve_2026_14666_cursors_keep_the_role_that_opened_them(login: Connection) -> None:
    login.execute("begin")
    login.execute("set local role pl_ann")
    login.execute("declare c cursor for select id from t order by id")
    assert ids(login, "fetch 1 from c") == [1]
    login.execute("set local role pl_bob")
    assert ids(login, "fetch all from c") == [3]
    assert ids(login, "select id from t order by id") == [2, 4]
    login.execute("rollback")


def test_a_policy_holds_from_the_next_execution(server: Server, login: Connection) -> None:
    login.execute("set role pl_bob")
    login.execute("prepare s as select id from t order by id")
    assert ids(login, "execute s") == [2, 4]
    with server.connect(dbname="plans") as root:
        root.execute("alter policy team on t using (n = 30)")
        assert ids(login, "execute s") == [2, 3]
        root.execute("revoke pl_team from pl_bob")
        assert ids(login, "execute s") == [2]
        root.execute("drop policy own on t")
        assert ids(login, "execute s") == []
        root.execute("alter table t disable row level security")
        assert ids(login, "execute s") == [1, 2, 3, 4]
        root.execute("alter table t enable row level security")
        root.execute("alter role pl_bob bypassrls")
        assert ids(login, "execute s") == [1, 2, 3, 4]
        root.execute("alter role pl_bob nobypassrls")
        assert ids(login, "execute s") == []


def test_row_security_off_between_executions(login: Connection) -> None:
    login.execute("set role pl_ann")
    login.execute("prepare s as select id from t order by id")
    assert ids(login, "execute s") == [1, 3]
    login.execute("set row_security = off")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        login.execute("execute s")
    login.execute("reset row_security")
    assert ids(login, "execute s") == [1, 3]


def test_cve_2017_15099_arbiters_take_select_and_its_policies(
    server: Server, login: Connection
) -> None:
    with server.connect(dbname="plans") as root:
        root.execute("revoke select on t from pl_ann")
        root.execute("create policy put on t for insert to pl_ann with check (true)")
    login.execute("set role pl_ann")
    login.execute("insert into t values (7, 'pl_ann', 1)")
    for target in ("(id)", "on constraint t_pkey"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            login.execute(f"insert into t values (2, 'pl_ann', 1) on conflict {target} do nothing")


def test_cve_2014_8161_2021_3393_no_value_in_an_error(login: Connection, server: Server) -> None:
    with server.connect(dbname="plans") as root:
        root.execute("create unique index on t (n)")
        root.execute("alter table t add check (n < 1000), alter n set not null")
    login.execute("set role pl_ann")
    for statement in (
        "insert into t values (9, 'pl_ann', 20)",
        "insert into t values (2, 'pl_ann', 99)",
        "update t set n = 40 where id = 1",
        "update t set n = 4000 where id = 1",
        "update t set n = null where id = 1",
        "insert into t values (9, 'pl_bob', 12345)",
    ):
        with pytest.raises(psycopg.Error) as caught:
            login.execute(statement)
        assert caught.value.diag.message_detail is None, statement
        assert "12345" not in str(caught.value)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("update t set n = 99 where id = 1 returning id", []),
        ("update t set n = n + 1 returning id", [(3,)]),
        ("delete from t where id = 1 returning id", []),
        ("select id from t where id = 1 for update", []),
        ("select id from t order by id for share", [(3,)]),
        ("merge into t using (values (1)) s (i) on i = id when matched then delete", "MERGE 0"),
        ("insert into t values (1, 'pl_ann', 1) on conflict (id) do update set n = 2", "42501"),
    ],
)
def test_a_row_hidden_while_its_lock_is_awaited(
    server: Server, login: Connection, statement: str, expected: Any
) -> None:
    """The newest version is asked, by policies too."""
    login.execute("set role pl_ann")
    answer: list[Any] = []

    def run() -> None:
        try:
            cursor = login.execute(statement)
            rows = cursor.description is not None
            answer.append(cursor.fetchall() if rows else cursor.statusmessage)
        except psycopg.Error as error:
            answer.append(error.sqlstate)

    with server.connect(dbname="plans") as root:
        root.execute("begin")
        root.execute("update t set owner = 'pl_bob' where id = 1")
        waiting = threading.Thread(target=run)
        waiting.start()
        root.execute("commit")
        waiting.join(20)
        assert answer == [expected]
        rows = root.execute("select owner, n from t where id = 1").fetchall()
        assert rows == [("pl_bob", 10)]


@pytest.mark.parametrize(
    "change",
    [
        "alter table s alter b type text using b::text",
        "alter table s drop column b",
        "alter table s add column c int default 5",
        "truncate s",
        "drop table s",
        "alter type pair alter attribute y type text",
        "alter type pair add attribute z int",
        "alter type pair drop attribute x",
    ],
)
def test_cve_2026_6460_16239_no_change_between_declare_and_fetch(
    server: Server, change: str
) -> None:
    with server.connect() as root:
        root.execute("create type pair as (x int, y int)")
        root.execute("create table s (a int primary key, b int)")
        try:
            root.execute("insert into s select i, i from generate_series(1, 2000) i")
            root.execute("begin")
            root.execute("declare c cursor for select *, row(a, b)::pair from s order by a")
            assert root.execute("fetch 1 from c").fetchall() == [(1, 1, "(1,1)")]
            with pytest.raises(psycopg.errors.ObjectInUse):
                root.execute(change)
            root.execute("rollback")
            root.execute("begin")
            root.execute("declare c cursor for select *, row(a, b)::pair from s order by a")
            root.execute("close c")
            root.execute(change)
            root.execute("rollback")
        finally:
            root.execute("drop table s")
            root.execute("drop type pair")
