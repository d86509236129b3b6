"""One client's state, and what statements may do to it.

`SessionState` implements `execute.context.SessionServices` and the small faces that its parts ask
for (`BlockOwner`, `EvaluationOwner`, `CopyOwner`). It never reads the client's commands: that is
`session.py`, `simple.py` and `extended.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from helios_protocol.connection import Connection as Wire
from helios_storage.locks import LockOwner
from helios_storage.spec import Lsn, TreeId
from helios_storage.transaction import Isolation, Transaction
from heliosd.catalog import acl
from heliosd.catalog.face import CatalogFace
from heliosd.catalog.objects import Database, Role, Table
from heliosd.errors import INSUFFICIENT_PRIVILEGE, SqlError
from heliosd.execute.constraints import DeferredChecks, check_deferred
from heliosd.execute.context import ExecutionContext
from heliosd.execute.domain_checks import DomainChecks
from heliosd.execute.prepare import prepare_statement
from heliosd.execute.program import StatementKind
from heliosd.execute.routines import Routines
from heliosd.execute.utility.describe import SessionDescriber
from heliosd.execute.utility.registry import command_for
from heliosd.execute.utility.temporary import run_on_commit
from heliosd.security.authorize import check_privileges
from heliosd.security.budgets import TELLING_CLASSES, budgets_for, budgets_of
from heliosd.session.advisory import AdvisoryLocks
from heliosd.session.block import Block
from heliosd.session.channel import Channel
from heliosd.session.clock import now_us
from heliosd.session.cursors import CursorCommands
from heliosd.session.evaluation import Evaluation
from heliosd.session.identity import IdentityState
from heliosd.session.notify import Notifications
from heliosd.session.portal import Portals
from heliosd.session.prepared import NamedStatement, Statements
from heliosd.session.prepared_commands import PreparedCommands
from heliosd.session.reads import tables_read
from heliosd.session.security_access import SecurityAccess
from heliosd.session.sequences import Sequences
from heliosd.session.settings_commands import SettingsCommands
from heliosd.session.statement_cache import (
    KnownTemplate,
    Prepared,
    names_of,
    stamp_of,
)
from heliosd.session.views import SessionViews
from heliosd.sql.bind.state import BindScope

if TYPE_CHECKING:
    from helios_storage.storage import Storage
    from helios_storage.transaction import Snapshot
    from heliosd.catalog.edit import CatalogEdit
    from heliosd.catalog.objects import Budget
    from heliosd.execute.column_engine import ColumnEngine
    from heliosd.execute.program import Parameters, Program
    from heliosd.session.instance import Instance
    from heliosd.sql.tree import Statement

# What refers back to its session, directly or through another of these.
_PARTS: Final = (
    *("block", "context", "eval", "face", "settings_state", "catalog", "channel"),
    *("_advisory", "_sequences", "_notifications", "_settings_commands"),
    *("_prepared_commands", "_cursor_commands", "_routines"),
)


def _needs_snapshot(program: Program, tree: Statement) -> bool:
    """False for SET, BEGIN and the like, which must not start a transaction's first snapshot."""
    return (
        program.kind is not StatementKind.UTILITY or command_for(program.statement).needs_snapshot
    )


