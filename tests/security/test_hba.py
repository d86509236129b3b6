"""Host-based rules: read as pg_hba.conf, first match wins, nobody else gets in."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliosd.security.hba import Client, default_rules, parse_rules
from heliosd.security.hba_lexer import HbaError
from heliosd.security.ident_map import parse_maps
from tests.security.logins import logged_in, refusals, run_as_admin, text_of
from tests.server import Server

RULES = """
# comment
local   all          all                                   peer map=os
hostssl "all"        all           10.0.0.0/8              cert
host    all          +staff        0.0.0.0/0               reject
host    shop,books   alice, "bob"  192.168.1.0 255.255.255.0  scram-sha-256  # tail
hostnossl sameuser   all           127.0.0.1/32            reject
host    samerole     all           samehost                scram-sha-256
hostgssenc all       all           all                     scram-sha-256
host    all          carol         ::1/128                 scram-sha-256 \\
    clientcert=verify-full
host    replication  all           all                     scram-sha-256
"""


def decided(client: Client) -> tuple[int, str] | None:
    parsed = parse_rules(RULES)
    assert not parsed.bad
    rule = parsed.first_match(client)
    return None if rule is None else (rule.line, rule.method)


def client(role: str, database: str, address: str | None, *groups: str, tls: bool = False,
           replication: bool = False) -> Client:  # fmt: skip
    return Client(database, role, address, tls, lambda: frozenset(groups), "127.0.0.1", replication)


@pytest.mark.parametrize(
    ("who", "line"),
    [
        (client("anyone", "any", None), (3, "peer")),
        (client("anyone", "all", "10.2.3.4", tls=True), (4, "cert")),
        (client("anyone", "other", "10.2.3.4", tls=True), None),
        (client("dora", "shop", "192.168.1.7", "staff"), (5, "reject")),
        (client("staff", "shop", "192.168.1.7"), (5, "reject")),
        (client("alice", "shop", "192.168.1.7"), (6, "scram-sha-256")),
        (client("bob", "books", "192.168.1.255"), (6, "scram-sha-256")),
        (client("alice", "shop", "192.168.2.7"), None),
        (client("alice", "shop", "::ffff:192.168.1.7"), (6, "scram-sha-256")),
        (client("carol", "carol", "127.0.0.1"), (7, "reject")),
        (client("carol", "carol", "127.0.0.1", tls=True), (8, "scram-sha-256")),
        (client("carol", "club", "127.0.0.1", "club"), (8, "scram-sha-256")),
        (client("carol", "club", "127.0.0.1"), None),
        (client("carol", "any", "::1"), (10, "scram-sha-256")),
        (client("alice", "shop", "10.0.0.9", replication=True), (12, "scram-sha-256")),
    ],
)
def test_first_match(who: Client, line: tuple[int, str] | None) -> None:
    assert decided(who) == line


def test_the_default_asks_everybody_for_a_password() -> None:
    rules = parse_rules(default_rules())
    assert not rules.bad
    assert {rule.method for rule in rules.rules} == {"scram-sha-256"}
    assert rules.first_match(client("a", "b", "8.8.8.8")) is None, "no plaintext from afar"
    assert rules.first_match(client("a", "b", "8.8.8.8", tls=True)) is not None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("host all all all trust", "proves too little"),
        ("host all all all md5", "proves too little"),
        ("host all all all password", "proves too little"),
        ("host all all all ldap", "not supported"),
        ("host all all all magic", "invalid authentication method"),
        ("hosts all all all reject", "invalid connection type"),
        ("host all all", "end-of-line before IP address"),
        ("host all", "end-of-line before role"),
        ("host all @admins all reject", "files of names"),
        ("host @dbs all all reject", "files of names"),
        ("host", "end-of-line before database"),
        ("host all all 1.2.3.4 reject", "invalid IP mask"),
        ("host all all 1.2.3.4", "end-of-line before netmask"),
        ("host all all 1.2.3.0/33 reject", "invalid IP address"),
        ("host all all 1.2.3.0 255.0.255.0 reject", "invalid IP mask"),
        ("host all all db.example.com reject", "host names are not supported"),
        ("host all all all peer", "only supported on local"),
        ("host all all all cert", "only supported on hostssl"),
        ("host all all all jwt", "only supported on hostssl"),
        ("host all all all scram-sha-256 map=x", "only valid for"),
        ("host all all all scram-sha-256 nonsense", "name=value"),
        ("host all all all scram-sha-256 colour=red", "unrecognized"),
        ("hostssl all all all cert clientcert=verify-ca", "verify-full"),
        ('host all "all all reject', "unterminated"),
        ("host all,,all all all reject", "missing before a comma"),
    ],
)
def test_wrong_lines_are_named(line: str, says: str) -> None:
    parsed = parse_rules(f"# one\n{line}\n")
    assert [bad.line for bad in parsed.bad] == [2]
    assert says in parsed.bad[0].error


def test_maps() -> None:
    maps = parse_maps('os root postgres\ncerts /(.*)@example\\.com \\1\n"x y" "a b" c\n')
    assert maps.allows("os", "root", "postgres")
    assert not maps.allows("os", "root", "root")
    assert maps.allows("certs", "ann@example.com", "ann")
    assert not maps.allows("certs", "ann@example.com", "bob")
    assert not maps.allows("certs", "ann@example.com.evil.org", "ann"), "the whole name must fit"
    assert maps.allows("x y", "a b", "c")
    assert maps.allows("", "same", "same")
    assert not maps.allows("", "same", "other")
    assert not maps.allows("absent", "same", "same")
    for wrong in ("os root", "os root a b", "os /( x", "os /a \\1", "os a,b c"):
        with pytest.raises(HbaError):
            parse_maps(wrong)


# ---------------------------------------------------------------- a server under rules


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("hba")
    (directory / "hba.conf").write_text(
        "hostssl all postgres all scram-sha-256\n"
        "local all +crew peer map=os\n"
        "hostnossl all alice 127.0.0.2/32 reject\n"
        "hostnossl postgres +crew 127.0.0.0/8 scram-sha-256\n"
    )
    running = Server(
        directory, tls_required="remote", hba_file=str(directory / "hba.conf"),
        ident_map="os root alice", unix_socket_directory=str(directory),
    )  # fmt: skip
    running.start()
    run_as_admin(
        running,
        "create role crew",
        "create role alice login password 'alice has a secret' in role crew",
        "create role dave login password 'dave has a secret'",
        "create database other",
    )
    yield running
    assert running.stop() == 0


def test_rules_decide(ruled: Server) -> None:
    before = refusals(ruled)
    assert text_of(logged_in(ruled, "alice", "alice has a secret")) == "ReadyForQuery"
    assert text_of(logged_in(ruled, "dave", "dave has a secret")) == (
        '28000 no pg_hba.conf entry for host "127.0.0.1", user "dave", database "postgres", '
        "no encryption"
    )
    assert text_of(logged_in(ruled, "alice", "alice has a secret", database="other")) == (
        '28000 no pg_hba.conf entry for host "127.0.0.1", user "alice", database "other", '
        "no encryption"
    )
    assert text_of(logged_in(ruled, "alice", "alice has a secret", source="127.0.0.2")) == (
        '28000 pg_hba.conf rejects connection for host "127.0.0.2", user "alice", '
        'database "postgres", no encryption'
    )
    assert refusals(ruled).since(before) == {("none", "no_rule"): 2, ("none", "rejected"): 1}


def test_peer(ruled: Server) -> None:
    """Root is alice by the map, and nobody else; whoever asks from the socket has no password."""

    def psql(user: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["psql", "-h", str(ruled.directory), "-p", str(ruled.port), "-U", user, "-XAtc",
             "select session_user", "postgres"],
            capture_output=True, text=True, timeout=30, env=ruled.libpq_environment(PGPASSWORD="",
                PGHOST="", PGHOSTADDR="", PGSSLMODE="prefer"),
        )  # fmt: skip

    before = refusals(ruled)
    assert psql("alice").stdout == "alice\n"
    assert 'Peer authentication failed for user "crew"' in psql("crew").stderr
    assert "no pg_hba.conf entry" in psql("postgres").stderr
    assert refusals(ruled).since(before) == {("peer", "peer"): 1, ("none", "no_rule"): 1}


def test_unix_sockets_that_leave_before_the_login_are_forgotten(tmp_path: Path) -> None:
    server = Server(tmp_path, unix_socket_directory=str(tmp_path), unauthenticated_per_address="5")
    server.start()
    try:
        path = str(tmp_path / f".s.PGSQL.{server.port}")
        for _ in range(12):
            with socket.socket(socket.AF_UNIX) as raw:
                raw.settimeout(10)
                raw.connect(path)
                raw.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")
                assert raw.recv(1) == b"N", "five at once may wait, however many came before"
                raw.shutdown(socket.SHUT_RDWR)
    finally:
        assert server.stop() == 0


def test_the_view_shows_the_file_and_a_wrong_one_changes_nothing(ruled: Server) -> None:
    path = ruled.directory / "hba.conf"
    good = path.read_text()
    shown = (
        "select line_number, type, database, user_name, address, netmask, auth_method, options, "
        "error from pg_hba_file_rules"
    )
    with ruled.connect() as connection:
        assert connection.execute(shown).fetchall() == [
            (1, "hostssl", ["all"], ["postgres"], "all", None, "scram-sha-256", None, None),
            (2, "local", ["all"], ["+crew"], None, None, "peer", ["map=os"], None),
            (3, "hostnossl", ["all"], ["alice"], "127.0.0.2", "255.255.255.255", "reject", None,
             None),
            (4, "hostnossl", ["postgres"], ["+crew"], "127.0.0.0", "255.0.0.0", "scram-sha-256",
             None, None),
        ]  # fmt: skip
        maps = connection.execute("select * from pg_ident_file_mappings").fetchall()
        assert maps == [(1, "os", "root", "alice", None)]
        path.write_text("host all all all trust\n" + good)
        assert connection.execute("select pg_reload_conf()").fetchone() == (False,)
        wrong = connection.execute(shown).fetchone()
        assert wrong is not None
        assert wrong[0] == 1
        assert "proves too little" in wrong[-1]
        # What was in force still is.
        assert text_of(logged_in(ruled, "dave", "dave has a secret")).startswith("28000 no pg_hba")
        path.write_text("hostnossl all dave all scram-sha-256\n" + good)
        assert connection.execute("select pg_reload_conf()").fetchone() == (True,)
        assert text_of(logged_in(ruled, "dave", "dave has a secret")) == "ReadyForQuery"
        path.write_text(good)
        connection.execute("select pg_reload_conf()")
        assert connection.execute("select 1").fetchone() == (1,)


def test_wrong_rules_refuse_the_start(tmp_path: Path) -> None:
    server = Server(tmp_path, host_rules="host all all all trust")
    with pytest.raises(AssertionError, match=r"line 1.*trust.*proves too little"):
        server.start()


def test_rules_and_their_file_do_not_mix(tmp_path: Path) -> None:
    server = Server(tmp_path, host_rules="local all all reject", hba_file="/nowhere")
    with pytest.raises(AssertionError, match="both set"):
        server.start()


def test_groups_are_those_of_now(ruled: Server) -> None:
    run_as_admin(ruled, "grant crew to dave")
    assert text_of(logged_in(ruled, "dave", "dave has a secret")) == "ReadyForQuery"
    run_as_admin(ruled, "revoke crew from dave")
    assert text_of(logged_in(ruled, "dave", "dave has a secret")).startswith("28000 no pg_hba")
