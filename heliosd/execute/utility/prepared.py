"""PREPARE, EXECUTE, DEALLOCATE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliosd.errors import SqlError
from heliosd.execute.program import CommandResult, ResultColumn
from heliosd.execute.utility.evaluate import evaluate_as
from heliosd.execute.utility.registry import runs
from heliosd.sql.bind.typenames import resolve_type_name
from heliosd.sql.tree.utility import Deallocate, Execute, Prepare

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.execute.program import Parameters, Program


@runs(Prepare, tag="PREPARE")
def prepare(statement: Prepare, session: SessionServices) -> None:
    """PREPARE name (types) AS statement; untyped parameters are inferred."""
    scope = session.bind_scope()
    types = tuple(
        resolve_type_name(scope.catalog, scope.resolver.types, scope.path, each, role=scope.role)[0]
        for each in statement.types
    )
    session.prepared.prepare(statement.name, statement.statement, types)


def _columns(statement: Execute, session: SessionServices) -> tuple[ResultColumn, ...] | None:
    program = session.prepared.get(statement.name)
    return None if program is None else program.columns


@runs(Execute, tag="EXECUTE", columns=_columns)
def execute(statement: Execute, session: SessionServices) -> CommandResult:
    """EXECUTE name (arguments): each argument as its parameter's type."""
    program = session.prepared.get(statement.name)
    parameters = () if program is None else execute_parameters(session, statement, program)
    return session.prepared.execute(statement.name, parameters)


def execute_parameters(
    session: SessionServices, statement: Execute, program: Program
) -> Parameters:
    """EXECUTE's arguments as the prepared statement's parameters; 42601 for a wrong number."""
    expected, given = len(program.parameter_types), len(statement.arguments)
    if expected != given:
        raise SqlError(
            "42601",
            f'wrong number of parameters for prepared statement "{statement.name}"',
            detail=f"Expected {expected} parameters but got {given}.",
        )
    return evaluate_as(session, statement.arguments, program.parameter_types)


@runs(Deallocate, tag="DEALLOCATE", needs_snapshot=False)
def deallocate(statement: Deallocate, session: SessionServices) -> str:
    """DEALLOCATE name or ALL."""
    if statement.name is None:
        session.prepared.deallocate_all()
        return "DEALLOCATE ALL"
    session.prepared.deallocate(statement.name)
    return "DEALLOCATE"
