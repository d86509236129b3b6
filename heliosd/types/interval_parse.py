"""Reading intervals: PostgreSQL's words, SQL's forms and ISO 8601's.

Fields are read from the right, so that a unit is known before its number. Every sum is checked:
a field that does not fit is 22015, a whole that does not is 22008.
"""

from __future__ import annotations

import math
import re
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.calendar import US_PER_DAY, US_PER_HOUR, US_PER_MINUTE, US_PER_SECOND
from heliosd.types.datetime_tokens import BadDateError, Field, split_fields

Interval = tuple[int, int, int]

_INT4_MIN: Final = -(2**31)
_INT4_MAX: Final = 2**31 - 1
_INT8_MIN: Final = -(2**63)
_INT8_MAX: Final = 2**63 - 1
_WORD_MAX: Final = 10
_CLOCK: Final = frozenset({"hour", "minute", "second", "millisecond", "microsecond"})
_SECONDS: Final = frozenset({"second", "millisecond", "microsecond"})
_MINUTE_TO_SECOND: Final = frozenset({"minute", "second"})
_INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_NUMBER: Final = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)

_UNITS: Final = {
    name: unit
    for unit, names in {
        "microsecond": "microsecon us usec usecond useconds usecs",
        "millisecond": "millisecon ms msec msecond mseconds msecs",
        "second": "s sec second seconds secs",
        "minute": "m min mins minute minutes",
        "hour": "h hour hours hr hrs",
        "day": "d day days",
        "week": "w week weeks",
        "month": "mon mons month months",
        "quarter": "qtr quarter",
        "year": "y year years yr yrs",
        "decade": "dec decade decades decs",
        "century": "c cent centuries century",
        "millennium": "mil millennia millennium mils",
        "ago": "ago",
        "timezone": "timezone timezone_h timezone_m",
    }.items()
    for name in names.split()
}
_US_OF: Final = {
    "microsecond": 1,
    "millisecond": 1000,
    "second": US_PER_SECOND,
    "minute": US_PER_MINUTE,
    "hour": US_PER_HOUR,
}
_YEARS_OF: Final = {"year": 1, "decade": 10, "century": 100, "millennium": 1000}


class _FieldError(Exception):
    """A field out of range."""


class _Sum:
    """years, months, days and microseconds added up."""

    def __init__(self) -> None:
        self.years = self.months = self.days = self.us = 0

    def _small(self, value: int) -> int:
        if not _INT4_MIN <= value <= _INT4_MAX:
            raise _FieldError
        return value

    def _big(self, value: int) -> int:
        if not _INT8_MIN <= value <= _INT8_MAX:
            raise _FieldError
        return value

    def add_fraction(self, fraction: float, us: int) -> None:
        """A fraction of something `us` microseconds long."""
        if fraction:
            scaled = fraction * us
            whole = int(scaled)
            rest = scaled - whole
            whole += 1 if rest > 0.5 else -1 if rest < -0.5 else 0
            self.us = self._big(self.us + whole)

    def add_us(self, value: int, fraction: float, scale: int) -> None:
        self.us = self._big(self.us + self._big(value * scale))
        self.add_fraction(fraction, scale)

    def add_days(self, value: int, scale: int = 1) -> None:
        self.days = self._small(self.days + self._small(self._small(value) * scale))

    def add_day_fraction(self, fraction: float, scale: int) -> None:
        if fraction:
            fraction *= scale
            whole = int(fraction)
            self.days = self._small(self.days + whole)
            self.add_fraction(fraction - whole, US_PER_DAY)

    def add_months(self, value: int) -> None:
        self.months = self._small(self.months + self._small(value))

    def add_years(self, value: int, fraction: float, scale: int = 1) -> None:
        self.years = self._small(self.years + self._small(self._small(value) * scale))
        self.months = self._small(self.months + round(fraction * scale * 12))

    def add(self, unit: str, value: int, fraction: float) -> None:
        if unit in _US_OF:
            self.add_us(value, fraction, _US_OF[unit])
        elif unit == "day":
            self.add_days(value)
            self.add_fraction(fraction, US_PER_DAY)
        elif unit == "week":
            self.add_days(value, 7)
            self.add_day_fraction(fraction, 7)
        elif unit == "month":
            self.add_months(value)
            self.add_day_fraction(fraction, 30)
        else:
            self.add_years(value, fraction, _YEARS_OF[unit])

    def negate(self) -> None:
        if self.us == _INT8_MIN or _INT4_MIN in (self.days, self.months, self.years):
            raise _FieldError
        self.years, self.months = -self.years, -self.months
        self.days, self.us = -self.days, -self.us

    def interval(self) -> Interval:
        months = self.years * 12 + self.months
        if not _INT4_MIN <= months <= _INT4_MAX:
            raise SqlError("22008", "interval out of range")
        return months, self.days, self.us


