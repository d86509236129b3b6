"""Row programs of MERGE.

Each row of the join of source and target is *matched* (it has a target row) or not. What becomes of
it is chosen on the statement's snapshot; a target row that somebody else changed meanwhile is
locked, the join condition asked again of its newest version, and the choice made anew: it is no
longer matched when the condition fails or the row is gone (READ COMMITTED).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from helios_storage.locks import LockStrength
from heliosd.execute.dml.violations import affected_twice_by_merge
from heliosd.execute.expressions import Code, local
from heliosd.execute.row_program import Flow, ProgramCompiler, needed_by
from heliosd.execute.row_program_change import change_row, lock_strength, remove_row
from heliosd.execute.row_program_insert import insert_row, new_values
from heliosd.execute.row_program_work import TABLEOID, Work, stored_codes, whole_row_of
from heliosd.execute.row_program_write import columns_of_row, lock_words, write_row_checks
from heliosd.plan.physical import LOCATOR, MergeRows
from heliosd.sql.bound import MergeWhen

NOTHING: Final = -1
UNMATCHED: Final = -2


def merge_rows(c: ProgramCompiler, node: MergeRows, work: Work, flow: Flow) -> None:
    """Write the loop over the joined rows."""
    rel = node.statement.rel
    matched = [(n, when) for n, when in enumerate(node.whens) if when.matched]
    unmatched = [when for when in node.whens if not when.matched]
    touched = c.module.name("r")
    flow.writer.line(f"{touched} = set()")

    def each(at: Flow) -> None:
        writer = at.writer
        found = at.columns[(rel, LOCATOR)].text
        action = c.module.name("v")
        with writer.block(f"if {found} is None:"):
            writer.line(f"{action} = {UNMATCHED}")
        with writer.block("else:"):
            _choose(c, matched, action, at)
        changing = [(n, when) for n, when in matched if when.action in ("update", "delete")]
        if changing:
            _changed_row(c, node, work, at, (found, action, touched), matched)
        if unmatched:
            with writer.block(f"if {action} == {UNMATCHED}:"):
                _insert(c, node, work, unmatched, at)

    expressions = [
        e
        for when in node.whens
        for e in (
            *(() if when.condition is None else (when.condition,)),
            *(a.expression for a in when.assignments),
            *when.row,
        )
    ]
    needed = needed_by([*expressions, *node.recheck]) | {(rel, LOCATOR)}
    c.produce(node.input, needed, flow.inner(), each)


def _choose(
    c: ProgramCompiler, whens: Sequence[tuple[int, MergeWhen]], action: str, at: Flow
) -> None:
    """The number of the first clause whose condition is true."""
    writer = at.writer
    writer.line(f"{action} = {NOTHING}")
    _try(c, list(whens), action, at)


def _try(c: ProgramCompiler, whens: list[tuple[int, MergeWhen]], action: str, at: Flow) -> None:
    if not whens:
        return
    (number, when), rest = whens[0], whens[1:]
    if when.condition is None:
        at.writer.line(f"{action} = {number}")
        return
    condition = c.at(at).condition(when.condition)
    with at.writer.block(f"if {condition.text}:"):
        at.writer.line(f"{action} = {number}")
    if rest:
        with at.writer.block("else:"):
            _try(c, rest, action, at)


def _changed_row(
    c: ProgramCompiler,
    node: MergeRows,
    work: Work,
    at: Flow,
    names: tuple[str, str, str],
    matched: list[tuple[int, MergeWhen]],
) -> None:
    """Lock the target row, choose again where it changed, and do it."""
    found, action, touched = names
    writer, rel, table = at.writer, node.statement.rel, work.table
    changing = [(n, when) for n, when in matched if when.action in ("update", "delete")]
    numbers = ", ".join(str(n) for n, _ in changing)
    strength = LockStrength.NO_KEY_UPDATE
    for _, when in changing:
        if when.action == "delete":
            strength = LockStrength.UPDATE
        else:
            strength = max(strength, lock_strength(work.parts, when.assignments))
    words = lock_words(c, at, strength)
    with writer.block(f"if {action} in ({numbers},):"):
        with writer.block(f"if {found} in {touched}:"):
            writer.line(f"{c.slot(affected_twice_by_merge)}()")
        row, changed, key = c.module.name("r"), c.module.name("v"), c.module.name("v")
        writer.line(
            f"{row}, {changed}, {key} = transaction.lock_row("
            f"snapshot, {table.tree_id}, {found}, {words})"
        )
        old = stored_codes(c, table, row)
        here = whole_row_of(c, table, rel, at.plus(columns_of_row(old, rel)))
        here = here.plus({(rel, TABLEOID): Code(c.slot(table.oid), False, True, 0)})
        with writer.block(f"if {row} is None:"):
            writer.line(f"{action} = {UNMATCHED}")
        with writer.block(f"elif {changed}:"):
            again = c.at(here).conditions(node.recheck).text if node.recheck else "True"
            with writer.block(f"if {again}:"):
                _choose(c, matched, action, here)
            with writer.block("else:"):
                writer.line(f"{action} = {UNMATCHED}")
        with writer.block(f"if {action} in ({numbers},):"):
            writer.line(f"{touched}.add({found})")
        locked = local(key, nullable=False)
        for number, when in changing:
            with writer.block(f"if {action} == {number}:"):
                write_row_checks(c, work.parts, when.target_checks, old, here)
                if when.action == "delete":
                    remove_row(c, work, here.plus(columns_of_row(old, work.parts.rel)), locked, old)
                else:
                    sets, more = when.assignments, when.generated
                    change_row(c, work, here, locked, row, old, sets, more, when.checks)


def _insert(
    c: ProgramCompiler, node: MergeRows, work: Work, whens: list[MergeWhen], at: Flow
) -> None:
    """The first NOT MATCHED clause whose condition is true."""
    when, rest = whens[0], whens[1:]

    def act() -> None:
        if when.action == "insert":
            values, fresh = new_values(c, work, when.row, when.generated, at, when.checks)
            insert_row(c, work, values, fresh, frozenset(values), "")
        else:
            at.writer.line("pass")

    if when.condition is None:
        act()
        return
    condition = c.at(at).condition(when.condition)
    with at.writer.block(f"if {condition.text}:"):
        act()
    if rest:
        with at.writer.block("else:"):
            _insert(c, node, work, rest, at)
