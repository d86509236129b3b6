"""The server's end of one connection: bytes in, messages out, in an order that is a table.

`receive` takes what the socket gave, `next_message` gives the next message or None. The state
moves when a message is taken and when the server says what it did (`refuse_encryption`,
`authenticated`, `start_copy_in`, `fail`, ...). `TRANSITIONS` is the whole order of the protocol:

    START --SSLRequest--> ENCRYPTING --(secured | refuse_encryption)--> START
    START --StartupMessage--> AUTHENTICATION --(authenticated)--> READY
    READY --Parse, Bind, ...--> EXTENDED --Sync--> READY
    EXTENDED --(fail)--> SKIPPING --Sync--> READY
    READY, EXTENDED --(start_copy_in)--> COPY_IN, COPY_IN_EXTENDED --CopyDone, CopyFail--> back

Limits: a claimed length reserves nothing, and one that the state does not allow is 08P01 at once,
before its bytes arrive. PostgreSQL's are 10,000 for a start-up packet and short messages, 1,024 for
SASL, 65,535 for a GSSAPI token, 1 GiB for the rest; ours for the rest is `Limits.message_bytes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from helios_protocol import messages as m
from helios_protocol.decode import decode_authentication, decode_frontend
from helios_protocol.fields import ProtocolViolation
from helios_protocol.startup import (
    STARTUP_BYTES_MAX,
    STARTUP_BYTES_MIN,
    TLS_HANDSHAKE_BYTE,
    decode_startup,
)
from helios_protocol.text import UTF8, TextCodec

SHORT_MESSAGE_BYTES: Final = 10_000
SASL_BYTES: Final = 1_024
TOKEN_BYTES: Final = 65_535
MESSAGE_BYTES: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Largest length fields accepted, in bytes. `message_bytes` is for Q, P, B, F and d."""

    message_bytes: int = MESSAGE_BYTES


class State(Enum):
    """Where a connection stands."""

    START = "before a start-up packet"
    ENCRYPTING = "between an encryption request and its answer"
    AUTHENTICATION = "before AuthenticationOk"
    READY = "between statements"
    EXTENDED = "inside an extended-query exchange, before its Sync"
    SKIPPING = "after an error in an extended-query exchange, until its Sync"
    COPY_IN = "copying in, started by a simple query"
    COPY_IN_EXTENDED = "copying in, started by Execute"
    COPY_BOTH = "copying both ways (replication)"
    CLOSED = "ended"


class Rule(Enum):
    """What a message does that does not move the state."""

    DROP = "read and ignored"
    VIOLATION = "ends the connection"


# State -> type byte -> the next state, or a rule. What is missing is a violation.
_ORDER: Final[Mapping[State, Mapping[str, State | Rule]]] = {
    State.START: {},
    State.ENCRYPTING: {},
    State.AUTHENTICATION: {"p": State.AUTHENTICATION},
    State.READY: {
        **dict.fromkeys("QSF", State.READY),
        **dict.fromkeys("PBDECH", State.EXTENDED),
        # Left over from a COPY that failed on our side before the client had sent everything.
        **dict.fromkeys("dcf", Rule.DROP),
        "X": State.CLOSED,
    },
    State.EXTENDED: {
        **dict.fromkeys("QSF", State.READY),
        **dict.fromkeys("PBDECH", State.EXTENDED),
        **dict.fromkeys("dcf", Rule.DROP),
        "X": State.CLOSED,
    },
    State.SKIPPING: {
        **dict.fromkeys("QPBDECHFdcf", Rule.DROP),
        "S": State.READY,
        "X": State.CLOSED,
    },
    State.COPY_IN: {
        "d": State.COPY_IN,
        **dict.fromkeys("cf", State.READY),
        **dict.fromkeys("HS", Rule.DROP),
    },
    State.COPY_IN_EXTENDED: {
        "d": State.COPY_IN_EXTENDED,
        **dict.fromkeys("cf", State.EXTENDED),
        **dict.fromkeys("HS", Rule.DROP),
    },
    State.COPY_BOTH: {
        "d": State.COPY_BOTH,
        **dict.fromkeys("cf", State.READY),
        **dict.fromkeys("HS", Rule.DROP),
        "X": State.CLOSED,
    },
    State.CLOSED: {},
}
_SESSION_CODES: Final = "QPBDECHSFXdcf"

