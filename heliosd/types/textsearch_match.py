"""Whether a query holds in a document, phrases by the places of words.

`find(item, places)` answers for one word: with `places` the places where it stands (sorted, empty
for none, None where the document does not know places), else whether it is there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from heliosd.types.textsearch import TsVector, word_key
from heliosd.types.textsearch_query import TsQuery

Places = Sequence[int]


class Document(Protocol):
    """What a query is asked about."""

    def has(self, item: TsQuery) -> bool:
        """Whether a word (`("val", ...)`) is there."""
        ...

    def places(self, item: TsQuery) -> Places | None:
        """Where it is; None when its places are not known."""
        ...


def holds(query: TsQuery, document: Document) -> bool:
    """The empty query holds nowhere."""
    return bool(query) and _holds(query, document)


def _holds(query: TsQuery, document: Document) -> bool:
    kind = query[0]
    if kind == "val":
        return document.has(query)
    if kind == "!":
        return not _holds(query[1], document)
    if kind == "&":
        return _holds(query[1], document) and _holds(query[2], document)
    if kind == "|":
        return _holds(query[1], document) or _holds(query[2], document)
    found = _phrase(query, document)
    return found is not None and found is not _MAYBE


class _Found:
    """Where a part of a phrase ends, and how wide it is; `negate`: everywhere but there."""

    __slots__ = ("negate", "places", "width")

    def __init__(self, places: Places, width: int = 0, *, negate: bool = False) -> None:
        self.places = places
        self.width = width
        self.negate = negate


_MAYBE: Final = _Found(())
_NONE: Final = _Found(())


def _merge(
    left: _Found, right: _Found, shifts: tuple[int, int], keep: Callable[[bool, bool], bool]
) -> list[int]:
    mine = {place + shifts[0] for place in left.places}
    theirs = {place + shifts[1] for place in right.places}
    return sorted(p for p in mine | theirs if keep(p in mine, p in theirs))


def _both(left: bool, right: bool) -> bool:  # noqa: FBT001
    return left and right


def _any(left: bool, right: bool) -> bool:  # noqa: FBT001
    return left or right


def _left_only(left: bool, right: bool) -> bool:  # noqa: FBT001
    return left and not right


def _right_only(left: bool, right: bool) -> bool:  # noqa: FBT001
    return right and not left


def _phrase(query: TsQuery, document: Document) -> _Found | None:
    """Where a query holds; None nowhere, `_MAYBE` when places are not known."""
    kind = query[0]
    if kind == "val":
        places = document.places(query)
        if places is None:
            return _MAYBE
        return _Found(places) if places else None
    if kind == "!":
        inner = _phrase(query[1], document)
        if inner is None:
            return _Found((), negate=True)
        if inner is _MAYBE:
            return _MAYBE
        if inner.places:
            return _Found(inner.places, inner.width, negate=not inner.negate)
        return None
    left = _phrase(query[1], document)
    right = _phrase(query[2], document)
    if kind == "|":
        return _either(left, right)
    if left is None or right is None:
        return None
    if left is _MAYBE or right is _MAYBE:
        return _MAYBE
    if kind == "<":
        distance = query[3]
        shifts = (distance + right.width, 0)
        width = distance + left.width + right.width
    else:
        width = max(left.width, right.width)
        shifts = (width - left.width, width - right.width)
    if left.negate and right.negate:
        return _Found(_merge(left, right, shifts, _any), width, negate=True)
    keep = _right_only if left.negate else _left_only if right.negate else _both
    places = _merge(left, right, shifts, keep)
    return _Found(places, width) if places else None


def _either(left: _Found | None, right: _Found | None) -> _Found | None:
    if left is None and right is None:
        return None
    if left is _MAYBE or right is _MAYBE:
        return _MAYBE
    a, b = left or _NONE, right or _NONE
    width = max(a.width, b.width)
    shifts = (width - a.width, width - b.width)
    if a.negate and b.negate:
        return _Found(_merge(a, b, shifts, _both), width, negate=True)
    if a.negate:
        return _Found(_merge(a, b, shifts, _left_only), width, negate=True)
    if b.negate:
        return _Found(_merge(a, b, shifts, _right_only), width, negate=True)
    places = _merge(a, b, shifts, _any)
    return _Found(places, width) if places else None


class VectorDocument:
    """A tsvector to search in."""

    __slots__ = ("_keys", "_vector")

    def __init__(self, vector: TsVector) -> None:
        self._vector = vector
        self._keys = [word_key(word) for word, _ in vector]

    def entries(self, item: TsQuery) -> list[int]:
        """Which words of the vector a query's word means."""
        _, word, _, prefix = item
        key = word_key(word)
        at = bisect_left(self._keys, key)
        if not prefix:
            return [at] if at < len(self._keys) and self._keys[at] == key else []
        found = []
        while at < len(self._keys) and self._keys[at].startswith(key):
            found.append(at)
            at += 1
        return found

    def has(self, item: TsQuery) -> bool:
        weights = item[2]
        for at in self.entries(item):
            positions = self._vector[at][1]
            # words without positions have every weight
            if not weights or not positions or any(1 << (p & 3) & weights for p in positions):
                return True
        return False

    def places(self, item: TsQuery) -> Places | None:
        weights = item[2]
        found: set[int] = set()
        unknown = False
        for at in self.entries(item):
            positions = self._vector[at][1]
            if not positions:
                unknown = True
            found.update(p >> 2 for p in positions if not weights or 1 << (p & 3) & weights)
        if not found and unknown:
            return None
        return sorted(found)
