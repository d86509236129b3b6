"""Client certificates: whose they are, and those that are no longer, or never were, good."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from heliosd.server.tls import TlsServer
from heliosd.server.tls_clients import ClientAuthority, accept_clients
from heliosd.settings.sources import ConfigurationError
from tests.security.authority import Authority, Identity
from tests.security.logins import refusals, run_as_admin
from tests.server import PASSWORD, Server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("certified")
    authority.revoke(directory / "clients.crl")
    running = Server(
        directory,
        host_rules=(
            "hostssl all postgres all scram-sha-256\n"
            "hostssl all pair all scram-sha-256 clientcert=verify-full\n"
            "hostssl all some1 all scram-sha-256 clientcert=verify-ca\n"
            "hostssl all mailed all cert clientname=SAN map=mail\n"
            "hostssl all all all cert\n"
        ),
        ident_map="mail /.*@example\\.com mailed",
        tls_client_authority=str(authority.path),
        tls_client_revocations=str(directory / "clients.crl"),
    )
    running.start()
    run_as_admin(
        running,
        "create role app login", "create role mailed login", "create role closed",
        "create role pair login password 'both are needed'",
        "create role some1 login password 'any will do here'",
        "create role late login valid until '2001-01-01'",
        "create role single login connection limit 1",
    )  # fmt: skip
    yield running
    assert running.stop() == 0


def enter(server: Server, user: str, identity: Identity | None, password: str = "") -> str:
    options = {} if identity is None else identity.options()
    try:
        # libpq would take a certificate from the home directory otherwise.
        with server.connect(
            user=user, password=password or None, **{"sslcert": "/nowhere", **options}
        ) as connection:
            row = connection.execute("select session_user").fetchone()
            assert row is not None
            return str(row[0])
    except psycopg.OperationalError as error:
        text = str(error)
        return text.partition("FATAL:  ")[2].strip() or text


def test_by_common_name(certified: Server, authority: Authority) -> None:
    identity = authority.issue("app")
    assert enter(certified, "app", identity) == "app"
    before = refusals(certified)
    assert enter(certified, "closed", identity) == (
        'certificate authentication failed for user "closed"'
    )
    assert enter(certified, "app", None) == "connection requires a valid client certificate"
    for odd in (authority.issue("app", "boss"), authority.issue("boss", "app"),
                authority.issue("APP"), authority.issue("app ")):  # fmt: skip
        assert enter(certified, "app", odd) == 'certificate authentication failed for user "app"'
    assert refusals(certified).since(before) == {("cert", "certificate"): 6}


def test_pg_stat_ssl_shows_it(certified: Server, authority: Authority) -> None:
    identity = authority.issue("app")
    with certified.connect(user="app", password=None, **identity.options()) as connection:
        row = connection.execute(
            "select ssl, client_dn, client_serial, issuer_dn from pg_stat_ssl "
            "where pid = pg_backend_pid()"
        ).fetchone()
        assert row == (True, "CN=app", identity.serial, "CN=clients")


def test_after_the_certificate(certified: Server, authority: Authority) -> None:
    """What only its owner may learn; VALID UNTIL and CONNECTION LIMIT hold here too."""
    before = refusals(certified)
    for user, says in [
        ("closed", 'role "closed" is not permitted to log in'),
        ("late", 'role "late" is no longer valid'),
        ("nobody", 'role "nobody" does not exist'),
    ]:
        assert enter(certified, user, authority.issue(user)) == says
    assert refusals(certified).since(before) == {
        ("cert", "nologin"): 1, ("cert", "expired"): 1, ("cert", "unknown_role"): 1,
    }  # fmt: skip
    identity = authority.issue("single")
    with certified.connect(user="single", password=None, **identity.options()):
        assert enter(certified, "single", identity) == 'too many connections for role "single"'


def test_by_alternative_name(certified: Server, authority: Authority) -> None:
    good = authority.issue("whoever", mails=("x@other.org", "x@example.com"))
    assert enter(certified, "mailed", good) == "mailed"
    for bad in (authority.issue("x@example.com"), authority.issue("a", mails=("x@other.org",)),
                authority.issue("a", mails=("x@example.com.evil.org",))):  # fmt: skip
        assert "certificate authentication failed" in enter(certified, "mailed", bad)


def test_beside_a_password(certified: Server, authority: Authority) -> None:
    own, other = authority.issue("pair"), authority.issue("other")
    assert enter(certified, "pair", own, "both are needed") == "pair"
    assert "password authentication failed" in enter(certified, "pair", own, "wrong")
    assert "certificate authentication failed" in enter(certified, "pair", other, "both are needed")
    assert "requires a valid client certificate" in enter(
        certified, "pair", None, "both are needed"
    )
    assert enter(certified, "some1", other, "any will do here") == "some1"
    assert "requires a valid client certificate" in enter(
        certified, "some1", None, "any will do here"
    )
    assert enter(certified, "postgres", None, PASSWORD) == "postgres", "nobody else needs one"


def handshake_fails(server: Server, identity: Identity) -> None:
    before = refusals(server)
    assert enter(server, "app", identity) != "app"
    assert refusals(server).since(before) == {("tls", "tls"): 1}


def test_unfit_certificates_end_the_handshake(
    certified: Server, authority: Authority, tmp_path: Path
) -> None:
    for identity in (
        authority.issue("app", days=-1, start=-5),
        authority.issue("app", start=2),
        authority.issue("app", usage=ExtendedKeyUsageOID.SERVER_AUTH),
        Authority(tmp_path, "strangers").issue("app"),
        Authority(tmp_path, "clients").issue("app"),
    ):
        handshake_fails(certified, identity)


def test_revocation_holds_from_the_next_handshake(certified: Server, authority: Authority) -> None:
    kept, revoked = authority.issue("app"), authority.issue("app")
    path = certified.directory / "clients.crl"
    assert enter(certified, "app", revoked) == "app"
    authority.revoke(path, revoked)
    handshake_fails(certified, revoked)
    assert enter(certified, "app", kept) == "app"
    # A list that ran out, or cannot be read, vouches for nobody; passwords go on.
    for spoil in (
        lambda: authority.revoke(path, days=-1),
        lambda: path.write_bytes(b"garbage"),
        path.unlink,
    ):
        spoil()
        assert enter(certified, "app", kept) == "connection requires a valid client certificate"
        assert enter(certified, "postgres", None, PASSWORD) == "postgres"
    assert "client certificates refused" in certified.log_path.read_text()
    authority.revoke(path, revoked)
    assert enter(certified, "app", kept) == "app"
    handshake_fails(certified, revoked)


def test_unfit_files_are_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    old = tmp_path / "old.crl"
    authority.revoke(old, days=-1)
    for files, says in [
        (ClientAuthority(authority.path, old), "ran out"),
        (ClientAuthority(authority.path, authority.path), "no revocation list"),
        (ClientAuthority(old), "no authority|no certificate|NO_CERTIFICATE"),
        (ClientAuthority(tmp_path / "absent"), "No such file"),
    ]:
        server = TlsServer(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), b"")
        with pytest.raises(ConfigurationError, match=says):
            accept_clients(server, files)
    with pytest.raises(AssertionError, match="needs tls_client_authority"):
        Server(tmp_path, tls_client_revocations=str(old)).start()
