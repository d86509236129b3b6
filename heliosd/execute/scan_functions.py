"""What generated scans call for sources that are no trees: functions, catalog relations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count, zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from helios_storage.snapshot import Snapshot
    from heliosd.catalog.objects import Sequence, SystemView
    from heliosd.execute.context import ExecutionContext


def system_rows(view: SystemView, ctx: ExecutionContext) -> Iterable[tuple[Any, ...]]:
    """The rows of a catalog relation, as this session sees it."""
    return view.rows(ctx.services.view_context)


def sequence_rows(sequence: Sequence, ctx: ExecutionContext) -> Iterable[tuple[Any, ...]]:
    """A sequence read as a relation: last_value, log_cnt, is_called."""
    last = ctx.services.view_context.server.sequence_value(sequence.store_id)
    yield (sequence.start if last is None else last, 0, last is not None)


SKIPPED_ROWS_MIN = 256
"""Fewer rows are read faster than they are skipped."""


def skipped(snapshot: Snapshot, tree_id: int, offset: int) -> tuple[Any, int]:
    """(key of the first wanted row, rows still to pass over) of a whole scan with an OFFSET.

    O(log n): the tree counts its rows. (None, offset): from the start; past the end, all remain.
    """
    if offset < SKIPPED_ROWS_MIN:
        return None, offset
    found = snapshot.nth(tree_id, offset, ())
    return (None, offset) if found is None else (found[0], 0)


def single(values: Iterable[Any] | None) -> Iterator[tuple[Any, ...]]:
    """A set of values as rows of one column."""
    if values is not None:
        for value in values:
            yield (value,)


def records(rows: Iterable[tuple[Any, ...]] | None) -> Iterable[tuple[Any, ...]]:
    """A set of records as rows."""
    return () if rows is None else rows


def records_or_null(
    width: int, rows: Iterable[tuple[Any, ...] | None] | None
) -> Iterator[tuple[Any, ...]]:
    """A set of records, where a NULL is a row of NULLs."""
    nulls = (None,) * width
    for row in rows or ():
        yield nulls if row is None else row


def one_value(value: Any) -> tuple[tuple[Any, ...], ...]:
    """A function that returns no set gives one row."""
    return ((value,),)


def one_record(value: tuple[Any, ...] | None, width: int) -> tuple[tuple[Any, ...], ...]:
    """As `one_value`, for a record: its fields are the columns."""
    return ((None,) * width,) if value is None else (value,)


def side_by_side(
    sources: tuple[Iterable[tuple[Any, ...]], ...],
    widths: tuple[int, ...],
    ordinality: bool,  # noqa: FBT001  # a column or none, chosen when the program was written
) -> Iterator[tuple[Any, ...]]:
    """ROWS FROM: shorter sets are filled with NULLs; WITH ORDINALITY numbers the rows."""
    numbers = count(1)
    for parts in zip_longest(*sources):
        row: list[Any] = []
        for part, width in zip(parts, widths, strict=True):
            row.extend((None,) * width if part is None else part)
        if ordinality:
            row.append(next(numbers))
        yield tuple(row)


def shaped(
    rows: Iterable[tuple[Any, ...]] | None, make: Callable[[tuple[Any, ...]], Any]
) -> Iterable[Any]:
    """Rows as records that know their fields; a NULL set is empty."""
    return () if rows is None else map(make, rows)


def in_step(sources: tuple[Iterable[Any] | None, ...]) -> Iterator[tuple[Any, ...]]:
    """Set-returning calls in a target list: as many rows as the longest, NULLs after the others."""
    return zip_longest(*(() if source is None else source for source in sources))
