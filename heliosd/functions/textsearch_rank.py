"""ts_rank and ts_rank_cd: how well a document answers a query, by PostgreSQL's formulas.

ts_rank computes in single precision, as PostgreSQL does, so that the last digit agrees.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.array import Array
from heliosd.types.declare import Forms
from heliosd.types.textsearch import TsVector, word_key
from heliosd.types.textsearch_match import Places, VectorDocument, holds
from heliosd.types.textsearch_query import TsQuery

forms: Final = Forms()

_SINGLE: Final = struct.Struct("f")
_NO_PLACE: Final = 16_383
_FAR: Final = 16_384


def _f(value: float) -> float:
    """Rounded to single precision."""
    single: float = _SINGLE.unpack(_SINGLE.pack(value))[0]
    return single


_DEFAULTS: Final = tuple(map(_f, (0.1, 0.2, 0.4, 1.0)))


def _weights(array: Array) -> tuple[float, ...]:
    """D, C, B, A; negative ones mean the default. 2202E, 22004, 22023."""
    if len(array.dimensions) != 1:
        raise SqlError("2202E", "array of weight must be one-dimensional")
    if len(array.elements) < 4:
        raise SqlError("2202E", "array of weight is too short")
    if any(value is None for value in array.elements):
        raise SqlError("22004", "array of weight must not contain nulls")
    found = []
    for value, default in zip(array.elements, _DEFAULTS, strict=False):
        if value > 1.0:
            raise SqlError("22023", "weight out of range")
        found.append(value if value >= 0 else default)
    return tuple(found)


def _operands(query: TsQuery) -> Iterator[TsQuery]:
    if query[0] == "val":
        yield query
        return
    for part in query[1:]:
        if isinstance(part, tuple):
            yield from _operands(part)


def _distinct_operands(query: TsQuery) -> list[TsQuery]:
    found: dict[str, TsQuery] = {}
    for item in _operands(query):
        found.setdefault(item[1], item)
    return [found[word] for word in sorted(found, key=word_key)]


def _length(vector: TsVector) -> int:
    return sum(max(len(places), 1) for _, places in vector)


def _word_distance(places: int) -> float:
    if places > 100:
        return _f(1e-30)
    return _f(1.0 / (1.005 + 0.05 * math.exp(_f(places) / 1.5 - 2)))


def _rank_any(weights: tuple[float, ...], vector: TsVector, query: TsQuery) -> float:
    items = _distinct_operands(query)
    document = VectorDocument(vector)
    result = 0.0
    for item in items:
        for at in document.entries(item):
            places = vector[at][1] or (0,)
            total = 0.0
            best, best_at = -1.0, 0
            for number, place in enumerate(places):
                weight = weights[place & 3]
                total = _f(total + _f(weight / ((number + 1) * (number + 1))))
                if weight > best:
                    best, best_at = weight, number
            share = _f(_f(best + total) - _f(best / ((best_at + 1) * (best_at + 1))))
            result = _f(result + share / 1.64493406685)
    return _f(result / len(items)) if items else result


def _rank_all(weights: tuple[float, ...], vector: TsVector, query: TsQuery) -> float:
    items = _distinct_operands(query)
    if len(items) < 2:
        return _rank_any(weights, vector, query)
    document = VectorDocument(vector)
    seen: list[tuple[tuple[int, ...], bool] | None] = [None] * len(items)
    result = -1.0
    for number, item in enumerate(items):
        for at in document.entries(item):
            places = vector[at][1]
            mine = (places or (_NO_PLACE << 2,), not places)
            seen[number] = mine
            for other in seen[:number]:
                if other is not None:
                    result = _near(weights, mine, other, result)
    return result


def _near(
    weights: tuple[float, ...],
    mine: tuple[tuple[int, ...], bool],
    other: tuple[tuple[int, ...], bool],
    result: float,
) -> float:
    for place in mine[0]:
        for against in other[0]:
            distance = abs((place >> 2) - (against >> 2))
            if not distance:
                if not (mine[1] or other[1]):
                    continue
                distance = _FAR
            both = _f(_f(weights[place & 3] * weights[against & 3]) * _word_distance(distance))
            now = _f(math.sqrt(both))
            result = now if result < 0 else _f(1.0 - (1.0 - result) * (1.0 - now))
    return result


def _rank(weights: tuple[float, ...], vector: TsVector, query: TsQuery, method: int) -> float:
    if not vector or not query:
        return 0.0
    together = query[0] in ("&", "<")
    result = (_rank_all if together else _rank_any)(weights, vector, query)
    if result < 0:
        result = _f(1e-20)
    if method & 1:
        result = _f(result / (math.log(_length(vector) + 1) / math.log(2.0)))
    if method & 2:
        result = _f(result / _length(vector))
    if method & 8:
        result = _f(result / len(vector))
    if method & 16:
        result = _f(result / (math.log(len(vector) + 1) / math.log(2.0)))
    if method & 32:
        result = _f(result / _f(result + 1))
    return result


# ------------------------------------------------------------ by covers


@dataclass(frozen=True, slots=True)
class _Spot:
    """A place of the document with the query's words that stand there."""

    position: int
    items: tuple[int, ...]


