"""Logical plan -> physical plan: access paths, join methods and orders by cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from heliosd.errors import not_supported
from heliosd.plan import nodes as logical
from heliosd.plan import physical
from heliosd.plan.access import CHECK, ONE_KEY, SCAN_ROW, direction, path_order, table_paths
from heliosd.plan.columns import all_nodes, expression_rels, given_rels
from heliosd.plan.join_order import Leaf, Part, as_predicate, collect_cluster, order_joins
from heliosd.plan.nodes import EquiKey, JoinKind, SubPlan
from heliosd.plan.physical import Estimate, IndexScan, Physical, SeqScan
from heliosd.plan.selectivity import Facts, selectivity, table_facts
from heliosd.sql.bound import Const, Expr, SortKey, TableRel, Var
from heliosd.sql.bound.walk import substitute

if TYPE_CHECKING:
    from heliosd.catalog.objects import ColumnStatistics, Index, Table

HASH_ROW: Final = 0.04
PROBE_ROW: Final = 0.03
LOOP_ROW: Final = 0.01
SORT_ROW: Final = 0.02
OUT_ROW: Final = 0.01
UNKNOWN_LIMIT: Final = 20.0
FUNCTION_ROWS: Final = 100.0
RECURSIVE_FACTOR: Final = 10.0
SMALL_TABLE_ROWS: Final = 100
"""A smaller table is planned as if it had so many rows: it may grow while the plan is kept."""


class PlannerServices(Protocol):
    """What planning asks of its surroundings."""

    def row_count(self, table: Table) -> int:
        """The rows of a table, from its tree's root."""
        ...

    def statistics(self, table: Table) -> Sequence[ColumnStatistics]: ...
    def stored_expression(self, table: Table, text: str, rel: int) -> Expr:
        """An expression that rests in the catalog, bound over `rel`."""
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What the node above would like: an order, and how many rows it will read (0: all)."""

    order: tuple[SortKey, ...] = ()
    rows: float = 0.0


ALL: Final = Wish()


@dataclass(slots=True)
class Planner:
    """One statement's choice of physical plan."""

    services: PlannerServices
    facts: Facts = field(default_factory=Facts)
    cte_rows: dict[int, float] = field(default_factory=dict)
    _counts: dict[int, float] = field(default_factory=dict)
    _expressions: dict[tuple[int, int], tuple[Expr | None, ...]] = field(default_factory=dict)

    # What access paths ask (access.TableContext).

    def rows(self, table: Table) -> float:
        known = self._counts.get(table.oid)
        if known is None:
            known = float(max(self.services.row_count(table), SMALL_TABLE_ROWS))
            self._counts[table.oid] = known
        return known

    def index_expressions(self, table: Table, index: Index, rel: int) -> tuple[Expr | None, ...]:
        key = (index.oid, rel)
        known = self._expressions.get(key)
        if known is None:
            known = tuple(
                None
                if k.expression is None
                else self.services.stored_expression(table, k.expression, rel)
                for k in index.keys
            )
            self._expressions[key] = known
        return known

    def index_predicate(self, table: Table, index: Index, rel: int) -> tuple[Expr, ...]:
        if index.predicate is None:
            return ()
        key = (-index.oid, rel)
        known = self._expressions.get(key)
        if known is None:
            known = conjuncts(self.services.stored_expression(table, index.predicate, rel))
            self._expressions[key] = known
        return tuple(p for p in known if p is not None)

    # The plan.

    def choose(self, plan: logical.Plan, wish: Wish = ALL) -> Physical:
        """The cheapest physical plan found for a logical one."""
        chooser = _CHOOSERS.get(type(plan))
        if chooser is None:
            raise not_supported(f"plan node {type(plan).__name__}")
        return chooser(self, plan, wish)

    def expression(self, expression: Expr) -> Expr:
        """The expression with the plans of its subqueries made physical."""

        def visit(item: Expr) -> Expr | None:
            if isinstance(item, SubPlan) and not isinstance(item.plan, physical.PhysicalNode):
                chosen: Any = self.choose(item.plan, _subplan_wish(item))
                test = None if item.test is None else self.expression(item.test)
                return replace(item, plan=chosen, test=test)
            return None

        if not has_subplan(expression):
            return expression
        return substitute(expression, visit)

    def expressions(self, expressions: tuple[Expr, ...]) -> tuple[Expr, ...]:
        return tuple(self.expression(e) for e in expressions)

    def fraction(self, predicates: Sequence[Expr]) -> float:
        return selectivity(predicates, self.facts)


