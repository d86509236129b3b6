"""A session's prepared statements: PREPARE and Parse fill the same table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from heliosd.errors import INVALID_SQL_STATEMENT_NAME, SqlError
from heliosd.session.statement_cache import Prepared


@dataclass(slots=True, eq=False)
class NamedStatement:
    """`prepared` is replaced when it becomes stale; the name, text and types stay.

    `prepared` None: the text was empty.
    """

    name: str
    text: str
    prepared: Prepared | None
    given_types: tuple[int, ...]
    created_us: int
    from_sql: bool


def no_such_statement(name: str) -> SqlError:
    """26000."""
    if not name:
        return SqlError(INVALID_SQL_STATEMENT_NAME, "unnamed prepared statement does not exist")
    return SqlError(INVALID_SQL_STATEMENT_NAME, f'prepared statement "{name}" does not exist')


class Statements:
    """By name; "" is the unnamed one, which Parse replaces freely."""

    __slots__ = ("_by_bytes", "_statements", "binds")

    def __init__(self) -> None:
        self._statements: dict[str, NamedStatement] = {}
        # The same by the name's UTF-8, as frames hold it.
        self._by_bytes: dict[bytes, NamedStatement] = {}
        # How frames bound the named ones (`fast.FastBind`), by what those begin with.
        self.binds: dict[bytes, Any] = {}

    def __iter__(self) -> Iterator[NamedStatement]:
        return iter(list(self._statements.values()))

    def find(self, name: str) -> NamedStatement | None:
        """The statement, or None."""
        return self._statements.get(name)

    def by_bytes(self, name: bytes) -> NamedStatement | None:
        """The statement by its name's bytes, or None."""
        return self._by_bytes.get(name)

    def get(self, name: str) -> NamedStatement:
        """The statement; 26000."""
        found = self._statements.get(name)
        if found is None:
            raise no_such_statement(name)
        return found

    def check_free(self, name: str) -> None:
        """42P05 when the name is taken."""
        if name and name in self._statements:
            raise SqlError("42P05", f'prepared statement "{name}" already exists')

    def put(self, statement: NamedStatement) -> None:
        """Add under its name."""
        if statement.name:
            self.binds.clear()
        self._statements[statement.name] = statement
        self._by_bytes[statement.name.encode()] = statement

    def drop(self, name: str) -> bool:
        """Forget it; False when there was none."""
        if name not in self._statements:
            return False
        self.binds.clear()
        del self._statements[name]
        del self._by_bytes[name.encode()]
        return True

    def clear(self) -> None:
        """DEALLOCATE ALL: the unnamed one stays until the next Parse, as in PostgreSQL."""
        unnamed = self._statements.get("")
        self.binds.clear()
        self._statements.clear()
        self._by_bytes.clear()
        if unnamed is not None:
            self.put(unnamed)
