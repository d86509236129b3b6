"""ALTER TABLE on columns: add, drop, retype, defaults, NOT NULL, identity."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from helios_storage.spec import TreeId
from heliosd.catalog.dependencies import Part
from heliosd.catalog.labels import with_mask
from heliosd.catalog.objects import (
    Column,
    Reference,
    Schema,
    Sequence,
    Table,
    TypeObject,
    View,
)
from heliosd.errors import SqlError
from heliosd.execute.utility.alter_constraints import add_constraint
from heliosd.execute.utility.alter_types import refuse_row_in_use
from heliosd.execute.utility.choose_names import choose_name, relation_taken
from heliosd.execute.utility.columns import (
    COLUMNS_MAX,
    NewColumn,
    check_column_type,
    column_collation,
    define_column,
)
from heliosd.execute.utility.drop import drop_parts
from heliosd.execute.utility.evaluate import evaluate_as, type_name
from heliosd.execute.utility.names import require_usage
from heliosd.execute.utility.physical import key_kind, shape
from heliosd.execute.utility.rewrite import contains_nulls, fresh_snapshot, rewrite_table
from heliosd.execute.utility.sequences import (
    apply_options,
    column_sequence,
    replace_sequence,
)
from heliosd.execute.utility.stored_text import (
    StoredExpression,
    bind_default,
    bind_generated,
    check_using,
)
from heliosd.execute.utility.table_builder import serial_default
from heliosd.sql.bind.stored import bind_stored_expression
from heliosd.sql.bind.typenames import resolve_type_name
from heliosd.sql.parser import parse_expression
from heliosd.sql.tree import table as tree
from heliosd.sql.tree.base import DropBehavior, Expression
from heliosd.sql.tree.expressions import ColumnRef, NullConstant, TypeCast
from heliosd.types.quoting import quote_identifier

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices


def existing_column(table: Table, name: str) -> Column:
    """42703 when there is none."""
    column = table.column_by_name.get(name)
    if column is None:
        raise SqlError("42703", f'column "{name}" of relation "{table.name}" does not exist')
    return column


def with_column(table: Table, column: Column) -> Table:
    """The table with a column replaced (by its attnum)."""
    return replace(
        table,
        columns=tuple(column if c.attnum == column.attnum else c for c in table.columns),
    )


def _schema_of(session: SessionServices, table: Table) -> Schema:
    schema = session.catalog.of_kind(Schema, table.schema)
    assert schema is not None
    return schema


# -- ADD COLUMN -----------------------------------------------------------------------------------


def add_column(session: SessionServices, oid: int, command: tree.AddColumn) -> None:
    """A constant default fills old rows without touching them; a volatile one rewrites them."""
    table = session.catalog.table(oid)
    definition = command.column
    if definition.name in table.column_by_name:
        if command.if_not_exists:
            session.notice(
                f'column "{definition.name}" of relation "{table.name}" already exists, skipping',
                sqlstate="42701",
            )
            return
        raise SqlError(
            "42701", f'column "{definition.name}" of relation "{table.name}" already exists'
        )
    if len(table.columns) >= COLUMNS_MAX:
        raise SqlError("54011", f"tables can have at most {COLUMNS_MAX} columns")
    new = define_column(session, definition, len(table.columns) + 1, table.name)
    column, bound = _complete(session, table, new)
    if bound is not None:
        refuse_row_in_use(session, table)
    if bound is None or (not column.generated and not bound.is_volatile):
        _widen(session, table, column, new.default or _domain_fill(session, table, column))
    else:
        _fill(session, table, column)
    for name, constraint in new.constraints:
        add_constraint(session, oid, tree.AddConstraint(0, constraint), column=name)


def _domain_fill(session: SessionServices, table: Table, column: Column) -> Expression | None:
    """What old rows get in a column of a domain: its default, or NULL, which it may refuse."""
    made = session.catalog.by_oid(column.type_oid)
    if not isinstance(made, TypeObject) or made.kind != "d":
        return None
    while isinstance(made, TypeObject) and made.kind == "d":
        if made.default is not None:
            return parse_expression(made.default)
        made = session.catalog.by_oid(made.base_type)
    if fresh_snapshot(session, table).count(table.tree_id):
        return NullConstant(0)
    return None


def _complete(
    session: SessionServices, table: Table, new: NewColumn
) -> tuple[Column, StoredExpression | None]:
    """The column with its sequence and default made."""
    column = new.column
    edit = session.catalog_edit()
    if new.sequence_type:
        column = _own_sequence(session, table, new)
        text = column.default or _identity_draw(session, table, column)
        return column, StoredExpression(text, is_volatile=True)
    if new.default is not None:
        bound = bind_default(session, new.default, column)
        if bound.is_null:
            return column, None
    elif new.generated is not None:
        widened = replace(table, columns=(*table.columns, column))
        bound = bind_generated(session, widened, new.generated, column)
    else:
        return column, None
    return (
        replace(
            column,
            default=bound.text,
            default_oid=edit.new_oid(),
            default_references=bound.references,
        ),
        bound,
    )


def _own_sequence(session: SessionServices, table: Table, new: NewColumn) -> Column:
    column = new.column
    schema = _schema_of(session, table)
    is_taken = relation_taken(session.catalog, schema.oid, ())
    sequence = column_sequence(
        session,
        choose_name(table.name, column.name, "seq", is_taken),
        schema,
        Reference(table.oid, column.attnum),
        new.sequence_type,
        new.sequence_options,
        internal=bool(column.identity),
        persistence=table.persistence,
    )
    if column.identity:
        return column
    return replace(
        column,
        default=serial_default(schema.name, sequence.name),
        default_oid=session.catalog_edit().new_oid(),
        default_references=(Reference(sequence.oid),),
    )


def _identity_draw(session: SessionServices, table: Table, column: Column) -> str:
    """The expression that fills an identity column in rows that exist."""
    for sequence in session.catalog.owned_sequences(table.oid):
        owner = sequence.owned_by
        if owner is not None and owner.attnum == column.attnum:
            return serial_default(_schema_of(session, table).name, sequence.name)
    raise AssertionError("an identity column without its sequence")


def _widen(
    session: SessionServices, table: Table, column: Column, default: Expression | None
) -> None:
    """Old rows get the default's value once, in the tree's spec."""
    missing = None
    if default is not None and (column.default is not None or column.type_oid >= 16384):
        missing = evaluate_as(session, (default,), (column.type_oid,))[0]
        known = session.catalog.types.type(column.type_oid)
        if missing is not None and column.typmod >= 0 and known.apply_typmod is not None:
            missing = known.apply_typmod(missing, column.typmod, False)
        pack = known.packer(column.typmod)
        if missing is not None and pack is not None:
            missing = pack(missing)
    if missing is None and column.not_null:
        fresh = fresh_snapshot(session, table)
        if fresh.count(table.tree_id):
            raise contains_nulls(replace(table, columns=(*table.columns, column)), column.attnum)
    text = shape(session.catalog.types, column)
    session.transaction.widen_tree(TreeId(table.tree_id), text, (missing,))
    changed = replace(table, columns=(*table.columns, column))
    session.catalog_edit().replace(table, changed)
    session.new_statement_snapshot()


def _fill(session: SessionServices, table: Table, column: Column) -> None:
    """Compute the new column for each row that exists."""
    text = column.default
    if column.identity:
        text = _identity_draw(session, table, column)
    assert text is not None
    changed = replace(table, columns=(*table.columns, column))
    expressions = [*_kept(table), parse_expression(text)]
    rewrite_table(session, table, changed, expressions)


def _kept(table: Table) -> list[Expression | None]:
    """Each column as it is; dropped ones become NULL."""
    return [None if column.dropped else ColumnRef(0, (column.name,)) for column in table.columns]


# -- DROP COLUMN ----------------------------------------------------------------------------------


def drop_column(session: SessionServices, oid: int, command: tree.DropColumn) -> None:
    """The column's slot stays in the rows; everything that uses it alone goes with it."""
    table = session.catalog.table(oid)
    column = table.column_by_name.get(command.name)
    if column is None:
        if command.missing_ok:
            session.notice(
                f'column "{command.name}" of relation "{table.name}" does not exist, skipping'
            )
            return
        raise SqlError(
            "42703", f'column "{command.name}" of relation "{table.name}" does not exist'
        )
    root = Part("column", oid, column.attnum)
    drop_parts(session, [root], cascade=command.behavior is DropBehavior.CASCADE)


