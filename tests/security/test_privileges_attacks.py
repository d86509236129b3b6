"""Ways to more than one was granted, tried: by names, memberships, ownership, defaults, sessions.

CVEs are PostgreSQL's unless said otherwise. Each test is the attack of the record (or its nearest
kin in what exists here), and must fail as PostgreSQL's fixed versions make it fail.
"""

from __future__ import annotations

import random

import psycopg
import pytest

from tests.security.attack_stage import PASSWORD, Stage, refused

# -- names (CVE-2018-1058, CVE-2023-2454, S-15) ---------------------------------------------------


def test_cve_2018_1058_public_is_closed_and_plants_nothing(stage: Stage) -> None:
    """A user plants public.lower(varchar) to be run by whoever calls lower(): it cannot be made."""
    stage.role("mallory")
    mallory = stage.login("mallory")
    refused(mallory, "create table public.pg_class_of_mine (a int)")
    refused(mallory, "create function public.lower(varchar) returns text language sql return 'x'")
    refused(mallory, "create type public.text as enum ('x')")
    refused(mallory, "create schema mallory")
    # Even with a schema of her own in the path, what is built in is found first.
    stage.run("create schema mallory authorization mallory")
    mallory.execute("create table mallory.pg_class (relname text)")
    assert stage.one(mallory, "select count(*) > 100 from pg_class") is True
    stage.run('set search_path = mallory, "$user", public')
    assert stage.one(stage.owner, "select count(*) > 100 from pg_class") is True


def test_cve_2018_1058_a_temporary_schema_names_no_function(stage: Stage) -> None:
    """pg_temp comes first for relations and types only: functions are never found in it."""
    stage.role("mallory")
    mallory = stage.login("mallory")
    mallory.execute("create temp table pg_user (a int)")
    mallory.execute("create function pg_temp.now() returns text language sql return 'x'")
    assert stage.one(mallory, "select now()::text") != "x"
    assert stage.one(mallory, "select pg_temp.now()") == "x"


def test_cve_2023_2454_create_schema_elements_obey_the_path(stage: Stage) -> None:
    """CREATE SCHEMA ... with elements must not leave its search_path or role in force."""
    stage.role("maker")
    stage.run("grant create on database attacks to maker", "create schema other")
    maker = stage.login("maker")
    maker.execute("create schema mine create table t (a int) create view v as select * from t")
    assert stage.one(maker, "show search_path") == '"$user", public'
    refused(maker, "create schema again create table other.t (a int)", "42P15")
    refused(maker, "create schema third authorization postgres create table t (a int)")
    assert stage.one(maker, "select current_user") == "maker"


def test_a_schema_that_may_not_be_used_hides_what_is_in_it(stage: Stage) -> None:
    stage.role("mallory")
    stage.run("create schema hidden", "create table hidden.t (a int)",
              "grant select on hidden.t to mallory",
              "create type hidden.e as enum ('a')")  # fmt: skip
    mallory = stage.login("mallory")
    for statement in (
        "select * from hidden.t",
        "select 'hidden.t'::regclass",
        "select 'a'::hidden.e",
        "select nextval('hidden.s')",
        "create temp table x (a hidden.e)",
    ):
        refused(mallory, statement)
    mallory.execute("set search_path = hidden, public")
    refused(mallory, "select * from t", "42P01")


# -- memberships ----------------------------------------------------------------------------------


def test_createrole_reaches_no_superuser(stage: Stage) -> None:
    stage.role("boss", "createrole")
    stage.run("create role root superuser")
    boss = stage.login("boss")
    for statement in (
        "create role evil superuser",
        "create role evil replication",
        "create role evil bypassrls",
        "alter role boss superuser",
        "alter role boss bypassrls",
        "alter role boss replication",
        "grant root to boss",
        "grant postgres to boss",
        "alter role root password 'another long password'",
        "alter role root set work_mem = '1MB'",
        "drop role root",
        "alter role root rename to mine",
        "create role evil in role root",
        "set role root",
        "set session authorization root",
        "reassign owned by postgres to boss",
        "drop owned by postgres",
    ):
        refused(boss, statement)


def test_admin_option_does_not_make_itself(stage: Stage) -> None:
    for name in ("aa", "bb", "cc"):
        stage.role(name)
    stage.run("grant aa to bb")
    bb = stage.login("bb")
    refused(bb, "grant aa to cc")
    refused(bb, "grant aa to bb with admin option")
    refused(bb, "revoke aa from bb")
    stage.run("grant aa to bb with admin option")
    bb.execute("grant aa to cc")
    refused(bb, "grant bb to aa")
    refused(stage.login("aa"), "grant aa to cc")
    refused(stage.owner, "grant bb to aa", "0LP01")
    refused(stage.owner, "grant aa to aa", "0LP01")


