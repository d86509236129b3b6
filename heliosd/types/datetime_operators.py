"""Operators and casts between dates, times, timestamps and intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.calendar import (
    DATE_INFINITY,
    DATE_MINUS_INFINITY,
    TIMESTAMP_END,
    TIMESTAMP_INFINITY,
    TIMESTAMP_MIN,
    TIMESTAMP_MINUS_INFINITY,
    US_PER_DAY,
    US_PER_SECOND,
    civil_from_days,
    days_from_civil,
    days_in_month,
)
from heliosd.types.context import EvalContext
from heliosd.types.datetime import TimeTz, check_date, check_timestamp, local_to_utc, timetz_key
from heliosd.types.declare import Forms, six
from heliosd.types.interval import Interval
from heliosd.types.registry import SqlType
from heliosd.types.zone import Zone

forms: Final = Forms()
types: Final[tuple[SqlType, ...]] = ()

_INFINITE_DATES: Final = (DATE_INFINITY, DATE_MINUS_INFINITY)
_INFINITE: Final = (TIMESTAMP_INFINITY, TIMESTAMP_MINUS_INFINITY)

for _name in ("date", "time", "timestamp", "timestamptz"):
    forms.comparisons(_name, _name, " ".join(f"{_name}_{op}" for op in six("").split()))
    forms.templates(
        {
            f"{_name}_larger({_name},{_name})": "max({0}, {1})",
            f"{_name}_smaller({_name},{_name})": "min({0}, {1})",
        }
    )
forms.helper(timetz_key)
forms.comparisons(
    "timetz", "timetz", " ".join(f"timetz_{op}" for op in six("").split()),
    "timetz_key({0}) {op} timetz_key({1})",
)  # fmt: skip


# ------------------------------------------------------------ conversions


@forms.helper
def date_to_timestamp(days: int) -> int:
    """Midnight; 22008."""
    if days == DATE_INFINITY:
        return TIMESTAMP_INFINITY
    if days == DATE_MINUS_INFINITY:
        return TIMESTAMP_MINUS_INFINITY
    us = days * US_PER_DAY
    if not TIMESTAMP_MIN <= us < TIMESTAMP_END:
        raise SqlError("22008", "date out of range for timestamp")
    return us


@forms.helper
def timestamp_to_date(us: int) -> int:
    """The day."""
    if us == TIMESTAMP_INFINITY:
        return DATE_INFINITY
    if us == TIMESTAMP_MINUS_INFINITY:
        return DATE_MINUS_INFINITY
    return us // US_PER_DAY


def to_local(us: int, zone: Zone) -> int:
    """An instant as wall-clock time; 22008."""
    if us in _INFINITE:
        return us
    return check_timestamp(us + zone.offset_at(us) * US_PER_SECOND)


def to_instant(us: int, zone: Zone) -> int:
    """Wall-clock time as an instant; 22008."""
    return us if us in _INFINITE else check_timestamp(local_to_utc(us, zone))


forms.templates(
    {
        "timestamp(date)": "date_to_timestamp({0})",
        "date(timestamp)": "timestamp_to_date({0})",
    }
)


@forms.function("timestamptz(date)", needs_context=True)
def date_to_timestamptz(ctx: EvalContext, days: int) -> int:
    """Midnight in the session's zone."""
    return to_instant(date_to_timestamp(days), ctx.styles.zone)


@forms.function("timestamptz(timestamp)", needs_context=True)
def timestamp_to_timestamptz(ctx: EvalContext, us: int) -> int:
    """In the session's zone."""
    return to_instant(us, ctx.styles.zone)


@forms.function("timestamp(timestamptz)", needs_context=True)
def timestamptz_to_timestamp(ctx: EvalContext, us: int) -> int:
    """In the session's zone."""
    return to_local(us, ctx.styles.zone)


@forms.function("date(timestamptz)", needs_context=True)
def timestamptz_to_date(ctx: EvalContext, us: int) -> int:
    """The day in the session's zone."""
    return timestamp_to_date(to_local(us, ctx.styles.zone))


@forms.function("time(timestamp)")
def timestamp_to_time(us: int) -> int | None:
    """The time of day; NULL of infinity."""
    return None if us in _INFINITE else us % US_PER_DAY


@forms.function("time(timestamptz)", needs_context=True)
def timestamptz_to_time(ctx: EvalContext, us: int) -> int | None:
    """The time of day in the session's zone."""
    return timestamp_to_time(to_local(us, ctx.styles.zone))


