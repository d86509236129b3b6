"""COPY's text and csv formats: bytes to records of fields, in blocks of whole records.

A reader takes chunks as they come and gives blocks: the text of whole records with the number of
the first line. `fields` splits a block; a field is a str, or None for NULL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from heliosd.errors import BAD_COPY_FILE_FORMAT, CHARACTER_NOT_IN_REPERTOIRE, SqlError
from heliosd.execute.copy.options import CopyOptions

BLOCK_BYTES: Final = 1 << 19
SLICE_RECORDS: Final = 512
RECORD_BYTES_MAX: Final = 1 << 30

Fields = list["str | None"]

_OCTAL_OR_HEX: Final = re.compile(r"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|(.))", re.DOTALL)
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(slots=True)
class Block:
    """Whole records; `line` is the number of the first one's first line (0: not known yet)."""

    data: bytes
    line: int = 0


@dataclass(slots=True)
class Record:
    """One record: its line's number, its raw text (for error contexts), its fields."""

    line: int
    raw: str
    fields: Fields


class RecordReader:
    """Cuts a stream into blocks of whole records and blocks into records."""

    def __init__(self, options: CopyOptions, chunks: Iterable[bytes]) -> None:
        self._options = options
        self._chunks = iter(chunks)
        self._ending: bytes | None = None  # b"\n", b"\r\n" or b"\r": what the first line ends with
        self.line = 1  # the next line's number
        self.ended = False
        split = _CsvSplitter if options.csv else _TextSplitter
        self._splitter = split(options)

    def blocks(self) -> Iterator[Block]:
        """Blocks of about `BLOCK_BYTES`."""
        rest = b""
        parts: list[bytes] = []
        size = 0
        for chunk in self._chunks:
            if self.ended:
                continue  # behind the end marker: read, and thrown away
            parts.append(chunk)
            size += len(chunk)
            if size < BLOCK_BYTES:
                continue
            data = b"".join((rest, *parts))
            parts, size = [], 0
            end = self._splitter.last_record_end(data, final=False)
            if not end and len(data) > RECORD_BYTES_MAX:
                raise SqlError("54000", "COPY line is too long")
            rest = data[end:]
            if end:
                yield Block(data[:end])
        data = b"".join((rest, *parts))
        if data and not self.ended:
            self._splitter.last_record_end(data, final=True)
            yield Block(data)

    def records(self, block: Block) -> Iterator[list[Record]]:
        """A block's records in slices, up to the end marker; moves `line`."""
        text = self._decode(block)
        records: list[Record] = []
        self.line = block.line
        try:
            for line, raw, fields in self._splitter.records(text, block.line):
                if fields is None:
                    self.ended = True
                    break
                records.append(Record(line, raw, fields))
                self.line = line + 1
                if len(records) == SLICE_RECORDS:
                    yield records
                    records = []
        except SqlError:
            if records:
                yield records  # an error in one of these comes first
            raise
        if records:
            yield records

    def took(self, block: Block, lines: int) -> None:
        """The block was read otherwise (as columns): so many lines."""
        self.line = block.line + lines

    def _decode(self, block: Block) -> str:
        try:
            text = block.data.decode(self._options.encoding)
        except UnicodeDecodeError as error:
            line = block.line + block.data.count(b"\n", 0, error.start)
            shown = " ".join(f"0x{b:02x}" for b in block.data[error.start : error.end])
            raise SqlError(
                CHARACTER_NOT_IN_REPERTOIRE,
                f'invalid byte sequence for encoding "{_shown(self._options.encoding)}": {shown}',
                context=str(line),
            ) from None
        if "\0" in text:
            line = block.line + text.count("\n", 0, text.index("\0"))
            raise SqlError(
                CHARACTER_NOT_IN_REPERTOIRE,
                f'invalid byte sequence for encoding "{_shown(self._options.encoding)}": 0x00',
                context=str(line),
            )
        return text


def _shown(encoding: str) -> str:
    return "UTF8" if encoding == "utf-8" else encoding.upper()


