"""Texts that differ in literals only share one template: literals become parameters.

Cut by real tokens, never by a pattern over the text: digits and quotes inside strings, comments,
dollar quotes and casts are where a pattern lies. A literal becomes a slot only where a parameter
may stand and means the same:

- in SELECT, INSERT, UPDATE, DELETE, VALUES and WITH;
- behind an operator, a comma, an opening parenthesis or a keyword such as THEN, and not inside
  the parentheses of a name (a type's modifier, a function that may need to see a constant);
- not alone behind ORDER BY or GROUP BY, where `1` is a column's number, nor behind LIKE, LIMIT or
  OFFSET, whose values the planner looks at.

Everything else stays text ("pinned"). Where the statement groups, equal literals share a slot, so
that `SELECT x+1 ... GROUP BY x+1` is still one expression.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from heliosd.sql.lexer import Tokens
from heliosd.types.numeric import parse_numeric

INT4: Final = 23
INT8: Final = 20
NUMERIC: Final = 1700
UNKNOWN: Final = 0
"""A string's type is what its surroundings make of it; its value stays text until then."""

SLOTS_MAX: Final = 100
_INT8_MAX: Final = 2**63 - 1
_STATEMENTS: Final = frozenset({"select", "insert", "update", "delete", "values", "with"})
_LITERALS: Final = frozenset({"ICONST", "FCONST", "SCONST"})
# A literal may become a slot right behind these.
_BEFORE: Final = frozenset(
    {"=", "<", ">", "<=", ">=", "<>", "+", "-", "*", "/", "%", "OP", ",", "("}
    | {"select", "and", "or", "not", "then", "else", "when", "between", "where", "values", "in"}
)
# From here on literals are pinned, until the clause ends.
_PINNING: Final = frozenset({"limit", "offset", "fetch", "like", "ilike", "similar"})
# ... and behind this, those that stand alone: `ORDER BY 1` means a column.
_ORDINALS: Final = "by"
_ENDS_PINNING: Final = frozenset(
    {"where", "having", "and", "or", "from", "select", "union", "returning", "set", ";"}
)
# Parentheses behind these hold plain expressions; behind a name they may not.
_BEFORE_PARENTHESIS: Final = _BEFORE | {
    *("any", "all", "some", "exists", "as", "union", "except", "intersect"),
    *("from", "join", "lateral", "on", "by"),
}


@dataclass(frozen=True, slots=True)
class Templated:
    """One text taken apart: its template's key, and the slots' values (strings as text)."""

    text: str
    types: tuple[int, ...]
    values: tuple[int | Decimal | str, ...]
    slots: tuple[tuple[int, int, int], ...]
    """(slot number from 0, start, end) of each literal in the text, in order."""


def make_template(tokens: Tokens) -> Templated | None:
    """Take a tokenised text apart; None when it has no slot or is not of the right kind."""
    if tokens.error is not None or tokens.kinds[0] not in _STATEMENTS or "PARAM" in tokens.kinds:
        return None
    found = _literals(tokens)
    shares = "group" in tokens.kinds or "distinct" in tokens.kinds
    if shares:
        found = _without_pinned(tokens, found)
    if not found or len(found) > SLOTS_MAX:
        return None
    text, pieces, at = tokens.text, list[str](), 0
    numbers: dict[tuple[int, object], int] = {}
    types: list[int] = []
    values: list[int | Decimal | str] = []
    slots: list[tuple[int, int, int]] = []
    for index in found:
        kind, value = _typed(tokens.kinds[index], tokens.values[index])
        start, end = tokens.starts[index], tokens.ends[index]
        number = numbers.get((kind, value)) if shares else None
        if number is None:
            number = len(types)
            numbers[(kind, value)] = number
            types.append(kind)
            values.append(value)
        slots.append((number, start, end))
        pieces.append(text[at:start])
        pieces.append(f"${number + 1}")
        at = end
    pieces.append(text[at:])
    return Templated("".join(pieces), tuple(types), tuple(values), tuple(slots))


def _literals(tokens: Tokens) -> list[int]:
    """Indexes of the literals that become slots."""
    found: list[int] = []
    plain = [True]
    pinned = [False]
    ordinals = [False]
    before = ""
    for index, kind in enumerate(tokens.kinds):
        if kind in _LITERALS:
            is_free = before in _BEFORE and plain[-1] and not pinned[-1]
            if is_free and not (ordinals[-1] and before == ",") and not _is_typed(tokens, index):
                found.append(index)
        elif kind == "(":
            plain.append(before in _BEFORE_PARENTHESIS)
            pinned.append(False)
            ordinals.append(False)
        elif kind == ")":
            if len(plain) > 1:
                plain.pop()
                pinned.pop()
                ordinals.pop()
        elif kind in _PINNING:
            pinned[-1] = True
        elif kind == _ORDINALS:
            ordinals[-1] = True
        elif kind in _ENDS_PINNING:
            pinned[-1] = ordinals[-1] = False
        before = kind
    return found


def _without_pinned(tokens: Tokens, found: list[int]) -> list[int]:
    """`x % 2` in the target list and in ROLLUP(x % 2) must stay equal: both pinned, or neither.

    A string that stands twice is pinned too: one slot has one type, and each place may give the
    string another (`'1'::int, '1'`).
    """
    slots = set(found)
    pinned: set[tuple[str, str | int]] = set()
    seen: set[str | int] = set()
    for index, kind in enumerate(tokens.kinds):
        if kind not in _LITERALS:
            continue
        value = tokens.values[index]
        if index not in slots or (kind == "SCONST" and value in seen):
            pinned.add((kind, value))
        if kind == "SCONST":
            seen.add(value)
    return [i for i in found if (tokens.kinds[i], tokens.values[i]) not in pinned]


def _is_typed(tokens: Tokens, index: int) -> bool:
    """`'...' UESCAPE`, and a string that another string continues, are left as they are."""
    return tokens.kinds[index + 1] in ("uescape", "SCONST")


def _typed(kind: str, value: str | int) -> tuple[int, int | Decimal | str]:
    """A literal's type and value."""
    if kind == "ICONST":
        return INT4, int(value)
    text = str(value)
    if kind == "SCONST":
        return UNKNOWN, text
    if text.isdigit() and int(text) <= _INT8_MAX:
        return INT8, int(text)
    return NUMERIC, parse_numeric(text)


_SLOT_PATTERNS: Final = {
    INT4: r"([0-9]{1,9})",
    INT8: r"([0-9]{11,18})",
    NUMERIC: r"([0-9]{1,30}\.[0-9]{1,30})",
    UNKNOWN: r"'([^'\\\0]{0,1000})'",
}


def template_pattern(text: str, taken: Templated) -> str:
    """A pattern that finds the texts that `text`'s template stands for; a group for each slot.

    All of the text but its slots, to the letter, and literals of the plain kind. A slot's literal
    cannot run on into what follows, because what follows is what followed a whole token of the
    same kind. What the pattern does not find, the tokens must decide.
    """
    pieces: list[str] = []
    groups: dict[int, int] = {}
    at = 0
    for number, start, end in taken.slots:
        pieces.append(re.escape(text[at:start]))
        if number in groups:
            # A shared slot: the same literal again (quotes are outside of the group).
            quote = "'" if taken.types[number] == UNKNOWN else ""
            pieces.append(f"{quote}(?:\\{groups[number]}){quote}")
        else:
            groups[number] = len(groups) + 1
            pieces.append(_SLOT_PATTERNS[taken.types[number]])
        at = end
    pieces.append(re.escape(text[at:]))
    return "".join(pieces)
