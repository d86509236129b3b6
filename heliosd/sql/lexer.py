"""Text to tokens by PostgreSQL's scanner rules.

`tokenize` never fails: what the scanner rejects becomes an ERROR token at its place, because
PostgreSQL too finds a syntax error before it before it reads on. The parser raises it when it
gets there.
"""

from __future__ import annotations

import re
from typing import Final

from heliosd.errors import SqlError
from heliosd.sql.keywords import KEYWORDS, SPELLINGS

# PostgreSQL's NAMEDATALEN - 1: longer identifiers are cut, at a whole character.
IDENTIFIER_BYTES_MAX: Final = 63
INT4_MAX: Final = 2**31 - 1

_LETTER: Final = r"A-Za-z_\x80-\U0010ffff"
_SKIP: Final = r"(?:[ \t\n\r\f]+|--[^\n\r]*)*+"
# After a string: a line break and another quote continue it (comments may stand between).
_CONTINUES: Final = r"[ \t\f]*(?:--[^\n\r]*)?[\n\r](?:[ \t\n\r\f]+|--[^\n\r]*[\n\r])*+'"

_WORD, _PUNCTUATION, _STRING, _INTEGER, _NUMBER, _OPERATOR = 1, 2, 3, 4, 5, 6
_PARAMETER, _QUOTED, _PREFIXED, _DOLLAR, _COMMENT, _END, _OTHER = 7, 8, 9, 10, 11, 12, 13

