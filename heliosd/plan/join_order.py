"""In which order inner joins are run: dynamic programming for a few rels, greedy for many.

A *cluster* is a maximal tree of inner joins. Its leaves are planned on their own; the predicates of
all its joins go into one pool, and each is used at the first join that has all its rels. An outer,
semi or anti join is a leaf of the cluster above it, so it keeps its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from heliosd.plan.columns import expression_rels, free_columns, given_rels
from heliosd.plan.nodes import EquiKey, Join, JoinKind, Plan
from heliosd.plan.physical import Physical
from heliosd.sql.bound import Expr

EXHAUSTIVE_MAX: Final = 8
"""Up to so many leaves every order is looked at (3^8 splits: a few milliseconds)."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One input of a cluster. `needs`: rels whose rows it reads (LATERAL)."""

    plan: Plan
    rels: frozenset[int]
    needs: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Edge:
    """A predicate of the pool: an equality of two sides, or any other one."""

    rels: frozenset[int]
    key: EquiKey | None = None
    predicate: Expr | None = None


@dataclass(frozen=True, slots=True)
class Cluster:
    leaves: tuple[Leaf, ...]
    edges: tuple[Edge, ...]

    def edge_masks(self) -> tuple[int, ...]:
        """Per edge, a bit for each leaf that it names."""
        return tuple(
            sum(1 << i for i, leaf in enumerate(self.leaves) if leaf.rels & edge.rels)
            for edge in self.edges
        )


@dataclass(frozen=True, slots=True)
class Part:
    """A planned subset of a cluster's leaves."""

    physical: Physical
    rels: frozenset[int]
    leaves: int  # a bit per leaf
    plan: Plan | None = None  # the logical plan of a single leaf
    needs: frozenset[int] = frozenset()  # rels outside of it whose rows it reads


JoinParts = Callable[[Part, Part, tuple[EquiKey, ...], tuple[Expr, ...]], Physical | None]
"""The cheapest join of two parts in this order (left, right); None when it cannot be."""


def collect_cluster(join: Join) -> Cluster:
    """Flatten a tree of inner joins."""
    leaves: list[Leaf] = []
    edges: list[Edge] = []
    _collect(join, leaves, edges)
    everything = frozenset[int]().union(*(leaf.rels for leaf in leaves))
    bound = tuple(
        Leaf(
            leaf.plan,
            leaf.rels,
            frozenset(rel for rel, _ in free_columns(leaf.plan)) & everything,
        )
        for leaf in leaves
    )
    return Cluster(bound, tuple(edges))


def _collect(plan: Plan, leaves: list[Leaf], edges: list[Edge]) -> None:
    if isinstance(plan, Join) and plan.kind is JoinKind.INNER:
        _collect(plan.left, leaves, edges)
        _collect(plan.right, leaves, edges)
        for key in plan.keys:
            rels = expression_rels(key.left) | expression_rels(key.right)
            edges.append(Edge(rels, key=key))
        for predicate in plan.predicates:
            edges.append(Edge(expression_rels(predicate), predicate=predicate))
    else:
        leaves.append(Leaf(plan, given_rels(plan)))


def order_joins(
    cluster: Cluster, plan_leaf: Callable[[Leaf], Physical], join: JoinParts
) -> Physical:
    """The cheapest plan found for a whole cluster."""
    parts = [
        Part(plan_leaf(leaf), leaf.rels, 1 << i, leaf.plan, leaf.needs)
        for i, leaf in enumerate(cluster.leaves)
    ]
    if len(parts) == 1:
        return parts[0].physical
    if len(parts) <= EXHAUSTIVE_MAX:
        return _exhaustive(cluster, parts, join)
    return _greedy(cluster, parts, join)


def _exhaustive(cluster: Cluster, parts: list[Part], join: JoinParts) -> Physical:
    best: dict[int, Part] = {part.leaves: part for part in parts}
    whole = (1 << len(parts)) - 1
    masks = cluster.edge_masks()
    for size in range(2, len(parts) + 1):
        for subset in _subsets(whole, size):
            found = _best_split(cluster, subset, best, join, masks)
            if found is None and (size == len(parts) or not _is_connected(cluster, masks)):
                found = _best_split(cluster, subset, best, join, ())
            if found is not None:
                best[subset] = found
    if whole in best:
        return best[whole].physical
    return _greedy(cluster, parts, join)


def _is_connected(cluster: Cluster, masks: tuple[int, ...]) -> bool:
    """Whether every leaf can be reached from the first by the edges: no cross join is needed."""
    reached = 1
    for _ in cluster.leaves:
        for mask in masks:
            if mask & reached:
                reached |= mask
    return reached == (1 << len(cluster.leaves)) - 1


