"""Transaction blocks as the client sees them, over storage's transactions.

    NONE --a statement--> IMPLICIT --end of the message--> NONE       (committed)
    NONE, IMPLICIT --BEGIN--> BLOCK --COMMIT, ROLLBACK--> NONE
    BLOCK --an error--> FAILED --ROLLBACK TO--> BLOCK; --COMMIT, ROLLBACK--> NONE (rolled back)

IMPLICIT spans all statements of one simple query, or all messages up to one Sync. Storage's
transaction is opened by the first statement that needs one: BEGIN alone costs nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from helios_storage.scheduler import Blocked
from helios_storage.spec import Lsn
from helios_storage.transaction import Isolation, Transaction
from heliosd.catalog.edit import CatalogEdit
from heliosd.errors import (
    ACTIVE_SQL_TRANSACTION,
    NO_ACTIVE_SQL_TRANSACTION,
    SqlError,
)
from heliosd.execute.context import TransactionStatus
from heliosd.settings.session import SessionSettings
from heliosd.settings.state import SessionSettingsState

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog
    from heliosd.session.notify import Notifications

ISOLATIONS: Final = {
    "read uncommitted": Isolation.READ_COMMITTED,
    "read committed": Isolation.READ_COMMITTED,
    "repeatable read": Isolation.REPEATABLE_READ,
    "serializable": Isolation.SERIALIZABLE,
}


class BlockState(enum.Enum):
    """See the module."""

    NONE = "none"
    IMPLICIT = "implicit"
    BLOCK = "block"
    FAILED = "failed"


_STATUS: Final = {
    BlockState.NONE: TransactionStatus.IDLE,
    BlockState.IMPLICIT: TransactionStatus.IDLE,
    BlockState.BLOCK: TransactionStatus.IN_BLOCK,
    BlockState.FAILED: TransactionStatus.FAILED,
}


@dataclass(frozen=True, slots=True)
class Savepoint:
    """One savepoint and where everything else stood then."""

    name: str
    number: int
    catalog_mark: int
    notify_mark: tuple[int, int]
    portals_mark: int
    deferred_mark: int


class BlockOwner(Protocol):
    """What a block needs of its session."""

    @property
    def settings_state(self) -> SessionSettingsState: ...
    @property
    def catalog(self) -> Catalog: ...
    @property
    def notifications_or_none(self) -> Notifications | None: ...
    @property
    def process_id(self) -> int: ...
    @property
    def plain_defaults(self) -> bool:
        """Whether transactions begin READ COMMITTED and may write."""
        ...

    def open_transaction(self, isolation: Isolation, *, read_only: bool) -> Transaction:
        """storage.begin under this session's `seen` and lock owner."""
        ...

    def transaction_opened(self, transaction: Transaction) -> None: ...
    def before_commit(self, transaction: Transaction) -> None:
        """Deferred constraints; holdable cursors. May raise."""
        ...

    def transaction_ended(self, *, committed: bool, lsn: Lsn) -> None:
        """Portals close, `seen` grows, statistics count."""
        ...

    def portals_mark(self) -> int: ...
    def deferred_mark(self) -> int: ...
    def forget_deferred_after(self, mark: int) -> None: ...
    def close_portals_after(self, mark: int) -> None: ...
    def touch_transaction_time(self) -> None: ...
    def notice(
        self,
        message: str,
        *,
        severity: str = "NOTICE",
        sqlstate: str = "00000",
        detail: str | None = None,
        hint: str | None = None,
    ) -> None: ...


