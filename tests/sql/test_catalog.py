"""The catalog by itself: objects as bytes, layers and overlays, names, dependencies, privileges."""

from __future__ import annotations

import threading
import time
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliosd.catalog import acl
from heliosd.catalog.bootstrap import first_objects, system_objects
from heliosd.catalog.codec import decode_object, encode_object
from heliosd.catalog.dependencies import Part, describe, plan_drop
from heliosd.catalog.lookup import Catalog, Overlay, SharedCatalog
from heliosd.catalog.objects import (
    PUBLIC_OID,
    AclItem,
    CatalogObject,
    Column,
    ColumnStatistics,
    Constraint,
    Index,
    IndexKey,
    Reference,
    Role,
    Schema,
    Sequence,
    Statistics,
    Table,
    View,
)
from heliosd.catalog.state import RELATION
from heliosd.catalog.views.builtin import system_views
from heliosd.catalog.views.declare import relation_facts
from heliosd.types.builtin import TYPES
from tests.server import Server


class Counter:
    """Oids for the first objects, as storage's sequence gives them."""

    def __init__(self) -> None:
        self.value = 16384
        self.sequences = self

    def advance(self, _number: int) -> int:
        self.value += 1
        return self.value


@pytest.fixture
def shared() -> SharedCatalog:
    made = SharedCatalog(TYPES, system_objects(system_views()))
    for obj in first_objects(Counter(), "postgres", None):  # type: ignore[arg-type]
        made.state.add(obj)
    return made


@pytest.fixture
def catalog(shared: SharedCatalog) -> Catalog:
    database = shared.database("postgres")
    assert database is not None
    return Catalog(shared, database)


def table(oid: int, name: str, **more: Any) -> Table:
    """A table t (id int primary key, v text) in public."""
    fields: dict[str, Any] = {
        "database": 5,
        "schema": PUBLIC_OID,
        "tree_id": oid,
        "key_kind": "int",
        "primary_key": (1,),
        "columns": (
            Column(attnum=1, name="id", type_oid=23, not_null=True),
            Column(attnum=2, name="v", type_oid=25, collation=100),
        ),
        "indexes": (
            Index(
                oid=oid + 1,
                name=f"{name}_pkey",
                keys=(IndexKey(attnum=1),),
                unique=True,
                primary=True,
                constraint=oid + 2,
            ),
        ),
        "constraints": (
            Constraint(oid=oid + 2, name=f"{name}_pkey", kind="p", columns=(1,), index=oid + 1),
        ),
        "version": 1,
    }
    return Table(oid=oid, name=name, **{**fields, **more})


# -- bytes ----------------------------------------------------------------------------------------

OBJECTS: list[CatalogObject] = [
    table(20000, "t"),
    table(20000, "grün\x00?", comment="'", acl=(AclItem(0, 10, "r"), AclItem(10, 10, "rw", "r"))),
    View(
        oid=1,
        name="v",
        schema=2,
        query="SELECT 1",
        references=(Reference(5), Reference(5, 1)),
        columns=(Column(attnum=1, name="x", type_oid=23),),
    ),
    Sequence(oid=3, name="s", schema=2, store_id=9, owned_by=Reference(4, 1), minimum=-(2**63)),
    Role(
        oid=4,
        name="r",
        superuser=True,
        verifier="SCRAM",
        settings=(("a", "b"),),
        database_settings=((5, "c", "d"),),
    ),
    Schema(oid=5, name="s", database=1),
    Statistics(
        oid=6,
        name="t",
        table=20000,
        rows=5,
        columns=(
            ColumnStatistics(
                attnum=1,
                null_fraction=0.1,
                common_values=(1, "x", b"\x00\xff", Decimal("1.50"), 2.5, True, (1, 2, 3)),
                common_frequencies=(0.5, 1e-300),
                correlation=-1.0,
            ),
        ),
    ),
]


@pytest.mark.parametrize("obj", OBJECTS, ids=lambda obj: type(obj).__name__)
def test_objects_survive_their_bytes(obj: CatalogObject) -> None:
    kind, data = encode_object(obj)
    assert decode_object(kind, data, obj.version) == obj


@given(
    st.text(),
    st.lists(st.tuples(st.text(), st.text())),
    st.none() | st.text(),
    st.integers(-(2**62), 2**62),
)
def test_any_text_survives(
    name: str, options: list[tuple[str, str]], comment: str | None, number: int
) -> None:
    obj = table(20000, name, options=tuple(options), comment=comment, row_sequence=number)
    assert decode_object(*encode_object(obj), 1) == obj


