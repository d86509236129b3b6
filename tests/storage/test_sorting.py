"""The external sort: any order in, key order out, doubles noticed wherever they are."""

import random

import pytest

from helios_storage import sorting
from helios_storage.memory import open_memory
from helios_storage.sorting import SortedRuns
from helios_storage.spec import TreeSpec
from tests.storage.test_transaction import committed


def new_tree(kind, shapes="qt"):
    manager = open_memory()
    transaction = manager.begin()
    tree = manager.allocate_tree_id()
    transaction.create_tree(TreeSpec(tree, kind, shapes))
    return manager, transaction, tree


@pytest.fixture
def short_runs(monkeypatch):
    monkeypatch.setattr(sorting, "RUN_ROWS", 500)


@pytest.mark.parametrize("kind", ["int", "bytes"])
@pytest.mark.parametrize("order", ["up", "down", "random", "nearly"])
@pytest.mark.parametrize("count", [0, 1, 499, 5000])
def test_any_order(short_runs, kind, order, count):
    manager, transaction, tree = new_tree(kind)
    rng = random.Random(count)
    numbers = list(range(count))
    if order == "down":
        numbers.reverse()
    elif order == "random":
        rng.shuffle(numbers)
    elif order == "nearly":
        numbers = [n ^ 1 for n in numbers if n ^ 1 < count]
    runs = SortedRuns(transaction, tree)
    rows = {}
    at = 0
    while at < len(numbers):
        part = numbers[at : at + rng.randrange(1, 200)]
        at += len(part)
        keys = [n if kind == "int" else b"%06d" % n for n in part]
        values = [(n, None if n % 7 == 0 else "v" * (n % 60)) for n in part]
        rows.update(zip(keys, values, strict=True))
        runs.add(keys, values)
    assert runs.finish() is None
    snapshot = transaction.snapshot()
    assert snapshot.count(tree) == len(rows)
    snapshot.release()
    for key in list(rows)[:3]:
        transaction.delete(tree, key)
        del rows[key]
    transaction.commit()
    assert committed(manager, tree) == dict(sorted(rows.items()))


@pytest.mark.parametrize("places", [(10, 11), (10, 400), (10, 4000), (499, 500)])
def test_doubles_are_noticed(short_runs, places):
    manager, transaction, tree = new_tree("int", "q")
    numbers = list(range(5000))
    random.Random(1).shuffle(numbers)
    numbers[places[1]] = numbers[places[0]]
    runs = SortedRuns(transaction, tree)
    for at in range(0, 5000, 100):
        part = numbers[at : at + 100]
        runs.add(part, [(n,) for n in part])
    assert runs.finish() == numbers[places[0]]
    transaction.rollback()
    assert manager.roots.newest.find(tree) is None


def test_a_double_between_runs_in_order(short_runs):
    _, transaction, tree = new_tree("int", "q")
    runs = SortedRuns(transaction, tree)
    keys = [*range(500), *range(499, 1200)]
    runs.add(keys[:500], [(n,) for n in keys[:500]])
    runs.add(keys[500:], [(n,) for n in keys[500:]])
    assert runs.finish() == 499


def test_wide_rows_end_runs_early():
    manager, transaction, tree = new_tree("int")
    runs = SortedRuns(transaction, tree)
    for n in range(40, 0, -1):
        runs.add([n], [(n, "x" * 1_000_000)])
    assert len(runs._runs) >= 4
    assert runs.finish() is None
    transaction.commit()
    assert list(committed(manager, tree)) == list(range(1, 41))
