"""Small stores for tests: open, fill, and leave without a good-bye as a crash would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from helios_storage.keyring import KeyFile
from helios_storage.options import StorageOptions
from helios_storage.scheduler import Scheduler
from helios_storage.spec import Row, TreeId, TreeSpec
from helios_storage.storage import Storage

SMALL = StorageOptions(segment_bytes=1 << 20, checkpoint_seconds=0, cache_bytes=4 << 20)


def open_store(
    path: Path, options: StorageOptions = SMALL, scheduler: Scheduler | None = None
) -> Storage:
    return Storage.open(path / "data", KeyFile(), options, scheduler)


def make_tree(storage: Storage, shapes: str = "qt", key_kind: Any = "int") -> TreeId:
    transaction = storage.begin()
    tree_id = storage.allocate_tree_id()
    transaction.create_tree(TreeSpec(tree_id, key_kind, shapes))
    transaction.commit()
    return tree_id


def put_rows(storage: Storage, tree_id: TreeId, rows: dict[Any, Row | None]) -> None:
    transaction = storage.begin()
    for key, row in rows.items():
        if row is None:
            transaction.delete(tree_id, key)
        else:
            transaction.put(tree_id, key, row)
    transaction.commit()


def read_all(storage: Storage, tree_id: TreeId) -> dict[Any, Row]:
    transaction = storage.begin()
    snapshot = transaction.snapshot()
    found: dict[Any, Row] = {}
    for keys, rows in snapshot.batches(tree_id, with_keys=True):
        assert keys is not None
        found.update(zip(keys, rows, strict=True))
    assert len(found) == snapshot.count(tree_id)
    snapshot.release()
    transaction.rollback()
    return found


def crash(storage: Storage) -> None:
    """Let go of files without a checkpoint, as the kernel does for a killed process."""
    storage.commits.close()
    storage.checkpointer.close()
    storage._store.close()
    storage._directory.close()
