"""The reg* types: oids that read and show names, looked up as the session sees them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, six, sql_type
from heliosd.types.failures import wrong_length
from heliosd.types.integer import parse_integer
from heliosd.types.names import parse_qualified_name
from heliosd.types.quoting import quote_identifier, quote_qualified
from heliosd.types.registry import KeyKind, SqlType
from heliosd.types.signatures import (
    find_function_name,
    find_operator,
    find_operator_name,
    find_procedure,
    find_type,
    function_name_text,
    operator_name_text,
    operator_text,
    procedure_text,
    type_name,
)
from heliosd.types.textsearch_names import CONFIG_NAMES, DICTIONARY_NAMES, find_search_object

forms: Final = Forms()

_OID: Final = struct.Struct(">I")

# type -> (kind of CatalogLookup, what an error calls it, SQLSTATE when there is none)
_KINDS: Final = {
    "regclass": ("relation", "relation", "42P01"),
    "regtype": ("type", "type", "42704"),
    "regproc": ("function", "function", "42883"),
    "regprocedure": ("procedure", "function", "42883"),
    "regoper": ("operator", "operator", "42883"),
    "regoperator": ("operator_signature", "operator", "42883"),
    "regnamespace": ("schema", "schema", "3F000"),
    "regrole": ("role", "role", "42704"),
    "regcollation": ("collation", "collation", "42704"),
    "regconfig": ("config", "text search configuration", "42704"),
    "regdictionary": ("dictionary", "text search dictionary", "42704"),
}
_UNQUALIFIED: Final = frozenset({"regnamespace", "regrole"})
# Their text has more than a name: arguments, modifiers, operator characters.
_WHOLE_TEXT: Final = frozenset({"regtype", "regprocedure", "regoper", "regoperator"})


_SHOWN: Final[dict[str, Callable[[int, EvalContext], str | None]]] = {
    "regtype": type_name,
    "regprocedure": procedure_text,
    "regoperator": operator_text,
    "regoper": lambda oid, ctx: operator_name_text(oid),
    "regproc": function_name_text,
    "regconfig": lambda oid, ctx: CONFIG_NAMES.get(oid),
    "regdictionary": lambda oid, ctx: DICTIONARY_NAMES.get(oid),
}


def find_oid(type_name: str, text: str, ctx: EvalContext) -> int | None:
    """The oid that a text names; None when nothing has that name. 42602."""
    if text == "-":
        return 0
    if text.isascii() and text.isdigit():
        return parse_integer(text, "oid", 0, 4294967295)
    match type_name:
        case "regtype":
            return find_type(text, ctx)
        case "regprocedure":
            return find_procedure(text, ctx)
        case "regoperator":
            return find_operator(text, ctx)
        case "regoper":
            return find_operator_name(text)
        case "regproc":
            return find_function_name(parse_qualified_name(text), ctx)
        case "regconfig" | "regdictionary":
            return find_search_object(_KINDS[type_name][0], parse_qualified_name(text))
    return ctx.catalog.find_oid(_KINDS[type_name][0], parse_qualified_name(text))


def _input(type_name: str) -> Callable[[str, int, EvalContext], int]:
    _, what, sqlstate = _KINDS[type_name]

    def read(text: str, typmod: int, ctx: EvalContext) -> int:
        found = find_oid(type_name, text, ctx)
        if found is None:
            whole = type_name in _WHOLE_TEXT
            shown = text if whole else ".".join(parse_qualified_name(text))
            raise SqlError(sqlstate, f'{what} "{shown}" does not exist')
        return found

    return read


def _output(type_name: str) -> Callable[[int, EvalContext], str]:
    kind = _KINDS[type_name][0]

    def show(value: int, ctx: EvalContext) -> str:
        if value == 0:
            return "-"
        shown = _SHOWN.get(type_name)
        if shown is not None:
            return shown(value, ctx) or str(value)
        found = ctx.catalog.find_name(kind, value)
        if found is None:
            return str(value)
        schema, name = found
        if not schema or ctx.catalog.is_visible(kind, value):
            return quote_identifier(name)
        return quote_qualified(schema, name)

    return show


def _receive(data: bytes, typmod: int, ctx: EvalContext) -> int:
    if len(data) != 4:
        raise wrong_length(data, 4)
    return int(_OID.unpack(data)[0])


def _make(name: str) -> SqlType:
    return sql_type(
        name,
        input=_input(name),
        output=_output(name),
        receive=_receive,
        plain_send=_OID.pack,
        shape="q",
        key=KeyKind.INT,
    )


types: Final = tuple(map(_make, _KINDS))


def _to_reg(type_name: str) -> None:
    def convert(ctx: EvalContext, text: str) -> int | None:
        try:
            return find_oid(type_name, text, ctx)
        except SqlError as error:
            if error.sqlstate == "42602":
                raise
            return None

    forms.function(f"to_{type_name}(text)", needs_context=True)(convert)


for _name in (
    "regclass", "regtype", "regproc", "regprocedure", "regoper", "regoperator", "regnamespace",
    "regrole", "regcollation",
):  # fmt: skip
    _to_reg(_name)


@forms.function("regclass(text)", needs_context=True)
def text_to_regclass(ctx: EvalContext, text: str) -> int:
    """42P01."""
    return _input("regclass")(text, -1, ctx)


forms.comparisons("oidvector", "oidvector", six("oidvector"), "{0}.elements {op} {1}.elements")
