from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helios_storage.errors import Corrupted, StorageRefused
from helios_storage.keyring import new_keyring
from helios_storage.log import (
    HEAD_BYTES,
    LogTail,
    LogWriter,
    list_segments,
    read_log,
    segment_path,
)
from helios_storage.page import LeafRun, SequenceLogged, TreeDropped, TreeMade
from helios_storage.record import (
    RecordKind,
    decode_changes,
    encode_record,
    split_records,
)
from helios_storage.seal import StoreIdentity
from helios_storage.spec import TreeId, TreeSpec

RING = new_keyring()
HERE = StoreIdentity(RING.store_id)
SEGMENT = 64 * 1024


def writer(path: Path, number: int = 1, lsn: int = 0, tag: bytes = bytes(16)) -> LogWriter:
    return LogWriter(
        path,
        RING,
        HERE,
        number=number,
        lsn=lsn,
        tag_before=tag,
        segment_bytes=SEGMENT,
        spare_segments=1,
        fsync=False,
    )


def read(path: Path, from_lsn: int = 0) -> tuple[bytes, LogTail]:
    tail = LogTail()
    blocks = list(read_log(path, RING, HERE, tail, from_lsn=from_lsn))
    return b"".join(block.records for block in blocks), tail


def fill(path: Path, blocks: int = 5, size: int = 1000) -> LogWriter:
    log = writer(path)
    for number in range(blocks):
        log.write([bytes([number % 256]) * size])
    return log


def test_round_trip_over_segments(tmp_path: Path) -> None:
    log = writer(tmp_path)
    expected = b""
    for number in range(100):
        records = [os.urandom(number * 40 + 1), b"x" * number]
        expected += b"".join(records)
        log.write(records)
    assert log.lsn == len(expected)
    log.close()
    assert len(list_segments(tmp_path)) > 2
    data, tail = read(tmp_path)
    assert data == expected
    assert (tail.lsn, tail.torn) == (len(expected), None)
    data, _ = read(tmp_path, len(expected) - 10)
    assert expected.endswith(data) and len(data) < 10_000


def test_a_block_larger_than_a_segment(tmp_path: Path) -> None:
    log = writer(tmp_path)
    log.write([b"a" * 10, b"b" * 3 * SEGMENT])
    log.write([b"c"])
    log.close()
    assert read(tmp_path)[0] == b"a" * 10 + b"b" * 3 * SEGMENT + b"c"


@pytest.mark.parametrize("cut", [1, 15, 60, 500, 1030, 1055])
def test_torn_tail(tmp_path: Path, cut: int) -> None:
    fill(tmp_path).close()
    path = segment_path(tmp_path, 1)
    data = bytearray(path.read_bytes())
    end = HEAD_BYTES + 5 * (1000 + 56)
    data[end - cut : end] = bytes(cut)
    path.write_bytes(data)
    records, tail = read(tmp_path)
    assert len(records) == 4000
    assert tail.lsn == 4000
    if cut < 1056:
        assert tail.torn == (1, end - 1056)


@pytest.mark.parametrize("at", [0, 5, 10, 20, 30, 45, 700, 1050])
def test_a_bad_block_before_a_good_one_is_refused(tmp_path: Path, at: int) -> None:
    fill(tmp_path).close()
    path = segment_path(tmp_path, 1)
    data = bytearray(path.read_bytes())
    data[HEAD_BYTES + 2 * 1056 + at] ^= 1
    path.write_bytes(data)
    with pytest.raises(StorageRefused, match="damaged or altered"):
        read(tmp_path)


def test_blocks_cannot_be_swapped_or_repeated(tmp_path: Path) -> None:
    fill(tmp_path).close()
    path = segment_path(tmp_path, 1)
    data = path.read_bytes()
    one, two = HEAD_BYTES + 1056, HEAD_BYTES + 2 * 1056
    for changed in (
        data[:one] + data[two : two + 1056] + data[one:two] + data[two + 1056 :],
        data[:two] + data[one:two] + data[two + 1056 :],
    ):
        path.write_bytes(changed)
        with pytest.raises(StorageRefused):
            read(tmp_path)


