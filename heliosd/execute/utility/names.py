"""How DDL finds, locks and may touch what its statements name."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from helios_storage.locks import LockPolicy, TableLockMode
from heliosd.catalog import acl
from heliosd.catalog.dependencies import describe_object
from heliosd.catalog.holdings import holds
from heliosd.catalog.objects import (
    CatalogObject,
    IndexRelation,
    MaterializedView,
    Relation,
    Role,
    Schema,
    Sequence,
    SystemView,
    Table,
    TypeObject,
    View,
)
from heliosd.catalog.temporary import ensure_temporary_schema
from heliosd.errors import SqlError
from heliosd.sql.tree.base import QualifiedName, RoleKind, RoleSpec
from heliosd.sql.tree.query import Persistence

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

R = TypeVar("R", bound=Relation)

_LOCK_TRIES = 100


def check_database(session: SessionServices, name: QualifiedName) -> None:
    """0A000 for a name in another database."""
    if name.catalog is not None and name.catalog != session.database:
        raise SqlError(
            "0A000",
            f'cross-database references are not implemented: "{".".join(name.parts)}"',
            position=name.position,
        )


def shown(name: QualifiedName) -> str:
    """The name as the statement wrote it."""
    return ".".join(name.parts[-2:])


def find_relation(session: SessionServices, name: QualifiedName) -> Relation | None:
    """The relation, unlocked; None when there is none. 3F000 is left to `require_relation`."""
    check_database(session, name)
    if name.schema is not None:
        require_schema_usage(session, name.schema)
    return session.catalog.relation(name.schema, name.name, session.search_path.schemas)


def missing_relation(
    session: SessionServices, name: QualifiedName, word: str = "relation"
) -> SqlError:
    """42P01, or 3F000 when its schema does not exist."""
    if name.schema is not None and session.catalog.schema(name.schema) is None:
        return SqlError("3F000", f'schema "{name.schema}" does not exist')
    return SqlError("42P01", f'{word} "{shown(name)}" does not exist')


def lock_relation(
    session: SessionServices,
    name: QualifiedName,
    mode: TableLockMode = TableLockMode.ACCESS_EXCLUSIVE,
) -> Relation | None:
    """Find and lock a relation: what the name means once the lock is held. None: there is none.

    An index is locked through its table.
    """
    for _ in range(_LOCK_TRIES):
        found = find_relation(session, name)
        if found is None:
            return None
        if not isinstance(found, SystemView):
            lock_object(session, lock_id(found), mode)
        again = find_relation(session, name)
        if again is not None and again.oid == found.oid:
            return again
    raise SqlError("40001", f'relation "{shown(name)}" changes too fast')


def lock_object(
    session: SessionServices,
    oid: int,
    mode: TableLockMode,
    policy: LockPolicy = LockPolicy.WAIT,
) -> None:
    """Lock an object to the end of the transaction; 55P03 after lock_timeout."""
    timeout_ms = session.context.lock_timeout_ms
    session.transaction.lock_object(oid, mode, policy, timeout_ms)


def lock_id(relation: Relation) -> int:
    """The object id under which a relation is locked."""
    return relation.table if isinstance(relation, IndexRelation) else relation.oid


def require_table(
    session: SessionServices,
    name: QualifiedName,
    mode: TableLockMode = TableLockMode.ACCESS_EXCLUSIVE,
    *,
    or_materialized: bool = False,
) -> Table:
    """A stored table, locked; 42P01, 42809, or 42501 for a system relation."""
    found = lock_relation(session, name, mode)
    if found is None:
        raise missing_relation(session, name)
    if isinstance(found, SystemView):
        raise system_relation(found)
    if not isinstance(found, Table) or (
        isinstance(found, MaterializedView) and not or_materialized
    ):
        raise SqlError("42809", f'"{found.name}" is not a table')
    return found


def system_relation(relation: Relation) -> SqlError:
    """42501 for DDL on pg_catalog and information_schema."""
    return SqlError("42501", f'permission denied: "{relation.name}" is a system catalog')


# -- where new objects go -------------------------------------------------------------------------


def creation_schema(
    session: SessionServices,
    name: QualifiedName,
    persistence: Persistence = Persistence.PERMANENT,
) -> Schema:
    """The schema in which `name` is about to be made, with the right to create there."""
    check_database(session, name)
    temporary = persistence is Persistence.TEMPORARY
    if name.schema == "pg_temp" and persistence is Persistence.UNLOGGED:
        raise SqlError("42P16", "only temporary relations may be created in temporary schemas")
    if name.schema == "pg_temp" or (temporary and name.schema is None):
        return temporary_schema(session)
    if temporary:
        raise SqlError(
            "42P16",
            "cannot create temporary relation in non-temporary schema",
            position=name.position,
        )
    catalog = session.catalog
    if name.schema is not None:
        schema = catalog.require_schema(name.schema, name.position)
    else:
        oid = session.search_path.creation
        found = None if oid is None else catalog.of_kind(Schema, oid)
        if found is None:
            raise SqlError("3F000", "no schema has been selected to create in")
        schema = found
    if catalog.is_system(schema.oid):
        raise SqlError(
            "42501",
            f'permission denied to create "{schema.name}.{name.name}"',
            detail="System catalog modifications are currently disallowed.",
        )
    require_privilege(session, schema, acl.CREATE)
    return schema


def temporary_schema(session: SessionServices) -> Schema:
    """The session's pg_temp_N, made at its first use; 42501 without TEMPORARY."""
    if session.is_restricted:
        raise SqlError(
            "42501", "cannot create temporary table within security-restricted operation"
        )
    catalog = session.catalog
    role = current_role_oid(session)
    if not acl.has_privilege(catalog, role, catalog.database, acl.TEMPORARY):
        raise SqlError(
            "42501",
            f'permission denied to create temporary tables in database "{session.database}"',
        )
    edit = session.catalog_edit()
    return ensure_temporary_schema(catalog, session.process_id, edit.new_oid)


