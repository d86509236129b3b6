"""Expressions and queries on their way into the catalog: bound, checked, written as canonical SQL.

What is stored is text that means the same whatever the search_path: names of relations and of types
are qualified, columns of the table itself are bare.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog.objects import (
    Column,
    ColumnedRelation,
    Reference,
    Relation,
    Routine,
    Table,
    TypeObject,
)
from heliosd.errors import SqlError
from heliosd.execute.program import ResultColumn
from heliosd.execute.utility.describe import canonical_names
from heliosd.security.lineage import output_sources
from heliosd.security.masks import require_unmask
from heliosd.sql.bind.coerce import assign, location, settle, to_boolean
from heliosd.sql.bind.state import UnknownLiteral
from heliosd.sql.bind.statement import bind_statement
from heliosd.sql.bind.stored import bind_table_expression
from heliosd.sql.bound import Cast, Const, Expr, FieldSelect, SessionValue, Var, WholeRow
from heliosd.sql.bound.queries import Select, SetOperation, Values
from heliosd.sql.bound.walk import all_nodes, query_expressions, walk
from heliosd.sql.tree import query as tree_query
from heliosd.sql.tree.base import Expression
from heliosd.sql.tree.expressions import ColumnRef
from heliosd.types.oids import FIRST_NORMAL_OID
from heliosd.types.quoting import quote_identifier, quote_literal

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog
    from heliosd.execute.context import SessionServices
    from heliosd.sql.bind.state import BindScope

REGCLASS: Final = 2205


@dataclass(frozen=True, slots=True)
class StoredExpression:
    """Canonical text and what it depends on. `columns`: the own attnums that it reads."""

    text: str
    references: tuple[Reference, ...] = ()
    columns: tuple[int, ...] = ()
    type: int = 0
    typmod: int = -1
    collation: int = 0
    is_volatile: bool = False
    is_null: bool = False


@dataclass(frozen=True, slots=True)
class StoredQuery:
    """A view's query."""

    text: str
    references: tuple[Reference, ...]
    columns: tuple[ResultColumn, ...]
    temporary: bool
    """It reads a temporary relation, so the view must be temporary too."""
    sources: tuple[tuple[Reference, ...], ...] = ()
    """For each column: the stored columns from which it is computed."""


# -- expressions ----------------------------------------------------------------------------------


def bind_default(session: SessionServices, tree: Expression, column: Column) -> StoredExpression:
    """DEFAULT: no columns (0A000), assignable to the column (42804)."""
    reference = next((node for node in _nodes(tree) if isinstance(node, ColumnRef)), None)
    if reference is not None:
        raise SqlError(
            "0A000",
            "cannot use column reference in DEFAULT expression",
            position=reference.position,
        )
    scope = session.bind_scope()
    expression, state = bind_table_expression(tree, None, scope, "DEFAULT expressions")
    try:
        # The modifier is applied where the default is used: the text says what was written.
        assigned = assign(state, expression, column.type_oid, -1, column.name, location(tree))
    except SqlError as error:
        if error.sqlstate == "42804":
            error.message = error.message.replace("but expression", "but default expression")
        raise
    if isinstance(assigned, UnknownLiteral):
        # For a polymorphic parameter: each call decides what it is.
        text = "NULL" if assigned.text is None else quote_literal(assigned.text)
        return StoredExpression(text, is_null=assigned.text is None)
    return _stored(scope, assigned, None)


def bind_generated(
    session: SessionServices, table: Table, tree: Expression, column: Column
) -> StoredExpression:
    """GENERATED ALWAYS AS: immutable, over plain columns of the row (42P17)."""
    scope = session.bind_scope()
    expression, state = bind_table_expression(tree, table, scope, "column generation expressions")
    assigned = assign(
        state, expression, column.type_oid, column.typmod, column.name, location(tree)
    )
    stored = _stored(scope, assigned, table)
    for attnum in stored.columns:
        other = table.column(attnum)
        if other.generated:
            raise SqlError(
                "42P17",
                f'cannot use generated column "{other.name}" in column generation expression',
                detail="A generated column cannot reference another generated column.",
                position=location(tree),
            )
    if _volatility(assigned) != "i":
        raise SqlError("42P17", "generation expression is not immutable")
    return stored


