"""The type tsvector: sorted words with their positions and weights.

A value is a tuple of `Lexeme` pairs (word, positions); a position is `place * 4 + weight`, weights
0 D to 3 A, so that positions compare by place. Words sort by their UTF-8 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, context_free, six, sql_type
from heliosd.types.registry import KeyKind
from heliosd.types.text import decode_text

forms: Final = Forms()

Lexeme = tuple[str, tuple[int, ...]]
TsVector = tuple[Lexeme, ...]

PLACE_MAX: Final = 16_383
POSITIONS_MAX: Final = 255
WORD_MAX_BYTES: Final = 2046
TEXT_MAX_BYTES: Final = (1 << 20) - 1
WEIGHTS: Final = "DCBA"
_SPACE: Final = " \t\n\v\f\r"


def word_key(word: str) -> bytes:
    """What words sort by."""
    return word.encode()


def make_vector(words: Iterable[tuple[str, Iterable[int]]]) -> TsVector:
    """A vector of words in any order, the same word's positions put together."""
    found: dict[str, set[int]] = {}
    for word, positions in words:
        found.setdefault(word, set()).update(positions)
    return tuple((word, tidy_positions(found[word])) for word in sorted(found, key=word_key))


def tidy_positions(positions: Iterable[int]) -> tuple[int, ...]:
    """Sorted; of one place only the greatest weight; no more than are kept."""
    best: dict[int, int] = {}
    for position in positions:
        place, weight = position >> 2, position & 3
        best[place] = max(best.get(place, 0), weight)
    tidy = [place << 2 | best[place] for place in sorted(best)]
    return tuple(tidy[:POSITIONS_MAX])


# ------------------------------------------------------------ text


def quote_word(word: str) -> str:
    """A word as vectors and queries show it."""
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"


def _position_text(position: int) -> str:
    weight = position & 3
    return f"{position >> 2}{WEIGHTS[weight] if weight else ''}"


def vector_text(value: TsVector) -> str:
    """'a':1A 'b':2,3."""
    parts = []
    for word, positions in value:
        shown = quote_word(word)
        if positions:
            shown += ":" + ",".join(map(_position_text, positions))
        parts.append(shown)
    return " ".join(parts)


