"""to_date and to_timestamp: reading by a template."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from heliosd.errors import SqlError
from heliosd.functions.template_datetime import Piece, month_of_roman, split_template
from heliosd.types.calendar import (
    DATE_END,
    DATE_MIN,
    JULIAN_2000,
    MONTHS,
    TIMESTAMP_END,
    TIMESTAMP_MIN,
    US_PER_DAY,
    US_PER_SECOND,
    WEEKDAYS,
    days_from_civil,
    days_in_month,
    iso_week_start,
    time_us,
)
from heliosd.types.context import EvalContext
from heliosd.types.datetime import local_to_utc
from heliosd.types.declare import Forms

forms: Final = Forms()

# How many digits a field has when the next one follows without a separator.
_WIDTHS: Final = {
    "YYYY": 4, "YYY": 3, "YY": 2, "Y": 1, "IYYY": 4, "IYY": 3, "IY": 2, "I": 1, "MM": 2, "DD": 2,
    "DDD": 3, "IDDD": 3, "D": 1, "ID": 1, "WW": 2, "W": 1, "IW": 2, "CC": 2, "Q": 1, "HH": 2,
    "HH12": 2, "HH24": 2, "MI": 2, "SS": 2, "MS": 3, "US": 6, "SSSS": 5, "SSSSS": 5, "TZM": 2,
    "TZH": 2, "J": 9,
    **{f"FF{digits}": digits for digits in range(1, 7)},
}  # fmt: skip
_INT4_MAX: Final = 2_147_483_647


@dataclass(slots=True)
class _Read:
    """The numbers by keyword, and what words said."""

    text: str
    at: int
    fields: dict[str, int]
    half: str = ""
    bc: bool = False
    clock_12: bool = False
    zone_sign: int = 1


def _bad_value(value: str, keyword: str, detail: str) -> SqlError:
    return SqlError("22007", f'invalid value "{value}" for "{keyword}"', detail=detail)


def _read(text: str, template: str) -> _Read:
    pieces = split_template(template)
    state = _Read(text, 0, {})
    exact = any(piece.keyword.upper() == "FX" for piece in pieces)
    for index, piece in enumerate(pieces):
        if not piece.keyword:
            _skip_literal(state, piece, exact=exact)
            continue
        if not exact:
            _skip_spaces(state)
        following = pieces[index + 1] if index + 1 < len(pieces) else None
        if state.at >= len(text):
            break
        _keyword(state, piece, following)
    return state


def _skip_spaces(state: _Read) -> None:
    while state.at < len(state.text) and state.text[state.at].isspace():
        state.at += 1


def _is_separator(char: str) -> bool:
    return char.isascii() and not char.isalnum() and char > " "


def _skip_literal(state: _Read, piece: Piece, *, exact: bool) -> None:
    if piece.separator and not exact:
        # One separator of the text for one of the template, and any spaces around it.
        _skip_spaces(state)
        here = state.text[state.at : state.at + 1]
        if here and _is_separator(here) and not (here in "+-" and piece.text.isspace()):
            state.at += 1
            _skip_spaces(state)
        return
    state.at = min(state.at + len(piece.text), len(state.text))


def _keyword(state: _Read, piece: Piece, following: Piece | None) -> None:
    keyword = piece.keyword.upper()
    rest = state.text[state.at :]
    match keyword:
        case "FX":
            return
        case "AM" | "PM" | "A.M." | "P.M.":
            _half(state, piece, rest)
        case "AD" | "BC" | "A.D." | "B.C.":
            _era(state, piece, rest)
        case "MONTH" | "MON":
            _month(state, piece, rest)
        case "DAY" | "DY":
            _day(state, piece, rest)
        case "RM":
            found = month_of_roman(rest)
            if found is None:
                raise _bad_word(rest, piece.keyword)
            state.fields["MM"] = found[0]
            state.at += found[1]
        case "TZ" | "OF":
            raise SqlError(
                "0A000", f'formatting field "{piece.keyword}" is only supported in to_char'
            )
        case "TZH":
            if rest[0] in "+-":
                state.zone_sign = -1 if rest[0] == "-" else 1
                state.at += 1
            _number(state, piece, following)
        case "Y,YYY":
            match = re.match(r"([0-9]{1,6}),([0-9]{1,3})", rest)
            if match is None:
                raise SqlError("22007", 'invalid input string for "Y,YYY"')
            state.fields["YYYY"] = int(match[1]) * 1000 + int(match[2])
            state.at += match.end()
        case _:
            _number(state, piece, following)


def _bad_word(rest: str, keyword: str) -> SqlError:
    word = rest.split()[0] if rest.split() else rest
    return _bad_value(
        word, keyword, "The given value did not match any of the allowed values for this field."
    )


def _half(state: _Read, piece: Piece, rest: str) -> None:
    words = ("a.m.", "p.m.") if "." in piece.keyword else ("am", "pm")
    for word in words:
        if rest.lower().startswith(word):
            state.half = word[0]
            state.clock_12 = True
            state.at += len(word)
            return
    raise _bad_word(rest, piece.keyword)


def _era(state: _Read, piece: Piece, rest: str) -> None:
    words = ("a.d.", "b.c.") if "." in piece.keyword else ("ad", "bc")
    for word in words:
        if rest.lower().startswith(word):
            state.bc = word[0] == "b"
            state.at += len(word)
            return
    raise _bad_word(rest, piece.keyword)


def _month(state: _Read, piece: Piece, rest: str) -> None:
    lower = rest.lower()
    full = piece.keyword.upper() == "MONTH"
    for number, name in enumerate(MONTHS, 1):
        word = name.lower() if full else name[:3].lower()
        if lower.startswith(word):
            state.fields["MM"] = number
            state.at += len(word)
            return
    raise _bad_word(rest, piece.keyword)


def _day(state: _Read, piece: Piece, rest: str) -> None:
    lower = rest.lower()
    full = piece.keyword.upper() == "DAY"
    for number, name in enumerate(WEEKDAYS):
        word = name.lower() if full else name[:3].lower()
        if lower.startswith(word):
            state.fields["D"] = number + 1
            state.at += len(word)
            return
    raise _bad_word(rest, piece.keyword)


def _number(state: _Read, piece: Piece, following: Piece | None) -> None:
    keyword = piece.keyword.upper()
    width = _WIDTHS[keyword]
    # Digits go on past the width unless another number follows at once.
    bounded = following is not None and following.keyword.upper() in _WIDTHS and not piece.fill
    start = state.at
    at = start
    text = state.text
    if not bounded and text[at : at + 1] in ("+", "-"):
        at += 1
    limit = start + width if bounded else len(text)
    while at < min(limit, len(text)) and text[at].isdigit() and text[at].isascii():
        at += 1
    digits = text[start:at]
    if not digits.lstrip("+-"):
        shown = text[start : start + width]
        raise _bad_value(shown, piece.keyword, "Value must be an integer.")
    if bounded and at - start < width and at < len(text):
        raise SqlError(
            "22007",
            f'invalid value "{text[start : start + width]}" for "{piece.keyword}"',
            detail=f"Field requires {width} characters, but only {at - start} could be parsed.",
            hint='If your source string is not fixed-width, try using the "FM" modifier.',
        )
    value = int(digits) if len(digits) < 12 else _INT4_MAX + 1
    if abs(value) > _INT4_MAX:
        raise SqlError(
            "22008",
            f'value for "{piece.keyword}" in source string is out of range',
            detail="Value must be in the range -2147483648 to 2147483647.",
        )
    state.at = at
    _store(state, keyword, value, len(digits))
    if piece.ordinal:
        state.at = min(state.at + 2, len(text))


def _store(state: _Read, keyword: str, value: int, length: int) -> None:
    if keyword in ("YYY", "YY", "Y"):
        if length < 4:
            value = _near_2020(value, length)
        keyword = "YYYY"
    elif keyword in ("IYY", "IY", "I"):
        if length < 4:
            value = _near_2020(value, length)
        keyword = "IYYY"
    elif keyword in ("HH", "HH12"):
        state.clock_12 = True
        keyword = "HH"
        if not 1 <= value <= 12:
            raise SqlError(
                "22007",
                f'hour "{value}" is invalid for the 12-hour clock',
                hint="Use the 24-hour clock, or give an hour between 1 and 12.",
            )
    elif keyword == "HH24":
        keyword = "HH"
    elif keyword == "MS":
        value *= 10 ** max(3 - length, 0)
        keyword, value = "US", value * 1000
    elif keyword == "US" or keyword.startswith("FF"):
        keyword, value = "US", value * 10 ** max(6 - length, 0)
    elif keyword == "SSSSS":
        keyword = "SSSS"
    state.fields[keyword] = value


def _near_2020(value: int, digits: int) -> int:
    """A year of one to three digits: the one nearest to 2020."""
    if digits <= 2:
        if value < 70:
            return value + 2000
        return value + 1900 if value < 100 else value
    if value < 520:
        return value + 2000
    return value + 1000 if value < 1000 else value


def _out_of_range(text: str) -> SqlError:
    return SqlError("22008", f'date/time field value out of range: "{text}"')


def _year(state: _Read) -> int:
    fields = state.fields
    year = fields.get("YYYY", 0)
    century = fields.get("CC")
    if century is not None:
        if "YYYY" in fields and year:
            year = year % 100 + (century - 1) * 100 if year % 100 else century * 100
        else:
            year = (century - 1) * 100 + 1
    if state.bc and year > 0:
        year = 1 - year
    elif year < 0:
        year += 1
    return year


def _days(state: _Read) -> int:
    fields = state.fields
    if "J" in fields:
        return fields["J"] - JULIAN_2000
    if "IYYY" in fields or "IW" in fields or "IDDD" in fields:
        monday = iso_week_start(fields.get("IYYY", 0), fields.get("IW", 1))
        if "IDDD" in fields:
            return monday + fields["IDDD"] - 1
        weekday = fields.get("ID", (fields.get("D", 2) + 5) % 7 + 1)
        return monday + weekday - 1
    year = _year(state)
    if "DDD" in fields and "MM" not in fields:
        length = 366 if days_in_month(year, 2) == 29 else 365
        if not 1 <= fields["DDD"] <= length:
            raise _out_of_range(state.text)
        return days_from_civil(year, 1, 1) + fields["DDD"] - 1
    if "WW" in fields and "MM" not in fields:
        return days_from_civil(year, 1, 1) + (fields["WW"] - 1) * 7
    month = fields.get("MM", 1)
    day = fields.get("DD", 1)
    if "W" in fields and "DD" not in fields:
        day = (fields["W"] - 1) * 7 + 1
    if not 1 <= month <= 12 or not 1 <= day <= days_in_month(year, month):
        raise _out_of_range(state.text)
    return days_from_civil(year, month, day)


def _time(state: _Read) -> int:
    fields = state.fields
    hour, minute, second = fields.get("HH", 0), fields.get("MI", 0), fields.get("SS", 0)
    if "SSSS" in fields:
        hour, rest = divmod(fields["SSSS"], 3600)
        minute, second = divmod(rest, 60)
    if state.clock_12:
        if hour > 12:
            raise SqlError(
                "22007",
                f'hour "{hour}" is invalid for the 12-hour clock',
                hint="Use the 24-hour clock, or give an hour between 1 and 12.",
            )
        if state.half == "p" and hour < 12:
            hour += 12
        elif state.half == "a" and hour == 12:
            hour = 0
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
        raise _out_of_range(state.text)
    return time_us(hour, minute, second, fields.get("US", 0))


@forms.function("to_date(text,text)")
def to_date(text: str, template: str) -> int:
    """A date written by a template; 22007, 22008."""
    days = _days(_read(text, template))
    if DATE_MIN <= days < DATE_END:
        return days
    raise SqlError("22008", f'date out of range: "{text}"')


@forms.function("to_timestamp(text,text)", needs_context=True)
def to_timestamp(ctx: EvalContext, text: str, template: str) -> int:
    """A timestamptz written by a template, in the session's zone; 22007, 22008."""
    state = _read(text, template)
    us = _days(state) * US_PER_DAY + _time(state)
    if "TZH" in state.fields or "TZM" in state.fields:
        offset = state.fields.get("TZH", 0) * 3600 + state.fields.get("TZM", 0) * 60
        us -= state.zone_sign * offset * US_PER_SECOND
    else:
        us = local_to_utc(us, ctx.styles.zone)
    if TIMESTAMP_MIN <= us < TIMESTAMP_END:
        return us
    raise SqlError("22008", "timestamp out of range")
