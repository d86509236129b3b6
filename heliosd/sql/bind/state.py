"""What one binding knows: its scope, its counters, and the levels of queries inside queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog.objects import ColumnedRelation, SystemView, Table
from heliosd.errors import SqlError, not_supported
from heliosd.sql.bind.resolve import UNKNOWN, Resolver
from heliosd.sql.bound import (
    SYSTEM_COLUMNS,
    Coalesce,
    Const,
    Expr,
    Param,
    Privilege,
    RelColumn,
    RowConstructor,
    Var,
    WholeRow,
)
from heliosd.sql.bound.node import node
from heliosd.types.quoting import quote_identifier

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog
    from heliosd.sql.bound import Query, Window
    from heliosd.sql.tree.base import Node
    from heliosd.types.registry import EvalContext, SqlType

QUERY_DEPTH_MAX: Final = 1000
"""Queries inside queries (54001 beyond): binding recurses, and so does what comes after it."""

RECORD: Final = 2249

SYSTEM_COLUMN_TYPES: Final[Mapping[str, int]] = {
    "ctid": 27,
    "xmin": 28,
    "cmin": 29,
    "xmax": 28,
    "cmax": 29,
    "tableoid": 26,
}


@dataclass(frozen=True, slots=True)
class BindScope:
    """What a statement is bound against.

    `path`: `SearchPath.schemas`. `role`: oid of the current role. `context` converts literals
    (time zone, date style, names for reg* types). `parameter_types`: given ones, 0: to be inferred.
    """

    catalog: Catalog
    resolver: Resolver
    path: tuple[int, ...]
    role: int
    context: EvalContext
    parameter_types: tuple[int, ...] = ()
    routine: str = ""
    """The name of the routine whose body this is: its parameters are fixed and have names."""
    parameter_names: tuple[str, ...] = ()
    maintains: int = 0
    """The materialised view that this statement may change: REFRESH's own."""


@node
class UnknownLiteral(Expr):
    """A quoted string or NULL whose type its surroundings decide. Only while binding."""

    text: str | None
    position: int = field(default=0, compare=False)
    type: int = UNKNOWN
    typmod: int = -1
    collation: int = 0


Handler = Callable[["Level", Any], Expr]
QueryHandler = Callable[["Level", Any, bool], "Query"]


@dataclass(slots=True)
class TableUse:
    """What a statement reads of one table reference."""

    table: ColumnedRelation
    as_role: int
    columns: set[int] = field(default_factory=set)
    select: bool = True
    front: TableUse | None = None
    """The view through which it is changed: what the view reads of it counts when it is read."""

    @property
    def is_read(self) -> bool:
        """Whether the statement needs SELECT on it."""
        if self.front is not None and not self.front.is_read:
            return False
        return self.select or bool(self.columns)


