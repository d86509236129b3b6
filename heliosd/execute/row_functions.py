"""What generated code calls for expressions that are more than a template: arrays, rows, ANY.

The functions that take a `function` call it as `function(ctx, params, state, *values)`: it is a
function of the same row program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.array import Array

OPEN: Final = object()
"""A bound that a slice leaves out."""


def map_array(
    function: Callable[..., Any], ctx: Any, params: Any, state: Any, array: Array
) -> Array:
    """The array with every element converted; NULL elements too, so that domains can refuse."""
    return Array(
        tuple(function(ctx, params, state, e) for e in array.elements),
        array.dimensions,
        array.lower_bounds,
    )


def make_array(elements: tuple[Any, ...]) -> Array:
    """`ARRAY[a, b]`."""
    if not elements:
        return Array((), (), ())
    return Array(elements, (len(elements),), (1,))


def nest_arrays(parts: tuple[Array | None, ...]) -> Array:
    """`ARRAY[array, array]`: one dimension more; 2202E when the parts differ in shape."""
    known = [p for p in parts if p is not None and p.elements]
    if not known:
        return Array((), (), ())
    first = known[0]
    if len(known) != len(parts) or any(p.dimensions != first.dimensions for p in known):
        raise SqlError(
            "2202E",
            "multidimensional arrays must have array expressions with matching dimensions",
        )
    elements = tuple(e for p in known for e in p.elements)
    return Array(elements, (len(parts), *first.dimensions), (1, *first.lower_bounds))


def subscript(array: Array, subscripts: tuple[int, ...]) -> Any:
    """`array[i][j]`: None out of bounds or with the wrong number of subscripts."""
    if len(subscripts) != len(array.dimensions):
        return None
    at = 0
    for index, length, low in zip(subscripts, array.dimensions, array.lower_bounds, strict=True):
        if not 0 <= index - low < length:
            return None
        at = at * length + index - low
    return array.elements[at]


def array_slice(array: Array | None, bounds: tuple[tuple[Any, Any], ...]) -> Array | None:
    """`array[l:u]...`; a NULL bound makes it NULL, an empty overlap an empty array."""
    if array is None or any(b is None for pair in bounds for b in pair):
        return None
    if len(bounds) > len(array.dimensions):
        return Array((), (), ())
    ranges: list[range] = []
    start: Any
    stop: Any
    for number, (length, low) in enumerate(zip(array.dimensions, array.lower_bounds, strict=True)):
        start, stop = bounds[number] if number < len(bounds) else (OPEN, OPEN)
        first = low if start is OPEN else max(low, start)
        last = low + length - 1 if stop is OPEN else min(low + length - 1, stop)
        if last < first:
            return Array((), (), ())
        ranges.append(range(first - low, last - low + 1))
    positions = [0]
    for span, length in zip(ranges, array.dimensions, strict=True):
        positions = [at * length + i for at in positions for i in span]
    return Array(
        tuple(array.elements[at] for at in positions),
        tuple(len(span) for span in ranges),
        (1,) * len(ranges),
    )


def equals_any(value: Any, array: Array) -> bool | None:
    """`value = ANY (array)` for types that Python compares as SQL does."""
    if value is None:
        return None if array.elements else False
    if value in array.elements:
        return True
    return None if None in array.elements else False


def any_test(
    function: Callable[..., Any], ctx: Any, params: Any, state: Any, value: Any, array: Array
) -> bool | None:
    """`value operator ANY (array)`, the operator being `function`."""
    if value is None:
        return None if array.elements else False
    unknown = False
    for element in array.elements:
        found = None if element is None else function(ctx, params, state, value, element)
        if found:
            return True
        unknown |= found is None
    return None if unknown else False


def all_test(
    function: Callable[..., Any], ctx: Any, params: Any, state: Any, value: Any, array: Array
) -> bool | None:
    """`value operator ALL (array)`."""
    if value is None:
        return None if array.elements else True
    unknown = False
    for element in array.elements:
        found = None if element is None else function(ctx, params, state, value, element)
        if found is False:
            return False
        unknown |= found is None
    return None if unknown else True


def greatest(
    less: Callable[..., Any], ctx: Any, params: Any, state: Any, values: Sequence[Any]
) -> Any:
    """GREATEST: NULLs are passed over."""
    best = None
    for value in values:
        if value is not None and (best is None or less(ctx, params, state, best, value)):
            best = value
    return best


def least(
    less: Callable[..., Any], ctx: Any, params: Any, state: Any, values: Sequence[Any]
) -> Any:
    """LEAST: NULLs are passed over."""
    best = None
    for value in values:
        if value is not None and (best is None or less(ctx, params, state, value, best)):
            best = value
    return best


def row_is_null(row: tuple[Any, ...] | None) -> bool:
    """`ROW(...) IS NULL`: every field is."""
    return row is None or all(field is None for field in row)


def row_is_not_null(row: tuple[Any, ...] | None) -> bool:
    """`ROW(...) IS NOT NULL`: no field is."""
    return row is not None and all(field is not None for field in row)


_DAY_US: Final = 86_400_000_000


def _local_us(ctx: Any) -> int:
    """The transaction's time on the session's clock, as a timestamp."""
    now: int = ctx.transaction_us
    return now + int(ctx.styles.zone.offset_at(now)) * 1_000_000


SESSION_VALUES: Final[Mapping[str, Callable[[Any], Any]]] = MappingProxyType(
    {
        "current_date": lambda ctx: _local_us(ctx) // _DAY_US,
        "current_time": lambda ctx: (
            _local_us(ctx) % _DAY_US,
            (ctx.transaction_us - _local_us(ctx)) // 1_000_000,
        ),
        "current_timestamp": lambda ctx: ctx.transaction_us,
        "localtime": lambda ctx: _local_us(ctx) % _DAY_US,
        "localtimestamp": _local_us,
        "current_role": lambda ctx: ctx.current_role,
        "current_user": lambda ctx: ctx.current_role,
        "user": lambda ctx: ctx.current_role,
        "session_user": lambda ctx: ctx.session_role,
        "current_catalog": lambda ctx: ctx.database,
        "current_schema": lambda ctx: next(iter(ctx.catalog.search_path(implicit=False)), None),
    }
)
