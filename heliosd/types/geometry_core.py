"""Plane geometry as PostgreSQL computes it: comparisons within 1e-6, the same formulas.

The formulas are chosen for equal last digits, not for beauty.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from heliosd.errors import SqlError
from heliosd.types.floats import float8_add, float8_div, float8_mul, float8_sub, overflow, underflow

EPSILON: Final = 1.0e-06


class Point(NamedTuple):
    """A place."""

    x: float
    y: float


class Lseg(NamedTuple):
    """A line between two places."""

    start: Point
    end: Point


class Box(NamedTuple):
    """A rectangle along the axes."""

    high: Point
    low: Point


class Line(NamedTuple):
    """A x + B y + C = 0."""

    a: float
    b: float
    c: float


class Path(NamedTuple):
    """Places in a row, the last joined to the first when `closed`."""

    points: tuple[Point, ...]
    closed: bool


class Polygon(NamedTuple):
    """The area inside a closed path."""

    points: tuple[Point, ...]


class Circle(NamedTuple):
    """Everything that is near."""

    center: Point
    radius: float


# ------------------------------------------------------------ numbers


def fp_zero(a: float) -> bool:
    """|a| is no more than EPSILON."""
    return abs(a) <= EPSILON


def fp_eq(a: float, b: float) -> bool:
    """a = b within EPSILON."""
    return a == b or abs(a - b) <= EPSILON


def fp_lt(a: float, b: float) -> bool:
    """a < b by more than EPSILON."""
    return a + EPSILON < b


def fp_le(a: float, b: float) -> bool:
    """a <= b within EPSILON."""
    return a <= b + EPSILON


def fp_gt(a: float, b: float) -> bool:
    """a > b by more than EPSILON."""
    return a > b + EPSILON


def fp_ge(a: float, b: float) -> bool:
    """a >= b within EPSILON."""
    return a + EPSILON >= b


def hypot(x: float, y: float) -> float:
    """22003 when it overflows or vanishes."""
    if math.isinf(x) or math.isinf(y):
        return math.inf
    if x != x or y != y:
        return math.nan
    x, y = abs(x), abs(y)
    if x < y:
        x, y = y, x
    if y == 0.0:
        return x
    ratio = y / x
    result = x * math.sqrt(1.0 + ratio * ratio)
    if math.isinf(result):
        raise overflow()
    if result == 0.0:
        raise underflow()
    return result


# ------------------------------------------------------------ points


def same_point(a: Point, b: Point) -> bool:
    if a.x != a.x or a.y != a.y or b.x != b.x or b.y != b.y:
        return _same(a.x, b.x) and _same(a.y, b.y)
    return fp_eq(a.x, b.x) and fp_eq(a.y, b.y)


def _same(a: float, b: float) -> bool:
    return a == b or (a != a and b != b)


def distance(a: Point, b: Point) -> float:
    return hypot(float8_sub(a.x, b.x), float8_sub(a.y, b.y))


def slope(a: Point, b: Point) -> float:
    if fp_eq(a.x, b.x):
        return math.inf
    if fp_eq(a.y, b.y):
        return 0.0
    return float8_div(float8_sub(a.y, b.y), float8_sub(a.x, b.x))


def inverse_slope(a: Point, b: Point) -> float:
    """The slope of what is perpendicular to it."""
    if fp_eq(a.x, b.x):
        return 0.0
    if fp_eq(a.y, b.y):
        return math.inf
    return float8_div(float8_sub(a.x, b.x), float8_sub(b.y, a.y))


def add(a: Point, b: Point) -> Point:
    return Point(float8_add(a.x, b.x), float8_add(a.y, b.y))


def subtract(a: Point, b: Point) -> Point:
    return Point(float8_sub(a.x, b.x), float8_sub(a.y, b.y))


def multiply(a: Point, b: Point) -> Point:
    """As complex numbers: turned and scaled."""
    return Point(
        float8_sub(float8_mul(a.x, b.x), float8_mul(a.y, b.y)),
        float8_add(float8_mul(a.x, b.y), float8_mul(a.y, b.x)),
    )


def divide(a: Point, b: Point) -> Point:
    """22012 by the origin."""
    scale = float8_add(float8_mul(b.x, b.x), float8_mul(b.y, b.y))
    return Point(
        float8_div(float8_add(float8_mul(a.x, b.x), float8_mul(a.y, b.y)), scale),
        float8_div(float8_sub(float8_mul(b.x, a.y), float8_mul(b.y, a.x)), scale),
    )


# ------------------------------------------------------------ lines


def line_through(point: Point, m: float) -> Line:
    """The line through a point with a slope."""
    if math.isinf(m):
        return Line(-1.0, 0.0, point.x)
    if m == 0.0:
        return Line(0.0, -1.0, point.y)
    c = float8_sub(point.y, float8_mul(m, point.x))
    return Line(m, -1.0, 0.0 if c == 0.0 else c)


def line_slope(line: Line) -> float:
    if fp_zero(line.a):
        return 0.0
    return math.inf if fp_zero(line.b) else float8_div(line.a, -line.b)


def line_inverse_slope(line: Line) -> float:
    if fp_zero(line.a):
        return math.inf
    return 0.0 if fp_zero(line.b) else float8_div(line.b, line.a)


def meet_lines(one: Line, two: Line) -> Point | None:
    """Where two lines cross; None when they are parallel."""
    if not fp_zero(one.b):
        if fp_eq(two.a, float8_mul(one.a, float8_div(two.b, one.b))):
            return None
        x = float8_div(
            float8_sub(float8_mul(one.b, two.c), float8_mul(two.b, one.c)),
            float8_sub(float8_mul(one.a, two.b), float8_mul(two.a, one.b)),
        )
        y = float8_div(-float8_add(float8_mul(one.a, x), one.c), one.b)
    elif not fp_zero(two.b):
        if fp_eq(one.a, float8_mul(two.a, float8_div(one.b, two.b))):
            return None
        x = float8_div(
            float8_sub(float8_mul(two.b, one.c), float8_mul(one.b, two.c)),
            float8_sub(float8_mul(two.a, one.b), float8_mul(one.a, two.b)),
        )
        y = float8_div(-float8_add(float8_mul(two.a, x), two.c), two.b)
    else:
        return None
    return Point(0.0 if x == 0.0 else x, 0.0 if y == 0.0 else y)


def on_line(line: Line, point: Point) -> bool:
    return fp_zero(
        float8_add(float8_add(float8_mul(line.a, point.x), float8_mul(line.b, point.y)), line.c)
    )


# ------------------------------------------------------------ segments


def lseg_slope(lseg: Lseg) -> float:
    return slope(lseg.start, lseg.end)


def lseg_line(lseg: Lseg) -> Line:
    return line_through(lseg.start, lseg_slope(lseg))


def on_lseg(lseg: Lseg, point: Point) -> bool:
    return fp_eq(
        distance(point, lseg.start) + distance(point, lseg.end),
        distance(lseg.start, lseg.end),
    )


def meet_line(lseg: Lseg, line: Line) -> Point | None:
    """Where a segment crosses a line."""
    found = meet_lines(lseg_line(lseg), line)
    if found is None or not on_lseg(lseg, found):
        return None
    if same_point(lseg.start, found):
        return lseg.start
    return lseg.end if same_point(lseg.end, found) else found


def meet(one: Lseg, two: Lseg) -> Point | None:
    """Where two segments cross."""
    found = meet_line(one, lseg_line(two))
    return found if found is not None and on_lseg(two, found) else None


Closest = tuple[float, Point]
"""(distance, the nearest point)."""


def line_to_point(line: Line, point: Point) -> Closest:
    """The foot of the perpendicular; NaN when there is none."""
    foot = meet_lines(line_through(point, line_inverse_slope(line)), line)
    if foot is None:
        return math.nan, point
    return distance(foot, point), foot


def lseg_to_line(lseg: Lseg, line: Line) -> Closest:
    crossing = meet_line(lseg, line)
    if crossing is not None:
        return 0.0, crossing
    first, second = line_to_point(line, lseg.start)[0], line_to_point(line, lseg.end)[0]
    return (first, lseg.start) if first < second else (second, lseg.end)


def lseg_to_point(lseg: Lseg, point: Point) -> Closest:
    across = line_through(point, inverse_slope(lseg.start, lseg.end))
    nearest = lseg_to_line(lseg, across)[1]
    return distance(nearest, point), nearest


def lseg_to_lseg(on: Lseg, other: Lseg) -> Closest:
    """The point on the first segment that is nearest to the second."""
    crossing = meet(on, other)
    if crossing is not None:
        return 0.0, crossing
    best = lseg_to_point(on, other.start)
    candidate = lseg_to_point(on, other.end)
    if candidate[0] < best[0]:
        best = candidate
    for end in on:
        apart = lseg_to_point(other, end)[0]
        if apart < best[0]:
            best = (apart, end)
    return best


# ------------------------------------------------------------ boxes


def make_box(a: Point, b: Point) -> Box:
    """The box between two opposite corners."""
    x = (a.x, b.x) if _above(a.x, b.x) else (b.x, a.x)
    y = (a.y, b.y) if _above(a.y, b.y) else (b.y, a.y)
    return Box(Point(x[0], y[0]), Point(x[1], y[1]))


def _above(a: float, b: float) -> bool:
    """a > b, NaN being the greatest."""
    return b == b and (a != a or a > b)


def box_center(box: Box) -> Point:
    return Point(
        float8_div(float8_add(box.high.x, box.low.x), 2.0),
        float8_div(float8_add(box.high.y, box.low.y), 2.0),
    )


def in_box(box: Box, point: Point) -> bool:
    return (
        box.high.x >= point.x
        and box.low.x <= point.x
        and box.high.y >= point.y
        and box.low.y <= point.y
    )


def boxes_overlap(a: Box, b: Box) -> bool:
    return (
        fp_le(a.low.x, b.high.x)
        and fp_le(b.low.x, a.high.x)
        and fp_le(a.low.y, b.high.y)
        and fp_le(b.low.y, a.high.y)
    )


def box_contains(whole: Box, part: Box) -> bool:
    return (
        fp_ge(whole.high.x, part.high.x)
        and fp_le(whole.low.x, part.low.x)
        and fp_ge(whole.high.y, part.high.y)
        and fp_le(whole.low.y, part.low.y)
    )


def box_edges(box: Box) -> Iterator[Lseg]:
    """In the order in which PostgreSQL looks at them."""
    left, right = Point(box.low.x, box.high.y), Point(box.high.x, box.low.y)
    yield Lseg(box.low, left)
    yield Lseg(box.high, left)
    yield Lseg(box.low, right)
    yield Lseg(box.high, right)


def box_to_point(box: Box, point: Point) -> Closest:
    if in_box(box, point):
        return 0.0, point
    return _nearest(lseg_to_point(edge, point) for edge in box_edges(box))


def _nearest(candidates: Iterable[Closest]) -> Closest:
    best: Closest | None = None
    for candidate in candidates:
        if best is None or candidate[0] < best[0]:
            best = candidate
    assert best is not None
    return best


def bounds(points: Sequence[Point]) -> Box:
    """The smallest box around points."""
    xs, ys = [p.x for p in points], [p.y for p in points]
    return Box(Point(max(xs), max(ys)), Point(min(xs), min(ys)))


def box_meets(box: Box, lseg: Lseg) -> bool:
    """Whether a segment touches a box."""
    around = make_box(lseg.start, lseg.end)
    if not boxes_overlap(around, box):
        return False
    if in_box(box, lseg.start) or in_box(box, lseg.end):
        return True
    return any(meet(edge, lseg) is not None for edge in box_edges(box))


def box_to_lseg(box: Box, lseg: Lseg) -> Closest:
    if box_meets(box, lseg):
        return 0.0, lseg_to_point(lseg, box_center(box))[1]
    return _nearest(lseg_to_lseg(edge, lseg) for edge in box_edges(box))


# ------------------------------------------------------------ polygons


def edges(points: Sequence[Point]) -> Iterator[Lseg]:
    """The sides of a polygon, beginning with the one from its last point to its first."""
    previous = points[-1]
    for point in points:
        yield Lseg(previous, point)
        previous = point


def path_edges(path: Path) -> Iterator[Lseg]:
    """A path's segments, the closing one first."""
    sides = edges(path.points)
    if not path.closed:
        next(sides)
    return sides


