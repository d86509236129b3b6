"""What the storage tests share: random rows of every shape, trees as dicts, tree checks."""

import math
import struct

from hypothesis import strategies as st

from helios_storage import cursor
from helios_storage.cursor import EVERYTHING
from helios_storage.memory import MemoryPages
from helios_storage.page import Inner, Leaf
from helios_storage.reader import reader_of
from helios_storage.spec import TreeId, TreeSpec

PAGES = MemoryPages()


def single(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


VALUES = {
    "?": st.booleans(),
    "h": st.integers(-(2**15), 2**15 - 1),
    "i": st.integers(-(2**31), 2**31 - 1),
    "q": st.integers(-(2**63), 2**63 - 1),
    "f": st.floats(allow_nan=False, width=32),
    "d": st.floats(allow_nan=False),
    "t": st.text(alphabet=st.characters(codec="utf-8"), max_size=40)
    | st.integers(1500, 40_000).map(lambda n: "é" * n),
    "b": st.binary(max_size=40) | st.integers(1500, 60_000).map(bytes),
    "u": st.binary(min_size=16, max_size=16),
}
SHAPES = st.text(alphabet=sorted(VALUES), max_size=10)


def rows_of(shapes):
    return st.tuples(*[st.none() | VALUES[shape] for shape in shapes])


def spec_of(shapes, kind="int", tree_id=1):
    return TreeSpec(TreeId(tree_id), kind, shapes)


def as_dict(tree, pages=PAGES):
    reader = reader_of(tree.spec.shapes, None)
    found = {}
    for keys, rows in cursor.batches(tree, EVERYTHING, reader, pages):
        found.update(zip(keys, rows, strict=True))
    return found


def check_tree(tree, pages=PAGES):
    """Keys in order and inside their separators, counts right, all leaves at one depth."""
    depths = set()

    def check(ref, low, high, depth):
        page = ref.page
        if type(page) is Leaf:
            depths.add(depth)
            keys = list(page.keys)
            assert keys == sorted(set(keys))
            assert all((low is None or key >= low) and (high is None or key < high) for key in keys)
            assert ref.count == len(keys) == len(page.writers)
            assert len(page.records) == len(keys) * page.layout.size
            return len(keys)
        assert type(page) is Inner
        assert len(page.children) == len(page.keys) + 1
        bounds = [low, *page.keys, high]
        total = sum(
            check(child, bounds[at], bounds[at + 1], depth + 1)
            for at, child in enumerate(page.children)
        )
        assert ref.count == total
        return total

    check(tree.ref, None, None, 0)
    assert len(depths) == 1
    assert not math.isnan(tree.ref.count)
