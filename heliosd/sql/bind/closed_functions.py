"""EXECUTE on the functions behind operators and casts, where somebody has closed a built-in one.

Calls note their function when they are bound. Operators and casts are everywhere and their
functions nearly always everybody's: only while a REVOKE on a built-in function is in force is the
bound tree looked through for them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog.built_in_acl import is_open_function
from heliosd.sql.bound import Call, Cast, Privilege
from heliosd.types.facts import function_facts
from heliosd.types.registry import SqlCast, SqlOperator

if TYPE_CHECKING:
    from heliosd.sql.bind.state import BindState

_BOUND: Final = "heliosd.sql.bound"


def closed_functions(state: BindState, bound: Any) -> tuple[Privilege, ...]:
    """What a bound statement needs for its operators and casts."""
    catalog = state.catalog
    if catalog.overlay is None and not catalog.shared.state.closed_functions:
        return ()
    found: dict[int, None] = {}
    for node in _nodes(bound):
        target = node.cast if isinstance(node, Cast) else node.target
        if isinstance(target, SqlOperator | SqlCast) and target.function_oid:
            found[target.function_oid] = None
    facts = function_facts()
    return tuple(
        Privilege("function", oid, facts[oid].name, "EXECUTE", None, 0)
        for oid in found
        if oid in facts and not is_open_function(catalog, oid)
    )


def _nodes(value: Any) -> Iterator[Call | Cast]:
    """Every call and cast inside a bound tree."""
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, tuple):
            pending.extend(each)
            continue
        if isinstance(each, Call | Cast):
            yield each
        if dataclasses.is_dataclass(each) and type(each).__module__.startswith(_BOUND):
            pending.extend(getattr(each, field.name) for field in dataclasses.fields(each))
