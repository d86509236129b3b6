"""What binding refuses: SQLSTATE, message and position as PostgreSQL 15 gives them."""

from __future__ import annotations

import pytest

from heliosd.errors import SqlError
from tests.sql.binding import bind

REFUSED = [
    ("select nope from a", "42703", 'column "nope" does not exist', 8),
    ("select a.nope from a", "42703", "column a.nope does not exist", 8),
    ("select b.id from a", "42P01", 'missing FROM-clause entry for table "b"', 8),
    ("select * from nosuch", "42P01", 'relation "nosuch" does not exist', 15),
    ("select * from no.such", "42P01", 'relation "no.such" does not exist', 15),
    ("select id from a, b", "42702", 'column reference "id" is ambiguous', 8),
    ("select * from a, a", "42712", 'table name "a" specified more than once', 0),
    (
        "select id, count(*) from b",
        "42803",
        'column "b.id" must appear in the GROUP BY clause or be used in an aggregate function',
        8,
    ),
    (
        "select (select max(a.id) from a where a.id = b.id and b.y > 0), id from b group by id",
        "42803",
        'subquery uses ungrouped column "b.y" from outer query',
        55,
    ),
    ("select 1 from a where count(*) > 1", "42803",
     "aggregate functions are not allowed in WHERE", 23),
    ("select count(count(*)) from a", "42803", "aggregate function calls cannot be nested", 14),
    ("select 1 from a where rank() over () = 1", "42P20",
     "window functions are not allowed in WHERE", 23),
    ("select * from a order by 5", "42P10", "ORDER BY position 5 is not in select list", 26),
    ("select id from a union select x from a", "42804",
     "UNION types integer and text cannot be matched", 31),
    ("select id from a union select id, x from a", "42601",
     "each UNION query must have the same number of columns", 31),
    ("select case when 1 then 2 end", "42804",
     "argument of CASE/WHEN must be type boolean, not type integer", 18),
    ("select * from a where x", "42804",
     "argument of WHERE must be type boolean, not type text", 23),
    ("select * from a where x = 5", "42883", "operator does not exist: text = integer", 25),
    ("select 1 + 'x'", "22P02", 'invalid input syntax for type integer: "x"', 12),
    ("select foo(1, 'a')", "42883", "function foo(integer, unknown) does not exist", 8),
    ("select 'x'::nosuchtype", "42704", 'type "nosuchtype" does not exist', 13),
    ("select 1::date", "42846", "cannot cast type integer to date", 9),
    ("select (select 1, 2)", "42601", "subquery must return only one column", 8),
    ("select distinct x from a order by id", "42P10",
     "for SELECT DISTINCT, ORDER BY expressions must appear in select list", 35),
    ("with recursive q as (select * from q union all select 1) select 1", "42P19",
     'recursive reference to query "q" must not appear within its non-recursive term', 36),
    ("insert into a values (1, 'x', 3)", "42601",
     "INSERT has more expressions than target columns", 31),
    ("insert into a (id, x) values (1)", "42601",
     "INSERT has more target columns than expressions", 20),
    ("insert into a (nope) values (1)", "42703",
     'column "nope" of relation "a" does not exist', 16),
    ("insert into a values (now())", "42804",
     'column "id" is of type integer but expression is of type timestamp with time zone', 23),
    ("insert into a values (1) on conflict (x) do nothing", "42P10",
     "there is no unique or exclusion constraint matching the ON CONFLICT specification", 0),
    ("update a set id = 1, id = 2", "42601", 'multiple assignments to same column "id"', 0),
    ("update a set x = count(*)", "42803", "aggregate functions are not allowed in UPDATE", 18),
    ("select * from a limit id", "42P10", "argument of LIMIT must not contain variables", 23),
    ("select (1, 2) = (1, 2, 3)", "42601", "unequal number of entries in row expressions", 15),
    ("select sum(id) over nope from a", "42704", 'window "nope" does not exist', 21),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sqlstate", "message", "position"), REFUSED)
def test_refused(text: str, sqlstate: str, message: str, position: int) -> None:
    with pytest.raises(SqlError) as caught:
        bind(text)
    error = caught.value
    assert (error.sqlstate, error.message, error.position) == (sqlstate, message, position)


def test_hints_name_similar_columns() -> None:
    with pytest.raises(SqlError) as caught:
        bind("select idd from a")
    assert caught.value.hint == 'Perhaps you meant to reference the column "a.id".'


def test_deep_subqueries_are_refused_cleanly() -> None:
    text = "select 1"
    for _ in range(300):
        text = f"select * from ({text}) q"
    with pytest.raises(SqlError) as caught:
        bind(text)
    assert caught.value.sqlstate == "54001"
