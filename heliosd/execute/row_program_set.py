"""Row programs of set operations, WITH queries and recursion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from heliosd.execute import loops, set_functions
from heliosd.execute.expressions import Code, local
from heliosd.execute.plan_walk import every_node
from heliosd.execute.row_program import (
    Consume,
    Flow,
    Needed,
    Producer,
    ProgramCompiler,
    needed_by,
    tuple_of,
    unpacking,
    vars_needed,
)
from heliosd.plan.columns import WHOLE_ROW, ColumnKey, all_nodes, free_columns, given_rels
from heliosd.plan.physical import (
    ColumnScan,
    CteScan,
    DeleteRows,
    InsertRows,
    KeptCte,
    Physical,
    Project,
    Recursive,
    SetOperation,
    UpdateRows,
    With,
)

if TYPE_CHECKING:
    from heliosd.sql.bound import Var


def output_keys(node: Physical, width: int) -> list[ColumnKey]:
    """The columns that a set operation's input gives, by position."""
    if isinstance(node, Project | SetOperation | Recursive):
        return [(node.rel, i) for i in range(width)]
    below = node.rows if isinstance(node, ColumnScan) else getattr(node, "input", None)
    if below is not None:
        return output_keys(below, width)
    (rel,) = given_rels(node)
    return [(rel, i) for i in range(width)]


def produce_set_operation(
    c: ProgramCompiler, node: SetOperation, needed: Needed, flow: Flow, consume: Consume
) -> None:
    width = len(node.columns)
    if node.kind == "union" and node.all:
        # Both sides append to one function's batches; only wanted columns are carried.
        wanted = [i for i in range(width) if (node.rel, i) in needed]
        call = _appended(c, node, wanted, flow)
        _over_batches(c, call, [(node.rel, i) for i in wanted], flow, consume)
        return
    call = _combined(c, node, flow)
    rows = c.module.name("r")
    flow.writer.line(f"{rows} = {call}")
    flow.writer.first("check = ctx.check_slice")
    columns = {(node.rel, i): local(c.module.name("v")) for i in range(width)}
    chunk = c.module.name("r")
    writer = flow.writer
    with writer.block(f"for {chunk} in {c.slot(loops.chunks)}({rows}):", loop=True):
        writer.line("check()")
        with writer.block(f"for {unpacking(columns.values())} in {chunk}:", loop=True):
            consume(flow.plus(columns))
        if flow.flush is not None:
            flow.flush()


def _over_batches(
    c: ProgramCompiler, call: str, keys: list[ColumnKey], flow: Flow, consume: Consume
) -> None:
    batch = c.module.name("r")
    columns = c.names_for((key, True) for key in keys)
    with flow.writer.block(f"for {batch} in {call}:", loop=True):
        with flow.writer.block(f"for {unpacking(columns.values())} in {batch}:", loop=True):
            consume(flow.plus(columns))
        if flow.flush is not None:
            flow.flush()


def _appended(c: ProgramCompiler, node: SetOperation, wanted: list[int], flow: Flow) -> str:
    """A generator function over the rows of one side, then of the other."""
    writer, inside, call = c.function(node, flow, "append")
    writer.first("out = []")
    sides = _union_sides(node)
    width = len(node.columns)
    for side in sides:
        keys = output_keys(side, width)
        needed = frozenset(keys[i] for i in wanted)

        def row(at: Flow, keys: list[ColumnKey] = keys) -> str:
            return tuple_of(at.columns[keys[i]].text for i in wanted)

        _append_side(c, side, needed, inside, row)
    with writer.block("if out:"):
        writer.line("yield out")
    return call


def _append_side(
    c: ProgramCompiler,
    side: Physical,
    needed: Needed,
    inside: Flow,
    row: Callable[[Flow], str],
) -> None:
    writer = inside.writer

    def hand_out() -> None:
        with writer.block("if len(out) >= 128:"):
            writer.line("yield out")
            writer.line("out = []")

    def consume(at: Flow) -> None:
        writer.line(f"out.append({row(at)})")
        hand_out()

    c.produce(side, needed, inside.inner(), consume)


def _union_sides(node: Physical) -> list[Physical]:
    """The inputs of nested UNION ALLs, in order."""
    if isinstance(node, SetOperation) and node.kind == "union" and node.all:
        return [*_union_sides(node.left), *_union_sides(node.right)]
    return [node]


