"""How many rows a predicate leaves: from ANALYZE's statistics where there are any.

The defaults are PostgreSQL's where it has them; a unique key and the tree's own row count are
always known exactly, which is most of what short statements need.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from heliosd.plan.columns import expression_rels
from heliosd.plan.expression_facts import like_range
from heliosd.plan.nodes import SubPlan
from heliosd.sql.bound import (
    And,
    ArrayTest,
    BooleanTest,
    Call,
    Cast,
    CastMethod,
    Const,
    Expr,
    InList,
    Not,
    NullTest,
    Or,
    Var,
)

if TYPE_CHECKING:
    from heliosd.catalog.objects import ColumnStatistics, Table

EQUAL_DEFAULT: Final = 0.005
RANGE_DEFAULT: Final = 1 / 3
MATCH_DEFAULT: Final = 0.02
BOOLEAN_DEFAULT: Final = 0.5
NULL_DEFAULT: Final = 0.005
OTHER_DEFAULT: Final = 0.25
DISTINCT_DEFAULT: Final = 200.0

RANGES: Final = frozenset({"<", "<=", ">", ">="})
BPCHAR: Final = 1042
_MATCHES: Final = frozenset({"~~", "~~*", "~", "~*"})


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """What is known about one column of one rel: `distinct` values, NULLs, statistics."""

    rows: float
    distinct: float = 0.0
    null_fraction: float = 0.0
    unique: bool = False
    statistics: ColumnStatistics | None = None


@dataclass(slots=True)
class Facts:
    """The columns that a plan's predicates may name."""

    columns: dict[tuple[int, int], ColumnFacts] = field(default_factory=dict)

    def of(self, expression: Expr) -> ColumnFacts | None:
        """Facts about an expression that is a column."""
        expression = strip_relabel(expression)
        if isinstance(expression, Var):
            return self.columns.get((expression.rel, expression.column))
        return None

    def distinct(self, expression: Expr, rows: float) -> float:
        """How many different values an expression has in `rows` rows."""
        known = self.of(expression)
        if known is None or not known.distinct:
            return max(1.0, min(rows, DISTINCT_DEFAULT))
        return max(1.0, min(rows, known.distinct))


def strip_relabel(expression: Expr) -> Expr:
    """The expression under casts that change nothing but the type's name."""
    while isinstance(expression, Cast) and expression.method is CastMethod.RELABEL:
        expression = expression.argument
    return expression


def table_facts(
    table: Table, rows: float, statistics: Iterable[ColumnStatistics]
) -> Mapping[int, ColumnFacts]:
    """Facts by 0-based column."""
    by_number = {s.attnum: s for s in statistics}
    singles = {i.attnums[0] for i in table.indexes if i.unique and len(i.keys) == 1}
    found: dict[int, ColumnFacts] = {}
    for column in table.columns:
        known = by_number.get(column.attnum)
        unique = column.attnum in singles
        distinct = 0.0
        if unique:
            distinct = rows
        elif known is not None and known.distinct:
            distinct = known.distinct if known.distinct > 0 else -known.distinct * rows
        elif column.type_oid == 16:
            distinct = 2.0
        found[column.attnum - 1] = ColumnFacts(
            rows, distinct, known.null_fraction if known else 0.0, unique, known
        )
    return found


def selectivity(predicates: Iterable[Expr], facts: Facts) -> float:
    """The fraction of rows that satisfy all predicates, taken as independent."""
    fraction = 1.0
    ranges: dict[Expr, int] = {}
    for predicate in predicates:
        if isinstance(predicate, Call) and predicate.target.name in RANGES:
            subject = strip_relabel(predicate.arguments[0])
            ranges[subject] = ranges.get(subject, 0) + 1
        fraction *= _one(predicate, facts)
    for subject, count in ranges.items():
        known = facts.of(subject)
        if count > 1 and (known is None or known.statistics is None):
            # Both ends of a range: PostgreSQL's 0.005 instead of 1/3 times 1/3.
            fraction *= 0.005 / RANGE_DEFAULT**count
    return max(0.0, min(1.0, fraction))


def join_selectivity(predicates: Iterable[Expr], facts: Facts) -> float:
    """As `selectivity`, for conditions of a join: what an OR says about each side alone was put
    into the scans before (`logical._of_one_rel`) and does not count again."""
    fraction = 1.0
    for predicate in predicates:
        share = selectivity((predicate,), facts)
        if isinstance(predicate, Or):
            for implied in _implied_shares(predicate, facts):
                share /= max(implied, share, 1e-9)
        fraction *= min(share, 1.0)
    return fraction


def _implied_shares(predicate: Or, facts: Facts) -> list[float]:
    """Per rel that every alternative restricts by itself: what is left by that."""
    by_rel: list[dict[int, list[Expr]]] = []
    for alternative in predicate.arguments:
        found: dict[int, list[Expr]] = {}
        parts = alternative.arguments if isinstance(alternative, And) else (alternative,)
        for part in parts:
            rels = expression_rels(part)
            if len(rels) == 1:
                found.setdefault(next(iter(rels)), []).append(part)
        by_rel.append(found)
    shares = []
    for rel in set(by_rel[0]).intersection(*by_rel[1:]):
        missing = 1.0
        for found in by_rel:
            missing *= 1.0 - selectivity(found[rel], facts)
        shares.append(1.0 - missing)
    return shares


