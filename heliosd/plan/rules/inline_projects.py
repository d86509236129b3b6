"""Subqueries and views in FROM melt into the query around them.

    Join(a, Project(s: b.i + 1, Scan(b)), on a.i = s.0) -> Join(a, Scan(b), on a.i = b.i + 1)

A projection stays where it is an output, where an outer join extends it with NULLs (unless it only
renames), below a security barrier, and where an expression is dear or volatile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from heliosd.plan.columns import WHOLE_ROW, given_rels
from heliosd.plan.expression_facts import is_cheap
from heliosd.plan.nodes import (
    Aggregate,
    DeleteRows,
    Distinct,
    Filter,
    Join,
    JoinKind,
    Limit,
    LockRows,
    Plan,
    Project,
    ProjectSet,
    Recursive,
    SetOperation,
    Sort,
    UpdateRows,
    Window,
    With,
)
from heliosd.plan.walk import Columns, map_inputs, map_node, rewrite, substitute_plan
from heliosd.sql.bound import Expr, RowConstructor, Var, WholeRow

RECORD = 2249


def apply(plan: Plan) -> Plan:
    """Melt projections everywhere; the plan still gives the same outputs."""
    melted, mapping = _melt(plan)
    if mapping:
        # The outputs are those of a projection that must stay: nothing above renames them.
        return map_inputs(plan, apply)
    return melted


def _melt(plan: Plan, *, renames_only: bool = False) -> tuple[Plan, Columns]:
    """(plan, what columns of removed projections are now).

    `renames_only`: an outer join above extends these columns with NULLs.
    """
    match plan:
        case Project():
            below, mapping = _taken(plan.input, renames_only=False)
            return _renamed(replace(plan, input=below), mapping), {}
        case Join():
            return _join(plan, renames_only=renames_only)
        case Filter() | Sort() | Limit() | LockRows() | ProjectSet() | Window() | Distinct():
            below, mapping = _taken(plan.input, renames_only=renames_only)
            return _renamed(replace(plan, input=below), mapping), mapping
        case Aggregate() | UpdateRows() | DeleteRows():
            below, mapping = _taken(plan.input, renames_only=False)
            return _renamed(replace(plan, input=below), mapping), {}
        case SetOperation() | Recursive() | With():
            return map_inputs(plan, apply), {}
    return map_inputs(plan, apply), {}


def _taken(plan: Plan, *, renames_only: bool) -> tuple[Plan, Columns]:
    """`_melt`, and the projection on top removed if it may be."""
    melted, mapping = _melt(plan, renames_only=renames_only)
    if isinstance(melted, Project) and not melted.barrier:
        given = given_rels(melted.input) if renames_only else frozenset()
        for expression in melted.expressions:
            if renames_only:
                if not isinstance(expression, Var) or expression.rel not in given:
                    return melted, mapping
            elif not is_cheap(expression):
                return melted, mapping
        outputs = {(melted.rel, i): e for i, e in enumerate(melted.expressions)}
        names = melted.names or tuple(f"f{i + 1}" for i in range(len(melted.expressions)))
        row = RowConstructor(melted.expressions, names, RECORD)
        return melted.input, {**mapping, **outputs, (melted.rel, WHOLE_ROW): row}
    return melted, mapping


def _join(plan: Join, *, renames_only: bool) -> tuple[Plan, Columns]:
    kind = plan.kind
    left, from_left = _taken(
        plan.left, renames_only=renames_only or kind in (JoinKind.RIGHT, JoinKind.FULL)
    )
    right, from_right = _taken(
        plan.right, renames_only=renames_only or kind in (JoinKind.LEFT, JoinKind.FULL)
    )
    if plan.lateral and from_left:
        known = _lookup(from_left)
        right = substitute_plan(right, known)
        from_right = {name: rewrite(value, known) for name, value in from_right.items()}
    mapping = {**from_left, **from_right}
    joined = replace(plan, left=left, right=right)
    return _renamed(joined, mapping), mapping


def _lookup(mapping: Columns) -> Callable[[Expr], Expr | None]:
    def visit(expression: Expr) -> Expr | None:
        if isinstance(expression, WholeRow):
            return mapping.get((expression.rel, WHOLE_ROW))
        if not isinstance(expression, Var):
            return None
        found = mapping.get((expression.rel, expression.column))
        if isinstance(found, Var) and (found.rel, found.column) in mapping:
            return rewrite(found, visit)
        return found

    return visit


def _renamed(plan: Plan, mapping: Columns) -> Plan:
    """The node's own expressions over what is below now."""
    if not mapping:
        return plan
    visit = _lookup(mapping)
    return map_node(plan, lambda below: below, lambda expression: rewrite(expression, visit))
