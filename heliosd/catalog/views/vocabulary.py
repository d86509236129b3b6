"""pg_type, pg_proc, pg_operator, pg_cast and what else describes types, functions and operators."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from heliosd.catalog.built_in_acl import initial_function_acl, stored_acl
from heliosd.catalog.objects import (
    BOOTSTRAP_ROLE_OID,
    C_COLLATION,
    DEFAULT_COLLATION,
    PG_CATALOG_OID,
    BuiltInAcl,
    ColumnedRelation,
    Routine,
    Table,
    TypeObject,
    View,
)
from heliosd.catalog.views.declare import Row, catalog_view, fact_rows, relation_facts
from heliosd.catalog.views.opclasses import default_opclass, opclass_facts
from heliosd.catalog.views.values import acl_array, array, vector
from heliosd.types.facts import (
    FunctionFact,
    TypeFact,
    cast_facts,
    function_facts,
    operator_facts,
    type_facts,
)
from heliosd.types.oids import OIDS, oid_of
from heliosd.types.range import BUILT_IN

if TYPE_CHECKING:
    from heliosd.catalog.views.context import ViewContext
    from heliosd.types.array import Array

_ARRAY_SUBSCRIPT: Final = 6179
_RAW_SUBSCRIPT: Final = 6180
_ARRAY_ANALYZE: Final = 3816
_RECORD_IO: Final = (2290, 2291, 2402, 2403)
_RANGE_ANALYZE: Final = 3916
_ARRAY_IO: Final = (750, 751, 2400, 2401)
_INTERNAL_LANGUAGE: Final = 12
_SQL_LANGUAGE: Final = 14


@catalog_view("pg_type")
def pg_type(ctx: ViewContext) -> Iterator[Row]:
    functions = {fact.name: oid for oid, fact in function_facts().items()}
    row_types = {fact.row_type: fact.oid for fact in relation_facts().values() if fact.row_type}
    known = {fact.oid for fact in type_facts().values()}
    granted = {e.target: e.acl for e in ctx.catalog.objects(BuiltInAcl) if e.kind == "type"}
    for fact in type_facts().values():
        row = _built_in(fact, functions, row_types)
        items = granted.get(fact.oid)
        yield row if items is None else (*row[:-1], acl_array(items, ctx.catalog))
    for made in ctx.catalog.objects(TypeObject):
        yield _user_made(ctx, made)
        if made.array_oid:
            yield _array_type(ctx, made)
    for relation in ctx.catalog.objects(ColumnedRelation):
        is_user_made = isinstance(relation, Table | View)
        if relation.row_type and (is_user_made or relation.row_type not in known):
            yield _row_type(relation)
            if relation.row_array:
                yield _row_array(relation)


def _built_in(fact: TypeFact, functions: dict[str, int], row_types: dict[int, int]) -> Row:
    is_array = fact.category == "A" and fact.element != 0
    subscript = _ARRAY_SUBSCRIPT if is_array else (_RAW_SUBSCRIPT if fact.element else 0)
    typmod_in, typmod_out = (functions.get(name, 0) for name in fact.typmod_names)
    collation = C_COLLATION if fact.name in ("name", "_name") else DEFAULT_COLLATION
    return (
        fact.oid, fact.name, PG_CATALOG_OID, BOOTSTRAP_ROLE_OID, fact.size, fact.by_value,
        fact.kind, fact.category, fact.preferred, True, fact.delimiter,
        row_types.get(fact.oid, 0), subscript, fact.element, fact.array_oid,
        *fact.io_oids, typmod_in, typmod_out, _ARRAY_ANALYZE if is_array else 0,
        fact.align, fact.storage, False, 0, -1, 0,
        collation if fact.collatable else 0, None, None, None,
    )  # fmt: skip


def _user_made(ctx: ViewContext, made: TypeObject) -> Row:
    kind = ctx.catalog.types.type(made.oid)
    names = {fact.name: oid for oid, fact in function_facts().items()}
    io = tuple(names.get(name, 0) for name in kind.io_names)
    is_domain = made.kind == "d"
    collation = made.collation or (DEFAULT_COLLATION if is_domain and kind.collatable else 0)
    return (
        made.oid, made.name, made.schema, made.owner, kind.size, kind.by_value, made.kind,
        kind.category, False, True, kind.delimiter, made.relation_oid, 0, 0, made.array_oid, *io,
        0, 0, _RANGE_ANALYZE if made.kind in "rm" else 0,
        kind.align, kind.storage, made.not_null, made.base_type if is_domain else 0,
        made.typmod if is_domain else -1,
        0, collation if is_domain else 0,
        made.default, made.default, acl_array(made.acl, ctx.catalog),
    )  # fmt: skip


def _array_type(ctx: ViewContext, made: TypeObject) -> Row:
    kind = ctx.catalog.types.type(made.array_oid)
    return (
        made.array_oid, kind.name, made.schema, made.owner, -1, False, "b", "A",
        False, True, ",", 0, _ARRAY_SUBSCRIPT, made.oid, 0, *_ARRAY_IO, 0, 0, _ARRAY_ANALYZE,
        kind.align, "x", False, 0, -1, 0,
        DEFAULT_COLLATION if kind.collatable else 0, None, None, None,
    )  # fmt: skip


def _row_array(relation: ColumnedRelation) -> Row:
    return (
        relation.row_array, "_" + relation.name, relation.schema, relation.owner, -1, False, "b",
        "A", False, True, ",", 0, _ARRAY_SUBSCRIPT, relation.row_type, 0, *_ARRAY_IO, 0, 0,
        _ARRAY_ANALYZE, "d", "x", False, 0, -1, 0, 0, None, None, None,
    )  # fmt: skip


def _row_type(relation: ColumnedRelation) -> Row:
    return (
        relation.row_type, relation.name, relation.schema, relation.owner, -1, False, "c", "C",
        False, True, ",", relation.oid, 0, 0, relation.row_array, *_RECORD_IO, 0, 0, 0,
        "d", "x", False, 0, -1, 0, 0, None, None, None,
    )  # fmt: skip


@catalog_view("pg_enum")
def pg_enum(ctx: ViewContext) -> Iterator[Row]:
    for made in ctx.catalog.objects(TypeObject):
        orders = made.label_orders or range(1, len(made.labels) + 1)
        for order, (oid, label) in zip(orders, made.labels, strict=True):
            yield (oid, made.oid, float(order), label)


@catalog_view("pg_range")
def pg_range(ctx: ViewContext) -> Iterator[Row]:
    names = {fact.name: oid for oid, fact in function_facts().items()}
    types = ctx.catalog.types
    for name, (subtype, multirange) in BUILT_IN.items():
        kind = types.named(name)
        yield (
            kind.oid, OIDS[subtype], OIDS[multirange], 0, _class_oid(ctx, OIDS[subtype]),
            names.get(f"{name}_canonical", 0), names.get(f"{name}_subdiff", 0),
        )  # fmt: skip
    for made in ctx.catalog.objects(TypeObject):
        if made.kind == "r":
            yield (
                made.oid, made.base_type, made.multirange, made.collation,
                _class_oid(ctx, made.base_type), 0, names.get(made.subtype_diff, 0),
            )  # fmt: skip


def _class_oid(ctx: ViewContext, type_oid: int) -> int:
    found = default_opclass(ctx.catalog.types, type_oid)
    return 0 if found is None else found.oid


@catalog_view("pg_proc")
def pg_proc(ctx: ViewContext) -> Iterator[Row]:
    granted = {e.target: e.acl for e in ctx.catalog.objects(BuiltInAcl) if e.kind == "function"}
    for row in _functions():
        items = granted.get(row[0]) or initial_function_acl(row[0])
        yield row if items is None else (*row[:-1], acl_array(items, ctx.catalog))
    for routine in ctx.catalog.objects(Routine):
        yield _routine(ctx, routine)


def _routine(ctx: ViewContext, routine: Routine) -> Row:
    inputs, parameters = routine.inputs, routine.parameters
    last = ctx.catalog.types.by_oid.get(inputs[-1].type_oid) if inputs else None
    variadic = last.element if last is not None and inputs[-1].mode == "v" else 0
    defaults = [p.default for p in inputs if p.default is not None]
    has_modes = any(p.mode != "i" for p in parameters)
    settings = [f"{name}={value}" for name, value in routine.settings]
    return (
        routine.oid, routine.name, routine.schema, routine.owner, _SQL_LANGUAGE, routine.cost,
        routine.rows, variadic, 0, routine.kind, routine.security_definer, routine.leakproof,
        routine.strict, routine.returns_set, routine.volatility, routine.parallel, len(inputs),
        len(defaults), routine.result, vector(p.type_oid for p in inputs),
        array(p.type_oid for p in parameters) if has_modes else None,
        array(p.mode for p in parameters) if has_modes else None,
        array(p.name for p in parameters) if any(p.name for p in parameters) else None,
        ", ".join(defaults) if defaults else None,
        None, "" if routine.atomic else routine.body, None,
        routine.body if routine.atomic else None,
        array(settings) if settings else None, acl_array(routine.acl, ctx.catalog),
    )  # fmt: skip


@lru_cache(maxsize=1)
def _functions() -> tuple[Row, ...]:
    """3,200 rows that never change: made once, when somebody first asks."""
    return tuple(_function(oid, fact) for oid, fact in function_facts().items())


def _type_oid(name: str) -> int:
    """A type's oid by name, the row types of catalog tables included."""
    if not name:
        return 0
    known = OIDS.get(name)
    if known is not None:
        return known
    fact = relation_facts().get(name)
    return 0 if fact is None else fact.row_type


