"""Predicates move down to where their columns come from.

    Filter(a.x = 1 and b.y = 2 and a.i = b.i, Join(a, b))
    -> Join(Scan(a, a.x = 1), Scan(b, b.y = 2), on a.i = b.i)

An outer join whose missing side is rejected above becomes an inner one. Nothing moves through
LIMIT, into a window's input, or below a security barrier unless it is leakproof.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from heliosd.plan.columns import given_rels
from heliosd.plan.expression_facts import is_leakproof, is_volatile, rejects_null
from heliosd.plan.nodes import (
    Aggregate,
    CteScan,
    Distinct,
    Filter,
    FunctionScan,
    Guard,
    Join,
    JoinKind,
    LockRows,
    Plan,
    Project,
    ProjectSet,
    Scan,
    SetOperation,
    Sort,
    ValuesScan,
    With,
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
from heliosd.sql.bound import Expr, Var, WholeRow

Predicates = tuple[Expr, ...]


def apply(plan: Plan) -> Plan:
    """Push every predicate as far down as it may go."""
    return push(plan, ())


def push(plan: Plan, predicates: Predicates) -> Plan:
    """The plan with `predicates` applied to its rows."""
    match plan:
        case Filter():
            return push(plan.input, (*plan.predicates, *predicates))
        case Scan() | FunctionScan() | ValuesScan() | CteScan():
            if not predicates:
                return plan
            return replace(plan, predicates=(*plan.predicates, *predicates))
        case Guard():
            return _guard(plan, predicates)
        case Join():
            return _join(plan, predicates)
        case Project():
            return _project(plan, predicates)
        case Aggregate():
            return _aggregate(plan, predicates)
        case Sort() | LockRows():
            return replace(plan, input=push(plan.input, predicates))
        case With():
            ctes = tuple(replace(cte, plan=apply(cte.plan)) for cte in plan.ctes)
            return replace(plan, input=push(plan.input, predicates), ctes=ctes)
        case Distinct():
            below, above = _split(predicates, lambda p: _only_reads(p, plan.keys))
            return _filtered(replace(plan, input=push(plan.input, below)), above)
        case ProjectSet():
            below, above = _split(predicates, lambda p: plan.rel not in used_rels(p))
            return _filtered(replace(plan, input=push(plan.input, below)), above)
        case SetOperation():
            return _set_operation(plan, predicates)
    return _filtered(map_inputs(plan, apply), predicates)


def _guard(plan: Guard, predicates: Predicates) -> Plan:
    """Row-level security: only what tells nothing of the rows that are not shown moves on."""
    below, above = _split(predicates, is_leakproof)
    return _filtered(replace(plan, input=push(plan.input, below)), above)


def _only_reads(predicate: Expr, keys: Predicates) -> bool:
    """Whether it reads nothing but these columns (and what is outside of the query)."""
    columns = {(key.rel, key.column) for key in keys if isinstance(key, Var)}
    rels = {rel for rel, _ in columns}
    return all(
        var.rel not in rels or (isinstance(var, Var) and (var.rel, var.column) in columns)
        for var in expression_vars(predicate)
    )


def _filtered(plan: Plan, predicates: Predicates) -> Plan:
    return Filter(plan, predicates) if predicates else plan


def _split(
    predicates: Sequence[Expr], below: Callable[[Expr], bool]
) -> tuple[Predicates, Predicates]:
    """(those that may go down, the others); volatile ones stay."""
    down: list[Expr] = []
    stay: list[Expr] = []
    for predicate in predicates:
        may = below(predicate) and not is_volatile(predicate)
        (down if may else stay).append(predicate)
    return tuple(down), tuple(stay)


def _join(plan: Join, predicates: Predicates) -> Plan:
    plan = _simplified(_unlateral(plan), predicates)
    left, right = given_rels(plan.left), given_rels(plan.right)
    kind = plan.kind
    to_left: list[Expr] = []
    to_right: list[Expr] = []
    here: list[Expr] = []
    above: list[Expr] = []
    for predicate in predicates:
        used = used_rels(predicate)
        if is_volatile(predicate):
            above.append(predicate)
        elif not used & right and kind in _KEEPS_LEFT:
            to_left.append(predicate)
        elif not used & left and kind in (JoinKind.INNER, JoinKind.RIGHT):
            to_right.append(predicate)
        elif kind is JoinKind.INNER:
            here.append(predicate)
        else:
            above.append(predicate)
    for predicate in plan.predicates:
        used = used_rels(predicate)
        if is_volatile(predicate):
            here.append(predicate)
        elif used & right and not used & left and kind in _FILTERS_RIGHT:
            to_right.append(predicate)
        elif not used & right and kind in (JoinKind.INNER, JoinKind.RIGHT, JoinKind.SEMI):
            to_left.append(predicate)
        else:
            here.append(predicate)
    joined = replace(
        plan,
        left=push(plan.left, tuple(to_left)),
        right=push(plan.right, tuple(to_right)),
        predicates=tuple(here),
    )
    return _filtered(joined, tuple(above))


def _unlateral(plan: Join) -> Join:
    """A lateral side that names the other one in its own WHERE only is a plain join."""
    if not plan.lateral or plan.kind not in (JoinKind.INNER, JoinKind.LEFT):
        return plan
    right = plan.right
    if not isinstance(right, Filter):
        return plan
    left = given_rels(plan.left)
    inside = given_rels(right)
    moved = [p for p in right.predicates if used_rels(p) & left and used_rels(p) & inside]
    kept = tuple(p for p in right.predicates if p not in moved)
    below = Filter(right.input, kept) if kept else right.input
    if any(var.rel in left for var in parameters_of(below)):
        return plan
    return replace(plan, right=below, predicates=(*plan.predicates, *moved), lateral=False)


_KEEPS_LEFT = frozenset(
    {
        JoinKind.INNER,
        JoinKind.LEFT,
        JoinKind.SEMI,
        JoinKind.ANTI,
        JoinKind.NULL_AWARE_ANTI,
    }
)
_FILTERS_RIGHT = frozenset({JoinKind.INNER, JoinKind.LEFT, JoinKind.SEMI, JoinKind.ANTI})


def _simplified(plan: Join, predicates: Predicates) -> Join:
    """An outer join whose NULL-extended rows do not survive `predicates` is a lesser one."""
    if plan.kind not in (JoinKind.LEFT, JoinKind.RIGHT, JoinKind.FULL):
        return plan
    left, right = given_rels(plan.left), given_rels(plan.right)
    no_left = any(rejects_null(p, left) for p in predicates)
    no_right = any(rejects_null(p, right) for p in predicates)
    kind: JoinKind = plan.kind
    if kind is JoinKind.FULL:
        if no_left and no_right:
            kind = JoinKind.INNER
        elif no_left:
            kind = JoinKind.LEFT
        elif no_right:
            kind = JoinKind.RIGHT
    elif (kind is JoinKind.LEFT and no_right) or (kind is JoinKind.RIGHT and no_left):
        kind = JoinKind.INNER
    return plan if kind is plan.kind else replace(plan, kind=kind)


def _project(plan: Project, predicates: Predicates) -> Plan:
    inlined: Columns = {
        (plan.rel, i): e for i, e in enumerate(plan.expressions) if not is_volatile(e)
    }

    def may(predicate: Expr) -> bool:
        if plan.barrier and not is_leakproof(predicate):
            return False
        return all(
            var.rel != plan.rel or (isinstance(var, Var) and (var.rel, var.column) in inlined)
            for var in expression_vars(predicate)
        )

    below, above = _split(predicates, may)
    moved = tuple(rewrite(predicate, replacing(inlined)) for predicate in below)
    return _filtered(replace(plan, input=push(plan.input, moved)), above)


def _aggregate(plan: Aggregate, predicates: Predicates) -> Plan:
    keys: Columns = {(plan.rel, i): e for i, e in enumerate(plan.keys)}

    def may(predicate: Expr) -> bool:
        own = [v for v in expression_vars(predicate) if v.rel == plan.rel]
        return bool(own) and all(isinstance(v, Var) and (v.rel, v.column) in keys for v in own)

    if plan.sets is not None:
        return _filtered(replace(plan, input=apply(plan.input)), predicates)
    below, above = _split(predicates, may)
    moved = tuple(rewrite(predicate, replacing(keys)) for predicate in below)
    return _filtered(replace(plan, input=push(plan.input, moved)), above)


def _set_operation(plan: SetOperation, predicates: Predicates) -> Plan:
    left, right = output_rel(plan.left), output_rel(plan.right)
    if left is None or right is None:
        return _filtered(map_inputs(plan, apply), predicates)
    below, above = _split(predicates, lambda p: plan.rel in used_rels(p))
    sides = []
    for side, rel in ((plan.left, left), (plan.right, right)):
        moved = tuple(rewrite(p, _renumber(plan.rel, rel)) for p in below)
        sides.append(push(side, moved))
    return _filtered(replace(plan, left=sides[0], right=sides[1]), above)


def _renumber(old: int, new: int) -> Callable[[Expr], Expr | None]:
    def visit(expression: Expr) -> Expr | None:
        if isinstance(expression, Var | WholeRow) and expression.rel == old:
            return replace(expression, rel=new)
        return None

    return visit


def output_rel(plan: Plan) -> int | None:
    """The rel under which a query's plan gives its outputs."""
    while True:
        match plan:
            case Project() | SetOperation():
                return plan.rel
            case ValuesScan():
                return plan.rel.rel
            case Filter() | Sort() | Distinct() | With():
                plan = plan.input
            case _:
                inner = getattr(plan, "input", None)
                if inner is None:
                    return getattr(plan, "rel", None)
                plan = inner
