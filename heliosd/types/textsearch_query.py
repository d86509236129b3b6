"""The type tsquery: words with weights and prefixes, joined by !, &, | and <n>.

A value is a tuple: `("val", word, weights, prefix)` (weights a mask: 1 D, 2 C, 4 B, 8 A; 0 any),
`("!", query)`, `("&", left, right)`, `("|", left, right)`, `("<", left, right, distance)`; the
empty query is `()`.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, context_free, six, sql_type
from heliosd.types.registry import KeyKind
from heliosd.types.textsearch import WEIGHTS, WordReader, check_word, quote_word

forms: Final = Forms()

TsQuery = tuple[Any, ...]
EMPTY: Final[TsQuery] = ()

_PRIORITY: Final = {"|": 1, "&": 2, "<": 3, "!": 4, "val": 5}
DISTANCE_MAX: Final = 16_384
_DEPTH_MAX: Final = 300


def value(word: str, weights: int = 0, *, prefix: bool = False) -> TsQuery:
    """A word to look for."""
    return ("val", word, weights, prefix)


# ------------------------------------------------------------ text


def _operator(query: TsQuery) -> str:
    if query[0] == "<":
        return " <-> " if query[3] == 1 else f" <{query[3]}> "
    return f" {query[0]} "


def _show(query: TsQuery, parent: int, *, right_of_phrase: bool) -> str:
    kind = query[0]
    if kind == "val":
        _, word, weights, prefix = query
        text = quote_word(word)
        if weights or prefix:
            shown = "".join(letter for bit, letter in zip((8, 4, 2, 1), "ABCD", strict=True)
                            if weights & bit)  # fmt: skip
            text += ":" + ("*" if prefix else "") + shown
        return text
    priority = _PRIORITY[kind]
    if kind == "!":
        text = "!" + _show(query[1], priority, right_of_phrase=False)
        return f"( {text} )" if priority < parent else text
    left = _show(query[1], priority, right_of_phrase=False)
    right = _show(query[2], priority, right_of_phrase=kind == "<")
    text = f"{left}{_operator(query)}{right}"
    brackets = priority < parent or (kind == "<" and priority == parent and right_of_phrase)
    return f"( {text} )" if brackets else text


def query_text(query: TsQuery) -> str:
    """'a' & !'b' | 'c':*A."""
    return _show(query, -1, right_of_phrase=False) if query else ""


class QueryReader:
    """Reads a query; what a word becomes is `operand`'s business."""

    def __init__(self, text: str) -> None:
        self.reader = WordReader(text, query=True)
        self.depth = 0

    def operand(self, word: str, weights: int, *, prefix: bool) -> TsQuery:
        """The query that one written word stands for."""
        return value(check_word(word), weights, prefix=prefix)

    def read(self) -> TsQuery:
        """42601."""
        reader = self.reader
        reader.skip_spaces()
        if reader.at >= len(reader.text):
            return EMPTY
        query = self.binary(0)
        reader.skip_spaces()
        if reader.at < len(reader.text):
            raise reader.wrong()
        return query

    def _next_operator(self) -> tuple[str, int, int] | None:
        """(operator, distance, characters)."""
        reader = self.reader
        reader.skip_spaces()
        text, at = reader.text, reader.at
        char = text[at : at + 1]
        if char in ("&", "|"):
            return char, 0, 1
        if char == "<":
            return self._phrase(text, at)
        return None

    def _phrase(self, text: str, at: int) -> tuple[str, int, int]:
        end = text.find(">", at)
        inner = text[at + 1 : end] if end >= 0 else ""
        if inner == "-":
            return "<", 1, 3
        if not (inner.isascii() and inner.isdigit()):
            raise self.reader.wrong()
        if int(inner) > DISTANCE_MAX:
            raise bad_distance()
        return "<", int(inner), end - at + 1

    def binary(self, least: int) -> TsQuery:
        """Operators that bind at least as tightly as `least`."""
        self.depth += 1
        if self.depth > _DEPTH_MAX:
            raise SqlError("54001", "stack depth limit exceeded")
        left = self.unary()
        while (found := self._next_operator()) is not None:
            operator, distance, size = found
            priority = _PRIORITY[operator]
            if priority < least:
                break
            self.reader.at += size
            right = self.binary(priority + 1)
            left = join(operator, left, right, distance)
        self.depth -= 1
        return left

    def unary(self) -> TsQuery:
        reader = self.reader
        reader.skip_spaces()
        char = reader.text[reader.at : reader.at + 1]
        if char == "!":
            reader.at += 1
            self.depth += 1
            if self.depth > _DEPTH_MAX:
                raise SqlError("54001", "stack depth limit exceeded")
            inner = self.unary()
            self.depth -= 1
            return negated(inner)
        if char == "(":
            reader.at += 1
            query = self.binary(0)
            reader.skip_spaces()
            if reader.text[reader.at : reader.at + 1] != ")":
                raise reader.wrong()
            reader.at += 1
            return query
        if not char:
            raise SqlError("42601", f'no operand in tsquery: "{reader.text}"')
        word = reader.word()
        if word is None:
            raise reader.wrong()
        weights, prefix = self._flags()
        return self.operand(word, weights, prefix=prefix)

    def _flags(self) -> tuple[int, bool]:
        reader = self.reader
        weights, prefix = 0, False
        if reader.text[reader.at : reader.at + 1] == ":":
            reader.at += 1
            while (char := reader.text[reader.at : reader.at + 1].upper()) and char in "ABCD*":
                if char == "*":
                    prefix = True
                else:
                    weights |= 1 << WEIGHTS.index(char)
                reader.at += 1
        return weights, prefix


