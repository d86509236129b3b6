"""What catalog views read of sessions: pg_stat_activity, pg_locks, pg_settings, pg_cursors, ..."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

from helios_storage.locks import TableLockMode
from heliosd.catalog.views.context import CursorRow, LockRow, PreparedRow, SessionRow
from heliosd.catalog.views.values import array
from heliosd.execute.context import TransactionStatus
from heliosd.security.hba import HostRule
from heliosd.security.hba_lexer import HbaError
from heliosd.session.clock import now_us
from heliosd.session.portal import Cursor, Portal, Portals
from heliosd.session.prepared import Statements
from heliosd.settings.registry import Setting, SettingValue
from heliosd.settings.session import SessionSettings
from heliosd.settings.state import SessionSettingsState

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog
    from heliosd.catalog.objects import Budget
    from heliosd.session.block import Block
    from heliosd.session.channel import Channel
    from heliosd.session.evaluation import Evaluation
    from heliosd.session.instance import Instance

ROW_LOCKS: Final = ("FOR KEY SHARE", "FOR SHARE", "FOR NO KEY UPDATE", "FOR UPDATE")


class ViewedSession(Protocol):
    """What is shown of a session."""

    @property
    def instance(self) -> Instance: ...
    @property
    def catalog(self) -> Catalog: ...
    @property
    def eval(self) -> Evaluation: ...
    @property
    def settings_state(self) -> SessionSettingsState: ...
    @property
    def statements(self) -> Statements: ...
    @property
    def portals(self) -> Portals: ...
    @property
    def block(self) -> Block: ...
    @property
    def channel(self) -> Channel: ...
    @property
    def process_id(self) -> int: ...
    @property
    def session_role(self) -> str: ...
    @property
    def database(self) -> str: ...
    @property
    def started_us(self) -> int: ...
    @property
    def current_text(self) -> str: ...
    @property
    def is_running(self) -> bool: ...
    @property
    def state_changed_us(self) -> int: ...
    @property
    def wait_event(self) -> tuple[str, str] | None: ...


_STATES: Final = {
    TransactionStatus.IDLE: "idle",
    TransactionStatus.IN_BLOCK: "idle in transaction",
    TransactionStatus.FAILED: "idle in transaction (aborted)",
}


class SessionViews:
    """Implements `catalog.views.context.ViewContext` and its `ServerLookup`."""

    __slots__ = ("_session",)

    def __init__(self, session: ViewedSession) -> None:
        self._session = session

    @property
    def catalog(self) -> Catalog:
        return self._session.catalog

    @property
    def evaluation(self) -> Evaluation:
        return self._session.eval

    @property
    def server(self) -> SessionViews:
        return self

    # ------------------------------------------------------------ ServerLookup

    def sessions(self) -> Iterable[SessionRow]:
        """Every session that is logged in."""
        for other in self._session.instance.backends:
            yield session_row(other)  # type: ignore[arg-type]  # Backends holds sessions only

    def locks(self) -> Iterable[LockRow]:
        """Held and awaited locks: tables, advisory locks; rows show as tuple locks."""
        now, clock = now_us(), monotonic()
        for info in self._session.instance.storage.locks.listing():
            since = None if info.granted else now - int((clock - info.waited_since) * 1_000_000)
            yield _lock_row(info.object_id, info.mode, info.pid, info.granted, since, info.key)

    def prepared_statements(self) -> Iterable[PreparedRow]:
        """This session's, the unnamed one left out."""
        for statement in self._session.statements:
            if statement.name and statement.prepared is not None:
                yield PreparedRow(
                    name=statement.name,
                    statement=statement.text,
                    prepared_at=statement.created_us,
                    parameter_types=statement.prepared.program.parameter_types,
                    from_sql=statement.from_sql,
                )

    def cursors(self) -> Iterable[CursorRow]:
        """This session's open cursors and named portals."""
        for portal in self._session.portals:
            if portal.name:
                cursor = portal if isinstance(portal, Cursor) else None
                yield CursorRow(
                    name=portal.name,
                    statement=cursor.text if cursor is not None else _text_of(portal),
                    holdable=cursor is not None and cursor.hold,
                    binary=cursor is not None and cursor.binary,
                    scrollable=cursor is not None and cursor.scroll is not False,
                    created_at=portal.created_us,
                )

    def settings(self) -> Iterable[tuple[Any, ...]]:
        """Rows of pg_settings."""
        for name, declared, value in self._session.settings_state.items():
            if declared is not None and not declared.secret:
                yield _setting_row(name, declared, value)

    def budget_usage(self, budget: Budget) -> tuple[int, int, int]:
        """What has been drawn from a budget."""
        usage = self._session.instance.ledger.usage(budget)
        return usage.start_us, usage.rows, usage.size_bytes

    def host_rules(self) -> Iterable[tuple[Any, ...]]:
        """Rows of pg_hba_file_rules: what a reload would put in force, wrong lines too."""
        found = self._session.instance.host_rules()
        rows = [(rule.line, _rule_row(rule)) for rule in found.rules]
        rows += [(bad.line, (bad.line, *(None,) * 7, bad.error)) for bad in found.bad]
        for _, row in sorted(rows, key=lambda pair: pair[0]):
            yield row

    def user_maps(self) -> Iterable[tuple[Any, ...]]:
        """Rows of pg_ident_file_mappings; one with the error alone when the text is wrong."""
        found = self._session.instance.user_maps()
        if isinstance(found, HbaError):
            yield (found.line, None, None, None, str(found))
            return
        for line in found.lines:
            yield (line.line, line.name, line.system, line.role, None)

    def row_count(self, tree_id: int) -> int:
        """Rows at the newest root."""
        tree = self._session.instance.storage.roots.newest.find(tree_id)
        return 0 if tree is None else tree.ref.count

    def sequence_value(self, store_id: int) -> int | None:
        """The last value drawn."""
        found = self._session.instance.storage.sequences.peek(store_id)
        return found[0] if found is not None and found[1] else None


