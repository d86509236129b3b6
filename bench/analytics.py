"""`python -m bench.analytics`: column programs against PostgreSQL, beside short work, in memory.

Prints the ratio of each analytic statement over 1M rows (PostgreSQL / heliosd, medians), what 8
select-only clients keep beside a stream of them, and the peak of anonymous memory while 5M rows are
sorted and hash-joined under `work_mem = 16MB`.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator

from bench.fairness import select_only
from bench.servers import Server, connect, start_heliosd, start_postgres

QUERIES = (
    "select count(*) from facts where b > 500",
    "select sum(a) from facts",
    "select sum(b), sum(c), avg(a) from facts",
    "select t, count(*) from facts group by t",
    "select b, count(*), sum(a) from facts group by b",
    "select count(distinct a) from facts",
    "select max(t), sum(f) from facts",
    "select id from facts order by c desc, id limit 10",
    "select d.name, sum(f.c) from facts f join dims d on d.id = f.b group by d.name",
)
SORT = "select a, id from facts order by a, id"
JOIN = "select count(*), sum(x.b) from facts x join facts y on x.id = y.a"


def lines(rows: int) -> Iterator[str]:
    """COPY's text of the table of facts, in chunks."""
    for first in range(0, rows, 5000):
        yield "".join(
            f"{i}\t{i * 7919 % rows}\t{i * 31 % 1000}\t{i % 10000}.{i % 100:02d}\tname{i % 10}"
            f"\t{i / 7}\n"
            for i in range(first, min(first + 5000, rows))
        )


def load(server: Server, rows: int) -> None:
    """Facts and their dimensions."""
    with connect(server) as connection, connection.cursor() as cursor:
        cursor.execute(
            "create table facts (id int primary key, a int, b int, c numeric(12,2), t text,"
            " f float8)"
        )
        with cursor.copy("copy facts from stdin") as copy:
            for chunk in lines(rows):
                copy.write(chunk)
        cursor.execute("create table dims (id int primary key, name text)")
        cursor.execute("insert into dims select i, 'd' || i % 50 from generate_series(0, 999) i")
        cursor.execute("analyze")


def median_ms(server: Server, query: str, rounds: int) -> float:
    """The median of warm runs."""
    times = []
    with connect(server) as connection:
        for _ in range(rounds + 1):
            start = time.perf_counter()
            connection.execute(query).fetchall()
            times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times[1:])


def compare(rounds: int) -> None:
    """Each statement on both servers."""
    ours, theirs = start_heliosd(), start_postgres()
    try:
        for server in (ours, theirs):
            load(server, 1_000_000)
        for query in QUERIES:
            one, two = median_ms(theirs, query, rounds), median_ms(ours, query, rounds)
            print(f"{one / two:7.2f} x  {one:9.2f} {two:9.2f} ms  {query}")
        beside(ours)
    finally:
        ours.stop()
        theirs.stop()


def beside(server: Server) -> None:
    """8 select-only clients alone and beside a stream of the statements."""
    subprocess.run(
        ["pgbench", "-i", "-q", "-s", "5"], env=server.environment, check=True,
        capture_output=True, timeout=600,
    )  # fmt: skip
    alone = select_only(server, 5)
    stop = threading.Event()

    def work() -> None:
        with connect(server) as connection:
            while not stop.is_set():
                for query in QUERIES:
                    connection.execute(query).fetchall()

    worker = threading.Thread(target=work)
    worker.start()
    load = select_only(server, 5)
    stop.set()
    worker.join()
    print(f"select-only alone {alone.tps:.0f} tps, beside {load.tps / alone.tps:.0%}, "
          f"p99 {load.p99_ms:.2f} ms")  # fmt: skip


def memory(rows: int) -> None:
    """Peaks of RssAnon while many rows are sorted and joined."""
    server = start_heliosd()
    try:
        load(server, rows)
        for name, query in (("sort", SORT), ("hash join", JOIN)):
            peak = 0
            done = threading.Event()

            def run(statement: str = query, ended: threading.Event = done) -> None:
                with connect(server) as connection, connection.transaction():
                    connection.execute("set local work_mem = '16MB'")
                    with connection.cursor("rows") as cursor:
                        cursor.execute(statement)
                        while cursor.fetchmany(10_000):
                            pass
                ended.set()

            start = time.perf_counter()
            worker = threading.Thread(target=run)
            worker.start()
            while not done.wait(0.02) and worker.is_alive():
                peak = max(peak, server.memory_kb())
            worker.join()
            seconds = time.perf_counter() - start
            print(f"{name} of {rows} rows: peak {peak / 1024:.0f} MB anonymous, {seconds:.1f} s")
    finally:
        server.stop()


def main() -> None:
    """Compare, or measure memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", type=int, metavar="ROWS", default=0)
    options = parser.parse_args()
    if options.memory:
        memory(options.memory)
    else:
        compare(options.rounds)


if __name__ == "__main__":
    main()
