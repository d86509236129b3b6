"""CREATE SCHEMA, and the renaming and owners of schemas."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from helios_storage.locks import TableLockMode
from heliosd.catalog import acl
from heliosd.catalog.acl_change import replace_role
from heliosd.catalog.objects import Relation, Schema
from heliosd.errors import SqlError, not_supported
from heliosd.execute.utility.names import (
    current_role_oid,
    is_superuser,
    lock_object,
    require_new_owner,
    require_owner,
    require_privilege,
    resolve_role,
)
from heliosd.execute.utility.registry import run_utility, runs
from heliosd.execute.utility.renamed_text import RenamedTexts
from heliosd.sql.tree.base import QualifiedName, RoleSpec, Statement
from heliosd.sql.tree.define import CreateSchema, Grant
from heliosd.sql.tree.query import RangeVar
from heliosd.sql.tree.table import CreateIndex, CreateSequence, CreateTable, CreateView
from heliosd.types.quoting import quote_identifier

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices


@runs(CreateSchema, tag="CREATE SCHEMA", writes=True, audit="ddl")
def create_schema(statement: CreateSchema, session: SessionServices) -> None:
    """CREATE SCHEMA [IF NOT EXISTS] name [AUTHORIZATION role] [elements]."""
    catalog = session.catalog
    owner_oid = current_role_oid(session)
    name = statement.name
    if statement.authorization is not None:
        owner = resolve_role(session, statement.authorization)
        name = name or owner.name
        if owner.oid != owner_oid and not acl.is_member(catalog, owner_oid, owner.oid):
            raise SqlError("42501", f'must be member of role "{owner.name}"')
        owner_oid = owner.oid
    assert name is not None
    role = current_role_oid(session)
    if not acl.has_privilege(catalog, role, catalog.database, acl.CREATE):
        raise SqlError("42501", f"permission denied for database {catalog.database.name}")
    check_schema_name(name)
    if statement.if_not_exists and catalog.schema(name) is not None:
        session.notice(f'schema "{name}" already exists, skipping', sqlstate="42P06")
        return
    edit = session.catalog_edit()
    edit.create(
        Schema(oid=edit.new_oid(), name=name, owner=owner_oid, database=catalog.database.oid)
    )
    if statement.elements:
        _run_elements(session, name, statement.elements)


def _run_elements(session: SessionServices, schema: str, elements: tuple[Statement, ...]) -> None:
    """The elements' statements, with the new schema first in the search_path."""
    path = session.settings.get("search_path")
    inside = quote_identifier(schema) + (f", {path}" if path else "")
    session.settings.set("search_path", inside, local=True)
    for element in elements:
        run_utility(_inside(element, schema), session)
    session.settings.set("search_path", path, local=True)


def check_schema_name(name: str) -> None:
    """42939 for pg_...: those are the system's."""
    if name.startswith("pg_"):
        raise SqlError(
            "42939",
            f'unacceptable schema name "{name}"',
            detail='The prefix "pg_" is reserved for system schemas.',
        )


def _inside(element: Statement, schema: str) -> Statement:
    """An element's statement with its name put into the new schema."""

    def place(name: QualifiedName) -> QualifiedName:
        if name.schema not in (None, schema):
            raise SqlError(
                "42P15",
                f"CREATE specifies a schema ({name.schema}) different from the one being created "
                f"({schema})",
            )
        return QualifiedName(name.position, (schema, name.name))

    match element:
        case CreateTable() | CreateView() | CreateSequence():
            return replace(element, name=place(element.name))
        case CreateIndex():
            relation = element.relation
            moved = RangeVar(relation.position, place(relation.name), relation.inherit)
            return replace(element, relation=moved)
        case Grant():
            return element
    raise not_supported("this element of CREATE SCHEMA", position=element.position)


def require_schema(session: SessionServices, name: str) -> Schema:
    """A schema that may be changed, locked; 3F000, 42501."""
    schema = session.catalog.require_schema(name)
    if session.catalog.is_system(schema.oid):
        raise SqlError("42501", f"must be owner of schema {name}")
    lock_object(session, schema.oid, TableLockMode.ACCESS_EXCLUSIVE)
    return session.catalog.require_schema(name)


def rename_schema(session: SessionServices, name: str, new_name: str) -> None:
    """ALTER SCHEMA RENAME."""
    schema = require_schema(session, name)
    require_owner(session, schema)
    require_privilege(session, session.catalog.database, acl.CREATE)
    check_schema_name(new_name)
    relations = [o for o in session.catalog.in_schema(schema.oid) if isinstance(o, Relation)]
    texts = [RenamedTexts(session, relation) for relation in relations]
    session.catalog_edit().replace(schema, replace(schema, name=new_name))
    for each in texts:
        each.rewrite()


def change_schema_owner(session: SessionServices, name: str, spec: RoleSpec) -> None:
    """ALTER SCHEMA OWNER TO."""
    schema = require_schema(session, name)
    owner = resolve_role(session, spec)
    if schema.owner == owner.oid:
        return
    require_owner(session, schema)
    require_new_owner(session, schema, owner)
    if not is_superuser(session):
        require_privilege(session, session.catalog.database, acl.CREATE)
    changed = replace(
        schema, owner=owner.oid, acl=replace_role(schema.acl, schema.owner, owner.oid)
    )
    session.catalog_edit().replace(schema, changed)
