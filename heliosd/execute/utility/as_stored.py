"""What DDL reads for itself: rows and values as they are stored, whatever the role may see of them.

A constraint is validated, an index built and a table rewritten over every row and the real values:
policies and masks are about what a role is shown. Whether the role may have the work done, and
what an error may show of it, is for the statement to decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliosd.execute.planning import prepare_bound
from heliosd.sql.bind.statement import bind_statement

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.execute.program import Program
    from heliosd.sql.tree.base import Statement


def prepare_as_stored(session: SessionServices, statement: Statement) -> Program:
    """The program of a query that the server asks itself."""
    scope = session.bind_scope()
    return prepare_bound(bind_statement(statement, scope), scope, session.storage.row_count)
