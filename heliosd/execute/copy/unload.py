"""COPY TO: rows of a query to the client, a CopyData per row, encoded a batch at a time."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog.objects import Table
from heliosd.errors import SqlError, not_supported
from heliosd.execute.context import CopyFormat
from heliosd.execute.copy.binary import HEADER, NULL, TRAILER
from heliosd.execute.copy.columns import load_libraries
from heliosd.execute.copy.leaf_lines import Part, leaf_lines
from heliosd.execute.copy.metered import MeteredStream, may_read_leaves
from heliosd.sql.tree import Select

if TYPE_CHECKING:
    from heliosd.catalog.objects import ColumnedRelation
    from heliosd.execute.context import CopyOutStream, SessionServices
    from heliosd.execute.copy.options import CopyOptions
    from heliosd.execute.program import Program, ResultColumn, Row
    from heliosd.sql.tree import Statement
    from heliosd.types.registry import EvalContext, SqlType

# A smaller table goes by rows: columns pay only for the libraries that they need.
COLUMNS_ROWS_MIN: Final = 2000
_IDENTICAL: Final = frozenset({25, 1043, 1042, 19, 705})
_INTEGERS: Final = frozenset({20, 21, 23, 26})
_SPECIALS: Final = {
    "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip
_pack_length: Final = struct.Struct("!i").pack
_pack_count: Final = struct.Struct("!h").pack


def unload(
    session: SessionServices,
    query: Statement,
    options: CopyOptions,
    relation: ColumnedRelation | None = None,
) -> int:
    """Run the query and send its rows; the number of rows. `relation`: what it reads whole."""
    if isinstance(query, Select) and query.into is not None:
        raise SqlError("0A000", "COPY (SELECT INTO) is not supported")
    program = session.prepare(query)
    columns = program.columns
    if columns is None:
        raise SqlError("0A000", "COPY query must have a RETURNING clause")
    types = [_type(session, column) for column in columns]
    forced = _forced(columns, options, relation)
    if options.binary:
        _check_send(types)
    stream = session.copy_out(CopyFormat(len(columns), options.binary))
    write = _writer(session, types, options, forced, stream)
    if options.header:
        stream.write_rows([_header(columns, options)])
    if program.budgets:
        stream = MeteredStream(session, program.budgets, stream)
        write = _row_by_row(_writer(session, types, options, forced, stream))
    if not may_read_leaves(session, program, relation, columns):
        relation = None
    by_columns = _by_columns(session, relation, columns, types, options)
    batches = _batches(session, program) if by_columns is None else by_columns
    count = 0
    for batch in batches:
        if isinstance(batch, tuple):
            rows, frames = batch
            stream.write_framed(frames)
            count += rows
        elif batch:
            write(batch)
            count += len(batch)
    if options.binary:
        write(())
    stream.finish()
    return count


def _check_send(types: Sequence[SqlType]) -> None:
    """42883 for a type without binary output."""
    for kind in types:
        if kind.plain_send is None and kind.send is None:
            raise SqlError("42883", f"no binary output function available for type {kind.display}")


def _by_columns(
    session: SessionServices,
    relation: ColumnedRelation | None,
    columns: Sequence[ResultColumn],
    types: Sequence[SqlType],
    options: CopyOptions,
) -> Iterator[Part] | None:
    """A whole table straight from its leaves; None where rows are needed."""
    snapshot = session.context.snapshot
    if not isinstance(relation, Table) or snapshot.count(relation.tree_id) < COLUMNS_ROWS_MIN:
        return None
    session.transaction.manager.scheduler.run_in_thread(load_libraries)
    named = [relation.column_by_name[column.name] for column in columns]
    lines = leaf_lines(session, relation, named, types, options)
    leaves = None if lines is None else snapshot.leaves(relation.tree_id)
    return None if lines is None or leaves is None else lines.parts(leaves)


def _batches(session: SessionServices, program: Program) -> Iterator[list[Row]]:
    if program.rows is not None:
        yield from program.rows(session.context, ())
    elif program.modify is not None:
        yield program.modify(session.context, ()).rows
    else:
        raise not_supported("COPY of this statement")


def _type(session: SessionServices, column: ResultColumn) -> SqlType:
    found = session.catalog.types.by_oid.get(column.type_oid)
    if found is None:
        raise SqlError("XX000", f"cache lookup failed for type {column.type_oid}")
    return found


def _header(columns: Sequence[ResultColumn], options: CopyOptions) -> bytes:
    names = [column.name for column in columns]
    escape = _csv_quoter(options) if options.csv else _text_escaper(options)
    line = options.delimiter.join(escape(name) for name in names)
    return (line + "\n").encode(options.encoding)


def _writer(
    session: SessionServices,
    types: Sequence[SqlType],
    options: CopyOptions,
    forced: frozenset[int],
    stream: CopyOutStream,
) -> Callable[[Sequence[Row]], None]:
    """A function that sends a batch; an empty one ends a binary stream."""
    evaluation = session.context.eval
    if options.binary:
        return _binary_writer(_binary_encoder(types, evaluation), stream)
    fields = _FieldEncoder(types, evaluation, options, forced)
    if forced or not types:
        return lambda rows: stream.write_rows(fields.encode(rows))
    lines = _LineEncoder(types, evaluation, options)

    def write(rows: Sequence[Row]) -> None:
        data = lines.encode(rows)
        if data is None:
            stream.write_rows(fields.encode(rows))
        else:
            stream.write_lines(data)

    return write


def _row_by_row(write: Callable[[Sequence[Row]], None]) -> Callable[[Sequence[Row]], None]:
    """Each row on its own, so that the first one over a budget is the one that is not sent."""

    def each(rows: Sequence[Row]) -> None:
        for row in rows:
            write((row,))
        if not rows:
            write(())

    return each


def _binary_writer(
    encode: Callable[[Sequence[Row]], list[bytes]], stream: CopyOutStream
) -> Callable[[Sequence[Row]], None]:
    pending = [HEADER]

    def write(rows: Sequence[Row]) -> None:
        frames = encode(rows) or [TRAILER]
        if pending:
            # As PostgreSQL has it: the signature comes with the first tuple.
            frames[0] = pending.pop() + frames[0]
        stream.write_rows(frames)

    return write


class _LineEncoder:
    """Whole batches at once, where no value needs an escape or a quote: most of the time.

    Lines are formatted without looking at the values; then the text is counted: as many
    delimiters, line ends and backslashes as the format put there, and nothing else that is
    special, means that the values had none.
    """

    def __init__(
        self, types: Sequence[SqlType], evaluation: EvalContext, options: CopyOptions
    ) -> None:
        self._shows = [_shower(kind, evaluation) for kind in types]
        is_plain = _is_plain(options)
        self._checked = [not (kind.oid in _INTEGERS and is_plain) for kind in types]
        self._delimiter = options.delimiter
        self._null = options.null
        self._csv = options.csv
        self._encoding = options.encoding
        mark = "%%" if options.delimiter == "%" else options.delimiter
        self._format = mark.join(["%s"] * len(types)) + "\n"
        specials = "\r" + options.quote if options.csv else "\b\f\r\t\v"
        specials = specials.replace(options.delimiter, "")
        self._specials = tuple(specials)
        # A null mark with such characters in it would be counted as a value's.
        self._usable = not set(options.null) & set(specials + options.delimiter + "\n")

    def encode(self, rows: Sequence[Row]) -> bytes | None:
        """The batch's lines; None when some value must be looked at."""
        if not self._usable:
            return None
        null, nulls = self._null, 0
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        for place, (values, show) in enumerate(zip(columns, self._shows, strict=True)):
            if show is not None:
                columns[place] = [None if v is None else show(v) for v in values]
            if self._csv and self._checked[place] and null in columns[place]:
                return None
            if None in values:
                nulls += values.count(None)
                columns[place] = [null if v is None else v for v in columns[place]]
        line = self._format
        text = "".join([line % row for row in zip(*columns, strict=True)])
        count = len(rows)
        if (
            text.count("\n") != count
            or text.count(self._delimiter) != count * (len(columns) - 1)
            or text.count("\\") != nulls * null.count("\\")
            or any(special in text for special in self._specials)
        ):
            return None
        return text.encode(self._encoding)


