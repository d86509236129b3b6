"""Sorting beyond work_mem: sorted runs in temporary files, merged while they are read."""

from __future__ import annotations

import heapq
import pickle
import re
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from heliosd.execute.loops import chunks, iterator_chunks, sort_rows
from heliosd.execute.temp_files import TempFile, TempSpace

if TYPE_CHECKING:
    from heliosd.execute.context import ExecutionContext

FIRST_LOOK_ROWS: Final = 4096
"""Fewer rows are never weighed."""
SAMPLE_ROWS: Final = 64
NEVER: Final = 1 << 60
_UNITS: Final = {"": 1024, "B": 1, "kB": 1024, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}

Passes = tuple[tuple[Callable[[Any], Any], bool], ...]


def memory_setting(ctx: ExecutionContext, name: str) -> int:
    """A setting of memory or space in bytes; -1 as it is."""
    shown = ctx.eval.setting(name)
    found = re.fullmatch(r"(-?\d+)\s*([kMGT]?B|)", shown)
    assert found is not None, shown
    number = int(found[1])
    return number if number < 0 else number * _UNITS[found[2]]


class Sorter:
    """One sort: the program collects rows and hands them over when it has `limit` of them."""

    def __init__(self, ctx: ExecutionContext, passes: Passes) -> None:
        self._ctx = ctx
        self._passes = passes
        self._runs: list[TempFile] = []
        self._space: TempSpace | None = None
        self.limit = FIRST_LOOK_ROWS

    def add(self, rows: list[Any]) -> list[Any]:
        """Called with at least `limit` rows: the list to go on with, after a run was written."""
        work_mem = memory_setting(self._ctx, "work_mem")
        allowed = max(FIRST_LOOK_ROWS, work_mem // _row_bytes(rows))
        if len(rows) < allowed:
            self.limit = min(allowed, 2 * len(rows))
            return rows
        if self._space is None:
            self._space = TempSpace(memory_setting(self._ctx, "temp_file_limit"))
        check = self._ctx.check_slice
        ordered = sort_rows(rows, self._passes, check)
        run = TempFile(self._ctx.services.storage.directory, self._space)
        try:
            for chunk in chunks(ordered):
                run.write(chunk)
                check()
        except (pickle.PicklingError, TypeError, AttributeError):
            # A value that is no plain data: this sort stays in memory (53200 past its bound).
            run.close()
            self.limit = NEVER
            return rows
        except BaseException:
            run.close()
            raise
        self._runs.append(run)
        self.limit = allowed
        return []

    def chunks(self, rows: list[Any]) -> Iterator[list[Any]]:
        """All rows in order, in slices; `rows` are the last that were not handed over."""
        check = self._ctx.check_slice
        ordered = sort_rows(rows, self._passes, check)
        if not self._runs:
            yield from chunks(ordered)
            return
        try:
            streams = [self._rows(run) for run in self._runs]
            key, reverse = self._merge_key()
            merged = heapq.merge(*streams, iter(ordered), key=key, reverse=reverse)
            yield from iterator_chunks(merged)
        finally:
            for run in self._runs:
                run.close()

    def _rows(self, run: TempFile) -> Iterator[Any]:
        for frame in run.frames():
            self._ctx.check_slice()
            yield from frame

    def _merge_key(self) -> tuple[Callable[[Any], Any], bool]:
        if len(self._passes) == 1:
            return self._passes[0]
        passes = self._passes

        def key(row: Any) -> tuple[Any, ...]:
            return tuple(
                Descending(part(row)) if descending else part(row) for part, descending in passes
            )

        return key, False


class Descending:
    """A key that orders the other way round."""

    __slots__ = ("key",)

    def __init__(self, key: Any) -> None:
        self.key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Descending) and self.key == other.key

    def __lt__(self, other: Descending) -> bool:
        return bool(other.key < self.key)

    __hash__ = None  # type: ignore[assignment]


def _row_bytes(rows: list[Any]) -> int:
    """What a row takes in memory, from a few of them."""
    step = max(1, len(rows) // SAMPLE_ROWS)
    sample = rows[::step]
    total = 0
    for row in sample:
        total += sys.getsizeof(row) + 8
        for value in row:
            total += sys.getsizeof(value)
            if type(value) is tuple:
                total += sum(map(sys.getsizeof, value))
    return max(64, total // max(len(sample), 1))
