"""Row programs of Aggregate: one group in local names, or a dict of groups.

A group's state is one list; an aggregate owns some of its places. Aggregates with DISTINCT or
ORDER BY first collect their arguments, and a small function of the program steps through them when
the group is finished.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from heliosd.errors import not_supported
from heliosd.execute import aggregate_functions, loops
from heliosd.execute.expressions import Code, local
from heliosd.execute.row_program import (
    BATCH_ROWS,
    Consume,
    Flow,
    Needed,
    Producer,
    ProgramCompiler,
    needed_by,
    tuple_of,
    unpacking,
)
from heliosd.execute.row_program_sort import pass_functions, sort_passes
from heliosd.execute.source import Writer
from heliosd.functions.registry import AggregateForm, InlineAggregate, SqlAggregate
from heliosd.plan.columns import ColumnKey
from heliosd.plan.physical import Aggregate
from heliosd.sql.bound import AggregateCall, Expr, GroupingCall
from heliosd.types.registry import CallTypes


@dataclass(frozen=True, slots=True)
class Step:
    """One aggregate of a node: its places in a group's state, and the code around them."""

    init: tuple[str, ...]
    step: Callable[[Flow, list[str]], None]
    final: Callable[[Flow, list[str]], Code]


def produce_aggregate(
    c: ProgramCompiler, node: Aggregate, needed: Needed, flow: Flow, consume: Consume
) -> None:
    if node.sets is not None:
        _grouping_sets(c, node, needed, flow, consume)
    elif node.keys:
        _groups(c, node, needed, flow, consume)
    else:
        _one_group(c, node, needed, flow, consume)


def _used_calls(node: Aggregate, needed: Needed) -> list[int]:
    """The calls whose results somebody reads."""
    start = len(node.keys)
    return [i for i in range(len(node.calls)) if (node.rel, start + i) in needed]


def _read(node: Aggregate, calls: Sequence[int]) -> Needed:
    expressions: list[Expr] = list(node.keys)
    expressions += [node.calls[i] for i in calls]
    return needed_by(expressions)


def _one_group(
    c: ProgramCompiler, node: Aggregate, needed: Needed, flow: Flow, consume: Consume
) -> None:
    """No GROUP BY: states are local names."""
    writer = flow.writer
    used = _used_calls(node, needed)
    steps = [(i, make_step(c, node.calls[i])) for i in used]
    states: dict[int, list[str]] = {}
    for i, step in steps:
        states[i] = [c.module.name("s") for _ in step.init]
        for name, init in zip(states[i], step.init, strict=True):
            writer.line(f"{name} = {init}")

    def inside(at: Flow) -> None:
        for i, step in steps:
            step.step(at, states[i])
        if not steps:
            writer.line("pass")

    c.produce(node.input, _read(node, used), flow.inner(), inside)
    columns = {(node.rel, i): c.named(step.final(flow, states[i]), flow) for i, step in steps}
    consume(flow.plus(columns))


def _groups(
    c: ProgramCompiler, node: Aggregate, needed: Needed, flow: Flow, consume: Consume
) -> None:
    writer = flow.writer
    writer.first("check = ctx.check_slice")
    used = _used_calls(node, needed)
    steps = [(i, make_step(c, node.calls[i])) for i in used]
    groups = c.module.name("r")
    writer.line(f"{groups} = {{}}")
    shape = _GroupShape(c, node, steps)

    def inside(at: Flow) -> None:
        shape.collect(at, groups, range(len(node.keys)))

    c.produce(node.input, _read(node, used), c.kept(flow, groups), inside)
    shape.hand_out(flow, groups, consume, needed)


