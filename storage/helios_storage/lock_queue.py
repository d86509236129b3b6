"""Locks' modes and queues: who conflicts with whom, who holds, who waits in which order."""

from __future__ import annotations

import enum
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, Final, NamedTuple, TypeAlias

from helios_storage.scheduler import Event
from helios_storage.spec import Key


class LockStrength(enum.IntEnum):
    """SELECT ... FOR's four strengths; each conflicts with more than the one before."""

    KEY_SHARE = 0
    SHARE = 1
    NO_KEY_UPDATE = 2
    UPDATE = 3


class LockPolicy(enum.Enum):
    """What to do when a lock is taken."""

    WAIT = "wait"
    NOWAIT = "nowait"
    SKIP = "skip locked"


class TableLockMode(enum.IntEnum):
    """PostgreSQL's eight modes, by its numbers. Advisory locks are SHARE and EXCLUSIVE."""

    ACCESS_SHARE = 1
    ROW_SHARE = 2
    ROW_EXCLUSIVE = 3
    SHARE_UPDATE_EXCLUSIVE = 4
    SHARE = 5
    SHARE_ROW_EXCLUSIVE = 6
    EXCLUSIVE = 7
    ACCESS_EXCLUSIVE = 8


def _masks(table: dict[int, tuple[int, ...]]) -> tuple[int, ...]:
    size = max(table) + 1
    return tuple(sum(1 << other for other in table.get(mode, ())) for mode in range(size))


ROW_CONFLICTS: Final = _masks({0: (3,), 1: (2, 3), 2: (1, 2, 3), 3: (0, 1, 2, 3)})
TABLE_CONFLICTS: Final = _masks(
    {
        1: (8,),
        2: (7, 8),
        3: (5, 6, 7, 8),
        4: (4, 5, 6, 7, 8),
        5: (3, 4, 6, 7, 8),
        6: (3, 4, 5, 6, 7, 8),
        7: (2, 3, 4, 5, 6, 7, 8),
        8: (1, 2, 3, 4, 5, 6, 7, 8),
    }
)

ObjectId: TypeAlias = Hashable
"""What is locked as a whole: a table's oid, ("advisory", database, key), ..."""


class LockInfo(NamedTuple):
    """A line of pg_locks. `key` None: an object; `waited_since`: monotonic seconds, if waiting."""

    object_id: ObjectId
    key: Key | None
    mode: int
    pid: int
    granted: bool
    waited_since: float


class LockOwner:
    """Who holds locks: a session. Its transaction's locks go at the end, its own when it ends.

    `pid` names it in deadlock reports and pg_locks.
    """

    __slots__ = (
        "_session",
        "blocked_on",
        "holds",
        "object_log",
        "pid",
        "row_log",
        "waiting",
        "weak",
    )

    def __init__(self, pid: int = 0) -> None:
        self.pid = pid
        self.holds = tuple((self, strength) for strength in range(4))
        self.row_log: list[tuple[dict[Key, Any], Key]] = []
        self.weak: dict[ObjectId, int] = {}
        self.object_log: list[tuple[ObjectId, int]] = []
        self.waiting: Waiter | None = None
        self.blocked_on: tuple[int, Key, int] | None = None
        """The row (tree, key, strength) that a plain call would have had to wait for."""
        self._session: dict[ObjectId, dict[int, int]] = {}

    def __repr__(self) -> str:
        return f"LockOwner(pid={self.pid})"

    def session_mask(self, object_id: ObjectId) -> int:
        """Modes that the session holds beyond its transaction."""
        return sum(1 << mode for mode in self._session.get(object_id, ()))

    def session_locks(self) -> dict[ObjectId, dict[int, int]]:
        """object -> mode -> how often the session took it."""
        return self._session


class Waiter:
    """One owner's place in a queue."""

    __slots__ = ("event", "mode", "owner", "queue", "since")

    def __init__(self, owner: LockOwner, mode: int, queue: LockQueue) -> None:
        self.owner = owner
        self.mode = mode
        self.queue = queue
        self.event = Event()
        self.since = time.monotonic()


class LockQueue:
    """A contended lock: who holds which modes (bit per mode), who waits, in order."""

    __slots__ = ("conflicts", "holders", "label", "on_grant", "waiters")

    def __init__(
        self,
        conflicts: tuple[int, ...],
        label: str,
        on_grant: Callable[[LockOwner, int], None],
    ) -> None:
        self.conflicts = conflicts
        self.label = label
        self.on_grant = on_grant
        self.holders: dict[LockOwner, int] = {}
        self.waiters: deque[Waiter] = deque()

    def blockers(self, owner: LockOwner, mode: int) -> list[LockOwner]:
        """Other owners whose held modes conflict with `mode`."""
        mask = self.conflicts[mode]
        return [other for other, held in self.holders.items() if held & mask and other is not owner]

    def must_wait(self, owner: LockOwner, mode: int) -> bool:
        """Whether `owner` cannot have `mode` now: held against it, or somebody waits before it."""
        if self.blockers(owner, mode):
            return True
        if owner in self.holders:
            return False
        conflicts = self.conflicts
        return any(
            conflicts[waiter.mode] >> mode & 1 or conflicts[mode] >> waiter.mode & 1
            for waiter in self.waiters
        )

    def grant(self, owner: LockOwner, mode: int) -> None:
        """`owner` holds `mode` from now on."""
        self.holders[owner] = self.holders.get(owner, 0) | 1 << mode
        self.on_grant(owner, mode)

    def wake(self) -> None:
        """Grant what the queue's head now allows, in order, up to the first that must wait on."""
        while self.waiters:
            waiter = self.waiters[0]
            if self.blockers(waiter.owner, waiter.mode):
                return
            self.waiters.popleft()
            waiter.owner.waiting = None
            self.grant(waiter.owner, waiter.mode)
            waiter.event.set()
