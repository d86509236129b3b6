"""CREATE, ALTER and DROP ROLE; role memberships; DROP OWNED and REASSIGN OWNED."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from helios_storage.locks import TableLockMode
from heliosd.catalog import acl
from heliosd.catalog.dependencies import Part, describe_object
from heliosd.catalog.objects import (
    CatalogObject,
    ColumnedRelation,
    Database,
    IndexRelation,
    Membership,
    Relation,
    Role,
    Schema,
    SystemView,
)
from heliosd.errors import SqlError
from heliosd.execute.utility.alter_relations import give_to
from heliosd.execute.utility.drop import drop_parts
from heliosd.execute.utility.names import current_role_oid, is_superuser, lock_object, resolve_role
from heliosd.execute.utility.registry import runs
from heliosd.execute.utility.settings import setting_text
from heliosd.security.passwords import stored_password
from heliosd.sql.tree.base import DropBehavior, Option, RoleKind, RoleSpec
from heliosd.sql.tree.define import (
    AlterRole,
    AlterRoleSet,
    CreateRole,
    DropOwned,
    DropRole,
    GrantRole,
    ReassignOwned,
    RoleWord,
)
from heliosd.sql.tree.utility import SetKind, SetVariable

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

_FLAGS = {
    "superuser": "superuser",
    "createdb": "create_db",
    "createrole": "create_role",
    "inherit": "inherit",
    "canlogin": "login",
    "isreplication": "replication",
    "bypassrls": "bypass_rls",
}


def _current(session: SessionServices) -> Role:
    role = session.catalog.of_kind(Role, current_role_oid(session))
    assert role is not None
    return role


def check_role_name(name: str) -> None:
    """42939 for names that mean something else."""
    if name.startswith("pg_"):
        raise SqlError(
            "42939",
            f'role name "{name}" is reserved',
            detail='Role names starting with "pg_" are reserved.',
        )
    if name in ("public", "none"):
        raise SqlError("42939", f'role name "{name}" is reserved')


# -- CREATE and ALTER -----------------------------------------------------------------------------


@runs(CreateRole, tag="CREATE ROLE", writes=True, audit="role")
def create_role(statement: CreateRole, session: SessionServices) -> None:
    """CREATE ROLE | USER | GROUP: USER may log in unless it says otherwise."""
    me = _current(session)
    options = _by_name(statement.options)
    _check_may_create(me, options)
    check_role_name(statement.name)
    edit = session.catalog_edit()
    role = Role(oid=edit.new_oid(), name=statement.name, login=statement.word is RoleWord.USER)
    role = _with_options(session, role, options)
    role = _with_memberships(session, role, options.get("addroleto", ()))
    edit.create(role)
    for spec in options.get("rolemembers", ()):
        grant_membership(session, role, resolve_role(session, spec), admin=False)
    for spec in options.get("adminmembers", ()):
        grant_membership(session, role, resolve_role(session, spec), admin=True)


def _check_may_create(me: Role, options: dict[str, Any]) -> None:
    for option, word in (
        ("superuser", "superusers"),
        ("isreplication", "replication users"),
        ("bypassrls", "bypassrls users"),
    ):
        if options.get(option) and not me.superuser:
            raise SqlError("42501", f"must be superuser to create {word}")
    if not (me.superuser or me.create_role):
        raise SqlError("42501", "permission denied to create role")


def _by_name(options: Sequence[Option]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for option in options:
        if option.name in found:
            raise SqlError("42601", "conflicting or redundant options", position=option.position)
        found[option.name] = option.value
    return found


def _with_options(session: SessionServices, role: Role, options: dict[str, Any]) -> Role:
    changes: dict[str, Any] = {
        field: bool(options[name]) for name, field in _FLAGS.items() if name in options
    }
    if "connectionlimit" in options:
        limit = int(options["connectionlimit"])
        if limit < -1:
            raise SqlError("22023", f"invalid connection limit: {limit}")
        changes["connection_limit"] = limit
    if "password" in options:
        changes["verifier"] = _verifier(session, options["password"])
    if options.get("validUntil") is not None:
        kind = session.catalog.types.named("timestamptz")
        changes["valid_until"] = kind.input(str(options["validUntil"]), -1, session.context.eval)
    return replace(role, **changes)


def _verifier(session: SessionServices, password: str | None) -> str | None:
    """The SCRAM verifier; hashing takes milliseconds, so a thread does it. An empty one is none."""
    if password is None:
        return None
    if password == "":
        session.notice("empty string is not a valid password, clearing password")
        return None
    scheduler = session.transaction.manager.scheduler
    return scheduler.run_in_thread(stored_password, password)


def _with_memberships(session: SessionServices, role: Role, specs: Sequence[RoleSpec]) -> Role:
    memberships = list(role.member_of)
    for spec in specs:
        parent = resolve_role(session, spec)
        _check_may_grant(session, parent)
        memberships.append(Membership(role=parent.oid, grantor=current_role_oid(session)))
    return replace(role, member_of=tuple(memberships))


@runs(AlterRole, tag="ALTER ROLE", writes=True, audit="role")
def alter_role(statement: AlterRole, session: SessionServices) -> None:
    """ALTER ROLE options; a role may change its own password."""
    me = _current(session)
    role = _locked(session, resolve_role(session, statement.role))
    options = _by_name(statement.options)
    _check_may_alter(me, role, options)
    members = options.pop("rolemembers", ())
    if options:
        session.catalog_edit().replace(role, _with_options(session, role, options))
    for spec in members:
        member = resolve_role(session, spec)
        current = session.catalog.require_role(role.name)
        if statement.add:
            grant_membership(session, current, member, admin=False)
        else:
            _revoke_membership(session, current, member, admin_only=False)


def _locked(session: SessionServices, role: Role) -> Role:
    lock_object(session, role.oid, TableLockMode.SHARE_ROW_EXCLUSIVE)
    return session.catalog.require_role(role.name)


def _check_may_alter(me: Role, role: Role, options: dict[str, Any]) -> None:
    if me.superuser:
        return
    if role.superuser or "superuser" in options:
        raise SqlError(
            "42501", "must be superuser to alter superuser roles or change superuser attribute"
        )
    if role.replication or "isreplication" in options:
        raise SqlError(
            "42501", "must be superuser to alter replication roles or change replication attribute"
        )
    if "bypassrls" in options:
        raise SqlError("42501", "must be superuser to change bypassrls attribute")
    only_password = set(options) <= {"password"}
    if not me.create_role and not (only_password and me.oid == role.oid):
        raise SqlError("42501", "permission denied")


@runs(AlterRoleSet, tag="ALTER ROLE", writes=True, audit="role")
def alter_role_set(statement: AlterRoleSet, session: SessionServices) -> None:
    """ALTER ROLE role [IN DATABASE d] SET name = value | RESET name | RESET ALL."""
    me = _current(session)
    if statement.role is None:
        raise SqlError("0A000", "ALTER ROLE ALL SET is not supported")
    role = _locked(session, resolve_role(session, statement.role))
    may = me.superuser or me.oid == role.oid or (me.create_role and not role.superuser)
    if not may:
        raise SqlError("42501", "permission denied")
    if statement.database is None:
        changed = replace(
            role, settings=changed_settings(session, role.settings, statement.variable)
        )
    else:
        database = session.catalog.database_named(statement.database)
        if database is None:
            raise SqlError("3D000", f'database "{statement.database}" does not exist')
        mine = tuple((n, v) for oid, n, v in role.database_settings if oid == database.oid)
        others = tuple(x for x in role.database_settings if x[0] != database.oid)
        kept = changed_settings(session, mine, statement.variable)
        changed = replace(
            role, database_settings=(*others, *((database.oid, n, v) for n, v in kept))
        )
    session.catalog_edit().replace(role, changed)


def changed_settings(
    session: SessionServices, settings: tuple[tuple[str, str], ...], variable: SetVariable
) -> tuple[tuple[str, str], ...]:
    """A role's or database's settings after ... SET or RESET; 42704 for an unknown name."""
    kept = dict(settings)
    match variable.kind:
        case SetKind.RESET_ALL:
            return ()
        case SetKind.RESET | SetKind.DEFAULT:
            kept.pop(variable.name, None)
        case SetKind.CURRENT:
            kept[variable.name] = session.settings.get(variable.name)
        case SetKind.VALUE:
            session.settings.get(variable.name)
            kept[variable.name] = setting_text(variable)
    return tuple(kept.items())


# -- DROP -----------------------------------------------------------------------------------------


@runs(DropRole, tag="DROP ROLE", writes=True, audit="role")
def drop_role(statement: DropRole, session: SessionServices) -> None:
    """DROP ROLE: 2BP01 while objects are its, or name it in grants."""
    me = _current(session)
    if not (me.superuser or me.create_role):
        raise SqlError("42501", "permission denied to drop role")
    for spec in statement.roles:
        if spec.kind is not RoleKind.NAME:
            raise SqlError("22023", "cannot use special role specifier in DROP ROLE")
        found = session.catalog.role(spec.name)
        if found is None:
            if statement.missing_ok:
                session.notice(f'role "{spec.name}" does not exist, skipping')
                continue
            raise SqlError("42704", f'role "{spec.name}" does not exist')
        _drop(session, me, _locked(session, found))


def _drop(session: SessionServices, me: Role, role: Role) -> None:
    if role.oid == me.oid:
        raise SqlError("55006", "current user cannot be dropped")
    if role.name == session.session_role:
        raise SqlError("55006", "session user cannot be dropped")
    if role.superuser and not me.superuser:
        raise SqlError("42501", "must be superuser to drop superusers")
    if role.oid < 16384:
        raise SqlError(
            "2BP01",
            f"cannot drop role {role.name} because it is required by the database system",
        )
    lines, elsewhere = _dependencies(session, role.oid)
    if lines or elsewhere:
        lines += [f"{n} {_plural(n)} in database {d}" for d, n in elsewhere.items()]
        raise SqlError(
            "2BP01",
            f'role "{role.name}" cannot be dropped because some objects depend on it',
            detail="\n".join(lines),
        )
    edit = session.catalog_edit()
    for member in list(session.catalog.objects(Role)):
        if any(x.role == role.oid for x in member.member_of):
            kept = tuple(x for x in member.member_of if x.role != role.oid)
            edit.replace(member, replace(member, member_of=kept))
    edit.drop(session.catalog.require_role(role.name))


def _plural(count: int) -> str:
    return "object" if count == 1 else "objects"


def _dependencies(session: SessionServices, role: int) -> tuple[list[str], dict[str, int]]:
    """Lines about this database's and shared objects, and counts for the other databases."""
    here, path = session.catalog.database.oid, session.search_path.schemas
    lines: list[str] = []
    elsewhere: dict[str, int] = {}
    names = {d.oid: d.name for d in session.catalog.objects(Database)}
    for oid, objects in list(session.catalog.shared.state.databases.items()):
        if oid in (0, here):
            continue
        count = sum(1 for o in objects.values() if _names_role(o, role))
        if count:
            elsewhere[names.get(oid, str(oid))] = count
    for obj in sorted(session.catalog.objects(CatalogObject), key=lambda o: o.oid):
        if isinstance(obj, Role | SystemView | IndexRelation):
            continue
        if obj.owner == role:
            lines.append(f"owner of {describe_object(session.catalog, obj, path)}")
        elif _in_acl(obj, role):
            lines.append(f"privileges for {describe_object(session.catalog, obj, path)}")
    return lines, elsewhere


