"""What a type or a function may ask of the session that evaluates it.

The rooms above implement these Protocols: `CatalogLookup` is the catalog's side, `EvalContext` the
session's. Times are microseconds since 2000-01-01 UTC, as in every timestamptz value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from heliosd.types.styles import Styles


class CatalogLookup(Protocol):
    """Names and oids as this session sees them (its search_path, its transaction's changes).

    `kind` says which catalog: "relation", "type", "function", "operator", "schema", "role",
    "collation", "database", "constraint", "config", "dictionary". Names are the parts as written,
    already folded and unquoted: `("public", "t")`.
    """

    def find_oid(self, kind: str, name: tuple[str, ...]) -> int | None:
        """The oid that `name` means here; None when nothing has it. 42501 for a relation or type in
        a schema that the current role may not use. The last part of a "procedure" is its argument
        types' oids, with commas."""
        ...

    def find_name(self, kind: str, oid: int) -> tuple[str, str] | None:
        """(schema, name); the schema is "" for kinds that live in none."""
        ...

    def is_visible(self, kind: str, oid: int) -> bool | None:
        """Whether the bare name finds this object; None when there is no such object."""
        ...

    def element_type(self, oid: int) -> int:
        """The element type of an array over a type that a user made; 0 for any other."""
        ...

    def definition(
        self, kind: str, oid: int, column: int = 0, *, pretty: bool = False
    ) -> str | None:
        """Canonical SQL: kind "index" | "constraint" | "view" | "function" | "expression" |
        "trigger" | "rule" | "statistics"; `column` is an index column, 0 for the whole."""
        ...

    def expression_text(self, text: str, relation: int, *, pretty: bool = False) -> str:
        """Stored text over a relation's columns, as this session should see it."""
        ...

    def comment(self, catalog: str, oid: int, column: int = 0) -> str | None:
        """The COMMENT on an object; `catalog` as in "pg_class", "" for any."""
        ...

    def has_privilege(
        self, role: int, kind: str, oid: int, column: int, privilege: str
    ) -> bool | None:
        """Whether `role` (0: PUBLIC) holds one privilege, such as "SELECT WITH GRANT OPTION".

        `kind`: relation, schema, database, type, function, language, tablespace. `column` 0: the
        object itself, -1: any column. None: there is no such object or column."""
        ...

    def has_parameter_privilege(self, role: int, name: str, privilege: str) -> bool:
        """The same on a setting."""
        ...

    def is_member(self, role: int, of_role: int, mode: str) -> bool:
        """`mode` "MEMBER", "USAGE", "SET", or "... WITH ADMIN OPTION"."""
        ...

    def has_row_security(self, role: int, relation: int) -> bool:
        """Whether policies decide what the role sees of the table."""
        ...

    def column_number(self, relation: int, name: str) -> int | None:
        """The attribute number of a column."""
        ...

    def relation_size(self, oid: int, fork: str) -> int | None:
        """Bytes of one relation: fork "main", "indexes", "table" or "total"."""
        ...

    def database_size(self, oid: int) -> int | None: ...
    def owned_sequence(self, relation: int, column: int) -> int | None:
        """The sequence of a serial or identity column."""
        ...

    def search_path(self, *, implicit: bool) -> tuple[str, ...]:
        """The schemas that exist, in order; `implicit` adds pg_catalog and the temporary one."""
        ...


class SequenceAccess(Protocol):
    """Sequences by oid. 42501, 42809 and 2200H are raised here."""

    def nextval(self, oid: int) -> int: ...
    def currval(self, oid: int) -> int: ...
    def lastval(self) -> int: ...
    def setval(self, oid: int, value: int, *, is_called: bool) -> int: ...


class AdvisoryLocks(Protocol):
    """Advisory locks: a key is one int8, or two int4 (then `key` has both and `pair` is true)."""

    def lock(
        self, key: tuple[int, int], *, pair: bool, shared: bool, session: bool, wait: bool
    ) -> bool: ...
    def unlock(self, key: tuple[int, int], *, pair: bool, shared: bool) -> bool: ...
    def unlock_all(self) -> None: ...


class SecurityAccess(Protocol):
    """What heliosd's own functions ask for: budgets, and access at another time."""

    def set_budget(
        self,
        role: str,
        relation: int | None,
        rows: int | None,
        size_bytes: int | None,
        period_us: int,
    ) -> None: ...
    def drop_budget(self, role: str, relation: int | None) -> bool: ...
    def access_history(
        self, relation: int, column: str | None, at_us: int
    ) -> Iterator[tuple[Any, ...]]: ...


class EvalContext(Protocol):
    """One session as its expressions see it."""

    @property
    def transaction_us(self) -> int:
        """now(): when this transaction began."""
        ...

    @property
    def statement_us(self) -> int:
        """statement_timestamp(): when the last message arrived."""
        ...

    def clock_us(self) -> int:
        """clock_timestamp()."""
        ...

    @property
    def styles(self) -> Styles:
        """DateStyle, IntervalStyle, TimeZone, extra_float_digits, bytea_output, parsed once."""
        ...

    def setting(self, name: str) -> str:
        """The shown text of a setting; 42704 when unknown."""
        ...

    def set_setting(self, name: str, value: str | None, *, local: bool) -> str:
        """set_config(); answers the new shown text."""
        ...

    @property
    def current_role(self) -> str: ...
    @property
    def session_role(self) -> str: ...
    @property
    def current_role_oid(self) -> int: ...
    @property
    def database(self) -> str: ...
    @property
    def database_oid(self) -> int: ...
    @property
    def catalog(self) -> CatalogLookup: ...
    @property
    def sequences(self) -> SequenceAccess: ...
    @property
    def advisory_locks(self) -> AdvisoryLocks: ...
    @property
    def security(self) -> SecurityAccess: ...
    @property
    def backend_pid(self) -> int: ...
    @property
    def client_address(self) -> tuple[str, int] | None:
        """(address, port); None on a unix socket."""
        ...

    @property
    def server_address(self) -> tuple[str, int] | None: ...
    @property
    def server_start_us(self) -> int: ...
    def transaction_id(self, *, assign: bool) -> int | None:
        """This transaction's 64-bit id; without `assign` None if it has none yet."""
        ...

    def sleep(self, seconds: float) -> None:
        """Gives the loop to others; cancellation and timeouts are thrown out of it."""
        ...

    def check_interrupts(self) -> None:
        """Long loops call it about every millisecond: yields, or raises 57014."""
        ...

    def notice(self, severity: str, message: str, *, sqlstate: str = "00000") -> None:
        """A NoticeResponse; severity "NOTICE", "WARNING", "INFO" ..."""
        ...

    def notify(self, channel: str, payload: str) -> None:
        """pg_notify()."""
        ...

    def check_domain(self, oid: int, value: Any) -> Any:
        """The value, when a domain's own constraints allow it: 23502, 23514."""
        ...

    def cancel_backend(self, pid: int) -> bool:
        """pg_cancel_backend: false with a warning when there is no such backend; 42501."""
        ...

    def terminate_backend(self, pid: int) -> bool: ...
    def call_routine(
        self,
        oid: int,
        arguments: tuple[int, ...],
        result: int,
        values: tuple[Any, ...],
        columns: tuple[tuple[str, int], ...] = (),
    ) -> Any:
        """The value of a user's function, called with values of these types.

        `columns`: those that the call declared for a function that returns "record".
        """
        ...

    def routine_rows(
        self,
        oid: int,
        arguments: tuple[int, ...],
        result: int,
        values: tuple[Any, ...],
        columns: tuple[tuple[str, int], ...] = (),
    ) -> Iterator[Any]:
        """The values of a user's set-returning function."""
        ...

    def cursor_place(self, name: str, table: int) -> tuple[Any, ...] | None:
        """What finds the row of a table on which a cursor stands; None: no row of it. 34000,
        24000."""
        ...

    def random(self) -> float:
        """This session's generator, in [0, 1)."""
        ...

    def set_seed(self, seed: float) -> None: ...
    def reload_configuration(self) -> bool:
        """pg_reload_conf(); 42501."""
        ...
