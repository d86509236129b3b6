"""Rows or columns: a subplan over many rows costs less in DuckDB, if it has an exact form there.

The cost of the column form is estimated from the plan of rows: what its nodes give passes through
DuckDB at tens of nanoseconds a row, every table in it is scanned whole, and each row that comes out
is made into Python values.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog.objects import Table
from heliosd.plan import nodes as logical
from heliosd.plan import physical
from heliosd.plan.columns import all_nodes, inputs
from heliosd.plan.physical import ColumnScan, ColumnSubplan, Estimate, Physical
from heliosd.plan.planner import Wish, limited
from heliosd.plan.walk import all_plans, node_expressions
from heliosd.sql.bound import SortKey, TableRel, Var, WholeRow
from heliosd.sql.bound.walk import walk

if TYPE_CHECKING:
    from heliosd.plan.column_forms import ColumnForms
    from heliosd.plan.nodes import Plan
    from heliosd.plan.planner import Planner

COST_MIN: Final = 200.0
"""Plans of rows below this (about 2 ms) stay rows: DuckDB's planning costs as much."""
START: Final = 120.0
START_TABLE: Final = 40.0
VALUE: Final = 0.0002
ROW: Final = 0.003
OUT_ROW: Final = 0.03
OUT_VALUE: Final = 0.01

_CHANGES: Final = (logical.LockRows, logical.UpdateRows, logical.DeleteRows)
_ROOTS: Final = (
    logical.Scan,
    logical.Filter,
    logical.Guard,
    logical.Project,
    logical.Join,
    logical.Aggregate,
    logical.Window,
    logical.Distinct,
    logical.Sort,
    logical.Limit,
    logical.SetOperation,
    logical.With,
)


def column_choice(root: Plan, forms: ColumnForms | None) -> Columns | None:
    """The choice for one statement; None where rows must be found again to be locked or changed."""
    if forms is None or isinstance(root, _CHANGES):
        return None
    return Columns(root, forms)


class Columns:
    """Rows or columns, for the subplans of one statement."""

    def __init__(self, root: Plan, forms: ColumnForms) -> None:
        self._root = root
        self._forms = forms
        self._whole_rels: frozenset[int] | None = None
        self._is_off = False
        self.cost_min = -1.0 if forms.forced else COST_MIN

    def cheaper(self, planner: Planner, plan: Plan, wish: Wish, chosen: Physical) -> Physical:
        """The chosen plan of rows, or one over columns that costs less."""
        if not isinstance(plan, _ROOTS) or isinstance(chosen, ColumnScan):
            return chosen
        rows = in_rows(chosen)
        estimate = _estimate(planner, rows, wish)
        forced = self._forms.forced
        if estimate.cost > limited(chosen.estimate, wish.rows) and not forced:
            return chosen
        arguments = self._arguments(plan)
        if arguments is None:
            return chosen
        planned = planner.expressions(arguments)
        return ColumnScan(ColumnSubplan(plan, arguments), planned, rows, _order(plan), estimate)

    def _arguments(self, plan: Plan) -> Any:
        if self._whole_rels is None:
            self._whole_rels = self._find_whole_rels()
        if self._is_off:
            return None
        return self._forms.arguments(plan, self._whole_rels)

    def _find_whole_rels(self) -> frozenset[int]:
        """Rels of which something reads whole rows or system columns: they stay in rows."""
        found: set[int] = set()
        for item in all_plans(self._root):
            if isinstance(item, _CHANGES):
                self._is_off = True
            for expression in node_expressions(item):
                for inner in walk(expression):
                    if isinstance(inner, WholeRow) or (isinstance(inner, Var) and inner.column < 0):
                        found.add(inner.rel)
        return frozenset(found)


def _estimate(planner: Planner, rows: Physical, wish: Wish) -> Estimate:
    old = rows.estimate
    cost = START
    for item in all_nodes(rows):
        rel = getattr(item, "rel", None)
        if isinstance(rel, TableRel) and isinstance(rel.table, Table):
            cost += START_TABLE + planner.rows(rel) * VALUE * max(len(item.columns), 1)
        elif not isinstance(item, physical.Limit | physical.Project):
            cost += sum(below.estimate.rows for below in inputs(item)) * ROW
    out = min(old.rows, wish.rows) if wish.rows else old.rows
    cost += out * (OUT_ROW + OUT_VALUE * old.width / 8)
    return Estimate(old.rows, cost, cost, old.width)


def in_rows(plan: Physical) -> Physical:
    """The plan without column programs: what runs where they cannot."""
    if isinstance(plan, ColumnScan):
        return plan.rows
    changes: dict[str, Any] = {}
    for name in plan.__dataclass_fields__:  # type: ignore[attr-defined]
        old = getattr(plan, name)
        if isinstance(old, physical.PhysicalNode):
            new: Any = in_rows(old)
        elif name == "ctes":
            new = tuple(replace(cte, plan=in_rows(cte.plan)) for cte in old)
            if all(a.plan is b.plan for a, b in zip(old, new, strict=True)):
                new = old
        else:
            continue
        if new is not old:
            changes[name] = new
    return replace(plan, **changes) if changes else plan  # type: ignore[type-var]


def _order(plan: Plan) -> tuple[SortKey, ...]:
    """The order in which the column form's rows come, in terms of what the plan gives."""
    if isinstance(plan, logical.Sort):
        return plan.keys
    if isinstance(plan, logical.Limit):
        return _order(plan.input)
    return ()
