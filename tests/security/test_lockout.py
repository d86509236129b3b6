"""Failed logins: growing waits, blocks, and no way to lock somebody else out."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest

from helios_protocol import messages as m
from helios_storage.keyring import KeyFile, KeyKind
from helios_storage.options import StorageOptions
from helios_storage.scheduler import InlineScheduler
from helios_storage.storage import Storage
from heliosd.ops.lockout_file import LockoutFile
from heliosd.ops.logins import derived_key
from heliosd.security import lockout
from heliosd.security.lockout import FREE, LockoutBook
from tests.security.logins import LoginClient, logged_in, refusals, run_as_admin, text_of
from tests.server import Server

HERE, THERE = "10.0.0.1", "10.0.0.2"


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(clock: Clock) -> LockoutBook:
    return LockoutBook(b"k" * 32, clock)


def test_waits_grow_and_end_in_a_block(book: LockoutBook, clock: Clock) -> None:
    waits = []
    for _ in range(10):
        waits.append(book.verdict("app", HERE).refused_s)
        clock.now += waits[-1]
        book.failed("app", HERE)
    assert waits == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16]
    verdict = book.verdict("app", HERE)
    assert verdict.blocked
    assert verdict.refused_s == lockout.PAIR_BLOCK_S
    clock.now += lockout.PAIR_BLOCK_S + 1
    assert not book.verdict("app", HERE).refused_s
    book.failed("app", HERE)
    assert not book.verdict("app", HERE).refused_s, "a block once sat out starts anew"


def test_the_tenth_failure_is_told_once(book: LockoutBook) -> None:
    assert [book.failed("app", HERE) for _ in range(12)] == [False] * 9 + [True] + [False] * 2


def test_a_login_clears_its_own_pair(book: LockoutBook) -> None:
    for _ in range(7):
        book.failed("app", HERE)
    book.succeeded("app", HERE)
    assert book.verdict("app", HERE) == FREE


def test_slow_failures_never_wait(book: LockoutBook, clock: Clock) -> None:
    for _ in range(50):
        assert not book.verdict("app", HERE).refused_s
        book.failed("app", HERE)
        clock.now += lockout.PAIR_WINDOW_S / 3


def test_an_address_that_fails_for_many_roles_is_blocked(book: LockoutBook, clock: Clock) -> None:
    book.succeeded("tenant", HERE)
    for number in range(lockout.ADDRESS_BLOCKS_AT):
        assert not book.verdict("fresh", HERE).refused_s
        book.failed(f"guess{number}", HERE)
    assert book.verdict("fresh", HERE).blocked
    assert book.verdict("fresh", THERE) == FREE
    assert book.verdict("tenant", HERE) == FREE, "who logged in from there before still may"
    clock.now += lockout.ADDRESS_BLOCK_S + 1
    assert not book.verdict("fresh", HERE).refused_s


def test_elsewhere_costs_a_role_a_second_at_most(book: LockoutBook, clock: Clock) -> None:
    book.succeeded("app", HERE)
    for number in range(1000):
        book.failed("app", f"10.1.{number // 250}.{number % 250}")
    assert book.verdict("app", HERE) == FREE
    stranger = book.verdict("app", THERE)
    assert stranger.refused_s == 0
    assert stranger.delay_s == lockout.ROLE_DELAY_MAX_S
    clock.now += lockout.GOOD_S + 1
    book.failed("app", "10.9.9.9")
    for number in range(10):
        book.failed("app", f"10.2.0.{number}")
    assert book.verdict("app", HERE).delay_s, "good for 30 days, not for ever"
    assert not book.verdict("app", HERE).refused_s


def test_ipv6_counts_by_network_and_mapped_ipv4_as_ipv4(book: LockoutBook) -> None:
    for number in range(10):
        book.failed("app", f"2001:db8::{number:x}")
    assert book.verdict("app", "2001:db8::ffff").blocked
    assert not book.verdict("app", "2001:db8:0:1::1").blocked
    for _ in range(10):
        book.failed("web", "::ffff:10.0.0.1")
    assert book.verdict("web", HERE).blocked


def test_unknown_roles_count_alike(clock: Clock) -> None:
    """The book knows names only: what it says cannot tell which exist."""
    one, other = LockoutBook(b"k" * 32, clock), LockoutBook(b"k" * 32, clock)
    for _ in range(12):
        assert one.failed("postgres", HERE) == other.failed("nobody", HERE)
        assert one.verdict("postgres", HERE) == other.verdict("nobody", HERE)


def test_memory_is_bounded_and_keys_are_no_names(clock: Clock) -> None:
    book = LockoutBook(b"k" * 32, clock)
    rng = random.Random(5)
    book.succeeded("app", HERE)
    for number in range(lockout.RECORDS_MAX + 5_000):
        book.failed("x" * 9_000 if number % 2 else f"role{rng.random()}", f"10.{number}.0.1")
    assert len(book) <= 3 * lockout.RECORDS_MAX + 1
    assert book.verdict("app", HERE) == FREE, "successes are not pushed out by failures"
    changes = book.changes()
    assert all(len(key) == 17 and len(value or b"") <= 20 for key, value in changes.items())


def test_at_rest_and_back(book: LockoutBook, clock: Clock, tmp_path: Path) -> None:
    file = LockoutFile(tmp_path, b"s" * 32)
    assert list(file.read()) == []
    for _ in range(10):
        book.failed("app", HERE)
    book.succeeded("web", HERE)
    file.write(book.changes())
    assert book.changes() == {}
    sealed = (tmp_path / "failed-logins").read_bytes()
    assert b"app" not in sealed
    again = LockoutBook(b"k" * 32, clock)
    again.restore(LockoutFile(tmp_path, b"s" * 32).read())
    assert again.verdict("app", HERE).blocked
    clock.now -= 5 * lockout.DAY
    earlier = LockoutBook(b"k" * 32, clock)
    earlier.restore(LockoutFile(tmp_path, b"s" * 32).read())
    assert earlier.verdict("app", HERE).refused_s <= lockout.PAIR_BLOCK_S
    clock.now += 40 * lockout.DAY
    late = LockoutBook(b"k" * 32, clock)
    late.restore(LockoutFile(tmp_path, b"s" * 32).read())
    assert len(late) == 0
    for at in (0, 9, len(sealed) - 1):
        broken = bytearray(sealed)
        broken[at] ^= 1
        (tmp_path / "failed-logins").write_bytes(broken)
        if at:
            assert list(LockoutFile(tmp_path, b"s" * 32).read()) == []


# ---------------------------------------------------------------- a server


@pytest.fixture
def open_server(tmp_path: Path) -> Server:
    return Server(tmp_path, tls_required="remote", unauthenticated_per_address="2000")


def fail(server: Server, user: str, source: str, times: int = 1) -> list[str]:
    found = []
    for _ in range(times):
        with LoginClient(server.port, source=source) as client:
            asked = client.start(user)
            if isinstance(asked, m.ErrorResponse):
                found.append(text_of(asked))
                continue
        with LoginClient(server.port, source=source) as client:
            found.append(text_of(client.guess(user)))
    return found


def prefill(server: Server, failures: int, seconds_ago: float, *pairs: tuple[str, str]) -> None:
    """Failures as the stopped server would have written them down: waiting for them takes long."""
    storage = Storage.open(server.data, KeyFile(), StorageOptions(), InlineScheduler())
    secret = storage.secret(KeyKind.MOCK)
    storage.close()
    begin = time.time() - seconds_ago
    book = LockoutBook(derived_key(secret, b"heliosd/v1/lockout-names"), lambda: begin)
    for role, address in pairs:
        for _ in range(failures):
            book.failed(role, address)
    LockoutFile(server.data, secret).write(book.changes())


REFUSED = "28000 too many failed login attempts"


def test_a_guesser_is_stopped_through_restarts_and_others_are_not(open_server: Server) -> None:
    server = open_server
    server.start()
    run_as_admin(server, "create role app login password 'app logs in here'")
    server.stop()
    prefill(server, 9, 60, ("app", "127.0.0.9"), ("ghost", "127.0.0.9"))
    server.start()
    try:
        before = refusals(server)
        assert fail(server, "app", "127.0.0.9", 2) == [
            '28P01 password authentication failed for user "app"', REFUSED,
        ]  # fmt: skip
        # The right password is not looked at either, so nothing can be learned meanwhile.
        with LoginClient(server.port, source="127.0.0.9") as client:
            answer = client.start("app")
            assert text_of(answer) == REFUSED
            assert isinstance(answer, m.ErrorResponse)
            assert (answer.fields.hint or "").startswith("Retry after ")
        assert refusals(server).since(before) == {("scram", "password"): 1, ("scram", "locked"): 2}
        # A role that does not exist is treated alike.
        assert fail(server, "ghost", "127.0.0.9", 2) == [
            '28P01 password authentication failed for user "ghost"', REFUSED,
        ]  # fmt: skip
        # From everywhere else the role logs in.
        assert text_of(logged_in(server, "app", "app logs in here")) == "ReadyForQuery"
        assert server.stop() == 0
        assert b"app" not in (server.data / "failed-logins").read_bytes()
        server.start()
        assert fail(server, "app", "127.0.0.9") == [REFUSED]
        assert text_of(logged_in(server, "app", "app logs in here")) == "ReadyForQuery"
        server.kill()
        server.start()
        assert fail(server, "app", "127.0.0.9") == [REFUSED]
    finally:
        server.stop()
    log = server.log_path.read_text()
    assert "Failed authentication attempt from 127.0.0.9" in log
    assert '"event": "login.blocked"' in log
    assert '"reason": "locked"' in log


def test_many_at_once_are_no_way_around(open_server: Server) -> None:
    """Challenges taken before the first failure was counted: their proofs are refused as well."""
    server = open_server
    server.start()
    try:
        waiting = [LoginClient(server.port, source="127.0.0.7") for _ in range(20)]
        nonces = [client.challenge("postgres").split(",")[0] for client in waiting]
        answers = []
        for client, nonce in zip(waiting, nonces, strict=True):
            proof = "P" * 43 + "="
            client.send(m.SASLResponse(f"c=biws,{nonce},p={proof}".encode()))
            answers.append(text_of(client.read()).partition(" ")[2])
            client.socket.close()
        wrong = 'password authentication failed for user "postgres"'
        assert answers[:6] == [wrong] * 5 + ["too many failed login attempts"]
        assert answers.count(wrong) < 8, "one more a second at most, by the waits"
    finally:
        server.stop()


def flood(server: Server, addresses: int) -> None:
    """Failures from as many addresses, all at once."""

    def one(number: int) -> None:
        source = f"127.1.{number // 250}.{number % 250 + 1}"
        with LoginClient(server.port, source=source) as client:
            client.guess("app")

    for begin in range(0, addresses, 50):
        threads = [
            threading.Thread(target=one, args=(number,))
            for number in range(begin, min(begin + 50, addresses))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def lockout_as_a_weapon(server: Server, addresses: int) -> float:
    """Seconds of the role's own login from where nobody knows it, under the flood."""
    server.start()
    try:
        run_as_admin(server, "create role app login password 'app logs in here'")
        assert text_of(logged_in(server, "app", "app logs in here")) == "ReadyForQuery"
        flood(server, addresses)
        assert text_of(logged_in(server, "app", "app logs in here")) == "ReadyForQuery"
        begin = time.monotonic()
        assert text_of(logged_in(server, "app", "app logs in here", source="127.0.0.77")) == (
            "ReadyForQuery"
        )
        return time.monotonic() - begin
    finally:
        server.stop()


def test_lockout_is_no_weapon(open_server: Server) -> None:
    lockout_as_a_weapon(open_server, 30)


@pytest.mark.soak
def test_lockout_is_no_weapon_from_500_addresses(open_server: Server) -> None:
    assert lockout_as_a_weapon(open_server, 500) < 1.5