class _GroupShape:
    """How a group's list is laid out: the key values, then the states of the aggregates."""

    def __init__(
        self, c: ProgramCompiler, node: Aggregate, steps: Sequence[tuple[int, Step]]
    ) -> None:
        self.c = c
        self.node = node
        self.steps = steps
        self.nullable = [True] * len(node.keys)
        self.places: dict[int, list[int]] = {}
        at = len(node.keys)
        for i, step in steps:
            self.places[i] = list(range(at, at + len(step.init)))
            at += len(step.init)

    def collect(self, at: Flow, groups: str, keys: Sequence[int]) -> None:
        """Find or make the row's group and step its aggregates."""
        c, writer = self.c, at.writer
        codes = [c.named(c.at(at).value(self.node.keys[i]), at) for i in keys]
        parts: list[str] = []
        for i, code in zip(keys, codes, strict=True):
            self.nullable[i] = code.nullable
            group = c.types.type(self.node.keys[i].type).group_key()
            text = code.text
            if group is not None:
                text = f"{c.slot(group)}({text})"
                if code.nullable:
                    text = f"(None if {code.text} is None else {text})"
            parts.append(text)
        key, state = c.module.name("v"), c.module.name("r")
        writer.line(f"{key} = {parts[0] if len(parts) == 1 else tuple_of(parts)}")
        writer.line(f"{state} = {groups}.get({key})")
        values = {i: code.text for i, code in zip(keys, codes, strict=True)}
        first = [values.get(i, "None") for i in range(len(self.node.keys))]
        inits = [init for _, step in self.steps for init in step.init]
        with writer.block(f"if {state} is None:"):
            writer.line(f"{state} = {groups}[{key}] = [{', '.join([*first, *inits])}]")
        for i, step in self.steps:
            step.step(at, [f"{state}[{place}]" for place in self.places[i]])

    def hand_out(self, flow: Flow, groups: str, consume: Consume, needed: Needed) -> None:
        """The loop over the finished groups."""
        c, writer = self.c, flow.writer
        chunk, state = c.module.name("r"), c.module.name("r")
        with writer.block(f"for {chunk} in {c.slot(loops.value_chunks)}({groups}):", loop=True):
            writer.line("check()")
            with writer.block(f"for {state} in {chunk}:", loop=True):
                consume(flow.plus(self.columns(flow, state, needed)))
            if flow.flush is not None:
                flow.flush()

    def columns(self, flow: Flow, state: str, needed: Needed) -> dict[ColumnKey, Code]:
        """Local names for a finished group's columns."""
        c, node = self.c, self.node
        columns: dict[ColumnKey, Code] = {}
        for i in range(len(node.keys)):
            if (node.rel, i) in needed:
                name = c.module.name("v")
                flow.writer.line(f"{name} = {state}[{i}]")
                columns[(node.rel, i)] = local(name, nullable=self.nullable[i])
        for i, step in self.steps:
            places = [f"{state}[{place}]" for place in self.places[i]]
            code = c.named(step.final(flow, places), flow)
            columns[(node.rel, len(node.keys) + i)] = code
        return columns


def _grouping_sets(
    c: ProgramCompiler, node: Aggregate, needed: Needed, flow: Flow, consume: Consume
) -> None:
    """A dict of groups per grouping set, in a function that hands out all their groups."""
    assert node.sets is not None
    used = _used_calls(node, needed)
    grouping = [i for i in used if isinstance(node.calls[i], GroupingCall)]
    steps = [(i, make_step(c, node.calls[i])) for i in used if i not in grouping]
    order = [key for key in sorted(needed) if key[0] == node.rel]
    writer, inside_flow, call = c.function(node.input, flow, "grouping sets")
    writer.first("out = []")
    writer.first("check = ctx.check_slice")
    shapes = [_GroupShape(c, node, steps) for _ in node.sets]
    dicts = [c.module.name("r") for _ in node.sets]
    for name in dicts:
        writer.line(f"{name} = {{}}")

    def inside(at: Flow) -> None:
        for shape, groups, keys in zip(shapes, dicts, node.sets or (), strict=True):
            if keys:
                shape.collect(at, groups, keys)
            else:
                _collect_all(c, shape, at, groups)

    c.produce(node.input, _read(node, used), c.kept(inside_flow, *dicts), inside)
    for shape, groups, keys in zip(shapes, dicts, node.sets, strict=True):
        if not keys:
            inits = [init for _, step in steps for init in step.init]
            first = ["None"] * len(node.keys)
            with writer.block(f"if not {groups}:"):
                writer.line(f"{groups}[()] = [{', '.join([*first, *inits])}]")
        shape.nullable = [True] * len(node.keys)

        def give(at: Flow, keys: tuple[int, ...] = keys) -> None:
            texts: list[str] = []
            for key in order:
                call_number = key[1] - len(node.keys)
                if call_number in grouping:
                    mark = node.calls[call_number]
                    assert isinstance(mark, GroupingCall)
                    texts.append(str(_grouping_bits(mark, keys)))
                else:
                    texts.append(at.columns[key].text)
            writer.line(f"out.append({tuple_of(texts)})")
            with writer.block(f"if len(out) >= {BATCH_ROWS}:"):
                writer.line("yield out")
                writer.line("out = []")

        shape.hand_out(inside_flow.inner(), groups, give, needed)
    with writer.block("if out:"):
        writer.line("yield out")
    batch = c.module.name("r")
    columns = c.names_for((key, True) for key in order)
    with flow.writer.block(f"for {batch} in {call}:", loop=True):
        with flow.writer.block(f"for {unpacking(columns.values())} in {batch}:", loop=True):
            consume(flow.plus(columns))
        if flow.flush is not None:
            flow.flush()


