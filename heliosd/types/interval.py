"""interval: (months, days, microseconds), its texts in four styles, its arithmetic."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.calendar import US_PER_DAY, US_PER_HOUR, US_PER_MINUTE, US_PER_SECOND
from heliosd.types.context import EvalContext
from heliosd.types.datetime import bad_datetime, round_us
from heliosd.types.datetime_text import fraction_text
from heliosd.types.datetime_tokens import BadDateError
from heliosd.types.declare import Forms, six, sql_type
from heliosd.types.failures import division_by_zero, wrong_length
from heliosd.types.interval_parse import Interval as Interval
from heliosd.types.interval_parse import parse_interval
from heliosd.types.registry import KeyKind
from heliosd.types.styles import Styles

forms: Final = Forms()

_WIRE: Final = struct.Struct(">qii")
_INT4: Final = 2_147_483_647
_US_MAX: Final = 9_223_372_036_854_775_807
_FIELD_END: Final = 2_147_483_648
_US_PER_MONTH: Final = 30 * US_PER_DAY


def _is_int4(value: int) -> bool:
    return -_INT4 - 1 <= value <= _INT4


def check_interval(months: int, days: int, us: int) -> Interval:
    """The interval when its fields fit; 22008."""
    if not (
        -_INT4 - 1 <= months <= _INT4
        and -_INT4 - 1 <= days <= _INT4
        and -_US_MAX - 1 <= us <= _US_MAX
    ):
        raise SqlError("22008", "interval out of range")
    return months, days, us


# ------------------------------------------------------------ showing


def _clock_text(us: int, *, plus: bool = False) -> str:
    sign = "-" if us < 0 else "+" if plus else ""
    seconds, fraction = divmod(abs(us), US_PER_SECOND)
    minutes, second = divmod(seconds, 60)
    return f"{sign}{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}{fraction_text(fraction)}"


def _year_month(months: int) -> tuple[int, int]:
    """Truncated towards zero, so that both have one sign."""
    years = abs(months) // 12
    rest = abs(months) % 12
    return (-years, -rest) if months < 0 else (years, rest)


def _postgres(value: Interval) -> str:
    months, days, us = value
    years, months = _year_month(months)
    parts: list[str] = []
    before_negative = False
    for amount, name in ((years, "year"), (months, "mon"), (days, "day")):
        if amount:
            plus = "+" if before_negative and amount > 0 else ""
            parts.append(f"{plus}{amount} {name}{'' if amount == 1 else 's'}")
            before_negative = amount < 0
    if us or not parts:
        parts.append(_clock_text(us, plus=before_negative and us > 0))
    return " ".join(parts)


def _split_clock(us: int) -> tuple[int, int, int, int]:
    seconds, fraction = divmod(abs(us), US_PER_SECOND)
    minutes, second = divmod(seconds, 60)
    return minutes // 60, minutes % 60, second, fraction


def _verbose(value: Interval) -> str:
    months, days, us = value
    years, months = _year_month(months)
    hours, minutes, second, fraction = _split_clock(us)
    sign = -1 if us < 0 else 1
    parts = [(years, "year"), (months, "mon"), (days, "day"), (sign * hours, "hour"),
             (sign * minutes, "min")]  # fmt: skip
    shown = [(amount, name) for amount, name in parts if amount]
    first = shown[0][0] if shown else us
    ago = first < 0
    words = []
    for amount, name in shown:
        amount = -amount if ago else amount
        words.append(f"{amount} {name}{'' if amount == 1 else 's'}")
    if second or fraction:
        minus = "-" if (us < 0) != ago else ""
        words.append(f"{minus}{second}{fraction_text(fraction)} sec"
                     f"{'' if second == 1 and not fraction else 's'}")  # fmt: skip
    return f"@ {' '.join(words) or '0'}{' ago' if ago else ''}"


def _sql_standard(value: Interval) -> str:
    months, days, us = value
    negative = months < 0 or days < 0 or us < 0
    positive = months > 0 or days > 0 or us > 0
    years, rest = _year_month(months)
    hours, minutes, second, fraction = _split_clock(us)
    tail = f"{second:02d}{fraction_text(fraction)}"
    if not negative and not positive:
        return "0"
    if (negative and positive) or (months and (days or us)):
        return (
            f"{'-' if months < 0 else '+'}{abs(years)}-{abs(rest)} "
            f"{'-' if days < 0 else '+'}{abs(days)} "
            f"{'-' if us < 0 else '+'}{hours}:{minutes:02d}:{tail}"
        )
    minus = "-" if negative else ""
    if months:
        return f"{minus}{abs(years)}-{abs(rest)}"
    if days:
        return f"{minus}{abs(days)} {hours}:{minutes:02d}:{tail}"
    return f"{minus}{hours}:{minutes:02d}:{tail}"


def _iso_8601(value: Interval) -> str:
    months, days, us = value
    years, rest = _year_month(months)
    hours, minutes, second, fraction = _split_clock(us)
    sign = "-" if us < 0 else ""
    out = "P"
    for amount, letter in ((years, "Y"), (rest, "M"), (days, "D")):
        out += f"{amount}{letter}" if amount else ""
    clock = f"{sign}{hours}H" if hours else ""
    clock += f"{sign}{minutes}M" if minutes else ""
    clock += f"{sign}{second}{fraction_text(fraction)}S" if second or fraction else ""
    out += f"T{clock}" if clock else ""
    return out if out != "P" else "PT0S"


_STYLES: Final[dict[str, Callable[[Interval], str]]] = {
    "postgres": _postgres,
    "postgres_verbose": _verbose,
    "sql_standard": _sql_standard,
    "iso_8601": _iso_8601,
}


def interval_text(value: Interval, styles: Styles) -> str:
    """In the session's IntervalStyle."""
    return _STYLES[styles.interval_style](value)


