"""Objects in memory, found by oid and by name: the committed state, or a session's temporary one.

A name is unique in its *name space*: (kind, parent oid, name), where the kind is one letter of
`NameKind` and the parent a schema, a database, or 0 for roles and databases.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from heliosd.catalog.objects import (
    FIRST_USER_OID,
    BuiltInAcl,
    CatalogObject,
    ColumnedRelation,
    Database,
    DefaultPrivileges,
    IndexRelation,
    MaterializedView,
    Reference,
    Relation,
    Role,
    Routine,
    Schema,
    Sequence,
    Statistics,
    Table,
    TypeObject,
    View,
)

NameKey: TypeAlias = tuple[str, int, str]

RELATION: Final = "r"
SCHEMA: Final = "n"
TYPE: Final = "t"
ROUTINE: Final = "f"
ROLE: Final = "a"
DATABASE: Final = "d"
STATISTICS: Final = "s"
DEFAULT_PRIVILEGES: Final = "p"
BUILT_IN_ACL: Final = "g"

_DECIDES_ROLES: Final = (Role, Database, Schema, BuiltInAcl)
"""Whose changes may change what any statement of any role may do."""


def name_key(obj: CatalogObject) -> NameKey:
    """Where this object's name must be unique."""
    match obj:
        case Relation():
            return (RELATION, obj.schema, obj.name)
        case Schema():
            return (SCHEMA, obj.database, obj.name)
        case TypeObject():
            return (TYPE, obj.schema, obj.name)
        case Routine():
            types = " ".join(map(str, obj.argument_types))
            return (ROUTINE, obj.schema, f"{obj.name}({types})")
        case Role():
            return (ROLE, 0, obj.name)
        case Database():
            return (DATABASE, 0, obj.name)
        case Statistics():
            return (STATISTICS, obj.table, "")
        case DefaultPrivileges():
            return (DEFAULT_PRIVILEGES, obj.database, f"{obj.owner}:{obj.schema}:{obj.kind}")
        case BuiltInAcl():
            return (BUILT_IN_ACL, obj.database, f"{obj.kind}:{obj.target or obj.name}")
    raise AssertionError(f"no name space for {type(obj).__name__}")


def derived(obj: CatalogObject) -> Iterator[IndexRelation]:
    """The relations that exist because `obj` does: a table's indexes."""
    if isinstance(obj, Table):
        for index in obj.indexes:
            yield IndexRelation(
                oid=index.oid,
                name=index.name,
                owner=obj.owner,
                database=obj.database,
                version=obj.version,
                comment=index.comment,
                schema=obj.schema,
                persistence=obj.persistence,
                table=obj.oid,
                index=index,
            )


def parts(obj: CatalogObject) -> Iterator[int]:
    """Oids of what has one but rests inside `obj`: constraints, defaults, policies."""
    if isinstance(obj, Table):
        for constraint in obj.constraints:
            yield constraint.oid
        for column in obj.columns:
            if column.default_oid:
                yield column.default_oid
        for policy in obj.policies:
            yield policy.oid
    elif isinstance(obj, TypeObject):
        if obj.array_oid:
            yield obj.array_oid
        if obj.relation_oid:
            yield obj.relation_oid
        for constraint in obj.constraints:
            yield constraint.oid
    if isinstance(obj, ColumnedRelation) and obj.row_type:
        yield obj.row_type
        if obj.row_array:
            yield obj.row_array


def references_of(obj: CatalogObject) -> Iterator[Reference]:
    """What must exist for `obj` to keep its meaning, schemas and owners aside."""
    match obj:
        case Table():
            for column in obj.columns:
                yield from column.default_references
                if column.type_oid >= 16384 and not column.dropped:
                    yield Reference(column.type_oid)
            for constraint in obj.constraints:
                yield from constraint.references
                if constraint.kind == "f":
                    yield Reference(constraint.referenced_table)
            for index in obj.indexes:
                yield from index.references
            for policy in obj.policies:
                yield from policy.references
            if isinstance(obj, MaterializedView):
                yield from obj.query_references
        case View():
            yield from obj.references
        case Sequence():
            if obj.owned_by is not None:
                yield obj.owned_by
        case TypeObject():
            yield from obj.references
            if obj.base_type >= 16384:
                yield Reference(obj.base_type)
            for column in obj.columns:
                if column.type_oid >= 16384 and not column.dropped:
                    yield Reference(column.type_oid)
            for constraint in obj.constraints:
                yield from constraint.references
        case Routine():
            yield from obj.references
            for oid in {obj.result, *(p.type_oid for p in obj.parameters)}:
                if oid >= FIRST_USER_OID:
                    yield Reference(oid)
        case Statistics():
            yield Reference(obj.table)