class _TextSplitter:
    """The text format: tabs between, backslashes escape, `\\.` ends."""

    def __init__(self, options: CopyOptions) -> None:
        self._delimiter = options.delimiter
        self._null = options.null
        mark = re.escape(options.delimiter)
        self._field = re.compile(rf"((?:[^\\{mark}]|\\.)*+)(?:{mark}|\Z)", re.DOTALL)
        self._plain = re.compile(rf"\\(?:N|\.)(?=[{mark}\r\n]|\Z)")
        self._ending = ""

    def last_record_end(self, data: bytes, *, final: bool) -> int:
        """Where the last whole record ends; a newline behind a backslash ends none."""
        if not self._ending:
            self._ending = _first_ending(data)
        if final:
            return len(data)
        mark = b"\r" if self._ending == "\r" else b"\n"
        end = data.rfind(mark)
        while end > 0 and data[end - 1] == 0x5C and _is_escaped(data, end):
            end = data.rfind(mark, 0, end)
        return end + 1

    def records(self, text: str, line: int) -> Iterator[tuple[int, str, Fields | None]]:
        """(line, raw, fields) of each record; fields None is the end marker."""
        lines = text.split("\r\n" if self._ending == "\r\n" else self._ending or "\n")
        if lines[-1] == "":
            lines.pop()
        at = 0
        start = line - 1
        while at < len(lines):
            raw = lines[at]
            start += 1  # a record is one line, whatever line breaks are escaped in it
            at += 1
            if "\\" in raw:
                while _ends_escaped(raw) and at < len(lines):
                    raw += "\n" + lines[at]
                    at += 1
                if raw == "\\.":
                    yield start, raw, None
                    return
                yield start, raw, self._escaped(raw, start)
            else:
                yield start, raw, self._fields(raw)
            if "\r" in raw or (self._ending == "\r" and "\n" in raw):
                self._check_ending(raw, start)

    def _check_ending(self, raw: str, line: int) -> None:
        stripped = re.sub(r"\\.", "", raw, flags=re.DOTALL)
        for character, word, escape in (("\r", "carriage return", "\\r"), ("\n", "newline", "\\n")):
            if character in stripped:
                raise SqlError(
                    BAD_COPY_FILE_FORMAT,
                    f"literal {word} found in data",
                    hint=f'Use "{escape}" to represent {word}.',
                    context=str(line),
                )

    def _fields(self, raw: str) -> Fields:
        fields: Fields = raw.split(self._delimiter)  # type: ignore[assignment]
        null = self._null
        if null in fields:
            return [None if field == null else field for field in fields]
        return fields

    def _escaped(self, raw: str, line: int) -> Fields:
        fields: Fields = []
        at = 0
        while True:
            match = self._field.match(raw, at)
            if match is None:  # a lone backslash at the very end stands for itself
                fields.append(self._value(raw[at:]))
                return fields
            fields.append(self._value(match[1]))
            at = match.end()
            if at == len(raw) and not (match[0].endswith(self._delimiter) and at > match.end(1)):
                return fields

    def _value(self, field: str) -> str | None:
        if field == self._null:
            return None
        if "\\" not in field:
            return field
        return _unescape(field)


def _unescape(field: str) -> str:
    if "\\x" not in field and not any(f"\\{d}" in field for d in "01234567"):
        return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), field, flags=re.DOTALL)
    data = bytearray()
    at = 0
    for match in _OCTAL_OR_HEX.finditer(field):
        data += field[at : match.start()].encode()
        at = match.end()
        octal, hexadecimal, simple = match.groups()
        if simple is not None:
            data += _ESCAPES.get(simple, simple).encode()
        else:
            data.append(int(octal, 8) & 0xFF if octal else int(hexadecimal, 16))
    data += field[at:].encode()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        shown = " ".join(f"0x{b:02x}" for b in data[error.start : error.end])
        raise SqlError(
            CHARACTER_NOT_IN_REPERTOIRE, f'invalid byte sequence for encoding "UTF8": {shown}'
        ) from None


def _first_ending(data: bytes) -> str:
    newline, carriage = data.find(b"\n"), data.find(b"\r")
    if carriage < 0 or (0 <= newline < carriage):
        return "\n" if newline >= 0 else ""
    return "\r\n" if newline == carriage + 1 else "\r"


def _is_escaped(data: bytes, at: int) -> bool:
    """Whether an odd number of backslashes stands before `at`."""
    count = 0
    while at > count and data[at - 1 - count] == 0x5C:
        count += 1
    return count % 2 == 1


def _ends_escaped(raw: str) -> bool:
    return (len(raw) - len(raw.rstrip("\\"))) % 2 == 1