@given(st.binary(max_size=60), st.sampled_from(["table", "role", "nosuch"]))
def test_broken_rows_are_corruption(data: bytes, kind: str) -> None:
    from heliosd.errors import SqlError

    with pytest.raises(SqlError) as caught:
        decode_object(kind, data, 1)
    assert caught.value.sqlstate == "XX001"


# -- layers ---------------------------------------------------------------------------------------


def test_names_and_derived_indexes(catalog: Catalog, shared: SharedCatalog) -> None:
    path = catalog.search_path(("$user", "public"), "postgres")
    assert path.named == (PUBLIC_OID,)
    assert path.creation == PUBLIC_OID
    made = table(20000, "t")
    shared.state.add(made)
    assert catalog.relation(None, "t", path.schemas) is made
    index = catalog.relation("public", "t_pkey", path.schemas)
    assert index is not None
    assert index.oid == 20001
    assert catalog.constraint(20002) == (made, made.constraints[0])
    shared.state.add(table(20000, "renamed", version=2))
    assert catalog.relation(None, "t", path.schemas) is None
    assert catalog.relation(None, "t_pkey", path.schemas) is None
    assert not catalog.is_current(((20000, 1),))
    assert catalog.is_current(((20000, 2),))
    shared.state.remove(catalog.table(20000))
    assert catalog.by_oid(20001) is None
    assert catalog.constraint(20002) is None


def test_an_overlay_is_seen_by_its_session_only(catalog: Catalog, shared: SharedCatalog) -> None:
    other = Catalog(shared, catalog.database)
    first = table(20000, "t")
    shared.state.add(first)
    catalog.overlay = overlay = Overlay()
    overlay.change(first, table(20000, "u", version=7))
    mark = len(overlay.log)
    overlay.change(None, table(20010, "t"))
    key = (RELATION, PUBLIC_OID, "t")
    found = catalog.by_name(key)
    assert found is not None
    assert found.oid == 20010
    assert catalog.version(20000) == 7
    assert other.by_name(key) is first
    overlay.undo_to(mark)
    assert catalog.by_name(key) is None
    assert catalog.by_oid(20010) is None
    overlay.undo_to(0)
    assert catalog.by_name(key) is first


def test_drops_carry_their_dependents(catalog: Catalog, shared: SharedCatalog) -> None:
    key = Constraint(
        oid=20013, name="fk", kind="f", columns=(2,), referenced_table=20000,
        referenced_columns=(1,), index=20001,
    )  # fmt: skip
    shared.state.add(table(20000, "t", referenced_by=(20010,)))
    child = table(20010, "child")
    shared.state.add(table(20010, "child", constraints=(*child.constraints, key)))
    shared.state.add(
        View(oid=20020, name="v", schema=PUBLIC_OID, database=5, query="",
             references=(Reference(20000), Reference(20000, 2)))
    )  # fmt: skip
    shared.state.add(
        Sequence(oid=20030, name="s", schema=PUBLIC_OID, database=5, store_id=1,
                 owned_by=Reference(20000, 1))
    )  # fmt: skip
    path = (PUBLIC_OID,)
    plan = plan_drop(catalog, [Part("object", 20000)])
    assert [describe(catalog, part, path) for part, _ in plan.reported] == [
        "constraint fk on table child",
        "view v",
    ]
    assert set(plan.objects()) == {20000, 20020, 20030}
    column = plan_drop(catalog, [Part("column", 20000, 2)])
    assert [describe(catalog, part, path) for part, _ in column.reported] == ["view v"]


def test_privileges_follow_memberships(catalog: Catalog, shared: SharedCatalog) -> None:
    from heliosd.catalog.objects import Membership

    shared.state.add(Role(oid=30000, name="parent"))
    member = (Membership(role=30000, grantor=10),)
    shared.state.add(Role(oid=30001, name="child", member_of=member))
    shared.state.add(Role(oid=30002, name="apart", member_of=member, inherit=False))
    granted = table(20000, "t", acl=(AclItem(30000, 10, "r"),))
    assert acl.has_privilege(catalog, 30001, granted, "r")
    assert not acl.has_privilege(catalog, 30001, granted, "a")
    assert not acl.has_privilege(catalog, 30002, granted, "r")
    assert acl.is_member(catalog, 30002, 30000)
    assert acl.has_privilege(catalog, 10, granted, "arwdDxt")
    assert acl.format_item(AclItem(30000, 10, "rw", "r"), catalog) == "parent=r*w/postgres"


