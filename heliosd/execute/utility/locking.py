"""LOCK TABLE and SET CONSTRAINTS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from helios_storage.errors import LockNotAvailable
from helios_storage.locks import LockPolicy, TableLockMode
from heliosd.catalog import acl
from heliosd.catalog.objects import Constraint, SystemView, Table, View
from heliosd.errors import SqlError
from heliosd.execute.context import TransactionStatus
from heliosd.execute.utility.names import (
    current_role_oid,
    find_relation,
    lock_object,
    missing_relation,
)
from heliosd.execute.utility.registry import runs
from heliosd.sql.tree.base import QualifiedName
from heliosd.sql.tree.utility import LockTable, SetConstraints, TableLockWord

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

_MODES: Final = {word: TableLockMode[word.name] for word in TableLockWord}
_READ: Final = "r"
_WRITE: Final = "awdD"
_STRONG: Final = "wdD"


@runs(LockTable, tag="LOCK TABLE", needs_snapshot=False)
def lock_table(statement: LockTable, session: SessionServices) -> None:
    """LOCK TABLE names IN mode [NOWAIT]: 25P01 outside of a block, 55P03 with NOWAIT."""
    session.block.require_block("LOCK TABLE")
    mode = _MODES[statement.mode]
    for name, _inherit in statement.relations:
        relation = find_relation(session, name)
        if relation is None:
            raise missing_relation(session, name)
        if not isinstance(relation, Table | View | SystemView):
            raise SqlError("42809", f'cannot lock relation "{relation.name}"')
        _require_right(session, relation, mode)
        if isinstance(relation, SystemView):
            continue
        policy = LockPolicy.NOWAIT if statement.nowait else LockPolicy.WAIT
        try:
            lock_object(session, relation.oid, mode, policy)
        except LockNotAvailable as error:
            if error.timed_out:
                raise
            raise SqlError(
                "55P03", f'could not obtain lock on relation "{relation.name}"'
            ) from error


def _require_right(
    session: SessionServices, relation: Table | View | SystemView, mode: TableLockMode
) -> None:
    if mode is TableLockMode.ACCESS_SHARE:
        letters = _READ
    elif mode is TableLockMode.ROW_EXCLUSIVE:
        letters = _WRITE
    else:
        letters = _STRONG
    role = current_role_oid(session)
    if not any(acl.has_privilege(session.catalog, role, relation, x) for x in letters):
        raise SqlError("42501", f"permission denied for {acl.kind_words(relation)} {relation.name}")


@runs(SetConstraints, tag="SET CONSTRAINTS", needs_snapshot=False)
def set_constraints(statement: SetConstraints, session: SessionServices) -> None:
    """SET CONSTRAINTS names|ALL DEFERRED|IMMEDIATE; IMMEDIATE runs the waiting checks at once."""
    context = session.context
    if session.block.status is TransactionStatus.IDLE:
        session.notice(
            "SET CONSTRAINTS can only be used in transaction blocks",
            severity="WARNING",
            sqlstate="25P01",
        )
    if not statement.constraints:
        context.deferred.set_mode(context, None, deferred=statement.deferred)
        return
    oids: list[int] = []
    for name in statement.constraints:
        found = _constraints(session, name)
        if not found:
            raise SqlError("42704", f'constraint "{name.name}" does not exist')
        for constraint in found:
            if not constraint.deferrable:
                raise SqlError("42809", f'constraint "{name.name}" is not deferrable')
            oids.append(constraint.oid)
    context.deferred.set_mode(context, tuple(oids), deferred=statement.deferred)


def _constraints(session: SessionServices, name: QualifiedName) -> list[Constraint]:
    """All constraints of this name in the first schema of the path that has one."""
    catalog = session.catalog
    schemas = session.search_path.schemas
    if name.schema is not None:
        schemas = (catalog.require_schema(name.schema).oid,)
    tables = list(catalog.objects(Table))
    for schema in schemas:
        found = [
            constraint
            for table in tables
            if table.schema == schema
            for constraint in table.constraints
            if constraint.name == name.name
        ]
        if found:
            return found
    return []