_TOKEN: Final = re.compile(
    rf"""{_SKIP}(?:
    (?![eEbBxXnNuU](?:'|&['"]))([{_LETTER}][{_LETTER}0-9$]*)
    |(::|:=|\.\.|[,()\[\];:]|\.(?![0-9]))
    |'([^']*)'(?!'|{_CONTINUES})
    |([0-9]+)(?![0-9.{_LETTER}])
    |((?:[0-9]+(?:\.(?!\.)[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |((?!/\*)[~!@\#^&|`?+\-*/%<>=]+)
    |\$([0-9]+)(?![0-9{_LETTER}])
    |"((?:[^"]|"")*)"
    |([eEbBxXnN]'|[uU]&["'])
    |(\$(?:[{_LETTER}][{_LETTER}0-9]*)?\$)
    |(/\*)
    |(\Z)
    |(.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_SKIPPED: Final = re.compile(_SKIP)
_CONTINUATION: Final = re.compile(_CONTINUES)
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")
_JUNK: Final = re.compile(rf"[eE][+-]|[{_LETTER}][{_LETTER}0-9$]*")
_PARAMETER_JUNK: Final = re.compile(rf"\$[0-9]+[{_LETTER}][{_LETTER}0-9$]*")
_NEXT_TOKEN: Final = re.compile(rf"[{_LETTER}0-9]+|'[^']*'|.?", re.DOTALL)
_QUOTE_PART: Final = re.compile(r"(?:[^']|'')*+'", re.DOTALL)
_ESCAPED_PART: Final = re.compile(r"(?:[^'\\]|''|\\.)*+'", re.DOTALL)
_UESCAPE: Final = re.compile(
    rf"{_SKIP}uescape(?![{_LETTER}0-9$]){_SKIP}(?:'([^'])'(?!'))?", re.IGNORECASE
)
_ESCAPE: Final = re.compile(
    r"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.DOTALL
)
_SIMPLE_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ASCII_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_SINGLE_OPERATORS: Final = frozenset("+-*/%^<>=")
_DOUBLE_OPERATORS: Final = {"<=": "<=", ">=": ">=", "<>": "<>", "!=": "<>", "=>": "=>"}
_OPERATOR_SPECIALS: Final = re.compile(r"[~!@#^&|`?%]")


class Tokens:
    """Parallel lists, one entry per token, the last of kind "EOF" (or "ERROR").

    `kinds`: a keyword in lower case, an operator or punctuation mark as itself, else "IDENT",
    "SCONST", "ICONST" (int4), "FCONST" (any other number), "BCONST" (bit strings), "PARAM",
    "OP" (an operator without its own place in the grammar), "NCHAR" before an n'' string.
    `values`: the name, the unescaped string, the int, the number's or operator's text.
    `starts`, `ends`: 0-based characters. `error` is what an ERROR token stands for.
    """

    __slots__ = ("ends", "error", "kinds", "starts", "text", "values")

    def __init__(self, text: str) -> None:
        self.text = text
        self.kinds: list[str] = []
        self.values: list[str | int] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.error: SqlError | None = None

    def add(self, kind: str, value: str | int, start: int, end: int) -> None:
        """Append one token."""
        self.kinds.append(kind)
        self.values.append(value)
        self.starts.append(start)
        self.ends.append(end)


class _ScanError(Exception):
    """Inside this module: the scanner's refusal, turned into an ERROR token."""

    def __init__(self, error: SqlError) -> None:
        super().__init__(error.message)
        self.error = error


def tokenize(text: str, *, standard_strings: bool = True) -> Tokens:
    """All tokens of `text`; `standard_strings` is standard_conforming_strings."""
    tokens = Tokens(text)
    try:
        _scan(tokens, standard_strings=standard_strings)
    except _ScanError as refusal:
        tokens.error = refusal.error
        position = refusal.error.position - 1
        tokens.add("ERROR", "", position, len(text))
    return tokens


def fold_identifier(word: str) -> str:
    """An unquoted identifier as PostgreSQL keeps it: ASCII letters lowered, cut to 63 bytes."""
    word = word.lower() if word.isascii() else word.translate(_ASCII_LOWER)
    return word if len(word) < 16 else cut_identifier(word)


def cut_identifier(name: str) -> str:
    """`name` cut to at most 63 bytes of UTF-8, at a whole character."""
    data = name.encode("utf-8", "surrogatepass")
    if len(data) <= IDENTIFIER_BYTES_MAX:
        return name
    return data[:IDENTIFIER_BYTES_MAX].decode("utf-8", "ignore")


def _scan(tokens: Tokens, *, standard_strings: bool) -> None:
    text = tokens.text
    kinds, values, starts, ends = tokens.kinds, tokens.values, tokens.starts, tokens.ends
    spelling = SPELLINGS.get
    position = 0
    while True:
        for match in _TOKEN.finditer(text, position):
            group = match.lastindex
            assert group is not None
            raw: str = match[group]
            start, end = match.span(group)
            value: str | int = raw
            if group == _WORD:
                keyword = spelling(raw)
                if keyword is None:
                    value = fold_identifier(raw)
                    kind = value if value in KEYWORDS else "IDENT"
                else:
                    kind = value = keyword
            elif group == _PUNCTUATION:
                kind = raw
            elif group == _OPERATOR:
                if len(raw) > 1:
                    raw = _cut_operator(raw)
                    value = _DOUBLE_OPERATORS.get(raw, raw)
                    if len(raw) != end - start:
                        end = start + len(raw)
                        kind = raw if raw in _SINGLE_OPERATORS else _kind_of_operator(raw)
                        tokens.add(kind, value, start, end)
                        position = end
                        break
                kind = raw if raw in _SINGLE_OPERATORS else _kind_of_operator(raw)
                if len(raw) > IDENTIFIER_BYTES_MAX:
                    raise _refuse("operator too long", start)
            elif group == _STRING:
                start, end = start - 1, end + 1
                kind = "SCONST"
                if not standard_strings and "\\" in raw:
                    position = _scan_special(tokens, "e'", start, start + 1)
                    break
            elif group == _INTEGER:
                if len(raw) < 10 or (len(raw) == 10 and int(raw) <= INT4_MAX):
                    kind, value = "ICONST", int(raw)
                else:
                    kind, value = _integer_token(raw)
            elif group == _NUMBER:
                junk = _JUNK.match(text, end)
                if junk is not None:
                    raise _refuse("trailing junk after numeric literal", start, junk.end(), text)
                kind, value = _integer_token(raw) if raw.isdigit() else ("FCONST", raw)
            elif group == _PARAMETER:
                start -= 1
                kind, value = "PARAM", raw
            elif group == _QUOTED:
                start, end = start - 1, end + 1
                if not raw:
                    raise _refuse("zero-length delimited identifier", start, end, text)
                name = raw.replace('""', '"') if '""' in raw else raw
                kind, value = "IDENT", name if len(name) < 16 else cut_identifier(name)
            elif group == _END:
                tokens.add("EOF", "", end, end)
                return
            else:
                position = _scan_other(tokens, group, raw, start, end, standard_strings)
                break
            kinds.append(kind)
            values.append(value)
            starts.append(start)
            ends.append(end)


def _integer_token(digits: str) -> tuple[str, str | int]:
    significant = digits.lstrip("0") or "0"
    if len(significant) <= 10 and int(significant) <= INT4_MAX:
        return "ICONST", int(significant)
    return "FCONST", digits


def _cut_operator(raw: str) -> str:
    """The operator at the start of a run of operator characters.

    A comment ends it; a trailing + or - belongs to what follows unless a character that SQL's
    own operators lack is there too (so that `2*-1` works and `@-` is one operator).
    """
    for mark in ("--", "/*"):
        at = raw.find(mark)
        if at > 0:
            raw = raw[:at]
    if len(raw) > 1 and raw[-1] in "+-" and not _OPERATOR_SPECIALS.search(raw[:-1]):
        raw = raw[0] + raw[1:].rstrip("+-")
    return raw


def _kind_of_operator(raw: str) -> str:
    return _DOUBLE_OPERATORS.get(raw, "OP")


def _scan_other(
    tokens: Tokens,
    group: int,
    raw: str,
    start: int,
    end: int,
    standard_strings: bool,  # noqa: FBT001
) -> int:
    """What the main loop leaves: answers where to go on."""
    text = tokens.text
    if group == _COMMENT:
        return _skip_comment(text, start)
    if group == _PREFIXED:
        return _scan_special(tokens, raw, start, end)
    if group == _DOLLAR:
        close = text.find(raw, end)
        if close < 0:
            raise _refuse("unterminated dollar-quoted string", start, None, text)
        tokens.add("SCONST", text[end:close], start, close + len(raw))
        return close + len(raw)
    if raw == "'":
        return _scan_special(tokens, "'" if standard_strings else "e'", start, end)
    if raw == '"':
        raise _refuse("unterminated quoted identifier", start, None, text)
    parameter = _PARAMETER_JUNK.match(text, start)
    if parameter is not None:
        raise _refuse("trailing junk after parameter", start, parameter.end(), text)
    tokens.add(raw, raw, start, end)  # a character no rule knows: a syntax error for the parser
    return end


def _skip_comment(text: str, start: int) -> int:
    depth, position = 1, start + 2
    while depth:
        edge = _COMMENT_EDGE.search(text, position)
        if edge is None:
            raise _refuse("unterminated /* comment", start, None, text)
        depth += 1 if edge[0] == "/*" else -1
        position = edge.end()
    return position


def _scan_special(tokens: Tokens, prefix: str, start: int, body: int) -> int:
    """A string that is prefixed, continued, doubled or escaped, from `body` on."""
    text = tokens.text
    letter = prefix[0].lower() if len(prefix) > 1 else ""
    if letter == "n":  # national character: NCHAR '...'
        tokens.add("nchar", "nchar", start, start + 1)
        return start + 1
    if prefix.endswith('"'):
        return _scan_unicode_identifier(tokens, start, body)
    part = _ESCAPED_PART if letter == "e" else _QUOTE_PART
    pieces: list[str] = []
    end = body
    while True:
        match = part.match(text, end)
        if match is None:
            raise _refuse(_UNTERMINATED.get(letter, _UNTERMINATED[""]), start, None, text)
        pieces.append(text[end : match.end() - 1])
        end = match.end()
        more = _CONTINUATION.match(text, end)
        if more is None:
            break
        end = more.end()
    if letter == "e":
        value = "".join(_unescape(piece, start, body) for piece in pieces)
        tokens.add("SCONST", value, start, end)
        return end
    value = "".join(pieces).replace("''", "'")
    if letter == "u":
        value, end = _unescape_unicode(text, value, body, end)
        tokens.add("SCONST", value, start, end)
    elif letter in ("b", "x"):
        tokens.add("BCONST", letter + value, start, end)
    else:
        tokens.add("SCONST", value, start, end)
    return end


_UNTERMINATED: Final = {
    "": "unterminated quoted string",
    "b": "unterminated bit string literal",
    "x": "unterminated hexadecimal string literal",
}


def _scan_unicode_identifier(tokens: Tokens, start: int, body: int) -> int:
    text = tokens.text
    match = re.compile(r'((?:[^"]|"")*+)"', re.DOTALL).match(text, body)
    if match is None:
        raise _refuse("unterminated quoted identifier", start, None, text)
    if not match[1]:
        raise _refuse("zero-length delimited identifier", start, match.end(), text)
    name, end = _unescape_unicode(text, match[1].replace('""', '"'), body, match.end())
    tokens.add("IDENT", cut_identifier(name), start, end)
    return end


def _unescape(piece: str, start: int, body: int) -> str:
    """An e'' string's content; `start` and `body` place the errors."""
    if "\\" not in piece:
        return piece.replace("''", "'")
    out: list[str] = []
    raw = bytearray()  # bytes of \x and octal escapes, which may make up characters together
    high = 0
    position = 0

    def flush() -> None:
        if raw:
            try:
                out.append(raw.decode("utf-8"))
            except UnicodeDecodeError as error:
                hexed = " ".join(f"0x{byte:02x}" for byte in raw[error.start : error.end])
                raise _ScanError(
                    SqlError("22021", f'invalid byte sequence for encoding "UTF8": {hexed}')
                ) from None
            raw.clear()

    for match in _ESCAPE.finditer(piece):
        plain = piece[position : match.start()].replace("''", "'")
        position = match.end()
        octal, hexadecimal, short, long, simple = match.groups()
        code = int(short or long or "0", 16)
        if high and (plain or not 0xDC00 <= code <= 0xDFFF):
            at = match.start() - len(plain)
            near = plain[:1] or (match[0] if short or long else "\\")
            raise _refuse("invalid Unicode surrogate pair", body + at, near=near)
        if plain:
            flush()
            out.append(plain)
        if octal or hexadecimal:
            raw.append(int(octal, 8) & 0xFF if octal else int(hexadecimal, 16))
            continue
        if simple and simple in "uU":
            raise _ScanError(
                SqlError(
                    "22025",
                    "invalid Unicode escape",
                    hint="Unicode escapes must be \\uXXXX or \\UXXXXXXXX.",
                    position=body + match.start() + 1,
                )
            )
        flush()
        if simple:
            out.append(_SIMPLE_ESCAPES.get(simple, simple))
            continue
        if high:
            out.append(chr(0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00)))
            high = 0
        elif 0xD800 <= code <= 0xDBFF:
            high = code
        elif 0xDC00 <= code <= 0xDFFF:
            at = body + match.start()
            raise _refuse("invalid Unicode surrogate pair", at, near=match[0])
        else:
            out.append(_character(code, body + match.start(), match[0]))
    if high:
        near = piece[position : position + 1] or "'"
        raise _refuse("invalid Unicode surrogate pair", body + position, near=near)
    flush()
    out.append(piece[position:].replace("''", "'"))
    value = "".join(out)
    if "\0" in value:
        raise _ScanError(SqlError("22021", 'invalid byte sequence for encoding "UTF8": 0x00'))
    return value


