"""The rels, queries and data-modifying statements of the bound tree."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, TypeAlias

from heliosd.sql.bound.expressions import Expr, SortKey
from heliosd.sql.bound.node import node

if TYPE_CHECKING:
    from heliosd.catalog.objects import ColumnedRelation, Table
    from heliosd.types.registry import SqlOperator


class SubLinkKind(enum.Enum):
    EXISTS = enum.auto()
    ANY = enum.auto()  # any row makes `test` true
    ALL = enum.auto()  # all rows do
    EXPR = enum.auto()  # one column of at most one row (21000 when more)
    ARRAY = enum.auto()  # ARRAY(query): its one column as an array


@node
class SubLink(Expr):
    """A subquery as an expression.

    ANY and ALL: `test` is a predicate in which the subquery's output columns are
    `Var(rel, i)`. `rel` is -1 for the other kinds.
    """

    kind: SubLinkKind
    query: Query
    type: int
    typmod: int = -1
    collation: int = 0
    test: Expr | None = None
    rel: int = -1


# Rels --------------------------------------------------------------------------------------------


@node
class RelColumn:
    """A column of a rel. `hidden` ones (dropped) cannot be named and are not in `*`."""

    name: str
    type: int
    typmod: int = -1
    collation: int = 0
    hidden: bool = False


class Rel:
    """Something with columns in FROM. `rel` is its number; `alias` what it is called."""

    __slots__ = ()
    if TYPE_CHECKING:

        @property
        def rel(self) -> int: ...
        @property
        def alias(self) -> str: ...
        @property
        def columns(self) -> tuple[RelColumn, ...]: ...


@node
class Sample:
    """TABLESAMPLE: `method` is bernoulli or system; `percent` and `repeatable` are float8."""

    method: str
    percent: Expr
    repeatable: Expr | None


@node
class TableRel(Rel):
    """A stored `Table`, a `SystemView` or a `Sequence`.

    `columns[i]` is `table.columns[i]` (attnum i + 1, dropped ones included and hidden), renamed
    where the FROM clause names columns.
    `only` is meaningless while there is no inheritance. `check_as` is the role whose privileges
    count (a view's owner), 0 for the current role. `guard`: predicates that stand before all
    others, in order (row-level security).
    """

    rel: int
    alias: str
    columns: tuple[RelColumn, ...]
    table: ColumnedRelation
    check_as: int = 0
    sample: Sample | None = None
    guard: tuple[Expr, ...] = ()


@node
class SubqueryRel(Rel):
    """A subquery in FROM, or an expanded view (`view`: its oid, 0 otherwise).

    `barrier`: a security barrier: no predicate from outside moves in unless leakproof (S-20).
    """

    rel: int
    alias: str
    columns: tuple[RelColumn, ...]
    query: Query
    lateral: bool = False
    view: int = 0
    barrier: bool = False


@node
class FunctionRel(Rel):
    """Functions in FROM, zipped (ROWS FROM); `ordinality` adds a last int8 column.

    Each function gives `widths[i]` columns: 1 for a scalar, else the fields of its record.
    Functions that are no set-returning ones give one row.
    """

    rel: int
    alias: str
    columns: tuple[RelColumn, ...]
    functions: tuple[Expr, ...]
    widths: tuple[int, ...]
    ordinality: bool = False
    lateral: bool = False


@node
class ValuesRel(Rel):
    """`(VALUES ...)` in FROM: rows of expressions of the columns' types.

    `constant`: all of them are `Const`: there is nothing in them to look for.
    """

    rel: int
    alias: str
    columns: tuple[RelColumn, ...]
    rows: tuple[tuple[Expr, ...], ...]
    lateral: bool = False
    constant: bool = False


@node
class CteRel(Rel):
    """A reference to `Cte` number `cte`; `recursive`: from inside its own recursive term."""

    rel: int
    alias: str
    columns: tuple[RelColumn, ...]
    cte: int
    recursive: bool = False


class JoinKind(enum.Enum):
    INNER = "INNER"  # CROSS is INNER without a condition
    LEFT = "LEFT"
    RIGHT = "RIGHT"
    FULL = "FULL"


@node
class JoinRel:
    """A join tree node. It has no number: expressions name the columns of its leaves.

    `using` names the merged columns (deparsing); NATURAL is bound as USING. A condition of None
    is true.
    """

    kind: JoinKind
    left: FromItem
    right: FromItem
    condition: Expr | None
    using: tuple[str, ...] = ()
    alias: str = ""


FromItem: TypeAlias = "TableRel | SubqueryRel | FunctionRel | ValuesRel | CteRel | JoinRel"


# Queries -----------------------------------------------------------------------------------------


@node
class ResultColumn:
    """What RowDescription says; `table` and `column` (1-based) are 0 for computed columns."""

    name: str
    type: int
    typmod: int = -1
    table: int = 0
    column: int = 0


@node
class Target:
    """One output expression; `junk` ones serve ORDER BY or DISTINCT only and come last."""

    expression: Expr
    name: str
    junk: bool = False


@node
class OrderKey:
    """ORDER BY: `target` indexes the query's targets (junk ones included)."""

    target: int
    descending: bool = False
    nulls_first: bool = False
    operator: SqlOperator | None = None


@node
class FrameBound:
    """`kind`: unbounded_preceding, preceding, current_row, following, unbounded_following."""

    kind: str
    offset: Expr | None = None


@node
class Window:
    """A window: `mode` is rows, range or groups; `exclude` none, current_row, group or ties."""

    partition_by: tuple[Expr, ...]
    order_by: tuple[SortKey, ...]
    mode: str = "range"
    start: FrameBound = FrameBound("unbounded_preceding")
    end: FrameBound = FrameBound("current_row")
    exclude: str = "none"
    name: str = ""


class LockStrength(enum.Enum):
    UPDATE = "UPDATE"
    NO_KEY_UPDATE = "NO KEY UPDATE"
    SHARE = "SHARE"
    KEY_SHARE = "KEY SHARE"


@node
class RowLock:
    """FOR UPDATE and its kin on table rel `rel`. `wait`: block, nowait or skip_locked."""

    rel: int
    strength: LockStrength
    wait: str = "block"


@node
class Cte:
    """One WITH query. Numbers are unique in the statement.

    Recursive: `query` is a `SetOperation` (UNION or UNION ALL) whose right side reads the
    working rows through a `CteRel(recursive=True)`. `materialized` None: the planner chooses
    (inlined when referenced once and free of side effects).
    """

    number: int
    name: str
    columns: tuple[RelColumn, ...]
    query: Query | Insert | Update | Delete
    recursive: bool = False
    materialized: bool | None = None
    references: int = 0


@node
class Select:
    """SELECT. `grouping_sets` (indexes into `group_by`) is None for plain grouping.

    `distinct_on`: None: no DISTINCT; else target indexes that must be distinct (all the visible
    ones for plain DISTINCT: `distinct` is then true). `aggregated`: one group even without keys.
    `level`: unique in the statement; `AggregateCall.level` names it.
    """

    targets: tuple[Target, ...]
    from_items: tuple[FromItem, ...] = ()
    where: Expr | None = None
    group_by: tuple[Expr, ...] = ()
    grouping_sets: tuple[tuple[int, ...], ...] | None = None
    having: Expr | None = None
    aggregated: bool = False
    windows: tuple[Window, ...] = ()
    distinct: bool = False
    distinct_on: tuple[int, ...] | None = None
    order_by: tuple[OrderKey, ...] = ()
    limit: Expr | None = None
    offset: Expr | None = None
    with_ties: bool = False
    locks: tuple[RowLock, ...] = ()
    ctes: tuple[Cte, ...] = ()
    has_set_returning: bool = False
    level: int = 0


@node
class SetOperation:
    """UNION, INTERSECT or EXCEPT (`kind` in lower case); both sides give columns of one type."""

    kind: str
    all: bool
    left: Query
    right: Query
    columns: tuple[RelColumn, ...]
    order_by: tuple[OrderKey, ...] = ()
    limit: Expr | None = None
    offset: Expr | None = None
    with_ties: bool = False
    ctes: tuple[Cte, ...] = ()


@node
class Values:
    """VALUES as a query."""

    rows: tuple[tuple[Expr, ...], ...]
    columns: tuple[RelColumn, ...]
    order_by: tuple[OrderKey, ...] = ()
    limit: Expr | None = None
    offset: Expr | None = None
    with_ties: bool = False
    ctes: tuple[Cte, ...] = ()


Query: TypeAlias = "Select | SetOperation | Values"


# Data modification -------------------------------------------------------------------------------


@node
class Assignment:
    """Column number `column` (0-based) of the target table gets `expression`."""

    column: int
    expression: Expr


@node
class RowCheck:
    """What must be true of a row that is about to be written, else an error.

    `view`: the view whose WITH CHECK OPTION it is (44000). Else it comes from the table's policies
    (42501): `policy` is a restrictive one's name, `using`: it is about the row that is there;
    `target`: the one that MERGE found.
    """

    expression: Expr
    view: str = ""
    policy: str = ""
    using: bool = False
    target: bool = False


@node
class OnConflict:
    """ON CONFLICT. `arbiters`: index oids; empty (DO NOTHING only): any unique index.

    DO UPDATE: `assignments` and `where` see the existing row as `existing_rel` and the proposed
    one as `excluded_rel`. None as `assignments` is DO NOTHING. `existing_checks` are about the
    existing row, `checks` about the statement's `new_rel` once it is updated.
    """

    arbiters: tuple[int, ...]
    assignments: tuple[Assignment, ...] | None = None
    where: Expr | None = None
    existing_rel: int = -1
    excluded_rel: int = -1
    existing_checks: tuple[RowCheck, ...] = ()
    checks: tuple[RowCheck, ...] = ()


@node
class Insert:
    """INSERT. For each row of `source` (rel `source_rel`; None: one row) the new row is `row`.

    `row` has one expression per table column, defaults filled in. `generated` are the stored
    generated columns, over `new_rel`, the new row; `returning` and `checks` see it too.
    `check_as`: the role whose privileges on the table count (a view's owner), 0 for the current
    one; `reads`: the statement reads the table's rows too, not only writes them.
    """

    table: Table
    new_rel: int
    alias: str
    source: Query | None
    source_rel: int
    row: tuple[Expr, ...]
    generated: tuple[Assignment, ...] = ()
    on_conflict: OnConflict | None = None
    returning: tuple[Target, ...] = ()
    ctes: tuple[Cte, ...] = ()
    overriding: str = ""
    written: tuple[int, ...] = ()
    """The columns (0-based) that the statement gives values to."""
    checks: tuple[RowCheck, ...] = ()
    check_as: int = 0
    reads: bool = False


@node
class Update:
    """UPDATE. `rel` is the old row; `new_rel` the new one, for `generated`, `returning`, `checks`.

    `guard`: predicates on the old row that stand before all others. `check_as`, `reads`: as in
    `Insert`.
    """

    table: Table
    rel: int
    new_rel: int
    alias: str
    assignments: tuple[Assignment, ...]
    from_items: tuple[FromItem, ...] = ()
    where: Expr | None = None
    generated: tuple[Assignment, ...] = ()
    returning: tuple[Target, ...] = ()
    ctes: tuple[Cte, ...] = ()
    checks: tuple[RowCheck, ...] = ()
    guard: tuple[Expr, ...] = ()
    check_as: int = 0
    reads: bool = False


@node
class Delete:
    """DELETE. `rel` is the row; `using` the other rels; the rest as in Update."""

    table: Table
    rel: int
    alias: str
    using: tuple[FromItem, ...] = ()
    where: Expr | None = None
    returning: tuple[Target, ...] = ()
    ctes: tuple[Cte, ...] = ()
    guard: tuple[Expr, ...] = ()
    check_as: int = 0
    reads: bool = False


@node
class MergeWhen:
    """One WHEN of a MERGE. `action`: update, insert, delete or nothing.

    update: `assignments` over the old row (`Merge.rel`) and the source. insert: `row` over the
    source; `written` are the columns it gives. `generated` are over the new row (`Merge.new_rel`),
    and so are `checks`; `target_checks` are over the old one.
    """

    matched: bool
    condition: Expr | None
    action: str
    assignments: tuple[Assignment, ...] = ()
    row: tuple[Expr, ...] = ()
    generated: tuple[Assignment, ...] = ()
    written: tuple[int, ...] = ()
    target_checks: tuple[RowCheck, ...] = ()
    checks: tuple[RowCheck, ...] = ()


@node
class Merge:
    """MERGE. `rel` is the target's old row, `new_rel` its new one; `condition` joins the source.

    `guard`, `reads`: as in `Update`.
    """

    table: Table
    rel: int
    new_rel: int
    alias: str
    source: FromItem
    condition: Expr
    whens: tuple[MergeWhen, ...]
    ctes: tuple[Cte, ...] = ()
    guard: tuple[Expr, ...] = ()
    reads: bool = False


# The statement -----------------------------------------------------------------------------------


@node
class Privilege:
    """`as_role` (0: the current role) needs `kind` on an object.

    `kind` is SELECT, INSERT, UPDATE, DELETE, TRUNCATE, EXECUTE or USAGE; `object_kind` is table,
    function, schema, sequence or type. `columns` (0-based): the privilege on the table, or on each
    of them, suffices. None: on the table only. `()`: on the table or on any column.
    """

    object_kind: str
    oid: int
    name: str
    kind: str
    columns: tuple[int, ...] | None = None
    as_role: int = 0


@node
class BoundStatement:
    """A bound statement and what it leans on.

    `columns` is empty when it returns no rows. `parameter_types` has one oid per `$n`.
    `dependencies` are (oid, version) of the catalog objects read. `rels_total` is the first free
    rel number: planning may make more. `settings` names the settings that binding looked at.
    """

    statement: Query | Insert | Update | Delete | Merge
    columns: tuple[ResultColumn, ...]
    parameter_types: tuple[int, ...]
    privileges: tuple[Privilege, ...]
    dependencies: tuple[tuple[int, int], ...]
    rels_total: int
    ctes_total: int = 0
    volatile: bool = False
    unpopulated: tuple[str, ...] = ()
    """Materialised views without data: the statement can be described, not run (55000)."""
    levels_total: int = 0
