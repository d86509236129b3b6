"""Isolation: the anomalies of Hermitage at each level, and random SERIALIZABLE histories."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helios_storage.errors import DeadlockDetected, SerializationConflict
from helios_storage.memory import MemoryRoots, open_memory
from helios_storage.spec import TreeSpec
from helios_storage.transaction import Isolation
from tests.storage.tasks import Tasks

RC, RR, SER = Isolation
LEVELS = [RC, RR, SER]


class Session:
    """One transaction of a two-column table, statement by statement, as the engine does it."""

    def __init__(self, world, level):
        self.world = world
        self.tree = world.tree
        self.transaction = world.manager.begin(level)

    def select(self, key):
        snapshot = self.transaction.snapshot()
        row = snapshot.get(self.tree, key)
        snapshot.release()
        return None if row is None else row[0]

    def where(self, predicate):
        snapshot = self.transaction.snapshot()
        rows = {}
        for keys, batch in snapshot.batches(self.tree, with_keys=True):
            rows.update((k, r[0]) for k, r in zip(keys, batch, strict=True) if predicate(r[0]))
        snapshot.release()
        return rows

    def update_where(self, predicate, change):
        snapshot = self.transaction.snapshot()
        found = []
        for keys, batch in snapshot.batches(self.tree, with_keys=True):
            found += [k for k, r in zip(keys, batch, strict=True) if predicate(r[0])]
        count = 0
        for key in found:
            locked = self.transaction.lock_row(snapshot, self.tree, key)
            if locked.row is None or (locked.changed and not predicate(locked.row[0])):
                continue
            value = change(locked.row[0])
            if value is None:
                self.transaction.delete(self.tree, locked.key)
            else:
                self.transaction.put(self.tree, locked.key, (value,))
            count += 1
        snapshot.release()
        return count

    def update(self, key, change):
        snapshot = self.transaction.snapshot()
        row = snapshot.get(self.tree, key)
        if row is not None:
            locked = self.transaction.lock_row(snapshot, self.tree, key)
            if locked.row is not None:
                self.transaction.put(self.tree, locked.key, (change(locked.row[0]),))
        snapshot.release()

    def insert(self, key, value):
        self.transaction.lock_key(self.tree, key)
        assert self.transaction.newest(self.tree, key) is None
        self.transaction.put(self.tree, key, (value,))

    def commit(self):
        self.transaction.commit()

    def rollback(self):
        self.transaction.rollback()


class World:
    def __init__(self, rows):
        self.tasks = Tasks()
        self.manager = open_memory(self.tasks)
        setup = self.manager.begin()
        self.tree = self.manager.allocate_tree_id()
        setup.create_tree(TreeSpec(self.tree, "int", "q"))
        for key, value in rows.items():
            setup.put(self.tree, key, (value,))
        setup.commit()

    def begin(self, level):
        return Session(self, level)

    def rows(self):
        return self.begin(RC).where(lambda value: True)

    def start(self, function, *args):
        return self.tasks.start(function, *args)

    def run(self):
        self.tasks.run()


@pytest.fixture
def world():
    return World({1: 10, 2: 20})


def fails(function, *args):
    with pytest.raises(SerializationConflict):
        function(*args)


@pytest.mark.parametrize("level", LEVELS)
def test_g0_dirty_writes(world, level):
    a, b = world.begin(level), world.begin(level)
    a.update(1, lambda _: 11)
    waiting = world.start(b.update, 1, lambda _: 12)
    assert not waiting.done
    a.update(2, lambda _: 21)
    a.commit()
    world.run()
    if level is RC:
        assert waiting.error is None
        b.update(2, lambda _: 22)
        b.commit()
        assert world.rows() == {1: 12, 2: 22}
    else:
        assert isinstance(waiting.error, SerializationConflict)
        assert world.rows() == {1: 11, 2: 21}


@pytest.mark.parametrize("level", LEVELS)
def test_g1a_g1b_aborted_and_intermediate_reads(world, level):
    a, b = world.begin(level), world.begin(level)
    a.update(1, lambda _: 101)
    assert b.select(1) == 10
    a.update(1, lambda _: 11)
    assert b.select(1) == 10
    a.rollback()
    assert b.where(lambda v: True) == {1: 10, 2: 20}
    b.commit()


@pytest.mark.parametrize("level", LEVELS)
def test_otv_observed_transaction_vanishes(world, level):
    a, b, c = (world.begin(level) for _ in range(3))
    a.update(1, lambda _: 11)
    a.update(2, lambda _: 19)
    waiting = world.start(b.update, 1, lambda _: 12)
    a.commit()
    world.run()
    first = c.select(1)
    if waiting.error is None:
        b.update(2, lambda _: 18)
    assert c.select(2) == {11: 19, 10: 20}[first]
    if waiting.error is None:
        b.commit()
    if level is not RC:
        assert (c.select(1), c.select(2)) in {(11, 19), (10, 20)}


@pytest.mark.parametrize("level", LEVELS)
def test_pmp_phantoms(world, level):
    a, b = world.begin(level), world.begin(level)
    assert a.where(lambda v: v == 30) == {}
    b.insert(3, 30)
    b.commit()
    seen = a.where(lambda v: v % 3 == 0)
    assert seen == ({3: 30} if level is RC else {})
    a.commit()


@pytest.mark.parametrize("level", LEVELS)
def test_pmp_write_predicate(world, level):
    a, b = world.begin(level), world.begin(level)
    a.update_where(lambda v: True, lambda v: v + 10)
    waiting = world.start(b.update_where, lambda v: v == 20, lambda v: None)
    a.commit()
    world.run()
    if level is RC:
        assert waiting.result == 0
        b.commit()
        assert world.rows() == {1: 20, 2: 30}
    else:
        assert isinstance(waiting.error, SerializationConflict)


@pytest.mark.parametrize("level", LEVELS)
def test_p4_lost_update(world, level):
    a, b = world.begin(level), world.begin(level)
    assert a.select(1) == b.select(1) == 10
    a.update(1, lambda _: 11)
    waiting = world.start(b.update, 1, lambda v: v + 1)
    a.commit()
    world.run()
    if level is RC:
        b.commit()
        assert world.rows()[1] == 12
    else:
        assert isinstance(waiting.error, SerializationConflict)


@pytest.mark.parametrize("level", LEVELS)
def test_g_single_read_skew(world, level):
    a, b = world.begin(level), world.begin(level)
    assert a.select(1) == 10
    b.update(1, lambda _: 12)
    b.update(2, lambda _: 18)
    b.commit()
    assert a.select(2) == (18 if level is RC else 20)
    a.commit()


@pytest.mark.parametrize("level", LEVELS)
def test_g2_item_write_skew(world, level):
    a, b = world.begin(level), world.begin(level)
    assert a.select(1) + a.select(2) == b.select(1) + b.select(2) == 30
    a.update(1, lambda _: 11)
    b.update(2, lambda _: 21)
    a.commit()
    if level is SER:
        fails(b.commit)
        assert world.rows() == {1: 11, 2: 20}
    else:
        b.commit()
        assert world.rows() == {1: 11, 2: 21}


@pytest.mark.parametrize("level", LEVELS)
def test_g2_phantom_write_skew(world, level):
    a, b = world.begin(level), world.begin(level)
    assert a.where(lambda v: v % 3 == 0) == b.where(lambda v: v % 3 == 0) == {}
    a.insert(3, 30)
    b.insert(4, 42)
    a.commit()
    if level is SER:
        fails(b.commit)
    else:
        b.commit()


@pytest.mark.parametrize("level", LEVELS)
def test_g2_fekete_read_only_anomaly(world, level):
    a, b, c = world.begin(level), world.begin(level), world.begin(level)
    assert a.where(lambda v: True) == {1: 10, 2: 20}
    b.update(2, lambda v: v + 5)
    b.commit()
    assert c.where(lambda v: True) == {1: 10, 2: 25}
    c.commit()
    a.update(1, lambda _: 0)
    if level is SER:
        fails(a.commit)
    else:
        a.commit()


def test_a_reader_that_began_before_the_first_commit_harms_nobody(world):
    """A read-only T1 -> pivot -> T3 is dangerous only if T3 committed before T1 began."""
    reader, pivot, third = (world.begin(SER) for _ in range(3))
    reader.select(1)
    pivot.select(2)
    third.update(2, lambda v: v + 1)
    third.commit()
    reader.select(2)
    reader.commit()
    pivot.update(1, lambda v: v + 1)
    pivot.commit()


def test_blind_writes_and_disjoint_work_do_not_conflict(world):
    a, b = world.begin(SER), world.begin(SER)
    a.update(1, lambda v: v + 1)
    b.update(2, lambda v: v + 1)
    a.commit()
    b.commit()
    assert world.rows() == {1: 11, 2: 21}


def test_coarse_reads_still_see_conflicts():
    world = World({n: n for n in range(3000)})
    a, b = world.begin(SER), world.begin(SER)
    for n in range(1500):
        a.select(n)
    b.where(lambda v: False)
    b.update(1, lambda _: -1)
    a.update(2999, lambda _: -1)
    b.commit()
    fails(a.commit)


def test_finished_transactions_are_forgotten(world):
    for _ in range(10):
        one = world.begin(SER)
        one.update(1, lambda v: v + 1)
        one.commit()
    assert world.manager.serializable.count() == (0, 0)


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_random_histories_are_serializable(seed):
    """What committed must equal some serial order of the committed transactions."""
    rng = random.Random(seed)
    start = dict.fromkeys(range(4), 0)
    world = World(start)
    count = 4
    programs = [
        [(rng.choice("rrws"), rng.randrange(4)) for _ in range(rng.randrange(1, 5))]
        for _ in range(count)
    ]
    sessions = [None] * count
    seen = [[] for _ in range(count)]
    steps = [0] * count
    committed = []
    blocked = {}
    turn = 0
    while turn < 200 and any(step >= 0 for step in steps):
        turn += 1
        n = rng.randrange(count)
        if n in blocked:
            if not blocked[n].done:
                continue
            task = blocked.pop(n)
            if task.error is not None:
                assert isinstance(task.error, SerializationConflict | DeadlockDetected)
                sessions[n].rollback()
                steps[n] = -1
        if steps[n] < 0:
            continue
        if sessions[n] is None:
            sessions[n] = world.begin(SER)
        if steps[n] == len(programs[n]):
            try:
                sessions[n].commit()
                committed.append(n)
            except SerializationConflict:
                pass
            steps[n] = -1
            world.run()
            continue
        action, key = programs[n][steps[n]]
        steps[n] += 1
        if action == "r":
            seen[n].append(sessions[n].select(key))
        elif action == "s":
            seen[n].append(sum(sessions[n].where(lambda v: True).values()))
        else:
            task = world.start(sessions[n].update, key, lambda v, n=n: v * 10 + n + 1)
            if not task.done:
                blocked[n] = task
            elif task.error is not None:
                assert isinstance(task.error, SerializationConflict | DeadlockDetected)
                sessions[n].rollback()
                steps[n] = -1
                world.run()
    final = world.rows()
    for order in itertools.permutations(committed):
        state = dict(start)
        results = {}
        for n in order:
            results[n] = []
            for action, key in programs[n]:
                if action == "r":
                    results[n].append(state[key])
                elif action == "s":
                    results[n].append(sum(state.values()))
                else:
                    state[key] = state[key] * 10 + n + 1
        if state == final and all(results[n] == seen[n] for n in committed):
            return
    raise AssertionError((programs, committed, seen, final))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seed", range(6))
def test_no_update_is_lost_and_no_money_made(level, seed):
    """Transfers, changed primary keys, deletes with a heir: the sum never changes."""
    rng = random.Random(seed)
    world = World(dict.fromkeys(range(8), 100))
    total = 800

    def transfer(session):
        a, b, amount = rng.randrange(16), rng.randrange(16), rng.randrange(1, 9)
        done = 0
        for key, change in ((a, -amount), (b, amount)):
            snapshot = session.transaction.snapshot(newest=rng.random() < 0.5)
            try:
                if snapshot.get(session.tree, key) is not None:
                    world.tasks.check_slice()
                    locked = session.transaction.lock_row(snapshot, session.tree, key)
                    if locked.row is not None:
                        row = (locked.row[0] + change,)
                        session.transaction.put(session.tree, locked.key, row)
                        done += change
            finally:
                snapshot.release()
            world.tasks.check_slice()
        return done

    def move(session):
        old, new = rng.randrange(16), rng.randrange(16)
        snapshot = session.transaction.snapshot()
        try:
            if snapshot.get(session.tree, old) is None or old == new:
                return 0
            world.tasks.check_slice()
            locked = session.transaction.lock_row(snapshot, session.tree, old)
            if locked.row is None or locked.key == new:
                return 0
            session.transaction.lock_key(session.tree, new)
            if session.transaction.newest(session.tree, new) is not None:
                return 0
            session.transaction.move(session.tree, locked.key, new, locked.row)
            return 0
        finally:
            snapshot.release()

    sums = []

    def run():
        session = world.begin(level)
        done = 0
        try:
            for _ in range(rng.randrange(1, 4)):
                done += rng.choice([transfer, transfer, move])(session)
                world.tasks.check_slice()
            if rng.random() < 0.1:
                session.rollback()
            else:
                session.commit()
                sums.append(done)
        except BaseException:
            session.rollback()
            raise

    world.tasks.yields = True
    running = []
    for _ in range(6000):
        if len(running) < 6:
            running.append(world.start(run))
        if world.tasks.ready:
            ready = world.tasks.ready
            ready.pop(rng.randrange(len(ready))).owner.resume(True)
        for task in [task for task in running if task.done]:
            running.remove(task)
            if task.error is not None:
                assert isinstance(task.error, SerializationConflict | DeadlockDetected), task.error
    while world.tasks.ready:
        world.run()
    assert sum(world.rows().values()) == total + sum(sums)
    assert len(sums) > 200
    assert list(world.manager.locks.listing()) == []
    assert world.manager.roots.count_read() == 0


def test_serializable_reads_what_is_committed_even_if_not_durable(world, monkeypatch):
    """Its place among the others is counted in commits, so it must see every one before it."""
    roots = world.manager.roots
    held = roots.durable
    # the sync takes its time
    monkeypatch.setattr(MemoryRoots, "make_durable", lambda self, root: self.unpin(root))
    writer = world.begin(SER)
    writer.update(1, lambda _: 11)
    writer.commit()
    assert roots.durable is held
    reader = world.manager.begin(SER, read_only=True)
    snapshot = reader.snapshot()
    assert snapshot.get(world.tree, 1) == (11,)
    snapshot.release()
    lazy = world.manager.begin(RR, read_only=True)
    snapshot = lazy.snapshot()
    assert snapshot.get(world.tree, 1) == (10,)
    snapshot.release()
