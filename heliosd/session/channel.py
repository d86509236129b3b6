"""What a session sees of its connection: bytes out, back-pressure, where the client is."""

from __future__ import annotations

from typing import Protocol

from helios_storage.scheduler import Event
from heliosd.security.certificates import ClientCertificate


class Channel(Protocol):
    """Implemented by `server/connection.py`; tests have their own."""

    @property
    def client_address(self) -> tuple[str, int] | None:
        """(address, port); None on a unix socket."""
        ...

    @property
    def server_address(self) -> tuple[str, int] | None: ...
    @property
    def client_certificate(self) -> ClientCertificate | None:
        """What the client showed of itself by TLS."""
        ...

    @property
    def tls_cipher(self) -> str | None:
        """The suite; None in plain text."""
        ...

    def write(self, data: bytes) -> None:
        """Hand bytes to the socket, all at once."""
        ...

    def writable(self) -> Event | None:
        """None when more may be written; else an event set when the client has read enough."""
        ...

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def close(self) -> None:
        """Send what was written, then hang up."""
        ...