def _names_role(obj: CatalogObject, role: int) -> bool:
    if isinstance(obj, IndexRelation):
        return False
    return obj.owner == role or _in_acl(obj, role)


def _in_acl(obj: CatalogObject, role: int) -> bool:
    items = list(obj.acl or ())
    if isinstance(obj, ColumnedRelation):
        for column in obj.columns:
            items.extend(column.acl or ())
    return any(role in (item.grantee, item.grantor) for item in items)


# -- memberships ----------------------------------------------------------------------------------


@runs(GrantRole, tag="GRANT ROLE", writes=True, audit="role")
def grant_role(statement: GrantRole, session: SessionServices) -> str:
    """GRANT role TO role [WITH ADMIN OPTION]; REVOKE [ADMIN OPTION FOR] role FROM role."""
    for item in statement.roles:
        role = session.catalog.require_role(item.name or "")
        _check_may_grant(session, role)
        for spec in statement.grantees:
            member = resolve_role(session, spec)
            if statement.grant:
                grant_membership(session, role, member, admin=statement.admin_option)
            else:
                _revoke_membership(session, role, member, admin_only=statement.admin_option)
    return "GRANT ROLE" if statement.grant else "REVOKE ROLE"


def _check_may_grant(session: SessionServices, role: Role) -> None:
    """Superusers, CREATEROLE for roles that are no superusers, and holders of the admin option."""
    me = _current(session)
    if me.superuser:
        return
    if role.superuser:
        raise SqlError("42501", "must be superuser to alter superusers")
    if me.create_role or _has_admin(session, me, role):
        return
    raise SqlError("42501", f'must have admin option on role "{role.name}"')


