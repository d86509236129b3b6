"""Which privileges a program needs, and whether the role holds them: 42501 in PostgreSQL's words.

The binder notes what a statement needs (`sql.bound.Privilege`), views' owners included; this module
decides. It runs when a program is made: a later GRANT or REVOKE gives the object another version,
and a change of a role, a membership, a schema, a database or of what is built in moves the
catalog's `roles_generation`, so programs become stale and are decided again (S-14). Running a
program that is not stale costs nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from heliosd.catalog import acl
from heliosd.catalog.built_in_acl import built_in_items
from heliosd.catalog.objects import CatalogObject, ColumnedRelation
from heliosd.errors import INSUFFICIENT_PRIVILEGE, SqlError

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog
    from heliosd.sql.bound import Privilege


def check_privileges(catalog: Catalog, role: int, privileges: Iterable[Privilege]) -> None:
    """Raise 42501 for the first privilege that is not held."""
    for privilege in privileges:
        if not holds(catalog, privilege.as_role or role, privilege):
            found = catalog.by_oid(privilege.oid)
            words = privilege.object_kind if found is None else acl.kind_words(found)
            raise SqlError(
                INSUFFICIENT_PRIVILEGE, f"permission denied for {words} {privilege.name}"
            )


def holds(catalog: Catalog, role: int, privilege: Privilege) -> bool:
    """Whether the role holds one privilege, on the object or on every column it names."""
    found = catalog.by_oid(privilege.oid)
    letter = acl.PRIVILEGE_NAMES[privilege.kind]
    if found is None:
        return _holds_built_in(catalog, role, privilege, letter)
    if acl.has_privilege(catalog, role, found, letter):
        return True
    return _holds_columns(catalog, role, found, privilege.columns, letter)


def _holds_built_in(catalog: Catalog, role: int, privilege: Privilege, letter: str) -> bool:
    """Built-in functions and types are everybody's, unless initdb or a REVOKE closed them."""
    if privilege.object_kind not in ("function", "type", "language"):
        # What was there when the statement was bound has gone: nobody holds anything on it.
        return False
    if acl.is_superuser(catalog, role):
        return True
    items = built_in_items(catalog, privilege.object_kind, privilege.oid)
    return letter in acl.held_privileges(items, acl.roles_of(catalog, role))


def _holds_columns(
    catalog: Catalog,
    role: int,
    found: CatalogObject,
    columns: tuple[int, ...] | None,
    letter: str,
) -> bool:
    """None: only the table's own privilege counts; (): any column's will do."""
    if columns is None or not isinstance(found, ColumnedRelation):
        return False
    if not columns:
        return any(
            acl.has_column_privilege(catalog, role, found, column, letter)
            for column in found.columns
            if not column.dropped
        )
    return all(
        number >= 0
        and acl.has_column_privilege(catalog, role, found, found.columns[number], letter)
        for number in columns
    )
