"""INSERT, its defaults and its ON CONFLICT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog.objects import Column, Table
from heliosd.errors import SqlError, not_supported
from heliosd.sql.bind.coerce import location, to_boolean
from heliosd.sql.bind.conflict import arbiter_indexes
from heliosd.sql.bind.part_assign import PartColumn, join_parts, part_column, refuse_default
from heliosd.sql.bind.resolve import UNKNOWN
from heliosd.sql.bind.state import Level, TableItem, TableUse
from heliosd.sql.bind.table_target import (
    Aim,
    aim_item,
    bind_returning,
    bind_set_list,
    default_of,
    fit_value,
    generated_columns,
    need,
    open_aim,
    option_checks,
    reads_target,
    table_role,
    target_column,
)
from heliosd.sql.bind.with_clause import bind_with, finish_with
from heliosd.sql.bound import (
    Const,
    Expr,
    Insert,
    OnConflict,
    Query,
    RelColumn,
    Select,
    Values,
    Var,
)
from heliosd.sql.bound.walk import output_columns
from heliosd.sql.tree import modify as tree_modify
from heliosd.sql.tree import query as tree_query
from heliosd.sql.tree.expressions import (
    IntegerConstant,
    NumericConstant,
    SetToDefault,
    StringConstant,
)

if TYPE_CHECKING:
    from heliosd.sql.tree.base import Expression

Row = tuple[Expr, ...]


def bind_insert(parent: Level, tree: tree_modify.Insert, settled: bool) -> Any:  # noqa: FBT001
    del settled
    state = parent.state
    level = Level(state, parent)
    bind_with(level, tree.with_clause)
    aim = open_aim(level, tree.relation, "insert into")
    table = aim.table
    columns = _target_columns(level, aim, tree)
    source, source_rel, row = _bind_source(level, table, columns, tree)
    new = state.new_rel()
    item = aim_item(level, aim, new)
    level.items = [item]
    on_conflict = None
    if tree.on_conflict is not None:
        on_conflict = _bind_conflict(level, aim, tree.on_conflict)
        level.items = [item]
    returning = bind_returning(level, tree.returning)
    written = whole_columns(columns) if tree.query is not None else []
    need(level, aim, "INSERT", [c.attnum - 1 for c in written])
    return Insert(
        table,
        new,
        aim.alias,
        source,
        source_rel,
        row,
        generated_columns(level, table, new),
        on_conflict,
        returning,
        finish_with(level),
        "" if tree.overriding is tree_modify.Overriding.DEFAULT else tree.overriding.value,
        tuple(c.attnum - 1 for c in written),
        check_as=table_role(aim),
        reads=reads_target(aim),
        checks=option_checks(level, aim, new),
    )


def _target_columns(level: Level, aim: Aim, tree: tree_modify.Insert) -> list[Column]:
    if tree.columns is None:
        return _all_columns(level, aim, tree)
    found: list[Column] = []
    for target in tree.columns:
        column = target_column(level, aim, target.name, target.position)
        if target.steps:
            if column in found:
                raise SqlError(
                    "42701",
                    f'column "{target.name}" specified more than once',
                    position=target.position,
                )
            found.append(part_column(level.state, column, target, len(found) + 1))
            continue
        if any(column in (each, getattr(each, "whole", None)) for each in found):
            raise SqlError(
                "42701",
                f'column "{target.name}" specified more than once',
                position=target.position,
            )
        found.append(column)
    return found


def whole_columns(columns: Sequence[Column]) -> list[Column]:
    """The columns of the table, those of which only parts are given included, each once."""
    whole = (each.whole if isinstance(each, PartColumn) else each for each in columns)
    return list({column.attnum: column for column in whole}.values())


def _all_columns(level: Level, aim: Aim, tree: tree_modify.Insert) -> list[Column]:
    """Without a column list: as many of the relation's columns as the source gives."""
    view = aim.view
    if tree.query is None:
        return []
    if view is None:
        return list(aim.table.live_columns)
    count = len(view.view.columns)
    if isinstance(tree.query, tree_query.Values):
        count = min(count, len(tree.query.rows[0]))
    return [target_column(level, aim, c.name, 0) for c in view.view.columns[:count]]


