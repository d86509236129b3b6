"""A physical plan's row program: the module's functions, and the forms in which it can run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from helios_storage.locks import LockPolicy, TableLockMode
from heliosd.catalog.objects import Table
from heliosd.execute import (
    row_program_aggregate,
    row_program_column,
    row_program_hash,
    row_program_join,
    row_program_key,
    row_program_lock,
    row_program_scan,
    row_program_set,
    row_program_sort,
    row_program_source,
    row_program_window,
)
from heliosd.execute.expression_forms import FORMS
from heliosd.execute.plan_walk import every_node, is_volatile, own_expressions
from heliosd.execute.program import Modified, Parameters, Row, plan_is_stale
from heliosd.execute.row_program import (
    Flow,
    Producer,
    ProgramCompiler,
    tuple_of,
    vars_needed,
)
from heliosd.execute.row_program_modify import write_modification
from heliosd.execute.row_program_subplan import compile_subplan
from heliosd.functions.builtin import ROW_FUNCTIONS
from heliosd.plan.columns import all_nodes
from heliosd.plan.physical import (
    ColumnScan,
    CountRows,
    DeleteRows,
    Filter,
    IndexScan,
    InsertRows,
    Limit,
    LockRows,
    MergeRows,
    NestedLoop,
    PhysicalNode,
    Project,
    Result,
    UpdateRows,
    ValuesScan,
    With,
)
from heliosd.sql.bound import TableRel

if TYPE_CHECKING:
    from heliosd.execute.context import ExecutionContext
    from heliosd.execute.expressions import Types
    from heliosd.execute.node_clock import NodeClock
    from heliosd.execute.source import Writer
    from heliosd.sql.bound import Var

_FAMILIES: Final = (
    row_program_scan,
    row_program_key,
    row_program_source,
    row_program_join,
    row_program_hash,
    row_program_sort,
    row_program_aggregate,
    row_program_window,
    row_program_set,
    row_program_lock,
    row_program_column,
)

PRODUCERS: Final[Mapping[type, Producer]] = MappingProxyType(
    {node: producer for family in _FAMILIES for node, producer in family.PRODUCERS.items()}
)

POINT_COST_MAX: Final = 30.0
"""A plan estimated below this (about 300 us) may run as a plain call."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What `Program` gets from its plan."""

    rows: Callable[[ExecutionContext, Parameters], Iterator[list[Row]]] | None = None
    point: Callable[[ExecutionContext, Parameters], list[Row]] | None = None
    modify: Callable[[ExecutionContext, Parameters], Modified] | None = None
    point_modify: Callable[[ExecutionContext, Parameters], Modified] | None = None
    source: str = ""
    locks_rows: bool = False
    writes: bool = False
    """Something below the root changes data (a WITH query)."""


def compile_row_program(
    root: PhysicalNode,
    outputs: Sequence[Var],
    types: Types,
    services: Any,
    counts: dict[int, NodeClock] | None = None,
    *,
    is_timed: bool = True,
) -> Compiled:
    """Write, check and compile the program of a statement's plan.

    `counts`, for EXPLAIN ANALYZE, gets a clock per node, which the program runs.
    """
    compiler = ProgramCompiler(
        types, ROW_FUNCTIONS, FORMS, PRODUCERS, compile_subplan, write_modification, services
    )
    compiler.counts, compiler.is_timed = counts, is_timed
    modification, withs = _modification_of(root)
    if modification is not None:
        return _compile_modification(compiler, root, modification, withs)
    return _compile_query(compiler, root, outputs)


def _modification_of(root: PhysicalNode) -> tuple[PhysicalNode | None, list[With]]:
    """The INSERT, UPDATE or DELETE at the root, under its WITH queries."""
    withs: list[With] = []
    node = root
    while isinstance(node, With):
        withs.append(node)
        node = node.input
    if isinstance(node, InsertRows | UpdateRows | DeleteRows | MergeRows):
        return node, withs
    return None, []


