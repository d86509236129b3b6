"""Row programs that change one row of a table: checks, keys, index entries, foreign keys.

The order inside a row is always: compute, check, lock and look, and only then change. So a plain
call that would have to wait (`Blocked`) has changed nothing yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from helios_storage.locks import LockPolicy, LockStrength
from heliosd.catalog.objects import Constraint, Index, Table
from heliosd.execute import key_codec
from heliosd.execute.dml.row_checks import CheckWords
from heliosd.execute.dml.violations import TableWords
from heliosd.execute.expressions import Code, local
from heliosd.execute.row_program import Flow, ProgramCompiler, needed_by, tuple_of
from heliosd.plan.columns import WHOLE_ROW, ColumnKey
from heliosd.sql.bound import Expr, RowCheck, Var

if TYPE_CHECKING:
    from heliosd.execute.dml.foreign_keys import ParentCheck, ReferencedAction

RowCodes = Mapping[int, Code]
"""A row's values by slot."""


@dataclass(frozen=True, slots=True)
class IndexParts:
    """One index of the table: its key expressions and predicate over the rel of the new row."""

    index: Index
    expressions: tuple[Expr, ...]
    predicate: Expr | None
    codec: key_codec.KeyCodec
    texts: tuple[str, ...]
    slots: frozenset[int]
    """The columns that the entry depends on."""

    @property
    def is_unique(self) -> bool:
        return self.index.unique


class TableParts:
    """What writing to a table needs to know, bound over one rel number."""

    def __init__(
        self, c: ProgramCompiler, table: Table, rel: int, written: frozenset[int] = frozenset()
    ) -> None:
        self.table = table
        self.rel = rel
        self.written = written
        self.words = TableWords(table, c.services.schema_name(table), c.types)
        self.primary = next((i for i in table.indexes if i.primary), None)
        self.checks: list[tuple[Constraint, Expr]] = [
            (check, c.services.stored_expression(table, check.expression, rel))
            for check in table.checks
            if check.expression is not None
        ]
        self.indexes = [self._parts(c, index) for index in table.secondary_indexes]
        self.primary_parts = None if self.primary is None else self._parts(c, self.primary)
        self.parents: list[ParentCheck] = c.services.parent_checks(table)
        self.children: list[ReferencedAction] = c.services.referenced_actions(table)

    def _parts(self, c: ProgramCompiler, index: Index) -> IndexParts:
        table = self.table
        expressions: list[Expr] = []
        texts: list[str] = []
        for key in index.keys:
            if key.expression is None:
                column = table.column(key.attnum)
                expressions.append(
                    Var(self.rel, key.attnum - 1, column.type_oid, column.typmod, column.collation)
                )
                texts.append(column.name)
            else:
                expressions.append(c.services.stored_expression(table, key.expression, self.rel))
                texts.append(key.expression)
        predicate = None
        if index.predicate is not None:
            predicate = c.services.stored_expression(table, index.predicate, self.rel)
        read = needed_by([*expressions, *([] if predicate is None else [predicate])])
        return IndexParts(
            index,
            tuple(expressions),
            predicate,
            key_codec.codec_for(table, index, c.types, c.services),
            tuple(texts),
            frozenset(slot for _, slot in read),
        )

    def key_slots(self) -> frozenset[int]:
        """The columns of unique keys: changing one needs the stronger row lock."""
        found: set[int] = set()
        for index in self.table.indexes:
            if index.unique and index.predicate is None:
                found |= {attnum - 1 for attnum in index.attnums if attnum}
        return frozenset(found)


def lock_words(c: ProgramCompiler, flow: Flow, strength: LockStrength) -> str:
    """The last arguments of lock_row and lock_key."""
    flow.writer.first("transaction = ctx.transaction")
    return f"{c.slot(strength)}, {c.slot(LockPolicy.WAIT)}, ctx.lock_timeout_ms"


