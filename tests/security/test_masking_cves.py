"""What others' masking and error-detail CVEs did, tried here. Each test is named by its number."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.security.masked_world import ALICE, World
from tests.server import Server


@pytest.fixture(scope="module")
def world(server: Server) -> Iterator[World]:
    made = World(server, "cves")
    yield made
    made.close()


SMUGGLED = (
    "full() || pg_sleep(1)",
    "full(); drop table person",
    "partial(1, (select note from person limit 1), 1)",
    'partial(1, current_user, 1)',
    "constant(pg_read_file(\"/etc/passwd\"))",
    "constant(''x'' || note)",
    "pg_catalog.set_config(\"role\", \"postgres\", false)",
    "full() FROM person; --",
    "/**/full()",
    "full()--",
)  # fmt: skip


@pytest.mark.parametrize("call", SMUGGLED)
def test_cve_2024_2338_a_mask_rule_is_no_code(world: World, call: str) -> None:
    """A rule is a name and constants: SQL in it is refused, by both ways of saying it."""
    error = world.refused(
        "owner", f"alter table person alter note add masked with (function = '{call}')"
    )
    assert error.sqlstate in ("22023", "42883", "42501")
    quoted = call.replace("'", "''")
    error = world.refused(
        "owner",
        f"security label on column person.note is 'MASKED WITH (FUNCTION = ''{quoted}'')'",
    )
    assert error.sqlstate in ("22023", "42883", "42501")
    assert world.ask("owner", "select * from helios_masks where columnname = 'note'") == []


def test_cve_2024_2339_names_of_objects_are_no_code_either(world: World) -> None:
    """Hostile names of tables, columns and constants pass through as they are."""
    hostile = "x\" || (select 1) -- '; drop table person; \\"
    name = '"' + hostile.replace('"', '""') + '"'
    with world.undone("owner") as connection:
        connection.execute(f"create table {name} (id int primary key, {name} text)")
        connection.execute(f"insert into {name} values (1, 'secret')")
        call = 'constant("it\'\'s ""{0}"" __import__")'
        connection.execute(f"alter table {name} alter {name} add masked with (function = '{call}')")
        shown = connection.execute(f"select {name}, {name}::text from {name}").fetchone()
        assert shown is not None
        assert shown[0] == 'it\'s "{0}" __import__'
        assert "secret" not in shown[1]
        assert connection.execute("select count(*) from person").fetchone() == (3,)


def test_cve_2026_2360_search_path_does_not_choose_the_mask(world: World) -> None:
    """Masks are found by what they are, not by a name that somebody's schema may hide."""
    with world.undone("postgres") as connection:
        connection.execute("create schema trap")
        for name in ("mask_email", "email", "person"):
            connection.execute(f"create table trap.{name} (id int, email text)")
        connection.execute("grant all on schema trap to public")
        connection.execute("grant select on all tables in schema trap to public")
        connection.execute("set role cves_reader")
        connection.execute("set search_path = trap, public, pg_catalog")
        shown = connection.execute("select email from public.person where id = 1").fetchone()
        assert shown == (ALICE,)


def test_cve_2026_2361_maintenance_runs_nothing_of_the_masks_author(world: World) -> None:
    """Neither ANALYZE nor a rewrite by a superuser runs a rule: what is stored stays stored."""
    world.ask("owner", "create table kept (id int primary key, secret text)")
    world.ask("owner", "insert into kept values (1, 'as it was')")
    world.ask("owner", "alter table kept alter secret add masked with (function = 'full()')")
    for sql in (
        "analyze kept",
        "reindex table kept",
        "alter table kept add column n int default 1",
    ):
        world.ask("postgres", sql)
    world.ask("owner", "grant unmask on kept to cves_lead")
    world.ask("owner", "grant select on kept to cves_lead")
    assert world.value("lead", "select secret from kept") == "as it was"
    world.ask("owner", "drop table kept")


