"""Upkeep of another's table: whose code runs then (S-16, CVE-2020-25695, CVE-2022-1552).

An index's expressions, a constraint's checks and a table's rewriting call the functions that its
owner put there. They run as the owner, who could run them anyway, with nothing but pg_catalog in
the search_path and no way to become somebody else: never with the rights of whoever said REINDEX.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from heliosd.catalog.objects import Role
from heliosd.errors import SqlError
from heliosd.execute.utility.names import current_role_oid

if TYPE_CHECKING:
    from heliosd.catalog.objects import Relation
    from heliosd.execute.context import SessionServices

_SAFE_PATH: Final = (("search_path", "pg_catalog, pg_temp"),)


@contextmanager
def as_owner_of(session: SessionServices, relation: Relation) -> Iterator[None]:
    """Act as the relation's owner, by whose search_path only the owner itself goes on."""
    owner = session.catalog.of_kind(Role, relation.owner)
    if owner is None:
        raise SqlError("42704", f"the owner of relation {relation.name} does not exist")
    path = () if relation.owner == current_role_oid(session) else _SAFE_PATH
    with session.acting_as(owner, path, restricted=True):
        yield
