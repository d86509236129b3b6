"""The views made for people: pg_tables, pg_views, pg_indexes, pg_sequences, pg_rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from heliosd.catalog.acl import SELECT, USAGE, has_privilege
from heliosd.catalog.objects import (
    MaterializedView,
    Sequence,
    SystemView,
    Table,
    View,
)
from heliosd.catalog.views.declare import Row, catalog_view

if TYPE_CHECKING:
    from heliosd.catalog.views.context import ViewContext


@catalog_view("pg_tables")
def pg_tables(ctx: ViewContext) -> Iterator[Row]:
    catalog = ctx.catalog
    for table in catalog.objects(Table):
        yield (
            catalog.schema_name(table.schema), table.name, catalog.role_name(table.owner), None,
            bool(table.indexes), False, bool(table.foreign_keys or table.referenced_by),
            table.row_security,
        )  # fmt: skip
    for system in catalog.objects(SystemView):
        if system.kind == "r":
            yield (
                catalog.schema_name(system.schema), system.name,
                catalog.role_name(system.owner), None, False, False, False, False,
            )  # fmt: skip


@catalog_view("pg_views")
def pg_views(ctx: ViewContext) -> Iterator[Row]:
    catalog = ctx.catalog
    definition = ctx.evaluation.catalog.definition
    for view in catalog.objects(View):
        yield (
            catalog.schema_name(view.schema), view.name, catalog.role_name(view.owner),
            definition("view", view.oid),
        )  # fmt: skip
    for system in catalog.objects(SystemView):
        if system.kind == "v":
            schema, owner = catalog.schema_name(system.schema), catalog.role_name(system.owner)
            yield (schema, system.name, owner, None)


@catalog_view("pg_matviews")
def pg_matviews(ctx: ViewContext) -> Iterator[Row]:
    catalog = ctx.catalog
    definition = ctx.evaluation.catalog.definition
    for view in catalog.objects(MaterializedView):
        yield (
            catalog.schema_name(view.schema), view.name, catalog.role_name(view.owner), None,
            bool(view.indexes), view.populated, definition("view", view.oid),
        )  # fmt: skip


@catalog_view("pg_indexes")
def pg_indexes(ctx: ViewContext) -> Iterator[Row]:
    definition = ctx.evaluation.catalog.definition
    for table in ctx.catalog.objects(Table):
        schema = ctx.catalog.schema_name(table.schema)
        for index in table.indexes:
            yield (schema, table.name, index.name, None, definition("index", index.oid))


@catalog_view("pg_sequences")
def pg_sequences(ctx: ViewContext) -> Iterator[Row]:
    catalog, role = ctx.catalog, ctx.evaluation.current_role_oid
    for sequence in catalog.objects(Sequence):
        readable = any(has_privilege(catalog, role, sequence, x) for x in (USAGE, SELECT))
        yield (
            catalog.schema_name(sequence.schema), sequence.name,
            catalog.role_name(sequence.owner), sequence.type_oid, sequence.start,
            sequence.minimum, sequence.maximum, sequence.increment, sequence.cycle,
            sequence.cache,
            ctx.server.sequence_value(sequence.store_id) if readable else None,
        )  # fmt: skip
