"""COPY FROM: the client's stream into a table, by columns where that is possible, else by rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from heliosd.errors import SqlError
from heliosd.execute.context import CopyFormat
from heliosd.execute.copy.binary import BinaryReader, check_receive, read_tuple
from heliosd.execute.copy.columns import ColumnLoader, column_loader
from heliosd.execute.copy.convert import SLICE_ROWS, RowSink
from heliosd.execute.copy.lines import Block, Record, RecordReader
from heliosd.execute.planning import prepare_rows_insert

if TYPE_CHECKING:
    from heliosd.catalog.objects import Column, Table
    from heliosd.execute.context import CopyInStream, SessionServices
    from heliosd.execute.copy.options import CopyOptions
    from heliosd.sql.tree import Expression
    from heliosd.types.registry import SqlType

# A block smaller than this goes by rows: making leaves of a few rows is no gain.
COLUMNS_BYTES_MIN: Final = 32 << 10


def load(
    session: SessionServices,
    table: Table,
    columns: Sequence[Column],
    options: CopyOptions,
    where: Expression | None = None,
) -> int:
    """Read the client's stream to its end; the number of rows that went in."""
    types = [_type(session, column) for column in columns]
    if options.binary:
        check_receive(types)
    program = prepare_rows_insert(
        table, [column.name for column in columns], session.bind_scope(), where=where
    )
    sink = RowSink(session.context, table, columns, types, options, program)
    stream = session.copy_in(CopyFormat(len(columns), options.binary))
    if options.binary:
        _load_binary(session, table, columns, types, sink, stream)
        return sink.count
    loader = None
    if where is None:
        loader = column_loader(session, table, columns, types, options)
    loading = _Loading(options, sink, RecordReader(options, stream), loader)
    loading.run()
    return sink.count + loading.by_columns


def _type(session: SessionServices, column: Column) -> SqlType:
    found = session.catalog.types.by_oid.get(column.type_oid)
    if found is None:
        raise SqlError("XX000", f"cache lookup failed for type {column.type_oid}")
    return found


class _Loading:
    """One COPY in text or csv: blocks by columns where Arrow reads them, else by rows."""

    def __init__(
        self,
        options: CopyOptions,
        sink: RowSink,
        reader: RecordReader,
        loader: ColumnLoader | None,
    ) -> None:
        self._options = options
        self._sink = sink
        self._reader = reader
        self._loader = loader
        self._header = options.header
        self.by_columns = 0

    def run(self) -> None:
        """Load all blocks. While one goes into leaves, a thread reads the next."""
        ahead: tuple[Block, Callable[[], object] | None] | None = None
        for block in self._reader.blocks():
            started = self._start(block)
            if ahead is not None:
                self._finish(*ahead)
            ahead = (block, started)
        if ahead is not None:
            self._finish(*ahead)

    def _start(self, block: Block) -> Callable[[], object] | None:
        if self._loader is None or self._header or len(block.data) < COLUMNS_BYTES_MIN:
            return None
        return self._loader.start(block)

    def _finish(self, block: Block, started: Callable[[], object] | None) -> None:
        reader = self._reader
        if reader.ended:
            return
        block.line = reader.line
        if started is not None:
            assert self._loader is not None
            count = self._loader.finish(block, started)
            if count is not None:
                reader.took(block, count)
                self.by_columns += count
                return
        try:
            self._by_rows(block)
        except SqlError as error:
            if error.context is not None and error.context[:1].isdigit():
                line, colon, raw = error.context.partition(":")
                error.context = self._sink.line_context(int(line), raw if colon else None)
            raise

    def _by_rows(self, block: Block) -> None:
        for records in self._reader.records(block):
            if self._header:
                self._header = False
                if self._options.header_match:
                    self._sink.check_header(records[0])
                del records[0]
            self._sink.add(records)


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
            if reader.field is not None:
                error.context += f", column {columns[reader.field].name}"
        raise
    if rows:
        sink.add_rows(rows, records)
