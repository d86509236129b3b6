"""Each plan rule as pairs: the statement, its plan as written, its plan after the rule."""

from __future__ import annotations

import pytest

from tests.sql.plan_text import after, before

FOLDED = [
    ("select x from a where id = 1 + 2", "Project(Filter(a where v1.0 = 3): v1.1)"),
    ("select x from a where true and id = 1", "Project(Filter(a where v1.0 = 1): v1.1)"),
    ("select x from a where false and id = 1", "Project(Filter(a where False): v1.1)"),
    ("select x from a where 1 / 0 = id", "Project(Filter(a where 1 / 0 = v1.0): v1.1)"),
    ("select coalesce(null, 5, id) from a", "Project(a: 5)"),
]

PAIRS = [
    # push_predicates, join_keys
    (
        "select a.x, b.y from a, b where a.id = b.id and a.x = 'q' and b.y > 1",
        "Project(Filter(inner(a, b) where v1.0 = v2.0 and v1.1 = 'q' and v2.1 > 1): v1.1, v2.1)",
        (
            "Project(inner(a [0, 1] where v1.1 = 'q', b [0, 1] where v2.1 > Decimal('1')"
            " keys v1.0 = v2.0): v1.1, v2.1)"
        ),
    ),
    (
        "select a.id from a left join b on a.id = b.id and b.y > 1 where a.x = 'q'",
        "Project(Filter(left(a, b where v1.0 = v2.0 and v2.1 > 1) where v1.1 = 'q'): v1.0)",
        (
            "Project(left(a [0, 1] where v1.1 = 'q', b [0, 1] where v2.1 > Decimal('1')"
            " keys v1.0 = v2.0): v1.0)"
        ),
    ),
    (
        "select a.id from a left join b on a.id = b.id where b.id > 1",
        "Project(Filter(left(a, b where v1.0 = v2.0) where v2.0 > 1): v1.0)",
        "Project(inner(a [0], b [0] where v2.0 > 1 keys v1.0 = v2.0): v1.0)",
    ),
    (
        "select a.id from a left join b on a.id = b.id where b.id is null",
        "Project(Filter(left(a, b where v1.0 = v2.0) where NullTest(v2.0)): v1.0)",
        "Project(Filter(left(a [0], b [0] keys v1.0 = v2.0) where NullTest(v2.0)): v1.0)",
    ),
    (
        "select id, count(*) from b group by id having id = 3",
        "Project(Filter(Aggregate(b by v1.0: AggregateCall()) where v3.0 = 3): v3.0, v3.1)",
        "Project(Aggregate(b [0] where v1.0 = 3 by v1.0: AggregateCall()): v3.0, v3.1)",
    ),
    (
        "select * from (select id from a union all select id from b) u where id = 2",
        "Project(Filter(union(Project(a: v1.0), Project(b: v2.0)) where v3.0 = 2): v3.0)",
        (
            "Project(union(Project(a [0] where v1.0 = 2: v1.0),"
            " Project(b [0] where v2.0 = 2: v2.0)): v3.0)"
        ),
    ),
    (
        "select * from (select id from a limit 2) l where id = 1",
        "Project(Filter(Project(Limit(a): v1.0) where v2.0 = 1): v2.0)",
        "Project(Filter(Limit(a [0]) where v1.0 = 1): v1.0)",
    ),
    (
        "select a.id from a, lateral (select y from b where b.id = a.id) s",
        "Project(lateral inner(a, Project(Filter(b where v2.0 = v1.0): v2.1)): v1.0)",
        "Project(inner(a [0], b [0] keys v1.0 = v2.0): v1.0)",
    ),
    # semi_joins
    (
        "select x from a where exists (select 1 from b where b.id = a.id and b.y > 1)",
        (
            "Project(Filter(a where EXISTS[Project(Filter(b where v2.0 = v1.0 and v2.1 > 1): 1)]):"
            " v1.1)"
        ),
        "Project(semi(a [0, 1], b [0, 1] where v2.1 > Decimal('1') keys v1.0 = v2.0): v1.1)",
    ),
    (
        "select x from a where id in (select id from b)",
        "Project(Filter(a where ANY[Project(b: v2.0)]): v1.1)",
        "Project(semi(a [0, 1], b [0] keys v1.0 = v2.0): v1.1)",
    ),
    (
        "select x from a where id not in (select id from b)",
        "Project(Filter(a where not ANY[Project(b: v2.0)]): v1.1)",
        "Project(null-aware anti(a [0, 1], b [0] keys v1.0 = v2.0): v1.1)",
    ),
    (
        "select x from a where not exists (select 1 from b where b.id = a.id)",
        "Project(Filter(a where not EXISTS[Project(Filter(b where v2.0 = v1.0): 1)]): v1.1)",
        "Project(anti(a [0, 1], b [0] keys v1.0 = v2.0): v1.1)",
    ),
    (
        "select x from a where exists (select 1 from b)",
        "Project(Filter(a where EXISTS[Project(b: 1)]): v1.1)",
        "Project(a [1] where EXISTS[Project(b []: 1)]: v1.1)",
    ),
    # inline_projects
    (
        "select s.i from (select id + 1 as i from b) s where s.i = 5",
        "Project(Filter(Project(b: v1.0 + 1) where v2.0 = 5): v2.0)",
        "Project(b [0] where v1.0 + 1 = 5: v1.0 + 1)",
    ),
    (
        "select s.one from a left join (select id, 1 as one from b) s on a.id = s.id",
        "Project(left(a, Project(b: v2.0, 1) where v1.0 = v3.0): v3.1)",
        "Project(left(a [0], Project(b [0]: v2.0, 1) keys v1.0 = v3.0): v3.1)",
    ),
    (
        "select * from v where id = 1",
        (
            "Project(Filter(Project(Aggregate(a by v2.0: AggregateCall()): v4.0, v4.1)"
            " where v1.0 = 1): v1.0, v1.1)"
        ),
        "Project(Aggregate(a [0] where v2.0 = 1 by v2.0: AggregateCall()): v4.0, v4.1)",
    ),
    # inline_ctes
    (
        "with q as (select id from a) select * from q where id = 1",
        "With(q = Project(a: v1.0): Project(Filter(cte(q) where v2.0 = 1): v2.0))",
        "Project(a [0] where v1.0 = 1: v1.0)",
    ),
    (
        "with q as materialized (select id from a) select * from q",
        "With(q = Project(a: v1.0): Project(cte(q): v2.0))",
        "With(q = Project(a [0]: v1.0): Project(cte(q): v2.0))",
    ),
    (
        "with q as not materialized (select id from a) select q.id from q, q r",
        "With(q = Project(a: v1.0): Project(inner(cte(q), cte(r)): v2.0))",
        "With(q = Project(a [0]: v1.0): Project(inner(cte(q), cte(r)): v2.0))",
    ),
    # count_rows, index_extremes
    (
        "select count(*) from a",
        "Project(Aggregate(a by : AggregateCall()): v3.0)",
        "Project(CountRows(a): v3.0)",
    ),
    (
        "select count(*) from a where id > 1",
        "Project(Aggregate(Filter(a where v1.0 > 1) by : AggregateCall()): v3.0)",
        "Project(Aggregate(a [0] where v1.0 > 1 by : AggregateCall()): v3.0)",
    ),
    (
        "select max(id) from a",
        "Project(Aggregate(a by : AggregateCall(v1.0)): v3.0)",
        "Project(IndexExtreme(a.0 True): v3.0)",
    ),
    (
        "select max(x) from a",
        "Project(Aggregate(a by : AggregateCall(v1.1)): v3.0)",
        "Project(Aggregate(a [1] by : AggregateCall(v1.1)): v3.0)",
    ),
]


@pytest.mark.parametrize(("statement", "folded"), FOLDED)
def test_constants_fold(statement: str, folded: str) -> None:
    assert after(statement, "fold_constants") == folded


@pytest.mark.parametrize(("statement", "written", "optimized"), PAIRS)
def test_pairs(statement: str, written: str, optimized: str) -> None:
    assert before(statement) == written
    assert after(statement) == optimized


def test_volatile_predicates_stay_where_they_are() -> None:
    plan = after("select 1 from (select id from a) s, b where random() < 0.5")
    assert plan.startswith("Project(Filter(inner(a [], b []) where random()")


def test_a_volatile_output_is_not_copied() -> None:
    plan = after("select r, r from (select random() as r from a) s")
    assert plan == "Project(Project(a []: random()): v2.0, v2.0)"
