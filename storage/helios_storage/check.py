"""The offline checker: walks everything that is stored and names each broken invariant by number.

    1. every page that is referred to is present and opens under the tag of its reference
    2. all leaves of a tree are at one depth; an inner page has children of one kind
    3. keys ascend within a page, and lie between the separators of the pages above
    4. a reference's count is the number of rows below it
    5. every row can be read, with its tree's columns; a large value has the size it is said to have
    6. a page is referred to once
    7. a stored page is referred to by root n or n-1, or is known garbage, or came after root n
    8. ids of pages and trees are below the next ones that the root record would give out
    9. the log has no gap from where replay begins, and every record can be read

The text of a finding is `page 812: invariant 3: ...`, so that a person can look the rule up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from helios_storage.directory import open_directory
from helios_storage.errors import Corrupted, StorageError
from helios_storage.keyring import KeySource, open_keyring
from helios_storage.log import LogTail, read_log
from helios_storage.options import MEGABYTE
from helios_storage.page import Chunk, Inner, Leaf, Page, Ref, children_of, decode_page
from helios_storage.page_writer import LIST_BIT
from helios_storage.reader import read_rows
from helios_storage.record import decode_changes, split_records
from helios_storage.recovery import empty_record, load_directory
from helios_storage.root import TreeRoot
from helios_storage.root_record import RootRecord, decode_root_record
from helios_storage.seal import PageOpener, StoreIdentity
from helios_storage.spec import TreeId, TreeSpec
from helios_storage.store import PageStore
from helios_storage.store.lmdb import LmdbStore

FINDINGS_MAX: Final = 1000
_NO_TREE: Final = TreeSpec(TreeId(0), "int", "")


def check_store(directory: Path | str, keys: KeySource) -> list[str]:
    """Every broken invariant of a store that no server has open; empty: the store is sound.

    Reads each page once, keeps none. Raises `StorageRefused` where there is nothing to check:
    in use, another format, a wrong key.
    """
    home = open_directory(Path(directory), create=False)
    try:
        ring = open_keyring(home.path, keys, create=False)
        store = LmdbStore(home.pages, map_bytes=MEGABYTE, read_only=True)
        try:
            identity = StoreIdentity(ring.store_id)
            checker = Checker(store, PageOpener(ring, identity))
            checker.roots()
            with _Findings(checker, "log", 9):
                _check_log(home.log, ring, identity, checker.newest)
            return checker.findings
        finally:
            store.close()
    finally:
        home.close()


class StoredPages:
    """`PageSource` straight from the store; nothing is kept."""

    def __init__(self, store: PageStore, opener: PageOpener) -> None:
        self._store = store
        self._opener = opener

    def load(self, ref: Ref, spec: TreeSpec) -> Page:
        (sealed,) = self._store.read([ref.page_id])
        if sealed is None:
            raise Corrupted("absent")
        return decode_page(self._opener.open(ref.page_id, ref.tag, sealed), spec)

    load_now = load

    def prefetch(self, refs: list[Ref], spec: TreeSpec) -> list[Page]:
        return [self.load(ref, spec) for ref in refs]

    def may_open(self, leaf: Leaf) -> bool:
        return False

    def grown(self, size_bytes: int) -> None:
        return None


@dataclass(slots=True)
class _Findings:
    """Turns an error raised inside into a finding."""

    checker: Checker
    what: str
    invariant: int

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, StorageError):
            self.checker.find(self.what, self.invariant, str(error))
            return True
        return False


@dataclass(slots=True)
class _Tree:
    """What the walk of one tree has learnt so far."""

    spec: TreeSpec
    depth: int | None = None


@dataclass(slots=True)
class Checker:
    """Walks roots; collects findings and the ids that it met."""

    store: PageStore
    opener: PageOpener
    findings: list[str] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    newest: RootRecord = field(default_factory=empty_record)

    def find(self, what: str, invariant: int, text: str) -> None:
        """Note a broken invariant."""
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(f"{what}: invariant {invariant}: {text}")

    def roots(self) -> None:
        """Root n in full, root n-1 where it differs, then what is stored beside them."""
        records: list[RootRecord] = []
        for number, sealed in self.store.roots():
            with _Findings(self, f"root record {number}", 1):
                records.append(decode_root_record(self.opener.open(number, None, sealed)))
        if records:
            self.newest = records[0]
        for record in records:
            self._root(record)
        self._strangers()

    def _root(self, record: RootRecord) -> None:
        is_newest = record is self.newest
        for _, page_id, _ in record.buckets:
            self.seen.add(page_id)
        with _Findings(self, f"root record {record.number}", 1):
            root = load_directory(record, self.store, self.opener)
            for tree in root.trees():
                if tree.spec.tree_id >= record.next_tree_id:
                    self.find(f"tree {tree.spec.tree_id}", 8, "its id was not given out yet")
                self._tree(tree, record, is_newest=is_newest)

    def _tree(self, tree: TreeRoot, record: RootRecord, *, is_newest: bool) -> None:
        if not is_newest and tree.ref.page_id in self.seen:
            return
        state = _Tree(tree.spec)
        pages = StoredPages(self.store, self.opener)
        walk = _Walk(self, state, pages, record.next_page_id, is_newest=is_newest)
        count = walk.page(tree.ref, None, None, 0)
        if count is not None and count != tree.ref.count:
            self.find(f"tree {tree.spec.tree_id}", 4, f"{count} rows, not {tree.ref.count}")

    def _strangers(self) -> None:
        garbage = set(self.newest.garbage)
        for page_id in self.store.page_ids_from(0):
            if page_id in self.seen or page_id in garbage:
                continue
            if page_id & ~LIST_BIT < self.newest.next_page_id and not self._is_listed(page_id):
                self.find(f"page {page_id}", 7, "stored, but nobody refers to it")

    def _is_listed(self, page_id: int) -> bool:
        """Whether a page is a piece of a large value whose list is garbage."""
        listed: set[int] = set()
        pending = [number for number in self.newest.garbage if number & LIST_BIT]
        while pending:
            number = pending.pop()
            (sealed,) = self.store.read([number])
            if sealed is not None:
                page = decode_page(self.opener.open(number, None, sealed), _NO_TREE)
                below = [ref.page_id for ref in children_of(page)]
                listed.update(below)
                pending += [child for child in below if child & LIST_BIT]
        return page_id in listed


@dataclass(slots=True)
class _Walk:
    """The walk below one tree's root."""

    checker: Checker
    tree: _Tree
    pages: StoredPages
    next_page_id: int
    is_newest: bool = field(kw_only=True)

    def page(self, ref: Ref, low: Any, high: Any, depth: int) -> int | None:
        """Check a page and all below it, whose keys must be in [low, high); its rows."""
        checker, what = self.checker, f"page {ref.page_id}"
        if ref.page_id in checker.seen:
            if self.is_newest:
                checker.find(what, 6, "referred to twice")
            return None
        checker.seen.add(ref.page_id)
        if ref.page_id & ~LIST_BIT >= self.next_page_id:
            checker.find(what, 8, "its id was not given out yet")
        try:
            page = self.pages.load(ref, self.tree.spec)
        except Corrupted as error:
            checker.find(what, 1, str(error))
            return None
        if type(page) is Leaf:
            return self._leaf(what, page, low, high, depth)
        if type(page) is Inner:
            return self._inner(what, page, low, high, depth)
        checker.find(what, 2, "a piece of a large value in the place of a page")
        return None

    def _leaf(self, what: str, leaf: Leaf, low: Any, high: Any, depth: int) -> int:
        checker, tree = self.checker, self.tree
        if tree.depth is None:
            tree.depth = depth
        elif tree.depth != depth:
            checker.find(what, 2, f"a leaf at depth {depth}, others are at {tree.depth}")
        self._keys(what, list(leaf.keys), low, high)
        with _Findings(checker, what, 5):
            read_rows(leaf, tree.spec, self.pages)
        for ref in leaf.large or ():
            self._chunks(ref)
        return len(leaf.keys)

    def _inner(self, what: str, inner: Inner, low: Any, high: Any, depth: int) -> int:
        self._keys(what, list(inner.keys), low, high)
        bounds = [low, *inner.keys, high]
        total = 0
        for at, child in enumerate(inner.children):
            count = self.page(child, bounds[at], bounds[at + 1], depth + 1)
            if count is not None and count != child.count:
                self.checker.find(f"page {child.page_id}", 4, f"{count} rows, not {child.count}")
            total += child.count if count is None else count
        return total

    def _keys(self, what: str, keys: list[Any], low: Any, high: Any) -> None:
        if any(a >= b for a, b in pairwise(keys)):
            self.checker.find(what, 3, "its keys do not ascend")
        if keys and (
            (low is not None and keys[0] < low) or (high is not None and keys[-1] >= high)
        ):
            self.checker.find(what, 3, "its keys are outside of its parent's separators")

    def _chunks(self, ref: Ref) -> None:
        checker, what = self.checker, f"page {ref.page_id}"
        if ref.page_id in checker.seen:
            if self.is_newest:
                checker.find(what, 6, "referred to twice")
            return
        checker.seen.add(ref.page_id)
        with _Findings(checker, what, 1):
            page = self.pages.load(ref, _NO_TREE)
            if type(page) is not Chunk:
                checker.find(what, 2, "no piece of a large value")
                return
            for child in page.children or ():
                self._chunks(child)


def _check_log(directory: Path, keys: Any, identity: StoreIdentity, record: RootRecord) -> None:
    for block in _blocks(directory, keys, identity, record):
        for one in split_records(block.records, block.lsn):
            decode_changes(one.changes)


def _blocks(
    directory: Path, keys: Any, identity: StoreIdentity, record: RootRecord
) -> Iterator[Any]:
    tail = LogTail()
    yield from read_log(directory, keys, identity, tail, from_lsn=record.replay_lsn)