# ------------------------------------------------------------ the type

# typmod: high 16 bits the fields allowed, low 16 the precision
_FULL_RANGE: Final = 0x7FFF
_FIELD_BITS: Final = {"month": 1, "year": 2, "day": 3, "hour": 10, "minute": 11, "second": 12}


def _fit(value: Interval, typmod: int, explicit: bool) -> Interval:  # noqa: FBT001
    months, days, us = value
    fields, precision = typmod >> 16 & 0xFFFF, typmod & 0xFFFF
    allowed = {name for name, bit in _FIELD_BITS.items() if fields >> bit & 1}
    if fields != _FULL_RANGE and allowed:
        # Fields below the last one allowed are cut; those above are kept, as in PostgreSQL.
        if allowed <= {"year"}:
            months, days, us = int(months / 12) * 12, 0, 0
        elif allowed <= {"year", "month"}:
            days = us = 0
        elif allowed <= {"day"}:
            us = 0
        elif "second" not in allowed:
            step = US_PER_MINUTE if "minute" in allowed else US_PER_HOUR
            us = (abs(us) // step * step) * (1 if us >= 0 else -1)
    return months, days, round_us(us, precision) if precision != 0xFFFF else us


def _typmod_in(modifiers: tuple[str, ...]) -> int:
    fields = int(modifiers[0])
    precision = int(modifiers[1]) if len(modifiers) > 1 else 0xFFFF
    if precision != 0xFFFF and precision < 0:
        raise SqlError("22023", f"INTERVAL({precision}) precision must not be negative")
    return (fields & 0xFFFF) << 16 | min(precision, 0xFFFF if precision == 0xFFFF else 6)


def _typmod_out(typmod: int) -> str:
    fields, precision = typmod >> 16 & 0xFFFF, typmod & 0xFFFF
    names = [name for name in ("year", "month", "day", "hour", "minute", "second")
             if fields != _FULL_RANGE and fields >> _FIELD_BITS[name] & 1]  # fmt: skip
    text = ""
    if names:
        text = f" {names[0]}" if len(names) == 1 else f" {names[0]} to {names[-1]}"
    return text if precision == 0xFFFF else f"{text}({precision})"


def _input(text: str, typmod: int, ctx: EvalContext) -> Interval:
    standard = ctx.styles.interval_style == "sql_standard"
    try:
        value = parse_interval(text, _fields_of(typmod), sql_standard=standard)
    except BadDateError:
        raise bad_datetime("interval", text) from None
    return value if typmod < 0 else _fit(value, typmod, explicit=False)


def _fields_of(typmod: int) -> frozenset[str]:
    """The fields that a modifier allows; none for all of them."""
    fields = typmod >> 16 & 0xFFFF
    if typmod < 0 or fields == _FULL_RANGE:
        return frozenset()
    return frozenset(name for name, bit in _FIELD_BITS.items() if fields >> bit & 1)


def _output(value: Interval, ctx: EvalContext) -> str:
    return interval_text(value, ctx.styles)


def _send(value: Interval) -> bytes:
    return _WIRE.pack(value[2], value[1], value[0])


def _unpack(data: bytes) -> Interval:
    us, days, months = _WIRE.unpack(data)
    return months, days, us


def _receive(data: bytes, typmod: int, ctx: EvalContext) -> Interval:
    if len(data) != 16:
        raise wrong_length(data, 16)
    value = _unpack(data)
    return value if typmod < 0 else _fit(value, typmod, explicit=False)


@forms.helper
def interval_span(value: Interval) -> int:
    """Microseconds with months of 30 days: what intervals compare by."""
    return value[2] + value[1] * US_PER_DAY + value[0] * _US_PER_MONTH


def _key_value(value: Interval) -> bytes:
    return (interval_span(value) + (1 << 95)).to_bytes(12, "big")


types: Final = (
    sql_type(
        "interval",
        input=_input,
        output=_output,
        receive=_receive,
        plain_send=_send,
        shape="b",
        pack=_send,
        unpack=_unpack,
        key=KeyKind.BYTES,
        key_value=_key_value,
        native=False,
        sort_key=interval_span,
        typmod_in=_typmod_in,
        typmod_out=_typmod_out,
        apply_typmod=_fit,
    ),
)

forms.comparisons(
    "interval", "interval", " ".join(f"interval_{name}" for name in six("").split()),
    "interval_span({0}) {op} interval_span({1})",
)  # fmt: skip


# ------------------------------------------------------------ arithmetic


@forms.function("interval_pl(interval,interval)")
def interval_add(left: Interval, right: Interval) -> Interval:
    """Field by field; 22008."""
    return check_interval(left[0] + right[0], left[1] + right[1], left[2] + right[2])


@forms.function("interval_mi(interval,interval)")
def interval_sub(left: Interval, right: Interval) -> Interval:
    """Field by field; 22008."""
    return check_interval(left[0] - right[0], left[1] - right[1], left[2] - right[2])


@forms.function("interval_um(interval)")
def interval_neg(value: Interval) -> Interval:
    """Field by field; 22008."""
    return check_interval(-value[0], -value[1], -value[2])


def _scaled(value: Interval, scale: Callable[[int], float]) -> Interval:
    months, days = scale(value[0]), scale(value[1])
    if not (abs(months) < _FIELD_END and abs(days) < _FIELD_END):
        raise SqlError("22008", "interval out of range")
    whole_months, whole_days = int(months), int(days)
    # What is left of months goes to days of 30, rounded to whole microseconds.
    month_days = round((months - whole_months) * 30, 6)
    whole_month_days = int(month_days)
    seconds = round((days - whole_days + month_days - whole_month_days) * 86400, 6)
    carried = int(seconds / 86400) if abs(seconds) >= 86400 else 0
    us = scale(value[2]) + (seconds - carried * 86400) * US_PER_SECOND
    if not abs(us) < _US_MAX:
        raise SqlError("22008", "interval out of range")
    return check_interval(whole_months, whole_days + whole_month_days + carried, round(us))


@forms.function("interval_mul(interval,float8)")
def interval_mul(value: Interval, factor: float) -> Interval:
    """Fractions of months become days, of days time; 22008."""
    if factor != factor or factor in (float("inf"), float("-inf")):
        raise SqlError("22008", "interval out of range")
    return _scaled(value, lambda part: part * factor)


@forms.function("mul_d_interval(float8,interval)")
def mul_interval(factor: float, value: Interval) -> Interval:
    """The same the other way round."""
    return interval_mul(value, factor)


@forms.function("interval_div(interval,float8)")
def interval_div(value: Interval, divisor: float) -> Interval:
    """22012, 22008."""
    if divisor == 0:
        raise division_by_zero()
    return _scaled(value, lambda part: part / divisor)


def _carry(part: int, unit: int) -> int:
    """How many whole units are in `part`, towards zero."""
    return abs(part) // unit * (-1 if part < 0 else 1)


@forms.function("justify_hours(interval)")
def justify_hours(value: Interval) -> Interval:
    """Whole days of time become days; 22008."""
    months, days, us = value
    whole = _carry(us, US_PER_DAY)
    us -= whole * US_PER_DAY
    days += whole
    check_interval(months, days, us)
    if days > 0 > us:
        days, us = days - 1, us + US_PER_DAY
    elif days < 0 < us:
        days, us = days + 1, us - US_PER_DAY
    return check_interval(months, days, us)


@forms.function("justify_days(interval)")
def justify_days(value: Interval) -> Interval:
    """30 days become a month; 22008."""
    months, days, us = value
    whole = _carry(days, 30)
    days -= whole * 30
    months += whole
    check_interval(months, days, us)
    if months > 0 > days:
        months, days = months - 1, days + 30
    elif months < 0 < days:
        months, days = months + 1, days - 30
    return check_interval(months, days, us)


@forms.function("justify_interval(interval)")
def justify_interval(value: Interval) -> Interval:
    """Both, with one sign; 22008."""
    months, days, us = value
    # days are carried first where they would not hold the time's as well
    if (days > 0 and us > 0) or (days < 0 and us < 0):
        whole = _carry(days, 30)
        days, months = days - whole * 30, months + whole
    whole = _carry(us, US_PER_DAY)
    us, days = us - whole * US_PER_DAY, days + whole
    whole = _carry(days, 30)
    days, months = days - whole * 30, months + whole
    check_interval(months, days, us)
    if months > 0 and (days < 0 or (days == 0 and us < 0)):
        months, days = months - 1, days + 30
    elif months < 0 and (days > 0 or (days == 0 and us > 0)):
        months, days = months + 1, days - 30
    if days > 0 > us:
        days, us = days - 1, us + US_PER_DAY
    elif days < 0 < us:
        days, us = days + 1, us - US_PER_DAY
    return check_interval(months, days, us)


forms.templates(
    {
        "isfinite(interval)": "True",
        "interval_larger(interval,interval)":
            "({0} if interval_span({0}) > interval_span({1}) else {1})",
        "interval_smaller(interval,interval)":
            "({0} if interval_span({0}) < interval_span({1}) else {1})",
    }
)  # fmt: skip


@forms.function("make_interval(int4,int4,int4,int4,int4,int4,float8)")
def make_interval(*fields: Any) -> Interval:
    """Years, months, weeks, days, hours, minutes, seconds; 22008."""
    years, months, weeks, days, hours, minutes, seconds = fields
    if not abs(seconds) < _US_MAX / US_PER_SECOND:
        raise SqlError("22008", "interval out of range")
    us = hours * US_PER_HOUR + minutes * US_PER_MINUTE + round(seconds * US_PER_SECOND)
    return check_interval(years * 12 + months, weeks * 7 + days, us)
