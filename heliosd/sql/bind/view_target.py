"""Automatically updatable views: INSERT, UPDATE and DELETE go to the one table behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from heliosd.catalog.objects import View
from heliosd.errors import SqlError
from heliosd.sql.bind.coerce import to_boolean
from heliosd.sql.bind.from_items import inside_view
from heliosd.sql.bind.state import BindState, ColumnsItem, Item, Level, TableUse
from heliosd.sql.bind.targets import bind_targets
from heliosd.sql.bound import Expr
from heliosd.sql.parser import parse_statements
from heliosd.sql.tree import query as tree_query

VERBS: Final = {
    "insert into": ("inserting into", "INSERT"),
    "update": ("updating", "UPDATE"),
    "delete from": ("deleting from", "DELETE"),
}


@dataclass(slots=True)
class UpdatableView:
    """A view of one table (or of such a view): its parsed query and what is read of it."""

    view: View
    tree: tree_query.Select
    use: TableUse


class ViewItem(ColumnsItem):
    """A view's columns as expressions over its table; reading them needs SELECT on the view."""

    __slots__ = ("use",)

    def __init__(
        self,
        state: BindState,
        number: int,
        alias: str,
        columns: list[tuple[str, Expr]],
        use: TableUse,
    ) -> None:
        super().__init__(state, number, alias, columns)
        self.use = use

    def find(self, name: str, position: int) -> Expr | None:
        found = super().find(name, position)
        if found is not None:
            self.use.columns.add([each for each, _ in self.columns].index(name))
        return found

    def expand(self, position: int) -> list[tuple[str, Expr]]:
        self.use.columns.update(range(len(self.columns)))
        return super().expand(position)


def open_view(level: Level, view: View, verb: str) -> tuple[UpdatableView, tree_query.RangeVar]:
    """The view, and the name in its FROM; 55000 when it is not automatically updatable."""
    state = level.state
    if view.oid in state.views:
        raise SqlError("42P17", f'infinite recursion detected in rules for relation "{view.name}"')
    (tree,) = parse_statements(view.query)
    why = why_not_updatable(tree)
    if why:
        raise _refused(view, verb, why)
    assert isinstance(tree, tree_query.Select)
    (base,) = tree.from_items
    assert isinstance(base, tree_query.RangeVar)
    use = TableUse(view, state.check_as, select=False)
    return UpdatableView(view, tree, use), base


def _refused(view: View, verb: str, why: str) -> SqlError:
    doing, event = VERBS[verb]
    return SqlError(
        "55000",
        f'cannot {verb} view "{view.name}"',
        detail=f"{why} are not automatically updatable.",
        hint=f"To enable {doing} the view, provide an INSTEAD OF {event} trigger or an "
        f"unconditional ON {event} DO INSTEAD rule.",
    )


def why_not_updatable(tree: object) -> str:
    """What about the query makes its view not updatable; "" for nothing."""
    if isinstance(tree, tree_query.SetOperation):
        return "Views containing UNION, INTERSECT, or EXCEPT"
    if not isinstance(tree, tree_query.Select):
        return "Views that do not select from a single table or view"
    if tree.distinct is not None:
        return "Views containing DISTINCT"
    if tree.group_by:
        return "Views containing GROUP BY"
    if tree.having is not None:
        return "Views containing HAVING"
    if tree.with_clause is not None:
        return "Views containing WITH"
    if tree.limit_count is not None or tree.limit_offset is not None:
        return "Views containing LIMIT or OFFSET"
    if len(tree.from_items) != 1 or not isinstance(tree.from_items[0], tree_query.RangeVar):
        return "Views that do not select from a single table or view"
    return ""


def view_columns(
    level: Level, opened: UpdatableView, base: Item, verb: str
) -> tuple[list[tuple[str, Expr]], Expr | None]:
    """(the view's columns over `base`, its WHERE)."""
    state = level.state
    view, tree = opened.view, opened.tree
    with inside_view(state, view):
        inner = Level(state)
        inner.items = [base]
        inner.own_rels.add(base.rel)
        inner.clause = "SELECT"
        entries = bind_targets(inner, tree.targets)
        if inner.aggregates:
            raise _refused(view, verb, "Views that return aggregate functions")
        if inner.windows:
            raise _refused(view, verb, "Views that return window functions")
        if inner.set_returning:
            raise _refused(view, verb, "Views that return set-returning functions")
        where = None
        if tree.where is not None:
            inner.clause = "WHERE"
            where = to_boolean(state, inner.expression(tree.where), "WHERE", tree.where)
    columns = [
        (column.name, entry.expression) for column, entry in zip(view.columns, entries, strict=True)
    ]
    return columns, where
