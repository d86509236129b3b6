"""Making queries of texts: to_tsquery, plainto_tsquery, phraseto_tsquery, websearch_to_tsquery.

Each word goes through the configuration; stop words leave holes that phrases keep count of.
"""

from __future__ import annotations

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


_SPACE = " \t\n\v\f\r"


class _WebReader:
    def __init__(self, config: int, text: str, ctx: EvalContext) -> None:
        self.config = config
        self.text = text
        self.ctx = ctx
        self.at = 0

    def read(self) -> TsQuery:
        """Terms side by side are all wanted; `or` binds less tightly."""
        either: TsQuery = ()
        every: TsQuery = ()
        pending_or = False
        while (term := self.term(after_term=bool(every or either))) is not None:
            if term == ("or",):
                pending_or = True
                continue
            if pending_or and every:
                either = join("|", either, every) if either else every
                every = ()
            pending_or = False
            every = join("&", every, term) if every else term
        if not every:
            return either
        return join("|", either, every) if either else every

    def _is_or(self) -> bool:
        """`or` between terms: not at the end, not before punctuation that ends it."""
        text, at = self.text, self.at
        if text[at : at + 2].lower() != "or":
            return False
        after = text[at + 2 : at + 3]
        if after and (after in "-_" or after.isalnum()):
            return False
        rest = at + 2
        while rest < len(text):
            char = text[rest]
            if char in _SPACE:
                rest += 1
                continue
            return char == '"' or char in "-_" or char.isalnum()
        return False

    def term(self, *, after_term: bool) -> TsQuery | None:
        """The next term; None at the end."""
        text = self.text
        negations = 0
        while self.at < len(text):
            char = text[self.at]
            if char == "-" and self._negates():
                self.at += 1
                negations += 1
                continue
            if char == '"':
                inner = self._quotation()
                if inner is None:
                    continue
                return self._negated(inner, negations)
            if after_term and not negations and self._is_or():
                self.at += 2
                return ("or",)
            if char in _SPACE or not (char.isalnum() or char in "_-"):
                self.at += 1
                negations = 0 if char not in _SPACE else negations
                continue
            return self._negated(self._word(), negations)
        return None

    def _negates(self) -> bool:
        before = self.text[self.at - 1 : self.at] if self.at else " "
        after = self.text[self.at + 1 : self.at + 2]
        return (before in _SPACE or before in '"-') and bool(after) and after not in _SPACE

    def _quotation(self) -> TsQuery | None:
        end = self.text.find('"', self.at + 1)
        if end < 0:
            self.at += 1  # a lone quote is nothing
            return None
        inner = self.text[self.at + 1 : end]
        self.at = end + 1
        return _morphed(self.config, inner, "<", self.ctx, 0, prefix=False)

    def _word(self) -> TsQuery:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in _SPACE + '"':
            self.at += 1
        word = self.text[start : self.at]
        return _morphed(self.config, word, "<", self.ctx, 0, prefix=False)

    @staticmethod
    def _negated(query: TsQuery, times: int) -> TsQuery:
        for _ in range(times):
            query = negated(query)
        return query
