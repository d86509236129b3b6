"""Row programs over tables by key: the primary key or an index, single keys, lists and ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from heliosd.catalog.objects import Table
from heliosd.execute import key_codec
from heliosd.execute.expressions import Code, local
from heliosd.execute.row_program import (
    Consume,
    Flow,
    Needed,
    Producer,
    ProgramCompiler,
    tuple_of,
    unpacking,
)
from heliosd.execute.row_program_scan import (
    checked,
    projection,
    scan_tree,
    use_check,
    use_snapshot,
    wanted_columns,
)
from heliosd.plan.access import candidates
from heliosd.plan.physical import LOCATOR, IndexExtreme, IndexScan, KeyPoint

if TYPE_CHECKING:
    from heliosd.catalog.objects import Index


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
                scan_tree(c, node.rel, table, columns, low, high, more, needed, node, flow, consume)
        else:
            scan_tree(c, node.rel, table, columns, low, high, more, needed, node, flow, consume)
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
            scan_tree(c, node.rel, table, columns, low, high, "", needed, node, flow, consume)
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


PRODUCERS: Final[Mapping[type, Producer]] = MappingProxyType(
    {IndexScan: produce_index_scan, IndexExtreme: produce_index_extreme}
)
