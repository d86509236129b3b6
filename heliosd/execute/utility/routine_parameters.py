"""The parameters of a routine that is being made: types, names, modes and defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heliosd.catalog.dependencies import routine_signature
from heliosd.catalog.objects import Column, Reference, Routine, RoutineParameter
from heliosd.errors import SqlError
from heliosd.execute.utility.names import require_usage
from heliosd.execute.utility.stored_text import bind_default
from heliosd.sql.bind.resolve import (
    ANYARRAY,
    ANYCOMPATIBLE,
    ANYCOMPATIBLEARRAY,
    ANYCOMPATIBLEMULTIRANGE,
    ANYCOMPATIBLENONARRAY,
    ANYCOMPATIBLERANGE,
    ANYELEMENT,
    ANYENUM,
    ANYMULTIRANGE,
    ANYNONARRAY,
    ANYRANGE,
)
from heliosd.sql.bind.typenames import resolve_type_name
from heliosd.sql.tree.base import FunctionParameter, ParameterMode, TypeName

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.sql.tree.routine import CreateFunction

VOID: Final = 2278
RECORD: Final = 2249
ANY: Final = 2276

_DETERMINED_BY: Final = (
    (
        {ANYRANGE, ANYMULTIRANGE},
        {ANYRANGE, ANYMULTIRANGE},
        "anyrange or anymultirange",
    ),
    (
        {ANYCOMPATIBLERANGE, ANYCOMPATIBLEMULTIRANGE},
        {ANYCOMPATIBLERANGE, ANYCOMPATIBLEMULTIRANGE},
        "anycompatiblerange or anycompatiblemultirange",
    ),
    (
        {ANYELEMENT, ANYARRAY, ANYNONARRAY, ANYENUM},
        {ANYELEMENT, ANYARRAY, ANYNONARRAY, ANYENUM, ANYRANGE, ANYMULTIRANGE},
        "anyelement, anyarray, anynonarray, anyenum, anyrange, or anymultirange",
    ),
    (
        {ANYCOMPATIBLE, ANYCOMPATIBLEARRAY, ANYCOMPATIBLENONARRAY},
        {
            ANYCOMPATIBLE,
            ANYCOMPATIBLEARRAY,
            ANYCOMPATIBLENONARRAY,
            ANYCOMPATIBLERANGE,
            ANYCOMPATIBLEMULTIRANGE,
        },
        (
            "anycompatible, anycompatiblearray, anycompatiblenonarray, anycompatiblerange, or "
            "anycompatiblemultirange"
        ),
    ),
)
"""(results, the inputs any of which tells what they are, those in words)."""
_MODES: Final = {
    ParameterMode.DEFAULT: "i",
    ParameterMode.IN: "i",
    ParameterMode.OUT: "o",
    ParameterMode.INOUT: "b",
    ParameterMode.VARIADIC: "v",
    ParameterMode.TABLE: "t",
}


def parameter_type(session: SessionServices, tree: TypeName) -> int:
    """The oid of a parameter's or result's type; its length says nothing, as in PostgreSQL."""
    scope = session.bind_scope()
    oid, _typmod = resolve_type_name(
        scope.catalog, scope.resolver.types, scope.path, tree, role=scope.role
    )
    require_usage(session, oid)
    return oid


def make_parameters(
    session: SessionServices, statement: CreateFunction
) -> tuple[tuple[RoutineParameter, ...], tuple[Reference, ...]]:
    """(the parameters, what their defaults depend on); 42P13 for what cannot be."""
    found: list[RoutineParameter] = []
    references: dict[Reference, None] = {}
    needs_default = False
    variadic = False
    for tree in statement.parameters:
        mode = _MODES[tree.mode]
        oid = parameter_type(session, tree.type)
        if tree.type.setof:
            raise SqlError("42P13", "functions cannot accept set arguments")
        if oid == VOID:
            raise SqlError("42P13", "SQL functions cannot have arguments of type void")
        if variadic and mode in "ibv":
            raise SqlError("42P13", "VARIADIC parameter must be the last input parameter")
        if mode == "v":
            variadic = True
            _check_variadic(session, oid)
        _check_name(found, tree, mode)
        default = None
        if tree.default is not None:
            if mode not in "ibv":
                raise SqlError("42P13", "only input parameters can have default values")
            column = Column(attnum=1, name=tree.name or "parameter", type_oid=oid)
            stored = bind_default(session, tree.default, column)
            default = stored.text
            references.update(dict.fromkeys(stored.references))
            needs_default = True
        elif needs_default and mode in "ibv":
            raise SqlError(
                "42P13",
                "input parameters after one with a default value must also have defaults",
            )
        found.append(
            RoutineParameter(type_oid=oid, name=tree.name or "", mode=mode, default=default)  # type: ignore[arg-type]
        )
    return tuple(found), tuple(references)


def _check_variadic(session: SessionServices, oid: int) -> None:
    kind = session.catalog.types.by_oid.get(oid)
    if oid not in (2277, 5078, ANY) and (kind is None or not kind.is_array):
        raise SqlError("42P13", "VARIADIC parameter must be an array")


def _check_name(found: list[RoutineParameter], tree: FunctionParameter, mode: str) -> None:
    if not tree.name:
        return
    for other in found:
        if other.name != tree.name:
            continue
        # A pure input may share its name with an output, one of a TABLE's too.
        if {mode, other.mode} in ({"i", "o"}, {"v", "o"}, {"i", "t"}, {"v", "t"}):
            continue
        raise SqlError("42P13", f'parameter name "{tree.name}" used more than once')


def result_of(
    session: SessionServices,
    statement: CreateFunction,
    parameters: tuple[RoutineParameter, ...],
) -> tuple[int, bool]:
    """(result type, whether it returns a set)."""
    outputs = [p for p in parameters if p.mode in "obt"]
    if statement.procedure:
        return (RECORD if outputs else VOID), False
    inputs = [p.type_oid for p in parameters if p.mode in "ibv"]
    for output in outputs:
        _check_determined(session, output.type_oid, inputs)
    required = 0
    if len(outputs) == 1:
        required = outputs[0].type_oid
    elif outputs:
        required = RECORD
    if statement.returns_table:
        return required, True
    if statement.returns is None:
        if not required:
            raise SqlError("42P13", "function result type must be specified")
        return required, False
    oid = parameter_type(session, statement.returns)
    if required and oid != required:
        kind = session.catalog.types.by_oid.get(required)
        shown = "record" if kind is None else kind.display
        raise SqlError("42P13", f"function result type must be {shown} because of OUT parameters")
    _check_determined(session, oid, inputs)
    return oid, statement.returns.setof


def _check_determined(session: SessionServices, oid: int, inputs: list[int]) -> None:
    """42P13 for a polymorphic result that no argument's type tells."""
    needed = next((family for family in _DETERMINED_BY if oid in family[0]), None)
    if needed is None or any(each in needed[1] for each in inputs):
        return
    raise SqlError(
        "42P13",
        "cannot determine result data type",
        detail=f"A result of type {session.catalog.types.type(oid).name} requires at least one "
        f"input of type {needed[2]}.",
    )


