"""`python -m bench.compare`: pgbench and COPY against PostgreSQL 15, interleaved, as ratios.

Both servers run on this machine with fsync on, heliosd with encryption, limits and metrics on.
Each line is measured in turn on both, `--rounds` times; the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.servers import Server, start_heliosd, start_postgres

COPY_ROWS = 500_000


@dataclass(frozen=True)
class Line:
    """One comparison, with the ratio that must be reached and the one aimed at."""

    name: str
    script: str
    mode: str
    clients: int
    floor: float
    aim: float


PGBENCH_LINES = (
    Line("select-only, 8 clients, simple", "select-only", "simple", 8, 1.3, 1.8),
    Line("select-only, 8 clients, prepared", "select-only", "prepared", 8, 1.15, 1.6),
    Line("select-only, 1 client, simple", "select-only", "simple", 1, 1.0, 1.1),
    Line("select-only, 1 client, prepared", "select-only", "prepared", 1, 0.95, 1.0),
    Line("TPC-B, 8 clients, simple", "tpcb-like", "simple", 8, 1.1, 1.35),
    Line("TPC-B, 8 clients, prepared", "tpcb-like", "prepared", 8, 1.0, 1.2),
    Line("TPC-B, 1 client, simple", "tpcb-like", "simple", 1, 1.0, 1.1),
    Line("TPC-B, 1 client, prepared", "tpcb-like", "prepared", 1, 0.9, 1.0),
)
COPY_LINES = (
    Line("COPY in, 500k rows with a key", "copy-in", "", 1, 1.2, 2.0),
    Line("COPY out, 500k rows", "copy-out", "", 1, 1.0, 2.0),
)


@dataclass(frozen=True)
class Result:
    """Medians per second (transactions or rows) and their ratio."""

    name: str
    postgresql: float
    heliosd: float
    ratio: float
    floor: float
    aim: float
    postgresql_rounds: list[float]
    heliosd_rounds: list[float]


def run_pgbench(server: Server, line: Line, seconds: int) -> float:
    """Transactions per second of one run."""
    command = ["pgbench", "-n", "-b", line.script, "-M", line.mode, "-c", str(line.clients),
               "-j", "1", "-T", str(seconds)]  # fmt: skip
    done = subprocess.run(
        command, env=server.environment, capture_output=True, text=True, timeout=seconds + 60
    )
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.M)
    if done.returncode != 0 or found is None:
        raise RuntimeError(f"{server.name}: {' '.join(command)}: {done.stderr[-2000:]}")
    return float(found[1])


def psql(server: Server, sql: str) -> str:
    """Run one text; its output."""
    done = subprocess.run(
        ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql],
        env=server.environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"{server.name}: {sql[:60]}: {done.stderr[-2000:]}")
    return done.stdout


def make_copy_file(directory: Path) -> Path:
    """500k rows shaped like pgbench_accounts."""
    path = directory / "rows.tsv"
    filler = " " * 84
    with path.open("w") as out:
        for aid in range(1, COPY_ROWS + 1):
            out.write(f"{aid}\t{aid // 100000 + 1}\t0\t{filler}\n")
    return path


def run_copy(server: Server, line: Line, rows_file: Path) -> float:
    """Rows per second of one COPY, timed around psql."""
    if line.script == "copy-in":
        psql(server, "drop table if exists bench_copy")
        psql(server, "create table bench_copy (aid int primary key, bid int, abalance int, "
                     "filler char(84))")  # fmt: skip
        command = f"\\copy bench_copy from '{rows_file}'"
    else:
        command = "\\copy bench_copy to '/dev/null'"
    start = time.perf_counter()
    psql(server, command)
    return COPY_ROWS / (time.perf_counter() - start)


def summarize(line: Line, postgres: list[float], helios: list[float]) -> Result:
    """The medians and their ratio."""
    a, b = statistics.median(postgres), statistics.median(helios)
    return Result(line.name, a, b, b / a, line.floor, line.aim, postgres, helios)


def print_result(result: Result) -> None:
    """One line of the table."""
    state = (
        "aim"
        if result.ratio >= result.aim
        else "floor"
        if result.ratio >= result.floor
        else "BELOW"
    )
    print(
        f"{result.name:34s} {result.postgresql:12.0f} {result.heliosd:12.0f} "
        f"{result.ratio:6.2f}x  floor {result.floor:.2f} aim {result.aim:.2f}  {state}",
        flush=True,
    )


def compare(options: argparse.Namespace) -> list[Result]:
    """Start both servers, load both, run every line in turn."""
    results: list[Result] = []
    servers: list[Server] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        try:
            servers = [start_postgres(), start_heliosd()]
            for server in servers:
                subprocess.run(
                    ["pgbench", "-i", "-q", "-s", str(options.scale)],
                    env=server.environment, check=True, capture_output=True, timeout=900,
                )  # fmt: skip
            for line in PGBENCH_LINES:
                if options.only and options.only not in line.name:
                    continue
                rounds: list[list[float]] = [[], []]
                for _ in range(options.rounds):
                    for server, found in zip(servers, rounds, strict=True):
                        found.append(run_pgbench(server, line, options.seconds))
                results.append(summarize(line, *rounds))
                print_result(results[-1])
            rows_file = make_copy_file(Path(scratch))
            for line in COPY_LINES:
                if options.only and options.only not in line.name:
                    continue
                rounds = [[], []]
                for _ in range(options.rounds):
                    for server, found in zip(servers, rounds, strict=True):
                        found.append(run_copy(server, line, rows_file))
                results.append(summarize(line, *rounds))
                print_result(results[-1])
        finally:
            for server in servers:
                server.stop()
    return results


def main() -> None:
    """Parse options, compare, print and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=5, help="length of one pgbench run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="lines whose name contains this")
    options = parser.parse_args()
    print(f"{'':34s} {'PostgreSQL':>12s} {'heliosd':>12s}  ratio")
    results = compare(options)
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    path = Path(__file__).parent / "results" / f"{stamp}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    print(f"written: bench/results/{path.name}")


if __name__ == "__main__":
    main()
