"""The TLS layer by bytes alone, and what a certificate must be."""

from __future__ import annotations

import contextlib
import datetime
import os
import random
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from heliosd.ops.certificates import CertificateFiles, ensure_local_certificate
from heliosd.server import tls
from heliosd.settings.sources import ConfigurationError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return ensure_local_certificate(tmp_path_factory.mktemp("tls"), ("localhost", "127.0.0.1"))


@pytest.fixture
def server(files: CertificateFiles) -> tls.TlsServer:
    """As `build_tls_server` makes it, without its check of the suites: those come from
    OPENSSL_CONF, which this process does not run under."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.set_alpn_protocols([tls.ALPN_PROTOCOL])
    context.load_cert_chain(files.certificate, files.private_key)
    leaf = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    return tls.TlsServer(context, tls.channel_binding(leaf))


class Client:
    """The other end, over memory too."""

    def __init__(self, files: CertificateFiles, version: ssl.TLSVersion | None = None) -> None:
        context = ssl.create_default_context(cafile=str(files.root))
        if version is not None:
            context.maximum_version = version
        context.set_alpn_protocols(["postgresql"])
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def handshake(self, data: bytes = b"") -> bytes:
        self.incoming.write(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read()


def connect(server: tls.TlsServer, files: CertificateFiles) -> tuple[tls.TlsLayer, Client]:
    layer, client = tls.TlsLayer(server), Client(files)
    finished = client.handshake(layer.handshake(client.handshake()))
    layer.handshake(finished)
    assert layer.established
    return layer, client


def test_handshake_and_data(server: tls.TlsServer, files: CertificateFiles) -> None:
    layer, client = connect(server, files)
    assert layer.alpn == "postgresql"
    cipher = layer.cipher
    assert cipher is not None
    assert cipher[0] in tls.CIPHER_SUITES
    client.tls.write(b"x" * 100_000)
    assert layer.decrypt(client.outgoing.read()) == (b"x" * 100_000, False)
    client.incoming.write(layer.encrypt(b"y" * 70_000))
    received = b""
    while len(received) < 70_000:
        received += client.tls.read(100_000)
    assert received == b"y" * 70_000


def test_records_cut_anywhere(server: tls.TlsServer, files: CertificateFiles) -> None:
    layer, client = connect(server, files)
    client.tls.write(b"hello" * 10)
    raw = client.outgoing.read()
    plain = b""
    for index in range(len(raw)):
        part, closed = layer.decrypt(raw[index : index + 1])
        plain += part
        assert not closed
    assert plain == b"hello" * 10


def test_data_behind_the_finished_message(server: tls.TlsServer, files: CertificateFiles) -> None:
    layer, client = tls.TlsLayer(server), Client(files)
    finished = client.handshake(layer.handshake(client.handshake()))
    client.tls.write(b"early bird")
    layer.handshake(finished + client.outgoing.read())
    assert layer.established
    assert layer.decrypt(b"") == (b"early bird", False)


def test_close_notify_both_ways(server: tls.TlsServer, files: CertificateFiles) -> None:
    layer, client = connect(server, files)
    client.incoming.write(layer.close())
    assert client.tls.read(10) == b""
    layer, client = connect(server, files)
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()
    assert layer.decrypt(client.outgoing.read()) == (b"", True)


def test_tls_1_2_is_refused_with_an_alert(server: tls.TlsServer, files: CertificateFiles) -> None:
    layer, client = tls.TlsLayer(server), Client(files, ssl.TLSVersion.TLSv1_2)
    with pytest.raises(tls.TlsFailed):
        layer.handshake(client.handshake())
    alert = layer.pending()
    assert alert[0] == 21  # the record type of alerts


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_direct_tls_names_the_protocol(
    size: int, server: tls.TlsServer, files: CertificateFiles
) -> None:
    """However the first record is cut: with the name it goes on, without it ends by an alert."""
    for protocols in (["postgresql"], ["http/1.1", "postgresql"], ["http/1.1"], None):
        context = ssl.create_default_context(cafile=str(files.root))
        if protocols:
            context.set_alpn_protocols(protocols)
        client = Client(files)
        client.tls = context.wrap_bio(client.incoming, client.outgoing, server_hostname="localhost")
        layer = tls.TlsLayer(server, direct=True)
        hello = client.handshake()
        answer = b""
        try:
            for at in range(0, len(hello), size):
                answer += layer.handshake(hello[at : at + size])
        except tls.TlsFailed:
            assert "postgresql" not in (protocols or ())
            with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
                client.handshake(layer.pending())
        else:
            assert "postgresql" in (protocols or ())
            layer.handshake(client.handshake(answer))
            assert layer.established


def test_odd_hellos_name_nothing() -> None:
    rng = random.Random(1)
    for _ in range(2000):
        assert tls.offered_protocols(rng.randbytes(rng.randint(0, 300))) is not None


def test_garbage(server: tls.TlsServer) -> None:
    layer = tls.TlsLayer(server)
    with pytest.raises(tls.TlsFailed):
        layer.handshake(b"\x16\x03\x01" + b"\xff" * 200)
    layer = tls.TlsLayer(server)
    with pytest.raises(tls.TlsFailed):
        for _ in range(20):
            layer.handshake(b"\x16\x03\x01\x40\x00" + b"\1" * 16_384)


def test_altered_record(server: tls.TlsServer, files: CertificateFiles) -> None:
    layer, client = connect(server, files)
    client.tls.write(b"select 1")
    raw = bytearray(client.outgoing.read())
    raw[-1] ^= 1
    with pytest.raises(tls.TlsFailed):
        layer.decrypt(bytes(raw))


def test_the_suites_must_be_configured(files: CertificateFiles) -> None:
    with pytest.raises(ConfigurationError, match="TLS_AES_128_GCM_SHA256"):
        tls.build_tls_server(files.certificate, files.private_key)


def test_under_the_configuration_only_two_suites(files: CertificateFiles, tmp_path: Path) -> None:
    configuration = tmp_path / "openssl.cnf"
    configuration.write_text(tls.openssl_configuration())
    program = (
        "import sys; from pathlib import Path; from heliosd.server import tls;"
        "server = tls.build_tls_server(Path(sys.argv[1]), Path(sys.argv[2]));"
        "print([c['name'] for c in server.context.get_ciphers() if c['protocol'] == 'TLSv1.3'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(files.certificate), str(files.private_key)],
        env={**os.environ, "OPENSSL_CONF": str(configuration), "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(list(tls.CIPHER_SUITES))


# ---------------------------------------------------------------- certificates

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def write_pair(folder: Path, key: Key, *, days: int = 10, start: int = -1) -> tuple[Path, Path]:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name)
        .public_key(key.public_key()).serial_number(1)
        .not_valid_before(now + datetime.timedelta(days=start))
        .not_valid_after(now + datetime.timedelta(days=days))
        .sign(key, algorithm)
    )  # fmt: skip
    paths = folder / "c.pem", folder / "k.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    paths[1].chmod(0o600)
    return paths


@pytest.mark.parametrize(
    ("key", "days", "start", "says"),
    [
        (ec.generate_private_key(ec.SECP256R1()), -1, -10, "expired"),
        (ec.generate_private_key(ec.SECP256R1()), 10, 5, "not valid before"),
        (ec.generate_private_key(ec.SECP384R1()), 10, -1, "P-256 or RSA"),
        (ed25519.Ed25519PrivateKey.generate(), 10, -1, "P-256 or RSA"),
        (rsa.generate_private_key(65537, 2048), 10, -1, "3072 bits"),
    ],
)
def test_unfit_certificates(key: Key, days: int, start: int, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=says):
        tls.build_tls_server(*write_pair(tmp_path, key, days=days, start=start))


def test_the_chain_must_be_in_order(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    own = write_pair(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    other = write_pair(tmp_path / "a", ec.generate_private_key(ec.SECP256R1()))
    own[0].write_bytes(own[0].read_bytes() + other[0].read_bytes())
    with pytest.raises(ConfigurationError, match="not in order"):
        tls.build_tls_server(*own)


def test_readable_keys_and_wrong_pairs(files: CertificateFiles, tmp_path: Path) -> None:
    certificate, private = write_pair(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    private.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 0600"):
        tls.build_tls_server(certificate, private)
    private.chmod(0o600)
    with pytest.raises(ConfigurationError, match="not the key"):
        tls.build_tls_server(files.certificate, private)
    with pytest.raises(ConfigurationError, match="No such file"):
        tls.build_tls_server(certificate, tmp_path / "absent")
