"""What generated loops call: slices of long lists, sorting in steps, counters."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final

from heliosd.errors import SqlError

CHUNK_ROWS: Final = 512
SORT_ROWS_MAX: Final = 8192
"""Sorting more in one C call would hold the loop for over 5 ms."""


def chunks(rows: list[Any]) -> Iterator[list[Any]]:
    """A list in slices, so that a loop over it can yield between them."""
    if len(rows) <= CHUNK_ROWS:
        if rows:
            yield rows
        return
    for start in range(0, len(rows), CHUNK_ROWS):
        yield rows[start : start + CHUNK_ROWS]


def value_chunks(groups: dict[Any, Any]) -> Iterator[list[Any]]:
    """A dict's values in slices."""
    values = iter(groups.values())
    while part := list(islice(values, CHUNK_ROWS)):
        yield part


def iterator_chunks(rows: Iterable[Any]) -> Iterator[list[Any]]:
    """Any iterator in slices."""
    items = iter(rows)
    while part := list(islice(items, CHUNK_ROWS)):
        yield part


def sort_rows(
    rows: list[Any],
    passes: tuple[tuple[Callable[[Any], Any], bool], ...],
    check: Callable[[], None],
) -> list[Any]:
    """Sort by several keys, the first pass's first: (key function, descending). Stable.

    Lists that one call would hold the loop for are sorted in runs and merged with checks between.
    """
    if len(rows) <= SORT_ROWS_MAX:
        for key, reverse in reversed(passes):
            rows.sort(key=key, reverse=reverse)
        return rows
    if len(passes) > 1:
        for one in reversed(passes):
            rows = sort_rows(rows, (one,), check)
        return rows
    key, reverse = passes[0]
    runs: list[list[Any]] = []
    for start in range(0, len(rows), SORT_ROWS_MAX):
        run = rows[start : start + SORT_ROWS_MAX]
        run.sort(key=key, reverse=reverse)
        runs.append(run)
        check()
    merged: list[Any] = []
    for number, row in enumerate(heapq.merge(*runs, key=key, reverse=reverse)):
        merged.append(row)
        if not number & 255:
            check()
    return merged


def top_size(limit: Any, offset: Any = 0) -> int:
    """How many rows a sort must keep for LIMIT and OFFSET; -1 for all."""
    if limit is None:
        return -1
    return int(limit) + int(offset or 0)


def limit_count(value: Any) -> int:
    """LIMIT's value; -1 without limit. 2201W when negative."""
    if value is None:
        return -1
    if value < 0:
        raise SqlError("2201W", "LIMIT must not be negative")
    return int(value)


def offset_count(value: Any) -> int:
    """OFFSET's value. 2201X when negative."""
    if value is None:
        return 0
    if value < 0:
        raise SqlError("2201X", "OFFSET must not be negative")
    return int(value)


def more_than_one_row() -> None:
    """A subquery used as an expression gave a second row."""
    raise SqlError("21000", "more than one row returned by a subquery used as an expression")
