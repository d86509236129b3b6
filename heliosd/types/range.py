"""Ranges: two bounds of a subtype, or nothing at all.

A value is a `Range`; a bound of None is infinite. Ranges of a discrete subtype rest in their
canonical form, `[a,b)`. `RangeOps` is what one range type can do: it knows the subtype's order.

At rest and on the wire: one byte of flags, then 4 bytes of length and the bytes of each finite
bound, the lower one first.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms
from heliosd.types.facts import type_facts
from heliosd.types.failures import TrailingBytesError
from heliosd.types.registry import KeyKind, SqlType, Value
from heliosd.types.rest import key_form, rest_forms

forms: Final = Forms()
types: Final[tuple[SqlType, ...]] = ()

_EMPTY, _LOWER_INC, _UPPER_INC, _LOWER_INF, _UPPER_INF = 1, 2, 4, 8, 16
_LENGTH: Final = struct.Struct(">i")
_SPACES: Final = " \t\n\v\f\r"
_QUOTED: Final = frozenset('"\\()[],')

Key: TypeAlias = Callable[[Value], Any]
BoundKey: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """`lower` and `upper` are None where the range is unbounded (or empty)."""

    lower: Value = None
    upper: Value = None
    lower_inc: bool = False
    upper_inc: bool = False
    empty: bool = False


EMPTY: Final = Range(empty=True)


def itself(value: Value) -> Value:
    """The order key of a subtype that sorts natively."""
    return value


@dataclass(frozen=True, slots=True, eq=False)
class RangeOps:
    """Ranges over one subtype. `key` orders the subtype; `step` is what follows a value of a
    discrete subtype (None: the subtype is continuous)."""

    subtype: SqlType
    key: Key = itself
    step: Callable[[Value], Value] | None = None

    # -- bounds ------------------------------------------------------------------------------

    def low(self, r: Range) -> BoundKey:
        """The lower bound's place among all bounds."""
        if r.lower is None:
            return (0,)
        return (1, self.key(r.lower), 0 if r.lower_inc else 1)

    def high(self, r: Range) -> BoundKey:
        """The upper bound's place among all bounds."""
        if r.upper is None:
            return (2,)
        return (1, self.key(r.upper), 0 if r.upper_inc else -1)

    def make(self, lower: Value, upper: Value, lower_inc: bool, upper_inc: bool) -> Range:  # noqa: FBT001
        """The canonical range between two bounds; 22000 when they are in the wrong order."""
        lower_inc = lower_inc and lower is not None
        upper_inc = upper_inc and upper is not None
        if lower is not None and upper is not None:
            low, high = self.key(lower), self.key(upper)
            if high < low:
                raise SqlError(
                    "22000",
                    "range lower bound must be less than or equal to range upper bound",
                )
            if low == high and not (lower_inc and upper_inc):
                return EMPTY
        if self.step is not None:
            if lower is not None and not lower_inc:
                lower, lower_inc = self._next(lower, lower_inc)
            if upper is not None and upper_inc:
                upper, upper_inc = self._next(upper, upper_inc)
            closed = lower is not None and upper is not None and lower_inc and not upper_inc
            if closed and not self.key(lower) < self.key(upper):
                return EMPTY
        return Range(lower, upper, lower_inc, upper_inc)

    def _next(self, value: Value, inclusive: bool) -> tuple[Value, bool]:  # noqa: FBT001
        assert self.step is not None
        following = self.step(value)
        return (value, inclusive) if following is None else (following, not inclusive)

    # -- order -------------------------------------------------------------------------------

    def sort_key(self, r: Range) -> tuple[Any, ...]:
        """The empty range first, then by lower and upper bound."""
        return (0,) if r.empty else (1, self.low(r), self.high(r))

    def compare(self, a: Range, b: Range) -> int:
        """-1, 0 or 1."""
        left, right = self.sort_key(a), self.sort_key(b)
        return (left > right) - (left < right)

    # -- tests -------------------------------------------------------------------------------

    def contains(self, a: Range, b: Range) -> bool:
        """a @> b."""
        if b.empty:
            return True
        return not a.empty and self.low(a) <= self.low(b) and self.high(a) >= self.high(b)

    def contains_value(self, r: Range, value: Value) -> bool:
        """r @> element."""
        if r.empty:
            return False
        at = (1, self.key(value), 0)
        return self.low(r) <= at <= self.high(r)

    def overlaps(self, a: Range, b: Range) -> bool:
        """a && b."""
        if a.empty or b.empty:
            return False
        return self.low(a) <= self.high(b) and self.low(b) <= self.high(a)

    def before(self, a: Range, b: Range) -> bool:
        """a << b."""
        return not a.empty and not b.empty and self.high(a) < self.low(b)

    def after(self, a: Range, b: Range) -> bool:
        """a >> b."""
        return self.before(b, a)

    def overleft(self, a: Range, b: Range) -> bool:
        """a &< b: does not extend to the right of b."""
        return not a.empty and not b.empty and self.high(a) <= self.high(b)

    def overright(self, a: Range, b: Range) -> bool:
        """a &> b: does not extend to the left of b."""
        return not a.empty and not b.empty and self.low(a) >= self.low(b)

    def meets(self, a: Range, b: Range) -> bool:
        """Where a ends b begins, without a gap and without a common value."""
        if a.upper is None or b.lower is None or a.upper_inc == b.lower_inc:
            return False
        return bool(self.key(a.upper) == self.key(b.lower))

    def adjacent(self, a: Range, b: Range) -> bool:
        """a -|- b."""
        return not a.empty and not b.empty and (self.meets(a, b) or self.meets(b, a))

    # -- combining ---------------------------------------------------------------------------

    def merge(self, a: Range, b: Range) -> Range:
        """The smallest range that includes both."""
        if a.empty or b.empty:
            return b if a.empty else a
        first = a if self.low(a) <= self.low(b) else b
        last = a if self.high(a) >= self.high(b) else b
        return Range(first.lower, last.upper, first.lower_inc, last.upper_inc)

    def union(self, a: Range, b: Range) -> Range:
        """a + b; 22000 when there is a gap."""
        if not (a.empty or b.empty or self.overlaps(a, b) or self.adjacent(a, b)):
            raise SqlError("22000", "result of range union would not be contiguous")
        return self.merge(a, b)

    def intersect(self, a: Range, b: Range) -> Range:
        """a * b."""
        if not self.overlaps(a, b):
            return EMPTY
        first = a if self.low(a) >= self.low(b) else b
        last = a if self.high(a) <= self.high(b) else b
        return self.make(first.lower, last.upper, first.lower_inc, last.upper_inc)

    def minus(self, a: Range, b: Range) -> Range:
        """a - b; 22000 when b splits a."""
        parts = self.parts_without(a, b)
        if len(parts) > 1:
            raise SqlError("22000", "result of range difference would not be contiguous")
        return parts[0] if parts else EMPTY

    def parts_without(self, a: Range, b: Range) -> list[Range]:
        """What is left of a without b: no part, one or two."""
        if a.empty:
            return []
        if not self.overlaps(a, b):
            return [a]
        parts: list[Range] = []
        if self.low(a) < self.low(b):
            parts.append(self.make(a.lower, b.lower, a.lower_inc, not b.lower_inc))
        if self.high(a) > self.high(b):
            parts.append(self.make(b.upper, a.upper, not b.upper_inc, a.upper_inc))
        return [part for part in parts if not part.empty]

    def normalized(self, ranges: Iterable[Range]) -> Iterator[Range]:
        """In order, without empty ones, those that touch as one."""
        last: Range | None = None
        for each in sorted((r for r in ranges if not r.empty), key=self.sort_key):
            if last is None:
                last = each
            elif self.overlaps(last, each) or self.meets(last, each):
                last = self.merge(last, each)
            else:
                yield last
                last = each
        if last is not None:
            yield last


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RangeType(SqlType):
    """A range type and what it can do."""

    ops: RangeOps = field(kw_only=True)


