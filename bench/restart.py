"""`python -m bench.restart`: how long a start takes after a kill with 32 and with 100 MB of log.

Single-row and many-row transactions write until the log since the last checkpoint has the size;
then the process is killed (SIGKILL) and started again. The time is that until it accepts.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import time

import psycopg

from bench.servers import Server, connect, start_heliosd, wait_until_ready

ROWS = 300_000


def log_bytes(server: Server) -> int:
    """What `/metrics` says was logged since the start."""
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}/metrics") as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("heliosdb_log_bytes "):
                return int(float(line.split()[1]))
    raise RuntimeError("heliosdb_log_bytes is not there")


def write_log(
    server: Server, connection: psycopg.Connection[tuple[object, ...]], size_bytes: int
) -> int:
    """Updates of random rows, 1 to 200 a transaction; the transactions it took."""
    chance = random.Random(3)
    start = log_bytes(server)
    transactions = 0
    while log_bytes(server) - start < size_bytes:
        for _ in range(200):
            ids = [chance.randint(1, ROWS) for _ in range(chance.choice((1, 5, 200)))]
            connection.execute(
                "update account set balance = balance + 1 where id = any(%s)", (ids,)
            )
            transactions += 1
    return transactions


def restart(server: Server) -> float:
    """Kill, start again on the same directory and port; the seconds until it answers."""
    server.process.kill()
    server.process.wait()
    begin = time.perf_counter()
    server.process = subprocess.Popen(
        server.command, env=server.process_environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until_ready(server)
    return time.perf_counter() - begin


def main() -> None:
    """Both sizes, each in a directory of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[32, 100], help="MB of log")
    options = parser.parse_args()
    for megabytes in options.sizes:
        server = start_heliosd(checkpoint_log_size="1024", checkpoint_timeout="3600")
        try:
            with connect(server) as connection:
                connection.execute("create table account (id int primary key, balance int, t text)")
                connection.execute(
                    "insert into account select g, 0, repeat(md5(g::text), 3)"
                    f" from generate_series(1, {ROWS}) g"
                )
                connection.execute("checkpoint")
                transactions = write_log(server, connection, megabytes << 20)
                before = connection.execute("select sum(balance) from account").fetchone()
            seconds = restart(server)
            with connect(server) as connection:
                assert connection.execute("select sum(balance) from account").fetchone() == before
            print(f"{megabytes} MB of log, {transactions} transactions: start in {seconds:.2f} s",
                  flush=True)  # fmt: skip
        finally:
            server.stop()


if __name__ == "__main__":
    main()
