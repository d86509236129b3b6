"""One server, from its configuration to its end: opens, wires, listens, and shuts down in order.

Start:  storage (recovery) -> catalog -> TLS -> sockets.
Stop:   no new work -> running statements end, or are cancelled after a grace time ->
        connections close -> checkpoint -> storage closes.
"""

from __future__ import annotations

import asyncio
import gc
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from helios_protocol.connection import Limits
from helios_storage.keyring import GivenKey, KeyFile, KeyKind, KeySource, parse_key
from helios_storage.options import MEGABYTE, StorageOptions
from helios_storage.storage import Storage
from heliosd.catalog.bootstrap import open_catalog
from heliosd.catalog.lookup import SharedCatalog
from heliosd.catalog.trees import allocate_oid
from heliosd.catalog.views.builtin import system_views
from heliosd.execute.column_engine import ColumnEngine
from heliosd.execute.hub import Hub
from heliosd.functions.builtin import FUNCTIONS
from heliosd.observe.log import Log
from heliosd.observe.metrics import Metrics
from heliosd.ops.certificates import CertificateFiles, ensure_local_certificate, local_hosts
from heliosd.ops.first_start import PASSWORD_FILE_NAME, FirstStart, has_catalog, make_first_objects
from heliosd.ops.http import HttpServer
from heliosd.ops.lockout_file import LockoutFile
from heliosd.ops.logins import login_policy, oldest_password_s, open_lockout, read_maps, shown_rules
from heliosd.security.lockout import LockoutBook
from heliosd.server.authentication import LoginPolicy
from heliosd.server.listener import Listener, ListenerOptions
from heliosd.server.selector import SpinningSelector
from heliosd.server.tls import TlsServer, build_tls_server
from heliosd.server.tls_clients import ClientAuthority, TlsSource, accept_clients
from heliosd.session.buckets import Buckets, KeyExtractor, RateLimit
from heliosd.session.clock import now_us
from heliosd.session.instance import Instance, SessionLimits
from heliosd.settings.server import ServerSettings as S
from heliosd.settings.session import SessionSettings
from heliosd.settings.sources import ConfigurationError, ServerConfiguration
from heliosd.sql.bind.resolve import Resolver
from heliosd.types.builtin import TYPES

Result = TypeVar("Result")

# So long at most does a sync wait for more commits while the loop is busy.
COMMITS_GATHER_S: Final = 0.0004

# Worker threads of Python code give the loop its turn this soon (measured: p99 1-5 ms against 18).
SWITCH_INTERVAL_S: Final = 0.0005
# Young objects die by reference counts; cycles are rare, and a full collection costs 24-94 ms per
# million objects.
GC_THRESHOLDS: Final = (100_000, 50, 1_000)


