"""Target lists: `*` expansion, and the names that PostgreSQL gives to columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from heliosd.errors import SqlError
from heliosd.sql.bind.names import require_rel, row_fields
from heliosd.sql.bind.state import Level
from heliosd.sql.bound import Expr, FieldSelect, RowConstructor, SubLink
from heliosd.sql.bound import SubLinkKind as BoundKind
from heliosd.sql.bound.walk import output_columns
from heliosd.sql.tree import expressions as tree_expressions
from heliosd.sql.tree.base import Expression
from heliosd.sql.tree.expressions import Indirection, Star, StarStep
from heliosd.sql.tree.query import Query, ResultTarget, Select, SetOperation, SubLinkKind, Values
from heliosd.sql.tree.query import SubLink as SubLinkTree

UNNAMED: Final = "?column?"


@dataclass(slots=True)
class Entry:
    """A target while its query is being bound."""

    expression: Expr
    name: str
    tree: Expression
    junk: bool = False


def bind_targets(level: Level, targets: Sequence[ResultTarget]) -> list[Entry]:
    entries: list[Entry] = []
    for target in targets:
        value = target.value
        if isinstance(value, Star):
            entries.extend(
                Entry(expression, name, value) for name, expression in _star(level, value)
            )
        elif isinstance(value, Indirection) and isinstance(value.steps[-1], StarStep):
            entries.extend(
                Entry(expression, name, value) for name, expression in _row_star(level, value)
            )
        else:
            expression = level.expression(value)
            entries.append(Entry(expression, target.name or _shown(value, expression), value))
    return entries


def expand_row(level: Level, items: Sequence[Expression]) -> list[Expr]:
    """ROW(...)'s fields, `t.*` expanded."""
    fields: list[Expr] = []
    for item in items:
        if isinstance(item, Star):
            fields.extend(expression for _, expression in _star(level, item))
        elif isinstance(item, Indirection) and isinstance(item.steps[-1], StarStep):
            fields.extend(expression for _, expression in _row_star(level, item))
        else:
            fields.append(level.expression(item))
    return fields


def _star(level: Level, tree: Star) -> list[tuple[str, Expr]]:
    if tree.qualifier:
        return require_rel(level, tree.qualifier, tree.position).expand(tree.position)
    visible = [item for item in level.items if item.unqualified and not item.lateral_only]
    if not level.items:
        raise SqlError(
            "42601", "SELECT * with no tables specified is not valid", position=tree.position
        )
    return [pair for item in visible for pair in item.expand(tree.position)]


def _row_star(level: Level, tree: Indirection) -> list[tuple[str, Expr]]:
    """`(row).*`."""
    inner: Expression = tree.operand
    if len(tree.steps) > 1:
        inner = Indirection(tree.position, tree.operand, tree.steps[:-1])
    value = level.expression(inner)
    if isinstance(value, RowConstructor):
        return list(zip(value.names, value.fields, strict=True))
    fields = row_fields(level, value)
    if fields is None:
        raise SqlError(
            "42809",
            f"type {level.state.type_name(value.type)} is not composite",
            position=tree.position,
        )
    return [
        (name, FieldSelect(value, index, name, oid, typmod, collation))
        for index, (name, oid, typmod, collation) in enumerate(fields)
    ]


def _shown(tree: Expression, bound: Expr) -> str:
    """As `figure_name`; a subquery's output has its name by now."""
    if isinstance(bound, SubLink) and bound.kind is BoundKind.EXPR:
        return output_columns(bound.query)[0][0]
    return figure_name(tree)


def figure_name(tree: Expression) -> str:
    """The name of an output column without AS."""
    return _name(tree)[0] or UNNAMED


_FIXED: Final = {
    tree_expressions.Coalesce: "coalesce",
    tree_expressions.NullIf: "nullif",
    tree_expressions.GroupingCall: "grouping",
    tree_expressions.ArrayConstructor: "array",
    tree_expressions.RowExpression: "row",
}


def _name(tree: Expression) -> tuple[str, int]:
    """(name, strength): 2 for a real name, 1 for a type's or CASE's, 0 for none."""
    fixed = _FIXED.get(type(tree))
    if fixed is not None:
        return fixed, 2
    match tree:
        case tree_expressions.ColumnRef():
            return tree.names[-1], 2
        case Star():
            return (tree.qualifier[-1], 2) if tree.qualifier else ("", 0)
        case tree_expressions.FunctionCall():
            return tree.name[-1], 2
        case Indirection():
            for step in reversed(tree.steps):
                if isinstance(step, tree_expressions.FieldStep):
                    return step.name, 2
            return _name(tree.operand)
        case tree_expressions.TypeCast():
            inner = _name(tree.operand)
            return inner if inner[1] > 1 else (tree.type.names[-1], 1)
        case tree_expressions.CollateClause():
            return _name(tree.operand)
        case tree_expressions.CaseExpression():
            inner = ("", 0) if tree.default is None else _name(tree.default)
            return inner if inner[1] > 1 else ("case", 1)
        case tree_expressions.MinMax():
            return ("greatest" if tree.greatest else "least"), 2
        case tree_expressions.SqlValueFunction():
            return tree.kind.value, 2
        case SubLinkTree():
            return _sublink_name(tree)
        case tree_expressions.XmlExpression():
            return tree.kind.value, 2
    return "", 0


def _sublink_name(tree: SubLinkTree) -> tuple[str, int]:
    kind = tree.kind
    if kind is SubLinkKind.EXISTS:
        return "exists", 2
    if kind is SubLinkKind.ARRAY:
        return "array", 2
    if kind is SubLinkKind.EXPRESSION:
        query: Query = tree.query
        while isinstance(query, SetOperation):
            query = query.left
        if isinstance(query, Values):
            return "column1", 2
        if isinstance(query, Select) and query.targets:
            target = query.targets[0]
            if target.name is not None:
                return target.name, 2
            return _name(target.value)
    return "", 0
