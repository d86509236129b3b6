"""A storage without durability: pages in memory, a log that only counts. For tests."""

from __future__ import annotations

from helios_storage.errors import Corrupted
from helios_storage.manager import TransactionManager
from helios_storage.page import Change, Leaf, Page, Ref
from helios_storage.root import DatabaseRoot, Roots
from helios_storage.scheduler import InlineScheduler, Scheduler
from helios_storage.spec import Lsn, TreeSpec


class MemoryPages:
    """`PageSource` where every page stays in its Ref."""

    def load(self, ref: Ref, spec: TreeSpec) -> Page:
        if ref.page is None:
            raise Corrupted(f"page {ref.page_id} is referred to, but absent")
        return ref.page

    load_now = load

    def prefetch(self, refs: list[Ref], spec: TreeSpec) -> list[Page]:
        return [self.load(ref, spec) for ref in refs]

    def may_open(self, leaf: Leaf) -> bool:
        return True

    def grown(self, size_bytes: int) -> None:
        return None


class MemoryLog:
    """`CommitLog` that is durable at once, as far as it goes."""

    def __init__(self, roots: Roots) -> None:
        self.roots = roots
        self.lsn = Lsn(0)
        self.records: list[tuple[int, list[Change]]] = []
        self.keeps_records = False

    def append(self, xid: int, changes: list[Change]) -> Lsn:
        self.lsn = Lsn(self.lsn + 1)
        if self.keeps_records:
            self.records.append((xid, changes))
        return self.lsn

    def append_ahead(self, xid: int, changes: list[Change]) -> None:
        if self.keeps_records:
            self.records.append((xid, changes))

    def abandon(self, xid: int) -> None:
        return None


class MemoryRoots(Roots):
    """`Roots` where what is published is durable."""

    __slots__ = ()

    def publish(self, root: DatabaseRoot, lsn: Lsn) -> None:
        super().publish(root, lsn)
        root.token.replaced.clear()
        root.dropped.clear()
        if self.durable is not root:
            self.make_durable(self.pin(root))


def open_memory(scheduler: Scheduler | None = None) -> TransactionManager:
    """A transaction manager over nothing but memory."""
    roots = MemoryRoots(DatabaseRoot({}, Lsn(0)))
    return TransactionManager(
        roots, MemoryPages(), MemoryLog(roots), scheduler or InlineScheduler()
    )
