"""PRIMARY KEY, UNIQUE and CREATE INDEX as `Index` and `Constraint` objects not yet made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from heliosd.catalog.objects import Column, Constraint, Index, IndexKey, Reference, Table
from heliosd.catalog.views.opclasses import opclass_named
from heliosd.errors import SqlError, not_supported
from heliosd.execute.utility.choose_names import choose_name, joined_columns
from heliosd.execute.utility.options import INDEX_OPTIONS, storage_options
from heliosd.execute.utility.physical import new_tree_id
from heliosd.execute.utility.stored_text import bind_index_expression, bind_index_predicate
from heliosd.sql.bind.expression import collation_oid
from heliosd.sql.bind.targets import UNNAMED, figure_name
from heliosd.sql.tree import table as tree
from heliosd.sql.tree.modify import IndexElement
from heliosd.sql.tree.window import NullsOrder, SortDirection

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

KEYS_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class NewKey:
    """An index with the constraint that it serves (None for CREATE INDEX)."""

    index: Index
    constraint: Constraint | None


def key_constraint(
    session: SessionServices,
    table: Table,
    written: tree.Constraint,
    columns: Sequence[str],
    is_taken: Callable[[str], bool],
) -> NewKey:
    """PRIMARY KEY or UNIQUE over `columns`; 42703, 42701, 42P16 as PostgreSQL has them."""
    primary = written.kind is tree.ConstraintKind.PRIMARY
    words = "primary key" if primary else "unique"
    if written.deferrable or written.initially_deferred:
        raise not_supported(f"DEFERRABLE on a {words} constraint", position=written.position)
    keys: list[IndexKey] = []
    for name in columns:
        column = key_column(table, name, written.position)
        if any(key.attnum == column.attnum for key in keys):
            raise SqlError(
                "42701",
                f'column "{name}" appears twice in {words} constraint',
                position=written.position,
            )
        check_indexable(session, column.name, column.type_oid)
        keys.append(IndexKey(attnum=column.attnum, collation=column.collation))
    included = tuple(key_column(table, x, written.position).attnum for x in written.include)
    if written.name is not None:
        name = written.name
        if is_taken(name):
            raise SqlError("42P07", f'relation "{name}" already exists')
    elif primary:
        name = choose_name(table.name, None, "pkey", is_taken)
    else:
        joined = joined_columns([*columns, *written.include])
        name = choose_name(table.name, joined, "key", is_taken)
    edit = session.catalog_edit()
    index_oid, constraint_oid = edit.new_oid(), edit.new_oid()
    index = Index(
        oid=index_oid,
        name=name,
        keys=tuple(keys),
        included=included,
        tree_id=0 if primary else new_tree_id(session),
        unique=True,
        primary=primary,
        nulls_not_distinct=written.nulls_not_distinct,
        constraint=constraint_oid,
        options=storage_options(written.options, INDEX_OPTIONS),
    )
    constraint = Constraint(
        oid=constraint_oid,
        name=name,
        kind="p" if primary else "u",
        columns=tuple(key.attnum for key in keys),
        index=index_oid,
    )
    return NewKey(index, constraint)


def key_column(table: Table, name: str, position: int = 0) -> Column:
    """A column that a key names; 42703."""
    column = table.column_by_name.get(name)
    if column is None:
        raise SqlError("42703", f'column "{name}" named in key does not exist', position=position)
    return column


def check_indexable(session: SessionServices, shown: str, type_oid: int) -> None:
    """42704 for a type without an order."""
    known = session.catalog.types.by_oid.get(type_oid)
    if known is not None and known.key is None:
        raise SqlError(
            "42704",
            f'data type {known.display} has no default operator class for access method "btree"',
            hint="You must specify an operator class for the index or define a default operator "
            "class for the data type.",
        )


def build_index(
    session: SessionServices,
    table: Table,
    statement: tree.CreateIndex,
    is_taken: Callable[[str], bool],
) -> Index:
    """CREATE INDEX's index; its tree does not exist yet."""
    check_method(session, statement.access_method, statement.unique)
    if len(statement.elements) + len(statement.include) > KEYS_MAX:
        raise SqlError("54011", f"cannot use more than {KEYS_MAX} columns in an index")
    references: dict[Reference, None] = {}
    keys = tuple(_index_key(session, table, each, references) for each in statement.elements)
    predicate = None
    if statement.where is not None:
        bound = bind_index_predicate(session, table, statement.where)
        predicate = bound.text
        references.update(dict.fromkeys(bound.references))
    included = tuple(_included(table, each) for each in statement.include)
    return Index(
        oid=session.catalog_edit().new_oid(),
        name=statement.name or _index_name(table, statement, is_taken),
        keys=keys,
        included=included,
        tree_id=new_tree_id(session),
        unique=statement.unique,
        nulls_not_distinct=statement.nulls_not_distinct,
        predicate=predicate,
        references=tuple(references),
        options=storage_options(statement.options, INDEX_OPTIONS),
    )


