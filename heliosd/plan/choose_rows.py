"""What is done with rows: project, group, sort, limit, lock; and which order comes for free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from heliosd.plan import nodes as logical
from heliosd.plan import physical
from heliosd.plan.access import direction, path_order, tests_cost
from heliosd.plan.choose_scan import choose_scan
from heliosd.plan.columns import expression_rels, given_rels
from heliosd.plan.expression_facts import is_volatile
from heliosd.plan.join_order import as_predicate
from heliosd.plan.nodes import JoinKind
from heliosd.plan.physical import Estimate, IndexScan, Physical, SeqScan
from heliosd.plan.planner import (
    ALL,
    FUNCTION_ROWS,
    HASH_ROW,
    OUT_ROW,
    RECURSIVE_FACTOR,
    SORT_ROW,
    UNKNOWN_LIMIT,
    Planner,
    Wish,
    limited,
)
from heliosd.sql.bound import Const, Expr, SortKey, Var
from heliosd.sql.bound.walk import substitute


def choose_index_extreme(planner: Planner, plan: logical.IndexExtreme, wish: Wish) -> Physical:
    """The index in the wanted direction, its NULLs left out; a scan where it does not serve."""
    rel = plan.table
    column = rel.columns[plan.column]
    value = Var(rel.rel, plan.column, column.type, column.typmod, column.collation)
    scan = logical.Scan(rel, plan.predicates, (plan.column,))
    order = (SortKey(value, plan.descending, plan.descending),)
    best = choose_scan(planner, scan, Wish(order, 1.0))
    if isinstance(best, SeqScan | IndexScan) and gives_order(planner, best, order):
        if isinstance(best, IndexScan) and best.low is None and best.high is None:
            best = replace(best, skip_nulls=True)
    else:
        best = choose_sort(planner, logical.Sort(scan, order), ALL)
    cost = limited(best.estimate, 1.0)
    return physical.IndexExtreme(best, plan.rel, value, Estimate(1.0, cost, cost, 8))


def choose_filter(planner: Planner, plan: logical.Filter, wish: Wish) -> Physical:
    predicates = planner.expressions(plan.predicates)
    share = planner.fraction(predicates)
    below = planner.choose(plan.input, Wish(wish.order, wish.rows / max(share, 0.001)))
    old = below.estimate
    estimate = Estimate(
        old.rows * share, old.startup, old.cost + old.rows * tests_cost(predicates), old.width
    )
    return physical.Filter(below, predicates, estimate)


def choose_guard(planner: Planner, plan: logical.Guard, wish: Wish) -> Physical:
    """The guard's predicates are the scan's own, after those that were let through to it."""
    if isinstance(plan.input, logical.Scan):
        return choose_scan(planner, guarded_scan(plan), wish)
    return choose_filter(planner, logical.Filter(plan.input, plan.predicates), wish)


def guarded_scan(plan: logical.Guard) -> logical.Scan:
    """A guard and its scan as one: what stands in the scan is leakproof, so it may come first."""
    scan = plan.input
    assert isinstance(scan, logical.Scan)
    # What both ask for is tested once.
    guards = tuple(p for p in plan.predicates if p not in scan.predicates or is_volatile(p))
    return replace(scan, predicates=(*scan.predicates, *guards))


def choose_project(planner: Planner, plan: logical.Project, wish: Wish) -> Physical:
    expressions = planner.expressions(plan.expressions)
    below = planner.choose(plan.input, Wish(_through(plan, wish.order), wish.rows))
    old = below.estimate
    cost = old.cost + old.rows * OUT_ROW
    return physical.Project(
        below,
        plan.rel,
        expressions,
        Estimate(old.rows, old.startup, cost, 8 * len(expressions)),
    )


def _through(plan: logical.Project, order: tuple[SortKey, ...]) -> tuple[SortKey, ...]:
    """The order in terms of the input's columns."""

    def visit(item: Expr) -> Expr | None:
        if isinstance(item, Var) and item.rel == plan.rel:
            return plan.expressions[item.column]
        return None

    return tuple(replace(key, expression=substitute(key.expression, visit)) for key in order)


def choose_project_set(planner: Planner, plan: logical.ProjectSet, wish: Wish) -> Physical:
    below = planner.choose(plan.input)
    old = below.estimate
    rows = old.rows * FUNCTION_ROWS
    return physical.ProjectSet(
        below,
        plan.rel,
        planner.expressions(plan.expressions),
        Estimate(rows, old.startup, old.cost + rows * OUT_ROW, old.width + 8),
    )


