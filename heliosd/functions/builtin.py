"""The built-in functions, aggregates and window functions, collected once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType, ModuleType
from typing import Any, Final

from heliosd.functions import (
    access_lists,
    aggregates,
    arrays,
    comparing,
    datetime,
    degrees,
    encodings,
    format_datetime,
    format_number,
    formatting,
    hashing,
    helios,
    json,
    json_populate,
    keywords,
    mathematics,
    overlaps,
    parse_datetime,
    privileges,
    ranges,
    series,
    server_information,
    statistics,
    string,
    support,
    system,
    textsearch,
    textsearch_headline,
    textsearch_rank,
    transitions,
    values,
    window,
)
from heliosd.functions.registry import (
    AnyFunction,
    FunctionRegistry,
    SqlFunction,
    build_function_registry,
)
from heliosd.types.builtin import FORMS, ROW_NAMES, collect_forms, collect_names
from heliosd.types.declare import Form
from heliosd.types.facts import FunctionFact, function_facts
from heliosd.types.oids import OIDS, oid_of

MODULES: Final[tuple[ModuleType, ...]] = (
    access_lists,
    aggregates,
    arrays,
    comparing,
    datetime,
    degrees,
    encodings,
    format_datetime,
    format_number,
    formatting,
    hashing,
    helios,
    json,
    json_populate,
    keywords,
    mathematics,
    overlaps,
    parse_datetime,
    privileges,
    ranges,
    series,
    server_information,
    statistics,
    string,
    support,
    system,
    textsearch,
    textsearch_headline,
    textsearch_rank,
    transitions,
    values,
    window,
)


def _function(fact: FunctionFact, form: Form) -> SqlFunction:
    return SqlFunction(
        name=fact.name,
        oid=fact.oid,
        arguments=tuple(OIDS[name] for name in fact.arguments),
        result=oid_of(fact.result),
        row=form.row,
        specialize=form.specialize,
        strict=fact.strict,
        volatility=fact.volatility,
        leakproof=fact.leakproof,
        needs_context=form.needs_context,
        variadic=fact.variadic,
        defaults=fact.defaults,
        argument_names=fact.argument_names[: len(fact.arguments)],
        columns=tuple((name, OIDS[kind]) for name, kind in fact.columns),
        returns_set=fact.returns_set,
        parallel=fact.parallel,
        rows=fact.rows,
        source=fact.source,
    )


def _functions() -> Iterator[AnyFunction]:
    facts = function_facts()
    forms = {**FORMS, **collect_forms(MODULES)}
    for oid, form in forms.items():
        yield _function(facts[oid], form)
    for module in MODULES:
        yield from getattr(module, "aggregates", ())
        yield from getattr(module, "window_functions", ())


FUNCTIONS: Final[FunctionRegistry] = build_function_registry(_functions())

MISSING_FUNCTIONS: Final = frozenset(
    fact.name for fact in function_facts().values() if not FUNCTIONS.named(fact.name)
)
"""Names that PostgreSQL 15 has and this server has under no signature: 0A000, not 42883."""

ROW_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = MappingProxyType(
    {**ROW_NAMES, **collect_names(MODULES)}
)
"""The namespace of row programs: every helper name that a template may say."""