def persistence_letter(persistence: Persistence) -> str:
    """pg_class.relpersistence."""
    return {
        Persistence.PERMANENT: "p",
        Persistence.UNLOGGED: "u",
        Persistence.TEMPORARY: "t",
    }[persistence]


# -- roles and rights -----------------------------------------------------------------------------


def current_role_oid(session: SessionServices) -> int:
    """Oid of the current role."""
    return session.context.eval.current_role_oid


def require_owner(session: SessionServices, obj: CatalogObject) -> None:
    """42501 unless the current role has the owner's rights."""
    if not acl.is_owner(session.catalog, current_role_oid(session), obj):
        name = obj.name
        if isinstance(obj, TypeObject):
            words = describe_object(session.catalog, obj, session.search_path.schemas)
            name = words.removeprefix("type ")
        raise SqlError("42501", f"must be owner of {acl.kind_words(obj)} {name}")


def require_relation_owner(session: SessionServices, relation: Relation) -> None:
    """The same; system relations are nobody's to change."""
    if isinstance(relation, SystemView):
        raise system_relation(relation)
    require_owner(session, relation)


def refuse_in_use(session: SessionServices, obj: CatalogObject, command: str) -> None:
    """55006 while a cursor of this session reads from it: rows of two shapes would be mixed."""
    if session.cursors.uses(obj.oid):
        raise SqlError(
            "55006",
            f'cannot {command} "{obj.name}" because it is being used by active queries in this '
            "session",
        )


def require_privilege(session: SessionServices, obj: CatalogObject, letter: str) -> None:
    """42501 without the privilege."""
    if not acl.has_privilege(session.catalog, current_role_oid(session), obj, letter):
        raise SqlError("42501", f"permission denied for {acl.kind_words(obj)} {obj.name}")


def require_usage(session: SessionServices, oid: int) -> None:
    """USAGE on a type (an array's element's counts); 42501."""
    catalog = session.catalog
    if holds(catalog, current_role_oid(session), "type", oid, "USAGE") is not False:
        return
    made = catalog.by_oid(oid) or catalog.owner_of_part(oid)
    if isinstance(made, TypeObject):
        words = describe_object(catalog, made, session.search_path.schemas)
    else:
        known = catalog.types.by_oid[oid]
        words = catalog.types.by_oid[known.element].display if known.is_array else known.display
    raise SqlError("42501", f"permission denied for type {words.removeprefix('type ')}")


def require_language(session: SessionServices, oid: int, name: str) -> None:
    """USAGE on a language; 42501."""
    if holds(session.catalog, current_role_oid(session), "language", oid, "USAGE") is False:
        raise SqlError("42501", f"permission denied for language {name}")


def require_schema_usage(session: SessionServices, name: str) -> None:
    """42501 for a schema that the current role may not look into; one that is not there passes."""
    schema = session.catalog.schema(name)
    if schema is not None and not session.catalog.may_use(current_role_oid(session), schema):
        raise SqlError("42501", f"permission denied for schema {name}")


def is_superuser(session: SessionServices) -> bool:
    """Is the current role a superuser?"""
    return acl.is_superuser(session.catalog, current_role_oid(session))


def resolve_role(session: SessionServices, spec: RoleSpec) -> Role:
    """The role that a RoleSpec means; 42704. PUBLIC is refused here."""
    match spec.kind:
        case RoleKind.NAME:
            name = spec.name
        case RoleKind.SESSION_USER:
            name = session.session_role
        case RoleKind.PUBLIC:
            raise SqlError("42704", 'role "public" does not exist')
        case _:
            name = session.current_role
    return session.catalog.require_role(name)


def require_new_owner(session: SessionServices, obj: CatalogObject, owner: Role) -> None:
    """ALTER ... OWNER TO: the current role must be able to become the new owner (42501)."""
    role = current_role_oid(session)
    if is_superuser(session):
        return
    if not acl.may_become(session.catalog, role, owner.oid):
        raise SqlError("42501", f'must be member of role "{owner.name}"')


def relation_kind_word(relation: Relation) -> str:
    """What `DROP TABLE x` and its like call it."""
    match relation:
        case MaterializedView():
            return "materialized view"
        case Table():
            return "table"
        case View():
            return "view"
        case Sequence():
            return "sequence"
        case IndexRelation():
            return "index"
        case SystemView():
            return "table" if relation.kind == "r" else "view"
    return "relation"
