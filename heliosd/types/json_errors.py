"""What is wrong with a text that is no JSON, in PostgreSQL's words. Only bad texts come here."""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = re.compile(
    r"""[ \t\n\r]*(?:(?P<punctuation>[\[\]{},:])
      | (?P<string>")
      | (?P<word>[-\w\x80-\U0010ffff][-+.\w\x80-\U0010ffff]*)
      | (?P<other>.))""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_SHOWN_MAX: Final = 50
_CLOSING: Final = {"[": "]", "{": "}"}


class _WrongError(Exception):
    def __init__(self, detail: str, at: int) -> None:
        super().__init__(detail)
        self.detail = detail
        self.at = at


class _Walker:
    """Reads tokens by JSON's grammar until one fits nowhere; a stack instead of recursion."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.start = 0

    def token(self) -> str:
        """The next token: punctuation, "s" for a string, "v" for another scalar, "" at the end."""
        while self.at < len(self.text) and self.text[self.at] in " \t\n\r":
            self.at += 1
        match = _TOKEN.match(self.text, self.at)
        if match is None:
            self.start = self.at = len(self.text)
            return ""
        self.start = match.start(match.lastgroup or 0)
        self.at = match.end()
        if match["punctuation"]:
            return match["punctuation"]
        if match["string"]:
            self._string()
            return "s"
        word = match["word"]
        if word in ("true", "false", "null") or (word and _NUMBER.fullmatch(word)):
            return "v"
        shown = word or match["other"]
        raise _WrongError(f'Token "{shown}" is invalid.', self.at)

    def _string(self) -> None:
        text = self.text
        while self.at < len(text):
            char = text[self.at]
            if char == '"':
                self.at += 1
                return
            if char < " ":
                raise _WrongError(
                    f"Character with value 0x{ord(char):02x} must be escaped.", self.at
                )
            if char == "\\":
                self._escape()
            self.at += 1
        raise _WrongError(f'Token "{text[self.start :]}" is invalid.', len(text))

    def _escape(self) -> None:
        self.at += 1
        code = self.text[self.at : self.at + 1]
        if code == "u":
            digits = self.text[self.at + 1 : self.at + 5]
            if not re.fullmatch(r"[0-9a-fA-F]{4}", digits):
                raise _WrongError(
                    '"\\u" must be followed by four hexadecimal digits.', self.at + len(digits)
                )
            self.at += 4
        elif code not in set('"\\/bfnrt'):
            raise _WrongError(f'Escape sequence "\\{code}" is invalid.', self.at + 1)

    def wrong(self, expected: str, token: str) -> _WrongError:
        if not token:
            return _WrongError("The input string ended unexpectedly.", len(self.text))
        return _WrongError(f'Expected {expected}, but found "{self._shown()}".', self.at)

    def _shown(self) -> str:
        return self.text[self.start : self.at]

    def walk(self) -> None:
        stack: list[str] = []
        token = self.token()
        while True:
            if self._opens(token, stack):
                first = self._first(stack)
                if first is not None:
                    token = first
                    continue
            if not self._after(stack):
                return
            token = self._next(stack)

    def _opens(self, token: str, stack: list[str]) -> bool:
        """Whether a value's first token opens an array or an object."""
        if token in ("{", "["):
            stack.append(token)
            return True
        if token in ("s", "v"):
            return False
        raise self.wrong("JSON value", token)

    def _first(self, stack: list[str]) -> str | None:
        """After an opening bracket: its first value's token; None when it closes at once."""
        token = self.token()
        if token in ("]", "}") and token == _CLOSING[stack[-1]]:
            stack.pop()
            return None
        return token if stack[-1] == "[" else self._key(token, 'string or "}"')

    def _key(self, token: str, expected: str) -> str:
        if token not in ("s",):
            raise self.wrong(expected, token)
        colon = self.token()
        if colon != ":":
            raise self.wrong('":"', colon)
        return self.token()

    def _after(self, stack: list[str]) -> bool:
        """After a value: closes what ends; whether another value must follow."""
        while stack:
            token = self.token()
            closing = _CLOSING[stack[-1]]
            if token in (",",):
                return True
            if token != closing:
                raise self.wrong(f'"," or "{closing}"', token)
            stack.pop()
        token = self.token()
        if token:
            raise self.wrong("end of input", token)
        return False

    def _next(self, stack: list[str]) -> str:
        token = self.token()
        return token if stack[-1] == "[" else self._key(token, "string")


def explain(text: str) -> tuple[str, str | None]:
    """(detail, context) of the error that `text` is."""
    walker = _Walker(text)
    try:
        walker.walk()
    except _WrongError as error:
        return error.detail, _context(text, error.at)
    return "The input string ended unexpectedly.", None


def _context(text: str, at: int) -> str:
    """JSON data, line 1: {"a":..."""
    line = text.count("\n", 0, at) + 1
    start = text.rfind("\n", 0, at) + 1
    prefix = ""
    if at - start >= _SHOWN_MAX:
        prefix, start = "...", at - _SHOWN_MAX
    suffix = "..." if at < len(text) and text[at] not in "\n\r" else ""
    return f"JSON data, line {line}: {prefix}{text[start:at]}{suffix}"
