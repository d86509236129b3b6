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


def rounded_rows(rows: int) -> int:
    """A table's size as those may know it who do not see all rows (S-21): a power of two."""
    return 1 << (rows - 1).bit_length() if rows > 1 else rows


def shown_rows(catalog: Catalog, role: int, table: Table, rows: int) -> int:
    """How many rows a table has, as far as `role` may know."""
    return rounded_rows(rows) if is_restricted(catalog, role, table) else rows
