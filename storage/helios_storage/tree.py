"""Copy-on-write B+trees: find, put, delete, split and merge. `bulk` builds whole trees.

A change copies the pages from its leaf to the root, except those that carry the edit token at hand:
they were made since the last pin, nobody else can see them, and they are changed in place.

                 root                    root'         (root' and leaf B' are new; A and C are
               /   |   \\                / |  \\          shared by both versions)
              A    B    C              A  B'  C
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from helios_storage.errors import Corrupted, KeyTooLong
from helios_storage.layout import layout_of
from helios_storage.page import (
    HEAD_BYTES,
    NO_PAGE,
    PAGE_BYTES,
    PAGE_BYTES_MAX,
    EditToken,
    Inner,
    Leaf,
    PageSource,
    Ref,
    SteadyPages,
)
from helios_storage.reader import read_rows
from helios_storage.root import TreeRoot
from helios_storage.spec import KEY_BYTES_MAX, Key, Row, TreeSpec

CHILDREN_MAX: Final = 160
"""An inner page with more splits in two, or leaves 128 behind when keys arrive in order."""
CHILDREN_KEPT: Final = 128
_MERGE_BYTES: Final = PAGE_BYTES // 3
_FEW_ROWS: Final = 8
_GARBAGE_BYTES_MAX: Final = 4096
_RUN_MAX: Final = 512
_RUN_BYTES_MAX: Final = 32_000
"""A leaf grows to this while a run of changes goes in, and is split then: places have 16 bits."""

Path: TypeAlias = list[tuple[Ref, Inner, int]]


def check_key(key: Key) -> None:
    """Raise `KeyTooLong` for a key that must not be in a tree."""
    if type(key) is bytes and len(key) > KEY_BYTES_MAX:
        raise KeyTooLong(f"index row size {len(key)} exceeds maximum {KEY_BYTES_MAX}")


def empty_leaf(spec: TreeSpec, token: EditToken | None = None) -> Leaf:
    """A leaf without rows."""
    keys: Any = array("q") if spec.key_kind == "int" else []
    return Leaf(layout_of(spec.shapes), keys, bytearray(), array("I"), token=token)


def empty_tree(spec: TreeSpec, token: EditToken | None = None) -> TreeRoot:
    """A tree without rows."""
    return TreeRoot(spec, Ref(empty_leaf(spec, token), 0))


def find_leaf(ref: Ref, key: Key, spec: TreeSpec, pages: PageSource) -> Leaf:
    """The leaf where `key` is, or would be. Loads what is not in memory (may suspend)."""
    page = ref.page or pages.load(ref, spec)
    while type(page) is Inner:
        ref = page.children[bisect_right(page.keys, key)]
        page = ref.page or pages.load(ref, spec)
    if type(page) is not Leaf:
        raise Corrupted("page in a tree is neither leaf nor inner page")
    return page


def find_path(ref: Ref, key: Key, spec: TreeSpec, pages: PageSource) -> tuple[Ref, Path]:
    """The Ref of the leaf for `key`, and the inner pages above it, root first. Never suspends."""
    path: Path = []
    page = ref.page or pages.load_now(ref, spec)
    while type(page) is Inner:
        at = bisect_right(page.keys, key)
        path.append((ref, page, at))
        ref = page.children[at]
        page = ref.page or pages.load_now(ref, spec)
    return ref, path


def find_resident_path(ref: Ref, key: Key) -> tuple[Ref, Path] | None:
    """`find_path` among pages in memory; None when one is missing."""
    path: Path = []
    page = ref.page
    while type(page) is Inner:
        at = bisect_right(page.keys, key)
        path.append((ref, page, at))
        ref = page.children[at]
        page = ref.page
    return None if page is None else (ref, path)


def index_in(leaf: Leaf, key: Key) -> int:
    """The index of `key` in the leaf, or -1."""
    keys = leaf.keys
    at = bisect_left(keys, key)
    return at if at < len(keys) and keys[at] == key else -1


def _insert(leaf: Leaf, at: int, key: Key, row: Row, xid: int) -> None:
    """Put a new row into a leaf that may be changed."""
    layout = leaf.layout
    size = layout.size
    leaf.records[at * size : at * size] = layout.encode(row, leaf, -1)
    leaf.keys.insert(at, key)
    if type(key) is bytes:
        leaf.key_bytes += len(key)
    leaf.writers.insert(at, xid)
    if leaf.rows is not None:
        leaf.rows.insert(at, row)


def _delete(leaf: Leaf, at: int) -> None:
    """Take a row out of a leaf that may be changed."""
    layout = leaf.layout
    size = layout.size
    if layout.has_heap:
        leaf.garbage += layout.heap_bytes(leaf.records, at)
    key = leaf.keys.pop(at)
    if type(key) is bytes:
        leaf.key_bytes -= len(key)
    del leaf.records[at * size : (at + 1) * size]
    del leaf.writers[at]
    if leaf.rows is not None:
        del leaf.rows[at]


def put(tree: TreeRoot, key: Key, row: Row | None, xid: int, edit: Edit) -> TreeRoot:
    """The tree with `row` at `key` (None: without it); `tree` itself when it changed in place."""
    ref, path = find_path(tree.ref, key, tree.spec, edit.pages)
    return put_at(tree, ref, path, key, row, xid, edit)


class Edit:
    """What changes of one commit (or one private root) have in common."""

    __slots__ = ("pages", "token")

    def __init__(self, pages: PageSource, token: EditToken) -> None:
        self.pages = pages
        self.token = token

    def own(self, ref: Ref) -> Ref:
        """A Ref whose page may be changed in place: `ref` itself, or one with a copy."""
        page = ref.page
        token = self.token
        assert page is not None
        if page.token is token:
            if ref.page_id:
                token.replaced.append(Ref(None, ref.count, ref.page_id, ref.tag))
                token.made += 1
                ref.page_id = NO_PAGE
                ref.tag = b""
            return ref
        token.replaced.append(ref)
        token.made += 1
        copy: Any = page.copy(token)  # type: ignore[union-attr]
        return Ref(copy, ref.count)


def put_at(
    tree: TreeRoot, leaf_ref: Ref, path: Path, key: Key, row: Row | None, xid: int, edit: Edit
) -> TreeRoot:
    """`put` where the path is known. Nothing below suspends."""
    leaf: Any = leaf_ref.page
    token = edit.token
    keys = leaf.keys
    at = bisect_left(keys, key)
    is_there = at < len(keys) and keys[at] == key
    if row is None and not is_there:
        return tree
    ref = leaf_ref
    if leaf.token is not token or leaf_ref.page_id:
        ref = edit.own(leaf_ref)
        leaf = ref.page
    layout = leaf.layout
    if layout.shapes is not tree.spec.shapes and layout.shapes != tree.spec.shapes:
        widen_leaf(leaf, tree.spec, edit.pages)
        layout = leaf.layout
    heap = leaf.heap
    delta = 0
    if row is None:
        delta = -1
        _delete(leaf, at)
    elif is_there:
        size = layout.size
        leaf.records[at * size : (at + 1) * size] = layout.encode(row, leaf, at)
        leaf.writers[at] = xid
        if leaf.rows is not None:
            leaf.rows[at] = row
        if ref is leaf_ref and leaf.heap is heap and not leaf.garbage:
            return tree  # in place; the pages above have no id either (README, invariant 11)
    else:
        delta = 1
        _insert(leaf, at, key, row, xid)
    if leaf.garbage:
        if leaf.large is not None:
            drop_large(leaf, token)
        elif leaf.garbage > _GARBAGE_BYTES_MAX:
            leaf.compact()
    ref.count += delta
    pieces = None
    if (delta > 0 or leaf.heap is not heap) and needs_split(leaf):
        pieces = split_leaf(ref, at_end=bool(leaf.keys[-1] == key), token=token)
    if pieces is None and ref is leaf_ref and delta >= 0:
        for inner_ref, _, _ in path:
            inner_ref.count += delta
            if inner_ref.page_id:
                edit.own(inner_ref)
        return tree
    return _propagate(tree, leaf_ref, ref, pieces, path, delta, edit)


def _propagate(
    tree: TreeRoot,
    old: Ref,
    new: Ref,
    pieces: tuple[list[Any], list[Ref]] | None,
    path: Path,
    delta: int,
    edit: Edit,
) -> TreeRoot:
    """Carry a replaced, split or shrunken child up to the root."""
    token = edit.token
    for inner_ref, _, at in reversed(path):
        if new is old and pieces is None and delta >= 0:
            ref = edit.own(inner_ref) if inner_ref.page_id else inner_ref
            ref.count += delta
            old = new = inner_ref
            continue
        ref = edit.own(inner_ref)
        inner: Any = ref.page
        ref.count += delta
        if pieces is None:
            inner.children[at] = new
            if delta < 0 and _is_thin(new):
                _merge(inner, at, tree.spec, edit)
        else:
            separators, refs = pieces
            inner.children[at : at + 1] = refs
            inner.keys[at:at] = separators
            pieces = None
            if len(inner.children) > CHILDREN_MAX or inner.encoded_size() > PAGE_BYTES_MAX:
                pieces = split_inner(ref, at_end=at + 2 >= len(inner.children), token=token)
        old, new = inner_ref, ref
    while pieces is not None:
        separators, refs = pieces
        new = Ref(Inner(separators, refs, token), sum(ref.count for ref in refs))
        pieces = None
        if len(refs) > CHILDREN_MAX:
            pieces = split_inner(new, at_end=False, token=token)
    while type(new.page) is Inner and len(new.page.children) == 1:
        only = new.page.children[0]
        token.replaced.append(new)
        new = only
    return tree if new is tree.ref else TreeRoot(tree.spec, new)


def needs_split(leaf: Leaf) -> bool:
    """Whether the leaf would not end below a page of the store (few, wide rows: below two)."""
    n = len(leaf.writers)
    if n < 2:
        return False
    size = HEAD_BYTES + len(leaf.records) + len(leaf.heap) + 4 * n
    keys = leaf.keys
    size += 8 * n if type(keys) is array else 2 * n + leaf.key_bytes
    if leaf.large:
        size += 32 * len(leaf.large)
    limit = PAGE_BYTES if n > _FEW_ROWS else PAGE_BYTES_MAX
    return size - leaf.garbage > limit


def separator(left: Any, right: Any) -> Any:
    """The shortest key above `left` and not above `right`."""
    if type(right) is int:
        return right
    n = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        n += 1
    return right[: n + 1]


def slice_leaf(leaf: Leaf, low: int, high: int, token: EditToken | None) -> Leaf:
    """Rows low..high of a leaf as a leaf of their own, its heap compacted."""
    size = leaf.layout.size
    piece = Leaf(
        leaf.layout,
        leaf.keys[low:high],
        leaf.records[low * size : high * size],
        leaf.writers[low:high],
        leaf.heap,
        None if leaf.large is None else leaf.large[:],
        has_nulls=leaf.has_nulls,
        token=token,
    )
    piece.compact()
    if leaf.rows is not None:
        piece.rows = leaf.rows[low:high]
    return piece


def split_leaf(ref: Ref, *, at_end: bool, token: EditToken) -> tuple[list[Any], list[Ref]]:
    """Split an owned leaf by size; keys that arrive in order leave full leaves behind.

    The left piece keeps nothing of `ref`: both pieces are new.
    """
    leaf: Any = ref.page
    keys = leaf.keys
    n = len(keys)
    cut = n - 1 if at_end else _middle(leaf)
    token.made += 1
    left = slice_leaf(leaf, 0, cut, token)
    right = slice_leaf(leaf, cut, n, token)
    refs = [Ref(left, cut), Ref(right, n - cut)]
    separators = [separator(keys[cut - 1], keys[cut])]
    for at in (1, 0):
        if needs_split(refs[at].page):  # type: ignore[arg-type]
            more, pieces = split_leaf(refs[at], at_end=False, token=token)
            refs[at : at + 1] = pieces
            separators[at:at] = more
    return separators, refs


def _middle(leaf: Leaf) -> int:
    """Where to cut a leaf so that both sides weigh about the same."""
    n = len(leaf.writers)
    layout = leaf.layout
    if not layout.has_heap and type(leaf.keys) is array:
        return n // 2
    weights = [layout.size + 4 + layout.heap_bytes(leaf.records, at) for at in range(n)]
    if type(leaf.keys) is not array:
        weights = [w + len(key) for w, key in zip(weights, leaf.keys, strict=True)]
    half = sum(weights) / 2
    total = 0
    for at, weight in enumerate(weights):
        total += weight
        if total >= half:
            return min(max(at + (total - half < weight / 2), 1), n - 1)
    return n - 1


def split_inner(ref: Ref, *, at_end: bool, token: EditToken) -> tuple[list[Any], list[Ref]]:
    """Split an owned inner page; in-order growth leaves full pages behind."""
    inner: Any = ref.page
    n = len(inner.children)
    cut = min(CHILDREN_KEPT, n - 2) if at_end and n > CHILDREN_KEPT else n // 2
    pieces = []
    for low, high in ((0, cut), (cut, n)):
        children = inner.children[low:high]
        piece = Inner(inner.keys[low : high - 1], children, token)
        pieces.append(Ref(piece, sum([child.count for child in children])))
    return [inner.keys[cut - 1]], pieces


def _is_thin(ref: Ref) -> bool:
    page = ref.page
    if type(page) is Inner:
        return len(page.children) < CHILDREN_KEPT // 4
    assert type(page) is Leaf
    return ref.count == 0 or page.encoded_size() < _MERGE_BYTES


def _merge(inner: Inner, at: int, spec: TreeSpec, edit: Edit) -> None:
    """Join a thin child with a neighbour when that is in memory and the result is no full page."""
    children = inner.children
    child = children[at]
    token = edit.token
    if child.count == 0 and len(children) > 1:
        del children[at]
        del inner.keys[at - 1 if at else 0]
        token.replaced.append(child)
        return
    for other in (at - 1, at + 1):
        if not 0 <= other < len(children):
            continue
        low = min(at, other)
        left, right = children[low].page, children[low + 1].page
        merged = _joined(left, right, inner.keys[low], spec, edit)
        if merged is not None:
            token.replaced += children[low : low + 2]
            count = children[low].count + children[low + 1].count
            children[low : low + 2] = [Ref(merged, count)]
            del inner.keys[low]
            return


def _joined(left: Any, right: Any, between: Any, spec: TreeSpec, edit: Edit) -> Any:
    token = edit.token
    if left is None or right is None:
        return None
    if type(left) is Inner:
        if type(right) is not Inner or len(left.children) + len(right.children) > CHILDREN_KEPT:
            return None
        joined = Inner([*left.keys, between, *right.keys], left.children + right.children, token)
        return joined if joined.encoded_size() <= PAGE_BYTES_MAX else None
    if left.encoded_size() + right.encoded_size() > PAGE_BYTES * 2 // 3:
        return None
    if left.large or right.large or left.layout is not right.layout:
        return None
    return join_leaves(left, right, token)


def join_leaves(left: Leaf, right: Leaf, token: EditToken) -> Leaf:
    """One leaf with the rows of both. Neither has large values; both have one layout."""
    joined = left.copy(token)
    joined.compact()
    moved = slice_leaf(right, 0, len(right.writers), None)
    shift = len(joined.heap)
    if shift and moved.heap:
        moved.layout.shift_heap(moved.records, shift)
    joined.heap += moved.heap
    joined.keys += moved.keys
    joined.key_bytes += moved.key_bytes
    joined.records += moved.records
    joined.writers += moved.writers
    joined.has_nulls = left.has_nulls or right.has_nulls
    return joined


def widen_leaf(leaf: Leaf, spec: TreeSpec, pages: PageSource) -> None:
    """Give an owned leaf the columns that were added since it was written."""
    rows = read_rows(leaf, spec, SteadyPages(pages))  # its large values may not be in memory
    if leaf.large and leaf.token is not None:
        leaf.token.replaced += leaf.large
    wide = layout_of(spec.shapes)
    leaf.layout = wide
    leaf.heap = b""
    leaf.large = None
    leaf.garbage = 0
    leaf.has_nulls = False
    leaf.rows = None
    leaf.records = bytearray()
    for row in rows:
        leaf.records += wide.encode(row, leaf, -1)


def drop_large(leaf: Leaf, token: EditToken) -> None:
    """After a change of a leaf with large values: let go of those that no row has any more."""
    before = leaf.large or []
    leaf.compact()
    kept = set(map(id, leaf.large or ()))
    token.replaced += [ref for ref in before if id(ref) not in kept]


def apply(
    tree: TreeRoot, items: Sequence[tuple[Key, Row | None]], xid: int, edit: Edit
) -> TreeRoot:
    """The tree with all `items` (in key order; None: deleted) put in, leaf by leaf.

    Never suspends.
    """
    at, n = 0, len(items)
    while at < n:
        key, row = items[at]
        ref, path = find_path(tree.ref, key, tree.spec, edit.pages)
        bound = _bound_of(path)
        end = at + 1
        while end < n and end - at < _RUN_MAX and (bound is None or items[end][0] < bound):
            end += 1
        if end == at + 1:
            tree = put_at(tree, ref, path, key, row, xid, edit)
        else:
            tree, end = _put_run(tree, ref, path, items, at, end, xid, edit)
        at = end
    return tree


def _bound_of(path: Path) -> Any:
    """The lowest key behind the leaf that the path leads to; None: it is the last leaf."""
    for _, inner, at in reversed(path):
        if at < len(inner.keys):
            return inner.keys[at]
    return None


def _put_run(
    tree: TreeRoot,
    leaf_ref: Ref,
    path: Path,
    items: Sequence[tuple[Key, Row | None]],
    low: int,
    high: int,
    xid: int,
    edit: Edit,
) -> tuple[TreeRoot, int]:
    """Put items low..high, which belong to one leaf, in; and how far that came."""
    token = edit.token
    ref = edit.own(leaf_ref)
    leaf: Any = ref.page
    if leaf.layout.shapes != tree.spec.shapes:
        widen_leaf(leaf, tree.spec, edit.pages)
    layout = leaf.layout
    keys, records, writers, size = leaf.keys, leaf.records, leaf.writers, layout.size
    encode = layout.encode
    leaf.rows = None
    before = len(keys)
    place = 0
    done = low
    while done < high and len(leaf.heap) < _RUN_BYTES_MAX and len(records) < _RUN_BYTES_MAX:
        key, row = items[done]
        done += 1
        place = bisect_left(keys, key, place)
        if place < len(keys) and keys[place] == key:
            if row is None:
                _delete(leaf, place)
            else:
                records[place * size : (place + 1) * size] = encode(row, leaf, place)
                records = leaf.records
                writers[place] = xid
        elif row is not None:
            _insert(leaf, place, key, row, xid)
            records = leaf.records
    if leaf.garbage:
        if leaf.large is not None:
            drop_large(leaf, token)
        elif leaf.garbage > _GARBAGE_BYTES_MAX:
            leaf.compact()
    delta = len(keys) - before
    ref.count += delta
    pieces = split_leaf(ref, at_end=False, token=token) if needs_split(leaf) else None
    return _propagate(tree, leaf_ref, ref, pieces, path, delta, edit), done
