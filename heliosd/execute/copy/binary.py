"""COPY's binary format.

file    signature (11 bytes), flags int32, extension length int32, extension, tuples, trailer
tuple   number of fields int16, then for each: length int32 (-1: NULL), bytes
trailer int16 -1
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from heliosd.errors import BAD_COPY_FILE_FORMAT, SqlError
from heliosd.types.failures import TrailingBytesError

if TYPE_CHECKING:
    from heliosd.catalog.objects import Column
    from heliosd.execute.program import Row
    from heliosd.types.registry import EvalContext, SqlType

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0"
HEADER: Final = SIGNATURE + bytes(8)
TRAILER: Final = b"\xff\xff"
NULL: Final = b"\xff\xff\xff\xff"
_FIELD_BYTES_MAX: Final = 1 << 30
_int16: Final = struct.Struct("!h")
_int32: Final = struct.Struct("!i")


class BinaryReader:
    """A stream of chunks to tuples of field bytes."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._data = b""
        self._at = 0
        self.line = 0
        self.field: int | None = None  # the field that is being read

    def _need(self, size: int) -> bool:
        """Whether `size` more bytes are there; reads on for them."""
        if len(self._data) - self._at >= size:
            return True
        parts = [self._data[self._at :]]
        have = len(parts[0])
        while have < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            parts.append(chunk)
            have += len(chunk)
        self._data = b"".join(parts)
        self._at = 0
        return have >= size

    def _take(self, size: int, message: str) -> bytes:
        if not self._need(size):
            raise SqlError(BAD_COPY_FILE_FORMAT, message)
        start = self._at
        self._at = start + size
        return self._data[start : self._at]

    def read_header(self) -> None:
        """The signature, flags and extension. 22P04."""
        if self._take(11, "COPY file signature not recognized") != SIGNATURE:
            raise SqlError(BAD_COPY_FILE_FORMAT, "COPY file signature not recognized")
        (flags,) = _int32.unpack(self._take(4, "invalid COPY file header (missing flags)"))
        if flags & (1 << 16):
            raise SqlError(BAD_COPY_FILE_FORMAT, "invalid COPY file header (WITH OIDS)")
        if flags & ~0xFFFF & 0xFFFFFFFF:
            raise SqlError(BAD_COPY_FILE_FORMAT, "unrecognized critical flags in COPY file header")
        (length,) = _int32.unpack(self._take(4, "invalid COPY file header (missing length)"))
        if length < 0:
            raise SqlError(BAD_COPY_FILE_FORMAT, "invalid COPY file header (missing length)")
        self._take(length, "invalid COPY file header (wrong length)")

    def tuples(self, width: int) -> Iterator[list[bytes | None]]:
        """Each tuple's fields; what follows the trailer is an error."""
        while True:
            self.line += 1
            if not self._need(2):
                return  # PostgreSQL too takes the end of the stream for the trailer
            (count,) = _int16.unpack(self._take(2, "unexpected EOF in COPY data"))
            if count == -1:
                if self._need(1):
                    raise SqlError(BAD_COPY_FILE_FORMAT, "received copy data after EOF marker")
                return
            if count != width:
                raise SqlError(
                    BAD_COPY_FILE_FORMAT, f"row field count is {count}, expected {width}"
                )
            fields: list[bytes | None] = []
            for self.field in range(count):
                (size,) = _int32.unpack(self._take(4, "unexpected EOF in COPY data"))
                if size == -1:
                    fields.append(None)
                elif size < 0 or size > _FIELD_BYTES_MAX:
                    raise SqlError(BAD_COPY_FILE_FORMAT, "invalid field size")
                else:
                    fields.append(self._take(size, "unexpected EOF in COPY data"))
            self.field = None
            yield fields


def read_tuple(
    fields: Sequence[bytes | None],
    columns: Sequence[Column],
    types: Sequence[SqlType],
    evaluation: EvalContext,
    where: str,
) -> Row:
    """A tuple's values; errors get the context `where, column name`."""
    values: list[Any] = []
    for data, column, kind in zip(fields, columns, types, strict=True):
        if data is None:
            values.append(None)
            continue
        assert kind.receive is not None
        try:
            values.append(kind.receive(data, column.typmod, evaluation))
        except TrailingBytesError:
            raise SqlError(
                "22P03", "incorrect binary data format", context=f"{where}, column {column.name}"
            ) from None
        except SqlError as error:
            error.context = f"{where}, column {column.name}"
            raise
    return tuple(values)


def check_receive(types: Sequence[SqlType]) -> None:
    """42883 for a type without binary input."""
    for kind in types:
        if kind.receive is None:
            raise SqlError("42883", f"no binary input function available for type {kind.display}")