def _function(oid: int, fact: FunctionFact) -> Row:
    arguments = [_type_oid(name) for name in fact.arguments]
    outputs = [_type_oid(kind) for _name, kind in fact.columns]
    modes = ["i"] * len(arguments) + ["o"] * len(outputs)
    language = (
        _SQL_LANGUAGE
        if fact.source.lstrip().lower().startswith(("select", "see "))
        else (_INTERNAL_LANGUAGE)
    )
    return (
        oid, fact.name, PG_CATALOG_OID, BOOTSTRAP_ROLE_OID, language, 1.0, float(fact.rows),
        fact.variadic, 0, fact.kind, False, fact.leakproof, fact.strict, fact.returns_set,
        fact.volatility, fact.parallel, len(arguments), len(fact.defaults), _type_oid(fact.result),
        vector(arguments),
        array([*arguments, *outputs]) if outputs else None,
        array(modes) if outputs else None,
        array(fact.argument_names) if fact.argument_names else None,
        ", ".join(fact.defaults) if fact.defaults else None,
        None, fact.source, None, None, None, None,
    )  # fmt: skip


@catalog_view("pg_aggregate")
def pg_aggregate(_ctx: ViewContext) -> Iterator[Row]:
    for oid, fact in function_facts().items():
        if fact.kind == "a":
            yield (
                oid, fact.aggregate_kind or "n", fact.direct, 0, 0, 0, 0, 0, 0, 0, 0,
                False, False, "r", "r", 0, OIDS["internal"], 0, 0, 0, None, None,
            )  # fmt: skip


