"""The physical plan: how each node of the logical plan is run. Immutable, read-only to execution.

Columns are known by `Var` as in the logical plan (nodes.py says which node gives which). Every node
carries an `Estimate`; costs are in PostgreSQL's unit only by name: one unit is about ten
microseconds of a row program, so that the ratios between access paths are the ones measured.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, TypeAlias

from heliosd.plan.nodes import EquiKey, JoinKind, Plan
from heliosd.sql.bound import Expr, SortKey, Var
from heliosd.sql.bound.node import node

if TYPE_CHECKING:
    from heliosd.catalog.objects import Index
    from heliosd.sql.bound import (
        AggregateCall,
        Assignment,
        CteRel,
        Delete,
        FunctionRel,
        GroupingCall,
        Insert,
        Merge,
        MergeWhen,
        RowCheck,
        RowLock,
        TableRel,
        Update,
        ValuesRel,
        WindowCall,
    )
    from heliosd.sql.bound import Window as WindowDefinition


@node
class Estimate:
    """What a node is expected to give: rows, their width in bytes, cost to the first and last."""

    rows: float = 1.0
    startup: float = 0.0
    cost: float = 0.0
    width: int = 0


class PhysicalNode:
    """Anything that gives rows when run."""

    __slots__ = ()
    if TYPE_CHECKING:

        @property
        def estimate(self) -> Estimate: ...


# Scans -------------------------------------------------------------------------------------------


@node
class Result(PhysicalNode):
    """One row without columns, if `predicates` (which name no column below) hold."""

    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class SeqScan(PhysicalNode):
    """Every row in key order; `reverse` from the end."""

    rel: TableRel
    columns: tuple[int, ...]
    predicates: tuple[Expr, ...] = ()
    reverse: bool = False
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class SystemScan(PhysicalNode):
    """A relation of the catalog, computed when read, or a sequence's own row."""

    rel: TableRel
    columns: tuple[int, ...]
    predicates: tuple[Expr, ...] = ()
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class KeyPoint:
    """One leading key column with all its wanted values.

    `value`: one expression; `values`: alternatives (IN); `array`: an array expression (= ANY).
    Exactly one is given; `is_null`: the column is wanted NULL and none is given.
    """

    value: Expr | None = None
    values: tuple[Expr, ...] = ()
    array: Expr | None = None
    is_null: bool = False

    @property
    def is_single(self) -> bool:
        return self.value is not None or self.is_null


@node
class KeyBound:
    """An end of a range on the key column after the points."""

    value: Expr
    inclusive: bool


@node
class IndexScan(PhysicalNode):
    """Rows by key: through `index`, or the table's own key when `index` is None (or primary).

    `points` fix the leading key columns, `low`/`high` bound the next one (in the column's own
    order, whatever the index's direction). `predicates` are checked on each row; `conditions` are
    the ones that the key already guarantees (shown by EXPLAIN, checked again when a locked row
    changed). `unique`: each combination of points gives at most one row.
    """

    rel: TableRel
    columns: tuple[int, ...]
    index: Index | None
    points: tuple[KeyPoint, ...]
    low: KeyBound | None = None
    high: KeyBound | None = None
    predicates: tuple[Expr, ...] = ()
    conditions: tuple[Expr, ...] = ()
    unique: bool = False
    reverse: bool = False
    skip_nulls: bool = False
    """Leave out rows whose key column after the points is NULL (where no bound does)."""
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class FunctionScan(PhysicalNode):
    rel: FunctionRel
    predicates: tuple[Expr, ...] = ()
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class ValuesScan(PhysicalNode):
    rel: ValuesRel
    predicates: tuple[Expr, ...] = ()
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class CteScan(PhysicalNode):
    rel: CteRel
    predicates: tuple[Expr, ...] = ()
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class CountRows(PhysicalNode):
    table: TableRel
    rel: int
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class GivenRows(PhysicalNode):
    """Rows that the caller hands over: the list `params[0]`; gives `Var(rel, i)`."""

    rel: int
    width: int
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class IndexExtreme(PhysicalNode):
    """One row, `Var(rel, 0)`: the first value of `column` that the scan gives, else NULL."""

    scan: Physical
    rel: int
    value: Var
    estimate: Estimate = field(default=Estimate(), compare=False)


class ColumnSubplan:
    """A logical plan that can run over columns. Opaque to everything that walks physical plans."""

    __slots__ = ("arguments", "plan")

    def __init__(self, plan: Plan, arguments: tuple[Expr, ...]) -> None:
        self.plan = plan
        self.arguments = arguments
        """As they stand in the plan; `ColumnScan.arguments` has their subqueries chosen."""


