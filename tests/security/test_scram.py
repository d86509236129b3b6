"""SCRAM-SHA-256 and -PLUS: RFC 7677's own exchange, and every way not to pass."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from helios_protocol.fields import WireError
from helios_protocol.scram import (
    ScramFailed,
    ScramServer,
    Verifier,
    make_verifier,
    mock_verifier,
    parse_verifier,
    saslprep,
)

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
PENCIL = make_verifier("pencil", salt=SALT, iterations=4096)
BINDING = b"\x17" * 32


def client_final(
    password: str, server_first: bytes, *, bare: str = "n=,r=abc", header: bytes = b"n,,"
) -> tuple[bytes, bytes]:
    """The client's last message and the signature it expects."""
    nonce, salt, count = (part[2:] for part in server_first.decode().split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(count))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    without = f"c={base64.b64encode(header).decode()},r={nonce}"
    signed = f"{bare},{server_first.decode()},{without}".encode()
    signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
    return f"{without},p={base64.b64encode(proof).decode()}".encode(), expected


def server(*verifiers: Verifier, plus: bool = False, binding: bytes | None = None) -> ScramServer:
    return ScramServer(verifiers or (PENCIL,), plus=plus, binding=binding)


def test_rfc_7677_example() -> None:
    exchange = ScramServer((PENCIL,), plus=False, binding=None,
                           nonce="%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")  # fmt: skip
    first = exchange.first(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    assert first == (
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    final = exchange.final(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert final == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_either_of_two_passwords() -> None:
    second = make_verifier("other", salt=SALT, iterations=4096)
    for password in ("pencil", "other"):
        exchange = server(PENCIL, second)
        message, expected = client_final(password, exchange.first(b"n,,n=,r=abc"))
        assert exchange.final(message) == b"v=" + base64.b64encode(expected)


@pytest.mark.parametrize("password", ["", "pencil ", "Pencil", "x" * 200])
def test_wrong_passwords(password: str) -> None:
    exchange = server()
    message, _ = client_final(password, exchange.first(b"n,,n=,r=abc"))
    with pytest.raises(ScramFailed):
        exchange.final(message)


def test_a_replayed_final_fails_on_another_nonce() -> None:
    exchange = server()
    message, _ = client_final("pencil", exchange.first(b"n,,n=,r=abc"))
    again = server()
    again.first(b"n,,n=,r=abc")
    with pytest.raises(WireError) as caught:
        again.final(message)
    assert caught.value.detail == "Nonce does not match."


def test_plus() -> None:
    header = b"p=tls-server-end-point,,"
    exchange = server(plus=True, binding=BINDING)
    first = exchange.first(header + b"n=,r=abc")
    message, expected = client_final("pencil", first, header=header + BINDING)
    assert exchange.final(message) == b"v=" + base64.b64encode(expected)


def test_plus_over_another_channel_fails() -> None:
    header = b"p=tls-server-end-point,,"
    exchange = server(plus=True, binding=BINDING)
    first = exchange.first(header + b"n=,r=abc")
    message, _ = client_final("pencil", first, header=header + b"\x18" * 32)
    with pytest.raises(WireError) as caught:
        exchange.final(message)
    assert caught.value.message == "SCRAM channel binding check failed"


@pytest.mark.parametrize(
    ("plus", "binding", "first"),
    [
        (False, BINDING, b"y,,n=,r=abc"),  # stripped: PLUS was offered, the client saw none
        (True, BINDING, b"n,,n=,r=abc"),
        (True, BINDING, b"p=tls-unique,,n=,r=abc"),
        (False, None, b"p=tls-server-end-point,,n=,r=abc"),
        (False, None, b"n,a=boss,n=,r=abc"),
        (False, None, b"n,,m=ext,n=,r=abc"),
        (False, None, b"n,,n=,r="),
        (False, None, b"n,,n=,r=a b"),
        (False, None, b"n,,n="),
        (False, None, b"n"),
        (False, None, b"x,,n=,r=abc"),
        (False, None, b"n,,n=,r=\xff"),
        (False, None, b"n,,n=,r=a\0b"),
        (False, None, b""),
    ],
)
def test_bad_firsts(plus: bool, binding: bytes | None, first: bytes) -> None:
    with pytest.raises(WireError) as caught:
        server(plus=plus, binding=binding).first(first)
    assert caught.value.fatal


def test_y_is_fine_where_plus_was_not_offered() -> None:
    exchange = server()
    message, _ = client_final("pencil", exchange.first(b"y,,n=,r=abc"), header=b"y,,")
    exchange.final(message)


@pytest.mark.parametrize("final", [b"", b"c=biws", b"c=biws,r=x", b"r=x,c=biws,p=AA==",
                                   b"c=!!,r=x,p=AA==", b"c=biws,r=x,p=!!"])  # fmt: skip
def test_bad_finals(final: bytes) -> None:
    exchange = server()
    exchange.first(b"n,,n=,r=abc")
    with pytest.raises(WireError):
        exchange.final(final)


def test_verifier_text() -> None:
    text = str(PENCIL)
    assert text.startswith("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$")
    assert parse_verifier(text) == PENCIL
    assert "W22" not in repr(PENCIL)
    for bad in ("", "md5abc", text[:-1], text + "x", text.replace("4096", "0"), "pencil"):
        assert parse_verifier(bad) is None


def test_mock_verifiers_are_stable_and_look_real() -> None:
    key = b"k" * 32
    counts = (4096, 16384)
    first = mock_verifier(key, "nobody", counts)
    assert first == mock_verifier(key, "nobody", counts)
    assert first.salt != mock_verifier(key, "nobody2", counts).salt
    assert {mock_verifier(key, f"r{n}", counts).iterations for n in range(50)} == set(counts)
    assert (len(first.salt), len(first.stored_key), len(first.server_key)) == (16, 32, 32)


def test_saslprep() -> None:
    assert saslprep("I\u00adX") == "IX"
    assert saslprep("\u2168") == "IX"
    assert saslprep("a\u00a0b") == "a b"
    assert saslprep("a\u0007é") == "a\u0007é"  # prohibited: kept, as PostgreSQL does
