"""Savepoints: what they take back (rows, trees, locks, moves), nested and released."""

import pytest

from helios_storage.locks import LockPolicy, LockStrength
from helios_storage.spec import TreeSpec
from tests.storage.test_transaction import committed, contents, make


def test_nested():
    manager, tree = make()
    transaction = manager.begin()
    transaction.put(tree, 1, (1, "a"))
    outer = transaction.savepoint()
    transaction.put(tree, 1, (1, "b"))
    transaction.put(tree, 2, (2, "b"))
    inner = transaction.savepoint()
    transaction.delete(tree, 1)
    transaction.put(tree, 3, (3, "c"))
    transaction.rollback_to(inner)
    assert contents(transaction.snapshot(), tree) == {1: (1, "b"), 2: (2, "b")}
    transaction.put(tree, 4, (4, "d"))
    transaction.rollback_to(inner)
    transaction.release(inner)
    transaction.put(tree, 5, (5, "e"))
    transaction.rollback_to(outer)
    assert contents(transaction.snapshot(), tree) == {1: (1, "a")}
    transaction.rollback_to(outer)
    transaction.commit()
    assert committed(manager, tree) == {1: (1, "a")}


def test_released_savepoints_go_back_with_the_outer_one():
    manager, tree = make()
    transaction = manager.begin()
    outer = transaction.savepoint()
    inner = transaction.savepoint()
    transaction.put(tree, 1, (1, "a"))
    transaction.release(inner)
    transaction.put(tree, 1, (1, "b"))
    transaction.rollback_to(outer)
    assert contents(transaction.snapshot(), tree) == {}
    transaction.release(outer)
    transaction.put(tree, 1, (1, "c"))
    transaction.commit()
    assert committed(manager, tree) == {1: (1, "c")}


@pytest.mark.parametrize("before", [0, 10, 6000])
@pytest.mark.parametrize("after", [10, 6000])
def test_small_and_large_write_sets(before, after):
    manager, tree = make()
    transaction = manager.begin()
    for n in range(before):
        transaction.put(tree, n, (n, "before"))
    mark = transaction.savepoint()
    for n in range(after):
        transaction.put(tree, n * 2, (n, "after"))
    snapshot = transaction.snapshot()
    assert snapshot.get(tree, 4) == (2, "after")
    snapshot.release()
    transaction.rollback_to(mark)
    assert contents(transaction.snapshot(), tree) == {n: (n, "before") for n in range(before)}
    for n in range(after):
        transaction.put(tree, n, (n, "again"))
    transaction.release(mark)
    transaction.commit()
    model = {n: (n, "before") for n in range(before)} | {n: (n, "again") for n in range(after)}
    assert committed(manager, tree) == model


def test_a_loop_of_savepoints_stays_small():
    """PL/pgSQL exception blocks and drivers' automatic savepoints: one per statement."""
    manager, tree = make()
    transaction = manager.begin()
    for n in range(2000):
        mark = transaction.savepoint()
        snapshot = transaction.snapshot()
        transaction.put(tree, 1, (n, ""))
        snapshot.release()
        transaction.release(mark)
    version = transaction.writes.trees[tree].rows[1]
    depth = 0
    while version is not None:
        version = version[2]
        depth += 1
    assert depth <= 3
    assert len(transaction.owner.row_log) == 0


def test_locks_taken_after_it_are_released():
    manager, tree = make()
    transaction, other = manager.begin(), manager.begin()
    transaction.lock_key(tree, 1)
    mark = transaction.savepoint()
    transaction.lock_key(tree, 2)
    transaction.rollback_to(mark)
    assert other.lock_key(tree, 2, LockStrength.UPDATE, LockPolicy.NOWAIT)
    assert other.lock_row(None, tree, 1, policy=LockPolicy.SKIP) is None
    transaction.release(mark)
    transaction.rollback()
    assert other.lock_key(tree, 1, LockStrength.UPDATE, LockPolicy.NOWAIT)


def test_trees_and_moves_go_back():
    manager, tree = make()
    setup = manager.begin()
    setup.put(tree, 1, (1, "a"))
    setup.commit()
    transaction = manager.begin()
    mark = transaction.savepoint()
    made = manager.allocate_tree_id()
    transaction.create_tree(TreeSpec(made, "int", "q"))
    transaction.put(made, 1, (1,))
    transaction.move(tree, 1, 2, (2, "a"))
    transaction.rollback_to(mark)
    assert transaction.moves == {}
    transaction.put(tree, 9, (9, ""))
    transaction.commit()
    assert manager.roots.newest.find(made) is None
    assert committed(manager, tree) == {1: (1, "a"), 9: (9, "")}
