"""Masks as a rewrite of the bound tree: mask(column) stands wherever a masked column is read.

    SELECT email FROM person WHERE email LIKE 'a%'
    -> SELECT mask_email(email) FROM person WHERE mask_email(email) LIKE 'a%'

So WHERE, JOIN, GROUP BY, ORDER BY, RETURNING, COPY, whole rows and EXPLAIN see the mask, and an
index on the column serves no masked role: no predicate is about the column any more. Masks are
strict: what an outer join made NULL stays NULL.

Not touched, because nobody reads them: defaults, generated columns, CHECK, UNIQUE, foreign keys and
their actions, and policies, which are added after this pass. What SET would store may not come from
a masked column (42501): it would be the mask that is stored.

A column below a view is shown as it is only if the view's owner and the caller have UNMASK.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog import acl
from heliosd.catalog.effective_masks import masks_of
from heliosd.catalog.objects import Schema, Table, TypeObject
from heliosd.errors import INSUFFICIENT_PRIVILEGE, SqlError
from heliosd.functions.registry import SqlFunction
from heliosd.security.mask_functions import (
    Form,
    MaskedColumn,
    full_value,
    is_by_row,
    is_made_by_user,
    mask_function,
)
from heliosd.security.user_masks import find_user_mask
from heliosd.sql.bind.routines import routine_function
from heliosd.sql.bound import (
    BoundStatement,
    Call,
    Case,
    Const,
    Expr,
    Insert,
    MergeWhen,
    NullTest,
    OnConflict,
    RowConstructor,
    Select,
    SubLink,
    TableRel,
    Update,
    Var,
    WholeRow,
)
from heliosd.sql.bound.walk import map_children, walk

if TYPE_CHECKING:
    from heliosd.catalog.labels import MaskCall
    from heliosd.catalog.lookup import Catalog
    from heliosd.catalog.objects import Column, ColumnedRelation
    from heliosd.types.registry import SqlType

_QUERIES: Final = Select.__module__


# -- who sees what --------------------------------------------------------------------------------


def hidden_columns(
    catalog: Catalog, roles: Iterable[int], table: ColumnedRelation
) -> Mapping[int, MaskCall]:
    """Masks by attnum of the columns that not all of `roles` may see as they are."""
    if not isinstance(table, Table):
        return {}
    return {
        attnum: call
        for attnum, call in masks_of(catalog, table).items()
        if not all(acl.has_unmask(catalog, role, table, table.column(attnum)) for role in roles)
    }


def reads_masked(
    catalog: Catalog, role: int, relation: ColumnedRelation, attnums: Iterable[int]
) -> bool:
    """Whether one of these columns is masked for the role."""
    hidden = hidden_columns(catalog, (role,), relation)
    return any(attnum in hidden for attnum in attnums)


def require_unmask(
    catalog: Catalog, role: int, table: ColumnedRelation, attnums: Iterable[int], doing: str
) -> None:
    """42501 unless the role may see these columns as they are: `doing` would read them."""
    hidden = hidden_columns(catalog, (role,), table)
    for attnum in attnums:
        if attnum in hidden:
            raise SqlError(
                INSUFFICIENT_PRIVILEGE,
                f'permission denied to {doing}: column "{table.column(attnum).name}" '
                f'of relation "{table.name}" is masked',
                hint=f"It takes UNMASK on {table.name} ({table.column(attnum).name}).",
            )


# -- one column's mask ----------------------------------------------------------------------------


def type_of_column(catalog: Catalog, column: Column) -> SqlType | None:
    """The column's type, a domain's base; None for those that users made otherwise."""
    oid = column.type_oid
    while True:
        made = catalog.of_kind(TypeObject, oid)
        if made is None or made.kind != "d":
            return catalog.types.by_oid.get(oid) if made is None else None
        oid = made.base_type


def check_call(catalog: Catalog, table: Table, column: Column, call: MaskCall) -> None:
    """Raise what is wrong with the call: 22023, 42804, 42883, 42P17, 55000."""
    if is_made_by_user(call):
        find_user_mask(catalog, column, call)
    else:
        mask_form(catalog, table, column, call)


def mask_form(catalog: Catalog, table: Table, column: Column, call: MaskCall) -> Form:
    """What computes a built-in mask; raises what is wrong with the call."""
    declared = mask_function(call)
    kind = type_of_column(catalog, column)
    if kind is None:
        # No value of an enum or a composite type says nothing: they are hidden whole.
        return _nothing
    masked = MaskedColumn(
        kind,
        column.typmod,
        f"{table.oid}.{column.attnum}",
        bool(table.primary_key),
        catalog.shared.mask_secret,
    )
    return declared.build(call, masked)


def usable_form(catalog: Catalog, table: Table, column: Column, call: MaskCall) -> Form:
    """The same for a stored mask. One that no longer fits its column hides all: fail closed."""
    try:
        return mask_form(catalog, table, column, call)
    except SqlError:
        kind = type_of_column(catalog, column)
        hidden = None if kind is None else full_value(kind, column.typmod)
        return lambda *_row: hidden


def _nothing(*_row: Any) -> None:
    return None


def masked_value(catalog: Catalog, table: Table, attnum: int, call: MaskCall, value: Any) -> Any:
    """A value as an error may show it: hidden whole by masks that take more than the value."""
    if value is None:
        return None
    column = table.column(attnum)
    if is_made_by_user(call) or is_by_row(call):
        kind = type_of_column(catalog, column)
        return None if kind is None else full_value(kind, column.typmod)
    return usable_form(catalog, table, column, call)(value)


# -- the rewrite ----------------------------------------------------------------------------------


def apply_masks(bound: BoundStatement, catalog: Catalog, role: int) -> BoundStatement:
    """The statement as `role` may read it; the same object when nothing is masked."""
    tables = [
        table
        for oid, _ in bound.dependencies
        if isinstance(table := catalog.by_oid(oid), Table) and _may_hide(table)
    ]
    if not tables:
        return bound
    masker = _Masker(catalog, role, bound)
    masker.note(bound.statement)
    statement = masker.visit(bound.statement) if masker.hidden else bound.statement
    # A grant of UNMASK on a schema or the database gives it another version.
    above = [catalog.of_kind(Schema, table.schema) for table in tables]
    versions = {**dict(bound.dependencies), **masker.routines}
    versions.update((s.oid, s.version) for s in (*above, catalog.database) if s is not None)
    for table in tables:
        # A mask put on a source masks the materialised view, too.
        versions.update((r.oid, catalog.version(r.oid)) for c in table.columns for r in c.sources)
    return replace(bound, statement=statement, dependencies=tuple(versions.items()))


def _may_hide(table: Table) -> bool:
    return bool(table.masks) or any(column.sources for column in table.columns)


class _Masker:
    """One statement's rewriting: `note` finds the rels that hold masked columns, `visit` puts the
    masks in their columns' places."""

    def __init__(self, catalog: Catalog, role: int, bound: BoundStatement) -> None:
        self.catalog = catalog
        self.role = role
        self.owners: dict[int, set[int]] = {}
        """Of views through which a table is changed, by the table's oid."""
        for privilege in bound.privileges:
            if privilege.as_role:
                self.owners.setdefault(privilege.oid, set()).add(privilege.as_role)
        self.hidden: dict[int, Mapping[int, MaskCall]] = {}
        self.tables: dict[int, Table] = {}
        self.functions: dict[tuple[int, int], SqlFunction] = {}
        self.routines: dict[int, int] = {}
        """Users' functions that are called, with their versions."""
        self.storing = False

    # -- which rels ------------------------------------------------------------------------------

    def note(self, value: Any) -> None:
        """Find the rels with masked columns in any part of the bound tree."""
        if isinstance(value, tuple):
            for item in value:
                self.note(item)
        elif isinstance(value, Expr):
            for node in walk(value):
                if isinstance(node, SubLink):
                    self.note(node.query)
        elif _is_query_part(value):
            self._note_rel(value)
            for name in value.__dataclass_fields__:
                if name != "table":
                    self.note(getattr(value, name))

    def _note_rel(self, value: Any) -> None:
        table = getattr(value, "table", None)
        if not isinstance(table, Table):
            return
        if isinstance(value, TableRel):
            self._hide(table, (value.rel,), {self.role, value.check_as or self.role})
            return
        rels = [getattr(value, name, -1) for name in ("rel", "new_rel")]
        conflict = getattr(value, "on_conflict", None)
        if isinstance(conflict, OnConflict):
            rels.append(conflict.existing_rel)
        owners = self.owners.get(table.oid, ())
        self._hide(table, rels, {self.role, getattr(value, "check_as", 0) or self.role, *owners})

    def _hide(self, table: Table, rels: Iterable[int], roles: Iterable[int]) -> None:
        hidden = hidden_columns(self.catalog, roles, table)
        for rel in rels:
            if hidden and rel >= 0:
                self.hidden[rel] = {attnum - 1: call for attnum, call in hidden.items()}
                self.tables[rel] = table

    # -- what they become ------------------------------------------------------------------------

    def visit(self, value: Any) -> Any:
        """Any part of the bound tree, rewritten."""
        if isinstance(value, Expr):
            return self._expression(value)
        if isinstance(value, tuple):
            items = tuple(self.visit(item) for item in value)
            return items if any(a is not b for a, b in zip(items, value, strict=True)) else value
        if not _is_query_part(value):
            return value
        kept = _KEPT.get(type(value), frozenset())
        changes: dict[str, Any] = {}
        for name in value.__dataclass_fields__:
            if name == "table" or name in kept:
                continue
            visit = self._stored if name == "assignments" else self.visit
            old = getattr(value, name)
            new = visit(old)
            if new is not old:
                changes[name] = new
        return replace(value, **changes) if changes else value

    def _stored(self, value: Any) -> Any:
        """What SET stores."""
        outer, self.storing = self.storing, True
        try:
            return self.visit(value)
        finally:
            self.storing = outer

    def _expression(self, node: Expr) -> Expr:
        if isinstance(node, Var):
            call = self.hidden.get(node.rel, _NO_MASKS).get(node.column)
            return node if call is None else self._masked(node, call)
        if isinstance(node, WholeRow):
            return self._masked_row(node) if node.rel in self.hidden else node
        node = map_children(node, self._expression)
        if isinstance(node, SubLink):
            query = self.visit(node.query)
            if query is not node.query:
                node = replace(node, query=query)
        return node

    def _masked(self, var: Var, call: MaskCall) -> Expr:
        table = self.tables[var.rel]
        column = table.columns[var.column]
        if self.storing:
            raise SqlError(
                INSUFFICIENT_PRIVILEGE,
                f'column "{column.name}" of relation "{table.name}" is masked: '
                "what reads it cannot be stored",
                position=var.position,
            )
        if is_made_by_user(call):
            made = self._by_user(var, column, call)
            if made is not None:
                return made
        key: tuple[Expr, ...] = ()
        if is_by_row(call):
            key = tuple(_key_var(var.rel, table, attnum) for attnum in table.primary_key)
        function = self._function(table, var, call, tuple(each.type for each in key))
        return Call(function, (var, *key), var.type, var.typmod, var.collation)

    def _by_user(self, var: Var, column: Column, call: MaskCall) -> Expr | None:
        """A call of a user's function; None when that is not there or not fit any more."""
        try:
            routine, constants = find_user_mask(self.catalog, column, call)
        except SqlError:
            return None
        self.routines[routine.oid] = routine.version
        function = routine_function(self.catalog, routine)
        shown = Call(function, (var, *constants), var.type, var.typmod, var.collation)
        missing = NullTest(var, negated=False)
        null = Const(None, var.type, var.typmod, var.collation)
        return Case(None, ((missing, null),), shown, var.type, var.typmod, var.collation)

    def _function(
        self, table: Table, var: Var, call: MaskCall, key_types: tuple[int, ...]
    ) -> SqlFunction:
        place = (table.oid, var.column)
        found = self.functions.get(place)
        if found is None:
            found = self.functions[place] = SqlFunction(
                name=f"mask_{call.name}",
                oid=0,
                arguments=(var.type, *key_types),
                result=var.type,
                row=usable_form(self.catalog, table, table.columns[var.column], call),
                leakproof=True,
            )
        return found

    def _masked_row(self, node: WholeRow) -> Expr:
        """The row of masked values; NULL where an outer join made it NULL."""
        table = self.tables[node.rel]
        fields = tuple(
            self._expression(_key_var(node.rel, table, c.attnum)) for c in table.live_columns
        )
        row = RowConstructor(fields, node.names, node.type, node.typmod, node.collation)
        missing = NullTest(node, negated=False)
        return Case(None, ((missing, Const(None, node.type)),), row, node.type)


_NO_MASKS: Final[Mapping[int, MaskCall]] = {}
# Fields whose expressions are about the values that are stored, not about what is shown.
_KEPT: Final[Mapping[type, frozenset[str]]] = {
    Insert: frozenset({"generated", "checks"}),
    MergeWhen: frozenset({"generated"}),
    Update: frozenset({"generated", "checks"}),
    OnConflict: frozenset({"checks", "existing_checks"}),
}


def _is_query_part(value: Any) -> bool:
    return type(value).__module__ == _QUERIES and hasattr(value, "__dataclass_fields__")


def _key_var(rel: int, table: Table, attnum: int) -> Var:
    column = table.column(attnum)
    return Var(rel, attnum - 1, column.type_oid, column.typmod, column.collation)