def choose_plan(plan: logical.LogicalPlan, services: PlannerServices) -> Physical:
    """The physical plan of a statement."""
    planner = Planner(services)
    collect_facts(plan.root, planner)
    return planner.choose(plan.root)


def collect_facts(root: logical.Plan, planner: Planner) -> None:
    """What is known about the columns of all tables in the plan, subqueries included."""
    from heliosd.catalog.objects import Table

    for item in all_nodes(root):
        rel = getattr(item, "rel", None)
        if isinstance(rel, TableRel) and isinstance(rel.table, Table):
            rows = planner.rows(rel.table)
            statistics = planner.services.statistics(rel.table)
            for number, facts in table_facts(rel.table, rows, statistics).items():
                planner.facts.columns[(rel.rel, number)] = facts
        for expression in _own_expressions(item):
            for inner in _subplans(expression):
                collect_facts(inner.plan, planner)


def _own_expressions(item: Any) -> list[Expr]:
    from heliosd.plan.columns import node_expressions

    return [
        e
        for name in item.__dataclass_fields__
        if name not in ("statement", "rel", "input", "left", "right", "ctes")
        for e in node_expressions(getattr(item, name))
    ] + (list(node_expressions(item.rel)) if not isinstance(getattr(item, "rel", 0), int) else [])


def _subplans(expression: Expr) -> list[SubPlan]:
    from heliosd.sql.bound.walk import walk

    return [e for e in walk(expression) if isinstance(e, SubPlan)]


def has_subplan(expression: Expr) -> bool:
    return bool(_subplans(expression))


def conjuncts(predicate: Expr) -> tuple[Expr, ...]:
    """The parts of a conjunction."""
    from heliosd.sql.bound import And

    if isinstance(predicate, And):
        return tuple(p for a in predicate.arguments for p in conjuncts(a))
    return (predicate,)


def _subplan_wish(item: SubPlan) -> Wish:
    from heliosd.sql.bound import SubLinkKind

    return Wish(rows=1.0) if item.kind is SubLinkKind.EXISTS else ALL


def limited(estimate: Estimate, rows: float) -> float:
    """The cost of reading only so many rows (0: all)."""
    if not rows or rows >= estimate.rows:
        return estimate.cost
    return estimate.startup + (estimate.cost - estimate.startup) * rows / max(estimate.rows, 1.0)


# Scans -------------------------------------------------------------------------------------------


def choose_scan(
    planner: Planner, plan: logical.Scan, wish: Wish, more: tuple[Expr, ...] = ()
) -> Physical:
    plan = replace(plan, predicates=planner.expressions(plan.predicates))
    best: Physical | None = None
    best_cost = math.inf
    for path in table_paths(plan, more, planner):
        if wish.order and isinstance(path, SeqScan | IndexScan):
            fixed, keys = path_order(path, planner)
            sense = direction(wish.order, fixed, keys)
            if not sense:
                continue
            if sense < 0:
                path = replace(path, reverse=True)
        cost = limited(path.estimate, wish.rows)
        if isinstance(path, IndexScan) and path.unique and all(p.is_single for p in path.points):
            cost = min(cost, ONE_KEY)
        if cost < best_cost:
            best, best_cost = path, cost
    if best is None:
        # No path gives the order; the caller sorts.
        return choose_scan(planner, plan, Wish((), wish.rows), more)
    return best


