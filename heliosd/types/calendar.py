"""Days and microseconds to calendar fields and back, over PostgreSQL's whole range.

A date is days since 2000-01-01, a timestamp microseconds since 2000-01-01 00:00. Years are
astronomical in here: 1 BC is 0.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

US_PER_SECOND: Final = 1_000_000
US_PER_MINUTE: Final = 60 * US_PER_SECOND
US_PER_HOUR: Final = 60 * US_PER_MINUTE
US_PER_DAY: Final = 24 * US_PER_HOUR

DATE_INFINITY: Final = 2_147_483_647
DATE_MINUS_INFINITY: Final = -2_147_483_648
DATE_MIN: Final = -2_451_545  # 4714-11-24 BC
DATE_END: Final = 2_147_483_494 - 2_451_545  # 5874898-01-01
TIMESTAMP_INFINITY: Final = 9_223_372_036_854_775_807
TIMESTAMP_MINUS_INFINITY: Final = -9_223_372_036_854_775_808
TIMESTAMP_MIN: Final = DATE_MIN * US_PER_DAY
TIMESTAMP_END: Final = 9_223_371_331_200_000_000  # 294277-01-01

JULIAN_2000: Final = 2_451_545
UNIX_EPOCH_DAYS: Final = -10_957
UNIX_EPOCH_US: Final = UNIX_EPOCH_DAYS * US_PER_DAY

# Days from 0000-03-01 to 2000-01-01: years are counted from March, so that leap days come last.
_SHIFT: Final = 730_425
_DAYS_IN_MONTH: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
WEEKDAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


def is_leap(year: int) -> bool:
    """Whether a year of the Gregorian calendar has 366 days."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def days_in_month(year: int, month: int) -> int:
    """28 to 31; month 1 to 12."""
    return 29 if month == 2 and is_leap(year) else _DAYS_IN_MONTH[month - 1]


def days_from_civil(year: int, month: int, day: int) -> int:
    """The date of a calendar day; the day may lie past its month's end."""
    if month <= 2:
        year -= 1
        month += 12
    return (
        365 * year
        + year // 4
        - year // 100
        + year // 400
        + (153 * (month - 3) + 2) // 5
        + day
        - 1
        - _SHIFT
    )


@lru_cache(maxsize=8192)
def civil_from_days(days: int) -> tuple[int, int, int]:
    """(year, month, day) of a date."""
    shifted = days + _SHIFT
    era, day_of_era = divmod(shifted, 146_097)
    year_of_era = (
        day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_index = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_index + 2) // 5 + 1
    month = month_index + 3 if month_index < 10 else month_index - 9
    year = year_of_era + era * 400
    return (year + 1 if month <= 2 else year), month, day


def weekday(days: int) -> int:
    """0 Sunday to 6 Saturday."""
    return (days + 6) % 7


def day_of_year(days: int) -> int:
    """1 to 366."""
    year, _, _ = civil_from_days(days)
    return days - days_from_civil(year, 1, 1) + 1


def iso_week(days: int) -> tuple[int, int]:
    """(ISO year, ISO week) of a date."""
    thursday = days - (weekday(days) + 6) % 7 + 3
    year, _, _ = civil_from_days(thursday)
    return year, (thursday - days_from_civil(year, 1, 1)) // 7 + 1


def iso_week_start(year: int, week: int) -> int:
    """The Monday of an ISO week."""
    fourth = days_from_civil(year, 1, 4)
    return fourth - (weekday(fourth) + 6) % 7 + 7 * (week - 1)


def split_us(us: int) -> tuple[int, int, int, int]:
    """(hour, minute, second, microsecond) of a time of day, or of a longer span's hours."""
    seconds, fraction = divmod(us, US_PER_SECOND)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return hour, minute, second, fraction


def time_us(hour: int, minute: int, second: int, fraction: int = 0) -> int:
    """Microseconds of a time of day."""
    return ((hour * 60 + minute) * 60 + second) * US_PER_SECOND + fraction
