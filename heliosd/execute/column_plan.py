"""Logical plans -> DuckDB's SQL over tables of Arrow columns.

Every node becomes a `Source`: a FROM text and what its columns are in SQL. Projections, filters and
inner joins only add to it; what needs a SELECT of its own (grouping, windows, a limit below
something) *closes* it into a subquery. Names are made here (`q1`, `c0`): no name of a user is ever
in the text, and values of a user only as literals of `column_types.literal`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from heliosd.catalog.objects import Table
from heliosd.execute.column_aggregates import aggregate_columns, window_column
from heliosd.execute.column_expressions import (
    BYTE_ORDER,
    Arguments,
    ColumnExpressions,
    numeric_shape,
    sort_terms,
)
from heliosd.execute.column_types import ColumnExpr
from heliosd.functions import column_forms as forms
from heliosd.plan import nodes
from heliosd.plan.column_forms import NotInColumns
from heliosd.plan.columns import ColumnKey, all_nodes, given_rels
from heliosd.plan.nodes import EquiKey, JoinKind, Plan, SubPlan
from heliosd.sql.bound import Const, Expr


@dataclass(frozen=True, slots=True)
class Source:
    """FROM `text` WHERE `where`, in `order`, cut to `limit`; `columns` are expressions over it."""

    text: str
    columns: Mapping[ColumnKey, ColumnExpr]
    where: tuple[str, ...] = ()
    order: str = ""
    limit: str = ""
    joined: bool = False
    """`text` joins several things: in another join it stands in parentheses."""

    @property
    def is_open(self) -> bool:
        """Whether more may be added without a subquery."""
        return not self.order and not self.limit


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One stored column of a scanned table and how it becomes an Arrow column."""

    slot: int
    type: int
    precision: int = 0
    scale: int = 0


@dataclass(frozen=True, slots=True)
class ColumnTable:
    """A table as DuckDB knows it."""

    name: str
    tree_id: int
    columns: tuple[TableColumn, ...]


@dataclass(frozen=True, slots=True)
class ColumnQuery:
    """The whole: SQL, the tables in it, and its outputs, each over `len(parts)` result columns."""

    sql: str
    tables: tuple[ColumnTable, ...]
    outputs: tuple[ColumnExpr, ...]