class BindState:
    """One statement's binding: numbers handed out, parameters found, objects leaned on."""

    def __init__(
        self,
        scope: BindScope,
        expressions: Mapping[type, Handler],
        queries: Mapping[type, QueryHandler],
    ) -> None:
        self.scope = scope
        self.catalog = scope.catalog
        self.resolver = scope.resolver
        self.types = scope.resolver.types
        self.expressions = expressions
        self.queries = queries
        self.rels_total = 1
        self.ctes_total = 0
        self.levels_total = 0
        self.parameter_types: list[int] = list(scope.parameter_types)
        self.uses: dict[int, TableUse] = {}
        self.privileges: dict[Privilege, None] = {}
        self.dependencies: dict[int, int] = {}
        self.origins: dict[int, ColumnedRelation | Query] = {}
        self.check_as = 0
        self.unpopulated: list[str] = []
        """Materialised views that are read and hold nothing yet."""
        self.views: tuple[int, ...] = ()
        self.depth = 0

    def new_rel(self) -> int:
        number = self.rels_total
        self.rels_total = number + 1
        return number

    def new_cte(self) -> int:
        self.ctes_total += 1
        return self.ctes_total

    def type(self, oid: int) -> SqlType:
        """The type's declaration; 0A000 for what is no type here."""
        found = self.types.by_oid.get(oid)
        if found is None:
            raise not_supported(f"type with OID {oid}")
        return found

    def type_name(self, oid: int, typmod: int = -1) -> str:
        """As format_type() shows it."""
        found = self.types.by_oid.get(oid)
        if found is None:
            return "???"
        if found.is_array:
            return self.type_name(found.element, typmod) + "[]"
        if typmod >= 0 and found.typmod_out is not None:
            return _with_modifier(found.display, found.typmod_out(typmod))
        if found.uses and not self._finds(found):
            owner = self.catalog.by_oid(oid) or self.catalog.owner_of_part(oid)
            schema = self.catalog.schema_name(getattr(owner, "schema", 0))
            return f"{quote_identifier(schema)}.{found.display}"
        return found.display

    def _finds(self, kind: SqlType) -> bool:
        """Whether the bare name means this type."""
        return self.catalog.type_oid(None, kind.name, self.scope.path) == kind.oid

    def collation_of(self, oid: int) -> int:
        """The collation of a new value of this type: 100 (default), 950 (C) for name, or 0."""
        found = self.types.by_oid.get(oid)
        if found is None or not found.collatable:
            return 0
        return 950 if oid == 19 else 100

    def depend(self, oid: int, version: int) -> None:
        self.dependencies[oid] = version

    def read(self, expression: Expr) -> None:
        """Note that a joined column is read (SELECT is needed on what it stands for)."""
        if isinstance(expression, Var):
            use = self.uses.get(expression.rel)
            if use is not None and expression.column >= 0:
                use.columns.add(expression.column)
        elif isinstance(expression, Coalesce):
            for argument in expression.arguments:
                self.read(argument)

    def parameter(self, number: int, position: int) -> Expr:
        """`$number`; of type unknown until something decides."""
        types = self.parameter_types
        fixed = len(types) if self.scope.routine else 65535
        if not 1 <= number <= fixed:
            raise SqlError("42P02", f"there is no parameter ${number}", position=position)
        while len(types) < number:
            types.append(0)
        oid = types[number - 1]
        if oid in (0, UNKNOWN):
            return Param(number, UNKNOWN)
        return Param(number, oid, -1, self.collation_of(oid))

    def decide_parameter(self, number: int, oid: int, position: int) -> Param:
        """`$number` is used as an `oid`; 42P08 when it was something else before."""
        known = self.parameter_types[number - 1]
        if known in (0, UNKNOWN):
            self.parameter_types[number - 1] = oid
        elif known != oid:
            raise SqlError(
                "42P08",
                f"inconsistent types deduced for parameter ${number}",
                detail=f"{self.type_name(known)} versus {self.type_name(oid)}",
                position=position,
            )
        return Param(number, oid, -1, self.collation_of(oid))


def _with_modifier(name: str, modifier: str) -> str:
    """`timestamp(3) without time zone`: the modifier goes after the first word of times."""
    if name.startswith(("timestamp", "time")) and " " in name:
        first, rest = name.split(" ", 1)
        return f"{first}{modifier} {rest}"
    return name + modifier


# What FROM puts into view ------------------------------------------------------------------------


class Item:
    """One entry of a level's namespace: something with an alias and columns.

    `qualified`: `alias.column` finds it; `unqualified`: a bare column name searches it.
    `lateral_only`: in view for LATERAL items of the same FROM; `lateral_ok`: and it may be used.
    """

    __slots__ = ("alias", "lateral_ok", "lateral_only", "qualified", "unqualified")
    alias: str
    schema: int = 0

    def find(self, name: str, position: int) -> Expr | None:
        """The column, None when there is none; 42702 when there are two."""
        raise NotImplementedError

    def has(self, name: str) -> bool:
        raise NotImplementedError

    def names(self) -> Iterator[str]:
        raise NotImplementedError

    def listing(self) -> list[tuple[str, Expr]]:
        """All columns in order."""
        raise NotImplementedError

    def expand(self, position: int) -> list[tuple[str, Expr]]:
        """All columns in order, for `*`: they count as read."""
        raise NotImplementedError

    def whole_row(self, position: int) -> Expr:
        raise NotImplementedError

    @property
    def rel(self) -> int:
        """The rel's number, -1 for a join."""
        return -1

    def _view(self) -> None:
        self.qualified = self.unqualified = True
        self.lateral_only = False
        self.lateral_ok = True


