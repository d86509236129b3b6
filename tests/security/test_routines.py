"""Functions and procedures in SQL, MERGE, WITH, materialised views: whose rights hold in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests.server import Server

SETUP = """
DROP SCHEMA IF EXISTS rt CASCADE;
CREATE SCHEMA rt;
SET search_path = rt;
CREATE TABLE secret (id int PRIMARY KEY, owner text, code text);
INSERT INTO secret VALUES (1, 'rt_reader', 'mine'), (2, 'rt_other', 'theirs');
CREATE TABLE log (seen text);
CREATE TABLE own (id int PRIMARY KEY, code text);
GRANT USAGE ON SCHEMA rt TO rt_reader, rt_owner;
GRANT CREATE ON SCHEMA rt TO rt_owner;
GRANT INSERT, SELECT ON log TO rt_reader;
GRANT ALL ON own TO rt_reader;
GRANT SELECT ON secret TO rt_owner;
CREATE TABLE guarded (id int, owner text, code text);
INSERT INTO guarded SELECT * FROM secret;
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON guarded USING (owner = current_user);
GRANT SELECT, UPDATE, DELETE, INSERT ON guarded TO rt_reader;
CREATE FUNCTION peek() RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT code FROM rt.secret';
CREATE FUNCTION peek_one() RETURNS text LANGUAGE sql AS 'SELECT code FROM rt.secret WHERE id = 2';
CREATE FUNCTION whoami() RETURNS text LANGUAGE sql AS
    $$ SELECT current_user || '/' || session_user $$;
CREATE FUNCTION definer_who() RETURNS text LANGUAGE sql SECURITY DEFINER AS
    $$ SELECT rt.whoami() $$;
CREATE FUNCTION definer_peek() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS
    'SELECT code FROM rt.secret ORDER BY id';
CREATE FUNCTION definer_fails() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1 / 0';
CREATE FUNCTION definer_role() RETURNS text LANGUAGE sql SECURITY DEFINER AS
    $$ SELECT set_config('role', 'rt_other', false) $$;
CREATE FUNCTION definer_path() RETURNS text LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog AS $$ SELECT current_setting('search_path') $$;
CREATE FUNCTION leak(t text) RETURNS bool LANGUAGE sql COST 0.0001 AS
    'INSERT INTO rt.log VALUES ($1) RETURNING true';
CREATE FUNCTION closed() RETURNS int LANGUAGE sql AS 'SELECT 1';
REVOKE ALL ON FUNCTION closed() FROM PUBLIC;
CREATE PROCEDURE closed_procedure() LANGUAGE sql AS 'SELECT 1';
REVOKE ALL ON PROCEDURE closed_procedure() FROM PUBLIC;
CREATE VIEW through AS SELECT rt.closed() AS c;
GRANT SELECT ON through TO rt_reader;
CREATE MATERIALIZED VIEW kept AS SELECT id, owner FROM secret;
"""
ROLES = ("rt_reader", "rt_owner", "rt_other")


@pytest.fixture(scope="module")
def admin(server: Server) -> Iterator[Any]:
    """A superuser's connection to a schema that is made anew."""
    with psycopg.connect(server.conninfo(), autocommit=True, prepare_threshold=None) as found:
        for role in ROLES:
            if not _has(found, role):
                found.execute(f"CREATE ROLE {role}")
        for statement in SETUP.split(";\n"):
            if statement.strip():
                found.execute(statement.encode())
        yield found


def _has(connection: Any, role: str) -> bool:
    query = "SELECT 1 FROM pg_roles WHERE rolname = %s"
    return connection.execute(query, (role,)).fetchone() is not None


@contextmanager
def acting(connection: Any, role: str) -> Iterator[Any]:
    """The connection as another role."""
    connection.execute(f"SET SESSION AUTHORIZATION {role}")
    try:
        yield connection
    finally:
        connection.execute("RESET SESSION AUTHORIZATION")


def refused(connection: Any, statement: str) -> str:
    """The SQLSTATE of a statement that must fail."""
    with pytest.raises(psycopg.Error) as raised:
        connection.execute(statement.encode())
    return str(raised.value.sqlstate)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM rt.peek()",
        "SELECT rt.peek()",
        "SELECT rt.peek_one()",
        "SELECT 1 WHERE 'x' IN (SELECT rt.peek())",
        "SELECT rt.closed()",
        "SELECT * FROM rt.closed()",
        "SELECT * FROM rt.through",
        "CALL rt.closed_procedure()",
        "WITH q AS (SELECT rt.peek_one()) SELECT * FROM q",
        "SELECT * FROM rt.kept",
        "REFRESH MATERIALIZED VIEW rt.kept",
        "MERGE INTO rt.secret s USING rt.own o ON s.id = o.id WHEN MATCHED THEN DELETE",
        (
            "MERGE INTO rt.own o USING rt.secret s ON s.id = o.id"
            " WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.code)"
        ),
        (
            "MERGE INTO rt.own o USING (SELECT 1 AS id) s ON s.id = o.id"
            " WHEN NOT MATCHED THEN INSERT VALUES (1, (SELECT max(code) FROM rt.secret))"
        ),
        "CREATE OR REPLACE FUNCTION rt.closed() RETURNS int LANGUAGE sql AS 'SELECT 2'",
        "DROP FUNCTION rt.peek()",
        "ALTER FUNCTION rt.peek() SECURITY DEFINER",
        "ALTER FUNCTION rt.peek() OWNER TO rt_reader",
        "SELECT rt.definer_role()",
    ],
)
def test_what_a_reader_may_not(admin: Any, statement: str) -> None:
    """A body runs with the caller's rights unless its owner lent his."""
    with acting(admin, "rt_reader"):
        assert refused(admin, statement) == "42501"


