"""One statement's choice of physical plan: what all choosers share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from heliosd.catalog.objects import Table
from heliosd.catalog.row_security import rounded_rows
from heliosd.errors import not_supported
from heliosd.plan import nodes as logical
from heliosd.plan import physical
from heliosd.plan.columns import inputs, node_expressions
from heliosd.plan.nodes import SubPlan
from heliosd.plan.physical import Estimate, Physical
from heliosd.plan.selectivity import Facts, selectivity, table_facts
from heliosd.sql.bound import And, Expr, SortKey, SubLinkKind, TableRel
from heliosd.sql.bound.walk import substitute, walk

if TYPE_CHECKING:
    from heliosd.catalog.objects import ColumnStatistics, Index
    from heliosd.plan.column_forms import ColumnForms

HASH_ROW: Final = 0.04
PROBE_ROW: Final = 0.03
LOOP_ROW: Final = 0.01
SORT_ROW: Final = 0.02
OUT_ROW: Final = 0.01
UNKNOWN_LIMIT: Final = 20.0
FUNCTION_ROWS: Final = 100.0
RECURSIVE_FACTOR: Final = 10.0
SMALL_TABLE_ROWS: Final = 100
"""A smaller table is planned as if it had so many rows: it may grow while the plan is kept."""


class PlannerServices(Protocol):
    """What planning asks of its surroundings."""

    def row_count(self, table: Table) -> int:
        """The rows of a table, from its tree's root."""
        ...

    def statistics(self, table: Table) -> Sequence[ColumnStatistics]: ...
    def stored_expression(self, table: Table, text: str, rel: int) -> Expr:
        """An expression that rests in the catalog, bound over `rel`."""
        ...

    @property
    def columns(self) -> ColumnForms | None:
        """Which plans can run over columns; None: none is to."""
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What the node above would like: an order, and how many rows it will read (0: all)."""

    order: tuple[SortKey, ...] = ()
    rows: float = 0.0


ALL: Final = Wish()


class ColumnChoice(Protocol):
    """Rows or columns (`choose_columns`)."""

    cost_min: float
    """Cheaper plans are not worth a look."""

    def cheaper(
        self, planner: Planner, plan: logical.Plan, wish: Wish, chosen: Physical
    ) -> Physical:
        """The chosen plan of rows, or one over columns that costs less."""
        ...


@dataclass(slots=True)
class Planner:
    """One statement's choice of physical plan."""

    services: PlannerServices
    choosers: Mapping[type, Callable[[Planner, Any, Wish], Physical]]
    facts: Facts = field(default_factory=Facts)
    cte_rows: dict[int, float] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)
    """The rels whose rows are guarded: neither their number nor statistics may show (S-21)."""
    columns: ColumnChoice | None = None
    _counts: dict[int, float] = field(default_factory=dict)
    _expressions: dict[tuple[int, int], tuple[Expr | None, ...]] = field(default_factory=dict)

    # What access paths ask (access.TableContext).

    def rows(self, rel: TableRel) -> float:
        table = rel.table
        assert isinstance(table, Table), table
        known = self._counts.get(table.oid)
        if known is None:
            known = float(max(self.services.row_count(table), SMALL_TABLE_ROWS))
            self._counts[table.oid] = known
        if rel.rel in self.hidden:
            return float(rounded_rows(int(known)))
        return known

    def index_expressions(self, table: Table, index: Index, rel: int) -> tuple[Expr | None, ...]:
        key = (index.oid, rel)
        known = self._expressions.get(key)
        if known is None:
            known = tuple(
                None
                if k.expression is None
                else self.services.stored_expression(table, k.expression, rel)
                for k in index.keys
            )
            self._expressions[key] = known
        return known

    def index_predicate(self, table: Table, index: Index, rel: int) -> tuple[Expr, ...]:
        if index.predicate is None:
            return ()
        key = (-index.oid, rel)
        known = self._expressions.get(key)
        if known is None:
            known = conjuncts(self.services.stored_expression(table, index.predicate, rel))
            self._expressions[key] = known
        return tuple(p for p in known if p is not None)

    # The plan.

    def choose(self, plan: logical.Plan, wish: Wish = ALL) -> Physical:
        """The cheapest physical plan found for a logical one."""
        chooser = self.choosers.get(type(plan))
        if chooser is None:
            raise not_supported(f"plan node {type(plan).__name__}")
        chosen = chooser(self, plan, wish)
        if self.columns is not None and (
            chosen.estimate.cost > self.columns.cost_min and not wish.order
        ):
            return self.columns.cheaper(self, plan, wish, chosen)
        return chosen

    def expression(self, expression: Expr) -> Expr:
        """The expression with the plans of its subqueries made physical."""

        def visit(item: Expr) -> Expr | None:
            if isinstance(item, SubPlan) and not isinstance(item.plan, physical.PhysicalNode):
                chosen: Any = self.choose(item.plan, _subplan_wish(item))
                test = None if item.test is None else self.expression(item.test)
                return replace(item, plan=chosen, test=test)
            return None

        if not has_subplan(expression):
            return expression
        return substitute(expression, visit)

    def expressions(self, expressions: tuple[Expr, ...]) -> tuple[Expr, ...]:
        return tuple(self.expression(e) for e in expressions)

    def fraction(self, predicates: Sequence[Expr]) -> float:
        return selectivity(predicates, self.facts)


def collect_facts(root: logical.Plan, planner: Planner, *, hidden: bool = False) -> None:
    """What is known about the columns of all tables in the plan, subqueries included.

    `hidden`: behind a guard or a security barrier, where nothing of the rows may be known: plans
    and their costs show to whom the rows do not.
    """
    if isinstance(root, logical.Guard) or (isinstance(root, logical.Project) and root.barrier):
        hidden = True
    rel = getattr(root, "rel", None)
    if isinstance(rel, TableRel) and isinstance(rel.table, Table):
        if hidden:
            planner.hidden.add(rel.rel)
        rows = planner.rows(rel)
        statistics = () if hidden else planner.services.statistics(rel.table)
        for number, facts in table_facts(rel.table, rows, statistics).items():
            planner.facts.columns[(rel.rel, number)] = facts
    for expression in _own_expressions(root):
        for inner in _subplans(expression):
            collect_facts(inner.plan, planner, hidden=hidden)
    for below in inputs(root):
        collect_facts(below, planner, hidden=hidden)


def _own_expressions(item: Any) -> list[Expr]:
    return [
        e
        for name in item.__dataclass_fields__
        if name not in ("statement", "rel", "input", "left", "right", "ctes")
        for e in node_expressions(getattr(item, name))
    ] + (list(node_expressions(item.rel)) if not isinstance(getattr(item, "rel", 0), int) else [])


def _subplans(expression: Expr) -> list[SubPlan]:
    return [e for e in walk(expression) if isinstance(e, SubPlan)]


def has_subplan(expression: Expr) -> bool:
    return bool(_subplans(expression))


def conjuncts(predicate: Expr) -> tuple[Expr, ...]:
    """The parts of a conjunction."""
    if isinstance(predicate, And):
        return tuple(p for a in predicate.arguments for p in conjuncts(a))
    return (predicate,)


def _subplan_wish(item: SubPlan) -> Wish:
    return Wish(rows=1.0) if item.kind is SubLinkKind.EXISTS else ALL


def limited(estimate: Estimate, rows: float) -> float:
    """The cost of reading only so many rows (0: all)."""
    if not rows or rows >= estimate.rows:
        return estimate.cost
    return estimate.startup + (estimate.cost - estimate.startup) * rows / max(estimate.rows, 1.0)
