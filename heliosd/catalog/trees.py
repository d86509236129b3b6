"""The one tree in which the catalog rests: oid -> (kind, encoded object), and where oids come from.

    key    the object's oid (an int tree)
    row    slot 0  t  kind, as in codec.KINDS
           slot 1  b  the encoded object

Temporary objects never reach it. Trees of tables and indexes get their ids from storage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from helios_storage.spec import TreeId, TreeSpec
from heliosd.catalog.codec import decode_object, encode_object
from heliosd.catalog.objects import CatalogObject

if TYPE_CHECKING:
    from helios_storage.storage import Storage
    from helios_storage.transaction import Transaction
    from heliosd.catalog.lookup import SharedCatalog

CATALOG_TREE: Final = TreeId(1)
CATALOG_SPEC: Final = TreeSpec(CATALOG_TREE, "int", "tb")

FIRST_OID: Final = 1
"""Keys below are not objects: they are the history (catalog/history.py)."""

OID_SEQUENCE: Final = 1
"""The storage sequence that counts oids; it outlives rollbacks, as PostgreSQL's counter does."""


def write_object(transaction: Transaction, obj: CatalogObject) -> None:
    """Put the object's row, new or in the place of its old one."""
    transaction.put(CATALOG_TREE, obj.oid, encode_object(obj))


def delete_object(transaction: Transaction, obj: CatalogObject) -> None:
    """Delete the object's row."""
    transaction.delete(CATALOG_TREE, obj.oid)


def load_objects(transaction: Transaction, shared: SharedCatalog) -> int:
    """Read all stored objects into `shared`; answers how many there were."""
    snapshot = transaction.snapshot()
    count = 0
    try:
        for _keys, rows in snapshot.batches(CATALOG_TREE, FIRST_OID):
            for kind, data in rows:
                shared.state.add(decode_object(kind, data, shared.next_version()))
                count += 1
    finally:
        snapshot.release()
    return count


def allocate_oid(storage: Storage) -> int:
    """An oid that nothing has had."""
    return storage.sequences.advance(OID_SEQUENCE)
