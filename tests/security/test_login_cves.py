"""Attacks on logins, named by the CVEs of others (PostgreSQL, PgBouncer, pgjdbc)."""

from __future__ import annotations

import socket
import ssl
import struct
import urllib.request
from collections.abc import Iterator

import psycopg
import pytest

from helios_protocol import messages as m
from helios_protocol.encode import encode
from helios_protocol.scram import make_verifier
from heliosd.security.hba import Client, parse_rules
from tests.security.logins import (
    BARE,
    HEADER,
    LoginClient,
    final_message,
    logged_in,
    refusals,
    run_as_admin,
    text_of,
)
from tests.server import PASSWORD, Server


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(
        tmp_path_factory.mktemp("cves"), tls_required="remote", login_lockout="off",
    )  # fmt: skip
    running.start()
    run_as_admin(
        running,
        "create role app login password 'app logs in here'",
        "create role other login password 'other logs in too'",
    )
    yield running
    assert running.stop() == 0


def unchecked() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@pytest.mark.parametrize("request_code", [80877103, 80877104])
def test_cve_2021_23214_and_23222_bytes_ahead_of_encryption(
    plain: Server, request_code: int
) -> None:
    """What came in the same segment as the request is never taken as from inside TLS."""
    startup = encode(m.StartupMessage(3, 0, {"user": "app", "database": "postgres"}))
    with socket.create_connection(("127.0.0.1", plain.port), 10) as raw:
        raw.sendall(struct.pack("!ii", 8, request_code) + startup)
        received = b""
        while data := raw.recv(4096):
            received += data
    assert received[:1] == b"E", "refused before any answer to the request"
    assert b"received unencrypted data" in received


def test_cve_2026_14681_tls_does_not_satisfy_a_gss_rule() -> None:
    rules = parse_rules("hostgssenc all all all scram-sha-256\n").rules
    for secure in (False, True):
        assert not any(rule.fits(Client("postgres", "app", "127.0.0.1", secure)) for rule in rules)


def test_cve_2026_6478_md5_is_no_way_in(plain: Server) -> None:
    """Its comparison leaked by time; here neither the verifier nor the method exists."""
    with plain.connect() as admin:
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="MD5"):
            admin.execute(f"alter role app password 'md5{'0' * 32}'".encode())
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            admin.execute("set password_encryption = 'md5'")
    assert "proves too little" in parse_rules("host all all all md5").bad[0].error


def test_cve_2017_7546_no_empty_password(plain: Server) -> None:
    """Neither given in clear text, nor hashed by a client that does not mind."""
    with plain.connect() as admin:
        for password in ("", str(make_verifier(""))):
            admin.execute(f"create role hollow login password '{password}'".encode())
            row = admin.execute(
                "select rolpassword from pg_authid where rolname = 'hollow'"
            ).fetchone()
            assert row == (None,)
            assert text_of(logged_in(plain, "hollow", "")).startswith("28P01")
            admin.execute("drop role hollow")


def test_pgbouncer_cve_2025_2291_expired_passwords_on_every_path(plain: Server) -> None:
    """VALID UNTIL holds for the password, for the one before it, with and without TLS."""
    run_as_admin(
        plain,
        "create role late login password 'the first of two'",
        "alter role late password 'the second of two' retain current password",
    )
    for password in ("the first of two", "the second of two"):
        assert text_of(logged_in(plain, "late", password)) == "ReadyForQuery"
    before = refusals(plain)
    run_as_admin(plain, "alter role late valid until '2001-01-01'")
    for password in ("the first of two", "the second of two"):
        assert text_of(logged_in(plain, "late", password)) == (
            '28P01 password authentication failed for user "late"'
        )
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            plain.connect(user="late", password=password)
    counted = refusals(plain).since(before)
    assert counted == {("scram", "expired"): 2, ("scram_plus", "expired"): 2}
    run_as_admin(plain, "alter role late valid until 'infinity'")
    assert text_of(logged_in(plain, "late", "the first of two")) == "ReadyForQuery"


