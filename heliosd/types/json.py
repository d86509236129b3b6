"""json (text, checked and kept) and jsonb (normalised text: keys sorted, duplicates gone).

A jsonb value rests as its canonical text, which is what PostgreSQL shows; operators read it with
`parse`. Numbers are Decimals, so that 1.10 keeps its scale.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, context_free, sql_type
from heliosd.types.json_errors import explain
from heliosd.types.numeric import numeric_out
from heliosd.types.numeric_core import normal
from heliosd.types.registry import KeyKind
from heliosd.types.text import decode_text

forms: Final = Forms()

_ENCODE_TEXT: Final[Callable[[str], str]] = json.encoder.encode_basestring
_PARSED_KEPT: Final = 256
# What a parsed document may nest: Python's own reader recurses.
_DEPTH_MAX: Final = 6000


def _refuse_constant(word: str) -> Any:
    raise ValueError(f'Token "{word}" is invalid.')


def _number(text: str) -> Decimal:
    try:
        return normal(Decimal(text))
    except InvalidOperation:
        raise ValueError(f'Token "{text}" is invalid.') from None


_DECODER: Final = json.JSONDecoder(
    parse_float=_number, parse_int=_number, parse_constant=_refuse_constant
)


def _bad(text: str, error: Exception) -> SqlError:
    if isinstance(error, RecursionError):
        return SqlError("54001", "stack depth limit exceeded")
    detail, context = explain(text)
    return SqlError("22P02", "invalid input syntax for type json", detail=detail, context=context)


def parse(text: str) -> Any:
    """The document as dict, list, str, Decimal, bool, None. 22P02, 54001."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise _bad(text, error) from None


@lru_cache(maxsize=_PARSED_KEPT)
def parsed(text: str) -> Any:
    """`parse` of a value that is known to be good, remembered: never change what it returns."""
    return _DECODER.decode(text)


def _key_order(key: str) -> tuple[int, bytes]:
    data = key.encode()
    return len(data), data


