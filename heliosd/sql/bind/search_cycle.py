"""SEARCH and CYCLE of WITH RECURSIVE, as a rewriting of the query itself.

    c AS (l UNION ALL r) SEARCH DEPTH FIRST BY a SET s CYCLE a SET m USING p

becomes, as in the SQL standard and in PostgreSQL,

    c AS (SELECT *, ARRAY[ROW(a)] s, false m, ARRAY[ROW(a)] p FROM (l)
          UNION ALL
          SELECT *, s || ROW(a), CASE WHEN ROW(a) = ANY (p) THEN true ELSE false END, p || ROW(a)
          FROM (r with c's s, m and p) WHERE m <> true)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from heliosd.errors import SqlError, not_supported
from heliosd.sql.tree.base import Expression, TypeName
from heliosd.sql.tree.expressions import (
    ArrayConstructor,
    BooleanConstant,
    CaseExpression,
    CaseWhen,
    ColumnRef,
    IntegerConstant,
    OperatorCall,
    QuantifiedComparison,
    RowExpression,
    SearchDepth,
    TypeCast,
)
from heliosd.sql.tree.query import (
    Alias,
    CommonTable,
    CycleClause,
    FromItem,
    JoinItem,
    RangeSubselect,
    RangeVar,
    ResultTarget,
    SearchClause,
    Select,
    SetOperation,
)

LEFT: Final = "*TLOCRN*"
RIGHT: Final = "*TROCRN*"


def check_clauses(table: CommonTable, names: Sequence[str]) -> None:
    """42601 and 42701 for columns that do not fit the query's `names`."""
    search, cycle = table.search, table.cycle
    if search is not None:
        _check_columns("search", search.columns, names, search.position)
        if search.sequence in names:
            raise SqlError(
                "42601",
                f'search sequence column name "{search.sequence}" already used in WITH query '
                "column list",
                position=search.position,
            )
    if cycle is None:
        return
    _check_columns("cycle", cycle.columns, names, cycle.position)
    for what, name in (("mark", cycle.mark), ("path", cycle.path)):
        if name in names:
            raise SqlError(
                "42601",
                f'cycle {what} column name "{name}" already used in WITH query column list',
                position=cycle.position,
            )
    if cycle.mark == cycle.path:
        raise SqlError(
            "42601",
            "cycle mark column name and cycle path column name are the same",
            position=cycle.position,
        )
    if search is not None and search.sequence in (cycle.mark, cycle.path):
        which = "mark" if search.sequence == cycle.mark else "path"
        raise SqlError(
            "42601",
            f"search sequence column name and cycle {which} column name are the same",
            position=search.position,
        )


def _check_columns(what: str, columns: Sequence[str], names: Sequence[str], position: int) -> None:
    seen: set[str] = set()
    for column in columns:
        if column not in names:
            raise SqlError(
                "42601",
                f'{what} column "{column}" not in WITH query column list',
                position=position,
            )
        if column in seen:
            raise SqlError(
                "42701", f'{what} column "{column}" specified more than once', position=position
            )
        seen.add(column)


def with_search_and_cycle(table: CommonTable, names: Sequence[str]) -> CommonTable:
    """The query without its clauses, and with the columns that they add."""
    check_clauses(table, names)
    tree = table.query
    if not isinstance(tree, SetOperation):
        raise SqlError("42601", "WITH query is not recursive", position=table.position)
    left, right = tree.left, tree.right
    if not isinstance(left, Select):
        raise _side("left")
    if not isinstance(right, Select):
        raise _side("right")
    extra = _added(table)
    right = _with_carried(right, table.name, extra)
    query = replace(
        tree,
        left=_initial(table, left, names),
        right=_step(table, right, names, extra),
    )
    return replace(table, columns=(*names, *extra), query=query, search=None, cycle=None)


def _side(side: str) -> SqlError:
    return SqlError(
        "0A000",
        f"with a SEARCH or CYCLE clause, the {side} side of the UNION must be a SELECT",
    )


