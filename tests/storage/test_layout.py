"""Records: NULL masks of every width, the log's rows, heaps that keep what did not change."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helios_storage.errors import RowTooBig
from helios_storage.layout import check_fits, layout_of, pack_row, unpack_row
from helios_storage.page import EditToken
from helios_storage.reader import reader_of
from helios_storage.tree import Edit, empty_leaf, empty_tree, put
from tests.storage.trees import PAGES, SHAPES, VALUES, as_dict, rows_of, spec_of


@settings(deadline=None)
@given(data=st.data())
def test_log_rows_there_and_back(data):
    spec = spec_of(data.draw(SHAPES))
    row = data.draw(rows_of(spec.shapes))
    assert unpack_row(spec, pack_row(spec, row)) == row
    wide = spec.widened("qt", (5, None))
    assert unpack_row(wide, pack_row(spec, row)) == (*row, 5, None)


@pytest.mark.parametrize("columns", [0, 1, 8, 9, 16, 17, 32, 33, 64, 65, 128, 200])
def test_masks_of_every_width(columns):
    spec = spec_of("h" * columns)
    tree, edit = empty_tree(spec), Edit(PAGES, EditToken())
    rows = {
        n: tuple(None if at % (n + 2) == 0 else at for at in range(columns)) for n in range(4)
    } | {9: tuple(range(columns))}
    for key, row in rows.items():
        tree = put(tree, key, row, 1, edit)
    assert as_dict(tree) == rows
    assert unpack_row(spec, pack_row(spec, rows[0])) == rows[0]


def test_sizes_are_structs():
    assert layout_of("qq").size == 17
    assert layout_of("?hiqfdtbu").size == 2 + 1 + 2 + 4 + 8 + 4 + 8 + 4 + 4 + 16
    assert layout_of("q") is layout_of("q")


def test_unchanged_texts_keep_their_place():
    spec = spec_of("qtt")
    leaf = empty_leaf(spec)
    layout = leaf.layout
    leaf.records += layout.encode((1, "first", "second"), leaf, -1)
    assert leaf.heap == b"firstsecond"
    leaf.records[:] = layout.encode((2, "first", "second"), leaf, 0)
    assert (leaf.heap, leaf.garbage) == (b"firstsecond", 0)
    leaf.records[:] = layout.encode((2, "first", "other"), leaf, 0)
    assert (leaf.heap, leaf.garbage) == (b"firstsecondother", 6)
    leaf.records[:] = layout.encode((2, None, "other"), leaf, 0)
    assert leaf.garbage == 11
    leaf.writers.append(1)
    leaf.keys.append(1)
    leaf.compact()
    assert (leaf.heap, leaf.garbage) == (b"other", 0)
    assert reader_of("qtt", None).row(leaf, 0, PAGES) == (2, None, "other")


def test_rows_beyond_a_leaf():
    with pytest.raises(RowTooBig):
        layout_of("q" * 2000)
    spec = spec_of("t" * 600)
    check_fits(spec, ("x" * 5000,) * 300 + (None,) * 300)
    with pytest.raises(RowTooBig):
        check_fits(spec, ("x" * 31,) * 600)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_projection(data):
    shapes = data.draw(SHAPES.filter(bool))
    rows = data.draw(st.lists(rows_of(shapes), min_size=1, max_size=5))
    if data.draw(st.booleans()):
        rows = [
            tuple(data.draw(VALUES[s]) if v is None else v for s, v in zip(shapes, r, strict=True))
            for r in rows
        ]
    tree, edit = empty_tree(spec_of(shapes)), Edit(PAGES, EditToken())
    for key, row in enumerate(rows):
        tree = put(tree, key, row, 1, edit)
    columns = tuple(data.draw(st.lists(st.sampled_from(range(len(shapes))), max_size=6)))
    reader = reader_of(shapes, columns)
    leaf = tree.ref.page
    assert leaf is not None
    expected = [tuple(row[c] for c in columns) for row in rows]
    if len(leaf.writers) == len(rows) if hasattr(leaf, "writers") else False:
        assert reader.read_range(leaf, 0, len(rows), tree.spec, PAGES) == expected
        assert [reader.read(leaf, n, tree.spec, PAGES) for n in range(len(rows))] == expected
    assert [reader.project(row) for row in rows] == expected
