"""Rows out of JSON: json_populate_record(set), json_to_record(set) and jsonb's.

A value goes into a field as PostgreSQL puts it there: scalars by the type's input function, arrays
and objects into array and row types, field by field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.array import EMPTY, Array
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms
from heliosd.types.json import as_text, jsonb_normal, kind_of, parse, raw_elements, raw_members
from heliosd.types.record import Record, RecordShape
from heliosd.types.registry import CallTypes, SqlType, TypeField

forms: Final = Forms()


def _base(kind: SqlType) -> SqlType:
    while kind.is_domain and kind.base is not None:
        kind = kind.base
    return kind


@dataclass(frozen=True, slots=True)
class _Filler:
    """Fills values of SQL types from JSON texts; `binary`: the texts are jsonb's."""

    types: CallTypes
    ctx: EvalContext
    binary: bool

    def field(
        self, kind: SqlType, typmod: int, name: str | None, raw: str | None, old: Any = None
    ) -> Any:
        """One value; None for null and for a key that is not there."""
        base = _base(kind)
        is_null = raw is None or kind_of(raw) == "null"
        if is_null:
            return self.ctx.check_domain(kind.oid, None) if kind.is_domain else None
        assert raw is not None
        is_text = kind_of(raw) == "string"
        value: Any
        if base.is_array and not is_text:
            value = self.array(base, typmod, name, raw)
        elif base.kind == "c" and not is_text:
            value = self.record(base, raw, old)
        else:
            return self.scalar(kind, typmod, raw)
        return self.ctx.check_domain(kind.oid, value) if kind.is_domain else value

    def scalar(self, kind: SqlType, typmod: int, raw: str) -> Any:
        if kind.name == "json":
            text = raw
        elif kind.name == "jsonb":
            text = raw if self.binary else jsonb_normal(raw)
        else:
            text = as_text(raw) or ""
            if kind_of(raw) == "string":
                text = parse(raw)
        return kind.input(text, typmod, self.ctx)

    def record(self, kind: SqlType, raw: str, old: Sequence[Any] | None) -> Record:
        """A row of an object's members; what they do not name stays as it was."""
        if kind_of(raw) != "object":
            what = "an array" if kind_of(raw) == "array" else "a scalar"
            raise SqlError("22023", f"cannot call populate_composite on {what}")
        members = dict(raw_members(raw))
        if not members and isinstance(old, Record):
            return old
        shape = RecordShape(tuple(f.name for f in kind.fields), tuple(f.type for f in kind.fields))
        return shape.make(self.member(f, at, members, old) for at, f in enumerate(kind.fields))

    def member(
        self, each: TypeField, at: int, members: dict[str, str], old: Sequence[Any] | None
    ) -> Any:
        if each.name not in members and old is not None:
            return old[at]
        before = old[at] if old is not None else None
        return self.field(each.type, each.typmod, each.name, members.get(each.name), before)

    def array(self, kind: SqlType, typmod: int, name: str | None, raw: str) -> Array:
        element = self.types.registry.by_oid[kind.element]
        builder = _ArrayBuilder(self, element, typmod, name)
        builder.level(raw, 1)
        if not builder.values:
            return EMPTY
        shape = tuple(builder.lengths)
        return Array(tuple(builder.values), shape, (1,) * len(shape))


@dataclass(slots=True)
class _ArrayBuilder:
    """An array being read: how deep it is shows at its first element that is none itself."""

    filler: _Filler
    element: SqlType
    typmod: int
    name: str | None
    depth: int = 0
    values: list[Any] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def level(self, raw: str, depth: int) -> None:
        if kind_of(raw) != "array":
            raise self.expected(depth - 1)
        items = list(raw_elements(raw))
        while len(self.counts) < depth:
            self.counts.append(0)
            self.lengths.append(-1)
        if (not items or kind_of(items[0]) != "array") and not self.depth:
            self.depth = depth
        for item in items:
            if self.depth and depth >= self.depth:
                self.values.append(self.filler.field(self.element, self.typmod, self.name, item))
            else:
                self.level(item, depth + 1)
            self.counts[depth - 1] += 1
        self.close(depth)

    def close(self, depth: int) -> None:
        length = self.counts[depth - 1]
        self.counts[depth - 1] = 0
        if self.lengths[depth - 1] < 0:
            self.lengths[depth - 1] = length
        elif self.lengths[depth - 1] != length:
            raise SqlError(
                "22P02",
                "malformed JSON array",
                detail="Multidimensional arrays must have sub-arrays with matching dimensions.",
            )

    def expected(self, depth: int) -> SqlError:
        where = "".join(f"[{count}]" for count in self.counts[:depth])
        if depth <= 0:
            hint = f'See the value of key "{self.name}".' if self.name else None
        elif self.name:
            hint = f'See the array element {where} of key "{self.name}".'
        else:
            hint = f"See the array element {where}."
        return SqlError("22P02", "expected JSON array", hint=hint)


