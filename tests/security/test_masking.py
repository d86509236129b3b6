"""Masks, rule by rule: wherever a masked column is read, the mask is what is read (S-22)."""

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
    made = World(server, "masking")
    yield made
    made.close()


# -- reading --------------------------------------------------------------------------------------

READS: dict[str, tuple[str, Any]] = {
    "target": ("select email from person where id = 1", [(ALICE,)]),
    "star": ("select * from person where id = 3", None),
    "real value in where": ("select id from person where email = 'bob@example.org'", []),
    "like in where": ("select id from person where email like 'bob@%'", []),
    "mask in where": (f"select id from person where email = '{BOB}'", [(2,)]),
    "expression": ("select upper(email) from person where id = 1", [(ALICE.upper(),)]),
    "order by": ("select id from person order by email desc, id", [(3,), (2,), (1,)]),
    "order by a date": ("select id from person order by born desc nulls last, id", None),
    "group by": ("select email, count(*) from person group by email order by 1",
                 [(ALICE, 1), (BOB, 1), (CAROL, 1)]),
    "having": ("select count(*) from person group by email having min(email) like 'bob@%'", []),
    "aggregate": ("select min(email), max(email), count(distinct email) from person",
                  [(ALICE, CAROL, 3)]),
    "array": ("select array_agg(email order by id) from person", [([ALICE, BOB, CAROL],)]),
    "window": ("select first_value(email) over (order by id) from person where id = 2", [(BOB,)]),
    "distinct on": ("select distinct on (email) email from person order by email",
                    [(ALICE,), (BOB,), (CAROL,)]),
    "join": ("select a.id from person a join person b on a.email = b.email order by 1",
             [(1,), (2,), (3,)]),
    "join with a literal": (
        "select p.id from person p join (values ('bob@example.org')) v(e) on v.e = p.email", []),
    "using": ("select email from person a join person b using (email) where a.id = 1", [(ALICE,)]),
    "natural join": ("select count(*) from person natural join (select email from person) q",
                     [(3,)]),
    "outer join": ("select i, email from (values (1), (9)) v(i) left join person on id = i",
                   None),
    "subquery": ("select (select email from person where id = 2)", [(BOB,)]),
    "exists": ("select exists (select from person where email = 'bob@example.org')", [(False,)]),
    "in": ("select 'bob@example.org' in (select email from person)", [(False,)]),
    "correlated": ("""select id from person p where exists (
                       select from person q where q.email = p.email
                       and q.email like 'bob@%')""", []),
    "lateral": ("select l.e from person p, lateral (select p.email as e) l where p.id = 1",
                [(ALICE,)]),
    "cte": ("with q as (select * from person) select email from q where id = 1", [(ALICE,)]),
    "recursive": ("""with recursive r(id, email) as (select id, email from person where id = 2
                      union all select p.id, p.email from person p join r on p.id = r.id - 1)
                      select email from r order by id""", [(ALICE,), (BOB,)]),
    "union": ("select email from person union select 'x' order by 1",
              [(ALICE,), (BOB,), (CAROL,), ("x",)]),
    "whole row": ("select p from person p where id = 1", None),
    "row as json": ("select row_to_json(p)->>'email' from person p where id = 1", [(ALICE,)]),
    "field of a row": ("select (p).email from person p where id = 1", [(ALICE,)]),
    "row of an outer join": ("""select p is null, p::text like '%example.org%'
                                 from (values (1), (9)) v(i) left join person p on p.id = v.i
                                 order by i""", [(False, False), (True, None)]),
    "table": ("table person", None),
    "case": ("select case when email like 'bob@%' then 1 else 0 end from person where id = 2",
             [(0,)]),
    "coalesce": ("select coalesce(phone, 'none') from person order by id",
                 [("01..89",), ("98..10",), ("none",)]),
    "row comparison": ("select id from person where (email, id) = ('bob@example.org', 2)", []),
    "in list": ("select id from person where email in ('bob@example.org', 'x')", []),
    "grouping sets": ("select email, count(*) from person group by rollup (email) order by 1",
                      [(ALICE, 1), (BOB, 1), (CAROL, 1), (None, 3)]),
    "functional dependency": ("select id, email from person group by id order by 1 limit 1",
                              [(1, ALICE)]),
    "renamed columns": ("select b, p from person p(a, b) where a = 1", None),
    "modifying cte": ("""with q as (update person set note = note where id = 1 returning *)
                         select email, q::text like '%example%' from q""", [(ALICE, False)]),
    "locked": ("select email from person where id = 1 for update", [(ALICE,)]),
    "generated": ("select shout from person where id = 1", [("XXXX",)]),
}  # fmt: skip