def _combined(c: ProgramCompiler, node: SetOperation, flow: Flow) -> str:
    """A function that returns the result of UNION, INTERSECT or EXCEPT as a list."""
    writer, inside, call = c.function(node, flow, node.kind)
    width = len(node.columns)
    keys = c.slot(tuple(c.types.type(v.type).group_key() for v in node.columns))
    names: list[str] = []
    for side in (node.left, node.right):
        name = c.module.name("r")
        names.append(name)
        writer.line(f"{name} = []")
        order = output_keys(side, width)

        def consume(at: Flow, name: str = name, order: list[ColumnKey] = order) -> None:
            writer.line(f"{name}.append({tuple_of(at.columns[k].text for k in order)})")

        c.produce(side, frozenset(order), c.kept(inside, name), consume)
    function = {
        ("union", False): set_functions.union,
        ("intersect", False): set_functions.intersect,
        ("intersect", True): set_functions.intersect_all,
        ("except", False): set_functions.difference,
        ("except", True): set_functions.difference_all,
    }[(node.kind, node.all)]
    writer.first("check = ctx.check_slice")
    writer.line(f"return {c.slot(function)}({names[0]}, {names[1]}, {keys}, check)")
    return call


# WITH --------------------------------------------------------------------------------------------


def produce_with(
    c: ProgramCompiler, node: With, needed: Needed, flow: Flow, consume: Consume
) -> None:
    """Each query becomes a function whose rows are kept in a cell of the state.

    It runs at its first use; one that reads outer columns, or changes data, runs here.
    """
    writer = flow.writer
    changing: list[KeptCte] = []
    for cte in node.ctes:
        if isinstance(cte.plan, Recursive) and _references(node, cte.number) == 1:
            # Read once: its rows are handed on as they are made, so that LIMIT can end them.
            c.streams[cte.number] = (cte.plan, tuple(cte.outputs))
            continue
        cell = c.cell()
        outer = free_columns(cte.plan) & set(flow.columns)
        call = _cte_rows(c, cte, flow)
        c.ctes[cte.number] = (cell, call if not outer else None, tuple(cte.outputs))
        if outer or flow.columns:
            c.varying.add(cte.number)
        if outer:
            writer.line(f"state[{cell}] = ({call},)")
        else:
            # The enclosing function may run again: for another outer row, or a recursive step.
            writer.line(f"state[{cell}] = None")
        if cte.modifies:
            changing.append(cte)
    for cte in changing:
        cell, kept, _ = c.ctes[cte.number]
        if kept is not None:
            with writer.block(f"if state[{cell}] is None:"):
                writer.line(f"state[{cell}] = ({kept},)")
    c.produce(node.input, needed, flow, consume)


def _references(node: With, number: int) -> int:
    """How often a WITH query is read, from outside itself; a read inside a subquery counts twice.

    (A subquery may run once per row.)
    """
    own = next(cte.plan for cte in node.ctes if cte.number == number)
    inside = {id(item) for item in all_nodes(own)}
    direct = {id(item) for item in all_nodes(node)}
    count = 0
    for item in every_node(node):
        if isinstance(item, CteScan) and item.rel.cte == number and id(item) not in inside:
            count += 1 if id(item) in direct else 2
    return count


def _cte_rows(c: ProgramCompiler, cte: KeptCte, flow: Flow) -> str:
    """A function that returns a WITH query's rows as a list of tuples of its outputs."""
    writer, inside, call = c.function(cte.plan, flow, "with query")
    writer.first("out = []")
    if isinstance(cte.plan, InsertRows | UpdateRows | DeleteRows):
        c.modifier(c, cte.plan, inside)
        writer.line("return out")
        return call

    def consume(at: Flow) -> None:
        row = tuple_of(at.columns[(v.rel, v.column)].text for v in cte.outputs)
        writer.line(f"out.append({row})")

    kept = replace(c.kept(inside, "out"), stop=lambda: writer.line("return out"))
    c.produce(cte.plan, vars_needed(cte.outputs), kept, consume)
    writer.line("return out")
    return call


