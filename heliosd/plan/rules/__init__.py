"""The rules that rewrite a logical plan, each in its own file, in the order in which they run."""

from __future__ import annotations

from dataclasses import replace

from heliosd.plan.nodes import LogicalPlan


def optimize(plan: LogicalPlan) -> LogicalPlan:
    """Apply every rule."""
    return replace(plan)
