"""Access paths of one table: its own key, its indexes, or every row.

A predicate is *usable* on a key column when it compares exactly that column (or index expression)
with something that does not read the same rel. Leading columns take equalities (`points`), the next
one a range; everything else is checked row by row.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from heliosd.catalog.objects import Index, SystemView, Table
from heliosd.catalog.objects import Sequence as SequenceObject
from heliosd.plan.columns import expression_rels
from heliosd.plan.expression_facts import BYTE_ORDER, like_range
from heliosd.plan.nodes import SubPlan
from heliosd.plan.physical import (
    Estimate,
    IndexScan,
    KeyBound,
    KeyPoint,
    Physical,
    SeqScan,
    SystemScan,
)
from heliosd.plan.selectivity import Facts, selectivity, strip_relabel
from heliosd.sql.bound import (
    ArrayTest,
    BooleanTest,
    Call,
    Const,
    Expr,
    InList,
    Not,
    NullTest,
    SessionValue,
    SortKey,
    TableRel,
    Var,
)
from heliosd.sql.bound.walk import walk

if TYPE_CHECKING:
    from heliosd.plan.nodes import Scan

# Costs, in units of ten microseconds: a row from a scan, a row by its key, one predicate.
SCAN_ROW: Final = 0.02
FETCH_ROW: Final = 0.25
INDEX_ROW: Final = 0.05
DESCEND: Final = 0.3
ONE_KEY: Final = 0.01
"""What a lookup of one key counts for against scans of the same table: it also runs as a plain
call, which no scan of a small table can beat."""
CHECK: Final = 0.01

TEXT: Final = 25
_COMMUTED: Final = {"=": "=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
# Types whose key values compare alike, so that one may look up the other.
_FAMILIES: Final = (
    frozenset({20, 21, 23}),
    frozenset({700, 701}),
    frozenset({25, 1043}),
)


class TableContext(Protocol):
    """What choosing an access path asks of the planner."""

    facts: Facts

    def rows(self, rel: TableRel) -> float:
        """The rows of a table now, as far as they may be known here."""
        ...

    def index_expressions(self, table: Table, index: Index, rel: int) -> tuple[Expr | None, ...]:
        """Per key, its expression over `rel`; None for plain columns."""
        ...

    def index_predicate(self, table: Table, index: Index, rel: int) -> tuple[Expr, ...]:
        """The conjuncts of a partial index's predicate over `rel`."""
        ...


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """One column of an access path's key."""

    expression: Expr
    type: int
    descending: bool
    nulls_first: bool
    not_null: bool


@dataclass(frozen=True, slots=True)
class Usable:
    """A predicate that a key column can serve: `operator` is = < <= > >= in, any or null.

    `lossy`: the key gives more rows than the predicate lets through, so it is tested as well.
    """

    predicate: Expr
    operand: Expr
    operator: str
    value: Expr | None = None
    values: tuple[Expr, ...] = ()
    lossy: bool = False


def table_paths(scan: Scan, more: Sequence[Expr], context: TableContext) -> Iterator[Physical]:
    """Every sensible way to get the rows; `more` are predicates that join this rel with others."""
    rel = scan.rel
    predicates = (*scan.predicates, *more)
    columns = scan.columns
    if columns is None:
        columns = tuple(i for i, c in enumerate(rel.columns) if not c.hidden)
    table = rel.table
    if isinstance(table, SystemView | SequenceObject):
        estimate = Estimate(100.0 * selectivity(predicates, context.facts), 0.0, 50.0, 64)
        yield SystemScan(rel, columns, predicates, estimate=estimate)
        return
    assert isinstance(table, Table), table
    rows = context.rows(rel)
    wanted = rows * selectivity(predicates, context.facts)
    width = 8 * len(columns)
    cost = rows * (SCAN_ROW + tests_cost(predicates))
    yield SeqScan(rel, columns, predicates, estimate=Estimate(wanted, 0.0, cost, width))
    if rel.sample is not None:
        return
    usable = [u for p in predicates for u in usable_forms(p, rel.rel)]
    for index in candidates(table):
        path = _index_path(rel, columns, predicates, usable, index, rows, wanted, context)
        if path is not None:
            yield path


