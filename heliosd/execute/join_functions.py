"""What generated joins and subqueries call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final


def not_in(value: Any, keys: set[Any]) -> bool:
    """`value NOT IN (keys)` is true, for keys that are not empty; NULL makes it not true."""
    return value is not None and None not in keys and value not in keys


def in_set(value: Any, keys: set[Any]) -> bool | None:
    """`value IN (keys)` with SQL's three values; None among the keys is NULL."""
    if value is None:
        return None if keys else False
    if value in keys:
        return True
    return None if None in keys else False


def row_in_set(
    values: tuple[Any, ...], known: set[tuple[Any, ...]], partly: Sequence[tuple[Any, ...]]
) -> bool | None:
    """`(a, b) IN (rows)`: `known` are the rows without NULLs, `partly` the others."""
    if None not in values:
        if values in known:
            return True
        others: Any = partly
    else:
        others = [*known, *partly]
    for row in others:
        if all(a is None or b is None or a == b for a, b in zip(values, row, strict=True)):
            return None
    return False


MEMO_ROWS_MAX: Final = 10_000


def call_known(
    state: list[Any], cell: int, function: Callable[..., Any], ctx: Any, params: Any, *outer: Any
) -> Any:
    """What a subquery gives for these outer values, computed once for each of the first 10,000."""
    known = state[cell]
    if known is None:
        known = state[cell] = {}
    elif outer in known:
        return known[outer]
    found = function(ctx, params, state, *outer)
    if len(known) < MEMO_ROWS_MAX:
        known[outer] = found
    return found


def call_once(
    state: list[Any], cell: int, function: Callable[..., Any], ctx: Any, params: Any
) -> Any:
    """What a subquery without outer columns gives, computed at its first use."""
    known = state[cell]
    if known is None:
        known = state[cell] = (function(ctx, params, state),)
    return known[0]
