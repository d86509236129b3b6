"""Time zones: IANA names, abbreviations and POSIX-style offsets.

A `Zone` answers the two questions that timestamps ask: the offset at an instant, and the offset
that a local time has. Offsets are seconds east of UTC (PostgreSQL's internals count west).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC as PYTHON_UTC
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

# 1970-01-01 to 2000-01-01: values count from 2000, the zone data from 1970.
_EPOCH_SHIFT_S: Final = 946_684_800
_EPOCH_1970: Final = datetime(1970, 1, 1, tzinfo=PYTHON_UTC)
# zoneinfo works on datetime (years 1 to 9999); the Gregorian calendar repeats every 400 years.
_CYCLE_S: Final = 146_097 * 86_400
_LOW_S: Final = -62_135_596_800 + 2 * 86_400
_HIGH_S: Final = 253_402_300_799 - 2 * 86_400


@dataclass(frozen=True, slots=True)
class Zone:
    """`info` is None for a fixed offset."""

    name: str
    fixed_s: int = 0
    info: ZoneInfo | None = None
    abbreviation: str = ""

    def offset_at(self, utc_us: int) -> int:
        """Seconds east of UTC at an instant (microseconds since 2000-01-01 UTC)."""
        if self.info is None:
            return self.fixed_s
        return _offset_at_second(self.info, utc_us // 1_000_000 + _EPOCH_SHIFT_S)

    def offset_of_local(self, local_us: int) -> int:
        """Seconds east of UTC for a wall-clock time (microseconds since 2000-01-01 local).

        As PostgreSQL has it: a time that happens twice means the later, standard offset's one
        unless both are standard; a time that is skipped is read with the offset before the gap.
        """
        if self.info is None:
            return self.fixed_s
        return _offset_of_local_second(self.info, local_us // 1_000_000 + _EPOCH_SHIFT_S)

    def abbreviation_at(self, utc_us: int) -> str:
        """The zone's short name at an instant, such as CET; "" when it has none."""
        if self.info is None:
            return self.abbreviation
        moment = _moment(utc_us // 1_000_000 + _EPOCH_SHIFT_S)
        return moment.astimezone(self.info).tzname() or ""

    def is_dst_at(self, utc_us: int) -> bool:
        if self.info is None:
            return False
        moment = _moment(utc_us // 1_000_000 + _EPOCH_SHIFT_S)
        return bool(moment.astimezone(self.info).dst())


UTC: Final = Zone("UTC", abbreviation="UTC")


def _moment(second: int) -> datetime:
    while second < _LOW_S:
        second += _CYCLE_S
    if second > _HIGH_S:
        second -= ((second - _HIGH_S) // _CYCLE_S + 1) * _CYCLE_S
    return _EPOCH_1970 + timedelta(seconds=second)


@lru_cache(maxsize=65_536)
def _offset_at_second(info: ZoneInfo, second: int) -> int:
    offset = _moment(second).astimezone(info).utcoffset()
    assert offset is not None
    return round(offset.total_seconds())


@lru_cache(maxsize=65_536)
def _offset_of_local_second(info: ZoneInfo, second: int) -> int:
    # The offsets a day before and after bracket any single transition.
    before = _offset_at_second(info, second - 86_400)
    after = _offset_at_second(info, second + 86_400)
    if before == after:
        return before
    before_fits = _offset_at_second(info, second - before) == before
    after_fits = _offset_at_second(info, second - after) == after
    if before_fits and after_fits:
        return after  # happens twice: the later instant, which is standard time
    if after_fits:
        return after
    return before


_POSIX: Final = re.compile(
    r"(?:<([A-Za-z0-9+-]+)>|([A-Za-z]{3,}))?([+-]?)(\d{1,2})(?::?(\d{2}))?(?::?(\d{2}))?", re.ASCII
)


@lru_cache(maxsize=1024)
def find_zone(name: str) -> Zone | None:
    """The zone a SET TIME ZONE or AT TIME ZONE names; None when there is none.

    IANA names match without regard to case; then POSIX forms such as `UTC+3` and `<+03>-3`, whose
    sign counts west.
    """
    canonical = _iana_names().get(name.lower())
    if canonical is not None:
        if canonical in _UTC_NAMES:
            return Zone(canonical, abbreviation="GMT" if "G" in canonical.upper()[:5] else "UTC")
        try:
            return Zone(canonical, info=ZoneInfo(canonical))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return None
    match = _POSIX.fullmatch(name)
    if match is None or not (match[1] or match[2]):
        return None
    seconds = int(match[4]) * 3600 + int(match[5] or 0) * 60 + int(match[6] or 0)
    if seconds > 168 * 3600:
        return None
    sign = 1 if match[3] == "-" else -1
    return Zone(name, fixed_s=sign * seconds, abbreviation=match[1] or match[2])


def fixed_zone(seconds_east: int) -> Zone:
    """A zone given as a number: SET TIME ZONE INTERVAL, numeric TimeZone."""
    sign = "+" if seconds_east >= 0 else "-"
    hours, rest = divmod(abs(seconds_east), 3600)
    minutes, seconds = divmod(rest, 60)
    text = f"{sign}{hours:02d}"
    if minutes or seconds:
        text += f":{minutes:02d}"
    if seconds:
        text += f":{seconds:02d}"
    west = ("-" if seconds_east >= 0 else "+") + text[1:]
    return Zone(f"<{text}>{west}", fixed_s=seconds_east, abbreviation=text)


_UTC_NAMES: Final = frozenset({"UTC", "Etc/UTC", "GMT", "Etc/GMT", "Zulu", "UCT", "Universal"})


@lru_cache(maxsize=1)
def _iana_names() -> dict[str, str]:
    return {name.lower(): name for name in available_timezones()}


def zone_names() -> list[str]:
    """Every IANA name, sorted."""
    return sorted(_iana_names().values())
