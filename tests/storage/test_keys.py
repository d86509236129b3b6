"""Memcomparable keys: byte order is value order, for every kind, direction and place of NULLs."""

from decimal import Decimal
from functools import cmp_to_key

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_storage.keys import (
    KeyColumn,
    after_prefix,
    compile_key_encoder,
    decode_int,
    encode_int,
    encode_numeric,
    encoder_of,
)

INTS = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=8)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=True, places=None).filter(
    lambda d: not d.is_finite() or abs(d.adjusted()) < 100000
)
VALUES = {
    "int": INTS,
    "bool": st.booleans(),
    "float": st.floats(allow_nan=False),
    "numeric": DECIMALS,
    "text": TEXT,
    "bytes": st.binary(max_size=8),
    "fixed": st.binary(min_size=16, max_size=16),
}


def order(a, b):
    return (a > b) - (a < b)


@pytest.mark.parametrize("kind", VALUES)
@given(data=st.data())
def test_order_of_one_column(kind, data):
    a, b = data.draw(VALUES[kind]), data.draw(VALUES[kind])
    for descending in (False, True):
        encode = encoder_of(KeyColumn(kind, descending=descending))
        expected = -order(a, b) if descending else order(a, b)
        assert order(encode(a), encode(b)) == expected


@pytest.mark.parametrize(
    ("descending", "nulls_first", "expected"),
    [(False, None, 1), (True, None, -1), (False, True, -1), (True, False, 1)],
)
def test_place_of_null(descending, nulls_first, expected):
    encode = encoder_of(KeyColumn("int", descending=descending, nulls_first=nulls_first))
    for value in (-(2**63), 0, 2**63 - 1):
        assert order(encode(None), encode(value)) == expected


@given(data=st.data())
def test_order_of_composites(data):
    kinds = data.draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4))
    columns = tuple(
        KeyColumn(kind, descending=data.draw(st.booleans()), nulls_first=data.draw(st.booleans()))
        for kind in kinds
    )
    encode = compile_key_encoder(columns)
    rows = [
        tuple(data.draw(st.none() | VALUES[kind]) for kind in kinds)
        for _ in range(data.draw(st.integers(2, 4)))
    ]

    def compare(left, right):
        for column, a, b in zip(columns, left, right, strict=True):
            if a is None or b is None:
                result = (
                    ((a is not None) - (b is not None))
                    if column.nulls_first
                    else ((a is None) - (b is None))
                )
            else:
                result = -order(a, b) if column.descending else order(a, b)
            if result:
                return result
        return 0

    ordered = sorted(rows, key=cmp_to_key(compare))
    assert [encode(row) for row in ordered] == sorted(encode(row) for row in rows)
    for row in rows:
        slow = b"".join(encoder_of(c)(v) for c, v in zip(columns, row, strict=True))
        assert encode(row) == slow


@given(INTS)
def test_int_there_and_back(value):
    assert decode_int(encode_int(value)) == value


def test_specials():
    nan = float("nan")
    encode = encoder_of(KeyColumn("float"))
    assert encode(nan) > encode(float("inf"))
    assert encode(-nan) == encode(nan)
    assert encode(-0.0) == encode(0.0)
    numeric = encode_numeric
    assert numeric(Decimal("NaN")) > numeric(Decimal("Infinity")) > numeric(Decimal("1e100"))
    assert numeric(Decimal("1.0")) == numeric(Decimal("1.000"))
    assert numeric(Decimal("-0")) == numeric(Decimal("0"))


def test_arrays():
    encode = encoder_of(KeyColumn("array", element="int"))
    ordered = [[], [1], [1, 2], [1, None], [2]]
    assert [encode(item) for item in ordered] == sorted(encode(item) for item in ordered)


@given(st.binary(max_size=6), st.binary(max_size=6))
def test_after_prefix(prefix, rest):
    bound = after_prefix(prefix)
    assert bound is None or prefix + rest < bound
