"""Row programs over what gives rows: tables by scan or key, functions, VALUES, the catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from helios_storage.reader import Reader, reader_of
from heliosd.catalog.objects import SystemView, Table
from heliosd.errors import not_supported
from heliosd.execute import key_codec, loops, scan_functions
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
from heliosd.plan.access import candidates
from heliosd.plan.columns import WHOLE_ROW, ColumnKey, columns_of
from heliosd.plan.physical import (
    LOCATOR,
    CountRows,
    FunctionScan,
    GivenRows,
    IndexExtreme,
    IndexScan,
    KeyPoint,
    Result,
    SeqScan,
    SystemScan,
    ValuesScan,
)
from heliosd.sql.bound import Expr, SetReturningCall, TableRel

if TYPE_CHECKING:
    from heliosd.catalog.objects import Index

TABLEOID: Final = -6


def produce_result(
    c: ProgramCompiler, node: Result, needed: Needed, flow: Flow, consume: Consume
) -> None:
    consume(flow)


# Tables ------------------------------------------------------------------------------------------


def wanted_columns(rel: TableRel, needed: Needed, predicates: Sequence[Expr]) -> list[int]:
    """The stored columns that must be read, by slot."""
    keys = needed | needed_by(predicates)
    found = {column for number, column in keys if number == rel.rel and column >= 0}
    if (rel.rel, WHOLE_ROW) in keys:
        found |= {i for i, column in enumerate(rel.columns) if not column.hidden}
    return sorted(found)


def use_snapshot(writer: Any) -> None:
    writer.first("snapshot = ctx.snapshot")


def use_check(writer: Any) -> None:
    writer.first("check = ctx.check_slice")


def produce_seq_scan(
    c: ProgramCompiler, node: SeqScan, needed: Needed, flow: Flow, consume: Consume
) -> None:
    table = node.rel.table
    assert isinstance(table, Table)
    if node.rel.sample is not None:
        raise not_supported("TABLESAMPLE")
    columns = wanted_columns(node.rel, needed, node.predicates)
    _scan_tree(c, node.rel, table, columns, "None", "None", "", needed, node, flow, consume)


def _scan_tree(
    c: ProgramCompiler,
    rel: TableRel,
    table: Table,
    columns: list[int],
    low: str,
    high: str,
    more: str,
    needed: Needed,
    node: SeqScan | IndexScan,
    flow: Flow,
    consume: Consume,
) -> None:
    """A loop over the table's tree from `low` to `high` (texts of keys)."""
    writer = flow.writer
    use_snapshot(writer)
    use_check(writer)
    keyed = (rel.rel, LOCATOR) in needed
    wanted = c.slot(tuple(columns))
    options = f", reverse={node.reverse}" if node.reverse else ""
    options += ", with_keys=True" if keyed else ""
    keys, rows = c.module.name("r"), c.module.name("r")
    source = f"snapshot.batches({table.tree_id}, {low}, {high}{more}, columns={wanted}{options})"
    with writer.block(f"for {keys}, {rows} in {source}:", loop=True):
        writer.line("check()")
        names = {(rel.rel, i): local(c.module.name("v")) for i in columns}
        target = unpacking(names.values())
        at = {}
        if keyed:
            key = local(c.module.name("v"), nullable=False)
            at = {(rel.rel, LOCATOR): key}
            inner = target if len(columns) == 1 or not columns else f"({target})"
            opening = f"for {key.text}, {inner} in zip({keys}, {rows}):"
        else:
            opening = f"for {target} in {rows}:"
        with writer.block(opening, loop=True):
            checked(c, rel, table, names, at, needed, node.predicates, flow, consume)
        if flow.flush is not None:
            flow.flush()


