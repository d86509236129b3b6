"""Walking and rewriting bound expressions: one place that knows every node's children."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import cache
from typing import Any

from heliosd.sql.bound.expressions import (
    AggregateCall,
    Expr,
    SortKey,
    Var,
    WholeRow,
    WindowCall,
)
from heliosd.sql.bound.queries import (
    FromItem,
    JoinRel,
    Query,
    Select,
    SetOperation,
    SubLink,
    SubqueryRel,
    Values,
)

_LEAF_FIELDS = frozenset(
    {
        "type", "typmod", "collation", "position", "target", "form", "value", "rel", "column",
        "number", "input_collation", "variadic", "negated", "row", "operator", "operators",
        "equals", "collations", "comparison", "greatest", "less", "element_type", "nested",
        "names", "field", "name", "kind", "query", "plan", "outputs", "hash_keys", "aggregate",
        "function", "star", "distinct",
        "window", "keys", "method", "cast", "all", "level",
    }
)  # fmt: skip


@cache
def _child_fields(node: type[Any]) -> tuple[str, ...]:
    """The fields of a node class that can hold expressions."""
    return tuple(f.name for f in fields(node) if f.name not in _LEAF_FIELDS)


def _in_value(value: object) -> Iterator[Expr]:
    if isinstance(value, Expr):
        yield value
    elif isinstance(value, SortKey):
        yield value.expression
    elif isinstance(value, tuple):
        for item in value:
            yield from _in_value(item)


def children(expression: Expr) -> Iterator[Expr]:
    """The direct operands. A `SubLink`'s query is not one (its `test` is)."""
    kind: Any = type(expression)
    for name in _child_fields(kind):
        yield from _in_value(getattr(expression, name))


def walk(expression: Expr) -> Iterator[Expr]:
    """The expression and everything below it, not entering subqueries."""
    stack = [expression]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(children(node))


def _rewritten(value: Any, function: Callable[[Expr], Expr]) -> Any:
    if isinstance(value, Expr):
        return function(value)
    if isinstance(value, SortKey):
        expression = function(value.expression)
        return value if expression is value.expression else replace(value, expression=expression)
    if isinstance(value, tuple):
        items = tuple(_rewritten(item, function) for item in value)
        return items if any(a is not b for a, b in zip(items, value, strict=True)) else value
    return value


def map_children(expression: Expr, function: Callable[[Expr], Expr]) -> Expr:
    """The node with `function` applied to its operands; itself when nothing changed."""
    changes: dict[str, Any] = {}
    kind: Any = type(expression)
    for name in _child_fields(kind):
        old = getattr(expression, name)
        new = _rewritten(old, function)
        if new is not old:
            changes[name] = new
    return replace(expression, **changes) if changes else expression  # type: ignore[type-var]


def transform(expression: Expr, function: Callable[[Expr], Expr | None]) -> Expr:
    """Top down: where `function` answers it stands, elsewhere the operands are visited."""
    found = function(expression)
    if found is not None:
        return found
    return map_children(expression, lambda child: transform(child, function))


def substitute(expression: Expr, function: Callable[[Expr], Expr | None]) -> Expr:
    """`transform` that enters subqueries too (for rewriting Vars wherever they are)."""

    def visit(node: Expr) -> Expr:
        found = function(node)
        if found is not None:
            return found
        node = map_children(node, visit)
        if isinstance(node, SubLink):
            query = map_query(node.query, visit)
            if query is not node.query:
                node = replace(node, query=query)
        return node

    return visit(expression)


def map_query(query: Query, function: Callable[[Expr], Expr]) -> Query:
    """The query with `function` applied to each top expression, subqueries in FROM included."""
    return _map_object(query, function)  # type: ignore[no-any-return]


