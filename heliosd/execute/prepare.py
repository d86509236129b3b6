"""A syntax tree becomes a `Program`: bind, plan, choose, compile; or a utility's function."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from heliosd.execute.planning import RowCount, prepare_bound
from heliosd.execute.program import Program, StatementKind
from heliosd.execute.utility.call import prepare_call
from heliosd.execute.utility.registry import command_for, run_utility
from heliosd.security.rewrite import secure
from heliosd.security.statement_rules import check_ddl_role, is_ddl
from heliosd.sql.bind.statement import bind_statement
from heliosd.sql.tree.modify import Modification
from heliosd.sql.tree.query import Query, Select
from heliosd.sql.tree.routine import Call
from heliosd.sql.tree.table import CreateTableAs

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.execute.program import CommandResult
    from heliosd.sql.bind.state import BindScope
    from heliosd.sql.tree.base import Statement


def prepare_statement(
    statement: Statement,
    scope: BindScope,
    parameter_types: tuple[int, ...] = (),
    *,
    row_count: RowCount | None = None,
    session: SessionServices | None = None,
) -> Program:
    """Make the program of any statement.

    `scope.parameter_types` (or `parameter_types`) are the given ones, 0 where they are to be
    inferred. `session` lets utility statements name their result columns before they run.
    """
    if isinstance(statement, Select) and statement.into is not None:
        statement = select_into(statement)
    if isinstance(statement, Call) and session is not None:
        return prepare_call(statement, scope, session, row_count)
    if not isinstance(statement, Query | Modification):
        return prepare_utility(statement, session)
    with scope.catalog.made_types.watching():
        bound = secure(bind_statement(statement, scope), scope)
        return prepare_bound(bound, scope, row_count, statement)


def select_into(statement: Select) -> CreateTableAs:
    """SELECT ... INTO t is CREATE TABLE t AS SELECT ..."""
    into = statement.into
    assert into is not None
    query = replace(statement, into=None)
    return CreateTableAs(statement.position, into.relation, query, persistence=into.persistence)


def prepare_utility(statement: Statement, session: SessionServices | None) -> Program:
    """A program that runs a utility statement's function."""
    command = command_for(statement)
    columns = None
    if command.columns is not None and session is not None:
        columns = command.columns(statement, session)

    def utility(services: SessionServices) -> CommandResult:
        return run_utility(statement, services)

    def ddl(services: SessionServices) -> CommandResult:
        role = services.context.eval.current_role_oid
        check_ddl_role(services.catalog, role, services.settings.get("helios.ddl_role"))
        return run_utility(statement, services)

    return Program(
        kind=StatementKind.UTILITY,
        tag=command.tag,
        columns=columns,
        parameter_types=(),
        utility=ddl if is_ddl(type(statement)) else utility,
        writes=command.writes,
        allowed_in_failed_block=command.allowed_in_failed_block,
        forbidden_in_block=command.forbidden_in_block,
        statement=statement,
    )