class CatalogState:
    """One layer of objects. Not thread-safe: it belongs to the loop's thread."""

    def __init__(self) -> None:
        self.objects: dict[int, CatalogObject] = {}
        self.names: dict[NameKey, CatalogObject] = {}
        self.databases: dict[int, dict[int, CatalogObject]] = {}
        """database oid -> oid -> object; 0 for shared ones; derived objects included."""
        self.part_of: dict[int, int] = {}
        self.dependents: dict[int, set[int]] = {}
        """oid -> oids of objects that refer to it."""
        self.routines: dict[tuple[int, str], dict[int, Routine]] = {}
        """(schema, name) -> the routines of that name by oid."""
        self.schema_generation = 0
        """Counts changes of schemas, so that resolved search paths can be kept."""
        self.generation = 0
        """Counts all changes: while it stands still, no plan has become stale."""
        self.names_generation = 0
        """Counts names that came or went: a plan's names may now mean something else."""
        self.closed_functions: set[int] = set()
        """Built-in functions on which something was granted or revoked."""
        self.roles_generation = 0
        """Counts changes of roles, memberships, databases, schemas and of grants on what is built
        in: privileges must be decided again."""

    def add(self, obj: CatalogObject) -> None:
        """Add an object, or put it in the place of the one with its oid."""
        old = self.objects.get(obj.oid)
        gone: set[NameKey] = set()
        if old is not None:
            gone = {name_key(each) for each in (old, *derived(old))}
            names_generation = self.names_generation
            self.remove(old)
            self.names_generation = names_generation
        self.generation += 1
        if isinstance(obj, _DECIDES_ROLES):
            self.roles_generation += 1
        if isinstance(obj, BuiltInAcl) and obj.kind == "function":
            self.closed_functions.add(obj.target)
        for each in (obj, *derived(obj)):
            self.objects[each.oid] = each
            key = name_key(each)
            self.names[key] = each
            if key in gone:
                gone.discard(key)
            elif not isinstance(each, Statistics):
                self.names_generation += 1
            self.databases.setdefault(each.database, {})[each.oid] = each
        if gone:
            self.names_generation += 1
        if isinstance(obj, Routine):
            self.routines.setdefault((obj.schema, obj.name), {})[obj.oid] = obj
        for part in parts(obj):
            self.part_of[part] = obj.oid
        for reference in references_of(obj):
            self.dependents.setdefault(reference.oid, set()).add(obj.oid)
        if isinstance(obj, Schema):
            self.schema_generation += 1

    def remove(self, obj: CatalogObject) -> None:
        """Take an object out, with its derived ones."""
        self.generation += 1
        if isinstance(obj, _DECIDES_ROLES):
            self.roles_generation += 1
        if isinstance(obj, BuiltInAcl) and obj.kind == "function":
            self.closed_functions.discard(obj.target)
        if not isinstance(obj, Statistics):
            self.names_generation += 1
        for each in (obj, *derived(obj)):
            self.objects.pop(each.oid, None)
            key = name_key(each)
            holder = self.names.get(key)
            if holder is not None and holder.oid == each.oid:
                del self.names[key]
            self.databases.get(each.database, {}).pop(each.oid, None)
        if isinstance(obj, Routine):
            self.routines.get((obj.schema, obj.name), {}).pop(obj.oid, None)
        for part in parts(obj):
            self.part_of.pop(part, None)
        for reference in references_of(obj):
            holders = self.dependents.get(reference.oid)
            if holders is not None:
                holders.discard(obj.oid)
                if not holders:
                    del self.dependents[reference.oid]
        if isinstance(obj, Schema):
            self.schema_generation += 1