def test_noinherit_gives_nothing_without_set_role(stage: Stage) -> None:
    stage.role("carrier", "noinherit")
    stage.run("create role rights", "create table t (a int)", "grant select on t to rights",
              "grant rights to carrier")  # fmt: skip
    carrier = stage.login("carrier")
    refused(carrier, "select * from t")
    carrier.execute("set role rights")
    carrier.execute("select * from t")
    carrier.execute("reset role")
    refused(carrier, "select * from t")


def test_options_of_a_single_membership(stage: Stage) -> None:
    """PostgreSQL 16's INHERIT and SET options: privileges without SET ROLE, or the other way."""
    stage.role("member")
    stage.run("create role rights", "create table t (a int)", "grant select on t to rights",
              "grant rights to member with inherit true, set false")  # fmt: skip
    member = stage.login("member")
    member.execute("select * from t")
    refused(member, "set role rights")
    refused(member, "create table x (a int)")
    stage.run("grant rights to member with inherit false, set true")
    refused(member, "select * from t")
    member.execute("set role rights")
    member.execute("select * from t")
    member.execute("reset role")
    stage.run("revoke set option for rights from member")
    refused(member, "set role rights")
    # Without SET nothing of one's own can be given to the role either.
    stage.run("create schema s authorization member", "grant create on schema s to rights")
    member.execute("create table s.mine (a int)")
    refused(member, "alter table s.mine owner to rights")


def test_pg_database_owner_has_one_member(stage: Stage) -> None:
    stage.role("keeper")
    refused(stage.owner, "grant pg_database_owner to keeper", "XX000")
    refused(stage.owner, "grant keeper to pg_database_owner", "XX000")
    keeper = stage.login("keeper")
    refused(keeper, "create table public.t (a int)")
    stage.run("alter database attacks owner to keeper")
    keeper.execute("create table public.t (a int)")
    stage.run("alter database attacks owner to postgres")
    refused(keeper, "create table public.u (a int)")


# -- sessions (CVE-2024-10978, S-17) --------------------------------------------------------------


def test_set_session_authorization_is_the_logins_right(stage: Stage) -> None:
    stage.role("low")
    stage.role("other")
    low = stage.login("low")
    refused(low, "set session authorization other")
    refused(low, "set session authorization postgres")
    low.execute("set session authorization low")
    # A superuser who became another stays able to return, but has not her rights meanwhile.
    stage.run("set session authorization low")
    refused(stage.owner, "create role evil")
    refused(stage.owner, "set role other")
    stage.run("reset session authorization")
    assert stage.one(stage.owner, "select current_user") == "postgres"


def test_cve_2024_10978_ids_are_restored_by_every_rollback(stage: Stage) -> None:
    """Random nesting of SET ROLE, SET LOCAL, SESSION AUTHORIZATION and savepoints, against a
    model of what both ids must be."""
    names = ["ra", "rb", "rc"]
    for name in names:
        stage.role(name)
    connection = stage.owner
    rng = random.Random(10978)
    for _ in range(40):
        connection.execute("reset session authorization")
        connection.execute("reset role")
        session, role = "postgres", "none"
        stack: list[tuple[str, str, str]] = []
        connection.execute("begin")
        start = (session, role)
        for step in range(rng.randint(3, 12)):
            action = rng.choice(["role", "role", "session", "savepoint", "rollback", "none"])
            # Who is not the superuser can only become itself.
            name = rng.choice(names) if session == "postgres" else session
            if action == "role":
                connection.execute(f"set role {name}")
                role = name
            elif action == "none":
                connection.execute("set role none")
                role = "none"
            elif action == "session":
                name = rng.choice(names)
                connection.execute(f"set session authorization {name}")
                session, role = name, "none"
            elif action == "savepoint":
                connection.execute(f"savepoint s{step}")
                stack.append((f"s{step}", session, role))
            elif stack:
                point, session, role = stack[rng.randrange(len(stack))]
                stack = stack[: [s[0] for s in stack].index(point) + 1]
                connection.execute(f"rollback to {point}")
            expected = (session if role == "none" else role, session)
            row = connection.execute("select current_user, session_user").fetchone()
            assert row == expected
        connection.execute("rollback")
        row = connection.execute("select current_user, session_user").fetchone()
        assert row == (start[0], start[0])


def test_a_role_made_anew_under_an_old_name_is_somebody_else(stage: Stage) -> None:
    stage.role("former")
    stage.run("grant pg_read_all_data to former", "create table secret (a int)")
    former = stage.login("former")
    former.execute("select * from secret")
    stage.run("drop role former")
    stage.run(f"create role former superuser login password '{PASSWORD}'")
    # The session is still of the role that is gone: neither its old rights nor the new role's.
    refused(former, "select * from secret")
    refused(former, "create role evil")
    former.execute("reset session authorization")
    refused(former, "create role evil")


