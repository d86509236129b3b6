"""Bytes on their way to the client, held back until what they tell of is durable.

The rule (ARCHITECTURE.md 3): no byte leaves before `durable_lsn >= seen`, where `seen` is the
highest LSN that this session may have looked at. Most output waits for nothing; a commit's waits
for the sync that is under way, while the session already reads the client's next message.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from helios_storage.spec import Lsn
from heliosd.session.channel import Channel


class Durability(Protocol):
    """What of storage is needed here."""

    @property
    def durable_lsn(self) -> Lsn: ...
    def when_durable(self, lsn: Lsn, callback: Callable[[], None]) -> None: ...


class Output:
    """One session's output. `parts` is appended to directly; `flush` sends it in one write."""

    __slots__ = (
        "_channel",
        "_closing",
        "_held",
        "_storage",
        "held_bytes",
        "parts",
        "seen",
        "size_bytes",
    )

    def __init__(self, channel: Channel, storage: Durability) -> None:
        self._channel = channel
        self._storage = storage
        self.parts: list[bytes] = []
        # Of `parts`, counted by those who stream only.
        self.size_bytes = 0
        self.seen = Lsn(0)
        self._held: deque[tuple[Lsn, bytes]] | None = None
        self.held_bytes = 0
        self._closing = False

    def send(self, data: bytes) -> None:
        """Add `data` and flush."""
        if self.parts or self._held is not None or self._storage.durable_lsn < self.seen:
            self.parts.append(data)
            self.flush()
        else:
            self._channel.write(data)

    def flush(self) -> None:
        """Send what is there, now or when it may be."""
        parts = self.parts
        if not parts:
            return
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.size_bytes = 0
        if self._held is None and self._storage.durable_lsn >= self.seen:
            self._channel.write(data)
        else:
            self._hold(data)

    def _hold(self, data: bytes) -> None:
        self.held_bytes += len(data)
        if self._held is None:
            self._held = deque()
            self._held.append((self.seen, data))
            self._storage.when_durable(self.seen, self._release)
        else:
            self._held.append((self.seen, data))

    def _release(self) -> None:
        held = self._held
        if held is None:
            return
        durable = self._storage.durable_lsn
        ready = []
        while held and held[0][0] <= durable:
            ready.append(held.popleft()[1])
        if ready:
            data = b"".join(ready)
            self.held_bytes -= len(data)
            self._channel.write(data)
        if held:
            self._storage.when_durable(held[0][0], self._release)
            return
        self._held = None
        if self._closing:
            self._channel.close()

    def close(self) -> None:
        """Hang up when everything has been sent."""
        self.flush()
        self._closing = True
        if self._held is None:
            self._channel.close()

    def drop(self) -> None:
        """The client is gone: nothing is sent any more."""
        self.parts.clear()
        if self._held is not None:
            self._held.clear()
        self.held_bytes = 0
