"""The stages of a query between its WHERE and its outputs: grouping, windows, sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from heliosd.plan import nodes
from heliosd.plan.columns import given_rels
from heliosd.plan.nodes import Aggregate, Filter, Plan, ProjectSet, SubPlan
from heliosd.plan.walk import parameters_of, substitute_plan
from heliosd.sql.bound import (
    AggregateCall,
    Expr,
    GroupingCall,
    Select,
    SetReturningCall,
    SubLink,
    Var,
    WholeRow,
    WindowCall,
)
from heliosd.sql.bound.walk import children, transform

Above: TypeAlias = Callable[[Expr], Expr | None]


class Stages:
    """What `Builder` inherits: each stage gives a plan and what the targets are above it."""

    rels_total: int

    def new_rel(self) -> int:
        """A rel number that nothing has yet."""
        number = self.rels_total
        self.rels_total = number + 1
        return number

    def expression(self, expression: Expr) -> Expr:
        """The expression with its subqueries planned."""
        raise NotImplementedError

    def expressions(self, expressions: tuple[Expr, ...]) -> tuple[Expr, ...]:
        return tuple([self.expression(each) for each in expressions])

    def conjuncts(self, expression: Expr | None) -> tuple[Expr, ...]:
        """A predicate as the tests that must all hold."""
        raise NotImplementedError

    def aggregated(
        self, plan: Plan, query: Select, targets: list[Expr]
    ) -> tuple[Plan, list[Expr], tuple[Any, ...]]:
        """Aggregate, then HAVING; what stands above names the aggregate's outputs."""
        rel = self.new_rel()
        keys = self.expressions(query.group_by)
        calls: dict[AggregateCall | GroupingCall, int] = {}
        known: dict[Expr, Expr] = {
            key: Var(rel, i, key.type, key.typmod, key.collation) for i, key in enumerate(keys)
        }

        def above(node: Expr) -> Expr | None:
            found = known.get(node)
            if found is not None:
                return found
            own = isinstance(node, AggregateCall) and node.level in (0, query.level)
            if own or isinstance(node, GroupingCall):
                return output(node)
            if isinstance(node, SubPlan):
                return _rewritten_subplan(node, inside, above)
            return None

        def output(node: Any) -> Expr:
            index = calls.setdefault(node, len(keys) + len(calls))
            return Var(rel, index, node.type, node.typmod, node.collation)

        def inside(node: Expr) -> Expr | None:
            """In a subquery above: its own aggregates are no business of this query's."""
            if isinstance(node, AggregateCall) and node.level == query.level:
                return output(node)
            return known.get(node)

        def rewrite(expression: Expr) -> Expr:
            return transform(expression, above)

        having = tuple(rewrite(e) for e in self.expressions(self.conjuncts(query.having)))
        targets = [rewrite(target) for target in targets]
        windows = tuple(
            replace(
                window,
                partition_by=tuple(rewrite(e) for e in window.partition_by),
                order_by=tuple(
                    replace(key, expression=rewrite(key.expression)) for key in window.order_by
                ),
            )
            for window in query.windows
        )
        if any(_has_set(key) for key in keys):
            # GROUP BY a set-returning call groups its elements.
            plan, expanded = self.expanded(plan, list(keys))
            keys = tuple(expanded)
        aggregate = Aggregate(plan, rel, keys, tuple(calls), query.grouping_sets)
        determined = self._determined(aggregate, targets, having, windows)
        if determined is not None:
            aggregate, targets, having, windows = determined
        return (Filter(aggregate, having) if having else aggregate), targets, windows

    def _determined(
        self,
        aggregate: Aggregate,
        targets: list[Expr],
        having: tuple[Expr, ...],
        windows: tuple[Any, ...],
    ) -> tuple[Aggregate, list[Expr], tuple[Expr, ...], tuple[Any, ...]] | None:
        """Columns that depend on a grouped primary key become keys too: they change no group."""
        below = given_rels(aggregate.input)
        extra: dict[Expr, None] = {}
        tops = [*targets, *having]
        for window in windows:
            tops.extend(window.partition_by)
            tops.extend(key.expression for key in window.order_by)
        for top in tops:
            _collect_vars(top, below, extra)
        if not extra:
            return None
        count = len(aggregate.keys)
        shift = len(extra)
        rel = aggregate.rel
        known = {e: Var(rel, count + i, e.type, e.typmod, e.collation) for i, e in enumerate(extra)}

        def above(node: Expr) -> Expr | None:
            if node in known:
                return known[node]
            if isinstance(node, Var) and node.rel == rel and node.column >= count:
                return replace(node, column=node.column + shift)
            if isinstance(node, SubPlan):
                return _rewritten_subplan(node, known.get, above)
            return None

        def rewrite(expression: Expr) -> Expr:
            return transform(expression, above)

        sets = aggregate.sets
        if sets is not None:
            more = tuple(range(count, count + shift))
            sets = tuple((*each, *more) for each in sets)
        return (
            replace(aggregate, keys=(*aggregate.keys, *extra), sets=sets),
            [rewrite(target) for target in targets],
            tuple(rewrite(each) for each in having),
            tuple(
                replace(
                    window,
                    partition_by=tuple(rewrite(e) for e in window.partition_by),
                    order_by=tuple(
                        replace(key, expression=rewrite(key.expression)) for key in window.order_by
                    ),
                )
                for window in windows
            ),
        )

    def windowed(
        self, plan: Plan, windows: tuple[Any, ...], targets: list[Expr]
    ) -> tuple[Plan, list[Expr]]:
        for number, window in enumerate(windows):
            calls: dict[WindowCall, int] = {}
            rel = self.new_rel()

            def above(
                node: Expr, number: int = number, rel: int = rel, calls: Any = calls
            ) -> Expr | None:
                if isinstance(node, WindowCall) and node.window == number:
                    index = calls.setdefault(node, len(calls))
                    return Var(rel, index, node.type, node.typmod, node.collation)
                return None

            targets = [transform(target, above) for target in targets]
            if calls:
                window = replace(
                    window,
                    partition_by=self.expressions(window.partition_by),
                    order_by=tuple(
                        replace(key, expression=self.expression(key.expression))
                        for key in window.order_by
                    ),
                )
                plan = nodes.Window(plan, rel, window, tuple(calls))
        return plan, targets

    def expanded(self, plan: Plan, targets: list[Expr]) -> tuple[Plan, list[Expr]]:
        """Set-returning calls, the innermost first."""
        while True:
            calls: dict[SetReturningCall, int] = {}
            rel = self.new_rel()

            def above(node: Expr, rel: int = rel, calls: Any = calls) -> Expr | None:
                if isinstance(node, SetReturningCall) and not any(
                    _has_set(child) for child in children(node)
                ):
                    index = calls.setdefault(node, len(calls))
                    return Var(rel, index, node.type, node.typmod, node.collation)
                return None

            targets = [transform(target, above) for target in targets]
            if not calls:
                return plan, targets
            plan = ProjectSet(plan, rel, tuple(calls))


def has_sublink(expression: Expr) -> bool:
    if isinstance(expression, SubLink):
        return True
    return any(has_sublink(child) for child in children(expression))


def _has_set(expression: Expr) -> bool:
    if isinstance(expression, SetReturningCall):
        return True
    return any(_has_set(child) for child in children(expression))


def _collect_vars(expression: Expr, rels: frozenset[int], found: dict[Expr, None]) -> None:
    if isinstance(expression, Var | WholeRow) and expression.rel in rels:
        found[expression] = None
    if isinstance(expression, SubPlan):
        for var in expression.parameters:
            if var.rel in rels:
                found[var] = None
    for child in children(expression):
        _collect_vars(child, rels, found)


def _rewritten_subplan(node: SubPlan, inside: Above, above: Above) -> Expr:
    """A subquery above an aggregate: its parameters are the aggregate's outputs now."""
    plan = substitute_plan(node.plan, inside)
    test = None if node.test is None else transform(node.test, above)
    if plan is node.plan and test is node.test:
        return node
    return replace(node, plan=plan, test=test, parameters=parameters_of(plan))