def _leaf(planner: Planner, plan: Any, rows: float, kind: Any) -> Physical:
    predicates = planner.expressions(plan.predicates)
    wanted = rows * planner.fraction(predicates)
    rel = plan.rel
    estimate = Estimate(wanted, 0.0, rows * (SCAN_ROW + CHECK * len(predicates)), 32)
    made: Physical = kind(rel, predicates, estimate=estimate)
    return made


def choose_function_scan(planner: Planner, plan: logical.FunctionScan, wish: Wish) -> Physical:
    functions = planner.expressions(plan.rel.functions)
    return _leaf(
        planner,
        replace(plan, rel=replace(plan.rel, functions=functions)),
        FUNCTION_ROWS,
        physical.FunctionScan,
    )


def choose_values_scan(planner: Planner, plan: logical.ValuesScan, wish: Wish) -> Physical:
    rows = tuple(planner.expressions(row) for row in plan.rel.rows)
    return _leaf(
        planner,
        replace(plan, rel=replace(plan.rel, rows=rows)),
        float(len(rows)),
        physical.ValuesScan,
    )


def choose_cte_scan(planner: Planner, plan: logical.CteScan, wish: Wish) -> Physical:
    return _leaf(planner, plan, planner.cte_rows.get(plan.rel.cte, 100.0), physical.CteScan)


def choose_one_row(planner: Planner, plan: logical.OneRow, wish: Wish) -> Physical:
    return physical.Result(Estimate(1.0, 0.0, 0.01, 0))


def choose_count_rows(planner: Planner, plan: logical.CountRows, wish: Wish) -> Physical:
    return physical.CountRows(plan.table, plan.rel, Estimate(1.0, 0.0, 0.05, 8))


def choose_index_extreme(planner: Planner, plan: logical.IndexExtreme, wish: Wish) -> Physical:
    """The index in the wanted direction, its NULLs left out; a scan where it does not serve."""
    rel = plan.table
    column = rel.columns[plan.column]
    value = Var(rel.rel, plan.column, column.type, column.typmod, column.collation)
    scan = logical.Scan(rel, plan.predicates, (plan.column,))
    order = (SortKey(value, plan.descending, plan.descending),)
    best = choose_scan(planner, scan, Wish(order, 1.0))
    if isinstance(best, SeqScan | IndexScan) and gives_order(planner, best, order):
        if isinstance(best, IndexScan) and best.low is None and best.high is None:
            best = replace(best, skip_nulls=True)
    else:
        best = choose_sort(planner, logical.Sort(scan, order), ALL)
    cost = limited(best.estimate, 1.0)
    return physical.IndexExtreme(best, plan.rel, value, Estimate(1.0, cost, cost, 8))


# Row by row --------------------------------------------------------------------------------------


def choose_filter(planner: Planner, plan: logical.Filter, wish: Wish) -> Physical:
    predicates = planner.expressions(plan.predicates)
    share = planner.fraction(predicates)
    below = planner.choose(plan.input, Wish(wish.order, wish.rows / max(share, 0.001)))
    old = below.estimate
    estimate = Estimate(
        old.rows * share, old.startup, old.cost + old.rows * CHECK * len(predicates), old.width
    )
    return physical.Filter(below, predicates, estimate)


def choose_project(planner: Planner, plan: logical.Project, wish: Wish) -> Physical:
    expressions = planner.expressions(plan.expressions)
    below = planner.choose(plan.input, Wish(_through(plan, wish.order), wish.rows))
    old = below.estimate
    cost = old.cost + old.rows * OUT_ROW
    return physical.Project(
        below,
        plan.rel,
        expressions,
        Estimate(old.rows, old.startup, cost, 8 * len(expressions)),
    )


def _through(plan: logical.Project, order: tuple[SortKey, ...]) -> tuple[SortKey, ...]:
    """The order in terms of the input's columns."""

    def visit(item: Expr) -> Expr | None:
        if isinstance(item, Var) and item.rel == plan.rel:
            return plan.expressions[item.column]
        return None

    return tuple(replace(key, expression=substitute(key.expression, visit)) for key in order)


