"""Operators and casts of jsonb: containment, existence, merging, deletion, scalars out."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.array import Array
from heliosd.types.declare import Forms
from heliosd.types.json import dump, kind_of, parsed
from heliosd.types.registry import SqlType

forms: Final = Forms()
types: Final[tuple[SqlType, ...]] = ()


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
    if not steps or (not value and not create):
        return document
    return dump(_changed(value, steps, parsed(new), "create" if create else "set"))


@forms.function("jsonb_set_lax(jsonb,_text,jsonb,bool,text)")
def jsonb_set_lax(
    document: str | None,
    path: Array | None,
    new: str | None,
    create: bool | None,  # noqa: FBT001 - SQL's argument
    treatment: str | None,
) -> str | None:
    """`jsonb_set` that says what a NULL value does; 22023, 22004."""
    if document is None or path is None or create is None:
        return None
    if treatment not in ("raise_exception", "use_json_null", "delete_key", "return_target"):
        raise SqlError(
            "22023",
            'null_value_treatment must be "delete_key", "return_target", "use_json_null", '
            'or "raise_exception"',
        )
    if new is not None:
        return jsonb_set(document, path, new, create)
    if treatment == "raise_exception":
        raise SqlError(
            "22004",
            "JSON value must not be null",
            detail='Exception was raised because null_value_treatment is "raise_exception".',
            hint="To avoid, either change the null_value_treatment argument or ensure that an "
            "SQL NULL is not passed.",
        )
    if treatment == "return_target":
        return document
    if treatment == "delete_key":
        return jsonb_delete_path(document, path)
    return jsonb_set(document, path, "null", create)


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
    return dump(_changed(value, steps, None, "remove")) if steps and value else document


# ------------------------------------------------------------ casts


def _scalar(type_name: str, wanted: str, read: Callable[[Any], Any]) -> None:
    def compute(document: str) -> Any:
        value = parsed(document)
        if kind_of(document) != wanted:
            found = kind_of(document)
            shown = "numeric" if found == "number" else found
            raise SqlError("22023", f"cannot cast jsonb {shown} to type {type_name}")
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
