"""pgbench's own initialisation and scripts, in every query mode; balances agree afterwards."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import Server

pytestmark = pytest.mark.skipif(shutil.which("pgbench") is None, reason="pgbench is not installed")
SCRIPTS = ("tpcb-like", "simple-update", "select-only")
MODES = ("simple", "extended", "prepared")


def pgbench(server: Server, *arguments: str) -> str:
    done = subprocess.run(
        ["pgbench", *arguments], env=server.libpq_environment(), capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def loaded() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="heliosd-pgbench-") as scratch:
        server = Server(Path(scratch))
        server.start()
        pgbench(server, "-i", "-q", "-s", "2", "--foreign-keys")
        yield server
        server.stop()


def check_balances(server: Server) -> None:
    with server.connect() as connection:
        sums = connection.execute(
            "select (select sum(abalance) from pgbench_accounts),"
            " (select sum(tbalance) from pgbench_tellers),"
            " (select sum(bbalance) from pgbench_branches)"
        ).fetchone()
        assert sums is not None
        history = connection.execute("select coalesce(sum(delta), 0) from pgbench_history")
        tellers, branches = sums[1], sums[2]
        assert tellers == branches
        # simple-update changes accounts and the history only.
        assert history.fetchone() == (sums[0],)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_run_clean(loaded: Server, script: str, mode: str) -> None:
    for clients, transactions in ((1, 50), (8, 25), (50, 4)):
        out = pgbench(loaded, "-n", "-b", script, "-M", mode, "-c", str(clients), "-t",
                      str(transactions))  # fmt: skip
        assert f"number of transactions actually processed: {clients * transactions}/" in out
        assert "number of failed transactions: 0 (0.000%)" in out
    check_balances(loaded)
