"""The default text search parser: a text becomes words, numbers, hosts, files, tags, blanks.

A machine of states. Each state is a list of rules tried in order against the character at hand
(or the end of the text). A rule may go on to another state, take the token (`!type`), or try
another state first (`?`): when that one gives up (`<`), the machine is back where it was and tries
the next rule. `=` forgets the last such place, `*` all of them. The table is the grammar of
PostgreSQL's own parser, whose token types and numbers it shares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

TOKEN_TYPES: Final[tuple[tuple[int, str, str], ...]] = (
    (1, "asciiword", "Word, all ASCII"),
    (2, "word", "Word, all letters"),
    (3, "numword", "Word, letters and digits"),
    (4, "email", "Email address"),
    (5, "url", "URL"),
    (6, "host", "Host"),
    (7, "sfloat", "Scientific notation"),
    (8, "version", "Version number"),
    (9, "hword_numpart", "Hyphenated word part, letters and digits"),
    (10, "hword_part", "Hyphenated word part, all letters"),
    (11, "hword_asciipart", "Hyphenated word part, all ASCII"),
    (12, "blank", "Space symbols"),
    (13, "tag", "XML tag"),
    (14, "protocol", "Protocol head"),
    (15, "numhword", "Hyphenated word, letters and digits"),
    (16, "asciihword", "Hyphenated word, all ASCII"),
    (17, "hword", "Hyphenated word, all letters"),
    (18, "url_path", "URL path"),
    (19, "file", "File or path name"),
    (20, "float", "Decimal notation"),
    (21, "int", "Signed integer"),
    (22, "uint", "Unsigned integer"),
    (23, "entity", "XML entity"),
)
"""(number, alias, description) of every kind of token."""

BLANK: Final = 12
TAG: Final = 13
HYPHENATED: Final = frozenset({15, 16, 17})
_NUMBERS: Final = {name: number for number, name, _ in TOKEN_TYPES}

# state: rules "class action". A class is a character, or a name below; "$" is the end.
_TABLE: Final = r"""
base: < ?tag1 ; asclet >asciiword ; alpha >word ; digit >uint ; - ?sint1 ; + ?sint1 ; & ?entity1
base: ~ ?twiddle ; / ?file1 ; . ?path11 ; any >space
numword: $ !numword ; alnum >numword ; special >numword ; @ ?email ; / ?file1 ; . ?filenext
numword: - ?hnum1 ; any !numword
asciiword: $ !asciiword ; asclet >asciiword ; . ?domain1 ; . ?filenext ; - ?hostan ; - ?hascii1
asciiword: _ ?hostan ; @ ?email ; : ?proto1 ; / ?file1 ; digit ?host ; digit >numword
asciiword: alpha >word ; special >word ; any !asciiword
word: $ !word ; alpha >word ; special >word ; digit >numword ; - ?hword1 ; any !word
uint: $ !uint ; digit >uint ; . ?domain1 ; . ?udec1 ; e ?mant1 ; E ?mant1 ; - ?hostan ; _ ?hostan
uint: @ ?email ; asclet ?host ; alpha >numword ; special >numword ; / ?file1 ; any !uint
sint1: $ < ; digit =sint ; any <
sint: $ !int ; digit >sint ; . ?dec1 ; e ?mant1 ; E ?mant1 ; any !int
space: $ !blank ; < !blank ; ignore >space ; - !blank ; + !blank ; & !blank ; / !blank
space: notalnum >space ; any !blank
udec1: $ < ; digit =udec ; any <
udec: $ !float ; digit >udec ; . ?version1 ; e ?mant1 ; E ?mant1 ; any !float
dec1: $ < ; digit =dec ; any <
dec: $ !float ; digit >dec ; e ?mant1 ; E ?mant1 ; any !float
version1: $ < ; digit =version ; any <
version: $ !version ; digit >version ; . ?version1 ; any !version
mant1: $ < ; digit =mant ; + >mantsign ; - >mantsign ; any <
mantsign: $ < ; digit =mant ; any <
mant: $ !sfloat ; digit >mant ; any !sfloat
entity1: $ < ; # >entitynum1 ; asclet >entity ; : >entity ; _ >entity ; any <
entity: $ < ; alnum >entity ; : >entity ; _ >entity ; . >entity ; - >entity ; ; >entityend ; any <
entitynum1: $ < ; x >entityhex1 ; X >entityhex1 ; digit >entitynum ; any <
entityhex1: $ < ; xdigit >entityhex ; any <
entitynum: $ < ; digit >entitynum ; ; >entityend ; any <
entityhex: $ < ; xdigit >entityhex ; ; >entityend ; any <
entityend: any =!entity
tag1: $ < ; / ?tagclose1 ; ! ?comment1 ; ? ?xmlbegin ; asclet ?tagname ; : ?tagname ; _ ?tagname
tag1: any <
xmlbegin: $ < ; x >xmlbegin2 ; any <
xmlbegin2: $ < ; m >xmlbegin3 ; any <
xmlbegin3: $ < ; l >tag ; any <
tagclose1: $ < ; asclet >tagname ; any <
tagname: $ < ; / >tagbeginend ; > >tagend ; space >tag ; alnum >tagname ; : >tagname ; _ >tagname
tagname: . >tagname ; - >tagname ; any <
tagbeginend: $ < ; > >tagend ; any <
tag: $ < ; > >tagend ; ' >tagquote ; " >tagquotes ; asclet >tag ; digit >tag ; = >tag ; - >tag
tag: _ >tag ; # >tag ; / >tag ; : >tag ; . >tag ; & >tag ; ? >tag ; % >tag ; ~ >tag ; space >tag
tag: any <
tagquote: $ < ; \ ?tagback ; ' >tag ; any >tagquote
tagquotes: $ < ; \ ?tagback2 ; " >tag ; any >tagquotes
tagback: $ < ; any =tagquote
tagback2: $ < ; any =tagquotes
tagend: any *!tag
comment1: $ < ; - >comment2 ; D >doctype ; d >doctype ; any <
comment2: $ < ; - >comment ; any <
comment: $ < ; - >close1 ; any >comment
close1: $ < ; - >close2 ; any >comment
close2: $ < ; - >close2 ; > >commentend ; any >comment
commentend: any *!tag
doctype: any >tag
domain1: $ < ; asclet >domain2 ; digit >host ; any <
domain2: $ < ; asclet >domain ; digit >host ; - ?hostan ; _ ?hostan ; . ?domain1 ; @ ?email ; any <
domain: $ *!host ; asclet >domain ; digit ?host ; : ?port1 ; - ?hostan ; _ ?hostan ; . ?domain1
domain: @ ?email ; digit < ; stophost *!host ; / ?furl ; any *!host
port1: $ < ; digit >port ; any <
port: $ *!host ; digit >port ; stophost *!host ; / ?furl ; any *!host
hostan: $ < ; digit >host ; asclet >host ; any <
host: $ < ; digit >host ; asclet >host ; @ ?email ; . ?domain1 ; - ?hostan ; _ ?hostan ; any <
email: stophost < ; ishost *!email ; any <
file1: $ < ; asclet =file ; digit =file ; . >path1 ; _ >file ; ~ ?twiddle ; any <
twiddle: $ < ; asclet >file ; digit >file ; _ >file ; / >file1 ; any <
path1: $ < ; asclet >file ; digit >file ; _ >file ; . >path2 ; / >file1 ; any <
path11: $ < ; . >path2 ; / >file1 ; any <
path2: $ =!file ; / ?file1 ; / =!file ; space =!file ; any <
file: $ !file ; asclet >file ; digit >file ; . ?filenext ; _ >file ; - >file ; / ?file1 ; any !file
filenext: $ < ; asclet =file ; digit =file ; _ =file ; any <
furl: $ < ; isurlpath *!url ; any <
proto1: $ < ; / >proto2 ; any <
proto2: $ < ; / >protoend ; any <
protoend: any *!protocol
hascii1: $ < ; asclet >hascii ; alpha >hword ; digit >hdigit ; any <
hascii: $ *!asciihword ; asclet >hascii ; alpha >hword ; special >hword ; digit >hnum
hascii: - ?hascii1 ; any *!asciihword
hword1: $ < ; alpha >hword ; digit >hdigit ; any <
hword: $ *!hword ; alpha >hword ; special >hword ; digit >hnum ; - ?hword1 ; any *!hword
hnum1: $ < ; alpha >hnum ; digit >hdigit ; any <
hnum: $ *!numhword ; alnum >hnum ; special >hnum ; - ?hnum1 ; any *!numhword
hdigit: $ < ; digit >hdigit ; alpha >hnum ; special >hnum ; any <
"""

Test = Callable[[str], bool]
_URL_CHARS: Final = frozenset(
    "!\"#$%&'()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"
) - frozenset('"<>\\^`{|}')
_SPACE: Final = " \t\n\v\f\r"


def _is_alpha(char: str) -> bool:
    return char.isalpha()


def _is_digit(char: str) -> bool:
    return char.isdecimal() if not char.isascii() else char.isdigit()


def _is_alnum(char: str) -> bool:
    return _is_alpha(char) or _is_digit(char) or char.isnumeric()


def _is_ascii_letter(char: str) -> bool:
    return char.isascii() and char.isalpha()


def _is_special(char: str) -> bool:
    """Marks that combine with the letter before."""
    import unicodedata

    return not char.isascii() and unicodedata.category(char) in ("Mn", "Mc", "Me")


_CLASSES: Final[dict[str, Test]] = {
    "asclet": _is_ascii_letter,
    "alpha": _is_alpha,
    "digit": _is_digit,
    "alnum": _is_alnum,
    "notalnum": lambda char: not _is_alnum(char),
    "xdigit": lambda char: char in "0123456789abcdefABCDEF",
    "space": lambda char: char in _SPACE or (not char.isascii() and char.isspace()),
    "special": _is_special,
    "any": lambda char: True,
    "ignore": lambda char: False,
}


@dataclass(frozen=True, slots=True)
class _Rule:
    """`test` "": at the end only. `flag`: > go on, ? try, = and * forget, < give up."""

    kind: str
    test: Test | None
    flag: str
    state: str
    token: int


@lru_cache(maxsize=1)
def _states() -> dict[str, tuple[_Rule, ...]]:
    table: dict[str, list[_Rule]] = {}
    for line in _TABLE.strip().splitlines():
        state, _, rules = line.partition(": ")
        for text in rules.split(" ; "):
            what, _, action = text.strip().rpartition(" ")
            what = what.strip()
            if not what:
                what, action = action[:-1], action[-1]
            flag, rest = (action[0], action[1:]) if action[0] in ">?=*<" else ("", action)
            token = 0
            if rest.startswith("!"):
                token, rest = _NUMBERS[rest[1:]], ""
            test = _CLASSES.get(what) if len(what) > 1 else None
            table.setdefault(state, []).append(_Rule(what, test, flag, rest, token))
    return {state: tuple(rules) for state, rules in table.items()}


def _token_at(
    text: str, start: int, *, state: str = "base", want_host: bool = False
) -> tuple[int, int]:
    """(type, end) of the token that starts at `start`; with `want_host` a host ends early."""
    states = _states()
    stack: list[tuple[str, int, int]] = []  # (state, place, next rule)
    at, first = start, 0
    size = len(text)
    while True:
        char = text[at] if at < size else ""
        rules = states[state]
        rule = None
        index = first
        for index in range(first, len(rules)):
            candidate = rules[index]
            if candidate.kind == "stophost":
                if want_host:
                    want_host = False
                    rule = candidate
                    break
            elif _matches(candidate, char, text, at):
                rule = candidate
                break
        first = 0
        if rule is None or rule.flag == "<":
            if not stack:
                return BLANK, min(at + 1, size)  # never: every text is something
            state, at, first = stack.pop()
            continue
        if rule.flag == "?":
            stack.append((state, at, index + 1))
        elif rule.flag == "=" and stack:
            stack.pop()
        elif rule.flag == "*":
            stack.clear()
        if rule.token:
            return rule.token, _extended(rule, text, at)
        state = rule.state
        if char:
            at += 1


def _matches(rule: _Rule, char: str, text: str, at: int) -> bool:
    kind = rule.kind
    if kind == "$":
        return not char
    if kind == "any":
        return True
    if kind == "ishost":
        return bool(char) and _host_end(text, at) > at
    if kind == "isurlpath":
        return bool(char) and _path_end(text, at) > at
    if not char:
        return False
    return rule.test(char) if rule.test is not None else char == kind


def _extended(rule: _Rule, text: str, at: int) -> int:
    """Where a token ends that another parse measured."""
    if rule.kind == "ishost":
        return _host_end(text, at)
    if rule.kind == "isurlpath":
        return _path_end(text, at)
    return at


def _host_end(text: str, at: int) -> int:
    """Where a host that starts here ends; `at` when there is none."""
    if at < len(text) and text[at].isascii() and text[at].isalnum():
        kind, end = _token_at(text, at, want_host=True)
        if kind == _NUMBERS["host"]:
            return end
    return at


def _path_end(text: str, at: int) -> int:
    """Where a URL's path that starts here ends."""
    end = at
    while end < len(text) and text[end] in _URL_CHARS:
        end += 1
    return end