def choose_project_set(planner: Planner, plan: logical.ProjectSet, wish: Wish) -> Physical:
    below = planner.choose(plan.input)
    old = below.estimate
    rows = old.rows * FUNCTION_ROWS
    return physical.ProjectSet(
        below,
        plan.rel,
        planner.expressions(plan.expressions),
        Estimate(rows, old.startup, old.cost + rows * OUT_ROW, old.width + 8),
    )


# Joins -------------------------------------------------------------------------------------------


def choose_join(planner: Planner, plan: logical.Join, wish: Wish) -> Physical:
    if plan.kind is JoinKind.INNER:
        return _inner_joins(planner, plan, wish)
    kind, left, right, keys = plan.kind, plan.left, plan.right, plan.keys
    predicates = planner.expressions(plan.predicates)
    if kind is JoinKind.RIGHT and not plan.lateral:
        kind, left, right = JoinKind.LEFT, right, left
        keys = tuple(EquiKey(k.right, k.left, k.operator, k.input_collation) for k in keys)
    one = planner.choose(left, Wish(wish.order, wish.rows))
    found = _join_parts(planner, kind, one, right, keys, predicates, lateral=plan.lateral)
    if kind is JoinKind.LEFT and keys and not plan.lateral and not wish.order:
        # Hash the smaller, preserved side instead, and stream the other one.
        two = planner.choose(right)
        if one.estimate.rows * 4 < two.estimate.rows:
            other = _hash_join(planner, JoinKind.RIGHT, two, one, _turned(keys), predicates)
            if other.estimate.cost < found.estimate.cost:
                return other
    return found


def _turned(keys: tuple[EquiKey, ...]) -> tuple[EquiKey, ...]:
    return tuple(EquiKey(k.right, k.left, k.operator, k.input_collation) for k in keys)


def _join_parts(
    planner: Planner,
    kind: JoinKind,
    left: Physical,
    right_plan: logical.Plan,
    keys: tuple[EquiKey, ...],
    predicates: tuple[Expr, ...],
    *,
    lateral: bool,
) -> Physical:
    """The cheaper of an index lookup per left row, and a hash table (or a plain loop)."""
    options: list[Physical] = []
    if lateral:
        right = planner.choose(right_plan)
        every = (*predicates, *(as_predicate(k) for k in keys))
        options.append(_loop(planner, kind, left, right, every, lateral=True))
    else:
        lookup = lookup_side(planner, right_plan, keys, predicates)
        if lookup is not None and kind not in (JoinKind.FULL, JoinKind.NULL_AWARE_ANTI):
            options.append(_loop(planner, kind, left, lookup, (), lateral=True))
        right = planner.choose(right_plan)
        if keys or kind is JoinKind.FULL:
            options.append(_hash_join(planner, kind, left, right, keys, predicates))
        else:
            options.append(_loop(planner, kind, left, right, predicates, lateral=False))
    return min(options, key=lambda option: option.estimate.cost)


def lookup_side(
    planner: Planner,
    plan: logical.Plan,
    keys: tuple[EquiKey, ...],
    predicates: tuple[Expr, ...],
) -> Physical | None:
    """The right side as an index lookup by the left row's columns, if an index serves it."""
    if not isinstance(plan, logical.Scan) or not (keys or predicates):
        return None
    more = (*(as_predicate(k) for k in keys), *predicates)
    if any(has_subplan(p) for p in predicates):
        return None
    scan = choose_scan(planner, plan, ALL, more)
    if not isinstance(scan, IndexScan):
        return None
    own = plan.rel.rel
    if all(expression_rels(c) <= {own} for c in scan.conditions):
        return None
    return scan