def test_each_system_relation_has_postgres_columns() -> None:
    views = system_views()
    assert {view.name for view in views} == set(relation_facts())
    by_name = {view.name: view for view in views}
    assert by_name["pg_class"].oid == 1259
    assert [c.name for c in by_name["pg_am"].columns] == ["oid", "amname", "amhandler", "amtype"]


# -- sessions side by side ------------------------------------------------------------------------


def test_one_name_for_two_sessions(server: Server) -> None:
    """The second waits for the first, and finds the name taken or free."""
    with server.connect() as first, server.connect() as second:
        first.execute("begin")
        first.execute("create table race (a int)")
        outcome: list[object] = []

        def create() -> None:
            try:
                second.execute("create table race (b int)")
                outcome.append("made")
            except psycopg.Error as error:
                outcome.append(error.sqlstate)

        waiting = threading.Thread(target=create)
        waiting.start()
        time.sleep(0.2)
        assert not outcome
        first.execute("commit")
        waiting.join(10)
        assert outcome == ["42P07"]
        first.execute("drop table race")


def test_plans_follow_other_sessions_changes(server: Server) -> None:
    with server.connect() as first, server.connect() as second:
        first.execute("create table follow (a int primary key)")
        first.execute("insert into follow values (1)")
        second.prepare_threshold = None
        query = "select * from follow"
        for _ in range(3):
            assert second.execute(query).fetchall() == [(1,)]
        first.execute("alter table follow add column b text default 'x'")
        assert second.execute(query).fetchall() == [(1, "x")]
        first.execute("alter table follow rename to followed")
        with pytest.raises(psycopg.errors.UndefinedTable):
            second.execute(query)
        first.execute("create table follow (z int)")
        assert second.execute(query).fetchall() == []
        second.execute("create temp table follow as select 'temporary' as t")
        assert second.execute(query).fetchall() == [("temporary",)]
        assert first.execute(query).fetchall() == []
        second.execute("drop table follow")
        assert second.execute(query).fetchall() == []
        first.execute("drop table follow, followed")


def test_ddl_waits_for_readers_and_writers(server: Server) -> None:
    with server.connect() as first, server.connect() as second:
        first.execute("create table held (a int primary key)")
        first.execute("begin")
        first.execute("insert into held values (1)")
        second.execute("set lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            second.execute("alter table held add column b int")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            second.execute("create index on held (a)")
        first.execute("commit")
        second.execute("alter table held add column b int")
        second.execute("drop table held")


def test_the_catalog_survives_a_restart(own_server: Server) -> None:
    own_server.start()
    with own_server.connect() as connection:
        connection.execute("create schema s")
        connection.execute("create table s.t (id serial primary key, v text default 'd' unique)")
        connection.execute("create index on s.t (lower(v)) where id > 1")
        connection.execute("create view s.w as select upper(v) as u from s.t")
        connection.execute("comment on table s.t is 'kept'")
        connection.execute("create role kept_role")
        connection.execute("grant select on s.t to kept_role")
        connection.execute("insert into s.t (v) values ('a'), ('b')")
        connection.execute("create temp table gone (a int)")
        connection.execute("create database kept_database")
        connection.execute("analyze s.t")
    own_server.kill()
    own_server.start()
    with own_server.connect() as connection:
        assert connection.execute("select u from s.w order by 1").fetchall() == [("A",), ("B",)]
        row = connection.execute("insert into s.t default values returning id, v").fetchone()
        assert row is not None
        assert row[0] > 2
        assert row[1] == "d"
        row = connection.execute(
            "select obj_description('s.t'::regclass), relacl::text from pg_class "
            "where oid = 's.t'::regclass"
        ).fetchone()
        assert row == ("kept", "{postgres=arwdDxt/postgres,kept_role=r/postgres}")
        assert connection.execute("select reltuples from pg_class where relname = 't'").fetchone()
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("select * from gone")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("insert into s.t (v) values ('a')")
        found = connection.execute(
            "select 1 from pg_database where datname = 'kept_database'"
        ).fetchone()
        assert found == (1,)


def test_lock_table(server: Server) -> None:
    with server.connect() as first, server.connect() as second:
        first.execute("create table locked (a int)")
        first.execute("begin")
        first.execute("lock table locked in share row exclusive mode")
        assert second.execute("select * from locked").fetchall() == []
        second.execute("begin")
        with pytest.raises(psycopg.errors.LockNotAvailable) as caught:
            second.execute("lock table locked in row exclusive mode nowait")
        assert caught.value.diag.message_primary == 'could not obtain lock on relation "locked"'
        second.execute("rollback")
        first.execute("commit")
        first.execute("drop table locked")
