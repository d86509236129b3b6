"""Security labels: pg_seclabel and its kin; heliosd's views of masks and of what has no label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from heliosd.catalog.acl import is_superuser, roles_of
from heliosd.catalog.effective_masks import masks_of
from heliosd.catalog.labels import PROVIDER
from heliosd.catalog.objects import (
    CatalogObject,
    ColumnedRelation,
    Database,
    Role,
    Schema,
    Sequence,
    SystemView,
    Table,
    View,
)
from heliosd.catalog.views.declare import Row, catalog_view
from heliosd.catalog.views.values import PG_AUTHID, PG_CLASS, PG_DATABASE, PG_NAMESPACE

PG_READ_ALL_STATS: Final = 3375

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog
    from heliosd.catalog.views.context import ViewContext


def _relations(catalog: Catalog) -> list[ColumnedRelation]:
    found = (r for r in catalog.objects(ColumnedRelation) if not isinstance(r, SystemView))
    return sorted(found, key=lambda relation: relation.oid)


def _labelled(catalog: Catalog) -> Iterator[tuple[CatalogObject, int, int, str]]:
    """(object, its catalog, column, label) of what lives in this database."""
    for schema in catalog.objects(Schema):
        if schema.label is not None:
            yield schema, PG_NAMESPACE, 0, schema.label
    for relation in _relations(catalog):
        if relation.label is not None:
            yield relation, PG_CLASS, 0, relation.label
        for column in relation.live_columns:
            if column.label is not None:
                yield relation, PG_CLASS, column.attnum, column.label


def _shared(catalog: Catalog) -> Iterator[tuple[CatalogObject, int, str]]:
    for database in catalog.objects(Database):
        if database.label is not None:
            yield database, PG_DATABASE, database.label
    for role in catalog.objects(Role):
        if role.label is not None:
            yield role, PG_AUTHID, role.label


@catalog_view("pg_seclabel")
def pg_seclabel(ctx: ViewContext) -> Iterator[Row]:
    for obj, catalog_oid, number, label in _labelled(ctx.catalog):
        yield (obj.oid, catalog_oid, number, PROVIDER, label)


@catalog_view("pg_shseclabel")
def pg_shseclabel(ctx: ViewContext) -> Iterator[Row]:
    for obj, catalog_oid, label in _shared(ctx.catalog):
        yield (obj.oid, catalog_oid, PROVIDER, label)


@catalog_view("pg_seclabels")
def pg_seclabels(ctx: ViewContext) -> Iterator[Row]:
    catalog = ctx.catalog
    for obj, catalog_oid, number, label in _labelled(catalog):
        kind, schema, name = _named(ctx, obj, number)
        yield (obj.oid, catalog_oid, number, kind, schema, name, PROVIDER, label)
    for obj, catalog_oid, label in _shared(catalog):
        kind = "database" if isinstance(obj, Database) else "role"
        yield (obj.oid, catalog_oid, 0, kind, None, obj.name, PROVIDER, label)


def _named(ctx: ViewContext, obj: CatalogObject, number: int) -> tuple[str, int | None, str]:
    """(objtype, objnamespace, objname) as pg_seclabels words them."""
    if not isinstance(obj, ColumnedRelation):
        return "schema", obj.oid, obj.name
    name = obj.name
    if not ctx.evaluation.catalog.is_visible("relation", obj.oid):
        name = f"{ctx.catalog.schema_name(obj.schema)}.{name}"
    if number:
        return "column", obj.schema, f"{name}.{obj.column(number).name}"
    kind = "view" if isinstance(obj, View) else "table"
    return "sequence" if isinstance(obj, Sequence) else kind, obj.schema, name


@catalog_view("helios_masks")
def helios_masks(ctx: ViewContext) -> Iterator[Row]:
    """Every masked column; `inherited`: it is generated or computed from one."""
    catalog = ctx.catalog
    for table in sorted(catalog.objects(Table), key=lambda table: table.oid):
        for attnum, call in masks_of(catalog, table).items():
            column = table.column(attnum)
            schema = catalog.schema_name(table.schema)
            yield (schema, table.name, column.name, str(call), column.mask is None)


@catalog_view("helios_unlabelled_columns")
def helios_unlabelled_columns(ctx: ViewContext) -> Iterator[Row]:
    """Columns of tables about whose sensitivity nobody has said anything."""
    catalog = ctx.catalog
    for table in sorted(catalog.objects(Table), key=lambda table: table.oid):
        for column in table.live_columns:
            if column.label is None:
                kind = catalog.types.by_oid.get(column.type_oid)
                shown = str(column.type_oid) if kind is None else kind.display
                schema = catalog.schema_name(table.schema)
                yield (schema, table.name, column.name, shown)


@catalog_view("helios_budgets")
def helios_budgets(ctx: ViewContext) -> Iterator[Row]:
    """Budgets and what is drawn from them now: of one's own roles, of all for pg_read_all_stats."""
    catalog, reader = ctx.catalog, ctx.evaluation.current_role_oid
    mine = roles_of(catalog, reader)
    everything = is_superuser(catalog, reader) or PG_READ_ALL_STATS in mine
    for role in sorted(catalog.objects(Role), key=lambda role: role.name):
        for budget in role.budgets if everything or role.oid in mine else ():
            table = catalog.of_kind(Table, budget.table)
            if budget.table and table is None:
                continue
            start, rows, size = ctx.server.budget_usage(budget)
            yield (
                role.name, None if table is None else catalog.schema_name(table.schema),
                None if table is None else table.name, budget.rows, budget.size_bytes,
                (0, 0, budget.period_us), start, rows, size,
            )  # fmt: skip
