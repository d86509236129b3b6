"""Regular expressions, PostgreSQL's "advanced" ones (`like.py` has the rest of the chapter).

They run in RE2, whose time is linear in the text; what RE2 does not know
(back-references, look-around) runs in `regex` with a timeout. `re` is never given a user's pattern:
it holds the interpreter for as long as it likes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import re2
import regex

from heliosd.errors import SqlError
from heliosd.types.declare import Forms
from heliosd.types.like import similar_to_escape
from heliosd.types.registry import SqlType

forms: Final = Forms()
types: Final[tuple[SqlType, ...]] = ()

# Longest run of a pattern that RE2 cannot take: nobody else runs meanwhile, no cancel is heard.
_TIMEOUT_S: Final = 0.1
_CACHED: Final = 512
_RE2_BYTES_MAX: Final = 8 << 20


class Flags:
    """PostgreSQL's flag letters, split into what changes the match and what changes the call."""

    __slots__ = ("everywhere", "fold", "literal", "newline_anchors", "newline_stops", "spaced")

    def __init__(self, letters: str, *, allow_global: bool = False, caller: str = "") -> None:
        self.fold = self.literal = self.everywhere = self.spaced = False
        self.newline_anchors = self.newline_stops = False
        self.take(letters, allow_global=allow_global, caller=caller)

    def take(self, letters: str, *, allow_global: bool = False, caller: str = "") -> None:
        """Letters one after another; 22023 for one that means nothing here."""
        for letter in letters:
            match letter:
                case "i":
                    self.fold = True
                case "c":
                    self.fold = False
                case "g" if allow_global:
                    self.everywhere = True
                case "g":
                    raise _no_global(caller)
                case "q":
                    self.literal = True
                case "x":
                    self.spaced = True
                case "n" | "m":
                    self.newline_anchors = self.newline_stops = True
                case "s":
                    self.newline_anchors = self.newline_stops = False
                case "p":
                    self.newline_stops = True
                case "w":
                    self.newline_anchors = True
                case "t":
                    self.spaced = False
                case "e" | "b":
                    pass  # the syntax that is read anyway
                case _:
                    raise SqlError("22023", f'invalid regular expression option: "{letter}"')

    def key(self) -> tuple[bool, ...]:
        """What a compiled pattern depends on."""
        return (self.fold, self.literal, self.spaced, self.newline_anchors, self.newline_stops)


def _no_global(caller: str) -> SqlError:
    if not caller:
        return SqlError("22023", 'invalid regular expression option: "g"')
    return SqlError(
        "22023",
        f'{caller}() does not support the "global" option',
        hint="Use the regexp_matches function instead." if caller == "regexp_match" else None,
    )


def invalid_pattern(reason: str) -> SqlError:
    """2201B."""
    return SqlError("2201B", f"invalid regular expression: {reason}")


_CLASS_ESCAPES: Final = {
    "m": r"\b(?=\w)", "M": r"\b(?<=\w)", "y": r"\b", "Y": r"\B", "A": r"\A", "Z": r"\Z",
    "B": r"\\", "d": "[[:digit:]]", "D": "[^[:digit:]]", "w": r"[[:alnum:]_]",
    "W": r"[^[:alnum:]_]", "s": "[[:space:]]", "S": "[^[:space:]]",
}  # fmt: skip


# Escapes that stand for one character; \\b is a backspace, and \\y the word's border.
_CHARACTER: Final = re.compile(
    r"u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8})|x(?P<x>[0-9a-fA-F]+)|c(?P<c>.)|(?P<named>[be0])",
    re.DOTALL,
)
_BORDERS: Final = {"[:<:]]": _CLASS_ESCAPES["m"], "[:>:]]": _CLASS_ESCAPES["M"]}
_NAMED: Final = {"b": 8, "e": 27, "0": 0}


def _code_of(match: re.Match[str]) -> str:
    """The character as both engines spell it; 2201B."""
    kind = match.lastgroup
    assert kind is not None
    if kind == "named":
        code = _NAMED[match[kind]]
    elif kind == "c":
        code = ord(match[kind]) & 31
    else:
        code = int(match[kind], 16) if len(match[kind]) < 9 else 0x110000
    if code > 0x10FFFF:
        raise invalid_pattern("invalid escape \\ sequence")
    return f"\\x{code:02x}" if code < 256 else str(re2.escape(chr(code)))


