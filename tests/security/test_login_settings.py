"""ALTER ROLE and ALTER DATABASE SET, answer by answer as PostgreSQL's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sql.agree import Connection, check
from tests.sql.conftest import both, both_databases

__all__ = ("both", "both_databases")

SCRIPT = """
    create role seta;
    create role setb createrole;
    create role setc superuser;
    alter role seta set lc_messages = 'C';
    alter role seta set work_mem = '8MB';
    alter role seta set WORK_MEM = '9MB';
    alter role seta set nosuch = 1;
    alter role seta set my.own = 'x y';
    alter role seta set server_version = '16';
    alter role seta set max_connections = 16;
    alter role seta set search_path = a, "B c";
    alter role seta set log_statement = 'all';
    alter role seta set role = 'setb';
    alter role seta set role = 'nosuchrole';
    alter role seta set datestyle = 'german';
    alter role seta set enable_seqscan to off;
    alter role nosuchrole set work_mem = '1MB';
    alter role seta in database nosuchdb set work_mem = '1MB';
    alter role seta reset nosuch;
    alter role seta reset my.own;
    alter role seta set intervalstyle from current;
    select rolconfig from pg_roles where rolname = 'seta';
    alter role all set lock_timeout = '5s';
    select setconfig from pg_db_role_setting where setdatabase = 0 and setrole = 0;
    alter role all reset lock_timeout;
    select count(*) from pg_db_role_setting where setdatabase = 0 and setrole = 0;
    set session authorization seta;
    alter role seta set work_mem = '7MB';
    alter role seta set log_statement = 'none';
    alter role seta reset log_statement;
    alter role setb set work_mem = '7MB';
    alter role all set work_mem = '7MB';
    alter role current_user set work_mem = '6MB';
    alter role session_user reset work_mem;
    reset session authorization;
    set session authorization setb;
    alter role seta set work_mem = '5MB';
    alter role setc set work_mem = '5MB';
    reset session authorization;
    alter role seta reset all;
    select rolconfig from pg_roles where rolname = 'seta';
    alter role seta valid until 'infinity';
    select rolvaliduntil from pg_roles where rolname = 'seta';
    alter role seta connection limit -2;
    alter role seta connection limit 3 connection limit 4;
    alter role seta password null;
    alter role seta password '';
"""
ROLES = ("seta", "setb", "setc")


def forget(connection: Connection) -> None:
    connection.execute("reset session authorization")
    for role in ROLES:
        connection.execute(f"drop role if exists {role}".encode())
    connection.execute("alter role all reset all")


@pytest.fixture
def clean(both: tuple[Connection, Connection]) -> Iterator[tuple[Connection, Connection]]:
    for each in both:
        each.execute("set client_min_messages = error")
        forget(each)
        each.execute("reset client_min_messages")
    yield both
    for each in both:
        forget(each)


def test_as_postgres(clean: tuple[Connection, Connection]) -> None:
    check(*clean, SCRIPT)
