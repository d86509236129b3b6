"""Reading dates and times in the many ways that PostgreSQL reads them.

The fields of a text (`datetime_tokens.py`) are decoded from left to right; each claims what it
says (year, month, ... zone) and nothing may be claimed twice. The rules are PostgreSQL's
DecodeDateTime and DecodeTimeOnly, so that odd texts mean here what they mean there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.calendar import (
    JULIAN_2000,
    US_PER_DAY,
    US_PER_SECOND,
    civil_from_days,
    days_from_civil,
    days_in_month,
    time_us,
)
from heliosd.types.context import EvalContext
from heliosd.types.datetime_tokens import BadDateError, Field, split_fields
from heliosd.types.datetime_words import (
    Word,
    datetime_word,
    dynamic_abbreviations,
    zone_abbreviations,
)
from heliosd.types.zone import Zone, abbreviation_offset, find_zone

DATE: Final = frozenset({"year", "month", "day"})
TIME: Final = frozenset({"hour", "minute", "second", "millisecond", "microsecond"})
SECONDS: Final = frozenset({"second", "millisecond", "microsecond"})
_ZONE: Final = frozenset({"zone"})
_INT4_MAX: Final = 2_147_483_647
_INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_FRACTION: Final = re.compile(r"\.[0-9]*", re.ASCII)


@dataclass(slots=True)
class Moment:
    """What was written. `kind` is "" or a word: infinity, -infinity, epoch, now.

    `days` since 2000-01-01, `time_us` of the day (a leap second may pass midnight), `zone_s`
    seconds east of UTC, None when no zone was written."""

    kind: str = ""
    days: int = 0
    time_us: int = 0
    zone_s: int | None = None

    @property
    def local_us(self) -> int:
        return self.days * US_PER_DAY + self.time_us


def field_overflow(text: str, *, order: bool = False) -> SqlError:
    """22008; `order` when another DateStyle might read it."""
    return SqlError(
        "22008",
        f'date/time field value out of range: "{text}"',
        hint='Perhaps you need a different "datestyle" setting.' if order else None,
    )


@dataclass(slots=True)
class _Decoder:
    text: str
    ctx: EvalContext
    time_only: bool = False
    have: frozenset[str] = frozenset()
    kind: str = ""
    year: int = 0
    month: int = 0
    day: int = 0
    yearday: int = 0
    hour: int = 0
    minute: int = 0
    second: int = 0
    us: int = 0
    zone_s: int = 0
    zone: Zone | None = None
    dynamic: tuple[Zone, str] | None = None
    dst: bool = False
    half: str = ""
    bc: bool = False
    text_month: bool = False
    two_digits: bool = False
    julian: bool = False
    prefix: str = ""  # a unit written before its number
    claimed: frozenset[str] = field(default_factory=frozenset)

    # ---- helpers

    def bad(self) -> BadDateError:
        return BadDateError(self.text)

    def integer(self, text: str) -> tuple[int, str]:
        """A leading integer and the rest; 22008 past int4."""
        match = _INTEGER.match(text)
        if match is None:
            raise self.bad()
        value = int(match[0])
        if abs(value) > _INT4_MAX:
            raise field_overflow(self.text)
        return value, text[match.end() :]

    def fraction(self, text: str) -> int:
        """Microseconds of `.digits`."""
        if _FRACTION.fullmatch(text) is None:
            raise self.bad()
        return round(float("0" + text) * 1_000_000) if len(text) > 1 else 0

    @property
    def masked(self) -> frozenset[str]:
        """What is there already; a time alone counts its date as given."""
        return self.have | DATE if self.time_only else self.have

    def set_julian(self, number: int) -> None:
        if number < 0:
            raise field_overflow(self.text)
        self.year, self.month, self.day = civil_from_days(number - JULIAN_2000)
        self.julian = True

    # ---- fields

    def decode(self, fields: Sequence[Field]) -> None:
        for index, (kind, token) in enumerate(fields):
            self.claimed = frozenset()
            if kind == "date":
                self.date_field(token, index, fields)
            elif kind == "time":
                if self.prefix:
                    if self.prefix != "time" or self.time_only:
                        raise self.bad()
                    self.prefix = ""
                self.clock(token)
            elif kind == "zone":
                self.zone_s = self.offset(token)
                self.claimed = _ZONE
            elif kind == "number":
                self.number_field(token, index, fields)
            elif not self.word(token, index, fields):
                continue
            if self.claimed & self.have:
                raise self.bad()
            self.have |= self.claimed
        if self.prefix:
            raise self.bad()

    def date_field(self, token: str, index: int, fields: Sequence[Field]) -> None:
        if self.time_only:
            if index == 0 and len(fields) >= 2 and (fields[-1][0] == "date"
                                                    or fields[1][0] == "time"):  # fmt: skip
                self.date(token)
            elif token[0].isdigit():
                self.time_and_zone(token)
            else:
                self.named_zone(token)
            return
        if self.prefix == "julian":
            number, rest = self.integer(token)
            self.set_julian(number)
            self.zone_s = self.offset(rest)
            self.claimed = DATE | TIME | _ZONE
            self.prefix = ""
        elif self.prefix or {"month", "day"} <= self.have:
            if token[0].isdigit() or self.prefix:
                if self.prefix and self.prefix != "time":
                    raise self.bad()
                self.prefix = ""
                self.time_and_zone(token)
            else:
                self.named_zone(token)
        else:
            self.date(token)

    def time_and_zone(self, token: str) -> None:
        """hhmmss-zz."""
        at = token.find("-")
        if self.have >= TIME or at < 0:
            raise self.bad()
        self.zone_s = self.offset(token[at:])
        self.run_together(token[:at], self.masked)
        self.claimed |= _ZONE

    def named_zone(self, token: str) -> None:
        self.zone = find_zone(token)
        if self.zone is None:
            raise SqlError("22023", f'time zone "{token}" not recognized')
        self.claimed = _ZONE

    def date(self, token: str) -> None:
        """A date in one field: 2000-01-02, 1/2/2000, 2-jan-2000."""
        if not any(char.isalnum() for char in token[-1:]):
            raise self.bad()
        parts = re.findall(r"[0-9]+|[a-z]+", token)
        have = self.have
        claimed: frozenset[str] = frozenset()
        text_month = False
        numbers = []
        for part in parts:
            if part.isdigit():
                numbers.append(part)
                continue
            word = datetime_word(part)
            if word is not None and word[0] == "ignored":
                continue
            if word is None or word[0] != "month" or "month" in have:
                raise self.bad()
            self.month = int(word[1])
            text_month = True
            have |= {"month"}
            claimed |= {"month"}
        for part in numbers:
            self.claimed = frozenset()
            self.number(part, have, text_month=text_month)
            if self.claimed & have:
                raise self.bad()
            have |= self.claimed
            claimed |= self.claimed
        if have - {"yearday", "zone"} != DATE:
            raise self.bad()
        self.claimed = claimed

    def clock(self, token: str) -> None:
        """hh:mm[:ss[.ffffff]]; 22008."""
        self.hour, self.minute, self.second, self.us = self.clock_parts(token)
        self.claimed = TIME
        if not self.time_only and self.clock_overflows():
            raise field_overflow(self.text)

    def clock_parts(self, token: str) -> tuple[int, int, int, int]:
        hour, rest = self.integer(token)
        if not rest.startswith(":"):
            raise self.bad()
        minute, rest = self.integer(rest[1:]) if rest[1:2].isdigit() else (0, rest[1:])
        second = us = 0
        if rest.startswith("."):
            us = self.fraction(rest)
            hour, minute, second = 0, hour, minute
        elif rest.startswith(":"):
            second, rest = self.integer(rest[1:]) if rest[1:2].isdigit() else (0, rest[1:])
            us = self.fraction(rest) if rest else 0
        elif rest:
            raise self.bad()
        if hour < 0 or not 0 <= minute <= 59 or not 0 <= second <= 60 or us > US_PER_SECOND:
            raise field_overflow(self.text)
        return hour, minute, second, us

    def clock_overflows(self) -> bool:
        if not (0 <= self.hour <= 24 and 0 <= self.minute <= 59 and 0 <= self.second <= 60):
            return True
        return time_us(self.hour, self.minute, self.second, self.us) > US_PER_DAY

    def offset(self, token: str) -> int:
        """Seconds east of +hh[[:]mm[:ss]]; 22009."""
        if token[:1] not in ("+", "-"):
            raise self.bad()
        hours, rest = self.integer(token[1:])
        minutes = seconds = 0
        if rest.startswith(":"):
            minutes, rest = self.integer(rest[1:]) if rest[1:2].isdigit() else (0, rest[1:])
            if rest.startswith(":"):
                seconds, rest = self.integer(rest[1:]) if rest[1:2].isdigit() else (0, rest[1:])
        elif not rest and len(token) > 3:
            hours, minutes = divmod(hours, 100)
        if not (0 <= hours <= 15 and 0 <= minutes < 60 and 0 <= seconds < 60):
            raise SqlError("22009", f'time zone displacement out of range: "{self.text}"')
        if rest:
            raise self.bad()
        total = hours * 3600 + minutes * 60 + seconds
        return -total if token[0] == "-" else total

    # ---- numbers

    def number_field(self, token: str, index: int, fields: Sequence[Field]) -> None:
        if self.prefix:
            self.prefixed(token)
            return
        at = token.find(".")
        if self.time_only:
            if at >= 0:
                if index == 0 and len(fields) >= 2 and fields[-1][0] == "date":
                    self.date(token)
                elif at > 2:
                    self.run_together(token, self.masked)
                else:
                    raise self.bad()
            elif len(token) > 4:
                self.run_together(token, self.masked)
            else:
                self.number(token, self.masked, text_month=False)
        elif at >= 0 and not self.have & DATE:
            self.date(token)
        elif at > 2 or (len(token) >= 6 and not (self.have & DATE and self.have & TIME)):
            self.run_together(token, self.have)
        else:
            self.number(token, self.have, text_month=self.text_month)

    def prefixed(self, token: str) -> None:
        """A number behind its unit: J2451545, y2000, t040506."""
        prefix, self.prefix = self.prefix, ""
        value, rest = self.integer(token)
        if rest and (not rest.startswith(".") or prefix not in ("julian", "time", "second")):
            raise self.bad()
        if prefix in ("year", "day", "hour", "minute"):
            setattr(self, prefix, value)
            self.claimed = frozenset({prefix})
        elif prefix == "month":
            name = "minute" if {"month", "hour"} <= self.have else "month"
            setattr(self, name, value)
            self.claimed = frozenset({name})
        elif prefix == "second":
            self.second = value
            self.claimed = frozenset({"second"})
            if rest:
                self.us = self.fraction(rest)
                self.claimed = SECONDS
        elif prefix == "julian":
            self.set_julian(value)
            self.claimed = DATE
            if rest:
                us = int(float("0" + rest) * US_PER_DAY)
                self.hour, us = divmod(us, 3600 * US_PER_SECOND)
                self.minute, us = divmod(us, 60 * US_PER_SECOND)
                self.second, self.us = divmod(us, US_PER_SECOND)
                self.claimed = DATE | TIME
        elif prefix == "time":
            self.run_together(token, self.have | DATE)
            if self.claimed != TIME:
                raise self.bad()
        else:
            raise self.bad()

    def run_together(self, token: str, have: frozenset[str]) -> None:
        """yyyymmdd, hhmmss, hhmm."""
        whole, point, digits = token.partition(".")
        if not whole.isdigit():
            raise self.bad()
        if point:
            self.us = self.fraction("." + digits)
        elif not have >= DATE and len(whole) >= 6:
            self.year, self.month = int(whole[:-4]), int(whole[-4:-2])
            self.day = int(whole[-2:])
            self.two_digits = self.two_digits or len(whole) == 6
            self.claimed = DATE
            if self.year > _INT4_MAX:
                raise field_overflow(self.text)
            return
        if not have >= TIME and len(whole) in (4, 6):
            self.hour, self.minute = int(whole[:2]), int(whole[2:4])
            self.second = int(whole[4:] or 0)
            self.claimed = TIME
            return
        raise self.bad()

    def number(self, token: str, have: frozenset[str], *, text_month: bool) -> None:
        """One number of a date: which it is depends on what came before."""
        value, rest = self.integer(token)
        if rest.startswith("."):
            if len(token) - len(rest) > 2:
                self.run_together(token, have | DATE)
                return
            self.us = self.fraction(rest)
        elif rest:
            raise self.bad()
        size = len(token)
        known = have & DATE
        order = self.ctx.styles.date_order
        if size == 3 and known == {"year"} and 1 <= value <= 366:
            self.yearday = value
            self.claimed = frozenset({"yearday", "month", "day"})
            return
        if known == frozenset():
            if size >= 3 or order == "YMD":
                name = "year"
            else:
                name = "day" if order == "DMY" else "month"
        elif known == {"year"}:
            name = "month"
        elif known == {"month"}:
            name = "year" if text_month and (size >= 3 or order == "YMD") else "day"
        elif known == {"year", "month"}:
            name = "day"
            if text_month and size >= 3 and self.two_digits:
                # the first number was the day after all
                self.day, self.year, self.two_digits = self.year, value, False
                self.claimed = frozenset({"day"})
                return
        elif known == {"day"}:
            name = "month"
        elif known == {"month", "day"}:
            name = "year"
        elif known == DATE:
            self.run_together(token, have)
            return
        else:
            raise self.bad()
        setattr(self, name, value)
        self.claimed = frozenset({name})
        if name == "year":
            self.two_digits = size <= 2

    # ---- words

    def word(self, token: str, index: int, fields: Sequence[Field]) -> bool:
        """A word; False when it only fills."""
        if self.abbreviation(token):
            return True
        word = datetime_word(token)
        if word is None:
            self.zone = find_zone(token)
            if self.zone is None:
                raise self.bad()
            self.claimed = _ZONE
            return True
        kind, value = word
        if kind == "ignored":
            return False
        if kind == "special":
            self.special(str(value))
        elif kind == "month" and not self.time_only:
            if (
                "month" in self.have
                and not self.text_month
                and "day" not in self.have
                and 1 <= self.month <= 31
            ):
                # the number before was the day
                self.day = self.month
                self.claimed = frozenset({"day"})
            else:
                self.claimed = frozenset({"month"})
            self.text_month = True
            self.month = int(value)
        elif kind == "dst":
            self.dst = True
            self.zone_s += int(value)
            self.claimed = frozenset({"dst", "dstmod"})
        elif kind == "half":
            self.half = str(value)
            self.claimed = frozenset({"half"})
        elif kind == "era":
            self.bc = bool(value)
            self.claimed = frozenset({"era"})
        elif kind == "weekday" and not self.time_only:
            self.claimed = frozenset({"weekday"})
        elif kind in ("unit", "t"):
            self.unit(word, index, fields)
        else:
            raise self.bad()
        return True

    def abbreviation(self, token: str) -> bool:
        zone_name = dynamic_abbreviations().get(token)
        if zone_name is not None:
            zone = find_zone(zone_name)
            assert zone is not None, zone_name
            self.dynamic = (zone, token.upper())
            self.claimed = _ZONE
            return True
        known = zone_abbreviations().get(token)
        if known is None:
            return False
        # keep what MET DST says when DST came first
        self.zone_s = known[0]
        self.claimed = frozenset({"zone", "dst"}) if known[1] else _ZONE
        return True

    def unit(self, word: Word, index: int, fields: Sequence[Field]) -> None:
        if self.prefix:
            raise self.bad()
        if word[0] == "t":
            following = fields[index + 1][0] if index + 1 < len(fields) else ""
            if (not self.time_only and not self.have >= DATE) or following not in (
                "number", "time", "date",
            ):  # fmt: skip
                raise self.bad()
        self.prefix = str(word[1])
        if self.time_only and word[0] == "t" and fields[index + 1][0] != "number":
            self.prefix = ""

    def special(self, name: str) -> None:
        if self.time_only and name not in ("now", "allballs"):
            raise self.bad()
        if name == "allballs":
            self.hour = self.minute = self.second = self.us = self.zone_s = 0
            self.claimed = TIME | _ZONE
        elif name in ("infinity", "-infinity", "epoch"):
            self.kind = name
            self.claimed = DATE | TIME | _ZONE
        else:
            self.relative(name)

    def relative(self, name: str) -> None:
        """now, today, tomorrow, yesterday: by the transaction's start."""
        now = self.ctx.transaction_us
        offset = self.ctx.styles.zone.offset_at(now)
        local = now + offset * US_PER_SECOND
        days, us = divmod(local, US_PER_DAY)
        shift = {"tomorrow": 1, "yesterday": -1}.get(name, 0)
        if not (self.time_only and name == "now"):
            self.year, self.month, self.day = civil_from_days(days + shift)
            self.julian = True
            self.claimed = DATE
        if name == "now":
            seconds, self.us = divmod(us, US_PER_SECOND)
            self.hour, self.minute, self.second = (
                seconds // 3600, seconds // 60 % 60, seconds % 60,
            )  # fmt: skip
            self.claimed |= TIME
            if not self.time_only:
                self.zone_s = offset
                self.claimed |= _ZONE

    # ---- the whole

    def check_date(self) -> None:
        if "year" in self.have and not self.julian:
            if self.bc:
                if self.year <= 0:
                    raise field_overflow(self.text)
                self.year = 1 - self.year
            elif self.two_digits:
                if self.year < 70:
                    self.year += 2000
                elif self.year < 100:
                    self.year += 1900
            elif self.year <= 0:
                raise field_overflow(self.text)
        if "yearday" in self.have:
            _, self.month, self.day = civil_from_days(
                days_from_civil(self.year, 1, 1) + self.yearday - 1
            )
            self.year = civil_from_days(days_from_civil(self.year, 1, 1) + self.yearday - 1)[0]
        if "month" in self.have and not 1 <= self.month <= 12:
            raise field_overflow(self.text, order=True)
        if "day" in self.have and not 1 <= self.day <= 31:
            raise field_overflow(self.text, order=True)
        if self.have >= DATE and self.day > days_in_month(self.year, self.month):
            raise field_overflow(self.text)

    def apply_half(self) -> None:
        if not self.half:
            return
        if self.hour > 12:
            raise field_overflow(self.text)
        if self.half == "am" and self.hour == 12:
            self.hour = 0
        elif self.half == "pm" and self.hour != 12:
            self.hour += 12

    def zone_east(self, local_us: int) -> int | None:
        """Seconds east of UTC; None when no zone was written."""
        if self.zone is not None:
            if "dstmod" in self.have:
                raise self.bad()
            return self.zone.offset_of_local(local_us)
        if self.dynamic is not None:
            zone, name = self.dynamic
            instant = local_us - zone.offset_of_local(local_us) * US_PER_SECOND
            found = abbreviation_offset(zone, name, instant)
            return zone.offset_of_local(local_us) if found is None else found
        if "zone" in self.have:
            return self.zone_s
        if "dstmod" in self.have:
            raise self.bad()
        return None


