from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from helios_storage import commit
from helios_storage.check import check_store
from helios_storage.errors import StorageFull
from helios_storage.keyring import KeyFile
from helios_storage.log import list_segments
from helios_storage.options import StorageOptions
from helios_storage.store.lmdb import LmdbWrite
from tests.storage.pump import PumpScheduler
from tests.storage.stores import SMALL, crash, make_tree, open_store, put_rows, read_all


def stored_pages(storage: Any) -> int:
    return int(storage._store.page_count())


def test_replaced_pages_are_deleted_once_two_roots_are_past_them(tmp_path: Path) -> None:
    storage = open_store(tmp_path)
    tree_id = make_tree(storage)
    put_rows(storage, tree_id, {k: (k, "x" * 80) for k in range(5000)})
    storage.checkpoint()
    first = stored_pages(storage)
    for turn in range(6):
        put_rows(storage, tree_id, {k: (k, "y" * 80 + str(turn)) for k in range(0, 5000, 10)})
        storage.checkpoint()
        assert stored_pages(storage) <= 2.2 * first + 4
    storage.checkpoint()
    storage.checkpoint()
    assert stored_pages(storage) <= 1.2 * first + 4
    assert len(storage._store.roots()) == 2
    storage.close()
    assert check_store(tmp_path / "data", KeyFile()) == []


def test_a_snapshot_keeps_its_pages(tmp_path: Path) -> None:
    options = StorageOptions(cache_bytes=1 << 20, checkpoint_seconds=0, segment_bytes=1 << 20)
    storage = open_store(tmp_path, options, PumpScheduler())
    tree_id = make_tree(storage)
    put_rows(storage, tree_id, {k: (k, "old" * 20) for k in range(20_000)})
    storage.checkpoint()
    transaction = storage.begin()
    snapshot = transaction.snapshot()
    for _ in range(4):
        put_rows(storage, tree_id, {k: (k, "new") for k in range(0, 20_000, 3)})
        storage.checkpoint()
    storage.cache.budget_bytes = 1
    storage.cache.evict()
    storage.cache.budget_bytes = options.cache_bytes
    seen = [row for _, rows in snapshot.batches(tree_id) for row in rows]
    assert len(seen) == 20_000 and {text for _, text in seen} == {"old" * 20}
    kept = storage.checkpointer.garbage.count()
    assert kept > 100
    snapshot.release()
    transaction.rollback()
    put_rows(storage, tree_id, {1: (1, "z")})
    storage.checkpoint()
    storage.checkpoint()
    assert storage.checkpointer.garbage.count() < 20
    storage.close()
    assert check_store(tmp_path / "data", KeyFile()) == []


def test_the_log_goes_when_two_roots_hold_it(tmp_path: Path) -> None:
    storage = open_store(tmp_path)
    tree_id = make_tree(storage)
    for turn in range(8):
        put_rows(storage, tree_id, {k: (k, "x" * 500 + str(turn)) for k in range(2000)})
        storage.checkpoint()
    segments = list_segments(tmp_path / "data" / "log")
    assert segments[0] > 1 and len(segments) <= 5
    storage.close()


def test_commits_during_a_checkpoint(tmp_path: Path) -> None:
    scheduler = PumpScheduler()
    storage = open_store(tmp_path, SMALL, scheduler)
    tree_id = make_tree(storage)
    put_rows(storage, tree_id, {k: (k, "x" * 80) for k in range(10_000)})
    model = {k: (k, "x" * 80) for k in range(10_000)}
    chance = random.Random(5)
    for turn in range(5):
        done: list[Any] = []
        storage._wait_durable()
        storage.checkpointer.start(done.append)
        count = 0
        while not done:
            key = chance.randrange(10_000)
            row = (key, f"{turn} {count}")
            put_rows(storage, tree_id, {key: row})
            model[key] = row
            count += 1
            scheduler.pump(0.01)
        assert done == [None] and count > 3
    crash(storage)
    assert check_store(tmp_path / "data", KeyFile()) == []
    storage = open_store(tmp_path)
    assert read_all(storage, tree_id) == model
    storage.close()
    assert check_store(tmp_path / "data", KeyFile()) == []


