"""Stored SQL text as a reader sees it: bound again and written with the reader's search_path.

`CanonicalNames` is for what is stored (everything qualified), `SessionNames` for what is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from heliosd.catalog.dependencies import qualified
from heliosd.catalog.face import CatalogFace
from heliosd.catalog.lookup import SearchPath
from heliosd.catalog.objects import (
    PG_CATALOG_OID,
    ColumnedRelation,
    MaterializedView,
    Relation,
    View,
)
from heliosd.errors import SqlError
from heliosd.sql.bind.from_items import table_columns
from heliosd.sql.bind.policies import bind_shown_expression
from heliosd.sql.bind.statement import bind_statement
from heliosd.sql.bind.stored import bind_stored_expression
from heliosd.sql.bound import SubLink, TableRel
from heliosd.sql.bound.queries import Select, SetOperation, Values
from heliosd.sql.bound.walk import walk
from heliosd.sql.deparse import (
    RelationText,
    TextContext,
    deparse_expression,
    deparse_over_table,
    deparse_query,
)
from heliosd.sql.parser import parse_statements
from heliosd.types.quoting import quote_identifier, quote_qualified

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog
    from heliosd.sql.bind.state import BindScope
    from heliosd.sql.bound import Expr, Query, Var, WholeRow

_CANONICAL_PATH = SearchPath((PG_CATALOG_OID,), None)


class Names:
    """Writes expressions and queries with the names that a search_path makes right."""

    def __init__(self, scope: BindScope, path: SearchPath) -> None:
        self._catalog: Catalog = scope.catalog
        self._path = path.schemas
        face = CatalogFace(scope.catalog, lambda: path, scope.resolver.functions)
        self._context = TextContext(face, scope.resolver.types)

    def expression(
        self, expression: Expr, relation: Relation | None, *, pretty: bool = False
    ) -> str:
        """An expression over one relation, whose columns are written bare."""
        name = column_names(relation)
        indent = None if self._path == _CANONICAL_PATH.schemas else 0
        if isinstance(relation, ColumnedRelation) and any(
            isinstance(node, SubLink) for node in walk(expression)
        ):
            # Policies: below its subqueries the relation is known by its name.
            rel = TableRel(1, relation.name, table_columns(relation), relation)
            return deparse_over_table(expression, rel, self._context, self._relation, pretty=pretty)
        return deparse_expression(expression, name, self._context, pretty=pretty, indent=indent)

    def domain_check(self, expression: Expr) -> str:
        """An expression over a domain's VALUE."""
        return deparse_expression(expression, lambda _value: "VALUE", self._context)

    def query(self, query: Query, *, pretty: bool = False) -> str:
        """A query, its relations qualified where the search_path does not find them."""
        return deparse_query(query, self._context, self._relation, pretty=pretty)

    def _relation(self, oid: int) -> RelationText:
        found = self._catalog.by_oid(oid)
        if not isinstance(found, ColumnedRelation):
            raise SqlError("XX000", f"cache lookup failed for relation {oid}")
        text = qualified(self._catalog, found, self._path)
        if self._path == _CANONICAL_PATH.schemas:
            text = quote_qualified(self._catalog.schema_name(found.schema), found.name)
        return RelationText(text, found.name, tuple(column.name for column in found.columns))


def column_names(relation: Relation | None) -> Callable[[Var | WholeRow], str]:
    """How the columns of the one relation in view are written."""

    def name(var: Var | WholeRow) -> str:
        assert isinstance(relation, ColumnedRelation)
        column = getattr(var, "column", None)
        if column is None:
            return f"{quote_identifier(relation.name)}.*"
        return quote_identifier(relation.columns[column].name)

    return name


def canonical_names(scope: BindScope) -> Names:
    """For texts that are stored."""
    return Names(scope, _CANONICAL_PATH)


class SessionDescriber:
    """Implements `catalog.definitions.Describer` for one session."""

    def __init__(self, scope: Callable[[], BindScope], path: Callable[[], SearchPath]) -> None:
        self._scope = scope
        self._path = path

    def expression(self, relation: Relation | None, text: str, *, pretty: bool) -> str:
        """An expression over a table's columns."""
        if relation is not None and not isinstance(relation, ColumnedRelation):
            return text
        scope = self._scope()
        if relation is None:
            bound = bind_stored_expression(text, relation, 1, scope)  # type: ignore[arg-type]
        else:
            bound = bind_shown_expression(text, relation, 1, scope)
        return Names(scope, self._path()).expression(bound, relation, pretty=pretty)

    def view(self, view: View | MaterializedView, *, pretty: bool) -> str:
        """A view's query, with PostgreSQL's semicolon."""
        scope = self._scope()
        query = _with_names(bind_view(scope, view), view)
        return Names(scope, self._path()).query(query, pretty=pretty) + ";"


def bind_view(scope: BindScope, view: View | MaterializedView) -> Query:
    """A view's query, bound as it rests: every name in it is qualified."""
    (statement,) = parse_statements(view.query)
    inside = replace(scope, path=(PG_CATALOG_OID,), parameter_types=())
    query = bind_statement(statement, inside).statement
    assert isinstance(query, Select | SetOperation | Values)
    return query


def _with_names(query: Query, view: View | MaterializedView) -> Query:
    """The query with its outputs called as the view's columns are now."""
    if not isinstance(query, Select):
        return query
    names = iter(column.name for column in view.columns)
    targets = tuple(
        target if target.junk else replace(target, name=next(names, target.name))
        for target in query.targets
    )
    return replace(query, targets=targets)
