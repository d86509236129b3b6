"""The write-ahead log: sealed blocks in pre-filled segment files, one block per sync batch.

A record's LSN is its position in the endless stream of plaintext records; a block holds whole
records. A segment, little-endian:

    offset  size  field
    0       8     magic "HELIOLOG"
    8       4     format version, 1
    12      4     data key's id
    16      8     segment's number, from 1
    24      8     LSN of its first record
    32      16    salt of its seal epoch
    48      16    store id
    64      4     timeline
    68      4     zero
    72      16    tag of the block before it (the last of the segment before)
    88      16    GCM tag over the above (counter 0)
    104           blocks, from counter 1

    a block:
    0       4     magic "HBLK"
    4       4     length of the sealed records, tag included
    8       8     counter
    16      8     LSN of its first record
    24      16    tag of the block before (of the segment's head, for the first)
    40      n     records, sealed; the last 16 bytes are the tag

Invariants (tests/storage/test_log.py):

1. A block is synced before the next one is written: only the last block of a log can be torn.
2. A bad block is a torn tail only if no later block of its segment authenticates, and the next
   segment, if there is one, was made by the recovery that found it so (invariant 3); else the log
   was altered, and the start is refused.
3. Tags chain through blocks and segments, LSNs have no gap: nothing in between can be taken out.
4. A segment that has its name has a synced head; recovery never appends to a segment it did not
   make, so an epoch's counter never runs twice.

A sync that fails is not tried again: the kernel may have dropped the pages and would report
success. `LogWriter.write` raises, and `commit.py` ends the process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from struct import Struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from helios_storage.directory import sync_directory
from helios_storage.errors import Corrupted, StorageFull, StorageRefused
from helios_storage.seal import (
    TAG_BYTES,
    DataKeys,
    Epoch,
    StoreIdentity,
    derive_use_key,
    nonce_of,
)

SEGMENT_SUFFIX: Final = ".log"
SPARE_PREFIX: Final = "spare-"
BLOCK_BYTES_MAX: Final = 4 * 1024 * 1024  # a batch beyond this is cut into several synced blocks
FORMAT_VERSION: Final = 1

_MAGIC: Final = b"HELIOLOG"
_BLOCK_MAGIC: Final = b"HBLK"
_HEAD: Final = Struct("<8sIIQQ16s16sII16s")
_BLOCK: Final = Struct("<4sIQQ16s")
_PLACE: Final = Struct("<16sIQ")  # store id, timeline, segment
HEAD_BYTES: Final = _HEAD.size + TAG_BYTES
BLOCK_OVERHEAD_BYTES: Final = _BLOCK.size + TAG_BYTES
_NO_TAG: Final = bytes(TAG_BYTES)


@dataclass(frozen=True, slots=True)
class SegmentHead:
    """What a segment says about itself, authenticated."""

    number: int
    first_lsn: int
    key_id: int
    salt: bytes
    tag_before: bytes
    tag: bytes


@dataclass(frozen=True, slots=True)
class Block:
    """One opened block: whole records from `lsn` on."""

    segment: int
    offset: int
    counter: int
    lsn: int
    tag_before: bytes
    tag: bytes
    records: bytes

    @property
    def lsn_after(self) -> int:
        """The LSN of what follows."""
        return self.lsn + len(self.records)


def segment_path(directory: Path, number: int) -> Path:
    """Where segment `number` rests."""
    return directory / f"{number:016d}{SEGMENT_SUFFIX}"


def list_segments(directory: Path) -> list[int]:
    """The numbers of all segments, ascending. Spares are not segments."""
    names = (path.name.removesuffix(SEGMENT_SUFFIX) for path in directory.glob("*.log"))
    return sorted(int(name) for name in names if name.isdigit())


# ------------------------------------------------------------------------------ writing


class LogWriter:
    """Appends sealed blocks, from one thread; spares and releases may come from another.

    The first segment is made at once. `number` must be one that no segment ever had; `tag_before`
    is the last block's tag so far.
    """

    def __init__(
        self,
        directory: Path,
        keys: DataKeys,
        identity: StoreIdentity,
        *,
        number: int,
        lsn: int,
        tag_before: bytes = _NO_TAG,
        segment_bytes: int,
        spare_segments: int,
        fsync: bool,
    ) -> None:
        self._directory = directory
        self._keys = keys
        self._identity = identity
        self._segment_bytes = segment_bytes
        self._spares_wanted = spare_segments
        self._fsync = fsync
        self._number = number - 1
        self._tag = tag_before
        self._descriptor = -1
        self._offset = 0
        self._spare_numbers = count(1)  # `next` is atomic: two threads make spares
        self._spares: list[Path] = []
        self._segments: list[tuple[int, int]] = []  # (number, first LSN), of those made here
        self.lsn = lsn
        self._remove_spares()
        self.rotate()

    @property
    def number(self) -> int:
        """The segment that is being written."""
        return self._number

    def write(self, records: list[bytes]) -> None:
        """Seal `records` into blocks and make each durable. Raises OSError: do not go on.

        More than `BLOCK_BYTES_MAX` become several blocks, each synced before the next
        (invariant 1).
        """
        start, size = 0, 0
        for index, record in enumerate(records):
            if size and size + len(record) > BLOCK_BYTES_MAX:
                self._write_block(b"".join(records[start:index]))
                start, size = index, 0
            size += len(record)
        self._write_block(b"".join(records[start:]))

    def _write_block(self, records: bytes) -> None:
        size = BLOCK_OVERHEAD_BYTES + len(records)
        if self._offset + size > self._segment_bytes and self._offset > HEAD_BYTES:
            self.rotate()
        epoch = self._epoch
        counter = epoch.next_counter()
        head = _BLOCK.pack(_BLOCK_MAGIC, len(records) + TAG_BYTES, counter, self.lsn, self._tag)
        sealed = epoch.cipher.encrypt(nonce_of(0, counter), records, head + self._place)
        written = os.pwritev(
            self._descriptor, (head, sealed), self._offset, os.RWF_DSYNC if self._fsync else 0
        )
        if written != size:  # a full disk, in a segment that had to grow
            raise OSError(28, "the log could not be written in full")
        self._offset += size
        self._tag = sealed[-TAG_BYTES:]
        self.lsn += len(records)

    def rotate(self) -> None:
        """Begin the next segment: a spare gets a synced head, then its name (invariant 4)."""
        number = self._number + 1
        epoch = Epoch(self._keys, "log")
        place = _PLACE.pack(self._identity.store_id, self._identity.timeline, number)
        head = _HEAD.pack(
            _MAGIC,
            FORMAT_VERSION,
            epoch.key_id,
            number,
            self.lsn,
            epoch.salt,
            self._identity.store_id,
            self._identity.timeline,
            0,
            self._tag,
        )
        tag = epoch.cipher.encrypt(nonce_of(0, epoch.next_counter()), b"", head + place)
        spare = self._spares.pop() if self._spares else self._fill_spare()
        descriptor = os.open(spare, os.O_RDWR | os.O_CLOEXEC)
        os.pwrite(descriptor, head + tag, 0)
        if self._fsync:
            os.fsync(descriptor)
        os.rename(spare, segment_path(self._directory, number))
        if self._fsync:
            sync_directory(self._directory)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._offset = descriptor, HEAD_BYTES
        self._epoch, self._place, self._tag, self._number = epoch, place, tag, number
        self._segments.append((number, self.lsn))

    def wants_spare(self) -> bool:
        """Whether a segment that is filled ahead is missing."""
        return len(self._spares) < self._spares_wanted

    def prepare_spare(self) -> bool:
        """Fill one spare if some are wanted; False when there are enough."""
        if not self.wants_spare():
            return False
        try:
            self._spares.append(self._fill_spare())
        except OSError as error:
            raise StorageFull(f"a log segment could not be filled: {error.strerror}") from None
        return True

    def _fill_spare(self) -> Path:
        """A file of zeros, synced: later syncs then write data only, no metadata."""
        path = self._spare_path()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            zeros = bytes(1 << 20)
            for at in range(0, self._segment_bytes, len(zeros)):
                os.write(descriptor, zeros[: self._segment_bytes - at])
            if self._fsync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return path

    def release(self, lsn: int) -> None:
        """Let go of segments that hold nothing from `lsn` on: recycled as spares, or removed."""
        for number, following in self._finished():
            if following > lsn:
                return
            self._segments.remove((number, self._first_lsn(number)))
            path = segment_path(self._directory, number)
            if len(self._spares) >= self._spares_wanted:
                path.unlink()
            elif path.stat().st_size == self._segment_bytes:
                spare = self._spare_path()
                os.rename(path, spare)
                self._spares.append(spare)
            else:
                path.unlink()
            if self._fsync:
                sync_directory(self._directory)

    def adopt(self, segments: list[tuple[int, int]]) -> None:
        """Segments of an earlier process, (number, first LSN), to be released like ours."""
        self._segments = sorted(segments) + self._segments

    def close(self) -> None:
        """Close the file. Everything written is durable already."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _finished(self) -> list[tuple[int, int]]:
        pairs = zip(self._segments, self._segments[1:], strict=False)
        return [(number, following) for (number, _), (_, following) in pairs]

    def _first_lsn(self, number: int) -> int:
        return next(lsn for known, lsn in self._segments if known == number)

    def _spare_path(self) -> Path:
        return self._directory / f"{SPARE_PREFIX}{next(self._spare_numbers)}"

    def _remove_spares(self) -> None:
        for path in self._directory.glob(SPARE_PREFIX + "*"):
            path.unlink()