def test_cve_2014_8161_violations_show_only_columns_that_the_role_may_read(world: World) -> None:
    world.ask("owner", "create table hush (a int primary key, b int not null, c text unique, "
              "d int, check (d > 0))")  # fmt: skip
    world.ask("owner", "insert into hush values (1, 1, 'secret', 1)")
    world.ask("owner", "grant insert, update on hush to cves_reader")
    world.ask("owner", "grant select (a) on hush to cves_reader")
    cases = (
        ("insert into hush values (1, 1, 'x', 1)", "Key (a)=(1) already exists."),
        ("insert into hush values (2, 1, 'secret', 1)", None),
        ("insert into hush (a, d) values (3, 5)", "Failing row contains (a, d) = (3, 5)."),
        ("insert into hush (a, b, d) values (3, 1, -1)",
         "Failing row contains (a, b, d) = (3, 1, -1)."),
        ("update hush set d = -1 where a = 1", "Failing row contains (a, d) = (1, -1)."),
        ("update hush set b = null where a = 1", "Failing row contains (a, b) = (1, null)."),
    )  # fmt: skip
    for sql, detail in cases:
        assert world.refused("reader", sql).diag.message_detail == detail, sql
    world.ask("owner", "revoke select (a) on hush from cves_reader")
    error = world.refused("reader", "update hush set d = -1")
    assert error.diag.message_detail == "Failing row contains (d) = (-1)."
    error = world.refused("reader", "insert into hush values (1, 1, 'x', 1)")
    assert error.diag.message_detail is None
    world.ask("owner", "drop table hush")


def test_cve_2014_8161_foreign_keys_too(world: World) -> None:
    world.ask("owner", "create table parent (code text primary key)")
    world.ask("owner", "create table child (code text references parent)")
    world.ask("owner", "insert into parent values ('secret')")
    world.ask("owner", "insert into child values ('secret')")
    world.ask("owner", "grant insert on child to cves_reader")
    world.ask("owner", "grant delete on parent to cves_reader")
    error = world.refused("reader", "insert into child values ('nix')")
    assert error.diag.message_detail == 'Key is not present in table "parent".'
    error = world.refused("reader", "delete from parent")
    assert error.diag.message_detail == 'Key is still referenced from table "child".'
    error = world.refused("owner", "delete from parent")
    assert (
        error.diag.message_detail == 'Key (code)=(secret) is still referenced from table "child".'
    )
    world.ask("owner", "drop table child, parent")


def test_cve_2021_3393_an_update_shows_no_columns_that_it_may_only_write(world: World) -> None:
    world.ask(
        "owner", "create table wages (id int primary key, boss int, pay int, check (pay < 9))"
    )
    world.ask("owner", "insert into wages values (1, 77, 5)")
    world.ask("owner", "grant select (id), update (pay) on wages to cves_reader")
    error = world.refused("reader", "update wages set pay = 10 where id = 1")
    assert error.diag.message_detail == "Failing row contains (id, pay) = (1, 10)."
    assert "77" not in str(error)
    world.ask("owner", "drop table wages")


def test_row_security_hides_details_of_rows(world: World) -> None:
    world.ask("owner", "create table rows (id int primary key, secret text check (secret <> 'x'))")
    world.ask("owner", "insert into rows values (1, 'a')")
    world.ask("owner", "grant select, insert on rows to cves_reader")
    world.ask("owner", "alter table rows enable row level security")
    error = world.refused("reader", "insert into rows values (1, 'x')")
    assert error.diag.message_detail is None
    world.ask("owner", "drop table rows")


def test_an_index_that_cannot_be_unique_shows_the_mask(world: World) -> None:
    world.ask("owner", "create table twice (id int primary key, secret text)")
    world.ask("owner", "insert into twice values (1, 'secret'), (2, 'secret')")
    world.ask("owner", "alter table twice alter secret add masked with (function = 'full()')")
    error = world.refused("owner", "create unique index on twice (secret)")
    assert error.diag.message_detail == "Key (secret)=(XXXX) is duplicated."
    world.ask("owner", "create table other (secret text primary key)")
    error = world.refused("owner", "alter table twice add foreign key (secret) references other")
    assert error.diag.message_detail == 'Key is not present in table "other".'
    world.ask("owner", "drop table twice, other")


def test_copy_shows_no_more_in_its_errors(world: World) -> None:
    world.ask("owner", "create table target (id int primary key, a text unique)")
    world.ask("owner", "insert into target values (1, 'secret')")
    world.ask("owner", "grant insert on target to cves_reader")
    with (
        pytest.raises(psycopg.errors.UniqueViolation) as caught,
        world.connect("reader").cursor().copy("copy target from stdin") as copy,
    ):
        copy.write("2\tsecret\n")
    assert caught.value.diag.message_detail is None
    world.ask("owner", "drop table target")