_ON: Final = 1 << 30


def inside(point: Point, points: Sequence[Point]) -> int:
    """0 outside, 1 inside, 2 on a side."""
    total = 0
    x0, y0 = float8_sub(points[0].x, point.x), float8_sub(points[0].y, point.y)
    previous = (x0, y0)
    for each in (*points[1:], None):
        x, y = (
            (x0, y0) if each is None else (float8_sub(each.x, point.x), float8_sub(each.y, point.y))
        )
        crossing = _crossing(x, y, *previous)
        if crossing == _ON:
            return 2
        total += crossing
        previous = (x, y)
    return 1 if total else 0


def _crossing(x: float, y: float, prev_x: float, prev_y: float) -> int:
    """How a side crosses the positive x axis: +-2 across, +-1 to or from it."""
    if fp_zero(y):
        if fp_zero(x):
            return _ON
        if fp_gt(x, 0):
            if fp_zero(prev_y):
                return 0 if fp_gt(prev_x, 0.0) else _ON
            return 1 if fp_lt(prev_y, 0.0) else -1
        if fp_zero(prev_y):
            return 0 if fp_lt(prev_x, 0.0) else _ON
        return 0
    sign = 1 if fp_gt(y, 0.0) else -1
    if fp_zero(prev_y):
        return 0 if fp_lt(prev_x, 0.0) else sign
    if (sign < 0 and fp_lt(prev_y, 0.0)) or (sign > 0 and fp_gt(prev_y, 0.0)):
        return 0
    if fp_ge(x, 0.0) and fp_gt(prev_x, 0.0):
        return 2 * sign
    if fp_lt(x, 0.0) and fp_le(prev_x, 0.0):
        return 0
    z = float8_sub(float8_mul(float8_sub(x, prev_x), y), float8_mul(float8_sub(y, prev_y), x))
    if fp_zero(z):
        return _ON
    if (sign < 0 and fp_lt(z, 0.0)) or (sign > 0 and fp_gt(z, 0.0)):
        return 0
    return 2 * sign


