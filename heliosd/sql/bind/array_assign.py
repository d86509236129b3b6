"""`SET column[i] = value` and `SET column[l:u] = value`: a new array made from the old one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from heliosd.errors import SqlError, not_supported
from heliosd.functions.registry import SqlFunction
from heliosd.sql.bind.coerce import assign, coerce, location
from heliosd.sql.bind.resolve import ANY, ANYARRAY
from heliosd.sql.bind.state import Level
from heliosd.sql.bound import Call, CastForm, Expr
from heliosd.sql.tree.expressions import SliceStep, SubscriptStep
from heliosd.types.array import EMPTY, Array

if TYPE_CHECKING:
    from heliosd.catalog.objects import Column
    from heliosd.sql.tree.base import Expression
    from heliosd.sql.tree.modify import ColumnTarget

INT4: Final = 23


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
    array: Array | None, value: Array | None, low: int | None, high: int | None
) -> Array | None:
    """`array` with the elements `low` to `high` replaced by `value`'s; NULL changes nothing."""
    if value is None:
        return array
    first, last = _checked((low, high))
    array = EMPTY if array is None else array
    if len(array.dimensions) > 1:
        raise not_supported("assignment to a slice of several dimensions")
    if last < first:
        raise SqlError("2202E", "upper bound cannot be less than lower bound")
    count = last - first + 1
    if len(value.elements) < count:
        raise SqlError("2202E", "source array too small")
    return _spliced(array, first, value.elements[:count])


def _checked(subscripts: tuple[int | None, ...]) -> tuple[int, ...]:
    found = tuple(each for each in subscripts if each is not None)
    if len(found) != len(subscripts):
        raise SqlError("22004", "array subscript in assignment must not be null")
    return found


def _spliced(array: Array, first: int, values: tuple[Any, ...]) -> Array:
    """A one-dimensional array with `values` from place `first` on."""
    low = array.lower_bounds[0] if array.dimensions else first
    size = array.dimensions[0] if array.dimensions else 0
    start, end = min(low, first), max(low + size, first + len(values))
    if end - start > _SIZE_MAX:
        raise SqlError("54000", f"array size exceeds the maximum allowed ({_SIZE_MAX})")
    elements = [None] * (end - start)
    elements[low - start : low - start + size] = array.elements
    elements[first - start : first - start + len(values)] = values
    return Array(tuple(elements), (end - start,), (start,))


_SIZE_MAX: Final = 134217727

ELEMENT: Final = SqlFunction(
    "array_set_element", 0, (ANYARRAY, ANY), ANYARRAY, row=set_element, strict=False
)
SLICE: Final = SqlFunction(
    "array_set_slice", 0, (ANYARRAY, ANYARRAY, INT4, INT4), ANYARRAY, row=set_slice, strict=False
)


def assign_part(
    level: Level, column: Column, old: Expr, target: ColumnTarget, source: Expression
) -> Expr:
    """The column's new value; 42804 when it is no array or the value does not fit."""
    state = level.state
    element = state.resolver.element(column.type_oid)
    steps = target.steps
    if not element:
        raise SqlError(
            "42804",
            f"cannot subscript type {state.type_name(column.type_oid)} because it does not "
            "support subscripting",
            position=target.position,
        )
    value = level.expression(source)
    at = location(source)
    if len(steps) == 1 and isinstance(steps[0], SliceStep):
        step = steps[0]
        if step.low is None or step.high is None:
            raise not_supported("assignment to an open slice", position=target.position)
        fitted = assign(state, value, column.type_oid, -1, column.name, at)
        bounds = (_subscript(level, step.low), _subscript(level, step.high))
        return Call(SLICE, (old, fitted, *bounds), column.type_oid, column.typmod)
    subscripts: list[Expr] = []
    for each in steps:
        if not isinstance(each, SubscriptStep):
            raise not_supported(
                "assignment to a field or a mixed slice of a column", position=target.position
            )
        subscripts.append(_subscript(level, each.index))
    fitted = assign(state, value, element, column.typmod, column.name, at)
    return Call(ELEMENT, (old, fitted, *subscripts), column.type_oid, column.typmod)


def _subscript(level: Level, tree: Expression) -> Expr:
    at = location(tree)
    found = coerce(level.state, level.expression(tree), INT4, form=CastForm.ASSIGNMENT, position=at)
    if found is None:
        raise SqlError("42804", "array subscript must have type integer", position=at)
    return found
