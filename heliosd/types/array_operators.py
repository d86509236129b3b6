"""Operators of arrays: comparison, containment, concatenation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.array import Array
from heliosd.types.declare import Forms
from heliosd.types.registry import CallTypes, SqlType

forms: Final = Forms()
types: Final[tuple[SqlType, ...]] = ()

Key = Callable[[Any], Any]


def _itself(value: Any) -> Any:
    return value


def element_key(types_at_call: CallTypes, argument: int = 0) -> Key:
    """Equality of an array argument's elements as a Python key."""
    kind = types_at_call.arguments[argument]
    element = types_at_call.registry.by_oid[kind.element] if kind.element else kind
    return element.group_key() or _itself


def _keys(array: Array, key: Key) -> list[Any]:
    return [None if value is None else key(value) for value in array.elements]


# ------------------------------------------------------------ comparing


def _comparison(signature: str, decide: Callable[[Any, Any], bool]) -> None:
    def specialize(types: CallTypes) -> Callable[[Array, Array], bool]:
        key = types.arguments[0].sort_key
        assert key is not None
        return lambda left, right: decide(key(left), key(right))

    forms.specialized(signature)(specialize)


_comparison("array_eq(anyarray,anyarray)", lambda a, b: bool(a == b))
_comparison("array_ne(anyarray,anyarray)", lambda a, b: bool(a != b))
_comparison("array_lt(anyarray,anyarray)", lambda a, b: bool(a < b))
_comparison("array_gt(anyarray,anyarray)", lambda a, b: bool(a > b))
_comparison("array_le(anyarray,anyarray)", lambda a, b: bool(a <= b))
_comparison("array_ge(anyarray,anyarray)", lambda a, b: bool(a >= b))


@forms.specialized("arraycontains(anyarray,anyarray)")
def arraycontains(types: CallTypes) -> Callable[[Array, Array], bool]:
    """left @> right; a NULL is contained in nothing."""
    key = element_key(types)
    return lambda left, right: _covers(_keys(left, key), _keys(right, key))


@forms.specialized("arraycontained(anyarray,anyarray)")
def arraycontained(types: CallTypes) -> Callable[[Array, Array], bool]:
    """left <@ right."""
    key = element_key(types)
    return lambda left, right: _covers(_keys(right, key), _keys(left, key))


def _covers(whole: list[Any], part: list[Any]) -> bool:
    there = set(whole)
    return all(value is not None and value in there for value in part)


@forms.specialized("arrayoverlap(anyarray,anyarray)")
def arrayoverlap(types: CallTypes) -> Callable[[Array, Array], bool]:
    """left && right."""
    key = element_key(types)

    def compute(left: Array, right: Array) -> bool:
        there = {value for value in _keys(left, key) if value is not None}
        return any(value is not None and value in there for value in _keys(right, key))

    return compute


# ------------------------------------------------------------ building


def _incompatible(detail: str) -> SqlError:
    return SqlError("2202E", "cannot concatenate incompatible arrays", detail=detail)


def _shape(array: Array, skip: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return array.dimensions[skip:], array.lower_bounds[skip:]


@forms.function("array_cat(anycompatiblearray,anycompatiblearray)")
def array_cat(left: Array | None, right: Array | None) -> Array | None:
    """left || right; one may be an element of the other. 2202E."""
    if left is None or right is None:
        return right if left is None else left
    if not left.dimensions or not right.dimensions:
        return right if not left.dimensions else left
    deep, other = len(left.dimensions), len(right.dimensions)
    elements = left.elements + right.elements
    same = left.dimensions[1:] == right.dimensions[1:]
    if deep == other and same and left.lower_bounds[1:] == right.lower_bounds[1:]:
        length = left.dimensions[0] + right.dimensions[0]
        return Array(elements, (length, *left.dimensions[1:]), left.lower_bounds)
    if deep == other + 1 and _shape(left, 1) == _shape(right, 0):
        return Array(elements, (left.dimensions[0] + 1, *right.dimensions), left.lower_bounds)
    if other == deep + 1 and _shape(right, 1) == _shape(left, 0):
        return Array(elements, (right.dimensions[0] + 1, *left.dimensions), right.lower_bounds)
    if abs(deep - other) > 1:
        raise _incompatible(
            f"Arrays of {deep} and {other} dimensions are not compatible for concatenation."
        )
    raise _incompatible(
        "Arrays with differing element dimensions are not compatible for concatenation."
        if deep == other
        else "Arrays with differing dimensions are not compatible for concatenation."
    )


def _one_dimension(array: Array) -> None:
    if len(array.dimensions) > 1:
        raise SqlError("22000", "argument must be empty or one-dimensional array")


@forms.function("array_append(anycompatiblearray,anycompatible)")
def array_append(array: Array | None, value: Any) -> Array:
    """array || value; 22000."""
    if array is None or not array.dimensions:
        return Array((value,), (1,), (1,))
    _one_dimension(array)
    return Array((*array.elements, value), (len(array.elements) + 1,), array.lower_bounds)


@forms.function("array_prepend(anycompatible,anycompatiblearray)")
def array_prepend(value: Any, array: Array | None) -> Array:
    """value || array; 22000."""
    if array is None or not array.dimensions:
        return Array((value,), (1,), (1,))
    _one_dimension(array)
    return Array((value, *array.elements), (len(array.elements) + 1,), array.lower_bounds)
