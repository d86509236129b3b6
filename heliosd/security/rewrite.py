"""Row-level security as a rewrite of the bound tree, so that no path leads around it (S-19).

    SELECT b FROM t WHERE f(b)
    -> SELECT b FROM (t guarded by: the SELECT policies' USING) WHERE f(b)

Each reference to a table is rewritten for the role checked there: the current one, or the owner of
the view that names the table. `guard` predicates stand before all others; the planner lets nothing
below or among them that is not leakproof. What a statement writes is looked at by `checks`.

Which policies are added is PostgreSQL's rule (rowsecurity.c):

    SELECT              SELECT; below FOR UPDATE and its kin the UPDATE policies too
    UPDATE, DELETE      theirs, and SELECT's if columns are read (WHERE, SET, RETURNING)
    new rows            INSERT's or UPDATE's WITH CHECK, and SELECT's USING if columns are read
    ON CONFLICT UPDATE  UPDATE's and SELECT's USING of the row that is there, as errors
    MERGE               SELECT's if columns are read; UPDATE's, DELETE's USING as errors
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog.objects import Table
from heliosd.catalog.row_security import is_restricted
from heliosd.errors import SqlError
from heliosd.security.masks import apply_masks
from heliosd.security.policies import (
    NEVER,
    Applicable,
    Command,
    Condition,
    applicable,
    require_row_security,
)
from heliosd.sql.bind.policies import PolicyBinder
from heliosd.sql.bound import (
    BOOL,
    BoundStatement,
    Const,
    Delete,
    Expr,
    Insert,
    Merge,
    MergeWhen,
    OnConflict,
    Or,
    RowCheck,
    Select,
    SessionValue,
    SubLink,
    TableRel,
    Update,
)
from heliosd.sql.bound.walk import map_children, walk

if TYPE_CHECKING:
    from heliosd.sql.bind.state import BindScope

__all__ = ["is_restricted", "secure"]

_QUERIES: Final = Select.__module__
_ALWAYS: Final = Const(True, BOOL)
_NEVER: Final = Const(False, BOOL)
_MERGE_COMMANDS: Final[Mapping[str, Command]] = MappingProxyType(
    {"insert": "a", "update": "w", "delete": "d"}
)


def secure(bound: BoundStatement, scope: BindScope) -> BoundStatement:
    """The statement as the scope's role may run it; the same object when nothing is restricted."""
    # Before policies, so that these see the values as they are.
    bound = apply_masks(bound, scope.catalog, scope.role)
    if not any(_is_secured(scope, oid) for oid, _ in bound.dependencies):
        return bound
    rewriter = _Rewriter(bound, scope)
    return rewriter.binder.result(rewriter.visit(bound.statement))


def _is_secured(scope: BindScope, oid: int) -> bool:
    found = scope.catalog.by_oid(oid)
    return isinstance(found, Table) and found.row_security


