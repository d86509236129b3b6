"""Type names as written -> (oid, typmod)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliosd.catalog.objects import PG_CATALOG_OID
from heliosd.errors import SqlError, not_supported
from heliosd.sql.tree.expressions import (
    ColumnRef,
    IntegerConstant,
    NumericConstant,
    OperatorCall,
    StringConstant,
)
from heliosd.types.oids import OIDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heliosd.catalog.lookup import Catalog
    from heliosd.sql.bind.state import BindState
    from heliosd.sql.tree.base import Expression, TypeName
    from heliosd.types.registry import TypeRegistry


def resolve_type(state: BindState, tree: TypeName) -> tuple[int, int]:
    """(oid, typmod); 42704 `type "x" does not exist`."""
    if not tree.modifiers and not tree.array_bounds and tree.names[0] == "pg_catalog":
        # The common case: integer, text and their like, already spelled by the parser.
        found = state.types.by_name.get(tree.names[-1])
        if found is not None:
            return found.oid, -1
    # What a view or a stored expression names was looked up by who made it.
    stored = state.views or tuple(state.scope.path) == (PG_CATALOG_OID,)
    role = 0 if stored else state.scope.role
    return resolve_type_name(state.catalog, state.types, state.scope.path, tree, role=role)


def resolve_type_name(
    catalog: Catalog, types: TypeRegistry, path: Iterable[int], tree: TypeName, *, role: int = 0
) -> tuple[int, int]:
    """As `resolve_type`, for callers without a binding: DDL, PREPARE.

    42501 for a schema that `role` may not use (0: do not ask).
    """
    name = tree.names[-1]
    shown = ".".join(tree.names)
    if tree.percent_type:
        raise not_supported("%TYPE", position=tree.position)
    schema = tree.names[-2] if len(tree.names) > 1 else None
    if schema is not None:
        namespace = catalog.schema(schema)
        if namespace is None:
            raise SqlError("3F000", f'schema "{schema}" does not exist', position=tree.position)
        if role and not catalog.may_use(role, namespace):
            raise SqlError(
                "42501", f"permission denied for schema {schema}", position=tree.position
            )
    oid = catalog.type_oid(schema, name, path)
    found = None if oid is None else types.by_oid.get(oid)
    if found is None:
        if name in OIDS and schema in (None, "pg_catalog"):
            raise not_supported(f"type {name}", position=tree.position)
        raise SqlError("42704", f'type "{shown}" does not exist', position=tree.position)
    typmod = -1
    if tree.modifiers:
        if found.typmod_in is None:
            raise SqlError(
                "42601",
                f'type modifier is not allowed for type "{shown}"',
                position=tree.position,
            )
        try:
            typmod = found.typmod_in(tuple(_modifier(each) for each in tree.modifiers))
        except SqlError as error:
            error.position = error.position or tree.position
            raise
    if tree.array_bounds:
        if found.is_array:
            return found.oid, typmod
        if not found.array_oid:
            raise SqlError(
                "42704",
                f"could not find array type for data type {found.display}",
                position=tree.position,
            )
        return found.array_oid, typmod
    return found.oid, typmod


def _modifier(tree: Expression) -> str:
    """A type modifier as text: numbers, quoted strings and bare words are allowed."""
    match tree:
        case IntegerConstant():
            return str(tree.value)
        case NumericConstant():
            return tree.text
        case StringConstant():
            return tree.value
        case ColumnRef(names=(word,)):
            return word
        case OperatorCall(operator=("-",), left=None, right=IntegerConstant() as number):
            return str(-number.value)
    raise SqlError(
        "42601",
        "type modifiers must be simple constants or identifiers",
        position=tree.position,
    )
