"""Page ids that newer roots no longer use, and how the pages to be deleted are found.

A commit tells which Refs it replaced. What else becomes garbage is found by walking: trees that
were dropped, and pages that a large transaction stored early and did not use in the end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from helios_storage.cache import Cache
from helios_storage.page import Inner, Ref, children_of
from helios_storage.page_writer import LIST_BIT
from helios_storage.root import TreeRoot
from helios_storage.spec import Lsn


class Garbage:
    """Page ids that newer roots no longer use: (LSN of the commit that dropped them, ids)."""

    def __init__(self, ids: Iterable[int], lsn: int) -> None:
        self._dropped: list[tuple[int, list[int]]] = [(lsn, list(ids))]
        self._maybe: deque[tuple[int, Ref]] = deque()
        self.is_collecting = False  # a checkpoint is giving ids to pages of an older root

    def replaced(self, refs: list[Ref], lsn: Lsn, durable_lsn: Lsn) -> int:
        """A commit at `lsn` replaced these pages; how many of them were never stored.

        Those may still be stored: by a checkpoint that runs, or one that begins at the durable root
        while this commit is behind it. Until then they are kept in mind.
        """
        ids = [ref.page_id for ref in refs if ref.page_id]
        if ids:
            self._dropped.append((lsn, ids))  # type: ignore[arg-type]
        maybe = self._maybe
        if not self.is_collecting:
            while maybe and maybe[0][0] <= durable_lsn:
                maybe.popleft()
        unstored = len(refs) - len(ids)
        if unstored:
            maybe += [(lsn, ref) for ref in refs if not ref.page_id]
        return unstored

    def add(self, ids: list[int], lsn: int) -> None:
        """Ids that no root after `lsn` uses."""
        if ids:
            self._dropped.append((lsn, ids))

    def settle(self) -> None:
        """The checkpoint is over: what it stored of pages replaced meanwhile is garbage, too."""
        self.is_collecting = False
        unstored: deque[tuple[int, Ref]] = deque()
        for lsn, ref in self._maybe:
            if ref.page_id:
                self._dropped.append((lsn, [ref.page_id]))
            else:
                unstored.append((lsn, ref))
        self._maybe = unstored

    def take(self, lsn: int) -> list[int]:
        """The ids dropped by commits up to `lsn`, removed from here."""
        ids = [number for at, group in self._dropped if at <= lsn for number in group]
        self._dropped = [pair for pair in self._dropped if pair[0] > lsn]
        return ids

    def up_to(self, lsn: int) -> list[int]:
        """The ids dropped by commits up to `lsn`."""
        return [number for at, group in self._dropped if at <= lsn for number in group]

    def ids(self) -> set[int]:
        """All page ids that wait to be deleted."""
        return {number for _, group in self._dropped for number in group}

    def count(self) -> int:
        """How many page ids wait to be deleted."""
        return sum(len(group) for _, group in self._dropped)


def inner_ids(cache: Cache, tree: TreeRoot) -> list[int]:
    """The page ids of a tree that inner pages tell; no leaf is read."""
    ids: list[int] = []
    refs = [tree.ref]
    while refs:
        ref = refs.pop()
        ids.append(ref.page_id)
        page = ref.page or cache.read_page(ref, tree.spec)
        if type(page) is Inner:
            children = page.children
            first = children[0].page or cache.read_page(children[0], tree.spec)
            if type(first) is Inner:
                refs += children
            else:
                ids += [child.page_id for child in children]
    return ids


def tree_ids(cache: Cache, tree: TreeRoot) -> list[int]:
    """Every page id of a stored tree. Leaves are read only if they may hold large values."""
    ids: list[int] = []
    refs = [tree.ref]
    spec = tree.spec
    reads_leaves = any(shape in "tb" for shape in spec.shapes)
    while refs:
        ref = refs.pop()
        if ref.page_id:
            ids.append(ref.page_id)
        page = ref.page or cache.read_page(ref, spec)
        children = children_of(page)
        if type(page) is Inner and not reads_leaves:
            first = children[0].page or cache.read_page(children[0], spec)
            if type(first) is not Inner:
                ids += [child.page_id for child in children if child.page_id]
                continue
        refs += children
    return ids


def with_lists(cache: Cache, ids: list[int]) -> list[int]:
    """`ids`, and for each that lists chunks of a large value, those (page thread)."""
    found = list(ids)
    for number in found:
        if number & LIST_BIT:
            found += cache.listed_ids(number)
    return found
