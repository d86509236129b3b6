"""to_char of timestamps and intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.calendar import (
    JULIAN_2000,
    MONTHS,
    TIMESTAMP_INFINITY,
    TIMESTAMP_MINUS_INFINITY,
    US_PER_DAY,
    US_PER_SECOND,
    WEEKDAYS,
    civil_from_days,
    day_of_year,
    days_from_civil,
    iso_week,
    split_us,
    weekday,
)
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms
from heliosd.types.template_datetime import (
    Piece,
    ordinal_suffix,
    roman_month,
    split_template,
)

forms: Final = Forms()


@dataclass(slots=True)
class Shown:
    """The fields of one value; `days` None for an interval."""

    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int
    fraction: int
    days: int | None = None
    zone: str = ""
    offset_s: int = 0


@forms.function("to_char(timestamp,text)", needs_context=True)
def to_char_timestamp(ctx: EvalContext, us: int, template: str) -> str | None:
    """A timestamp by a template; NULL for an infinite one."""
    if not template or us in (TIMESTAMP_INFINITY, TIMESTAMP_MINUS_INFINITY):
        return None
    return _render(_fields(us), template)


@forms.function("to_char(timestamptz,text)", needs_context=True)
def to_char_timestamptz(ctx: EvalContext, us: int, template: str) -> str | None:
    """A timestamptz in the session's zone."""
    if not template or us in (TIMESTAMP_INFINITY, TIMESTAMP_MINUS_INFINITY):
        return None
    zone = ctx.styles.zone
    offset = zone.offset_at(us)
    fields = _fields(us + offset * US_PER_SECOND)
    fields.zone, fields.offset_s = zone.abbreviation_at(us), offset
    return _render(fields, template)


@forms.function("to_char(interval,text)")
def to_char_interval(value: tuple[int, int, int], template: str) -> str | None:
    """An interval by a template; 22007 for fields that only dates have."""
    if not template:
        return None
    months, days, us = value
    sign = -1 if us < 0 else 1
    hour, minute, second, fraction = (sign * part for part in split_us(abs(us)))
    years = int(months / 12)
    return _render(
        Shown(years, months - years * 12, days, hour, minute, second, fraction), template
    )


def _fields(us: int) -> Shown:
    days, time = divmod(us, US_PER_DAY)
    return Shown(*civil_from_days(days), *split_us(time), days=days)


def _render(fields: Shown, template: str) -> str:
    return "".join(_piece(fields, piece) for piece in split_template(template))


def _number(value: int, width: int, piece: Piece) -> str:
    if piece.fill:
        text = str(value)
    else:
        text = f"{value:0{width + (value < 0)}d}"
    return text + (ordinal_suffix(value, piece.ordinal) if piece.ordinal else "")


def _name(name: str, piece: Piece, width: int) -> str:
    keyword = piece.keyword
    if keyword.isupper():
        name = name.upper()
    elif keyword.islower():
        name = name.lower()
    return name if piece.fill or piece.localized else name.ljust(width)


def _date(fields: Shown) -> int:
    if fields.days is None:
        raise SqlError(
            "22007",
            "invalid format specification for an interval value",
            hint="Intervals are not tied to specific calendar dates.",
        )
    return fields.days


def _era_year(year: int, *, interval: bool) -> int:
    return year if interval or year > 0 else 1 - year


def _piece(fields: Shown, piece: Piece) -> str:
    if not piece.keyword:
        return piece.text
    keyword = piece.keyword.upper()
    writer = _WRITERS.get(keyword)
    assert writer is not None, keyword
    return writer(fields, piece)


def _half_day(fields: Shown, piece: Piece) -> str:
    dots = "." in piece.keyword
    text = "pm" if fields.hour % 24 >= 12 else "am"
    text = f"{text[0]}.{text[1]}." if dots else text
    return text.upper() if piece.keyword[0].isupper() else text


def _era(fields: Shown, piece: Piece) -> str:
    _date(fields)
    dots = "." in piece.keyword
    text = "bc" if fields.year <= 0 else "ad"
    text = f"{text[0]}.{text[1]}." if dots else text
    return text.upper() if piece.keyword[0].isupper() else text


def _hour12(fields: Shown, piece: Piece) -> str:
    hour = fields.hour
    sign = -1 if hour < 0 else 1
    rest = abs(hour) % 12
    return _number(sign * (rest or 12), 2, piece)


def _fraction(digits: int) -> Callable[[Shown, Piece], str]:
    def write(fields: Shown, piece: Piece) -> str:
        value = fields.fraction // 10 ** (6 - digits)
        text = f"{value:0{digits}d}"
        return text + (ordinal_suffix(value, piece.ordinal) if piece.ordinal else "")

    return write


def _year(digits: int) -> Callable[[Shown, Piece], str]:
    def write(fields: Shown, piece: Piece) -> str:
        year = _era_year(fields.year, interval=fields.days is None)
        return _number(year if digits == 4 else year % 10**digits, digits, piece)

    return write


def _iso_year(digits: int) -> Callable[[Shown, Piece], str]:
    def write(fields: Shown, piece: Piece) -> str:
        year, _ = iso_week(_date(fields))
        year = _era_year(year, interval=False)
        return _number(year if digits == 4 else year % 10**digits, digits, piece)

    return write


def _comma_year(fields: Shown, piece: Piece) -> str:
    thousands, rest = divmod(_era_year(fields.year, interval=fields.days is None), 1000)
    text = f"{thousands},{rest:03d}"
    return text + (ordinal_suffix(rest, piece.ordinal) if piece.ordinal else "")


