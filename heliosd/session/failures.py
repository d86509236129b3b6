"""Whatever a statement raised, as what its client may be told."""

from __future__ import annotations

from helios_protocol.fields import Fields, WireError
from helios_storage.errors import StorageError
from heliosd.errors import OUT_OF_MEMORY, STATEMENT_TOO_COMPLEX, SqlError, from_storage_error


def as_sql_error(error: SqlError | WireError | StorageError) -> SqlError:
    """The errors that have an SQLSTATE of their own."""
    if isinstance(error, SqlError):
        return error
    if isinstance(error, WireError):
        return SqlError(
            error.sqlstate,
            error.message,
            detail=error.detail,
            severity="FATAL" if error.fatal else "ERROR",
        )
    return from_storage_error(error)


def as_told(error: BaseException) -> SqlError | None:
    """Any exception; None for what nobody expected: that is XX000, and the log's business."""
    if isinstance(error, (SqlError, WireError, StorageError)):
        return as_sql_error(error)
    if isinstance(error, RecursionError):
        return SqlError(
            STATEMENT_TOO_COMPLEX,
            "stack depth limit exceeded",
            hint="The statement is nested too deeply.",
        )
    if isinstance(error, MemoryError):
        return SqlError(OUT_OF_MEMORY, "out of memory")
    return None


def error_fields(error: SqlError, severity: str | None = None) -> Fields:
    """An error as an ErrorResponse holds it; `severity` other than its own."""
    return Fields(
        severity or error.severity,
        error.sqlstate,
        error.message,
        detail=error.detail,
        hint=error.hint,
        position=error.position,
        internal_position=error.internal_position,
        internal_query=error.internal_query,
        context=error.context,
        schema=error.schema,
        table=error.table,
        column=error.column,
        datatype=error.datatype,
        constraint=error.constraint,
    )
