"""What a client's certificate says of who it is. TLS has checked it already: the chain up to the
configured authority, dates, purpose and revocation."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The names in a certificate. `common_name` is "" where there is none, or more than one: who
    reads the first and who reads the last would not agree on the client."""

    common_name: str
    distinguished_name: str
    alternative_names: tuple[str, ...]
    serial: int
    issuer: str

    def names(self, clientname: str) -> tuple[str, ...]:
        """The names that count: CN, DN (RFC 2253's order) or SAN (mail, DNS, URI)."""
        if clientname == "DN":
            return (self.distinguished_name,)
        if clientname == "SAN":
            return self.alternative_names
        return (self.common_name,) if self.common_name else ()


def read_certificate(der: bytes) -> ClientCertificate | None:
    """The names; None when they cannot be read: then the client has shown nothing."""
    try:
        found = x509.load_der_x509_certificate(der)
        common = [
            str(name.value) for name in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        ]
        return ClientCertificate(
            common_name=common[0] if len(common) == 1 and "\0" not in common[0] else "",
            distinguished_name=found.subject.rfc4514_string(),
            alternative_names=_alternative_names(found),
            serial=found.serial_number,
            issuer=found.issuer.rfc4514_string(),
        )
    except ValueError:
        return None


def _alternative_names(found: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    kinds = (x509.RFC822Name, x509.DNSName, x509.UniformResourceIdentifier)
    names = (str(name.value) for name in extension.value if isinstance(name, kinds))
    return tuple(name for name in names if name and "\0" not in name)
