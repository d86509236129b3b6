"""Window functions at run time: partitions of sorted rows, frames, aggregates over frames."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from heliosd.errors import SqlError
from heliosd.execute.frame_range import RangeScale, check_range_offset
from heliosd.execute.loops import sort_rows

if TYPE_CHECKING:
    from heliosd.types.context import EvalContext

Row: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class FrameSpec:
    """A window's frame as written; offsets are given at run time."""

    mode: str
    start: str
    end: str
    exclude: str
    descending: bool
    order_at: int
    """Where in a row the raw value of the only ORDER BY key rests (RANGE with an offset)."""
    scale: RangeScale | None = None


@dataclass(frozen=True, slots=True)
class CallSpec:
    """One window function call: where its arguments rest in a row.

    `compute` for a window function; an aggregate comes as callables at run time. `strict`: rows
    with a NULL argument are passed over. `filter_at`: -1 without FILTER.
    """

    arguments: tuple[int, ...]
    compute: Callable[[Any], list[Any]] | None
    strict: bool
    filter_at: int = -1


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """`passes` sort by partition, then order; the first fields of a row are those sort parts."""

    passes: tuple[tuple[Any, bool], ...]
    partition_parts: int
    order_parts: int
    frame: FrameSpec
    calls: tuple[CallSpec, ...]


class Partition:
    """One partition in window order (functions.registry.WindowPartition)."""

    __slots__ = (
        "_ctx",
        "_end",
        "_frame",
        "_placed",
        "_start",
        "arguments",
        "peer_ends",
        "peer_starts",
        "rows",
        "size",
    )

    def __init__(
        self, rows: Sequence[Row], spec: WindowSpec, start: Any, end: Any, ctx: Any
    ) -> None:
        self._ctx = ctx
        self._placed: tuple[int, int, list[Any]] | None = None
        self.rows = rows
        self.size = len(rows)
        self.arguments: list[list[Any]] = []
        self._frame = spec.frame
        self._start = start
        self._end = end
        self.peer_starts, self.peer_ends = _peers(
            rows, spec.partition_parts, spec.partition_parts + spec.order_parts
        )

    def frame(self, row: int) -> Sequence[int]:
        """The indexes of the rows in one row's frame."""
        low, high = self.bounds(row)
        exclude = self._frame.exclude
        if exclude == "none":
            return range(low, high)
        first, last = self.peer_starts[row], self.peer_ends[row]
        if exclude == "current_row":
            return [i for i in range(low, high) if i != row]
        if exclude == "group":
            return [i for i in range(low, high) if not first <= i < last]
        return [i for i in range(low, high) if i == row or not first <= i < last]

    def bounds(self, row: int) -> tuple[int, int]:
        """(first, one past the last) row of the frame before EXCLUDE."""
        low = self._bound(row, self._frame.start, self._start, is_end=False)
        high = self._bound(row, self._frame.end, self._end, is_end=True)
        low, high = max(0, low), min(self.size, high)
        return (low, high) if low < high else (low, low)

    def _bound(self, row: int, kind: str, offset: Any, *, is_end: bool) -> int:
        if kind == "unbounded_preceding":
            return 0
        if kind == "unbounded_following":
            return self.size
        mode = self._frame.mode
        if kind == "current_row":
            if mode == "rows":
                return row + is_end
            return self.peer_ends[row] if is_end else self.peer_starts[row]
        sign = -1 if kind == "preceding" else 1
        if mode == "rows":
            return row + sign * int(offset) + is_end
        if mode == "groups":
            return self._group_bound(row, sign * int(offset), is_end=is_end)
        return self._range_bound(row, sign, offset, is_end=is_end)

    def _group_bound(self, row: int, steps: int, *, is_end: bool) -> int:
        at = row
        while steps < 0:
            at = self.peer_starts[at] - 1
            steps += 1
            if at < 0:
                return 0
        while steps > 0:
            at = self.peer_ends[at]
            steps -= 1
            if at >= self.size:
                return self.size
        return self.peer_ends[at] if is_end else self.peer_starts[at]

    def _range_bound(self, row: int, sign: int, offset: Any, *, is_end: bool) -> int:
        """RANGE with an offset: by value of the one ORDER BY key."""
        frame = self._frame
        assert frame.scale is not None
        value = self.rows[row][frame.order_at]
        if value is None:
            return self.peer_ends[row] if is_end else self.peer_starts[row]
        if self._placed is None:
            self._placed = self._places(frame.scale)
        first, last, places = self._placed
        wanted = frame.scale.shifted(self._ctx, value, offset, -sign if frame.descending else sign)
        if frame.descending:
            cut = bisect_left if is_end else bisect_right
            return last - cut(places, wanted)
        return first + (bisect_right if is_end else bisect_left)(places, wanted)

    def _places(self, scale: RangeScale) -> tuple[int, int, list[Any]]:
        """(first row with a value, one past the last, the values' places in ascending order)."""
        known = [r[self._frame.order_at] for r in self.rows]
        first = next((i for i, v in enumerate(known) if v is not None), 0)
        last = len(known) - next((i for i, v in enumerate(reversed(known)) if v is not None), 0)
        places = [scale.place(v) for v in known[first:last]]
        if self._frame.descending:
            places.reverse()
        return first, last, places


