"""pg_get_keywords(): SQL's words and how far they are reserved, by PostgreSQL 15."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from typing import Final

from heliosd.types.declare import Forms

forms: Final = Forms()

_CATEGORIES: Final = {
    "U": "unreserved",
    "C": "unreserved (cannot be function or type name)",
    "T": "reserved (can be function or type name)",
    "R": "reserved",
}
_LABELS: Final = {True: "can be bare label", False: "requires AS"}

_Keyword = tuple[str, str, bool, str, str]


@lru_cache(maxsize=1)
def _keywords() -> tuple[_Keyword, ...]:
    text = files("heliosd.types.facts").joinpath("keywords.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.splitlines()[1:])
    return tuple(
        (word, category, bare == "t", _CATEGORIES[category], _LABELS[bare == "t"])
        for word, category, bare in rows
    )


@forms.function("pg_get_keywords()")
def pg_get_keywords() -> Iterator[_Keyword]:
    """A row for each word."""
    return iter(_keywords())
