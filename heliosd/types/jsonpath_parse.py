"""Reading SQL/JSON paths: tokens, then recursive descent by PostgreSQL's grammar."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.numeric import parse_numeric
from heliosd.types.pattern import compiled

PRIORITY: Final[Mapping[str, int]] = {
    "||": 0,
    "&&": 1,
    **dict.fromkeys(("==", "!=", "<", ">", "<=", ">=", "starts with"), 2),
    **dict.fromkeys("+-", 3),
    **dict.fromkeys("*/%", 4),
    "plus": 5,
    "minus": 5,
}
"""How tightly operators bind; everything else binds tighter (6)."""

EVERY_LEVEL: Final = 0xFFFF_FFFF
_DEPTH_MAX: Final = 400


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One item of a path: `kind` is its operator or accessor, `next` the accessor after it."""

    kind: str
    value: Any = None
    arguments: tuple[Node, ...] = ()
    subscripts: tuple[tuple[Node, Node | None], ...] = ()
    next: Node | None = None


@dataclass(frozen=True, slots=True)
class Path:
    """A whole path: `lax` unwraps arrays and forgives what is not there."""

    root: Node
    lax: bool


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # punctuation itself, or "name", "string", "variable", "integer", "numeric", "end"
    text: str
    value: Any = None
    quoted: bool = False


_SPACE: Final = re.compile(r"[ \t\n\r\f]+")
_OTHER: Final = r"[^?%$.\[\]{}()|&!=<>@#,*:\-+/\\\" \t\n\r\f]"
_REAL: Final = re.compile(r"((?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)[eE][+-]?[0-9]+)", re.ASCII)
_REAL_FAIL: Final = re.compile(r"(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)[eE][+-]?", re.ASCII)
_DECIMAL: Final = re.compile(r"(?:0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+", re.ASCII)
_INTEGER: Final = re.compile(r"0|[1-9][0-9]*", re.ASCII)
_OTHER_CHAR: Final = re.compile(_OTHER)
_OPERATORS: Final = ("&&", "||", "**", "==", "<>", "!=", "<=", ">=", "<", ">", "!")
_OPERATOR_NAMES: Final = {"<>": "!="}
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_LOWER_ONLY: Final = frozenset({"null", "true", "false"})
_KEYWORDS: Final = frozenset(
    {"is", "to", "abs", "lax", "flag", "last", "null", "size", "true", "type", "with", "false",
     "floor", "double", "exists", "starts", "strict", "ceiling", "unknown", "datetime", "keyvalue",
     "like_regex"}
)  # fmt: skip
_METHODS: Final = frozenset(["abs", "size", "type", "floor", "double", "ceiling", "keyvalue"])


