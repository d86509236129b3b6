"""Row programs of what orders, cuts and thins rows: Sort, Limit, Distinct, Filter, Project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from types import MappingProxyType
from typing import Final

from heliosd.catalog.objects import Table
from heliosd.execute import loops, scan_functions
from heliosd.execute.expressions import Code, local
from heliosd.execute.row_program import (
    KEPT_ROWS_MAX,
    Consume,
    Flow,
    Needed,
    Producer,
    ProgramCompiler,
    given,
    needed_by,
    too_many_rows,
    tuple_of,
    unpacking,
)
from heliosd.execute.row_program_hash import hash_key
from heliosd.execute.row_program_scan import use_snapshot
from heliosd.execute.row_program_source import set_code
from heliosd.execute.spill import Sorter
from heliosd.plan.columns import ColumnKey
from heliosd.plan.physical import (
    Distinct,
    Filter,
    Limit,
    Project,
    ProjectSet,
    SeqScan,
    Sort,
)
from heliosd.sql.bound import SetReturningCall, SortKey
from heliosd.types.oids import FIRST_NORMAL_OID
from heliosd.types.record import RecordShape


def produce_filter(
    c: ProgramCompiler, node: Filter, needed: Needed, flow: Flow, consume: Consume
) -> None:
    def inside(at: Flow) -> None:
        with c.filtered(node.predicates, at):
            consume(at)

    c.produce(node.input, needed | needed_by(node.predicates), flow, inside)


def produce_project(
    c: ProgramCompiler, node: Project, needed: Needed, flow: Flow, consume: Consume
) -> None:
    wanted = [i for i in range(len(node.expressions)) if (node.rel, i) in needed]
    read = needed | needed_by(node.expressions[i] for i in wanted)

    def inside(at: Flow) -> None:
        compiler = c.at(at)
        columns: dict[ColumnKey, Code] = {}
        for i in wanted:
            columns[(node.rel, i)] = c.named(compiler.value(node.expressions[i]), at)
        consume(at.plus(columns))

    c.produce(node.input, read, flow, inside)


def produce_project_set(
    c: ProgramCompiler, node: ProjectSet, needed: Needed, flow: Flow, consume: Consume
) -> None:
    """Set-returning calls in the target list, in step."""
    read = needed | needed_by(node.expressions)

    def inside(at: Flow) -> None:
        writer = at.writer
        sources: list[str] = []
        for expression in node.expressions:
            assert isinstance(expression, SetReturningCall)
            text = set_code(c, expression, at).text
            columns_of = expression.function.columns
            if len(columns_of) > 1 and expression.function.oid < FIRST_NORMAL_OID:
                shape = RecordShape(
                    tuple(name for name, _ in columns_of),
                    tuple(c.types.type(oid) for _, oid in columns_of),
                )
                text = f"{c.slot(scan_functions.shaped)}({text}, {c.slot(shape.make)})"
            sources.append(text)
        writer.first("check = ctx.check_slice")
        chunk = c.module.name("r")
        rows = f"{c.slot(scan_functions.in_step)}({tuple_of(sources)})"
        chunks = c.slot(loops.iterator_chunks)
        columns = {(node.rel, i): local(c.module.name("v")) for i in range(len(node.expressions))}
        with writer.block(f"for {chunk} in {chunks}({rows}):", loop=True):
            writer.line("check()")
            with writer.block(f"for {unpacking(columns.values())} in {chunk}:", loop=True):
                consume(at.plus(columns))

    c.produce(node.input, read, flow, inside)


# Order -------------------------------------------------------------------------------------------


def sort_passes(
    c: ProgramCompiler, keys: Sequence[SortKey], at: Flow
) -> tuple[list[str], list[tuple[list[int], bool]]]:
    """(texts of key parts at `at`, passes): a pass is (parts it compares, descending).

    A part compares natively. NULLs get a flag before the value, which decides first.
    """
    parts: list[str] = []
    passes: list[tuple[list[int], bool]] = []
    for key in keys:
        code = c.named(c.at(at).value(key.expression), at)
        text = code.text
        order = c.types.type(key.expression.type).order_key()
        if order is not None:
            text = f"{c.slot(order)}({code.text})"
            if code.nullable:
                text = f"(None if {code.text} is None else {text})"
        descending = key.descending
        if key.operator is not None and key.operator.name == ">":
            descending = True
        if code.nullable:
            # Ascending puts False first: NULLs last means (is NULL, value).
            last = key.nulls_first == descending
            flag = "is None" if last else "is not None"
            text = f"({code.text} {flag}, {text})"
        parts.append(text)
        if passes and passes[-1][1] == descending:
            passes[-1][0].append(len(parts) - 1)
        else:
            passes.append(([len(parts) - 1], descending))
    return parts, passes


def pass_functions(passes: Sequence[tuple[list[int], bool]]) -> tuple[tuple[object, bool], ...]:
    """The key functions of sort passes over rows whose first fields are the key parts."""
    return tuple((itemgetter(*parts), descending) for parts, descending in passes)


def produce_sort(
    c: ProgramCompiler, node: Sort, needed: Needed, flow: Flow, consume: Consume
) -> None:
    writer = flow.writer
    writer.first("check = ctx.check_slice")
    rows = c.module.name("r")
    read = needed | needed_by(k.expression for k in node.keys)
    outer = set(flow.columns)
    kept: list[tuple[ColumnKey, Code]] = []
    made: list[tuple[list[int], bool]] = []
    count: list[int] = []
    sort = c.slot(loops.sort_rows)
    passes_slot = c.module.late_slot()
    top = _top(c, node, flow)
    sorter = c.module.name("r")
    if top is None:
        writer.line(f"{sorter} = {c.slot(Sorter)}(ctx, {passes_slot})")
    writer.line(f"{rows} = []")

    def inside(at: Flow) -> None:
        parts, passes = sort_passes(c, node.keys, at)
        made[:] = passes
        count[:] = [len(parts)]
        kept[:] = given(at, needed, outer)
        row = tuple_of([*parts, *(code.text for _, code in kept)])
        writer.line(f"{rows}.append({row})")
        if top is not None:
            # Keep twice the wanted rows at most: each row is sorted about twice in all.
            with writer.block(f"if {top} >= 0 and len({rows}) > {top} + {top} + 1000:"):
                writer.line(f"{rows} = {sort}({rows}, {passes_slot}, check)[:{top}]")

    def spill() -> None:
        with writer.block(f"if len({rows}) >= {sorter}.limit:"):
            writer.line(f"{rows} = {sorter}.add({rows})")

    below = c.kept(flow, rows) if top is not None else replace(flow, stop=None, flush=spill)
    c.produce(node.input, read, below, inside)
    c.module.fill(passes_slot, pass_functions(made))
    if top is None:
        source = f"{sorter}.chunks({rows})"
    else:
        writer.line(f"{rows} = {sort}({rows}, {passes_slot}, check)")
        source = f"{c.slot(loops.chunks)}({rows})"
    ignored = ["r0"] * count[0] if count else []
    columns = c.names_for((key, code.nullable) for key, code in kept)
    chunk = c.module.name("r")
    target = ", ".join([*ignored, *(code.text for code in columns.values())])
    if len(ignored) + len(columns) == 1:
        target = f"({target},)"
    with writer.block(f"for {chunk} in {source}:", loop=True):
        writer.line("check()")
        with writer.block(f"for {target or 'r0'} in {chunk}:", loop=True):
            consume(flow.plus(columns))
        if flow.flush is not None:
            flow.flush()


def _top(c: ProgramCompiler, node: Sort, flow: Flow) -> str | None:
    if not node.top:
        return None
    compiler = c.at(flow)
    texts = ", ".join(compiler.value(e).text for e in node.top)
    name = c.module.name("v")
    flow.writer.line(f"{name} = {c.slot(loops.top_size)}({texts})")
    return name


def produce_limit(
    c: ProgramCompiler, node: Limit, needed: Needed, flow: Flow, consume: Consume
) -> None:
    """Counts rows and ends the function when there are enough."""
    if flow.stop is None or flow.writer.loops:
        c.produce_cut(node, needed, flow, consume)
        return
    writer = flow.writer
    compiler = c.at(flow)
    limit = offset = None
    if node.limit is not None:
        limit = c.module.name("v")
        text = compiler.value(node.limit).text
        writer.line(f"{limit} = {c.slot(loops.limit_count)}({text})")
    if node.offset is not None:
        offset = c.module.name("v")
        text = compiler.value(node.offset).text
        writer.line(f"{offset} = {c.slot(loops.offset_count)}({text})")
        _skip(c, node, offset, flow)
    if limit is not None:
        with writer.block(f"if {limit} == 0:"):
            flow.stop()
    stop = flow.stop
    ties: str | None = None
    if node.ties:
        ties = c.module.name("v")
        writer.line(f"{ties} = None")

    def give(at: Flow) -> None:
        if limit is None:
            consume(at)
            return
        if ties is not None:
            parts, _ = sort_passes(c, node.ties, at)
            key = c.module.name("v")
            writer.line(f"{key} = {tuple_of(parts)}")
            with writer.block(f"if {limit} == 0 and {key} != {ties}:"):
                stop()
            writer.line(f"{ties} = {key}")
            consume(at)
            with writer.block(f"if {limit} > 0:"):
                writer.line(f"{limit} -= 1")
            return
        consume(at)
        writer.line(f"{limit} -= 1")
        with writer.block(f"if {limit} == 0:"):
            stop()

    def inside(at: Flow) -> None:
        if offset is None:
            give(at)
            return
        with writer.block(f"if {offset} > 0:"):
            writer.line(f"{offset} -= 1")
        with writer.block("else:"):
            give(at)

    read = needed | needed_by(k.expression for k in node.ties)
    c.produce(node.input, read, flow, inside)


def _skip(c: ProgramCompiler, node: Limit, offset: str, flow: Flow) -> None:
    """OFFSET over a whole table in key order begins at the key that has that place."""
    below = node.input
    while isinstance(below, Project):
        below = below.input
    if not isinstance(below, SeqScan) or below.predicates or below.reverse or below.rel.sample:
        return
    table = below.rel.table
    if not isinstance(table, Table) or node.ties:
        return
    first = c.first_keys[id(below)] = c.module.name("v")
    use_snapshot(flow.writer)
    call = f"{c.slot(scan_functions.skipped)}(snapshot, {table.tree_id}, {offset})"
    flow.writer.line(f"{first}, {offset} = {call}")


def produce_distinct(
    c: ProgramCompiler, node: Distinct, needed: Needed, flow: Flow, consume: Consume
) -> None:
    writer = flow.writer
    seen = c.module.name("r")
    writer.line(f"{seen} = set()")

    def inside(at: Flow) -> None:
        text, _ = hash_key(c, node.keys, at) if node.keys else ("None", [])
        key = c.module.name("v")
        writer.line(f"{key} = {text}")
        with writer.block(f"if {key} not in {seen}:"):
            writer.line(f"{seen}.add({key})")
            consume(at)

    limit, refuse = c.slot(KEPT_ROWS_MAX), c.slot(too_many_rows)
    hand_out = flow.flush

    def flush() -> None:
        with writer.block(f"if len({seen}) > {limit}:"):
            writer.line(f"{refuse}()")
        if hand_out is not None:
            hand_out()

    within = replace(flow, flush=flush)
    c.produce(node.input, needed | needed_by(node.keys), within, inside)


PRODUCERS: Final[Mapping[type, Producer]] = MappingProxyType(
    {
        Filter: produce_filter,
        Project: produce_project,
        ProjectSet: produce_project_set,
        Sort: produce_sort,
        Limit: produce_limit,
        Distinct: produce_distinct,
    }
)
