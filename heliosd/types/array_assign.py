"""What `SET column[i] = value` and `SET column[l:u] = value` make of an array."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.array import DIMENSIONS_MAX, EMPTY, Array

SIZE_MAX: Final = 134217727
Bound = int | None


def set_element(array: Array | None, value: Any, *subscripts: int | None) -> Array:
    """`array` with one element replaced; one dimension grows as needed, NULLs in between.

    22004 for a NULL subscript, 2202E for one that does not fit.
    """
    places = _checked(subscripts)
    array = EMPTY if array is None else array
    if not array.dimensions:
        return Array((value,), (1,) * len(places), places)
    if len(places) != len(array.dimensions):
        raise SqlError("2202E", "wrong number of array subscripts")
    if len(places) == 1:
        return _spliced(array, places[0], (value,))
    at = 0
    for place, size, low in zip(places, array.dimensions, array.lower_bounds, strict=True):
        if not low <= place < low + size:
            raise SqlError("2202E", "array subscript out of range")
        at = at * size + place - low
    elements = (*array.elements[:at], value, *array.elements[at + 1 :])
    return Array(elements, array.dimensions, array.lower_bounds)


def set_slice(
    given: Sequence[tuple[bool, bool]],
    array: Array | None,
    value: Array | None,
    *bounds: int | None,
) -> Array | None:
    """`array` with a slice replaced by `value`'s elements; NULL changes nothing.

    `bounds` are the lower and upper ones in turn, `given` says which were written. 22004, 2202E.
    """
    if value is None:
        return array
    array = EMPTY if array is None else array
    pairs = _pairs(given, bounds)
    if not array.dimensions:
        return _first_slice(pairs, value)
    if len(array.dimensions) < len(pairs):
        raise SqlError("2202E", "wrong number of array subscripts")
    filled: list[tuple[int, int]] = []
    for number, (length, low) in enumerate(zip(array.dimensions, array.lower_bounds, strict=True)):
        first, last = pairs[number] if number < len(pairs) else (None, None)
        start = low if first is None else first
        stop = low + length - 1 if last is None else last
        if start > stop and number < len(pairs):
            raise SqlError("2202E", "upper bound cannot be less than lower bound")
        filled.append((start, stop))
    wanted = prod(stop - start + 1 for start, stop in filled)
    if len(value.elements) < wanted:
        raise SqlError("2202E", "source array too small")
    if len(filled) == 1:
        return _spliced(array, filled[0][0], value.elements[:wanted])
    return _placed(array, filled, value.elements)


def _pairs(
    given: Sequence[tuple[bool, bool]], bounds: Sequence[int | None]
) -> list[tuple[Bound, Bound]]:
    found: list[tuple[Bound, Bound]] = []
    for number, (low_given, high_given) in enumerate(given):
        low, high = bounds[2 * number], bounds[2 * number + 1]
        if (low_given and low is None) or (high_given and high is None):
            raise _null_subscript()
        found.append((low, high))
    return found


def _first_slice(pairs: list[tuple[Bound, Bound]], value: Array) -> Array:
    """A slice of an empty array: it says how large the array gets."""
    lows: list[int] = []
    sizes: list[int] = []
    for low, high in pairs:
        if low is None or high is None:
            raise SqlError(
                "2202E",
                "array slice subscript must provide both boundaries",
                detail="When assigning to a slice of an empty array value, slice boundaries must "
                "be fully specified.",
            )
        if high < low:
            raise SqlError("2202E", "upper bound cannot be less than lower bound")
        lows.append(low)
        sizes.append(high - low + 1)
    wanted = prod(sizes)
    if wanted > SIZE_MAX:
        raise SqlError("54000", f"array size exceeds the maximum allowed ({SIZE_MAX})")
    if len(value.elements) < wanted:
        raise SqlError("2202E", "source array too small")
    return Array(value.elements[:wanted], tuple(sizes), tuple(lows))


def _placed(array: Array, filled: list[tuple[int, int]], values: tuple[Any, ...]) -> Array:
    """Several dimensions: nothing grows."""
    spans: list[range] = []
    for (start, stop), size, low in zip(filled, array.dimensions, array.lower_bounds, strict=True):
        if start < low or stop >= low + size:
            raise SqlError("2202E", "array subscript out of range")
        spans.append(range(start - low, stop - low + 1))
    elements = list(array.elements)
    for places, value in zip(product(*spans), values, strict=False):
        at = 0
        for place, size in zip(places, array.dimensions, strict=True):
            at = at * size + place
        elements[at] = value
    return Array(tuple(elements), array.dimensions, array.lower_bounds)


def _checked(subscripts: tuple[int | None, ...]) -> tuple[int, ...]:
    found = tuple(each for each in subscripts if each is not None)
    if len(found) != len(subscripts):
        raise _null_subscript()
    return found


def _null_subscript() -> SqlError:
    return SqlError("22004", "array subscript in assignment must not be null")


def _spliced(array: Array, first: int, values: tuple[Any, ...]) -> Array:
    """A one-dimensional array with `values` from place `first` on."""
    low = array.lower_bounds[0]
    size = array.dimensions[0]
    start, end = min(low, first), max(low + size, first + len(values))
    if end - start > SIZE_MAX:
        raise SqlError("54000", f"array size exceeds the maximum allowed ({SIZE_MAX})")
    elements = [None] * (end - start)
    elements[low - start : low - start + size] = array.elements
    elements[first - start : first - start + len(values)] = values
    return Array(tuple(elements), (end - start,), (start,))


def too_many_dimensions(count: int) -> SqlError:
    """54000."""
    return SqlError(
        "54000",
        f"number of array dimensions ({count}) exceeds the maximum allowed ({DIMENSIONS_MAX})",
    )
