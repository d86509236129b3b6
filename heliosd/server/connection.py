"""One client's socket: TLS, start-up, login, then bytes to and from its session.

    data_received -> TlsLayer.decrypt -> _take_startup | session.receive
    session -> write -> TlsLayer.encrypt -> transport.write (one per readable event)

Everything before the login happens here, without a session: an unauthenticated client costs this
object, its buffers and a timer.
"""

from __future__ import annotations

import asyncio
import pwd
import socket
import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, cast

from helios_protocol import messages as m
from helios_protocol.connection import Connection as Wire
from helios_protocol.connection import Limits
from helios_protocol.encode import encode
from helios_protocol.fields import Fields, WireError
from helios_protocol.startup import Negotiation, negotiate
from helios_storage.scheduler import Event
from heliosd.errors import INVALID_AUTHORIZATION_SPECIFICATION, SqlError
from heliosd.security.certificates import ClientCertificate, read_certificate
from heliosd.server.authentication import Authentication
from heliosd.server.outbox import Outbox
from heliosd.server.tls import TlsFailed, TlsLayer
from heliosd.session.session import Session

if TYPE_CHECKING:
    from heliosd.catalog.objects import Database, Role
    from heliosd.server.authentication import LoginPolicy
    from heliosd.server.tls import TlsServer
    from heliosd.session.instance import Instance

# asyncio stops asking for more beyond this much unsent output.
WRITE_BUFFER_BYTES: Final = 256 * 1024
# After a refusal the client gets this long to read it before the socket goes.
LINGER_S: Final = 1.0
# struct ucred: pid, uid, gid.
_CREDENTIALS: Final = struct.Struct("iII")
# What these mean whoever was asking; others have the login's own reason.
_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {"53400": "rate", "53300": "connections", "57P03": "shutdown", "08P01": "protocol"}
)


def fields_of(error: SqlError | WireError) -> Fields:
    """An error as it goes on the wire before there is a session."""
    if isinstance(error, WireError):
        return error.fields()
    return Fields(
        error.severity, error.sqlstate, error.message, detail=error.detail, hint=error.hint
    )


class Gateway(Protocol):
    """What a connection needs of the listener that accepted it."""

    instance: Instance
    policy: LoginPolicy
    loop: asyncio.AbstractEventLoop
    outbox: Outbox
    wire_limits: Limits
    plaintext_on_loopback: bool
    authentication_timeout_s: float

    @property
    def tls(self) -> TlsServer: ...
    def enter(self, connection: ClientConnection) -> bool: ...
    def authenticated(self, connection: ClientConnection) -> None: ...
    def leave(self, connection: ClientConnection) -> None: ...
    def admit_login(self, address: str) -> None: ...
    def admit_role(self, role: Role, database: Database) -> None: ...


