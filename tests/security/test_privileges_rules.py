"""S-15: no object kind, statement or function without its owner, its privilege, its refusal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from heliosd.catalog.acl import PRIVILEGE_NAMES, default_items
from heliosd.catalog.built_in_acl import initial_function_acl
from heliosd.catalog.codec import KINDS as STORED_KINDS
from heliosd.catalog.kinds import CLASS_KINDS, KINDS, kind_of
from heliosd.catalog.objects import (
    CatalogObject,
    ColumnedRelation,
    IndexRelation,
    Relation,
    SystemView,
)
from heliosd.execute.utility.registry import utility_commands
from heliosd.functions.access_lists import DEFAULTS, PRIVILEGES
from heliosd.functions.builtin import MODULES
from heliosd.security.statement_rules import RULES
from heliosd.sql.tree.base import Statement
from heliosd.types.aclitem import LETTERS, OWN_LETTERS
from heliosd.types.facts import function_facts
from tests.server import Server

Connection = psycopg.Connection[tuple[Any, ...]]

SETUP = """
create role guarded_owner;
create role guarded_nobody login password 'guarded nobody password';
create schema guarded;
grant usage on schema guarded to public;
create table guarded.t (id int primary key, a int);
create view guarded.v as select * from guarded.t;
create materialized view guarded.m as select 1 as a;
create sequence guarded.s;
create type guarded.e as enum ('x');
create domain guarded.d as int;
create function guarded.f(int) returns int language sql return 1;
create procedure guarded.p() language sql begin atomic select 1; end;
revoke execute on procedure guarded.p() from public;
"""

NOT_BUILT = frozenset({"0A000", "42601"})
"""What a statement that is not built answers; nobody can say it."""


def _concrete(base: type[object]) -> Iterator[type[object]]:
    subclasses: list[type[object]] = base.__subclasses__()
    for each in subclasses:
        yield each
        yield from _concrete(each)


# -- kinds ----------------------------------------------------------------------------------------


def test_every_class_of_catalog_objects_has_its_rule() -> None:
    for cls in [*STORED_KINDS.values(), IndexRelation, SystemView]:
        assert kind_of(cls) in KINDS, cls
        assert cls.__name__ in CLASS_KINDS, f"{cls.__name__} has no line of its own"
    for cls in _concrete(CatalogObject):
        if cls not in (Relation, ColumnedRelation):
            kind_of(cls)


def test_rules_are_whole() -> None:
    known = set(PRIVILEGE_NAMES.values())
    for kind, rule in KINDS.items():
        assert rule.words, kind
        assert rule.creation, f"{kind}: what making one takes must be said"
        assert set(rule.letters + rule.extra + rule.public) <= known, kind
        assert set(rule.public) <= set(rule.letters), kind
        if rule.default_code:
            assert rule.letters, kind
    assert set(LETTERS + OWN_LETTERS) == known == set(PRIVILEGES)


def test_nothing_is_created_in_public_by_everybody() -> None:
    assert "C" not in KINDS["schema"].public
    assert "C" not in KINDS["database"].public
    assert "C" not in KINDS["tablespace"].public


def test_acldefault_says_what_the_rules_say() -> None:
    for kind, rule in KINDS.items():
        if rule.code and kind not in ("procedure", "aggregate", "domain"):
            public, owner = DEFAULTS[rule.code]
            items = {i.grantee: i.privileges for i in default_items(kind, 10)}
            assert set(items.get(0, "")) == set(public), kind
            assert set(items.get(10, "")) == set(owner), kind


# -- statements -----------------------------------------------------------------------------------


def test_every_statement_has_its_rule() -> None:
    nodes = {cls.__name__ for cls in _concrete(Statement)} - {"Query", "Modification"}
    assert nodes - RULES.keys() == set(), "statements without a line in security/statement_rules.py"
    assert RULES.keys() - nodes == set(), "rules for what is no statement"
    built = {node.__name__ for node in utility_commands()}
    assert built <= RULES.keys()


@pytest.fixture(scope="module")
def nobody(server: Server) -> Iterator[Connection]:
    """A role without privileges, in a database with guarded objects."""
    with server.connect() as owner:
        owner.execute("create database guarded_rules")
        with server.connect(dbname="guarded_rules") as connection:
            for statement in SETUP.split(";\n"):
                if statement.strip():
                    connection.execute(statement)
        with server.connect(
            dbname="guarded_rules", user="guarded_nobody", password="guarded nobody password"
        ) as connection:
            yield connection
        owner.execute("drop database guarded_rules with (force)")
        owner.execute("drop role guarded_nobody, guarded_owner")


@pytest.mark.parametrize("name", sorted(name for name, rule in RULES.items() if rule.refused))
def test_a_role_without_privileges_is_refused(nobody: Connection, name: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        nobody.execute(RULES[name].refused)
    nobody.execute("rollback")
    built = name in {node.__name__ for node in utility_commands()}
    allowed = {"42501"} if built else {"42501", *NOT_BUILT}
    assert caught.value.sqlstate in allowed, (RULES[name].refused, str(caught.value))


@pytest.mark.parametrize(
    "statement",
    [
        "drop view guarded.v",
        "drop materialized view guarded.m",
        "alter materialized view guarded.m owner to guarded_nobody",
        "select * from guarded.m",
        "select * from guarded.v",
        "drop sequence guarded.s",
        "drop type guarded.e",
        "drop domain guarded.d",
        "drop function guarded.f(int)",
        "drop procedure guarded.p()",
        "drop schema guarded",
        "drop index guarded.t_pkey",
        "alter view guarded.v rename to x",
        "alter sequence guarded.s owner to guarded_nobody",
        "alter type guarded.e owner to guarded_nobody",
        "alter domain guarded.d owner to guarded_nobody",
        "alter function guarded.f(int) owner to guarded_nobody",
        "alter procedure guarded.p() owner to guarded_nobody",
        "alter database guarded_rules owner to guarded_nobody",
        "alter table guarded.t owner to guarded_nobody",
        "alter view guarded.v owner to guarded_nobody",
        "alter function guarded.f(int) rename to x",
        "alter function guarded.f(int) set schema public",
        "alter type guarded.e rename to x",
        "comment on view guarded.v is 'x'",
        "comment on function guarded.f(int) is 'x'",
        "comment on type guarded.e is 'x'",
        "comment on database guarded_rules is 'x'",
        "comment on role guarded_owner is 'x'",
        "select nextval('guarded.s')",
        "create table public.x ()",
        "create function public.x() returns int language sql return 1",
        "create type public.x as enum ('a')",
        "create view public.x as select 1",
        "create sequence public.x",
        "create table pg_catalog.x ()",
        "alter role guarded_nobody superuser",
        "alter role guarded_nobody createrole",
        "set session authorization guarded_owner",
        "select * from pg_authid",
        "select * from pg_shadow",
        "select pg_reload_conf()",
        "set log_statement = 'all'",
        "set helios.ddl_role = ''",
    ],
)
def test_every_way_is_closed(nobody: Connection, statement: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        nobody.execute(statement)
    assert caught.value.sqlstate == "42501", (statement, str(caught.value))


# -- functions ------------------------------------------------------------------------------------


def test_functions_that_change_the_server_are_closed_or_check() -> None:
    """A built-in function with the power to change more than its session is closed to PUBLIC by
    its access list."""
    powerful = (
        "pg_reload", "pg_rotate", "pg_ls_", "pg_read_", "pg_stat_reset", "lo_import", "lo_export",
        "pg_promote", "pg_switch", "pg_backup", "pg_create_restore",
    )  # fmt: skip
    for oid, fact in function_facts().items():
        # The _old ones, of extension adminpack, check for a superuser themselves.
        if fact.name.startswith(powerful) and not fact.name.endswith("_old"):
            assert initial_function_acl(oid) is not None, fact.name
    assert MODULES
