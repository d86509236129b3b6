"""Dates, times and intervals cut into fields, as PostgreSQL cuts them.

A field is its lower-case text and a kind: `number`, `string`, `date`, `time`, `zone` (a sign and
digits) or `special` (a sign and letters). What each means is decided by the decoders.
"""

from __future__ import annotations

import re
from typing import Final

from heliosd.types.datetime_words import is_datetime_word

FIELDS_MAX: Final = 25
_TEXT_MAX: Final = 153
_SPACE: Final = " \t\n\v\f\r"
_DIGITS: Final = re.compile(r"[0-9]*", re.ASCII)
_CLOCK: Final = re.compile(r"[0-9:.]*", re.ASCII)
_LETTERS: Final = re.compile(r"[A-Za-z]*", re.ASCII)
_NAME_REST: Final = re.compile(r"[-+/_.:A-Za-z0-9]*", re.ASCII)
_ZONE_REST: Final = re.compile(r"[0-9:.\-]*", re.ASCII)

Field = tuple[str, str]
"""(kind, text)."""


class BadDateError(Exception):
    """The text is no date, time or interval; the caller knows which type to name."""


def split_fields(text: str) -> list[Field]:
    """The fields of a text; BadDateError."""
    if len(text) > _TEXT_MAX:
        raise BadDateError(text)
    fields: list[Field] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char in _SPACE:
            at += 1
            continue
        start = at
        if char in "0123456789":
            kind, at = _numeric(text, at)
        elif char == ".":
            kind, at = "number", _end(_DIGITS, text, at + 1)
        elif char.isascii() and char.isalpha():
            kind, at = _wordy(text, at)
        elif char in "+-":
            at += 1
            while at < len(text) and text[at] in _SPACE:
                at += 1
            body = at
            if text[at : at + 1] in set("0123456789"):
                kind, at = "zone", _end(_ZONE_REST, text, at)
            elif text[at : at + 1].isascii() and text[at : at + 1].isalpha():
                kind, at = "special", _end(_LETTERS, text, at)
            else:
                raise BadDateError(text)
            fields.append((kind, char + text[body:at].lower()))
            continue
        elif char.isascii() and not char.isalnum() and char > " ":
            at += 1
            continue
        else:
            raise BadDateError(text)
        fields.append((kind, text[start:at].lower()))
    if len(fields) > FIELDS_MAX:
        raise BadDateError(text)
    return fields


def _end(form: re.Pattern[str], text: str, at: int) -> int:
    match = form.match(text, at)
    assert match is not None
    return match.end()


def _numeric(text: str, at: int) -> tuple[str, int]:
    """A field that starts with a digit: a time, a date or a number."""
    at = _end(_DIGITS, text, at)
    mark = text[at : at + 1]
    if mark == ":":
        return "time", _end(_CLOCK, text, at)
    if mark not in ("-", "/", "."):
        return "number", at
    at += 1
    following = text[at : at + 1]
    if following.isascii() and following.isdigit():
        kind = "number" if mark == "." else "date"
        at = _end(_DIGITS, text, at)
        # only the same mark again makes a date of three fields
        if text[at : at + 1] == mark:
            kind = "date"
            while at < len(text) and (text[at] in "0123456789" or text[at] == mark):
                at += 1
        return kind, at
    while at < len(text) and ((text[at].isascii() and text[at].isalnum()) or text[at] == mark):
        at += 1
    return "date", at


def _wordy(text: str, at: int) -> tuple[str, int]:
    """A word, or a date or zone name with punctuation inside."""
    start = at
    at = _end(_LETTERS, text, at)
    mark = text[at : at + 1]
    is_date = mark in ("-", "/", ".")
    if not is_date and mark and mark in "+0123456789":
        is_date = not is_datetime_word(text[start:at].lower())
    if not is_date:
        return "string", at
    return "date", _end(_NAME_REST, text, at)
