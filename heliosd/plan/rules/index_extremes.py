"""`min` and `max` of an indexed column are the first row of the index.

Aggregate(max(a.i), Scan(a)) -> IndexExtreme(a.i descending)
"""

from __future__ import annotations

from heliosd.catalog.objects import Table
from heliosd.plan.nodes import Aggregate, IndexExtreme, Plan, Scan
from heliosd.plan.walk import map_inputs
from heliosd.sql.bound import AggregateCall, Var


def apply(plan: Plan) -> Plan:
    """Replace every such aggregate that has one call and reads the whole table."""
    plan = map_inputs(plan, apply)
    if not isinstance(plan, Aggregate) or plan.keys or plan.sets is not None:
        return plan
    scan = plan.input
    if len(plan.calls) != 1 or not isinstance(scan, Scan) or scan.predicates:
        return plan
    call, table = plan.calls[0], scan.rel.table
    if not isinstance(call, AggregateCall) or not isinstance(table, Table):
        return plan
    if table.row_security or scan.rel.sample is not None:
        return plan
    operator = call.aggregate.sort_operator
    if not operator or call.filter is not None or len(call.arguments) != 1:
        return plan
    argument = call.arguments[0]
    if not isinstance(argument, Var) or argument.rel != scan.rel.rel or argument.column < 0:
        return plan
    index = _index(table, argument.column + 1)
    if not index:
        return plan
    return IndexExtreme(scan.rel, plan.rel, argument.column, index, operator == ">")


def _index(table: Table, attnum: int) -> int:
    """The oid of an index that begins with this column and holds every row; 0 when none does."""
    for index in table.indexes:
        first = index.keys[0]
        if first.attnum == attnum and index.predicate is None and index.method == "btree":
            return index.oid
    return 0