def produce_cte_scan(
    c: ProgramCompiler, node: CteScan, needed: Needed, flow: Flow, consume: Consume
) -> None:
    stream = c.streams.get(node.rel.cte)
    if stream is not None and not node.rel.recursive:
        _stream(c, node, stream, needed, flow, consume)
        return
    cell, call, outputs = c.ctes[node.rel.cte]
    writer = flow.writer
    writer.first("check = ctx.check_slice")
    if call is not None:
        with writer.block(f"if state[{cell}] is None:"):
            writer.line(f"state[{cell}] = ({call},)")
    rel = node.rel.rel
    wanted = needed | needed_by(node.predicates)
    width = len(outputs)
    chunk, row = c.module.name("r"), c.module.name("r")
    with writer.block(f"for {chunk} in {c.slot(loops.chunks)}(state[{cell}][0]):", loop=True):
        writer.line("check()")
        with writer.block(f"for {row} in {chunk}:", loop=True):
            columns: dict[ColumnKey, Code] = {}
            for i in range(width):
                if (rel, i) in wanted:
                    name = c.module.name("v")
                    writer.line(f"{name} = {row}[{i}]")
                    columns[(rel, i)] = local(name)
            if (rel, WHOLE_ROW) in wanted:
                columns[(rel, WHOLE_ROW)] = local(row, nullable=False)
            at = flow.plus(columns)
            with c.filtered(node.predicates, at):
                consume(at)
        if flow.flush is not None:
            flow.flush()


def _stream(
    c: ProgramCompiler,
    node: CteScan,
    stream: tuple[Physical, tuple[Var, ...]],
    needed: Needed,
    flow: Flow,
    consume: Consume,
) -> None:
    """A WITH query in the place of its only reader."""
    plan, outputs = stream
    rel = node.rel.rel
    wanted = needed | needed_by(node.predicates)
    whole = (rel, WHOLE_ROW) in wanted
    used = [i for i in range(len(outputs)) if whole or (rel, i) in wanted]

    def inside(at: Flow) -> None:
        columns = {(rel, i): at.columns[(outputs[i].rel, outputs[i].column)] for i in used}
        if whole:
            name = c.module.name("v")
            row = tuple_of(columns[(rel, i)].text for i in used)
            flow.writer.line(f"{name} = {row}")
            columns[(rel, WHOLE_ROW)] = local(name, nullable=False)
        here = at.plus(columns)
        with c.filtered(node.predicates, here):
            consume(here)

    c.produce_cut(plan, vars_needed(outputs[i] for i in used), flow, inside)


def produce_recursive(
    c: ProgramCompiler, node: Recursive, needed: Needed, flow: Flow, consume: Consume
) -> None:
    """WITH RECURSIVE: the working rows rest in a cell that the step's scan reads."""
    width = len(node.columns)
    cell = c.cell()
    known = c.ctes.get(node.cte)
    c.varying.add(node.cte)
    c.ctes[node.cte] = (cell, None, tuple(node.columns))
    initial = _list_function(c, node.initial, width, flow)
    step = _list_function(c, node.step, width, flow)
    if known is not None:
        c.ctes[node.cte] = known
    keys = c.slot(tuple(c.types.type(v.type).group_key() for v in node.columns))
    columns = {(node.rel, i): local(c.module.name("v")) for i in range(width)}
    writer = flow.writer
    writer.first("check = ctx.check_slice")
    work, seen, chunk = (c.module.name(p) for p in "rrr")
    fresh = c.slot(set_functions.fresh_rows)
    writer.line(f"{seen} = {'None' if node.all else 'set()'}")
    writer.line(f"{work} = {fresh}({initial}, {seen}, {keys})")
    with writer.block(f"while {work}:", loop=True):
        writer.line("check()")
        with writer.block(f"for {chunk} in {c.slot(loops.chunks)}({work}):", loop=True):
            with writer.block(f"for {unpacking(columns.values())} in {chunk}:", loop=True):
                consume(flow.plus(columns))
            if flow.flush is not None:
                flow.flush()
        writer.line(f"state[{cell}] = ({work},)")
        writer.line(f"{work} = {fresh}({step}, {seen}, {keys})")


def _list_function(c: ProgramCompiler, node: Physical, width: int, flow: Flow) -> str:
    writer, inside, call = c.function(node, flow, "recursion")
    writer.first("out = []")
    order = output_keys(node, width)

    def consume(at: Flow) -> None:
        writer.line(f"out.append({tuple_of(at.columns[k].text for k in order)})")

    kept = replace(c.kept(inside, "out"), stop=lambda: writer.line("return out"))
    c.produce(node, frozenset(order), kept, consume)
    writer.line("return out")
    return call


PRODUCERS: Final[Mapping[type, Producer]] = MappingProxyType(
    {
        SetOperation: produce_set_operation,
        With: produce_with,
        CteScan: produce_cte_scan,
        Recursive: produce_recursive,
    }
)
