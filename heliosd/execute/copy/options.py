"""COPY's options, checked as PostgreSQL checks them."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Final, NoReturn

from heliosd.errors import SqlError
from heliosd.sql.tree import Copy, NumericText, Option

_TRUE: Final = ("true", "on")
_FALSE: Final = ("false", "off")
_NOT_DELIMITERS: Final = frozenset("\\.abcdefghijklmnopqrstuvwxyz0123456789")
_KNOWN: Final = frozenset(
    ("format", "freeze", "delimiter", "null", "header", "quote", "escape", "force_quote",
     "force_not_null", "force_null", "encoding", "convert_selectively")
)  # fmt: skip
# PostgreSQL's names of client encodings, as Python has them.
_ENCODINGS: Final = {
    "utf8": "utf-8", "unicode": "utf-8", "sqlascii": "utf-8", "latin1": "latin-1",
    "iso88591": "latin-1", "latin2": "iso8859-2", "latin3": "iso8859-3", "latin4": "iso8859-4",
    "latin5": "iso8859-9", "latin9": "iso8859-15", "win1250": "cp1250", "win1251": "cp1251",
    "win1252": "cp1252", "win1253": "cp1253", "win1254": "cp1254", "win1257": "cp1257",
    "koi8r": "koi8-r", "koi8u": "koi8-u", "eucjp": "euc-jp", "sjis": "shift_jis",
    "euckr": "euc-kr", "gbk": "gbk", "gb18030": "gb18030", "big5": "big5",
}  # fmt: skip


@dataclass(slots=True)
class CopyOptions:
    """What one COPY does; `force_*` are column names, or "*"; `header_match` is HEADER MATCH."""

    from_: bool
    format: str = "text"
    delimiter: str = "\t"
    null: str = "\\N"
    header: bool = False
    header_match: bool = False
    quote: str = '"'
    escape: str = '"'
    freeze: bool = False
    force_quote: tuple[str, ...] | str = ()
    force_not_null: tuple[str, ...] = ()
    force_null: tuple[str, ...] = ()
    encoding: str = "utf-8"

    @property
    def binary(self) -> bool:
        """Whether it is the binary format."""
        return self.format == "binary"

    @property
    def csv(self) -> bool:
        """Whether it is the csv format."""
        return self.format == "csv"


def read_options(statement: Copy, client_encoding: str) -> CopyOptions:
    """The options of a COPY. Raises 42601, 22023, 0A000 as PostgreSQL does."""
    given: dict[str, Option] = {}
    for option in statement.options:
        name = option.name.lower()
        if name not in _KNOWN:
            raise SqlError(
                "42601", f'option "{option.name}" not recognized', position=option.position
            )
        if name in given:
            raise SqlError("42601", "conflicting or redundant options", position=option.position)
        given[name] = option
    options = CopyOptions(statement.from_, encoding=python_encoding(client_encoding) or "utf-8")
    if "format" in given:
        options.format = _format(given["format"])
    _read_switches(given, options)
    _read_lists(given, options)
    if "encoding" in given:
        _read_encoding(given["encoding"], options)
    names = ("delimiter", "null", "quote", "escape")
    texts: dict[str, str] = {name: _text(given[name]) for name in names if name in given}
    _check(options, texts, given)
    return options


def _format(option: Option) -> str:
    value = _text(option)
    if value not in ("text", "csv", "binary"):
        raise SqlError("22023", f'COPY format "{value}" not recognized', position=option.position)
    return value


def _text(option: Option) -> str:
    if option.value is None:
        raise SqlError("42601", f"{option.name} requires a parameter")
    return option.value.text if isinstance(option.value, NumericText) else str(option.value)


def _boolean(option: Option, *, or_match: bool = False) -> bool | str:
    value = option.value
    if value is None or value is True:
        return True
    if value == 0 or value == 1:
        return bool(value)
    word = str(value).lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    if or_match and word == "match":
        return word
    kinds = 'a Boolean value or "match"' if or_match else "a Boolean value"
    raise SqlError("42601", f"{option.name} requires {kinds}")


def _read_switches(given: dict[str, Option], options: CopyOptions) -> None:
    if "freeze" in given:
        options.freeze = bool(_boolean(given["freeze"]))
    if "header" in given:
        header = _boolean(given["header"], or_match=True)
        if header == "match" and not options.from_:
            raise SqlError("0A000", 'cannot use "match" with HEADER in COPY TO')
        options.header = bool(header)
        options.header_match = header == "match"


def _read_lists(given: dict[str, Option], options: CopyOptions) -> None:
    for name in ("force_quote", "force_not_null", "force_null"):
        option = given.get(name)
        if option is None:
            continue
        value = option.value
        if value == "*" and name == "force_quote":
            options.force_quote = "*"
            continue
        if not isinstance(value, tuple):
            raise SqlError(
                "22023", f'argument to option "{option.name}" must be a list of column names',
                position=option.position,
            )  # fmt: skip
        setattr(options, name, tuple(str(item) for item in value))


def _read_encoding(option: Option, options: CopyOptions) -> None:
    found = python_encoding(_text(option))
    if found is None:
        raise SqlError(
            "22023", f'argument to option "{option.name}" must be a valid encoding name',
            position=option.position,
        )  # fmt: skip
    options.encoding = found


def python_encoding(name: str) -> str | None:
    """Python's name for one of PostgreSQL's encodings; None when it has none."""
    plain = "".join(c for c in name.lower() if c.isalnum())
    found = _ENCODINGS.get(plain) or _ENCODINGS.get(plain.removeprefix("pg"))
    return None if found is None else codecs.lookup(found).name


def _refuse(sqlstate: str, message: str) -> NoReturn:
    raise SqlError(sqlstate, message)


def _check(options: CopyOptions, texts: dict[str, str], given: dict[str, Option]) -> None:
    """What fits together, in PostgreSQL's order."""
    csv = options.csv
    if options.binary:
        for name in ("delimiter", "null"):
            if name in texts:
                _refuse("42601", f"cannot specify {name.upper()} in BINARY mode")
    options.delimiter = texts.get("delimiter", "," if csv else "\t")
    options.null = texts.get("null", "" if csv else "\\N")
    if csv:
        options.quote = texts.get("quote", '"')
        options.escape = texts.get("escape", options.quote)
    delimiter, null = options.delimiter, options.null
    if len(delimiter.encode()) != 1:
        _refuse("0A000", "COPY delimiter must be a single one-byte character")
    if delimiter in "\r\n":
        _refuse("22023", "COPY delimiter cannot be newline or carriage return")
    if "\r" in null or "\n" in null:
        _refuse("22023", "COPY null representation cannot use newline or carriage return")
    if not csv and delimiter in _NOT_DELIMITERS:
        _refuse("22023", f'COPY delimiter cannot be "{delimiter}"')
    if options.binary and options.header:
        _refuse("0A000", "cannot specify HEADER in BINARY mode")
    _check_quoting(options, texts, given)
    if delimiter in null and not options.binary:
        _refuse("0A000", "COPY delimiter must not appear in the NULL specification")
    if csv and options.quote in null:
        _refuse("0A000", "CSV quote character must not appear in the NULL specification")


def _check_quoting(options: CopyOptions, texts: dict[str, str], given: dict[str, Option]) -> None:
    csv = options.csv
    if not csv and "quote" in texts:
        _refuse("0A000", "COPY quote available only in CSV mode")
    if csv and len(options.quote.encode()) != 1:
        _refuse("0A000", "COPY quote must be a single one-byte character")
    if csv and options.delimiter == options.quote:
        _refuse("22023", "COPY delimiter and quote must be different")
    if not csv and "escape" in texts:
        _refuse("0A000", "COPY escape available only in CSV mode")
    if csv and len(options.escape.encode()) != 1:
        _refuse("0A000", "COPY escape must be a single one-byte character")
    for name, to in (("force_quote", True), ("force_not_null", False), ("force_null", False)):
        if name not in given:
            continue
        words = name.replace("_", " ")
        if not csv:
            _refuse("0A000", f"COPY {words} available only in CSV mode")
        if to == options.from_:
            _refuse("0A000", f"COPY {words} only available using COPY {'TO' if to else 'FROM'}")
