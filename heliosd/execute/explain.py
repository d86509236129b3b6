"""EXPLAIN: a physical plan as PostgreSQL shows plans, in its node names; text, JSON, YAML, XML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog.objects import SystemView, Table
from heliosd.execute.column_program import column_sql
from heliosd.plan import physical as p
from heliosd.plan.columns import node_expressions
from heliosd.plan.join_order import as_predicate
from heliosd.plan.nodes import JoinKind, SubPlan
from heliosd.sql.bound import SetReturningCall, SortKey, TableRel
from heliosd.sql.bound.walk import walk

if TYPE_CHECKING:
    from heliosd.execute.node_clock import NodeClock
    from heliosd.plan.physical import Estimate, PhysicalNode
    from heliosd.sql.bound import Expr

ShowExpression = Callable[["Expr"], str]


@dataclass(slots=True)
class Shown:
    """One node as EXPLAIN shows it: `details` are its properties in order."""

    name: str
    estimate: Estimate
    target: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    below: list[tuple[str, Shown]] = field(default_factory=list)
    rows: int | None = None
    loops: int = 1
    startup_ms: float = 0.0
    total_ms: float = 0.0
    blocks_read: int = 0
    node: Any = None


@dataclass(frozen=True, slots=True)
class Options:
    """EXPLAIN's options."""

    analyze: bool = False
    verbose: bool = False
    costs: bool = True
    timing: bool = True
    summary: bool | None = None
    buffers: bool = False
    settings: bool = False
    format: str = "text"


_JOIN_WORDS: Final[Mapping[JoinKind, str]] = {
    JoinKind.INNER: "",
    JoinKind.LEFT: " Left",
    JoinKind.RIGHT: " Right",
    JoinKind.FULL: " Full",
    JoinKind.SEMI: " Semi",
    JoinKind.ANTI: " Anti",
    JoinKind.NULL_AWARE_ANTI: " Anti",
}