def _collect_all(c: ProgramCompiler, shape: _GroupShape, at: Flow, groups: str) -> None:
    """The group of everything: `()` in GROUPING SETS."""
    writer = at.writer
    state = c.module.name("r")
    writer.line(f"{state} = {groups}.get(())")
    inits = [init for _, step in shape.steps for init in step.init]
    first = ["None"] * len(shape.node.keys)
    with writer.block(f"if {state} is None:"):
        writer.line(f"{state} = {groups}[()] = [{', '.join([*first, *inits])}]")
    for i, step in shape.steps:
        step.step(at, [f"{state}[{place}]" for place in shape.places[i]])


def _grouping_bits(call: GroupingCall, keys: Sequence[int]) -> int:
    bits = 0
    for key in call.keys:
        bits = bits * 2 + (key not in keys)
    return bits


# One aggregate -----------------------------------------------------------------------------------


def make_step(c: ProgramCompiler, call: Expr) -> Step:
    """The code of one aggregate call."""
    if isinstance(call, GroupingCall):
        return Step((), lambda at, places: None, lambda at, places: Code("0", False, True, 0))
    assert isinstance(call, AggregateCall)
    aggregate = call.aggregate
    if call.distinct and not call.order_by and aggregate.arity == "n" and call.arguments:
        return _distinct_step(c, call)
    if call.distinct or call.order_by or aggregate.arity != "n":
        return _collected_step(c, call)
    if aggregate.inline is not None:
        return _inline_step(c, call, aggregate.inline)
    return _form_step(c, call, form_of(c, call))


def form_of(c: ProgramCompiler, call: AggregateCall) -> AggregateForm:
    """The aggregate's callables for the types at this call."""
    aggregate = call.aggregate
    if aggregate.specialize is not None:
        arguments = (*call.direct_arguments, *call.arguments)
        return aggregate.specialize(
            CallTypes(
                tuple(c.types.type(a.type) for a in arguments),
                c.types.type(call.type),
                c.types.registry,
            )
        )
    if aggregate.form is None:
        raise not_supported(f"aggregate {aggregate.name}")
    return aggregate.form


def _arguments(c: ProgramCompiler, call: AggregateCall, at: Flow) -> list[Code]:
    return [c.named(c.at(at).value(a), at) for a in call.arguments]


def _guarded(
    c: ProgramCompiler,
    call: AggregateCall,
    at: Flow,
    write: Callable[[list[Code]], None],
    *,
    strict: bool,
) -> None:
    """`write` where FILTER holds and, for strict aggregates, no argument is NULL."""
    with c.filtered(() if call.filter is None else (call.filter,), at):
        arguments = _arguments(c, call, at)
        tests = [f"{a.text} is not None" for a in arguments if a.nullable] if strict else []
        if any(a.text == "None" for a in arguments) and strict:
            at.writer.line("pass")
        elif tests:
            with at.writer.block(f"if {' and '.join(tests)}:"):
                write(arguments)
        else:
            write(arguments)