@forms.function("timetz(timestamptz)", needs_context=True)
def timestamptz_to_timetz(ctx: EvalContext, us: int) -> TimeTz | None:
    """With the session's offset at that instant."""
    if us in _INFINITE:
        return None
    offset = ctx.styles.zone.offset_at(us)
    return (us + offset * US_PER_SECOND) % US_PER_DAY, -offset


@forms.function("timetz(time)", needs_context=True)
def time_to_timetz(ctx: EvalContext, us: int) -> TimeTz:
    """With the session's offset now."""
    return us, -ctx.styles.zone.offset_at(ctx.transaction_us)


forms.templates(
    {
        "time(timetz)": "{0}[0]",
        "time(interval)": "{0}[2] % 86400000000",
        "interval(time)": "(0, 0, {0})",
    }
)

# ------------------------------------------------------------ dates with numbers


@forms.function("date_pli(date,int4)")
def date_plus(days: int, count: int) -> int:
    """22008."""
    return days if days in _INFINITE_DATES else check_date(days + count)


@forms.function("integer_pl_date(int4,date)")
def plus_date(count: int, days: int) -> int:
    """22008."""
    return date_plus(days, count)


@forms.function("date_mii(date,int4)")
def date_minus(days: int, count: int) -> int:
    """22008."""
    return date_plus(days, -count)


@forms.function("date_mi(date,date)")
def date_difference(left: int, right: int) -> int:
    """Days; 22008 for infinite dates."""
    if left in _INFINITE_DATES or right in _INFINITE_DATES:
        raise SqlError("22008", "cannot subtract infinite dates")
    return left - right


@forms.function("datetime_pl(date,time)", "timestamp(date,time)")
def date_at_time(days: int, us: int) -> int:
    """A date and a time of day; 22008."""
    start = date_to_timestamp(days)
    return start if start in _INFINITE else check_timestamp(start + us)


@forms.function("timedate_pl(time,date)")
def time_on_date(us: int, days: int) -> int:
    """22008."""
    return date_at_time(days, us)


@forms.function("datetimetz_pl(date,timetz)", "timestamptz(date,timetz)")
def date_at_timetz(days: int, value: TimeTz) -> int:
    """A date and a time of day with its zone; 22008."""
    start = date_to_timestamp(days)
    if start in _INFINITE:
        return start
    return check_timestamp(start + value[0] + value[1] * US_PER_SECOND)


@forms.function("timetzdate_pl(timetz,date)")
def timetz_on_date(value: TimeTz, days: int) -> int:
    """22008."""
    return date_at_timetz(days, value)


@forms.function("timestamptz(date,time)", needs_context=True)
def date_at_time_here(ctx: EvalContext, days: int, us: int) -> int:
    """In the session's zone; 22008."""
    return _instant(ctx, date_at_time(days, us))


# ------------------------------------------------------------ intervals


def add_months(days: int, months: int) -> int:
    """The same day of another month, or its last."""
    year, month, day = civil_from_days(days)
    whole = year * 12 + month - 1 + months
    year, month = whole // 12, whole % 12 + 1
    return days_from_civil(year, month, min(day, days_in_month(year, month)))


@forms.function("timestamp_pl_interval(timestamp,interval)")
def timestamp_add(us: int, value: Interval) -> int:
    """Months, then days, then time; 22008."""
    if us in _INFINITE:
        return us
    months, days, rest = value
    day, time = divmod(us, US_PER_DAY)
    if months:
        day = add_months(day, months)
    return check_timestamp((day + days) * US_PER_DAY + time + rest)


def _negated(value: Interval) -> Interval:
    return -value[0], -value[1], -value[2]


@forms.function("timestamp_mi_interval(timestamp,interval)")
def timestamp_subtract(us: int, value: Interval) -> int:
    """22008."""
    return timestamp_add(us, _negated(value))


def add_in_zone(us: int, value: Interval, zone: Zone) -> int:
    """Months and days by the wall clock, time by the instant; 22008."""
    if us in _INFINITE:
        return us
    months, days, rest = value
    if months or days:
        us = to_instant(timestamp_add(to_local(us, zone), (months, days, 0)), zone)
    return check_timestamp(us + rest)


@forms.function("timestamptz_pl_interval(timestamptz,interval)", needs_context=True)
def timestamptz_add(ctx: EvalContext, us: int, value: Interval) -> int:
    """22008."""
    return add_in_zone(us, value, ctx.styles.zone)


@forms.function("timestamptz_mi_interval(timestamptz,interval)", needs_context=True)
def timestamptz_subtract(ctx: EvalContext, us: int, value: Interval) -> int:
    """22008."""
    return add_in_zone(us, _negated(value), ctx.styles.zone)


@forms.function("interval_pl_timestamp(interval,timestamp)")
def interval_plus_timestamp(value: Interval, us: int) -> int:
    """22008."""
    return timestamp_add(us, value)


