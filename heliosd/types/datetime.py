"""date, time, timetz, timestamp and timestamptz: integers since 2000-01-01, as on the wire."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.calendar import (
    DATE_END,
    DATE_INFINITY,
    DATE_MIN,
    DATE_MINUS_INFINITY,
    TIMESTAMP_END,
    TIMESTAMP_INFINITY,
    TIMESTAMP_MIN,
    TIMESTAMP_MINUS_INFINITY,
    UNIX_EPOCH_DAYS,
    UNIX_EPOCH_US,
    US_PER_DAY,
    US_PER_SECOND,
    days_from_civil,
    days_in_month,
)
from heliosd.types.context import EvalContext
from heliosd.types.datetime_parse import BadDateError, Moment, parse_datetime
from heliosd.types.datetime_text import date_text, offset_text, time_text, timestamp_text
from heliosd.types.declare import Forms, context_free, sql_type
from heliosd.types.failures import wrong_length
from heliosd.types.registry import KeyKind
from heliosd.types.zone import Zone

forms: Final = Forms()

TimeTz = tuple[int, int]
"""(microseconds of the day, seconds west of UTC)."""


def bad_datetime(type_name: str, text: str) -> SqlError:
    """22007."""
    return SqlError("22007", f'invalid input syntax for type {type_name}: "{text}"')


def check_timestamp(us: int) -> int:
    """`us` when a timestamp can hold it; 22008."""
    if TIMESTAMP_MIN <= us < TIMESTAMP_END:
        return us
    raise SqlError("22008", "timestamp out of range")


def check_date(days: int) -> int:
    """`days` when a date can hold it; 22008."""
    if DATE_MIN <= days < DATE_END:
        return days
    raise SqlError("22008", "date out of range")


def round_us(us: int, precision: int) -> int:
    """Microseconds rounded to `precision` digits of a second, half away from zero."""
    if precision >= 6 or precision < 0:
        return us
    step: int = 10 ** (6 - precision)
    if us >= 0:
        return (us + step // 2) // step * step
    return -((-us + step // 2) // step * step)


def _fit(value: int, typmod: int, explicit: bool) -> int:  # noqa: FBT001 - declared so
    if value in (TIMESTAMP_INFINITY, TIMESTAMP_MINUS_INFINITY):
        return value
    return round_us(value, typmod)


def _timetz_fit(value: TimeTz, typmod: int, explicit: bool) -> TimeTz:  # noqa: FBT001
    return round_us(value[0], typmod), value[1]


def _parse(text: str, type_name: str, ctx: EvalContext) -> Moment:
    try:
        return parse_datetime(text, ctx)
    except BadDateError:
        raise bad_datetime(type_name, text) from None


def _days(moment: Moment, type_name: str, text: str) -> int:
    try:
        return moment.days(text)
    except BadDateError:
        raise bad_datetime(type_name, text) from None


def local_now(ctx: EvalContext) -> int:
    """The transaction's start as a local timestamp."""
    now = ctx.transaction_us
    return now + ctx.styles.zone.offset_at(now) * US_PER_SECOND


_SPECIAL_DAYS: Final = {"today": 0, "now": 0, "tomorrow": 1, "yesterday": -1}


def _date_in(text: str, typmod: int, ctx: EvalContext) -> int:
    if len(text) == 10 and text[4] == "-" and text[7] == "-" and text.isascii():
        year, month, day = text[:4], text[5:7], text[8:]
        if year.isdigit() and month.isdigit() and day.isdigit() and year > "0099":
            y, m, d = int(year), int(month), int(day)
            if 1 <= m <= 12 and 1 <= d <= days_in_month(y, m):
                return days_from_civil(y, m, d)
    moment = _parse(text, "date", ctx)
    if moment.special:
        return _special_date(moment.special, ctx)
    days = _days(moment, "date", text)
    if DATE_MIN <= days < DATE_END:
        return days
    raise SqlError("22008", f'date out of range: "{text}"')


def _special_date(word: str, ctx: EvalContext) -> int:
    if word == "infinity":
        return DATE_INFINITY
    if word == "-infinity":
        return DATE_MINUS_INFINITY
    if word == "epoch":
        return UNIX_EPOCH_DAYS
    return local_now(ctx) // US_PER_DAY + _SPECIAL_DAYS[word]


def _local_timestamp(text: str, type_name: str, ctx: EvalContext) -> tuple[int, Moment]:
    """The wall-clock time written, zones left to the caller."""
    moment = _parse(text, type_name, ctx)
    if moment.special:
        return _special_timestamp(moment, type_name, text, ctx), moment
    days = _days(moment, type_name, text)
    return days * US_PER_DAY + (moment.time or 0), moment


