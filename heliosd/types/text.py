"""text, varchar(n), char(n), name, "char", cstring and unknown: Python strings.

Text compares by code point, which is the byte order of UTF-8 (collation C.UTF-8).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, context_free, six, sql_type
from heliosd.types.failures import invalid_syntax, wrong_length
from heliosd.types.registry import CallTypes, KeyKind

forms: Final = Forms()

NAME_BYTES_MAX: Final = 63
_LENGTH_MAX: Final = 10_485_760


def _same(text: str, typmod: int, ctx: EvalContext) -> str:
    return text


def _itself(value: str) -> str:
    return value


def decode_text(data: bytes) -> str:
    """UTF-8 without NUL, or 22021 in PostgreSQL's words."""
    try:
        text = str(data, "utf-8")
    except UnicodeDecodeError as error:
        shown = " ".join(
            f"0x{byte:02x}" for byte in data[error.start : error.start + _lead(data[error.start])]
        )
        raise SqlError("22021", f'invalid byte sequence for encoding "UTF8": {shown}') from None
    if "\0" in text:
        raise SqlError("22021", 'invalid byte sequence for encoding "UTF8": 0x00')
    return text


def _lead(byte: int) -> int:
    """How many bytes a UTF-8 sequence with this first byte claims."""
    if byte < 0xC0:
        return 1
    if byte < 0xE0:
        return 2
    return 3 if byte < 0xF0 else 4


def _receive(data: bytes, typmod: int, ctx: EvalContext) -> str:
    return decode_text(data)


def _length_in(type_name: str, modifiers: tuple[str, ...]) -> int:
    if len(modifiers) != 1:
        raise SqlError("22023", "invalid type modifier")
    try:
        length = int(modifiers[0])
    except ValueError:
        raise SqlError(
            "22P02", f'invalid input syntax for type integer: "{modifiers[0]}"'
        ) from None
    if length < 1:
        raise SqlError("22023", f"length for type {type_name} must be at least 1")
    if length > _LENGTH_MAX:
        raise SqlError("22023", f"length for type {type_name} cannot exceed {_LENGTH_MAX}")
    return length + 4


def _varchar_typmod_in(modifiers: tuple[str, ...]) -> int:
    return _length_in("varchar", modifiers)


def _bpchar_typmod_in(modifiers: tuple[str, ...]) -> int:
    return _length_in("char", modifiers)


def _length_out(typmod: int) -> str:
    return f"({typmod - 4})" if typmod > 4 else ""


@forms.helper
def varchar_fit(value: str, typmod: int, explicit: bool) -> str:  # noqa: FBT001 - declared so
    """`value` as varchar(typmod - 4): spaces past the end go, other text is 22001 or cut."""
    length = typmod - 4
    if typmod < 4 or len(value) <= length:
        return value
    if not explicit and value[length:].strip(" "):
        raise SqlError("22001", f"value too long for type character varying({length})")
    return value[:length]


@forms.helper
def bpchar_fit(value: str, typmod: int, explicit: bool) -> str:  # noqa: FBT001 - declared so
    """`value` as char(typmod - 4): padded with spaces, or cut as varchar is."""
    length = typmod - 4
    if typmod < 4 or len(value) == length:
        return value
    if len(value) < length:
        if length > _LENGTH_MAX:
            raise SqlError("54000", "requested length too large")
        return value.ljust(length)
    if not explicit and value[length:].strip(" "):
        raise SqlError("22001", f"value too long for type character({length})")
    return value[:length]


def _varchar_input(text: str, typmod: int, ctx: EvalContext) -> str:
    return text if typmod < 4 else varchar_fit(text, typmod, False)


def _varchar_receive(data: bytes, typmod: int, ctx: EvalContext) -> str:
    text = decode_text(data)
    return text if typmod < 4 else varchar_fit(text, typmod, False)


def _bpchar_input(text: str, typmod: int, ctx: EvalContext) -> str:
    return text if typmod < 4 else bpchar_fit(text, typmod, False)


