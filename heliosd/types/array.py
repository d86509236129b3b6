"""Arrays of any element type: the value, its text and binary forms, its order.

One `SqlType` per element type that has an array in PostgreSQL's catalog; `array_types` makes them
from the element types' own declarations.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms
from heliosd.types.facts import type_facts
from heliosd.types.failures import wrong_length
from heliosd.types.registry import KeyKind, SqlType, Value
from heliosd.types.rest import rest_forms

forms: Final = Forms()
types: Final[tuple[SqlType, ...]] = ()

DIMENSIONS_MAX: Final = 6
# PostgreSQL's MaxArraySize: what fits a gigabyte of pointers.
ELEMENTS_MAX: Final = 134_217_727
_HEAD: Final = struct.Struct(">iiI")
_DIMENSION: Final = struct.Struct(">ii")
_LENGTH: Final = struct.Struct(">i")
_SPACES: Final = " \t\n\v\f\r"
_QUOTED: Final = frozenset('{}"\\ \t\n\v\f\r')


@dataclass(frozen=True, slots=True)
class Array:
    """Elements in row-major order; both tuples are empty for the empty array."""

    elements: tuple[Value, ...]
    dimensions: tuple[int, ...]
    lower_bounds: tuple[int, ...]


EMPTY: Final = Array((), (), ())


def array_of(elements: Iterable[Value]) -> Array:
    """A one-dimensional array from 1; the empty one of nothing."""
    values = tuple(elements)
    return Array(values, (len(values),), (1,)) if values else EMPTY


# ------------------------------------------------------------ text


def _malformed(text: str, detail: str) -> SqlError:
    return SqlError("22P02", f'malformed array literal: "{text}"', detail=detail)


class _Reader:
    """Reads `{a,"b c",{...}}` into nested lists, checking the shape as it goes."""

    def __init__(self, text: str, delimiter: str) -> None:
        self.text = text
        self.at = 0
        self.delimiter = delimiter
        self.elements: list[str | None] = []
        self.dimensions: list[int] = []

    def fail(self, detail: str) -> SqlError:
        return _malformed(self.text, detail)

    def skip(self) -> str:
        """The next character that is no space, "" at the end."""
        text = self.text
        while self.at < len(text) and text[self.at] in _SPACES:
            self.at += 1
        return text[self.at : self.at + 1]

    def bounds(self) -> list[int]:
        """`[2:4][1:2]=` before the braces: the lower bounds and the dimensions that it says."""
        lower: list[int] = []
        self.said: list[int] = []
        while self.skip() == "[":
            close = self.text.find("]", self.at)
            if close < 0:
                raise self.fail("Missing array dimension value.")
            low, colon, high = self.text[self.at + 1 : close].partition(":")
            try:
                first, last = (int(low), int(high)) if colon else (1, int(low))
            except ValueError:
                raise self.fail(
                    '"[" must introduce explicitly-specified array dimensions.'
                ) from None
            if last < first:
                raise SqlError("2202E", "upper bound cannot be less than lower bound")
            lower.append(first)
            self.said.append(last - first + 1)
            self.at = close + 1
        if lower:
            if self.skip() != "=":
                raise self.fail('Missing "=" after array dimensions.')
            self.at += 1
        return lower

    def group(self, depth: int) -> None:
        """One brace level at `depth` (from 0)."""
        if depth >= DIMENSIONS_MAX:
            raise SqlError(
                "54000",
                f"number of array dimensions ({depth + 1}) exceeds the maximum allowed "
                f"({DIMENSIONS_MAX})",
            )
        self.at += 1
        count = 0
        if self.skip() == "}" and depth == 0:
            self.at += 1
            return
        while True:
            char = self.skip()
            if char == "{":
                if count and len(self.dimensions) == depth + 1:
                    raise self.fail('Unexpected "{" character.')
                self.group(depth + 1)
            else:
                if len(self.dimensions) > depth + 1:
                    raise self.fail(
                        "Unexpected array element."
                        if count
                        else "Multidimensional arrays must have sub-arrays with matching "
                        "dimensions."
                    )
                self.elements.append(self.element())
            count += 1
            char = self.skip()
            self.at += 1
            if char == "}":
                break
            if char != self.delimiter:
                raise self.fail(
                    "Unexpected end of input." if not char else f'Unexpected "{char}" character.'
                )
        self.close(depth, count)

    def close(self, depth: int, count: int) -> None:
        """A level ended with `count` members: the same as its siblings'."""
        while len(self.dimensions) <= depth:
            self.dimensions.append(-1)
        if self.dimensions[depth] == -1:
            self.dimensions[depth] = count
        elif self.dimensions[depth] != count:
            raise self.fail(
                "Multidimensional arrays must have sub-arrays with matching dimensions."
            )

    def element(self) -> str | None:
        """One quoted or plain element; NULL as None."""
        text, at = self.text, self.at
        if text[at : at + 1] == '"':
            return self.quoted()
        out: list[str] = []
        plain = True
        while at < len(text) and text[at] not in "{}" and text[at] != self.delimiter:
            char = text[at]
            if char == '"':
                raise self.fail("Unexpected array element.")
            if char == "\\":
                at += 1
                plain = False
                if at == len(text):
                    raise self.fail("Unexpected end of input.")
                char = text[at]
            out.append(char)
            at += 1
        if at == len(text):
            raise self.fail("Unexpected end of input.")
        value = "".join(out).rstrip(_SPACES) if plain else "".join(out)
        if not value:
            raise self.fail(f'Unexpected "{text[at]}" character.')
        self.at = at
        return None if plain and value.upper() == "NULL" else value

    def quoted(self) -> str:
        text, at = self.text, self.at + 1
        out: list[str] = []
        while at < len(text):
            char = text[at]
            if char == '"':
                self.at = at + 1
                following = self.skip()
                if following not in ("}", self.delimiter):
                    raise self.fail("Unexpected array element.")
                return "".join(out)
            if char == "\\":
                at += 1
                char = text[at : at + 1]
            out.append(char)
            at += 1
        raise self.fail("Unexpected end of input.")


