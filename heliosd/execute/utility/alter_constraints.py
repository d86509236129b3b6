"""ALTER TABLE on constraints: add, drop, validate, defer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from helios_storage.spec import TreeId
from heliosd.catalog.dependencies import Part
from heliosd.catalog.objects import Column, Constraint, Index, Table
from heliosd.errors import SqlError, not_supported
from heliosd.execute.dml.shown import shown_row
from heliosd.execute.utility.as_stored import prepare_as_stored
from heliosd.execute.utility.choose_names import relation_taken
from heliosd.execute.utility.drop import drop_parts
from heliosd.execute.utility.foreign_keys import check_supported, foreign_key, note_reference
from heliosd.execute.utility.physical import index_spec
from heliosd.execute.utility.rewrite import (
    build_index_tree,
    contains_nulls,
    fresh_snapshot,
    recluster,
)
from heliosd.execute.utility.security_labels import masked_primary_key
from heliosd.execute.utility.table_builder import (
    check_constraint,
    constraint_exists,
    multiple_primary_keys,
)
from heliosd.execute.utility.table_keys import key_constraint
from heliosd.execute.utility.upkeep import as_owner_of
from heliosd.sql.parser import parse_statements
from heliosd.sql.tree import table as tree
from heliosd.sql.tree.base import DropBehavior
from heliosd.types.quoting import quote_identifier, quote_qualified

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.execute.program import Row


def add_constraint(
    session: SessionServices, oid: int, command: tree.AddConstraint, *, column: str | None = None
) -> None:
    """ADD constraint; rows that exist must satisfy it unless NOT VALID is said."""
    written = command.constraint
    check_supported(written)
    table = session.catalog.table(oid)
    if written.name is not None and table.constraint_by_name(written.name) is not None:
        raise constraint_exists(written.name, table.name)
    columns = (column,) if column is not None else written.columns
    match written.kind:
        case tree.ConstraintKind.CHECK:
            _add_check(session, table, written, column)
        case tree.ConstraintKind.FOREIGN:
            _add_foreign_key(session, table, written, columns)
        case tree.ConstraintKind.PRIMARY | tree.ConstraintKind.UNIQUE:
            if written.index is not None:
                _adopt_index(session, table, written)
            else:
                _add_key(session, table, written, columns)
        case _:
            raise not_supported("this kind of constraint", position=written.position)


def _add_check(
    session: SessionServices, table: Table, written: tree.Constraint, column: str | None
) -> None:
    taken = [c.name for c in table.constraints]
    constraint = check_constraint(session, table, written, taken, column)
    if constraint.validated:
        validate_check(session, table, constraint)
    session.catalog_edit().replace(
        table, replace(table, constraints=(*table.constraints, constraint))
    )


def _add_foreign_key(
    session: SessionServices,
    table: Table,
    written: tree.Constraint,
    columns: tuple[str, ...],
) -> None:
    names = [c.name for c in table.constraints]
    key = foreign_key(session, table, written, columns, lambda name: name in names)
    if key.validated:
        validate_foreign_key(session, table, key)
    changed = replace(table, constraints=(*table.constraints, key))
    if key.referenced_table == table.oid and table.oid not in changed.referenced_by:
        changed = replace(changed, referenced_by=(*changed.referenced_by, table.oid))
    session.catalog_edit().replace(table, changed)
    note_reference(session, changed, key)


def _add_key(
    session: SessionServices, table: Table, written: tree.Constraint, columns: tuple[str, ...]
) -> None:
    primary = written.kind is tree.ConstraintKind.PRIMARY
    if primary and table.primary_key:
        raise multiple_primary_keys(table.name)
    others = [c.name for c in table.constraints]
    is_taken = relation_taken(session.catalog, table.schema, others)
    key = key_constraint(session, table, written, columns, is_taken)
    assert key.constraint is not None
    session.catalog_edit().claim_relation_name(table.schema, key.index.name)
    if primary:
        _make_primary(session, table, key.index, key.constraint)
        return
    session.transaction.create_tree(index_spec(table, key.index))
    build_index_tree(session, table, key.index)
    changed = replace(
        table,
        indexes=(*table.indexes, key.index),
        constraints=(*table.constraints, key.constraint),
    )
    session.catalog_edit().replace(table, changed)


def _make_primary(
    session: SessionServices, table: Table, index: Index, constraint: Constraint
) -> None:
    """The table moves into the order of its new primary key; the columns become NOT NULL."""
    key = index.attnums
    for attnum in key:
        if attnum in table.masks:
            raise masked_primary_key(table.column(attnum).name)
        if not table.column(attnum).not_null:
            _refuse_nulls(session, table, table.column(attnum))
    changed = replace(
        table,
        columns=tuple(replace(c, not_null=True) if c.attnum in key else c for c in table.columns),
        indexes=(*table.indexes, index),
        constraints=(*table.constraints, constraint),
    )
    recluster(session, table, changed, key)


def _refuse_nulls(session: SessionServices, table: Table, column: Column) -> None:
    snapshot = fresh_snapshot(session, table)
    for _keys, rows in snapshot.batches(table.tree_id, columns=(column.attnum - 1,)):
        if (None,) in rows:
            raise contains_nulls(table, column.attnum)
        session.context.check_slice()


def _adopt_index(session: SessionServices, table: Table, written: tree.Constraint) -> None:
    """ADD PRIMARY KEY | UNIQUE USING INDEX: the index takes the constraint's name."""
    primary = written.kind is tree.ConstraintKind.PRIMARY
    index = next((i for i in table.indexes if i.name == written.index), None)
    if index is None:
        raise SqlError("42704", f'index "{written.index}" does not exist')
    if index.constraint:
        raise SqlError("55000", f'index "{index.name}" is already associated with a constraint')
    if not index.unique:
        raise SqlError("42809", f'"{index.name}" is not a unique index')
    if index.predicate is not None:
        raise SqlError("42809", f'"{index.name}" is a partial index')
    if not all(index.attnums):
        raise SqlError("42809", f'index "{index.name}" contains expressions')
    if primary and table.primary_key:
        raise multiple_primary_keys(table.name)
    name = written.name or index.name
    if name != index.name:
        session.notice(
            f'ALTER TABLE / ADD CONSTRAINT USING INDEX will rename index "{index.name}" to "{name}"'
        )
        session.catalog_edit().claim_relation_name(table.schema, name)
    oid = session.catalog_edit().new_oid()
    constraint = Constraint(
        oid=oid,
        name=name,
        kind="p" if primary else "u",
        columns=index.attnums,
        index=index.oid,
    )
    adopted = replace(index, name=name, constraint=oid, primary=primary)
    others = tuple(i for i in table.indexes if i.oid != index.oid)
    if not primary:
        changed = replace(
            table, indexes=(*others, adopted), constraints=(*table.constraints, constraint)
        )
        session.catalog_edit().replace(table, changed)
        return
    session.transaction.drop_tree(TreeId(index.tree_id))
    trimmed = replace(table, indexes=others)
    session.catalog_edit().replace(table, trimmed)
    current = session.catalog.table(table.oid)
    _make_primary(session, current, replace(adopted, tree_id=0), constraint)