def bind_check(session: SessionServices, table: Table, tree: Expression) -> StoredExpression:
    """CHECK: a boolean over the table's columns."""
    scope = session.bind_scope()
    expression, state = bind_table_expression(tree, table, scope, "check constraints")
    stored = _stored(scope, to_boolean(state, expression, "CHECK", tree), table)
    require_unmask(scope.catalog, scope.role, table, stored.columns, "add a check constraint")
    return stored


def bind_index_expression(
    session: SessionServices, table: Table, tree: Expression
) -> StoredExpression:
    """A key of an index: immutable (42P17)."""
    scope = session.bind_scope()
    expression, state = bind_table_expression(tree, table, scope, "index expressions")
    expression = settle(state, expression)
    if _volatility(expression) != "i":
        raise SqlError("42P17", "functions in index expression must be marked IMMUTABLE")
    stored = _stored(scope, expression, table)
    require_unmask(scope.catalog, scope.role, table, stored.columns, "make an index")
    return stored


def bind_index_predicate(
    session: SessionServices, table: Table, tree: Expression
) -> StoredExpression:
    """WHERE of a partial index: an immutable boolean (42P17)."""
    scope = session.bind_scope()
    expression, state = bind_table_expression(tree, table, scope, "index predicates")
    expression = to_boolean(state, expression, "WHERE", tree)
    if _volatility(expression) != "i":
        raise SqlError("42P17", "functions in index predicate must be marked IMMUTABLE")
    stored = _stored(scope, expression, table)
    require_unmask(scope.catalog, scope.role, table, stored.columns, "make an index")
    return stored


def check_using(
    session: SessionServices, table: Table, tree: Expression | None, column: Column
) -> None:
    """ALTER COLUMN TYPE: its USING expression, or the column itself, must be assignable (42804)."""
    scope = session.bind_scope()
    source = ColumnRef(0, (column.name,)) if tree is None else tree
    expression, state = bind_table_expression(source, table, scope, "transform expressions")
    read = _stored(scope, expression, table).columns
    require_unmask(scope.catalog, scope.role, table, read, "convert a column")
    try:
        assign(state, expression, column.type_oid, column.typmod, column.name, location(source))
    except SqlError as error:
        if error.sqlstate != "42804":
            raise
        shown = state.type_name(column.type_oid, column.typmod)
        name = quote_identifier(column.name)
        if tree is None:
            raise SqlError(
                "42804",
                f'column "{column.name}" cannot be cast automatically to type {shown}',
                hint=f'You might need to specify "USING {name}::{shown}".',
            ) from error
        raise SqlError(
            "42804",
            f'result of USING clause for column "{column.name}" cannot be cast automatically to '
            f"type {shown}",
            hint="You might need to add an explicit cast.",
        ) from error


def _stored(scope: BindScope, expression: Expr, table: ColumnedRelation | None) -> StoredExpression:
    references, columns = references_of(scope, expression, table)
    return StoredExpression(
        text=canonical_names(scope).expression(expression, table),
        references=references,
        columns=columns,
        type=expression.type,
        typmod=expression.typmod,
        collation=expression.collation,
        is_volatile=_volatility(expression) == "v",
        is_null=_is_null(expression),
    )


