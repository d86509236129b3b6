"""GRANT role TO role and REVOKE role FROM role: memberships and their options."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from helios_storage.locks import TableLockMode
from heliosd.catalog import acl
from heliosd.catalog.membership import Walk
from heliosd.catalog.objects import PG_DATABASE_OWNER_OID, Membership, Role
from heliosd.errors import SqlError
from heliosd.execute.utility.names import (
    current_role_oid,
    is_superuser,
    lock_object,
    resolve_role,
)
from heliosd.execute.utility.registry import runs
from heliosd.sql.tree.define import GrantRole

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices


@runs(GrantRole, tag="GRANT ROLE", writes=True, audit="role")
def grant_role(statement: GrantRole, session: SessionServices) -> str:
    """GRANT role TO role [WITH options]; REVOKE [option OPTION FOR] role FROM role."""
    grantor = current_role_oid(session)
    if statement.granted_by is not None:
        grantor = resolve_role(session, statement.granted_by).oid
    options = {option.name: bool(option.value) for option in statement.options}
    members = [resolve_role(session, spec) for spec in statement.grantees]
    for item in statement.roles:
        if item.columns or item.name is None:
            raise SqlError("0LP01", "column names cannot be included in GRANT/REVOKE ROLE")
        role = session.catalog.require_role(item.name)
        check_may_grant(session, role, grantor)
        for member in members:
            if statement.grant:
                grant_membership(session, role, member, grantor, options)
            else:
                revoke_membership(session, role, member, options)
    return "GRANT ROLE" if statement.grant else "REVOKE ROLE"


def check_may_grant(session: SessionServices, role: Role, grantor: int) -> None:
    """Superusers, CREATEROLE for roles that are no superusers, and holders of the admin option."""
    me = session.catalog.of_kind(Role, current_role_oid(session))
    superuser = is_superuser(session)
    if role.superuser:
        if not superuser:
            raise SqlError("42501", "must be superuser to alter superusers")
    elif (
        not superuser
        and not (me is not None and me.create_role)
        and not acl.is_admin_of(session.catalog, grantor, role.oid)
    ):
        raise SqlError("42501", f'must have admin option on role "{role.name}"')
    if grantor != current_role_oid(session) and not superuser:
        raise SqlError("42501", "must be superuser to set grantor")


def grant_membership(
    session: SessionServices,
    role: Role,
    member: Role,
    grantor: int,
    options: dict[str, bool] | None = None,
) -> None:
    """Make `member` a member of `role`; 0LP01 for a circle, a notice when it is one already."""
    options = options or {}
    if role.oid == PG_DATABASE_OWNER_OID:
        raise SqlError("XX000", f'role "{role.name}" cannot have explicit members')
    if member.oid == PG_DATABASE_OWNER_OID:
        raise SqlError("XX000", f'role "{member.name}" cannot be a member of any role')
    # Superusers count as members of every role, but make no circle by that.
    if member.oid in acl.role_list(session.catalog, role.oid, Walk.MEMBER):
        raise SqlError("0LP01", f'role "{role.name}" is a member of role "{member.name}"')
    member = locked_role(session, member)
    known = next((x for x in member.member_of if x.role == role.oid), None)
    if known is None:
        known = Membership(role=role.oid, grantor=grantor)
        new = _with_options(known, options)
    else:
        new = _with_options(known, options)
        if new == known:
            session.notice(f'role "{member.name}" is already a member of role "{role.name}"')
            return
        new = replace(new, grantor=grantor)
    others = tuple(x for x in member.member_of if x.role != role.oid)
    session.catalog_edit().replace(member, replace(member, member_of=(*others, new)))


def _with_options(membership: Membership, options: dict[str, bool]) -> Membership:
    return replace(
        membership,
        admin_option=options.get("admin", membership.admin_option),
        inherit_option=options.get("inherit", membership.inherit_option),
        set_option=options.get("set", membership.set_option),
    )


def revoke_membership(
    session: SessionServices, role: Role, member: Role, options: dict[str, bool] | None = None
) -> None:
    """End a membership, or only take the named option; a warning when there is none."""
    member = locked_role(session, member)
    known = next((x for x in member.member_of if x.role == role.oid), None)
    if known is None:
        session.notice(
            f'role "{member.name}" is not a member of role "{role.name}"',
            severity="WARNING",
            sqlstate="01000",
        )
        return
    kept: list[Membership] = []
    for each in member.member_of:
        if each.role != role.oid:
            kept.append(each)
        elif options:
            kept.append(_with_options(each, options))
    session.catalog_edit().replace(member, replace(member, member_of=tuple(kept)))


def locked_role(session: SessionServices, role: Role) -> Role:
    """The role once its lock is held; 42704 when it went meanwhile."""
    lock_object(session, role.oid, TableLockMode.SHARE_ROW_EXCLUSIVE)
    again = session.catalog.of_kind(Role, role.oid)
    if again is None:
        raise SqlError("42704", f'role "{role.name}" does not exist')
    return again