_COLLATING: Final = {
    "hyphen": "-", "hyphen-minus": "-", "space": " ", "tab": "\t", "newline": "\n",
    "full-stop": ".", "period": ".", "comma": ",", "slash": "/", "colon": ":", "semicolon": ";",
    "left-square-bracket": "[", "right-square-bracket": "]", "circumflex": "^",
    "dollar-sign": "$", "asterisk": "*", "plus-sign": "+", "question-mark": "?", "zero": "0",
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "underscore": "_", "quotation-mark": '"', "apostrophe": "'",
}  # fmt: skip
_EMBEDDED: Final = re.compile(r"\(\?([a-z]+)\)")


def translate_pattern(pattern: str, *, spaced: bool) -> str:
    """PostgreSQL's escapes as RE2 and `regex` spell them; director prefixes are taken off."""
    if pattern.startswith("***="):
        return str(re2.escape(pattern[4:]))
    pattern = pattern.removeprefix("***:")
    out: list[str] = []
    at, in_class = 0, False
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "\\":
            if at == len(pattern):
                raise invalid_pattern("invalid escape \\ sequence")
            letter = pattern[at]
            at += 1
            character = _CHARACTER.match(pattern, at - 1)
            if character is not None:
                out.append(_code_of(character))
                at = character.end()
            elif in_class and letter in "dws":
                out.append(_CLASS_ESCAPES[letter].removeprefix("[").removesuffix("]"))
            else:
                out.append(_CLASS_ESCAPES.get(letter, "\\" + letter))
        elif in_class and char == "[" and pattern[at : at + 1] in (".", "="):
            # a collating element or an equivalence class: the character itself
            mark = pattern[at]
            end = pattern.find(mark + "]", at + 1)
            name = pattern[at + 1 : end] if end >= 0 else ""
            element = _COLLATING.get(name, name)
            if len(element) != 1:
                raise invalid_pattern("invalid collating element")
            out.append("\\" + element if not element.isalnum() else element)
            at = end + 2
        elif in_class:
            out.append("\\[" if char == "[" and pattern[at : at + 1] not in ":.=" else char)
            if char == "[" and pattern[at : at + 1] == ":":
                end = pattern.find(":]", at)
                if end < 0:
                    raise invalid_pattern("brackets [] not balanced")
                out.append(pattern[at : end + 2])
                at = end + 2
            elif char == "]":
                in_class = False
        elif char == "[" and pattern[at : at + 6] in _BORDERS:
            out.append(_BORDERS[pattern[at : at + 6]])
            at += 6
        elif char == "[":
            out.append(char)
            in_class = True
            if pattern[at : at + 1] == "^":
                out.append("^")
                at += 1
            if pattern[at : at + 1] == "]":
                out.append("\\]")
                at += 1
        elif spaced and char.isspace():
            continue
        elif spaced and char == "#":
            at = (pattern.find("\n", at) + 1) or len(pattern)
        else:
            out.append(char)
    if in_class:
        raise invalid_pattern("brackets [] not balanced")
    return "".join(out)


class Pattern:
    """One compiled pattern. `search(text, at)` gives (start, end, groups) or None.

    A pattern with a lazy quantifier has two programs: PostgreSQL decides first how much the whole
    takes (the shortest or the longest, as its first quantifier prefers), then what its parts do.
    """

    __slots__ = ("_compiled", "_span", "_timed", "groups")

    def __init__(self, source: str, flags: Flags) -> None:
        embedded = _EMBEDDED.match(source)
        if embedded is not None and not flags.literal:
            flags.take(embedded[1])
            source = source[embedded.end() :]
        text = (
            re2.escape(source) if flags.literal else translate_pattern(source, spaced=flags.spaced)
        )
        self._span: Any = None
        self._compiled, self._timed = _compile(text, flags)
        if not self._timed and _LAZY.search(text) is not None:
            self._span = _span_program(text, flags)
        self.groups: int = self._compiled.groups

    def search(self, text: str, at: int = 0) -> Any:
        """The first match from character `at`; 57014 past the time limit."""
        if self._span is not None:
            span = self._span.search(text, at)
            if span is None:
                return None
            return self._compiled.fullmatch(text, span.start(), span.end()) or span
        if not self._timed:
            return self._compiled.search(text, at)
        try:
            return self._compiled.search(text, at, timeout=_TIMEOUT_S)
        except TimeoutError:
            raise SqlError(
                "57014", "canceling statement because a regular expression took too long"
            ) from None


