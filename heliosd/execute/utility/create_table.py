"""CREATE TABLE and CREATE TABLE AS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from helios_storage.locks import TableLockMode
from heliosd.catalog.objects import (
    Column,
    MaterializedView,
    Schema,
    Table,
)
from heliosd.errors import SqlError, not_supported
from heliosd.execute.program import CommandResult, ResultColumn
from heliosd.execute.utility.columns import SERIALS, NewColumn, check_column_name, define_column
from heliosd.execute.utility.foreign_keys import note_reference
from heliosd.execute.utility.like import copy_like
from heliosd.execute.utility.matviews import check_query, fill, materialized
from heliosd.execute.utility.names import (
    creation_schema,
    lock_object,
    persistence_letter,
    require_schema_usage,
)
from heliosd.execute.utility.options import TABLE_OPTIONS, storage_options
from heliosd.execute.utility.physical import create_trees
from heliosd.execute.utility.prepared import execute_parameters
from heliosd.execute.utility.registry import runs
from heliosd.execute.utility.stored_text import bind_query
from heliosd.execute.utility.table_builder import TableBuilder
from heliosd.sql.tree.query import Persistence, Query
from heliosd.sql.tree.table import (
    ColumnDefinition,
    Constraint,
    CreateTable,
    CreateTableAs,
    OnCommit,
)
from heliosd.sql.tree.utility import Execute

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.execute.program import Parameters, Program

_UNKNOWN = 705
_TEXT = 25


@runs(CreateTable, tag="CREATE TABLE", writes=True, audit="ddl")
def create_table(statement: CreateTable, session: SessionServices) -> None:
    """CREATE [TEMP] TABLE [IF NOT EXISTS] name (elements)."""
    _refuse_unbuilt(statement)
    schema = creation_schema(session, statement.name, statement.persistence)
    name = statement.name.name
    if statement.if_not_exists and _exists(session, schema, name):
        return
    persistence = _persistence(session, schema, statement.persistence)
    builder = TableBuilder(session, name, schema, persistence)
    session.catalog_edit().claim_relation_name(schema.oid, name)
    for element in statement.elements:
        if isinstance(element, ColumnDefinition):
            builder.add_column(define_column(session, element, builder.next_attnum, name))
        elif isinstance(element, Constraint):
            builder.add_constraint(element)
        else:
            copy_like(session, builder, element)
    on_commit = _on_commit(statement.on_commit, persistence)
    options = storage_options(statement.options, TABLE_OPTIONS)
    table = replace(builder.build(), options=options, on_commit=on_commit)
    if statement.name.schema is not None and _has_parts(statement, table):
        # Keys and sequences are put to the table by its name, for which it must be found.
        require_schema_usage(session, statement.name.schema)
    make_table(session, table)


def _has_parts(statement: CreateTable, table: Table) -> bool:
    """Whether PostgreSQL makes the table in steps: indexes, foreign keys, sequences."""
    return (
        bool(table.indexes or table.foreign_keys)
        or any(column.identity for column in table.columns)
        or any(
            isinstance(element, ColumnDefinition)
            and element.type is not None
            and element.type.names[-1] in SERIALS
            for element in statement.elements
        )
    )


def make_table(session: SessionServices, table: Table) -> Table:
    """Put a built table, its trees and its foreign keys' other ends in place."""
    edit = session.catalog_edit()
    lock_object(session, table.oid, TableLockMode.ACCESS_EXCLUSIVE)
    for index in table.indexes:
        edit.claim_relation_name(table.schema, index.name)
    create_trees(session, table)
    made = edit.create(table)
    for key in made.foreign_keys:
        note_reference(session, made, key)
    return made


def _refuse_unbuilt(statement: CreateTable) -> None:
    if statement.inherits:
        raise not_supported("table inheritance")
    if statement.partition_by is not None or statement.partition_of is not None:
        raise not_supported("table partitioning")
    if statement.of_type is not None:
        raise not_supported("CREATE TABLE OF type")
    if statement.foreign_server is not None:
        raise not_supported("CREATE FOREIGN TABLE")
    _check_place(statement.tablespace, statement.access_method)


def _check_place(tablespace: str | None, access_method: str | None) -> None:
    if tablespace not in (None, "pg_default"):
        raise SqlError("42704", f'tablespace "{tablespace}" does not exist')
    if access_method not in (None, "heap"):
        raise SqlError("42704", f'access method "{access_method}" does not exist')


def _exists(session: SessionServices, schema: Schema, name: str) -> bool:
    if session.catalog.relation_in(schema.oid, name) is None:
        return False
    session.notice(f'relation "{name}" already exists, skipping', sqlstate="42P07")
    return True


def _persistence(
    session: SessionServices, schema: Schema, written: Persistence
) -> Literal["p", "u", "t"]:
    if schema.oid == session.catalog.temporary_schema:
        return "t"
    return "u" if persistence_letter(written) == "u" else "p"


def _on_commit(written: OnCommit, persistence: str) -> Literal["preserve", "delete", "drop"]:
    if written is not OnCommit.NOOP and persistence != "t":
        raise SqlError("42P16", "ON COMMIT can only be used on temporary tables")
    match written:
        case OnCommit.DELETE_ROWS:
            return "delete"
        case OnCommit.DROP:
            return "drop"
    return "preserve"


