"""One client's state, and what statements may do to it.

`SessionState` implements `execute.context.SessionServices` and the small faces that its parts ask
for (`BlockOwner`, `EvaluationOwner`, `CopyOwner`). It never reads the client's commands: that is
`session.py`, `simple.py` and `extended.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from helios_protocol import messages as m
from helios_protocol.connection import Connection as Wire
from helios_protocol.encode import encode
from helios_protocol.fields import Fields
from helios_storage.locks import LockOwner
from helios_storage.scheduler import Event
from helios_storage.spec import Lsn, TreeId
from helios_storage.transaction import Isolation, Transaction
from heliosd.catalog import acl
from heliosd.catalog.face import CatalogFace
from heliosd.catalog.lookup import Catalog, Overlay, SearchPath
from heliosd.catalog.objects import Database, Role, Table
from heliosd.errors import INSUFFICIENT_PRIVILEGE, INVALID_PARAMETER_VALUE, SqlError
from heliosd.execute.constraints import DeferredChecks, check_deferred
from heliosd.execute.context import CopyFormat, ExecutionContext
from heliosd.execute.prepare import prepare_statement
from heliosd.execute.program import StatementKind
from heliosd.execute.utility.describe import SessionDescriber
from heliosd.execute.utility.registry import command_for
from heliosd.execute.utility.temporary import run_on_commit
from heliosd.security.authorize import check_privileges
from heliosd.session.advisory import AdvisoryLocks
from heliosd.session.block import Block
from heliosd.session.channel import Channel
from heliosd.session.clock import now_us
from heliosd.session.copy import CopyIn, CopyOut
from heliosd.session.cursors import CursorCommands
from heliosd.session.evaluation import Evaluation
from heliosd.session.notify import Notifications
from heliosd.session.output import Output
from heliosd.session.portal import Portals
from heliosd.session.prepared import NamedStatement, Statements
from heliosd.session.prepared_commands import PreparedCommands
from heliosd.session.search_path import split_search_path
from heliosd.session.sequences import Sequences
from heliosd.session.settings_commands import SettingsCommands
from heliosd.session.statement_cache import (
    KnownTemplate,
    Prepared,
    ScopeKey,
    StatementCache,
    StatementCaches,
    names_of,
    stamp_of,
)
from heliosd.session.views import SessionViews
from heliosd.settings.session import SessionSettings
from heliosd.settings.state import SessionSettingsState
from heliosd.sql.bind.state import BindScope

if TYPE_CHECKING:
    from helios_storage.storage import Storage
    from helios_storage.transaction import Snapshot
    from heliosd.catalog.edit import CatalogEdit
    from heliosd.execute.program import Parameters, Program
    from heliosd.session.instance import Instance
    from heliosd.sql.tree import Statement

_SEVERITIES = (
    "DEBUG5",
    "DEBUG4",
    "DEBUG3",
    "DEBUG2",
    "DEBUG1",
    "LOG",
    "NOTICE",
    "WARNING",
    "ERROR",
)
# What refers back to its session, directly or through another of these.
_PARTS: Final = (
    *("block", "context", "eval", "face", "settings_state", "catalog", "channel"),
    *("_advisory", "_sequences", "_notifications", "_settings_commands"),
    *("_prepared_commands", "_cursor_commands"),
)
# Rows are handed to the socket when this much has been made.
CHUNK_BYTES = 64 * 1024


def _needs_snapshot(program: Program, tree: Statement) -> bool:
    """False for SET, BEGIN and the like, which must not start a transaction's first snapshot."""
    return (
        program.kind is not StatementKind.UTILITY or command_for(program.statement).needs_snapshot
    )


