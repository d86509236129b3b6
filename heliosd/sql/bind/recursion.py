"""Where a recursive query may refer to itself (42P19 elsewhere)."""

from __future__ import annotations

from typing import Any

from heliosd.errors import SqlError
from heliosd.sql.bind.state import CteEntry
from heliosd.sql.bound import (
    CteRel,
    Expr,
    JoinKind,
    JoinRel,
    Query,
    Select,
    SetOperation,
    SubLink,
    SubqueryRel,
)
from heliosd.sql.bound.walk import walk


def check_recursive_term(query: Query, entry: CteEntry) -> None:
    """One reference, in no subquery, outer join's missing side, EXCEPT, or aggregating query."""
    found = _References(entry)
    found.query(query, "")
    if found.count > 1:
        raise _refused(entry, "must not appear more than once")


def _refused(entry: CteEntry, words: str) -> SqlError:
    return SqlError("42P19", f'recursive reference to query "{entry.name}" {words}')


class _References:
    def __init__(self, entry: CteEntry) -> None:
        self.entry = entry
        self.count = 0

    def query(self, query: Any, inside: str) -> None:
        if isinstance(query, SetOperation):
            self.query(query.left, inside)
            self.query(query.right, "EXCEPT" if query.kind == "except" else inside)
        elif isinstance(query, Select):
            before = self.count
            for item in query.from_items:
                self.item(item, inside)
            if self.count > before and query.aggregated:
                raise SqlError(
                    "42P19",
                    "aggregate functions are not allowed in a recursive query's recursive term",
                )
            self.expressions(query)
        for cte in getattr(query, "ctes", ()):
            self.query(cte.query, inside)

    def expressions(self, query: Select) -> None:
        tops: list[Expr] = [target.expression for target in query.targets]
        tops.extend(e for e in (query.where, query.having) if e is not None)
        for top in tops:
            for node in walk(top):
                if isinstance(node, SubLink):
                    self.query(node.query, "a subquery")

    def item(self, item: Any, inside: str) -> None:
        if isinstance(item, JoinRel):
            left = right = inside
            if item.kind in (JoinKind.LEFT, JoinKind.FULL):
                right = "an outer join"
            if item.kind in (JoinKind.RIGHT, JoinKind.FULL):
                left = "an outer join"
            self.item(item.left, left)
            self.item(item.right, right)
        elif isinstance(item, SubqueryRel):
            self.query(item.query, inside)
        elif isinstance(item, CteRel) and item.recursive and item.cte == self.entry.number:
            if inside:
                raise _refused(self.entry, f"must not appear within {inside}")
            self.count += 1
