"""A real heliosd process for tests: started, killed and restarted by its process id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

PASSWORD = "correct horse battery"


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """One data directory and the process that serves it, if it runs."""

    def __init__(self, directory: Path, **settings: str) -> None:
        """`settings`: by attribute name, given as HELIOSDB_* variables."""
        self.directory = directory
        self.data = directory / "data"
        self.port = free_port()
        self.http_port = free_port()
        self.settings = settings
        self.process: subprocess.Popen[bytes] | None = None
        self.log_path = directory / "server.log"

    def environment(self) -> Mapping[str, str]:
        """The process's environment: nothing of ours leaks in from outside."""
        # Bytecode is kept: a server that compiles itself anew starts 0.6 s later.
        foreign = ("HELIOSDB_", "PG", "PYTHONDONTWRITEBYTECODE")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        given = {f"HELIOSDB_{name.upper()}": value for name, value in self.settings.items()}
        return {**clean, "HELIOSDB_ALLOW_ROOT": "1", "HELIOSDB_PASSWORD": PASSWORD, **given}

    def start(self, *, seconds: float = 30) -> float:
        """Start and wait until it accepts connections; the seconds that took."""
        begin = time.monotonic()
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "heliosd", "serve", "--data-dir", str(self.data),
                 "--listen", f"127.0.0.1:{self.port}", "--http", f"127.0.0.1:{self.http_port}"],
                env=dict(self.environment()), stdout=log, stderr=log, cwd=self.directory,
            )  # fmt: skip
        while time.monotonic() - begin < seconds:
            if self.process.poll() is not None:
                raise AssertionError(f"heliosd ended: {self.log_path.read_text()[-4000:]}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1):
                    return time.monotonic() - begin
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"heliosd does not listen: {self.log_path.read_text()[-4000:]}")

    @property
    def pid(self) -> int:
        """The running process's id."""
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        """SIGKILL: a crash."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def stop(self) -> int:
        """SIGTERM: an orderly end; its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def conninfo(self, **more: Any) -> str:
        """libpq's connection string: TLS with verify-full, the superuser."""
        fields = {
            "host": "localhost",
            "hostaddr": "127.0.0.1",
            "port": self.port,
            "user": "postgres",
            "password": PASSWORD,
            "dbname": "postgres",
            "sslmode": "verify-full",
            "sslrootcert": str(self.data / "tls" / "root.crt"),
            "connect_timeout": 10,
            **more,
        }
        return psycopg.conninfo.make_conninfo(**fields)

    def connect(self, **more: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """A psycopg connection in autocommit mode."""
        return psycopg.connect(self.conninfo(**more), autocommit=True)

    def libpq_environment(self, **more: str) -> dict[str, str]:
        """What psql and pgbench read."""
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("PG")},
            "PGHOST": "localhost",
            "PGHOSTADDR": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": "postgres",
            "PGPASSWORD": PASSWORD,
            "PGDATABASE": "postgres",
            "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": str(self.data / "tls" / "root.crt"),
            "PGCONNECT_TIMEOUT": "10",
            "PSQLRC": "/dev/null",
            **more,
        }

    def memory_kb(self, field: str = "RssAnon") -> int:
        """A figure of /proc/PID/status, in kB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise AssertionError(field)
