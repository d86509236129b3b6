"""PostgreSQL's CVEs on privileges: column rights, error details, whose code runs, missed checks.

Each test is the attack of the record (or its nearest kin in what exists here), and must fail as
PostgreSQL's fixed versions make it fail. Names and identities have theirs in
test_privileges_attacks.
"""

from __future__ import annotations

import psycopg
import pytest

from tests.security.attack_stage import Stage, refused

# -- column rights and error details (CVE-2014-8161, -2017-15099, -2021-3393, -2021-20229) --------


def test_cve_2014_8161_and_2021_3393_errors_show_no_unreadable_column(stage: Stage) -> None:
    stage.role("writer")
    stage.run("create table t (id int primary key, secret text not null check (secret <> 'bad'))",
              "insert into t values (1, 'hidden')", "grant insert, update on t to writer",
              "grant select (id) on t to writer")  # fmt: skip
    writer = stage.login("writer")
    for statement in (
        "insert into t values (1, 'mine')",
        "insert into t values (2, 'bad')",
        "update t set secret = null where id = 1",
        "update t set secret = 'bad' where id = 1",
    ):
        with pytest.raises(psycopg.Error) as caught:
            writer.execute(statement)
        told = f"{caught.value.diag.message_primary} {caught.value.diag.message_detail}"
        assert "hidden" not in told, told


def test_cve_2017_15099_the_arbiter_needs_select(stage: Stage) -> None:
    stage.role("writer")
    stage.run("create table t (id int primary key, a int)", "insert into t values (1, 1)",
              "grant insert, update on t to writer")  # fmt: skip
    writer = stage.login("writer")
    refused(writer, "insert into t values (1) on conflict (id) do update set a = 2")
    refused(writer, "insert into t values (1) on conflict (id) do nothing")
    refused(writer, "insert into t values (1) on conflict on constraint t_pkey do update set a = 2")
    stage.run("grant select (id) on t to writer")
    writer.execute("insert into t values (1) on conflict (id) do update set a = 2")
    refused(writer, "insert into t values (1) on conflict (id) do update set a = t.a + 1")
    refused(writer, "insert into t values (1) on conflict (id) do update set a = excluded.a")


def test_cve_2021_20229_a_whole_row_needs_every_column(stage: Stage) -> None:
    stage.role("reader")
    stage.run("create table t (id int, secret text)", "grant select (id) on t to reader",
              "grant update (id) on t to reader", "insert into t values (1, 'hidden')")  # fmt: skip
    reader = stage.login("reader")
    for statement in (
        "select t from t",
        "select t.* from t",
        "select row_to_json(t) from t",
        "select count(t) from t",
        "select * from t natural join t as u",
        "select id from t where t is not null",
        "update t set id = 2 returning *",
        "update t set id = 2 returning t",
        "select max(secret) from t",
        "select id from t order by secret",
        "select id from t join (values ('hidden')) v(secret) using (secret)",
        "copy t to stdout",
        "copy t (secret) to stdout",
        "table t",
    ):
        refused(reader, statement)
    with reader.cursor().copy("copy t (id) to stdout") as copied:
        assert [bytes(each) for each in copied] == [b"1\n"]
    assert reader.execute("select id from t").fetchall() == [(1,)]


# -- code of others (CVE-2020-25695, CVE-2022-1552, CVE-2024-0985, S-16) --------------------------


def test_cve_2020_25695_upkeep_runs_no_user_function_as_the_maintainer(stage: Stage) -> None:
    """An index expression's function that grants itself rights when a superuser maintains the
    table: it runs as the table's owner or not at all."""
    stage.role("mallory")
    stage.run("create schema m authorization mallory")
    mallory = stage.login("mallory")
    mallory.execute("create table m.t (a int)")
    mallory.execute("insert into m.t values (1)")
    mallory.execute("create table m.seen (who text)")
    mallory.execute(
        "create function m.trap(int) returns int immutable language sql "
        "as $$ select case when current_user = 'mallory' then $1 else 1 / 0 end $$"
    )
    try:
        mallory.execute("create index on m.t (m.trap(a))")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("functions in index expressions are not built")
    for statement in (
        "analyze m.t", "vacuum m.t", "reindex table m.t", "cluster m.t using t_trap_idx",
        "insert into m.t values (2)",
    ):  # fmt: skip
        try:
            stage.run(statement)
        except psycopg.errors.DivisionByZero:
            # An INSERT by the superuser herself computes the key as herself, as in PostgreSQL.
            assert statement.startswith("insert"), statement
        except psycopg.errors.FeatureNotSupported:
            continue


@pytest.mark.parametrize("how", ["", "concurrently "])
def test_cve_2024_0985_refresh_runs_nothing_as_the_maintainer(stage: Stage, how: str) -> None:
    """A materialised view whose query and index call functions that tell who runs them."""
    stage.role("mallory")
    stage.run("create schema m authorization mallory")
    mallory = stage.login("mallory")
    mallory.execute("create table m.t (a int)")
    mallory.execute("insert into m.t values (1)")
    mallory.execute(
        "create function m.trap(int) returns int immutable language sql "
        "as $$ select case when current_user = 'mallory' then $1 else 1 / 0 end $$"
    )
    mallory.execute("create materialized view m.v as select m.trap(a) as a from m.t")
    mallory.execute("create unique index on m.v (a)")
    mallory.execute("create index on m.v (m.trap(a))")
    mallory.execute("insert into m.t values (2)")
    stage.run(f"refresh materialized view {how}m.v")
    assert mallory.execute("select a from m.v order by 1").fetchall() == [(1,), (2,)]
    stage.run("reindex table m.v", "analyze m.v", "vacuum m.v")
    # Who may not see the table cannot have the view filled with it either.
    stage.run("create table private (a int)", "grant select on private to mallory")
    mallory.execute("create materialized view m.p as select a from private")
    stage.run("revoke select on private from mallory")
    refused(stage.owner, "refresh materialized view m.p")


