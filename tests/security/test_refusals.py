"""Who is refused, with which SQLSTATE, and that it is counted."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import urllib.request

import psycopg
import pytest

from tests.server import PASSWORD, Server


def failures(server: Server) -> float:
    """heliosdb_auth_failures_total over all methods."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("heliosdb_auth_failures_total{")
    )


def refused(server: Server, **more: object) -> psycopg.OperationalError:
    before = failures(server)
    with pytest.raises(psycopg.OperationalError) as caught:
        server.connect(**more)
    assert failures(server) == before + 1
    return caught.value


def test_a_wrong_password_and_an_unknown_role_get_the_same_answer(server: Server) -> None:
    wrong = str(refused(server, password="not the password"))
    unknown = str(refused(server, user="nobody_here"))
    assert 'password authentication failed for user "postgres"' in wrong
    assert 'password authentication failed for user "nobody_here"' in unknown


def test_plaintext_is_refused(server: Server) -> None:
    error = refused(server, sslmode="disable")
    assert "FATAL" in str(error)
    assert "TLS" in str(error) or "encryption" in str(error)


def test_an_unknown_database_is_named_after_the_login(server: Server) -> None:
    with pytest.raises(psycopg.OperationalError, match='database "absent" does not exist'):
        server.connect(dbname="absent")


def tls_socket(server: Server) -> socket.socket:
    """A socket whose server has agreed to TLS."""
    raw = socket.create_connection(("127.0.0.1", server.port), 5)
    raw.sendall(struct.pack("!ii", 8, 80877103))
    assert raw.recv(1) == b"S"
    return raw


def client_context(server: Server) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(server.data / "tls" / "root.crt"))


def test_tls_1_2_is_refused(server: Server) -> None:
    before = failures(server)
    context = client_context(server)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with tls_socket(server) as raw, pytest.raises(ssl.SSLError):
        context.wrap_socket(raw, server_hostname="localhost")
    assert failures(server) == before + 1


@pytest.mark.parametrize(
    ("suite", "accepted"),
    [
        ("TLS_AES_256_GCM_SHA384", True),
        ("TLS_CHACHA20_POLY1305_SHA256", True),
        ("TLS_AES_128_GCM_SHA256", False),
        ("TLS_AES_128_CCM_SHA256", False),
    ],
)
def test_two_suites_only(server: Server, suite: str, accepted: bool) -> None:
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-starttls", "postgres",
         "-tls1_3", "-ciphersuites", suite, "-brief"],
        input=b"", capture_output=True, timeout=20,
    )  # fmt: skip
    text = (done.stdout + done.stderr).decode()
    assert (f"Ciphersuite: {suite}" in text) == accepted, text


def test_channel_binding_is_offered_and_used(server: Server) -> None:
    with server.connect(channel_binding="require") as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_direct_tls_needs_the_protocol_s_name(server: Server) -> None:
    context = client_context(server)
    context.set_alpn_protocols(["postgresql"])
    raw = socket.create_connection(("127.0.0.1", server.port), 5)
    with context.wrap_socket(raw, server_hostname="localhost") as wrapped:
        assert wrapped.selected_alpn_protocol() == "postgresql"
    context = client_context(server)
    raw = socket.create_connection(("127.0.0.1", server.port), 5)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(raw, server_hostname="localhost").recv(1)


def test_a_plaintext_query_ahead_of_the_handshake_closes(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 5) as raw:
        query = b"select 1\0"
        raw.sendall(
            struct.pack("!ii", 8, 80877103) + b"Q" + struct.pack("!i", 4 + len(query)) + query
        )
        received = b""
        while data := raw.recv(4096):
            received += data
        assert not received.startswith(b"S" + b"R")
        assert b"select" not in received


def test_no_secret_in_the_log(server: Server) -> None:
    text = server.log_path.read_text()
    assert PASSWORD not in text
    assert "not the password" not in text