# -- CREATE TABLE AS ------------------------------------------------------------------------------


@runs(CreateTableAs, tag="CREATE TABLE AS", writes=True, audit="ddl")
def create_table_as(statement: CreateTableAs, session: SessionServices) -> str | CommandResult:
    """CREATE TABLE AS query [WITH NO DATA]; the tag is SELECT with the number of rows."""
    if statement.materialized_view:
        return _create_materialized(statement, session)
    _check_place(statement.tablespace, statement.access_method)
    schema = creation_schema(session, statement.name, statement.persistence)
    name = statement.name.name
    if statement.if_not_exists and _exists(session, schema, name):
        return "CREATE TABLE AS"
    session.catalog_edit().claim_relation_name(schema.oid, name)
    program, parameters = _program(session, statement)
    persistence = _persistence(session, schema, statement.persistence)
    builder = TableBuilder(session, name, schema, persistence)
    for column in result_columns(session, program.columns or (), statement.columns):
        builder.add_column(NewColumn(column))
    options = storage_options(statement.options, TABLE_OPTIONS)
    on_commit = _on_commit(statement.on_commit, persistence)
    table = make_table(session, replace(builder.build(), options=options, on_commit=on_commit))
    if not statement.with_data:
        return "CREATE TABLE AS"
    return f"SELECT {_fill(session, table, program, parameters)}"


def _create_materialized(statement: CreateTableAs, session: SessionServices) -> str:
    """CREATE MATERIALIZED VIEW; the tag is SELECT with the number of rows."""
    query = statement.query
    check_query(query)
    assert isinstance(query, Query)
    schema = creation_schema(session, statement.name)
    name = statement.name.name
    if statement.if_not_exists and _exists(session, schema, name):
        return "CREATE MATERIALIZED VIEW"
    session.catalog_edit().claim_relation_name(schema.oid, name)
    stored = bind_query(session, query)
    if stored.temporary:
        raise SqlError("0A000", "materialized views must not use temporary tables or views")
    builder = TableBuilder(session, name, schema, "p")
    for column in result_columns(session, stored.columns, statement.columns):
        builder.add_column(NewColumn(column))
    options = storage_options(statement.options, TABLE_OPTIONS)
    columns = tuple(
        replace(column, sources=sources)
        for column, sources in zip(builder.build().columns, stored.sources, strict=True)
    )
    table = replace(builder.build(), options=options, columns=columns)
    made = materialized(table, stored)
    if not statement.with_data:
        make_table(session, made)
        return "CREATE MATERIALIZED VIEW"
    table = make_table(session, replace(made, populated=True))
    assert isinstance(table, MaterializedView)
    return f"SELECT {fill(session, table)}"


def _program(session: SessionServices, statement: CreateTableAs) -> tuple[Program, Parameters]:
    """What gives the rows: the query, or the prepared statement that EXECUTE names."""
    query = statement.query
    if not isinstance(query, Execute):
        return session.prepare(query, session.parameter_types), session.parameters
    program = session.prepared.get(query.name)
    if program is None or program.rows is None:
        raise SqlError("42809", "prepared statement is not a SELECT")
    return program, execute_parameters(session, query, program)


def result_columns(
    session: SessionServices, given: Sequence[ResultColumn], names: tuple[str, ...]
) -> list[Column]:
    """A query's columns as table columns, renamed; 42601 for too many names."""
    if len(names) > len(given):
        raise SqlError("42601", "too many column names were specified")
    columns: list[Column] = []
    for place, result in enumerate(given):
        type_oid = _TEXT if result.type_oid == _UNKNOWN else result.type_oid
        known = session.catalog.types.by_oid.get(type_oid)
        collatable = known is not None and known.collatable
        column = Column(
            attnum=place + 1,
            name=names[place] if place < len(names) else result.name,
            type_oid=type_oid,
            typmod=result.type_modifier,
            collation=(950 if type_oid == 19 else 100) if collatable else 0,
        )
        check_column_name(column.name)
        if known is not None and known.is_pseudo:
            raise SqlError("42P16", f'column "{column.name}" has pseudo-type {known.display}')
        columns.append(column)
    return columns


def _fill(session: SessionServices, table: Table, program: Program, parameters: Parameters) -> int:
    """Put the query's rows into the new table, which has no keys and no constraints yet."""
    assert program.rows is not None
    types = session.catalog.types
    packers = [types.type(c.type_oid).packer(c.typmod) for c in table.columns]
    sequences, count = session.storage.sequences, 0
    for batch in program.rows(session.context, parameters):
        if not batch:
            continue
        rows = batch
        if any(packers):
            rows = [
                tuple(
                    value if pack is None or value is None else pack(value)
                    for value, pack in zip(row, packers, strict=True)
                )
                for row in batch
            ]
        first = sequences.advance(table.row_sequence, count=len(rows))
        session.transaction.put_many(table.tree_id, range(first, first + len(rows)), rows)
        count += len(rows)
    return count
