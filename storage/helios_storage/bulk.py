"""Bulk inserts: COPY and index builds, a batch of columns at a time, straight into packed leaves.

A batch comes as columns (numpy arrays; texts as Arrow has them: offsets and bytes). Records, NULL
masks and heap places of all its rows are computed at once; a leaf is then three slices. That is
0.2 to 0.5 us a row where a tuple per row costs 1.5. numpy is imported when the first batch comes.

    a leaf of rows a..b, offsets o[i] into each text column c:
    heap = c1[a..b] c2[a..b] ...      place of row i = (bytes of the columns before) + o[i] - o[a]
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from helios_storage.layout import INLINE_BYTES_MAX, Layout, layout_of
from helios_storage.locks import LockStrength
from helios_storage.page import HEAD_BYTES, PAGE_BYTES, EditToken, Leaf, Ref
from helios_storage.runs import append_leaves, build_leaves
from helios_storage.spec import Key, Row
from helios_storage.tree import Edit, check_key, find_path, index_in
from helios_storage.write_set import MISSING, Delta

if TYPE_CHECKING:
    from helios_storage.transaction import Transaction

_DTYPES: Final = {"?": "?", "h": "<i2", "i": "<i4", "q": "<i8", "f": "<f4", "d": "<f8", "u": "V16"}
_MASK_DTYPES: Final = {"B": "u1", "H": "<u2", "I": "<u4", "Q": "<u8"}


class Column(NamedTuple):
    """One column of a batch of n rows.

    Fixed shapes: `values` is a numpy array of n values (shape `u`: n items of 16 bytes). Shapes `t`
    (UTF-8) and `b`: `values` are n + 1 offsets into `data`. `nulls`: n bools, None: no NULL.
    """

    values: Any
    nulls: Any = None
    data: bytes | memoryview = b""


class BulkInsert:
    """Inserts of new rows into one tree by one transaction; the engine's COPY holds one per tree.

    Each `add` answers the first key that is there already (None: all went in). Then nothing of the
    batch was added, and the caller has its unique violation. Waits for others who hold such a key.
    """

    __slots__ = ("_transaction", "_tree_id")

    def __init__(self, transaction: Transaction, tree_id: int) -> None:
        transaction.begin_bulk(tree_id)
        self._transaction = transaction
        self._tree_id = tree_id

    def add_rows(self, keys: Sequence[Any], rows: Sequence[Row]) -> Key | None:
        """Insert rows given as tuples, keys in any order."""
        if any(a >= b for a, b in pairwise(keys)):
            order = sorted(range(len(keys)), key=keys.__getitem__)
            keys = [keys[at] for at in order]
            rows = [rows[at] for at in order]
        conflict = self._find_conflict(keys)
        if conflict is not None or not keys:
            return conflict
        transaction = self._transaction
        delta = self._delta()
        if self._is_behind(delta, keys[0]):
            edit = Edit(transaction.manager.pages, delta.token)
            refs = build_leaves(delta.rows.spec, keys, rows, transaction.xid, edit)
            delta.rows = append_leaves(delta.rows, refs, edit)
            delta.last = keys[-1]
        else:
            items = list(zip(keys, rows, strict=True))
            delta.add(items, transaction.xid, transaction.manager.pages)
        self._added(delta)
        return None

    def add_columns(self, keys: Any, columns: Sequence[Column]) -> Key | None:
        """Insert a batch of columns. `keys`: an int64 array; for a bytes tree a list of bytes."""
        import numpy as np

        if not len(keys):
            return None
        transaction = self._transaction
        layout = layout_of(transaction.spec(self._tree_id).shapes)
        ordered = _in_order(keys)
        order = None
        if not ordered:
            if type(keys) is list:
                order = np.array(sorted(range(len(keys)), key=keys.__getitem__))
            else:
                order = np.argsort(keys, kind="stable")
        if order is not None or _has_wide_rows(layout, columns, len(keys)):
            rows = _as_rows(layout, columns, len(keys))
            plain = keys if type(keys) is list else keys.tolist()
            return self.add_rows(plain, rows)
        plain = keys if type(keys) is list else keys.tolist()
        conflict = self._find_conflict(plain)
        if conflict is not None:
            return conflict
        delta = self._delta()
        if not self._is_behind(delta, plain[0]):
            rows = _as_rows(layout, columns, len(keys))
            delta.add(
                list(zip(plain, rows, strict=True)), transaction.xid, transaction.manager.pages
            )
        else:
            refs = _pack(layout, keys, columns, transaction.xid, delta.token)
            edit = Edit(transaction.manager.pages, delta.token)
            delta.rows = append_leaves(delta.rows, refs, edit)
            delta.last = plain[-1]
        self._added(delta)
        return None

    def _delta(self) -> Delta:
        return self._transaction.spill_all(self._tree_id)

    def _is_behind(self, delta: Delta, key: Key) -> bool:
        """Whether keys from here on come behind everything in the delta."""
        last: Any = delta.last
        return last is None or bool(last < key)

    def _added(self, delta: Delta) -> None:
        transaction = self._transaction
        manager = transaction.manager
        manager.store_early(transaction.xid, delta.token, [delta.rows.ref, delta.dead.ref])
        manager.scheduler.check_slice()

    # --- unique keys

    def _find_conflict(self, keys: Sequence[Any]) -> Key | None:
        """The first of these keys, in order, that is there: twice here, own, or committed."""
        for a, b in pairwise(keys):
            if a == b:
                return a  # type: ignore[no-any-return]
        if keys and type(keys[0]) is bytes:
            check_key(max(keys, key=len))
        transaction = self._transaction
        tree_id = self._tree_id
        for key in transaction.manager.locks.locked_by_others(transaction.owner, tree_id, keys):
            transaction.lock_key(tree_id, key, LockStrength.UPDATE)
        pages = transaction.manager.pages
        writes = transaction.writes.trees.get(tree_id)
        own = writes is not None and bool(writes.rows or not self._own_is_before(keys))
        tree = transaction.manager.roots.newest.find(tree_id)
        if tree is None and not own:
            return None
        bound: Any = None
        at = 0
        while at < len(keys):
            key = keys[at]
            found: Any = MISSING
            if own and writes is not None:
                found = writes.find(key, transaction.writes.command, pages)
                if found is not MISSING and found is not None:
                    return key  # type: ignore[no-any-return]
            if tree is None or found is None:
                at += 1
                continue
            ref, path = find_path(tree.ref, key, tree.spec, pages)
            leaf: Any = ref.page
            if index_in(leaf, key) >= 0:
                return key  # type: ignore[no-any-return]
            if own:
                at += 1
                continue
            # no key of the tree between this one and `bound`: skip to the first behind that
            bound = _next_key(leaf, key, path)
            at = len(keys) if bound is None else max(at + 1, bisect_left(keys, bound))
        return None

    def _own_is_before(self, keys: Sequence[Any]) -> bool:
        writes = self._transaction.writes.trees[self._tree_id]
        delta = writes.delta
        return not keys or delta is None or self._is_behind(delta, keys[0])


def _next_key(leaf: Leaf, key: Any, path: Any) -> Any:
    """A key not below the tree's next one after `key`'s place; None: there is none."""
    keys = leaf.keys
    at = bisect_left(keys, key)
    if at < len(keys):
        return keys[at]
    for _, inner, child in reversed(path):
        if child < len(inner.keys):
            return inner.keys[child]
    return None


def _in_order(keys: Any) -> bool:
    if type(keys) is list:
        return all(a < b for a, b in pairwise(keys))
    return bool((keys[1:] > keys[:-1]).all())


def _lengths(column: Column) -> Any:
    return column.values[1:] - column.values[:-1]


def _has_wide_rows(layout: Layout, columns: Sequence[Column], count: int) -> bool:
    """Whether some row's values would go out of line: such a batch goes row by row."""
    import numpy as np

    if not layout.has_heap:
        return False
    total = np.zeros(count, dtype="<i8")
    for i in layout.variable:
        total += _lengths(columns[i])
    return bool(total.max() > INLINE_BYTES_MAX)


