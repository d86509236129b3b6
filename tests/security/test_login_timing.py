"""No oracle before the proof (S-10; CVE-2026-14672, CVE-2026-6478): bytes and times are alike."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Iterator

import pytest

from helios_protocol import messages as m
from tests.security.logins import LoginClient, logged_in, run_as_admin, text_of
from tests.server import Server

ROLES = ("known", "expired", "nologin", "nopassword", "absent")


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(
        tmp_path_factory.mktemp("timing"), tls_required="remote", login_lockout="off",
        log_level="error", login_burst_capacity="100000", login_max_requests="1000000",
    )  # fmt: skip
    running.start()
    run_as_admin(
        running,
        "create role known login password 'known to somebody'",
        "create role expired login password 'good until lately' valid until '2020-01-01'",
        "create role nologin password 'good for nothing'",
        "create role nopassword login",
        "set scram_iterations = 4096",
    )
    yield running
    assert running.stop() == 0


def transcript(server: Server, user: str) -> tuple[str, str, str]:
    """Mechanisms, the shape of the challenge, the answer: names and random parts set apart."""
    with LoginClient(server.port) as client:
        asked = client.start(user)
    with LoginClient(server.port) as client:
        challenge = client.challenge(user)
        shape = ",".join(f"{part[:2]}{len(part)}" for part in challenge.split(","))
    with LoginClient(server.port) as client:
        answer = client.guess(user)
    return repr(asked), shape, repr(answer).replace(user, "?")


def test_the_same_bytes_for_every_reason(quiet: Server) -> None:
    assert len({transcript(quiet, user) for user in ROLES}) == 1
    assert text_of(logged_in(quiet, "expired", "good until lately")) == (
        '28P01 password authentication failed for user "expired"'
    )


def test_cve_2026_14672_mock_iterations_are_those_of_real_roles(quiet: Server) -> None:
    """A fixed count for unknown roles tells them from roles whose count was set."""

    def count(user: str) -> int:
        with LoginClient(quiet.port) as client:
            return int(client.challenge(user).split(",")[2][2:])

    real = {count("known"), count("postgres"), count("expired")}
    assert {count(f"guess{number}") for number in range(30)} <= real
    assert count("guess1") == count("guess1")


def measured(server: Server, pairs: int, seed: int) -> tuple[list[float], list[float]]:
    """Seconds from the proof to its answer: a wrong password and an unknown role, in turns."""
    rng = random.Random(seed)
    known: list[float] = []
    unknown: list[float] = []
    for number in range(pairs):
        turns = [("known", known), (f"ghost{number % 7}", unknown)]
        rng.shuffle(turns)
        for user, times in turns:
            with LoginClient(server.port) as client:
                nonce = client.challenge(user).split(",")[0]
                proof = m.SASLResponse(f"c=biws,{nonce},p={'P' * 43}=".encode())
                begin = time.perf_counter()
                client.send(proof)
                client.read()
                times.append(time.perf_counter() - begin)
    return known, unknown


def welch_t(one: list[float], other: list[float]) -> float:
    """Welch's t of the faster nine tenths: what the machine does besides is not the server's."""
    one, other = (sorted(each)[: len(each) * 9 // 10] for each in (one, other))
    spread = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return abs(statistics.fmean(one) - statistics.fmean(other)) / math.sqrt(spread)


def test_the_same_time_for_an_unknown_role(quiet: Server) -> None:
    """Few tries find a gross difference (another number of hashes); soak finds fine ones."""
    best = min(welch_t(*measured(quiet, 120, seed)) for seed in (1, 2))
    assert best < 4.5


@pytest.mark.soak
def test_the_same_time_for_an_unknown_role_2000(quiet: Server) -> None:
    measured(quiet, 100, 3)
    assert welch_t(*measured(quiet, 2000, 4)) < 4.5
