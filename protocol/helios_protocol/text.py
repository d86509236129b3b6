"""Text at the boundary: the client's encoding, checked both ways.

Inside, text is `str`. A codec is chosen by `client_encoding`. UTF8 is the default and the only one
on the hot path: whatever encodes or decodes asks for its codec once, not per value. NUL cannot
arrive inside a protocol string (it ends it), so the check for it matters for values only:
`TextCodec.decode_value`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from helios_protocol.fields import BadText, WireError

UNTRANSLATABLE_CHARACTER: Final = "22P05"


@dataclass(frozen=True, slots=True)
class TextCodec:
    """`name` is PostgreSQL's ("UTF8"), `python` the codec's. `single`: one byte a character."""

    name: str
    python: str
    single: bool = False

    @property
    def is_utf8(self) -> bool:
        """Whether text passes unconverted."""
        return self.python == "utf-8"

    def decode(self, data: bytes) -> str:
        """Bytes to text; raises `BadText` (22021) naming the first bad sequence, or 22P05 where
        a byte of a single-byte encoding stands for nothing."""
        try:
            return data.decode(self.python)
        except UnicodeDecodeError as error:
            if self.single:
                shown = f"0x{error.object[error.start]:02x}"
                raise _untranslatable(shown, self.name, "UTF8") from None
            raise BadText(self._checked_as, _offending(error)) from None

    @property
    def _checked_as(self) -> str:
        return "UTF8" if self.is_utf8 else self.name

    def decode_value(self, data: bytes) -> str:
        """As `decode`, for a value, where a NUL byte could hide; raises `BadText`."""
        if 0 in data:
            raise BadText(self.name, b"\0")
        return self.decode(data)

    def encode(self, text: str) -> bytes:
        """Text to bytes; raises 22P05 when the client's encoding lacks a character."""
        try:
            return text.encode(self.python)
        except UnicodeEncodeError as error:
            missing = text[error.start].encode("utf-8", "surrogatepass")
            shown = " ".join(f"0x{byte:02x}" for byte in missing)
            raise _untranslatable(shown, "UTF8", self.name) from None


def _untranslatable(shown: str, source: str, target: str) -> WireError:
    return WireError(
        UNTRANSLATABLE_CHARACTER,
        f'character with byte sequence {shown} in encoding "{source}" '
        f'has no equivalent in encoding "{target}"',
        fatal=False,
    )


def _offending(error: UnicodeDecodeError) -> bytes:
    """The bytes PostgreSQL would show: as many as the first byte announces, if they are there."""
    data = bytes(error.object)
    first = data[error.start]
    if first >= 0xF0 and first < 0xF8:
        length = 4
    elif first >= 0xE0 and first < 0xF0:
        length = 3
    elif first >= 0xC0 and first < 0xE0:
        length = 2
    else:
        length = 1
    return data[error.start : error.start + length]


UTF8: Final = TextCodec("UTF8", "utf-8")

# PostgreSQL's canonical name -> Python's codec. SQL_ASCII means "no conversion": our text is
# Unicode inside, so bytes above 127 pass as UTF-8 or are refused.
_CODECS: Final = (
    UTF8,
    TextCodec("SQL_ASCII", "utf-8"),
    TextCodec("LATIN1", "iso8859-1", single=True),
    TextCodec("LATIN2", "iso8859-2", single=True),
    TextCodec("LATIN3", "iso8859-3", single=True),
    TextCodec("LATIN4", "iso8859-4", single=True),
    TextCodec("LATIN5", "iso8859-9", single=True),
    TextCodec("LATIN6", "iso8859-10", single=True),
    TextCodec("LATIN7", "iso8859-13", single=True),
    TextCodec("LATIN8", "iso8859-14", single=True),
    TextCodec("LATIN9", "iso8859-15", single=True),
    TextCodec("LATIN10", "iso8859-16", single=True),
    TextCodec("ISO_8859_5", "iso8859-5", single=True),
    TextCodec("ISO_8859_6", "iso8859-6", single=True),
    TextCodec("ISO_8859_7", "iso8859-7", single=True),
    TextCodec("ISO_8859_8", "iso8859-8", single=True),
    TextCodec("WIN866", "cp866", single=True),
    TextCodec("WIN874", "cp874", single=True),
    TextCodec("WIN1250", "cp1250", single=True),
    TextCodec("WIN1251", "cp1251", single=True),
    TextCodec("WIN1252", "cp1252", single=True),
    TextCodec("WIN1253", "cp1253", single=True),
    TextCodec("WIN1254", "cp1254", single=True),
    TextCodec("WIN1255", "cp1255", single=True),
    TextCodec("WIN1256", "cp1256", single=True),
    TextCodec("WIN1257", "cp1257", single=True),
    TextCodec("WIN1258", "cp1258", single=True),
    TextCodec("KOI8R", "koi8-r", single=True),
    TextCodec("KOI8U", "koi8-u", single=True),
    TextCodec("EUC_JP", "euc_jp"),
    TextCodec("EUC_CN", "gb2312"),
    TextCodec("EUC_KR", "euc_kr"),
    TextCodec("SJIS", "cp932"),
    TextCodec("BIG5", "cp950"),
    TextCodec("GBK", "gbk"),
    TextCodec("GB18030", "gb18030"),
    TextCodec("UHC", "cp949"),
    TextCodec("JOHAB", "johab"),
    TextCodec("EUC_JIS_2004", "euc_jis_2004"),
    TextCodec("SHIFT_JIS_2004", "shift_jis_2004"),
)

CODECS: Final[Mapping[str, TextCodec]] = MappingProxyType({codec.name: codec for codec in _CODECS})

# Spellings clients use, after lower-casing and dropping everything but letters and digits.
_ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{"".join(filter(str.isalnum, name.lower())): name for name in CODECS},
        "unicode": "UTF8",
        "iso88591": "LATIN1",
        "iso88592": "LATIN2",
        "iso88593": "LATIN3",
        "iso88594": "LATIN4",
        "iso88599": "LATIN5",
        "iso885910": "LATIN6",
        "iso885913": "LATIN7",
        "iso885914": "LATIN8",
        "iso885915": "LATIN9",
        "iso885916": "LATIN10",
        "windows1250": "WIN1250",
        "windows1251": "WIN1251",
        "windows1252": "WIN1252",
        "windows1253": "WIN1253",
        "windows1254": "WIN1254",
        "windows1255": "WIN1255",
        "windows1256": "WIN1256",
        "windows1257": "WIN1257",
        "windows1258": "WIN1258",
        "windows866": "WIN866",
        "windows874": "WIN874",
        "windows949": "UHC",
        "windows936": "GBK",
        "windows950": "BIG5",
        "windows932": "SJIS",
        "shiftjis": "SJIS",
        "win949": "UHC",
        "win936": "GBK",
        "win950": "BIG5",
        "win932": "SJIS",
        "win": "WIN1251",
        "koi8": "KOI8R",
        "alt": "WIN866",
        "tcvn": "WIN1258",
    }
)


def find_codec(spelling: str) -> TextCodec | None:
    """The codec for a spelling of `client_encoding`, or None."""
    name = _ALIASES.get("".join(filter(str.isalnum, spelling.lower())))
    return CODECS[name] if name is not None else None
