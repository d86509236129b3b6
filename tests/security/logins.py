"""Logins message by message, from any loopback address, with or without TLS."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import socket
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from helios_protocol import messages as m
from helios_protocol.connection import FrameCutter
from helios_protocol.decode import decode_backend
from helios_protocol.encode import encode
from tests.server import PASSWORD, Server

HEADER = b"n,,"
BARE = b"n=,r=client"


class LoginClient:
    """A connection before its login. `tls`: by SSLRequest, without checking our certificate."""

    def __init__(
        self, port: int, *, source: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> None:
        raw = socket.create_connection(("127.0.0.1", port), 30, source_address=(source, 0))
        self.socket: socket.socket = raw
        if tls is not None:
            raw.sendall(encode(m.SSLRequest()))
            assert raw.recv(1) == b"S"
            self.socket = tls.wrap_socket(raw)
        self._cutter = FrameCutter()
        self._queue: list[m.BackendMessage] = []

    def send(self, *messages: m.FrontendMessage) -> None:
        self.socket.sendall(b"".join(map(encode, messages)))

    def read(self) -> m.BackendMessage:
        """The next message; ConnectionError at the end."""
        while not self._queue:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("the server closed the connection")
            self._queue += [decode_backend(code, body) for code, body in self._cutter.cut(data)]
        return self._queue.pop(0)

    def start(self, user: str, database: str = "postgres", **more: str) -> m.BackendMessage:
        """Send the start-up packet; the first answer."""
        self.send(m.StartupMessage(3, 0, {"user": user, "database": database, **more}))
        return self.read()

    def challenge(self, user: str, first: bytes = HEADER + BARE, **more: str) -> str:
        """Up to the server's first SCRAM message."""
        asked = self.start(user, **more)
        assert isinstance(asked, m.AuthenticationSASL), asked
        self.send(m.SASLInitialResponse("SCRAM-SHA-256", first))
        answer = self.read()
        assert isinstance(answer, m.AuthenticationSASLContinue), answer
        return answer.data.decode()

    def guess(self, user: str, **more: str) -> m.BackendMessage:
        """A wrong proof, without the work of a right one; the answer to it."""
        first = self.challenge(user, **more)
        nonce = first.split(",")[0]
        proof = base64.b64encode(b"?" * 32).decode()
        self.send(m.SASLResponse(f"c=biws,{nonce},p={proof}".encode()))
        return self.read()

    def prove(self, user: str, password: str, **more: str) -> m.BackendMessage:
        """The right or a wrong password; the answer to the proof."""
        self.send(m.SASLResponse(final_message(self.challenge(user, **more), password)))
        return self.read()

    def outcome(self) -> m.BackendMessage:
        """The first message that decides: an error, or ReadyForQuery."""
        while not isinstance(answer := self.read(), m.ErrorResponse | m.ReadyForQuery):
            pass
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()


def final_message(
    server_first: str, password: str, *, header: bytes = HEADER, bare: bytes = BARE
) -> bytes:
    """client-final with its proof."""
    nonce, salt, count = (part[2:] for part in server_first.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(count))
    key = hmac.digest(salted, b"Client Key", "sha256")
    without = f"c={base64.b64encode(header).decode()},r={nonce}"
    signed = f"{bare.decode()},{server_first},{without}".encode()
    signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
    proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
    return f"{without},p={base64.b64encode(proof).decode()}".encode()


def logged_in(server: Server, user: str, password: str, **more: str) -> m.BackendMessage:
    """ReadyForQuery or the error of a whole plain-text login."""
    source = more.pop("source", "127.0.0.1")
    with LoginClient(server.port, source=source) as client:
        asked = client.start(user, **more)
        if isinstance(asked, m.ErrorResponse):
            return asked
        client.send(m.SASLInitialResponse("SCRAM-SHA-256", HEADER + BARE))
        answer = client.read()
        if isinstance(answer, m.ErrorResponse):
            return answer
        assert isinstance(answer, m.AuthenticationSASLContinue)
        client.send(m.SASLResponse(final_message(answer.data.decode(), password)))
        return client.outcome()


def text_of(message: m.BackendMessage) -> str:
    """SQLSTATE and words of an error, or the message's class."""
    if isinstance(message, m.ErrorResponse):
        return f"{message.fields.sqlstate} {message.fields.message}"
    return type(message).__name__


@dataclass(frozen=True)
class Refusals:
    """heliosdb_auth_failures_total by (method, reason)."""

    counts: Mapping[tuple[str, str], int]

    def since(self, earlier: Refusals) -> dict[tuple[str, str], int]:
        """What has come since then."""
        return {
            pair: count - earlier.counts.get(pair, 0)
            for pair, count in self.counts.items()
            if count != earlier.counts.get(pair, 0)
        }


def refusals(server: Server) -> Refusals:
    """As /metrics shows them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}/metrics") as answer:
        text = answer.read().decode()
    found = re.findall(
        r'^heliosdb_auth_failures_total\{method="(\w+)",reason="(\w+)"\} ([\d.]+)', text, re.M
    )
    return Refusals({(method, reason): int(float(count)) for method, reason, count in found})


def run_as_admin(server: Server, *statements: str) -> None:
    """Statements of the superuser, over TLS."""
    with server.connect() as connection:
        for statement in statements:
            connection.execute(statement.encode())


__all__ = ("PASSWORD", "LoginClient", "Refusals", "final_message", "logged_in", "refusals",
           "run_as_admin", "text_of")  # fmt: skip
