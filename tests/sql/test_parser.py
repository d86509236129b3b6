"""The parser: trees, precedence, and errors at PostgreSQL's tokens."""

from __future__ import annotations

import random

import psycopg
import pytest

from heliosd.errors import SqlError
from heliosd.sql import tree as t
from heliosd.sql.lexer import tokenize
from heliosd.sql.parser import parse_expression, parse_statements, parse_type_name


def one(text: str) -> t.Statement:
    (statement,) = parse_statements(text)
    return statement


def shape(node: object) -> object:
    """An expression as nested tuples, for comparing precedence."""
    match node:
        case t.OperatorCall(operator=operator, left=left, right=right):
            return (operator[-1], shape(left), shape(right))
        case t.And(operands=operands) | t.Or(operands=operands):
            return (type(node).__name__.lower(), *map(shape, operands))
        case t.Not(operand=operand):
            return ("not", shape(operand))
        case t.NullTest(operand=operand):
            return ("null", shape(operand))
        case t.TypeCast(operand=operand):
            return ("cast", shape(operand))
        case t.Between(operand=operand, low=low, high=high):
            return ("between", shape(operand), shape(low), shape(high))
        case t.ColumnRef(names=names):
            return names[-1]
        case t.IntegerConstant(value=value):
            return value
        case _:
            return node


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1+2*3", ("+", 1, ("*", 2, 3))),
        ("1-2-3", ("-", ("-", 1, 2), 3)),
        ("2^3^4", ("^", ("^", 2, 3), 4)),
        ("-2^2", ("^", ("-", None, 2), 2)),
        ("a or b and not c", ("or", "a", ("and", "b", ("not", "c")))),
        ("a and b and c", ("and", "a", "b", "c")),
        ("not a = b", ("not", ("=", "a", "b"))),
        ("a = b is null", ("null", ("=", "a", "b"))),
        ("a + b is null * 2", ("*", ("null", ("+", "a", "b")), 2)),
        ("a || b + c", ("||", "a", ("+", "b", "c"))),
        ("a < b || c", ("<", "a", ("||", "b", "c"))),
        ("-a::int", ("-", None, ("cast", "a"))),
        ("a between 1 and 2 and b", ("and", ("between", "a", 1, 2), "b")),
        ("@ a + b", ("@", None, ("+", "a", "b"))),
        ("a operator(pg_catalog.+) b * c", ("+", "a", ("*", "b", "c"))),
    ],
)
def test_precedence(text: str, expected: object) -> None:
    assert shape(parse_expression(text)) == expected


@pytest.mark.parametrize(
    ("text", "message", "position"),
    [
        ("selct 1", 'syntax error at or near "selct"', 1),
        ("select 1 +", "syntax error at end of input", 11),
        ("select 1 + from t", 'syntax error at or near "from"', 12),
        ("select a < b < c", 'syntax error at or near "<"', 14),
        ("select interval(3) 5", 'syntax error at or near "5"', 20),
        ("alter table t", "syntax error at end of input", 14),
        ("select f(1)[1]", 'syntax error at or near "["', 12),
        ("select * from (select 1)", "subquery in FROM must have an alias", 15),
        ("select 1 limit 1, 2", "LIMIT #,# syntax is not supported", 10),
        ("insert into t (a values (1)", 'syntax error at or near "values"', 18),
        ("create table t (a int not nul)", 'syntax error at or near "nul"', 27),
        ("select 'x", "unterminated quoted string at or near \"'x\"", 8),
        ("select (1 'x", "unterminated quoted string at or near \"'x\"", 11),
        ("create table a.b.c.d (x int)",
         "improper qualified name (too many dotted names): a.b.c.d", 14),
        ("(select 1 order by 1) order by 2", "multiple ORDER BY clauses not allowed", 32),
        ("select a from t for updat", 'syntax error at or near "updat"', 21),
        ("with a as (select 1) ;", 'syntax error at or near ";"', 22),
    ],
)  # fmt: skip
def test_errors(text: str, message: str, position: int) -> None:
    with pytest.raises(SqlError) as raised:
        parse_statements(text)
    error = raised.value
    assert (error.sqlstate, error.message, error.position) == ("42601", message, position)


@pytest.mark.parametrize("text", ["(" * 600 + "1", "- " * 700 + "1", "array[" * 600])
def test_depth_is_bounded(text: str) -> None:
    with pytest.raises(SqlError) as raised:
        parse_statements("select " + text)
    assert raised.value.sqlstate == "54001"


def test_long_flat_chains_are_not_deep() -> None:
    text = "select 1 where " + " and ".join(f"a = {i}" for i in range(3000))
    statement = one(text)
    assert isinstance(statement, t.Select)
    assert isinstance(statement.where, t.And)
    assert len(statement.where.operands) == 3000


