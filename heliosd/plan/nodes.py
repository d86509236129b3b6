"""The logical plan: immutable nodes, each of which gives rows of named columns.

A column is known by its `Var` (rel, column), as in the bound tree. Scans give the columns of their
rel; `Project`, `Aggregate`, `SetOperation` and `Recursive` give `Var(rel, i)` under their own rel
number and nothing else; `Window` and `ProjectSet` add `Var(rel, i)` to the columns of their input;
every other node passes its input's columns on. Predicates are tuples of conjuncts.

A `Var` of a rel that no node below gives is a parameter from outside: an outer query's row (in a
`SubPlan`) or the left side's row (in a lateral `Join`).
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, TypeAlias

from heliosd.sql.bound import (
    AggregateCall,
    Assignment,
    CteRel,
    Delete,
    Expr,
    FunctionRel,
    GroupingCall,
    Insert,
    Merge,
    MergeWhen,
    OnConflict,
    RowCheck,
    RowLock,
    SortKey,
    SubLinkKind,
    TableRel,
    Update,
    ValuesRel,
    Var,
    WholeRow,
    WindowCall,
)
from heliosd.sql.bound import Window as WindowDefinition
from heliosd.sql.bound.node import node

if TYPE_CHECKING:
    from heliosd.sql.bound import BoundStatement
    from heliosd.types.registry import SqlOperator


class PlanNode:
    """Anything that gives rows."""

    __slots__ = ()


@node
class OneRow(PlanNode):
    """One row without columns: SELECT without FROM."""


@node
class Scan(PlanNode):
    """The rows of a table or catalog relation that satisfy `predicates`.

    `columns` are the ones that anything above reads, by `Var.column`, in order (None: not pruned
    yet: all). Predicates may name outer columns.
    """

    rel: TableRel
    predicates: tuple[Expr, ...] = ()
    columns: tuple[int, ...] | None = None


@node
class FunctionScan(PlanNode):
    rel: FunctionRel
    predicates: tuple[Expr, ...] = ()


@node
class ValuesScan(PlanNode):
    rel: ValuesRel
    predicates: tuple[Expr, ...] = ()


@node
class CteScan(PlanNode):
    """The rows of a `With` query; `rel.recursive`: the working table of a `Recursive`."""

    rel: CteRel
    predicates: tuple[Expr, ...] = ()


@node
class Filter(PlanNode):
    input: Plan
    predicates: tuple[Expr, ...]


@node
class Guard(PlanNode):
    """The rows of a scan that satisfy `predicates`, tested in order before anything above is.

    Row-level security: what stands above may move into the scan only if it is leakproof (S-20),
    and nothing is known of the rows but by guessing (S-21).
    """

    input: Plan
    predicates: tuple[Expr, ...]


@node
class Project(PlanNode):
    """Gives `Var(rel, i)` = `expressions[i]`.

    `barrier`: a security barrier view: only leakproof predicates move below it (S-20).
    """

    input: Plan
    rel: int
    expressions: tuple[Expr, ...]
    names: tuple[str, ...] = ()
    barrier: bool = False


@node
class ProjectSet(PlanNode):
    """Set-returning calls in the target list: each input row with every element, in step.

    Adds `Var(rel, i)` = the elements of `expressions[i]` (calls that end early give NULL). Each is
    a `SetReturningCall` whose arguments hold no other one.
    """

    input: Plan
    rel: int
    expressions: tuple[Expr, ...]


class JoinKind(enum.Enum):
    INNER = "inner"
    LEFT = "left"
    RIGHT = "right"
    FULL = "full"
    SEMI = "semi"  # left rows with a partner; gives left columns only
    ANTI = "anti"  # left rows without one; gives left columns only
    # NOT IN: as ANTI, but a left row also goes when the comparison with some right row is NULL.
    NULL_AWARE_ANTI = "null-aware anti"


@node
class EquiKey:
    """`left operator right` where each side needs its input only; `operator` is an `=`."""

    left: Expr
    right: Expr
    operator: SqlOperator
    input_collation: int = 0


@node
class Join(PlanNode):
    """`keys` are the hashable part of the condition, `predicates` the rest.

    `lateral`: the right side names columns of the left: only a nested loop can run it.
    """

    kind: JoinKind
    left: Plan
    right: Plan
    keys: tuple[EquiKey, ...] = ()
    predicates: tuple[Expr, ...] = ()
    lateral: bool = False


@node
class Aggregate(PlanNode):
    """Gives `Var(rel, i)`: the keys first, then the calls.

    `sets` (indexes into `keys`) is None for plain grouping; keys that a set leaves out are NULL.
    Without keys and sets: one row, whatever the input.
    """

    input: Plan
    rel: int
    keys: tuple[Expr, ...]
    calls: tuple[AggregateCall | GroupingCall, ...]
    sets: tuple[tuple[int, ...], ...] | None = None


@node
class Window(PlanNode):
    """Adds `Var(rel, i)` = `calls[i]`, all over one window definition."""

    input: Plan
    rel: int
    definition: WindowDefinition
    calls: tuple[WindowCall, ...]


@node
class Distinct(PlanNode):
    """The first row of each group of rows with equal `keys` (NULLs are equal)."""

    input: Plan
    keys: tuple[Expr, ...]


@node
class Sort(PlanNode):
    input: Plan
    keys: tuple[SortKey, ...]


@node
class Limit(PlanNode):
    """`ties`: rows equal to the last one in these sort keys come too (WITH TIES)."""

    input: Plan
    limit: Expr | None
    offset: Expr | None
    ties: tuple[SortKey, ...] = ()


@node
class LockRows(PlanNode):
    input: Plan
    locks: tuple[RowLock, ...]


@node
class SetOperation(PlanNode):
    """`kind`: union, intersect, except. Both inputs are `Project`s or `SetOperation`s of the same
    width; rows are matched by position and given as `Var(rel, i)`."""

    kind: str
    all: bool
    left: Plan
    right: Plan
    rel: int
    columns: tuple[Var, ...]


@node
class Recursive(PlanNode):
    """WITH RECURSIVE: `initial` rows, then `step` over the last ones (a recursive `CteScan`) until
    there are none; without `all` a row that came before is dropped. Gives `Var(rel, i)`."""

    cte: int
    rel: int
    all: bool
    initial: Plan
    step: Plan
    columns: tuple[Var, ...]


@node
class PlannedCte:
    """A WITH query that is run once, at most, and kept. `plan` gives `outputs`.

    A data-modifying one (`modifies`) runs to its end whether or not anything reads it.
    `may_inline`: it is read once and nothing asks for it to be kept.
    """

    number: int
    name: str
    plan: Plan
    outputs: tuple[Var, ...]
    modifies: bool = False
    may_inline: bool = False


@node
class With(PlanNode):
    """Makes `ctes` available to `CteScan`s in `input` and in later ctes."""

    input: Plan
    ctes: tuple[PlannedCte, ...]


@node
class CountRows(PlanNode):
    """`count(*)` of a whole table as one row `Var(rel, 0)`: from the tree's own count."""

    table: TableRel
    rel: int