class ColumnPlans(ColumnExpressions):
    """Writes one plan."""

    def __init__(self, arguments: Arguments, whole_rels: frozenset[int] = frozenset()) -> None:
        super().__init__(arguments)
        self.tables: dict[str, ColumnTable] = {}
        self.withs: list[str] = []
        self.whole_rels = whole_rels
        self._names = 0
        self._depth = 0

    def query(self, plan: Plan, outputs: Sequence[ColumnKey]) -> ColumnQuery:
        """The plan's SQL; `NotInColumns` where it has no exact one."""
        self.inner |= given_rels(plan)
        source = self.source(plan)
        found = tuple(source.columns[key] for key in outputs)
        parts = [e for output in found for e in (output.parts or (output,))]
        sql = self.select(source, [e.sql for e in parts] or ["1"])
        if self.withs:
            sql = f"WITH {', '.join(self.withs)} {sql}"
        return ColumnQuery(sql, tuple(self.tables.values()), found)

    def name(self) -> str:
        """A fresh name of a subquery."""
        self._names += 1
        return f"q{self._names}"

    def source(self, plan: Plan) -> Source:
        """The plan as a source."""
        lower = _PLANS.get(type(plan))
        if lower is None:
            raise NotInColumns
        made = lower(self, plan)
        assert isinstance(made, Source)
        return made

    def open(self, plan: Plan) -> Source:
        """The plan as a source to which more can be added."""
        source = self.source(plan)
        return source if source.is_open else self.closed(source)

    # SQL.

    @staticmethod
    def select(source: Source, expressions: Iterable[str], more: str = "") -> str:
        """SELECT expressions FROM the source; `more`: GROUP BY."""
        text = f"SELECT {', '.join(expressions)}"
        if source.text:
            text += f" FROM {source.text}"
        if source.where:
            text += f" WHERE {' AND '.join(source.where)}"
        return text + more + source.order + source.limit

    def closed(self, source: Source, more: str = "", word: str = "") -> Source:
        """The source as a subquery."""
        name = self.name()
        texts: list[str] = []
        columns: dict[ColumnKey, ColumnExpr] = {}

        def kept(expression: ColumnExpr) -> ColumnExpr:
            if expression.finish:
                return replace(expression, parts=tuple(kept(p) for p in expression.parts))
            column = f"c{len(texts)}"
            texts.append(f"{expression.sql} AS {column}")
            scales = expression.scale_sql
            if scales:
                scales = f"{name}.c{len(texts)}"
                texts.append(f"{expression.scale_sql} AS c{len(texts)}")
            return replace(expression, sql=f"{name}.{column}", scale_sql=scales, plain=True)

        for key, expression in source.columns.items():
            columns[key] = kept(expression)
        sql = self.select(source, texts or ["1 AS c0"], more)
        if word:
            sql = sql.replace("SELECT", f"SELECT {word}", 1)
        return Source(f"({sql}) AS {name}", columns)

    def within(self, source: Source) -> _Scope:
        """Expressions over a source's columns."""
        return _Scope(self, source.columns)

    def predicates(self, source: Source, predicates: Sequence[Expr]) -> tuple[str, ...]:
        with self.within(source):
            return tuple(self.predicate(p) for p in predicates)

    # Subqueries in expressions.

    def _subplan(self, node: SubPlan) -> Source:
        self.inner |= given_rels(node.plan)
        self._depth += 1
        source = self.source(node.plan)
        self._depth -= 1
        return source

    def subquery(self, node: SubPlan) -> tuple[str, ColumnExpr]:
        source = self._subplan(node)
        (output,) = node.outputs
        found = source.columns[(output.rel, output.column)]
        if found.finish or found.scale_sql:
            raise NotInColumns
        return self.select(source, [found.sql]), found

    def subquery_exists(self, node: SubPlan) -> str:
        return self.select(self._subplan(node), ["1"])

    def subquery_where(self, node: SubPlan, test: str) -> str:
        if node.test is None:
            raise NotInColumns
        source = self._subplan(node)
        if not source.is_open:
            source = self.closed(source)
        with self.within(source):
            found = self.plain(node.test).sql
        return self.select(replace(source, where=(*source.where, test.replace("{}", found))), ["1"])

    def put_cte(self, number: int, text: str, columns: tuple[ColumnExpr, ...], name: str) -> None:
        """A WITH query: hoisted to the top, so it may read nothing from outside."""
        if self._depth:
            raise NotInColumns
        self.withs.append(f"{name} AS MATERIALIZED {text}")
        self.ctes[number] = (name, columns)


class _Scope:
    """`with`: these columns are in reach."""

    def __init__(self, plans: ColumnPlans, columns: Mapping[ColumnKey, ColumnExpr]) -> None:
        self._plans = plans
        self._columns = columns

    def __enter__(self) -> None:
        self._plans.scopes.append(self._columns)

    def __exit__(self, *_: object) -> None:
        self._plans.scopes.pop()


# Sources of rows -----------------------------------------------------------------------------


def _one_row(c: ColumnPlans, plan: nodes.OneRow) -> Source:
    return Source("", {})


def _scan(c: ColumnPlans, plan: nodes.Scan) -> Source:
    rel, table = plan.rel, plan.rel.table
    if not isinstance(table, Table) or rel.sample is not None or not table.tree_id:
        raise NotInColumns
    if rel.rel in c.whole_rels or plan.columns is None:
        raise NotInColumns
    stored = tuple(_table_column(table, i) for i in plan.columns)
    name = f"t{table.tree_id}_" + "_".join(str(i) for i in plan.columns)
    c.tables[name] = ColumnTable(name, table.tree_id, stored)
    alias = c.name()
    columns = {}
    for item in stored:
        column = table.columns[item.slot]
        pad = max(column.typmod - 4, -1) if item.type == forms.BPCHAR else -1
        columns[(rel.rel, item.slot)] = ColumnExpr(
            f"{alias}.c{item.slot}", item.type, item.scale, "", pad, plain=True
        )
    source = Source(f"{name} AS {alias}", columns)
    return replace(source, where=c.predicates(source, plan.predicates))