def _inline_step(c: ProgramCompiler, call: AggregateCall, form: InlineAggregate) -> Step:
    def fill(template: str, places: Sequence[str], arguments: Sequence[Code], at: Flow) -> str:
        text = c.at(at).template(template)
        for number, place in enumerate(places):
            text = text.replace(f"{{s{number}}}", place)
        for number, argument in enumerate(arguments):
            text = text.replace(f"{{{number}}}", argument.text)
        return text.replace("{ctx}", "evaluation")

    for text in form.init:
        c.at(Flow(Writer(c.module, "p0", "", ""))).template(text)

    def step(at: Flow, places: list[str]) -> None:
        def write(arguments: list[Code]) -> None:
            for place, template in zip(places, form.step, strict=True):
                text = fill(template, places, arguments, at)
                if text != place:
                    at.writer.line(f"{place} = {text}")

        _guarded(c, call, at, write, strict=call.aggregate.strict)

    def final(at: Flow, places: list[str]) -> Code:
        if call.aggregate.needs_context:
            c.at(at).evaluation()
        text = fill(form.final, places, (), at)
        return Code(f"({text})", nullable=call.aggregate.empty is None)

    return Step(form.init, step, final)


def _form_step(c: ProgramCompiler, call: AggregateCall, form: AggregateForm) -> Step:
    init, stepper, finish = c.slot(form.init), c.slot(form.step), c.slot(form.final)
    aggregate = call.aggregate

    def context(at: Flow) -> str:
        return c.at(at).evaluation() + ", "

    def step(at: Flow, places: list[str]) -> None:
        place = places[0]

        def write(arguments: list[Code]) -> None:
            texts = ", ".join([place, *(a.text for a in arguments)])
            more = context(at) if aggregate.context_step else ""
            at.writer.line(f"{place} = {stepper}({more}{texts})")

        _guarded(c, call, at, write, strict=aggregate.strict)

    def final(at: Flow, places: list[str]) -> Code:
        more = context(at) if aggregate.needs_context else ""
        return Code(f"{finish}({more}{places[0]})", nullable=aggregate.empty is None)

    return Step((f"{init}()",), step, final)


def _collected_step(c: ProgramCompiler, call: AggregateCall) -> Step:
    """DISTINCT, ORDER BY and ordered-set aggregates: collect rows, then step through them."""
    passes_slot = c.module.late_slot()
    order: list[tuple[list[int], bool]] = []
    widths: list[int] = []

    def step(at: Flow, places: list[str]) -> None:
        with c.filtered(() if call.filter is None else (call.filter,), at):
            arguments = _arguments(c, call, at)
            parts, passes = sort_passes(c, call.order_by, at)
            order[:] = passes
            widths[:] = [len(parts)]
            row = tuple_of([*parts, *(a.text for a in arguments)])
            at.writer.line(f"{places[0]}.append({row})")
            c.module.fill(passes_slot, (pass_functions(order), len(parts), _distinct_key(c, call)))

    def final(at: Flow, places: list[str]) -> Code:
        finisher = _finisher(c, call)
        ready = c.slot(aggregate_functions.prepared_rows)
        at.writer.first("check = ctx.check_slice")
        direct = "".join(f", {c.at(at).value(d).text}" for d in call.direct_arguments)
        text = (
            f"{finisher}(ctx, params, state, "
            f"{ready}({places[0]}, {passes_slot}, {call.distinct}, check){direct})"
        )
        return Code(text, nullable=call.aggregate.empty is None)

    return Step(("[]",), step, final)


_FLOATS: Final = frozenset({700, 701})
"""Sums of these depend on the order."""


def _distinct_step(c: ProgramCompiler, call: AggregateCall) -> Step:
    """DISTINCT alone: each group keeps its different arguments, in a dict."""

    def step(at: Flow, places: list[str]) -> None:
        with c.filtered(() if call.filter is None else (call.filter,), at):
            arguments = _arguments(c, call, at)
            parts: list[str] = []
            for argument, code in zip(call.arguments, arguments, strict=True):
                group = c.types.type(argument.type).group_key()
                text = code.text
                if group is not None:
                    text = f"{c.slot(group)}({text})"
                    text = f"(None if {code.text} is None else {text})" if code.nullable else text
                parts.append(text)
            key = parts[0] if len(parts) == 1 else tuple_of(parts)
            row = tuple_of(a.text for a in arguments)
            at.writer.line(f"{places[0]}.setdefault({key}, {row})")

    def final(at: Flow, places: list[str]) -> Code:
        ordered = call.aggregate.order_sensitive or call.arguments[0].type in _FLOATS
        ready = c.slot(aggregate_functions.different_rows)
        rows = f"{ready}({places[0]})" if ordered else f"{places[0]}.values()"
        text = f"{_finisher(c, call)}(ctx, params, state, {rows})"
        return Code(text, nullable=call.aggregate.empty is None)

    return Step(("{}",), step, final)


def _distinct_key(c: ProgramCompiler, call: AggregateCall) -> tuple[Any, ...]:
    """Per argument, the function that makes equal values equal in Python (None: they are)."""
    return tuple(c.types.type(a.type).group_key() for a in call.arguments)


def _finisher(c: ProgramCompiler, call: AggregateCall) -> str:
    """A function that runs the aggregate over a list of argument tuples."""
    direct = [c.module.name("v") for _ in call.direct_arguments]
    rows = c.module.name("r")
    parameters = ", ".join(["ctx", "params", "state", rows, *direct])
    writer = c.module.function(parameters, comment="aggregate over collected rows")
    flow = Flow(writer)
    aggregate = call.aggregate
    names = [c.module.name("v") for _ in call.arguments]
    target = unpacking(local(name) for name in names)
    if aggregate.inline is not None and aggregate.arity == "n":
        plain = _plain(call)
        step = _inline_over(c, plain, aggregate.inline, names)
    else:
        step = _form_over(c, call, form_of(c, call), names, direct)
    places = [c.module.name("s") for _ in step.init]
    for name, init in zip(places, step.init, strict=True):
        writer.line(f"{name} = {init}")
    with writer.block(f"for {target} in {rows}:", loop=True):
        step.step(flow, places)
    writer.line(f"return {step.final(flow, places).text}")
    return writer.name


def _plain(call: AggregateCall) -> AggregateCall:
    return replace(call, distinct=False, order_by=(), filter=None)


def _tests(call: AggregateCall, names: Sequence[str]) -> str:
    if not call.aggregate.strict or not names:
        return ""
    return " and ".join(f"{name} is not None" for name in names)


def _inline_over(
    c: ProgramCompiler, call: AggregateCall, form: InlineAggregate, names: Sequence[str]
) -> Step:
    """The inline form over arguments that are local names already."""
    made = _inline_step(c, call, form)

    def step(at: Flow, places: list[str]) -> None:
        def write() -> None:
            for place, template in zip(places, form.step, strict=True):
                text = c.at(at).template(template)
                for number, name in enumerate(places):
                    text = text.replace(f"{{s{number}}}", name)
                for number, name in enumerate(names):
                    text = text.replace(f"{{{number}}}", name)
                if text != place:
                    at.writer.line(f"{place} = {text}")

        tests = _tests(call, names)
        if tests:
            with at.writer.block(f"if {tests}:"):
                write()
        else:
            write()

    return Step(made.init, step, made.final)


def _form_over(
    c: ProgramCompiler,
    call: AggregateCall,
    form: AggregateForm,
    names: Sequence[str],
    direct: Sequence[str],
) -> Step:
    init, stepper, finish = c.slot(form.init), c.slot(form.step), c.slot(form.final)
    aggregate: SqlAggregate = call.aggregate

    def step(at: Flow, places: list[str]) -> None:
        more = c.at(at).evaluation() + ", " if aggregate.context_step else ""
        line = f"{places[0]} = {stepper}({more}{', '.join([places[0], *names])})"
        tests = _tests(call, names)
        if tests:
            with at.writer.block(f"if {tests}:"):
                at.writer.line(line)
        else:
            at.writer.line(line)

    def final(at: Flow, places: list[str]) -> Code:
        more = c.at(at).evaluation() + ", " if aggregate.needs_context else ""
        return Code(f"{finish}({more}{', '.join([places[0], *direct])})", nullable=True)

    return Step((f"{init}()",), step, final)


PRODUCERS: Final[Mapping[type, Producer]] = MappingProxyType({Aggregate: produce_aggregate})
