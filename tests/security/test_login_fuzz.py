"""Hostile bytes at the login's readers: each ends in its own kind of refusal, never in another."""

from __future__ import annotations

import contextlib
import json

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from helios_protocol.fields import WireError
from helios_protocol.scram import ScramFailed, ScramServer, make_verifier
from heliosd.security import bearer
from heliosd.security.bearer import TokenRefused
from heliosd.security.certificates import read_certificate
from heliosd.security.hba import Client, parse_rules
from heliosd.security.hba_lexer import HbaError
from heliosd.security.ident_map import parse_maps
from heliosd.security.tokens import SigningKey, TokenChecker, TokenSettings

KEY = ec.generate_private_key(ec.SECP256R1())
CHECKER = TokenChecker(
    (SigningKey("k", "ES256", KEY.public_key()),), TokenSettings("https://i", "a")
)
VERIFIER = make_verifier("x", iterations=1)
WORDS = st.sampled_from(
    ["host", "local", "hostssl", "all", "+role", "127.0.0.1/8", "::1/128", "10.0.0.0", "255.0.0.0",
     "scram-sha-256", "cert", "peer", "map=x", ",", '"', "#", "\\", "\n", " ", "\t", "a,b", "é"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub", "scope", "alg", "kid", "typ"])


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.lists(WORDS, max_size=30).map("".join) | st.text(max_size=80))
def test_rules_and_maps(text: str) -> None:
    rules = parse_rules(text)
    rules.first_match(Client("d", "r", "127.0.0.1", True))
    rules.first_match(Client("d", "r", None, False))
    assert not any(rule.method in ("trust", "password", "md5") for rule in rules.rules)
    with contextlib.suppress(HbaError):
        parse_maps(text).allows("x", "y", "z")


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_scram_and_bearer_messages(first: bytes, final: bytes) -> None:
    for prefix in (b"", b"n,,", b"n,,n=,r=abc", b"n,,\x01auth=Bearer "):
        with contextlib.suppress(WireError):
            bearer.read_initial(prefix + first)
        exchange = ScramServer((VERIFIER, VERIFIER), plus=False, binding=None, nonce="s")
        with contextlib.suppress(WireError, ScramFailed):
            exchange.first(prefix + first)
            exchange.final(final)
            raise AssertionError("no proof was right")


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    st.dictionaries(NAMES | st.text(max_size=5), JSON, max_size=6),
    st.dictionaries(NAMES | st.text(max_size=5), JSON, max_size=8),
    st.binary(max_size=70),
)
def test_tokens(header: dict[str, object], claims: dict[str, object], signature: bytes) -> None:
    """Signed by us or not: odd claims are refused too."""
    parts = [json.dumps(part).encode() for part in ({"alg": "ES256", "kid": "k", **header}, claims)]
    encoded = [jwt.utils.base64url_encode(part).decode() for part in (*parts, signature)]
    signed = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(
        ".".join(encoded[:2]).encode(), KEY
    )
    good = ".".join((*encoded[:2], jwt.utils.base64url_encode(signed).decode()))
    for token in (".".join(encoded), good):
        with contextlib.suppress(TokenRefused):
            CHECKER.subject(token)
            assert claims["iss"] == "https://i"


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.binary(max_size=300))
def test_certificates(der: bytes) -> None:
    assert read_certificate(der) is None
