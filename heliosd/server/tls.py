"""TLS 1.3 over `ssl.MemoryBIO`: the two suites, certificates that are fit, records in and out.

Our own layer, because asyncio's keeps 278 KB per idle connection and this one 19 KB, and because
one readable event then becomes one write.

Python 3.11 has no call that chooses TLS 1.3's suites, so the process runs under an OPENSSL_CONF
that holds `openssl_configuration()`. `build_context` refuses (`ConfigurationError`) when another
suite could still be negotiated: started in another way, the server does not start.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import ssl
import stat
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from heliosd.settings.sources import ConfigurationError

CIPHER_SUITES: Final = ("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
ALPN_PROTOCOL: Final = "postgresql"
RSA_BITS_MIN: Final = 3072
# One TLS record holds at most 16 KiB; reads ask for several at once.
READ_BYTES: Final = 256 * 1024
# A record, the longest thing a handshake sends before we have answered, and some slack.
HANDSHAKE_BYTES_MAX: Final = 64 * 1024


def openssl_configuration() -> str:
    """The OPENSSL_CONF under which the server runs: TLS 1.3's suites, strongest first."""
    return (
        "openssl_conf = heliosd\n"
        "[heliosd]\n"
        "ssl_conf = tls\n"
        "[tls]\n"
        "system_default = suites\n"
        "[suites]\n"
        f"Ciphersuites = {':'.join(CIPHER_SUITES)}\n"
    )


@dataclass(frozen=True, slots=True)
class TlsServer:
    """What each connection shares: the context, and the digest that SCRAM -PLUS binds to.

    `takes_certificates`: clients are asked for theirs, which the context checks (tls_clients.py).
    """

    context: ssl.SSLContext
    channel_binding: bytes
    takes_certificates: bool = False


def build_tls_server(certificate: Path, private_key: Path) -> TlsServer:
    """Check and load a certificate chain and its key. Raises `ConfigurationError`."""
    chain = _load_chain(certificate)
    leaf = chain[0]
    _check_certificate(leaf, certificate)
    _check_chain(chain, certificate)
    _check_private(private_key)
    _check_pair(leaf, private_key)
    context = build_context()
    try:
        context.load_cert_chain(certificate, private_key)
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(f"{certificate}, {private_key}: {error}") from None
    return TlsServer(context, channel_binding(leaf))


def build_context() -> ssl.SSLContext:
    """TLS 1.3 only, no tickets, no resumption; refuses other suites."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols([ALPN_PROTOCOL])
    offered = {
        str(cipher["name"]) for cipher in context.get_ciphers() if cipher["protocol"] == "TLSv1.3"
    }
    if not offered <= set(CIPHER_SUITES) or not offered:
        raise ConfigurationError(
            "TLS would also offer "
            + ", ".join(sorted(offered - set(CIPHER_SUITES)))
            + ": start the server by its `heliosd serve` command, which sets OPENSSL_CONF"
        )
    return context


def channel_binding(leaf: x509.Certificate) -> bytes:
    """tls-server-end-point (RFC 5929 4.1): the certificate's digest by its signature's hash."""
    algorithm = leaf.signature_hash_algorithm
    assert algorithm is not None, "checked when it was loaded"
    name = "sha256" if algorithm.name in ("md5", "sha1") else algorithm.name
    return hashlib.new(name, leaf.public_bytes(serialization.Encoding.DER)).digest()


def _load_chain(path: Path) -> list[x509.Certificate]:
    """The server's certificate, then those above it. At least one."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: no certificate can be read: {error}") from None


def _check_chain(chain: list[x509.Certificate], path: Path) -> None:
    """Each certificate is issued by the next one, and all are valid now."""
    now = datetime.datetime.now(datetime.UTC)
    for below, above in pairwise(chain):
        if not above.not_valid_before_utc <= now <= above.not_valid_after_utc:
            raise ConfigurationError(f"{path}: an issuer's certificate is not valid now")
        try:
            below.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature):
            raise ConfigurationError(
                f"{path}: the chain is not in order: a certificate is not issued by the next one"
            ) from None


