"""The chapter "Date/Time Functions": the clock, fields, truncation, age, zones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.calendar import (
    DATE_INFINITY,
    DATE_MINUS_INFINITY,
    JULIAN_2000,
    TIMESTAMP_END,
    TIMESTAMP_INFINITY,
    TIMESTAMP_MIN,
    TIMESTAMP_MINUS_INFINITY,
    UNIX_EPOCH_US,
    US_PER_DAY,
    US_PER_HOUR,
    US_PER_MINUTE,
    US_PER_SECOND,
    civil_from_days,
    day_of_year,
    days_from_civil,
    days_in_month,
    iso_week,
    weekday,
)
from heliosd.types.context import EvalContext
from heliosd.types.datetime import TimeTz, check_date, check_timestamp
from heliosd.types.datetime_operators import add_in_zone, timestamp_add, to_instant, to_local
from heliosd.types.datetime_parse import numeric_offset, zone_offset
from heliosd.types.declare import Forms
from heliosd.types.interval import Interval, interval_text
from heliosd.types.numeric_core import numeric_add, numeric_div
from heliosd.types.styles import DEFAULT_STYLES
from heliosd.types.zone import Zone, find_zone, fixed_zone

forms: Final = Forms()

_INFINITE: Final = (TIMESTAMP_INFINITY, TIMESTAMP_MINUS_INFINITY)

# ------------------------------------------------------------ the clock

for _name in ("now()", "transaction_timestamp()"):
    forms.function(_name, needs_context=True)(lambda ctx: ctx.transaction_us)
forms.function("statement_timestamp()", needs_context=True)(lambda ctx: ctx.statement_us)
forms.function("clock_timestamp()", needs_context=True)(lambda ctx: ctx.clock_us())
forms.function("pg_postmaster_start_time()", needs_context=True)(lambda ctx: ctx.server_start_us)
forms.function("pg_conf_load_time()", needs_context=True)(lambda ctx: ctx.server_start_us)


@forms.function("to_timestamp(float8)")
def to_timestamp(seconds: float) -> int:
    """Seconds since 1970; 22008."""
    if seconds != seconds:
        raise SqlError("22008", "timestamp cannot be NaN")
    if seconds in (float("inf"), float("-inf")):
        return TIMESTAMP_INFINITY if seconds > 0 else TIMESTAMP_MINUS_INFINITY
    us = round(seconds * US_PER_SECOND) + UNIX_EPOCH_US
    if not TIMESTAMP_MIN <= us < TIMESTAMP_END:
        raise SqlError("22008", f'timestamp out of range: "{seconds:g}"')
    return us


# ------------------------------------------------------------ fields


class _Fields:
    """A finite timestamp taken apart once."""

    __slots__ = ("day", "days", "month", "time", "year")

    def __init__(self, us: int) -> None:
        self.days, self.time = divmod(us, US_PER_DAY)
        self.year, self.month, self.day = civil_from_days(self.days)


def _shown_year(year: int) -> int:
    return year if year > 0 else year - 1


def _century(year: int, span: int) -> int:
    return (year + span - 1) // span if year > 0 else -((span - 1 - (year - 1)) // span)


def _scaled(us: int, digits: int) -> Decimal:
    return Decimal(us).scaleb(-digits)


_TIME_FIELDS: Final[dict[str, Callable[[int], Decimal]]] = {
    "microseconds": lambda t: Decimal(t % US_PER_MINUTE),
    "milliseconds": lambda t: _scaled(t % US_PER_MINUTE, 3),
    "second": lambda t: _scaled(t % US_PER_MINUTE, 6),
    "minute": lambda t: Decimal(t // US_PER_MINUTE % 60),
    "hour": lambda t: Decimal(t // US_PER_HOUR),
}

_DATE_FIELDS: Final[dict[str, Callable[[_Fields], int]]] = {
    "day": lambda f: f.day,
    "month": lambda f: f.month,
    "quarter": lambda f: (f.month - 1) // 3 + 1,
    "year": lambda f: _shown_year(f.year),
    "decade": lambda f: f.year // 10,
    "century": lambda f: _century(f.year, 100),
    "millennium": lambda f: _century(f.year, 1000),
    "week": lambda f: iso_week(f.days)[1],
    "isoyear": lambda f: _shown_year(iso_week(f.days)[0]),
    "dow": lambda f: weekday(f.days),
    "isodow": lambda f: weekday(f.days) or 7,
    "doy": lambda f: day_of_year(f.days),
}
_MONOTONE: Final = ("year", "decade", "century", "millennium", "isoyear", "epoch", "julian")
_ALIASES: Final = {
    "microsecond": "microseconds", "us": "microseconds", "usec": "microseconds",
    "usecs": "microseconds", "useconds": "microseconds", "millisecond": "milliseconds",
    "ms": "milliseconds", "msec": "milliseconds", "msecs": "milliseconds", "seconds": "second",
    "sec": "second", "secs": "second", "s": "second", "minutes": "minute", "min": "minute",
    "mins": "minute", "m": "minute", "hours": "hour", "hr": "hour", "hrs": "hour", "h": "hour",
    "days": "day", "d": "day", "weeks": "week", "w": "week", "months": "month", "mon": "month",
    "mons": "month", "qtr": "quarter", "years": "year", "yr": "year", "yrs": "year", "y": "year",
    "decades": "decade", "dec": "decade", "decs": "decade", "centuries": "century",
    "cent": "century", "c": "century", "millennia": "millennium", "mil": "millennium",
    "mils": "millennium", "timezone": "timezone",
}  # fmt: skip


def field_name(text: str) -> str:
    """The canonical name of a field."""
    lowered = text.lower()
    return _ALIASES.get(lowered, lowered)


def _unknown_field(field: str, type_name: str, known: bool) -> SqlError:  # noqa: FBT001
    if known:
        return SqlError("0A000", f'unit "{field}" not supported for type {type_name}')
    return SqlError("22023", f'unit "{field}" not recognized for type {type_name}')


_KNOWN: Final = frozenset(
    {*_TIME_FIELDS, *_DATE_FIELDS, "epoch", "julian", "timezone", "timezone_hour",
     "timezone_minute"}
)  # fmt: skip


def _infinite_field(field: str, us: int, type_name: str) -> Decimal | None:
    if field in _MONOTONE:
        return Decimal("Infinity") if us > 0 else Decimal("-Infinity")
    if field in _KNOWN:
        return None
    raise _unknown_field(field, type_name, known=False)


def _timestamp_field(text: str, us: int, type_name: str) -> Decimal | None:
    field = field_name(text)
    if us in _INFINITE:
        return _infinite_field(field, us, type_name)
    parts = _Fields(us)
    if field in _TIME_FIELDS:
        return _TIME_FIELDS[field](parts.time)
    if field in _DATE_FIELDS:
        return Decimal(_DATE_FIELDS[field](parts))
    if field == "epoch":
        return _scaled(us - UNIX_EPOCH_US, 6)
    if field == "julian":
        day = Decimal(parts.days + JULIAN_2000)
        if type_name == "date":
            return day
        return numeric_add(day, numeric_div(Decimal(parts.time), Decimal(US_PER_DAY)))
    raise _unknown_field(text.lower(), type_name, field in _KNOWN)


@forms.function("extract(text,timestamp)")
def extract_timestamp(text: str, us: int) -> Decimal | None:
    """22023, 0A000."""
    return _timestamp_field(text, us, "timestamp without time zone")


@forms.function("extract(text,timestamptz)", needs_context=True)
def extract_timestamptz(ctx: EvalContext, text: str, us: int) -> Decimal | None:
    """In the session's zone; 22023, 0A000."""
    name = "timestamp with time zone"
    field = field_name(text)
    if us in _INFINITE:
        return _infinite_field(field, us, name)
    zone = ctx.styles.zone
    if field == "epoch":
        return _scaled(us - UNIX_EPOCH_US, 6)
    if field.startswith("timezone"):
        return _zone_field(field, zone.offset_at(us))
    return _timestamp_field(text, to_local(us, zone), name)


