"""ANALYZE's definitions of distinct values, common values and histograms."""

from __future__ import annotations

import random

from heliosd.plan.statistics import column_statistics
from heliosd.types.builtin import TYPES

INT4 = TYPES.named("int4")
TEXT = TYPES.named("text")


def test_nothing() -> None:
    found = column_statistics(1, [], 0, INT4)
    assert (found.null_fraction, found.distinct, found.histogram) == (0.0, 0.0, ())


def test_only_nulls() -> None:
    found = column_statistics(1, [None] * 10, 10, INT4)
    assert found.null_fraction == 1.0
    assert found.common_values == ()


def test_a_unique_column() -> None:
    found = column_statistics(1, list(range(1000)), 1000, INT4)
    assert found.distinct == -1.0
    assert found.common_values == ()
    assert (found.histogram[0], found.histogram[-1], len(found.histogram)) == (0, 999, 101)
    assert found.correlation == 1.0


def test_few_values_are_all_common() -> None:
    values = ["a"] * 70 + ["b"] * 30
    found = column_statistics(1, values, 100, TEXT)
    assert found.distinct == 2
    assert dict(zip(found.common_values, found.common_frequencies, strict=True)) == {
        "a": 0.7,
        "b": 0.3,
    }
    assert found.histogram == ()


def test_skew_shows_in_common_values() -> None:
    generator = random.Random(7)
    values = [0] * 5000 + [generator.randrange(1, 20_000) for _ in range(5000)]
    generator.shuffle(values)
    found = column_statistics(1, values, 1_000_000, INT4)
    assert found.common_values[0] == 0
    assert abs(found.common_frequencies[0] - 0.5) < 0.01
    assert len(found.histogram) == 101


def test_a_sample_of_a_large_table_estimates_its_distinct_values() -> None:
    generator = random.Random(1)
    values = [generator.randrange(5000) for _ in range(30_000)]
    found = column_statistics(1, values, 1_000_000, INT4)
    assert 4500 < found.distinct < 5500


def test_correlation_of_reversed_rows() -> None:
    found = column_statistics(1, list(range(500, 0, -1)), 500, INT4)
    assert found.correlation is not None
    assert abs(found.correlation + 1.0) < 1e-9
