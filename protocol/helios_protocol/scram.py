"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, 7677, 5929), the server's side, without I/O.

    client-first   n,,n=,r=<nonce>             flags: n no binding, y unused, p=tls-server-end-point
    server-first   r=<nonce><ours>,s=<salt>,i=<iterations>
    client-final   c=<binding>,r=<both>,p=<proof>
    server-final   v=<signature>

A verifier is what rests on disk: nobody can log in with it. A role may have two live passwords:
their verifiers share salt and iterations, so that one challenge serves both, and both are always
checked. A failed proof is found only at the end, whatever was wrong: the exchange with an unknown
role (a mock verifier) is byte for byte and step for step that with a known one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import stringprep
import unicodedata
from dataclasses import dataclass
from typing import Final

from helios_protocol.fields import ProtocolViolation, WireError

MECHANISM: Final = "SCRAM-SHA-256"
MECHANISM_PLUS: Final = "SCRAM-SHA-256-PLUS"
BINDING_TYPE: Final = "tls-server-end-point"
ITERATIONS_DEFAULT: Final = 16_384
ITERATIONS_MIN: Final = 4_096
ITERATIONS_MAX: Final = 1_000_000
SALT_BYTES: Final = 16
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 18

_VERIFIER: Final = re.compile(
    r"SCRAM-SHA-256\$(\d{1,7}):([A-Za-z0-9+/=]{1,88})\$([A-Za-z0-9+/=]{44}):([A-Za-z0-9+/=]{44})",
    re.ASCII,
)
# RFC 5802 "printable": 0x21 to 0x7e without the comma.
_PRINTABLE: Final = re.compile(r"[\x21-\x2b\x2d-\x7e]+", re.ASCII)


@dataclass(frozen=True, slots=True, repr=False)
class Verifier:
    """A password's SCRAM secret. `repr` shows nothing: verifiers never reach a log."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    def __repr__(self) -> str:
        return "<Verifier>"

    def __str__(self) -> str:
        """PostgreSQL's form, as pg_authid keeps it."""
        salt, stored, server = (
            base64.b64encode(part).decode()
            for part in (self.salt, self.stored_key, self.server_key)
        )
        return f"{MECHANISM}${self.iterations}:{salt}${stored}:{server}"


def parse_verifier(text: str) -> Verifier | None:
    """PostgreSQL's form read back; None when it is not one."""
    match = _VERIFIER.fullmatch(text)
    if match is None:
        return None
    try:
        salt, stored, server = map(_strict_base64, match.groups()[1:])
    except binascii.Error:
        return None
    iterations = int(match[1])
    if len(stored) != KEY_BYTES or len(server) != KEY_BYTES or not salt or iterations < 1:
        return None
    return Verifier(iterations, salt, stored, server)


def make_verifier(
    password: str, *, salt: bytes | None = None, iterations: int = ITERATIONS_DEFAULT
) -> Verifier:
    """The verifier for a clear-text password (0.1 us an iteration: run it in a thread)."""
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", saslprep(password).encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return Verifier(iterations, salt, hashlib.sha256(client_key).digest(), server_key)


def mock_verifier(mock_key: bytes, name: str, iterations: tuple[int, ...]) -> Verifier:
    """A verifier no password fits, the same one each time for a name.

    `iterations`: the counts that real login roles have, as often as they have them; the choice is
    drawn by the same HMAC, so that an unknown role's count looks like any role's.
    """
    digest = hmac.digest(mock_key, name.encode("utf-8", "surrogatepass"), "sha512")
    salt, choice = digest[:SALT_BYTES], int.from_bytes(digest[SALT_BYTES : SALT_BYTES + 8], "big")
    count = iterations[choice % len(iterations)] if iterations else ITERATIONS_DEFAULT
    stored, server = digest[24:44] + digest[:12], digest[44:64] + digest[12:24]
    return Verifier(count, salt, stored, server)


def saslprep(password: str) -> str:
    """RFC 4013; where it does not apply the password stays as it is, as in PostgreSQL."""
    if password.isascii():
        return password
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in password
        if not stringprep.in_table_b1(char)
    )
    normal = unicodedata.normalize("NFKC", mapped)
    if not normal or any(map(_is_prohibited, normal)):
        return password
    if any(map(stringprep.in_table_d1, normal)):
        outer_bad = not (stringprep.in_table_d1(normal[0]) and stringprep.in_table_d1(normal[-1]))
        if outer_bad or any(map(stringprep.in_table_d2, normal)):
            return password
    return normal


def _is_prohibited(char: str) -> bool:
    return (
        stringprep.in_table_c12(char)
        or stringprep.in_table_c21_c22(char)
        or stringprep.in_table_c3(char)
        or stringprep.in_table_c4(char)
        or stringprep.in_table_c5(char)
        or stringprep.in_table_c6(char)
        or stringprep.in_table_c7(char)
        or stringprep.in_table_c8(char)
        or stringprep.in_table_c9(char)
        or stringprep.in_table_a1(char)
    )


class ScramFailed(Exception):
    """The proof is wrong: 28P01, with no word on why."""