def test_nothing_outlasts_the_upkeep_of_another(stage: Stage) -> None:
    """What a REFRESH or an index runs can neither become somebody else nor leave a cursor, a
    temporary table or a prepared statement behind, to be run as the maintainer later."""
    stage.role("mallory")
    stage.run("create schema m authorization mallory")
    mallory = stage.login("mallory")
    mallory.execute("create function m.f() returns int language sql return 1")
    attempts = {
        "a": "set role none",
        "b": "declare c cursor with hold for select m.f()",
        "c": "create temp table trap (a int)",
        "d": "prepare trap as select m.f()",
        "e": "listen trap",
        "f0": "set session authorization default",
    }
    for name, body in attempts.items():
        mallory.execute(
            f"create function m.{name}() returns int language sql as '{body}; select 1'"
        )
        mallory.execute(f"create materialized view m.v{name} as select m.{name}() with no data")
        for connection in (stage.owner, mallory):
            refused(connection, f"refresh materialized view m.v{name}")
    assert stage.owner.execute("select name from pg_prepared_statements").fetchall() == []
    assert stage.owner.execute("select name from pg_cursors").fetchall() == []


def test_cve_2022_1552_checks_run_as_the_owner(stage: Stage) -> None:
    """Validating a constraint and rewriting a table call what the owner put there."""
    stage.role("mallory")
    stage.run("create schema m authorization mallory")
    mallory = stage.login("mallory")
    mallory.execute(
        "create function m.trap(int) returns bool immutable language sql "
        "as $$ select case when current_user = 'mallory' then true else 1 / 0 = 1 end $$"
    )
    mallory.execute("create table m.t (a int)")
    mallory.execute("insert into m.t values (1)")
    mallory.execute("alter table m.t add check (m.trap(a)) not valid")
    stage.run("alter table m.t validate constraint t_a_check")
    stage.run(
        "alter table m.t alter column a type int using a + 1", "create index on m.t (m.trap(a))"
    )


# -- missed checks (CVE-2025-12817, -2026-6470, -6469, -6472) --------------------------------------


def test_cve_2025_12817_statistics_need_create(stage: Stage) -> None:
    """CREATE STATISTICS did not check CREATE on the schema: here it is not built, so refused."""
    stage.role("mallory")
    stage.run("create schema m authorization mallory", "create schema other")
    mallory = stage.login("mallory")
    mallory.execute("create table m.t (a int, b int)")
    with pytest.raises(psycopg.Error) as caught:
        mallory.execute("create statistics other.s on a, b from m.t")
    assert caught.value.sqlstate in ("42501", "0A000")


def test_usage_on_types_is_checked_wherever_one_is_used(stage: Stage) -> None:
    """CVE-2026-6472 and its kin: a type without USAGE becomes part of nothing."""
    stage.role("mallory")
    stage.run("create type closed as enum ('a')", "revoke usage on type closed from public",
              "create schema m authorization mallory",
              "revoke usage on type int2 from public",
              "revoke usage on language sql from public")  # fmt: skip
    mallory = stage.login("mallory")
    mallory.execute("create table m.t (a int)")
    for statement in (
        "create table m.x (a closed)",
        "create table m.x (a closed[])",
        "alter table m.t add column b closed",
        "alter table m.t alter column a type closed using 'a'",
        "create domain m.d as closed",
        "create type m.c as (a closed)",
        "create function m.f(closed) returns int language sql return 1",
        "create function m.f() returns closed language sql return null",
        "create table m.x (a int2)",
        "create function m.f() returns int language sql return 1",
    ):
        refused(mallory, statement)


def test_create_is_checked_where_objects_move(stage: Stage) -> None:
    """CVE-2026-6470, -6469: CREATE on the schema that an object comes into, owner of what goes."""
    stage.role("mallory")
    stage.run("create schema m authorization mallory", "create schema other")
    mallory = stage.login("mallory")
    mallory.execute("create table m.t (a int primary key)")
    mallory.execute("create type m.e as enum ('a')")
    mallory.execute("create function m.f() returns int language sql return 1")
    for statement in (
        "alter table m.t set schema other",
        "alter table m.t set schema public",
        "alter type m.e set schema other",
        "alter function m.f() set schema other",
        "create table other.x (a int)",
        "create view other.x as select 1",
        "create table other.x as select 1",
        "create sequence other.s",
    ):
        refused(mallory, statement)


def test_cve_2026_14680_internal_is_no_argument(stage: Stage) -> None:
    """`internal` values cannot be made or passed by SQL."""
    for statement in (
        "select 'x'::internal",
        "create function f(internal) returns internal language sql return null",
        "create table t (a internal)",
    ):
        with pytest.raises(psycopg.Error):
            stage.run(statement)
