"""The bound tree as canonical SQL: defaults, checks, index keys, views, EXPLAIN's conditions."""

from __future__ import annotations

from typing import Any

from heliosd.sql.bound import Expr, TableRel, WholeRow
from heliosd.sql.deparse.context import TextContext
from heliosd.sql.deparse.expressions import ExpressionWriter, NameOf
from heliosd.sql.deparse.query import QueryWriter, RelationName, RelationText
from heliosd.types.quoting import quote_identifier

__all__ = [
    "RelationText",
    "TextContext",
    "deparse_expression",
    "deparse_over_table",
    "deparse_query",
]


def deparse_expression(
    expression: Expr,
    name_of: NameOf,
    context: TextContext | None = None,
    *,
    pretty: bool = False,
    indent: int | None = None,
) -> str:
    """The expression as SQL; `name_of` writes its columns. Subqueries are not written here.

    `indent`: CASE takes several lines, as in pg_get_expr; None: one line, as in EXPLAIN.
    """
    writer = ExpressionWriter(
        name_of,
        TextContext() if context is None else context,
        pretty=pretty,
        indent=indent,
        query=lambda _query: "SELECT ...",
    )
    return writer.write(expression, implicit=False)


def deparse_over_table(
    expression: Expr,
    rel: TableRel,
    context: TextContext,
    relation_name: RelationName,
    *,
    pretty: bool = False,
) -> str:
    """An expression over one table that holds subqueries: the table's columns stand bare, but for
    inside of those, where its name goes with them."""
    queries = QueryWriter(context, relation_name, pretty=pretty)
    queries.add_rel(rel)

    def bare(node: Any) -> str:
        if isinstance(node, WholeRow):
            return f"{quote_identifier(rel.alias)}.*"
        return quote_identifier(queries.columns[rel.rel][node.column])

    writer = ExpressionWriter(
        bare,
        context,
        pretty=pretty,
        indent=0,
        query=lambda query: queries.query(query, 0, in_expression=True),
    )
    return writer.write(expression, implicit=False)


def deparse_query(
    query: Any, context: TextContext, relation_name: RelationName, *, pretty: bool = False
) -> str:
    """A query as SQL, laid out as pg_get_viewdef does (without the last semicolon)."""
    return QueryWriter(context, relation_name, pretty=pretty).query(query)
