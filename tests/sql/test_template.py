"""Which literals become slots, and that a match means the same template by real tokens."""

from __future__ import annotations

import random
import re
from decimal import Decimal

import pytest

from heliosd.sql.lexer import tokenize
from heliosd.sql.template import make_template, template_pattern


@pytest.mark.parametrize(
    ("text", "template", "values"),
    [
        ("SELECT a FROM t WHERE b = 12;", "SELECT a FROM t WHERE b = $1;", (12,)),
        ("UPDATE t SET a = a + -5 WHERE b = 'x'", "UPDATE t SET a = a + -$1 WHERE b = $2",
         (5, "x")),
        ("INSERT INTO t (a, b) VALUES (1, 2.50), (3, 'é''e')",
         "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4)", (1, Decimal("2.50"), 3, "é'e")),
        ("select 3000000000", "select $1", (3_000_000_000,)),
        ("select x+1, count(*) from t group by x+1", "select x+$1, count(*) from t group by x+$1",
         (1,)),
        ("select 1 from t order by 1, 2 limit 5 offset 2",
         "select $1 from t order by 1, 2 limit 5 offset 2", (1,)),
        ("select a from t where s like 'a%' and b in (1,2)",
         "select a from t where s like 'a%' and b in ($1,$2)", (1, 2)),
        ("select x::varchar(10) from t where y = '1'::numeric(10,2)",
         "select x::varchar(10) from t where y = $1::numeric(10,2)", ("1",)),
        ("delete from t where d < date '2020-01-01' or e = 4",
         "delete from t where d < date '2020-01-01' or e = $1", (4,)),
        ("select $$5$$, 5 -- 5 'five'\n", "select $1, $2 -- 5 'five'\n", ("5", 5)),
        ("select E'\\n5', '5'", "select $1, $2", ("\n5", "5")),
        ("select a from t where b = 1 /* 2 '3 */ and c = 4",
         "select a from t where b = $1 /* 2 '3 */ and c = $2", (1, 4)),
    ],
)  # fmt: skip
def test_templates(text: str, template: str, values: tuple[object, ...]) -> None:
    taken = make_template(tokenize(text))
    assert taken is not None
    assert taken.text == template
    assert taken.values == values


@pytest.mark.parametrize(
    "text",
    ["", "set x = 5", "create table t (a varchar(5) default 7)", "select a from t",
     "select coalesce(a, 5) from t", "select interval '1 day'", "select 'unterminated",
     "select $1 + 5", "explain select 5", "select generate_series(1, 5)"],
)  # fmt: skip
def test_no_template(text: str) -> None:
    assert make_template(tokenize(text)) is None


LITERALS = ["0", "7", "123456789", "2147483648", "1.5", "1e5", ".5", "'a'", "'a''b'", "'5'", "''",
            "E'x\\'y'", "$$q$$", "$t$'$t$", "'a\n'", "U&'d\\0061t'", "1_0", "'x' 'y'",
            "'x'\n'y'", "12abc", "0x1F", "'\\'", "$1"]  # fmt: skip
SHAPES = [
    "SELECT a FROM t WHERE b = {0};",
    "SELECT a FROM t WHERE b={0}and c={1}",
    "INSERT INTO t VALUES ({0},{1} , {2})",
    "UPDATE t SET a = a +{0}, b = {1} WHERE c = -{2} -- {0}",
    "SELECT {0}/* {1} */, {1}",
    "SELECT x + {0} FROM t GROUP BY x + {0}",
    "SELECT DISTINCT {0}, {0}, {1} FROM t",
]


def test_a_match_means_the_same_tokens() -> None:
    """Whatever text a template's pattern accepts, the tokens take apart in the same way."""
    rng = random.Random(5)
    matched = 0
    for _ in range(20_000):
        shape = rng.choice(SHAPES)
        first = shape.format(*rng.choices(LITERALS, k=3))
        taken = make_template(tokenize(first))
        if taken is None:
            continue
        known = re.compile(template_pattern(first, taken))
        other = shape.format(*rng.choices(LITERALS, k=3))
        found = known.fullmatch(other)
        if found is None:
            continue
        matched += 1
        again = make_template(tokenize(other))
        assert again is not None
        assert again.text == taken.text, (first, other)
        assert again.types == taken.types
        for group, value in zip(found.groups(), again.values, strict=True):
            assert type(value)(group) == value
    assert matched > 350
