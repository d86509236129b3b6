"""What one checkpoint leaves behind: where the trees are, where the log goes on, what to clean up.

Root record n is sealed like a page (level 254, its number as page id). The directory of trees is
cut into buckets of 128 trees; a bucket that did not change keeps its page.

    root record, little-endian:
    0    2   version, 1               2    4   timeline
    6    8   number                   14   8   LSN of the last commit that is in it
    22   8   LSN to replay from       30   8   next page id
    38   4   next tree id             42   4   next transaction id
    46   8   generation of the key ring
    54   4   directory pages: (bucket 4, page id 8, tag 16) each
         4   sequences: (id 4, value 8, called 1) each
         4   garbage: page ids 8 each, to be deleted when the roots before are gone

    a directory page: per tree
    0    4   tree id                  4    1   1: bytes keys, 2: has missing values
    5    2   size of shapes           7    4   size of missing values
    11   8   root page id             19   16  tag          35   8   rows
    43       shapes, missing values (`layout.pack_row`)
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from struct import Struct, error
from typing import Any, Final

from helios_storage.errors import Corrupted
from helios_storage.layout import pack_row, unpack_row
from helios_storage.page import Ref
from helios_storage.root import BUCKET_BITS, BUCKET_MASK, TreeRoot
from helios_storage.spec import PageId, TreeId, TreeSpec

_VERSION: Final = 1
_HEAD: Final = Struct("<HIQQQQIIQ")
_COUNT: Final = Struct("<I")
_BUCKET: Final = Struct("<IQ16s")
_SEQUENCE: Final = Struct("<Iq?")
_TREE: Final = Struct("<IBHIQ16sQ")
_BYTES_KEYS, _MISSING = 1, 2


@dataclass(frozen=True, slots=True)
class RootRecord:
    """Root record n, decoded."""

    number: int
    lsn: int
    replay_lsn: int
    next_page_id: int
    next_tree_id: int
    next_xid: int
    timeline: int
    ring_generation: int
    buckets: tuple[tuple[int, int, bytes], ...]  # (bucket, page id, tag)
    sequences: tuple[tuple[int, int, bool], ...]
    garbage: tuple[int, ...]


def encode_root_record(record: RootRecord) -> bytes:
    """The record's plaintext."""
    head = _HEAD.pack(
        _VERSION,
        record.timeline,
        record.number,
        record.lsn,
        record.replay_lsn,
        record.next_page_id,
        record.next_tree_id,
        record.next_xid,
        record.ring_generation,
    )
    parts = [head, _COUNT.pack(len(record.buckets))]
    parts += [_BUCKET.pack(*bucket) for bucket in record.buckets]
    parts.append(_COUNT.pack(len(record.sequences)))
    parts += [_SEQUENCE.pack(*sequence) for sequence in record.sequences]
    parts.append(_COUNT.pack(len(record.garbage)))
    parts.append(array("Q", record.garbage).tobytes())
    return b"".join(parts)


def decode_root_record(data: bytes) -> RootRecord:
    """The opposite of `encode_root_record`. Raises `Corrupted`."""
    try:
        version, timeline, number, lsn, replay, page_id, tree_id, xid, ring = _HEAD.unpack_from(
            data
        )
        if version != _VERSION:
            raise Corrupted(f"root record {number} has unknown version {version}")
        at = _HEAD.size
        buckets, at = _read_items(data, at, _BUCKET)
        sequences, at = _read_items(data, at, _SEQUENCE)
        (count,) = _COUNT.unpack_from(data, at)
        at += _COUNT.size
        garbage = array("Q", data[at : at + 8 * count])
    except (error, ValueError) as problem:
        raise Corrupted(f"the root record cannot be read: {problem}") from None
    if len(garbage) != count or at + 8 * count != len(data):
        raise Corrupted("the root record has a wrong length")
    return RootRecord(
        number, lsn, replay, page_id, tree_id, xid, timeline, ring,
        tuple(buckets), tuple(sequences), tuple(garbage),
    )  # fmt: skip


def _read_items(data: bytes, at: int, item: Struct) -> tuple[list[Any], int]:
    (count,) = _COUNT.unpack_from(data, at)
    at += _COUNT.size
    end = at + count * item.size
    items = list(item.iter_unpack(data[at:end]))
    if len(items) != count:
        raise ValueError(f"{len(items)} of {count} items")
    return items, end


def encode_directory(trees: Iterable[TreeRoot]) -> bytes:
    """A directory page: every tree's spec and where its root page rests."""
    parts: list[bytes] = []
    for tree in trees:
        spec, ref = tree.spec, tree.ref
        assert not spec.temporary and ref.page_id, spec  # noqa: PT018
        shapes = spec.shapes.encode("ascii")
        missing = pack_row(spec, spec.missing) if spec.missing else b""
        flags = (_BYTES_KEYS if spec.key_kind == "bytes" else 0) | (_MISSING if missing else 0)
        head = _TREE.pack(
            spec.tree_id, flags, len(shapes), len(missing), ref.page_id, ref.tag, ref.count
        )
        parts += (head, shapes, missing)
    return b"".join(parts)


def decode_directory(data: bytes) -> list[TreeRoot]:
    """The trees of a directory page. Raises `Corrupted`."""
    trees: list[TreeRoot] = []
    at = 0
    try:
        while at < len(data):
            tree_id, flags, shapes_size, missing_size, page_id, tag, count = _TREE.unpack_from(
                data, at
            )
            at += _TREE.size
            middle = at + shapes_size
            end = middle + missing_size
            shapes = data[at:middle].decode("ascii")
            spec = TreeSpec(TreeId(tree_id), "bytes" if flags & _BYTES_KEYS else "int", shapes)
            if flags & _MISSING:
                missing = unpack_row(spec, data[middle:end])
                spec = TreeSpec(spec.tree_id, spec.key_kind, shapes, missing=missing)
            trees.append(TreeRoot(spec, Ref(None, count, PageId(page_id), tag)))
            at = end
    except (error, ValueError) as problem:
        raise Corrupted(f"a directory page cannot be read: {problem}") from None
    if at != len(data):
        raise Corrupted("a directory page has a wrong length")
    return trees


def buckets_of(trees: Sequence[TreeRoot]) -> dict[int, dict[int, TreeRoot]]:
    """Trees as `DatabaseRoot` keeps them."""
    buckets: dict[int, dict[int, TreeRoot]] = {}
    for tree in trees:
        tree_id = tree.spec.tree_id
        buckets.setdefault(tree_id >> BUCKET_BITS, {})[tree_id & BUCKET_MASK] = tree
    return buckets
