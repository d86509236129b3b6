"""UNION, INTERSECT and EXCEPT over lists of rows, and the dedup of a recursion.

`keys` has a function per column that makes equal SQL values equal in Python; None: they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

Row: TypeAlias = tuple[Any, ...]
Keys: TypeAlias = tuple[Callable[[Any], Any] | None, ...]


def row_key(keys: Keys) -> Callable[[Row], Any]:
    """What to compare a row by."""
    if not any(keys):
        return lambda row: row
    return lambda row: tuple(
        v if k is None or v is None else k(v) for k, v in zip(keys, row, strict=True)
    )


def union(left: list[Row], right: list[Row], keys: Keys) -> list[Row]:
    key = row_key(keys)
    found: dict[Any, Row] = {}
    for rows in (left, right):
        for row in rows:
            found.setdefault(key(row), row)
    return list(found.values())


def intersect(left: list[Row], right: list[Row], keys: Keys) -> list[Row]:
    key = row_key(keys)
    there = {key(row) for row in right}
    found: dict[Any, Row] = {}
    for row in left:
        k = key(row)
        if k in there:
            found.setdefault(k, row)
    return list(found.values())


def intersect_all(left: list[Row], right: list[Row], keys: Keys) -> list[Row]:
    key = row_key(keys)
    there = Counter(key(row) for row in right)
    found: list[Row] = []
    for row in left:
        k = key(row)
        if there[k] > 0:
            there[k] -= 1
            found.append(row)
    return found


def difference(left: list[Row], right: list[Row], keys: Keys) -> list[Row]:
    key = row_key(keys)
    there = {key(row) for row in right}
    found: dict[Any, Row] = {}
    for row in left:
        k = key(row)
        if k not in there:
            found.setdefault(k, row)
    return list(found.values())


def difference_all(left: list[Row], right: list[Row], keys: Keys) -> list[Row]:
    key = row_key(keys)
    there = Counter(key(row) for row in right)
    found: list[Row] = []
    for row in left:
        k = key(row)
        if there[k] > 0:
            there[k] -= 1
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