class _Window:
    """The part of a document that is between two spots."""

    def __init__(self) -> None:
        self.places_of: dict[int, list[int]] = {}

    def add(self, spot: _Spot, items: list[TsQuery]) -> None:
        for number in spot.items:
            self.places_of.setdefault(id(items[number]), []).append(spot.position >> 2)

    def has(self, item: TsQuery) -> bool:
        return id(item) in self.places_of

    def places(self, item: TsQuery) -> Places | None:
        return sorted(self.places_of.get(id(item), ()))


def _spots(vector: TsVector, items: list[TsQuery]) -> list[_Spot]:
    document = VectorDocument(vector)
    found: dict[tuple[int, int], tuple[int, list[int]]] = {}
    for number, item in enumerate(items):
        weights = item[2]
        for at in document.entries(item):
            for position in vector[at][1]:
                if weights and not 1 << (position & 3) & weights:
                    continue
                spot = found.setdefault((position >> 2, at), (position, []))
                if number not in spot[1]:
                    spot[1].append(number)
    return [_Spot(found[key][0], tuple(found[key][1])) for key in sorted(found)]


def _covers(spots: list[_Spot], items: list[TsQuery], query: TsQuery) -> Iterator[tuple[int, int]]:
    """The shortest stretches of spots in which the query holds: (first, last)."""
    start = 0
    while start < len(spots):
        window = _Window()
        last = None
        for at in range(start, len(spots)):
            window.add(spots[at], items)
            if holds(query, window):
                last = at
                break
        if last is None:
            return
        window = _Window()
        first = start
        for at in range(last, start - 1, -1):
            window.add(spots[at], items)
            if holds(query, window):
                first = at
                break
        else:
            start += 1
            continue
        yield first, last
        start = first + 1


def _rank_cover(weights: tuple[float, ...], vector: TsVector, query: TsQuery, method: int) -> float:
    if not vector or not query:
        return 0.0
    items = list(_operands(query))
    spots = _spots(vector, items)
    inverse = [1.0 / weight for weight in weights]
    total = distances = previous = 0.0
    extents = 0
    for first, last in _covers(spots, items, query):
        low, high = spots[first].position >> 2, spots[last].position >> 2
        size = last - first + 1
        share = size / sum(inverse[spot.position & 3] for spot in spots[first : last + 1])
        noise = (high - low) - (last - first)
        if noise < 0:
            noise = (last - first) // 2
        total += share / (1 + noise)
        middle = (high + low) / 2.0
        if extents and middle > previous:
            distances += 1.0 / (middle - previous)
        previous = middle
        extents += 1
    return _f(_cover_normal(total, vector, method, extents, distances))


def _cover_normal(
    total: float, vector: TsVector, method: int, extents: int, distances: float
) -> float:
    if method & 1:
        total /= math.log(_length(vector) + 1)
    if method & 2:
        total /= _length(vector)
    if method & 4 and extents and distances > 0:
        total /= extents / distances
    if method & 8:
        total /= len(vector)
    if method & 16:
        total /= math.log(len(vector) + 1) / math.log(2.0)
    if method & 32:
        total /= total + 1
    return total


Rank = Callable[[tuple[float, ...], TsVector, TsQuery, int], float]


def _declare(name: str, rank: Rank) -> None:
    forms.function(f"{name}(_float4,tsvector,tsquery,int4)")(
        lambda weights, vector, query, method: rank(_weights(weights), vector, query, method)
    )
    forms.function(f"{name}(_float4,tsvector,tsquery)")(
        lambda weights, vector, query: rank(_weights(weights), vector, query, 0)
    )
    forms.function(f"{name}(tsvector,tsquery,int4)")(
        lambda vector, query, method: rank(_DEFAULTS, vector, query, method)
    )
    forms.function(f"{name}(tsvector,tsquery)")(
        lambda vector, query: rank(_DEFAULTS, vector, query, 0)
    )


_declare("ts_rank", _rank)
_declare("ts_rank_cd", _rank_cover)
