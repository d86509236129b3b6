"""Expressions of a plan as SQL for EXPLAIN, with columns by the names of their rels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog.face import CatalogFace
from heliosd.catalog.lookup import SearchPath
from heliosd.plan import physical as p
from heliosd.plan.columns import all_nodes
from heliosd.plan.nodes import SubPlan
from heliosd.sql.bound import Expr, Var, WholeRow, WindowCall
from heliosd.sql.bound.walk import substitute
from heliosd.sql.deparse import TextContext, deparse_expression

if TYPE_CHECKING:
    from heliosd.execute.planning import PlanServices
    from heliosd.plan.physical import PhysicalNode


TEXT_REL: Final = -1000
"""The rel number of what is shown as a text of its own: subqueries, window calls."""


class ExpressionTexts:
    """Names the columns of one plan."""

    def __init__(self, root: PhysicalNode, services: PlanServices) -> None:
        self._names: dict[tuple[int, int], str] = {}
        self._computed: dict[int, tuple[Expr, ...]] = {}
        self._services = services
        path = SearchPath(services.scope.path, None)
        face = CatalogFace(services.catalog, lambda: path, services.scope.resolver.functions)
        self._context = TextContext(face, services.registry)
        self._texts: list[str] = []
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
        """The expression as SQL; subqueries by PostgreSQL's word for their plans."""

        def visit(item: Expr) -> Expr | None:
            if isinstance(item, Var):
                known = self._computed.get(item.rel)
                if known is not None and 0 <= item.column < len(known):
                    return substitute(known[item.column], visit)
            if isinstance(item, SubPlan):
                return self._as_text("(hashed SubPlan)" if item.hash_keys else "(SubPlan)", item)
            if isinstance(item, WindowCall):
                arguments = ", ".join(self.show(a) for a in item.arguments)
                inside = "*" if item.star else arguments
                return self._as_text(f"{item.function.name}({inside}) OVER (?)", item)
            return None

        return deparse_expression(substitute(expression, visit), self._name, self._context)

    def _as_text(self, text: str, item: Expr) -> Var:
        """A column that is shown as this text."""
        self._texts.append(text)
        return Var(TEXT_REL, len(self._texts) - 1, item.type)

    def _name(self, item: Var | WholeRow) -> str:
        if isinstance(item, WholeRow):
            return f"r{item.rel}.*"
        if item.rel == TEXT_REL:
            return self._texts[item.column]
        return self._names.get((item.rel, item.column), f"r{item.rel}.c{item.column}")
