"""Plain geometric types: their values, text and binary forms.

Values are tuples of floats and of each other. A box has its upper right corner first; a line is
A x + B y + C = 0.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, sql_type
from heliosd.types.failures import TrailingBytesError, invalid_syntax
from heliosd.types.floats import float8_out, parse_float
from heliosd.types.geometry_core import (
    Box,
    Circle,
    Line,
    Lseg,
    Path,
    Point,
    Polygon,
    fp_zero,
    line_through,
    make_box,
    same_point,
    slope,
)
from heliosd.types.registry import SqlType

forms: Final = Forms()

_NUMBER: Final = re.compile(
    r"\s*[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|inf(?:inity)?|nan)\s*",
    re.ASCII | re.IGNORECASE,
)
_SPACES: Final = " \t\n\v\f\r"
_DOUBLE: Final = struct.Struct(">d")
_COUNT: Final = struct.Struct(">i")


class Decoded(NamedTuple):
    """Points that were read, whether in brackets, and where the text went on."""

    points: tuple[Point, ...]
    is_open: bool
    at: int


class Reader:
    """Reads geometric text as PostgreSQL's path_decode does. 22P02, 22003."""

    def __init__(self, text: str, type_name: str) -> None:
        self.text = text
        self.type_name = type_name

    def fail(self) -> SqlError:
        return invalid_syntax(self.type_name, self.text)

    def char(self, at: int) -> str:
        return self.text[at : at + 1]

    def skip(self, at: int) -> int:
        """Past spaces."""
        while at < len(self.text) and self.text[at] in _SPACES:
            at += 1
        return at

    def number(self, at: int) -> tuple[float, int]:
        """One number and the spaces around it."""
        found = _NUMBER.match(self.text, at)
        if found is None:
            raise self.fail()
        return parse_float(found[0].strip(), "double precision"), found.end()

    def pair(self, at: int) -> tuple[Point, int]:
        """`(x,y)` or `x,y`."""
        at = self.skip(at)
        in_parentheses = self.char(at) == "("
        x, at = self.number(at + in_parentheses)
        if self.char(at) != ",":
            raise self.fail()
        y, at = self.number(at + 1)
        if in_parentheses:
            if self.char(at) != ")":
                raise self.fail()
            at = self.skip(at + 1)
        return Point(x, y), at

    def points(self, count: int, at: int = 0, *, may_be_open: bool) -> Decoded:
        """`count` pairs in the parentheses or brackets around them."""
        at = self.skip(at)
        depth = 0
        is_open = self.char(at) == "["
        if is_open:
            if not may_be_open:
                raise self.fail()
            depth, at = 1, at + 1
        elif self.char(at) == "(":
            following = self.skip(at + 1)
            if self.char(following) == "(" or self.text.rfind("(") == at:
                depth, at = 1, following
        found: list[Point] = []
        for _ in range(count):
            point, at = self.pair(at)
            found.append(point)
            if self.char(at) == ",":
                at += 1
        while depth:
            if self.char(at) != ")" and not (self.char(at) == "]" and is_open):
                raise self.fail()
            depth, at = depth - 1, self.skip(at + 1)
        return Decoded(tuple(found), is_open, at)

    def end(self, at: int) -> None:
        """Nothing may follow."""
        if at < len(self.text):
            raise self.fail()

    def count(self) -> int:
        """How many pairs the commas make; refused when they make none."""
        commas = self.text.count(",")
        if commas % 2 == 0:
            raise self.fail()
        return (commas + 1) // 2


# ------------------------------------------------------------ text in


def _point_in(text: str, typmod: int, ctx: EvalContext) -> Point:
    reader = Reader(text, "point")
    point, at = reader.pair(0)
    reader.end(at)
    return point


def _two(text: str, type_name: str, *, may_be_open: bool) -> tuple[Point, ...]:
    reader = Reader(text, type_name)
    found = reader.points(2, may_be_open=may_be_open)
    reader.end(found.at)
    return found.points


def _lseg_in(text: str, typmod: int, ctx: EvalContext) -> Lseg:
    return Lseg(*_two(text, "lseg", may_be_open=True))


def _box_in(text: str, typmod: int, ctx: EvalContext) -> Box:
    return make_box(*_two(text, "box", may_be_open=False))


