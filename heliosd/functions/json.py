"""The chapter "JSON Functions": jsonb's operators, builders, and what takes documents apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.functions.declare import aggregate
from heliosd.functions.registry import AggregateForm, SqlAggregate
from heliosd.types.array import Array
from heliosd.types.calendar import TIMESTAMP_INFINITY, TIMESTAMP_MINUS_INFINITY
from heliosd.types.context import EvalContext
from heliosd.types.datetime_text import date_text
from heliosd.types.declare import Forms
from heliosd.types.json import (
    as_text,
    dump,
    jsonb_normal,
    kind_of,
    parse,
    parsed,
    raw_elements,
    raw_members,
)
from heliosd.types.jsonpath_moment import PathMoment
from heliosd.types.record import shape_of
from heliosd.types.registry import CallTypes, SqlType
from heliosd.types.styles import DEFAULT_STYLES

forms: Final = Forms()

ToJson = Callable[[Any, EvalContext], str]


# ------------------------------------------------------------ SQL values as JSON


def converter(kind: SqlType, types: CallTypes) -> ToJson:
    """How a value of `kind` becomes JSON text."""
    while kind.is_domain and kind.base is not None:
        kind = kind.base
    if kind.name in ("json", "jsonb"):
        return lambda value, ctx: value
    if kind.is_array:
        element = types.registry.by_oid[kind.element]
        inner = converter(element, types)
        return lambda value, ctx: _array_json(value, inner, ctx)
    if kind.name == "record" or kind.kind == "c":
        return lambda value, ctx: record_json(value, types, ctx)
    if kind.name == "bool":
        return lambda value, ctx: "true" if value else "false"
    if kind.category == "N":
        return lambda value, ctx: _number_json(kind.output(value, ctx))
    if kind.name == "date":
        return lambda value, ctx: dump(date_text(value, DEFAULT_STYLES))
    if kind.name == "timestamp":
        return lambda value, ctx: dump(PathMoment("timestamp", value).text())
    if kind.name == "timestamptz":
        return _instant_json
    return lambda value, ctx: dump(kind.output(value, ctx))


def _instant_json(value: int, ctx: EvalContext) -> str:
    if value in (TIMESTAMP_INFINITY, TIMESTAMP_MINUS_INFINITY):
        return dump(PathMoment("timestamp", value).text())
    return dump(PathMoment("timestamptz", value, ctx.styles.zone.offset_at(value)).text())


def record_json(
    value: tuple[Any, ...], types: CallTypes, ctx: EvalContext, separator: str = ","
) -> str:
    """A record as an object, its fields in order."""
    shape = shape_of(value)
    members = (
        f"{dump(name)}:{'null' if field is None else converter(kind, types)(field, ctx)}"
        for name, kind, field in zip(shape.names, shape.types, value, strict=True)
    )
    return "{" + separator.join(members) + "}"


@forms.specialized("row_to_json(record)", needs_context=True)
def row_to_json(types: CallTypes) -> Callable[[EvalContext, Any], str]:
    """A row as an object."""
    return lambda ctx, value: record_json(value, types, ctx)


@forms.specialized("row_to_json(record,bool)", needs_context=True)
def row_to_json_pretty(types: CallTypes) -> Callable[[EvalContext, Any, bool], str]:
    """A row as an object, a line for each field."""
    return lambda ctx, value, pretty: record_json(value, types, ctx, ",\n " if pretty else ",")


def _number_json(text: str) -> str:
    return text if text[-1:].isdigit() else dump(text)


def _array_json(array: Array, inner: ToJson, ctx: EvalContext, between: str = ",") -> str:
    parts = ["null" if value is None else inner(value, ctx) for value in array.elements]
    for depth, length in reversed(list(enumerate(array.dimensions))):
        separator = "," if depth else between
        parts = [
            "[" + separator.join(parts[at : at + length]) + "]"
            for at in range(0, len(parts), length)
        ]
    return parts[0] if parts else "[]"


def _converters(types: CallTypes, first: int = 0) -> list[ToJson]:
    return [converter(kind, types) for kind in types.arguments[first:]]


def _normal(text: str, *, binary: bool) -> str:
    return jsonb_normal(text) if binary else text


def _declare_builders(kind: str, *, binary: bool) -> None:
    prefix = "to_" + kind

    @forms.specialized(f"{prefix}(anyelement)", needs_context=True)
    def to_json(types: CallTypes) -> Callable[..., str]:
        convert = converter(types.arguments[0], types)
        return lambda ctx, value: _normal(convert(value, ctx), binary=binary)

    @forms.specialized(f"{kind}_build_array(any)", needs_context=True)
    def build_array(types: CallTypes) -> Callable[..., str]:
        if types.spread:
            return lambda ctx, array: (
                array
                and _normal(
                    to_list(array.elements, [spread_converter(types)] * len(array.elements), ctx),
                    binary=binary,
                )
            )
        converts = _converters(types)
        return lambda ctx, *values: _normal(to_list(values, converts, ctx), binary=binary)

    @forms.specialized(f"{kind}_build_object(any)", needs_context=True)
    def build_object(types: CallTypes) -> Callable[..., str]:
        if types.spread:
            return lambda ctx, array: (
                array
                and _normal(
                    to_object(array.elements, [spread_converter(types)] * len(array.elements), ctx),
                    binary=binary,
                )
            )
        converts = _converters(types)
        for at in range(0, len(types.arguments), 2):
            converts[at] = _key_converter(types.arguments[at], converts[at])
        return lambda ctx, *values: _normal(to_object(values, converts, ctx), binary=binary)

    forms.function(f"{kind}_build_array()")(lambda: "[]")
    forms.function(f"{kind}_build_object()")(lambda: "{}")


def _key_converter(kind: SqlType, convert: ToJson) -> ToJson:
    """How a key becomes text; 22023 for what is no scalar."""
    if not (kind.is_array or kind.category in "CP" or kind.name in ("json", "jsonb", "record")):
        return convert

    def refuse(value: Any, ctx: EvalContext) -> str:
        raise SqlError("22023", "key value must be scalar, not array, composite, or json")

    return refuse


def spread_converter(types: CallTypes) -> ToJson:
    """For VARIADIC array: how its elements convert."""
    return converter(types.registry.by_oid[types.arguments[-1].element], types)


def to_list(values: Any, converts: list[ToJson], ctx: EvalContext) -> str:
    """A JSON array of values."""
    parts = (
        "null" if value is None else convert(value, ctx)
        for value, convert in zip(values, converts, strict=True)
    )
    return "[" + ", ".join(parts) + "]"


def to_object(values: Any, converts: list[ToJson], ctx: EvalContext) -> str:
    """A JSON object of keys and values in turn; 22023."""
    if len(values) % 2:
        raise SqlError(
            "22023",
            "argument list must have even number of elements",
            hint="The arguments of json_build_object() must consist of alternating keys and "
            "values.",
        )
    members = []
    for at in range(0, len(values), 2):
        if values[at] is None:
            raise SqlError("22023", f"argument {at + 1} cannot be null",
                           hint="Object keys should be text.")  # fmt: skip
        key = converts[at](values[at], ctx)
        key = key if key.startswith('"') else dump(key)
        value = values[at + 1]
        shown = "null" if value is None else converts[at + 1](value, ctx)
        members.append(f"{key} : {shown}")
    return "{" + ", ".join(members) + "}"


_declare_builders("json", binary=False)
_declare_builders("jsonb", binary=True)


@forms.specialized("array_to_json(anyarray)", needs_context=True)
def array_to_json(types: CallTypes) -> Callable[..., str]:
    """An array as JSON."""
    convert = converter(types.arguments[0], types)
    return lambda ctx, value: convert(value, ctx)


@forms.specialized("array_to_json(anyarray,bool)", needs_context=True)
def array_to_json_pretty(types: CallTypes) -> Callable[[EvalContext, Array, bool], str]:
    """An array as JSON, a line for each element of the outermost."""
    kind = types.arguments[0]
    inner = converter(types.registry.by_oid[kind.element], types)
    return lambda ctx, value, pretty: _array_json(value, inner, ctx, ",\n " if pretty else ",")


def _pairs_of(array: Array) -> list[tuple[str | None, str | None]]:
    if not array.elements:
        return []
    if len(array.dimensions) == 1:
        if len(array.elements) % 2:
            raise SqlError("2202E", "array must have even number of elements")
    elif len(array.dimensions) == 2:
        if array.dimensions[1] != 2:
            raise SqlError("2202E", "array must have two columns")
    else:
        raise SqlError("2202E", "wrong number of array subscripts")
    return list(zip(array.elements[::2], array.elements[1::2], strict=True))


def _object_of(pairs: list[tuple[str | None, str | None]]) -> str:
    members = []
    for key, value in pairs:
        if key is None:
            raise SqlError("22004", "null value not allowed for object key")
        members.append(f"{dump(key)} : {'null' if value is None else dump(value)}")
    return "{" + ", ".join(members) + "}"


def _zipped(keys: Array, values: Array) -> list[tuple[str | None, str | None]]:
    if len(keys.dimensions) > 1 or len(values.dimensions) > 1:
        raise SqlError("2202E", "wrong number of array subscripts")
    if len(keys.dimensions) != len(values.dimensions):
        raise SqlError("2202E", "wrong number of array subscripts")
    if len(keys.elements) != len(values.elements):
        raise SqlError("2202E", "mismatched array dimensions")
    return list(zip(keys.elements, values.elements, strict=True))


@forms.function("json_object(_text)")
def json_object(array: Array) -> str:
    """An object of keys and values in turn, or of pairs; 2202E, 22004."""
    return _object_of(_pairs_of(array))


@forms.function("json_object(_text,_text)")
def json_object_zipped(keys: Array, values: Array) -> str:
    """An object of keys and their values; 2202E, 22004."""
    return _object_of(_zipped(keys, values))


@forms.function("jsonb_object(_text)")
def jsonb_object(array: Array) -> str:
    """`json_object`, normalised; 2202E, 22004."""
    return jsonb_normal(json_object(array))


@forms.function("jsonb_object(_text,_text)")
def jsonb_object_zipped(keys: Array, values: Array) -> str:
    """`json_object`, normalised; 2202E, 22004."""
    return jsonb_normal(json_object_zipped(keys, values))


# ------------------------------------------------------------ taking apart


def _wrong_kind(kind: str, text: str, function: str) -> SqlError:
    """22023, in the words of each reader."""
    scalar = kind_of(text) not in ("object", "array")
    if "each" in function:
        if kind == "jsonb":
            return SqlError("22023", f"cannot call {function} on a non-object")
        what = "a scalar" if scalar else "an array as an object"
        return SqlError("22023", f"cannot deconstruct {what}")
    if "elements" in function:
        if kind == "jsonb":
            what = "a scalar" if scalar else "an object"
            return SqlError("22023", f"cannot extract elements from {what}")
        what = "a scalar" if scalar else "a non-array"
        return SqlError("22023", f"cannot call {function} on {what}")
    what = "a scalar" if scalar else "an array"
    return SqlError("22023", f"cannot call {function} on {what}")


def _declare_readers(kind: str) -> None:
    @forms.function(f"{kind}_each({kind})")
    def each(text: str) -> Iterator[tuple[str, str]]:
        if kind_of(text) != "object":
            raise _wrong_kind(kind, text, f"{kind}_each")
        yield from raw_members(text)

    @forms.function(f"{kind}_each_text({kind})")
    def each_text(text: str) -> Iterator[tuple[str, str | None]]:
        if kind_of(text) != "object":
            raise _wrong_kind(kind, text, f"{kind}_each_text")
        for key, raw in raw_members(text):
            yield key, as_text(raw)

    @forms.function(f"{kind}_object_keys({kind})")
    def object_keys(text: str) -> Iterator[str]:
        if kind_of(text) != "object":
            raise _wrong_kind(kind, text, f"{kind}_object_keys")
        for key, _ in raw_members(text):
            yield key

    @forms.function(f"{kind}_array_elements({kind})")
    def array_elements(text: str) -> Iterator[str]:
        if kind_of(text) != "array":
            raise _wrong_kind(kind, text, f"{kind}_array_elements")
        yield from raw_elements(text)

    @forms.function(f"{kind}_array_elements_text({kind})")
    def array_elements_text(text: str) -> Iterator[str | None]:
        if kind_of(text) != "array":
            raise _wrong_kind(kind, text, f"{kind}_array_elements_text")
        yield from map(as_text, raw_elements(text))

    @forms.function(f"{kind}_array_length({kind})")
    def array_length(text: str) -> int:
        if kind_of(text) != "array":
            what = "a non-array" if kind_of(text) == "object" else "a scalar"
            raise SqlError("22023", f"cannot get array length of {what}")
        return sum(1 for _ in raw_elements(text))

    @forms.function(f"{kind}_strip_nulls({kind})")
    def strip_nulls(text: str) -> str:
        return dump(_without_nulls(parsed(text))) if kind == "jsonb" else _stripped(text)


def _stripped(raw: str) -> str:
    """A json text without what is null in objects, its numbers as they were written."""
    what = kind_of(raw)
    if what == "array":
        return "[" + ",".join(map(_stripped, raw_elements(raw))) + "]"
    if what == "object":
        members = ((key, item) for key, item in raw_members(raw) if kind_of(item) != "null")
        return "{" + ",".join(f"{dump(key)}:{_stripped(item)}" for key, item in members) + "}"
    return dump(parse(raw)) if what == "string" else raw.strip()


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


_declare_readers("json")
_declare_readers("jsonb")


def _pretty(value: Any, indent: str) -> str:
    deeper = indent + "    "
    if isinstance(value, dict) and value:
        shown = (f"{deeper}{dump(key)}: {_pretty(item, deeper)}" for key, item in value.items())
        return "{\n" + ",\n".join(shown) + f"\n{indent}}}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(deeper + _pretty(v, deeper) for v in value) + f"\n{indent}]"
    if value in ({}, []):
        return ("{\n" if value == {} else "[\n") + indent + ("}" if value == {} else "]")
    return dump(value)


@forms.function("jsonb_pretty(jsonb)")
def jsonb_pretty(document: str) -> str:
    """Indented by four spaces."""
    return _pretty(parsed(document), "")


# ------------------------------------------------------------ aggregates


def _collected(kind: str) -> Callable[[CallTypes], AggregateForm]:
    binary = kind == "jsonb"

    def specialize(types: CallTypes) -> AggregateForm:
        convert = converter(types.arguments[0], types)

        # Structured values get a line each.
        between = "\n " if types.arguments[0].category in "ACP" else ""

        def step(ctx: EvalContext, state: list[str], value: Any) -> list[str]:
            text = "null" if value is None else convert(value, ctx)
            state.append(between + text if state and value is not None else text)
            return state

        def final(ctx: EvalContext, state: list[str]) -> str | None:
            return _normal("[" + ", ".join(state) + "]", binary=binary) if state else None

        return AggregateForm(list, step, final)

    return specialize


def _collected_object(kind: str) -> Callable[[CallTypes], AggregateForm]:
    binary = kind == "jsonb"

    def specialize(types: CallTypes) -> AggregateForm:
        converts = _converters(types)

        def step(ctx: EvalContext, state: list[str], key: Any, value: Any) -> list[str]:
            if key is None:
                raise SqlError("22023", "field name must not be null")
            state.append(to_object((key, value), converts, ctx)[1:-1])
            return state

        def final(ctx: EvalContext, state: list[str]) -> str | None:
            if not state:
                return None
            return (
                jsonb_normal("{" + ", ".join(state) + "}")
                if binary
                else ("{ " + ", ".join(state) + " }")
            )

        return AggregateForm(list, step, final)

    return specialize


def _aggregates() -> Iterator[SqlAggregate]:
    for kind in ("json", "jsonb"):
        yield aggregate(
            f"{kind}_agg(anyelement)", specialize=_collected(kind), strict=False,
            needs_context=True, context_step=True, order_sensitive=True,
        )  # fmt: skip
        yield aggregate(
            f"{kind}_object_agg(any,any)", specialize=_collected_object(kind), strict=False,
            needs_context=True, context_step=True, order_sensitive=True,
        )  # fmt: skip


aggregates: Final = tuple(_aggregates())
