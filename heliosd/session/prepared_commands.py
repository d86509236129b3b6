"""PREPARE, EXECUTE, DEALLOCATE: the SQL side of the table that Parse fills."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from heliosd.errors import SqlError
from heliosd.execute.program import CommandResult, StatementKind
from heliosd.session.clock import now_us
from heliosd.session.prepared import NamedStatement, Statements, no_such_statement
from heliosd.session.statement_cache import Prepared

if TYPE_CHECKING:
    from heliosd.execute.context import ExecutionContext, SessionServices
    from heliosd.execute.program import Parameters, Program
    from heliosd.sql.tree import Statement


class PreparedOwner(Protocol):
    """What these commands need of their session."""

    @property
    def statements(self) -> Statements: ...
    @property
    def context(self) -> ExecutionContext: ...
    @property
    def services(self) -> SessionServices: ...
    @property
    def current_text(self) -> str: ...
    def make_prepared(
        self, text: str, tree: Statement, given_types: tuple[int, ...]
    ) -> Prepared: ...
    def current_prepared(self, statement: NamedStatement) -> Prepared: ...


class PreparedCommands:
    """Implements `execute.context.PreparedServices`."""

    __slots__ = ("_owner",)

    def __init__(self, owner: PreparedOwner) -> None:
        self._owner = owner

    def prepare(self, name: str, statement: Statement, parameter_types: tuple[int, ...]) -> None:
        """PREPARE: 42P05 when the name is taken."""
        owner = self._owner
        owner.statements.check_free(name)
        text = owner.current_text
        prepared = owner.make_prepared(text, statement, parameter_types)
        if prepared.program.kind is StatementKind.UTILITY:
            raise SqlError("42601", "syntax error")
        owner.statements.put(
            NamedStatement(name, text, prepared, parameter_types, now_us(), from_sql=True)
        )

    def get(self, name: str) -> Program | None:
        """The program now; None for an empty text; 26000 when there is no such statement."""
        statement = self._owner.statements.get(name)
        if statement.prepared is None:
            return None
        return self._owner.current_prepared(statement).program

    def execute(self, name: str, parameters: Parameters) -> CommandResult:
        """EXECUTE: the tag gets its row count from the session, which sends the rows."""
        owner = self._owner
        program = self.get(name)
        if program is None:
            return CommandResult("EXECUTE")
        if program.kind is StatementKind.SELECT:
            assert program.rows is not None
            rows = program.rows(owner.context, parameters)
            return CommandResult("SELECT", program.columns, rows, program.budgets)
        if program.kind is StatementKind.MODIFY:
            assert program.modify is not None
            done = program.modify(owner.context, parameters)
            tag = program.command_tag(done.count)
            if program.columns is None:
                return CommandResult(tag)
            rows = iter([done.rows] if done.rows else [])
            return CommandResult(tag, program.columns, rows, program.budgets)
        assert program.utility is not None
        return program.utility(owner.services)

    def deallocate(self, name: str) -> None:
        """DEALLOCATE name: 26000."""
        if not self._owner.statements.drop(name):
            raise no_such_statement(name)

    def deallocate_all(self) -> None:
        """DEALLOCATE ALL."""
        self._owner.statements.clear()