def _special_timestamp(moment: Moment, type_name: str, text: str, ctx: EvalContext) -> int:
    word = moment.special
    if word == "infinity":
        return TIMESTAMP_INFINITY
    if word == "-infinity":
        return TIMESTAMP_MINUS_INFINITY
    if word == "epoch":
        return UNIX_EPOCH_US
    now = local_now(ctx)
    if word == "now":
        if moment.time is not None:
            raise bad_datetime(type_name, text)
        return now
    return (now // US_PER_DAY + _SPECIAL_DAYS[word]) * US_PER_DAY + (moment.time or 0)


def _in_range(us: int, text: str) -> int:
    if TIMESTAMP_MIN <= us < TIMESTAMP_END:
        return us
    raise SqlError("22008", f'timestamp out of range: "{text}"')


def _timestamp_in(text: str, typmod: int, ctx: EvalContext) -> int:
    us, moment = _local_timestamp(text, "timestamp", ctx)
    if moment.special in ("infinity", "-infinity"):
        return us
    return _in_range(round_us(us, typmod), text)


def _timestamptz_in(text: str, typmod: int, ctx: EvalContext) -> int:
    us, moment = _local_timestamp(text, "timestamp with time zone", ctx)
    if moment.special in ("infinity", "-infinity", "epoch"):
        return us
    if moment.special == "now":
        return round_us(ctx.transaction_us, typmod)
    if moment.zone_s is not None:
        us -= moment.zone_s * US_PER_SECOND
    else:
        us = local_to_utc(us, moment.zone or ctx.styles.zone)
    return _in_range(round_us(us, typmod), text)


def local_to_utc(us: int, zone: Zone) -> int:
    """The instant of a wall-clock time in a zone."""
    return us - zone.offset_of_local(us) * US_PER_SECOND


def _time_of(moment: Moment, type_name: str, text: str, ctx: EvalContext) -> int:
    if moment.special:
        if moment.special == "now":
            return local_now(ctx) % US_PER_DAY
        raise bad_datetime(type_name, text)
    if moment.time is not None:
        return moment.time
    raise bad_datetime(type_name, text)


_PACKED_TIME: Final = {4: "00", 6: ""}


def _parse_time(text: str, type_name: str, ctx: EvalContext) -> Moment:
    """A time may be a bare run of digits: 0405, 040506."""
    stripped = text.strip().lstrip("tT")
    digits = len(stripped) - len(stripped.lstrip("0123456789"))
    if digits in _PACKED_TIME and stripped[digits : digits + 1].strip() not in {":", "-", "/"}:
        run = stripped[:digits] + _PACKED_TIME[digits]
        return _parse(f"{run[:2]}:{run[2:4]}:{run[4:6]}{stripped[digits:]}", type_name, ctx)
    return _parse(text, type_name, ctx)


def _time_in(text: str, typmod: int, ctx: EvalContext) -> int:
    moment = _parse_time(text, "time", ctx)
    return round_us(_time_of(moment, "time", text, ctx), typmod)


def _timetz_in(text: str, typmod: int, ctx: EvalContext) -> TimeTz:
    moment = _parse_time(text, "time with time zone", ctx)
    us = _time_of(moment, "time with time zone", text, ctx)
    if moment.zone_s is not None:
        east = moment.zone_s
    else:
        zone = moment.zone or ctx.styles.zone
        if moment.has_date:
            local = _days(moment, "time with time zone", text) * US_PER_DAY + us
        else:
            if moment.zone is not None and moment.zone.info is not None:
                # which offset a named zone has depends on the day
                raise bad_datetime("time with time zone", text)
            local = local_now(ctx) // US_PER_DAY * US_PER_DAY + us
        east = zone.offset_of_local(local)
    return round_us(us, typmod), -east


def timetz_text(value: TimeTz) -> str:
    """hh:mm:ss+hh."""
    return time_text(value[0]) + offset_text(-value[1])


def timetz_key(value: TimeTz) -> tuple[int, int]:
    """Order: by the instant, then by the zone."""
    return value[0] + value[1] * US_PER_SECOND, value[1]


_TIMETZ: Final = struct.Struct(">qi")
_TIMETZ_KEY: Final = struct.Struct(">QI")


def _timetz_send(value: TimeTz) -> bytes:
    return _TIMETZ.pack(*value)


def _timetz_unpack(data: bytes) -> TimeTz:
    us, zone = _TIMETZ.unpack(data)
    return us, zone


def _timetz_receive(data: bytes, typmod: int, ctx: EvalContext) -> TimeTz:
    if len(data) != 12:
        raise wrong_length(data, 12)
    us, zone = _TIMETZ.unpack(data)
    if not 0 <= us <= US_PER_DAY:
        raise SqlError("22008", "time out of range")
    if not -57_600 < zone < 57_600:
        raise SqlError("22009", "time zone displacement out of range")
    return round_us(us, typmod), zone


def _timetz_key_bytes(value: TimeTz) -> bytes:
    instant, zone = timetz_key(value)
    return _TIMETZ_KEY.pack(instant + (1 << 62), zone + (1 << 31))


_DATE: Final = struct.Struct(">i")
_MICROSECONDS: Final = struct.Struct(">q")


def _date_receive(data: bytes, typmod: int, ctx: EvalContext) -> int:
    if len(data) != 4:
        raise wrong_length(data, 4)
    days: int = _DATE.unpack(data)[0]
    return days if days in (DATE_INFINITY, DATE_MINUS_INFINITY) else check_date(days)


def _time_receive(data: bytes, typmod: int, ctx: EvalContext) -> int:
    if len(data) != 8:
        raise wrong_length(data, 8)
    us: int = _MICROSECONDS.unpack(data)[0]
    if not 0 <= us <= US_PER_DAY:
        raise SqlError("22008", "time out of range")
    return round_us(us, typmod)


def _timestamp_receive(data: bytes, typmod: int, ctx: EvalContext) -> int:
    if len(data) != 8:
        raise wrong_length(data, 8)
    us: int = _MICROSECONDS.unpack(data)[0]
    if us in (TIMESTAMP_INFINITY, TIMESTAMP_MINUS_INFINITY):
        return us
    return check_timestamp(round_us(us, typmod))


def _precision_in(suffix: str) -> Callable[[tuple[str, ...]], int]:
    def typmod_in(modifiers: tuple[str, ...]) -> int:
        if len(modifiers) != 1:
            raise SqlError("22023", "invalid type modifier")
        precision = int(modifiers[0])
        if precision < 0:
            raise SqlError("22023", f"{suffix}({precision}) precision must not be negative")
        return min(precision, 6)

    return typmod_in


def _precision_out(typmod: int) -> str:
    return f"({typmod})" if typmod >= 0 else ""


def _date_out(value: int, ctx: EvalContext) -> str:
    return date_text(value, ctx.styles)


def _timestamp_out(value: int, ctx: EvalContext) -> str:
    return timestamp_text(value, ctx.styles)


def _timestamptz_out(value: int, ctx: EvalContext) -> str:
    styles = ctx.styles
    return timestamp_text(value, styles, styles.zone)


types: Final = (
    sql_type(
        "date",
        input=_date_in,
        output=_date_out,
        receive=_date_receive,
        plain_send=_DATE.pack,
        shape="i",
        key=KeyKind.INT,
    ),
    sql_type(
        "time",
        input=_time_in,
        output=context_free(time_text),
        plain_output=time_text,
        receive=_time_receive,
        plain_send=_MICROSECONDS.pack,
        shape="q",
        key=KeyKind.INT,
        typmod_in=_precision_in("TIME"),
        typmod_out=_precision_out,
        apply_typmod=_fit,
    ),
    sql_type(
        "timetz",
        input=_timetz_in,
        output=context_free(timetz_text),
        plain_output=timetz_text,
        receive=_timetz_receive,
        plain_send=_timetz_send,
        shape="b",
        pack=_timetz_send,
        unpack=_timetz_unpack,
        key=KeyKind.BYTES,
        key_value=_timetz_key_bytes,
        native=False,
        sort_key=timetz_key,
        typmod_in=_precision_in("TIME"),
        typmod_out=_precision_out,
        apply_typmod=_timetz_fit,
    ),
    sql_type(
        "timestamp",
        input=_timestamp_in,
        output=_timestamp_out,
        receive=_timestamp_receive,
        plain_send=_MICROSECONDS.pack,
        shape="q",
        key=KeyKind.INT,
        typmod_in=_precision_in("TIMESTAMP"),
        typmod_out=_precision_out,
        apply_typmod=_fit,
    ),
    sql_type(
        "timestamptz",
        input=_timestamptz_in,
        output=_timestamptz_out,
        receive=_timestamp_receive,
        plain_send=_MICROSECONDS.pack,
        shape="q",
        key=KeyKind.INT,
        typmod_in=_precision_in("TIMESTAMP"),
        typmod_out=_precision_out,
        apply_typmod=_fit,
    ),
)
