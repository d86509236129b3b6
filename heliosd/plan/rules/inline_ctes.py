"""A WITH query that is read once and has no effects takes its reader's place.

    With(q = Scan(a), CteScan(q)) -> Project(q's columns, Scan(a))

MATERIALIZED and data-modifying ones stay, and so do those with volatile functions.
"""

from __future__ import annotations

from dataclasses import replace

from heliosd.plan.expression_facts import is_volatile
from heliosd.plan.nodes import CteScan, Filter, LockRows, Plan, PlannedCte, Project, With
from heliosd.plan.walk import all_plans, map_node, map_subplans, node_expressions


def apply(plan: Plan) -> Plan:
    """Inline wherever it may be done, from the inside out."""
    plan = map_node(plan, apply, lambda e: map_subplans(e, apply))
    if not isinstance(plan, With):
        return plan
    replaced: dict[int, PlannedCte] = {}
    kept: list[PlannedCte] = []
    for each in plan.ctes:
        cte = replace(each, plan=_replaced(each.plan, replaced)) if replaced else each
        if cte.may_inline and _is_plain(cte.plan):
            replaced[cte.number] = cte
        else:
            kept.append(cte)
    if not replaced:
        return plan
    below = _replaced(plan.input, replaced)
    return replace(plan, input=below, ctes=tuple(kept)) if kept else below


def _is_plain(plan: Plan) -> bool:
    return not any(
        isinstance(node, LockRows) or any(is_volatile(e) for e in node_expressions(node))
        for node in all_plans(plan)
    )


def _replaced(plan: Plan, ctes: dict[int, PlannedCte]) -> Plan:
    if isinstance(plan, CteScan):
        cte = ctes.get(plan.rel.cte)
        if cte is None:
            return plan
        names = tuple(column.name for column in plan.rel.columns)
        made: Plan = Project(cte.plan, plan.rel.rel, cte.outputs, names)
        return Filter(made, plan.predicates) if plan.predicates else made
    return map_node(
        plan,
        lambda below: _replaced(below, ctes),
        lambda e: map_subplans(e, lambda below: _replaced(below, ctes)),
    )
