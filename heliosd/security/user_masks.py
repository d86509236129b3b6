"""Users' functions as masks: `FUNCTION = 'schema.name(constant, ...)'`.

The function gets the value and the constants, must be IMMUTABLE, and must be SECURITY DEFINER: it
runs as its owner, so that nothing of the mask's author runs as whoever reads the column. Which
function is meant is found by schema, name and types, never by search_path; only members of
`helios_mask_admin` may name one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliosd.catalog.objects import Routine
from heliosd.errors import SqlError
from heliosd.security.mask_functions import constant_of
from heliosd.sql.bound import Const

if TYPE_CHECKING:
    from heliosd.catalog.labels import MaskCall
    from heliosd.catalog.lookup import Catalog
    from heliosd.catalog.objects import Column


def find_user_mask(
    catalog: Catalog, column: Column, call: MaskCall
) -> tuple[Routine, tuple[Const, ...]]:
    """The function and its constants. 42883, 42P17 when it is not fit, 22P02 for a constant."""
    schema, _, name = call.name.partition(".")
    found = catalog.schema(schema)
    count = 1 + len(call.arguments)
    for routine in () if found is None else catalog.routines(found.oid, name):
        types = routine.argument_types
        if routine.kind == "f" and len(types) == count and types[0] == column.type_oid:
            _check_fit(routine, column)
            return routine, _constants(catalog, routine, call)
    raise SqlError(
        "42883",
        f"mask function {call} does not exist",
        hint="It must take the column's type, and a parameter for each constant.",
    )


def _check_fit(routine: Routine, column: Column) -> None:
    name = routine.name
    if routine.returns_set or routine.result != column.type_oid:
        raise SqlError("42804", f"mask function {name} does not return the column's type")
    if routine.volatility != "i":
        raise SqlError("42P17", f"mask function {name} must be IMMUTABLE")
    if not routine.security_definer:
        raise SqlError("42P17", f"mask function {name} must be SECURITY DEFINER")


def _constants(catalog: Catalog, routine: Routine, call: MaskCall) -> tuple[Const, ...]:
    found: list[Const] = []
    for oid, argument in zip(routine.argument_types[1:], call.arguments, strict=True):
        kind = catalog.types.by_oid.get(oid)
        if kind is None:
            raise SqlError("42804", f"mask function {routine.name} takes no constants")
        found.append(Const(constant_of(kind, argument), oid))
    return tuple(found)
