"""Row-level security as a rewrite of the bound tree, so that no path leads around it (S-19).

While CREATE POLICY is not built, a table with row security on has no policy: it shows no rows and
takes none, to everybody but its owner, superusers and roles that bypass it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from heliosd.catalog import acl
from heliosd.catalog.objects import Role, Table
from heliosd.errors import INSUFFICIENT_PRIVILEGE, SqlError
from heliosd.security.masks import apply_masks
from heliosd.sql.bound import (
    BOOL,
    And,
    BoundStatement,
    Const,
    Delete,
    Expr,
    Insert,
    Select,
    SubLink,
    SubqueryRel,
    TableRel,
    Target,
    Update,
    Var,
)
from heliosd.sql.bound.walk import map_children

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog

_NEVER = Const(False, BOOL)
_QUERIES = Select.__module__


def secure(bound: BoundStatement, catalog: Catalog, role: int) -> BoundStatement:
    """The statement as `role` may run it; the same object when nothing is restricted."""
    # Before policies, so that these see the values as they are.
    bound = apply_masks(bound, catalog, role)
    if not any(_is_secured(catalog, oid) for oid, _ in bound.dependencies):
        return bound
    rewriter = _Rewriter(catalog, role, bound.rels_total)
    statement = rewriter.visit(bound.statement)
    return replace(bound, statement=statement, rels_total=rewriter.rels_total)


def _is_secured(catalog: Catalog, oid: int) -> bool:
    found = catalog.by_oid(oid)
    return isinstance(found, Table) and found.row_security


def is_restricted(catalog: Catalog, role: int, table: Table) -> bool:
    """Whether policies decide what `role` sees of the table."""
    if not table.row_security or acl.is_superuser(catalog, role):
        return False
    found = catalog.of_kind(Role, role)
    if found is not None and found.bypass_rls:
        return False
    return table.force_row_security or not acl.is_owner(catalog, role, table)


class _Rewriter:
    """One statement's rewriting; the role checked is that of each table's reference."""

    def __init__(self, catalog: Catalog, role: int, rels_total: int) -> None:
        self.catalog = catalog
        self.role = role
        self.rels_total = rels_total

    def visit(self, value: Any) -> Any:
        """Any part of the bound tree, rewritten."""
        if isinstance(value, TableRel):
            return self._table(value)
        if isinstance(value, Insert | Update | Delete):
            value = self._modification(value)
        if isinstance(value, SubLink):
            return replace(value, query=self.visit(value.query), test=self._maybe(value.test))
        if isinstance(value, Expr):
            return map_children(value, self.visit)
        if isinstance(value, tuple):
            return tuple(self.visit(item) for item in value)
        if type(value).__module__ != _QUERIES or not hasattr(value, "__dataclass_fields__"):
            return value
        changes = {
            name: self.visit(getattr(value, name))
            for name in value.__dataclass_fields__
            if name != "table"
        }
        return replace(value, **changes)

    def _maybe(self, expression: Expr | None) -> Expr | None:
        return None if expression is None else self.visit(expression)

    def _table(self, rel: TableRel) -> TableRel | SubqueryRel:
        table = rel.table
        if not isinstance(table, Table):
            return rel
        if not is_restricted(self.catalog, rel.check_as or self.role, table):
            return rel
        inner = self.rels_total
        self.rels_total += 1
        targets = tuple(
            Target(Var(inner, i, c.type, c.typmod, c.collation), c.name)
            for i, c in enumerate(rel.columns)
        )
        query = Select(targets, (replace(rel, rel=inner),), _NEVER)
        return SubqueryRel(rel.rel, rel.alias, rel.columns, query, barrier=True)

    def _modification(self, statement: Insert | Update | Delete) -> Insert | Update | Delete:
        table = statement.table
        if not is_restricted(self.catalog, self.role, table):
            return statement
        if isinstance(statement, Insert):
            raise SqlError(
                INSUFFICIENT_PRIVILEGE,
                f'new row violates row-level security policy for table "{table.name}"',
            )
        where = _NEVER if statement.where is None else And((_NEVER, statement.where))
        return replace(statement, where=where)