def test_a_renamed_role_keeps_its_session(stage: Stage) -> None:
    stage.role("before")
    session = stage.login("before")
    stage.run("alter role before rename to after")
    assert stage.one(session, "select current_user") == "after"
    assert stage.one(session, "select session_user") == "after"


def test_reset_all_and_discard_do_not_raise(stage: Stage) -> None:
    stage.role("low")
    stage.run("set role low", "reset all")
    assert stage.one(stage.owner, "select current_user") == "low"
    refused(stage.owner, "create role evil")
    stage.run("set session authorization low", "discard all")
    assert stage.one(stage.owner, "select current_user") == "postgres"
    assert stage.one(stage.owner, "show is_superuser") == "on"
    stage.run("set role low")
    assert stage.one(stage.owner, "show is_superuser") == "off"
    refused(stage.owner, "set log_statement = 'all'")
    stage.run("reset role")


def test_a_lost_superuser_loses_it_at_once(stage: Stage) -> None:
    stage.role("chief", "superuser")
    chief = stage.login("chief")
    chief.execute("create role minion")
    stage.run("alter role chief nosuperuser")
    refused(chief, "create role another")
    refused(chief, "select * from pg_authid")
    refused(chief, "set log_statement = 'all'")
    refused(chief, "select pg_reload_conf()")


# -- ownership and grants -------------------------------------------------------------------------


def test_ownership_moves_only_to_who_one_may_become(stage: Stage) -> None:
    stage.role("aa")
    stage.role("bb")
    stage.run("create schema s authorization aa")
    aa = stage.login("aa")
    aa.execute("create table s.t (a int)")
    refused(aa, "alter table s.t owner to bb")
    refused(aa, "alter table s.t owner to postgres")
    refused(aa, "alter schema s owner to bb")
    stage.run("grant bb to aa")
    # bb has no CREATE on the schema.
    refused(aa, "alter table s.t owner to bb")
    aa.execute("grant create, usage on schema s to bb")
    aa.execute("alter table s.t owner to bb")
    refused(stage.login("bb"), "alter table s.t owner to aa")


def test_a_grant_falls_with_the_option_it_was_made_by(stage: Stage) -> None:
    for name in ("aa", "bb", "cc"):
        stage.role(name)
    stage.run("create table t (a int)", "grant select on t to aa with grant option")
    aa, bb, cc = stage.login("aa"), stage.login("bb"), stage.login("cc")
    aa.execute("grant select on t to bb with grant option")
    bb.execute("grant select on t to cc")
    refused(bb, "grant select on t to aa with grant option", "0LP01")
    refused(stage.owner, "revoke select on t from aa", "2BP01")
    stage.run("revoke grant option for select on t from aa cascade")
    aa.execute("select * from t")
    for each in (bb, cc):
        refused(each, "select * from t")


def test_default_privileges_are_ones_own(stage: Stage) -> None:
    stage.role("mallory")
    stage.role("victim")
    mallory = stage.login("mallory")
    refused(mallory, "alter default privileges for role victim grant all on tables to mallory")
    refused(mallory, "alter default privileges for role postgres grant all on tables to mallory")
    mallory.execute("alter default privileges grant all on tables to public")
    stage.run("create table t (a int)")
    refused(mallory, "select * from t")


def test_revoke_between_bind_and_execute(stage: Stage) -> None:
    """S-14: also of a schema, a membership, a function, by name or through a view's owner."""
    stage.role("reader")
    stage.run("create schema s", "create table s.t (a int)", "create role rights",
              "grant select on s.t to rights", "grant usage on schema s to public",
              "grant rights to reader")  # fmt: skip
    reader = stage.login("reader")
    query = "select * from s.t"
    for _ in range(7):
        reader.execute(query, prepare=True)
    for revoke, grant in (
        ("revoke rights from reader", "grant rights to reader"),
        ("revoke select on s.t from rights", "grant select on s.t to rights"),
        ("revoke usage on schema s from public", "grant usage on schema s to public"),
        ("alter role reader noinherit", "alter role reader inherit"),
    ):
        stage.run(revoke)
        refused(reader, query)
        stage.run(grant)
        reader.execute(query, prepare=True)
    reader.execute("select pg_sleep(0)", prepare=True)
    stage.run("revoke execute on function pg_sleep(float8) from public")
    refused(reader, "select pg_sleep(0)")
    stage.run("grant execute on function pg_sleep(float8) to public")
    reader.execute("select pg_sleep(0)")


