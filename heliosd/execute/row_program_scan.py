"""Row programs over tables: every row in key order, and what all scans of a table share."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from helios_storage.reader import Reader, reader_of
from heliosd.catalog.objects import Table
from heliosd.execute.expressions import Code, local
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
from heliosd.execute.sampling import row_picker
from heliosd.execute.system_columns import reads_place, system_codes
from heliosd.plan.columns import WHOLE_ROW, ColumnKey, columns_of
from heliosd.plan.physical import LOCATOR, CountRows, IndexScan, Result, SeqScan
from heliosd.sql.bound import Expr, Sample, TableRel

TABLEOID: Final = -6
LATE_TESTS_MAX: Final = 4
"""Tests that get a block of their own (CPython nests 20)."""


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
    sample = node.rel.sample
    if sample is not None:
        # The sample is taken before anything else is asked of a row.
        taken, node = node.predicates, replace(node, predicates=())
        needed |= needed_by(taken)
        consume = _filtered(c, taken, consume)
        consume = _sampled(c, sample, flow, consume)
    columns = wanted_columns(node.rel, needed, node.predicates)
    low = c.first_keys.get(id(node), "None")
    scan_tree(c, node.rel, table, columns, low, "None", "", needed, node, flow, consume)


def _filtered(c: ProgramCompiler, predicates: Sequence[Expr], consume: Consume) -> Consume:
    def inside(at: Flow) -> None:
        with c.filtered(predicates, at):
            consume(at)

    return inside


def _sampled(c: ProgramCompiler, sample: Sample, flow: Flow, consume: Consume) -> Consume:
    """Only the rows that TABLESAMPLE takes."""
    compiler = c.at(flow)
    percent = compiler.value(sample.percent).text
    seed = "None" if sample.repeatable is None else compiler.value(sample.repeatable).text
    pick = c.module.name("r")
    repeatable = sample.repeatable is not None
    flow.writer.line(
        f"{pick} = {c.slot(row_picker)}({sample.method!r}, {percent}, {seed}, "
        f"repeatable={repeatable})"
    )

    def inside(at: Flow) -> None:
        with at.writer.block(f"if {pick}():"):
            consume(at)

    return inside


def scan_tree(
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
    keyed = (rel.rel, LOCATOR) in needed or reads_place(
        rel.rel, needed | needed_by(node.predicates)
    )
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
    at = at.plus(system_codes(c, table, rel.rel, needed | needed_by(predicates), at))
    early = [p for p in predicates if not needed_by([p]) & packed.keys() and not _whole(p, rel)]
    late = [p for p in predicates if not any(p is e for e in early)]
    whole = (rel.rel, WHOLE_ROW) in needed | needed_by(predicates)
    with ExitStack() as blocks:
        blocks.enter_context(c.filtered(early, at))
        if whole:
            at = unpacked(c, table, packed, packed.keys(), at)
            live = [i for i, column in enumerate(rel.columns) if not column.hidden]
            row = tuple_of(at.columns[(rel.rel, i)].text for i in live)
            name = c.module.name("v")
            flow.writer.line(f"{name} = {row}")
            at = at.plus({(rel.rel, WHOLE_ROW): local(name, nullable=False)})
            blocks.enter_context(c.filtered(late, at))
        else:
            # Each test unpacks what it reads: most rows do not come to the last one.
            for predicate in late[:LATE_TESTS_MAX]:
                at = unpacked(c, table, packed, needed_by([predicate]), at)
                blocks.enter_context(c.filtered([predicate], at))
            at = unpacked(c, table, packed, packed.keys(), at)
            blocks.enter_context(c.filtered(late[LATE_TESTS_MAX:], at))
        consume(at)


def unpacked(
    c: ProgramCompiler,
    table: Table,
    packed: Mapping[ColumnKey, Code],
    wanted: Collection[ColumnKey],
    at: Flow,
) -> Flow:
    """The flow with these columns as values instead of in storage's shape."""
    columns: dict[ColumnKey, Code] = {}
    for key, code in packed.items():
        if key not in wanted or key in at.columns:
            continue
        column = table.columns[key[1]]
        unpack = c.types.type(column.type_oid).unpacker(column.typmod)
        assert unpack is not None
        name = code.text
        value = f"{c.slot(unpack)}({name})"
        if code.nullable:
            value = f"None if {name} is None else {value}"
        at.writer.line(f"{name} = {value}")
        columns[key] = code
    return at.plus(columns)


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


def produce_count_rows(
    c: ProgramCompiler, node: CountRows, needed: Needed, flow: Flow, consume: Consume
) -> None:
    table = node.table.table
    assert isinstance(table, Table)
    use_snapshot(flow.writer)
    name = c.module.name("v")
    flow.writer.line(f"{name} = snapshot.count({table.tree_id})")
    consume(flow.plus({(node.rel, 0): local(name, nullable=False)}))


PRODUCERS: Final[Mapping[type, Producer]] = MappingProxyType(
    {Result: produce_result, SeqScan: produce_seq_scan, CountRows: produce_count_rows}
)