class _CsvSplitter:
    """The csv format: quotes may stand anywhere in a field, and hold line breaks."""

    def __init__(self, options: CopyOptions) -> None:
        self._delimiter = options.delimiter
        self._null = options.null
        self._quote = options.quote
        self._escape = options.escape
        self._quote_byte = options.quote.encode()
        # PostgreSQL counts line breaks inside quotes only once it has seen a line's end.
        self._counts_quoted = False
        self._ending = ""
        quote, escape, mark = (
            re.escape(c) for c in (options.quote, options.escape, options.delimiter)
        )
        inside = rf"(?:{escape}[{quote}{escape}]|[^{quote}])*+"
        if options.escape != options.quote:
            inside = rf"(?:{escape}[{quote}{escape}]|[^{quote}{escape}]|{escape})*"
        self._field = re.compile(
            # The outer repeat is not possessive: Python 3.11.2 loses its place when a possessive
            # one ends inside another (an open quote would pass for a closed one).
            rf"((?:[^{quote}{mark}\r\n]++|{quote}{inside}{quote})*)({mark}|\r\n|\n|\r|\Z)",
            re.DOTALL,
        )
        self._quoted = re.compile(rf"{quote}({inside}){quote}", re.DOTALL)
        self._escaped = re.compile(rf"{escape}([{quote}{escape}])", re.DOTALL)

    def last_record_end(self, data: bytes, *, final: bool) -> int:
        """Where the last whole record ends: at a line break outside of quotes."""
        if not self._ending:
            self._ending = _first_ending(data)
        if final:
            return len(data)
        mark = b"\r" if self._ending == "\r" else b"\n"
        quote = self._quote_byte
        if quote not in data:
            return data.rfind(mark) + 1
        if self._escape != self._quote:
            return self._slow_end(data)
        quotes = data.count(quote)
        end = data.rfind(mark)
        while end >= 0:
            quotes -= data.count(quote, end)
            if quotes % 2 == 0:
                return end + 1
            next_end = data.rfind(mark, 0, end)
            data = data[:end]
            end = next_end
        return 0

    def _slow_end(self, data: bytes) -> int:
        """With an escape of its own, quotes must be read from the start."""
        pattern = re.compile(
            rb"(?:[^%b\n]++|%b(?:%b.|[^%b])*+%b)*\n"
            % tuple(
                re.escape(c.encode())
                for c in (self._quote, self._quote, self._escape, self._quote, self._quote)
            ),
            re.DOTALL,
        )
        end = 0
        while (match := pattern.match(data, end)) is not None:
            end = match.end()
        return end

    def records(self, text: str, line: int) -> Iterator[tuple[int, str, Fields | None]]:
        """(line, raw, fields) of each record; fields None is the end marker."""
        if self._quote in text:
            yield from self._quoted_records(text, line)
            return
        ending = self._ending or "\n"
        lines = text.split(ending)
        if lines[-1] == "":
            lines.pop()
        delimiter, null = self._delimiter, self._null
        self._counts_quoted = True
        for number, raw in enumerate(lines, line):
            if raw == "\\.":
                yield number, raw, None
                return
            fields: Fields = raw.split(delimiter)  # type: ignore[assignment]
            if null in fields:
                fields = [None if field == null else field for field in fields]
            yield number, raw, fields
            if "\r" in raw or "\n" in raw:
                raise _unquoted("\r" in raw, number)

    def _quoted_records(self, text: str, line: int) -> Iterator[tuple[int, str, Fields | None]]:
        at = start = 0
        fields: Fields = []
        quote, null = self._quote, self._null
        ending = self._ending or "\n"
        match_field = self._field.match
        length = len(text)
        while at < length:
            match = match_field(text, at)
            if match is None:
                if self._counts_quoted:
                    line += text.count("\n", start)
                raise SqlError(
                    BAD_COPY_FILE_FORMAT,
                    "unterminated CSV quoted field",
                    context=f"{line}:{text[start:]}",
                )
            body, end = match.groups()
            at = match.end()
            if quote in body:
                fields.append(self._unquote(body))
            else:
                fields.append(None if body == null else body)
            if end == self._delimiter:
                if at < length:
                    continue
                fields.append(None if null == "" else "")
            elif end and end != ending:
                raise _unquoted(end.startswith("\r"), line)
            raw = text[start : match.end(1)]
            start = at
            if raw == "\\.":
                yield line, raw, None
                return
            if self._counts_quoted:
                line += raw.count("\n")
            self._counts_quoted = True
            yield line, raw, fields
            fields = []
            line += 1

    def _unquote(self, body: str) -> str:
        escape = self._escaped
        return self._quoted.sub(lambda quoted: escape.sub(r"\1", quoted[1]), body)


def _unquoted(carriage: bool, line: int) -> SqlError:  # noqa: FBT001  which character it is
    word = "carriage return" if carriage else "newline"
    return SqlError(
        BAD_COPY_FILE_FORMAT,
        f"unquoted {word} found in data",
        hint=f"Use quoted CSV field to represent {word}.",
        context=str(line),
    )
