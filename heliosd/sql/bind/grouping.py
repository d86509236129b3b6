"""GROUP BY: its items, grouping sets, GROUPING(), and the check that outputs are grouped."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final

from heliosd.catalog.objects import Table
from heliosd.errors import SqlError
from heliosd.sql.bind.coerce import location, settle
from heliosd.sql.bind.names import find_column
from heliosd.sql.bind.sorting import check_groupable
from heliosd.sql.bind.state import ColumnsItem, Level, TableItem
from heliosd.sql.bound import (
    AggregateCall,
    Cast,
    CastForm,
    Expr,
    GroupingCall,
    SubLink,
    Var,
    WholeRow,
)
from heliosd.sql.bound.walk import children, has_aggregate, has_window, query_expressions, transform
from heliosd.sql.tree.base import Expression
from heliosd.sql.tree.expressions import (
    ColumnRef,
    GroupingSet,
    GroupingSetKind,
    IntegerConstant,
    NumericConstant,
    OperatorCall,
    RowExpression,
    StringConstant,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from heliosd.sql.bind.targets import Entry
    from heliosd.sql.bound import Query
    from heliosd.sql.tree.expressions import GroupingCall as GroupingCallTree

GROUPING_SETS_MAX: Final = 4096


def find_entry(level: Level, tree: Expression, entries: list[Entry], clause: str) -> int:
    """The target that an ORDER BY, GROUP BY or DISTINCT ON item means: a name, a number, or an
    expression, which becomes a junk target when no target equals it."""
    if isinstance(tree, ColumnRef) and len(tree.names) == 1:
        named = _by_name(level, tree, entries, clause)
        if named is not None:
            return named
    if (
        isinstance(tree, OperatorCall)
        and tree.operator == ("-",)
        and tree.left is None
        and isinstance(tree.right, IntegerConstant)
    ):
        # A minus before a number is part of the number.
        tree = IntegerConstant(tree.position, -tree.right.value)
    if isinstance(tree, IntegerConstant):
        visible = sum(not entry.junk for entry in entries)
        if 1 <= tree.value <= visible:
            return tree.value - 1
        raise SqlError(
            "42P10",
            f"{clause} position {tree.value} is not in select list",
            position=tree.position,
        )
    if isinstance(tree, NumericConstant | StringConstant):
        raise SqlError("42601", f"non-integer constant in {clause}", position=tree.position)
    kept, level.clause = level.clause, clause
    try:
        expression = level.expression(tree)
    finally:
        level.clause = kept
    return find_expression(entries, expression, tree)


def find_expression(entries: list[Entry], expression: Expr, tree: Expression) -> int:
    from heliosd.sql.bind.targets import Entry

    for index, entry in enumerate(entries):
        if entry.expression == expression or without_coercion(entry.expression) == expression:
            return index
    entries.append(Entry(expression, "?column?", tree, junk=True))
    return len(entries) - 1


def without_coercion(expression: Expr) -> Expr:
    """What stands below the casts that nobody wrote."""
    while isinstance(expression, Cast) and expression.form is not CastForm.EXPLICIT:
        expression = expression.argument
    return expression


def _by_name(level: Level, tree: ColumnRef, entries: list[Entry], clause: str) -> int | None:
    name = tree.names[0]
    if clause == "GROUP BY":
        # A column of FROM goes before an output's name, but only one of this very query.
        parent, level.parent = level.parent, None
        try:
            if find_column(level, name, tree.position) is not None:
                return None
        finally:
            level.parent = parent
    found: int | None = None
    for index, entry in enumerate(entries):
        if entry.junk or entry.name != name:
            continue
        if found is None:
            found = index
        elif entries[found].expression != entry.expression:
            raise SqlError("42702", f'{clause} "{name}" is ambiguous', position=tree.position)
    return found


def bind_group_by(
    level: Level, items: Sequence[Expression], entries: list[Entry]
) -> tuple[tuple[Expr, ...], tuple[tuple[int, ...], ...] | None]:
    """(keys, grouping sets or None)."""
    keys: list[Expr] = []

    def key(tree: Expression) -> int:
        index = find_entry(level, tree, entries, "GROUP BY")
        entry = entries[index]
        entry.expression = settle(level.state, entry.expression)
        expression = entry.expression
        if has_aggregate(expression):
            raise SqlError(
                "42803", "aggregate functions are not allowed in GROUP BY",
                position=location(tree),
            )  # fmt: skip
        if has_window(expression):
            raise SqlError(
                "42P20", "window functions are not allowed in GROUP BY", position=location(tree)
            )
        check_groupable(level.state, expression, location(tree))
        if expression in keys:
            return keys.index(expression)
        keys.append(expression)
        return len(keys) - 1

    def plain(tree: Expression) -> tuple[int, ...]:
        if isinstance(tree, RowExpression) and not tree.explicit:
            return tuple(number for item in tree.items for number in plain(item))
        return (key(tree),)

    def sets_of(tree: Expression) -> list[tuple[int, ...]]:
        if not isinstance(tree, GroupingSet):
            return [plain(tree)]
        if tree.kind is GroupingSetKind.EMPTY:
            return [()]
        if tree.kind is GroupingSetKind.SETS:
            return [each for item in tree.content for each in sets_of(item)]
        parts = [plain(item) for item in tree.content]
        if tree.kind is GroupingSetKind.ROLLUP:
            return [sum(parts[:size], ()) for size in range(len(parts), -1, -1)]
        if len(parts) > 12:
            raise SqlError("54011", "CUBE is limited to 12 elements", position=tree.position)
        masks = range(2 ** len(parts) - 1, -1, -1)
        return [
            sum((p for i, p in enumerate(parts) if mask >> (len(parts) - 1 - i) & 1), ())
            for mask in masks
        ]

    choices = [sets_of(item) for item in items]
    if not any(isinstance(item, GroupingSet) for item in items):
        return tuple(keys), None
    combined: list[tuple[int, ...]] = []
    for choice in product(*choices):
        combined.append(tuple(dict.fromkeys(n for part in choice for n in part)))
        if len(combined) > GROUPING_SETS_MAX:
            raise SqlError("54001", "too many grouping sets present (maximum 4096)")
    return tuple(keys), tuple(combined)


def bind_grouping(level: Level, tree: GroupingCallTree) -> Expr:
    """GROUPING(...): its keys are found once GROUP BY is bound."""
    if level.clause not in ("SELECT", "HAVING", "ORDER BY"):
        raise SqlError(
            "42803", f"grouping operations are not allowed in {level.clause}",
            position=tree.position,
        )  # fmt: skip
    if len(tree.arguments) > 31:
        raise SqlError(
            "54023", "GROUPING must have fewer than 32 arguments", position=tree.position
        )
    level.grouping_calls = True
    arguments = tuple(level.expression(each) for each in tree.arguments)
    return GroupingCall(arguments, (), 23)


def resolve_grouping_calls(expression: Expr, keys: tuple[Expr, ...]) -> Expr:
    """Number the arguments of GROUPING calls; 42803 for one that is no key."""

    def visit(node: Expr) -> Expr | None:
        if not isinstance(node, GroupingCall):
            return None
        numbers = []
        for argument in node.arguments:
            if argument not in keys:
                raise SqlError(
                    "42803",
                    "arguments to GROUPING must be grouping expressions of the associated "
                    "query level",
                )
            numbers.append(keys.index(argument))
        return GroupingCall(node.arguments, tuple(numbers), node.type)

    return transform(expression, visit)


class GroupedCheck:
    """Every column outside of an aggregate must be grouped, or depend on a grouped primary key."""

    def __init__(
        self,
        level: Level,
        keys: tuple[Expr, ...],
        sets: tuple[tuple[int, ...], ...] | None,
    ) -> None:
        self.level = level
        self.keys = frozenset(keys)
        common = keys
        if sets is not None:
            everywhere = set(range(len(keys))).intersection(*map(set, sets))
            common = tuple(keys[n] for n in everywhere)
        grouped = {(key.rel, key.column) for key in common if isinstance(key, Var)}
        self.determined = {
            item.rel
            for item in level.items
            if isinstance(item, TableItem) and _has_key(item, grouped)
        }

    def check(self, expression: Expr) -> None:
        """42803 for the first column that is neither."""
        if expression in self.keys or isinstance(expression, AggregateCall):
            return
        if isinstance(expression, Var | WholeRow):
            if expression.rel in self.level.own_rels and expression.rel not in self.determined:
                raise self._ungrouped(expression, "")
            return
        if isinstance(expression, GroupingCall):
            return
        if isinstance(expression, SubLink):
            for var in _read_ungrouped(expression.query, self.level.number):
                if (
                    var.rel in self.level.own_rels
                    and var not in self.keys
                    and var.rel not in self.determined
                ):
                    raise self._ungrouped(var, "subquery uses ungrouped ")
        for child in children(expression):
            self.check(child)

    def _ungrouped(self, var: Var | WholeRow, prefix: str) -> SqlError:
        name = column_name(self.level, var)
        if prefix:
            message = f'{prefix}column "{name}" from outer query'
        else:
            message = (
                f'column "{name}" must appear in the GROUP BY clause '
                "or be used in an aggregate function"
            )
        return SqlError("42803", message, position=var.position)


def _read_ungrouped(query: Query, level: int) -> Iterator[Var | WholeRow]:
    """The columns that a subquery reads, but for what stands inside aggregates of `level`."""
    for top in query_expressions(query):
        stack = [top]
        while stack:
            node = stack.pop()
            if isinstance(node, AggregateCall) and node.level == level:
                continue
            if isinstance(node, Var | WholeRow):
                yield node
            elif isinstance(node, SubLink):
                stack.extend(query_expressions(node.query))
            stack.extend(children(node))


def _has_key(item: TableItem, grouped: set[tuple[int, int]]) -> bool:
    table = item.table
    if not isinstance(table, Table) or not table.primary_key:
        return False
    if any(c.kind == "p" and c.deferrable for c in table.constraints):
        return False
    return all((item.rel, attnum - 1) in grouped for attnum in table.primary_key)


def column_name(level: Level, var: Var | WholeRow) -> str:
    """`alias.column`, for messages."""
    at: Level | None = level
    while at is not None:
        for item in at.items:
            if item.rel != var.rel:
                continue
            if isinstance(var, WholeRow):
                return f"{item.alias}.*"
            if isinstance(item, TableItem) and var.column >= 0:
                return f"{item.alias}.{item.table.columns[var.column].name}"
            if isinstance(item, ColumnsItem) and 0 <= var.column < len(item.columns):
                return f"{item.alias}.{item.columns[var.column][0]}"
        at = at.parent
    return "?column?"
