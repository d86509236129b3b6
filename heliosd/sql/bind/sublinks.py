"""Subqueries as expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliosd.errors import SqlError
from heliosd.sql.bind.operators import compare_rows, operate
from heliosd.sql.bind.resolve import VECTORS
from heliosd.sql.bind.state import Level
from heliosd.sql.bound import (
    BOOL,
    Expr,
    Query,
    RowConstructor,
    SubLink,
    SubLinkKind,
    Var,
)
from heliosd.sql.bound.walk import output_columns
from heliosd.sql.tree.query import SubLinkKind as TreeKind

if TYPE_CHECKING:
    from heliosd.sql.tree.query import SubLink as SubLinkTree


def bind_sublink(level: Level, tree: SubLinkTree) -> Expr:
    query = level.query(tree.query)
    match tree.kind:
        case TreeKind.EXISTS:
            return SubLink(SubLinkKind.EXISTS, query, BOOL)
        case TreeKind.EXPRESSION:
            _, oid, typmod, collation = _only_column(query, tree)
            return SubLink(SubLinkKind.EXPR, query, oid, typmod, collation)
        case TreeKind.ARRAY:
            _, oid, typmod, collation = _only_column(query, tree)
            resolver = level.state.resolver
            is_array = resolver.element(oid) and oid not in VECTORS
            array = oid if is_array else resolver.array_over(oid)
            if not array:
                raise SqlError(
                    "42704",
                    "could not find array type for data type " + level.state.type_name(oid),
                    position=tree.position,
                )
            return SubLink(SubLinkKind.ARRAY, query, array, typmod, collation)
        case _:
            return _quantified(level, tree, query)


def _only_column(query: Query, tree: SubLinkTree) -> tuple[str, int, int, int]:
    columns = output_columns(query)
    if len(columns) != 1:
        raise SqlError("42601", "subquery must return only one column", position=tree.position)
    return columns[0]


def _quantified(level: Level, tree: SubLinkTree, query: Query) -> Expr:
    """`left op ANY|ALL (query)`, IN: a test over the query's columns."""
    state = level.state
    assert tree.left is not None
    left = level.expression(tree.left)
    columns = output_columns(query)
    sides = left.fields if isinstance(left, RowConstructor) else (left,)
    if len(sides) < len(columns):
        raise SqlError("42601", "subquery has too many columns", position=tree.position)
    if len(sides) > len(columns):
        raise SqlError("42601", "subquery has too few columns", position=tree.position)
    rel = state.new_rel()
    outputs = tuple(
        Var(rel, index, oid, typmod, collation)
        for index, (_, oid, typmod, collation) in enumerate(columns)
    )
    name = tree.operator or ("=",)
    if isinstance(left, RowConstructor):
        test = compare_rows(level, name, sides, outputs, tree.position)
    else:
        test = operate(state, name, left, outputs[0], tree.position)
    if test.type != BOOL:
        raise SqlError(
            "42804",
            f"row comparison operator must yield type boolean, not type "
            f"{state.type_name(test.type)}",
            position=tree.position,
        )
    kind = SubLinkKind.ALL if tree.kind is TreeKind.ALL else SubLinkKind.ANY
    return SubLink(kind, query, BOOL, -1, 0, test, rel)
