"""Large commits: a delta becomes a private root, in slices, while others commit to the same tree.

    log the delta ahead -> take the tree's turn -> merge onto a pinned root -> catch up with the
    keys that others committed meanwhile -> the commit itself catches up with the last few

One large commit to a tree at a time; small ones go on, and say which keys they changed (`tell`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, Protocol

from helios_storage.layout import layout_of
from helios_storage.page import (
    Change,
    CommitLog,
    EditToken,
    LeafRun,
    PageSource,
    Ref,
    SteadyPages,
    encode_page,
)
from helios_storage.reader import read_rows, reader_of
from helios_storage.root import DatabaseRoot, Roots, TreeRoot
from helios_storage.runs import first_key, join_behind, last_key
from helios_storage.scheduler import Event, Scheduler
from helios_storage.spec import Key, Row, TreeId
from helios_storage.transaction import Transaction
from helios_storage.tree import Edit, apply, empty_tree, find_leaf, find_path, index_in, put
from helios_storage.write_set import Delta, leaves_of

_LOG_PART_BYTES: Final = 256 * 1024
_LOG_PART_KEYS: Final = 8192
_CAUGHT_UP_KEYS: Final = 256
"""So few keys of others are caught up in the commit itself; more before it, in slices."""


class Prepared(NamedTuple):
    """A large write set as a private root, and the keys that others committed meanwhile."""

    tree: TreeRoot
    edit: Edit
    foreign: set[Key]
    delta: Delta


class Committing(Protocol):
    """What large commits need of the transaction manager."""

    roots: Roots
    pages: PageSource
    log: CommitLog
    scheduler: Scheduler

    def store_early(self, xid: int, token: EditToken, refs: list[Ref]) -> None: ...


def base_of(transaction: Transaction, root: DatabaseRoot, tree_id: int) -> TreeRoot:
    """A committed tree, under the spec that the transaction gave it."""
    spec = transaction.specs.get(tree_id)
    if spec is None:
        return root.tree(tree_id)
    tree = root.find(tree_id)
    return empty_tree(spec) if tree is None else TreeRoot(spec, tree.ref)


class LargeCommits:
    """The large commits under way. `turns`: tree -> who merges, keys of others, its end."""

    __slots__ = ("_shared", "turns")

    def __init__(self, shared: Committing) -> None:
        self._shared = shared
        self.turns: dict[int, tuple[Transaction, set[Key], Event]] = {}

    def prepare(self, transaction: Transaction, tree_id: int) -> Prepared:
        """A large write set as a private root, logged ahead. May suspend.

        From here to `leave` the transaction has the tree's turn.
        """
        shared = self._shared
        base = base_of(transaction, shared.roots.newest, tree_id)
        delta = transaction.writes.spill(
            tree_id,
            base.spec,
            transaction.xid,
            self._shared.pages,
            self._shared.scheduler.check_slice,
        )
        if not base.spec.temporary:
            for part in self._parts_of(delta, TreeId(tree_id)):
                self._shared.log.append_ahead(transaction.xid, part)
                self._shared.scheduler.check_slice()
        self._take_turn(tree_id)
        foreign: set[Key] = set()
        self.turns[tree_id] = (transaction, foreign, Event())
        root = self._shared.roots.pin(self._shared.roots.newest)
        try:
            base = base_of(transaction, shared.roots.newest, tree_id)
            edit = Edit(self._shared.pages, EditToken())
            tree = self._merged(transaction, base, delta, edit)
            one = Prepared(tree, edit, foreign, delta)
            while len(foreign) > _CAUGHT_UP_KEYS:
                one = self.caught_up(one, self._shared.roots.newest, _CAUGHT_UP_KEYS)
                self._shared.scheduler.check_slice()
        finally:
            self._shared.roots.unpin(root)
        return one

    def _merged(
        self, transaction: Transaction, base: TreeRoot, delta: Delta, edit: Edit
    ) -> TreeRoot:
        """`base` with a delta's changes, in slices; rows behind all others are joined on."""
        tree = base
        if delta.dead.ref.count:
            for leaf in leaves_of(delta.dead, self._shared.pages):
                tree = self._put_leaf(tree, list(leaf.keys), None, transaction.xid, edit)
                self._shared.scheduler.check_slice()
                self._shared.store_early(transaction.xid, edit.token, [tree.ref])
        if not delta.rows.ref.count:
            return tree
        first = first_key(delta.rows, self._shared.pages)
        if not tree.ref.count or last_key(tree, self._shared.pages) < first:
            return join_behind(tree, delta.rows, edit)
        for leaf in leaves_of(delta.rows, self._shared.pages):
            rows = read_rows(leaf, delta.rows.spec, self._shared.pages)
            if leaf.large:
                edit.token.replaced += leaf.large  # built anew in the leaves that are changed
            tree = self._put_leaf(tree, list(leaf.keys), rows, transaction.xid, edit)
            self._shared.scheduler.check_slice()
            self._shared.store_early(transaction.xid, edit.token, [tree.ref])
        return tree

    def _put_leaf(
        self, tree: TreeRoot, keys: list[Any], rows: list[Row] | None, xid: int, edit: Edit
    ) -> TreeRoot:
        bound = None
        for key in keys:
            if bound is None or key > bound:
                leaf = find_leaf(tree.ref, key, tree.spec, self._shared.pages)
                bound = leaf.keys[-1] if leaf.keys else None
        values: list[Any] = [None] * len(keys) if rows is None else rows
        return apply(tree, list(zip(keys, values, strict=True)), xid, edit)

    def caught_up(self, one: Prepared, root: DatabaseRoot, keys_max: int = 0) -> Prepared:
        """The private root with what others have committed to the tree meanwhile."""
        tree, edit = one.tree, one.edit
        newest = root.find(tree.spec.tree_id)
        count = 0
        while one.foreign and (not keys_max or count < keys_max):
            assert newest is not None
            key = one.foreign.pop()
            ref, path = find_path(newest.ref, key, newest.spec, self._shared.pages)
            leaf: Any = ref.page
            at = index_in(leaf, key)
            row, writer = None, 0
            if at >= 0:
                reader = reader_of(newest.spec.shapes, None)
                row = reader.read(leaf, at, newest.spec, SteadyPages(self._shared.pages))
                writer = leaf.writers[at]
            edit.token.replaced += [ref, *[inner_ref for inner_ref, _, _ in path]]
            tree = put(tree, key, row, writer, edit)
            count += 1
        return Prepared(tree, edit, one.foreign, one.delta)

    def _parts_of(self, delta: Delta, tree_id: TreeId) -> Iterator[list[Change]]:
        """A delta as changes for the log, about 256 KB at a time: whole leaves where possible."""
        part: list[Change] = []
        size = 0
        spec = delta.rows.spec
        pack = layout_of(spec.shapes).pack_row
        for leaf in leaves_of(delta.rows, self._shared.pages):
            if leaf.large is None:
                page = encode_page(leaf)
                part.append(LeafRun(tree_id, page))
                size += len(page)
            else:
                rows = read_rows(leaf, spec, self._shared.pages)
                for key, row in zip(list(leaf.keys), rows, strict=True):
                    packed = pack(row)
                    part.append((tree_id, key, packed))
                    size += len(packed)
            if size >= _LOG_PART_BYTES:
                yield part
                part, size = [], 0
        for leaf in leaves_of(delta.dead, self._shared.pages):
            part += [(tree_id, key, None) for key in leaf.keys]
            if len(part) >= _LOG_PART_KEYS:
                yield part
                part = []
        if part:
            yield part

    def _take_turn(self, tree_id: int) -> None:
        """One large commit to a tree at a time; trees are taken in order of their ids."""
        while (watcher := self.turns.get(tree_id)) is not None:
            self._shared.scheduler.wait(watcher[2])

    def tell(self, transaction: Transaction) -> None:
        """Large commits under way learn which keys this commit has changed below them."""
        for tree_id, (watching, foreign, _) in list(self.turns.items()):
            writes = transaction.writes.trees.get(tree_id)
            if writes is not None and watching is not transaction:
                assert writes.delta is None, "one large commit to a tree at a time"
                foreign.update(writes.rows)
        self.leave(transaction)

    def leave(self, transaction: Transaction) -> None:
        for tree_id, (watching, _, ended) in list(self.turns.items()):
            if watching is transaction:
                del self.turns[tree_id]
                ended.set()
