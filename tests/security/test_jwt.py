"""Bearer tokens: what a good one must say, and every known way to forge one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from helios_protocol import messages as m
from helios_protocol.fields import WireError
from heliosd.security import bearer
from heliosd.security.bearer import TokenRefused
from heliosd.security.tokens import (
    KeySetError,
    TokenChecker,
    TokenSettings,
    read_key_set,
)
from tests.security.logins import LoginClient, refusals, run_as_admin, text_of
from tests.server import Server

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
STRANGER = rsa.generate_private_key(65537, 2048)
ISSUER, AUDIENCE = "https://id.example.com/", "heliosd-test"


def jwk(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    algorithm = jwt.algorithms.RSAAlgorithm if hasattr(key, "sign") and isinstance(
        key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm  # fmt: skip
    found: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
    return {**found, "kid": kid, **more}


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    found = {"iss": ISSUER, "aud": AUDIENCE, "sub": "app", "exp": now + 600, **more}
    return {name: value for name, value in found.items() if value is not None}


def rsa_token(headers: dict[str, Any] | None = None, **more: Any) -> str:
    return jwt.encode(claims(**more), RSA, "RS256", headers={"kid": "r1", **(headers or {})})


def ec_token(**more: Any) -> str:
    return jwt.encode(claims(**more), EC, "ES256", headers={"kid": "e1"})


def part(value: dict[str, Any] | bytes) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def key_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("jwks") / "jwks.json"
    keys = [
        jwk(RSA, "r1", use="sig"), jwk(EC, "e1"), jwk(STRANGER, "enc", use="enc"),
        {"kty": "oct", "kid": "shared", "k": part(b"secret" * 8)},
    ]  # fmt: skip
    path.write_text(json.dumps({"keys": keys}))
    return path


@pytest.fixture(scope="module")
def checker(key_set: Path) -> TokenChecker:
    return TokenChecker(read_key_set(key_set), TokenSettings(ISSUER, AUDIENCE))


def test_good_tokens(checker: TokenChecker) -> None:
    now = int(time.time())
    for token in (
        rsa_token(), ec_token(), rsa_token({"typ": "at+jwt"}), rsa_token(aud=["x", AUDIENCE]),
        rsa_token(nbf=now - 5), rsa_token(exp=now - 30), rsa_token(nbf=now + 30),
    ):  # fmt: skip
        assert checker.subject(token) == "app"
    assert checker.subject(rsa_token(scope="read db.login"), "db.login") == "app"
    assert checker.subject(rsa_token(scp=["db.login"]), "db.login") == "app"


def none_token() -> str:
    return f"{part({'alg': 'none', 'typ': 'JWT', 'kid': 'r1'})}.{part(claims())}."


def confused_token() -> str:
    """HS256 under the RSA key's public text: the classic confusion of keys."""
    public = RSA.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': 'r1'})}.{part(claims())}"
    return f"{signed}.{part(hmac.digest(public, signed.encode(), hashlib.sha256))}"


def shared_secret_token() -> str:
    return jwt.encode(claims(), b"secret" * 8, "HS256", headers={"kid": "shared"})


def altered_token() -> str:
    header, _, signature = rsa_token().split(".")
    return f"{header}.{part(claims(sub='postgres'))}.{signature}"


