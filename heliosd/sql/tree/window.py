"""ORDER BY items and window definitions."""

from __future__ import annotations

from enum import StrEnum

from heliosd.sql.tree.base import Expression, Node, node


class SortDirection(StrEnum):
    """ASC, DESC, USING, or nothing said."""

    DEFAULT = "default"
    ASC = "asc"
    DESC = "desc"
    USING = "using"


class NullsOrder(StrEnum):
    """NULLS FIRST, NULLS LAST, or nothing said."""

    DEFAULT = "default"
    FIRST = "first"
    LAST = "last"


@node
class SortBy(Node):
    """One ORDER BY item; `operator` is that of USING. Position: the expression's."""

    expression: Expression
    direction: SortDirection = SortDirection.DEFAULT
    nulls: NullsOrder = NullsOrder.DEFAULT
    operator: tuple[str, ...] | None = None


class FrameMode(StrEnum):
    """ROWS, RANGE or GROUPS."""

    ROWS = "rows"
    RANGE = "range"
    GROUPS = "groups"


class FrameBoundKind(StrEnum):
    """Where a window frame starts or ends."""

    UNBOUNDED_PRECEDING = "unbounded preceding"
    PRECEDING = "preceding"
    CURRENT_ROW = "current row"
    FOLLOWING = "following"
    UNBOUNDED_FOLLOWING = "unbounded following"


class FrameExclusion(StrEnum):
    """EXCLUDE ..."""

    NO_OTHERS = "no others"
    CURRENT_ROW = "current row"
    GROUP = "group"
    TIES = "ties"


@node
class FrameBound(Node):
    """One end of a frame; `offset` with PRECEDING and FOLLOWING."""

    kind: FrameBoundKind
    offset: Expression | None = None


@node
class Frame(Node):
    """A frame clause; a single bound means AND CURRENT ROW."""

    mode: FrameMode
    start: FrameBound
    end: FrameBound
    exclusion: FrameExclusion = FrameExclusion.NO_OTHERS


@node
class WindowDefinition(Node):
    """WINDOW name AS (...), OVER (...), or OVER name.

    `name`: the window's own name in a WINDOW clause; in OVER the bare name referred to (then
    everything else is empty). `reference`: the existing window named first in the parentheses.
    """

    name: str | None = None
    reference: str | None = None
    partition_by: tuple[Expression, ...] = ()
    order_by: tuple[SortBy, ...] = ()
    frame: Frame | None = None
