"""Client certificates: the authority that vouches for them, and its revocation list.

The list is looked at before each handshake: a new file holds from the next connection on. A list
that cannot be read, or has run out, lets no client certificate pass; logins that need none go on.
"""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509

from heliosd.server.tls import TlsServer
from heliosd.settings.sources import ConfigurationError

Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class ClientAuthority:
    """PEM files: whose client certificates are taken, and which of them are revoked."""

    certificates: Path
    revocations: Path | None = None


def accept_clients(server: TlsServer, authority: ClientAuthority) -> TlsServer:
    """The same server, asking clients for a certificate (they need not have one).

    Raises `ConfigurationError`. OpenSSL then checks chain, dates, purpose and revocation.
    """
    context = server.context
    try:
        context.load_verify_locations(authority.certificates)
        if not context.get_ca_certs():
            raise ConfigurationError(f"{authority.certificates}: holds no authority's certificate")
        if authority.revocations is not None:
            _check_revocations(authority.revocations)
            context.load_verify_locations(authority.revocations)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(f"{authority.certificates}: {error}") from None
    context.verify_mode = ssl.CERT_OPTIONAL
    return replace(server, takes_certificates=True)


def _check_revocations(path: Path) -> None:
    """Every list in the file is readable and not out of date."""
    now = datetime.datetime.now(datetime.UTC)
    lists = _pem_lists(path.read_bytes())
    if not lists:
        raise ConfigurationError(f"{path}: holds no revocation list")
    for data in lists:
        try:
            found = x509.load_pem_x509_crl(data)
        except ValueError as error:
            raise ConfigurationError(f"{path}: no revocation list can be read: {error}") from None
        until = found.next_update_utc
        if until is not None and until < now:
            raise ConfigurationError(f"{path}: ran out on {until:%Y-%m-%d}")


def _pem_lists(data: bytes) -> list[bytes]:
    begin, end = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"
    parts = data.split(begin)[1:]
    return [begin + part.partition(end)[0] + end + b"\n" for part in parts]


class TlsSource:
    """The TLS of connections from now on. `build` makes it anew, with or without client
    certificates; `refused` hears why the revocation list could not be used."""

    def __init__(
        self,
        build: Callable[[bool], TlsServer],
        revocations: Path | None,
        refused: Callable[[str], None],
    ) -> None:
        """Raises `ConfigurationError` when what is there now is not fit."""
        self._build = build
        self._revocations = revocations
        self._refused = refused
        self._stamp = self._stamp_now()
        self._server = build(True)

    def current(self) -> TlsServer:
        """For the handshake that begins now."""
        if self._revocations is not None:
            stamp = self._stamp_now()
            if stamp != self._stamp:
                self._stamp = stamp
                self._renew()
        return self._server

    def _renew(self) -> None:
        try:
            self._server = self._build(True)
        except ConfigurationError as error:
            self._refused(str(error))
            self._server = self._build(False)

    def _stamp_now(self) -> Stamp:
        path = self._revocations
        if path is None:
            return None
        try:
            found = path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
