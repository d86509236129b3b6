"""EXISTS, IN and their negations in WHERE become joins.

    Filter(exists(select .. from b where b.i = a.i), a) -> Join(semi, a, b, on b.i = a.i)
    Filter(a.i in (select i from b), a)                 -> Join(semi, a, b, on a.i = b.i)
    Filter(not exists(...), a)                          -> Join(anti, a, b, ...)
    Filter(not (a.i in (select i from b)), a)           -> Join(null-aware anti, a, b, on a.i = b.i)

A subquery whose outer references stand anywhere but in its own WHERE stays a subquery.
"""

from __future__ import annotations

from collections.abc import Sequence

from heliosd.plan.columns import given_rels
from heliosd.plan.expression_facts import is_volatile
from heliosd.plan.nodes import (
    Distinct,
    Filter,
    Join,
    JoinKind,
    Plan,
    Project,
    Sort,
    SubPlan,
)
from heliosd.plan.walk import (
    Columns,
    expression_vars,
    map_inputs,
    parameters_of,
    replacing,
    rewrite,
    used_rels,
)
from heliosd.sql.bound import And, Expr, Not, SubLinkKind


def apply(plan: Plan) -> Plan:
    """Turn what can be turned, from the bottom up."""
    plan = map_inputs(plan, apply)
    if not isinstance(plan, Filter):
        return plan
    kept: list[Expr] = []
    below = plan.input
    for predicate in plan.predicates:
        joined = _joined(below, predicate)
        if joined is None:
            kept.append(predicate)
        else:
            below = joined
    if below is plan.input:
        return plan
    if not kept:
        return below
    # Plain predicates go below the new joins again when predicates are pushed.
    return Filter(below, tuple(kept))


def _joined(left: Plan, predicate: Expr) -> Plan | None:
    negated = False
    while isinstance(predicate, Not):
        negated = not negated
        predicate = predicate.argument
    if not isinstance(predicate, SubPlan):
        return None
    if predicate.kind is SubLinkKind.EXISTS:
        return _exists(left, predicate, negated=negated)
    if predicate.kind is SubLinkKind.ANY:
        return _any(left, predicate, negated=negated)
    return None


def _exists(left: Plan, subplan: SubPlan, *, negated: bool) -> Plan | None:
    found = _opened(subplan.plan)
    if found is None:
        return None
    right, predicates, _ = found
    if not predicates:
        # Not correlated: one evaluation answers it for all rows.
        return None
    kind = JoinKind.ANTI if negated else JoinKind.SEMI
    return Join(kind, left, apply(right), (), predicates)


def _any(left: Plan, subplan: SubPlan, *, negated: bool) -> Plan | None:
    test = subplan.test
    assert test is not None
    around = given_rels(left)
    own = {subplan.rel, *(var.rel for var in subplan.outputs)}
    outside = frozenset(v.rel for v in expression_vars(test) if v.rel not in own)
    if is_volatile(test) or not outside & around:
        return None
    tests = test.arguments if isinstance(test, And) else (test,)
    if not subplan.parameters:
        kind = JoinKind.NULL_AWARE_ANTI if negated else JoinKind.SEMI
        if negated and len(tests) > 1:
            return None
        return Join(kind, left, apply(subplan.plan), (), tuple(tests))
    if negated:
        return None
    found = _opened(subplan.plan)
    if found is None:
        return None
    right, predicates, outputs = found
    moved = tuple(rewrite(each, replacing(outputs)) for each in tests)
    return Join(JoinKind.SEMI, left, apply(right), (), (*moved, *predicates))


def _opened(plan: Plan) -> tuple[Plan, tuple[Expr, ...], Columns] | None:
    """(what is below the subquery's outputs, its correlated predicates, output -> expression).

    None when outer references remain below, or when more than a WHERE stands in between.
    """
    outputs: Columns = {}
    while True:
        if isinstance(plan, Sort | Distinct):
            plan = plan.input
        elif isinstance(plan, Project) and not plan.barrier:
            project = plan
            moved = tuple(rewrite(e, replacing(outputs)) for e in project.expressions)
            if any(is_volatile(e) for e in moved):
                return None
            inner: Columns = {(project.rel, i): e for i, e in enumerate(moved)}
            outputs = {
                **{k: rewrite(v, replacing(inner)) for k, v in outputs.items()},
                **inner,
            }
            plan = project.input
        else:
            break
    predicates: Sequence[Expr] = ()
    if isinstance(plan, Filter):
        predicates = plan.predicates
        plan = plan.input
    inside = given_rels(plan)
    if parameters_of(plan):
        return None
    local: list[Expr] = []
    correlated: list[Expr] = []
    for predicate in predicates:
        used = used_rels(predicate)
        if used <= inside:
            local.append(predicate)
        elif is_volatile(predicate) or not used & inside:
            return None
        else:
            correlated.append(predicate)
    return (Filter(plan, tuple(local)) if local else plan), tuple(correlated), outputs