def check_method(session: SessionServices, method: str, unique: bool) -> None:  # noqa: FBT001
    """btree is what there is; a hash index is served by one (with a notice), others are 0A000."""
    if method in ("btree", ""):
        return
    if method == "hash":
        if unique:
            raise SqlError("0A000", 'access method "hash" does not support unique indexes')
        session.notice("hash indexes are kept as btree indexes", sqlstate="00000")
        return
    if method in ("gin", "gist", "spgist", "brin"):
        raise not_supported(f'index access method "{method}"')
    raise SqlError("42704", f'access method "{method}" does not exist')


def _index_key(
    session: SessionServices,
    table: Table,
    element: IndexElement,
    references: dict[Reference, None],
) -> IndexKey:
    descending = element.direction is SortDirection.DESC
    nulls_first = descending
    if element.nulls is not NullsOrder.DEFAULT:
        nulls_first = element.nulls is NullsOrder.FIRST
    opclass = _opclass(element)
    if element.name is not None:
        column = table.column_by_name.get(element.name)
        if column is None:
            raise SqlError(
                "42703", f'column "{element.name}" does not exist', position=element.position
            )
        attnum, expression = column.attnum, None
        type_oid, typmod, collation = column.type_oid, column.typmod, column.collation
    else:
        assert element.expression is not None
        bound = bind_index_expression(session, table, element.expression)
        references.update(dict.fromkeys(bound.references))
        attnum, expression = 0, bound.text
        type_oid, typmod, collation = bound.type, bound.typmod, bound.collation
    check_indexable(session, element.name or "expression", type_oid)
    if element.collation is not None:
        collation = collation_oid(element.collation, element.position)
    return IndexKey(
        attnum=attnum,
        expression=expression,
        type_oid=type_oid if not attnum else 0,
        typmod=typmod if not attnum else -1,
        collation=collation,
        descending=descending,
        nulls_first=nulls_first,
        opclass=opclass,
        name="" if attnum else _expression_name(element),
    )


def _opclass(element: IndexElement) -> str:
    """A named operator class: only those that order as the default one does here."""
    if element.operator_class is None:
        return ""
    name = element.operator_class[-1]
    found = opclass_named(name)
    if found is None:
        raise SqlError(
            "42704",
            f'operator class "{name}" does not exist for access method "btree"',
            position=element.position,
        )
    return "" if found.default else name


def _included(table: Table, element: IndexElement) -> int:
    if element.name is None:
        raise SqlError(
            "0A000", "expressions are not supported in included columns", position=element.position
        )
    column = table.column_by_name.get(element.name)
    if column is None:
        raise SqlError(
            "42703", f'column "{element.name}" does not exist', position=element.position
        )
    return column.attnum


def _expression_name(element: IndexElement) -> str:
    """`lower` for lower(x), `expr` where a SELECT would say ?column?."""
    assert element.expression is not None
    name = figure_name(element.expression)
    return "expr" if name == UNNAMED else name


def _index_name(table: Table, statement: tree.CreateIndex, is_taken: Callable[[str], bool]) -> str:
    """`t_a_b_idx`; a key that is an expression counts as `expr` or the function's name."""
    names: list[str] = []
    for element in (*statement.elements, *statement.include):
        base = name = element.name or _expression_name(element)
        number = 0
        while name in names:
            number += 1
            name = f"{base}{number}"
        names.append(name)
    return choose_name(table.name, joined_columns(names), "idx", is_taken)
