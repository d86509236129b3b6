"""Physical plan -> generated Python: the compiler that the node families share.

One function per pipeline: a node is *produced* by writing the loop that makes its rows, and inside
it the code of whoever consumes them, so a row goes from scan to result through local names only.
What needs its whole input first (sort, hash table, aggregate) writes a loop that fills a list or a
dict and then a loop over that. Every function of a program has the parameters `ctx, params, state`
(and the outer columns that it reads): `state` has one execution's cells, for subqueries and WITH
queries that run once.

The node families are in row_program_scan, _key, _source, _join, _hash, _aggregate, _sort, _window,
_set, _subplan, _lock and _modify; `PRODUCERS` there maps node classes to functions
`(compiler, node, needed, flow, consume)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from heliosd.errors import SqlError, not_supported
from heliosd.execute.expressions import Code, ExpressionCompiler, Types, local
from heliosd.execute.node_clock import NodeClock
from heliosd.execute.source import Module, Writer
from heliosd.plan.columns import ColumnKey, all_nodes, columns_of, free_columns
from heliosd.plan.physical import (
    Aggregate,
    ColumnScan,
    Distinct,
    FunctionScan,
    HashJoin,
    NestedLoop,
    Physical,
    ProjectSet,
)

if TYPE_CHECKING:
    from heliosd.plan.nodes import SubPlan
    from heliosd.sql.bound import Expr, Var

BATCH_ROWS: Final = 128
"""A program hands out its rows in lists of about so many."""
DEPTH_MAX: Final = 7
"""A pipeline with more loops than this is cut in two functions (CPython nests 20 blocks)."""

KEPT_ROWS_MAX: Final = 5_000_000
"""Rows that one node of a statement may keep (sort, hash table, groups): about a gigabyte."""


def too_many_rows() -> None:
    """A statement keeps more rows than one may."""
    raise SqlError(
        "53200", "out of memory", detail=f"A statement may keep {KEPT_ROWS_MAX} rows at once."
    )


Needed: TypeAlias = frozenset[ColumnKey]


@dataclass(frozen=True, slots=True)
class Flow:
    """Where code is being written: the function, and the columns at hand there.

    `stop` writes what ends this function's rows early (None: rows cannot end early here).
    `flush` writes what hands out a full batch, at the end of each loop over a batch.
    """

    writer: Writer
    columns: Mapping[ColumnKey, Code] = field(default_factory=dict)
    stop: Callable[[], None] | None = None
    flush: Callable[[], None] | None = None

    def plus(self, columns: Mapping[ColumnKey, Code]) -> Flow:
        return replace(self, columns={**self.columns, **columns})

    def inner(self) -> Flow:
        """For an input whose rows this function does not hand out itself."""
        return replace(self, stop=None, flush=None)


Consume: TypeAlias = Callable[[Flow], None]
Producer: TypeAlias = Callable[["ProgramCompiler", Any, Needed, Flow, Consume], None]


class ProgramCompiler:
    """Compiles one plan. Holds the module being written and what the families share."""

    def __init__(
        self,
        types: Types,
        names: Mapping[str, Any],
        forms: Mapping[type, Callable[[ExpressionCompiler, Any], Code]],
        producers: Mapping[type, Producer],
        subplan: Callable[[ProgramCompiler, SubPlan, ExpressionCompiler], Code],
        modifier: Callable[[ProgramCompiler, Any, Flow], str],
        services: Any = None,
    ) -> None:
        self.module = Module()
        self.types = types
        self.names = names
        self.forms = forms
        self.producers = producers
        self.services = services
        self._subplan = subplan
        self.modifier = modifier
        self.counts: dict[int, NodeClock] | None = None
        """EXPLAIN ANALYZE's clocks by the node's identity; None: nothing is counted."""
        self.is_timed = True
        self.first_keys: dict[int, str] = {}
        """Names that hold the key at which a whole scan begins (a skipped OFFSET), by its node."""
        self.cells = 0
        self.ctes: dict[int, tuple[int, str | None, tuple[Var, ...]]] = {}
        """WITH query number -> (cell, the call that makes its rows, its outputs)."""
        self.varying: set[int] = set()
        """WITH queries whose rows change while the statement runs: what reads them is not kept."""
        self.streams: dict[int, tuple[Physical, tuple[Var, ...]]] = {}
        """WITH queries that stand in the place of their only reader."""

    # -- expressions -----------------------------------------------------------------------------

    def at(self, flow: Flow) -> ExpressionCompiler:
        """The expression compiler for code written at this place."""
        return ExpressionCompiler(
            self.module, flow.writer, self.types, self.names, self.forms, flow.columns, self
        )

    def subplan(self, node: SubPlan, compiler: ExpressionCompiler) -> Code:
        """A subquery in an expression (expressions.Subplans)."""
        return self._subplan(self, node, compiler)

    def filtered(self, predicates: Sequence[Expr], flow: Flow) -> AbstractContextManager[None]:
        """A block that runs where all predicates are true."""
        if not predicates:
            return nullcontext()
        condition = self.at(flow).conditions(predicates)
        if condition.text == "True":
            return nullcontext()
        return flow.writer.block(f"if {condition.text}:")

    def named(self, code: Code, flow: Flow, *, prefix: str = "v") -> Code:
        """The value under a local name, so that it is computed once."""
        if code.atom:
            return code
        name = self.module.name(prefix)
        flow.writer.line(f"{name} = {code.text}")
        return local(name, nullable=code.nullable)

    # -- nodes -----------------------------------------------------------------------------------

    def produce(self, node: Physical, needed: Needed, flow: Flow, consume: Consume) -> None:
        """Write the loop over the node's rows with `consume`'s code inside."""
        producer = self.producers.get(type(node))
        if producer is None:
            raise not_supported(f"plan node {type(node).__name__}")
        clock = ""
        if self.counts is not None:
            clock, consume = self._clocked(node, flow, consume)
        if flow.writer.loops and flow.writer.loops + depth(node) > DEPTH_MAX + 3:
            self.produce_cut(node, needed, flow, consume)
        else:
            producer(self, node, needed, flow, consume)
        if clock:
            flow.writer.line(f"{clock}.end()")

    def _clocked(self, node: Physical, flow: Flow, consume: Consume) -> tuple[str, Consume]:
        """EXPLAIN ANALYZE: count the node's rows and starts, and take its time."""
        assert self.counts is not None
        counter = self.counts[id(node)] = NodeClock(is_timed=self.is_timed)
        name = self.slot(counter)
        flow.writer.line(f"{name}.start()")

        def counting(at: Flow) -> None:
            at.writer.line(f"{name}.row()")
            consume(at)
            if self.is_timed:
                at.writer.line(f"{name}.back()")

        return name, counting

    def produce_cut(self, node: Physical, needed: Needed, flow: Flow, consume: Consume) -> None:
        """As `produce`, with the node in a generator function of its own."""
        call, keys = self.generator(node, needed, flow)
        batch = self.module.name("r")
        writer = flow.writer
        with writer.block(f"for {batch} in {call}:", loop=True):
            columns = self.names_for(keys)
            with writer.block(f"for {unpacking(columns.values())} in {batch}:", loop=True):
                consume(flow.plus(columns))
            if flow.flush is not None:
                flow.flush()

    def names_for(self, keys: Iterable[tuple[ColumnKey, bool]]) -> dict[ColumnKey, Code]:
        """Fresh local names for (column, nullable)."""
        return {key: local(self.module.name("v"), nullable=nullable) for key, nullable in keys}

    # -- functions -------------------------------------------------------------------------------

    def function(
        self, node: Physical, flow: Flow, comment: str, more: Sequence[str] = ()
    ) -> tuple[Writer, Flow, str]:
        """A function that runs `node`: its writer, the flow inside, and the call to it from `flow`.

        The outer columns that the node reads become its parameters.
        """
        return self.function_over(free_columns(node), flow, comment, more)

    def function_over(
        self, read: Iterable[ColumnKey], flow: Flow, comment: str, more: Sequence[str] = ()
    ) -> tuple[Writer, Flow, str]:
        """As `function`, for code that reads the given outer columns."""
        columns = {key: flow.columns[key] for key in sorted(read) if key in flow.columns}
        names = sorted({name for code in columns.values() for name in code.uses} | set(more))
        parameters = ", ".join(["ctx", "params", "state", *names])
        writer = self.module.function(parameters, comment=comment)
        return writer, Flow(writer, columns), f"{writer.name}({parameters})"

    def generator(
        self, node: Physical, needed: Needed, flow: Flow
    ) -> tuple[str, list[tuple[ColumnKey, bool]]]:
        """A generator function over the node's rows: the call, and the columns of its tuples."""
        writer, inside, call = self.function(node, flow, describe(node))
        keys: list[tuple[ColumnKey, bool]] = []
        outer = set(inside.columns)

        def row(at: Flow) -> str:
            found = [
                (k, at.columns[k]) for k in sorted(at.columns) if k in needed and k not in outer
            ]
            keys[:] = [(k, code.nullable) for k, code in found]
            return tuple_of(code.text for _, code in found)

        self.write_batches(writer, node, needed, inside, row)
        return call, keys

    def write_batches(
        self,
        writer: Writer,
        node: Physical,
        needed: Needed,
        flow: Flow,
        row: Callable[[Flow], str],
    ) -> None:
        """The body of a generator function: lists of `row`."""
        writer.first("out = []")

        def hand_out() -> None:
            with writer.block(f"if len(out) >= {BATCH_ROWS}:"):
                writer.line("yield out")
                writer.line("out = []")

        def stop() -> None:
            with writer.block("if out:"):
                writer.line("yield out")
            writer.line("return")

        each = fans_out(node)

        def consume(at: Flow) -> None:
            writer.line(f"out.append({row(at)})")
            if each:
                hand_out()

        self.produce(
            node, needed, replace(flow, stop=stop, flush=None if each else hand_out), consume
        )
        with writer.block("if out:"):
            writer.line("yield out")

    def listing(
        self, node: Physical, needed: Needed, flow: Flow, comment: str = ""
    ) -> tuple[str, list[tuple[ColumnKey, bool]]]:
        """A function that returns all rows of the node as one list of tuples."""
        writer, inside, call = self.function(node, flow, comment or describe(node))
        writer.first("out = []")
        keys: list[tuple[ColumnKey, bool]] = []
        outer = set(inside.columns)

        def consume(at: Flow) -> None:
            found = [
                (k, at.columns[k]) for k in sorted(at.columns) if k in needed and k not in outer
            ]
            keys[:] = [(k, code.nullable) for k, code in found]
            writer.line(f"out.append({tuple_of(code.text for _, code in found)})")

        self.produce(node, needed, replace(inside, stop=lambda: writer.line("return out")), consume)
        writer.line("return out")
        return call, keys

    def kept(self, flow: Flow, *names: str) -> Flow:
        """The flow for an input whose rows are kept in these lists or dicts: 53200 past a limit."""
        limit = self.slot(KEPT_ROWS_MAX)
        refuse = self.slot(too_many_rows)

        def check() -> None:
            for name in names:
                with flow.writer.block(f"if len({name}) > {limit}:"):
                    flow.writer.line(f"{refuse}()")

        return replace(flow, stop=None, flush=check)

    def cell(self) -> int:
        """A new cell of the execution's state."""
        self.cells += 1
        return self.cells - 1

    def slot(self, value: object) -> str:
        return self.module.slot(value)