def packed(c: ProgramCompiler, table: Table, slot: int, code: Code) -> str:
    """A value's text in storage's shape."""
    column = table.columns[slot]
    pack = c.types.type(column.type_oid).packer(column.typmod)
    if pack is None or code.text == "None":
        return code.text
    value = f"{c.slot(pack)}({code.text})"
    return f"(None if {code.text} is None else {value})" if code.nullable else value


def write_checks(
    c: ProgramCompiler, parts: TableParts, values: RowCodes, at: Flow, changed: frozenset[int]
) -> None:
    """NOT NULL and CHECK of the columns that changed; `at` knows the new row under parts.rel."""
    writer = at.writer
    table = parts.table
    row: list[str] = []

    def whole() -> str:
        if not row:
            row.append(tuple_of(values[i].text for i in range(len(table.columns))))
        return row[0]

    words, written = c.slot(parts.words), c.slot(parts.written)
    for number, column in enumerate(table.columns):
        if not column.not_null or column.dropped or number not in changed:
            continue
        code = values[number]
        if code.nullable:
            with writer.block(f"if {code.text} is None:"):
                writer.line(f"{words}.not_null(ctx, {number}, {whole()}, {written})")
    for constraint, expression in parts.checks:
        read = {slot for _, slot in needed_by([expression])}
        if not read & changed and WHOLE_ROW not in read:
            continue
        code = c.at(at).value(expression)
        with writer.block(f"if {code.text} is False:"):
            writer.line(f"{words}.check(ctx, {c.slot(constraint)}, {whole()}, {written})")


def write_row_checks(
    c: ProgramCompiler,
    parts: TableParts,
    checks: Sequence[RowCheck],
    values: RowCodes,
    at: Flow,
) -> None:
    """What policies and views ask of a row; `at` knows it under the rel that the checks name."""
    for check in checks:
        code = c.at(at).condition(check.expression)
        violated = c.slot(CheckWords(check, parts.words).violated)
        row = tuple_of(values[i].text for i in range(len(parts.table.columns)))
        with at.writer.block(f"if not ({code.text}):"):
            at.writer.line(f"{violated}(ctx, {row}, {c.slot(parts.written)})")


@dataclass(frozen=True, slots=True)
class Entry:
    """One index entry at hand: its key (None where the row has no entry), and its values."""

    key: Code
    values: tuple[Code, ...]
    has_null: str  # a test that some value is NULL, "" when none can be


def index_key(c: ProgramCompiler, parts: IndexParts, at: Flow, locator: str, table: Table) -> Entry:
    """The entry's key under a local name; None when a partial index leaves the row out."""
    compiler = c.at(at)
    values = [c.named(compiler.value(e), at) for e in parts.expressions]
    encode = c.slot(parts.codec.encode)
    text = f"{encode}({tuple_of(v.text for v in values)})"
    nulls = [f"{v.text} is None" for v in values if v.nullable]
    has_null = " or ".join(nulls)
    unique = parts.index.unique
    if parts.index.nulls_not_distinct:
        has_null = ""
    add = f"{text} + {c.slot(key_codec.locator_codec(table))}({locator})"
    if not unique:
        text = add
    elif has_null:
        text = f"({add} if {has_null} else {text})"
    name = c.module.name("v")
    if parts.predicate is not None:
        condition = compiler.condition(parts.predicate)
        at.writer.line(f"{name} = {text} if {condition.text} else None")
        return Entry(local(name), tuple(values), has_null)
    at.writer.line(f"{name} = {text}")
    return Entry(local(name, nullable=False), tuple(values), has_null)


