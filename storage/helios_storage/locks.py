"""The lock manager: rows, objects (tables) and advisory locks, one wait queue, one waits-for graph.

A row lock that nobody contends is one dict entry, key -> (owner, strength). Only when a second
owner comes does it become a `LockQueue`. Weak table locks (ACCESS SHARE to ROW EXCLUSIVE, which
never conflict with each other) rest with their owner until somebody wants a strong one on that
object, which moves them into a queue. Queues are first come, first served; who already holds the
lock and wants more goes to the front. A wait that would close a circle raises `DeadlockDetected`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from helios_storage.errors import DeadlockDetected, LockNotAvailable
from helios_storage.lock_queue import (
    ROW_CONFLICTS,
    TABLE_CONFLICTS,
    LockInfo,
    LockOwner,
    LockPolicy,
    LockQueue,
    LockStrength,
    ObjectId,
    TableLockMode,
    Waiter,
)
from helios_storage.scheduler import Blocked, InlineScheduler, Scheduler
from helios_storage.spec import Key

__all__ = [
    "LockInfo",
    "LockManager",
    "LockOwner",
    "LockPolicy",
    "LockStrength",
    "ObjectId",
    "TableLockMode",
]

_WEAK_MODE_MAX: Final = int(TableLockMode.ROW_EXCLUSIVE)
_SAVEPOINT: Final[dict[Key, Any]] = {}
"""Stands in a log of row locks where a savepoint was opened."""


class LockManager:
    """All locks of one storage."""

    __slots__ = ("_has_tasks", "_mass", "_objects", "_owners", "_rows", "_scheduler", "waits")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._has_tasks = not isinstance(scheduler, InlineScheduler)
        self._rows: dict[int, dict[Key, Any]] = {}
        self._objects: dict[ObjectId, LockQueue] = {}
        self._owners: dict[LockOwner, None] = {}
        self._mass: dict[int, dict[LockOwner, Callable[[Key], int]]] = {}
        self.waits = 0

    # --- rows

    def lock_row(
        self,
        owner: LockOwner,
        tree_id: int,
        key: Key,
        strength: int,
        policy: LockPolicy = LockPolicy.WAIT,
        timeout_ms: int = 0,
    ) -> bool:
        """Lock (tree, key). True: it was free; False: it took a wait, look at the row again.

        Raises `LockNotAvailable` (NOWAIT, SKIP or timeout), `DeadlockDetected`, or whatever the
        scheduler throws; then nothing is held that was not held before.
        """
        table = self._rows.get(tree_id)
        if table is None:
            table = self._rows[tree_id] = {}
        if self._mass and tree_id in self._mass:
            self._materialize(tree_id, table, key, owner)
        hold = table.get(key)
        if hold is None:
            table[key] = owner.holds[strength]
            owner.row_log.append((table, key))
            return True
        if type(hold) is tuple:
            if hold[0] is owner:
                if hold[1] < strength:
                    table[key] = owner.holds[strength]
                return True
            hold = self._queue_of_row(table, tree_id, key, hold)
        if hold.holders.get(owner, 0) >> strength:
            return True
        if not hold.must_wait(owner, strength):
            hold.grant(owner, strength)
            return True
        if policy is not LockPolicy.WAIT:
            raise LockNotAvailable("could not obtain lock on row")
        owner.blocked_on = (tree_id, key, strength)
        self._wait(hold, owner, strength, timeout_ms)
        owner.blocked_on = None
        return False

    def _queue_of_row(
        self, table: dict[Key, Any], tree_id: int, key: Key, hold: tuple[LockOwner, int]
    ) -> LockQueue:
        def on_grant(owner: LockOwner, mode: int) -> None:
            owner.row_log.append((table, key))

        queue = LockQueue(ROW_CONFLICTS, f"row of tree {tree_id}", on_grant)
        queue.holders[hold[0]] = 1 << hold[1]
        table[key] = queue
        return queue

    def _materialize(self, tree_id: int, table: dict[Key, Any], key: Key, owner: LockOwner) -> None:
        """Give a row that another owner's large write set covers an entry of its own."""
        if key in table:
            return
        for holder, strength_of in self._mass[tree_id].items():
            if holder is not owner:
                strength = strength_of(key)
                if strength >= 0:
                    table[key] = holder.holds[strength]
                    holder.row_log.append((table, key))
                    return

    def hold_many(
        self, owner: LockOwner, tree_id: int, strength_of: Callable[[Key], int] | None
    ) -> None:
        """From now on `strength_of` (key -> strength or -1) says what else `owner` has locked.

        None ends that. The large write set itself is the lock set: no entry per row.
        """
        if strength_of is not None:
            self._mass.setdefault(tree_id, {})[owner] = strength_of
        elif tree_id in self._mass:
            self._mass[tree_id].pop(owner, None)
            if not self._mass[tree_id]:
                del self._mass[tree_id]

    def save(self, owner: LockOwner) -> None:
        """Mark a savepoint in the owner's log of row locks."""
        owner.row_log.append((_SAVEPOINT, len(owner.object_log)))

    def take_back(self, owner: LockOwner, depth: int) -> None:
        """Release what was locked after savepoint `depth` (from 0), which stays open."""
        marks = [at for at, (table, _) in enumerate(owner.row_log) if table is _SAVEPOINT]
        keep = marks[depth] + 1
        objects: Any = owner.row_log[keep - 1][1]
        self.release_rows(owner, keep)
        self.release_objects_after(owner, objects)

    def forget_savepoints(self, owner: LockOwner, depth: int) -> None:
        """Take the marks of savepoint `depth` and those inside it away; the locks stay."""
        seen = 0
        kept = []
        for entry in owner.row_log:
            if entry[0] is _SAVEPOINT:
                seen += 1
                if seen > depth:
                    continue
            kept.append(entry)
        owner.row_log[:] = kept

    def forget_rows(self, owner: LockOwner, tree_id: int, keys: Any) -> None:
        """Drop uncontended entries that `hold_many` now covers: they cost memory."""
        table = self._rows.get(tree_id)
        if not table:
            return
        kept: list[tuple[dict[Key, Any], Key]] = []
        for logged, key in owner.row_log:
            hold = table.get(key) if logged is table else None
            if type(hold) is tuple and hold[0] is owner and key in keys:
                del table[key]
            else:
                kept.append((logged, key))
        owner.row_log[:] = kept

    def locked_by_others(self, owner: LockOwner, tree_id: int, keys: Sequence[Key]) -> list[Key]:
        """Those of `keys` that somebody else has locked: for bulk inserts, which take no locks."""
        found = []
        table = self._rows.get(tree_id)
        if table:
            wanted = keys if len(keys) < len(table) else set(keys).intersection(table)
            for key in wanted:
                hold = table.get(key)
                if hold is not None and not (type(hold) is tuple and hold[0] is owner):
                    found.append(key)
        for holder, strength_of in self._mass.get(tree_id, {}).items():
            if holder is not owner:
                found += [key for key in keys if strength_of(key) >= 0]
        return found

    def release_rows(self, owner: LockOwner, keep: int = 0) -> None:
        """Release the row locks that `owner` took after its first `keep`."""
        log = owner.row_log
        if not keep:
            owner.row_log = []
            for table, key in log:
                hold = table.get(key)
                if type(hold) is tuple:
                    if hold[0] is owner:
                        del table[key]
                elif hold is not None:
                    self._release_queued(table, key, hold, owner)
            return
        for table, key in log[keep:]:
            hold = table.get(key)
            if type(hold) is tuple:
                if hold[0] is owner:
                    del table[key]
            elif hold is not None and (table, key) not in log[:keep]:
                self._release_queued(table, key, hold, owner)
        del log[keep:]

    @staticmethod
    def _release_queued(
        table: dict[Key, Any], key: Key, queue: LockQueue, owner: LockOwner
    ) -> None:
        if queue.holders.pop(owner, None) is None:
            return
        queue.wake()
        if not queue.waiters and len(queue.holders) < 2:
            if queue.holders:
                ((last, mask),) = queue.holders.items()
                table[key] = last.holds[mask.bit_length() - 1]
            else:
                del table[key]

    # --- objects

    def lock_object(
        self,
        owner: LockOwner,
        object_id: ObjectId,
        mode: int,
        policy: LockPolicy = LockPolicy.WAIT,
        timeout_ms: int = 0,
        *,
        for_session: bool = False,
    ) -> bool:
        """Lock an object in one of the eight modes, for the transaction or (advisory) the session.

        True: it was free; False: it took a wait. Raises as `lock_row` does.
        """
        held = owner.weak.get(object_id, 0)
        if held >> mode & 1 and not for_session:
            return True
        queue = self._objects.get(object_id)
        if queue is None and mode <= _WEAK_MODE_MAX and not for_session:
            if not owner.weak:
                self._owners[owner] = None
            owner.weak[object_id] = held | 1 << mode
            owner.object_log.append((object_id, mode))
            return True
        if queue is None:
            queue = self._queue_of_object(object_id)
        at_once = True
        if not queue.must_wait(owner, mode):
            self._grant_object(queue, owner, object_id, mode, for_session=for_session)
        elif policy is not LockPolicy.WAIT:
            self._tidy(object_id, queue)
            raise LockNotAvailable("could not obtain lock on object")
        else:
            try:
                self._wait(queue, owner, mode, timeout_ms)
            finally:
                self._tidy(object_id, queue)
            # granted in the queue; now book it with the transaction or the session
            self._grant_object(queue, owner, object_id, mode, for_session=for_session)
            at_once = False
        return at_once

    def is_free(self, object_id: ObjectId) -> bool:
        """Whether nobody holds or wants an object in a strong mode: weak ones never conflict."""
        return object_id not in self._objects

    def _grant_object(
        self,
        queue: LockQueue,
        owner: LockOwner,
        object_id: ObjectId,
        mode: int,
        *,
        for_session: bool,
    ) -> None:
        queue.holders[owner] = queue.holders.get(owner, 0) | 1 << mode
        if for_session:
            counts = owner.session_locks().setdefault(object_id, {})
            counts[mode] = counts.get(mode, 0) + 1
        else:
            if not owner.weak:
                self._owners[owner] = None
            owner.weak[object_id] = owner.weak.get(object_id, 0) | 1 << mode
            owner.object_log.append((object_id, mode))

    def _queue_of_object(self, object_id: ObjectId) -> LockQueue:
        """A queue for the object, with the weak locks that owners held by themselves so far."""
        queue = LockQueue(TABLE_CONFLICTS, f"object {object_id}", lambda owner, mode: None)
        for owner in self._owners:
            mask = owner.weak.get(object_id, 0)
            if mask:
                queue.holders[owner] = mask
        self._objects[object_id] = queue
        return queue

    def _tidy(self, object_id: ObjectId, queue: LockQueue) -> None:
        if not queue.waiters and not queue.holders:
            self._objects.pop(object_id, None)

    def unlock_object(self, owner: LockOwner, object_id: ObjectId, mode: int) -> bool:
        """Give back one of the session's own locks; False when it has none in this mode."""
        counts = owner.session_locks().get(object_id)
        if counts is None or mode not in counts:
            return False
        counts[mode] -= 1
        if not counts[mode]:
            del counts[mode]
            if not counts:
                del owner.session_locks()[object_id]
            self._shrink(owner, object_id)
        return True

    def _shrink(self, owner: LockOwner, object_id: ObjectId) -> None:
        """Make the queue say what transaction and session of `owner` still hold."""
        queue = self._objects.get(object_id)
        if queue is None:
            return
        mask = owner.weak.get(object_id, 0) | owner.session_mask(object_id)
        if mask:
            queue.holders[owner] = mask
        else:
            queue.holders.pop(owner, None)
        queue.wake()
        self._tidy(object_id, queue)

    def release_objects(self, owner: LockOwner) -> None:
        """Release the transaction's object locks."""
        held, owner.weak = owner.weak, {}
        owner.object_log = []
        self._owners.pop(owner, None)
        if self._objects:
            for object_id in held:
                self._shrink(owner, object_id)

    def release_objects_after(self, owner: LockOwner, keep: int) -> None:
        """Release the transaction's object locks after its first `keep`."""
        log = owner.object_log
        dropped = log[keep:]
        del log[keep:]
        for object_id, _ in dropped:
            mask = sum(1 << mode for mode in {mode for other, mode in log if other == object_id})
            if mask:
                owner.weak[object_id] = mask
            else:
                owner.weak.pop(object_id, None)
            self._shrink(owner, object_id)

    def release_session(self, owner: LockOwner) -> None:
        """Release everything: the session ends (or pg_advisory_unlock_all)."""
        session = list(owner.session_locks())
        owner.session_locks().clear()
        for object_id in session:
            self._shrink(owner, object_id)

    # --- waiting

    def _wait(self, queue: LockQueue, owner: LockOwner, mode: int, timeout_ms: int) -> None:
        if self._has_tasks and not self._scheduler.can_wait():
            raise Blocked  # before anything is built for the wait
        waiter = Waiter(owner, mode, queue)
        circle = self._find_circle(queue, waiter)
        if circle:
            raise DeadlockDetected(circle)
        if owner in queue.holders:
            queue.waiters.appendleft(waiter)
        else:
            queue.waiters.append(waiter)
        owner.waiting = waiter
        self.waits += 1
        try:
            granted = self._scheduler.wait(waiter.event, timeout_ms)
        except BaseException:
            self._withdraw(queue, waiter)
            raise
        if not granted and not waiter.event.is_set:
            self._withdraw(queue, waiter)
            raise LockNotAvailable("canceling statement due to lock timeout", timed_out=True)

    @staticmethod
    def _withdraw(queue: LockQueue, waiter: Waiter) -> None:
        if waiter.owner.waiting is waiter:
            waiter.owner.waiting = None
        if waiter in queue.waiters:
            queue.waiters.remove(waiter)
            queue.wake()

    def _find_circle(
        self, queue: LockQueue, waiter: Waiter
    ) -> tuple[tuple[int, str, int], ...] | None:
        """The circle that this wait would close, if any: depth-first over who waits for whom."""
        start = waiter.owner
        seen: set[LockOwner] = set()
        stack: list[tuple[Waiter, tuple[tuple[int, str, int], ...]]] = [(waiter, ())]
        while stack:
            current, trail = stack.pop()
            ahead = self._waits_for(current)
            for other in ahead:
                link = (current.owner.pid, current.queue.label, other.pid)
                if other is start:
                    return (*trail, link)
                if other not in seen and other.waiting is not None:
                    seen.add(other)
                    stack.append((other.waiting, (*trail, link)))
        return None

    @staticmethod
    def _waits_for(waiter: Waiter) -> list[LockOwner]:
        queue = waiter.queue
        owners = queue.blockers(waiter.owner, waiter.mode)
        if waiter.owner in queue.holders:
            return owners
        mask = queue.conflicts[waiter.mode]
        for other in queue.waiters:
            if other is waiter:
                break
            if mask >> other.mode & 1 and other.owner is not waiter.owner:
                owners.append(other.owner)
        return owners

    def blocking_pids(self, owner: LockOwner) -> list[int]:
        """pids that this owner waits for (pg_blocking_pids)."""
        return [] if owner.waiting is None else [o.pid for o in self._waits_for(owner.waiting)]

    # --- listing

    def listing(self) -> Iterator[LockInfo]:
        """Every lock held or waited for, for pg_locks; a large write set is not listed."""
        for object_id, queue in list(self._objects.items()):
            yield from _listed(object_id, None, queue)
        for owner in list(self._owners):
            for object_id, mask in owner.weak.items():
                if object_id not in self._objects:
                    for mode in _bits(mask):
                        yield LockInfo(
                            object_id, None, mode, owner.pid, granted=True, waited_since=0.0
                        )
        for tree_id, table in list(self._rows.items()):
            for key, hold in list(table.items()):
                if type(hold) is tuple:
                    yield LockInfo(
                        tree_id, key, hold[1], hold[0].pid, granted=True, waited_since=0.0
                    )
                else:
                    yield from _listed(tree_id, key, hold)


def _bits(mask: int) -> list[int]:
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


def _listed(object_id: ObjectId, key: Key | None, queue: LockQueue) -> Iterator[LockInfo]:
    for owner, mask in list(queue.holders.items()):
        for mode in _bits(mask):
            yield LockInfo(object_id, key, mode, owner.pid, granted=True, waited_since=0.0)
    for waiter in list(queue.waiters):
        yield LockInfo(
            object_id, key, waiter.mode, waiter.owner.pid, granted=False, waited_since=waiter.since
        )
