"""Log records: what a commit changed, as bytes. A block of the log holds whole records.

    offset  size  field (little-endian)
    0       4     length of the changes
    4       1     kind: 1 commit, 2 part of a commit that comes later, 3 that commit will not come,
                  4 outside any transaction (sequences)
    5       4     transaction id
    9       n     changes, back to back, each beginning with its own kind (`_PUT_INT` ..)

Rows are as `layout.pack_row` gives them: readable with the tree's columns of that moment, so a
widened tree's older records need no rewriting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from struct import Struct, error
from typing import Any, Final, NamedTuple

from helios_storage.errors import Corrupted
from helios_storage.layout import pack_row, unpack_row
from helios_storage.page import Change, LeafRun, SequenceLogged, TreeDropped, TreeMade
from helios_storage.spec import TreeId, TreeSpec

HEAD: Final = Struct("<IBI")
_PUT_INT: Final = Struct("<BIqI")
_DELETE_INT: Final = Struct("<BIq")
_PUT_BYTES: Final = Struct("<BIHI")
_DELETE_BYTES: Final = Struct("<BIH")
_LEAF_RUN: Final = Struct("<BII")
_MADE: Final = Struct("<BIBHI")
_DROPPED: Final = Struct("<BI")
_SEQUENCE: Final = Struct("<BIq?")
_MADE_BYTES_KEYS, _MADE_MISSING = 1, 2


class RecordKind(IntEnum):
    """What a record of the log says."""

    COMMIT = 1
    AHEAD = 2
    ABANDON = 3
    OUTSIDE = 4


class Record(NamedTuple):
    """One record of a block; `changes` are still bytes."""

    kind: RecordKind
    xid: int
    lsn_after: int
    changes: bytes


def encode_record(kind: RecordKind, xid: int, changes: Iterable[Change]) -> bytes:
    """One record, ready for a block."""
    parts: list[bytes] = []
    append = parts.append
    for change in changes:
        if type(change) is tuple:
            row_change: Any = change  # mypy cannot tell a plain tuple from the named ones
            tree_id, key, row = row_change
            if type(key) is int:
                if row is None:
                    append(_DELETE_INT.pack(2, tree_id, key))
                else:
                    append(_PUT_INT.pack(1, tree_id, key, len(row)))
                    append(row)
            elif row is None:
                append(_DELETE_BYTES.pack(4, tree_id, len(key)))
                append(key)
            else:
                append(_PUT_BYTES.pack(3, tree_id, len(key), len(row)))
                append(key)
                append(row)
        else:
            append(_encode_other(change))
    body = b"".join(parts)
    return HEAD.pack(len(body), kind, xid) + body


def _encode_other(change: Change) -> bytes:
    if type(change) is LeafRun:
        return _LEAF_RUN.pack(5, change.tree_id, len(change.page)) + change.page
    if type(change) is TreeMade:
        return _encode_made(change.spec)
    if type(change) is TreeDropped:
        return _DROPPED.pack(7, change.tree_id)
    assert type(change) is SequenceLogged, change
    return _SEQUENCE.pack(8, change.sequence_id, change.value, change.called)


def _encode_made(spec: TreeSpec) -> bytes:
    assert not spec.temporary, "temporary trees are never logged"
    flags = _MADE_BYTES_KEYS if spec.key_kind == "bytes" else 0
    missing = b""
    if spec.missing:
        flags |= _MADE_MISSING
        missing = pack_row(spec, spec.missing)
    shapes = spec.shapes.encode("ascii")
    return _MADE.pack(6, spec.tree_id, flags, len(shapes), len(missing)) + shapes + missing


def split_records(data: bytes, lsn: int) -> Iterator[Record]:
    """The records of a block whose first one is at `lsn`. Raises `Corrupted`."""
    at, end = 0, len(data)
    while at < end:
        try:
            length, kind, xid = HEAD.unpack_from(data, at)
            start = at + HEAD.size
            at = start + length
            record = Record(RecordKind(kind), xid, lsn + at, data[start:at])
        except (error, ValueError):
            raise Corrupted(f"log record at {lsn + at} has no head") from None
        if at > end:
            raise Corrupted(f"log record before {lsn + at} is longer than its block")
        yield record


def decode_changes(data: bytes) -> list[Change]:
    """The changes of a record. Raises `Corrupted`."""
    changes: list[Change] = []
    append = changes.append
    at, end = 0, len(data)
    try:
        while at < end:
            kind = data[at]
            if kind == 1:
                _, tree_id, key, length = _PUT_INT.unpack_from(data, at)
                at += 17
                append((tree_id, key, data[at : at + length]))
                at += length
            elif kind == 3:
                _, tree_id, key_length, length = _PUT_BYTES.unpack_from(data, at)
                at += 11
                middle = at + key_length
                append((tree_id, data[at:middle], data[middle : middle + length]))
                at = middle + length
            elif kind == 2:
                _, tree_id, key = _DELETE_INT.unpack_from(data, at)
                at += 13
                append((tree_id, key, None))
            elif kind == 4:
                _, tree_id, key_length = _DELETE_BYTES.unpack_from(data, at)
                at += 7
                append((tree_id, data[at : at + key_length], None))
                at += key_length
            else:
                change, at = _decode_other(data, at)
                append(change)
    except (error, ValueError, IndexError) as problem:
        raise Corrupted(f"log change at {at} cannot be read: {problem}") from None
    if at != end:
        raise Corrupted("the last log change is longer than its record")
    return changes


def _decode_other(data: bytes, at: int) -> tuple[Change, int]:
    kind = data[at]
    if kind == 5:
        _, tree_id, length = _LEAF_RUN.unpack_from(data, at)
        at += _LEAF_RUN.size
        return LeafRun(tree_id, data[at : at + length]), at + length
    if kind == 6:
        _, tree_id, flags, shapes_length, missing_length = _MADE.unpack_from(data, at)
        at += _MADE.size
        middle = at + shapes_length
        end = middle + missing_length
        spec = TreeSpec(
            tree_id,
            "bytes" if flags & _MADE_BYTES_KEYS else "int",
            data[at:middle].decode("ascii"),
        )
        if flags & _MADE_MISSING:
            missing = unpack_row(spec, data[middle:end])
            spec = TreeSpec(tree_id, spec.key_kind, spec.shapes, missing=missing)
        return TreeMade(spec), end
    if kind == 7:
        _, tree_id = _DROPPED.unpack_from(data, at)
        return TreeDropped(TreeId(tree_id)), at + _DROPPED.size
    if kind == 8:
        _, sequence_id, value, called = _SEQUENCE.unpack_from(data, at)
        return SequenceLogged(sequence_id, value, called), at + _SEQUENCE.size
    raise ValueError(f"kind {kind}")
