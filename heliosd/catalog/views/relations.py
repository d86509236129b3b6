"""pg_class, pg_attribute, pg_index, pg_constraint and their like: relations and their parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog.acl import current_acl
from heliosd.catalog.objects import (
    Acl,
    Column,
    ColumnedRelation,
    Constraint,
    Index,
    IndexKey,
    IndexRelation,
    MaterializedView,
    Relation,
    Sequence,
    SystemView,
    Table,
    TypeObject,
    View,
)
from heliosd.catalog.row_security import shown_rows
from heliosd.catalog.views.declare import Row, catalog_view
from heliosd.catalog.views.opclasses import BTREE, default_opclass, opclass_named
from heliosd.catalog.views.values import (
    BOOTSTRAP_XID,
    acl_array,
    array,
    options_array,
    vector,
)

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog
    from heliosd.catalog.views.context import ViewContext

HEAP: Final = 2
PAGE_BYTES: Final = 8192
_ROWS_PER_PAGE: Final = 60
"""What relpages assumes where nothing was measured."""


def relation_kind(relation: Relation) -> str:
    """pg_class.relkind."""
    match relation:
        case MaterializedView():
            return "m"
        case Table():
            return "r"
        case IndexRelation():
            return "i"
        case Sequence():
            return "S"
        case View():
            return "v"
        case SystemView():
            return relation.kind
    return "r"


def relations(catalog: Catalog) -> Iterator[Relation]:
    """Every relation that this database shows, by oid."""
    return iter(sorted(catalog.objects(Relation), key=lambda relation: relation.oid))


@catalog_view("pg_class")
def pg_class(ctx: ViewContext) -> Iterator[Row]:
    catalog, role = ctx.catalog, ctx.evaluation.current_role_oid
    for relation in relations(catalog):
        kind = relation_kind(relation)
        table = relation if isinstance(relation, Table) else None
        method = {"r": HEAP, "m": HEAP, "i": BTREE}.get(kind, 0)
        pages, rows = _size(catalog, role, relation)
        yield (
            relation.oid,
            relation.name,
            relation.schema,
            relation.row_type if isinstance(relation, ColumnedRelation) else 0,
            0,
            relation.owner,
            method,
            0 if kind == "v" else relation.oid,
            0,
            pages,
            rows,
            0,
            0,
            table is not None and bool(table.indexes),
            isinstance(relation, SystemView) and relation.name in _SHARED,
            relation.persistence,
            kind,
            _column_count(relation),
            0 if table is None else len(table.checks),
            isinstance(relation, View | MaterializedView),
            table is not None and bool(table.foreign_keys or table.referenced_by),
            False,
            table is not None and table.row_security,
            table is not None and table.force_row_security,
            not isinstance(relation, MaterializedView) or relation.populated,
            _replica_identity(relation),
            False,
            0,
            BOOTSTRAP_XID if kind in "rm" else 0,
            1 if kind in "rm" else 0,
            acl_array(_shown_acl(catalog, relation), catalog),
            options_array(_options(relation)),
            None,
        )
    for made in catalog.objects(TypeObject):
        if made.relation_oid:
            yield _composite_class(made)


def _composite_class(made: TypeObject) -> Row:
    """A composite type's row in pg_class."""
    return (
        made.relation_oid, made.name, made.schema, made.oid, 0, made.owner, 0, 0, 0, 0, 0.0, 0, 0,
        False, False, "p", "c", len(made.columns), 0, False, False, False, False, False, True,
        "n", False, 0, 0, 0, None, None, None,
    )  # fmt: skip


def _shown_acl(catalog: Catalog, relation: Relation) -> Acl:
    """Of a system relation, what initdb granted; NULL for any other never granted on."""
    return current_acl(catalog, relation) if isinstance(relation, SystemView) else relation.acl


_SHARED: Final = frozenset(
    {"pg_database", "pg_authid", "pg_auth_members", "pg_tablespace", "pg_shdescription"}
    | {"pg_shdepend", "pg_db_role_setting", "pg_parameter_acl", "pg_shseclabel"}
    | {"pg_replication_origin", "pg_subscription"}
)


def _size(catalog: Catalog, role: int, relation: Relation) -> tuple[int, float]:
    """(relpages, reltuples); -1 rows until ANALYZE looked. Rounded where policies hide rows."""
    if isinstance(relation, Sequence):
        return 1, 1.0
    owner = relation.table if isinstance(relation, IndexRelation) else relation.oid
    statistics = catalog.statistics(owner)
    if statistics is None:
        empty = isinstance(relation, IndexRelation)
        return (1, 0.0) if empty else (0, -1.0)
    table = catalog.table(owner)
    rows, pages = (shown_rows(catalog, role, table, n) for n in (statistics.rows, statistics.pages))
    return pages, float(rows)


