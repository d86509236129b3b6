"""The book of failed logins at rest: one sealed file, written anew when there is something new.

| offset | size | content |
|---|---|---|
| 0 | 8 | magic |
| 8 | 16 | salt: a fresh key each time, so that the nonce may be zero |
| 24 | - | AES-256-GCM: for each record key length (1), key, record length (1), record |

A file that is gone or does not open starts an empty book: it slows guessing down, and its loss
must not keep the server from starting. Who can alter it could remove it as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from helios_storage.directory import write_file_synced

FILE_NAME: Final = "failed-logins"
_MAGIC: Final = b"HLOGINS1"
_SALT_BYTES: Final = 16
_NONCE: Final = bytes(12)
_USE: Final = b"heliosd/v1/lockout-file"


class LockoutFile:
    """`read` once, then `write` what changed since. Not for two threads at once."""

    def __init__(self, directory: Path, secret: bytes) -> None:
        self._path = directory / FILE_NAME
        self._secret = secret
        self._records: dict[bytes, bytes] = {}

    def read(self) -> Iterator[tuple[bytes, bytes]]:
        """(key, record) of everything written down."""
        try:
            data = self._path.read_bytes()
            plain = self._cipher(data[8:24]).decrypt(_NONCE, data[24:], _MAGIC)
        except (OSError, InvalidTag, ValueError):
            return
        at = 0
        while at < len(plain):
            parts = []
            for _ in range(2):
                size = plain[at]
                parts.append(plain[at + 1 : at + 1 + size])
                at += 1 + size
            self._records[parts[0]] = parts[1]
        yield from list(self._records.items())

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Take the changes in and write the file. Raises OSError."""
        for key, record in changes.items():
            if record is None:
                self._records.pop(key, None)
            else:
                self._records[key] = record
        plain = b"".join(
            bytes((len(key),)) + key + bytes((len(record),)) + record
            for key, record in self._records.items()
        )
        salt = os.urandom(_SALT_BYTES)
        sealed = self._cipher(salt).encrypt(_NONCE, plain, _MAGIC)
        write_file_synced(self._path, _MAGIC + salt + sealed)

    def _cipher(self, salt: bytes) -> AESGCM:
        key = HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=_USE)
        return AESGCM(key.derive(self._secret))


def forget_failed_logins(directory: Path) -> None:
    """Start an empty book (`heliosd reset-password`)."""
    (directory / FILE_NAME).unlink(missing_ok=True)