def _loop(
    planner: Planner,
    kind: JoinKind,
    left: Physical,
    right: Physical,
    predicates: tuple[Expr, ...],
    *,
    lateral: bool,
) -> Physical:
    one, two = left.estimate, right.estimate
    share = planner.fraction(predicates)
    pairs = max(one.rows, 1.0) * max(two.rows, 0.0)
    if lateral:
        cost = one.cost + max(one.rows, 1.0) * two.cost
    else:
        cost = one.cost + two.cost + pairs * LOOP_ROW
    cost += pairs * CHECK * len(predicates)
    rows = _joined_rows(kind, one.rows, two.rows, pairs * share)
    estimate = Estimate(
        rows, one.startup + two.startup, cost + rows * OUT_ROW, one.width + two.width
    )
    return physical.NestedLoop(kind, left, right, predicates, lateral, estimate)


def _hash_join(
    planner: Planner,
    kind: JoinKind,
    left: Physical,
    right: Physical,
    keys: tuple[EquiKey, ...],
    predicates: tuple[Expr, ...],
) -> Physical:
    one, two = left.estimate, right.estimate
    share = planner.fraction(predicates)
    for key in keys:
        share *= 1.0 / max(
            planner.facts.distinct(key.left, one.rows),
            planner.facts.distinct(key.right, two.rows),
        )
    pairs = one.rows * two.rows * share
    rows = _joined_rows(kind, one.rows, two.rows, pairs)
    startup = one.startup + two.cost + two.rows * HASH_ROW
    cost = one.cost + two.cost + two.rows * HASH_ROW + one.rows * PROBE_ROW + rows * OUT_ROW
    estimate = Estimate(rows, startup, cost, one.width + two.width)
    return physical.HashJoin(kind, left, right, keys, predicates, estimate)


def _joined_rows(kind: JoinKind, left: float, right: float, pairs: float) -> float:
    match kind:
        case JoinKind.LEFT:
            return max(pairs, left)
        case JoinKind.RIGHT:
            return max(pairs, right)
        case JoinKind.FULL:
            return max(pairs, left + right)
        case JoinKind.SEMI:
            return min(pairs, left) if pairs < left else left * 0.5
        case JoinKind.ANTI | JoinKind.NULL_AWARE_ANTI:
            return max(left - pairs, left * 0.1)
    return pairs


def _inner_joins(planner: Planner, plan: logical.Join, wish: Wish) -> Physical:
    cluster = collect_cluster(plan)
    cluster = replace(
        cluster,
        edges=tuple(
            e if e.predicate is None else replace(e, predicate=planner.expression(e.predicate))
            for e in cluster.edges
        ),
    )
    lookups: dict[tuple[int, ...], Physical | None] = {}

    def looked_up(
        right: Part, keys: tuple[EquiKey, ...], rest: tuple[Expr, ...]
    ) -> Physical | None:
        """The right leaf by index, remembered by what it is joined on."""
        assert right.plan is not None
        name = (right.leaves, *(hash(k) for k in keys), *(hash(p) for p in rest))
        if name not in lookups:
            lookups[name] = lookup_side(planner, right.plan, keys, rest)
        return lookups[name]

    def plan_leaf(leaf: Leaf) -> Physical:
        first = not leaf.needs and leaf is cluster.leaves[0]
        return planner.choose(leaf.plan, wish if first else ALL)

    def join(
        left: Part, right: Part, keys: tuple[EquiKey, ...], rest: tuple[Expr, ...]
    ) -> Physical | None:
        if right.needs & left.rels:
            every = (*rest, *(as_predicate(k) for k in keys))
            return _loop(
                planner, JoinKind.INNER, left.physical, right.physical, every, lateral=True
            )
        options: list[Physical] = []
        if right.plan is not None:
            lookup = looked_up(right, keys, rest)
            if lookup is not None:
                options.append(
                    _loop(planner, JoinKind.INNER, left.physical, lookup, (), lateral=True)
                )
        if keys:
            options.append(
                _hash_join(planner, JoinKind.INNER, left.physical, right.physical, keys, rest)
            )
        else:
            options.append(
                _loop(planner, JoinKind.INNER, left.physical, right.physical, rest, lateral=False)
            )
        return min(options, key=lambda option: option.estimate.cost)

    return order_joins(cluster, plan_leaf, join)


