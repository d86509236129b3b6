"""COPY FROM by columns: Arrow reads a block's fields, packed leaves take them without a row.

A block that this cannot read exactly as PostgreSQL does (escapes, quotes, a value that Arrow
refuses or reads differently, a NULL where none may be) is left to the row path, which then also
finds the right error. So nothing here raises for bad data, except a unique violation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from helios_storage.bulk import BulkInsert
from helios_storage.bulk import Column as StoredColumn
from heliosd.errors import SqlError
from heliosd.execute import key_codec
from heliosd.execute.dml.violations import TableWords
from heliosd.execute.planning import PlanServices
from heliosd.types.oids import FIRST_NORMAL_OID

if TYPE_CHECKING:
    from heliosd.catalog.objects import Column, Index, Table
    from heliosd.execute.context import SessionServices
    from heliosd.execute.copy.lines import Block
    from heliosd.execute.copy.options import CopyOptions
    from heliosd.types.registry import SqlType

_DAYS_TO_2000: Final = 10_957
_US_TO_2000: Final = 946_684_800_000_000
_INTEGERS: Final = {21: "int16", 23: "int32", 20: "int64"}
_NUMPY: Final = {"h": "<i2", "i": "<i4", "q": "<i8", "d": "<f8", "f": "<f4"}
_BPCHAR, _VARCHAR, _TEXT, _FLOAT8, _DATE, _TIMESTAMP = 1042, 1043, 25, 701, 1082, 1114


# So many blocks that Arrow could not read, and no more are tried.
_UNREAD_MAX: Final = 8


def load_libraries() -> None:
    """Import what columns need: 0.2 s and 40 MB at the first large COPY, in a thread."""
    import numpy  # noqa: F401  here to be loaded, not used
    import pyarrow.compute
    import pyarrow.csv  # noqa: F401  here to be loaded, not used


class _NotExact(Exception):
    """Arrow would not read this as PostgreSQL does."""


def column_loader(
    session: SessionServices,
    table: Table,
    columns: Sequence[Column],
    types: Sequence[SqlType],
    options: CopyOptions,
) -> ColumnLoader | None:
    """A loader, or None where rows are needed: checks, foreign keys, defaults, expressions."""
    if table.checks or table.foreign_keys or table.row_security:
        return None
    if not all(_is_plain_index(table, index) for index in table.secondary_indexes):
        return None
    if options.encoding != "utf-8" or options.force_not_null or options.force_null:
        return None
    if not columns:
        return None
    given = {column.attnum for column in columns}
    for column in table.live_columns:
        if column.attnum not in given and (
            column.default is not None
            or column.identity
            or column.generated
            or column.not_null
            or column.type_oid >= FIRST_NORMAL_OID
        ):
            return None
    if any(kind.kind != "b" or kind.uses for kind in types):
        return None  # domains have checks, enums are the catalog's
    return ColumnLoader(session, table, columns, types, options)


def _is_plain_index(table: Table, index: Index) -> bool:
    """Whether an index has an entry of plain columns for each row, checked at once."""
    if index.predicate is not None or any(key.expression is not None for key in index.keys):
        return False
    constraint = table.constraint_by_oid(index.constraint) if index.constraint else None
    return constraint is None or not constraint.deferrable


class ColumnLoader:
    """Loads blocks into one table."""

    def __init__(
        self,
        session: SessionServices,
        table: Table,
        columns: Sequence[Column],
        types: Sequence[SqlType],
        options: CopyOptions,
    ) -> None:
        self._session = session
        self._table = table
        self._columns = columns
        self._types = types
        self._options = options
        self._bulks: dict[int, BulkInsert] = {}
        self._read: Callable[[bytes], Any] | None = None
        self._places = {column.attnum: place for place, column in enumerate(columns)}
        self._null_mark = b"\\N" if options.null == "\\N" else None
        self._services = PlanServices(session.bind_scope(), None)
        self._codecs = {
            index.oid: key_codec.codec_for(table, index, self._services) for index in table.indexes
        }
        self._unread = 0

    def start(self, block: Block) -> Callable[[], Any] | None:
        """Begin to read a block in a thread; None: the row path must take it."""
        if self._unread > _UNREAD_MAX or not self._is_plain(block.data):
            return None
        scheduler = self._session.transaction.manager.scheduler
        if self._read is None:
            scheduler.run_in_thread(load_libraries)
            self._read = _arrow_reader(self._columns, self._types, self._options)
        return scheduler.start_in_thread(self._read, block.data)

    def finish(self, block: Block, read: Callable[[], Any]) -> int | None:
        """Insert a started block's rows: how many; None: the row path must take it after all."""
        found = read()
        try:
            if found is None:
                raise _NotExact
            stored = self._stored(found, block.data)
        except (_NotExact, SqlError):
            self._unread += 1  # data that is never plain: do not try for ever
            return None
        self._insert(stored, found.num_rows, block.line)
        return int(found.num_rows)

    def _is_plain(self, data: bytes) -> bool:
        """Whether fields stand in the block as they are."""
        if b"\r" in data or b"\0" in data:
            return False
        if self._options.csv:
            return self._options.quote.encode() not in data and b"\\." not in data
        backslashes = data.count(b"\\")
        return not backslashes or (
            self._null_mark is not None and backslashes == data.count(self._null_mark)
        )

    # -- values ----------------------------------------------------------------------------------

    def _stored(self, found: Any, data: bytes) -> list[StoredColumn]:
        """The table's columns in storage's shapes."""
        arrays = [_one_chunk(found.column(place)) for place in range(len(self._columns))]
        if self._null_mark is not None and not self._options.csv:
            nulls = sum(array.null_count for array in arrays)
            if nulls != data.count(self._null_mark):
                raise _NotExact  # a `\N` inside a field is an N
        stored = []
        for column in self._table.columns:
            place = self._places.get(column.attnum)
            if place is None:
                stored.append(self._missing(column, found.num_rows))
                continue
            array = arrays[place]
            if column.not_null and array.null_count:
                raise _NotExact
            stored.append(self._column(array, column, self._types[place], data))
        return stored

    def _missing(self, column: Column, count: int) -> StoredColumn:
        import numpy as np

        nulls = np.ones(count, dtype=bool)
        shape = self._session.catalog.types.by_oid[column.type_oid].shape
        if shape in "tb":
            return StoredColumn(np.zeros(count + 1, dtype="<i8"), nulls)
        if shape == "u":
            return StoredColumn(np.zeros(count, dtype="V16"), nulls)
        dtype = "?" if shape == "?" else _NUMPY[shape]
        return StoredColumn(np.zeros(count, dtype=dtype), nulls)

    def _column(self, array: Any, column: Column, kind: SqlType, data: bytes) -> StoredColumn:
        import numpy as np

        nulls = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
        oid = kind.oid
        if oid in _INTEGERS:
            return StoredColumn(_fixed(array, _NUMPY[kind.shape]), nulls)
        if oid == _FLOAT8:
            values = _fixed(array, "<f8")
            if not np.isfinite(values).all() or (b"e-" in data or b"E-" in data):
                raise _NotExact  # infinities may be overflows, zeros underflows
            return StoredColumn(values, nulls)
        if oid == _DATE:
            return StoredColumn(_fixed(array, "<i4") - np.int32(_DAYS_TO_2000), nulls)
        if oid == _TIMESTAMP:
            return StoredColumn(_fixed(array, "<i8") - _US_TO_2000, nulls)
        if oid in (_TEXT, _VARCHAR, _BPCHAR):
            return _text_column(array, column, nulls)
        return self._converted(array, column, kind, nulls)

    def _converted(self, array: Any, column: Column, kind: SqlType, nulls: Any) -> StoredColumn:
        """Any other type: value by value through its input function."""
        import numpy as np

        evaluation = self._session.context.eval
        typmod = column.typmod
        read, pack = kind.input, kind.packer(typmod)
        values: list[Any] = [
            None if text is None else read(text, typmod, evaluation) for text in array.to_pylist()
        ]
        if pack is not None:
            values = [None if value is None else pack(value) for value in values]
        shape = kind.shape
        if shape in "tb":
            pieces = [b"" if v is None else (v.encode() if shape == "t" else v) for v in values]
            ends = np.zeros(len(pieces) + 1, dtype="<i8")
            np.cumsum([len(piece) for piece in pieces], out=ends[1:])
            return StoredColumn(ends, nulls, b"".join(pieces))
        if shape == "u":
            raw = b"".join(bytes(16) if v is None else v for v in values)
            return StoredColumn(np.frombuffer(raw, dtype="V16"), nulls)
        plain = [0 if v is None else v for v in values]
        return StoredColumn(np.array(plain, dtype="?" if shape == "?" else _NUMPY[shape]), nulls)

    # -- keys ------------------------------------------------------------------------------------

    def _insert(self, stored: Sequence[StoredColumn], count: int, line: int) -> None:
        table = self._table
        keys = self._keys(stored, count)
        conflict = self._bulk(table.tree_id).add_columns(keys, stored)
        if conflict is not None:
            primary = next(index for index in table.indexes if index.primary)
            plain = keys if isinstance(keys, list) else keys.tolist()
            self._raise_unique(primary, stored, plain, conflict, line)
        if not table.secondary_indexes:
            return
        locators = keys if isinstance(keys, list) else keys.tolist()
        encode = key_codec.locator_codec(table)
        tails = [encode(locator) for locator in locators]
        rows = [(locator,) for locator in locators]
        for index in table.secondary_indexes:
            entries = self._entries(index, stored, tails)
            conflict = self._bulk(index.tree_id).add_rows(entries, rows)
            if conflict is not None:
                self._raise_unique(index, stored, entries, conflict, line)

    def _bulk(self, tree_id: int) -> BulkInsert:
        bulk = self._bulks.get(tree_id)
        if bulk is None:
            bulk = self._bulks[tree_id] = BulkInsert(self._session.transaction, tree_id)
        return bulk

    def _entries(
        self, index: Index, stored: Sequence[StoredColumn], tails: Sequence[bytes]
    ) -> list[bytes]:
        """An index's keys: the columns, then the locator unless the columns are unique."""
        encode = self._codecs[index.oid].encode
        values = zip(*[self._values(stored, attnum) for attnum in index.attnums], strict=True)
        if not index.unique:
            return [encode(row) + tail for row, tail in zip(values, tails, strict=True)]
        if index.nulls_not_distinct:
            return [encode(row) for row in values]
        return [
            encode(row) + tail if None in row else encode(row)
            for row, tail in zip(values, tails, strict=True)
        ]

    def _keys(self, stored: Sequence[StoredColumn], count: int) -> Any:
        import numpy as np

        table = self._table
        if table.key_kind == "row":
            first = self._session.storage.sequences.advance(table.row_sequence, count=count)
            return np.arange(first, first + count, dtype="<i8")
        if table.key_kind == "int":
            (attnum,) = table.primary_key
            return stored[attnum - 1].values.astype("<i8")
        primary = next(index for index in table.indexes if index.primary)
        codec = self._codecs[primary.oid]
        values = [self._values(stored, attnum) for attnum in primary.attnums]
        return [codec.encode(row) for row in zip(*values, strict=True)]

    def _values(self, stored: Sequence[StoredColumn], attnum: int) -> list[Any]:
        """SQL values of a key column."""
        column = self._table.column(attnum)
        kind = self._session.catalog.types.by_oid[column.type_oid]
        source = stored[attnum - 1]
        values: list[Any]
        if kind.shape in "tb":
            data, ends = bytes(source.data), source.values.tolist()
            values = [data[a:b] for a, b in pairwise(ends)]
            if kind.shape == "t":
                values = [value.decode() for value in values]
        elif kind.shape == "u":
            values = [bytes(value) for value in source.values]
        else:
            values = source.values.tolist()
        unpack = kind.unpacker(column.typmod)
        nulls = source.nulls
        if nulls is not None:
            return [
                None if null else value if unpack is None else unpack(value)
                for value, null in zip(values, nulls.tolist(), strict=True)
            ]
        return values if unpack is None else [unpack(value) for value in values]

    def _raise_unique(
        self,
        index: Index,
        stored: Sequence[StoredColumn],
        keys: Sequence[Any],
        conflict: Any,
        line: int,
    ) -> None:
        session, table = self._session, self._table
        # Of two alike in this block, the second is the one too many.
        place = [place for place, key in enumerate(keys) if key == conflict][-1]
        columns = [table.column(attnum) for attnum in index.attnums]
        values = [self._values(stored, column.attnum)[place] for column in columns]
        words = TableWords(table, session.catalog.schema_name(table.schema), self._services)
        names = [column.name for column in columns]
        types = [column.type_oid for column in columns]
        try:
            words.unique(session.context, index, values, names, types)
        except SqlError as error:
            error.context = f"COPY {table.name}, line {line + place}"
            raise


