"""What a client is told when a statement fails: one exception class, PostgreSQL's SQLSTATEs.

Every station raises `SqlError`; storage and wire errors become `SqlError`s in
`from_storage_error` only. The text of a message is PostgreSQL's wherever PostgreSQL has one.
"""

from __future__ import annotations

from typing import Final

from helios_storage.errors import DeadlockDetected, SerializationConflict, StorageError


class SqlError(Exception):
    """An error with PostgreSQL's fields, ready for an ErrorResponse.

    `position` is the 1-based character (not byte) in the statement's text, 0 when unknown.
    """

    __slots__ = (
        "column",
        "constraint",
        "context",
        "datatype",
        "detail",
        "hint",
        "internal_position",
        "internal_query",
        "message",
        "position",
        "schema",
        "severity",
        "sqlstate",
        "table",
    )

    def __init__(
        self,
        sqlstate: str,
        message: str,
        *,
        detail: str | None = None,
        hint: str | None = None,
        position: int = 0,
        severity: str = "ERROR",
        context: str | None = None,
        schema: str | None = None,
        table: str | None = None,
        column: str | None = None,
        datatype: str | None = None,
        constraint: str | None = None,
        internal_position: int = 0,
        internal_query: str | None = None,
    ) -> None:
        super().__init__(message)
        assert len(sqlstate) == 5, sqlstate
        self.sqlstate = sqlstate
        self.message = message
        self.detail = detail
        self.hint = hint
        self.position = position
        self.severity = severity
        self.context = context
        self.schema = schema
        self.table = table
        self.column = column
        self.datatype = datatype
        self.constraint = constraint
        self.internal_position = internal_position
        self.internal_query = internal_query

    def __str__(self) -> str:
        return f"{self.sqlstate} {self.message}"


def not_supported(feature: str, *, position: int = 0, hint: str | None = None) -> SqlError:
    """0A000 naming the feature: what is not built yet says so, it never answers wrongly."""
    return SqlError("0A000", f"{feature} is not supported", position=position, hint=hint)


def syntax_error(near: str, position: int) -> SqlError:
    """42601 in PostgreSQL's words; an empty `near` means the text ended too early."""
    if not near:
        return SqlError("42601", "syntax error at end of input", position=position)
    return SqlError("42601", f'syntax error at or near "{near}"', position=position)


def from_storage_error(error: StorageError) -> SqlError:
    """Storage's refusal as a client should see it, in PostgreSQL's words where it has them."""
    if isinstance(error, DeadlockDetected):
        detail = "\n".join(
            f"Process {waiter} waits for {what}; blocked by process {holder}."
            for waiter, what, holder in error.waits
        )
        return SqlError(
            error.sqlstate, str(error), detail=detail, hint="See server log for query details."
        )
    if isinstance(error, SerializationConflict):
        return SqlError(
            error.sqlstate,
            str(error),
            detail=error.detail,
            hint="The transaction might succeed if retried." if error.detail else None,
        )
    return SqlError(error.sqlstate, str(error))


# SQLSTATEs that more than one room raises, by PostgreSQL's condition names (errcodes appendix).
SUCCESSFUL_COMPLETION: Final = "00000"
WARNING: Final = "01000"
PROTOCOL_VIOLATION: Final = "08P01"
FEATURE_NOT_SUPPORTED: Final = "0A000"
CARDINALITY_VIOLATION: Final = "21000"
STRING_DATA_RIGHT_TRUNCATION: Final = "22001"
NUMERIC_VALUE_OUT_OF_RANGE: Final = "22003"
DATETIME_FIELD_OVERFLOW: Final = "22008"
DIVISION_BY_ZERO: Final = "22012"
CHARACTER_NOT_IN_REPERTOIRE: Final = "22021"
INVALID_PARAMETER_VALUE: Final = "22023"
INVALID_TEXT_REPRESENTATION: Final = "22P02"
INVALID_BINARY_REPRESENTATION: Final = "22P03"
BAD_COPY_FILE_FORMAT: Final = "22P04"
NOT_NULL_VIOLATION: Final = "23502"
FOREIGN_KEY_VIOLATION: Final = "23503"
UNIQUE_VIOLATION: Final = "23505"
CHECK_VIOLATION: Final = "23514"
ACTIVE_SQL_TRANSACTION: Final = "25001"
READ_ONLY_SQL_TRANSACTION: Final = "25006"
NO_ACTIVE_SQL_TRANSACTION: Final = "25P01"
IN_FAILED_SQL_TRANSACTION: Final = "25P02"
INVALID_SQL_STATEMENT_NAME: Final = "26000"
INVALID_AUTHORIZATION_SPECIFICATION: Final = "28000"
INVALID_PASSWORD: Final = "28P01"  # noqa: S105  the condition's name, not a secret
INVALID_CURSOR_NAME: Final = "34000"
INVALID_CATALOG_NAME: Final = "3D000"
INVALID_SCHEMA_NAME: Final = "3F000"
SERIALIZATION_FAILURE: Final = "40001"
DEADLOCK_DETECTED: Final = "40P01"
SYNTAX_ERROR: Final = "42601"
INSUFFICIENT_PRIVILEGE: Final = "42501"
GROUPING_ERROR: Final = "42803"
DATATYPE_MISMATCH: Final = "42804"
INVALID_COLUMN_REFERENCE: Final = "42P10"
UNDEFINED_COLUMN: Final = "42703"
UNDEFINED_FUNCTION: Final = "42883"
UNDEFINED_TABLE: Final = "42P01"
UNDEFINED_PARAMETER: Final = "42P02"
UNDEFINED_OBJECT: Final = "42704"
DUPLICATE_COLUMN: Final = "42701"
DUPLICATE_OBJECT: Final = "42710"
DUPLICATE_TABLE: Final = "42P07"
AMBIGUOUS_COLUMN: Final = "42702"
AMBIGUOUS_FUNCTION: Final = "42725"
CANNOT_COERCE: Final = "42846"
INDETERMINATE_DATATYPE: Final = "42P18"
WRONG_OBJECT_TYPE: Final = "42809"
DEPENDENT_OBJECTS_STILL_EXIST: Final = "2BP01"
OUT_OF_MEMORY: Final = "53200"
TOO_MANY_CONNECTIONS: Final = "53300"
CONFIGURATION_LIMIT_EXCEEDED: Final = "53400"
STATEMENT_TOO_COMPLEX: Final = "54001"
OBJECT_NOT_IN_PREREQUISITE_STATE: Final = "55000"
LOCK_NOT_AVAILABLE: Final = "55P03"
QUERY_CANCELED: Final = "57014"
ADMIN_SHUTDOWN: Final = "57P01"
CANNOT_CONNECT_NOW: Final = "57P03"
INTERNAL_ERROR: Final = "XX000"
DATA_CORRUPTED: Final = "XX001"