# Whole inputs ------------------------------------------------------------------------------------


def choose_aggregate(planner: Planner, plan: logical.Aggregate, wish: Wish) -> Physical:
    below = planner.choose(plan.input)
    keys = planner.expressions(plan.keys)
    old = below.estimate
    groups = 1.0
    for key in keys:
        groups *= planner.facts.distinct(key, old.rows)
    groups = min(groups, max(old.rows, 1.0)) if keys else 1.0
    cost = old.cost + old.rows * (HASH_ROW if keys else OUT_ROW) + groups * OUT_ROW
    calls: Any = planner.expressions(plan.calls)
    return physical.Aggregate(
        below,
        plan.rel,
        keys,
        calls,
        plan.sets,
        Estimate(groups, cost, cost, 8 * (len(keys) + len(calls))),
    )


def choose_window(planner: Planner, plan: logical.Window, wish: Wish) -> Physical:
    below = planner.choose(plan.input)
    old = below.estimate
    cost = old.cost + _sort_cost(old.rows) + old.rows * HASH_ROW * len(plan.calls)
    calls: Any = planner.expressions(plan.calls)
    definition = replace(
        plan.definition,
        partition_by=planner.expressions(plan.definition.partition_by),
        order_by=tuple(
            replace(k, expression=planner.expression(k.expression))
            for k in plan.definition.order_by
        ),
    )
    return physical.Window(
        below, plan.rel, definition, calls, Estimate(old.rows, cost, cost, old.width + 8)
    )


def choose_distinct(planner: Planner, plan: logical.Distinct, wish: Wish) -> Physical:
    below = planner.choose(plan.input, Wish(wish.order, 0.0))
    old = below.estimate
    rows = old.rows * 0.5
    return physical.Distinct(
        below,
        planner.expressions(plan.keys),
        Estimate(rows, old.startup, old.cost + old.rows * HASH_ROW, old.width),
    )


def _sort_cost(rows: float) -> float:
    return rows * SORT_ROW * math.log2(max(rows, 2.0))


def choose_sort(planner: Planner, plan: logical.Sort, wish: Wish) -> Physical:
    keys = tuple(replace(k, expression=planner.expression(k.expression)) for k in plan.keys)
    ordered = planner.choose(plan.input, Wish(keys, wish.rows))
    below = planner.choose(plan.input)
    old = below.estimate
    cost = old.cost + _sort_cost(old.rows)
    by_sort = Estimate(old.rows, cost, cost, old.width)
    if gives_order(planner, ordered, keys) and limited(ordered.estimate, wish.rows) <= limited(
        by_sort, wish.rows
    ):
        return ordered
    return physical.Sort(below, keys, (), by_sort)


def gives_order(planner: Planner, plan: Physical, keys: tuple[SortKey, ...]) -> bool:
    """Whether the plan's rows come in this order."""
    match plan:
        case SeqScan() | IndexScan():
            fixed, columns = path_order(plan, planner)
            sense = direction(keys, fixed, columns)
            return sense == (-1 if plan.reverse else 1) or (
                sense == 1 and _is_all_fixed(keys, fixed)
            )
        case physical.Filter():
            return gives_order(planner, plan.input, keys)
        case physical.Project():
            inner = logical.Project(logical.OneRow(), plan.rel, plan.expressions)
            return gives_order(planner, plan.input, _through(inner, keys))
        case physical.NestedLoop() | physical.HashJoin():
            if isinstance(plan, physical.HashJoin) and plan.kind in (
                JoinKind.RIGHT,
                JoinKind.FULL,
            ):
                return False
            left = given_rels(plan.left)
            own = all(expression_rels(k.expression) <= left for k in keys)
            return own and gives_order(planner, plan.left, keys)
        case physical.Sort():
            return plan.keys[: len(keys)] == keys
        case physical.Distinct() | physical.Limit():
            return gives_order(planner, plan.input, keys)
    return False


