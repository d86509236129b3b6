"""A certificate authority for tests: clients' certificates, good and bad, and revocation lists."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """A client's files, as libpq wants them."""

    certificate: Path
    key: Path
    serial: int

    def options(self) -> dict[str, str]:
        return {"sslcert": str(self.certificate), "sslkey": str(self.key)}


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Authority:
    """Issues into a folder."""

    def __init__(self, folder: Path, name: str = "clients") -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.path = folder / f"{name}.crt"
        own = (
            x509.CertificateBuilder().subject_name(self.name).issuer_name(self.name)
            .public_key(self.key.public_key()).serial_number(1)
            .not_valid_before(now() - DAY).not_valid_after(now() + 30 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self.key, hashes.SHA256())
        )  # fmt: skip
        self.path.write_bytes(own.public_bytes(serialization.Encoding.PEM))
        self._serial = 100

    def issue(
        self, *names: str, mails: tuple[str, ...] = (), days: int = 10, start: int = -1,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    ) -> Identity:  # fmt: skip
        """A certificate with these common names."""
        self._serial += 1
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self.name)
            .public_key(key.public_key()).serial_number(self._serial)
            .not_valid_before(now() + start * DAY).not_valid_after(now() + days * DAY)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )  # fmt: skip
        if mails:
            alternative = x509.SubjectAlternativeName([x509.RFC822Name(mail) for mail in mails])
            builder = builder.add_extension(alternative, critical=False)
        stem = self.folder / f"{self.path.stem}-{self._serial}"
        certificate, private = stem.with_suffix(".crt"), stem.with_suffix(".key")
        certificate.write_bytes(
            builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        private.chmod(0o600)
        return Identity(certificate, private, self._serial)

    def revoke(self, path: Path, *identities: Identity, days: float = 5) -> None:
        """Write a revocation list with these on it, in one step."""
        builder = (
            x509.CertificateRevocationListBuilder().issuer_name(self.name)
            .last_update(now() - 2 * DAY).next_update(now() + days * DAY)
        )  # fmt: skip
        for identity in identities:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(identity.serial)
                .revocation_date(now() - DAY).build()
            )  # fmt: skip
        data = builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(data)
        fresh.replace(path)
