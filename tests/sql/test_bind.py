"""What binding yields: types, names, parameters, privileges, dependencies."""

from __future__ import annotations

import pytest

from heliosd.errors import SqlError
from heliosd.sql.bound import (
    And,
    Call,
    Case,
    Cast,
    CastMethod,
    Const,
    InList,
    Insert,
    Privilege,
    Select,
    SubqueryRel,
    Update,
    Values,
    Var,
)
from tests.sql.binding import bind

TYPES = [
    ("select 1, 10000000000, 1.5, 'x', null, true", [23, 20, 1700, 25, 25, 16]),
    ("select 9223372036854775808, -2147483648", [1700, 23]),
    ("select id + 1, id + 1.5, id || 'x' from a", [23, 1700, 25]),
    ("select count(*), sum(id), avg(id), max(x) from a", [20, 20, 1700, 25]),
    ("select coalesce(id, 1.5), greatest(1, 2::int8) from a", [1700, 20]),
    ("select case when true then 1 else 2.5 end", [1700]),
    ("select array[1, 2], array[1, 2.5], '{1}'::int[]", [1007, 1231, 1007]),
    ("select id in (1, 2), x like 'a', exists (select 1) from a", [16, 16, 16]),
    ("select 1 union select 2.5", [1700]),
    ("values (1, 'a'), (2.5, null)", [1700, 25]),
    ("select v, d + 1, d - d from c", [1043, 1082, 23]),
    ("select (select max(y) from b), array(select id from a)", [1700, 1007]),
    ("select row_number() over (), sum(id) over () from a", [20, 20]),
]


@pytest.mark.parametrize(("text", "types"), TYPES)
def test_result_types(text: str, types: list[int]) -> None:
    assert [column.type for column in bind(text).columns] == types


