"""Moving rows between trees: index builds, a new primary key, a changed column type.

All of it runs in the session's greenlet, batch by batch, under ACCESS EXCLUSIVE (an index build:
SHARE ROW EXCLUSIVE). Keys that turn out double are noticed by counting: a tree holds one row per
key, so fewer rows than were put means that two had the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from helios_storage.sorting import SortedRuns
from helios_storage.spec import TreeId
from heliosd.catalog.objects import Column, Index, Table
from heliosd.errors import SqlError
from heliosd.execute.dml.shown import shown_row
from heliosd.execute.key_codec import codec_for, locator_codec
from heliosd.execute.utility.as_stored import prepare_as_stored
from heliosd.execute.utility.physical import (
    create_trees,
    drop_trees,
    index_spec,
    key_kind,
    new_tree_id,
)
from heliosd.execute.utility.upkeep import as_owner_of
from heliosd.sql.parser import parse_expression
from heliosd.sql.tree.base import Expression, QualifiedName
from heliosd.sql.tree.expressions import NullConstant
from heliosd.sql.tree.query import RangeVar, ResultTarget, Select
from heliosd.types.quoting import quote_identifier

if TYPE_CHECKING:
    from helios_storage.transaction import Snapshot
    from heliosd.execute.context import SessionServices
    from heliosd.types.registry import SqlType, TypeRegistry

Values = tuple[Any, ...]
_BATCH: Final = 1024


@dataclass(frozen=True, slots=True)
class BuiltInTypes:
    """Types by oid, as key codecs ask for them."""

    registry: TypeRegistry

    def type(self, oid: int) -> SqlType:
        return self.registry.type(oid)


def fresh_snapshot(session: SessionServices, table: Table) -> Snapshot:
    """A snapshot taken now that the table is locked. Above READ COMMITTED the transaction's own is
    older: if the table changed since, its rows must not be moved from there (40001)."""
    snapshot = session.new_statement_snapshot()
    transaction = session.transaction
    if transaction.isolation > 1:
        newest = transaction.manager.roots.newest.find(table.tree_id)
        seen = snapshot.root.find(table.tree_id)
        if newest is not None and (seen is None or newest.ref is not seen.ref):
            raise SqlError("40001", "could not serialize access due to concurrent update")
    return snapshot


# -- reading --------------------------------------------------------------------------------------


def stored_rows(
    session: SessionServices, table: Table, slots: tuple[int, ...] | None = None
) -> Iterator[tuple[Sequence[Any], list[Values]]]:
    """(keys, rows in storage's shape) of a table, batch by batch; `slots`: only these columns."""
    snapshot = session.context.snapshot
    for keys, rows in snapshot.batches(table.tree_id, columns=slots, with_keys=True):
        assert keys is not None
        yield keys, rows
        session.context.check_slice()


def computed_rows(
    session: SessionServices, table: Table, expressions: Sequence[Expression]
) -> Iterator[Values]:
    """The values of expressions over each row, in the order of the table's keys."""
    name = QualifiedName(0, (session.catalog.schema_name(table.schema), table.name))
    targets = tuple(ResultTarget(0, each) for each in expressions)
    program = prepare_as_stored(session, Select(0, targets, (RangeVar(0, name),)))
    assert program.rows is not None
    for batch in program.rows(session.context, ()):
        yield from batch


def unpackers(session: SessionServices, table: Table, slots: Sequence[int]) -> list[Any]:
    """Per slot: what turns the stored shape into the value (None: it is the value)."""
    types = session.catalog.types
    columns = [table.columns[slot] for slot in slots]
    return [types.type(column.type_oid).unpacker(column.typmod) for column in columns]


def _unpacked(rows: list[Values], functions: list[Any]) -> list[Values]:
    if not any(functions):
        return rows
    return [
        tuple(
            value if function is None or value is None else function(value)
            for value, function in zip(row, functions, strict=True)
        )
        for row in rows
    ]


# -- indexes --------------------------------------------------------------------------------------


def build_index_tree(session: SessionServices, table: Table, index: Index) -> None:
    """Fill an index's (empty) tree from its table; 23505 for a unique one with double keys."""
    fresh_snapshot(session, table)
    entries = SortedRuns(session.transaction, index.tree_id)
    with as_owner_of(session, table):
        for keys, locators in _entries(session, table, index):
            entries.add(keys, [(locator,) for locator in locators])
    if entries.finish() is not None:
        raise duplicate_key(session, table, index)


def _entries(
    session: SessionServices, table: Table, index: Index
) -> Iterator[tuple[list[bytes], list[Any]]]:
    """(entry keys, locators), batch by batch."""
    encode = codec_for(table, index, BuiltInTypes(session.catalog.types)).encode
    locator_bytes = locator_codec(table)
    plain = index.predicate is None and all(index.attnums)
    source = _plain_values(session, table, index) if plain else _computed(session, table, index)
    for locators, values in source:
        keys: list[bytes] = []
        for locator, row in zip(locators, values, strict=True):
            key = encode(row)
            if not index.unique or (not index.nulls_not_distinct and None in row):
                key += locator_bytes(locator)
            keys.append(key)
        yield keys, list(locators)


def _plain_values(
    session: SessionServices, table: Table, index: Index
) -> Iterator[tuple[Sequence[Any], list[Values]]]:
    slots = tuple(attnum - 1 for attnum in index.attnums)
    functions = unpackers(session, table, slots)
    for keys, rows in stored_rows(session, table, slots):
        yield keys, _unpacked(rows, functions)


def _computed(
    session: SessionServices, table: Table, index: Index
) -> Iterator[tuple[Sequence[Any], list[Values]]]:
    """Keys that are expressions, or a partial index: the values from a query that reads the table
    in the order of its keys, beside the keys themselves."""
    values = computed_rows(session, table, _key_trees(table, index))
    partial = index.predicate is not None
    for keys, rows in stored_rows(session, table, ()):
        locators: list[Any] = []
        found: list[Values] = []
        for key, _row in zip(keys, rows, strict=True):
            value = next(values)
            if not partial:
                found.append(value)
            elif value[-1] is True:
                found.append(value[:-1])
            else:
                continue
            locators.append(key)
        yield locators, found


def _key_trees(table: Table, index: Index) -> list[Expression]:
    texts = [
        quote_identifier(table.column(key.attnum).name) if key.attnum else key.expression or ""
        for key in index.keys
    ]
    if index.predicate is not None:
        texts.append(index.predicate)
    return [parse_expression(text) for text in texts]


def duplicate_key(
    session: SessionServices, table: Table, index: Index, *, search: bool = True
) -> SqlError:
    """23505, with `search` naming the first key that is there twice."""
    encode = codec_for(table, index, BuiltInTypes(session.catalog.types)).encode
    plain = index.predicate is None and all(index.attnums)
    source = _plain_values(session, table, index) if plain else _computed(session, table, index)
    seen: set[bytes] = set()
    detail = None
    for _locators, values in source if search else ():
        for row in values:
            if None in row and not index.nulls_not_distinct:
                continue
            key = encode(row)
            if key in seen:
                visible = shown_row(session.context, table).index_key(index, row)
                if visible is not None:
                    detail = f"Key {_shown_key(session, table, index, visible)} is duplicated."
                break
            seen.add(key)
        else:
            continue
        break
    return SqlError(
        "23505",
        f'could not create unique index "{index.name}"',
        detail=detail,
        schema=session.catalog.schema_name(table.schema),
        table=table.name,
        constraint=index.name,
    )


def _shown_key(session: SessionServices, table: Table, index: Index, row: Sequence[Any]) -> str:
    types, evaluation = session.catalog.types, session.context.eval
    names: list[str] = []
    texts: list[str] = []
    for key, value in zip(index.keys, row, strict=True):
        if key.attnum:
            column = table.column(key.attnum)
            names.append(column.name)
            oid = column.type_oid
        else:
            names.append(key.expression or "")
            oid = key.type_oid
        texts.append("null" if value is None else types.type(oid).output(value, evaluation))
    return f"({', '.join(names)})=({', '.join(texts)})"


def replace_index_tree(session: SessionServices, table: Table, index: Index, tree_id: int) -> Table:
    """Build an index anew under another tree id."""
    fresh = replace(index, tree_id=tree_id)
    session.transaction.create_tree(index_spec(table, fresh))
    build_index_tree(session, table, fresh)
    session.transaction.drop_tree(TreeId(index.tree_id))
    indexes = tuple(fresh if each.oid == index.oid else each for each in table.indexes)
    return session.catalog_edit().replace(table, replace(table, indexes=indexes))


# -- whole tables ---------------------------------------------------------------------------------


def recluster(session: SessionServices, old: Table, new: Table, key: tuple[int, ...]) -> Table:
    """Give a table another primary key (attnums; () for none): its rows move into a tree in that
    order, its indexes are built anew. `new` is the table as it shall be, but for its trees."""
    kind = key_kind(new.columns, key)
    row_sequence = 0
    if kind == "row":
        row_sequence = old.row_sequence or session.catalog_edit().new_oid()
    new = _with_fresh_trees(
        session, replace(new, key_kind=kind, primary_key=key, row_sequence=row_sequence)
    )
    fresh_snapshot(session, old)
    create_trees(session, new)
    sorted_rows = SortedRuns(session.transaction, new.tree_id)
    key_of = _key_maker(session, new)
    for _keys, rows in stored_rows(session, old):
        _check_key_columns(new, rows)
        sorted_rows.add(key_of(rows), rows)
    return _finish(session, old, new, sorted_rows)


def rewrite_table(
    session: SessionServices, old: Table, new: Table, expressions: Sequence[Expression | None]
) -> Table:
    """Compute every row anew: an expression per column of `new` over `old` (None: NULL)."""
    new = _with_fresh_trees(session, new)
    fresh_snapshot(session, old)
    create_trees(session, new)
    trees = [NullConstant(0) if each is None else each for each in expressions]
    store = [_storing(session, column) for column in new.columns]
    key_of = _key_maker(session, new)
    sorted_rows = SortedRuns(session.transaction, new.tree_id)
    batch: list[Values] = []

    def flush() -> None:
        _check_not_null(new, batch)
        sorted_rows.add(key_of(batch), list(batch))
        batch.clear()

    with as_owner_of(session, old):
        for values in computed_rows(session, old, trees):
            batch.append(
                tuple(
                    value if function is None or value is None else function(value)
                    for value, function in zip(values, store, strict=True)
                )
            )
            if len(batch) >= _BATCH:
                flush()
        if batch:
            flush()
    return _finish(session, old, new, sorted_rows, same_values=False)


def _storing(session: SessionServices, column: Column) -> Callable[[Any], Any] | None:
    """What a computed value passes before it rests: the column's modifier (22001, 22003), its
    shape."""
    kind = session.catalog.types.type(column.type_oid)
    typmod = column.typmod
    pack, apply_typmod = kind.packer(typmod), kind.apply_typmod
    if apply_typmod is None or typmod < 0:
        return pack

    def fit(value: Any) -> Any:
        fitted = apply_typmod(value, typmod, False)
        return fitted if pack is None else pack(fitted)

    return fit


def _with_fresh_trees(session: SessionServices, table: Table) -> Table:
    return replace(
        table,
        tree_id=new_tree_id(session),
        indexes=tuple(
            index if index.primary else replace(index, tree_id=new_tree_id(session))
            for index in table.indexes
        ),
    )


def _finish(
    session: SessionServices,
    old: Table,
    new: Table,
    sorted_rows: SortedRuns,
    *,
    same_values: bool = True,
) -> Table:
    """Check the new primary key, build the indexes, put `new` in the place of `old`."""
    primary = next((index for index in new.indexes if index.primary), None)
    if sorted_rows.finish() is not None and primary is not None:
        # The old rows can tell which key is double only where they hold the new values.
        raise duplicate_key(session, new_rows_of_old(old, new), primary, search=same_values)
    drop_trees(session, old)
    placed = session.catalog_edit().replace(old, new)
    for index in placed.secondary_indexes:
        build_index_tree(session, placed, index)
    session.new_statement_snapshot()
    return placed


def new_rows_of_old(old: Table, new: Table) -> Table:
    """The new definition over the old rows: where double keys can still be seen."""
    return replace(new, tree_id=old.tree_id)


def _key_maker(session: SessionServices, table: Table) -> Callable[[list[Values]], list[Any]]:
    """From rows in storage's shape to the keys under which the table holds them."""
    if table.key_kind == "row":
        sequences, number = session.storage.sequences, table.row_sequence

        def numbered(rows: list[Values]) -> list[Any]:
            first = sequences.advance(number, count=len(rows))
            return list(range(first, first + len(rows)))

        return numbered
    slots = [attnum - 1 for attnum in table.primary_key]
    if table.key_kind == "int":
        slot = slots[0]
        return lambda rows: [row[slot] for row in rows]
    primary = next(index for index in table.indexes if index.primary)
    encode = codec_for(table, primary, BuiltInTypes(session.catalog.types)).encode
    functions = unpackers(session, table, slots)

    def encoded(rows: list[Values]) -> list[Any]:
        parts = [tuple(row[slot] for slot in slots) for row in rows]
        return [encode(values) for values in _unpacked(parts, functions)]

    return encoded


def _check_key_columns(table: Table, rows: list[Values]) -> None:
    """23502 for a NULL in a column of the new primary key."""
    for attnum in table.primary_key:
        if any(row[attnum - 1] is None for row in rows):
            raise contains_nulls(table, attnum)


def _check_not_null(table: Table, rows: list[Values]) -> None:
    for column in table.live_columns:
        if column.not_null and any(row[column.attnum - 1] is None for row in rows):
            raise contains_nulls(table, column.attnum)


def contains_nulls(table: Table, attnum: int) -> SqlError:
    """23502 for existing rows."""
    name = table.column(attnum).name
    return SqlError(
        "23502",
        f'column "{name}" of relation "{table.name}" contains null values',
        table=table.name,
        column=name,
    )