def _syntax(message: str, near: str) -> SqlError:
    where = f'at or near "{near}" of jsonpath input' if near else "at end of jsonpath input"
    return SqlError("42601", f"{message} {where}")


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def tokens(self) -> list[_Token]:
        found = []
        while True:
            token = self._token()
            found.append(token)
            if token.kind == "end":
                return found

    def _skip(self) -> None:
        text = self.text
        while True:
            match = _SPACE.match(text, self.at)
            if match is not None:
                self.at = match.end()
            elif text.startswith("/*", self.at):
                end = text.find("*/", self.at + 2)
                if end < 0:
                    raise _syntax("unexpected end of comment", "")
                self.at = end + 2
            else:
                return

    def _token(self) -> _Token:
        self._skip()
        text, start = self.text, self.at
        if start >= len(text):
            return _Token("end", "")
        char = text[start]
        for operator in _OPERATORS:
            if text.startswith(operator, start):
                self.at += len(operator)
                return _Token(_OPERATOR_NAMES.get(operator, operator), operator)
        if char == "$":
            return self._variable()
        if char == '"':
            value = self._quoted()
            return _Token("string", text[start : self.at], value, quoted=True)
        if char.isdigit() or (char == "." and text[start + 1 : start + 2].isdigit()):
            number = self._number()
            if number is not None:
                return number
        if _OTHER_CHAR.match(char) or char == "\\":
            return self._name()
        self.at += 1
        return _Token(char, char)

    def _number(self) -> _Token | None:
        text, start = self.text, self.at
        for kind, form in (("numeric", _REAL), ("", _REAL_FAIL), ("numeric", _DECIMAL),
                           ("integer", _INTEGER)):  # fmt: skip
            match = form.match(text, start)
            if match is None:
                continue
            end = match.end()
            if not kind:
                raise _syntax("invalid numeric literal", match[0])
            if end < len(text) and _OTHER_CHAR.match(text[end]):
                if text[end] in "eE" and kind == "integer":
                    continue
                raise _syntax("trailing junk after numeric literal", text[start : end + 1])
            self.at = end
            return _Token(kind, match[0], match[0])
        return None

    def _variable(self) -> _Token:
        text, start = self.text, self.at
        self.at += 1
        if text.startswith('"', self.at):
            name = self._quoted()
            return _Token("variable", text[start : self.at], name)
        name = self._run(escapes=True)
        return _Token("variable", text[start : self.at], name) if name else _Token("$", "$")

    def _name(self) -> _Token:
        start = self.at
        name = self._run(escapes=True)
        word = name.lower()
        raw = self.text[start : self.at]
        if word in _KEYWORDS and "\\" not in raw and (word not in _LOWER_ONLY or name == word):
            return _Token(word, raw, name)
        return _Token("name", raw, name)

    def _run(self, *, escapes: bool) -> str:
        text = self.text
        out: list[str] = []
        while self.at < len(text):
            char = text[self.at]
            if char == "\\" and escapes:
                self._escape(out)
            elif _OTHER_CHAR.match(char):
                out.append(char)
                self.at += 1
            else:
                break
        return _joined(out)

    def _quoted(self) -> str:
        text = self.text
        self.at += 1
        out: list[str] = []
        while self.at < len(text):
            char = text[self.at]
            if char == '"':
                self.at += 1
                return _joined(out)
            if char == "\\":
                self._escape(out)
            else:
                out.append(char)
                self.at += 1
        raise _syntax("unexpected end of quoted string", "")

    def _escape(self, out: list[str]) -> None:
        text = self.text
        self.at += 1
        letter = text[self.at : self.at + 1]
        if not letter:
            raise _syntax("unexpected end after backslash", "")
        self.at += 1
        if letter == "x":
            self._hex(out, r"[0-9a-fA-F]{2}", "invalid hex character sequence", "x")
        elif letter == "u":
            self._hex(out, r"[0-9a-fA-F]{4}|\{[0-9a-fA-F]{1,6}\}", "invalid unicode sequence", "u")
        else:
            out.append(_ESCAPES.get(letter, letter))

    def _hex(self, out: list[str], form: str, message: str, letter: str) -> None:
        match = re.compile(form).match(self.text, self.at)
        if match is None:
            raise _syntax(message, f"\\{letter}")
        code = int(match[0].strip("{}"), 16)
        self.at = match.end()
        if code == 0:
            raise SqlError(
                "22P05",
                "unsupported Unicode escape sequence",
                detail="\\u0000 cannot be converted to text.",
            )
        if code > 0x10FFFF:
            raise SqlError("22P02", "could not convert Unicode to server encoding")
        out.append(chr(code))


