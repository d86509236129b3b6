"""ALTER FUNCTION | PROCEDURE | ROUTINE: RENAME TO, OWNER TO, SET SCHEMA."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from helios_storage.locks import TableLockMode
from heliosd.catalog import acl
from heliosd.catalog.acl_change import replace_role
from heliosd.catalog.objects import Role, Routine, Schema
from heliosd.catalog.state import name_key
from heliosd.errors import SqlError
from heliosd.execute.utility.names import (
    is_superuser,
    lock_object,
    require_new_owner,
    require_owner,
    require_privilege,
    resolve_role,
)
from heliosd.execute.utility.renamed_text import RenamedTexts
from heliosd.execute.utility.routine_names import require_routine

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.sql.tree.base import ObjectKind, ObjectRef, RoleSpec


def _owned(session: SessionServices, kind: ObjectKind, reference: ObjectRef) -> Routine:
    found = require_routine(session, kind, reference)
    require_owner(session, found)
    lock_object(session, found.oid, TableLockMode.ACCESS_EXCLUSIVE)
    return found


def _put(session: SessionServices, old: Routine, new: Routine, where: str = "") -> None:
    holder = session.catalog.by_name(name_key(new))
    if holder is not None and holder.oid != old.oid:
        types = (session.catalog.types.by_oid.get(oid) for oid in new.argument_types)
        shown = ", ".join("???" if t is None else t.display for t in types)
        raise SqlError("42723", f'function {new.name}({shown}) already exists in schema "{where}"')
    texts = RenamedTexts(session, old)
    session.catalog_edit().replace(old, new)
    texts.rewrite()


def rename_routine(
    session: SessionServices, kind: ObjectKind, reference: ObjectRef, new_name: str
) -> None:
    """RENAME TO; 42723 when the new name has these arguments already."""
    found = _owned(session, kind, reference)
    schema = session.catalog.of_kind(Schema, found.schema)
    if schema is not None:
        require_privilege(session, schema, acl.CREATE)
    _put(session, found, replace(found, name=new_name), session.catalog.schema_name(found.schema))


def move_routine(
    session: SessionServices, kind: ObjectKind, reference: ObjectRef, schema_name: str
) -> None:
    """SET SCHEMA."""
    found = _owned(session, kind, reference)
    schema = session.catalog.require_schema(schema_name)
    require_privilege(session, schema, acl.CREATE)
    if session.catalog.is_system(schema.oid):
        raise SqlError("42501", f"permission denied for schema {schema.name}")
    if schema.oid != found.schema:
        _put(session, found, replace(found, schema=schema.oid), schema.name)


def change_routine_owner(
    session: SessionServices, kind: ObjectKind, reference: ObjectRef, spec: RoleSpec
) -> None:
    """OWNER TO: the new owner must be allowed to create in the schema."""
    found = require_routine(session, kind, reference)
    owner = resolve_role(session, spec)
    if owner.oid == found.owner:
        # As in PostgreSQL, whoever says it: dumps do.
        return
    found = _owned(session, kind, reference)
    check_routine_owner(session, found, owner)
    changed = replace(found, owner=owner.oid, acl=replace_role(found.acl, found.owner, owner.oid))
    session.catalog_edit().replace(found, changed)


def check_routine_owner(session: SessionServices, found: Routine, owner: Role) -> None:
    """42501 unless the current role may become the new owner, and that may create there."""
    require_new_owner(session, found, owner)
    schema = session.catalog.of_kind(Schema, found.schema)
    if (
        schema is not None
        and not is_superuser(session)
        and not acl.has_privilege(session.catalog, owner.oid, schema, acl.CREATE)
    ):
        raise SqlError("42501", f"permission denied for schema {schema.name}")