class _Rewriter:
    """One statement's rewriting."""

    def __init__(self, bound: BoundStatement, scope: BindScope) -> None:
        self.binder = PolicyBinder(bound, scope)
        self.catalog = scope.catalog
        self.role = scope.role
        self.enabled = scope.context.setting("row_security") != "off"
        self.names: dict[str, str] = {}
        if scope.context.current_role_oid == scope.role:
            current = scope.context.current_role
            self.names = dict.fromkeys(("current_user", "current_role", "user"), current)
        self.locked: set[int] = set()
        """The rels that FOR UPDATE and its kin lock."""
        self.active: list[int] = []
        """The tables whose policies' subqueries are being rewritten."""

    def visit(self, value: Any) -> Any:
        """Any part of the bound tree, rewritten."""
        if isinstance(value, TableRel):
            return self._table(value)
        if isinstance(value, Expr):
            return self._expression(value)
        if isinstance(value, tuple):
            items = tuple(self.visit(item) for item in value)
            return items if any(a is not b for a, b in zip(items, value, strict=True)) else value
        if type(value).__module__ != _QUERIES or not hasattr(value, "__dataclass_fields__"):
            return value
        if isinstance(value, Select):
            self.locked.update(lock.rel for lock in value.locks)
        changes: dict[str, Any] = {}
        for name in value.__dataclass_fields__:
            if name == "table":
                continue
            old = getattr(value, name)
            new = self.visit(old)
            if new is not old:
                changes[name] = new
        value = replace(value, **changes) if changes else value
        if isinstance(value, Insert | Update | Delete):
            return self._modification(value)
        if isinstance(value, Merge) and self._restricted(value.table, 0):
            return self._merge(value)
        return value

    def _expression(self, node: Expr) -> Expr:
        node = map_children(node, self._expression)
        if isinstance(node, SubLink):
            query = self.visit(node.query)
            if query is not node.query:
                node = replace(node, query=query)
        return node

    # -- references --------------------------------------------------------------------------

    def _restricted(self, table: object, check_as: int) -> bool:
        return isinstance(table, Table) and require_row_security(
            self.catalog, check_as or self.role, table, enabled=self.enabled
        )

    def _policies(self, table: Table, check_as: int, command: Command) -> Applicable:
        return applicable(self.catalog, check_as or self.role, table, command)

    def _table(self, rel: TableRel) -> TableRel:
        if rel.sample is not None:
            rel = replace(rel, sample=self.visit(rel.sample))
        table, check_as = rel.table, rel.check_as
        if not isinstance(table, Table) or not self._restricted(table, check_as):
            return rel
        conditions: tuple[Condition, ...] = ()
        if rel.rel in self.locked:
            conditions = self._policies(table, check_as, "w").using()
        conditions += self._policies(table, check_as, "r").using()
        return replace(rel, guard=(*rel.guard, *self._guard(conditions, table, rel.rel, check_as)))

    def _guard(
        self, conditions: Sequence[Condition], table: Table, rel: int, check_as: int
    ) -> tuple[Expr, ...]:
        found = (self._bound(c, table, rel, check_as) for c in dict.fromkeys(conditions))
        return tuple(each for each in found if each != _ALWAYS)

    def _checks(
        self,
        conditions: Sequence[Condition],
        table: Table,
        rel: int,
        check_as: int,
        *,
        using: bool = False,
        target: bool = False,
    ) -> tuple[RowCheck, ...]:
        found = ((c, self._bound(c, table, rel, check_as)) for c in dict.fromkeys(conditions))
        return tuple(
            RowCheck(expression, policy=condition.policy, using=using, target=target)
            for condition, expression in found
            if expression != _ALWAYS
        )

    def _bound(self, condition: Condition, table: Table, rel: int, check_as: int) -> Expr:
        parts = [self._bound_text(text, table, rel, check_as) for text in condition.texts]
        if _ALWAYS in parts:
            return _ALWAYS
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _bound_text(self, text: str, table: Table, rel: int, check_as: int) -> Expr:
        if text == NEVER:
            return _NEVER
        expression = self._named(self.binder.bind(text, table, rel, check_as))
        if not any(isinstance(node, SubLink) for node in walk(expression)):
            return expression
        if table.oid in self.active:
            raise SqlError(
                "42P17", f'infinite recursion detected in policy for relation "{table.name}"'
            )
        self.active.append(table.oid)
        try:
            return self._expression(expression)
        finally:
            self.active.pop()

    def _named(self, node: Expr) -> Expr:
        """Names of roles are constants: another role gets another plan."""
        if isinstance(node, SessionValue) and node.kind in self.names:
            return Const(self.names[node.kind], node.type, node.typmod, node.collation)
        return map_children(node, self._named)

    # -- changes -----------------------------------------------------------------------------

    def _modification(self, statement: Insert | Update | Delete) -> Insert | Update | Delete:
        if not self._restricted(statement.table, statement.check_as):
            return statement
        if isinstance(statement, Insert):
            return self._insert(statement)
        return self._change(statement)

    def _change(self, statement: Update | Delete) -> Update | Delete:
        table, check_as = statement.table, statement.check_as
        own = self._policies(table, check_as, "w" if isinstance(statement, Update) else "d")
        seen, written = own.using(), own.check()
        if statement.reads:
            reading = self._policies(table, check_as, "r")
            seen += reading.using()
            written += reading.target()
        guard = (*self._guard(seen, table, statement.rel, check_as), *statement.guard)
        if isinstance(statement, Delete):
            return replace(statement, guard=guard)
        checks = self._checks(written, table, statement.new_rel, check_as)
        return replace(statement, guard=guard, checks=(*checks, *statement.checks))

    def _insert(self, statement: Insert) -> Insert:
        table, check_as, new = statement.table, statement.check_as, statement.new_rel
        written = self._policies(table, check_as, "a").check()
        if statement.reads:
            written += self._policies(table, check_as, "r").target()
        checks = self._checks(written, table, new, check_as)
        conflict = statement.on_conflict
        if conflict is not None and conflict.assignments is not None:
            conflict = self._conflict(statement, conflict)
        return replace(statement, checks=(*checks, *statement.checks), on_conflict=conflict)

    def _merge(self, statement: Merge) -> Merge:
        """Rows that SELECT's policies hide are not matched; those of the actions are errors."""
        reading: tuple[Condition, ...] = ()
        guard: tuple[Condition, ...] = ()
        if statement.reads:
            select = self._policies(statement.table, 0, "r")
            guard, reading = select.using(), select.target()
        return replace(
            statement,
            guard=self._guard(guard, statement.table, statement.rel, 0),
            whens=tuple(self._merge_when(statement, when, reading) for when in statement.whens),
        )

    def _merge_when(
        self, statement: Merge, when: MergeWhen, reading: tuple[Condition, ...]
    ) -> MergeWhen:
        table = statement.table
        command = _MERGE_COMMANDS.get(when.action)
        if command is None:
            return when
        own = self._policies(table, 0, command)
        if command == "a":
            checks = self._checks(own.check(), table, statement.new_rel, 0)
            return replace(when, checks=checks)
        there = self._checks(own.target(), table, statement.rel, 0, using=True, target=True)
        if command == "d":
            return replace(when, target_checks=there)
        checks = self._checks((*own.check(), *reading), table, statement.new_rel, 0)
        return replace(when, target_checks=there, checks=checks)

    def _conflict(self, statement: Insert, conflict: OnConflict) -> OnConflict:
        """Rows that may not be updated are an error here, not passed over."""
        table, check_as = statement.table, statement.check_as
        own = self._policies(table, check_as, "w")
        there, written = own.target(), own.check()
        if statement.reads:
            reading = self._policies(table, check_as, "r").target()
            there += reading
            written += reading
        return replace(
            conflict,
            existing_checks=self._checks(there, table, conflict.existing_rel, check_as, using=True),
            checks=(
                *self._checks(written, table, statement.new_rel, check_as),
                *conflict.checks,
            ),
        )
