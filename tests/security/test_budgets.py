"""Exfiltration budgets: the first row over is not sent, on every way out (S-36)."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from heliosd.catalog.objects import Budget
from heliosd.errors import SqlError
from heliosd.security.budgets import Ledger, Usage, send_within
from tests.server import Server

SECRET = "violet-Harbour-77"
Connection = psycopg.Connection[Any]


class Pot:
    """A table of 100 rows, a role that may read it, and its budget."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.admin = server.connect()
        for sql in (
            "create database pots",
            f"create role drawer login password '{SECRET}'",
            "create role drawers",
        ):
            self.admin.execute(sql)
        self.admin.close()
        self.admin = server.connect(dbname="pots")
        for sql in (
            "create table pot (id int primary key, v text)",
            "insert into pot select i, 'value ' || i from generate_series(1, 100) i",
            "create table other (id int primary key)",
            "insert into other select i from generate_series(1, 100) i",
            "create view behind as select * from pot",
            """create function values_of(most int) returns setof text language sql stable
               as 'select v from pot limit most'""",
            """create function nested(most int) returns setof text language sql security definer
               as 'select * from values_of(most)'""",
            """create function one_of(wanted int) returns text language sql stable
               as 'select v from pot where id = wanted'""",
            "grant select, update, delete on pot, other to drawer",
            "grant select on behind to drawer",
        ):
            self.admin.execute(sql)

    def set(self, rows: int | None, size: int | None = None, role: str = "drawer") -> None:
        """A fresh budget."""
        self.drop(role)
        self.admin.execute(
            "select helios_set_budget(%s, 'pot', %s, %s, '1 hour')", (role, rows, size)
        )

    def drop(self, role: str = "drawer") -> None:
        """No budget."""
        self.admin.execute("select helios_drop_budget(%s, 'pot')", (role,))

    def drawn(self, role: str = "drawer") -> tuple[int, int]:
        """Rows and bytes, as helios_budgets shows them."""
        found = self.admin.execute(
            "select rows_sent, bytes_sent from helios_budgets where rolename = %s", (role,)
        ).fetchone()
        assert found is not None
        return found[0], found[1]

    def connect(self) -> Connection:
        return self.server.connect(dbname="pots", user="drawer", password=SECRET)

    def close(self) -> None:
        self.admin.close()
        with self.server.connect() as admin:
            for sql in ("drop database pots with (force)", "drop role drawer", "drop role drawers"):
                admin.execute(sql)


@pytest.fixture(scope="module")
def pot(server: Server) -> Iterator[Pot]:
    made = Pot(server)
    yield made
    made.close()


def by_fetch(connection: Connection, count: int) -> int:
    with connection.transaction():
        connection.execute("declare c cursor for select * from pot")
        got = 0
        while got < count:
            got += len(connection.execute("fetch 3 from c").fetchall())
        return got


def by_suspended_portal(connection: Connection, count: int) -> int:
    """A named cursor of the driver's: Execute with a row count, again and again."""
    with connection.transaction(), connection.cursor("named") as cursor:
        cursor.itersize = 3
        cursor.execute("select * from pot")
        return sum(1 for _ in zip(range(count), cursor, strict=False))


def by_copy(connection: Connection, count: int, sql: str) -> int:
    with connection.cursor().copy(sql.format(count)) as copy:
        return sum(1 for _ in copy.rows()) if "csv" not in sql else b"".join(copy).count(b"\n")


def by_binary_copy(connection: Connection, count: int) -> int:
    sql = f"copy (select * from pot limit {count}) to stdout (format binary)"
    with connection.cursor().copy(sql) as copy:
        copy.set_types(["int4", "text"])
        return sum(1 for _ in copy.rows())


def rows_of(connection: Connection, sql: str, **options: Any) -> int:
    return len(connection.execute(sql, **options).fetchall())


def prepared(connection: Connection, count: int) -> int:
    connection.execute(f"prepare p{count} as select * from pot limit {count}")
    return rows_of(connection, f"execute p{count}")


def by_points(connection: Connection, count: int) -> int:
    return sum(
        rows_of(connection, "select v from pot where id = %s", params=(i + 1,), prepare=True)
        for i in range(count)
    )


def by_delete(connection: Connection, count: int) -> int:
    with connection.transaction(force_rollback=True):
        return rows_of(connection, f"delete from pot where id <= {count} returning id")


