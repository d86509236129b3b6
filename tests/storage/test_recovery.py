from __future__ import annotations

import random
from pathlib import Path

import pytest

from helios_storage.check import check_store
from helios_storage.errors import StorageRefused
from helios_storage.keyring import KeyFile
from helios_storage.log import list_segments, segment_path
from helios_storage.spec import TreeSpec
from tests.storage.stores import crash, make_tree, open_store, put_rows, read_all


def test_commits_since_the_checkpoint_come_back(tmp_path: Path) -> None:
    storage = open_store(tmp_path)
    tree_id = make_tree(storage)
    put_rows(storage, tree_id, {key: (key, "old") for key in range(2000)})
    storage.checkpoint()
    put_rows(storage, tree_id, {key: (key, "new") for key in range(0, 2000, 3)})
    put_rows(storage, tree_id, dict.fromkeys(range(0, 2000, 5)))
    put_rows(storage, tree_id, {key: (key, "far") for key in range(5000, 6000)})
    expected = read_all(storage, tree_id)
    lsn = storage.durable_lsn
    crash(storage)
    storage = open_store(tmp_path)
    assert read_all(storage, tree_id) == expected
    assert storage.durable_lsn == lsn
    crash(storage)
    storage = open_store(tmp_path)
    assert read_all(storage, tree_id) == expected
    storage.close()
    assert check_store(tmp_path / "data", KeyFile()) == []


def test_random_work_against_a_dict(tmp_path: Path) -> None:
    chance = random.Random(seed := 20261124)
    storage = open_store(tmp_path)
    tree_id = make_tree(storage, "tq", "bytes")
    model: dict[bytes, tuple[str, int]] = {}
    for turn in range(40):
        rows: dict[bytes, tuple[str, int] | None] = {}
        for _ in range(chance.choice((1, 3, 400))):
            key = b"k%05d" % chance.randrange(3000)
            text = "x" * chance.choice((3, 3, 3, 300, 9000))
            rows[key] = None if chance.random() < 0.3 else (text, turn)
        put_rows(storage, tree_id, rows)
        model.update({key: row for key, row in rows.items() if row is not None})
        for key in [key for key, row in rows.items() if row is None]:
            model.pop(key, None)
        what = chance.random()
        if what < 0.2:
            storage.checkpoint()
        elif what < 0.4:
            crash(storage)
            storage = open_store(tmp_path)
            assert read_all(storage, tree_id) == model, seed
    storage.close()
    assert check_store(tmp_path / "data", KeyFile()) == [], seed


def test_trees_made_widened_and_dropped(tmp_path: Path) -> None:
    storage = open_store(tmp_path)
    kept, dropped = make_tree(storage), make_tree(storage)
    put_rows(storage, kept, {1: (1, "before")})
    put_rows(storage, dropped, {1: (1, "gone")})
    transaction = storage.begin()
    transaction.widen_tree(kept, "i", (42,))
    transaction.drop_tree(dropped)
    transaction.commit()
    put_rows(storage, kept, {2: (2, "after", 7)})
    crash(storage)
    storage = open_store(tmp_path)
    assert read_all(storage, kept) == {1: (1, "before", 42), 2: (2, "after", 7)}
    assert storage.roots.newest.find(dropped) is None
    assert storage.allocate_tree_id() > dropped
    storage.close()
    assert check_store(tmp_path / "data", KeyFile()) == []


def test_sequences_never_repeat(tmp_path: Path) -> None:
    given = set()
    for turn in range(4):
        storage = open_store(tmp_path)
        for _ in range(50):
            value = storage.sequences.advance(9)
            assert value not in given
            given.add(value)
        if turn == 2:
            storage.checkpoint()
        crash(storage)