class Service:
    """See the module. One per process."""

    def __init__(
        self,
        configuration: ServerConfiguration,
        log: Log,
        say: Callable[[str], None],
        selector: SpinningSelector,
    ) -> None:
        """`say` tells the person who started it; `log` tells operators. `selector`: the loop's."""
        self._selector = selector
        self._configuration = configuration
        self._say = say
        self._log = log
        self._metrics = Metrics()
        self._stop = asyncio.Event()
        self._stopping = False
        self._lockout: tuple[LockoutBook, LockoutFile] | None = None
        self._data_dir = Path(configuration.value(S.data_dir)).absolute()

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; the exit status. Raises ConfigurationError."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        hub = Hub(loop)
        begin = time.monotonic()
        storage = await in_task(hub, lambda: self._open_storage(hub))
        try:
            first = await in_task(hub, lambda: self._first_start(storage))
            catalog = await in_task(hub, lambda: _read_catalog(storage))
            files = self._certificate_files()
            instance = self._instance(hub, storage, catalog)
            self._lockout = open_lockout(self._configuration, storage, self._data_dir)
            listener = self._listener(instance, files)
            instance.reload = lambda: self._reload(listener)
            loop.add_signal_handler(signal.SIGHUP, instance.reload)
            http = self._http(storage)
            host, port = split_address(self._configuration.value(S.listen))
            bound = await listener.listen_tcp(host, port) if host else 0
            if directory := self._configuration.value(S.unix_socket_directory):
                await listener.listen_unix(Path(directory), port or 5432)
            http_host, http_port = split_address(self._configuration.value(S.http))
            if http_host:
                await http.start(http_host, http_port)
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
            self._log.info("ready", listen=f"{host}:{bound}" if host else "",
                           seconds=round(time.monotonic() - begin, 3))  # fmt: skip
            if host:
                self._say_hello(bound, files, first)
            keeping = asyncio.create_task(self._keep_lockout())
            await self._stop.wait()
            self._stopping = True
            keeping.cancel()
            await self._shut_down(hub, instance, listener)
            await http.stop()
        finally:
            await in_task(hub, storage.close)
            hub.close()
        self._log.info("stopped")
        return 0

    # ------------------------------------------------------------ opening

    def _open_storage(self, hub: Hub) -> Storage:
        value = self._configuration.value
        key = value(S.encryption_key)
        source: KeySource = GivenKey(parse_key(key)) if key else KeyFile()
        options = StorageOptions(
            cache_bytes=value(S.cache_size) * MEGABYTE,
            checkpoint_log_bytes=value(S.checkpoint_log_size) * MEGABYTE,
            checkpoint_seconds=float(value(S.checkpoint_timeout)),
        )
        return Storage.open(self._data_dir, source, options, hub)

    def _first_start(self, storage: Storage) -> FirstStart | None:
        if has_catalog(storage):
            return None
        value = self._configuration.value
        made = make_first_objects(storage, self._data_dir, value(S.superuser), value(S.password))
        self._log.info("first start", superuser=made.superuser,
                       password_file=str(made.password_file or ""))  # fmt: skip
        if made.password_flaw:
            self._log.warning(
                "the superuser's first password is weak; change it", reason=made.password_flaw
            )
        if not value(S.encryption_key):
            self._log.warning(
                "the encryption key rests beside the data; configure HELIOSDB_ENCRYPTION_KEY"
            )
        return made

    def _certificate_files(self) -> CertificateFiles:
        value = self._configuration.value
        certificate, key = value(S.tls_certificate), value(S.tls_private_key)
        if bool(certificate) != bool(key):
            raise ConfigurationError("tls_certificate and tls_private_key belong together")
        if certificate:
            return CertificateFiles(Path(certificate), Path(key), None)
        host, _ = split_address(value(S.listen))
        return ensure_local_certificate(self._data_dir, local_hosts(host))

    def _instance(self, hub: Hub, storage: Storage, catalog: SharedCatalog) -> Instance:
        value = self._configuration.value
        limit = RateLimit(
            value(S.max_requests), float(value(S.window_duration)), value(S.burst_capacity)
        )
        hub.statement_memory_bytes = value(SessionSettings.statement_memory) * MEGABYTE
        columns = ColumnEngine(
            value(S.column_cache_size) * MEGABYTE, value(S.column_memory) * MEGABYTE
        )
        hub.shared_bytes = lambda: storage.cache_bytes + columns.size_bytes
        commits = storage.commits
        commits.is_alone = hub.is_alone
        commits.defer = lambda function: hub.post_after(COMMITS_GATHER_S, function)
        self._selector.on_idle = commits.hurry
        catalog.mask_secret = storage.secret(KeyKind.MASK)
        instance = Instance(
            storage=storage,
            catalog=catalog,
            types=TYPES,
            functions=FUNCTIONS,
            resolver=Resolver(TYPES, FUNCTIONS),
            hub=hub,
            columns=columns,
            settings=self._configuration.registry,
            settings_base=self._configuration.values,
            metrics=self._metrics,
            log=self._log,
            statement_buckets=Buckets(limit),
            key_extractor=KeyExtractor(value(S.key_extractor)),
            started_us=now_us(),
            allocate_oid=lambda: allocate_oid(storage),
            limits=SessionLimits(
                max_connections=value(S.max_connections),
                superuser_reserved=value(S.superuser_reserved_connections),
            ),
        )
        metrics = self._metrics
        metrics.active_connections.read = lambda: float(len(instance.backends))
        metrics.password_age.read = lambda: oldest_password_s(catalog, now_us())
        metrics.cache_bytes.read = lambda: float(storage.cache_bytes)
        metrics.cache_misses.read = lambda: float(storage.cache.counters.misses)
        metrics.column_programs.read = lambda: float(columns.queries)
        metrics.column_fallbacks.read = lambda: float(columns.fallbacks)
        metrics.column_cache_bytes.read = lambda: float(columns.cache.size_bytes)
        metrics.log_bytes.read = lambda: float(storage.commits.end_lsn)
        metrics.checkpoints.read = lambda: float(storage.checkpointer.completed)
        return instance

    def _listener(self, instance: Instance, files: CertificateFiles) -> Listener:
        value = self._configuration.value
        host, _ = split_address(value(S.listen))
        plaintext = value(S.tls_required) == "remote"
        if plaintext and host and host not in ("127.0.0.1", "::1", "localhost"):
            self._log.warning("plaintext is accepted from loopback addresses", listen=host)
        options = ListenerOptions(
            authentication_timeout_s=float(value(S.authentication_timeout)),
            unauthenticated_per_address=value(S.unauthenticated_per_address),
            unauthenticated_total=value(S.unauthenticated_total),
            plaintext_on_loopback=plaintext,
            login_limit=RateLimit(
                value(S.login_max_requests),
                float(value(S.window_duration)),
                value(S.login_burst_capacity),
            ),
        )
        policy = self._login_policy(instance)
        instance.host_rules = lambda: shown_rules(self._configuration)
        instance.user_maps = lambda: read_maps(self._configuration)
        return Listener(instance, self._tls_source(files), policy, options, Limits())

    def _login_policy(self, instance: Instance) -> LoginPolicy:
        book = self._lockout[0] if self._lockout is not None else None
        return login_policy(self._configuration, instance.storage, instance.catalog, book)

    def _tls_source(self, files: CertificateFiles) -> TlsSource:
        """TLS as configured now. Raises ConfigurationError."""
        value = self._configuration.value
        authority = None
        revocations = Path(found) if (found := value(S.tls_client_revocations)) else None
        if certificates := value(S.tls_client_authority):
            authority = ClientAuthority(Path(certificates), revocations)
        elif revocations is not None:
            raise ConfigurationError("tls_client_revocations needs tls_client_authority")

        def build(clients: bool) -> TlsServer:  # noqa: FBT001  a yes or no of TlsSource's
            server = build_tls_server(files.certificate, files.private_key)
            return accept_clients(server, authority) if authority and clients else server

        return TlsSource(
            build,
            revocations,
            lambda reason: self._log.error("client certificates refused", reason=reason),
        )

    def _reload(self, listener: Listener) -> bool:
        """SIGHUP, pg_reload_conf(): certificates, revocations, host-based rules, maps and token
        keys anew, for connections from now on. What is not fit is refused, and all stays."""
        try:
            source = self._tls_source(self._certificate_files())
            policy = self._login_policy(listener.instance)
            listener.tls_source, listener.policy = source, policy
        except ConfigurationError as error:
            self._log.error("reload refused", reason=str(error))
            return False
        self._log.info("reloaded")
        return True

    def _http(self, storage: Storage) -> HttpServer:
        value = self._configuration.value
        limit = RateLimit(
            value(S.http_max_requests),
            float(value(S.window_duration)),
            value(S.http_burst_capacity),
        )
        buckets = Buckets(limit)

        def readiness() -> str | None:
            if self._stopping:
                return "shutting down"
            return storage.not_ready_reason() or None

        return HttpServer(self._metrics, readiness, buckets)

    def _say_hello(self, port: int, files: CertificateFiles, first: FirstStart | None) -> None:
        """The line to paste, on standard output."""
        superuser = self._configuration.value(S.superuser)
        fields = f"host=localhost port={port} user={superuser} dbname={superuser}"
        if files.root is not None:
            fields += f" sslmode=verify-full sslrootcert={files.root}"
        secret = ""
        if first is not None and first.password_file is not None:
            self._say(f"The superuser's password was generated: {first.password_file}")
        password_file = self._data_dir / PASSWORD_FILE_NAME
        if password_file.exists():
            secret = f'PGPASSWORD="$(cat {shlex.quote(str(password_file))})" '
        self._say(f'{secret}psql "{fields}"')

    async def _keep_lockout(self) -> None:
        """Write failed logins down while they happen: at most once in a second."""
        while self._lockout is not None:
            await asyncio.sleep(1.0)
            await self._write_lockout(*self._lockout)

    async def _write_lockout(self, book: LockoutBook, file: LockoutFile) -> None:
        changes = book.changes()
        if not changes:
            return
        try:
            await asyncio.to_thread(file.write, changes)
        except OSError as error:
            book.put_back(changes)
            self._log.error("failed logins cannot be written down", reason=str(error))

    # ------------------------------------------------------------ closing

    async def _shut_down(self, hub: Hub, instance: Instance, listener: Listener) -> None:
        """Refuse new work, let running statements end, then close. Half of the grace each."""
        grace = float(self._configuration.value(S.shutdown_grace))
        self._log.info("shutting down", connections=len(listener))
        instance.refusal = "the database system is shutting down"
        listener.stop_accepting()
        end = time.monotonic() + grace / 2
        for backend in list(instance.backends):
            backend.terminate_when_idle()
        while len(instance.backends) and time.monotonic() < end:
            await asyncio.sleep(0.02)
        for backend in list(instance.backends):
            backend.terminate()
        end = time.monotonic() + 1.0
        while len(instance.backends) and time.monotonic() < end:
            await asyncio.sleep(0.02)
        listener.close()
        if self._lockout is not None:
            await self._write_lockout(*self._lockout)
        await in_task(hub, instance.storage.checkpoint)


def _read_catalog(storage: Storage) -> SharedCatalog:
    """The committed catalog. May suspend."""
    transaction = storage.begin()
    try:
        return open_catalog(transaction, TYPES, system_views())
    finally:
        transaction.rollback()


async def in_task(hub: Hub, function: Callable[[], Result]) -> Result:
    """Run `function` in a greenlet of its own, where it may suspend; its result or error."""
    done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    def body() -> None:
        try:
            done.set_result(function())
        except Exception as error:
            done.set_exception(error)

    hub.start(body)
    return await done


def split_address(address: str) -> tuple[str, int]:
    """HOST:PORT as (host, port); ("", 0) for nothing. Raises ConfigurationError."""
    if not address:
        return "", 0
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ConfigurationError(f"{address}: want HOST:PORT")
    return host.strip("[]"), int(port)
