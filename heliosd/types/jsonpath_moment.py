"""jsonpath's datetime(): the dates and times that paths read, compare and show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.calendar import US_PER_DAY, US_PER_SECOND
from heliosd.types.context import EvalContext
from heliosd.types.datetime import local_to_utc, round_us, timetz_key
from heliosd.types.datetime_text import date_text, json_offset, time_text, timestamp_text
from heliosd.types.declare import SQL_NAMES
from heliosd.types.styles import DEFAULT_STYLES
from heliosd.types.template_read import ReadMoment, read_by_template


@dataclass(frozen=True, slots=True)
class PathMoment:
    """`kind` is date, time, timetz, timestamp or timestamptz. `value`: days, microseconds of the
    day, or microseconds since 2000-01-01 (local; UTC for timestamptz). `zone_s`: east of UTC."""

    kind: str
    value: int
    zone_s: int = 0

    @property
    def type_name(self) -> str:
        return SQL_NAMES.get(self.kind, self.kind)

    def text(self) -> str:
        """ISO 8601, as JSON shows it."""
        if self.kind == "date":
            return date_text(self.value, DEFAULT_STYLES)
        if self.kind in ("time", "timetz"):
            zone = json_offset(self.zone_s) if self.kind == "timetz" else ""
            return time_text(self.value) + zone
        local = self.value + self.zone_s * US_PER_SECOND
        shown = timestamp_text(local, DEFAULT_STYLES).replace(" ", "T", 1)
        if self.kind == "timestamp":
            return shown
        bare = shown.removesuffix(" BC")
        return bare + json_offset(self.zone_s) + shown[len(bare) :]


_CLOCKS: Final = ("HH24:MI:SS.US", "HH24:MI:SS")
_ZONES: Final = ("TZH:TZM", "TZH")
_TEMPLATES: Final = (
    "yyyy-mm-dd",
    *(clock + zone for clock in _CLOCKS for zone in _ZONES),
    *_CLOCKS,
    *(
        f"yyyy-mm-dd{between}{clock}{zone}"
        for between in (" ", '"T"')
        for clock in _CLOCKS
        for zone in _ZONES
    ),
    *(f"yyyy-mm-dd{between}{clock}" for between in (" ", '"T"') for clock in _CLOCKS),
)


def read_moment(text: str, template: str | None, ctx: EvalContext) -> PathMoment:
    """A text read by a template, or by any of ISO 8601's; 22007, 22008, 22031."""
    if template is not None:
        return _moment(read_by_template(text, template, standard=True), text, ctx)
    for known in _TEMPLATES:
        try:
            return _moment(read_by_template(text, known, standard=True), text, ctx)
        except SqlError:
            continue
    raise SqlError(
        "22031",
        f'datetime format is not recognized: "{text}"',
        hint="Use a datetime template argument to specify the input data format.",
    )


def _moment(read: ReadMoment, text: str, ctx: EvalContext) -> PathMoment:
    precision = read.precision or 6
    if not read.dated and not read.timed:
        raise SqlError("22007", "datetime format is not dated and not timed")
    if not read.timed:
        if read.zoned:
            raise SqlError("22007", "datetime format is zoned but not timed")
        return PathMoment("date", read.days)
    if read.zoned and read.zone_s is None:
        what = "timestamptz" if read.dated else "timetz"
        raise SqlError("22007", f"missing time zone in input string for type {what}")
    zone = read.zone_s or 0
    if not read.dated:
        kind = "timetz" if read.zoned else "time"
        return PathMoment(kind, round_us(read.us, precision), zone)
    us = round_us(read.local_us, precision)
    if not read.zoned:
        return PathMoment("timestamp", us)
    return PathMoment("timestamptz", us - zone * US_PER_SECOND, zone)


def _need_zone(left: PathMoment, right: PathMoment, *, use_zone: bool) -> None:
    if not use_zone:
        raise SqlError(
            "0A000",
            f"cannot convert value from {left.kind} to {right.kind} without time zone usage",
            hint="Use *_tz() function for time zone support.",
        )


def compare_moments(
    left: PathMoment, right: PathMoment, ctx: EvalContext, *, use_zone: bool
) -> int | None:
    """-1, 0 or 1; None for a date and a time. 0A000 where only a zone could tell."""
    clocks = ("time", "timetz")
    if (left.kind in clocks) != (right.kind in clocks):
        return None
    zoned = {"timetz", "timestamptz"} & {left.kind, right.kind}
    if zoned and (left.kind in zoned) != (right.kind in zoned):
        bare, other = (left, right) if left.kind not in zoned else (right, left)
        _need_zone(bare, other, use_zone=use_zone)
    mine, theirs = (_comparable(m, ctx, zoned=bool(zoned)) for m in (left, right))
    return (mine > theirs) - (mine < theirs)


def _comparable(moment: PathMoment, ctx: EvalContext, *, zoned: bool) -> tuple[int, int]:
    zone = ctx.styles.zone
    match moment.kind:
        case "time":
            if not zoned:
                return moment.value, 0
            east = zone.offset_at(ctx.transaction_us)
            return timetz_key((moment.value, -east))
        case "timetz":
            return timetz_key((moment.value, -moment.zone_s))
        case "date":
            local = moment.value * US_PER_DAY
            return (local_to_utc(local, zone) if zoned else local), 0
        case "timestamp":
            return (local_to_utc(moment.value, zone) if zoned else moment.value), 0
    return moment.value, 0
