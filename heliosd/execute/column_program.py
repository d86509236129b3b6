"""Running a column program: arguments in, SQL made of them, batches out as rows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from heliosd.errors import SqlError
from heliosd.execute.column_cut import NotPlain
from heliosd.execute.column_engine import ColumnEngineError
from heliosd.execute.column_expressions import Arguments
from heliosd.execute.column_plan import ColumnPlans, ColumnQuery
from heliosd.execute.column_types import Converter, converter
from heliosd.plan.column_forms import NotInColumns

if TYPE_CHECKING:
    from heliosd.execute.context import ExecutionContext
    from heliosd.execute.program import Row
    from heliosd.plan.columns import ColumnKey
    from heliosd.plan.nodes import Plan
    from heliosd.plan.physical import ColumnScan
    from heliosd.sql.bound import Expr

STREAMED_ROWS: Final = 50_000.0
"""Results estimated above this are streamed; smaller ones are complete before the first row."""
SLICE_ROWS: Final = 512
QUERIES_KEPT: Final = 8
# What an argument may fail with and still leave the answer to the rows form: wrong data, too many
# rows, what is not supported. Cancels and limits go on to the client.
_ROWS_DECIDE: Final = ("21", "22", "0A", "42")


class ColumnProgram:
    """One subplan. Shared by executions; keeps the SQL made for the last few arguments."""

    def __init__(
        self,
        plan: Plan,
        arguments: tuple[Expr, ...],
        outputs: Sequence[ColumnKey],
        *,
        streams: bool,
    ) -> None:
        self._plan = plan
        self._arguments = arguments
        self._outputs = tuple(outputs)
        self._streams = streams
        self._made: OrderedDict[Any, tuple[ColumnQuery, tuple[Converter, ...]]] = OrderedDict()

    def query(self, values: Sequence[Any] | None) -> tuple[ColumnQuery, tuple[Converter, ...]]:
        """The SQL for these arguments, and what makes values of its outputs. `NotInColumns`."""
        try:
            known = self._made.get(values)
        except TypeError:  # an argument that is no key: an array
            return self._make(values)
        if known is None:
            known = self._made[values] = self._make(values)
            if len(self._made) > QUERIES_KEPT:
                self._made.popitem(last=False)
        return known

    def _make(self, values: Sequence[Any] | None) -> tuple[ColumnQuery, tuple[Converter, ...]]:
        arguments = Arguments.of(self._arguments, values) if values is not None else Arguments()
        query = ColumnPlans(arguments).query(self._plan, self._outputs)
        return query, tuple(converter(output) for output in query.outputs)

    def rows(
        self, ctx: ExecutionContext, arguments: Iterator[tuple[Any, ...]], fallback: Iterator[Any]
    ) -> Iterator[list[Row]]:
        """Batches of rows in the order of `outputs`; by `fallback`, not begun yet, if need be."""
        engine = ctx.services.columns
        started = False
        try:
            query, converters = self.query(next(arguments))
            tables = {table.name: engine.cache.table(ctx, table) for table in query.tables}
            for batch in engine.run(ctx, query.sql, tables, streams=self._streams):
                for start in range(0, batch.num_rows, SLICE_ROWS):
                    rows = _rows_of(batch.slice(start, SLICE_ROWS), query, converters)
                    ctx.check_slice()
                    started = True
                    yield rows
        except (NotInColumns, NotPlain):
            pass  # nothing was given yet
        except ColumnEngineError as error:
            if started:
                raise late_error(str(error)) from None
        except SqlError as error:
            if started or not error.sqlstate.startswith(_ROWS_DECIDE):
                raise
        else:
            return
        engine.fallbacks += 1
        yield from fallback


def column_sql(node: ColumnScan) -> str:
    """A column program's SQL as EXPLAIN (VERBOSE) shows it: with something for its arguments."""
    try:
        plans = ColumnPlans(Arguments())
        return plans.query(node.subplan.plan, ()).sql
    except NotInColumns:
        return ""


def late_error(text: str) -> SqlError:
    """What DuckDB says of data when rows have gone out already: they cannot be made again."""
    lowered = text.lower()
    if "division by zero" in lowered:
        return SqlError("22012", "division by zero")
    if "out of memory" in lowered:
        return SqlError("53200", "out of memory")
    return SqlError("22003", "value out of range")


def _rows_of(batch: Any, query: ColumnQuery, converters: Sequence[Converter]) -> list[Row]:
    if not converters:
        return [()] * batch.num_rows
    arrays = batch.columns
    columns = []
    at = 0
    for output, make in zip(query.outputs, converters, strict=True):
        width = len(output.parts) or 1
        columns.append(make(arrays[at : at + width]))
        at += width
    return list(zip(*columns, strict=True))