# Queries -----------------------------------------------------------------------------------------


def _compile_query(c: ProgramCompiler, root: PhysicalNode, outputs: Sequence[Var]) -> Compiled:
    needed = vars_needed(outputs)

    def row(at: Flow) -> str:
        return tuple_of(at.columns[(v.rel, v.column)].text for v in outputs)

    locks = table_locks(root)
    point = is_point(root)
    plain: Writer | None = None
    if point:
        plain = c.module.function("ctx, params", comment="statement, as a plain call")
        _write_locks(c, plain, locks)
        _write_list(c, plain, root, row, needed)
    writer: Writer | None = None
    if plain is None or not _gives_one_at_most(root):
        writer = c.module.function("ctx, params", comment="statement")
        _write_locks(c, writer, locks)
        c.write_batches(writer, root, needed, Flow(writer), row)
    _write_state(c)
    source, namespace = c.module.seal()
    at_once = None if plain is None else namespace[plain.name]
    return Compiled(
        rows=one_batch(at_once) if writer is None else namespace[writer.name],
        point=at_once,
        source=source,
        locks_rows=any(mode > TableLockMode.ACCESS_SHARE for _, mode in locks),
        writes=any(mode > TableLockMode.ROW_SHARE for _, mode in locks),
    )


def one_batch(point: Any) -> Callable[[ExecutionContext, Parameters], Iterator[list[Row]]]:
    """The streaming form of a plain call that gives one row at most."""

    def rows(ctx: ExecutionContext, params: Parameters) -> Iterator[list[Row]]:
        found = point(ctx, params)
        if found:
            yield found

    return rows


def _write_list(
    c: ProgramCompiler,
    writer: Writer,
    root: PhysicalNode,
    row: Callable[[Flow], str],
    needed: frozenset[tuple[int, int]],
) -> None:
    """The body of a plain call: all rows as one list."""
    if _gives_one_at_most(root):

        def consume_one(at: Flow) -> None:
            writer.line(f"return [{row(at)}]")

        flow = Flow(writer, stop=lambda: writer.line("return []"))
        c.produce(root, needed, flow, consume_one)
        writer.line("return []")
        return
    writer.first("out = []")

    def consume(at: Flow) -> None:
        writer.line(f"out.append({row(at)})")

    c.produce(root, needed, Flow(writer, stop=lambda: writer.line("return out")), consume)
    writer.line("return out")


def _gives_one_at_most(node: PhysicalNode) -> bool:
    """Whether the first row of the node is also its last."""
    if isinstance(node, Project | Filter):
        return _gives_one_at_most(node.input)
    if isinstance(node, IndexScan):
        return node.unique and all(p.is_single for p in node.points)
    return isinstance(node, Result | CountRows)


def _write_state(c: ProgramCompiler) -> None:
    """Each entry makes the cells of one execution."""
    cells = ", ".join(["None"] * c.cells)
    for function in c.module.functions:
        if function.parameters == "ctx, params":
            function.head.insert(0, f"    state = [{cells}]" if c.cells else "    state = None")


def is_point(root: PhysicalNode) -> bool:
    """Whether the plan may run as a plain call: little work, and nothing to repeat wrongly."""
    if root.estimate.cost > POINT_COST_MAX or root.estimate.rows > 1000:
        return False
    for node in every_node(root):
        if isinstance(node, InsertRows | UpdateRows | DeleteRows | MergeRows | ColumnScan):
            return False
        for expression in own_expressions(node):
            if is_volatile(expression):
                return False
    return True


# Locks of whole tables ---------------------------------------------------------------------------


