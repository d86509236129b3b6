"""Expressions that rest in the catalog as text: defaults, checks, index keys and predicates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from heliosd.catalog.objects import PG_CATALOG_OID, ColumnedRelation
from heliosd.errors import SqlError
from heliosd.sql.bind.coerce import settle
from heliosd.sql.bind.expression import EXPRESSIONS
from heliosd.sql.bind.state import BindScope, BindState, Level, TableItem, TableUse
from heliosd.sql.parser import parse_expression
from heliosd.sql.tree.query import Select, SetOperation, Values

if TYPE_CHECKING:
    from heliosd.sql.bound import Expr, Query
    from heliosd.sql.tree.base import Expression, Node


def bind_stored(level: Level, text: str, table: ColumnedRelation | None, rel: int) -> Expr:
    """Bind canonical text inside a statement: it sees `table` as `rel` and nothing else.

    What it calls and reads is the table owner's business: no privilege of the caller's is needed.
    """
    scope = replace(
        level.state.scope,
        path=(PG_CATALOG_OID,),
        parameter_types=(),
        routine="",
        parameter_names=(),
    )
    state = BindState(scope, EXPRESSIONS, _NO_QUERIES)
    return _bind(state, parse_expression(text), table, rel, "stored expressions")


def _bind(
    state: BindState,
    tree: Expression,
    table: ColumnedRelation | None,
    rel: int,
    clause: str,
) -> Expr:
    level = Level(state)
    if table is not None:
        level.own_rels.add(rel)
        level.items = [TableItem(state, rel, table.name, table, TableUse(table, 0))]
    level.clause = clause
    return settle(state, level.expression(tree))


def bind_stored_expression(text: str, table: ColumnedRelation, rel: int, scope: BindScope) -> Expr:
    """Bind canonical text over `table`, whose columns become `Var(rel, attnum - 1)`."""
    state = BindState(
        replace(scope, path=(PG_CATALOG_OID,), routine="", parameter_names=()),
        EXPRESSIONS,
        _NO_QUERIES,
    )
    return _bind(state, parse_expression(text), table, rel, "stored expressions")


def bind_table_expression(
    tree: Expression,
    table: ColumnedRelation | None,
    scope: BindScope,
    clause: str,
) -> tuple[Expr, BindState]:
    """Bind an expression as DDL writes it, for `clause`: "check constraints", "DEFAULT
    expressions", "index expressions", "index predicates", "column generation expressions".

    The table's columns become `Var(1, attnum - 1)`. An output of unknown type stays so, for the
    caller to coerce (`coerce.assign`, `coerce.settle`). The state tells what was read.
    """
    state = BindState(scope, EXPRESSIONS, _NO_QUERIES)
    state.rels_total = 2
    level = Level(state)
    if table is not None:
        level.own_rels.add(1)
        level.items = [TableItem(state, 1, table.name, table, TableUse(table, 0))]
    level.clause = clause
    return level.expression(tree), state


def _refuse_query(level: Level, tree: Node, settled: bool) -> Query:  # noqa: FBT001
    del settled
    clause = level.clause
    raise SqlError(
        "0A000", f"cannot use subquery in {clause.removesuffix('s')}", position=tree.position
    )


_NO_QUERIES = {Select: _refuse_query, Values: _refuse_query, SetOperation: _refuse_query}
