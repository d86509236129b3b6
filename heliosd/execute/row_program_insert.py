"""Row programs of INSERT, with ON CONFLICT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from heliosd.execute.dml.violations import affected_twice, must_be_seen
from heliosd.execute.expressions import Code, local
from heliosd.execute.row_program import Flow, ProgramCompiler, needed_by, tuple_of
from heliosd.execute.row_program_change import (
    change_row,
    lock_strength,
    policy_checks,
    view_checks,
)
from heliosd.execute.row_program_work import Work, count_row, stored_codes, whole_row_of
from heliosd.execute.row_program_write import (
    Entry,
    IndexParts,
    RowCodes,
    columns_of_row,
    index_key,
    lock_words,
    packed,
    primary_key,
    write_checks,
    write_parent_checks,
    write_row_checks,
    write_unique,
)
from heliosd.plan.physical import LOCATOR, InsertRows
from heliosd.sql.bound import Assignment, Expr, RowCheck


def insert_rows(c: ProgramCompiler, node: InsertRows, work: Work, flow: Flow) -> None:
    statement = node.statement
    conflict = statement.on_conflict
    touched = ""
    if conflict is not None and conflict.assignments is not None:
        touched = c.module.name("r")
        flow.writer.line(f"{touched} = set()")

    def each(at: Flow) -> None:
        values, fresh = new_values(c, work, node.row, statement.generated, at, node.checks)
        everything = frozenset(values)
        if conflict is None:
            insert_row(c, work, values, fresh, everything, touched)
        else:
            _insert_or(c, node, work, values, fresh, everything, touched)

    c.produce(node.source, needed_by(node.row), flow.inner(), each)


def new_values(
    c: ProgramCompiler,
    work: Work,
    row: Sequence[Expr],
    generated: Sequence[Assignment],
    at: Flow,
    checks: Sequence[RowCheck] = (),
) -> tuple[dict[int, Code], Flow]:
    """Compute and check a new row's values; the flow that knows them under the table's rel."""
    compiler = c.at(at)
    values: dict[int, Code] = {}
    for slot, expression in enumerate(row):
        values[slot] = c.named(compiler.value(expression), at)
    rel = work.parts.rel
    fresh = at.plus(columns_of_row(values, rel))
    for assignment in generated:
        code = c.named(c.at(fresh).value(assignment.expression), fresh)
        values[assignment.column] = code
    fresh = at.plus(columns_of_row(values, rel))
    if checks:
        whole = whole_row_of(c, work.table, rel, fresh)
        write_row_checks(c, work.parts, policy_checks(checks), values, whole)
    write_checks(c, work.parts, values, fresh, frozenset(values))
    for slot, column in enumerate(work.table.columns):
        if column.not_null and not column.dropped:
            code = values[slot]
            values[slot] = Code(code.text, False, code.atom, code.depth, code.uses)
    fresh = at.plus(columns_of_row(values, rel))
    if checks:
        whole = whole_row_of(c, work.table, rel, fresh)
        write_row_checks(c, work.parts, view_checks(checks), values, whole)
    return values, fresh


@dataclass(frozen=True, slots=True)
class NewRow:
    """A row about to be inserted: its key, and its entry in each index."""

    key: Code
    primary: Entry | None
    entries: tuple[tuple[IndexParts, Entry], ...]


def _new_row(c: ProgramCompiler, work: Work, values: RowCodes, at: Flow) -> NewRow:
    key, primary = primary_key(c, work.parts, values, at)
    entries = tuple(
        (index, index_key(c, index, at, key.text, work.table)) for index in work.parts.indexes
    )
    return NewRow(key, primary, entries)


def insert_row(
    c: ProgramCompiler,
    work: Work,
    values: RowCodes,
    at: Flow,
    everything: frozenset[int],
    touched: str,
) -> None:
    new = _new_row(c, work, values, at)
    if new.primary is not None:
        assert work.parts.primary_parts is not None
        write_unique(c, work.parts, work.parts.primary_parts, new.primary, at)
    for index, entry in new.entries:
        if index.is_unique:
            write_unique(c, work.parts, index, entry, at)
    _put_new(c, work, new, values, at, everything, touched)


def _put_new(
    c: ProgramCompiler,
    work: Work,
    new: NewRow,
    values: RowCodes,
    at: Flow,
    everything: frozenset[int],
    touched: str,
) -> None:
    """Everything is checked but the foreign keys: look at those, then put row and entries."""
    writer = at.writer
    table = work.table
    write_parent_checks(c, work.parts, values, at, work.queues, None, everything)
    row = tuple_of(packed(c, table, slot, values[slot]) for slot in range(len(table.columns)))
    writer.line(f"transaction.put({table.tree_id}, {new.key.text}, {row})")
    for index, entry in new.entries:
        put = f"transaction.put({index.index.tree_id}, {entry.key.text}, ({new.key.text},))"
        if entry.key.nullable:
            with writer.block(f"if {entry.key.text} is not None:"):
                writer.line(put)
        else:
            writer.line(put)
    if touched:
        writer.line(f"{touched}.add({new.key.text})")
    count_row(c, work, at.plus({(work.parts.rel, LOCATOR): new.key}))


def _insert_or(
    c: ProgramCompiler,
    node: InsertRows,
    work: Work,
    values: RowCodes,
    at: Flow,
    everything: frozenset[int],
    touched: str,
) -> None:
    """ON CONFLICT: the first arbiter that finds a row decides."""
    writer = at.writer
    conflict = node.statement.on_conflict
    assert conflict is not None
    new = _new_row(c, work, values, at)
    checked: list[tuple[IndexParts, Entry, bool]] = []
    if new.primary is not None:
        assert work.parts.primary_parts is not None
        checked.append((work.parts.primary_parts, new.primary, True))
    checked += [(index, entry, False) for index, entry in new.entries if index.is_unique]
    arbiters = [
        (index, entry, is_primary)
        for index, entry, is_primary in checked
        if not conflict.arbiters or index.index.oid in conflict.arbiters
    ]
    existing = c.module.name("v")
    writer.line(f"{existing} = None")
    for number, (index, entry, is_primary) in enumerate(arbiters):
        place = entry.key.text if is_primary else ""

        def remember(row: str, place: str = place) -> None:
            writer.line(f"{existing} = {place or f'{row}[0]'}")

        condition = f"{existing} is None" if number else ""
        write_unique(c, work.parts, index, entry, at, condition, remember)
    with writer.block(f"if {existing} is None:"):
        others = [item for item in checked if not any(item[0] is a[0] for a in arbiters)]
        for index, entry, _ in others:
            write_unique(c, work.parts, index, entry, at)
        _put_new(c, work, new, values, at, everything, touched)
    if conflict.assignments is None:
        with writer.block(f"elif {existing} is not None and transaction.isolation.value > 1:"):
            writer.line(f"{c.slot(must_be_seen)}(ctx, {work.table.tree_id}, {existing})")
        return
    with writer.block("else:"):
        with writer.block(f"if {existing} in {touched}:"):
            writer.line(f"{c.slot(affected_twice)}()")
        strength = lock_strength(work.parts, conflict.assignments)
        words = lock_words(c, at, strength)
        row, changed, key = c.module.name("r"), c.module.name("v"), c.module.name("v")
        writer.line(
            f"{row}, {changed}, {key} = transaction.lock_row("
            f"snapshot, {work.table.tree_id}, {existing}, {words})"
        )
        with writer.block(f"if {row} is not None:"):
            old = stored_codes(c, work.table, row)
            here = at.plus(columns_of_row(old, conflict.existing_rel))
            here = here.plus(columns_of_row(values, conflict.excluded_rel))
            here = whole_row_of(c, work.table, conflict.existing_rel, here)
            here = whole_row_of(c, work.table, conflict.excluded_rel, here)
            # Before WHERE, as in PostgreSQL: it may tell of the row.
            write_row_checks(c, work.parts, conflict.existing_checks, old, here)
            with c.filtered(() if conflict.where is None else (conflict.where,), here):
                writer.line(f"{touched}.add({existing})")
                change_row(
                    c,
                    work,
                    here,
                    local(key, nullable=False),
                    row,
                    old,
                    conflict.assignments,
                    node.statement.generated,
                    conflict.checks,
                )
