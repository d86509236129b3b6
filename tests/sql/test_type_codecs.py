"""Each type's text, binary and stored forms, and the order that its sort keys give."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliosd.errors import SqlError
from heliosd.types.array import array_of
from heliosd.types.builtin import TYPES
from heliosd.types.calendar import DATE_END, DATE_MIN, TIMESTAMP_END, TIMESTAMP_MIN, US_PER_DAY
from heliosd.types.failures import TrailingBytesError
from heliosd.types.numeric_core import NAN, normal
from heliosd.types.registry import SqlType
from tests.sql.evaluation import CONTEXT

I32 = st.integers(-(2**31) + 1, 2**31 - 1)
NUMERIC = st.decimals(allow_nan=False, allow_infinity=False, places=None).filter(
    lambda value: abs(value.adjusted()) < 400
).map(normal) | st.just(NAN)  # fmt: skip

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int2": st.integers(-(2**15), 2**15 - 1),
    "int4": st.integers(-(2**31), 2**31 - 1),
    "int8": st.integers(-(2**63), 2**63 - 1),
    "oid": st.integers(0, 2**32 - 1),
    "float8": st.floats(),
    "float4": st.floats(width=32),
    "numeric": NUMERIC,
    "text": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    "bytea": st.binary(),
    "uuid": st.binary(min_size=16, max_size=16),
    "date": st.integers(DATE_MIN, DATE_END - 1),
    "time": st.integers(0, US_PER_DAY),
    "timestamp": st.integers(TIMESTAMP_MIN, TIMESTAMP_END - 1),
    "timestamptz": st.integers(TIMESTAMP_MIN, TIMESTAMP_END - 1),
    "timetz": st.tuples(st.integers(0, US_PER_DAY), st.integers(-57_599, 57_599)),
    "interval": st.tuples(I32, I32, st.integers(-(2**62), 2**62)),
    "money": st.integers(-(2**63) + 1, 2**63 - 1),
    "pg_lsn": st.integers(0, 2**64 - 1),
    "varbit": st.text("01"),
    "_int4": st.lists(I32 | st.none()).map(array_of),
    "_text": st.lists(st.text(string.printable) | st.none()).map(array_of),
}


def same(kind: SqlType, left: Any, right: Any) -> bool:
    """SQL's equality."""
    key = kind.group_key() or (lambda value: value)
    return bool(key(left) == key(right))


@pytest.mark.parametrize("name", sorted(VALUES))
def test_a_value_comes_back_from_each_form(name: str) -> None:
    """Text, binary, storage: what goes out comes in the same."""
    kind = TYPES.named(name)

    @given(VALUES[name])
    @settings(max_examples=60, deadline=None)
    def check(value: Any) -> None:
        assert same(kind, kind.input(kind.output(value, CONTEXT), -1, CONTEXT), value)
        assert kind.send is not None
        assert kind.receive is not None
        assert same(kind, kind.receive(kind.send(value, CONTEXT), -1, CONTEXT), value)
        if kind.pack is not None:
            assert kind.unpack is not None
            assert same(kind, kind.unpack(kind.pack(value)), value)

    check()


# One array type stands for all: they share one codec.
KINDS = [
    kind
    for kind in TYPES.by_oid.values()
    if not kind.is_array or kind.name in ("_int4", "_text", "_numeric")
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_foreign_texts_are_refused_cleanly(kind: SqlType) -> None:
    """Whatever a client writes: a value or an SqlError, never another exception."""

    @given(st.text("0123456789+-.:/eE {}[](),\"\\'TZPYMDHSinfatoyJx\0é", max_size=30) | st.text())
    @settings(max_examples=40, deadline=None)
    def check(text: str) -> None:
        try:
            value = kind.input(text, -1, CONTEXT)
        except SqlError as error:
            assert len(error.sqlstate) == 5
            # PostgreSQL's own state for an unknown version of the format
            assert error.sqlstate != "XX000" or kind.name in ("jsonb", "jsonpath")
            return
        if value is not None:
            kind.output(value, CONTEXT)

    check()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_foreign_bytes_are_refused_cleanly(kind: SqlType) -> None:
    """The same for binary parameters."""
    receive = kind.receive
    if receive is None:
        pytest.skip("no binary form")

    @given(
        st.binary(max_size=40)
        | st.lists(st.sampled_from(b"\0\1\2\x17\x19\xff"), max_size=40).map(bytes)
    )
    @settings(max_examples=40, deadline=None)
    def check(data: bytes) -> None:
        try:
            value = receive(data, -1, CONTEXT)
        except TrailingBytesError:
            return
        except SqlError as error:
            # PostgreSQL's own state for an unknown version of the format
            assert error.sqlstate != "XX000" or kind.name in ("jsonb", "jsonpath")
            return
        if value is not None:
            kind.output(value, CONTEXT)

    check()
