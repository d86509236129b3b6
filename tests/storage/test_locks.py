"""The lock manager: the conflict tables, queues, upgrades, policies, timeouts, deadlocks."""

import itertools

import pytest

from helios_storage.errors import DeadlockDetected, LockNotAvailable
from helios_storage.locks import LockManager, LockOwner, LockPolicy, LockStrength, TableLockMode
from tests.storage.tasks import Tasks

KEY_SHARE, SHARE, NO_KEY_UPDATE, UPDATE = LockStrength
ROW_CONFLICTS = {
    (KEY_SHARE, UPDATE), (SHARE, NO_KEY_UPDATE), (SHARE, UPDATE),
    (NO_KEY_UPDATE, NO_KEY_UPDATE), (NO_KEY_UPDATE, UPDATE), (UPDATE, UPDATE),
}  # fmt: skip
TABLE_CONFLICTS = {
    1: {8}, 2: {7, 8}, 3: {5, 6, 7, 8}, 4: {4, 5, 6, 7, 8}, 5: {3, 4, 6, 7, 8},
    6: {3, 4, 5, 6, 7, 8}, 7: {2, 3, 4, 5, 6, 7, 8}, 8: {1, 2, 3, 4, 5, 6, 7, 8},
}  # fmt: skip


@pytest.fixture
def tasks():
    return Tasks()


@pytest.fixture
def locks(tasks):
    return LockManager(tasks)


def owners(count):
    return [LockOwner(pid) for pid in range(1, count + 1)]


@pytest.mark.parametrize(("first", "second"), list(itertools.product(LockStrength, repeat=2)))
def test_row_conflicts(locks, first, second):
    a, b = owners(2)
    assert locks.lock_row(a, 1, 7, first)
    if (first, second) in ROW_CONFLICTS or (second, first) in ROW_CONFLICTS:
        with pytest.raises(LockNotAvailable):
            locks.lock_row(b, 1, 7, second, LockPolicy.NOWAIT)
    else:
        assert locks.lock_row(b, 1, 7, second, LockPolicy.NOWAIT)
    locks.release_rows(a)
    assert locks.lock_row(b, 1, 7, second, LockPolicy.NOWAIT)
    locks.release_rows(b)
    assert list(locks.listing()) == []


@pytest.mark.parametrize(("first", "second"), list(itertools.product(TableLockMode, repeat=2)))
def test_table_conflicts(locks, first, second):
    a, b = owners(2)
    locks.lock_object(a, 99, first)
    if second in TABLE_CONFLICTS[first]:
        with pytest.raises(LockNotAvailable):
            locks.lock_object(b, 99, second, LockPolicy.NOWAIT)
    else:
        assert locks.lock_object(b, 99, second, LockPolicy.NOWAIT)
    locks.release_objects(a)
    locks.release_objects(b)
    assert list(locks.listing()) == []
    locks.lock_object(b, 99, TableLockMode.ACCESS_EXCLUSIVE, LockPolicy.NOWAIT)


def test_first_come_first_served(tasks, locks):
    a, b, c, d = owners(4)
    locks.lock_row(a, 1, 1, UPDATE)
    order = []

    def want(owner, strength):
        locks.lock_row(owner, 1, 1, strength)
        order.append(owner.pid)

    tasks.start(want, b, UPDATE)
    tasks.start(want, c, SHARE)
    tasks.start(want, d, KEY_SHARE)
    assert order == []
    assert locks.blocking_pids(b) == [1]
    assert locks.blocking_pids(d) == [1, 2]
    locks.release_rows(a)
    tasks.run()
    assert order == [2]
    locks.release_rows(b)
    tasks.run()
    assert order == [2, 3, 4]


def test_upgrade_goes_first(tasks, locks):
    a, b, c = owners(3)
    locks.lock_row(a, 1, 1, SHARE)
    locks.lock_row(b, 1, 1, SHARE)
    waiting = tasks.start(lambda: locks.lock_row(c, 1, 1, UPDATE))
    upgrade = tasks.start(lambda: locks.lock_row(a, 1, 1, UPDATE))
    locks.release_rows(b)
    tasks.run()
    assert upgrade.done
    assert not waiting.done
    locks.release_rows(a)
    tasks.run()
    assert waiting.done
    locks.release_rows(c)
    assert list(locks.listing()) == []


def test_two_upgrades_are_a_deadlock(tasks, locks):
    a, b = owners(2)
    locks.lock_row(a, 1, 1, SHARE)
    locks.lock_row(b, 1, 1, SHARE)
    first = tasks.start(lambda: locks.lock_row(a, 1, 1, UPDATE))
    second = tasks.start(lambda: locks.lock_row(b, 1, 1, UPDATE))
    assert isinstance(second.error, DeadlockDetected)
    assert not first.done
    locks.release_rows(b)
    tasks.run()
    assert first.error is None
    assert first.done


