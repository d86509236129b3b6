"""Row locks between sessions: NOWAIT, SKIP LOCKED, waiting, and READ COMMITTED's recheck."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.server import Server


@pytest.fixture
def sessions(server: Server) -> Iterator[tuple[Any, Any]]:
    """Two sessions and a table of three rows."""
    with (
        psycopg.connect(server.conninfo(), autocommit=True) as one,
        psycopg.connect(server.conninfo(), autocommit=True) as two,
    ):
        one.execute("DROP TABLE IF EXISTS locked")
        one.execute("CREATE TABLE locked (id int PRIMARY KEY, v int, w int UNIQUE)")
        one.execute("INSERT INTO locked VALUES (1, 10, 1), (2, 20, 2), (3, 30, 3)")
        for each in (one, two):
            each.execute("SET statement_timeout = '10s'")
        yield one, two


class Later(threading.Thread):
    """A statement that is expected to wait."""

    def __init__(self, connection: Any, statement: str) -> None:
        super().__init__()
        self.connection, self.statement = connection, statement
        self.rows: list[Any] | None = None
        self.error: psycopg.Error | None = None
        self.start()

    def run(self) -> None:
        try:
            cursor = self.connection.execute(self.statement)
            self.rows = cursor.fetchall() if cursor.description else [cursor.statusmessage]
        except psycopg.Error as error:
            self.error = error

    def finished(self) -> list[Any]:
        self.join(10)
        assert not self.is_alive(), "it still waits"
        if self.error is not None:
            raise self.error
        assert self.rows is not None
        return self.rows


def test_nowait(sessions: tuple[Any, Any]) -> None:
    one, two = sessions
    with one.transaction():
        one.execute("SELECT * FROM locked WHERE id = 1 FOR UPDATE")
        with pytest.raises(psycopg.errors.LockNotAvailable) as caught:
            two.execute("SELECT * FROM locked WHERE id = 1 FOR UPDATE NOWAIT")
    assert caught.value.diag.message_primary == (
        'could not obtain lock on row in relation "locked"'
    )


def test_skip_locked(sessions: tuple[Any, Any]) -> None:
    one, two = sessions
    with one.transaction():
        one.execute("SELECT * FROM locked WHERE id = 1 FOR UPDATE")
        found = two.execute("SELECT id FROM locked ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED")
        assert found.fetchall() == [(2,)]


def test_share_locks_go_together(sessions: tuple[Any, Any]) -> None:
    one, two = sessions
    with one.transaction():
        one.execute("SELECT * FROM locked WHERE id = 1 FOR SHARE")
        assert two.execute("SELECT id FROM locked WHERE id = 1 FOR SHARE NOWAIT").fetchall()
        with pytest.raises(psycopg.errors.LockNotAvailable):
            two.execute("SELECT id FROM locked WHERE id = 1 FOR UPDATE NOWAIT")


def test_an_update_waits_and_adds_to_the_newest_version(sessions: tuple[Any, Any]) -> None:
    one, two = sessions
    with one.transaction():
        one.execute("UPDATE locked SET v = v + 1 WHERE id = 1")
        later = Later(two, "UPDATE locked SET v = v + 100 WHERE id = 1 RETURNING v")
        later.join(0.3)
        assert later.is_alive()
    assert later.finished() == [(111,)]


def test_recheck_leaves_out_what_no_longer_matches(sessions: tuple[Any, Any]) -> None:
    one, two = sessions
    with one.transaction():
        one.execute("UPDATE locked SET v = 0 WHERE id = 1")
        later = Later(two, "DELETE FROM locked WHERE v >= 10 RETURNING id")
        later.join(0.3)
        assert later.is_alive()
    assert sorted(later.finished()) == [(2,), (3,)]


def test_recheck_of_a_join(sessions: tuple[Any, Any]) -> None:
    one, two = sessions
    with one.transaction():
        one.execute("UPDATE locked SET w = 50 WHERE id = 2")
        later = Later(
            two,
            "UPDATE locked l SET v = x.n FROM (VALUES (2, 7), (3, 8)) x(w, n) "
            "WHERE x.w = l.w RETURNING l.id, l.v",
        )
        later.join(0.3)
        assert later.is_alive()
    assert later.finished() == [(3, 8)]


def test_for_update_gives_the_newest_row(sessions: tuple[Any, Any]) -> None:
    one, two = sessions
    with one.transaction():
        one.execute("UPDATE locked SET v = 99 WHERE id = 3")
        later = Later(two, "SELECT id, v FROM locked WHERE id = 3 FOR UPDATE")
        later.join(0.3)
        assert later.is_alive()
    assert later.finished() == [(3, 99)]


def test_a_unique_key_waits_for_who_inserts_it(sessions: tuple[Any, Any]) -> None:
    one, two = sessions
    with one.transaction(force_rollback=True):
        one.execute("INSERT INTO locked VALUES (9, 0, 9)")
        later = Later(two, "INSERT INTO locked VALUES (10, 0, 9) RETURNING id")
        later.join(0.3)
        assert later.is_alive()
    assert later.finished() == [(10,)]


def test_a_unique_key_is_refused_after_its_commit(sessions: tuple[Any, Any]) -> None:
    one, two = sessions
    with one.transaction():
        one.execute("INSERT INTO locked VALUES (9, 0, 9)")
        later = Later(two, "INSERT INTO locked VALUES (10, 0, 9)")
        later.join(0.3)
        assert later.is_alive()
    with pytest.raises(psycopg.errors.UniqueViolation):
        later.finished()


def test_a_foreign_key_waits_for_the_parents_end(sessions: tuple[Any, Any]) -> None:
    one, two = sessions
    one.execute("DROP TABLE IF EXISTS locked_child")
    one.execute("CREATE TABLE locked_child (id int PRIMARY KEY, p int REFERENCES locked)")
    with one.transaction():
        one.execute("DELETE FROM locked WHERE id = 3")
        later = Later(two, "INSERT INTO locked_child VALUES (1, 3)")
        later.join(0.3)
        assert later.is_alive()
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        later.finished()
    one.execute("DROP TABLE locked_child")


def test_on_conflict_waits_and_updates(sessions: tuple[Any, Any]) -> None:
    one, two = sessions
    with one.transaction():
        one.execute("INSERT INTO locked VALUES (7, 1, 7)")
        later = Later(
            two,
            "INSERT INTO locked VALUES (7, 5, 70) "
            "ON CONFLICT (id) DO UPDATE SET v = locked.v + excluded.v RETURNING v",
        )
        later.join(0.3)
        assert later.is_alive()
    assert later.finished() == [(6,)]


def test_repeatable_read_refuses_a_changed_row(sessions: tuple[Any, Any]) -> None:
    one, two = sessions
    with pytest.raises(psycopg.errors.SerializationFailure), two.transaction():
        two.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        two.execute("SELECT count(*) FROM locked")
        one.execute("UPDATE locked SET v = 1 WHERE id = 1")
        two.execute("UPDATE locked SET v = 2 WHERE id = 1")
