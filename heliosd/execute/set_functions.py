"""UNION, INTERSECT and EXCEPT over lists of rows, and the dedup of a recursion.

`keys` has a function per column that makes equal SQL values equal in Python; None: they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from heliosd.execute.loops import chunks

Row: TypeAlias = tuple[Any, ...]
Check: TypeAlias = Callable[[], None]
Keys: TypeAlias = tuple[Callable[[Any], Any] | None, ...]


def row_key(keys: Keys) -> Callable[[Row], Any]:
    """What to compare a row by."""
    if not any(keys):
        return lambda row: row
    return lambda row: tuple(
        v if k is None or v is None else k(v) for k, v in zip(keys, row, strict=True)
    )


def keyed(rows: list[Row], keys: Keys, check: Check) -> Iterator[tuple[Any, Row]]:
    """Each row with what it is compared by; gives way in between."""
    key = row_key(keys)
    for part in chunks(rows):
        check()
        for row in part:
            yield key(row), row


def union(left: list[Row], right: list[Row], keys: Keys, check: Check) -> list[Row]:
    """The different rows of both."""
    found: dict[Any, Row] = {}
    for rows in (left, right):
        for key, row in keyed(rows, keys, check):
            found.setdefault(key, row)
    return list(found.values())


def intersect(left: list[Row], right: list[Row], keys: Keys, check: Check) -> list[Row]:
    """The different rows that both have."""
    there = {key for key, _ in keyed(right, keys, check)}
    found: dict[Any, Row] = {}
    for key, row in keyed(left, keys, check):
        if key in there:
            found.setdefault(key, row)
    return list(found.values())


def intersect_all(left: list[Row], right: list[Row], keys: Keys, check: Check) -> list[Row]:
    """Each row as often as the side that has it less often."""
    there = Counter(key for key, _ in keyed(right, keys, check))
    found: list[Row] = []
    for key, row in keyed(left, keys, check):
        if there[key] > 0:
            there[key] -= 1
            found.append(row)
    return found


def difference(left: list[Row], right: list[Row], keys: Keys, check: Check) -> list[Row]:
    """The different rows of the left that the right does not have."""
    there = {key for key, _ in keyed(right, keys, check)}
    found: dict[Any, Row] = {}
    for key, row in keyed(left, keys, check):
        if key not in there:
            found.setdefault(key, row)
    return list(found.values())


def difference_all(left: list[Row], right: list[Row], keys: Keys, check: Check) -> list[Row]:
    """Each row of the left as often as it is there more often than on the right."""
    there = Counter(key for key, _ in keyed(right, keys, check))
    found: list[Row] = []
    for key, row in keyed(left, keys, check):
        if there[key] > 0:
            there[key] -= 1
        else:
            found.append(row)
    return found


def fresh_rows(rows: Iterable[Row], seen: set[Any] | None, keys: Keys) -> list[Row]:
    """The rows that a recursion has not given before (`seen` None: UNION ALL, all of them)."""
    if seen is None:
        return list(rows)
    key = row_key(keys)
    found: list[Row] = []
    for row in rows:
        k = key(row)
        if k not in seen:
            seen.add(k)
            found.append(row)
    return found
