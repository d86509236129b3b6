"""Assignment to parts: `SET column[i] = x`, `SET column.field = x`, and both in each other.

A part's new value becomes the whole column's: the old value is taken apart along the steps and put
together again around the new part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog.objects import Column
from heliosd.errors import SqlError
from heliosd.functions.registry import SqlFunction
from heliosd.sql.bind.coerce import coerce, explicit_cast, location
from heliosd.sql.bind.resolve import ANY, ANYARRAY, UNKNOWN
from heliosd.sql.bind.state import BindState, Level
from heliosd.sql.bound import (
    Call,
    Cast,
    CastForm,
    CastMethod,
    Const,
    Expr,
    FieldSelect,
    Subscript,
)
from heliosd.sql.tree.expressions import FieldStep, SetToDefault, SliceStep, SubscriptStep
from heliosd.types.array import DIMENSIONS_MAX
from heliosd.types.array_assign import set_element, set_slice, too_many_dimensions
from heliosd.types.composite import shape_of_type
from heliosd.types.domain import base_of
from heliosd.types.geometry import set_fixed
from heliosd.types.jsonb_assign import jsonb_set_part

if TYPE_CHECKING:
    from heliosd.sql.tree.base import Expression, Node
    from heliosd.sql.tree.modify import ColumnTarget
    from heliosd.types.registry import SqlType

INT4: Final = 23
TEXT: Final = 25

JSONB: Final = 3802
Steps = Sequence[Any]

_ELEMENT: Final = SqlFunction(
    "array_set_element", 0, (ANYARRAY, ANY), ANYARRAY, row=set_element, strict=False
)


@dataclass(frozen=True, slots=True)
class Leaf:
    """What is assigned: a type, and how errors call it."""

    type: int
    typmod: int
    what: str
    field: str = ""


@dataclass(frozen=True, kw_only=True)
class PartColumn(Column):
    """What INSERT sees of `column[1].field`: a column of the part's type. `attnum` is negative."""

    whole: Column
    steps: tuple[Any, ...] = field(default=())
    leaf: Leaf


def leaf_of(state: BindState, column: Column, target: ColumnTarget) -> Leaf:
    """What `column` with these steps is. 42804, 42703, 54000."""
    oid, typmod = column.type_oid, column.typmod
    steps: list[Any] = list(target.steps)
    leaf = Leaf(oid, typmod, "")
    while steps:
        kind = base_of(state.type(oid))
        if kind.oid != oid:
            typmod = state.type(oid).typmod
        if isinstance(steps[0], FieldStep):
            step = steps[0]
            del steps[0]
            found = kind.fields[_field(state, kind, oid, step, column.name, target)]
            oid, typmod = found.type.oid, found.typmod
            leaf = Leaf(oid, typmod, "subfield", step.name)
            continue
        run = _run(steps)
        if kind.element and kind.category == "G" and not _is_slice(run):
            oid, typmod = kind.element, -1
            leaf = Leaf(oid, typmod, "subscripted")
            continue
        if kind.oid == JSONB:
            slice_step = next((step for step in run if isinstance(step, SliceStep)), None)
            if slice_step is not None:
                raise SqlError(
                    "42804",
                    "jsonb subscript does not support slices",
                    position=slice_step.position,
                )
            oid, typmod = kind.oid, -1
            leaf = Leaf(oid, typmod, "subscripted")
            continue
        if not kind.element or kind.category != "A":
            raise SqlError(
                "42804",
                f"cannot subscript type {state.type_name(oid)} because it does not support "
                "subscripting",
                position=target.position,
            )
        if len(run) > DIMENSIONS_MAX:
            raise too_many_dimensions(len(run))
        oid = kind.oid if _is_slice(run) else kind.element
        leaf = Leaf(oid, typmod, "subscripted")
    return leaf


def _run(steps: list[Any]) -> list[Any]:
    """Takes the subscripts at the head of `steps`."""
    run = []
    while steps and isinstance(steps[0], SubscriptStep | SliceStep):
        run.append(steps.pop(0))
    return run


def _is_slice(run: Steps) -> bool:
    return any(isinstance(step, SliceStep) for step in run)


