"""The packets before a session: decoding, version negotiation, the `options` parameter.

| offset | size | start-up packet |
|---|---|---|
| 0 | 4 | length, itself included: 8 to 10,000 |
| 4 | 4 | version (3 << 16 or 3 << 16 + 2) or a request code (1234 << 16 + n) |
| 8 | - | name NUL value NUL ... NUL; a cancel request: process id, secret |

A TLS record starts with 0x16, which no length up to 10,000 does (its first byte is 0): that is how
direct TLS is told from a packet.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from helios_protocol import messages as m
from helios_protocol.decode import Reader
from helios_protocol.encode import (
    CANCEL_REQUEST_CODE,
    GSSENC_REQUEST_CODE,
    SSL_REQUEST_CODE,
)
from helios_protocol.fields import ProtocolViolation, WireError

MAJOR: Final = 3
NEWEST_MINOR: Final = 2
TLS_HANDSHAKE_BYTE: Final = 0x16

STARTUP_BYTES_MIN: Final = 8
STARTUP_BYTES_MAX: Final = 10_000

# 3.0 clients read exactly 4 bytes; 3.2 allows up to 256. 32 bytes are 256 bits (S-5).
SHORT_SECRET_BYTES: Final = 4
LONG_SECRET_BYTES: Final = 32
SECRET_BYTES_MAX: Final = 256


def decode_startup(body: bytes) -> m.StartupRequest:
    """A start-up packet without its length. Raises `WireError`, always fatal."""
    (code,) = struct.unpack_from("!I", body)
    if code == SSL_REQUEST_CODE:
        _check_bare(body)
        return m.SSLRequest()
    if code == GSSENC_REQUEST_CODE:
        _check_bare(body)
        return m.GSSENCRequest()
    if code == CANCEL_REQUEST_CODE:
        return _cancel(body)
    major, minor = code >> 16, code & 0xFFFF
    if major != MAJOR:
        raise WireError(
            "0A000",
            f"unsupported frontend protocol {major}.{minor}: "
            f"server supports {MAJOR}.0 to {MAJOR}.{NEWEST_MINOR}",
            fatal=True,
        )
    return m.StartupMessage(major, minor, MappingProxyType(_parameters(body)))


def _check_bare(body: bytes) -> None:
    if len(body) != 4:
        raise ProtocolViolation("invalid length of startup packet", fatal=True)


def _cancel(body: bytes) -> m.CancelRequest:
    secret = body[8:]
    if not SHORT_SECRET_BYTES <= len(secret) <= SECRET_BYTES_MAX:
        raise ProtocolViolation("invalid length of startup packet", fatal=True)
    (process_id,) = struct.unpack_from("!I", body, 4)
    return m.CancelRequest(process_id, secret)


def _parameters(body: bytes) -> dict[str, str]:
    """Names and values as UTF-8: `client_encoding` is only known once they are read."""
    try:
        reader = Reader(body)
        reader.position = 4
        parameters: dict[str, str] = {}
        while name := reader.text():
            parameters[name] = reader.text()
    except WireError as error:
        if error.sqlstate != "08P01":
            raise WireError(error.sqlstate, error.message, fatal=True) from None
        raise _bad_layout() from None
    if reader.position != len(body):
        raise _bad_layout()
    return parameters


def _bad_layout() -> ProtocolViolation:
    return ProtocolViolation(
        "invalid startup packet layout: expected terminator as last byte", fatal=True
    )


@dataclass(frozen=True, slots=True)
class Negotiation:
    """What a StartupMessage comes to.

    `answer` is sent before authentication when the client asked for a newer minor version or for
    protocol options (`_pq_.*`) that we do not have. `secret_bytes`: the cancel key's size.
    """

    minor: int
    secret_bytes: int
    parameters: Mapping[str, str]
    answer: m.NegotiateProtocolVersion | None


def negotiate(startup: m.StartupMessage) -> Negotiation:
    """Choose the minor version and set protocol options apart from the session's parameters."""
    minor = min(startup.minor, NEWEST_MINOR)
    unknown = tuple([name for name in startup.parameters if name.startswith("_pq_.")])
    kept = {name: value for name, value in startup.parameters.items() if name not in unknown}
    answer = None
    if unknown or startup.minor > NEWEST_MINOR:
        answer = m.NegotiateProtocolVersion(MAJOR << 16 | minor, unknown)
    secret_bytes = LONG_SECRET_BYTES if minor >= 2 else SHORT_SECRET_BYTES
    return Negotiation(minor, secret_bytes, MappingProxyType(kept), answer)


def split_options(options: str) -> tuple[tuple[str, str], ...]:
    r"""The `options` parameter as (name, value) pairs: `-c name=value` and `--name=value`.

    Blanks separate, a backslash keeps the next character. Anything else raises 42601, fatal, as
    PostgreSQL does for an invalid command-line argument.
    """
    pairs = []
    words = iter(_split_words(options))
    for word in words:
        if word == "-c":
            setting = next(words, "")
        elif word.startswith(("-c", "--")):
            setting = word[2:]
        else:
            setting = ""
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise WireError(
                "42601", f"invalid command-line argument for server process: {word}", fatal=True
            )
        pairs.append((name.replace("-", "_"), value))
    return tuple(pairs)


def _split_words(options: str) -> list[str]:
    words: list[str] = []
    current: list[str] = []
    started = escaped = False
    for character in options:
        if escaped:
            current.append(character)
            escaped = False
        elif character == "\\":
            escaped = started = True
        elif character.isspace():
            if started:
                words.append("".join(current))
            current, started = [], False
        else:
            current.append(character)
            started = True
    if started:
        words.append("".join(current))
    return words
