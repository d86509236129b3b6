"""Qualified names inside texts: what 'public."My Table"'::regclass and parse_ident read."""

from __future__ import annotations

from heliosd.errors import SqlError


def _invalid() -> SqlError:
    return SqlError("42602", "invalid name syntax")


def parse_qualified_name(text: str) -> tuple[str, ...]:
    """The parts, folded to lower case unless quoted. 42602."""
    parts: list[str] = []
    at, end = 0, len(text)
    while True:
        while at < end and text[at].isspace():
            at += 1
        part, at = _quoted(text, at) if text[at : at + 1] == '"' else _plain(text, at)
        parts.append(part)
        while at < end and text[at].isspace():
            at += 1
        if at == end:
            return tuple(parts)
        if text[at] != ".":
            raise _invalid()
        at += 1


def _quoted(text: str, at: int) -> tuple[str, int]:
    out = []
    at += 1
    while True:
        close = text.find('"', at)
        if close < 0:
            raise _invalid()
        out.append(text[at:close])
        if text[close + 1 : close + 2] != '"':
            break
        out.append('"')
        at = close + 2
    part = "".join(out)
    if not part:
        raise _invalid()
    return part, close + 1


def _plain(text: str, at: int) -> tuple[str, int]:
    first = at
    while at < len(text) and text[at] != "." and not text[at].isspace():
        at += 1
    part = text[first:at]
    if not part:
        raise _invalid()
    return part.lower() if part.isascii() else "".join(
        char.lower() if char.isascii() else char for char in part
    ), at