def read_array(text: str, delimiter: str) -> tuple[list[str | None], Array]:
    """The element texts and an array of the shape that `text` says. 22P02, 2202E, 54000."""
    reader = _Reader(text, delimiter)
    lower = reader.bounds()
    if reader.skip() != "{":
        raise reader.fail('Array value must start with "{" or dimension information.')
    reader.group(0)
    if reader.skip():
        raise reader.fail("Junk after closing right brace.")
    if not reader.elements:
        return [], EMPTY
    dimensions = tuple(reader.dimensions)
    if lower and tuple(reader.said) != dimensions:
        raise reader.fail("Specified array dimensions do not match array contents.")
    return reader.elements, Array((), dimensions, tuple(lower) or (1,) * len(dimensions))


def _quote(text: str, delimiter: str) -> str:
    if text and delimiter not in text and not _QUOTED.intersection(text) and text.upper() != "NULL":
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def write_array(array: Array, texts: list[str | None], delimiter: str) -> str:
    """The text form of an array whose elements' texts are given."""
    if not array.dimensions:
        return "{}"
    parts = ["NULL" if text is None else _quote(text, delimiter) for text in texts]
    for length in reversed(array.dimensions):
        parts = [
            "{" + delimiter.join(parts[at : at + length]) + "}"
            for at in range(0, len(parts), length)
        ]
    prefix = ""
    if any(low != 1 for low in array.lower_bounds):
        prefix = (
            "".join(
                f"[{low}:{low + length - 1}]"
                for low, length in zip(array.lower_bounds, array.dimensions, strict=True)
            )
            + "="
        )
    return prefix + parts[0]


# ------------------------------------------------------------ binary


def encode_array(array: Array, items: list[bytes | None], element_oid: int) -> bytes:
    """PostgreSQL's binary form: dimensions, a NULL flag, the element type, the elements."""
    parts = [_HEAD.pack(len(array.dimensions), None in items, element_oid)]
    parts += map(_DIMENSION.pack, array.dimensions, array.lower_bounds)
    for item in items:
        parts.append(b"\xff\xff\xff\xff" if item is None else _LENGTH.pack(len(item)) + item)
    return b"".join(parts)


def decode_array(data: bytes) -> tuple[list[bytes | None], Array, int]:
    """The opposite of `encode_array`. 22P03, 54000."""
    try:
        count, flags, element_oid = _HEAD.unpack_from(data)
        if not 0 <= count <= DIMENSIONS_MAX:
            raise SqlError("22P03", f"invalid number of dimensions: {count}")
        if flags not in (0, 1):
            raise SqlError("22P03", "invalid array flags")
        shape = [_DIMENSION.unpack_from(data, 12 + 8 * n) for n in range(count)]
        at = 12 + 8 * count
        total = 1 if shape else 0
        for length, _ in shape:
            total *= max(length, 0)
        if total > ELEMENTS_MAX:
            raise SqlError("54000", "array size exceeds the maximum allowed")
        items: list[bytes | None] = []
        for _ in range(total):
            (size,) = _LENGTH.unpack_from(data, at)
            at += 4
            if size == -1:
                items.append(None)
                continue
            if size < 0 or at + size > len(data):
                raise SqlError("22P03", "insufficient data left in message")
            items.append(data[at : at + size])
            at += size
    except struct.error:
        raise SqlError("08P01", "insufficient data left in message") from None
    if at < len(data):
        raise wrong_length(data, at)
    if not items:
        return [], EMPTY, element_oid
    return items, Array((), tuple(s[0] for s in shape), tuple(s[1] for s in shape)), element_oid


# ------------------------------------------------------------ the types