@catalog_view("pg_operator")
def pg_operator(_ctx: ViewContext) -> Iterator[Row]:
    functions = {fact.name: oid for oid, fact in function_facts().items()}
    for fact in operator_facts():
        yield (
            fact.oid, fact.name, PG_CATALOG_OID, BOOTSTRAP_ROLE_OID,
            "b" if fact.left else "l", fact.merges, fact.hashes,
            oid_of(fact.left), oid_of(fact.right), oid_of(fact.result),
            fact.commutator, fact.negator, fact.function_oid,
            functions.get(fact.restrict, 0), functions.get(fact.join, 0),
        )  # fmt: skip


@catalog_view("pg_cast")
def pg_cast(_ctx: ViewContext) -> Iterator[Row]:
    for fact in cast_facts():
        source, target = oid_of(fact.source), oid_of(fact.target)
        yield (fact.oid, source, target, fact.function_oid, fact.context, fact.method)


@catalog_view("pg_opclass")
def pg_opclass(_ctx: ViewContext) -> Iterator[Row]:
    for fact in opclass_facts():
        yield (
            fact.oid, fact.method, fact.name, PG_CATALOG_OID, BOOTSTRAP_ROLE_OID, fact.family,
            fact.input_type, fact.default, fact.key_type,
        )  # fmt: skip


@catalog_view("pg_opfamily")
def pg_opfamily(_ctx: ViewContext) -> Iterator[Row]:
    for oid, method, name in fact_rows("opfamilies"):
        yield (int(oid), int(method), name, PG_CATALOG_OID, BOOTSTRAP_ROLE_OID)


@catalog_view("pg_amop")
def pg_amop(_ctx: ViewContext) -> Iterator[Row]:
    for oid, family, left, right, strategy, purpose, operator, method, sort in fact_rows("amop"):
        yield (
            int(oid), int(family), int(left), int(right), int(strategy), purpose,
            int(operator), int(method), int(sort),
        )  # fmt: skip


@catalog_view("pg_am")
def pg_am(_ctx: ViewContext) -> Iterator[Row]:
    yield (2, "heap", 3, "t")
    yield (403, "btree", 330, "i")
    yield (405, "hash", 331, "i")
    yield (783, "gist", 332, "i")
    yield (2742, "gin", 333, "i")
    yield (4000, "spgist", 334, "i")
    yield (3580, "brin", 335, "i")


def _granted(ctx: ViewContext, kind: str, oid: int) -> Array | None:
    """What was granted on a built-in thing; NULL while its defaults hold."""
    return acl_array(stored_acl(ctx.catalog, kind, oid), ctx.catalog)


@catalog_view("pg_language")
def pg_language(ctx: ViewContext) -> Iterator[Row]:
    yield (12, "internal", BOOTSTRAP_ROLE_OID, False, False, 0, 0, 2246, None)
    yield (13, "c", BOOTSTRAP_ROLE_OID, False, False, 0, 0, 2247, None)
    yield (14, "sql", BOOTSTRAP_ROLE_OID, False, True, 0, 0, 2248, _granted(ctx, "language", 14))


@catalog_view("pg_collation")
def pg_collation(_ctx: ViewContext) -> Iterator[Row]:
    def row(oid: int, name: str, provider: str, encoding: int, locale: str | None) -> Row:
        return (
            oid, name, PG_CATALOG_OID, BOOTSTRAP_ROLE_OID, provider, True, encoding,
            locale, locale, None, None,
        )  # fmt: skip

    yield row(100, "default", "d", -1, None)
    yield row(950, "C", "c", -1, "C")
    yield row(951, "POSIX", "c", -1, "POSIX")
    yield row(12446, "ucs_basic", "c", 6, "C")
    yield row(12447, "C.UTF-8", "c", 6, "C.UTF-8")
    yield row(12448, "C.utf8", "c", 6, "C.utf8")
