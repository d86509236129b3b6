"""Roles, memberships, privileges, databases: answer by answer as PostgreSQL's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sql.agree import Connection, check

ROLES = ("ra", "rb", "rc", "rd", "rnew")

SCRIPTS = {
    "roles": """
        create role ra;
        create role ra;
        create user rb password 'a password of rb' connection limit 5 valid until '2030-01-01';
        create role rc superuser createdb createrole noinherit replication bypassrls;
        create role pg_bad;
        create role public;
        create role rd in role ra role rb;
        select rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin,
          rolconnlimit, rolvaliduntil from pg_roles where rolname like 'r_' order by 1;
        select r.rolname, m.rolname, admin_option from pg_auth_members a
          join pg_roles r on r.oid = roleid join pg_roles m on m.oid = member
          where r.rolname like 'r_' order by 1, 2;
        grant rd to ra;
        grant ra to rd;
        grant ra to rd with admin option;
        revoke admin option for ra from rd;
        revoke ra from rd;
        revoke ra from rd;
        alter role rb nologin connection limit -1;
        alter role nosuch login;
        alter role rb set work_mem = '8MB';
        alter role rb set nosuch = 1;
        select rolconfig from pg_roles where rolname = 'rb';
        alter role rb reset all;
        alter role rb rename to rnew;
        alter role rnew rename to ra;
        comment on role rnew is 'a role';
        select shobj_description(oid, 'pg_authid') from pg_roles where rolname = 'rnew';
        drop role rnew, rd;
        drop role rnew;
        drop role if exists rnew;
        drop role current_user;
        set role ra;
        create role rd;
        select current_user, session_user;
        reset role;
    """,
    "ownership": """
        create role ra;
        create role rb;
        grant create, usage on schema public to ra;
        set role ra;
        create table t (a int);
        create view v as select * from t;
        create sequence s;
        reset role;
        select tableowner from pg_tables where tablename = 't';
        drop role ra;
        set role rb;
        drop table t;
        alter table t add column b int;
        truncate t;
        select * from t;
        create table u (a int);
        comment on table t is 'x';
        create index on t (a);
        reset role;
        alter table t owner to rb;
        alter view v owner to rb;
        alter sequence s owner to rb;
        alter table t owner to nosuch;
        select tableowner from pg_tables where tablename = 't';
        set role rb;
        alter table t owner to ra;
        reset role;
        reassign owned by rb to ra;
        drop owned by ra;
        select * from t;
        drop owned by ra, rb;
        drop role ra, rb;
    """,
    "grants": """
        create role ra;
        create role rb;
        grant usage on schema public to ra, rb;
        create table t (a int, b int);
        insert into t values (1, 2);
        create sequence s;
        set role ra;
        select * from t;
        insert into t values (1);
        reset role;
        grant select on t to ra with grant option;
        select relacl from pg_class where relname = 't';
        set role ra;
        select * from t;
        update t set a = 1;
        grant select on t to rb;
        grant insert on t to rb;
        grant all on t to rb;
        reset role;
        select relacl from pg_class where relname = 't';
        revoke select on t from ra;
        revoke select on t from ra cascade;
        select relacl from pg_class where relname = 't';
        grant select (a), update (b) on t to rb;
        select attname, attacl from pg_attribute where attrelid = 't'::regclass and attnum > 0;
        set role rb;
        select a from t;
        select b from t;
        select * from t;
        select count(*) from t;
        update t set b = 5;
        update t set b = a + 1 where a = 1;
        update t set a = 5;
        reset role;
        grant usage on t to ra;
        grant select on sequence s to ra;
        grant execute on t to ra;
        grant nosuch on t to ra;
        grant select on nosuch to ra;
        grant select on t to nosuch;
        grant select on all tables in schema public to public;
        select relacl from pg_class where relname = 't';
        grant usage on all sequences in schema public to ra;
        set role ra;
        select nextval('s');
        select setval('s', 5);
        reset role;
        select has_table_privilege('ra', 't', 'select'), has_table_privilege('ra', 't', 'insert'),
          has_column_privilege('rb', 't', 'b', 'update'),
          has_sequence_privilege('ra', 's', 'usage'),
          has_schema_privilege('ra', 'public', 'create'), pg_has_role('ra', 'rb', 'member');
        revoke all on t from public, ra, rb;
        revoke all on all tables in schema public from ra, rb;
        select relacl from pg_class where relname = 't';
        drop role ra;
    """,
    "predefined": """
        create role ra;
        create role rb;
        create table t (a int);
        create sequence s;
        set role ra;
        select * from t;
        select * from pg_authid;
        select * from pg_shadow;
        select rolname from pg_roles where rolname = 'ra';
        reset role;
        grant pg_read_all_data to ra;
        grant pg_write_all_data to rb;
        set role ra;
        select * from public.t;
        insert into public.t values (1);
        reset role;
        set role rb;
        insert into public.t values (1);
        select * from public.t;
        reset role;
        select r.rolname, m.rolname from pg_auth_members a join pg_roles r on r.oid = roleid
          join pg_roles m on m.oid = member where m.rolname = 'pg_monitor' order by 1;
        revoke pg_read_all_data from ra;
    """,
    "inheritance": """
        create role ra;
        create role rb noinherit in role ra;
        create role rc in role ra;
        create table t (a int);
        grant usage on schema public to ra, rb, rc;
        grant select on t to ra;
        set role rc;
        select * from t;
        set role rb;
        select * from t;
        reset role;
        create view v as select * from t;
        grant select on v to rb;
        set role rb;
        select * from v;
        reset role;
        alter view v owner to rb;
        select * from v;
    """,
    "databases": """
        create database agree_a;
        create database agree_a;
        create database agree_b template nosuch;
        create database agree_b encoding 'nosuch';
        begin;
        create database agree_b;
        rollback;
        select datname, datistemplate, datallowconn, datconnlimit, pg_encoding_to_char(encoding)
          from pg_database where datname like 'agree\\_%' or datname like 'template%' order by 1;
        alter database agree_a connection limit 7;
        alter database agree_a set work_mem = '8MB';
        alter database agree_a rename to agree_b;
        alter database nosuch rename to x;
        comment on database agree_b is 'a database';
        select shobj_description(oid, 'pg_database'), datconnlimit from pg_database
          where datname = 'agree_b';
        drop database template1;
        drop database nosuch;
        drop database if exists nosuch;
        drop database agree_b;
        select count(*) from pg_database where datname = 'agree_b';
    """,
}


def forget_roles(connection: Connection) -> None:
    """Roles are shared by all databases: take away what a test left."""
    connection.execute("reset role")
    for role in ROLES:
        found = connection.execute("select 1 from pg_roles where rolname = %s", (role,))
        if found.fetchone():
            connection.execute(f"drop owned by {role} cascade")
            connection.execute(f"drop role {role}")


@pytest.fixture
def clean(both: tuple[Connection, Connection]) -> Iterator[tuple[Connection, Connection]]:
    """Both connections, without the roles that the scripts make."""
    for each in both:
        forget_roles(each)
    yield both
    for each in both:
        forget_roles(each)


@pytest.mark.parametrize("name", SCRIPTS)
def test_as_postgres(clean: tuple[Connection, Connection], name: str) -> None:
    check(*clean, SCRIPTS[name])


def test_databases_are_separate(
    both_databases: tuple[str, str], both: tuple[Connection, Connection]
) -> None:
    """What one database holds, another does not see."""
    import psycopg

    ours = both[0]
    ours.execute("create table only_here (a int)")
    other = psycopg.conninfo.make_conninfo(both_databases[0], dbname="postgres")
    with psycopg.connect(other, autocommit=True) as elsewhere:
        row = elsewhere.execute(
            "select count(*) from pg_class where relname = 'only_here'"
        ).fetchone()
        assert row == (0,)
        with pytest.raises(psycopg.errors.UndefinedTable):
            elsewhere.execute("select * from only_here")
        elsewhere.execute("create table only_here (b text)")
        elsewhere.execute("drop table only_here")
    assert ours.execute("select * from only_here").fetchall() == []