def polygon_contains(whole: Polygon, part: Polygon) -> bool:
    if not box_contains(bounds(whole.points), bounds(part.points)):
        return False
    return all(_lseg_inside(side.start, side.end, whole.points, 0) for side in edges(part.points))


def _lseg_inside(a: Point, b: Point, points: Sequence[Point], start: int) -> bool:
    tested = Lseg(a, b)
    crossed = False
    previous = points[start - 1]
    for number in range(start, len(points)):
        side = Lseg(previous, points[number])
        if on_lseg(side, a):
            if on_lseg(side, b):
                return True
            fine = _touched(a, b, side, points, number + 1)
        elif on_lseg(side, b):
            fine = _touched(b, a, side, points, number + 1)
        else:
            crossing = meet(tested, side)
            fine = True
            if crossing is not None:
                crossed = True
                fine = _lseg_inside(a, crossing, points, number + 1) and _lseg_inside(
                    b, crossing, points, number + 1
                )
        if not fine:
            return False
        previous = points[number]
    if crossed:
        return True
    middle = Point(float8_div(float8_add(a.x, b.x), 2.0), float8_div(float8_add(a.y, b.y), 2.0))
    return inside(middle, points) != 0


def _touched(a: Point, b: Point, side: Lseg, points: Sequence[Point], start: int) -> bool:
    """The segment begins on a side of the polygon."""
    tested = Lseg(a, b)
    if same_point(a, side.start):
        ends: tuple[Point, ...] = (side.end,)
    elif same_point(a, side.end):
        ends = (side.start,)
    else:
        ends = (side.start, side.end)
    for end in ends:
        if on_lseg(tested, end):
            return _lseg_inside(b, end, points, start)
    return True


