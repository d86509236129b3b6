"""Masks, rule by rule: wherever a masked column is read, the mask is what is read (S-22)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
