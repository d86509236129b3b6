"""Ranges, multiranges, composites, enums and their arrays: every form gives the value back, keys
sort as comparisons do, and range operators agree with sets of numbers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliosd.types.array import Array, make_array_type
from heliosd.types.builtin import TYPES
from heliosd.types.composite import make_composite_type, shape_of_type
from heliosd.types.enum import EnumLabel, make_enum_type
from heliosd.types.geometry_core import Circle, Point, Polygon, make_box
from heliosd.types.multirange import MultirangeType, multirange_of
from heliosd.types.range import EMPTY, Range, RangeType
from heliosd.types.registry import SqlType, TypeField
from heliosd.types.rest import key_form, rest_forms
from tests.sql.evaluation import CONTEXT

INT4RANGE, NUMRANGE, TSRANGE = (TYPES.named(name) for name in ("int4range", "numrange", "tsrange"))
INT4MULTIRANGE = TYPES.named("int4multirange")
assert isinstance(INT4RANGE, RangeType)
assert isinstance(NUMRANGE, RangeType)
assert isinstance(TSRANGE, RangeType)
assert isinstance(INT4MULTIRANGE, MultirangeType)

MOOD = make_enum_type(
    name="mood",
    oid=20_000,
    array_oid=20_001,
    labels=[EnumLabel(20_010, "sad", 1.0), EnumLabel(20_011, "ok", 1.5), EnumLabel(9, "a b", 3.0)],
    sql_name="mood",
    uses=(),
)
PAIR = make_composite_type(
    name="pair",
    oid=20_002,
    array_oid=20_003,
    attributes=[
        TypeField("n", TYPES.named("int4")),
        None,
        TypeField("t", TYPES.named("text")),
        TypeField("m", MOOD),
    ],
    sql_name="pair",
    uses=(),
)
PAIRS = make_array_type(PAIR, name="_pair", oid=20_003, align="d", collatable=False)

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


def ranges(kind: RangeType, bounds: st.SearchStrategy[Any]) -> st.SearchStrategy[Range]:
    def make(low: Any, high: Any, low_inc: bool, high_inc: bool) -> Range:
        key = kind.ops.key
        if low is not None and high is not None and key(high) < key(low):
            low, high = high, low
        return kind.ops.make(low, high, low_inc, high_inc)

    optional = bounds | st.none()
    return st.just(EMPTY) | st.builds(make, optional, optional, st.booleans(), st.booleans())


SMALL = ranges(INT4RANGE, st.integers(-8, 8))
PAIR_VALUES = st.tuples(
    st.integers(-(2**31), 2**31 - 1) | st.none(),
    TEXT | st.none(),
    st.sampled_from([20_010, 20_011, 9]) | st.none(),
).map(shape_of_type(PAIR).make)
CASES: dict[str, tuple[SqlType, st.SearchStrategy[Any]]] = {
    "int4range": (INT4RANGE, ranges(INT4RANGE, st.integers(-(2**31), 2**31 - 2))),
    "numrange": (NUMRANGE, ranges(NUMRANGE, st.decimals(-1000, 1000, places=2))),
    "tsrange": (TSRANGE, ranges(TSRANGE, st.integers(-(10**15), 10**15))),
    "int4multirange": (
        INT4MULTIRANGE,
        st.lists(SMALL, max_size=5).map(lambda each: multirange_of(INT4RANGE.ops, each)),
    ),
    "mood": (MOOD, st.sampled_from([20_010, 20_011, 9])),
    "pair": (PAIR, PAIR_VALUES),
    "pair[]": (
        PAIRS,
        st.lists(PAIR_VALUES | st.none(), min_size=1, max_size=4).map(
            lambda items: Array(tuple(items), (len(items),), (1,))
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_value_comes_back_from_each_form(name: str) -> None:
    """Text, binary, storage."""
    kind, values = CASES[name]
    to_bytes, from_bytes = rest_forms(kind)
    assert kind.send is not None
    assert kind.receive is not None

    @settings(max_examples=150, derandomize=True, deadline=None)
    @given(values)
    def check(value: Any) -> None:
        assert kind.send is not None
        assert kind.receive is not None
        assert kind.input(kind.output(value, CONTEXT), -1, CONTEXT) == value
        assert kind.receive(kind.send(value, CONTEXT), -1, CONTEXT) == value
        assert from_bytes(to_bytes(value)) == value
        if kind.pack is not None and kind.unpack is not None:
            assert kind.unpack(kind.pack(value)) == value

    check()


@pytest.mark.parametrize("name", [name for name in CASES if name != "pair[]"])
def test_keys_sort_as_values_do(name: str) -> None:
    """Memcomparable bytes against the order of comparison operators."""
    kind, values = CASES[name]
    key, order = key_form(kind), kind.sort_key
    assert order is not None

    @settings(max_examples=200, derandomize=True, deadline=None)
    @given(values, values)
    def check(left: Any, right: Any) -> None:
        assert order is not None
        assert (key(left) < key(right)) == (order(left) < order(right))
        assert (key(left) == key(right)) == (order(left) == order(right))

    check()


def members(value: Range) -> frozenset[int]:
    """What of a few numbers a range includes; -9 and 9 stand for all beyond."""
    return frozenset(n for n in range(-9, 10) if INT4RANGE.ops.contains_value(value, n))


@settings(max_examples=400, derandomize=True, deadline=None)
@given(SMALL, SMALL)
def test_range_operators_are_those_of_sets(a: Range, b: Range) -> None:
    ops = INT4RANGE.ops
    one, two = members(a), members(b)
    assert ops.contains(a, b) == (one >= two)
    assert ops.overlaps(a, b) == bool(one & two)
    assert members(ops.intersect(a, b)) == one & two
    together = multirange_of(ops, [a, b])
    assert frozenset().union(*map(members, together)) == one | two
    rest = ops.parts_without(a, b)
    assert frozenset().union(*map(members, rest)) == one - two
    assert all(not ops.overlaps(x, y) for x, y in pairwise(together))
    if one and two:
        assert ops.before(a, b) == (max(one) < min(two))
        assert members(ops.merge(a, b)) >= one | two


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    st.builds(Point, *[st.floats(-1e6, 1e6)] * 2),
    st.builds(Point, *[st.floats(-1e6, 1e6)] * 2),
    st.floats(0, 1e6),
)
def test_geometry_comes_back_from_text_and_binary(a: Point, b: Point, radius: float) -> None:
    for name, value in (
        ("point", a),
        ("box", make_box(a, b)),
        ("circle", Circle(a, radius)),
        ("polygon", Polygon((a, b, a))),
    ):
        kind = TYPES.named(name)
        assert kind.send is not None
        assert kind.receive is not None
        assert kind.input(kind.output(value, CONTEXT), -1, CONTEXT) == value
        assert kind.receive(kind.send(value, CONTEXT), -1, CONTEXT) == value


def test_a_composite_that_grew_reads_old_values() -> None:
    old = make_composite_type(
        name="pair", oid=20_002, array_oid=0, sql_name="pair", uses=(),
        attributes=[TypeField("n", TYPES.named("int4"))],
    )  # fmt: skip
    assert old.pack is not None
    assert PAIR.unpack is not None
    assert PAIR.unpack(old.pack(shape_of_type(old).make([5]))) == (5, None, None)
