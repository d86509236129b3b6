"""`python -m bench.large`: a database of 2 GB under the default cache of 128 MB.

Loads it, reads points, scans, updates, then walks its invariants with `heliosd check`; prints the
highest RssAnon on the way (bound: 350 MB).
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg

from bench.servers import Server, connect, start_heliosd

ROW_BYTES = 128


class Watch(threading.Thread):
    """Notes the server's highest RssAnon."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.peak_kb = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.05):
            self.peak_kb = max(self.peak_kb, self.server.memory_kb())


def load(connection: psycopg.Connection[tuple[object, ...]], rows: int) -> None:
    """COPY rows of about 128 bytes that do not repeat."""
    connection.execute("create table big (id int primary key, v int, filler text)")
    pool = random.Random(1).randbytes(64 * 1024).hex()
    with connection.cursor() as cursor, cursor.copy("copy big from stdin") as copy:
        for first in range(1, rows + 1, 5000):
            lines = []
            for n in range(first, min(first + 5000, rows + 1)):
                at = n * 7919 % 120_000
                lines.append(f"{n}\t{n % 1000}\t{pool[at : at + 112]}\n")
            copy.write("".join(lines))


def exercise(connection: psycopg.Connection[tuple[object, ...]], rows: int) -> None:
    """Points, a scan, updates here and there; each with its time."""
    chance = random.Random(2)
    begin = time.perf_counter()
    for _ in range(2000):
        number = chance.randint(1, rows)
        found = connection.execute("select id from big where id = %s", (number,)).fetchone()
        assert found == (number,)
    print(f"2,000 points: {(time.perf_counter() - begin) / 2000 * 1e6:.0f} us each", flush=True)
    begin = time.perf_counter()
    total = connection.execute("select count(v), sum(v) from big").fetchone()
    assert total is not None
    assert total[0] == rows
    print(f"scan of {rows} rows: {time.perf_counter() - begin:.1f} s", flush=True)
    begin = time.perf_counter()
    for _ in range(2000):
        connection.execute("update big set v = v + 1 where id = %s", (chance.randint(1, rows),))
    print(f"2,000 updates: {(time.perf_counter() - begin) / 2000 * 1e6:.0f} us each", flush=True)
    begin = time.perf_counter()
    connection.execute("update big set v = v + 1 where id between 1 and 200000")
    print(f"update of 200,000 rows: {time.perf_counter() - begin:.1f} s", flush=True)


def main() -> None:
    """Load, exercise, stop, check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=2048)
    options = parser.parse_args()
    rows = options.megabytes * 1024 * 1024 // ROW_BYTES
    server = start_heliosd()
    watch = Watch(server)
    watch.start()
    try:
        with connect(server) as connection:
            begin = time.perf_counter()
            load(connection, rows)
            print(f"load of {rows} rows: {time.perf_counter() - begin:.0f} s", flush=True)
            exercise(connection, rows)
        watch.done.set()
        watch.join()
        print(f"highest RssAnon: {watch.peak_kb // 1024} MB (bound 350)", flush=True)
        server.process.terminate()
        server.process.wait(120)
        check(server.directory / "data")
    finally:
        watch.done.set()
        server.stop()


def check(data: Path) -> None:
    """`heliosd check`: its findings, time and highest RSS."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "heliosd", "check", "--data-dir", str(data)],
        capture_output=True, text=True, env={**os.environ, "HELIOSDB_ALLOW_ROOT": "1"},
    )  # fmt: skip
    size = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    print(f"check of {size >> 20} MB: {done.stdout.strip()} in {time.perf_counter() - begin:.0f} s")
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)


if __name__ == "__main__":
    main()
