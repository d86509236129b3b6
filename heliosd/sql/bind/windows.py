"""Window definitions: OVER (...), OVER name, and the WINDOW clause."""

from __future__ import annotations

from typing import Final

from heliosd.errors import SqlError
from heliosd.sql.bind.coerce import coerce, location, settle
from heliosd.sql.bind.sorting import check_groupable, sort_key
from heliosd.sql.bind.state import Level
from heliosd.sql.bound import Expr, FrameBound, SortKey, Window
from heliosd.sql.bound.walk import has_window, rels_used
from heliosd.sql.tree import window as tree_window
from heliosd.sql.tree.base import Node
from heliosd.sql.tree.window import FrameBoundKind, WindowDefinition
from heliosd.types.registry import CastContext

_DEFAULT_START: Final = FrameBound("unbounded_preceding")
_DEFAULT_END: Final = FrameBound("current_row")


def declare_windows(level: Level, definitions: tuple[WindowDefinition, ...]) -> None:
    """The WINDOW clause; its windows are numbered when something uses them."""
    for definition in definitions:
        name = definition.name or ""
        if name in level.window_tree:
            raise SqlError(
                "42P20", f'window "{name}" is already defined', position=definition.position
            )
        level.window_tree[name] = definition


def window_number(level: Level, tree: WindowDefinition) -> int:
    """The index of this window in the level's list, made when new."""
    if tree.name is not None and not _has_content(tree):
        return _named(level, tree.name, tree.position)
    window = _build(level, tree, "")
    if window in level.windows:
        return level.windows.index(window)
    level.windows.append(window)
    return len(level.windows) - 1


def _has_content(tree: WindowDefinition) -> bool:
    return bool(tree.reference or tree.partition_by or tree.order_by or tree.frame)


def _named(level: Level, name: str, position: int) -> int:
    known = level.window_names.get(name)
    if known is not None:
        return known
    definition = level.window_tree.get(name)
    if definition is None:
        raise SqlError("42704", f'window "{name}" does not exist', position=position)
    level.windows.append(_build(level, definition, name))
    level.window_names[name] = len(level.windows) - 1
    return level.window_names[name]


def bind_unused_windows(level: Level) -> None:
    """Windows that nothing uses are checked all the same."""
    for name, definition in level.window_tree.items():
        _named(level, name, definition.position)


def _build(level: Level, tree: WindowDefinition, name: str) -> Window:
    kept, level.clause = level.clause, "window definitions"
    try:
        partition = tuple(_partition_key(level, each) for each in tree.partition_by)
        order = tuple(sort_key(level, each) for each in tree.order_by)
    finally:
        level.clause = kept
    if tree.reference is not None:
        base = level.windows[_named(level, tree.reference, tree.position)]
        if partition:
            raise SqlError(
                "42P20",
                f'cannot override PARTITION BY clause of window "{tree.reference}"',
                position=tree.position,
            )
        if order and base.order_by:
            raise SqlError(
                "42P20",
                f'cannot override ORDER BY clause of window "{tree.reference}"',
                position=tree.position,
            )
        if (base.mode, base.start, base.end) != ("range", _DEFAULT_START, _DEFAULT_END):
            raise SqlError(
                "42P20",
                f'cannot copy window "{tree.reference}" because it has a frame clause',
                position=tree.position,
            )
        partition, order = base.partition_by, order or base.order_by
    if tree.frame is None:
        return Window(partition, order, name=name)
    frame = tree.frame
    mode = frame.mode.value
    _check_frame(frame)
    start = _bound(level, frame.start, mode, order)
    end = _bound(level, frame.end, mode, order)
    if mode == "groups" and not order:
        raise SqlError("42P20", "GROUPS mode requires an ORDER BY clause", position=tree.position)
    exclude = {"no others": "none"}.get(
        frame.exclusion.value, frame.exclusion.value.replace(" ", "_")
    )
    return Window(partition, order, mode, start, end, exclude, name)


def _partition_key(level: Level, tree: Node) -> Expr:
    expression = settle(level.state, level.expression(tree))
    if has_window(expression):
        raise SqlError(
            "42P20",
            "window functions are not allowed in window definitions",
            position=location(tree),
        )
    check_groupable(level.state, expression, location(tree))
    return expression


def _check_frame(frame: tree_window.Frame) -> None:
    start, end = frame.start.kind, frame.end.kind
    message = ""
    if start is FrameBoundKind.UNBOUNDED_FOLLOWING:
        message = "frame start cannot be UNBOUNDED FOLLOWING"
    elif end is FrameBoundKind.UNBOUNDED_PRECEDING:
        message = "frame end cannot be UNBOUNDED PRECEDING"
    elif start is FrameBoundKind.CURRENT_ROW and end is FrameBoundKind.PRECEDING:
        message = "frame starting from current row cannot have preceding rows"
    elif start is FrameBoundKind.FOLLOWING and end in (
        FrameBoundKind.PRECEDING,
        FrameBoundKind.CURRENT_ROW,
    ):
        message = "frame starting from following row cannot have preceding rows"
    if message:
        raise SqlError("42P20", message, position=frame.position)


def _bound(
    level: Level, tree: tree_window.FrameBound, mode: str, order: tuple[SortKey, ...]
) -> FrameBound:
    kind = tree.kind.value.replace(" ", "_")
    if tree.offset is None:
        return FrameBound(kind)
    state = level.state
    kept, level.clause = level.clause, f"window {mode.upper()}"
    try:
        offset = level.expression(tree.offset)
    finally:
        level.clause = kept
    at = location(tree.offset)
    if mode == "range":
        if len(order) != 1:
            raise SqlError(
                "42P20",
                "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column",
                position=tree.position,
            )
        wanted = _range_offset_type(level, order[0].expression.type, offset.type, at)
    else:
        wanted = 20
    found = coerce(state, offset, wanted, position=at)
    if found is None:
        raise SqlError(
            "42804",
            f"argument of {mode.upper()} must be type {state.type_name(wanted)}, not type "
            f"{state.type_name(offset.type)}",
            position=at,
        )
    if rels_used(found) & level.own_rels:
        raise SqlError(
            "42P10", f"argument of {mode.upper()} must not contain variables", position=at
        )
    return FrameBound(kind, found)


_RANGE_OFFSETS: Final = {
    21: (20, 23, 21), 23: (20, 23, 21), 20: (20,), 700: (701,), 701: (701,), 1700: (1700,),
    1082: (1186,), 1083: (1186,), 1114: (1186,), 1184: (1186,), 1186: (1186,), 1266: (1186,),
}  # fmt: skip
"""The types of offsets that go with an ORDER BY type, the preferred one first."""


def _range_offset_type(level: Level, oid: int, given: int, position: int) -> int:
    """The type that is added to a key of type `oid`; 0A000 where there is none."""
    state = level.state
    base = state.resolver.base(oid)
    wanted = _RANGE_OFFSETS.get(base, ())
    shown = state.type_name(oid)
    if not wanted:
        raise SqlError(
            "0A000",
            f"RANGE with offset PRECEDING/FOLLOWING is not supported for column type {shown}",
            position=position,
        )
    for each in wanted:
        if state.resolver.can_coerce(given, each, CastContext.IMPLICIT):
            return each
    raise SqlError(
        "0A000",
        f"RANGE with offset PRECEDING/FOLLOWING is not supported for column type {shown} and "
        f"offset type {state.type_name(given)}",
        hint="Cast the offset value to an appropriate type.",
        position=position,
    )