class Block:
    """One session's block: implements `execute.context.BlockServices`."""

    __slots__ = (
        "_after_commit",
        "_deferrable",
        "_isolation",
        "_owner",
        "_read_only",
        "_savepoints",
        "edit",
        "read_only",
        "state",
        "transaction",
        "used",
    )

    def __init__(self, owner: BlockOwner) -> None:
        self._owner = owner
        self.state = BlockState.NONE
        self.transaction: Transaction | None = None
        self.edit: CatalogEdit | None = None
        self._savepoints: list[Savepoint] = []
        self._after_commit: list[Callable[[], None]] = []
        self._isolation: str | None = None
        self._read_only: bool | None = None
        self._deferrable: bool | None = None
        # Whether a query has run: then its characteristics cannot change any more.
        self.used = False
        # Whether writes are refused (25006).
        self.read_only = False

    # ------------------------------------------------------------ for the session

    @property
    def status(self) -> TransactionStatus:
        """What ReadyForQuery says."""
        return _STATUS[self.state]

    @property
    def in_block(self) -> bool:
        """Between BEGIN and its end, failed or not."""
        return self.state is BlockState.BLOCK or self.state is BlockState.FAILED

    def open(self) -> None:
        """A statement is about to run: an implicit transaction begins unless one is open."""
        if self.state is BlockState.NONE:
            self.state = BlockState.IMPLICIT
            self._begin_settings()

    def _begin_settings(self) -> None:
        """The transaction's own settings start from the session's defaults."""
        owner, settings = self._owner, self._owner.settings_state
        owner.touch_transaction_time()
        settings.begin()
        if owner.plain_defaults:
            return
        default = settings.value(SessionSettings.default_transaction_isolation)
        if default != "read committed":
            settings.force(SessionSettings.transaction_isolation, default, local=True)
        if settings.value(SessionSettings.default_transaction_read_only):
            settings.force(SessionSettings.transaction_read_only, True, local=True)
            self.read_only = True

    def require_transaction(self) -> Transaction:
        """Storage's transaction, opened now if it is not yet."""
        transaction = self.transaction
        if transaction is None:
            self.open()
            settings = self._owner.settings_state
            isolation = ISOLATIONS[settings.value(SessionSettings.transaction_isolation)]
            transaction = self._owner.open_transaction(isolation, read_only=self.read_only)
            self.transaction = transaction
            for savepoint in self._savepoints:
                assert transaction.savepoint() == savepoint.number
            self._owner.transaction_opened(transaction)
        return transaction

    def catalog_edit(self, new_oid: Callable[[], int]) -> CatalogEdit:
        """This transaction's changes to the catalog."""
        if self.edit is None:
            self.edit = CatalogEdit(self._owner.catalog, self.require_transaction(), new_oid)
        return self.edit

    def run_after_commit(self, action: Callable[[], None]) -> None:
        """Called when the commit is published; forgotten by a rollback."""
        self._after_commit.append(action)

    def finish_implicit(self) -> None:
        """The message (or the exchange up to Sync) is over: commit what it did."""
        if self.state is BlockState.IMPLICIT:
            self._commit()

    def fail(self) -> None:
        """A statement failed: an implicit transaction is undone, a block waits for its end."""
        if self.state is BlockState.IMPLICIT:
            self._rollback()
        elif self.state is BlockState.BLOCK:
            self.state = BlockState.FAILED
            self._undo_after_failure()

    def _undo_after_failure(self) -> None:
        """Give locks back at once: everything since the last savepoint, or all of it."""
        transaction = self.transaction
        if transaction is not None and self._savepoints:
            last = self._savepoints[-1]
            transaction.rollback_to(last.number)
            if self.edit is not None:
                self.edit.rollback_to(last.catalog_mark)
        elif transaction is not None:
            if self.edit is not None:
                self.edit.abandon()
                self.edit = None
            transaction.rollback()
            self.transaction = None

    def abort(self) -> None:
        """The session ends: undo whatever is open."""
        if self.state is not BlockState.NONE:
            self._rollback()

    # ------------------------------------------------------------ BlockServices

    def begin(
        self,
        *,
        isolation: str | None = None,
        read_only: bool | None = None,
        deferrable: bool | None = None,
    ) -> None:
        """BEGIN: opens a block; a warning inside one."""
        if self.in_block:
            self._owner.notice(
                "there is already a transaction in progress",
                severity="WARNING",
                sqlstate=ACTIVE_SQL_TRANSACTION,
            )
        else:
            self.open()
            self.state = BlockState.BLOCK
        if isolation is not None or read_only is not None or deferrable is not None:
            self._set_modes(isolation, read_only, deferrable)

    def set_characteristics(
        self,
        *,
        isolation: str | None = None,
        read_only: bool | None = None,
        deferrable: bool | None = None,
    ) -> None:
        """SET TRANSACTION."""
        if not self.in_block:
            self._owner.notice(
                "SET TRANSACTION can only be used in transaction blocks",
                severity="WARNING",
                sqlstate=NO_ACTIVE_SQL_TRANSACTION,
            )
            return
        self._set_modes(isolation, read_only, deferrable)

    def commit_block(self) -> None:
        """COMMIT of an open block."""
        self._commit()

    def _set_modes(
        self,
        isolation: str | None,
        read_only: bool | None,  # noqa: FBT001  three states
        deferrable: bool | None,  # noqa: FBT001  three states
    ) -> None:
        settings = self._owner.settings_state
        if isolation is not None:
            current = settings.value(SessionSettings.transaction_isolation)
            if current != isolation:
                self._check_isolation_may_change()
                settings.force(SessionSettings.transaction_isolation, isolation, local=True)
            self._isolation = isolation
        if read_only is not None:
            if not read_only and self.read_only and self.used:
                raise SqlError(
                    ACTIVE_SQL_TRANSACTION,
                    "transaction read-write mode must be set before any query",
                )
            settings.force(SessionSettings.transaction_read_only, read_only, local=True)
            self.read_only = read_only
            if self.transaction is not None and read_only:
                self.transaction.read_only = True
            self._read_only = read_only
        if deferrable is not None:
            settings.force(SessionSettings.transaction_deferrable, deferrable, local=True)
            self._deferrable = deferrable

    def _check_isolation_may_change(self) -> None:
        if self._savepoints:
            raise SqlError(
                ACTIVE_SQL_TRANSACTION,
                "SET TRANSACTION ISOLATION LEVEL must not be called in a subtransaction",
            )
        if self.used or self.transaction is not None:
            raise SqlError(
                ACTIVE_SQL_TRANSACTION,
                "SET TRANSACTION ISOLATION LEVEL must be called before any query",
            )

    def commit(self, *, chain: bool = False) -> str:
        """COMMIT; answers ROLLBACK for a failed block."""
        if not self.in_block:
            self._outside("COMMIT AND CHAIN", chain=chain)
            if self.state is BlockState.IMPLICIT:
                self._commit()
            return "COMMIT"
        modes = (self._isolation, self._read_only, self._deferrable)
        if self.state is BlockState.FAILED:
            self._rollback()
            tag = "ROLLBACK"
        else:
            self._commit()
            tag = "COMMIT"
        if chain:
            self._chain(modes)
        return tag

    def rollback(self, *, chain: bool = False) -> str:
        """ROLLBACK."""
        if not self.in_block:
            self._outside("ROLLBACK AND CHAIN", chain=chain)
            if self.state is BlockState.IMPLICIT:
                self._rollback()
            return "ROLLBACK"
        modes = (self._isolation, self._read_only, self._deferrable)
        self._rollback()
        if chain:
            self._chain(modes)
        return "ROLLBACK"

    def _chain(self, modes: tuple[str | None, bool | None, bool | None]) -> None:
        self.begin(isolation=modes[0], read_only=modes[1], deferrable=modes[2])

    def _outside(self, command: str, *, chain: bool) -> None:
        """COMMIT or ROLLBACK without a block."""
        if chain:
            self.require_block(command)
        self._owner.notice(
            "there is no transaction in progress",
            severity="WARNING",
            sqlstate=NO_ACTIVE_SQL_TRANSACTION,
        )

    def savepoint(self, name: str) -> None:
        """SAVEPOINT."""
        self.require_block("SAVEPOINT")
        owner = self._owner
        notifications = owner.notifications_or_none
        self._savepoints.append(
            Savepoint(
                name,
                self.require_transaction().savepoint(),
                0 if self.edit is None else self.edit.mark(),
                (0, 0) if notifications is None else notifications.mark(),
                owner.portals_mark(),
                owner.deferred_mark(),
            )
        )
        owner.settings_state.begin()

    def release_savepoint(self, name: str) -> None:
        """RELEASE SAVEPOINT: 3B001 when there is none."""
        self.require_block("RELEASE SAVEPOINT")
        index = self._find(name)
        transaction = self.require_transaction()
        transaction.release(self._savepoints[index].number)
        for _ in self._savepoints[index:]:
            self._owner.settings_state.release()
        del self._savepoints[index:]

    def rollback_to_savepoint(self, name: str) -> None:
        """ROLLBACK TO SAVEPOINT: 3B001 when there is none; a failed block goes on."""
        self.require_block("ROLLBACK TO SAVEPOINT")
        index = self._find(name)
        found = self._savepoints[index]
        self.require_transaction().rollback_to(found.number)
        if self.edit is not None:
            self.edit.rollback_to(found.catalog_mark)
        owner = self._owner
        for _ in self._savepoints[index:]:
            owner.settings_state.rollback_level()
        owner.settings_state.begin()
        self.read_only = owner.settings_state.value(SessionSettings.transaction_read_only)
        del self._savepoints[index + 1 :]
        if owner.notifications_or_none is not None:
            owner.notifications_or_none.rollback_to(found.notify_mark)
        owner.close_portals_after(found.portals_mark)
        owner.forget_deferred_after(found.deferred_mark)
        self.state = BlockState.BLOCK

    def _find(self, name: str) -> int:
        for index in range(len(self._savepoints) - 1, -1, -1):
            if self._savepoints[index].name == name:
                return index
        raise SqlError("3B001", f'savepoint "{name}" does not exist')

    def prepare_transaction(self, gid: str) -> str:
        """PREPARE TRANSACTION: as PostgreSQL with its default of no prepared transactions."""
        self.require_block("PREPARE TRANSACTION")
        raise _prepared_disabled()

    def commit_prepared(self, gid: str) -> None:
        """COMMIT PREPARED: there is none."""
        self.forbid_block("COMMIT PREPARED")
        raise SqlError("42704", f'prepared transaction with identifier "{gid}" does not exist')

    def rollback_prepared(self, gid: str) -> None:
        """ROLLBACK PREPARED: there is none."""
        self.forbid_block("ROLLBACK PREPARED")
        raise SqlError("42704", f'prepared transaction with identifier "{gid}" does not exist')

    def require_block(self, command: str) -> None:
        """25P01 outside of a block."""
        if not self.in_block:
            raise SqlError(
                NO_ACTIVE_SQL_TRANSACTION, f"{command} can only be used in transaction blocks"
            )

    def forbid_block(self, command: str) -> None:
        """25001 inside of a block."""
        if self.in_block:
            raise SqlError(
                ACTIVE_SQL_TRANSACTION, f"{command} cannot run inside a transaction block"
            )

    # ------------------------------------------------------------ the two ends

    def _commit(self) -> None:
        transaction, lsn = self.transaction, Lsn(0)
        if transaction is not None:
            try:
                self._owner.before_commit(transaction)
                if self.edit is not None:
                    self.edit.note_history()
                lsn = transaction.commit(self.edit.publish if self.edit is not None else None)
            except Blocked:
                # On a plain call, before any effect: it will be asked again where it may wait.
                raise
            except BaseException:
                self._rollback()
                raise
        after = self._after_commit
        if after:
            self._after_commit = []
        notifications = self._owner.notifications_or_none
        self._clear()
        self._owner.settings_state.commit()
        self._owner.transaction_ended(committed=True, lsn=lsn)
        if notifications is not None and notifications.has_pending:
            notifications.publish(self._owner.process_id, lsn)
        for action in after:
            action()

    def _rollback(self) -> None:
        transaction, edit = self.transaction, self.edit
        self._after_commit.clear()
        if self._owner.notifications_or_none is not None:
            self._owner.notifications_or_none.abandon()
        self._clear()
        if edit is not None:
            edit.abandon()
        if transaction is not None:
            transaction.rollback()
        self._owner.settings_state.rollback()
        self._owner.transaction_ended(committed=False, lsn=Lsn(0))

    def _clear(self) -> None:
        self.state = BlockState.NONE
        self.transaction = None
        self.edit = None
        if self._savepoints:
            self._savepoints.clear()
        self._isolation = self._read_only = self._deferrable = None
        self.used = self.read_only = False


def _prepared_disabled() -> SqlError:
    return SqlError(
        "55000",
        "prepared transactions are disabled",
        hint="Set max_prepared_transactions to a nonzero value.",
    )
