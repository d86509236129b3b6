"""What roles own: REASSIGN OWNED, DROP OWNED, and why a role cannot be dropped yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from heliosd.catalog import acl
from heliosd.catalog.acl_change import is_named, replace_role
from heliosd.catalog.dependencies import Part, describe, describe_object
from heliosd.catalog.kinds import KINDS, kind_of
from heliosd.catalog.objects import (
    BuiltInAcl,
    CatalogObject,
    ColumnedRelation,
    Database,
    DefaultPrivileges,
    IndexRelation,
    Policy,
    Relation,
    Role,
    Routine,
    Schema,
    SystemView,
    Table,
)
from heliosd.catalog.objects import Sequence as SequenceObject
from heliosd.errors import SqlError
from heliosd.execute.utility.alter_relations import give_to
from heliosd.execute.utility.default_privileges import revoke_default
from heliosd.execute.utility.drop import drop_parts
from heliosd.execute.utility.grantable import built_in, of_object
from heliosd.execute.utility.grants import revoke_from
from heliosd.execute.utility.names import (
    current_role_oid,
    require_new_owner,
    require_owner,
    require_privilege,
    resolve_role,
)
from heliosd.execute.utility.policies import forget_role
from heliosd.execute.utility.registry import runs
from heliosd.execute.utility.routine_changes import check_routine_owner
from heliosd.sql.tree.base import DropBehavior, RoleSpec
from heliosd.sql.tree.define import DropOwned, ReassignOwned

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices


def owned_objects(session: SessionServices, role: int) -> Iterator[CatalogObject]:
    """What a role owns in this database, by oid; databases are shared, so not among it."""
    for obj in sorted(session.catalog.objects(CatalogObject), key=lambda each: each.oid):
        if isinstance(obj, Database | SystemView | IndexRelation | Role):
            continue
        if obj.owner == role and KINDS[kind_of(type(obj))].owned:
            yield obj


def _roles(session: SessionServices, specs: Sequence[RoleSpec], command: str) -> list[Role]:
    """The roles, all of whose privileges the current role must have."""
    roles = [resolve_role(session, spec) for spec in specs]
    for role in roles:
        if not acl.has_privileges_of(session.catalog, current_role_oid(session), role.oid):
            raise SqlError("42501", f"permission denied to {command} objects")
    for role in roles:
        if role.oid < _FIRST_ROLE:
            raise SqlError(
                "2BP01",
                f"cannot {command} objects owned by role {role.name} because they are required "
                "by the database system",
            )
    return roles


_FIRST_ROLE = 16384


@runs(ReassignOwned, tag="REASSIGN OWNED", writes=True, audit="role")
def reassign_owned(statement: ReassignOwned, session: SessionServices) -> None:
    """REASSIGN OWNED BY roles TO role: everything in this database, and databases."""
    roles = [resolve_role(session, spec) for spec in statement.roles]
    for role in roles:
        if not acl.has_privileges_of(session.catalog, current_role_oid(session), role.oid):
            raise SqlError("42501", "permission denied to reassign objects")
    new = resolve_role(session, statement.new_role)
    if not acl.has_privileges_of(session.catalog, current_role_oid(session), new.oid):
        raise SqlError("42501", "permission denied to reassign objects")
    for role in roles:
        if role.oid < _FIRST_ROLE:
            raise SqlError(
                "2BP01",
                f"cannot reassign ownership of objects owned by role {role.name} because they are "
                "required by the database system",
            )
        if role.oid == new.oid:
            continue
        for obj in list(owned_objects(session, role.oid)):
            current = session.catalog.by_oid(obj.oid)
            # Default privileges stay their role's, as in PostgreSQL.
            if current is None or isinstance(current, DefaultPrivileges):
                continue
            if current.owner == role.oid:
                _check_reassign(session, current, new)
                change_owner(session, current, new)
        for database in list(session.catalog.objects(Database)):
            if database.owner == role.oid:
                change_owner(session, database, new)


def _check_reassign(session: SessionServices, obj: CatalogObject, owner: Role) -> None:
    """Routines and schemas are given as by ALTER ... OWNER, with its checks; relations and types
    need nothing more, as in PostgreSQL."""
    if isinstance(obj, Routine):
        require_owner(session, obj)
        check_routine_owner(session, obj, owner)
    elif isinstance(obj, Schema):
        require_owner(session, obj)
        require_new_owner(session, obj, owner)
        require_privilege(session, session.catalog.database, acl.CREATE)


def change_owner(session: SessionServices, obj: CatalogObject, owner: Role) -> None:
    """Give one object to a role, with what belongs to it; no rights are checked here."""
    if isinstance(obj, Relation):
        give_to(session, obj, owner)
        return
    items = replace_role(obj.acl, obj.owner, owner.oid)
    session.catalog_edit().replace(obj, replace(obj, owner=owner.oid, acl=items))


@runs(DropOwned, tag="DROP OWNED", writes=True, audit="role")
def drop_owned(statement: DropOwned, session: SessionServices) -> None:
    """DROP OWNED BY roles: their objects in this database, and what was granted to them."""
    roles = _roles(session, statement.roles, "drop")
    for role in roles:
        for obj in list(session.catalog.objects(CatalogObject)):
            _revoke(session, obj, role.oid)
        for table in list(session.catalog.objects(Table)):
            if any(role.oid in policy.roles for policy in table.policies):
                forget_role(session, table, role.oid)
    roots = []
    edit = session.catalog_edit()
    for role in roles:
        for obj in list(owned_objects(session, role.oid)):
            if isinstance(obj, DefaultPrivileges):
                edit.drop(obj)
            elif not _is_part(obj):
                roots.append(Part("object", obj.oid))
    if roots:
        drop_parts(session, roots, cascade=statement.behavior is DropBehavior.CASCADE)


def _is_part(obj: CatalogObject) -> bool:
    """An identity column's sequence goes with its column."""
    return isinstance(obj, SequenceObject) and obj.internal


