"""concat, concat_ws and format: any values as text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms
from heliosd.types.quoting import quote_identifier, quote_literal
from heliosd.types.registry import CallTypes

forms: Final = Forms()

ToText = Callable[[Any, EvalContext], str]
_SPEC: Final = re.compile(r"%(?:(\d+)\$)?(-)?(?:\*(?:(\d+)\$)?|(\d+))?(.)?", re.DOTALL | re.ASCII)


def _shows(kind: Any) -> ToText:
    if kind.name == "bool":
        return lambda value, ctx: "t" if value else "f"
    show: ToText = kind.output
    return show


def _texts(types: CallTypes, first: int) -> Callable[[EvalContext, Any], list[str | None]]:
    """How the variadic arguments become texts; NULL stays None."""
    if types.spread:
        element = types.registry.by_oid[types.arguments[-1].element]
        show = element.output
        return lambda ctx, rest: [
            None if value is None else show(value, ctx)
            for value in (rest[0].elements if rest[0] is not None else ())
        ]
    shows = [_shows(kind) for kind in types.arguments[first:]]
    return lambda ctx, rest: [
        None if value is None else show(value, ctx) for value, show in zip(rest, shows, strict=True)
    ]


@forms.specialized("concat(any)", needs_context=True)
def concat(types: CallTypes) -> Callable[..., str | None]:
    """All texts in turn; NULLs are skipped."""
    texts = _texts(types, 0)
    return lambda ctx, *values: "".join(t for t in texts(ctx, values) if t is not None)


@forms.specialized("concat_ws(text,any)", needs_context=True)
def concat_ws(types: CallTypes) -> Callable[..., str | None]:
    """With a separator between; NULLs are skipped."""
    texts = _texts(types, 1)

    def compute(ctx: EvalContext, separator: str | None, *values: Any) -> str | None:
        if separator is None:
            return None
        return separator.join(t for t in texts(ctx, values) if t is not None)

    return compute


@forms.function("format(text)")
def format_plain(template: str | None) -> str | None:
    """Only %% may occur; 22023."""
    return None if template is None else _filled(template, [])


@forms.specialized("format(text,any)", needs_context=True)
def format_values(types: CallTypes) -> Callable[..., str | None]:
    """%s, %I, %L with positions and widths; 22023, 22004."""
    texts = _texts(types, 1)

    def compute(ctx: EvalContext, template: str | None, *values: Any) -> str | None:
        return None if template is None else _filled(template, texts(ctx, values))

    return compute


def _filled(template: str, values: list[str | None]) -> str:
    out: list[str] = []
    at = 0
    following = 0

    def take(position: str | None) -> str | None:
        nonlocal following
        if position == "0":
            raise SqlError(
                "22023", "format specifies argument 0, but arguments are numbered from 1"
            )
        number = int(position) - 1 if position else following
        following = number + 1
        if number >= len(values):
            raise SqlError("22023", "too few arguments for format()")
        return values[number]

    while True:
        found = template.find("%", at)
        if found < 0:
            return "".join(out) + template[at:]
        out.append(template[at:found])
        match = _SPEC.match(template, found)
        assert match is not None
        position, left, star, width, kind = match.groups()
        at = match.end()
        if kind == "%" and match[0] == "%%":
            out.append("%")
            continue
        if kind is None:
            raise SqlError(
                "22023",
                "unterminated format() type specifier",
                hint='For a single "%" use "%%".',
            )
        if kind not in "sIL":
            raise SqlError(
                "22023",
                f'unrecognized format() type specifier "{kind}"',
                hint='For a single "%" use "%%".',
            )
        size = int(width or 0)
        if "*" in match[0]:
            given = take(star)
            size = int(given) if given is not None else 0
            left, size = ("-" if size < 0 else left), abs(size)
        text = _one(take(position), kind)
        out.append(text.ljust(size) if left else text.rjust(size))


def _one(value: str | None, kind: str) -> str:
    if kind == "s":
        return value or ""
    if kind == "L":
        return "NULL" if value is None else quote_literal(value)
    if value is None:
        raise SqlError("22004", "null values cannot be formatted as an SQL identifier")
    return quote_identifier(value)
