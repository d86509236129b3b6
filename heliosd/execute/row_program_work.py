"""What row programs of INSERT, UPDATE and DELETE share: counters, RETURNING, stored rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from heliosd.catalog.objects import Table
from heliosd.execute.expressions import Code, local
from heliosd.execute.row_program import Flow, ProgramCompiler, needed_by, tuple_of
from heliosd.execute.row_program_write import TableParts
from heliosd.execute.system_columns import system_codes
from heliosd.plan.columns import WHOLE_ROW
from heliosd.sql.bound import Expr

TABLEOID: Final = -6


@dataclass(slots=True)
class Work:
    """One modification while it is being written: its table, counters and queues."""

    parts: TableParts
    count: str
    returning: tuple[Expr, ...]
    queues: dict[int, str] = field(default_factory=dict)
    """Foreign key checks that wait for the end of the statement: number -> name of a dict."""
    gives_way: bool = True
    """False for a statement that changes one row."""
    locks_first: bool = False
    """The row to change is found by locking its key."""
    children: dict[int, str] = field(default_factory=dict)
    """Referenced keys that went away: number of the action -> name of a list."""

    @property
    def table(self) -> Table:
        return self.parts.table


def count_row(c: ProgramCompiler, work: Work, at: Flow) -> None:
    """One row more; RETURNING's row."""
    at.writer.line(f"{work.count} += 1")
    if work.gives_way:
        # A row costs tens of microseconds, a whole batch of them more than a slice.
        at.writer.first("check = ctx.check_slice")
        with at.writer.block(f"if not {work.count} & 15:"):
            at.writer.line("check()")
    if not work.returning:
        return
    rel = work.parts.rel
    if (rel, WHOLE_ROW) in needed_by(work.returning):
        live = [i for i, column in enumerate(work.table.columns) if not column.dropped]
        row = tuple_of(at.columns[(rel, i)].text for i in live)
        name = c.module.name("v")
        at.writer.line(f"{name} = {row}")
        at = at.plus({(rel, WHOLE_ROW): local(name, nullable=False)})
    at = at.plus({(rel, TABLEOID): Code(c.slot(work.table.oid), False, True, 0)})
    at = at.plus(system_codes(c, work.table, rel, needed_by(work.returning), at))
    compiler = c.at(at)
    texts = tuple_of(compiler.value(e).text for e in work.returning)
    at.writer.line(f"out.append({texts})")


def whole_row_of(c: ProgramCompiler, table: Table, rel: int, at: Flow) -> Flow:
    """The rel's row as one value, where something asks for it."""
    live = [i for i, column in enumerate(table.columns) if not column.dropped]
    row = tuple_of(at.columns[(rel, i)].text for i in live)
    uses = frozenset[str]().union(*(at.columns[(rel, i)].uses for i in live))
    return at.plus({(rel, WHOLE_ROW): Code(row, False, False, 1, uses)})


def stored_codes(c: ProgramCompiler, table: Table, row: str) -> dict[int, Code]:
    """The columns of a stored row in place: `r5[2]`, unpacked where the type needs it."""
    found: dict[int, Code] = {}
    uses = frozenset({row})
    for slot, column in enumerate(table.columns):
        text = f"{row}[{slot}]"
        nullable = not column.not_null or column.dropped
        unpack = None
        if not column.dropped:
            unpack = c.types.type(column.type_oid).unpacker(column.typmod)
        if unpack is not None:
            value = f"{c.slot(unpack)}({text})"
            text = f"(None if {text} is None else {value})" if nullable else value
        found[slot] = Code(text, nullable, False, 1, uses)
    return found