def test_pgbouncer_cve_2025_12819_start_up_settings_do_not_steer_the_login(
    plain: Server,
) -> None:
    """The login runs no SQL; what the packet asks for comes after the proof, and is checked."""
    run_as_admin(
        plain,
        "create schema if not exists evil",
        "create table if not exists evil.pg_authid (rolname text, rolpassword text)",
        f"insert into evil.pg_authid values ('app', '{make_verifier('known to the attacker')}')",
    )
    wrong = '28P01 password authentication failed for user "app"'
    for options in (
        {"search_path": "evil, pg_catalog"}, {"options": "-c search_path=evil"},
        {"options": "-c role=postgres"}, {"role": "postgres"}, {"no_such_setting": "1"},
        {"options": "--nonsense"}, {"session_authorization": "postgres"},
    ):  # fmt: skip
        answer = logged_in(plain, "app", "known to the attacker", **options)
        assert text_of(answer) == wrong, options
    for options, says in [
        ({"role": "postgres"}, '42501 permission denied to set role "postgres"'),
        ({"options": "-c log_statement=all"}, "42501 permission denied to set parameter"),
        ({"session_authorization": "postgres"}, "55P02"),
        ({"is_superuser": "on"}, "55P02"),
    ]:  # fmt: skip
        assert text_of(logged_in(plain, "app", "app logs in here", **options)).startswith(says)


def test_cve_2026_42198_verifiers_do_not_keep_clients_busy(plain: Server) -> None:
    """A role cannot plant a verifier whose iterations exhaust whoever tries to log in."""
    with plain.connect() as admin:
        for iterations in (1, 4095, 1_000_001, 2_147_483_647, 9_999_999):
            ready = str(make_verifier("x", iterations=1)).replace("$1:", f"${iterations}:")
            with pytest.raises(psycopg.Error):
                admin.execute(f"alter role app password '{ready}'".encode())
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            admin.execute("set scram_iterations = 1000001")
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            admin.execute("set scram_iterations = 4095")
    assert text_of(logged_in(plain, "app", "app logs in here")) == "ReadyForQuery"


# ---------------------------------------------------------------- SCRAM on the wire


def test_a_replayed_proof_fails(plain: Server) -> None:
    with LoginClient(plain.port) as client:
        proof = final_message(client.challenge("app"), "app logs in here")
        client.send(m.SASLResponse(proof))
        assert isinstance(client.outcome(), m.ReadyForQuery)
    with LoginClient(plain.port) as client:
        client.challenge("app")
        client.send(m.SASLResponse(proof))
        assert text_of(client.read()).startswith("08P01 invalid SCRAM response")


def test_another_role_s_proof_fails(plain: Server) -> None:
    """The name in the SCRAM message is ignored: the start-up packet's counts."""
    first = HEADER + b"n=other,r=client"
    with LoginClient(plain.port) as client:
        challenge = client.challenge("app", first)
        final = final_message(challenge, "other logs in too", bare=first[len(HEADER) :])
        client.send(m.SASLResponse(final))
        assert text_of(client.read()).startswith("28P01")


@pytest.mark.parametrize("cut", [0, 1, 20, -1])
def test_truncated_proofs_fail(plain: Server, cut: int) -> None:
    with LoginClient(plain.port) as client:
        final = final_message(client.challenge("app"), "app logs in here")
        client.send(m.SASLResponse(final[:cut]))
        assert text_of(client.read()).startswith(("08P01", "28"))


