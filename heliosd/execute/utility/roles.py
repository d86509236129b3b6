"""CREATE, ALTER and DROP ROLE; role memberships; DROP OWNED and REASSIGN OWNED."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from heliosd.catalog.objects import (
    Membership,
    Role,
)
from heliosd.errors import SqlError
from heliosd.execute.utility.memberships import (
    check_may_grant,
    grant_membership,
    locked_role,
    revoke_membership,
)
from heliosd.execute.utility.names import current_role_oid, resolve_role
from heliosd.execute.utility.owned import role_dependencies
from heliosd.execute.utility.passwords import PASSWORD_OPTIONS, with_password
from heliosd.execute.utility.registry import runs
from heliosd.sql.tree.base import Option, RoleKind, RoleSpec
from heliosd.sql.tree.define import (
    AlterRole,
    CreateRole,
    DropRole,
    RoleWord,
)

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
    """The current role; 42501 when it was dropped meanwhile, for then it may do nothing."""
    role = session.catalog.of_kind(Role, current_role_oid(session))
    if role is None:
        raise SqlError("42501", f'permission denied: role "{session.current_role}" was dropped')
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


def refuse_reserved(spec: RoleSpec) -> None:
    """42939 for ALTER ROLE of one that the server itself has."""
    if spec.kind is RoleKind.NAME and spec.name.startswith("pg_"):
        raise SqlError(
            "42939",
            f'role name "{spec.name}" is reserved',
            detail="Cannot alter reserved roles.",
        )


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
    grantor = me.oid
    for spec in options.get("rolemembers", ()):
        grant_membership(session, role, resolve_role(session, spec), grantor)
    for spec in options.get("adminmembers", ()):
        grant_membership(session, role, resolve_role(session, spec), grantor, {"admin": True})


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
    if options.get("validUntil") is not None:
        kind = session.catalog.types.named("timestamptz")
        changes["valid_until"] = kind.input(str(options["validUntil"]), -1, session.context.eval)
    return with_password(session, replace(role, **changes), options)


def _with_memberships(session: SessionServices, role: Role, specs: Sequence[RoleSpec]) -> Role:
    memberships = list(role.member_of)
    for spec in specs:
        parent = resolve_role(session, spec)
        check_may_grant(session, parent, current_role_oid(session))
        memberships.append(Membership(role=parent.oid, grantor=current_role_oid(session)))
    return replace(role, member_of=tuple(memberships))


@runs(AlterRole, tag="ALTER ROLE", writes=True, audit="role")
def alter_role(statement: AlterRole, session: SessionServices) -> None:
    """ALTER ROLE options; a role may change its own password."""
    me = _current(session)
    refuse_reserved(statement.role)
    role = locked_role(session, resolve_role(session, statement.role))
    options = _by_name(statement.options)
    _check_may_alter(me, role, options)
    members = options.pop("rolemembers", ())
    if options:
        session.catalog_edit().replace(role, _with_options(session, role, options))
    for spec in members:
        member = resolve_role(session, spec)
        current = session.catalog.require_role(role.name)
        if statement.add:
            grant_membership(session, current, member, me.oid)
        else:
            revoke_membership(session, current, member)


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
    only_password = set(options) <= PASSWORD_OPTIONS
    if not me.create_role and not (only_password and me.oid == role.oid):
        raise SqlError("42501", "permission denied")


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
        _drop(session, me, locked_role(session, found))


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
    lines, elsewhere = role_dependencies(session, role.oid)
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
