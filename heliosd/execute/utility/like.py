"""LIKE in CREATE TABLE: columns of another relation, and on request what hangs on them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from heliosd.catalog.objects import Column, ColumnedRelation, Constraint, Reference, Table
from heliosd.errors import SqlError
from heliosd.execute.utility.choose_names import choose_name, joined_columns, relation_taken
from heliosd.execute.utility.columns import NewColumn
from heliosd.execute.utility.names import find_relation, missing_relation, require_privilege
from heliosd.execute.utility.physical import new_tree_id
from heliosd.execute.utility.table_builder import TableBuilder
from heliosd.execute.utility.table_keys import NewKey
from heliosd.sql.tree.table import TableLike

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

_EVERYTHING = (
    "comments", "compression", "constraints", "defaults", "generated", "identity", "indexes",
    "statistics", "storage",
)  # fmt: skip


def included_options(element: TableLike) -> frozenset[str]:
    """What INCLUDING and EXCLUDING leave, in the order written."""
    chosen: set[str] = set()
    for option, included in element.options:
        names = _EVERYTHING if option == "all" else (option,)
        if included:
            chosen.update(names)
        else:
            chosen.difference_update(names)
    return frozenset(chosen)


def copy_like(session: SessionServices, builder: TableBuilder, element: TableLike) -> None:
    """Add the columns of `element.relation`, attnums renumbered past its dropped columns."""
    source = find_relation(session, element.relation)
    if source is None:
        raise missing_relation(session, element.relation)
    if not isinstance(source, ColumnedRelation):
        raise SqlError("42809", f'relation "{source.name}" is invalid in LIKE clause')
    require_privilege(session, source, "r")
    options = included_options(element)
    renumbered: dict[int, int] = {}
    for column in source.live_columns:
        attnum = builder.next_attnum
        renumbered[column.attnum] = attnum
        builder.add_column(_copied(session, column, attnum, builder, options))
    for new in builder.columns:
        new.column = _renumber_references(new.column, source.oid, builder, renumbered)
    if isinstance(source, Table):
        if "constraints" in options:
            for check in source.checks:
                builder.constraints.append(
                    _copied_check(session, check, source, builder, renumbered)
                )
        if "indexes" in options:
            for key in _copied_indexes(session, source, builder, renumbered):
                builder.add_key(key)


def _copied(
    session: SessionServices,
    column: Column,
    attnum: int,
    builder: TableBuilder,
    options: frozenset[str],
) -> NewColumn:
    keep_default = ("generated" if column.generated else "defaults") in options
    identity = column.identity if "identity" in options else ""
    new = Column(
        attnum=attnum,
        name=column.name,
        type_oid=column.type_oid,
        typmod=column.typmod,
        not_null=column.not_null,
        collation=column.collation,
        identity=identity,
        storage=column.storage if "storage" in options else "",
        comment=column.comment if "comments" in options else None,
    )
    if column.default is not None and keep_default:
        new = replace(
            new,
            default=column.default,
            default_oid=session.catalog_edit().new_oid(),
            default_references=column.default_references,
            generated=column.generated,
        )
    return NewColumn(new, sequence_type=column.type_oid if identity else 0)


def _renumber_references(
    column: Column, source: int, builder: TableBuilder, renumbered: dict[int, int]
) -> Column:
    """A copied generated column leans on the new table's columns."""
    if not column.generated:
        return column
    references = tuple(
        Reference(builder.table.oid, renumbered[r.attnum]) if r.oid == source else r
        for r in column.default_references
    )
    return replace(column, default_references=references)


def _copied_check(
    session: SessionServices,
    check: Constraint,
    source: Table,
    builder: TableBuilder,
    renumbered: dict[int, int],
) -> Constraint:
    return replace(
        check,
        oid=session.catalog_edit().new_oid(),
        columns=tuple(renumbered[attnum] for attnum in check.columns),
        references=tuple(
            Reference(builder.table.oid, renumbered[r.attnum]) if r.oid == source.oid else r
            for r in check.references
        ),
    )


def _copied_indexes(
    session: SessionServices, source: Table, builder: TableBuilder, renumbered: dict[int, int]
) -> list[NewKey]:
    edit = session.catalog_edit()
    keys: list[NewKey] = []
    for index in source.indexes:
        names = [source.column(a).name if a else "expr" for a in index.attnums]
        taken = [key.index.name for key in keys] + [x.name for x in builder.indexes]
        is_taken = relation_taken(session.catalog, builder.schema.oid, taken)
        label = "pkey" if index.primary else ("key" if index.constraint else "idx")
        column = None if index.primary else joined_columns(names)
        name = choose_name(builder.table.name, column, label, is_taken)
        oid, constraint_oid = edit.new_oid(), edit.new_oid() if index.constraint else 0
        copied = replace(
            index,
            oid=oid,
            name=name,
            keys=tuple(
                replace(key, attnum=renumbered[key.attnum] if key.attnum else 0)
                for key in index.keys
            ),
            included=tuple(renumbered[attnum] for attnum in index.included),
            tree_id=0 if index.primary else new_tree_id(session),
            constraint=constraint_oid,
            references=tuple(
                Reference(builder.table.oid, renumbered[r.attnum]) if r.oid == source.oid else r
                for r in index.references
            ),
            comment=None,
        )
        old = source.constraint_by_oid(index.constraint)
        constraint = None
        if old is not None:
            constraint = replace(
                old, oid=constraint_oid, name=name, index=oid,
                columns=tuple(renumbered[a] for a in old.columns), comment=None,
            )  # fmt: skip
        keys.append(NewKey(copied, constraint))
    return keys