def _line_in(text: str, typmod: int, ctx: EvalContext) -> Line:
    reader = Reader(text, "line")
    at = reader.skip(0)
    if reader.char(at) != "{":
        first, second = _two(text, "line", may_be_open=True)
        if same_point(first, second):
            raise SqlError("22P02", "invalid line specification: must be two distinct points")
        return line_through(first, slope(first, second))
    values: list[float] = []
    for closing in (",", ",", "}"):
        number, at = reader.number(at + 1)
        if reader.char(at) != closing:
            raise reader.fail()
        values.append(number)
    reader.end(reader.skip(at + 1))
    return _checked_line(values, "22P02")


def _checked_line(values: Iterable[float], sqlstate: str) -> Line:
    line = Line(*values)
    if fp_zero(line.a) and fp_zero(line.b):
        raise SqlError(sqlstate, "invalid line specification: A and B cannot both be zero")
    return line


def _path_in(text: str, typmod: int, ctx: EvalContext) -> Path:
    reader = Reader(text, "path")
    count = reader.count()
    at = reader.skip(0)
    single = reader.char(at) == "(" and text.rfind("(") == at
    found = reader.points(count, at + single, may_be_open=True)
    at = found.at
    if single:
        if reader.char(at) != ")":
            raise reader.fail()
        at = reader.skip(at + 1)
    reader.end(at)
    return Path(found.points, not found.is_open)


def _polygon_in(text: str, typmod: int, ctx: EvalContext) -> Polygon:
    reader = Reader(text, "polygon")
    found = reader.points(reader.count(), may_be_open=False)
    reader.end(found.at)
    return Polygon(found.points)


def _circle_in(text: str, typmod: int, ctx: EvalContext) -> Circle:
    reader = Reader(text, "circle")
    at = reader.skip(0)
    depth = 0
    if reader.char(at) == "<":
        depth, at = 1, at + 1
    elif reader.char(at) == "(":
        following = reader.skip(at + 1)
        if reader.char(following) == "(":
            depth, at = 1, following
    center, at = reader.pair(at)
    if reader.char(at) == ",":
        at += 1
    radius, at = reader.number(at)
    if radius < 0.0:
        raise reader.fail()
    while depth:
        if reader.char(at) not in (")", ">"):
            raise reader.fail()
        depth, at = depth - 1, reader.skip(at + 1)
    reader.end(at)
    return Circle(center, radius)


# ------------------------------------------------------------ text out


def _pair(point: Point, ctx: EvalContext) -> str:
    return f"({float8_out(point.x, ctx)},{float8_out(point.y, ctx)})"


def _pairs(points: Iterable[Point], ctx: EvalContext) -> str:
    return ",".join(_pair(point, ctx) for point in points)


def _path_out(value: Path, ctx: EvalContext) -> str:
    inside = _pairs(value.points, ctx)
    return f"({inside})" if value.closed else f"[{inside}]"


def _line_out(value: Line, ctx: EvalContext) -> str:
    return "{" + ",".join(float8_out(number, ctx) for number in value) + "}"


def _circle_out(value: Circle, ctx: EvalContext) -> str:
    return f"<{_pair(value.center, ctx)},{float8_out(value.radius, ctx)}>"


# ------------------------------------------------------------ binary


def _doubles(data: bytes, count: int, at: int = 0) -> tuple[float, ...]:
    """`count` numbers from `at` on, and nothing after them. 08P01, 22P03."""
    size = at + 8 * count
    if len(data) < size:
        raise SqlError("08P01", "insufficient data left in message")
    if len(data) > size:
        raise TrailingBytesError(f"{len(data)} bytes instead of {size}")
    return struct.unpack_from(f">{count}d", data, at)


def _points_of(numbers: tuple[float, ...]) -> tuple[Point, ...]:
    return tuple(map(Point, numbers[::2], numbers[1::2]))


def _send_points(points: Iterable[Point]) -> bytes:
    return b"".join(_DOUBLE.pack(point.x) + _DOUBLE.pack(point.y) for point in points)