def _zone_field(field: str, offset_s: int) -> Decimal:
    sign = -1 if offset_s < 0 else 1
    if field == "timezone_hour":
        return Decimal(sign * (abs(offset_s) // 3600))
    if field == "timezone_minute":
        return Decimal(sign * (abs(offset_s) // 60 % 60))
    return Decimal(offset_s)


@forms.function("extract(text,date)")
def extract_date(text: str, days: int) -> Decimal | None:
    """22023, 0A000: a date has no time."""
    field = field_name(text)
    if field in _TIME_FIELDS or field.startswith("timezone"):
        raise _unknown_field(text.lower(), "date", known=True)
    if days in (DATE_INFINITY, DATE_MINUS_INFINITY):
        return _infinite_field(field, days, "date")
    if field == "epoch":
        return Decimal(days * 86_400 - UNIX_EPOCH_US // US_PER_SECOND)
    return _timestamp_field(text, days * US_PER_DAY, "date")


@forms.function("extract(text,time)")
def extract_time(text: str, us: int) -> Decimal:
    """22023, 0A000."""
    field = field_name(text)
    if field == "epoch":
        return _scaled(us, 6)
    if field in _TIME_FIELDS:
        return _TIME_FIELDS[field](us)
    raise _unknown_field(text.lower(), "time without time zone", field in _KNOWN)


@forms.function("extract(text,timetz)")
def extract_timetz(text: str, value: TimeTz) -> Decimal:
    """22023, 0A000."""
    field = field_name(text)
    if field.startswith("timezone"):
        return _zone_field(field, -value[1])
    if field == "epoch":
        return _scaled(value[0] + value[1] * US_PER_SECOND, 6)
    if field in _TIME_FIELDS:
        return _TIME_FIELDS[field](value[0])
    raise _unknown_field(text.lower(), "time with time zone", field in _KNOWN)


def _quotient(value: int, divisor: int) -> int:
    return abs(value) // divisor * (-1 if value < 0 else 1)


@forms.function("extract(text,interval)")
def extract_interval(text: str, value: Interval) -> Decimal:
    """22023, 0A000."""
    months, days, us = value
    field = field_name(text)
    sign = -1 if us < 0 else 1
    if field in _TIME_FIELDS:
        return sign * _TIME_FIELDS[field](abs(us))
    years = _quotient(months, 12)
    found = {
        "day": days,
        "month": months - years * 12,
        "quarter": (months - years * 12) // 3 + 1,
        "year": years,
        "decade": _quotient(years, 10),
        "century": _quotient(years, 100),
        "millennium": _quotient(years, 1000),
    }.get(field)
    if found is not None:
        return Decimal(found)
    if field == "epoch":
        # A year counts 365.25 days, a month 30: as PostgreSQL counts them.
        whole = years * 31_557_600 + (months - years * 12) * 2_592_000 + days * 86_400
        return _scaled(whole * US_PER_SECOND + us, 6)
    raise _unknown_field(text.lower(), "interval", field in _KNOWN)


def _as_float(extract: Callable[..., Decimal | None]) -> Callable[..., float | None]:
    def date_part(*arguments: Any) -> float | None:
        found = extract(*arguments)
        return None if found is None else float(found)

    return date_part


for _type, _extract in (
    ("timestamp", extract_timestamp), ("date", extract_date), ("time", extract_time),
    ("timetz", extract_timetz), ("interval", extract_interval),
):  # fmt: skip
    forms.function(f"date_part(text,{_type})")(_as_float(_extract))
forms.function("date_part(text,timestamptz)", needs_context=True)(_as_float(extract_timestamptz))


# ------------------------------------------------------------ truncation


def _first_of(year: int, span: int) -> int:
    """The first year of a decade (span 10: 0-9) or of a century or millennium (1 to 100)."""
    if span == 10:
        return year // 10 * 10
    return (year - 1) // span * span + 1


# Fields that can be asked for but are no units to cut at.
_NO_SPAN: Final = frozenset({"isoyear", "dow", "isodow", "doy", "epoch", "julian"})


def truncate(text: str, us: int, type_name: str) -> int:
    """The start of the unit that holds a local time; 22023, 0A000."""
    field = field_name(text)
    if us in _INFINITE and field in _KNOWN:
        return us
    parts = _Fields(us)
    step = {"microseconds": 1, "milliseconds": 1000, "second": US_PER_SECOND,
            "minute": US_PER_MINUTE, "hour": US_PER_HOUR, "day": US_PER_DAY}.get(field)  # fmt: skip
    if step is not None:
        return us // step * step
    match field:
        case "week":
            days = parts.days - ((weekday(parts.days) or 7) - 1)
        case "month":
            days = days_from_civil(parts.year, parts.month, 1)
        case "quarter":
            days = days_from_civil(parts.year, (parts.month - 1) // 3 * 3 + 1, 1)
        case "year":
            days = days_from_civil(parts.year, 1, 1)
        case "decade" | "century" | "millennium":
            span = {"decade": 10, "century": 100, "millennium": 1000}[field]
            days = days_from_civil(_first_of(parts.year, span), 1, 1)
        case _:
            raise _unknown_field(text.lower(), type_name, field in _KNOWN and field not in _NO_SPAN)
    return days * US_PER_DAY


@forms.function("date_trunc(text,timestamp)")
def date_trunc(text: str, us: int) -> int:
    """22023, 0A000."""
    return truncate(text, us, "timestamp without time zone")


def _truncate_in(text: str, us: int, zone: Zone) -> int:
    local = truncate(text, to_local(us, zone), "timestamp with time zone")
    return to_instant(local, zone)


@forms.function("date_trunc(text,timestamptz)", needs_context=True)
def date_trunc_tz(ctx: EvalContext, text: str, us: int) -> int:
    """In the session's zone; 22023, 0A000."""
    return _truncate_in(text, us, ctx.styles.zone)


@forms.function("date_trunc(text,timestamptz,text)")
def date_trunc_zone(text: str, us: int, zone: str) -> int:
    """In a given zone; 22023, 0A000."""
    return _truncate_in(text, us, _zone_at(zone, us, local=False))


@forms.function("date_trunc(text,interval)")
def date_trunc_interval(text: str, value: Interval) -> Interval:
    """22023, 0A000."""
    months, days, us = value
    field = field_name(text)
    spans = {"month": 1, "quarter": 3, "year": 12, "decade": 120, "century": 1200,
             "millennium": 12_000}  # fmt: skip
    steps = {"microseconds": 1, "milliseconds": 1000, "second": US_PER_SECOND,
             "minute": US_PER_MINUTE, "hour": US_PER_HOUR}  # fmt: skip
    if field in spans:
        return _quotient(months, spans[field]) * spans[field], 0, 0
    if field == "day":
        return months, days, 0
    if field in steps:
        return months, days, _quotient(us, steps[field]) * steps[field]
    error = _unknown_field(text.lower(), "interval", field in _KNOWN and field not in _NO_SPAN)
    if field == "week":
        error.detail = "Months usually have fractional weeks."
    raise error


@forms.function(
    "date_bin(interval,timestamp,timestamp)", "date_bin(interval,timestamptz,timestamptz)"
)
def date_bin(stride: Interval, us: int, origin: int) -> int:
    """The start of the stride that holds `us`, counted from `origin`; 22008, 0A000."""
    if us in _INFINITE:
        return us
    if stride[0]:
        raise SqlError(
            "0A000", "timestamps cannot be binned into intervals containing months or years"
        )
    step = stride[1] * US_PER_DAY + stride[2]
    if step <= 0:
        raise SqlError("22008", "stride must be greater than zero")
    if not (-_INT8 <= step < _INT8 and -_INT8 <= us - origin < _INT8):
        raise SqlError("22008", "interval out of range")
    return check_timestamp(origin + (us - origin) // step * step)


# ------------------------------------------------------------ age


@forms.function("age(timestamptz,timestamptz)", needs_context=True)
def age_in_zone(ctx: EvalContext, left: int, right: int) -> Interval:
    """By the local times in the session's zone; 22008 for infinite ones."""
    if left in _INFINITE or right in _INFINITE:
        raise SqlError("22008", "cannot subtract infinite timestamps")
    zone = ctx.styles.zone
    return age(to_local(left, zone), to_local(right, zone))


@forms.function("age(timestamp,timestamp)")
def age(left: int, right: int) -> Interval:
    """The gap in years, months, days and time; 22008 for infinite ones."""
    if left in _INFINITE or right in _INFINITE:
        raise SqlError("22008", "cannot subtract infinite timestamps")
    sign = 1
    if left < right:
        left, right, sign = right, left, -1
    late, early = _Fields(left), _Fields(right)
    months = (late.year - early.year) * 12 + late.month - early.month
    days = late.day - early.day
    time = late.time - early.time
    if time < 0:
        time += US_PER_DAY
        days -= 1
    if days < 0:
        # Borrowed from the month of the earlier one, as PostgreSQL borrows.
        days += days_in_month(early.year, early.month)
        months -= 1
    return sign * months, sign * days, sign * time


@forms.function("age(timestamp)", needs_context=True)
def age_now(ctx: EvalContext, us: int) -> Interval:
    """Since this morning's midnight."""
    return age(_midnight(ctx), us)


@forms.function("age(timestamptz)", needs_context=True)
def age_now_tz(ctx: EvalContext, us: int) -> Interval:
    """Since this morning's midnight, both as the session's zone shows them."""
    return age(_midnight(ctx), to_local(us, ctx.styles.zone))


_INT8: Final = 2**63


def _midnight(ctx: EvalContext) -> int:
    return to_local(ctx.transaction_us, ctx.styles.zone) // US_PER_DAY * US_PER_DAY


# ------------------------------------------------------------ zones


def need_zone(name: str) -> Zone:
    """The zone of a name, or of an offset written as text; 22023."""
    zone = find_zone(name)
    if zone is None:
        raise SqlError("22023", f'time zone "{name}" not recognized')
    return zone


def _zone_at(name: str, us: int, *, local: bool) -> Zone:
    """A zone or an abbreviation, whose meaning may depend on the time; 22023."""
    offset = zone_offset(name, us, local=local)
    return need_zone(name) if offset is None else fixed_zone(offset)


def _interval_zone(value: Interval) -> Zone:
    if value[0] or value[1]:
        shown = interval_text(value, DEFAULT_STYLES)
        raise SqlError("22023", f'interval time zone "{shown}" must not include months or days')
    return fixed_zone(value[2] // US_PER_SECOND)


@forms.function("timezone(text,timestamptz)")
def at_zone(zone: str, us: int) -> int:
    """timestamptz AT TIME ZONE; 22023."""
    return us if us in _INFINITE else to_local(us, _zone_at(zone, us, local=False))


@forms.function("timezone(text,timestamp)")
def in_zone(zone: str, us: int) -> int:
    """timestamp AT TIME ZONE; 22023."""
    return us if us in _INFINITE else to_instant(us, _zone_at(zone, us, local=True))


@forms.function("timezone(interval,timestamptz)")
def at_offset(zone: Interval, us: int) -> int:
    """22023."""
    return us if us in _INFINITE else to_local(us, _interval_zone(zone))


@forms.function("timezone(interval,timestamp)")
def in_offset(zone: Interval, us: int) -> int:
    """22023."""
    return us if us in _INFINITE else to_instant(us, _interval_zone(zone))


@forms.function("timezone(text,timetz)", needs_context=True)
def timetz_at_zone(ctx: EvalContext, zone: str, value: TimeTz) -> TimeTz:
    """With the zone's offset now; 22023."""
    now = ctx.transaction_us
    return _moved(value, _zone_at(zone, now, local=False).offset_at(now))


@forms.function("timezone(interval,timetz)")
def timetz_at_offset(zone: Interval, value: TimeTz) -> TimeTz:
    """22023."""
    return _moved(value, _interval_zone(zone).offset_at(0))


def _moved(value: TimeTz, offset: int) -> TimeTz:
    return (value[0] + (value[1] + offset) * US_PER_SECOND) % US_PER_DAY, -offset


# ------------------------------------------------------------ making


def _out_of_range(what: str, text: str) -> SqlError:
    return SqlError("22008", f"{what} field value out of range: {text}")


@forms.function("make_date(int4,int4,int4)")
def make_date(year: int, month: int, day: int) -> int:
    """Negative years are BC; 22008."""
    actual = year + 1 if year < 0 else year
    if year == 0 or not 1 <= month <= 12 or not 1 <= day <= days_in_month(actual, month):
        raise _out_of_range("date", f"{year}-{month:02d}-{day:02d}")
    return check_date(days_from_civil(actual, month, day))


@forms.function("make_time(int4,int4,float8)")
def make_time(hour: int, minute: int, second: float) -> int:
    """22008."""
    if not (0 <= hour <= 24 and 0 <= minute <= 59 and 0 <= second <= 60):
        raise _out_of_range("time", f"{hour}:{minute:02d}:{second:02g}")
    us = hour * US_PER_HOUR + minute * US_PER_MINUTE + round(second * US_PER_SECOND)
    if us > US_PER_DAY:
        raise _out_of_range("time", f"{hour}:{minute:02d}:{second:02g}")
    return us


@forms.function("make_timestamp(int4,int4,int4,int4,int4,float8)")
def make_timestamp(*fields: Any) -> int:
    """22008."""
    year, month, day, hour, minute, second = fields
    date = make_date(year, month, day)
    return check_timestamp(date * US_PER_DAY + make_time(hour, minute, second))


@forms.function("make_timestamptz(int4,int4,int4,int4,int4,float8)", needs_context=True)
def make_timestamptz(ctx: EvalContext, *fields: Any) -> int:
    """In the session's zone; 22008."""
    return to_instant(make_timestamp(*fields), ctx.styles.zone)


@forms.function("make_timestamptz(int4,int4,int4,int4,int4,float8,text)")
def make_timestamptz_zone(*fields: Any) -> int:
    """In a given zone; 22008, 22023."""
    local, name = make_timestamp(*fields[:6]), fields[6]
    if name[:1].isdigit():
        raise SqlError(
            "22023",
            f'invalid input syntax for type numeric time zone: "{name}"',
            hint='Numeric time zones must have "-" or "+" as first character.',
        )
    offset = numeric_offset(name)
    if offset is not None:
        return check_timestamp(local - offset * US_PER_SECOND)
    return to_instant(local, _zone_at(name, local, local=True))


# ------------------------------------------------------------ series


def _direction(step: Interval) -> int:
    span = step[0] * 30 * US_PER_DAY + step[1] * US_PER_DAY + step[2]
    if span == 0:
        raise SqlError("22023", "step size cannot equal zero")
    return 1 if span > 0 else -1


def _walk(start: int, stop: int, sign: int, advance: Callable[[int], int]) -> Iterator[int]:
    us = start
    while us <= stop if sign > 0 else us >= stop:
        yield us
        us = advance(us)


@forms.function("generate_series(timestamp,timestamp,interval)")
def generate_timestamps(start: int, stop: int, step: Interval) -> Iterator[int]:
    """In steps of an interval; 22023."""
    return _walk(start, stop, _direction(step), lambda us: timestamp_add(us, step))


@forms.function("generate_series(timestamptz,timestamptz,interval)", needs_context=True)
def generate_timestamptzs(ctx: EvalContext, start: int, stop: int, step: Interval) -> Iterator[int]:
    """By the wall clock of the session's zone; 22023."""
    zone = ctx.styles.zone
    return _walk(start, stop, _direction(step), lambda us: add_in_zone(us, step, zone))
