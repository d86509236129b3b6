"""Reading dates and times in the many ways that PostgreSQL reads them.

`parse_datetime(text, kind, ctx)` gives `Moment`: the fields written. What they mean for one type
(which are needed, in which zone) is `datetime.py`'s business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.calendar import days_from_civil, days_in_month, time_us
from heliosd.types.context import EvalContext
from heliosd.types.datetime_words import (
    MONTH_WORDS,
    SPECIAL_WORDS,
    WEEKDAY_WORDS,
    zone_abbreviations,
)
from heliosd.types.zone import Zone, find_zone

_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<time>\d+:\d*(?::\d+)?(?:\.\d*)?)
    | (?P<date>\d+(?:[-/](?:\d+|[A-Za-z]+)){1,2}|\d+\.\d+\.\d+|[A-Za-z]{3,}[-/]\d+[-/]\d+)
    | (?P<julian>[Jj]\d{1,9})(?!\w)
    | (?P<number>\d+(?:\.\d*)?|\.\d+)
    | (?P<zone>[+-]\s*\d{1,2}(?::?\d{2})?(?::?\d{2})?(?![\d:]))
    | (?P<posix>[A-Za-z]{3,}[+-]?\d{1,2}[A-Za-z]{3,})(?![A-Za-z0-9])
    | (?P<word>[+-]?[A-Za-z][A-Za-z_]*(?:/[A-Za-z][A-Za-z0-9_+/-]*)?
        (?:[+-]?\d{1,2}(?::\d{2})?(?=$|\s))?)
    | (?P<skip>[,.()\[\];@]+|-(?=\s|$))
    )""",
    re.VERBOSE | re.ASCII,
)
_TEXT_MAX: Final = 150  # MAXDATELEN and working space: longer texts are no dates


@dataclass(slots=True)
class Moment:
    """What was written; `None` where nothing was. `zone_s` is seconds east of UTC."""

    special: str = ""
    year: int | None = None
    month: int | None = None
    day: int | None = None
    julian: int | None = None
    day_of_year: int | None = None
    time: int | None = None  # microseconds
    zone_s: int | None = None
    zone: Zone | None = None
    bc: bool = False
    two_digit_year: bool = False
    text_month: bool = False
    half: str = ""  # am or pm

    def days(self, text: str) -> int:
        """The date written; 22008 when there is no such day."""
        if self.julian is not None:
            return self.julian - 2_451_545
        if self.year is None:
            raise _bad(text)
        year = self.year
        if self.two_digit_year and not self.bc:
            year += 2000 if year < 70 else 1900
        if self.bc:
            if year <= 0:
                raise field_overflow(text)
            year = 1 - year
        elif year <= 0:
            raise field_overflow(text)
        if self.day_of_year is not None:
            if self.day_of_year > 365 + (days_in_month(year, 2) == 29):
                raise field_overflow(text)
            return days_from_civil(year, 1, 1) + self.day_of_year - 1
        if self.month is None or self.day is None:
            raise _bad(text)
        if not 1 <= self.month <= 12 or not 1 <= self.day <= 31:
            raise field_overflow(text, order=True)
        if self.day > days_in_month(year, self.month):
            raise field_overflow(text)
        return days_from_civil(year, self.month, self.day)

    @property
    def has_date(self) -> bool:
        return self.julian is not None or self.year is not None


class BadDateError(Exception):
    """The text is no date or time; the caller knows which type to name."""


def _bad(text: str) -> BadDateError:
    return BadDateError(text)


def field_overflow(text: str, *, order: bool = False) -> SqlError:
    """22008; `order` when another DateStyle might read it."""
    return SqlError(
        "22008",
        f'date/time field value out of range: "{text}"',
        hint='Perhaps you need a different "datestyle" setting.' if order else None,
    )


def parse_datetime(text: str, ctx: EvalContext) -> Moment:
    """The fields in a text; BadDateError, or SqlError 22008, 22009, 22023."""
    if len(text) > _TEXT_MAX:
        raise _bad(text)
    moment = Moment()
    order = ctx.styles.date_order
    tokens = _split(text)
    if not tokens:
        raise _bad(text)
    # Month names first: numbers read differently beside one.
    moment.text_month = any(
        (kind == "word" and token.lower().rstrip(".") in MONTH_WORDS)
        or (kind == "date" and any(char.isalpha() for char in token))
        for kind, token in tokens
    )
    for position, (kind, token) in enumerate(tokens):
        if kind == "time":
            _read_time(moment, token, text)
        elif kind == "date":
            _read_date(moment, token, text, order)
        elif kind == "number":
            _read_number(moment, token, text, order)
        elif kind == "zone":
            _read_offset(moment, token, text)
        elif kind == "posix":
            _read_zone(moment, token, text, first=position == 0)
        elif kind == "julian":
            moment.julian = int(token[1:])
        else:
            _read_word(moment, token, text, first=position == 0)
    _apply_half(moment, text)
    return moment


