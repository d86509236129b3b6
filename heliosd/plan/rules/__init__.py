"""The rules that rewrite a logical plan, each in its own file, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from heliosd.plan.nodes import (
    Aggregate,
    Filter,
    Join,
    LogicalPlan,
    Plan,
    Project,
    SubPlan,
    With,
)
from heliosd.plan.rules import (
    count_rows,
    fold_constants,
    hash_subqueries,
    index_extremes,
    inline_ctes,
    inline_projects,
    join_keys,
    prune_columns,
    push_predicates,
    semi_joins,
)
from heliosd.plan.walk import map_node, map_subplans, subplans
from heliosd.sql.bound import Expr


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule; it is passed over where a plan has none of the nodes in `needs` (empty: always)."""

    name: str
    apply: Callable[[Plan], Plan]
    needs: frozenset[type[Any]] = frozenset()


BEFORE_SUBQUERIES: Final = (
    Rule("fold_constants", fold_constants.apply),
    Rule("inline_ctes", inline_ctes.apply, frozenset({With})),
    Rule("semi_joins", semi_joins.apply, frozenset({SubPlan})),
)
"""These see the whole plan, subqueries as written."""

PER_QUERY: Final = (
    Rule("inline_projects", inline_projects.apply, frozenset({Project})),
    Rule("push_predicates", push_predicates.apply, frozenset({Filter, Join})),
    Rule("hash_subqueries", hash_subqueries.apply, frozenset({SubPlan})),
    Rule("join_keys", join_keys.apply, frozenset({Join})),
    Rule("count_rows", count_rows.apply, frozenset({Aggregate})),
    Rule("index_extremes", index_extremes.apply, frozenset({Aggregate})),
)
"""These are applied to each query for itself, the innermost first."""


def optimize(plan: LogicalPlan, skipped: frozenset[str] = frozenset()) -> LogicalPlan:
    """Apply every rule whose name is not in `skipped` (helios.debug_rules_off)."""
    root = optimize_query(plan.root, skipped)
    if "prune_columns" not in skipped:
        root = prune_columns.apply(root)
    return replace(plan, root=root)


def optimize_query(root: Plan, skipped: frozenset[str] = frozenset()) -> Plan:
    """All rules but the pruning of columns, which needs the whole statement."""
    kinds = _kinds(root)
    for rule in BEFORE_SUBQUERIES:
        if rule.name not in skipped and (not rule.needs or rule.needs & kinds):
            root = rule.apply(root)
    if SubPlan in kinds:
        root = _subqueries(root, skipped)
        kinds = _kinds(root)
    elif With in kinds:
        kinds = _kinds(root)
    for rule in PER_QUERY:
        if rule.name not in skipped and rule.needs & kinds:
            root = rule.apply(root)
    return root


def _kinds(root: Plan) -> frozenset[type[Any]]:
    """The kinds of nodes in a plan; `Project` only where one is not the root."""
    found: set[type[Any]] = set()
    below: list[Plan] = []

    def on_plan(plan: Plan) -> Plan:
        found.add(type(plan))
        below.append(plan)
        return plan

    def on_expression(expression: Expr) -> Expr:
        inside = subplans(expression)
        if inside:
            found.add(SubPlan)
            below.extend(inside)
        return expression

    if not isinstance(root, Project):
        found.add(type(root))
    below.append(root)
    while below:
        map_node(below.pop(), on_plan, on_expression)
    return frozenset(found)


def _subqueries(root: Plan, skipped: frozenset[str]) -> Plan:
    """Optimise the queries inside expressions."""
    return map_node(
        root,
        lambda below: _subqueries(below, skipped),
        lambda expression: map_subplans(expression, lambda below: optimize_query(below, skipped)),
    )
