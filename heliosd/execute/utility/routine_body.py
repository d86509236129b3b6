"""Looking at a routine's body when it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliosd.catalog.objects import ColumnedRelation, Reference, Routine
from heliosd.errors import SqlError
from heliosd.execute.routines import parse_body, prepare_body
from heliosd.sql.bind.resolve import POLYMORPHIC

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.execute.program import Program


def has_polymorphic(routine: Routine) -> bool:
    """Whether only a call says what the types are."""
    return any(p.type_oid in POLYMORPHIC for p in routine.parameters)


def check_body(session: SessionServices, routine: Routine, *, only_syntax: bool) -> list[Program]:
    """Parse and bind the body; its errors tell of the routine."""
    try:
        if only_syntax:
            parse_body(routine)
            return []
        return list(
            prepare_body(
                session, routine, (routine.argument_types, routine.result, ()), None, as_owner=True
            )
        )
    except SqlError as error:
        line = f'SQL function "{routine.name}"'
        error.context = line if error.context is None else f"{error.context}\n{line}"
        if error.position:
            error.internal_position, error.position = error.position, 0
            error.internal_query = routine.body
        raise


def body_references(session: SessionServices, routine: Routine) -> tuple[Reference, ...]:
    """What an SQL-standard body depends on."""
    found: dict[Reference, None] = {}
    for program in check_body(session, routine, only_syntax=has_polymorphic(routine)):
        for need in program.privileges:
            target = session.catalog.by_oid(need.oid)
            if need.as_role or target is None:
                continue
            found[Reference(need.oid)] = None
            if isinstance(target, ColumnedRelation):
                for slot in need.columns or ():
                    found[Reference(need.oid, slot + 1)] = None
    return tuple(found)
