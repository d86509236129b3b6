"""How DDL finds routines by name and argument types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heliosd.catalog.dependencies import routine_signature
from heliosd.catalog.objects import PG_CATALOG_OID, Routine
from heliosd.errors import SqlError
from heliosd.execute.utility.names import require_schema_usage
from heliosd.sql.bind.routines import routines_named
from heliosd.sql.bind.typenames import resolve_type_name
from heliosd.sql.tree.base import FunctionParameter, ObjectKind, ObjectRef, ParameterMode, TypeName

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

ROUTINES: Final = frozenset({ObjectKind.FUNCTION, ObjectKind.PROCEDURE, ObjectKind.ROUTINE})
_OUTPUTS: Final = (ParameterMode.OUT, ParameterMode.TABLE)


def find_routine(
    session: SessionServices, kind: ObjectKind, reference: ObjectRef
) -> Routine | None:
    """The routine that DROP, ALTER, COMMENT or GRANT names; None when there is none.

    42725 when a bare name means several, 42809 when it is of another kind.
    """
    schema = reference.parts[-2] if len(reference.parts) > 1 else None
    if schema is not None and schema != "pg_catalog":
        session.catalog.require_schema(schema)
        require_schema_usage(session, schema)
    found = routines_named(session.catalog, schema, reference.name, session.search_path.schemas)
    if reference.arguments is None:
        wanted = [r for r in found if kind is ObjectKind.ROUTINE or r.kind == _letter(kind)]
        if len(wanted) > 1:
            raise SqlError(
                "42725",
                f'{kind.value} name "{".".join(reference.parts)}" is not unique',
                hint=f"Specify the argument list to select the {kind.value} unambiguously.",
            )
        if not wanted and found:
            raise _other_kind(session, kind, found[0])
        return wanted[0] if wanted else None
    types, everything = reference_types(session, reference)
    for routine in found:
        matches = routine.argument_types == types
        if not matches and routine.kind == "p":
            matches = tuple(p.type_oid for p in routine.parameters) == everything
        if matches:
            if kind is not ObjectKind.ROUTINE and routine.kind != _letter(kind):
                raise _other_kind(session, kind, routine)
            return routine
    return None


def _letter(kind: ObjectKind) -> str:
    return "p" if kind is ObjectKind.PROCEDURE else "f"


def _other_kind(session: SessionServices, kind: ObjectKind, routine: Routine) -> SqlError:
    shown = routine_signature(session.catalog, routine, session.search_path.schemas)
    return SqlError("42809", f"{shown} is not a {kind.value}")


def reference_types(
    session: SessionServices, reference: ObjectRef
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(the input types, the types of all parameters) as written."""
    scope = session.bind_scope()
    inputs: list[int] = []
    everything: list[int] = []
    for each in reference.arguments or ():
        tree = each.type if isinstance(each, FunctionParameter) else each
        assert isinstance(tree, TypeName)
        oid, _ = resolve_type_name(
            scope.catalog, scope.resolver.types, scope.path, tree, role=scope.role
        )
        everything.append(oid)
        if not (isinstance(each, FunctionParameter) and each.mode in _OUTPUTS):
            inputs.append(oid)
    return tuple(inputs), tuple(everything)


def missing_routine(session: SessionServices, kind: ObjectKind, reference: ObjectRef) -> SqlError:
    """42883 in PostgreSQL's words."""
    word = kind.value
    if reference.arguments is None:
        return SqlError("42883", f'could not find a {word} named "{".".join(reference.parts)}"')
    shown = reference_text(session, reference).replace(",", ", ")
    return SqlError("42883", f"{word} {shown} does not exist")


def reference_text(session: SessionServices, reference: ObjectRef) -> str:
    """`f(integer, text)` as the statement named it."""
    name = ".".join(reference.parts)
    if reference.arguments is None:
        return f"{name}()"
    types, _ = reference_types(session, reference)
    known = session.catalog.types.by_oid
    shown = (known.get(oid) for oid in types)
    return f"{name}({','.join('???' if t is None else t.display for t in shown)})"


def require_routine(session: SessionServices, kind: ObjectKind, reference: ObjectRef) -> Routine:
    """As `find_routine`; 42883, or 42501 for a built-in function."""
    found = find_routine(session, kind, reference)
    if found is not None:
        return found
    functions = session.bind_scope().resolver.functions
    if PG_CATALOG_OID in session.search_path.schemas and reference.arguments is not None:
        types, _ = reference_types(session, reference)
        if functions.exact(reference.name, types) is not None:
            raise SqlError("42501", f"must be owner of function {reference.name}")
    raise missing_routine(session, kind, reference)
