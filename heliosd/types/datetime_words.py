"""The words that dates and times are written with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Final

from heliosd.types.calendar import MONTHS, WEEKDAYS

MONTH_WORDS: Final[Mapping[str, int]] = {
    **{name.lower(): number for number, name in enumerate(MONTHS, 1)},
    **{name[:3].lower(): number for number, name in enumerate(MONTHS, 1)},
    "sept": 9,
}
WEEKDAY_WORDS: Final = frozenset(
    [name.lower() for name in WEEKDAYS]
    + [name[:3].lower() for name in WEEKDAYS]
    + ["tues", "wednes", "weds", "thur", "thurs"]
)
SPECIAL_WORDS: Final = frozenset(
    {"now", "today", "tomorrow", "yesterday", "epoch", "infinity", "-infinity", "+infinity"}
)


@lru_cache(maxsize=1)
def zone_abbreviations() -> Mapping[str, tuple[int, bool]]:
    """Seconds east of UTC and whether it is daylight saving time, by lower-case abbreviation."""
    text = files("heliosd.types.facts").joinpath("timezones.tsv").read_text(encoding="utf-8")
    table = {}
    for line in text.splitlines()[1:]:
        name, offset, dst = line.split("\t")
        table[name.lower()] = (int(offset), dst == "true")
    return table


# Seconds, or months for the units that have no fixed length: unit -> (kind, factor).
INTERVAL_UNITS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("us", "usec", "usecs", "usecond", "useconds", "microsecon"), "microsecond"),
    **dict.fromkeys(("microsecond", "microseconds"), "microsecond"),
    **dict.fromkeys(("ms", "msec", "msecs", "msecond", "mseconds"), "millisecond"),
    **dict.fromkeys(("millisecon", "millisecond", "milliseconds"), "millisecond"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "second"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "minute"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "hour"),
    **dict.fromkeys(("d", "day", "days"), "day"),
    **dict.fromkeys(("w", "week", "weeks"), "week"),
    **dict.fromkeys(("mon", "mons", "month", "months"), "month"),
    **dict.fromkeys(("y", "yr", "yrs", "year", "years"), "year"),
    **dict.fromkeys(("dec", "decs", "decade", "decades"), "decade"),
    **dict.fromkeys(("c", "cent", "century", "centuries"), "century"),
    **dict.fromkeys(("mil", "mils", "millennia", "millennium"), "millennium"),
}
