"""Expressions and queries on their way into the catalog: bound, checked, written as canonical SQL.

What is stored is text that means the same whatever the search_path: names of relations and of types
are qualified, columns of the table itself are bare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from heliosd.catalog.objects import Reference
from heliosd.execute.program import ResultColumn

if TYPE_CHECKING:
    pass

REGCLASS: Final = 2205


@dataclass(frozen=True, slots=True)
class StoredExpression:
    """Canonical text and what it depends on. `columns`: the own attnums that it reads."""

    text: str
    references: tuple[Reference, ...] = ()
    columns: tuple[int, ...] = ()
    type: int = 0
    typmod: int = -1
    collation: int = 0
    is_volatile: bool = False
    is_null: bool = False


@dataclass(frozen=True, slots=True)
class StoredQuery:
    """A view's query."""

    text: str
    references: tuple[Reference, ...]
    columns: tuple[ResultColumn, ...]
    temporary: bool
    """It reads a temporary relation, so the view must be temporary too."""
