"""Row security without policies: no rows for the role checked, wherever the table is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heliosd.catalog.objects import Policy, Role, Table
from heliosd.errors import SqlError
from heliosd.security.rewrite import secure
from heliosd.sql.bind.state import BindScope
from heliosd.sql.bind.statement import bind_statement
from heliosd.sql.bound import BoundStatement, Const, Delete, Insert, Select, TableRel, Update
from heliosd.sql.parser import parse_statements
from tests.sql.binding import LiteralContext, scope

READER = 501
NEVER = (Const(False, 16),)


class SecuredContext(LiteralContext):
    """A session with its settings and its role."""

    current_role = "reader"
    session_role = "reader"
    current_role_oid = READER
    row_security = "on"

    def setting(self, name: str) -> str:
        assert name == "row_security"
        return self.row_security


def secured_scope(role: int, *policies: Policy, row_security: str = "on") -> BindScope:
    context = SecuredContext()
    context.row_security = row_security
    found = replace(scope(), role=role, context=context)  # type: ignore[arg-type]
    state = found.catalog.shared.state
    table = state.objects[1000]
    assert isinstance(table, Table)
    state.remove(table)
    state.add(replace(table, row_security=True, policies=policies))
    state.add(Role(oid=10, name="postgres", superuser=True))
    state.add(Role(oid=READER, name="reader"))
    return found


def secured(text: str, role: int, *policies: Policy, row_security: str = "on") -> BoundStatement:
    found = secured_scope(role, *policies, row_security=row_security)
    (statement,) = parse_statements(text)
    return secure(bind_statement(statement, found), found)


def test_a_reader_sees_no_rows() -> None:
    query = secured("select x from a", READER).statement
    assert isinstance(query, Select)
    rel = query.from_items[0]
    assert isinstance(rel, TableRel)
    assert rel.guard == NEVER


def test_a_superuser_sees_them() -> None:
    query = secured("select x from a", 10).statement
    assert isinstance(query, Select)
    rel = query.from_items[0]
    assert isinstance(rel, TableRel)
    assert not rel.guard


@pytest.mark.parametrize(
    "text",
    [
        "select 1 from b where exists (select 1 from a)",
        "with q as (select * from a) select * from q",
        "select * from b left join a using (id)",
        "insert into b (id) select id from a",
        "select (select max(id) from a)",
        "select 1 union select id from a",
        "select * from b, lateral (select * from a where a.id = b.id) q",
        "update b set id = 1 where id in (select id from a)",
        "delete from b using a where a.id = b.id",
        "insert into b (id) values (1) returning (select count(*) from a)",
        "values ((select id from a))",
        "select * from b order by (select max(id) from a)",
        "select * from b limit (select max(id) from a)",
    ],
)
def test_no_path_leads_around_it(text: str) -> None:
    shown = repr(secured(text, READER).statement)
    assert "guard=(Const(value=False" in shown.replace("\n", "")


def test_rows_can_be_neither_put_in_nor_changed() -> None:
    insert = secured("insert into a values (1)", READER).statement
    assert isinstance(insert, Insert)
    assert [check.expression for check in insert.checks] == list(NEVER)
    update = secured("update a set id = 1", READER).statement
    assert isinstance(update, Update)
    assert update.guard == NEVER
    assert [check.expression for check in update.checks] == list(NEVER)
    delete = secured("delete from a", READER).statement
    assert isinstance(delete, Delete)
    assert delete.guard == NEVER


def test_restrictive_ones_come_first_and_names_decide_the_order() -> None:
    policies = (
        Policy(oid=1, name="a", using="id = 1"),
        Policy(oid=2, name="b", using="id = 2"),
        Policy(oid=3, name="c", permissive=False, using="id = 3"),
        Policy(oid=4, name="d", permissive=False, using="id = 4", roles=(10,)),
        Policy(oid=5, name="e", command="w", using="id = 5"),
    )
    query = secured("select x from a", READER, *policies).statement
    assert isinstance(query, Select)
    rel = query.from_items[0]
    assert isinstance(rel, TableRel)
    narrowing, seen = rel.guard
    assert "value=3" in repr(narrowing)
    numbers = [part.split(",")[0] for part in repr(seen).split("value=")[1:]]
    assert numbers == ["2", "1"]


def test_row_security_off_is_an_error_where_policies_apply() -> None:
    secured("select x from a", 10, row_security="off")
    secured("select id from b", READER, row_security="off")
    with pytest.raises(SqlError) as caught:
        secured("select x from a", READER, row_security="off")
    assert caught.value.sqlstate == "42501"


def test_a_policy_that_reads_its_own_table_never_ends() -> None:
    policy = Policy(oid=1, name="p", using="EXISTS ( SELECT 1 FROM public.a a_1)")
    with pytest.raises(SqlError) as caught:
        secured("select x from a", READER, policy)
    assert caught.value.sqlstate == "42P17"
