"""Readable text of what is stored: one page, the root records, the log. For people who debug.

Values and keys are shown only on request: whoever helps need not be one who may read rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from helios_storage.check import StoredPages
from helios_storage.checkpoint import DIRECTORY_LEVEL
from helios_storage.directory import open_directory
from helios_storage.errors import Corrupted
from helios_storage.keyring import Keyring, KeySource, open_keyring
from helios_storage.log import LogTail, read_log
from helios_storage.options import MEGABYTE
from helios_storage.page import (
    Change,
    Inner,
    Leaf,
    LeafRun,
    SequenceLogged,
    TreeDropped,
    TreeMade,
    decode_page,
)
from helios_storage.reader import read_rows
from helios_storage.record import decode_changes, split_records
from helios_storage.recovery import load_directory, pick_root
from helios_storage.root_record import RootRecord, decode_directory, decode_root_record
from helios_storage.seal import PageOpener, StoreIdentity, level_of
from helios_storage.spec import TreeSpec
from helios_storage.store.lmdb import LmdbStore


@contextmanager
def _opened(directory: Path | str, keys: KeySource) -> Iterator[tuple[Keyring, LmdbStore, Path]]:
    home = open_directory(Path(directory), create=False)
    try:
        ring = open_keyring(home.path, keys, create=False)
        store = LmdbStore(home.pages, map_bytes=MEGABYTE, read_only=True)
        try:
            yield ring, store, home.log
        finally:
            store.close()
    finally:
        home.close()


def dump_roots(directory: Path | str, keys: KeySource) -> Iterator[str]:
    """Every root record and the trees of the newest one, a line each."""
    with _opened(directory, keys) as (ring, store, _):
        opener = PageOpener(ring, StoreIdentity(ring.store_id))
        for number, sealed in store.roots():
            record = decode_root_record(opener.open(number, None, sealed))
            yield (
                f"root {number}: lsn {record.lsn}, replay from {record.replay_lsn}, "
                f"next page {record.next_page_id}, {len(record.sequences)} sequences, "
                f"{len(record.garbage)} pages to delete"
            )
        root = load_directory(pick_root(store, opener), store, opener)
        for tree in root.trees():
            spec, ref = tree.spec, tree.ref
            yield (
                f"tree {spec.tree_id}: {spec.key_kind} keys, columns {spec.shapes!r}, "
                f"{ref.count} rows, page {ref.page_id}"
            )


def dump_page(
    directory: Path | str,
    keys: KeySource,
    page_id: int,
    *,
    tree_id: int | None = None,
    values: bool = False,
) -> Iterator[str]:
    """One stored page. A leaf's rows need the tree that it belongs to.

    Raises `Corrupted` when it is absent or does not open.
    """
    with _opened(directory, keys) as (ring, store, _):
        opener = PageOpener(ring, StoreIdentity(ring.store_id))
        (sealed,) = store.read([page_id])
        if sealed is None:
            raise Corrupted(f"page {page_id} is absent")
        data = opener.open(page_id, None, sealed)
        tag = sealed[-16:].hex()
        yield f"page {page_id}: {len(sealed)} bytes sealed, {len(data)} open, tag {tag}"
        if level_of(sealed) == DIRECTORY_LEVEL:
            for tree in decode_directory(data):
                yield f"  tree {tree.spec.tree_id}: page {tree.ref.page_id}, {tree.ref.count} rows"
            return
        record = pick_root(store, opener)
        spec = _spec_for(record, store, opener, data, tree_id)
        page = decode_page(data, spec)
        if type(page) is Inner:
            yield f"  inner, {len(page.children)} children"
            separators = [None, *page.keys]
            for separator, child in zip(separators, page.children, strict=True):
                at = f" from {_shown(separator)}" if values else ""
                yield f"  page {child.page_id}: {child.count} rows{at}"
        elif type(page) is Leaf:
            yield f"  leaf of tree {spec.tree_id}, {len(page.keys)} rows, heap {len(page.heap)}"
            if values:
                rows = read_rows(page, spec, StoredPages(store, opener))
                for key, writer, row in zip(page.keys, page.writers, rows, strict=True):
                    yield f"  {_shown(key)}: {row!r} (transaction {writer})"
        else:
            yield f"  piece of a large value: {page!r}"


def _spec_for(
    record: RootRecord, store: LmdbStore, opener: PageOpener, data: bytes, tree_id: int | None
) -> TreeSpec:
    """The spec to decode a page with: of the tree given, else of any with this kind of key."""
    root = load_directory(record, store, opener)
    if tree_id is not None:
        return root.tree(tree_id).spec
    for tree in root.trees():
        try:
            decode_page(data, tree.spec)
        except Corrupted:
            continue
        return tree.spec
    raise Corrupted("no tree has pages like this one")


def dump_log(
    directory: Path | str, keys: KeySource, *, from_lsn: int | None = None, values: bool = False
) -> Iterator[str]:
    """The log from an LSN on (by default from where replay would begin), a line per change."""
    with _opened(directory, keys) as (ring, store, log):
        identity = StoreIdentity(ring.store_id)
        record = pick_root(store, PageOpener(ring, identity))
        tail = LogTail()
        begin = record.replay_lsn if from_lsn is None else from_lsn
        for block in read_log(log, ring, identity, tail, from_lsn=begin):
            yield (
                f"segment {block.segment}, block {block.counter} at {block.offset}: "
                f"lsn {block.lsn}, {len(block.records)} bytes"
            )
            for one in split_records(block.records, block.lsn):
                changes = decode_changes(one.changes)
                name = one.kind.name.lower()
                head = f"  {name}, transaction {one.xid}, lsn {one.lsn_after}"
                yield f"{head}, {len(changes)} changes"
                for change in changes:
                    yield "    " + _change_text(change, values=values)
        if tail.torn is not None:
            yield f"torn tail in segment {tail.torn[0]} at {tail.torn[1]}"
        yield f"end at lsn {tail.lsn}"


def _change_text(change: Change, *, values: bool) -> str:
    if type(change) is LeafRun:
        return f"tree {change.tree_id}: a leaf of {len(change.page)} bytes"
    if type(change) is TreeMade:
        return f"tree {change.spec.tree_id}: made, columns {change.spec.shapes!r}"
    if type(change) is TreeDropped:
        return f"tree {change.tree_id}: dropped"
    if type(change) is SequenceLogged:
        return f"sequence {change.sequence_id}: {change.value if values else 'advanced'}"
    row_change: Any = change
    tree_id, key, row = row_change
    what = "deleted" if row is None else f"put, {len(row)} bytes"
    return f"tree {tree_id}: {what}" + (f", key {_shown(key)}" if values else "")


def _shown(key: Any) -> str:
    return key.hex() if isinstance(key, bytes) else str(key)