def _bind_source(
    level: Level, table: Table, columns: list[Column], tree: tree_modify.Insert
) -> tuple[Query | None, int, Row]:
    """(source query or None for one row, its rel, the new row's expressions)."""
    query = tree.query
    if query is None:
        return None, -1, full_row(level, table, {})
    if isinstance(query, tree_query.Values) and _is_plain(query):
        return _bind_rows(level, table, columns, tree, query)
    bound = level.query(query, settle=False)
    outputs = output_columns(bound)
    _check_count(len(outputs), columns, tree, query)
    columns = columns[: len(outputs)]
    bound = _typed_literals(level, bound, columns, query)
    outputs = output_columns(bound)
    number = level.state.new_rel()
    values: dict[int, Expr] = {}
    for index, (column, output) in enumerate(zip(columns, outputs, strict=True)):
        if _takes_default(column, tree):
            continue
        _check_given(column, tree)
        value = Var(number, index, output[1], output[2], output[3])
        values[column.attnum] = fit_value(level, value, column, _output_position(query, index))
    return bound, number, full_row(level, table, join_parts(level, columns, values))


def _is_plain(query: tree_query.Values) -> bool:
    return not (query.order_by or query.limit_count or query.limit_offset or query.with_clause)


def _bind_rows(
    level: Level,
    table: Table,
    columns: list[Column],
    tree: tree_modify.Insert,
    query: tree_query.Values,
) -> tuple[Query | None, int, Row]:
    """VALUES: each cell is bound as a value of its column, DEFAULT included."""
    level.clause = "VALUES"
    width = len(query.rows[0])
    for row in query.rows:
        if len(row) != width:
            raise SqlError(
                "42601", "VALUES lists must all be the same length", position=location(row[0])
            )
    _check_count(width, columns, tree, query)
    columns = columns[:width]
    if len(query.rows) == 1:
        cells = bind_cells(level, table, columns, tree, query.rows[0])
        return None, -1, full_row(level, table, join_parts(level, columns, cells))
    rows = [bind_cells(level, table, columns, tree, row) for row in query.rows]
    number = level.state.new_rel()
    # A column that takes its default in every row is not in `rows`; the full row supplies it.
    given = [c for c in columns if any(c.attnum in row for row in rows)]
    defaults = {
        c.attnum: default_of(level, table, c)
        for c in given
        if any(c.attnum not in row for row in rows)
    }
    values = tuple(
        tuple(row[c.attnum] if c.attnum in row else defaults[c.attnum] for c in given)
        for row in rows
    )
    outputs = tuple(RelColumn(c.name, c.type_oid, c.typmod, c.collation) for c in given)
    row_values: dict[int, Expr] = {
        c.attnum: Var(number, i, c.type_oid, c.typmod, c.collation) for i, c in enumerate(given)
    }
    joined = join_parts(level, columns, row_values)
    return Values(values, outputs), number, full_row(level, table, joined)


def bind_cells(
    level: Level,
    table: Table,
    columns: list[Column],
    tree: tree_modify.Insert | tree_modify.MergeWhen,
    row: Sequence[Expression],
) -> dict[int, Expr]:
    """Values by attnum; columns that take their default are left out."""
    found: dict[int, Expr] = {}
    for column, cell in zip(columns, row, strict=True):
        if isinstance(cell, SetToDefault):
            if isinstance(column, PartColumn):
                refuse_default(cell, column)
            continue
        value: Expr = plain_constant(cell, column) or level.expression(cell)
        if _takes_default(column, tree):
            continue
        _check_given(column, tree)
        if value.type != column.type_oid or column.typmod >= 0:
            value = fit_value(level, value, column, location(cell))
        found[column.attnum] = value
    return found


def plain_constant(cell: Expression, column: Column) -> Const | None:
    """A literal that is a value of its column as it stands: most cells of long VALUES lists."""
    kind, oid = type(cell), column.type_oid
    if kind is IntegerConstant:
        value = cell.value  # type: ignore[attr-defined]
        limit = _LIMITS.get(oid)
        return Const(value, oid) if limit is not None and value < limit else None
    if kind is StringConstant and oid == TEXT:
        return Const(cell.value, TEXT, -1, column.collation)  # type: ignore[attr-defined]
    if kind is NumericConstant and oid == FLOAT8:
        number = float(cell.text)  # type: ignore[attr-defined]
        return Const(number, FLOAT8) if isfinite(number) else None
    return None


TEXT: Final = 25
FLOAT8: Final = 701
_LIMITS: Final = {23: 2**31, 20: 2**63}


