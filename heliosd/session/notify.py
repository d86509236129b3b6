"""LISTEN and NOTIFY: what a session asks for takes effect at its commit, in commit order.

A notification reaches a listener between its transactions, never inside one; the listener may see
it only when the sender's commit is durable, so it carries the commit's LSN.
"""

from __future__ import annotations

from typing import Protocol

from helios_storage.spec import Lsn
from heliosd.errors import INVALID_PARAMETER_VALUE, SqlError

CHANNEL_BYTES_MAX = 63
PAYLOAD_BYTES_MAX = 7_999

Channel = tuple[int, str]
"""(database oid, name)."""


class Listener(Protocol):
    """A session that listens."""

    def notification_arrived(self, pid: int, channel: str, payload: str, lsn: Lsn) -> None: ...


class NotifyBus:
    """Who listens to which channel. Loop's thread only."""

    def __init__(self) -> None:
        # dicts keep the order of LISTEN, so delivery is the same in every run
        self._listeners: dict[Channel, dict[Listener, None]] = {}

    def listen(self, channel: Channel, listener: Listener) -> None:
        """Add; twice is once."""
        self._listeners.setdefault(channel, {})[listener] = None

    def unlisten(self, channel: Channel, listener: Listener) -> None:
        """Remove, if it listens."""
        listeners = self._listeners.get(channel)
        if listeners is not None:
            listeners.pop(listener, None)
            if not listeners:
                del self._listeners[channel]

    def publish(self, channel: Channel, pid: int, payload: str, lsn: Lsn) -> None:
        """Tell everybody who listens."""
        for listener in list(self._listeners.get(channel, ())):
            listener.notification_arrived(pid, channel[1], payload, lsn)


class _Pending:
    """What the open transaction has asked for."""

    __slots__ = ("actions", "notices")

    def __init__(self) -> None:
        # (listen?, channel); channel None: UNLISTEN *
        self.actions: list[tuple[bool, str | None]] = []
        # (channel, payload), each once, in order
        self.notices: dict[tuple[str, str], None] = {}


class Notifications:
    """One session's side: implements `execute.context.NotifyServices`."""

    __slots__ = ("_bus", "_database", "_listener", "_pending", "channels")

    def __init__(self, bus: NotifyBus, database: int, listener: Listener) -> None:
        self._bus = bus
        self._database = database
        self._listener = listener
        self._pending: _Pending | None = None
        self.channels: dict[str, None] = {}

    def listen(self, channel: str) -> None:
        """LISTEN, at commit."""
        self._open().actions.append((True, _checked(channel)))

    def unlisten(self, channel: str) -> None:
        """UNLISTEN name, at commit."""
        self._open().actions.append((False, channel))

    def unlisten_all(self) -> None:
        """UNLISTEN *, at commit."""
        self._open().actions.append((False, None))

    def notify(self, channel: str, payload: str) -> None:
        """NOTIFY, at commit. 22023 for a bad channel or a payload of 8,000 bytes or more."""
        if len(payload.encode()) > PAYLOAD_BYTES_MAX:
            raise SqlError(INVALID_PARAMETER_VALUE, "payload string too long")
        self._open().notices[(_checked(channel), payload)] = None

    def _open(self) -> _Pending:
        if self._pending is None:
            self._pending = _Pending()
        return self._pending

    @property
    def has_pending(self) -> bool:
        """Whether the transaction must commit through `publish`."""
        return self._pending is not None

    def mark(self) -> tuple[int, int]:
        """Where a savepoint starts."""
        pending = self._pending
        return (0, 0) if pending is None else (len(pending.actions), len(pending.notices))

    def rollback_to(self, mark: tuple[int, int]) -> None:
        """Undo what came after `mark`."""
        pending = self._pending
        if pending is None:
            return
        del pending.actions[mark[0] :]
        while len(pending.notices) > mark[1]:
            pending.notices.popitem()

    def abandon(self) -> None:
        """The transaction was rolled back."""
        self._pending = None

    def publish(self, pid: int, lsn: Lsn) -> None:
        """The transaction is committed at `lsn`."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        for listen, channel in pending.actions:
            if channel is None:
                self.close()
            elif listen:
                self.channels[channel] = None
                self._bus.listen((self._database, channel), self._listener)
            else:
                self.channels.pop(channel, None)
                self._bus.unlisten((self._database, channel), self._listener)
        for channel, payload in pending.notices:
            self._bus.publish((self._database, channel), pid, payload, lsn)

    def close(self) -> None:
        """Listen to nothing any more."""
        for channel in self.channels:
            self._bus.unlisten((self._database, channel), self._listener)
        self.channels.clear()


def _checked(channel: str) -> str:
    if not channel:
        raise SqlError(INVALID_PARAMETER_VALUE, "channel name cannot be empty")
    if len(channel.encode()) > CHANNEL_BYTES_MAX:
        raise SqlError(INVALID_PARAMETER_VALUE, "channel name too long")
    return channel
