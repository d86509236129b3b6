"""A small catalog to bind against: tables a, b, c and a view, in the schema public."""

from __future__ import annotations

from typing import Any

from heliosd.catalog.bootstrap import system_objects
from heliosd.catalog.lookup import Catalog, SharedCatalog
from heliosd.catalog.objects import (
    PG_CATALOG_OID,
    PUBLIC_OID,
    Column,
    Constraint,
    Database,
    Index,
    IndexKey,
    Schema,
    Table,
    View,
)
from heliosd.functions.builtin import FUNCTIONS
from heliosd.sql.bind.resolve import Resolver
from heliosd.sql.bind.state import BindScope
from heliosd.sql.bind.statement import bind_statement
from heliosd.sql.bound import BoundStatement
from heliosd.sql.parser import parse_statements
from heliosd.types.builtin import TYPES
from heliosd.types.styles import Styles

DATABASE = Database(oid=5, name="postgres")
RESOLVER = Resolver(TYPES, FUNCTIONS)


class LiteralContext:
    """What literals need of a session: its styles, and no names."""

    def __init__(self) -> None:
        self.styles = Styles()
        self.transaction_us = 0
        self.statement_us = 0
        self.catalog = self

    def find_oid(self, kind: str, name: tuple[str, ...]) -> int | None:
        return None


def table(oid: int, name: str, columns: dict[str, tuple[str, int]], **more: Any) -> Table:
    """A table whose first column is its primary key when `key` says so."""
    key = more.pop("key", ())
    indexes: tuple[Index, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    if key:
        keys = tuple(IndexKey(attnum=n) for n in key)
        indexes = (Index(oid=oid + 1, name=f"{name}_pkey", keys=keys, unique=True, primary=True),)
        constraints = (
            Constraint(oid=oid + 2, name=f"{name}_pkey", kind="p", columns=key, index=oid + 1),
        )
    made = tuple(
        Column(
            attnum=number,
            name=column,
            type_oid=TYPES.named(kind).oid,
            typmod=typmod,
            collation=100 if TYPES.named(kind).collatable else 0,
        )
        for number, (column, (kind, typmod)) in enumerate(columns.items(), 1)
    )
    return Table(
        oid=oid,
        name=name,
        schema=PUBLIC_OID,
        database=5,
        version=oid,
        columns=made,
        tree_id=oid,
        key_kind="int" if key else "row",
        primary_key=key,
        indexes=indexes + more.pop("indexes", ()),
        constraints=constraints,
        **more,
    )


def catalog() -> Catalog:
    """The catalog that these tests bind against."""
    shared = SharedCatalog(TYPES, system_objects(()))
    shared.state.add(DATABASE)
    shared.state.add(Schema(oid=PUBLIC_OID, name="public", database=5))
    shared.state.add(table(1000, "a", {"id": ("int4", -1), "x": ("text", -1)}, key=(1,)))
    shared.state.add(table(1100, "b", {"id": ("int4", -1), "y": ("numeric", 327686)}))
    shared.state.add(
        table(
            1200,
            "c",
            {"id": ("int8", -1), "v": ("varchar", 9), "d": ("date", -1), "f": ("float8", -1)},
            key=(1,),
        )
    )
    shared.state.add(
        View(
            oid=1300,
            name="v",
            owner=77,
            schema=PUBLIC_OID,
            database=5,
            version=1,
            columns=(
                Column(attnum=1, name="id", type_oid=23),
                Column(attnum=2, name="n", type_oid=20),
            ),
            query="SELECT a.id, count(*) AS n FROM public.a GROUP BY a.id",
        )
    )
    shared.state.add(
        View(
            oid=1400,
            name="w",
            owner=77,
            schema=PUBLIC_OID,
            database=5,
            version=1,
            columns=(
                Column(attnum=1, name="k", type_oid=23),
                Column(attnum=2, name="up", type_oid=25),
            ),
            query="SELECT a.id AS k, upper(a.x) AS up FROM public.a WHERE (a.id > 0)",
        )
    )
    return Catalog(shared, DATABASE)


def scope(parameter_types: tuple[int, ...] = ()) -> BindScope:
    context: Any = LiteralContext()
    return BindScope(
        catalog(), RESOLVER, (PG_CATALOG_OID, PUBLIC_OID), 10, context, parameter_types
    )


def bind(text: str, parameter_types: tuple[int, ...] = ()) -> BoundStatement:
    (statement,) = parse_statements(text)
    return bind_statement(statement, scope(parameter_types))
