"""Row programs of subqueries in expressions.

One without outer columns runs once, at its first use, and its answer rests in a cell of the state;
one with outer columns is a function of them.
"""

from __future__ import annotations

from typing import Final

from heliosd.execute import join_functions, loops, row_functions
from heliosd.execute.expressions import (
    ENVIRONMENT,
    Code,
    ExpressionCompiler,
    code_of,
    local,
)
from heliosd.execute.plan_walk import every_node, is_volatile, own_expressions
from heliosd.execute.row_program import Flow, ProgramCompiler, tuple_of, unpacking, vars_needed
from heliosd.execute.row_program_hash import hash_key
from heliosd.execute.source import Writer
from heliosd.plan.columns import WHOLE_ROW, ColumnKey, expression_columns
from heliosd.plan.nodes import SubPlan
from heliosd.plan.physical import CteScan, PhysicalNode, Recursive, With
from heliosd.sql.bound import Expr, SubLinkKind, WholeRow
from heliosd.types.registry import KeyKind


def compile_subplan(c: ProgramCompiler, node: SubPlan, compiler: ExpressionCompiler) -> Code:
    """The code of a subquery's value at the place of `compiler`."""
    flow = Flow(compiler.writer, compiler.columns)
    read = {(p.rel, WHOLE_ROW if isinstance(p, WholeRow) else p.column) for p in node.parameters}
    if node.kind in (SubLinkKind.ANY, SubLinkKind.ALL):
        return _quantified(c, node, compiler, flow, read)
    writer, inside, call = c.function_over(read, flow, f"subquery: {node.kind.name}")
    if node.kind is SubLinkKind.EXISTS:
        _write_exists(c, node, writer, inside)
    elif node.kind is SubLinkKind.ARRAY:
        _write_array(c, node, writer, inside)
    else:
        _write_scalar(c, node, writer, inside)
    nullable = node.kind is SubLinkKind.EXPR
    return _answer(c, node, writer, inside, call, nullable=nullable)


_PLAIN_KEYS: Final = (KeyKind.INT, KeyKind.BOOL, KeyKind.TEXT, KeyKind.FIXED)


def _varies(c: ProgramCompiler, node: SubPlan) -> bool:
    """Whether it reads a WITH query from outside of it whose rows change while it is kept."""
    nodes = list(every_node(plan_of(node)))
    own = {cte.number for item in nodes if isinstance(item, With) for cte in item.ctes}
    own |= {item.cte for item in nodes if isinstance(item, Recursive)}
    read = {item.rel.cte for item in nodes if isinstance(item, CteScan)}
    return bool((read - own) & c.varying)


def _is_repeatable(c: ProgramCompiler, node: SubPlan) -> bool:
    """Whether equal outer values mean the same answer, to the last digit shown."""
    for parameter in node.parameters:
        if isinstance(parameter, WholeRow):
            return False
        kind = c.types.type(parameter.type)
        if not kind.native or kind.key not in _PLAIN_KEYS:
            return False
    return not any(
        is_volatile(expression)
        for below in every_node(plan_of(node))
        for expression in own_expressions(below)
    )


def _answer(
    c: ProgramCompiler,
    node: SubPlan,
    writer: Writer,
    inside: Flow,
    call: str,
    *,
    nullable: bool,
) -> Code:
    """The call itself, or the kept answer: for good without outer columns, else by their values."""
    uses = frozenset[str]().union(*(code.uses for code in inside.columns.values()))
    if _varies(c, node):
        return Code(call, nullable=nullable, uses=uses | ENVIRONMENT)
    if uses:
        if _is_repeatable(c, node):
            known = c.slot(join_functions.call_known)
            outer = call.partition("(ctx, params, state")[2]
            call = f"{known}(state, {c.cell()}, {writer.name}, ctx, params{outer}"
        return Code(call, nullable=nullable, uses=uses | ENVIRONMENT)
    cell = c.cell()
    once = c.slot(join_functions.call_once)
    text = f"{once}(state, {cell}, {writer.name}, ctx, params)"
    return Code(text, nullable=nullable, uses=ENVIRONMENT)


def plan_of(node: SubPlan) -> PhysicalNode:
    """The physical plan that choosing put in the place of the logical one."""
    plan: object = node.plan
    assert isinstance(plan, PhysicalNode)
    return plan


def _write_exists(c: ProgramCompiler, node: SubPlan, writer: Writer, inside: Flow) -> None:
    def consume(at: Flow) -> None:
        at.writer.line("return True")

    flow = Flow(writer, inside.columns, stop=lambda: writer.line("return False"))
    c.produce(plan_of(node), frozenset(), flow, consume)
    writer.line("return False")


def _write_scalar(c: ProgramCompiler, node: SubPlan, writer: Writer, inside: Flow) -> None:
    writer.first("out = []")
    output = node.outputs[0]
    done = "return out[0] if out else None"

    def consume(at: Flow) -> None:
        with at.writer.block("if out:"):
            at.writer.line(f"{c.slot(loops.more_than_one_row)}()")
        at.writer.line(f"out.append({at.columns[(output.rel, output.column)].text})")

    flow = Flow(writer, inside.columns, stop=lambda: writer.line(done))
    c.produce(plan_of(node), vars_needed([output]), flow, consume)
    writer.line(done)