@pytest.mark.parametrize("length", [2, 3, 5])
def test_deadlocks_across_rows_and_objects(tasks, locks, length):
    everybody = owners(length)
    for n, owner in enumerate(everybody):
        if n % 2:
            locks.lock_object(owner, n, TableLockMode.ACCESS_EXCLUSIVE)
        else:
            locks.lock_row(owner, 1, n, UPDATE)

    def want(owner, n):
        if n % 2:
            return locks.lock_object(owner, n, TableLockMode.ACCESS_SHARE)
        return locks.lock_row(owner, 1, n, KEY_SHARE)

    waiting = [tasks.start(want, everybody[n], n + 1) for n in range(length - 1)]
    last = tasks.start(want, everybody[-1], 0)
    assert isinstance(last.error, DeadlockDetected)
    assert len(last.error.waits) == length
    assert last.error.waits[0][0] == everybody[-1].pid
    locks.release_rows(everybody[-1])
    locks.release_objects(everybody[-1])
    for owner in reversed(everybody[:-1]):
        tasks.run()
        locks.release_rows(owner)
        locks.release_objects(owner)
    tasks.run()
    assert all(task.done and task.error is None for task in waiting)


def test_timeouts_and_cancels_leave_the_queue(tasks, locks):
    a, b, c = owners(3)
    locks.lock_row(a, 1, 1, SHARE)
    timed = tasks.start(lambda: locks.lock_row(b, 1, 1, UPDATE, timeout_ms=10))
    behind = tasks.start(lambda: locks.lock_row(c, 1, 1, SHARE))
    assert not behind.done
    tasks.expire()
    assert isinstance(timed.error, LockNotAvailable)
    assert timed.error.timed_out
    assert behind.done
    canceled = tasks.start(lambda: locks.lock_row(b, 1, 1, UPDATE))
    canceled.cancel(RuntimeError("cancel"))
    assert isinstance(canceled.error, RuntimeError)
    locks.release_rows(a)
    locks.release_rows(c)
    assert list(locks.listing()) == []


def test_session_and_transaction_advisory_locks(tasks, locks):
    a, b = owners(2)
    key = ("advisory", 1, 42)
    exclusive = TableLockMode.EXCLUSIVE
    locks.lock_object(a, key, exclusive, for_session=True)
    locks.lock_object(a, key, exclusive, for_session=True)
    locks.lock_object(a, key, exclusive)
    waiting = tasks.start(lambda: locks.lock_object(b, key, exclusive, for_session=True))
    locks.release_objects(a)
    assert locks.unlock_object(a, key, exclusive)
    tasks.run()
    assert not waiting.done
    assert locks.unlock_object(a, key, exclusive)
    assert not locks.unlock_object(a, key, exclusive)
    tasks.run()
    assert waiting.done
    with pytest.raises(LockNotAvailable):
        locks.lock_object(a, key, TableLockMode.SHARE, LockPolicy.NOWAIT)
    locks.release_session(b)
    assert list(locks.listing()) == []


def test_listing_shows_holders_and_waiters(tasks, locks):
    a, b = owners(2)
    locks.lock_object(a, 5, TableLockMode.ROW_EXCLUSIVE)
    locks.lock_row(a, 1, b"k", NO_KEY_UPDATE)
    tasks.start(lambda: locks.lock_row(b, 1, b"k", UPDATE))
    lines = {(i.object_id, i.key, i.mode, i.pid, i.granted) for i in locks.listing()}
    assert lines == {
        (5, None, 3, 1, True),
        (1, b"k", NO_KEY_UPDATE, 1, True),
        (1, b"k", UPDATE, 2, False),
    }


def test_savepoints_release_what_came_after(locks):
    a, b = owners(2)
    locks.lock_row(a, 1, 1, UPDATE)
    locks.lock_object(a, 7, TableLockMode.ROW_SHARE)
    locks.save(a)
    locks.lock_row(a, 1, 2, UPDATE)
    locks.lock_object(a, 7, TableLockMode.ACCESS_EXCLUSIVE)
    locks.take_back(a, 0)
    assert locks.lock_row(b, 1, 2, UPDATE, LockPolicy.NOWAIT)
    assert locks.lock_object(b, 7, TableLockMode.ROW_EXCLUSIVE, LockPolicy.NOWAIT)
    with pytest.raises(LockNotAvailable):
        locks.lock_row(b, 1, 1, KEY_SHARE, LockPolicy.NOWAIT)