def _joined(out: list[str]) -> str:
    """Surrogate pairs become one character; 22P02 for lone ones."""
    text = "".join(out)
    if any("\ud800" <= char <= "\udfff" for char in text):
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            pass
        for at, char in enumerate(text):
            if "\ud800" <= char <= "\udbff":
                after = text[at + 1 : at + 2]
                if "\ud800" <= after <= "\udbff":
                    detail = "Unicode high surrogate must not follow a high surrogate."
                    break
                if not "\udc00" <= after <= "\udfff":
                    detail = "Unicode low surrogate must follow a high surrogate."
                    break
        else:
            detail = "Unicode low surrogate must follow a high surrogate."
        raise SqlError("22P02", "invalid input syntax for type jsonpath", detail=detail)
    return text


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _Scanner(text).tokens()
        self.at = 0
        self.depth = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def ahead(self, count: int = 1) -> _Token:
        return self.tokens[min(self.at + count, len(self.tokens) - 1)]

    def take(self) -> _Token:
        token = self.tokens[self.at]
        if token.kind != "end":
            self.at += 1
        return token

    def eat(self, kind: str) -> bool:
        if self.token.kind == kind:
            self.at += 1
            return True
        return False

    def need(self, kind: str) -> _Token:
        if self.token.kind != kind:
            raise self.wrong()
        return self.take()

    def wrong(self) -> SqlError:
        return _syntax("syntax error", self.token.text)

    def path(self) -> Path:
        lax = True
        if self.token.kind in ("lax", "strict"):
            lax = self.take().kind == "lax"
        root = self.either()
        if self.token.kind != "end":
            raise self.wrong()
        return Path(root, lax)

    # ---- predicates and expressions share one descent; `is_predicate` tells them apart

    def either(self) -> Node:
        """An expression or a predicate."""
        self.depth += 1
        if self.depth > _DEPTH_MAX:
            raise SqlError("54001", "stack depth limit exceeded")
        node = self._or()
        self.depth -= 1
        return node

    def predicate(self) -> Node:
        """A predicate only; 42601 for a plain expression."""
        node = self.either()
        if not is_predicate(node):
            raise self.wrong()
        return node

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > _DEPTH_MAX:
            raise SqlError("54001", "stack depth limit exceeded")
        node = self._sum()
        self.depth -= 1
        return node

    def _logical(self, kind: str, operand: Callable[[], Node]) -> Node:
        node = operand()
        while self.token.kind == kind:
            if not is_predicate(node):
                raise self.wrong()
            self.take()
            right = operand()
            if not is_predicate(right):
                raise self.wrong()
            node = Node(kind, arguments=(node, right))
        return node

    def _or(self) -> Node:
        return self._logical("||", self._and)

    def _and(self) -> Node:
        return self._logical("&&", self._comparison)

    def _comparison(self) -> Node:
        token = self.token
        if token.kind == "!":
            self.take()
            if self.token.kind not in ("(", "exists"):
                raise self.wrong()
            inner = self._delimited()
            return Node("not", arguments=(inner,))
        if token.kind == "exists":
            return self._delimited()
        node = self._sum()
        if is_predicate(node):
            return node
        kind = self.token.kind
        if kind in ("==", "!=", "<", ">", "<=", ">="):
            self.take()
            right = self._sum()
            if is_predicate(right):
                raise self.wrong()
            return Node(kind, arguments=(node, right))
        if kind == "starts":
            self.take()
            self.need("with")
            if self.token.kind not in ("string", "variable"):
                raise self.wrong()
            initial = self.take()
            return Node("starts with", arguments=(node, Node(initial.kind, initial.value)))
        if kind == "like_regex":
            return self._like_regex(node)
        return node

    def _delimited(self) -> Node:
        if self.eat("exists"):
            self.need("(")
            inner = self.expression()
            if is_predicate(inner):
                raise self.wrong()
            self.need(")")
            return Node("exists", arguments=(inner,))
        self.need("(")
        inner = self.predicate()
        self.need(")")
        return inner

    def _like_regex(self, node: Node) -> Node:
        self.take()
        pattern = self.need("string").value
        flags = ""
        if self.eat("flag"):
            flags = self.need("string").value
        for letter in flags:
            if letter not in "ismxq":
                raise SqlError(
                    "42601",
                    "invalid input syntax for type jsonpath",
                    detail=f'Unrecognized flag character "{letter}" in LIKE_REGEX predicate.',
                )
        if "x" in flags and "q" not in flags:
            raise SqlError(
                "0A000", 'XQuery "x" flag (expanded regular expressions) is not implemented'
            )
        compiled(pattern, regex_letters(flags))
        return Node("like_regex", value=(pattern, flags), arguments=(node,))

    def _sum(self) -> Node:
        node = self._product()
        while self.token.kind in ("+", "-"):
            node = self._binary(node, self._product)
        return node

    def _product(self) -> Node:
        node = self._unary()
        while self.token.kind in ("*", "/", "%"):
            node = self._binary(node, self._unary)
        return node

    def _binary(self, left: Node, operand: Callable[[], Node]) -> Node:
        if is_predicate(left):
            raise self.wrong()
        operator = self.take().kind
        right = operand()
        if is_predicate(right):
            raise self.wrong()
        return Node(operator, arguments=(left, right))

    def _unary(self) -> Node:
        if self.token.kind in ("+", "-"):
            sign = self.take().kind
            self.depth += 1
            if self.depth > _DEPTH_MAX:
                raise SqlError("54001", "stack depth limit exceeded")
            inner = self._unary()
            self.depth -= 1
            if is_predicate(inner):
                raise self.wrong()
            return _signed(sign, inner)
        return self._accessors()

    # ---- primaries and accessors

    def _accessors(self) -> Node:
        if self.token.kind == "(":
            self.take()
            node = self.either()
            self.need(")")
            if is_predicate(node) and self.token.kind == "is":
                self.take()
                self.need("unknown")
                return Node("is unknown", arguments=(node,))
        elif self.token.kind == "exists":
            return self._delimited()
        else:
            node = self._primary()
        chain = []
        while (accessor := self._accessor()) is not None:
            chain.append(accessor)
        return linked([*unlinked(node), *chain]) if chain else node

    def _primary(self) -> Node:
        token = self.take()
        match token.kind:
            case "string" | "variable":
                return Node(token.kind, token.value)
            case "null":
                return Node("null")
            case "true" | "false":
                return Node("bool", token.kind == "true")
            case "integer" | "numeric":
                return Node("numeric", parse_numeric(token.value))
            case "$":
                return Node("root")
            case "@":
                return Node("current")
            case "last":
                return Node("last")
        self.at -= token.kind != "end"
        raise self.wrong()

    def _accessor(self) -> Node | None:
        match self.token.kind:
            case ".":
                self.take()
                return self._member()
            case "[":
                self.take()
                return self._subscripts()
            case "?":
                self.take()
                self.need("(")
                inner = self.predicate()
                self.need(")")
                return Node("filter", arguments=(inner,))
        return None

    def _member(self) -> Node:
        token = self.take()
        kind = token.kind
        if kind == "*":
            return Node(".*")
        if kind == "**":
            return self._any()
        if kind in _METHODS and self.token.kind == "(":
            self.take()
            self.need(")")
            return Node(kind)
        if kind == "datetime" and self.token.kind == "(":
            self.take()
            arguments: tuple[Node, ...] = ()
            if self.token.kind == "string":
                arguments = (Node("string", self.take().value),)
            self.need(")")
            return Node("datetime", arguments=arguments)
        if kind in ("name", "string") or kind in _KEYWORDS:
            return Node("key", token.value)
        self.at -= kind != "end"
        raise self.wrong()

    def _any(self) -> Node:
        if not self.eat("{"):
            return Node("any", (0, EVERY_LEVEL))
        first = last = self._level()
        if self.eat("to"):
            last = self._level()
        self.need("}")
        return Node("any", (first, last))

    def _level(self) -> int:
        if self.eat("last"):
            return EVERY_LEVEL
        return int(self.need("integer").value)

    def _subscripts(self) -> Node:
        if self.token.kind == "*" and self.ahead().kind == "]":
            self.take()
            self.take()
            return Node("[*]")
        found = []
        while True:
            low = self.expression()
            high = self.expression() if self.eat("to") else None
            for side in (low, high):
                if side is not None and is_predicate(side):
                    raise self.wrong()
            found.append((low, high))
            if not self.eat(","):
                break
        self.need("]")
        return Node("index", subscripts=tuple(found))


