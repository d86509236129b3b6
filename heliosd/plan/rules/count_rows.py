"""`count(*)` of a whole table is the row count that its tree keeps.

    Aggregate(count(*), Scan(t)) -> CountRows(t)

Not below sampling, nor below a guard (row-level security): the count would tell of rows that are
not shown.
"""

from __future__ import annotations

from heliosd.catalog.objects import Table
from heliosd.plan.nodes import Aggregate, CountRows, Plan, Scan
from heliosd.plan.walk import map_inputs
from heliosd.sql.bound import AggregateCall


def apply(plan: Plan) -> Plan:
    """Replace every such aggregate."""
    plan = map_inputs(plan, apply)
    if not isinstance(plan, Aggregate) or plan.keys or plan.sets is not None:
        return plan
    scan = plan.input
    if not isinstance(scan, Scan) or scan.predicates or scan.rel.sample is not None:
        return plan
    table = scan.rel.table
    if not isinstance(table, Table) or len(plan.calls) != 1:
        return plan
    call = plan.calls[0]
    if (
        isinstance(call, AggregateCall)
        and call.star
        and call.aggregate.name == "count"
        and not call.distinct
        and call.filter is None
    ):
        return CountRows(scan.rel, plan.rel)
    return plan