def _map_object(value: Any, function: Callable[[Expr], Expr]) -> Any:
    if isinstance(value, Expr):
        return function(value)
    if isinstance(value, tuple):
        items = tuple(_map_object(item, function) for item in value)
        return items if any(a is not b for a, b in zip(items, value, strict=True)) else value
    if type(value).__module__ != _QUERIES and not isinstance(value, SortKey):
        return value
    if not hasattr(value, "__dataclass_fields__"):
        return value
    changes: dict[str, Any] = {}
    for name in value.__dataclass_fields__:
        if name == "table":
            continue
        old = getattr(value, name)
        new = _map_object(old, function)
        if new is not old:
            changes[name] = new
    return replace(value, **changes) if changes else value


_QUERIES = Select.__module__


def query_expressions(query: object) -> Iterator[Expr]:
    """Every top expression of a query or data-modifying statement, subqueries included."""
    found: list[Expr] = []

    def visit(expression: Expr) -> Expr:
        found.append(expression)
        return expression

    _map_object(query, visit)
    return iter(found)


def all_nodes(expression: Expr) -> Iterator[Expr]:
    """The expression and everything below it, subqueries included."""
    stack: list[Expr] = [expression]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(children(node))
        if isinstance(node, SubLink):
            stack.extend(query_expressions(node.query))


def query_rels(query: Query) -> frozenset[int]:
    """The numbers of all rels in FROM clauses of a query, its nested queries included."""
    found: set[int] = set()
    _collect_rels(query, found)
    return frozenset(found)


def _collect_rels(value: object, found: set[int]) -> None:
    if isinstance(value, tuple):
        for item in value:
            _collect_rels(item, found)
    elif isinstance(value, Expr):
        for node in walk(value):
            if isinstance(node, SubLink):
                found.add(node.rel)
                _collect_rels(node.query, found)
    elif type(value).__module__ == _QUERIES and hasattr(value, "__dataclass_fields__"):
        for name in ("rel", "new_rel", "source_rel", "existing_rel", "excluded_rel"):
            number = getattr(value, name, None)
            if isinstance(number, int):
                found.add(number)
        for name in value.__dataclass_fields__:
            if name != "table":
                _collect_rels(getattr(value, name), found)


def rels_used(expression: Expr) -> frozenset[int]:
    """The rels that an expression names, those of its subqueries' insides excluded."""
    used: set[int] = set()
    for node in walk(expression):
        if isinstance(node, Var | WholeRow):
            used.add(node.rel)
        elif isinstance(node, SubLink):
            used |= {var.rel for var in outer_vars(node.query)}
            used.discard(node.rel)
    return frozenset(used)


def outer_vars(query: Query) -> tuple[Var | WholeRow, ...]:
    """The correlated references of a query: columns of rels that it does not contain."""
    own = query_rels(query)
    found: dict[Var | WholeRow, None] = {}
    for top in query_expressions(query):
        for node in all_nodes(top):
            if isinstance(node, Var | WholeRow) and node.rel not in own:
                found[node] = None
    return tuple(found)


def from_leaves(item: FromItem) -> Iterator[Any]:
    """The rels at the leaves of a FROM item, left to right."""
    if isinstance(item, JoinRel):
        yield from from_leaves(item.left)
        yield from from_leaves(item.right)
    else:
        yield item


def has_aggregate(expression: Expr) -> bool:
    return any(isinstance(node, AggregateCall) for node in walk(expression))


def has_window(expression: Expr) -> bool:
    return any(isinstance(node, WindowCall) for node in walk(expression))


def output_columns(query: Query) -> tuple[tuple[str, int, int, int], ...]:
    """(name, type, typmod, collation) of a query's visible outputs."""
    if isinstance(query, Select):
        return tuple(
            (t.name, t.expression.type, t.expression.typmod, t.expression.collation)
            for t in query.targets
            if not t.junk
        )
    assert isinstance(query, SetOperation | Values)
    return tuple((c.name, c.type, c.typmod, c.collation) for c in query.columns)


def subquery_leaves(item: FromItem) -> Iterator[SubqueryRel]:
    """The subqueries at the leaves of a FROM item."""
    for leaf in from_leaves(item):
        if isinstance(leaf, SubqueryRel):
            yield leaf
