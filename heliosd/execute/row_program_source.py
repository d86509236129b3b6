"""Row programs over what is no table: functions, VALUES, catalog relations, given rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from heliosd.catalog.objects import SystemView
from heliosd.execute import loops, scan_functions
from heliosd.execute.expression_forms import row_form_of
from heliosd.execute.expressions import Code, code_of, local
from heliosd.execute.row_program import (
    Consume,
    Flow,
    Needed,
    Producer,
    ProgramCompiler,
    needed_by,
    tuple_of,
    unpacking,
)
from heliosd.execute.row_program_scan import TABLEOID, from_row, use_check, wanted_columns
from heliosd.plan.columns import WHOLE_ROW, ColumnKey
from heliosd.plan.physical import FunctionScan, GivenRows, SystemScan, ValuesScan
from heliosd.sql.bound import Call, Expr, SetReturningCall
from heliosd.types.oids import FIRST_NORMAL_OID

RECORD: Final = 2249


def produce_system_scan(
    c: ProgramCompiler, node: SystemScan, needed: Needed, flow: Flow, consume: Consume
) -> None:
    relation = node.rel.table
    columns = wanted_columns(node.rel, needed, node.predicates)
    writer = flow.writer
    use_check(writer)
    if isinstance(relation, SystemView):
        source = f"{c.slot(scan_functions.system_rows)}({c.slot(relation)}, ctx)"
    else:
        source = f"{c.slot(scan_functions.sequence_rows)}({c.slot(relation)}, ctx)"
    batch, row = c.module.name("r"), c.module.name("r")
    chunks = c.slot(loops.iterator_chunks)
    with writer.block(f"for {batch} in {chunks}({source}):", loop=True):
        writer.line("check()")
        with writer.block(f"for {row} in {batch}:", loop=True):
            names = from_row(c, node.rel, columns, row, flow)
            extra: dict[ColumnKey, Code] = {}
            if (node.rel.rel, WHOLE_ROW) in needed | needed_by(node.predicates):
                extra[(node.rel.rel, WHOLE_ROW)] = local(row, nullable=False)
            if (node.rel.rel, TABLEOID) in needed | needed_by(node.predicates):
                oid = Code(c.slot(relation.oid), nullable=False, atom=True, depth=0)
                extra[(node.rel.rel, TABLEOID)] = oid
            at = flow.plus({**names, **extra})
            with c.filtered(node.predicates, at):
                consume(at)
        if flow.flush is not None:
            flow.flush()


def produce_values_scan(
    c: ProgramCompiler, node: ValuesScan, needed: Needed, flow: Flow, consume: Consume
) -> None:
    rel = node.rel.rel
    wanted = needed | needed_by(node.predicates)
    width = len(node.rel.columns)
    whole = (rel, WHOLE_ROW) in wanted
    used = [i for i in range(width) if whole or (rel, i) in wanted]
    compiler = c.at(flow)
    writer = flow.writer
    rows: list[str] = []
    nullable = [False] * width
    for row in node.rel.rows:
        codes = [compiler.value(row[i]) for i in used]
        for i, code in zip(used, codes, strict=True):
            nullable[i] |= code.nullable
        rows.append(tuple_of(code.text for code in codes))
    names = {(rel, i): local(c.module.name("v"), nullable=nullable[i]) for i in used}

    def inside(at: Flow) -> None:
        columns = dict(names)
        if whole:
            row = tuple_of(names[(rel, i)].text for i in used)
            name = c.module.name("v")
            writer.line(f"{name} = {row}")
            columns[(rel, WHOLE_ROW)] = local(name, nullable=False)
        at = at.plus(columns)
        with c.filtered(node.predicates, at):
            consume(at)

    with writer.block(f"for {unpacking(names.values())} in ({', '.join(rows)},):", loop=True):
        inside(flow)


def produce_given_rows(
    c: ProgramCompiler, node: GivenRows, needed: Needed, flow: Flow, consume: Consume
) -> None:
    writer = flow.writer
    use_check(writer)
    columns = {(node.rel, i): local(c.module.name("v")) for i in range(node.width)}
    chunk = c.module.name("r")
    with writer.block(f"for {chunk} in {c.slot(loops.chunks)}(params[0]):", loop=True):
        writer.line("check()")
        with writer.block(f"for {unpacking(columns.values())} in {chunk}:", loop=True):
            consume(flow.plus(columns))


def produce_function_scan(
    c: ProgramCompiler, node: FunctionScan, needed: Needed, flow: Flow, consume: Consume
) -> None:
    rel = node.rel
    wanted = needed | needed_by(node.predicates)
    writer = flow.writer
    use_check(writer)
    columns = [(rel.rel, i) for i in range(len(rel.columns))]
    whole = (rel.rel, WHOLE_ROW) in wanted
    names = {key: local(c.module.name("v")) for key in columns}
    source = function_rows(c, rel.functions, rel.widths, flow, ordinality=rel.ordinality)
    batch = c.module.name("r")
    chunks = c.slot(loops.iterator_chunks)
    with writer.block(f"for {batch} in {chunks}({source}):", loop=True):
        writer.line("check()")
        row = c.module.name("r")
        with writer.block(f"for {row} in {batch}:", loop=True):
            used = {k: code for k, code in names.items() if k in wanted}
            for (_, i), code in used.items():
                writer.line(f"{code.text} = {row}[{i}]")
            extra: dict[ColumnKey, Code] = {}
            if whole:
                extra[(rel.rel, WHOLE_ROW)] = local(row, nullable=False)
            at = flow.plus({**used, **extra})
            with c.filtered(node.predicates, at):
                consume(at)
        if flow.flush is not None:
            flow.flush()


def function_rows(
    c: ProgramCompiler,
    functions: Sequence[Expr],
    widths: Sequence[int],
    flow: Flow,
    *,
    ordinality: bool,
) -> str:
    """The text of an iterator of tuples over functions run side by side."""
    sources: list[str] = []
    for function, width in zip(functions, widths, strict=True):
        if isinstance(function, SetReturningCall):
            code = set_code(c, function, flow)
            is_row = _gives_rows(c, function, width)
            wrap: Any = scan_functions.records if is_row else scan_functions.single
            if is_row and function.type != RECORD:
                # an element of a row type may be NULL
                wrap = partial(scan_functions.records_or_null, width)
            if function.function.oid >= FIRST_NORMAL_OID:
                wrap = _routine_wrap(c, function, width)
            sources.append(f"{c.slot(wrap)}({code.text})")
        else:
            code = c.at(flow).value(function)
            if not _gives_rows(c, function, width):
                sources.append(f"{c.slot(scan_functions.one_value)}({code.text})")
            else:
                sources.append(f"{c.slot(scan_functions.one_record)}({code.text}, {width})")
    if len(sources) == 1 and not ordinality:
        return sources[0]
    zipped = c.slot(scan_functions.side_by_side)
    return f"{zipped}({tuple_of(sources)}, {c.slot(tuple(widths))}, {ordinality})"


def _gives_rows(c: ProgramCompiler, function: Expr, width: int) -> bool:
    """Whether a function's values are rows of columns, not the one column's values."""
    if width > 1 or (isinstance(function, Call | SetReturningCall) and function.record):
        return True
    kind = c.types.registry.by_oid.get(function.type)
    return kind is not None and kind.kind == "c"


def _routine_wrap(c: ProgramCompiler, function: SetReturningCall, width: int) -> Any:
    """How a user's function's values become rows: records, if it says so, else single values."""
    is_row = width > 1 or bool(function.function.columns and function.type == RECORD)
    if is_row or c.types.type(function.type).kind == "c":
        return partial(scan_functions.records_or_null, width)
    return scan_functions.single


def set_code(c: ProgramCompiler, node: SetReturningCall, flow: Flow) -> Code:
    """The iterator of a set-returning call; None where a strict one has a NULL argument."""
    compiler = c.at(flow)
    target = node.function
    code = compiler.call_form(
        row_form_of(compiler, target, node.arguments, node),
        [compiler.value(a) for a in node.arguments],
        strict=target.strict,
        needs_context=target.needs_context,
    )
    return code_of(code.text, [code], nullable=True)


PRODUCERS: Final[Mapping[type, Producer]] = MappingProxyType(
    {
        SystemScan: produce_system_scan,
        ValuesScan: produce_values_scan,
        FunctionScan: produce_function_scan,
        GivenRows: produce_given_rows,
    }
)
