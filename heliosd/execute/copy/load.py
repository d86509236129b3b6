"""COPY FROM: the client's stream into a table, by columns where that is possible, else by rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from heliosd.errors import SqlError
from heliosd.execute.context import CopyFormat
from heliosd.execute.copy.binary import BinaryReader, check_receive, read_tuple
from heliosd.execute.copy.columns import ColumnLoader, column_loader
from heliosd.execute.copy.convert import SLICE_ROWS, RowSink
from heliosd.execute.copy.lines import Block, Record, RecordReader
from heliosd.execute.prepare import prepare_rows_insert

if TYPE_CHECKING:
    from heliosd.catalog.objects import Column, Table
    from heliosd.execute.context import CopyInStream, SessionServices
    from heliosd.execute.copy.options import CopyOptions
    from heliosd.types.registry import SqlType

# A block smaller than this goes by rows: making leaves of a few rows is no gain.
COLUMNS_BYTES_MIN: Final = 32 << 10


def load(
    session: SessionServices, table: Table, columns: Sequence[Column], options: CopyOptions
) -> int:
    """Read the client's stream to its end; the number of rows."""
    types = [_type(session, column) for column in columns]
    if options.binary:
        check_receive(types)
    program = prepare_rows_insert(table, [column.name for column in columns], session.bind_scope())
    sink = RowSink(session.context, table, columns, types, options, program)
    stream = session.copy_in(CopyFormat(len(columns), options.binary))
    if options.binary:
        _load_binary(session, table, columns, types, sink, stream)
        return sink.count
    loader = column_loader(session, table, columns, types, options)
    by_columns = _load_records(options, sink, stream, loader)
    return sink.count + by_columns


def _type(session: SessionServices, column: Column) -> SqlType:
    found = session.catalog.types.by_oid.get(column.type_oid)
    if found is None:
        raise SqlError("XX000", f"cache lookup failed for type {column.type_oid}")
    return found


def _load_records(
    options: CopyOptions, sink: RowSink, stream: CopyInStream, loader: ColumnLoader | None
) -> int:
    """Text and csv. Answers the rows that went by columns."""
    reader = RecordReader(options, stream)
    header = options.header
    by_columns = 0
    for block in reader.blocks():
        if loader is not None and not header and len(block.data) >= COLUMNS_BYTES_MIN:
            count = loader.load(block)
            if count is not None:
                reader.took(block, count)
                by_columns += count
                continue
        records = _records(reader, block, sink)
        if header and records:
            if options.header_match:
                sink.check_header(records[0])
            records = records[1:]
            header = False
        sink.add(records)
    return by_columns


def _records(reader: RecordReader, block: Block, sink: RowSink) -> list[Record]:
    try:
        return reader.records(block)
    except SqlError as error:
        if error.context is not None and error.context.isdigit():
            error.context = sink.line_context(int(error.context))
        raise


def _load_binary(
    session: SessionServices,
    table: Table,
    columns: Sequence[Column],
    types: Sequence[SqlType],
    sink: RowSink,
    stream: CopyInStream,
) -> None:
    reader = BinaryReader(stream)
    reader.read_header()
    rows = []
    records: list[Record] = []
    evaluation = session.context.eval
    try:
        for fields in reader.tuples(len(columns)):
            where = f"COPY {table.name}, line {reader.line}"
            rows.append(read_tuple(fields, columns, types, evaluation, where))
            records.append(Record(reader.line, "", []))
            if len(rows) == SLICE_ROWS:
                sink.add_rows(rows, records)
                rows, records = [], []
    except SqlError as error:
        if error.context is None and error.sqlstate == "22P04":
            error.context = sink.line_context(reader.line)
        raise
    if rows:
        sink.add_rows(rows, records)
