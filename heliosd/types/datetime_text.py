"""Showing dates and times in the DateStyle of the session."""

from __future__ import annotations

from functools import lru_cache

from heliosd.types.calendar import (
    DATE_INFINITY,
    DATE_MINUS_INFINITY,
    MONTHS,
    TIMESTAMP_INFINITY,
    TIMESTAMP_MINUS_INFINITY,
    US_PER_DAY,
    US_PER_SECOND,
    WEEKDAYS,
    civil_from_days,
    weekday,
)
from heliosd.types.styles import Styles
from heliosd.types.zone import Zone


def fraction_text(us: int) -> str:
    """`.5` for 500000 microseconds, "" for none."""
    return f".{us:06d}".rstrip("0") if us else ""


@lru_cache(maxsize=8192)
def iso_date(days: int) -> str:
    """YYYY-MM-DD without BC, for a finite date."""
    year, month, day = civil_from_days(days)
    if year <= 0:
        year = 1 - year
    return f"{year:04d}-{month:02d}-{day:02d}"


def time_text(us: int) -> str:
    """hh:mm:ss[.ffffff] of a time of day."""
    seconds, fraction = divmod(us, US_PER_SECOND)
    minutes, second = divmod(seconds, 60)
    text = f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}"
    return f"{text}.{fraction:06d}".rstrip("0") if fraction else text


def offset_text(seconds_east: int) -> str:
    """+hh[:mm[:ss]]."""
    sign = "-" if seconds_east < 0 else "+"
    minutes, second = divmod(abs(seconds_east), 60)
    hour, minute = divmod(minutes, 60)
    text = f"{sign}{hour:02d}"
    if second:
        return f"{text}:{minute:02d}:{second:02d}"
    return f"{text}:{minute:02d}" if minute else text


def json_offset(seconds_east: int) -> str:
    """+hh:mm[:ss], as JSON and XML have it."""
    text = offset_text(seconds_east)
    return text if ":" in text else text + ":00"


def date_text(days: int, styles: Styles) -> str:
    """A date in the session's style."""
    if days == DATE_INFINITY:
        return "infinity"
    if days == DATE_MINUS_INFINITY:
        return "-infinity"
    year, month, day = civil_from_days(days)
    suffix = ""
    if year <= 0:
        year, suffix = 1 - year, " BC"
    if styles.date_style == "ISO":
        return f"{year:04d}-{month:02d}-{day:02d}{suffix}"
    if styles.date_style == "German":
        return f"{day:02d}.{month:02d}.{year:04d}{suffix}"
    separator = "/" if styles.date_style == "SQL" else "-"
    first, second = (day, month) if styles.date_order == "DMY" else (month, day)
    if styles.date_style == "Postgres" and styles.date_order == "YMD":
        return f"{year:04d}-{month:02d}-{day:02d}{suffix}"
    return f"{first:02d}{separator}{second:02d}{separator}{year:04d}{suffix}"


def timestamp_text(us: int, styles: Styles, zone: Zone | None = None) -> str:
    """A timestamp in the session's style; with `zone` a timestamptz shown in it."""
    if us == TIMESTAMP_INFINITY:
        return "infinity"
    if us == TIMESTAMP_MINUS_INFINITY:
        return "-infinity"
    offset = 0
    if zone is not None:
        offset = zone.offset_at(us)
        instant, us = us, us + offset * US_PER_SECOND
    days, time = divmod(us, US_PER_DAY)
    if styles.date_style == "ISO":
        text = f"{iso_date(days)} {time_text(time)}"
        if zone is not None:
            text += offset_text(offset)
        return f"{text} BC" if days < -730_119 else text
    label = ""
    if zone is not None:
        label = zone.abbreviation_at(instant)
        if not label or not label.isalpha():
            # PostgreSQL shows an offset where the zone has no name of its own
            label = label or offset_text(offset)
    return _styled(days, time, label, styles)


def _styled(days: int, time: int, label: str, styles: Styles) -> str:
    year, month, day = civil_from_days(days)
    suffix = ""
    if year <= 0:
        year, suffix = 1 - year, " BC"
    clock = time_text(time)
    day_first = styles.date_order == "DMY"
    if styles.date_style == "SQL":
        first, second = (day, month) if day_first else (month, day)
        text = f"{first:02d}/{second:02d}/{year:04d} {clock}"
    elif styles.date_style == "German":
        text = f"{day:02d}.{month:02d}.{year:04d} {clock}"
    else:
        name = MONTHS[month - 1][:3]
        middle = f"{day:02d} {name}" if day_first else f"{name} {day:02d}"
        text = f"{WEEKDAYS[weekday(days)][:3]} {middle} {clock} {year:04d}"
    return f"{text}{' ' + label if label else ''}{suffix}"