@pytest.mark.parametrize("place", READS)
def test_reading(world: World, place: str) -> None:
    sql, expected = READS[place]
    rows = world.ask("reader", sql)
    if expected is not None:
        assert rows == expected
    shown = repr(rows)
    assert "example.org" not in shown
    assert "EXAMPLE" not in shown
    assert "0123456789" not in shown
    assert "1980, 5" not in shown


def test_a_role_with_unmask_reads_the_values(world: World) -> None:
    assert world.ask("lead", "select email, phone from person where email like 'bob@%'") == [
        ("bob@example.org", "9876543210")
    ]


def test_null_stays_null(world: World) -> None:
    assert world.ask("reader", "select phone, born from person where id = 3") == [(None, None)]


def test_prepared_with_a_parameter(world: World) -> None:
    sql = "select id from person where email = %s"
    assert world.connect("reader").execute(sql, ("bob@example.org",)).fetchall() == []
    assert world.connect("lead").execute(sql, ("bob@example.org",)).fetchall() == [(2,)]


def test_a_cursor(world: World) -> None:
    with world.undone("reader") as connection:
        connection.execute("declare c cursor for select email from person order by id")
        assert connection.execute("fetch all from c").fetchall() == [(ALICE,), (BOB,), (CAROL,)]


def test_copy(world: World) -> None:
    assert world.copy("reader", "copy person (id, email, phone) to stdout") == [
        f"1\t{ALICE}\t01..89", f"2\t{BOB}\t98..10", f"3\t{CAROL}\t\\N",
    ]  # fmt: skip
    assert world.copy("reader", "copy (select email from person where id = 1) to stdout") == [ALICE]


def test_copy_of_a_table_that_is_large_enough_to_be_copied_by_pages(world: World) -> None:
    world.ask("owner", "create table large (id int primary key, secret text)")
    world.ask("owner", "insert into large select i, 'secret' from generate_series(1, 5000) i")
    world.ask("owner", "alter table large alter secret add masked with (function = 'full()')")
    lines = world.copy("owner", "copy large to stdout")
    assert len(lines) == 5000
    assert {line.split("\t")[1] for line in lines} == {"XXXX"}
    world.ask("owner", "drop table large")


# -- who is shown what ----------------------------------------------------------------------------


def test_owners_and_superusers_are_not_exempt(world: World) -> None:
    sql = "select email from person where id = 1"
    assert world.value("owner", sql) == ALICE
    assert world.value("postgres", sql) == ALICE
    assert world.value("lead", sql) == "alice@example.org"


@pytest.mark.parametrize(
    ("on", "sees_phone"),
    [
        ("person (email)", False),
        ("person", True),
        ("schema public", True),
        ("database masking", True),
    ],
)
def test_unmask_on_column_table_schema_and_database(
    world: World, on: str, sees_phone: bool
) -> None:
    sql = "select email, phone from person where id = 1"
    granting = "postgres" if "database" in on or "schema" in on else "owner"
    reader = world.connect("reader")
    assert reader.execute(sql).fetchall() == [(ALICE, "01..89")]
    world.ask(granting, f"grant unmask on {on} to masking_reader")
    phone = "0123456789" if sees_phone else "01..89"
    assert reader.execute(sql).fetchall() == [("alice@example.org", phone)]
    world.ask(granting, f"revoke unmask on {on} from masking_reader")
    assert reader.execute(sql).fetchall() == [(ALICE, "01..89")]


def test_postgresqls_way_to_name_columns_is_understood_too(world: World) -> None:
    world.ask("owner", "grant unmask (phone), select on person to masking_reader")
    assert world.value("reader", "select phone from person where id = 1") == "0123456789"
    world.ask("owner", "revoke unmask (phone) on person from masking_reader")
    assert world.value("reader", "select phone from person where id = 1") == "01..89"


def test_unmask_comes_with_membership(world: World) -> None:
    world.admin.execute("grant masking_lead to masking_reader")
    sql = "select email from person where id = 1"
    assert world.value("reader", sql) == "alice@example.org"
    world.admin.execute("revoke masking_lead from masking_reader")
    assert world.value("reader", sql) == ALICE