def references_of(
    scope: BindScope, expression: Expr, table: ColumnedRelation | None
) -> tuple[tuple[Reference, ...], tuple[int, ...]]:
    """(what the expression depends on, the own attnums that it reads)."""
    references: dict[Reference, None] = {}
    columns: dict[int, None] = {}
    for node in walk(expression):
        if isinstance(node, Var) and node.column >= 0 and table is not None:
            references[Reference(table.oid, node.column + 1)] = None
            columns[node.column + 1] = None
            continue
        if isinstance(node, WholeRow) and table is not None:
            for column in table.live_columns:
                references[Reference(table.oid, column.attnum)] = None
                columns[column.attnum] = None
        elif isinstance(node, Const) and node.type == REGCLASS and node.value is not None:
            references[Reference(node.value)] = None
        if isinstance(node, FieldSelect):
            attribute = attribute_reference(scope.catalog, node)
            if attribute is not None:
                references[attribute] = None
        called = getattr(node, "target", None) or getattr(node, "function", None)
        oid = getattr(called, "oid", 0)
        if oid >= FIRST_NORMAL_OID:
            references[Reference(oid)] = None
        used = type_reference(scope.catalog, getattr(node, "type", 0))
        if used is not None and (table is None or used.oid != table.oid):
            references[used] = None
    return tuple(references), tuple(sorted(columns))


def attribute_reference(catalog: Catalog, node: FieldSelect) -> Reference | None:
    """Dependence on one attribute of a composite type."""
    made = catalog.by_oid(node.argument.type)
    if not isinstance(made, TypeObject):
        return None
    attnum = next((c.attnum for c in made.columns if c.name == node.name and not c.dropped), 0)
    return Reference(made.oid, attnum) if attnum else None


def type_reference(catalog: Catalog, oid: int) -> Reference | None:
    """Dependence on a type made by a user: on the object in which an array or row type rests."""
    if oid < FIRST_NORMAL_OID:
        return None
    found = catalog.by_oid(oid) or catalog.owner_of_part(oid)
    return None if found is None else Reference(found.oid)


def _is_null(expression: Expr) -> bool:
    while isinstance(expression, Cast):
        expression = expression.argument
    return isinstance(expression, Const) and expression.value is None


def _volatility(expression: Expr) -> str:
    """The worst of all that it calls: i(mmutable), s(table), v(olatile)."""
    worst = "i"
    for node in walk(expression):
        found = "s" if isinstance(node, SessionValue) else "i"
        for called in (getattr(node, "target", None), getattr(node, "cast", None)):
            found = max(found, getattr(called, "volatility", "i"))
        worst = max(worst, found)
    return worst


def _nodes(tree: Any) -> Iterator[Any]:
    """A syntax tree's nodes."""
    if isinstance(tree, tuple):
        for item in tree:
            yield from _nodes(item)
    elif dataclasses.is_dataclass(tree):
        yield tree
        for field in dataclasses.fields(tree):
            yield from _nodes(getattr(tree, field.name))


# -- queries --------------------------------------------------------------------------------------


def bind_query(session: SessionServices, tree: tree_query.Query) -> StoredQuery:
    """A view's query as it rests, and what it reads."""
    scope = session.bind_scope()
    bound = bind_statement(tree, scope)
    if bound.parameter_types:
        raise SqlError("42P02", "there is no parameter $1")
    references: dict[Reference, None] = {}
    temporary = False
    for need in bound.privileges:
        # What stands behind a view is that view's own business (`as_role`).
        relation = session.catalog.by_oid(need.oid)
        if isinstance(relation, Routine):
            references[Reference(need.oid)] = None
            continue
        if need.as_role or not isinstance(relation, Relation):
            continue
        temporary = temporary or relation.persistence == "t"
        references[Reference(need.oid)] = None
        for slot in need.columns or ():
            references[Reference(need.oid, slot + 1)] = None
    for top in query_expressions(bound.statement):
        for node in all_nodes(top):
            used = type_reference(scope.catalog, getattr(node, "type", 0))
            if used is not None and not isinstance(node, Var | WholeRow):
                references[used] = None
    columns = tuple(
        ResultColumn(column.name, column.type, column.typmod) for column in bound.columns
    )
    query = bound.statement
    assert isinstance(query, Select | SetOperation | Values)
    text = canonical_names(scope).query(query)
    sources = tuple(tuple(each) for each in output_sources(query))
    return StoredQuery(text, tuple(references), columns, temporary, sources)