def tests_cost(predicates: Sequence[Expr]) -> float:
    """What testing one row costs: its subqueries are run for it, unless they read nothing of it."""
    cost = CHECK * len(predicates)
    for predicate in predicates:
        for item in walk(predicate):
            if isinstance(item, SubPlan) and item.parameters:
                estimate = getattr(item.plan, "estimate", None)
                cost += 0.0 if estimate is None else estimate.cost
    return cost


def candidates(table: Table) -> Iterator[Index]:
    """The indexes of a table, the primary key first."""
    for index in table.indexes:
        if index.primary:
            yield index
    for index in table.indexes:
        if not index.primary and index.tree_id:
            yield index


def key_columns(
    table: Table, index: Index, rel: TableRel, context: TableContext
) -> tuple[KeyColumn, ...]:
    """What the index is ordered by."""
    expressions = context.index_expressions(table, index, rel.rel)
    found: list[KeyColumn] = []
    for key, expression in zip(index.keys, expressions, strict=True):
        if expression is None:
            column = table.column(key.attnum)
            var = Var(rel.rel, key.attnum - 1, column.type_oid, column.typmod, column.collation)
            found.append(
                KeyColumn(
                    var,
                    column.type_oid,
                    key.descending,
                    key.nulls_first,
                    column.not_null or index.primary,
                )
            )
        else:
            found.append(
                KeyColumn(expression, expression.type, key.descending, key.nulls_first, False)
            )
    return tuple(found)


def _index_path(
    rel: TableRel,
    columns: tuple[int, ...],
    predicates: tuple[Expr, ...],
    usable: Sequence[Usable],
    index: Index,
    rows: float,
    wanted: float,
    context: TableContext,
) -> IndexScan | None:
    table = rel.table
    assert isinstance(table, Table)
    implied = context.index_predicate(table, index, rel.rel) if index.predicate else ()
    if not all(_implies(predicates, p) for p in implied):
        return None
    keys = key_columns(table, index, rel, context)
    points: list[KeyPoint] = []
    used: list[Expr] = []
    lossy: list[Expr] = []
    low: KeyBound | None = None
    high: KeyBound | None = None
    for key in keys:
        found = [u for u in usable if _serves(u, key)]
        equal = next((u for u in found if u.operator == "="), None)
        equal = equal or next((u for u in found if u.operator in ("in", "any", "null")), None)
        if equal is not None:
            if equal.operator == "null" and index.primary:
                break
            points.append(
                KeyPoint(
                    equal.value if equal.operator == "=" else None,
                    equal.values if equal.operator == "in" else (),
                    equal.value if equal.operator == "any" else None,
                    equal.operator == "null",
                )
            )
            used.append(equal.predicate)
            continue
        for bound in found:
            assert bound.value is not None
            if bound.operator[0] == ">" and low is None:
                low = KeyBound(bound.value, len(bound.operator) == 2)
            elif bound.operator[0] == "<" and high is None:
                high = KeyBound(bound.value, len(bound.operator) == 2)
            else:
                continue
            if bound.lossy:
                lossy.append(bound.predicate)
            if not any(bound.predicate is u for u in used):
                used.append(bound.predicate)
        break
    fraction = selectivity((*used, *implied), context.facts)
    unique = index.unique and len(points) == len(keys) and not any(p.is_null for p in points)
    if index.unique and index.nulls_not_distinct and len(points) == len(keys):
        unique = True
    reached = rows * fraction
    combinations = 1.0
    for point in points:
        combinations *= max(1, len(point.values)) if not point.array else 10
    if unique:
        reached = min(reached, combinations) if combinations > 1 else 1.0
        wanted = min(wanted, reached)
    exact = [u for u in used if not any(u is each for each in lossy)]
    remaining = tuple(p for p in predicates if not any(p is u for u in exact))
    remaining = tuple(p for p in remaining if not (implied and p in implied))
    if index.primary or not index.tree_id:
        cost = DESCEND * combinations + reached * SCAN_ROW
    else:
        cost = DESCEND * combinations + reached * (INDEX_ROW + FETCH_ROW)
    cost += reached * tests_cost(remaining)
    return IndexScan(
        rel,
        columns,
        None if index.primary else index,
        tuple(points),
        low,
        high,
        remaining,
        tuple(used),
        unique,
        estimate=Estimate(max(wanted, 0.0), DESCEND, cost, 8 * len(columns)),
    )


