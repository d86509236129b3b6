"""The chapter "String Functions": text in, text out. Patterns are in `pattern.py`."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.declare import Forms
from heliosd.types.integer import int4
from heliosd.types.quoting import quote_identifier, quote_literal

forms: Final = Forms()
forms.helper(quote_identifier)
forms.helper(quote_literal)

# PostgreSQL's limit of one value: 1 GB.
_TEXT_BYTES_MAX: Final = 1_073_741_823

forms.templates(
    {
        "length(text)": "text_length({0})",
        "char_length(text)": "text_length({0})",
        "character_length(text)": "text_length({0})",
        "textlen(text)": "text_length({0})",
        "length(bpchar)": "text_length(bpchar_key({0}))",
        "char_length(bpchar)": "text_length(bpchar_key({0}))",
        "character_length(bpchar)": "text_length(bpchar_key({0}))",
        "octet_length(text)": "text_bytes({0})",
        "octet_length(bpchar)": "text_bytes({0})",
        "bit_length(text)": "text_bytes({0}) * 8",
        "lower(text)": "text_lower({0})",
        "reverse(text)": "{0}[::-1]",
        "btrim(text)": "{0}.strip(' ')",
        "ltrim(text)": "{0}.lstrip(' ')",
        "rtrim(text)": "{0}.rstrip(' ')",
        "btrim(text,text)": "{0}.strip({1}) if {1} else {0}",
        "ltrim(text,text)": "{0}.lstrip({1}) if {1} else {0}",
        "rtrim(text,text)": "{0}.rstrip({1}) if {1} else {0}",
        "replace(text,text,text)": "text_replace({0}, {1}, {2})",
        "strpos(text,text)": "{0}.find({1}) + 1",
        "position(text,text)": "{0}.find({1}) + 1",
        "quote_ident(text)": "quote_identifier({0})",
        "quote_literal(text)": "quote_literal({0})",
        "quote_nullable(text)": "'NULL' if {0} is None else quote_literal({0})",
    }
)


@forms.helper
def text_replace(value: str, old: str, new: str) -> str:
    """Every `old` becomes `new`; 54000 for what no value can hold."""
    if not old:
        return value
    if len(new) > len(old):
        check_size(len(value) + value.count(old) * (len(new) - len(old)))
    return value.replace(old, new)


@forms.helper
def text_lower(value: str) -> str:
    """Lower case, a character for a character: what C.UTF-8 maps."""
    lowered = value.lower()
    if value.isascii():
        return lowered
    return "".join(char.lower()[0] for char in value)


@forms.helper
def text_length(value: str) -> int:
    """Characters."""
    return len(value)


@forms.helper
def text_bytes(value: str) -> int:
    """Bytes in UTF-8."""
    return len(value.encode())


def check_size(size_bytes: int) -> None:
    """54000 for a result that no value can hold."""
    if size_bytes > _TEXT_BYTES_MAX:
        raise SqlError("54000", "requested length too large")


@forms.function("upper(text)")
def upper(value: str) -> str:
    """Character by character: ß stays, as libc's towupper leaves it."""
    if value.isascii():
        return value.upper()
    return "".join(up if len(up := char.upper()) == 1 else char for char in value)


@forms.function("initcap(text)")
def initcap(value: str) -> str:
    """The first letter of each run of letters and digits in upper case, the rest in lower."""
    parts = []
    inside = False
    for char in value:
        parts.append(char.lower() if inside else upper(char))
        inside = char.isalnum()
    return "".join(parts)


@forms.function("substr(text,int4)", "substring(text,int4)")
def substring_from(value: str, start: int) -> str:
    """From character `start`, counted from 1; places before the text count."""
    return value[max(start - 1, 0) :]


@forms.function("substr(text,int4,int4)", "substring(text,int4,int4)")
def substring_for(value: str, start: int, length: int) -> str:
    """`length` characters from `start`; 22011 for a negative length."""
    if length < 0:
        raise SqlError("22011", "negative substring length not allowed")
    return value[max(start - 1, 0) : max(start - 1 + length, 0)]


@forms.function("left(text,int4)")
def left(value: str, count: int) -> str:
    """The first characters; a negative count leaves out the last."""
    return value[:count]


@forms.function("right(text,int4)")
def right(value: str, count: int) -> str:
    """The last characters; a negative count leaves out the first."""
    return value[-count:] if count else ""


