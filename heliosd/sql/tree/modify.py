"""INSERT, UPDATE, DELETE and MERGE."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from heliosd.sql.tree.base import Expression, Node, Statement, node
from heliosd.sql.tree.expressions import Step
from heliosd.sql.tree.query import FromItem, Query, RangeVar, ResultTarget, WithClause
from heliosd.sql.tree.window import NullsOrder, SortDirection


class Overriding(StrEnum):
    """OVERRIDING ... VALUE, or nothing said."""

    DEFAULT = "default"
    USER = "user"
    SYSTEM = "system"


@node
class ColumnTarget(Node):
    """A column that is written to, perhaps only a field or an element of it."""

    name: str
    steps: tuple[Step, ...] = ()


@node
class Assignment(Node):
    """`targets = value` of SET; more than one target for `(a, b) = ...`."""

    targets: tuple[ColumnTarget, ...]
    value: Expression
    multiple: bool = False


@node
class IndexElement(Node):
    """One key of an index or conflict target: a column's `name` or an `expression`."""

    name: str | None
    expression: Expression | None
    collation: tuple[str, ...] | None = None
    operator_class: tuple[str, ...] | None = None
    operator_class_options: tuple[Node, ...] = ()
    direction: SortDirection = SortDirection.DEFAULT
    nulls: NullsOrder = NullsOrder.DEFAULT


@node
class ConflictTarget(Node):
    """What ON CONFLICT names: index elements (with WHERE) or a constraint."""

    elements: tuple[IndexElement, ...] = ()
    where: Expression | None = None
    constraint: str | None = None


@node
class OnConflict(Node):
    """ON CONFLICT [target] DO NOTHING (no `assignments`) or DO UPDATE SET ..."""

    target: ConflictTarget | None
    update: bool
    assignments: tuple[Assignment, ...] = ()
    where: Expression | None = None


@node
class Modification(Statement):
    """What the four statements share."""

    with_clause: WithClause | None = field(default=None, kw_only=True)
    returning: tuple[ResultTarget, ...] = field(default=(), kw_only=True)


@node
class Insert(Modification):
    """INSERT; `query` None is DEFAULT VALUES; `columns` None: not written."""

    relation: RangeVar
    columns: tuple[ColumnTarget, ...] | None
    query: Query | None
    overriding: Overriding = Overriding.DEFAULT
    on_conflict: OnConflict | None = None


@node
class Update(Modification):
    """UPDATE relation SET assignments FROM from_items WHERE where."""

    relation: RangeVar
    assignments: tuple[Assignment, ...]
    from_items: tuple[FromItem, ...] = ()
    where: Expression | None = None


@node
class Delete(Modification):
    """DELETE FROM relation USING using WHERE where."""

    relation: RangeVar
    using: tuple[FromItem, ...] = ()
    where: Expression | None = None


class MergeAction(StrEnum):
    """What a WHEN clause does."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    NOTHING = "do nothing"


@node
class MergeWhen(Node):
    """WHEN [NOT] MATCHED [AND condition] THEN action.

    For INSERT, `values` None is DEFAULT VALUES.
    """

    matched: bool
    condition: Expression | None
    action: MergeAction
    columns: tuple[ColumnTarget, ...] | None = None
    values: tuple[Expression, ...] | None = None
    overriding: Overriding = Overriding.DEFAULT
    assignments: tuple[Assignment, ...] = ()


@node
class Merge(Modification):
    """MERGE INTO relation USING source ON condition WHEN ..."""

    relation: RangeVar
    source: FromItem
    on: Expression
    whens: tuple[MergeWhen, ...]
