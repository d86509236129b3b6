"""A PostgreSQL 15 of one's own to record from: started in a temporary directory, then removed."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.server import free_port

POSTGRES_BIN = Path("/usr/lib/postgresql/15/bin")


@contextmanager
def reference_server() -> Iterator[str]:
    """Its connection string."""
    if not (POSTGRES_BIN / "postgres").exists():
        raise SystemExit("PostgreSQL 15 is not installed: give a connection string instead")
    scratch = Path(tempfile.mkdtemp(prefix="golden-"))
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
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    control = [POSTGRES_BIN / "pg_ctl", "-D", scratch / "data", "-w", "-s"]
    subprocess.run(
        [*control, "-l", scratch / "log", "-o", options, "start"],
        check=True, cwd="/", **run_as,  # type: ignore[call-overload]
    )  # fmt: skip
    try:
        yield f"host=127.0.0.1 port={port} user=postgres dbname=postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], cwd="/", **run_as)  # type: ignore[call-overload]
        shutil.rmtree(scratch, ignore_errors=True)
