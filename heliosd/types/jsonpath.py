"""The type jsonpath: a path rests as its canonical text and is read into a tree when it runs.

`jsonpath_parse.py` reads, this module shows, `jsonpath_run.py` evaluates.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, context_free, sql_type
from heliosd.types.json import dump
from heliosd.types.jsonpath_parse import PRIORITY, Node, Path, parse_path
from heliosd.types.numeric import numeric_out
from heliosd.types.text import decode_text

forms: Final = Forms()

_EVERY_LEVEL: Final = 0xFFFF_FFFF
_METHODS: Final = frozenset({"type", "size", "abs", "floor", "ceiling", "double", "keyvalue"})


def _priority(node: Node) -> int:
    return PRIORITY.get(node.kind, 6)


def _show(node: Node, *, in_key: bool, brackets: bool) -> str:
    text = _show_item(node, in_key=in_key, brackets=brackets)
    if node.next is not None:
        text += _show(node.next, in_key=True, brackets=True)
    return text


def _show_item(node: Node, *, in_key: bool, brackets: bool) -> str:
    kind = node.kind
    dot = "." if in_key else ""
    match kind:
        case "null":
            return "null"
        case "bool":
            return "true" if node.value else "false"
        case "string":
            return dump(node.value)
        case "key":
            return dot + dump(node.value)
        case "variable":
            return "$" + dump(node.value)
        case "numeric":
            assert isinstance(node.value, Decimal)
            shown = numeric_out(node.value)
            return f"({shown})" if node.next is not None else shown
        case "root":
            return "$"
        case "current":
            return "@"
        case "last":
            return "last"
        case "[*]":
            return "[*]"
        case ".*":
            return dot + "*"
        case "index":
            return "[" + ",".join(_subscript(low, high) for low, high in node.subscripts) + "]"
        case "any":
            return dot + _levels(*node.value)
        case "filter":
            return f"?({_show(node.arguments[0], in_key=False, brackets=False)})"
        case "not":
            return f"!({_show(node.arguments[0], in_key=False, brackets=False)})"
        case "is unknown":
            return f"({_show(node.arguments[0], in_key=False, brackets=False)}) is unknown"
        case "exists":
            return f"exists ({_show(node.arguments[0], in_key=False, brackets=False)})"
        case "like_regex":
            return _like_regex(node)
        case "datetime":
            inner = "".join(_show(a, in_key=False, brackets=False) for a in node.arguments)
            return f".datetime({inner})"
        case _ if kind in _METHODS:
            return f".{kind}()"
        case "plus" | "minus":
            sign = "+" if kind == "plus" else "-"
            text = sign + _operand(node.arguments[0], node)
            return f"({text})" if brackets else text
    left, right = node.arguments
    text = f"{_operand(left, node)} {kind} {_operand(right, node)}"
    return f"({text})" if brackets else text


def _operand(node: Node, parent: Node) -> str:
    return _show(node, in_key=False, brackets=_priority(node) <= _priority(parent))


def _subscript(low: Node, high: Node | None) -> str:
    text = _show(low, in_key=False, brackets=False)
    return text if high is None else f"{text} to {_show(high, in_key=False, brackets=False)}"


def _levels(first: int, last: int) -> str:
    def shown(level: int) -> str:
        return "last" if level == _EVERY_LEVEL else str(level)

    if first == 0 and last == _EVERY_LEVEL:
        return "**"
    if first == last:
        return f"**{{{shown(first)}}}"
    return f"**{{{shown(first)} to {shown(last)}}}"


def _like_regex(node: Node) -> str:
    pattern, flags = node.value
    text = f"{_operand(node.arguments[0], node)} like_regex {dump(pattern)}"
    if flags:
        text += ' flag "' + "".join(letter for letter in "ismxq" if letter in flags) + '"'
    return text


def path_text(path: Path) -> str:
    """A path as jsonpath shows it."""
    mode = "" if path.lax else "strict "
    return mode + _show(path.root, in_key=False, brackets=True)


@lru_cache(maxsize=256)
def parsed_path(text: str) -> Path:
    """The tree of a value that is known to be good."""
    return parse_path(text)


@lru_cache(maxsize=256)
def _normal(text: str) -> str:
    try:
        return path_text(parse_path(text))
    except RecursionError:
        raise SqlError("54001", "stack depth limit exceeded") from None


def _input(text: str, typmod: int, ctx: EvalContext) -> str:
    return _normal(text)


def _receive(data: bytes, typmod: int, ctx: EvalContext) -> str:
    if not data:
        raise SqlError("08P01", "insufficient data left in message")
    if data[0] != 1:
        raise SqlError("XX000", f"unsupported jsonpath version number: {data[0]}")
    return _normal(decode_text(data[1:]))


def _send(value: str) -> bytes:
    return b"\x01" + value.encode()


def _same(value: str) -> str:
    return value


types: Final = (
    sql_type(
        "jsonpath",
        input=_input,
        output=context_free(_same),
        plain_output=_same,
        receive=_receive,
        plain_send=_send,
        shape="t",
        ordered=False,
        hashable=False,
    ),
)
