"""Scans learn which of their columns anything above reads.

Project(a.x, Scan(a, a.i = 1)) -> Project(a.x, Scan(a, a.i = 1, columns i, x))
"""

from __future__ import annotations

from dataclasses import replace

from heliosd.plan.nodes import DeleteRows, MergeRows, Plan, Scan, UpdateRows
from heliosd.plan.walk import all_plans, expression_vars, map_node, map_subplans, node_expressions
from heliosd.sql.bound import WholeRow


def apply(plan: Plan) -> Plan:
    """Set `columns` of every scan in the plan and in its subqueries."""
    used: dict[int, set[int]] = {}
    whole: set[int] = set()
    for node in all_plans(plan):
        if isinstance(node, UpdateRows | DeleteRows | MergeRows):
            # The old row is written back or checked as a whole.
            whole.add(node.statement.rel)
        for expression in node_expressions(node):
            for var in expression_vars(expression):
                if isinstance(var, WholeRow):
                    whole.add(var.rel)
                else:
                    used.setdefault(var.rel, set()).add(var.column)
    return _pruned(plan, used, whole)


def _pruned(plan: Plan, used: dict[int, set[int]], whole: set[int]) -> Plan:
    plan = map_node(
        plan,
        lambda below: _pruned(below, used, whole),
        lambda e: map_subplans(e, lambda below: _pruned(below, used, whole)),
    )
    if not isinstance(plan, Scan) or plan.rel.rel in whole:
        return plan
    return replace(plan, columns=tuple(sorted(used.get(plan.rel.rel, ()))))
