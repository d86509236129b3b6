"""information_schema: the SQL standard's view of schemas, tables and columns.

A role sees what it owns or holds a privilege on, as the standard (and PostgreSQL) demand.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from heliosd.catalog.acl import (
    has_privilege,
    is_owner,
)
from heliosd.catalog.objects import (
    Column,
    ColumnedRelation,
    Schema,
    Sequence,
    SystemView,
    Table,
    TypeObject,
    View,
)
from heliosd.catalog.views.declare import Row, catalog_view
from heliosd.catalog.views.privileges import yes_no

if TYPE_CHECKING:
    from heliosd.catalog.views.context import ViewContext


def visible(ctx: ViewContext) -> Iterator[ColumnedRelation]:
    """Tables and views on which the current role has any right."""
    role = ctx.evaluation.current_role_oid
    for relation in ctx.catalog.objects(ColumnedRelation):
        if isinstance(relation, Sequence):
            continue
        if is_owner(ctx.catalog, role, relation) or any(
            has_privilege(ctx.catalog, role, relation, letter) for letter in "rawdDxt"
        ):
            yield relation


def _owned_tables(ctx: ViewContext) -> Iterator[Table]:
    """Tables whose constraints the current role may see: owned or more than SELECT-able."""
    role = ctx.evaluation.current_role_oid
    for table in ctx.catalog.objects(Table):
        if is_owner(ctx.catalog, role, table) or any(
            has_privilege(ctx.catalog, role, table, letter) for letter in "awdDxt"
        ):
            yield table


@catalog_view("information_schema_catalog_name")
def information_schema_catalog_name(ctx: ViewContext) -> Iterator[Row]:
    yield (ctx.catalog.database.name,)


@catalog_view("character_sets")
def character_sets(ctx: ViewContext) -> Iterator[Row]:
    yield (None, None, "UTF8", "UCS", "UTF8", ctx.catalog.database.name, None, None)


@catalog_view("schemata")
def schemata(ctx: ViewContext) -> Iterator[Row]:
    role = ctx.evaluation.current_role_oid
    for schema in ctx.catalog.objects(Schema):
        if is_owner(ctx.catalog, role, schema) or any(
            has_privilege(ctx.catalog, role, schema, letter) for letter in "UC"
        ):
            owner = ctx.catalog.role_name(schema.owner)
            yield (ctx.catalog.database.name, schema.name, owner, None, None, None, None)


@catalog_view("tables")
def tables(ctx: ViewContext) -> Iterator[Row]:
    for relation in visible(ctx):
        view = isinstance(relation, View) or (
            isinstance(relation, SystemView) and relation.kind == "v"
        )
        temporary = relation.persistence == "t"
        kind = "VIEW" if view else ("LOCAL TEMPORARY" if temporary else "BASE TABLE")
        yield (
            ctx.catalog.database.name, ctx.catalog.schema_name(relation.schema), relation.name,
            kind, None, None, None, None, None, yes_no(isinstance(relation, Table)), "NO",
            "PRESERVE" if temporary else None,
        )  # fmt: skip


@catalog_view("views")
def views(ctx: ViewContext) -> Iterator[Row]:
    role = ctx.evaluation.current_role_oid
    for relation in visible(ctx):
        if isinstance(relation, View):
            owned = is_owner(ctx.catalog, role, relation)
            text = ctx.evaluation.catalog.definition("view", relation.oid) if owned else None
            check = relation.check_option.upper() or "NONE"
            yield (
                ctx.catalog.database.name, ctx.catalog.schema_name(relation.schema),
                relation.name, text, check, "NO", "NO", "NO", "NO", "NO",
            )  # fmt: skip


# -- columns --------------------------------------------------------------------------------------

_NUMBERS: Final = {21: (16, 2, 0), 23: (32, 2, 0), 20: (64, 2, 0), 700: (24, 2, None),
                   701: (53, 2, None)}  # fmt: skip
_TEXT: Final = 25
_BPCHAR: Final = 1042
_VARCHAR: Final = 1043
_NUMERIC: Final = 1700
_DATE: Final = 1082
_TIMES: Final = frozenset({1083, 1266, 1114, 1184, 1186})
_BITS: Final = frozenset({1560, 1562})
_OCTETS_MAX: Final = 1 << 30
_UTF8_BYTES_MAX: Final = 4


@catalog_view("columns")
def columns(ctx: ViewContext) -> Iterator[Row]:
    for relation in visible(ctx):
        schema = ctx.catalog.schema_name(relation.schema)
        for column in relation.live_columns:
            yield _column(ctx, relation, schema, column)


def _column(ctx: ViewContext, relation: ColumnedRelation, schema: str, column: Column) -> Row:
    catalog = ctx.catalog
    database = catalog.database.name
    text = None
    if column.default is not None:
        text = ctx.evaluation.catalog.definition("expression", column.default_oid)
    under = _under_domain(ctx, column.type_oid, column.typmod)
    data_type, type_schema, type_name = _type_names(ctx, under[0])
    collation: tuple[str | None, ...] = (None, None, None)
    if column.collation not in (0, 100):
        names = ctx.evaluation.catalog.find_name("collation", column.collation)
        if names is not None:
            collation = (database, *names)
    return (
        database, schema, relation.name, column.name, column.attnum,
        None if column.generated else text, yes_no(not column.not_null), data_type,
        *_sizes(*under), None, None, None, None, None, *collation,
        *_domain_names(ctx, column.type_oid), database, type_schema, type_name,
        None, None, None, None, str(column.attnum), "NO", yes_no(bool(column.identity)),
        *_identity(ctx, relation, column),
        "ALWAYS" if column.generated else "NEVER", text if column.generated else None,
        yes_no(isinstance(relation, Table)),
    )  # fmt: skip


def _type_names(ctx: ViewContext, oid: int) -> tuple[str, str, str]:
    """(data_type, udt_schema, udt_name)."""
    known = ctx.catalog.types.by_oid.get(oid)
    if known is None:
        return "USER-DEFINED", "", ""
    schema = ctx.catalog.type_schema(oid)
    if known.is_array:
        return "ARRAY", schema, known.name
    return ("USER-DEFINED" if known.uses else known.display), schema, known.name


def _domain_names(ctx: ViewContext, oid: int) -> tuple[str | None, str | None, str | None]:
    """(catalog, schema, name) of a column's domain."""
    made = ctx.catalog.by_oid(oid)
    if not isinstance(made, TypeObject) or made.kind != "d":
        return None, None, None
    return ctx.catalog.database.name, ctx.catalog.schema_name(made.schema), made.name