def _added(table: CommonTable) -> tuple[str, ...]:
    search = () if table.search is None else (table.search.sequence,)
    cycle = () if table.cycle is None else (table.cycle.mark, table.cycle.path)
    return (*search, *cycle)


def _ref(name: str) -> ColumnRef:
    return ColumnRef(0, (name,))


def _row(columns: Sequence[str], *before: Expression) -> RowExpression:
    return RowExpression(0, (*before, *(_ref(name) for name in columns)), explicit=True)


def _target(value: Expression, name: str) -> ResultTarget:
    return ResultTarget(0, value, name)


def _initial(table: CommonTable, left: Select, names: Sequence[str]) -> Select:
    """The first rows, with where each of them stands."""
    targets = [_target(_ref(name), name) for name in names]
    search, cycle = table.search, table.cycle
    if search is not None:
        value: Expression
        if search.breadth_first:
            value = _row(search.columns, _bigint(0))
        else:
            value = ArrayConstructor(0, (_row(search.columns),))
        targets.append(_target(value, search.sequence))
    if cycle is not None:
        targets.append(_target(_default(cycle), cycle.mark))
        targets.append(_target(ArrayConstructor(0, (_row(cycle.columns),)), cycle.path))
    source = RangeSubselect(0, left, Alias(0, LEFT, tuple(names)))
    return Select(0, tuple(targets), (source,))


def _bigint(value: int) -> Expression:
    return TypeCast(0, IntegerConstant(0, value), TypeName(0, ("pg_catalog", "int8")))


def _step(table: CommonTable, right: Select, names: Sequence[str], extra: Sequence[str]) -> Select:
    """The following rows: each is one further than the one that it comes from."""
    targets = [_target(_ref(name), name) for name in names]
    search, cycle = table.search, table.cycle
    if search is not None:
        targets.append(_target(_next_place(search), search.sequence))
    where: Expression | None = None
    if cycle is not None:
        seen = QuantifiedComparison(0, ("=",), False, _row(cycle.columns), _ref(cycle.path))
        mark = CaseExpression(0, None, (CaseWhen(0, seen, _value(cycle)),), _default(cycle))
        targets.append(_target(mark, cycle.mark))
        path = OperatorCall(0, ("||",), _ref(cycle.path), _row(cycle.columns))
        targets.append(_target(path, cycle.path))
        where = OperatorCall(0, ("<>",), _ref(cycle.mark), _value(cycle))
    source = RangeSubselect(0, right, Alias(0, RIGHT, (*names, *extra)))
    return Select(0, tuple(targets), (source,), where)


def _next_place(search: SearchClause) -> Expression:
    if not search.breadth_first:
        return OperatorCall(0, ("||",), _ref(search.sequence), _row(search.columns))
    depth = SearchDepth(0, _ref(search.sequence))
    return _row(search.columns, OperatorCall(0, ("+",), depth, _bigint(1)))


def _value(cycle: CycleClause) -> Expression:
    return BooleanConstant(0, True) if cycle.value is None else cycle.value


def _default(cycle: CycleClause) -> Expression:
    return BooleanConstant(0, False) if cycle.default is None else cycle.default


def _with_carried(right: Select, name: str, extra: Sequence[str]) -> Select:
    """The recursive term with the added columns of the row that it starts from."""
    alias = next((found for item in right.from_items for found in _references(item, name)), None)
    if alias is None:
        raise not_supported("SEARCH and CYCLE where the recursive reference is in a subquery")
    more = tuple(_target(ColumnRef(0, (alias, column)), column) for column in extra)
    return replace(right, targets=(*right.targets, *more))


def _references(item: FromItem, name: str) -> list[str]:
    match item:
        case RangeVar() if item.name.parts == (name,):
            return [name if item.alias is None else item.alias.name]
        case JoinItem():
            return [*_references(item.left, name), *_references(item.right, name)]
    return []
