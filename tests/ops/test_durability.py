"""A server killed at random points under a write load loses no acknowledged commit.

Each client moves amounts between accounts and notes its own commits in one transaction, so that
half a transaction shows as a wrong sum and a lost one as a missing note.
"""

from __future__ import annotations

import random
import threading
import time

import psycopg
import pytest

from tests.server import Server

ACCOUNTS = 50
CLIENTS = 4


class Client(threading.Thread):
    """Writes until the server dies; remembers what was acknowledged."""

    def __init__(self, server: Server, number: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.number = number
        self.random = random.Random(seed)
        self.acknowledged: set[int] = set()
        self.attempted: set[int] = set()

    def run(self) -> None:
        try:
            with self.server.connect() as connection:
                while True:
                    self.one_transaction(connection)
        except psycopg.OperationalError:
            return  # the server was killed: what was acknowledged is noted

    def one_transaction(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        mark = self.random.getrandbits(62)
        source, target = self.random.sample(range(ACCOUNTS), 2)
        amount = self.random.randint(1, 100)
        self.attempted.add(mark)
        try:
            with connection.transaction():
                for account, change in sorted(((source, -amount), (target, amount))):
                    connection.execute(
                        "update account set balance = balance + %s where id = %s",
                        (change, account),
                    )
                connection.execute(
                    "insert into note values (%s, %s, %s)", (mark, self.number, "x" * 200)
                )
        except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
            return
        self.acknowledged.add(mark)


def check_after_restart(server: Server, acknowledged: set[int], attempted: set[int]) -> None:
    with server.connect() as connection:
        total = connection.execute("select sum(balance), count(*) from account").fetchone()
        assert total == (ACCOUNTS * 1000, ACCOUNTS)
        notes = {row[0] for row in connection.execute("select mark from note")}
        by_index = {
            row[0]
            for number in range(CLIENTS)
            for row in connection.execute("select mark from note where client = %s", (number,))
        }
    assert acknowledged <= notes, f"lost: {len(acknowledged - notes)}"
    assert notes <= attempted
    assert notes == by_index


def kill_rounds(server: Server, rounds: int, seed: int) -> list[float]:
    """Kill and restart `rounds` times in one data directory; the start-up times in seconds."""
    chance = random.Random(seed)
    server.start()
    with server.connect() as connection:
        connection.execute("create table account (id int primary key, balance int not null)")
        connection.execute(
            "insert into account select g, 1000 from generate_series(0, %s) g", (ACCOUNTS - 1,)
        )
        connection.execute("create table note (mark bigint primary key, client int, filler text)")
        connection.execute("create index note_client on note (client, mark)")
    acknowledged: set[int] = set()
    attempted: set[int] = set()
    times = []
    for _ in range(rounds):
        clients = [Client(server, n, chance.getrandbits(32)) for n in range(CLIENTS)]
        for client in clients:
            client.start()
        time.sleep(chance.uniform(0.05, 0.6))
        server.kill()
        for client in clients:
            client.join(20)
            assert not client.is_alive()
            acknowledged |= client.acknowledged
            attempted |= client.attempted
        times.append(server.start())
        check_after_restart(server, acknowledged, attempted)
    assert len(acknowledged) > rounds
    return times


def test_fifty_kills_lose_no_acknowledged_commit(own_server: Server) -> None:
    times = kill_rounds(own_server, 50, seed=20261124)
    assert max(times) < 10, times


@pytest.mark.soak
def test_five_hundred_kills(own_server: Server) -> None:
    kill_rounds(own_server, 500, seed=7)