def checked(
    c: ProgramCompiler,
    rel: TableRel,
    table: Table,
    stored: Mapping[ColumnKey, Code],
    extra: Mapping[ColumnKey, Code],
    needed: Needed,
    predicates: Sequence[Expr],
    flow: Flow,
    consume: Consume,
) -> None:
    """Inside a row of a table: predicates, then `consume`.

    `stored` are the columns in storage's shape. Those that must be unpacked are so only after the
    predicates that do without them.
    """
    plain: dict[ColumnKey, Code] = {}
    packed: dict[ColumnKey, Code] = {}
    for key, code in stored.items():
        column = table.columns[key[1]]
        kind = c.types.type(column.type_oid)
        known = replace(code, nullable=not column.not_null)
        (plain if kind.unpacker(column.typmod) is None else packed)[key] = known
    if (rel.rel, TABLEOID) in needed | needed_by(predicates):
        slot = Code(c.slot(table.oid), nullable=False, atom=True, depth=0)
        plain[(rel.rel, TABLEOID)] = slot
    at = flow.plus({**plain, **extra})
    early = [p for p in predicates if not needed_by([p]) & packed.keys() and not _whole(p, rel)]
    late = [p for p in predicates if not any(p is e for e in early)]
    with c.filtered(early, at):
        columns = dict(packed)
        for key, code in packed.items():
            column = table.columns[key[1]]
            unpack = c.types.type(column.type_oid).unpacker(column.typmod)
            assert unpack is not None
            name = code.text
            value = f"{c.slot(unpack)}({name})"
            if code.nullable:
                value = f"None if {name} is None else {value}"
            flow.writer.line(f"{name} = {value}")
        at = at.plus(columns)
        if (rel.rel, WHOLE_ROW) in needed | needed_by(predicates):
            live = [i for i, column in enumerate(rel.columns) if not column.hidden]
            row = tuple_of(at.columns[(rel.rel, i)].text for i in live)
            name = c.module.name("v")
            flow.writer.line(f"{name} = {row}")
            at = at.plus({(rel.rel, WHOLE_ROW): local(name, nullable=False)})
        with c.filtered(late, at):
            consume(at)


def _whole(predicate: Expr, rel: TableRel) -> bool:
    return (rel.rel, WHOLE_ROW) in columns_of([predicate])


def projection(c: ProgramCompiler, table: Table, columns: Sequence[int]) -> Reader:
    """Storage's compiled reader of some columns of a table's rows."""
    shapes = "".join(c.types.type(column.type_oid).shape for column in table.columns)
    return reader_of(shapes, tuple(columns))


def from_row(
    c: ProgramCompiler, rel: TableRel, columns: Sequence[int], row: str, flow: Flow
) -> dict[ColumnKey, Code]:
    """Local names for columns of a whole stored row."""
    names: dict[ColumnKey, Code] = {}
    for i in columns:
        name = c.module.name("v")
        flow.writer.line(f"{name} = {row}[{i}]")
        names[(rel.rel, i)] = local(name)
    return names


# By key ------------------------------------------------------------------------------------------


def produce_index_scan(
    c: ProgramCompiler, node: IndexScan, needed: Needed, flow: Flow, consume: Consume
) -> None:
    table = node.rel.table
    assert isinstance(table, Table)
    if node.index is None:
        index = next(i for i in candidates(table) if i.primary)
        if table.key_kind == "int":
            _int_key(c, node, table, needed, flow, consume)
        else:
            _bytes_key(c, node, table, index, table.tree_id, needed, flow, consume)
    else:
        _bytes_key(c, node, table, node.index, node.index.tree_id, needed, flow, consume)


def _int_key(
    c: ProgramCompiler,
    node: IndexScan,
    table: Table,
    needed: Needed,
    flow: Flow,
    consume: Consume,
) -> None:
    """The table is clustered on one integer: keys are that integer."""
    columns = wanted_columns(node.rel, needed, node.predicates)
    if not node.points:
        low = high = "None"
        more = ""
        writer = flow.writer
        conditions: list[str] = []
        for bound, side in ((node.low, "low"), (node.high, "high")):
            if bound is None:
                continue
            code = c.named(c.at(flow).value(bound.value), flow)
            if code.nullable:
                conditions.append(f"{code.text} is not None")
            if side == "low":
                low = code.text
                more += "" if bound.inclusive else ", low_inclusive=False"
            else:
                high = code.text
                more += ", high_inclusive=True" if bound.inclusive else ""
        if conditions:
            with writer.block(f"if {' and '.join(conditions)}:"):
                _scan_tree(
                    c, node.rel, table, columns, low, high, more, needed, node, flow, consume
                )
        else:
            _scan_tree(c, node.rel, table, columns, low, high, more, needed, node, flow, consume)
        return
    point = node.points[0]
    if point.value is not None:
        key = c.named(c.at(flow).value(point.value), flow)
        _fetch(c, node, table, key, columns, needed, flow, consume)
        return
    values = point_values(c, point, flow)
    name = c.module.name("v")
    writer = flow.writer
    order = c.slot(key_codec.descending_keys if node.reverse else key_codec.ascending_keys)
    with writer.block(f"for {name} in {order}({values}):", loop=True):
        _fetch(c, node, table, local(name, nullable=False), columns, needed, flow, consume)
    if flow.flush is not None:
        flow.flush()


