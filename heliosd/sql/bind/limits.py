"""LIMIT and OFFSET."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heliosd.errors import SqlError
from heliosd.sql.bind.coerce import location, to_type
from heliosd.sql.bind.state import Level, UnknownLiteral
from heliosd.sql.bound import Const, Expr
from heliosd.sql.bound.walk import rels_used
from heliosd.sql.tree.expressions import NullConstant

if TYPE_CHECKING:
    from heliosd.sql.tree.query import Query

INT8: Final = 20


def bind_limits(level: Level, tree: Query) -> tuple[Expr | None, Expr | None]:
    """(limit, offset) as int8 expressions; LIMIT ALL and LIMIT NULL are no limit."""
    limit = _bind(level, tree.limit_count, "LIMIT")
    offset = _bind(level, tree.limit_offset, "OFFSET")
    if tree.with_ties and not tree.order_by:
        raise SqlError("42601", "WITH TIES cannot be specified without ORDER BY clause")
    return limit, offset


def _bind(level: Level, tree: object, clause: str) -> Expr | None:
    if tree is None or isinstance(tree, NullConstant):
        return None
    level.clause = clause
    bound = level.expression(tree)  # type: ignore[arg-type]
    if isinstance(bound, UnknownLiteral) and bound.text is None:
        return None
    found = to_type(level.state, bound, INT8, clause, tree)  # type: ignore[arg-type]
    if rels_used(found) & level.own_rels:
        raise SqlError(
            "42P10",
            f"argument of {clause} must not contain variables",
            position=location(tree),  # type: ignore[arg-type]
        )
    if isinstance(found, Const) and found.value is None:
        return None
    return found