@forms.function("interval_pl_timestamptz(interval,timestamptz)", needs_context=True)
def interval_plus_timestamptz(ctx: EvalContext, value: Interval, us: int) -> int:
    """22008."""
    return add_in_zone(us, value, ctx.styles.zone)


@forms.function("date_pl_interval(date,interval)")
def date_add(days: int, value: Interval) -> int:
    """A timestamp; 22008."""
    return timestamp_add(date_to_timestamp(days), value)


@forms.function("date_mi_interval(date,interval)")
def date_subtract(days: int, value: Interval) -> int:
    """A timestamp; 22008."""
    return timestamp_add(date_to_timestamp(days), _negated(value))


@forms.function("interval_pl_date(interval,date)")
def interval_plus_date(value: Interval, days: int) -> int:
    """A timestamp; 22008."""
    return date_add(days, value)


@forms.function("timestamp_mi(timestamp,timestamp)", "timestamptz_mi(timestamptz,timestamptz)")
def timestamp_difference(left: int, right: int) -> Interval:
    """Days and time; 22008 for infinite ones."""
    if left in _INFINITE or right in _INFINITE:
        raise SqlError("22008", "cannot subtract infinite timestamps")
    gap = left - right
    days = abs(gap) // US_PER_DAY * (-1 if gap < 0 else 1)
    return 0, days, gap - days * US_PER_DAY


forms.templates(
    {
        "time_mi_time(time,time)": "(0, 0, {0} - {1})",
        "time_pl_interval(time,interval)": "({0} + {1}[2]) % 86400000000",
        "time_mi_interval(time,interval)": "({0} - {1}[2]) % 86400000000",
        "interval_pl_time(interval,time)": "({1} + {0}[2]) % 86400000000",
        "timetz_pl_interval(timetz,interval)": "(({0}[0] + {1}[2]) % 86400000000, {0}[1])",
        "timetz_mi_interval(timetz,interval)": "(({0}[0] - {1}[2]) % 86400000000, {0}[1])",
        "isfinite(date)": "abs({0} * 2 + 1) != 4294967295",
        "isfinite(timestamp)": "abs({0} * 2 + 1) != 18446744073709551615",
        "isfinite(timestamptz)": "abs({0} * 2 + 1) != 18446744073709551615",
    }
)


# ------------------------------------------------------------ comparisons across types


def _mixed(left: str, right: str, pair: Callable[..., tuple[int, int]]) -> None:
    """The six comparisons of two types; `pair(ctx, a, b)` makes both comparable."""
    for suffix, decide in (
        ("eq", lambda a, b: a == b),
        ("ne", lambda a, b: a != b),
        ("lt", lambda a, b: a < b),
        ("gt", lambda a, b: a > b),
        ("le", lambda a, b: a <= b),
        ("ge", lambda a, b: a >= b),
    ):

        def compare(
            ctx: EvalContext, a: int, b: int, decide: Callable[[int, int], bool] = decide
        ) -> bool:
            return decide(*pair(ctx, a, b))

        signature = f"{left}_{suffix}_{right}({left},{right})"
        forms.function(signature, needs_context=True)(compare)


def _whole_days(days: int) -> int:
    """A date's midnight, past what a timestamp holds too: only compared."""
    if days in _INFINITE_DATES:
        return days * 2**64
    return days * US_PER_DAY


def _unbounded(us: int) -> int:
    if us == TIMESTAMP_INFINITY:
        return DATE_INFINITY * 2**64
    return DATE_MINUS_INFINITY * 2**64 if us == TIMESTAMP_MINUS_INFINITY else us


def _local(ctx: EvalContext, us: int) -> int:
    return _unbounded(us if us in _INFINITE else us + ctx.styles.zone.offset_at(us) * US_PER_SECOND)


_mixed("date", "timestamp", lambda ctx, a, b: (_whole_days(a), _unbounded(b)))
_mixed("timestamp", "date", lambda ctx, a, b: (_unbounded(a), _whole_days(b)))
_mixed("date", "timestamptz", lambda ctx, a, b: (_whole_days(a), _local(ctx, b)))
_mixed("timestamptz", "date", lambda ctx, a, b: (_local(ctx, a), _whole_days(b)))
_mixed("timestamp", "timestamptz", lambda ctx, a, b: (_instant(ctx, a), _unbounded(b)))
_mixed("timestamptz", "timestamp", lambda ctx, a, b: (_unbounded(a), _instant(ctx, b)))


def _instant(ctx: EvalContext, us: int) -> int:
    return _unbounded(us if us in _INFINITE else local_to_utc(us, ctx.styles.zone))
