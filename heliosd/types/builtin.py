"""The built-in types, casts and operators, collected once from the modules of this room."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType, ModuleType
from typing import Any, Final

from heliosd.types import (
    array,
    array_operators,
    binary,
    bits,
    boolean,
    cash_words,
    datetime,
    datetime_operators,
    enum,
    floats,
    geometry,
    geometry_operators,
    integer,
    interval,
    json,
    jsonb_operators,
    jsonpath,
    jsonpath_operators,
    like,
    lsn,
    macaddr8,
    money,
    multirange,
    network,
    numeric,
    object_ids,
    pattern,
    powers,
    pseudo,
    range_operators,
    record,
    snapshots,
    text,
    textsearch,
    textsearch_operators,
    textsearch_query,
)
from heliosd.types import range as range_type
from heliosd.types.declare import Form
from heliosd.types.facts import cast_facts, function_facts, function_oids, operator_facts
from heliosd.types.oids import OIDS, oid_of
from heliosd.types.registry import (
    CastContext,
    DuplicateDeclarationError,
    SqlCast,
    SqlOperator,
    SqlType,
    TypeRegistry,
    build_type_registry,
)

MODULES: Final[tuple[ModuleType, ...]] = (
    boolean,
    integer,
    text,
    textsearch,
    textsearch_operators,
    textsearch_query,
    numeric,
    floats,
    binary,
    datetime,
    interval,
    datetime_operators,
    json,
    jsonb_operators,
    jsonpath,
    jsonpath_operators,
    like,
    pattern,
    powers,
    object_ids,
    pseudo,
    record,
    bits,
    lsn,
    money,
    network,
    array,
    array_operators,
    enum,
    cash_words,
    geometry,
    geometry_operators,
    macaddr8,
    snapshots,
    range_type,
    multirange,
    range_operators,
)

# The oid family rests as unsigned numbers, int4 as signed: these two are not binary-equal here.
_OID_LIKE: Final = frozenset(
    oid for name, oid in OIDS.items() if name == "oid" or (name.startswith("reg") and len(name) > 6)
)


def collect_forms(modules: tuple[ModuleType, ...]) -> dict[int, Form]:
    """Row forms by function oid; a signature that PostgreSQL does not have is a KeyError."""
    oids = function_oids()
    forms: dict[int, Form] = {}
    for module in modules:
        for signature, form in module.forms.by_signature.items():
            oid = oids[signature]
            if oid in forms:
                raise DuplicateDeclarationError(signature)
            forms[oid] = form
    return forms


def collect_names(modules: tuple[ModuleType, ...]) -> dict[str, Callable[..., Any]]:
    """The helper names that templates use."""
    names: dict[str, Callable[..., Any]] = {}
    for module in modules:
        for name, helper in module.forms.names.items():
            if name in names:
                raise DuplicateDeclarationError(name)
            names[name] = helper
    return names


def _types() -> Iterator[SqlType]:
    plain = [item for module in MODULES for item in module.types]
    ranges = [*range_type.range_types(plain)]
    plain += [*ranges, *multirange.multirange_types(ranges)]
    yield from plain
    yield from array.array_types(plain)


def _casts(forms: Mapping[int, Form], known: frozenset[int]) -> Iterator[SqlCast]:
    facts = function_facts()
    for fact in cast_facts():
        source, target = oid_of(fact.source), oid_of(fact.target)
        if source not in known or target not in known or fact.method == "i":
            continue
        form = forms.get(fact.function_oid) if fact.function_oid else Form("{0}")
        converts = False
        if source in _OID_LIKE and target == OIDS["int4"]:
            form = Form("oid_to_int4({0})")
            converts = True
        elif target in _OID_LIKE and source in (OIDS["int4"], OIDS["int2"]):
            form = Form("int4_to_oid({0})")
            converts = True
        elif fact.target == "bit" and fact.source in ("int4", "int8"):
            form = Form(f"{fact.source}_bits({{0}})")  # the function also takes the length
        if form is None:
            continue
        function = facts[fact.function_oid] if fact.function_oid else None
        yield SqlCast(
            source=source,
            target=target,
            context=CastContext(fact.context),
            # A type's cast to itself only applies the modifier: `SqlType.apply_typmod` does.
            row="{0}" if source == target else form.row or "{0}",
            method="f" if converts else fact.method,
            function=function.name if function else "",
            function_oid=fact.function_oid,
            oid=fact.oid,
            needs_context=form.needs_context,
            volatility=function.volatility if function else "i",
            specialize=form.specialize,
        )


def _operators(forms: Mapping[int, Form], known: frozenset[int]) -> Iterator[SqlOperator]:
    facts = function_facts()
    for fact in operator_facts():
        form = forms.get(fact.function_oid)
        left, right, result = oid_of(fact.left), oid_of(fact.right), oid_of(fact.result)
        if form is None or not {left, right, result} - {0} <= known:
            continue
        function = facts[fact.function_oid]
        yield SqlOperator(
            oid=fact.oid,
            name=fact.name,
            left=left,
            right=right,
            result=result,
            function=function.name,
            function_oid=fact.function_oid,
            row=form.row if form.row is not None else "",
            commutator=fact.commutator,
            negator=fact.negator,
            restrict=fact.restrict,
            join=fact.join,
            hashes=fact.hashes,
            merges=fact.merges,
            strict=function.strict,
            volatility=function.volatility,
            leakproof=function.leakproof,
            needs_context=form.needs_context,
            specialize=form.specialize,
        )


def _build() -> TypeRegistry:
    types = tuple(_types())
    known = frozenset(item.oid for item in types)
    return build_type_registry(types, _casts(FORMS, known), _operators(FORMS, known))


FORMS: Final[Mapping[int, Form]] = MappingProxyType(collect_forms(MODULES))
"""Row forms of the functions behind casts and operators, by function oid."""

ROW_NAMES: Final[Mapping[str, Callable[..., Any]]] = MappingProxyType(collect_names(MODULES))
"""What this room's templates may name; functions add theirs in `functions.builtin`."""

TYPES: Final[TypeRegistry] = _build()