def _table_column(table: Table, slot: int) -> TableColumn:
    column = table.columns[slot]
    if column.collation not in BYTE_ORDER:
        raise NotInColumns
    if column.type_oid == forms.NUMERIC:
        return TableColumn(slot, column.type_oid, *numeric_shape(column.typmod))
    if column.type_oid not in forms.SQL_TYPES:
        raise NotInColumns
    return TableColumn(slot, column.type_oid)


def _cte_scan(c: ColumnPlans, plan: nodes.CteScan) -> Source:
    known = c.ctes.get(plan.rel.cte)
    if known is None or plan.rel.recursive:
        raise NotInColumns
    name, outputs = known
    alias = c.name()

    def moved(expression: ColumnExpr) -> ColumnExpr:
        return replace(
            expression,
            sql=expression.sql.replace(f"{name}.", f"{alias}.", 1),
            scale_sql=expression.scale_sql.replace(f"{name}.", f"{alias}.", 1),
            parts=tuple(moved(p) for p in expression.parts),
        )

    columns = {(plan.rel.rel, i): moved(e) for i, e in enumerate(outputs)}
    source = Source(f"{name} AS {alias}", columns)
    return replace(source, where=c.predicates(source, plan.predicates))


def _values(c: ColumnPlans, plan: nodes.ValuesScan) -> Source:
    rel = plan.rel
    if len(rel.rows) > 100:
        raise NotInColumns
    rows = [[c.plain(e) for e in row] for row in rel.rows]
    first = rows[0]
    for row in rows:
        for one, two in zip(first, row, strict=True):
            if (one.scale, one.pad) != (two.scale, two.pad) or two.scale_sql:
                raise NotInColumns
    name = c.name()
    texts = ", ".join(f"({', '.join(e.sql for e in row)})" for row in rows)
    heads = ", ".join(f"c{i}" for i in range(len(first)))
    columns = {
        (rel.rel, i): replace(e, sql=f"{name}.c{i}", plain=True) for i, e in enumerate(first)
    }
    source = Source(f"(VALUES {texts}) AS {name}({heads})", columns)
    return replace(source, where=c.predicates(source, plan.predicates))


# Row by row ----------------------------------------------------------------------------------


def _filter(c: ColumnPlans, plan: nodes.Filter) -> Source:
    source = c.open(plan.input)
    return replace(source, where=(*source.where, *c.predicates(source, plan.predicates)))


def _project(c: ColumnPlans, plan: nodes.Project) -> Source:
    source = c.source(plan.input)
    if source.limit and any(_reads_plans(e) for e in plan.expressions):
        source = c.closed(source)
    with c.within(source):
        columns = {(plan.rel, i): c.value(e) for i, e in enumerate(plan.expressions)}
    return replace(source, columns=columns)


def _reads_plans(expression: Expr) -> bool:
    return isinstance(expression, SubPlan)


# Joins ---------------------------------------------------------------------------------------

_WORDS: Final = {
    JoinKind.INNER: "JOIN",
    JoinKind.LEFT: "LEFT JOIN",
    JoinKind.RIGHT: "RIGHT JOIN",
    JoinKind.FULL: "FULL JOIN",
    JoinKind.SEMI: "SEMI JOIN",
    JoinKind.ANTI: "ANTI JOIN",
}


