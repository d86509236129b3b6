"""Texts in the catalog that say a name which is about to change.

They are bound while the old name holds and written again when the new one does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from heliosd.catalog.objects import (
    CatalogObject,
    Column,
    Constraint,
    Index,
    MaterializedView,
    Policy,
    Reference,
    Table,
    View,
)
from heliosd.execute.utility.describe import bind_view, canonical_names
from heliosd.sql.bind.policies import bind_shown_expression
from heliosd.sql.bind.stored import bind_stored_expression
from heliosd.sql.bound import Expr

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.sql.bound import Query


class RenamedTexts:
    """Made before a relation, or a column of it, is renamed; `rewrite` is called afterwards."""

    def __init__(self, session: SessionServices, relation: CatalogObject, attnum: int = 0) -> None:
        """`attnum`: the column that is renamed; 0: the relation (or type) itself, or
        its schema."""
        self._session = session
        self._scope = session.bind_scope()
        self._own = relation.oid
        self._tables: dict[int, dict[str, Expr]] = {}
        self._views: dict[int, Query] = {}
        for dependent in session.catalog.dependents(relation.oid):
            if isinstance(dependent, View | MaterializedView):
                self._views[dependent.oid] = bind_view(self._scope, dependent)
            elif isinstance(dependent, Table) and dependent.oid != relation.oid:
                self._collect(dependent, relation.oid)
        if isinstance(relation, Table) and (attnum or relation.policies):
            # In a policy's subqueries the table's own name stands before its columns.
            self._collect(relation, relation.oid)

    def _collect(self, table: Table, oid: int) -> None:
        """Bind every text of a table that refers to `oid`."""
        bound: dict[str, Expr] = {}
        for column in table.live_columns:
            if column.default is not None and _refers(column.default_references, oid):
                bound[column.default] = self._bind(column.default, table)
        for constraint in table.checks:
            if constraint.expression is not None and _refers(constraint.references, oid):
                bound[constraint.expression] = self._bind(constraint.expression, table)
        for index in table.indexes:
            if _refers(index.references, oid):
                texts = [key.expression for key in index.keys] + [index.predicate]
                for text in texts:
                    if text is not None:
                        bound[text] = self._bind(text, table)
        for policy in table.policies:
            if _refers(policy.references, oid):
                for text in (policy.using, policy.check):
                    if text is not None:
                        bound[text] = bind_shown_expression(text, table, 1, self._scope)
        if bound:
            self._tables[table.oid] = bound

    def _bind(self, text: str, table: Table) -> Expr:
        return bind_stored_expression(text, table, 1, self._scope)

    def rewrite(self) -> None:
        """The new name holds: put the texts into the catalog again."""
        edit = self._session.catalog_edit()
        for oid, query in self._views.items():
            view = self._session.catalog.by_oid(oid)
            assert isinstance(view, View | MaterializedView)
            text = canonical_names(self._scope).query(query)
            edit.replace(view, replace(view, query=text))
        for oid, bound in self._tables.items():
            table = self._session.catalog.table(oid)
            names = canonical_names(self._scope)
            texts = {old: names.expression(expr, table) for old, expr in bound.items()}
            changed = replace(
                table,
                columns=tuple(_column(column, texts) for column in table.columns),
                constraints=tuple(_constraint(c, texts) for c in table.constraints),
                indexes=tuple(_index(index, texts) for index in table.indexes),
                policies=tuple(_policy(policy, texts) for policy in table.policies),
            )
            edit.replace(table, changed)


def _refers(references: tuple[Reference, ...], oid: int) -> bool:
    return any(reference.oid == oid for reference in references)


def _column(column: Column, texts: dict[str, str]) -> Column:
    if column.default is None:
        return column
    return replace(column, default=texts.get(column.default, column.default))


def _constraint(constraint: Constraint, texts: dict[str, str]) -> Constraint:
    if constraint.expression is None:
        return constraint
    text = texts.get(constraint.expression, constraint.expression)
    return replace(constraint, expression=text)


def _policy(policy: Policy, texts: dict[str, str]) -> Policy:
    using, check = policy.using, policy.check
    return replace(
        policy,
        using=None if using is None else texts.get(using, using),
        check=None if check is None else texts.get(check, check),
    )


def _index(index: Index, texts: dict[str, str]) -> Index:
    predicate = index.predicate
    return replace(
        index,
        predicate=None if predicate is None else texts.get(predicate, predicate),
        keys=tuple(
            key
            if key.expression is None
            else replace(key, expression=texts.get(key.expression, key.expression))
            for key in index.keys
        ),
    )
