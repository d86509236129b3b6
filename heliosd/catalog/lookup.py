"""What a session sees of the catalog: committed state, its temporary objects, its transaction.

`SharedCatalog` is the process's committed state. `Catalog` is one session's face to it: lookups
ask the transaction's overlay first (only while there is one), then the session's temporary
objects, then the committed state. A lookup costs one to three dict probes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from secrets import token_bytes
from typing import TYPE_CHECKING, TypeVar

from heliosd.catalog.acl import USAGE, has_privilege
from heliosd.catalog.history import HistoryClock
from heliosd.catalog.made_types import session_registry
from heliosd.catalog.membership import RoleWalks
from heliosd.catalog.objects import (
    FIRST_USER_OID,
    INFORMATION_SCHEMA_OID,
    PG_CATALOG_OID,
    CatalogObject,
    ColumnedRelation,
    Constraint,
    Database,
    Index,
    IndexRelation,
    Relation,
    Role,
    Routine,
    Schema,
    Sequence,
    Statistics,
    Table,
    TypeObject,
)
from heliosd.catalog.state import (
    DATABASE,
    RELATION,
    ROLE,
    SCHEMA,
    STATISTICS,
    TYPE,
    CatalogState,
    NameKey,
    derived,
    name_key,
    parts,
    references_of,
)
from heliosd.errors import SqlError

if TYPE_CHECKING:
    from heliosd.types.registry import TypeRegistry

T = TypeVar("T", bound=CatalogObject)


@dataclass(frozen=True, slots=True)
class SearchPath:
    """A resolved search_path: schemas in the order of lookup, and where new objects go."""

    schemas: tuple[int, ...]
    """Implicit ones included: the temporary schema first, pg_catalog before the named ones."""
    creation: int | None
    """The first named schema that exists; None when there is none (3F000 on CREATE)."""
    named: tuple[int, ...] = ()
    """Only those that the setting names."""


class SharedCatalog:
    """The committed objects of all databases, and the source of versions."""

    def __init__(self, types: TypeRegistry, system: Iterable[CatalogObject] = ()) -> None:
        self.types = types
        self.state = CatalogState()
        self.role_walks = RoleWalks()
        """Memberships walked, for `catalog.membership`."""
        self.mask_secret = token_bytes(32)
        """The key of hash and noise masks; a server puts its key ring's secret in its place."""
        self.history_clock = HistoryClock()
        self.routine_functions: dict[tuple[int, int], object] = {}
        """What the binder made of routines, by (oid, version)."""
        self._versions = count(1)
        for obj in system:
            self.state.add(obj)

    def next_version(self) -> int:
        """A version that no object has had in this process."""
        return next(self._versions)

    def database(self, name: str) -> Database | None:
        found = self.state.names.get((DATABASE, 0, name))
        return found if isinstance(found, Database) else None

    def role(self, name: str) -> Role | None:
        found = self.state.names.get((ROLE, 0, name))
        return found if isinstance(found, Role) else None

    def databases(self) -> list[Database]:
        return [o for o in self.state.databases.get(0, {}).values() if isinstance(o, Database)]

    def roles(self) -> list[Role]:
        return [o for o in self.state.databases.get(0, {}).values() if isinstance(o, Role)]


class Overlay:
    """One transaction's changes, over both layers, with an undo list for savepoints."""

    __slots__ = ("log", "names", "objects", "part_of")

    def __init__(self) -> None:
        self.objects: dict[int, CatalogObject | None] = {}
        """None: dropped by this transaction."""
        self.names: dict[NameKey, CatalogObject | None] = {}
        self.part_of: dict[int, int] = {}
        self.log: list[tuple[CatalogObject | None, CatalogObject | None]] = []
        """(before, after) of each change, oldest first."""

    def change(self, before: CatalogObject | None, after: CatalogObject | None) -> None:
        """Record that `before` (None: created) became `after` (None: dropped)."""
        self.log.append((before, after))
        self._apply(before, after)

    def undo_to(self, mark: int) -> None:
        """Forget the changes after `mark`, newest first."""
        while len(self.log) > mark:
            before, after = self.log.pop()
            self._apply(after, before)

    def _apply(self, before: CatalogObject | None, after: CatalogObject | None) -> None:
        if before is not None:
            for each in (before, *derived(before)):
                self.objects[each.oid] = None
                self.names[name_key(each)] = None
        if after is not None:
            for each in (after, *derived(after)):
                self.objects[each.oid] = each
                self.names[name_key(each)] = each
            for part in parts(after):
                self.part_of[part] = after.oid


