"""Set-returning functions over numbers: generate_series, generate_subscripts' kin."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.declare import Forms
from heliosd.types.numeric_core import numeric_add

forms: Final = Forms()


def _check_step(*, is_zero: bool) -> None:
    if is_zero:
        raise SqlError("22023", "step size cannot equal zero")


@forms.function("generate_series(int4,int4)", "generate_series(int8,int8)")
def generate_series(start: int, stop: int) -> Iterator[int]:
    """start, start + 1 ... stop."""
    return iter(range(start, stop + 1))


@forms.function("generate_series(int4,int4,int4)", "generate_series(int8,int8,int8)")
def generate_series_step(start: int, stop: int, step: int) -> Iterator[int]:
    """start, start + step ... up (or down) to stop; 22023 for a step of zero."""
    _check_step(is_zero=step == 0)
    return iter(range(start, stop + (1 if step > 0 else -1), step))


def _numeric_steps(start: Decimal, stop: Decimal, step: Decimal) -> Iterator[Decimal]:
    value = start
    while value <= stop if step > 0 else value >= stop:
        yield value
        value = numeric_add(value, step)


def _check_finite(what: str, value: Decimal) -> None:
    if not value.is_finite():
        word = "NaN" if value.is_nan() else "infinity"
        raise SqlError("22023", f"{what} cannot be {word}")


@forms.function("generate_series(numeric,numeric)")
def generate_series_numeric(start: Decimal, stop: Decimal) -> Iterator[Decimal]:
    """start, start + 1 ... stop; 22023 for NaN and the infinities."""
    return generate_series_numeric_step(start, stop, Decimal(1))


@forms.function("generate_series(numeric,numeric,numeric)")
def generate_series_numeric_step(start: Decimal, stop: Decimal, step: Decimal) -> Iterator[Decimal]:
    """In exact steps; 22023."""
    _check_finite("start value", start)
    _check_finite("stop value", stop)
    _check_finite("step size", step)
    _check_step(is_zero=not step)
    return _numeric_steps(start, stop, step)