def _pad(value: str, length: int, fill: str) -> str | None:
    """What to add; None where the text is cut instead."""
    check_size(length)
    missing = length - len(value)
    if missing <= 0 or not fill:
        return None
    return (fill * (missing // len(fill) + 1))[:missing]


@forms.function("lpad(text,int4,text)")
def lpad(value: str, length: int, fill: str) -> str:
    """Filled on the left, or cut on the right."""
    padding = _pad(value, length, fill)
    return value[: max(length, 0)] if padding is None else padding + value


@forms.function("rpad(text,int4,text)")
def rpad(value: str, length: int, fill: str) -> str:
    """Filled on the right, or cut there."""
    padding = _pad(value, length, fill)
    return value[: max(length, 0)] if padding is None else value + padding


@forms.function("lpad(text,int4)")
def lpad_spaces(value: str, length: int) -> str:
    """With spaces."""
    return lpad(value, length, " ")


@forms.function("rpad(text,int4)")
def rpad_spaces(value: str, length: int) -> str:
    """With spaces."""
    return rpad(value, length, " ")


@forms.function("repeat(text,int4)")
def repeat(value: str, count: int) -> str:
    """54000 where the result would not fit a value."""
    if count <= 0:
        return ""
    check_size(len(value.encode()) * count)
    return value * count


@forms.function("overlay(text,text,int4,int4)")
def overlay(value: str, new: str, start: int, length: int) -> str:
    """`new` in the place of `length` characters from `start`; 22011."""
    if start <= 0:
        raise SqlError("22011", "negative substring length not allowed")
    return value[: start - 1] + new + substring_from(value, int4(start + length))


@forms.function("overlay(text,text,int4)")
def overlay_own_length(value: str, new: str, start: int) -> str:
    """As long as `new` is."""
    return overlay(value, new, start, len(new))


@forms.function("translate(text,text,text)")
def translate(value: str, characters: str, replacements: str) -> str:
    """Each character of `characters` by its counterpart, or removed; the first mention counts."""
    table: dict[int, str | None] = {}
    for at, char in enumerate(characters):
        table.setdefault(ord(char), replacements[at] if at < len(replacements) else None)
    return value.translate(table)


@forms.function("split_part(text,text,int4)")
def split_part(value: str, delimiter: str, number: int) -> str:
    """The nth field, from 1; negative counts from the end; 22023 for 0."""
    if number == 0:
        raise SqlError("22023", "field position must not be zero")
    if not delimiter:
        return value if number in (1, -1) else ""
    fields = value.split(delimiter)
    place = number - 1 if number > 0 else len(fields) + number
    return fields[place] if 0 <= place < len(fields) else ""


@forms.function("ascii(text)")
def ascii_code(value: str) -> int:
    """The first character's code point; 0 for the empty text."""
    return ord(value[0]) if value else 0


@forms.function("chr(int4)")
def chr_of(code: int) -> str:
    """The character of a code point; 54000, 22023."""
    if code == 0:
        raise SqlError("54000", "null character not permitted")
    if code < 0:
        raise SqlError("22023", "character number must be positive")
    if 0xD800 <= code <= 0xDFFF:
        raise SqlError("54000", f"requested character not valid for encoding: {code}")
    if code > 0x10FFFF:
        raise SqlError("54000", f"requested character too large for encoding: {code}")
    return chr(code)


@forms.function("md5(text)")
def md5_text(value: str) -> str:
    """Hexadecimal MD5 of the UTF-8 bytes: a checksum, not a defence."""
    return hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()


@forms.function("to_hex(int4)")
def to_hex4(value: int) -> str:
    """Two's complement of 32 bits."""
    return f"{value & 0xFFFFFFFF:x}"


@forms.function("to_hex(int8)")
def to_hex8(value: int) -> str:
    """Two's complement of 64 bits."""
    return f"{value & 0xFFFFFFFFFFFFFFFF:x}"


@forms.function("normalize(text,text)")
def normalize(value: str, form: str) -> str:
    """A Unicode normal form; 22023."""
    return unicodedata.normalize(_normal_form(form), value)


@forms.function("is_normalized(text,text)")
def is_normalized(value: str, form: str) -> bool:
    """Whether the text is in a Unicode normal form; 22023."""
    return unicodedata.is_normalized(_normal_form(form), value)


def _normal_form(form: str) -> Any:
    name = form.upper()
    if name not in ("NFC", "NFD", "NFKC", "NFKD"):
        raise SqlError("22023", f"invalid normalization form: {form}")
    return name


# ------------------------------------------------------------ unistr, parse_ident


@forms.function("unistr(text)")
def unistr(value: str) -> str:
    r"""\XXXX, \+XXXXXX, \uXXXX, \UXXXXXXXX and \\ as characters; 22023."""
    parts: list[str] = []
    at = 0
    while at < len(value):
        char = value[at]
        if char != "\\":
            parts.append(char)
            at += 1
            continue
        rest = value[at + 1 : at + 10]
        if rest.startswith("\\"):
            parts.append("\\")
            at += 2
            continue
        for prefix, digits in (("+", 6), ("u", 4), ("U", 8), ("", 4)):
            hexadecimal = rest[len(prefix) : len(prefix) + digits]
            if rest.startswith(prefix) and len(hexadecimal) == digits and _is_hex(hexadecimal):
                parts.append(_code_point(int(hexadecimal, 16)))
                at += 1 + len(prefix) + digits
                break
        else:
            raise SqlError(
                "42601",
                "invalid Unicode escape",
                hint="Unicode escapes must be \\XXXX, \\+XXXXXX, \\uXXXX, or \\UXXXXXXXX.",
            )
    # Pairs of surrogates become one character.
    try:
        return "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise SqlError("42601", "invalid Unicode surrogate pair") from None


def _is_hex(text: str) -> bool:
    return all(char in "0123456789abcdefABCDEF" for char in text)


def _code_point(code: int) -> str:
    if code == 0 or code > 0x10FFFF:
        raise SqlError("22023", f"invalid Unicode code point: {code:04X}")
    return chr(code)


# ------------------------------------------------------------ tables of parts


@forms.function("string_to_table(text,text)", "string_to_table(text,text,text)")
def string_to_table(
    value: str | None, delimiter: str | None, null_text: str | None = None
) -> Iterator[str | None]:
    """The parts as rows; without a delimiter each character; `null_text` reads as NULL."""
    if value is None:
        return
    for part in split_text(value, delimiter):
        yield None if part == null_text else part


def split_text(value: str, delimiter: str | None) -> list[str]:
    """What string_to_array and string_to_table split into; nothing of the empty text."""
    if not value:
        return []
    if delimiter is None:
        return list(value)
    return value.split(delimiter) if delimiter else [value]