FORGED: dict[str, tuple[Callable[[], str], str]] = {
    "alg none": (none_token, "malformed"),
    "alg none with a signature": (lambda: none_token() + part(b"x"), "algorithm"),
    "HS256 with the public key": (confused_token, "algorithm"),
    "HS256 with a key of the set": (shared_secret_token, "unknown_key"),
    "altered claims": (altered_token, "signature"),
    "a stranger's key": (
        lambda: jwt.encode(claims(), STRANGER, "RS256", headers={"kid": "r1"}), "signature"),
    "a key that is not for signing": (
        lambda: jwt.encode(claims(), STRANGER, "RS256", headers={"kid": "enc"}), "unknown_key"),
    "no key named": (lambda: jwt.encode(claims(), RSA, "RS256"), "unknown_key"),
    "jku": (lambda: rsa_token({"jku": "https://evil.example/jwks"}), "foreign_key"),
    "jwk": (lambda: rsa_token({"jwk": jwk(STRANGER, "r1")}), "foreign_key"),
    "x5u": (lambda: rsa_token({"x5u": "https://evil.example/c"}), "foreign_key"),
    "crit": (lambda: rsa_token({"crit": ["exp"]}), "malformed"),
    "another algorithm of the key": (
        lambda: jwt.encode(claims(), RSA, "PS256", headers={"kid": "r1"}), "algorithm"),
    "another curve's algorithm": (
        lambda: jwt.encode(claims(), RSA, "RS512", headers={"kid": "r1"}), "algorithm"),
    "another type": (lambda: rsa_token({"typ": "dpop+jwt"}), "type"),
    "expired": (lambda: rsa_token(exp=int(time.time()) - 90), "expired"),
    "not yet": (lambda: rsa_token(nbf=int(time.time()) + 90), "not_yet_valid"),
    "no expiry": (lambda: rsa_token(exp=None), "signature"),
    "wrong audience": (lambda: rsa_token(aud="another"), "audience"),
    "no audience": (lambda: rsa_token(aud=None), "signature"),
    "wrong issuer": (lambda: rsa_token(iss="https://evil.example/"), "issuer"),
    "no issuer": (lambda: rsa_token(iss=None), "signature"),
    "part of the issuer (CVE-2024-53861)": (lambda: rsa_token(iss="https://id"), "issuer"),
    "an expiry without end": (lambda: rsa_token(exp=float("inf")), "signature"),
    "an expiry that is no number": (lambda: rsa_token(exp=float("nan")), "signature"),
    "a text for an expiry": (lambda: rsa_token(exp="soon"), "signature"),
    "a subject that is no text": (lambda: rsa_token(sub=5), "signature"),
    "an audience that is an object": (lambda: rsa_token(aud={AUDIENCE: 1}), "audience"),
    "no subject": (lambda: rsa_token(sub=None), "claim"),
    "garbage": (lambda: "a.b.c", "malformed"),
    "two parts": (lambda: rsa_token().rpartition(".")[0], "malformed"),
    "blanks": (lambda: rsa_token() + " ", "malformed"),
    "too long": (lambda: "a" * 70_000, "malformed"),
    "deep": (lambda: f"{part(b'[' * 5000 + b']' * 5000)}.{part(claims())}.{part(b'x')}",
             "malformed"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_forged(name: str, checker: TokenChecker) -> None:
    make, reason = FORGED[name]
    with pytest.raises(TokenRefused) as caught:
        checker.subject(make())
    assert caught.value.reason == reason


def test_scopes_are_all_needed(checker: TokenChecker) -> None:
    for token in (rsa_token(), rsa_token(scope="read"), rsa_token(scp={"db": 1})):
        with pytest.raises(TokenRefused):
            checker.subject(token, "read db.login")


def test_key_sets(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    short = rsa.generate_private_key(65537, 1024)
    private = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA))
    other_curve = ec.generate_private_key(ec.SECP384R1())
    for document, says in [
        ("{", "no JWKS"), ("{}", "no JWKS"), ('{"keys": []}', "no RS256"),
        ({"keys": [{"kty": "oct", "k": "AAAA"}]}, "no RS256"),
        ({"keys": [jwk(short, "s")]}, "2048 bits"),
        ({"keys": [{**private, "kid": "p"}]}, "private key"),
        ({"keys": [jwk(RSA, "a"), jwk(EC, "a")]}, "same kid"),
        ({"keys": [jwk(other_curve, "c")]}, "cannot be read|no RS256"),
        ({"keys": [{"kty": "RSA", "kid": "x", "n": "!", "e": "AQAB"}]}, "cannot be read"),
    ]:  # fmt: skip
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        with pytest.raises(KeySetError, match=says):
            read_key_set(path)
    path.write_text(json.dumps({"keys": [jwk(RSA, "")]}))
    only = TokenChecker(read_key_set(path), TokenSettings(ISSUER, AUDIENCE))
    assert only.subject(jwt.encode(claims(), RSA, "RS256")) == "app", "one key needs no name"


@pytest.mark.parametrize("message", [
    b"", b"n,,", b"n,,\x01", b"n,,\x01\x01", b"p=tls-server-end-point,,\x01auth=Bearer a\x01\x01",
    b"n,a=boss,\x01auth=Bearer a\x01\x01", b"x,,\x01auth=Bearer a\x01\x01",
    b"n,,\x01auth=Basic a\x01\x01", b"n,,\x01auth=Bearer\x01\x01",
    b"n,,\x01auth=Bearer a b\x01\x01",
    b"n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01", b"n,,\x01auth=Bearer a\x01",
    b"n,,\x01auth=Bearer a\x01\x01x", b"n,,\x01host=h\x01\x01", b"n,,\x01auth=Bearer \xff\x01\x01",
    b"n,,\x01auth=Bearer a\0\x01\x01",
])  # fmt: skip
def test_malformed_bearer_messages(message: bytes) -> None:
    with pytest.raises(WireError) as caught:
        bearer.read_initial(message)
    assert caught.value.fatal


def test_bearer_messages() -> None:
    assert bearer.read_initial(b"n,,\x01auth=Bearer abc.d-e_f=\x01\x01") == "abc.d-e_f="
    assert bearer.read_initial(b"y,,\x01host=h\x01port=5\x01auth=bearer  t\x01\x01") == "t"
    assert bearer.read_initial(b"n,,\x01auth=\x01\x01") == ""


# ---------------------------------------------------------------- a server


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory, key_set: Path) -> Iterator[Server]:
    running = Server(
        tmp_path_factory.mktemp("jwt"),
        host_rules=(
            "hostssl all postgres all scram-sha-256\n"
            "hostssl template1 all all oauth scope=\"db.login\" map=people\n"
            "hostssl all all all jwt\n"
        ),
        ident_map="people /(.*)@example\\.com \\1",
        jwt_key_set=str(key_set), jwt_issuer=ISSUER, jwt_audience=AUDIENCE, login_lockout="off",
    )  # fmt: skip
    running.start()
    run_as_admin(
        running,
        "create role app login", "create role boss login superuser", "create role closed",
        "create role climber login in role boss",
        "create role late login valid until '2001-01-01'",
        "create role single login connection limit 1",
        "grant connect on database template1 to public",
    )  # fmt: skip
    yield running
    assert running.stop() == 0


