"""heliosd's own functions: exfiltration budgets, and who could do what at another time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from heliosd.errors import INVALID_PARAMETER_VALUE, SqlError
from heliosd.types.calendar import US_PER_DAY
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms
from heliosd.types.interval import Interval

forms: Final = Forms()

_DAYS_PER_MONTH: Final = 30


@forms.function("helios_set_budget(name,regclass,int8,int8,interval)", needs_context=True)
def helios_set_budget(
    ctx: EvalContext,
    role: str | None,
    relation: int | None,
    rows: int | None,
    size_bytes: int | None,
    period: Interval | None,
) -> str:
    """Give a role a budget for one table (NULL: for all), in the place of the one it has."""
    if role is None or period is None:
        raise SqlError("22004", "a budget needs a role and a period")
    if rows is None and size_bytes is None:
        raise SqlError("22004", "a budget needs a number of rows or of bytes")
    if min(rows or 0, size_bytes or 0) < 0:
        raise SqlError(INVALID_PARAMETER_VALUE, "a budget cannot be negative")
    months, days, us = period
    period_us = (months * _DAYS_PER_MONTH + days) * US_PER_DAY + us
    if period_us <= 0:
        raise SqlError(INVALID_PARAMETER_VALUE, "a budget's period must be positive")
    ctx.security.set_budget(role, relation, rows, size_bytes, period_us)
    return ""


@forms.function("helios_drop_budget(name,regclass)", needs_context=True)
def helios_drop_budget(ctx: EvalContext, role: str | None, relation: int | None) -> bool:
    """Take a role's budget away; whether there was one."""
    if role is None:
        raise SqlError("22004", "a budget needs a role")
    return ctx.security.drop_budget(role, relation)


@forms.function("helios_access_history(regclass,name,timestamptz)", needs_context=True)
def helios_access_history(
    ctx: EvalContext, relation: int | None, column: str | None, at: int | None
) -> Iterator[tuple[Any, ...]]:
    """Who could read or write the relation (its column) at that time; NULL: now."""
    if relation is None:
        return iter(())
    return ctx.security.access_history(relation, column, ctx.clock_us() if at is None else at)
