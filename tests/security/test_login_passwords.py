"""Passwords: the policy, two at a time, age, attributes at login, and the way back in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from helios_protocol import messages as m
from helios_protocol.scram import make_verifier, parse_verifier
from helios_storage.keyring import KeyFile
from heliosd.catalog.objects import Role
from heliosd.errors import SqlError
from heliosd.ops.reset import reset_password
from heliosd.security.password_policy import PasswordPolicy, common_passwords, is_common
from heliosd.security.passwords import DAY_US, Challenger, PasswordChange, changed_password
from tests.security.logins import LoginClient, logged_in, refusals, run_as_admin, text_of
from tests.server import PASSWORD, Server

POLICY = PasswordPolicy()
FAST = 4096


def change(role: Role, password: str, *, policy: PasswordPolicy = POLICY,
           overlap: int | None = None, now: int = 1_000) -> Role:  # fmt: skip
    found = changed_password(role, PasswordChange(password, FAST, policy, now, overlap))
    assert found is not None
    return found


@pytest.fixture
def role() -> Role:
    return Role(oid=20_000, name="app", login=True)


def test_the_list() -> None:
    known = common_passwords()
    assert len(known) >= 10_000
    assert {"password", "qwerty", "iloveyou"} <= known
    assert is_common("PassWord")
    assert not is_common("correct horse battery")
    assert any(len(each) >= 12 for each in known)


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("elevenchars", "too short"),
        ("é" * 11, "too short"),
        ("x" * 1025, "too long"),
        ("é" * 513, "too long"),
        ("administrator", "too common"),
        ("ADMINISTRATOR", "too common"),
        ("SCRAM-SHA-256$9:x", "invalid SCRAM"),
        ("md5" + "0" * 32, "MD5"),
    ],
)
def test_refused(role: Role, password: str, says: str) -> None:
    with pytest.raises(SqlError, match=says) as caught:
        change(role, password)
    assert password not in f"{caught.value.message}{caught.value.detail}{caught.value.hint}"


def test_taken(role: Role) -> None:
    for password in ("twelve chars", "é" * 12, "x" * 1024, "a b" * 10):
        assert change(role, password).verifier
    assert change(role, "short", policy=PasswordPolicy(length_min=5)).verifier
    assert change(role, "administrator", policy=PasswordPolicy(common_refused=False)).verifier
    with pytest.raises(SqlError, match="equal user name"):
        change(Role(oid=1, name="A long role name"), "a long role name")


def test_history(role: Role) -> None:
    passwords = [f"password number {number}" for number in range(7)]
    for password in passwords[:6]:
        role = change(role, password)
    for old in passwords[1:6]:
        with pytest.raises(SqlError, match="used before"):
            change(role, old)
    assert len(role.password_history) == 4
    role = change(role, passwords[0])
    assert change(role, passwords[0], policy=PasswordPolicy(history=0)).verifier


def test_hashed_passwords(role: Role) -> None:
    ready = str(make_verifier("hashed by the client", iterations=FAST))
    changed = change(role, ready)
    assert changed.verifier == ready
    assert changed.password_unchecked
    assert not change(changed, "judged by the server").password_unchecked
    with pytest.raises(SqlError, match="used before"):
        change(changed, ready)
    with pytest.raises(SqlError, match="used before"):
        change(changed, "hashed by the client")
    with pytest.raises(SqlError, match="not accepted"):
        change(role, ready, policy=PasswordPolicy(prehashed_accepted=False))
    with pytest.raises(SqlError, match="equal user name"):
        change(role, str(make_verifier("app", iterations=FAST)))
    with pytest.raises(SqlError, match="16 bytes"):
        change(role, str(make_verifier("hashed oddly", salt=b"short", iterations=FAST)))
    with pytest.raises(SqlError, match="cannot overlap"):
        change(change(role, "first of two passwords"), ready, overlap=5_000)


def test_two_passwords_share_a_challenge(role: Role) -> None:
    first = change(role, "first of two passwords")
    both = change(first, "second of two passwords", overlap=5_000, now=2_000)
    old, new = parse_verifier(first.verifier or ""), parse_verifier(both.verifier or "")
    assert old is not None
    assert new is not None
    assert (old.salt, old.iterations) == (new.salt, new.iterations)
    assert old.stored_key != new.stored_key
    challenger = Challenger(b"k" * 32, list)
    during = challenger.challenge("app", both, 4_999)
    assert during.verifiers == (new, old)
    after = challenger.challenge("app", both, 5_000)
    assert after.verifiers[0] == new
    assert after.verifiers[1] not in (new, old)
    assert after.verifiers[1].salt == new.salt
    for name, found in (("app", first), ("ghost", None), ("bare", role)):
        assert len(challenger.challenge(name, found, 0).verifiers) == 2, "the same work for all"


def test_age_and_expiry(role: Role) -> None:
    role = change(role, "an ageing password", now=DAY_US)
    challenger = Challenger(b"k" * 32, list, lambda: 90 * DAY_US)
    assert not challenger.challenge("app", role, 90 * DAY_US).flaw
    assert challenger.challenge("app", role, 92 * DAY_US).flaw == "expired"
    assert not Challenger(b"k" * 32, list).challenge("app", role, 99_999 * DAY_US).flaw


# ---------------------------------------------------------------- a server


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(
        tmp_path_factory.mktemp("passwords"), tls_required="remote", login_lockout="off",
        password_max_age="36500",
    )  # fmt: skip
    running.start()
    yield running
    assert running.stop() == 0


def enters(server: Server, user: str, password: str) -> bool:
    return isinstance(logged_in(server, user, password), m.ReadyForQuery)


def test_rotation(plain: Server) -> None:
    run_as_admin(
        plain,
        "create role app login password 'the old password'",
        "alter role app password 'the new password' retain current password for '1 hour'",
    )
    assert enters(plain, "app", "the old password")
    assert enters(plain, "app", "the new password")
    assert not enters(plain, "app", "another password")
    # Its own owner may rotate it, and end the overlap.
    with plain.connect(user="app", password="the new password") as own:
        own.execute("alter role app discard old password")
        assert not enters(plain, "app", "the old password")
        own.execute("alter user app password 'a third password' retain current password")
        assert enters(plain, "app", "the new password")
        own.execute("alter role app password 'a fourth password'")
        assert not enters(plain, "app", "a third password"), "without RETAIN the old one ends"
        assert not enters(plain, "app", "the new password")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            own.execute("alter role postgres password 'taken over by me'")
    assert "User app password changed" in plain.log_path.read_text()
    assert "the new password" not in plain.log_path.read_text()


@pytest.mark.parametrize(
    ("statement", "sqlstate"),
    [
        ("alter role spare retain current password", "42601"),
        ("alter role spare password null retain current password", "42601"),
        ("alter role spare password 'a fine password' retain current password", "55000"),
        ("alter role spare password 'x'", "22023"),
        ("create role spare2 password 'x'", "22023"),
        ("alter role spare password 'a fine password' password 'and another'", "42601"),
    ],
)
def test_refused_statements(plain: Server, statement: str, sqlstate: str) -> None:
    with plain.connect() as admin:
        admin.execute("drop role if exists spare")
        admin.execute("create role spare")
        with pytest.raises(psycopg.Error) as caught:
            admin.execute(statement.encode())
        assert caught.value.sqlstate == sqlstate


def test_overlaps_have_an_end(plain: Server) -> None:
    with plain.connect() as admin:
        admin.execute("create role timed login password 'the old password'")
        for wrong in ("-1 day", "0", "2 years", "soon"):
            with pytest.raises(psycopg.Error):
                admin.execute(
                    f"alter role timed password 'the new password' "
                    f"retain current password for '{wrong}'".encode()
                )
        assert enters(plain, "timed", "the old password")


def test_the_policy_is_for_superusers_to_set(plain: Server) -> None:
    run_as_admin(plain, "create role maker login createrole password 'makes other roles'")
    with plain.connect(user="maker", password="makes other roles") as maker:
        for setting in ("password_min_length", "password_history"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                maker.execute(f"set helios.{setting} = 1".encode())
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            maker.execute("create role made password 'tiny'")
    with plain.connect() as admin:
        admin.execute("set helios.password_min_length = 4")
        admin.execute("create role tiny login password 'tiny-'")
        admin.execute("set scram_iterations = 5000")
        admin.execute("create role slow login password 'counted to 5000'")
        row = admin.execute("select rolpassword from pg_authid where rolname = 'slow'").fetchone()
        assert row is not None
        assert row[0].startswith("SCRAM-SHA-256$5000:")
    assert enters(plain, "tiny", "tiny-")
    assert enters(plain, "slow", "counted to 5000")


def test_psql_s_own_command(plain: Server) -> None:
    """\\password hashes in psql: taken, unless the setting says no."""
    run_as_admin(plain, "create role typed login")
    done = subprocess.run(
        ["psql", "-XAtq", "-c", "\\password typed"], input="typed into psql\ntyped into psql\n",
        env=plain.libpq_environment(), capture_output=True, text=True, timeout=30,
        start_new_session=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert enters(plain, "typed", "typed into psql")


def test_role_attributes_at_login(plain: Server) -> None:
    run_as_admin(
        plain,
        "create role few login connection limit 1 password 'only one of them'",
        "create role gone login password 'for a short time' valid until '2001-01-01'",
        "create role shut password 'never to log in'",
        "create database narrow connection limit 0",
        "create database closed allow_connections false",
    )
    before = refusals(plain)
    with plain.connect(user="few", password="only one of them"):
        assert text_of(logged_in(plain, "few", "only one of them")) == (
            '53300 too many connections for role "few"'
        )
    assert enters(plain, "few", "only one of them")
    assert text_of(logged_in(plain, "gone", "for a short time")).startswith("28P01")
    assert text_of(logged_in(plain, "shut", "never to log in")) == (
        '28000 role "shut" is not permitted to log in'
    )
    assert text_of(logged_in(plain, "few", "only one of them", database="narrow")) == (
        '53300 too many connections for database "narrow"'
    )
    assert text_of(logged_in(plain, "few", "only one of them", database="closed")).startswith(
        "55000"
    )
    assert refusals(plain).since(before) == {
        ("scram", "connections"): 2, ("scram", "expired"): 1, ("scram", "nologin"): 1,
        ("scram", "database"): 1,
    }  # fmt: skip


def test_settings_at_login(plain: Server) -> None:
    run_as_admin(
        plain,
        "create role tuned login password 'set at every login'",
        "alter role all set lock_timeout = '1s'",
        "alter database postgres set work_mem = '5MB'",
        "alter database postgres set idle_session_timeout = '5min'",
        "alter role tuned set work_mem = '6MB'",
        "alter role tuned in database postgres set search_path = pg_catalog, public",
        "alter role tuned set log_statement = 'all'",
        "alter role tuned set role = 'postgres'",
    )
    with plain.connect(user="tuned", password="set at every login") as tuned:

        def show(name: str) -> object:
            row = tuned.execute(f"show {name}".encode()).fetchone()
            assert row is not None
            return row[0]

        assert [show(name) for name in ("lock_timeout", "idle_session_timeout", "work_mem",
                "search_path", "log_statement")] == [
            "1s", "5min", "6MB", "pg_catalog, public", "all"]  # fmt: skip
        tuned.execute("set work_mem = '9MB'")
        tuned.execute("reset work_mem")
        assert show("work_mem") == "6MB"
        assert tuned.execute("select current_user").fetchone() == ("tuned",), "no member: a warning"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            tuned.execute("alter role tuned set log_statement = 'none'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            tuned.execute("alter role all set work_mem = '1MB'")
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            tuned.execute("alter role tuned set work_mem = 'much'")
    run_as_admin(plain, "grant set on parameter log_statement to tuned")
    with plain.connect(
        user="tuned", password="set at every login", options="-c log_statement=mod"
    ) as tuned:
        assert tuned.execute("show log_statement").fetchone() == ("mod",)
        tuned.execute("alter role tuned set log_statement = 'none'")
    run_as_admin(plain, "alter role all reset all", "alter database postgres reset all")


def test_a_role_dropped_or_closed_between_challenge_and_proof(plain: Server) -> None:
    from tests.security.logins import final_message

    for statement, says in [
        ("alter role brief nologin", '28000 role "brief" is not permitted to log in'),
        ("drop role brief", '28P01 password authentication failed for user "brief"'),
    ]:
        run_as_admin(plain, "create role brief login password 'here and gone'")
        with LoginClient(plain.port) as client:
            challenge = client.challenge("brief")
            run_as_admin(plain, statement)
            client.send(m.SASLResponse(final_message(challenge, "here and gone")))
            assert text_of(client.read()) == says
        run_as_admin(plain, "drop role if exists brief")


# ---------------------------------------------------------------- reset-password


def reset(server: Server, *options: str, given: str | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "heliosd", "reset-password", "--data-dir", str(server.data),
         *options],
        input=given, capture_output=True, text=True, timeout=60, cwd=server.directory,
        env={k: v for k, v in os.environ.items() if not k.startswith("HELIOSDB_")},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_reset_password(own_server: Server) -> None:
    server = own_server
    server.settings = {"tls_required": "remote"}
    assert reset(server)[0] == 2, "there is nothing yet"
    server.start()
    run_as_admin(server, "create role plain login password 'not a superuser'")
    status, _, told = reset(server)
    assert status == 2, "not while a server runs"
    run_as_admin(server, "alter role postgres nologin valid until '2001-01-01'")
    assert not enters(server, "postgres", PASSWORD)
    server.stop()
    status, made, told = reset(server, "--stdin", given="given by its operator\n")
    assert (status, made) == (0, ""), told
    status, made, told = reset(server)
    assert status == 0, told
    assert len(made.strip()) >= 24
    for role, password, says in [
        ("plain", None, "not a superuser"), ("ghost", None, "does not exist"),
        ("postgres", "short", "too short"), ("postgres", "", "too short"),
        ("postgres", made.strip(), "used before"),
    ]:  # fmt: skip
        with pytest.raises(SqlError, match=says):
            reset_password(server.data, KeyFile(), role, password, POLICY, FAST)
    server.start()
    assert enters(server, "postgres", made.strip())
    assert not enters(server, "postgres", PASSWORD)


def test_a_weak_first_password_is_told(own_server: Server) -> None:
    own_server.settings = {"password": "weak", "tls_required": "remote"}
    own_server.start()
    assert enters(own_server, "postgres", "weak")
    log = own_server.log_path.read_text()
    assert "first password is weak" in log
    assert "password is too short" in log
