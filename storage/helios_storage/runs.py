"""Runs of leaves: many rows at once, leaves built side by side and joined onto a tree's right edge.

Rows that come behind all others (COPY, index builds, generated keys) need no descent per row: their
leaves are packed one after the other, inner pages grow by whole runs of children.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

from helios_storage.layout import Layout, layout_of
from helios_storage.page import (
    HEAD_BYTES,
    PAGE_BYTES,
    PAGE_BYTES_MAX,
    Inner,
    Leaf,
    PageSource,
    Ref,
)
from helios_storage.root import TreeRoot
from helios_storage.spec import Key, KeyKind, Row, TreeSpec
from helios_storage.tree import (
    CHILDREN_KEPT,
    CHILDREN_MAX,
    Edit,
    apply,
    separator,
)

_RUN_MIN: Final = 64
"""Fewer rows go one by one."""


def put_sorted(
    tree: TreeRoot, items: Sequence[tuple[Key, Row | None]], xid: int, edit: Edit
) -> TreeRoot:
    """`tree.apply`, faster for rows that all come behind the tree's last one. Never suspends."""
    if len(items) < _RUN_MIN:
        return apply(tree, items, xid, edit)
    if tree.ref.count and not last_key_now(tree, edit.pages) < items[0][0]:
        return apply(tree, items, xid, edit)
    keys = [key for key, row in items if row is not None]
    if not keys:
        return tree
    rows = [row for _, row in items if row is not None]
    return append_leaves(tree, build_leaves(tree.spec, keys, rows, xid, edit), edit)


def build_leaves(
    spec: TreeSpec, keys: Sequence[Any], rows: Sequence[Row], xid: int, edit: Edit
) -> list[Ref]:
    """Full leaves with these rows, keys ascending."""
    layout = layout_of(spec.shapes)
    if not layout.has_heap and not any(None in row for row in rows):
        return _build_fixed(layout, spec.key_kind, keys, rows, xid, edit)
    encode, size = layout.encode, layout.size
    is_int = spec.key_kind == "int"
    token = edit.token
    refs: list[Ref] = []
    start, n = 0, len(keys)
    while start < n:
        leaf = Leaf(layout, array("q") if is_int else [], bytearray(), array("I"), token=token)
        records: list[bytes] = []
        used = HEAD_BYTES
        at = start
        while at < n:
            before = len(leaf.heap)
            large = 0 if leaf.large is None else len(leaf.large)
            record = encode(rows[at], leaf, -1)
            used += size + 4 + len(leaf.heap) - before + (8 if is_int else 2 + len(keys[at]))
            if leaf.large is not None:
                used += 32 * (len(leaf.large) - large)
            limit = PAGE_BYTES if at - start >= 8 else PAGE_BYTES_MAX
            if used > limit and at > start:
                leaf.heap = leaf.heap[:before]
                if leaf.large is not None:
                    del leaf.large[large:]
                    leaf.large = leaf.large or None
                break
            records.append(record)
            at += 1
        leaf.records = bytearray().join(records)
        leaf.keys = array("q", keys[start:at]) if is_int else list(keys[start:at])
        leaf.key_bytes = 0 if is_int else sum(map(len, leaf.keys))
        leaf.writers = array("I", [xid]) * (at - start)
        refs.append(Ref(leaf, at - start))
        start = at
    token.made += len(refs)
    return refs


def _build_fixed(
    layout: Layout,
    key_kind: KeyKind,
    keys: Sequence[Any],
    rows: Sequence[Row],
    xid: int,
    edit: Edit,
) -> list[Ref]:
    """`build_leaves` for rows without variable values and NULLs: what index builds have."""
    pack, size = layout.record.pack, layout.size
    zeros = (0,) * len(layout.mask_codes)
    room = PAGE_BYTES - HEAD_BYTES
    is_int = key_kind == "int"
    ends: Sequence[int]
    if is_int:
        ends = range(0, (len(keys) + 1) * (size + 12), size + 12)
    else:
        ends = list(accumulate([size + 6 + len(key) for key in keys], initial=0))
    refs: list[Ref] = []
    start, n = 0, len(keys)
    while start < n:
        end = min(n, max(start + 1, bisect_right(ends, ends[start] + room) - 1))
        records = bytearray().join([pack(*zeros, *row) for row in rows[start:end]])
        part: Any = array("q", keys[start:end]) if is_int else list(keys[start:end])
        writers = array("I", [xid]) * (end - start)
        refs.append(Ref(Leaf(layout, part, records, writers, token=edit.token), end - start))
        start = end
    edit.token.made += len(refs)
    return refs


def append_leaves(tree: TreeRoot, refs: list[Ref], edit: Edit) -> TreeRoot:
    """The tree with leaves joined on behind its last row. Their pages must be in memory."""
    if not refs:
        return tree
    separators = []
    before: Any = last_key_now(tree, edit.pages) if tree.ref.count else None
    for ref in refs:
        leaf: Any = ref.page
        separators.append(leaf.keys[0] if before is None else separator(before, leaf.keys[0]))
        before = leaf.keys[-1]
    return append_children(tree, refs, separators, edit)


