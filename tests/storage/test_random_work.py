"""Random work under a cache far too small: commits of all sizes, rollbacks, savepoints, held
snapshots, checkpoints under way, crashes. A dict says what must be there; the checker, that nothing
else is."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from helios_storage.check import check_store
from helios_storage.keyring import KeyFile
from helios_storage.options import StorageOptions
from helios_storage.spec import TreeId, TreeSpec
from helios_storage.storage import Storage
from tests.storage.pump import PumpScheduler
from tests.storage.stores import crash, make_tree, open_store, read_all

TINY = StorageOptions(
    cache_bytes=1 << 20,
    checkpoint_seconds=0,
    segment_bytes=1 << 20,
    checkpoint_log_bytes=1 << 19,
    fsync=False,
)
KEYS = 30_000
SEEDS = range(2)
SOAK_SEEDS = range(1000, 1200)


class Work:
    """A store, and what must be in it."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.chance = random.Random(seed)
        self.storage: Storage = open_store(path, TINY, PumpScheduler())
        self.tree_id: TreeId = make_tree(self.storage)
        self.model: dict[int, tuple[int, str]] = {}
        self.snapshots: list[tuple[Any, Any, dict[int, tuple[int, str]]]] = []

    def pump(self, turns: int) -> None:
        for _ in range(turns):
            self.storage._scheduler.pump(0.001)  # type: ignore[attr-defined]

    def rows(self, count: int) -> dict[int, tuple[int, str] | None]:
        chance = self.chance
        start = chance.randrange(KEYS)
        keys = (
            range(start, start + count)
            if chance.random() < 0.5
            else chance.sample(range(KEYS), count)
        )
        sizes = (2, 2, 60, 60, 60, 400, 5000 if count < 500 else 60)
        return {
            key: None if chance.random() < 0.2 else (key, chr(97 + key % 26) * chance.choice(sizes))
            for key in keys
        }

    def write(self) -> None:
        """One transaction, perhaps with a savepoint taken back, perhaps rolled back."""
        chance = self.chance
        transaction = self.storage.begin()
        changed: dict[int, tuple[int, str] | None] = {}
        for part in range(chance.choice((1, 1, 2, 3))):
            rows = self.rows(chance.choice((1, 1, 5, 50, 300, 6000)))
            savepoint = transaction.savepoint() if chance.random() < 0.3 else None
            keys = list(rows)
            transaction.put_many(self.tree_id, keys, [rows[key] for key in keys])
            if savepoint is not None and chance.random() < 0.5:
                transaction.rollback_to(savepoint)
            else:
                changed.update(rows)
            if part and chance.random() < 0.3:
                self.pump(2)
        if chance.random() < 0.15:
            transaction.rollback()
            return
        transaction.commit()
        for key, row in changed.items():
            if row is None:
                self.model.pop(key, None)
            else:
                self.model[key] = row

    def hold(self) -> None:
        """Take a snapshot and keep it, or look at one that was kept."""
        if len(self.snapshots) < 3:
            self.storage._wait_durable()
            transaction = self.storage.begin()
            self.snapshots.append((transaction, transaction.snapshot(), dict(self.model)))
        else:
            self.look(self.snapshots.pop(self.chance.randrange(3)))

    def look(self, kept: tuple[Any, Any, dict[int, tuple[int, str]]]) -> None:
        transaction, snapshot, model = kept
        found: dict[int, Any] = {}
        for keys, rows in snapshot.batches(self.tree_id, with_keys=True):
            found.update(zip(keys, rows, strict=True))
        assert found == model
        for key in self.chance.sample(range(KEYS), 20):
            assert snapshot.get(self.tree_id, key) == model.get(key)
        snapshot.release()
        transaction.rollback()

    def restart(self) -> None:
        while self.snapshots:
            self.look(self.snapshots.pop())
        if self.chance.random() < 0.3:
            self.storage.close()
        else:
            crash(self.storage)
        assert check_store(self.path / "data", KeyFile()) == []
        self.storage = open_store(self.path, TINY, PumpScheduler())
        assert read_all(self.storage, self.tree_id) == self.model


@pytest.mark.parametrize("seed", SEEDS)
def test_random_work(tmp_path: Path, seed: int) -> None:
    work = Work(tmp_path, seed)
    for _ in range(40):
        what = work.chance.random()
        if what < 0.6:
            work.write()
        elif what < 0.8:
            work.hold()
        elif what < 0.95:
            work.pump(work.chance.randrange(20))
        else:
            work.restart()
    work.restart()
    work.storage.close()


@pytest.mark.parametrize("seed", (*SEEDS, 978508742))
def test_random_trees(tmp_path: Path, seed: int) -> None:
    """Trees come, grow columns and rows, and go; large values among them; crashes in between.

    978508742: widening a leaf read large values and thereby evicted a leaf about to be changed.
    """
    chance = random.Random(seed)
    storage = open_store(tmp_path, TINY, PumpScheduler())
    model: dict[TreeId, tuple[int, dict[bytes, tuple[Any, ...]]]] = {}
    for _ in range(60):
        transaction = storage.begin()
        after = {tree: (columns, dict(rows)) for tree, (columns, rows) in model.items()}
        for _ in range(chance.randrange(1, 4)):
            what = chance.random()
            if what < 0.2 or not after:
                tree = storage.allocate_tree_id()
                transaction.create_tree(TreeSpec(tree, "bytes", "qt"))
                after[tree] = (2, {})
            tree = chance.choice(list(after))
            columns, rows = after[tree]
            if what > 0.9:
                transaction.drop_tree(tree)
                del after[tree]
            elif what > 0.8 and columns < 6:
                transaction.widen_tree(tree, "i", (columns,))
                new_rows = {key: (*row, columns) for key, row in rows.items()}
                after[tree] = (columns + 1, new_rows)
            else:
                for _ in range(chance.choice((1, 10, 10, 1000, 5000))):
                    key = b"key %06d" % chance.randrange(20_000)
                    if chance.random() < 0.2:
                        transaction.delete(tree, key)
                        rows.pop(key, None)
                    else:
                        text = chance.choice(("", "x" * 50, "y" * 50, "z" * 2500))
                        row = (len(rows), text, *range(100, 98 + columns))
                        transaction.put(tree, key, row)
                        rows[key] = row
        if chance.random() < 0.2:
            transaction.rollback()
        else:
            transaction.commit()
            model = after
        for _ in range(chance.choice((0, 0, 5, 20))):
            storage._scheduler.pump(0.001)  # type: ignore[attr-defined]
        if chance.random() < 0.15:
            if chance.random() < 0.5:
                storage.checkpoint()
            crash(storage)
            assert check_store(tmp_path / "data", KeyFile()) == []
            storage = open_store(tmp_path, TINY, PumpScheduler())
            for tree, (_, rows) in model.items():
                assert read_all(storage, tree) == rows, tree
            assert {one.spec.tree_id for one in storage.roots.newest.trees()} == set(model)
    storage.close()
    assert check_store(tmp_path / "data", KeyFile()) == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", SOAK_SEEDS)
def test_random_work_for_long(tmp_path: Path, seed: int) -> None:
    test_random_work(tmp_path, seed)
    test_random_trees(tmp_path / "trees", seed)