class SessionState:
    """See the module. All of it on the loop's thread."""

    __slots__ = (
        "_advisory",
        "_binary_answer",
        "_cache",
        "_cursor_commands",
        "_notifications",
        "_own_caches",
        "_path_names",
        "_prepared_commands",
        "_scope_overlay",
        "_scope_schemas",
        "_scope_settings",
        "_scope_temporary",
        "_sequences",
        "_settings_commands",
        "_settings_version",
        "block",
        "cancel_secret",
        "catalog",
        "channel",
        "client_role",
        "context",
        "current_role",
        "current_role_oid",
        "current_text",
        "database_object",
        "eval",
        "face",
        "idle_session_timeout_ms",
        "idle_transaction_timeout_ms",
        "input_event",
        "instance",
        "is_superuser",
        "last_template",
        "lock_owner",
        "lock_timeout_ms",
        "minor",
        "multi_statement",
        "output",
        "parameter_types",
        "parameters",
        "plain_defaults",
        "portals",
        "process_id",
        "reports",
        "session_role",
        "session_role_oid",
        "settings_state",
        "started_us",
        "state_changed_us",
        "statement_timeout_ms",
        "statements",
        "wire",
    )

    def __init__(
        self,
        instance: Instance,
        channel: Channel,
        wire: Wire,
        role: Role,
        database: Database,
    ) -> None:
        self.instance = instance
        self.channel = channel
        self.wire = wire
        self.output = Output(channel, instance.storage)
        self.process_id = instance.backends.new_process_id()
        self.cancel_secret = b""
        self.minor = 0
        self.lock_owner = LockOwner(self.process_id)
        self.catalog = Catalog(instance.catalog, database)
        self.database_object = database
        self.reports: dict[str, str] = {}
        self.settings_state = SessionSettingsState(
            instance.settings, instance.settings_base, self._setting_reported
        )
        self.eval = Evaluation(self)
        self.face = CatalogFace(
            self.catalog,
            lambda: self.search_path,
            instance.functions,
            describer=SessionDescriber(self.bind_scope, lambda: self.search_path),
            row_count=instance.storage.row_count,
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
        # The role that logged in never changes; SET SESSION AUTHORIZATION changes session_role.
        self.client_role = role
        self.session_role = self.current_role = role.name
        self.session_role_oid = self.current_role_oid = role.oid
        self.is_superuser = role.superuser
        self.started_us = self.state_changed_us = now_us()
        # The statement that runs: its text, its parameters.
        self.current_text = ""
        self.parameters: Parameters = ()
        self.parameter_types: tuple[int, ...] = ()
        self.multi_statement = False
        self.last_template: KnownTemplate | None = None
        self.input_event: Event | None = None
        self.statement_timeout_ms = self.lock_timeout_ms = 0
        self.idle_session_timeout_ms = self.idle_transaction_timeout_ms = 0
        # Whether a statement alone is READ COMMITTED, may write and needs no timer afterwards.
        self.plain_defaults = False
        self._binary_answer = False
        self._settings_version = -1
        self._path_names: tuple[str, ...] = ()
        # The cache in use, and what it was chosen by.
        self._cache = StatementCache()
        self._scope_settings = self._scope_schemas = self._scope_temporary = -1
        self._scope_overlay: Overlay | None = None
        self._own_caches: StatementCaches | None = None
        self._advisory: AdvisoryLocks | None = None
        self._sequences: Sequences | None = None
        self._notifications: Notifications | None = None
        self._settings_commands: SettingsCommands | None = None
        self._prepared_commands: PreparedCommands | None = None
        self._cursor_commands: CursorCommands | None = None

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
                self.instance.storage, self.catalog, lambda: self.current_role_oid
            )
        return self._sequences

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

    # ------------------------------------------------------------ names

    @property
    def database(self) -> str:
        return self.database_object.name

    @property
    def database_oid(self) -> int:
        return self.database_object.oid

    @property
    def search_path(self) -> SearchPath:
        """The resolved search_path now."""
        self.refresh()
        return self.catalog.search_path(self._path_names, self.current_role)

    def refresh(self) -> None:
        """Take over what SET changed; one comparison while nothing has."""
        state = self.settings_state
        if state.version == self._settings_version:
            return
        self._settings_version = state.version
        self._path_names = split_search_path(state.value(SessionSettings.search_path))
        self.statement_timeout_ms = state.value(SessionSettings.statement_timeout)
        self.lock_timeout_ms = state.value(SessionSettings.lock_timeout)
        self.context.lock_timeout_ms = self.lock_timeout_ms
        self.idle_session_timeout_ms = state.value(SessionSettings.idle_session_timeout)
        self.idle_transaction_timeout_ms = state.value(
            SessionSettings.idle_in_transaction_session_timeout
        )
        self.plain_defaults = (
            state.value(SessionSettings.default_transaction_isolation) == "read committed"
            and not state.value(SessionSettings.default_transaction_read_only)
            and not self.idle_session_timeout_ms
        )
        self._refresh_roles()

    def _refresh_roles(self) -> None:
        """Both ids come from settings, so that ROLLBACK and SET LOCAL restore them (S-17)."""
        state = self.settings_state
        session_role = state.value(SessionSettings.session_authorization)
        chosen = state.value(SessionSettings.role)
        if session_role and session_role != self.session_role:
            found = self.catalog.require_role(session_role)
            self.session_role, self.session_role_oid = found.name, found.oid
            self.is_superuser = found.superuser
        current = self.session_role if chosen == "none" else chosen
        if current != self.current_role:
            found = self.catalog.require_role(current)
            self.current_role, self.current_role_oid = found.name, found.oid

    # ------------------------------------------------------------ roles

    def set_session_role(self, name: str | None, *, local: bool = False) -> None:
        """SET SESSION AUTHORIZATION; None is DEFAULT. 42501 unless the login was a superuser's."""
        target = self.client_role.name if name is None else name
        role = self.catalog.role(target)
        if role is None:
            raise SqlError(INVALID_PARAMETER_VALUE, f'role "{target}" does not exist')
        if role.oid != self.client_role.oid and not self.client_role.superuser:
            raise SqlError(INSUFFICIENT_PRIVILEGE, "permission denied to set session authorization")
        state = self.settings_state
        state.force(SessionSettings.session_authorization, role.name, local=local)
        state.force(SessionSettings.is_superuser, role.superuser, local=local)
        state.force(SessionSettings.role, "none", local=local)
        self.refresh()

    def set_role(self, name: str | None, *, local: bool = False) -> None:
        """SET ROLE; None is NONE. 22023 for no such role, 42501 unless a member."""
        if name is not None:
            role = self.catalog.role(name)
            if role is None:
                raise SqlError(INVALID_PARAMETER_VALUE, f'role "{name}" does not exist')
            if not acl.is_member(self.catalog, self.session_role_oid, role.oid):
                raise SqlError(INSUFFICIENT_PRIVILEGE, f'permission denied to set role "{name}"')
        self.settings_state.force(SessionSettings.role, name or "none", local=local)
        self.refresh()

    def set_setting(self, name: str, value: str | None, *, local: bool = False) -> None:
        """set_config()."""
        self.settings.set(name, value, local=local)

    def _setting_reported(self, name: str, shown: str) -> None:
        """PostgreSQL reports ahead of ReadyForQuery, the last value only."""
        self.reports[name] = shown

    def take_reports(self) -> bytes:
        """ParameterStatus messages for what has changed since the last time."""
        reports, self.reports = self.reports, {}
        codec = self.wire.codec
        return b"".join(encode(m.ParameterStatus(*report), codec) for report in reports.items())

    # ------------------------------------------------------------ preparing

    def bind_scope(self, parameter_types: tuple[int, ...] = ()) -> BindScope:
        """What a statement of this session is bound against now."""
        return BindScope(
            self.catalog,
            self.instance.resolver,
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
            row_count=self._row_count,
            session=self,
        )
        check_privileges(self.catalog, self.current_role_oid, program.privileges)
        return program

    def _row_count(self, tree_id: int) -> int:
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

    def statement_cache(self) -> StatementCache:
        """Where this session's statements are kept now: shared, unless what it sees is its own."""
        catalog = self.catalog
        if (
            self.settings_state.version == self._scope_settings
            and catalog.shared.state.schema_generation == self._scope_schemas
            and catalog.overlay is self._scope_overlay
            and catalog.temporary_schema == self._scope_temporary
        ):
            return self._cache
        return self._find_cache()

    def _find_cache(self) -> StatementCache:
        self.refresh()
        catalog = self.catalog
        key = ScopeKey(
            self.database_object.oid,
            self.current_role_oid,
            self.search_path.schemas,
            self._plan_settings(),
        )
        if catalog.overlay is not None or catalog.temporary_schema:
            if self._own_caches is None:
                self._own_caches = StatementCaches()
            self._cache = self._own_caches.of(key)
        else:
            self._cache = self.instance.statements.of(key)
        self._scope_settings = self.settings_state.version
        self._scope_schemas = catalog.shared.state.schema_generation
        self._scope_overlay = catalog.overlay
        self._scope_temporary = catalog.temporary_schema
        return self._cache

    def is_current(self, prepared: Prepared) -> bool:
        """Whether a statement may run as it was prepared: same role, path and settings, and what
        it leans on has not changed."""
        return prepared.scope is self.statement_cache() and prepared.is_current(self.catalog)

    def _plan_settings(self) -> tuple[object, ...]:
        """Values that binding and planning look at."""
        state = self.settings_state
        return (
            self.eval.styles,
            self.session_role_oid,
            state.value(SessionSettings.row_security),
            *(
                value
                for name, _, value in state.items()
                if name.startswith("enable_") or name.endswith(("_limit", "rules_off", "_cost"))
            ),
        )

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
        self.portals.persist_held()
        if self.catalog.temporary_schema:
            run_on_commit(self)
        if self.context.deferred.mark():
            self.context.snapshot = transaction.snapshot()
            try:
                check_deferred(self.context)
            finally:
                self.context.snapshot.release()

    def transaction_ended(self, *, committed: bool, lsn: Lsn) -> None:
        """Portals go; replies wait for what was seen."""
        if self.portals:
            self.portals.end_transaction()
        self.context.deferred.clear()
        if lsn > self.output.seen:
            self.output.seen = lsn
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
            self._own_caches = None
            self._scope_settings = -1
        if what in ("all", "sequences") and self._sequences is not None:
            self._sequences.discard()
        if what == "all":
            for portal in self.portals:
                self.portals.close(portal.name)
            self.statements.clear()
            self.settings_state.reset_all()
            self.notifications.close()
            self.advisory_locks.unlock_all()

    def notify(self, channel: str, payload: str) -> None:
        """pg_notify()."""
        self.notifications.notify(channel, payload)

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
        if not any(acl.is_member(self.catalog, self.current_role_oid, oid) for oid in allowed):
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

    # ------------------------------------------------------------ the client

    def send(self, data: bytes) -> None:
        """Add to what goes out next."""
        self.output.parts.append(data)

    def send_streaming(self, data: bytes) -> None:
        """The same for long streams: hands over as it grows, and waits for a slow reader."""
        output = self.output
        output.parts.append(data)
        output.size_bytes += len(data)
        if output.size_bytes >= CHUNK_BYTES:
            self.drain()

    def drain(self) -> None:
        """Hand over what is there; wait while the client or the disk is behind."""
        output = self.output
        output.flush()
        hub = self.instance.hub
        while (event := self.channel.writable()) is not None:
            hub.wait(event)
        while output.held_bytes > self.instance.limits.output_bytes:
            durable = Event()
            self.instance.storage.when_durable(output.seen, durable.set)
            hub.wait(durable)

    def notice(
        self,
        message: str,
        *,
        severity: str = "NOTICE",
        sqlstate: str = "00000",
        detail: str | None = None,
        hint: str | None = None,
    ) -> None:
        """A NoticeResponse, unless client_min_messages is above it."""
        if severity != "INFO":
            least = self.settings_state.value(SessionSettings.client_min_messages).upper()
            known = _SEVERITIES.index(severity) if severity in _SEVERITIES else 6
            if known < _SEVERITIES.index(least):
                return
        fields = Fields(severity, sqlstate, message, detail=detail, hint=hint)
        self.output.parts.append(encode(m.NoticeResponse(fields), self.wire.codec))

    def copy_in(self, form: CopyFormat) -> CopyIn:
        """CopyInResponse, then the client's stream."""
        return CopyIn(self, form)

    def copy_out(self, form: CopyFormat) -> CopyOut:
        """CopyOutResponse, then ours."""
        return CopyOut(self, form)

    def start_copy_in(self) -> None:
        """The wire expects CopyData."""
        self.wire.start_copy_in()

    def wait_message(self) -> m.FrontendMessage:
        """The client's next message; suspends until it is there."""
        while True:
            message = self.wire.next_message()
            if message is not None:
                return message
            self.output.flush()
            self.channel.resume_reading()
            self.input_event = Event()
            try:
                self.instance.hub.wait(self.input_event)
            finally:
                self.input_event = None

    def notification_arrived(self, pid: int, channel: str, payload: str, lsn: Lsn) -> None:
        """From the bus; `session.py` decides when it is sent."""
        raise NotImplementedError


def _shape(prepared: Prepared) -> tuple[object, ...]:
    columns = prepared.program.columns
    if columns is None:
        return ()
    return tuple((column.name, column.type_oid, column.type_modifier) for column in columns)