class _FieldEncoder:
    """Value by value: escapes, quotes, FORCE_QUOTE."""

    def __init__(
        self,
        types: Sequence[SqlType],
        evaluation: EvalContext,
        options: CopyOptions,
        forced: frozenset[int],
    ) -> None:
        escape = _csv_quoter(options) if options.csv else _text_escaper(options)
        single = len(types) == 1
        self._options = options
        self._writers = [
            _texts(
                _shower(kind, evaluation) or str,
                escape,
                options,
                forced=place in forced,
                single=single,
            )
            for place, kind in enumerate(types)
        ]

    def encode(self, rows: Sequence[Row]) -> list[bytes]:
        """The data of each row."""
        options = self._options
        if not self._writers:
            return [b"\n"] * len(rows)
        made = [
            write(values, options.null)
            for values, write in zip(zip(*rows, strict=True), self._writers, strict=True)
        ]
        delimiter, encoding = options.delimiter, options.encoding
        return [
            (delimiter.join(texts) + "\n").encode(encoding) for texts in zip(*made, strict=True)
        ]


def _shower(kind: SqlType, evaluation: EvalContext) -> Callable[[Any], str] | None:
    """From a value to its text; None: `str` does it (whole numbers, and text as it is)."""
    if kind.oid in _INTEGERS or kind.oid in _IDENTICAL:
        return None
    if kind.plain_output is not None:
        return kind.plain_output
    output = kind.output
    return lambda value: output(value, evaluation)


