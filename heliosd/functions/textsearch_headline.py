"""ts_headline: the part of a document that shows best why it answers a query."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms
from heliosd.types.json import dump, parse
from heliosd.types.textsearch_match import Places, holds
from heliosd.types.textsearch_operators import current_config
from heliosd.types.textsearch_parser import parse_tokens
from heliosd.types.textsearch_query import TsQuery
from heliosd.types.textsearch_words import check_config, token_lexemes

forms: Final = Forms()

_TAG: Final = 13
_COMPOUND: Final = frozenset({5, 15, 16, 17})  # URLs and hyphenated words: their parts follow
_NO_WORD: Final = _COMPOUND | {12, _TAG}
_NO_END: Final = _NO_WORD | {7, 8, 14, 20, 21, 22, 23}


@dataclass(slots=True)
class _Word:
    kind: int
    text: str
    item: TsQuery | None = None
    place: int = 0
    repeated: bool = False
    shown: bool = False
    selected: bool = False
    replaced: bool = False
    skipped: bool = False


@dataclass(slots=True)
class _Options:
    words_max: int = 35
    words_min: int = 15
    short: int = 3
    everything: bool = False
    fragments: int = 0
    start: str = "<b>"
    stop: str = "</b>"
    delimiter: str = " ... "


_MARK_MAX_BYTES: Final = 32_767
_OPTION: Final = re.compile(
    r"""\s*,?\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*
        (?:"((?:[^"\\]|\\.|"")*)"|'((?:[^'\\]|\\.|'')*)'|([^\s,"']*(?:[^\s,])?))\s*""",
    re.VERBOSE | re.DOTALL,
)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while text[at:].strip():
        match = _OPTION.match(text, at)
        if match is None or match.end() == at:
            raise SqlError("42601", f'invalid parameter list format: "{text}"')
        value = next((part for part in match.group(2, 3, 4) if part is not None), "")
        if match[2] is not None or match[3] is not None:
            value = re.sub(r'\\(.)|""|\'\'', lambda m: m[1] or m[0][0], value)
        yield match[1], value
        at = match.end()


def _integer(value: str) -> int:
    match = re.fullmatch(r"\s*[+-]?\d+\s*", value)
    if match is None:
        raise SqlError("22P02", f'invalid input syntax for type integer: "{value}"')
    return int(value)


def parse_options(text: str) -> _Options:
    """MaxWords=20, StartSel=<i> ...; 22023, 42601."""
    options = _Options()
    for name, value in _pairs(text):
        match name.lower():
            case "maxwords":
                options.words_max = _integer(value)
            case "minwords":
                options.words_min = _integer(value)
            case "shortword":
                options.short = _integer(value)
            case "maxfragments":
                options.fragments = _integer(value)
            case "startsel":
                options.start = value
            case "stopsel":
                options.stop = value
            case "fragmentdelimiter":
                options.delimiter = value
            case "highlightall":
                options.everything = value.lower() in ("1", "on", "true", "t", "y", "yes")
            case _:
                raise SqlError("22023", f'unrecognized headline parameter: "{name}"')
    for name, text_of in (
        ("StartSel", options.start),
        ("StopSel", options.stop),
        ("FragmentDelimiter", options.delimiter),
    ):
        if len(text_of.encode()) > _MARK_MAX_BYTES:
            raise SqlError("22023", f'value for "{name}" is too long')
    if not options.everything:
        if options.words_min >= options.words_max:
            raise SqlError("22023", "MinWords should be less than MaxWords")
        if options.words_min <= 0:
            raise SqlError("22023", "MinWords should be positive")
        if options.short < 0:
            raise SqlError("22023", "ShortWord should be >= 0")
        if options.fragments < 0:
            raise SqlError("22023", "MaxFragments should be >= 0")
    return options


def _operands(query: TsQuery) -> list[TsQuery]:
    if not query:
        return []
    if query[0] == "val":
        return [query]
    # PostgreSQL keeps the right operand first
    parts = [part for part in reversed(query[1:]) if isinstance(part, tuple)]
    return [item for part in parts for item in _operands(part)]


def _found(items: list[TsQuery], lexeme: str) -> list[TsQuery]:
    return [
        item for item in items
        if (lexeme.startswith(item[1]) if item[3] else lexeme == item[1])
    ]  # fmt: skip


def _words(config: int, text: str, query: TsQuery) -> list[_Word]:
    items = _operands(query)
    words: list[_Word] = []
    place = 0
    for kind, token in parse_tokens(text):
        word = _Word(kind, token)
        words.append(word)
        lexemes = token_lexemes(config, kind, token)
        if lexemes is None:
            continue
        place += 1
        word.place = place
        for lexeme in lexemes:
            for item in _found(items, lexeme):
                if word.item is None:
                    word.item = item
                else:
                    words.append(_Word(kind, token, item, place, repeated=True))
    return words