def _row_type(types: CallTypes, name: str) -> SqlType | None:
    """The row type at the call; None for a record whose value must tell."""
    first = types.arguments[0]
    base = _base(first)
    if base.kind == "c":
        return first
    if types.result.fields:
        return types.result
    if base.name == "record":
        return None
    raise SqlError("42804", f"first argument of {name} must be a row type")


def _shaped(kind: SqlType | None, old: Any, types: CallTypes, name: str) -> SqlType:
    """The row type to fill: the declared one, or that of the record given; 42804, 0A000."""
    if kind is not None:
        if kind is not types.result or not isinstance(old, Record):
            return kind
        # a record given keeps its own names
        _check_same(old, kind)
    shape = getattr(old, "shape", None)
    if shape is None:
        raise SqlError(
            "0A000",
            f"could not determine row type for result of {name}",
            hint="Provide a non-null record argument, or call the function in the FROM clause "
            "using a column definition list.",
        )
    fields = tuple(TypeField(n, k) for n, k in zip(shape.names, shape.types, strict=True))
    return _with_fields(types.registry.by_name["record"], fields)


def _check_same(old: Record, kind: SqlType) -> None:
    """The record given has the columns that the definition list says."""
    given, wanted = old.shape.types, [each.type for each in kind.fields]
    detail = None
    if len(given) != len(wanted):
        plural = "" if len(given) == 1 else "s"
        detail = (
            f"Returned row contains {len(given)} attribute{plural}, but query expects "
            f"{len(wanted)}."
        )
    else:
        for number, (mine, other) in enumerate(zip(given, wanted, strict=True), 1):
            if mine.oid != other.oid:
                detail = (
                    f"Returned type {mine.display} at ordinal position {number}, but query "
                    f"expects {other.display}."
                )
                break
    if detail is not None:
        raise SqlError(
            "42804",
            "function return row and query-specified return row do not match",
            detail=detail,
        )


def _with_fields(kind: SqlType, fields: tuple[TypeField, ...]) -> SqlType:
    return replace(kind, kind="c", fields=fields)


def _declare(kind: str) -> None:
    binary = kind == "jsonb"
    extra = "" if binary else ",bool"

    @forms.specialized(f"{kind}_populate_record(anyelement,{kind}{extra})", needs_context=True)
    def populate(types: CallTypes) -> Callable[..., Any]:
        name = f"{kind}_populate_record"
        declared = _row_type(types, name)

        def call(ctx: EvalContext, old: Any, text: str | None, *_: Any) -> Any:
            if text is None:
                return old
            row = _shaped(declared, old, types, name)
            value = _Filler(types, ctx, binary).record(_base(row), text, old)
            return ctx.check_domain(row.oid, value) if row.is_domain else value

        return call

    @forms.specialized(f"{kind}_populate_recordset(anyelement,{kind}{extra})", needs_context=True)
    def populate_set(types: CallTypes) -> Callable[..., Any]:
        name = f"{kind}_populate_recordset"
        declared = _row_type(types, name)

        def call(ctx: EvalContext, old: Any, text: str | None, *_: Any) -> Iterator[Any]:
            if text is None:
                return iter(())
            row = _shaped(declared, old, types, name)
            return _rows(_Filler(types, ctx, binary), row, text, old, name)

        return call

    @forms.specialized(f"{kind}_to_record({kind})", needs_context=True)
    def to_record(types: CallTypes) -> Callable[..., Any]:
        name = f"{kind}_to_record"

        def call(ctx: EvalContext, text: str) -> Any:
            return _Filler(types, ctx, binary).record(_described(types, name), text, None)

        return call

    @forms.specialized(f"{kind}_to_recordset({kind})", needs_context=True)
    def to_recordset(types: CallTypes) -> Callable[..., Any]:
        name = f"{kind}_to_recordset"

        def call(ctx: EvalContext, text: str) -> Iterator[Any]:
            return _rows(_Filler(types, ctx, binary), _described(types, name), text, None, name)

        return call


def _described(types: CallTypes, name: str) -> SqlType:
    if types.result.fields:
        return types.result
    raise SqlError(
        "0A000",
        f"could not determine row type for result of {name}",
        hint="Call the function in the FROM clause using a column definition list.",
    )


def _rows(filler: _Filler, row: SqlType, text: str, old: Any, name: str) -> Iterator[Any]:
    if kind_of(text) != "array":
        scalar = "a scalar" if kind_of(text) != "object" else "an object"
        what = "a non-array" if filler.binary else scalar
        raise SqlError("22023", f"cannot call {name} on {what}")
    for item in raw_elements(text):
        if kind_of(item) != "object":
            raise SqlError("22023", f"argument of {name} must be an array of objects")
        value = filler.record(_base(row), item, old)
        yield filler.ctx.check_domain(row.oid, value) if row.is_domain else value


_declare("json")
_declare("jsonb")
