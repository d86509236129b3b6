"""Who is whom: the roles that a role is a member of, by inheritance, by SET ROLE, or at all.

A membership is walked in one of three ways. PostgreSQL 15 knows two: everything a role is a member
of, and what it inherits (through roles that are INHERIT). PostgreSQL 16's options on a single
membership are an extension here: `inherit_option` None and `set_option` True mean what 15 means.

The database's owner is the one member of pg_database_owner. Walks are kept until a role or a
database changes (`CatalogState.roles_generation`), except inside a transaction that changes some.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from heliosd.catalog.objects import PG_DATABASE_OWNER_OID, Membership, Role

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog


class Walk(Enum):
    """Which memberships count."""

    INHERIT = auto()
    """Those that give their privileges without SET ROLE."""
    SET = auto()
    """Those that SET ROLE may take."""
    MEMBER = auto()
    """All."""


def role_list(catalog: Catalog, role: int, walk: Walk = Walk.INHERIT) -> tuple[int, ...]:
    """The role itself, then all it is a member of, nearest first."""
    if catalog.overlay is not None:
        return _walk(catalog, role, walk)
    known = catalog.shared.role_walks
    generation = catalog.shared.state.roles_generation
    if known.generation != generation:
        known.generation = generation
        known.found.clear()
    key = (catalog.database.oid, role, walk)
    found = known.found.get(key)
    if found is None:
        found = known.found[key] = _walk(catalog, role, walk)
    return found


class RoleWalks:
    """Walks kept for as long as no role has changed."""

    __slots__ = ("found", "generation")

    def __init__(self) -> None:
        self.generation = -1
        self.found: dict[tuple[int, int, Walk], tuple[int, ...]] = {}


def _walk(catalog: Catalog, role: int, walk: Walk) -> tuple[int, ...]:
    owner = catalog.database.owner
    found = [role]
    for member in found:
        current = catalog.of_kind(Role, member)
        if current is None:
            continue
        for membership in sorted(current.member_of, key=lambda each: each.role):
            if membership.role not in found and _counts(current, membership, walk):
                found.append(membership.role)
        inherits = walk is not Walk.INHERIT or current.inherit
        if member == owner and inherits and PG_DATABASE_OWNER_OID not in found:
            found.append(PG_DATABASE_OWNER_OID)
    return tuple(found)


def _counts(member: Role, membership: Membership, walk: Walk) -> bool:
    match walk:
        case Walk.INHERIT:
            return inherits(member, membership)
        case Walk.SET:
            return membership.set_option
    return True


def inherits(member: Role, membership: Membership) -> bool:
    """Whether a membership gives its privileges by itself."""
    option = membership.inherit_option
    return member.inherit if option is None else option


def roles_of(catalog: Catalog, role: int, *, inherit_only: bool = True) -> frozenset[int]:
    """The same without order: by inheritance, or all."""
    return frozenset(role_list(catalog, role, Walk.INHERIT if inherit_only else Walk.MEMBER))


def is_superuser(catalog: Catalog, role: int) -> bool:
    """Whether the role is a superuser now."""
    found = catalog.of_kind(Role, role)
    return found is not None and found.superuser


def has_privileges_of(catalog: Catalog, member: int, role: int) -> bool:
    """May `member` do what `role` may, without SET ROLE? Superusers may."""
    return member == role or is_superuser(catalog, member) or role in role_list(catalog, member)


def is_member(catalog: Catalog, member: int, role: int) -> bool:
    """Is `member` a member of `role`? Superusers are members of every role."""
    if member == role or is_superuser(catalog, member):
        return True
    return role in role_list(catalog, member, Walk.MEMBER)


def may_become(catalog: Catalog, member: int, role: int) -> bool:
    """May `member` SET ROLE to `role`, or give its objects to it?"""
    if member == role or is_superuser(catalog, member):
        return True
    return role in role_list(catalog, member, Walk.SET)


def is_admin_of(catalog: Catalog, member: int, role: int) -> bool:
    """Holds `member`, or a role that it is a member of, the admin option on `role`?

    No role has it on itself; superusers have it on every role.
    """
    if is_superuser(catalog, member):
        return True
    if member == role:
        return False
    for oid in role_list(catalog, member, Walk.MEMBER):
        holder = catalog.of_kind(Role, oid)
        if holder is not None and any(
            each.role == role and each.admin_option for each in holder.member_of
        ):
            return True
    return False
