"""Temporary files: what a statement keeps beyond work_mem, encrypted under a key of the moment.

A file has no name from the start (it goes when it is closed, or with the process) and a random key
that never leaves memory. It is written once and read in order, frame by frame:

    0  4   bytes of the sealed frame, little-endian
    4      AES-256-GCM of a pickled list; the nonce is the frame's number, so none is used twice

Pickle is safe here and only here: what is read is authenticated as what this process wrote.
"""

from __future__ import annotations

import os
import pickle
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from heliosd.errors import SqlError

_SIZE: Final = struct.Struct("<I")
_NONCE: Final = struct.Struct("<QI")


class TempSpace:
    """What one statement's temporary files take together; 53400 past `limit_bytes` (-1: none)."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.size_bytes = 0

    def take(self, size_bytes: int) -> None:
        """Account for bytes about to be written."""
        self.size_bytes += size_bytes
        if 0 <= self.limit_bytes < self.size_bytes:
            raise SqlError(
                "53400",
                f"temporary file size exceeds temp_file_limit ({self.limit_bytes // 1024}kB)",
            )


class TempFile:
    """Lists of rows, written in order and read in the same order any number of times."""

    def __init__(self, directory: Path, space: TempSpace) -> None:
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115  # see close
        self._space = space
        self._cipher = AESGCM(AESGCM.generate_key(256))
        self._frames = 0
        self._end = 0

    def write(self, rows: list[Any]) -> None:
        """Append a frame. Raises what pickle raises for a value that it cannot write."""
        data = pickle.dumps(rows, pickle.HIGHEST_PROTOCOL)
        sealed = self._cipher.encrypt(_NONCE.pack(self._frames, 0), data, None)
        self._space.take(len(sealed) + _SIZE.size)
        os.pwrite(self._file.fileno(), _SIZE.pack(len(sealed)) + sealed, self._end)
        self._frames += 1
        self._end += len(sealed) + _SIZE.size

    def frames(self) -> Iterator[list[Any]]:
        """Every list as it was written."""
        at = 0
        for number in range(self._frames):
            (size,) = _SIZE.unpack(os.pread(self._file.fileno(), _SIZE.size, at))
            sealed = os.pread(self._file.fileno(), size, at + _SIZE.size)
            data = self._cipher.decrypt(_NONCE.pack(number, 0), sealed, None)
            yield pickle.loads(data)  # noqa: S301  # authenticated: this process wrote it
            at += size + _SIZE.size

    def close(self) -> None:
        """Give the space back."""
        self._file.close()
        self._space.size_bytes -= self._end
        self._end = self._frames = 0