def _check_certificate(leaf: x509.Certificate, path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    if leaf.not_valid_after_utc < now:
        raise ConfigurationError(f"{path}: expired on {leaf.not_valid_after_utc:%Y-%m-%d}")
    if leaf.not_valid_before_utc > now:
        raise ConfigurationError(f"{path}: not valid before {leaf.not_valid_before_utc:%Y-%m-%d}")
    key = leaf.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < RSA_BITS_MIN:
            raise ConfigurationError(f"{path}: RSA needs {RSA_BITS_MIN} bits, has {key.key_size}")
    elif not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise ConfigurationError(f"{path}: the key must be P-256 or RSA")
    algorithm = leaf.signature_hash_algorithm
    if not isinstance(algorithm, hashes.SHA256 | hashes.SHA384 | hashes.SHA512):
        raise ConfigurationError(f"{path}: must be signed with SHA-256, SHA-384 or SHA-512")


def _check_private(path: Path) -> None:
    """The key must be ours alone (0640 is accepted where root gave it to our group)."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    allowed = 0o640 if found.st_uid == 0 and os.geteuid() != 0 else 0o600
    if stat.S_IMODE(found.st_mode) & ~allowed:
        raise ConfigurationError(
            f"{path}: readable by others (mode {stat.S_IMODE(found.st_mode):04o}); chmod 0600"
        )


def _check_pair(leaf: x509.Certificate, path: Path) -> None:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(f"{path}: no private key can be read: {error}") from None
    spki = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*spki) != leaf.public_key().public_bytes(*spki):
        raise ConfigurationError(f"{path}: is not the key of the certificate")


class TlsFailed(Exception):
    """The peer broke TLS, or could not agree on it. The text is for our log only."""


# A fatal alert, no_application_protocol (RFC 7301), in a record of its own.
_NO_PROTOCOL_ALERT: Final = b"\x15\x03\x03\x00\x02\x02\x78"
_ALPN_EXTENSION: Final = 16


def offered_protocols(record: bytes) -> list[bytes]:
    """The ALPN names in a ClientHello that fills one whole TLS record; none where it is odd.

    | offset | record |
    |---|---|
    | 0 | type (22), version, length: 5 bytes |
    | 5 | handshake type (1), length: 4; version 2; random 32 |
    | 43 | session id, suites, compression: each behind its length (1, 2, 1 bytes) |
    | - | extensions: length 2, then type 2, length 2, data |
    """
    at = 43
    try:
        at += 1 + record[at]
        at += 2 + int.from_bytes(record[at : at + 2], "big")
        at += 1 + record[at]
        end = at + 2 + int.from_bytes(record[at : at + 2], "big")
        at += 2
        while at + 4 <= min(end, len(record)):
            kind = int.from_bytes(record[at : at + 2], "big")
            size = int.from_bytes(record[at + 2 : at + 4], "big")
            if kind == _ALPN_EXTENSION:
                return _names(record[at + 6 : at + 4 + size])
            at += 4 + size
    except IndexError:
        pass  # not a ClientHello: OpenSSL will say so
    return []


def _names(data: bytes) -> list[bytes]:
    names = []
    while data:
        names.append(data[1 : 1 + data[0]])
        data = data[1 + data[0] :]
    return names


class TlsLayer:
    """One connection's TLS: network bytes in, plain bytes out, and back. No socket.

    `direct`: TLS from the first byte, without an SSLRequest. Then the client must name our
    protocol, or another protocol's client could be led to talk to us (the ALPACA attack).
    """

    __slots__ = ("_hello", "_incoming", "_object", "_outgoing", "channel_binding", "established")

    def __init__(self, server: TlsServer, *, direct: bool = False) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = server.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.established = False
        # Of the certificate in use here: a reload does not change it.
        self.channel_binding = server.channel_binding
        # The first record of direct TLS, until it is whole.
        self._hello: bytes | None = b"" if direct else None

    @property
    def alpn(self) -> str | None:
        """The protocol that the client named, once established."""
        return self._object.selected_alpn_protocol()

    @property
    def client_certificate(self) -> bytes | None:
        """The client's checked certificate (DER), once established; None: it showed none."""
        return self._object.getpeercert(binary_form=True) if self.established else None

    @property
    def cipher(self) -> tuple[str, str, int] | None:
        """(suite, version, bits)."""
        return self._object.cipher()

    def handshake(self, data: bytes) -> bytes:
        """Take network bytes, give what to send; `established` says when it is done.

        Raises `TlsFailed`; `pending` then holds the alert for the peer.
        """
        if self._hello is not None:
            data = self._hello = self._hello + data
            if len(data) < 5 or len(data) < 5 + int.from_bytes(data[3:5], "big"):
                return b""
            if ALPN_PROTOCOL.encode() not in offered_protocols(data):
                self._outgoing.write(_NO_PROTOCOL_ALERT)
                raise TlsFailed("no ALPN protocol in direct TLS")
            self._hello = None
        self._incoming.write(data)
        if self._incoming.pending > HANDSHAKE_BYTES_MAX:
            raise TlsFailed("handshake too long")
        try:
            self._object.do_handshake()
            self.established = True
        except ssl.SSLWantReadError:
            pass  # more of the client's flight must arrive
        except ssl.SSLError as error:
            raise TlsFailed(error.reason or type(error).__name__) from None
        return self._outgoing.read()

    def pending(self) -> bytes:
        """What TLS itself wants to send: alerts, key updates."""
        return self._outgoing.read()

    def decrypt(self, data: bytes) -> tuple[bytes, bool]:
        """Network bytes to plain bytes, and whether the peer ended TLS. Raises `TlsFailed`."""
        if data:
            self._incoming.write(data)
        read = self._object.read
        parts: list[bytes] = []
        closed = False
        try:
            while True:
                part = read(READ_BYTES)
                if not part:
                    closed = True
                    break
                parts.append(part)
        except ssl.SSLWantReadError:
            pass  # all whole records are read
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            closed = True
        except ssl.SSLError as error:
            raise TlsFailed(error.reason or type(error).__name__) from None
        return (parts[0] if len(parts) == 1 else b"".join(parts)), closed

    def encrypt(self, data: bytes) -> bytes:
        """Plain bytes to network bytes."""
        self._object.write(data)
        return self._outgoing.read()

    def close(self) -> bytes:
        """close_notify, to be sent before the socket closes."""
        # It raises because we do not wait for the peer's.
        with contextlib.suppress(ssl.SSLError):
            self._object.unwrap()
        return self._outgoing.read()