def _clock(token: str, fields: frozenset[str], bad: BadDateError) -> int:
    """Microseconds of hh:mm[:ss[.ffffff]]."""
    match = _INTEGER.match(token)
    if match is None or token[match.end() : match.end() + 1] != ":":
        raise bad
    hour = int(match[0])
    rest = token[match.end() + 1 :]
    minute, rest = _leading(rest)
    second = us = 0
    if not rest:
        if fields == _MINUTE_TO_SECOND:
            hour, minute, second = 0, hour, minute
    elif rest[0] == ".":
        us = _fraction_us(rest, bad)
        hour, minute, second = 0, hour, minute
    elif rest[0] == ":":
        second, rest = _leading(rest[1:])
        us = _fraction_us(rest, bad) if rest else 0
    else:
        raise bad
    if hour < 0 or not 0 <= minute <= 59 or not 0 <= second <= 60 or us > US_PER_SECOND:
        raise _FieldError
    total = hour * US_PER_HOUR + minute * US_PER_MINUTE + second * US_PER_SECOND + us
    if total > _INT8_MAX:
        raise _FieldError
    return total


def _leading(text: str) -> tuple[int, str]:
    match = _INTEGER.match(text)
    if match is None:
        return 0, text
    value = int(match[0])
    if not _INT4_MIN <= value <= _INT4_MAX:
        raise _FieldError
    return value, text[match.end() :]


def _fraction_us(text: str, bad: BadDateError) -> int:
    return round(_fraction(text, bad) * 1_000_000)


def _fraction(text: str, bad: BadDateError) -> float:
    """`.25`, `.`; a fraction may carry on into no other mark."""
    if re.fullmatch(r"\.[0-9]*", text, re.ASCII) is None:
        raise bad
    return float("0" + text) if len(text) > 1 else 0.0


_DEFAULTS: Final = ("second", "minute", "hour", "day", "month", "year")


class _Reader:
    def __init__(self, text: str, fields: frozenset[str], *, sql_standard: bool) -> None:
        self.bad = BadDateError(text)
        self.allowed = fields
        self.tokens: list[Field] = split_fields(text)
        self.total = _Sum()
        self.have: frozenset[str] = frozenset()
        self.unit = ""
        # in SQL's own form one sign at the front is every field's
        self.negative = (
            sql_standard
            and bool(self.tokens)
            and self.tokens[0][1].startswith("-")
            and not any(token[0] in "+-" for _, token in self.tokens[1:])
        )

    def read(self) -> Interval:
        before = False
        for kind, token in reversed(self.tokens):
            claimed: frozenset[str] = frozenset()
            if kind == "time":
                us = _clock(token, self.allowed, self.bad)
                self.total.us = -us if self.negative else us
                claimed = _CLOCK
                self.unit = "day"
            elif kind in ("zone", "date", "number"):
                claimed = self.signed(token) if kind == "zone" else self.number(token)
            else:
                unit = _UNITS.get(token[:_WORD_MAX])
                if unit is None:
                    raise self.bad
                if unit == "ago":
                    before = True
                self.unit = unit
            if claimed & self.have:
                raise self.bad
            self.have |= claimed
        if not self.have:
            raise self.bad
        if before:
            self.total.negate()
        return self.total.interval()

    def signed(self, token: str) -> frozenset[str]:
        """+hh:mm, or a number with its sign."""
        if ":" in token:
            try:
                us = _clock(token[1:], self.allowed, self.bad)
            except (BadDateError, _FieldError):
                pass
            else:
                self.total.us = -us if token[0] == "-" or self.negative else us
                self.unit = "day"
                return _CLOCK
        return self.number(token)

    def number(self, token: str) -> frozenset[str]:
        if not self.unit:
            self.unit = next((name for name in _DEFAULTS if name in self.allowed), "second")
        match = _INTEGER.match(token)
        value = int(match[0]) if match is not None else 0
        rest = token[match.end() :] if match is not None else token.lstrip("+-")
        if not _INT8_MIN <= value <= _INT8_MAX:
            raise _FieldError
        fraction = 0.0
        if rest.startswith("-"):
            months, rest = _leading(rest[1:])
            if not 0 <= months < 12:
                raise _FieldError
            if rest:
                raise self.bad
            value = value * 12 + (-months if token.startswith("-") else months)
            self.unit = "month"
        elif rest.startswith("."):
            fraction = _fraction(rest, self.bad)
            if token.startswith("-"):
                fraction = -fraction
        elif rest:
            raise self.bad
        if self.negative:
            value, fraction = -abs(value), -abs(fraction)
        if self.unit not in _US_OF and self.unit not in ("day", "week", "month", *_YEARS_OF):
            raise self.bad
        unit = self.unit
        self.total.add(unit, value, fraction)
        if unit == "hour":
            self.unit = "day"  # 1 2 is a day and two hours
        return _SECONDS if unit == "second" and fraction else frozenset({unit})