def choose_aggregate(planner: Planner, plan: logical.Aggregate, wish: Wish) -> Physical:
    below = planner.choose(plan.input)
    keys = planner.expressions(plan.keys)
    old = below.estimate
    groups = 1.0
    for key in keys:
        groups *= planner.facts.distinct(key, old.rows)
    groups = min(groups, max(old.rows, 1.0)) if keys else 1.0
    cost = old.cost + old.rows * (HASH_ROW if keys else OUT_ROW) + groups * OUT_ROW
    calls: Any = planner.expressions(plan.calls)
    return physical.Aggregate(
        below,
        plan.rel,
        keys,
        calls,
        plan.sets,
        Estimate(groups, cost, cost, 8 * (len(keys) + len(calls))),
    )


def choose_window(planner: Planner, plan: logical.Window, wish: Wish) -> Physical:
    below = planner.choose(plan.input)
    old = below.estimate
    cost = old.cost + _sort_cost(old.rows) + old.rows * HASH_ROW * len(plan.calls)
    calls: Any = planner.expressions(plan.calls)
    definition = replace(
        plan.definition,
        partition_by=planner.expressions(plan.definition.partition_by),
        order_by=tuple(
            replace(k, expression=planner.expression(k.expression))
            for k in plan.definition.order_by
        ),
    )
    return physical.Window(
        below, plan.rel, definition, calls, Estimate(old.rows, cost, cost, old.width + 8)
    )


def choose_distinct(planner: Planner, plan: logical.Distinct, wish: Wish) -> Physical:
    below = planner.choose(plan.input, Wish(wish.order, 0.0))
    old = below.estimate
    rows = old.rows * 0.5
    return physical.Distinct(
        below,
        planner.expressions(plan.keys),
        Estimate(rows, old.startup, old.cost + old.rows * HASH_ROW, old.width),
    )


def _sort_cost(rows: float) -> float:
    return rows * SORT_ROW * math.log2(max(rows, 2.0))


def choose_sort(planner: Planner, plan: logical.Sort, wish: Wish) -> Physical:
    keys = tuple(replace(k, expression=planner.expression(k.expression)) for k in plan.keys)
    ordered = planner.choose(plan.input, Wish(keys, wish.rows))
    below = planner.choose(plan.input)
    old = below.estimate
    cost = old.cost + _sort_cost(old.rows)
    by_sort = Estimate(old.rows, cost, cost, old.width)
    if gives_order(planner, ordered, keys) and limited(ordered.estimate, wish.rows) <= limited(
        by_sort, wish.rows
    ):
        return ordered
    return physical.Sort(below, keys, (), by_sort)


def gives_order(planner: Planner, plan: Physical, keys: tuple[SortKey, ...]) -> bool:
    """Whether the plan's rows come in this order."""
    match plan:
        case SeqScan() | IndexScan():
            fixed, columns = path_order(plan, planner)
            sense = direction(keys, fixed, columns)
            return sense == (-1 if plan.reverse else 1) or (
                sense == 1 and _is_all_fixed(keys, fixed)
            )
        case physical.Filter():
            return gives_order(planner, plan.input, keys)
        case physical.Project():
            inner = logical.Project(logical.OneRow(), plan.rel, plan.expressions)
            return gives_order(planner, plan.input, _through(inner, keys))
        case physical.NestedLoop() | physical.HashJoin():
            if isinstance(plan, physical.HashJoin) and plan.kind in (
                JoinKind.RIGHT,
                JoinKind.FULL,
            ):
                return False
            left = given_rels(plan.left)
            own = all(expression_rels(k.expression) <= left for k in keys)
            return own and gives_order(planner, plan.left, keys)
        case physical.Sort():
            return plan.keys[: len(keys)] == keys
        case physical.ColumnScan():
            return plan.order[: len(keys)] == keys
        case physical.Distinct() | physical.Limit():
            return gives_order(planner, plan.input, keys)
    return False


def _is_all_fixed(keys: tuple[SortKey, ...], fixed: Sequence[Expr]) -> bool:
    return all(any(k.expression == f for f in fixed) for k in keys)


def choose_limit(planner: Planner, plan: logical.Limit, wish: Wish) -> Physical:
    limit = None if plan.limit is None else planner.expression(plan.limit)
    offset = None if plan.offset is None else planner.expression(plan.offset)
    rows = _limit_rows(limit, offset)
    below = planner.choose(plan.input, Wish(wish.order, rows))
    if limit is not None and not plan.ties:
        top = (limit,) if offset is None else (limit, offset)
        below = _with_top(below, top)
    old = below.estimate
    wanted = min(old.rows, rows or old.rows)
    return physical.Limit(
        below,
        limit,
        offset,
        plan.ties,
        Estimate(wanted, old.startup, limited(old, rows), old.width),
    )


