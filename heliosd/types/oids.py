"""The oids of built-in types by name: `OIDS["int4"]`; arrays have PostgreSQL's underscore."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from heliosd.types.facts import type_facts

OIDS: Final[Mapping[str, int]] = MappingProxyType(
    {name: fact.oid for name, fact in type_facts().items()}
)

FIRST_NORMAL_OID: Final = 16384
"""Objects that users make get ids from here on."""


def oid_of(name: str) -> int:
    """The oid of a built-in type named in a declaration; "" is 0 (no operand, no result)."""
    return OIDS[name] if name else 0