def _revoke(session: SessionServices, obj: CatalogObject, role: int) -> None:
    """Take from a role what it was granted on one object."""
    if not names_role(obj, role) or obj.owner == role or isinstance(obj, Role):
        return
    match obj:
        case DefaultPrivileges():
            revoke_default(session, obj, role)
        case BuiltInAcl():
            target = obj.target or obj.name
            revoke_from(session, built_in(obj.kind, obj.name, target), role)
        case _:
            revoke_from(session, of_object(obj), role)


# -- why a role cannot go -------------------------------------------------------------------------


def names_role(obj: CatalogObject, role: int) -> bool:
    """Whether an object's grants, its columns' included, name a role."""
    if is_named(obj.acl, role):
        return True
    return isinstance(obj, ColumnedRelation) and any(
        is_named(column.acl, role) for column in obj.columns
    )


def role_dependencies(session: SessionServices, role: int) -> tuple[list[str], dict[str, int]]:
    """Lines about this database's and shared objects, and counts for the other databases."""
    catalog = session.catalog
    here, path = catalog.database.oid, session.search_path.schemas
    elsewhere: dict[str, int] = {}
    names = {d.oid: d.name for d in catalog.objects(Database)}
    for oid, objects in list(catalog.shared.state.databases.items()):
        if oid in (0, here):
            continue
        count = sum(1 for obj in list(objects.values()) if _depends(obj, role))
        if count:
            elsewhere[names.get(oid, str(oid))] = count
    found: list[tuple[tuple[int, int], str]] = []
    for obj in sorted(catalog.objects(CatalogObject), key=_place):
        if not _depends(obj, role):
            continue
        described = describe_object(catalog, obj, path)
        if obj.owner == role and KINDS[kind_of(type(obj))].owned:
            found.append((_place(obj), f"owner of {described}"))
        else:
            found += [(_place(obj), line) for line in _grant_lines(obj, role, described)]
        for policy in _policies_for(obj, role):
            words = describe(catalog, Part("policy", obj.oid, policy.oid), path)
            found.append(((policy.oid, 1), f"target of {words}"))
    lines = [line for _, line in sorted(found, key=lambda each: each[0])]
    return lines, elsewhere


def _place(obj: CatalogObject) -> tuple[int, int]:
    """By oid, but a column's sequence before its table, as PostgreSQL makes them."""
    if isinstance(obj, SequenceObject) and obj.owned_by is not None:
        return obj.owned_by.oid, 0
    return obj.oid, 1


def _grant_lines(obj: CatalogObject, role: int, described: str) -> list[str]:
    lines = [f"privileges for {described}"] if is_named(obj.acl, role) else []
    columns = obj.columns if isinstance(obj, ColumnedRelation) else ()
    named = (column.name for column in columns if is_named(column.acl, role))
    return lines + [f"privileges for column {name} of {described}" for name in named]


def _depends(obj: CatalogObject, role: int) -> bool:
    if isinstance(obj, Role | SystemView | IndexRelation):
        return False
    owned = obj.owner == role and KINDS[kind_of(type(obj))].owned
    return owned or names_role(obj, role) or bool(_policies_for(obj, role))


def _policies_for(obj: CatalogObject, role: int) -> list[Policy]:
    """The policies of a table that are made for a role by name."""
    if not isinstance(obj, Table):
        return []
    return [policy for policy in obj.policies if role in policy.roles]