def usable_forms(predicate: Expr, rel: int) -> Iterator[Usable]:
    """The ways in which a key on one of the rel's columns or expressions can serve a predicate."""
    match predicate:
        case Call() if len(predicate.arguments) == 2 and predicate.target.name in _COMMUTED:
            left, right = predicate.arguments
            name = predicate.target.name
            if rel not in expression_rels(right) and is_steady(right):
                yield Usable(predicate, left, name, right)
            if rel not in expression_rels(left) and is_steady(left):
                yield Usable(predicate, right, _COMMUTED[name], left)
        case Call(arguments=(left, Const(value=str() as pattern))) if (
            predicate.target.name == "~~"
            and left.type == TEXT
            and predicate.input_collation in BYTE_ORDER
            and rel in expression_rels(left)
        ):
            prefix, after = like_range(pattern)
            if prefix:
                yield Usable(predicate, left, ">=", Const(prefix, TEXT), lossy=True)
            if after:
                yield Usable(predicate, left, "<", Const(after, TEXT), lossy=True)
        case InList() if not predicate.negated and predicate.operator.name == "=":
            if all(rel not in expression_rels(i) and is_steady(i) for i in predicate.items):
                yield Usable(predicate, predicate.argument, "in", None, predicate.items)
        case ArrayTest() if not predicate.all and predicate.operator.name == "=":
            array = predicate.array
            if rel not in expression_rels(array) and is_steady(array):
                yield Usable(predicate, predicate.argument, "any", array)
        case NullTest() if not predicate.negated and not predicate.row:
            yield Usable(predicate, predicate.argument, "null")
        case Var() if predicate.rel == rel:
            yield Usable(predicate, predicate, "=", Const(True, 16))
        case Not(Var() as column) if column.rel == rel:
            yield Usable(predicate, column, "=", Const(False, 16))
        case BooleanTest(Var() as column, value, False) if value is not None:
            yield Usable(predicate, column, "=", Const(value, 16))


def is_steady(expression: Expr) -> bool:
    """Whether an expression has one value for the whole statement (or one per outer row)."""
    for item in walk(expression):
        if isinstance(item, Call) and item.target.volatility == "v":
            return False
        if isinstance(item, SubPlan) and item.parameters:
            return False
    return True


def _serves(usable: Usable, key: KeyColumn) -> bool:
    operand = strip_relabel(usable.operand)
    if operand != strip_relabel(key.expression):
        return False
    if usable.operator == "null":
        return True
    kinds = {key.type}
    if usable.operator == "any":
        assert usable.value is not None
        # The operator's right side is the array's element type.
        predicate = usable.predicate
        assert isinstance(predicate, ArrayTest)
        kinds.add(predicate.operator.right)
    elif usable.operator == "in":
        kinds |= {v.type for v in usable.values}
    else:
        assert usable.value is not None
        kinds.add(usable.value.type)
    kinds.discard(705)
    return len(kinds) == 1 or any(kinds <= family for family in _FAMILIES)


