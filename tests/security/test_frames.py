"""Hostile frames against the live server. HELIOSDB_FUZZ_FRAMES and _SEED choose a longer run."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from tests.security.fuzz_frames import Target, run
from tests.server import PASSWORD, Server

SEED = int(os.environ.get("HELIOSDB_FUZZ_SEED", "20261124"))


def attack(tmp_path: Path, frames: int) -> None:
    server = Server(tmp_path, tls_required="remote", log_level="error")
    server.start()
    try:
        with server.connect() as connection:
            connection.execute("create table fuzz (a int, b text)")
        before_kb = server.memory_kb()
        began = time.monotonic()
        target = Target(server.port, "postgres", PASSWORD, "postgres")
        findings = asyncio.run(run(target, frames, SEED))
        seconds = time.monotonic() - began
        print(f"{findings.frames} frames in {seconds:.1f} s, seed {SEED}: {findings.answered} "
              f"answered, {findings.closed} closed, errors {findings.errors}")  # fmt: skip
        assert findings.problems == [], f"seed {SEED}: {findings.problems[:10]}"
        assert findings.answered > 0
        assert findings.closed > 0
        with server.connect() as connection:
            assert connection.execute("select 1").fetchall() == [(1,)]
        assert server.memory_kb() < before_kb + 50_000
        assert "Traceback" not in server.log_path.read_text()
    finally:
        assert server.stop() == 0


def test_hostile_frames(tmp_path: Path) -> None:
    attack(tmp_path, int(os.environ.get("HELIOSDB_FUZZ_FRAMES", "6000")))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_million_hostile_frames(tmp_path: Path) -> None:
    attack(tmp_path, 1_000_000)