# ------------------------------------------------------------ text


def _malformed(text: str, detail: str) -> SqlError:
    return SqlError("22P02", f'malformed range literal: "{text}"', detail=detail)


def read_bounds(text: str) -> tuple[str | None, str | None, bool, bool] | None:
    """(lower, upper, lower inclusive, upper inclusive) as texts; None for `empty`. 22P02."""
    stripped = text.strip(_SPACES)
    if stripped[:5].lower() == "empty":
        if len(stripped) > 5:
            raise _malformed(text, 'Junk after "empty" key word.')
        return None
    at = len(text) - len(text.lstrip(_SPACES))
    if text[at : at + 1] not in ("[", "("):
        raise _malformed(text, "Missing left parenthesis or bracket.")
    lower_inc = text[at] == "["
    lower, at = _bound(text, at + 1)
    if text[at : at + 1] != ",":
        raise _malformed(text, "Missing comma after lower bound.")
    upper, at = _bound(text, at + 1)
    if text[at : at + 1] not in ("]", ")"):
        raise _malformed(text, "Too many commas.")
    upper_inc = text[at] == "]"
    if text[at + 1 :].strip(_SPACES):
        raise _malformed(text, "Junk after right parenthesis or bracket.")
    return lower, upper, lower_inc, upper_inc


