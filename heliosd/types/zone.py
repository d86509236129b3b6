"""Time zones: IANA names, abbreviations and POSIX-style offsets.

A `Zone` answers the two questions that timestamps ask: the offset at an instant, and the offset
that a local time has. Offsets are seconds east of UTC (PostgreSQL's internals count west).
"""

from __future__ import annotations

import io
import re
import struct
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
    r"(?:<([A-Z0-9+:-]*)>|([A-Z]*))([+-]?)(\d{1,3})(?::(\d{1,2}))?(?::(\d{1,2}))?"
    r"(?:(?:<([A-Z0-9+-]+)>|([A-Z]+))(?:([+-]?)(\d{1,3})(?::(\d{1,2}))?(?::(\d{1,2}))?)?"
    r"(,[-+,./:0-9JM]+)?)?",
    re.ASCII,
)
_RULE: Final = ",M3.2.0,M11.1.0"  # the United States', where a zone with summer time names none


@lru_cache(maxsize=1024)
def find_zone(name: str) -> Zone | None:
    """The zone a SET TIME ZONE or AT TIME ZONE names; None when there is none.

    IANA names match without regard to case; then POSIX forms such as `UTC+3`, `<+03>-3` and
    `CST7CDT,M4.1.0,M10.5.0`, whose signs count west.
    """
    canonical = _iana_names().get(name.lower())
    if canonical is not None:
        if canonical in _UTC_NAMES:
            return Zone(canonical, abbreviation="GMT" if "G" in canonical.upper()[:5] else "UTC")
        try:
            return Zone(canonical, info=ZoneInfo(canonical))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return None
    upper = name.upper()
    match = _POSIX.fullmatch(upper)
    if match is None:
        return None
    west = _posix_seconds(*match.group(3, 4, 5, 6))
    if west is None:
        return None
    standard = match[1] or match[2] or ""
    summer = match[7] or match[8]
    if not summer:
        return Zone(upper, fixed_s=-west, abbreviation=standard)
    summer_west = west - 3600 if match[10] is None else _posix_seconds(*match.group(9, 10, 11, 12))
    if summer_west is None or not standard:
        return None
    return _ruled_zone(upper, (standard, west), (summer, summer_west), match[13] or _RULE)


def _posix_seconds(sign: str, hours: str, minutes: str | None, seconds: str | None) -> int | None:
    total = int(hours) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    if int(hours) > 167 or int(minutes or 0) > 59 or int(seconds or 0) > 59:
        return None
    return -total if sign == "-" else total


def _ruled_zone(
    name: str, standard: tuple[str, int], summer: tuple[str, int], rule: str
) -> Zone | None:
    """A zone of a POSIX rule: a file of zone data that has nothing but the rule."""
    shown = "".join(f"<{word}>{_west_text(west)}" for word, west in (standard, summer))
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, len(standard[0]) + 1)
    header = b"TZif2" + bytes(15) + counts
    block = struct.pack(">lBB", -standard[1], 0, 0) + standard[0].encode() + b"\0"
    data = header + block + header + block + f"\n{shown}{rule}\n".encode()
    try:
        return Zone(name, info=ZoneInfo.from_file(io.BytesIO(data), key=name))
    except (ValueError, OSError):
        return None


def _west_text(west: int) -> str:
    hours, rest = divmod(abs(west), 3600)
    return f"{'-' if west < 0 else ''}{hours}:{rest // 60:02d}:{rest % 60:02d}"


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


_MONTH_S: Final = 30 * 86_400


def abbreviation_offset(zone: Zone, abbreviation: str, instant: int) -> int | None:
    """Seconds east that an abbreviation last meant in a zone at an instant, or will mean first.

    None when the zone's data does not use it.
    """
    if zone.info is None:
        return None
    for direction, months in ((-1, 1_500), (1, 1_500)):
        for step in range(months):
            at = instant + direction * step * _MONTH_S * 1_000_000
            if zone.abbreviation_at(at) == abbreviation:
                return zone.offset_at(at)
    return None
