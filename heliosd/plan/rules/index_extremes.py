"""`min` and `max` of an indexed column are the first row of the index.

Aggregate(max(a.i), Scan(a)) -> IndexExtreme(a.i descending)
"""

from __future__ import annotations

from heliosd.catalog.objects import Table
from heliosd.plan.columns import expression_rels
from heliosd.plan.nodes import Aggregate, IndexExtreme, Plan, Scan
from heliosd.plan.walk import map_inputs
from heliosd.sql.bound import AggregateCall, Call, Var


def apply(plan: Plan) -> Plan:
    """Replace every such aggregate of one call over a whole table, or over one key's part of it."""
    plan = map_inputs(plan, apply)
    if not isinstance(plan, Aggregate) or plan.keys or plan.sets is not None:
        return plan
    scan = plan.input
    if len(plan.calls) != 1 or not isinstance(scan, Scan):
        return plan
    call, table = plan.calls[0], scan.rel.table
    if not isinstance(call, AggregateCall) or not isinstance(table, Table):
        return plan
    if scan.rel.sample is not None:
        return plan
    operator = call.aggregate.sort_operator
    if not operator or call.filter is not None or len(call.arguments) != 1:
        return plan
    argument = call.arguments[0]
    if not isinstance(argument, Var) or argument.rel != scan.rel.rel or argument.column < 0:
        return plan
    fixed = _fixed(scan)
    index = 0 if fixed is None else _index(table, argument.column + 1, fixed)
    if not index:
        return plan
    return IndexExtreme(
        scan.rel, plan.rel, argument.column, index, operator == ">", scan.predicates
    )


def _fixed(scan: Scan) -> frozenset[int] | None:
    """The attnums that the predicates fix to one value each; None when one does anything else."""
    found: set[int] = set()
    for predicate in scan.predicates:
        if not isinstance(predicate, Call) or predicate.target.name != "=":
            return None
        column, value = predicate.arguments
        if not isinstance(column, Var) or column.rel != scan.rel.rel:
            column, value = value, column
        if not isinstance(column, Var) or column.rel != scan.rel.rel or column.type != value.type:
            return None
        if scan.rel.rel in expression_rels(value) or column.column < 0:
            return None
        found.add(column.column + 1)
    return frozenset(found)


def _index(table: Table, attnum: int, fixed: frozenset[int]) -> int:
    """The oid of an index that holds every row and whose keys are all the fixed columns, then this.

    0 when there is none.
    """
    count = len(fixed)
    for index in table.indexes:
        attnums = index.attnums
        if index.predicate is not None or index.method != "btree" or len(attnums) <= count:
            continue
        if frozenset(attnums[:count]) == fixed and attnums[count] == attnum:
            return index.oid
    return 0
