"""How rows are joined: an index lookup per row, a hash table, a loop; and in which order."""

from __future__ import annotations

from dataclasses import replace

from heliosd.plan import nodes as logical
from heliosd.plan import physical
from heliosd.plan.access import tests_cost
from heliosd.plan.choose_rows import guarded_scan
from heliosd.plan.choose_scan import choose_scan
from heliosd.plan.columns import expression_rels
from heliosd.plan.expression_facts import is_leakproof
from heliosd.plan.join_order import Leaf, Part, as_predicate, collect_cluster, order_joins
from heliosd.plan.nodes import EquiKey, JoinKind
from heliosd.plan.physical import Estimate, IndexScan, Physical
from heliosd.plan.planner import (
    ALL,
    HASH_ROW,
    LOOP_ROW,
    OUT_ROW,
    PROBE_ROW,
    Planner,
    Wish,
    has_subplan,
)
from heliosd.plan.selectivity import join_selectivity
from heliosd.sql.bound import Expr


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
        lookup = None
        if not any(has_subplan(p) for p in predicates):
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
    more = (*(as_predicate(k) for k in keys), *predicates)
    if isinstance(plan, logical.Guard) and isinstance(plan.input, logical.Scan):
        # Tested together with the guard, so only what tells nothing may be.
        if not all(is_leakproof(predicate) for predicate in more):
            return None
        plan = guarded_scan(plan)
    if not isinstance(plan, logical.Scan) or not more:
        return None
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
    share = join_selectivity(predicates, planner.facts)
    pairs = max(one.rows, 1.0) * max(two.rows, 0.0)
    if lateral:
        cost = one.cost + max(one.rows, 1.0) * two.cost
    else:
        cost = one.cost + two.cost + pairs * LOOP_ROW
    cost += pairs * tests_cost(predicates)
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
    share = join_selectivity(predicates, planner.facts)
    for key in keys:
        share *= 1.0 / max(
            planner.facts.distinct(key.left, one.rows),
            planner.facts.distinct(key.right, two.rows),
        )
    pairs = one.rows * two.rows * share
    rows = _joined_rows(kind, one.rows, two.rows, pairs)
    startup = one.startup + two.cost + two.rows * HASH_ROW
    cost = one.cost + two.cost + two.rows * HASH_ROW + one.rows * PROBE_ROW + rows * OUT_ROW
    if predicates:
        met = pairs / max(planner.fraction(predicates), 1e-9) if share else pairs
        cost += min(met, one.rows * max(two.rows, 1.0)) * tests_cost(predicates)
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
            plain = tuple(p for p in rest if not has_subplan(p))
            late = tuple(p for p in rest if has_subplan(p))
            lookup = looked_up(right, keys, plain)
            if lookup is not None:
                options.append(
                    _loop(planner, JoinKind.INNER, left.physical, lookup, late, lateral=True)
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
