from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from helios_storage.errors import StorageClosed
from helios_storage.log import LogWriter
from helios_storage.options import StorageOptions
from helios_storage.spec import TreeId
from helios_storage.storage import Storage
from tests.storage.pump import PumpScheduler
from tests.storage.stores import SMALL, crash, make_tree, open_store


class Gate:
    """Holds the log's thread before its writes; counts them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.opened = threading.Event()
        self.opened.set()
        self.batches: list[int] = []
        write = LogWriter.write

        def gated(writer: LogWriter, records: list[bytes]) -> None:
            assert self.opened.wait(10)
            self.batches.append(len(records))
            write(writer, records)

        patch.setattr(LogWriter, "write", gated)


def put(storage: Storage, tree_id: TreeId, key: int, value: str) -> int:
    transaction = storage.begin()
    transaction.put(tree_id, key, (key, value))
    return transaction.commit()


def read(storage: Storage, tree_id: TreeId, key: int, seen: int = 0) -> Any:
    transaction = storage.begin(seen=seen)  # type: ignore[arg-type]
    snapshot = transaction.snapshot()
    row = snapshot.get(tree_id, key)
    snapshot.release()
    transaction.rollback()
    return row


def test_commits_share_a_sync_and_are_answered_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    scheduler = PumpScheduler()
    storage = open_store(tmp_path, SMALL, scheduler)
    tree_id = make_tree(storage)
    storage._wait_durable()
    gate.batches.clear()
    gate.opened.clear()
    answered: list[int] = []
    lsns = []
    for key in range(3):
        lsns.append(put(storage, tree_id, key, "first"))
        storage.when_durable(lsns[-1], lambda key=key: answered.append(key))  # type: ignore[misc]
    scheduler.pump(0.05)  # the sync of these three begins
    for key in range(3, 8):
        lsns.append(put(storage, tree_id, key, "second"))
        storage.when_durable(lsns[-1], lambda key=key: answered.append(key))  # type: ignore[misc]
    assert answered == [] and storage.durable_lsn < lsns[0]
    gate.opened.set()
    while len(answered) < 8:
        scheduler.pump(1)
    assert answered == list(range(8))
    assert gate.batches == [3, 5]
    assert storage.durable_lsn == lsns[-1]
    storage.close()


def test_readers_see_what_is_durable_and_never_less_than_they_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    scheduler = PumpScheduler()
    storage = open_store(tmp_path, SMALL, scheduler)
    tree_id = make_tree(storage)
    put(storage, tree_id, 1, "old")
    storage._wait_durable()
    gate.opened.clear()
    lsn = put(storage, tree_id, 1, "new")
    scheduler.pump(0.05)
    assert read(storage, tree_id, 1) == (1, "old")
    assert read(storage, tree_id, 1, seen=lsn) == (1, "new")
    writer = storage.begin()
    assert writer.newest(tree_id, 1) == (1, "new")
    writer.rollback()
    gate.opened.set()
    storage._wait_durable()
    assert read(storage, tree_id, 1) == (1, "new")
    storage.close()


def test_close_makes_everything_durable(tmp_path: Path) -> None:
    storage = open_store(tmp_path, SMALL, PumpScheduler())
    tree_id = make_tree(storage)
    for key in range(100):
        put(storage, tree_id, key, "x")
    answered: list[bool] = []
    storage.when_durable(storage.commits.end_lsn, lambda: answered.append(True))
    crash(storage)  # closes the log without a checkpoint
    assert answered == [True]
    with pytest.raises(StorageClosed):
        storage.commits.append(1, [])
    storage = open_store(tmp_path)
    assert read(storage, tree_id, 99) == (99, "x")
    storage.close()
    with pytest.raises(StorageClosed):
        storage.begin()


def test_answers_wait_while_pages_change_faster_than_they_are_stored(tmp_path: Path) -> None:
    options = StorageOptions(cache_bytes=1 << 20, checkpoint_seconds=0, segment_bytes=1 << 20)
    scheduler = PumpScheduler()
    storage = open_store(tmp_path, options, scheduler)
    tree_id = make_tree(storage)
    highest = 0.0
    for turn in range(30):
        transaction = storage.begin()
        for key in range(turn * 1000, turn * 1000 + 1000):
            transaction.put(tree_id, key, (key, "x" * 100))
        lsn = transaction.commit()
        answered: list[bool] = []
        storage.when_durable(lsn, lambda: answered.append(True))  # noqa: B023
        while not answered:
            scheduler.pump(1)
        highest = max(highest, storage.cache.dirty_pressure())
    assert storage.checkpointer.completed > 3
    assert highest < 3
    storage.close()


def test_a_checkpoint_by_log_size_and_by_time(tmp_path: Path) -> None:
    options = StorageOptions(
        checkpoint_log_bytes=200_000, checkpoint_seconds=0.05, segment_bytes=1 << 20
    )
    scheduler = PumpScheduler()
    storage = open_store(tmp_path, options, scheduler)
    tree_id = make_tree(storage)
    put(storage, tree_id, 0, "x" * 250_000)
    storage._wait_durable()
    while not storage.checkpointer.completed:
        scheduler.pump(1)
    put(storage, tree_id, 1, "x")
    storage._wait_durable()
    assert storage.checkpointer.completed == 1
    while not storage.checkpointer.is_due():
        scheduler.pump(0.01)
    storage.checkpointer.start_if_due()
    while storage.checkpointer.completed < 2:
        scheduler.pump(1)
    assert storage.checkpointer.lsn == storage.durable_lsn
    assert not storage.checkpointer.is_due()
    storage.close()
