from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest

from helios_storage.cache import ReadPace
from helios_storage.errors import Corrupted
from helios_storage.options import MEGABYTE, StorageOptions
from helios_storage.page import Inner, Ref
from helios_storage.spec import PageId, TreeId
from helios_storage.storage import Storage
from tests.storage.pump import PumpScheduler
from tests.storage.stores import crash, make_tree, open_store, put_rows, read_all

ROWS = 60_000
TINY = StorageOptions(cache_bytes=MEGABYTE, checkpoint_seconds=0, segment_bytes=1 << 20)


@pytest.fixture()
def big(tmp_path: Path) -> Any:
    """A tree of about 6 MB under a cache of 1 MB."""
    storage = open_store(tmp_path, TINY, PumpScheduler())
    tree_id = make_tree(storage)
    for start in range(0, ROWS, 5000):
        put_rows(storage, tree_id, {k: (k, "x" * 80) for k in range(start, start + 5000)})
    storage.checkpoint()
    settle(storage)
    yield storage, tree_id
    storage.close()


def resident(ref: Ref) -> int:
    """Pages that a tree holds in memory."""
    page = ref.page
    if page is None:
        return 0
    return 1 + (sum(map(resident, page.children)) if type(page) is Inner else 0)


def get(storage: Storage, tree_id: TreeId, key: int) -> Any:
    transaction = storage.begin()
    snapshot = transaction.snapshot()
    row = snapshot.get(tree_id, key)
    snapshot.release()
    transaction.rollback()
    return row


def settle(storage: Storage) -> None:
    for _ in range(3):
        storage._scheduler.pump(0.01)  # type: ignore[attr-defined]


def test_the_budget_holds_under_random_reads(big: tuple[Storage, TreeId]) -> None:
    storage, tree_id = big
    for _ in range(3000):
        key = random.randrange(ROWS)
        assert get(storage, tree_id, key) == (key, "x" * 80)
    settle(storage)
    cache = storage.cache
    assert cache.used_bytes <= TINY.cache_bytes
    assert cache.counters.evicted > 100
    linked = resident(storage.roots.newest.tree(tree_id).ref)
    assert linked * 8000 < 1.5 * TINY.cache_bytes
    assert cache.used_bytes > linked * 4000


def test_what_is_used_stays(big: tuple[Storage, TreeId]) -> None:
    storage, tree_id = big
    hot = [1000 * n for n in range(20)]
    for _ in range(200):
        for key in hot:
            get(storage, tree_id, key)
        for _ in range(10):
            get(storage, tree_id, random.randrange(ROWS))
    before = storage.cache.counters.misses
    for key in hot:
        get(storage, tree_id, key)
    assert storage.cache.counters.misses - before <= 4
    assert storage.cache.counters.relinked > 0


def test_a_scan_evicts_nobody(big: tuple[Storage, TreeId]) -> None:
    storage, tree_id = big
    for _ in range(500):
        get(storage, tree_id, random.randrange(ROWS))
    settle(storage)
    before = storage.cache.counters.evicted
    assert len(read_all(storage, tree_id)) == ROWS
    assert storage.cache.counters.prefetched > 300
    assert storage.cache.counters.evicted - before < 30
    assert storage.cache.used_bytes <= TINY.cache_bytes + 16_384  # one page over at most


def test_updates_of_more_than_the_budget(big: tuple[Storage, TreeId]) -> None:
    storage, tree_id = big
    for turn in range(300):
        keys = random.sample(range(ROWS), 10)
        put_rows(storage, tree_id, {key: (key, f"turn {turn}") for key in keys})
        settle(storage)
    assert storage.checkpointer.completed > 2
    assert storage.cache.used_bytes + storage.cache.dirty_bytes < 2.5 * TINY.cache_bytes
    assert len(read_all(storage, tree_id)) == ROWS


def test_open_leaves_have_a_budget(big: tuple[Storage, TreeId]) -> None:
    storage, tree_id = big
    cache = storage.cache
    spec = storage.roots.newest.tree(tree_id).spec
    inner: Any = cache.load(storage.roots.newest.tree(tree_id).ref.page.children[0], spec)  # type: ignore[union-attr]
    leaves: list[Any] = [cache.load(ref, spec) for ref in inner.children[:40]]
    opened = []
    for leaf in leaves:
        if cache.may_open(leaf):
            leaf.rows = []
            opened.append(leaf)
    assert opened and opened[-1].rows is not None and opened[0].rows is None


def test_an_absent_page_is_corruption_never_no_row(big: tuple[Storage, TreeId]) -> None:
    storage, tree_id = big
    spec = storage.roots.newest.tree(tree_id).spec
    for page_id in (1 << 40, 999_999):
        with pytest.raises(Corrupted, match="absent"):
            storage.cache.load(Ref(None, 1, PageId(page_id), bytes(16)), spec)
    with pytest.raises(Corrupted):
        storage.cache.load(Ref(None, 1), spec)


def test_slow_reads_go_to_threads_until_they_are_quick_again() -> None:
    pace = ReadPace()
    for _ in range(200):
        pace.note(20_000, 1)
    assert pace.is_quick
    for _ in range(3):
        pace.note(2_000_000, 1)
    assert not pace.is_quick
    for _ in range(63):
        pace.note(20_000, 1)
    pace.note(2_000_000, 1)
    assert not pace.is_quick
    for _ in range(64):
        pace.note(20_000, 1)
    assert pace.is_quick
    pace.note(2_000_000, 16)
    assert pace.is_quick


def test_reads_in_threads(big: tuple[Storage, TreeId]) -> None:
    storage, tree_id = big
    storage.cache.pace.is_quick = False
    for key in random.sample(range(ROWS), 30):
        assert get(storage, tree_id, key) == (key, "x" * 80)


def test_reads_from_several_threads_while_the_map_grows(tmp_path: Path) -> None:
    options = StorageOptions(map_bytes=1 << 20, checkpoint_seconds=0, segment_bytes=1 << 20)
    storage = open_store(tmp_path, options)
    tree_id = make_tree(storage)
    put_rows(storage, tree_id, {k: (k, "x" * 80) for k in range(2000)})
    storage.checkpoint()
    root = storage.roots.newest.tree(tree_id).ref.page
    assert type(root) is Inner
    places = [(ref.page_id, ref.tag) for ref in root.children]
    stop, failures = threading.Event(), []

    def reader() -> None:
        while not stop.is_set():
            try:
                storage.cache._read(places)
            except Exception as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=reader) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        storage._store._map_bytes *= 2  # type: ignore[attr-defined]
        storage._store._gate.alone(  # type: ignore[attr-defined]
            lambda: storage._store.env.set_mapsize(storage._store._map_bytes)  # type: ignore[attr-defined]
        )
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    crash(storage)