def bad_distance() -> SqlError:
    return SqlError(
        "22023",
        "distance in phrase operator must be an integer value between zero and "
        f"{DISTANCE_MAX} inclusive",
    )


def join(operator: str, left: TsQuery, right: TsQuery, distance: int = 0) -> TsQuery:
    """Two queries under an operator."""
    return ("<", left, right, distance) if operator == "<" else (operator, left, right)


def negated(query: TsQuery) -> TsQuery:
    """! query."""
    return ("!", query)


def parse_query(text: str) -> TsQuery:
    """42601, 22023, 54000."""
    return QueryReader(text).read()


def _input(text: str, typmod: int, ctx: EvalContext) -> TsQuery:
    query = parse_query(text)
    if not query:
        ctx.notice("NOTICE", f'text-search query doesn\'t contain lexemes: "{text}"')
    return query


# ------------------------------------------------------------ binary: prefix order, right first

_COUNT: Final = struct.Struct(">I")
_OPERATORS: Final = {"!": 1, "&": 2, "|": 3, "<": 4}
_OPERATOR_OF: Final = {number: name for name, number in _OPERATORS.items()}


def node_count(query: TsQuery) -> int:
    """Words and operators."""
    if not query:
        return 0
    if query[0] == "val":
        return 1
    return 1 + sum(node_count(part) for part in query[1:] if isinstance(part, tuple))


def query_send(query: TsQuery) -> bytes:
    """Count, then the items."""
    parts = [_COUNT.pack(node_count(query))]

    def put(item: TsQuery) -> None:
        if item[0] == "val":
            _, word, weights, prefix = item
            parts.append(bytes((1, weights, prefix)) + word.encode() + b"\0")
            return
        parts.append(bytes((2, _OPERATORS[item[0]])))
        if item[0] == "<":
            parts.append(struct.pack(">H", item[3]))
        if item[0] != "!":
            put(item[2])
        put(item[1])

    if query:
        put(query)
    return b"".join(parts)


def _unpack(data: bytes) -> TsQuery:
    count = _COUNT.unpack_from(data)[0]
    query, at = _unpack_item(data, 4, 0) if count else (EMPTY, 4)
    if at != len(data) or node_count(query) != count:
        raise ValueError(at)
    return query


def _unpack_item(data: bytes, at: int, depth: int) -> tuple[TsQuery, int]:
    if depth > _DEPTH_MAX:
        raise ValueError(depth)
    if data[at] == 1:
        weights, prefix = data[at + 1], data[at + 2]
        end = data.index(b"\0", at + 3)
        if weights > 15 or prefix > 1:
            raise ValueError(weights)
        return value(data[at + 3 : end].decode(), weights, prefix=bool(prefix)), end + 1
    if data[at] != 2:
        raise ValueError(data[at])
    operator = _OPERATOR_OF[data[at + 1]]
    at += 2
    distance = 0
    if operator == "<":
        distance = struct.unpack_from(">H", data, at)[0]
        at += 2
    if operator == "!":
        inner, at = _unpack_item(data, at, depth + 1)
        return negated(inner), at
    right, at = _unpack_item(data, at, depth + 1)
    left, at = _unpack_item(data, at, depth + 1)
    return join(operator, left, right, distance), at


def _receive(data: bytes, typmod: int, ctx: EvalContext) -> TsQuery:
    try:
        return _unpack(data)
    except (struct.error, ValueError, KeyError, IndexError):
        raise SqlError("22P03", "incorrect binary data format") from None


# ------------------------------------------------------------ order


def _text_size(query: TsQuery) -> int:
    if not query:
        return 0
    if query[0] == "val":
        return len(query[1].encode()) + 1
    return sum(_text_size(part) for part in query[1:] if isinstance(part, tuple))


def node_key(query: TsQuery) -> tuple[Any, ...]:
    """Operators before words; greater codes first, as PostgreSQL compares them."""
    if query[0] == "val":
        return (0, -_checksum(query[1]), query[1].encode())
    children = [node_key(part) for part in reversed(query[1:3]) if isinstance(part, tuple)]
    distance = query[3] if query[0] == "<" else 0
    return (-1, -_OPERATORS[query[0]], *children, -distance)


def _table_entry(number: int) -> int:
    for _ in range(8):
        number = number >> 1 ^ (0xEDB88320 if number & 1 else 0)
    return number


_CHECKSUMS: Final = tuple(map(_table_entry, range(256)))


def chain_key(kind: str, keys: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The key of a chain of one operator; longer chains go first."""
    return (-1, -_OPERATORS[kind], -len(keys), *keys)


def _checksum(word: str) -> int:
    """PostgreSQL's old checksum of a word, as a signed number: what its order goes by."""
    code = 0xFFFFFFFF
    for byte in word.encode():
        code = _CHECKSUMS[(code >> 24 ^ byte) & 0xFF] ^ (code << 8 & 0xFFFFFFFF)
    code ^= 0xFFFFFFFF
    return code - (1 << 32) if code >= 1 << 31 else code


@forms.helper
def query_key(query: TsQuery) -> tuple[Any, ...]:
    """The sort key: how many items, how much text, then the tree."""
    return (node_count(query), _text_size(query), node_key(query) if query else ())


types: Final = (
    sql_type(
        "tsquery",
        input=_input,
        output=context_free(query_text),
        plain_output=query_text,
        receive=_receive,
        plain_send=query_send,
        pack=query_send,
        unpack=_unpack,
        key=KeyKind.BYTES,
        key_value=query_send,
        native=False,
        sort_key=query_key,
    ),
)

forms.comparisons("tsquery", "tsquery", six("tsquery_"), "query_key({0}) {op} query_key({1})")
forms.function("tsquerysend(tsquery)")(query_send)
