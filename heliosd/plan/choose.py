"""Logical plan -> physical plan: a chooser per node class, and the statements that change data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from heliosd.plan import choose_join, choose_rows, choose_scan, physical
from heliosd.plan import nodes as logical
from heliosd.plan.choose_columns import column_choice
from heliosd.plan.physical import Physical
from heliosd.plan.planner import Planner, PlannerServices, Wish, collect_facts

if TYPE_CHECKING:
    from heliosd.sql.bound import RowCheck


def choose_plan(plan: logical.LogicalPlan, services: PlannerServices) -> Physical:
    """The physical plan of a statement."""
    planner = Planner(services, CHOOSERS)
    planner.columns = column_choice(plan.root, services.columns)
    collect_facts(plan.root, planner)
    return planner.choose(plan.root)


def choose_insert(planner: Planner, plan: logical.InsertRows, wish: Wish) -> Physical:
    below = planner.choose(plan.source)
    statement = plan.statement
    if plan.on_conflict is not None:
        conflict = plan.on_conflict
        if conflict.assignments is not None:
            where = conflict.where
            conflict = replace(
                conflict,
                assignments=tuple(
                    replace(a, expression=planner.expression(a.expression))
                    for a in conflict.assignments
                ),
                where=None if where is None else planner.expression(where),
                existing_checks=_checks(planner, conflict.existing_checks),
                checks=_checks(planner, conflict.checks),
            )
        statement = replace(statement, on_conflict=conflict)
    return physical.InsertRows(
        statement,
        below,
        planner.expressions(plan.row),
        planner.expressions(plan.returning),
        _checks(planner, plan.checks),
        below.estimate,
    )


def _checks(planner: Planner, checks: tuple[RowCheck, ...]) -> tuple[RowCheck, ...]:
    return tuple(replace(c, expression=planner.expression(c.expression)) for c in checks)


def choose_update(planner: Planner, plan: logical.UpdateRows, wish: Wish) -> Physical:
    below = planner.choose(plan.input)
    return physical.UpdateRows(
        plan.statement,
        below,
        tuple(replace(a, expression=planner.expression(a.expression)) for a in plan.assignments),
        planner.expressions(plan.returning),
        choose_rows.recheck_predicates(below),
        _checks(planner, plan.checks),
        below.estimate,
    )


def choose_delete(planner: Planner, plan: logical.DeleteRows, wish: Wish) -> Physical:
    below = planner.choose(plan.input)
    return physical.DeleteRows(
        plan.statement,
        below,
        planner.expressions(plan.returning),
        choose_rows.recheck_predicates(below),
        below.estimate,
    )


def choose_merge(planner: Planner, plan: logical.MergeRows, wish: Wish) -> Physical:
    below = planner.choose(plan.input)
    whens = tuple(
        replace(
            when,
            condition=None if when.condition is None else planner.expression(when.condition),
            assignments=tuple(
                replace(a, expression=planner.expression(a.expression)) for a in when.assignments
            ),
            row=planner.expressions(when.row),
            target_checks=_checks(planner, when.target_checks),
            checks=_checks(planner, when.checks),
        )
        for when in plan.whens
    )
    recheck = planner.expressions(plan.condition)
    return physical.MergeRows(plan.statement, below, whens, recheck, below.estimate)


CHOOSERS: Final[Mapping[type, Callable[[Planner, Any, Wish], Physical]]] = {
    logical.OneRow: choose_scan.choose_one_row,
    logical.Scan: choose_scan.choose_scan,
    logical.FunctionScan: choose_scan.choose_function_scan,
    logical.ValuesScan: choose_scan.choose_values_scan,
    logical.CteScan: choose_scan.choose_cte_scan,
    logical.Filter: choose_rows.choose_filter,
    logical.Guard: choose_rows.choose_guard,
    logical.Project: choose_rows.choose_project,
    logical.ProjectSet: choose_rows.choose_project_set,
    logical.Join: choose_join.choose_join,
    logical.Aggregate: choose_rows.choose_aggregate,
    logical.Window: choose_rows.choose_window,
    logical.Distinct: choose_rows.choose_distinct,
    logical.Sort: choose_rows.choose_sort,
    logical.Limit: choose_rows.choose_limit,
    logical.LockRows: choose_rows.choose_lock_rows,
    logical.SetOperation: choose_rows.choose_set_operation,
    logical.Recursive: choose_rows.choose_recursive,
    logical.With: choose_rows.choose_with,
    logical.CountRows: choose_scan.choose_count_rows,
    logical.IndexExtreme: choose_rows.choose_index_extreme,
    logical.InsertRows: choose_insert,
    logical.UpdateRows: choose_update,
    logical.DeleteRows: choose_delete,
    logical.MergeRows: choose_merge,
}