def _parts(text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    """The parts of a hyphenated word, and the hyphens between."""
    at = start
    for part in text[start:end].split("-"):
        if at > start:
            yield BLANK, "-"
        if part.isascii() and part.isalpha():
            yield _NUMBERS["hword_asciipart"], part
        elif any(_is_digit(char) for char in part):
            yield _NUMBERS["hword_numpart"], part
        else:
            yield _NUMBERS["hword_part"], part
        at += len(part) + 1


def parse_tokens(text: str) -> Iterator[tuple[int, str]]:
    """(type, text) of every token, blanks among them; compounds, then their parts."""
    at = 0
    in_url = False
    while at < len(text):
        if in_url:
            in_url = False
            end = _path_end(text, at)
            if text[at] == "/" and end > at:
                yield _NUMBERS["url_path"], text[at:end]
                at = end
                continue
        kind, end = _token_at(text, at)
        token = text[at:end]
        if kind == _NUMBERS["url"]:
            yield kind, token
            host = _url_host(text, at)
            yield _NUMBERS["host"], text[at:host]
            at, in_url = host, True
            continue
        yield kind, token
        if kind in HYPHENATED:
            yield from _parts(text, at, end)
            if text[end : end + 1] == "-":
                # one more hyphen ends the word and begins a blank, never a number
                stop = _token_at(text, end + 1, state="space")[1]
                yield BLANK, text[end:stop]
                end = stop
        elif kind == TAG:
            stop = _skip_special(text, token, end)
            if stop > end:
                yield BLANK, text[end:stop]
                end = stop
        at = end


def _url_host(text: str, at: int) -> int:
    return text.index("/", at)


def _skip_special(text: str, tag: str, end: int) -> int:
    """What <script> and <style> enclose is no text."""
    lower = tag.lower()
    for name in ("script", "style"):
        if lower.startswith(f"<{name}") and not lower.endswith("/>"):
            close = text.lower().find(f"</{name}", end)
            return close if close >= 0 else len(text)
    return end
