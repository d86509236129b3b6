"""How rows are got: the cheapest access path of a table, and sources that are no tables."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from heliosd.plan import nodes as logical
from heliosd.plan import physical
from heliosd.plan.access import CHECK, ONE_KEY, SCAN_ROW, direction, path_order, table_paths
from heliosd.plan.physical import Estimate, IndexScan, Physical, SeqScan
from heliosd.plan.planner import FUNCTION_ROWS, Planner, Wish, limited
from heliosd.sql.bound import Expr


def choose_scan(
    planner: Planner, plan: logical.Scan, wish: Wish, more: tuple[Expr, ...] = ()
) -> Physical:
    plan = replace(plan, predicates=planner.expressions(plan.predicates))
    best: Physical | None = None
    best_cost = math.inf
    for path in table_paths(plan, more, planner):
        if wish.order and isinstance(path, SeqScan | IndexScan):
            fixed, keys = path_order(path, planner)
            sense = direction(wish.order, fixed, keys)
            if not sense:
                continue
            if sense < 0:
                path = replace(path, reverse=True)
        cost = limited(path.estimate, wish.rows)
        if isinstance(path, IndexScan) and path.unique and all(p.is_single for p in path.points):
            cost = min(cost, ONE_KEY)
        if cost < best_cost:
            best, best_cost = path, cost
    if best is None:
        # No path gives the order; the caller sorts.
        return choose_scan(planner, plan, Wish((), wish.rows), more)
    return best


def _leaf(planner: Planner, plan: Any, rows: float, kind: Any) -> Physical:
    predicates = planner.expressions(plan.predicates)
    wanted = rows * planner.fraction(predicates)
    rel = plan.rel
    estimate = Estimate(wanted, 0.0, rows * (SCAN_ROW + CHECK * len(predicates)), 32)
    made: Physical = kind(rel, predicates, estimate=estimate)
    return made


def choose_function_scan(planner: Planner, plan: logical.FunctionScan, wish: Wish) -> Physical:
    functions = planner.expressions(plan.rel.functions)
    return _leaf(
        planner,
        replace(plan, rel=replace(plan.rel, functions=functions)),
        FUNCTION_ROWS,
        physical.FunctionScan,
    )


def choose_values_scan(planner: Planner, plan: logical.ValuesScan, wish: Wish) -> Physical:
    rows = tuple(planner.expressions(row) for row in plan.rel.rows)
    return _leaf(
        planner,
        replace(plan, rel=replace(plan.rel, rows=rows)),
        float(len(rows)),
        physical.ValuesScan,
    )


def choose_cte_scan(planner: Planner, plan: logical.CteScan, wish: Wish) -> Physical:
    return _leaf(planner, plan, planner.cte_rows.get(plan.rel.cte, 100.0), physical.CteScan)


def choose_one_row(planner: Planner, plan: logical.OneRow, wish: Wish) -> Physical:
    return physical.Result(Estimate(1.0, 0.0, 0.01, 0))


def choose_count_rows(planner: Planner, plan: logical.CountRows, wish: Wish) -> Physical:
    return physical.CountRows(plan.table, plan.rel, Estimate(1.0, 0.0, 0.05, 8))
