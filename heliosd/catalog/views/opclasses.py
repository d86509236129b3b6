"""Operator classes: which one an index key of a type uses, as PostgreSQL numbers them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from heliosd.catalog.views.declare import fact_rows
from heliosd.types.oids import OIDS

if TYPE_CHECKING:
    from heliosd.types.registry import TypeRegistry

BTREE: Final = 403
_ANYARRAY_OPS: Final = 10000
_TEXT: Final = OIDS["text"]
_STAND_INS: Final[Mapping[int, int]] = MappingProxyType({OIDS["varchar"]: _TEXT})
"""Types that are indexed by the class of another one (binary-coercible)."""


@dataclass(frozen=True, slots=True)
class OpclassFact:
    """A row of pg_opclass."""

    oid: int
    method: int
    name: str
    family: int
    input_type: int
    default: bool
    key_type: int


@lru_cache(maxsize=1)
def opclass_facts() -> tuple[OpclassFact, ...]:
    """In order of oid."""
    return tuple(
        OpclassFact(
            int(row[0]),
            int(row[1]),
            row[2],
            int(row[3]),
            OIDS.get(row[4], 0),
            row[5] == "t",
            int(row[6]),
        )
        for row in fact_rows("opclasses")
    )


@lru_cache(maxsize=1)
def _by_type() -> Mapping[int, OpclassFact]:
    return MappingProxyType(
        {f.input_type: f for f in opclass_facts() if f.method == BTREE and f.default}
    )


def opclass_named(name: str) -> OpclassFact | None:
    """The btree class with this name."""
    return next((f for f in opclass_facts() if f.method == BTREE and f.name == name), None)


def default_opclass(types: TypeRegistry, type_oid: int) -> OpclassFact | None:
    """The btree class that an index key of this type gets; None when it has no order."""
    found = _by_type().get(_STAND_INS.get(type_oid, type_oid))
    if found is None:
        known = types.by_oid.get(type_oid)
        if known is not None and known.is_array:
            return next(f for f in opclass_facts() if f.oid == _ANYARRAY_OPS)
    return found
