"""COMMENT ON."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from helios_storage.locks import TableLockMode
from heliosd.catalog import acl
from heliosd.catalog.objects import (
    CatalogObject,
    Column,
    ColumnedRelation,
    Database,
    IndexRelation,
    MaterializedView,
    Relation,
    Role,
    Sequence,
    SystemView,
    Table,
    TypeObject,
    View,
)
from heliosd.errors import SqlError, not_supported
from heliosd.execute.utility.names import (
    current_role_oid,
    find_relation,
    is_superuser,
    lock_object,
    missing_relation,
    require_owner,
    require_relation_owner,
    system_relation,
)
from heliosd.execute.utility.policies import comment_on_policy
from heliosd.execute.utility.registry import runs
from heliosd.execute.utility.routine_names import require_routine
from heliosd.execute.utility.types import find_type
from heliosd.sql.tree.base import ObjectKind, ObjectRef, QualifiedName
from heliosd.sql.tree.define import CommentOn

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

_RELATIONS: dict[ObjectKind, type[Relation]] = {
    ObjectKind.TABLE: Table,
    ObjectKind.VIEW: View,
    ObjectKind.SEQUENCE: Sequence,
    ObjectKind.INDEX: IndexRelation,
    ObjectKind.MATERIALIZED_VIEW: MaterializedView,
}


@runs(CommentOn, tag="COMMENT", writes=True)
def comment_on(statement: CommentOn, session: SessionServices) -> None:
    """COMMENT ON kind object IS 'text' | NULL; an empty text is NULL."""
    text = statement.comment or None
    reference = statement.object
    match statement.kind:
        case (
            ObjectKind.TABLE
            | ObjectKind.VIEW
            | ObjectKind.SEQUENCE
            | ObjectKind.INDEX
            | ObjectKind.MATERIALIZED_VIEW
        ):
            _on_relation(session, statement.kind, reference, text)
        case ObjectKind.COLUMN:
            _on_column(session, reference, text)
        case ObjectKind.TABLE_CONSTRAINT:
            _on_constraint(session, reference, text)
        case ObjectKind.POLICY:
            comment_on_policy(session, reference, text)
        case ObjectKind.SCHEMA:
            schema = session.catalog.require_schema(reference.name)
            require_owner(session, schema)
            _put(session, schema, text)
        case ObjectKind.DATABASE:
            _on_database(session, reference.name, text)
        case ObjectKind.ROLE:
            _on_role(session, reference, text)
        case ObjectKind.FUNCTION | ObjectKind.PROCEDURE | ObjectKind.ROUTINE:
            routine = require_routine(session, statement.kind, reference)
            require_owner(session, routine)
            _put(session, routine, text)
        case ObjectKind.TYPE | ObjectKind.DOMAIN:
            _on_type(session, reference, text)
        case ObjectKind.DOMAIN_CONSTRAINT:
            _on_domain_constraint(session, reference, text)
        case _:
            raise not_supported(f"COMMENT ON {statement.kind.value.upper()}")


def _put(session: SessionServices, obj: CatalogObject, text: str | None) -> None:
    lock_object(session, obj.oid, TableLockMode.SHARE_UPDATE_EXCLUSIVE)
    current = session.catalog.by_oid(obj.oid)
    assert current is not None
    session.catalog_edit().replace(current, replace(current, comment=text))


def _relation(session: SessionServices, parts: tuple[str, ...], position: int) -> Relation:
    name = QualifiedName(position, parts)
    found = find_relation(session, name)
    if found is None:
        raise missing_relation(session, name)
    return found


def _on_relation(
    session: SessionServices, kind: ObjectKind, reference: ObjectRef, text: str | None
) -> None:
    found = _relation(session, reference.parts, reference.position)
    if not isinstance(found, _RELATIONS[kind]) and not isinstance(found, SystemView):
        article = "an" if kind is ObjectKind.INDEX else "a"
        raise SqlError("42809", f'"{found.name}" is not {article} {kind.value}')
    require_relation_owner(session, found)
    if isinstance(found, IndexRelation):
        table = session.catalog.table(found.table)
        indexes = tuple(
            replace(i, comment=text) if i.oid == found.oid else i for i in table.indexes
        )
        session.catalog_edit().replace(table, replace(table, indexes=indexes))
        return
    _put(session, found, text)


def _require_owner_of_part(session: SessionServices, relation: Relation) -> None:
    """The relation's owner; PostgreSQL calls every kind a relation here."""
    if isinstance(relation, SystemView):
        raise system_relation(relation)
    if not acl.is_owner(session.catalog, current_role_oid(session), relation):
        raise SqlError("42501", f"must be owner of relation {relation.name}")


