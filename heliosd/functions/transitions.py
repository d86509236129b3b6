"""The steps of statistical aggregates by name: float8_accum, float8_regr_accum, their combining.

A state is an array of sums: N, Sx, Sxx (sum of squared differences), and Sy, Syy, Sxy for pairs.
"""

from __future__ import annotations

from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.array import Array, array_of
from heliosd.types.declare import Forms

forms: Final = Forms()


def _state(array: Array, size: int, name: str) -> list[float]:
    if len(array.elements) != size or len(array.dimensions) != 1 or None in array.elements:
        raise SqlError("XX000", f"{name}: expected {size}-element float8 array")
    return list(array.elements)


@forms.function("float8_accum(_float8,float8)", "float4_accum(_float8,float4)")
def float8_accum(state: Array, value: float) -> Array:
    """One value more."""
    n, sx, sxx = _state(state, 3, "float8_accum")
    n += 1.0
    sx += value
    if state.elements[0] > 0:
        part = value * n - sx
        sxx += part * part / (n * state.elements[0])
    return array_of([n, sx, sxx])


@forms.function("float8_combine(_float8,_float8)")
def float8_combine(left: Array, right: Array) -> Array:
    """Two states as one."""
    n1, sx1, sxx1 = _state(left, 3, "float8_combine")
    n2, sx2, sxx2 = _state(right, 3, "float8_combine")
    if not n1:
        return right
    if not n2:
        return left
    n = n1 + n2
    part = sx1 / n1 - sx2 / n2
    return array_of([n, sx1 + sx2, sxx1 + sxx2 + n1 * n2 * part * part / n])


@forms.function("float8_regr_accum(_float8,float8,float8)")
def float8_regr_accum(state: Array, y: float, x: float) -> Array:
    """One pair more."""
    n, sx, sxx, sy, syy, sxy = _state(state, 6, "float8_regr_accum")
    before = n
    n += 1.0
    sx += x
    sy += y
    if before > 0:
        by_x, by_y = x * n - sx, y * n - sy
        scale = 1.0 / (n * before)
        sxx += by_x * by_x * scale
        syy += by_y * by_y * scale
        sxy += by_x * by_y * scale
    return array_of([n, sx, sxx, sy, syy, sxy])


@forms.function("float8_regr_combine(_float8,_float8)")
def float8_regr_combine(left: Array, right: Array) -> Array:
    """Two states as one."""
    a: Any = _state(left, 6, "float8_regr_combine")
    b: Any = _state(right, 6, "float8_regr_combine")
    if not a[0]:
        return right
    if not b[0]:
        return left
    n = a[0] + b[0]
    by_x = a[1] / a[0] - b[1] / b[0]
    by_y = a[3] / a[0] - b[3] / b[0]
    weight = a[0] * b[0] / n
    return array_of([
        n,
        a[1] + b[1],
        a[2] + b[2] + weight * by_x * by_x,
        a[3] + b[3],
        a[4] + b[4] + weight * by_y * by_y,
        a[5] + b[5] + weight * by_x * by_y,
    ])  # fmt: skip