def parse_interval(
    text: str, fields: frozenset[str] = frozenset(), *, sql_standard: bool = False
) -> Interval:
    """(months, days, microseconds); `fields` are those of INTERVAL DAY TO HOUR, empty for all.

    BadDateError, 22015, 22008.
    """
    try:
        try:
            return _Reader(text, fields, sql_standard=sql_standard).read()
        except BadDateError:
            return _Iso(text).read()
    except _FieldError:
        raise SqlError("22015", f'interval field value out of range: "{text}"') from None


class _Iso:
    """P1Y2M3DT4H5M6S, P0001-02-03T04:05:06, P00010203T040506."""

    def __init__(self, text: str) -> None:
        self.bad = BadDateError(text)
        self.text = text
        self.at = 1
        self.total = _Sum()

    def number(self) -> tuple[int, float]:
        match = _NUMBER.match(self.text, self.at)
        if match is None:
            raise self.bad
        self.at = match.end()
        value = float(match[0])
        if not -1.0e15 <= value <= 1.0e15:
            raise _FieldError
        whole = math.floor(value) if value >= 0 else -math.floor(-value)
        return whole, value - whole

    def mark(self) -> str:
        """The character after a number, "" at the end."""
        char = self.text[self.at : self.at + 1]
        self.at += 1
        return char

    def read(self) -> Interval:
        if len(self.text) < 2 or not self.text.startswith("P"):
            raise self.bad
        in_date, have = True, False
        while self.at < len(self.text):
            if self.text[self.at] == "T":
                in_date, have = False, False
                self.at += 1
                continue
            start = self.at
            value, fraction = self.number()
            width = len(re.match(r"-?([0-9]*)", self.text[start:])[1])  # type: ignore[index]
            unit = self.mark()
            if in_date:
                more = self.date_part(unit, value, fraction, width, have=have)
            else:
                more = self.time_part(unit, value, fraction, width, have=have)
            if not more:
                break
            have = True
        return self.total.interval()

    def date_part(self, unit: str, value: int, fraction: float, width: int, *, have: bool) -> bool:
        total = self.total
        names = {"Y": "year", "M": "month", "W": "week", "D": "day"}
        if unit in names:
            total.add(names[unit], value, fraction)
            return True
        if unit not in ("", "T", "-") or (unit == "-" and have):
            raise self.bad
        if unit in ("", "T") and width == 8 and not have:
            total.add_years(int(value / 10_000), 0.0)
            total.add_months(int(math.fmod(int(value / 100), 100)))
            total.add_days(int(math.fmod(value, 100)))
            total.add_fraction(fraction, US_PER_DAY)
        elif have:
            raise self.bad
        else:
            total.add_years(value, fraction)
            if unit == "-":
                self.extended_date()
        self.at -= unit == "T"
        return True

    def extended_date(self) -> None:
        for add, last in ((self._month, False), (self._day, True)):
            value, fraction = self.number()
            add(value, fraction)
            following = self.text[self.at : self.at + 1]
            if following in ("", "T"):
                return
            if last or following != "-":
                raise self.bad
            self.at += 1

    def _month(self, value: int, fraction: float) -> None:
        self.total.add("month", value, fraction)

    def _day(self, value: int, fraction: float) -> None:
        self.total.add("day", value, fraction)

    def time_part(self, unit: str, value: int, fraction: float, width: int, *, have: bool) -> bool:
        total = self.total
        names = {"H": "hour", "M": "minute", "S": "second"}
        if unit in names:
            total.add(names[unit], value, fraction)
            return True
        if unit not in ("", ":") or have:
            raise self.bad
        if unit == "" and width == 6:
            total.add_us(int(value / 10_000), 0.0, US_PER_HOUR)
            total.add_us(int(math.fmod(int(value / 100), 100)), 0.0, US_PER_MINUTE)
            total.add_us(int(math.fmod(value, 100)), 0.0, US_PER_SECOND)
            total.add_fraction(fraction, 1)
            return False
        total.add("hour", value, fraction)
        if unit == "":
            return False
        value, fraction = self.number()
        total.add("minute", value, fraction)
        if self.at >= len(self.text):
            return False
        if self.mark() != ":":
            raise self.bad
        value, fraction = self.number()
        total.add("second", value, fraction)
        if self.at < len(self.text):
            raise self.bad
        return False
