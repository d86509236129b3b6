"""Window functions; each computes a whole partition at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.functions.declare import window_function
from heliosd.functions.registry import SqlWindowFunction, WindowPartition
from heliosd.types.declare import Forms
from heliosd.types.registry import Value

forms: Final = Forms()


def row_number(partition: WindowPartition) -> list[Value]:
    """1, 2, 3 ..."""
    return list(range(1, partition.size + 1))


def rank(partition: WindowPartition) -> list[Value]:
    """The row number of the first peer: with gaps."""
    return [start + 1 for start in partition.peer_starts]


def dense_rank(partition: WindowPartition) -> list[Value]:
    """The number of the peer group: without gaps."""
    ranks: list[Value] = []
    number = 0
    last = -1
    for start in partition.peer_starts:
        if start != last:
            number, last = number + 1, start
        ranks.append(number)
    return ranks


def percent_rank(partition: WindowPartition) -> list[Value]:
    """(rank - 1) / (rows - 1)."""
    others = partition.size - 1
    return [start / others if others else 0.0 for start in partition.peer_starts]


def cume_dist(partition: WindowPartition) -> list[Value]:
    """The share of rows up to and including the peers."""
    size = partition.size
    return [end / size for end in partition.peer_ends]


def ntile(partition: WindowPartition) -> list[Value]:
    """Buckets of sizes that differ by one at most, the larger first; 22014."""
    size = partition.size
    count: Any = partition.arguments[0][0] if size else 1
    if count is None:
        return [None] * size
    if count <= 0:
        raise SqlError("22014", "argument of ntile must be greater than zero")
    each, larger = divmod(size, count)
    found: list[Value] = []
    for bucket in range(1, min(count, size) + 1):
        found.extend([bucket] * (each + (bucket <= larger)))
    return found


def _shifted(direction: int) -> Callable[[WindowPartition], list[Value]]:
    """lag (-1) and lead (1): the value some rows away, else the default."""

    def compute(partition: WindowPartition) -> list[Value]:
        values, *rest = partition.arguments
        size = partition.size
        offsets: Any = rest[0] if rest else [1] * size
        defaults: Any = rest[1] if len(rest) > 1 else [None] * size
        found: list[Value] = []
        for row in range(size):
            offset = offsets[row]
            if offset is None:
                found.append(None)
                continue
            place = row + direction * offset
            found.append(values[place] if 0 <= place < size else defaults[row])
        return found

    return compute


def first_value(partition: WindowPartition) -> list[Value]:
    """Of the frame's first row."""
    values = partition.arguments[0]
    frames = map(partition.frame, range(partition.size))
    return [values[frame[0]] if frame else None for frame in frames]


def last_value(partition: WindowPartition) -> list[Value]:
    """Of the frame's last row."""
    values = partition.arguments[0]
    frames = map(partition.frame, range(partition.size))
    return [values[frame[-1]] if frame else None for frame in frames]


def nth_value(partition: WindowPartition) -> list[Value]:
    """Of the frame's nth row, from 1; 22016."""
    values, numbers = partition.arguments
    found: list[Value] = []
    for row in range(partition.size):
        number: Any = numbers[row]
        if number is None:
            found.append(None)
            continue
        if number <= 0:
            raise SqlError("22016", "argument of nth_value must be greater than zero")
        frame = partition.frame(row)
        found.append(values[frame[number - 1]] if number <= len(frame) else None)
    return found


def _all() -> Iterator[SqlWindowFunction]:
    yield window_function("row_number()", row_number)
    yield window_function("rank()", rank)
    yield window_function("dense_rank()", dense_rank)
    yield window_function("percent_rank()", percent_rank)
    yield window_function("cume_dist()", cume_dist)
    yield window_function("ntile(int4)", ntile)
    for name, direction in (("lag", -1), ("lead", 1)):
        compute = _shifted(direction)
        yield window_function(f"{name}(anyelement)", compute)
        yield window_function(f"{name}(anyelement,int4)", compute)
        yield window_function(f"{name}(anycompatible,int4,anycompatible)", compute)
    yield window_function("first_value(anyelement)", first_value, uses_frame=True)
    yield window_function("last_value(anyelement)", last_value, uses_frame=True)
    yield window_function("nth_value(anyelement,int4)", nth_value, uses_frame=True)


window_functions: Final = tuple(_all())
