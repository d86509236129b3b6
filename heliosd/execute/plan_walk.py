"""Walking whole physical plans, the plans inside expressions included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from heliosd.plan.columns import all_nodes, node_expressions
from heliosd.plan.nodes import SubPlan
from heliosd.sql.bound import Call
from heliosd.sql.bound.walk import walk


def every_node(root: Any) -> Iterator[Any]:
    """The nodes of a plan, those of subqueries in expressions included."""
    for node in all_nodes(root):
        yield node
        for expression in own_expressions(node):
            for item in walk(expression):
                if isinstance(item, SubPlan):
                    yield from every_node(item.plan)


def own_expressions(node: Any) -> Iterator[Any]:
    """The expressions of one node."""
    for name in node.__dataclass_fields__:
        if name not in ("statement", "estimate"):
            yield from node_expressions(getattr(node, name))


def is_volatile(expression: Any) -> bool:
    """Whether an expression calls a volatile function."""
    for item in walk(expression):
        target = getattr(item, "target", None) or getattr(item, "function", None)
        if isinstance(item, Call) and item.target.volatility == "v":
            return True
        if target is not None and getattr(target, "volatility", "i") == "v":
            return True
    return False
