"""What a session may ask of its server beside its own state: clocks, zones, sizes, identifiers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.array import Array, array_of
from heliosd.types.calendar import US_PER_DAY, US_PER_SECOND, civil_from_days, split_us, weekday
from heliosd.types.context import EvalContext
from heliosd.types.datetime_words import zone_abbreviations
from heliosd.types.declare import Forms
from heliosd.types.integer import int8
from heliosd.types.network import Network, parse_network
from heliosd.types.numeric_core import round_to
from heliosd.types.signatures import type_name
from heliosd.types.zone import find_zone, zone_names

forms: Final = Forms()

_DAYS: Final = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


@forms.function("timeofday()", needs_context=True)
def timeofday(ctx: EvalContext) -> str:
    """The clock as text: Tue Nov 24 20:54:16.123456 2026 UTC."""
    now = ctx.clock_us()
    zone = ctx.styles.zone
    days, time = divmod(now + zone.offset_at(now) * US_PER_SECOND, US_PER_DAY)
    year, month, day = civil_from_days(days)
    hour, minute, second, fraction = split_us(time)
    return (
        f"{_DAYS[weekday(days)]} {_MONTHS[month - 1]} {day:02d} "
        f"{hour:02d}:{minute:02d}:{second:02d}.{fraction:06d} {year} {zone.abbreviation_at(now)}"
    )


@forms.function("pg_sleep_for(interval)", needs_context=True)
def pg_sleep_for(ctx: EvalContext, length: tuple[int, int, int]) -> str:
    """Wait as long as an interval lasts."""
    months, days, us = length
    seconds = (us + (months * 30 + days) * US_PER_DAY) / US_PER_SECOND
    if seconds > 0:
        ctx.sleep(seconds)
    return ""


@forms.function("pg_sleep_until(timestamptz)", needs_context=True)
def pg_sleep_until(ctx: EvalContext, moment: int) -> str:
    """Wait for a moment."""
    seconds = (moment - ctx.clock_us()) / US_PER_SECOND
    if seconds > 0:
        ctx.sleep(seconds)
    return ""


@forms.function("pg_blocking_pids(int4)")
def pg_blocking_pids(pid: int) -> Array:
    """None: waits are not told apart by backend."""
    return array_of(())


def _address(address: tuple[str, int] | None) -> Network | None:
    if address is None:
        return None
    try:
        return parse_network(address[0], "inet")
    except SqlError:
        return None  # a name, not a number: a proxy's


@forms.function("inet_client_addr()", needs_context=True)
def inet_client_addr(ctx: EvalContext) -> Network | None:
    """Where the client connects from; NULL on a unix socket."""
    return _address(ctx.client_address)


@forms.function("inet_server_addr()", needs_context=True)
def inet_server_addr(ctx: EvalContext) -> Network | None:
    """Where the client connects to; NULL on a unix socket."""
    return _address(ctx.server_address)


@forms.function("pg_options_to_table(_text)")
def pg_options_to_table(options: Array) -> Iterator[tuple[str, str | None]]:
    """`name=value` texts as two columns."""
    for option in options.elements:
        name, equal, value = str(option).partition("=")
        yield name, value if equal else None


# ------------------------------------------------------------ sizes

_SIZE: Final = re.compile(
    r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*", re.ASCII | re.DOTALL
)
_UNITS: Final = {"": 0, "bytes": 0, "kb": 10, "mb": 20, "gb": 30, "tb": 40, "pb": 50}


@forms.function("pg_size_bytes(text)")
def pg_size_bytes(text: str) -> int:
    """'1.5 GB' in bytes; 22023."""
    match = _SIZE.fullmatch(text)
    if match is None or len(text) > 1000:
        raise SqlError("22023", f'invalid size: "{text}"')
    power = _UNITS.get(match[2].lower())
    if power is None:
        raise SqlError(
            "22023",
            f'invalid size: "{text}"',
            detail=f'Invalid size unit: "{match[2]}".',
            hint='Valid units are "bytes", "kB", "MB", "GB", "TB", and "PB".',
        )
    try:
        value = Decimal(match[1]) * (1 << power)
    except InvalidOperation:
        raise SqlError("22023", f'invalid size: "{text}"') from None
    if value.adjusted() > 20:
        raise SqlError("22003", "bigint out of range")
    return int8(int(round_to(value, 0)))


# ------------------------------------------------------------ names


@forms.function("parse_ident(text,bool)")
def parse_ident(text: str, strict: bool) -> Array:  # noqa: FBT001 - SQL's argument
    """The parts of a qualified identifier, folded and unquoted; 22023."""
    parts: list[str] = []
    at, end = 0, len(text)
    while True:
        while at < end and text[at].isspace():
            at += 1
        part, at = _identifier(text, at, after_dot=bool(parts))
        parts.append(part)
        while at < end and text[at].isspace():
            at += 1
        if at < end and text[at] == ".":
            at += 1
            continue
        if at < end and strict:
            raise _not_valid(text)
        return array_of(tuple(parts))


def _not_valid(text: str, detail: str | None = None) -> SqlError:
    return SqlError("22023", f'string is not a valid identifier: "{text}"', detail=detail)


def _identifier(text: str, at: int, *, after_dot: bool) -> tuple[str, int]:
    if text[at : at + 1] == '"':
        out = ""
        at += 1
        while True:
            close = text.find('"', at)
            if close < 0:
                raise _not_valid(text, "String has unclosed double quotes.")
            out += text[at:close]
            at = close + 1
            if text[at : at + 1] != '"':
                break
            out += '"'
            at += 1
        if not out:
            raise _not_valid(text, "Quoted identifier must not be empty.")
        return out, at
    start = at
    while at < len(text) and (text[at].isalnum() or text[at] in "_$"):
        at += 1
    part = text[start:at]
    if not part or part[0].isdigit() or part[0] == "$":
        if after_dot:
            raise _not_valid(text, 'No valid identifier after ".".')
        if text[start : start + 1] == ".":
            raise _not_valid(text, 'No valid identifier before ".".')
        raise _not_valid(text)
    return part.lower(), at


@forms.function("oidvectortypes(oidvector)", needs_context=True)
def oidvectortypes(ctx: EvalContext, types: Array) -> str:
    """The types of a signature: integer, text."""
    return ", ".join(type_name(oid, ctx) or "???" for oid in types.elements)


@forms.function("to_ascii(text)")
def to_ascii(text: str) -> str:
    """0A000: databases are UTF-8 here."""
    raise SqlError("0A000", "encoding conversion from UTF8 to ASCII not supported")


# ------------------------------------------------------------ zones


def _interval(seconds: int) -> tuple[int, int, int]:
    return 0, 0, seconds * US_PER_SECOND


@forms.function("pg_timezone_abbrevs()")
def pg_timezone_abbrevs() -> Iterator[tuple[Any, ...]]:
    """abbrev, utc_offset, is_dst."""
    for name, (offset, dst) in zone_abbreviations().items():
        yield name.upper(), _interval(offset), dst


@forms.function("pg_timezone_names()", needs_context=True)
def pg_timezone_names(ctx: EvalContext) -> Iterator[tuple[Any, ...]]:
    """name, abbrev, utc_offset, is_dst, as of the transaction's start."""
    now = ctx.transaction_us
    for name in zone_names():
        zone = find_zone(name)
        if zone is not None:
            offset = zone.offset_at(now)
            yield name, zone.abbreviation_at(now), _interval(offset), zone.is_dst_at(now)