# -- validation -----------------------------------------------------------------------------------


def _first_row(session: SessionServices, *words: str) -> Row | None:
    """The first row of a query over the table, seen as it is now that it is locked. Names in it are
    quoted, expressions come from the catalog."""
    session.new_statement_snapshot()
    (statement,) = parse_statements(" ".join((*words, "LIMIT 1")))
    program = prepare_as_stored(session, statement)
    assert program.rows is not None
    for batch in program.rows(session.context, ()):
        for row in batch:
            return row
    return None


def _table_text(session: SessionServices, table: Table) -> str:
    return quote_qualified(session.catalog.schema_name(table.schema), table.name)


def validate_check(session: SessionServices, table: Table, constraint: Constraint) -> None:
    """23514 when a row that exists violates the check."""
    where = f"WHERE NOT ({constraint.expression})"
    with as_owner_of(session, table):
        found = _first_row(session, "SELECT 1 FROM", _table_text(session, table), where)
    if found is not None:
        raise SqlError(
            "23514",
            f'check constraint "{constraint.name}" of relation "{table.name}" is violated by '
            "some row",
            schema=session.catalog.schema_name(table.schema),
            table=table.name,
            constraint=constraint.name,
        )


def validate_foreign_key(session: SessionServices, table: Table, key: Constraint) -> None:
    """23503 when a row that exists refers to nothing."""
    target = (
        table if key.referenced_table == table.oid else session.catalog.table(key.referenced_table)
    )
    ours = [quote_identifier(table.column(a).name) for a in key.columns]
    theirs = [quote_identifier(target.column(a).name) for a in key.referenced_columns]
    joined = " AND ".join(f"p.{b} = c.{a}" for a, b in zip(ours, theirs, strict=True))
    present = " AND ".join(f"c.{a} IS NOT NULL" for a in ours)
    shown = ", ".join(f"c.{a}::text" for a in ours)
    child, parent = _table_text(session, table), _table_text(session, target)
    inner = ("(SELECT 1 FROM", parent, "AS p WHERE", joined, ")")
    row = _first_row(
        session, "SELECT", shown, "FROM", child, "AS c WHERE", present, "AND NOT EXISTS", *inner
    )
    if row is not None:
        shown_key = ""
        if shown_row(session.context, table).sees([a - 1 for a in key.columns]):
            names = ", ".join(table.column(a).name for a in key.columns)
            shown_key = f" ({names})=({', '.join(str(value) for value in row)})"
        raise SqlError(
            "23503",
            f'insert or update on table "{table.name}" violates foreign key constraint '
            f'"{key.name}"',
            detail=f'Key{shown_key} is not present in table "{target.name}".',
            schema=session.catalog.schema_name(table.schema),
            table=table.name,
            constraint=key.name,
        )
    if key.match_type == "f" and len(ours) > 1:
        _validate_full_match(session, table, key, ours, child)


