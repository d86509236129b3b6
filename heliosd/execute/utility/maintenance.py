"""VACUUM, ANALYZE, CHECKPOINT, LOAD."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from helios_storage.locks import TableLockMode
from heliosd.catalog import acl
from heliosd.catalog.objects import Relation, Role, SystemView, Table
from heliosd.errors import SqlError
from heliosd.execute.utility.analyze import analyze_table
from heliosd.execute.utility.names import (
    current_role_oid,
    find_relation,
    is_superuser,
    lock_object,
    missing_relation,
)
from heliosd.execute.utility.registry import runs
from heliosd.sql.tree.utility import Checkpoint, Load, Vacuum, VacuumRelation

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

_OPTIONS = frozenset(
    {"full", "freeze", "verbose", "analyze", "disable_page_skipping", "skip_locked"}
    | {"index_cleanup", "process_toast", "truncate", "parallel"}
)


@runs(Vacuum, tag="VACUUM")
def vacuum(statement: Vacuum, session: SessionServices) -> str:
    """VACUUM has nothing to collect: old versions go when the last snapshot that sees them does.
    With ANALYZE, and as ANALYZE, it gathers statistics."""
    options = {option.name: option.value for option in statement.options}
    for name in options:
        if name not in _OPTIONS:
            raise SqlError("42601", f'unrecognized {_word(statement)} option "{name}"')
    if statement.vacuum:
        session.block.forbid_block("VACUUM")
    analyze = not statement.vacuum or options.get("analyze", False) is not False
    if statement.vacuum and "analyze" not in options:
        analyze = False
    for table, columns in _tables(session, statement):
        if not _may_maintain(session, table, _word(statement)):
            continue
        if analyze:
            lock_object(session, table.oid, TableLockMode.SHARE_UPDATE_EXCLUSIVE)
            analyze_table(session, session.catalog.table(table.oid), columns)
    return _word(statement)


def _word(statement: Vacuum) -> str:
    return "VACUUM" if statement.vacuum else "ANALYZE"


def _tables(session: SessionServices, statement: Vacuum) -> Iterator[tuple[Table, tuple[str, ...]]]:
    if not statement.relations:
        for table in sorted(session.catalog.objects(Table), key=lambda t: t.oid):
            yield table, ()
        return
    for item in statement.relations:
        relation = find_relation(session, item.relation)
        if relation is None:
            raise missing_relation(session, item.relation)
        if isinstance(relation, Table):
            _check_columns(relation, item)
            yield relation, item.columns
        elif not isinstance(relation, SystemView):
            _warn_not_table(session, relation, _word(statement))


def _check_columns(table: Table, item: VacuumRelation) -> None:
    for name in item.columns:
        if name not in table.column_by_name:
            raise SqlError("42703", f'column "{name}" of relation "{table.name}" does not exist')


def _warn_not_table(session: SessionServices, relation: Relation, word: str) -> None:
    action = "vacuum" if word == "VACUUM" else "analyze"
    session.notice(
        f'skipping "{relation.name}" --- cannot {action} non-tables or special system tables',
        severity="WARNING",
        sqlstate="01000",
    )


def _may_maintain(session: SessionServices, table: Table, word: str) -> bool:
    role, catalog = current_role_oid(session), session.catalog
    if acl.is_owner(catalog, role, table) or acl.is_owner(catalog, role, catalog.database):
        return True
    action = "vacuum" if word == "VACUUM" else "analyze"
    session.notice(
        f'skipping "{table.name}" --- only table or database owner can {action} it',
        severity="WARNING",
        sqlstate="01000",
    )
    return False


@runs(Checkpoint, tag="CHECKPOINT", needs_snapshot=False)
def checkpoint(_statement: Checkpoint, session: SessionServices) -> None:
    """CHECKPOINT: superusers and pg_checkpoint."""
    member = session.catalog.role("pg_checkpoint")
    role = current_role_oid(session)
    allowed = is_superuser(session) or (
        isinstance(member, Role) and member.oid in acl.roles_of(session.catalog, role)
    )
    if not allowed:
        raise SqlError(
            "42501",
            "must be superuser or have privileges of pg_checkpoint to do CHECKPOINT",
        )
    session.storage.checkpoint()


@runs(Load, tag="LOAD", needs_snapshot=False)
def load(statement: Load, session: SessionServices) -> None:
    """LOAD: SQL reaches no library of the operating system here, and who may not is not told."""
    if not is_superuser(session):
        raise SqlError("42501", f'access to library "{statement.filename}" is not allowed')
    raise SqlError(
        "58P01", f'could not access file "{statement.filename}": No such file or directory'
    )
