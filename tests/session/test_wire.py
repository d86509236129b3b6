"""Exchanges of messages, answered message by message as a live PostgreSQL 15 answers them."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from helios_protocol import messages as m
from helios_protocol.encode import encode
from tests.server import PASSWORD, Server
from tests.session.wire_client import WireClient, shown

Q, P, B, D, E, C, S, H = (
    m.Query, m.Parse, m.Bind, m.Describe, m.Execute, m.Close, m.Sync, m.Flush,
)  # fmt: skip
SETUP = "drop table if exists w; create table w (a int primary key, b text); insert into w values (1, 'one'), (2, 'two'), (3, 'three')"  # noqa: E501


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes plain text on loopback."""
    running = Server(tmp_path_factory.mktemp("wire"), tls_required="remote")
    running.start()
    yield running
    assert running.stop() == 0


def ours(server: Server, **parameters: str) -> WireClient:
    return WireClient(server.port, "postgres", PASSWORD, **parameters)


def theirs(dsn: str) -> WireClient:
    parsed = psycopg.conninfo.conninfo_to_dict(dsn)
    return WireClient(int(str(parsed["port"])), str(parsed["user"]), database=str(parsed["dbname"]))


EXCHANGES: dict[str, list[list[m.FrontendMessage]]] = {
    "empty": [[Q("")], [Q(" -- nothing\n;;")], [P("", ""), B("", ""), D("P", ""), E(""), S()]],
    "an empty prepared statement": [
        [P("e", ""), S()],
        [Q("execute e")],
        [Q("create temp table from_nothing as execute e")],
        [Q("deallocate e")],
    ],
    "several statements": [
        [Q("select 1; select 'a', null; select 1 where false")],
        [Q("insert into w values (4, 'x'); select 1/(a-a) from w; select 2")],
        [Q("select count(*) from w")],
        [Q("select 1; selec 2; select 3")],
    ],
    "implicit block": [
        [Q("insert into w values (5, 'y'); commit; select 1/(a-a) from w")],
        [Q("select a from w order by a")],
        [Q("begin; insert into w values (6, 'z')")],
        [Q("rollback; select count(*) from w")],
        [Q("select 1; begin; select 2; commit; select 3")],
        [Q("commit")], [Q("rollback")],
    ],
    "failed block": [
        [Q("begin")], [Q("select 1/(a-a) from w")], [Q("select 1")], [Q("savepoint a")],
        [Q("commit")],
        [Q("begin; select 1/(a-a) from w")], [Q("select 1; rollback; select 2")], [Q("rollback")],
        [Q("begin")], [Q("begin")], [Q("selec")], [Q("rollback and chain")], [Q("select 1")],
        [Q("rollback")],
    ],
    "savepoints": [
        [Q("savepoint a")], [Q("begin")], [Q("insert into w values (7, 's')")],
        [Q("savepoint a")], [Q("insert into w values (7, 's')")], [Q("rollback to a")],
        [Q("rollback to b")], [Q("rollback to a")], [Q("release a")], [Q("release a")],
        [Q("rollback")],
    ],
    "extended": [
        [P("s", "select a, b from w where a = $1"), D("S", "s"), S()],
        [B("", "s", (), (b"2",)), D("P", ""), E(""), S()],
        [B("", "s", (1,), (b"\0\0\0\1",), (1, 0)), D("P", ""), E(""), S()],
        [B("", "s", (), (b"nine",)), E(""), S()],
        [B("", "s", (), ()), S()], [B("", "s", (0, 1), (b"1",)), S()],
        [B("", "s", (), (b"1",), (0, 0, 0)), S()],
        [B("", "s", (), (None,)), E(""), S()],
        [P("s", "select 1"), S()], [C("S", "s"), C("S", "s"), S()], [B("", "s"), S()],
        [D("S", "s"), S()], [D("P", "x"), S()], [E("x"), S()],
        [P("", "select 1; select 2"), S()], [P("", "selec"), S()],
    ],
    "suspension": [
        [Q("begin")],
        [P("", "select generate_series(1, 5)"), B("p", ""), E("p", 2), H(), E("p", 2), S()],
        [E("p", 2), E("p", 2), S()], [C("P", "p"), S()],
        [B("p", ""), E("p", 5), S()], [E("p", 5), S()], [B("p", ""), S()], [Q("commit")],
        [E("p"), S()],
    ],
    "an error skips to sync": [
        [P("", "select 1/(a-a) from w"), B("", ""), E(""),
         P("", "select 2"), B("", ""), E(""), S()],
        [P("", "insert into w values (8, 'q')"), B("", ""), E(""), P("x", "selec"), S()],
        [Q("select count(*) from w where a = 8")],
    ],
    "a pipeline is one transaction": [
        [P("", "insert into w values (9, 'q')"), B("", ""), E(""),
         P("", "select 1/(a-a) from w"), B("", ""), E(""), S()],
        [Q("select count(*) from w where a = 9")],
        [P("", "insert into w values (9, 'q')"), B("", ""), E(""), E(""), S()],
        [Q("select count(*) from w where a = 9")],
    ],
    "modify": [
        [P("", "update w set b = b where a < $1 returning a"), B("", "", (), (b"3",)),
         D("P", ""), E(""), S()],
        [P("", "delete from w where a = 99"), B("", ""), D("P", ""), E(""), S()],
        [Q("insert into w values (1, 'dup')")],
        [Q("insert into w select 20 + g, 'g' from generate_series(1, 3) g returning a")],
    ],
    "transactions in the extended protocol": [
        [P("", "begin"), B("", ""), E(""), S()],
        [P("", "select 1/(a-a) from w"), B("", ""), E(""), S()],
        [P("", "select 1"), S()], [B("", ""), S()],
        [P("", "rollback"), B("", ""), D("P", ""), E(""), S()],
        [P("", "commit"), B("", ""), E(""), S()],
    ],
    "sql prepare": [
        [Q("prepare p (int) as select b from w where a = $1")], [Q("execute p(2)")],
        [D("S", "p"), B("", "p", (), (b"1",)), E(""), S()],
        [Q("prepare p as select 1")], [Q("deallocate p")], [Q("execute p(1)")],
    ],
    "cursors": [
        [Q("declare c cursor for select 1")], [Q("begin")],
        [Q("declare c scroll cursor for select a from w order by a")], [Q("fetch 2 from c")],
        [Q("fetch backward 1 from c")], [Q("move 1 in c")], [Q("fetch all from c")],
        [Q("fetch prior from c")], [Q("fetch absolute -1 from c")], [Q("fetch 0 from c")],
        [Q("declare c cursor for select 1")], [Q("rollback")],
        [Q("declare h cursor with hold for select a from w order by a limit 3")],
        [Q("fetch 1 from h")], [Q("fetch all h")], [Q("close h")], [Q("fetch h")],
    ],
    "copy": [
        [Q("copy (select a, b from w where a < 3 order by a) to stdout")],
        [Q("copy w from stdin"), m.CopyData(b"40\tforty\n41\t\\N\n"), m.CopyDone()],
        [Q("copy w from stdin"), m.CopyData(b"42"), m.CopyFail("had enough")],
        [Q("copy w from stdin"), m.CopyData(b"x\ty\n"), m.CopyDone()],
        [Q("copy w from stdin"), m.CopyDone()],
        [Q("select count(*) from w where a >= 40")],
        [m.CopyData(b"late"), m.CopyDone(), Q("select 1")],
    ],
    "notify": [
        [Q("listen c")], [Q("notify c, 'hello'")], [Q("begin; notify c, 'x'; notify c, 'x'")],
        [Q("commit")], [Q("notify c")], [Q("unlisten c")], [Q("notify c, 'gone'")],
        [Q("notify c, '" + "x" * 8000 + "'")],
    ],
    "bad bodies": [
        [D("X", "s"), S()], [C("X", "s"), S()],
    ],
    "temporary tables": [
        [Q("create temp table tt (a int primary key) on commit delete rows")],
        [Q("insert into tt values (1)")], [Q("insert into tt values (1)")],
        [Q("select count(*) from tt")], [Q("begin")], [Q("insert into tt values (1)")],
        [Q("select count(*) from tt where a = 1")], [Q("commit")],
        [Q("select count(*) from tt where a = 1")],
        [P("", "insert into tt values ($1)"), B("", "", (), (b"1",)), E(""), S()],
        [P("", "insert into tt values ($1)"), B("", "", (), (b"1",)), E(""), S()],
        [Q("create temp table w (z int primary key); insert into w values (7)")],
        [Q("select * from w")], [Q("select * from w where z = 7")], [Q("drop table w")],
        [Q("select a from w where a = 1")], [Q("drop table tt")],
    ],
    "ddl in a block": [
        [Q("begin")], [Q("create table x (a int primary key)")], [Q("insert into x values (1)")],
        [Q("insert into x values (2)")], [Q("select a from x where a = 2")],
        [Q("alter table x add b text default 'd'")], [Q("select * from x where a = 2")],
        [Q("rollback")], [Q("select * from x where a = 2")],
        [Q("alter table w add c int default 5")], [Q("select * from w where a = 1")],
        [Q("begin; drop table w")], [Q("select * from w where a = 1")], [Q("rollback")],
        [Q("select * from w where a = 1")],
    ],
    "settings": [
        [Q("set application_name = 'me'")], [Q("begin; set local application_name = 'you'")],
        [Q("rollback")], [Q("show application_name")], [Q("set nonsense = 1")],
        [Q("set local statement_timeout = 5")], [Q("set transaction read only")],
        [Q("begin read only")], [Q("insert into w values (60, 'ro')")], [Q("rollback")],
        [Q("begin isolation level serializable; show transaction_isolation")], [Q("commit")],
        [Q("begin; select 1; set transaction isolation level serializable")], [Q("rollback")],
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", EXCHANGES)
def test_exchange(name: str, plain: Server, postgres_dsn: str) -> None:
    with ours(plain) as mine, theirs(postgres_dsn) as reference:
        for client in (mine, reference):
            client.query(SETUP)
        for messages in EXCHANGES[name]:
            expected = [shown(message) for message in reference.exchange(*messages)]
            found = [shown(message) for message in mine.exchange(*messages)]
            assert found == expected, messages


def test_the_short_way_answers_as_the_long_one(plain: Server) -> None:
    """Whole exchanges are answered without a task; cut ones are not. The answers are the same."""
    rng = random.Random(3)
    with ours(plain) as whole, ours(plain) as cut:
        for number, client in enumerate((whole, cut)):
            client.query(f"create schema if not exists s{number}; set search_path = s{number}")
        for name, exchanges in EXCHANGES.items():
            if name in ("notify", "copy"):
                continue
            for client in (whole, cut):
                client.query("rollback; deallocate all; close all; " + SETUP)
            for messages in exchanges:
                data = b"".join(map(encode, messages))
                at = rng.randrange(1, len(data))
                wanted = sum(isinstance(x, (m.Query, m.Sync)) for x in messages)
                cut.socket.sendall(data[:at])
                time.sleep(0.002)
                cut.socket.sendall(data[at:])
                expected = [shown(x) for x in cut.read_ready(wanted)]
                idle = expected[-1] == "ReadyForQuery(status='I')"
                for _ in range(3 if idle and not _changes(messages) else 1):
                    assert [shown(x) for x in whole.exchange(*messages)] == expected, messages


def _changes(messages: list[m.FrontendMessage]) -> bool:
    """Whether saying it twice means something else."""
    texts = [x.text for x in messages if isinstance(x, (m.Query, m.Parse))]
    if any(isinstance(x, m.Parse) and x.statement for x in messages):
        return True
    return not texts or any(not text.startswith("select") for text in texts)


def test_statements_belong_to_a_role(plain: Server) -> None:
    """A prepared statement of another role, or of before a revoke, is decided anew (S-14)."""
    with ours(plain) as client:
        client.query(SETUP)
        client.query("drop role if exists reader; create role reader; grant select on w to reader")
        execute = [B("", "s", (), (b"1",)), E(""), S()]
        client.exchange(P("s", "select b from w where a = $1"), S())
        for _ in range(3):
            assert "DataRow(values=(b'one',))" in [shown(x) for x in client.exchange(*execute)]
        client.query("set role reader")
        for _ in range(3):
            assert "DataRow(values=(b'one',))" in [shown(x) for x in client.exchange(*execute)]
        with ours(plain) as owner:
            owner.query("revoke select on w from reader")
        for _ in range(3):
            answers = [shown(x) for x in client.exchange(*execute)]
            assert "Error ERROR 42501 permission denied for table w" in answers
            answers = [shown(x) for x in client.query("select b from w where a = 1")]
            assert "Error ERROR 42501 permission denied for table w" in answers
        client.query("reset role")
        assert "DataRow(values=(b'one',))" in [shown(x) for x in client.exchange(*execute)]


def test_a_revoke_between_bind_and_execute(plain: Server) -> None:
    with ours(plain) as owner, ours(plain) as client:
        owner.query(SETUP)
        owner.query("drop role if exists reader; create role reader; grant select on w to reader")
        client.query("set role reader")
        client.query("begin")
        client.send(P("", "select b from w"), B("p", ""), H())
        assert [shown(client.read()) for _ in range(2)] == ["ParseComplete()", "BindComplete()"]
        owner.query("revoke select on w from reader")
        answers = [shown(x) for x in client.exchange(E("p"), S())]
        assert answers[0] == "Error ERROR 42501 permission denied for table w"


def test_startup_reports_what_clients_need(plain: Server) -> None:
    with ours(plain, application_name="me", options="-c statement_timeout=7s") as client:
        reports = {x.name: x.value for x in client.greeting if isinstance(x, m.ParameterStatus)}
        assert reports["server_version"].startswith("15.")
        assert reports["client_encoding"] == "UTF8"
        assert reports["application_name"] == "me"
        assert reports["integer_datetimes"] == "on"
        assert reports["session_authorization"] == "postgres"
        [key] = [x for x in client.greeting if isinstance(x, m.BackendKeyData)]
        assert len(key.secret) == 4
        assert "7s" in shown(client.query("show statement_timeout")[1])
    with WireClient(plain.port, "postgres", PASSWORD, minor=2) as client:
        [key] = [x for x in client.greeting if isinstance(x, m.BackendKeyData)]
        assert len(key.secret) == 32
    with WireClient(plain.port, "postgres", PASSWORD, minor=9) as client:
        assert m.NegotiateProtocolVersion(3 << 16 | 2) in client.greeting


def test_startup_cannot_raise_itself(plain: Server) -> None:
    with ours(plain) as client:
        client.query("create role low login password 'low password here'")
    for options in ("-c role=postgres", "-c session_authorization=postgres"):
        client = WireClient(plain.port, "low", "low password here", options=options)
        assert isinstance(client.greeting[-1], m.ErrorResponse), options
        client.close()


def test_cancel_by_key(plain: Server) -> None:
    with ours(plain) as client:
        [key] = [x for x in client.greeting if isinstance(x, m.BackendKeyData)]

        def cancel(secret: bytes) -> None:
            with socket.create_connection(("127.0.0.1", plain.port)) as other:
                other.sendall(encode(m.CancelRequest(key.process_id, secret)))
                assert other.recv(1) == b""

        client.send(Q("select pg_sleep(20)"))
        began = time.monotonic()
        time.sleep(0.2)
        cancel(b"\0\0\0\0" if key.secret != b"\0\0\0\0" else b"\1\1\1\1")
        time.sleep(0.2)
        cancel(key.secret)
        answers = [shown(message) for message in client.read_ready()]
        assert 0.35 < time.monotonic() - began < 2
        assert "Error ERROR 57014 canceling statement due to user request" in answers
        assert shown(client.query("select 1")[1]) == "DataRow(values=(b'1',))"


def test_timeouts(plain: Server) -> None:
    with ours(plain) as client:
        client.query("set statement_timeout = 100")
        answers = [shown(message) for message in client.query("select pg_sleep(5)")]
        assert "Error ERROR 57014 canceling statement due to statement timeout" in answers
        client.query("set statement_timeout = 0")
        client.query("set idle_in_transaction_session_timeout = 100")
        client.query("begin")
        message = client.read()
        assert shown(message).startswith("Error FATAL 25P03")
        with pytest.raises(ConnectionError):
            client.read()


def test_locks_wait_and_time_out(plain: Server) -> None:
    with ours(plain) as first, ours(plain) as second:
        first.query(SETUP)
        first.query("begin; update w set b = 'mine' where a = 1")
        second.query("set lock_timeout = 100")
        answers = [shown(x) for x in second.query("update w set b = 'yours' where a = 1")]
        assert any("55P03" in answer for answer in answers)
        second.query("set lock_timeout = 0")
        second.send(Q("update w set b = 'yours' where a = 1 returning b"))
        time.sleep(0.1)
        first.query("commit")
        answers = [shown(x) for x in second.read_ready()]
        assert "DataRow(values=(b'yours',))" in answers


def test_a_slow_reader_holds_nobody_up(plain: Server) -> None:
    with ours(plain) as slow, ours(plain) as quick:
        slow.send(Q("select repeat('x', 1000) from generate_series(1, 100000)"))
        time.sleep(0.3)
        began = time.monotonic()
        for _ in range(20):
            quick.query("select 1")
        assert time.monotonic() - began < 1
        before = plain.memory_kb()
        time.sleep(0.3)
        assert plain.memory_kb() < before + 20_000
        rows = sum(isinstance(x, m.DataRow) for x in slow.read_ready())
        assert rows == 100_000


def test_many_statements_at_once_hold_nobody_up(plain: Server) -> None:
    with ours(plain) as busy, ours(plain) as quick:
        count = 20_000
        flood = threading.Thread(
            target=busy.socket.sendall, args=(encode(Q("select 1")) * count,), daemon=True
        )
        flood.start()
        answered = threading.Thread(target=busy.read_ready, args=(count,), daemon=True)
        answered.start()
        slowest = 0.0
        for _ in range(50):
            began = time.monotonic()
            quick.query("select 2")
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 0.2
        flood.join(60)
        answered.join(60)
        assert not answered.is_alive()


def test_a_lost_client_lets_go(plain: Server) -> None:
    with ours(plain) as first, ours(plain) as second:
        first.query(SETUP)
        first.query("begin; update w set b = 'mine' where a = 1")
        threading.Timer(0.2, first.close).start()
        answers = [shown(x) for x in second.query("update w set b = 'yours' where a = 1")]
        assert "CommandComplete(tag='UPDATE 1')" in answers


def test_a_unix_socket(tmp_path: Path) -> None:
    server = Server(tmp_path, unix_socket_directory=str(tmp_path))
    server.start()
    try:
        info = server.conninfo(host=str(tmp_path), hostaddr="", sslmode="disable")
        with psycopg.connect(info) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    finally:
        assert server.stop() == 0


def test_a_rate_limit_refuses_statements_and_keeps_the_connection(tmp_path: Path) -> None:
    server = Server(tmp_path, tls_required="remote", max_requests="60", window_duration="60s",
                    burst_capacity="20")  # fmt: skip
    server.start()
    try:
        with ours(server) as client:
            answers = [shown(x) for _ in range(25) for x in client.query("select 1")]
            assert answers.count("DataRow(values=(b'1',))") == 20
            assert answers.count("Error ERROR 53400 rate limit of statements exceeded") == 5
            refused = client.exchange(P("", "select 1"), B("", ""), E(""), S())
            assert "Error ERROR 53400 rate limit of statements exceeded" in map(shown, refused)
            time.sleep(1.1)
            assert "DataRow(values=(b'1',))" in map(shown, client.query("select 1"))
    finally:
        assert server.stop() == 0
