"""Operators of text search: @@, ||, &&, !!, <->, @>, <@."""

from __future__ import annotations

from typing import Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms
from heliosd.types.names import parse_qualified_name
from heliosd.types.registry import SqlType
from heliosd.types.textsearch import PLACE_MAX, TsVector, check_vector, make_vector
from heliosd.types.textsearch_match import VectorDocument, holds
from heliosd.types.textsearch_names import find_search_object
from heliosd.types.textsearch_query import DISTANCE_MAX, TsQuery, bad_distance, join, negated
from heliosd.types.textsearch_reading import plain_query
from heliosd.types.textsearch_words import to_vector

forms: Final = Forms()
types: Final[tuple[SqlType, ...]] = ()


def current_config(ctx: EvalContext) -> int:
    """The oid that default_text_search_config names; 42704."""
    name = ctx.setting("default_text_search_config")
    found = find_search_object("config", parse_qualified_name(name))
    if found is None:
        raise SqlError("42704", f'text search configuration "{name}" does not exist')
    return found


@forms.function("ts_match_vq(tsvector,tsquery)")
def ts_match_vq(vector: TsVector, query: TsQuery) -> bool:
    """vector @@ query."""
    return holds(query, VectorDocument(vector))


@forms.function("ts_match_qv(tsquery,tsvector)")
def ts_match_qv(query: TsQuery, vector: TsVector) -> bool:
    """query @@ vector."""
    return holds(query, VectorDocument(vector))


@forms.function("ts_match_tt(text,text)", needs_context=True)
def ts_match_tt(ctx: EvalContext, text: str, query: str) -> bool:
    """text @@ text: the second as plain words."""
    config = current_config(ctx)
    return holds(plain_query(config, query, ctx), VectorDocument(to_vector(config, text, ctx)))


@forms.function("ts_match_tq(text,tsquery)", needs_context=True)
def ts_match_tq(ctx: EvalContext, text: str, query: TsQuery) -> bool:
    """text @@ query."""
    return holds(query, VectorDocument(to_vector(current_config(ctx), text, ctx)))


@forms.function("tsvector_concat(tsvector,tsvector)")
def tsvector_concat(left: TsVector, right: TsVector) -> TsVector:
    """left || right: the right one's places go on after the left one's; 54000."""
    last = max((p >> 2 for _, positions in left for p in positions), default=0)
    moved = (
        (word, tuple(min((p >> 2) + last, PLACE_MAX) << 2 | p & 3 for p in positions))
        for word, positions in right
    )
    return check_vector(make_vector((*left, *moved)))


@forms.function("tsquery_and(tsquery,tsquery)")
def tsquery_and(left: TsQuery, right: TsQuery) -> TsQuery:
    """left && right; an empty side gives the other."""
    return join("&", left, right) if left and right else left or right


@forms.function("tsquery_or(tsquery,tsquery)")
def tsquery_or(left: TsQuery, right: TsQuery) -> TsQuery:
    """left || right; an empty side gives the other."""
    return join("|", left, right) if left and right else left or right


@forms.function("tsquery_phrase(tsquery,tsquery)")
def tsquery_phrase(left: TsQuery, right: TsQuery) -> TsQuery:
    """left <-> right."""
    return tsquery_phrase_distance(left, right, 1)


@forms.function("tsquery_phrase(tsquery,tsquery,int4)")
def tsquery_phrase_distance(left: TsQuery, right: TsQuery, distance: int) -> TsQuery:
    """left <distance> right; 22023."""
    if not 0 <= distance <= DISTANCE_MAX:
        raise bad_distance()
    return join("<", left, right, distance) if left and right else left or right


@forms.function("tsquery_not(tsquery)")
def tsquery_not(query: TsQuery) -> TsQuery:
    """!! query."""
    return negated(query) if query else query


def query_words(query: TsQuery) -> set[str]:
    """The words in a query."""
    if not query:
        return set()
    if query[0] == "val":
        return {query[1]}
    return set().union(*(query_words(part) for part in query[1:] if isinstance(part, tuple)))


@forms.function("tsq_mcontains(tsquery,tsquery)")
def tsq_mcontains(left: TsQuery, right: TsQuery) -> bool:
    """left @> right: by words alone."""
    return query_words(left) >= query_words(right)


@forms.function("tsq_mcontained(tsquery,tsquery)")
def tsq_mcontained(left: TsQuery, right: TsQuery) -> bool:
    """left <@ right: by words alone."""
    return query_words(left) <= query_words(right)