# ------------------------------------------------------------------------------ reading


class SegmentReader:
    """One segment: its head authenticated at once, its blocks in order on demand."""

    def __init__(
        self, directory: Path, number: int, keys: DataKeys, identity: StoreIdentity
    ) -> None:
        self.number = number
        self.torn_at: int | None = None
        self._path = segment_path(directory, number)
        self._place = _PLACE.pack(identity.store_id, identity.timeline, number)
        self._data = b""
        self.head = self._open_head(keys, identity)

    def _open_head(self, keys: DataKeys, identity: StoreIdentity) -> SegmentHead:
        number = self.number
        with self._path.open("rb") as file:
            data = file.read(HEAD_BYTES)
        if len(data) < HEAD_BYTES or data[:8] != _MAGIC:
            raise Corrupted(f"log segment {number} has no head")
        _, version, key_id, found, lsn, salt, store_id, timeline, _, tag_before = _HEAD.unpack_from(
            data
        )
        if version != FORMAT_VERSION:
            raise StorageRefused(f"log segment {number} has unknown format version {version}")
        if store_id != identity.store_id or timeline != identity.timeline or found != number:
            raise Corrupted(f"log segment {number} belongs to another store or place")
        self._cipher = AESGCM(derive_use_key(keys.data_key(key_id), salt, "log"))
        tag = data[_HEAD.size : HEAD_BYTES]
        try:
            self._cipher.decrypt(nonce_of(0, 0), tag, data[: _HEAD.size] + self._place)
        except InvalidTag:
            raise Corrupted(f"the head of log segment {number} does not authenticate") from None
        return SegmentHead(number, lsn, key_id, salt, tag_before, tag)

    def blocks(self) -> Iterator[Block]:
        """All blocks up to the end of what was written; `torn_at` tells of a bad one after it.

        Raises `StorageRefused` at a bad block with a good one after it (invariant 2).
        """
        self._data = self._path.read_bytes()
        offset, counter, tag, lsn = HEAD_BYTES, 1, self.head.tag, self.head.first_lsn
        while (block := self._block_at(offset)) is not None:
            if block.counter != counter or block.lsn != lsn or block.tag_before != tag:
                raise StorageRefused(
                    f"log segment {self.number}: block {block.counter} at {offset} is out of place"
                )
            yield block
            counter, tag, lsn = counter + 1, block.tag, block.lsn_after
            offset += BLOCK_OVERHEAD_BYTES + len(block.records)
        if (later := self._find_later(offset, counter)) is not None:
            raise StorageRefused(
                f"log segment {self.number}: bad block at {offset}, yet block {later.counter} "
                f"at {later.offset} is whole: the log was damaged or altered"
            )
        if any(self._data[offset : offset + 4]):
            self.torn_at = offset
        self._data = b""

    def _block_at(self, offset: int) -> Block | None:
        """The block at an offset, or None when none authenticates there."""
        data = self._data
        if offset + BLOCK_OVERHEAD_BYTES > len(data) or data[offset : offset + 4] != _BLOCK_MAGIC:
            return None
        _, length, counter, lsn, before = _BLOCK.unpack_from(data, offset)
        start = offset + _BLOCK.size
        if length < TAG_BYTES or start + length > len(data):
            return None
        sealed = data[start : start + length]
        try:
            records = self._cipher.decrypt(
                nonce_of(0, counter), sealed, data[offset:start] + self._place
            )
        except (InvalidTag, OverflowError):
            return None
        return Block(self.number, offset, counter, lsn, before, sealed[-TAG_BYTES:], records)

    def _find_later(self, offset: int, counter: int) -> Block | None:
        """A block after `offset` that authenticates with a later counter."""
        at = self._data.find(_BLOCK_MAGIC, offset + 1)
        while at >= 0:
            block = self._block_at(at)
            if block is not None and block.counter > counter:
                return block
            at = self._data.find(_BLOCK_MAGIC, at + 1)
        return None


