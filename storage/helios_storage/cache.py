"""Pages in memory: a byte budget, a clock that asks nothing of the hot path, reads when needed.

    load -> linked (ref.page is the page) -> hand passes -> cooling (ref.page is None, page kept)
              ^                                                |                  |
              +------------------ load again ------------------+                  +-> gone

A page that is used needs no mark: the hand unlinks it, and whoever still wants it links it back
for a microsecond (`load` finds it cooling). One that nobody missed on its way through the cooling
ring is dropped. That is a clock whose "used" bit is the link itself.

Only stored pages are in the clock. Changed pages belong to the roots that made them; their bytes
are counted (`dirty_bytes`) and too many of them start a checkpoint, which makes them clean.
Nothing is evicted behind the back of code that cannot be suspended: `load` and the loop's own
turns evict, `load_now` never does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Final

from helios_storage.errors import Corrupted
from helios_storage.options import StorageOptions
from helios_storage.page import Inner, Leaf, Page, Ref, children_of, decode_page
from helios_storage.scheduler import InlineScheduler, Scheduler
from helios_storage.seal import PageOpener
from helios_storage.spec import TreeId, TreeSpec
from helios_storage.store import PageStore

_COOLING_SHARE: Final = 8  # an eighth of the budget is on its way out
_QUICK_READ_NS: Final = 150_000
_SLOW_READS_MAX: Final = 3
_PACE_READS: Final = 64
_REF_BYTES: Final = 250  # the clock's own entry, dict slots and allocator slack of one page


_NO_TREE: Final = TreeSpec(TreeId(0), "int", "")  # chunks are alike in every tree


class CacheCounters:
    """What the cache did since the start; plain ints, read by whoever exports metrics."""

    __slots__ = ("evicted", "misses", "prefetched", "relinked")

    def __init__(self) -> None:
        self.misses = 0
        self.relinked = 0
        self.evicted = 0
        self.prefetched = 0


class ReadPace:
    """Whether reads are so quick (the kernel has the pages) that a thread would cost more.

    A read from memory takes 15 us, a hand-off to a thread 100 us and a second run of the statement.
    A read from a disk takes 70 us to milliseconds and must not hold the loop. Three slow reads
    among 64 send all of them to threads, until 64 in a row were quick there.
    """

    __slots__ = ("_count", "_slow", "is_quick")

    def __init__(self) -> None:
        self.is_quick = True
        self._count = 0
        self._slow = 0

    def note(self, nanoseconds: int, pages: int) -> None:
        """A read of so many pages took this long."""
        self._count += 1
        if nanoseconds > _QUICK_READ_NS * pages:
            self._slow += 1
            if self.is_quick and self._slow >= _SLOW_READS_MAX:
                self.is_quick = False
                self._count = self._slow = 0
        if self._count >= _PACE_READS:
            if not self._slow:
                self.is_quick = True
            self._count = self._slow = 0


class Cache:
    """`PageSource` over a page store. Loop's thread only, but for `_read`."""

    def __init__(
        self, store: PageStore, opener: PageOpener, scheduler: Scheduler, options: StorageOptions
    ) -> None:
        self._store = store
        self._opener = opener
        self._scheduler = scheduler
        self.budget_bytes = options.cache_bytes
        self._open_budget = int(options.cache_bytes * options.open_leaf_share)
        self._dirty_budget = int(options.cache_bytes * options.dirty_share)
        self._linked: deque[tuple[Ref, int]] = deque()
        self._cooling: dict[int, tuple[Page, int]] = {}  # page id -> page, in order of arrival
        self._cooling_bytes = 0
        self._open: deque[tuple[Leaf, int]] = deque()
        self._open_bytes = 0
        self._evict_posted = False
        self.used_bytes = 0  # linked and cooling
        self.dirty_bytes = 0  # estimate: pages made since the last checkpoint
        self.grown_bytes = 0  # since the last checkpoint began
        self.on_dirty: Callable[[], None] | None = None
        self.counters = CacheCounters()
        self.pace = ReadPace()

    # ------------------------------------------------------------------ PageSource

    def load(self, ref: Ref, spec: TreeSpec) -> Page:
        """The page of `ref`, also linked into it. May suspend, or raise `Blocked`.

        Raises `Corrupted` (XX001) when the page is absent, or not the one referred to.
        """
        page = self._relink(ref)
        if page is not None:
            return page
        self.counters.misses += 1
        (data,) = self._fetch([(ref.page_id, ref.tag)])
        page = ref.page  # somebody else may have been faster
        if page is None:
            page = self._link(ref, decode_page(data, spec))
            if self.is_over_budget():
                self.evict()
        return page

    def load_now(self, ref: Ref, spec: TreeSpec) -> Page:
        """Like `load`, but never suspends and evicts later: a miss in the middle of a commit."""
        page = self._relink(ref)
        if page is not None:
            return page
        self.counters.misses += 1
        (data,) = self._read([(ref.page_id, ref.tag)])
        page = self._link(ref, decode_page(data, spec))
        if self.is_over_budget():
            self._evict_later()
        return page

    def prefetch(self, refs: list[Ref], spec: TreeSpec) -> list[Page]:
        """The pages of these Refs, read with one hand-off to a thread.

        A scan evicts nobody: what is read is linked only while the budget has room for it.
        """
        pages = [ref.page or self._relink(ref) for ref in refs]
        wanted = [ref for ref, page in zip(refs, pages, strict=True) if page is None]
        if wanted:
            self.counters.prefetched += len(wanted)
            places = [(ref.page_id, ref.tag) for ref in wanted]
            found = iter(self._fetch(places))
            for at, ref in enumerate(refs):
                if pages[at] is None:
                    pages[at] = self._offer(ref, decode_page(next(found), spec))
        return pages  # type: ignore[return-value]

    def may_open(self, leaf: Leaf) -> bool:
        """Whether `leaf` may keep decoded rows: the oldest open leaves close for it."""
        size = _decoded_bytes(leaf)
        if size > self._open_budget:
            return False
        while self._open_bytes + size > self._open_budget and self._open:
            closing, closed = self._open.popleft()
            closing.rows = None
            self._open_bytes -= closed
        self._open.append((leaf, size))
        self._open_bytes += size
        return True

    def grown(self, size_bytes: int) -> None:
        """Changed pages of about this size exist in memory now."""
        self.dirty_bytes += size_bytes
        self.grown_bytes += size_bytes
        if self.dirty_bytes > self._dirty_budget and self.on_dirty is not None:
            self.on_dirty()
        if self.is_over_budget():
            self._evict_soon()

    def shrunk(self, size_bytes: int) -> None:
        """Changed pages of about this size were replaced by newer ones before they were stored."""
        self.dirty_bytes = max(0, self.dirty_bytes - size_bytes)

    # ------------------------------------------------------------------ the clock

    def adopt(self, refs: Sequence[Ref]) -> None:
        """Pages that were just stored may be evicted from now on."""
        for ref in refs:
            page = ref.page
            if page is not None and ref.page_id:
                self._link(ref, page)
        if self.is_over_budget():
            self._evict_soon()

    def is_over_budget(self) -> bool:
        """Whether pages should go: changed pages take their room, clean ones make it."""
        changed = min(self.dirty_bytes, self.budget_bytes - self.budget_bytes // 4)
        return self.used_bytes + self._open_bytes + changed > self.budget_bytes

    def dirty_pressure(self) -> float:
        """Changed pages as a share of what they may take before a checkpoint begins."""
        return self.dirty_bytes / self._dirty_budget

    def evict(self) -> None:
        """Turn the hand until the budget holds, or once around."""
        linked, cooling = self._linked, self._cooling
        cooling_budget = self.budget_bytes // _COOLING_SHARE
        turns = len(linked)
        while self.is_over_budget():
            while turns and self._cooling_bytes < cooling_budget:
                turns -= 1
                self._unlink(*linked.popleft())
            if not cooling:
                return
            page_id = next(iter(cooling))
            _, size = cooling.pop(page_id)
            self._cooling_bytes -= size
            self.used_bytes -= size
            self.counters.evicted += 1

    def _unlink(self, ref: Ref, size: int) -> None:
        page = ref.page
        if page is None or not ref.page_id:  # changed in place since: its root's business now
            self.used_bytes -= size
            return
        if type(page) is Inner and any(child.page is not None for child in page.children):
            self._linked.append((ref, size))  # its children would be lost from sight
            return
        ref.page = None
        if type(page) is Leaf:
            page.rows = None
        replaced = self._cooling.pop(ref.page_id, None)
        if replaced is not None:
            self._cooling_bytes -= replaced[1]
            self.used_bytes -= replaced[1]
        self._cooling[ref.page_id] = (page, size)
        self._cooling_bytes += size

    def _relink(self, ref: Ref) -> Page | None:
        found = self._cooling.pop(ref.page_id, None)
        if found is None:
            if not ref.page_id:
                raise Corrupted("a changed page is not in memory")
            return None
        page, size = found
        self._cooling_bytes -= size
        self.counters.relinked += 1
        ref.page = page
        self._linked.append((ref, size))
        return page

    def _link(self, ref: Ref, page: Page) -> Page:
        size = page.memory_bytes() + _REF_BYTES
        ref.page = page
        self._linked.append((ref, size))
        self.used_bytes += size
        return page

    def _offer(self, ref: Ref, page: Page) -> Page:
        if ref.page is not None:
            return ref.page
        if self.is_over_budget():
            return page
        return self._link(ref, page)

    def _evict_soon(self) -> None:
        """From where no page is being looked at: a single caller (inline) has no later turn."""
        if isinstance(self._scheduler, InlineScheduler):
            self.evict()
        else:
            self._evict_later()

    def _evict_later(self) -> None:
        """In the loop's next turn. A single caller's next `load` or commit evicts."""
        if not self._evict_posted and not isinstance(self._scheduler, InlineScheduler):
            self._evict_posted = True
            self._scheduler.post(self._evict_posted_now)

    def _evict_posted_now(self) -> None:
        self._evict_posted = False
        self.evict()

    # ------------------------------------------------------------------ reading

    def read_page(self, ref: Ref, spec: TreeSpec) -> Page:
        """The page of `ref`, not linked; for walks in a thread."""
        return decode_page(self._read([(ref.page_id, ref.tag)])[0], spec)

    def listed_ids(self, page_id: int) -> list[int]:
        """The ids that a page of a large value lists; none when the page is gone already."""
        (sealed,) = self._store.read([page_id])
        if sealed is None:
            return []
        page = decode_page(self._opener.open(page_id, None, sealed), _NO_TREE)
        return [ref.page_id for ref in children_of(page)]

    def _fetch(self, places: Sequence[tuple[int, bytes]]) -> list[bytes]:
        """Opened pages, read here while reads are quick, else in a thread. May suspend."""
        pace = self.pace
        if pace.is_quick:
            began = perf_counter_ns()
            pages = self._read(places)
            pace.note(perf_counter_ns() - began, len(places))
            return pages
        pages, took = self._scheduler.run_in_thread(self._timed_read, places)
        pace.note(took, len(places))
        return pages

    def _timed_read(self, places: Sequence[tuple[int, bytes]]) -> tuple[list[bytes], int]:
        began = perf_counter_ns()
        return self._read(places), perf_counter_ns() - began

    def _read(self, places: Sequence[tuple[int, bytes]]) -> list[bytes]:
        """Sealed pages from the store, opened. Runs in a thread: LMDB and AES release the GIL."""
        sealed = self._store.read([page_id for page_id, _ in places])
        opened = []
        for (page_id, tag), data in zip(places, sealed, strict=True):
            if data is None:
                raise Corrupted(f"page {page_id} is referred to, but absent")
            opened.append(self._opener.open(page_id, tag, data))
        return opened


def _decoded_bytes(leaf: Leaf) -> int:
    """What decoded rows would cost (the leaf's own estimate, of which rows are a part)."""
    n = len(leaf.writers)
    return n * (48 + 36 * len(leaf.layout.shapes)) + len(leaf.heap)
