"""Trigonometry in degrees: exact at the angles whose answers are exact.

Each function is reduced to the first quadrant and scaled by its own value at 30, 45 or 60 degrees,
so that sind(30) is 0.5 and tand(45) is 1 to the last bit.
"""

from __future__ import annotations

import math
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.declare import Forms

forms: Final = Forms()

_RADIAN: Final = math.pi / 180.0
_SIN_30: Final = math.sin(30.0 * _RADIAN)
_COS_60_REST: Final = 1.0 - math.cos(60.0 * _RADIAN)
_ASIN_HALF: Final = math.asin(0.5)
_ACOS_HALF: Final = math.acos(0.5)
_ATAN_ONE: Final = math.atan(1.0)


def _sine_to_30(x: float) -> float:
    return (math.sin(x * _RADIAN) / _SIN_30) / 2.0


def _cosine_to_60(x: float) -> float:
    return 1.0 - ((1.0 - math.cos(x * _RADIAN)) / _COS_60_REST) / 2.0


def _sine(x: float) -> float:
    """Of 0 to 90 degrees."""
    return _sine_to_30(x) if x <= 30.0 else _cosine_to_60(90.0 - x)


def _cosine(x: float) -> float:
    """Of 0 to 90 degrees."""
    return _cosine_to_60(x) if x <= 60.0 else _sine_to_30(90.0 - x)


_TAN_45: Final = _sine(45.0) / _cosine(45.0)
_COT_45: Final = _cosine(45.0) / _sine(45.0)


def _outside() -> SqlError:
    return SqlError("22003", "input is out of range")


def _reduced(value: float) -> tuple[float, int, int]:
    """(angle of 0 to 90, sign of an odd function, sign of the cosine); 22003 for infinities."""
    if math.isinf(value):
        raise _outside()
    angle, odd, even = math.fmod(value, 360.0), 1, 1
    if angle < 0.0:
        angle, odd = -angle, -odd
    if angle > 180.0:
        angle, odd = 360.0 - angle, -odd
    if angle > 90.0:
        angle, even = 180.0 - angle, -even
    return angle, odd, even


@forms.function("sind(float8)")
def sind(value: float) -> float:
    """The sine; 22003."""
    if math.isnan(value):
        return value
    angle, odd, _ = _reduced(value)
    return odd * _sine(angle)


@forms.function("cosd(float8)")
def cosd(value: float) -> float:
    """The cosine; 22003."""
    if math.isnan(value):
        return value
    angle, _, even = _reduced(value)
    return even * _cosine(angle)


def _ratio(over: float, under: float, unit: float, sign: int) -> float:
    if under == 0.0:
        return sign * math.inf
    # adding zero turns -0 into 0
    return sign * ((over / under) / unit) + 0.0


@forms.function("tand(float8)")
def tand(value: float) -> float:
    """The tangent; infinite at 90 degrees; 22003."""
    if math.isnan(value):
        return value
    angle, odd, even = _reduced(value)
    return _ratio(_sine(angle), _cosine(angle), _TAN_45, odd * even)


@forms.function("cotd(float8)")
def cotd(value: float) -> float:
    """The cotangent; infinite at 0 degrees; 22003."""
    if math.isnan(value):
        return value
    angle, odd, even = _reduced(value)
    return _ratio(_cosine(angle), _sine(angle), _COT_45, odd * even)


def _arcsine(x: float) -> float:
    """Of 0 to 1."""
    if x <= 0.5:
        return (math.asin(x) / _ASIN_HALF) * 30.0
    return 90.0 - (math.acos(x) / _ACOS_HALF) * 60.0


def _arccosine(x: float) -> float:
    """Of 0 to 1."""
    if x <= 0.5:
        return 90.0 - (math.asin(x) / _ASIN_HALF) * 30.0
    return (math.acos(x) / _ACOS_HALF) * 60.0


@forms.function("asind(float8)")
def asind(value: float) -> float:
    """22003 outside of -1 to 1."""
    if math.isnan(value):
        return value
    if not -1.0 <= value <= 1.0:
        raise _outside()
    return _arcsine(value) if value >= 0.0 else -_arcsine(-value)


@forms.function("acosd(float8)")
def acosd(value: float) -> float:
    """22003 outside of -1 to 1."""
    if math.isnan(value):
        return value
    if not -1.0 <= value <= 1.0:
        raise _outside()
    return _arccosine(value) if value >= 0.0 else 90.0 + _arcsine(-value)


@forms.function("atand(float8)")
def atand(value: float) -> float:
    """The angle of a tangent."""
    return (math.atan(value) / _ATAN_ONE) * 45.0


@forms.function("atan2d(float8,float8)")
def atan2d(y: float, x: float) -> float:
    """The angle of a point."""
    return (math.atan2(y, x) / _ATAN_ONE) * 45.0
