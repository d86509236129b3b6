"""Questions of the form "does this role hold that privilege?", as the has_*_privilege functions ask
them: by oid, of built-in things too, and None where there is no such thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from heliosd.catalog import acl
from heliosd.catalog.built_in_acl import built_in_items
from heliosd.catalog.kinds import CLASS_KINDS, KINDS
from heliosd.catalog.objects import (
    BOOTSTRAP_ROLE_OID,
    AclItem,
    CatalogObject,
    Column,
    ColumnedRelation,
    Database,
    IndexRelation,
    Relation,
    Schema,
    TypeObject,
)
from heliosd.catalog.signatures import type_names
from heliosd.types.facts import function_facts

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog

GRANT_OPTION: Final = " WITH GRANT OPTION"
PG_GLOBAL: Final = 1664
_TABLESPACES: Final = frozenset({1663, PG_GLOBAL})
_LANGUAGES: Final = frozenset({12, 13, 14})
_CLASSES: Final[dict[str, tuple[type[CatalogObject], ...]]] = {
    "relation": (Relation,),
    "schema": (Schema,),
    "database": (Database,),
    "type": (TypeObject,),
}


@dataclass(frozen=True, slots=True)
class Holder:
    """Something with an access list: `obj` where it is a stored object or a system relation."""

    items: tuple[AclItem, ...]
    owner: int
    letters: str
    obj: CatalogObject | None = None


def find_holder(catalog: Catalog, kind: str, oid: int) -> Holder | None:
    """What this oid is; None when there is nothing of that kind."""
    if kind == "type":
        return _type(catalog, oid)
    found = catalog.by_oid(oid)
    if kind == "function":
        if found is not None and CLASS_KINDS.get(type(found).__name__) in _ROUTINES:
            return _of(catalog, found)
        return _built_in(catalog, kind, oid) if oid in function_facts() else None
    if kind == "language":
        if found is not None and CLASS_KINDS.get(type(found).__name__) == "language":
            return _of(catalog, found)
        return _built_in(catalog, kind, oid) if oid in _LANGUAGES else None
    if kind == "tablespace":
        return _built_in(catalog, kind, oid) if oid in _TABLESPACES else None
    wanted = _CLASSES.get(kind)
    if wanted is None or not isinstance(found, wanted):
        return None
    return _of(catalog, found)


_ROUTINES: Final = frozenset({"function", "procedure", "aggregate"})


def _of(catalog: Catalog, obj: CatalogObject) -> Holder:
    if isinstance(obj, IndexRelation):
        # An index has no privileges of its own; PostgreSQL answers as for a table never granted on.
        return Holder(acl.default_items("table", obj.owner), obj.owner, "", obj)
    return Holder(acl.current_acl(catalog, obj), obj.owner, acl.all_privileges(obj), obj)


def _built_in(catalog: Catalog, kind: str, target: int | str) -> Holder:
    items = built_in_items(catalog, kind, target)
    return Holder(items, BOOTSTRAP_ROLE_OID, KINDS[kind].letters)


def _type(catalog: Catalog, oid: int) -> Holder | None:
    """An array's privileges are its element's, a multirange's its range's."""
    made = catalog.by_oid(oid)
    if not isinstance(made, TypeObject):
        made = catalog.owner_of_part(oid)
    if isinstance(made, TypeObject):
        if made.kind == "m":
            made = catalog.of_kind(TypeObject, made.base_type) or made
        return _of(catalog, made)
    if isinstance(made, Relation):
        # A row type was never granted on.
        return Holder(acl.default_items("type", made.owner), made.owner, "U")
    known = catalog.types.by_oid.get(oid)
    if known is not None and known.is_array:
        return _built_in(catalog, "type", known.element)
    if known is None and oid not in type_names():
        return None
    return _built_in(catalog, "type", oid)


def holds(catalog: Catalog, role: int, kind: str, oid: int, privilege: str) -> bool | None:
    """Whether `role` (0: PUBLIC) holds one privilege on the thing itself; None: no such thing."""
    holder = find_holder(catalog, kind, oid)
    if holder is None:
        return None
    if kind == "tablespace" and oid == PG_GLOBAL:
        return False
    return _holds(catalog, role, holder, privilege)


def holds_parameter(catalog: Catalog, role: int, name: str, privilege: str) -> bool:
    """The same for a setting, by name; nobody but superusers holds anything on an unknown one."""
    return _holds(catalog, role, _built_in(catalog, "parameter", name.lower()), privilege)


def _holds(catalog: Catalog, role: int, holder: Holder, privilege: str) -> bool:
    letter, with_option = parse_privilege(privilege)
    if letter == acl.UNMASK and not with_option:
        # Superusers and owners hold it only by a grant.
        return holder.obj is not None and acl.holds_unmask(catalog, role, holder.obj)
    if role and acl.is_superuser(catalog, role):
        return True
    if with_option:
        if not role:
            return False
        if acl.has_privileges_of(catalog, role, holder.owner):
            return True
        return letter in acl.held_options(holder.items, acl.roles_of(catalog, role))
    if holder.obj is not None:
        return letter in acl.privileges_held(catalog, role, holder.obj)
    roles = acl.roles_of(catalog, role) if role else frozenset[int]()
    return letter in acl.held_privileges(holder.items, roles)


def parse_privilege(text: str) -> tuple[str, bool]:
    """(letter, whether the grant option is meant)."""
    name = text.strip().upper()
    return acl.PRIVILEGE_NAMES.get(name.removesuffix(GRANT_OPTION), ""), name.endswith(GRANT_OPTION)


def holds_column(catalog: Catalog, role: int, oid: int, column: int, privilege: str) -> bool | None:
    """By a grant on the column or its relation; None: no such column. `column` -1: any column."""
    relation = catalog.by_oid(oid)
    if not isinstance(relation, Relation):
        return None
    if not isinstance(relation, ColumnedRelation):
        return holds(catalog, role, "relation", oid, privilege)
    if column > 0:
        if column > len(relation.columns) or relation.column(column).dropped:
            return None
        columns: tuple[Column, ...] = (relation.column(column),)
    else:
        columns = relation.live_columns
    if holds(catalog, role, "relation", oid, privilege):
        return True
    letter, with_option = parse_privilege(privilege)
    roles = acl.roles_of(catalog, role) if role else frozenset[int]()
    held = acl.held_options if with_option else acl.held_privileges
    lists = (acl.current_column_acl(catalog, relation, each) for each in columns)
    return any(items is not None and letter in held(items, roles) for items in lists)


def membership(catalog: Catalog, role: int, of_role: int, mode: str) -> bool:
    """pg_has_role: USAGE, MEMBER, SET, or either of the first two WITH ADMIN OPTION."""
    word = mode.strip().upper()
    if word.endswith((" WITH ADMIN OPTION", GRANT_OPTION)):
        return acl.is_admin_of(catalog, role, of_role)
    if word == "SET":
        return acl.may_become(catalog, role, of_role)
    if word == "MEMBER":
        return acl.is_member(catalog, role, of_role)
    return acl.has_privileges_of(catalog, role, of_role)