def parse_datetime(text: str, ctx: EvalContext) -> Moment:
    """A date, with a time or without; BadDateError, or SqlError 22008, 22009, 22023."""
    decoder = _Decoder(text, ctx)
    fields = split_fields(text)
    decoder.decode(fields)
    if decoder.kind:
        return Moment(decoder.kind)
    decoder.check_date()
    decoder.apply_half()
    if not decoder.have >= DATE:
        raise BadDateError(text)
    days = days_from_civil(decoder.year, decoder.month, decoder.day)
    us = time_us(decoder.hour, decoder.minute, decoder.second, decoder.us)
    return Moment("", days, us, decoder.zone_east(days * US_PER_DAY + us))


def _has_offset(decoder: _Decoder) -> bool:
    return "zone" in decoder.have and decoder.zone is None and decoder.dynamic is None


def parse_time(text: str, ctx: EvalContext) -> Moment:
    """A time of day, with a zone or without; the day is the one written or today's.

    BadDateError, or SqlError 22008, 22009, 22023."""
    decoder = _Decoder(text, ctx, time_only=True)
    decoder.decode(split_fields(text))
    decoder.check_date()
    decoder.apply_half()
    if decoder.clock_overflows():
        raise field_overflow(text)
    if not decoder.have >= TIME:
        raise BadDateError(text)
    us = time_us(decoder.hour, decoder.minute, decoder.second, decoder.us)
    dated = decoder.have >= DATE
    if dated:
        days = days_from_civil(decoder.year, decoder.month, decoder.day)
    else:
        now = ctx.transaction_us
        days = (now + ctx.styles.zone.offset_at(now) * US_PER_SECOND) // US_PER_DAY
        named = decoder.zone is not None and decoder.zone.info is not None
        if named or (decoder.have & DATE and not _has_offset(decoder)):
            # which offset a zone has depends on the day
            raise BadDateError(text)
    return Moment("", days, us, decoder.zone_east(days * US_PER_DAY + us))