def given(flow: Flow, needed: Needed, outer: set[ColumnKey]) -> list[tuple[ColumnKey, Code]]:
    """The needed columns that code below has made, in a fixed order."""
    return [(k, flow.columns[k]) for k in sorted(flow.columns) if k in needed and k not in outer]


def needed_by(expressions: Iterable[Expr]) -> Needed:
    """The columns that expressions read."""
    return frozenset(columns_of(expressions))


def vars_needed(outputs: Iterable[Var]) -> Needed:
    return frozenset((v.rel, v.column) for v in outputs)


def tuple_of(texts: Iterable[str]) -> str:
    """A tuple display."""
    parts = list(texts)
    if not parts:
        return "()"
    return f"({', '.join(parts)},)" if len(parts) == 1 else f"({', '.join(parts)})"


def unpacking(columns: Iterable[Code]) -> str:
    """The target of a `for` over tuples of these columns."""
    parts = [code.text for code in columns]
    if not parts:
        return "r0"
    return f"({parts[0]},)" if len(parts) == 1 else ", ".join(parts)


def depth(node: Physical) -> int:
    """How many loops deep the node's own pipeline is in one function (a deep left side is cut)."""
    if isinstance(node, NestedLoop):
        return left_depth(node.left) + (depth(node.right) if node.lateral else 2)
    if isinstance(node, HashJoin):
        return left_depth(node.left) + 1
    if isinstance(node, ProjectSet):
        return depth(node.input) + 2
    if isinstance(node, ColumnScan):
        return 2
    below = getattr(node, "input", None)
    if below is not None and not isinstance(node, Aggregate):
        return max(depth(below), 2)
    return 2


def left_depth(node: Physical) -> int:
    """The loops of a join's streamed side: two when it is cut off into its own function."""
    inner = depth(node)
    return 2 if inner >= DEPTH_MAX else inner


def fans_out(node: Physical) -> bool:
    """Whether one input row can become many before a batch loop ends."""
    return any(
        isinstance(item, NestedLoop | HashJoin | ProjectSet | FunctionScan | Distinct)
        for item in all_nodes(node)
    )


def describe(node: Physical) -> str:
    """A node's name for the comment above its function: never text of a user."""
    return type(node).__name__