def point_values(c: ProgramCompiler, point: KeyPoint, flow: Flow) -> str:
    """The text of a list of a point's values, NULLs among them."""
    compiler = c.at(flow)
    if point.array is not None:
        code = compiler.value(point.array)
        return f"{c.slot(key_codec.array_values)}({code.text})"
    if point.values:
        return tuple_of(compiler.value(v).text for v in point.values)
    if point.is_null:
        return "(None,)"
    assert point.value is not None
    return f"({compiler.value(point.value).text},)"


def _fetch(
    c: ProgramCompiler,
    node: IndexScan,
    table: Table,
    key: Code,
    columns: Sequence[int],
    needed: Needed,
    flow: Flow,
    consume: Consume,
) -> None:
    """One row by its key, if it is there."""
    writer = flow.writer
    use_snapshot(writer)
    row = c.module.name("r")
    reader = c.slot(projection(c, table, columns))
    get = f"snapshot.get({table.tree_id}, {key.text}, {reader})"
    if key.nullable:
        get = f"None if {key.text} is None else {get}"
    writer.line(f"{row} = {get}")
    with writer.block(f"if {row} is not None:"):
        names = {(node.rel.rel, i): local(c.module.name("v")) for i in columns}
        if names:
            writer.line(f"{unpacking(names.values())} = {row}")
        extra = {(node.rel.rel, LOCATOR): replace(key, nullable=False)}
        checked(c, node.rel, table, names, extra, needed, node.predicates, flow, consume)


def _bytes_key(
    c: ProgramCompiler,
    node: IndexScan,
    table: Table,
    index: Index,
    tree: int,
    needed: Needed,
    flow: Flow,
    consume: Consume,
) -> None:
    """An index, or a table clustered on a key of several columns or of another type."""
    codec = key_codec.codec_for(table, index, c.types, c.services)
    columns = wanted_columns(node.rel, needed, node.predicates)
    writer = flow.writer
    use_snapshot(writer)
    clustered = index.primary
    single = all(p.is_single for p in node.points)
    whole = len(node.points) == len(index.keys)
    if single and whole and node.unique:
        key = _encoded(c, codec, node.points, flow)
        if clustered:
            _fetch(c, node, table, key, columns, needed, flow, consume)
        else:
            entry = c.module.name("r")
            get = f"snapshot.get({tree}, {key.text})"
            if key.nullable:
                get = f"None if {key.text} is None else {get}"
            writer.line(f"{entry} = {get}")
            with writer.block(f"if {entry} is not None:"):
                locator = c.module.name("v")
                writer.line(f"{locator} = {entry}[0]")
                found = local(locator, nullable=False)
                _fetch(c, node, table, found, columns, needed, flow, consume)
        return
    spans = _spans(c, node, codec, flow)
    use_check(writer)
    low, high, keys, rows = (c.module.name(p) for p in "vvrr")
    reverse = ", reverse=True" if node.reverse else ""
    with writer.block(f"for {low}, {high} in {spans}:", loop=True):
        if clustered:
            _scan_tree(c, node.rel, table, columns, low, high, "", needed, node, flow, consume)
        else:
            source = f"snapshot.batches({tree}, {low}, {high}{reverse})"
            with writer.block(f"for {keys}, {rows} in {source}:", loop=True):
                writer.line("check()")
                locator = c.module.name("v")
                with writer.block(f"for ({locator},) in {rows}:", loop=True):
                    found = local(locator, nullable=False)
                    _fetch(c, node, table, found, columns, needed, flow, consume)
                if flow.flush is not None:
                    flow.flush()


