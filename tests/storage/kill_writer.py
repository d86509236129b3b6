"""Commits as fast as it can, 8 at a time, and prints (key, value) of each once it is durable."""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "storage")]

from pump import PumpScheduler

from helios_storage.errors import NoSuchTree
from helios_storage.keyring import KeyFile
from helios_storage.options import StorageOptions
from helios_storage.spec import TreeId, TreeSpec
from helios_storage.storage import Storage

COMMITTERS = 8


def main() -> None:
    scheduler = PumpScheduler()
    options = StorageOptions(
        segment_bytes=1 << 20, checkpoint_log_bytes=1 << 18, cache_bytes=2 << 20
    )
    storage = Storage.open(sys.argv[1], KeyFile(), options, scheduler)
    chance = random.Random(int(sys.argv[2]))
    transaction = storage.begin()
    try:
        transaction.spec(1)
    except NoSuchTree:
        for _ in (1, 2):
            transaction.create_tree(TreeSpec(storage.allocate_tree_id(), "int", "qqt"))
    transaction.commit()
    scheduler.pump(1)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    ready = COMMITTERS
    while True:
        while ready:
            ready -= 1
            key = chance.randrange(20_000)
            transaction = storage.begin()
            newest = transaction.newest(1, key)
            value = 1 if newest is None else newest[1] + 1
            rows = chance.choice((1, 1, 1, 1, 200))  # now and then a commit of several leaves
            row = (key, value, "x" * chance.randrange(300))
            for tree in (1, 2):
                transaction.put(TreeId(tree), key, row)
            if rows > 1:
                for other in range(rows):
                    far = 1_000_000 + chance.randrange(50_000) * 2 + other % 2
                    for tree in (1, 2):
                        transaction.put(TreeId(tree), far, (far, 0, "bulk"))
            lsn = transaction.commit()

            def acknowledge(key: int = key, value: int = value) -> None:
                nonlocal ready
                ready += 1
                sys.stdout.write(f"{key} {value}\n")
                sys.stdout.flush()

            storage.when_durable(lsn, acknowledge)
        scheduler.pump(5)


main()