# -- type -----------------------------------------------------------------------------------------


def change_type(session: SessionServices, oid: int, command: tree.AlterColumnType) -> None:
    """ALTER COLUMN TYPE: rows are computed anew, indexes rebuilt, the default converted."""
    table = session.catalog.table(oid)
    column = existing_column(table, command.name)
    scope = session.bind_scope()
    type_oid, typmod = resolve_type_name(
        scope.catalog, scope.resolver.types, scope.path, command.type, role=scope.role
    )
    require_usage(session, type_oid)
    changed = replace(
        column,
        type_oid=type_oid,
        typmod=typmod,
        collation=column_collation(
            session,
            type_oid,
            tree.ColumnDefinition(0, column.name, command.type, (), command.collation),
        ),
    )
    check_column_type(session, changed)
    if column.identity:
        _retype_identity(session, table, column, type_oid)
    _refuse_dependent_views(session, table, column)
    if type_oid != column.type_oid:
        refuse_row_in_use(session, table)
    check_using(session, table, command.using, changed)
    changed = _converted_default(session, table, column, changed)
    expressions = _kept(table)
    source = ColumnRef(0, (column.name,)) if command.using is None else command.using
    expressions[column.attnum - 1] = TypeCast(0, source, type_name(session, type_oid))
    new = _retyped(session, with_column(table, changed), changed)
    _check_texts(session, new)
    if new.primary_key:
        new = replace(new, key_kind=key_kind(new.columns, new.primary_key))
    rewrite_table(session, table, new, expressions)


