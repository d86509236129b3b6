"""`x IN (subquery)` that stays a subquery is answered from a hash table.

    SubPlan(ANY, a.i = s.0) -> SubPlan(ANY, a.i = s.0, hash keys a.i = s.0)

Only without outer references: the table is made once for the whole statement.
"""

from __future__ import annotations

from dataclasses import replace

from heliosd.plan.nodes import EquiKey, Plan, SubPlan
from heliosd.plan.rules.join_keys import equi_key
from heliosd.plan.walk import expression_vars, map_node
from heliosd.sql.bound import And, Expr, SubLinkKind
from heliosd.sql.bound.walk import map_children


def apply(plan: Plan) -> Plan:
    """Find the keys of every such subquery in the plan's expressions."""
    return map_node(plan, apply, hashed)


def hashed(expression: Expr) -> Expr:
    """The expression with hash keys in its subqueries."""
    expression = map_children(expression, hashed)
    if not isinstance(expression, SubPlan) or expression.kind is not SubLinkKind.ANY:
        return expression
    test = expression.test
    if expression.parameters or test is None:
        return expression
    inside = frozenset({expression.rel, *(var.rel for var in expression.outputs)})
    outside = frozenset(v.rel for v in expression_vars(test)) - inside
    keys: list[EquiKey] = []
    for each in test.arguments if isinstance(test, And) else (test,):
        key = equi_key(each, outside, inside)
        if key is None:
            return expression
        keys.append(key)
    return replace(expression, hash_keys=tuple(keys))