def _is_all_fixed(keys: tuple[SortKey, ...], fixed: Sequence[Expr]) -> bool:
    return all(any(k.expression == f for f in fixed) for k in keys)


def choose_limit(planner: Planner, plan: logical.Limit, wish: Wish) -> Physical:
    limit = None if plan.limit is None else planner.expression(plan.limit)
    offset = None if plan.offset is None else planner.expression(plan.offset)
    rows = _limit_rows(limit, offset)
    below = planner.choose(plan.input, Wish(wish.order, rows))
    if limit is not None and not plan.ties:
        top = (limit,) if offset is None else (limit, offset)
        below = _with_top(below, top)
    old = below.estimate
    wanted = min(old.rows, rows or old.rows)
    return physical.Limit(
        below,
        limit,
        offset,
        plan.ties,
        Estimate(wanted, old.startup, limited(old, rows), old.width),
    )


def _limit_rows(limit: Expr | None, offset: Expr | None) -> float:
    """How many rows will be read; 0 means all."""
    if limit is None or (isinstance(limit, Const) and limit.value is None):
        return 0.0
    rows = float(limit.value) if isinstance(limit, Const) else UNKNOWN_LIMIT
    if isinstance(offset, Const) and offset.value is not None:
        rows += float(offset.value)
    return max(rows, 1.0)


def _with_top(plan: Physical, top: tuple[Expr, ...]) -> Physical:
    """Tell a sort right below that only the first rows are wanted."""
    if isinstance(plan, physical.Sort):
        return replace(plan, top=top)
    if isinstance(plan, physical.Project):
        return replace(plan, input=_with_top(plan.input, top))
    return plan


def choose_lock_rows(planner: Planner, plan: logical.LockRows, wish: Wish) -> Physical:
    below = planner.choose(plan.input, wish)
    old = below.estimate
    return physical.LockRows(
        below,
        plan.locks,
        recheck_predicates(below),
        Estimate(old.rows, old.startup, old.cost + old.rows * 0.3, old.width),
    )


def recheck_predicates(plan: Physical) -> tuple[Expr, ...]:
    """The predicates that a changed row must still satisfy: those of scans and inner joins."""
    match plan:
        case SeqScan() | physical.SystemScan():
            return plan.predicates
        case IndexScan():
            return (*plan.conditions, *plan.predicates)
        case physical.Filter():
            return (*plan.predicates, *recheck_predicates(plan.input))
        case physical.NestedLoop(kind=JoinKind.INNER):
            return (
                *plan.predicates,
                *recheck_predicates(plan.left),
                *recheck_predicates(plan.right),
            )
        case physical.HashJoin(kind=JoinKind.INNER):
            return (
                *(as_predicate(k) for k in plan.keys),
                *plan.predicates,
                *recheck_predicates(plan.left),
                *recheck_predicates(plan.right),
            )
        case physical.NestedLoop() | physical.HashJoin():
            kind = plan.kind
            side = plan.right if kind is JoinKind.RIGHT else plan.left
            return () if kind is JoinKind.FULL else recheck_predicates(side)
        case physical.Sort() | physical.Limit():
            return recheck_predicates(plan.input)
    return ()


def choose_set_operation(planner: Planner, plan: logical.SetOperation, wish: Wish) -> Physical:
    one, two = planner.choose(plan.left), planner.choose(plan.right)
    a, b = one.estimate, two.estimate
    rows = {"union": a.rows + b.rows, "intersect": min(a.rows, b.rows), "except": a.rows}[plan.kind]
    cost = a.cost + b.cost + (0.0 if plan.all and plan.kind == "union" else rows * HASH_ROW)
    return physical.SetOperation(
        plan.kind,
        plan.all,
        one,
        two,
        plan.rel,
        plan.columns,
        Estimate(rows, 0.0, cost, a.width),
    )


