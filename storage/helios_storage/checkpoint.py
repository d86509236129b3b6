"""Checkpoints: changed pages go to the page store, then root record n+1, then the log may go.

    loop      pin a durable root; find its changed pages; encode them, children before parents,
              a batch at a time (<= 1 ms); hand each batch to the page thread; put the ids and tags
              that come back into the Refs
    thread    seal, put, commit each 32 MB; at the end directory, root record, deletions: one commit

What holds (README, durability):

- A page id is handed out once. A page is never overwritten, so root n stays whole while n+1 is
  being written; a crash in between leaves orphans, which the next start deletes by their ids.
- Roots n and n-1 are kept, and the log since n-1. An id that commit D stopped using is deleted with
  root n+1 only if D <= LSN of root n and no older root is read by anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial
from time import monotonic, perf_counter
from typing import Any, Final, TypeAlias

from helios_storage.cache import Cache
from helios_storage.commit import Commits, LargeCommit, PublishedRoots
from helios_storage.errors import StorageError
from helios_storage.garbage import Garbage, inner_ids, tree_ids, with_lists
from helios_storage.options import StorageOptions
from helios_storage.page import PAGE_BYTES, Chunk, EditToken, Leaf, Ref, children_of
from helios_storage.page_writer import Done, PageWriter, Steps
from helios_storage.root import DatabaseRoot, TreeRoot
from helios_storage.root_record import RootRecord, encode_directory, encode_root_record
from helios_storage.scheduler import Scheduler
from helios_storage.seal import ROOT_LEVEL, DataKeys, PageSealer, StoreIdentity
from helios_storage.spec import Lsn
from helios_storage.store import PageStore

DIRECTORY_LEVEL: Final = 253
_PRESSURE_MAX: Final = 1.5

Counters: TypeAlias = tuple[int, int, int, tuple[tuple[int, int, bool], ...]]


class CheckpointState:
    """What the last checkpoint wrote, as the next one needs it."""

    def __init__(self, record: RootRecord, root: DatabaseRoot | None) -> None:
        self.record = record
        self.buckets: dict[int, dict[int, TreeRoot]] = {} if root is None else dict(root.buckets)
        self.places = {number: (page_id, tag) for number, page_id, tag in record.buckets}


class Checkpointer:
    """Starts, drives and ends checkpoints. Loop's thread, but for the page thread's jobs."""

    def __init__(
        self,
        store: PageStore,
        keys: DataKeys,
        identity: StoreIdentity,
        scheduler: Scheduler,
        options: StorageOptions,
        roots: PublishedRoots,
        commits: Commits,
        cache: Cache,
        state: CheckpointState,
        counters: Callable[[], Counters],
    ) -> None:
        """`counters()`: next tree id, next transaction id, key ring generation, sequences."""
        self._keys = keys
        self._identity = identity
        self._options = options
        self._roots = roots
        self._commits = commits
        self._cache = cache
        self._state = state
        self._counters = counters
        self._started = monotonic()
        self._begun_lsn: int = state.record.lsn  # what was durable when the last one began
        self._is_filling = False
        self._awaits_root = False  # a checkpoint waits for the next sync's root
        self._dropped: list[tuple[int, TreeRoot]] = []  # trees whose pages are still stored
        self.pages = PageWriter(
            store, cache, scheduler, options, state.record.next_page_id, self.start_if_due
        )
        self.pages.on_progress = commits.release_held
        self.garbage = Garbage(state.record.garbage, state.record.lsn)
        self.completed = 0

    @property
    def lsn(self) -> int:
        """The LSN of the last complete checkpoint."""
        return self._state.record.lsn

    @property
    def replay_lsn(self) -> int:
        """From where a start after a crash now would replay the log."""
        return self._state.record.replay_lsn

    def close(self) -> None:
        """Stop the page thread."""
        self.pages.close()

    # ------------------------------------------------------------------ when

    def is_due(self) -> bool:
        """Whether enough log or enough time came together."""
        options = self._options
        logged = self._commits.durable_lsn - self._begun_lsn
        if logged >= options.checkpoint_log_bytes:
            return True
        seconds = options.checkpoint_seconds
        return bool(seconds and logged and monotonic() - self._started >= seconds)

    def is_pressed(self) -> bool:
        """Whether commits should wait: changed pages are far above what they may take."""
        return self.pages.is_running and self._cache.dirty_pressure() > _PRESSURE_MAX

    def start_if_due(self) -> None:
        """Begin a checkpoint if one is due and nothing is running."""
        if self._is_idle() and self.is_due():
            self.start(None)

    def start_if_dirty(self) -> None:
        """Begin a checkpoint because changed pages take too much of the cache."""
        if self._is_idle() and self._commits.durable_lsn > self._begun_lsn:
            self.start(None)

    def _is_idle(self) -> bool:
        return not self.pages.is_running and not self.pages.is_closed

    def on_publish(self, replaced: list[Ref], dropped: list[TreeRoot], lsn: Lsn) -> None:
        """A commit was published that replaced these pages and dropped these trees."""
        if dropped:
            self._dropped += [(lsn, tree) for tree in dropped]
        if replaced:
            unstored = self.garbage.replaced(replaced, lsn, self._commits.durable_lsn)
            if unstored:
                self._cache.shrunk(unstored * PAGE_BYTES)

    def on_synced(self) -> None:
        """More of the log is durable: a checkpoint may be due, the next segment be wanted."""
        if self._awaits_root:
            self._awaits_root = False
            self.pages.resume()
        self.start_if_due()
        writer = self._commits.writer
        if not self._is_filling and writer.wants_spare() and not self.pages.is_closed:
            self._is_filling = True
            self.pages.submit_job(writer.prepare_spare, self._on_filled)

    def _on_filled(self) -> None:
        self._is_filling = False

    def on_abandon(self, large: LargeCommit) -> None:
        """A transaction with stored pages was rolled back: no root ever had them."""
        self.garbage.add(large.all_ids(), 0)

    def start(self, done: Done | None) -> None:
        """Begin a checkpoint of everything durable now; `done(error)` when it is complete.

        While one is running, this is one more after it. Where no durable root was kept it begins
        with the next sync's.
        """
        self.pages.submit(self._checkpoint, done)

    def _durable_root(self) -> DatabaseRoot | None:
        """The newest root that is durable as a whole, if it is still there."""
        roots = self._roots
        if roots.newest.lsn <= self._commits.durable_lsn:
            return roots.newest
        return roots.durable

    def spill(self, xid: int, token: EditToken, refs: list[Ref], done: Done) -> None:
        """Store the changed pages below `refs`, roots of trees of an uncommitted transaction.

        Afterwards they may be evicted like any clean page. Nobody may change them until `done`.
        Pages under `token` are the transaction's own: they go when it is rolled back. Others below
        `refs` belong to committed roots, too.
        """
        self.pages.submit(partial(self._spill, xid, token, refs), done)

    # ------------------------------------------------------------------ how

    def _checkpoint(self) -> Steps:
        self._started = monotonic()
        while (found := self._durable_root()) is None:
            self._roots.keep_durable()
            self._awaits_root = True  # a commit is published but not synced, so a sync will end
            yield
        root = self._roots.pin(found)
        begun_before, self._begun_lsn = self._begun_lsn, self._commits.durable_lsn
        # Pages of this root get ids now: whoever held its edit token must not change them in place.
        root.token = EditToken()
        self.garbage.is_collecting = True
        self._cache.grown_bytes = 0
        try:
            yield from self.pages.or_undo(self._write(root))
        except StorageError:
            self._begun_lsn = begun_before
            raise
        finally:
            self.garbage.settle()
            self._roots.unpin(root)
        self.completed += 1
        self._cache.dirty_bytes = min(self._cache.dirty_bytes, self._cache.grown_bytes)

    def _write(self, root: DatabaseRoot) -> Steps:
        sealer = PageSealer(self._keys, self._identity)
        pages, last = self.pages, self._state
        changed = {
            number: bucket
            for number, bucket in root.buckets.items()
            if last.buckets.get(number) is not bucket
        }
        levels = yield from self._collect(changed)
        for level in levels:
            yield from pages.store_pages(sealer, level)
        places = {n: place for n, place in last.places.items() if n in root.buckets}
        dropped = [last.places[n][0] for n in last.places if n in changed or n not in root.buckets]
        for number, bucket in sorted(changed.items()):
            trees = [bucket[slot] for slot in sorted(bucket) if not bucket[slot].spec.temporary]
            page_id = pages.new_page_id()
            page = [(page_id, DIRECTORY_LEVEL, encode_directory(trees))]
            (tag,) = yield from pages.in_thread(partial(pages.batch.put, sealer, page))
            places[number] = (page_id, tag)
        dropped += yield from self._dropped_trees(root)
        dropped += yield from self._left_behind(root)
        yield from self._put_root(sealer, root, places, dropped)

    def _put_root(
        self,
        sealer: PageSealer,
        root: DatabaseRoot,
        places: dict[int, tuple[int, bytes]],
        dropped: list[int],
    ) -> Steps:
        """Root record n+1 and what may be deleted with it. `dropped`: ids that it stops using."""
        last, garbage, pages = self._state.record, self.garbage, self.pages
        deleted = garbage.take(min(last.lsn, self._roots.oldest_lsn()))
        next_tree_id, next_xid, generation, sequences = self._counters()
        record = RootRecord(
            number=last.number + 1,
            lsn=root.lsn,
            replay_lsn=self._commits.oldest_part_lsn(root.lsn),
            next_page_id=pages.next_page_id,
            next_tree_id=next_tree_id,
            next_xid=next_xid,
            timeline=self._identity.timeline,
            ring_generation=generation,
            buckets=tuple((number, *place) for number, place in sorted(places.items())),
            sequences=sequences,
            garbage=(
                *garbage.up_to(root.lsn),
                *dropped,
                *self._commits.spilled_ids(root.lsn),
            ),
        )
        assert record.replay_lsn <= record.lsn, record
        plaintext = encode_root_record(record)

        def put() -> None:
            sealed = sealer.seal(record.number, ROOT_LEVEL, plaintext)
            write = pages.batch.write
            write.delete(with_lists(self._cache, deleted))
            write.put_root(record.number, sealed, keep_from=record.number - 1)
            pages.batch.commit()
            self._commits.writer.release(last.replay_lsn)

        try:
            yield from pages.in_thread(put)
        except StorageError:
            garbage.add(deleted, last.lsn)
            raise
        pages.settle()
        garbage.add(dropped, root.lsn)
        self._dropped = [pair for pair in self._dropped if pair[0] > root.lsn]
        self._state = CheckpointState(record, root)
        self._commits.forget_large(root.lsn)

    def _spill(self, xid: int, token: EditToken, refs: list[Ref]) -> Steps:
        large = self._commits.large.setdefault(xid, LargeCommit())
        large.tokens.add(token)
        yield from self.pages.or_undo(self._store_early(large, refs))

    def _store_early(self, large: LargeCommit, refs: list[Ref]) -> Steps:
        sealer = PageSealer(self._keys, self._identity)
        levels: list[list[Ref]] = []
        for ref in refs:
            for _ in _walk_changed(ref, levels):
                pass
        # Looked at before anything is stored: afterwards pages may be evicted.
        own: list[tuple[Ref, Any]] = [(ref, ref.page) for level in levels for ref in level]
        own = [(ref, page) for ref, page in own if page.token in large.tokens]
        pieces = [ref for ref, page in own if type(page) is Chunk]
        others = [ref for ref, page in own if type(page) is not Chunk]
        values = [(ref, list(page.large)) for ref, page in own if type(page) is Leaf and page.large]
        del own
        for level in levels:
            yield from self.pages.store_pages(sealer, level)
        large.pieces.update(int(ref.page_id) for ref in pieces)
        large.page_ids += [ref.page_id for ref in others]
        for ref, held in values:
            large.values[ref.page_id] = [v.page_id for v in held if v.page_id in large.pieces]
        yield from self.pages.commit()

    # ------------------------------------------------------------------ finding

    def _collect(
        self, changed: dict[int, dict[int, TreeRoot]]
    ) -> Generator[None, None, list[list[Ref]]]:
        """Changed pages of the changed trees, in lists: children before parents."""
        levels: list[list[Ref]] = []
        slice_seconds = self._options.checkpoint_slice_ms / 1000
        until = perf_counter() + slice_seconds
        for bucket in changed.values():
            for tree in bucket.values():
                if tree.spec.temporary or tree.ref.page_id:
                    continue
                for _ in _walk_changed(tree.ref, levels):
                    if perf_counter() > until:
                        yield from self.pages.pause()
                        until = perf_counter() + slice_seconds
        return levels

    def _dropped_trees(self, root: DatabaseRoot) -> Generator[None, None, list[int]]:
        """Ids of all pages of the trees that commits up to this root have dropped."""
        ids: list[int] = []
        for lsn, tree in self._dropped:
            if lsn <= root.lsn:
                ids += yield from self.pages.in_thread(partial(tree_ids, self._cache, tree))
        return ids

    def _left_behind(self, root: DatabaseRoot) -> Generator[None, None, list[int]]:
        """Pages that large transactions stored early and their commit made no use of."""
        committed = [one for one in self._commits.large.values() if one.is_in(root.lsn)]
        early = {number for one in committed for number in one.page_ids}
        # A leaf that was used and replaced since has given its values on; others take them along.
        replaced = self.garbage.ids() if any(one.values for one in committed) else set()
        if early:
            for number, bucket in root.buckets.items():
                before = self._state.buckets.get(number, {})
                for slot, tree in bucket.items():
                    if before.get(slot) is not tree:
                        walk = partial(inner_ids, self._cache, tree)
                        early.difference_update((yield from self.pages.in_thread(walk)))
        values = [
            number
            for one in committed
            for leaf, ids in one.values.items()
            if leaf in early and leaf not in replaced
            for number in ids
        ]
        return sorted(early) + values


def _walk_changed(ref: Ref, levels: list[list[Ref]]) -> Iterator[None]:
    """Put every changed page below `ref` into `levels[height]`; yields after each inner page.

    Height: 0 for a page without changed children, else one more than its highest.
    """
    if ref.page_id:
        return
    stack: list[list[Any]] = [[ref, iter(_changed_below(ref)), 0]]
    lowest = _at(levels, 0)
    while stack:
        frame = stack[-1]
        for child in frame[1]:
            changed = _changed_below(child)
            if changed:
                stack.append([child, iter(changed), 0])
                break
            lowest.append(child)
            frame[2] = frame[2] or 1
        else:
            stack.pop()
            _at(levels, frame[2]).append(frame[0])
            if stack:
                stack[-1][2] = max(stack[-1][2], frame[2] + 1)
            yield


def _changed_below(ref: Ref) -> list[Ref]:
    page = ref.page
    assert page is not None, "a changed page is in memory"
    return [child for child in children_of(page) if not child.page_id]


def _at(levels: list[list[Ref]], height: int) -> list[Ref]:
    while len(levels) <= height:
        levels.append([])
    return levels[height]
