"""How a catalog view is declared, and its columns as PostgreSQL has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from heliosd.catalog.objects import (
    C_COLLATION,
    INFORMATION_SCHEMA_OID,
    PG_CATALOG_OID,
    Column,
    SystemView,
)
from heliosd.types.oids import OIDS

if TYPE_CHECKING:
    from heliosd.catalog.views.context import ViewContext

Row: TypeAlias = tuple[Any, ...]
Rows: TypeAlias = Callable[["ViewContext"], Iterator[Row]]

_MARK: Final = "__catalog_view__"
_COLLATABLE: Final = frozenset(
    {"pg_node_tree", "name", "text", "varchar", "bpchar", "_text", "_name", "_varchar"}
)


@dataclass(frozen=True, slots=True)
class RelationFact:
    """One relation of pg_catalog or information_schema as PostgreSQL has it."""

    name: str
    schema: str
    oid: int
    kind: str
    row_type: int
    columns: tuple[Column, ...]


def fact_rows(table: str) -> Iterator[list[str]]:
    """The tab-separated lines of a table beside this file."""
    text = files(__package__).joinpath("facts", f"{table}.tsv").read_text(encoding="utf-8")
    for line in text.splitlines():
        yield line.split("\t")


@lru_cache(maxsize=1)
def relation_facts() -> Mapping[str, RelationFact]:
    """By name; the two schemas share no name. PostgreSQL's, and those that heliosd adds."""
    facts = {}
    rows = chain(fact_rows("relations"), fact_rows("helios_relations"))
    for name, schema, oid, kind, row_type, columns in rows:
        facts[name] = RelationFact(
            name, schema, int(oid), kind, int(row_type), tuple(_columns(columns))
        )
    return MappingProxyType(facts)


def _columns(text: str) -> Iterator[Column]:
    for number, declaration in enumerate(text.split(","), 1):
        name, type_name = declaration.split(" ")
        not_null = type_name.endswith("!")
        type_name, _, length = type_name.rstrip("!)").partition("(")
        yield Column(
            attnum=number,
            name=name,
            type_oid=OIDS[type_name],
            typmod=int(length) + 4 if length else -1,
            not_null=not_null,
            collation=C_COLLATION if type_name in _COLLATABLE else 0,
        )


def catalog_view(name: str) -> Callable[[Rows], Rows]:
    """Declare that the function yields the rows of this relation."""

    def mark(function: Rows) -> Rows:
        setattr(function, _MARK, (*getattr(function, _MARK, ()), name))
        return function

    return mark


def declared_views(module: object) -> Iterator[tuple[str, Rows]]:
    """(name, function) of each view that a module declares."""
    for value in vars(module).values():
        for name in getattr(value, _MARK, ()):
            yield name, value


def no_rows(_context: ViewContext) -> Iterator[Row]:
    """The content of a relation about things that this server does not have."""
    return iter(())


def build_view(fact: RelationFact, rows: Rows) -> SystemView:
    """The catalog object of a system relation."""
    information = fact.schema == "information_schema"
    return SystemView(
        oid=fact.oid,
        name=fact.name,
        schema=INFORMATION_SCHEMA_OID if information else PG_CATALOG_OID,
        columns=fact.columns,
        row_type=fact.row_type,
        rows=rows,
        kind="r" if fact.kind == "r" else "v",
    )
