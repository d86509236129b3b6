"""The decorator of the bound tree's node classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def node(cls: type[T]) -> type[T]:
    """Make `cls` a bound node: slots, equality and hash by content.

    mypy takes nodes for frozen dataclasses. At run time they are plain ones, as in the syntax
    tree: a frozen dataclass writes each field through `object.__setattr__`, three times the cost.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(field,))
def identity_node(cls: type[T]) -> type[T]:
    """As `node`, with the class's own equality and hash."""
    return dataclass(slots=True, eq=False)(cls)
