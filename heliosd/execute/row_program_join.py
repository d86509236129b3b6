"""Row programs of joins: nested loops, with an index lookup inside or over a kept list.

An outer join's row without partner must reach the same consumer as the others, and the consumer's
code must stand once. So the partners of one left row become a list, and the loop runs over
`list or NULLS`, where NULLS holds one row of NULLs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from heliosd.execute import loops
from heliosd.execute.expressions import local
from heliosd.execute.row_program import (
    DEPTH_MAX,
    Consume,
    Flow,
    Needed,
    Producer,
    ProgramCompiler,
    depth,
    needed_by,
    tuple_of,
    unpacking,
)
from heliosd.plan.columns import ColumnKey, expression_columns, free_columns, given_rels
from heliosd.plan.nodes import JoinKind
from heliosd.plan.physical import Filter, IndexScan, NestedLoop, Physical
from heliosd.sql.bound import And, Expr

Columns = list[tuple[ColumnKey, bool]]


def read_from(node: Physical, needed: Needed, more: Sequence[Expr] = ()) -> Needed:
    """The columns of `node` that somebody reads."""
    own = given_rels(node)
    return frozenset(key for key in needed | needed_by(more) if key[0] in own)


def produce_left(
    c: ProgramCompiler, node: Physical, needed: Needed, flow: Flow, consume: Consume
) -> None:
    """The streamed side: cut off where the pipeline gets too deep for one function."""
    if depth(node) >= DEPTH_MAX:
        c.produce_cut(node, needed, flow, consume)
    else:
        c.produce(node, needed, flow, consume)


# Nested loops ------------------------------------------------------------------------------------


def produce_nested_loop(
    c: ProgramCompiler, node: NestedLoop, needed: Needed, flow: Flow, consume: Consume
) -> None:
    if node.kind in (JoinKind.SEMI, JoinKind.ANTI, JoinKind.NULL_AWARE_ANTI):
        loop_semi(c, node, needed, flow, consume)
    elif node.lateral:
        _loop_lateral(c, node, needed, flow, consume)
    else:
        _loop_kept(c, node, needed, flow, consume)


def _left_needed(node: NestedLoop, needed: Needed) -> Needed:
    """What the left side must give: what is read above, in the predicates, or by the right side."""
    outer = read_from(node.left, frozenset(free_columns(node.right)))
    return read_from(node.left, needed, node.predicates) | outer


def _loop_lateral(
    c: ProgramCompiler, node: NestedLoop, needed: Needed, flow: Flow, consume: Consume
) -> None:
    right_needed = read_from(node.right, needed, node.predicates)

    def each_left(at: Flow) -> None:
        if node.kind is JoinKind.INNER:

            def each_right(inside: Flow) -> None:
                with c.filtered(node.predicates, inside):
                    consume(inside)

            if at.writer.loops + depth(node.right) > DEPTH_MAX + 5:
                c.produce_cut(node.right, right_needed, at, each_right)
            else:
                c.produce(node.right, right_needed, at, each_right)
            return
        assert node.kind is JoinKind.LEFT, node.kind
        if gives_one_row(node.right):
            _left_single(c, node, right_needed, at, consume)
        else:
            _left_listed(c, node, right_needed, at, consume)

    produce_left(c, node.left, _left_needed(node, needed), flow, each_left)


def gives_one_row(node: Physical) -> bool:
    """Whether the node's code runs its consumer at most once, outside of any loop."""
    if isinstance(node, Filter):
        return gives_one_row(node.input)
    return isinstance(node, IndexScan) and node.unique and all(p.is_single for p in node.points)


def _left_single(
    c: ProgramCompiler, node: NestedLoop, right_needed: Needed, at: Flow, consume: Consume
) -> None:
    """LEFT JOIN to one row at most: its columns start as NULL."""
    writer = at.writer
    names = {key: c.module.name("v") for key in sorted(right_needed)}
    if names:
        writer.line(f"{' = '.join(names.values())} = None")

    def found(inside: Flow) -> None:
        with c.filtered(node.predicates, inside):
            for key, name in names.items():
                writer.line(f"{name} = {inside.columns[key].text}")

    c.produce(node.right, right_needed, at.inner(), found)
    consume(at.plus({key: local(name) for key, name in names.items()}))


