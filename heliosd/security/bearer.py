"""OAUTHBEARER (RFC 7628), the server's side, without I/O and without knowing what a token is.

    client   n,,^Aauth=Bearer <token>^A^A
    server   nothing (the login goes on), or {"status": ..., "openid-configuration": ..., "scope"}
    client   ^A                                (a client that was refused says that it heard)

A client that has no token yet sends an empty `auth` to be told whom to ask.
"""

from __future__ import annotations

import json
import re
from typing import Final, Protocol

from helios_protocol.fields import ProtocolViolation, WireError

MECHANISM: Final = "OAUTHBEARER"
_SEPARATOR: Final = "\x01"
# RFC 6750: b64token.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)


class TokenRefused(Exception):
    """The token is not good; `reason` is one word for our log, never for the client."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TokenVerifier(Protocol):
    """Says whose a token is (security/tokens.py)."""

    def subject(self, token: str, scope: str = "") -> str:
        """The outside name. Raises `TokenRefused`."""
        ...


def read_initial(message: bytes) -> str:
    """The token of the client's first message; "" where it asks whom to ask. Raises `WireError`."""
    try:
        text = message.decode("utf-8")
    except UnicodeDecodeError:
        raise _malformed("The message is not valid UTF-8.") from None
    if "\0" in text:
        raise _malformed("Message length does not match input length.")
    header, found, rest = text.partition(_SEPARATOR)
    flag, comma, identity = header.partition(",")
    if not found or not comma or not identity.endswith(","):
        raise _malformed("The message does not hold a GS2 header.")
    if flag.startswith("p="):
        raise _malformed(
            "The server does not support channel binding for OAuth, "
            "but the client message includes channel binding data."
        )
    if flag not in ("n", "y"):
        raise _malformed("Unexpected channel-binding flag.")
    if identity != ",":
        raise WireError(
            "0A000", "client uses authorization identity, but it is not supported", fatal=True
        )
    return _token(_pairs(rest))


def _pairs(text: str) -> dict[str, str]:
    """key=value^A ... and a last ^A."""
    if not text.endswith(_SEPARATOR):
        raise _malformed("Message did not contain a final terminator.")
    pairs: dict[str, str] = {}
    body = text[:-1]
    if body and not body.endswith(_SEPARATOR):
        raise _malformed("Key-value pair is not terminated.")
    for pair in body.split(_SEPARATOR)[:-1]:
        key, equals, value = pair.partition("=")
        if not equals or not key.isascii() or not key.isalpha():
            raise _malformed("Message contains an invalid key name.")
        if key in pairs:
            raise _malformed("Message contains multiple values of one key.")
        pairs[key] = value
    return pairs


def _token(pairs: dict[str, str]) -> str:
    if "auth" not in pairs:
        raise _malformed("Message does not contain an auth value.")
    value = pairs["auth"]
    if not value:
        return ""
    scheme, blank, token = value.partition(" ")
    token = token.lstrip(" ")
    if scheme.lower() != "bearer" or not blank or not _TOKEN.fullmatch(token):
        raise ProtocolViolation(
            "malformed OAuth bearer token", fatal=True, detail="The token is not a bearer token."
        )
    return token


def refusal(issuer: str, scope: str) -> bytes:
    """What a client without a good token is told: whom to ask for one, and for what."""
    discovery = issuer.rstrip("/") + "/.well-known/openid-configuration"
    return json.dumps(
        {"status": "invalid_token", "openid-configuration": discovery, "scope": scope}
    ).encode()


def check_heard(message: bytes) -> None:
    """The client's answer to a refusal must be one separator (RFC 7628 3.2.3)."""
    if message != _SEPARATOR.encode():
        raise _malformed("Client did not send a kvsep response.")


def _malformed(detail: str) -> ProtocolViolation:
    return ProtocolViolation("malformed OAUTHBEARER message", fatal=True, detail=detail)