class SessionState(IdentityState):
    """See the module. All of it on the loop's thread."""

    __slots__ = (
        "_advisory",
        "_binary_answer",
        "_cursor_commands",
        "_notifications",
        "_prepared_commands",
        "_routines",
        "_sequences",
        "_settings_commands",
        "block",
        "cancel_secret",
        "context",
        "current_text",
        "domain_checks",
        "eval",
        "face",
        "last_template",
        "lock_owner",
        "metered",
        "minor",
        "multi_statement",
        "parameter_types",
        "parameters",
        "portals",
        "started_us",
        "state_changed_us",
        "statements",
    )

    def __init__(
        self, instance: Instance, channel: Channel, wire: Wire, role: Role, database: Database
    ) -> None:
        super().__init__(instance, channel, wire, role, database)
        self.cancel_secret = b""
        self.minor = 0
        self.lock_owner = LockOwner(self.process_id)
        self.eval = Evaluation(self)
        self.domain_checks = DomainChecks(self)
        self.face = CatalogFace(
            self.catalog,
            lambda: self.search_path,
            instance.functions,
            describer=SessionDescriber(self.bind_scope, lambda: self.search_path),
            row_count=instance.storage.row_count,
            role=lambda: self.current_role_oid,
        )
        self.block = Block(self)
        self.portals = Portals()
        self.statements = Statements()
        self.context = ExecutionContext(
            None,  # type: ignore[arg-type]  # set when a transaction opens
            None,  # type: ignore[arg-type]  # set for each statement
            self.eval,
            self,
            instance.hub.check_slice,
            DeferredChecks(),
        )
        self.started_us = self.state_changed_us = now_us()
        # The statement that runs: its text, its parameters.
        self.current_text = ""
        self.parameters: Parameters = ()
        self.parameter_types: tuple[int, ...] = ()
        self.multi_statement = False
        self.last_template: KnownTemplate | None = None
        # What the running statement's rows are drawn from; None: it may be any budget.
        self.metered: tuple[Budget, ...] | None = ()
        self._binary_answer = False
        self._advisory: AdvisoryLocks | None = None
        self._sequences: Sequences | None = None
        self._routines: Routines | None = None
        self._notifications: Notifications | None = None
        self._settings_commands: SettingsCommands | None = None
        self._prepared_commands: PreparedCommands | None = None
        self._cursor_commands: CursorCommands | None = None

    def refresh(self) -> None:
        """Take over what SET changed; one comparison while nothing has."""
        if self.settings_state.version != self._settings_version:
            super().refresh()
            self.context.lock_timeout_ms = self.lock_timeout_ms

    def dismantle(self) -> None:
        """Let go of the parts that point back here, when the session has ended.

        Cycles would wait for a collector that hardly ever runs (30 KB per connection, measured).
        """
        for part in _PARTS:
            delattr(self, part)

    # ------------------------------------------------------------ faces made when asked for

    @property
    def services(self) -> SessionState:
        """What utility statements are given."""
        return self

    @property
    def storage(self) -> Storage:
        return self.instance.storage

    @property
    def settings(self) -> SettingsCommands:
        if self._settings_commands is None:
            self._settings_commands = SettingsCommands(self)
        return self._settings_commands

    @property
    def prepared(self) -> PreparedCommands:
        if self._prepared_commands is None:
            self._prepared_commands = PreparedCommands(self)
        return self._prepared_commands

    @property
    def cursors(self) -> CursorCommands:
        if self._cursor_commands is None:
            self._cursor_commands = CursorCommands(self)
        return self._cursor_commands

    def cursor_place(self, name: str, table: int) -> tuple[Any, ...] | None:
        """WHERE CURRENT OF: where the cursor stands in a table."""
        found = self.catalog.by_oid(table)
        return self.portals.place(name, table, "" if found is None else found.name)

    @property
    def notifications(self) -> Notifications:
        if self._notifications is None:
            self._notifications = Notifications(
                self.instance.notifications, self.database_object.oid, self
            )
        return self._notifications

    @property
    def notifications_or_none(self) -> Notifications | None:
        return self._notifications

    @property
    def sequences(self) -> Sequences:
        if self._sequences is None:
            self._sequences = Sequences(
                self.instance.storage,
                self.catalog,
                lambda: self.current_role_oid,
                self.saw,
                lambda: self.block.read_only,
            )
        return self._sequences

    @property
    def security(self) -> SecurityAccess:
        """For heliosd's own functions."""
        return SecurityAccess(self)

    @property
    def routines(self) -> Routines:
        """Users' functions and procedures, run."""
        if self._routines is None:
            self._routines = Routines(self)
        return self._routines

    @property
    def is_read_only(self) -> bool:
        """Whether the transaction may write nothing."""
        return self.block.read_only

    @property
    def advisory_locks(self) -> AdvisoryLocks:
        if self._advisory is None:
            self._advisory = AdvisoryLocks(self)
        return self._advisory

    @property
    def view_context(self) -> SessionViews:
        """What catalog views are given."""
        return SessionViews(self)

    @property
    def is_running(self) -> bool:
        """Whether a statement is being run."""
        raise NotImplementedError

    @property
    def wait_event(self) -> tuple[str, str] | None:
        """What it waits for, as pg_stat_activity words it."""
        if self.lock_owner.waiting is not None:
            return ("Lock", "tuple")
        if not self.is_running or self.input_event is not None:
            return ("Client", "ClientRead")
        return None

    @property
    def columns(self) -> ColumnEngine:
        """The server's engine for column programs."""
        return self.instance.columns

    def set_setting(self, name: str, value: str | None, *, local: bool = False) -> None:
        """set_config()."""
        self.settings.set(name, value, local=local)

    # ------------------------------------------------------------ preparing

    def bind_scope(self, parameter_types: tuple[int, ...] = ()) -> BindScope:
        """What a statement of this session is bound against now."""
        return BindScope(
            self.catalog,
            self.resolver,
            self.search_path.schemas,
            self.current_role_oid,
            self.eval,
            parameter_types,
        )

    def prepare(self, statement: Statement, parameter_types: tuple[int, ...] = ()) -> Program:
        """A program under this session's names, role and settings; 42501 for what it may not."""
        program = prepare_statement(
            statement,
            self.bind_scope(parameter_types),
            parameter_types,
            row_count=self.row_count,
            session=self,
        )
        check_privileges(self.catalog, self.current_role_oid, program.privileges)
        roles = (self.session_role_oid, self.current_role_oid)
        budgets = budgets_of(self.catalog, roles)
        if budgets and not (program.kind is StatementKind.UTILITY and program.columns is None):
            budgets = budgets_for(budgets, tables_read(self, program))
            if budgets:
                return replace(program, budgets=budgets, point=None, point_modify=None)
        return program

    def draw(self, budgets: Sequence[Budget], rows: int, size_bytes: int) -> None:
        """Before so much is sent of rows that budgets are about: 53400 when it is too much."""
        self.instance.ledger.draw(budgets, rows, size_bytes)

    def counted(self, error: SqlError) -> SqlError:
        """An error about data may tell a value: it counts as a row of the tables that are read."""
        if error.sqlstate[:2] not in TELLING_CLASSES:
            return error
        budgets, self.metered = self.metered, ()
        if budgets is None:
            budgets = budgets_of(self.catalog, (self.session_role_oid, self.current_role_oid))
        if budgets:
            size = len(f"{error.message}{error.detail or ''}".encode())
            try:
                self.instance.ledger.draw(budgets, 1, size)
            except SqlError as refused:
                return refused
        return error

    def row_count(self, tree_id: int) -> int:
        """Rows in a tree at the newest root, for the planner."""
        tree = self.instance.storage.roots.newest.find(tree_id)
        return 0 if tree is None else tree.ref.count

    def make_prepared(self, text: str, tree: Statement, given_types: tuple[int, ...]) -> Prepared:
        """The same with what is needed to keep it."""
        program = self.prepare(tree, given_types)
        return Prepared(
            text,
            tree,
            program,
            given_types,
            _needs_snapshot(program, tree),
            self.statement_cache(),
            stamp_of(self.catalog),
            names_of(self.catalog),
        )

    def current_prepared(self, statement: NamedStatement) -> Prepared:
        """The named statement's program, made anew when it is stale.

        0A000 when its result columns would change: a client may have looked at them already.
        """
        prepared = statement.prepared
        assert prepared is not None, "an empty statement is answered before"
        if self.is_current(prepared):
            return prepared
        cache = self.statement_cache()
        fresh = (
            cache.find(statement.text, statement.given_types) if not statement.from_sql else None
        )
        if fresh is None or not fresh.is_current(self.catalog):
            fresh = self.make_prepared(statement.text, prepared.tree, statement.given_types)
            if not statement.from_sql:
                cache.put(fresh)
        if _shape(fresh) != _shape(prepared):
            raise SqlError("0A000", "cached plan must not change result type")
        statement.prepared = fresh
        return fresh

    # ------------------------------------------------------------ BlockOwner

    def open_transaction(self, isolation: Isolation, *, read_only: bool) -> Transaction:
        """storage.begin."""
        return self.instance.storage.begin(
            isolation, read_only=read_only, seen=self.output.seen, owner=self.lock_owner
        )

    def transaction_opened(self, transaction: Transaction) -> None:
        """Programs find it in the context."""
        self.context.transaction = transaction

    def before_commit(self, transaction: Transaction) -> None:
        """What must happen while the transaction can still fail."""
        if self.portals:
            self.portals.persist_held()
        if self.catalog.temporary_schema:
            run_on_commit(self)
        if self.context.deferred.mark():
            self.context.snapshot = transaction.snapshot()
            try:
                check_deferred(self.context)
            finally:
                self.context.snapshot.release()

    def saw(self, lsn: Lsn) -> None:
        """Replies from here on tell of something at this LSN: they wait until it is durable."""
        if lsn > self.output.seen:
            self.output.seen = lsn

    def transaction_ended(self, *, committed: bool, lsn: Lsn) -> None:
        """Portals go; replies wait for what was seen."""
        if self.portals:
            self.portals.end_transaction()
        self.context.deferred.clear()
        self.saw(lsn)
        metrics = self.instance.metrics
        if committed:
            metrics.transactions_committed.value += 1
        else:
            metrics.transactions_rolled_back.value += 1

    def portals_mark(self) -> int:
        """How many portals there are."""
        return len(self.portals)

    def deferred_mark(self) -> int:
        """How many constraint checks wait."""
        return self.context.deferred.mark()

    def forget_deferred_after(self, mark: int) -> None:
        """Those noted since."""
        self.context.deferred.rollback_to(mark)

    def close_portals_after(self, mark: int) -> None:
        """Those made since."""
        self.portals.close_after(mark)

    def touch_transaction_time(self) -> None:
        """now() stands still from here on."""
        self.eval.transaction_us = self.eval.statement_us

    # ------------------------------------------------------------ SessionServices

    @property
    def transaction(self) -> Transaction:
        """Storage's transaction, opened if none is."""
        return self.block.require_transaction()

    def catalog_edit(self) -> CatalogEdit:
        """Changes to the catalog in this transaction."""
        return self.block.catalog_edit(self.instance.allocate_oid)

    def new_statement_snapshot(self) -> Snapshot:
        """The statement goes on with a snapshot that sees its own writes."""
        self.context.snapshot.release()
        self.context.snapshot = self.transaction.snapshot()
        return self.context.snapshot

    def run_after_commit(self, action: Callable[[], None]) -> None:
        """When the commit is published."""
        self.block.run_after_commit(action)

    def discard(self, what: str) -> None:
        """DISCARD; temporary tables are dropped by the statement's own function."""
        if what in ("all", "plans"):
            self.forget_plans()
        if what in ("all", "sequences") and self._sequences is not None:
            self._sequences.discard()
        if what == "all":
            for portal in self.portals:
                self.portals.close(portal.name)
            self.statements.clear()
            self.settings_state.reset_all()
            self.set_session_role(None)
            self.notifications.close()
            self.advisory_locks.unlock_all()

    def notify(self, channel: str, payload: str) -> None:
        """pg_notify(); what it sends counts for budgets of bytes."""
        roles = (self.session_role_oid, self.current_role_oid)
        if budgets := budgets_of(self.catalog, roles):
            self.draw(budgets, 0, len(payload.encode()))
        self.notifications.notify(channel, payload)

    def check_domain(self, oid: int, value: Any) -> Any:
        """A domain's constraints, for casts and input functions."""
        return self.domain_checks.check(oid, value)

    def transaction_id(self, *, assign: bool) -> int | None:
        """The open transaction's id."""
        transaction = self.transaction
        if assign and not transaction.xid:
            transaction.xid = transaction.manager.new_xid()
        return transaction.xid or None

    def signal_backend(self, pid: int, *, terminate: bool) -> bool:
        """pg_cancel_backend, pg_terminate_backend: 42501 across roles."""
        found = self.instance.backends.find(pid)
        if not isinstance(found, SessionState):
            self.notice(f"PID {pid} is not a PostgreSQL server process", severity="WARNING")
            return False
        self._check_may_signal(found, "terminate" if terminate else "cancel")
        if terminate:
            found.terminate()
        else:
            found.cancel()
        return True

    def _check_may_signal(self, other: SessionState, verb: str) -> None:
        if self.is_superuser:
            return
        what, done = ("query", "canceled") if verb == "cancel" else ("process", "terminated")
        role = self.catalog.role(other.session_role)
        if role is not None and role.superuser:
            raise SqlError(
                INSUFFICIENT_PRIVILEGE,
                f"must be a superuser to {verb} superuser {what}",
            )
        signal = self.catalog.role("pg_signal_backend")
        allowed = [one.oid for one in (role, signal) if one is not None]
        mine = self.current_role_oid
        if not any(acl.has_privileges_of(self.catalog, mine, oid) for oid in allowed):
            raise SqlError(
                INSUFFICIENT_PRIVILEGE,
                f"must be a member of the role whose {what} is being {done} "
                "or member of pg_signal_backend",
            )

    def cancel(self) -> None:
        """57014 to the running statement."""
        raise NotImplementedError

    def terminate(self) -> None:
        """57P01 to the session."""
        raise NotImplementedError

    def reload_configuration(self) -> bool:
        """pg_reload_conf()."""
        if not self.is_superuser:
            raise SqlError(INSUFFICIENT_PRIVILEGE, "permission denied for function pg_reload_conf")
        return self.instance.reload()

    def log_event(self, event: str, **fields: str | int) -> None:
        """A line in the server's log."""
        self.instance.log.info(event, **fields)

    def answer_in_binary(self) -> None:
        """FETCH from a BINARY cursor."""
        self._binary_answer = True

    def take_binary_answer(self) -> bool:
        """Whether this statement's rows go in binary; asked once."""
        wanted, self._binary_answer = self._binary_answer, False
        return wanted

    def drop_temporary(self) -> None:
        """The session ends: its temporary trees go, in a task of their own if need be."""
        trees = [
            tree
            for table in self.catalog.local.objects.values()
            if isinstance(table, Table)
            for tree in (table.tree_id, *(index.tree_id for index in table.secondary_indexes))
            if tree
        ]
        if not trees:
            return
        if self.instance.hub.can_wait():
            self._drop_trees(trees)
        else:
            self.instance.hub.start(lambda: self._drop_trees(trees))

    def _drop_trees(self, trees: list[int]) -> None:
        try:
            transaction = self.instance.storage.begin(owner=LockOwner(self.process_id))
            for tree in trees:
                transaction.drop_tree(TreeId(tree))
            transaction.commit()
        except Exception as error:
            self.instance.log.exception("session.temporary", error, pid=self.process_id)

    def notification_arrived(self, pid: int, channel: str, payload: str, lsn: Lsn) -> None:
        """From the bus; `session.py` decides when it is sent."""
        raise NotImplementedError


def _shape(prepared: Prepared) -> tuple[object, ...]:
    columns = prepared.program.columns
    if columns is None:
        return ()
    return tuple((column.name, column.type_oid, column.type_modifier) for column in columns)
