"""Row programs of joins: nested loops (with an index lookup inside, or a kept list) and hash joins.

An outer join's row without partner must reach the same consumer as the others, and the consumer's
code must stand once. So the partners of one left row become a list, and the loop runs over
`list or NULLS`, where NULLS holds one row of NULLs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from heliosd.execute import join_functions, loops
from heliosd.execute.expressions import Code, local
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
from heliosd.plan.physical import Filter, HashJoin, IndexScan, NestedLoop, Physical
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
        _loop_semi(c, node, needed, flow, consume)
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
    _over_partners(c, found, [(key, True) for key in keys], at, consume)


def _over_partners(
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
        _over_partners(c, found, keys, at, consume)

    produce_left(c, node.left, read_from(node.left, needed, node.predicates), flow, each_left)


def _loop_semi(
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


# Hash joins --------------------------------------------------------------------------------------


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
        _over_partners(c, found, keys, at, consume)

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
        from heliosd.plan.join_order import as_predicate

        predicates = (*(as_predicate(k) for k in node.keys), *node.predicates)
        loop = NestedLoop(node.kind, node.left, node.right, predicates, False, node.estimate)
        _loop_semi(c, loop, needed, flow, consume)
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


PRODUCERS: Final[Mapping[type, Producer]] = MappingProxyType(
    {NestedLoop: produce_nested_loop, HashJoin: produce_hash_join}
)