def table_locks(root: PhysicalNode) -> list[tuple[int, TableLockMode]]:
    """What the statement locks before it reads: each table once, in the strongest mode."""
    found: dict[int, TableLockMode] = {}

    def note(oid: int, mode: TableLockMode) -> None:
        found[oid] = max(found.get(oid, mode), mode)

    for node in every_node(root):
        rel = getattr(node, "rel", None)
        if not isinstance(rel, TableRel):
            rel = getattr(node, "table", None)
        if isinstance(rel, TableRel) and isinstance(rel.table, Table):
            note(rel.table.oid, TableLockMode.ACCESS_SHARE)
        if isinstance(node, InsertRows | UpdateRows | DeleteRows | MergeRows):
            note(node.statement.table.oid, TableLockMode.ROW_EXCLUSIVE)
        if isinstance(node, LockRows):
            locked = {lock.rel for lock in node.locks}
            for below in all_nodes(node.input):
                rel = getattr(below, "rel", None)
                if isinstance(rel, TableRel) and rel.rel in locked:
                    note(rel.table.oid, TableLockMode.ROW_SHARE)
    return sorted(found.items())


def _write_locks(
    c: ProgramCompiler, writer: Writer, locks: Sequence[tuple[int, TableLockMode]]
) -> None:
    """Lock the tables; a plan that had to wait for one may be out of date by then."""
    if not locks:
        return
    writer.first("transaction = ctx.transaction")
    wait = c.slot(LockPolicy.WAIT)
    for oid, mode in locks:
        call = f"transaction.lock_object({oid}, {c.slot(mode)}, {wait}, ctx.lock_timeout_ms)"
        with writer.block(f"if not {call}:"):
            writer.line(f"{c.slot(plan_is_stale)}()")


# Modifications -----------------------------------------------------------------------------------


def _compile_modification(
    c: ProgramCompiler, root: PhysicalNode, node: PhysicalNode, withs: Sequence[With]
) -> Compiled:
    locks = table_locks(root)
    point = not withs and _is_point_modification(c, node)
    comment = "statement: one row" if point else "statement"
    writer = c.module.function("ctx, params", comment=comment)
    writer.first("out = []")
    _write_locks(c, writer, locks)
    _write_withs(c, list(withs), node, Flow(writer), at_once=point)
    _write_state(c)
    source, namespace = c.module.seal()
    modify = namespace[writer.name]
    return Compiled(modify=modify, point_modify=modify if point else None, source=source)


def _write_withs(
    c: ProgramCompiler, withs: list[With], node: PhysicalNode, flow: Flow, *, at_once: bool
) -> None:
    """The modification inside its WITH queries; the function ends with its answer."""
    if withs:
        outer = withs[0]
        inner = With(Result(), outer.ctes)

        def consume(at: Flow) -> None:
            _write_withs(c, withs[1:], node, at, at_once=at_once)

        c.produce(inner, frozenset(), flow, consume)
        return
    count = write_modification(c, node, flow, at_once=at_once)
    flow.writer.line(f"return {c.slot(Modified)}({count}, out)")


def _is_point_modification(c: ProgramCompiler, node: PhysicalNode) -> bool:
    """One row, whose foreign keys can be looked at before anything is changed."""
    assert isinstance(node, InsertRows | UpdateRows | DeleteRows | MergeRows)
    if isinstance(node, MergeRows):
        return False
    table = node.statement.table
    changes = not isinstance(node, InsertRows) or node.statement.on_conflict is not None
    if changes and c.services.referenced_actions(table):
        # What follows in other tables may have to wait when this row is changed already.
        return False
    for check in c.services.parent_checks(table):
        if check.is_self or check.constraint.deferrable:
            return False
    source = node.source if isinstance(node, InsertRows) else node.input
    if isinstance(node, InsertRows):
        if not _is_one_row(source):
            return False
    elif not _gives_one_at_most(source):
        return False
    for below in every_node(source):
        if isinstance(below, NestedLoop | Limit):
            return False
        if any(is_volatile(e) for e in own_expressions(below)):
            return False
    return True


def _is_one_row(node: PhysicalNode) -> bool:
    if isinstance(node, Project | Filter):
        return _is_one_row(node.input)
    if isinstance(node, ValuesScan):
        return len(node.rel.rows) == 1
    return isinstance(node, Result)
