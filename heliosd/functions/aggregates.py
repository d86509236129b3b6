"""General-purpose aggregates: count, sum, avg, min, max, bool_*, bit_*, string_agg.

Those that generated loops inline say so in source; every one has callables too, for windows,
DISTINCT and ORDER BY.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial, reduce
from typing import Any, Final

from heliosd.functions.declare import aggregate
from heliosd.functions.registry import AggregateForm, InlineAggregate, SqlAggregate
from heliosd.types.declare import Forms
from heliosd.types.floats import float4, float8_add
from heliosd.types.integer import int8
from heliosd.types.interval import Interval, interval_add, interval_div, interval_sub
from heliosd.types.numeric_core import average, from_int, numeric_add
from heliosd.types.registry import CallTypes

forms: Final = Forms()


# ------------------------------------------------------------ helpers that inlined steps name


@forms.helper
def total_of(state: Any, values: list[Any]) -> Any:
    """`state` (None: nothing yet) plus Python ints, as one C loop."""
    if not values:
        return state
    return sum(values) if state is None else sum(values, state)


@forms.helper
def float_total_of(state: float | None, values: list[float]) -> float | None:
    """In order, as PostgreSQL adds: `sum` may compensate. 22003 where a finite sum overflows."""
    for value in values:
        state = value if state is None else float8_add(state, value)
    return state


@forms.helper
def numeric_total_of(state: Decimal | None, values: list[Decimal]) -> Decimal | None:
    """The exact sum."""
    if not values:
        return state
    return reduce(numeric_add, values) if state is None else reduce(numeric_add, values, state)


@forms.helper
def aggregate_average(total: int | Decimal | None, count: int) -> Decimal | None:
    """avg() of integers or numerics; None of nothing."""
    return None if total is None or not count else average(total, count)


@forms.helper
def aggregate_float_average(total: float | None, count: int) -> float | None:
    """avg() of floats; None of nothing."""
    return None if total is None or not count else total / count


@forms.helper
def count_of(values: list[Any]) -> int:
    """How many."""
    return len(values)


@forms.helper
def least_of(state: Any, values: list[Any]) -> Any:
    """The smallest; of equal ones the last, as PostgreSQL keeps."""
    for value in values:
        if state is None or not state < value:
            state = value
    return state


@forms.helper
def greatest_of(state: Any, values: list[Any]) -> Any:
    """The largest; of equal ones the last, as PostgreSQL keeps."""
    for value in values:
        if state is None or not state > value:
            state = value
    return state


# ------------------------------------------------------------ forms


def _none() -> None:
    return None


def _fold(step: Callable[[Any, Any], Any], final: Callable[[Any], Any]) -> AggregateForm:
    """An aggregate whose first value is its first state."""
    return AggregateForm(
        init=_none,
        step=lambda state, value: value if state is None else step(state, value),
        final=lambda state: None if state is None else final(state),
    )


def _itself(state: Any) -> Any:
    return state


def _count_step(state: int, *_: Any) -> int:
    return state + 1


def _count_inverse(state: int, *_: Any) -> int:
    return state - 1


_COUNT: Final = AggregateForm(lambda: 0, _count_step, _itself, _count_inverse)


def _counted_total(
    add: Callable[[Any, Any], Any],
    subtract: Callable[[Any, Any], Any] | None,
    final: Callable[[Any, int], Any],
) -> AggregateForm:
    """State (total, count): rows can be taken out again where `subtract` is exact."""

    def step(state: tuple[Any, int], value: Any) -> tuple[Any, int]:
        total, count = state
        return (value if total is None else add(total, value)), count + 1

    def inverse(state: tuple[Any, int], value: Any) -> tuple[Any, int]:
        total, count = state
        assert subtract is not None
        return (None, 0) if count == 1 else (subtract(total, value), count - 1)

    return AggregateForm(
        init=lambda: (None, 0),
        step=step,
        final=lambda state: final(state[0], state[1]),
        inverse=None if subtract is None else inverse,
    )


def _int8_sum(total: int | None, _: int) -> int | None:
    return None if total is None else int8(total)


def _numeric_sum_of_ints(total: int | None, _: int) -> Decimal | None:
    return None if total is None else from_int(total)


def _sum_form(final: Callable[[Any, int], Any]) -> AggregateForm:
    return _counted_total(operator.add, operator.sub, final)


_TOTAL: Final = "{0} if {s0} is None else {s0} + {0}"
_FLOAT_TOTAL: Final = "{0} if {s0} is None else float8_add({s0}, {0})"
_NUMERIC_TOTAL: Final = "{0} if {s0} is None else numeric_add({s0}, {0})"


def _sums() -> Iterator[SqlAggregate]:
    for name in ("int2", "int4"):
        yield aggregate(
            f"sum({name})",
            _sum_form(_int8_sum),
            inline=InlineAggregate(
                ("None",),
                (_TOTAL,),
                "None if {s0} is None else int8({s0})",
                ("total_of({s0}, {0})",),
            ),
        )
    yield aggregate(
        "sum(int8)",
        _sum_form(_numeric_sum_of_ints),
        inline=InlineAggregate(
            ("None",),
            (_TOTAL,),
            "None if {s0} is None else int_to_numeric({s0})",
            ("total_of({s0}, {0})",),
        ),
    )
    yield aggregate(
        "sum(numeric)",
        _fold(numeric_add, _itself),
        inline=InlineAggregate(
            ("None",), (_NUMERIC_TOTAL,), "{s0}", ("numeric_total_of({s0}, {0})",)
        ),
    )
    yield aggregate("sum(float4)", _fold(lambda a, b: float4(a + b), _itself))
    yield aggregate(
        "sum(float8)",
        _fold(float8_add, _itself),
        inline=InlineAggregate(("None",), (_FLOAT_TOTAL,), "{s0}", ("float_total_of({s0}, {0})",)),
    )


def _interval_average(total: Interval | None, count: int) -> Interval | None:
    return None if total is None or not count else interval_div(total, float(count))


def _intervals() -> Iterator[SqlAggregate]:
    yield aggregate("sum(interval)", _fold(interval_add, _itself))
    yield aggregate("avg(interval)", _counted_total(interval_add, interval_sub, _interval_average))


def _averages() -> Iterator[SqlAggregate]:
    for name, total, batch, form in (
        ("int2", _TOTAL, "total_of", _sum_form(aggregate_average)),
        ("int4", _TOTAL, "total_of", _sum_form(aggregate_average)),
        ("int8", _TOTAL, "total_of", _sum_form(aggregate_average)),
        (
            "numeric",
            _NUMERIC_TOTAL,
            "numeric_total_of",
            _counted_total(numeric_add, None, aggregate_average),
        ),
    ):
        yield aggregate(
            f"avg({name})",
            form,
            inline=InlineAggregate(
                ("None", "0"),
                (total, "{s1} + 1"),
                "aggregate_average({s0}, {s1})",
                (f"{batch}({{s0}}, {{0}})", "{s1} + count_of({0})"),
            ),
        )
    for name in ("float4", "float8"):
        yield aggregate(
            f"avg({name})",
            _counted_total(float8_add, None, aggregate_float_average),
            inline=InlineAggregate(
                ("None", "0"),
                (_FLOAT_TOTAL, "{s1} + 1"),
                "aggregate_float_average({s0}, {s1})",
                ("float_total_of({s0}, {0})", "{s1} + count_of({0})"),
            ),
        )


_NATIVE_EXTREMES: Final = (
    "int2", "int4", "int8", "oid", "text", "date", "time", "timestamp", "timestamptz",
)  # fmt: skip
_KEYED_EXTREMES: Final = (
    "float4", "float8", "numeric", "bpchar", "timetz", "interval", "tid", "xid8", "money", "inet",
    "pg_lsn", "anyarray", "anyenum",
)  # fmt: skip


def _kept(compare: Callable[[Any, Any], bool], state: Any, value: Any) -> Any:
    return state if compare(state, value) else value


def _keyed(compare: Callable[[Any, Any], bool], types: CallTypes) -> AggregateForm:
    key = types.arguments[0].order_key()
    if key is None:
        return _fold(partial(_kept, compare), _itself)
    return _fold(lambda a, b: a if compare(key(a), key(b)) else b, _itself)


def _extremes() -> Iterator[SqlAggregate]:
    for name, compare, sign, batch in (
        ("min", operator.lt, "<", "least_of"),
        ("max", operator.gt, ">", "greatest_of"),
    ):
        for type_name in _NATIVE_EXTREMES:
            yield aggregate(
                f"{name}({type_name})",
                _fold(partial(_kept, compare), _itself),
                inline=InlineAggregate(
                    ("None",),
                    (f"{{s0}} if {{s0}} is not None and {{s0}} {sign} {{0}} else {{0}}",),
                    "{s0}",
                    (f"{batch}({{s0}}, {{0}})",),
                ),
                sort_operator=sign,
            )
        for type_name in _KEYED_EXTREMES:
            yield aggregate(
                f"{name}({type_name})",
                specialize=partial(_keyed, compare),
                sort_operator=sign,
            )


def _booleans() -> Iterator[SqlAggregate]:
    for name, word in (("bool_and", "and"), ("every", "and"), ("bool_or", "or")):
        step = operator.and_ if word == "and" else operator.or_
        yield aggregate(
            f"{name}(bool)",
            _fold(step, _itself),
            inline=InlineAggregate(
                ("None",), (f"{{0}} if {{s0}} is None else ({{s0}} {word} {{0}})",), "{s0}"
            ),
        )


def _bits() -> Iterator[SqlAggregate]:
    for name, step in (
        ("bit_and", operator.and_),
        ("bit_or", operator.or_),
        ("bit_xor", operator.xor),
    ):
        for type_name in ("int2", "int4", "int8"):
            yield aggregate(f"{name}({type_name})", _fold(step, _itself))


def _joined(nothing: Any) -> AggregateForm:
    """string_agg: a delimiter goes before each value but the first; NULL values are skipped."""

    def step(state: list[Any], value: Any, delimiter: Any) -> list[Any]:
        if value is not None:
            if state and delimiter is not None:
                state.append(delimiter)
            elif state:
                state.append(nothing)
            state.append(value)
        return state

    return AggregateForm(list, step, lambda state: nothing.join(state) if state else None)


def _all() -> Iterator[SqlAggregate]:
    yield aggregate(
        "count()",
        _COUNT,
        inline=InlineAggregate(("0",), ("{s0} + 1",), "{s0}"),
        empty=0,
    )
    yield aggregate(
        "count(any)",
        _COUNT,
        inline=InlineAggregate(("0",), ("{s0} + 1",), "{s0}", ("{s0} + count_of({0})",)),
        empty=0,
    )
    yield from _sums()
    yield from _averages()
    yield from _intervals()
    yield from _extremes()
    yield from _booleans()
    yield from _bits()
    yield aggregate("string_agg(text,text)", _joined(""), strict=False, order_sensitive=True)
    yield aggregate("string_agg(bytea,bytea)", _joined(b""), strict=False, order_sensitive=True)


aggregates: Final = tuple(_all())
