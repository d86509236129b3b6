"""Security labels of provider `heliosd`: what a column's sensitivity is, and its mask.

    label        := part [; part]
    part         := sensitivity | mask
    sensitivity  := words of letters, digits, `_` and `-`, such as `personal` or `card data`
    mask         := MASKED WITH (FUNCTION = 'call')
    call         := name ( [constant [, constant]...] )

A call is parsed, never run as SQL: its arguments are constants, so that a rule cannot smuggle code
in (CVE-2024-2338, CVE-2024-2339). What looks like a mask but is none is an error, never a
sensitivity: a slip of the pen must not leave a column open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from heliosd.errors import INVALID_PARAMETER_VALUE, SqlError

PROVIDER: Final = "heliosd"

Argument: TypeAlias = int | float | str
"""A constant in a mask's call."""

_CALL: Final = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_$.]*)\s*\((.*)\)\s*", re.DOTALL)
_ARGUMENT: Final = re.compile(
    r"""\s*(?:'((?:[^']|'')*)'|"((?:[^"]|"")*)"|([+-]?\d+\.\d+)|([+-]?\d+))\s*(,|$)""", re.DOTALL
)
_MASK: Final = re.compile(
    r"\s*masked\s+with\s*\(\s*function\s*=\s*'((?:[^']|'')*)'\s*\)\s*", re.IGNORECASE
)
_SENSITIVITY: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9_-]*(?: [A-Za-z0-9_-]+)*)\s*")
_SPLIT: Final = re.compile(r"((?:[^;']|'(?:[^']|'')*')*)(;|$)")


@dataclass(frozen=True, slots=True)
class MaskCall:
    """A mask function's name, folded, and its constant arguments."""

    name: str
    arguments: tuple[Argument, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(_shown(each) for each in self.arguments)})"


@dataclass(frozen=True, slots=True)
class Label:
    """A label in its parts; at least one is there."""

    sensitivity: str | None = None
    mask: MaskCall | None = None

    def __str__(self) -> str:
        mask = ""
        if self.mask is not None:
            call = str(self.mask).replace("'", "''")
            mask = f"MASKED WITH (FUNCTION = '{call}')"
        return "; ".join(part for part in (self.sensitivity, mask) if part)


def _shown(value: Argument) -> str:
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    return str(value)


def parse_call(text: str) -> MaskCall:
    """The call in a mask; 22023 for anything but a name with constant arguments."""
    found = _CALL.fullmatch(text)
    if found is None:
        raise _bad(f'mask function must be a call such as full(): "{text}"')
    name, inside = found[1].lower(), found[2]
    arguments: list[Argument] = []
    position = 0
    more = bool(inside.strip())
    while more:
        argument = _ARGUMENT.match(inside, position)
        if argument is None:
            raise _bad(f'arguments of mask function "{name}" must be constants')
        arguments.append(_value(argument))
        position = argument.end()
        more = argument[5] == ","
    return MaskCall(name, tuple(arguments))


def _value(found: re.Match[str]) -> Argument:
    if found[1] is not None:
        return found[1].replace("''", "'")
    if found[2] is not None:
        return found[2].replace('""', '"')
    return float(found[3]) if found[3] is not None else int(found[4])


@lru_cache(maxsize=4096)
def parse_label(text: str) -> Label:
    """A label's parts; 22023 for what is neither a sensitivity nor a mask."""
    sensitivity: str | None = None
    mask: MaskCall | None = None
    position = 0
    while position <= len(text):
        part = _SPLIT.match(text, position)
        if part is None:
            raise _bad(f'invalid security label "{text}"')
        position = part.end() + (0 if part[2] else 1)
        found = _MASK.fullmatch(part[1])
        if found is not None and mask is None:
            mask = parse_call(found[1].replace("''", "'"))
            continue
        words = _SENSITIVITY.fullmatch(part[1])
        if words is None or sensitivity is not None or words[1].lower().startswith("mask"):
            raise _bad(f'invalid security label "{text}"')
        sensitivity = words[1]
    return Label(sensitivity, mask)


def with_mask(label: str | None, mask: MaskCall | None) -> str | None:
    """The label with another mask, or without; None when nothing is left."""
    known = Label() if label is None else parse_label(label)
    return str(Label(known.sensitivity, mask)) or None


def mask_of(label: str | None) -> MaskCall | None:
    """The mask in a stored label."""
    return None if label is None else parse_label(label).mask


def _bad(message: str) -> SqlError:
    return SqlError(
        INVALID_PARAMETER_VALUE,
        message,
        hint="A label is a sensitivity such as 'personal', MASKED WITH (FUNCTION = 'call'), "
        "or both separated by a semicolon.",
    )