def append_children(tree: TreeRoot, refs: list[Ref], separators: list[Any], edit: Edit) -> TreeRoot:
    """`append_leaves` where the separator before each leaf is known. Never suspends."""
    token = edit.token
    if not tree.ref.count:
        token.replaced.append(tree.ref)
        return TreeRoot(tree.spec, _stack(refs, separators, edit))
    spine: list[Ref] = []
    ref = tree.ref
    page = ref.page or edit.pages.load_now(ref, tree.spec)
    while type(page) is Inner:
        spine.append(ref)
        ref = page.children[-1]
        page = ref.page or edit.pages.load_now(ref, tree.spec)
    if not spine:
        return TreeRoot(tree.spec, _stack([ref, *refs], [None, *separators], edit))
    below: Ref | None = None
    for inner_ref in reversed(spine):
        top = edit.own(inner_ref)
        inner: Any = top.page
        if below is not None:
            inner.children[-1] = below
        inner.children += refs
        inner.keys += separators
        refs, separators = [], []
        if len(inner.children) > CHILDREN_MAX:
            groups = _groups(inner.children, [None, *inner.keys])
            inner.children, keys = groups[0]
            inner.keys = keys[1:]
            for children, keys in groups[1:]:
                refs.append(_inner(children, keys, edit))
                separators.append(keys[0])
        top.count = inner.count()
        below = top
    assert below is not None
    if refs:
        below = _stack([below, *refs], [None, *separators], edit)
    return TreeRoot(tree.spec, below)


def _groups(children: list[Ref], separators: list[Any]) -> list[tuple[list[Ref], list[Any]]]:
    """Children and the separators before them in groups of 128 (fewer where keys are long)."""
    groups = []
    start, size = 0, 0
    for at, key in enumerate(separators):
        size += 40 if type(key) is not bytes else 34 + len(key)
        if at - start >= CHILDREN_KEPT or (size > PAGE_BYTES_MAX - 3000 and at - start > 1):
            groups.append((children[start:at], separators[start:at]))
            start, size = at, 0
    groups.append((children[start:], separators[start:]))
    return groups


def _inner(children: list[Ref], separators: list[Any], edit: Edit) -> Ref:
    edit.token.made += 1
    count = sum([ref.count for ref in children])
    return Ref(Inner(separators[1:], children, edit.token), count)


def _stack(refs: list[Ref], separators: list[Any], edit: Edit) -> Ref:
    """One root over these pages."""
    while len(refs) > 1:
        groups = _groups(refs, separators)
        refs = [_inner(children, keys, edit) for children, keys in groups]
        separators = [keys[0] for _, keys in groups]
    return refs[0]


def join_behind(tree: TreeRoot, other: TreeRoot, edit: Edit) -> TreeRoot:
    """The tree with all rows of `other`, whose keys are all behind its own. May suspend.

    The leaves of `other` become the tree's: it is a private tree and of no more use.
    """
    if not tree.ref.count and other.spec == tree.spec:
        edit.token.replaced.append(tree.ref)
        return other
    refs: list[Ref] = []
    separators: list[Any] = []
    lead: Any = None
    if tree.ref.count:
        lead = separator(last_key(tree, edit.pages), first_key(other, edit.pages))
    _collect(other.ref, lead, other.spec, edit.pages, refs, separators)
    return append_children(tree, refs, separators, edit)


def _collect(
    ref: Ref, lead: Any, spec: TreeSpec, pages: PageSource, refs: list[Ref], separators: list[Any]
) -> None:
    page = ref.page or pages.load(ref, spec)
    if type(page) is not Inner:
        refs.append(ref)
        separators.append(lead)
        return
    children, keys = list(page.children), [lead, *page.keys]
    first = children[0].page or pages.load(children[0], spec)
    if type(first) is Inner:
        for child, key in zip(children, keys, strict=True):
            _collect(child, key, spec, pages, refs, separators)
    else:
        refs += children
        separators += keys


def first_key(tree: TreeRoot, pages: PageSource) -> Any:
    """The lowest key of a tree that has rows. May suspend."""
    return _edge_key(tree, pages.load, 0)


def last_key(tree: TreeRoot, pages: PageSource) -> Any:
    """The highest key of a tree that has rows. May suspend."""
    return _edge_key(tree, pages.load, -1)


def last_key_now(tree: TreeRoot, pages: PageSource) -> Any:
    """`last_key` that never suspends."""
    return _edge_key(tree, pages.load_now, -1)


def _edge_key(tree: TreeRoot, load: Any, at: int) -> Any:
    ref = tree.ref
    page: Any = ref.page or load(ref, tree.spec)
    while type(page) is Inner:
        ref = page.children[at]
        page = ref.page or load(ref, tree.spec)
    return page.keys[at]
