"""The chapter "Text Search Functions", ranking and headlines apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.array import Array, array_of
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms
from heliosd.types.json import parse, parsed
from heliosd.types.numeric import numeric_out
from heliosd.types.textsearch import WEIGHTS, TsVector, make_vector
from heliosd.types.textsearch_names import DEFAULT_PARSER, SIMPLE
from heliosd.types.textsearch_operators import current_config
from heliosd.types.textsearch_parser import TOKEN_TYPES, parse_tokens
from heliosd.types.textsearch_query import (
    TsQuery,
    chain_key,
    join,
    negated,
    node_count,
    node_key,
    query_text,
)
from heliosd.types.textsearch_reading import phrase_query, plain_query, read_query, web_query
from heliosd.types.textsearch_words import (
    check_config,
    lexize,
    placed_vector,
    to_vector,
    token_lexemes,
    words_of,
)

forms: Final = Forms()


@forms.function("get_current_ts_config()", needs_context=True)
def get_current_ts_config(ctx: EvalContext) -> int:
    """42704."""
    return current_config(ctx)


# ------------------------------------------------------------ texts to vectors and queries


def _declare(name: str, compute: Callable[[int, str, EvalContext], Any]) -> None:
    forms.function(f"{name}(regconfig,text)", needs_context=True)(
        lambda ctx, config, text: compute(config, text, ctx)
    )
    forms.function(f"{name}(text)", needs_context=True)(
        lambda ctx, text: compute(current_config(ctx), text, ctx)
    )


_declare("to_tsvector", to_vector)
_declare("to_tsquery", read_query)
_declare("plainto_tsquery", plain_query)
_declare("phraseto_tsquery", phrase_query)
_declare("websearch_to_tsquery", web_query)


# ------------------------------------------------------------ JSON to vectors

_FLAGS: Final = frozenset({"string", "numeric", "boolean", "key", "all"})


def _json_texts(value: Any, wanted: frozenset[str]) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if "key" in wanted:
                yield key
            yield from _json_texts(item, wanted)
    elif isinstance(value, list):
        for item in value:
            yield from _json_texts(item, wanted)
    elif isinstance(value, bool):
        if "boolean" in wanted:
            yield "true" if value else "false"
    elif isinstance(value, str):
        if "string" in wanted:
            yield value
    elif isinstance(value, Decimal) and "numeric" in wanted:
        yield numeric_out(value)


def _json_vector(config: int, value: Any, wanted: frozenset[str], ctx: EvalContext) -> TsVector:
    found: list[tuple[str, int]] = []
    place = 0
    for text in _json_texts(value, wanted):
        before = len(found)
        for word, at in words_of(config, text, place, ctx=ctx):
            place = at
            if word:
                found.append((word, at))
        if len(found) > before:
            # a gap, so that no phrase runs from one value to the next
            place += 1
    return placed_vector(found)


def _flags(text: str) -> frozenset[str]:
    """22023."""
    value = parsed(text)
    items = value if isinstance(value, list) else [value]
    if isinstance(value, dict):
        raise SqlError("22023", "wrong flag type, only arrays and scalars are allowed")
    found = set()
    for item in items:
        if not isinstance(item, str):
            raise SqlError("22023", "flag array element is not a string",
                           hint='Possible values are: "string", "numeric", "boolean", "key", '
                                'and "all".')  # fmt: skip
        if item.lower() not in _FLAGS:
            raise SqlError("22023", f'wrong flag in flag array: "{item}"',
                           hint='Possible values are: "string", "numeric", "boolean", "key", '
                                'and "all".')  # fmt: skip
        found.add(item.lower())
    return _FLAGS if "all" in found else frozenset(found)


def _declare_json(kind: str) -> None:
    read = parse if kind == "json" else parsed
    strings = frozenset({"string"})
    forms.function(f"to_tsvector({kind})", needs_context=True)(
        lambda ctx, text: _json_vector(current_config(ctx), read(text), strings, ctx)
    )
    forms.function(f"to_tsvector(regconfig,{kind})", needs_context=True)(
        lambda ctx, config, text: _json_vector(config, read(text), strings, ctx)
    )
    forms.function(f"{kind}_to_tsvector({kind},jsonb)", needs_context=True)(
        lambda ctx, text, flags: _json_vector(current_config(ctx), read(text), _flags(flags), ctx)
    )
    forms.function(f"{kind}_to_tsvector(regconfig,{kind},jsonb)", needs_context=True)(
        lambda ctx, config, text, flags: _json_vector(config, read(text), _flags(flags), ctx)
    )


_declare_json("json")
_declare_json("jsonb")


# ------------------------------------------------------------ vectors


@forms.function("length(tsvector)")
def vector_length(vector: TsVector) -> int:
    """How many words."""
    return len(vector)


@forms.function("strip(tsvector)")
def strip(vector: TsVector) -> TsVector:
    """Without positions."""
    return tuple((word, ()) for word, _ in vector)


def _weight(letter: str) -> int:
    found = WEIGHTS.find(letter.upper()) if letter else -1
    if found < 0:
        code = ord(letter) if letter else 0
        raise SqlError("XX000", f"unrecognized weight: {code}")
    return found


@forms.function("setweight(tsvector,char)")
def setweight(vector: TsVector, letter: str) -> TsVector:
    """Every position with one weight; XX000."""
    weight = _weight(letter)
    return tuple((word, tuple(p & ~3 | weight for p in places)) for word, places in vector)


@forms.function("setweight(tsvector,char,_text)")
def setweight_of(vector: TsVector, letter: str, words: Array) -> TsVector:
    """The weight of some words only; XX000, 22004."""
    weight = _weight(letter)
    wanted = _words(words)
    return tuple(
        (word, tuple(p & ~3 | weight for p in places) if word in wanted else places)
        for word, places in vector
    )


def _words(words: Array) -> set[str]:
    if any(word is None for word in words.elements):
        raise SqlError("22004", "lexeme array may not contain nulls")
    return set(words.elements)


@forms.function("ts_delete(tsvector,text)")
def ts_delete(vector: TsVector, unwanted: str) -> TsVector:
    """Without a word."""
    return tuple(item for item in vector if item[0] != unwanted)


@forms.function("ts_delete(tsvector,_text)")
def ts_delete_all(vector: TsVector, unwanted: Array) -> TsVector:
    """Without some words; 22004."""
    words = _words(unwanted)
    return tuple(item for item in vector if item[0] not in words)


@forms.function("ts_filter(tsvector,_char)")
def ts_filter(vector: TsVector, weights: Array) -> TsVector:
    """Only positions of some weights; 22004, 22023."""
    wanted = set()
    for letter in weights.elements:
        if letter is None:
            raise SqlError("22004", "weight array may not contain nulls")
        if letter.upper() not in "ABCD" or not letter:
            raise SqlError("22023", f'unrecognized weight: "{letter}"')
        wanted.add(WEIGHTS.index(letter.upper()))
    kept = ((word, tuple(p for p in places if p & 3 in wanted)) for word, places in vector)
    return tuple(item for item in kept if item[1])


@forms.function("tsvector_to_array(tsvector)")
def tsvector_to_array(vector: TsVector) -> Array:
    """The words."""
    return array_of([word for word, _ in vector])


@forms.function("array_to_tsvector(_text)")
def array_to_tsvector(words: Array) -> TsVector:
    """Words without positions; 22004, 2200F."""
    found = _words(words)
    if "" in found:
        raise SqlError("2200F", "lexeme array may not contain empty strings")
    return make_vector((word, ()) for word in found)


@forms.function("unnest(tsvector)")
def unnest(vector: TsVector) -> Iterator[tuple[str, Array | None, Array | None]]:
    """A row for each word: its places and weights."""
    for word, places in vector:
        if not places:
            yield word, None, None
            continue
        yield word, array_of([p >> 2 for p in places]), array_of([WEIGHTS[p & 3] for p in places])


# ------------------------------------------------------------ queries


@forms.function("numnode(tsquery)")
def numnode(query: TsQuery) -> int:
    """Words and operators."""
    return node_count(query)


@forms.function("querytree(tsquery)")
def querytree(query: TsQuery) -> str:
    """What an index could look for; T for everything."""
    if not query:
        return ""
    positive = _positive(query)
    return "T" if positive is None else query_text(positive)


def _positive(query: TsQuery) -> TsQuery | None:
    """Without what says only what is not there."""
    kind = query[0]
    if kind == "val":
        return query
    if kind == "!":
        return None
    left, right = _positive(query[1]), _positive(query[2])
    if kind == "|":
        return None if left is None or right is None else join(kind, left, right)
    if left is None or right is None:
        return left or right
    return join(kind, left, right, query[3] if kind == "<" else 0)


@forms.function("ts_rewrite(tsquery,tsquery,tsquery)")
def ts_rewrite(query: TsQuery, target: TsQuery, substitute: TsQuery) -> TsQuery:
    """Every occurrence of one query in another put differently."""
    if not query or not target:
        return query
    wanted = _tree_of(target)
    changed = _rewritten(_tree_of(query), wanted, _tree_of(substitute) if substitute else None)
    return _query_of(_flat(changed)) if changed is not None else ()


@dataclass(frozen=True, slots=True)
class _Tree:
    """A query with chains of & and | flat and sorted: equal queries are equal trees."""

    key: tuple[Any, ...]
    kind: str
    query: TsQuery
    parts: tuple[_Tree, ...] = ()


def _made(kind: str, query: TsQuery, parts: list[_Tree]) -> _Tree:
    if kind in ("&", "|"):
        parts = sorted(parts, key=lambda part: part.key)
        return _Tree(chain_key(kind, [part.key for part in parts]), kind, query, tuple(parts))
    keys = [part.key for part in reversed(parts)]
    distance = query[3] if kind == "<" else 0
    return _Tree((*chain_key(kind, keys), -distance), kind, query, tuple(parts))


def _tree_of(query: TsQuery) -> _Tree:
    kind = query[0]
    if kind == "val":
        return _Tree(node_key(query), kind, query)
    parts = [_tree_of(part) for part in query[1:] if isinstance(part, tuple)]
    return _flat(_made(kind, query, parts))


def _flat(tree: _Tree) -> _Tree:
    """A chain whose parts are chains of the same operator: one chain."""
    parts = [_flat(part) for part in tree.parts]
    if tree.kind in ("&", "|"):
        parts = [
            inner for part in parts for inner in (part.parts if part.kind == tree.kind else (part,))
        ]
    return _made(tree.kind, tree.query, parts) if parts else tree


def _query_of(tree: _Tree) -> TsQuery:
    if tree.kind == "val":
        return tree.query
    parts = [_query_of(part) for part in tree.parts]
    if tree.kind == "!":
        return negated(parts[0])
    if tree.kind == "<":
        return join("<", parts[0], parts[1], tree.query[3])
    whole = parts[-1]
    for part in reversed(parts[:-1]):
        whole = join(tree.kind, whole, part)
    return whole


def _rewritten(tree: _Tree, target: _Tree, substitute: _Tree | None) -> _Tree | None:
    if tree.key == target.key:
        return substitute
    parts = list(tree.parts)
    if tree.kind == target.kind and tree.kind in ("&", "|") and len(parts) > len(target.parts):
        rest = list(parts)
        for wanted in target.parts:
            found = next((part for part in rest if part.key == wanted.key), None)
            if found is None:
                break
            rest.remove(found)
        else:
            parts = [*rest, *([substitute] if substitute is not None else [])]
            return _remade(tree, list(parts))
    changed = [_rewritten(part, target, substitute) for part in parts]
    return _remade(tree, changed)


def _remade(tree: _Tree, parts: list[_Tree | None]) -> _Tree | None:
    """The same operator over other parts; those that vanished leave it."""
    if tree.kind == "val":
        return tree
    left = [part for part in parts if part is not None]
    if not left:
        return None
    if tree.kind != "!" and len(left) == 1:
        return left[0]
    return _made(tree.kind, tree.query, left)


# ------------------------------------------------------------ parsers and dictionaries


@forms.function("ts_lexize(regdictionary,text)")
def ts_lexize(dictionary: int, word: str) -> Array:
    """What a dictionary makes of a word."""
    return array_of(lexize(dictionary, word))


def _need_parser(name: str) -> None:
    if name.removeprefix("pg_catalog.") != "default":
        raise SqlError("42704", f'text search parser "{name}" does not exist')


def _need_parser_oid(oid: int) -> None:
    if oid != DEFAULT_PARSER:
        raise SqlError("XX000", f"cache lookup failed for text search parser {oid}")


@forms.function("ts_parse(text,text)")
def ts_parse(parser: str, text: str) -> Iterator[tuple[int, str]]:
    """Tokens by their types' numbers; 42704."""
    _need_parser(parser)
    return parse_tokens(text)


