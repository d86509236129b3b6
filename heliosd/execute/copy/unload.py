"""COPY TO: rows of a query to the client, a CopyData per row, encoded a batch at a time."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from heliosd.errors import SqlError, not_supported
from heliosd.execute.context import CopyFormat
from heliosd.execute.copy.binary import HEADER, NULL, TRAILER
from heliosd.sql.tree import Select

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.execute.copy.options import CopyOptions
    from heliosd.execute.program import Program, ResultColumn, Row
    from heliosd.sql.tree import Statement
    from heliosd.types.registry import EvalContext, SqlType

# Types whose text never holds a character that COPY escapes.
_PLAIN_CATEGORIES: Final = frozenset("NBD")
_IDENTICAL: Final = frozenset({25, 1043, 1042, 19, 705})
_INTEGERS: Final = frozenset({20, 21, 23, 26})
_SPECIALS: Final = {
    "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip
_pack_length: Final = struct.Struct("!i").pack
_pack_count: Final = struct.Struct("!h").pack

Texts = Callable[[Sequence[Any]], "list[str | None]"]


def unload(session: SessionServices, query: Statement, options: CopyOptions) -> int:
    """Run the query and send its rows; the number of rows."""
    if isinstance(query, Select) and query.into is not None:
        raise SqlError("0A000", "COPY (SELECT INTO) is not supported")
    program = session.prepare(query)
    columns = program.columns
    if columns is None:
        raise SqlError("0A000", "COPY query must have a RETURNING clause")
    types = [_type(session, column) for column in columns]
    encode = _encoder(session, columns, types, options)
    stream = session.copy_out(CopyFormat(len(columns), options.binary))
    pending = HEADER if options.binary else b""
    if options.header:
        stream.write_rows([_header(columns, options)])
    count = 0
    for batch in _batches(session, program):
        frames = encode(batch)
        if pending and frames:
            # As PostgreSQL has it: the signature comes with the first tuple.
            frames[0] = pending + frames[0]
            pending = b""
        stream.write_rows(frames)
        count += len(batch)
    if options.binary:
        stream.write_rows([pending + TRAILER])
    stream.finish()
    return count


def _batches(session: SessionServices, program: Program) -> Iterator[Sequence[Row]]:
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


def _encoder(
    session: SessionServices,
    columns: Sequence[ResultColumn],
    types: Sequence[SqlType],
    options: CopyOptions,
) -> Callable[[Sequence[Row]], list[bytes]]:
    """A function from a batch to the data of its rows."""
    evaluation = session.context.eval
    if options.binary:
        return _binary_encoder(types, evaluation)
    null, delimiter, encoding = options.null, options.delimiter, options.encoding
    forced = _forced(columns, options)
    escape = _csv_quoter(options) if options.csv else _text_escaper(options)
    single = len(columns) == 1
    writers = [
        _texts(kind, evaluation, escape, options, forced=place in forced, single=single)
        for place, kind in enumerate(types)
    ]

    def encode(rows: Sequence[Row]) -> list[bytes]:
        if not writers:
            return [b"\n"] * len(rows)
        made = []
        for values, write in zip(zip(*rows, strict=True), writers, strict=True):
            made.append(write(values, null))
        if encoding == "utf-8":
            return [(delimiter.join(texts) + "\n").encode() for texts in zip(*made, strict=True)]
        return [
            (delimiter.join(texts) + "\n").encode(encoding) for texts in zip(*made, strict=True)
        ]

    return encode


def _forced(columns: Sequence[ResultColumn], options: CopyOptions) -> frozenset[int]:
    if options.force_quote == "*":
        return frozenset(range(len(columns)))
    names = [column.name for column in columns]
    for name in options.force_quote:
        if name not in names:
            raise SqlError("42P10", f'FORCE_QUOTE column "{name}" not referenced by COPY')
    return frozenset(names.index(name) for name in options.force_quote)


def _texts(
    kind: SqlType,
    evaluation: EvalContext,
    escape: Callable[[str], str],
    options: CopyOptions,
    *,
    forced: bool,
    single: bool,
) -> Callable[[Sequence[Any], str], list[str]]:
    """A function from a column's values to their texts, escaped or quoted."""
    show: Callable[[Any], str]
    if kind.oid in _INTEGERS:
        show = str
    elif kind.oid in _IDENTICAL:
        show = _same
    elif kind.plain_output is not None:
        show = kind.plain_output
    else:
        output = kind.output
        show = lambda value: output(value, evaluation)  # noqa: E731  one expression
    if options.csv and forced:
        always = _always_quoted(options)
        return lambda values, null: [null if v is None else always(show(v)) for v in values]
    if kind.oid in _INTEGERS and _is_plain(options):
        return lambda values, null: [null if v is None else str(v) for v in values]
    if options.csv and single:
        # A lone `\.` would end the data.
        quote = _always_quoted(options)
        return lambda values, null: [
            null if v is None else (quote(t) if (t := show(v)) == "\\." else escape(t))
            for v in values
        ]
    if show is _same:
        return lambda values, null: [null if v is None else escape(v) for v in values]
    return lambda values, null: [null if v is None else escape(show(v)) for v in values]


def _same(value: str) -> str:
    return value


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
        elif kind.send is not None:
            send = kind.send
            senders.append(lambda value, send=send: send(value, evaluation))  # type: ignore[misc]
        else:
            raise SqlError("42883", f"no binary output function available for type {kind.display}")

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
