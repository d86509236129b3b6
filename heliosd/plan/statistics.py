"""What ANALYZE finds in a sample of a table's rows, by PostgreSQL's definitions.

n_distinct comes from the estimator of Haas and Stokes that PostgreSQL uses, common values are those
more frequent than average, the histogram divides the rest into parts of equal size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog.objects import ColumnStatistics

if TYPE_CHECKING:
    from heliosd.types.registry import SqlType

TARGET_DEFAULT: Final = 100
"""default_statistics_target: common values and histogram parts at most."""
SAMPLE_FACTOR: Final = 300
"""Rows sampled per unit of the target."""
WIDE_BYTES: Final = 1024
"""Wider values are counted, but neither compared nor kept."""


def column_statistics(
    attnum: int,
    values: Sequence[Any],
    rows_total: float,
    kind: SqlType,
    target: int = TARGET_DEFAULT,
) -> ColumnStatistics:
    """Statistics of one column from a sample of its values (None: NULL), in table order."""
    sampled = len(values)
    if not sampled:
        return ColumnStatistics(attnum=attnum)
    present = [v for v in values if v is not None]
    nulls = 1.0 - len(present) / sampled
    width = _width(present, kind)
    narrow = [v for v in present if not (isinstance(v, str | bytes) and len(v) > WIDE_BYTES)]
    if not narrow or not kind.hashable:
        return ColumnStatistics(
            attnum=attnum,
            null_fraction=nulls,
            width=width,
            distinct=-(1.0 - nulls) if present else 0.0,
        )
    group = kind.group_key()
    by_key: dict[Any, Any] = {}
    counts: Counter[Any] = Counter()
    for value in narrow:
        key = value if group is None else group(value)
        by_key.setdefault(key, value)
        counts[key] += 1
    distinct = _distinct(counts, sampled, len(narrow), rows_total, nulls)
    common = _common(counts, sampled, distinct, rows_total, target)
    histogram: tuple[Any, ...] = ()
    correlation: float | None = None
    if kind.ordered:
        order = kind.order_key()
        rest = [v for v in narrow if (v if group is None else group(v)) not in common]
        rest.sort(key=order)
        if len({(v if group is None else group(v)) for v in rest}) > 1:
            histogram = _histogram(rest, target)
        correlation = _correlation(narrow, order)
    return ColumnStatistics(
        attnum=attnum,
        null_fraction=nulls,
        width=width,
        distinct=distinct,
        common_values=tuple(by_key[key] for key in common),
        common_frequencies=tuple(count / sampled for count in common.values()),
        histogram=histogram,
        correlation=correlation,
    )


def _width(values: Sequence[Any], kind: SqlType) -> int:
    if kind.size > 0:
        return kind.size
    if not values:
        return 0
    total = sum(len(v) + 1 if isinstance(v, str | bytes) else 8 for v in values)
    return max(1, round(total / len(values)))


def _distinct(
    counts: Counter[Any], sampled: int, present: int, rows_total: float, nulls: float
) -> float:
    """pg_stats.n_distinct: positive a count, negative a fraction of the rows."""
    found = len(counts)
    repeated = sum(1 for count in counts.values() if count > 1)
    if not repeated:
        # Every value once: the column looks unique.
        return -(1.0 - nulls)
    if repeated == found or sampled >= rows_total:
        estimate = float(found)
    else:
        once = found - repeated
        population = rows_total * (1.0 - nulls)
        estimate = present * found / (present - once + once * present / max(population, 1.0))
        estimate = min(max(estimate, float(found)), population)
    estimate = float(int(estimate + 0.5))
    if estimate > 0.1 * rows_total:
        return -(estimate / rows_total)
    return estimate


def _common(
    counts: Counter[Any], sampled: int, distinct: float, rows_total: float, target: int
) -> dict[Any, int]:
    """The most common values: all, where the sample saw all; else those clearly above average."""
    tracked = counts.most_common(target)
    is_complete = len(counts) <= target and distinct > 0
    if is_complete:
        return {key: count for key, count in tracked if count > 1 or sampled >= rows_total}
    values = distinct if distinct > 0 else -distinct * rows_total
    average = sampled / max(values, 1.0)
    least = max(2.0, average * 1.25)
    return {key: count for key, count in tracked if count >= least}


def _histogram(values: Sequence[Any], target: int) -> tuple[Any, ...]:
    """Bounds of parts of equal size over sorted values."""
    parts = min(target, len(values) - 1)
    return tuple(values[(i * (len(values) - 1)) // parts] for i in range(parts + 1))


def _correlation(values: Sequence[Any], order: Any) -> float | None:
    """Between the order of values and the order of rows: 1 is sorted, -1 reversed."""
    count = len(values)
    if count < 2:
        return None
    ranks = sorted(range(count), key=lambda i: values[i] if order is None else order(values[i]))
    mean = (count - 1) / 2
    covariance = sum((rank - mean) * (place - mean) for rank, place in enumerate(ranks))
    variance = sum((i - mean) ** 2 for i in range(count))
    return covariance / variance
