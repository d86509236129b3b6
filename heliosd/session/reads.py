"""Which tables a program reads, in the bodies of users' functions too: for exfiltration budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliosd.catalog.objects import Routine, Table
from heliosd.errors import SqlError
from heliosd.execute.routines import prepare_body

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog
    from heliosd.execute.context import SessionServices
    from heliosd.execute.program import Program


def tables_read(session: SessionServices, program: Program) -> frozenset[int] | None:
    """Oids of tables; None when a function's body does not tell: then it may be any."""
    found: set[int] = set()
    seen: set[int] = set()
    pending = [program]
    while pending:
        one = pending.pop()
        found.update(_own_tables(session.catalog, one))
        for oid, _version in one.dependencies:
            routine = session.catalog.of_kind(Routine, oid)
            if routine is None or oid in seen:
                continue
            seen.add(oid)
            body = _body(session, routine)
            if body is None:
                return None
            pending.extend(body)
    return frozenset(found)


def _own_tables(catalog: Catalog, program: Program) -> set[int]:
    return {
        privilege.oid
        for privilege in program.privileges
        if privilege.kind == "SELECT" and catalog.of_kind(Table, privilege.oid) is not None
    }


def _body(session: SessionServices, routine: Routine) -> list[Program] | None:
    """The programs of a body; None for one that is not SQL, or whose types depend on the call."""
    if routine.language != "sql":
        return None
    types = (routine.argument_types, routine.result, ())
    try:
        return list(prepare_body(session, routine, types, None, as_owner=True))
    except SqlError:
        return None