def by_password(server: Server, user: str, token: str) -> str:
    try:
        with server.connect(user=user, password=token) as connection:
            row = connection.execute("select session_user").fetchone()
            assert row is not None
            return str(row[0])
    except psycopg.OperationalError as error:
        return str(error).partition("FATAL:  ")[2].strip().partition("\n")[0]


def test_as_password(tokens: Server) -> None:
    assert by_password(tokens, "app", rsa_token()) == "app"
    assert by_password(tokens, "app", ec_token()) == "app"
    before = refusals(tokens)
    failed = 'password authentication failed for user "{}"'
    assert by_password(tokens, "late", rsa_token(sub="app")) == failed.format("late")
    assert by_password(tokens, "app", "no token") == failed.format("app")
    assert by_password(tokens, "nobody", rsa_token(sub="nobody")) == failed.format("nobody")
    assert by_password(tokens, "boss", rsa_token(sub="boss")) == failed.format("boss")
    assert by_password(tokens, "climber", rsa_token(sub="climber")) == failed.format("climber")
    for name in ("alg none with a signature", "HS256 with the public key", "expired", "jku"):
        assert by_password(tokens, "app", FORGED[name][0]()) == failed.format("app")
    assert refusals(tokens).since(before) == {("jwt", "token"): 9}
    before = refusals(tokens)
    closed = by_password(tokens, "closed", rsa_token(sub="closed"))
    assert closed == 'role "closed" is not permitted to log in'
    assert by_password(tokens, "late", rsa_token(sub="late")) == 'role "late" is no longer valid'
    assert refusals(tokens).since(before) == {("jwt", "nologin"): 1, ("jwt", "expired"): 1}
    text = tokens.log_path.read_text()
    assert rsa_token().partition(".")[0] not in text, "no token in the log"


