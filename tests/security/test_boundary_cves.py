"""What others' CVEs demand of the boundary: text, lengths, the operating system, what errors say.

Named by number; docs/security/cves.md lists them all with their tests.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import psycopg
import pytest

from helios_protocol import messages as m
from helios_protocol.encode import encode
from tests.server import PASSWORD, Server
from tests.session.wire_client import WireClient

# A lone lead byte, a lone trailing byte, an overlong slash, a surrogate, beyond Unicode, cut short.
INVALID = (b"\xc0", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("boundary"), tls_required="remote")
    running.start()
    yield running
    assert running.stop() == 0


def frame(code: bytes, body: bytes) -> bytes:
    return code + struct.pack("!i", len(body) + 4) + body


def error_of(answers: list[m.BackendMessage]) -> str | None:
    return next((a.fields.sqlstate for a in answers if isinstance(a, m.ErrorResponse)), None)


@pytest.mark.parametrize("bad", INVALID)
def test_cve_2025_1094_invalid_text_never_reaches_the_parser(plain: Server, bad: bytes) -> None:
    """A quote after a half character ended a quoted literal early: half characters are refused."""
    client = WireClient(plain.port, "postgres", PASSWORD)
    client.socket.sendall(frame(b"Q", b"select '" + bad + b"'\0"))
    assert error_of(client.read_ready()) == "22021"
    bind = b"\0\0" + struct.pack("!hhi", 0, 1, len(bad)) + bad + struct.pack("!h", 0)
    client.socket.sendall(
        frame(b"P", b"\0select $1::text\0" + struct.pack("!h", 0))
        + frame(b"B", bind)
        + frame(b"E", b"\0" + struct.pack("!i", 0))
        + frame(b"S", b"")
    )
    assert error_of(client.read_ready()) == "22021"
    assert error_of(client.exchange(m.Query("create temp table copied (a text)"))) is None
    client.socket.sendall(
        frame(b"Q", b"copy copied from stdin\0") + frame(b"d", bad + b"\n") + frame(b"c", b"")
    )
    assert error_of(client.read_ready()) == "22021"
    assert error_of(client.exchange(m.Query("select 1"))) is None


def test_cve_2025_1094_quoting_functions_quote_what_they_are_given(plain: Server) -> None:
    with plain.connect() as connection:
        for text in ("'", "\\", "a'b\\c", "\n\\!", "é'", "\\'; drop table x; --"):
            (quoted,) = connection.execute("select quote_literal(%s)", (text,)).fetchone() or ("",)
            assert connection.execute(f"select {quoted}".encode()).fetchone() == (text,)
            (name,) = connection.execute("select quote_ident(%s)", (text,)).fetchone() or ("",)
            cursor = connection.execute(f"select 1 as {name}".encode())
            assert cursor.description is not None
            assert cursor.description[0].name == text


def test_cve_2024_27304_a_length_past_32_bits_is_no_other_message(plain: Server) -> None:
    """A wrapped length made the rest of a value into messages: a frame ends where it says, or the
    session does."""
    hidden = frame(b"Q", b"create table smuggled (a int)\0")
    client = WireClient(plain.port, "postgres", PASSWORD)
    for length in (-1, 0, 3, -(2**31), 2**31 - 1):
        client.socket.sendall(b"Q" + struct.pack("!i", length) + hidden)
        with pytest.raises(ConnectionError):
            while True:
                answer = client.read()
                assert isinstance(answer, m.ErrorResponse)
                assert answer.fields.sqlstate == "08P01"
        client = WireClient(plain.port, "postgres", PASSWORD)
    with plain.connect() as connection:
        found = connection.execute("select to_regclass('smuggled') is null").fetchone()
        assert found == (True,)


@pytest.mark.parametrize(
    ("statement", "sqlstates"),
    [
        ("copy (select 1) to program 'id'", {"0A000"}),
        ("create temp table p (a int); copy p from program 'id'", {"0A000"}),
        ("copy (select 1) to '/tmp/heliosd-never'", {"0A000", "42501"}),
        ("create function f() returns int language c as '/lib/x86_64-linux-gnu/libc.so.6', 'abort'",
         {"0A000", "42704"}),
        ("create function f() returns int language plperlu as 'system(1)'", {"0A000", "42704"}),
        ("create function f() returns int language plpython3u as 'x'", {"0A000", "42704"}),
        ("do language plperlu 'system(1)'", {"0A000", "42704"}),
        ("load '/lib/x86_64-linux-gnu/libc.so.6'", {"0A000", "42501", "58P01"}),
        ("select pg_read_file('/etc/passwd')", {"0A000", "42883", "42501"}),
        ("select pg_ls_dir('/')", {"0A000", "42883", "42501"}),
        ("select lo_import('/etc/passwd')", {"0A000", "42883", "42501"}),
        ("set local_preload_libraries = 'x'", {"42704", "55P02", "0A000"}),
        ("select set_config('PATH', '/tmp', false)", {"42704"}),
        ("set \"plperl.on_init\" = 'x'; select 1/0", {"22012"}),
    ],
)  # fmt: skip
def test_cve_2024_10979_and_2026_6471_sql_does_not_reach_the_system(
    plain: Server, statement: str, sqlstates: set[str]
) -> None:
    """Not even a superuser's: no program, no library, no untrusted language, no environment."""
    with plain.connect() as connection:
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(statement.encode())
        assert caught.value.sqlstate in sqlstates, caught.value


def test_cve_2024_10977_2025_12818_2026_6464_errors_are_one_bounded_text(plain: Server) -> None:
    """Clients print errors and add up lengths: what they get is short, whole and without NUL."""
    client = WireClient(plain.port, "postgres", PASSWORD)
    for text in ("select " + "x" * 1_000_000, "select '" + "y" * 3_000_000 + "'::int"):
        (answer, ready) = client.exchange(m.Query(text))
        assert isinstance(answer, m.ErrorResponse)
        assert isinstance(ready, m.ReadyForQuery)
        raw = encode(answer)
        assert raw.endswith(b"\0\0")
        # One NUL after each field, one at the end, and none inside.
        fields = raw[5:-2].split(b"\0")
        assert all(field[:1].isalpha() for field in fields), fields
        assert len(raw) < 8_000_000


def test_pgbouncer_cve_2021_3935_nothing_is_served_before_tls(server: Server) -> None:
    """`tls_required = always`: a start-up in plain text is refused whatever follows it."""
    startup = encode(m.StartupMessage(3, 0, {"user": "postgres", "database": "postgres"}))
    with socket.create_connection(("127.0.0.1", server.port), 10) as raw:
        raw.sendall(startup + frame(b"Q", b"select 1\0"))
        received = b""
        while data := raw.recv(4096):
            received += data
    assert received[:1] == b"E"
    assert b"C28000" in received
    assert b"select" not in received.replace(b"selected", b"")