def _under_domain(ctx: ViewContext, oid: int, typmod: int) -> tuple[int, int]:
    """(type, modifier) that a domain is over, one level down; of any other type itself."""
    made = ctx.catalog.by_oid(oid)
    if isinstance(made, TypeObject) and made.kind == "d":
        return made.base_type, made.typmod
    return oid, typmod


@catalog_view("domains")
def domains(ctx: ViewContext) -> Iterator[Row]:
    database = ctx.catalog.database.name
    for made in ctx.catalog.objects(TypeObject):
        if made.kind != "d":
            continue
        data_type, type_schema, type_name = _type_names(ctx, made.base_type)
        length, octets, precision, radix, scale, fraction = _sizes(made.base_type, made.typmod)
        collation: tuple[str | None, ...] = (None, None, None)
        if made.collation not in (0, 100):
            names = ctx.evaluation.catalog.find_name("collation", made.collation)
            if names is not None:
                collation = (database, *names)
        yield (
            database, ctx.catalog.schema_name(made.schema), made.name, data_type, length, octets,
            None, None, None, *collation, precision, radix, scale, fraction, None, None,
            made.default, database, type_schema, type_name, None, None, None, None, "1",
        )  # fmt: skip


def _sizes(oid: int, typmod: int) -> tuple[int | None, ...]:
    """Length, octets; precision, radix, scale; date-time precision."""
    length: int | None = None
    octets: int | None = None
    numbers: tuple[int | None, int | None, int | None] = _NUMBERS.get(oid, (None, None, None))
    fraction: int | None = None
    if oid in (_TEXT, _BPCHAR, _VARCHAR):
        octets = _OCTETS_MAX
        if typmod >= 0 and oid != _TEXT:
            length = typmod - 4
            octets = length * _UTF8_BYTES_MAX
    elif oid in _BITS:
        length = typmod if typmod >= 0 else None
    elif oid == _NUMERIC:
        numbers = (None, 10, None)
        if typmod >= 0:
            numbers = ((typmod - 4) >> 16 & 0xFFFF, 10, (typmod - 4) & 0x7FF)
    elif oid == _DATE:
        fraction = 0
    elif oid in _TIMES:
        precision = typmod & 0xFFFF
        fraction = 6 if typmod < 0 or precision == 0xFFFF else precision
    return (length, octets, *numbers, fraction)


