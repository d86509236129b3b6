"""The rules that rewrite a logical plan, each in its own file, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from heliosd.plan.nodes import LogicalPlan, Plan
from heliosd.plan.rules import (
    count_rows,
    fold_constants,
    index_extremes,
    inline_ctes,
    inline_projects,
    join_keys,
    prune_columns,
    push_predicates,
    semi_joins,
)
from heliosd.plan.walk import map_node, map_subplans

Rule = Callable[[Plan], Plan]

BEFORE_SUBQUERIES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "fold_constants": fold_constants.apply,
        "inline_ctes": inline_ctes.apply,
        "semi_joins": semi_joins.apply,
    }
)
"""These see the whole plan, subqueries as written."""

PER_QUERY: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "inline_projects": inline_projects.apply,
        "push_predicates": push_predicates.apply,
        "join_keys": join_keys.apply,
        "count_rows": count_rows.apply,
        "index_extremes": index_extremes.apply,
    }
)
"""These are applied to each query for itself, the innermost first."""


def optimize(plan: LogicalPlan, skipped: frozenset[str] = frozenset()) -> LogicalPlan:
    """Apply every rule whose name is not in `skipped` (helios.debug_rules_off)."""
    root = plan.root
    root = optimize_query(root, skipped)
    if "prune_columns" not in skipped:
        root = prune_columns.apply(root)
    return replace(plan, root=root)


def optimize_query(root: Plan, skipped: frozenset[str] = frozenset()) -> Plan:
    """All rules but the pruning of columns, which needs the whole statement."""
    for name, rule in BEFORE_SUBQUERIES.items():
        if name not in skipped:
            root = rule(root)
    root = _subqueries(root, skipped)
    for name, rule in PER_QUERY.items():
        if name not in skipped:
            root = rule(root)
    return root


def _subqueries(root: Plan, skipped: frozenset[str]) -> Plan:
    """Optimise the queries inside expressions."""
    return map_node(
        root,
        lambda below: _subqueries(below, skipped),
        lambda expression: map_subplans(expression, lambda below: optimize_query(below, skipped)),
    )
