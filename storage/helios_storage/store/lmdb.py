"""Pages in LMDB (engine 0.9): a copy-on-write B+tree file with atomic, durable commits.

No writemap: a stray write of this process could otherwise reach the file, and dirty pages would
count as the file's, not ours. Readers live for one batch: a held one keeps LMDB from reusing any
page that was freed after it began. The map doubles when it is full; that needs a moment without
readers, hence the gate.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from struct import Struct
from typing import Any, Final

import lmdb

from helios_storage.errors import Corrupted, StorageFull

_ID: Final = Struct("=Q")  # LMDB compares integer keys in native order
_READERS_MAX: Final = 126
_WRITE_ROOM_BYTES: Final = 160 * 1024 * 1024  # five batches of the default size


class _Gate:
    """Many readers, or one who changes the map."""

    __slots__ = ("_condition", "_readers")

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.Lock())
        self._readers = 0

    def __enter__(self) -> None:
        with self._condition:
            self._readers += 1

    def __exit__(self, *exception: object) -> None:
        with self._condition:
            self._readers -= 1
            if not self._readers:
                self._condition.notify_all()

    def alone(self, function: Callable[[], None]) -> None:
        """Run `function` while nobody reads; new readers wait."""
        with self._condition:
            while self._readers:
                self._condition.wait()
            function()


class LmdbStore:
    """`PageStore` over one LMDB environment."""

    __slots__ = ("_gate", "_map_bytes", "env", "pages", "root_records")

    def __init__(
        self, directory: Path, *, map_bytes: int, fsync: bool = True, read_only: bool = False
    ) -> None:
        data = directory / "data.mdb"
        stored = data.stat().st_size if data.exists() else 0
        while map_bytes < stored + _WRITE_ROOM_BYTES:
            map_bytes *= 2
        self._map_bytes = map_bytes
        self._gate = _Gate()
        try:
            self.env = lmdb.open(
                str(directory),
                map_size=map_bytes,
                max_dbs=2,
                mode=0o600,
                writemap=False,
                sync=fsync,
                metasync=fsync,
                readahead=False,  # pages are read at random: read-ahead would evict others' cache
                meminit=True,  # else the slack of its pages shows what this memory held before
                max_readers=_READERS_MAX,
                max_spare_txns=8,
                readonly=read_only,
                create=False,
            )
            self.pages = self.env.open_db(b"pages", integerkey=True, create=not read_only)
            self.root_records = self.env.open_db(b"roots", integerkey=True, create=not read_only)
        except lmdb.Error as error:
            raise Corrupted(f"the page store cannot be opened: {error}") from None

    def read(self, page_ids: Sequence[int]) -> list[bytes | None]:
        """The sealed pages, None for absent ones; one short read transaction."""
        pack = _ID.pack
        try:
            with self._gate, self.env.begin(db=self.pages) as transaction:
                get = transaction.get
                return [get(pack(page_id)) for page_id in page_ids]
        except lmdb.Error as error:
            raise Corrupted(f"the page store cannot be read: {error}") from None

    def roots(self) -> list[tuple[int, bytes]]:
        """All root records, the newest first."""
        with self._gate, self.env.begin(db=self.root_records) as transaction:
            found = [(_ID.unpack(key)[0], value) for key, value in transaction.cursor()]
        return found[::-1]

    def begin_write(self) -> LmdbWrite:
        """Begin the one write transaction."""
        return LmdbWrite(self)

    def page_ids_from(self, page_id: int) -> list[int]:
        """Every stored id that is at least `page_id`, ascending."""
        with self._gate, self.env.begin(db=self.pages) as transaction:
            cursor = transaction.cursor()
            if not cursor.set_range(_ID.pack(page_id)):
                return []
            return [_ID.unpack(key)[0] for key in cursor.iternext(keys=True, values=False)]

    def page_count(self) -> int:
        """How many pages are stored."""
        with self._gate, self.env.begin(db=self.pages) as transaction:
            return int(transaction.stat(self.pages)["entries"])

    def size_bytes(self) -> int:
        """What the file holds, LMDB's free pages included."""
        info = self.env.info()
        return (info["last_pgno"] + 1) * self.env.stat()["psize"]

    def make_room(self) -> None:
        """Double the map, once no reader is in it, unless a write transaction surely fits.

        Deleted pages leave holes that may be too small for new ones: a batch can take all of its
        room at the file's end.
        """
        while self._map_bytes - self.size_bytes() < _WRITE_ROOM_BYTES:
            self._map_bytes *= 2
            self._gate.alone(lambda: self.env.set_mapsize(self._map_bytes))

    def close(self) -> None:
        """Close the environment."""
        self.env.close()


class LmdbWrite:
    """One write transaction."""

    __slots__ = ("_store", "_transaction")

    def __init__(self, store: LmdbStore) -> None:
        self._store = store
        store.make_room()
        self._transaction: Any = store.env.begin(db=store.pages, write=True)

    def put(self, page_id: int, sealed: bytes) -> None:
        """Store a page."""
        try:
            self._transaction.put(_ID.pack(page_id), sealed)
        except lmdb.Error as error:
            raise _full(error) from None

    def delete(self, page_ids: Iterable[int]) -> None:
        """Forget pages; absent ones are no error."""
        delete, pack = self._transaction.delete, _ID.pack
        try:
            for page_id in page_ids:
                delete(pack(page_id))
        except lmdb.Error as error:
            raise _full(error) from None

    def put_root(self, number: int, sealed: bytes, *, keep_from: int) -> None:
        """Store a root record and forget those before `keep_from`."""
        try:
            self._transaction.put(_ID.pack(number), sealed, db=self._store.root_records)
            cursor = self._transaction.cursor(db=self._store.root_records)
            while cursor.first() and _ID.unpack(cursor.key())[0] < keep_from:
                cursor.delete()
        except lmdb.Error as error:
            raise _full(error) from None

    def commit(self) -> None:
        """Make it durable (LMDB syncs data, then its meta page)."""
        try:
            self._transaction.commit()
        except lmdb.Error as error:
            raise _full(error) from None

    def abort(self) -> None:
        """Leave the store as it was."""
        self._transaction.abort()


def _full(error: lmdb.Error) -> StorageFull:
    return StorageFull(f"pages could not be written: {error}")
