"""Aggregates of ranges and multiranges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from heliosd.functions.declare import aggregate
from heliosd.functions.registry import AggregateForm, SqlAggregate
from heliosd.types.declare import Forms
from heliosd.types.multirange import Multirange, multirange_of
from heliosd.types.range import Range
from heliosd.types.range_operators import intersection, ops_at
from heliosd.types.registry import CallTypes

forms: Final = Forms()


def _collect(state: list[Range], value: Range | Multirange) -> list[Range]:
    if isinstance(value, Multirange):
        state.extend(value)
    else:
        state.append(value)
    return state


def _union(call: CallTypes) -> AggregateForm:
    """Everything that any of them includes."""
    ops = ops_at(call)

    def final(state: list[Range] | None) -> Multirange | None:
        return None if state is None else multirange_of(ops, state)

    def step(state: list[Range] | None, value: Any) -> list[Range]:
        return _collect([] if state is None else state, value)

    return AggregateForm(lambda: None, step, final)


def _common(combine: Callable[[CallTypes], Callable[[Any, Any], Any]]) -> Any:
    """What all of them include."""

    def specialize(call: CallTypes) -> AggregateForm:
        both = combine(call)

        def step(state: Any, value: Any) -> Any:
            return value if state is None else both(state, value)

        return AggregateForm(lambda: None, step, lambda state: state)

    return specialize


def _intersection(call: CallTypes) -> Callable[[Multirange, Multirange], Multirange]:
    ops = ops_at(call)
    return lambda left, right: intersection(ops, left, right)


def _aggregates() -> Iterator[SqlAggregate]:
    yield aggregate("range_agg(anyrange)", specialize=_union)
    yield aggregate("range_agg(anymultirange)", specialize=_union)
    yield aggregate(
        "range_intersect_agg(anyrange)", specialize=_common(lambda call: ops_at(call).intersect)
    )
    yield aggregate("range_intersect_agg(anymultirange)", specialize=_common(_intersection))


aggregates: Final = tuple(_aggregates())
