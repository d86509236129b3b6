"""A session's temporary schema: made at its first temporary object, gone with the session.

Its objects live in `Catalog.local` only: they have no rows in the catalog's tree, and no other
session sees them or has its plans touched by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from heliosd.catalog.objects import Schema, Table

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog


def ensure_temporary_schema(
    catalog: Catalog, session_number: int, new_oid: Callable[[], int]
) -> Schema:
    """The session's schema pg_temp_N. Outside of transactions: an empty one harms nobody."""
    found = catalog.schema("pg_temp")
    if found is not None:
        return found
    schema = Schema(
        oid=new_oid(),
        name=f"pg_temp_{session_number}",
        database=catalog.database.oid,
        version=catalog.shared.next_version(),
    )
    catalog.temporary_schema = schema.oid
    catalog.local.add(schema)
    return schema


def temporary_tables(catalog: Catalog) -> Iterator[Table]:
    """The session's temporary tables."""
    for obj in list(catalog.local.objects.values()):
        if isinstance(obj, Table):
            yield obj