def _century(fields: Shown, piece: Piece) -> str:
    year = fields.year
    if fields.days is None:
        value = int(year / 100)
    else:
        value = (year + 99) // 100 if year > 0 else -((-year + 100) // 100)
    width = 2 if -99 <= value <= 99 else 3
    return _number(value, width, piece)


def _quarter(fields: Shown, piece: Piece) -> str:
    return _number((fields.month - 1) // 3 + 1, 1, piece) if fields.month else ""


def _month_name(width: int) -> Callable[[Shown, Piece], str]:
    def write(fields: Shown, piece: Piece) -> str:
        _date(fields)
        name = MONTHS[fields.month - 1]
        return _name(name if width == 9 else name[:3], piece, width)

    return write


def _day_name(width: int) -> Callable[[Shown, Piece], str]:
    def write(fields: Shown, piece: Piece) -> str:
        name = WEEKDAYS[weekday(_date(fields))]
        return _name(name if width == 9 else name[:3], piece, width)

    return write


def _roman(fields: Shown, piece: Piece) -> str:
    month = fields.month
    if fields.days is None:
        # an interval: months count from the year's end when they are negative
        if not month and not fields.year:
            return ""
        if not month:
            month = 12 if fields.year >= 0 else 1
        elif month < 0:
            month += 13
    text = roman_month(month)
    text = text if piece.keyword[0].isupper() else text.lower()
    return text if piece.fill else text.ljust(4)


def _zone_name(fields: Shown, piece: Piece) -> str:
    _date(fields)
    return fields.zone if piece.keyword[0].isupper() else fields.zone.lower()


def _zone_offset(fields: Shown, piece: Piece) -> str:
    _date(fields)
    sign = "-" if fields.offset_s < 0 else "+"
    hours, rest = divmod(abs(fields.offset_s), 3600)
    width = 1 if piece.fill else 2
    text = f"{sign}{hours:0{width}d}"
    return f"{text}:{rest // 60:02d}" if rest // 60 else text


def _zone_hours(fields: Shown, piece: Piece) -> str:
    _date(fields)
    return f"{'-' if fields.offset_s < 0 else '+'}{abs(fields.offset_s) // 3600:02d}"


def _zone_minutes(fields: Shown, piece: Piece) -> str:
    _date(fields)
    return f"{abs(fields.offset_s) % 3600 // 60:02d}"


def _seconds_of_day(fields: Shown, piece: Piece) -> str:
    value = fields.hour * 3600 + fields.minute * 60 + fields.second
    return f"{value}" + (ordinal_suffix(value, piece.ordinal) if piece.ordinal else "")


def _iso_day_of_year(fields: Shown) -> int:
    days = _date(fields)
    year, _ = iso_week(days)
    fourth = days_from_civil(year, 1, 4)
    monday = fourth - (weekday(fourth) + 6) % 7
    return days - monday + 1


_WRITERS: Final[dict[str, Callable[[Shown, Piece], str]]] = {
    **dict.fromkeys(("AM", "PM", "A.M.", "P.M."), _half_day),
    **dict.fromkeys(("AD", "BC", "A.D.", "B.C."), _era),
    "HH": _hour12,
    "HH12": _hour12,
    "HH24": lambda fields, piece: _number(fields.hour, 2, piece),
    "MI": lambda fields, piece: _number(fields.minute, 2, piece),
    "SS": lambda fields, piece: _number(fields.second, 2, piece),
    "MS": _fraction(3),
    "US": _fraction(6),
    **{f"FF{digits}": _fraction(digits) for digits in range(1, 7)},
    "SSSS": _seconds_of_day,
    "SSSSS": _seconds_of_day,
    "YYYY": _year(4),
    "YYY": _year(3),
    "YY": _year(2),
    "Y": _year(1),
    "Y,YYY": _comma_year,
    "IYYY": _iso_year(4),
    "IYY": _iso_year(3),
    "IY": _iso_year(2),
    "I": _iso_year(1),
    "MONTH": _month_name(9),
    "MON": _month_name(3),
    "MM": lambda fields, piece: _number(fields.month, 2, piece),
    "DAY": _day_name(9),
    "DY": _day_name(3),
    "DDD": lambda fields, piece: _number(
        fields.year * 360 + fields.month * 30 + fields.day
        if fields.days is None
        else day_of_year(fields.days),
        3,
        piece,
    ),
    "IDDD": lambda fields, piece: _number(_iso_day_of_year(fields), 3, piece),
    "DD": lambda fields, piece: _number(fields.day, 2, piece),
    "D": lambda fields, piece: _number(weekday(_date(fields)) + 1, 1, piece),
    "ID": lambda fields, piece: _number(weekday(_date(fields)) or 7, 1, piece),
    "W": lambda fields, piece: _number((fields.day - 1) // 7 + 1, 1, piece),
    "WW": lambda fields, piece: _number((day_of_year(_date(fields)) - 1) // 7 + 1, 2, piece),
    "IW": lambda fields, piece: _number(iso_week(_date(fields))[1], 2, piece),
    "Q": _quarter,
    "CC": _century,
    "J": lambda fields, piece: _number(_date(fields) + JULIAN_2000, 1, piece),
    "RM": _roman,
    "TZ": _zone_name,
    "TZH": _zone_hours,
    "TZM": _zone_minutes,
    "OF": _zone_offset,
    "FX": lambda fields, piece: "",
}
