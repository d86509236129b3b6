"""UNION, INTERSECT, EXCEPT: both sides brought to common types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from heliosd.errors import SqlError
from heliosd.sql.bind.coerce import common_type, common_typmod, location, to_common
from heliosd.sql.bind.limits import bind_limits
from heliosd.sql.bind.recursion import check_recursive_term
from heliosd.sql.bind.sorting import check_groupable, sort_order
from heliosd.sql.bind.state import ColumnsItem, CteEntry, Level
from heliosd.sql.bound import (
    Expr,
    OrderKey,
    Query,
    RelColumn,
    Select,
    SetOperation,
    SubqueryRel,
    Target,
    Values,
    Var,
)
from heliosd.sql.bound.walk import output_columns
from heliosd.sql.tree import query as tree_query
from heliosd.sql.tree.expressions import ColumnRef, IntegerConstant

Outputs = tuple[tuple[str, int, int, int], ...]


def bind_set_operation(parent: Level, tree: tree_query.SetOperation, settle: bool) -> Query:  # noqa: FBT001
    from heliosd.sql.bind.with_clause import bind_with, finish_with

    del settle  # the sides settle each other
    level = Level(parent.state, parent)
    bind_with(level, tree.with_clause)
    bound = bind_sides(level, tree)
    if tree.locking:
        strength = tree.locking[0].strength.value.upper()
        raise SqlError(
            "0A000", f"FOR {strength} is not allowed with UNION/INTERSECT/EXCEPT",
            position=tree.locking[0].position,
        )  # fmt: skip
    order = order_by_columns(level, tree, bound.columns)
    limit, offset = bind_limits(level, tree)
    return replace(
        bound,
        order_by=order,
        limit=limit,
        offset=offset,
        with_ties=tree.with_ties,
        ctes=finish_with(level),
    )


def bind_sides(
    level: Level,
    tree: tree_query.SetOperation,
    after_left: Callable[[Outputs], None] | None = None,
    recursive: CteEntry | None = None,
) -> SetOperation:
    """Both sides with common types. `after_left` makes a recursive name visible in between."""
    state = level.state
    kind = tree.kind.value
    left = level.query(tree.left, settle=after_left is not None)
    if after_left is not None:
        after_left(output_columns(left))
    right = level.query(tree.right, settle=False)
    if recursive is not None and recursive.self_reference:
        _check_recursive(tree, recursive)
        check_recursive_term(right, recursive)
    a, b = output_columns(left), output_columns(right)
    if len(a) != len(b):
        raise SqlError(
            "42601",
            f"each {kind.upper()} query must have the same number of columns",
            position=_first_target(tree.right),
        )
    fixed = recursive is not None and recursive.self_reference
    columns: list[RelColumn] = []
    lefts, rights = _outputs(left), _outputs(right)
    for index, (name, *_) in enumerate(a):
        columns.append(_column(level, name, lefts[index], rights[index], tree, index, kind))
        if (
            fixed
            and recursive is not None
            and (columns[-1].type != a[index][1] or columns[-1].typmod != a[index][2])
        ):
            raise SqlError(
                "42804",
                f'recursive query "{recursive.name}" column {index + 1} has type '
                f"{state.type_name(a[index][1], a[index][2])} in non-recursive term but type "
                f"{state.type_name(columns[-1].type, columns[-1].typmod)} overall",
                hint="Cast the output of the non-recursive term to the correct type.",
                position=_first_target(tree.left),
            )
    merged = tuple(columns)
    return SetOperation(
        kind,
        tree.all,
        coerce_outputs(level, left, merged, kind),
        coerce_outputs(level, right, merged, kind),
        merged,
    )


def _column(
    level: Level,
    name: str,
    left: Expr,
    right: Expr,
    tree: tree_query.SetOperation,
    index: int,
    kind: str,
) -> RelColumn:
    state = level.state
    at = [_target_position(tree.left, index), _target_position(tree.right, index)]
    oid = common_type(state, [left, right], kind.upper(), at)
    typmod = common_typmod([left, right], oid)
    collation = state.collation_of(oid)
    if collation and left.collation and left.collation == right.collation:
        collation = left.collation
    if not tree.all:
        check_groupable(state, Var(-1, index, oid), at[0])
    return RelColumn(name, oid, typmod, collation)


def _outputs(query: Query) -> list[Expr]:
    """The output expressions, or stand-ins of their type."""
    if isinstance(query, Select):
        return [target.expression for target in query.targets if not target.junk]
    return [Var(-1, i, c.type, c.typmod, c.collation) for i, c in enumerate(query.columns)]


def coerce_outputs(level: Level, query: Query, columns: tuple[RelColumn, ...], kind: str) -> Query:
    """The query with outputs of the given types."""
    outputs = output_columns(query)
    if all(
        oid == c.type and typmod == c.typmod
        for (_, oid, typmod, _), c in zip(outputs, columns, strict=True)
    ):
        return query
    same_types = all(o[1] == c.type for o, c in zip(outputs, columns, strict=True))
    if same_types:
        return query
    state = level.state
    if isinstance(query, Select) and not query.distinct and query.distinct_on is None:
        targets = tuple(
            target
            if target.junk
            else replace(
                target,
                expression=to_common(state, target.expression, columns[i].type, kind.upper(), 0),
            )
            for i, target in enumerate(query.targets)
        )
        return replace(query, targets=targets)
    if isinstance(query, Values):
        rows = tuple(
            tuple(
                to_common(state, cell, columns[i].type, kind.upper(), 0)
                for i, cell in enumerate(row)
            )
            for row in query.rows
        )
        typed = tuple(
            replace(c, name=own.name) for c, own in zip(columns, query.columns, strict=True)
        )
        return replace(query, rows=rows, columns=typed)
    return _wrapped(level, query, columns, kind)


def _wrapped(level: Level, query: Query, columns: tuple[RelColumn, ...], kind: str) -> Query:
    """SELECT casts FROM (query)."""
    number = level.state.new_rel()
    inner = tuple(RelColumn(*output) for output in output_columns(query))
    targets = tuple(
        Target(
            to_common(
                level.state,
                Var(number, i, c.type, c.typmod, c.collation),
                columns[i].type,
                kind.upper(),
                0,
            ),
            c.name,
        )
        for i, c in enumerate(inner)
    )
    return Select(targets, (SubqueryRel(number, "unnamed_subquery", inner, query),))


def order_by_columns(
    level: Level, tree: tree_query.Query, columns: tuple[RelColumn, ...]
) -> tuple[OrderKey, ...]:
    """ORDER BY where only output columns can be named: set operations and VALUES."""
    keys: list[OrderKey] = []
    for item in tree.order_by:
        value: Any = item.expression
        index = -1
        if isinstance(value, ColumnRef) and len(value.names) == 1:
            index = next((i for i, c in enumerate(columns) if c.name == value.names[0]), -1)
        elif isinstance(value, IntegerConstant):
            if not 1 <= value.value <= len(columns):
                raise SqlError(
                    "42P10",
                    f"ORDER BY position {value.value} is not in select list",
                    position=value.position,
                )
            index = value.value - 1
        if index < 0:
            _reject_order_item(level, value, columns)
        column = columns[index]
        stand_in = Var(-1, index, column.type, column.typmod, column.collation)
        descending, nulls_first, operator = sort_order(level.state, item, stand_in)
        keys.append(OrderKey(index, descending, nulls_first, operator))
    return tuple(keys)


def _reject_order_item(level: Level, value: Any, columns: tuple[RelColumn, ...]) -> None:
    """A name that is no output column is unknown; any other expression is not allowed here."""
    level.items = [
        ColumnsItem(
            level.state,
            -1,
            "",
            [(c.name, Var(-1, i, c.type, c.typmod, c.collation)) for i, c in enumerate(columns)],
        )
    ]
    level.clause = "ORDER BY"
    level.expression(value)
    raise SqlError(
        "0A000",
        "invalid UNION/INTERSECT/EXCEPT ORDER BY clause",
        detail="Only result column names can be used, not expressions or functions.",
        hint="Add the expression/function to every SELECT, or move the UNION into a FROM clause.",
        position=location(value),
    )


def _first_target(tree: Any) -> int:
    return _target_position(tree, 0)


def _target_position(tree: Any, index: int) -> int:
    while isinstance(tree, tree_query.SetOperation):
        tree = tree.left
    if isinstance(tree, tree_query.Select) and index < len(tree.targets):
        return location(tree.targets[index].value)
    if isinstance(tree, tree_query.Values) and tree.rows and index < len(tree.rows[0]):
        return location(tree.rows[0][index])
    return 0


def check_plain_recursion(entry: CteEntry, position: int) -> None:
    """42P19 when a query that is no UNION refers to itself."""
    if entry.self_reference:
        raise SqlError(
            "42P19",
            f'recursive query "{entry.name}" does not have the form non-recursive-term '
            "UNION [ALL] recursive-term",
            position=position,
        )


def _check_recursive(tree: tree_query.SetOperation, entry: CteEntry) -> None:
    if tree.kind is not tree_query.SetOperationKind.UNION:
        check_plain_recursion(entry, entry.position)
    what = ""
    if tree.order_by:
        what = "ORDER BY"
    elif tree.limit_count is not None:
        what = "LIMIT"
    elif tree.limit_offset is not None:
        what = "OFFSET"
    elif tree.locking:
        what = "FOR UPDATE/SHARE"
    if what:
        raise SqlError(
            "0A000", f"{what} in a recursive query is not implemented", position=tree.position
        )
