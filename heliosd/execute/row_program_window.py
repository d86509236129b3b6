"""Row programs of Window: collect, sort and partition, compute, hand out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from heliosd.errors import not_supported
from heliosd.execute import loops
from heliosd.execute import window as window_functions
from heliosd.execute.expressions import Code, local
from heliosd.execute.frame_range import RangeScale, scale_of
from heliosd.execute.row_program import (
    Consume,
    Flow,
    Needed,
    Producer,
    ProgramCompiler,
    given,
    needed_by,
    tuple_of,
)
from heliosd.execute.row_program_sort import pass_functions, sort_passes
from heliosd.execute.source import Writer
from heliosd.execute.window import CallSpec, FrameSpec, WindowSpec
from heliosd.functions.registry import AggregateForm, InlineAggregate, SqlAggregate
from heliosd.plan.columns import ColumnKey
from heliosd.plan.physical import Window
from heliosd.sql.bound import Expr, FrameBound, SortKey, WindowCall
from heliosd.sql.bound import Window as WindowDefinition
from heliosd.types.registry import CallTypes


def produce_window(
    c: ProgramCompiler, node: Window, needed: Needed, flow: Flow, consume: Consume
) -> None:
    writer = flow.writer
    writer.first("check = ctx.check_slice")
    definition = node.definition
    partition = [SortKey(e, False, False) for e in definition.partition_by]
    expressions: list[Expr] = [*definition.partition_by]
    expressions += [k.expression for k in definition.order_by]
    for call in node.calls:
        expressions += call.arguments
        expressions += [call.filter] if call.filter is not None else []
    read = needed | needed_by(expressions)
    outer = set(flow.columns)
    rows = c.module.name("r")
    writer.line(f"{rows} = []")
    spec_slot = c.module.late_slot()
    kept: list[tuple[ColumnKey, Code]] = []
    payload_at: list[int] = []

    def inside(at: Flow) -> None:
        parts, passes = sort_passes(c, [*partition, *definition.order_by], at)
        kept[:] = given(at, needed, outer)
        raw = [c.at(at).value(k.expression).text for k in definition.order_by[:1]]
        fields = [*parts, *raw]
        specs: list[CallSpec] = []
        for call in node.calls:
            specs.append(_call_spec(c, call, at, fields))
        payload_at[:] = [len(fields)]
        fields += [code.text for _, code in kept]
        writer.line(f"{rows}.append({tuple_of(fields)})")
        frame = FrameSpec(
            definition.mode,
            definition.start.kind,
            definition.end.kind,
            definition.exclude,
            bool(definition.order_by) and definition.order_by[0].descending,
            len(parts),
            _scale(definition),
        )
        order = len(definition.order_by)
        spec = WindowSpec(tuple(pass_functions(passes)), len(partition), order, frame, tuple(specs))
        c.module.fill(spec_slot, spec)

    c.produce(node.input, read, c.kept(flow, rows), inside)
    forms = tuple_of(_aggregate(c, call, flow) for call in node.calls)
    offsets = f"({_offset(c, definition.start, flow)}, {_offset(c, definition.end, flow)})"
    compute = c.slot(window_functions.window_rows)
    writer.line(f"{rows} = {compute}({rows}, {spec_slot}, {forms}, {offsets}, check, ctx.eval)")
    chunk, row, results = c.module.name("r"), c.module.name("r"), c.module.name("r")
    with writer.block(f"for {chunk} in {c.slot(loops.chunks)}({rows}):", loop=True):
        writer.line("check()")
        with writer.block(f"for {row}, {results} in {chunk}:", loop=True):
            columns: dict[ColumnKey, Code] = {}
            start = payload_at[0] if payload_at else 0
            for number, (key, code) in enumerate(kept):
                name = c.module.name("v")
                writer.line(f"{name} = {row}[{start + number}]")
                columns[key] = local(name, nullable=code.nullable)
            for number in range(len(node.calls)):
                if (node.rel, number) in needed:
                    name = c.module.name("v")
                    writer.line(f"{name} = {results}[{number}]")
                    columns[(node.rel, number)] = local(name)
            consume(flow.plus(columns))
        if flow.flush is not None:
            flow.flush()


def _scale(definition: WindowDefinition) -> RangeScale | None:
    """How the ORDER BY values of a RANGE frame with an offset compare."""
    bounds = (definition.start, definition.end)
    if definition.mode != "range" or all(bound.offset is None for bound in bounds):
        return None
    return scale_of(definition.order_by[0].expression.type)


def _call_spec(c: ProgramCompiler, call: WindowCall, at: Flow, fields: list[str]) -> CallSpec:
    """Append a call's arguments to the fields of a row."""
    places: list[int] = []
    for argument in call.arguments:
        places.append(len(fields))
        fields.append(c.named(c.at(at).value(argument), at).text)
    filter_at = -1
    if call.filter is not None:
        filter_at = len(fields)
        fields.append(c.at(at).condition(call.filter).text)
    function = call.function
    if isinstance(function, SqlAggregate):
        return CallSpec(tuple(places), None, function.strict, filter_at)
    return CallSpec(tuple(places), function.compute, False, filter_at)


def _offset(c: ProgramCompiler, bound: FrameBound, flow: Flow) -> str:
    if bound.offset is None:
        return c.slot(window_functions.MISSING)
    return c.at(flow).value(bound.offset).text


def _aggregate(c: ProgramCompiler, call: WindowCall, flow: Flow) -> str:
    """The text of (init, step, final, inverse) of an aggregate over a window."""
    function = call.function
    if not isinstance(function, SqlAggregate):
        return "None"
    form: AggregateForm | None = function.form
    if function.specialize is not None:
        form = function.specialize(
            CallTypes(
                tuple(c.types.type(a.type) for a in call.arguments),
                c.types.type(call.type),
                c.types.registry,
            )
        )
    if form is not None and not function.needs_context and not function.context_step:
        parts: list[Any] = [form.init, form.step, form.final, form.inverse]
        return tuple_of(c.slot(part) for part in parts)
    if function.inline is None:
        raise not_supported(f"aggregate {function.name} as a window function")
    return _inline(c, function.inline, len(call.arguments))


def _inline(c: ProgramCompiler, form: InlineAggregate, arguments: int) -> str:
    """Functions made of an inline form; the state is a list."""
    places = [f"r1[{i}]" for i in range(len(form.init))]
    names = [c.module.name("v") for _ in range(arguments)]

    def fill(writer: Writer, template: str) -> str:
        text = c.at(Flow(writer)).template(template)
        for number, place in enumerate(places):
            text = text.replace(f"{{s{number}}}", place)
        for number, name in enumerate(names):
            text = text.replace(f"{{{number}}}", name)
        return text

    init = c.module.function("", comment="aggregate: init")
    init.line(f"return [{', '.join(fill(init, text) for text in form.init)}]")
    step = c.module.function(", ".join(["r1", *names]), comment="aggregate: step")
    for place, template in zip(places, form.step, strict=True):
        step.line(f"{place} = {fill(step, template)}")
    step.line("return r1")
    final = c.module.function("r1", comment="aggregate: final")
    final.line(f"return {fill(final, form.final)}")
    return f"({init.name}, {step.name}, {final.name}, None)"


PRODUCERS: Final[Mapping[type, Producer]] = MappingProxyType({Window: produce_window})