def _has_admin(session: SessionServices, me: Role, role: Role) -> bool:
    for oid in acl.roles_of(session.catalog, me.oid, inherit_only=False):
        holder = session.catalog.of_kind(Role, oid)
        if holder is not None and any(
            x.role == role.oid and x.admin_option for x in holder.member_of
        ):
            return True
    return False


def grant_membership(session: SessionServices, role: Role, member: Role, *, admin: bool) -> None:
    """Make `member` a member of `role`; 0LP01 for a circle, a notice when it is one already."""
    if member.oid in acl.roles_of(session.catalog, role.oid, inherit_only=False):
        raise SqlError("0LP01", f'role "{role.name}" is a member of role "{member.name}"')
    member = _locked(session, member)
    known = next((x for x in member.member_of if x.role == role.oid), None)
    if known is not None and (known.admin_option or not admin):
        session.notice(f'role "{member.name}" is already a member of role "{role.name}"')
        return
    others = tuple(x for x in member.member_of if x.role != role.oid)
    new = Membership(role=role.oid, grantor=current_role_oid(session), admin_option=admin)
    session.catalog_edit().replace(member, replace(member, member_of=(*others, new)))


def _revoke_membership(
    session: SessionServices, role: Role, member: Role, *, admin_only: bool
) -> None:
    member = _locked(session, member)
    known = next((x for x in member.member_of if x.role == role.oid), None)
    if known is None:
        session.notice(
            f'role "{member.name}" is not a member of role "{role.name}"',
            severity="WARNING",
            sqlstate="01000",
        )
        return
    others = tuple(x for x in member.member_of if x.role != role.oid)
    if admin_only:
        others = (*others, replace(known, admin_option=False))
    session.catalog_edit().replace(member, replace(member, member_of=others))


