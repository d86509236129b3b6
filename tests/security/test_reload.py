"""New certificates without a restart: for new connections, dropping nobody."""

from __future__ import annotations

import signal
import socket
import ssl
import time
from pathlib import Path

from tests.server import Server


def served_certificate(server: Server) -> str:
    """What a direct TLS client is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["postgresql"])
    with (
        socket.create_connection(("127.0.0.1", server.port), 5) as raw,
        context.wrap_socket(raw) as wrapped,
    ):
        found = wrapped.getpeercert(binary_form=True)
    assert found is not None
    return ssl.DER_cert_to_PEM_cert(found)


def reload(server: Server) -> None:
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    time.sleep(0.3)


def test_reload(own_server: Server, tmp_path: Path) -> None:
    own_server.start()
    folder = own_server.data / "tls"
    before = served_certificate(own_server)
    with own_server.connect() as kept:
        (folder / "server.crt").unlink()  # a local authority makes another one
        reload(own_server)
        after = served_certificate(own_server)
        assert after != before
        assert kept.execute("select 1").fetchone() == (1,)
        with own_server.connect(channel_binding="require") as fresh:
            assert fresh.execute("select pg_reload_conf()").fetchone() == (True,)
        (folder / "server.key").chmod(0o644)
        reload(own_server)
        assert served_certificate(own_server) != before
        assert "readable by others" in own_server.log_path.read_text()
        assert kept.execute("select 1").fetchone() == (1,)
