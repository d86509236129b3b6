"""Arrow columns of tables, kept by page group: a change cuts its own group anew and no other.

What hangs on a `Ref` never changes once a snapshot has seen it, so a group's columns are known by
its `Ref` (which is kept, so that no other takes its place in memory). A table is put together of
its groups' columns; groups that this transaction has changed are read by rows, for it alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from helios_storage.layout import layout_of
from heliosd.execute import column_cut

if TYPE_CHECKING:
    from helios_storage.cursor import KeyRange
    from helios_storage.page import Ref
    from helios_storage.transaction import Snapshot
    from heliosd.execute.column_plan import ColumnTable, TableColumn
    from heliosd.execute.context import ExecutionContext

TABLES_MAX: Final = 64
_HEAP_SHAPES: Final = frozenset("tb")


@dataclass(slots=True)
class GroupColumns:
    """One page group's columns as far as they were asked for."""

    ref: Ref
    rows: int
    columns: dict[TableColumn, Any] = field(default_factory=dict)
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ColumnCacheEntry:
    """A whole table as DuckDB was given it: the root that it was made of, and the Arrow table."""

    root: Ref
    table: Any


class ColumnCache:
    """The columns of all tables within `budget_bytes`; the least recently used groups go."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.size_bytes = 0
        self._groups: OrderedDict[int, GroupColumns] = OrderedDict()
        self._tables: OrderedDict[str, ColumnCacheEntry] = OrderedDict()

    def table(self, ctx: ExecutionContext, wanted: ColumnTable) -> Any:
        """The table as the statement's snapshot sees it. Suspends; raises `column_cut.NotPlain`."""
        snapshot = ctx.snapshot
        changed = snapshot.changed_keys(wanted.tree_id)
        root = snapshot.tree(wanted.tree_id).ref
        known = self._tables.get(wanted.name)
        if known is not None and known.root is root and not changed:
            # The range of keys is noted for SERIALIZABLE.
            snapshot.page_groups(wanted.tree_id, lambda _: True)
            self._tables.move_to_end(wanted.name)
            return known.table
        parts = self._parts(ctx, snapshot, wanted, changed)
        table = _assembled(wanted, parts)
        if not changed:
            self._tables[wanted.name] = ColumnCacheEntry(root, table)
            self._tables.move_to_end(wanted.name)
            while len(self._tables) > TABLES_MAX:
                self._tables.popitem(last=False)
        self._shrink()
        return table

    def is_current(self, name: str, table: Any) -> bool:
        """Whether this is still the table kept under the name."""
        known = self._tables.get(name)
        return known is not None and known.table is table

    def _parts(
        self, ctx: ExecutionContext, snapshot: Snapshot, wanted: ColumnTable, changed: list[Any]
    ) -> list[tuple[int, list[Any]]]:
        parts: list[tuple[int, list[Any]]] = []
        for ref, span in snapshot.page_groups(wanted.tree_id, self._is_known):
            if changed and _touches(span, changed):
                parts.append(self._by_rows(ctx, snapshot, wanted, span))
            else:
                group = self._group(ctx, snapshot, wanted, ref, span)
                parts.append((group.rows, [group.columns[c] for c in wanted.columns]))
            ctx.check_slice()
        return parts

    def _is_known(self, ref: Ref) -> bool:
        known = self._groups.get(id(ref))
        return known is not None and known.ref is ref

    def _group(
        self,
        ctx: ExecutionContext,
        snapshot: Snapshot,
        wanted: ColumnTable,
        ref: Ref,
        span: KeyRange,
    ) -> GroupColumns:
        group = self._groups.get(id(ref))
        if group is None or group.ref is not ref:
            group = self._groups[id(ref)] = GroupColumns(ref, ref.count)
        else:
            self._groups.move_to_end(id(ref))
        missing = [c for c in wanted.columns if c not in group.columns]
        if missing:
            arrays = self._cut(ctx, snapshot, wanted, ref, missing)
            for column, array in zip(missing, arrays, strict=True):
                group.columns[column] = array
                group.size_bytes += array.nbytes
                self.size_bytes += array.nbytes
        return group

    def _cut(
        self,
        ctx: ExecutionContext,
        snapshot: Snapshot,
        wanted: ColumnTable,
        ref: Ref,
        columns: list[TableColumn],
    ) -> list[Any]:
        layout = layout_of(snapshot.spec(wanted.tree_id).shapes)
        heap = any(layout.shapes[c.slot] in _HEAP_SHAPES for c in columns)
        leaves = list(snapshot.group_leaves(wanted.tree_id, ref))
        try:
            packed = column_cut.pack_group(leaves, layout, heap=heap)
            scheduler = ctx.transaction.manager.scheduler
            return scheduler.run_in_thread(column_cut.cut, packed, columns)
        except column_cut.NotPlain:
            slots = tuple(c.slot for c in columns)
            reader = snapshot.reader(wanted.tree_id, slots)
            spec, pages = snapshot.spec(wanted.tree_id), ctx.transaction.pages
            rows: list[Any] = []
            for leaf in leaves:
                rows += reader.read_range(leaf, 0, len(leaf.writers), spec, pages)
                ctx.check_slice()
            return column_cut.from_rows(rows, columns)

    def _by_rows(
        self, ctx: ExecutionContext, snapshot: Snapshot, wanted: ColumnTable, span: KeyRange
    ) -> tuple[int, list[Any]]:
        """A group with this transaction's own changes laid over it."""
        slots = tuple(c.slot for c in wanted.columns)
        rows: list[Any] = []
        for _, batch in snapshot.batches(wanted.tree_id, span.low, span.high, columns=slots):
            rows += batch
            ctx.check_slice()
        return len(rows), column_cut.from_rows(rows, wanted.columns)

    def _shrink(self) -> None:
        """Let the least recently used groups go. Tables made of them go too."""
        if self.size_bytes <= self.budget_bytes:
            return
        self._tables.clear()
        while self.size_bytes > self.budget_bytes and self._groups:
            _, group = self._groups.popitem(last=False)
            self.size_bytes -= group.size_bytes


def _touches(span: KeyRange, changed: Sequence[Any]) -> bool:
    """Whether a key of the sorted list is in the range."""
    at = 0 if span.low is None else bisect_left(changed, span.low)
    return at < len(changed) and (span.high is None or changed[at] < span.high)


def _assembled(wanted: ColumnTable, parts: Sequence[tuple[int, list[Any]]]) -> Any:
    """One Arrow table of all groups, a chunk each."""
    import numpy as np
    import pyarrow as pa

    if not wanted.columns:
        # Rows are counted by a column: there is one that says nothing.
        count = sum(rows for rows, _ in parts)
        return pa.table({"c": pa.array(np.zeros(count, dtype="i1"))})
    columns = {}
    for number, column in enumerate(wanted.columns):
        chunks = [arrays[number] for rows, arrays in parts if rows]
        words = [pa.types.is_dictionary(chunk.type) for chunk in chunks]
        kind = column_cut.arrow_type(column)
        if chunks and all(words):
            kind = chunks[0].type
        elif any(words):
            chunks = [
                chunk.dictionary_decode() if is_words else chunk
                for chunk, is_words in zip(chunks, words, strict=True)
            ]
        columns[f"c{column.slot}"] = pa.chunked_array(chunks, type=kind)
    return pa.table(columns)