def _bound(text: str, at: int) -> tuple[str | None, int]:
    """One bound's text from `at` on (None: infinite), and where it ends."""
    if text[at : at + 1] in (",", ")", "]"):
        return None, at
    out: list[str] = []
    quoted = False
    while True:
        char = text[at : at + 1]
        if not char:
            raise _malformed(text, "Unexpected end of input.")
        if not quoted and char in ",)]":
            return "".join(out), at
        at += 1
        if char == "\\":
            if at >= len(text):
                raise _malformed(text, "Unexpected end of input.")
            out.append(text[at])
            at += 1
        elif char != '"':
            out.append(char)
        elif not quoted:
            quoted = True
        elif text[at : at + 1] == '"':
            out.append('"')
            at += 1
        else:
            quoted = False


def _quote(text: str) -> str:
    if text and not _QUOTED.intersection(text) and not any(c.isspace() for c in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '""') + '"'


# ------------------------------------------------------------ binary


def encode_range(r: Range, to_bytes: Callable[[Value], bytes]) -> bytes:
    """Flags, then each finite bound."""
    if r.empty:
        return bytes([_EMPTY])
    flags = r.lower_inc * _LOWER_INC | r.upper_inc * _UPPER_INC
    parts: list[bytes] = []
    for bound, infinite in ((r.lower, _LOWER_INF), (r.upper, _UPPER_INF)):
        if bound is None:
            flags |= infinite
        else:
            data = to_bytes(bound)
            parts.append(_LENGTH.pack(len(data)) + data)
    return bytes([flags]) + b"".join(parts)


def decode_range(
    data: bytes, from_bytes: Callable[[bytes], Value]
) -> tuple[Value, Value, bool, bool] | None:
    """(lower, upper, lower inclusive, upper inclusive); None for the empty range. 08P01, 22P03."""
    if not data:
        raise SqlError("08P01", "no data left in message")
    flags, at = data[0], 1
    if flags & _EMPTY:
        return None
    bounds: list[Value] = []
    for infinite in (_LOWER_INF, _UPPER_INF):
        if flags & infinite:
            bounds.append(None)
            continue
        if at + 4 > len(data):
            raise SqlError("08P01", "insufficient data left in message")
        (size,) = _LENGTH.unpack_from(data, at)
        at += 4
        if size < 0 or at + size > len(data):
            raise SqlError("08P01", "insufficient data left in message")
        bounds.append(from_bytes(data[at : at + size]))
        at += size
    if at < len(data):
        raise TrailingBytesError(f"{len(data)} bytes instead of {at}")
    return bounds[0], bounds[1], bool(flags & _LOWER_INC), bool(flags & _UPPER_INC)


def range_key(ops: RangeOps) -> Callable[[Range], bytes]:
    """Memcomparable bytes in the ranges' order."""
    form = key_form(ops.subtype)

    def key(r: Range) -> bytes:
        if r.empty:
            return b"\x00"
        low = b"\x00" if r.lower is None else b"\x01" + form(r.lower) + bytes([1 - r.lower_inc])
        high = b"\x02" if r.upper is None else b"\x01" + form(r.upper) + bytes([r.upper_inc])
        return b"\x01" + low + high

    return key


# ------------------------------------------------------------ the types