def _on_column(session: SessionServices, reference: ObjectRef, text: str | None) -> None:
    parts = reference.relation.parts if reference.relation is not None else reference.parts[:-1]
    if _on_attribute(session, parts, reference.name, text):
        return
    found = _relation(session, parts, reference.position)
    if not isinstance(found, ColumnedRelation):
        raise SqlError(
            "42809", f'"{found.name}" is not a table, view, composite type, or foreign table'
        )
    _require_owner_of_part(session, found)
    name = reference.name
    column = found.column_by_name.get(name)
    if column is None:
        raise SqlError("42703", f'column "{name}" of relation "{found.name}" does not exist')
    changed: list[Column] = list(found.columns)
    changed[column.attnum - 1] = replace(column, comment=text)
    lock_object(session, found.oid, TableLockMode.SHARE_UPDATE_EXCLUSIVE)
    session.catalog_edit().replace(found, replace(found, columns=tuple(changed)))


def _on_attribute(
    session: SessionServices, parts: tuple[str, ...], name: str, text: str | None
) -> bool:
    """COMMENT ON COLUMN of a composite type; False when the name means none."""
    schema = parts[-2] if len(parts) > 1 else None
    oid = session.catalog.type_oid(schema, parts[-1], session.search_path.schemas)
    made = None if oid is None else session.catalog.by_oid(oid)
    if not isinstance(made, TypeObject) or made.kind != "c":
        return False
    require_owner(session, made)
    column = next((c for c in made.columns if c.name == name and not c.dropped), None)
    if column is None:
        raise SqlError("42703", f'column "{name}" of relation "{made.name}" does not exist')
    columns = tuple(replace(c, comment=text) if c is column else c for c in made.columns)
    session.catalog_edit().replace(made, replace(made, columns=columns))
    return True


def _on_constraint(session: SessionServices, reference: ObjectRef, text: str | None) -> None:
    assert reference.relation is not None
    found = _relation(session, reference.relation.parts, reference.position)
    if not isinstance(found, Table):
        raise SqlError("42809", f'"{found.name}" is not a table')
    _require_owner_of_part(session, found)
    constraint = found.constraint_by_name(reference.name)
    if constraint is None:
        raise SqlError(
            "42704", f'constraint "{reference.name}" for table "{found.name}" does not exist'
        )
    constraints = tuple(
        replace(c, comment=text) if c.oid == constraint.oid else c for c in found.constraints
    )
    lock_object(session, found.oid, TableLockMode.SHARE_UPDATE_EXCLUSIVE)
    session.catalog_edit().replace(found, replace(found, constraints=constraints))


def _on_database(session: SessionServices, name: str, text: str | None) -> None:
    database = session.catalog.database_named(name)
    if not isinstance(database, Database):
        raise SqlError("3D000", f'database "{name}" does not exist')
    require_owner(session, database)
    _put(session, database, text)


def _on_role(session: SessionServices, reference: ObjectRef, text: str | None) -> None:
    name = reference.role.name if reference.role is not None else reference.name
    role = session.catalog.require_role(name)
    me = session.catalog.of_kind(Role, session.context.eval.current_role_oid)
    if not is_superuser(session) and (me is None or not me.create_role or role.superuser):
        raise SqlError("42501", "must have CREATEROLE privilege")
    _put(session, role, text)


def _on_domain_constraint(session: SessionServices, reference: ObjectRef, text: str | None) -> None:
    assert reference.type is not None
    made = find_type(session, reference.type.names, reference.position)
    require_owner(session, made)
    if not any(c.name == reference.name for c in made.constraints):
        raise SqlError(
            "42704", f'constraint "{reference.name}" for domain {made.name} does not exist'
        )
    kept = tuple(
        replace(c, comment=text) if c.name == reference.name else c for c in made.constraints
    )
    session.catalog_edit().replace(made, replace(made, constraints=kept))


def _on_type(session: SessionServices, reference: ObjectRef, text: str | None) -> None:
    parts = reference.type.names if reference.type is not None else reference.parts
    found = find_type(session, parts, reference.position)
    require_owner(session, found)
    _put(session, found, text)
