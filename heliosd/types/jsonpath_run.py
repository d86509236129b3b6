"""Evaluating SQL/JSON paths over documents.

Items come lazily, one after another, depth first: a lax path that is only asked whether anything
is there stops at the first. A predicate is True, False or None (unknown); errors inside of one are
`PathError`s and make it unknown, and a silent call swallows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.floats import float8_to_numeric, numeric_to_float8, parse_float
from heliosd.types.json import parsed
from heliosd.types.jsonpath_moment import PathMoment, compare_moments, read_moment
from heliosd.types.jsonpath_offsets import container_offsets
from heliosd.types.jsonpath_parse import EVERY_LEVEL, Node, Path, is_predicate, regex_letters
from heliosd.types.numeric_core import (
    numeric_add,
    numeric_div,
    numeric_mod,
    numeric_mul,
    numeric_neg,
    numeric_sub,
    round_to,
    truncate_to,
)
from heliosd.types.pattern import compiled

Items = Iterator[Any]


class PathError(SqlError):
    """An error that predicates turn into unknown and silent calls swallow."""


@dataclass(slots=True)
class PathRun:
    """One evaluation. `base` is the document that keyvalue() numbers objects within."""

    path: Path
    root: Any
    variables: Any
    ctx: EvalContext
    use_zone: bool = False
    current: Any = None
    lenient: bool = False  # structural errors are forgiven here, as in lax paths
    size: int = -1  # of the array whose subscript is being evaluated
    base: tuple[Any, int] = (None, 0)
    generated: int = 1
    steps: int = 0
    offsets: dict[int, dict[int, int]] = field(default_factory=dict)
    existence: Node | None = None  # asked only whether it has items: a sign skips what no number is

    @property
    def lax(self) -> bool:
        return self.path.lax


def run_path(
    path: Path,
    document: str,
    variables: str,
    ctx: EvalContext,
    *,
    use_zone: bool,
    existence: bool = False,
) -> Items:
    """The items of a path over a document; `PathError`s, 22023, 42704."""
    values = parsed(variables)
    if not isinstance(values, dict):
        raise SqlError(
            "22023",
            '"vars" argument is not an object',
            detail='Jsonpath parameters should be encoded as key-value pairs of "vars" object.',
        )
    root = parsed(document)
    run = PathRun(path, root, values, ctx, use_zone, current=root, lenient=path.lax)
    run.base = (root, 0)
    run.generated = 2
    if existence and path.root.next is None:
        run.existence = path.root
    return _items(run, path.root, root, unwrap=path.lax)


# ------------------------------------------------------------ accessors


def _next(run: PathRun, node: Node, value: Any) -> Items:
    if node.next is None:
        yield value
    else:
        yield from _items(run, node.next, value, unwrap=run.lax)


def _unwrapped(run: PathRun, node: Node, value: list[Any]) -> Items:
    """The same accessor applied to each element."""
    for item in value:
        yield from _items(run, node, item, unwrap=False)


def _items(run: PathRun, node: Node, value: Any, *, unwrap: bool) -> Items:
    run.steps += 1
    if not run.steps & 1023:
        run.ctx.check_interrupts()
    if node.kind in _UNWRAPPING and unwrap and isinstance(value, list):
        return _unwrapped(run, node, value)
    if is_predicate(node) or node.kind in _BOOLEANS:
        return _next(run, node, _predicate(run, node, value))
    return _ACCESSORS[node.kind](run, node, value)


def _constant(run: PathRun, node: Node, value: Any) -> Items:
    return _next(run, node, node.value)


def _variable(run: PathRun, node: Node, value: Any) -> Items:
    if node.value not in run.variables:
        raise SqlError("42704", f'could not find jsonpath variable "{node.value}"')
    before = run.base
    run.base = (run.variables, 1)
    yield from _next(run, node, run.variables[node.value])
    run.base = before


def _root(run: PathRun, node: Node, value: Any) -> Items:
    before = run.base
    run.base = (run.root, 0)
    yield from _next(run, node, run.root)
    run.base = before


def _current(run: PathRun, node: Node, value: Any) -> Items:
    return _next(run, node, run.current)


def _key(run: PathRun, node: Node, value: Any) -> Items:
    if isinstance(value, dict):
        if node.value in value:
            yield from _next(run, node, value[node.value])
        elif not run.lenient:
            raise PathError("2203A", f'JSON object does not contain key "{node.value}"')
    elif not run.lenient:
        raise PathError("2203A", "jsonpath member accessor can only be applied to an object")


def _any_key(run: PathRun, node: Node, value: Any) -> Items:
    if isinstance(value, dict):
        for item in value.values():
            yield from _after(run, node, item)
    elif not run.lenient:
        raise PathError(
            "2203C", "jsonpath wildcard member accessor can only be applied to an object"
        )


def _any_element(run: PathRun, node: Node, value: Any) -> Items:
    if isinstance(value, list):
        for item in value:
            yield from _after(run, node, item)
    elif run.lax:
        yield from _next(run, node, value)
    elif not run.lenient:
        raise PathError("22039", "jsonpath wildcard array accessor can only be applied to an array")


def _after(run: PathRun, node: Node, value: Any) -> Items:
    return _next(run, node, value)


def _index(run: PathRun, node: Node, value: Any) -> Items:
    if isinstance(value, list):
        elements = value
    elif run.lax:
        elements = [value]
    elif not run.lenient:
        raise PathError("22039", "jsonpath array accessor can only be applied to an array")
    else:
        return
    size = len(elements)
    for low_node, high_node in node.subscripts:
        outer, run.size = run.size, size
        try:
            low = _subscript(run, low_node, value)
            high = low if high_node is None else _subscript(run, high_node, value)
        finally:
            run.size = outer
        if not run.lenient and (low < 0 or low > high or high >= size):
            raise PathError("22033", "jsonpath array subscript is out of bounds")
        for at in range(max(low, 0), min(high, size - 1) + 1):
            yield from _next(run, node, elements[at])


def _subscript(run: PathRun, node: Node, value: Any) -> int:
    found = list(_items(run, node, value, unwrap=run.lax))
    if len(found) != 1 or not isinstance(found[0], Decimal):
        raise PathError("22033", "jsonpath array subscript is not a single numeric value")
    whole = int(truncate_to(found[0], 0))
    if not -(2**31) <= whole < 2**31:
        raise PathError("22033", "jsonpath array subscript is out of integer range")
    return whole


def _last(run: PathRun, node: Node, value: Any) -> Items:
    return _next(run, node, Decimal(run.size - 1))


def _any_level(run: PathRun, node: Node, value: Any) -> Items:
    first, last = node.value
    before, run.lenient = run.lenient, True
    try:
        if first == 0:
            yield from _next(run, node, value)
        if isinstance(value, dict | list):
            yield from _deeper(run, node, value, 1, first, last)
    finally:
        run.lenient = before


def _deeper(
    run: PathRun, node: Node, value: dict[str, Any] | list[Any], level: int, first: int, last: int
) -> Items:
    if level > last:
        return
    for item in value.values() if isinstance(value, dict) else value:
        is_container = isinstance(item, dict | list)
        if level >= first or (first == last == EVERY_LEVEL and not is_container):
            yield from _next(run, node, item)
        if is_container:
            yield from _deeper(run, node, item, level + 1, first, last)


def _filter(run: PathRun, node: Node, value: Any) -> Items:
    before, run.current = run.current, value
    try:
        holds = _predicate(run, node.arguments[0], value)
    finally:
        run.current = before
    if holds:
        yield from _next(run, node, value)


# ------------------------------------------------------------ methods


def type_word(value: Any) -> str:
    """What .type() calls an item."""
    if isinstance(value, PathMoment):
        return value.type_name
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names = ((str, "string"), (Decimal, "number"), (list, "array"))
    return next((name for kind, name in names if isinstance(value, kind)), "object")


def _type(run: PathRun, node: Node, value: Any) -> Items:
    return _next(run, node, type_word(value))


def _size(run: PathRun, node: Node, value: Any) -> Items:
    if isinstance(value, list):
        return _next(run, node, Decimal(len(value)))
    if run.lax:
        return _next(run, node, Decimal(1))
    if run.lenient:
        return iter(())
    raise PathError("22039", "jsonpath item method .size() can only be applied to an array")


def _numeric_method(
    name: str, compute: Callable[[Decimal], Decimal]
) -> Callable[[PathRun, Node, Any], Items]:
    def method(run: PathRun, node: Node, value: Any) -> Items:
        if not isinstance(value, Decimal):
            raise PathError(
                "22036", f"jsonpath item method .{name}() can only be applied to a numeric value"
            )
        return _next(run, node, compute(value))

    return method


def _floor(value: Decimal) -> Decimal:
    whole = truncate_to(value, 0)
    return numeric_sub(whole, Decimal(1)) if whole > value else round_to(whole, 0)


def _ceiling(value: Decimal) -> Decimal:
    whole = truncate_to(value, 0)
    return numeric_add(whole, Decimal(1)) if whole < value else round_to(whole, 0)


def _double(run: PathRun, node: Node, value: Any) -> Items:
    if isinstance(value, Decimal):
        try:
            numeric_to_float8(value)
        except SqlError:
            raise PathError(
                "22036",
                "numeric argument of jsonpath item method .double() is out of range for type "
                "double precision",
            ) from None
        return _next(run, node, value)
    if not isinstance(value, str):
        raise PathError(
            "22036",
            "jsonpath item method .double() can only be applied to a string or numeric value",
        )
    try:
        number = parse_float(value, "double precision")
    except SqlError:
        number = float("nan")
    if number != number or number in (float("inf"), float("-inf")):
        raise PathError(
            "22036",
            "string argument of jsonpath item method .double() is not a valid representation of a "
            "double precision number",
        )
    return _next(run, node, float8_to_numeric(number))


def _datetime(run: PathRun, node: Node, value: Any) -> Items:
    if not isinstance(value, str):
        raise PathError("22031", "jsonpath item method .datetime() can only be applied to a string")
    template = node.arguments[0].value if node.arguments else None
    try:
        moment = read_moment(value, template, run.ctx)
    except SqlError as error:
        raise PathError(
            error.sqlstate, error.message, detail=error.detail, hint=error.hint
        ) from None
    return _next(run, node, moment)


def _keyvalue(run: PathRun, node: Node, value: Any) -> Items:
    if not isinstance(value, dict):
        raise PathError(
            "2203C", "jsonpath item method .keyvalue() can only be applied to an object"
        )
    document, base_id = run.base
    offsets = run.offsets.get(id(document))
    if offsets is None:
        offsets = run.offsets[id(document)] = container_offsets(document)
    number = Decimal(offsets.get(id(value), 0) + base_id * 10_000_000_000)
    for key, item in value.items():
        made = {"id": number, "key": key, "value": item}
        before = run.base
        run.base = (made, run.generated)
        run.generated += 1
        yield from _next(run, node, made)
        run.base = before


# ------------------------------------------------------------ arithmetic


_ARITHMETIC: Final = {
    "+": numeric_add, "-": numeric_sub, "*": numeric_mul, "/": numeric_div, "%": numeric_mod,
}  # fmt: skip


def _soft(compute: Callable[..., Decimal], *values: Decimal) -> Decimal:
    try:
        return compute(*values)
    except SqlError as error:
        raise PathError(error.sqlstate, error.message) from None


def _binary(run: PathRun, node: Node, value: Any) -> Items:
    sides = [_sequence(run, argument, value) for argument in node.arguments]
    for side, name in zip(sides, ("left", "right"), strict=True):
        if len(side) != 1 or not isinstance(side[0], Decimal):
            raise PathError(
                "22038",
                f"{name} operand of jsonpath operator {node.kind} is not a single numeric value",
            )
    return _next(run, node, _soft(_ARITHMETIC[node.kind], sides[0][0], sides[1][0]))


def _unary(run: PathRun, node: Node, value: Any) -> Items:
    sign = "+" if node.kind == "plus" else "-"
    found = _sequence(run, node.arguments[0], value)
    if run.existence is node:
        found = [item for item in found if isinstance(item, Decimal)]
    for item in found:
        if not isinstance(item, Decimal):
            raise PathError(
                "2203B", f"operand of unary jsonpath operator {sign} is not a numeric value"
            )
        yield from _next(run, node, item if sign == "+" else numeric_neg(item))


def _sequence(run: PathRun, node: Node, value: Any, *, unwrap: bool = True) -> list[Any]:
    """All items, arrays among them taken apart in lax paths."""
    found = list(_items(run, node, value, unwrap=run.lax))
    if not (unwrap and run.lax):
        return found
    flat: list[Any] = []
    for item in found:
        if isinstance(item, list):
            flat.extend(item)
        else:
            flat.append(item)
    return flat


# ------------------------------------------------------------ predicates


def _predicate(run: PathRun, node: Node, value: Any) -> bool | None:
    kind = node.kind
    if kind == "&&":
        left = _predicate(run, node.arguments[0], value)
        if left is False:
            return False
        right = _predicate(run, node.arguments[1], value)
        return left if right is True else right
    if kind == "||":
        left = _predicate(run, node.arguments[0], value)
        if left is True:
            return True
        right = _predicate(run, node.arguments[1], value)
        return left if right is False else right
    if kind == "not":
        inner = _predicate(run, node.arguments[0], value)
        return None if inner is None else not inner
    if kind == "is unknown":
        return _predicate(run, node.arguments[0], value) is None
    if kind == "exists":
        return _exists(run, node.arguments[0], value)
    if kind == "like_regex":
        pattern, flags = node.value
        wanted = compiled(pattern, regex_letters(flags))
        return _compared(
            run,
            node.arguments[0],
            None,
            value,
            lambda item, _: wanted.search(item) is not None if isinstance(item, str) else None,
        )
    left_node, right_node = node.arguments
    if kind == "starts with":
        return _compared(run, left_node, right_node, value, _starts_with, unwrap_right=False)
    return _compared(run, left_node, right_node, value, lambda a, b: _compare(run, kind, a, b))


def _exists(run: PathRun, node: Node, value: Any) -> bool | None:
    try:
        if not run.lax:
            return bool(list(_items(run, node, value, unwrap=False)))
        outer, run.existence = run.existence, node if node.next is None else None
        try:
            return is_found(_items(run, node, value, unwrap=True))
        finally:
            run.existence = outer
    except PathError:
        return None


_NOTHING: Final = object()


def is_found(items: Items) -> bool:
    """Whether there is a first item."""
    return next(items, _NOTHING) is not _NOTHING


def _compared(
    run: PathRun,
    left_node: Node,
    right_node: Node | None,
    value: Any,
    compare: Callable[[Any, Any], bool | None],
    *,
    unwrap_right: bool = True,
) -> bool | None:
    try:
        left = _sequence(run, left_node, value)
        right = (
            [None] if right_node is None else _sequence(run, right_node, value, unwrap=unwrap_right)
        )
    except PathError:
        return None
    found = unknown = False
    for mine in left:
        for other in right:
            result = compare(mine, other)
            if result is None:
                if not run.lax:
                    return None
                unknown = True
            elif result:
                if run.lax:
                    return True
                found = True
    if found:
        return True
    return None if unknown else False


def _starts_with(whole: Any, initial: Any) -> bool | None:
    if isinstance(whole, str) and isinstance(initial, str):
        return whole.startswith(initial)
    return None


def _compare(run: PathRun, operator: str, left: Any, right: Any) -> bool | None:
    if (left is None) != (right is None):
        return operator == "!="
    if left is None:
        order = 0
    elif isinstance(left, PathMoment) and isinstance(right, PathMoment):
        moments = compare_moments(left, right, run.ctx, use_zone=run.use_zone)
        if moments is None:
            return None
        order = moments
    elif type(left) is not type(right) or isinstance(left, dict | list):
        return None
    elif isinstance(left, str):
        mine, other = (text.encode("utf-16-be") for text in (left, right))
        order = (mine > other) - (mine < other)
    else:
        order = (left > right) - (left < right)
    return {
        "==": order == 0,
        "!=": order != 0,
        "<": order < 0,
        ">": order > 0,
        "<=": order <= 0,
        ">=": order >= 0,
    }[operator]


_UNWRAPPING: Final = frozenset(
    {"key", ".*", "filter", "abs", "floor", "ceiling", "double", "datetime", "keyvalue"}
)
_BOOLEANS: Final = frozenset(
    {"||", "&&", "==", "!=", "<", ">", "<=", ">=", "starts with", "like_regex", "exists", "not",
     "is unknown"}
)  # fmt: skip
_ACCESSORS: Final[dict[str, Callable[[PathRun, Node, Any], Items]]] = {
    "null": _constant,
    "bool": _constant,
    "numeric": _constant,
    "string": _constant,
    "variable": _variable,
    "root": _root,
    "current": _current,
    "key": _key,
    ".*": _any_key,
    "[*]": _any_element,
    "index": _index,
    "last": _last,
    "any": _any_level,
    "filter": _filter,
    "type": _type,
    "size": _size,
    "abs": _numeric_method("abs", abs),
    "floor": _numeric_method("floor", _floor),
    "ceiling": _numeric_method("ceiling", _ceiling),
    "double": _double,
    "datetime": _datetime,
    "keyvalue": _keyvalue,
    "plus": _unary,
    "minus": _unary,
    **dict.fromkeys("+-*/%", _binary),
}
