from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest

from helios_storage.check import check_store
from helios_storage.dump import dump_log, dump_page, dump_roots
from helios_storage.errors import Corrupted, StorageError
from helios_storage.keyring import KeyFile, open_keyring
from helios_storage.page import Inner, Leaf, decode_page, encode_page
from helios_storage.recovery import load_directory, pick_root
from helios_storage.seal import PageOpener, PageSealer, StoreIdentity
from helios_storage.spec import TreeId
from helios_storage.store.lmdb import _ID, LmdbStore
from tests.storage.stores import crash, make_tree, open_store, put_rows, read_all


@pytest.fixture()
def made(tmp_path: Path) -> tuple[Path, TreeId]:
    storage = open_store(tmp_path)
    tree_id = make_tree(storage, "qt")
    put_rows(storage, tree_id, {key: (key, f"value {key}") for key in range(3000)})
    put_rows(storage, tree_id, {5000: (5000, "large" * 5000)})
    storage.close()
    return tmp_path, tree_id


def change_store(path: Path, change: Callable[[Any, Any], None]) -> None:
    env = lmdb.open(str(path / "data" / "pages"), max_dbs=2, map_size=1 << 30)
    pages = env.open_db(b"pages", integerkey=True)
    with env.begin(db=pages, write=True) as transaction:
        change(transaction, pages)
    env.close()


def stored(path: Path, tree_id: TreeId) -> tuple[list[int], list[int]]:
    """Page ids of a tree: (inner, leaves)."""
    ring = open_keyring(path / "data", KeyFile(), create=False)
    store = LmdbStore(path / "data" / "pages", map_bytes=1 << 20, read_only=True)
    opener = PageOpener(ring, StoreIdentity(ring.store_id))
    tree = load_directory(pick_root(store, opener), store, opener).tree(tree_id)
    inner, leaves, refs = [], [], [tree.ref]
    while refs:
        ref = refs.pop()
        (data,) = store.read([ref.page_id])
        assert data is not None
        page = decode_page(opener.open(ref.page_id, ref.tag, data), tree.spec)
        if type(page) is Inner:
            inner.append(ref.page_id)
            refs += page.children
        else:
            leaves.append(ref.page_id)
    store.close()
    return inner, leaves


def test_a_sound_store(made: tuple[Path, TreeId]) -> None:
    assert check_store(made[0] / "data", KeyFile()) == []


def test_flipped_swapped_and_absent_pages(made: tuple[Path, TreeId]) -> None:
    path, tree_id = made
    _, leaves = stored(path, tree_id)
    first, second, third, fourth = leaves[:4]

    def damage(transaction: Any, pages: Any) -> None:
        page = bytearray(transaction.get(_ID.pack(first)))
        page[100] ^= 1
        transaction.put(_ID.pack(first), bytes(page))
        a, b = transaction.get(_ID.pack(second)), transaction.get(_ID.pack(third))
        transaction.put(_ID.pack(second), b)
        transaction.put(_ID.pack(third), a)
        transaction.delete(_ID.pack(fourth))

    change_store(path, damage)
    findings = check_store(path / "data", KeyFile())
    for page_id in (first, second, third, fourth):
        assert any(f.startswith(f"page {page_id}: invariant 1:") for f in findings), findings
    storage = open_store(path)
    with pytest.raises(Corrupted):
        read_all(storage, tree_id)
    crash(storage)


def test_an_older_copy_of_a_page_is_not_accepted(tmp_path: Path) -> None:
    storage = open_store(tmp_path)
    tree_id = make_tree(storage)
    put_rows(storage, tree_id, {1: (1, "old")})
    storage.close()
    _, (old_id,) = stored(tmp_path, tree_id)
    kept: list[bytes] = []
    change_store(tmp_path, lambda txn, pages: kept.append(txn.get(_ID.pack(old_id))))
    storage = open_store(tmp_path)
    put_rows(storage, tree_id, {1: (1, "new")})
    storage.close()
    _, (new_id,) = stored(tmp_path, tree_id)
    change_store(tmp_path, lambda txn, pages: txn.put(_ID.pack(new_id), kept[0]))
    storage = open_store(tmp_path)
    with pytest.raises(Corrupted, match="not the one its parent refers to"):
        read_all(storage, tree_id)
    crash(storage)


