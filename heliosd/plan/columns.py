"""Which columns an expression or a plan reads: (rel, column) pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final, TypeAlias

from heliosd.plan.nodes import PlanNode, SubPlan
from heliosd.plan.physical import PhysicalNode
from heliosd.sql.bound import Expr, RelColumn, SortKey, TableRel, Var, WholeRow
from heliosd.sql.bound.walk import children

ColumnKey: TypeAlias = tuple[int, int]

WHOLE_ROW: Final = -100
"""The column number under which a rel's whole row is known."""


def expression_columns(expression: Expr) -> set[ColumnKey]:
    """The columns that an expression reads, those of its subqueries' parameters included."""
    found: set[ColumnKey] = set()
    stack: list[Expr] = [expression]
    while stack:
        item = stack.pop()
        if isinstance(item, Var):
            found.add((item.rel, item.column))
        elif isinstance(item, WholeRow):
            found.add((item.rel, WHOLE_ROW))
        elif isinstance(item, SubPlan):
            stack.extend(item.parameters)
            if item.test is not None:
                own = {item.rel} | {v.rel for v in item.outputs}
                found |= {k for k in expression_columns(item.test) if k[0] not in own}
        else:
            stack.extend(children(item))
    return found


def columns_of(expressions: Iterable[Expr]) -> set[ColumnKey]:
    """The columns that any of the expressions reads."""
    found: set[ColumnKey] = set()
    for expression in expressions:
        found |= expression_columns(expression)
    return found


def expression_rels(expression: Expr) -> frozenset[int]:
    """The rels whose columns an expression reads."""
    return frozenset(rel for rel, _ in expression_columns(expression))


def node_expressions(value: Any) -> Iterator[Expr]:
    """The expressions inside one plan node's fields, not those of the nodes below."""
    if isinstance(value, Expr):
        yield value
    elif isinstance(value, SortKey):
        yield value.expression
    elif isinstance(value, tuple):
        for item in value:
            # Most are numbers and names: not worth a generator each.
            if type(item) is not int and type(item) is not str:
                yield from node_expressions(item)
    elif not isinstance(value, PlanNode | PhysicalNode):
        for name in _fields_of(value.__class__):
            yield from node_expressions(getattr(value, name))


@cache
def _fields_of(kind: Any) -> tuple[str, ...]:
    """The fields of something inside a node that can hold expressions."""
    if kind.__module__.startswith(("heliosd.sql.bound", "heliosd.plan")) and kind is not RelColumn:
        names = getattr(kind, "__dataclass_fields__", ())
        skipped = _SKIPPED | {"columns"} if kind is TableRel else _SKIPPED
        return tuple(name for name in names if name not in skipped)
    return ()


_SKIPPED: Final = frozenset({"table", "statement", "index", "plan", "operator", "estimate"})


def inputs(node: PlanNode | PhysicalNode) -> Iterator[Any]:
    """The plan nodes directly below, WITH queries included."""
    for name in node.__dataclass_fields__:  # type: ignore[union-attr]
        value = getattr(node, name)
        if isinstance(value, PlanNode | PhysicalNode):
            yield value
        elif name == "ctes":
            for cte in value:
                yield cte.plan


def all_nodes(node: PlanNode | PhysicalNode) -> Iterator[Any]:
    """The node and everything below it, subqueries in expressions not entered."""
    yield node
    for below in inputs(node):
        yield from all_nodes(below)


_REL_FIELDS: Final = ("rel", "new_rel", "source_rel", "existing_rel", "excluded_rel")


def given_rels(node: PlanNode | PhysicalNode) -> frozenset[int]:
    """The numbers of every rel that the node or one below it makes."""
    found: set[int] = set()
    for item in all_nodes(node):
        statement = getattr(item, "statement", None)
        for holder in (item, statement, getattr(statement, "on_conflict", None)):
            for name in _REL_FIELDS:
                rel = getattr(holder, name, None)
                if rel is not None:
                    found.add(rel if isinstance(rel, int) else rel.rel)
    return frozenset(found)


def free_columns(node: PlanNode | PhysicalNode) -> set[ColumnKey]:
    """The columns that a plan reads but does not give: its parameters from outside."""
    used: set[ColumnKey] = set()
    for item in all_nodes(node):
        for name in item.__dataclass_fields__:
            if name not in _SKIPPED:
                used |= columns_of(node_expressions(getattr(item, name)))
    given = given_rels(node)
    return {key for key in used if key[0] not in given}