@dataclass(slots=True)
class LogTail:
    """Where a log that was read ends, and its last block: the one that may not be synced."""

    lsn: int = 0
    tag: bytes = _NO_TAG
    number: int = 0  # highest segment number in use, 0 for none
    segments: list[tuple[int, int]] = field(default_factory=list)  # (number, first LSN)
    last: Block | None = None
    torn: tuple[int, int] | None = None  # (segment, offset) of a torn tail


def read_log(
    directory: Path, keys: DataKeys, identity: StoreIdentity, tail: LogTail, *, from_lsn: int
) -> Iterator[Block]:
    """Every block that holds records from `from_lsn` on, in order; fills `tail` on the way.

    A segment made by recovery repeats the last block of the one before it, which may not have
    been synced: it begins where that block began, and takes its place.

    Raises `StorageRefused` when records from `from_lsn` on are not all there: a missing segment,
    a gap in LSNs or tags, a bad block with a good one after it (invariants 2 and 3).
    """
    numbers = list_segments(directory)
    readers = [SegmentReader(directory, number, keys, identity) for number in numbers]
    heads = [reader.head for reader in readers]
    tail.segments = [(head.number, head.first_lsn) for head in heads]
    tail.number = numbers[-1] if numbers else 0
    if not heads:
        if from_lsn:
            raise StorageRefused(f"the log is missing, yet records from {from_lsn} are needed")
        return
    skip = sum(1 for head in heads[1:] if head.first_lsn <= from_lsn)  # wholly before `from_lsn`
    if heads[skip].first_lsn > from_lsn:
        raise StorageRefused(
            f"the log begins at {heads[skip].first_lsn}, yet records from {from_lsn} are needed"
        )
    held: Block | None = None
    for index, reader in enumerate(readers[skip:]):
        head = reader.head
        if index:
            held = _check_follows(head, held, tail)
        if held is not None and held.lsn_after > from_lsn:
            yield held
        held = None
        tail.lsn, tail.tag = head.first_lsn, head.tag
        for block in reader.blocks():
            if held is not None and held.lsn_after > from_lsn:
                yield held
            held = block
            tail.lsn, tail.tag = block.lsn_after, block.tag
        tail.torn = None if reader.torn_at is None else (reader.number, reader.torn_at)
    tail.last = held
    if tail.lsn < from_lsn:
        raise StorageRefused(f"the log ends at {tail.lsn}, yet the pages are at {from_lsn}")
    if held is not None and held.lsn_after > from_lsn:
        yield held


def _check_follows(head: SegmentHead, held: Block | None, tail: LogTail) -> Block | None:
    """That a segment continues the one before; the block before that it does not repeat."""
    if (head.first_lsn, head.tag_before) == (tail.lsn, tail.tag):
        return held
    if held is not None and (head.first_lsn, head.tag_before) == (held.lsn, held.tag_before):
        return None
    raise StorageRefused(f"log segment {head.number} does not follow the one before it")
