"""How a module declares what it implements: types, and the row forms of functions.

A `Forms` is one module's list of row forms by signature ("int4pl(int4,int4)"); `builtin.py` joins
them with the catalog's facts. Operators and casts follow from their functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from heliosd.types.context import EvalContext
from heliosd.types.facts import type_facts
from heliosd.types.registry import KeyKind, RowForm, Specialize, SqlType, Value

F = TypeVar("F", bound=Callable[..., Any])

SQL_NAMES: Final[Mapping[str, str]] = {
    "bool": "boolean",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "varchar": "character varying",
    "bpchar": "character",
    "char": '"char"',
    "time": "time without time zone",
    "timetz": "time with time zone",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "varbit": "bit varying",
}
"""What format_type() shows where it is not the type's name."""


@dataclass(frozen=True, slots=True)
class Form:
    """How one function is computed; exactly one of `row` and `specialize`."""

    row: RowForm | None = None
    needs_context: bool = False
    specialize: Specialize | None = None


@dataclass(frozen=True, slots=True)
class Forms:
    """One module's row forms and the helper names that its templates use."""

    by_signature: dict[str, Form] = field(default_factory=dict)
    names: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def templates(self, rows: Mapping[str, str], *, needs_context: bool = False) -> None:
        """Row forms that are source text, by signature."""
        for signature, row in rows.items():
            self._put(signature, Form(row, needs_context))

    def function(self, *signatures: str, needs_context: bool = False) -> Callable[[F], F]:
        """The decorated callable is the row form of every signature given."""

        def put(function: F) -> F:
            for signature in signatures:
                self._put(signature, Form(function, needs_context))
            return function

        return put

    def specialized(self, *signatures: str, needs_context: bool = False) -> Callable[[F], F]:
        """The decorated callable takes the `CallTypes` and gives the row form."""

        def put(function: F) -> F:
            for signature in signatures:
                self._put(signature, Form(None, needs_context, function))
            return function

        return put

    def helper(self, function: F) -> F:
        """Templates may say the decorated function's name."""
        name = function.__name__
        assert name not in self.names, name
        self.names[name] = function
        return function

    def comparisons(self, left: str, right: str, names: str, row: str = "{0} {op} {1}") -> None:
        """The six comparison functions; `names` are their names in the order = <> < > <= >=."""
        for name, operator in zip(names.split(), ("==", "!=", "<", ">", "<=", ">="), strict=True):
            template = row.replace("{op}", operator)
            self._put(f"{name}({left},{right})", Form(template))

    def _put(self, signature: str, form: Form) -> None:
        assert signature not in self.by_signature, signature
        self.by_signature[signature] = form


def six(prefix: str) -> str:
    """The usual names of the six comparison functions: int4eq int4ne int4lt ..."""
    return " ".join(prefix + suffix for suffix in ("eq", "ne", "lt", "gt", "le", "ge"))


def sql_type(
    name: str,
    *,
    input: Callable[[str, int, EvalContext], Value],  # noqa: A002 - PostgreSQL's word
    output: Callable[[Value, EvalContext], str],
    receive: Callable[[bytes, int, EvalContext], Value] | None = None,
    send: Callable[[Value, EvalContext], bytes] | None = None,
    plain_output: Callable[[Value], str] | None = None,
    plain_send: Callable[[Value], bytes] | None = None,
    shape: str = "b",
    pack: Callable[[Value], Value] | None = None,
    unpack: Callable[[Value], Value] | None = None,
    stored: Callable[[int], tuple[Callable[[Value], Value], Callable[[Value], Value]] | None]
    | None = None,
    key: KeyKind | None = None,
    key_value: Callable[[Value], Value] | None = None,
    ordered: bool = True,
    hashable: bool = True,
    native: bool = True,
    sort_key: Callable[[Value], Any] | None = None,
    hash_key: Callable[[Value], Any] | None = None,
    typmod_in: Callable[[tuple[str, ...]], int] | None = None,
    typmod_out: Callable[[int], str] | None = None,
    apply_typmod: Callable[[Value, int, bool], Value] | None = None,
) -> SqlType:
    """A built-in type: behaviour from here, the catalog's facts by name."""
    fact = type_facts()[name]
    if plain_send is not None and send is None:
        plain = plain_send

        def send(value: Value, ctx: EvalContext) -> bytes:
            return plain(value)

    return SqlType(
        name=name,
        oid=fact.oid,
        array_oid=fact.array_oid,
        element=fact.element,
        category=fact.category,
        preferred=fact.preferred,
        size=fact.size,
        by_value=fact.by_value,
        align=fact.align,
        storage=fact.storage,
        kind=fact.kind,
        delimiter=fact.delimiter,
        collatable=fact.collatable,
        io_names=fact.io_names,
        sql_name=SQL_NAMES.get(name, ""),
        input=input,
        output=output,
        receive=receive,
        send=send,
        plain_output=plain_output,
        plain_send=plain_send,
        shape=shape,
        pack=pack,
        unpack=unpack,
        stored=stored,
        key=key,
        key_value=key_value,
        ordered=ordered,
        hashable=hashable,
        native=native,
        sort_key=sort_key,
        hash_key=hash_key,
        typmod_in=typmod_in,
        typmod_out=typmod_out,
        apply_typmod=apply_typmod,
    )


def context_free(function: Callable[[Value], str]) -> Callable[[Value, EvalContext], str]:
    """An output function that does not look at its context."""

    def output(value: Value, ctx: EvalContext) -> str:
        return function(value)

    return output