_PREDICATES: Final = frozenset(
    {"||", "&&", "==", "!=", "<", ">", "<=", ">=", "starts with", "like_regex", "exists", "not",
     "is unknown"}
)  # fmt: skip


def is_predicate(node: Node) -> bool:
    """Whether it is true, false or unknown by its form (with an accessor after it: a value)."""
    return node.kind in _PREDICATES and node.next is None


def _signed(sign: str, node: Node) -> Node:
    # a sign before a bare number is part of the number
    if node.kind == "numeric" and node.next is None:
        assert isinstance(node.value, Decimal)
        return node if sign == "+" else Node("numeric", node.value.copy_negate())
    return Node("plus" if sign == "+" else "minus", arguments=(node,))


def unlinked(node: Node) -> list[Node]:
    """The items of a chain."""
    items = []
    current: Node | None = node
    while current is not None:
        items.append(replace(current, next=None))
        current = current.next
    return items


def linked(items: list[Node]) -> Node:
    """Items as one chain."""
    following: Node | None = None
    for item in reversed(items):
        following = replace(item, next=following)
    assert following is not None
    return following


def regex_letters(flags: str) -> str:
    """XQuery's regular expression flags as PostgreSQL's letters."""
    letters = "i" if "i" in flags else ""
    if "q" in flags:
        return letters + "q"
    if "s" not in flags:
        letters += "p"
    return letters + ("w" if "m" in flags else "")


def _check_places(node: Node | None, *, in_filter: bool, in_subscript: bool) -> None:
    while node is not None:
        if node.kind == "current" and not in_filter:
            raise SqlError("42601", "@ is not allowed in root expressions")
        if node.kind == "last" and not in_subscript:
            raise SqlError("42601", "LAST is allowed only in array subscripts")
        for argument in node.arguments:
            _check_places(
                argument,
                in_filter=in_filter or node.kind == "filter",
                in_subscript=in_subscript,
            )
        for low, high in node.subscripts:
            _check_places(low, in_filter=in_filter, in_subscript=True)
            _check_places(high, in_filter=in_filter, in_subscript=True)
        node = node.next


def parse_path(text: str) -> Path:
    """The tree of a path; 42601, 22P02, 2201B, 54001."""
    if not text.strip(" \t\n\r\f"):
        raise SqlError("22P02", f'invalid input syntax for type jsonpath: "{text}"')
    path = _Parser(text).path()
    _check_places(path.root, in_filter=False, in_subscript=False)
    return path
