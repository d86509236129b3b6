"""Expressions that a utility statement evaluates once: arguments of EXECUTE, new defaults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from heliosd.errors import SqlError
from heliosd.sql.tree.base import Expression, TypeName
from heliosd.sql.tree.expressions import TypeCast
from heliosd.sql.tree.query import ResultTarget, Select

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.execute.program import Row


def type_name(session: SessionServices, oid: int) -> TypeName:
    """A syntax tree that means this type."""
    known = session.catalog.types.by_oid.get(oid)
    if known is None:
        raise SqlError("0A000", f"type with OID {oid} is not supported")
    schema = session.catalog.type_schema(oid)
    return TypeName(0, (schema, known.name))


def evaluate_as(
    session: SessionServices, expressions: Sequence[Expression], types: Sequence[int]
) -> Row:
    """The values of expressions without columns, cast to these types (0: as they are)."""
    if not expressions:
        return ()
    targets = tuple(
        ResultTarget(0, TypeCast(0, each, type_name(session, oid)) if oid else each)
        for each, oid in zip(expressions, types, strict=True)
    )
    program = session.prepare(Select(0, targets))
    assert program.rows is not None
    for batch in program.rows(session.context, ()):
        for row in batch:
            return row
    raise SqlError("XX000", "an expression without a row")
