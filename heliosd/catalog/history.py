"""The history of who may do what: versions of the catalog's objects, with their commit's time.

It rests in the catalog's own tree, below the objects, and is written by the same commit:

    key    -(time << 10 | number): the time of the commit in microseconds since 2000-01-01 UTC,
           the number of the change in it; so the newest version comes first
    row    slot 0  t  kind, as in codec.KINDS; "" for an object that was dropped
           slot 1  b  the encoded object, or {"oid": n} of the one dropped

A version holds only what privileges, policies and masks depend on: never a verifier, a default or
a constraint. Temporary objects have none. Times never repeat and never run backwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from time import time_ns
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog.codec import decode_object, encode_object
from heliosd.catalog.objects import (
    BuiltInAcl,
    CatalogObject,
    Column,
    Database,
    MaterializedView,
    Relation,
    Role,
    Schema,
    Table,
    View,
)
from heliosd.catalog.objects import Sequence as SequenceObject
from heliosd.catalog.trees import CATALOG_TREE
from heliosd.types.calendar import UNIX_EPOCH_US

if TYPE_CHECKING:
    from helios_storage.snapshot import Snapshot
    from helios_storage.transaction import Transaction

Change = tuple[CatalogObject | None, CatalogObject | None]
"""(before, after): None for what was not there."""

_NUMBER_BITS: Final = 10
# An object's first field, so that a version that is not the wanted one need not be decoded.
_OID: Final = re.compile(rb'\{"oid":(\d+)')
_OLDEST: Final = -(1 << 62)

_ALWAYS: Final = ("oid", "name", "owner", "acl", "database", "label")
_RELATION: Final = (*_ALWAYS, "schema", "persistence", "columns")
_KEPT: Final[dict[type, tuple[str, ...]]] = {
    Role: (
        *_ALWAYS, "superuser", "inherit", "create_role", "create_db", "login", "replication",
        "bypass_rls", "valid_until", "member_of",
    ),
    Schema: _ALWAYS,
    Database: _ALWAYS,
    Table: (*_RELATION, "row_security", "force_row_security", "policies"),
    MaterializedView: (*_RELATION, "row_security", "force_row_security", "policies"),
    View: (*_RELATION, "query", "security_barrier", "security_invoker"),
    SequenceObject: _RELATION,
    BuiltInAcl: tuple(field.name for field in fields(BuiltInAcl) if field.name != "version"),
}  # fmt: skip
_COLUMN: Final = (
    "attnum", "name", "type_oid", "typmod", "dropped", "acl", "label", "generated",
    "default_references", "sources",
)  # fmt: skip
_REQUIRED: Final[dict[type, dict[str, Any]]] = {
    Table: {"tree_id": 0, "key_kind": "row"},
    MaterializedView: {"tree_id": 0, "key_kind": "row", "query": ""},
    SequenceObject: {"store_id": 0},
}


class HistoryClock:
    """Times for commits that change who may do what."""

    __slots__ = ("last_us",)

    def __init__(self) -> None:
        self.last_us = 0

    def next_us(self, count: int = 1) -> int:
        """Now, or just after the last time given. `count` changes will bear it."""
        now = max(time_ns() // 1000 + UNIX_EPOCH_US, self.last_us + 1)
        self.last_us = now + (count >> _NUMBER_BITS)
        return now


def security_form(obj: CatalogObject | None) -> CatalogObject | None:
    """What the history keeps of an object; None of those that it does not follow."""
    if obj is None or (isinstance(obj, Relation) and obj.persistence == "t"):
        return None
    cls = type(obj)
    names = _KEPT.get(cls)
    if names is None:
        return None
    present = {field.name for field in fields(cls)}
    kept = {name: getattr(obj, name) for name in names if name in present}
    if "columns" in kept:
        kept["columns"] = tuple(
            Column(**{name: getattr(column, name) for name in _COLUMN})
            for column in kept["columns"]
        )
    return cls(**kept, **_REQUIRED.get(cls, {}))


def security_changes(log: Iterable[Change]) -> list[Change]:
    """A transaction's net changes, in the form that is kept; those that change nothing left out."""
    first: dict[int, CatalogObject | None] = {}
    last: dict[int, CatalogObject | None] = {}
    for before, after in log:
        oid = (before or after).oid  # type: ignore[union-attr]  # one of them is there
        first.setdefault(oid, before)
        last[oid] = after
    found: list[Change] = []
    for oid, before in first.items():
        old, new = security_form(before), security_form(last[oid])
        if old != new:
            found.append((old, new))
    return found


def write_history(transaction: Transaction, changes: Sequence[Change], at_us: int) -> None:
    """Write the new versions under the time of the commit that is about to be."""
    for number, (before, after) in enumerate(changes):
        kept = security_form(after)
        if kept is not None:
            row = encode_object(kept)
        elif before is not None:
            row = ("", b'{"oid":%d}' % before.oid)
        else:
            continue
        transaction.put(CATALOG_TREE, -((at_us << _NUMBER_BITS) + number), row)


def newest_us(transaction: Transaction) -> int:
    """The time of the newest version; 0 when there is none."""
    snapshot = transaction.snapshot()
    try:
        for keys, _rows in snapshot.batches(CATALOG_TREE, _OLDEST, 0, with_keys=True):
            assert keys is not None
            return -int(keys[0]) >> _NUMBER_BITS
    finally:
        snapshot.release()
    return 0


def objects_at(snapshot: Snapshot, at_us: int) -> Iterator[CatalogObject]:
    """Every object that the history follows, as it was at a time."""
    seen: set[int] = set()
    low = -(((at_us + 1) << _NUMBER_BITS) - 1)
    for _keys, rows in snapshot.batches(CATALOG_TREE, low, 0):
        for kind, data in rows:
            found = _OID.match(data)
            assert found is not None
            oid = int(found[1])
            if oid in seen:
                continue
            seen.add(oid)
            if kind:
                yield decode_object(kind, data, 0)