NAMES = [
    ("select 1, id, a.x, id as k from a", ["?column?", "id", "x", "k"]),
    ("select count(*), max(id), lower(x), id::text, 1::int8 from a where false group by id, x",
     ["count", "max", "lower", "id", "int8"]),
    ("select case when true then 1 end, coalesce(1), nullif(1, 2), greatest(1)",
     ["case", "coalesce", "nullif", "greatest"]),
    ("select exists (select 1), array[1], row(1), (select id from a), current_date, true",
     ["exists", "array", "row", "id", "current_date", "?column?"]),
    ("select extract(year from d), d at time zone 'utc', substring(v from 1) from c",
     ["extract", "timezone", "substring"]),
    ("select * from (values (1, 2)) t", ["column1", "column2"]),
    ("select * from generate_series(1, 2)", ["generate_series"]),
    ("select * from generate_series(1, 2) g", ["g"]),
    ("select * from generate_series(1, 2) with ordinality t(n, o)", ["n", "o"]),
    ("select * from a join b using (id)", ["id", "x", "y"]),
    ("select case when true then x end, case when true then 1 else id end from a", ["case", "id"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "names"), NAMES)
def test_result_names(text: str, names: list[str]) -> None:
    assert [column.name for column in bind(text).columns] == names


PARAMETERS = [
    ("select * from a where id = $1", (23,)),
    ("select * from a where x = $1 and id > $2", (25, 23)),
    ("select $1", (25,)),
    ("select $1::int + $2", (23, 23)),
    ("select * from a where id = any($1)", (1007,)),
    ("select * from a limit $1 offset $2", (20, 20)),
    ("insert into c values ($1, $2, $3, $4)", (20, 1043, 1082, 701)),
    ("insert into a select $1, $2", (23, 25)),
    ("update a set x = $1 where id = $2", (25, 23)),
    ("select * from a where id in ($1, $2)", (23, 23)),
    ("select coalesce($1, 5)", (23,)),
    ("select case when $1 then 1 end", (16,)),
    ("select y + $1 from b", (1700,)),
]


@pytest.mark.parametrize(("text", "types"), PARAMETERS)
def test_parameters_are_inferred(text: str, types: tuple[int, ...]) -> None:
    assert bind(text).parameter_types == types


def test_given_parameter_types_hold() -> None:
    assert bind("select $1 + 1", (20,)).columns[0].type == 20


def test_a_parameter_has_one_type() -> None:
    with pytest.raises(SqlError) as caught:
        bind("select * from a where id = $1 and x = $1")
    assert caught.value.sqlstate == "42883"


def test_an_unused_parameter_number_is_indeterminate() -> None:
    with pytest.raises(SqlError) as caught:
        bind("select $2::int")
    assert caught.value.sqlstate == "42P18"
    assert caught.value.message == "could not determine data type of parameter $1"


def test_columns_tell_their_origin() -> None:
    columns = bind("select s.k, s.n from (select id as k, id + 1 as n from a) s").columns
    assert [(c.table, c.column) for c in columns] == [(1000, 1), (0, 0)]


def test_privileges_are_by_table_and_column() -> None:
    needed = bind("update a set x = y::text from b where a.id = b.id").privileges
    assert set(needed) == {
        Privilege("table", 1000, "a", "UPDATE", (1,)),
        Privilege("table", 1000, "a", "SELECT", (0,)),
        Privilege("table", 1100, "b", "SELECT", (0, 1)),
    }


def test_counting_rows_needs_some_column() -> None:
    assert bind("select count(*) from a").privileges == (
        Privilege("table", 1000, "a", "SELECT", ()),
    )


def test_a_view_is_read_with_its_owners_privileges() -> None:
    bound = bind("select n from v")
    assert set(bound.privileges) == {
        Privilege("table", 1300, "v", "SELECT", (1,)),
        Privilege("table", 1000, "a", "SELECT", (0,), 77),
    }
    assert dict(bound.dependencies) == {1300: 1, 1000: 1000}
    query = bound.statement
    assert isinstance(query, Select)
    rel = query.from_items[0]
    assert isinstance(rel, SubqueryRel)
    assert rel.view == 1300


def test_casts_are_explicit_nodes() -> None:
    query = bind("select * from a, c where a.id = c.id and c.v = 'x'").statement
    assert isinstance(query, Select)
    (row,) = [bind("insert into b values (1, 5)").statement]
    assert isinstance(row, Insert)
    value = row.row[1]
    assert isinstance(value, Cast)
    assert value.method is CastMethod.LENGTH
    assert value.typmod == 327686


def test_lists_and_between() -> None:
    query = bind("select id in (1, 2, 3), x in ('a', lower(x)) from a").statement
    assert isinstance(query, Select)
    assert isinstance(query.targets[0].expression, InList)


def test_case_with_a_subject() -> None:
    query = bind("select case id when 1 then 'one' else x end from a").statement
    assert isinstance(query, Select)
    case = query.targets[0].expression
    assert isinstance(case, Case)
    assert isinstance(case.subject, Var)
    assert isinstance(case.branches[0][0], Call)


def test_insert_of_several_rows_is_values() -> None:
    insert = bind("insert into a values (1, 'x'), (2, default)").statement
    assert isinstance(insert, Insert)
    assert isinstance(insert.source, Values)
    assert insert.source.rows[1][1] == Const(None, 25, -1, 100)


def test_update_sees_old_and_returns_new() -> None:
    update = bind("update a set id = id + 1 returning id").statement
    assert isinstance(update, Update)
    returned = update.returning[0].expression
    assert isinstance(returned, Var)
    assert returned.rel == update.new_rel != update.rel


def test_grouping_by_the_primary_key_frees_the_other_columns() -> None:
    assert bind("select x from a group by id").columns[0].name == "x"


def test_user_text_is_data_only() -> None:
    bound = bind("""select 'it''s; import os' as "__import__('os')" from a as "b; c" """)
    query = bound.statement
    assert isinstance(query, Select)
    assert query.targets[0].expression == Const("it's; import os", 25, -1, 100)


def test_an_updatable_view_stands_for_its_table() -> None:
    bound = bind("update w set k = 5 where up = 'X' returning up")
    update = bound.statement
    assert isinstance(update, Update)
    assert update.table.oid == 1000
    assert [each.column for each in update.assignments] == [0]
    assert isinstance(update.where, And)
    assert set(bound.privileges) == {
        Privilege("table", 1400, "w", "UPDATE", (0,)),
        Privilege("table", 1400, "w", "SELECT", (1,)),
        Privilege("table", 1000, "a", "UPDATE", (0,), 77),
        Privilege("table", 1000, "a", "SELECT", (0, 1), 77),
    }


@pytest.mark.parametrize(
    ("text", "sqlstate", "message"),
    [
        ("update w set up = 'x'", "0A000", 'cannot update column "up" of view "w"'),
        ("insert into w values (1, 'x')", "0A000", 'cannot insert into column "up" of view "w"'),
        ("delete from v", "55000", 'cannot delete from view "v"'),
        ("update w set nope = 1", "42703", 'column "nope" of relation "w" does not exist'),
    ],
)
def test_what_a_view_refuses(text: str, sqlstate: str, message: str) -> None:
    with pytest.raises(SqlError) as caught:
        bind(text)
    assert (caught.value.sqlstate, caught.value.message) == (sqlstate, message)
