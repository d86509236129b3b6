"""Lines of pg_hba.conf and pg_ident.conf into fields of tokens.

Blanks part fields, commas part the tokens of a field, # starts a comment, a backslash at the end
joins a line with the next. Double quotes keep blanks, commas and # and take a word's special
meaning away; "" inside quotes is a quote.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_BLANKS = " \t\r\f\v"


class HbaError(Exception):
    """What is wrong with a line; `line` counts from 1 (0: the line being read)."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Token:
    """A name or a word; in quotes it is never a word."""

    text: str
    quoted: bool = False

    def is_word(self, word: str) -> bool:
        """Whether it is this word, with its special meaning."""
        return not self.quoted and self.text == word


@dataclass(frozen=True, slots=True)
class TokenLine:
    """A line that is not empty, `number` where it begins."""

    number: int
    fields: tuple[tuple[Token, ...], ...]


def cut_lines(text: str) -> Iterator[TokenLine | HbaError]:
    """Every line with something on it, or what is wrong with it."""
    number, joined, start = 0, "", 1
    for raw in [*text.split("\n"), None]:
        number += 1
        if raw is None:
            line = joined
        else:
            joined, start = (joined, start) if joined else ("", number)
            if raw.rstrip("\r").endswith("\\"):
                joined += raw.rstrip("\r")[:-1]
                continue
            line, joined = joined + raw, ""
        try:
            fields = tuple(_fields(line, start))
        except HbaError as error:
            yield error
            continue
        if fields:
            yield TokenLine(start, fields)


def _fields(line: str, number: int) -> Iterator[tuple[Token, ...]]:
    """A comma goes on with the field, blanks after it too."""
    at = 0
    while True:
        tokens: list[Token] = []
        more = True
        while more:
            at = _skip_blanks(line, at)
            if at >= len(line) or line[at] == "#":
                break
            token, at = _token(line, at, number)
            tokens.append(token)
            more = at < len(line) and line[at] == ","
            at += more
        if not tokens:
            return
        yield tuple(tokens)


def _skip_blanks(line: str, at: int) -> int:
    while at < len(line) and line[at] in _BLANKS:
        at += 1
    return at


def _token(line: str, at: int, number: int) -> tuple[Token, int]:
    begin, text, inside = at, [], False
    while at < len(line):
        char = line[at]
        if char == '"':
            if inside and line[at + 1 : at + 2] == '"':
                text.append('"')
                at += 1
            else:
                inside = not inside
        elif not inside and (char in _BLANKS or char in ",#"):
            break
        else:
            text.append(char)
        at += 1
    if inside:
        raise HbaError(number, "unterminated quoted string")
    if at == begin:
        raise HbaError(number, "a name is missing before a comma")
    return Token("".join(text), line[begin] == '"'), at
