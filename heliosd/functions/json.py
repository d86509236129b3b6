"""The chapter "JSON Functions": jsonb's operators, builders, and what takes documents apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.functions.declare import aggregate
from heliosd.functions.registry import AggregateForm, SqlAggregate
from heliosd.types.array import Array
from heliosd.types.context import EvalContext
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
from heliosd.types.registry import CallTypes, SqlType

forms: Final = Forms()

ToJson = Callable[[Any, EvalContext], str]


# ------------------------------------------------------------ SQL values as JSON


def converter(kind: SqlType, types: CallTypes) -> ToJson:
    """How a value of `kind` becomes JSON text."""
    if kind.name in ("json", "jsonb"):
        return lambda value, ctx: value
    if kind.is_array:
        element = types.registry.by_oid[kind.element]
        inner = converter(element, types)
        return lambda value, ctx: _array_json(value, inner, ctx)
    if kind.name == "bool":
        return lambda value, ctx: "true" if value else "false"
    if kind.category == "N":
        return lambda value, ctx: _number_json(kind.output(value, ctx))
    if kind.name in ("timestamp", "timestamptz"):
        return lambda value, ctx: dump(kind.output(value, ctx).replace(" ", "T", 1))
    return lambda value, ctx: dump(kind.output(value, ctx))


def _number_json(text: str) -> str:
    return text if text[-1:].isdigit() else dump(text)


def _array_json(array: Array, inner: ToJson, ctx: EvalContext) -> str:
    parts = ["null" if value is None else inner(value, ctx) for value in array.elements]
    for length in reversed(array.dimensions):
        parts = [
            "[" + ",".join(parts[at : at + length]) + "]" for at in range(0, len(parts), length)
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
            return lambda ctx, array: _normal(
                to_list(array.elements, [spread_converter(types)] * len(array.elements), ctx),
                binary=binary,
            )
        converts = _converters(types)
        return lambda ctx, *values: _normal(to_list(values, converts, ctx), binary=binary)

    @forms.specialized(f"{kind}_build_object(any)", needs_context=True)
    def build_object(types: CallTypes) -> Callable[..., str]:
        if types.spread:
            return lambda ctx, array: _normal(
                to_object(array.elements, [spread_converter(types)] * len(array.elements), ctx),
                binary=binary,
            )
        converts = _converters(types)
        return lambda ctx, *values: _normal(to_object(values, converts, ctx), binary=binary)

    forms.function(f"{kind}_build_array()")(lambda: "[]")
    forms.function(f"{kind}_build_object()")(lambda: "{}")


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
            raise SqlError("22004", f"argument {at + 1} cannot be null",
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


# ------------------------------------------------------------ taking apart


def _need(kind: str, text: str, function: str) -> None:
    found = kind_of(text)
    if found != kind:
        what = "a scalar" if found not in ("object", "array") else f"an {found}"
        raise SqlError("22023", f"cannot call {function} on {what}")


def _declare_readers(kind: str) -> None:
    @forms.function(f"{kind}_each({kind})")
    def each(text: str) -> Iterator[tuple[str, str]]:
        _need("object", text, f"{kind}_each")
        yield from raw_members(text)

    @forms.function(f"{kind}_each_text({kind})")
    def each_text(text: str) -> Iterator[tuple[str, str | None]]:
        _need("object", text, f"{kind}_each_text")
        for key, raw in raw_members(text):
            yield key, as_text(raw)

    @forms.function(f"{kind}_object_keys({kind})")
    def object_keys(text: str) -> Iterator[str]:
        _need("object", text, f"{kind}_object_keys")
        for key, _ in raw_members(text):
            yield key

    @forms.function(f"{kind}_array_elements({kind})")
    def array_elements(text: str) -> Iterator[str]:
        _need("array", text, f"{kind}_array_elements")
        yield from raw_elements(text)

    @forms.function(f"{kind}_array_elements_text({kind})")
    def array_elements_text(text: str) -> Iterator[str | None]:
        _need("array", text, f"{kind}_array_elements_text")
        yield from map(as_text, raw_elements(text))

    @forms.function(f"{kind}_array_length({kind})")
    def array_length(text: str) -> int:
        if kind_of(text) != "array":
            what = "a non-array" if kind_of(text) == "object" else "a scalar"
            raise SqlError("22023", f"cannot get array length of {what}")
        return sum(1 for _ in raw_elements(text))

    @forms.function(f"{kind}_strip_nulls({kind})")
    def strip_nulls(text: str) -> str:
        stripped = dump(_without_nulls(parsed(text)))
        return stripped if kind == "jsonb" else _compact(_without_nulls(parse(text)))


def _compact(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ",".join(map(_compact, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{dump(k)}:{_compact(v)}" for k, v in value.items()) + "}"
    return dump(value)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


_declare_readers("json")
_declare_readers("jsonb")


# ------------------------------------------------------------ jsonb's operators


def _contains(left: Any, right: Any, *, top: bool = True) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        return all(
            key in left and _contains(left[key], item, top=False) for key, item in right.items()
        )
    if isinstance(left, list):
        if isinstance(right, list):
            return all(any(_contains(mine, item, top=False) for mine in left) for item in right)
        # An array contains a primitive value: only at the top.
        return top and not isinstance(right, dict) and any(_equal(mine, right) for mine in left)
    return not isinstance(right, list | dict) and _equal(left, right)


def _equal(left: Any, right: Any) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


@forms.function("jsonb_contains(jsonb,jsonb)")
def jsonb_contains(left: str, right: str) -> bool:
    """left @> right."""
    return _contains(parsed(left), parsed(right))


@forms.function("jsonb_contained(jsonb,jsonb)")
def jsonb_contained(left: str, right: str) -> bool:
    """left <@ right."""
    return _contains(parsed(right), parsed(left))


def _has(document: Any, key: str) -> bool:
    if isinstance(document, dict | list):
        return key in [item for item in document if isinstance(item, str)]
    return isinstance(document, str) and document == key


@forms.function("jsonb_exists(jsonb,text)")
def jsonb_exists(document: str, key: str) -> bool:
    """document ? key."""
    return _has(parsed(document), key)


@forms.function("jsonb_exists_any(jsonb,_text)")
def jsonb_exists_any(document: str, keys: Array) -> bool:
    """document ?| keys."""
    value = parsed(document)
    return any(_has(value, key) for key in keys.elements if key is not None)


@forms.function("jsonb_exists_all(jsonb,_text)")
def jsonb_exists_all(document: str, keys: Array) -> bool:
    """document ?& keys."""
    value = parsed(document)
    return all(_has(value, key) for key in keys.elements if key is not None)


@forms.function("jsonb_concat(jsonb,jsonb)")
def jsonb_concat(left: str, right: str) -> str:
    """left || right: objects merge, all else become arrays and join."""
    a, b = parsed(left), parsed(right)
    if isinstance(a, dict) and isinstance(b, dict):
        return dump({**a, **b})
    return dump((a if isinstance(a, list) else [a]) + (b if isinstance(b, list) else [b]))


@forms.function("jsonb_delete(jsonb,text)")
def jsonb_delete(document: str, key: str) -> str:
    """Without a key, or without equal strings of an array; 22023."""
    value = parsed(document)
    if isinstance(value, dict):
        return dump({name: item for name, item in value.items() if name != key})
    if isinstance(value, list):
        return dump([item for item in value if item != key])
    raise SqlError("22023", "cannot delete from scalar")


@forms.function("jsonb_delete(jsonb,int4)")
def jsonb_delete_index(document: str, index: int) -> str:
    """Without one element; 22023."""
    value = parsed(document)
    if isinstance(value, dict):
        raise SqlError("22023", "cannot delete from object using integer index")
    if not isinstance(value, list):
        raise SqlError("22023", "cannot delete from scalar")
    place = index if index >= 0 else len(value) + index
    return dump([item for at, item in enumerate(value) if at != place])


@forms.function("jsonb_delete(jsonb,_text)")
def jsonb_delete_keys(document: str, keys: Array) -> str:
    """Without several keys; 22023."""
    for key in keys.elements:
        if key is not None:
            document = jsonb_delete(document, key)
    return document


def _changed(value: Any, path: list[Any], new: Any, mode: str) -> Any:
    """`value` with the place at `path` changed; modes set, create, before, after, remove."""
    step, rest = path[0], path[1:]
    if isinstance(value, dict):
        if rest:
            inner = value.get(step)
            return {**value, step: _changed(inner, rest, new, mode)} if step in value else value
        if mode == "remove":
            return {key: item for key, item in value.items() if key != step}
        if mode in ("before", "after") and step in value:
            raise SqlError(
                "22023", "cannot replace existing key",
                hint="Try using the function jsonb_set to replace key value.",
            )  # fmt: skip
        return {**value, step: new} if step in value or mode != "set" else value
    if isinstance(value, list):
        return _changed_list(value, step, rest, new, mode)
    return value


def _changed_list(value: list[Any], step: Any, rest: list[Any], new: Any, mode: str) -> Any:
    try:
        index = int(step)
    except ValueError:
        raise SqlError("22P02", f'path element at position 1 is not an integer: "{step}"') from None
    place = index if index >= 0 else len(value) + index
    if not 0 <= place < len(value):
        if rest or mode in ("set", "remove"):
            return value
        return [new, *value] if index < 0 else [*value, new]
    before, item, after = value[:place], value[place], value[place + 1 :]
    if rest:
        return [*before, _changed(item, rest, new, mode), *after]
    match mode:
        case "remove":
            return before + after
        case "before":
            return [*before, new, item, *after]
        case "after":
            return [*before, item, new, *after]
        case _:
            return [*before, new, *after]


def _path(path: Array) -> list[Any]:
    for at, step in enumerate(path.elements, 1):
        if step is None:
            raise SqlError("22004", f"path element at position {at} is null")
    return list(path.elements)


@forms.function("jsonb_set(jsonb,_text,jsonb,bool)")
def jsonb_set(document: str, path: Array, new: str, create: bool) -> str:  # noqa: FBT001
    """The value at a path replaced, or (create) added; 22023."""
    steps = _path(path)
    value = parsed(document)
    if not isinstance(value, list | dict):
        raise SqlError("22023", "cannot set path in scalar")
    if not steps:
        return document
    return dump(_changed(value, steps, parsed(new), "create" if create else "set"))


@forms.function("jsonb_insert(jsonb,_text,jsonb,bool)")
def jsonb_insert(document: str, path: Array, new: str, after: bool) -> str:  # noqa: FBT001
    """A value put in before (or after) a place; 22023."""
    steps = _path(path)
    value = parsed(document)
    if not isinstance(value, list | dict):
        raise SqlError("22023", "cannot set path in scalar")
    if not steps:
        return document
    return dump(_changed(value, steps, parsed(new), "after" if after else "before"))


@forms.function("jsonb_delete_path(jsonb,_text)")
def jsonb_delete_path(document: str, path: Array) -> str:
    """document #- path; 22023."""
    steps = _path(path)
    value = parsed(document)
    if not isinstance(value, list | dict):
        raise SqlError("22023", "cannot delete path in scalar")
    return dump(_changed(value, steps, None, "remove")) if steps else document


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


