"""Fixtures that several rooms' tests share: real servers, and a live PostgreSQL 15."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import Server, free_port

POSTGRES_BIN = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One heliosd for all tests that do not stop it."""
    with tempfile.TemporaryDirectory(prefix="heliosd-test-") as scratch:
        running = Server(Path(scratch))
        running.start()
        yield running
        running.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A heliosd of the test's own, not started: it may be killed, restarted, configured."""
    running = Server(tmp_path)
    yield running
    if running.process is not None:
        running.stop()


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """A live PostgreSQL 15 in a temporary directory; tests that need it are left out without."""
    if not (POSTGRES_BIN / "postgres").exists():
        pytest.skip("PostgreSQL 15 is not installed: live comparisons are left out")
    scratch = Path(tempfile.mkdtemp(prefix="postgres-test-"))
    run_as: dict[str, int] = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam("postgres")
        os.chown(scratch, entry.pw_uid, entry.pw_gid)
        run_as = {"user": entry.pw_uid, "group": entry.pw_gid}
    port = free_port()
    subprocess.run(
        [POSTGRES_BIN / "initdb", "-D", scratch / "data", "-U", "postgres", "-A", "trust",
         "--locale=C.UTF-8", "-E", "UTF8", "--no-sync"],
        check=True, stdout=subprocess.DEVNULL, cwd="/", **run_as,  # type: ignore[call-overload]
    )  # fmt: skip
    process = subprocess.Popen(
        [POSTGRES_BIN / "postgres", "-D", scratch / "data", "-p", str(port), "-c",
         "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **run_as,
    )  # fmt: skip
    try:
        ready = [POSTGRES_BIN / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-t", "1"]
        for _ in range(60):
            if subprocess.run(ready).returncode == 0:
                break
        yield f"host=127.0.0.1 port={port} user=postgres dbname=postgres"
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(scratch, ignore_errors=True)
