"""`python -m bench.security`: what privileges, masks and policies cost, with and without, in turns.

Each case is one pgbench script run by two roles that differ only in what they may see. The rounds
alternate, so that the machine's mood falls on both; the cost is between the medians of the server's
time for a statement. A privilege is checked when a program is made and never again; what that check
takes is timed in process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import timeit
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.servers import PASSWORD, Server, connect, start_heliosd

ROWS = 100_000
SCHEMA = (
    "create table person (id int primary key, email text, phone text, region int, tenant int)",
    "insert into person select i, 'somebody' || i || '@example.org', '+49 170 ' || 1000000 + i, "
    "i % 10, i % 100 from generate_series(1, " + str(ROWS) + ") i",
    "create index on person (tenant)",
    f"create role plain login password '{PASSWORD}'",
    f"create role limited login password '{PASSWORD}'",
    "grant select on person to plain, limited",
    "grant unmask on person to plain",
)


@dataclass(frozen=True)
class Case:
    """`setup` is run by the superuser before, `teardown` after; `script` by both roles in turn.

    `limit`: how much dearer the role `limited` may be than the role `plain`, as a fraction.
    """

    name: str
    setup: Sequence[str]
    script: str
    teardown: Sequence[str]
    limit: float = 0.15


def masked(name: str, column: str, function: str, limit: float = 0.15) -> Case:
    """A point SELECT of one column, masked for `limited`."""
    alter = f"alter table person alter column {column}"
    return Case(
        name,
        (f"{alter} add masked with (function = '{function}')",),
        f"\\set id random(1, {ROWS})\nselect {column} from person where id = :id;\n",
        (f"{alter} drop masked",),
        limit,
    )


def restricted(name: str, policy: str, script: str, more: Sequence[str] = ()) -> Case:
    """A SELECT of a table whose policy holds for `limited`; `plain` sees all rows by BYPASSRLS."""
    return Case(
        name,
        (
            *more,
            "alter role plain bypassrls",
            "alter table person enable row level security",
            f"create policy p on person using ({policy})",
        ),
        script,
        (
            "drop policy p on person",
            "alter table person disable row level security",
            "alter role plain nobypassrls",
        ),
    )


BY_KEY = f"\\set id random(1, {ROWS})\nselect email from person where id = :id;\n"
BY_TENANT = "select count(*) from person where tenant = 7;\n"

CASES = (
    restricted("row security, constant", "tenant < 100", BY_KEY),
    restricted("row security, role", "region is not null or email = current_user", BY_KEY),
    restricted(
        "row security, setting",
        "tenant >= current_setting('app.tenant')::int",
        BY_KEY,
        ("alter role limited set app.tenant = 0", "alter role plain set app.tenant = 0"),
    ),
    restricted("row security, index", "tenant = 7", BY_TENANT),
    masked("mask full()", "email", "full()"),
    masked("mask partial()", "email", 'partial(2, "...", 4)'),
    masked("mask email()", "email", "email()"),
    # An HMAC costs what it costs: 2 us.
    masked("mask hash()", "email", "hash()", limit=0.3),
)


def tps(server: Server, role: str, script: Path, clients: int, seconds: int, mode: str) -> float:
    """What pgbench reaches as a role."""
    done = subprocess.run(
        ["pgbench", "-n", "-M", mode, "-c", str(clients), "-j", "1", "-T", str(seconds),
         "-f", str(script)],
        env={**server.environment, "PGUSER": role}, check=True, capture_output=True, text=True,
        timeout=seconds + 60,
    )  # fmt: skip
    (line,) = (each for each in done.stdout.splitlines() if each.startswith("tps = "))
    return float(line.split()[2])


def cpu_seconds(server: Server) -> float:
    """What the server's process has used so far, in user and system mode."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_case(server: Server, case: Case, options: argparse.Namespace) -> None:
    """Print one case's medians and the cost: in the server's time for a statement, which others on
    the machine disturb less than the rate."""
    run_sql(server, case.setup)
    with tempfile.TemporaryDirectory(prefix="bench-script-") as scratch:
        script = Path(scratch) / "script.sql"
        script.write_text(case.script)
        for mode in ("simple", "prepared"):
            found: dict[str, list[float]] = {"plain": [], "limited": []}
            spent: dict[str, list[float]] = {"plain": [], "limited": []}
            for number in range(options.rounds):
                order = ("plain", "limited") if number % 2 == 0 else ("limited", "plain")
                for role in order:
                    before = cpu_seconds(server)
                    rate = tps(server, role, script, options.clients, options.seconds, mode)
                    found[role].append(rate)
                    spent[role].append((cpu_seconds(server) - before) / rate)
            without, with_it = (statistics.median(found[role]) for role in ("plain", "limited"))
            cost = statistics.median(spent["limited"]) / statistics.median(spent["plain"]) - 1
            verdict = "ok" if cost <= case.limit else f"over {case.limit:.0%}"
            print(
                f"{case.name:24} {mode:9} {without:9.0f} {with_it:9.0f} tps {cost:+7.1%}  {verdict}"
            )
    run_sql(server, case.teardown)


