"""Masks where something is changed: DML, DDL, labels; and what errors, EXPLAIN and logs show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.security.masked_world import ALICE, BOB, CAROL, World
from tests.server import Server


@pytest.fixture(scope="module")
def world(server: Server) -> Iterator[World]:
    made = World(server, "changing")
    yield made
    made.close()


# -- writing --------------------------------------------------------------------------------------


def test_writes_store_what_is_given_and_returning_shows_the_mask(world: World) -> None:
    with world.undone("reader") as connection:
        rows = connection.execute(
            "insert into person (id, email) values (9, 'dora@example.org') returning *"
        ).fetchall()
        assert rows[0][1] == "dXXX@XXXX.com"
        rows = connection.execute(
            "update person set email = 'erna@example.org' where id = 9 returning email, person"
        ).fetchall()
        assert rows[0][0] == "eXXX@XXXX.com"
        assert "example" not in str(rows)
        rows = connection.execute("delete from person where id = 9 returning email").fetchall()
        assert rows == [("eXXX@XXXX.com",)]
    with world.session("reader") as connection:
        connection.execute("update person set phone = '5555555555' where id = 3")
    assert world.value("lead", "select phone from person where id = 3") == "5555555555"
    world.ask("lead", "update person set phone = null where id = 3")


@pytest.mark.parametrize(
    "sql",
    [
        "update person set note = email",
        "update person set note = 'x' || lower(email) where id = 1",
        "update person set note = (select p.email from person p where p.id = 2) where id = 1",
        "update person set note = q.email from person q where q.id = person.boss",
        "update person set (note, phone) = (select email, 'x' from person where id = 1)",
        "update person set note = person::text",
        "update person set note = shout",
        """insert into person (id, email) values (1, 'x')
           on conflict (id) do update set note = person.email""",
    ],
)
def test_set_from_an_expression_that_reads_a_masked_column_is_refused(
    world: World, sql: str
) -> None:
    assert world.refused("reader", sql).sqlstate == "42501"


def test_merge_sees_the_mask(world: World) -> None:
    merge = (
        "merge into person t using (values ('bob@example.org', 2)) v(email, id) on t.{0} = v.{0} "
        "when matched {1} then update set note = {2}"
    )
    error = world.refused("reader", merge.format("id", "", "t.email"))
    assert error.sqlstate == "42501"
    with world.undone("reader") as connection:
        assert connection.execute(merge.format("email", "", "'x'")).rowcount == 0
        matched = "and t.email = 'bob@example.org'"
        assert connection.execute(merge.format("id", matched, "'x'")).rowcount == 0
        assert connection.execute(merge.format("id", "", "'x'")).rowcount == 1


def test_conditions_of_changes_see_the_mask(world: World) -> None:
    with world.undone("reader") as connection:
        for sql in (
            "update person set note = 'x' where email = 'bob@example.org'",
            "delete from person where email = 'bob@example.org'",
            "update person set note = 'x' from person q where q.email = 'bob@example.org'",
            "delete from person using person q where q.id = person.id and q.email like 'bob@%'",
            """insert into person (id, email) values (2, 'x')
               on conflict (id) do update set note = 'x' where person.email = 'bob@example.org'""",
        ):
            assert connection.execute(sql).rowcount == 0, sql


def test_copies_into_other_tables_are_copies_of_the_mask(world: World) -> None:
    with world.undone("owner") as connection:
        connection.execute("create table taken as select * from person")
        connection.execute("insert into taken select * from person")
        connection.execute("select email into again from person")
        shown = connection.execute("select email from taken union select email from again")
        assert {row[0] for row in shown.fetchall()} == {ALICE, BOB, CAROL}


# -- what uses the values as they are -------------------------------------------------------------


def test_unique_and_foreign_keys_and_generated_columns_use_the_values(world: World) -> None:
    duplicate = "insert into person (id, email) values (7, 'bob@example.org')"
    assert world.refused("reader", duplicate).sqlstate == "23505"
    with world.undone("lead") as connection:
        connection.execute("update person set email = 'bert@example.org' where id = 2")
        shout = connection.execute("select shout from person where id = 2").fetchone()
        assert shout == ("BERT@EXAMPLE.ORG",)
    with world.undone("owner") as connection:
        connection.execute(
            "create table letter (sender text references person (email) on update cascade)"
        )
        connection.execute("insert into letter values ('bob@example.org')")
        connection.execute("update person set email = 'bert@example.org' where id = 2")
        assert connection.execute("select * from letter").fetchall() == [("bert@example.org",)]
        connection.execute("alter table letter drop constraint letter_sender_fkey")
        # Validated against the real values, although the owner is shown masks.
        connection.execute("alter table letter add foreign key (sender) references person (email)")


def test_checks_use_the_values(world: World) -> None:
    world.ask("owner", "create table checked (id int primary key, code text check (code <> 'bad'))")
    mask = "alter table checked alter code add masked with (function = 'constant(\"bad\")')"
    world.ask("owner", mask)
    world.ask("owner", "insert into checked values (1, 'good')")
    assert world.refused("owner", "update checked set code = 'bad'").sqlstate == "23514"
    assert world.value("owner", "select code from checked") == "bad"
    world.ask("owner", "drop table checked")


def test_rewriting_a_table_keeps_the_values(world: World) -> None:
    """DDL by an owner who is shown masks must not store them."""
    with world.undone("postgres") as connection:
        connection.execute("set role changing_owner")
        connection.execute("alter table person alter column salary type numeric(12,3)")
        connection.execute("alter table person add column extra int default 7")
        connection.execute("create index on person (email)")
        connection.execute("set role changing_lead")
        rows = connection.execute("select email, phone, salary from person order by id").fetchall()
        assert [row[0] for row in rows][:2] == ["alice@example.org", "bob@example.org"]
        assert rows[0][1] == "0123456789"
        found = connection.execute("select id from person where email = 'bob@example.org'")
        assert found.fetchall() == [(2,)]


# -- DDL ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "create index on person (lower(email))",
        "create index on person (id) where email > 'b'",
        "alter table person add check (email > 'a')",
        "alter table person alter column phone type text using phone || 'x'",
        "alter table person alter column phone type int using 1 + length(phone)",
        "alter table person alter column phone type varchar(30)",
    ],
)
def test_expressions_of_ddl_over_a_masked_column_take_unmask(world: World, sql: str) -> None:
    assert world.refused("owner", sql).sqlstate == "42501"
    world.ask("owner", "grant unmask on person to changing_owner")
    with world.undone("owner") as connection:
        connection.execute(sql)
    world.ask("owner", "revoke unmask on person from changing_owner")


def test_a_generated_column_inherits_full_and_keeps_it(world: World) -> None:
    assert ("shout", "full()", True) in world.ask(
        "owner", "select columnname, function, inherited from helios_masks"
    )
    with world.undone("owner") as connection:
        connection.execute("alter table person alter column shout drop expression")
        assert connection.execute("select distinct shout from person").fetchall() == [("XXXX",)]
    with world.undone("owner") as connection:
        connection.execute(
            "alter table person add column twice text generated always as (email || email) stored"
        )
        assert connection.execute("select distinct twice from person").fetchall() == [("XXXX",)]


def test_owners_add_masks_and_only_mask_administrators_drop_them(world: World) -> None:
    drop = "alter table person alter column email drop masked"
    weaker = "alter table person alter column email add masked with (function = 'constant(\"x\")')"
    for role in ("owner", "postgres"):
        assert world.refused(role, drop).sqlstate == "42501"
        assert world.refused(role, weaker).sqlstate == "42501"
        assert world.refused(role, "security label on column person.email is null").sqlstate == (
            "42501"
        )
    assert world.refused("guard", drop).sqlstate == "42501"  # not the owner
    world.admin.execute("grant helios_mask_admin to changing_owner")
    with world.undone("owner") as connection:
        connection.execute(drop)
        shown = connection.execute("select email from person where id = 1").fetchone()
        assert shown == ("alice@example.org",)
    world.admin.execute("revoke helios_mask_admin from changing_owner")


def test_dropping_and_renaming_columns(world: World) -> None:
    with world.undone("owner") as connection:
        connection.execute("alter table person rename column email to mail")
        connection.execute("alter table person drop column phone")
        rows = connection.execute("select mail, born from person where id = 1").fetchall()
        assert rows[0][0] == ALICE


def test_syntax_and_its_errors(world: World) -> None:
    alter = "alter table person alter column note add masked with (function = '{}')"
    for call, sqlstate in (
        ("full(1)", "22023"),
        ("partial(1)", "22023"),
        ("partial(-1, \"x\", 0)", "22023"),
        ("nonsense()", "42883"),
        ("upper(note)", "22023"),
        ("public.mine()", "42501"),
        ("noise(0.1)", "42804"),
        ("date(\"year\")", "42804"),
        ("", "22023"),
    ):  # fmt: skip
        assert world.refused("owner", alter.format(call)).sqlstate == sqlstate, call
    assert world.refused("owner", "alter table person alter nix drop masked").sqlstate == "42703"
    assert world.refused("owner", "alter table person alter note drop masked").sqlstate == "42704"
    assert world.refused("reader", alter.format("full()")).sqlstate == "42501"
    world.ask("owner", "create table masked (masked int)")  # the word stays free
    world.ask("owner", "drop table masked")


# -- errors, EXPLAIN, statistics ------------------------------------------------------------------


def test_errors_show_the_mask(world: World) -> None:
    error = world.refused("reader", "select email::int from person where id = 1")
    assert ALICE in str(error)
    assert "alice@" not in str(error)
    for role in ("reader", "owner"):
        error = world.refused(role, "insert into person (id, email) values (8, 'bob@example.org')")
        assert error.diag.message_detail == f"Key (email)=({BOB}) already exists."
    error = world.refused(
        "owner", "insert into person (id, email, boss) values (8, 'x@example.org', 99)"
    )
    assert error.diag.message_detail == 'Key (boss)=(99) is not present in table "person".'
    with world.undone("owner") as connection:
        connection.execute("alter table person add check (id < 8)")
        with pytest.raises(psycopg.errors.CheckViolation) as caught:
            connection.execute("insert into person (id, email) values (8, 'x@example.org')")
        assert "(8, xXXX@XXXX.com, null," in str(caught.value.diag.message_detail)


def test_explain_shows_the_mask_and_no_values(world: World) -> None:
    shown = "\n".join(
        row[0]
        for row in world.ask(
            "reader",
            "explain (verbose, costs off) select email from person where born > '1985-1-1'",
        )
    )
    assert "mask_email(person.email)" in shown
    assert "mask_date(person.born)" in shown
    assert "example" not in shown


def test_statistics_tell_nothing_of_masked_columns(world: World) -> None:
    world.ask("owner", "analyze person")
    sql = (
        "select n_distinct, most_common_vals is null, histogram_bounds is null, correlation "
        "from pg_stats where tablename = 'person' and attname = 'email'"
    )
    assert world.ask("reader", sql) == [(0.0, True, True, None)]
    assert world.ask("lead", sql) != [(0.0, True, True, None)]


def test_the_log_is_told_of_masks_and_of_unmask(world: World) -> None:
    def events(*names: str) -> list[dict[str, Any]]:
        lines = world.server.log_path.read_text().splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        return [entry for entry in entries if entry["event"] in names]

    names = ("mask.changed", "unmask.granted", "unmask.revoked")
    before = len(events(*names))
    mask = "alter table person alter note add masked with (function = 'constant(\"s3cret\")')"
    with world.undone("owner") as connection:
        connection.execute(mask)
    assert len(events(*names)) == before, "what is rolled back is not told"
    world.ask("owner", "create table told (id int primary key, a text)")
    world.ask("owner", mask.replace("person alter note", "told alter a"))
    world.ask("owner", "grant unmask (a) on told to changing_owner")
    world.ask("owner", "revoke unmask (a) on told from changing_owner")
    world.ask("owner", "drop table told")
    told = events(*names)[before:]
    assert [(e["event"], e.get("table", e.get("object")), e["by"]) for e in told] == [
        (name, "told", "changing_owner") for name in names
    ]
    assert told[0]["mask"] == "constant"
    assert "s3cret" not in json.dumps(told)


# -- labels ---------------------------------------------------------------------------------------


def test_labels_and_what_has_none(world: World) -> None:
    unlabelled = (
        "select columnname from helios_unlabelled_columns where tablename = 'person' order by 1"
    )
    names = ["boss", "id", "note", "salary", "shout"]
    assert [row[0] for row in world.ask("owner", unlabelled)] == names
    with world.undone("owner") as connection:
        connection.execute("security label for heliosd on column person.note is 'personal'")
        connection.execute("security label on column person.salary is 'card data'")
        connection.execute("security label on table person is 'confidential'")
        rows = connection.execute(unlabelled).fetchall()
        assert [row[0] for row in rows] == ["boss", "id", "shout"]
        rows = connection.execute(
            "select objtype, objname, provider, label from pg_seclabels where label !~ 'MASKED'"
            " order by 2"
        ).fetchall()
        assert rows == [
            ("table", "person", "heliosd", "confidential"),
            ("column", "person.note", "heliosd", "personal"),
            ("column", "person.salary", "heliosd", "card data"),
        ]
    assert world.refused("owner", "security label for x on table person is 'a'").sqlstate == "22023"
    assert world.refused(
        "owner", "security label on table person is 'MASKED WITH (FUNCTION = ''full()'')'"
    ).sqlstate == ("42809")
    assert world.refused(
        "owner", "security label on column person.note is 'MASKED WIHT (FUNCTION = ''full()'')'"
    ).sqlstate == ("22023")


def test_a_label_is_the_same_act_as_add_masked(world: World) -> None:
    with world.undone("owner") as connection:
        connection.execute(
            "security label on column person.note is "
            "'personal; masked with (function = ''partial(1, \"*\", 0)'')'"
        )
        shown = connection.execute("select note from person where id = 1").fetchone()
        assert shown == ("f*",)
        label = connection.execute(
            "select label from pg_seclabels where objname = 'person.note'"
        ).fetchone()
        assert label == ("personal; MASKED WITH (FUNCTION = 'partial(1, \"*\", 0)')",)
