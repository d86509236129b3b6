"""pg_hba_file_rules: the host-based rules as they are configured now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from heliosd.catalog.views.declare import Row, catalog_view

if TYPE_CHECKING:
    from heliosd.catalog.views.context import ViewContext


@catalog_view("pg_hba_file_rules")
def pg_hba_file_rules(ctx: ViewContext) -> Iterator[Row]:
    yield from ctx.server.host_rules()