CSV = "copy (select * from pot limit {}) to stdout (format csv)"
WAYS: dict[str, Callable[[Connection, int], int]] = {
    "simple": lambda c, n: len(psycopg.ClientCursor(c).execute(
        f"select * from pot limit {n}").fetchall()),
    "extended": lambda c, n: rows_of(c, f"select * from pot limit {n}", prepare=True),
    "binary": lambda c, n: rows_of(c, f"select * from pot limit {n}", binary=True),
    "points": by_points,
    "points, simple": lambda c, n: sum(
        len(psycopg.ClientCursor(c).execute(f"select v from pot where id = {i + 1}").fetchall())
        for i in range(n)),
    "fetch": by_fetch,
    "suspended portal": by_suspended_portal,
    "execute": prepared,
    "copy table": lambda c, n: by_copy(c, n, "copy pot to stdout") if n == 100 else by_copy(
        c, n, "copy (select * from pot limit {}) to stdout"),
    "copy csv": lambda c, n: by_copy(c, n, CSV),
    "copy binary": by_binary_copy,
    "update returning": lambda c, n: rows_of(
        c, f"update pot set v = v where id <= {n} returning id"),
    "delete returning": by_delete,
    "view": lambda c, n: rows_of(c, f"select * from behind limit {n}"),
    "join": lambda c, n: rows_of(c, f"select o.id from other o join pot p using (id) limit {n}"),
    "subquery": lambda c, n: rows_of(
        c, f"select o.id, (select v from pot p where p.id = o.id) from other o limit {n}"),
    "only tested": lambda c, n: rows_of(
        c, f"select id from other o where exists (select from pot p where p.id = o.id) limit {n}"),
    "cte": lambda c, n: rows_of(c, f"with q as (select * from pot) select v from q limit {n}"),
    "function": lambda c, n: rows_of(c, f"select * from values_of({n})"),
    "function in a function": lambda c, n: rows_of(c, f"select nested({n})"),
    "function of each row": lambda c, n: rows_of(c, f"select one_of(id) from other limit {n}"),
    "union": lambda c, n: rows_of(c, f"select v from pot union all select 'x' limit {n}"),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_the_first_row_over_is_refused(pot: Pot, way: str) -> None:
    take = WAYS[way]
    pot.set(10)
    with pot.connect() as connection:
        assert take(connection, 9) == 9
        assert pot.drawn()[0] == 9
    with pot.connect() as connection:
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded) as caught:
            take(connection, 100)
        assert caught.value.sqlstate == "53400"
        assert "helios_budgets" in str(caught.value.diag.message_hint)
    assert pot.drawn()[0] == 10
    pot.drop()
    with pot.connect() as connection:
        assert take(connection, 100) >= 99


def test_a_budget_exactly_used_is_not_exceeded(pot: Pot) -> None:
    for way in ("simple", "copy binary", "copy csv", "fetch"):
        pot.set(9)
        with pot.connect() as connection:
            assert WAYS[way](connection, 9) == 9, way
        assert pot.drawn()[0] == 9, way


def test_rows_that_are_scanned_but_not_sent_cost_nothing(pot: Pot) -> None:
    pot.set(1)
    with pot.connect() as connection:
        assert connection.execute("select count(*) from pot").fetchone() == (100,)
        assert connection.execute("update pot set v = v").rowcount == 100
        assert connection.execute("explain analyze select * from pot").fetchall()
        assert connection.execute("select id from other").rowcount == 100
    assert pot.drawn()[0] == 1


def test_an_error_that_may_tell_a_value_counts_as_a_row(pot: Pot) -> None:
    telling = (
        "select (v || id)::int from pot where id = {}",
        "update pot set v = v where (v || id)::int = 1 and id = {}",
        "explain analyze select (v || id)::int from pot where id = {}",
    )
    for sql in telling:
        pot.set(3)
        with pot.connect() as connection:
            for number in range(3):
                with pytest.raises(psycopg.errors.InvalidTextRepresentation):
                    connection.execute(sql.format(number + 1))
            with pytest.raises(psycopg.errors.ConfigurationLimitExceeded) as caught:
                connection.execute(sql.format(50))
            assert "value 50" not in str(caught.value)
            with pytest.raises(psycopg.errors.DivisionByZero):
                connection.execute("select 1 / (id - 1) from other")
            with pytest.raises(psycopg.errors.UndefinedTable):
                connection.execute("select * from nothing")
    pot.drop()


