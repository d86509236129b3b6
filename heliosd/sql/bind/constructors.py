"""The functions that come with a range type made by CREATE TYPE: they are called as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heliosd.functions.registry import SqlFunction
from heliosd.types.multirange import EMPTY_MULTIRANGE, MultirangeType, multirange_of
from heliosd.types.oids import FIRST_NORMAL_OID
from heliosd.types.range import RangeType
from heliosd.types.range_operators import construct, construct_multirange

if TYPE_CHECKING:
    from heliosd.sql.bind.state import BindState

TEXT: Final = 25


def range_constructors(state: BindState, name: tuple[str, ...]) -> tuple[SqlFunction, ...]:
    """`floatrange(a, b [, flags])`, `floatmultirange(...)`; () when no range type is called so."""
    schema = name[-2] if len(name) > 1 else None
    oid = state.catalog.type_oid(schema, name[-1], state.scope.path)
    if oid is None or oid < FIRST_NORMAL_OID:
        return ()
    kind = state.types.by_oid.get(oid)
    if isinstance(kind, RangeType):
        return _of_range(kind)
    return _of_multirange(kind) if isinstance(kind, MultirangeType) else ()


def _of_range(kind: RangeType) -> tuple[SqlFunction, ...]:
    subtype = kind.ops.subtype.oid
    row = construct(kind.ops)
    return (
        SqlFunction(kind.name, 0, (subtype, subtype), kind.oid, row, strict=False),
        SqlFunction(kind.name, 0, (subtype, subtype, TEXT), kind.oid, row, strict=False),
    )


def _of_multirange(kind: MultirangeType) -> tuple[SqlFunction, ...]:
    ops, each = kind.ops, kind.base
    assert each is not None
    return (
        SqlFunction(kind.name, 0, (), kind.oid, lambda: EMPTY_MULTIRANGE),
        SqlFunction(kind.name, 0, (each.oid,), kind.oid, lambda r: multirange_of(ops, (r,))),
        SqlFunction(
            kind.name,
            0,
            (each.array_oid,),
            kind.oid,
            construct_multirange(ops),
            variadic=each.oid,
        ),
    )