def _identity(
    ctx: ViewContext, relation: ColumnedRelation, column: Column
) -> tuple[str | None, ...]:
    if not column.identity:
        return (None, None, None, None, None, "NO")
    generation = "ALWAYS" if column.identity == "a" else "BY DEFAULT"
    for sequence in ctx.catalog.owned_sequences(relation.oid):
        if sequence.owned_by is not None and sequence.owned_by.attnum == column.attnum:
            return (
                generation, str(sequence.start), str(sequence.increment), str(sequence.maximum),
                str(sequence.minimum), yes_no(sequence.cycle),
            )  # fmt: skip
    return (generation, None, None, None, None, "NO")


# -- constraints ----------------------------------------------------------------------------------

_KINDS: Final = {"c": "CHECK", "f": "FOREIGN KEY", "p": "PRIMARY KEY", "u": "UNIQUE"}
_RULES: Final = {
    "a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT",
}  # fmt: skip


@catalog_view("table_constraints")
def table_constraints(ctx: ViewContext) -> Iterator[Row]:
    database = ctx.catalog.database.name
    for table in _owned_tables(ctx):
        schema = ctx.catalog.schema_name(table.schema)
        for constraint in table.constraints:
            distinct = None
            index = table.index_by_oid(constraint.index) if constraint.kind == "u" else None
            if index is not None:
                distinct = yes_no(not index.nulls_not_distinct)
            yield (
                database, schema, constraint.name, database, schema, table.name,
                _KINDS[constraint.kind], yes_no(constraint.deferrable),
                yes_no(constraint.initially_deferred), "YES", distinct,
            )  # fmt: skip
        for column in table.live_columns:
            if column.not_null:
                name = f"{table.schema}_{table.oid}_{column.attnum}_not_null"
                yield (
                    database, schema, name, database, schema, table.name, "CHECK", "NO", "NO",
                    "YES", None,
                )  # fmt: skip


@catalog_view("check_constraints")
def check_constraints(ctx: ViewContext) -> Iterator[Row]:
    database = ctx.catalog.database.name
    for table in _owned_tables(ctx):
        schema = ctx.catalog.schema_name(table.schema)
        for constraint in table.checks:
            text = ctx.evaluation.catalog.definition("constraint", constraint.oid) or ""
            yield (database, schema, constraint.name, text.removeprefix("CHECK "))
        for column in table.live_columns:
            if column.not_null:
                name = f"{table.schema}_{table.oid}_{column.attnum}_not_null"
                yield (database, schema, name, f"{column.name} IS NOT NULL")


@catalog_view("key_column_usage")
def key_column_usage(ctx: ViewContext) -> Iterator[Row]:
    database = ctx.catalog.database.name
    for table in _owned_tables(ctx):
        schema = ctx.catalog.schema_name(table.schema)
        for constraint in table.constraints:
            if constraint.kind == "c":
                continue
            unique = _unique_positions(ctx, constraint.referenced_table, constraint.index)
            for position, attnum in enumerate(constraint.columns, 1):
                matching = None
                if constraint.kind == "f":
                    matching = unique.get(constraint.referenced_columns[position - 1])
                yield (
                    database, schema, constraint.name, database, schema, table.name,
                    table.column(attnum).name, position, matching,
                )  # fmt: skip


def _unique_positions(ctx: ViewContext, table: int, index: int) -> dict[int, int]:
    found = ctx.catalog.by_oid(table) if table else None
    if isinstance(found, Table):
        key = found.index_by_oid(index)
        if key is not None:
            return {attnum: place for place, attnum in enumerate(key.attnums, 1)}
    return {}