def _implies(predicates: Sequence[Expr], wanted: Expr) -> bool:
    """Whether the predicates guarantee `wanted` (a conjunct of a partial index's predicate)."""
    if wanted in predicates:
        return True
    if isinstance(wanted, NullTest) and wanted.negated:
        return any(_is_strict_on(p, wanted.argument) for p in predicates)
    if isinstance(wanted, Call) and len(wanted.arguments) == 2:
        subject, limit = wanted.arguments
        if isinstance(limit, Const) and limit.value is not None:
            return any(_compares_within(p, wanted.target.name, subject, limit) for p in predicates)
    return False


def _is_strict_on(predicate: Expr, argument: Expr) -> bool:
    """Whether the predicate can only be true where `argument` is not NULL."""
    if isinstance(predicate, Call) and predicate.target.strict:
        return any(strip_relabel(a) == strip_relabel(argument) for a in predicate.arguments)
    if isinstance(predicate, InList | ArrayTest):
        return strip_relabel(predicate.argument) == strip_relabel(argument)
    if isinstance(predicate, NullTest) and predicate.negated:
        return predicate.argument == argument
    return False


def _compares_within(predicate: Expr, name: str, subject: Expr, limit: Const) -> bool:
    """`x > 10` guarantees `x > 5`: constants of one type that Python orders as SQL does."""
    if not isinstance(predicate, Call) or len(predicate.arguments) != 2:
        return False
    left, right = predicate.arguments
    if left != subject or not isinstance(right, Const) or right.value is None:
        return False
    if type(right.value) is not type(limit.value) or not isinstance(right.value, int | str):
        return False
    has = predicate.target.name
    a, b = right.value, limit.value
    match name:
        case ">":
            return (
                (has in (">", "=") and a > b) or (has == ">" and a == b) or (has == ">=" and a > b)
            )
        case ">=":
            return has in (">", ">=", "=") and a >= b
        case "<":
            return (
                (has in ("<", "=") and a < b) or (has == "<" and a == b) or (has == "<=" and a < b)
            )
        case "<=":
            return has in ("<", "<=", "=") and a <= b
        case "<>":
            return (has == "=" and a != b) or (has == ">" and a >= b) or (has == "<" and a <= b)
    return False


def path_order(
    path: SeqScan | IndexScan, context: TableContext
) -> tuple[tuple[Expr, ...], tuple[KeyColumn, ...]]:
    """(expressions fixed to one value, key columns in whose order the rows come)."""
    table = path.rel.table
    if not isinstance(table, Table):
        return (), ()
    if isinstance(path, SeqScan):
        primary = next((i for i in table.indexes if i.primary), None)
        if primary is None:
            return (), ()
        return (), key_columns(table, primary, path.rel, context)
    index = path.index or next(i for i in table.indexes if i.primary)
    keys = key_columns(table, index, path.rel, context)
    fixed = list(itertools.takewhile(lambda p: p.is_single, path.points))
    if len(fixed) < len(path.points):
        # Several values on one column: the rows of each come in order, the whole does not.
        return tuple(k.expression for k in keys[: len(fixed)]), ()
    return tuple(k.expression for k in keys[: len(fixed)]), keys[len(fixed) :]


def direction(
    wanted: Sequence[SortKey],
    fixed: Sequence[Expr],
    keys: Sequence[KeyColumn],
) -> int:
    """1 when a path gives rows in the wanted order, -1 when read backwards, 0 when it does not."""
    at = 0
    sense = 0
    for sort in wanted:
        expression = strip_relabel(sort.expression)
        if any(expression == strip_relabel(f) for f in fixed) or isinstance(
            expression, Const | SessionValue
        ):
            continue
        if at >= len(keys):
            return 0
        key = keys[at]
        if strip_relabel(key.expression) != expression:
            return 0
        if sort.operator is not None and sort.operator.name not in ("<", ">"):
            return 0
        same = sort.descending == key.descending
        if not key.not_null and (sort.nulls_first == key.nulls_first) != same:
            return 0
        step = 1 if same else -1
        if sense not in (0, step):
            return 0
        sense = step
        at += 1
    return sense or 1