@node
class ColumnScan(PhysicalNode):
    """The rows of a subplan that runs over columns (DuckDB); of `rows` where that cannot be.

    `arguments` are computed first: what is the same for all rows. `order`: in which rows come.
    """

    subplan: ColumnSubplan
    arguments: tuple[Expr, ...]
    rows: Physical
    order: tuple[SortKey, ...] = ()
    estimate: Estimate = field(default=Estimate(), compare=False)


# Row by row --------------------------------------------------------------------------------------


@node
class Filter(PhysicalNode):
    input: Physical
    predicates: tuple[Expr, ...]
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class Project(PhysicalNode):
    input: Physical
    rel: int
    expressions: tuple[Expr, ...]
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class ProjectSet(PhysicalNode):
    input: Physical
    rel: int
    expressions: tuple[Expr, ...]
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class LockRows(PhysicalNode):
    """Locks each row's tables; a row that changed meanwhile is read and checked again.

    `recheck` are the predicates of the whole input over base columns, evaluated on the newest
    version; `whole` are the table rels whose key and row must come with the input.
    """

    input: Physical
    locks: tuple[RowLock, ...]
    recheck: tuple[Expr, ...] = ()
    estimate: Estimate = field(default=Estimate(), compare=False)


# Joins -------------------------------------------------------------------------------------------


@node
class NestedLoop(PhysicalNode):
    """For each left row, the right side. `lateral`: the right side reads the left row's columns
    (an index lookup by them, or LATERAL); otherwise it is read once and kept."""

    kind: JoinKind
    left: Physical
    right: Physical
    predicates: tuple[Expr, ...]
    lateral: bool
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class HashJoin(PhysicalNode):
    """The right side in a hash table, the left side streamed against it."""

    kind: JoinKind
    left: Physical
    right: Physical
    keys: tuple[EquiKey, ...]
    predicates: tuple[Expr, ...]
    estimate: Estimate = field(default=Estimate(), compare=False)


# Whole inputs ------------------------------------------------------------------------------------


@node
class Aggregate(PhysicalNode):
    input: Physical
    rel: int
    keys: tuple[Expr, ...]
    calls: tuple[AggregateCall | GroupingCall, ...]
    sets: tuple[tuple[int, ...], ...] | None = None
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class Window(PhysicalNode):
    input: Physical
    rel: int
    definition: WindowDefinition
    calls: tuple[WindowCall, ...]
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class Distinct(PhysicalNode):
    input: Physical
    keys: tuple[Expr, ...]
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class Sort(PhysicalNode):
    """`top`: only so many rows are wanted (an expression of no column: limit plus offset)."""

    input: Physical
    keys: tuple[SortKey, ...]
    top: tuple[Expr, ...] = ()
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class Limit(PhysicalNode):
    input: Physical
    limit: Expr | None
    offset: Expr | None
    ties: tuple[SortKey, ...] = ()
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class SetOperation(PhysicalNode):
    kind: str
    all: bool
    left: Physical
    right: Physical
    rel: int
    columns: tuple[Var, ...]
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class Recursive(PhysicalNode):
    cte: int
    rel: int
    all: bool
    initial: Physical
    step: Physical
    columns: tuple[Var, ...]
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class KeptCte:
    """A WITH query's physical plan; its rows are kept from its first use on."""

    number: int
    name: str
    plan: Physical
    outputs: tuple[Var, ...]
    modifies: bool = False


@node
class With(PhysicalNode):
    input: Physical
    ctes: tuple[KeptCte, ...]
    estimate: Estimate = field(default=Estimate(), compare=False)


# Changes -----------------------------------------------------------------------------------------


@node
class InsertRows(PhysicalNode):
    statement: Insert
    source: Physical
    row: tuple[Expr, ...]
    returning: tuple[Expr, ...]
    checks: tuple[RowCheck, ...] = ()
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class UpdateRows(PhysicalNode):
    """`recheck`: the input's predicates, for a row that changed before it could be locked."""

    statement: Update
    input: Physical
    assignments: tuple[Assignment, ...]
    returning: tuple[Expr, ...]
    recheck: tuple[Expr, ...] = ()
    checks: tuple[RowCheck, ...] = ()
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class DeleteRows(PhysicalNode):
    statement: Delete
    input: Physical
    returning: tuple[Expr, ...]
    recheck: tuple[Expr, ...] = ()
    estimate: Estimate = field(default=Estimate(), compare=False)


@node
class MergeRows(PhysicalNode):
    """`recheck`: the join condition, for a target row that changed before it could be locked."""

    statement: Merge
    input: Physical
    whens: tuple[MergeWhen, ...]
    recheck: tuple[Expr, ...] = ()
    estimate: Estimate = field(default=Estimate(), compare=False)


Physical: TypeAlias = PhysicalNode

LOCATOR = -101
"""The column number under which a table rel's key (its row's place) is known."""