def test_connection_limits_hold_for_tokens(tokens: Server) -> None:
    token = rsa_token(sub="single")
    with tokens.connect(user="single", password=token):
        assert by_password(tokens, "single", token) == 'too many connections for role "single"'
    assert by_password(tokens, "single", token) == "single"


def bearer_login(server: Server, user: str, message: bytes) -> tuple[LoginClient, m.BackendMessage]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = LoginClient(server.port, tls=context)
    asked = client.start(user, "template1")
    assert asked == m.AuthenticationSASL(("OAUTHBEARER",))
    client.send(m.SASLInitialResponse("OAUTHBEARER", message))
    return client, client.read()


def initial(token: str) -> bytes:
    return f"n,,\x01auth=Bearer {token}\x01\x01".encode()


def test_oauthbearer(tokens: Server) -> None:
    good = rsa_token(sub="app@example.com", scope="db.login openid", pad="x" * 4000)
    client, answer = bearer_login(tokens, "app", initial(good))
    with client:
        assert isinstance(answer, m.AuthenticationOk), "no SASLFinal, as PostgreSQL 18"
        assert isinstance(client.outcome(), m.ReadyForQuery)
    failed = '28000 OAuth bearer authentication failed for user "app"'
    before = refusals(tokens)
    for message in (
        b"n,,\x01auth=\x01\x01",
        initial(rsa_token(sub="app@example.com")),
        initial(rsa_token(sub="app@evil.com", scope="db.login")),
        initial(rsa_token(sub="other@example.com", scope="db.login")),
    ):
        client, answer = bearer_login(tokens, "app", message)
        with client:
            assert isinstance(answer, m.AuthenticationSASLContinue)
            assert json.loads(answer.data) == {
                "status": "invalid_token",
                "openid-configuration": ISSUER + ".well-known/openid-configuration",
                "scope": "db.login",
            }
            client.send(m.SASLResponse(b"\x01"))
            assert text_of(client.read()) == failed
    assert refusals(tokens).since(before) == {("oauth", "no_password"): 1, ("oauth", "token"): 3}


def test_what_else_a_refused_client_says_is_a_violation(tokens: Server) -> None:
    client, answer = bearer_login(tokens, "app", b"n,,\x01auth=\x01\x01")
    with client:
        assert isinstance(answer, m.AuthenticationSASLContinue)
        client.send(m.SASLResponse(initial(rsa_token(sub="app@example.com", scope="db.login"))))
        assert text_of(client.read()).startswith("08P01")


def test_keys_are_rotated_by_a_reload(tokens: Server, key_set: Path) -> None:
    before = key_set.read_text()
    fresh = rsa.generate_private_key(65537, 2048)
    token = jwt.encode(claims(), fresh, "RS256", headers={"kid": "fresh"})
    assert "failed" in by_password(tokens, "app", token)
    with tokens.connect() as admin:
        key_set.write_text(json.dumps({"keys": [jwk(fresh, "fresh")]}))
        assert admin.execute("select pg_reload_conf()").fetchone() == (True,)
        assert by_password(tokens, "app", token) == "app"
        assert "failed" in by_password(tokens, "app", rsa_token())
        key_set.write_text("{}")
        assert admin.execute("select pg_reload_conf()").fetchone() == (False,)
        assert by_password(tokens, "app", token) == "app"
        key_set.write_text(before)
        assert admin.execute("select pg_reload_conf()").fetchone() == (True,)


def test_tokens_need_to_know_for_whom(tmp_path: Path, key_set: Path) -> None:
    server = Server(tmp_path, jwt_key_set=str(key_set), jwt_issuer=ISSUER)
    with pytest.raises(AssertionError, match="jwt_issuer and jwt_audience"):
        server.start()
