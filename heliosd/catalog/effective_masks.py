"""Which columns are masked: by a mask of their own, or by what they were computed from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from heliosd.catalog.labels import MaskCall
from heliosd.catalog.objects import MaterializedView, Table

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog

FULL = MaskCall("full")


def masks_of(catalog: Catalog, table: Table) -> Mapping[int, MaskCall]:
    """Masks by attnum. A materialised view's column inherits `full` from masked sources."""
    if not isinstance(table, MaterializedView):
        return table.masks
    found = dict(table.masks)
    for column in table.live_columns:
        if column.attnum not in found and any(
            source.attnum in masks_of(catalog, base)
            for source in column.sources
            if (base := catalog.of_kind(Table, source.oid)) is not None
        ):
            found[column.attnum] = FULL
    return found
