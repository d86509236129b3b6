"""From which stored columns each output of a query is computed.

Conditions do not count: they decide which rows there are, not what is in them. What stands in an
expression counts whole, its subqueries with everything that they read.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from heliosd.catalog.objects import Reference, Table
from heliosd.sql.bound import (
    Cte,
    CteRel,
    Expr,
    FromItem,
    FunctionRel,
    JoinRel,
    Query,
    Select,
    SetOperation,
    SubLink,
    SubqueryRel,
    TableRel,
    Values,
    ValuesRel,
    Var,
    WholeRow,
)
from heliosd.sql.bound.walk import query_expressions, walk

Sources: TypeAlias = frozenset[Reference]

_NONE: Sources = frozenset()


def output_sources(query: Query) -> list[Sources]:
    """One set for each visible output."""
    return _Lineage().query(query)


class _Lineage:
    """What each rel's and each CTE's columns are computed from."""

    def __init__(self) -> None:
        self.rels: dict[int, list[Sources]] = {}
        self.ctes: dict[int, list[Sources]] = {}

    def query(self, query: Query) -> list[Sources]:
        for cte in query.ctes:
            self._cte(cte)
        if isinstance(query, Select):
            for item in query.from_items:
                self._item(item)
            return [self._of(t.expression) for t in query.targets if not t.junk]
        if isinstance(query, SetOperation):
            left, right = self.query(query.left), self.query(query.right)
            return [a | b for a, b in zip(left, right, strict=True)]
        assert isinstance(query, Values)
        return self._columns(query.rows, len(query.columns))

    def _cte(self, cte: Cte) -> None:
        if not isinstance(cte.query, Select | SetOperation | Values):
            return
        if cte.recursive and isinstance(cte.query, SetOperation):
            # What the recursive term adds is computed from what was there: until nothing is new.
            known = self.query(cte.query.left)
            while True:
                self.ctes[cte.number] = known
                more = [a | b for a, b in zip(known, self.query(cte.query), strict=True)]
                if more == known:
                    return
                known = more
        self.ctes[cte.number] = self.query(cte.query)

    def _item(self, item: FromItem) -> None:
        match item:
            case JoinRel():
                self._item(item.left)
                self._item(item.right)
            case TableRel():
                oid = item.table.oid if isinstance(item.table, Table) else 0
                self.rels[item.rel] = [
                    frozenset({Reference(oid, n)}) if oid else _NONE
                    for n in range(1, len(item.columns) + 1)
                ]
            case SubqueryRel():
                self.rels[item.rel] = self.query(item.query)
            case CteRel():
                self.rels[item.rel] = self.ctes.get(item.cte, [])
            case ValuesRel():
                self.rels[item.rel] = self._columns(item.rows, len(item.columns))
            case FunctionRel():
                every = _NONE.union(*(self._of(each) for each in item.functions))
                self.rels[item.rel] = [every] * len(item.columns)

    def _columns(self, rows: tuple[tuple[Expr, ...], ...], count: int) -> list[Sources]:
        return [_NONE.union(*(self._of(row[n]) for row in rows)) for n in range(count)]

    def _of(self, expression: Expr) -> Sources:
        found: set[Reference] = set()
        for node in walk(expression):
            if isinstance(node, Var):
                columns = self.rels.get(node.rel, [])
                if 0 <= node.column < len(columns):
                    found |= columns[node.column]
            elif isinstance(node, WholeRow):
                found.update(*self.rels.get(node.rel, []))
            elif isinstance(node, SubLink):
                found.update(*self.query(node.query))
                self._note_below(node.query)
                for top in query_expressions(node.query):
                    found |= self._of(top)
        return frozenset(found)

    def _note_below(self, query: Any) -> None:
        """The rels of queries inside a query, so that its conditions can be looked at."""
        if isinstance(query, SetOperation):
            self._note_below(query.left)
            self._note_below(query.right)
        elif isinstance(query, Select):
            for item in query.from_items:
                self._item(item)
