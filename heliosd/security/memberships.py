"""All roles that a role is a member of, whatever it inherits: what it may become by SET ROLE."""

from __future__ import annotations

from heliosd.catalog.lookup import SharedCatalog
from heliosd.catalog.objects import Role


def all_roles_of(shared: SharedCatalog, role: Role) -> list[Role]:
    """The role itself and, through every membership, the roles above it."""
    found = {role.oid: role}
    waiting = [role]
    while waiting:
        for membership in waiting.pop().member_of:
            above = shared.state.objects.get(membership.role)
            if isinstance(above, Role) and above.oid not in found:
                found[above.oid] = above
                waiting.append(above)
    return list(found.values())