def _field(
    state: BindState, kind: SqlType, oid: int, step: FieldStep, column: str, at: Node
) -> int:
    shown = state.type_name(oid)
    what = f'cannot assign to field "{step.name}" of column "{column}" because'
    if kind.kind != "c":
        raise SqlError(
            "42804", f"{what} its type {shown} is not a composite type", position=at.position
        )
    for number, each in enumerate(kind.fields):
        if each.name == step.name:
            return number
    raise SqlError(
        "42703", f"{what} there is no such column in data type {shown}", position=at.position
    )


def fit_leaf(state: BindState, value: Expr, leaf: Leaf, column: str, position: int) -> Expr:
    """The value as the part's type; 42804."""
    found = coerce(state, value, leaf.type, leaf.typmod, CastForm.ASSIGNMENT, position)
    if found is not None:
        return found
    wanted, given = state.type_name(leaf.type), state.type_name(value.type)
    words = (
        f'subfield "{leaf.field}" is of type {wanted}'
        if leaf.field
        else f'subscripted assignment to "{column}" requires type {wanted}'
    )
    raise SqlError(
        "42804",
        f"{words} but expression is of type {given}",
        hint="You will need to rewrite or cast the expression.",
        position=position,
    )


def store_part(level: Level, column: Column, old: Expr, steps: Steps, value: Expr) -> Expr:
    """The column's new value. What `old` was checked for is checked once, at the end."""
    state = level.state
    if isinstance(old, Cast) and old.method is CastMethod.DOMAIN:
        old = old.argument
    kind = base_of(state.type(column.type_oid))
    made = _store(level, _relabelled(old, kind), kind.oid, list(steps), value)
    return _as_domain(state, made, column.type_oid)


def _relabelled(old: Expr, kind: SqlType) -> Expr:
    if old.type == kind.oid:
        return old
    return Cast(old, CastMethod.RELABEL, kind.oid, -1, old.collation)


def _as_domain(state: BindState, value: Expr, oid: int) -> Expr:
    if not state.type(oid).is_domain:
        return value
    return Cast(value, CastMethod.DOMAIN, oid, -1, value.collation)


def _store(level: Level, old: Expr, oid: int, steps: list[Any], value: Expr) -> Expr:
    if not steps:
        return value
    state = level.state
    kind = base_of(state.type(oid))
    old = _relabelled(old, kind)
    if isinstance(steps[0], FieldStep):
        made = _store_field(level, old, kind, steps, value)
    else:
        made = _store_subscripts(level, old, kind, steps, value)
    return _as_domain(state, made, oid)


def _store_field(level: Level, old: Expr, kind: SqlType, steps: list[Any], value: Expr) -> Expr:
    number = next(n for n, each in enumerate(kind.fields) if each.name == steps[0].name)
    part = kind.fields[number]
    before = FieldSelect(old, number, part.name, part.type.oid, part.typmod, part.collation)
    inner = _store(level, before, part.type.oid, steps[1:], value)
    shape = shape_of_type(kind)
    count = len(kind.fields)

    def set_field(record: tuple[Any, ...] | None, new: Any) -> tuple[Any, ...]:
        values = list(record or (None,) * count)
        values[number] = new
        return shape.make(values)

    target = SqlFunction("record_set_field", 0, (ANY, ANY), ANY, row=set_field, strict=False)
    return Call(target, (old, inner), kind.oid)