def write_unique(
    c: ProgramCompiler,
    parts: TableParts,
    index: IndexParts,
    entry: Entry,
    at: Flow,
    condition: str = "",
    conflict: Callable[[str], None] | None = None,
) -> None:
    """Lock a unique key and look whether somebody has it: 23505, or `conflict(row name)`."""
    writer = at.writer
    words = lock_words(c, at, LockStrength.UPDATE)
    tree = index.index.tree_id or parts.table.tree_id
    tests = [t for t in (condition,) if t]
    if entry.key.nullable:
        tests.append(f"{entry.key.text} is not None")
    if entry.has_null:
        tests.append(f"not ({entry.has_null})")

    def look() -> None:
        writer.line(f"transaction.lock_key({tree}, {entry.key.text}, {words})")
        row = c.module.name("r")
        writer.line(f"{row} = transaction.newest({tree}, {entry.key.text})")
        with writer.block(f"if {row} is not None:"):
            if conflict is not None:
                conflict(row)
            else:
                raise_unique(c, parts, index, entry, at)

    if tests:
        with writer.block(f"if {' and '.join(tests)}:"):
            look()
    else:
        look()


def raise_unique(
    c: ProgramCompiler, parts: TableParts, index: IndexParts, entry: Entry, at: Flow
) -> None:
    values = tuple_of(v.text for v in entry.values)
    types = c.slot(tuple(e.type for e in index.expressions))
    texts = c.slot(index.texts)
    words, held = c.slot(parts.words), c.slot(index.index)
    at.writer.line(f"{words}.unique(ctx, {held}, {values}, {texts}, {types})")


def primary_key(
    c: ProgramCompiler, parts: TableParts, values: RowCodes, at: Flow
) -> tuple[Code, Entry | None]:
    """The new row's key under a local name; the entry to check, None for hidden row numbers."""
    table = parts.table
    if table.key_kind == "row":
        at.writer.first("transaction = ctx.transaction")
        number = c.module.name("v")
        at.writer.line(f"{number} = ctx.services.storage.sequences.next_row({table.row_sequence})")
        return local(number, nullable=False), None
    assert parts.primary is not None
    assert parts.primary_parts is not None
    keys = [values[attnum - 1] for attnum in parts.primary.attnums]
    if table.key_kind == "int":
        key = replace(keys[0], nullable=False)
        return key, Entry(key, (key,), "")
    encode = c.slot(parts.primary_parts.codec.encode)
    name = c.module.name("v")
    at.writer.line(f"{name} = {encode}({tuple_of(k.text for k in keys)})")
    key = local(name, nullable=False)
    return key, Entry(key, tuple(keys), "")


POLICIES: Final[Mapping[str, LockPolicy]] = {
    "block": LockPolicy.WAIT,
    "nowait": LockPolicy.NOWAIT,
    "skip_locked": LockPolicy.SKIP,
}


def write_parent_checks(
    c: ProgramCompiler,
    parts: TableParts,
    values: RowCodes,
    at: Flow,
    queues: Mapping[int, str],
    old: RowCodes | None,
    changed: frozenset[int],
) -> None:
    """Foreign keys of this table: look at once, or put the key into the statement's queue."""
    writer = at.writer
    for number, check in enumerate(parts.parents):
        slots = check.slots
        if not any(slot in changed for slot in slots):
            continue
        codes = [values[slot] for slot in slots]
        row = tuple_of(code.text for code in codes)
        if check.match_full and len(codes) > 1:
            writer.line(f"{c.slot(check)}.check_full(ctx, {row})")
        tests = [f"{code.text} is not None" for code in codes if code.nullable]
        if any(code.text == "None" for code in codes):
            continue
        if old is not None:
            differs = " or ".join(
                f"{values[slot].text} != {old[slot].text}" for slot in slots if slot in changed
            )
            tests.append(f"({differs})")
        line = (
            f"{queues[number]}[{row}] = None"
            if number in queues
            else f"{c.slot(check)}.look(ctx, {row})"
        )
        if tests:
            with writer.block(f"if {' and '.join(tests)}:"):
                writer.line(line)
        else:
            writer.line(line)


def columns_of_row(values: RowCodes, rel: int) -> dict[ColumnKey, Code]:
    return {(rel, slot): code for slot, code in values.items()}