def test_notifications_count_their_bytes(pot: Pot) -> None:
    pot.set(None, 600)
    with pot.connect() as connection:
        connection.execute("select pg_notify('out', string_agg(v, ',')) from pot where id < 20")
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
            connection.execute("select pg_notify('out', string_agg(v, ',')) from pot")
    pot.drop()


def test_bytes_are_counted(pot: Pot) -> None:
    pot.set(None, 400)
    with pot.connect() as connection:
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
            connection.execute("select string_agg(v, ',') from pot")
        assert len(connection.execute("select id from pot limit 10").fetchall()) == 10
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
            connection.execute("select v from pot")
    rows, size = pot.drawn()
    assert rows > 10
    assert 370 < size <= 400


def test_a_rollback_gives_nothing_back(pot: Pot) -> None:
    pot.set(10)
    with pot.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute("select * from pot limit 10").fetchall()
    with pot.connect() as connection, pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
        connection.execute("select * from pot limit 1")


def test_members_draw_from_their_groups_pot_whatever_role_they_take(pot: Pot) -> None:
    pot.drop()
    pot.set(10, role="drawers")
    pot.admin.execute("grant drawers to drawer")
    pot.admin.execute("grant select on pot to drawers")
    with pot.connect() as connection:
        connection.execute("select * from pot limit 6")
        connection.execute("set role drawers")
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
            connection.execute("select * from pot limit 6")
    assert pot.drawn("drawers")[0] == 10
    pot.admin.execute("revoke drawers from drawer")
    with pot.connect() as connection:
        assert len(connection.execute("select * from pot").fetchall()) == 100
    pot.drop("drawers")


def test_a_budget_for_all_tables(pot: Pot) -> None:
    pot.drop()
    pot.admin.execute("select helios_set_budget('drawer', null, 10, null)")
    with pot.connect() as connection:
        connection.execute("select * from pot limit 5")
        connection.execute("select 1 from pg_class")
        connection.execute("select generate_series(1, 50)")
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
            connection.execute("select * from other limit 6")
    pot.admin.execute("select helios_drop_budget('drawer', null)")


def test_a_budget_holds_for_statements_that_were_prepared_before_it(pot: Pot) -> None:
    pot.drop()
    with pot.connect() as connection:
        for _ in range(3):
            assert rows_of(connection, "select * from pot where id < 50", prepare=True) == 49
        pot.set(10)
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
            connection.execute("select * from pot where id < 50", prepare=True)
        pot.drop()
        assert rows_of(connection, "select * from pot where id < 50", prepare=True) == 49


def test_raising_a_budget_does_not_forget_what_was_drawn(pot: Pot) -> None:
    pot.set(10)
    with pot.connect() as connection:
        connection.execute("select * from pot limit 10")
        pot.admin.execute("select helios_set_budget('drawer', 'pot', 12)")
        connection.execute("select * from pot limit 2")
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
            connection.execute("select * from pot limit 1")


