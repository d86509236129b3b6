"""CALL: a procedure, its OUT parameters as one row."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from heliosd.catalog.objects import Routine
from heliosd.errors import SqlError
from heliosd.execute.planning import RowCount, prepare_bound
from heliosd.execute.program import CommandResult, Program, ResultColumn, StatementKind
from heliosd.execute.utility.registry import runs
from heliosd.security.rewrite import secure
from heliosd.sql.bind.statement import bind_statement
from heliosd.sql.tree.query import ResultTarget, Select
from heliosd.sql.tree.routine import Call

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.sql.bind.state import BindScope


@runs(Call, tag="CALL")
def call(statement: Call, session: SessionServices) -> CommandResult:
    """CALL procedure(arguments)."""
    program = session.prepare(statement)
    assert program.utility is not None
    return program.utility(session)


def prepare_call(
    statement: Call, scope: BindScope, session: SessionServices, row_count: RowCount | None
) -> Program:
    """The program of a CALL: it may have parameters, and names its columns before it runs."""
    asked = replace(statement.call, is_call=True)
    query = Select(statement.position, (ResultTarget(statement.position, asked),))
    with scope.catalog.made_types.watching():
        bound = secure(bind_statement(query, scope), scope)
        inner = prepare_bound(bound, scope, row_count, query)
    routine = _procedure(session, inner)
    columns = tuple(
        ResultColumn(p.name or f"column{n}", p.type_oid) for n, p in enumerate(routine.outputs, 1)
    )

    def run(services: SessionServices) -> CommandResult:
        assert inner.rows is not None
        batches = inner.rows(services.context, services.parameters)
        (row,) = (row for batch in batches for row in batch)
        if not columns:
            return CommandResult("CALL")
        values = row[0]
        assert isinstance(values, tuple)
        return CommandResult("CALL", columns, iter([[tuple(values)]]))

    return Program(
        kind=StatementKind.UTILITY,
        tag="CALL",
        columns=columns or None,
        parameter_types=inner.parameter_types,
        dependencies=inner.dependencies,
        utility=run,
        statement=statement,
        privileges=inner.privileges,
    )


def _procedure(session: SessionServices, inner: Program) -> Routine:
    for need in inner.privileges:
        found = session.catalog.by_oid(need.oid)
        if isinstance(found, Routine) and found.kind == "p":
            return found
    raise SqlError("42809", "CALL needs a procedure")
