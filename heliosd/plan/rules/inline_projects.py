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
    MergeRows,
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
from heliosd.plan.walk import (
    Columns,
    all_plans,
    expression_vars,
    map_inputs,
    map_node,
    node_expressions,
    rewrite,
    substitute_plan,
)
from heliosd.sql.bound import Expr, RowConstructor, Var, WholeRow

RECORD = 2249


def apply(plan: Plan) -> Plan:
    """Melt projections everywhere; the plan still gives the same outputs."""
    melted, mapping = _melt(plan, _whole_rows(plan))
    if mapping:
        # The outputs are those of a projection that must stay: nothing above renames them.
        return map_inputs(plan, apply)
    return melted


def _whole_rows(plan: Plan) -> frozenset[int]:
    """The rels whose rows are read as values."""
    return frozenset(
        var.rel
        for node in all_plans(plan)
        for expression in node_expressions(node)
        for var in expression_vars(expression)
        if isinstance(var, WholeRow)
    )


def _melt(plan: Plan, whole: frozenset[int], *, renames_only: bool = False) -> tuple[Plan, Columns]:
    """(plan, what columns of removed projections are now).

    `renames_only`: an outer join above extends these columns with NULLs, so that a row of them
    (those of `whole` are read as rows) must stay a row: NULL, not one of NULLs.
    """
    match plan:
        case Project():
            below, mapping = _taken(plan.input, whole, renames_only=False)
            return _renamed(replace(plan, input=below), mapping), {}
        case Join():
            return _join(plan, whole, renames_only=renames_only)
        case Filter() | Sort() | Limit() | LockRows() | ProjectSet() | Window() | Distinct():
            below, mapping = _taken(plan.input, whole, renames_only=renames_only)
            return _renamed(replace(plan, input=below), mapping), mapping
        case Aggregate() | UpdateRows() | DeleteRows() | MergeRows():
            below, mapping = _taken(plan.input, whole, renames_only=False)
            return _renamed(replace(plan, input=below), mapping), {}
        case SetOperation() | Recursive() | With():
            return map_inputs(plan, apply), {}
    return map_inputs(plan, apply), {}


def _taken(plan: Plan, whole: frozenset[int], *, renames_only: bool) -> tuple[Plan, Columns]:
    """`_melt`, and the projection on top removed if it may be."""
    melted, mapping = _melt(plan, whole, renames_only=renames_only)
    if not isinstance(melted, Project):
        return melted, mapping
    rel = melted.rel
    names = melted.names or tuple(f"f{i + 1}" for i in range(len(melted.expressions)))
    row = RowConstructor(melted.expressions, names, RECORD)
    if not _may_go(melted, renames_only=renames_only) or (renames_only and rel in whole):
        if rel not in whole:
            return melted, mapping
        # Its row becomes one more column, which an outer join makes NULL as a whole.
        place = len(melted.expressions)
        widened = replace(melted, expressions=(*melted.expressions, row))
        return widened, {**mapping, (rel, WHOLE_ROW): Var(rel, place, RECORD)}
    outputs = {(rel, i): e for i, e in enumerate(melted.expressions)}
    return melted.input, {**mapping, **outputs, (rel, WHOLE_ROW): row}


def _may_go(project: Project, *, renames_only: bool) -> bool:
    if project.barrier:
        return False
    if not renames_only:
        return all(is_cheap(expression) for expression in project.expressions)
    given = given_rels(project.input)
    return all(isinstance(e, Var) and e.rel in given for e in project.expressions)


def _join(plan: Join, whole: frozenset[int], *, renames_only: bool) -> tuple[Plan, Columns]:
    left_only = renames_only or plan.kind in (JoinKind.RIGHT, JoinKind.FULL)
    right_only = renames_only or plan.kind in (JoinKind.LEFT, JoinKind.FULL)
    left, from_left = _taken(plan.left, whole, renames_only=left_only)
    right, from_right = _taken(plan.right, whole, renames_only=right_only)
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