def _best_split(
    cluster: Cluster,
    subset: int,
    best: dict[int, Part],
    join: JoinParts,
    masks: tuple[int, ...],
) -> Part | None:
    """The cheapest way to make a subset of two parts that an edge joins (no masks: any two)."""
    found: Part | None = None
    inside = [mask for mask in masks if not mask & ~subset]
    left = (subset - 1) & subset
    while left:
        one, two = best.get(left), best.get(subset & ~left)
        linked = not masks or any(mask & left and mask & ~left for mask in inside)
        if one is not None and two is not None and linked:
            joined = _join(cluster, one, two, join, crossing=not masks)
            if joined is not None and (
                found is None or joined.physical.estimate.cost < found.physical.estimate.cost
            ):
                found = joined
        left = (left - 1) & subset
    return found


def _join(
    cluster: Cluster, left: Part, right: Part, join: JoinParts, *, crossing: bool
) -> Part | None:
    """`left` then `right`, with the predicates that become complete here."""
    if not _can_follow(cluster, left, right):
        return None
    rels = left.rels | right.rels
    inner = frozenset[int]().union(*(leaf.rels for leaf in cluster.leaves))
    keys: list[EquiKey] = []
    rest: list[Expr] = []
    for edge in cluster.edges:
        own = edge.rels & inner
        if not own <= rels:
            continue
        complete = bool(own) and (own <= left.rels or own <= right.rels)
        if complete and not _is_new(own, left, right):
            # Used on that side already.
            continue
        if not own and rels != inner:
            # Names no rel of the cluster: checked once, at the last join.
            continue
        if edge.key is not None:
            keys_or_rest(edge.key, left, right, inner, keys, rest)
        else:
            assert edge.predicate is not None
            rest.append(edge.predicate)
    if not crossing and not keys and not rest:
        return None
    physical = join(left, right, tuple(keys), tuple(rest))
    if physical is None:
        return None
    needs = (left.needs | right.needs) - rels
    return Part(physical, rels, left.leaves | right.leaves, None, needs)


def _is_new(own: frozenset[int], left: Part, right: Part) -> bool:
    """A predicate over one leaf alone that was not pushed into it is checked at its first join."""
    return any(own <= part.rels and part.plan is not None for part in (left, right))


def keys_or_rest(
    key: EquiKey,
    left: Part,
    right: Part,
    inner: frozenset[int],
    keys: list[EquiKey],
    rest: list[Expr],
) -> None:
    """Turn an equality so that its left side reads `left` only, or keep it as a predicate."""
    one, two = expression_rels(key.left) & inner, expression_rels(key.right) & inner
    if one and two and one <= left.rels and two <= right.rels:
        keys.append(key)
    elif one and two and one <= right.rels and two <= left.rels and can_turn(key):
        keys.append(turned(key))
    else:
        rest.append(as_predicate(key))


def can_turn(key: EquiKey) -> bool:
    return key.operator.left == key.operator.right


def turned(key: EquiKey) -> EquiKey:
    return EquiKey(key.right, key.left, key.operator, key.input_collation)


def as_predicate(key: EquiKey) -> Expr:
    """The equality as a plain predicate."""
    from heliosd.sql.bound import Call, CallForm

    return Call(
        key.operator,
        (key.left, key.right),
        16,
        input_collation=key.input_collation,
        form=CallForm.OPERATOR,
    )


def _can_follow(cluster: Cluster, left: Part, right: Part) -> bool:
    """LATERAL: what a leaf reads must be on its left or in its own part."""
    for i, leaf in enumerate(cluster.leaves):
        if not leaf.needs:
            continue
        bit = 1 << i
        if right.leaves & bit and not leaf.needs <= left.rels | right.rels:
            return False
        if left.leaves & bit and not leaf.needs <= left.rels:
            return False
    return True


def _greedy(cluster: Cluster, parts: list[Part], join: JoinParts) -> Physical:
    """Join the pair that gives the fewest rows, until one part is left."""
    rest = list(parts)
    while len(rest) > 1:
        choice = _cheapest_pair(cluster, rest, join, crossing=False)
        if choice is None:
            choice = _cheapest_pair(cluster, rest, join, crossing=True)
        assert choice is not None, "a cluster's leaves always join somehow"
        one, two, joined = choice
        rest = [p for p in rest if p is not one and p is not two]
        rest.append(joined)
    return rest[0].physical


def _cheapest_pair(
    cluster: Cluster, parts: Sequence[Part], join: JoinParts, *, crossing: bool
) -> tuple[Part, Part, Part] | None:
    best: tuple[Part, Part, Part] | None = None
    weight = 0.0
    for one in parts:
        for two in parts:
            if one is two:
                continue
            joined = _join(cluster, one, two, join, crossing=crossing)
            if joined is None:
                continue
            estimate = joined.physical.estimate
            found = estimate.rows * 0.05 + estimate.cost
            if best is None or found < weight:
                best, weight = (one, two, joined), found
    return best


def _subsets(whole: int, size: int) -> list[int]:
    return [s for s in range(1, whole + 1) if s.bit_count() == size]
