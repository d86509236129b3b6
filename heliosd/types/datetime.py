"""date, time, timetz, timestamp and timestamptz: integers since 2000-01-01, as on the wire."""

from __future__ import annotations

import re
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
from heliosd.types.datetime_parse import Moment, parse_datetime, parse_time
from heliosd.types.datetime_text import date_text, offset_text, time_text, timestamp_text
from heliosd.types.datetime_tokens import BadDateError
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


def local_now(ctx: EvalContext) -> int:
    """The transaction's start as a local timestamp."""
    now = ctx.transaction_us
    return now + ctx.styles.zone.offset_at(now) * US_PER_SECOND


def _date_in(text: str, typmod: int, ctx: EvalContext) -> int:
    if len(text) == 10 and text[4] == "-" and text[7] == "-" and text.isascii():
        year, month, day = text[:4], text[5:7], text[8:]
        if year.isdigit() and month.isdigit() and day.isdigit() and year > "0099":
            y, m, d = int(year), int(month), int(day)
            if 1 <= m <= 12 and 1 <= d <= days_in_month(y, m):
                return days_from_civil(y, m, d)
    moment = _parse(text, "date", ctx)
    match moment.kind:
        case "infinity":
            return DATE_INFINITY
        case "-infinity":
            return DATE_MINUS_INFINITY
        case "epoch":
            return UNIX_EPOCH_DAYS
    if DATE_MIN <= moment.days < DATE_END:
        return moment.days
    raise SqlError("22008", f'date out of range: "{text}"')


_ISO_TIMESTAMP: Final = re.compile(
    r"([1-9]\d{3})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?", re.ASCII
)


def _iso_timestamp(text: str) -> int | None:
    """The commonest form, read quickly; None for any other."""
    match = _ISO_TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction = match.groups("")
    y, m, d = int(year), int(month), int(day)
    if not (1 <= m <= 12 and 1 <= d <= days_in_month(y, m)):
        return None
    if hour > "23" or minute > "59" or second > "59":
        return None
    us = ((int(hour) * 60 + int(minute)) * 60 + int(second)) * US_PER_SECOND
    return days_from_civil(y, m, d) * US_PER_DAY + us + int(fraction.ljust(6, "0"))


_SPECIAL_US: Final = {
    "infinity": TIMESTAMP_INFINITY,
    "-infinity": TIMESTAMP_MINUS_INFINITY,
    "epoch": UNIX_EPOCH_US,
}


def _in_range(us: int, text: str) -> int:
    if TIMESTAMP_MIN <= us < TIMESTAMP_END:
        return us
    raise SqlError("22008", f'timestamp out of range: "{text}"')


def _timestamp_in(text: str, typmod: int, ctx: EvalContext) -> int:
    us = _iso_timestamp(text)
    if us is not None:
        return round_us(us, typmod)
    moment = _parse(text, "timestamp", ctx)
    if moment.kind:
        return _SPECIAL_US[moment.kind]
    return _in_range(round_us(_in_range(moment.local_us, text), typmod), text)


def _timestamptz_in(text: str, typmod: int, ctx: EvalContext) -> int:
    us = _iso_timestamp(text)
    if us is not None:
        return round_us(local_to_utc(us, ctx.styles.zone), typmod)
    moment = _parse(text, "timestamp with time zone", ctx)
    if moment.kind:
        return _SPECIAL_US[moment.kind]
    us = moment.local_us
    if moment.zone_s is not None:
        us -= moment.zone_s * US_PER_SECOND
    else:
        us = local_to_utc(us, ctx.styles.zone)
    return _in_range(round_us(_in_range(us, text), typmod), text)


def local_to_utc(us: int, zone: Zone) -> int:
    """The instant of a wall-clock time in a zone."""
    return us - zone.offset_of_local(us) * US_PER_SECOND


def _parse_time(text: str, type_name: str, ctx: EvalContext) -> Moment:
    try:
        return parse_time(text, ctx)
    except BadDateError:
        raise bad_datetime(type_name, text) from None


def _time_in(text: str, typmod: int, ctx: EvalContext) -> int:
    return round_us(_parse_time(text, "time", ctx).time_us, typmod)


def _timetz_in(text: str, typmod: int, ctx: EvalContext) -> TimeTz:
    moment = _parse_time(text, "time with time zone", ctx)
    east = moment.zone_s
    if east is None:
        east = ctx.styles.zone.offset_of_local(moment.local_us)
    return round_us(moment.time_us, typmod), -east


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
