"""What a prepared statement is: the forms in which it can run, and what it returns.

A `Program` is immutable and shared: it holds no session, no transaction and no parameters. What
one execution needs arrives as an `ExecutionContext` and a tuple of parameters (Python values of
the parameter types, `None` for NULL).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heliosd.catalog.objects import Budget
    from heliosd.execute.context import ExecutionContext, SessionServices
    from heliosd.sql.bound import Privilege

Row = tuple[object, ...]
Parameters = tuple[object, ...]


class StatementKind(enum.Enum):
    """How the session answers: rows, rows or a count, or whatever a utility function returns."""

    SELECT = "select"
    MODIFY = "modify"
    UTILITY = "utility"


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """One column of a RowDescription. `table_oid` and `column_number` are 0 for expressions."""

    name: str
    type_oid: int
    type_modifier: int = -1
    table_oid: int = 0
    column_number: int = 0


@dataclass(slots=True)
class Modified:
    """What INSERT, UPDATE and DELETE answer: rows affected, and RETURNING's rows."""

    count: int
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a utility statement answers.

    `tag` is the whole command tag. `columns` is None where no rows are sent (no RowDescription),
    else `rows` yields batches of rows in those columns.
    """

    tag: str
    columns: tuple[ResultColumn, ...] | None = None
    rows: Iterator[list[Row]] | None = None
    budgets: tuple[Budget, ...] = ()


class PlanIsStale(Exception):  # not a failure: the caller prepares again
    """A table changed while the program waited for its lock; nothing has been done yet.

    The caller prepares the statement again and runs the new program.
    """


def plan_is_stale() -> None:
    """Called by programs that had to wait for a table's lock."""
    raise PlanIsStale


Point = Callable[["ExecutionContext", Parameters], list[Row]]
PointModify = Callable[["ExecutionContext", Parameters], Modified]
Rows = Callable[["ExecutionContext", Parameters], Iterator[list[Row]]]
Modify = Callable[["ExecutionContext", Parameters], Modified]
Utility = Callable[["SessionServices"], CommandResult]


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """One statement, ready to run any number of times in any session of its database and role.

    SELECT: `rows` always; `point` too when it reads a row or a few by key. MODIFY: `modify`
    always; `point_modify` too when it changes one row. The point forms are plain calls: they
    return at once, or raise `helios_storage` `Blocked` before any effect, and the caller then
    runs `rows`/`modify` in the session's greenlet. UTILITY: `utility`.

    `dependencies` are (oid, version) of every catalog object that the plan was made from; a plan
    whose dependency has another version now is stale and must be prepared again.
    """

    kind: StatementKind
    tag: str
    columns: tuple[ResultColumn, ...] | None
    parameter_types: tuple[int, ...]
    dependencies: tuple[tuple[int, int], ...] = ()
    rows: Rows | None = None
    point: Point | None = None
    modify: Modify | None = None
    point_modify: PointModify | None = None
    utility: Utility | None = None
    # It locks the rows that it finds: give it `transaction.snapshot(newest=True)`.
    locks_rows: bool = False
    # writes: refused in a read-only transaction (25006 names `tag`).
    writes: bool = False
    # Runs outside the transaction block's failed state and without a snapshot (COMMIT, ROLLBACK).
    allowed_in_failed_block: bool = False
    # 25001 inside a transaction block (VACUUM, CREATE DATABASE).
    forbidden_in_block: bool = False
    # The syntax tree of a utility statement (the session looks at COPY, FETCH and the like).
    statement: object = None
    # What the current role needs (sql.bound.Privilege); checked when it runs first, and again when
    # privileges have changed.
    privileges: tuple[Privilege, ...] = ()
    # What its rows are drawn from (security/budgets.py); such a program has no point forms.
    budgets: tuple[Budget, ...] = ()
    # Generated source by pipeline, for EXPLAIN (VERBOSE) and for reading in a debugger.
    sources: tuple[str, ...] = field(default=(), repr=False)
    # The physical plan, for EXPLAIN.
    plan: object = field(default=None, repr=False)

    def command_tag(self, count: int) -> str:
        """The CommandComplete text for `count` rows."""
        if self.tag == "INSERT":
            return f"INSERT 0 {count}"
        if self.kind is StatementKind.UTILITY:
            return self.tag
        return f"{self.tag} {count}"
