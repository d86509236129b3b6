"""OVERLAPS: whether two periods share a moment. Ends may come in either order, or be lengths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from heliosd.types.calendar import US_PER_DAY
from heliosd.types.context import EvalContext
from heliosd.types.datetime import timetz_key
from heliosd.types.datetime_operators import add_in_zone, timestamp_add
from heliosd.types.declare import Forms

forms: Final = Forms()


def overlaps(first: Any, first_end: Any, second: Any, second_end: Any) -> bool | None:
    """SQL's predicate over half-open periods; a period may be one moment. NULL when unknown."""
    first, first_end = _ordered(first, first_end)
    second, second_end = _ordered(second, second_end)
    if first is None or second is None:
        return None
    if first == second:
        return None if first_end is None or second_end is None else True
    if first > second:
        first, first_end, second, second_end = second, second_end, first, first_end
    # Now first < second: they overlap when the first goes on past the second's start.
    if first_end is None:
        return None
    if second < first_end:
        return True
    return None if second_end is None else False


def _ordered(start: Any, end: Any) -> tuple[Any, Any]:
    if start is None:
        return end, None
    if end is not None and start > end:
        return end, start
    return start, end


def _plus(add: Callable[..., Any], ctx: EvalContext, start: Any, length: Any) -> Any:
    return None if start is None or length is None else add(ctx, start, length)


def _declare(kind: str, add: Callable[[EvalContext, Any, Any], Any]) -> None:
    def ends(ctx: EvalContext, a: Any, b: Any, c: Any, d: Any) -> bool | None:
        return overlaps(a, b, c, d)

    def lengths(ctx: EvalContext, a: Any, b: Any, c: Any, d: Any) -> bool | None:
        return overlaps(a, _plus(add, ctx, a, b), c, _plus(add, ctx, c, d))

    def end_length(ctx: EvalContext, a: Any, b: Any, c: Any, d: Any) -> bool | None:
        return overlaps(a, b, c, _plus(add, ctx, c, d))

    def length_end(ctx: EvalContext, a: Any, b: Any, c: Any, d: Any) -> bool | None:
        return overlaps(a, _plus(add, ctx, a, b), c, d)

    for second, fourth, compute in (
        (kind, kind, ends),
        ("interval", "interval", lengths),
        (kind, "interval", end_length),
        ("interval", kind, length_end),
    ):
        signature = f"overlaps({kind},{second},{kind},{fourth})"
        forms.function(signature, needs_context=True)(compute)


def _time_add(ctx: EvalContext, us: int, length: tuple[int, int, int]) -> int:
    return (us + length[2]) % US_PER_DAY


_declare("timestamp", lambda ctx, us, length: timestamp_add(us, length))
_declare("timestamptz", lambda ctx, us, length: add_in_zone(us, length, ctx.styles.zone))
_declare("time", _time_add)


@forms.function("overlaps(timetz,timetz,timetz,timetz)")
def overlaps_timetz(*times: tuple[int, int] | None) -> bool | None:
    """By the instants."""
    keys = [None if time is None else timetz_key(time) for time in times]
    return overlaps(keys[0], keys[1], keys[2], keys[3])
