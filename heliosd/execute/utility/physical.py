"""Tables and indexes as storage trees: their specs, made and dropped with the catalog objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Literal

from helios_storage.spec import TreeId, TreeSpec
from heliosd.catalog.objects import Column, Index, Table
from heliosd.errors import not_supported

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.types.registry import TypeRegistry

INTEGER_KEYS: Final = frozenset({20, 21, 23})
"""Types whose single primary key column is the tree's int key itself."""


def key_kind(columns: Sequence[Column], key: Sequence[int]) -> Literal["int", "bytes", "row"]:
    """How a table with this primary key (attnums; () for none) is keyed."""
    if not key:
        return "row"
    if len(key) == 1 and columns[key[0] - 1].type_oid in INTEGER_KEYS:
        return "int"
    return "bytes"


def shapes(types: TypeRegistry, columns: Iterable[Column]) -> str:
    """The storage shapes of a table's columns, dropped ones included."""
    return "".join(shape(types, column) for column in columns)


def shape(types: TypeRegistry, column: Column) -> str:
    """One column's shape; a dropped column keeps its type and so its slot."""
    known = types.by_oid.get(column.type_oid)
    if known is None:
        raise not_supported(f'the type of column "{column.name}"')
    return known.shape


def table_spec(types: TypeRegistry, table: Table) -> TreeSpec:
    """The spec of a table's tree as it is when made anew."""
    return TreeSpec(
        TreeId(table.tree_id),
        "bytes" if table.key_kind == "bytes" else "int",
        shapes(types, table.columns),
        temporary=table.persistence == "t",
    )


def index_spec(table: Table, index: Index) -> TreeSpec:
    """The spec of an index's tree: memcomparable keys, rows that hold the locator."""
    return TreeSpec(
        TreeId(index.tree_id),
        "bytes",
        "b" if table.key_kind == "bytes" else "q",
        temporary=table.persistence == "t",
    )


def create_trees(session: SessionServices, table: Table) -> None:
    """Make the trees of a new table and its indexes."""
    session.transaction.create_tree(table_spec(session.catalog.types, table))
    for index in table.secondary_indexes:
        session.transaction.create_tree(index_spec(table, index))


def drop_trees(session: SessionServices, table: Table) -> None:
    """Drop the trees of a table and its indexes."""
    session.transaction.drop_tree(TreeId(table.tree_id))
    for index in table.secondary_indexes:
        session.transaction.drop_tree(TreeId(index.tree_id))


def new_tree_id(session: SessionServices) -> int:
    """An id that no tree has had."""
    return session.storage.allocate_tree_id()