TRANSITIONS: Final[Mapping[State, Mapping[int, State | Rule]]] = MappingProxyType(
    {
        state: MappingProxyType(
            {ord(code): row.get(code, Rule.VIOLATION) for code in _SESSION_CODES + "p"}
        )
        for state, row in _ORDER.items()
    }
)

_LONG_CODES: Final = frozenset(b"QPBFd")
_EXTENDED: Final = frozenset({State.EXTENDED, State.SKIPPING, State.COPY_IN_EXTENDED})
_COPY_DATA_CODE: Final = ord("d")
_COPYING: Final = frozenset({State.COPY_IN, State.COPY_IN_EXTENDED, State.COPY_BOTH})


class Connection:
    """See the module. Not thread-safe; holds no socket and no clock.

    After a fatal `WireError` the state is CLOSED: send its fields, then hang up.
    """

    __slots__ = (
        "_asked_gss",
        "_asked_tls",
        "_buffer",
        "_pending",
        "_pending_need",
        "_position",
        "codec",
        "expected",
        "limits",
        "long_answers",
        "secure",
        "state",
    )

    def __init__(self, limits: Limits | None = None) -> None:
        self.state = State.START
        self.codec: TextCodec = UTF8
        self.limits = limits or Limits()
        self.secure = False
        # What the next `p` frame holds, by what the server asked for last.
        self.expected: type[m.AuthenticationResponse] = m.SASLInitialResponse
        # Whether it may hold a token (OAUTHBEARER): those are longer than other SASL messages.
        self.long_answers = False
        self._asked_tls = False
        self._asked_gss = False
        # Bytes not yet cut: `_buffer` from `_position`, or, while its first frame is incomplete,
        # `_pending`, which grows until it holds `_pending_need` bytes (each byte is copied once).
        self._buffer = b""
        self._position = 0
        self._pending = bytearray()
        self._pending_need = 0

    # ------------------------------------------------------------ what the server did

    def refuse_encryption(self) -> None:
        """`N` was sent: the client may go on in plain text."""
        self._move(State.ENCRYPTING, State.START)

    def secured(self) -> None:
        """TLS is up: what `receive` gets from here on is plain text from inside it."""
        assert self.buffered_bytes == 0, "bytes ahead of a handshake are checked in next_message"
        self._move(State.ENCRYPTING, State.START)
        self.secure = True

    def authenticated(self) -> None:
        """AuthenticationOk was sent."""
        self._move(State.AUTHENTICATION, State.READY)

    def start_copy_in(self) -> None:
        """CopyInResponse was sent."""
        extended = self.state is State.EXTENDED
        self.state = State.COPY_IN_EXTENDED if extended else State.COPY_IN

    def start_copy_both(self) -> None:
        """CopyBothResponse was sent."""
        self._move(State.READY, State.COPY_BOTH)

    def fail(self) -> None:
        """ErrorResponse was sent: an extended query skips to its Sync, a COPY ends."""
        if self.state in (State.EXTENDED, State.COPY_IN_EXTENDED):
            self.state = State.SKIPPING
        elif self.state in _COPYING:
            self.state = State.READY

    def close(self) -> None:
        """Nothing more is read."""
        self.state = State.CLOSED
        self._buffer = b""
        self._position = 0
        self._pending = bytearray()

    def _move(self, source: State, target: State) -> None:
        assert self.state is source, (self.state, source)
        self.state = target

    # ------------------------------------------------------------ bytes in

    @property
    def buffered_bytes(self) -> int:
        """Bytes received and not yet taken as messages."""
        return len(self._buffer) - self._position + len(self._pending)

    @property
    def quiet(self) -> bool:
        """Between statements with nothing buffered: a whole frame may be read past this class."""
        return (
            self.state is State.READY and self._position == len(self._buffer) and not self._pending
        )

    @property
    def is_extended(self) -> bool:
        """Inside an extended-query exchange: its Sync is still to come."""
        return self.state in _EXTENDED

    def receive(self, data: bytes) -> None:
        """Add what the socket gave."""
        if self.state is State.CLOSED:
            return
        if self._pending:
            self._pending += data
            if len(self._pending) >= self._pending_need:
                self._buffer = bytes(self._pending)
                self._position = 0
                self._pending = bytearray()
        elif self._position == len(self._buffer):
            self._buffer = data
            self._position = 0
        else:
            self._buffer = self._buffer[self._position :] + data
            self._position = 0

    def _wait_for(self, need: int) -> None:
        """The first frame is incomplete: collect until `need` bytes are there."""
        self._pending += self._buffer[self._position :]
        self._pending_need = need
        self._buffer = b""
        self._position = 0

    # ------------------------------------------------------------ messages out

    def next_message(self) -> m.FrontendMessage | None:
        """The next message, or None until more bytes arrive. Raises `WireError`.

        After a `WireError` that is not fatal the message is consumed; call `fail` after answering.
        """
        if self._pending:
            return None
        try:
            if self.state is State.START:
                return self._next_startup()
            if self.state is State.ENCRYPTING:
                self._no_bytes_while_encrypting()
                return None
            if self.state is State.CLOSED:
                return None
            return self._next_typed()
        except ProtocolViolation as error:
            if error.fatal:
                self.close()
            raise

    def take_copy_data(self) -> bytes:
        """What all whole CopyData at the front hold, joined; b"" where `next_message` is due.

        Clients send a CopyData per row: a message object for each costs more than its row.
        """
        state = self.state
        if self._pending or TRANSITIONS[state].get(_COPY_DATA_CODE) is not state:
            return b""
        buffer, position = self._buffer, self._position
        length, most = len(buffer), self.limits.message_bytes
        parts = []
        while position + 5 <= length and buffer[position] == _COPY_DATA_CODE:
            size = int.from_bytes(buffer[position + 1 : position + 5], "big")
            end = position + 1 + size
            if end > length or not 4 <= size <= most:
                break
            parts.append(buffer[position + 5 : end])
            position = end
        self._position = position
        return b"".join(parts)

    def _next_typed(self) -> m.FrontendMessage | None:
        while True:
            buffer, position = self._buffer, self._position
            if len(buffer) - position < 5:
                if len(buffer) > position:
                    self._check_code(buffer[position])
                    self._wait_for(5)
                return None
            code = buffer[position]
            rule = self._check_code(code)
            size = int.from_bytes(buffer[position + 1 : position + 5], "big")
            self._check_size(code, size)
            end = position + 1 + size
            if end > len(buffer):
                self._wait_for(1 + size)
                return None
            self._position = end
            if rule is Rule.DROP:
                continue
            return self._take(code, rule, buffer[position + 5 : end])

    def _take(self, code: int, rule: State | Rule, body: bytes) -> m.FrontendMessage:
        """Decode, and move the state even when the body is bad: its frame was well cut."""
        assert isinstance(rule, State)
        if self.state is State.AUTHENTICATION:
            return decode_authentication(self.expected, body)
        self.state = rule
        if rule is State.CLOSED:
            # Whatever its body holds: the client leaves.
            self.close()
            return m.Terminate()
        return decode_frontend(code, body, self.codec)

    def _check_code(self, code: int) -> State | Rule:
        rule = TRANSITIONS[self.state].get(code, Rule.VIOLATION)
        if rule is Rule.VIOLATION:
            if self.state is State.AUTHENTICATION:
                raise ProtocolViolation(
                    f"expected SASL response, got message type {code}", fatal=True
                )
            if self.state in _COPYING:
                raise ProtocolViolation(
                    f"unexpected message type 0x{code:02X} during COPY from stdin", fatal=True
                )
            raise ProtocolViolation(f"invalid frontend message type {code}", fatal=True)
        return rule

    def _check_size(self, code: int, size: int) -> None:
        if self.state is State.AUTHENTICATION:
            token = self.long_answers or self.expected in (m.GSSResponse, m.PasswordMessage)
            most = TOKEN_BYTES if token else SASL_BYTES
        elif code in _LONG_CODES:
            most = self.limits.message_bytes
        else:
            most = SHORT_MESSAGE_BYTES
        if not 4 <= size <= most:
            raise ProtocolViolation("invalid message length", fatal=True)

    # ------------------------------------------------------------ start-up

    def _next_startup(self) -> m.FrontendMessage | None:
        buffer, position = self._buffer, self._position
        if len(buffer) == position:
            return None
        if buffer[position] == TLS_HANDSHAKE_BYTE and not self.secure and not self._asked_tls:
            self._asked_tls = True
            self.state = State.ENCRYPTING
            return m.DirectTLS()
        if len(buffer) - position < 4:
            if buffer[position] != 0:
                raise ProtocolViolation("invalid length of startup packet", fatal=True)
            self._wait_for(4)
            return None
        size = int.from_bytes(buffer[position : position + 4], "big")
        if not STARTUP_BYTES_MIN <= size <= STARTUP_BYTES_MAX:
            raise ProtocolViolation("invalid length of startup packet", fatal=True)
        end = position + size
        if end > len(buffer):
            self._wait_for(size)
            return None
        self._position = end
        request = decode_startup(buffer[position + 4 : end])
        self._enter(request)
        return request

    def _enter(self, request: m.StartupRequest) -> None:
        """Each encryption request at most once, and none inside TLS (S-2)."""
        match request:
            case m.SSLRequest():
                if self._asked_tls or self.secure:
                    raise ProtocolViolation("encryption was already requested", fatal=True)
                self._asked_tls = True
                self.state = State.ENCRYPTING
                self._no_bytes_while_encrypting()
            case m.GSSENCRequest():
                if self._asked_gss or self.secure:
                    raise ProtocolViolation("encryption was already requested", fatal=True)
                self._asked_gss = True
                self.state = State.ENCRYPTING
                self._no_bytes_while_encrypting()
            case m.CancelRequest():
                self.close()
            case _:
                self.state = State.AUTHENTICATION

    def take_raw(self) -> bytes:
        """After `DirectTLS`: the bytes received so far, which belong to the TLS layer."""
        raw = self._buffer[self._position :]
        self._buffer = b""
        self._position = 0
        return raw

    def _no_bytes_while_encrypting(self) -> None:
        """Bytes behind a request would be taken as sent inside TLS: injected (CVE-2021-23214)."""
        if self.buffered_bytes:
            raise ProtocolViolation(
                "received unencrypted data after SSL request",
                fatal=True,
                detail="This could be either a client-software bug or evidence of an attempted "
                "man-in-the-middle attack.",
            )


class FrameCutter:
    """Cuts a stream of typed frames, whoever sent it (clients, the trace, tests)."""

    __slots__ = ("_buffer", "_bytes_max")

    def __init__(self, bytes_max: int = MESSAGE_BYTES) -> None:
        self._buffer = bytearray()
        self._bytes_max = bytes_max

    def cut(self, data: bytes) -> list[tuple[int, bytes]]:
        """Add bytes; the complete frames as (type byte, body)."""
        self._buffer += data
        frames = []
        position = 0
        while len(self._buffer) - position >= 5:
            size = int.from_bytes(self._buffer[position + 1 : position + 5], "big")
            if not 4 <= size <= self._bytes_max:
                raise ProtocolViolation("invalid message length", fatal=True)
            end = position + 1 + size
            if end > len(self._buffer):
                break
            frames.append((self._buffer[position], bytes(self._buffer[position + 5 : end])))
            position = end
        del self._buffer[:position]
        return frames