_LAZY: Final = re.compile(r"[*+?}]\?")
_PIECE: Final = re.compile(
    r"\\.|\[\^?\]?(?:\[[:.=].*?[:.=]\]|\\.|[^\]])*\]|\(\?[a-zA-Z]*:?"
    r"|(?P<quantifier>[*+?]|\{\d+(?:,\d*)?\})(?P<lazy>\??)|.",
    re.DOTALL,
)


def _span_program(text: str, flags: Flags) -> Any:
    """What tells how far a match goes: all quantifiers lazy where the first one is."""
    pieces = list(_PIECE.finditer(text))
    first = next((piece for piece in pieces if piece["quantifier"]), None)
    shortest = first is not None and bool(first["lazy"])
    mark = "?" if shortest else ""
    plain = "".join(
        piece["quantifier"] + mark if piece["quantifier"] else piece[0] for piece in pieces
    )
    options = _options(flags)
    options.longest_match = not shortest
    prefix = "(?m)" if flags.newline_anchors else ""
    try:
        return re2.compile(prefix + plain, options)
    except re2.error:
        return None


def _options(flags: Flags) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _RE2_BYTES_MAX
    options.case_sensitive = not flags.fold
    options.dot_nl = not flags.newline_stops
    return options


def _compile(text: str, flags: Flags) -> tuple[Any, bool]:
    options = _options(flags)
    # POSIX: of the matches at one place the longest, unless the pattern prefers the shortest.
    options.longest_match = _LAZY.search(text) is None
    prefix = "(?m)" if flags.newline_anchors else ""
    try:
        return re2.compile(prefix + text, options), False
    except re2.error as error:
        refused = _message(error)
    marks = regex.VERSION1 | regex.POSIX
    marks |= regex.IGNORECASE if flags.fold else 0
    marks |= regex.DOTALL if not flags.newline_stops else 0
    marks |= regex.MULTILINE if flags.newline_anchors else 0
    try:
        return regex.compile(text, marks), True
    except (regex.error, ValueError, OverflowError):
        raise invalid_pattern(refused) from None


_REASONS: Final = (
    ("missing closing )", "parentheses () not balanced"),
    ("missing )", "parentheses () not balanced"),
    ("unexpected )", "parentheses () not balanced"),
    ("missing closing ]", "brackets [] not balanced"),
    ("missing argument to repetition", "quantifier operand invalid"),
    ("no argument for repetition", "quantifier operand invalid"),
    ("bad repetition operator", "quantifier operand invalid"),
    ("invalid repetition size", "invalid repetition count(s)"),
    ("invalid escape sequence", "invalid escape \\ sequence"),
    ("invalid character class range", "invalid character range"),
    ("pattern too large", "regular expression is too complex"),
)


def _message(error: Exception) -> str:
    given = error.args[0] if error.args else ""
    text = given.decode(errors="replace") if isinstance(given, bytes) else str(given)
    for known, said in _REASONS:
        if known in text:
            return said
    return text


@lru_cache(maxsize=_CACHED)
def _cached(
    source: str,
    letters: str,
    allow_global: bool,  # noqa: FBT001
    caller: str,
) -> tuple[Pattern, Flags]:
    flags = Flags(letters, allow_global=allow_global, caller=caller)
    return Pattern(source, flags), flags


def compiled(
    source: str, letters: str = "", *, allow_global: bool = False, caller: str = ""
) -> Pattern:
    """A pattern under flag letters; 2201B, 22023."""
    return _cached(source, letters, allow_global, caller)[0]


