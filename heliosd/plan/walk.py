"""Walking and rewriting logical plans: their nodes, and the expressions in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any, Final

from heliosd.plan.columns import given_rels
from heliosd.plan.nodes import Plan, PlanNode, SubPlan
from heliosd.sql.bound import Const, Expr, SortKey, TableRel, ValuesRel, Var, WholeRow
from heliosd.sql.bound.walk import children, map_children

_SKIPPED: Final = frozenset(
    {
        "statement",
        "table",
        "operator",
        "kind",
        "columns",
        "names",
        "outputs",
        "locks",
        "sets",
        "alias",
        "all",
        "barrier",
        "cte",
        "lateral",
        "number",
        "name",
        "modifies",
        "may_inline",
        "descending",
        "nulls_first",
        "widths",
        "ordinality",
        "check_as",
        "view",
        "recursive",
        "mode",
        "exclude",
        "index",
        "column",
        "method",
        "input_collation",
    }
)
_MODULES: Final = ("heliosd.plan.nodes", "heliosd.sql.bound.queries")

OnExpression = Callable[[Expr], Expr]
OnPlan = Callable[[Plan], Plan]


def _same(node: Plan) -> Plan:
    return node


def map_node(node: Plan, on_plan: OnPlan, on_expression: OnExpression) -> Plan:
    """The node with its inputs and its own expressions replaced; itself when none changed."""
    return _mapped(node, on_plan, on_expression, top=True)  # type: ignore[no-any-return]


def _mapped(value: Any, on_plan: OnPlan, on_expression: OnExpression, *, top: bool = False) -> Any:
    kind: Any = type(value)
    # A constant has nothing below it, and no rule makes another expression of one.
    if (
        value is None
        or kind is Const
        or kind is int
        or (kind is TableRel and value.sample is None)
        or (kind is ValuesRel and value.constant)
    ):
        return value
    if not top:
        if isinstance(value, Expr):
            return on_expression(value)
        if isinstance(value, PlanNode):
            return on_plan(value)
    if kind is tuple:
        items = [_mapped(item, on_plan, on_expression) for item in value]
        for old, new in zip(value, items, strict=True):
            if old is not new:
                return tuple(items)
        return value
    changes: dict[str, Any] = {}
    for name in _visited(kind):
        old = getattr(value, name)
        new = _mapped(old, on_plan, on_expression)
        if new is not old:
            changes[name] = new
    return replace(value, **changes) if changes else value


@cache
def _visited(kind: Any) -> tuple[str, ...]:
    """The fields of a class that can hold plans or expressions."""
    if kind.__module__ not in _MODULES and kind is not SortKey:
        return ()
    names = getattr(kind, "__dataclass_fields__", ())
    return tuple(name for name in names if name not in _SKIPPED)


def map_inputs(node: Plan, on_plan: OnPlan) -> Plan:
    """The node with `on_plan` applied to the plans directly below (WITH queries included)."""
    return map_node(node, on_plan, lambda expression: expression)


def node_expressions(node: Plan) -> list[Expr]:
    """A node's own top expressions."""
    found: list[Expr] = []

    def visit(expression: Expr) -> Expr:
        found.append(expression)
        return expression

    map_node(node, _same, visit)
    return found


def all_plans(node: Plan) -> Iterator[Plan]:
    """The node and every plan below it, those of subqueries in expressions included."""
    found: list[Plan] = []

    def below(plan: Plan) -> Plan:
        found.append(plan)
        return plan

    stack = [node]

    def inside(expression: Expr) -> Expr:
        found.extend(subplans(expression))
        return expression

    while stack:
        item = stack.pop()
        yield item
        found.clear()
        map_node(item, below, inside)
        stack.extend(found)


def subplans(expression: Expr) -> list[Plan]:
    """The plans of the subqueries in an expression, not those inside them."""
    found: list[Plan] = []
    stack = [expression]
    while stack:
        item = stack.pop()
        if isinstance(item, SubPlan):
            found.append(item.plan)
        stack.extend(children(item))
    return found


