"""Fields to SQL values and rows into the table, with PostgreSQL's error contexts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from heliosd.errors import BAD_COPY_FILE_FORMAT, SqlError
from heliosd.execute.copy.lines import Fields, Record

if TYPE_CHECKING:
    from heliosd.catalog.objects import Column, Table
    from heliosd.execute.context import ExecutionContext
    from heliosd.execute.copy.options import CopyOptions
    from heliosd.execute.program import Program, Row
    from heliosd.types.registry import SqlType

# Rows given to the INSERT program at once: one slice of its loop.
SLICE_ROWS: Final = 512
# PostgreSQL shows so much of a value or line in a context.
_SHOWN_CHARACTERS: Final = 100
# Violations that PostgreSQL finds when it flushes rows: without the line's text.
_FOUND_LATER: Final = frozenset({"23505"})
# Found when the statement ends: without a line.
_FOUND_AT_END: Final = frozenset({"23503", "57014", "40001", "40P01", "55P03"})
_TEXT_OIDS: Final = frozenset({25, 705})


def _no_value() -> None:
    """What NULL reads as."""


class _Counted:
    """Rows that know which of them is being inserted; looks like a list of at most a slice."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        self.current = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        for self.current, row in enumerate(self._rows):  # noqa: B020  the counter is the point
            yield row


class RowSink:
    """Records into the table by its INSERT program: defaults, checks, indexes, foreign keys."""

    def __init__(
        self,
        context: ExecutionContext,
        table: Table,
        columns: Sequence[Column],
        types: Sequence[SqlType],
        options: CopyOptions,
        program: Program,
    ) -> None:
        assert program.modify is not None
        self._context = context
        self._table = table
        self._columns = columns
        self._types = types
        self._modify = program.modify
        self._names = [column.name for column in columns]
        self._null = options.null
        self._not_null = _places(columns, options.force_not_null, "FORCE_NOT_NULL", table)
        self._to_null = _places(columns, options.force_null, "FORCE_NULL", table)
        self.count = 0

    def add(self, records: Sequence[Record]) -> None:
        """Insert records; raises with a context that names line and column."""
        for start in range(0, len(records), SLICE_ROWS):
            part = records[start : start + SLICE_ROWS]
            width = len(self._columns)
            for record in part:
                if len(record.fields) != width:
                    if not width and not record.raw:
                        record.fields.clear()
                        continue
                    self._wrong_width(record)
                if self._not_null or self._to_null:
                    self._force(record.fields)
            self.add_rows(self._rows(part), part)

    def add_rows(self, rows: Sequence[Row], records: Sequence[Record]) -> None:
        """Insert rows of values; `records` say where they came from."""
        counted = _Counted(rows)
        try:
            self.count += self._modify(self._context, (counted,)).count
        except SqlError as error:
            if error.context is None and error.sqlstate not in _FOUND_AT_END:
                record = records[counted.current]
                with_text = error.sqlstate not in _FOUND_LATER and record.raw
                error.context = self.line_context(record.line, record.raw if with_text else None)
            raise

    def line_context(self, line: int, raw: str | None = None) -> str:
        """`COPY t, line 3: "raw"`."""
        text = f"COPY {self._table.name}, line {line}"
        return text if raw is None else f'{text}: "{_cut(raw)}"'

    def _wrong_width(self, record: Record) -> NoReturn:
        width = len(self._columns)
        message = "extra data after last expected column"
        if len(record.fields) < width:
            message = f'missing data for column "{self._names[len(record.fields)]}"'
        raise SqlError(
            BAD_COPY_FILE_FORMAT, message, context=self.line_context(record.line, record.raw)
        )

    def _force(self, fields: Fields) -> None:
        """FORCE_NOT_NULL, else FORCE_NULL."""
        made = set()
        for place in self._not_null:
            if fields[place] is None:
                fields[place] = self._null
                made.add(place)
        for place in self._to_null:
            if fields[place] == self._null and place not in made:
                fields[place] = None

    def _rows(self, records: Sequence[Record]) -> list[Row]:
        """Values of all records, a column at a time; one by one to say what is wrong."""
        if not self._columns:
            return [()] * len(records)
        evaluation = self._context.eval
        columns: list[Sequence[Any]] = []
        transposed = zip(*[record.fields for record in records], strict=True)
        try:
            for texts, kind, column in zip(transposed, self._types, self._columns, strict=True):
                if kind.oid in _TEXT_OIDS:
                    columns.append(texts)
                    continue
                read, typmod = kind.input, column.typmod
                null = _no_value
                if kind.is_domain:
                    null = partial(evaluation.check_domain, kind.oid, None)
                columns.append(
                    [null() if text is None else read(text, typmod, evaluation) for text in texts]
                )
        except SqlError:
            self._find_error(records)
            raise
        return list(zip(*columns, strict=True))

    def _find_error(self, records: Sequence[Record]) -> None:
        """Read the values again in the order of the lines, for the first error and its place."""
        for record in records:
            for text, kind, column in zip(record.fields, self._types, self._columns, strict=True):
                if text is None:
                    if kind.is_domain:
                        self._context.eval.check_domain(kind.oid, None)
                    continue
                try:
                    kind.input(text, column.typmod, self._context.eval)
                except SqlError as error:
                    place = f"COPY {self._table.name}, line {record.line}, column {column.name}"
                    error.context = f'{place}: "{_cut(text)}"'
                    raise

    def check_header(self, record: Record) -> None:
        """HEADER MATCH: the names, in order."""
        fields = record.fields
        context = self.line_context(record.line, record.raw)
        if len(fields) != len(self._names):
            raise SqlError(
                BAD_COPY_FILE_FORMAT,
                f"wrong number of fields in header line: got {len(fields)}, "
                f"expected {len(self._names)}",
                context=context,
            )
        for number, (field, name) in enumerate(zip(fields, self._names, strict=True), 1):
            if field is None:
                raise SqlError(
                    BAD_COPY_FILE_FORMAT,
                    f"column name mismatch in header line field {number}: "
                    f'got null value ("{self._null}"), expected "{name}"',
                    context=context,
                )
            if field != name:
                raise SqlError(
                    BAD_COPY_FILE_FORMAT,
                    f"column name mismatch in header line field {number}: "
                    f'got "{field}", expected "{name}"',
                    context=context,
                )


def _places(
    columns: Sequence[Column], names: tuple[str, ...], word: str, table: Table
) -> tuple[int, ...]:
    """Places of FORCE_NULL's and FORCE_NOT_NULL's columns. 42703, 42P10."""
    places = []
    known = [column.name for column in columns]
    for name in names:
        if name not in known:
            if name not in table.column_by_name:
                raise SqlError(
                    "42703", f'column "{name}" of relation "{table.name}" does not exist'
                )
            raise SqlError("42P10", f'{word} column "{name}" not referenced by COPY')
        places.append(known.index(name))
    return tuple(places)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
