"""Trees against dicts: random changes, old roots stay as they were, pages keep their size."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helios_storage import cursor, runs
from helios_storage.cursor import KeyRange
from helios_storage.page import PAGE_BYTES_MAX, EditToken, Leaf
from helios_storage.reader import reader_of
from helios_storage.tree import Edit, apply, empty_tree, put
from tests.storage.trees import PAGES, SHAPES, as_dict, check_tree, rows_of, spec_of


def random_key(rng, kind):
    number = rng.randrange(4000)
    return number - 2000 if kind == "int" else b"%d" % number * rng.choice([1, 1, 1, 60])


@pytest.mark.parametrize("kind", ["int", "bytes"])
@pytest.mark.parametrize("seed", range(3))
def test_random_changes_and_old_roots(kind, seed):
    rng = random.Random(seed)
    spec = spec_of("qtb?", kind)
    tree = empty_tree(spec)
    edit = Edit(PAGES, EditToken())
    model, pinned = {}, []
    for step in range(9000):
        key = random_key(rng, kind)
        if rng.random() < (0.3 if step < 6000 else 0.8):
            model.pop(key, None)
            tree = put(tree, key, None, step, edit)
        else:
            text = "x" * rng.choice([0, 5, 200, 5000 if rng.random() < 0.02 else 3])
            row = (rng.randrange(9), text if rng.random() < 0.9 else None, b"yz", None)
            model[key] = row
            tree = put(tree, key, row, step, edit)
        if step % 1500 == 0:
            pinned.append((tree, dict(model)))
            edit = Edit(PAGES, EditToken())
    check_tree(tree)
    assert as_dict(tree) == model
    for old, then in pinned:
        check_tree(old)
        assert as_dict(old) == then
    for leaf in cursor.leaves(tree.ref, cursor.EVERYTHING, spec, PAGES, reverse=False):
        assert leaf.encoded_size() <= PAGE_BYTES_MAX
    for key in list(model):
        tree = put(tree, key, None, 0, edit)
    assert tree.ref.count == 0
    assert type(tree.ref.page) is Leaf


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_shapes(data):
    spec = spec_of(data.draw(SHAPES))
    changes = data.draw(
        st.lists(st.tuples(st.integers(0, 12), st.none() | rows_of(spec.shapes)), max_size=30)
    )
    tree, edit, model = empty_tree(spec), Edit(PAGES, EditToken()), {}
    for key, row in changes:
        tree = put(tree, key, row, 1, edit)
        model[key] = row
        if row is None:
            del model[key]
    check_tree(tree)
    assert as_dict(tree) == model
    columns = data.draw(
        st.lists(st.sampled_from(range(len(spec.shapes))), max_size=4)
        if spec.shapes
        else st.just([])
    )
    reader = reader_of(spec.shapes, tuple(columns))
    batches = list(cursor.batches(tree, cursor.EVERYTHING, reader, PAGES))
    rows = [row for _, part in batches for row in part]
    assert rows == [tuple(model[key][c] for c in columns) for key in sorted(model)]


@pytest.mark.parametrize("order", ["up", "down"])
def test_keys_in_order_fill_leaves(order):
    spec = spec_of("qq")
    tree, edit = empty_tree(spec), Edit(PAGES, EditToken())
    keys = range(20_000) if order == "up" else range(20_000, 0, -1)
    for key in keys:
        tree = put(tree, key, (key, key), 1, edit)
    check_tree(tree)
    leaves = list(cursor.leaves(tree.ref, cursor.EVERYTHING, spec, PAGES, reverse=False))
    fill = sum(leaf.encoded_size() for leaf in leaves) / len(leaves) / 8176
    assert fill > (0.95 if order == "up" else 0.45)


@given(
    keys=st.sets(st.integers(0, 500), max_size=300),
    low=st.none() | st.integers(-1, 501),
    high=st.none() | st.integers(-1, 501),
    inclusive=st.tuples(st.booleans(), st.booleans()),
    reverse=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_ranges(keys, low, high, inclusive, reverse):
    spec = spec_of("t")
    edit = Edit(PAGES, EditToken())
    items = [(key, ("x" * 200,)) for key in sorted(keys)]
    tree = apply(empty_tree(spec), items, 1, edit)
    span = KeyRange(low, high, low_inclusive=inclusive[0], high_inclusive=inclusive[1])
    expected = [
        key
        for key in sorted(keys)
        if (low is None or key > low or (inclusive[0] and key == low))
        and (high is None or key < high or (inclusive[1] and key == high))
    ]
    reader = reader_of("t", ())
    found = [k for ks, _ in cursor.batches(tree, span, reader, PAGES, reverse=reverse) for k in ks]
    assert found == (expected[::-1] if reverse else expected)
    assert cursor.count_range(tree, span, PAGES) == len(expected)
    for n, key in enumerate(sorted(keys)):
        assert cursor.nth(tree, n, reader, PAGES)[0] == key
    assert cursor.nth(tree, len(keys), reader, PAGES) is None


@pytest.mark.parametrize("kind", ["int", "bytes"])
def test_bulk_runs_are_like_single_rows(kind):
    spec = spec_of("qt", kind)

    def key_of(n):
        return n if kind == "int" else b"%08d" % n

    tree, model = empty_tree(spec), {}
    for start, count in ((0, 3), (3, 5000), (5003, 63), (5066, 20_000)):
        edit = Edit(PAGES, EditToken())
        items = [(key_of(n), (n, "v" * (n % 90))) for n in range(start, start + count)]
        before, then = tree, dict(model)
        tree = runs.put_sorted(tree, items, 1, edit)
        model.update(items)
        check_tree(tree)
        assert as_dict(before) == then
    assert as_dict(tree) == model
    other = runs.put_sorted(
        empty_tree(spec),
        [(key_of(n), (n, "w")) for n in range(30_000, 60_000)],
        2,
        Edit(PAGES, EditToken()),
    )
    joined = runs.join_behind(tree, other, Edit(PAGES, EditToken()))
    check_tree(joined)
    assert joined.ref.count == len(model) + 30_000
    assert as_dict(tree) == model


def test_deleting_merges_thin_leaves():
    spec = spec_of("qt")
    tree = runs.put_sorted(
        empty_tree(spec), [(n, (n, "x" * 50)) for n in range(50_000)], 1, Edit(PAGES, EditToken())
    )
    edit = Edit(PAGES, EditToken())
    for n in range(50_000):
        if n % 50:
            tree = put(tree, n, None, 1, edit)
    check_tree(tree)
    leaves = list(cursor.leaves(tree.ref, cursor.EVERYTHING, spec, PAGES, reverse=False))
    assert len(leaves) < 60
