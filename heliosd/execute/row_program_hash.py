"""Row programs of hash joins: the right side in a dict, the left side streamed against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from heliosd.execute import join_functions, loops
from heliosd.execute.expressions import Code
from heliosd.execute.row_program import (
    Consume,
    Flow,
    Needed,
    Producer,
    ProgramCompiler,
    tuple_of,
    unpacking,
)
from heliosd.execute.row_program_join import (
    Columns,
    loop_semi,
    over_partners,
    produce_left,
    read_from,
)
from heliosd.plan.columns import ColumnKey
from heliosd.plan.join_order import as_predicate
from heliosd.plan.nodes import JoinKind
from heliosd.plan.physical import HashJoin, NestedLoop
from heliosd.sql.bound import Expr


def hash_key(c: ProgramCompiler, expressions: Sequence[Expr], flow: Flow) -> tuple[str, list[str]]:
    """(text of a key that Python compares as SQL does, tests that no part is NULL)."""
    parts: list[str] = []
    tests: list[str] = []
    for expression in expressions:
        code = c.named(c.at(flow).value(expression), flow)
        text = code.text
        group = c.types.type(expression.type).group_key()
        if group is not None:
            text = f"{c.slot(group)}({code.text})"
            if code.nullable:
                text = f"(None if {code.text} is None else {text})"
        if code.nullable:
            tests.append(f"{code.text} is not None")
        parts.append(text)
    return (parts[0] if len(parts) == 1 else tuple_of(parts)), tests


def produce_hash_join(
    c: ProgramCompiler, node: HashJoin, needed: Needed, flow: Flow, consume: Consume
) -> None:
    if node.kind in (JoinKind.RIGHT, JoinKind.FULL):
        _cut_full(c, node, needed, flow, consume)
    elif node.kind is JoinKind.NULL_AWARE_ANTI:
        _null_aware(c, node, needed, flow, consume)
    elif node.kind in (JoinKind.SEMI, JoinKind.ANTI):
        _hash_semi(c, node, needed, flow, consume)
    else:
        _hash_rows(c, node, needed, flow, consume)


def _sides(node: HashJoin, needed: Needed) -> tuple[Needed, Needed, Needed]:
    """(left columns to give, right columns to give, right columns to keep)."""
    left = read_from(node.left, needed, (*node.predicates, *(k.left for k in node.keys)))
    kept = read_from(node.right, needed, node.predicates)
    right = kept | read_from(node.right, frozenset(), tuple(k.right for k in node.keys))
    return left, right, kept


def _build(
    c: ProgramCompiler,
    node: HashJoin,
    right_needed: Needed,
    kept: Needed,
    flow: Flow,
    *,
    rows: bool,
) -> tuple[str, Columns]:
    """A function that makes the hash table: key -> list of rows, or a set of keys."""
    writer, inside, call = c.function(node.right, flow, "hash table")
    keys: Columns = []
    table = "out"
    writer.first("out = {}")

    def each(at: Flow) -> None:
        text, tests = hash_key(c, [k.right for k in node.keys], at)
        found = [(k, at.columns[k]) for k in sorted(kept)]
        keys[:] = [(k, code.nullable) for k, code in found]
        row = tuple_of(code.text for _, code in found)

        def add() -> None:
            if not rows:
                writer.line(f"{table}[{text}] = None")
                return
            name = c.module.name("r")
            key = c.module.name("v")
            writer.line(f"{key} = {text}")
            writer.line(f"{name} = {table}.get({key})")
            with writer.block(f"if {name} is None:"):
                writer.line(f"{table}[{key}] = [{row}]")
            with writer.block("else:"):
                writer.line(f"{name}.append({row})")

        if tests:
            with writer.block(f"if {' and '.join(tests)}:"):
                add()
        else:
            add()

    c.produce(node.right, right_needed, c.kept(inside, table), each)
    writer.line(f"return {table}")
    return call, keys


def _hash_rows(
    c: ProgramCompiler, node: HashJoin, needed: Needed, flow: Flow, consume: Consume
) -> None:
    """INNER and LEFT."""
    left_needed, right_needed, kept = _sides(node, needed)
    call, keys = _build(c, node, right_needed, kept, flow, rows=True)
    table = c.module.name("r")
    flow.writer.line(f"{table} = {call}.get")
    flow.writer.first("check = ctx.check_slice")

    def each_left(at: Flow) -> None:
        writer = at.writer
        text, _ = hash_key(c, [k.left for k in node.keys], at)
        found = c.module.name("r")
        columns = c.names_for(keys)
        if node.kind is JoinKind.INNER:
            writer.line(f"{found} = {table}({text})")
            with writer.block(f"if {found}:"):
                with writer.block(f"if len({found}) > 64:"):
                    writer.line("check()")
                with writer.block(f"for {unpacking(columns.values())} in {found}:", loop=True):
                    inside = at.plus(columns)
                    with c.filtered(node.predicates, inside):
                        consume(inside)
            return
        if not node.predicates:
            writer.line(f"{found} = {table}({text})")
        else:
            every = c.module.name("r")
            writer.line(f"{every} = {table}({text})")
            writer.line(f"{found} = []")
            with (
                writer.block(f"if {every}:"),
                writer.block(f"for {unpacking(columns.values())} in {every}:", loop=True),
            ):
                inside = at.plus(columns)
                with c.filtered(node.predicates, inside):
                    row = tuple_of(code.text for code in columns.values())
                    writer.line(f"{found}.append({row})")
        over_partners(c, found, keys, at, consume)

    produce_left(c, node.left, left_needed, flow, each_left)


def _hash_semi(
    c: ProgramCompiler, node: HashJoin, needed: Needed, flow: Flow, consume: Consume
) -> None:
    left_needed, right_needed, kept = _sides(node, needed)
    plain = not node.predicates
    call, keys = _build(c, node, right_needed, frozenset() if plain else kept, flow, rows=not plain)
    table = c.module.name("r")
    flow.writer.line(f"{table} = {call}")

    def each_left(at: Flow) -> None:
        writer = at.writer
        text, _ = hash_key(c, [k.left for k in node.keys], at)
        if plain:
            word = "in" if node.kind is JoinKind.SEMI else "not in"
            with writer.block(f"if {text} {word} {table}:"):
                consume(at)
            return
        found = c.module.name("v")
        writer.line(f"{found} = False")
        columns = c.names_for(keys)
        with (
            writer.block(
                f"for {unpacking(columns.values())} in {table}.get({text}) or ():", loop=True
            ),
            c.filtered(node.predicates, at.plus(columns)),
        ):
            writer.line(f"{found} = True")
            writer.line("break")
        with writer.block(f"if {'' if node.kind is JoinKind.SEMI else 'not '}{found}:"):
            consume(at)

    produce_left(c, node.left, left_needed, flow, each_left)


def _null_aware(
    c: ProgramCompiler, node: HashJoin, needed: Needed, flow: Flow, consume: Consume
) -> None:
    """NOT IN over one key; anything more goes by a loop."""
    if node.predicates or len(node.keys) != 1:
        predicates = (*(as_predicate(k) for k in node.keys), *node.predicates)
        loop = NestedLoop(node.kind, node.left, node.right, predicates, False, node.estimate)
        loop_semi(c, loop, needed, flow, consume)
        return
    left_needed, right_needed, _ = _sides(node, needed)
    writer, inside, call = c.function(node.right, flow, "set of keys")
    writer.first("out = set()")

    def each(at: Flow) -> None:
        text, _ = hash_key(c, [node.keys[0].right], at)
        writer.line(f"out.add({text})")

    c.produce(node.right, right_needed, c.kept(inside, "out"), each)
    writer.line("return out")
    table = c.module.name("r")
    flow.writer.line(f"{table} = {call}")

    def each_left(at: Flow) -> None:
        text, _ = hash_key(c, [node.keys[0].left], at)
        test = c.slot(join_functions.not_in)
        with at.writer.block(f"if not {table} or {test}({text}, {table}):"):
            consume(at)

    produce_left(c, node.left, left_needed, flow, each_left)


def _cut_full(
    c: ProgramCompiler, node: HashJoin, needed: Needed, flow: Flow, consume: Consume
) -> None:
    """RIGHT and FULL: unmatched right rows follow at the end, so the join gets its own function."""
    left_needed, right_needed, kept = _sides(node, needed)
    wanted = frozenset(read_from(node.left, needed) | read_from(node.right, needed))
    order = sorted(wanted)
    writer, inside, call = c.function(node, flow, "outer join")
    writer.first("out = []")
    writer.first("check = ctx.check_slice")
    build, keys = _build_flagged(c, node, right_needed, kept, inside)
    table, every = c.module.name("r"), c.module.name("r")
    writer.line(f"{table}, {every} = {build}")

    def give(columns: Mapping[ColumnKey, Code]) -> None:
        texts = (columns[k].text if k in columns else "None" for k in order)
        writer.line(f"out.append({tuple_of(texts)})")

    def hand_out() -> None:
        with writer.block("if len(out) >= 128:"):
            writer.line("yield out")
            writer.line("out = []")

    def each_left(at: Flow) -> None:
        text, _ = hash_key(c, [k.left for k in node.keys], at) if node.keys else ("()", [])
        found, entry = c.module.name("v"), c.module.name("r")
        writer.line(f"{found} = False")
        with writer.block(f"for {entry} in {table}.get({text}) or ():", loop=True):
            columns = c.names_for(keys)
            if columns:
                writer.line(f"{unpacking(columns.values())} = {entry}[1]")
            here = at.plus(columns)
            with c.filtered(node.predicates, here):
                writer.line(f"{found} = {entry}[0] = True")
                give(here.columns)
                hand_out()
        if node.kind is JoinKind.FULL:
            with writer.block(f"if not {found}:"):
                give(at.columns)
        hand_out()

    produce_left(c, node.left, left_needed, inside.inner(), each_left)
    chunk, entry = c.module.name("r"), c.module.name("r")
    with writer.block(f"for {chunk} in {c.slot(loops.chunks)}({every}):", loop=True):
        writer.line("check()")
        with (
            writer.block(f"for {entry} in {chunk}:", loop=True),
            writer.block(f"if not {entry}[0]:"),
        ):
            columns = c.names_for(keys)
            if columns:
                writer.line(f"{unpacking(columns.values())} = {entry}[1]")
            give(columns)
        hand_out()
    with writer.block("if out:"):
        writer.line("yield out")
    batch = c.module.name("r")
    with flow.writer.block(f"for {batch} in {call}:", loop=True):
        columns = c.names_for((k, True) for k in order)
        with flow.writer.block(f"for {unpacking(columns.values())} in {batch}:", loop=True):
            consume(flow.plus(columns))
        if flow.flush is not None:
            flow.flush()


def _build_flagged(
    c: ProgramCompiler, node: HashJoin, right_needed: Needed, kept: Needed, flow: Flow
) -> tuple[str, Columns]:
    """(key -> entries, all entries): an entry is [found a partner, row]."""
    writer, inside, call = c.function(node.right, flow, "hash table with flags")
    writer.first("out = []")
    table = c.module.name("r")
    writer.first(f"{table} = {{}}")
    keys: Columns = []

    def each(at: Flow) -> None:
        text, tests = hash_key(c, [k.right for k in node.keys], at) if node.keys else ("()", [])
        found = [(k, at.columns[k]) for k in sorted(kept)]
        keys[:] = [(k, code.nullable) for k, code in found]
        entry = c.module.name("r")
        writer.line(f"{entry} = [False, {tuple_of(code.text for _, code in found)}]")
        writer.line(f"out.append({entry})")
        add = f"{table}.setdefault({text}, []).append({entry})"
        if tests:
            with writer.block(f"if {' and '.join(tests)}:"):
                writer.line(add)
        else:
            writer.line(add)

    c.produce(node.right, right_needed, c.kept(inside, "out"), each)
    writer.line(f"return {table}, out")
    return call, keys


PRODUCERS: Final[Mapping[type, Producer]] = MappingProxyType({HashJoin: produce_hash_join})
