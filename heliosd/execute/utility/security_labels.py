"""SECURITY LABEL, and ALTER COLUMN ADD MASKED and DROP MASKED, which are the same act.

Owners put a mask on a column that has none. To take one off, or to put another in its place, takes
membership in `helios_mask_admin`: neither owning the table nor being superuser is enough.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from helios_storage.locks import TableLockMode
from heliosd.catalog import acl
from heliosd.catalog.labels import PROVIDER, MaskCall, mask_of, parse_call, parse_label, with_mask
from heliosd.catalog.objects import (
    HELIOS_MASK_ADMIN_OID,
    CatalogObject,
    Column,
    ColumnedRelation,
    Relation,
    Role,
    Sequence,
    SystemView,
    Table,
    View,
)
from heliosd.errors import SqlError, not_supported
from heliosd.execute.utility.names import (
    current_role_oid,
    find_relation,
    is_superuser,
    lock_object,
    missing_relation,
    require_owner,
    require_relation_owner,
)
from heliosd.execute.utility.registry import runs
from heliosd.execute.utility.security_events import tell_mask
from heliosd.security.mask_functions import is_made_by_user
from heliosd.security.masks import check_call
from heliosd.sql.tree import table as tree
from heliosd.sql.tree.base import ObjectKind, ObjectRef, QualifiedName
from heliosd.sql.tree.define import SecurityLabel

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

_RELATIONS: Final[dict[ObjectKind, type[Relation]]] = {
    ObjectKind.TABLE: Table,
    ObjectKind.VIEW: View,
    ObjectKind.SEQUENCE: Sequence,
}


@runs(SecurityLabel, tag="SECURITY LABEL", writes=True, audit="mask")
def security_label(statement: SecurityLabel, session: SessionServices) -> None:
    """SECURITY LABEL [FOR heliosd] ON kind object IS 'label' | NULL."""
    if statement.provider not in (None, PROVIDER):
        raise SqlError("22023", f'security label provider "{statement.provider}" is not loaded')
    label = None if statement.label is None else str(parse_label(statement.label))
    reference = statement.object
    if statement.kind is ObjectKind.COLUMN:
        _label_column(session, reference, label)
        return
    if mask_of(label) is not None:
        raise SqlError("42809", "only columns can be masked")
    match statement.kind:
        case ObjectKind.TABLE | ObjectKind.VIEW | ObjectKind.SEQUENCE:
            _put(session, _relation(session, statement.kind, reference), label)
        case ObjectKind.SCHEMA:
            schema = session.catalog.require_schema(reference.name)
            require_owner(session, schema)
            _put(session, schema, label)
        case ObjectKind.DATABASE:
            database = session.catalog.database_named(reference.name)
            if database is None:
                raise SqlError("3D000", f'database "{reference.name}" does not exist')
            require_owner(session, database)
            _put(session, database, label)
        case ObjectKind.ROLE:
            _put(session, _role(session, reference), label)
        case _:
            raise not_supported(f"SECURITY LABEL ON {statement.kind.value.upper()}")


def _put(session: SessionServices, obj: CatalogObject, label: str | None) -> None:
    lock_object(session, obj.oid, TableLockMode.SHARE_UPDATE_EXCLUSIVE)
    current = session.catalog.by_oid(obj.oid)
    assert current is not None
    session.catalog_edit().replace(current, replace(current, label=label))


def _relation(session: SessionServices, kind: ObjectKind, reference: ObjectRef) -> Relation:
    name = QualifiedName(reference.position, reference.parts)
    found = find_relation(session, name)
    if found is None:
        raise missing_relation(session, name)
    if not isinstance(found, SystemView | _RELATIONS[kind]):
        raise SqlError("42809", f'"{found.name}" is not a {kind.value}')
    require_relation_owner(session, found)
    return found


def _role(session: SessionServices, reference: ObjectRef) -> Role:
    name = reference.role.name if reference.role is not None else reference.name
    role = session.catalog.require_role(name)
    me = session.catalog.of_kind(Role, current_role_oid(session))
    if not is_superuser(session) and (me is None or not me.create_role or role.superuser):
        raise SqlError("42501", "must have CREATEROLE privilege")
    return role


def _label_column(session: SessionServices, reference: ObjectRef, label: str | None) -> None:
    parts = reference.relation.parts if reference.relation is not None else reference.parts[:-1]
    name = QualifiedName(reference.position, parts)
    found = find_relation(session, name)
    if found is None:
        raise missing_relation(session, name)
    if not isinstance(found, ColumnedRelation):
        raise SqlError(
            "42809", f'"{found.name}" is not a table, view, composite type, or foreign table'
        )
    require_relation_owner(session, found)
    lock_object(session, found.oid, TableLockMode.ACCESS_EXCLUSIVE)
    change_label(session, found.oid, reference.name, label)


def set_mask(session: SessionServices, oid: int, command: tree.SetColumnMask) -> None:
    """ALTER TABLE ... ALTER COLUMN name ADD MASKED WITH (FUNCTION = 'call') | DROP MASKED."""
    table = session.catalog.table(oid)
    column = table.column_by_name.get(command.name)
    if column is None:
        raise _no_column(command.name, table)
    call = None if command.function is None else parse_call(command.function)
    if call is None and column.mask is None:
        raise SqlError("42704", f'column "{column.name}" of relation "{table.name}" is not masked')
    change_label(session, oid, command.name, with_mask(column.label, call))


def change_label(session: SessionServices, oid: int, name: str, label: str | None) -> None:
    """Give a column another label; its relation is locked. Checks what a change of mask takes."""
    relation = session.catalog.by_oid(oid)
    assert isinstance(relation, ColumnedRelation)
    column = relation.column_by_name.get(name)
    if column is None:
        raise _no_column(name, relation)
    new = mask_of(label)
    if new != column.mask:
        if column.mask is not None:
            require_mask_admin(session, column.name, relation)
        if new is not None:
            check_mask(session, relation, column, new)
        tell_mask(session, relation, column.name, new)
    columns = tuple(
        replace(c, label=label) if c.attnum == column.attnum else c for c in relation.columns
    )
    session.catalog_edit().replace(relation, replace(relation, columns=columns))


def check_mask(
    session: SessionServices, relation: ColumnedRelation, column: Column, call: MaskCall
) -> None:
    """Whether the column can have this mask: 42809, 42P16, 22023, 42804, 42883, 55000."""
    if not isinstance(relation, Table):
        raise SqlError(
            "42809",
            f'"{relation.name}" is not a table',
            detail="Masks are on tables' columns; views show them.",
        )
    if column.attnum in relation.primary_key:
        raise masked_primary_key(column.name)
    if is_made_by_user(call):
        require_mask_admin(session, column.name, relation)
    check_call(session.catalog, relation, column, call)


def masked_primary_key(column: str) -> SqlError:
    """42P16."""
    return SqlError(
        "42P16",
        f'column "{column}" cannot be masked and in a primary key',
        detail="The order of the rows would tell its values.",
    )


def require_mask_admin(session: SessionServices, column: str, relation: CatalogObject) -> None:
    """42501 unless the current role is a member of helios_mask_admin, superusers not exempt."""
    roles = acl.roles_of(session.catalog, current_role_oid(session))
    if HELIOS_MASK_ADMIN_OID not in roles:
        raise SqlError(
            "42501",
            f'permission denied to change the mask of column "{column}" '
            f'of relation "{relation.name}"',
            hint="It takes membership in the role helios_mask_admin.",
        )


def _no_column(name: str, relation: CatalogObject) -> SqlError:
    return SqlError("42703", f'column "{name}" of relation "{relation.name}" does not exist')
