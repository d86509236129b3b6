"""What the planner asks about column programs: whether a plan can be one, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from heliosd.plan.nodes import Plan
    from heliosd.sql.bound import Expr


class NotInColumns(Exception):  # not a failure: the rows form runs
    """Something has no exact column form."""


class ColumnForms(Protocol):
    """Who knows which plans can run over columns (`heliosd.execute.column_plan`)."""

    @property
    def forced(self) -> bool:
        """Use column programs wherever they can be (helios.column_programs = on)."""
        ...

    def arguments(self, plan: Plan, whole_rels: frozenset[int]) -> tuple[Expr, ...] | None:
        """What is the same for all rows, to be computed first; None: the plan has no such form.

        `whole_rels`: rels of which something needs more than plain columns.
        """
        ...
