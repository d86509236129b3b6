"""SELECT and what belongs to it: FROM items, windows, WITH, locking."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from heliosd.sql.tree.base import Expression, Node, QualifiedName, Statement, TypeName, node
from heliosd.sql.tree.window import SortBy, WindowDefinition

# -- FROM ----------------------------------------------------------------------------------------


@node
class Alias(Node):
    """`AS name (columns)`."""

    name: str
    columns: tuple[str, ...] = ()


@node
class ColumnDefinitionItem(Node):
    """`name type [COLLATE c]` in a function's column definition list."""

    name: str
    type: TypeName
    collation: tuple[str, ...] | None = None


@node
class FromItem(Node):
    """Anything in FROM."""


@node
class RangeVar(FromItem):
    """A table, view, ... by name. `inherit` is False with ONLY."""

    name: QualifiedName
    inherit: bool = True
    alias: Alias | None = None


@node
class RangeSubselect(FromItem):
    """`[LATERAL] (query) alias`."""

    query: Query
    alias: Alias | None
    lateral: bool = False


@node
class RangeFunctionItem(Node):
    """One call of ROWS FROM, with its own column definitions."""

    call: Expression
    columns: tuple[ColumnDefinitionItem, ...] = ()


@node
class RangeFunction(FromItem):
    """`[LATERAL] f(...) [WITH ORDINALITY]` or ROWS FROM (...)."""

    functions: tuple[RangeFunctionItem, ...]
    alias: Alias | None = None
    columns: tuple[ColumnDefinitionItem, ...] = ()
    lateral: bool = False
    ordinality: bool = False
    rows_from: bool = False


@node
class RangeTableSample(FromItem):
    """`relation TABLESAMPLE method(arguments) [REPEATABLE (seed)]`."""

    relation: RangeVar
    method: tuple[str, ...]
    arguments: tuple[Expression, ...]
    repeatable: Expression | None = None


@node
class XmlTableColumn(Node):
    """A column of XMLTABLE; `type` None is FOR ORDINALITY."""

    name: str
    type: TypeName | None
    path: Expression | None = None
    default: Expression | None = None
    not_null: bool = False


@node
class RangeXmlTable(FromItem):
    """XMLTABLE(...)."""

    row: Expression
    document: Expression
    columns: tuple[XmlTableColumn, ...]
    namespaces: tuple[tuple[str | None, Expression], ...] = ()
    lateral: bool = False
    alias: Alias | None = None


class JoinKind(StrEnum):
    """What happens to rows without a partner."""

    CROSS = "cross"
    INNER = "inner"
    LEFT = "left"
    RIGHT = "right"
    FULL = "full"


@node
class JoinItem(FromItem):
    """`left JOIN right`; `alias` when the join is parenthesised and named."""

    kind: JoinKind
    left: FromItem
    right: FromItem
    natural: bool = False
    using: tuple[str, ...] | None = None
    using_alias: str | None = None
    on: Expression | None = None
    alias: Alias | None = None


# -- WITH ----------------------------------------------------------------------------------------


class Materialized(StrEnum):
    """AS [NOT] MATERIALIZED."""

    DEFAULT = "default"
    ALWAYS = "always"
    NEVER = "never"


@node
class SearchClause(Node):
    """SEARCH DEPTH|BREADTH FIRST BY columns SET sequence."""

    columns: tuple[str, ...]
    breadth_first: bool
    sequence: str


@node
class CycleClause(Node):
    """CYCLE columns SET mark [TO value DEFAULT default] USING path."""

    columns: tuple[str, ...]
    mark: str
    value: Expression | None
    default: Expression | None
    path: str


@node
class CommonTable(Node):
    """One `name (columns) AS (query)` of WITH; the query may be INSERT, UPDATE, DELETE."""

    name: str
    columns: tuple[str, ...]
    query: Statement
    materialized: Materialized = Materialized.DEFAULT
    search: SearchClause | None = None
    cycle: CycleClause | None = None


@node
class WithClause(Node):
    """WITH [RECURSIVE]."""

    recursive: bool
    tables: tuple[CommonTable, ...]


# -- queries -------------------------------------------------------------------------------------


class LockClauseStrength(StrEnum):
    """FOR ..."""

    KEY_SHARE = "key share"
    SHARE = "share"
    NO_KEY_UPDATE = "no key update"
    UPDATE = "update"


class LockWait(StrEnum):
    """What to do when the row is locked."""

    BLOCK = "block"
    SKIP = "skip locked"
    ERROR = "nowait"


@node
class LockingClause(Node):
    """FOR UPDATE and its like; no `relations` means all."""

    strength: LockClauseStrength
    relations: tuple[QualifiedName, ...] = ()
    wait: LockWait = LockWait.BLOCK


class Persistence(StrEnum):
    """PERMANENT, TEMPORARY or UNLOGGED."""

    PERMANENT = "permanent"
    TEMPORARY = "temporary"
    UNLOGGED = "unlogged"


@node
class IntoClause(Node):
    """SELECT ... INTO [TEMPORARY|UNLOGGED] relation."""

    relation: QualifiedName
    persistence: Persistence = Persistence.PERMANENT


@node
class ResultTarget(Node):
    """One output expression with its AS name (None: the binder derives it)."""

    value: Expression
    name: str | None = None


@node
class Query(Statement):
    """What SELECT, VALUES and set operations share.

    `limit_count` is None without LIMIT and a NullConstant for LIMIT ALL; `with_ties` is
    FETCH FIRST ... WITH TIES.
    """

    with_clause: WithClause | None = field(default=None, kw_only=True)
    order_by: tuple[SortBy, ...] = field(default=(), kw_only=True)
    limit_count: Expression | None = field(default=None, kw_only=True)
    limit_offset: Expression | None = field(default=None, kw_only=True)
    with_ties: bool = field(default=False, kw_only=True)
    locking: tuple[LockingClause, ...] = field(default=(), kw_only=True)


@node
class Select(Query):
    """A plain SELECT (TABLE t is SELECT * FROM t).

    `distinct` is None without DISTINCT, `()` for DISTINCT, else the expressions of DISTINCT ON.
    """

    targets: tuple[ResultTarget, ...]
    from_items: tuple[FromItem, ...] = ()
    where: Expression | None = None
    group_by: tuple[Expression, ...] = ()
    group_distinct: bool = False
    having: Expression | None = None
    windows: tuple[WindowDefinition, ...] = ()
    distinct: tuple[Expression, ...] | None = None
    into: IntoClause | None = None


@node
class Values(Query):
    """VALUES (...), (...)."""

    rows: tuple[tuple[Expression, ...], ...]


class SetOperationKind(StrEnum):
    """UNION, INTERSECT or EXCEPT."""

    UNION = "union"
    INTERSECT = "intersect"
    EXCEPT = "except"


@node
class SetOperation(Query):
    """`left UNION|INTERSECT|EXCEPT [ALL] right`. Position: the operation's word."""

    kind: SetOperationKind
    all: bool
    left: Query
    right: Query


# -- queries inside expressions ------------------------------------------------------------------


class SubLinkKind(StrEnum):
    """How a query stands in an expression."""

    EXISTS = "exists"
    EXPRESSION = "expression"
    ANY = "any"
    ALL = "all"
    ARRAY = "array"


@node
class SubLink(Expression):
    """EXISTS (q), (q), ARRAY(q), `left operator ANY|ALL (q)`, `left IN (q)`.

    IN is ANY with `operator` None; NOT IN arrives inside a Not.
    """

    kind: SubLinkKind
    query: Query
    left: Expression | None = None
    operator: tuple[str, ...] | None = None
