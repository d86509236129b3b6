"""SQL values that catalog views share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog.acl import format_acl
from heliosd.types.array import Array, array_of

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog
    from heliosd.catalog.objects import Acl

BOOTSTRAP_XID: Final = 3
"""What xid columns show: rows of the catalog have no interesting age here."""

PG_CLASS: Final = 1259
PG_PROC: Final = 1255
PG_TYPE: Final = 1247
PG_NAMESPACE: Final = 2615
PG_CONSTRAINT: Final = 2606
PG_ATTRDEF: Final = 2604
PG_REWRITE: Final = 2618
PG_DATABASE: Final = 1262
PG_AUTHID: Final = 1260
PG_TABLESPACE: Final = 1213
PG_POLICY: Final = 3256


def array(items: Iterable[Any]) -> Array:
    """A one-dimensional array, `{}` when empty."""
    return array_of(items)


def vector(items: Iterable[int]) -> Array:
    """An int2vector or oidvector: subscripts from 0."""
    elements = tuple(items)
    return Array(elements, (len(elements),), (0,))


def acl_array(acl: Acl, catalog: Catalog) -> Array | None:
    """aclitem[], NULL while the defaults hold."""
    texts = format_acl(acl, catalog)
    return None if texts is None else array(texts)


def options_array(options: Iterable[tuple[str, str]]) -> Array | None:
    """`name=value` texts, NULL for none."""
    texts = [f"{name}={value}" for name, value in options]
    return array(texts) if texts else None
