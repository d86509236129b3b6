"""Rows that a policy or a view's WITH CHECK OPTION does not let in, in PostgreSQL's words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from heliosd.errors import INSUFFICIENT_PRIVILEGE, SqlError

if TYPE_CHECKING:
    from heliosd.execute.context import ExecutionContext
    from heliosd.execute.dml.violations import TableWords
    from heliosd.sql.bound import RowCheck


class CheckWords:
    """One check of one table. Kept with the program, so without the check's expression."""

    __slots__ = ("_policy", "_row", "_using", "_view", "_words")

    def __init__(self, check: RowCheck, words: TableWords) -> None:
        self._view = check.view
        self._policy = check.policy
        self._using = check.using
        self._row = "target" if check.target else "new"
        self._words = words

    def violated(
        self, ctx: ExecutionContext, row: Sequence[Any], written: Iterable[int]
    ) -> NoReturn:
        """44000 with the failing row, or 42501 without a value of it."""
        if self._view:
            raise SqlError(
                "44000",
                f'new row violates check option for view "{self._view}"',
                detail=self._words.failing_row(ctx, row, written),
            )
        named = f' "{self._policy}"' if self._policy else ""
        using = " (USING expression)" if self._using else ""
        raise SqlError(
            INSUFFICIENT_PRIVILEGE,
            f"{self._row} row violates row-level security policy{named}{using} "
            f'for table "{self._words.table.name}"',
        )
