"""Equalities between the two sides of a join become its keys.

Join(a, b, on a.i = b.i and a.x < b.y) -> Join(a, b, keys a.i = b.i, on a.x < b.y)
"""

from __future__ import annotations

from dataclasses import replace

from heliosd.plan.columns import given_rels
from heliosd.plan.expression_facts import is_volatile
from heliosd.plan.nodes import EquiKey, Join, JoinKind, Plan
from heliosd.plan.walk import has_subplan, map_inputs, used_rels
from heliosd.sql.bound import Call, Expr
from heliosd.types.registry import SqlOperator


def apply(plan: Plan) -> Plan:
    """Find the keys of every join."""
    plan = map_inputs(plan, apply)
    if not isinstance(plan, Join) or plan.lateral:
        return plan
    left, right = given_rels(plan.left), given_rels(plan.right)
    keys: list[EquiKey] = list(plan.keys)
    rest: list[Expr] = []
    for predicate in plan.predicates:
        key = equi_key(predicate, left, right)
        if key is None:
            rest.append(predicate)
        else:
            keys.append(key)
    if len(keys) == len(plan.keys):
        return plan
    if plan.kind is JoinKind.NULL_AWARE_ANTI and rest:
        # NOT IN of rows is one comparison: its parts must not be taken apart.
        return plan
    return replace(plan, keys=tuple(keys), predicates=tuple(rest))


def equi_key(predicate: Expr, left: frozenset[int], right: frozenset[int]) -> EquiKey | None:
    """`a = b` with `a` over the left rels and `b` over the right ones, turned if need be."""
    if not isinstance(predicate, Call):
        return None
    operator = predicate.target
    if not isinstance(operator, SqlOperator) or operator.name != "=" or not operator.hashes:
        return None
    if is_volatile(predicate) or has_subplan(predicate):
        return None
    one, other = predicate.arguments
    used_one, used_other = used_rels(one), used_rels(other)
    if not used_one or not used_other:
        return None
    if used_one <= left and used_other <= right:
        return EquiKey(one, other, operator, predicate.input_collation)
    if used_one <= right and used_other <= left:
        # `=` is its own commutator: executing it either way gives the same.
        return EquiKey(other, one, operator, predicate.input_collation)
    return None
