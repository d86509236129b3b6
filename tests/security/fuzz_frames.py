"""Seeded hostile frames against a live server, 20 a connection, before and after the login.

A connection ends well when the server closes it, or when everything sent so far was answered: a
marker query behind the frames comes back with its row and its ReadyForQuery. Everything else is a
finding: silence, a frame that cannot be read, an internal error, a traceback.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import random
import struct
from dataclasses import dataclass, field

from helios_protocol import messages as m
from helios_protocol.connection import FrameCutter
from helios_protocol.decode import decode_backend
from helios_protocol.encode import encode
from helios_protocol.fields import WireError

FRAMES_PER_CONNECTION = 20
MARKER = b"424242"
# A server that says nothing for this long is stuck.
PATIENCE_S = 20.0
# After this the client stops sending: frames that claim more than they hold wait for it.
SILENCE_S = 0.3


@dataclass
class Findings:
    """What came of a run; `problems` must be empty."""

    seed: int
    frames: int = 0
    connections: int = 0
    answered: int = 0
    closed: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Target:
    """Where to, and who as; plain text (`tls_required = remote`)."""

    port: int
    user: str
    password: str
    database: str
    host: str = "127.0.0.1"


class Salted:
    """PBKDF2 once per salt: the runs' logins differ in nonces only."""

    def __init__(self, password: str) -> None:
        self._password = password
        self._known: dict[tuple[bytes, int], bytes] = {}

    def key(self, salt: bytes, iterations: int) -> bytes:
        found = self._known.get((salt, iterations))
        if found is None:
            found = hashlib.pbkdf2_hmac("sha256", self._password.encode(), salt, iterations)
            self._known[(salt, iterations)] = found
        return found


# ---------------------------------------------------------------- frames

QUERIES = [
    "", ";", "select 1", "select 1; select 2", "select", "begin", "commit", "rollback",
    "savepoint s", "rollback to s", "select * from fuzz", "insert into fuzz values (1, 'x')",
    "insert into fuzz values ('x')", "update fuzz set b = 'y' where a = 1", "select 1/0",
    "delete from fuzz", "copy fuzz from stdin", "copy fuzz to stdout", "select 'unterminated",
    "listen c", "notify c, 'p'", "unlisten *", "set statement_timeout = '5s'", "show all",
    "select $1", "(" * 600, "select " + "1+" * 400 + "1", "select repeat('x', 10)", "discard all",
    "declare c cursor for select 1", "fetch c", "prepare p as select 1", "execute p", "\t\n -- x",
    "deallocate all", "select now(); commit; begin", "select 'é', U&'\\0061'", "values (1),(2)",
]  # fmt: skip
TEXTS = ["", "s", "p", "x" * 70, "é", "c", "a\nb"]
VALUES = [None, b"", b"1", b"x", b"\0", b"\xff\xfe", b"9" * 30, b"\0\0\0\1", b"y" * 2000]


def make_message(rng: random.Random) -> m.FrontendMessage:
    """A well-formed message; what it asks for may well make no sense here."""
    formats = tuple(rng.choices([0, 1], k=rng.randint(0, 2)))
    values = tuple(rng.choices(VALUES, k=rng.randint(0, 3)))
    match rng.randint(0, 15):
        case 0 | 1 | 2:
            return m.Query(rng.choice(QUERIES))
        case 3 | 4:
            types = tuple(rng.choices([0, 23, 25, 16, 99999, 2**32 - 1], k=rng.randint(0, 3)))
            return m.Parse(rng.choice(TEXTS), rng.choice(QUERIES), types)
        case 5 | 6:
            return m.Bind(rng.choice(TEXTS), rng.choice(TEXTS), formats, values, formats)
        case 7:
            return m.Describe(rng.choice("SP"), rng.choice(TEXTS))
        case 8 | 9:
            return m.Execute(rng.choice(TEXTS), rng.choice([0, 1, 2**31 - 1]))
        case 10:
            return m.Close(rng.choice("SP"), rng.choice(TEXTS))
        case 11 | 12:
            return m.Sync()
        case 13:
            return m.FunctionCall(rng.choice([0, 1598]), formats, values, 0)
        case 14:
            copying: list[m.FrontendMessage] = [m.CopyData(b"1\tx\n"), m.CopyDone()]
            return rng.choice([*copying, m.CopyFail("no"), m.CopyData(b"\xff\0")])
        case _:
            return m.Flush()


