"""Making queries of texts: to_tsquery, plainto_tsquery, phraseto_tsquery, websearch_to_tsquery.

Each word goes through the configuration; stop words leave holes that phrases keep count of.
"""

from __future__ import annotations

from typing import Final

from heliosd.types.context import EvalContext
from heliosd.types.textsearch_query import EMPTY, QueryReader, TsQuery, join, negated, value
from heliosd.types.textsearch_words import words_of

_STOP: TsQuery = ("stop",)


def _morphed(
    config: int, text: str, operator: str, ctx: EvalContext, weights: int, *, prefix: bool
) -> TsQuery:
    """What one written word stands for: its lexemes, joined, stop words as holes."""
    found: TsQuery = ()
    place = 0
    for word, at in words_of(config, text, ctx=ctx):
        if not word:
            continue
        item = value(word, weights, prefix=prefix)
        if place:
            for _ in range(place + 1, at):
                found = join(operator, found, _STOP, 1)
        place = at
        found = join(operator, found, item, 1) if found else item
    return found or _STOP


def _cleaned(query: TsQuery) -> tuple[TsQuery | None, int, int]:
    """Without stop words; the distances that they leave to the left and to the right."""
    kind = query[0]
    if kind == "val":
        return query, 0, 0
    if kind == "stop":
        return None, 0, 0
    if kind == "!":
        inner, left, right = _cleaned(query[1])
        return (None if inner is None else negated(inner)), left, right
    first, first_left, first_right = _cleaned(query[1])
    second, second_left, second_right = _cleaned(query[2])
    is_phrase = kind == "<"
    distance = query[3] if is_phrase else 0
    if first is None and second is None:
        gap = first_left + distance + second_left if is_phrase else max(first_left, second_left)
        return None, gap, gap
    if first is None:
        if is_phrase:
            return second, first_left + distance + second_left, second_right
        return second, second_left, second_right
    if second is None:
        if is_phrase:
            return first, first_left, first_right + distance + second_right
        return first, first_left, first_right
    if is_phrase:
        whole = join("<", first, second, distance + first_right + second_left)
        return whole, first_left, second_right
    return join(kind, first, second), 0, 0


def without_stop_words(query: TsQuery, ctx: EvalContext) -> TsQuery:
    """The query; empty, with a notice, when nothing but stop words was in it."""
    cleaned = _cleaned(query)[0] if query else None
    if cleaned is None:
        ctx.notice(
            "NOTICE",
            "text-search query contains only stop words or doesn't contain lexemes, ignored",
        )
        return EMPTY
    return cleaned


class _ConfiguredReader(QueryReader):
    def __init__(self, config: int, text: str, ctx: EvalContext) -> None:
        super().__init__(text)
        self.config = config
        self.ctx = ctx

    def operand(self, word: str, weights: int, *, prefix: bool) -> TsQuery:
        return _morphed(self.config, word, "<", self.ctx, weights, prefix=prefix)


def read_query(config: int, text: str, ctx: EvalContext) -> TsQuery:
    """to_tsquery; 42601."""
    return without_stop_words(_ConfiguredReader(config, text, ctx).read(), ctx)


def plain_query(config: int, text: str, ctx: EvalContext) -> TsQuery:
    """plainto_tsquery: all words, in any order."""
    if not text.strip():
        return without_stop_words((), ctx)
    return without_stop_words(_morphed(config, text, "&", ctx, 0, prefix=False), ctx)


def phrase_query(config: int, text: str, ctx: EvalContext) -> TsQuery:
    """phraseto_tsquery: all words, one after another."""
    return without_stop_words(_morphed(config, text, "<", ctx, 0, prefix=False), ctx)


def web_query(config: int, text: str, ctx: EvalContext) -> TsQuery:
    """websearch_to_tsquery: words, "phrases", or, -not; nothing is a syntax error."""
    reader = _WebReader(config, text, ctx)
    return without_stop_words(reader.read(), ctx)


_SPACE: Final = " \t\n\v\f\r"
_OPERATORS: Final = "!&|()<"


class _WebReader:
    """Operands and operators in turn; what fits nowhere is passed over."""

    def __init__(self, config: int, text: str, ctx: EvalContext) -> None:
        self.config = config
        self.text = text
        self.ctx = ctx
        self.at = 0

    def read(self) -> TsQuery:
        """Terms side by side are all wanted; `or` binds less tightly."""
        either: TsQuery = ()
        every: TsQuery = ()
        while (term := self.operand(first=not every and not either)) is not None:
            every = join("&", every, term) if every else term
            operator = self.operator()
            if operator == "|":
                either = join("|", either, every) if either else every
                every = ()
            elif not operator:
                break
        if not every:
            return either
        return join("|", either, every) if either else every

    def operator(self) -> str:
        """& or | between two operands, "" at the end."""
        text = self.text
        while self.at < len(text):
            if self._is_or():
                self.at += 2
                return "|"
            if text[self.at] not in _SPACE + _OPERATORS:
                return "&"
            self.at += 1
        return ""

    def _is_or(self) -> bool:
        """`or` that is no part of a word, with something after it."""
        text, at = self.text, self.at
        after = text[at + 2 : at + 3]
        if text[at : at + 2].lower() != "or" or not after:
            return False
        return not (after in "-_" or after.isalnum()) and bool(text[at + 3 :].strip(_SPACE))

    def operand(self, *, first: bool) -> TsQuery | None:
        """The next term; a hole where an operator has none, None where the first is missing."""
        text = self.text
        negations = 0
        while self.at < len(text):
            char = text[self.at]
            if char == "-":
                negations += 1
            elif char == '"':
                return self._negated(self._quotation(), negations)
            elif char not in _OPERATORS and char not in _SPACE:
                return self._negated(self._word(), negations)
            self.at += 1
        return None if first and not negations else self._negated(_STOP, negations)

    def _quotation(self) -> TsQuery:
        end = self.text.find('"', self.at + 1)
        end = len(self.text) if end < 0 else end
        inner = self.text[self.at + 1 : end]
        self.at = end + 1
        return _morphed(self.config, inner, "<", self.ctx, 0, prefix=False)

    def _word(self) -> TsQuery:
        start = self.at
        self.at += 1
        while self.at < len(self.text) and self.text[self.at] not in _SPACE + _OPERATORS + '":':
            self.at += 1
        word = self.text[start : self.at]
        return _morphed(self.config, word, "<", self.ctx, 0, prefix=False)

    @staticmethod
    def _negated(query: TsQuery, times: int) -> TsQuery:
        for _ in range(times):
            query = negated(query)
        return query
