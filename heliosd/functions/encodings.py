"""Encodings: text as bytes of another encoding, and the names and numbers of encodings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from helios_protocol.fields import WireError
from helios_protocol.text import CODECS, TextCodec, find_codec
from heliosd.errors import SqlError
from heliosd.types.declare import Forms

forms: Final = Forms()

T = TypeVar("T")

_NAMES: Final = [
    "SQL_ASCII",
    "EUC_JP",
    "EUC_CN",
    "EUC_KR",
    "EUC_TW",
    "EUC_JIS_2004",
    "UTF8",
    "MULE_INTERNAL",
    "LATIN1",
    "LATIN2",
    "LATIN3",
    "LATIN4",
    "LATIN5",
    "LATIN6",
    "LATIN7",
    "LATIN8",
    "LATIN9",
    "LATIN10",
    "WIN1256",
    "WIN1258",
    "WIN866",
    "WIN874",
    "KOI8R",
    "WIN1251",
    "WIN1252",
    "ISO_8859_5",
    "ISO_8859_6",
    "ISO_8859_7",
    "ISO_8859_8",
    "WIN1250",
    "WIN1253",
    "WIN1254",
    "WIN1255",
    "WIN1257",
    "KOI8U",
    "SJIS",
    "BIG5",
    "GBK",
    "UHC",
    "GB18030",
    "JOHAB",
    "SHIFT_JIS_2004",
]
_WIDTHS: Final = {
    "EUC_JP": 3, "EUC_CN": 3, "EUC_KR": 3, "EUC_TW": 4, "EUC_JIS_2004": 3, "UTF8": 4,
    "MULE_INTERNAL": 4, "SJIS": 2, "BIG5": 2, "GBK": 2, "UHC": 2, "GB18030": 4, "JOHAB": 3,
    "SHIFT_JIS_2004": 2,
}  # fmt: skip
# Between these PostgreSQL converts without going through UTF8.
_FAMILIES: Final = (
    frozenset({"EUC_JP", "SJIS", "UTF8"}),
    frozenset({"KOI8R", "WIN1251", "WIN866", "ISO_8859_5", "UTF8"}),
    frozenset({"LATIN2", "WIN1250", "UTF8"}),
    frozenset({"EUC_JIS_2004", "SHIFT_JIS_2004", "UTF8"}),
    frozenset({"EUC_TW", "BIG5", "UTF8"}),
)


def _plain(compute: Callable[[], T]) -> T:
    """What conversion refuses, as a statement's error."""
    try:
        return compute()
    except WireError as error:
        raise SqlError(error.sqlstate, error.message) from None


def _canonical(name: str) -> str | None:
    codec = find_codec(name)
    if codec is not None:
        return codec.name
    plain = "".join(filter(str.isalnum, name.upper()))
    return next((known for known in _NAMES if known.replace("_", "") == plain), None)


def _need(name: str, role: str) -> str:
    found = _canonical(name)
    if found is None:
        raise SqlError("22023", f'invalid {role} encoding name "{name}"')
    return found


def _converter(source: str, target: str) -> tuple[TextCodec, TextCodec]:
    """The codecs of a conversion; 42883 for a pair that PostgreSQL has none for."""
    direct = "UTF8" in (source, target) or any({source, target} <= known for known in _FAMILIES)
    if not direct or source not in CODECS or target not in CODECS:
        raise SqlError(
            "42883",
            f'default conversion function for encoding "{source}" to "{target}" does not exist',
        )
    return CODECS[source], CODECS[target]


@forms.function("convert(bytea,name,name)")
def convert(data: bytes, source: str, target: str) -> bytes:
    """Bytes of one encoding as those of another; 22021, 22P05, 22023, 42883."""
    before, after = _need(source, "source"), _need(target, "destination")
    if before == after or "SQL_ASCII" in (before, after):
        known = CODECS.get(before if after == "SQL_ASCII" else after)
        if known is not None and known.name != "SQL_ASCII":
            _plain(lambda: known.decode_value(data))
        return data
    reader, writer = _converter(before, after)
    return _plain(lambda: writer.encode(reader.decode_value(data)))


@forms.function("convert_from(bytea,name)")
def convert_from(data: bytes, source: str) -> str:
    """The text that bytes spell in an encoding; 22021, 22P05, 22023."""
    reader, _ = _converter(_need(source, "source"), "UTF8")
    return _plain(lambda: reader.decode_value(data))


@forms.function("convert_to(text,name)")
def convert_to(text: str, target: str) -> bytes:
    """The text's bytes in an encoding; 22P05, 22023."""
    _, writer = _converter("UTF8", _need(target, "destination"))
    return _plain(lambda: writer.encode(text))


@forms.function("length(bytea,name)")
def length_in(data: bytes, source: str) -> int:
    """Characters that bytes spell in an encoding; 22021, 22023."""
    name = _canonical(source)
    if name is None:
        raise SqlError("22023", f'invalid encoding name "{source}"')
    codec = CODECS.get(name)
    if codec is None or name == "SQL_ASCII" or codec.single:
        return len(data)
    return _plain(lambda: len(codec.decode_value(data)))


@forms.function("pg_encoding_to_char(int4)")
def pg_encoding_to_char(number: int) -> str:
    """The name of an encoding's number."""
    return _NAMES[number] if 0 <= number < len(_NAMES) else ""


@forms.function("pg_char_to_encoding(name)")
def pg_char_to_encoding(name: str) -> int:
    """The number of an encoding's name; -1 for an unknown one."""
    found = _canonical(name)
    return -1 if found is None else _NAMES.index(found)


@forms.function("pg_encoding_max_length(int4)")
def pg_encoding_max_length(number: int) -> int | None:
    """The most bytes of a character."""
    return _WIDTHS.get(_NAMES[number], 1) if 0 <= number < len(_NAMES) else None