class TableItem(Item):
    """A table, system view or sequence, its columns under their own names."""

    __slots__ = ("number", "schema", "state", "table", "use")

    def __init__(
        self, state: BindState, number: int, alias: str, table: ColumnedRelation, use: TableUse
    ) -> None:
        self.state = state
        self.number = number
        self.alias = alias
        self.table = table
        self.use = use
        self.schema = table.schema
        self._view()

    @property
    def rel(self) -> int:
        return self.number

    def find(self, name: str, position: int) -> Expr | None:
        column = self.table.column_by_name.get(name)
        if column is None:
            number = SYSTEM_COLUMNS.get(name)
            if number is None:
                return None
            if isinstance(self.table, SystemView):
                return Const(self.table.oid, 26) if name == "tableoid" else None
            if name == "tableoid":
                return Const(self.table.oid, SYSTEM_COLUMN_TYPES[name])
            if not isinstance(self.table, Table):
                return None
            return Var(self.number, number, SYSTEM_COLUMN_TYPES[name], -1, 0, position)
        index = column.attnum - 1
        self.use.columns.add(index)
        return Var(self.number, index, column.type_oid, column.typmod, column.collation, position)

    def has(self, name: str) -> bool:
        return name in self.table.column_by_name

    def names(self) -> Iterator[str]:
        return iter(self.table.column_by_name)

    def listing(self) -> list[tuple[str, Expr]]:
        return self._columns(0)

    def expand(self, position: int) -> list[tuple[str, Expr]]:
        self.use.columns.update(column.attnum - 1 for column in self.table.live_columns)
        return self._columns(position)

    def _columns(self, position: int) -> list[tuple[str, Expr]]:
        rel = self.number
        return [
            (c.name, Var(rel, c.attnum - 1, c.type_oid, c.typmod, c.collation, position))
            for c in self.table.live_columns
        ]

    def whole_row(self, position: int) -> Expr:
        for column in self.table.live_columns:
            self.use.columns.add(column.attnum - 1)
        return WholeRow(
            self.number,
            self.table.row_type or RECORD,
            position=position,
            names=tuple(column.name for column in self.table.live_columns),
            field_types=tuple(column.type_oid for column in self.table.live_columns),
        )


class ColumnsItem(Item):
    """Any other rel, or a join: a list of named expressions."""

    __slots__ = ("columns", "number", "row_of", "row_type", "state")

    def __init__(
        self, state: BindState, number: int, alias: str, columns: list[tuple[str, Expr]]
    ) -> None:
        self.state = state
        self.number = number
        self.alias = alias
        self.columns = columns
        # The table whose columns these are: its rows keep their type, whatever they are called.
        self.row_of: ColumnedRelation | None = None
        # The composite type whose attributes they are, 0 for none.
        self.row_type = 0
        self._view()

    @property
    def rel(self) -> int:
        return self.number

    def find(self, name: str, position: int) -> Expr | None:
        found: Expr | None = None
        for each, expression in self.columns:
            if each == name:
                if found is not None:
                    raise ambiguous_column(name, position)
                found = expression
        if found is None:
            return None
        self.state.read(found)
        return placed(found, position)

    def has(self, name: str) -> bool:
        return any(each == name for each, _ in self.columns)

    def names(self) -> Iterator[str]:
        return (name for name, _ in self.columns)

    def listing(self) -> list[tuple[str, Expr]]:
        return self.columns

    def expand(self, position: int) -> list[tuple[str, Expr]]:
        for _, expression in self.columns:
            self.state.read(expression)
        return [(name, placed(expression, position)) for name, expression in self.columns]

    def whole_row(self, position: int) -> Expr:
        if self.row_of is not None and self.row_of.row_type:
            live = self.row_of.live_columns
            return WholeRow(
                self.number,
                self.row_of.row_type,
                position=position,
                names=tuple(column.name for column in live),
                field_types=tuple(column.type_oid for column in live),
            )
        if self.number >= 0:
            return WholeRow(
                self.number,
                self.row_type or RECORD,
                position=position,
                names=tuple(name for name, _ in self.columns),
                field_types=tuple(expression.type for _, expression in self.columns),
            )
        fields = self.expand(position)
        return RowConstructor(
            tuple(expression for _, expression in fields),
            tuple(name for name, _ in fields),
            RECORD,
        )


