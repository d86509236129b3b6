"""LIKE, ILIKE and SIMILAR TO.

LIKE is compiled to a few `str` calls where the pattern allows it (prefix, suffix, substring), else
to RE2, whose time is linear in the text. A SQL regular expression becomes a POSIX one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import re2

from heliosd.errors import SqlError
from heliosd.types.declare import Forms
from heliosd.types.registry import SqlType

forms: Final = Forms()
types: Final[tuple[SqlType, ...]] = ()

_CACHED: Final = 512
_RE2_BYTES_MAX: Final = 8 << 20

Matcher = Callable[[str], bool]


def _like_parts(pattern: str, escape: str) -> list[str | None]:
    """Literal texts, "%" as None and "_" as "" (an empty literal never occurs otherwise)."""
    parts: list[str | None] = []
    literal = ""
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if escape and char == escape:
            at += 1
            literal += pattern[at]
        elif char in "%_":
            if literal:
                parts.append(literal)
                literal = ""
            parts.append(None if char == "%" else "")
        else:
            literal += char
        at += 1
    if literal:
        parts.append(literal)
    return parts


def _like_regex(parts: list[str | None], *, fold: bool) -> Matcher:
    source = "".join(
        ".*" if part is None else "." if part == "" else re2.escape(part) for part in parts
    )
    options = re2.Options()
    options.dot_nl = True
    options.case_sensitive = not fold
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _RE2_BYTES_MAX
    compiled = re2.compile(source, options)
    full = compiled.fullmatch
    return lambda text: full(text) is not None


def _ends_in_escape(pattern: str, escape: str) -> bool:
    """Whether the last character escapes nothing."""
    run = len(pattern) - len(pattern.rstrip(escape))
    return run % 2 == 1


def _unfinished(pattern: str, escape: str, *, fold: bool) -> Matcher:
    """A lone escape at the end is an error only where the match comes that far."""
    reaches = like_matcher(pattern[: -len(escape)] + "_%", escape, fold=fold)

    def match(text: str) -> bool:
        if reaches(text):
            raise SqlError("22025", "LIKE pattern must not end with escape character")
        return False

    return match


@lru_cache(maxsize=_CACHED)
def like_matcher(pattern: str, escape: str = "\\", *, fold: bool = False) -> Matcher:
    """A function that tells whether a text is LIKE `pattern`. 22025."""
    if escape and _ends_in_escape(pattern, escape):
        return _unfinished(pattern, escape, fold=fold)
    parts = _like_parts(pattern, escape)
    if "" in parts or fold:
        return _like_regex(parts, fold=fold)
    literals = [part for part in parts if part is not None]
    if None not in parts:
        whole = literals[0] if literals else ""
        return lambda text: text == whole
    if not literals:
        return lambda _: True
    if len(literals) == 1:
        only = literals[0]
        if parts[0] is not None:
            return lambda text: text.startswith(only)
        if parts[-1] is not None:
            return lambda text: text.endswith(only)
        return lambda text: only in text
    return _like_regex(parts, fold=fold)


@forms.helper
def like(text: str, pattern: str) -> bool:
    """text LIKE pattern; 22025."""
    return like_matcher(pattern)(text)


@forms.helper
def ilike(text: str, pattern: str) -> bool:
    """text ILIKE pattern; 22025."""
    return like_matcher(pattern, fold=True)(text)


forms.templates(
    {
        "textlike(text,text)": "like({0}, {1})",
        "textnlike(text,text)": "not like({0}, {1})",
        "like(text,text)": "like({0}, {1})",
        "notlike(text,text)": "not like({0}, {1})",
        "texticlike(text,text)": "ilike({0}, {1})",
        "texticnlike(text,text)": "not ilike({0}, {1})",
        "namelike(name,text)": "like({0}, {1})",
        "namenlike(name,text)": "not like({0}, {1})",
        "nameiclike(name,text)": "ilike({0}, {1})",
        "nameicnlike(name,text)": "not ilike({0}, {1})",
        "bpcharlike(bpchar,text)": "like({0}, {1})",
        "bpcharnlike(bpchar,text)": "not like({0}, {1})",
        "bpchariclike(bpchar,text)": "ilike({0}, {1})",
        "bpcharicnlike(bpchar,text)": "not ilike({0}, {1})",
    }
)


@forms.helper
def bytea_like(data: bytes, pattern: bytes) -> bool:
    """Byte by byte; 22025."""
    return like_matcher(pattern.decode("latin-1"))(data.decode("latin-1"))


forms.templates(
    {
        "bytealike(bytea,bytea)": "bytea_like({0}, {1})",
        "byteanlike(bytea,bytea)": "not bytea_like({0}, {1})",
        "like(bytea,bytea)": "bytea_like({0}, {1})",
        "notlike(bytea,bytea)": "not bytea_like({0}, {1})",
    }
)


@forms.function("like_escape(bytea,bytea)")
def like_escape_bytes(pattern: bytes, escape: bytes) -> bytes:
    r"""The same for bytes; 22025."""
    text = like_escape(pattern.decode("latin-1"), escape.decode("latin-1"))
    return text.encode("latin-1")


@forms.function("like_escape(text,text)")
def like_escape(pattern: str, escape: str) -> str:
    r"""The pattern with another escape character rewritten to use \; 22025."""
    if len(escape) > 1:
        raise SqlError(
            "22025",
            "invalid escape string",
            hint="Escape string must be empty or one character.",
        )
    if escape == "\\":
        return pattern
    if not escape:
        return pattern.replace("\\", "\\\\")
    out = []
    escaped = False
    for char in pattern:
        if escaped:
            out.append("\\" + char)
            escaped = False
        elif char == escape:
            escaped = True
        else:
            out.append("\\\\" if char == "\\" else char)
    return "".join(out) + ("\\" if escaped else "")


# ------------------------------------------------------------ SIMILAR TO


@forms.function("similar_to_escape(text,text)")
def similar_to_escape(pattern: str, escape: str) -> str:
    """A SQL regular expression as a POSIX one, anchored at both ends; 22025."""
    if len(escape) > 1:
        raise SqlError(
            "22025",
            "invalid escape string",
            hint="Escape string must be empty or one character.",
        )
    out: list[str] = []
    at, in_class, parts = 0, False, 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if escape and char == escape:
            if pattern[at : at + 1] == '"':
                out, parts = _close_part(out, parts)
                at += 1
            elif at < len(pattern):
                out.append("\\" + pattern[at])
                at += 1
        elif in_class:
            out.append("\\\\" if char == "\\" else char)
            in_class = char != "]"
        elif char == "[":
            out.append(char)
            in_class = True
        elif char == "%":
            out.append(".*")
        elif char == "_":
            out.append(".")
        elif char == "(":
            out.append("(?:")
        elif char in "\\.^$":
            out.append("\\" + char)
        else:
            out.append(char)
    return f"^(?:{''.join(out)})$"


def _close_part(out: list[str], parts: int) -> tuple[list[str], int]:
    """`#"` cuts a pattern in three: SUBSTRING gives what the middle matched.

    The first part is as short as it can be."""
    if parts == 0:
        shortest = [piece + "?" if piece in (".*", "*", "+") else piece for piece in out]
        return [*shortest, ")("], 1
    if parts == 1:
        return [*out, ")(?:"], 2
    raise SqlError(
        "2200C",
        "SQL regular expression may not contain more than two escape-double-quote separators",
    )


@forms.function("similar_to_escape(text)")
def similar_to_escape_default(pattern: str) -> str:
    r"""With \ as the escape character."""
    return similar_to_escape(pattern, "\\")


@forms.function("similar_escape(text,text)")
def similar_escape(pattern: str | None, escape: str | None) -> str | None:
    """The older form: a NULL escape means the default."""
    if pattern is None:
        return None
    return similar_to_escape(pattern, "\\" if escape is None else escape)