def _check_texts(session: SessionServices, table: Table) -> None:
    """Checks and index expressions must still mean something over the new type."""
    texts = [check.expression for check in table.checks]
    for index in table.indexes:
        texts += [key.expression for key in index.keys]
        texts.append(index.predicate)
    for text in texts:
        if text is None:
            continue
        try:
            bind_stored_expression(text, table, 1, session.bind_scope())
        except SqlError as error:
            error.position = 0
            raise


def _retype_identity(session: SessionServices, table: Table, column: Column, type_oid: int) -> None:
    """The sequence of an identity column has the column's type."""
    if type_oid not in (20, 21, 23):
        raise SqlError("22023", "identity column type must be smallint, integer, or bigint")
    sequence = _identity_sequence(session, table, column)
    retyped = type_name(session, type_oid)
    new, restart = apply_options(session, sequence, {"as": retyped}, creating=False)
    replace_sequence(session, sequence, new, restart)


def _refuse_dependent_views(session: SessionServices, table: Table, column: Column) -> None:
    for dependent in session.catalog.dependents(table.oid):
        if isinstance(dependent, View) and Reference(table.oid, column.attnum) in (
            dependent.references
        ):
            raise SqlError(
                "0A000",
                "cannot alter type of a column used by a view or rule",
                detail=f"rule _RETURN on view {quote_identifier(dependent.name)} depends on "
                f'column "{column.name}"',
            )
        for policy in dependent.policies if isinstance(dependent, Table) else ():
            if Reference(table.oid, column.attnum) in policy.references:
                raise SqlError(
                    "0A000",
                    "cannot alter type of a column used in a policy definition",
                    detail=f"policy {policy.name} on table {quote_identifier(dependent.name)} "
                    f'depends on column "{column.name}"',
                )
    for other in table.live_columns:
        if other.generated and Reference(table.oid, column.attnum) in other.default_references:
            raise SqlError(
                "0A000",
                "cannot alter type of a column used by a generated column",
                detail=f'Column "{column.name}" is used by generated column "{other.name}".',
            )