def placed(expression: Expr, position: int) -> Expr:
    """A column's expression as written at `position`."""
    if isinstance(expression, Var):
        return Var(
            expression.rel,
            expression.column,
            expression.type,
            expression.typmod,
            expression.collation,
            position,
        )
    return expression


def ambiguous_column(name: str, position: int) -> SqlError:
    return SqlError("42702", f'column reference "{name}" is ambiguous', position=position)


@dataclass(slots=True)
class CteEntry:
    """A WITH name in view. While its recursive term is bound, `recursive` is set."""

    number: int
    name: str
    columns: tuple[RelColumn, ...]
    query: Any = None
    recursive: bool = False
    references: int = 0
    self_reference: bool = False
    is_recursive: bool = False
    non_recursive_term: bool = False
    modifies: bool = False
    materialized: bool | None = None
    position: int = 0


class Level:
    """One query level: what its names can mean, and what its expressions turned out to hold."""

    __slots__ = (
        "aggregates",
        "clause",
        "ctes",
        "grouping_calls",
        "items",
        "lateral_active",
        "number",
        "own_rels",
        "parent",
        "set_returning",
        "state",
        "window_names",
        "window_tree",
        "windows",
    )

    def __init__(self, state: BindState, parent: Level | None = None) -> None:
        self.state = state
        self.parent = parent
        self.items: list[Item] = []
        self.ctes: dict[str, CteEntry] = {}
        self.own_rels: set[int] = set()
        self.clause = ""
        state.levels_total += 1
        self.number = state.levels_total
        self.lateral_active = False
        self.grouping_calls = False
        self.aggregates = False
        self.set_returning = False
        self.windows: list[Window] = []
        self.window_names: dict[str, int] = {}
        self.window_tree: dict[str, Any] = {}

    def expression(self, tree: Node) -> Expr:
        """Bind an expression; its type may still be unknown."""
        handler = self.state.expressions.get(type(tree))
        if handler is None:
            raise not_supported(type(tree).__name__, position=tree.position)
        return handler(self, tree)

    def query(self, tree: Node, *, settle: bool = True) -> Query:
        """Bind a subquery of this level (its own level is a child).

        Without `settle`, outputs whose type is unknown stay so: the caller decides.
        """
        state = self.state
        handler = state.queries.get(type(tree))
        if handler is None:
            raise not_supported(type(tree).__name__, position=tree.position)
        state.depth += 1
        if state.depth > QUERY_DEPTH_MAX:
            raise SqlError(
                "54001", "stack depth limit exceeded", hint="Simplify the statement's subqueries."
            )
        try:
            return handler(self, tree, settle)
        finally:
            state.depth -= 1

    def new_rel(self) -> int:
        number = self.state.new_rel()
        self.own_rels.add(number)
        return number

    def find_cte(self, name: str) -> CteEntry | None:
        level: Level | None = self
        while level is not None:
            found = level.ctes.get(name)
            if found is not None:
                return found
            level = level.parent
        return None
