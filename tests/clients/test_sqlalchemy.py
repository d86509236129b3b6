"""SQLAlchemy makes tables and reflects them: the same here and on PostgreSQL 15."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from tests.server import Server

METADATA = sa.MetaData(schema="reflected")
sa.Table(
    "users",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(50), nullable=False, unique=True, comment="what to say"),
    sa.Column("amount", sa.Numeric(10, 2), server_default="0"),
    sa.Column("made", sa.DateTime(timezone=True), server_default=sa.func.now()),
    sa.Column("data", sa.LargeBinary),
    sa.Column("ok", sa.Boolean, server_default=sa.true()),
    sa.Column("twice", sa.Numeric, sa.Computed("amount * 2")),
    sa.CheckConstraint("amount >= 0", name="amount_ok"),
    comment="those who use it",
)
sa.Table(
    "orders",
    METADATA,
    sa.Column("id", sa.BigInteger, sa.Identity(start=10), primary_key=True),
    sa.Column("user_id", sa.ForeignKey("reflected.users.id", ondelete="CASCADE")),
    sa.Column("day", sa.Date, index=True),
    sa.Column("js", sa.JSON),
    sa.Column("f", sa.Float),
    sa.Column("numbers", sa.ARRAY(sa.Integer)),
    sa.Column("key", sa.Uuid),
    sa.UniqueConstraint("user_id", "day", name="one_a_day", deferrable=None),
    sa.Index("by_user", "user_id", sa.text("lower(f::text)"), postgresql_where=sa.text("f > 1")),
)
TABLES = ("users", "orders")
ASPECTS = (
    "get_columns", "get_pk_constraint", "get_foreign_keys", "get_indexes",
    "get_unique_constraints", "get_check_constraints", "get_table_comment", "get_table_options",
)  # fmt: skip


def engine(conninfo: str) -> sa.Engine:
    return sa.create_engine(
        "postgresql+psycopg://", connect_args=psycopg.conninfo.conninfo_to_dict(conninfo)
    )


@pytest.fixture(scope="module")
def engines(server: Server, postgres_dsn: str) -> Iterator[tuple[sa.Engine, sa.Engine]]:
    """Both, with the same tables in a schema of their own."""
    both = engine(server.conninfo()), engine(postgres_dsn)
    for each in both:
        with each.begin() as connection:
            connection.execute(sa.schema.CreateSchema("reflected"))
            METADATA.create_all(connection)
            connection.exec_driver_sql(
                "create view reflected.names as select name from reflected.users"
            )
    yield both
    for each in both:
        with each.begin() as connection:
            connection.execute(sa.schema.DropSchema("reflected", cascade=True))
        each.dispose()


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("aspect", ASPECTS)
def test_reflection_as_postgres(
    engines: tuple[sa.Engine, sa.Engine], table: str, aspect: str
) -> None:
    def look(of: sa.Engine) -> str:
        found: Any = getattr(sa.inspect(of), aspect)(table, schema="reflected")
        return repr(found)

    assert look(engines[0]) == look(engines[1])


def test_names_as_postgres(engines: tuple[sa.Engine, sa.Engine]) -> None:
    def look(of: sa.Engine) -> list[Any]:
        inspector = sa.inspect(of)
        return [
            sorted(inspector.get_table_names("reflected")),
            inspector.get_view_names("reflected"),
            inspector.get_view_definition("names", "reflected"),
            sorted(inspector.get_sequence_names("reflected")),
            inspector.get_enums("reflected"),
            inspector.has_table("users", "reflected"),
            inspector.has_table("nosuch", "reflected"),
            "reflected" in inspector.get_schema_names(),
            inspector.default_schema_name,
        ]

    assert look(engines[0]) == look(engines[1])


def test_whole_metadata(engines: tuple[sa.Engine, sa.Engine]) -> None:
    ours = engines[0]
    reflected = sa.MetaData()
    reflected.reflect(ours, schema="reflected", views=True)
    assert sorted(reflected.tables) == ["reflected.names", "reflected.orders", "reflected.users"]
    users = reflected.tables["reflected.users"]
    with ours.begin() as connection:
        rows = connection.execute(
            users.insert().returning(users.c.id, users.c.twice, sort_by_parameter_order=True),
            [{"name": "a", "amount": 1}, {"name": "b", "amount": 2}],
        ).all()
        assert [row.twice for row in rows] == [2, 4]
        found = connection.execute(sa.select(users.c.name).order_by(users.c.id.desc())).scalars()
        assert list(found) == ["b", "a"]
