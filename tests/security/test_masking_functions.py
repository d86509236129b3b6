"""Mask functions and labels by themselves: what they give, what they refuse."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliosd.catalog.labels import Label, MaskCall, mask_of, parse_call, parse_label, with_mask
from heliosd.errors import SqlError
from heliosd.security.mask_functions import MASK_FUNCTIONS, Form, MaskedColumn, mask_function
from heliosd.types.builtin import TYPES
from heliosd.types.calendar import US_PER_DAY, days_from_civil
from heliosd.types.oids import OIDS

SECRET = b"s" * 32


def column(type_name: str, typmod: int = -1, identity: str = "1.1") -> MaskedColumn:
    return MaskedColumn(TYPES.by_oid[OIDS[type_name]], typmod, identity, True, SECRET)


def form(call: str, type_name: str, typmod: int = -1, identity: str = "1.1") -> Form:
    parsed = parse_call(call)
    return mask_function(parsed).build(parsed, column(type_name, typmod, identity))


@pytest.mark.parametrize(
    ("type_name", "typmod", "value", "shown"),
    [
        ("text", -1, "secret", "XXXX"),
        ("varchar", 6, "ab", "XX"),
        ("int4", -1, 7, 0),
        ("int8", -1, 7, 0),
        ("float8", -1, 7.5, 0.0),
        ("numeric", -1, Decimal("7.5"), Decimal(0)),
        ("bool", -1, True, False),
        ("date", -1, 0, days_from_civil(1900, 1, 1)),
        ("timestamptz", -1, 0, days_from_civil(1900, 1, 1) * US_PER_DAY),
        ("uuid", -1, b"x" * 16, bytes(16)),
        ("bytea", -1, b"x", b""),
        ("jsonb", -1, '{"a": 1}', "{}"),
        ("interval", -1, (1, 2, 3), (0, 0, 0)),
        ("inet", -1, "1.2.3.4", None),
    ],
)
def test_full(type_name: str, typmod: int, value: Any, shown: Any) -> None:
    assert form("full()", type_name, typmod)(value) == shown


@pytest.mark.parametrize("fact", sorted(OIDS))
def test_full_and_null_are_for_every_type_and_full_is_a_value_of_it(fact: str) -> None:
    kind = TYPES.by_oid.get(OIDS[fact])
    if kind is None or kind.is_pseudo:
        pytest.skip("not a type of columns")
    assert form("null()", fact)("anything") is None
    value = form("full()", fact)("anything")
    if value is not None and not kind.is_array and kind.plain_output is not None:
        assert isinstance(kind.plain_output(value), str)


@pytest.mark.parametrize(
    ("call", "value", "shown"),
    [
        ('partial(2, "...", 2)', "0123456789", "01...89"),
        ('partial(2, "...", 2)', "0123", "..."),
        ('partial(2, "...", 2)', "01234", "01...34"),
        ('partial(0, "X", 0)', "anything", "X"),
        ('partial(0, "XX-", 4)', "4111111111111111", "XX-1111"),
        ('partial(3, "", 0)', "abcdef", "abc"),
        ("email()", "alice@example.org", "aXXX@XXXX.com"),
        ("email()", "", "XXX@XXXX.com"),
        ('constant("none")', "x", "none"),
    ],
)
def test_texts(call: str, value: str, shown: str) -> None:
    assert form(call, "text")(value) == shown


def test_texts_fit_their_column() -> None:
    assert form("email()", "varchar", 4 + 6)("alice@example.org") == "aXXX@X"
    assert form('partial(1, "......", 1)', "varchar", 4 + 5)("abcdefgh") == "a...."


@given(st.text(), st.integers(0, 5), st.text(max_size=5), st.integers(0, 5))
def test_partial_shows_no_more_than_its_ends(
    value: str, prefix: int, padding: str, suffix: int
) -> None:
    call = MaskCall("partial", (prefix, padding, suffix))
    shown = mask_function(call).build(call, column("text"))(value)
    if len(value) <= prefix + suffix:
        assert shown == padding
    else:
        assert shown == value[:prefix] + padding + value[len(value) - suffix :]


def test_hash_is_keyed_and_equal_for_equal_values() -> None:
    one = form("hash()", "text")("alice")
    assert one == form("hash()", "text", identity="9.9")("alice")
    assert one != form("hash()", "text")("bob")
    assert len(one) == 64
    other = MaskedColumn(TYPES.by_oid[OIDS["text"]], -1, "1.1", True, b"t" * 32)
    call = parse_call("hash()")
    assert mask_function(call).build(call, other)("alice") != one
    assert 0 <= form("hash()", "int4")(-5) < 2**31
    assert 0 <= form("hash()", "int8")(5) < 2**63
    assert len(form("hash()", "uuid")(bytes(16))) == 16
    assert len(form("hash()", "varchar", 4 + 10)("alice")) == 10


@pytest.mark.parametrize(
    ("unit", "shown"),
    [
        ("month", (1987, 5, 1)),
        ("quarter", (1987, 4, 1)),
        ("year", (1987, 1, 1)),
        ("decade", (1980, 1, 1)),
    ],
)
def test_dates_are_cut_to_a_precision(unit: str, shown: tuple[int, int, int]) -> None:
    day = days_from_civil(1987, 5, 23)
    assert form(f'date("{unit}")', "date")(day) == days_from_civil(*shown)
    moment = day * US_PER_DAY + 12_345_678
    assert form(f'date("{unit}")', "timestamp")(moment) == days_from_civil(*shown) * US_PER_DAY


def test_times_are_cut_to_a_precision() -> None:
    moment = days_from_civil(1987, 5, 23) * US_PER_DAY + 3_723_000_001
    assert form('date("day")', "timestamptz")(moment) == days_from_civil(1987, 5, 23) * US_PER_DAY
    assert form('date("hour")', "timestamptz")(moment) % US_PER_DAY == 3_600_000_000
    assert form('date("minute")', "timestamptz")(moment) % US_PER_DAY == 3_720_000_000
    infinity = 2**63 - 1
    assert form('date("year")', "timestamptz")(infinity) == infinity


@given(st.integers(-(2**31), 2**31 - 1), st.integers())
def test_noise_stays_within_its_ratio_and_its_type(value: int, key: int) -> None:
    noisy = form("noise(0.1)", "int4")
    moved = noisy(value, key)
    assert abs(moved - value) <= abs(value) * 0.1 + 1
    assert -(2**31) <= moved < 2**31
    assert moved == noisy(value, key)


def test_noise_is_drawn_by_row_and_does_not_average_out() -> None:
    noisy = form("noise(0.2)", "float8")
    assert len({noisy(100.0, key) for key in range(100)}) > 90
    assert {noisy(100.0, 7) for _ in range(100)} == {noisy(100.0, 7)}
    assert noisy(100.0, 7) != form("noise(0.2)", "float8", identity="1.2")(100.0, 7)
    assert noisy(0.0, 7) == 0.0
    assert form("noise(0.2, 5)", "float8")(0.0, 7) != 0.0
    spread = [noisy(100.0, key) for key in range(2000)]
    assert 79 < min(spread) < 85
    assert 115 < max(spread) < 121


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=2, min_value=-(10**20), max_value=10**20
    )
)
def test_noise_of_numerics_keeps_the_scale(value: Decimal) -> None:
    moved = form("noise(0.1)", "numeric")(value, 1)
    assert moved.as_tuple().exponent == value.as_tuple().exponent
    assert abs(moved - value) <= abs(value) / 10 + 1


@pytest.mark.parametrize(
    ("call", "type_name", "sqlstate"),
    [
        ("full(1)", "text", "22023"),
        ("null(1)", "text", "22023"),
        ("email()", "int4", "42804"),
        ("partial(1, 2, 3)", "text", "22023"),
        ('partial(1, "x", 3)', "int4", "42804"),
        ("hash()", "float8", "42804"),
        ('date("day")', "date", "22023"),
        ('date("eon")', "date", "22023"),
        ('date("year")', "text", "42804"),
        ("noise()", "int4", "22023"),
        ("noise(-1)", "int4", "22023"),
        ('noise("1")', "int4", "22023"),
        ("noise(1)", "text", "42804"),
        ("constant()", "text", "22023"),
        ('constant("x")', "int4", "22P02"),
        ("nothing()", "text", "42883"),
        ("own.mask()", "text", "42883"),
    ],
)
def test_refusals(call: str, type_name: str, sqlstate: str) -> None:
    with pytest.raises(SqlError) as caught:
        form(call, type_name)
    assert caught.value.sqlstate == sqlstate


def test_constants_are_values_of_the_column() -> None:
    assert form('constant("2001-02-03")', "date")(0) == days_from_civil(2001, 2, 3)
    assert form("constant(5)", "int4")(9) == 5
    assert form("constant(1.50)", "numeric")(Decimal(9)) == Decimal("1.5")


# -- labels ---------------------------------------------------------------------------------------

ARGUMENTS = st.lists(
    st.one_of(st.integers(-(10**9), 10**9), st.text().filter(lambda t: "\0" not in t)), max_size=4
)


@given(st.sampled_from(sorted(MASK_FUNCTIONS)), ARGUMENTS)
def test_a_label_is_read_as_it_was_written(name: str, arguments: list[Any]) -> None:
    label = Label("card data", MaskCall(name, tuple(arguments)))
    assert parse_label(str(label)) == label


@given(st.text())
def test_any_text_is_a_label_or_22023_and_never_a_half_read_mask(text: str) -> None:
    try:
        label = parse_label(text)
    except SqlError as error:
        assert error.sqlstate == "22023"
    else:
        assert label.sensitivity is not None or label.mask is not None
        if "mask" in text.lower():
            assert label.mask is not None or "mask" in str(label.sensitivity).lower()


def test_the_mask_of_a_label_is_changed_alone() -> None:
    call = parse_call("full()")
    label = with_mask("personal", call)
    assert label == "personal; MASKED WITH (FUNCTION = 'full()')"
    assert mask_of(label) == call
    assert with_mask(label, None) == "personal"
    assert with_mask("MASKED WITH (FUNCTION = 'full()')", None) is None