def test_only_superusers_set_budgets_and_roles_see_their_own(pot: Pot) -> None:
    pot.set(10)
    with pot.connect() as connection:
        for sql in (
            "select helios_set_budget('drawer', 'pot', 100000)",
            "select helios_drop_budget('drawer', 'pot')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(sql)
        shown = connection.execute("select rolename, tablename, rows_max from helios_budgets")
        assert shown.fetchall() == [("drawer", "pot", 10)]
    for sql, sqlstate in (
        ("select helios_set_budget('nobody', 'pot', 1)", "42704"),
        ("select helios_set_budget('drawer', 'behind', 1)", "42809"),
        ("select helios_set_budget('drawer', 'pot')", "22004"),
        ("select helios_set_budget('drawer', 'pot', -1)", "22023"),
        ("select helios_set_budget('drawer', 'pot', 1, 1, '0 s')", "22023"),
    ):
        with pytest.raises(psycopg.Error) as caught:
            pot.admin.execute(sql)
        assert caught.value.sqlstate == sqlstate, sql


def test_a_refusal_is_counted_and_told_once(pot: Pot) -> None:
    def refusals() -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{pot.server.http_port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        (line,) = (x for x in lines if x.startswith("heliosdb_budget_exceeded_total "))
        return float(line.split()[1])

    def events() -> list[dict[str, Any]]:
        lines = pot.server.log_path.read_text().splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        return [entry for entry in entries if entry["event"] == "budget.exceeded"]

    pot.set(3)
    before, told = refusals(), len(events())
    with pot.connect() as connection:
        for _ in range(4):
            with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
                connection.execute("select * from pot")
    assert refusals() == before + 4
    (event,) = events()[told:]
    assert (event["role"], event["table"], event["rows"]) == ("drawer", "pot", 3)
    pot.drop()


def test_what_was_drawn_survives_a_crash(own_server: Server) -> None:
    own_server.start()
    with own_server.connect() as admin:
        admin.execute("create table pot (id int primary key)")
        admin.execute("insert into pot select generate_series(1, 100)")
        admin.execute(f"create role drawer login password '{SECRET}'")
        admin.execute("grant select on pot to drawer")
        admin.execute("select helios_set_budget('drawer', 'pot', 50, null, '1 day')")
        with own_server.connect(user="drawer", password=SECRET) as connection:
            connection.execute("select * from pot limit 40")
        admin.execute("insert into pot values (101)")  # a durable commit after it
    own_server.kill()
    own_server.start()
    with own_server.connect(user="drawer", password=SECRET) as connection:
        shown = connection.execute("select rows_max, rows_sent from helios_budgets").fetchall()
        assert shown == [(50, 40)]
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
            connection.execute("select * from pot limit 11")


# -- the ledger by itself -------------------------------------------------------------------------


class Counters:
    def __init__(self) -> None:
        self.values: dict[int, int] = {}

    def set(self, sequence_id: int, value: int, *, called: bool = True) -> None:
        self.values[sequence_id] = value

    def peek(self, sequence_id: int) -> tuple[int, bool] | None:
        value = self.values.get(sequence_id)
        return None if value is None else (value, True)


def make_ledger(counters: Counters, now: list[int]) -> tuple[Ledger, list[bool]]:
    told: list[bool] = []

    def refused(_budget: Budget, _usage: Usage, first: bool) -> None:
        told.append(first)

    return Ledger(counters, lambda: now[0], refused), told


BUDGET = Budget(oid=1, rows=5, size_bytes=100, period_us=1000, counters=(2, 3, 4))


def test_a_span_begins_with_its_first_row_and_ends_after_its_period() -> None:
    now = [10_000]
    ledger, told = make_ledger(Counters(), now)
    ledger.draw([BUDGET], 5, 10)
    with pytest.raises(SqlError) as caught:
        ledger.draw([BUDGET], 1, 1)
    assert caught.value.sqlstate == "53400"
    now[0] = 10_999
    with pytest.raises(SqlError):
        ledger.draw([BUDGET], 1, 1)
    now[0] = 11_000
    ledger.draw([BUDGET], 5, 10)
    assert told == [True, False]


def test_a_clock_that_runs_backwards_renews_nothing() -> None:
    now = [10_000]
    ledger, _ = make_ledger(Counters(), now)
    ledger.draw([BUDGET], 5, 10)
    now[0] = 1
    with pytest.raises(SqlError):
        ledger.draw([BUDGET], 1, 1)


def test_another_ledger_goes_on_from_the_counters() -> None:
    counters, now = Counters(), [10_000]
    make_ledger(counters, now)[0].draw([BUDGET], 3, 30)
    again, _ = make_ledger(counters, now)
    usage = again.usage(BUDGET)
    assert (usage.start_us, usage.rows, usage.size_bytes) == (10_000, 3, 30)


def test_nothing_is_drawn_from_one_budget_when_another_refuses() -> None:
    small = Budget(oid=9, rows=1, period_us=1000, counters=(20, 30, 40))
    ledger, _ = make_ledger(Counters(), [10_000])
    with pytest.raises(SqlError):
        ledger.draw([BUDGET, small], 2, 2)
    assert ledger.usage(BUDGET).rows == 0


def test_a_batch_is_sent_as_far_as_it_goes() -> None:
    ledger, _ = make_ledger(Counters(), [10_000])
    sent: list[bytes] = []
    with pytest.raises(SqlError):
        send_within(ledger, [BUDGET], list(range(9)), lambda rows: b"x" * len(rows), sent.append)
    assert b"".join(sent) == b"xxxxx"
