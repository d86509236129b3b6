"""The data directory: one server at a time, mode 0700, a format version.

data/
  format      what this directory is: "heliosd store 1", made last at the first start
  lock        held (flock) by the running server; its process id inside
  keyring     keys, wrapped (keyring.py)
  encryption.key   only where no key was configured
  pages/      the page store
  log/        segments of the log
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from helios_storage.errors import StorageRefused

FORMAT_VERSION: Final = 1
FORMAT_NAME: Final = "format"
LOCK_NAME: Final = "lock"
PAGES_NAME: Final = "pages"
LOG_NAME: Final = "log"

_FORMAT_PREFIX: Final = "heliosd store "


def write_file_synced(path: Path, data: bytes) -> None:
    """Put a whole file in its place, mode 0600: after a crash it is the old one or the new one."""
    temporary = path.with_name(path.name + ".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DataDirectory:
    """A locked data directory. The lock goes with `close` or with the process."""

    __slots__ = ("_lock_descriptor", "path")

    def __init__(self, path: Path, lock_descriptor: int) -> None:
        self.path = path
        self._lock_descriptor = lock_descriptor

    @property
    def pages(self) -> Path:
        """Where the page store rests."""
        return self.path / PAGES_NAME

    @property
    def log(self) -> Path:
        """Where the log's segments rest."""
        return self.path / LOG_NAME

    @property
    def is_new(self) -> bool:
        """True until `mark_made`: nothing of a store is here yet, or its making was cut short."""
        return not (self.path / FORMAT_NAME).exists()

    def mark_made(self) -> None:
        """Say that the store is complete: what a first start writes last."""
        write_file_synced(
            self.path / FORMAT_NAME, f"{_FORMAT_PREFIX}{FORMAT_VERSION}\n".encode("ascii")
        )

    def close(self) -> None:
        """Let go of the lock."""
        if self._lock_descriptor >= 0:
            os.close(self._lock_descriptor)
            self._lock_descriptor = -1


def open_directory(path: Path, *, create: bool) -> DataDirectory:
    """Lock a data directory and check that it is one of ours.

    Raises `StorageRefused`: absent (without `create`), not ours, open to others (not 0700), of
    an unknown or newer format, holding foreign files, or in use by another process.
    """
    path = Path(path)
    if not path.exists():
        if not create:
            raise StorageRefused(f'data directory "{path}" does not exist')
        path.mkdir(mode=0o700, parents=True)
        sync_directory(path.parent)
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise StorageRefused(f'data directory "{path}" belongs to another user')
    if status.st_mode & 0o077:
        raise StorageRefused(
            f'data directory "{path}" has mode {status.st_mode & 0o777:04o}; it must be 0700'
        )
    _check_format(path, create=create)
    descriptor = _take_lock(path)
    for name in (PAGES_NAME, LOG_NAME):
        (path / name).mkdir(mode=0o700, exist_ok=True)
    return DataDirectory(path, descriptor)


def _check_format(path: Path, *, create: bool) -> None:
    try:
        text = (path / FORMAT_NAME).read_text("ascii").strip()
    except FileNotFoundError:
        if not create:
            raise StorageRefused(f'"{path}" holds no store') from None
        if (path / PAGES_NAME / "data.mdb").exists() and not (path / "keyring").exists():
            raise StorageRefused(f'"{path}" has pages but neither format nor keys') from None
        return
    except UnicodeDecodeError:
        text = ""
    version = text.removeprefix(_FORMAT_PREFIX)
    if not text.startswith(_FORMAT_PREFIX) or not version.isdigit():
        raise StorageRefused(f'"{path}" is not a heliosd data directory')
    if int(version) != FORMAT_VERSION:
        raise StorageRefused(
            f'"{path}" has store format {version}; this program reads format {FORMAT_VERSION}'
        )


def _take_lock(path: Path) -> int:
    descriptor = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise StorageRefused(
            f'data directory "{path}" is in use by another process ({holder or "unknown"})'
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
    return descriptor
