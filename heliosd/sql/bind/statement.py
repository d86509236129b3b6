"""A whole statement: from its syntax tree to the bound one, with what it needs and leans on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog.built_in_acl import is_open_relation
from heliosd.catalog.objects import ColumnedRelation, SystemView
from heliosd.errors import SqlError, not_supported
from heliosd.sql.bind.closed_functions import closed_functions
from heliosd.sql.bind.expression import EXPRESSIONS
from heliosd.sql.bind.insert import bind_insert
from heliosd.sql.bind.merge import bind_merge
from heliosd.sql.bind.modify import bind_delete, bind_update
from heliosd.sql.bind.resolve import UNKNOWN
from heliosd.sql.bind.select import bind_select, bind_values
from heliosd.sql.bind.set_operations import bind_set_operation
from heliosd.sql.bind.state import BindScope, BindState, Level, QueryHandler
from heliosd.sql.bound import (
    BoundStatement,
    Delete,
    Expr,
    Insert,
    Merge,
    Privilege,
    ResultColumn,
    Select,
    Target,
    Update,
    Var,
)
from heliosd.sql.tree import modify as tree_modify
from heliosd.sql.tree import query as tree_query

if TYPE_CHECKING:
    from heliosd.sql.tree.base import Statement


QUERIES: Final[Mapping[type, QueryHandler]] = {
    tree_query.Select: bind_select,
    tree_query.Values: bind_values,
    tree_query.SetOperation: bind_set_operation,
    tree_modify.Insert: bind_insert,
    tree_modify.Update: bind_update,
    tree_modify.Delete: bind_delete,
    tree_modify.Merge: bind_merge,
}
"""How each kind of query is bound."""


def bind_statement(
    statement: Statement, scope: BindScope, fit: Callable[[BindState, Any], Any] | None = None
) -> BoundStatement:
    """Bind SELECT, VALUES, a set operation, INSERT, UPDATE or DELETE. `fit` changes its outputs.

    Raises SqlError: 42P01, 42703, 42883, 42804 ... as PostgreSQL does, 42P18 for a parameter whose
    type nothing decides, 54001 past the depth limits.
    """
    if isinstance(statement, tree_query.Select) and statement.into is not None:
        raise not_supported("SELECT INTO here", position=statement.into.position)
    state = BindState(scope, EXPRESSIONS, QUERIES)
    try:
        bound: Any = Level(state).query(statement)
        if fit is not None:
            bound = fit(state, bound)
    except RecursionError:
        raise SqlError("54001", "stack depth limit exceeded") from None
    types = state.parameter_types
    for number, oid in enumerate(types, 1):
        if oid in (0, UNKNOWN):
            raise SqlError("42P18", f"could not determine data type of parameter ${number}")
    return BoundStatement(
        bound,
        _result_columns(state, bound),
        tuple(types),
        (*collect_privileges(state), *closed_functions(state, bound)),
        tuple(state.dependencies.items()),
        state.rels_total,
        state.ctes_total,
        levels_total=state.levels_total,
        unpopulated=tuple(state.unpopulated),
    )


def _result_columns(state: BindState, bound: Any) -> tuple[ResultColumn, ...]:
    if isinstance(bound, Select):
        return _columns(state, bound.targets)
    if isinstance(bound, Insert | Update | Delete):
        return _columns(state, bound.returning)
    if isinstance(bound, Merge):
        return ()
    return tuple(ResultColumn(c.name, c.type, c.typmod) for c in bound.columns)


def _columns(state: BindState, targets: tuple[Target, ...]) -> tuple[ResultColumn, ...]:
    found = []
    for target in targets:
        if target.junk:
            continue
        expression = target.expression
        table = column = 0
        if type(expression) is Var:
            table, column = _origin(state, expression)
        found.append(ResultColumn(target.name, expression.type, expression.typmod, table, column))
    return tuple(found)


def _origin(state: BindState, var: Var) -> tuple[int, int]:
    """(table oid, attnum) of the column that an output shows, (0, 0) when it is computed."""
    expression: Expr = var
    while isinstance(expression, Var):
        origin = state.origins.get(expression.rel)
        if isinstance(origin, ColumnedRelation):
            return origin.oid, max(expression.column + 1, 0)
        if isinstance(origin, Select):
            expression = origin.targets[expression.column].expression
        elif isinstance(origin, Insert | Update | Delete):
            expression = origin.returning[expression.column].expression
        else:
            return 0, 0
    return 0, 0


def collect_privileges(state: BindState) -> tuple[Privilege, ...]:
    """What the statement needs: once per table and role, its columns together."""
    reads: dict[tuple[int, int], tuple[ColumnedRelation, set[int]]] = {}
    for use in state.uses.values():
        if not use.is_read:
            continue
        relation = use.table
        if isinstance(relation, SystemView) and is_open_relation(state.catalog, relation):
            continue
        known = reads.setdefault((relation.oid, use.as_role), (relation, set()))
        known[1].update(use.columns)
    found = [
        Privilege("table", relation.oid, relation.name, "SELECT", tuple(sorted(columns)), role)
        for (_, role), (relation, columns) in reads.items()
    ]
    return (*state.privileges, *found)
