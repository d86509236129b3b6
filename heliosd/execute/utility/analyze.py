"""ANALYZE: what a sample of rows tells about a table's columns, in pg_stats' terms."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog.objects import Column, ColumnStatistics, Statistics, Table

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.types.registry import SqlType

SAMPLE_ROWS_MAX: Final = 10_000
_RUN_ROWS: Final = 100
"""Rows read from one random place: neighbours cost nothing once their leaf is there."""
_TARGET: Final = 100
_WIDE_BYTES: Final = 1024
"""Longer values are counted, never kept."""
_KEPT: Final = (bool, int, float, str, bytes, Decimal, tuple)
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
    stored = [row[slot] for row in rows]
    present = [value for value in stored if value is not None]
    nulls = 1 - len(present) / len(stored) if stored else 0.0
    width = _width(kind, present)
    if not present or kind.key is None or width > _WIDE_BYTES:
        return ColumnStatistics(attnum=column.attnum, null_fraction=nulls, width=width)
    unpack = kind.unpack
    values = present if unpack is None else [unpack(value) for value in present]
    if not isinstance(values[0], _KEPT):
        return ColumnStatistics(attnum=column.attnum, null_fraction=nulls, width=width)
    group = kind.group_key()
    order = kind.order_key()
    counts = Counter(values if group is None else map(group, values))
    originals = dict(zip(map(group, values), values, strict=True)) if group is not None else None
    distinct = _distinct(counts, len(values), total, 1 - nulls)
    common = _common(counts, len(values), distinct)
    histogram = _histogram(values, group, order, {key for key, _ in common})
    return ColumnStatistics(
        attnum=column.attnum,
        null_fraction=nulls,
        width=width,
        distinct=distinct,
        common_values=tuple(key if originals is None else originals[key] for key, _count in common),
        common_frequencies=tuple(count / len(stored) for _key, count in common),
        histogram=histogram,
        correlation=_correlation(values, order),
    )


def _width(kind: SqlType, stored: Sequence[Any]) -> int:
    if kind.size > 0:
        return kind.size
    if not stored:
        return 0
    sizes = sum(len(v) if isinstance(v, str | bytes) else 8 for v in stored)
    return sizes // len(stored) + 1


def _distinct(counts: Counter[Any], sampled: int, total: int, present: float) -> float:
    """Haas and Stokes' estimate, as PostgreSQL uses it; negative: a fraction of the rows."""
    seen = len(counts)
    once = sum(1 for count in counts.values() if count == 1)
    population = total * present
    if once == sampled:
        return -1.0 * present
    if once == 0 or sampled >= population:
        estimate = float(seen)
    else:
        estimate = sampled * seen / (sampled - once + once * sampled / population)
        estimate = min(max(estimate, float(seen)), population)
    if estimate > 0.1 * total:
        return -estimate / total
    return float(round(estimate))


def _common(counts: Counter[Any], sampled: int, distinct: float) -> list[tuple[Any, int]]:
    """The most common values: all of them when they are few, else those above the average."""
    if len(counts) <= _TARGET and distinct > 0:
        return [pair for pair in counts.most_common() if pair[1] > 1] or []
    average = sampled / max(len(counts), 1)
    threshold = max(2.0, average * 1.25)
    return [pair for pair in counts.most_common(_TARGET) if pair[1] >= threshold]


def _histogram(
    values: Sequence[Any],
    group: Callable[[Any], Any] | None,
    order: Callable[[Any], Any] | None,
    common: set[Any],
) -> tuple[Any, ...]:
    """Bounds that cut the values that are not common into parts of equal size."""
    rest = [v for v in values if (v if group is None else group(v)) not in common]
    rest = sorted(set(rest) if group is None else rest, key=order)
    if len(rest) < 2:
        return ()
    bounds = min(_TARGET + 1, len(rest))
    return tuple(rest[(len(rest) - 1) * i // (bounds - 1)] for i in range(bounds))


def _correlation(values: Sequence[Any], order: Callable[[Any], Any] | None) -> float | None:
    """How far the order of the keys is the column's own order: Pearson's r over ranks."""
    count = len(values)
    if count < 2:
        return None
    places = range(count)
    ranked = sorted(
        places, key=values.__getitem__ if order is None else (lambda place: order(values[place]))
    )
    mean = (count - 1) / 2
    spread = sum((place - mean) ** 2 for place in places)
    together = sum((rank - mean) * (place - mean) for rank, place in enumerate(ranked))
    return together / spread if spread else None
