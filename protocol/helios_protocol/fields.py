"""The fields of ErrorResponse and NoticeResponse, and the wire's own errors.

| code | field | code | field | code | field |
|---|---|---|---|---|---|
| S | severity, localised | p | internal position | d | data type |
| V | severity | q | internal query | n | constraint |
| C | SQLSTATE | W | context | F | file |
| M | message | s | schema | L | line |
| D | detail | t | table | R | routine |
| H | hint | c | column | | |
| P | position | | | | |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PROTOCOL_VIOLATION: Final = "08P01"
CHARACTER_NOT_IN_REPERTOIRE: Final = "22021"


@dataclass(frozen=True, slots=True)
class Fields:
    """Positions are 1-based characters, 0 when unknown; absent texts are None.

    `file`, `line` and `routine` exist for clients' and tests' decoding; heliosd sends none.
    """

    severity: str
    sqlstate: str
    message: str
    detail: str | None = None
    hint: str | None = None
    position: int = 0
    internal_position: int = 0
    internal_query: str | None = None
    context: str | None = None
    schema: str | None = None
    table: str | None = None
    column: str | None = None
    datatype: str | None = None
    constraint: str | None = None
    file: str | None = None
    line: int = 0
    routine: str | None = None


# In PostgreSQL's order of sending; V repeats S untranslated.
FIELD_CODES: Final[tuple[tuple[str, str], ...]] = (
    ("S", "severity"),
    ("V", "severity"),
    ("C", "sqlstate"),
    ("M", "message"),
    ("D", "detail"),
    ("H", "hint"),
    ("P", "position"),
    ("p", "internal_position"),
    ("q", "internal_query"),
    ("W", "context"),
    ("s", "schema"),
    ("t", "table"),
    ("c", "column"),
    ("d", "datatype"),
    ("n", "constraint"),
    ("F", "file"),
    ("L", "line"),
    ("R", "routine"),
)
NUMBER_FIELDS: Final = frozenset({"position", "internal_position", "line"})


class WireError(Exception):
    """What the peer sent cannot be used. Has what an ErrorResponse needs.

    `fatal`: the frames themselves cannot be trusted any more, so the connection must end;
    otherwise the frame was well cut and the session lives (an extended query skips to Sync).
    """

    def __init__(
        self, sqlstate: str, message: str, *, fatal: bool, detail: str | None = None
    ) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message
        self.detail = detail
        self.fatal = fatal

    def fields(self) -> Fields:
        """The ErrorResponse's fields."""
        severity = "FATAL" if self.fatal else "ERROR"
        return Fields(severity, self.sqlstate, self.message, detail=self.detail)


class ProtocolViolation(WireError):
    """08P01: a frame or a message that the protocol does not allow here."""

    def __init__(self, message: str, *, fatal: bool = False, detail: str | None = None) -> None:
        super().__init__(PROTOCOL_VIOLATION, message, fatal=fatal, detail=detail)


class BadText(WireError):
    """22021: text that is not valid in the client's encoding, or that holds a NUL."""

    def __init__(self, encoding: str, offending: bytes) -> None:
        shown = " ".join(f"0x{byte:02x}" for byte in offending)
        super().__init__(
            CHARACTER_NOT_IN_REPERTOIRE,
            f'invalid byte sequence for encoding "{encoding}": {shown}',
            fatal=False,
        )
