"""A writer is killed with SIGKILL at random moments, many times, in one data directory.

What it acknowledged is there after each restart; what it did not is there in full or not at all.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from helios_storage.check import check_store
from helios_storage.keyring import KeyFile, open_keyring
from helios_storage.log import SegmentReader, list_segments
from helios_storage.options import StorageOptions
from helios_storage.seal import StoreIdentity
from helios_storage.storage import Storage
from helios_storage.store.lmdb import LmdbStore

WRITER = Path(__file__).with_name("kill_writer.py")
KILLS = 8
TREES = (1, 2)


def run_and_kill(directory: Path, seed: int, after_seconds: float) -> dict[int, int]:
    """Start the writer, kill it; key -> value of everything that it acknowledged."""
    process = subprocess.Popen(
        [sys.executable, str(WRITER), str(directory), str(seed)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    time.sleep(after_seconds)
    process.send_signal(signal.SIGKILL)
    text = process.stdout.read()
    process.wait()
    process.stdout.close()
    process.stderr.close()
    acknowledged = {}
    for line in text.split("\n")[:-1]:
        key, value = line.split()
        acknowledged[int(key)] = int(value)
    return acknowledged


def note_seals(directory: Path, seals: dict[tuple[bytes, bytes], bytes]) -> None:
    """Every (salt, nonce) that is in the files; one that sealed two different things fails."""
    store = LmdbStore(directory / "pages", map_bytes=1 << 20, read_only=True)
    found = []
    for page_id in store.page_ids_from(0):
        (page,) = store.read([page_id])
        assert page is not None
        found.append(((page[20:36], page[8:20]), page[-16:]))
    found += [((root[20:36], root[8:20]), root[-16:]) for _, root in store.roots()]
    store.close()
    ring = open_keyring(directory, KeyFile(), create=False)
    for number in list_segments(directory / "log"):
        reader = SegmentReader(directory / "log", number, ring, StoreIdentity(ring.store_id))
        for block in reader.blocks():
            found.append(((reader.head.salt, b"log%d" % block.counter), block.tag))
    for place, tag in found:
        assert seals.setdefault(place, tag) == tag, place


def test_acknowledged_commits_survive(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    seed = 20261124
    chance = random.Random(seed)
    expected: dict[int, int] = {}
    seals: dict[tuple[bytes, bytes], bytes] = {}
    options = StorageOptions(segment_bytes=1 << 20, checkpoint_seconds=0)
    for turn in range(KILLS):
        acknowledged = run_and_kill(directory, seed + turn, chance.uniform(0.02, 0.4))
        for key, value in acknowledged.items():
            assert value > expected.get(key, 0)
            expected[key] = value
        note_seals(directory, seals)
        began = time.monotonic()
        storage = Storage.open(directory, KeyFile(), options)
        assert time.monotonic() - began < 10, seed
        transaction = storage.begin()
        snapshot = transaction.snapshot()
        for key, value in expected.items():
            rows = [snapshot.get(tree, key) for tree in TREES]
            # each commit writes the same pair to both trees: half a commit would show here
            assert rows[0] == rows[1], (seed, turn, key, rows)
            assert rows[0] is not None, (seed, turn, key)
            assert rows[0][1] >= value, (seed, turn, key, rows, value)
            expected[key] = rows[0][1]
        assert snapshot.count(1) == snapshot.count(2)
        snapshot.release()
        transaction.rollback()
        if turn % 3 == 0:
            storage.close()
        else:  # as a second crash, right after recovery
            storage.commits.close()
            storage.checkpointer.close()
            storage._store.close()
            storage._directory.close()
        assert check_store(directory, KeyFile()) == [], (seed, turn)
    assert len(seals) > 1000
