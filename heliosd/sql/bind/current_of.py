"""WHERE CURRENT OF: the row on which a cursor stands.

A cursor over plain tables carries what finds each of their rows again (`carrying`): its primary
key, or its ctid where there is none. The session hands it to the statement when that runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog.objects import Table
from heliosd.errors import not_supported
from heliosd.functions.registry import SqlFunction
from heliosd.sql.bound import SYSTEM_COLUMNS, And, Call, Expr, Var
from heliosd.sql.tree.expressions import ColumnRef, FunctionCall
from heliosd.sql.tree.query import FromItem, JoinItem, RangeVar, ResultTarget, Select

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heliosd.catalog.lookup import Catalog
    from heliosd.sql.bind.state import Level
    from heliosd.sql.tree.base import Statement
    from heliosd.sql.tree.expressions import CurrentOf
    from heliosd.types.context import EvalContext

TID: Final = 27

Carried = tuple[int, int, int]
"""(table oid, the first of its places behind the outputs, one past the last)."""


def bind_current_of(level: Level, tree: CurrentOf) -> Expr:
    """A test of the target's key, so that one row is looked up and not all of them."""
    state = level.state
    number = level.items[0].rel
    table = state.origins.get(number)
    if not isinstance(table, Table):
        raise not_supported("WHERE CURRENT OF for this relation", position=tree.position)
    tests: list[Expr] = []
    for place, left in enumerate(_place_of(table, number)):
        function = SqlFunction(
            "current_of",
            0,
            (),
            left.type,
            _reader(tree.cursor, table.oid, place),
            strict=False,
            volatility="s",
            needs_context=True,
        )
        equals = state.resolver.operator("=", left.type, left.type)
        assert equals is not None
        call = Call(function, (), left.type, -1, left.collation)
        tests.append(Call(equals, (left, call), equals.result, -1, 0, left.collation))
    return tests[0] if len(tests) == 1 else And(tuple(tests))


def _place_of(table: Table, rel: int) -> list[Var]:
    """The columns that find a row of the table."""
    if table.key_kind == "row":
        return [Var(rel, SYSTEM_COLUMNS["ctid"], TID)]
    found = (table.columns[attnum - 1] for attnum in table.primary_key)
    return [Var(rel, c.attnum - 1, c.type_oid, c.typmod, c.collation) for c in found]


def _reader(cursor: str, oid: int, place: int) -> Callable[[EvalContext], Any]:
    def read(ctx: EvalContext) -> Any:
        found = ctx.cursor_place(cursor, oid)
        return None if found is None else found[place]

    return read


def carrying(
    query: Statement, catalog: Catalog, path: tuple[int, ...]
) -> tuple[Statement, tuple[Carried, ...]]:
    """(the query with its tables' places behind its outputs, where they stand there).

    The query as it is when it groups, combines, or reads no plain table.
    """
    if not isinstance(query, Select) or query.into is not None or _combines(query):
        return query, ()
    targets: list[ResultTarget] = []
    carried: list[Carried] = []
    for item in query.from_items:
        for leaf in _tables(item):
            found = catalog.relation(leaf.name.schema, leaf.name.name, path)
            if not isinstance(found, Table):
                continue
            if query.with_clause is not None and leaf.name.schema is None:
                continue
            alias = leaf.name.name if leaf.alias is None else leaf.alias.name
            names = ["ctid"]
            if found.key_kind != "row":
                names = [found.columns[attnum - 1].name for attnum in found.primary_key]
            first = len(targets)
            targets += (ResultTarget(0, ColumnRef(0, (alias, name)), name) for name in names)
            carried.append((found.oid, first, len(targets)))
    return replace(query, targets=(*query.targets, *targets)), tuple(carried)


def _combines(query: Select) -> bool:
    grouped = query.group_by or query.having is not None or query.distinct is not None
    return bool(grouped) or any(_calls(target.value) for target in query.targets)


def _calls(value: object) -> bool:
    """Whether an output may be an aggregate or a set: any call counts."""
    return isinstance(value, FunctionCall)


def _tables(item: FromItem) -> Iterator[RangeVar]:
    if isinstance(item, RangeVar):
        yield item
    elif isinstance(item, JoinItem):
        yield from _tables(item.left)
        yield from _tables(item.right)
