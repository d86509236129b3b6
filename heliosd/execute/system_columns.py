"""System columns of a table's rows: ctid, xmin, cmin, xmax and cmax, from where a row rests.

A row's ctid is its key: of a table without a primary key the hidden row number, of one with an
integer primary key that integer, each cut into a block and an offset. It stays with the row
through updates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heliosd.catalog.objects import Table
from heliosd.errors import not_supported
from heliosd.execute.expressions import Code
from heliosd.plan.physical import LOCATOR

if TYPE_CHECKING:
    from helios_storage.transaction import Snapshot
    from heliosd.execute.row_program import Flow, Needed, ProgramCompiler
    from heliosd.plan.columns import ColumnKey

CTID: Final = -1
XMIN: Final = -2
ZERO: Final = (-3, -4, -5)
"""cmin, xmax, cmax: a row that is seen was deleted by nobody; commands are not numbered."""

OFFSET_BITS: Final = 16
KEY_END: Final = 1 << 48


def reads_place(rel: int, needed: Needed) -> bool:
    """Whether something asks for a system column that the row's key decides."""
    return (rel, CTID) in needed or (rel, XMIN) in needed


def system_codes(
    c: ProgramCompiler, table: Table, rel: int, needed: Needed, at: Flow
) -> dict[ColumnKey, Code]:
    """The system columns that are asked for, where `at` knows the row's key."""
    found: dict[ColumnKey, Code] = {}
    for column in ZERO:
        if (rel, column) in needed:
            found[(rel, column)] = Code("0", False, True, 0)
    if not reads_place(rel, needed):
        return found
    key = at.columns[(rel, LOCATOR)]
    if (rel, CTID) in needed:
        if table.key_kind == "bytes":
            raise not_supported(f'ctid of table "{table.name}", whose primary key is no integer')
        text = f"{c.slot(tid_of)}({key.text})"
        found[(rel, CTID)] = Code(text, False, False, 1, key.uses)
    if (rel, XMIN) in needed:
        at.writer.first("snapshot = ctx.snapshot")
        text = f"{c.slot(xmin_of)}(snapshot, {table.tree_id}, {key.text})"
        found[(rel, XMIN)] = Code(text, False, False, 1, key.uses)
    return found


def tid_of(key: int) -> tuple[int, int]:
    """(block, offset) of a row's key; 0A000 for keys that a ctid has no room for."""
    if not 0 <= key < KEY_END:
        raise not_supported("ctid of a row with this key")
    return key >> OFFSET_BITS, key & 0xFFFF


def xmin_of(snapshot: Snapshot, tree_id: int, key: int | bytes) -> int:
    """The id of the transaction that wrote the row."""
    return snapshot.writer(tree_id, key) & 0xFFFFFFFF