def _split(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    at = 0
    end = len(text.rstrip())
    text = _separate_t(text)
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise _bad(text)
        kind = match.lastgroup
        assert kind is not None
        if kind != "skip":
            tokens.append((kind, match[kind]))
        at = match.end()
    return tokens


_ISO_T: Final = re.compile(r"(?<=\d)[tT](?=\d)")
_HALF_OFFSET: Final = re.compile(r"(?<=[ap]m)(?=[+-]\d)", re.IGNORECASE)
_LETTER_SUFFIX: Final = re.compile(r"(?<=\d)(?=(?:am|pm|bc|ad|z|utc|gmt)\b)", re.IGNORECASE)


def _separate_t(text: str) -> str:
    """Puts a space where ISO 8601 has T, and before letters stuck to a time."""
    return _HALF_OFFSET.sub(" ", _LETTER_SUFFIX.sub(" ", _ISO_T.sub(" ", text, count=1)))


def _read_time(moment: Moment, token: str, text: str) -> None:
    if moment.time is not None:
        raise _bad(text)
    parts = token.split(":")
    if len(parts) == 2 and "." in parts[1]:
        parts = ["0", *parts]  # mm:ss.fff
    seconds, _, fraction = (parts[2] if len(parts) == 3 else "0").partition(".")
    hour, minute, second = int(parts[0]), int(parts[1] or "0"), int(seconds or "0")
    _set_time(moment, hour, minute, second, fraction_us(fraction), text)


def fraction_us(digits: str) -> int:
    """Microseconds of a decimal fraction's digits, rounded half to even."""
    return round(float(f"0.{digits}") * 1_000_000) if digits else 0


def _set_time(moment: Moment, hour: int, minute: int, second: int, us: int, text: str) -> None:
    if minute > 59 or second > 60 or hour > 24 or (hour == 24 and (minute or second or us)):
        raise field_overflow(text)
    moment.time = time_us(hour, minute, second, us)


def _read_date(moment: Moment, token: str, text: str, order: str) -> None:
    if moment.year is not None and moment.day is not None:
        # A date's year has come before: this can only be a zone such as -08, which is no date.
        raise _bad(text)
    parts = re.split(r"[-/.]", token)
    # The month's name first: the numbers beside it are read by it.
    for part in parts:
        if not part.isdigit():
            month = MONTH_WORDS.get(part.lower())
            if month is None or moment.month is not None:
                raise _bad(text)
            moment.month = month
    for part in parts:
        if part.isdigit():
            _place_number(moment, part, text, order)


def _read_number(moment: Moment, token: str, text: str, order: str) -> None:
    whole, dot, fraction = token.partition(".")
    if dot:
        if (len(whole) == 6 and moment.has_date) or len(whole) == 14:
            _read_packed(moment, whole, text)
            assert moment.time is not None
            moment.time += fraction_us(fraction)
            return
        if fraction and (moment.julian is not None or whole == ""):
            raise _bad(text)
        if len(whole) <= 6 and fraction.isdigit() and moment.year is None and len(fraction) == 3:
            moment.year, moment.day_of_year = int(whole), int(fraction)
            return
        raise _bad(text)
    if len(whole) >= 6 or _is_dated(moment):
        _read_packed(moment, whole, text)
    else:
        _place_number(moment, whole, text, order)


def _is_dated(moment: Moment) -> bool:
    """Whether the date is complete: a number is a time then."""
    return (
        moment.julian is not None
        or moment.day_of_year is not None
        or (moment.year is not None and moment.day is not None)
    )


def _read_packed(moment: Moment, digits: str, text: str) -> None:
    """A run of digits: a date, a time, or both."""
    if not _is_dated(moment):
        if len(digits) == 14:
            _read_packed(moment, digits[:8], text)
            _read_packed(moment, digits[8:], text)
        elif len(digits) >= 6 and moment.month is None:
            moment.year = int(digits[:-4])
            moment.month, moment.day = int(digits[-4:-2]), int(digits[-2:])
            moment.two_digit_year = len(digits) == 6
        else:
            raise _bad(text)
        return
    if moment.time is not None:
        raise _bad(text)
    if len(digits) == 6:
        _set_time(moment, int(digits[:2]), int(digits[2:4]), int(digits[4:]), 0, text)
    elif len(digits) == 4:
        _set_time(moment, int(digits[:2]), int(digits[2:]), 0, 0, text)
    else:
        raise _bad(text)


def _place_number(moment: Moment, digits: str, text: str, order: str) -> None:
    """One number of a date, by what is known already and by DateStyle's order."""
    value = int(digits) if len(digits) < 9 else 999_999_999
    long = len(digits) >= 3
    year, month, day = moment.year is not None, moment.month is not None, moment.day is not None
    field = "day"
    if year and not month and not day and len(digits) == 3 and 1 <= value <= 366:
        moment.day_of_year = value
        return
    if not (year or month or day):
        field = "year" if long or order == "YMD" else ("day" if order == "DMY" else "month")
    elif year and not month and not day:
        field = "month"
    elif month and not year and not day:
        if moment.text_month and (long or order == "YMD"):
            field = "year"
    elif year and month and not day:
        if moment.text_month and long and moment.two_digit_year:
            moment.day, moment.year, moment.two_digit_year = moment.year, value, False
            return
    elif day and not month:
        field = "month"
    elif month and day and not year:
        field = "year"
    else:
        raise _bad(text)
    if field == "year":
        moment.year = value
        moment.two_digit_year = len(digits) <= 2
    elif field == "month":
        moment.month = value
    else:
        moment.day = value


def _read_offset(moment: Moment, token: str, text: str) -> None:
    if moment.zone_s is not None or moment.zone is not None:
        if moment.zone_s is None:
            raise _bad(text)
        moment.zone_s += offset_seconds(token, text)
        return
    if not (moment.has_date or moment.time is not None):
        raise _bad(text)
    moment.zone_s = offset_seconds(token, text)


def offset_seconds(token: str, text: str) -> int:
    """Seconds east of UTC of +hh, +hhmm, +hh:mm or +hh:mm:ss; 22009."""
    sign = -1 if token[0] == "-" else 1
    body = token[1:].strip()
    if ":" in body:
        parts = [int(part) for part in body.split(":")]
    else:
        parts = [int(body[:-2]), int(body[-2:])] if len(body) > 2 else [int(body)]
    hours, minutes, seconds = (*parts, 0, 0)[:3]
    if hours > 15 or minutes > 59 or seconds > 59:
        raise SqlError("22009", f'time zone displacement out of range: "{text}"')
    return sign * (hours * 3600 + minutes * 60 + seconds)


def _read_word(moment: Moment, token: str, text: str, *, first: bool) -> None:
    word = token.lower()
    if word in MONTH_WORDS:
        if moment.month is not None:
            # a number was taken for the month: it was the day
            if moment.day is not None or not moment.text_month:
                raise _bad(text)
            moment.day = moment.month
        moment.month = MONTH_WORDS[word]
    elif word in ("am", "pm"):
        moment.half = word
    elif word in ("bc", "ad"):
        moment.bc = word == "bc"
    elif word in WEEKDAY_WORDS or word in ("at", "on", "t"):
        return
    elif word in SPECIAL_WORDS or word == "allballs":
        _read_special(moment, word, text)
    elif word in ("z", "zulu"):
        moment.zone_s = 0
    elif word == "dst":
        moment.zone_s = (moment.zone_s or 0) + 3600
    else:
        _read_zone(moment, token, text, first=first)


def _read_special(moment: Moment, word: str, text: str) -> None:
    if word == "allballs":
        moment.time, moment.zone_s = 0, 0
        return
    if moment.special or moment.has_date:
        raise _bad(text)
    moment.special = word.lstrip("+")


def _read_zone(moment: Moment, token: str, text: str, *, first: bool) -> None:
    if first or moment.zone is not None or moment.zone_s is not None:
        raise _bad(text)
    known = zone_abbreviations().get(token.lower())
    if known is not None:
        moment.zone_s = known[0]
        return
    zone = find_zone(token)
    if zone is None:
        if "/" in token:
            raise SqlError("22023", f'time zone "{token.lower()}" not recognized')
        raise _bad(text)
    moment.zone = zone


def _apply_half(moment: Moment, text: str) -> None:
    if not moment.half:
        return
    if moment.time is None:
        raise _bad(text)
    hour = moment.time // 3_600_000_000
    if hour > 12:
        raise field_overflow(text)
    if moment.half == "pm" and hour != 12:
        moment.time += 12 * 3_600_000_000
    elif moment.half == "am" and hour == 12:
        moment.time -= 12 * 3_600_000_000