def _bpchar_receive(data: bytes, typmod: int, ctx: EvalContext) -> str:
    text = decode_text(data)
    return text if typmod < 4 else bpchar_fit(text, typmod, False)


def _bpchar_stored(typmod: int) -> tuple[Callable[[str], str], Callable[[str], str]] | None:
    """char(n) rests without its padding: rows of mostly blank columns are a quarter as long."""
    if typmod < 4:
        return None
    length = typmod - 4
    return bpchar_key, lambda value: value.ljust(length)


@forms.helper
def bpchar_key(value: str) -> str:
    """What char(n) compares by: trailing spaces say nothing."""
    return value.rstrip(" ")


@forms.helper
def to_name(value: str) -> str:
    """`value` cut to 63 bytes at a character's border."""
    if len(value) <= NAME_BYTES_MAX // 4:
        return value
    data = value.encode()
    if len(data) <= NAME_BYTES_MAX:
        return value
    return data[:NAME_BYTES_MAX].decode(errors="ignore")


def _name_input(text: str, typmod: int, ctx: EvalContext) -> str:
    return to_name(text)


def _name_receive(data: bytes, typmod: int, ctx: EvalContext) -> str:
    text = decode_text(data)
    if len(data) > NAME_BYTES_MAX:
        raise SqlError(
            "42622", "identifier too long", detail="Identifier must be less than 64 characters."
        )
    return text


@forms.helper
def to_char_byte(value: str) -> str:
    """The first byte of a text as "char" (one character, U+0000 to U+00FF)."""
    if len(value) == 4 and value[0] == "\\" and set(value[1:]) <= set("01234567"):
        return chr(int(value[1:], 8) & 255)
    return chr(value.encode()[0]) if value else ""


@forms.helper
def char_text(value: str) -> str:
    """ "char" as text: a byte outside of ASCII in octal."""
    if not value or value == "\0":
        return ""
    return value if value < "\x80" else f"\\{ord(value):03o}"


@forms.helper
def int4_to_char(value: int) -> str:
    """ "char" from a signed byte, 22003."""
    if not -128 <= value <= 127:
        raise SqlError("22003", '"char" out of range')
    return chr(value & 255) if value else ""


@forms.helper
def char_to_int4(value: str) -> int:
    """The signed byte in a "char"."""
    code = ord(value) if value else 0
    return code - 256 if code > 127 else code


def _char_input(text: str, typmod: int, ctx: EvalContext) -> str:
    return to_char_byte(text)


def _char_receive(data: bytes, typmod: int, ctx: EvalContext) -> str:
    if len(data) != 1:
        raise wrong_length(data, 1)
    return chr(data[0]) if data[0] else ""


def _char_send(value: str) -> bytes:
    return bytes((ord(value) if value else 0,))


def _never_in(text: str, typmod: int, ctx: EvalContext) -> str:
    raise invalid_syntax("cstring", text)