@catalog_view("referential_constraints")
def referential_constraints(ctx: ViewContext) -> Iterator[Row]:
    database = ctx.catalog.database.name
    for table in _owned_tables(ctx):
        schema = ctx.catalog.schema_name(table.schema)
        for constraint in table.foreign_keys:
            unique: tuple[str | None, ...] = (None, None, None)
            target = ctx.catalog.by_oid(constraint.referenced_table)
            if isinstance(target, Table):
                for other in target.constraints:
                    if other.index == constraint.index and other.kind in "pu":
                        unique = (database, ctx.catalog.schema_name(target.schema), other.name)
            yield (
                database, schema, constraint.name, *unique,
                "FULL" if constraint.match_type == "f" else "NONE",
                _RULES[constraint.on_update], _RULES[constraint.on_delete],
            )  # fmt: skip


@catalog_view("constraint_column_usage")
def constraint_column_usage(ctx: ViewContext) -> Iterator[Row]:
    database = ctx.catalog.database.name
    for table in _owned_tables(ctx):
        schema = ctx.catalog.schema_name(table.schema)
        for constraint in table.constraints:
            used, attnums = table, constraint.columns
            if constraint.kind == "f":
                target = ctx.catalog.by_oid(constraint.referenced_table)
                if not isinstance(target, Table):
                    continue
                used, attnums = target, constraint.referenced_columns
            used_schema = ctx.catalog.schema_name(used.schema)
            for attnum in attnums:
                yield (
                    database, used_schema, used.name, used.column(attnum).name,
                    database, schema, constraint.name,
                )  # fmt: skip


@catalog_view("constraint_table_usage")
def constraint_table_usage(ctx: ViewContext) -> Iterator[Row]:
    database = ctx.catalog.database.name
    for table in _owned_tables(ctx):
        schema = ctx.catalog.schema_name(table.schema)
        for constraint in table.constraints:
            target = ctx.catalog.by_oid(constraint.referenced_table or table.oid)
            if isinstance(target, Table) and constraint.kind != "c":
                used = ctx.catalog.schema_name(target.schema)
                yield (database, used, target.name, database, schema, constraint.name)


# -- sequences ------------------------------------------------------------------------------------


@catalog_view("sequences")
def sequences(ctx: ViewContext) -> Iterator[Row]:
    role = ctx.evaluation.current_role_oid
    for sequence in ctx.catalog.objects(Sequence):
        if sequence.internal or not (
            is_owner(ctx.catalog, role, sequence)
            or any(has_privilege(ctx.catalog, role, sequence, x) for x in "rwU")
        ):
            continue
        bits, radix, scale = _NUMBERS[sequence.type_oid]
        yield (
            ctx.catalog.database.name, ctx.catalog.schema_name(sequence.schema), sequence.name,
            ctx.catalog.types.type(sequence.type_oid).display, bits, radix, scale,
            str(sequence.start), str(sequence.minimum), str(sequence.maximum),
            str(sequence.increment), yes_no(sequence.cycle),
        )  # fmt: skip


@catalog_view("view_table_usage")
def view_table_usage(ctx: ViewContext) -> Iterator[Row]:
    database = ctx.catalog.database.name
    for view in ctx.catalog.objects(View):
        schema = ctx.catalog.schema_name(view.schema)
        for oid in dict.fromkeys(reference.oid for reference in view.references):
            used = ctx.catalog.by_oid(oid)
            if isinstance(used, ColumnedRelation):
                used_schema = ctx.catalog.schema_name(used.schema)
                yield (database, schema, view.name, database, used_schema, used.name)


@catalog_view("view_column_usage")
def view_column_usage(ctx: ViewContext) -> Iterator[Row]:
    database = ctx.catalog.database.name
    for view in ctx.catalog.objects(View):
        schema = ctx.catalog.schema_name(view.schema)
        for reference in dict.fromkeys(view.references):
            used = ctx.catalog.by_oid(reference.oid)
            if isinstance(used, ColumnedRelation) and reference.attnum:
                used_schema = ctx.catalog.schema_name(used.schema)
                column = used.column(reference.attnum).name
                yield (database, schema, view.name, database, used_schema, used.name, column)