class _Ordered:
    """An array as a sort key: elements in turn, NULL last, then length, then shape."""

    __slots__ = ("key",)

    def __init__(self, array: Array, key: Callable[[Any], Any] | None) -> None:
        self.key = (
            [(value is None, value if value is None or key is None else key(value))
             for value in array.elements],
            array.dimensions,
            array.lower_bounds,
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Ordered) and self.key == other.key

    def __hash__(self) -> int:
        return hash((tuple(self.key[0]), self.key[1], self.key[2]))

    def __lt__(self, other: _Ordered) -> bool:
        for mine, yours in zip(self.key[0], other.key[0], strict=False):
            if mine != yours:
                return mine[0] < yours[0] if mine[0] != yours[0] else bool(mine[1] < yours[1])
        if len(self.key[0]) != len(other.key[0]):
            return len(self.key[0]) < len(other.key[0])
        mine_shape = (len(self.key[1]), self.key[1], self.key[2])
        return mine_shape < (len(other.key[1]), other.key[1], other.key[2])

    def __gt__(self, other: _Ordered) -> bool:
        return other < self

    def __le__(self, other: _Ordered) -> bool:
        return not other < self

    def __ge__(self, other: _Ordered) -> bool:
        return not self < other


def make_array_type(
    element: SqlType, *, name: str, oid: int, align: str, collatable: bool, **more: Any
) -> SqlType:
    """The array type over `element`."""
    delimiter = element.delimiter
    element_key = element.order_key()
    to_bytes, from_bytes = rest_forms(element)

    def read(text: str, typmod: int, ctx: EvalContext) -> Array:
        texts, shape = read_array(text, delimiter)
        values = tuple(None if t is None else element.input(t, typmod, ctx) for t in texts)
        if element.is_domain:
            values = tuple(ctx.check_domain(element.oid, v) if v is None else v for v in values)
        return Array(values, shape.dimensions, shape.lower_bounds)

    def write(array: Array, ctx: EvalContext) -> str:
        output = element.output
        texts = [None if value is None else output(value, ctx) for value in array.elements]
        return write_array(array, texts, delimiter)

    def receive(data: bytes, typmod: int, ctx: EvalContext) -> Array:
        items, shape, element_oid = decode_array(data)
        if element_oid != element.oid:
            raise SqlError("42804", "wrong element type")
        accept = element.receive
        if accept is None:
            raise SqlError(
                "42883", f"no binary input function available for type {element.display}"
            )
        values = tuple(None if item is None else accept(item, typmod, ctx) for item in items)
        return Array(values, shape.dimensions, shape.lower_bounds)

    def send(array: Array, ctx: EvalContext) -> bytes:
        give = element.send
        if give is None:
            raise SqlError(
                "42883", f"no binary output function available for type {element.display}"
            )
        items = [None if value is None else give(value, ctx) for value in array.elements]
        return encode_array(array, items, element.oid)

    def pack(array: Array) -> bytes:
        items = [None if value is None else to_bytes(value) for value in array.elements]
        return encode_array(array, items, element.oid)

    def unpack(data: bytes) -> Array:
        items, shape, _ = decode_array(data)
        values = tuple(None if item is None else from_bytes(item) for item in items)
        return Array(values, shape.dimensions, shape.lower_bounds)

    def key_value(array: Array) -> list[Any]:
        convert = element.key_value
        if convert is None:
            return list(array.elements)
        return [None if value is None else convert(value) for value in array.elements]

    fit = element.apply_typmod

    def apply_typmod(array: Array, typmod: int, explicit: bool) -> Array:  # noqa: FBT001
        assert fit is not None
        values = tuple(None if v is None else fit(v, typmod, explicit) for v in array.elements)
        return Array(values, array.dimensions, array.lower_bounds)

    return SqlType(
        name=name,
        oid=oid,
        input=read,
        output=write,
        element=element.oid,
        element_type=element,
        category="A",
        size=-1,
        align=align,
        delimiter=delimiter,
        collatable=collatable,
        receive=receive,
        send=send,
        shape="b",
        pack=pack,
        unpack=unpack,
        key=KeyKind.ARRAY if element.key is not None else None,
        key_value=key_value,
        ordered=element.ordered,
        hashable=element.hashable,
        native=False,
        sort_key=lambda array: _Ordered(array, element_key),
        typmod_in=element.typmod_in,
        typmod_out=element.typmod_out,
        apply_typmod=None if fit is None else apply_typmod,
        sql_name=f"{element.display}[]",
        **more,
    )


def array_types(elements: Iterable[SqlType]) -> Iterator[SqlType]:
    """An array type for each element type that has one in the catalog."""
    for element in elements:
        fact = type_facts().get("_" + element.name) if element.array_oid else None
        if fact is not None:
            yield make_array_type(
                element,
                name=fact.name,
                oid=fact.oid,
                align=fact.align,
                collatable=fact.collatable,
                storage=fact.storage,
                io_names=fact.io_names,
            )