types: Final = (
    sql_type(
        "text",
        input=_same,
        output=context_free(_itself),
        plain_output=_itself,
        receive=_receive,
        plain_send=str.encode,
        shape="t",
        key=KeyKind.TEXT,
    ),
    sql_type(
        "varchar",
        input=_varchar_input,
        output=context_free(_itself),
        plain_output=_itself,
        receive=_varchar_receive,
        plain_send=str.encode,
        shape="t",
        key=KeyKind.TEXT,
        typmod_in=_varchar_typmod_in,
        typmod_out=_length_out,
        apply_typmod=varchar_fit,
    ),
    sql_type(
        "bpchar",
        input=_bpchar_input,
        output=context_free(_itself),
        plain_output=_itself,
        receive=_bpchar_receive,
        plain_send=str.encode,
        shape="t",
        stored=_bpchar_stored,
        key=KeyKind.TEXT,
        key_value=bpchar_key,
        native=False,
        sort_key=bpchar_key,
        typmod_in=_bpchar_typmod_in,
        typmod_out=_length_out,
        apply_typmod=bpchar_fit,
    ),
    sql_type(
        "name",
        input=_name_input,
        output=context_free(_itself),
        plain_output=_itself,
        receive=_name_receive,
        plain_send=str.encode,
        shape="t",
        key=KeyKind.TEXT,
    ),
    sql_type(
        "char",
        input=_char_input,
        output=context_free(char_text),
        plain_output=char_text,
        receive=_char_receive,
        plain_send=_char_send,
        shape="t",
        key=KeyKind.TEXT,
    ),
    sql_type(
        "cstring",
        input=_same,
        output=context_free(_itself),
        plain_output=_itself,
        receive=_receive,
        plain_send=str.encode,
        shape="t",
        ordered=False,
        hashable=False,
    ),
    sql_type(
        "unknown",
        input=_same,
        output=context_free(_itself),
        plain_output=_itself,
        receive=_receive,
        plain_send=str.encode,
        shape="t",
        ordered=False,
        hashable=False,
    ),
)

forms.comparisons("text", "text", "texteq textne text_lt text_gt text_le text_ge")
forms.comparisons("name", "name", six("name"))
forms.comparisons(
    "name", "text", "nameeqtext namenetext namelttext namegttext nameletext namegetext"
)
forms.comparisons(
    "text", "name", "texteqname textnename textltname textgtname textlename textgename"
)
forms.comparisons("bpchar", "bpchar", six("bpchar"), "bpchar_key({0}) {op} bpchar_key({1})")
forms.comparisons("char", "char", six("char"))
forms.templates(
    {
        "text_pattern_lt(text,text)": "{0} < {1}",
        "text_pattern_le(text,text)": "{0} <= {1}",
        "text_pattern_ge(text,text)": "{0} >= {1}",
        "text_pattern_gt(text,text)": "{0} > {1}",
        "bpchar_pattern_lt(bpchar,bpchar)": "bpchar_key({0}) < bpchar_key({1})",
        "bpchar_pattern_le(bpchar,bpchar)": "bpchar_key({0}) <= bpchar_key({1})",
        "bpchar_pattern_ge(bpchar,bpchar)": "bpchar_key({0}) >= bpchar_key({1})",
        "bpchar_pattern_gt(bpchar,bpchar)": "bpchar_key({0}) > bpchar_key({1})",
        "textcat(text,text)": "{0} + {1}",
        "starts_with(text,text)": "{0}.startswith({1})",
        "text_larger(text,text)": "max({0}, {1})",
        "text_smaller(text,text)": "min({0}, {1})",
        "text(bpchar)": "bpchar_key({0})",
        "text(name)": "{0}",
        "varchar(name)": "{0}",
        "bpchar(name)": "{0}",
        "name(text)": "to_name({0})",
        "name(varchar)": "to_name({0})",
        "name(bpchar)": "to_name(bpchar_key({0}))",
        "char(text)": "to_char_byte({0})",
        "text(char)": "char_text({0})",
        "bpchar(char)": "char_text({0})",
        "char(int4)": "int4_to_char({0})",
        "int4(char)": "char_to_int4({0})",
        "varchar(varchar,int4,bool)": "varchar_fit({0}, {1}, {2})",
        "bpchar(bpchar,int4,bool)": "bpchar_fit({0}, {1}, {2})",
    }
)


@forms.specialized("textanycat(text,anynonarray)", needs_context=True)
def text_any(types: CallTypes) -> Callable[..., str]:
    """text || anything: the text of the other."""
    show = types.arguments[1].output
    return lambda ctx, left, right: left + show(right, ctx)


@forms.specialized("anytextcat(anynonarray,text)", needs_context=True)
def any_text(types: CallTypes) -> Callable[..., str]:
    """Anything || text: the text of the other."""
    show = types.arguments[0].output
    return lambda ctx, left, right: show(left, ctx) + right
