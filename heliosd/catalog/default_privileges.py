"""What a new object's access list is: its kind's defaults, as ALTER DEFAULT PRIVILEGES changed
them for its owner, everywhere and in its schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliosd.catalog.acl import default_items
from heliosd.catalog.acl_change import grant, sorted_items
from heliosd.catalog.kinds import KINDS, kind_of
from heliosd.catalog.objects import Acl, CatalogObject, DefaultPrivileges
from heliosd.catalog.state import DEFAULT_PRIVILEGES

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog


def find_default_privileges(
    catalog: Catalog, owner: int, schema: int, code: str
) -> DefaultPrivileges | None:
    """The entry of a role for a kind (its `default_code`); schema 0: the one for everywhere."""
    key = (DEFAULT_PRIVILEGES, catalog.database.oid, f"{owner}:{schema}:{code}")
    found = catalog.by_name(key)
    return found if isinstance(found, DefaultPrivileges) else None


def initial_acl(catalog: Catalog, obj: CatalogObject) -> Acl:
    """The access list of an object about to be made; None: its kind's own defaults hold."""
    kind = kind_of(type(obj))
    code = KINDS[kind].default_code
    if not code:
        return None
    everywhere = find_default_privileges(catalog, obj.owner, 0, code)
    schema: int = getattr(obj, "schema", 0)
    there = find_default_privileges(catalog, obj.owner, schema, code) if schema else None
    if everywhere is None and there is None:
        return None
    usual = default_items(kind, obj.owner)
    items = usual if everywhere is None else everywhere.acl or ()
    if there is not None:
        for item in there.acl or ():
            items = grant(catalog, items, obj.owner, item)
    items = sorted_items(items)
    return None if items == sorted_items(usual) else items