def _validate_full_match(
    session: SessionServices, table: Table, key: Constraint, ours: list[str], child: str
) -> None:
    some = " OR ".join(f"{a} IS NULL" for a in ours)
    other = " OR ".join(f"{a} IS NOT NULL" for a in ours)
    if _first_row(session, "SELECT 1 FROM", child, "WHERE", f"({some}) AND ({other})"):
        raise SqlError(
            "23503",
            f'insert or update on table "{table.name}" violates foreign key constraint '
            f'"{key.name}"',
            detail="MATCH FULL does not allow mixing of null and nonnull key values.",
            schema=session.catalog.schema_name(table.schema),
            table=table.name,
            constraint=key.name,
        )


def _existing(table: Table, name: str) -> Constraint:
    found = table.constraint_by_name(name)
    if found is None:
        raise SqlError("42704", f'constraint "{name}" of relation "{table.name}" does not exist')
    return found


def _with_constraint(table: Table, constraint: Constraint) -> Table:
    return replace(
        table,
        constraints=tuple(constraint if c.oid == constraint.oid else c for c in table.constraints),
    )


def validate_constraint(
    session: SessionServices, oid: int, command: tree.ValidateConstraint
) -> None:
    """VALIDATE CONSTRAINT of a NOT VALID check or foreign key."""
    table = session.catalog.table(oid)
    constraint = _existing(table, command.name)
    if constraint.kind not in "cf":
        raise SqlError(
            "42809",
            f'constraint "{command.name}" of relation "{table.name}" is not a foreign key or '
            "check constraint",
        )
    if constraint.validated:
        return
    if constraint.kind == "c":
        validate_check(session, table, constraint)
    else:
        validate_foreign_key(session, table, constraint)
    changed = _with_constraint(table, replace(constraint, validated=True))
    session.catalog_edit().replace(table, changed)


def alter_constraint(session: SessionServices, oid: int, command: tree.AlterConstraint) -> None:
    """ALTER CONSTRAINT ... DEFERRABLE: foreign keys only."""
    table = session.catalog.table(oid)
    written = command.constraint
    constraint = _existing(table, written.name or "")
    if constraint.kind != "f":
        raise SqlError(
            "42809",
            f'constraint "{constraint.name}" of relation "{table.name}" is not a foreign key '
            "constraint",
        )
    deferred = bool(written.initially_deferred)
    changed = replace(
        constraint,
        deferrable=bool(written.deferrable) or deferred,
        initially_deferred=deferred,
    )
    session.catalog_edit().replace(table, _with_constraint(table, changed))


def drop_constraint(session: SessionServices, oid: int, command: tree.DropConstraint) -> None:
    """DROP CONSTRAINT [IF EXISTS] [CASCADE]; without its primary key a table moves once more."""
    table = session.catalog.table(oid)
    constraint = table.constraint_by_name(command.name)
    if constraint is None:
        message = f'constraint "{command.name}" of relation "{table.name}" does not exist'
        if command.missing_ok:
            session.notice(f"{message}, skipping")
            return
        raise SqlError("42704", message)
    root = Part("constraint", oid, constraint.oid)
    drop_parts(session, [root], cascade=command.behavior is DropBehavior.CASCADE)
