"""A session's temporary schema: made at its first temporary object, gone with the session.

Its objects live in `Catalog.local` only: they have no rows in the catalog's tree, and no other
session sees them or has its plans touched by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from helios_storage.spec import TreeId
from heliosd.catalog.objects import Schema, Sequence, Table

if TYPE_CHECKING:
    from helios_storage.transaction import Transaction
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


def drop_temporary(catalog: Catalog, transaction: Transaction) -> bool:
    """The session ends: drop its trees (the caller commits). False: there was nothing to drop."""
    dropped = False
    for table in temporary_tables(catalog):
        for tree_id in table_trees(table):
            transaction.drop_tree(TreeId(tree_id))
            dropped = True
    return dropped


def forget_temporary(catalog: Catalog) -> tuple[int, ...]:
    """Forget the session's temporary objects; answers the storage ids of their sequences."""
    stores = [o.store_id for o in catalog.local.objects.values() if isinstance(o, Sequence)]
    stores.extend(t.row_sequence for t in temporary_tables(catalog) if t.row_sequence)
    for obj in list(catalog.local.objects.values()):
        if not isinstance(obj, Schema) and obj.oid in catalog.local.objects:
            catalog.local.remove(obj)
    return tuple(stores)


def table_trees(table: Table) -> Iterator[int]:
    """The ids of the trees that hold a table and its indexes."""
    yield table.tree_id
    for index in table.secondary_indexes:
        yield index.tree_id