def _encoded(
    c: ProgramCompiler, codec: key_codec.KeyCodec, points: Sequence[KeyPoint], flow: Flow
) -> Code:
    """The key bytes of single points under a local name; None where a value is NULL."""
    compiler = c.at(flow)
    codes = [compiler.value(p.value) for p in points if p.value is not None]
    encode = c.slot(codec.encode)
    code = compiler.strict(codes, lambda texts: f"{encode}({tuple_of(texts)})")
    return c.named(replace(code, atom=False), flow)


def _spans(c: ProgramCompiler, node: IndexScan, codec: key_codec.KeyCodec, flow: Flow) -> str:
    """The text of an iterable of (low, high) key pairs, high exclusive, in scan order."""
    compiler = c.at(flow)
    points = tuple_of(point_values(c, p, flow) for p in node.points)
    bounds: list[str] = []
    for bound in (node.low, node.high):
        if bound is None:
            bounds.append("None")
        else:
            code = compiler.value(bound.value)
            bounds.append(f"({code.text}, {bound.inclusive})")
    nulls = tuple(p.is_null for p in node.points)
    function = key_codec.spans_function(
        codec, nulls, reverse=node.reverse, skip_nulls=node.skip_nulls
    )
    make = c.slot(function)
    return f"{make}({points}, {bounds[0]}, {bounds[1]})"


def produce_count_rows(
    c: ProgramCompiler, node: CountRows, needed: Needed, flow: Flow, consume: Consume
) -> None:
    table = node.table.table
    assert isinstance(table, Table)
    use_snapshot(flow.writer)
    name = c.module.name("v")
    flow.writer.line(f"{name} = snapshot.count({table.tree_id})")
    consume(flow.plus({(node.rel, 0): local(name, nullable=False)}))


def produce_index_extreme(
    c: ProgramCompiler, node: IndexExtreme, needed: Needed, flow: Flow, consume: Consume
) -> None:
    """A function answers with the first value that is not NULL."""
    writer, inside, call = c.function(node.scan, flow, "first value by index")
    key = (node.value.rel, node.value.column)

    def first(at: Flow) -> None:
        code = at.columns[key]
        if code.nullable:
            with writer.block(f"if {code.text} is not None:"):
                writer.line(f"return {code.text}")
        else:
            writer.line(f"return {code.text}")

    c.produce(node.scan, frozenset({key}), inside.inner(), first)
    writer.line("return None")
    name = c.module.name("v")
    flow.writer.line(f"{name} = {call}")
    consume(flow.plus({(node.rel, 0): local(name)}))


# What is no table --------------------------------------------------------------------------------


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
            wrap = scan_functions.single if width == 1 else scan_functions.records
            sources.append(f"{c.slot(wrap)}({code.text})")
        else:
            code = c.at(flow).value(function)
            if width == 1:
                sources.append(f"{c.slot(scan_functions.one_value)}({code.text})")
            else:
                sources.append(f"{c.slot(scan_functions.one_record)}({code.text}, {width})")
    if len(sources) == 1 and not ordinality:
        return sources[0]
    zipped = c.slot(scan_functions.side_by_side)
    return f"{zipped}({tuple_of(sources)}, {c.slot(tuple(widths))}, {ordinality})"


def set_code(c: ProgramCompiler, node: SetReturningCall, flow: Flow) -> Code:
    """The iterator of a set-returning call; None where a strict one has a NULL argument."""
    from heliosd.execute.expression_forms import row_form_of

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
        Result: produce_result,
        SeqScan: produce_seq_scan,
        IndexScan: produce_index_scan,
        SystemScan: produce_system_scan,
        ValuesScan: produce_values_scan,
        FunctionScan: produce_function_scan,
        GivenRows: produce_given_rows,
        CountRows: produce_count_rows,
        IndexExtreme: produce_index_extreme,
    }
)
