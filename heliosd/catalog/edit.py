"""Changes to the catalog inside a transaction.

Every change goes to two places at once: the catalog's tree (through the storage transaction, so
that it is durable, rolled back and replayed like any row) and the session's overlay (so that this
session sees it). `publish`, handed to the storage transaction's commit, moves the overlay into the
committed state; nobody else sees anything before. Temporary objects have no row.

Order for whoever changes an existing object: lock it, look it up again, replace it. The lock modes
used for changes all exclude each other, so no replacement is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from helios_storage.locks import TableLockMode
from heliosd.catalog.default_privileges import initial_acl
from heliosd.catalog.history import security_changes, write_history
from heliosd.catalog.lookup import Catalog, Overlay
from heliosd.catalog.objects import (
    CatalogObject,
    Database,
    IndexRelation,
    Relation,
    Role,
    Routine,
    Schema,
    Statistics,
    TypeObject,
)
from heliosd.catalog.state import RELATION, NameKey, name_key
from heliosd.catalog.trees import delete_object, write_object
from heliosd.errors import SqlError

if TYPE_CHECKING:
    from helios_storage.transaction import Transaction

T = TypeVar("T", bound=CatalogObject)


def name_lock(key: NameKey) -> tuple[str, str, int, str]:
    """The object id under which a name is locked while somebody gives it to an object."""
    return ("name", *key)


class CatalogEdit:
    """One transaction's changes to the catalog. Made by the session at the first DDL."""

    __slots__ = ("_new_oid", "catalog", "overlay", "transaction")

    def __init__(
        self, catalog: Catalog, transaction: Transaction, new_oid: Callable[[], int]
    ) -> None:
        assert catalog.overlay is None
        self.catalog = catalog
        self.transaction = transaction
        self.overlay = catalog.overlay = Overlay()
        self._new_oid = new_oid

    # -- life cycle, driven by the session ---------------------------------------------------

    def mark(self) -> int:
        """Where a savepoint starts."""
        return len(self.overlay.log)

    def rollback_to(self, mark: int) -> None:
        """Undo what came after `mark`; the storage transaction undoes the rows itself."""
        self.overlay.undo_to(mark)

    def note_history(self) -> None:
        """About to commit: what changed of who may do what goes into the history, with the time."""
        changes = security_changes(self.overlay.log)
        if changes:
            write_history(self.transaction, changes, self.catalog.shared.history_clock.next_us())

    def publish(self) -> None:
        """The storage transaction's commit is published: now everybody sees the changes."""
        shared, local = self.catalog.shared.state, self.catalog.local
        for before, after in self.overlay.log:
            if after is not None:
                (local if self._is_local(after) else shared).add(after)
            elif before is not None:
                (local if self._is_local(before) else shared).remove(before)
        self.catalog.overlay = None

    def abandon(self) -> None:
        """The transaction was rolled back."""
        self.catalog.overlay = None

    # -- changes -----------------------------------------------------------------------------

    def new_oid(self) -> int:
        return self._new_oid()

    def create(self, obj: T) -> T:
        """Add an object under a name that must be free: 42P07, 42710, 42P06, 42P04 otherwise."""
        self.claim_name(obj)
        if obj.acl is None:
            # Every object of every kind passes here, so no kind can forget its owner's defaults.
            obj = replace(obj, acl=initial_acl(self.catalog, obj))
        obj = replace(obj, version=self.catalog.shared.next_version())
        self._record(None, obj)
        return obj

    def replace(self, old: CatalogObject, new: T) -> T:
        """Put `new` in the place of `old` (same oid); plans that used `old` become stale."""
        assert old.oid == new.oid
        assert self.catalog.by_oid(old.oid) is old, f"{old.name} was changed meanwhile"
        if name_key(old) != name_key(new):
            self.claim_name(new)
        new = replace(new, version=self.catalog.shared.next_version())
        self._record(old, new)
        return new

    def drop(self, obj: CatalogObject) -> None:
        """Take the object out. What depends on it is the caller's business (dependencies.py)."""
        assert not isinstance(obj, IndexRelation), "an index rests in its table"
        self._record(obj, None)

    def claim_name(self, obj: CatalogObject) -> None:
        """Lock the object's name against others and make sure that it is free."""
        self.claim(name_key(obj), obj)

    def claim_relation_name(self, schema: int, name: str) -> None:
        """The same for a name that an index is about to get."""
        self.claim((RELATION, schema, name), None)

    def claim(self, key: NameKey, obj: CatalogObject | None) -> None:
        self.transaction.lock_object(name_lock(key), TableLockMode.EXCLUSIVE)
        holder = self.catalog.by_name(key)
        if holder is not None and (obj is None or holder.oid != obj.oid):
            raise name_taken(holder)

    # -- where a change goes -----------------------------------------------------------------

    def _is_local(self, obj: CatalogObject) -> bool:
        if isinstance(obj, Relation):
            return obj.persistence == "t"
        if isinstance(obj, Statistics):
            return obj.temporary
        if isinstance(obj, TypeObject):
            return obj.schema != 0 and obj.schema == self.catalog.temporary_schema
        return isinstance(obj, Schema) and obj.oid == self.catalog.temporary_schema

    def _record(self, before: CatalogObject | None, after: CatalogObject | None) -> None:
        if after is not None:
            if not self._is_local(after):
                write_object(self.transaction, after)
        elif before is not None and not self._is_local(before):
            delete_object(self.transaction, before)
        self.overlay.change(before, after)


def name_taken(holder: CatalogObject) -> SqlError:
    """PostgreSQL's error for a second object of one name."""
    match holder:
        case Relation():
            return SqlError("42P07", f'relation "{holder.name}" already exists')
        case Schema():
            return SqlError("42P06", f'schema "{holder.name}" already exists')
        case Database():
            return SqlError("42P04", f'database "{holder.name}" already exists')
        case Role():
            return SqlError("42710", f'role "{holder.name}" already exists')
        case Routine():
            return SqlError(
                "42723", f'function "{holder.name}" already exists with same argument types'
            )
        case TypeObject():
            return SqlError("42710", f'type "{holder.name}" already exists')
    return SqlError("42710", f'"{holder.name}" already exists')
