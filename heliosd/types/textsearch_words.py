"""Text search configurations and dictionaries: what becomes of a token.

Two configurations are built in: `simple` lowers words, `english` leaves out stop words and takes
words back to their stems (Snowball's algorithm, by a library).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

import snowballstemmer

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.textsearch import PLACE_MAX, WORD_MAX_BYTES, TsVector, check_vector, make_vector
from heliosd.types.textsearch_names import CONFIG_NAMES, DICTIONARY_NAMES
from heliosd.types.textsearch_parser import parse_tokens

_STOP_TEXT: Final = """
    i me my myself we our ours ourselves you your yours yourself yourselves he him his himself
    she her hers herself it its itself they them their theirs themselves what which who whom
    this that these those am is are was were be been being have has had having do does did doing
    a an the and but if or because as until while of at by for with about against between into
    through during before after above below to from up down in out on off over under again
    further then once here there when where why how all any both each few more most other some
    such no nor not only own same so than too very s t can will just don should now
"""
_STOP_WORDS: Final = frozenset(_STOP_TEXT.split())

# Token types that dictionaries see; tags, blanks, protocols and entities they do not.
_PLAIN: Final = frozenset({3, 4, 5, 6, 7, 8, 9, 15, 18, 19, 20, 21, 22})
_WORDS: Final = frozenset({1, 2, 10, 11, 16, 17})


@lru_cache(maxsize=65_536)
def english_stem(word: str) -> str | None:
    """The stem of a lower-case word; None for a stop word."""
    if word in _STOP_WORDS:
        return None
    stemmer = snowballstemmer.stemmer("english")
    return str(stemmer.stemWord(word))


def lexize(dictionary: int, word: str) -> list[str]:
    """What a dictionary makes of a word: its lexemes, none for a stop word. 42704."""
    name = DICTIONARY_NAMES.get(dictionary)
    if name is None:
        raise SqlError("XX000", f"cache lookup failed for text search dictionary {dictionary}")
    lower = word.lower()
    if name == "simple":
        return [lower]
    stem = english_stem(lower)
    return [] if stem is None else [stem]


def token_lexemes(config: int, kind: int, token: str) -> list[str] | None:
    """The lexemes of a token; [] for a stop word, None where no dictionary is asked."""
    if kind in _PLAIN:
        return [token.lower()]
    if kind not in _WORDS:
        return None
    if CONFIG_NAMES[config] == "simple":
        return [token.lower()]
    stem = english_stem(token.lower())
    return [] if stem is None else [stem]


def check_config(config: int) -> int:
    """XX000 for the oid of no configuration."""
    if config not in CONFIG_NAMES:
        raise SqlError("XX000", f"cache lookup failed for text search configuration {config}")
    return config


def words_of(
    config: int, text: str, place: int = 0, *, ctx: EvalContext
) -> Iterator[tuple[str, int]]:
    """(lexeme, place) of a text; stop words count as places, and come as ""."""
    check_config(config)
    for number, (kind, token) in enumerate(parse_tokens(text)):
        if not number & 1023:
            ctx.check_interrupts()
        if len(token.encode()) > WORD_MAX_BYTES:
            ctx.notice(
                "NOTICE",
                "word is too long to be indexed",
                sqlstate="54000",
            )
            continue
        lexemes = token_lexemes(config, kind, token)
        if lexemes is None:
            continue
        place += 1
        for lexeme in lexemes or ("",):
            yield lexeme, place


def to_vector(config: int, text: str, ctx: EvalContext) -> TsVector:
    """A text's vector; 54000."""
    return placed_vector(words_of(config, text, ctx=ctx))


def placed_vector(words: Iterable[tuple[str, int]]) -> TsVector:
    """A vector of (lexeme, place); 54000."""
    return check_vector(
        make_vector((word, (min(place, PLACE_MAX) << 2,)) for word, place in words if word)
    )