def mutate(rng: random.Random, frame: bytes, *, violent: bool) -> tuple[bytes, bool]:
    """A frame made hostile, and whether it is still cut right (always, unless `violent`)."""
    kind = rng.randint(0, 9 if violent else 7)
    if kind <= 4:
        return frame, True
    body = bytearray(frame[5:])
    if kind <= 7 and body:
        for _ in range(rng.randint(1, 4)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        if rng.random() < 0.3:
            del body[rng.randrange(len(body)) :]
        if rng.random() < 0.2:
            body += rng.randbytes(rng.randint(1, 50))
        return frame[:1] + struct.pack("!I", len(body) + 4) + bytes(body), True
    if kind == 8:
        length = rng.choice([0, 1, 3, 4, 5, 10_001, 2**24, 2**30, 2**31 - 1, 2**31, 2**32 - 1])
        return frame[:1] + struct.pack("!I", length) + bytes(body), False
    code = rng.choice(b"QPBDECSHFXdcfpAZ\0\x7f\xff")
    return bytes((code,)) + frame[1:], code in b"QPBDECSHFdcf"


def make_startup(rng: random.Random) -> bytes:
    """Something to say before the login: mostly wrong."""
    choice = rng.randint(0, 7)
    good = encode(m.StartupMessage(3, rng.choice([0, 2, 9]), {"user": "postgres"}))
    match choice:
        case 0:
            return good
        case 1:
            return encode(m.SSLRequest()) + rng.randbytes(rng.randint(0, 40))
        case 2:
            return encode(m.GSSENCRequest())
        case 3:
            return encode(m.CancelRequest(rng.randint(0, 99), rng.randbytes(4)))
        case 4:
            raw = bytearray(good)
            for _ in range(rng.randint(1, 5)):
                raw[rng.randrange(len(raw))] = rng.randrange(256)
            return bytes(raw)
        case 5:
            return struct.pack("!I", rng.choice([0, 7, 8, 9_999, 10_001, 2**31])) + good[4:]
        case 6:
            mechanism = rng.choice(["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "x", ""])
            first = rng.choice([b"n,,n=,r=abc", b"y,,n=,r=abc", b"p=x,,n=,r=a", b"", b"\xff"])
            final = rng.choice([b"c=biws,r=abc,p=AAAA", b"", rng.randbytes(30)])
            return (
                good
                + encode(m.SASLInitialResponse(mechanism, rng.choice([first, None])))
                + encode(m.SASLResponse(final))
            )
        case _:
            return rng.randbytes(rng.randint(1, 200))


# ---------------------------------------------------------------- one connection


class Peer:
    """A client that reads everything and believes nothing."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, findings: Findings
    ) -> None:
        self.reader, self.writer, self.findings = reader, writer, findings
        self.cutter = FrameCutter()
        self.messages: list[m.BackendMessage] = []
        self.marked = False
        self.ended = False

    async def read(self, seconds: float) -> bool:
        """Read once; False when nothing came in time."""
        try:
            data = await asyncio.wait_for(self.reader.read(65536), seconds)
        except TimeoutError:
            return False
        except ConnectionError:
            data = b""
        if not data:
            self.ended = True
            return True
        for code, body in self.cutter.cut(data):
            message = decode_backend(code, body)
            self.messages.append(message)
            if isinstance(message, m.ErrorResponse):
                self._note(message)
            if isinstance(message, m.DataRow) and message.values[:1] == (MARKER,):
                self.marked = True
        return True

    def _note(self, message: m.ErrorResponse) -> None:
        errors = self.findings.errors
        errors[message.fields.sqlstate] = errors.get(message.fields.sqlstate, 0) + 1
        if message.fields.sqlstate == "XX000":
            self.findings.problems.append(f"internal error: {message.fields.message}")
        for text in (message.fields.message, message.fields.detail or ""):
            if "Traceback" in text or ".py" in text:
                self.findings.problems.append(f"internals in an error: {text}")

    @property
    def is_answered(self) -> bool:
        """ReadyForQuery after the marker; what others notify may follow it."""
        own = (x for x in reversed(self.messages) if not isinstance(x, m.NotificationResponse))
        return self.marked and isinstance(next(own, None), m.ReadyForQuery)


async def login(peer: Peer, target: Target, salted: Salted) -> bool:
    """SCRAM-SHA-256; False when refused."""
    startup = m.StartupMessage(3, 0, {"user": target.user, "database": target.database})
    peer.writer.write(encode(startup))
    bare = "n=,r=fuzz"
    peer.writer.write(encode(m.SASLInitialResponse("SCRAM-SHA-256", f"n,,{bare}".encode())))
    while not any(isinstance(x, m.AuthenticationSASLContinue) for x in peer.messages):
        if peer.ended or not await peer.read(PATIENCE_S):
            return False
    challenge = next(x for x in peer.messages if isinstance(x, m.AuthenticationSASLContinue))
    server_first = challenge.data.decode()
    nonce, salt, count = (part[2:] for part in server_first.split(","))
    key = salted.key(base64.b64decode(salt), int(count))
    client_key = hmac.digest(key, b"Client Key", "sha256")
    without = f"c=biws,r={nonce}"
    signed = f"{bare},{server_first},{without}".encode()
    signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    final = f"{without},p={base64.b64encode(proof).decode()}"
    peer.writer.write(encode(m.SASLResponse(final.encode())))
    while not any(isinstance(x, m.ReadyForQuery) for x in peer.messages):
        if peer.ended or not await peer.read(PATIENCE_S):
            return False
    peer.messages.clear()
    return True


async def attack(target: Target, salted: Salted, seed: int, findings: Findings) -> None:
    """One connection's worth."""
    rng = random.Random(seed)
    findings.connections += 1
    findings.frames += FRAMES_PER_CONNECTION
    reader, writer = await asyncio.open_connection(target.host, target.port)
    peer = Peer(reader, writer, findings)
    try:
        if rng.random() < 0.25:
            await before_login(peer, rng)
        elif await login(peer, target, salted):
            await after_login(peer, rng, seed)
        else:
            findings.problems.append(f"seed {seed}: a good login was refused")
    except WireError as error:
        findings.problems.append(f"seed {seed}: the server sent a bad frame: {error.message}")
    except ConnectionError:
        findings.closed += 1
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def before_login(peer: Peer, rng: random.Random) -> None:
    """No answer is promised here but the end: raw bytes are read, not decoded."""
    data = b"".join(make_startup(rng) for _ in range(FRAMES_PER_CONNECTION))
    peer.writer.write(data)
    with contextlib.suppress(ConnectionError):
        await asyncio.sleep(0)
        if peer.writer.can_write_eof():
            peer.writer.write_eof()
        while True:
            try:
                part = await asyncio.wait_for(peer.reader.read(65536), PATIENCE_S)
            except TimeoutError:
                peer.findings.problems.append("before login: not closed after the client's end")
                return
            if b"Traceback" in part:
                peer.findings.problems.append("a traceback before login")
            if not part:
                break
    peer.findings.closed += 1


async def after_login(peer: Peer, rng: random.Random, seed: int) -> None:
    """Frames, then a marker: answered, or closed."""
    whole = True
    violent = rng.random() < 0.3
    parts = []
    for _ in range(FRAMES_PER_CONNECTION):
        frame, is_whole = mutate(rng, encode(make_message(rng)), violent=violent)
        whole = whole and is_whole
        parts.append(frame)
    parts.append(encode(m.Sync()))
    parts.append(encode(m.Query("rollback")) + encode(m.Query("select 424242")))
    data = b"".join(parts)
    while data:
        size = rng.choice([len(data), 1, 5, 100, 3000])
        peer.writer.write(data[:size])
        data = data[size:]
        if rng.random() < 0.2:
            await asyncio.sleep(0)
    while not peer.ended and not peer.is_answered:
        if await peer.read(SILENCE_S if not whole else PATIENCE_S):
            continue
        if whole:
            last = type(peer.messages[-1]).__name__ if peer.messages else "nothing"
            peer.findings.problems.append(f"seed {seed}: no answer after {last}")
            return
        peer.writer.write_eof()
        await peer.read(PATIENCE_S)
        if not peer.ended and not await peer.read(PATIENCE_S):
            peer.findings.problems.append(f"seed {seed}: not closed after the client's end")
            return
    if peer.is_answered:
        peer.findings.answered += 1
        return
    peer.findings.closed += 1
    final = peer.messages[-1] if peer.messages else None
    if whole and not (isinstance(final, m.ErrorResponse) and final.fields.severity == "FATAL"):
        peer.findings.problems.append(f"seed {seed}: closed without a word after {final}")


async def run(target: Target, frames: int, seed: int, *, at_once: int = 24) -> Findings:
    """The whole run."""
    findings = Findings(seed)
    salted = Salted(target.password)
    numbers = iter(range(seed, seed + -(-frames // FRAMES_PER_CONNECTION)))

    async def worker() -> None:
        for number in numbers:
            await attack(target, salted, number, findings)

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return findings
