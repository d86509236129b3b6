"""Transactions against models: what each snapshot must see, what commits, what rolls back."""

import random

import pytest

from helios_storage.errors import (
    KeyTooLong,
    NoSuchTree,
    ReadOnlyTransaction,
    RowTooBig,
    SerializationConflict,
    TransactionEnded,
)
from helios_storage.memory import open_memory
from helios_storage.spec import TreeSpec
from helios_storage.transaction import Isolation, LockStrength
from helios_storage.write_set import ROWS_MAX
from tests.storage.tasks import Tasks
from tests.storage.trees import check_tree


def make(kind="int", shapes="qt", scheduler=None):
    manager = open_memory(scheduler)
    transaction = manager.begin()
    tree = manager.allocate_tree_id()
    transaction.create_tree(TreeSpec(tree, kind, shapes))
    transaction.commit()
    return manager, tree


def contents(snapshot, tree, **options):
    rows = {}
    for keys, batch in snapshot.batches(tree, with_keys=True, **options):
        rows.update(zip(keys, batch, strict=True))
    return rows


def committed(manager, tree):
    snapshot = manager.begin().snapshot()
    found = contents(snapshot, tree)
    assert snapshot.count(tree) == len(found)
    check_tree(snapshot.tree(tree))
    snapshot.release()
    return found


@pytest.mark.parametrize("kind", ["int", "bytes"])
@pytest.mark.parametrize("seed", range(4))
def test_every_snapshot_sees_its_moment(kind, seed):
    """Random statements, cursors, savepoints and commits of one session, checked against copies."""
    rng = random.Random(seed)
    manager, tree = make(kind)
    base, model = {}, {}
    transaction = manager.begin()
    open_snapshots, savepoints = [], []

    def key_of(n):
        return n if kind == "int" else b"%05d" % n

    for step in range(2500):
        action = rng.random()
        if action < 0.6:
            key = key_of(rng.randrange(300))
            if rng.random() < 0.3:
                transaction.delete(tree, key)
                model.pop(key, None)
            else:
                model[key] = (step, "x" * rng.randrange(60))
                transaction.put(tree, key, model[key])
        elif action < 0.62:
            start = rng.randrange(500)
            keys = [key_of(n) for n in range(start, start + ROWS_MAX + 10, 3)] * 2
            rows = [(step, "many")] * len(keys)
            transaction.put_many(tree, keys, rows)
            for n in range(start + 7000, start + 7000 + rng.choice([10, ROWS_MAX + 1])):
                transaction.put(tree, key_of(n), (n, "y"))
                model[key_of(n)] = (n, "y")
            model.update(zip(keys, rows, strict=True))
        elif action < 0.7:
            open_snapshots.append((transaction.snapshot(), dict(model)))
        elif action < 0.78 and open_snapshots:
            snapshot, then = open_snapshots.pop(rng.randrange(len(open_snapshots)))
            verify(snapshot, tree, then, rng, key_of)
            snapshot.release()
        elif action < 0.84:
            savepoints.append((transaction.savepoint(), dict(model)))
            assert savepoints[-1][0] == len(savepoints) - 1
        elif action < 0.88 and savepoints:
            at = rng.randrange(len(savepoints))
            # a statement's snapshot never outlives a rollback of what it saw
            while open_snapshots:
                open_snapshots.pop()[0].release()
            number, then = savepoints[at]
            transaction.rollback_to(number)
            del savepoints[at + 1 :]
            model = dict(then)
        elif action < 0.9 and savepoints:
            at = rng.randrange(len(savepoints))
            transaction.release(at)
            del savepoints[at:]
        elif action > 0.985:
            for snapshot, then in open_snapshots:
                verify(snapshot, tree, then, rng, key_of)
                snapshot.release()
            open_snapshots.clear()
            savepoints.clear()
            if rng.random() < 0.5:
                transaction.commit()
                base = model
            else:
                transaction.rollback()
                model = dict(base)
            assert committed(manager, tree) == base
            model = dict(model)
            transaction = manager.begin()
    assert manager.roots.count_read() <= 2