def _join(c: ColumnPlans, plan: nodes.Join) -> Source:
    if plan.lateral:
        raise NotInColumns
    left, right = c.open(plan.left), c.open(plan.right)
    kind = plan.kind
    if kind in (JoinKind.RIGHT, JoinKind.FULL):
        left = _alone(c, left)
    if kind not in (JoinKind.INNER, JoinKind.SEMI, JoinKind.ANTI):
        right = _alone(c, right)
    if not left.text or not right.text:
        raise NotInColumns
    both = Source("", {**left.columns, **right.columns})
    with c.within(both):
        tests = [_equal(c, key) for key in plan.keys]
        tests += [c.predicate(p) for p in plan.predicates]
    if kind is JoinKind.NULL_AWARE_ANTI:
        return _not_in(c, plan, left, right)
    tests += right.where
    condition = " AND ".join(tests) or "TRUE"
    other = f"({right.text})" if right.joined else right.text
    text = f"{left.text} {_WORDS[kind]} {other} ON {condition}"
    columns = left.columns if kind in (JoinKind.SEMI, JoinKind.ANTI) else both.columns
    return Source(text, columns, left.where, joined=True)


def _alone(c: ColumnPlans, source: Source) -> Source:
    """A side that may be filled with NULLs: nothing is computed or tested after the join."""
    if source.where or not all(e.plain or e.finish for e in source.columns.values()):
        return c.closed(source)
    return source


def _equal(c: ColumnPlans, key: EquiKey) -> str:
    operator = key.operator
    form = forms.OPERATORS.get((operator.name, operator.left, operator.right))
    if form is None or key.input_collation not in BYTE_ORDER:
        raise NotInColumns
    return c.filled(form, [c.plain(key.left), c.plain(key.right)], 16).sql


def _not_in(c: ColumnPlans, plan: nodes.Join, left: Source, right: Source) -> Source:
    if plan.predicates or len(plan.keys) != 1:
        raise NotInColumns
    with c.within(left):
        one = c.plain(plan.keys[0].left).sql
    with c.within(right):
        two = c.plain(plan.keys[0].right).sql
    test = f"({one} NOT IN ({c.select(right, [two])}))"
    return replace(left, where=(*left.where, test))


# Whole inputs --------------------------------------------------------------------------------


def _aggregate(c: ColumnPlans, plan: nodes.Aggregate) -> Source:
    if plan.sets is not None:
        raise NotInColumns
    source = c.open(plan.input)
    with c.within(source):
        keys = [_key(c.plain(key)) for key in plan.keys]
        calls = [aggregate_columns(c, call) for call in plan.calls]
    columns = {(plan.rel, i): e for i, e in enumerate([*keys, *calls])}
    more = f" GROUP BY {', '.join(k.sql for k in keys)}" if keys else ""
    return c.closed(replace(source, columns=columns), more)


def _key(expression: ColumnExpr) -> ColumnExpr:
    """What rows are grouped by: equal values must look equal, so no floats (-0) or mixed scales."""
    if expression.scale_sql or expression.type == forms.FLOAT8:
        raise NotInColumns
    return expression


def _window(c: ColumnPlans, plan: nodes.Window) -> Source:
    source = c.open(plan.input)
    with c.within(source):
        calls = {
            (plan.rel, i): window_column(c, plan.definition, call)
            for i, call in enumerate(plan.calls)
        }
    return c.closed(replace(source, columns={**source.columns, **calls}))


def _distinct(c: ColumnPlans, plan: nodes.Distinct) -> Source:
    source = c.open(plan.input)
    with c.within(source):
        keys = {_key(c.plain(k)).sql for k in plan.keys}
    if keys != {e.sql for e in source.columns.values()}:
        raise NotInColumns  # DISTINCT ON: which row is first is a matter of order
    return c.closed(source, word="DISTINCT")


def _sort(c: ColumnPlans, plan: nodes.Sort) -> Source:
    source = c.open(plan.input)
    with c.within(source):
        terms = sort_terms(c, [k for k in plan.keys if not isinstance(k.expression, Const)])
    return replace(source, order=f" ORDER BY {', '.join(terms)}") if terms else source


