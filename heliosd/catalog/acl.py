"""Privileges: aclitems, the defaults of each kind of object, and who holds what.

A privilege is PostgreSQL's letter in an aclitem. Membership is walked through roles that inherit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from heliosd.catalog.objects import (
    PG_DATABASE_OWNER_OID,
    PUBLIC_ROLE,
    Acl,
    AclItem,
    CatalogObject,
    Column,
    ColumnedRelation,
    Database,
    Role,
    Schema,
    Sequence,
    SystemView,
    Table,
    TypeObject,
)

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog

SELECT: Final = "r"
INSERT: Final = "a"
UPDATE: Final = "w"
DELETE: Final = "d"
TRUNCATE: Final = "D"
REFERENCES: Final = "x"
TRIGGER: Final = "t"
EXECUTE: Final = "X"
USAGE: Final = "U"
CREATE: Final = "C"
TEMPORARY: Final = "T"
CONNECT: Final = "c"
SET: Final = "s"
ALTER_SYSTEM: Final = "A"
UNMASK: Final = "K"
"""heliosd's own: to see masked columns as they are. Nobody has it by owning or being superuser."""

PG_READ_ALL_DATA: Final = 6181
PG_WRITE_ALL_DATA: Final = 6182

LETTER_ORDER: Final = "arwdDxtXUCTcsAK"
"""The order in which PostgreSQL shows letters."""

PRIVILEGE_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "SELECT": SELECT,
        "INSERT": INSERT,
        "UPDATE": UPDATE,
        "DELETE": DELETE,
        "TRUNCATE": TRUNCATE,
        "REFERENCES": REFERENCES,
        "TRIGGER": TRIGGER,
        "EXECUTE": EXECUTE,
        "USAGE": USAGE,
        "CREATE": CREATE,
        "TEMPORARY": TEMPORARY,
        "TEMP": TEMPORARY,
        "CONNECT": CONNECT,
        "SET": SET,
        "ALTER SYSTEM": ALTER_SYSTEM,
        "UNMASK": UNMASK,
    }
)

TABLE_PRIVILEGES: Final = "arwdDxt"
COLUMN_PRIVILEGES: Final = "arwx"
SEQUENCE_PRIVILEGES: Final = "rwU"
SCHEMA_PRIVILEGES: Final = "UC"
DATABASE_PRIVILEGES: Final = "CTc"
TYPE_PRIVILEGES: Final = "U"
FUNCTION_PRIVILEGES: Final = "X"


def all_privileges(obj: CatalogObject) -> str:
    """The letters that an object of this kind knows."""
    match obj:
        case Sequence():
            return SEQUENCE_PRIVILEGES
        case ColumnedRelation():
            return TABLE_PRIVILEGES
        case Schema():
            return SCHEMA_PRIVILEGES
        case Database():
            return DATABASE_PRIVILEGES
        case TypeObject():
            return TYPE_PRIVILEGES
    return ""


def kind_words(obj: CatalogObject) -> str:
    """`permission denied for {kind_words} {name}`."""
    from heliosd.catalog.objects import IndexRelation, View

    match obj:
        case Sequence():
            return "sequence"
        case View():
            return "view"
        case IndexRelation():
            return "index"
        case ColumnedRelation():
            return "table"
        case Schema():
            return "schema"
        case Database():
            return "database"
        case TypeObject():
            return "type"
        case Role():
            return "role"
    return "object"


def default_acl(obj: CatalogObject) -> tuple[AclItem, ...]:
    """What holds while `obj.acl` is None."""
    own = AclItem(obj.owner, obj.owner, all_privileges(obj))
    match obj:
        case SystemView():
            return (own, AclItem(PUBLIC_ROLE, obj.owner, SELECT))
        case Database():
            return (AclItem(PUBLIC_ROLE, obj.owner, TEMPORARY + CONNECT), own)
        case TypeObject():
            return (AclItem(PUBLIC_ROLE, obj.owner, USAGE), own)
    return (own,)


def effective_acl(obj: CatalogObject) -> tuple[AclItem, ...]:
    return default_acl(obj) if obj.acl is None else obj.acl


# -- who is whom --------------------------------------------------------------------------------


def roles_of(catalog: Catalog, role: int, *, inherit_only: bool = True) -> frozenset[int]:
    """The role itself and all it is a member of; through NOINHERIT roles only if asked for."""
    found = {role}
    pending = [role]
    if role == catalog.database.owner:
        found.add(PG_DATABASE_OWNER_OID)
    while pending:
        current = catalog.of_kind(Role, pending.pop())
        if current is None or (inherit_only and not current.inherit):
            continue
        for membership in current.member_of:
            if membership.role not in found:
                found.add(membership.role)
                pending.append(membership.role)
    return frozenset(found)


def is_superuser(catalog: Catalog, role: int) -> bool:
    found = catalog.of_kind(Role, role)
    return found is not None and found.superuser


def is_member(catalog: Catalog, member: int, role: int) -> bool:
    """Could `member` SET ROLE to `role`? Superusers are members of every role."""
    if member == role or is_superuser(catalog, member):
        return True
    return role in roles_of(catalog, member, inherit_only=False)


def is_owner(catalog: Catalog, role: int, obj: CatalogObject) -> bool:
    """Owner's rights: the owner, a role that inherits from the owner, a superuser."""
    return role == obj.owner or is_superuser(catalog, role) or obj.owner in roles_of(catalog, role)


def held_privileges(acl: Iterable[AclItem], roles: frozenset[int]) -> str:
    """All letters that these roles (and PUBLIC) hold by `acl`."""
    held: set[str] = set()
    for item in acl:
        if item.grantee == PUBLIC_ROLE or item.grantee in roles:
            held.update(item.privileges)
    return "".join(letter for letter in LETTER_ORDER if letter in held)


