"""Privileges: letters, what holds while nothing was granted, and who holds what.

A privilege is PostgreSQL's letter in an aclitem; `kinds` says which letters a kind of object has.
`membership` says whose privileges a role has; `acl_change` grants and revokes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from heliosd.catalog.built_in_acl import initial_column_acl, initial_relation_acl, stored_acl
from heliosd.catalog.kinds import KINDS, UNMASK, kind_of
from heliosd.catalog.membership import (
    has_privileges_of,
    is_admin_of,
    is_member,
    is_superuser,
    may_become,
    role_list,
    roles_of,
)
from heliosd.catalog.objects import (
    INFORMATION_SCHEMA_OID,
    PG_CATALOG_OID,
    PUBLIC_ROLE,
    Acl,
    AclItem,
    CatalogObject,
    Column,
    ColumnedRelation,
    Routine,
    Schema,
    SystemView,
    Table,
    TypeObject,
)

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog

__all__ = (
    "UNMASK",
    "has_privileges_of",
    "is_admin_of",
    "is_member",
    "is_superuser",
    "may_become",
    "role_list",
    "roles_of",
)

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

TABLE_PRIVILEGES: Final = KINDS["table"].letters
COLUMN_PRIVILEGES: Final = KINDS["column"].letters
SEQUENCE_PRIVILEGES: Final = KINDS["sequence"].letters

_SYSTEM_WRITES: Final = INSERT + UPDATE + DELETE + TRUNCATE + USAGE
"""What nobody but superusers may do with a system catalog, whatever was granted."""


def all_privileges(obj: CatalogObject) -> str:
    """The letters that ALL means for this object."""
    return KINDS[kind_of(type(obj))].letters


def kind_words(obj: CatalogObject) -> str:
    """`permission denied for {kind_words} {name}`."""
    if isinstance(obj, SystemView) and obj.kind == "v":
        return "view"
    if isinstance(obj, Routine) and obj.kind == "p":
        return "procedure"
    return KINDS[kind_of(type(obj))].words


def default_items(kind: str, owner: int) -> tuple[AclItem, ...]:
    """What holds for an object of this kind while nothing was granted, as `acldefault`."""
    rule = KINDS[kind]
    items = []
    if rule.public:
        items.append(AclItem(PUBLIC_ROLE, owner, ordered(rule.public)))
    if rule.letters and kind != "column":
        items.append(AclItem(owner, owner, rule.letters))
    return tuple(items)


def default_acl(obj: CatalogObject) -> tuple[AclItem, ...]:
    """What holds while `obj.acl` is None."""
    if isinstance(obj, SystemView):
        return initial_relation_acl(obj.name)
    return default_items(kind_of(type(obj)), obj.owner)


def effective_acl(obj: CatalogObject) -> tuple[AclItem, ...]:
    """What holds for a stored object."""
    return default_acl(obj) if obj.acl is None else obj.acl


def is_system_schema(schema: Schema) -> bool:
    """pg_catalog and information_schema: every database's, never stored."""
    return schema.oid in (PG_CATALOG_OID, INFORMATION_SCHEMA_OID)


def current_acl(catalog: Catalog, obj: CatalogObject) -> tuple[AclItem, ...]:
    """What holds now, for a system relation or schema too: their grants are stored apart."""
    if isinstance(obj, Schema) and is_system_schema(obj):
        return stored_acl(catalog, "schema", obj.oid) or effective_acl(obj)
    if isinstance(obj, SystemView):
        found = stored_acl(catalog, "relation", obj.oid)
        return default_acl(obj) if found is None else found
    return effective_acl(obj)


def current_column_acl(catalog: Catalog, relation: ColumnedRelation, column: Column) -> Acl:
    """What was granted on one column."""
    if isinstance(relation, SystemView):
        return initial_column_acl(relation.name, column.name)
    return column.acl


# -- who holds what -----------------------------------------------------------------------------


def is_owner(catalog: Catalog, role: int, obj: CatalogObject) -> bool:
    """Owner's rights: the owner, a role that inherits from the owner, a superuser."""
    return has_privileges_of(catalog, role, obj.owner)


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
    held = privileges_held(catalog, role, obj)
    return all(letter in held for letter in letters)


def privileges_held(catalog: Catalog, role: int, obj: CatalogObject) -> str:
    """All letters that a role (0: PUBLIC) holds on the object; superusers are not looked at."""
    if isinstance(obj, TypeObject):
        obj = _granted_type(catalog, obj)
    items = current_acl(catalog, obj)
    if not role:
        return held_privileges(items, frozenset())
    roles = roles_of(catalog, role)
    held = held_privileges(items, roles) + predefined_privileges(obj, roles)
    if isinstance(obj, SystemView) and obj.kind == "r":
        held = "".join(letter for letter in held if letter not in _SYSTEM_WRITES)
    return held


def _granted_type(catalog: Catalog, obj: TypeObject) -> TypeObject:
    """A multirange has the privileges of its range."""
    if obj.kind == "m":
        found = catalog.of_kind(TypeObject, obj.base_type)
        return obj if found is None else found
    return obj


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
    items = current_column_acl(catalog, relation, column)
    return items is not None and letter in held_privileges(items, roles_of(catalog, role))


def has_unmask(catalog: Catalog, role: int, table: Table, column: Column) -> bool:
    """UNMASK by a grant on the column, its table, its schema or the database: by nothing else.

    Superusers and owners are not exempt; membership counts as it does for other privileges.
    """
    return _unmasked(catalog, role, (column.acl,)) or holds_unmask(catalog, role, table)


def holds_unmask(catalog: Catalog, role: int, obj: CatalogObject) -> bool:
    """The same for all of a table, a schema or the database: by a grant there or above."""
    holders: list[Acl] = [obj.acl]
    if isinstance(obj, Table):
        schema = catalog.of_kind(Schema, obj.schema)
        holders.append(None if schema is None else schema.acl)
    if isinstance(obj, Table | Schema):
        holders.append(catalog.database.acl)
    return _unmasked(catalog, role, holders)


def _unmasked(catalog: Catalog, role: int, holders: Iterable[Acl]) -> bool:
    roles = roles_of(catalog, role) if role else frozenset[int]()
    return any(UNMASK in held_privileges(items, roles) for items in holders if items is not None)


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
