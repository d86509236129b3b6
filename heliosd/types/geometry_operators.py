"""Operators and functions of the geometric types, by PostgreSQL's function names."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.declare import Forms
from heliosd.types.floats import float8_add, float8_div, float8_mul, float8_sub
from heliosd.types.geometry_core import (
    Box,
    Circle,
    Line,
    Lseg,
    Path,
    Point,
    Polygon,
    add,
    bounds,
    box_center,
    box_contains,
    box_meets,
    box_to_lseg,
    box_to_point,
    boxes_overlap,
    circle_polygon,
    distance,
    divide,
    edges,
    fp_eq,
    fp_ge,
    fp_gt,
    fp_le,
    fp_lt,
    fp_zero,
    hypot,
    in_box,
    inside,
    inverse_slope,
    line_slope,
    line_through,
    line_to_point,
    lseg_slope,
    lseg_to_line,
    lseg_to_lseg,
    lseg_to_point,
    make_box,
    meet,
    meet_line,
    meet_lines,
    min_of,
    multiply,
    on_line,
    on_lseg,
    path_edges,
    polygon_circle,
    polygon_contains,
    polygon_to_point,
    polygons_overlap,
    same_point,
    same_points,
    slope,
    subtract,
)
from heliosd.types.registry import SqlType

forms: Final = Forms()
types: Final[tuple[SqlType, ...]] = ()


def _declare(table: dict[str, Callable[..., Any]]) -> None:
    for signature, row in table.items():
        forms.function(*signature.split())(row)


# ------------------------------------------------------------ points

_declare(
    {
        "point(float8,float8)": Point,
        "point_left(point,point)": lambda a, b: fp_lt(a.x, b.x),
        "point_right(point,point)": lambda a, b: fp_gt(a.x, b.x),
        "point_above(point,point)": lambda a, b: fp_gt(a.y, b.y),
        "point_below(point,point)": lambda a, b: fp_lt(a.y, b.y),
        "point_vert(point,point) isvertical(point,point)": lambda a, b: fp_eq(a.x, b.x),
        "point_horiz(point,point) ishorizontal(point,point)": lambda a, b: fp_eq(a.y, b.y),
        "point_eq(point,point)": same_point,
        "point_ne(point,point)": lambda a, b: not same_point(a, b),
        "point_distance(point,point)": distance,
        "slope(point,point)": slope,
        "point_add(point,point)": add,
        "point_sub(point,point)": subtract,
        "point_mul(point,point)": multiply,
        "point_div(point,point)": divide,
    }
)


# ------------------------------------------------------------ lines


@forms.function("line(point,point)")
def line(a: Point, b: Point) -> Line:
    """The line through two points; 22023 when they are the same."""
    if same_point(a, b):
        raise SqlError("22023", "invalid line specification: must be two distinct points")
    return line_through(a, slope(a, b))


@forms.function("line_perp(line,line)", "isperp(line,line)")
def perpendicular(a: Line, b: Line) -> bool:
    """Whether two lines are at right angles."""
    if fp_zero(a.a):
        return fp_zero(b.b)
    if fp_zero(b.a):
        return fp_zero(a.b)
    if fp_zero(a.b):
        return fp_zero(b.a)
    if fp_zero(b.b):
        return fp_zero(a.a)
    return fp_eq(float8_div(float8_mul(a.a, b.a), float8_mul(a.b, b.b)), -1.0)


@forms.function("line_eq(line,line)")
def same_line(a: Line, b: Line) -> bool:
    """Whether two lines are the same, whatever the scale of their equations."""
    if any(number != number for number in (*a, *b)):
        return all(x == y or (x != x and y != y) for x, y in zip(a, b, strict=True))
    ratio = 1.0
    for mine, yours in zip(a, b, strict=True):
        if not fp_zero(yours):
            ratio = float8_div(mine, yours)
            break
    return all(fp_eq(x, float8_mul(ratio, y)) for x, y in zip(a, b, strict=True))


@forms.function("line_distance(line,line)")
def line_distance(a: Line, b: Line) -> float:
    """How far parallel lines are apart; 0 when they cross."""
    if meet_lines(a, b) is not None:
        return 0.0
    ratio = 1.0
    for mine, yours in ((a.a, b.a), (a.b, b.b)):
        if not fp_zero(mine) and mine == mine and not fp_zero(yours) and yours == yours:
            ratio = float8_div(mine, yours)
            break
    apart = abs(float8_sub(a.c, float8_mul(ratio, b.c)))
    return float8_div(apart, hypot(a.a, a.b))


_declare(
    {
        "line_parallel(line,line) isparallel(line,line)": lambda a, b: meet_lines(a, b) is None,
        "line_intersect(line,line)": lambda a, b: meet_lines(a, b) is not None,
        "line_vertical(line) isvertical(line)": lambda a: fp_zero(a.b),
        "line_horizontal(line) ishorizontal(line)": lambda a: fp_zero(a.a),
        "line_interpt(line,line)": meet_lines,
        "on_pl(point,line)": lambda p, a: on_line(a, p),
        "dist_pl(point,line)": lambda p, a: line_to_point(a, p)[0],
        "dist_lp(line,point)": lambda a, p: line_to_point(a, p)[0],
    }
)


# ------------------------------------------------------------ segments


def _length(lseg: Lseg) -> float:
    return distance(lseg.start, lseg.end)


def _same_lseg(a: Lseg, b: Lseg) -> bool:
    return same_point(a.start, b.start) and same_point(a.end, b.end)


def _is_meeting(a: Lseg, b: Lseg) -> bool:
    return meet(a, b) is not None


_declare(
    {
        "lseg(point,point)": Lseg,
        "lseg_eq(lseg,lseg)": _same_lseg,
        "lseg_ne(lseg,lseg)": lambda a, b: not _same_lseg(a, b),
        "lseg_lt(lseg,lseg)": lambda a, b: fp_lt(_length(a), _length(b)),
        "lseg_le(lseg,lseg)": lambda a, b: fp_le(_length(a), _length(b)),
        "lseg_gt(lseg,lseg)": lambda a, b: fp_gt(_length(a), _length(b)),
        "lseg_ge(lseg,lseg)": lambda a, b: fp_ge(_length(a), _length(b)),
        "lseg_length(lseg) length(lseg)": _length,
        "lseg_center(lseg) point(lseg)": lambda a: Point(
            float8_div(float8_add(a.start.x, a.end.x), 2.0),
            float8_div(float8_add(a.start.y, a.end.y), 2.0),
        ),
        "lseg_parallel(lseg,lseg) isparallel(lseg,lseg)": lambda a, b: fp_eq(
            lseg_slope(a), lseg_slope(b)
        ),
        "lseg_perp(lseg,lseg) isperp(lseg,lseg)": lambda a, b: fp_eq(
            lseg_slope(a), inverse_slope(b.start, b.end)
        ),
        "lseg_vertical(lseg) isvertical(lseg)": lambda a: fp_eq(a.start.x, a.end.x),
        "lseg_horizontal(lseg) ishorizontal(lseg)": lambda a: fp_eq(a.start.y, a.end.y),
        "lseg_intersect(lseg,lseg)": _is_meeting,
        "lseg_interpt(lseg,lseg)": meet,
        "lseg_distance(lseg,lseg)": lambda a, b: lseg_to_lseg(a, b)[0],
        "dist_ps(point,lseg)": lambda p, a: lseg_to_point(a, p)[0],
        "dist_sp(lseg,point)": lambda a, p: lseg_to_point(a, p)[0],
        "dist_sl(lseg,line)": lambda a, b: lseg_to_line(a, b)[0],
        "dist_ls(line,lseg)": lambda b, a: lseg_to_line(a, b)[0],
        "on_ps(point,lseg)": lambda p, a: on_lseg(a, p),
        "on_sl(lseg,line)": lambda a, b: on_line(b, a.start) and on_line(b, a.end),
        "inter_sl(lseg,line)": lambda a, b: meet_line(a, b) is not None,
    }
)


def _unless_nan(found: tuple[float, Point]) -> Point | None:
    return None if found[0] != found[0] else found[1]


@forms.function("close_lseg(lseg,lseg)")
def close_lseg(a: Lseg, b: Lseg) -> Point | None:
    """The point on the second that is nearest to the first; NULL for parallel ones."""
    if lseg_slope(a) == lseg_slope(b):
        return None
    return _unless_nan(lseg_to_lseg(b, a))


@forms.function("close_ls(line,lseg)")
def close_ls(a: Line, b: Lseg) -> Point | None:
    """The point on the segment that is nearest to the line; NULL for parallel ones."""
    if lseg_slope(b) == line_slope(a):
        return None
    return _unless_nan(lseg_to_line(b, a))


_declare(
    {
        "close_pl(point,line)": lambda p, a: _unless_nan(line_to_point(a, p)),
        "close_ps(point,lseg)": lambda p, a: _unless_nan(lseg_to_point(a, p)),
        "close_pb(point,box)": lambda p, a: _unless_nan(box_to_point(a, p)),
        "close_sb(lseg,box)": lambda a, b: _unless_nan(box_to_lseg(b, a)),
    }
)


# ------------------------------------------------------------ boxes


def _width(box: Box) -> float:
    return float8_sub(box.high.x, box.low.x)


def _height(box: Box) -> float:
    return float8_sub(box.high.y, box.low.y)


def _area(box: Box) -> float:
    return float8_mul(_width(box), _height(box))


def _same_box(a: Box, b: Box) -> bool:
    return same_point(a.high, b.high) and same_point(a.low, b.low)


def _common_box(a: Box, b: Box) -> Box | None:
    if not boxes_overlap(a, b):
        return None
    return Box(
        Point(min(a.high.x, b.high.x), min(a.high.y, b.high.y)),
        Point(max(a.low.x, b.low.x), max(a.low.y, b.low.y)),
    )


def _around(a: Box, b: Box) -> Box:
    return Box(
        Point(max(a.high.x, b.high.x), max(a.high.y, b.high.y)),
        Point(min(a.low.x, b.low.x), min(a.low.y, b.low.y)),
    )


def _box_line(line_: Line, box: Box) -> bool:
    """Whether a line crosses a box."""
    corners = (
        box.low,
        Point(box.low.x, box.high.y),
        box.high,
        Point(box.high.x, box.low.y),
    )
    return any(meet_line(side, line_) is not None for side in edges(corners))


_declare(
    {
        "box(point,point)": make_box,
        "box(point)": lambda p: Box(p, p),
        "box_same(box,box)": _same_box,
        "box_overlap(box,box)": boxes_overlap,
        "box_left(box,box)": lambda a, b: fp_lt(a.high.x, b.low.x),
        "box_overleft(box,box)": lambda a, b: fp_le(a.high.x, b.high.x),
        "box_right(box,box)": lambda a, b: fp_gt(a.low.x, b.high.x),
        "box_overright(box,box)": lambda a, b: fp_ge(a.low.x, b.low.x),
        "box_below(box,box)": lambda a, b: fp_lt(a.high.y, b.low.y),
        "box_overbelow(box,box)": lambda a, b: fp_le(a.high.y, b.high.y),
        "box_above(box,box)": lambda a, b: fp_gt(a.low.y, b.high.y),
        "box_overabove(box,box)": lambda a, b: fp_ge(a.low.y, b.low.y),
        "box_contain(box,box)": box_contains,
        "box_contained(box,box)": lambda a, b: box_contains(b, a),
        "box_below_eq(box,box)": lambda a, b: fp_le(a.high.y, b.low.y),
        "box_above_eq(box,box)": lambda a, b: fp_ge(a.low.y, b.high.y),
        "box_lt(box,box)": lambda a, b: fp_lt(_area(a), _area(b)),
        "box_gt(box,box)": lambda a, b: fp_gt(_area(a), _area(b)),
        "box_eq(box,box)": lambda a, b: fp_eq(_area(a), _area(b)),
        "box_le(box,box)": lambda a, b: fp_le(_area(a), _area(b)),
        "box_ge(box,box)": lambda a, b: fp_ge(_area(a), _area(b)),
        "area(box)": _area,
        "width(box)": _width,
        "height(box)": _height,
        "box_distance(box,box)": lambda a, b: distance(box_center(a), box_center(b)),
        "box_center(box) center(box) point(box)": box_center,
        "box_intersect(box,box)": _common_box,
        "bound_box(box,box)": _around,
        "diagonal(box) lseg(box)": lambda a: Lseg(a.high, a.low),
        "box_add(box,point)": lambda a, p: Box(add(a.high, p), add(a.low, p)),
        "box_sub(box,point)": lambda a, p: Box(subtract(a.high, p), subtract(a.low, p)),
        "box_mul(box,point)": lambda a, p: make_box(multiply(a.high, p), multiply(a.low, p)),
        "box_div(box,point)": lambda a, p: make_box(divide(a.high, p), divide(a.low, p)),
        "box_contain_pt(box,point)": in_box,
        "on_pb(point,box)": lambda p, a: in_box(a, p),
        "dist_pb(point,box)": lambda p, a: box_to_point(a, p)[0],
        "dist_bp(box,point)": lambda a, p: box_to_point(a, p)[0],
        "dist_sb(lseg,box)": lambda a, b: box_to_lseg(b, a)[0],
        "dist_bs(box,lseg)": lambda b, a: box_to_lseg(b, a)[0],
        "on_sb(lseg,box)": lambda a, b: in_box(b, a.start) and in_box(b, a.end),
        "inter_sb(lseg,box)": lambda a, b: box_meets(b, a),
        "inter_lb(line,box)": _box_line,
    }
)


# ------------------------------------------------------------ paths


def _path_area(path: Path) -> float | None:
    """NULL for an open path."""
    if not path.closed:
        return None
    total = 0.0
    points = path.points
    for number, point in enumerate(points):
        following = points[(number + 1) % len(points)]
        total = float8_add(total, float8_mul(point.x, following.y))
        total = float8_sub(total, float8_mul(point.y, following.x))
    return float8_div(abs(total), 2.0)


def _path_length(path: Path) -> float:
    total = 0.0
    for side in path_edges(path):
        total = float8_add(total, distance(side.start, side.end))
    return total


def _paths_meet(a: Path, b: Path) -> bool:
    if not boxes_overlap(bounds(a.points), bounds(b.points)):
        return False
    return any(_is_meeting(one, two) for one in path_edges(a) for two in path_edges(b))


def _path_distance(a: Path, b: Path) -> float | None:
    found = [lseg_to_lseg(one, two)[0] for one in path_edges(a) for two in path_edges(b)]
    return min_of(found) if found else None


def _path_to_point(path: Path, point: Point) -> float:
    return min_of(lseg_to_point(side, point)[0] for side in path_edges(path))


def _on_path(point: Point, path: Path) -> bool:
    if path.closed:
        return inside(point, path.points) != 0
    return any(on_lseg(side, point) for side in path_edges(path))


def _path_polygon(path: Path) -> Polygon:
    if not path.closed:
        raise SqlError("22023", "open path cannot be converted to polygon")
    return Polygon(path.points)


def _moved(change: Callable[[Point, Point], Point]) -> Callable[[Path, Point], Path]:
    return lambda path, by: Path(tuple(change(p, by) for p in path.points), path.closed)


def _joined(a: Path, b: Path) -> Path | None:
    return None if a.closed or b.closed else Path(a.points + b.points, closed=False)


_declare(
    {
        "area(path)": _path_area,
        "path_n_lt(path,path)": lambda a, b: len(a.points) < len(b.points),
        "path_n_gt(path,path)": lambda a, b: len(a.points) > len(b.points),
        "path_n_eq(path,path)": lambda a, b: len(a.points) == len(b.points),
        "path_n_le(path,path)": lambda a, b: len(a.points) <= len(b.points),
        "path_n_ge(path,path)": lambda a, b: len(a.points) >= len(b.points),
        "isclosed(path)": lambda a: a.closed,
        "isopen(path)": lambda a: not a.closed,
        "npoints(path) path_npoints(path)": lambda a: len(a.points),
        "pclose(path)": lambda a: Path(a.points, closed=True),
        "popen(path)": lambda a: Path(a.points, closed=False),
        "path_inter(path,path)": _paths_meet,
        "path_distance(path,path)": _path_distance,
        "path_length(path) length(path)": _path_length,
        "path_add(path,path)": _joined,
        "path_add_pt(path,point)": _moved(add),
        "path_sub_pt(path,point)": _moved(subtract),
        "path_mul_pt(path,point)": _moved(multiply),
        "path_div_pt(path,point)": _moved(divide),
        "polygon(path)": _path_polygon,
        "dist_ppath(point,path)": lambda p, a: _path_to_point(a, p),
        "dist_pathp(path,point)": _path_to_point,
        "on_ppath(point,path)": _on_path,
        "path_contain_pt(path,point)": lambda a, p: _on_path(p, a),
    }
)


# ------------------------------------------------------------ polygons


def _polygon_distance(a: Polygon, b: Polygon) -> float:
    if polygons_overlap(a, b):
        return 0.0
    return min_of(lseg_to_lseg(one, two)[0] for one in edges(a.points) for two in edges(b.points))


def _sides(compare: Callable[[Box, Box], bool]) -> Callable[[Polygon, Polygon], bool]:
    return lambda a, b: compare(bounds(a.points), bounds(b.points))


_declare(
    {
        "poly_left(polygon,polygon)": _sides(lambda a, b: a.high.x < b.low.x),
        "poly_overleft(polygon,polygon)": _sides(lambda a, b: a.high.x <= b.high.x),
        "poly_right(polygon,polygon)": _sides(lambda a, b: a.low.x > b.high.x),
        "poly_overright(polygon,polygon)": _sides(lambda a, b: a.low.x >= b.low.x),
        "poly_below(polygon,polygon)": _sides(lambda a, b: a.high.y < b.low.y),
        "poly_overbelow(polygon,polygon)": _sides(lambda a, b: a.high.y <= b.high.y),
        "poly_above(polygon,polygon)": _sides(lambda a, b: a.low.y > b.high.y),
        "poly_overabove(polygon,polygon)": _sides(lambda a, b: a.low.y >= b.low.y),
        "poly_same(polygon,polygon)": lambda a, b: same_points(a.points, b.points),
        "poly_overlap(polygon,polygon)": polygons_overlap,
        "poly_contain(polygon,polygon)": polygon_contains,
        "poly_contained(polygon,polygon)": lambda a, b: polygon_contains(b, a),
        "poly_contain_pt(polygon,point)": lambda a, p: inside(p, a.points) != 0,
        "pt_contained_poly(point,polygon)": lambda p, a: inside(p, a.points) != 0,
        "poly_distance(polygon,polygon)": _polygon_distance,
        "npoints(polygon) poly_npoints(polygon)": lambda a: len(a.points),
        "poly_center(polygon) point(polygon)": lambda a: polygon_circle(a).center,
        "box(polygon)": lambda a: bounds(a.points),
        "path(polygon)": lambda a: Path(a.points, closed=True),
        "circle(polygon)": polygon_circle,
        "polygon(box)": lambda a: Polygon(
            (a.low, Point(a.low.x, a.high.y), a.high, Point(a.high.x, a.low.y))
        ),
        "dist_ppoly(point,polygon)": lambda p, a: polygon_to_point(a, p),
        "dist_polyp(polygon,point)": polygon_to_point,
    }
)


# ------------------------------------------------------------ circles


def _circle_area(circle: Circle) -> float:
    return float8_mul(float8_mul(circle.radius, circle.radius), math.pi)


def _same_circle(a: Circle, b: Circle) -> bool:
    radii = (a.radius != a.radius and b.radius != b.radius) or fp_eq(a.radius, b.radius)
    return radii and same_point(a.center, b.center)


def _reach(circle: Circle) -> Box:
    center, radius = circle
    return Box(
        Point(float8_add(center.x, radius), float8_add(center.y, radius)),
        Point(float8_sub(center.x, radius), float8_sub(center.y, radius)),
    )


def _reaches(compare: Callable[[Box, Box], bool]) -> Callable[[Circle, Circle], bool]:
    return lambda a, b: compare(_reach(a), _reach(b))


def _areas(compare: Callable[[float, float], bool]) -> Callable[[Circle, Circle], bool]:
    return lambda a, b: compare(_circle_area(a), _circle_area(b))


def _positive(value: float) -> float:
    return 0.0 if value < 0.0 else value


def _circle_to_point(circle: Circle, point: Point) -> float:
    return _positive(float8_sub(distance(point, circle.center), circle.radius))


def _circle_to_polygon(circle: Circle, polygon: Polygon) -> float:
    return _positive(float8_sub(polygon_to_point(polygon, circle.center), circle.radius))


def _circle_distance(a: Circle, b: Circle) -> float:
    apart = distance(a.center, b.center)
    return _positive(float8_sub(apart, float8_add(a.radius, b.radius)))


def _circle_box(circle: Circle) -> Box:
    delta = float8_div(circle.radius, math.sqrt(2.0))
    return _reach(Circle(circle.center, delta))


def _in_circle(circle: Circle, point: Point) -> bool:
    return distance(circle.center, point) <= circle.radius


_declare(
    {
        "circle(point,float8)": Circle,
        "circle_same(circle,circle)": _same_circle,
        "circle_overlap(circle,circle)": lambda a, b: fp_le(
            distance(a.center, b.center), float8_add(a.radius, b.radius)
        ),
        "circle_overleft(circle,circle)": _reaches(lambda a, b: fp_le(a.high.x, b.high.x)),
        "circle_left(circle,circle)": _reaches(lambda a, b: fp_lt(a.high.x, b.low.x)),
        "circle_right(circle,circle)": _reaches(lambda a, b: fp_gt(a.low.x, b.high.x)),
        "circle_overright(circle,circle)": _reaches(lambda a, b: fp_ge(a.low.x, b.low.x)),
        "circle_below(circle,circle)": _reaches(lambda a, b: fp_lt(a.high.y, b.low.y)),
        "circle_above(circle,circle)": _reaches(lambda a, b: fp_gt(a.low.y, b.high.y)),
        "circle_overbelow(circle,circle)": _reaches(lambda a, b: fp_le(a.high.y, b.high.y)),
        "circle_overabove(circle,circle)": _reaches(lambda a, b: fp_ge(a.low.y, b.low.y)),
        "circle_contained(circle,circle)": lambda a, b: fp_le(
            distance(a.center, b.center), float8_sub(b.radius, a.radius)
        ),
        "circle_contain(circle,circle)": lambda a, b: fp_le(
            distance(a.center, b.center), float8_sub(a.radius, b.radius)
        ),
        "circle_eq(circle,circle)": _areas(fp_eq),
        "circle_ne(circle,circle)": _areas(lambda a, b: not fp_eq(a, b)),
        "circle_lt(circle,circle)": _areas(fp_lt),
        "circle_gt(circle,circle)": _areas(fp_gt),
        "circle_le(circle,circle)": _areas(fp_le),
        "circle_ge(circle,circle)": _areas(fp_ge),
        "circle_add_pt(circle,point)": lambda a, p: Circle(add(a.center, p), a.radius),
        "circle_sub_pt(circle,point)": lambda a, p: Circle(subtract(a.center, p), a.radius),
        "circle_mul_pt(circle,point)": lambda a, p: Circle(
            multiply(a.center, p), float8_mul(a.radius, hypot(p.x, p.y))
        ),
        "circle_div_pt(circle,point)": lambda a, p: Circle(
            divide(a.center, p), float8_div(a.radius, hypot(p.x, p.y))
        ),
        "area(circle)": _circle_area,
        "diameter(circle)": lambda a: float8_mul(a.radius, 2.0),
        "radius(circle)": lambda a: a.radius,
        "circle_distance(circle,circle)": _circle_distance,
        "circle_contain_pt(circle,point)": _in_circle,
        "pt_contained_circle(point,circle)": lambda p, a: _in_circle(a, p),
        "dist_pc(point,circle)": lambda p, a: _circle_to_point(a, p),
        "dist_cpoint(circle,point)": _circle_to_point,
        "dist_cpoly(circle,polygon)": _circle_to_polygon,
        "dist_polyc(polygon,circle)": lambda b, a: _circle_to_polygon(a, b),
        "circle_center(circle) center(circle) point(circle)": lambda a: a.center,
        "box(circle)": _circle_box,
        "circle(box)": lambda a: Circle(box_center(a), distance(box_center(a), a.high)),
        "polygon(int4,circle)": lambda n, a: circle_polygon(a, n),
        "polygon(circle)": lambda a: circle_polygon(a, 12),
    }
)
