"""Operators and functions of ranges and multiranges, and the constructors of the built-in ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.array import Array
from heliosd.types.declare import Forms
from heliosd.types.domain import base_of
from heliosd.types.multirange import (
    EMPTY_MULTIRANGE,
    Multirange,
    MultirangeType,
    multirange_of,
)
from heliosd.types.range import BUILT_IN, EMPTY, Range, RangeOps, RangeType
from heliosd.types.registry import CallTypes, SqlType

forms: Final = Forms()
types: Final[tuple[SqlType, ...]] = ()


def ops_at(call: CallTypes) -> RangeOps:
    """What the range type of a call can do."""
    for kind in (*call.arguments, call.result):
        base = base_of(kind)
        if isinstance(base, RangeType | MultirangeType):
            return base.ops
        if base.element_type is not None:
            element = base_of(base.element_type)
            if isinstance(element, RangeType | MultirangeType):
                return element.ops
    raise SqlError("22023", "no range type in a range function's call")


Make = Callable[[RangeOps], Callable[..., Any]]


def _declare(signature: str, make: Make) -> None:
    forms.specialized(signature)(lambda call: make(ops_at(call)))


# ------------------------------------------------------------ ranges among themselves

_RANGE_PAIRS: Final[dict[str, Make]] = {
    "range_eq": lambda ops: lambda a, b: ops.compare(a, b) == 0,
    "range_ne": lambda ops: lambda a, b: ops.compare(a, b) != 0,
    "range_lt": lambda ops: lambda a, b: ops.compare(a, b) < 0,
    "range_gt": lambda ops: lambda a, b: ops.compare(a, b) > 0,
    "range_le": lambda ops: lambda a, b: ops.compare(a, b) <= 0,
    "range_ge": lambda ops: lambda a, b: ops.compare(a, b) >= 0,
    "range_cmp": lambda ops: ops.compare,
    "range_contains": lambda ops: ops.contains,
    "range_contained_by": lambda ops: lambda a, b: ops.contains(b, a),
    "range_overlaps": lambda ops: ops.overlaps,
    "range_before": lambda ops: ops.before,
    "range_after": lambda ops: ops.after,
    "range_overleft": lambda ops: ops.overleft,
    "range_overright": lambda ops: ops.overright,
    "range_adjacent": lambda ops: ops.adjacent,
    "range_union": lambda ops: ops.union,
    "range_merge": lambda ops: ops.merge,
    "range_intersect": lambda ops: ops.intersect,
    "range_intersect_agg_transfn": lambda ops: ops.intersect,
    "range_minus": lambda ops: ops.minus,
}
for _name, _make in _RANGE_PAIRS.items():
    _declare(f"{_name}(anyrange,anyrange)", _make)

_declare("range_contains_elem(anyrange,anyelement)", lambda ops: ops.contains_value)
_declare(
    "elem_contained_by_range(anyelement,anyrange)",
    lambda ops: lambda value, r: ops.contains_value(r, value),
)

forms.templates(
    {
        "lower(anyrange)": "{0}.lower",
        "upper(anyrange)": "{0}.upper",
        "isempty(anyrange)": "{0}.empty",
        "lower_inc(anyrange)": "{0}.lower_inc",
        "upper_inc(anyrange)": "{0}.upper_inc",
    }
)


@forms.function("lower_inf(anyrange)")
def lower_inf(r: Range) -> bool:
    """Whether there is no lower bound."""
    return r.lower is None and not r.empty


@forms.function("upper_inf(anyrange)")
def upper_inf(r: Range) -> bool:
    """Whether there is no upper bound."""
    return r.upper is None and not r.empty


# ------------------------------------------------------------ multiranges


def _first_last(value: Multirange) -> Range:
    """The range from the first lower to the last upper bound."""
    if not value:
        return EMPTY
    first, last = value[0], value[-1]
    return Range(first.lower, last.upper, first.lower_inc, last.upper_inc)


def _contains_range(ops: RangeOps, value: Multirange, r: Range) -> bool:
    return r.empty or any(ops.contains(each, r) for each in value)


def _contains_all(ops: RangeOps, a: Multirange, b: Multirange) -> bool:
    return all(_contains_range(ops, a, each) for each in b)


def _overlap(ops: RangeOps, a: Multirange, b: Multirange) -> bool:
    return any(ops.overlaps(one, other) for one in a for other in b)


def intersection(ops: RangeOps, a: Multirange, b: Multirange) -> Multirange:
    """a * b."""
    return multirange_of(ops, (ops.intersect(one, other) for one in a for other in b))


def _difference(ops: RangeOps, a: Multirange, b: Multirange) -> Multirange:
    left = list(a)
    for other in b:
        left = [part for each in left for part in ops.parts_without(each, other)]
    return multirange_of(ops, left)


def _compare(ops: RangeOps, a: Multirange, b: Multirange) -> int:
    left, right = tuple(map(ops.sort_key, a)), tuple(map(ops.sort_key, b))
    return (left > right) - (left < right)


def _multi(value: Range | Multirange) -> Multirange:
    if isinstance(value, Multirange):
        return value
    return EMPTY_MULTIRANGE if value.empty else Multirange((value,))


def _span(value: Range | Multirange) -> Range:
    return _first_last(value) if isinstance(value, Multirange) else value


_MULTI_PAIRS: Final[dict[str, Make]] = {
    "multirange_eq": lambda ops: lambda a, b: _compare(ops, a, b) == 0,
    "multirange_ne": lambda ops: lambda a, b: _compare(ops, a, b) != 0,
    "multirange_lt": lambda ops: lambda a, b: _compare(ops, a, b) < 0,
    "multirange_gt": lambda ops: lambda a, b: _compare(ops, a, b) > 0,
    "multirange_le": lambda ops: lambda a, b: _compare(ops, a, b) <= 0,
    "multirange_ge": lambda ops: lambda a, b: _compare(ops, a, b) >= 0,
    "multirange_cmp": lambda ops: lambda a, b: _compare(ops, a, b),
    "multirange_union": lambda ops: lambda a, b: multirange_of(ops, (*a, *b)),
    "multirange_intersect": lambda ops: lambda a, b: intersection(ops, a, b),
    "multirange_intersect_agg_transfn": lambda ops: lambda a, b: intersection(ops, a, b),
    "multirange_minus": lambda ops: lambda a, b: _difference(ops, a, b),
}
for _name, _make in _MULTI_PAIRS.items():
    _declare(f"{_name}(anymultirange,anymultirange)", _make)


_POSITIONS: Final[dict[str, Callable[[RangeOps, Any, Any], bool]]] = {
    "before": lambda ops, a, b: ops.before(_span(a), _span(b)),
    "after": lambda ops, a, b: ops.after(_span(a), _span(b)),
    "overleft": lambda ops, a, b: ops.overleft(_span(a), _span(b)),
    "overright": lambda ops, a, b: ops.overright(_span(a), _span(b)),
    "adjacent": lambda ops, a, b: ops.adjacent(_span(a), _span(b)),
    "overlaps": lambda ops, a, b: _overlap(ops, _multi(a), _multi(b)),
}
_SIDES: Final = (("multirange", "multirange"), ("multirange", "range"), ("range", "multirange"))


def _position(test: Callable[[RangeOps, Any, Any], bool]) -> Make:
    return lambda ops: lambda a, b: test(ops, a, b)


for _word, _test in _POSITIONS.items():
    for _left, _right in _SIDES:
        _declare(f"{_left}_{_word}_{_right}(any{_left},any{_right})", _position(_test))

_declare(
    "multirange_contains_elem(anymultirange,anyelement)",
    lambda ops: lambda value, item: any(ops.contains_value(each, item) for each in value),
)
_declare(
    "elem_contained_by_multirange(anyelement,anymultirange)",
    lambda ops: lambda item, value: any(ops.contains_value(each, item) for each in value),
)
_declare(
    "multirange_contains_range(anymultirange,anyrange)",
    lambda ops: lambda value, r: _contains_range(ops, value, r),
)
_declare(
    "range_contained_by_multirange(anyrange,anymultirange)",
    lambda ops: lambda r, value: _contains_range(ops, value, r),
)
_declare(
    "multirange_contains_multirange(anymultirange,anymultirange)",
    lambda ops: lambda a, b: _contains_all(ops, a, b),
)
_declare(
    "multirange_contained_by_multirange(anymultirange,anymultirange)",
    lambda ops: lambda a, b: _contains_all(ops, b, a),
)
_declare(
    "range_contains_multirange(anyrange,anymultirange)",
    lambda ops: lambda r, value: ops.contains(r, _first_last(value)),
)
_declare(
    "multirange_contained_by_range(anymultirange,anyrange)",
    lambda ops: lambda value, r: ops.contains(r, _first_last(value)),
)

forms.templates(
    {
        "lower(anymultirange)": "({0}[0].lower if {0} else None)",
        "upper(anymultirange)": "({0}[-1].upper if {0} else None)",
        "isempty(anymultirange)": "not {0}",
        "lower_inc(anymultirange)": "bool({0} and {0}[0].lower_inc)",
        "upper_inc(anymultirange)": "bool({0} and {0}[-1].upper_inc)",
        "lower_inf(anymultirange)": "bool({0} and {0}[0].lower is None)",
        "upper_inf(anymultirange)": "bool({0} and {0}[-1].upper is None)",
    }
)


@forms.function("range_merge(anymultirange)")
def range_merge(value: Multirange) -> Range:
    """The smallest range that includes all of them."""
    return _first_last(value)


@forms.function("multirange(anyrange)")
def multirange(r: Range) -> Multirange:
    """A multirange of one range."""
    return _multi(r)


@forms.function("unnest(anymultirange)")
def unnest(value: Multirange) -> Iterator[Range]:
    """Each range."""
    return iter(value)


# ------------------------------------------------------------ constructors


def construct(ops: RangeOps) -> Callable[..., Range]:
    """`int4range(lower, upper [, flags])`: NULL is no bound. 22000, 42601."""

    def compute(lower: Any, upper: Any, flags: str | None = "[)") -> Range:
        if flags is None:
            raise SqlError("22000", "range constructor flags argument must not be null")
        if len(flags) != 2 or flags[0] not in "[(" or flags[1] not in ")]":
            raise SqlError(
                "42601",
                "invalid range bound flags",
                hint='Valid values are "[]", "[)", "(]", and "()".',
            )
        return ops.make(lower, upper, flags[0] == "[", flags[1] == "]")

    return compute


def construct_multirange(ops: RangeOps) -> Callable[[Array], Multirange]:
    """`int4multirange(VARIADIC ranges)`; 22004, 21000."""

    def compute(ranges: Array) -> Multirange:
        if len(ranges.dimensions) > 1:
            raise SqlError(
                "21000", "multiranges cannot be constructed from multidimensional arrays"
            )
        if None in ranges.elements:
            raise SqlError("22004", "multirange values cannot contain null members")
        return multirange_of(ops, ranges.elements)

    return compute


@forms.function(*(f"{multirange}()" for _, multirange in BUILT_IN.values()))
def no_ranges() -> Multirange:
    """The empty multirange."""
    return EMPTY_MULTIRANGE


def _declare_constructors() -> None:
    for name, (subtype, multi) in BUILT_IN.items():
        for more in ("", ",text"):
            _declare(f"{name}({subtype},{subtype}{more})", construct)
        forms.function(f"{multi}({name})")(_multi)
        _declare(f"{multi}(_{name})", construct_multirange)


_declare_constructors()


# ------------------------------------------------------------ differences, for estimates

forms.templates(
    {
        "int4range_subdiff(int4,int4)": "float({0} - {1})",
        "int8range_subdiff(int8,int8)": "float({0}) - float({1})",
        "numrange_subdiff(numeric,numeric)": "float({0} - {1})",
        "daterange_subdiff(date,date)": "float({0} - {1})",
        "tsrange_subdiff(timestamp,timestamp)": "({0} - {1}) / 1000000.0",
        "tstzrange_subdiff(timestamptz,timestamptz)": "({0} - {1}) / 1000000.0",
        **{f"{name}_canonical({name})": "{0}" for name in ("int4range", "int8range", "daterange")},
    }
)
