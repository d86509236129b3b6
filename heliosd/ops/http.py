"""`/metrics`, `/healthz` and `/readyz` over HTTP/1.1 (parsed by h11).

A request is small and without a body; anything else is refused. Each address draws from a token
bucket, so a scraper gone wild does not take the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import h11

from heliosd.observe.metrics import Metrics
from heliosd.session.buckets import Buckets

Answer = tuple[int, str, bytes]
_REQUEST_BYTES_MAX: Final = 16384
_IDLE_S: Final = 15.0
_TEXT: Final = "text/plain; charset=utf-8"


class HttpServer:
    """The HTTP side of one server; `readiness` answers None or why it is not ready."""

    def __init__(
        self, metrics: Metrics, readiness: Callable[[], str | None], buckets: Buckets
    ) -> None:
        self._metrics = metrics
        self._readiness = readiness
        self._buckets = buckets
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port (0 asks for a free one)."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=65536)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Close the listener."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def answer(self, method: str, target: str) -> Answer:
        """(status, content type, body) for one request."""
        if method not in ("GET", "HEAD"):
            return 405, _TEXT, b"method not allowed\n"
        path = target.partition("?")[0]
        if path == "/metrics":
            return 200, "text/plain; version=0.0.4; charset=utf-8", self._metrics.exposition()
        if path == "/healthz":
            return 200, _TEXT, b"alive\n"
        if path == "/readyz":
            reason = self._readiness()
            return (
                (200, _TEXT, b"ready\n") if reason is None else (503, _TEXT, f"{reason}\n".encode())
            )
        return 404, _TEXT, b"not found\n"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) else ""
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_REQUEST_BYTES_MAX)
        try:
            while await self._one_request(connection, address, reader, writer):
                connection.start_next_cycle()
        except (TimeoutError, h11.ProtocolError, ConnectionError):
            pass  # the peer broke HTTP or left: the connection ends, nothing else does
        finally:
            writer.close()

    async def _one_request(
        self,
        connection: h11.Connection,
        address: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Answer one request; whether the connection stays open."""
        request: h11.Request | None = None
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await asyncio.wait_for(reader.read(4096), _IDLE_S))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.EndOfMessage):
                break
            elif isinstance(event, h11.Data):
                return False
            else:
                return False
        assert request is not None
        wait = self._buckets.take(self._buckets.bucket(address))
        method = request.method.decode("ascii")
        headers = []
        if wait:
            self._metrics.rate_limited.add("http")
            status, kind, body = 429, _TEXT, b"too many requests\n"
            headers.append(("Retry-After", str(max(1, round(wait)))))
        else:
            status, kind, body = self.answer(method, request.target.decode("latin-1"))
        headers += [("Content-Type", kind), ("Content-Length", str(len(body)))]
        parts = [connection.send(h11.Response(status_code=status, headers=headers))]
        if method != "HEAD":
            parts.append(connection.send(h11.Data(data=body)))
        parts.append(connection.send(h11.EndOfMessage()))
        writer.write(b"".join(part for part in parts if part))
        await writer.drain()
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE
