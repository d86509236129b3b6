"""The chapter "Array Functions and Operators"."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.functions.declare import aggregate
from heliosd.functions.registry import AggregateForm, SqlAggregate
from heliosd.functions.string import split_text
from heliosd.types.array import EMPTY, Array, array_of
from heliosd.types.array_operators import Key, element_key
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms
from heliosd.types.pattern import compiled, find_all, split_by
from heliosd.types.registry import CallTypes

forms: Final = Forms()


@forms.specialized("width_bucket(anycompatible,anycompatiblearray)")
def width_bucket_array(types: CallTypes) -> Callable[[Any, Array], int]:
    """How many of the sorted thresholds a value has reached; 2202E, 22004."""
    key = types.arguments[0].order_key() or (lambda value: value)

    def compute(value: Any, thresholds: Array) -> int:
        if len(thresholds.dimensions) > 1:
            raise SqlError("2202E", "thresholds must be one-dimensional array")
        if None in thresholds.elements:
            raise SqlError("22004", "thresholds array must not contain NULLs")
        return bisect_right([key(item) for item in thresholds.elements], key(value))

    return compute


# ------------------------------------------------------------ facts about an array


@forms.function("array_ndims(anyarray)")
def array_ndims(array: Array) -> int | None:
    """How many dimensions; NULL of the empty array."""
    return len(array.dimensions) or None


@forms.function("array_dims(anyarray)")
def array_dims(array: Array) -> str | None:
    """[1:2][1:3]."""
    shown = (
        f"[{low}:{low + length - 1}]"
        for low, length in zip(array.lower_bounds, array.dimensions, strict=True)
    )
    return "".join(shown) or None


@forms.function("array_length(anyarray,int4)")
def array_length(array: Array, dimension: int) -> int | None:
    """NULL for a dimension that is not there."""
    return array.dimensions[dimension - 1] if 0 < dimension <= len(array.dimensions) else None


@forms.function("array_lower(anyarray,int4)")
def array_lower(array: Array, dimension: int) -> int | None:
    """NULL for a dimension that is not there."""
    return array.lower_bounds[dimension - 1] if 0 < dimension <= len(array.dimensions) else None


@forms.function("array_upper(anyarray,int4)")
def array_upper(array: Array, dimension: int) -> int | None:
    """NULL for a dimension that is not there."""
    if not 0 < dimension <= len(array.dimensions):
        return None
    return array.lower_bounds[dimension - 1] + array.dimensions[dimension - 1] - 1


@forms.function("cardinality(anyarray)")
def cardinality(array: Array) -> int:
    """Elements of all dimensions."""
    return len(array.elements)


# ------------------------------------------------------------ removing and finding


def _same_key(key: Key, wanted: Any) -> Callable[[Any], bool]:
    if wanted is None:
        return lambda value: value is None
    target = key(wanted)
    return lambda value: value is not None and bool(key(value) == target)


@forms.specialized("array_remove(anycompatiblearray,anycompatible)")
def array_remove(types: CallTypes) -> Callable[..., Array | None]:
    """Without the elements equal to a value; 0A000 beyond one dimension."""
    key = element_key(types)

    def compute(array: Array | None, value: Any) -> Array | None:
        if array is None:
            return None
        if len(array.dimensions) > 1:
            raise SqlError(
                "0A000", "removing elements from multidimensional arrays is not supported"
            )
        same = _same_key(key, value)
        kept = tuple(item for item in array.elements if not same(item))
        return Array(kept, (len(kept),), array.lower_bounds) if kept else EMPTY

    return compute


@forms.specialized("array_replace(anycompatiblearray,anycompatible,anycompatible)")
def array_replace(types: CallTypes) -> Callable[..., Array | None]:
    """Each element equal to a value by another."""
    key = element_key(types)

    def compute(array: Array | None, value: Any, new: Any) -> Array | None:
        if array is None:
            return None
        same = _same_key(key, value)
        elements = tuple(new if same(item) else item for item in array.elements)
        return Array(elements, array.dimensions, array.lower_bounds)

    return compute


def _positions(array: Array, same: Callable[[Any], bool], start: int) -> Iterator[int]:
    low = array.lower_bounds[0] if array.lower_bounds else 1
    for place, value in enumerate(array.elements, low):
        if place >= start and same(value):
            yield place


def _search(types: CallTypes) -> Callable[..., int | None]:
    key = element_key(types)

    def compute(array: Array | None, value: Any, start: int | None = -(2**31)) -> int | None:
        if array is None:
            return None
        if len(array.dimensions) > 1:
            raise SqlError(
                "0A000", "searching for elements in multidimensional arrays is not supported"
            )
        if start is None:
            raise SqlError("22004", "initial position must not be null")
        return next(_positions(array, _same_key(key, value), start), None)

    return compute


forms.specialized(
    "array_position(anycompatiblearray,anycompatible)",
    "array_position(anycompatiblearray,anycompatible,int4)",
)(_search)


@forms.specialized("array_positions(anycompatiblearray,anycompatible)")
def array_positions(types: CallTypes) -> Callable[..., Array | None]:
    """All places of a value."""
    key = element_key(types)

    def compute(array: Array | None, value: Any) -> Array | None:
        if array is None:
            return None
        if len(array.dimensions) > 1:
            raise SqlError(
                "0A000", "searching for elements in multidimensional arrays is not supported"
            )
        return array_of(_positions(array, _same_key(key, value), -(2**31)))

    return compute


def _filled(value: Any, lengths: Array, lows: Array | None) -> Array:
    if any(n is None for n in lengths.elements):
        raise SqlError("22004", "dimension values cannot be null")
    if any(n < 0 for n in lengths.elements):
        raise SqlError("54000", "array size exceeds the maximum allowed (134217727)")
    if len(lengths.elements) > 6:
        raise SqlError(
            "54000",
            f"number of array dimensions ({len(lengths.elements)}) exceeds the maximum allowed (6)",
        )
    total = 1
    for length in lengths.elements:
        total *= length
    if total > 134_217_727:
        raise SqlError("54000", "array size exceeds the maximum allowed (134217727)")
    if not total or not lengths.elements:
        return EMPTY
    bounds = (1,) * len(lengths.elements) if lows is None else lows.elements
    if len(bounds) != len(lengths.elements):
        raise SqlError(
            "2202E",
            "wrong number of array subscripts",
            detail="Low bound array has different size than dimensions array.",
        )
    return Array((value,) * total, lengths.elements, bounds)


@forms.function("array_fill(anyelement,_int4)")
def array_fill_from_one(value: Any, lengths: Array | None) -> Array:
    """One value everywhere; 22004, 2202E, 54000."""
    return array_fill(value, lengths, EMPTY)


@forms.function("array_fill(anyelement,_int4,_int4)")
def array_fill(value: Any, lengths: Array | None, lows: Array | None) -> Array:
    """One value everywhere; 22004, 2202E, 54000."""
    if lengths is None or lows is None:
        raise SqlError("22004", "dimension array or low bound array cannot be null")
    for shape in (lengths, lows):
        if len(shape.dimensions) > 1:
            raise SqlError(
                "2202E",
                "wrong number of array subscripts",
                detail="Dimension array must be one dimensional.",
            )
    return _filled(value, lengths, None if lows is EMPTY else lows)


@forms.function("trim_array(anyarray,int4)")
def trim_array(array: Array, count: int) -> Array:
    """Without the last elements of the first dimension; 2202E."""
    length = array.dimensions[0] if array.dimensions else 0
    if not 0 <= count <= length:
        raise SqlError("2202E", f"number of elements to trim must be between 0 and {length}")
    if count == length:
        return EMPTY
    each = len(array.elements) // length
    kept = array.elements[: each * (length - count)]
    return Array(kept, (length - count, *array.dimensions[1:]), (1,) * len(array.dimensions))


# ------------------------------------------------------------ text


@forms.function("string_to_array(text,text)", "string_to_array(text,text,text)")
def string_to_array(
    value: str | None, delimiter: str | None, null_text: str | None = None
) -> Array | None:
    """The parts between delimiters; `null_text` reads as NULL."""
    if value is None:
        return None
    parts = split_text(value, delimiter)
    return array_of(None if part == null_text else part for part in parts)


def _joiner(types: CallTypes) -> Callable[..., str | None]:
    element = types.registry.by_oid[types.arguments[0].element]

    def compute(
        ctx: EvalContext, array: Array | None, delimiter: str | None, null_text: str | None = None
    ) -> str | None:
        if array is None or delimiter is None:
            return None
        texts = (
            null_text if value is None else element.output(value, ctx) for value in array.elements
        )
        return delimiter.join(text for text in texts if text is not None)

    return compute


forms.specialized(
    "array_to_string(anyarray,text)", "array_to_string(anyarray,text,text)", needs_context=True
)(_joiner)


@forms.function("regexp_split_to_array(text,text)", "regexp_split_to_array(text,text,text)")
def regexp_split_to_array(text: str, pattern: str, letters: str = "") -> Array:
    """The parts between matches; 2201B."""
    return array_of(split_by(text, pattern, letters, "regexp_split_to_array"))


def _groups(found: Any, count: int) -> Array:
    return (
        array_of(found.group(n) for n in range(1, count + 1))
        if count
        else array_of([found.group(0)])
    )


@forms.function("regexp_match(text,text)", "regexp_match(text,text,text)")
def regexp_match(text: str, pattern: str, letters: str = "") -> Array | None:
    """The groups of the first match; 2201B, 22023."""
    wanted = compiled(pattern, letters, caller="regexp_match")
    found = wanted.search(text)
    return None if found is None else _groups(found, wanted.groups)


@forms.function("regexp_matches(text,text)", "regexp_matches(text,text,text)")
def regexp_matches(text: str, pattern: str, letters: str = "") -> Iterator[Array]:
    """The groups of the first match (flag g: of every match), as rows; 2201B, 22023."""
    wanted = compiled(pattern, letters, allow_global=True)
    for found in find_all(wanted, text):
        yield _groups(found, wanted.groups)
        if "g" not in letters:
            return


# ------------------------------------------------------------ rows


@forms.function("unnest(anyarray)")
def unnest(array: Array) -> Iterator[Any]:
    """Each element."""
    return iter(array.elements)


@forms.function("generate_subscripts(anyarray,int4)")
def generate_subscripts(array: Array, dimension: int) -> Iterator[int]:
    """The subscripts of a dimension."""
    if not 0 < dimension <= len(array.dimensions):
        return iter(())
    low = array.lower_bounds[dimension - 1]
    return iter(range(low, low + array.dimensions[dimension - 1]))


@forms.function("generate_subscripts(anyarray,int4,bool)")
def generate_subscripts_reverse(array: Array, dimension: int, reverse: bool) -> Iterator[int]:  # noqa: FBT001
    """From the end."""
    places = list(generate_subscripts(array, dimension))
    return reversed(places) if reverse else iter(places)


@forms.function("current_schemas(bool)", needs_context=True)
def current_schemas(ctx: EvalContext, implicit: bool) -> Array:  # noqa: FBT001
    """The schemas of the search path that exist."""
    return array_of(ctx.catalog.search_path(implicit=implicit))


# ------------------------------------------------------------ aggregates


def _append(state: list[Any], value: Any) -> list[Any]:
    state.append(value)
    return state


def _joined_arrays(state: list[Array]) -> Array | None:
    if not state:
        return None
    first = state[0]
    if any(array.dimensions != first.dimensions for array in state):
        raise SqlError("2202E", "cannot accumulate arrays of different dimensionality")
    if not first.dimensions:
        raise SqlError("2202E", "cannot accumulate empty arrays")
    elements = tuple(value for array in state for value in array.elements)
    return Array(elements, (len(state), *first.dimensions), (1, *first.lower_bounds))


def _append_array(state: list[Array], value: Array | None) -> list[Array]:
    if value is None:
        raise SqlError("22004", "cannot accumulate null arrays")
    state.append(value)
    return state


def _aggregates() -> Iterator[SqlAggregate]:
    yield aggregate(
        "array_agg(anynonarray)",
        AggregateForm(list, _append, lambda state: array_of(state) if state else None),
        strict=False,
        order_sensitive=True,
    )
    yield aggregate(
        "array_agg(anyarray)",
        AggregateForm(list, _append_array, _joined_arrays),
        strict=False,
        order_sensitive=True,
    )


aggregates: Final = tuple(_aggregates())
