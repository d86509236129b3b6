"""ALTER ... RENAME, ALTER ... SET SCHEMA, ALTER ... OWNER of what is no relation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from helios_storage.locks import TableLockMode
from heliosd.catalog import acl
from heliosd.catalog.edit import name_taken
from heliosd.catalog.objects import (
    ColumnedRelation,
    IndexRelation,
    MaterializedView,
    Relation,
    Role,
    Schema,
    Sequence,
    SystemView,
    Table,
    View,
)
from heliosd.errors import SqlError, not_supported
from heliosd.execute.utility.alter_types import (
    change_type_owner,
    move_type,
    rename_attribute,
    rename_domain_constraint,
    rename_type,
)
from heliosd.execute.utility.columns import check_column_name
from heliosd.execute.utility.databases import change_database_owner, rename_database
from heliosd.execute.utility.names import (
    current_role_oid,
    is_superuser,
    lock_object,
    lock_relation,
    missing_relation,
    require_privilege,
    require_relation_owner,
    shown,
    system_relation,
)
from heliosd.execute.utility.policies import rename_policy
from heliosd.execute.utility.registry import runs
from heliosd.execute.utility.renamed_text import RenamedTexts
from heliosd.execute.utility.roles import check_role_name
from heliosd.execute.utility.routine_changes import (
    change_routine_owner,
    move_routine,
    rename_routine,
)
from heliosd.execute.utility.routine_names import ROUTINES
from heliosd.execute.utility.schemas import change_schema_owner, rename_schema
from heliosd.sql.tree.base import ObjectKind, ObjectRef, QualifiedName
from heliosd.sql.tree.define import AlterObjectSchema, AlterOwner, Rename

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

_RELATIONS = frozenset(
    {
        ObjectKind.TABLE,
        ObjectKind.VIEW,
        ObjectKind.SEQUENCE,
        ObjectKind.INDEX,
        ObjectKind.MATERIALIZED_VIEW,
    }
)


@runs(Rename, tag="ALTER TABLE", writes=True, audit="ddl")
def rename(statement: Rename, session: SessionServices) -> str:
    """ALTER kind name RENAME [COLUMN|CONSTRAINT old] TO new."""
    tag = f"ALTER {statement.relation_kind.value.upper()}"
    match statement.kind:
        case ObjectKind.SCHEMA:
            rename_schema(session, statement.object.name, statement.new_name)
            return "ALTER SCHEMA"
        case ObjectKind.DATABASE:
            rename_database(session, statement.object.name, statement.new_name)
            return "ALTER DATABASE"
        case ObjectKind.ROLE:
            _rename_role(session, statement.object, statement.new_name)
            return "ALTER ROLE"
        case ObjectKind.TYPE | ObjectKind.DOMAIN:
            domain = statement.kind is ObjectKind.DOMAIN
            rename_type(session, statement.object.parts, statement.new_name, domain=domain)
            return tag
        case ObjectKind.ATTRIBUTE:
            old = statement.old_name or ""
            rename_attribute(session, statement.object.parts, old, statement.new_name)
            return tag
        case ObjectKind.DOMAIN_CONSTRAINT:
            old = statement.old_name or ""
            rename_domain_constraint(session, statement.object.parts, old, statement.new_name)
            return tag
        case ObjectKind.POLICY:
            on = statement.object.relation
            assert on is not None
            rename_policy(session, on, statement.object.name, statement.new_name)
            return tag
    if statement.kind in ROUTINES:
        rename_routine(session, statement.kind, statement.object, statement.new_name)
        return f"ALTER {statement.kind.value.upper()}"
    if statement.kind not in _RELATIONS | {ObjectKind.COLUMN, ObjectKind.TABLE_CONSTRAINT}:
        raise not_supported(f"ALTER {statement.kind.value.upper()} RENAME")
    relation = _relation(session, statement.object, missing_ok=statement.missing_ok)
    if relation is None:
        return tag
    require_relation_owner(session, relation)
    match statement.kind:
        case ObjectKind.COLUMN:
            _rename_column(session, relation, statement.old_name or "", statement.new_name)
        case ObjectKind.TABLE_CONSTRAINT:
            _rename_constraint(session, relation, statement.old_name or "", statement.new_name)
        case _:
            _require_create(session, relation)
            _check_word(statement.kind, relation)
            _rename_relation(session, relation, statement.new_name)
    return tag


def _relation(
    session: SessionServices, reference: ObjectRef, *, missing_ok: bool
) -> Relation | None:
    parts = reference.relation.parts if reference.relation is not None else reference.parts
    name = QualifiedName(reference.position, parts)
    found = lock_relation(session, name)
    if found is None:
        if not missing_ok:
            raise missing_relation(session, name)
        session.notice(f'relation "{shown(name)}" does not exist, skipping')
    if isinstance(found, SystemView):
        raise system_relation(found)
    return found


def _require_create(session: SessionServices, relation: Relation) -> None:
    """A new name in a schema takes CREATE there, as a new relation does."""
    schema = session.catalog.of_kind(Schema, relation.schema)
    if schema is not None and schema.oid != session.catalog.temporary_schema:
        require_privilege(session, schema, acl.CREATE)


def _check_word(kind: ObjectKind, relation: Relation) -> None:
    """ALTER TABLE may be said of every relation."""
    wanted: dict[ObjectKind, type[Relation]] = {
        ObjectKind.VIEW: View,
        ObjectKind.SEQUENCE: Sequence,
        ObjectKind.INDEX: IndexRelation,
        ObjectKind.MATERIALIZED_VIEW: MaterializedView,
    }
    expected = wanted.get(kind)
    if expected is not None and not isinstance(relation, expected):
        article = "an" if kind is ObjectKind.INDEX else "a"
        raise SqlError("42809", f'"{relation.name}" is not {article} {kind.value}')


def _rename_relation(session: SessionServices, relation: Relation, new_name: str) -> None:
    edit = session.catalog_edit()
    if isinstance(relation, IndexRelation):
        _rename_index(session, relation, new_name)
        return
    holder = session.catalog.relation_in(relation.schema, new_name)
    if holder is not None:
        raise name_taken(holder)
    texts = RenamedTexts(session, relation)
    edit.replace(relation, replace(relation, name=new_name))
    texts.rewrite()


def _rename_index(session: SessionServices, relation: IndexRelation, new_name: str) -> None:
    """The constraint that the index serves has its name, so it is renamed too."""
    edit = session.catalog_edit()
    edit.claim_relation_name(relation.schema, new_name)
    table = session.catalog.table(relation.table)
    changed = replace(
        table,
        indexes=tuple(
            replace(i, name=new_name) if i.oid == relation.oid else i for i in table.indexes
        ),
        constraints=tuple(
            replace(c, name=new_name) if c.oid == relation.index.constraint else c
            for c in table.constraints
        ),
    )
    edit.replace(table, changed)


def _rename_column(
    session: SessionServices, relation: Relation, old_name: str, new_name: str
) -> None:
    if not isinstance(relation, Table | View):
        raise SqlError("42809", f'cannot rename columns of relation "{relation.name}"')
    column = relation.column_by_name.get(old_name)
    if column is None:
        raise SqlError("42703", f'column "{old_name}" does not exist')
    check_column_name(new_name)
    if new_name in relation.column_by_name:
        raise SqlError("42701", f'column "{new_name}" of relation "{relation.name}" already exists')
    columns = tuple(
        replace(c, name=new_name) if c.attnum == column.attnum else c for c in relation.columns
    )
    texts = RenamedTexts(session, relation, column.attnum)
    changed: ColumnedRelation = replace(relation, columns=columns)
    session.catalog_edit().replace(relation, changed)
    texts.rewrite()


def _rename_constraint(
    session: SessionServices, relation: Relation, old_name: str, new_name: str
) -> None:
    if not isinstance(relation, Table):
        raise SqlError("42809", f'"{relation.name}" is not a table')
    constraint = relation.constraint_by_name(old_name)
    if constraint is None:
        raise SqlError(
            "42704", f'constraint "{old_name}" for table "{relation.name}" does not exist'
        )
    if constraint.kind in "pu":
        found = session.catalog.by_oid(constraint.index)
        assert isinstance(found, IndexRelation)
        _rename_index(session, found, new_name)
        return
    if relation.constraint_by_name(new_name) is not None:
        raise SqlError(
            "42710", f'constraint "{new_name}" for relation "{relation.name}" already exists'
        )
    constraints = tuple(
        replace(c, name=new_name) if c.oid == constraint.oid else c for c in relation.constraints
    )
    session.catalog_edit().replace(relation, replace(relation, constraints=constraints))


def _rename_role(session: SessionServices, reference: ObjectRef, new_name: str) -> None:
    name = reference.role.name if reference.role is not None else reference.name
    role = session.catalog.require_role(name)
    lock_object(session, role.oid, TableLockMode.SHARE_ROW_EXCLUSIVE)
    role = session.catalog.require_role(name)
    check_role_name(new_name)
    me = session.catalog.of_kind(Role, current_role_oid(session))
    if name == session.session_role:
        raise SqlError("0A000", "session user cannot be renamed")
    if name == session.current_role:
        raise SqlError("0A000", "current user cannot be renamed")
    if not is_superuser(session):
        if role.superuser:
            raise SqlError("42501", "must be superuser to rename superusers")
        if me is None or not me.create_role:
            raise SqlError("42501", "permission denied to rename role")
    session.catalog_edit().replace(role, replace(role, name=new_name))


# -- SET SCHEMA -----------------------------------------------------------------------------------


@runs(AlterObjectSchema, tag="ALTER TABLE", writes=True, audit="ddl")
def alter_object_schema(statement: AlterObjectSchema, session: SessionServices) -> str:
    """ALTER kind name SET SCHEMA; owned sequences move with their table."""
    tag = f"ALTER {statement.kind.value.upper()}"
    if statement.kind in (ObjectKind.TYPE, ObjectKind.DOMAIN):
        domain = statement.kind is ObjectKind.DOMAIN
        move_type(session, statement.object.parts, statement.schema, domain=domain)
        return tag
    if statement.kind in ROUTINES:
        move_routine(session, statement.kind, statement.object, statement.schema)
        return tag
    if statement.kind not in _RELATIONS:
        raise not_supported(f"ALTER {statement.kind.value.upper()} SET SCHEMA")
    relation = _relation(session, statement.object, missing_ok=statement.missing_ok)
    if relation is None:
        return tag
    if isinstance(relation, IndexRelation):
        raise SqlError(
            "42809",
            f'cannot change schema of index "{relation.name}"',
            hint="Change the schema of the table instead.",
        )
    require_relation_owner(session, relation)
    _check_word(statement.kind, relation)
    schema = session.catalog.require_schema(statement.schema)
    require_privilege(session, schema, acl.CREATE)
    temporary = session.catalog.temporary_schema
    if temporary in (schema.oid, relation.schema):
        raise SqlError("0A000", "cannot move objects into or out of temporary schemas")
    if session.catalog.is_system(schema.oid):
        raise SqlError("42501", f"permission denied for schema {schema.name}")
    if isinstance(relation, Sequence) and relation.owned_by is not None:
        owner = session.catalog.by_oid(relation.owned_by.oid)
        detail = (
            None
            if owner is None
            else (f'Sequence "{relation.name}" is linked to table "{owner.name}".')
        )
        raise SqlError("0A000", "cannot move an owned sequence into another schema", detail=detail)
    _move(session, relation, schema)
    return tag


def _move(session: SessionServices, relation: Relation, schema: Schema) -> None:
    if relation.schema == schema.oid:
        return
    edit = session.catalog_edit()
    if session.catalog.relation_in(schema.oid, relation.name) is not None:
        raise SqlError(
            "42P07", f'relation "{relation.name}" already exists in schema "{schema.name}"'
        )
    if isinstance(relation, Table):
        for index in relation.indexes:
            edit.claim_relation_name(schema.oid, index.name)
    texts = RenamedTexts(session, relation)
    edit.replace(relation, replace(relation, schema=schema.oid))
    texts.rewrite()
    if isinstance(relation, Table):
        for sequence in session.catalog.owned_sequences(relation.oid):
            _move(session, sequence, schema)


# -- OWNER ----------------------------------------------------------------------------------------


@runs(AlterOwner, tag="ALTER", writes=True, audit="ddl")
def alter_owner(statement: AlterOwner, session: SessionServices) -> str:
    """ALTER SCHEMA | DATABASE ... OWNER TO."""
    match statement.kind:
        case ObjectKind.SCHEMA:
            change_schema_owner(session, statement.object.name, statement.owner)
        case ObjectKind.DATABASE:
            change_database_owner(session, statement.object.name, statement.owner)
        case ObjectKind.TYPE | ObjectKind.DOMAIN:
            domain = statement.kind is ObjectKind.DOMAIN
            change_type_owner(session, statement.object.parts, statement.owner, domain=domain)
        case ObjectKind.FUNCTION | ObjectKind.PROCEDURE | ObjectKind.ROUTINE:
            change_routine_owner(session, statement.kind, statement.object, statement.owner)
        case _:
            raise not_supported(f"ALTER {statement.kind.value.upper()} OWNER")
    return f"ALTER {statement.kind.value.upper()}"
