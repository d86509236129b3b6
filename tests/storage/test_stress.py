"""All at once on a real store with a tiny cache: transfers, scans, large changes, checkpoints.

The money in two trees never changes, in any snapshot; afterwards the checker finds nothing.
"""

import asyncio
import random
import time

import pytest

from helios_storage.check import check_store
from helios_storage.errors import DeadlockDetected, SerializationConflict
from helios_storage.keyring import KeyFile
from helios_storage.options import StorageOptions
from helios_storage.scheduler import Event
from helios_storage.spec import TreeSpec
from helios_storage.storage import Storage
from helios_storage.transaction import Isolation
from heliosd.execute.hub import Hub

ROWS = 8000
CONFLICTS = (SerializationConflict, DeadlockDetected)
OPTIONS = StorageOptions(
    cache_bytes=1 << 20, checkpoint_log_bytes=1 << 18, segment_bytes=1 << 20, fsync=False
)


class Bank:
    """Accounts in an int tree and in a bytes tree; jobs that run until `stop`."""

    def __init__(self, hub, directory, seed):
        self.hub = hub
        self.directory = directory
        self.rng = random.Random(seed)
        self.stop = False
        self.commits = self.scans = self.large = 0

    def open(self):
        self.storage = storage = Storage.open(self.directory, KeyFile(), OPTIONS, self.hub)
        setup = storage.begin()
        for kind in ("int", "bytes"):
            setup.create_tree(TreeSpec(storage.allocate_tree_id(), kind, "qtq"))
        for n in range(ROWS):
            setup.put(1, n, (n, "x" * 200, 100))
            setup.put(2, b"%08d" % n, (n, "y" * 100, 100))
        durable = Event()
        storage.when_durable(setup.commit(), durable.set)
        self.hub.wait(durable)

    def transfers(self):
        rng = self.rng
        while not self.stop:
            transaction = self.storage.begin(rng.choice(list(Isolation)))
            try:
                if self.transfer(transaction):
                    transaction.commit()
                    self.commits += 1
            except CONFLICTS:
                pass
            finally:
                transaction.rollback()
            self.hub.check_slice()
            if rng.random() < 0.05:
                self.hub.sleep(0.001)

    def transfer(self, transaction):
        rng = self.rng
        accounts = [(1, rng.randrange(ROWS)), (2, b"%08d" % rng.randrange(ROWS))]
        rng.shuffle(accounts)
        amount = rng.randrange(1, 9)
        for tree, key in accounts:
            snapshot = transaction.snapshot(newest=rng.random() < 0.5)
            try:
                locked = transaction.lock_row(snapshot, tree, key)
                number, text, balance = locked.row
                transaction.put(tree, key, (number, text, balance + amount))
            finally:
                snapshot.release()
            amount = -amount
        return True

    def scan(self):
        while not self.stop:
            transaction = self.storage.begin(self.rng.choice(list(Isolation)))
            snapshot = transaction.snapshot()
            total = 0
            for tree in (1, 2):
                reverse = self.rng.random() < 0.3
                for _, rows in snapshot.batches(tree, columns=(2,), reverse=reverse):
                    total += sum(row[0] for row in rows)
                    self.hub.check_slice()
            assert total == 200 * ROWS
            snapshot.release()
            transaction.rollback()
            self.scans += 1

    def rewrite(self):
        rng = self.rng
        while not self.stop:
            transaction = self.storage.begin()
            snapshot = transaction.snapshot(newest=True)
            low = rng.randrange(ROWS)
            high = low + rng.choice([300, 600, 5000])
            try:
                for keys, _ in snapshot.batches(1, low=low, high=high, with_keys=True):
                    for key in keys:
                        number, _, balance = transaction.lock_row(snapshot, 1, key).row
                        transaction.put(1, key, (number, "z" * rng.randrange(300), balance))
                    self.hub.check_slice()
                if rng.random() < 0.8:
                    transaction.commit()
                    self.large += 1
            except CONFLICTS:
                pass
            finally:
                snapshot.release()
                transaction.rollback()
            self.hub.sleep(0.01)


async def run_all(directory, seed, seconds):
    loop = asyncio.get_running_loop()
    bank = Bank(Hub(loop), directory, seed)

    def start(job):
        future = loop.create_future()

        def run():
            try:
                job()
                future.set_result(None)
            except BaseException as error:
                bank.stop = True
                future.set_exception(error)

        bank.hub.start(run)
        return future

    await start(bank.open)
    jobs = [bank.transfers] * 5 + [bank.scan] * 2 + [bank.rewrite] * 2
    running = [start(job) for job in jobs]
    until = time.monotonic() + seconds
    while time.monotonic() < until and not bank.stop:
        await asyncio.sleep(0.05)
    bank.stop = True
    await asyncio.gather(*running)
    assert list(bank.storage.locks.listing()) == []
    # A sync and a checkpoint that are still under way keep a root each; nothing else may.
    for _ in range(200):
        if bank.storage.roots.count_read() == 0:
            break
        await asyncio.sleep(0.05)
    assert bank.storage.roots.count_read() <= 1
    await start(bank.storage.close)
    return bank


@pytest.mark.parametrize("seed", [1, 2])
def test_the_money_stays(tmp_path, seed):
    bank = asyncio.run(run_all(tmp_path / "data", seed, 2.0))
    assert check_store(tmp_path / "data", KeyFile()) == []
    assert bank.commits > 20
    assert bank.scans > 2
    assert bank.storage.cache.counters.evicted > 0