class WordReader:
    """Reads words as vectors (and queries) spell them."""

    def __init__(self, text: str, *, query: bool = False) -> None:
        self.text = text
        self.at = 0
        self.query = query

    def wrong(self) -> SqlError:
        """42601."""
        what = "tsquery" if self.query else "tsvector"
        return SqlError("42601", f'syntax error in {what}: "{self.text}"')

    def skip_spaces(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in _SPACE:
            self.at += 1

    def word(self) -> str | None:
        """The next word, quoted or bare; None at the end. 42601."""
        self.skip_spaces()
        text = self.text
        if self.at >= len(text):
            return None
        if text[self.at] == "'":
            self.at += 1
            return self._quoted()
        if self._is_delimiter(text[self.at]):
            raise self.wrong()
        return self._bare()

    def _is_delimiter(self, char: str) -> bool:
        return self.query and char in "!|&()<:"

    def _escaped(self) -> str:
        self.at += 1
        if self.at >= len(self.text):
            raise SqlError("42601", f'there is no escaped character: "{self.text}"')
        self.at += 1
        return self.text[self.at - 1]

    def _quoted(self) -> str:
        out: list[str] = []
        text = self.text
        while True:
            if self.at >= len(text):
                raise self.wrong()
            char = text[self.at]
            if char == "'":
                if text[self.at + 1 : self.at + 2] != "'":
                    self.at += 1
                    break
                out.append("'")
                self.at += 2
            elif char == "\\":
                out.append(self._escaped())
            else:
                out.append(char)
                self.at += 1
        if not out:
            raise self.wrong()
        return "".join(out)

    def _bare(self) -> str:
        out: list[str] = []
        text = self.text
        while self.at < len(text):
            char = text[self.at]
            if char == "\\":
                out.append(self._escaped())
            elif char in _SPACE or (char == ":" and out) or self._is_delimiter(char):
                break
            else:
                out.append(char)
                self.at += 1
        return "".join(out)


def check_word(word: str) -> str:
    """54000 for a word that is too long."""
    size = len(word.encode())
    if size > WORD_MAX_BYTES:
        raise SqlError("54000", f"word is too long ({size} bytes, max {WORD_MAX_BYTES} bytes)")
    return word


def _positions(reader: WordReader) -> tuple[int, ...]:
    """:1A,2."""
    text = reader.text
    found = []
    while True:
        start = reader.at
        while reader.at < len(text) and text[reader.at] in "0123456789":
            reader.at += 1
        if start == reader.at:
            raise reader.wrong()
        place = int(text[start : reader.at])
        if place == 0:
            raise SqlError("42601", f'wrong position info in tsvector: "{text}"')
        weight = 0
        following = text[reader.at : reader.at + 1].upper()
        if following == "*":
            following = "A"
        if following and following in WEIGHTS:
            weight = WEIGHTS.index(following)
            reader.at += 1
        found.append(min(place, PLACE_MAX) << 2 | weight)
        if text[reader.at : reader.at + 1] != ",":
            break
        reader.at += 1
    if reader.at < len(text) and text[reader.at] not in _SPACE:
        raise reader.wrong()
    return tuple(found)


def parse_vector(text: str) -> TsVector:
    """42601, 54000."""
    reader = WordReader(text)
    words: list[tuple[str, tuple[int, ...]]] = []
    while (word := reader.word()) is not None:
        check_word(word)
        positions: tuple[int, ...] = ()
        if text[reader.at : reader.at + 1] == ":":
            reader.at += 1
            positions = _positions(reader)
        words.append((word, positions))
    return check_vector(make_vector(words))


def check_vector(value: TsVector) -> TsVector:
    """54000 for a vector that is too large."""
    size = sum(len(word.encode()) + 2 * len(positions) + 4 for word, positions in value)
    if size > TEXT_MAX_BYTES:
        raise SqlError(
            "54000",
            f"string is too long for tsvector ({size} bytes, max {TEXT_MAX_BYTES} bytes)",
        )
    return value


def _input(text: str, typmod: int, ctx: EvalContext) -> TsVector:
    return parse_vector(text)


# ------------------------------------------------------------ binary

_COUNT: Final = struct.Struct(">I")
_SHORT: Final = struct.Struct(">H")


def vector_send(value: TsVector) -> bytes:
    """Count; per word: its text, a zero, how many positions, the positions."""
    parts = [_COUNT.pack(len(value))]
    for word, positions in value:
        parts += (word.encode(), b"\0", _SHORT.pack(len(positions)))
        parts += [_SHORT.pack((p & 3) << 14 | p >> 2) for p in positions]
    return b"".join(parts)


def _unpack(data: bytes) -> TsVector:
    count = _COUNT.unpack_from(data)[0]
    at = 4
    words = []
    for _ in range(count):
        end = data.index(b"\0", at)
        word = data[at:end].decode()
        number = _SHORT.unpack_from(data, end + 1)[0]
        at = end + 3
        raw = struct.unpack_from(f">{number}H", data, at)
        at += 2 * number
        words.append((word, tuple((p & 0x3FFF) << 2 | p >> 14 for p in raw)))
    return tuple(words)


def _receive(data: bytes, typmod: int, ctx: EvalContext) -> TsVector:
    try:
        count = _COUNT.unpack_from(data)[0]
        if count > len(data):
            raise SqlError("22P03", "invalid size of tsvector")
        value = _unpack(data)
        size = len(vector_send(value))
    except (struct.error, ValueError):
        raise SqlError("08P01", "insufficient data left in message") from None
    if size != len(data):
        raise SqlError("22P03", "incorrect binary data format")
    for word, _ in value:
        decode_text(word.encode())
        if not word or len(word.encode()) > WORD_MAX_BYTES:
            raise SqlError("22P03", "invalid tsvector: lexeme too long")
    return make_vector(value)


# ------------------------------------------------------------ order


def _size(value: TsVector) -> int:
    """Bytes of PostgreSQL's own form: vectors sort by it first."""
    total = 0
    for word, positions in value:
        total += len(word.encode())
        if positions:
            total += total & 1
            total += 2 + 2 * len(positions)
    return 8 + 4 * len(value) + total


@forms.helper
def vector_key(value: TsVector) -> tuple[Any, ...]:
    """The sort key: size, count, then the words; more positions and later ones go first."""
    return (
        _size(value),
        len(value),
        tuple(
            (not positions, word.encode(), -len(positions), tuple(-(p >> 2) for p in positions),
             tuple(-(p & 3) for p in positions))
            for word, positions in value
        ),
    )  # fmt: skip


types: Final = (
    sql_type(
        "tsvector",
        input=_input,
        output=context_free(vector_text),
        plain_output=vector_text,
        receive=_receive,
        plain_send=vector_send,
        pack=vector_send,
        unpack=_unpack,
        key=KeyKind.BYTES,
        key_value=vector_send,
        native=False,
        sort_key=vector_key,
    ),
)

forms.comparisons("tsvector", "tsvector", six("tsvector_"), "vector_key({0}) {op} vector_key({1})")
forms.function("tsvectorsend(tsvector)")(vector_send)