def _column_count(relation: Relation) -> int:
    if isinstance(relation, ColumnedRelation):
        return len(relation.columns)
    if isinstance(relation, IndexRelation):
        return len(relation.index.keys) + len(relation.index.included)
    return 0


def _replica_identity(relation: Relation) -> str:
    return relation.replica_identity if isinstance(relation, Table) else "n"


def _options(relation: Relation) -> tuple[tuple[str, str], ...]:
    match relation:
        case Table():
            return relation.options
        case IndexRelation():
            return relation.index.options
        case View():
            options: list[tuple[str, str]] = []
            if relation.security_barrier:
                options.append(("security_barrier", "true"))
            if relation.security_invoker:
                options.append(("security_invoker", "true"))
            if relation.check_option:
                options.append(("check_option", relation.check_option))
            return tuple(options)
    return ()


# -- columns ------------------------------------------------------------------------------------


@catalog_view("pg_attribute")
def pg_attribute(ctx: ViewContext) -> Iterator[Row]:
    catalog = ctx.catalog
    for relation in relations(catalog):
        if isinstance(relation, ColumnedRelation):
            for column in relation.columns:
                yield _attribute(catalog, relation.oid, column)
        elif isinstance(relation, IndexRelation):
            for column in index_columns(catalog, relation):
                yield _attribute(catalog, relation.oid, column)
    for composite in catalog.objects(TypeObject):
        for column in composite.columns:
            yield _attribute(catalog, composite.relation_oid, column)


def index_columns(catalog: Catalog, relation: IndexRelation) -> Iterator[Column]:
    """An index's columns as pg_attribute shows them."""
    table = catalog.table(relation.table)
    number = 0
    taken: set[str] = set()
    for key in relation.index.keys:
        number += 1
        if key.attnum:
            name = table.column(key.attnum).name
        else:
            base = name = key.name or "expr"
            count = 0
            while name in taken:
                count += 1
                name = f"{base}{count}"
        taken.add(name)
        yield _index_column(table, key, number, name)
    for attnum in relation.index.included:
        number += 1
        column = table.column(attnum)
        yield Column(
            attnum=number, name=column.name, type_oid=column.type_oid, typmod=column.typmod
        )


def _index_column(table: Table, key: IndexKey, number: int, name: str) -> Column:
    if key.attnum:
        column = table.column(key.attnum)
        return Column(
            attnum=number,
            name=name,
            type_oid=column.type_oid,
            typmod=column.typmod,
            collation=key.collation or column.collation,
        )
    return Column(
        attnum=number, name=name, type_oid=key.type_oid, typmod=key.typmod, collation=key.collation
    )


def _attribute(catalog: Catalog, relation: int, column: Column) -> Row:
    if column.dropped:
        length, by_value, align, storage = -1, False, "i", "p"
        is_array = False
    else:
        known = catalog.types.by_oid.get(column.type_oid)
        is_array = known is not None and known.is_array
        if known is not None:
            length, by_value, align, storage = (
                known.size, known.by_value, known.align, known.storage,
            )  # fmt: skip
        else:
            length, by_value, align, storage = -1, False, "d", "x"
    return (
        relation,
        f"........pg.dropped.{column.attnum}........" if column.dropped else column.name,
        0 if column.dropped else column.type_oid,
        0 if column.dropped else column.statistics_target,
        length,
        column.attnum,
        1 if is_array else 0,
        -1,
        column.typmod,
        by_value,
        align,
        column.storage or storage,
        "",
        column.not_null,
        column.default is not None,
        False,
        column.identity,
        column.generated,
        column.dropped,
        True,
        0,
        column.collation,
        acl_array(column.acl, catalog),
        None,
        None,
        None,
    )


@catalog_view("pg_attrdef")
def pg_attrdef(ctx: ViewContext) -> Iterator[Row]:
    for table in ctx.catalog.objects(Table):
        for column in table.live_columns:
            if column.default is not None and column.default_oid:
                yield (column.default_oid, table.oid, column.attnum, column.default)


# -- indexes and constraints --------------------------------------------------------------------


@catalog_view("pg_index")
def pg_index(ctx: ViewContext) -> Iterator[Row]:
    catalog = ctx.catalog
    for table in catalog.objects(Table):
        for index in table.indexes:
            yield _index_row(catalog, table, index)