class Catalog:
    """One session's view. Cheap to make; `overlay` is None outside of DDL transactions."""

    __slots__ = (
        "_database",
        "_paths",
        "_types",
        "local",
        "made_types",
        "overlay",
        "shared",
        "temporary_schema",
    )

    def __init__(self, shared: SharedCatalog, database: Database) -> None:
        self.shared = shared
        self._database = database
        self.local = CatalogState()
        """The session's temporary objects: never stored, never seen by others."""
        self.overlay: Overlay | None = None
        self.temporary_schema = 0
        """Oid of pg_temp_N, 0 until the first temporary object."""
        self._paths: dict[tuple[tuple[str, ...], str], tuple[tuple[int, int, int], SearchPath]] = {}
        self._types, self.made_types = session_registry(self, shared.types)

    @property
    def database(self) -> Database:
        """The session's database as it is now: owner and acl change under open sessions."""
        found = self.by_oid(self._database.oid)
        return found if isinstance(found, Database) else self._database

    @property
    def types(self) -> TypeRegistry:
        """The built-in types and, by oid, those that this session sees of users' making."""
        return self._types

    # -- by oid ------------------------------------------------------------------------------

    def by_oid(self, oid: int) -> CatalogObject | None:
        """The object, whatever its kind (of any database: oids are unique in a data directory)."""
        overlay = self.overlay
        if overlay is not None and oid in overlay.objects:
            return overlay.objects[oid]
        found = self.shared.state.objects.get(oid)
        if found is not None:
            return found
        return self.local.objects.get(oid)

    def version(self, oid: int) -> int:
        """The object's version, 0 when it is gone: what a plan's dependencies are compared with."""
        found = self.by_oid(oid)
        return 0 if found is None else found.version

    def is_current(self, dependencies: Iterable[tuple[int, int]]) -> bool:
        """Do all (oid, version) still hold?"""
        if self.overlay is None:
            shared = self.shared.state.objects
            local = self.local.objects
            for oid, version in dependencies:
                found = shared.get(oid) or local.get(oid)
                if found is None or found.version != version:
                    return False
            return True
        return all(self.version(oid) == version for oid, version in dependencies)

    def of_kind(self, kind: type[T], oid: int) -> T | None:
        found = self.by_oid(oid)
        return found if isinstance(found, kind) else None

    def table(self, oid: int) -> Table:
        """The table that must be there; XX000 otherwise (the caller holds its lock)."""
        found = self.by_oid(oid)
        if not isinstance(found, Table):
            raise SqlError("XX000", f"cache lookup failed for relation {oid}")
        return found

    def owner_of_part(self, oid: int) -> CatalogObject | None:
        """The object in which the constraint, default, row or array type with this oid rests."""
        overlay = self.overlay
        if overlay is not None and oid in overlay.part_of:
            owner = overlay.objects.get(overlay.part_of[oid])
            if owner is not None:
                return owner
        holder = self.shared.state.part_of.get(oid) or self.local.part_of.get(oid)
        return None if holder is None else self.by_oid(holder)

    def constraint(self, oid: int) -> tuple[Table, Constraint] | None:
        owner = self.owner_of_part(oid)
        if isinstance(owner, Table):
            found = owner.constraint_by_oid(oid)
            if found is not None:
                return owner, found
        return None

    def index(self, oid: int) -> tuple[Table, Index] | None:
        found = self.by_oid(oid)
        if isinstance(found, IndexRelation):
            return self.table(found.table), found.index
        return None

    # -- by name -----------------------------------------------------------------------------

    def by_name(self, key: NameKey) -> CatalogObject | None:
        """The object with this name in this name space (state.name_key)."""
        overlay = self.overlay
        if overlay is not None and key in overlay.names:
            return overlay.names[key]
        found = self.shared.state.names.get(key)
        if found is not None:
            return found
        return self.local.names.get(key)

    def schema(self, name: str) -> Schema | None:
        """A schema of this database; `pg_temp` is the session's temporary one."""
        if name == "pg_temp":
            return self.of_kind(Schema, self.temporary_schema) if self.temporary_schema else None
        found = self.by_name((SCHEMA, self._database.oid, name)) or self.by_name((SCHEMA, 0, name))
        return found if isinstance(found, Schema) else None

    def require_schema(self, name: str, position: int = 0) -> Schema:
        found = self.schema(name)
        if found is None:
            raise SqlError("3F000", f'schema "{name}" does not exist', position=position)
        return found

    def may_use(self, role: int, schema: Schema) -> bool:
        """USAGE on a schema; everybody has it on the own temporary one."""
        return schema.oid == self.temporary_schema or has_privilege(self, role, schema, USAGE)

    def relation_in(self, schema: int, name: str) -> Relation | None:
        found = self.by_name((RELATION, schema, name))
        return found if isinstance(found, Relation) else None

    def relation(
        self, schema: str | None, name: str, path: Iterable[int], *, position: int = 0
    ) -> Relation | None:
        """The relation (table, view, sequence, index, system view) that this name means, or None.

        `path` is `SearchPath.schemas`, asked in order for an unqualified name. A named schema that
        does not exist is 3F000 only where PostgreSQL says so: here it is just None.
        """
        if schema is not None:
            namespace = self.schema(schema)
            return None if namespace is None else self.relation_in(namespace.oid, name)
        for oid in path:
            found = self.by_name((RELATION, oid, name))
            if found is not None:
                return found if isinstance(found, Relation) else None
        return None

    def role(self, name: str) -> Role | None:
        found = self.by_name((ROLE, 0, name))
        return found if isinstance(found, Role) else None

    def require_role(self, name: str, position: int = 0) -> Role:
        found = self.role(name)
        if found is None:
            raise SqlError("42704", f'role "{name}" does not exist', position=position)
        return found

    def role_name(self, oid: int) -> str:
        """The role's name; `unknown (OID=n)` for one that is gone, as PostgreSQL shows it."""
        found = self.of_kind(Role, oid)
        return f"unknown (OID={oid})" if found is None else found.name

    def database_named(self, name: str) -> Database | None:
        found = self.by_name((DATABASE, 0, name))
        return found if isinstance(found, Database) else None

    def type_oid(self, schema: str | None, name: str, path: Iterable[int]) -> int | None:
        """The oid that a type's name (as in pg_type: "int4", "_text", "rainbow") means here."""
        if schema is not None:
            namespace = self.schema(schema)
            return None if namespace is None else self._type_in(namespace.oid, name)
        for oid in path:
            found = self._type_in(oid, name)
            if found is not None:
                return found
        return None

    def _type_in(self, schema: int, name: str) -> int | None:
        if schema == PG_CATALOG_OID:
            built_in = self._types.by_name.get(name)
            if built_in is not None:
                return built_in.oid
        found = self.by_name((TYPE, schema, name))
        if found is not None:
            return found.oid
        relation = self.by_name((RELATION, schema, name))
        if isinstance(relation, ColumnedRelation) and relation.row_type:
            return relation.row_type
        if name.startswith("_"):
            element = self.by_name((TYPE, schema, name[1:]))
            if isinstance(element, TypeObject) and element.array_oid:
                return element.array_oid
            relation = self.by_name((RELATION, schema, name[1:]))
            if isinstance(relation, ColumnedRelation) and relation.row_array:
                return relation.row_array
        return None

    def user_type(self, schema: str | None, name: str, path: Iterable[int]) -> TypeObject | None:
        """A type made by CREATE TYPE or DOMAIN; built-in ones are in `types`."""
        if schema is not None:
            namespace = self.schema(schema)
            found = None if namespace is None else self.by_name((TYPE, namespace.oid, name))
            return found if isinstance(found, TypeObject) else None
        for oid in path:
            found = self.by_name((TYPE, oid, name))
            if isinstance(found, TypeObject):
                return found
        return None

    def type_schema(self, oid: int) -> str:
        """The name of a type's schema."""
        made = self.by_oid(oid) or self.owner_of_part(oid)
        if oid >= FIRST_USER_OID and isinstance(made, TypeObject | Relation):
            return self.schema_name(made.schema)
        return "pg_catalog"

    def routines(self, schema: int, name: str) -> list[Routine]:
        """The routines of this name in a schema, ordered by oid."""
        key = (schema, name)
        found = {**self.shared.state.routines.get(key, {}), **self.local.routines.get(key, {})}
        if self.overlay is not None:
            for oid, obj in self.overlay.objects.items():
                if isinstance(obj, Routine) and (obj.schema, obj.name) == key:
                    found[oid] = obj
                else:
                    found.pop(oid, None)
        return [found[oid] for oid in sorted(found)]

    def statistics(self, table: int) -> Statistics | None:
        """What ANALYZE last found in this table."""
        found = self.by_name((STATISTICS, table, ""))
        return found if isinstance(found, Statistics) else None

    def search_path(self, names: tuple[str, ...], role: str) -> SearchPath:
        """Resolve the search_path setting's names ("$user" included) for a role. Kept until
        schemas change."""
        key = (names, role)
        state = (
            self.shared.state.schema_generation,
            self.shared.state.roles_generation,
            self.temporary_schema,
        )
        kept = self._paths.get(key)
        if kept is not None and kept[0] == state and self.overlay is None:
            return kept[1]
        resolved = self._resolve_path(names, role)
        if self.overlay is None:
            if len(self._paths) > 64:
                self._paths.clear()
            self._paths[key] = (state, resolved)
        return resolved

    def _resolve_path(self, names: tuple[str, ...], role: str) -> SearchPath:
        named: list[int] = []
        user = self.role(role)
        for name in names:
            schema = self.schema(role if name == "$user" else name)
            if schema is None or schema.oid in named:
                continue
            # A schema that the role may not use is as if it were not there.
            if user is None or self.may_use(user.oid, schema):
                named.append(schema.oid)
        implicit: list[int] = []
        if self.temporary_schema and self.temporary_schema not in named:
            implicit.append(self.temporary_schema)
        if PG_CATALOG_OID not in named:
            implicit.append(PG_CATALOG_OID)
        creation: int | None = named[0] if named else None
        return SearchPath(tuple(implicit + named), creation, tuple(named))

    # -- everything --------------------------------------------------------------------------

    def objects(self, kind: type[T]) -> Iterator[T]:
        """All objects of a kind in this database, shared and system ones included, any order."""
        overlay = self.overlay
        changed = overlay.objects if overlay is not None else {}
        databases = self.shared.state.databases
        for layer in (
            databases.get(0, {}),
            databases.get(self._database.oid, {}),
            self.local.objects,
        ):
            for oid, obj in list(layer.items()):
                if isinstance(obj, kind) and oid not in changed:
                    yield obj
        for changed_obj in list(changed.values()):
            if isinstance(changed_obj, kind) and changed_obj.database in (0, self._database.oid):
                yield changed_obj

    def dependents(self, oid: int) -> list[CatalogObject]:
        """Objects that refer to `oid` now, ordered by oid."""
        candidates = set(self.shared.state.dependents.get(oid, ()))
        candidates |= self.local.dependents.get(oid, set())
        if self.overlay is not None:
            candidates.update(
                each.oid for each in self.overlay.objects.values() if each is not None
            )
        found: list[CatalogObject] = []
        for candidate in sorted(candidates):
            obj = self.by_oid(candidate)
            if obj is not None and any(r.oid == oid for r in references_of(obj)):
                found.append(obj)
        return found

    def in_schema(self, schema: int) -> list[CatalogObject]:
        """What a schema holds: relations and types, indexes left to their tables."""
        found: list[CatalogObject] = [
            r
            for r in self.objects(Relation)
            if r.schema == schema and not isinstance(r, IndexRelation)
        ]
        found.extend(t for t in self.objects(TypeObject) if t.schema == schema)
        found.extend(r for r in self.objects(Routine) if r.schema == schema)
        return sorted(found, key=lambda obj: obj.oid)

    def schema_name(self, oid: int) -> str:
        found = self.of_kind(Schema, oid)
        return "" if found is None else found.name

    def is_system(self, schema: int) -> bool:
        """pg_catalog and information_schema refuse DDL."""
        return schema in (PG_CATALOG_OID, INFORMATION_SCHEMA_OID)

    def owned_sequences(self, table: int) -> list[Sequence]:
        """Sequences owned by a table's columns (serial, identity, OWNED BY)."""
        return [
            obj
            for obj in self.dependents(table)
            if isinstance(obj, Sequence) and obj.owned_by is not None
        ]