def _limit_rows(limit: Expr | None, offset: Expr | None) -> float:
    """How many rows will be read; 0 means all."""
    if limit is None or (isinstance(limit, Const) and limit.value is None):
        return 0.0
    rows = float(limit.value) if isinstance(limit, Const) else UNKNOWN_LIMIT
    if isinstance(offset, Const) and offset.value is not None:
        rows += float(offset.value)
    return max(rows, 1.0)


def _with_top(plan: Physical, top: tuple[Expr, ...]) -> Physical:
    """Tell a sort right below that only the first rows are wanted."""
    if isinstance(plan, physical.Sort):
        return replace(plan, top=top)
    if isinstance(plan, physical.Project):
        return replace(plan, input=_with_top(plan.input, top))
    return plan


def choose_lock_rows(planner: Planner, plan: logical.LockRows, wish: Wish) -> Physical:
    below = planner.choose(plan.input, wish)
    old = below.estimate
    return physical.LockRows(
        below,
        plan.locks,
        recheck_predicates(below),
        Estimate(old.rows, old.startup, old.cost + old.rows * 0.3, old.width),
    )


def recheck_predicates(plan: Physical) -> tuple[Expr, ...]:
    """The predicates that a changed row must still satisfy: those of scans and inner joins."""
    match plan:
        case SeqScan() | physical.SystemScan():
            return plan.predicates
        case IndexScan():
            return (*plan.conditions, *plan.predicates)
        case physical.Filter():
            return (*plan.predicates, *recheck_predicates(plan.input))
        case physical.NestedLoop(kind=JoinKind.INNER):
            return (
                *plan.predicates,
                *recheck_predicates(plan.left),
                *recheck_predicates(plan.right),
            )
        case physical.HashJoin(kind=JoinKind.INNER):
            return (
                *(as_predicate(k) for k in plan.keys),
                *plan.predicates,
                *recheck_predicates(plan.left),
                *recheck_predicates(plan.right),
            )
        case physical.NestedLoop() | physical.HashJoin():
            kind = plan.kind
            side = plan.right if kind is JoinKind.RIGHT else plan.left
            return () if kind is JoinKind.FULL else recheck_predicates(side)
        case physical.Sort() | physical.Limit():
            return recheck_predicates(plan.input)
    return ()


def choose_set_operation(planner: Planner, plan: logical.SetOperation, wish: Wish) -> Physical:
    one, two = planner.choose(plan.left), planner.choose(plan.right)
    a, b = one.estimate, two.estimate
    rows = {"union": a.rows + b.rows, "intersect": min(a.rows, b.rows), "except": a.rows}[plan.kind]
    cost = a.cost + b.cost + (0.0 if plan.all and plan.kind == "union" else rows * HASH_ROW)
    return physical.SetOperation(
        plan.kind,
        plan.all,
        one,
        two,
        plan.rel,
        plan.columns,
        Estimate(rows, 0.0, cost, a.width),
    )


def choose_recursive(planner: Planner, plan: logical.Recursive, wish: Wish) -> Physical:
    initial = planner.choose(plan.initial)
    planner.cte_rows[plan.cte] = max(initial.estimate.rows, 1.0)
    step = planner.choose(plan.step)
    rows = initial.estimate.rows + step.estimate.rows * RECURSIVE_FACTOR
    cost = initial.estimate.cost + step.estimate.cost * RECURSIVE_FACTOR
    return physical.Recursive(
        plan.cte,
        plan.rel,
        plan.all,
        initial,
        step,
        plan.columns,
        Estimate(rows, 0.0, cost, initial.estimate.width),
    )


def choose_with(planner: Planner, plan: logical.With, wish: Wish) -> Physical:
    kept: list[physical.KeptCte] = []
    for cte in plan.ctes:
        below = planner.choose(cte.plan)
        planner.cte_rows[cte.number] = below.estimate.rows
        kept.append(physical.KeptCte(cte.number, cte.name, below, cte.outputs, cte.modifies))
    below = planner.choose(plan.input, wish)
    cost = below.estimate.cost + sum(c.plan.estimate.cost for c in kept)
    return physical.With(below, tuple(kept), replace(below.estimate, cost=cost))