def _scalar(type_name: str, wanted: str, read: Callable[[Any], Any]) -> None:
    def compute(document: str) -> Any:
        value = parsed(document)
        if kind_of(document) != wanted:
            found = kind_of(document)
            raise SqlError("22023", f"cannot cast jsonb {found} to type {type_name}")
        return read(value)

    name = {"boolean": "bool", "integer": "int4", "bigint": "int8", "smallint": "int2",
            "double precision": "float8", "real": "float4"}.get(type_name, type_name)  # fmt: skip
    forms.function(f"{name}(jsonb)")(compute)


def _whole(low: int, high: int, name: str) -> Callable[[Decimal], int]:
    def read(value: Decimal) -> int:
        whole = int(value.to_integral_value(rounding="ROUND_HALF_UP"))
        if not low <= whole <= high:
            raise SqlError("22003", f"{name} out of range")
        return whole

    return read


_scalar("boolean", "boolean", bool)
_scalar("numeric", "number", lambda value: value)
_scalar("smallint", "number", _whole(-(2**15), 2**15 - 1, "smallint"))
_scalar("integer", "number", _whole(-(2**31), 2**31 - 1, "integer"))
_scalar("bigint", "number", _whole(-(2**63), 2**63 - 1, "bigint"))
_scalar("double precision", "number", float)
_scalar("real", "number", float)


# ------------------------------------------------------------ aggregates


def _collected(kind: str) -> Callable[[CallTypes], AggregateForm]:
    binary = kind == "jsonb"

    def specialize(types: CallTypes) -> AggregateForm:
        convert = converter(types.arguments[0], types)

        def step(ctx: EvalContext, state: list[str], value: Any) -> list[str]:
            state.append("null" if value is None else convert(value, ctx))
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
                raise SqlError("22004", "field name must not be null")
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