def _count(data: bytes, at: int, type_name: str) -> int:
    if len(data) < at + 4:
        raise SqlError("08P01", "insufficient data left in message")
    (count,) = _COUNT.unpack_from(data, at)
    if not 0 < count <= 100_000_000:
        raise SqlError("22P03", f'invalid number of points in external "{type_name}" value')
    return int(count)


def _point_receive(data: bytes, typmod: int, ctx: EvalContext) -> Point:
    return Point(*_doubles(data, 2))


def _lseg_receive(data: bytes, typmod: int, ctx: EvalContext) -> Lseg:
    return Lseg(*_points_of(_doubles(data, 4)))


def _box_receive(data: bytes, typmod: int, ctx: EvalContext) -> Box:
    return make_box(*_points_of(_doubles(data, 4)))


def _line_receive(data: bytes, typmod: int, ctx: EvalContext) -> Line:
    return _checked_line(_doubles(data, 3), "22P03")


def _path_receive(data: bytes, typmod: int, ctx: EvalContext) -> Path:
    if not data:
        raise SqlError("08P01", "no data left in message")
    count = _count(data, 1, "path")
    return Path(_points_of(_doubles(data, 2 * count, 5)), bool(data[0]))


def _polygon_receive(data: bytes, typmod: int, ctx: EvalContext) -> Polygon:
    count = _count(data, 0, "polygon")
    return Polygon(_points_of(_doubles(data, 2 * count, 4)))


def _circle_receive(data: bytes, typmod: int, ctx: EvalContext) -> Circle:
    x, y, radius = _doubles(data, 3)
    if radius < 0:
        raise SqlError("22P03", 'invalid radius in external "circle" value')
    return Circle(Point(x, y), radius)


def _path_send(value: Path) -> bytes:
    head = bytes([value.closed]) + _COUNT.pack(len(value.points))
    return head + _send_points(value.points)


def _polygon_send(value: Polygon) -> bytes:
    return _COUNT.pack(len(value.points)) + _send_points(value.points)


# ------------------------------------------------------------ the types


def _geometric(
    name: str,
    read: Callable[[str, int, EvalContext], Any],
    show: Callable[[Any, EvalContext], str],
    receive: Callable[[bytes, int, EvalContext], Any],
    send: Callable[[Any], bytes],
) -> SqlType:
    return sql_type(
        name,
        input=read,
        output=show,
        receive=receive,
        plain_send=send,
        pack=send,
        unpack=lambda data: receive(data, -1, None),  # type: ignore[arg-type]
        ordered=False,
        hashable=False,
        native=False,
        sort_key=repr,
    )


types: Final = (
    _geometric("point", _point_in, _pair, _point_receive, lambda v: _send_points((v,))),
    _geometric("lseg", _lseg_in, lambda v, ctx: f"[{_pairs(v, ctx)}]", _lseg_receive, _send_points),
    _geometric("box", _box_in, _pairs, _box_receive, _send_points),
    _geometric("line", _line_in, _line_out, _line_receive, lambda v: struct.pack(">3d", *v)),
    _geometric("path", _path_in, _path_out, _path_receive, _path_send),
    _geometric(
        "polygon",
        _polygon_in,
        lambda v, ctx: f"({_pairs(v.points, ctx)})",
        _polygon_receive,
        _polygon_send,
    ),
    _geometric(
        "circle",
        _circle_in,
        _circle_out,
        _circle_receive,
        lambda v: _send_points((v.center,)) + _DOUBLE.pack(v.radius),
    ),
)


_MAKERS: Final[dict[str, Callable[..., Any]]] = {
    "point": Point, "lseg": Lseg, "box": Box, "line": Line,
}  # fmt: skip


def set_fixed(type_name: str, value: Any, new: Any, *places: int | None) -> Any:
    """A value of fixed length with one of its parts replaced, counted from 0; a NULL on either
    side changes nothing. 2202E, 22004."""
    if any(place is None for place in places):
        raise SqlError("22004", "array subscript in assignment must not be null")
    if len(places) != 1:
        raise SqlError("2202E", "wrong number of array subscripts")
    if value is None or new is None:
        return value
    (place,) = places
    assert place is not None
    if not 0 <= place < len(value):
        raise SqlError("2202E", "array subscript out of range")
    parts = list(value)
    parts[place] = new
    return _MAKERS[type_name](*parts)