def _store_subscripts(
    level: Level, old: Expr, kind: SqlType, steps: list[Any], value: Expr
) -> Expr:
    rest = list(steps)
    run = _run(rest)
    if _is_slice(run):
        bounds: list[Expr] = []
        given: list[tuple[bool, bool]] = []
        for step in run:
            low, high = (step.low, step.high) if isinstance(step, SliceStep) else (None, step.index)
            whole = isinstance(step, SubscriptStep)
            bounds.append(Const(1, INT4) if whole else _bound(level, low))
            bounds.append(_bound(level, high))
            given.append((whole or low is not None, high is not None))
        target = SqlFunction(
            "array_set_slice", 0, (ANYARRAY, ANYARRAY), ANYARRAY,
            row=partial(set_slice, tuple(given)), strict=False,
        )  # fmt: skip
        return Call(target, (old, value, *bounds), kind.oid, old.typmod)
    if kind.oid == JSONB:
        keys = tuple(document_key(level, step) for step in run)
        texts = tuple(explicit_cast(level.state, key, TEXT, -1, 0) for key in keys)
        target = SqlFunction(
            "jsonb_set_part", 0, (ANY, ANY), ANY,
            row=partial(jsonb_set_part, keys[0].type == INT4), strict=False,
        )  # fmt: skip
        return Call(target, (old, value, *texts), kind.oid)
    places = tuple(_bound(level, step.index) for step in run)
    if kind.category == "G":
        target = SqlFunction(
            "raw_array_set", 0, (ANY, ANY), ANY, row=partial(set_fixed, kind.name), strict=False
        )
        return Call(target, (old, value, *places), kind.oid)
    before = Subscript(old, places, kind.element, old.typmod, old.collation)
    inner = _store(level, before, kind.element, rest, value)
    return Call(_ELEMENT, (old, inner, *places), kind.oid, old.typmod)


def document_key(level: Level, step: SubscriptStep) -> Expr:
    """A jsonb subscript as integer or text; 42804."""
    key = level.expression(step.index)
    if key.type in (INT4, TEXT):
        return key
    wanted = TEXT if key.type == UNKNOWN else INT4
    coerced = coerce(level.state, key, wanted, form=CastForm.IMPLICIT)
    if coerced is None and wanted == INT4:
        coerced = coerce(level.state, key, TEXT, form=CastForm.IMPLICIT)
    if coerced is None:
        raise SqlError(
            "42804",
            f"subscript type {level.state.type_name(key.type)} is not supported",
            hint="jsonb subscript must be coercible to either integer or text.",
            position=location(step.index),
        )
    return coerced


def _bound(level: Level, tree: Expression | None) -> Expr:
    if tree is None:
        return Const(None, INT4)
    at = location(tree)
    found = coerce(level.state, level.expression(tree), INT4, form=CastForm.ASSIGNMENT, position=at)
    if found is None:
        raise SqlError("42804", "array subscript must have type integer", position=at)
    return found


def assign_part(
    level: Level,
    column: Column,
    old: Expr,
    target: ColumnTarget,
    source: Expression,
    value: Expr | None = None,
) -> Expr:
    """UPDATE: the column's new value, of `source` (or of `value`, which is bound already)."""
    leaf = leaf_of(level.state, column, target)
    refuse_default(source, target)
    bound = level.expression(source) if value is None else value
    fitted = fit_leaf(level.state, bound, leaf, column.name, location(source))
    return store_part(level, column, old, target.steps, fitted)


def refuse_default(source: Expression, target: ColumnTarget | PartColumn) -> None:
    """0A000: a part has no default."""
    if isinstance(source, SetToDefault):
        part = "a subfield" if isinstance(target.steps[0], FieldStep) else "an array element"
        raise SqlError("0A000", f"cannot set {part} to DEFAULT", position=source.position)


def part_column(state: BindState, column: Column, target: ColumnTarget, number: int) -> PartColumn:
    """INSERT's view of a part."""
    leaf = leaf_of(state, column, target)
    return PartColumn(
        attnum=-number,
        name=column.name,
        type_oid=leaf.type,
        typmod=leaf.typmod,
        collation=state.collation_of(leaf.type),
        whole=column,
        steps=target.steps,
        leaf=leaf,
    )


def join_parts(level: Level, columns: Sequence[Column], values: dict[int, Expr]) -> dict[int, Expr]:
    """Values by attnum with INSERT's parts put together: what they leave out is NULL."""
    found = dict(values)
    for part in columns:
        if not isinstance(part, PartColumn) or part.attnum not in found:
            continue
        value, whole = found.pop(part.attnum), part.whole
        old = found.get(whole.attnum)
        if old is None:
            old = Const(None, base_of(level.state.type(whole.type_oid)).oid, whole.typmod)
        found[whole.attnum] = store_part(level, whole, old, part.steps, value)
    return found