def test_all_privileges_do_not_grant_unmask_and_take_it_away(world: World) -> None:
    sql = "select email from person where id = 1"
    world.ask("owner", "grant all on person to masking_reader")
    assert world.value("reader", sql) == ALICE
    world.ask("owner", "grant unmask on person to masking_reader")
    world.ask("owner", "revoke all on person from masking_reader")
    world.ask("owner", "grant select, insert, update, delete on person to masking_reader")
    assert world.value("reader", sql) == ALICE


def test_predefined_roles_do_not_unmask(world: World) -> None:
    world.admin.execute("grant pg_read_all_data to masking_reader")
    assert world.value("reader", "select email from person where id = 1") == ALICE
    world.admin.execute("revoke pg_read_all_data from masking_reader")


def test_a_new_owner_does_not_get_the_old_ones_unmask(world: World) -> None:
    with world.undone("postgres") as connection:
        connection.execute("grant unmask on person to masking_owner")
        connection.execute("grant unmask (email) on person to masking_owner")
        connection.execute("alter table person owner to masking_guard")
        connection.execute("set role masking_guard")
        shown = connection.execute("select email from person where id = 1").fetchone()
        assert shown == (ALICE,)


def test_unmask_can_be_granted_on_and_falls_with_the_option(world: World) -> None:
    sql = "select email from person where id = 1"
    world.ask("owner", "grant unmask on person to masking_guard with grant option")
    world.ask("guard", "grant unmask on person to masking_reader")
    assert world.value("reader", sql) == "alice@example.org"
    world.ask("owner", "revoke unmask on person from masking_guard cascade")
    assert world.value("reader", sql) == ALICE


def test_privilege_functions_know_unmask(world: World) -> None:
    ask = (
        "select has_column_privilege(r, 'person', 'email', 'UNMASK'), "
        "has_table_privilege(r, 'person', 'UNMASK'), has_schema_privilege(r, 'public', 'UNMASK') "
        "from unnest(array['masking_lead', 'masking_reader', 'masking_owner', 'postgres']) r"
    )
    none = (False, False, False)
    assert world.ask("postgres", ask) == [(True, True, False), none, none, none]


def test_policies_use_the_values(world: World) -> None:
    with world.undone("postgres") as connection:
        connection.execute("grant unmask on person to masking_owner")
        connection.execute("set role masking_owner")
        connection.execute("create policy bobs on person using (email like 'bob@%')")
        connection.execute("alter table person enable row level security")
        connection.execute("set role masking_reader")
        assert connection.execute("select id, email from person").fetchall() == [(2, BOB)]
    error = world.refused("owner", "create policy bobs on person using (email like 'bob@%')")
    assert error.sqlstate == "42501"


def test_a_plan_is_not_shared_between_roles(world: World) -> None:
    """One session as both roles: the same text, prepared once, asked by each in turn."""
    with world.session("postgres") as connection:
        connection.execute("prepare p as select email from person where id = 1")
        for _ in range(3):
            connection.execute("set role masking_lead")
            assert connection.execute("execute p").fetchall() == [("alice@example.org",)]
            connection.execute("set role masking_reader")
            assert connection.execute("execute p").fetchall() == [(ALICE,)]


# -- views ----------------------------------------------------------------------------------------


def test_a_view_shows_values_only_if_owner_and_caller_have_unmask(world: World) -> None:
    sql = "select email from {} where id = 1"
    world.ask("owner", "create view by_owner as select id, email, note from person")
    world.ask("owner", "grant select, update on by_owner to masking_lead, masking_reader")
    world.ask("postgres", "grant create on schema public to masking_lead")
    world.ask("lead", "create view by_lead as select id, email, note from person")
    world.ask("lead", "grant select, update on by_lead to masking_lead, masking_reader")
    assert world.value("lead", sql.format("by_owner")) == ALICE
    assert world.value("lead", sql.format("by_lead")) == "alice@example.org"
    assert world.value("reader", sql.format("by_lead")) == ALICE
    assert world.ask("reader", "select id from by_lead where email = 'bob@example.org'") == []
    # Changing through the view reads the column as selecting from it does.
    update = "update {} set note = 'x' where email = 'bob@example.org' returning email"
    assert world.ask("reader", update.format("by_lead")) == []
    assert world.ask("lead", update.format("by_owner")) == []
    with world.undone("lead") as connection:
        assert connection.execute(update.format("by_lead")).fetchall() == [("bob@example.org",)]
    world.ask("lead", "drop view by_lead")
    world.ask("owner", "drop view by_owner")
    world.ask("postgres", "revoke create on schema public from masking_lead")


