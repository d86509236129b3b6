"""Metrics: plain integers on the hot path, read by a collector when Prometheus scrapes.

TO ADD A METRIC: add one attribute to `Metrics`. Label values are declared, so the set of series
is fixed (S-42) and an increment is one list or attribute addition, never a lock.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

AUTH_METHODS: Final = (
    *("scram", "scram_plus", "cert", "peer", "oauth", "jwt"),
    *("none", "tls", "plaintext", "protocol", "timeout", "limit"),
)
AUTH_REASONS: Final = (
    *("password", "unknown_role", "no_password", "expired", "certificate", "token", "peer"),
    *("nologin", "superuser", "locked", "no_rule", "rejected", "database", "connections", "rate"),
    *("shutdown", "protocol", "tls", "plaintext", "timeout", "limit", "other"),
)
STATEMENT_KINDS: Final = ("select", "insert", "update", "delete", "copy", "utility")
LIMITS: Final = ("connections", "statements", "logins", "http", "memory")
SECONDS_BUCKETS: Final = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)


class Counter:
    """A growing count per declared label value; unlabelled ones use `value`."""

    __slots__ = ("doc", "label", "name", "value", "values")

    def __init__(self, name: str, doc: str, label: str = "", declared: Sequence[str] = ()) -> None:
        self.name = name
        self.doc = doc
        self.label = label
        self.value = 0
        self.values: dict[str, int] = dict.fromkeys(declared, 0)

    def add(self, label_value: str, amount: int = 1) -> None:
        """Count under a declared label value (KeyError otherwise: a programming error)."""
        self.values[label_value] += amount

    def collect(self) -> CounterMetricFamily:
        """The family as prometheus-client wants it."""
        name = self.name.removesuffix("_total")
        family = CounterMetricFamily(name, self.doc, labels=[self.label] if self.label else None)
        if self.label:
            for label_value, count in self.values.items():
                family.add_metric([label_value], count)
        else:
            family.add_metric([], self.value)
        return family


class RefusalCounter(Counter):
    """Refused logins by method and reason; pairs show once they have occurred, and every method
    from the start, so that a first refusal is an increase."""

    def __init__(self, name: str, doc: str) -> None:
        super().__init__(name, doc)
        self._pairs: dict[tuple[str, str], int] = {(method, "other"): 0 for method in AUTH_METHODS}

    def count(self, method: str, reason: str) -> None:
        """One refusal; words that are not declared count as `none` and `other`."""
        method = method if method in AUTH_METHODS else "none"
        reason = reason if reason in AUTH_REASONS else "other"
        self._pairs[method, reason] = self._pairs.get((method, reason), 0) + 1
        self.value += 1

    def collect(self) -> CounterMetricFamily:
        """The family as prometheus-client wants it."""
        name = self.name.removesuffix("_total")
        family = CounterMetricFamily(name, self.doc, labels=["method", "reason"])
        for pair, count in self._pairs.items():
            family.add_metric(pair, count)
        return family


class Gauge:
    """A value read when scraped: `read` is set by the room that knows it."""

    __slots__ = ("doc", "name", "read")

    def __init__(self, name: str, doc: str) -> None:
        self.name = name
        self.doc = doc
        self.read: Callable[[], float] | None = None

    def collect(self) -> GaugeMetricFamily | None:
        """The family, or None while no room has said how to read it."""
        if self.read is None:
            return None
        return GaugeMetricFamily(self.name, self.doc, value=self.read())


class Histogram:
    """Times in seconds per declared label value, in fixed buckets."""

    __slots__ = ("counts", "doc", "label", "name", "sums")

    def __init__(self, name: str, doc: str, label: str, declared: Sequence[str]) -> None:
        self.name = name
        self.doc = doc
        self.label = label
        self.counts: dict[str, list[int]] = {
            value: [0] * (len(SECONDS_BUCKETS) + 1) for value in declared
        }
        self.sums: dict[str, float] = dict.fromkeys(declared, 0.0)

    def observe(self, label_value: str, seconds: float) -> None:
        """Count one time under a declared label value."""
        self.counts[label_value][bisect_left(SECONDS_BUCKETS, seconds)] += 1
        self.sums[label_value] += seconds

    def collect(self) -> HistogramMetricFamily:
        """The family with cumulative buckets."""
        family = HistogramMetricFamily(self.name, self.doc, labels=[self.label])
        for label_value, counts in self.counts.items():
            total = 0
            buckets = []
            for bound, count in zip((*SECONDS_BUCKETS, float("inf")), counts, strict=True):
                total += count
                buckets.append(("+Inf" if bound == float("inf") else str(bound), total))
            family.add_metric([label_value], buckets, sum_value=self.sums[label_value])
        return family


class Metrics(Collector):
    """Every metric of one server; the attribute is the handle that hot paths use."""

    def __init__(self) -> None:
        self.auth_failures = RefusalCounter("heliosdb_auth_failures_total", "Refused logins.")
        self.connections = Counter("heliosdb_connections_total", "Accepted connections.")
        self.password_age = Gauge(
            "heliosdb_password_age_max_seconds", "Age of the oldest password that may log in."
        )
        self.active_connections = Gauge("heliosdb_active_connections", "Connections open now.")
        self.query_execution_time = Histogram(
            "heliosdb_query_execution_time_seconds",
            "Time from a statement's arrival to its answer.",
            "kind",
            STATEMENT_KINDS,
        )
        self.statement_errors = Counter(
            "heliosdb_statement_errors_total", "Statements that ended in an error."
        )
        self.rate_limited = Counter(
            "heliosdb_rate_limit_exceeded_total", "Work refused by a limit.", "limit", LIMITS
        )
        self.budget_exceeded = Counter(
            "heliosdb_budget_exceeded_total", "Rows refused by an exfiltration budget."
        )
        self.transactions_committed = Counter(
            "heliosdb_transactions_committed_total", "Transactions committed."
        )
        self.transactions_rolled_back = Counter(
            "heliosdb_transactions_rolled_back_total", "Transactions rolled back."
        )
        self.bytes_received = Counter("heliosdb_bytes_received_total", "Bytes from clients.")
        self.bytes_sent = Counter("heliosdb_bytes_sent_total", "Bytes to clients.")
        self.log_bytes = Gauge(
            "heliosdb_log_bytes", "Position of the log: bytes over the store's life."
        )
        self.checkpoints = Gauge("heliosdb_checkpoints", "Checkpoints since the start.")
        self.cache_bytes = Gauge("heliosdb_cache_bytes", "Bytes of pages in memory.")
        self.cache_misses = Gauge("heliosdb_cache_misses", "Pages read from the page store.")
        self.column_programs = Gauge(
            "heliosdb_column_programs", "Subplans that were run over columns since the start."
        )
        self.column_fallbacks = Gauge(
            "heliosdb_column_fallbacks", "Column programs that had to run by rows instead."
        )
        self.column_cache_bytes = Gauge(
            "heliosdb_column_cache_bytes", "Bytes of tables' columns in memory."
        )
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def declared(self) -> Iterator[Counter | Gauge | Histogram]:
        """Every metric, in the order of declaration."""
        for item in vars(self).values():
            if isinstance(item, Counter | Gauge | Histogram):
                yield item

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
        """What prometheus-client calls at scrape time."""
        for metric in self.declared():
            family = metric.collect()
            if family is not None:
                yield family

    def exposition(self) -> bytes:
        """The text that `/metrics` answers."""
        return generate_latest(self._registry)
