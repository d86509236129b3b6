"""The local certificate authority that the first start makes where no certificate is configured.

`sslmode=verify-full` works at once with `sslrootcert=DATA/tls/root.crt`. Keys are P-256 with
SHA-256 (S-8: tls-server-end-point needs a hash that RFC 5929 names).
"""

from __future__ import annotations

import datetime
import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from helios_storage.directory import write_file_synced

AUTHORITY_DAYS: Final = 3650
SERVER_DAYS: Final = 825


@dataclass(frozen=True)
class CertificateFiles:
    """Where the server's chain and key are, and the root that clients verify with (or None)."""

    certificate: Path
    private_key: Path
    root: Path | None


def ensure_local_certificate(directory: Path, hosts: tuple[str, ...]) -> CertificateFiles:
    """The files under `directory`/tls, made if they are not there. `hosts`: names and addresses.

    The server's certificate is made anew when it is absent or ends within 30 days; the authority
    stays, so clients' root file stays good.
    """
    folder = directory / "tls"
    folder.mkdir(mode=0o700, exist_ok=True)
    files = CertificateFiles(folder / "server.crt", folder / "server.key", folder / "root.crt")
    authority_key_path = folder / "root.key"
    assert files.root is not None
    if not authority_key_path.exists() or not files.root.exists():
        key, certificate = _make_authority()
        write_file_synced(authority_key_path, _key_pem(key))
        write_file_synced(files.root, certificate.public_bytes(serialization.Encoding.PEM))
    if _needs_server_certificate(files):
        authority_key = serialization.load_pem_private_key(authority_key_path.read_bytes(), None)
        assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
        authority = x509.load_pem_x509_certificate(files.root.read_bytes())
        key, certificate = _make_server(authority_key, authority, hosts)
        write_file_synced(files.private_key, _key_pem(key))
        write_file_synced(files.certificate, certificate.public_bytes(serialization.Encoding.PEM))
    return files


def local_hosts(listen_host: str) -> tuple[str, ...]:
    """The names that a local client may use for this server."""
    names = ["localhost", "127.0.0.1", "::1", socket.gethostname()]
    if listen_host and listen_host not in ("0.0.0.0", "::"):  # noqa: S104  compared, not bound
        names.append(listen_host)
    return tuple(dict.fromkeys(names))


def _needs_server_certificate(files: CertificateFiles) -> bool:
    if not files.certificate.exists() or not files.private_key.exists():
        return True
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=30)
    return certificate.not_valid_after_utc < soon


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _make_authority() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("heliosd local authority")
    certificate = (
        _builder(name, name, key.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def _make_server(
    authority_key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    hosts: tuple[str, ...],
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name(hosts[0]), authority.subject, key.public_key(), SERVER_DAYS)
        .add_extension(
            x509.SubjectAlternativeName([_alternative_name(host) for host in hosts]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    return key, certificate


def _alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
