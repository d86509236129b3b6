"""The server's log: one JSON object a line on stderr, or in the file it was given.

Only declared words and numbers go in: callers name the fields, and no field is ever a statement's
literal, a password or a key (S-33).
"""

from __future__ import annotations

import json
import sys
import traceback
from datetime import UTC, datetime
from typing import Final, TextIO

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
Field = str | int | float | bool | None


class Log:
    """Writes structured lines at or above a level."""

    __slots__ = ("_least", "_stream")

    def __init__(self, level: str = "info", stream: TextIO | None = None) -> None:
        self._least = _LEVELS[level]
        self._stream = stream if stream is not None else sys.stderr

    def set_level(self, level: str) -> None:
        """Change the least level, by its name."""
        self._least = _LEVELS[level]

    @property
    def debugging(self) -> bool:
        """Whether debug lines are written: lets a hot path skip building them."""
        return self._least <= _LEVELS["debug"]

    def debug(self, event: str, **fields: Field) -> None:
        """A line for those who look inside."""
        self._write("debug", event, fields)

    def info(self, event: str, **fields: Field) -> None:
        """A line for operators."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Field) -> None:
        """Something an operator should look at."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: Field) -> None:
        """Something that failed."""
        self._write("error", event, fields)

    def exception(self, event: str, error: BaseException, **fields: Field) -> None:
        """An unexpected error with where it came from, never its values (S-33, S-34)."""
        frames = [
            f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)
        ]
        named = {**fields, "error": type(error).__name__, "frames": " < ".join(reversed(frames))}
        self._write("error", event, named)

    def _write(self, level: str, event: str, fields: dict[str, Field]) -> None:
        if _LEVELS[level] < self._least:
            return
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": moment, "level": level, "event": event, **fields})
        self._stream.write(line + "\n")
        self._stream.flush()