class _Stretch:
    """Some words as a document to ask."""

    def __init__(self, words: list[_Word]) -> None:
        self.words = words

    def has(self, item: TsQuery) -> bool:
        return any(word.item is item for word in self.words)

    def places(self, item: TsQuery) -> Places | None:
        return sorted({word.place for word in self.words if word.item is item})


class _Headline:
    def __init__(self, words: list[_Word], query: TsQuery, options: _Options) -> None:
        self.words = words
        self.query = query
        self.options = options
        self.cover_max = max(options.words_max * 10, 100) * max(options.fragments, 1)

    # ---- what kind of word

    def counts(self, at: int) -> int:
        return 0 if self.words[at].kind in _NO_WORD else 1

    def interesting(self, at: int) -> bool:
        word = self.words[at]
        return word.item is not None and not word.repeated

    def bad_end(self, at: int) -> bool:
        word = self.words[at]
        no_end = word.kind in _NO_END or len(word.text.encode()) <= self.options.short
        return no_end and not self.interesting(at)

    # ---- covers

    def next_found(self, at: int) -> int:
        while at < len(self.words):
            if self.words[at].item is not None:
                return at
            at += 1
        return -1

    def cover(self, start: int) -> tuple[int, int] | None:
        """The first, shortest stretch from `start` on in which the query holds."""
        low = self.next_found(start)
        while low >= 0:
            following = -1
            high = low
            while True:
                if holds(self.query, _Stretch(self.words[low : high + 1])):
                    return low, high
                after = self.next_found(high + 1)
                if high == low:
                    following = after
                high = after
                if high < 0 or high - low >= self.cover_max:
                    break
            low = following
        return None

    def covers(self) -> Iterator[tuple[int, int]]:
        start = 0
        while (found := self.cover(start)) is not None:
            yield found
            start = found[0] + 1

    # ---- one stretch

    def mark(self, first: int, last: int) -> None:
        for word in self.words[first : last + 1]:
            word.selected = word.item is not None
            if self.options.everything:
                word.skipped = word.kind in _COMPOUND
            elif word.kind == _TAG:
                word.replaced = True
            elif word.kind in _COMPOUND:
                word.skipped = True
            word.shown = not word.repeated

    def beginning(self) -> tuple[int, int]:
        """The first words, where nothing was found."""
        count, last = 0, -1
        for at in range(len(self.words)):
            if count >= self.options.words_min:
                break
            count += self.counts(at)
            last = at
        return 0, last

    def mark_best(self) -> None:
        best: tuple[int, int] | None = None
        best_found, best_covers = -1, False
        for low, high in self.covers():
            first, last, found = self._stretched(low, high)
            covers = first <= low and last >= high
            better = best is None or covers > best_covers
            if not better and covers == best_covers:
                assert best is not None
                better = found > best_found or (
                    found == best_found and not self.bad_end(last) and self.bad_end(best[1])
                )
            if better:
                best, best_found, best_covers = (first, last), found, covers
        self.mark(*(best or self.beginning()))

    def _stretched(self, low: int, high: int) -> tuple[int, int, int]:
        """(first, last, words found) of a cover made as long as it should be."""
        count = found = 0
        at = low
        while at <= high and count < self.options.words_max:
            count += self.counts(at)
            found += self.interesting(at)
            at += 1
        first, last = low, at - 1
        if count < self.options.words_max:
            last, count, more = self._lengthened(at - 1, high, count)
            found += more
            if count < self.options.words_min:
                first, more = self._to_the_left(low, count)
                found += more
            return first, last, found
        at = min(at, high)
        while count > self.options.words_min and self.bad_end(at):
            count -= self.counts(at)
            found -= self.interesting(at)
            last = at - 1
            at -= 1
        return first, last, found

    def _lengthened(self, at: int, high: int, count: int) -> tuple[int, int, int]:
        last, found = at, 0
        while at < len(self.words) and count < self.options.words_max:
            if at > high:
                count += self.counts(at)
                found += self.interesting(at)
            last = at
            if not self.bad_end(at) and count >= self.options.words_min:
                break
            at += 1
        return last, count, found

    def _to_the_left(self, low: int, count: int) -> tuple[int, int]:
        found = 0
        at = low - 1
        while at >= 0:
            count += self.counts(at)
            found += self.interesting(at)
            if count >= self.options.words_max:
                break
            if not self.bad_end(at) and count >= self.options.words_min:
                break
            at -= 1
        return max(at, 0), found

    # ---- several fragments

    def mark_fragments(self) -> None:
        pieces = [piece for low, high in self.covers() for piece in self._pieces(low, high)]
        state = [True] * len(pieces)
        marked = 0
        for _ in range(self.options.fragments):
            candidates = [at for at, free in enumerate(state) if free and pieces[at][3] > 0]
            if not candidates:
                break
            chosen = min(candidates, key=lambda at: (-pieces[at][3], pieces[at][2]))
            state[chosen] = False
            first, last = self._widened(*pieces[chosen][:3])
            self.mark(first, last)
            marked += 1
            for at, (low, high, _, _) in enumerate(pieces):
                inside = first <= low <= last or first <= high <= last
                if inside or (low < first and high > last):
                    state[at] = False
        if not marked:
            self.mark(*self.beginning())

    def _pieces(self, low: int, high: int) -> Iterator[tuple[int, int, int, int]]:
        """A cover in pieces of no more than MaxWords: (first, last, words, found)."""
        start = low
        while start <= high:
            while start < high and not self.interesting(start):
                start += 1
            count = found = 0
            at = start
            while at <= high and count < self.options.words_max:
                count += self.counts(at)
                found += self.interesting(at)
                at += 1
            end = high
            if high > at:
                end = at
                while end >= start and not self.interesting(end):
                    count -= self.counts(end)
                    end -= 1
            yield start, end, count, found
            start = end + 1

    def _widened(self, first: int, last: int, count: int) -> tuple[int, int]:
        most = self.options.words_max
        if count >= most:
            return first, last
        stretch_max = (most - count) // 2
        stretch, mark, at = 0, first, first - 1
        while at >= 0 and stretch < stretch_max and not self.words[at].shown:
            if self.counts(at):
                count += 1
                stretch += 1
            mark = at
            at -= 1
        at = mark
        while at < first and self.bad_end(at):
            count -= self.counts(at)
            at += 1
        first = at
        mark, at = last, last + 1
        while at < len(self.words) and count < most and not self.words[at].shown:
            count += self.counts(at)
            mark = at
            at += 1
        at = mark
        while at > last and self.bad_end(at):
            count -= self.counts(at)
            at -= 1
        return first, at

    def text(self) -> str:
        options = self.options
        out: list[str] = []
        fragments, inside = 0, False
        for word in self.words:
            if word.repeated:
                continue
            if not word.shown:
                inside = False
                continue
            if not inside:
                inside = True
                fragments += 1
                if fragments > 1:
                    out.append(options.delimiter)
            if word.replaced:
                out.append(" ")
            elif not word.skipped:
                out.append(f"{options.start}{word.text}{options.stop}" if word.selected
                           else word.text)  # fmt: skip
        return "".join(out)


