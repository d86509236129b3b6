"""CREATE INDEX, REINDEX, CLUSTER: an index is built in the slices of its transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from helios_storage.locks import TableLockMode
from heliosd.catalog import acl
from heliosd.catalog.objects import IndexRelation, Schema, Table
from heliosd.errors import SqlError, not_supported
from heliosd.execute.utility.choose_names import relation_taken
from heliosd.execute.utility.names import (
    find_relation,
    is_superuser,
    lock_object,
    lock_relation,
    missing_relation,
    require_owner,
    require_privilege,
    require_table,
)
from heliosd.execute.utility.physical import index_spec, new_tree_id
from heliosd.execute.utility.registry import runs
from heliosd.execute.utility.rewrite import build_index_tree, replace_index_tree
from heliosd.execute.utility.table_keys import build_index
from heliosd.sql.tree.base import ObjectKind
from heliosd.sql.tree.table import CreateIndex
from heliosd.sql.tree.utility import Cluster, Reindex

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices


@runs(CreateIndex, tag="CREATE INDEX", writes=True, audit="ddl")
def create_index(statement: CreateIndex, session: SessionServices) -> None:
    """CREATE [UNIQUE] INDEX [CONCURRENTLY] [IF NOT EXISTS].

    CONCURRENTLY is refused inside a block as in PostgreSQL, and else builds as without it.
    """
    if statement.concurrent:
        session.block.forbid_block("CREATE INDEX CONCURRENTLY")
    if statement.tablespace not in (None, "pg_default"):
        raise SqlError("42704", f'tablespace "{statement.tablespace}" does not exist')
    name = statement.relation.name
    table = require_table(session, name, TableLockMode.SHARE_ROW_EXCLUSIVE, or_materialized=True)
    require_owner(session, table)
    schema = session.catalog.of_kind(Schema, table.schema)
    if schema is not None and schema.oid != session.catalog.temporary_schema:
        require_privilege(session, schema, acl.CREATE)
    named = statement.name
    if (
        statement.if_not_exists
        and named is not None
        and session.catalog.relation_in(table.schema, named) is not None
    ):
        session.notice(f'relation "{named}" already exists, skipping', sqlstate="42P07")
        return
    is_taken = relation_taken(session.catalog, table.schema, ())
    index = build_index(session, table, statement, is_taken)
    session.catalog_edit().claim_relation_name(table.schema, index.name)
    session.transaction.create_tree(index_spec(table, index))
    build_index_tree(session, table, index)
    changed = replace(table, indexes=(*table.indexes, index))
    session.catalog_edit().replace(table, changed)


@runs(Reindex, tag="REINDEX", writes=True)
def reindex(statement: Reindex, session: SessionServices) -> None:
    """REINDEX INDEX, TABLE, SCHEMA, DATABASE: each index is built anew from its table."""
    match statement.kind:
        case ObjectKind.INDEX:
            assert statement.relation is not None
            found = lock_relation(session, statement.relation)
            if found is None:
                raise missing_relation(session, statement.relation)
            if not isinstance(found, IndexRelation):
                raise SqlError("42809", f'"{found.name}" is not an index')
            require_owner(session, found)
            _rebuild(session, session.catalog.table(found.table), (found.oid,))
        case ObjectKind.TABLE:
            assert statement.relation is not None
            table = require_table(session, statement.relation, or_materialized=True)
            require_owner(session, table)
            _rebuild(session, table, tuple(index.oid for index in table.indexes))
        case ObjectKind.SCHEMA:
            schema = session.catalog.require_schema(statement.name or "")
            require_owner(session, schema)
            for each in session.catalog.objects(Table):
                if each.schema == schema.oid:
                    _rebuild_locked(session, each)
        case _:
            session.block.forbid_block("REINDEX DATABASE")
            if not is_superuser(session):
                require_owner(session, session.catalog.database)
            for each in list(session.catalog.objects(Table)):
                if each.persistence != "t":
                    _rebuild_locked(session, each)


def _rebuild_locked(session: SessionServices, table: Table) -> None:
    lock_object(session, table.oid, TableLockMode.ACCESS_EXCLUSIVE)
    current = session.catalog.by_oid(table.oid)
    if isinstance(current, Table):
        _rebuild(session, current, tuple(index.oid for index in current.indexes))


def _rebuild(session: SessionServices, table: Table, oids: tuple[int, ...]) -> None:
    for oid in oids:
        current = session.catalog.table(table.oid)
        index = current.index_by_oid(oid)
        if index is not None and index.tree_id:
            replace_index_tree(session, current, index, new_tree_id(session))


@runs(Cluster, tag="CLUSTER", writes=True)
def cluster(statement: Cluster, session: SessionServices) -> None:
    """CLUSTER: tables here always rest in the order of their primary key, so by that index there is
    nothing left to do; another order cannot be kept (0A000)."""
    if statement.relation is None:
        return
    found = find_relation(session, statement.relation)
    if not isinstance(found, Table):
        raise missing_relation(session, statement.relation)
    require_owner(session, found)
    if statement.index is None:
        raise SqlError("42704", f'there is no previously clustered index for table "{found.name}"')
    index = next((i for i in found.indexes if i.name == statement.index), None)
    if index is None:
        raise SqlError(
            "42704", f'index "{statement.index}" for table "{found.name}" does not exist'
        )
    if not index.primary:
        raise not_supported("CLUSTER on another index than the primary key's")