def full_row(level: Level, table: Table, values: dict[int, Expr]) -> Row:
    """One expression per stored column."""
    row: list[Expr] = []
    for column in table.columns:
        value = values.get(column.attnum)
        if value is None:
            value = default_of(
                level, table, replace(column, default=None, identity="") if column.dropped
                else column,
            )  # fmt: skip
        row.append(value)
    return tuple(row)


def _check_count(
    count: int, columns: list[Column], tree: tree_modify.Insert, query: tree_query.Query
) -> None:
    if count > len(columns):
        raise SqlError(
            "42601",
            "INSERT has more expressions than target columns",
            position=_output_position(query, len(columns)),
        )
    if tree.columns is not None and count < len(columns):
        raise SqlError(
            "42601",
            "INSERT has more target columns than expressions",
            position=tree.columns[count].position,
        )


def _output_position(query: tree_query.Query, index: int) -> int:
    if isinstance(query, tree_query.Select) and index < len(query.targets):
        return location(query.targets[index].value)
    if isinstance(query, tree_query.Values) and index < len(query.rows[0]):
        return location(query.rows[0][index])
    return 0


def _typed_literals(
    level: Level, query: Query, columns: list[Column], tree: tree_query.Query
) -> Query:
    """Literals and parameters that stand alone in the source become values of their columns."""
    outputs = output_columns(query)
    if not any(oid == UNKNOWN for _, oid, *_ in outputs):
        return query
    if isinstance(query, Values):
        rows = tuple(
            tuple(
                fit_value(level, cell, column, 0) if cell.type == UNKNOWN else cell
                for cell, column in zip(row, columns, strict=True)
            )
            for row in query.rows
        )
        typed = tuple(
            RelColumn(c.name, rows[0][i].type, rows[0][i].typmod, rows[0][i].collation)
            for i, c in enumerate(query.columns)
        )
        return replace(query, rows=rows, columns=typed)
    if not isinstance(query, Select):
        return query
    targets = []
    visible = 0
    for target in query.targets:
        if not target.junk:
            column = columns[visible]
            if target.expression.type == UNKNOWN:
                at = _output_position(tree, visible)
                target = replace(target, expression=fit_value(level, target.expression, column, at))
            visible += 1
        targets.append(target)
    return replace(query, targets=tuple(targets))


def _takes_default(column: Column, tree: tree_modify.Insert | tree_modify.MergeWhen) -> bool:
    return bool(column.identity) and tree.overriding is tree_modify.Overriding.USER


def _check_given(column: Column, tree: tree_modify.Insert | tree_modify.MergeWhen) -> None:
    """428C9 for a value where only DEFAULT may stand."""
    if column.generated:
        raise SqlError(
            "428C9",
            f'cannot insert a non-DEFAULT value into column "{column.name}"',
            detail=f'Column "{column.name}" is a generated column.',
        )
    if column.identity == "a" and tree.overriding is not tree_modify.Overriding.SYSTEM:
        raise SqlError(
            "428C9",
            f'cannot insert a non-DEFAULT value into column "{column.name}"',
            detail=f'Column "{column.name}" is an identity column defined as GENERATED ALWAYS.',
            hint="Use OVERRIDING SYSTEM VALUE to override.",
        )


def _bind_conflict(level: Level, aim: Aim, tree: tree_modify.OnConflict) -> OnConflict:
    state = level.state
    if aim.view is not None:
        raise not_supported("ON CONFLICT for a view", position=tree.position)
    existing = state.new_rel()
    excluded = state.new_rel()
    level.own_rels.update((existing, excluded))
    target = aim_item(level, aim, existing)
    # Reading the proposed row needs SELECT too, as in PostgreSQL.
    use = TableUse(aim.table, aim.role, select=False)
    state.uses[excluded] = use
    proposed = TableItem(state, excluded, "excluded", aim.table, use)
    level.items = [target]
    arbiters = arbiter_indexes(level, aim, tree, existing)
    if not tree.update:
        return OnConflict(arbiters, None, None, existing, excluded)
    level.items = [target, proposed]
    assignments = bind_set_list(level, aim, tree.assignments)
    where = None
    if tree.where is not None:
        level.clause = "WHERE"
        where = to_boolean(state, level.expression(tree.where), "WHERE", tree.where)
    need(level, aim, "UPDATE", [each.column for each in assignments])
    return OnConflict(arbiters, assignments, where, existing, excluded)
