"""Before the login: what is told, how long one may take, how many may try."""

from __future__ import annotations

import base64
import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from helios_protocol import messages as m
from helios_protocol.encode import encode
from tests.server import PASSWORD, Server
from tests.session.wire_client import WireClient, shown


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(
        tmp_path_factory.mktemp("login"), tls_required="remote", authentication_timeout="1s",
        unauthenticated_per_address="20", log_level="error",
    )  # fmt: skip
    running.start()
    yield running
    assert running.stop() == 0


def challenge(port: int, user: str) -> tuple[bytes, int]:
    """Salt and iterations that a role is challenged with."""
    with socket.create_connection(("127.0.0.1", port), 5) as raw:
        raw.sendall(encode(m.StartupMessage(3, 0, {"user": user, "database": "postgres"})))
        raw.sendall(encode(m.SASLInitialResponse("SCRAM-SHA-256", b"n,,n=,r=abc")))
        data = b""
        while b",i=" not in data or not data[data.index(b",i=") + 3 :].isdigit():
            data += raw.recv(1000)
    first = data[data.index(b"r=abc") :].decode()
    _, salt, count = (part[2:] for part in first.split(","))
    return base64.b64decode(salt), int(count)


def test_unknown_roles_are_challenged_like_known_ones(plain: Server) -> None:
    known, unknown = challenge(plain.port, "postgres"), challenge(plain.port, "nobody")
    assert known[1] == unknown[1]
    assert len(known[0]) == len(unknown[0]) == 16
    assert challenge(plain.port, "nobody") == unknown
    assert challenge(plain.port, "nobody else")[0] != unknown[0]
    plain.stop()
    plain.start()
    assert challenge(plain.port, "nobody") == unknown, "a new salt would tell"


def test_the_same_words_for_every_reason(plain: Server) -> None:
    with WireClient(plain.port, "postgres", PASSWORD) as admin:
        admin.query("create role nopassword login; create role nologin password 'twelve letters'")
        admin.query("create role late login password 'twelve letters' valid until '2001-01-01'")
    for user, password in [
        ("absent", "x"), ("nopassword", ""), ("nologin", "wrong"), ("postgres", "wrong"),
        ("late", "twelve letters"), ("late", "wrong"),
    ]:  # fmt: skip
        with WireClient(plain.port, user, password) as client:
            expected = f'Error FATAL 28P01 password authentication failed for user "{user}"'
            assert shown(client.greeting[-1]) == expected
    with WireClient(plain.port, "nologin", "twelve letters") as client:
        assert shown(client.greeting[-1]) == (
            'Error FATAL 28000 role "nologin" is not permitted to log in'
        )


def test_a_login_that_takes_too_long_ends(plain: Server) -> None:
    for sent in (b"", b"\0\0", encode(m.StartupMessage(3, 0, {"user": "postgres"}))):
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", plain.port), 5) as raw:
            raw.sendall(sent)
            while raw.recv(1000):
                pass
        assert 0.8 < time.monotonic() - began < 3


def test_half_open_connections_are_few_and_hold_nobody_up(plain: Server) -> None:
    waiting = [socket.create_connection(("127.0.0.1", plain.port), 5) for _ in range(60)]
    try:
        time.sleep(0.2)
        closed = 0
        for raw in waiting:
            raw.setblocking(False)
            with contextlib.suppress(BlockingIOError):  # still waiting for us
                closed += raw.recv(1) == b""
        assert closed == 40
        time.sleep(1.2)  # the login timeout frees the rest
        with WireClient(plain.port, "postgres", PASSWORD) as client:
            assert "DataRow(values=(b'1',))" in map(shown, client.query("select 1"))
    finally:
        for raw in waiting:
            raw.close()


def test_a_statement_that_is_too_long(plain: Server) -> None:
    with WireClient(plain.port, "postgres", PASSWORD) as client:
        text = "select '" + "x" * (17 * 1024 * 1024) + "'"
        assert shown(client.query(text)[0]).startswith("Error ERROR 54000")
        answers = client.exchange(m.Parse("", text), m.Sync())
        assert shown(answers[0]).startswith("Error ERROR 54000")
        assert "DataRow(values=(b'1',))" in map(shown, client.query("select 1"))
