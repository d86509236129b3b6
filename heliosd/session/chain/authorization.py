"""Authorization: may this statement run here and now, and does its program still hold?

Which privileges a program needs was decided when it was made, together with what it leaned on: the
versions of the objects, and the counters of names and roles. A revoke moves a version, so the next
statement finds its program stale and is decided anew (S-14).
"""

from __future__ import annotations

from typing import Final, Protocol

from heliosd.errors import (
    ACTIVE_SQL_TRANSACTION,
    IN_FAILED_SQL_TRANSACTION,
    READ_ONLY_SQL_TRANSACTION,
    SqlError,
)
from heliosd.execute.program import Program
from heliosd.session.block import Block, BlockState
from heliosd.session.statement_cache import Prepared
from heliosd.sql.tree import Statement, Transaction, TransactionKind

# What a failed block still understands.
_EXITS: Final = frozenset(
    {
        TransactionKind.COMMIT,
        TransactionKind.ROLLBACK,
        TransactionKind.ROLLBACK_TO,
        TransactionKind.PREPARE,
    }
)


class AuthorizedSession(Protocol):
    """What this link looks at."""

    @property
    def block(self) -> Block: ...
    def is_current(self, prepared: Prepared) -> bool: ...
    @property
    def multi_statement(self) -> bool:
        """Whether the statement is one of several in a simple query."""
        ...


class Authorization:
    """One session's link."""

    __slots__ = ("_session",)

    def __init__(self, session: AuthorizedSession) -> None:
        self._session = session

    def check_failed(self, tree: Statement) -> None:
        """25P02 in a failed block, unless the statement ends it."""
        if self._session.block.state is BlockState.FAILED and not (
            isinstance(tree, Transaction) and tree.kind in _EXITS
        ):
            raise failed_block()

    def check_block(self, program: Program) -> None:
        """25001 and 25006 where the block does not allow the statement."""
        session = self._session
        block = session.block
        if program.forbidden_in_block and (block.in_block or session.multi_statement):
            raise SqlError(
                ACTIVE_SQL_TRANSACTION, f"{program.tag} cannot run inside a transaction block"
            )
        if program.writes and block.state is not BlockState.NONE and block.read_only:
            raise SqlError(
                READ_ONLY_SQL_TRANSACTION,
                f"cannot execute {program.tag} in a read-only transaction",
            )

    def enter(self, prepared: Prepared) -> bool:
        """False: the program is stale, prepare it again and ask again."""
        if not self._session.is_current(prepared):
            return False
        self.check_failed(prepared.tree)
        self.check_block(prepared.program)
        return True


def failed_block() -> SqlError:
    """25P02."""
    return SqlError(
        IN_FAILED_SQL_TRANSACTION,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
