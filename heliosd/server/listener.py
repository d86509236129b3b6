"""Where clients arrive: TCP and unix sockets, limits on those who have not logged in.

Before a login an address has `unauthenticated_per_address` connections and all together
`unauthenticated_total`; beyond that the oldest of the busiest address goes (S-3).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from helios_protocol.connection import Limits
from heliosd.catalog.objects import Database, Role
from heliosd.errors import TOO_MANY_CONNECTIONS, SqlError
from heliosd.server.authentication import LoginPolicy
from heliosd.server.connection import ClientConnection
from heliosd.server.outbox import Outbox
from heliosd.server.tls import TlsServer
from heliosd.server.tls_clients import TlsSource
from heliosd.session.buckets import Buckets, RateLimit, limit_exceeded
from heliosd.session.instance import Instance

BACKLOG: Final = 1024


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """From the settings of the same names."""

    authentication_timeout_s: float = 10.0
    unauthenticated_per_address: int = 256
    unauthenticated_total: int = 4096
    plaintext_on_loopback: bool = False
    login_limit: RateLimit = field(default_factory=lambda: RateLimit(60_000, 60.0, 2_000))


class Listener:
    """All sockets of one server, and its connections. The loop's thread only."""

    def __init__(
        self,
        instance: Instance,
        tls: TlsSource,
        policy: LoginPolicy,
        options: ListenerOptions,
        wire_limits: Limits | None = None,
    ) -> None:
        self.instance = instance
        # Both are replaced as a whole at a reload: open connections keep theirs.
        self.tls_source = tls
        self.policy = policy
        self.loop = asyncio.get_running_loop()
        self.outbox = Outbox(self.loop)
        self.wire_limits = wire_limits or Limits()
        self.plaintext_on_loopback = options.plaintext_on_loopback
        self.authentication_timeout_s = options.authentication_timeout_s
        self._options = options
        self._logins = Buckets(options.login_limit)
        self._servers: list[asyncio.Server] = []
        self._sockets: list[Path] = []
        self._connections: set[ClientConnection] = set()
        # Address -> its connections that have not logged in, oldest first.
        self._waiting: dict[str, dict[ClientConnection, None]] = {}
        self._waiting_total = 0

    # ------------------------------------------------------------ opening and closing

    async def listen_tcp(self, host: str, port: int) -> int:
        """Accept on an address; returns the port (0 asks for a free one)."""
        server = await self.loop.create_server(
            self._factory(local=False), host, port, backlog=BACKLOG, reuse_address=True
        )
        self._servers.append(server)
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    async def listen_unix(self, directory: Path, port: int) -> Path:
        """Accept on `directory`/.s.PGSQL.`port`, where libpq looks for it."""
        path = directory / f".s.PGSQL.{port}"
        _remove_stale(path)
        server = await self.loop.create_unix_server(
            self._factory(local=True), str(path), backlog=BACKLOG
        )
        path.chmod(0o777)
        self._servers.append(server)
        self._sockets.append(path)
        return path

    def _factory(self, *, local: bool) -> Callable[[], ClientConnection]:
        return lambda: ClientConnection(self, local=local)

    def stop_accepting(self) -> None:
        """No new connection from here on."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for path in self._sockets:
            path.unlink(missing_ok=True)
        self._sockets.clear()

    def close(self) -> None:
        """Hang up on everybody."""
        self.stop_accepting()
        for connection in list(self._connections):
            connection.close()

    def __len__(self) -> int:
        return len(self._connections)

    # ------------------------------------------------------------ connections report

    @property
    def tls(self) -> TlsServer:
        """For the handshake that begins now."""
        return self.tls_source.current()

    def enter(self, connection: ClientConnection) -> bool:
        """A connection arrived; False when it must go at once."""
        self._connections.add(connection)
        self.instance.metrics.connections.value += 1
        waiting = self._waiting.setdefault(connection.address, {})
        if len(waiting) >= self._options.unauthenticated_per_address:
            self.instance.metrics.auth_failures.count("limit", "limit")
            return False
        waiting[connection] = None
        self._waiting_total += 1
        if self._waiting_total > self._options.unauthenticated_total:
            self._drop_from_busiest()
        return True

    def _drop_from_busiest(self) -> None:
        busiest = max(self._waiting.values(), key=len)
        oldest = next(iter(busiest))
        self.instance.metrics.auth_failures.count("limit", "limit")
        self.authenticated(oldest)
        oldest.abort()

    def authenticated(self, connection: ClientConnection) -> None:
        """It waits no longer: logged in, or gone."""
        waiting = self._waiting.get(connection.address)
        if waiting is not None and connection in waiting:
            del waiting[connection]
            self._waiting_total -= 1
            if not waiting:
                del self._waiting[connection.address]

    def leave(self, connection: ClientConnection) -> None:
        """The connection is gone."""
        self.authenticated(connection)
        self._connections.discard(connection)

    def admit_login(self, address: str) -> None:
        """One login's token of its address, or 53400; or 57P03 while shutting down."""
        refusal = self.instance.refusal
        if refusal is not None:
            raise SqlError("57P03", refusal, severity="FATAL")
        wait = self._logins.take(self._logins.bucket(address))
        if wait:
            self.instance.metrics.rate_limited.add("logins")
            error = limit_exceeded("logins", wait)
            error.severity = "FATAL"
            raise error
        if len(self.instance.backends) >= self.instance.limits.max_connections:
            raise _too_many("sorry, too many clients already")

    def admit_role(self, role: Role, database: Database) -> None:
        """53300 when the slots that are left are not for this role, or it has its share."""
        limits, backends = self.instance.limits, self.instance.backends
        if role.superuser:
            return
        if len(backends) >= limits.max_connections - limits.superuser_reserved:
            raise _too_many(
                "remaining connection slots are reserved for non-replication superuser connections"
            )
        if role.connection_limit >= 0:
            mine = sum(session.session_role == role.name for session in backends)
            if mine >= role.connection_limit:
                raise _too_many(f'too many connections for role "{role.name}"')
        if database.connection_limit >= 0:
            there = sum(session.database == database.name for session in backends)
            if there >= database.connection_limit:
                raise _too_many(f'too many connections for database "{database.name}"')


def _too_many(message: str) -> SqlError:
    return SqlError(TOO_MANY_CONNECTIONS, message, severity="FATAL")


def _remove_stale(path: Path) -> None:
    """A socket file nobody listens on is left over from a kill; a live one is an error."""
    if not path.exists():
        return
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.connect(str(path))
    except (ConnectionRefusedError, FileNotFoundError):
        path.unlink(missing_ok=True)
    else:
        raise OSError(f"{path} is in use by another server")
    finally:
        probe.close()
