"""Enumerated types: a value is the oid of its label, so that a label can be renamed.

Labels are ordered by a number that never changes: a label put between two others gets a number
between theirs. So neither stored values nor index keys are touched when a type grows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.array import Array, array_of
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms
from heliosd.types.registry import CallTypes, KeyKind, SqlType
from heliosd.types.text import decode_text

forms: Final = Forms()
types: Final[tuple[SqlType, ...]] = ()


@dataclass(frozen=True, slots=True)
class EnumLabel:
    """One label; `order` sorts it. `usable` is false until the transaction that added it to an
    existing type has committed."""

    oid: int
    label: str
    order: float
    usable: bool = True


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EnumType(SqlType):
    """An enumerated type with its labels in order."""

    labels: tuple[EnumLabel, ...] = ()


def make_enum_type(
    *,
    name: str,
    oid: int,
    array_oid: int,
    labels: Iterable[EnumLabel],
    sql_name: str,
    uses: tuple[tuple[int, int], ...],
) -> EnumType:
    """The type with these labels."""
    ordered = tuple(sorted(labels, key=lambda each: each.order))
    by_label = {each.label: each for each in ordered}
    texts = {each.oid: each.label for each in ordered}
    orders = {each.oid: each.order for each in ordered}
    order_of = orders.__getitem__

    def read(text: str, typmod: int, ctx: EvalContext) -> int:
        found = by_label.get(text)
        if found is None:
            raise SqlError("22P02", f'invalid input value for enum {sql_name}: "{text}"')
        check_usable(found, sql_name)
        return found.oid

    def show(value: int) -> str:
        return texts[value]

    def send(value: int) -> bytes:
        return texts[value].encode()

    return EnumType(
        name=name,
        oid=oid,
        array_oid=array_oid,
        input=read,
        output=lambda value, ctx: texts[value],
        receive=lambda data, typmod, ctx: read(decode_text(data), typmod, ctx),
        send=lambda value, ctx: texts[value].encode(),
        plain_output=show,
        plain_send=send,
        category="E",
        size=4,
        by_value=True,
        kind="e",
        shape="q",
        key=KeyKind.FLOAT,
        key_value=order_of,
        native=False,
        sort_key=order_of,
        hash_key=int,
        io_names=("enum_in", "enum_out", "enum_recv", "enum_send"),
        sql_name=sql_name,
        uses=uses,
        labels=ordered,
    )


def check_usable(label: EnumLabel, type_name: str) -> None:
    """55P04 for a label that this transaction added to an older type."""
    if not label.usable:
        raise SqlError(
            "55P04",
            f'unsafe use of new value "{label.label}" of enum type {type_name}',
            hint="New enum values must be committed before they can be used.",
        )


def _enum_of(kind: SqlType) -> EnumType:
    base = kind
    while base.is_domain and base.base is not None:
        base = base.base
    if not isinstance(base, EnumType):
        raise SqlError("22023", "could not determine actual enum type")
    return base


# ------------------------------------------------------------ comparing


def _comparison(signature: str, decide: Callable[[Any, Any], Any]) -> None:
    def specialize(types_at_call: CallTypes) -> Callable[[int, int], Any]:
        order = _enum_of(types_at_call.arguments[0]).sort_key
        assert order is not None
        return lambda left, right: decide(order(left), order(right))

    forms.specialized(signature)(specialize)


_comparison("enum_eq(anyenum,anyenum)", lambda a, b: a == b)
_comparison("enum_ne(anyenum,anyenum)", lambda a, b: a != b)
_comparison("enum_lt(anyenum,anyenum)", lambda a, b: a < b)
_comparison("enum_gt(anyenum,anyenum)", lambda a, b: a > b)
_comparison("enum_le(anyenum,anyenum)", lambda a, b: a <= b)
_comparison("enum_ge(anyenum,anyenum)", lambda a, b: a >= b)
_comparison("enum_cmp(anyenum,anyenum)", lambda a, b: (a > b) - (a < b))


@forms.specialized("enum_larger(anyenum,anyenum)")
def enum_larger(types_at_call: CallTypes) -> Callable[[int, int], int]:
    """The later of two labels."""
    order = _enum_of(types_at_call.arguments[0]).sort_key
    assert order is not None
    return lambda left, right: max(left, right, key=order)


@forms.specialized("enum_smaller(anyenum,anyenum)")
def enum_smaller(types_at_call: CallTypes) -> Callable[[int, int], int]:
    """The earlier of two labels."""
    order = _enum_of(types_at_call.arguments[0]).sort_key
    assert order is not None
    return lambda left, right: min(left, right, key=order)


# ------------------------------------------------------------ what a type has


@forms.specialized("enum_first(anyenum)")
def enum_first(types_at_call: CallTypes) -> Callable[[int | None], int]:
    """The first label; the argument only says which type. 55000 for an empty one."""
    return _edge(_enum_of(types_at_call.arguments[0]), 0)


@forms.specialized("enum_last(anyenum)")
def enum_last(types_at_call: CallTypes) -> Callable[[int | None], int]:
    """The last label; 55000."""
    return _edge(_enum_of(types_at_call.arguments[0]), -1)


def _edge(kind: EnumType, place: int) -> Callable[[int | None], int]:
    def compute(_: int | None) -> int:
        if not kind.labels:
            raise SqlError("55000", f"enum {kind.display} contains no values")
        check_usable(kind.labels[place], kind.display)
        return kind.labels[place].oid

    return compute


@forms.specialized("enum_range(anyenum)")
def enum_range_all(types_at_call: CallTypes) -> Callable[[int | None], Array]:
    """All labels in order."""
    kind = _enum_of(types_at_call.arguments[0])
    between = _between(kind)
    return lambda _: between(None, None)


@forms.specialized("enum_range(anyenum,anyenum)")
def enum_range(types_at_call: CallTypes) -> Callable[[int | None, int | None], Array]:
    """The labels from one to another; NULL: from the first, or to the last."""
    return _between(_enum_of(types_at_call.arguments[0]))


def _between(kind: EnumType) -> Callable[[int | None, int | None], Array]:
    orders = {each.oid: each.order for each in kind.labels}

    def compute(low: int | None, high: int | None) -> Array:
        first = float("-inf") if low is None else orders[low]
        last = float("inf") if high is None else orders[high]
        found = [each for each in kind.labels if first <= each.order <= last]
        for each in found:
            check_usable(each, kind.display)
        return array_of(each.oid for each in found)

    return compute
