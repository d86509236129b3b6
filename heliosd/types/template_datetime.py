"""The templates of to_char, to_date and to_timestamp, cut into pieces once.

A template is a list of `Piece`: a keyword with its prefixes and suffixes, or text that stands for
itself. Reading and writing are in `format_datetime.py` and `parse_datetime.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from heliosd.errors import SqlError

# Matching is exact in case, as in PostgreSQL's keyword table.
_KEYWORD_TEXT: Final = (
    "A.D. A.M. AD AM B.C. BC CC DAY DDD DD DY Day Dy D FF1 FF2 FF3 FF4 FF5 FF6 FX HH24 HH12 HH "
    "IDDD ID IW IYYY IYY IY I J MI MM MONTH MON MS Month Mon OF P.M. PM Q RM SSSSS SSSS SS TZH TZM "
    "TZ US WW W Y,YYY YYYY YYY YY Y a.d. a.m. ad am b.c. bc cc day ddd dd dy d ff1 ff2 ff3 ff4 ff5 "
    "ff6 fx hh24 hh12 hh iddd id iw iyyy iyy iy i j mi mm month mon ms of p.m. pm q rm sssss ssss "
    "ss tzh tzm tz us ww w y,yyy yyyy yyy yy y"
)
_BY_LENGTH: Final = tuple(sorted(_KEYWORD_TEXT.split(), key=len, reverse=True))
_TEMPLATE_MAX: Final = 16_384


@dataclass(frozen=True, slots=True)
class Piece:
    """`keyword` "" for literal `text`. `quoted`: the text was in double quotes."""

    keyword: str
    text: str = ""
    fill: bool = False  # FM: no padding
    localized: bool = False  # TM
    ordinal: str = ""  # TH or th
    quoted: bool = False
    separator: bool = False


@lru_cache(maxsize=256)
def split_template(template: str) -> tuple[Piece, ...]:
    """The pieces of a template; 22000 is never raised, unknown letters stand for themselves."""
    if len(template) > _TEMPLATE_MAX:
        raise SqlError("54000", "format specification is too long")
    pieces: list[Piece] = []
    at = 0
    while at < len(template):
        piece, at = _next(template, at)
        pieces.append(piece)
    return tuple(pieces)


def _next(template: str, at: int) -> tuple[Piece, int]:
    start = at
    fill = localized = False
    while True:
        prefix = template[at : at + 2]
        if prefix in ("FM", "fm"):
            fill, at = True, at + 2
        elif prefix in ("TM", "tm"):
            localized, at = True, at + 2
        else:
            break
    for keyword in _BY_LENGTH:
        if template.startswith(keyword, at):
            at += len(keyword)
            ordinal = ""
            if template[at : at + 2] in ("TH", "th"):
                ordinal, at = template[at : at + 2], at + 2
            elif template[at : at + 2] in ("SP",):
                at += 2
            return Piece(keyword, "", fill, localized, ordinal), at
    if at > start:
        return Piece("", ""), at
    return _literal(template, at)


def _literal(template: str, at: int) -> tuple[Piece, int]:
    if template[at] == '"':
        text = ""
        at += 1
        while at < len(template) and template[at] != '"':
            if template[at] == "\\" and at + 1 < len(template):
                at += 1
            text += template[at]
            at += 1
        return Piece("", text, quoted=True), at + 1
    if template[at] == "\\" and template[at + 1 : at + 2] == '"':
        return Piece("", '"'), at + 2
    char = template[at]
    separator = char.isascii() and not char.isalnum() and char > " "
    return Piece("", char, separator=separator or char.isspace()), at + 1


def ordinal_suffix(number: int, style: str) -> str:
    """st, nd, rd or th of a number, in the case of `style`."""
    last_two = abs(number) % 100
    suffix = "th" if 11 <= last_two <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(last_two % 10, "th")
    return suffix.upper() if style == "TH" else suffix


_ROMAN_MONTHS: Final = ("XII", "XI", "X", "IX", "VIII", "VII", "VI", "V", "IV", "III", "II", "I")


def roman_month(month: int) -> str:
    """I to XII."""
    return _ROMAN_MONTHS[12 - month]


def month_of_roman(text: str) -> tuple[int, int] | None:
    """(month, characters read) of a Roman numeral at the start of a text."""
    upper = text.upper()
    for index, roman in enumerate(_ROMAN_MONTHS):
        if upper.startswith(roman) and (index != 2 or not upper.startswith(("XI", "XII"))):
            return 12 - index, len(roman)
    return None