def test_security_definer(admin: Any) -> None:
    """The owner's rights, for the time of the call, whatever happens in it."""
    with acting(admin, "rt_reader"):
        found = admin.execute("SELECT rt.definer_who(), rt.whoami(), current_user").fetchone()
        assert found == ("postgres/rt_reader", "rt_reader/rt_reader", "rt_reader")
        rows = admin.execute("SELECT * FROM rt.definer_peek()").fetchall()
        assert rows == [("mine",), ("theirs",)]
        assert refused(admin, "SELECT rt.definer_fails()") == "22012"
        assert admin.execute("SELECT current_user").fetchone() == ("rt_reader",)
        assert refused(admin, "SELECT * FROM rt.secret") == "42501"
        path = admin.execute("SELECT rt.definer_path(), current_setting('search_path')").fetchone()
        assert path[0] == "pg_catalog"
        assert path[1] != "pg_catalog"


def test_a_plan_of_one_role_serves_no_other(admin: Any) -> None:
    """The same text, prepared by who may run it, is decided anew for who may not."""
    admin.execute("SELECT rt.peek_one()")
    with acting(admin, "rt_reader"):
        assert refused(admin, "SELECT rt.peek_one()") == "42501"
    admin.execute("GRANT SELECT ON rt.secret TO rt_reader")
    with acting(admin, "rt_reader"):
        assert admin.execute("SELECT rt.peek_one()").fetchone() == ("theirs",)
    admin.execute("REVOKE SELECT ON rt.secret FROM rt_reader")
    with acting(admin, "rt_reader"):
        assert refused(admin, "SELECT rt.peek_one()") == "42501"
        assert refused(admin, "SELECT rt.peek_one()") == "42501"


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM rt.guarded WHERE rt.leak(code)",
        "SELECT rt.leak(code) FROM rt.guarded",
        "SELECT * FROM rt.guarded g, LATERAL (SELECT rt.leak(g.code)) l",
        "SELECT * FROM rt.own o RIGHT JOIN rt.guarded g ON rt.leak(g.code)",
        "UPDATE rt.guarded SET code = code WHERE rt.leak(code)",
        "DELETE FROM rt.guarded WHERE rt.leak(code) AND false",
        "WITH q AS (SELECT * FROM rt.guarded) SELECT * FROM q WHERE rt.leak(code)",
        "SELECT count(*) FILTER (WHERE rt.leak(code)) FROM rt.guarded",
        "SELECT max(code) OVER (ORDER BY rt.leak(code)) FROM rt.guarded",
        (
            "MERGE INTO rt.own o USING rt.guarded g ON rt.leak(g.code)"
            " WHEN NOT MATCHED THEN DO NOTHING"
        ),
    ],
)
def test_a_leaky_function_is_shown_no_hidden_row(admin: Any, statement: str) -> None:
    """However cheap a function says it is, policies are asked first."""
    admin.execute("TRUNCATE rt.log")
    with acting(admin, "rt_reader"):
        admin.execute(statement.encode())
    seen = {row[0] for row in admin.execute("SELECT seen FROM rt.log")}
    assert seen <= {"mine"}


def test_merge_keeps_off_hidden_rows(admin: Any) -> None:
    """A guarded target's hidden rows are neither changed nor matched; or MERGE is refused."""
    merge = "MERGE INTO rt.guarded g USING (SELECT 2 AS id) s ON g.id = s.id WHEN MATCHED THEN "
    with acting(admin, "rt_reader"):
        for action in ("DELETE", "UPDATE SET code = 'changed'"):
            try:
                tag = admin.execute(f"{merge}{action}").statusmessage
            except psycopg.Error as error:
                assert error.sqlstate in ("0A000", "42501")
            else:
                assert tag == "MERGE 0"
    found = admin.execute("SELECT code FROM rt.guarded ORDER BY id").fetchall()
    assert found == [("mine",), ("theirs",)]


def test_a_materialized_view_holds_what_its_owner_sees(admin: Any) -> None:
    """REFRESH by somebody else than the owner's superior is refused; its rows are the owner's."""
    admin.execute("ALTER TABLE rt.guarded OWNER TO rt_other")
    admin.execute("GRANT SELECT ON rt.guarded TO rt_owner")
    with acting(admin, "rt_owner"):
        admin.execute("CREATE MATERIALIZED VIEW rt.of_owner AS SELECT code FROM rt.guarded")
    assert admin.execute("SELECT * FROM rt.of_owner").fetchall() == []
    admin.execute("REFRESH MATERIALIZED VIEW rt.of_owner")
    assert admin.execute("SELECT * FROM rt.of_owner").fetchall() == []
