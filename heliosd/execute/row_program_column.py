"""Row programs over column programs: the loop over their rows, with the rows form behind it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from heliosd.execute.column_program import STREAMED_ROWS, ColumnProgram
from heliosd.execute.row_program import (
    Consume,
    Flow,
    Needed,
    Producer,
    ProgramCompiler,
    tuple_of,
    unpacking,
)
from heliosd.execute.row_program_scan import use_check
from heliosd.plan.columns import columns_of
from heliosd.plan.nodes import Guard, Plan
from heliosd.plan.physical import ColumnScan
from heliosd.plan.walk import all_plans


def produce_column_scan(
    c: ProgramCompiler, node: ColumnScan, needed: Needed, flow: Flow, consume: Consume
) -> None:
    counts, c.counts = c.counts, None
    rows, keys = c.generator(node.rows, needed, flow)
    c.counts = counts
    arguments = _arguments(c, node, flow)
    program = ColumnProgram(
        node.subplan.plan,
        node.subplan.arguments,
        [key for key, _ in keys],
        streams=node.estimate.rows > STREAMED_ROWS and not is_guarded(node.subplan.plan),
    )
    writer = flow.writer
    use_check(writer)
    batch = c.module.name("r")
    call = f"{c.slot(program.rows)}(ctx, {arguments}, {rows})"
    with writer.block(f"for {batch} in {call}:", loop=True):
        writer.line("check()")
        columns = c.names_for(keys)
        with writer.block(f"for {unpacking(columns.values())} in {batch}:", loop=True):
            consume(flow.plus(columns))
        if flow.flush is not None:
            flow.flush()


def is_guarded(plan: Plan) -> bool:
    """Whether rows are hidden in it: then no error may tell of them, and errors that come before
    the first row are never shown: the rows form runs."""
    return any(
        isinstance(item, Guard) or getattr(item, "barrier", False) for item in all_plans(plan)
    )


def _arguments(c: ProgramCompiler, node: ColumnScan, flow: Flow) -> str:
    """A generator of one tuple: what an argument fails with is raised where it is asked for."""
    writer, inside, call = c.function_over(columns_of(node.arguments), flow, "arguments")
    compiler = c.at(inside)
    texts = [compiler.value(argument).text for argument in node.arguments]
    writer.line(f"yield {tuple_of(texts)}")
    return call


PRODUCERS: Final[Mapping[type, Producer]] = MappingProxyType({ColumnScan: produce_column_scan})
