"""Row programs of statements that change data: the frame around their rows."""

from __future__ import annotations

from heliosd.execute.row_program import Flow, ProgramCompiler
from heliosd.execute.row_program_change import delete_rows, update_rows
from heliosd.execute.row_program_insert import insert_rows
from heliosd.execute.row_program_merge import merge_rows
from heliosd.execute.row_program_work import Work
from heliosd.execute.row_program_write import TableParts
from heliosd.plan.physical import DeleteRows, InsertRows, MergeRows, Physical, UpdateRows
from heliosd.sql.bound import Expr


def _written(node: InsertRows | UpdateRows | DeleteRows | MergeRows) -> frozenset[int]:
    """The columns that the statement gives values to (0-based)."""
    if isinstance(node, InsertRows):
        return frozenset(node.statement.written)
    if isinstance(node, UpdateRows):
        return frozenset(assignment.column for assignment in node.assignments)
    if isinstance(node, MergeRows):
        assigned = {a.column for when in node.whens for a in when.assignments}
        return frozenset(assigned.union(*(when.written for when in node.whens)))
    return frozenset()


def _returning(node: InsertRows | UpdateRows | DeleteRows | MergeRows) -> tuple[Expr, ...]:
    return () if isinstance(node, MergeRows) else node.returning


def write_modification(
    c: ProgramCompiler, node: Physical, flow: Flow, *, at_once: bool = False
) -> str:
    """Write the body of a modification; RETURNING's rows go to `out`. Answers the counter's name.

    `at_once`: a single row, whose foreign keys are looked at before anything is changed.
    """
    assert isinstance(node, InsertRows | UpdateRows | DeleteRows | MergeRows)
    statement = node.statement
    rel = statement.rel if isinstance(node, DeleteRows) else statement.new_rel  # type: ignore[union-attr]
    parts = TableParts(c, statement.table, rel, _written(node))
    work = Work(parts, c.module.name("v"), _returning(node), gives_way=not at_once)
    writer = flow.writer
    writer.first("transaction = ctx.transaction")
    writer.first("snapshot = ctx.snapshot")
    writer.line(f"{work.count} = 0")
    if not isinstance(node, DeleteRows) and not at_once:
        for number in range(len(parts.parents)):
            work.queues[number] = c.module.name("r")
            writer.line(f"{work.queues[number]} = {{}}")
    if not isinstance(node, InsertRows) or node.statement.on_conflict is not None:
        for number in range(len(parts.children)):
            work.children[number] = c.module.name("r")
            writer.line(f"{work.children[number]} = []")
    if isinstance(node, InsertRows):
        insert_rows(c, node, work, flow)
    elif isinstance(node, MergeRows):
        merge_rows(c, node, work, flow)
    elif isinstance(node, UpdateRows):
        update_rows(c, node, work, flow, at_once=at_once)
    else:
        delete_rows(c, node, work, flow, at_once=at_once)
    for number, name in work.queues.items():
        with writer.block(f"if {name}:"):
            writer.line(f"{c.slot(parts.parents[number])}.look_all(ctx, {name})")
    for number, name in work.children.items():
        with writer.block(f"if {name}:"):
            writer.line(f"{c.slot(parts.children[number])}.run(ctx, {name})")
    return work.count
