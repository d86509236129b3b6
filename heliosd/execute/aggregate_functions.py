"""What generated aggregates call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from heliosd.execute.loops import sort_rows


def prepared_rows(
    rows: list[tuple[Any, ...]],
    shape: tuple[Any, int, tuple[Any, ...]],
    distinct: bool,  # noqa: FBT001  # chosen when the program was written
    check: Callable[[], None],
) -> list[tuple[Any, ...]]:
    """The collected argument tuples of one group: ordered, then without repetitions.

    `shape` is (sort passes, number of leading sort keys, group key function per argument).
    Without ORDER BY, DISTINCT steps in the order of the values, as PostgreSQL's sort leaves them.
    """
    passes, width, keys = shape
    if passes:
        rows = sort_rows(rows, passes, check)
    if width:
        rows = [row[width:] for row in rows]
    if not distinct:
        return rows
    seen: dict[Any, tuple[Any, ...]] = {}
    for row in rows:
        key = tuple(v if k is None or v is None else k(v) for k, v in zip(keys, row, strict=True))
        if key not in seen:
            seen[key] = row
    if passes:
        return list(seen.values())
    order = sorted(seen, key=lambda key: tuple((v is None, v) for v in key))
    return [seen[key] for key in order]


def different_rows(rows: dict[Any, tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The different argument tuples of one group, sorted as PostgreSQL leaves them."""
    keys = list(rows)
    if any(key is None or type(key) is tuple for key in keys):
        keys.sort(key=_null_last)
    else:
        keys.sort()
    return [rows[key] for key in keys]


def _null_last(key: Any) -> Any:
    if type(key) is tuple:
        return tuple((v is None, v) for v in key)
    return (key is None, key)
