"""From CREATE TABLE's elements to a `Table`: columns first, then what hangs on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from heliosd.catalog.objects import (
    Column,
    Constraint,
    Index,
    Reference,
    Schema,
    Table,
)
from heliosd.errors import SqlError
from heliosd.execute.utility.choose_names import choose_name, relation_taken
from heliosd.execute.utility.columns import COLUMNS_MAX, NewColumn, duplicate_column
from heliosd.execute.utility.foreign_keys import check_supported, foreign_key
from heliosd.execute.utility.names import current_role_oid
from heliosd.execute.utility.physical import key_kind, new_tree_id
from heliosd.execute.utility.sequences import column_sequence
from heliosd.execute.utility.stored_text import bind_check, bind_default, bind_generated
from heliosd.execute.utility.table_keys import NewKey, key_constraint
from heliosd.sql.tree import table as tree
from heliosd.types.quoting import quote_literal, quote_qualified

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices


class TableBuilder:
    """Collects a table's parts; `build` gives the object (not yet in the catalog)."""

    def __init__(
        self,
        session: SessionServices,
        name: str,
        schema: Schema,
        persistence: Literal["p", "u", "t"],
    ) -> None:
        self.session = session
        edit = session.catalog_edit()
        self.schema = schema
        self.columns: list[NewColumn] = []
        self.written: list[tuple[str | None, tree.Constraint]] = []
        """(column or None, constraint) in the order written."""
        self.indexes: list[Index] = []
        self.constraints: list[Constraint] = []
        self.table = Table(
            oid=edit.new_oid(),
            name=name,
            owner=current_role_oid(session),
            database=session.catalog.database.oid,
            schema=schema.oid,
            persistence=persistence,
            row_type=edit.new_oid(),
            row_array=edit.new_oid(),
            tree_id=new_tree_id(session),
            key_kind="row",
        )

    # -- collecting --------------------------------------------------------------------------

    @property
    def next_attnum(self) -> int:
        return len(self.columns) + 1

    def add_column(self, new: NewColumn) -> None:
        """42701 for a second column of one name, 54011 for too many."""
        if any(new.column.name == each.column.name for each in self.columns):
            raise duplicate_column(new.column.name)
        if len(self.columns) >= COLUMNS_MAX:
            raise SqlError("54011", f"tables can have at most {COLUMNS_MAX} columns")
        self.columns.append(new)
        self.written.extend(new.constraints)

    def add_constraint(self, constraint: tree.Constraint) -> None:
        check_supported(constraint)
        self.written.append((None, constraint))

    # -- building ----------------------------------------------------------------------------

    def build(self) -> Table:
        """The whole table; sequences of serial and identity columns are made on the way."""
        session = self.session
        self._refresh()
        for place, new in enumerate(self.columns):
            if new.sequence_type:
                self.columns[place].column = self._with_sequence(new)
        self._refresh()
        for place, new in enumerate(self.columns):
            self.columns[place].column = self._with_default(new)
        self._refresh()
        self._keys()
        primary = next((index for index in self.indexes if index.primary), None)
        key = primary.attnums if primary is not None else ()
        for attnum in key:
            new = self.columns[attnum - 1]
            new.column = replace(new.column, not_null=True)
        self._refresh()
        self._checks()
        kind = key_kind(self.table.columns, key)
        self.table = replace(
            self.table,
            key_kind=kind,
            primary_key=key,
            row_sequence=session.catalog_edit().new_oid() if kind == "row" else 0,
        )
        self._foreign_keys()
        return self.table

    def _refresh(self) -> None:
        self.table = replace(
            self.table,
            columns=tuple(new.column for new in self.columns),
            indexes=tuple(self.indexes),
            constraints=tuple(self.constraints),
        )

    def _with_sequence(self, new: NewColumn) -> Column:
        """Make the column's sequence; for serial also the default that draws from it."""
        session, column, table = self.session, new.column, self.table
        name = choose_name(
            table.name, column.name, "seq", relation_taken(session.catalog, self.schema.oid, ())
        )
        sequence = column_sequence(
            session,
            name,
            self.schema,
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
            default=serial_default(self.schema.name, sequence.name),
            default_oid=session.catalog_edit().new_oid(),
            default_references=(Reference(sequence.oid),),
        )

    def _with_default(self, new: NewColumn) -> Column:
        session, column = self.session, new.column
        if new.default is not None:
            bound = bind_default(session, new.default, column)
            if bound.is_null:
                return column
        elif new.generated is not None:
            bound = bind_generated(session, self.table, new.generated, column)
        else:
            return column
        return replace(
            column,
            default=bound.text,
            default_oid=session.catalog_edit().new_oid(),
            default_references=bound.references,
        )

    def _is_taken(self) -> Callable[[str], bool]:
        others = [index.name for index in self.indexes] + [c.name for c in self.constraints]
        return relation_taken(self.session.catalog, self.schema.oid, (*others, self.table.name))

    def _keys(self) -> None:
        """Primary key first, as PostgreSQL makes it, then the unique constraints."""
        for kind in (tree.ConstraintKind.PRIMARY, tree.ConstraintKind.UNIQUE):
            for column, written in self.written:
                if written.kind is not kind:
                    continue
                if kind is tree.ConstraintKind.PRIMARY and any(x.primary for x in self.indexes):
                    raise multiple_primary_keys(self.table.name, written.position)
                columns = (column,) if column is not None else written.columns
                self.add_key(
                    key_constraint(self.session, self.table, written, columns, self._is_taken())
                )

    def add_key(self, key: NewKey) -> None:
        """An index, and its constraint. One like the primary key needs no index of its own."""
        self.indexes.append(key.index)
        if key.constraint is not None:
            self.constraints.append(key.constraint)

    def _checks(self) -> None:
        for column, written in self.written:
            if written.kind is tree.ConstraintKind.CHECK:
                taken = [c.name for c in self.constraints]
                self.constraints.append(
                    check_constraint(self.session, self.table, written, taken, column)
                )
        self._refresh()

    def _foreign_keys(self) -> None:
        for column, written in self.written:
            if written.kind is tree.ConstraintKind.FOREIGN:
                columns = (column,) if column is not None else written.columns
                names = [c.name for c in self.constraints]
                key = foreign_key(self.session, self.table, written, columns, names.__contains__)
                if key.name in names:
                    raise constraint_exists(key.name, self.table.name)
                self.constraints.append(key)
        referenced_by = self.table.referenced_by
        if any(c.referenced_table == self.table.oid for c in self.constraints):
            referenced_by = (self.table.oid,)
        self.table = replace(
            self.table, constraints=tuple(self.constraints), referenced_by=referenced_by
        )


