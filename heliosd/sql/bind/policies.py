"""The expressions of policies: predicates over one table's row that may hold subqueries.

They rest as canonical text and are bound where the policy applies: `PolicyBinder` binds them into
a statement that is bound already, whose numbers go on where it stopped.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from heliosd.catalog.objects import PG_CATALOG_OID
from heliosd.errors import SqlError
from heliosd.sql.bind.coerce import settle
from heliosd.sql.bind.expression import EXPRESSIONS
from heliosd.sql.bind.state import BindScope, BindState, Level, TableItem, TableUse
from heliosd.sql.bind.statement import QUERIES, collect_privileges
from heliosd.sql.parser import parse_expression

if TYPE_CHECKING:
    from heliosd.catalog.objects import ColumnedRelation
    from heliosd.sql.bound import BoundStatement, Expr
    from heliosd.sql.tree.base import Expression

_INSIDE_STORED_TEXT = (0,)
"""Stands among the views that are being bound: names were checked when the text was stored."""


def _bind(state: BindState, tree: Expression, table: ColumnedRelation, rel: int) -> Expr:
    level = Level(state)
    level.own_rels.add(rel)
    level.items = [TableItem(state, rel, table.name, table, TableUse(table, 0))]
    level.clause = "policy expressions"
    expression = level.expression(tree)
    if level.set_returning:
        raise SqlError("0A000", "set-returning functions are not allowed in policy expressions")
    return expression


def bind_new_policy(
    tree: Expression, table: ColumnedRelation, scope: BindScope
) -> tuple[Expr, BindState]:
    """USING or WITH CHECK as DDL writes it, over rel 1; the state tells what was read."""
    state = BindState(scope, EXPRESSIONS, QUERIES)
    state.rels_total = 2
    return _bind(state, tree, table, 1), state


def bind_shown_expression(text: str, table: ColumnedRelation, rel: int, scope: BindScope) -> Expr:
    """Stored text of any kind, to be shown again."""
    stored = replace(scope, path=(PG_CATALOG_OID,), parameter_types=())
    state = BindState(stored, EXPRESSIONS, QUERIES)
    state.rels_total = rel + 1
    state.views = _INSIDE_STORED_TEXT
    return settle(state, _bind(state, parse_expression(text), table, rel))


class PolicyBinder:
    """Binds policies' texts into one statement."""

    def __init__(self, bound: BoundStatement, scope: BindScope) -> None:
        stored = replace(scope, path=(PG_CATALOG_OID,), parameter_types=())
        self._state = BindState(stored, EXPRESSIONS, QUERIES)
        self._state.rels_total = bound.rels_total
        self._state.ctes_total = bound.ctes_total
        self._state.levels_total = bound.levels_total
        self._state.views = _INSIDE_STORED_TEXT
        self._bound = bound

    def bind(self, text: str, table: ColumnedRelation, rel: int, check_as: int) -> Expr:
        """The predicate over the table under number `rel`.

        What its subqueries read is read with the privileges of `check_as` (0: the current role).
        """
        state = self._state
        state.check_as = check_as
        try:
            return settle(state, _bind(state, parse_expression(text), table, rel))
        except RecursionError:
            raise SqlError("54001", "stack depth limit exceeded") from None

    def result(self, statement: object) -> BoundStatement:
        """The statement with what the policies added to what it needs and leans on."""
        state = self._state
        privileges = dict.fromkeys((*self._bound.privileges, *collect_privileges(state)))
        return replace(
            self._bound,
            statement=statement,  # type: ignore[arg-type]
            privileges=tuple(privileges),
            dependencies=tuple({**dict(self._bound.dependencies), **state.dependencies}.items()),
            rels_total=state.rels_total,
            ctes_total=state.ctes_total,
            levels_total=state.levels_total,
        )