@node
class IndexExtreme(PlanNode):
    """`min`/`max` of an indexed column as one row `Var(rel, 0)`.

    The first row by `column` (descending for max), NULLs passed over, that satisfies
    `predicates`; NULL when there is none. `index` is the index's oid.
    """

    table: TableRel
    rel: int
    column: int
    index: int
    descending: bool
    predicates: tuple[Expr, ...] = ()


@node
class InsertRows(PlanNode):
    """INSERT: `row` for each row of `source` (gives `Var(statement.source_rel, i)`).

    `on_conflict` is the statement's, its subqueries planned.
    """

    statement: Insert
    source: Plan
    row: tuple[Expr, ...]
    returning: tuple[Expr, ...]
    on_conflict: OnConflict | None = None
    checks: tuple[RowCheck, ...] = ()


@node
class UpdateRows(PlanNode):
    """UPDATE: `input` gives the old rows (`statement.rel`), whole, and the FROM rows."""

    statement: Update
    input: Plan
    assignments: tuple[Assignment, ...]
    returning: tuple[Expr, ...]
    checks: tuple[RowCheck, ...] = ()


@node
class DeleteRows(PlanNode):
    """DELETE: `input` gives the rows (`statement.rel`), whole, and the USING rows."""

    statement: Delete
    input: Plan
    returning: tuple[Expr, ...]


@node
class MergeRows(PlanNode):
    """MERGE: `input` joins the source with the old rows (`statement.rel`), whole.

    `condition` is the join's, for a row that changed before it could be locked.
    """

    statement: Merge
    input: Plan
    whens: tuple[MergeWhen, ...]
    condition: tuple[Expr, ...]


Plan: TypeAlias = PlanNode
"""Any plan node (an alias so that signatures say what they mean)."""


@node
class SubPlan(Expr):
    """A planned `SubLink`. `parameters` are the outer columns that it reads (empty: run once).

    `plan` gives `outputs`. ANY, ALL: `test` is a predicate over `Var(rel, i)`, the outputs; with
    no parameters of its own and `hash_keys` set it can be answered by a hash table.
    """

    kind: SubLinkKind
    plan: Plan
    outputs: tuple[Var, ...]
    parameters: tuple[Var | WholeRow, ...]
    type: int
    typmod: int = -1
    collation: int = 0
    test: Expr | None = None
    rel: int = -1
    hash_keys: tuple[EquiKey, ...] = ()


@node
class LogicalPlan:
    """A planned statement: `root` gives `outputs` (none for statements that return no rows)."""

    root: Plan
    outputs: tuple[Var, ...]
    bound: BoundStatement
    rels_total: int


__all__ = [
    "Aggregate",
    "CountRows",
    "CteScan",
    "DeleteRows",
    "Distinct",
    "EquiKey",
    "Filter",
    "FunctionScan",
    "Guard",
    "IndexExtreme",
    "InsertRows",
    "Join",
    "JoinKind",
    "Limit",
    "LockRows",
    "LogicalPlan",
    "MergeRows",
    "OneRow",
    "Plan",
    "PlanNode",
    "PlannedCte",
    "Project",
    "ProjectSet",
    "Recursive",
    "Scan",
    "SetOperation",
    "Sort",
    "SubPlan",
    "UpdateRows",
    "ValuesScan",
    "Window",
    "With",
]
