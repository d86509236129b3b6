"""Functions over values of any type: how many are NULL, as a literal, how large."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from heliosd.types.array import Array
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms
from heliosd.types.quoting import quote_literal
from heliosd.types.registry import CallTypes

forms: Final = Forms()


def _count(types: CallTypes, wanted: Callable[[Any], bool]) -> Callable[..., int | None]:
    if types.spread:

        def of_array(*values: Array | None) -> int | None:
            array = values[-1]
            return None if array is None else sum(map(wanted, array.elements))

        return of_array
    return lambda *values: sum(map(wanted, values))


@forms.specialized("num_nulls(any)")
def num_nulls(types: CallTypes) -> Callable[..., int | None]:
    """How many arguments are NULL."""
    return _count(types, lambda value: value is None)


@forms.specialized("num_nonnulls(any)")
def num_nonnulls(types: CallTypes) -> Callable[..., int | None]:
    """How many arguments are not NULL."""
    return _count(types, lambda value: value is not None)


@forms.specialized("quote_literal(anyelement)", needs_context=True)
def quote_literal_any(types: CallTypes) -> Callable[[EvalContext, Any], str]:
    """A value's text as a string literal."""
    show = types.arguments[0].output
    return lambda ctx, value: quote_literal(show(value, ctx))


@forms.specialized("quote_nullable(anyelement)", needs_context=True)
def quote_nullable_any(types: CallTypes) -> Callable[[EvalContext, Any], str]:
    """A value's text as a string literal, or NULL."""
    show = types.arguments[0].output
    return lambda ctx, value: "NULL" if value is None else quote_literal(show(value, ctx))


@forms.specialized("pg_column_size(any)", needs_context=True)
def pg_column_size(types: CallTypes) -> Callable[[EvalContext, Any], int]:
    """Bytes of a value: its fixed size, else its binary form with a header of four."""
    kind = types.arguments[0]
    if kind.size > 0:
        return lambda ctx, value: kind.size
    send = kind.send
    if send is None:
        return lambda ctx, value: len(kind.output(value, ctx).encode()) + 4
    return lambda ctx, value: len(send(value, ctx)) + 4
