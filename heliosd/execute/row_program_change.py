"""Row programs of UPDATE and DELETE.

The rows to change come from the statement's own snapshot, which its changes never enter, so no row
is met twice because it was moved (Halloween). A row that somebody else changed meanwhile is locked,
read anew and checked again (READ COMMITTED's recheck).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from helios_storage.locks import LockStrength
from heliosd.execute.expressions import Code, local
from heliosd.execute.row_program import (
    Consume,
    Flow,
    Needed,
    ProgramCompiler,
    fans_out,
    needed_by,
    tuple_of,
)
from heliosd.execute.row_program_work import TABLEOID, Work, count_row, stored_codes, whole_row_of
from heliosd.execute.row_program_write import (
    Entry,
    IndexParts,
    RowCodes,
    TableParts,
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
from heliosd.execute.system_columns import system_codes
from heliosd.plan.physical import LOCATOR, DeleteRows, IndexScan, UpdateRows
from heliosd.sql.bound import Assignment, Expr, RowCheck


def lock_strength(parts: TableParts, assignments: Sequence[Assignment]) -> LockStrength:
    """Changing a unique key takes the stronger lock: foreign keys onto the row must wait."""
    keys = parts.key_slots()
    if any(a.column in keys for a in assignments):
        return LockStrength.UPDATE
    return LockStrength.NO_KEY_UPDATE


@contextmanager
def _locked(
    c: ProgramCompiler,
    work: Work,
    node: UpdateRows | DeleteRows,
    strength: LockStrength,
    at: Flow,
    seen: str,
) -> Iterator[tuple[Flow, Code, str, dict[int, Code]]]:
    """Inside: the row is locked, is there, and still satisfies the statement's predicates.

    Gives the flow that knows its newest columns, its key, and the name of the whole stored row.
    """
    writer = at.writer
    rel = node.statement.rel
    words = lock_words(c, at, strength)
    found = at.columns[(rel, LOCATOR)].text
    row, changed, key = c.module.name("r"), c.module.name("v"), c.module.name("v")
    writer.line(
        f"{row}, {changed}, {key} = transaction.lock_row("
        f"snapshot, {work.table.tree_id}, {found}, {words})"
    )
    old = stored_codes(c, work.table, row)
    here = whole_row_of(c, work.table, rel, at.plus(columns_of_row(old, rel)))
    here = here.plus({(rel, TABLEOID): Code(c.slot(work.table.oid), False, True, 0)})
    here = here.plus({(rel, LOCATOR): local(key, nullable=False)})
    here = here.plus(system_codes(c, work.table, rel, _system(node), here))
    tests = [f"{row} is not None"]
    if seen:
        tests.append(f"{key} not in {seen}")
    again: list[str] = []
    if work.locks_first:
        # The row was not read before: one that came while the lock was awaited is not met.
        again.append(f"snapshot.get({work.table.tree_id}, {found}) is not None")
    if node.recheck:
        again.append(c.at(here).conditions(node.recheck).text)
    if again:
        tests.append(f"(not {changed} or ({' and '.join(again)}))")
    with writer.block(f"if {' and '.join(tests)}:"):
        if seen:
            writer.line(f"{seen}.add({key})")
        yield here, local(key, nullable=False), row, old


def _system(node: UpdateRows | DeleteRows) -> Needed:
    """What the change reads of the old row, its system columns included."""
    changes = node.assignments if isinstance(node, UpdateRows) else ()
    return needed_by([*(a.expression for a in changes), *node.recheck, *node.returning])


def _needed(node: UpdateRows | DeleteRows, expressions: Sequence[Expr]) -> Needed:
    """What the input must give: other rels' columns that the change or the recheck reads."""
    rel = node.statement.rel
    read = needed_by([*expressions, *node.recheck, *node.returning])
    return frozenset(key for key in read if key[0] != rel) | {(rel, LOCATOR)}


def _seen(c: ProgramCompiler, node: UpdateRows | DeleteRows, flow: Flow) -> str:
    """A row that joins with several others is changed once: a set of keys, "" when none can."""
    if not fans_out(node.input):
        return ""
    name = c.module.name("r")
    flow.writer.line(f"{name} = set()")
    return name