def _unescape_unicode(text: str, value: str, body: int, end: int) -> tuple[str, int]:
    """The content of a U&'' string or name after its UESCAPE, and where that ends."""
    escape = "\\"
    clause = _UESCAPE.match(text, end)
    if clause is not None:
        if clause[1] is None:
            message = "UESCAPE must be followed by a simple string literal"
            raise _refuse_at_token(message, clause.end(), text)
        escape, end = clause[1], clause.end()
        if escape in "0123456789abcdefABCDEF+'\" \t\n\r\f":
            at = clause.start(1) - 1
            raise _refuse_at_token("invalid Unicode escape character", at, text)
    if escape not in value:
        return value, end
    mark = re.escape(escape)
    escapes = re.compile(rf"{mark}(?:({mark})|([0-9A-Fa-f]{{4}})|\+([0-9A-Fa-f]{{6}})|)")
    out: list[str] = []
    position = high = 0
    for match in escapes.finditer(value):
        plain = value[position : match.start()]
        position = match.end()
        doubled, short, long = match.groups()
        if not (doubled or short or long):
            raise _ScanError(
                SqlError(
                    "42601",
                    "invalid Unicode escape",
                    hint="Unicode escapes must be \\XXXX or \\+XXXXXX.",
                    position=body + match.start() + 1,
                )
            )
        code = int(short or long or "0", 16)
        if high and (plain or not 0xDC00 <= code <= 0xDFFF):
            at = match.start() - len(plain)
            raise _refuse("invalid Unicode surrogate pair", body + at)
        out.append(plain)
        if doubled:
            out.append(escape)
        elif high:
            out.append(chr(0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00)))
            high = 0
        elif 0xD800 <= code <= 0xDBFF:
            high = code
        elif 0xDC00 <= code <= 0xDFFF:
            raise _refuse("invalid Unicode surrogate pair", body + match.start())
        else:
            out.append(_character(code, body + match.start()))
    if high:
        raise _refuse("invalid Unicode surrogate pair", body + position)
    out.append(value[position:])
    return "".join(out), end


def _character(code: int, at: int, near: str = "") -> str:
    if not 0 < code <= 0x10FFFF:
        raise _refuse("invalid Unicode escape value", at, near=near)
    return chr(code)


def _refuse_at_token(message: str, start: int, text: str) -> _ScanError:
    token = _NEXT_TOKEN.match(text, start)
    assert token is not None
    return _refuse(message, start, token.end(), text)


def _refuse(
    message: str, start: int, end: int | None = None, text: str = "", near: str = ""
) -> _ScanError:
    """The scanner's error; `message at or near "..."` when `text` or `near` is given."""
    if text:
        near = text[start:end]
    if near:
        message = f'{message} at or near "{near}"'
    return _ScanError(SqlError("42601", message, position=start + 1))
