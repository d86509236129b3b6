"""Constraint violations, in PostgreSQL's words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from heliosd.errors import SqlError
from heliosd.execute.dml.shown import shown_row

if TYPE_CHECKING:
    from heliosd.catalog.objects import Constraint, Index, Table
    from heliosd.execute.context import ExecutionContext
    from heliosd.execute.expressions import Types

VALUE_CHARACTERS_MAX = 64
"""PostgreSQL cuts the values in a failing row's DETAIL after so many bytes."""


class TableWords:
    """A table as its violations name it: schema, names, how values are shown."""

    __slots__ = ("by_oid", "kinds", "schema", "table")

    def __init__(self, table: Table, schema: str, types: Types) -> None:
        self.table = table
        self.schema = schema
        # Not `types` itself: it knows the session that prepared, programs outlive sessions.
        self.kinds = tuple(None if c.dropped else types.type(c.type_oid) for c in table.columns)
        self.by_oid = {kind.oid: kind for kind in self.kinds if kind is not None}
        for index in table.indexes:
            for key in index.keys:
                if key.expression is not None:
                    self.by_oid[key.type_oid] = types.type(key.type_oid)

    def shown(self, ctx: ExecutionContext, column: int, value: Any) -> str:
        """A value of a column (0-based) as text."""
        kind = self.kinds[column]
        return "null" if value is None or kind is None else kind.output(value, ctx.eval)

    def failing_row(
        self, ctx: ExecutionContext, row: Sequence[Any], written: Iterable[int]
    ) -> str | None:
        """`Failing row contains (1, null, ...).`, or what the role may read of it: `(a) = (1)`.

        `written`: the columns that the statement gave values to; they are no secret to it.
        """
        seen = shown_row(ctx, self.table)
        numbers = seen.columns(written)
        if not numbers:
            return None
        parts: list[str] = []
        for number in numbers:
            text = self.shown(ctx, number, seen.value(number, row[number]))
            raw = text.encode()
            if len(raw) > VALUE_CHARACTERS_MAX:
                text = raw[:VALUE_CHARACTERS_MAX].decode(errors="ignore") + "..."
            parts.append(text)
        names = ", ".join(self.table.columns[number].name for number in numbers)
        head = "" if seen.is_whole else f"({names}) = "
        return f"Failing row contains {head}({', '.join(parts)})."

    def key_detail(
        self, ctx: ExecutionContext, columns: Sequence[int], values: Sequence[Any]
    ) -> str:
        """` (a, b)=(1, 2)` for columns given 0-based; "" where the role may not read them."""
        shown = shown_row(ctx, self.table).key(columns, values)
        if shown is None:
            return ""
        names = ", ".join(self.table.columns[c].name for c in columns)
        texts = ", ".join(self.shown(ctx, c, v) for c, v in zip(columns, shown, strict=True))
        return f" ({names})=({texts})"

    def not_null(
        self,
        ctx: ExecutionContext,
        column: int,
        row: Sequence[Any],
        written: Iterable[int] = (),
    ) -> NoReturn:
        """23502."""
        name = self.table.columns[column].name
        raise SqlError(
            "23502",
            f'null value in column "{name}" of relation "{self.table.name}" '
            "violates not-null constraint",
            detail=self.failing_row(ctx, row, written),
            schema=self.schema,
            table=self.table.name,
            column=name,
        )

    def check(
        self,
        ctx: ExecutionContext,
        constraint: Constraint,
        row: Sequence[Any],
        written: Iterable[int] = (),
    ) -> NoReturn:
        """23514."""
        raise SqlError(
            "23514",
            f'new row for relation "{self.table.name}" violates check constraint '
            f'"{constraint.name}"',
            detail=self.failing_row(ctx, row, written),
            schema=self.schema,
            table=self.table.name,
            constraint=constraint.name,
        )

    def unique(
        self,
        ctx: ExecutionContext,
        index: Index,
        values: Sequence[Any],
        texts: Sequence[str],
        types: Sequence[int],
    ) -> NoReturn:
        """23505. `texts` name the key's columns or expressions, `types` are their oids."""
        visible = shown_row(ctx, self.table).index_key(index, values)
        values = [None] * len(types) if visible is None else visible
        shown = ", ".join(
            "null" if v is None else self.by_oid[t].output(v, ctx.eval)
            for v, t in zip(values, types, strict=True)
        )
        constraint = self.table.constraint_by_oid(index.constraint) if index.constraint else None
        name = index.name if constraint is None else constraint.name
        raise SqlError(
            "23505",
            f'duplicate key value violates unique constraint "{name}"',
            detail=None
            if visible is None
            else f"Key ({', '.join(texts)})=({shown}) already exists.",
            schema=self.schema,
            table=self.table.name,
            constraint=name,
        )


def affected_twice() -> NoReturn:
    """21000: ON CONFLICT DO UPDATE met a row that this command has written."""
    raise SqlError(
        "21000",
        "ON CONFLICT DO UPDATE command cannot affect row a second time",
        hint="Ensure that no rows proposed for insertion within the same command have duplicate "
        "constrained values.",
    )


def affected_twice_by_merge() -> NoReturn:
    """21000: MERGE met a row that this command has changed."""
    raise SqlError(
        "21000",
        "MERGE command cannot affect row a second time",
        hint="Ensure that not more than one source row matches any one target row.",
    )


def must_be_seen(ctx: ExecutionContext, tree_id: int, key: int | bytes) -> None:
    """40001 when ON CONFLICT DO NOTHING met a row that this transaction's snapshot does not see."""
    snapshot = ctx.transaction.snapshot()
    try:
        seen = snapshot.get(tree_id, key) is not None
    finally:
        snapshot.release()
    if not seen:
        raise SqlError("40001", "could not serialize access due to concurrent update")