def _index_row(catalog: Catalog, table: Table, index: Index) -> Row:
    constraint = table.constraint_by_oid(index.constraint) if index.constraint else None
    expressions = [key.expression for key in index.keys if key.expression is not None]
    return (
        index.oid,
        table.oid,
        len(index.keys) + len(index.included),
        len(index.keys),
        index.unique,
        index.nulls_not_distinct,
        index.primary,
        False,
        constraint is None or not constraint.deferrable,
        index.clustered,
        True,
        False,
        True,
        True,
        index.replica_identity,
        vector((*index.attnums, *index.included)),
        vector(_key_collation(table, key) for key in index.keys),
        vector(_key_class(catalog, table, key) for key in index.keys),
        vector((1 if key.descending else 0) | (2 if key.nulls_first else 0) for key in index.keys),
        ", ".join(expressions) if expressions else None,
        index.predicate,
    )


def _key_collation(table: Table, key: IndexKey) -> int:
    if key.collation or not key.attnum:
        return key.collation
    return table.column(key.attnum).collation


def _key_class(catalog: Catalog, table: Table, key: IndexKey) -> int:
    if key.opclass:
        named = opclass_named(key.opclass)
        if named is not None:
            return named.oid
    type_oid = table.column(key.attnum).type_oid if key.attnum else key.type_oid
    found = default_opclass(catalog.types, type_oid)
    return 0 if found is None else found.oid


@catalog_view("pg_constraint")
def pg_constraint(ctx: ViewContext) -> Iterator[Row]:
    catalog = ctx.catalog
    for table in catalog.objects(Table):
        for constraint in table.constraints:
            yield _constraint_row(catalog, table, constraint)
    for domain in catalog.objects(TypeObject):
        for constraint in domain.constraints:
            yield _domain_constraint_row(domain, constraint)


def _constraint_row(catalog: Catalog, table: Table, constraint: Constraint) -> Row:
    foreign = constraint.kind == "f"
    equal = _equality_operators(catalog, table, constraint) if foreign else None
    keys = constraint.columns
    return (
        constraint.oid,
        constraint.name,
        table.schema,
        constraint.kind,
        constraint.deferrable,
        constraint.initially_deferred,
        constraint.validated,
        table.oid,
        0,
        constraint.index,
        0,
        constraint.referenced_table,
        constraint.on_update if foreign else " ",
        constraint.on_delete if foreign else " ",
        constraint.match_type if foreign else " ",
        True,
        0,
        constraint.no_inherit if constraint.kind == "c" else True,
        array(keys) if keys else None,
        array(constraint.referenced_columns) if foreign else None,
        array(equal) if equal else None,
        array(equal) if equal else None,
        array(equal) if equal else None,
        array(constraint.on_delete_columns) if constraint.on_delete_columns else None,
        None,
        constraint.expression,
    )


def _domain_constraint_row(domain: TypeObject, constraint: Constraint) -> Row:
    head: tuple[Any, ...] = (
        constraint.oid, constraint.name, domain.schema, "c", False, False, constraint.validated,
        0, domain.oid, 0, 0, 0, " ", " ", " ", True, 0, False,
    )  # fmt: skip
    return (*head, *(None,) * 7, constraint.expression)


def _equality_operators(catalog: Catalog, table: Table, key: Constraint) -> list[int] | None:
    referenced = catalog.by_oid(key.referenced_table)
    if not isinstance(referenced, Table):
        return None
    found: list[int] = []
    for ours, theirs in zip(key.columns, key.referenced_columns, strict=True):
        left = _comparable(referenced.column(theirs).type_oid)
        right = _comparable(table.column(ours).type_oid)
        operator = catalog.types.operator("=", left, right) or catalog.types.operator(
            "=", left, left
        )
        found.append(0 if operator is None else operator.oid)
    return found


def _comparable(type_oid: int) -> int:
    """varchar compares as text."""
    return 25 if type_oid == 1043 else type_oid


@catalog_view("pg_sequence")
def pg_sequence(ctx: ViewContext) -> Iterator[Row]:
    for sequence in ctx.catalog.objects(Sequence):
        yield (
            sequence.oid,
            sequence.type_oid,
            sequence.start,
            sequence.increment,
            sequence.maximum,
            sequence.minimum,
            sequence.cache,
            sequence.cycle,
        )


@catalog_view("pg_rewrite")
def pg_rewrite(ctx: ViewContext) -> Iterator[Row]:
    """A view's rule. It has the view's oid: oids need only be unique within a catalog."""
    for view in ctx.catalog.objects(View):
        yield (view.oid, "_RETURN", view.oid, "1", "O", True, "<>", view.query)