def polygons_overlap(a: Polygon, b: Polygon) -> bool:
    if not boxes_overlap(bounds(a.points), bounds(b.points)):
        return False
    for one in edges(a.points):
        if any(meet(one, other) is not None for other in edges(b.points)):
            return True
    return bool(inside(a.points[0], b.points) or inside(b.points[0], a.points))


def same_points(a: Sequence[Point], b: Sequence[Point]) -> bool:
    """The same places in the same turn, from any of them on, forwards or backwards."""
    if len(a) != len(b):
        return False
    count = len(a)
    for start in range(count):
        if not same_point(a[0], b[start]):
            continue
        for step in (1, -1):
            if all(same_point(a[n], b[(start + step * n) % count]) for n in range(1, count)):
                return True
    return False


def polygon_to_point(polygon: Polygon, point: Point) -> float:
    if inside(point, polygon.points):
        return 0.0
    return min_of(lseg_to_point(side, point)[0] for side in edges(polygon.points))


def min_of(values: Iterable[float]) -> float:
    """The least, as a comparison with < finds it."""
    best: float | None = None
    for value in values:
        if best is None or value < best:
            best = value
    return 0.0 if best is None else best


def polygon_circle(polygon: Polygon) -> Circle:
    """Its centre is the mean of the points, its radius their mean distance from it."""
    count = float(len(polygon.points))
    center = Point(0.0, 0.0)
    for point in polygon.points:
        center = add(center, point)
    center = Point(float8_div(center.x, count), float8_div(center.y, count))
    radius = 0.0
    for point in polygon.points:
        radius = float8_add(radius, distance(point, center))
    return Circle(center, float8_div(radius, count))


def circle_polygon(circle: Circle, count: int) -> Polygon:
    """22023 below two points; 0A000 for a circle without an area."""
    if fp_zero(circle.radius):
        raise SqlError("0A000", "cannot convert circle with radius zero to polygon")
    if count < 2:
        raise SqlError("22023", "must request at least 2 points")
    step = float8_div(2.0 * math.pi, float(count))
    points: list[Point] = []
    for number in range(count):
        angle = float8_mul(step, float(number))
        points.append(
            Point(
                float8_sub(circle.center.x, float8_mul(circle.radius, math.cos(angle))),
                float8_add(circle.center.y, float8_mul(circle.radius, math.sin(angle))),
            )
        )
    return Polygon(tuple(points))
