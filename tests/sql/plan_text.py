"""Logical plans as short text, for pairs of before and after."""

from __future__ import annotations

from typing import Any

from heliosd.plan import nodes
from heliosd.plan.logical import build_logical
from heliosd.plan.nodes import LogicalPlan, SubPlan
from heliosd.plan.rules import optimize
from heliosd.sql.bound import And, Call, Cast, Const, Expr, Not, Param, Var
from heliosd.sql.bound.walk import children
from tests.sql.binding import bind


def plan_of(text: str) -> LogicalPlan:
    return build_logical(bind(text))


def before(text: str) -> str:
    return show(plan_of(text).root)


def after(text: str, *only: str) -> str:
    """The plan after all rules, or after `only` these."""
    from heliosd.plan.rules import BEFORE_SUBQUERIES, PER_QUERY

    names = {rule.name for rule in (*BEFORE_SUBQUERIES, *PER_QUERY)} | {"prune_columns"}
    skipped = frozenset(names - set(only)) if only else frozenset()
    return show(optimize(plan_of(text), skipped).root)


def show(plan: Any) -> str:
    match plan:
        case nodes.Scan():
            columns = "" if plan.columns is None else f" {list(plan.columns)}"
            return f"{plan.rel.alias}{columns}{_where(plan.predicates)}"
        case nodes.FunctionScan() | nodes.ValuesScan():
            return f"{type(plan).__name__}({plan.rel.alias}){_where(plan.predicates)}"
        case nodes.CteScan():
            return f"cte({plan.rel.alias}){_where(plan.predicates)}"
        case nodes.Filter():
            return f"Filter({show(plan.input)}{_where(plan.predicates)})"
        case nodes.Project():
            return f"Project({show(plan.input)}: {_all(plan.expressions)})"
        case nodes.Join():
            keys = [f"{text(k.left)} = {text(k.right)}" for k in plan.keys]
            on = f" keys {', '.join(keys)}" if keys else ""
            lateral = "lateral " if plan.lateral else ""
            sides = f"{show(plan.left)}, {show(plan.right)}"
            return f"{lateral}{plan.kind.value}({sides}{on}{_where(plan.predicates)})"
        case nodes.Aggregate():
            return f"Aggregate({show(plan.input)} by {_all(plan.keys)}: {_all(plan.calls)})"
        case nodes.CountRows():
            return f"CountRows({plan.table.alias})"
        case nodes.IndexExtreme():
            return f"IndexExtreme({plan.table.alias}.{plan.column} {plan.descending})"
        case nodes.With():
            ctes = ", ".join(f"{c.name} = {show(c.plan)}" for c in plan.ctes)
            return f"With({ctes}: {show(plan.input)})"
        case nodes.SetOperation():
            return f"{plan.kind}({show(plan.left)}, {show(plan.right)})"
        case nodes.OneRow():
            return "OneRow"
    return f"{type(plan).__name__}({show(plan.input)})"


def _where(predicates: tuple[Expr, ...]) -> str:
    return f" where {' and '.join(map(text, predicates))}" if predicates else ""


def _all(expressions: tuple[Expr, ...]) -> str:
    return ", ".join(map(text, expressions))


def text(expression: Expr) -> str:
    match expression:
        case Var():
            return f"v{expression.rel}.{expression.column}"
        case Const():
            return repr(expression.value)
        case Param():
            return f"${expression.number}"
        case Call():
            name = expression.target.name
            parts = [text(a) for a in expression.arguments]
            if not name.isidentifier() and len(parts) == 2:
                return f"{parts[0]} {name} {parts[1]}"
            return f"{name}({', '.join(parts)})"
        case Cast():
            return text(expression.argument)
        case Not():
            return f"not {text(expression.argument)}"
        case And():
            return f"({' and '.join(map(text, expression.arguments))})"
        case SubPlan():
            return f"{expression.kind.name}[{show(expression.plan)}]"
    inside = ", ".join(text(child) for child in children(expression))
    return f"{type(expression).__name__}({inside})"