def dump(value: Any) -> str:
    """A document as jsonb shows it."""
    if isinstance(value, str):
        return _ENCODE_TEXT(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return numeric_out(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(dump, value)) + "]"
    members = sorted(value.items(), key=lambda member: _key_order(member[0]))
    return "{" + ", ".join(f"{_ENCODE_TEXT(key)}: {dump(item)}" for key, item in members) + "}"


def _check_texts(value: Any) -> None:
    """jsonb holds text: no NUL, no lone surrogate; 22P05, 22P02."""
    if isinstance(value, str):
        if "\0" in value:
            raise SqlError(
                "22P05",
                "unsupported Unicode escape sequence",
                detail="\\u0000 cannot be converted to text.",
            )
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise SqlError(
                "22P02",
                "invalid input syntax for type json",
                detail="Unicode low surrogate must follow a high surrogate.",
            )
    elif isinstance(value, list):
        for item in value:
            _check_texts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_texts(key)
            _check_texts(item)


@forms.helper
def jsonb_normal(text: str) -> str:
    """The canonical text of a document; 22P02, 22P05, 54001."""
    value = parse(text)
    try:
        if "\\u" in text:
            _check_texts(value)
        return dump(value)
    except RecursionError:
        raise SqlError("54001", "stack depth limit exceeded") from None


def _json_in(text: str, typmod: int, ctx: EvalContext) -> str:
    parse(text)
    return text


def _jsonb_in(text: str, typmod: int, ctx: EvalContext) -> str:
    return jsonb_normal(text)


def _same(value: str) -> str:
    return value


def _json_receive(data: bytes, typmod: int, ctx: EvalContext) -> str:
    return _json_in(decode_text(data), typmod, ctx)


def _jsonb_receive(data: bytes, typmod: int, ctx: EvalContext) -> str:
    if not data:
        raise SqlError("08P01", "insufficient data left in message")
    if data[0] != 1:
        raise SqlError("XX000", f"unsupported jsonb version number {data[0]}")
    return jsonb_normal(decode_text(data[1:]))


def _jsonb_send(value: str) -> bytes:
    return b"\x01" + value.encode()


# ------------------------------------------------------------ order


class JsonOrder:
    """A document as a sort key: Object > Array > Boolean > Number > String > Null."""

    __slots__ = ("key",)

    def __init__(self, value: Any) -> None:
        self.key = _order(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JsonOrder) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __lt__(self, other: JsonOrder) -> bool:
        return bool(self.key < other.key)

    def __gt__(self, other: JsonOrder) -> bool:
        return bool(self.key > other.key)

    def __le__(self, other: JsonOrder) -> bool:
        return bool(self.key <= other.key)

    def __ge__(self, other: JsonOrder) -> bool:
        return bool(self.key >= other.key)


def _order(value: Any) -> tuple[Any, ...]:
    if value is None:
        return (0,)
    if isinstance(value, str):
        return (1, value)
    if isinstance(value, bool):
        return (3, value)
    if isinstance(value, Decimal):
        return (2, value)
    if isinstance(value, list):
        # The empty array is below every scalar: a quirk of PostgreSQL's that its docs name.
        return (4 if value else -1, len(value), *map(_order, value))
    members = sorted(value.items(), key=lambda member: _key_order(member[0]))
    # Keys rest by length, but compare as texts.
    return (5, len(members), *((key, _order(item)) for key, item in members))


@forms.helper
def jsonb_key(text: str) -> JsonOrder:
    """The sort and hash key of a jsonb value."""
    return JsonOrder(parsed(text))


types: Final = (
    sql_type(
        "json",
        input=_json_in,
        output=context_free(_same),
        plain_output=_same,
        receive=_json_receive,
        plain_send=str.encode,
        shape="t",
        ordered=False,
        hashable=False,
    ),
    sql_type(
        "jsonb",
        input=_jsonb_in,
        output=context_free(_same),
        plain_output=_same,
        receive=_jsonb_receive,
        plain_send=_jsonb_send,
        shape="t",
        key=KeyKind.TEXT,
        native=False,
        sort_key=jsonb_key,
        hash_key=jsonb_key,
    ),
)

forms.comparisons(
    "jsonb",
    "jsonb",
    "jsonb_eq jsonb_ne jsonb_lt jsonb_gt jsonb_le jsonb_ge",
    "jsonb_key({0}) {op} jsonb_key({1})",
)


# ------------------------------------------------------------ json keeps its text: raw members


def _space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\n\r":
        at += 1
    return at


def raw_members(text: str) -> Iterator[tuple[str, str]]:
    """(key, raw text of the value) of an object's text."""
    at = _space(text, _space(text, 0) + 1)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        at = _space(text, _space(text, at) + 1)
        _, end = _DECODER.raw_decode(text, at)
        yield key, text[at:end]
        at = _space(text, end)
        if text[at] == ",":
            at = _space(text, at + 1)


def raw_elements(text: str) -> Iterator[str]:
    """The raw texts of an array's elements."""
    at = _space(text, _space(text, 0) + 1)
    while text[at] != "]":
        _, end = _DECODER.raw_decode(text, at)
        yield text[at:end]
        at = _space(text, end)
        if text[at] == ",":
            at = _space(text, at + 1)


def kind_of(text: str) -> str:
    """object, array, string, number, boolean or null: by the first character."""
    first = text.lstrip(" \t\n\r")[:1]
    names = {"{": "object", "[": "array", '"': "string", "t": "boolean", "f": "boolean"}
    return names.get(first, "null" if first == "n" else "number")


def as_text(raw: str | None) -> str | None:
    """What ->> gives: a string's content, NULL for null, else the text."""
    if raw is None or kind_of(raw) == "null":
        return None
    value = parsed(raw) if kind_of(raw) == "string" else None
    return value if isinstance(value, str) else raw


# ------------------------------------------------------------ access


def _field(text: str, key: str) -> str | None:
    if kind_of(text) != "object":
        return None
    found = None
    for name, raw in raw_members(text):
        if name == key:
            found = raw
    return found


def _element(text: str, index: int) -> str | None:
    if kind_of(text) != "array":
        return None
    elements = list(raw_elements(text))
    place = index if index >= 0 else len(elements) + index
    return elements[place] if 0 <= place < len(elements) else None


def _binary_element(text: str, index: int) -> str | None:
    """jsonb holds a scalar as an array of one."""
    if kind_of(text) in ("array", "object"):
        return _element(text, index)
    return text if index in (0, -1) else None


def _path(text: str, path: Any) -> str | None:
    current: str | None = text
    for step in path.elements:
        if current is None or step is None:
            return None
        if kind_of(current) == "array":
            try:
                current = _element(current, int(step))
            except ValueError:
                return None
        else:
            current = _field(current, step)
    return current


for _kind in ("json", "jsonb"):
    forms.function(f"{_kind}_object_field({_kind},text)")(_field)
    _at = _binary_element if _kind == "jsonb" else _element
    forms.function(f"{_kind}_array_element({_kind},int4)")(_at)
    forms.function(f"{_kind}_extract_path({_kind},_text)")(_path)
    forms.function(f"{_kind}_object_field_text({_kind},text)")(
        lambda text, key: as_text(_field(text, key))
    )
    forms.function(f"{_kind}_array_element_text({_kind},int4)")(
        lambda text, index, at=_at: as_text(at(text, index))
    )
    forms.function(f"{_kind}_extract_path_text({_kind},_text)")(
        lambda text, path: as_text(_path(text, path))
    )
    forms.function(f"{_kind}_typeof({_kind})")(kind_of)