def _source(
    c: ProgramCompiler,
    node: UpdateRows | DeleteRows,
    work: Work,
    needed: Needed,
    flow: Flow,
    each: Consume,
    *,
    at_once: bool,
) -> None:
    """The rows to change. A single row by integer key is locked without reading it first."""
    scan = node.input
    table = node.statement.table
    if (
        at_once
        and isinstance(scan, IndexScan)
        and scan.index is None
        and table.key_kind == "int"
        and not scan.predicates
        and scan.points[0].value is not None
    ):
        work.locks_first = True
        key = c.named(c.at(flow).value(scan.points[0].value), flow)
        here = flow.plus({(scan.rel.rel, LOCATOR): Code(key.text, False, True, 0, key.uses)})
        if key.nullable:
            with flow.writer.block(f"if {key.text} is not None:"):
                each(here)
        else:
            each(here)
        return
    c.produce(scan, needed, flow.inner(), each)


def update_rows(
    c: ProgramCompiler, node: UpdateRows, work: Work, flow: Flow, *, at_once: bool
) -> None:
    seen = _seen(c, node, flow)
    strength = lock_strength(work.parts, node.assignments)

    def each(at: Flow) -> None:
        with _locked(c, work, node, strength, at, seen) as (here, key, row, old):
            generated, checks = node.statement.generated, node.checks
            change_row(c, work, here, key, row, old, node.assignments, generated, checks)

    expressions = [a.expression for a in node.assignments]
    _source(c, node, work, _needed(node, expressions), flow, each, at_once=at_once)


def change_row(
    c: ProgramCompiler,
    work: Work,
    at: Flow,
    key: Code,
    row: str,
    old: dict[int, Code],
    assignments: Sequence[Assignment],
    generated: Sequence[Assignment],
    checks: Sequence[RowCheck] = (),
) -> None:
    """Compute, check and put the new version of a locked row."""
    writer, parts, table = at.writer, work.parts, work.table
    compiler = c.at(at)
    values = dict(old)
    for assignment in assignments:
        values[assignment.column] = c.named(compiler.value(assignment.expression), at)
    rel = parts.rel
    for assignment in generated:
        fresh = at.plus(columns_of_row(values, rel))
        values[assignment.column] = c.named(c.at(fresh).value(assignment.expression), fresh)
    changed = frozenset(a.column for a in (*assignments, *generated))
    fresh = at.plus(columns_of_row(values, rel))
    if checks:
        whole = whole_row_of(c, table, rel, fresh)
        write_row_checks(c, parts, policy_checks(checks), values, whole)
    write_checks(c, parts, values, fresh, changed)
    for slot in changed:
        if table.columns[slot].not_null:
            code = values[slot]
            values[slot] = Code(code.text, False, code.atom, code.depth, code.uses)
    fresh = at.plus(columns_of_row(values, rel))
    if checks:
        whole = whole_row_of(c, table, rel, fresh)
        write_row_checks(c, parts, view_checks(checks), values, whole)
    moves = table.key_kind != "row" and any(attnum - 1 in changed for attnum in table.primary_key)
    new_key = key
    if moves:
        new_key, primary = primary_key(c, parts, values, fresh)
        assert primary is not None
        assert parts.primary_parts is not None
        differs = f"{new_key.text} != {key.text}"
        write_unique(c, parts, parts.primary_parts, primary, fresh, differs)
    before = at.plus(columns_of_row(old, rel))
    entries: list[tuple[IndexParts, Entry, Entry]] = []
    for index in parts.indexes:
        if not moves and not index.slots & changed:
            continue
        was = index_key(c, index, before, key.text, table)
        now = index_key(c, index, fresh, new_key.text, table)
        entries.append((index, was, now))
        if index.is_unique:
            _lock_old(c, index, was, at, f"{was.key.text} != {now.key.text}")
            write_unique(c, parts, index, now, fresh, f"{was.key.text} != {now.key.text}")
    write_parent_checks(c, parts, values, fresh, work.queues, old, changed)
    _note_children(c, work, old, values, at, changed)
    texts = (
        packed(c, table, slot, values[slot]) if slot in changed else f"{row}[{slot}]"
        for slot in range(len(table.columns))
    )
    stored = tuple_of(texts)
    if moves:
        name = c.module.name("r")
        writer.line(f"{name} = {stored}")
        with writer.block(f"if {new_key.text} != {key.text}:"):
            writer.line(f"transaction.move({table.tree_id}, {key.text}, {new_key.text}, {name})")
        with writer.block("else:"):
            writer.line(f"transaction.put({table.tree_id}, {key.text}, {name})")
    else:
        writer.line(f"transaction.put({table.tree_id}, {key.text}, {stored})")
    for index, was, now in entries:
        _move_entry(c, index, was, now, key, new_key, at, moves=moves)
    count_row(c, work, fresh.plus({(rel, LOCATOR): new_key}))