def test_a_large_commit_is_all_or_nothing(tmp_path: Path) -> None:
    storage = open_store(tmp_path)
    tree_id = make_tree(storage)
    rows = 20_000
    for value, ends in (("committed", True), ("rolled back", False), ("cut", None)):
        transaction = storage.begin()
        keys = list(range(rows))
        transaction.put_many(tree_id, keys, [(key, value) for key in keys])
        if ends:
            transaction.commit()
        elif ends is False:
            transaction.rollback()
    storage.commits.start_sync_if_idle()
    crash(storage)
    storage = open_store(tmp_path)
    assert set(read_all(storage, tree_id).values()) == {(k, "committed") for k in range(rows)}
    storage.close()
    assert check_store(tmp_path / "data", KeyFile()) == []


def test_a_large_commit_into_a_tree_of_its_own(tmp_path: Path) -> None:
    storage = open_store(tmp_path)
    transaction = storage.begin()
    tree_id = storage.allocate_tree_id()
    transaction.create_tree(TreeSpec(tree_id, "int", "q"))
    keys = list(range(20_000))
    transaction.put_many(tree_id, keys, [(key,) for key in keys])
    for key in range(0, 20_000, 7):
        transaction.delete(tree_id, key)
    transaction.commit()
    expected = read_all(storage, tree_id)
    assert len(expected) == 20_000 - 2858
    crash(storage)
    storage = open_store(tmp_path)
    assert read_all(storage, tree_id) == expected
    storage.close()
    assert check_store(tmp_path / "data", KeyFile()) == []


def test_a_large_commit_of_deletes_only(tmp_path: Path) -> None:
    storage = open_store(tmp_path)
    tree_id = make_tree(storage)
    put_rows(storage, tree_id, {key: (key, "x") for key in range(20_000)})
    put_rows(storage, tree_id, dict.fromkeys(range(0, 20_000, 2)))
    transaction = storage.begin()
    transaction.put_many(tree_id, range(50_000, 60_000), [(k, "y") for k in range(50_000, 60_000)])
    transaction.put_many(tree_id, range(50_000, 60_000), [None] * 10_000)
    transaction.commit()
    expected = read_all(storage, tree_id)
    assert len(expected) == 10_000
    crash(storage)
    storage = open_store(tmp_path)
    assert read_all(storage, tree_id) == expected
    storage.close()
    assert check_store(tmp_path / "data", KeyFile()) == []


def test_parts_without_a_commit_are_dropped(tmp_path: Path) -> None:
    storage = open_store(tmp_path)
    tree_id = make_tree(storage)
    storage.commits.append_ahead(77, [(tree_id, 1, b"")])
    storage.commits.append_ahead(78, [(tree_id, 2, b"")])
    storage.commits.abandon(78)
    put_rows(storage, tree_id, {3: (3, "x")})
    storage.checkpoint()
    assert storage.checkpointer.replay_lsn < storage.checkpointer.lsn
    crash(storage)
    storage = open_store(tmp_path)
    assert read_all(storage, tree_id) == {3: (3, "x")}
    assert storage.manager.next_xid > 78
    storage.close()


def test_pages_newer_than_the_log_refuse_the_start(tmp_path: Path) -> None:
    storage = open_store(tmp_path)
    tree_id = make_tree(storage)
    put_rows(storage, tree_id, {1: (1, "x")})
    storage.close()
    log = tmp_path / "data" / "log"
    for number in list_segments(log):
        segment_path(log, number).unlink()
    with pytest.raises(StorageRefused, match="log"):
        open_store(tmp_path)


def test_temporary_trees_do_not_survive(tmp_path: Path) -> None:
    storage = open_store(tmp_path)
    transaction = storage.begin()
    tree_id = storage.allocate_tree_id()
    transaction.create_tree(TreeSpec(tree_id, "int", "q", temporary=True))
    transaction.put(tree_id, 1, (1,))
    transaction.commit()
    storage.checkpoint()
    assert read_all(storage, tree_id) == {1: (1,)}
    storage.close()
    storage = open_store(tmp_path)
    assert storage.roots.newest.find(tree_id) is None
    storage.close()