def run_sql(server: Server, statements: Sequence[str]) -> None:
    """Statements of the superuser."""
    with connect(server) as connection:
        for statement in statements:
            connection.execute(statement)


def privilege_check_us() -> float:
    """One check of SELECT on a table for a role that has it by a grant, in process."""
    from heliosd.catalog.lookup import Catalog, SharedCatalog
    from heliosd.catalog.objects import AclItem, Column, Database, Role, Table
    from heliosd.security.authorize import check_privileges
    from heliosd.sql.bound import Privilege
    from heliosd.types.builtin import TYPES

    database = Database(oid=5, name="d", owner=10)
    table = Table(
        oid=20000, name="t", schema=2200, owner=10, tree_id=9, key_kind="int",
        columns=(Column(attnum=1, name="a", type_oid=23),),
        acl=(AclItem(10, 10, "arwdDxt"), AclItem(11, 10, "r")),
    )  # fmt: skip
    roles = (Role(oid=10, name="postgres", superuser=True), Role(oid=11, name="reader"))
    catalog = Catalog(SharedCatalog(TYPES, (database, *roles, table)), database)
    wanted = (Privilege("table", 20000, "t", "SELECT", (0,)),)
    count = 20_000
    seconds = min(
        timeit.repeat(lambda: check_privileges(catalog, 11, wanted), number=count, repeat=5)
    )
    return seconds / count * 1e6


def current_check_us() -> float:
    """What is left of it on the hot path: is the program still current?"""
    from heliosd.catalog.lookup import Catalog, SharedCatalog
    from heliosd.catalog.objects import Database
    from heliosd.session.statement_cache import stamp_of
    from heliosd.types.builtin import TYPES

    database = Database(oid=5, name="d", owner=10)
    shared = SharedCatalog(TYPES, (database,))
    catalog = Catalog(shared, database)
    state, generation = shared.state, stamp_of(catalog).shared
    count = 200_000
    seconds = min(
        timeit.repeat(
            lambda: state.generation == generation and catalog.overlay is None,
            number=count, repeat=5,
        )
    )  # fmt: skip
    return seconds / count * 1e6


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args()
    print(f"privilege check when a program is made: {privilege_check_us():.2f} us")
    print(f"privileges on the hot path:             {current_check_us():.3f} us (limit 0.1)")
    server = start_heliosd(statements_max_requests="1000000000")
    try:
        run_sql(server, SCHEMA)
        run_sql(server, ("grant helios_mask_admin to postgres",))
        print(f"{'case':24} {'protocol':9} {'without':>9} {'with':>9}")
        for case in CASES:
            if options.only in case.name:
                run_case(server, case, options)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
