"""What a catalog view may ask: the session's catalog, and what the rooms above know."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog
    from heliosd.catalog.objects import Budget
    from heliosd.types.context import EvalContext


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """One session for pg_stat_activity. Times are microseconds since 2000-01-01 UTC."""

    process_id: int
    database: str | None = None
    role: str | None = None
    application_name: str = ""
    client_address: str | None = None
    client_port: int | None = None
    started: int | None = None
    transaction_started: int | None = None
    query_started: int | None = None
    state_changed: int | None = None
    wait_event_type: str | None = None
    wait_event: str | None = None
    state: str | None = None
    transaction_id: int | None = None
    query: str = ""
    kind: str = "client backend"
    tls: bool = False
    tls_cipher: str | None = None
    certificate: tuple[str, int, str] | None = None
    """The client's: its name, serial number and issuer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockRow:
    """One held or awaited lock for pg_locks; `mode` as in "AccessShareLock"."""

    process_id: int
    mode: str
    granted: bool
    kind: str = "relation"
    relation: int | None = None
    object_id: int | None = None
    class_id: int | None = None
    sub_id: int | None = None
    waiting_since: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRow:
    """One prepared statement for pg_prepared_statements."""

    name: str
    statement: str
    prepared_at: int
    parameter_types: tuple[int, ...]
    from_sql: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CursorRow:
    """One open cursor for pg_cursors."""

    name: str
    statement: str
    holdable: bool
    binary: bool
    scrollable: bool
    created_at: int


class ServerLookup(Protocol):
    """What the catalog cannot know by itself; the session room answers."""

    def sessions(self) -> Iterable[SessionRow]: ...
    def locks(self) -> Iterable[LockRow]: ...
    def prepared_statements(self) -> Iterable[PreparedRow]: ...
    def cursors(self) -> Iterable[CursorRow]: ...
    def settings(self) -> Iterable[tuple[Any, ...]]:
        """Rows of pg_settings in its columns' order."""
        ...

    def budget_usage(self, budget: Budget) -> tuple[int, int, int]:
        """(start of the span, rows, bytes) of what has been drawn from a budget."""
        ...

    def host_rules(self) -> Iterable[tuple[Any, ...]]:
        """Rows of pg_hba_file_rules in its columns' order."""
        ...

    def user_maps(self) -> Iterable[tuple[Any, ...]]:
        """Rows of pg_ident_file_mappings in its columns' order."""
        ...

    def row_count(self, tree_id: int) -> int:
        """Rows in a tree at the newest root; 0 when there is none."""
        ...

    def sequence_value(self, store_id: int) -> int | None:
        """The last value drawn from a sequence; None when it was never called."""
        ...


class ViewContext(Protocol):
    """What `SystemView.rows` is given."""

    @property
    def catalog(self) -> Catalog: ...
    @property
    def evaluation(self) -> EvalContext:
        """The reading session: its role, its search path, definitions by `evaluation.catalog`."""
        ...

    @property
    def server(self) -> ServerLookup: ...