def policy_checks(checks: Sequence[RowCheck]) -> tuple[RowCheck, ...]:
    """Those that come before the table's own constraints."""
    return tuple(check for check in checks if not check.view)


def view_checks(checks: Sequence[RowCheck]) -> tuple[RowCheck, ...]:
    """Those that come after."""
    return tuple(check for check in checks if check.view)


def _lock_old(
    c: ProgramCompiler, index: IndexParts, entry: Entry, at: Flow, condition: str
) -> None:
    """A unique key that goes away stays locked: who wants it waits for this transaction's end."""
    words = lock_words(c, at, LockStrength.UPDATE)
    tests = [t for t in (condition,) if t]
    if entry.key.nullable:
        tests.append(f"{entry.key.text} is not None")
    line = f"transaction.lock_key({index.index.tree_id}, {entry.key.text}, {words})"
    if tests:
        with at.writer.block(f"if {' and '.join(tests)}:"):
            at.writer.line(line)
    else:
        at.writer.line(line)


def _move_entry(
    c: ProgramCompiler,
    index: IndexParts,
    was: Entry,
    now: Entry,
    key: Code,
    new_key: Code,
    at: Flow,
    *,
    moves: bool,
) -> None:
    writer = at.writer
    tree = index.index.tree_id
    put = f"transaction.put({tree}, {now.key.text}, ({new_key.text},))"
    with writer.block(f"if {was.key.text} != {now.key.text}:"):
        delete = f"transaction.delete({tree}, {was.key.text})"
        if was.key.nullable:
            with writer.block(f"if {was.key.text} is not None:"):
                writer.line(delete)
        else:
            writer.line(delete)
        if now.key.nullable:
            with writer.block(f"if {now.key.text} is not None:"):
                writer.line(put)
        else:
            writer.line(put)
    if moves:
        more = f" and {now.key.text} is not None" if now.key.nullable else ""
        with writer.block(f"elif {new_key.text} != {key.text}{more}:"):
            writer.line(put)


def _note_children(
    c: ProgramCompiler,
    work: Work,
    old: RowCodes,
    new: RowCodes | None,
    at: Flow,
    changed: frozenset[int],
) -> None:
    """Keys that foreign keys elsewhere may point at: what happens to those follows at the end."""
    writer = at.writer
    for number, name in work.children.items():
        action = work.parts.children[number]
        slots = action.slots
        if new is not None and not any(slot in changed for slot in slots):
            continue
        codes = [old[slot] for slot in slots]
        tests = [f"{code.text} is not None" for code in codes if code.nullable]
        was = tuple_of(code.text for code in codes)
        becomes = "None"
        if new is not None:
            becomes = tuple_of(new[slot].text for slot in slots)
            tests.append(f"{was} != {becomes}")
        line = f"{name}.append(({was}, {becomes}))"
        if tests:
            with writer.block(f"if {' and '.join(tests)}:"):
                writer.line(line)
        else:
            writer.line(line)


def delete_rows(
    c: ProgramCompiler, node: DeleteRows, work: Work, flow: Flow, *, at_once: bool
) -> None:
    seen = _seen(c, node, flow)

    def each(at: Flow) -> None:
        with _locked(c, work, node, LockStrength.UPDATE, at, seen) as (here, key, _, old):
            remove_row(c, work, here, key, old)

    _source(c, node, work, _needed(node, ()), flow, each, at_once=at_once)


def remove_row(c: ProgramCompiler, work: Work, here: Flow, key: Code, old: dict[int, Code]) -> None:
    """Delete a locked row with its index entries; `here` knows it under the table's rel."""
    writer, table = here.writer, work.table
    entries: list[tuple[IndexParts, Entry]] = []
    for index in work.parts.indexes:
        entry = index_key(c, index, here, key.text, table)
        entries.append((index, entry))
        if index.is_unique:
            _lock_old(c, index, entry, here, "")
    _note_children(c, work, old, None, here, frozenset())
    writer.line(f"transaction.delete({table.tree_id}, {key.text})")
    for index, entry in entries:
        line = f"transaction.delete({index.index.tree_id}, {entry.key.text})"
        if entry.key.nullable:
            with writer.block(f"if {entry.key.text} is not None:"):
                writer.line(line)
        else:
            writer.line(line)
    count_row(c, work, here.plus({(work.parts.rel, LOCATOR): key}))
