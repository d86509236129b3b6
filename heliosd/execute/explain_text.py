"""Expressions of a plan as SQL for EXPLAIN, with columns by the names of their rels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heliosd.plan import physical as p
from heliosd.plan.columns import all_nodes
from heliosd.sql.bound import Expr, Var, WholeRow
from heliosd.sql.bound.walk import substitute
from heliosd.sql.deparse import deparse_expression

if TYPE_CHECKING:
    from heliosd.execute.planning import PlanServices
    from heliosd.plan.physical import PhysicalNode


class ExpressionTexts:
    """Names the columns of one plan."""

    def __init__(self, root: PhysicalNode, services: PlanServices) -> None:
        self._names: dict[tuple[int, int], str] = {}
        self._computed: dict[int, tuple[Expr, ...]] = {}
        self._services = services
        for node in all_nodes(root):
            self._collect(node)

    def _collect(self, node: Any) -> None:
        rel = getattr(node, "rel", None)
        if rel is not None and not isinstance(rel, int):
            for number, column in enumerate(rel.columns):
                name = f"{rel.alias}.{column.name}" if rel.alias else column.name
                self._names[(rel.rel, number)] = name
        elif isinstance(node, p.Project):
            self._computed[node.rel] = node.expressions
        elif isinstance(node, p.Aggregate):
            self._computed[node.rel] = (*node.keys, *node.calls)
        elif isinstance(node, p.Window):
            self._computed[node.rel] = node.calls

    def show(self, expression: Expr) -> str:
        """The expression as SQL."""

        def visit(item: Expr) -> Expr | None:
            if isinstance(item, Var):
                known = self._computed.get(item.rel)
                if known is not None and 0 <= item.column < len(known):
                    return substitute(known[item.column], visit)
            return None

        return deparse_expression(substitute(expression, visit), self._name)

    def _name(self, item: Var | WholeRow) -> str:
        if isinstance(item, WholeRow):
            return f"r{item.rel}.*"
        return self._names.get((item.rel, item.column), f"r{item.rel}.c{item.column}")