def test_materialized_views_inherit_full(world: World) -> None:
    """Made by a role with UNMASK it holds the values: what is computed from them is hidden."""
    world.ask("postgres", "grant create on schema public to masking_lead")
    query = """
        with recursive r(email, n) as (
            select email, 1 from person union select email || '!', n + 1 from r where n < 2
        ), named as (select id, upper(email) as loud from person)
        select p.id, p.note, p.email, named.loud, p.id + 1 as next, r.email as deep,
            (select min(q.phone) from person q where q.id = p.id) as phone,
            exists (select from person q where q.email like 'a%' and q.id = p.id) as is_a,
            count(*) over (partition by p.id) as many
        from person p join named using (id), r where r.n = 2 and r.email like p.email || '%'
    """
    world.ask("lead", f"create materialized view held as {query}")
    world.ask("lead", "grant select on held to masking_reader")
    sql = "select * from held where id = 1"
    hidden = (1, "first", "XXXX", "XXXX", 2, "XXXX", "XXXX", False, 1)
    assert world.ask("reader", sql) == [hidden]
    assert world.ask("lead", sql) == [hidden], "UNMASK on the sources is not UNMASK on the copy"
    world.ask("lead", "grant unmask on held to masking_lead")
    values = world.ask("lead", sql)[0]
    assert values[2:4] == ("alice@example.org", "ALICE@EXAMPLE.ORG")
    assert values[5:8] == ("alice@example.org!", "0123456789", True)
    assert world.ask("reader", "select id from held where email = 'alice@example.org'") == []
    masked = world.ask("reader", "select columnname from helios_masks where tablename = 'held'")
    assert {row[0] for row in masked} == {"email", "loud", "deep", "phone", "is_a"}
    # A mask that comes later holds at once, for statements that are prepared, too.
    with world.session("reader") as connection:
        for _ in range(2):
            found = connection.execute("select note from held where id = 1", prepare=True)
            assert found.fetchone() == ("first",)
        world.ask("owner", "alter table person alter note add masked with (function = 'null()')")
        found = connection.execute("select note from held where id = 1", prepare=True)
        assert found.fetchone() == ("XXXX",)
    world.admin.execute("grant helios_mask_admin to masking_owner")
    world.ask("owner", "alter table person alter note drop masked")
    world.admin.execute("revoke helios_mask_admin from masking_owner")
    world.ask("lead", "refresh materialized view held")
    assert world.ask("reader", sql) == [hidden]
    world.ask("lead", "drop materialized view held")
    # By a role without UNMASK it holds masks, whoever reads it.
    world.ask("owner", "create materialized view held as select id, email from person")
    world.ask("owner", "grant select, unmask on held to masking_lead")
    assert world.value("lead", "select email from held where id = 1") == ALICE
    world.ask("owner", "drop materialized view held")
    world.ask("postgres", "revoke create on schema public from masking_lead")


def test_an_invokers_view_asks_the_caller_alone(world: World) -> None:
    world.ask(
        "owner", "create view invoked with (security_invoker) as select id, email from person"
    )
    world.ask("owner", "grant select on invoked to masking_lead, masking_reader")
    assert world.value("lead", "select email from invoked where id = 1") == "alice@example.org"
    assert world.value("reader", "select email from invoked where id = 1") == ALICE
    world.ask("owner", "drop view invoked")


# -- functions of users ---------------------------------------------------------------------------


def test_a_security_definers_function_asks_its_owner(world: World) -> None:
    world.ask("postgres", "grant create on schema public to masking_lead")
    body = "as 'select email from person where id = 1'"
    for role in ("owner", "lead"):
        for kind in ("definer", "invoker"):
            name = f"{role}_{kind}()"
            world.ask(
                role, f"create function {name} returns text language sql security {kind} {body}"
            )
    assert world.value("reader", "select lead_definer()") == "alice@example.org"
    assert world.value("reader", "select lead_invoker()") == ALICE
    assert world.value("reader", "select owner_definer()") == ALICE
    assert world.value("lead", "select owner_definer()") == ALICE
    assert world.value("lead", "select owner_invoker()") == "alice@example.org"
    for role in ("owner", "lead"):
        for kind in ("definer", "invoker"):
            world.ask(role, f"drop function {role}_{kind}()")
    world.ask("postgres", "revoke create on schema public from masking_lead")