@forms.helper
def regex_matches(text: str, pattern: str) -> bool:
    """text ~ pattern; 2201B."""
    return compiled(pattern).search(text) is not None


@forms.helper
def iregex_matches(text: str, pattern: str) -> bool:
    """text ~* pattern; 2201B."""
    return compiled(pattern, "i").search(text) is not None


forms.templates(
    {
        f"{prefix}{kind}({argument},text)": f"{negation}{helper}({{0}}, {{1}})"
        for prefix, argument in (("text", "text"), ("name", "name"), ("bpchar", "bpchar"))
        for kind, negation, helper in (
            ("regexeq", "", "regex_matches"),
            ("regexne", "not ", "regex_matches"),
            ("icregexeq", "", "iregex_matches"),
            ("icregexne", "not ", "iregex_matches"),
        )
    }
)


@forms.function("regexp_like(text,text)", "regexp_like(text,text,text)")
def regexp_like(text: str, pattern: str, letters: str = "") -> bool:
    """Whether the pattern occurs; 2201B, 22023."""
    return compiled(pattern, letters, caller="regexp_like").search(text) is not None


# ------------------------------------------------------------ replacing


def find_all(pattern: Pattern, text: str, at: int = 0) -> Iterator[Any]:
    """Matches one after another; an empty one moves on by a character."""
    while at <= len(text):
        found = pattern.search(text, at)
        if found is None:
            return
        yield found
        at = found.end() if found.end() > found.start() else found.end() + 1


def _replacement(template: str, found: Any, groups: int) -> str:
    if "\\" not in template:
        return template
    out = []
    at = 0
    while at < len(template):
        char = template[at]
        at += 1
        if char != "\\" or at == len(template):
            out.append(char)
            continue
        mark = template[at]
        at += 1
        if mark == "&":
            out.append(found.group(0))
        elif "1" <= mark <= "9":
            number = int(mark)
            out.append((found.group(number) or "") if number <= groups else "")
        else:
            out.append("\\" if mark == "\\" else "\\" + mark)
    return "".join(out)


def replace_matches(
    text: str, pattern: Pattern, template: str, *, start: int = 1, nth: int = 1
) -> str:
    """The nth match from character `start` replaced; `nth` 0: every one."""
    out = [text[: start - 1]]
    at = start - 1
    for number, found in enumerate(find_all(pattern, text, start - 1), 1):
        if nth in (0, number):
            out.append(text[at : found.start()])
            out.append(_replacement(template, found, pattern.groups))
            at = found.end()
            if nth:
                break
    return "".join(out) + text[at:]


@forms.function("regexp_replace(text,text,text)", "regexp_replace(text,text,text,text)")
def regexp_replace(text: str, pattern: str, template: str, letters: str = "") -> str:
    """The first match (flag g: every match) replaced; 2201B, 22023."""
    if letters[:1].isdigit():
        raise SqlError(
            "22023",
            f'invalid regular expression option: "{letters[0]}"',
            hint="If you meant to use regexp_replace() with a start parameter, cast the fourth "
            "argument to integer explicitly.",
        )
    found, flags = _cached(pattern, letters, True, "")
    return replace_matches(text, found, template, nth=0 if flags.everywhere else 1)


@forms.function(
    "regexp_replace(text,text,text,int4)",
    "regexp_replace(text,text,text,int4,int4)",
    "regexp_replace(text,text,text,int4,int4,text)",
)
def regexp_replace_from(
    text: str, pattern: str, template: str, start: int, nth: int = 1, letters: str = ""
) -> str:
    """The nth match from character `start` (0: every one) replaced; 2201B, 22023."""
    check_positive("start", start)
    check_not_negative("n", nth)
    wanted = compiled(pattern, letters, allow_global=True)
    return replace_matches(text, wanted, template, start=start, nth=nth)


def check_positive(name: str, value: int) -> None:
    """22023 for 0 and below."""
    if value <= 0:
        raise SqlError("22023", f'invalid value for parameter "{name}": {value}')


