"""A PostgreSQL 15 and a heliosd, each in a temporary directory, both durable."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

POSTGRES_BIN = Path("/usr/lib/postgresql/15/bin")
PASSWORD = "bench-password-1"


@dataclass
class Server:
    """A running server that this process started, and how clients reach it."""

    name: str
    port: int
    user: str
    process: subprocess.Popen[bytes]
    directory: Path
    http_port: int = 0
    # How to start the same process again.
    command: tuple[str, ...] = ()
    process_environment: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """libpq's variables for a plaintext loopback connection."""
        return {
            **os.environ,
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": PASSWORD,
            "PGDATABASE": "postgres",
            "PGSSLMODE": "disable",
        }

    def memory_kb(self, field: str = "RssAnon") -> int:
        """A figure of /proc/PID/status, in kB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        return 0

    def stop(self) -> None:
        """End the process that we started, and remove its directory."""
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_ready(server: Server, seconds: float = 60) -> None:
    """Until psql can run a statement; raises when the process ends or time is up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if server.process.poll() is not None:
            raise RuntimeError(f"{server.name} ended with {server.process.returncode}")
        done = subprocess.run(
            ["psql", "-XAtqc", "select 1"], env=server.environment, capture_output=True
        )
        if done.returncode == 0:
            return
        time.sleep(0.1)
    raise RuntimeError(f"{server.name} is not ready: {done.stderr.decode()}")


def start_postgres() -> Server:
    """PostgreSQL with its stock configuration (fsync on) under SCRAM."""
    directory = Path(tempfile.mkdtemp(prefix="bench-postgres-"))
    run_as: dict[str, int] = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam("postgres")
        os.chown(directory, entry.pw_uid, entry.pw_gid)
        run_as = {"user": entry.pw_uid, "group": entry.pw_gid}
    secret = directory / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    subprocess.run(
        [POSTGRES_BIN / "initdb", "-D", directory / "data", "-U", "postgres", "-A",
         "scram-sha-256", f"--pwfile={secret}", "--locale=C.UTF-8", "-E", "UTF8"],
        check=True, stdout=subprocess.DEVNULL, cwd="/", **run_as,  # type: ignore[call-overload]
    )  # fmt: skip
    port = free_port()
    process = subprocess.Popen(
        [POSTGRES_BIN / "postgres", "-D", directory / "data", "-p", str(port), "-c",
         "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c",
         "max_connections=200"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **run_as,
    )  # fmt: skip
    server = Server("postgresql", port, "postgres", process, directory)
    wait_until_ready(server)
    return server


def start_heliosd(**settings: str) -> Server:
    """heliosd with its defaults, but plaintext from loopback; `settings` by attribute name."""
    directory = Path(tempfile.mkdtemp(prefix="bench-heliosd-"))
    port = free_port()
    environment = {
        # An installed server has its bytecode; compiling all of it takes 0.6 s of a start.
        **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
        "HELIOSDB_PASSWORD": PASSWORD,
        "HELIOSDB_TLS_REQUIRED": "remote",
        "HELIOSDB_ALLOW_ROOT": "1",
        "HELIOSDB_LOG_LEVEL": "warning",
        **{f"HELIOSDB_{name.upper()}": value for name, value in settings.items()},
    }
    log = (directory / "log.jsonl").open("wb")
    http_port = free_port()
    command = (
        sys.executable, "-m", "heliosd", "serve", "--data-dir", str(directory / "data"),
        "--listen", f"127.0.0.1:{port}", "--http", f"127.0.0.1:{http_port}",
    )  # fmt: skip
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    server = Server(
        "heliosd", port, "postgres", process, directory, http_port, command, environment
    )
    wait_until_ready(server)
    return server


def connect(server: Server) -> psycopg.Connection[tuple[object, ...]]:
    """A superuser connection."""
    return psycopg.connect(
        host="127.0.0.1", port=server.port, user=server.user, password=PASSWORD,
        dbname="postgres", sslmode="disable", autocommit=True,
    )  # fmt: skip