def headline(config: int, text: str, query: TsQuery, options: _Options) -> str:
    """A document's best part, the query's words in it marked."""
    check_config(config)
    whole = _Headline(_words(config, text, query), query, options)
    if options.everything:
        whole.mark(0, len(whole.words) - 1)
    elif options.fragments:
        whole.mark_fragments()
    else:
        whole.mark_best()
    return whole.text()


def _marked(value: Any, mark: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return mark(value)
    if isinstance(value, list):
        return [_marked(item, mark) for item in value]
    if isinstance(value, dict):
        return {key: _marked(item, mark) for key, item in value.items()}
    return value


def _json_headline(config: int, text: str, query: TsQuery, options: _Options) -> str:
    return dump(_marked(parse(text), lambda part: headline(config, part, query, options)))


def _compact_headline(config: int, text: str, query: TsQuery, options: _Options) -> str:
    marked = _marked(parse(text), lambda part: headline(config, part, query, options))
    return _compact(marked)


def _compact(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ",".join(map(_compact, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{dump(k)}:{_compact(v)}" for k, v in value.items()) + "}"
    return dump(value)


Headline = Callable[[int, str, TsQuery, _Options], str]


def _declare(kind: str, compute: Headline) -> None:
    plain = _Options()
    forms.function(f"ts_headline(regconfig,{kind},tsquery,text)")(
        lambda config, text, query, options: compute(config, text, query, parse_options(options))
    )
    forms.function(f"ts_headline(regconfig,{kind},tsquery)")(
        lambda config, text, query: compute(config, text, query, plain)
    )
    forms.function(f"ts_headline({kind},tsquery,text)", needs_context=True)(
        lambda ctx, text, query, options: compute(
            _current(ctx), text, query, parse_options(options)
        )
    )
    forms.function(f"ts_headline({kind},tsquery)", needs_context=True)(
        lambda ctx, text, query: compute(_current(ctx), text, query, plain)
    )


def _current(ctx: EvalContext) -> int:
    return current_config(ctx)


_declare("text", headline)
_declare("jsonb", _json_headline)
_declare("json", _compact_headline)