def check_not_negative(name: str, value: int) -> None:
    """22023 below 0."""
    if value < 0:
        raise SqlError("22023", f'invalid value for parameter "{name}": {value}')


# ------------------------------------------------------------ finding


@forms.function("substring(text,text)")
def substring_pattern(text: str, pattern: str) -> str | None:
    """The match, or its first group where the pattern has one; 2201B."""
    found = compiled(pattern).search(text)
    if found is None:
        return None
    return found.group(1 if compiled(pattern).groups else 0)  # type: ignore[no-any-return]


@forms.function("substring(text,text,text)")
def substring_similar(text: str, pattern: str, escape: str) -> str | None:
    """SQL's regular expression with an escape: what `escape"` encloses; 22025, 2200C."""
    return substring_pattern(text, similar_to_escape(pattern, escape))


@forms.function(
    "regexp_count(text,text)", "regexp_count(text,text,int4)", "regexp_count(text,text,int4,text)"
)
def regexp_count(text: str, pattern: str, start: int = 1, letters: str = "") -> int:
    """How many matches from character `start`; 2201B, 22023."""
    check_positive("start", start)
    wanted = compiled(pattern, letters, caller="regexp_count")
    return sum(1 for _ in find_all(wanted, text, start - 1))


def _nth_match(text: str, pattern: Pattern, start: int, nth: int) -> Any:
    for number, found in enumerate(find_all(pattern, text, start - 1), 1):
        if number == nth:
            return found
    return None


@forms.function(
    "regexp_substr(text,text)",
    "regexp_substr(text,text,int4)",
    "regexp_substr(text,text,int4,int4)",
    "regexp_substr(text,text,int4,int4,text)",
    "regexp_substr(text,text,int4,int4,text,int4)",
)
def regexp_substr(
    text: str, pattern: str, start: int = 1, nth: int = 1, letters: str = "", group: int = 0
) -> str | None:
    """The nth match from `start`, or one of its groups; 2201B, 22023."""
    check_positive("start", start)
    check_positive("n", nth)
    check_not_negative("subexpr", group)
    wanted = compiled(pattern, letters, caller="regexp_substr")
    found = _nth_match(text, wanted, start, nth) if group <= wanted.groups else None
    return None if found is None else found.group(group)


@forms.function(
    "regexp_instr(text,text)",
    "regexp_instr(text,text,int4)",
    "regexp_instr(text,text,int4,int4)",
    "regexp_instr(text,text,int4,int4,int4)",
    "regexp_instr(text,text,int4,int4,int4,text)",
    "regexp_instr(text,text,int4,int4,int4,text,int4)",
)
def regexp_instr(
    text: str,
    pattern: str,
    start: int = 1,
    nth: int = 1,
    end: int = 0,
    letters: str = "",
    group: int = 0,
) -> int:
    """Where the nth match starts (`end` 1: the place after it), from 1; 0: nowhere."""
    check_positive("start", start)
    check_positive("n", nth)
    if end not in (0, 1):
        raise SqlError("22023", f'invalid value for parameter "endoption": {end}')
    check_not_negative("subexpr", group)
    wanted = compiled(pattern, letters, caller="regexp_instr")
    found = _nth_match(text, wanted, start, nth) if group <= wanted.groups else None
    if found is None or found.start(group) < 0:
        return 0
    place: int = found.end(group) if end else found.start(group)
    return place + 1


@forms.function("regexp_split_to_table(text,text)", "regexp_split_to_table(text,text,text)")
def regexp_split_to_table(text: str, pattern: str, letters: str = "") -> Iterator[str]:
    """The parts between matches, as rows."""
    return iter(split_by(text, pattern, letters, "regexp_split_to_table"))


def split_by(text: str, pattern: str, letters: str = "", caller: str = "") -> list[str]:
    """The parts between matches; empty matches at the ends and after a match split nothing."""
    parts = []
    at = 0
    for found in find_all(compiled(pattern, letters, caller=caller), text):
        start, end = found.span()
        if start == end and start in (at, len(text)):
            continue
        parts.append(text[at:start])
        at = end
    parts.append(text[at:])
    return parts
