"""FOR UPDATE, NO KEY UPDATE, SHARE, KEY SHARE."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from heliosd.catalog.objects import Table
from heliosd.errors import SqlError
from heliosd.sql.bind.state import Level
from heliosd.sql.bound import (
    FromItem,
    JoinRel,
    LockStrength,
    Privilege,
    RowLock,
    Select,
    SubqueryRel,
    TableRel,
)
from heliosd.sql.tree.query import LockClauseStrength, LockWait

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heliosd.sql.tree import query as tree_query

_STRENGTHS: Final[Mapping[LockClauseStrength, LockStrength]] = {
    LockClauseStrength.UPDATE: LockStrength.UPDATE,
    LockClauseStrength.NO_KEY_UPDATE: LockStrength.NO_KEY_UPDATE,
    LockClauseStrength.SHARE: LockStrength.SHARE,
    LockClauseStrength.KEY_SHARE: LockStrength.KEY_SHARE,
}
_WAITS: Final[Mapping[LockWait, str]] = {
    LockWait.BLOCK: "block",
    LockWait.ERROR: "nowait",
    LockWait.SKIP: "skip_locked",
}


def bind_locks(
    level: Level,
    tree: tree_query.Select,
    from_items: tuple[FromItem, ...],
    *,
    grouped: bool,
) -> tuple[tuple[RowLock, ...], tuple[FromItem, ...]]:
    """The row locks of a query, and its FROM with those of its subqueries."""
    locks: dict[int, RowLock] = {}
    for clause in tree.locking:
        shown = f"FOR {clause.strength.value.upper()}"
        _check_allowed(level, tree, shown, grouped=grouped)
        wanted = {name.name: name for name in clause.relations}
        found: set[str] = set()
        lock = RowLock(0, _STRENGTHS[clause.strength], _WAITS[clause.wait])
        from_items = tuple(
            _lock_item(level, item, lock, wanted if wanted else None, found, locks, shown)
            for item in from_items
        )
        for name, node in wanted.items():
            if name not in found:
                raise SqlError(
                    "42P01",
                    f'relation "{name}" in {shown} clause not found in FROM clause',
                    position=node.position,
                )
    return tuple(locks.values()), from_items


def _check_allowed(level: Level, tree: tree_query.Select, shown: str, *, grouped: bool) -> None:
    what = ""
    if tree.distinct is not None:
        what = "DISTINCT clause"
    elif tree.group_by:
        what = "GROUP BY clause"
    elif tree.having is not None:
        what = "HAVING clause"
    elif grouped:
        what = "aggregate functions"
    elif level.windows:
        what = "window functions"
    elif level.set_returning:
        what = "set-returning functions in the target list"
    if what:
        raise SqlError("0A000", f"{shown} is not allowed with {what}")


def _lock_item(
    level: Level,
    item: FromItem,
    lock: RowLock,
    wanted: Mapping[str, object] | None,
    found: set[str],
    locks: dict[int, RowLock],
    shown: str,
) -> FromItem:
    if isinstance(item, JoinRel):
        left = _lock_item(level, item.left, lock, wanted, found, locks, shown)
        right = _lock_item(level, item.right, lock, wanted, found, locks, shown)
        return replace(item, left=left, right=right)
    if wanted is not None and item.alias not in wanted:
        return item
    found.add(item.alias)
    if isinstance(item, TableRel):
        if isinstance(item.table, Table):
            known = locks.get(item.rel)
            if known is None or _rank(lock.strength) > _rank(known.strength):
                locks[item.rel] = replace(lock, rel=item.rel)
            level.state.privileges[
                Privilege("table", item.table.oid, item.table.name, "UPDATE", (), item.check_as)
            ] = None
        return item
    if isinstance(item, SubqueryRel) and isinstance(item.query, Select):
        inner: dict[int, RowLock] = {each.rel: each for each in item.query.locks}
        items = tuple(
            _lock_item(level, each, lock, None, set(), inner, shown)
            for each in item.query.from_items
        )
        return replace(
            item, query=replace(item.query, locks=tuple(inner.values()), from_items=items)
        )
    if wanted is not None and not isinstance(item, SubqueryRel):
        kind = {"FunctionRel": "a function", "ValuesRel": "VALUES", "CteRel": "a WITH query"}[
            type(item).__name__
        ]
        raise SqlError("0A000", f"{shown} cannot be applied to {kind}")
    return item


def _rank(strength: LockStrength) -> int:
    order = (
        LockStrength.KEY_SHARE,
        LockStrength.SHARE,
        LockStrength.NO_KEY_UPDATE,
        LockStrength.UPDATE,
    )
    return order.index(strength)
