"""Functions and procedures that users made, as the binder's functions.

A `Routine` of the catalog becomes a `SqlFunction` whose row form asks the session to run its body
(`EvalContext.call_routine`), so that whatever reads a bound tree meets one kind of function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import compress
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog.objects import Routine
from heliosd.functions.registry import SqlFunction

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heliosd.catalog.lookup import Catalog
    from heliosd.types.context import EvalContext
    from heliosd.types.registry import CallTypes, TypeRegistry

ANY: Final = 2276
KEPT_MAX: Final = 5_000


def routine_schemas(catalog: Catalog, schema: str | None, path: Iterable[int]) -> Iterator[int]:
    """Where a routine's name is looked up. A bare name never means one in the temporary schema,
    which everybody may fill and which comes first (CVE-2007-2138)."""
    if schema is None:
        yield from (oid for oid in path if oid != catalog.temporary_schema)
        return
    found = catalog.schema(schema)
    if found is not None:
        yield found.oid


def routines_named(
    catalog: Catalog, schema: str | None, name: str, path: Iterable[int]
) -> list[Routine]:
    """Users' routines that a name can mean; the first of several with the same arguments counts."""
    found: dict[tuple[int, ...], Routine] = {}
    for oid in routine_schemas(catalog, schema, path):
        for routine in catalog.routines(oid, name):
            found.setdefault(routine.argument_types, routine)
    return list(found.values())


def routine_function(catalog: Catalog, routine: Routine) -> SqlFunction:
    """The function that calls of the routine are bound to: one object for each version of it."""
    kept = catalog.shared.routine_functions
    key = (routine.oid, routine.version)
    found = kept.get(key)
    if not isinstance(found, SqlFunction):
        if len(kept) > KEPT_MAX:
            kept.clear()
        found = kept[key] = _make_function(routine, catalog.types)
    return found


def _make_function(routine: Routine, types: TypeRegistry) -> SqlFunction:
    inputs, outputs = routine.inputs, routine.outputs
    if routine.kind == "p":
        # CALL has an argument for each parameter; what stands for an OUT one is not looked at.
        inputs = routine.parameters
    variadic = 0
    if inputs and inputs[-1].mode == "v":
        last = types.by_oid.get(inputs[-1].type_oid)
        variadic = ANY if last is None or not last.is_array else last.element
        variadic = _POLYMORPHIC_ELEMENTS.get(inputs[-1].type_oid, variadic)
    columns = tuple((p.name or f"column{n}", p.type_oid) for n, p in enumerate(outputs, 1))
    defaults = tuple(p.default for p in inputs if p.default is not None)
    return SqlFunction(
        name=routine.name,
        oid=routine.oid,
        arguments=tuple(p.type_oid for p in inputs),
        result=routine.result,
        specialize=(
            _set_form(routine.oid)
            if routine.returns_set
            else _scalar_form(routine.oid, [p.mode != "o" for p in inputs])
        ),
        strict=routine.strict,
        volatility=routine.volatility,
        leakproof=routine.leakproof,
        needs_context=True,
        variadic=variadic,
        defaults=defaults,
        argument_names=tuple(p.name for p in inputs),
        columns=columns if routine.kind == "f" else (),
        returns_set=routine.returns_set,
        parallel=routine.parallel,
        rows=int(routine.rows or (1000 if routine.returns_set else 0)),
        source=routine.body,
    )


def with_columns(function: SqlFunction, columns: tuple[tuple[str, int], ...]) -> SqlFunction:
    """A routine that returns "record", as a column definition list declares its rows."""
    form = _set_form if function.returns_set else _row_form
    return replace(function, columns=columns, specialize=form(function.oid, columns))


_POLYMORPHIC_ELEMENTS: Final = {2277: 2283, 5078: 5077}
"""anyarray is over anyelement, anycompatiblearray over anycompatible."""


def _scalar_form(oid: int, given: list[bool]) -> Callable[[CallTypes], Callable[..., Any]]:
    def specialize(types: CallTypes) -> Callable[..., Any]:
        arguments = tuple(compress((t.oid for t in types.arguments), given))
        result = types.result.oid

        def call(ctx: EvalContext, *values: Any) -> Any:
            return ctx.call_routine(oid, arguments, result, tuple(compress(values, given)))

        return call

    return specialize


def _row_form(
    oid: int, columns: tuple[tuple[str, int], ...]
) -> Callable[[CallTypes], Callable[..., Any]]:
    def specialize(types: CallTypes) -> Callable[..., Any]:
        arguments = tuple(t.oid for t in types.arguments)
        result = types.result.oid

        def call(ctx: EvalContext, *values: Any) -> Any:
            return ctx.call_routine(oid, arguments, result, values, columns)

        return call

    return specialize


def _set_form(
    oid: int, columns: tuple[tuple[str, int], ...] = ()
) -> Callable[[CallTypes], Callable[..., Any]]:
    def specialize(types: CallTypes) -> Callable[..., Any]:
        arguments = tuple(t.oid for t in types.arguments)
        result = types.result.oid

        def call(ctx: EvalContext, *values: Any) -> Iterator[Any]:
            return ctx.routine_rows(oid, arguments, result, values, columns)

        return call

    return specialize