def test_a_stranger_is_found(made: tuple[Path, TreeId]) -> None:
    path, tree_id = made
    inner, _ = stored(path, tree_id)
    stray = inner[0] - 1
    change_store(path, lambda txn, pages: txn.put(_ID.pack(0), txn.get(_ID.pack(stray))))
    assert check_store(path / "data", KeyFile()) == [
        "page 0: invariant 7: stored, but nobody refers to it"
    ]


def test_wrong_keys_and_counts_are_found(made: tuple[Path, TreeId]) -> None:
    """A page that is sealed well, yet breaks a rule, as a bug of ours would leave it."""
    path, tree_id = made
    ring = open_keyring(path / "data", KeyFile(), create=False)
    identity = StoreIdentity(ring.store_id)
    opener, sealer = PageOpener(ring, identity), PageSealer(ring, identity)
    store = LmdbStore(path / "data" / "pages", map_bytes=1 << 30)
    record = pick_root(store, opener)
    tree = load_directory(record, store, opener).tree(tree_id)
    (data,) = store.read([tree.ref.page_id])
    assert data is not None
    root: Any = decode_page(opener.open(tree.ref.page_id, None, data), tree.spec)
    child = root.children[1]
    (data,) = store.read([child.page_id])
    assert data is not None
    leaf: Any = decode_page(opener.open(child.page_id, None, data), tree.spec)
    assert type(leaf) is Leaf
    leaf.keys[3], leaf.keys[4] = leaf.keys[4], leaf.keys[3]
    page = sealer.seal(child.page_id, 0, encode_page(leaf))
    child.tag = page[-16:]
    child.count += 1
    top = sealer.seal(tree.ref.page_id, 1, encode_page(root))
    write = store.begin_write()
    write.put(child.page_id, page)
    write.put(tree.ref.page_id, top)
    write.commit()
    from helios_storage.check import Checker, StoredPages, _Tree, _Walk

    checker = Checker(store, opener)
    walk = _Walk(
        checker, _Tree(tree.spec), StoredPages(store, opener), record.next_page_id, is_newest=True
    )
    tree.ref.tag = top[-16:]
    walk.page(tree.ref, None, None, 0)
    store.close()
    assert f"page {child.page_id}: invariant 3: its keys do not ascend" in checker.findings
    assert any(f.startswith(f"page {child.page_id}: invariant 4:") for f in checker.findings)


def test_a_flipped_log_is_found(tmp_path: Path) -> None:
    storage = open_store(tmp_path)
    tree_id = make_tree(storage)
    for key in range(5):
        put_rows(storage, tree_id, {key: (key, "x")})
    crash(storage)
    (segment,) = (tmp_path / "data" / "log").glob("*.log")
    data = bytearray(segment.read_bytes())
    data[150] ^= 1
    segment.write_bytes(data)
    (finding,) = check_store(tmp_path / "data", KeyFile())
    assert finding.startswith("log: invariant 9: ")
    with pytest.raises(StorageError):
        open_store(tmp_path)


def test_dumps(made: tuple[Path, TreeId]) -> None:
    path, tree_id = made
    data = path / "data"
    roots = list(dump_roots(data, KeyFile()))
    assert roots[0].startswith("root ")
    assert f"tree {tree_id}: int keys, columns 'qt', 3001 rows" in roots[-1]
    inner, leaves = stored(path, tree_id)
    assert "inner, " in "\n".join(dump_page(data, KeyFile(), inner[0]))
    plain = "\n".join(dump_page(data, KeyFile(), leaves[-1]))
    assert f"leaf of tree {tree_id}" in plain and "value" not in plain
    assert "value 0" in "\n".join(
        dump_page(data, KeyFile(), leaves[-1], tree_id=tree_id, values=True)
    )
    with pytest.raises(Corrupted, match="absent"):
        list(dump_page(data, KeyFile(), 1 << 40))
    storage = open_store(path)
    put_rows(storage, tree_id, {9: (9, "secret"), 10: None})
    storage.sequences.advance(3)
    crash(storage)
    text = "\n".join(dump_log(data, KeyFile()))
    assert f"tree {tree_id}: put" in text and f"tree {tree_id}: deleted" in text
    assert "sequence 3" in text and "secret" not in text and "key 9" not in text
    assert "key 9" in "\n".join(dump_log(data, KeyFile(), values=True))