_OFFSET: Final = re.compile(r"([+-])([0-9]+)(?::([0-9]*)(?::([0-9]*))?)?", re.ASCII)


def zone_offset(text: str, us: int, *, local: bool) -> int | None:
    """Seconds east of an abbreviation at a local time or an instant; None when it is none.

    Abbreviations go before zones of the same name, as they do in dates."""
    word = text.lower()
    zone_name = dynamic_abbreviations().get(word)
    if zone_name is not None:
        zone = find_zone(zone_name)
        assert zone is not None, zone_name
        instant = us - zone.offset_of_local(us) * US_PER_SECOND if local else us
        found = abbreviation_offset(zone, text.upper(), instant)
        return zone.offset_at(instant) if found is None else found
    known = zone_abbreviations().get(word)
    return None if known is None else known[0]


def numeric_offset(text: str) -> int | None:
    """Seconds east of +hh[:mm[:ss]] (or +hhmm); None for another form, 22023 out of range."""
    match = _OFFSET.fullmatch(text)
    if match is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.group(2, 3, 4))
    if match[3] is None and len(match[2]) > 2:
        hours, minutes = divmod(hours, 100)
    if hours > 15 or minutes > 59 or seconds > 59:
        raise SqlError("22023", f'numeric time zone "{text}" out of range')
    total = hours * 3600 + minutes * 60 + seconds
    return -total if match[1] == "-" else total
