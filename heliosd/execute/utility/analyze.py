"""ANALYZE: what a sample of rows tells about a table's columns, in pg_stats' terms."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog.objects import Column, ColumnStatistics, Statistics, Table
from heliosd.plan.statistics import TARGET_DEFAULT, column_statistics

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

SAMPLE_ROWS_MAX: Final = 10_000
_RUN_ROWS: Final = 100
"""Rows read from one random place: neighbours cost nothing once their leaf is there."""
_KEPT: Final = (bool, int, float, str, bytes, Decimal, tuple)
"""Values that a catalog row can hold."""
_PAGE_BYTES: Final = 8192


def analyze_table(session: SessionServices, table: Table, columns: Sequence[str]) -> None:
    """Gather and keep a table's statistics; `columns` () means all. The caller holds its lock."""
    snapshot = session.new_statement_snapshot()
    total = snapshot.count(table.tree_id)
    rows = list(_sample(session, table, total))
    known = session.catalog.statistics(table.oid)
    kept = {} if known is None else {c.attnum: c for c in known.columns}
    width = 0
    for column in table.live_columns:
        if column.statistics_target == 0:
            continue
        if columns and column.name not in columns:
            continue
        found = _column(session, column, rows, total)
        kept[column.attnum] = found
        width += found.width
        session.context.check_slice()
    live = {column.attnum for column in table.live_columns}
    edit = session.catalog_edit()
    statistics = Statistics(
        oid=edit.new_oid() if known is None else known.oid,
        name=table.name,
        owner=table.owner,
        database=session.catalog.database.oid,
        table=table.oid,
        rows=total,
        pages=max(1, -(-total * (width + 28) // _PAGE_BYTES)) if total else 0,
        columns=tuple(kept[attnum] for attnum in sorted(kept) if attnum in live),
        temporary=table.persistence == "t",
        gathered_at=session.context.eval.clock_us(),
    )
    if known is None:
        edit.create(statistics)
    else:
        edit.replace(known, statistics)


def _sample(session: SessionServices, table: Table, total: int) -> Iterator[tuple[Any, ...]]:
    """All rows of a small table; of a large one, runs of rows from random places in key order."""
    snapshot = session.context.snapshot
    if total <= SAMPLE_ROWS_MAX:
        for _keys, rows in snapshot.batches(table.tree_id):
            yield from rows
            session.context.check_slice()
        return
    runs = SAMPLE_ROWS_MAX // _RUN_ROWS
    chooser = random.Random(total)  # noqa: S311  (a sample promises no secrecy)
    for place in sorted(chooser.sample(range(total - _RUN_ROWS), runs)):
        found = snapshot.nth(table.tree_id, place)
        if found is None:
            continue
        left = _RUN_ROWS
        for _keys, rows in snapshot.batches(table.tree_id, low=found[0]):
            yield from rows[:left]
            left -= len(rows)
            if left <= 0:
                break
        session.context.check_slice()


def _column(
    session: SessionServices, column: Column, rows: Sequence[tuple[Any, ...]], total: int
) -> ColumnStatistics:
    kind = session.catalog.types.type(column.type_oid)
    slot = column.attnum - 1
    unpack = kind.unpacker(column.typmod)
    values = [row[slot] for row in rows]
    if unpack is not None:
        values = [None if value is None else unpack(value) for value in values]
    target = column.statistics_target if column.statistics_target > 0 else TARGET_DEFAULT
    found = column_statistics(column.attnum, values, total, kind, target)
    if found.common_values and not isinstance(found.common_values[0], _KEPT):
        return replace(found, common_values=(), common_frequencies=(), histogram=())
    if found.histogram and not isinstance(found.histogram[0], _KEPT):
        return replace(found, histogram=())
    return found
