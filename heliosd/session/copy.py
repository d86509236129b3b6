"""COPY's streams between a utility statement and the wire."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from helios_protocol import messages as m
from helios_protocol.encode import COPY_DONE, copy_data, encode
from heliosd.errors import QUERY_CANCELED, SqlError
from heliosd.execute.context import CopyFormat

_COPY_DATA: Final = struct.Struct("!cI")


class CopyOwner(Protocol):
    """What a stream needs of its session."""

    def send(self, data: bytes) -> None: ...
    def send_streaming(self, data: bytes) -> None:
        """As `send`, but waits for a slow reader."""
        ...

    def start_copy_in(self) -> None: ...
    def take_copy_data(self) -> bytes:
        """What the CopyData that are there hold; b"" when the next message is another."""
        ...

    def wait_message(self) -> m.FrontendMessage: ...


def _formats(form: CopyFormat) -> tuple[int, tuple[int, ...]]:
    code = 1 if form.binary else 0
    return code, (code,) * form.columns


class CopyIn:
    """The client's CopyData; implements `execute.context.CopyInStream`."""

    __slots__ = ("_owner", "ended")

    def __init__(self, owner: CopyOwner, form: CopyFormat) -> None:
        self._owner = owner
        self.ended = False
        owner.send(encode(m.CopyInResponse(*_formats(form))))
        owner.start_copy_in()

    def __iter__(self) -> Iterator[bytes]:
        """Chunks until CopyDone; 57014 at CopyFail."""
        while not self.ended:
            data = self._owner.take_copy_data()
            if data:
                yield data
                continue
            message = self._owner.wait_message()
            if isinstance(message, m.CopyData):
                yield message.data
            elif isinstance(message, m.CopyDone):
                self.ended = True
            else:
                assert isinstance(message, m.CopyFail), "the wire's table lets no other through"
                self.ended = True
                raise SqlError(QUERY_CANCELED, f"COPY from stdin failed: {message.reason}")


class CopyOut:
    """CopyData to the client; implements `execute.context.CopyOutStream`."""

    __slots__ = ("_owner",)

    def __init__(self, owner: CopyOwner, form: CopyFormat) -> None:
        self._owner = owner
        owner.send(encode(m.CopyOutResponse(*_formats(form))))

    def write(self, data: bytes) -> None:
        """One CopyData."""
        self._owner.send_streaming(copy_data(data))

    def write_rows(self, rows: Sequence[bytes]) -> None:
        """A CopyData per row, handed over together."""
        pack = _COPY_DATA.pack
        pieces = [piece for row in rows for piece in (pack(b"d", len(row) + 4), row)]
        self._owner.send_streaming(b"".join(pieces))

    def write_lines(self, data: bytes) -> None:
        """A CopyData per line; `data` ends with a line break."""
        lines = data.split(b"\n")
        lines.pop()
        heads = {size: _COPY_DATA.pack(b"d", size + 5) for size in set(map(len, lines))}
        framed = b"\n".join([heads[len(line)] + line for line in lines])
        self._owner.send_streaming(framed + b"\n")

    def write_framed(self, frames: bytes) -> None:
        """Whole CopyData frames, made already."""
        self._owner.send_streaming(frames)

    def finish(self) -> None:
        """CopyDone."""
        self._owner.send(COPY_DONE)