class ClientConnection(asyncio.Protocol):
    """See the module. Implements `session.channel.Channel` and `authentication.TransportFacts`."""

    __slots__ = (
        "_authentication",
        "_bytes_sent",
        "_closing",
        "_held",
        "_hub",
        "_listener",
        "_negotiation",
        "_outbox",
        "_peer_uid",
        "_session",
        "_takes_certificates",
        "_timer",
        "_tls",
        "_transport",
        "_wire",
        "_writable",
        "client_address",
        "local",
        "server_address",
    )

    def __init__(self, listener: Gateway, *, local: bool) -> None:
        self._listener = listener
        self.local = local
        self._wire = Wire(listener.wire_limits)
        self._hub = listener.instance.hub
        self._outbox = listener.outbox
        self._bytes_sent = listener.instance.metrics.bytes_sent
        self._transport: asyncio.Transport | None = None
        self._tls: TlsLayer | None = None
        self._takes_certificates = False
        self._session: Session | None = None
        self._authentication: Authentication | None = None
        self._negotiation: Negotiation | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writable: Event | None = None
        self._closing = False
        # The login's first answer is being held back: nothing is read meanwhile.
        self._held = False
        # Of a unix socket's other end, asked once: it counts until the connection is forgotten.
        self._peer_uid = -1
        self.client_address: tuple[str, int] | None = None
        self.server_address: tuple[str, int] | None = None

    # ------------------------------------------------------------ facts

    @property
    def address(self) -> str:
        """The client's address as limits count it; on unix sockets a user is an address."""
        if self.client_address:
            return self.client_address[0]
        return f"local:{self._peer_uid}"

    @property
    def secure(self) -> bool:
        """Whether TLS is on."""
        return self._wire.secure

    @property
    def channel_binding(self) -> bytes | None:
        """What -PLUS binds to."""
        return self._tls.channel_binding if self._tls is not None and self.secure else None

    @property
    def client_certificate(self) -> ClientCertificate | None:
        """The client's, which TLS has checked; None: it showed none."""
        tls = self._tls
        if tls is None or not self.secure or not self._takes_certificates:
            return None
        der = tls.client_certificate
        return read_certificate(der) if der else None

    @property
    def peer_user(self) -> str | None:
        """The operating system's name of who is at the other end of a unix socket."""
        if self._peer_uid < 0:
            return None
        try:
            return pwd.getpwuid(self._peer_uid).pw_name
        except KeyError:
            return None

    @property
    def tls_cipher(self) -> str | None:
        """The suite in use."""
        cipher = self._tls.cipher if self._tls is not None else None
        return cipher[0] if cipher else None

    # ------------------------------------------------------------ asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        if self.local:
            self._peer_uid = _peer_uid(transport.get_extra_info("socket"))
        else:
            peer = transport.get_extra_info("peername")
            own = transport.get_extra_info("sockname")
            self.client_address = (peer[0], peer[1]) if peer else None
            self.server_address = (own[0], own[1]) if own else None
            raw = transport.get_extra_info("socket")
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if not self._listener.enter(self):
            transport.close()
            return
        self._timer = self._listener.loop.call_later(
            self._listener.authentication_timeout_s, self._login_timed_out
        )

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        self._stop_timer()
        self._listener.leave(self)
        session, self._session = self._session, None
        if session is not None:
            session.lost()
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    def eof_received(self) -> bool:
        return False

    def data_received(self, data: bytes) -> None:
        hub = self._hub
        hub.activity += 1
        if hub.speaker is not self:
            hub.speaker = self
            hub.turns += 1
        if self._tls is None:
            session = self._session
            if session is not None:
                session.receive(data)
            else:
                self._take_startup(data)
        else:
            self._take_encrypted(self._tls, data)

    def pause_writing(self) -> None:
        self._writable = Event()

    def resume_writing(self) -> None:
        event, self._writable = self._writable, None
        if event is not None:
            event.set()

    # ------------------------------------------------------------ the session's side

    def write(self, data: bytes) -> None:
        """Send plain bytes, through TLS if it is on."""
        transport = self._transport
        if transport is None or self._closing:
            return
        if self._tls is not None:
            data = self._tls.encrypt(data)
        self._bytes_sent.value += len(data)
        self._outbox.send(transport, data)

    def writable(self) -> Event | None:
        """None when more may be written; else the event that says so."""
        return self._writable

    def pause_reading(self) -> None:
        """The session has more than enough to do."""
        if self._transport is not None and not self._closing:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """The session can take more."""
        if self._transport is not None and not self._closing:
            self._transport.resume_reading()

    def close(self) -> None:
        """Send what was written, say goodbye to TLS, hang up."""
        if self._closing or self._transport is None:
            return
        self._outbox.flush()
        if self._tls is not None and self._tls.established:
            self._transport.write(self._tls.close())
        self._closing = True
        self._transport.close()

    def abort(self) -> None:
        """Hang up at once."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------ TLS

    def _take_encrypted(self, tls: TlsLayer, data: bytes) -> None:
        try:
            if not tls.established:
                self._send_raw(tls.handshake(data))
                if not tls.established:
                    return
                self._wire.secured()
                data = b""
            plain, closed = tls.decrypt(data)
        except TlsFailed as error:
            self._send_raw(tls.pending())
            self._refuse_silently("tls", str(error))
            return
        self._send_raw(tls.pending())
        if plain:
            if self._session is not None:
                self._session.receive(plain)
            else:
                self._take_startup(plain)
        if closed:
            self.close()

    def _start_tls(self, first: bytes) -> None:
        """`first`: what came already, in direct TLS."""
        server = self._listener.tls
        self._takes_certificates = server.takes_certificates
        self._tls = TlsLayer(server, direct=bool(first))
        if first:
            self._take_encrypted(self._tls, first)

    def _send_raw(self, data: bytes) -> None:
        if data and self._transport is not None and not self._closing:
            self._outbox.flush()
            self._transport.write(data)

    # ------------------------------------------------------------ start-up and login

    def _take_startup(self, data: bytes) -> None:
        wire = self._wire
        wire.receive(data)
        try:
            while not self._closing and not self._held:
                message = wire.next_message()
                if message is None:
                    return
                self._on_startup(message)
                if self._session is not None:
                    return
        except (SqlError, WireError) as error:
            self._refuse(error)

    def _on_startup(self, message: m.FrontendMessage) -> None:
        match message:
            case m.SSLRequest():
                if self.local:
                    self._transport_write(m.EncryptionAnswer("N"))
                    self._wire.refuse_encryption()
                else:
                    self._transport_write(m.EncryptionAnswer("S"))
                    self._start_tls(b"")
            case m.GSSENCRequest():
                self._transport_write(m.EncryptionAnswer("N"))
                self._wire.refuse_encryption()
            case m.DirectTLS():
                self._start_tls(self._wire.take_raw())
            case m.CancelRequest(process_id, secret):
                self._listener.instance.backends.cancel_by_key(process_id, secret, self.address)
                self.close()
            case m.StartupMessage():
                self._start_login(message)
            case _:
                self._step_login(message)

    def _start_login(self, startup: m.StartupMessage) -> None:
        self._check_transport()
        listener = self._listener
        listener.admit_login(self.address)
        negotiation = negotiate(startup)
        if negotiation.answer is not None:
            self._transport_write(negotiation.answer)
        self._negotiation = negotiation
        authentication = self._authentication = Authentication(
            listener.instance.catalog, listener.policy, negotiation, self
        )
        request = authentication.start()
        if authentication.delay_s:
            self._held = True
            listener.loop.call_later(authentication.delay_s, self._release, request)
        else:
            self._proceed(authentication, request)

    def _release(self, request: m.AuthenticationRequest | None) -> None:
        """The time is over for which the first answer was held back."""
        self._held = False
        authentication = self._authentication
        if self._closing or authentication is None:
            return
        try:
            self._proceed(authentication, request)
        except (SqlError, WireError) as error:
            self._refuse(error)
            return
        self._take_startup(b"")

    def _proceed(
        self, authentication: Authentication, request: m.AuthenticationRequest | None
    ) -> None:
        """Ask for the next proof, or begin the session when there is nothing more to ask."""
        self._wire.expected = authentication.expected
        self._wire.long_answers = authentication.long_answers
        login = authentication.login
        if login is None:
            if request is not None:
                self._transport_write(request)
            return
        self._listener.admit_role(login.role, login.database)
        self._stop_timer()
        self._listener.authenticated(self)
        self._wire.authenticated()
        self._authentication = None
        self._session = Session(self._listener.instance, self, self._wire, login)
        self._session.start(login, encode(request) if request is not None else b"")

    def _check_transport(self) -> None:
        """Plain text only on a unix socket, or on loopback where `tls_required` allows it."""
        if self.secure or self.local:
            return
        if self._listener.plaintext_on_loopback and is_loopback(self.address):
            return
        raise SqlError(
            INVALID_AUTHORIZATION_SPECIFICATION,
            "connection requires TLS",
            severity="FATAL",
            hint="Connect with sslmode=require or stronger.",
        )

    def _step_login(self, message: m.FrontendMessage) -> None:
        authentication = self._authentication
        assert authentication is not None, "only `p` frames pass before, and only after start-up"
        self._proceed(authentication, authentication.step(message))

    def _transport_write(self, message: m.Message) -> None:
        self.write(encode(message))

    # ------------------------------------------------------------ refusals

    def _refuse(self, error: SqlError | WireError) -> None:
        """Tell the client, count it, and hang up."""
        method, reason = "protocol" if isinstance(error, WireError) else "none", "other"
        if self._authentication is not None:
            method, reason = self._authentication.method, self._authentication.reason
        elif error.sqlstate == INVALID_AUTHORIZATION_SPECIFICATION:
            method = reason = "plaintext"
        self._count(method, _REASONS.get(error.sqlstate, reason), error.sqlstate)
        if not self.local and self._tls is not None and not self.secure:
            self.close()
            return
        self.write(encode(m.ErrorResponse(fields_of(error))))
        self.close()

    def _refuse_silently(self, method: str, reason: str) -> None:
        """There is no way to tell: TLS itself failed."""
        self._count(method, method, reason)
        self.close()

    def _count(self, method: str, reason: str, code: str) -> None:
        """The counter and the log; names come from the client, so they are cut."""
        instance, authentication = self._listener.instance, self._authentication
        instance.metrics.auth_failures.count(method, reason)
        who = {}
        if authentication is not None:
            who = {"role": authentication.user[:64], "database": authentication.database[:64]}
            if authentication.locked_now:
                instance.log.warning("login.blocked", address=self.address, **who)
        instance.log.warning(
            "login.refused",
            message=f"Failed authentication attempt from {self.address}",
            address=self.address, method=method, reason=reason, code=code, **who,
        )  # fmt: skip

    def _login_timed_out(self) -> None:
        self._timer = None
        self._count("timeout", "timeout", "authentication_timeout")
        self.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _peer_uid(unix: socket.socket) -> int:
    """The user at the other end of a unix socket; -1 where the system does not say."""
    try:
        data = unix.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return -1
    uid: int = _CREDENTIALS.unpack(data)[1]
    return uid


def is_loopback(address: str) -> bool:
    """127.0.0.0/8 and ::1."""
    return address.startswith("127.") or address == "::1"
