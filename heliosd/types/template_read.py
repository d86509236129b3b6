"""Reading dates and times by a template, for to_date, to_timestamp and jsonpath's datetime().

Plain reading is lenient about spaces and separators; FX and `standard` (SQL/JSON's) reading are
exact. What is read first are the template's own fields, then a date and a time are made of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.calendar import (
    JULIAN_2000,
    MONTHS,
    US_PER_DAY,
    US_PER_SECOND,
    WEEKDAYS,
    civil_from_days,
    days_from_civil,
    days_in_month,
    iso_week_start,
    time_us,
)
from heliosd.types.template_datetime import Piece, split_template

_INT4_MAX: Final = 2_147_483_647
_FILL_HINT: Final = 'If your source string is not fixed-width, try using the "FM" modifier.'
# Keywords whose text is not a run of digits: the number before one may take all its digits.
_WORDS: Final = frozenset(
    {"A.D.", "A.M.", "AD", "AM", "B.C.", "BC", "DAY", "DY", "FX", "MONTH", "MON", "OF", "P.M.",
     "PM", "RM", "TZ", "TZH"}
)  # fmt: skip
_GREGORIAN: Final = frozenset(
    {"DDD", "DD", "D", "MM", "MONTH", "MON", "RM", "WW", "W", "Y,YYY", "YYYY", "YYY", "YY", "Y"}
)
_ISO: Final = frozenset({"ID", "IDDD", "IW", "IYYY", "IYY", "IY", "I"})
_TIMED: Final = frozenset(
    {"A.M.", "AM", "P.M.", "PM", "HH", "HH12", "HH24", "MI", "SS", "MS", "US", "SSSS", "SSSSS"}
    | {f"FF{digits}" for digits in range(1, 7)}
)
_ZONED: Final = frozenset({"TZ", "OF", "TZH", "TZM"})
_ROMAN: Final = ("XII", "XI", "X", "IX", "VIII", "VII", "VI", "V", "IV", "III", "II", "I")
_COMMA_YEAR: Final = re.compile(r"\s*([+-]?[0-9]+),\s*([+-]?[0-9]{1,3})", re.ASCII)
_INTEGER: Final = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)", re.ASCII)
_STANDARD_SEPARATORS: Final = "-./,':; "


@dataclass(frozen=True, slots=True)
class ReadMoment:
    """What a text said: days since 2000-01-01, microseconds of the day, and the zone written.

    `zone_s` is seconds east of UTC. The flags tell what kinds of fields the template has."""

    days: int
    us: int
    zone_s: int | None
    precision: int
    dated: bool
    timed: bool
    zoned: bool

    @property
    def local_us(self) -> int:
        return self.days * US_PER_DAY + self.us


@dataclass(slots=True)
class _State:
    text: str
    at: int = 0
    extra: int = 0  # characters of the text skipped beyond the template's
    exact: bool = False
    mode: str = ""
    fields: dict[str, int] = field(default_factory=dict)
    year_digits: int = 0
    clock_12: bool = False
    zone_sign: int = 0
    precision: int = 0


def _bad(message: str, detail: str | None = None, hint: str | None = None) -> SqlError:
    return SqlError("22007", message, detail=detail, hint=hint)


def _flat(pieces: Sequence[Piece]) -> list[Piece]:
    """A piece for each character of literal text."""
    flat = []
    for piece in pieces:
        if piece.keyword:
            flat.append(piece)
            continue
        flat.extend(
            Piece("", char, quoted=piece.quoted, separator=not piece.quoted and piece.separator)
            for char in piece.text
        )
    return flat


def _skip_spaces(state: _State) -> int:
    start = state.at
    while state.at < len(state.text) and state.text[state.at] in " \t\n\v\f\r":
        state.at += 1
    return state.at - start


def _is_separator(char: str) -> bool:
    return " " < char < "\x7f" and not char.isalnum()


def _scan(text: str, pieces: list[Piece], *, standard: bool) -> _State:
    state = _State(text, exact=standard)
    used = 0
    for index, piece in enumerate(pieces):
        if state.at >= len(text):
            break
        keyword = piece.keyword.upper()
        if not state.exact and keyword != "FX" and (keyword or index == 0):
            state.extra += _skip_spaces(state)
        used = index + 1
        if not keyword:
            _literal(state, piece, standard=standard)
            continue
        _set_mode(state, keyword)
        _field(state, piece, keyword, pieces[index + 1] if index + 1 < len(pieces) else None)
        if not state.exact:
            state.extra = _skip_spaces(state)
    if standard:
        if used < len(pieces):
            raise _bad("input string is too short for datetime format")
        _skip_spaces(state)
        if state.at < len(text):
            raise _bad("trailing characters remain in input string after datetime format")
    return state


def _literal(state: _State, piece: Piece, *, standard: bool) -> None:
    here = state.text[state.at]
    if piece.separator:
        if standard:
            if here != piece.text:
                raise _bad(f'unmatched format separator "{piece.text}"')
            state.at += 1
        elif not state.exact:
            if here in " \t\n\v\f\r" or _is_separator(here):
                state.at += 1
            else:
                state.extra -= 1
        else:
            state.at += 1
        return
    if not state.exact and state.extra > 0:
        # spaces skipped already stand for this character
        state.extra -= 1
        return
    if standard and here != piece.text:
        raise _bad(f'unmatched format character "{piece.text}"')
    state.at += 1


def _set_mode(state: _State, keyword: str) -> None:
    mode = "gregorian" if keyword in _GREGORIAN else "iso" if keyword in _ISO else ""
    if mode and state.mode and mode != state.mode:
        raise _bad(
            "invalid combination of date conventions",
            hint="Do not mix Gregorian and ISO week date conventions in a formatting template.",
        )
    state.mode = state.mode or mode


def _set(state: _State, name: str, value: int, piece: Piece) -> None:
    known = state.fields.get(name, 0)
    if known not in (0, value):
        raise _bad(
            f'conflicting values for "{piece.keyword}" field in formatting string',
            "This value contradicts a previous setting for the same field type.",
        )
    state.fields[name] = value


# ------------------------------------------------------------ one field


def _next_is_no_digit(piece: Piece, following: Piece | None) -> bool:
    if piece.ordinal or following is None:
        return True
    if following.keyword:
        return following.keyword.upper() in _WORDS
    return not (following.text.isascii() and following.text.isdigit())


def _number(state: _State, name: str, piece: Piece, following: Piece | None, width: int = 0) -> int:
    """Reads an integer into field `name` ("" for none); how many characters it took."""
    width = width or len(piece.keyword)
    start = state.at
    after_space = start + _skip_spaces(state)
    shown = state.text[after_space : after_space + width]
    if piece.fill or _next_is_no_digit(piece, following):
        match = _INTEGER.match(state.text, start)
        state.at = start if match is None else match.end()
        value = 0 if match is None else int(match[1][:20])
    else:
        remain = len(state.text.encode()) - len(state.text[:after_space].encode())
        if remain < width:
            raise _bad(
                f'source string too short for "{piece.keyword}" formatting field',
                f"Field requires {width} characters, but only {remain} remain.",
                _FILL_HINT,
            )
        match = _INTEGER.match(shown)
        used = 0 if match is None else match.end()
        if 0 < used < width:
            raise _bad(
                f'invalid value "{shown}" for "{piece.keyword}"',
                f"Field requires {width} characters, but only {used} could be parsed.",
                _FILL_HINT,
            )
        state.at = after_space + used
        value = 0 if match is None else int(match[1])
    if state.at == start:
        raise _bad(f'invalid value "{shown}" for "{piece.keyword}"', "Value must be an integer.")
    if not -_INT4_MAX - 1 <= value <= _INT4_MAX:
        raise SqlError(
            "22008",
            f'value for "{piece.keyword}" in source string is out of range',
            detail="Value must be in the range -2147483648 to 2147483647.",
        )
    if name:
        _set(state, name, value, piece)
    return state.at - start


def _search(state: _State, piece: Piece, words: Sequence[str]) -> int:
    """Which word stands here, without regard to case."""
    lower = state.text[state.at :].lower()
    for number, word in enumerate(words):
        if lower.startswith(word.lower()):
            state.at += len(word)
            return number
    rest = state.text[state.at :]
    shown = re.split(r"[ \t\n\r\f]", rest, maxsplit=1)[0]
    raise _bad(
        f'invalid value "{shown}" for "{piece.keyword}"',
        "The given value did not match any of the allowed values for this field.",
    )


_SIMPLE: Final = {
    "HH24": "hour", "MI": "minute", "SS": "second", "SSSS": "ssss", "SSSSS": "ssss", "MM": "month",
    "DDD": "yearday", "DD": "day", "D": "weekday", "WW": "week", "IW": "week", "Q": "",
    "CC": "century", "W": "monthweek", "J": "julian",
}  # fmt: skip
_YEARS: Final = {"YYYY": 4, "IYYY": 4, "YYY": 3, "IYY": 3, "YY": 2, "IY": 2, "Y": 1, "I": 1}


def _field(state: _State, piece: Piece, keyword: str, following: Piece | None) -> None:
    match keyword:
        case "FX":
            state.exact = True
            return
        case "TZ" | "OF":
            raise SqlError(
                "0A000", f'formatting field "{piece.keyword}" is only supported in to_char'
            )
        case "TZH":
            _zone_hour(state, piece, following)
            return
        case "TZM":
            state.zone_sign = state.zone_sign or 1
            _number(state, "zone_minute", piece, following, 2)
            return
        case "Y,YYY":
            match = _COMMA_YEAR.match(state.text, state.at)
            if match is None:
                raise _bad('invalid input string for "Y,YYY"')
            _set(state, "year", int(match[2]) + int(match[1]) * 1000, piece)
            state.year_digits = 4
            state.at = match.end()
        case "HH" | "HH12":
            _number(state, "hour", piece, following, 2)
            state.clock_12 = True
        case "HH24":
            _number(state, "hour", piece, following, 2)
        case "IDDD":
            _number(state, "yearday", piece, following, 3)
        case "ID":
            _number(state, "weekday", piece, following, 1)
            state.fields["weekday"] = state.fields["weekday"] % 7 + 1
        case _ if keyword in _SIMPLE:
            _number(state, _SIMPLE[keyword], piece, following)
        case _ if keyword in _YEARS:
            _year(state, piece, keyword, following)
        case _ if keyword in ("MS", "US") or keyword.startswith("FF"):
            _fraction(state, piece, keyword, following)
        case _:
            _word(state, piece, keyword)
            return
    if piece.ordinal:
        state.at = min(state.at + 2, len(state.text))


def _zone_hour(state: _State, piece: Piece, following: Piece | None) -> None:
    here = state.text[state.at]
    if here in "+- ":
        state.zone_sign = -1 if here == "-" else 1
        state.at += 1
    else:
        # the minus may have been taken for a separator
        taken = state.extra > 0 and state.text[state.at - 1 : state.at] == "-"
        state.zone_sign = -1 if taken else 1
    _number(state, "zone_hour", piece, following, 2)


def _year(state: _State, piece: Piece, keyword: str, following: Piece | None) -> None:
    digits = _number(state, "year", piece, following)
    width = _YEARS[keyword]
    if width < 4 and digits < 4:
        state.fields["year"] = near_2020(state.fields["year"])
    state.year_digits = width


def _fraction(state: _State, piece: Piece, keyword: str, following: Piece | None) -> None:
    if keyword.startswith("FF"):
        state.precision = width = int(keyword[2:])
        name = "us"
    else:
        width, name = (3, "ms") if keyword == "MS" else (6, "us")
    digits = _number(state, name, piece, following, width)
    whole = 3 if name == "ms" else 6
    state.fields[name] *= 10 ** max(whole - digits, 0)


def _word(state: _State, piece: Piece, keyword: str) -> None:
    match keyword:
        case "AM" | "PM" | "A.M." | "P.M.":
            words = ("a.m.", "p.m.") if "." in keyword else ("am", "pm")
            _set(state, "pm", _search(state, piece, words), piece)
            state.clock_12 = True
        case "AD" | "BC" | "A.D." | "B.C.":
            words = ("a.d.", "b.c.") if "." in keyword else ("ad", "bc")
            _set(state, "bc", _search(state, piece, words), piece)
        case "MONTH":
            _set(state, "month", _search(state, piece, MONTHS) + 1, piece)
        case "MON":
            short = [name[:3] for name in MONTHS]
            _set(state, "month", _search(state, piece, short) + 1, piece)
        case "DAY":
            _set(state, "weekday", _search(state, piece, WEEKDAYS), piece)
            state.fields["weekday"] += 1
        case "DY":
            short = [name[:3] for name in WEEKDAYS]
            _set(state, "weekday", _search(state, piece, short), piece)
            state.fields["weekday"] += 1
        case _:  # RM
            _set(state, "month", 12 - _search(state, piece, _ROMAN), piece)


def near_2020(year: int) -> int:
    """A year of fewer than four digits: the one nearest to 2020."""
    if year < 70:
        return year + 2000
    if year < 100:
        return year + 1900
    if year < 520:
        return year + 2000
    return year + 1000 if year < 1000 else year


# ------------------------------------------------------------ fields to a moment


def _overflow(text: str) -> SqlError:
    return SqlError("22008", f'date/time field value out of range: "{text}"')


def _year_of(state: _State) -> int:
    fields = state.fields
    year, century = fields.get("year", 0), fields.get("century", 0)
    bc = bool(fields.get("bc"))
    if century and bc and (not year or state.year_digits <= 2):
        century = -century
    if year:
        if century and state.year_digits <= 2:
            low = int(year - int(year / 100) * 100)
            if not low:
                return century * 100 + (0 if century >= 0 else 1)
            return low + (century - 1) * 100 if century >= 0 else (century + 1) * 100 - low + 1
        year = -year if bc else year
        return year + 1 if year < 0 else year
    if century:
        return (century - 1) * 100 + 1 if century >= 0 else century * 100 + 1
    return 0


def _days_of(state: _State) -> int:
    fields = state.fields
    year, month, day = _year_of(state), 1, 1
    whole: int | None = None  # a day that no month and day were given for
    if fields.get("julian"):
        whole = fields["julian"] - JULIAN_2000
    yearday = fields.get("yearday", 0)
    if fields.get("week"):
        if state.mode == "iso":
            whole = iso_week_start(year, fields["week"])
            weekday = fields.get("weekday", 0)
            if weekday:
                whole += weekday - 2 if weekday > 1 else 6
        else:
            yearday = (fields["week"] - 1) * 7 + 1
    if whole is not None:
        year, month, day = civil_from_days(whole)
    if fields.get("monthweek"):
        day = (fields["monthweek"] - 1) * 7 + 1
    elif fields.get("day"):
        day = fields["day"]
    if fields.get("month"):
        month = fields["month"]
    if yearday and (month <= 1 or day <= 1):
        if not year and not fields.get("bc"):
            raise _bad("cannot calculate day of year without year information")
        if state.mode == "iso":
            year, month, day = civil_from_days(iso_week_start(year, 1) + yearday - 1)
        else:
            month, day = _of_yearday(year, yearday, month, day)
    if not 1 <= month <= 12 or not 1 <= day <= days_in_month(year, month):
        raise _overflow(state.text)
    return days_from_civil(year, month, day)


def _of_yearday(year: int, yearday: int, month: int, day: int) -> tuple[int, int]:
    before = 0
    number = 1
    while number <= 12 and yearday > before + days_in_month(year, number):
        before += days_in_month(year, number)
        number += 1
    return (number if month <= 1 else month), (yearday - before if day <= 1 else day)


def _time_of(state: _State) -> int:
    fields = state.fields
    hour, rest = divmod(fields.get("ssss", 0), 3600)
    minute, second = divmod(rest, 60)
    second = fields.get("second", 0) or second
    minute = fields.get("minute", 0) or minute
    hour = fields.get("hour", 0) or hour
    if state.clock_12:
        if not 1 <= hour <= 12:
            raise _bad(
                f'hour "{hour}" is invalid for the 12-hour clock',
                hint="Use the 24-hour clock, or give an hour between 1 and 12.",
            )
        hour = hour % 12 + (12 if fields.get("pm") else 0)
    fraction = fields.get("ms", 0) * 1000 + fields.get("us", 0)
    if not (
        0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60 and 0 <= fraction < US_PER_SECOND
    ):
        raise _overflow(state.text)
    return time_us(hour, minute, second, fraction)


def read_by_template(text: str, template: str, *, standard: bool = False) -> ReadMoment:
    """A text read by a template; 22007, 22008, 0A000."""
    pieces = _flat(split_template(template))
    if standard:
        for piece in pieces:
            if not piece.keyword and not piece.quoted and piece.text not in _STANDARD_SEPARATORS:
                raise _bad(f'invalid datetime format separator: "{piece.text}"')
    state = _scan(text, pieces, standard=standard)
    us = _time_of(state)
    days = _days_of(state)
    zone = None
    if state.zone_sign:
        hours, minutes = state.fields.get("zone_hour", 0), state.fields.get("zone_minute", 0)
        if not (0 <= hours <= 15 and 0 <= minutes < 60):
            raise SqlError("22009", f'time zone displacement out of range: "{text}"')
        zone = state.zone_sign * (hours * 3600 + minutes * 60)
    keywords = {piece.keyword.upper() for piece in pieces if piece.keyword} - {"FX"}
    return ReadMoment(
        days=days,
        us=us,
        zone_s=zone,
        precision=state.precision,
        dated=bool(keywords - _TIMED - _ZONED),
        timed=bool(keywords & _TIMED),
        zoned=bool(keywords & _ZONED),
    )