def _peers(rows: Sequence[Row], start: int, stop: int) -> tuple[list[int], list[int]]:
    size = len(rows)
    starts = [0] * size
    ends = [size] * size
    if start == stop:
        return starts, ends
    first = 0
    for i in range(1, size + 1):
        if i == size or rows[i][start:stop] != rows[first][start:stop]:
            for j in range(first, i):
                starts[j] = first
                ends[j] = i
            first = i
    return starts, ends


def window_rows(
    rows: list[Row],
    spec: WindowSpec,
    aggregates: tuple[tuple[Any, ...] | None, ...],
    offsets: tuple[Any, Any],
    check: Callable[[], None],
    ctx: EvalContext,
) -> list[tuple[Row, Row]]:
    """Each row with the values of the window calls, in window order.

    `aggregates` has, per call that is an aggregate, (init, step, final, inverse or None).
    """
    for offset, which in zip(offsets, ("starting", "ending"), strict=True):
        _check_offset(offset, which, spec.frame)
    if spec.passes:
        rows = sort_rows(rows, spec.passes, check)
    result: list[tuple[Row, Row]] = []
    width = spec.partition_parts
    first = 0
    for i in range(1, len(rows) + 1):
        if not i & 1023:
            check()
        if i < len(rows) and rows[i][:width] == rows[first][:width]:
            continue
        part = rows[first:i]
        first = i
        check()
        partition = Partition(part, spec, *offsets, ctx)
        columns = [
            _values(partition, call, aggregate, check)
            for call, aggregate in zip(spec.calls, aggregates, strict=True)
        ]
        result.extend(zip(part, zip(*columns, strict=True), strict=True))
    return result


def _check_offset(offset: Any, which: str, frame: FrameSpec) -> None:
    if offset is MISSING:
        return
    if offset is None:
        raise SqlError("22004", f"frame {which} offset must not be null")
    if frame.scale is not None:
        check_range_offset(offset, frame.scale)
    elif offset < 0:
        raise SqlError("22013", f"frame {which} offset must not be negative")


MISSING: Any = object()
"""The offset of a frame bound that has none."""


def _values(
    partition: Partition,
    call: CallSpec,
    aggregate: tuple[Any, ...] | None,
    check: Callable[[], None],
) -> list[Any]:
    rows = partition.rows
    partition.arguments = [[row[at] for row in rows] for at in call.arguments]
    if call.compute is not None:
        return call.compute(partition)
    assert aggregate is not None
    usable = [
        (call.filter_at < 0 or bool(row[call.filter_at]))
        and not (call.strict and any(row[at] is None for at in call.arguments))
        for row in rows
    ]
    values = list(zip(*partition.arguments, strict=True)) if call.arguments else [()] * len(rows)
    frame = partition._frame  # noqa: SLF001  # one module
    if frame.exclude != "none":
        return _each_frame(partition, aggregate, usable, values, check)
    return _moving(partition, aggregate, usable, values, check)


def _each_frame(
    partition: Partition,
    aggregate: tuple[Any, ...],
    usable: list[bool],
    values: list[Row],
    check: Callable[[], None],
) -> list[Any]:
    """Every frame from scratch."""
    init, step, final, _ = aggregate
    found: list[Any] = []
    for row in range(partition.size):
        state = init()
        for i in partition.frame(row):
            if usable[i]:
                state = step(state, *values[i])
        found.append(final(state))
        check()
    return found


def _moving(
    partition: Partition,
    aggregate: tuple[Any, ...],
    usable: list[bool],
    values: list[Row],
    check: Callable[[], None],
) -> list[Any]:
    """Frames without EXCLUDE: rows come in at the end and, if they can, go out at the start."""
    init, step, final, inverse = aggregate
    found: list[Any] = []
    state = init()
    low = high = 0
    last: tuple[int, int] | None = None
    for row in range(partition.size):
        start, end = partition.bounds(row)
        if (start, end) == last:
            found.append(found[-1])
            continue
        if (start > low and (inverse is None or start >= high)) or start < low or end < high:
            state = init()
            low = high = start
        while low < start:
            if usable[low]:
                state = inverse(state, *values[low])
            low += 1
        while high < end:
            if usable[high]:
                state = step(state, *values[high])
            high += 1
        last = (start, end)
        found.append(final(state))
        if not row & 255:
            check()
    return found
