"""Scans: merging of sorted streams, pages that are not in memory, what a scan sees."""

from hypothesis import given
from hypothesis import strategies as st

from helios_storage import cursor, runs
from helios_storage.cursor import KeyRange
from helios_storage.memory import MemoryPages
from helios_storage.page import EditToken, PageId, children_of, decode_page, encode_page
from helios_storage.reader import reader_of
from helios_storage.tree import Edit, empty_tree
from tests.storage.test_transaction import contents, make
from tests.storage.trees import PAGES, as_dict, spec_of

STREAM = st.dictionaries(st.integers(0, 60), st.none() | st.integers(), max_size=40)


def cut_up(rows, sizes, *, reverse):
    keys = sorted(rows, reverse=reverse)
    at = 0
    for size in [*sizes, 100]:
        part = keys[at : at + size]
        if part:
            yield part, [rows[key] for key in part]
        at += size


@given(
    streams=st.lists(STREAM, min_size=2, max_size=4),
    sizes=st.lists(st.integers(1, 7), max_size=8),
    reverse=st.booleans(),
)
def test_overlay_is_dict_update(streams, sizes, reverse):
    model = {}
    merged = iter(())
    for rows in streams:
        model.update(rows)
        merged = cursor.overlay(merged, cut_up(rows, sizes, reverse=reverse), reverse=reverse)
    found = list(cursor.without_tombstones(merged))
    keys = [key for part, _ in found for key in part]
    assert keys == sorted((k for k, r in model.items() if r is not None), reverse=reverse)
    values = [row for _, rows in found for row in rows]
    assert values == [model[key] for key in keys]


class StoredPages(MemoryPages):
    """Pages that leave memory after each use, as under a tiny cache."""

    def __init__(self):
        self.store = {}
        self.loads = self.prefetches = 0

    def put_away(self, ref, spec):
        for child in children_of(ref.page):
            self.put_away(child, spec)
        ref.page_id = PageId(len(self.store) + 1)
        self.store[ref.page_id] = encode_page(ref.page)
        ref.page = None

    def load(self, ref, spec):
        self.loads += 1
        return decode_page(self.store[ref.page_id], spec)

    load_now = load

    def prefetch(self, refs, spec):
        self.prefetches += 1
        return [self.load(ref, spec) for ref in refs]


def test_scans_of_pages_that_are_not_in_memory():
    spec = spec_of("qt")
    items = [(n, (n, "text" * (n % 9))) for n in range(30_000)]
    tree = runs.put_sorted(empty_tree(spec), items, 1, Edit(PAGES, EditToken()))
    pages = StoredPages()
    pages.put_away(tree.ref, spec)
    assert as_dict(tree, pages) == dict(items)
    assert pages.prefetches < pages.loads / 10
    reader = reader_of("qt", (0,))
    span = KeyRange(20_000, 20_050)
    for reverse in (False, True):
        batches = cursor.batches(tree, span, reader, pages, reverse=reverse)
        found = [row[0] for _, rows in batches for row in rows]
        assert found == sorted(range(20_000, 20_050), reverse=reverse)
    assert cursor.nth(tree, 12_345, reader, pages) == (12_345, (12_345,))
    assert cursor.count_range(tree, span, pages) == 50


def test_a_scan_does_not_see_what_its_own_statement_writes():
    manager, tree = make()
    setup = manager.begin()
    setup.put_many(tree, range(3000), [(n, "") for n in range(3000)])
    setup.commit()
    transaction = manager.begin()
    transaction.put(tree, 5, (5, "before"))
    snapshot = transaction.snapshot()
    seen = 0
    for keys, rows in snapshot.batches(tree, with_keys=True):
        for key, row in zip(keys, rows, strict=True):
            seen += 1
            transaction.delete(tree, key)
            transaction.put(tree, key + 10_000, row)
    assert seen == 3000
    after = transaction.snapshot()
    assert sorted(contents(after, tree)) == list(range(10_000, 13_000))
    assert len(contents(snapshot, tree)) == 3000
    for held in (snapshot, after):
        held.release()
    transaction.rollback()


def test_a_cursor_keeps_its_view_over_commits():
    manager, tree = make()
    setup = manager.begin()
    setup.put_many(tree, range(5000), [(n, "old") for n in range(5000)])
    setup.commit()
    reader = manager.begin()
    snapshot = reader.snapshot()
    stream = snapshot.batches(tree)
    first = next(stream)[1]
    for n in range(0, 5000, 100):
        other = manager.begin()
        other.put(tree, n, (n, "new"))
        other.delete(tree, n + 1)
        other.commit()
    rest = [row for _, rows in stream for row in rows]
    assert first + rest == [(n, "old") for n in range(5000)]
    snapshot.release()
    assert manager.roots.count_read() == 0
