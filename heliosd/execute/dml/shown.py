"""What of a row an error may show (S-34): columns that the role may read, masked ones masked.

As in PostgreSQL (CVE-2014-8161, CVE-2021-3393): nothing of a table under row security; a whole row
with SELECT on the table; else the columns that the role may read or has written itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from heliosd.catalog import acl
from heliosd.security.masks import hidden_columns, masked_value
from heliosd.security.rewrite import is_restricted

if TYPE_CHECKING:
    from heliosd.catalog.labels import MaskCall
    from heliosd.catalog.lookup import Catalog
    from heliosd.catalog.objects import Index, Table
    from heliosd.execute.context import ExecutionContext


class ShownRow:
    """One table's rows as errors may show them to the current role. Columns are 0-based."""

    __slots__ = ("_catalog", "_hidden", "_is_closed", "_role", "_table", "is_whole")

    def __init__(self, catalog: Catalog, role: int, table: Table) -> None:
        self._catalog = catalog
        self._role = role
        # As it is now: a mask or a grant may be younger than the program.
        current = catalog.by_oid(table.oid)
        self._table: Table = current if isinstance(current, type(table)) else table
        self._hidden: dict[int, MaskCall] = dict(hidden_columns(catalog, (role,), self._table))
        self._is_closed = is_restricted(catalog, role, self._table)
        self.is_whole = not self._is_closed and acl.has_privilege(
            catalog, role, self._table, acl.SELECT
        )

    def may_read(self, column: int) -> bool:
        """By a grant on the table or on the column."""
        if self._is_closed:
            return False
        one = self._table.columns[column]
        return self.is_whole or acl.has_column_privilege(
            self._catalog, self._role, self._table, one, acl.SELECT
        )

    def sees(self, columns: Iterable[int]) -> bool:
        """Whether it may read all of these as they are."""
        return all(self.may_read(c) and c + 1 not in self._hidden for c in columns)

    def columns(self, written: Iterable[int]) -> list[int]:
        """The columns of a failing row that may be named, in order."""
        if self._is_closed:
            return []
        own = frozenset(written)
        return [
            number
            for number, column in enumerate(self._table.columns)
            if not column.dropped and (number in own or self.may_read(number))
        ]

    def value(self, column: int, value: Any) -> Any:
        """The value, or its mask."""
        call = self._hidden.get(column + 1)
        if call is None:
            return value
        return masked_value(self._catalog, self._table, column + 1, call, value)

    def key(self, columns: Sequence[int], values: Sequence[Any]) -> list[Any] | None:
        """A key's values, masked; None when one of its columns may not be read."""
        if not all(self.may_read(column) for column in columns):
            return None
        return [self.value(c, v) for c, v in zip(columns, values, strict=True)]

    def index_key(self, index: Index, values: Sequence[Any]) -> list[Any] | None:
        """The same for an index; an expression counts for all columns that it reads."""
        shown: list[Any] = []
        for key, value in zip(index.keys, values, strict=True):
            if key.attnum:
                if not self.may_read(key.attnum - 1):
                    return None
                shown.append(self.value(key.attnum - 1, value))
                continue
            read = {r.attnum for r in index.references if r.oid == self._table.oid}
            if not self.is_whole or read & self._hidden.keys():
                return None
            shown.append(value)
        return shown


def shown_row(ctx: ExecutionContext, table: Table) -> ShownRow:
    """What the current role is shown of the table."""
    return ShownRow(ctx.services.catalog, ctx.eval.current_role_oid, table)