def _left_listed(
    c: ProgramCompiler, node: NestedLoop, right_needed: Needed, at: Flow, consume: Consume
) -> None:
    writer = at.writer
    found = c.module.name("r")
    writer.line(f"{found} = []")
    keys = sorted(right_needed)

    def each(inside: Flow) -> None:
        with c.filtered(node.predicates, inside):
            writer.line(f"{found}.append({tuple_of(inside.columns[k].text for k in keys)})")

    if at.writer.loops + depth(node.right) > DEPTH_MAX + 5:
        c.produce_cut(node.right, right_needed, at.inner(), each)
    else:
        c.produce(node.right, right_needed, at.inner(), each)
    over_partners(c, found, [(key, True) for key in keys], at, consume)


def over_partners(
    c: ProgramCompiler, found: str, keys: Columns, at: Flow, consume: Consume
) -> None:
    """The loop over a left row's partners, or one row of NULLs."""
    nulls = c.slot(((None,) * len(keys),))
    columns = c.names_for((key, True) for key, _ in keys)
    with at.writer.block(f"for {unpacking(columns.values())} in {found} or {nulls}:", loop=True):
        consume(at.plus(columns))


def _loop_kept(
    c: ProgramCompiler, node: NestedLoop, needed: Needed, flow: Flow, consume: Consume
) -> None:
    """The right side read once into a list."""
    right_needed = read_from(node.right, needed, node.predicates)
    kept = c.module.name("r")
    call, keys = c.listing(node.right, right_needed, flow)
    flow.writer.line(f"{kept} = {call}")
    flow.writer.first("check = ctx.check_slice")

    def each_left(at: Flow) -> None:
        writer = at.writer
        chunk = c.module.name("r")
        columns = c.names_for(keys)
        chunks = c.slot(loops.chunks)
        if node.kind is JoinKind.INNER:
            with writer.block(f"for {chunk} in {chunks}({kept}):", loop=True):
                writer.line("check()")
                with writer.block(f"for {unpacking(columns.values())} in {chunk}:", loop=True):
                    inside = at.plus(columns)
                    with c.filtered(node.predicates, inside):
                        consume(inside)
            return
        assert node.kind is JoinKind.LEFT, node.kind
        found = c.module.name("r")
        writer.line(f"{found} = []")
        with writer.block(f"for {chunk} in {chunks}({kept}):", loop=True):
            writer.line("check()")
            with writer.block(f"for {unpacking(columns.values())} in {chunk}:", loop=True):
                inside = at.plus(columns)
                with c.filtered(node.predicates, inside):
                    row = tuple_of(code.text for code in columns.values())
                    writer.line(f"{found}.append({row})")
        over_partners(c, found, keys, at, consume)

    produce_left(c, node.left, read_from(node.left, needed, node.predicates), flow, each_left)


def loop_semi(
    c: ProgramCompiler, node: NestedLoop, needed: Needed, flow: Flow, consume: Consume
) -> None:
    """Left rows with (or without) a partner: a function answers for one left row."""
    right_needed = read_from(node.right, needed, node.predicates)
    kept: str | None = None
    keys: Columns = []
    if not node.lateral:
        kept = c.module.name("r")
        call, keys = c.listing(node.right, right_needed, flow)
        flow.writer.line(f"{kept} = {call}")

    def each_left(at: Flow) -> None:
        read = set(free_columns(node.right)).union(
            *(expression_columns(p) for p in node.predicates)
        )
        more = () if kept is None else (kept,)
        writer, inside, call = c.function_over(read, at, "has a partner", more)

        def test(found: Flow) -> None:
            if node.kind is JoinKind.NULL_AWARE_ANTI:
                # NULL counts as a partner: NOT IN is then not true.
                value = c.at(found).value(_conjunction(node.predicates))
                with writer.block(f"if {value.text} is not False:"):
                    writer.line("return True")
            else:
                with c.filtered(node.predicates, found):
                    writer.line("return True")

        if kept is None:
            c.produce(node.right, right_needed, inside, test)
        else:
            writer.first("check = ctx.check_slice")
            chunk = c.module.name("r")
            columns = c.names_for(keys)
            with writer.block(f"for {chunk} in {c.slot(loops.chunks)}({kept}):", loop=True):
                writer.line("check()")
                with writer.block(f"for {unpacking(columns.values())} in {chunk}:", loop=True):
                    test(inside.plus(columns))
        writer.line("return False")
        word = "" if node.kind is JoinKind.SEMI else "not "
        with at.writer.block(f"if {word}{call}:"):
            consume(at)

    produce_left(c, node.left, _left_needed(node, needed), flow, each_left)


def _conjunction(predicates: Sequence[Expr]) -> Expr:
    return predicates[0] if len(predicates) == 1 else And(tuple(predicates))


PRODUCERS: Final[Mapping[type, Producer]] = MappingProxyType({NestedLoop: produce_nested_loop})