def _converted_default(session: SessionServices, table: Table, old: Column, new: Column) -> Column:
    if old.default is None or old.generated:
        return new
    try:
        bound = bind_default(session, parse_expression(old.default), new)
    except SqlError as error:
        if error.sqlstate != "42804":
            raise
        shown = session.catalog.types.type(new.type_oid).display
        raise SqlError(
            "42804",
            f'default for column "{old.name}" cannot be cast automatically to type {shown}',
        ) from error
    return replace(new, default=bound.text, default_references=bound.references)


def _retyped(session: SessionServices, table: Table, column: Column) -> Table:
    """The table's indexes with the column's new collation where it had its own."""
    return replace(
        table,
        indexes=tuple(
            replace(
                index,
                keys=tuple(
                    replace(key, collation=column.collation) if key.attnum == column.attnum else key
                    for key in index.keys
                ),
            )
            for index in table.indexes
        ),
    )


# -- defaults, NOT NULL, identity -----------------------------------------------------------------


def set_default(session: SessionServices, oid: int, command: tree.SetColumnDefault) -> None:
    """SET DEFAULT, DROP DEFAULT."""
    table = session.catalog.table(oid)
    column = existing_column(table, command.name)
    if column.identity:
        hint = "Use ALTER TABLE ... ALTER COLUMN ... DROP IDENTITY instead."
        raise SqlError(
            "42601",
            f'column "{column.name}" of relation "{table.name}" is an identity column',
            hint=hint if command.expression is None else None,
        )
    if column.generated:
        hint = "Use ALTER TABLE ... ALTER COLUMN ... DROP EXPRESSION instead."
        raise SqlError(
            "42601",
            f'column "{column.name}" of relation "{table.name}" is a generated column',
            hint=hint if command.expression is None else None,
        )
    changed = replace(column, default=None, default_oid=0, default_references=())
    if command.expression is not None:
        bound = bind_default(session, command.expression, column)
        if not bound.is_null:
            changed = replace(
                column,
                default=bound.text,
                default_oid=session.catalog_edit().new_oid(),
                default_references=bound.references,
            )
    session.catalog_edit().replace(table, with_column(table, changed))


def set_not_null(session: SessionServices, oid: int, command: tree.SetColumnNotNull) -> None:
    """SET NOT NULL looks at every row (23502); DROP NOT NULL not on a primary key."""
    table = session.catalog.table(oid)
    column = existing_column(table, command.name)
    if command.not_null == column.not_null:
        return
    if not command.not_null:
        if column.attnum in table.primary_key:
            raise SqlError("42P16", f'column "{column.name}" is in a primary key')
        if column.identity:
            raise SqlError(
                "42601",
                f'column "{column.name}" of relation "{table.name}" is an identity column',
            )
    else:
        check_no_nulls(session, table, column)
    changed = replace(column, not_null=command.not_null)
    session.catalog_edit().replace(table, with_column(table, changed))


def check_no_nulls(session: SessionServices, table: Table, column: Column) -> None:
    """23502 when a row has NULL in the column."""
    snapshot = fresh_snapshot(session, table)
    slot = column.attnum - 1
    for _keys, rows in snapshot.batches(table.tree_id, columns=(slot,)):
        if (None,) in rows:
            raise contains_nulls(table, column.attnum)
        session.context.check_slice()


def drop_expression(session: SessionServices, oid: int, command: tree.DropExpression) -> None:
    """DROP EXPRESSION: the column keeps its values and becomes a plain one."""
    table = session.catalog.table(oid)
    column = existing_column(table, command.name)
    if not column.generated:
        where = f'column "{column.name}" of relation "{table.name}"'
        message = f"{where} is not a stored generated column"
        if command.missing_ok:
            session.notice(f"{message}, skipping")
            return
        raise SqlError("55000", message)
    changed = replace(column, generated="", default=None, default_oid=0, default_references=())
    inherited = table.masks.get(column.attnum)
    if inherited is not None:
        # It keeps the values that were computed from a masked column.
        changed = replace(changed, label=with_mask(column.label, inherited))
    session.catalog_edit().replace(table, with_column(table, changed))


