"""What GRANT and REVOKE name: stored objects and built-in ones alike, and where their acl rests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from helios_storage.locks import TableLockMode
from heliosd.catalog import acl
from heliosd.catalog.built_in_acl import built_in_items, find_built_in, is_untrusted_language
from heliosd.catalog.kinds import CLASS_KINDS, KINDS, kind_of
from heliosd.catalog.objects import (
    BOOTSTRAP_ROLE_OID,
    AclItem,
    BuiltInAcl,
    CatalogObject,
    ColumnedRelation,
    IndexRelation,
    Schema,
    SystemView,
    Table,
    View,
)
from heliosd.catalog.objects import Sequence as SequenceObject
from heliosd.errors import SqlError, not_supported
from heliosd.execute.utility.names import (
    current_role_oid,
    find_relation,
    lock_object,
    missing_relation,
    require_schema_usage,
)
from heliosd.execute.utility.routine_names import (
    find_routine,
    missing_routine,
    reference_types,
)
from heliosd.sql.tree.base import (
    ObjectKind,
    ObjectRef,
    QualifiedName,
)
from heliosd.types.facts import function_facts
from heliosd.types.oids import OIDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heliosd.catalog.lookup import Catalog
    from heliosd.execute.context import SessionServices

BuiltInKind = Literal["function", "type", "language", "relation", "schema", "tablespace",
                      "parameter"]  # fmt: skip

LANGUAGES: Final = {"internal": 12, "c": 13, "sql": 14}
TABLESPACES: Final = {"pg_default": 1663, "pg_global": 1664}
_ROUTINES: Final = frozenset({ObjectKind.FUNCTION, ObjectKind.PROCEDURE, ObjectKind.ROUTINE})
_NOT_HERE: Final = {
    ObjectKind.FOREIGN_SERVER: "server",
    ObjectKind.FOREIGN_DATA_WRAPPER: "foreign-data wrapper",
}


@dataclass(frozen=True, slots=True)
class Grantable:
    """One object with an acl. `obj` is the stored object, None for a built-in one, which is known
    by `built_in` and `target`. `kind` is its line in catalog/kinds.py. `wrong`: the statement names
    it by the wrong word, which is said after the privileges were looked at, as in PostgreSQL.
    """

    kind: str
    name: str
    owner: int
    obj: CatalogObject | None = None
    built_in: BuiltInKind | None = None
    target: int | str = 0
    wrong: SqlError | None = None

    @property
    def words(self) -> str:
        """`permission denied for {words} {name}`: GRANT calls every relation but sequences so."""
        if isinstance(self.obj, ColumnedRelation) and not isinstance(self.obj, SequenceObject):
            return "table"
        return KINDS[self.kind].words if self.obj is None else acl.kind_words(self.obj)

    def items(self, catalog: Catalog) -> tuple[AclItem, ...]:
        """The access list in force."""
        if self.built_in is not None:
            if isinstance(self.obj, SystemView | Schema):
                return acl.current_acl(catalog, self.obj)
            return built_in_items(catalog, self.built_in, self.target)
        assert self.obj is not None
        return acl.effective_acl(self.obj)

    def lock(self, session: SessionServices) -> Grantable:
        """Lock it; what it is once the lock is held."""
        if self.built_in is not None:
            lock_object(session, _BUILT_IN_LOCK, TableLockMode.SHARE_UPDATE_EXCLUSIVE)
            return self
        assert self.obj is not None
        lock_object(session, self.obj.oid, TableLockMode.SHARE_UPDATE_EXCLUSIVE)
        again = session.catalog.by_oid(self.obj.oid)
        if again is None:
            raise SqlError("42704", f'{self.words} "{self.name}" does not exist')
        return replace(self, obj=again, owner=again.owner, name=again.name)

    def put(self, session: SessionServices, items: tuple[AclItem, ...]) -> CatalogObject:
        """Give it this access list."""
        edit = session.catalog_edit()
        if self.built_in is None:
            assert self.obj is not None
            return edit.replace(self.obj, replace(self.obj, acl=items))
        known = find_built_in(session.catalog, self.built_in, self.target)
        if known is not None:
            return edit.replace(known, replace(known, acl=items))
        shared = self.built_in in ("parameter", "tablespace")
        return edit.create(
            BuiltInAcl(
                oid=edit.new_oid(),
                name=self.name,
                database=0 if shared else session.catalog.database.oid,
                kind=self.built_in,
                target=self.target if isinstance(self.target, int) else 0,
                acl=items,
            )
        )


_BUILT_IN_LOCK: Final = 2615
"""Grants on built-in things are rare: one object's lock orders them all (pg_namespace's oid)."""


def of_object(obj: CatalogObject) -> Grantable:
    """A catalog object as something to grant on."""
    kind = kind_of(type(obj))
    if isinstance(obj, SystemView):
        return Grantable(kind, obj.name, obj.owner, obj, "relation", obj.oid)
    if isinstance(obj, Schema) and acl.is_system_schema(obj):
        return Grantable(kind, obj.name, obj.owner, obj, "schema", obj.oid)
    return Grantable(kind, obj.name, obj.owner, obj)


def built_in(kind: BuiltInKind, name: str, target: int | str) -> Grantable:
    """A thing that is never stored."""
    return Grantable("table" if kind == "relation" else kind, name, BOOTSTRAP_ROLE_OID, None, kind,
                     target)  # fmt: skip


def find_grantable(session: SessionServices, kind: ObjectKind, reference: ObjectRef) -> Grantable:
    """What `GRANT ... ON kind reference` means; the error of its kind when there is none."""
    catalog = session.catalog
    if kind in _ROUTINES:
        return find_function(session, kind, reference)
    match kind:
        case ObjectKind.TABLE | ObjectKind.SEQUENCE:
            return _relation(session, kind, reference)
        case ObjectKind.SCHEMA:
            return of_object(catalog.require_schema(reference.name))
        case ObjectKind.DATABASE:
            database = catalog.database_named(reference.name)
            if database is None:
                raise SqlError("3D000", f'database "{reference.name}" does not exist')
            return of_object(database)
        case ObjectKind.TYPE | ObjectKind.DOMAIN:
            return _type(session, kind, reference)
        case ObjectKind.LANGUAGE:
            return find_language(session, reference.name)
        case ObjectKind.TABLESPACE:
            if reference.name not in TABLESPACES:
                raise SqlError("42704", f'tablespace "{reference.name}" does not exist')
            return built_in("tablespace", reference.name, TABLESPACES[reference.name])
        case ObjectKind.PARAMETER:
            return _parameter(session, reference.name)
        case ObjectKind.LARGE_OBJECT:
            raise SqlError("42704", f"large object {reference.large_object} does not exist")
    if kind in _NOT_HERE:
        raise SqlError("42704", f'{_NOT_HERE[kind]} "{reference.name}" does not exist')
    raise not_supported(f"GRANT on {kind.value}")


def _relation(session: SessionServices, kind: ObjectKind, reference: ObjectRef) -> Grantable:
    name = QualifiedName(reference.position, reference.parts)
    relation = find_relation(session, name)
    if relation is None:
        raise missing_relation(session, name)
    wrong = None
    if isinstance(relation, IndexRelation):
        wrong = SqlError("42809", f'"{relation.name}" is an index')
    elif kind is ObjectKind.SEQUENCE and not isinstance(relation, SequenceObject):
        wrong = SqlError("42809", f'"{relation.name}" is not a sequence')
    return replace(of_object(relation), wrong=wrong)


def _type(session: SessionServices, kind: ObjectKind, reference: ObjectRef) -> Grantable:
    schema = reference.parts[-2] if len(reference.parts) > 1 else None
    if schema is not None:
        require_schema_usage(session, schema)
    made = session.catalog.user_type(schema, reference.name, session.search_path.schemas)
    shown = ".".join(reference.parts)
    if made is not None:
        wrong = None
        if made.kind == "m":
            wrong = SqlError(
                "0LP01",
                "cannot set privileges of multirange types",
                hint="Set the privileges of the range type instead.",
            )
        elif kind is ObjectKind.DOMAIN and made.kind != "d":
            wrong = SqlError("42809", f'"{made.name}" is not a domain')
        return replace(of_object(made), wrong=wrong)
    if schema not in (None, "pg_catalog") or reference.name not in OIDS:
        if schema is not None and session.catalog.schema(schema) is None:
            raise SqlError("3F000", f'schema "{schema}" does not exist')
        raise SqlError("42704", f'type "{shown}" does not exist')
    wrong = None
    if reference.name.startswith("_"):
        wrong = SqlError(
            "0LP01",
            "cannot set privileges of array types",
            hint="Set the privileges of the element type instead.",
        )
    elif kind is ObjectKind.DOMAIN:
        wrong = SqlError("42809", f'"{reference.name}" is not a domain')
    return replace(built_in("type", reference.name, OIDS[reference.name]), wrong=wrong)


def find_language(session: SessionServices, name: str) -> Grantable:
    """A language; 42704, 42809 for one that only superusers use."""
    for obj in session.catalog.objects(CatalogObject):
        if CLASS_KINDS.get(type(obj).__name__) == "language" and obj.name == name:
            return of_object(obj)
    oid = LANGUAGES.get(name)
    if oid is None:
        raise SqlError("42704", f'language "{name}" does not exist')
    wrong = None
    if is_untrusted_language(oid):
        wrong = SqlError(
            "42809",
            f'language "{name}" is not trusted',
            detail="GRANT and REVOKE are not allowed on untrusted languages, because only "
            "superusers can use untrusted languages.",
        )
    return replace(built_in("language", name, oid), wrong=wrong)


def _parameter(session: SessionServices, name: str) -> Grantable:
    """A setting; 42704, 42602 for a name that nothing could have."""
    folded = name.lower()
    try:
        session.settings.get(folded)
    except SqlError:
        if "." not in folded:
            raise SqlError("42704", f'invalid parameter name "{name}"') from None
    return built_in("parameter", folded, folded)


# -- functions ------------------------------------------------------------------------------------


def find_function(session: SessionServices, kind: ObjectKind, reference: ObjectRef) -> Grantable:
    """A function or procedure by its name and, if written, argument types; 42883, 42725."""
    schema = reference.parts[-2] if len(reference.parts) > 1 else None
    if schema is not None:
        require_schema_usage(session, schema)
    made = find_routine(session, kind, reference)
    if made is not None:
        return of_object(made)
    types = None if reference.arguments is None else reference_types(session, reference)[0]
    found = [
        oid
        for oid, fact in function_facts().items()
        if fact.name == reference.name
        and (types is None or types == tuple(OIDS.get(each, 0) for each in fact.arguments))
    ]
    if not found or schema not in (None, "pg_catalog"):
        raise missing_routine(session, kind, reference)
    if len(found) > 1:
        raise SqlError(
            "42725",
            f'{kind.value} name "{reference.name}" is not unique',
            hint=f"Specify the argument list to select the {kind.value} unambiguously.",
        )
    return built_in("function", reference.name, found[0])


def is_routine(obj: CatalogObject) -> bool:
    """Whether an object is a function, procedure or aggregate."""
    return CLASS_KINDS.get(type(obj).__name__) in ("function", "procedure", "aggregate")


# -- ALL ... IN SCHEMA ----------------------------------------------------------------------------


def all_in_schemas(
    session: SessionServices, kind: ObjectKind, schemas: tuple[ObjectRef, ...]
) -> Iterator[Grantable]:
    """Every table (views too), sequence or routine of these schemas."""
    for reference in schemas:
        schema = session.catalog.require_schema(reference.name)
        if not session.catalog.may_use(current_role_oid(session), schema):
            raise SqlError("42501", f"permission denied for schema {reference.name}")
        found = [
            obj
            for obj in session.catalog.objects(CatalogObject)
            if getattr(obj, "schema", 0) == schema.oid and _is_of(kind, obj)
        ]
        for obj in sorted(found, key=lambda each: (isinstance(each, View), each.oid)):
            yield of_object(obj)


def _is_of(kind: ObjectKind, obj: CatalogObject) -> bool:
    if kind is ObjectKind.TABLE:
        return isinstance(obj, Table | View | SystemView) or kind_of(type(obj)) in (
            "materialized view", "foreign table",
        )  # fmt: skip
    if kind is ObjectKind.SEQUENCE:
        return isinstance(obj, SequenceObject)
    if not is_routine(obj):
        return False
    is_procedure = getattr(obj, "kind", "f") == "p"
    return kind is ObjectKind.ROUTINE or is_procedure == (kind is ObjectKind.PROCEDURE)