def _forced(
    columns: Sequence[ResultColumn], options: CopyOptions, relation: ColumnedRelation | None
) -> frozenset[int]:
    if options.force_quote == "*":
        return frozenset(range(len(columns)))
    names = [column.name for column in columns]
    for name in options.force_quote:
        if name not in names:
            if relation is None:
                raise SqlError("42703", f'column "{name}" does not exist')
            if name not in relation.column_by_name:
                raise SqlError(
                    "42703", f'column "{name}" of relation "{relation.name}" does not exist'
                )
            raise SqlError("42P10", f'FORCE_QUOTE column "{name}" not referenced by COPY')
    return frozenset(names.index(name) for name in options.force_quote)


def _texts(
    show: Callable[[Any], str],
    escape: Callable[[str], str],
    options: CopyOptions,
    *,
    forced: bool,
    single: bool,
) -> Callable[[Sequence[Any], str], list[str]]:
    """A function from a column's values to their texts, escaped or quoted."""
    always = _always_quoted(options)
    if options.csv and forced:
        return lambda values, null: [null if v is None else always(show(v)) for v in values]
    if options.csv and single:
        # A lone `\\.` would end the data.
        return lambda values, null: [
            null if v is None else (always(t) if (t := show(v)) == "\\." else escape(t))
            for v in values
        ]
    return lambda values, null: [null if v is None else escape(show(v)) for v in values]


def _is_plain(options: CopyOptions) -> bool:
    """Whether digits and signs stand for themselves."""
    special = {options.delimiter, *options.null, *(options.quote if options.csv else "")}
    return not special & set("0123456789-")


def _text_escaper(options: CopyOptions) -> Callable[[str], str]:
    specials = dict(_SPECIALS)
    if options.delimiter not in specials:
        specials[options.delimiter] = "\\" + options.delimiter
    pattern = re.compile("[" + re.escape("".join(specials)) + "]")
    search, replace = pattern.search, pattern.sub

    def escape(text: str) -> str:
        if search(text) is None:
            return text
        return replace(lambda match: specials[match[0]], text)

    return escape


def _csv_quoter(options: CopyOptions) -> Callable[[str], str]:
    specials = re.escape(options.delimiter + options.quote + "\r\n")
    search = re.compile(f"[{specials}]").search
    always = _always_quoted(options)
    null = options.null

    def escape(text: str) -> str:
        if text == null or search(text) is not None:
            return always(text)
        return text

    return escape


def _always_quoted(options: CopyOptions) -> Callable[[str], str]:
    quote, mark = options.quote, options.escape

    def quoted(text: str) -> str:
        if mark != quote:
            text = text.replace(mark, mark + mark)
        return quote + text.replace(quote, mark + quote) + quote

    return quoted


def _binary_encoder(
    types: Sequence[SqlType], evaluation: EvalContext
) -> Callable[[Sequence[Row]], list[bytes]]:
    head = _pack_count(len(types))
    senders: list[Callable[[Any], bytes]] = []
    for kind in types:
        if kind.plain_send is not None:
            senders.append(kind.plain_send)
        else:
            send = kind.send
            assert send is not None
            senders.append(lambda value, send=send: send(value, evaluation))  # type: ignore[misc]

    def encode(rows: Sequence[Row]) -> list[bytes]:
        out = []
        for row in rows:
            parts = [head]
            for value, send in zip(row, senders, strict=True):
                if value is None:
                    parts.append(NULL)
                else:
                    data = send(value)
                    parts.append(_pack_length(len(data)))
                    parts.append(data)
            out.append(b"".join(parts))
        return out

    return encode
