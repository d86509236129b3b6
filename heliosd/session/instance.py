"""What all sessions of one server share. Made once by the service, then handed to the listener."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from heliosd.catalog.lookup import SharedCatalog
from heliosd.execute.column_engine import ColumnEngine
from heliosd.execute.hub import Hub
from heliosd.observe.log import Log
from heliosd.observe.metrics import Metrics
from heliosd.security.budgets import Ledger, Usage
from heliosd.security.hba import HostRules
from heliosd.security.hba_lexer import HbaError
from heliosd.security.ident_map import IdentMaps
from heliosd.session.buckets import Buckets, KeyExtractor
from heliosd.session.cancel import Backends
from heliosd.session.clock import now_us
from heliosd.session.notify import NotifyBus
from heliosd.session.statement_cache import StatementCaches
from heliosd.settings.registry import SettingValue
from heliosd.sql.bind.resolve import Resolver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from helios_storage.storage import Storage
    from heliosd.catalog.objects import Budget
    from heliosd.functions.registry import FunctionRegistry
    from heliosd.settings.registry import SettingsRegistry
    from heliosd.types.registry import TypeRegistry


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Bounds that hold for every session."""

    max_connections: int = 1000
    superuser_reserved: int = 3
    # 16 MiB of text per statement (S-26): 54000 beyond.
    statement_bytes: int = 16 * 1024 * 1024
    # A session stops reading when this much waits behind a running statement.
    input_bytes: int = 1024 * 1024
    # Rows wait for a slow reader when this much is unsent.
    output_bytes: int = 256 * 1024


@dataclass(slots=True)
class Instance:
    """One server. `settings_base` are the server's values where they differ from defaults."""

    storage: Storage
    catalog: SharedCatalog
    types: TypeRegistry
    functions: FunctionRegistry
    resolver: Resolver
    hub: Hub
    settings: SettingsRegistry
    settings_base: Mapping[str, SettingValue]
    metrics: Metrics
    log: Log
    statement_buckets: Buckets
    key_extractor: KeyExtractor
    started_us: int
    allocate_oid: Callable[[], int]
    limits: SessionLimits = field(default_factory=SessionLimits)
    backends: Backends = field(default_factory=Backends)
    notifications: NotifyBus = field(default_factory=NotifyBus)
    statements: StatementCaches = field(default_factory=StatementCaches)
    columns: ColumnEngine = field(default_factory=ColumnEngine)
    ledger: Ledger = field(init=False)
    # Why new logins are refused (57P03): starting up, shutting down; None when they are not.
    refusal: str | None = None
    reload: Callable[[], bool] = field(default=lambda: False)
    # The host-based rules as configured now, for pg_hba_file_rules.
    host_rules: Callable[[], HostRules] = field(default=lambda: HostRules(()))
    # The user name maps as configured now, or what is wrong with them.
    user_maps: Callable[[], IdentMaps | HbaError] = field(default=IdentMaps)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.storage.sequences, now_us, self._refused)

    def _refused(self, budget: Budget, usage: Usage, first: bool) -> None:  # noqa: FBT001  a callback
        """A row was over a budget: counted each time, told once in a span."""
        self.metrics.budget_exceeded.value += 1
        if first:
            holder = next((r for r in self.catalog.roles() if budget in r.budgets), None)
            table = self.catalog.state.objects.get(budget.table)
            self.log.warning(
                "budget.exceeded",
                role="" if holder is None else holder.name,
                table="" if table is None else table.name,
                rows=usage.rows,
                bytes=usage.size_bytes,
            )
