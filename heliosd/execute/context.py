"""What one execution may touch: its transaction, its snapshot, and its session's services.

`ExecutionContext` is the concrete object that programs receive. `SessionServices` is the Protocol
that utility statements see of the session; the session room implements it, so that this room
imports nothing above itself.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from helios_storage.storage import Storage
    from helios_storage.transaction import Snapshot, Transaction
    from heliosd.catalog.edit import CatalogEdit
    from heliosd.catalog.lookup import Catalog, SearchPath
    from heliosd.catalog.objects import Budget, Role
    from heliosd.catalog.views.context import ViewContext
    from heliosd.execute.column_engine import ColumnEngine
    from heliosd.execute.constraints import DeferredChecks
    from heliosd.execute.program import CommandResult, Parameters, Program, ResultColumn, Row
    from heliosd.sql.bind.state import BindScope
    from heliosd.sql.tree import Statement
    from heliosd.types.registry import EvalContext


class ExecutionContext:
    """Everything a program needs to run once. One per session; `portal()` for a cursor's own.

    The session sets `transaction` when a transaction starts and `snapshot` before each statement
    (`transaction.snapshot()`), and releases the snapshot afterwards. `check_slice` is called once
    per batch: it yields to other sessions, and raises when the statement was cancelled.
    """

    __slots__ = (
        "check_slice",
        "deferred",
        "eval",
        "lock_timeout_ms",
        "services",
        "snapshot",
        "transaction",
    )

    def __init__(
        self,
        transaction: Transaction,
        snapshot: Snapshot,
        evaluation: EvalContext,
        services: SessionServices,
        check_slice: Callable[[], None],
        deferred: DeferredChecks,
        lock_timeout_ms: int = 0,
    ) -> None:
        self.transaction = transaction
        self.snapshot = snapshot
        self.eval = evaluation
        self.services = services
        self.check_slice = check_slice
        # Constraint checks that wait for COMMIT or SET CONSTRAINTS; one queue per transaction.
        self.deferred = deferred
        # The lock_timeout setting; 0: wait for ever.
        self.lock_timeout_ms = lock_timeout_ms

    def portal(self, snapshot: Snapshot) -> ExecutionContext:
        """The same transaction seen through another snapshot, which outlives this statement."""
        return ExecutionContext(
            self.transaction,
            snapshot,
            self.eval,
            self.services,
            self.check_slice,
            self.deferred,
            self.lock_timeout_ms,
        )


class TransactionStatus(enum.Enum):
    """The byte of ReadyForQuery."""

    IDLE = "I"
    IN_BLOCK = "T"
    FAILED = "E"


class BlockServices(Protocol):
    """Transaction blocks as the client sees them. Each raises or warns as PostgreSQL does."""

    @property
    def status(self) -> TransactionStatus: ...
    def begin(
        self,
        *,
        isolation: str | None = None,
        read_only: bool | None = None,
        deferrable: bool | None = None,
    ) -> None:
        """BEGIN, START TRANSACTION; `isolation` in SQL's words, lower case."""
        ...

    def set_characteristics(
        self,
        *,
        isolation: str | None = None,
        read_only: bool | None = None,
        deferrable: bool | None = None,
    ) -> None:
        """SET TRANSACTION: 25001 after the first query."""
        ...

    def commit(self, *, chain: bool = False) -> str:
        """COMMIT; the tag is ROLLBACK when the block had failed."""
        ...

    def rollback(self, *, chain: bool = False) -> str: ...
    def savepoint(self, name: str) -> None: ...
    def release_savepoint(self, name: str) -> None: ...
    def rollback_to_savepoint(self, name: str) -> None: ...
    def prepare_transaction(self, gid: str) -> str: ...
    def commit_prepared(self, gid: str) -> None: ...
    def rollback_prepared(self, gid: str) -> None: ...
    def require_block(self, command: str) -> None:
        """25P01 `{command} can only be used in transaction blocks` outside of one."""
        ...

    def forbid_block(self, command: str) -> None:
        """25001 `{command} cannot run inside a transaction block` inside of one."""
        ...


class SettingsServices(Protocol):
    """The session's settings, with SET LOCAL's and ROLLBACK's undo."""

    def get(self, name: str) -> str:
        """The shown text; 42704 for an unknown name."""
        ...

    def set(self, name: str, value: str | None, *, local: bool = False) -> None:
        """None is DEFAULT. 22023, 55P02, 42501 as PostgreSQL has them."""
        ...

    def check(self, name: str, value: str | None) -> None:
        """The same errors as `set`, for a value that is kept for later; None: the right alone."""
        ...

    def reset(self, name: str) -> None: ...
    def reset_all(self) -> None: ...
    def all(self) -> Iterable[tuple[str, str, str]]:
        """(name, shown value, description) for SHOW ALL, ordered by name."""
        ...


class PreparedServices(Protocol):
    """PREPARE, EXECUTE, DEALLOCATE: the same table that Parse fills."""

    def prepare(self, name: str, statement: Statement, parameter_types: tuple[int, ...]) -> None:
        """42P05 when the name is taken. `parameter_types` 0: to be inferred."""
        ...

    def get(self, name: str) -> Program | None:
        """None for an empty text, which only the protocol can prepare; 26000 for no statement."""
        ...

    def execute(self, name: str, parameters: Parameters) -> CommandResult: ...
    def deallocate(self, name: str) -> None: ...
    def deallocate_all(self) -> None: ...