# -- what roles own -------------------------------------------------------------------------------


def _owned(session: SessionServices, role: int) -> Iterator[CatalogObject]:
    for relation in list(session.catalog.objects(Relation)):
        if relation.owner == role and not isinstance(relation, SystemView | IndexRelation):
            yield relation
    for schema in list(session.catalog.objects(Schema)):
        if schema.owner == role:
            yield schema


def _owned_roles(session: SessionServices, specs: Sequence[RoleSpec], command: str) -> list[Role]:
    roles = [resolve_role(session, spec) for spec in specs]
    for role in roles:
        if not is_superuser(session) and not acl.is_member(
            session.catalog, current_role_oid(session), role.oid
        ):
            raise SqlError("42501", f"permission denied to {command} objects")
    return roles


@runs(ReassignOwned, tag="REASSIGN OWNED", writes=True, audit="role")
def reassign_owned(statement: ReassignOwned, session: SessionServices) -> None:
    """REASSIGN OWNED BY roles TO role: everything in this database, and databases."""
    new = resolve_role(session, statement.new_role)
    edit = session.catalog_edit()
    for role in _owned_roles(session, statement.roles, "reassign"):
        for obj in _owned(session, role.oid):
            current = session.catalog.by_oid(obj.oid)
            if isinstance(current, Relation) and current.owner == role.oid:
                give_to(session, current, new)
            elif isinstance(current, Schema):
                edit.replace(current, replace(current, owner=new.oid))
        for database in list(session.catalog.objects(Database)):
            if database.owner == role.oid:
                edit.replace(database, replace(database, owner=new.oid))


@runs(DropOwned, tag="DROP OWNED", writes=True, audit="role")
def drop_owned(statement: DropOwned, session: SessionServices) -> None:
    """DROP OWNED BY roles: their objects in this database, and what was granted to them."""
    roles = _owned_roles(session, statement.roles, "drop")
    roots = [Part("object", obj.oid) for role in roles for obj in _owned(session, role.oid)]
    if roots:
        drop_parts(session, roots, cascade=statement.behavior is DropBehavior.CASCADE)
    edit = session.catalog_edit()
    gone = {role.oid for role in roles}
    for obj in list(session.catalog.objects(CatalogObject)):
        if isinstance(obj, SystemView | IndexRelation | Role):
            continue
        changed = _without_grants(obj, gone)
        if changed is not obj:
            edit.replace(obj, changed)


def _without_grants(obj: CatalogObject, gone: set[int]) -> CatalogObject:
    """The object without what was granted to these roles, on its columns either."""
    changed = obj
    if obj.acl is not None and any(item.grantee in gone for item in obj.acl):
        changed = replace(obj, acl=tuple(x for x in obj.acl if x.grantee not in gone))
    if isinstance(changed, ColumnedRelation) and any(
        item.grantee in gone for column in changed.columns for item in column.acl or ()
    ):
        columns = tuple(
            replace(c, acl=tuple(x for x in c.acl or () if x.grantee not in gone) or None)
            for c in changed.columns
        )
        changed = replace(changed, columns=columns)
    return changed