def serial_default(schema: str, sequence: str) -> str:
    """The stored default of a serial column."""
    return f"nextval({quote_literal(quote_qualified(schema, sequence))}::regclass)"


def check_constraint(
    session: SessionServices,
    table: Table,
    written: tree.Constraint,
    taken: Sequence[str],
    column: str | None,
) -> Constraint:
    """A CHECK over the table's columns; 42710 for a name in use."""
    assert written.expression is not None
    bound = bind_check(session, table, written.expression)
    name = written.name
    if name is None:
        only = column
        if only is None and len(bound.columns) == 1:
            only = table.column(bound.columns[0]).name
        name = choose_name(table.name, only, "check", lambda x: x in taken)
    elif name in taken:
        raise constraint_exists(name, table.name)
    return Constraint(
        oid=session.catalog_edit().new_oid(),
        name=name,
        kind="c",
        columns=bound.columns,
        expression=bound.text,
        references=bound.references,
        no_inherit=written.no_inherit,
        validated=not written.not_valid,
    )


def constraint_exists(name: str, table: str) -> SqlError:
    """42710."""
    return SqlError("42710", f'constraint "{name}" for relation "{table}" already exists')


def multiple_primary_keys(table: str, position: int = 0) -> SqlError:
    """42P16."""
    return SqlError(
        "42P16", f'multiple primary keys for table "{table}" are not allowed', position=position
    )