class Describer:
    """Turns plan nodes into `Shown` ones. `show` writes an expression as SQL."""

    def __init__(self, show: ShowExpression, counts: Mapping[int, NodeClock]) -> None:
        self._show = show
        self._counts = counts
        self._subplans = 0

    def describe(self, node: PhysicalNode) -> Shown:
        """One node with everything below it."""
        shown = self._node(node)
        shown.node = node
        clock = self._counts.get(id(node))
        if clock is not None:
            shown.rows, shown.loops = clock.rows, clock.starts
            first = clock.first_ns if clock.first_ns >= 0 else clock.total_ns
            shown.startup_ms, shown.total_ms = first / 1e6, clock.total_ns / 1e6
        for expression in _own_expressions(node):
            for item in walk(expression):
                if isinstance(item, SubPlan):
                    shown.below.append((self._subplan_name(item), self.describe(item.plan)))  # type: ignore[arg-type]
        return shown

    def _subplan_name(self, item: SubPlan) -> str:
        self._subplans += 1
        word = "SubPlan" if item.parameters else "InitPlan"
        more = "" if item.parameters else " (returns $0)"
        return f"{word} {self._subplans}{more}"

    def _conditions(self, expressions: Sequence[Expr]) -> str:
        texts = [self._show(e) for e in expressions]
        if len(texts) == 1:
            text = texts[0]
            return text if text.startswith("(") and text.endswith(")") else f"({text})"
        return "(" + " AND ".join(t if t.startswith("(") else f"({t})" for t in texts) + ")"

    def _filter(self, shown: Shown, predicates: Sequence[Expr], word: str = "Filter") -> None:
        if predicates:
            shown.details[word] = self._conditions(predicates)

    def _node(self, node: PhysicalNode) -> Shown:
        estimate = node.estimate
        match node:
            case p.Result():
                return Shown("Result", estimate)
            case p.SeqScan():
                return self._seq_scan(node)
            case p.IndexScan():
                return self._index_scan(node)
            case p.SystemScan():
                shown = Shown("Seq Scan", estimate, _target(node.rel))
                self._filter(shown, node.predicates)
                return shown
            case p.FunctionScan():
                name = _function_name(node.rel.functions)
                alias = "" if node.rel.alias == name else f" {node.rel.alias}"
                shown = Shown("Function Scan", estimate, f" on {name}{alias}")
                self._filter(shown, node.predicates)
                return shown
            case p.ValuesScan():
                shown = Shown("Values Scan", estimate, f' on "{node.rel.alias}"')
                self._filter(shown, node.predicates)
                return shown
            case p.CteScan():
                word = "WorkTable Scan" if node.rel.recursive else "CTE Scan"
                shown = Shown(word, estimate, f" on {node.rel.alias}")
                self._filter(shown, node.predicates)
                return shown
            case p.ColumnScan():
                shown = self.describe(node.rows)
                over = Shown("Custom Scan", estimate, " (Columns)")
                over.below.append(("", shown))
                over.details["Column Program"] = column_sql(node)
                return over
            case p.CountRows():
                return Shown("Aggregate", estimate, f" on {node.table.alias} (from tree)")
        return self._inner(node)

    def _seq_scan(self, node: p.SeqScan) -> Shown:
        word = "Seq Scan Backward" if node.reverse else "Seq Scan"
        shown = Shown(word, node.estimate, _target(node.rel))
        self._filter(shown, node.predicates)
        return shown

    def _index_scan(self, node: p.IndexScan) -> Shown:
        table = node.rel.table
        assert isinstance(table, Table)
        index = node.index or next(i for i in table.indexes if i.primary)
        word = "Index Scan Backward" if node.reverse else "Index Scan"
        shown = Shown(word, node.estimate, f" using {index.name}{_target(node.rel)}")
        self._filter(shown, node.conditions, "Index Cond")
        self._filter(shown, node.predicates)
        return shown

    def _inner(self, node: PhysicalNode) -> Shown:
        estimate = node.estimate
        match node:
            case p.Filter():
                shown = self._over("Result", node.input, estimate)
                self._filter(shown, node.predicates)
                return shown
            case p.Project():
                # PostgreSQL projects inside the node below.
                shown = self.describe(node.input)
                shown.estimate = estimate
                shown.details["Output"] = [self._show(e) for e in node.expressions]
                return shown
            case p.ProjectSet():
                return self._over("ProjectSet", node.input, estimate)
            case p.LockRows():
                return self._over("LockRows", node.input, estimate)
            case p.NestedLoop() | p.HashJoin():
                return self._join(node)
            case p.Aggregate():
                return self._aggregate(node)
            case p.Window():
                return self._over("WindowAgg", node.input, estimate)
            case p.Distinct():
                shown = self._over("HashAggregate", node.input, estimate)
                shown.details["Group Key"] = [self._show(k) for k in node.keys]
                return shown
            case p.Sort():
                shown = self._over("Sort", node.input, estimate)
                shown.details["Sort Key"] = [self._sort_key(k) for k in node.keys]
                return shown
            case p.Limit():
                return self._over("Limit", node.input, estimate)
            case p.IndexExtreme():
                limit = Shown("Limit", estimate)
                limit.below.append(("", self.describe(node.scan)))
                shown = Shown("Result", estimate)
                shown.below.append(("InitPlan 1 (returns $0)", limit))
                return shown
        return self._combined(node)

    def _combined(self, node: PhysicalNode) -> Shown:
        estimate = node.estimate
        match node:
            case p.SetOperation():
                word = "Append" if node.kind == "union" else f"HashSetOp {node.kind.title()}"
                if node.kind == "union" and not node.all:
                    word = "HashAggregate"
                elif node.all and node.kind != "union":
                    word += " All"
                shown = Shown(word, estimate)
                shown.below = [("", self.describe(node.left)), ("", self.describe(node.right))]
                return shown
            case p.Recursive():
                shown = Shown("Recursive Union", estimate)
                shown.below = [("", self.describe(node.initial)), ("", self.describe(node.step))]
                return shown
            case p.With():
                shown = self.describe(node.input)
                ctes = [(f"CTE {cte.name}", self.describe(cte.plan)) for cte in node.ctes]
                shown.below = [*ctes, *shown.below]
                return shown
            case p.InsertRows():
                return self._change("Insert", node.statement.table, node.source, estimate)
            case p.UpdateRows():
                return self._change("Update", node.statement.table, node.input, estimate)
            case p.DeleteRows():
                return self._change("Delete", node.statement.table, node.input, estimate)
            case p.MergeRows():
                return self._change("Merge", node.statement.table, node.input, estimate)
        return Shown(type(node).__name__, estimate)

    def _over(self, name: str, below: PhysicalNode, estimate: Estimate) -> Shown:
        shown = Shown(name, estimate)
        shown.below.append(("", self.describe(below)))
        return shown

    def _change(self, word: str, table: Table, below: PhysicalNode, estimate: Estimate) -> Shown:
        shown = self._over(word, below, estimate)
        shown.target = f" on {table.name}"
        return shown

    def _join(self, node: p.NestedLoop | p.HashJoin) -> Shown:
        kind = _JOIN_WORDS[node.kind]
        if isinstance(node, p.HashJoin):
            shown = Shown(f"Hash{kind} Join", node.estimate)
            self._filter(shown, [as_predicate(k) for k in node.keys], "Hash Cond")
            self._filter(shown, node.predicates, "Join Filter")
            right = self._kept("Hash", node.right)
        else:
            word = "Nested Loop" if not kind else f"Nested Loop{kind} Join"
            shown = Shown(word, node.estimate)
            self._filter(shown, node.predicates, "Join Filter")
            if node.lateral:
                right = self.describe(node.right)
            else:
                right = self._kept("Materialize", node.right)
        shown.below = [("", self.describe(node.left)), ("", right)]
        return shown

    def _kept(self, name: str, node: PhysicalNode) -> Shown:
        """The node that keeps another's rows: it has as many."""
        shown = self._over(name, node, node.estimate)
        below = shown.below[0][1]
        shown.rows, shown.loops = below.rows, below.loops
        shown.startup_ms = shown.total_ms = below.total_ms
        return shown

    def _aggregate(self, node: p.Aggregate) -> Shown:
        if node.sets is not None:
            name = "MixedAggregate"
        else:
            name = "HashAggregate" if node.keys else "Aggregate"
        shown = self._over(name, node.input, node.estimate)
        if node.keys:
            shown.details["Group Key"] = [self._show(k) for k in node.keys]
        return shown

    def _sort_key(self, key: SortKey) -> str:
        text = self._show(key.expression)
        if key.descending:
            text += " DESC"
        if key.nulls_first != key.descending:
            text += " NULLS FIRST" if key.nulls_first else " NULLS LAST"
        return text


def _own_expressions(node: PhysicalNode) -> Iterator[Expr]:
    for name in node.__dataclass_fields__:  # type: ignore[attr-defined]
        if name not in ("statement", "estimate"):
            yield from node_expressions(getattr(node, name))


def _target(rel: TableRel) -> str:
    table = rel.table
    name = table.name
    if isinstance(table, SystemView):
        name = table.name
    return f" on {name}" + ("" if rel.alias in ("", name) else f" {rel.alias}")


def _function_name(functions: Sequence[Expr]) -> str:
    first = functions[0]
    if isinstance(first, SetReturningCall):
        return first.function.name
    return type(first).__name__.lower()
