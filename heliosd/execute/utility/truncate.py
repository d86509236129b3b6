"""TRUNCATE: new empty trees in the place of the old ones; constant time, undone by ROLLBACK."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from helios_storage.locks import TableLockMode
from heliosd.catalog import acl
from heliosd.catalog.objects import Table
from heliosd.errors import SqlError
from heliosd.execute.utility.names import (
    lock_object,
    refuse_in_use,
    require_privilege,
    require_table,
)
from heliosd.execute.utility.physical import create_trees, drop_trees, new_tree_id
from heliosd.execute.utility.registry import runs
from heliosd.execute.utility.sequences import replace_sequence
from heliosd.sql.tree.utility import Truncate

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices


@runs(Truncate, tag="TRUNCATE TABLE", writes=True, audit="ddl")
def truncate(statement: Truncate, session: SessionServices) -> None:
    """TRUNCATE tables [RESTART IDENTITY] [CASCADE]; 0A000 when others refer to one."""
    tables: dict[int, Table] = {}
    for name, _inherit in statement.relations:
        table = require_table(session, name)
        require_privilege(session, table, acl.TRUNCATE)
        tables[table.oid] = table
    if statement.cascade:
        _add_referring(session, tables)
    else:
        _refuse_referred(session, tables)
    for table in tables.values():
        refuse_in_use(session, table, "TRUNCATE")
    for oid in tables:
        empty_table(session, session.catalog.table(oid))
        if statement.restart_identity:
            restart_sequences(session, oid)


def _add_referring(session: SessionServices, tables: dict[int, Table]) -> None:
    pending = list(tables.values())
    while pending:
        table = pending.pop()
        for oid in table.referenced_by:
            if oid in tables:
                continue
            lock_object(session, oid, TableLockMode.ACCESS_EXCLUSIVE)
            other = session.catalog.table(oid)
            require_privilege(session, other, acl.TRUNCATE)
            session.notice(f'truncate cascades to table "{other.name}"')
            tables[oid] = other
            pending.append(other)


def _refuse_referred(session: SessionServices, tables: dict[int, Table]) -> None:
    for table in tables.values():
        for oid in table.referenced_by:
            if oid not in tables:
                other = session.catalog.table(oid)
                raise SqlError(
                    "0A000",
                    "cannot truncate a table referenced in a foreign key constraint",
                    detail=f'Table "{other.name}" references "{table.name}".',
                    hint=f'Truncate table "{other.name}" at the same time, or use '
                    "TRUNCATE ... CASCADE.",
                )


def empty_table(session: SessionServices, table: Table) -> Table:
    """Give the table and its indexes new, empty trees. The caller holds ACCESS EXCLUSIVE."""
    changed = replace(
        table,
        tree_id=new_tree_id(session),
        indexes=tuple(
            replace(index, tree_id=new_tree_id(session)) if index.tree_id else index
            for index in table.indexes
        ),
    )
    drop_trees(session, table)
    create_trees(session, changed)
    return session.catalog_edit().replace(table, changed)


def restart_sequences(session: SessionServices, table: int) -> None:
    """Sequences that the table's columns own start again."""
    for sequence in session.catalog.owned_sequences(table):
        replace_sequence(session, sequence, sequence, sequence.start)
