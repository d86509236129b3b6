"""Whom a table's row-level security concerns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliosd.catalog import acl
from heliosd.catalog.objects import Role, Table

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog


def is_restricted(catalog: Catalog, role: int, table: Table) -> bool:
    """Whether policies decide what `role` sees of the table.

    Not for superusers and roles with BYPASSRLS (which no membership passes on), nor for those with
    the owner's rights unless row security is forced.
    """
    if not table.row_security or acl.is_superuser(catalog, role):
        return False
    found = catalog.of_kind(Role, role)
    if found is not None and found.bypass_rls:
        return False
    return table.force_row_security or not acl.is_owner(catalog, role, table)
