"""Where sealed pages rest. One interface; engines beside it.

A page store keeps bytes by page id and root records by number. It knows neither trees nor keys:
what it holds is sealed. One thread writes (`StoreWrite`), any thread reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol


class StoreWrite(Protocol):
    """One transaction of the page store: all of it is there after `commit`, or nothing.

    Begun, used and ended by one thread; `commit` returns once it is durable.
    """

    def put(self, page_id: int, sealed: bytes) -> None:
        """Store a page. Raises `StorageFull`."""
        ...

    def delete(self, page_ids: Iterable[int]) -> None:
        """Forget pages; absent ones are no error (a crash may have come between)."""
        ...

    def put_root(self, number: int, sealed: bytes, *, keep_from: int) -> None:
        """Store root record `number` and forget those before `keep_from`."""
        ...

    def commit(self) -> None:
        """Make it durable. Raises `StorageFull`; then nothing of it is there."""
        ...

    def abort(self) -> None:
        """Leave the store as it was."""
        ...


class PageStore(Protocol):
    """An engine that keeps pages."""

    def read(self, page_ids: Sequence[int]) -> list[bytes | None]:
        """The sealed pages, None for absent ones. Releases the GIL; from any thread."""
        ...

    def roots(self) -> list[tuple[int, bytes]]:
        """All root records, (number, sealed), the newest first."""
        ...

    def begin_write(self) -> StoreWrite:
        """Begin the one write transaction."""
        ...

    def page_ids_from(self, page_id: int) -> list[int]:
        """Every stored id that is at least `page_id` (orphans after a crash)."""
        ...

    def page_count(self) -> int:
        """How many pages are stored."""
        ...

    def size_bytes(self) -> int:
        """What the store's file holds, free pages in it included."""
        ...

    def close(self) -> None:
        """Close the store; no transaction may be open."""
        ...