def choose_recursive(planner: Planner, plan: logical.Recursive, wish: Wish) -> Physical:
    initial = planner.choose(plan.initial)
    planner.cte_rows[plan.cte] = max(initial.estimate.rows, 1.0)
    step = planner.choose(plan.step)
    rows = initial.estimate.rows + step.estimate.rows * RECURSIVE_FACTOR
    cost = initial.estimate.cost + step.estimate.cost * RECURSIVE_FACTOR
    return physical.Recursive(
        plan.cte,
        plan.rel,
        plan.all,
        initial,
        step,
        plan.columns,
        Estimate(rows, 0.0, cost, initial.estimate.width),
    )


def choose_with(planner: Planner, plan: logical.With, wish: Wish) -> Physical:
    kept: list[physical.KeptCte] = []
    for cte in plan.ctes:
        below = planner.choose(cte.plan)
        planner.cte_rows[cte.number] = below.estimate.rows
        kept.append(physical.KeptCte(cte.number, cte.name, below, cte.outputs, cte.modifies))
    below = planner.choose(plan.input, wish)
    cost = below.estimate.cost + sum(c.plan.estimate.cost for c in kept)
    return physical.With(below, tuple(kept), replace(below.estimate, cost=cost))


# Changes -----------------------------------------------------------------------------------------


def choose_insert(planner: Planner, plan: logical.InsertRows, wish: Wish) -> Physical:
    below = planner.choose(plan.source)
    statement = plan.statement
    if plan.on_conflict is not None:
        conflict = plan.on_conflict
        if conflict.assignments is not None:
            where = conflict.where
            conflict = replace(
                conflict,
                assignments=tuple(
                    replace(a, expression=planner.expression(a.expression))
                    for a in conflict.assignments
                ),
                where=None if where is None else planner.expression(where),
            )
        statement = replace(statement, on_conflict=conflict)
    return physical.InsertRows(
        statement,
        below,
        planner.expressions(plan.row),
        planner.expressions(plan.returning),
        below.estimate,
    )


def choose_update(planner: Planner, plan: logical.UpdateRows, wish: Wish) -> Physical:
    below = planner.choose(plan.input)
    return physical.UpdateRows(
        plan.statement,
        below,
        tuple(replace(a, expression=planner.expression(a.expression)) for a in plan.assignments),
        planner.expressions(plan.returning),
        recheck_predicates(below),
        below.estimate,
    )


def choose_delete(planner: Planner, plan: logical.DeleteRows, wish: Wish) -> Physical:
    below = planner.choose(plan.input)
    return physical.DeleteRows(
        plan.statement,
        below,
        planner.expressions(plan.returning),
        recheck_predicates(below),
        below.estimate,
    )


_CHOOSERS: Final[Mapping[type, Callable[[Planner, Any, Wish], Physical]]] = {
    logical.OneRow: choose_one_row,
    logical.Scan: choose_scan,
    logical.FunctionScan: choose_function_scan,
    logical.ValuesScan: choose_values_scan,
    logical.CteScan: choose_cte_scan,
    logical.Filter: choose_filter,
    logical.Project: choose_project,
    logical.ProjectSet: choose_project_set,
    logical.Join: choose_join,
    logical.Aggregate: choose_aggregate,
    logical.Window: choose_window,
    logical.Distinct: choose_distinct,
    logical.Sort: choose_sort,
    logical.Limit: choose_limit,
    logical.LockRows: choose_lock_rows,
    logical.SetOperation: choose_set_operation,
    logical.Recursive: choose_recursive,
    logical.With: choose_with,
    logical.CountRows: choose_count_rows,
    logical.IndexExtreme: choose_index_extreme,
    logical.InsertRows: choose_insert,
    logical.UpdateRows: choose_update,
    logical.DeleteRows: choose_delete,
}