def _one_chunk(column: Any) -> Any:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _fixed(array: Any, dtype: str) -> Any:
    """A fixed-width Arrow array as numpy, NULLs as whatever is there."""
    import numpy as np

    return np.frombuffer(array.buffers()[1], dtype=dtype, count=len(array) + array.offset)[
        array.offset :
    ]


def _text_column(array: Any, column: Column, nulls: Any) -> StoredColumn:
    import numpy as np
    import pyarrow.compute as pc

    if column.typmod >= 4 and column.type_oid != _TEXT:
        length = column.typmod - 4
        lengths = pc.min_max(pc.utf8_length(array)).as_py()
        if column.type_oid == _BPCHAR:
            array = pc.utf8_rtrim(array, characters=" ")  # char(n) rests without its padding
        if lengths["max"] is not None and lengths["max"] > length:
            raise _NotExact  # perhaps only by spaces, which the type cuts
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, dtype="<i4", count=len(array) + array.offset + 1)
    return StoredColumn(
        ends[array.offset :].astype("<i8"), nulls, b"" if data is None else memoryview(data)
    )


def _arrow_reader(
    columns: Sequence[Column], types: Sequence[SqlType], options: CopyOptions
) -> Callable[[bytes], Any]:
    """A function from a block to an Arrow table; None when Arrow refuses it. Releases the GIL."""
    import pyarrow as pa
    from pyarrow import csv

    kinds: dict[int, Any] = {
        **{oid: getattr(pa, name)() for oid, name in _INTEGERS.items()},
        _FLOAT8: pa.float64(),
        _DATE: pa.date32(),
        _TIMESTAMP: pa.timestamp("us"),
    }
    names = [str(place) for place in range(len(columns))]
    has_numbers = any(kind.oid in kinds for kind in types)
    parse = csv.ParseOptions(
        delimiter=options.delimiter,
        quote_char=False,
        double_quote=False,
        escape_char=False,
        newlines_in_values=False,
        ignore_empty_lines=False,
    )
    convert = csv.ConvertOptions(
        column_types={
            name: kinds.get(kind.oid, pa.string()) for name, kind in zip(names, types, strict=True)
        },
        null_values=[options.null],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        auto_dict_encode=False,
    )

    def read(data: bytes) -> Any:
        if has_numbers and ((b"x" in data and b"0x" in data) or (b"X" in data and b"0X" in data)):
            return None  # Arrow reads hexadecimal numbers, PostgreSQL 15 does not
        read_options = csv.ReadOptions(
            column_names=names, use_threads=False, block_size=len(data) + 1
        )
        try:
            return csv.read_csv(
                pa.BufferReader(data), read_options, parse_options=parse, convert_options=convert
            )
        except pa.ArrowInvalid:
            return None

    return read