def rewrite(expression: Expr, function: Callable[[Expr], Expr | None]) -> Expr:
    """Top down replacement that also enters the plans of subqueries."""
    found = function(expression)
    if found is not None:
        return found
    if isinstance(expression, SubPlan):
        return _rewritten_subplan(expression, function)
    return map_children(expression, lambda child: rewrite(child, function))


Columns = dict[tuple[int, int], Expr]
"""What columns (rel, number) stand for. Not by `Var`: a view's columns may have another type
modifier or collation than what its query gives."""


def replacing(columns: Columns) -> Callable[[Expr], Expr | None]:
    """A function for `rewrite` that puts expressions in the place of columns."""

    def visit(expression: Expr) -> Expr | None:
        if isinstance(expression, Var):
            return columns.get((expression.rel, expression.column))
        return None

    return visit


def _rewritten_subplan(node: SubPlan, function: Callable[[Expr], Expr | None]) -> Expr:
    plan = substitute_plan(node.plan, function)
    test = None if node.test is None else rewrite(node.test, function)
    if plan is node.plan and test is node.test:
        return node
    keys = tuple(
        replace(key, left=rewrite(key.left, function), right=rewrite(key.right, function))
        for key in node.hash_keys
    )
    return replace(node, plan=plan, test=test, parameters=parameters_of(plan), hash_keys=keys)


def substitute_plan(node: Plan, function: Callable[[Expr], Expr | None]) -> Plan:
    """`rewrite` every expression of a plan."""
    return map_node(
        node,
        lambda below: substitute_plan(below, function),
        lambda expression: rewrite(expression, function),
    )


def map_subplans(expression: Expr, on_plan: OnPlan) -> Expr:
    """The expression with the plans of its subqueries replaced."""
    if isinstance(expression, SubPlan):
        plan = on_plan(expression.plan)
        test = None if expression.test is None else map_subplans(expression.test, on_plan)
        if plan is expression.plan and test is expression.test:
            return expression
        return replace(expression, plan=plan, test=test, parameters=parameters_of(plan))
    return map_children(expression, lambda child: map_subplans(child, on_plan))


def expression_vars(expression: Expr) -> Iterator[Var | WholeRow]:
    """The columns that an expression reads, the parameters of its subqueries included."""
    stack = [expression]
    while stack:
        item = stack.pop()
        if isinstance(item, Var | WholeRow):
            yield item
        elif isinstance(item, SubPlan):
            yield from item.parameters
            if item.test is not None:
                own = {item.rel, *(v.rel for v in item.outputs)}
                yield from (v for v in expression_vars(item.test) if v.rel not in own)
        else:
            stack.extend(children(item))


def used_rels(expression: Expr) -> frozenset[int]:
    """The rels whose columns an expression reads."""
    return frozenset(var.rel for var in expression_vars(expression))


def parameters_of(plan: Plan) -> tuple[Var | WholeRow, ...]:
    """The columns that a plan reads but does not give, in order of first use."""
    given = given_rels(plan)
    found: dict[Var | WholeRow, None] = {}
    for item in _own_plans(plan):
        for expression in node_expressions(item):
            for var in expression_vars(expression):
                if var.rel not in given:
                    found[var] = None
    return tuple(found)


def _own_plans(plan: Plan) -> Iterator[Plan]:
    """The plan and those below it, subqueries in expressions left out (they tell their own)."""
    found: list[Plan] = []

    def below(item: Plan) -> Plan:
        found.append(item)
        return item

    stack = [plan]
    while stack:
        item = stack.pop()
        yield item
        found.clear()
        map_node(item, below, lambda e: e)
        stack.extend(found)


def has_subplan(expression: Expr) -> bool:
    """Whether a subquery stands in the expression."""
    if isinstance(expression, SubPlan):
        return True
    return any(has_subplan(child) for child in children(expression))
