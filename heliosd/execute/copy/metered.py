"""COPY TO of rows that budgets or masks are about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from heliosd.catalog.objects import Table
from heliosd.execute.copy.binary import TRAILER
from heliosd.execute.utility.names import current_role_oid
from heliosd.security.masks import reads_masked
from heliosd.security.rewrite import is_restricted

if TYPE_CHECKING:
    from heliosd.catalog.objects import Budget, ColumnedRelation
    from heliosd.execute.context import CopyOutStream, SessionServices
    from heliosd.execute.program import Program, ResultColumn


def may_read_leaves(
    session: SessionServices,
    program: Program,
    relation: ColumnedRelation | None,
    columns: Sequence[ResultColumn],
) -> bool:
    """Whether what rests in the table's leaves is what the role is to get: all rows, no masks."""
    if not isinstance(relation, Table) or program.budgets:
        return False
    role, catalog = current_role_oid(session), session.catalog
    attnums = [relation.column_by_name[column.name].attnum for column in columns]
    return not is_restricted(catalog, role, relation) and not reads_masked(
        catalog, role, relation, attnums
    )


class MeteredStream:
    """A `CopyOutStream` whose rows are drawn from budgets, one call a row, before they are sent."""

    __slots__ = ("_budgets", "_session", "_stream")

    def __init__(
        self, session: SessionServices, budgets: tuple[Budget, ...], stream: CopyOutStream
    ) -> None:
        self._session = session
        self._budgets = budgets
        self._stream = stream

    def write(self, data: bytes) -> None:
        """One CopyData that is no row."""
        self._stream.write(data)

    def write_rows(self, rows: Sequence[bytes]) -> None:
        """Rows as CopyData each; a binary stream's trailer is none."""
        counted = [len(row) for row in rows if row != TRAILER]
        self._session.draw(self._budgets, len(counted), sum(counted))
        self._stream.write_rows(rows)

    def write_lines(self, data: bytes) -> None:
        """Rows as lines."""
        self._session.draw(self._budgets, data.count(b"\n"), len(data))
        self._stream.write_lines(data)

    def write_framed(self, frames: bytes) -> None:
        """Never used for metered rows: they do not come from leaves."""
        raise AssertionError("metered rows are written one by one")

    def finish(self) -> None:
        """CopyDone."""
        self._stream.finish()
