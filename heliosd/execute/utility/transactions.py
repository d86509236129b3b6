"""BEGIN, COMMIT, ROLLBACK, SAVEPOINT and their like; SET TRANSACTION, SET CONSTRAINTS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliosd.errors import not_supported
from heliosd.execute.utility.registry import runs
from heliosd.sql.tree.utility import (
    SetTransaction,
    SetTransactionSnapshot,
    Transaction,
    TransactionKind,
    TransactionModes,
)

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices


@runs(Transaction, tag="BEGIN", allowed_in_failed_block=True, needs_snapshot=False)
def transaction(statement: Transaction, session: SessionServices) -> str:
    """One statement of a transaction block; the block itself is the session's."""
    block = session.block
    name = statement.name or ""
    match statement.kind:
        case TransactionKind.BEGIN | TransactionKind.START:
            modes = statement.modes or TransactionModes(0)
            block.begin(
                isolation=modes.isolation,
                read_only=modes.read_only,
                deferrable=modes.deferrable,
            )
            return "BEGIN" if statement.kind is TransactionKind.BEGIN else "START TRANSACTION"
        case TransactionKind.COMMIT:
            return block.commit(chain=statement.chain)
        case TransactionKind.ROLLBACK:
            return block.rollback(chain=statement.chain)
        case TransactionKind.SAVEPOINT:
            block.savepoint(name)
            return "SAVEPOINT"
        case TransactionKind.RELEASE:
            block.release_savepoint(name)
            return "RELEASE"
        case TransactionKind.ROLLBACK_TO:
            block.rollback_to_savepoint(name)
            return "ROLLBACK"
        case TransactionKind.PREPARE:
            return block.prepare_transaction(name)
        case TransactionKind.COMMIT_PREPARED:
            block.commit_prepared(name)
            return "COMMIT PREPARED"
        case TransactionKind.ROLLBACK_PREPARED:
            block.rollback_prepared(name)
            return "ROLLBACK PREPARED"


@runs(SetTransaction, tag="SET", needs_snapshot=False)
def set_transaction(statement: SetTransaction, session: SessionServices) -> None:
    """SET TRANSACTION, and SET SESSION CHARACTERISTICS: the defaults of later transactions."""
    modes = statement.modes
    if not statement.session:
        session.block.set_characteristics(
            isolation=modes.isolation, read_only=modes.read_only, deferrable=modes.deferrable
        )
        return
    if modes.isolation is not None:
        session.settings.set("default_transaction_isolation", modes.isolation)
    if modes.read_only is not None:
        session.settings.set("default_transaction_read_only", _on_off(modes.read_only))
    if modes.deferrable is not None:
        session.settings.set("default_transaction_deferrable", _on_off(modes.deferrable))


def _on_off(value: bool) -> str:  # noqa: FBT001  (a setting's value)
    return "on" if value else "off"


@runs(SetTransactionSnapshot, tag="SET", needs_snapshot=False)
def set_transaction_snapshot(_statement: SetTransactionSnapshot, _session: SessionServices) -> None:
    """Exported snapshots are not built."""
    raise not_supported("SET TRANSACTION SNAPSHOT")
