"""The lexer: PostgreSQL's scanner rules, and where it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliosd.sql.lexer import tokenize


def kinds(text: str) -> list[str]:
    return tokenize(text).kinds[:-1]


def values(text: str) -> list[str | int]:
    return tokenize(text).values[:-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a*-1", ["IDENT", "*", "-", "ICONST"]),
        ("a @-1", ["IDENT", "OP", "ICONST"]),
        ("2..3", ["ICONST", "..", "ICONST"]),
        ("1. .5 1e3 2147483648", ["FCONST", "FCONST", "FCONST", "FCONST"]),
        ("a!=b<>c=>d", ["IDENT", "<>", "IDENT", "<>", "IDENT", "=>", "IDENT"]),
        ("x::int[]", ["IDENT", "::", "int", "[", "]"]),
        ("1+--x\n2", ["ICONST", "+", "ICONST"]),
        ("a/*b/*c*/d*/e", ["IDENT", "IDENT"]),
        ("n'x'", ["nchar", "SCONST"]),
        ("b'101' X'1f'", ["BCONST", "BCONST"]),
        ("$1 $12", ["PARAM", "PARAM"]),
        ("a->>'b'", ["IDENT", "OP", "SCONST"]),
        ("select Select SELECT sElEcT", ["select"] * 4),
    ],
)
def test_kinds(text: str, expected: list[str]) -> None:
    assert kinds(text) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'it''s'", "it's"),
        (r"e'a\tb\x41\101\u0042\\'", "a\tbAAB\\"),
        (r"'a\b'", r"a\b"),
        ("'a' -- c\n  'b'", "ab"),
        ("$$a'b$$", "a'b"),
        ("$x$a$$b$x$", "a$$b"),
        (r"U&'d\0061t\+000061'", "data"),
        (r"U&'d!0061' UESCAPE '!'", "da"),
        (r"e'\ud83d\ude00'", "\U0001f600"),
        ('"a""B"', 'a"B'),
        (r'U&"\0041b"', "Ab"),
        ("ÄbC", "Äbc"),
        ("x" * 70, "x" * 63),
    ],
)
def test_values(text: str, value: str) -> None:
    assert values(text) == [value]


@pytest.mark.parametrize(
    ("text", "message", "position"),
    [
        ("select 'abc", 'unterminated quoted string at or near "\'abc"', 8),
        ("/* a", 'unterminated /* comment at or near "/* a"', 1),
        ('"a', 'unterminated quoted identifier at or near ""a"', 1),
        ('""', 'zero-length delimited identifier at or near """"', 1),
        ("$x$ a", 'unterminated dollar-quoted string at or near "$x$ a"', 1),
        ("b'1", 'unterminated bit string literal at or near "b\'1"', 1),
        ("1a", 'trailing junk after numeric literal at or near "1a"', 1),
        ("1e+", 'trailing junk after numeric literal at or near "1e+"', 1),
        ("$1a", 'trailing junk after parameter at or near "$1a"', 1),
        (r"e'\ud83dx'", 'invalid Unicode surrogate pair at or near "x"', 9),
        (r"U&'\zz'", "invalid Unicode escape", 4),
    ],
)
def test_refusals(text: str, message: str, position: int) -> None:
    tokens = tokenize(text)
    assert tokens.kinds[-1] == "ERROR"
    assert tokens.error is not None
    assert (tokens.error.message, tokens.error.position) == (message, position)


def test_backslashes_without_standard_strings() -> None:
    assert tokenize(r"'a\n'", standard_strings=False).values[0] == "a\n"


@given(st.text(max_size=60))
def test_never_fails_and_covers_the_text(text: str) -> None:
    tokens = tokenize(text)
    assert tokens.kinds[-1] in ("EOF", "ERROR")
    assert tokens.starts == sorted(tokens.starts)
    assert all(a <= b for a, b in zip(tokens.starts, tokens.ends, strict=True))


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=40))
def test_quoted_strings_come_back(text: str) -> None:
    assert values("'" + text.replace("'", "''") + "'") == [text]
