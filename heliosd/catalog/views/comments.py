"""pg_description and pg_depend: what is said about objects, and what they lean on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from heliosd.catalog.objects import (
    FIRST_USER_OID,
    PG_CATALOG_OID,
    ColumnedRelation,
    IndexRelation,
    Relation,
    Schema,
    Sequence,
    SystemView,
    Table,
    TypeObject,
    View,
)
from heliosd.catalog.views.declare import Row, catalog_view, fact_rows
from heliosd.catalog.views.values import (
    PG_ATTRDEF,
    PG_CLASS,
    PG_CONSTRAINT,
    PG_NAMESPACE,
    PG_POLICY,
    PG_REWRITE,
    PG_TYPE,
)

if TYPE_CHECKING:
    from heliosd.catalog.views.context import ViewContext


_CATALOG_NAMES: Final = {
    1247: "pg_type", 1255: "pg_proc", 2601: "pg_am", 2612: "pg_language", 2617: "pg_operator",
}  # fmt: skip


@lru_cache(maxsize=1)
def _built_in_rows() -> tuple[Row, ...]:
    return tuple(
        (int(oid), int(catalog_oid), int(number), text)
        for oid, catalog_oid, number, text in fact_rows("descriptions")
    )


@lru_cache(maxsize=1)
def built_in_comments() -> Mapping[tuple[str, int], str]:
    """(catalog, oid) -> comment of PostgreSQL's own objects; "" as catalog finds any."""
    found: dict[tuple[str, int], str] = {}
    for oid, catalog_oid, number, text in _built_in_rows():
        if number == 0:
            found[_CATALOG_NAMES[catalog_oid], oid] = text
            found.setdefault(("", oid), text)
    return MappingProxyType(found)


@catalog_view("pg_description")
def pg_description(ctx: ViewContext) -> Iterator[Row]:
    yield from _built_in_rows()
    for schema in ctx.catalog.objects(Schema):
        if schema.comment is not None:
            yield (schema.oid, PG_NAMESPACE, 0, schema.comment)
    for made in ctx.catalog.objects(TypeObject):
        if made.comment is not None:
            yield (made.oid, PG_TYPE, 0, made.comment)
        for column in made.columns:
            if column.comment is not None:
                yield (made.relation_oid, PG_CLASS, column.attnum, column.comment)
        for constraint in made.constraints:
            if constraint.comment is not None:
                yield (constraint.oid, PG_CONSTRAINT, 0, constraint.comment)
    for relation in ctx.catalog.objects(Relation):
        if relation.comment is not None:
            yield (relation.oid, PG_CLASS, 0, relation.comment)
        if isinstance(relation, ColumnedRelation):
            for column in relation.columns:
                if column.comment is not None:
                    yield (relation.oid, PG_CLASS, column.attnum, column.comment)
        if isinstance(relation, Table):
            for constraint in relation.constraints:
                if constraint.comment is not None:
                    yield (constraint.oid, PG_CONSTRAINT, 0, constraint.comment)
            for policy in relation.policies:
                if policy.comment is not None:
                    yield (policy.oid, PG_POLICY, 0, policy.comment)


@catalog_view("pg_depend")
def pg_depend(ctx: ViewContext) -> Iterator[Row]:
    types = frozenset(made.oid for made in ctx.catalog.objects(TypeObject))
    for relation in ctx.catalog.objects(Relation):
        if isinstance(relation, SystemView):
            continue
        if not isinstance(relation, IndexRelation):
            yield (PG_CLASS, relation.oid, 0, PG_NAMESPACE, relation.schema, 0, "n")
        match relation:
            case Table():
                yield from _of_table(relation, types)
            case View():
                yield from _of_view(relation)
            case Sequence():
                owned = relation.owned_by
                if owned is not None:
                    kind = "i" if relation.internal else "a"
                    yield (PG_CLASS, relation.oid, 0, PG_CLASS, owned.oid, owned.attnum, kind)

    for made in ctx.catalog.objects(TypeObject):
        yield from _of_type(made)


def _of_type(made: TypeObject) -> Iterator[Row]:
    """pg_dump orders types by what is said here."""
    yield (PG_TYPE, made.oid, 0, PG_NAMESPACE, made.schema, 0, "n")
    if made.array_oid:
        yield (PG_TYPE, made.array_oid, 0, PG_TYPE, made.oid, 0, "i")
    if made.relation_oid:
        yield (PG_CLASS, made.relation_oid, 0, PG_TYPE, made.oid, 0, "i")
    if made.base_type >= FIRST_USER_OID:
        kind = "i" if made.kind == "m" else "n"
        yield (PG_TYPE, made.oid, 0, PG_TYPE, made.base_type, 0, kind)
    for column in made.columns:
        if column.type_oid >= FIRST_USER_OID and not column.dropped:
            yield (PG_CLASS, made.relation_oid, column.attnum, PG_TYPE, column.type_oid, 0, "n")
    for constraint in made.constraints:
        yield (PG_CONSTRAINT, constraint.oid, 0, PG_TYPE, made.oid, 0, "a")


def _of_table(table: Table, types: frozenset[int]) -> Iterator[Row]:
    for column in table.live_columns:
        if column.default_oid:
            default = column.default_oid
            yield (PG_ATTRDEF, default, 0, PG_CLASS, table.oid, column.attnum, "a")
            for reference in column.default_references:
                yield (PG_ATTRDEF, default, 0, PG_CLASS, reference.oid, reference.attnum, "n")
        if column.type_oid >= 16384:
            yield (PG_CLASS, table.oid, column.attnum, PG_TYPE, column.type_oid, 0, "n")
    for index in table.indexes:
        if index.constraint:
            yield (PG_CLASS, index.oid, 0, PG_CONSTRAINT, index.constraint, 0, "i")
        else:
            for attnum in (*index.attnums, *index.included):
                if attnum:
                    yield (PG_CLASS, index.oid, 0, PG_CLASS, table.oid, attnum, "a")
    for constraint in table.constraints:
        for attnum in constraint.columns or (0,):
            yield (PG_CONSTRAINT, constraint.oid, 0, PG_CLASS, table.oid, attnum, "a")
        if constraint.kind == "f":
            for attnum in constraint.referenced_columns:
                target = constraint.referenced_table
                yield (PG_CONSTRAINT, constraint.oid, 0, PG_CLASS, target, attnum, "n")
    for policy in table.policies:
        yield (PG_POLICY, policy.oid, 0, PG_CLASS, table.oid, 0, "a")
        for reference in policy.references:
            catalog_oid = PG_TYPE if reference.oid in types else PG_CLASS
            yield (PG_POLICY, policy.oid, 0, catalog_oid, reference.oid, reference.attnum, "n")


def _of_view(view: View) -> Iterator[Row]:
    yield (PG_REWRITE, view.oid, 0, PG_CLASS, view.oid, 0, "i")
    for reference in view.references:
        if reference.oid != PG_CATALOG_OID:
            yield (PG_REWRITE, view.oid, 0, PG_CLASS, reference.oid, reference.attnum, "n")
