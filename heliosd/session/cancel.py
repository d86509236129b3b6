"""The sessions that are there: process ids, cancel keys, cancelling and ending from outside."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterator
from itertools import count
from time import monotonic
from typing import Final, Protocol

# Wrong or right, an address gets this many cancel requests a second (S-5).
CANCELS_PER_SECOND: Final = 10
_ADDRESSES_MAX: Final = 1_000


class Cancellable(Protocol):
    """What a session offers to others."""

    @property
    def process_id(self) -> int: ...
    @property
    def cancel_secret(self) -> bytes: ...
    @property
    def session_role(self) -> str: ...
    @property
    def database(self) -> str: ...
    def cancel(self) -> None:
        """57014 to the statement that runs, if one does."""
        ...

    def terminate(self) -> None:
        """57P01, then the connection ends."""
        ...

    def terminate_when_idle(self) -> None:
        """The same, once no statement runs and no transaction block is open."""
        ...


class Backends:
    """Sessions by process id."""

    def __init__(self) -> None:
        self._sessions: dict[int, Cancellable] = {}
        self._process_ids = count(1)
        self._tries: dict[str, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Cancellable]:
        return iter(list(self._sessions.values()))

    def new_process_id(self) -> int:
        """A number no living session has (31 bits, as clients read it)."""
        while True:
            process_id = next(self._process_ids) & 0x7FFF_FFFF
            if process_id and process_id not in self._sessions:
                return process_id

    @staticmethod
    def new_secret(size_bytes: int) -> bytes:
        """A cancel key."""
        return secrets.token_bytes(size_bytes)

    def add(self, session: Cancellable) -> None:
        """The session is logged in."""
        self._sessions[session.process_id] = session

    def remove(self, session: Cancellable) -> None:
        """The session ended."""
        self._sessions.pop(session.process_id, None)

    def find(self, process_id: int) -> Cancellable | None:
        """For pg_cancel_backend and pg_terminate_backend, which check privileges themselves."""
        return self._sessions.get(process_id)

    def cancel_by_key(self, process_id: int, secret: bytes, address: str) -> bool:
        """A CancelRequest: True when it was right. Same time whatever is wrong."""
        if not self._may_try(address):
            return False
        session = self._sessions.get(process_id)
        expected = session.cancel_secret if session is not None else bytes(len(secret))
        right = hmac.compare_digest(expected, secret) and session is not None
        if right and session is not None:
            session.cancel()
        return right

    def _may_try(self, address: str) -> bool:
        second = int(monotonic())
        at, tries = self._tries.get(address, (second, 0))
        if at != second:
            tries = 0
        if len(self._tries) >= _ADDRESSES_MAX and address not in self._tries:
            self._tries.clear()
        self._tries[address] = (second, tries + 1)
        return tries < CANCELS_PER_SECOND