def _as_rows(layout: Layout, columns: Sequence[Column], count: int) -> list[Row]:
    """The batch as tuples."""
    lists = []
    for column, shape in zip(columns, layout.shapes, strict=True):
        values: list[Any]
        if shape in "tb":
            data, ends = bytes(column.data), column.values.tolist()
            values = [data[a:b] for a, b in pairwise(ends)]
            if shape == "t":
                values = [value.decode() for value in values]
        elif shape == "u":
            values = [bytes(value) for value in column.values]
        else:
            values = column.values.tolist()
        if column.nulls is not None:
            values = [
                None if null else value
                for value, null in zip(values, column.nulls.tolist(), strict=True)
            ]
        lists.append(values)
    return list(zip(*lists, strict=True)) if lists else [()] * count


def _pack(
    layout: Layout, keys: Any, columns: Sequence[Column], xid: int, token: EditToken
) -> list[Ref]:
    """Full leaves with the batch's rows."""
    import numpy as np

    count = len(keys)
    is_int = type(keys) is not list
    sizes = np.full(count, layout.size + 4 + (8 if is_int else 2), dtype="<i8")
    if not is_int:
        sizes += np.fromiter(map(len, keys), dtype="<i8", count=count)
    for i in layout.variable:
        sizes += _lengths(columns[i])
    starts = _cut(np.concatenate(([0], np.cumsum(sizes))))
    first_of_row = np.repeat(starts[:-1], np.diff(starts))
    records = np.zeros(count, dtype=_record_dtype(layout))
    _fill_masks(layout, records, columns)
    heap_before = np.zeros(len(starts) - 1, dtype="<i8")
    for i, shape in enumerate(layout.shapes):
        values, nulls = columns[i].values, columns[i].nulls
        if shape in "tb":
            inside = values[:-1] - values[first_of_row]
            records[f"o{i}"] = inside + np.repeat(heap_before, np.diff(starts))
            records[f"n{i}"] = _lengths(columns[i])
            heap_before += values[starts[1:]] - values[starts[:-1]]
        elif nulls is None or shape == "u":
            records[f"c{i}"] = values
        else:
            records[f"c{i}"] = np.where(nulls, np.zeros(1, dtype=values.dtype), values)
    has_nulls = any(column.nulls is not None and column.nulls.any() for column in columns)
    texts = [(columns[i].values.tolist(), memoryview(columns[i].data)) for i in layout.variable]
    body, size = memoryview(records.tobytes()), layout.size
    key_bytes = keys.astype("<i8").tobytes() if is_int else None
    refs = []
    bounds = starts.tolist()
    for a, b in pairwise(bounds):
        leaf_keys: Any = keys[a:b] if key_bytes is None else array("q", key_bytes[8 * a : 8 * b])
        leaf = Leaf(
            layout,
            leaf_keys,
            bytearray(body[size * a : size * b]),
            array("I", [xid]) * (b - a),
            b"".join([data[ends[a] : ends[b]] for ends, data in texts]),
            has_nulls=has_nulls,
            token=token,
        )
        refs.append(Ref(leaf, b - a))
    token.made += len(refs)
    return refs


