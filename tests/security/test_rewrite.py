"""Row security without policies: no rows for the role checked, wherever the table is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heliosd.catalog.objects import Role, Table
from heliosd.errors import SqlError
from heliosd.security.rewrite import secure
from heliosd.sql.bind.state import BindScope
from heliosd.sql.bind.statement import bind_statement
from heliosd.sql.bound import BoundStatement, Const, Select, SubqueryRel, TableRel
from heliosd.sql.parser import parse_statements
from tests.sql.binding import scope

READER = 501


def secured_scope() -> BindScope:
    found = scope()
    state = found.catalog.shared.state
    table = state.objects[1000]
    assert isinstance(table, Table)
    state.remove(table)
    state.add(replace(table, row_security=True))
    state.add(Role(oid=10, name="postgres", superuser=True))
    state.add(Role(oid=READER, name="reader"))
    return found


def secured(text: str, role: int) -> BoundStatement:
    found = secured_scope()
    (statement,) = parse_statements(text)
    return secure(bind_statement(statement, found), found.catalog, role)


def test_a_reader_sees_no_rows() -> None:
    query = secured("select x from a", READER).statement
    assert isinstance(query, Select)
    rel = query.from_items[0]
    assert isinstance(rel, SubqueryRel)
    assert rel.barrier
    assert isinstance(rel.query, Select)
    assert rel.query.where == Const(False, 16)


def test_a_superuser_sees_them() -> None:
    query = secured("select x from a", 10).statement
    assert isinstance(query, Select)
    assert isinstance(query.from_items[0], TableRel)


@pytest.mark.parametrize(
    "text",
    [
        "select 1 from b where exists (select 1 from a)",
        "with q as (select * from a) select * from q",
        "select * from b left join a using (id)",
        "insert into b (id) select id from a",
        "select (select max(id) from a)",
        "select 1 union select id from a",
    ],
)
def test_no_path_leads_around_it(text: str) -> None:
    assert "barrier=True" in repr(secured(text, READER).statement)


def test_a_row_cannot_be_put_in() -> None:
    with pytest.raises(SqlError) as caught:
        secured("insert into a values (1)", READER)
    assert caught.value.sqlstate == "42501"
