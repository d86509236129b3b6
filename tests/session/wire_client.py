"""A client that speaks messages: what drivers hide, tests can see."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
from typing import Self

from helios_protocol import messages as m
from helios_protocol.connection import FrameCutter
from helios_protocol.decode import decode_backend
from helios_protocol.encode import encode


class WireClient:
    """A plain-text connection, logged in; `exchange` sends messages and reads to the last
    ReadyForQuery."""

    def __init__(self, port: int, user: str, password: str = "", database: str = "postgres",
                 minor: int = 0, **parameters: str) -> None:  # fmt: skip
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self._cutter = FrameCutter()
        self._queue: list[m.BackendMessage] = []
        startup = {"user": user, "database": database, **parameters}
        self.send(m.StartupMessage(3, minor, startup))
        self.greeting: list[m.BackendMessage] = []
        while not isinstance(message := self.read(), m.ReadyForQuery):
            self.greeting.append(message)
            if isinstance(message, m.AuthenticationSASL):
                self._scram(password)
            elif isinstance(message, m.ErrorResponse):
                return

    def _scram(self, password: str) -> None:
        self.send(m.SASLInitialResponse("SCRAM-SHA-256", b"n,,n=,r=client"))
        challenge = self.read()
        assert isinstance(challenge, m.AuthenticationSASLContinue), challenge
        first = challenge.data.decode()
        nonce, salt, count = (part[2:] for part in first.split(","))
        salted = hashlib.pbkdf2_hmac(
            "sha256", password.encode(), base64.b64decode(salt), int(count)
        )
        key = hmac.digest(salted, b"Client Key", "sha256")
        without = f"c=biws,r={nonce}"
        signed = f"n=,r=client,{first},{without}".encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        self.send(m.SASLResponse(f"{without},p={base64.b64encode(proof).decode()}".encode()))

    def send(self, *messages: m.FrontendMessage) -> None:
        """All in one segment."""
        self.socket.sendall(b"".join(map(encode, messages)))

    def read(self) -> m.BackendMessage:
        """The next message; ConnectionError at the end."""
        while not self._queue:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("the server closed the connection")
            self._queue += [decode_backend(code, body) for code, body in self._cutter.cut(data)]
        return self._queue.pop(0)

    def exchange(self, *messages: m.FrontendMessage) -> list[m.BackendMessage]:
        """Send, and read as many ReadyForQuery as Query and Sync messages ask for, or to the end.

        A Query inside a skipped exchange is not answered: give one exchange at a time.
        """
        wanted = sum(isinstance(x, (m.Query, m.Sync, m.FunctionCall)) for x in messages)
        self.send(*messages)
        return self.read_ready(wanted)

    def read_ready(self, wanted: int = 1) -> list[m.BackendMessage]:
        """Messages up to the `wanted`th ReadyForQuery, or to the end."""
        answers: list[m.BackendMessage] = []
        while wanted:
            try:
                answers.append(self.read())
            except ConnectionError:
                break
            wanted -= isinstance(answers[-1], m.ReadyForQuery)
        return answers

    def query(self, text: str) -> list[m.BackendMessage]:
        """A simple query."""
        return self.exchange(m.Query(text))

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def shown(message: m.BackendMessage) -> str:
    """A message as two servers should agree on it: no OIDs of tables, no source lines."""
    match message:
        case m.ErrorResponse(fields) | m.NoticeResponse(fields):
            kind = "Error" if isinstance(message, m.ErrorResponse) else "Notice"
            position = f" @{fields.position}" if fields.position else ""
            return f"{kind} {fields.severity} {fields.sqlstate} {fields.message}{position}"
        case m.RowDescription(columns):
            return "Columns " + ", ".join(
                f"{c.name}:{c.type_oid}/{c.type_size}/{c.type_modifier}/{c.format}"
                f"/{c.column if c.table_oid else 0}"
                for c in columns
            )
        case m.NotificationResponse(_, channel, payload):
            return f"Notification {channel} {payload}"
        case _:
            return repr(message)