def session_row(session: ViewedSession) -> SessionRow:
    """One line of pg_stat_activity."""
    status = session.block.status
    running = session.is_running
    address = session.channel.client_address
    wait = session.wait_event
    open_transaction = running or status is not TransactionStatus.IDLE
    transaction = session.block.transaction
    return SessionRow(
        process_id=session.process_id,
        database=session.database,
        role=session.session_role,
        application_name=session.settings_state.value(SessionSettings.application_name),
        client_address=address[0] if address else None,
        client_port=address[1] if address else -1,
        started=session.started_us,
        transaction_started=session.eval.transaction_us if open_transaction else None,
        query_started=session.eval.statement_us,
        state_changed=session.state_changed_us,
        wait_event_type=wait[0] if wait else None,
        wait_event=wait[1] if wait else None,
        state="active" if running else _STATES[status],
        transaction_id=(transaction.xid or None) if transaction is not None else None,
        query=session.current_text,
        tls=session.channel.tls_cipher is not None,
        tls_cipher=session.channel.tls_cipher,
        certificate=_certificate(session.channel),
    )


def _rule_row(rule: HostRule) -> tuple[Any, ...]:
    address = rule.address
    network = None if isinstance(address, str) else address
    options = [f"{name}={value}" for name, value in rule.options.items()]
    return (
        rule.line, rule.kind, array(x.text for x in rule.databases),
        array(x.text for x in rule.users),
        str(network.network_address) if network is not None else address or None,
        str(network.netmask) if network is not None else None,
        rule.method, array(options) if options else None, None,
    )  # fmt: skip


def _certificate(channel: Channel) -> tuple[str, int, str] | None:
    found = channel.client_certificate
    return None if found is None else (found.distinguished_name, found.serial, found.issuer)


def _text_of(portal: Portal) -> str:
    return portal.prepared.text if portal.prepared is not None else ""


def _lock_row(
    object_id: object,
    mode: int,
    pid: int,
    granted: bool,  # noqa: FBT001  a column's value
    since: int | None,
    key: object,
) -> LockRow:
    if isinstance(object_id, tuple) and object_id[0] == "advisory":
        _, _, first, second, pair = object_id
        return LockRow(
            process_id=pid,
            mode=_mode_name(mode),
            granted=granted,
            kind="advisory",
            class_id=first if pair else (first >> 32) & 0xFFFFFFFF,
            object_id=second if pair else first & 0xFFFFFFFF,
            sub_id=2 if pair else 1,
            waiting_since=since,
        )
    if key is not None:
        return LockRow(
            process_id=pid, mode=ROW_LOCKS[mode], granted=granted, kind="tuple", waiting_since=since
        )
    relation = object_id if isinstance(object_id, int) else None
    return LockRow(
        process_id=pid,
        mode=_mode_name(mode),
        granted=granted,
        kind="relation" if relation is not None else "object",
        relation=relation,
        waiting_since=since,
    )


def _mode_name(mode: int) -> str:
    """ACCESS_SHARE -> AccessShareLock."""
    return "".join(word.capitalize() for word in TableLockMode(mode).name.split("_")) + "Lock"


def _plain(value: SettingValue) -> str:
    """The value in the setting's own unit."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _setting_row(name: str, declared: Setting[Any], value: SettingValue) -> tuple[Any, ...]:
    numeric = declared.vartype in ("integer", "real")
    low = _plain(declared.minimum) if numeric and declared.minimum is not None else None
    high = _plain(declared.maximum) if numeric and declared.maximum is not None else None
    default = _plain(declared.default)
    return (
        name, _plain(value), declared.unit or None, declared.category or "Ungrouped", declared.doc,
        None, declared.context.value, declared.vartype,
        "default" if value == declared.default else "session", low, high,
        array(declared.choices) if declared.choices else None, default, default, None, None, False,
    )  # fmt: skip