class CursorServices(Protocol):
    """DECLARE, FETCH, MOVE, CLOSE: the same table that Bind fills."""

    def declare(
        self,
        name: str,
        query: Statement,
        *,
        binary: bool,
        scroll: bool | None,
        hold: bool,
        insensitive: bool,
    ) -> None: ...

    def fetch(
        self, name: str, direction: str, count: int | None
    ) -> tuple[tuple[ResultColumn, ...], list[Row]]:
        """`direction`: forward, backward, absolute, relative; `count` None: all. 34000, 55000."""
        ...

    def budgets(self, name: str) -> tuple[Budget, ...]: ...
    def move(self, name: str, direction: str, count: int | None) -> int: ...
    def close(self, name: str) -> None: ...
    def close_all(self) -> None: ...
    def uses(self, oid: int) -> bool:
        """Whether rows are still to come from what leans on this object."""
        ...


class NotifyServices(Protocol):
    """LISTEN and NOTIFY; both take effect at COMMIT."""

    def listen(self, channel: str) -> None: ...
    def unlisten(self, channel: str) -> None: ...
    def unlisten_all(self) -> None: ...
    def notify(self, channel: str, payload: str) -> None: ...


@dataclass(frozen=True, slots=True)
class CopyFormat:
    """What CopyInResponse and CopyOutResponse say: 0 text, 1 binary, per column alike."""

    columns: int
    binary: bool


class CopyInStream(Protocol):
    """The client's CopyData, in the chunks that it sent; ends at CopyDone, 57014 at CopyFail."""

    def __iter__(self) -> Iterator[bytes]: ...


class CopyOutStream(Protocol):
    """CopyData to the client; `write` waits when the client reads slowly."""

    def write(self, data: bytes) -> None: ...
    def write_rows(self, rows: Sequence[bytes]) -> None:
        """A CopyData per row: clients that read row by row rely on that."""
        ...

    def write_lines(self, data: bytes) -> None:
        """The same for rows that each are one line of `data`."""
        ...

    def write_framed(self, frames: bytes) -> None:
        """Whole CopyData frames, made already."""
        ...

    def finish(self) -> None: ...


class SessionServices(Protocol):
    """What utility statements may do to their session and see of the server."""

    @property
    def context(self) -> ExecutionContext:
        """This statement's context: transaction, snapshot, evaluation."""
        ...

    @property
    def parameters(self) -> Parameters:
        """This execution's parameters (EXPLAIN, DECLARE and CREATE TABLE AS take them)."""
        ...

    @property
    def parameter_types(self) -> tuple[int, ...]: ...
    @property
    def catalog(self) -> Catalog:
        """What this transaction sees of the catalog."""
        ...

    @property
    def search_path(self) -> SearchPath:
        """The search_path setting, resolved for the current role."""
        ...

    def bind_scope(self, parameter_types: tuple[int, ...] = ()) -> BindScope:
        """What a statement of this session is bound against now."""
        ...

    def catalog_edit(self) -> CatalogEdit:
        """Changes to the catalog inside this transaction, published at its commit."""
        ...

    @property
    def storage(self) -> Storage: ...
    @property
    def columns(self) -> ColumnEngine:
        """The server's engine for column programs."""
        ...

    @property
    def transaction(self) -> Transaction: ...
    @property
    def database(self) -> str: ...
    @property
    def process_id(self) -> int: ...

    # Roles.
    @property
    def session_role(self) -> str: ...
    @property
    def current_role(self) -> str: ...
    def set_session_role(self, name: str | None, *, local: bool = False) -> None: ...
    def set_role(self, name: str | None, *, local: bool = False) -> None: ...

    # Parts of the session's state, each with its own contract above.
    @property
    def block(self) -> BlockServices: ...
    @property
    def settings(self) -> SettingsServices: ...
    @property
    def prepared(self) -> PreparedServices: ...
    @property
    def cursors(self) -> CursorServices: ...
    @property
    def notifications(self) -> NotifyServices: ...

    is_restricted: bool
    """Whether code of another runs for upkeep: nothing that it does may outlast it."""

    def acting_as(
        self,
        role: Role | None,
        settings: tuple[tuple[str, str], ...],
        *,
        restricted: bool = False,
    ) -> AbstractContextManager[None]:
        """Another current role and other settings, for as long as the context lasts."""
        ...

    def discard(self, what: str) -> None:
        """`all`, `plans`, `sequences` or `temp`."""
        ...

    # The client.
    def notice(
        self,
        message: str,
        *,
        severity: str = "NOTICE",
        sqlstate: str = "00000",
        detail: str | None = None,
        hint: str | None = None,
    ) -> None: ...
    def copy_in(self, form: CopyFormat) -> CopyInStream: ...
    def copy_out(self, form: CopyFormat) -> CopyOutStream: ...

    # Preparing a statement that is part of a utility statement (EXPLAIN, CREATE TABLE AS, COPY
    # (query)), under this session's scope, role and settings.
    def prepare(self, statement: Statement, parameter_types: tuple[int, ...] = ()) -> Program: ...
    def draw(self, budgets: Sequence[Budget], rows: int, size_bytes: int) -> None:
        """Before rows that budgets are about are sent otherwise than as the result: 53400."""
        ...

    def new_statement_snapshot(self) -> Snapshot:
        """A snapshot that sees what this statement has written; `context.snapshot` becomes it."""
        ...

    @property
    def view_context(self) -> ViewContext:
        """What catalog views are computed from, for this session."""
        ...

    def run_after_commit(self, action: Callable[[], None]) -> None:
        """Called on the loop's thread after this transaction's commit was published."""
        ...

    def log_event(self, event: str, **fields: str | int) -> None:
        """A line in the server's log: names and counts, never a value or a secret."""
        ...
