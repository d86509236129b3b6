"""OAUTHBEARER as libpq 18 speaks it: the library that psycopg brings, with a token hook."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import psycopg_binary
import pytest

from tests.security.logins import refusals, run_as_admin
from tests.security.test_jwt import AUDIENCE, ISSUER, key_set, rsa_token
from tests.server import Server

__all__ = ("key_set",)
BEARER_TOKEN = 1


class BearerRequest(ctypes.Structure):
    """PGoauthBearerRequest of libpq-fe.h."""

    _fields_ = (
        ("openid_configuration", ctypes.c_char_p),
        ("scope", ctypes.c_char_p),
        ("poll", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("token", ctypes.c_char_p),
        ("user", ctypes.c_void_p),
    )


HOOK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(BearerRequest))


class Libpq:
    """Just enough of it."""

    def __init__(self) -> None:
        folder = Path(psycopg_binary.__file__).parent.with_name("psycopg_binary.libs")
        found = sorted(folder.glob("libpq-*.so*"))
        if not found:
            pytest.skip("psycopg brings no libpq here")
        self._library = ctypes.CDLL(str(found[0]))
        if self._library.PQlibVersion() < 180000:
            pytest.skip("libpq is older than 18")
        self._library.PQconnectdb.restype = ctypes.c_void_p
        self._library.PQerrorMessage.restype = ctypes.c_char_p
        self.asked: list[tuple[str, str]] = []

    def connect(self, conninfo: str, token: str) -> str:
        """ "" when it worked, else libpq's words."""
        kept = token.encode()

        def give(kind: int, _connection: int, request: ctypes._Pointer[BearerRequest]) -> int:
            if kind != BEARER_TOKEN:
                return 0
            asked = request.contents
            self.asked.append((asked.openid_configuration.decode(), asked.scope.decode()))
            asked.token = kept
            return 1

        hook = HOOK(give)
        self._library.PQsetAuthDataHook(hook)
        connection = ctypes.c_void_p(self._library.PQconnectdb(conninfo.encode()))
        try:
            if self._library.PQstatus(connection) == 0:
                return ""
            return (self._library.PQerrorMessage(connection) or b"").decode()
        finally:
            self._library.PQfinish(connection)
            self._library.PQsetAuthDataHook(None)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory, key_set: Path) -> Iterator[Server]:
    running = Server(
        tmp_path_factory.mktemp("libpq"),
        host_rules=(
            "hostssl all postgres all scram-sha-256\nhostssl all all all oauth scope=db.login\n"
        ),
        jwt_key_set=str(key_set), jwt_issuer=ISSUER.rstrip("/"), jwt_audience=AUDIENCE,
    )  # fmt: skip
    running.start()
    run_as_admin(running, "create role app login")
    yield running
    assert running.stop() == 0


def test_libpq_18_logs_in_with_a_token(tokens: Server) -> None:
    libpq = Libpq()
    issuer = ISSUER.rstrip("/")
    conninfo = tokens.conninfo(
        user="app", password=None, oauth_issuer=issuer, oauth_client_id="test",
        require_auth="oauth",
    )  # fmt: skip
    before = refusals(tokens)
    good = rsa_token(iss=issuer, scope="db.login")
    assert libpq.connect(conninfo, good) == ""
    # libpq asks first, without a token, and does as it is told.
    assert libpq.asked == [(issuer + "/.well-known/openid-configuration", "db.login")]
    assert refusals(tokens).since(before) == {("oauth", "no_password"): 1}
    wrong = libpq.connect(conninfo, rsa_token(iss=issuer, scope="other"))
    assert 'OAuth bearer authentication failed for user "app"' in wrong or "invalid_token" in wrong
