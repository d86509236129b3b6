"""The templates of to_char and to_number for numbers, cut into tokens once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from heliosd.errors import SqlError

_KEYWORDS: Final = ("EEEE", "FM", "MI", "PL", "PR", "RN", "SG", "TH", "SP")
_SINGLE: Final = frozenset("0,.9BCDGLSV")
_TEMPLATE_MAX: Final = 16_384


@dataclass(frozen=True, slots=True)
class NumberTemplate:
    """`tokens`: (keyword, "") or ("", literal). The counts say where digits go."""

    tokens: tuple[tuple[str, str], ...] = ()
    before: int = 0
    after: int = 0
    shift: int = 0  # digits after V
    zero_start: int = 0  # 1-based place of the first 0, 0: none
    zero_end: int = 0
    sign_at: int = 0  # digits before S
    sign: str = ""  # where S stands: "before" or "after"
    fill: bool = False
    zero: bool = False
    decimal: bool = False
    bracket: bool = False
    minus: bool = False
    plus: bool = False
    roman: bool = False
    shifted: bool = False
    exponent: bool = False


def _error(message: str, detail: str | None = None) -> SqlError:
    return SqlError("42601", message, detail=detail)


@lru_cache(maxsize=256)
def parse_number_template(template: str) -> NumberTemplate:
    """42601 for templates that contradict themselves."""
    if len(template) > _TEMPLATE_MAX:
        raise SqlError("54000", "format specification is too long")
    result = NumberTemplate()
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(template):
        char = template[at]
        if char == '"':
            at += 1
            while at < len(template) and template[at] != '"':
                if template[at] == "\\" and at + 1 < len(template):
                    at += 1
                tokens.append(("", template[at]))
                at += 1
            at += 1
            continue
        keyword = _keyword(template, at)
        if keyword:
            at += len(keyword)
            tokens.append((keyword, ""))
            result = _apply(result, keyword.upper())
        else:
            if char == "\\" and template[at + 1 : at + 2] == '"':
                at += 1
            tokens.append(("", template[at]))
            at += 1
    return replace(result, tokens=tuple(tokens))


def _keyword(template: str, at: int) -> str:
    upper = template[at : at + 4].upper()
    for keyword in _KEYWORDS:
        if upper.startswith(keyword):
            return template[at : at + len(keyword)]
    return template[at] if template[at].upper() in _SINGLE else ""


def _apply(t: NumberTemplate, keyword: str) -> NumberTemplate:
    if t.exponent and keyword != "EEEE":
        raise _error('"EEEE" must be the last pattern used')
    match keyword:
        case "9" | "0":
            return _digit(t, zero=keyword == "0")
        case "." | "D":
            if t.decimal:
                raise _error("multiple decimal points")
            if t.shifted:
                raise _error('cannot use "V" and decimal point together')
            return replace(t, decimal=True)
        case "FM":
            return replace(t, fill=True)
        case "S":
            if t.sign:
                raise _error('cannot use "S" twice')
            if t.plus or t.minus or t.bracket:
                raise _error('cannot use "S" and "PL"/"MI"/"SG"/"PR" together')
            if t.decimal:
                return replace(t, sign="after")
            return replace(t, sign="before", sign_at=t.before)
        case "MI" | "PL" | "SG":
            if t.sign:
                raise _error(f'cannot use "S" and "{keyword}" together')
            return replace(t, minus=t.minus or keyword != "PL", plus=t.plus or keyword != "MI")
        case "PR":
            if t.sign or t.plus or t.minus:
                raise _error('cannot use "PR" and "S"/"PL"/"MI"/"SG" together')
            return replace(t, bracket=True)
        case "RN":
            return replace(t, roman=True)
        case "V":
            if t.decimal:
                raise _error('cannot use "V" and decimal point together')
            return replace(t, shifted=True)
        case "EEEE":
            return _exponent(t)
    return t


def _digit(t: NumberTemplate, *, zero: bool) -> NumberTemplate:
    if t.bracket:
        raise _error('"9" must be ahead of "PR"' if not zero else '"0" must be ahead of "PR"')
    if zero:
        start = t.zero_start
        if not t.zero and not t.decimal:
            start = t.before + 1
        t = replace(t, zero=t.zero or not t.decimal, zero_start=start)
        if t.decimal:
            t = replace(t, after=t.after + 1)
        else:
            t = replace(t, before=t.before + 1)
        return replace(t, zero_end=t.before + t.after)
    if t.shifted:
        return replace(t, shift=t.shift + 1)
    if t.decimal:
        return replace(t, after=t.after + 1)
    return replace(t, before=t.before + 1)


def _exponent(t: NumberTemplate) -> NumberTemplate:
    if t.exponent:
        raise _error('cannot use "EEEE" twice')
    if t.fill or t.sign or t.bracket or t.minus or t.plus or t.roman or t.shifted:
        raise _error(
            '"EEEE" is incompatible with other formats',
            '"EEEE" may only be used together with digit and decimal point patterns.',
        )
    return replace(t, exponent=True)