def verify(snapshot, tree, model, rng, key_of):
    assert contents(snapshot, tree) == dict(sorted(model.items()))
    reverse = list(contents(snapshot, tree, reverse=True))
    assert reverse == sorted(model, reverse=True)
    assert snapshot.count(tree) == len(model)
    low, high = sorted([key_of(rng.randrange(400)), key_of(rng.randrange(400))])
    inside = {key: row[1:] for key, row in model.items() if low <= key < high}
    assert contents(snapshot, tree, low=low, high=high, columns=(1,)) == inside
    assert snapshot.count_range(tree, low, high) == len(inside)
    for n in range(0, 400, 37):
        assert snapshot.get(tree, key_of(n)) == model.get(key_of(n))
    ordered = sorted(model)
    for n in (0, len(ordered) // 2, len(ordered)):
        expected = (ordered[n], model[ordered[n]]) if n < len(ordered) else None
        assert snapshot.nth(tree, n) == expected


def test_others_see_a_commit_and_nothing_before():
    manager, tree = make()
    writer = manager.begin()
    writer.put(tree, 1, (1, "a"))
    reader = manager.begin()
    before = reader.snapshot()
    assert before.get(tree, 1) is None
    published = []
    lsn = writer.commit(lambda: published.append(manager.roots.newest.lsn))
    assert published == [lsn]
    assert before.get(tree, 1) is None
    after = reader.snapshot()
    assert after.get(tree, 1) == (1, "a")
    assert reader.seen == lsn
    assert after.writer(tree, 1) == writer.xid


def test_repeatable_read_keeps_its_root():
    manager, tree = make()
    reader = manager.begin(Isolation.REPEATABLE_READ)
    reader.snapshot().release()
    writer = manager.begin()
    writer.put(tree, 1, (1, "a"))
    writer.commit()
    assert reader.snapshot().get(tree, 1) is None
    with pytest.raises(SerializationConflict):
        reader.lock_row(reader.snapshot(), tree, 1)


def test_read_committed_learns_what_changed():
    manager, tree = make()
    setup = manager.begin()
    for n in (1, 2, 3):
        setup.put(tree, n, (n, "a"))
    setup.commit()
    late = manager.begin()
    snapshot = late.snapshot()
    other = manager.begin()
    other.put(tree, 1, (1, "b"))
    other.delete(tree, 2)
    other.move(tree, 3, 30, (30, "a"))
    other.commit()
    assert late.lock_row(snapshot, tree, 1) == ((1, "b"), True, 1)
    assert late.lock_row(snapshot, tree, 2) == (None, True, 2)
    assert late.lock_row(snapshot, tree, 3) == ((30, "a"), True, 30)
    assert late.newest(tree, 30) == (30, "a")
    fresh = late.snapshot()
    assert late.lock_row(fresh, tree, 1) == ((1, "b"), False, 1)
    late.put(tree, 1, (1, "c"))
    assert late.lock_row(fresh, tree, 1) == ((1, "c"), True, 1)
    assert late.lock_row(late.snapshot(), tree, 1) == ((1, "c"), False, 1)


def test_large_write_sets_merge_with_foreign_commits():
    tasks = Tasks()
    tasks.yields = True
    manager, tree = make(scheduler=tasks)
    setup = manager.begin()
    setup.put_many(tree, range(0, 40_000, 2), [(n, "old") for n in range(0, 40_000, 2)])
    setup.commit()
    model = {n: (n, "old") for n in range(0, 40_000, 2)}
    large = manager.begin()

    def change():
        for n in range(1, 40_000, 4):
            large.put(tree, n, (n, "large"))
        for n in range(0, 40_000, 8):
            large.delete(tree, n)
        return large.commit()

    rng = random.Random(1)
    task = tasks.start(change)
    foreign = 0
    while not task.done:
        other = manager.begin()
        key = rng.randrange(40_000) // 8 * 8 + rng.choice([2, 3, 4, 6, 7])
        if rng.random() < 0.3:
            other.delete(tree, key)
            model.pop(key, None)
        else:
            other.put(tree, key, (key, "foreign"))
            model[key] = (key, "foreign")
        other.commit()
        foreign += 1
        if tasks.ready:
            tasks.ready.pop(0).owner.resume(True)
    assert task.error is None
    assert foreign > 20
    for n in range(1, 40_000, 4):
        model[n] = (n, "large")
    for n in range(0, 40_000, 8):
        model.pop(n, None)
    assert committed(manager, tree) == dict(sorted(model.items()))
    assert manager.begin().snapshot().writer(tree, 1) == large.xid
    assert list(manager.locks.listing()) == []


def test_two_large_commits_at_once():
    tasks = Tasks()
    tasks.yields = True
    manager, tree = make(scheduler=tasks)
    other = manager.begin()
    second = manager.allocate_tree_id()
    other.create_tree(TreeSpec(second, "int", "qt"))
    other.commit()

    def change(start, trees):
        transaction = manager.begin()
        for n in range(start, 30_000, 3):
            for each in trees:
                transaction.put(each, n, (n, str(start)))
        return transaction.commit()

    running = [
        tasks.start(change, n, trees)
        for n, trees in enumerate([(tree, second), (second, tree), (tree,)])
    ]
    tasks.run()
    assert [task.error for task in running] == [None] * 3
    expected = {n: (n, str(n % 3)) for n in range(30_000)}
    assert committed(manager, tree) == expected
    assert len(committed(manager, second)) == 20_000


def test_wide_rows_leave_the_dict_early():
    manager, tree = make()
    transaction = manager.begin()
    for n in range(100):
        transaction.put(tree, n, (n, "x" * 1_000_000))
    writes = transaction.writes.trees[tree]
    assert len(writes.rows) < 20
    assert transaction.snapshot().get(tree, 50) == (50, "x" * 1_000_000)
    transaction.rollback()
    again = manager.begin()
    for n in range(3000):
        again.put(tree, 1, (n, "x" * 200))
    assert again.writes.trees[tree].delta is None
    again.rollback()
    assert list(manager.locks.listing()) == []


def test_a_large_write_set_is_its_lock_set():
    tasks = Tasks()
    manager, tree = make(scheduler=tasks)
    large = manager.begin()
    for n in range(3 * ROWS_MAX):
        large.lock_key(tree, n)
        large.put(tree, n, (n, ""))
    assert len(large.owner.row_log) < ROWS_MAX + 10
    other = manager.begin()
    task = tasks.start(lambda: other.lock_key(tree, 5))
    assert not task.done
    free = manager.begin()
    assert free.lock_key(tree, 10**9)
    large.commit()
    tasks.run()
    assert task.done
    assert task.result is False
    assert other.newest(tree, 5) == (5, "")


def test_trees_come_and_go_with_their_transaction():
    manager, _ = make()
    first = manager.begin()
    tree = manager.allocate_tree_id()
    first.create_tree(TreeSpec(tree, "bytes", "q"))
    first.put(tree, b"k", (1,))
    with pytest.raises(NoSuchTree):
        manager.begin().snapshot().get(tree, b"k")
    assert first.snapshot().get(tree, b"k") == (1,)
    first.commit()
    second = manager.begin()
    mark = second.savepoint()
    second.drop_tree(tree)
    with pytest.raises(NoSuchTree):
        second.snapshot().get(tree, b"k")
    second.rollback_to(mark)
    assert second.snapshot().get(tree, b"k") == (1,)
    second.drop_tree(tree)
    second.commit()
    with pytest.raises(NoSuchTree):
        manager.begin().snapshot().get(tree, b"k")


@pytest.mark.parametrize("count", [5, ROWS_MAX + 5])
def test_widened_trees(count):
    manager, tree = make(shapes="q")
    setup = manager.begin()
    setup.put_many(tree, range(10_000, 10_100), [(n,) for n in range(100)])
    setup.commit()
    transaction = manager.begin()
    transaction.put_many(tree, range(count), [(n,) for n in range(count)])
    transaction.widen_tree(tree, "tq", ("new", None))
    transaction.put(tree, 2, (2, "two", 2))
    snapshot = transaction.snapshot()
    assert snapshot.get(tree, 1) == (1, "new", None)
    assert snapshot.get(tree, 2) == (2, "two", 2)
    assert snapshot.get(tree, 10_007) == (7, "new", None)
    assert manager.begin().snapshot().get(tree, 10_007) == (7,)
    snapshot.release()
    transaction.commit()
    rows = committed(manager, tree)
    assert len(rows) == count + 100
    assert rows[1] == (1, "new", None)
    assert rows[10_007] == (7, "new", None)
    last = manager.begin()
    last.put(tree, 10_007, (70, None, 1))
    last.commit()
    assert committed(manager, tree)[10_007] == (70, None, 1)
    assert committed(manager, tree)[10_008] == (8, "new", None)


def test_temporary_trees_are_not_logged():
    manager, tree = make()
    manager.log.keeps_records = True
    transaction = manager.begin(read_only=True)
    with pytest.raises(ReadOnlyTransaction):
        transaction.put(tree, 1, (1, ""))
    temporary = manager.allocate_tree_id()
    transaction.create_tree(TreeSpec(temporary, "int", "q", temporary=True))
    transaction.put(temporary, 1, (1,))
    transaction.commit()
    assert [changes for _, changes in manager.log.records] == [[]]
    assert manager.begin().snapshot().get(temporary, 1) == (1,)


def test_what_does_not_fit_is_refused_and_changes_nothing():
    manager, tree = make("bytes", "t" * 700)
    transaction = manager.begin()
    with pytest.raises(KeyTooLong):
        transaction.put(tree, b"x" * 3000, ("",) * 700)
    transaction.put(tree, b"k", ("y" * 30,) * 700)
    with pytest.raises(RowTooBig):
        transaction.commit()
    assert committed(manager, tree) == {}
    assert not transaction.is_active
    with pytest.raises(TransactionEnded):
        transaction.snapshot()


def test_log_records_say_what_changed():
    manager, tree = make()
    manager.log.keeps_records = True
    transaction = manager.begin()
    transaction.put(tree, 2, (2, "b"))
    transaction.put(tree, 1, (1, "a"))
    transaction.delete(tree, 3)
    transaction.commit()
    ((xid, changes),) = manager.log.records
    assert xid == transaction.xid
    assert [(change[0], change[1]) for change in changes] == [(tree, 1), (tree, 2), (tree, 3)]
    assert changes[2][2] is None


def test_locks_go_with_the_transaction():
    manager, tree = make()
    transaction = manager.begin()
    transaction.lock_row(None, tree, 1, LockStrength.SHARE)
    assert len(list(manager.locks.listing())) == 1
    transaction.rollback()
    assert list(manager.locks.listing()) == []