class ScramServer:
    """One exchange. `first` and `final` each take the client's message and give ours.

    `verifiers` must share salt and iterations. `binding` is the digest of our certificate
    (tls-server-end-point) when TLS is on: then -PLUS is offered and a client that says it could
    bind but saw no offer (`y`) was stripped of it on the way.
    """

    def __init__(
        self, verifiers: tuple[Verifier, ...], *, plus: bool, binding: bytes | None, nonce: str = ""
    ) -> None:
        assert verifiers
        assert len({(v.salt, v.iterations) for v in verifiers}) == 1
        self._verifiers = verifiers
        self._plus = plus
        self._binding = binding
        self._ours = nonce or base64.b64encode(secrets.token_bytes(NONCE_BYTES)).decode()
        self._header = ""
        self._client_bare = ""
        self._server_first = ""
        self._nonce = ""

    def first(self, message: bytes) -> bytes:
        """client-first to server-first. Raises `WireError`, fatal."""
        text = _ascii(message)
        header, bare = self._split_header(text)
        self._header = header
        parts = bare.split(",")
        if parts[0].startswith("m="):
            raise WireError("0A000", "client requires an unsupported SCRAM extension", fatal=True)
        if len(parts) < 2 or not parts[0].startswith("n=") or not parts[1].startswith("r="):
            raise _malformed("Unexpected attribute in client-first-message.")
        nonce = parts[1][2:]
        if not _PRINTABLE.fullmatch(nonce):
            raise _malformed("Non-printable characters in SCRAM nonce.")
        self._client_bare = bare
        self._nonce = nonce + self._ours
        verifier = self._verifiers[0]
        salt = base64.b64encode(verifier.salt).decode()
        self._server_first = f"r={self._nonce},s={salt},i={verifier.iterations}"
        return self._server_first.encode()

    def _split_header(self, text: str) -> tuple[str, str]:
        """gs2-header and the rest, the flag checked against what was offered and chosen."""
        flag, comma, rest = text.partition(",")
        identity, comma2, bare = rest.partition(",")
        if not comma or not comma2:
            raise _malformed("The message does not hold a GS2 header.")
        if flag.startswith("p="):
            if not self._plus:
                raise _malformed(
                    "The client selected SCRAM-SHA-256 without channel binding, "
                    "but the SCRAM message includes channel binding data."
                )
            if flag[2:] != BINDING_TYPE:
                raise ProtocolViolation(
                    f'unsupported SCRAM channel-binding type "{flag[2:]}"', fatal=True
                )
        elif flag not in ("n", "y"):
            raise _malformed("Unexpected channel-binding flag.")
        elif self._plus:
            raise _malformed(
                "The client selected SCRAM-SHA-256-PLUS, "
                "but the SCRAM message does not include channel binding data."
            )
        elif flag == "y" and self._binding is not None:
            raise WireError(
                "28000",
                "SCRAM channel binding negotiation error",
                fatal=True,
                detail="The client supports SCRAM channel binding but thinks the server does not.  "
                "However, this server does support channel binding.",
            )
        if identity:
            raise WireError(
                "0A000", "client uses authorization identity, but it is not supported", fatal=True
            )
        return f"{flag},{identity},", bare

    def final(self, message: bytes) -> bytes:
        """client-final to server-final. Raises `ScramFailed`, or `WireError`, fatal."""
        text = _ascii(message)
        without_proof, found, proof_text = text.rpartition(",p=")
        if not found:
            raise _malformed("Attribute expected, but found invalid character.")
        parts = without_proof.split(",")
        if len(parts) < 2 or not parts[0].startswith("c=") or not parts[1].startswith("r="):
            raise _malformed("Unexpected attribute in client-final-message.")
        self._check_binding(parts[0][2:])
        proof = _base64(proof_text)
        if not hmac.compare_digest(parts[1][2:].encode(), self._nonce.encode()):
            raise ProtocolViolation(
                "invalid SCRAM response", fatal=True, detail="Nonce does not match."
            )
        signed = f"{self._client_bare},{self._server_first},{without_proof}".encode()
        if len(proof) != KEY_BYTES:
            raise _malformed("Malformed proof in client-final-message.")
        signatures = [_check_proof(verifier, signed, proof) for verifier in self._verifiers]
        for signature in signatures:
            if signature is not None:
                return b"v=" + base64.b64encode(signature)
        raise ScramFailed

    def _check_binding(self, encoded: str) -> None:
        expected = self._header.encode()
        if self._plus:
            assert self._binding is not None
            expected += self._binding
        if not hmac.compare_digest(_base64(encoded), expected):
            raise WireError("28000", "SCRAM channel binding check failed", fatal=True)


def _check_proof(verifier: Verifier, signed: bytes, proof: bytes) -> bytes | None:
    """The server's signature if the proof shows the password. Same work either way."""
    client_signature = hmac.digest(verifier.stored_key, signed, "sha256")
    client_key = bytes(a ^ b for a, b in zip(proof, client_signature, strict=True))
    server_signature = hmac.digest(verifier.server_key, signed, "sha256")
    right = hmac.compare_digest(hashlib.sha256(client_key).digest(), verifier.stored_key)
    return server_signature if right else None


def _ascii(message: bytes) -> str:
    if not message:
        raise _malformed("The message is empty.")
    if 0 in message:
        raise _malformed("Message length does not match input length.")
    try:
        return message.decode("utf-8")
    except UnicodeDecodeError:
        raise _malformed("The message is not valid UTF-8.") from None


def _strict_base64(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii"), validate=True)


def _base64(text: str) -> bytes:
    try:
        return _strict_base64(text)
    except (binascii.Error, UnicodeEncodeError):
        raise _malformed("Malformed base64.") from None


def _malformed(detail: str) -> ProtocolViolation:
    return ProtocolViolation("malformed SCRAM message", fatal=True, detail=detail)
