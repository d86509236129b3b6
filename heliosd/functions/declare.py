"""How a module declares aggregates and window functions; facts come by signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from heliosd.functions.registry import (
    AggregateForm,
    InlineAggregate,
    SqlAggregate,
    SqlWindowFunction,
    WindowPartition,
)
from heliosd.types.facts import FunctionFact, function_facts
from heliosd.types.oids import OIDS, oid_of
from heliosd.types.registry import CallTypes, Value


@lru_cache(maxsize=1)
def facts_by_signature() -> Mapping[tuple[str, str], FunctionFact]:
    """(kind, signature) -> fact; `rank()` is a window function and an aggregate."""
    return MappingProxyType({(f.kind, f.signature): f for f in function_facts().values()})


def aggregate(
    signature: str,
    form: AggregateForm | None = None,
    *,
    inline: InlineAggregate | None = None,
    specialize: Callable[[CallTypes], AggregateForm] | None = None,
    strict: bool = True,
    empty: Value = None,
    **more: Any,
) -> SqlAggregate:
    """A built-in aggregate; `strict` False for those that see NULLs."""
    fact = facts_by_signature()["a", signature]
    return SqlAggregate(
        name=fact.name,
        oid=fact.oid,
        arguments=tuple(OIDS[name] for name in fact.arguments),
        result=oid_of(fact.result),
        form=form,
        specialize=specialize,
        inline=inline,
        strict=strict,
        arity=fact.aggregate_kind,
        direct=fact.direct,
        variadic=fact.variadic,
        empty=empty,
        argument_names=fact.argument_names,
        **more,
    )


def window_function(
    signature: str,
    compute: Callable[[WindowPartition], list[Value]],
    *,
    uses_frame: bool = False,
) -> SqlWindowFunction:
    """A built-in window function."""
    fact = facts_by_signature()["w", signature]
    return SqlWindowFunction(
        name=fact.name,
        oid=fact.oid,
        arguments=tuple(OIDS[name] for name in fact.arguments),
        result=oid_of(fact.result),
        compute=compute,
        uses_frame=uses_frame,
        defaults=fact.defaults,
        argument_names=fact.argument_names,
        variadic=fact.variadic,
    )