def _write_array(c: ProgramCompiler, node: SubPlan, writer: Writer, inside: Flow) -> None:
    writer.first("out = []")
    output = node.outputs[0]
    nested = c.types.type(output.type).is_array
    make = c.slot(row_functions.nest_arrays if nested else row_functions.make_array)
    done = f"return {make}((*out,))"

    def consume(at: Flow) -> None:
        at.writer.line(f"out.append({at.columns[(output.rel, output.column)].text})")

    flow = Flow(writer, inside.columns, stop=lambda: writer.line(done))
    c.produce(plan_of(node), vars_needed([output]), flow, consume)
    writer.line(done)


# ANY and ALL -------------------------------------------------------------------------------------


def _quantified(
    c: ProgramCompiler,
    node: SubPlan,
    compiler: ExpressionCompiler,
    flow: Flow,
    read: set[ColumnKey],
) -> Code:
    kept = not read and not _varies(c, node)
    if node.hash_keys and kept and node.kind is SubLinkKind.ANY:
        return _hashed(c, node, compiler, flow)
    assert node.test is not None
    own = {node.rel} | {v.rel for v in node.outputs}
    outer = {key for key in expression_columns(node.test) if key[0] not in own}
    rows: str | None = None
    if kept:
        # The rows are the same for every outer row: kept.
        lister, listed, call = c.function_over((), flow, "subquery rows")
        _write_rows(c, node, lister, listed)
        cell = c.cell()
        rows = f"{c.slot(join_functions.call_once)}(state, {cell}, {lister.name}, ctx, params)"
    writer, inside, call = c.function_over(read | outer, flow, f"subquery: {node.kind.name}")
    unknown = c.module.name("v")
    writer.line(f"{unknown} = False")
    wanted = node.kind is SubLinkKind.ANY
    test = node.test

    def consume(at: Flow) -> None:
        columns = {(node.rel, i): at.columns[(v.rel, v.column)] for i, v in enumerate(node.outputs)}
        _write_test(c, test, at.plus(columns), unknown, wanted=wanted)

    if rows is None:
        c.produce(plan_of(node), vars_needed(node.outputs), inside.inner(), consume)
    else:
        writer.first("check = ctx.check_slice")
        names = {(v.rel, v.column): local(c.module.name("v")) for v in node.outputs}
        chunk = c.module.name("r")
        with writer.block(f"for {chunk} in {c.slot(loops.chunks)}({rows}):", loop=True):
            writer.line("check()")
            with writer.block(f"for {unpacking(names.values())} in {chunk}:", loop=True):
                consume(inside.plus(names))
    writer.line(f"return None if {unknown} else {not wanted}")
    uses = frozenset[str]().union(*(code.uses for code in inside.columns.values()))
    return Code(call, nullable=True, uses=uses | ENVIRONMENT)


def _write_test(c: ProgramCompiler, test: Expr, at: Flow, unknown: str, *, wanted: bool) -> None:
    """One row's comparison: the wanted answer ends the search, NULL is remembered."""
    value = c.named(c.at(at).value(test), at)
    with at.writer.block(f"if {value.text} is {wanted}:"):
        at.writer.line(f"return {wanted}")
    if value.nullable:
        with at.writer.block(f"if {value.text} is None:"):
            at.writer.line(f"{unknown} = True")


def _write_rows(c: ProgramCompiler, node: SubPlan, writer: Writer, inside: Flow) -> None:
    writer.first("out = []")

    def consume(at: Flow) -> None:
        row = tuple_of(at.columns[(v.rel, v.column)].text for v in node.outputs)
        at.writer.line(f"out.append({row})")

    flow = Flow(writer, inside.columns, stop=lambda: writer.line("return out"))
    c.produce(plan_of(node), vars_needed(node.outputs), flow, consume)
    writer.line("return out")


def _hashed(c: ProgramCompiler, node: SubPlan, compiler: ExpressionCompiler, flow: Flow) -> Code:
    """IN (subquery) without outer columns: a set of keys, made once."""
    writer, inside, _ = c.function_over((), flow, "subquery: hashed")
    single = len(node.hash_keys) == 1
    writer.first("out = set()")
    partly = c.module.name("r")
    if not single:
        writer.first(f"{partly} = []")

    def consume(at: Flow) -> None:
        columns = {(node.rel, i): at.columns[(v.rel, v.column)] for i, v in enumerate(node.outputs)}
        text, tests = hash_key(c, [k.right for k in node.hash_keys], at.plus(columns))
        if single or not tests:
            writer.line(f"out.add({text})")
            return
        with writer.block(f"if {' and '.join(tests)}:"):
            writer.line(f"out.add({text})")
        with writer.block("else:"):
            writer.line(f"{partly}.append({text})")

    done = "return out" if single else f"return out, {partly}"
    produced = Flow(writer, inside.columns, stop=lambda: writer.line(done))
    c.produce(plan_of(node), vars_needed(node.outputs), produced, consume)
    writer.line(done)
    cell = c.cell()
    once = c.slot(join_functions.call_once)
    kept = f"{once}(state, {cell}, {writer.name}, ctx, params)"
    parts: list[Code] = []
    for key in node.hash_keys:
        code = compiler.value(key.left)
        group = c.types.type(key.left.type).group_key()
        if group is not None:
            slot = c.slot(group)
            code = compiler.strict([code], lambda t, slot=slot: f"{slot}({t[0]})")  # type: ignore[misc]
        parts.append(code)
    if single:
        text = f"{c.slot(join_functions.in_set)}({parts[0].text}, {kept})"
    else:
        row = tuple_of(p.text for p in parts)
        text = f"{c.slot(join_functions.row_in_set)}({row}, *{kept})"
    code = code_of(text, parts, nullable=True)
    return Code(code.text, True, False, code.depth, code.uses | ENVIRONMENT)