def test_a_users_function_is_a_mask_that_mask_administrators_may_name(world: World) -> None:
    make = (
        "create function public.cut(value text, shown int) returns text language sql {} "
        "as 'select left(value, shown) || session_user::text'"
    )
    mask = "alter table person alter column note add masked with (function = 'public.cut(3)')"
    world.ask("owner", make.format("immutable"))
    assert world.refused("owner", mask).sqlstate == "42501"
    world.admin.execute("grant helios_mask_admin to masking_owner")
    for sqlstate, options in (("42P17", "immutable"), ("42P17", "security definer")):
        world.ask("owner", "drop function cut(text, int)")
        world.ask("owner", make.format(options))
        assert world.refused("owner", mask).sqlstate == sqlstate
    assert world.refused("owner", mask.replace("3", "3, 4")).sqlstate == "42883"
    assert world.refused("owner", mask.replace("3", '"x"')).sqlstate in ("22P02", "42P17")
    world.ask("owner", "alter function cut(text, int) immutable")
    with world.undone("owner") as connection:
        connection.execute(mask)
        found = connection.execute("select note from person order by id").fetchall()
        assert found == [("firmasking_owner",), ("secmasking_owner",), (None,)]
        found = connection.execute(
            "select v.i, note from (values (1), (9)) v(i) left join person p on p.id = v.i"
        ).fetchall()
        assert found == [(1, "firmasking_owner"), (9, None)]
        # What is no longer fit hides all.
        connection.execute("alter function cut(text, int) security invoker")
        assert connection.execute("select note from person where id = 1").fetchone() == ("XXXX",)
        connection.execute("drop function cut(text, int)")
        assert connection.execute("select note from person where id = 1").fetchone() == ("XXXX",)
    world.ask("owner", "drop function cut(text, int)")
    world.admin.execute("revoke helios_mask_admin from masking_owner")


# -- indexes and keys -----------------------------------------------------------------------------


def plan(world: World, role: str, sql: str) -> str:
    return "\n".join(row[0] for row in world.ask(role, f"explain (costs off) {sql}"))


def test_indexes_on_the_column_do_not_serve_masked_roles(world: World) -> None:
    sql = "select id from person where email = 'bob@example.org'"
    assert "person_email_key" in plan(world, "lead", sql)
    shown = plan(world, "reader", sql)
    assert "person_email_key" not in shown
    assert "mask_email(" in shown
    assert "Index" not in plan(world, "reader", "select min(email) from person")


def test_a_primary_key_cannot_be_masked(world: World) -> None:
    mask = "alter table person alter column id add masked with (function = 'full()')"
    assert world.refused("owner", mask).sqlstate == "42P16"
    world.ask("owner", "create table keyless (a int not null)")
    world.ask("owner", "alter table keyless alter a add masked with (function = 'full()')")
    error = world.refused("owner", "alter table keyless add primary key (a)")
    assert error.sqlstate == "42P16"
    world.ask("owner", "drop table keyless")


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
        connection.execute("set role masking_owner")
        connection.execute("alter table person alter column salary type numeric(12,3)")
        connection.execute("alter table person add column extra int default 7")
        connection.execute("create index on person (email)")
        connection.execute("set role masking_lead")
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
    world.ask("owner", "grant unmask on person to masking_owner")
    with world.undone("owner") as connection:
        connection.execute(sql)
    world.ask("owner", "revoke unmask on person from masking_owner")


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
    world.admin.execute("grant helios_mask_admin to masking_owner")
    with world.undone("owner") as connection:
        connection.execute(drop)
        shown = connection.execute("select email from person where id = 1").fetchone()
        assert shown == ("alice@example.org",)
    world.admin.execute("revoke helios_mask_admin from masking_owner")


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
    world.ask("owner", "grant unmask (a) on told to masking_owner")
    world.ask("owner", "revoke unmask (a) on told from masking_owner")
    world.ask("owner", "drop table told")
    told = events(*names)[before:]
    assert [(e["event"], e.get("table", e.get("object")), e["by"]) for e in told] == [
        (name, "told", "masking_owner") for name in names
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