def test_labels_that_are_operators_words() -> None:
    statement = one("select 1 is, 2 between, a or b or from t")
    assert isinstance(statement, t.Select)
    assert [target.name for target in statement.targets] == ["is", "between", "or"]


def test_parentheses_hold_queries_rows_and_expressions() -> None:
    statement = one("select ((select 1) + 2), ((1, 2)), (((select 3)))")
    assert isinstance(statement, t.Select)
    sum_, row, link = (target.value for target in statement.targets)
    assert isinstance(sum_, t.OperatorCall)
    assert isinstance(sum_.left, t.SubLink)
    assert isinstance(row, t.RowExpression)
    assert isinstance(link, t.SubLink)


def test_joins_nest_to_the_right_until_their_condition() -> None:
    statement = one("select * from a join b join c on x on y")
    assert isinstance(statement, t.Select)
    (join,) = statement.from_items
    assert isinstance(join, t.JoinItem)
    assert isinstance(join.right, t.JoinItem)


def test_equality_ignores_positions() -> None:
    assert one("select a+1 from t") == one("select  a + 1\nfrom t")
    assert one("select a+1 from t") != one("select a+2 from t")


def test_positions_are_characters() -> None:
    statement = one("select 'ä', b")
    assert isinstance(statement, t.Select)
    assert [target.position for target in statement.targets] == [8, 13]


def test_types() -> None:
    assert parse_type_name("double precision").names == ("pg_catalog", "float8")
    assert parse_type_name("timestamp(3) with time zone[]").array_bounds == (-1,)
    assert parse_type_name("float(24)").names == ("pg_catalog", "float4")
    assert parse_type_name("interval day to second(3)").modifiers[0] == t.IntegerConstant(0, 7176)


def test_values_rows() -> None:
    statement = one("insert into t values (1, 'a', null), (-2, default, 1+1)")
    assert isinstance(statement, t.Insert)
    assert isinstance(statement.query, t.Values)
    assert [len(row) for row in statement.query.rows] == [3, 3]


_POOL = [
    "select a, count(*) from t where b in (1, 2) group by a having count(*) > 1 limit 3",
    "select x.a::int as y from x left join z using (a) where x.b between 1 and 2 or not c",
    "with q as (select 1) insert into t (a, b) select * from q on conflict (a) do nothing",
    "update t set a = a + 1, (b, c) = (1, 2) from u where t.id = u.id returning *",
    "delete from only t using u where t.a = any (array[1, 2]) returning t.a",
    "create table t (a int primary key, b text default 'x' not null, check (a > 0))",
    "alter table t add column c numeric(10, 2), drop constraint if exists k cascade",
    "create index concurrently i on t using btree (a desc nulls last, lower(b)) where a > 1",
    "select rank() over (partition by a order by b rows between 1 preceding and current row)",
    "copy t (a, b) from stdin with (format csv, header true, delimiter ',')",
    "grant select (a), insert on table t to public with grant option",
    "explain (analyze, costs off) select case when a then 1 else 2 end from t",
    "create view v as select extract(year from d), trim(both 'x' from s) from t with check option",
    "begin isolation level repeatable read, read only",
    "declare c no scroll cursor with hold for select * from t for update of t nowait",
]
_WORDS = [
    *("select", "from", "(", ")", ",", "not", "in", "as", "*", "=", "+", "1", "'x'", "a", "on"),
    *("values", "null", "[", ".", "::", "order", "all", "with", "is", "and", "operator"),
]


def test_broken_statements_fail_where_postgres_fails(postgres_dsn: str) -> None:
    """Tokens left out, put in, doubled: the same error at the same place as a live server."""
    chance = random.Random(15)
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        for _ in range(1500):
            text = chance.choice(_POOL)
            tokens = tokenize(text)
            at = chance.randrange(1, len(tokens.kinds) - 1)
            start, end = tokens.starts[at], tokens.ends[at]
            broken = chance.choice(
                [
                    text[:start] + text[end:],
                    text[:start] + chance.choice(_WORDS) + " " + text[start:],
                    text[:end] + " " + text[start:end] + text[end:],
                ]
            )
            answer = connection.pgconn.prepare(b"", broken.encode())
            theirs = None
            if answer.status != psycopg.pq.ExecStatus.COMMAND_OK:
                fields = [answer.error_field(code) for code in (67, 77, 80)]
                theirs = tuple(field.decode() if field else "" for field in fields)
            ours = None
            try:
                parse_statements(broken)
            except SqlError as error:
                ours = (error.sqlstate, error.message, str(error.position or ""))
            if theirs is not None and theirs[1].startswith("syntax error"):
                assert ours == theirs, broken
            elif ours is not None:
                # What the grammar refuses in other words than "syntax error".
                assert theirs is not None, (broken, ours)