def _cut(ends: Any) -> Any:
    """Where leaves begin (and the last one ends), given the running size of all rows."""
    import numpy as np

    starts = [0]
    count = len(ends) - 1
    room = PAGE_BYTES - HEAD_BYTES
    while starts[-1] < count:
        at = starts[-1]
        end = int(np.searchsorted(ends, ends[at] + room, side="right")) - 1
        starts.append(min(max(end, at + 1), count))
    return np.array(starts)


def _record_dtype(layout: Layout) -> Any:
    import numpy as np

    fields: list[tuple[str, str]] = [
        (f"m{word}", _MASK_DTYPES[code]) for word, code in enumerate(layout.mask_codes)
    ]
    for i, shape in enumerate(layout.shapes):
        if shape in "tb":
            fields += [(f"o{i}", "<u2"), (f"n{i}", "<u2")]
        else:
            fields.append((f"c{i}", _DTYPES[shape]))
    dtype = np.dtype(fields)
    assert dtype.itemsize == layout.size, (dtype, layout)
    return dtype


def _fill_masks(layout: Layout, records: Any, columns: Sequence[Column]) -> None:
    for i, column in enumerate(columns):
        if column.nulls is not None:
            mask = records[f"m{i >> 6}"]
            mask |= column.nulls.astype(mask.dtype) << mask.dtype.type(i & 63)
