"""`python -m bench.fairness`: what 8 select-only clients keep while one client works hard.

Prints their throughput and p99 alone, beside an aggregate over 5M rows, and beside an UPDATE of
1M rows; then how long a cancel of the long statement takes.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.servers import Server, connect, start_heliosd

AGGREGATE = "select count(*), sum(v), avg(v), min(v), max(v) from big where v % 7 <> 3"
UPDATE = "update big set v = v + 1 where id <= 1000000"


@dataclass(frozen=True)
class Load:
    """What 8 select-only clients reached."""

    tps: float
    p99_ms: float


def select_only(server: Server, seconds: int) -> Load:
    """pgbench with a per-transaction log, from which the p99 is read."""
    with tempfile.TemporaryDirectory(prefix="bench-log-") as scratch:
        subprocess.run(
            ["pgbench", "-n", "-S", "-M", "prepared", "-c", "8", "-j", "1", "-T", str(seconds),
             "-l", f"--log-prefix={scratch}/t"],
            env=server.environment, check=True, capture_output=True, timeout=seconds + 60,
        )  # fmt: skip
        times = sorted(
            int(line.split()[2])
            for path in Path(scratch).glob("t.*")
            for line in path.read_text().splitlines()
        )
    return Load(len(times) / seconds, times[len(times) * 99 // 100] / 1000)


def beside(server: Server, statement: str, seconds: int) -> tuple[Load, int]:
    """The load beside a client that repeats `statement`; how often that ended."""
    stop = threading.Event()
    done = 0

    def work() -> None:
        nonlocal done
        with connect(server) as connection:
            while not stop.is_set():
                try:
                    connection.execute(statement)  # type: ignore[call-overload]
                    done += 1
                except psycopg.errors.QueryCanceled:
                    return

    worker = threading.Thread(target=work)
    worker.start()
    time.sleep(0.5)
    load = select_only(server, seconds)
    stop.set()
    with connect(server) as other:
        other.execute(
            "select pg_cancel_backend(pid) from pg_stat_activity"
            " where state = 'active' and query like '%big%' and pid <> pg_backend_pid()"
        )
    worker.join(120)
    return load, done


def cancel_times_ms(server: Server, statement: str, rounds: int) -> list[float]:
    """From the cancel request to the client's error, in ms."""
    times: list[float] = []
    for _ in range(rounds):
        with connect(server) as connection:
            sent = [0.0]

            def cancel(on: psycopg.Connection[tuple[object, ...]] = connection,
                       at: list[float] = sent) -> None:  # fmt: skip
                at[0] = time.perf_counter()
                on.cancel()

            timer = threading.Timer(0.4, cancel)
            timer.start()
            try:
                connection.execute(statement)  # type: ignore[call-overload]
            except psycopg.errors.QueryCanceled:
                times.append((time.perf_counter() - sent[0]) * 1000)
            timer.join()
    return times


def main() -> None:
    """Load 5M rows, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--seconds", type=int, default=8)
    options = parser.parse_args()
    server = start_heliosd(cache_size="1GB")
    try:
        subprocess.run(
            ["pgbench", "-i", "-q", "-s", "10"], env=server.environment, check=True,
            capture_output=True, timeout=600,
        )  # fmt: skip
        with connect(server) as connection, connection.cursor() as cursor:
            cursor.execute("create table big (id int primary key, v int, filler text)")
            with cursor.copy("copy big from stdin") as copy:
                for first in range(1, options.rows + 1, 10_000):
                    copy.write(
                        "".join(f"{n}\t{n % 1000}\tfiller\n" for n in range(first, first + 10_000))
                    )
        alone = select_only(server, options.seconds)
        print(f"alone: {alone.tps:.0f} tps, p99 {alone.p99_ms:.2f} ms")
        for name, statement in (("aggregate", AGGREGATE), ("update", UPDATE)):
            load, done = beside(server, statement, options.seconds)
            print(
                f"beside {name}: {load.tps:.0f} tps ({load.tps / alone.tps:.0%} of alone), "
                f"p99 {load.p99_ms:.2f} ms; {name} ended {done} times"
            )
            times = cancel_times_ms(server, statement, 5)
            print(
                f"cancel of {name}: worst {max(times, default=float('nan')):.0f} ms of {len(times)}"
            )
    finally:
        server.stop()


if __name__ == "__main__":
    main()