@forms.function("ts_parse(oid,text)")
def ts_parse_oid(parser: int, text: str) -> Iterator[tuple[int, str]]:
    """Tokens by their types' numbers; XX000."""
    _need_parser_oid(parser)
    return parse_tokens(text)


@forms.function("ts_token_type(text)")
def ts_token_type(parser: str) -> Iterator[tuple[int, str, str]]:
    """What kinds of tokens a parser finds; 42704."""
    _need_parser(parser)
    return iter(TOKEN_TYPES)


@forms.function("ts_token_type(oid)")
def ts_token_type_oid(parser: int) -> Iterator[tuple[int, str, str]]:
    """What kinds of tokens a parser finds; XX000."""
    _need_parser_oid(parser)
    return iter(TOKEN_TYPES)


_DebugRow = tuple[str, str, str, Array, int | None, Array | None]


def _debug(config: int, text: str) -> Iterator[_DebugRow]:
    check_config(config)
    kinds = {number: (alias, description) for number, alias, description in TOKEN_TYPES}
    for kind, token in parse_tokens(text):
        alias, description = kinds[kind]
        lexemes = token_lexemes(config, kind, token)
        if lexemes is None:
            yield alias, description, token, array_of([]), None, None
            continue
        stems = kind in (1, 2, 10, 11, 16, 17) and config != SIMPLE
        dictionary = 13_163 if stems else 3765
        yield (alias, description, token, array_of([dictionary]), dictionary, array_of(lexemes))


@forms.function("ts_debug(regconfig,text)")
def ts_debug(config: int, text: str) -> Iterator[_DebugRow]:
    """Every token with its dictionary and lexemes."""
    return _debug(config, text)


@forms.function("ts_debug(text)", needs_context=True)
def ts_debug_current(ctx: EvalContext, text: str) -> Iterator[_DebugRow]:
    """By the session's configuration."""
    return _debug(current_config(ctx), text)