def _one(predicate: Expr, facts: Facts) -> float:
    match predicate:
        case Const():
            return 1.0 if predicate.value else 0.0
        case And():
            return selectivity(predicate.arguments, facts)
        case Or():
            missing = 1.0
            for argument in predicate.arguments:
                missing *= 1.0 - _one(argument, facts)
            return 1.0 - missing
        case Not():
            return 1.0 - _one(predicate.argument, facts)
        case NullTest():
            known = facts.of(predicate.argument)
            share = NULL_DEFAULT if known is None else known.null_fraction
            return 1.0 - share if predicate.negated else share
        case BooleanTest() | SubPlan():
            return BOOLEAN_DEFAULT
        case InList():
            each = [_equal(predicate.argument, item, facts) for item in predicate.items]
            share = min(1.0, sum(each))
            return 1.0 - share if predicate.negated else share
        case ArrayTest():
            if predicate.all or predicate.operator.name != "=":
                return RANGE_DEFAULT
            count = 10
            if isinstance(predicate.array, Const) and predicate.array.value is not None:
                count = len(predicate.array.value.elements)
            return min(1.0, _equal(predicate.argument, None, facts) * count)
        case Call():
            return _call(predicate, facts)
        case Var():
            return BOOLEAN_DEFAULT
    return OTHER_DEFAULT


def _call(predicate: Call, facts: Facts) -> float:
    name = predicate.target.name
    if len(predicate.arguments) != 2:
        return OTHER_DEFAULT
    left, right = predicate.arguments
    if facts.of(left) is None and facts.of(right) is not None:
        left, right = right, left
        name = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}.get(name, name)
    if name == "=":
        return _equal(left, right, facts)
    if name == "<>":
        return 1.0 - _equal(left, right, facts)
    if name in RANGES:
        return _range(name, left, right, facts)
    if name in _MATCHES:
        return _match(name, left, right, facts)
    return OTHER_DEFAULT


def _equal(left: Expr, right: Expr | None, facts: Facts) -> float:
    known = facts.of(left)
    if known is None:
        return EQUAL_DEFAULT
    other = facts.of(right) if right is not None else None
    if other is not None:
        return 1.0 / max(known.distinct, other.distinct, 1.0)
    if known.unique:
        return 1.0 / max(known.rows, 1.0)
    statistics = known.statistics
    if statistics is not None and statistics.common_values and isinstance(right, Const):
        common = _common_frequency(statistics, right)
        if common is not None:
            return common
        rest = 1.0 - sum(statistics.common_frequencies) - statistics.null_fraction
        others = max(1.0, known.distinct - len(statistics.common_values))
        return max(rest, 0.0) / others
    if known.distinct:
        return (1.0 - known.null_fraction) / max(known.distinct, 1.0)
    return min(EQUAL_DEFAULT, 10.0 / max(known.rows, 10.0))


def _match(name: str, left: Expr, right: Expr, facts: Facts) -> float:
    """LIKE with a prefix: the share between its bounds, if there is a histogram."""
    known = facts.of(left)
    if name != "~~" or known is None or known.statistics is None:
        return MATCH_DEFAULT
    if not isinstance(right, Const) or not isinstance(right.value, str):
        return MATCH_DEFAULT
    prefix, after = like_range(right.value)
    if not prefix or not after:
        return MATCH_DEFAULT
    low, high = _share_below(known.statistics, prefix), _share_below(known.statistics, after)
    if low is None or high is None:
        return MATCH_DEFAULT
    return max(0.0001, min(1.0, high - low))


def _common_frequency(statistics: ColumnStatistics, wanted: Const) -> float | None:
    """How frequent a most common value is; None when it is not one of them."""
    value, values = wanted.value, statistics.common_values
    if wanted.type == BPCHAR and isinstance(value, str):
        value = value.rstrip(" ")
        values = tuple(v.rstrip(" ") for v in values)
    if value not in values:
        return None
    return statistics.common_frequencies[values.index(value)]


def _range(name: str, left: Expr, right: Expr, facts: Facts) -> float:
    known = facts.of(left)
    statistics = known.statistics if known is not None else None
    if statistics is None or not isinstance(right, Const) or right.value is None:
        return RANGE_DEFAULT
    below = _share_below(statistics, right.value)
    if below is None:
        return RANGE_DEFAULT
    share = below if name[0] == "<" else 1.0 - statistics.null_fraction - below
    return max(0.0001, min(1.0, share))


def _share_below(statistics: ColumnStatistics, value: Any) -> float | None:
    """The fraction of all rows whose value is less than `value`."""
    histogram = statistics.histogram
    try:
        below = sum(
            frequency
            for common, frequency in zip(
                statistics.common_values, statistics.common_frequencies, strict=True
            )
            if common < value
        )
        if len(histogram) > 1:
            rest = 1.0 - sum(statistics.common_frequencies) - statistics.null_fraction
            at = bisect_left(histogram, value)
            share = float(at)
            if 0 < at < len(histogram) and isinstance(value, int | float):
                low, high = histogram[at - 1], histogram[at]
                share = at - 1 + (value - low) / (high - low) if high > low else at - 1
            below += rest * min(1.0, max(0.0, share / (len(histogram) - 1)))
    except TypeError:
        # Values of this type have no order in Python.
        return None
    return below