def test_a_full_store_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_store(tmp_path)
    tree_id = make_tree(storage)
    put_rows(storage, tree_id, {k: (k, "x" * 80) for k in range(3000)})
    storage.checkpoint()
    put_rows(storage, tree_id, {k: (k, "y" * 80) for k in range(0, 3000, 2)})
    expected = read_all(storage, tree_id)

    def full(self: Any) -> None:
        self.abort()
        raise StorageFull("pages could not be written: no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(LmdbWrite, "commit", full)
        for _ in range(2):
            with pytest.raises(StorageFull):
                storage.checkpoint()
    assert read_all(storage, tree_id) == expected
    put_rows(storage, tree_id, {7: (7, "z")})
    storage.checkpoint()
    expected[7] = (7, "z")
    storage.close()
    assert check_store(tmp_path / "data", KeyFile()) == []
    storage = open_store(tmp_path)
    assert read_all(storage, tree_id) == expected
    storage.close()


def test_large_transactions_are_stored_early_and_leave_nothing_behind(tmp_path: Path) -> None:
    scheduler = PumpScheduler()
    options = StorageOptions(cache_bytes=8 << 20, checkpoint_seconds=0)
    storage = open_store(tmp_path, options, scheduler)
    tree_id = make_tree(storage)
    keys = list(range(150_000))
    for commits in (True, False, True):
        transaction = storage.begin()
        chance = keys if commits else keys[::-1]
        for start in range(0, len(keys), 5000):
            part = chance[start : start + 5000]
            transaction.put_many(tree_id, part, [(k, f"{commits}" * 20) for k in part])
        assert storage._store.page_count() > 300, "pages of the transaction are in the store"
        if commits:
            transaction.commit()
        else:
            transaction.rollback()
        for _ in range(3):
            storage.checkpoint()
    found = read_all(storage, tree_id)
    assert len(found) == len(keys) and found[3] == (3, "True" * 20)
    storage.close()
    assert check_store(tmp_path / "data", KeyFile()) == []


def test_large_values_of_large_transactions_leave_nothing_behind(tmp_path: Path) -> None:
    scheduler = PumpScheduler()
    options = StorageOptions(cache_bytes=8 << 20, checkpoint_seconds=0)
    storage = open_store(tmp_path, options, scheduler)
    tree_id = make_tree(storage)
    rows = {key: (key, "x" * 3000) for key in range(0, 12_000, 2)}
    # joined behind, rolled back, merged into what is there, merged again
    for turn, (start, commits) in enumerate(((0, True), (1, False), (1, True), (0, True))):
        transaction = storage.begin()
        keys = list(range(start, 12_000, 2))
        for at in range(0, len(keys), 1000):
            part = keys[at : at + 1000]
            new = [(k, chr(97 + turn) * 3000) for k in part]
            transaction.put_many(tree_id, part, new)
            if commits:
                rows.update(zip(part, new, strict=True))
        if commits:
            transaction.commit()
            put_rows(storage, tree_id, {2: (2, "small")})
            rows[2] = (2, "small")
        else:
            transaction.rollback()
        for _ in range(3):
            storage.checkpoint()
    assert read_all(storage, tree_id) == rows
    storage.close()
    assert check_store(tmp_path / "data", KeyFile()) == []


def test_dropped_trees_give_their_pages_back(tmp_path: Path) -> None:
    storage = open_store(tmp_path)
    kept = make_tree(storage)
    put_rows(storage, kept, {1: (1, "x")})
    storage.checkpoint()
    storage.checkpoint()
    before = stored_pages(storage)
    tree_id = make_tree(storage)
    put_rows(storage, tree_id, {k: (k, "large" * 8000) for k in range(50)})
    storage.checkpoint()
    assert stored_pages(storage) > before + 100
    transaction = storage.begin()
    transaction.drop_tree(tree_id)
    transaction.commit()
    for _ in range(3):
        storage.checkpoint()
    assert stored_pages(storage) <= before + 2
    storage.close()
    assert check_store(tmp_path / "data", KeyFile()) == []


def test_a_failed_sync_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_store(tmp_path)
    tree_id = make_tree(storage)
    ended: list[int] = []

    class EndedError(BaseException):
        pass

    def end(status: int) -> None:
        ended.append(status)
        raise EndedError

    def fail(*arguments: Any) -> int:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "_exit", end)
        patch.setattr(os, "pwritev", fail)
        acknowledged: list[int] = []
        transaction = storage.begin()
        transaction.put(tree_id, 1, (1, "x"))
        with pytest.raises(EndedError):
            transaction.commit()
    assert ended == [commit.EXIT_SYNC_FAILED] and acknowledged == []
    storage._store.close()
    storage._directory.close()
