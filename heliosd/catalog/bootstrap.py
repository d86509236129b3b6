"""What a fresh data directory holds: the superuser, the databases, their schemas.

`create` runs once, in one transaction, before the first client; `open_catalog` on each start.
`system_objects` are those that are never stored: pg_catalog, information_schema and their views.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from heliosd.catalog.acl import CREATE, USAGE
from heliosd.catalog.history import HistoryClock, newest_us, write_history
from heliosd.catalog.lookup import SharedCatalog
from heliosd.catalog.objects import (
    BOOTSTRAP_ROLE_OID,
    FIRST_USER_OID,
    HELIOS_MASK_ADMIN_OID,
    INFORMATION_SCHEMA_OID,
    PG_CATALOG_OID,
    PG_DATABASE_OWNER_OID,
    PUBLIC_OID,
    PUBLIC_ROLE,
    AclItem,
    CatalogObject,
    Database,
    Membership,
    Role,
    Schema,
)
from heliosd.catalog.trees import (
    CATALOG_SPEC,
    OID_SEQUENCE,
    allocate_oid,
    load_objects,
    write_object,
)

if TYPE_CHECKING:
    from helios_storage.storage import Storage
    from helios_storage.transaction import Transaction
    from heliosd.types.registry import TypeRegistry

TEMPLATE1_OID: Final = 1
TEMPLATE0_OID: Final = 4
POSTGRES_OID: Final = 5

PREDEFINED_ROLES: Final = (
    (PG_DATABASE_OWNER_OID, "pg_database_owner"),
    (6181, "pg_read_all_data"),
    (6182, "pg_write_all_data"),
    (3373, "pg_monitor"),
    (3374, "pg_read_all_settings"),
    (3375, "pg_read_all_stats"),
    (3377, "pg_stat_scan_tables"),
    (4569, "pg_read_server_files"),
    (4570, "pg_write_server_files"),
    (4571, "pg_execute_server_program"),
    (4200, "pg_signal_backend"),
    (4544, "pg_checkpoint"),
    (HELIOS_MASK_ADMIN_OID, "helios_mask_admin"),
)


PG_MONITOR_IS: Final = (3374, 3375, 3377)
"""pg_monitor reads all settings and statistics."""


def system_objects(views: Iterable[CatalogObject]) -> Iterator[CatalogObject]:
    """The objects of every database: system schemas, system views, predefined roles."""
    everyone = (AclItem(BOOTSTRAP_ROLE_OID, BOOTSTRAP_ROLE_OID, USAGE + CREATE, ""),)
    public = AclItem(PUBLIC_ROLE, BOOTSTRAP_ROLE_OID, USAGE)
    yield Schema(
        oid=PG_CATALOG_OID,
        name="pg_catalog",
        acl=(*everyone, public),
        comment="system catalog schema",
    )
    yield Schema(oid=INFORMATION_SCHEMA_OID, name="information_schema", acl=(*everyone, public))
    for oid, name in PREDEFINED_ROLES:
        memberships = PG_MONITOR_IS if name == "pg_monitor" else ()
        yield Role(
            oid=oid,
            name=name,
            member_of=tuple(Membership(role=r, grantor=BOOTSTRAP_ROLE_OID) for r in memberships),
        )
    yield from views


def create(
    transaction: Transaction,
    storage: Storage,
    superuser: str,
    verifier: str | None,
) -> None:
    """Write the first objects into an empty data directory; the caller commits.

    The databases are template1, template0, postgres, and one named like the superuser.
    """
    first = storage.allocate_tree_id()
    assert first == CATALOG_SPEC.tree_id, "the catalog is a store's first tree"
    transaction.create_tree(CATALOG_SPEC)
    storage.sequences.set(OID_SEQUENCE, FIRST_USER_OID)
    objects = tuple(first_objects(storage, superuser, verifier))
    for obj in objects:
        write_object(transaction, obj)
    write_history(transaction, [(None, obj) for obj in objects], HistoryClock().next_us())


def first_objects(
    storage: Storage, superuser: str, verifier: str | None
) -> Iterator[CatalogObject]:
    """The objects of a fresh data directory."""
    yield Role(
        oid=BOOTSTRAP_ROLE_OID,
        name=superuser,
        superuser=True,
        inherit=True,
        create_role=True,
        create_db=True,
        login=True,
        replication=True,
        bypass_rls=True,
        verifier=verifier,
    )
    closed = (
        AclItem(PUBLIC_ROLE, BOOTSTRAP_ROLE_OID, "c"),
        AclItem(BOOTSTRAP_ROLE_OID, BOOTSTRAP_ROLE_OID, "CTc"),
    )
    databases = [
        Database(
            oid=TEMPLATE1_OID,
            name="template1",
            is_template=True,
            acl=closed,
            comment="default template for new databases",
        ),
        Database(
            oid=TEMPLATE0_OID,
            name="template0",
            is_template=True,
            allows_connections=False,
            acl=closed,
            comment="unmodifiable empty database",
        ),
        Database(
            oid=POSTGRES_OID,
            name="postgres",
            comment="default administrative connection database",
        ),
    ]
    if superuser not in {database.name for database in databases}:
        databases.append(Database(oid=allocate_oid(storage), name=superuser))
    for database in databases:
        yield database
        oid = PUBLIC_OID if database.oid == POSTGRES_OID else allocate_oid(storage)
        yield public_schema(oid, database.oid)


def public_schema(oid: int, database: int) -> Schema:
    """Schema `public` as PostgreSQL 15 makes it: everybody may use it, the owner may create."""
    return Schema(
        oid=oid,
        name="public",
        owner=PG_DATABASE_OWNER_OID,
        database=database,
        acl=(
            AclItem(PG_DATABASE_OWNER_OID, PG_DATABASE_OWNER_OID, USAGE + CREATE),
            AclItem(PUBLIC_ROLE, PG_DATABASE_OWNER_OID, USAGE),
        ),
        comment="standard public schema",
    )


def open_catalog(
    transaction: Transaction, types: TypeRegistry, views: Iterable[CatalogObject]
) -> SharedCatalog:
    """The committed catalog of an existing data directory, read in full."""
    shared = SharedCatalog(types, system_objects(views))
    load_objects(transaction, shared)
    shared.history_clock.last_us = newest_us(transaction)
    return shared