def set_statistics(session: SessionServices, oid: int, command: tree.SetColumnStatistics) -> None:
    """SET STATISTICS: how much ANALYZE keeps of the column."""
    table = session.catalog.table(oid)
    if isinstance(command.name, int):
        raise SqlError(
            "42809", f"cannot alter statistics on column number {command.name} of a table"
        )
    column = existing_column(table, command.name)
    if command.target < -1:
        raise SqlError("22023", f"statistics target {command.target} is too low")
    changed = replace(column, statistics_target=min(command.target, 10000))
    session.catalog_edit().replace(table, with_column(table, changed))


def set_storage(session: SessionServices, oid: int, command: tree.SetColumnStorage) -> None:
    """SET STORAGE: kept for tools; large values rest out of line by size alone here."""
    table = session.catalog.table(oid)
    column = existing_column(table, command.name)
    letters = {"plain": "p", "external": "e", "extended": "x", "main": "m"}
    letter = letters.get(command.storage.lower())
    if letter is None:
        raise SqlError("22023", f'invalid storage type "{command.storage}"')
    session.catalog_edit().replace(table, with_column(table, replace(column, storage=letter)))


def add_identity(session: SessionServices, oid: int, command: tree.AddIdentity) -> None:
    """ADD GENERATED ... AS IDENTITY on a NOT NULL column without a default."""
    table = session.catalog.table(oid)
    column = existing_column(table, command.name)
    where = f'column "{column.name}" of relation "{table.name}"'
    if column.type_oid not in (20, 21, 23):
        raise SqlError("22023", "identity column type must be smallint, integer, or bigint")
    if not column.not_null:
        raise SqlError("55000", f"{where} must be declared NOT NULL before identity can be added")
    if column.identity:
        raise SqlError("55000", f"{where} is already an identity column")
    if column.default is not None:
        raise SqlError("55000", f"{where} already has a default value")
    always = command.constraint.generated is tree.GeneratedWhen.ALWAYS
    changed = replace(column, identity="a" if always else "d")
    new = NewColumn(
        changed,
        sequence_type=column.type_oid,
        sequence_options=command.constraint.sequence_options,
    )
    _own_sequence(session, table, new)
    current = session.catalog.table(oid)
    session.catalog_edit().replace(current, with_column(current, changed))


def _identity_sequence(session: SessionServices, table: Table, column: Column) -> Sequence:
    for sequence in session.catalog.owned_sequences(table.oid):
        owner = sequence.owned_by
        if sequence.internal and owner is not None and owner.attnum == column.attnum:
            return sequence
    raise SqlError("XX000", f'identity column "{column.name}" has no sequence')


def set_identity(session: SessionServices, oid: int, command: tree.SetIdentity) -> None:
    """SET GENERATED ALWAYS|BY DEFAULT, SET sequence options, RESTART."""
    table = session.catalog.table(oid)
    column = existing_column(table, command.name)
    if not column.identity:
        raise SqlError(
            "55000",
            f'column "{column.name}" of relation "{table.name}" is not an identity column',
        )
    options = {option.name: option.value for option in command.options}
    generated = options.pop("generated", None)
    if generated is not None:
        always = generated in (tree.GeneratedWhen.ALWAYS, "always", "a")
        changed = replace(column, identity="a" if always else "d")
        session.catalog_edit().replace(table, with_column(table, changed))
    if options:
        sequence = _identity_sequence(session, table, column)
        new, restart = apply_options(session, sequence, options, creating=False)
        replace_sequence(session, sequence, new, restart)


def drop_identity(session: SessionServices, oid: int, command: tree.DropIdentity) -> None:
    """DROP IDENTITY: the sequence goes too."""
    table = session.catalog.table(oid)
    column = existing_column(table, command.name)
    if not column.identity:
        message = f'column "{column.name}" of relation "{table.name}" is not an identity column'
        if command.missing_ok:
            session.notice(f"{message}, skipping")
            return
        raise SqlError("55000", message)
    sequence = _identity_sequence(session, table, column)
    session.catalog_edit().replace(table, with_column(table, replace(column, identity="")))
    drop_parts(session, [Part("object", sequence.oid)], cascade=False)