def make_range_type(ops: RangeOps, **facts: Any) -> RangeType:
    """The range type over a subtype; `facts` say its name, oid and the like."""
    subtype = ops.subtype
    to_bytes, from_bytes = rest_forms(subtype)

    def read(text: str, typmod: int, ctx: EvalContext) -> Range:
        bounds = read_bounds(text)
        if bounds is None:
            return EMPTY
        lower, upper, lower_inc, upper_inc = bounds
        return ops.make(
            None if lower is None else subtype.input(lower, typmod, ctx),
            None if upper is None else subtype.input(upper, typmod, ctx),
            lower_inc,
            upper_inc,
        )

    def show(r: Range, ctx: EvalContext) -> str:
        if r.empty:
            return "empty"
        lower = "" if r.lower is None else _quote(subtype.output(r.lower, ctx))
        upper = "" if r.upper is None else _quote(subtype.output(r.upper, ctx))
        return f"{'[' if r.lower_inc else '('}{lower},{upper}{']' if r.upper_inc else ')'}"

    def receive(data: bytes, typmod: int, ctx: EvalContext) -> Range:
        accept = subtype.receive
        if accept is None:
            raise SqlError(
                "42883", f"no binary input function available for type {subtype.display}"
            )
        bounds = decode_range(data, lambda item: accept(item, typmod, ctx))
        return EMPTY if bounds is None else ops.make(*bounds)

    def send(r: Range, ctx: EvalContext) -> bytes:
        give = subtype.send
        if give is None:
            raise SqlError(
                "42883", f"no binary output function available for type {subtype.display}"
            )
        return encode_range(r, lambda bound: give(bound, ctx))

    def unpack(data: bytes) -> Range:
        bounds = decode_range(data, from_bytes)
        return EMPTY if bounds is None else Range(*bounds)

    keyed = subtype.key is not None
    return RangeType(
        input=read,
        output=show,
        receive=receive,
        send=send,
        category="R",
        kind="r",
        pack=lambda r: encode_range(r, to_bytes),
        unpack=unpack,
        key=KeyKind.BYTES if keyed else None,
        key_value=range_key(ops) if keyed else None,
        native=False,
        sort_key=ops.sort_key,
        io_names=("range_in", "range_out", "range_recv", "range_send"),
        storage="x",
        base=subtype,
        ops=ops,
        **facts,
    )


def _step_int(name: str, most: int) -> Callable[[int], int]:
    def step(value: int) -> int:
        if value >= most:
            raise SqlError("22003", f"{name} out of range")
        return value + 1

    return step


_DATE_MAX: Final = 2**31 - 1
_DATE_END: Final = 2147483493 - 2451545
"""The first day after the last one that a date can be, in days since 2000-01-01."""


def _step_date(value: int) -> int | None:
    """The next day; infinities are left as they are. 22008."""
    if value in (_DATE_MAX, -_DATE_MAX - 1):
        return None
    if value + 1 >= _DATE_END:
        raise SqlError("22008", "date out of range")
    return value + 1


_STEPS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "int4": _step_int("integer", 2**31 - 1),
    "int8": _step_int("bigint", 2**63 - 1),
    "date": _step_date,
}
BUILT_IN: Final[Mapping[str, tuple[str, str]]] = {
    "int4range": ("int4", "int4multirange"),
    "numrange": ("numeric", "nummultirange"),
    "tsrange": ("timestamp", "tsmultirange"),
    "tstzrange": ("timestamptz", "tstzmultirange"),
    "daterange": ("date", "datemultirange"),
    "int8range": ("int8", "int8multirange"),
}
"""(subtype, multirange) of PostgreSQL's own range types."""


def ops_over(subtype: SqlType) -> RangeOps:
    """What ranges over a subtype can do."""
    return RangeOps(subtype, subtype.order_key() or itself, _STEPS.get(subtype.name))


def range_types(plain: Iterable[SqlType]) -> Iterator[RangeType]:
    """PostgreSQL's own range types over the subtypes given."""
    known = {item.name: item for item in plain}
    facts = type_facts()
    for name, (subtype, multirange) in BUILT_IN.items():
        fact = facts[name]
        yield make_range_type(
            ops_over(known[subtype]),
            name=name,
            oid=fact.oid,
            array_oid=fact.array_oid,
            align=fact.align,
            multirange_oid=facts[multirange].oid,
        )
