"""Granting and revoking: what becomes of an access list, grants that depend on others included.

Everything here follows PostgreSQL 15's rules: the owner has all grant options for ever; a grant
falls with the grant option it was made by (CASCADE) or protects it (RESTRICT, 2BP01); grant options
cannot go back to who they came from (0LP01).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from heliosd.catalog.acl import LETTER_ORDER, UNMASK, ordered
from heliosd.catalog.membership import has_privileges_of, is_superuser, role_list
from heliosd.catalog.objects import PUBLIC_ROLE, Acl, AclItem
from heliosd.errors import SqlError

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog

Items = tuple[AclItem, ...]

INVALID_GRANT_OPERATION = "0LP01"


def grantable(catalog: Catalog, items: Items, role: int, owner: int, letters: str) -> str:
    """Which of the letters `role` may grant on, its memberships counted."""
    if has_privileges_of(catalog, role, owner):
        return letters
    return _chosen(
        letters,
        (i.options for i in items if i.options and has_privileges_of(catalog, role, i.grantee)),
    )


def best_grantor(
    catalog: Catalog, items: Items, role: int, owner: int, letters: str
) -> tuple[int, str]:
    """Who grants for `role`, and which of the letters it may grant on.

    The owner for the owner and for superusers; else the nearest of the role's roles that may grant
    everything, or the one that may grant most.
    """
    if role == owner or is_superuser(catalog, role):
        return owner, letters
    best, held = role, ""
    for candidate in role_list(catalog, role):
        if candidate == owner:
            return owner, letters
        options = _chosen(letters, (i.options for i in items if i.grantee == candidate))
        if options == letters:
            return candidate, options
        if len(options) > len(held):
            best, held = candidate, options
    return best, held


def _chosen(letters: str, holders: Iterable[str]) -> str:
    found: set[str] = set().union(*holders)
    return "".join(letter for letter in letters if letter in found)


def grant(catalog: Catalog, items: Items, owner: int, item: AclItem) -> Items:
    """`items` with `item`'s privileges and options added; 0LP01 for a circle."""
    if item.options and item.grantor != owner:
        _refuse_circle(catalog, items, owner, item)
    changed = list(items)
    for i, known in enumerate(changed):
        if known.grantee == item.grantee and known.grantor == item.grantor:
            changed[i] = AclItem(
                known.grantee,
                known.grantor,
                ordered(known.privileges + item.privileges),
                ordered(known.options + item.options),
            )
            return tuple(changed)
    if item.privileges or item.options:
        changed.append(item)
    return tuple(changed)


def revoke(
    catalog: Catalog,
    items: Items,
    owner: int,
    item: AclItem,
    *,
    cascade: bool,
) -> Items:
    """`items` without `item`'s privileges and options, and without what was granted by these."""
    changed: list[AclItem] = []
    lost = ""
    for known in items:
        if known.grantee != item.grantee or known.grantor != item.grantor:
            changed.append(known)
            continue
        privileges = _without(known.privileges, item.privileges)
        options = _without(known.options, item.options)
        lost = _without(known.options, options)
        if privileges or options:
            changed.append(AclItem(known.grantee, known.grantor, privileges, options))
    if lost and item.grantee != owner:
        return _revoke_dependents(
            catalog, tuple(changed), owner, item.grantee, lost, cascade=cascade
        )
    return tuple(changed)


def _revoke_dependents(
    catalog: Catalog, items: Items, owner: int, grantor: int, letters: str, *, cascade: bool
) -> Items:
    """Take away what `grantor` granted by options that it no longer has from anybody."""
    still = grantable(catalog, items, grantor, owner, letters)
    gone = _without(letters, still)
    while gone:
        dependent = next(
            (i for i in items if i.grantor == grantor and set(i.privileges) & set(gone)), None
        )
        if dependent is None:
            break
        if not cascade:
            raise SqlError(
                "2BP01", "dependent privileges exist", hint="Use CASCADE to revoke them too."
            )
        item = AclItem(dependent.grantee, grantor, gone, gone)
        items = revoke(catalog, items, owner, item, cascade=True)
    return items


def _refuse_circle(catalog: Catalog, items: Items, owner: int, item: AclItem) -> None:
    """Could the grantor still grant if the grantee had no options? If not, it is a circle."""
    while True:
        holder = next((i for i in items if i.grantee == item.grantee and i.options), None)
        if holder is None:
            break
        items = revoke(catalog, items, owner, holder, cascade=True)
    own = grantable(catalog, items, item.grantor, owner, item.options)
    if own != item.options:
        raise SqlError(
            INVALID_GRANT_OPERATION,
            "grant options cannot be granted back to your own grantor",
        )


def _without(letters: str, gone: str) -> str:
    return "".join(letter for letter in letters if letter not in gone)


def replace_role(acl: Acl, old: int, new: int) -> Acl:
    """`acl` after its owner `old` became `new` (ALTER ... OWNER): entries that become one merge.

    UNMASK stays behind: it was granted to the old owner, who did not have it by owning.
    """
    if acl is None:
        return None
    merged: dict[tuple[int, int], AclItem] = {}
    for item in acl:
        if item.grantee == old:
            kept, options = (x.replace(UNMASK, "") for x in (item.privileges, item.options))
            item = AclItem(old, item.grantor, kept, options)
            if not item.privileges:
                continue
        grantee = new if item.grantee == old else item.grantee
        grantor = new if item.grantor == old else item.grantor
        known = merged.get((grantee, grantor))
        if known is None:
            merged[grantee, grantor] = AclItem(grantee, grantor, item.privileges, item.options)
        else:
            merged[grantee, grantor] = AclItem(
                grantee,
                grantor,
                ordered(known.privileges + item.privileges),
                ordered(known.options + item.options),
            )
    return tuple(merged.values())


def sorted_items(items: Items) -> Items:
    """As default privileges rest: by grantee, grantor, privileges."""

    def bits(item: AclItem) -> int:
        low = sum(1 << LETTER_ORDER.index(letter) for letter in item.privileges)
        return low | sum(1 << (16 + LETTER_ORDER.index(letter)) for letter in item.options)

    return tuple(sorted(items, key=lambda item: (item.grantee, item.grantor, bits(item))))


def is_named(items: Iterable[AclItem] | None, role: int) -> bool:
    """Whether an access list names a role (never PUBLIC)."""
    return role != PUBLIC_ROLE and any(role in (i.grantee, i.grantor) for i in items or ())