def test_stripped_channel_binding_fails(plain: Server) -> None:
    """Somebody took -PLUS off the offer: the client's `y` says so, inside TLS."""
    before = refusals(plain)
    with LoginClient(plain.port, tls=unchecked()) as client:
        asked = client.start("app")
        assert asked == m.AuthenticationSASL(("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"))
        client.send(m.SASLInitialResponse("SCRAM-SHA-256", b"y,," + BARE))
        assert text_of(client.read()) == "28000 SCRAM channel binding negotiation error"
    with LoginClient(plain.port, tls=unchecked()) as client:
        client.start("app")
        client.send(m.SASLInitialResponse("SCRAM-SHA-256-PLUS", b"n,," + BARE))
        assert text_of(client.read()).startswith("08P01 malformed SCRAM message")
    assert sum(refusals(plain).since(before).values()) == 2


def test_binding_to_another_channel_fails(plain: Server) -> None:
    """A man in the middle with a certificate of his own cannot pass the client's proof on."""
    header = b"p=tls-server-end-point,,"
    with LoginClient(plain.port, tls=unchecked()) as client:
        client.start("app")
        client.send(m.SASLInitialResponse("SCRAM-SHA-256-PLUS", header + BARE))
        answer = client.read()
        assert isinstance(answer, m.AuthenticationSASLContinue)
        final = final_message(
            answer.data.decode(), "app logs in here", header=header + b"\x00" * 32
        )
        client.send(m.SASLResponse(final))
        assert text_of(client.read()) == "28000 SCRAM channel binding check failed"


@pytest.mark.parametrize(
    "mechanism", ["PLAIN", "SCRAM-SHA-1", "OAUTHBEARER", "", "SCRAM-SHA-256-PLUS"]
)
def test_downgraded_mechanisms_are_refused(plain: Server, mechanism: str) -> None:
    with LoginClient(plain.port) as client:
        assert client.start("app") == m.AuthenticationSASL(("SCRAM-SHA-256",))
        client.send(m.SASLInitialResponse(mechanism, HEADER + BARE))
        assert text_of(client.read()).startswith("08P01")


def test_a_password_sent_unasked_is_refused(plain: Server) -> None:
    with LoginClient(plain.port) as client:
        client.start("app")
        client.send(m.PasswordMessage(b"app logs in here\0"))
        assert text_of(client.read()).startswith("08P01")


def test_refusals_are_counted(plain: Server) -> None:
    run_as_admin(plain, "create role shut password 'right but useless'")
    before = refusals(plain)
    logged_in(plain, "shut", "right but useless")
    logged_in(plain, "shut", "wrong")
    logged_in(plain, "nobody", "wrong")
    logged_in(plain, "app", "app logs in here", database="absent")
    assert refusals(plain).since(before) == {
        ("scram", "nologin"): 1, ("scram", "password"): 1, ("scram", "unknown_role"): 1,
        ("scram", "database"): 1,
    }  # fmt: skip
    text = plain.log_path.read_text()
    assert "Failed authentication attempt from 127.0.0.1" in text
    assert PASSWORD not in text
    assert "app logs in here" not in text


def test_the_guide_s_events(plain: Server) -> None:
    """Its three log lines and its counter, in its words."""
    run_as_admin(
        plain,
        "create table if not exists kept (a int)",
        "grant usage on schema public to app",
        "alter role other password 'other has changed it'",
    )
    with plain.connect(user="app", password="app logs in here") as app:
        for statement in ("select * from kept", "drop table kept", "create role mine"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement.encode())
        for _ in range(30):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute("delete from kept")
    logged_in(plain, "app", "wrong")
    log = plain.log_path.read_text()
    assert "Failed authentication attempt from 127.0.0.1" in log
    assert '"Unauthorized access attempt to table kept"' in log
    assert "Unauthorized access attempt: must be owner of table kept" in log
    assert "User other password changed" in log
    assert "other has changed it" not in log
    with urllib.request.urlopen(f"http://127.0.0.1:{plain.http_port}/metrics") as answer:
        metrics = answer.read().decode()
    assert 'heliosdb_auth_failures_total{method="scram",reason="password"}' in metrics
    assert "heliosdb_password_age_max_seconds" in metrics
