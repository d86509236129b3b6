"""`python -m bench.memory`: anonymous memory of the server, idle, under connections and big work.

RssAnon of /proc/PID/status counts what is the process's own; the page store's mapped file is not.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import time
from pathlib import Path

import psycopg

from bench.servers import PASSWORD, Server, connect, start_heliosd

Idle = list[psycopg.AsyncConnection[tuple[object, ...]]]


def megabytes(server: Server) -> float:
    """RssAnon in MB."""
    return server.memory_kb() / 1024


async def open_idle(server: Server, count: int) -> Idle:
    """`count` logged-in TLS connections."""
    opened = []
    for _ in range(count):
        opened.append(
            await psycopg.AsyncConnection.connect(
                host="127.0.0.1", port=server.port, user=server.user, password=PASSWORD,
                dbname="postgres", sslmode="require", autocommit=True,
            )
        )  # fmt: skip
    return opened


async def idle_connections(server: Server, count: int) -> float:
    """kB of anonymous memory per idle TLS connection."""
    warm = await open_idle(server, 20)
    before = server.memory_kb()
    opened = await open_idle(server, count)
    await asyncio.sleep(1)
    grown = server.memory_kb() - before
    for connection in (*opened, *warm):
        await connection.close()
    return grown / count


def psql(server: Server, sql: str) -> None:
    """Run one text in psql with a cursor-less result to /dev/null."""
    subprocess.run(
        ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-v", "FETCH_COUNT=0", "-o", "/dev/null",
         "-c", sql], env=server.environment, check=True, timeout=1800,
    )  # fmt: skip


def peak_during(server: Server, process: subprocess.Popen[bytes]) -> float:
    """The highest RssAnon in MB until `process` ends."""
    peak = megabytes(server)
    while process.poll() is None:
        peak = max(peak, megabytes(server))
        time.sleep(0.05)
    if process.returncode != 0:
        raise RuntimeError(f"ended with {process.returncode}")
    return peak


def write_rows(path: Path, rows: int) -> None:
    """Accounts as pgbench makes them."""
    with path.open("w") as out:
        for aid in range(1, rows + 1):
            out.write(f"{aid}\t{aid // 100000 + 1}\t0\t\n")


def big_copy(server: Server, table: str, scratch: Path) -> float:
    """COPY accounts into a new table in one transaction; the growth's peak in MB."""
    columns = "aid int primary key, bid int, abalance int, filler char(84)"
    psql(server, f"create table {table} ({columns})")
    before = megabytes(server)
    process = subprocess.Popen(
        ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", f"\\copy {table} from '{scratch}'"],
        env=server.environment,
    )
    return peak_during(server, process) - before


def big_select(server: Server) -> float:
    """Stream every row of `copied` to a client that discards them; the growth's peak in MB."""
    process = subprocess.Popen(
        ["psql", "-XAtq", "-c", "\\copy (select * from copied) to '/dev/null'"],
        env=server.environment,
    )
    peak_during(server, process)  # warms the cache
    before = megabytes(server)
    with connect(server) as connection:
        peak = before
        with connection.cursor() as cursor:
            for number, _ in enumerate(cursor.stream("select * from copied")):
                if number % 50_000 == 0:
                    peak = max(peak, megabytes(server))
    return peak - before


def main() -> None:
    """Run each figure and print it with its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--connections", type=int, default=1000)
    options = parser.parse_args()
    server = start_heliosd(max_connections="1200")
    try:
        time.sleep(2)
        print(f"idle: {megabytes(server):.0f} MB (bound 120)", flush=True)
        each = asyncio.run(idle_connections(server, options.connections))
        print(f"idle TLS connection: {each:.1f} kB each (bound 40)", flush=True)
        scratch = server.directory / "rows.tsv"
        write_rows(scratch, options.rows)
        big_copy(server, "copied", scratch)
        print(f"SELECT of {options.rows} rows: +{big_select(server):.0f} MB (bound 50)", flush=True)
        grown = big_copy(server, "again", scratch)
        print(f"COPY in of {options.rows} rows: +{grown:.0f} MB (bound 150)", flush=True)
        print(f"after it: {megabytes(server):.0f} MB", flush=True)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
