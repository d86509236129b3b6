"""Bulk inserts: columns in, the same rows out; conflicts found wherever the other row is."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helios_storage.bulk import BulkInsert, Column
from helios_storage.memory import open_memory
from helios_storage.spec import TreeSpec
from tests.storage.tasks import Tasks
from tests.storage.test_transaction import committed, make
from tests.storage.trees import SHAPES, VALUES

DTYPES = {"?": "?", "h": "<i2", "i": "<i4", "q": "<i8", "f": "<f4", "d": "<f8"}


def column_of(shape, values):
    nulls = np.array([value is None for value in values], dtype=bool)
    if shape in "tb":
        blobs = [
            b"" if value is None else value.encode() if shape == "t" else value for value in values
        ]
        offsets = np.cumsum([0] + [len(blob) for blob in blobs]).astype("<i4")
        return Column(offsets, nulls, b"".join(blobs))
    if shape == "u":
        data = b"".join(bytes(16) if value is None else value for value in values)
        return Column(np.frombuffer(data, dtype="V16"), nulls)
    plain = np.array([0 if value is None else value for value in values], dtype=DTYPES[shape])
    return Column(plain, nulls)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_columns_are_rows(data):
    kind = data.draw(st.sampled_from(["int", "bytes"]))
    shapes = data.draw(SHAPES)
    manager, tree = make(kind, shapes)
    transaction = manager.begin()
    bulk = BulkInsert(transaction, tree)
    model = {}
    for _ in range(data.draw(st.integers(1, 3))):
        numbers = data.draw(st.lists(st.integers(0, 10**6), unique=True, max_size=12))
        keys = [n if kind == "int" else b"%07d" % n for n in numbers]
        columns = [
            data.draw(st.lists(st.none() | VALUES[s], min_size=len(keys), max_size=len(keys)))
            for s in shapes
        ]
        rows = list(zip(*columns, strict=True)) if shapes else [()] * len(keys)
        packed = [column_of(s, c) for s, c in zip(shapes, columns, strict=True)]
        conflict = bulk.add_columns(np.array(keys, dtype="<i8") if kind == "int" else keys, packed)
        if set(keys) & set(model):
            assert conflict == min(set(keys) & set(model))
        else:
            assert conflict is None
            model.update(zip(keys, rows, strict=True))
    transaction.commit()
    assert committed(manager, tree) == dict(sorted(model.items()))


def batch(start, count, step=1):
    numbers = np.arange(start, start + count * step, step, dtype="<i8")
    texts = [b"row %d" % n for n in numbers]
    offsets = np.cumsum([0] + [len(text) for text in texts]).astype("<i8")
    return numbers, [Column(numbers), Column(offsets, None, b"".join(texts))]


def test_many_leaves_and_runs():
    manager, tree = make()
    transaction = manager.begin()
    bulk = BulkInsert(transaction, tree)
    for start in range(0, 60_000, 20_000):
        assert bulk.add_columns(*batch(start, 20_000)) is None
    snapshot = transaction.snapshot()
    assert snapshot.count(tree) == 60_000
    assert snapshot.get(tree, 41_234) == (41_234, "row 41234")
    snapshot.release()
    transaction.commit()
    assert committed(manager, tree) == {n: (n, f"row {n}") for n in range(60_000)}
    more = manager.begin()
    bulk = BulkInsert(more, tree)
    assert bulk.add_columns(*batch(59_999, 10)) == 59_999
    assert bulk.add_columns(*batch(70_001, 1000, 2)) is None
    assert bulk.add_columns(*batch(70_000, 1000, 2)) is None
    assert bulk.add_columns(*batch(71_000, 1)) == 71_000
    more.commit()
    assert len(committed(manager, tree)) == 62_000


def test_conflicts_in_the_middle():
    manager, tree = make()
    setup = manager.begin()
    rng = random.Random(3)
    there = sorted(rng.sample(range(100_000), 5000))
    setup.put_many(tree, there, [(n, "") for n in there])
    setup.commit()
    transaction = manager.begin()
    bulk = BulkInsert(transaction, tree)
    free = sorted(set(range(100_000)) - set(there))
    for size in (1, 10, 3000):
        start = rng.randrange(len(free) - size)
        keys = free[start : start + size]
        hit = rng.choice(there)
        wanted = sorted({*keys, hit})
        assert bulk.add_rows(wanted, [(n, "") for n in wanted]) == hit
    assert bulk.add_rows([5, 5], [(5, ""), (5, "")]) == 5
    transaction.delete(tree, there[7])
    assert bulk.add_rows([there[7]], [(0, "again")]) is None
    transaction.commit()
    assert committed(manager, tree)[there[7]] == (0, "again")


def test_waits_for_who_holds_a_key():
    tasks = Tasks()
    manager, tree = make(scheduler=tasks)
    other = manager.begin()
    other.lock_key(tree, 7)
    other.put(tree, 7, (7, "theirs"))
    transaction = manager.begin()
    bulk = BulkInsert(transaction, tree)
    task = tasks.start(lambda: bulk.add_columns(*batch(0, 100)))
    assert not task.done
    other.commit()
    tasks.run()
    assert task.result == 7
    third = manager.begin()
    waiting = tasks.start(lambda: third.lock_key(tree, 50))
    assert waiting.done
    third.rollback()
    assert bulk.add_columns(*batch(100, 100)) is None
    fourth = manager.begin()
    waiting = tasks.start(lambda: fourth.lock_key(tree, 150))
    assert not waiting.done
    transaction.rollback()
    tasks.run()
    assert waiting.done
    assert len(committed(manager, tree)) == 1


@pytest.mark.parametrize("rolls_back", [True, False])
def test_savepoints_around_bulk(rolls_back):
    manager, tree = make()
    transaction = manager.begin()
    transaction.put(tree, -1, (-1, "first"))
    bulk = BulkInsert(transaction, tree)
    bulk.add_columns(*batch(0, 5000))
    mark = transaction.savepoint()
    bulk.add_columns(*batch(5000, 5000))
    transaction.put(tree, 3, (3, "changed"))
    if rolls_back:
        transaction.rollback_to(mark)
    transaction.commit()
    rows = committed(manager, tree)
    assert len(rows) == (5001 if rolls_back else 10_001)
    assert rows[3] == (3, "row 3" if rolls_back else "changed")


def test_an_index_build():
    manager = open_memory()
    transaction = manager.begin()
    tree = manager.allocate_tree_id()
    transaction.create_tree(TreeSpec(tree, "bytes", "q"))
    keys = [b"%06d" % n for n in range(30_000)]
    bulk = BulkInsert(transaction, tree)
    assert bulk.add_columns(keys, [Column(np.arange(30_000))]) is None
    transaction.commit()
    snapshot = manager.begin().snapshot()
    assert snapshot.get(tree, b"012345") == (12_345,)
    assert snapshot.count(tree) == 30_000
