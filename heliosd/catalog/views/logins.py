"""pg_hba_file_rules, pg_ident_file_mappings: who may log in, as it is configured now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from heliosd.catalog.views.declare import Row, catalog_view

if TYPE_CHECKING:
    from heliosd.catalog.views.context import ViewContext


@catalog_view("pg_hba_file_rules")
def pg_hba_file_rules(ctx: ViewContext) -> Iterator[Row]:
    yield from ctx.server.host_rules()


@catalog_view("pg_ident_file_mappings")
def pg_ident_file_mappings(ctx: ViewContext) -> Iterator[Row]:
    yield from ctx.server.user_maps()