def held_options(acl: Iterable[AclItem], roles: frozenset[int]) -> str:
    """Letters that these roles may grant on."""
    held: set[str] = set()
    for item in acl:
        if item.grantee in roles:
            held.update(item.options)
    return "".join(letter for letter in LETTER_ORDER if letter in held)


def has_privilege(catalog: Catalog, role: int, obj: CatalogObject, letters: str) -> bool:
    """Does the role hold *all* these privileges on the object?"""
    if is_superuser(catalog, role):
        return True
    roles = roles_of(catalog, role)
    if obj.acl is None and obj.owner in roles:
        return True
    held = held_privileges(effective_acl(obj), roles) + predefined_privileges(obj, roles)
    return all(letter in held for letter in letters)


def predefined_privileges(obj: CatalogObject, roles: frozenset[int]) -> str:
    """What members of pg_read_all_data and pg_write_all_data may do with any object."""
    reads, writes = PG_READ_ALL_DATA in roles, PG_WRITE_ALL_DATA in roles
    if not (reads or writes):
        return ""
    if isinstance(obj, Schema):
        return USAGE
    if isinstance(obj, ColumnedRelation):
        return (SELECT if reads else "") + (INSERT + UPDATE + DELETE if writes else "")
    return ""


def has_column_privilege(
    catalog: Catalog, role: int, relation: ColumnedRelation, column: Column, letter: str
) -> bool:
    """By a grant on the whole relation or on the column."""
    if has_privilege(catalog, role, relation, letter):
        return True
    return column.acl is not None and letter in held_privileges(column.acl, roles_of(catalog, role))


def has_unmask(catalog: Catalog, role: int, table: Table, column: Column) -> bool:
    """UNMASK by a grant on the column, its table, its schema or the database: by nothing else.

    Superusers and owners are not exempt; membership counts as it does for other privileges.
    """
    roles = roles_of(catalog, role)
    holders: list[Acl] = [column.acl, table.acl, catalog.database.acl]
    schema = catalog.of_kind(Schema, table.schema)
    if schema is not None:
        holders.append(schema.acl)
    return any(UNMASK in held_privileges(items, roles) for items in holders if items is not None)


# -- granting -----------------------------------------------------------------------------------


def grant(acl: Iterable[AclItem], grantee: int, grantor: int, letters: str, options: str) -> Acl:
    """`acl` with more letters for (grantee, grantor)."""
    items = list(acl)
    for i, item in enumerate(items):
        if item.grantee == grantee and item.grantor == grantor:
            items[i] = AclItem(
                grantee,
                grantor,
                ordered(item.privileges + letters),
                ordered(item.options + options),
            )
            return tuple(items)
    items.append(AclItem(grantee, grantor, ordered(letters), ordered(options)))
    return tuple(items)


def revoke(
    acl: Iterable[AclItem], grantee: int, grantor: int, letters: str, *, option_only: bool = False
) -> Acl:
    """`acl` without these letters (or only without their grant options)."""
    kept: list[AclItem] = []
    for item in acl:
        if item.grantee == grantee and item.grantor == grantor:
            options = "".join(x for x in item.options if x not in letters)
            privileges = item.privileges
            if not option_only:
                privileges = "".join(x for x in privileges if x not in letters)
            if not privileges:
                continue
            item = AclItem(grantee, grantor, privileges, options)
        kept.append(item)
    return tuple(kept)


def dependent_grants(acl: Iterable[AclItem], grantor: int, letters: str) -> list[AclItem]:
    """Grants that `grantor` made of these letters: they fall with its grant option."""
    return [
        item
        for item in acl
        if item.grantor == grantor
        and item.grantee != grantor
        and any(letter in letters for letter in item.privileges)
    ]


def replace_role(acl: Acl, old: int, new: int) -> Acl:
    """`acl` after its owner `old` became `new` (ALTER ... OWNER)."""
    if acl is None:
        return None
    merged: Acl = ()
    for item in acl:
        grantee = new if item.grantee == old else item.grantee
        grantor = new if item.grantor == old else item.grantor
        merged = grant(merged or (), grantee, grantor, item.privileges, item.options)
    return merged


def ordered(letters: str) -> str:
    """Each letter once, in PostgreSQL's order."""
    return "".join(letter for letter in LETTER_ORDER if letter in letters)


# -- text ---------------------------------------------------------------------------------------


def quote_role(name: str) -> str:
    """A role's name as aclitem's output quotes it."""
    if name and all(c.isascii() and (c.isalnum() or c == "_") for c in name):
        return name
    return '"' + name.replace('"', '""') + '"'


def format_item(item: AclItem, name_of: Catalog) -> str:
    """`grantee=privileges/grantor`; the letters with a grant option followed by *."""
    grantee = "" if item.grantee == PUBLIC_ROLE else quote_role(name_of.role_name(item.grantee))
    letters = "".join(x + "*" if x in item.options else x for x in item.privileges)
    return f"{grantee}={letters}/{quote_role(name_of.role_name(item.grantor))}"


def format_acl(acl: Acl, catalog: Catalog) -> tuple[str, ...] | None:
    """The aclitems as texts, or None while the defaults hold."""
    return None if acl is None else tuple(format_item(item, catalog) for item in acl)


def expand(acl: Iterable[AclItem]) -> Iterator[tuple[int, int, str, bool]]:
    """(grantor, grantee, letter, grantable) of each single privilege, as aclexplode."""
    for item in acl:
        for letter in item.privileges:
            yield item.grantor, item.grantee, letter, letter in item.options
