"""Pages as bytes: what goes in comes out, and what does not fit its head is refused."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_storage.errors import Corrupted
from helios_storage.large import read_large
from helios_storage.page import (
    Chunk,
    EditToken,
    Inner,
    PageId,
    Ref,
    build_large,
    children_of,
    decode_page,
    encode_page,
)
from helios_storage.reader import read_rows
from helios_storage.root import TreeRoot
from helios_storage.tree import Edit, empty_tree, put
from tests.storage.trees import PAGES, SHAPES, as_dict, rows_of, spec_of


def store(ref, spec):
    """What a page store does to a page and all below it: bytes and back."""
    page = ref.page
    for number, child in enumerate(children_of(page), start=1):
        store(child, spec)
        child.page_id, child.tag = PageId(number), bytes([number % 256]) * 16
    data = encode_page(page)
    again = decode_page(data, spec)
    assert encode_page(again) == data
    for old, new in zip(children_of(page), children_of(again), strict=True):
        assert (new.page_id, new.tag, new.count) == (old.page_id, old.tag, old.count)
        new.page = old.page
    ref.page = again
    return data


@given(data=st.data())
def test_leaves_there_and_back(data):
    spec = spec_of(data.draw(SHAPES), data.draw(st.sampled_from(["int", "bytes"])))
    keys = st.integers(-(2**63), 2**63 - 1) if spec.key_kind == "int" else st.binary(max_size=40)
    model = data.draw(st.dictionaries(keys, rows_of(spec.shapes), max_size=6))
    tree = empty_tree(spec)
    edit = Edit(PAGES, EditToken())
    for number, (key, row) in enumerate(model.items()):
        tree = put(tree, key, row, number, edit)
    store(tree.ref, spec)
    assert as_dict(tree) == model


def test_size_is_what_encoding_gives():
    spec = spec_of("qt?d", "bytes")
    tree, edit = empty_tree(spec), Edit(PAGES, EditToken())
    for n in range(50):
        tree = put(tree, b"key%d" % n, (n, "x" * n, None, 1.0), n, edit)
    leaf = tree.ref.page
    assert len(encode_page(leaf)) == leaf.encoded_size()


@pytest.mark.parametrize("keys", [[1, 5, -3], [b"", b"abc", b"z" * 300]])
def test_inner_pages(keys):
    children = [Ref(None, n, PageId(n + 1), bytes([n]) * 16) for n in range(len(keys) + 1)]
    page = Inner(keys, children)
    spec = spec_of("q", "bytes" if type(keys[0]) is bytes else "int")
    data = encode_page(page)
    assert len(data) == page.encoded_size()
    again = decode_page(data, spec)
    assert again.keys == keys
    assert [(c.page_id, c.tag, c.count) for c in again.children] == [
        (c.page_id, c.tag, c.count) for c in children
    ]


@pytest.mark.parametrize("size", [1, 16_344, 16_345, 100_000, 9_000_000])
def test_large_values(size):
    value = bytes(n % 251 for n in range(size)) if size < 200_000 else b"ab" * (size // 2)
    ref = build_large(value)
    assert read_large(ref, PAGES) == value
    store(ref, spec_of(""))
    assert read_large(ref, PAGES) == value


def test_a_large_value_of_the_wrong_size_is_corrupt():
    ref = build_large(b"x" * 100)
    ref.count = 99
    with pytest.raises(Corrupted):
        read_large(ref, PAGES)


@given(st.binary(max_size=200))
def test_foreign_bytes_are_refused_or_whole(data):
    for kind in ("int", "bytes"):
        try:
            page = decode_page(data, spec_of("qt", kind))
        except Corrupted:
            continue
        if isinstance(page, Chunk):
            continue
        assert page.encoded_size() >= 24


@given(cut=st.integers(1, 60))
def test_cut_leaves_are_refused(cut):
    spec = spec_of("qt")
    tree = put(empty_tree(spec), 1, (1, "hello"), 1, Edit(PAGES, EditToken()))
    data = encode_page(tree.ref.page)
    with pytest.raises(Corrupted):
        decode_page(data[:-cut], spec)
    with pytest.raises(Corrupted):
        decode_page(data, spec_of("qt", "bytes"))


def test_leaves_older_than_a_column_are_padded():
    old = spec_of("q")
    tree = put(empty_tree(old), 1, (7,), 1, Edit(PAGES, EditToken()))
    spec = old.widened("tq", ("new", None))
    leaf = decode_page(encode_page(tree.ref.page), spec)
    assert read_rows(leaf, spec, PAGES) == [(7, "new", None)]
    wide = TreeRoot(spec, Ref(leaf, 1))
    wide = put(wide, 2, (8, "x", 9), 2, Edit(PAGES, EditToken()))
    assert as_dict(wide) == {1: (7, "new", None), 2: (8, "x", 9)}


def test_one_writer_is_stored_once():
    spec = spec_of("q")
    tree, edit = empty_tree(spec), Edit(PAGES, EditToken())
    for n in range(100):
        tree = put(tree, n, (n,), 5, edit)
    one = len(encode_page(tree.ref.page))
    tree = put(tree, 50, (0,), 6, edit)
    assert len(encode_page(tree.ref.page)) == one + 4 * 99
    assert decode_page(encode_page(tree.ref.page), spec).writers == array(
        "I", [5] * 50 + [6] + [5] * 49
    )