def test_head_and_missing_segments(tmp_path: Path) -> None:
    log = fill(tmp_path, blocks=200)
    log.close()
    numbers = list_segments(tmp_path)
    assert len(numbers) >= 4
    middle = segment_path(tmp_path, numbers[1])
    kept = middle.read_bytes()
    middle.unlink()
    with pytest.raises(StorageRefused, match="does not follow"):
        read(tmp_path)
    middle.write_bytes(kept[:20] + b"\1" + kept[21:])
    with pytest.raises(Corrupted):
        read(tmp_path)
    middle.write_bytes(kept)
    segment_path(tmp_path, numbers[0]).unlink()
    with pytest.raises(StorageRefused, match="begins at"):
        read(tmp_path)
    with pytest.raises(StorageRefused, match="ends at"):
        read(tmp_path, 10_000_000)


def test_recovery_repeats_the_last_block_in_a_new_segment(tmp_path: Path) -> None:
    fill(tmp_path).close()
    _, tail = read(tmp_path)
    last = tail.last
    assert last is not None and tail.number == 1
    log = writer(tmp_path, 2, last.lsn, last.tag_before)
    log.write([last.records])
    log.write([b"new"])
    log.close()
    records, tail = read(tmp_path)
    assert records == b"".join(bytes([n]) * 1000 for n in range(5)) + b"new"
    # the old segment's tail may even have been torn when the new one was made
    path = segment_path(tmp_path, 1)
    data = bytearray(path.read_bytes())
    data[HEAD_BYTES + 4 * 1056 + 100] ^= 1
    path.write_bytes(data)
    assert read(tmp_path)[0] == records


def test_segments_are_released_and_recycled(tmp_path: Path) -> None:
    log = fill(tmp_path, blocks=300)
    numbers = list_segments(tmp_path)
    log.release(200_000)
    left = list_segments(tmp_path)
    assert left[0] > numbers[0] and left[-1] == numbers[-1]
    assert len(list(tmp_path.glob("spare-*"))) == 1
    before = log.lsn
    for _ in range(100):
        log.write([b"z" * 1000])
    log.close()
    data, tail = read(tmp_path, before)
    assert tail.lsn == before + 100_000
    assert data.endswith(b"z" * 100_000)
    with pytest.raises(StorageRefused):
        read(tmp_path, 0)


keys = st.integers(-(1 << 63), (1 << 63) - 1) | st.binary(min_size=1, max_size=2700)
changes = st.one_of(
    st.tuples(st.integers(1, 1 << 31), keys, st.none() | st.binary(max_size=400)),
    st.builds(LeafRun, st.integers(1, 1 << 31), st.binary(max_size=300)),
    st.builds(TreeDropped, st.integers(1, 1 << 31)),
    st.builds(
        SequenceLogged,
        st.integers(1, 1 << 31),
        st.integers(-(1 << 63), (1 << 63) - 1),
        st.booleans(),
    ),
    st.sampled_from(
        [
            TreeMade(TreeSpec(TreeId(3), "int", "qtb?")),
            TreeMade(TreeSpec(TreeId(4), "bytes", "")),
            TreeMade(TreeSpec(TreeId(5), "bytes", "itd", missing=(None, "a", 1.5))),
        ]
    ),
)


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(RecordKind)), st.integers(0, (1 << 32) - 1), st.lists(changes)
        )
    ),
    st.integers(0, 1 << 50),
)
def test_records_round_trip(records: list[tuple[RecordKind, int, list[object]]], lsn: int) -> None:
    data = b"".join(encode_record(kind, xid, some) for kind, xid, some in records)  # type: ignore[arg-type]
    found = list(split_records(data, lsn))
    assert [(r.kind, r.xid, decode_changes(r.changes)) for r in found] == records
    assert (found[-1].lsn_after if found else lsn) == lsn + len(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read_it in (lambda: list(split_records(data, 0)), lambda: decode_changes(data)):
        with contextlib.suppress(Corrupted):
            read_it()