def test_a_closed_function_is_closed_behind_operators_and_casts_too(stage: Stage) -> None:
    stage.role("user_of")
    user = stage.login("user_of")
    user.execute("create temp table t as select '{1}'::int4[] as a, 1::int8 as b")
    queries = ("select a::int8[] from t", "select 1::int4::int8", "select b + b from t")
    for query in queries:
        user.execute(query)
    stage.run("revoke execute on function int8(int4) from public",
              "revoke execute on function int8pl(int8, int8) from public")  # fmt: skip
    for query in queries:
        refused(user, query)
        stage.owner.execute("select 1::int4::int8")
    stage.run("grant execute on function int8(int4) to user_of")
    user.execute("select 1::int4::int8")


def test_ddl_can_be_reserved(stage: Stage) -> None:
    """The guide's example: only an administrative role defines anything."""
    stage.role("admin")
    stage.role("owner")
    stage.run("create schema s authorization owner", "grant usage, create on schema s to admin",
              "alter database attacks set helios.ddl_role = 'admin'")  # fmt: skip
    owner, admin = stage.login("owner"), stage.login("admin")
    for statement in (
        "create table s.t (a int)",
        "create temp table t (a int)",
        "create table s.t as select 1 as a",
        "select 1 as a into s.t",
        "create view s.v as select 1",
        "comment on schema s is 'x'",
        "drop schema s",
        "set helios.ddl_role = ''",
    ):
        refused(owner, statement)
    with pytest.raises(psycopg.Error, match="Unauthorized: DDL requires admin role"):
        owner.execute("create table s.t (a int)")
    admin.execute("create table s.t (a int)")
    stage.run("grant admin to owner")
    owner.execute("create table s.u (a int)")
    stage.run("create table s.by_a_superuser (a int)")


# -- predefined roles -----------------------------------------------------------------------------


def test_predefined_roles_give_what_they_say(stage: Stage) -> None:
    for name in ("reader", "writer", "watcher", "killer", "saver"):
        stage.role(name)
    stage.run("create schema s", "create table s.t (a int)", "create sequence s.q",
              "grant pg_read_all_data to reader", "grant pg_write_all_data to writer",
              "grant pg_monitor to watcher", "grant pg_signal_backend to killer",
              "grant pg_checkpoint to saver")  # fmt: skip
    reader, writer = stage.login("reader"), stage.login("writer")
    reader.execute("select * from s.t")
    reader.execute("select last_value from s.q")
    refused(reader, "insert into s.t values (1)")
    refused(reader, "select nextval('s.q')")
    refused(reader, "create table s.x (a int)")
    # As in PostgreSQL "all data" has the verifiers among it.
    reader.execute("select * from pg_authid")
    writer.execute("insert into s.t values (1)")
    writer.execute("delete from s.t")
    refused(writer, "select * from s.t")
    refused(writer, "delete from s.t where a = 1")
    refused(writer, "truncate s.t")
    stage.login("saver").execute("checkpoint")
    refused(reader, "checkpoint")
    victim = stage.one(stage.owner, "select pg_backend_pid()")
    killer = stage.login("killer")
    refused(killer, f"select pg_terminate_backend({victim})")
    other = stage.one(reader, "select pg_backend_pid()")
    assert stage.one(killer, f"select pg_cancel_backend({other})") is True
    refused(stage.login("watcher"), f"select pg_cancel_backend({other})")
    texts = stage.login("watcher").execute(
        "select count(*) from pg_stat_activity where query = '<insufficient privilege>'"
    )
    assert texts.fetchone() == (0,)


def test_connect_is_checked_at_login(stage: Stage) -> None:
    stage.role("guest")
    stage.login("guest")
    stage.run("revoke connect on database attacks from public")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        stage.login("guest")
    stage.run("grant connect on database attacks to guest")
    stage.login("guest")


def test_temporary_is_a_privilege(stage: Stage) -> None:
    stage.role("guest")
    guest = stage.login("guest")
    guest.execute("create temp table t (a int)")
    stage.run("revoke temporary on database attacks from public")
    refused(guest, "create temp table u (a int)")


def test_settings_are_granted_one_by_one(stage: Stage) -> None:
    stage.role("tuner")
    tuner = stage.login("tuner")
    refused(tuner, "set log_statement = 'all'")
    stage.run("grant set on parameter log_statement to tuner")
    tuner.execute("set log_statement = 'all'")
    tuner.execute("select set_config('log_statement', 'none', false)")
    refused(tuner, "set log_duration = on")
    assert stage.one(tuner, "select has_parameter_privilege('log_statement', 'set')") is True
    assert stage.one(tuner, "select has_parameter_privilege('log_duration', 'set')") is False
    stage.run("revoke set on parameter log_statement from tuner")
    refused(tuner, "set log_statement = 'all'")