def check_replaced(session: SessionServices, old: Routine, new: Routine) -> None:
    """What CREATE OR REPLACE may not change: 42809, 42P13."""
    path = session.search_path.schemas
    shown = routine_signature(session.catalog, old, path)
    if old.kind != new.kind:
        word = "procedure" if old.kind == "p" else "function"
        raise SqlError("42809", "cannot change routine kind", detail=f'"{old.name}" is a {word}.')
    word = "PROCEDURE" if old.kind == "p" else "FUNCTION"
    hint = f"Use DROP {word} {shown} first."
    if (old.result, old.returns_set) != (new.result, new.returns_set):
        raise SqlError("42P13", "cannot change return type of existing function", hint=hint)
    if [(p.type_oid, p.name) for p in old.outputs] != [
        (p.type_oid, p.name) for p in new.outputs
    ] and old.result == RECORD:
        raise SqlError(
            "42P13",
            "cannot change return type of existing function",
            detail="Row type defined by OUT parameters is different.",
            hint=hint,
        )
    for before, after in zip(old.inputs, new.inputs, strict=True):
        if before.name and before.name != after.name:
            raise SqlError(
                "42P13", f'cannot change name of input parameter "{before.name}"', hint=hint
            )
        if before.default is not None and after.default is None:
            raise SqlError(
                "42P13",
                "cannot remove parameter defaults from existing function",
                hint=hint,
            )