def _limit(c: ColumnPlans, plan: nodes.Limit) -> Source:
    if plan.ties:
        raise NotInColumns
    source = c.source(plan.input)
    if source.limit:
        source = c.closed(source)
    text = ""
    for word, expression in (("LIMIT", plan.limit), ("OFFSET", plan.offset)):
        if expression is None:
            continue
        if isinstance(expression, Const):
            value: Any = expression.value
        elif c.is_argument(expression):
            value = c.arguments.value(expression)
            if c.arguments.values is None:
                value = 1
        else:
            raise NotInColumns
        if value is None:
            continue
        if value < 0:
            raise NotInColumns
        text += f" {word} {int(value)}"
    return replace(source, limit=text) if text else source


def _set_operation(c: ColumnPlans, plan: nodes.SetOperation) -> Source:
    sides = [_side(c, below, len(plan.columns)) for below in (plan.left, plan.right)]
    (one, left), (two, right) = sides
    for a, b in zip(left, right, strict=True):
        if (a.type, a.scale, a.pad) != (b.type, b.scale, b.pad):
            raise NotInColumns
    word = plan.kind.upper() + (" ALL" if plan.all else "")
    name = c.name()
    columns = {
        (plan.rel, i): replace(e, sql=f"{name}.c{i}", plain=True) for i, e in enumerate(left)
    }
    return Source(f"(({one}) {word} ({two})) AS {name}", columns)


def _side(c: ColumnPlans, plan: Plan, width: int) -> tuple[str, list[ColumnExpr]]:
    rel: Any = plan
    source = c.source(plan)
    while not hasattr(rel, "rel"):  # tests and orders over the side keep its columns
        rel = getattr(rel, "input", None)
        if rel is None:
            raise NotInColumns
    outputs = [source.columns[(rel.rel, i)] for i in range(width)]
    for output in outputs:
        if output.finish or output.scale_sql or output.type == forms.FLOAT8:
            raise NotInColumns
    texts = [f"{e.sql} AS c{i}" for i, e in enumerate(outputs)]
    return c.select(source, texts or ["1 AS c0"]), outputs


def _with(c: ColumnPlans, plan: nodes.With) -> Source:
    for cte in plan.ctes:
        if cte.modifies:
            raise NotInColumns
        source = c.source(cte.plan)
        outputs = {(v.rel, v.column): source.columns[(v.rel, v.column)] for v in cte.outputs}
        closed = c.closed(replace(source, columns=outputs))
        text, _, name = closed.text.rpartition(" AS ")
        columns = tuple(closed.columns[(v.rel, v.column)] for v in cte.outputs)
        c.put_cte(cte.number, text, columns, name)
    return c.source(plan.input)


_PLANS: Final[Mapping[type, Callable[[ColumnPlans, Any], Source]]] = {
    nodes.OneRow: _one_row,
    nodes.Scan: _scan,
    nodes.CteScan: _cte_scan,
    nodes.ValuesScan: _values,
    nodes.Filter: _filter,
    nodes.Guard: _filter,
    nodes.Project: _project,
    nodes.Join: _join,
    nodes.Aggregate: _aggregate,
    nodes.Window: _window,
    nodes.Distinct: _distinct,
    nodes.Sort: _sort,
    nodes.Limit: _limit,
    nodes.SetOperation: _set_operation,
    nodes.With: _with,
}


@dataclass(frozen=True, slots=True)
class Forms:
    """What the planner asks (plan.column_forms.ColumnForms)."""

    forced: bool = False

    def arguments(self, plan: Plan, whole_rels: frozenset[int]) -> tuple[Expr, ...] | None:
        """The plan's arguments if it can run over columns, else None."""
        return column_arguments(plan, whole_rels)


def column_forms(setting: str) -> Forms | None:
    """What helios.column_programs means: auto, on or off."""
    return None if setting == "off" else Forms(forced=setting == "on")


def column_arguments(plan: Plan, whole_rels: frozenset[int]) -> tuple[Expr, ...] | None:
    """The plan's arguments if it can run over columns, else None."""
    arguments = Arguments()
    if not any(isinstance(item, nodes.Scan) for item in all_nodes(plan)):
        return None
    try:
        ColumnPlans(arguments, whole_rels).query(plan, ())
    except NotInColumns:
        return None
    return tuple(arguments.expressions)
